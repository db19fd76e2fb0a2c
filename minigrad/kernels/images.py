"""Convolution and pooling by the chosen kernels: `reference`, or for large float images its twins in `loops`."""

from __future__ import annotations

import functools
import importlib
import itertools
import math

import numpy as np

from . import compiled, reference, threads

WORTH = 20_000  # elements; for fewer, loading Numba is not worth it


@functools.cache
def loops():
    """The compiled twins; None where Numba cannot be imported, and `compiled.refused` says why."""
    try:
        if importlib.import_module("numba").config.DISABLE_JIT:
            raise ImportError("NUMBA_DISABLE_JIT is set")
        return importlib.import_module(".loops", __package__)
    except ImportError as why:
        compiled.refused["minigrad.kernels.loops"] = str(why)
        return None


def _twin(run):
    """`reference`'s function of this name, or ``run(loops, ...)`` where the loops can do it and it is large enough."""
    plain = getattr(reference, run.__name__)

    @functools.wraps(plain)
    def choose(*args, **others):
        arrays = [a for a in (*args, *others.values()) if isinstance(a, np.ndarray)]
        fits = (compiled.chosen() == "compiled" and arrays[0].ndim == 4 and max(a.size for a in arrays) >= WORTH
                and arrays[0].dtype in (np.float32, np.float64) and len({a.dtype for a in arrays}) == 1)
        compiled_loops = loops() if fits else None
        return plain(*args, **others) if compiled_loops is None else run(compiled_loops, *args, **others)
    return choose


# ---- convolution: a part of the places a task ----
SUMS = 8  # parts of a weight gradient, fewer if it is large: rounding does not depend on the number of threads


def _tiled(loops, x, w, g, stride, padding, dilation, groups):
    """Whether the tiles fit, of shapes: at least one for the smallest tile, and each as it should be.

    Where they do not fit each other `reference` raises; the loops would read beyond the end.
    """
    return (x[0] == g[0] >= loops.NARROWEST and x[1] == w[1] * groups and w[0] == g[1] and w[0] % groups == 0
            and min(w) >= 1 and g[2:] == reference.output_size(x[2:], w[2:], stride, padding, dilation))


@_twin
def conv(loops, x, w, stride, padding, dilation, groups, bias=None):
    """Cross-correlation."""
    size = reference.output_size(x.shape[2:], w.shape[2:], stride, padding, dilation)
    if (not _tiled(loops, x.shape, w.shape, (len(x), len(w), *size), stride, padding, dilation, groups)
            or len(w) // groups < loops.ROWS or (bias is not None and bias.shape != (len(w),))):
        return reference.conv(x, w, stride, padding, dilation, groups, bias)
    y = np.empty((len(w), *size, len(x)), x.dtype)
    bias = np.zeros(len(w), x.dtype) if bias is None else np.ascontiguousarray(bias)
    x = reference.pad(reference.batch_last(x), padding)

    def some(task):
        (of, to), part = task
        loops.conv(x[of], w[to].reshape(len(w[to]), -1), bias[to], y[to], w.shape[2:], stride, dilation, *part)
    threads.each(some, itertools.product(_groups(x, w, groups), _parts(y)))
    return reference.batch_first(y)


@_twin
def conv_input_grad(loops, g, w, shape, stride, padding, dilation, groups):
    """The adjoint of `conv` in x."""
    if not _tiled(loops, shape, w.shape, g.shape, stride, padding, dilation, groups) or w.shape[1] < loops.ROWS:
        return reference.conv_input_grad(g, w, shape, stride, padding, dilation, groups)
    x, g = np.empty((*shape[1:], len(g)), g.dtype), reference.batch_last(g)

    def some(task):
        (of, to), part = task
        loops.conv_input_grad(g[to], w[to], x[of], stride, _before(padding), dilation, *part)
    threads.each(some, itertools.product(_groups(x, w, groups), _parts(x)))
    return reference.batch_first(x)


@_twin
def conv_weight_grad(loops, x, g, shape, stride, padding, dilation, groups):
    """The adjoint of `conv` in w."""
    if (not _tiled(loops, x.shape, shape, g.shape, stride, padding, dilation, groups)
            or min(shape[0] // groups, math.prod(shape[1:])) < loops.ROWS):
        return reference.conv_weight_grad(x, g, shape, stride, padding, dilation, groups)
    w = np.empty(shape, x.dtype)
    x, g = reference.pad(reference.batch_last(x), padding), reference.batch_last(g)

    def some(task):
        (of, to), part = task
        total = np.zeros((len(w[to]), w[0].size), x.dtype)
        loops.conv_weight_grad(x[of], g[to], total, shape[2:], stride, dilation, *part)
        return total
    most = max(1, min(SUMS, (1 << 20) // w.size))
    of_groups = [(of, slice(to.start + a, to.start + b)) for of, to in _groups(x, w, groups)  # or parts of a group
                 for a, b in threads.divided(len(w[to]), min(SUMS // most, len(w[to]) // loops.ROWS))]
    parts = threads.divided(g.shape[1], most)
    totals = threads.each(some, itertools.product(of_groups, parts))
    for i, (_, to) in enumerate(of_groups):
        w[to] = sum(totals[i * len(parts):(i + 1) * len(parts)]).reshape(w[to].shape)
    return w


def _groups(x, w, groups):
    """Of each group the channels of x (C, ...) and of what comes out."""
    inputs, outputs = len(x) // groups, len(w) // groups
    return [(slice(i * inputs, (i + 1) * inputs), slice(i * outputs, (i + 1) * outputs)) for i in range(groups)]


def _parts(images):
    """Parts of the places of images (C, H, W, N): some for each thread, that none waits long for the last."""
    return threads.divided(images.shape[1] * images.shape[2], 4 * threads.get_num_threads())


# ---- pooling: a part of the channels a task ----
def by_channels(loop, *arrays_and_how):
    """loop(arrays, *how) on all channels of the arrays (C, ...)."""
    arrays = [a for a in arrays_and_how if isinstance(a, np.ndarray)]
    how = arrays_and_how[len(arrays):]
    size = max(a.size for a in arrays)
    threads.share(lambda part: loop(*(a[slice(*part)] for a in arrays), *how), len(arrays[0]), size)


def _per_window(loop, x, kernel, stride, padding, dilation):
    """A number a window of x, (N, C, H, W), by ``loop``."""
    size = reference.output_size(x.shape[2:], kernel, stride, padding, dilation)
    y = np.empty((x.shape[1], *size, len(x)), x.dtype)
    by_channels(loop, reference.batch_last(x), y, kernel, stride, _before(padding), dilation)
    return reference.batch_first(y)


def _before(padding):
    return tuple(before for before, _ in padding)


@_twin
def max_pool(loops, x, *window):
    """The largest value of every window."""
    return _per_window(loops.max_pool, x, *window)


@_twin
def pool_put(loops, g, x, y, kernel, stride, padding, dilation):
    """Zeros like x, with g where each window has its maximum y."""
    g, x, y = map(reference.batch_last, (g, x, y))
    put = np.empty_like(x)
    by_channels(loops.pool_put, g, x, y, put, kernel, stride, _before(padding), dilation)
    return reference.batch_first(put)


@_twin
def window_sum(loops, x, *window):
    """The sum of every window."""
    return _per_window(loops.window_sum, x, *window)


@_twin
def window_spread(loops, g, shape, kernel, stride, padding, dilation):
    """Zeros of this shape, with g added to every place of its window."""
    x = np.empty((shape[1], *shape[2:], shape[0]), g.dtype)
    by_channels(loops.window_spread, reference.batch_last(g), x, kernel, stride, _before(padding), dilation)
    return reference.batch_first(x)
