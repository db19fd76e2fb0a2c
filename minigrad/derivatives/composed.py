"""NumPy functions that join and split, those made of others, and those that are locally constant."""

from __future__ import annotations

import functools
import inspect
import math

import numpy as np
from numpy.lib.array_utils import normalize_axis_index
from numpy.lib.stride_tricks import sliding_window_view

from ..dispatch import primitive
from ..graph import Each, composites, constants, rule, table
from ..primitives import pad, windows


def as_array(x):
    """A list or a number as an array, anything else as it is."""
    return x if hasattr(x, "dtype") else np.asarray(x)


# ---- made of others: no rule needed ----
def composite(*functions):
    """Enter a function of Tensors that is made of functions in the table, for these NumPy functions."""
    def enter(made):
        composites.update(dict.fromkeys(functions, made if made in table else called_as(functions[0], made)))
        return made
    return enter


def called_as(function, made):
    """``made``, to be called like NumPy's ``function``; of what it does not take only NumPy's default may be passed."""
    @functools.cache
    def known():
        takes = inspect.signature(made).parameters
        try:
            numpys = inspect.signature(function)
        except ValueError:  # of those in C only the newer NumPys tell
            numpys = inspect.signature(made)
        agree, least = 0, 0  # so many leading arguments mean the same in both, and so many are needed
        for p, q in zip(numpys.parameters.values(), takes.values()):
            if p.kind is p.VAR_POSITIONAL is q.kind:
                agree = math.inf
            if p.kind in (p.VAR_POSITIONAL, p.KEYWORD_ONLY) or q.kind is q.KEYWORD_ONLY or (
                    p.name != q.name and p.default is not p.empty):
                break
            agree, least = agree + 1, least + (p.default is p.empty)
        return numpys, takes, least, agree

    def rebound(numpys, takes, args, kwargs):
        try:
            bound = numpys.bind(*args, **{k: v for k, v in kwargs.items() if v is not None or k in takes})
        except TypeError as error:
            raise TypeError(f"np.{function.__name__} of a Tensor: {error}") from None
        given, strangers = bound.arguments, set()
        anything = any(p.kind is p.VAR_KEYWORD for p in takes.values())
        for k, p in numpys.parameters.items():
            v = given.get(k, np._NoValue)
            if v is np._NoValue:
                given.pop(k, None)
            elif p.kind is p.VAR_KEYWORD and not anything:
                strangers |= v.keys() - takes.keys()
            elif k not in takes and p.default is not p.empty and not anything:
                del given[k]
                if v is not None and not (isinstance(v, (int, float, str)) and v == p.default):
                    strangers.add(k)
        if strangers:
            raise TypeError(f"np.{function.__name__} of a Tensor does not support {', '.join(sorted(strangers))}= "
                            f"(it takes {', '.join(takes)})")
        return bound.args, bound.kwargs

    @functools.wraps(made)
    def call(*args, **kwargs):
        numpys, takes, least, agree = known()
        if not (least <= len(args) <= agree and takes.keys() >= kwargs.keys()) or any(
                v is np._NoValue for v in kwargs.values()):
            args, kwargs = rebound(numpys, takes, args, kwargs)
        return made(*args, **kwargs)
    return call


# ---- joining ----
def _pieces(arrays, axis=0):
    return ([np.reshape(x, -1) for x in arrays], {"axis": 0}) if axis is None else (list(arrays), {"axis": axis})


def _part(i, g, y, *xs, axis=0):
    start = sum(x.shape[axis] for x in xs[:i])
    return g[(slice(None),) * (axis % g.ndim) + (slice(start, start + xs[i].shape[axis]),)]


rule(np.concatenate, Each(_part), forward=lambda *xs, axis=0: np.concatenate(xs, axis),
     bind=called_as(np.concatenate, _pieces))
rule(np.stack, Each(lambda i, g, y, *xs, axis=0: g[(slice(None),) * (axis % g.ndim) + (i,)]),
     forward=lambda *xs, axis=0: np.stack(xs, axis), bind=called_as(np.stack, _pieces))


# ---- splitting ----
def _split_by(split):
    @composite(split)
    def made(x, indices_or_sections, axis=0):
        parts = split(np.arange(x.shape[axis]), indices_or_sections)
        lead = (slice(None),) * (axis % x.ndim)
        return [x[(*lead, slice(p[0], p[-1] + 1) if len(p) else slice(0))] for p in parts]


def _split_along(split, axis, ndim):
    @composite(split)
    def made(ary, indices_or_sections):
        if ary.ndim < ndim:
            raise ValueError(f"np.{split.__name__} wants at least {ndim} axes, not shape {ary.shape}")
        return np.split(ary, indices_or_sections, axis=min(axis, ary.ndim - 1))


_split_by(np.split)
_split_by(np.array_split)
_split_along(np.vsplit, 0, ndim=2)
_split_along(np.hsplit, 1, ndim=1)  # a vector along its only axis
_split_along(np.dsplit, 2, ndim=3)

if hasattr(np, "unstack"):
    @composite(np.unstack)
    def _unstack(x, axis=0):
        return tuple(np.moveaxis(x, axis, 0))


# ---- joining, made of concatenate ----
def _at_least(function, grow):
    @composite(function)
    def made(*arys):
        ys = tuple(np.reshape(x, grow(np.shape(x))) if np.ndim(x) < len(grow(np.shape(x))) else x for x in arys)
        return ys[0] if len(ys) == 1 else ys


_at_least(np.atleast_1d, lambda s: s or (1,))
_at_least(np.atleast_2d, lambda s: (1,) * (2 - len(s)) + s)
_at_least(np.atleast_3d, lambda s: ((1, 1, 1), (1, *s, 1), (*s, 1))[len(s)] if len(s) < 3 else s)


@composite(np.hstack)
def _hstack(tup):
    xs = [np.atleast_1d(x) for x in tup]
    return np.concatenate(xs, axis=0 if xs[0].ndim == 1 else 1)


@composite(np.vstack)
def _vstack(tup):
    return np.concatenate([np.atleast_2d(x) for x in tup], axis=0)


@composite(np.dstack)
def _dstack(tup):
    return np.concatenate([np.atleast_3d(x) for x in tup], axis=2)


@composite(np.column_stack)
def _column_stack(tup):
    return np.concatenate([x if np.ndim(x) > 1 else np.reshape(x, (-1, 1)) for x in tup], axis=1)


@composite(np.append)
def _append(arr, values, axis=None):
    return np.concatenate([arr, values], axis=axis)


@composite(np.block)
def _block(arrays):
    """Lists in lists of blocks: the innermost are joined along the last axis, the next along the one before."""
    def depth(b): return 1 + max(map(depth, b), default=0) if isinstance(b, list) else 0
    def axes(b): return max(map(axes, b), default=0) if isinstance(b, list) else np.ndim(b)

    def join(b, level):
        if depth(b) != level or (level and not b):
            raise ValueError("np.block: the blocks are not all at the same depth of lists")
        if level:
            return np.concatenate([join(c, level - 1) for c in b], axis=-level)
        return np.reshape(b, (1,) * (n - np.ndim(b)) + np.shape(b))
    n = max(axes(arrays), depth(arrays))
    return join(arrays, depth(arrays))


# ---- turning and repeating ----
rule(np.roll, lambda g, y, x, shift, axis=None: np.roll(g, np.negative(shift), axis))


@composite(np.flipud)
def _flipud(m):
    return np.flip(m, 0)


@composite(np.fliplr)
def _fliplr(m):
    return np.flip(m, 1)


@composite(np.rot90)
def _rot90(m, k=1, axes=(0, 1)):
    if len(axes) != 2 or axes[0] % m.ndim == axes[1] % m.ndim:
        raise ValueError(f"np.rot90 turns in the plane of two axes, not of {axes}")
    m = np.flip(m, ((), axes[1], axes, axes[0])[k % 4])
    return np.swapaxes(m, *axes) if k % 2 else m


@composite(np.rollaxis)
def _rollaxis(a, axis, start=0):
    axis, start = normalize_axis_index(axis, a.ndim), normalize_axis_index(start + a.ndim * (start < 0), a.ndim + 1)
    return np.moveaxis(a, axis, start - (start > axis))


@composite(np.tile)
def _tile(A, reps):
    reps = tuple(np.atleast_1d(reps).tolist())
    n = max(len(reps), np.ndim(A))
    shape, reps = (1,) * (n - np.ndim(A)) + np.shape(A), (1,) * (n - len(reps)) + reps
    y = np.broadcast_to(np.reshape(A, [m for s in shape for m in (1, s)]), [m for rs in zip(reps, shape) for m in rs])
    return np.reshape(y, [r * s for r, s in zip(reps, shape)])


@composite(np.broadcast_arrays)
def _broadcast_arrays(*args):
    shape = np.broadcast_shapes(*map(np.shape, args))
    return tuple(np.broadcast_to(x, shape) for x in args)


@composite(np.meshgrid)
def _meshgrid(*xi, copy=True, sparse=False, indexing="xy"):
    if indexing not in ("xy", "ij"):
        raise ValueError(f"np.meshgrid: indexing is 'xy' or 'ij', not {indexing!r}")
    ys = [np.reshape(x, [-1 if i == j else 1 for j in range(len(xi))]) for i, x in enumerate(xi)]
    if indexing == "xy" and len(xi) > 1:
        ys = [np.swapaxes(y, 0, 1) for y in ys]
    return tuple(ys) if sparse else tuple(map(np.copy, np.broadcast_arrays(*ys)))


@composite(np.dot)
def _dot(a, b):
    if np.ndim(a) == 0 or np.ndim(b) == 0:
        return a * b
    if np.ndim(b) <= 2:
        return a @ b
    if np.shape(a)[-1] != np.shape(b)[-2]:  # einsum would broadcast a 1
        raise ValueError(f"np.dot: the last axis of shape {np.shape(a)} and the last but one of {np.shape(b)} differ")
    return np.einsum("...i,jik->...jk", a, b) if np.ndim(b) == 3 else np.tensordot(a, b, (-1, -2))


@composite(np.ravel)
def _ravel(a, order="C"):
    return np.reshape(a, -1, order)


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


@primitive(lambda g, y, a, v: _valid(g, v), lambda g, y, a, v: _valid(g, a))
def _full(a, v):
    """y[k] = sum over i of a[i] v[k - i], all of it: what np.convolve and np.correlate cut their modes from."""
    return np.convolve(a, v)


@primitive(lambda u, y, g, v: _full(u, v), lambda u, y, g, v: _valid(g, u))
def _valid(g, v):
    """y[k] = sum over i of g[k + i] v[i], for g no shorter than v: the adjoint of `_full`."""
    return np.convolve(g, v[::-1], "valid")


def _cut(y, n, mode):
    """The part of ``y`` for this mode, if the shorter of the two vectors had n elements."""
    if mode not in ("full", "same", "valid"):
        raise ValueError(f"np.convolve and np.correlate know the modes 'full', 'same' and 'valid', not {mode!r}")
    start = {"full": 0, "same": n - 1 - n // 2, "valid": n - 1}[mode]
    return y[start:start + y.size + 1 - n] if mode == "same" else y[start:y.size - start]


@composite(np.convolve)
def _convolve(a, v, mode="full"):
    a, v = np.atleast_1d(a), np.atleast_1d(v)
    return _cut(_full(a, v), min(a.size, v.size), mode)


@composite(np.correlate)
def _correlate(a, v, mode="valid"):
    a, v = np.atleast_1d(a), np.atleast_1d(v).conj()
    if a.size >= v.size:
        return _cut(_full(a, np.flip(v)), v.size, mode)
    return np.flip(_cut(_full(v, np.flip(a)), a.size, mode))


@composite(np.polyval)
def _polyval(p, x):
    y = np.zeros_like(x)
    for c in p:
        y = y * x + c
    return y


@composite(np.vander)
def _vander(x, N=None, increasing=False):
    if x.ndim != 1:
        raise ValueError(f"np.vander takes a vector, not shape {x.shape}")
    n = len(x) if N is None else N
    return np.expand_dims(x, -1) ** (np.arange(n) if increasing else np.arange(n)[::-1])


@composite(np.pad)
def _pad(x, pad_width, mode="constant", constant_values=0):
    if mode == "constant":
        return pad(x, pad_width=pad_width, constant_values=constant_values)
    if mode not in ("edge", "reflect", "symmetric", "wrap"):
        raise TypeError(f"np.pad of a Tensor knows constant, edge, reflect, symmetric and wrap, not mode={mode!r}")
    widths = np.broadcast_to(pad_width, (x.ndim, 2)).tolist()
    return x[np.ix_(*(np.pad(np.arange(n), w, mode) for n, w in zip(x.shape, widths)))]


@composite(np.full_like)
def _full_like(a, fill_value, dtype=None, *, shape=None):
    """A plain array unless the value is a Tensor."""
    y = np.broadcast_to(fill_value, a.shape if shape is None else shape)
    return np.astype(y, a.dtype if dtype is None else dtype)


# ---- functions that are locally constant: plain arrays come back ----
constants.update({
    np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal, np.isnan, np.isinf, np.isfinite,
    np.signbit, np.logical_and, np.logical_or, np.logical_not, np.logical_xor, np.isclose, np.allclose, np.array_equal,
    np.argmax, np.argmin, np.argsort, np.argwhere, np.nonzero, np.flatnonzero, np.count_nonzero, np.searchsorted,
    np.any, np.all, np.zeros_like, np.ones_like, np.empty_like, np.shape, np.ndim, np.size,
    np.result_type, np.iscomplexobj, np.isrealobj, np.array_repr, np.array_str, np.array2string})
