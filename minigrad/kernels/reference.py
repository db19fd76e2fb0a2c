"""Array code for convolution and pooling in NumPy. Derivatives live elsewhere: here only arrays go in and out.

Images are (N, C, *spatial) to the caller, but their memory is kept batch-innermost, as (C, *spatial, N): then every
copy and sum below runs over long contiguous rows, whatever the stride. `batch_last` is free for arrays made here.

stride, dilation: one int per spatial axis. padding: one (before, after) pair per spatial axis.
"""

from __future__ import annotations

import math

import numpy as np


def batch_last(x):
    """(N, C, *spatial) -> contiguous (C, *spatial, N)."""
    return np.ascontiguousarray(np.moveaxis(x, 0, -1))


def batch_first(x):
    """(C, *spatial, N) -> (N, C, *spatial), a view."""
    return np.moveaxis(x, -1, 0)


def output_size(size, kernel, stride, padding, dilation):
    """How many windows fit, per spatial axis: floor((size + padding - dilation * (kernel - 1) - 1) / stride) + 1."""
    return tuple((n + sum(p) - d * (k - 1) - 1) // s + 1
                 for n, k, s, p, d in zip(size, kernel, stride, padding, dilation))


def taps(kernel, out, stride, dilation):
    """Each position in the kernel, with the slices of a padded image that it meets over all windows."""
    for k in np.ndindex(*kernel):
        yield k, tuple(slice(i * d, i * d + s * (n - 1) + 1, s) for i, n, s, d in zip(k, out, stride, dilation))


def pad(x, padding, value=0):
    """``x`` (lead, *spatial, N) with its spatial axes padded."""
    if not any(map(any, padding)):
        return x
    padded = np.full((x.shape[0], *(n + sum(p) for n, p in zip(x.shape[1:-1], padding)), x.shape[-1]), value, x.dtype)
    padded[inside(x.shape[1:-1], padding)] = x
    return padded


def inside(size, padding):
    """The index that takes the padding off (lead, *spatial, N)."""
    return (slice(None), *(slice(p[0], p[0] + n) for n, p in zip(size, padding)))


def columns(x, kernel, out, stride, padding, dilation):
    """im2col: (C, *S, N) -> (C, *kernel, *out, N), every window's values side by side."""
    x = pad(x, padding)
    if math.prod(kernel) == 1 and x.shape[1:-1] == out:
        return x.reshape(x.shape[0], *kernel, *out, x.shape[-1])
    cols = np.empty((x.shape[0], *kernel, *out, x.shape[-1]), x.dtype)
    for k, at in taps(kernel, out, stride, dilation):
        cols[(slice(None), *k)] = x[(slice(None), *at)]
    return cols


def uncolumns(cols, size, kernel, stride, padding, dilation):
    """col2im, the adjoint of `columns`: add every window's values back to where they came from."""
    out = cols.shape[1 + len(kernel):-1]
    x = np.zeros((cols.shape[0], *(n + sum(p) for n, p in zip(size, padding)), cols.shape[-1]), cols.dtype)
    for k, at in taps(kernel, out, stride, dilation):
        x[(slice(None), *at)] += cols[(slice(None), *k)]
    return x[inside(size, padding)]


def conv(x, w, stride, padding, dilation, groups):
    """y[n, o] = sum over c, k of w[o, c, k] x[n, c, window k]: cross-correlation, as every framework's convolution."""
    kernel, n = w.shape[2:], x.shape[0]
    out = output_size(x.shape[2:], kernel, stride, padding, dilation)
    cols = columns(batch_last(x), kernel, out, stride, padding, dilation)
    y = _grouped(w, groups) @ _grouped(cols, groups, 1 + len(kernel))
    return batch_first(y.reshape(w.shape[0], *out, n))


def conv_input_grad(g, w, shape, stride, padding, dilation, groups, uncolumns=uncolumns):
    """The adjoint of `conv` in x, which is transposed convolution. shape: x's. uncolumns: a twin of the one above."""
    kernel, out, n = w.shape[2:], g.shape[2:], g.shape[0]
    cols = _grouped(w, groups).swapaxes(-1, -2) @ _grouped(batch_last(g), groups)
    cols = cols.reshape(shape[1], *kernel, *out, n)
    return batch_first(uncolumns(cols, shape[2:], kernel, stride, padding, dilation))


def conv_weight_grad(x, g, shape, stride, padding, dilation, groups):
    """The adjoint of `conv` in w. shape: w's."""
    kernel, out = shape[2:], g.shape[2:]
    cols = _grouped(columns(batch_last(x), kernel, out, stride, padding, dilation), groups, 1 + len(kernel))
    return (_grouped(batch_last(g), groups) @ cols.swapaxes(-1, -2)).reshape(shape)


def _grouped(x, groups, lead=1):
    """One matrix per group: its rows from the first ``lead`` axes, its columns from the others."""
    return x.reshape(groups, math.prod(x.shape[:lead]) // groups, math.prod(x.shape[lead:]))


# Pooling takes (N, C, *S) in any memory order: slices keep it, and ufuncs run along whatever is contiguous.

def pad_images(x, padding, value):
    """``x`` (N, C, *S) padded, in its own memory order."""
    return batch_first(pad(np.moveaxis(x, 0, -1), padding, value)) if any(map(any, padding)) else x


def lowest(dtype):
    """What loses every comparison: -inf, or an integer type's minimum."""
    if dtype.kind == "c":
        raise TypeError("complex numbers have no largest one: pool their real and imaginary parts, or np.abs")
    return -np.inf if dtype.kind == "f" else np.iinfo(dtype).min


def max_pool(x, kernel, stride, padding, dilation):
    """The largest value of every window. Padding counts as -inf, NaN wins."""
    out = output_size(x.shape[2:], kernel, stride, padding, dilation)
    x = pad_images(x, padding, lowest(x.dtype))
    y = None
    for _, at in taps(kernel, out, stride, dilation):
        part = x[(..., *at)]
        y = part.copy("K") if y is None else np.maximum(y, part, out=y)
    return y


def maxima(x, y, kernel, stride, padding, dilation):
    """For each tap: its slices, and where it holds the window's maximum y, of equal ones the first only."""
    nan = y.dtype.kind == "f" and np.isnan(y.min(initial=0))
    x = pad_images(x, padding, np.nan if y.dtype.kind == "f" and not nan else lowest(y.dtype))  # padding equals no y
    free = np.ones_like(y, bool)
    for _, at in taps(kernel, y.shape[2:], stride, dilation):
        part = x[(..., *at)]
        hit = part == y
        if nan:
            hit |= part != part
        hit &= free
        free ^= hit
        yield at, hit


def pool_take(u, x, y, kernel, stride, padding, dilation):
    """From every window of u the value that stands where x has its maximum y."""
    u, taken = pad_images(u, padding, 0), np.zeros_like(y, u.dtype)
    for at, hit in maxima(x, y, kernel, stride, padding, dilation):
        np.copyto(taken, u[(..., *at)], where=hit)
    return taken


def pool_put(g, x, y, kernel, stride, padding, dilation):
    """The adjoint of `pool_take`: zeros like x, with g added where each window has its maximum y."""
    put = images_of_zeros(g, x.shape, padding)
    apart = all(s >= d * (k - 1) + 1 for k, s, d in zip(kernel, stride, dilation))  # no two windows meet
    for at, hit in maxima(x, y, kernel, stride, padding, dilation):
        if apart:
            np.copyto(put[(..., *at)], g, where=hit)
        else:
            put[(..., *at)] += np.where(hit, g, 0)
    return put[(..., *inside(x.shape[2:], padding)[1:])]


def window_sum(x, kernel, stride, padding, dilation):
    """The sum of every window, padding counting as 0."""
    out = output_size(x.shape[2:], kernel, stride, padding, dilation)
    x = pad_images(x, padding, 0)
    return sum(x[(..., *at)] for _, at in taps(kernel, out, stride, dilation))


def window_spread(g, shape, kernel, stride, padding, dilation):
    """The adjoint of `window_sum`: add g to every place of its window. shape: x's."""
    x = images_of_zeros(g, shape, padding)
    for _, at in taps(kernel, g.shape[2:], stride, dilation):
        x[(..., *at)] += g
    return x[(..., *inside(shape[2:], padding)[1:])]


def images_of_zeros(like, shape, padding):
    """Zeros of ``shape`` with its padding around, batch innermost."""
    return batch_first(np.zeros((shape[1], *(n + sum(p) for n, p in zip(shape[2:], padding)), shape[0]), like.dtype))
