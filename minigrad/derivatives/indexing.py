"""The derivative table, continued: taking, putting and selecting.

Indices are inputs without a gradient. What takes is linear in the values, and what adds back where they were taken is
its adjoint: each one's rule is the other. PyTorch's functions of this kind (gather, scatter, ...) are made of these.
"""

from __future__ import annotations

import math
import operator

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from ..dispatch import primitive
from ..graph import constants, rule
from ..inplace import assign
from ..primitives import pad
from .composed import as_array, called_as, composite


# ---- taking, and adding back; an index that repeats adds up ----
def _add(g, index, lead, trail, n):
    """Zeros (*lead, n, *trail) with ``g`` added at ``index`` between lead and trail; index may have ones for these.

    By flat positions, for there np.add.at is several times faster than with a tuple of indices.
    """
    rows, columns = math.prod(lead), math.prod(trail)
    at = (np.arange(rows)[:, None, None] * n + index.astype(np.intp) % max(n, 1)) * columns + np.arange(columns)
    z = np.zeros((*lead, n, *trail), g.dtype)
    np.add.at(z.reshape(-1), at.reshape(-1), g.reshape(-1))
    return z


@primitive(lambda u, z, g, index, axis, n: np.take_along_axis(u, index, axis), None)
def add_along_axis(g, index, axis, n):
    """Zeros, n along ``axis`` and like g otherwise, with ``g`` added at ``index``, which broadcasts to g's shape."""
    axis %= g.ndim
    lead, trail = g.shape[:axis], g.shape[axis + 1:]
    index = np.broadcast_to(index, g.shape).reshape(math.prod(lead), g.shape[axis], math.prod(trail))
    return _add(g, index, lead, trail, n)


@primitive(lambda u, z, g, index, axis, n: np.take(u, index, axis=axis), None)
def add_taken(g, index, axis, n):
    """Zeros with ``g`` added where np.take(., index, axis) took it from, an axis (not negative) of length n."""
    return _add(g, np.reshape(index, (1, -1, 1)), g.shape[:axis], g.shape[axis + np.ndim(index):], n)


def _along(arr, indices, axis=-1):
    if axis is None:
        arr, axis = np.reshape(arr, -1), 0
    return (arr, as_array(indices)), {"axis": axis}


def _of(a, indices, axis=None, mode="raise"):
    if axis is None:
        a, axis = np.reshape(a, -1), 0
    indices = as_array(indices)
    if mode != "raise":
        n = a.shape[axis]
        indices = {"wrap": lambda: indices % n, "clip": lambda: np.clip(indices, 0, n - 1)}[mode]()
    return (a, indices), {"axis": axis}


rule(np.take_along_axis, lambda g, y, x, index, axis: add_along_axis(g, index, axis=axis, n=x.shape[axis]), None,
     broadcasts=True, bind=called_as(np.take_along_axis, _along))
rule(np.take, lambda g, y, x, index, axis: add_taken(g, index, axis=axis % x.ndim, n=x.shape[axis]), None,
     bind=called_as(np.take, _of))


@composite(np.compress)
def _compress(condition, a, axis=None):
    return np.take(a, np.flatnonzero(condition), axis)


@composite(np.extract)
def _extract(condition, arr):
    return np.compress(np.ravel(condition), arr)


@composite(np.delete)
def _delete(arr, obj, axis=None):
    return np.take(arr, np.delete(np.arange(arr.size if axis is None else arr.shape[axis]), obj), axis)


@composite(np.insert)
def _insert(arr, obj, values, axis=None):
    if axis is None:
        arr, axis = np.reshape(arr, -1), 0
    n, axis = arr.shape[axis], axis % arr.ndim
    values = np.astype(as_array(values), arr.dtype)
    values = values.reshape((1,) * (arr.ndim - values.ndim) + values.shape)
    if np.ndim(obj) == 0 and not isinstance(obj, slice):
        values = np.moveaxis(values, 0, axis)
    k = len(np.insert(np.arange(n), obj, 0)) - n
    k = values.shape[axis] if k == 1 else k
    values = np.broadcast_to(values, (*arr.shape[:axis], k, *arr.shape[axis + 1:]))
    return np.take(np.concatenate([arr, values], axis), np.insert(np.arange(n), obj, n + np.arange(k)), axis)


@composite(np.repeat)
def _repeat(a, repeats, axis=None):
    if axis is None:
        a, axis = np.reshape(a, -1), 0
    if np.ndim(repeats) or repeats == 1:  # a copy
        return np.take(a, np.repeat(np.arange(a.shape[axis]), repeats), axis)
    axis, n, shape = normalize_axis_index(axis, a.ndim), operator.index(repeats), a.shape
    y = np.broadcast_to(np.expand_dims(a, axis + 1), (*shape[:axis + 1], n, *shape[axis + 1:]))
    return np.reshape(y, (*shape[:axis], n * shape[axis], *shape[axis + 1:]))


@composite(np.resize)
def _resize(a, new_shape):
    return np.take(a, np.resize(np.arange(a.size), new_shape))


@composite(np.trim_zeros)
def _trim_zeros(filt, trim="fb"):
    if filt.ndim != 1 or trim.lower() not in ("fb", "bf", "f", "b"):
        raise ValueError(f"np.trim_zeros of a Tensor takes a vector, and trim of 'f' and 'b', not shape {filt.shape} "
                         f"and {trim!r}")
    kept = np.flatnonzero(filt)
    return filt[kept[0] if len(kept) and "f" in trim.lower() else 0 if len(kept) else len(filt):
                kept[-1] + 1 if len(kept) and "b" in trim.lower() else None]


# ---- selecting ----
@composite(np.choose)
def _choose(a, choices, mode="raise"):
    a, *choices = np.broadcast_arrays(a * 1, *choices)  # True is 1
    if mode == "raise" and (np.any(a < 0) or np.any(a >= len(choices))):
        raise ValueError(f"np.choose: an index is not one of the {len(choices)} choices; see mode='wrap' and 'clip'")
    a = {"raise": lambda: a, "wrap": lambda: a % len(choices), "clip": lambda: np.clip(a, 0, len(choices) - 1)}[mode]()
    return np.squeeze(np.take_along_axis(np.stack(choices), np.expand_dims(a, 0), 0), 0)


@composite(np.select)
def _select(condlist, choicelist, default=0):
    if len(condlist) != len(choicelist) or not len(condlist):
        raise ValueError(f"np.select: {len(condlist)} conditions for {len(choicelist)} choices")
    for condition, choice in zip(reversed(condlist), reversed(choicelist)):
        default = np.where(condition, choice, default)
    return default


@composite(np.piecewise)
def _piecewise(x, condlist, funclist, *args, **kw):
    several = np.ndim(condlist[0]) or not x.ndim
    masks = [np.asarray(c, bool) for c in (condlist if several else [condlist])]
    if any(m.shape != x.shape for m in masks):
        raise ValueError(f"np.piecewise: x has shape {x.shape}, but the conditions {[m.shape for m in masks]}")
    if len(funclist) == len(masks) + 1:
        masks.append(~np.any(masks, axis=0))
    if len(funclist) != len(masks):
        raise ValueError(f"np.piecewise: {len(funclist)} functions for {len(masks)} conditions")
    y = np.zeros_like(x)
    for mask, f in zip(masks, funclist):
        y = assign(y, np.astype(f(x[mask], *args, **kw), x.dtype) if callable(f) else f, index=mask)
    return y


@composite(np.tril)
def _tril(m, k=0):
    return np.where(np.tri(*m.shape[-2:], k=k, dtype=bool), m, m.dtype.type(0))


@composite(np.triu)
def _triu(m, k=0):
    return np.where(np.tri(*m.shape[-2:], k=k - 1, dtype=bool), m.dtype.type(0), m)


def diag_embed(x, offset=0, dim1=-2, dim2=-1):
    """Matrices with the last axis of ``x`` on a diagonal: (..., n) -> (..., m, m) with m = n + |offset|.

    dim1, dim2: where the axes of the matrices go. The inverse of np.diagonal; torch.diag_embed.
    """
    k = abs(offset)
    x = np.pad(x, [(0, 0)] * (np.ndim(x) - 1) + [(0, k)])
    y = np.where(np.eye(x.shape[-1], k=offset, dtype=bool), np.expand_dims(x, -1 if offset >= 0 else -2), 0)
    return np.moveaxis(y, (-2, -1), (dim1, dim2))


@composite(np.diagflat)
def _diagflat(v, k=0):
    return diag_embed(np.ravel(v), k)


@composite(np.diag)
def _diag(v, k=0):
    if np.ndim(v) not in (1, 2):
        raise ValueError(f"np.diag takes a vector or a matrix, not shape {v.shape}")
    return np.diagonal(v, k) if v.ndim == 2 else diag_embed(v, k)


def safe_where(mask, f, x, otherwise=0, safe=1.0):
    """np.where(mask, f(x), otherwise), for an f that has no value or no slope where ``mask`` is false.

    np.where alone multiplies the infinite slope of the branch not taken by 0: NaN. Here f is applied to ``safe`` in
    place of x there, a number at which it and its derivatives are finite; all that reaches x is right, at every order:

        >>> safe_where(x > 0, np.sqrt, x)    # 0 for x <= 0, and so is the derivative
    """
    return np.where(mask, f(np.where(mask, x, safe)), otherwise)


# ---- PyTorch's, where NumPy has none: each returns a new value ----
def _reached(name, x, dim, index, src=None):
    """The part of x that index and src reach, as slices; IndexError or ValueError if they do not fit."""
    if np.ndim(index) != np.ndim(x):
        raise ValueError(f"{name}: index has shape {np.shape(index)}, but x {np.shape(x)}: they need as many axes")
    axis = range(x.ndim)[dim]
    if any(k > n and i != axis for i, (k, n) in enumerate(zip(index.shape, x.shape))):
        raise ValueError(f"{name}: index {index.shape} is larger than x {x.shape} apart from axis {dim}")
    if src is not None and np.ndim(src) and (np.ndim(src) != x.ndim or np.less(np.shape(src), index.shape).any()):
        raise ValueError(f"{name}: src {np.shape(src)} does not cover index {index.shape}")
    return tuple(slice(None) if i == axis else slice(0, k) for i, k in enumerate(index.shape))


def _check(name, index, n):
    if index.size and (np.any(index < -n) or np.any(index >= n)):
        raise IndexError(f"{name}: an index is out of range for an axis of length {n}")


def _covering(src, index):
    return src[tuple(map(slice, index.shape))] if np.ndim(src) else np.broadcast_to(src, index.shape)


def gather(x, dim, index):
    """y[i, j, k] = x[index[i, j, k], j, k] for dim = 0, and so on: torch.gather.

    index: integers, with as many axes as x, and no longer than x except along dim. y has its shape.
    """
    x, index = as_array(x), as_array(index)
    return np.take_along_axis(x[_reached("gather", x, dim, index)], index, dim)


def scatter(x, dim, index, src):
    """A copy of ``x`` with y[index[i, j, k], j, k] = src[i, j, k] for dim = 0, and so on: torch.scatter.

    index: as in `gather`. src: a number, or on every axis as long as index, or longer. Of an index that repeats the
    last value stands, and gets the gradient.
    """
    x, index, src = as_array(x), as_array(index), as_array(src)
    _reached("scatter", x, dim, index, src)
    _check("scatter", index, x.shape[dim])
    where = list(np.ogrid[tuple(map(slice, index.shape))])
    where[dim] = np.asarray(index)
    return assign(x, _covering(src, index), index=tuple(where))


def scatter_add(x, dim, index, src):
    """``x`` with src[i, j, k] added at [index[i, j, k], j, k] for dim = 0, and so on: as `scatter`."""
    x, index, src = as_array(x), as_array(index), as_array(src)
    _reached("scatter_add", x, dim, index, src)
    _check("scatter_add", index, x.shape[dim])
    z = add_along_axis(np.astype(_covering(src, index), x.dtype), index, axis=dim, n=x.shape[dim])
    return x + (z if z.shape == x.shape else pad(z, pad_width=tuple((0, n - k) for n, k in zip(x.shape, z.shape))))


def index_select(x, dim, index):
    """The entries ``index`` (n,) of ``x`` along ``dim``: np.take(x, index, dim)."""
    return np.take(x, index, axis=dim)


def _at(name, x, dim, index, source):
    """x, the index (n,) and source as arrays that fit."""
    x, index, source = as_array(x), as_array(index), as_array(source)
    shape = list(x.shape)
    shape[dim] = index.size
    if index.ndim != 1 or np.shape(source) != tuple(shape):
        raise ValueError(f"{name}: x {x.shape} and index {index.shape} along {dim} want a source of shape "
                         f"{tuple(shape)}, not {np.shape(source)}")
    _check(name, index, x.shape[dim])
    return x, index, np.astype(source, x.dtype)


def index_add(x, dim, index, source, alpha=1):
    """``x`` with alpha * source added to its entries ``index`` (n,) along ``dim``; one that repeats adds up."""
    x, index, source = _at("index_add", x, dim, index, source)
    return x + alpha * add_taken(source, index, axis=dim % x.ndim, n=x.shape[dim])


def index_copy(x, dim, index, source):
    """A copy of ``x`` with ``source`` at its entries ``index`` (n,) along ``dim``; if one repeats, the last stands."""
    x, index, source = _at("index_copy", x, dim, index, source)
    return assign(x, source, index=(slice(None),) * (dim % x.ndim) + (index,))


def masked_fill(x, mask, value):
    """``value`` where ``mask`` is true, ``x`` elsewhere; mask broadcasts to x's shape."""
    x = as_array(x)
    if np.broadcast_shapes(np.shape(mask), x.shape) != x.shape:
        raise ValueError(f"masked_fill: a mask of shape {np.shape(mask)} does not broadcast to {x.shape}")
    return np.astype(np.where(mask, value, x), x.dtype)


def masked_select(x, mask):
    """The elements of ``x`` where ``mask`` is true, (n,), after broadcasting both."""
    x, mask = np.broadcast_arrays(x, mask)
    return x[mask]


# ---- interpolation ----
@composite(np.interp)
def _interp(x, xp, fp, left=None, right=None, period=None):
    """Between the points by a straight line, at a point that of its right-hand side; outside flat."""
    if period is not None:
        raise TypeError("np.interp of a Tensor does not support period=: extend xp and fp by a point at each end")
    x, xp, fp = map(as_array, (x, xp, fp))
    if x.dtype.kind == "c" or xp.dtype.kind == "c":
        raise TypeError("np.interp: x and xp are real, only fp may be complex")
    x, xp = np.astype(x, np.float64), np.astype(xp, np.float64)
    fp = fp if fp.dtype.kind == "c" else np.astype(fp, np.float64)
    if xp.ndim != 1 or xp.shape != fp.shape or not xp.size:
        raise ValueError(f"np.interp: xp {xp.shape} and fp {fp.shape} must be of one axis, as long, and not empty")
    j = np.clip(np.searchsorted(xp, x, side="right") - 1, 0, max(len(xp) - 2, 0))
    x0, x1, f0, f1 = (np.take(v, i, axis=0) for v in (xp, fp) for i in (j, np.minimum(j + 1, len(xp) - 1)))
    below, above = x < xp[0], x > xp[-1]
    outside = below | above
    width = np.where(x1 == x0, 1, x1 - x0)
    with np.errstate(invalid="ignore"):
        rise = f1 - f0
    lost = ~np.isfinite(rise) & ((x == x0) | (x == x1))  # at a point, and 0 * inf would be NaN
    y = (np.where(lost & (x == x1), f1, f0)
         + np.where(outside, 0, x - x0) * (np.where(lost, 0, rise) / width))
    return np.where(below, fp[0] if left is None else left, np.where(above, fp[-1] if right is None else right, y))


constants.update({np.ix_, np.tril_indices_from, np.triu_indices_from, np.diag_indices_from})
