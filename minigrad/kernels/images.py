"""Convolution and pooling by the chosen kernels: `reference`, or for large float images its twins in `loops`."""

from __future__ import annotations

import functools
import importlib
import itertools

import numpy as np

from . import compiled, reference, threads

WORTH = 20_000  # elements; for fewer, loading Numba is not worth it
SHARED = 200_000  # elements; for fewer, waking another thread is not worth it


@functools.cache
def _loops():
    """The compiled twins; None where Numba cannot be imported, and `compiled.refused` says why."""
    try:
        loops = importlib.import_module(".loops", __package__)
        importlib.import_module("scipy.linalg.cython_blas")  # by which Numba multiplies matrices
        threads.found_blas.cache_clear()
        return loops
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
        loops = _loops() if fits else None
        return plain(*args, **others) if loops is None else run(loops, *args, **others)
    return choose


# ---- convolution: a part of the windows, or of the channels, a task ----
WIDE, MANY = 1024, 400_000  # columns at a time and elements of them, so that they stay in a core's cache
SUMS = 8  # parts of a weight gradient, that the rounding does not depend on the number of threads


@_twin
def conv(loops, x, w, stride, padding, dilation, groups, bias=None):
    """Cross-correlation."""
    kernel, n = w.shape[2:], len(x)
    out = reference.output_size(x.shape[2:], kernel, stride, padding, dilation)
    y = np.empty((len(w), *out, n), x.dtype)
    x, flat = reference.pad(reference.batch_last(x), padding), y.reshape(len(w), -1, n)
    bias = np.zeros(len(w), x.dtype) if bias is None else bias

    def some(task):
        (of, to), part = task
        loops.conv(x[of], w[to].reshape(len(w[to]), -1), bias[to], flat[to], kernel, stride, dilation, *part,
                   _some(w, n))
    parts = threads.parts(flat.shape[1], max(_some(w, n), -(-flat.shape[1] // (4 * threads.get_num_threads()))))
    threads.each(some, itertools.product(_groups(x, w, groups), parts))
    return reference.batch_first(y)


@_twin
def conv_input_grad(loops, g, w, shape, stride, padding, dilation, groups):
    """The adjoint of `conv` in x."""
    kernel, n, channels = w.shape[2:], len(g), w.shape[1]
    x = np.zeros((shape[1], *(size + sum(p) for size, p in zip(shape[2:], padding)), n), g.dtype)
    g = reference.batch_last(g).reshape(len(w), -1, n)

    def some(task):
        (of, to), (lo, hi) = task
        loops.conv_input_grad(g[to], w[to, lo:hi].reshape(len(w[to]), -1), x[of][lo:hi], kernel, stride, dilation,
                              0, g.shape[1], _some(w, n))
    parts = threads.parts(channels, channels if groups > 1 else -(-channels // threads.get_num_threads()))
    threads.each(some, itertools.product(_groups(x, w, groups), parts))
    return reference.batch_first(np.ascontiguousarray(x[reference.inside(shape[2:], padding)]))


@_twin
def conv_weight_grad(loops, x, g, shape, stride, padding, dilation, groups):
    """The adjoint of `conv` in w."""
    n, w = len(x), np.empty(shape, x.dtype)
    x, g = reference.pad(reference.batch_last(x), padding), reference.batch_last(g).reshape(len(w), -1, n)

    def some(task):
        (of, to), part = task
        total = np.zeros((w[0].size, len(w[to])), x.dtype)
        loops.conv_weight_grad(x[of], g[to], total, shape[2:], stride, dilation, *part, _some(w, n))
        return total
    of_groups = _groups(x, w, groups)
    parts = threads.parts(g.shape[1], max(_some(w, n), -(-g.shape[1] // max(1, min(SUMS, (1 << 20) // w.size)))))
    totals = threads.each(some, itertools.product(of_groups, parts))
    for i, (_, to) in enumerate(of_groups):
        w[to] = sum(totals[i * len(parts):(i + 1) * len(parts)]).T.reshape(w[to].shape)
    return w


def _groups(x, w, groups):
    """Of each group the channels of x (C, ...) and of what comes out."""
    inputs, outputs = len(x) // groups, len(w) // groups
    return [(slice(i * inputs, (i + 1) * inputs), slice(i * outputs, (i + 1) * outputs)) for i in range(groups)]


def _some(w, images):
    """How many windows at a time."""
    return max(1, min(WIDE, MANY // max(1, w[0].size)) // max(1, images))


# ---- pooling: a part of the channels a task ----
def _by_channels(loop, *arrays_and_how):
    """loop(arrays, *how) on all channels of the arrays (C, H, W, N)."""
    arrays = [a for a in arrays_and_how if isinstance(a, np.ndarray)]
    how = arrays_and_how[len(arrays):]
    most = len(arrays[0]) if max(a.size for a in arrays) < SHARED else -(-len(arrays[0]) // threads.get_num_threads())
    threads.each(lambda part: loop(*(a[slice(*part)] for a in arrays), *how), threads.parts(len(arrays[0]), most))


def _per_window(loop, x, kernel, stride, padding, dilation):
    """A number a window of x, (N, C, H, W), by ``loop``."""
    size = reference.output_size(x.shape[2:], kernel, stride, padding, dilation)
    y = np.empty((x.shape[1], *size, len(x)), x.dtype)
    _by_channels(loop, reference.batch_last(x), y, kernel, stride, _before(padding), dilation)
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
    _by_channels(loops.pool_put, g, x, y, put, kernel, stride, _before(padding), dilation)
    return reference.batch_first(put)


@_twin
def window_sum(loops, x, *window):
    """The sum of every window."""
    return _per_window(loops.window_sum, x, *window)


@_twin
def window_spread(loops, g, shape, kernel, stride, padding, dilation):
    """Zeros of this shape, with g added to every place of its window."""
    x = np.empty((shape[1], *shape[2:], shape[0]), g.dtype)
    _by_channels(loops.window_spread, reference.batch_last(g), x, kernel, stride, _before(padding), dilation)
    return reference.batch_first(x)
