"""Multi-head attention, and the encoder of the Transformer."""

from __future__ import annotations

import copy

import numpy as np

from .. import functional as F
from ..functional.attention import attend, causal, split_mask
from ..tensor import Parameter
from . import init
from .dense import Dense
from .dropout import Dropout
from .module import Module, ModuleList
from .normalization import LayerNorm


class MultiheadAttention(Module):
    """concat over heads h of attention(query W_qh, key W_kh, value W_vh), times W_o. Vaswani et al. 2017, PyTorch's.

    query: (L, N, embed_dim), key: (S, N, kdim), value: (S, N, vdim), with batch_first N first; or without N. Gives
    (output, weights): as query, and (N, L, S) averaged over the heads, or (N, num_heads, L, S), or None.

    in_proj_weight: (3 embed_dim, embed_dim), the rows of W_q, W_k, W_v; q_proj_weight, k_proj_weight and v_proj_weight
    where kdim or vdim differ. add_bias_kv: a learnt key and value more; add_zero_attn: one more of zeros. dropout is
    that of the weights. Keras' key_dim is embed_dim / num_heads, and its masks say True for what takes part.
    """

    def __init__(self, embed_dim: int, num_heads: int, dropout: float = 0.0, bias: bool = True,
                 add_bias_kv: bool = False, add_zero_attn: bool = False, kdim: int | None = None,
                 vdim: int | None = None, batch_first: bool = False, dtype=np.float32, generator=None):
        if num_heads < 1 or embed_dim < 1 or embed_dim % num_heads:
            raise ValueError(f"MultiheadAttention: embed_dim {embed_dim} does not divide into {num_heads} heads")
        self.embed_dim, self.num_heads, self.dropout = embed_dim, num_heads, F.check_probability(dropout)
        self.kdim, self.vdim = kdim or embed_dim, vdim or embed_dim
        self.add_zero_attn, self.batch_first, self.generator = add_zero_attn, batch_first, generator

        def weight(*shape):
            return init.xavier_uniform_(Parameter(np.empty(shape, dtype)), generator=generator)
        packed = self.kdim == self.vdim == embed_dim
        self.in_proj_weight = weight(3 * embed_dim, embed_dim) if packed else None
        self.q_proj_weight = None if packed else weight(embed_dim, embed_dim)
        self.k_proj_weight = None if packed else weight(embed_dim, self.kdim)
        self.v_proj_weight = None if packed else weight(embed_dim, self.vdim)
        self.in_proj_bias = Parameter(np.zeros(3 * embed_dim, dtype)) if bias else None
        self.out_proj = Dense(embed_dim, embed_dim, bias, dtype, generator)
        self.bias_k = self.bias_v = None
        if bias:
            init.zeros_(self.out_proj.bias)
        if add_bias_kv:
            self.bias_k, self.bias_v = (init.xavier_normal_(Parameter(np.empty((1, 1, embed_dim), dtype)),
                                                            generator=generator) for _ in range(2))

    def forward(self, query, key, value, key_padding_mask=None, need_weights: bool = True, attn_mask=None,
                average_attn_weights: bool = True, is_causal: bool = False):
        """(output, weights). Masks of booleans are True for what is NOT seen; those of numbers are added to the scores.

        key_padding_mask: (N, S), attn_mask: (L, S) or (N * num_heads, L, S). is_causal: query i sees the keys 0 to i,
        also without an attn_mask (which PyTorch wants). A query that sees nothing gets zeros (PyTorch: NaN, or zeros
        if need_weights is False). need_weights=False: weights is None.
        """
        self._check(query, key, value)
        single = query.ndim == 2
        q, k, v = self._projected(query, key, value)
        if not single and not self.batch_first:
            q, k, v = (x.swapaxes(0, 1) for x in (q, k, v))
        q, k, v = (x[None] if single else x for x in (q, k, v))
        n, length = q.shape[:2]
        padded = (k.shape[1],) if single else (n, k.shape[1])
        allowed, bias = self._masks(n, length, padded, q.dtype, key_padding_mask, attn_mask, is_causal)
        for more in self._more_keys(n, q.dtype):
            k, v = (np.concatenate([x, m], axis=1) for x, m in zip((k, v), more))
            allowed, bias = (_one_more(mask, seen) for mask, seen in ((allowed, True), (bias, 0)))
        heads = self.num_heads, self.embed_dim // self.num_heads
        q, k, v = (x.reshape(*x.shape[:2], *heads).transpose(0, 2, 1, 3) for x in (q, k, v))
        y, weights = attend(q, k, v, allowed, bias, self.dropout if self.training else 0.0, generator=self.generator)
        y = self.out_proj(y.transpose(0, 2, 1, 3).reshape(n, length, self.embed_dim))
        y = y[0] if single else y if self.batch_first else y.swapaxes(0, 1)
        if not need_weights:
            return y, None
        weights = weights.mean(axis=1) if average_attn_weights else weights
        return y, weights[0] if single else weights

    def _projected(self, query, key, value):
        if self.in_proj_weight is not None and query is key is value:
            return np.split(F.linear(query, self.in_proj_weight.T, self.in_proj_bias), 3, axis=-1)
        weights = ((self.q_proj_weight, self.k_proj_weight, self.v_proj_weight) if self.in_proj_weight is None
                   else np.split(self.in_proj_weight, 3))
        biases = (None,) * 3 if self.in_proj_bias is None else np.split(self.in_proj_bias, 3)
        return [F.linear(x, w.T, b) for x, w, b in zip((query, key, value), weights, biases)]

    def _masks(self, n, length, padded, dtype, key_padding_mask, attn_mask, is_causal):
        """(allowed, bias), each of them None or of a shape that broadcasts to (n, num_heads, length, keys)."""
        masks, keys = [], padded[-1]
        if key_padding_mask is not None:
            masks.append(("key_padding_mask", key_padding_mask, {padded: (n, 1, 1, keys)}))
        if attn_mask is not None:
            masks.append(("attn_mask", attn_mask, {(length, keys): (1, 1, length, keys), (
                n * self.num_heads, length, keys): (n, self.num_heads, length, keys)}))
        allowed, bias = causal(length, keys)[None, None] if is_causal else None, None
        for name, mask, shapes in masks:
            if np.shape(mask) not in shapes:
                raise ValueError(f"MultiheadAttention: {name} is {np.shape(mask)}, but must be "
                                 f"{' or '.join(map(str, shapes))}")
            hidden, more = split_mask(mask, dtype)
            if more is not None:
                more = more.reshape(shapes[more.shape])
                bias = more if bias is None else bias + more
            else:
                seen = ~hidden.reshape(shapes[hidden.shape])
                allowed = seen if allowed is None else allowed & seen
        return allowed, bias

    def _more_keys(self, n, dtype):
        """The keys and values beside those of the sequence, as pairs of (n, 1, embed_dim)."""
        shape = (n, 1, self.embed_dim)
        if self.bias_k is not None:
            yield np.broadcast_to(self.bias_k, shape), np.broadcast_to(self.bias_v, shape)
        if self.add_zero_attn:
            yield np.zeros(shape, dtype), np.zeros(shape, dtype)

    def _check(self, query, key, value):
        shapes, sizes = (query.shape, key.shape, value.shape), (self.embed_dim, self.kdim, self.vdim)
        batch, time = (0, 1) if self.batch_first else (1, 0)
        good = len(shapes[0]) in (2, 3) and len({len(s) for s in shapes}) == 1
        good = good and all(s[-1] == n for s, n in zip(shapes, sizes))
        if good and len(shapes[0]) == 3:
            good = shapes[1][time] == shapes[2][time] and len({s[batch] for s in shapes}) == 1
        elif good:
            good = shapes[1][0] == shapes[2][0]
        if not good:
            axes = ("N, L", "N, S", "N, S") if self.batch_first else ("L, N", "S, N", "S, N")
            wanted = ", ".join(f"({a}, {n})" for a, n in zip(axes, sizes))
            raise ValueError(f"MultiheadAttention: query, key and value {shapes} must be {wanted}, or all without N "
                             f"(batch_first={self.batch_first})")

    def extra_repr(self):
        return f"{self.embed_dim}, {self.num_heads}" + (", batch_first=True" if self.batch_first else "")


def _one_more(mask, value):
    if mask is None:
        return None
    return np.concatenate([mask, np.full((*mask.shape[:-1], 1), value, mask.dtype)], axis=-1)


class TransformerEncoderLayer(Module):
    """y = norm1(x + attention(x)); norm2(y + linear2(activation(linear1(y)))). Vaswani et al. 2017, PyTorch's.

    norm_first: x + attention(norm1(x)) and y + ...(norm2(y)) instead (Xiong et al. 2020). src: (L, N, d_model), with
    batch_first (N, L, d_model); or (L, d_model). activation: "relu", "gelu" or a function. Dropout behind attention,
    behind both linear layers, and of the attention's weights.
    """

    def __init__(self, d_model: int, nhead: int, dim_feedforward: int = 2048, dropout: float = 0.1, activation="relu",
                 layer_norm_eps: float = 1e-5, batch_first: bool = False, norm_first: bool = False, bias: bool = True,
                 dtype=np.float32, generator=None):
        functions = {"relu": F.relu, "gelu": F.gelu}
        if not callable(activation) and activation not in functions:
            raise ValueError(f"TransformerEncoderLayer: activation is 'relu', 'gelu' or a function, not {activation!r}")
        self.self_attn = MultiheadAttention(d_model, nhead, dropout, bias, batch_first=batch_first, dtype=dtype,
                                            generator=generator)
        self.linear1 = Dense(d_model, dim_feedforward, bias, dtype, generator)
        self.dropout = Dropout(dropout, generator)
        self.linear2 = Dense(dim_feedforward, d_model, bias, dtype, generator)
        self.norm1, self.norm2 = (LayerNorm(d_model, layer_norm_eps, bias=bias, dtype=dtype) for _ in range(2))
        self.dropout1, self.dropout2 = Dropout(dropout, generator), Dropout(dropout, generator)
        self.norm_first, self.activation = norm_first, functions.get(activation, activation)

    def forward(self, src, src_mask=None, src_key_padding_mask=None, is_causal: bool = False):
        """src_mask, src_key_padding_mask, is_causal: as `MultiheadAttention`'s, True for what is not seen."""
        masks = {"attn_mask": src_mask, "key_padding_mask": src_key_padding_mask, "is_causal": is_causal}
        if self.norm_first:
            y = src + self._attended(self.norm1(src), masks)
            return y + self._transformed(self.norm2(y))
        y = self.norm1(src + self._attended(src, masks))
        return self.norm2(y + self._transformed(y))

    def _attended(self, x, masks):
        return self.dropout1(self.self_attn(x, x, x, need_weights=False, **masks)[0])

    def _transformed(self, x):
        return self.dropout2(self.linear2(self.dropout(self.activation(self.linear1(x)))))

    def extra_repr(self):
        return "norm_first=True" if self.norm_first else ""


class TransformerEncoder(Module):
    """``num_layers`` copies of a layer, one after the other, then ``norm``: src as `TransformerEncoderLayer`'s.

    Each copy has weights of its own, equal at the start as PyTorch's are.
    """

    def __init__(self, encoder_layer: Module, num_layers: int, norm: Module | None = None):
        if num_layers < 1:
            raise ValueError(f"TransformerEncoder: num_layers must be at least 1, got {num_layers}")
        self.layers = ModuleList([_copy(encoder_layer) for _ in range(num_layers)])
        self.norm = norm

    def forward(self, src, mask=None, src_key_padding_mask=None, is_causal: bool = False):
        """mask, src_key_padding_mask, is_causal: as `MultiheadAttention`'s, True for what is not seen."""
        for layer in self.layers:
            src = layer(src, src_mask=mask, src_key_padding_mask=src_key_padding_mask, is_causal=bool(is_causal))
        return src if self.norm is None else self.norm(src)


def _copy(layer):
    """A copy with its own weights but the same generators, lest all copies drop the same."""
    held = (v for m in layer.modules() for v in vars(m).values())
    return copy.deepcopy(layer, {id(g): g for g in held if isinstance(g, np.random.Generator)})
