"""Indexing, windows, convolution, pooling: linear maps whose rules call each other, so every order is right.

Each adjoint pair, and the convolution triple, is closed under differentiation: the array code behind it may be as
dirty and fast as it likes, for no rule ever looks inside. Images are (N, C, *spatial); see kernels/reference.py.
"""

from __future__ import annotations

import operator

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from . import kernels
from .dispatch import primitive
from .graph import rule

# ---- x[index] and its adjoint, which adds where an index repeats ----
rule(operator.getitem, lambda g, y, x, index: scatter_add(g, index=index, shape=x.shape),
     forward=lambda x, index: x[index])


@primitive(lambda u, y, g, index, shape: u[index])
def scatter_add(g, index, shape):
    """Zeros of ``shape`` with ``g`` added at ``index``; what is indexed twice is added twice."""
    z = np.zeros(shape, g.dtype)
    parts = index if isinstance(index, tuple) else (index,)
    once = int, np.integer, slice, type(None), type(...)  # and masks: what cannot meet an element twice
    if all(isinstance(i, once) or getattr(i, "dtype", "") == "?" for i in parts):
        z[index] = g
    else:
        np.add.at(z, index, g)
    return z


# ---- padding and slicing ----
@primitive(lambda g, y, x, pad_width, constant_values=0: g[tuple(
    slice(b, b + n) for b, n in zip(np.broadcast_to(pad_width, (x.ndim, 2))[:, 0].tolist(), x.shape))])
def pad(x, pad_width, constant_values=0):
    """np.pad with a constant; the other modes are made of indexing, in derivatives/composed.py."""
    return np.pad(x, pad_width, constant_values=constant_values)


# ---- sliding windows and their fold ----
@primitive(lambda g, y, x, size, **s: fold(g, shape=x.shape[-len(size):], **s))
def windows(x, size, stride, dilation):
    """All windows over the last axes of ``x``: (*lead, *S) -> (*lead, *out, *size), a view."""
    k = len(size)
    span = [d * (n - 1) + 1 for n, d in zip(size, dilation)]
    views = sliding_window_view(x, span, tuple(range(-k, 0)))
    return views[(..., *(slice(None, None, s) for s in stride), *(slice(None, None, d) for d in dilation))]


@primitive(lambda u, y, g, shape, **s: windows(u, size=g.shape[-len(shape):], **s))
def fold(g, shape, stride, dilation):
    """The adjoint of `windows`: add them back to where they came from, (*lead, *out, *size) to (*lead, *shape)."""
    k = len(shape)
    out, size = g.shape[-2 * k:-k], g.shape[-k:]
    x = np.zeros((*g.shape[:-2 * k], *shape), g.dtype)
    for i, at in kernels.reference.taps(size, kernels.reference.whole(out), stride, dilation):
        x[(..., *at)] += g[(..., *(slice(None),) * k, *i)]
    return x


# ---- convolution: three bilinear maps, the rules of each are the other two ----
@primitive(lambda g, y, x, w, **s: conv_input_grad(g, w, shape=x.shape, **s),
           lambda g, y, x, w, **s: conv_weight_grad(x, g, shape=w.shape, **s))
def conv(x, w, stride, padding, dilation, groups):
    """Cross-correlation of (N, C, *S) with (O, C / groups, *K), over any number of spatial axes."""
    return kernels.conv(x, w, stride, padding, dilation, groups)


@primitive(lambda u, y, g, w, shape, **s: conv(u, w, **s),
           lambda u, y, g, w, shape, **s: conv_weight_grad(u, g, shape=w.shape, **s))
def conv_input_grad(g, w, shape, stride, padding, dilation, groups):
    """The adjoint of `conv` in x, of this ``shape``: transposed convolution."""
    return kernels.conv_input_grad(g, w, shape, stride, padding, dilation, groups)


@primitive(lambda u, y, x, g, shape, **s: conv_input_grad(g, u, shape=x.shape, **s),
           lambda u, y, x, g, shape, **s: conv(x, u, **s))
def conv_weight_grad(x, g, shape, stride, padding, dilation, groups):
    """The adjoint of `conv` in w, of this ``shape``."""
    return kernels.conv_weight_grad(x, g, shape, stride, padding, dilation, groups)


# ---- pooling: where the maximum stands is locally constant, what stands there is linear ----
@primitive(lambda g, y, x, **s: pool_put(g, x, y, **s))
def max_pool(x, kernel, stride, padding, dilation):
    """The largest value of every window; of equal ones the first takes the gradient."""
    return kernels.max_pool(x, kernel, stride, padding, dilation)


@primitive(lambda u, z, g, x, y, **s: pool_take(u, x, y, **s), None, None)
def pool_put(g, x, y, kernel, stride, padding, dilation):
    """Zeros like x, with ``g`` added where each of its windows has its maximum ``y``."""
    return kernels.pool_put(g, x, y, kernel, stride, padding, dilation)


@primitive(lambda g, z, u, x, y, **s: pool_put(g, x, y, **s), None, None)
def pool_take(u, x, y, kernel, stride, padding, dilation):
    """From every window of ``u`` what stands where ``x`` has its maximum ``y``: the adjoint of `pool_put`."""
    return kernels.pool_take(u, x, y, kernel, stride, padding, dilation)


@primitive(lambda g, y, x, **s: window_spread(g, shape=x.shape, **s))
def window_sum(x, kernel, stride, padding, dilation):
    """The sum of every window: average pooling before the division."""
    return kernels.window_sum(x, kernel, stride, padding, dilation)


@primitive(lambda u, y, g, shape, **s: window_sum(u, **s))
def window_spread(g, shape, kernel, stride, padding, dilation):
    """The adjoint of `window_sum`: add ``g`` to every place of its window."""
    return kernels.window_spread(g, shape, kernel, stride, padding, dilation)
