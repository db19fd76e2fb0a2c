"""Tables of learnt vectors: for words, for bags of words, for positions; and positions without learning."""

from __future__ import annotations

import numpy as np

from .. import functional as F
from ..tensor import Parameter, Tensor
from . import init
from .dropout import Dropout
from .module import Module, check_sizes


class _Table(Module):
    """weight (num_embeddings, embedding_dim), from N(0, 1) with a row of zeros at padding_idx."""

    def _start(self, num_embeddings, embedding_dim, padding_idx, max_norm, norm_type, dtype, generator):
        name = type(self).__name__
        check_sizes(self, num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        if padding_idx is not None and not -num_embeddings <= padding_idx < num_embeddings:
            raise ValueError(f"{name}: padding_idx is {padding_idx}, but there are rows 0 to {num_embeddings - 1} only")
        if max_norm is not None and not max_norm > 0:
            raise ValueError(f"{name}: max_norm must be positive, got {max_norm}")
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx = None if padding_idx is None else padding_idx % num_embeddings
        self.max_norm, self.norm_type = max_norm, norm_type
        self.weight = init.normal_(Parameter(np.empty((num_embeddings, embedding_dim), dtype)), generator=generator)
        if padding_idx is not None:
            self.weight.data[padding_idx] = 0

    def _shorten(self, index):
        """Bring the rows about to be used to a length of at most max_norm: in the weight itself, as PyTorch does."""
        if self.max_norm is None:
            return
        index = np.unique(np.asarray(Tensor.plain(index)))
        if index.dtype.kind not in "iu" or np.any((index < 0) | (index >= self.num_embeddings)):
            return  # the function says what is wrong with such indices
        rows = self.weight.data[index]
        length = np.linalg.norm(rows, self.norm_type, axis=1, keepdims=True)
        if np.any(length > self.max_norm):
            new = self.weight.data.copy()  # another array: what was computed with the old one keeps its gradient
            new[index] = np.where(length > self.max_norm, rows * (self.max_norm / (length + 1e-7)), rows)
            self.weight.data = new

    @classmethod
    def _from(cls, embeddings, freeze, **settings):
        weight = np.array(Tensor.plain(embeddings))
        if weight.ndim != 2 or weight.dtype.kind != "f":
            raise ValueError(f"{cls.__name__}: pretrained embeddings are floating-point numbers (num, dim), not "
                             f"{weight.dtype} {weight.shape}")
        layer = cls(*weight.shape, **settings, dtype=weight.dtype)
        layer.weight.data, layer.weight.requires_grad = weight, not freeze
        return layer

    def extra_repr(self):
        text = f"{self.num_embeddings}, {self.embedding_dim}"
        for name in ("padding_idx", "max_norm"):
            if getattr(self, name) is not None:
                text += f", {name}={getattr(self, name)}"
        return text


class Embedding(_Table):
    """weight[index]: integers (...) -> (..., embedding_dim). weight: (num_embeddings, embedding_dim), from N(0, 1).

    padding_idx: a row that starts as zeros and gets no gradient. max_norm: rows longer than that (in the norm of
    norm_type) are shortened in the weight before they are used. Keras starts uniform in +-0.05.
    """

    def __init__(self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None,
                 max_norm: float | None = None, norm_type: float = 2.0, dtype=np.float32, generator=None):
        self._start(num_embeddings, embedding_dim, padding_idx, max_norm, norm_type, dtype, generator)

    @classmethod
    def from_pretrained(cls, embeddings, freeze: bool = True, padding_idx: int | None = None,
                        max_norm: float | None = None, norm_type: float = 2.0) -> Embedding:
        """A layer with a copy of ``embeddings`` (num, dim), which is not trained unless freeze=False."""
        return cls._from(embeddings, freeze, padding_idx=padding_idx, max_norm=max_norm, norm_type=norm_type)

    def forward(self, index):
        self._shorten(index)
        return F.embedding(index, self.weight, self.padding_idx)


class EmbeddingBag(_Table):
    """The mean, sum or max of the rows of each bag of indices: (bags, n), or (total,) and offsets -> (bags, dim).

    Otherwise as `Embedding`; padding_idx belongs to no bag. Per-index weights go with mode="sum".
    """

    def __init__(self, num_embeddings: int, embedding_dim: int, max_norm: float | None = None, norm_type: float = 2.0,
                 *, mode: str = "mean", include_last_offset: bool = False, padding_idx: int | None = None,
                 dtype=np.float32, generator=None):
        if mode not in ("mean", "sum", "max"):
            raise ValueError(f"EmbeddingBag: mode is 'mean', 'sum' or 'max', not {mode!r}")
        self._start(num_embeddings, embedding_dim, padding_idx, max_norm, norm_type, dtype, generator)
        self.mode, self.include_last_offset = mode, include_last_offset

    @classmethod
    def from_pretrained(cls, embeddings, freeze: bool = True, max_norm: float | None = None, norm_type: float = 2.0,
                        *, mode: str = "mean", include_last_offset: bool = False,
                        padding_idx: int | None = None) -> EmbeddingBag:
        """A layer with a copy of ``embeddings`` (num, dim), which is not trained unless freeze=False."""
        return cls._from(embeddings, freeze, max_norm=max_norm, norm_type=norm_type, mode=mode,
                         include_last_offset=include_last_offset, padding_idx=padding_idx)

    def forward(self, index, offsets=None, per_sample_weights=None):
        self._shorten(index)
        return F.embedding_bag(index, self.weight, offsets, mode=self.mode, per_sample_weights=per_sample_weights,
                               include_last_offset=self.include_last_offset, padding_idx=self.padding_idx)

    def extra_repr(self):
        return f"{super().extra_repr()}, mode={self.mode!r}"


# ---- positions ----
class _Positions(Module):
    """x + one row per position, then dropout. x: (L, N, E), with batch_first (N, L, E); or (L, E)."""

    def forward(self, x):
        axis = 1 if self.batch_first and x.ndim == 3 else 0
        if x.ndim not in (2, 3) or x.shape[-1] != self.d_model:
            shape = f"(N, L, {self.d_model})" if self.batch_first else f"(L, N, {self.d_model})"
            raise ValueError(f"{type(self).__name__}: input {x.shape} must be {shape} or (L, {self.d_model})")
        rows = self._rows(x.shape[axis], x.dtype)
        return self.dropout(x + (np.expand_dims(rows, 1) if x.ndim == 3 and axis == 0 else rows))


class PositionalEncoding(_Positions):
    """x[p] + (sin(p w_0), cos(p w_0), sin(p w_1), ...), w_i = base^(-2i / d_model); dropout. Vaswani et al. 2017.

    x: (L, N, d_model), with batch_first (N, L, d_model); or (L, d_model). L may be any length.
    """

    def __init__(self, d_model: int, dropout: float = 0.0, batch_first: bool = False, base: float = 10000.0,
                 generator=None):
        self.d_model, self.batch_first, self.base = d_model, batch_first, base
        self.dropout = Dropout(dropout, generator)

    def _rows(self, length, dtype):
        return F.positional_encoding(length, self.d_model, self.base, dtype)

    def extra_repr(self):
        return f"{self.d_model}"


class PositionalEmbedding(_Positions):
    """x[p] + weight[p] with a learnt row for each position; dropout. Gehring et al. 2017.

    x: (L, N, d_model), with batch_first (N, L, d_model); or (L, d_model), L at most max_len. weight: (max_len,
    d_model), from N(0, 0.02^2).
    """

    def __init__(self, max_len: int, d_model: int, dropout: float = 0.0, batch_first: bool = False, dtype=np.float32,
                 generator=None):
        self.max_len, self.d_model, self.batch_first = max_len, d_model, batch_first
        self.weight = init.normal_(Parameter(np.empty((max_len, d_model), dtype)), 0, 0.02, generator)
        self.dropout = Dropout(dropout, generator)

    def _rows(self, length, dtype):
        if length > self.max_len:
            raise ValueError(f"PositionalEmbedding: a sequence of {length}, but only {self.max_len} positions")
        return self.weight[:length]

    def extra_repr(self):
        return f"{self.max_len}, {self.d_model}"
