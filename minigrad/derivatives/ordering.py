"""The derivative table, continued: sorting, order statistics, running extremes, counting.

Who stands where is locally constant, a plain array of indices; what stands there is taken, which is linear. All sorting
but `np.partition` is stable, so of equal elements it is known which one takes the gradient. NaN is the greatest number.
Quantiles and the k best are taken out of a whole sorted axis: n log(n), where NumPy and PyTorch partition.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from ..graph import constants, rule
from ..primitives import scatter_add
from .basics import _extremum
from .composed import as_array, composite

__all__ = ["cummax", "cummin", "kthvalue", "topk"]

# ---- extremes ----
composite(np.amax)(np.max)
composite(np.amin)(np.min)
rule(np.nanmax, _extremum)  # ties are split
rule(np.nanmin, _extremum)  # ties are split


@composite(np.ptp)
def _ptp(a, axis=None, *, keepdims=False):
    return np.max(a, axis=axis, keepdims=keepdims) - np.min(a, axis=axis, keepdims=keepdims)


def cummax(x, axis=-1):
    """The largest so far along ``axis``, and its index; of equal ones the last. Both of x's shape; NaN stays.

    Source: torch.cummax.
    """
    x = as_array(x)
    return _running(x, np.argsort(x, axis=axis, kind="stable"), axis)


def cummin(x, axis=-1):
    """The smallest so far along ``axis``, and its index; of equal ones the last. Both of x's shape; NaN stays.

    Source: torch.cummin.
    """
    x = as_array(x)
    turned = np.negative(x) if x.dtype.kind in "fc" else np.invert(x)  # -1 - x: exact, and no -x of unsigned ones
    return _running(x, np.argsort(turned, axis=axis, kind="stable"), axis)


def _running(x, order, axis):
    best = np.maximum.accumulate(np.argsort(order, axis=axis), axis=axis)
    return _taken(x, np.take_along_axis(order, best, axis), axis)


def _taken(x, index, axis):
    return np.take_along_axis(x, index, axis), index


# ---- sorting ----
@composite(np.sort)  # equal ones keep their order, each its own gradient
def _sort(a, axis=-1, kind=None, *, stable=None):
    if axis is None:
        a, axis = np.reshape(a, -1), -1
    return np.take_along_axis(a, np.argsort(a, axis=axis, kind="stable"), axis)


@composite(np.partition)  # equal ones in the order of np.argpartition
def _partition(a, kth, axis=-1, kind="introselect"):
    if axis is None:
        a, axis = np.reshape(a, -1), -1
    return np.take_along_axis(a, np.argpartition(a, kth, axis=axis, kind=kind), axis)


def topk(x, k, axis=-1, largest=True, sorted=True):
    """The k largest (or smallest) along ``axis``, the best first, and their indices; of equal ones the first.

    sorted: they always are. Raises ValueError unless 0 <= k <= the axis' length. Source: torch.topk.
    """
    x = as_array(x)
    n = x.shape[axis]
    if not 0 <= k <= n:
        raise ValueError(f"topk wants 0 <= k <= {n}, the length of axis {axis}, got k={k}")
    order = (np.argsort(x, axis=axis, kind="stable") if not largest else
             n - 1 - np.flip(np.argsort(np.flip(x, axis), axis=axis, kind="stable"), axis))
    return _taken(x, _part(order, slice(k), axis), axis)


def kthvalue(x, k, axis=-1, keepdims=False):
    """The k-th smallest along ``axis``, counted from 1, and its index; equal ones count in their order.

    Raises ValueError unless 1 <= k <= the axis' length. Source: torch.kthvalue.
    """
    x = as_array(x)
    n = x.shape[axis]
    if not 1 <= k <= n:
        raise ValueError(f"kthvalue wants 1 <= k <= {n}, the length of axis {axis}, got k={k}")
    y, index = _taken(x, _part(np.argsort(x, axis=axis, kind="stable"), slice(k - 1, k), axis), axis)
    return (y, index) if keepdims else (np.squeeze(y, axis), np.squeeze(index, axis))


def _part(x, where, axis):
    return x[(slice(None),) * (axis % x.ndim) + (where,)]


# ---- order statistics: the place of a quantile among n sorted values, a whole number or between two ----
_places = {
    "linear": lambda n, q: (n - 1) * q,
    "lower": lambda n, q: np.floor((n - 1) * q),
    "higher": lambda n, q: np.ceil((n - 1) * q),
    "nearest": lambda n, q: np.rint((n - 1) * q),
    "midpoint": lambda n, q: (np.floor((n - 1) * q) + np.ceil((n - 1) * q)) / 2,
    "inverted_cdf": lambda n, q: np.ceil(n * q) - 1,
    "averaged_inverted_cdf": lambda n, q: (np.ceil(n * q) - 1 + np.floor(n * q)) / 2,
    "closest_observation": lambda n, q: np.rint(n * q) - 1,
    "interpolated_inverted_cdf": lambda n, q: n * q - 1,
    "hazen": lambda n, q: n * q - 0.5,
    "weibull": lambda n, q: (n + 1) * q - 1,
    "median_unbiased": lambda n, q: (n + 1 / 3) * q - 2 / 3,
    "normal_unbiased": lambda n, q: (n + 1 / 4) * q - 5 / 8,
}


def _order_statistics(quantile, percentile, median, skip_nan):
    @composite(quantile)  # each of two neighbours takes its share; between two +inf, +inf (NumPy: NaN)
    def _quantile(a, q, axis=None, *, method="linear", keepdims=False):
        q = q if isinstance(q, (int, float)) else np.asarray(q)
        dtype = quantile(np.zeros(2, a.dtype), q, method=method).dtype  # NumPy's, and its errors
        axes = list(normalize_axis_tuple(range(a.ndim) if axis is None else axis, a.ndim))
        rest = [i for i in range(a.ndim) if i not in axes]
        n = math.prod(a.shape[i] for i in axes)
        rows = np.transpose(a, rest + axes).reshape(*(a.shape[i] for i in rest), n)
        if n == 0 and skip_nan:
            rows, n = np.pad(np.astype(rows, dtype), [(0, 0)] * len(rest) + [(0, 1)], constant_values=np.nan), 1
        order = np.argsort(rows, axis=-1, kind="stable")
        count = n - np.expand_dims(np.count_nonzero(np.isnan(rows), axis=-1), -1)
        place = np.minimum(np.maximum(_places[method](count, np.reshape(q, -1)), 0), count - 1)
        if not skip_nan:
            place = np.where(count < n, -1, place)  # the last, which is NaN
        below, above = (np.take_along_axis(rows, np.take_along_axis(order, r(place).astype(np.intp), -1), -1)
                        for r in (np.floor, np.ceil))
        share = (place - np.floor(place)).astype(dtype)
        with np.errstate(invalid="ignore"):  # 0 * inf
            y = np.where(share == 0, below, (1 - share) * below + share * above)
        kept = [1 if i in axes else m for i, m in enumerate(a.shape)] if keepdims else [a.shape[i] for i in rest]
        return np.moveaxis(y, -1, 0).reshape(*np.shape(q), *kept)

    @composite(percentile)
    def _percentile(a, q, axis=None, *, method="linear", keepdims=False):
        q = q / 100 if isinstance(q, (int, float)) else np.asarray(q) / 100
        return quantile(a, q, axis, method=method, keepdims=keepdims)

    @composite(median)  # of an even number, one half to each of the two in the middle; NaN of none
    def _median(a, axis=None, *, keepdims=False):
        a = np.astype(a, np.float64) if a.dtype == bool else a
        y = np.nanquantile if a.size == 0 else quantile
        return y(a, 0.5, axis, keepdims=keepdims)


_order_statistics(np.quantile, np.percentile, np.median, skip_nan=False)
_order_statistics(np.nanquantile, np.nanpercentile, np.nanmedian, skip_nan=True)


# ---- counting ----
@composite(np.unique)  # of equal ones the first
def _unique(ar, return_index=False, return_inverse=False, return_counts=False, axis=None, **how):
    _, index, *more = np.unique(ar.detach().numpy(), True, return_inverse, return_counts, axis, **how)
    y = np.reshape(ar, -1)[index] if axis is None else _part(ar, index, axis)
    return (y, *[index] * return_index, *more) if return_index or more else y


@composite(np.bincount)
def _bincount(x, weights=None, minlength=0):
    counts = np.bincount(np.asarray(x), minlength=minlength)
    if np.iscomplexobj(weights):
        raise TypeError("np.bincount takes real weights: count with those of w.real and of w.imag")
    if weights is None:
        return counts
    if np.shape(weights) != np.shape(x):
        raise ValueError(f"np.bincount got {np.shape(x)} numbers, but weights of shape {np.shape(weights)}")
    return scatter_add(np.astype(np.reshape(weights, -1), np.float64), index=np.asarray(x), shape=counts.shape)


constants.update({np.argpartition, np.lexsort, np.digitize, np.isin, np.nanargmax, np.nanargmin, np.unravel_index,
                  np.ravel_multi_index})
