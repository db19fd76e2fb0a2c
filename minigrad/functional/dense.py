"""Functions of feature vectors: linear maps, embeddings, lengths and angles."""

from __future__ import annotations

import math

import numpy as np

from .. import kernels
from ..dispatch import primitive
from ..tensor import Tensor


@primitive(lambda g, y, x, w, b: g @ w.T, lambda g, y, x, w, b: x.T @ g, lambda g, y, x, w, b: g.sum(axis=0))
def _affine(x, w, b):
    if b.shape != w.shape[1:]:
        raise ValueError(f"linear: a bias of shape {b.shape} for weight {w.shape}; expected {w.shape[1:]}")
    kernels.settle()
    y = x @ w
    y += b
    return y


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x @ weight + bias: (..., in) with weight (in, out), bias (out,) -> (..., out).

    weight is the transpose of that of torch.nn.functional.linear, (out, in).
    """
    if x.ndim != 2 and x.shape[-1:] == weight.shape[:1]:
        rows = linear(x.reshape(math.prod(x.shape[:-1]), x.shape[-1]), weight, bias)
        return rows.reshape(*x.shape[:-1], weight.shape[1])
    try:
        return x @ weight if bias is None else _affine(x, weight, bias)
    except ValueError:
        if x.shape[-1:] == weight.shape[:1]:
            raise  # the bias does not fit
        raise ValueError(f"linear: input {x.shape} does not end in the {weight.shape[0]} features that weight "
                         f"{weight.shape} expects; is something to be flattened first?") from None


def flatten(x: Tensor, start_dim: int = 1) -> Tensor:
    """Merge the axes from ``start_dim`` on: (N, C, H, W) -> (N, C * H * W)."""
    if x.ndim == start_dim + 1:
        return x
    if x.ndim <= start_dim:
        raise ValueError(f"flatten: input {x.shape} has no axis {start_dim}; is it (N, ...), a batch?")
    return x.reshape(*x.shape[:start_dim], -1 if x.size else math.prod(x.shape[start_dim:]))


def one_hot(index, num_classes: int, dtype=np.float32) -> np.ndarray:
    """(...) class indices -> (..., num_classes) of zeros and a one.

    Raises TypeError for what is not integers, ValueError for indices outside of 0 to num_classes - 1.
    """
    index = np.asarray(index)
    if index.dtype.kind not in "iu":
        raise TypeError(f"one_hot: indices must be integers, not {index.dtype}")
    if np.any((index < 0) | (index >= num_classes)):
        raise ValueError(f"one_hot: indices from {index.min()} to {index.max()}, but num_classes is {num_classes}")
    return (index[..., None] == np.arange(num_classes)).astype(dtype)


def embedding(input, weight: Tensor, padding_idx: int | None = None) -> Tensor:
    """Row input[...] of weight (num, dim) for each index: (...) -> (..., dim).

    padding_idx: a row that gets no gradient. Raises TypeError for what is not integers, ValueError for indices outside
    of 0 to num - 1.
    """
    index, n = input if hasattr(input, "dtype") else np.asarray(input), weight.shape[0]
    if index.dtype.kind not in "iu":
        raise TypeError(f"embedding: indices must be integers, not {index.dtype}")
    if np.any((index < 0) | (index >= n)):
        raise ValueError(f"embedding: indices from {np.min(index)} to {np.max(index)}, but weight {weight.shape} has "
                         f"rows 0 to {n - 1}")
    rows = np.take(weight, index, axis=0)
    if padding_idx is None:
        return rows
    if not -n <= padding_idx < n:
        raise ValueError(f"embedding: padding_idx is {padding_idx}, but weight {weight.shape} has rows 0 to {n - 1}")
    return np.where(np.expand_dims(index != padding_idx % n, -1), rows, _detach(rows))


def _detach(x):
    return x.detach() if hasattr(x, "detach") else x


# ---- lengths and angles ----
def normalize(x: Tensor, p: float = 2.0, axis: int = 1, eps: float = 1e-12) -> Tensor:
    """x / max(|x|_p, eps) along ``axis``; below eps the length counts as a constant."""
    return x / np.maximum(np.linalg.norm(x, p, axis, True), eps)


def cosine_similarity(x1: Tensor, x2: Tensor, axis: int = 1, eps: float = 1e-8) -> Tensor:
    """x1 . x2 / (max(|x1|, eps) max(|x2|, eps)) along ``axis``; of a vector of zeros it is 0."""
    lengths = [np.maximum(np.linalg.norm(x, 2, axis, True), eps) for x in (x1, x2)]
    return ((x1 / lengths[0]) * (x2 / lengths[1])).sum(axis=axis)


def pairwise_distance(x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdims: bool = False) -> Tensor:
    """|x1 - x2 + eps|_p along the last axis; with eps=0 the gradient is 0 where x1 = x2."""
    return np.linalg.norm(x1 - x2 + eps, p, -1, keepdims)
