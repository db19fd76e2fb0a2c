"""Attention and its positions; other weighted sums of rows, and products of two inputs."""

from __future__ import annotations

import math

import numpy as np

from ..tensor import Tensor
from .activations import softmax
from .dense import embedding
from .regularization import check_probability, dropout


# ---- attention ----
def scaled_dot_product_attention(query: Tensor, key: Tensor, value: Tensor, attn_mask=None, dropout_p: float = 0.0,
                                 is_causal: bool = False, scale: float | None = None, enable_gqa: bool = False, *,
                                 generator: np.random.Generator | None = None) -> Tensor:
    """softmax(scale * query @ key^T + attn_mask) @ value. Vaswani et al. 2017; scale is 1 / sqrt(E) there.

    query: (..., L, E), key: (..., S, E), value: (..., S, Ev) -> (..., L, Ev). attn_mask, broadcast to (..., L, S):
    booleans, True for what takes part, or numbers to add to the scores. is_causal: query i sees the keys 0 to i. A
    query that sees no key at all gets zeros. dropout_p always drops: pass 0 in evaluation. enable_gqa: each key and
    value head (axis -3) serves several heads of the query (Ainslie et al. 2023).
    """
    if attn_mask is not None and is_causal:
        raise ValueError("scaled_dot_product_attention: attn_mask and is_causal are two masks; give one")
    if enable_gqa:
        key, value = (_shared_heads(query, x) for x in (key, value))
    _check_attention(query, key, value)
    allowed, bias = split_mask(attn_mask, query.dtype)
    if is_causal:
        allowed = causal(query.shape[-2], key.shape[-2])
    return attend(query, key, value, allowed, bias, dropout_p, scale, generator)[0]


def attend(query, key, value, allowed=None, bias=None, dropout_p=0.0, scale=None, generator=None):
    """(output, weights) of attention. allowed: booleans, bias: numbers added to the scores, either of them None."""
    scores = query * (1 / math.sqrt(query.shape[-1]) if scale is None else scale) @ key.mT
    for mask in (allowed, bias):
        if mask is not None and np.broadcast_shapes(mask.shape, scores.shape) != scores.shape:
            raise ValueError(f"attention: a mask of {mask.shape} does not broadcast to the scores, {scores.shape}")
    sees = True
    if bias is not None:
        scores, sees = scores + bias, bias > -np.inf
    if allowed is not None:
        scores, sees = np.where(allowed, scores, -np.inf), allowed & sees
    weights = softmax(scores) if sees is True else _softmax_or_zeros(scores, np.any(sees, axis=-1, keepdims=True))
    weights = dropout(weights, dropout_p, check_probability(dropout_p) > 0, generator)
    return weights @ value, weights


def _softmax_or_zeros(scores, sees):
    """softmax, and zeros instead of 0 / 0 for the rows that see nothing."""
    if isinstance(sees, (np.ndarray, np.bool_)) and sees.all():  # inside vmap it is neither
        return softmax(scores)
    return np.where(sees, softmax(np.where(sees, scores, 0)), 0)


def split_mask(mask, dtype):
    """(allowed, None) of a mask of booleans, (None, bias) of one of numbers."""
    if mask is None:
        return None, None
    mask = mask if hasattr(mask, "dtype") else np.asarray(mask)
    if mask.dtype.kind not in "bf":
        raise TypeError(f"attention: a mask holds booleans or floating-point numbers, not {mask.dtype}")
    if mask.dtype.kind == "b":
        return mask.data if isinstance(mask, Tensor) else mask, None
    return None, mask if mask.dtype == dtype else mask.astype(dtype)


def causal(length: int, keys: int) -> np.ndarray:
    """(length, keys) booleans: query i may see the keys 0 to i."""
    return np.tri(length, keys, dtype=bool)


def _shared_heads(query, x):
    if min(query.ndim, x.ndim) < 3 or not x.shape[-3] or query.shape[-3] % x.shape[-3]:
        raise ValueError(f"scaled_dot_product_attention: the heads of query {query.shape}, axis -3, are no multiple of "
                         f"those of {x.shape}")
    return np.repeat(x, query.shape[-3] // x.shape[-3], axis=-3)


def _check_attention(query, key, value):
    shapes = query.shape, key.shape, value.shape
    if min(map(len, shapes)) < 2 or shapes[0][-1] != shapes[1][-1] or shapes[1][-2] != shapes[2][-2]:
        raise ValueError("scaled_dot_product_attention: query {}, key {} and value {} must be (..., L, E), (..., S, E) "
                         "and (..., S, Ev)".format(*shapes))


def positional_encoding(length: int, dim: int, base: float = 10000.0, dtype=np.float32) -> np.ndarray:
    """(length, dim): row p is sin(p w_0), cos(p w_0), sin(p w_1), ..., w_i = base^(-2i / dim). Vaswani et al. 2017."""
    angle = np.arange(length)[:, None] * base ** (-np.arange(0, dim, 2) / dim)
    return np.stack([np.sin(angle), np.cos(angle)], -1).reshape(length, -1)[:, :dim].astype(dtype)


# ---- bags of rows ----
def embedding_bag(input, weight: Tensor, offsets=None, *, mode: str = "mean", per_sample_weights: Tensor | None = None,
                  include_last_offset: bool = False, padding_idx: int | None = None) -> Tensor:
    """The mean, sum or max of the rows of weight (num, dim) in each bag of indices -> (bags, dim); of none, zeros.

    input: (bags, n), or (total,) with bag b from offsets[b] up to offsets[b + 1] (include_last_offset: the end of the
    last one is given too). per_sample_weights, of input's shape: the sum is weighted. padding_idx is in no bag.
    """
    if mode not in ("mean", "sum", "max"):
        raise ValueError(f"embedding_bag: mode is 'mean', 'sum' or 'max', not {mode!r}")
    if per_sample_weights is not None and (mode != "sum" or per_sample_weights.shape != np.shape(input)):
        raise ValueError(f"embedding_bag: per_sample_weights are for mode='sum' and of the indices' shape, not for "
                         f"{mode!r} of {np.shape(input)} with {per_sample_weights.shape}")
    index = np.asarray(Tensor.plain(input))
    keep = np.ones(index.shape, bool)
    if index.ndim == 1:
        at, keep = _bags(len(index), offsets, include_last_offset)
        index = np.append(index, np.zeros(1, index.dtype))[at]
        if per_sample_weights is not None:
            per_sample_weights = np.take(np.append(per_sample_weights, np.zeros(1, weight.dtype)), at, axis=0)
    elif index.ndim != 2 or offsets is not None:
        raise ValueError(f"embedding_bag: indices {index.shape} must be (bags, n) without, or (total,) with offsets")
    rows = embedding(index, weight)
    if padding_idx is not None:
        keep = keep & (index != padding_idx % weight.shape[0])
    if mode == "max":
        some = keep.any(axis=1, keepdims=True)
        return np.where(some, np.max(np.where(keep[..., None] | ~some[..., None], rows, -np.inf), axis=1), 0)
    share = keep.astype(weight.dtype)
    if mode == "mean":
        share /= np.maximum(share.sum(axis=1, keepdims=True), 1)
    if per_sample_weights is not None:
        share = share * per_sample_weights
    return np.einsum("bn,bnd->bd", share, rows)


def _bags(total, offsets, include_last):
    """Positions (bags, longest) of the indices of each bag, ``total`` where it is shorter, and which are its own."""
    offsets = np.asarray(() if offsets is None else Tensor.plain(offsets))
    ends = offsets[1:] if include_last else np.append(offsets[1:], total)
    starts = offsets[:len(ends)]
    if (offsets.ndim != 1 or offsets.dtype.kind not in "iu" or not len(offsets) or offsets[0] != 0
            or np.any(ends < starts) or np.any(ends > total)):
        raise ValueError(f"embedding_bag: for {total} indices the offsets must be integers that rise from 0 to at most "
                         f"{total}, not {offsets!r:.80}")
    at = starts[:, None] + np.arange(max(1, np.max(ends - starts, initial=0)))
    keep = at < ends[:, None]
    return np.where(keep, at, total).astype(np.intp), keep


# ---- products of two inputs ----
def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """y[..., o] = input1[..., i] weight[o, i, j] input2[..., j] + bias[o], summed over i and j.

    input1: (..., in1), input2: (..., in2), weight: (out, in1, in2) -> (..., out).
    """
    if (input1.shape[:-1] != input2.shape[:-1] or weight.ndim != 3
            or (*input1.shape[-1:], *input2.shape[-1:]) != weight.shape[1:]):
        raise ValueError(f"bilinear: inputs {input1.shape} and {input2.shape} must be (..., in1) and (..., in2) for "
                         f"weight (out, in1, in2) {weight.shape}")
    y = np.einsum("...i,oij,...j->...o", input1, weight, input2)
    return y if bias is None else y + bias
