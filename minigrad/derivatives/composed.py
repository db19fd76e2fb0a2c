"""NumPy functions that join and split, those made of others, and those that are locally constant."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ..graph import Each, composites, constants, rule
from ..primitives import pad, windows


# ---- joining ----
def _pieces(*args, axis=0):
    axis = args[1] if len(args) > 1 else axis
    return ([np.reshape(x, -1) for x in args[0]], {"axis": 0}) if axis is None else (list(args[0]), {"axis": axis})


def _part(i, g, y, *xs, axis=0):
    start = sum(x.shape[axis] for x in xs[:i])
    return g[(slice(None),) * (axis % g.ndim) + (slice(start, start + xs[i].shape[axis]),)]


rule(np.concatenate, Each(_part), forward=lambda *xs, axis=0: np.concatenate(xs, axis), bind=_pieces)
rule(np.stack, Each(lambda i, g, y, *xs, axis=0: g[(slice(None),) * (axis % g.ndim) + (i,)]),
     forward=lambda *xs, axis=0: np.stack(xs, axis), bind=_pieces)


# ---- made of others: no rule needed ----
def composite(*functions):
    """Enter a function of Tensors that is made of functions in the table, for these NumPy functions."""
    def enter(made):
        composites.update(dict.fromkeys(functions, made))
        return made
    return enter


def _split_by(split):
    @composite(split)
    def made(x, indices_or_sections, axis=0):
        lead = (slice(None),) * (axis % x.ndim)
        parts = split(np.arange(x.shape[axis]), indices_or_sections)
        return [x[(*lead, slice(p[0], p[-1] + 1) if len(p) else slice(0))] for p in parts]


_split_by(np.split)
_split_by(np.array_split)


@composite(np.dot)
def _dot(a, b):
    if np.ndim(a) == 0 or np.ndim(b) == 0:
        return a * b
    if np.ndim(b) <= 2:
        return a @ b
    return np.einsum("...i,jik->...jk", a, b) if np.ndim(b) == 3 else np.tensordot(a, b, (-1, -2))


@composite(np.ravel)
def _ravel(x):
    return np.reshape(x, -1)


@composite(np.outer)
def _outer(a, b):
    return np.reshape(a, (-1, 1)) * np.reshape(b, (1, -1))


@composite(np.diagonal)
def _diagonal(x, offset=0, axis1=0, axis2=1):
    x = np.moveaxis(x, (axis1, axis2), (-2, -1))
    index = np.arange(min(x.shape[-2] + min(offset, 0), x.shape[-1] - max(offset, 0)))
    return x[..., index - min(offset, 0), index + max(offset, 0)]


@composite(np.trace)
def _trace(x, offset=0, axis1=0, axis2=1):
    return np.sum(np.diagonal(x, offset, axis1, axis2), axis=-1)


@composite(sliding_window_view)
def _sliding_window_view(x, window_shape, axis=None):
    size = tuple(np.atleast_1d(window_shape).tolist())
    axes = tuple(np.atleast_1d(range(x.ndim) if axis is None else axis).tolist())
    last = tuple(range(-len(axes), 0))
    ones = (1,) * len(axes)
    y = windows(np.moveaxis(x, axes, last), size=size, stride=ones, dilation=ones)
    return np.moveaxis(y, range(x.ndim - len(axes), x.ndim), [a % x.ndim for a in axes])


@composite(np.pad)
def _pad(x, pad_width, mode="constant", constant_values=0):
    if mode == "constant":
        return pad(x, pad_width=pad_width, constant_values=constant_values)
    if mode not in ("edge", "reflect", "symmetric", "wrap"):
        raise TypeError(f"np.pad of a Tensor knows constant, edge, reflect, symmetric and wrap, not mode={mode!r}")
    widths = np.broadcast_to(pad_width, (x.ndim, 2)).tolist()
    return x[np.ix_(*(np.pad(np.arange(n), w, mode) for n, w in zip(x.shape, widths)))]


# ---- functions that are locally constant: plain arrays come back ----
constants.update({
    np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal, np.isnan, np.isinf, np.isfinite,
    np.signbit, np.logical_and, np.logical_or, np.logical_not, np.logical_xor, np.isclose, np.allclose, np.array_equal,
    np.argmax, np.argmin, np.argsort, np.argwhere, np.nonzero, np.flatnonzero, np.count_nonzero, np.searchsorted,
    np.any, np.all, np.zeros_like, np.ones_like, np.empty_like, np.full_like, np.shape, np.ndim, np.size,
    np.result_type, np.iscomplexobj, np.isrealobj, np.array_repr, np.array_str, np.array2string})
