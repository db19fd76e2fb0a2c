"""Normalization and sums over all but the channels, by hand: rows of a channel stay in the cache between the passes.

Each is asked first for large arrays, and returns None for what only the rule in the table knows.
"""

from __future__ import annotations

import functools

import numpy as np

from . import compiled, images, reference
from .images import by_channels

WORTH = 16_384  # elements


def _rows(x, axes):
    """(C, values) of a large x (N, C, ...) that is reduced over all but its channels; else None."""
    if (compiled.chosen() != "compiled" or type(x) is not np.ndarray or x.size < WORTH or x.ndim < 3
            or x.dtype not in (np.float32, np.float64) or tuple(np.mod(axes, x.ndim)) != (0, *range(2, x.ndim))
            or images.loops() is None):
        return None
    return reference.batch_last(x).reshape(x.shape[1], -1)


def _sums(g):
    """g.sum(axis=(0, 2, 3)); None if that is for NumPy."""
    rows = _rows(g, (0, *range(2, g.ndim)))
    if rows is None:
        return None
    total = np.empty(len(rows), g.dtype)
    by_channels(images.loops().sums, rows, total)
    return total


def sum_over_images(g, y, x, w, b, **_):
    """The rule of a convolution's bias."""
    return _sums(g)


def moments(x, axes):
    """Mean and variance over the axes."""
    rows = _rows(x, axes)
    if rows is None:
        return x.mean(axis=axes), x.var(axis=axes)
    mean, var = np.empty(len(rows), x.dtype), np.empty(len(rows), x.dtype)
    by_channels(images.loops().moments, rows, mean, var)
    return mean, var


def normalize(x, w, b, axes, eps):
    """(x - mean) / sqrt(var + eps) * w + b."""
    rows = _rows(x, axes) if w.size == b.size == x.shape[1] and w.dtype == b.dtype == x.dtype else None
    if rows is None:
        return None
    y = np.empty((*x.shape[1:], len(x)), x.dtype)
    loop = functools.partial(images.loops().normalize, float(eps))
    by_channels(loop, rows, w.reshape(-1), b.reshape(-1), y.reshape(rows.shape))
    return reference.batch_first(y)


def input_grad(g, y, x, w, b, axes, eps):
    """Its rule for x."""
    if not w.size == x.shape[1] or not w.dtype == g.dtype == x.dtype or (rows := _rows(x, axes)) is None:
        return None
    of = _rows(g, axes)
    d = np.empty((*x.shape[1:], len(x)), x.dtype)
    loop = functools.partial(images.loops().normalize_input_grad, float(eps))
    by_channels(loop, of, rows, w.reshape(-1), d.reshape(rows.shape))
    return reference.batch_first(d)


def weight_grad(g, y, x, w, b, axes, eps):
    """Its rule for w, summed already."""
    if not w.size == x.shape[1] or not w.dtype == g.dtype == x.dtype or (rows := _rows(x, axes)) is None:
        return None
    of = _rows(g, axes)
    total = np.empty(len(rows), x.dtype)
    by_channels(functools.partial(images.loops().normalize_weight_grad, float(eps)), of, rows, total)
    return total.reshape(w.shape)


def bias_grad(g, y, x, w, b, axes, eps):
    """Its rule for b, summed already."""
    total = _sums(g) if b.size == g.shape[1] and b.dtype == g.dtype else None
    return None if total is None else total.reshape(b.shape)
