"""Convolution and pooling by the chosen kernels: `reference`, or for large float images its twins in `loops`."""

from __future__ import annotations

import functools
import importlib

import numpy as np

from . import compiled, reference

WORTH = 100_000  # elements; for fewer, loading Numba is not worth it


@functools.cache
def _loops():
    """The compiled twins; None where Numba cannot be imported, and `compiled.refused` says why."""
    try:
        return importlib.import_module(".loops", __package__)
    except ImportError as why:
        compiled.refused["minigrad.kernels.loops"] = str(why)
        return None


def _twin(run):
    """`reference`'s function of this name, or ``run(loops, ...)`` where the loops can do it and it is large enough.

    Its last arguments are kernel, stride, padding and dilation.
    """
    plain = getattr(reference, run.__name__)

    @functools.wraps(plain)
    def choose(*args):
        arrays = [a for a in args if isinstance(a, np.ndarray)]
        fits = (compiled.chosen() == "compiled" and len(args[-1]) == 2 and max(a.size for a in arrays) >= WORTH
                and arrays[0].dtype in (np.float32, np.float64) and len({a.dtype for a in arrays}) == 1)
        loops = _loops() if fits else None
        return plain(*args) if loops is None else run(loops, *args)
    return choose


def _per_window(loop, x, kernel, stride, padding, dilation):
    """A number a window of x, (N, C, H, W), by ``loop``."""
    size = reference.output_size(x.shape[2:], kernel, stride, padding, dilation)
    y = np.empty((x.shape[1], *size, len(x)), x.dtype)
    loop(reference.batch_last(x), y, kernel, stride, _before(padding), dilation, 0, len(x))
    return reference.batch_first(y)


def _before(padding):
    return tuple(before for before, _ in padding)


@_twin
def uncolumns(loops, cols, size, kernel, stride, padding, dilation):
    """The adjoint of im2col."""
    x = np.empty((cols.shape[0], *size, cols.shape[-1]), cols.dtype)
    loops.uncolumns(cols, x, stride, _before(padding), dilation, 0, x.shape[-1])
    return x


def conv_input_grad(*args):
    """`reference`'s, with the `uncolumns` from here."""
    return reference.conv_input_grad(*args, uncolumns=uncolumns)


@_twin
def max_pool(loops, x, *window):
    """The largest value of every window."""
    return _per_window(loops.max_pool, x, *window)


@_twin
def pool_put(loops, g, x, y, kernel, stride, padding, dilation):
    """Zeros like x, with g where each window has its maximum y."""
    g, x, y = map(reference.batch_last, (g, x, y))
    put = np.empty_like(x)
    loops.pool_put(g, x, y, put, kernel, stride, _before(padding), dilation, 0, x.shape[-1])
    return reference.batch_first(put)


@_twin
def window_sum(loops, x, *window):
    """The sum of every window."""
    return _per_window(loops.window_sum, x, *window)


@_twin
def window_spread(loops, g, shape, kernel, stride, padding, dilation):
    """Zeros of this shape, with g added to every place of its window."""
    x = np.empty((shape[1], *shape[2:], shape[0]), g.dtype)
    loops.window_spread(reference.batch_last(g), x, kernel, stride, _before(padding), dilation, 0, shape[0])
    return reference.batch_first(x)
