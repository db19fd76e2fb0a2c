"""The derivative table, continued: running sums and products, differences, integrals, means, and log-sum-exp."""

from __future__ import annotations

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from ..dispatch import primitive
from ..graph import rule
from .basics import keep
from .composed import as_array, composite

__all__ = ["logcumsumexp", "logsumexp"]

# ---- running sums and products; axis=None makes them flat, as y's shape shows ----
rule(np.cumsum, lambda g, y, x, axis=None:
     np.flip(np.cumsum(np.flip(g, axis or 0), axis or 0), axis or 0).reshape(x.shape))


def _cumprod_rule(g, y, x, axis=None):
    """The product of all before, times the sum of what comes after, each term without x itself: exact at zeros."""
    g, y, rows = (v.reshape(y.shape).swapaxes(axis or 0, -1) for v in (g, y, x))
    before = np.concatenate([np.ones_like(y[..., :1]), y[..., :-1]], -1)
    return (before * _tails(g, rows[..., 1:])).swapaxes(axis or 0, -1).reshape(x.shape)


def _tails(g, a):
    """s[i] = g[i] + a[i] s[i + 1] along the last axis, in log2(n) steps that double how far s[i] looks ahead."""
    n, ahead = g.shape[-1], 1
    while ahead < n:
        g = np.concatenate([g[..., :-ahead] + a * g[..., ahead:], g[..., -ahead:]], -1)
        a = a[..., :-ahead] * a[..., ahead:]
        ahead *= 2
    return g


rule(np.cumprod, _cumprod_rule)  # exact where factors are zero


def _cumulative(function, scan, start):
    @composite(function)
    def made(x, *, axis=None, include_initial=False):
        if axis is None and x.ndim > 1:
            raise ValueError(f"{function.__name__} of {x.ndim} axes needs axis=, the one to run along")
        y = scan(x, axis)
        if not include_initial:
            return y
        axis = (axis or 0) % y.ndim
        first = np.full([1 if i == axis else n for i, n in enumerate(y.shape)], start, y.dtype)
        return np.concatenate([first, y], axis)


if hasattr(np, "cumulative_sum"):  # NumPy >= 2.1
    _cumulative(np.cumulative_sum, np.cumsum, 0)
    _cumulative(np.cumulative_prod, np.cumprod, 1)


# ---- log-sum-exp ----
def _softmax(g, y, x, axis):
    return keep(g, x, axis) * np.exp(x - keep(np.where(y == -np.inf, 0, y), x, axis))


@primitive(lambda g, y, x, axis=None, keepdims=False: _softmax(g, y, x, axis))
def logsumexp(x, axis=None, keepdims=False):
    """log(sum(exp(x))) along ``axis``, without overflow; -inf where all are -inf (the gradient is 0 there)."""
    top = _finite(np.max(np.real(x), axis=axis, keepdims=True))
    with np.errstate(divide="ignore"):
        y = np.log(np.exp(x - top).sum(axis=axis, keepdims=True)) + top
    return y if keepdims else y.squeeze(axis)


def _finite(x):
    return np.where(np.isfinite(x), x, 0)


def _logcumsumexp_rule(g, y, x, axis=-1):
    """exp(x[i]) times the sum over k >= i of g[k] exp(-y[k]), with exp(y[i]) moved inside: no exponent exceeds 0."""
    g, y, x = g.swapaxes(axis, -1), y.swapaxes(axis, -1), x.swapaxes(axis, -1)
    y = np.where(y == -np.inf, -1e30, y)  # whose differences are numbers
    return (np.exp(x - y) * _tails(g, np.exp(y[..., :-1] - y[..., 1:]))).swapaxes(axis, -1)


@primitive(_logcumsumexp_rule)  # 0 where x is -inf
def logcumsumexp(x, axis=-1):
    """log(cumsum(exp(x))) along ``axis``, without overflow; of the shape of x."""
    return np.logaddexp.accumulate(x, axis=axis)


# ---- differences and integrals ----
@composite(np.diff)
def _diff(a, n=1, axis=-1, prepend=None, append=None):
    shape = np.shape(a)
    if n < 0 or not shape:
        raise ValueError(f"np.diff wants an array of one axis at least and n >= 0, got shape {shape} and n={n}")
    if n == 0:
        return a
    lead = (slice(None),) * normalize_axis_index(axis, len(shape))
    edge = (*shape[:len(lead)], 1, *shape[len(lead) + 1:])
    parts = [np.broadcast_to(p, edge) if np.ndim(p) == 0 else p for p in (prepend, a, append) if p is not None]
    y = np.concatenate(parts, len(lead)) if len(parts) > 1 else a
    for _ in range(n):
        minus = np.not_equal if y.dtype == bool else np.subtract
        y = minus(y[(*lead, slice(1, None))], y[(*lead, slice(-1))])
    return y


@composite(np.ediff1d)
def _ediff1d(ary, to_end=None, to_begin=None):
    y = np.diff(np.reshape(ary, -1))
    ends = [p if p is None else np.astype(np.reshape(p, -1), y.dtype) for p in (to_begin, to_end)]
    return np.concatenate([p for p in (ends[0], y, ends[1]) if p is not None])


@composite(np.gradient)
def _gradient(f, *varargs, axis=None, edge_order=1):
    axes = range(np.ndim(f)) if axis is None else np.atleast_1d(axis).tolist()
    steps = varargs or (1.0,)
    steps = steps * len(axes) if len(steps) == 1 and np.ndim(steps[0]) == 0 else steps
    if len(steps) != len(axes):
        raise TypeError(f"np.gradient along {len(axes)} axes takes one spacing for all or one for each, "
                        f"got {len(varargs)}")
    slopes = tuple(_slope(np.swapaxes(f, a, -1), h, edge_order).swapaxes(a, -1) for a, h in zip(axes, steps))
    return slopes[0] if len(axes) == 1 else slopes


def _slope(f, x, edge_order):
    """df/dx along the last axis: the slopes between neighbours, their means inside, extrapolated (order 2) at the ends.

    x: a spacing, or the coordinates.
    """
    f = f if f.dtype.kind in "fc" else f.astype(np.float64)
    n = f.shape[-1]
    if edge_order not in (1, 2) or n <= edge_order:
        raise ValueError(f"np.gradient wants edge_order 1 or 2 and more elements than that, got {edge_order} and {n}")
    if np.ndim(x) > 0 and np.shape(x) != (n,):
        raise ValueError(f"np.gradient along an axis of length {n} got coordinates of shape {np.shape(x)}")
    real = np.finfo(f.dtype).dtype
    h = np.astype(np.diff(x) if np.ndim(x) else x * np.ones(n - 1), real)
    d = np.diff(f) / h
    left, right = d[..., :1], d[..., -1:]
    inside = h[:-1] * d[..., 1:] + h[1:] * d[..., :-1] if np.ndim(x) else f[..., 2:] - f[..., :-2]
    if edge_order == 2:
        left = left + (left - d[..., 1:2]) * (h[0] / (h[0] + h[1]))
        right = right + (right - d[..., -2:-1]) * (h[-1] / (h[-1] + h[-2]))
    return np.concatenate([left, inside / (h[:-1] + h[1:]), right], -1)


@composite(np.trapezoid)
def _trapezoid(y, x=None, dx=1.0, axis=-1):
    y = as_array(y)
    lead = (slice(None),) * normalize_axis_index(axis, y.ndim)
    if x is not None:
        dx = np.diff(x, axis=axis) if np.ndim(x) > 1 else np.diff(x).reshape(-1, *(1,) * (y.ndim - 1 - len(lead)))
    return (dx * (y[(*lead, slice(1, None))] + y[(*lead, slice(-1))])).sum(axis) / 2


# ---- means ----
@composite(np.average)
def _average(a, axis=None, weights=None, returned=False, *, keepdims=False):
    if weights is None:
        y = np.mean(a, axis=axis, keepdims=keepdims)
        return (y, np.full(y.shape, np.size(a) / max(y.size, 1), y.dtype)) if returned else y
    shape, w = np.shape(a), weights
    axes = normalize_axis_tuple(range(len(shape)) if axis is None else axis, len(shape))
    if np.shape(w) != shape:
        if axis is None or np.shape(w) != tuple(shape[i] for i in axes):
            raise ValueError(f"np.average of shape {shape} over axis={axis} got weights of shape {np.shape(w)}: they "
                             "are of the array's shape, or of the axes averaged over")
        w = np.reshape(np.transpose(w, np.argsort(axes)), [n if i in axes else 1 for i, n in enumerate(shape)])
    total = np.sum(w, axis=axis, keepdims=keepdims)
    if np.any(total == 0):
        raise ZeroDivisionError("np.average: the weights sum to zero")
    y = np.sum(a * w, axis=axis, keepdims=keepdims) / total
    return (y, np.copy(np.broadcast_to(total, y.shape))) if returned else y


@composite(np.cov)
def _cov(m, y=None, rowvar=True, bias=False, ddof=None, fweights=None, aweights=None, *, dtype=None):
    x = np.concatenate([_variables(v, rowvar, dtype) for v in (m, y) if v is not None])
    ddof, n = ddof if ddof is not None else 0 if bias else 1, x.shape[1]
    if ddof != int(ddof):
        raise ValueError(f"np.cov: ddof is a whole number, not {ddof}")
    for name, v in (("fweights", fweights), ("aweights", aweights)):
        if v is not None and (np.shape(v) != (n,) or np.any(np.less(v, 0))):
            raise ValueError(f"np.cov of {n} observations takes as many {name}, none negative: of shape ({n},), "
                             f"not {np.shape(v)}")
    if fweights is not None and np.any(np.not_equal(fweights, np.rint(fweights))):
        raise TypeError("np.cov: fweights count, so they are whole numbers; others are aweights")
    w = np.ones(n) * (1 if fweights is None else fweights) * (1 if aweights is None else aweights)
    w = np.astype(w, np.finfo(x.dtype).dtype)
    total = np.sum(w)
    centred = x - np.sum(x * w, axis=1, keepdims=True) / total
    lost = ddof if aweights is None or ddof == 0 else ddof * np.sum(w * aweights) / total
    return np.squeeze(centred @ (centred * w).conj().T / np.maximum(total - lost, 0))


def _variables(m, rowvar, dtype):
    """One row for each variable."""
    if np.ndim(m) > 2:
        raise ValueError(f"np.cov takes a matrix of observations, not shape {np.shape(m)}")
    x = np.reshape(m, (1, -1)) if np.ndim(m) < 2 else m if rowvar else np.transpose(m)
    return np.astype(x, np.result_type(x.dtype, np.float64) if dtype is None else dtype)


@composite(np.corrcoef)
def _corrcoef(x, y=None, rowvar=True, *, dtype=None):
    c = np.cov(x, y, rowvar, dtype=dtype)
    if c.ndim == 0:
        return c / c
    d = np.sqrt(np.real(np.diagonal(c)))
    c = c / d.reshape(-1, 1) / d
    return c if c.dtype.kind == "c" else np.clip(c, -1, 1)


# ---- what is NaN counts for nothing, and gets the gradient 0 ----
def _filled(x, value=0):
    return np.where(np.isnan(x), value, x)


def _present(x, axis, keepdims):
    return np.sum(np.where(np.isnan(x), 0, np.real(np.ones_like(x))), axis=axis, keepdims=keepdims)


@composite(np.nansum)
def _nansum(x, axis=None, *, keepdims=False):
    return np.sum(_filled(x), axis=axis, keepdims=keepdims)


@composite(np.nanprod)
def _nanprod(x, axis=None, *, keepdims=False):
    return np.prod(_filled(x, 1), axis=axis, keepdims=keepdims)


@composite(np.nancumsum)
def _nancumsum(x, axis=None):
    return np.cumsum(_filled(x), axis)


@composite(np.nancumprod)
def _nancumprod(x, axis=None):
    return np.cumprod(_filled(x, 1), axis)


@composite(np.nanmean)
def _nanmean(x, axis=None, *, keepdims=False):
    return np.nansum(x, axis=axis, keepdims=keepdims) / _present(x, axis, keepdims)


@composite(np.nanvar)
def _nanvar(x, axis=None, *, ddof=0, keepdims=False):
    d = np.where(np.isnan(x), 0, x - np.nanmean(x, axis=axis, keepdims=True))
    free = _present(x, axis, keepdims) - ddof
    return np.sum(np.real(d * d.conj()), axis=axis, keepdims=keepdims) / np.where(free > 0, free, np.nan)


@composite(np.nanstd)  # 0 where all are equal
def _nanstd(x, axis=None, *, ddof=0, keepdims=False):
    v = np.nanvar(x, axis=axis, ddof=ddof, keepdims=keepdims)
    return np.where(v == 0, 0, np.sqrt(np.where(v == 0, 1, v)))
