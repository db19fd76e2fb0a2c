"""Array code for convolution and pooling in NumPy. Derivatives live elsewhere: here only arrays go in and out.

Images are (N, C, *spatial) to the caller, but their memory is kept batch-innermost, as (C, *spatial, N): then every
copy and sum below runs over long contiguous rows, whatever the stride. `batch_last` is free for arrays made here.

stride, dilation: one int per spatial axis. padding: one (before, after) pair per spatial axis.
"""

from __future__ import annotations

import math

import numpy as np

from .threads import parts


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


def taps(kernel, run, stride, dilation):
    """Each position in the kernel, with the slices of a padded image that it meets over the windows of ``run``."""
    for k in np.ndindex(*kernel):
        yield k, tuple(slice(i * d + s * lo, i * d + s * (hi - 1) + 1, s)
                       for i, (lo, hi), s, d in zip(k, run, stride, dilation))


def whole(out):
    """The run of all windows."""
    return tuple((0, n) for n in out)


def runs(out, most):
    """All windows, an axis of ``out`` long each way, as runs of at most ``most`` (but never less than one): ranges,
    one an axis, whose windows follow each other in memory."""
    inner = math.prod(out[1:])
    if most >= inner:
        return [(part, *whole(out[1:])) for part in parts(out[0], most // max(inner, 1))]
    return [((i, i + 1), *rest) for i in range(out[0]) for rest in runs(out[1:], most)]


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


# ---- convolution: as many windows at a time as keep their columns small ----
MOST = 1 << 22  # elements of columns


def columns(x, kernel, run, stride, dilation):
    """im2col: padded images (C, *S, N) -> (C, *kernel, *run, N), every window's values side by side."""
    shape = x.shape[0], *kernel, *(hi - lo for lo, hi in run), x.shape[-1]
    if math.prod(kernel) == 1:
        (_, at), = taps(kernel, run, stride, dilation)
        return x[(slice(None), *at)].reshape(shape)
    cols = np.empty(shape, x.dtype)
    for k, at in taps(kernel, run, stride, dilation):
        cols[(slice(None), *k)] = x[(slice(None), *at)]
    return cols


def uncolumns(cols, x, run, stride, dilation):
    """col2im, the adjoint of `columns`: add every window's values to where they came from in x."""
    for k, at in taps(cols.shape[1:1 + len(run)], run, stride, dilation):
        x[(slice(None), *at)] += cols[(slice(None), *k)]


def conv(x, w, stride, padding, dilation, groups, bias=None):
    """y[n, o] = sum over c, k of w[o, c, k] x[n, c, window k] + bias[o]: cross-correlation, as every framework's."""
    kernel, n = w.shape[2:], x.shape[0]
    out = output_size(x.shape[2:], kernel, stride, padding, dilation)
    x, y = pad(batch_last(x), padding), np.empty((w.shape[0], *out, n), np.result_type(x, w))
    weights, products = grouped(w, groups), grouped(y, groups)
    for run, at in runs_of(x, kernel, out):
        cols = columns(x, kernel, run, stride, dilation)
        np.matmul(weights, grouped(cols, groups, 1 + len(kernel)), out=products[..., at])
    if bias is not None:
        y += bias.reshape(-1, *(1,) * (len(out) + 1))
    return batch_first(y)


def conv_input_grad(g, w, shape, stride, padding, dilation, groups):
    """The adjoint of `conv` in x, which is transposed convolution. shape: x's."""
    kernel, out, n = w.shape[2:], g.shape[2:], g.shape[0]
    x = np.zeros((shape[1], *(size + sum(p) for size, p in zip(shape[2:], padding)), n), np.result_type(g, w))
    weights, g = grouped(w, groups).swapaxes(-1, -2), grouped(batch_last(g), groups)
    for run, at in runs_of(x, kernel, out):
        cols = (weights @ g[..., at]).reshape(len(x), *kernel, *(hi - lo for lo, hi in run), n)
        uncolumns(cols, x, run, stride, dilation)
    return batch_first(x[inside(shape[2:], padding)])


def conv_weight_grad(x, g, shape, stride, padding, dilation, groups):
    """The adjoint of `conv` in w. shape: w's."""
    kernel, out, total = shape[2:], g.shape[2:], 0
    x, g = pad(batch_last(x), padding), grouped(batch_last(g), groups)
    for run, at in runs_of(x, kernel, out):
        cols = grouped(columns(x, kernel, run, stride, dilation), groups, 1 + len(kernel))
        total += cols @ g[..., at].swapaxes(-1, -2)  # OpenBLAS is faster at this than at its transpose
    return np.ascontiguousarray(total.swapaxes(-1, -2)).reshape(shape)


def runs_of(x, kernel, out):
    """Runs of windows of padded x (C, *S, N), and where each stands among all windows of all images."""
    n = x.shape[-1]
    for run in runs(out, max(1, MOST // max(1, x.shape[0] * math.prod(kernel) * n))):
        start = 0
        for (lo, _), size in zip(run, out):
            start = start * size + lo
        yield run, slice(start * n, (start + math.prod(hi - lo for lo, hi in run)) * n)


def grouped(x, groups, lead=1):
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
    for _, at in taps(kernel, whole(out), stride, dilation):
        part = x[(..., *at)]
        y = part.copy("K") if y is None else np.maximum(y, part, out=y)
    return y


def maxima(x, y, kernel, stride, padding, dilation):
    """For each tap: its slices, and where it holds the window's maximum y, of equal ones the first only."""
    nan = y.dtype.kind == "f" and np.isnan(y.min(initial=0))
    real = pad_images(np.ones((1, 1, *x.shape[2:]), bool), padding, False)
    x = pad_images(x, padding, np.nan if y.dtype.kind == "f" and not nan else lowest(y.dtype))
    free = np.ones_like(y, bool)
    for _, at in taps(kernel, whole(y.shape[2:]), stride, dilation):
        part = x[(..., *at)]
        hit = part == y
        if nan:
            hit |= part != part
            hit &= real[(..., *at)]
        hit &= free
        free ^= hit
        yield at, hit


def only(g, hit, out=None):
    """np.where(hit, g, 0) into out, ten times as fast where nobody could guess which will hit."""
    out = np.empty_like(g) if out is None else out
    if g.dtype in (np.float32, np.float64):
        bits = np.dtype(f"i{g.itemsize}")
        np.bitwise_and(g.view(bits), -hit.view(np.int8), out=out.view(bits))
    else:
        out[...] = np.where(hit, g, 0)
    return out


def pool_take(u, x, y, kernel, stride, padding, dilation):
    """From every window of u the value that stands where x has its maximum y."""
    u, taken = pad_images(u, padding, 0), np.zeros_like(y, u.dtype)
    for at, hit in maxima(x, y, kernel, stride, padding, dilation):
        taken += only(u[(..., *at)], hit)
    return taken


def pool_put(g, x, y, kernel, stride, padding, dilation):
    """The adjoint of `pool_take`: zeros like x, with g added where each window has its maximum y."""
    g, put = batch_first(batch_last(g)), images_of_zeros(g, x.shape, padding)
    apart = all(s >= d * (k - 1) + 1 for k, s, d in zip(kernel, stride, dilation))  # no two windows meet
    for at, hit in maxima(x, y, kernel, stride, padding, dilation):
        if apart:
            only(g, hit, put[(..., *at)])
        else:
            put[(..., *at)] += only(g, hit)
    return put[(..., *inside(x.shape[2:], padding)[1:])]


def window_sum(x, kernel, stride, padding, dilation):
    """The sum of every window, padding counting as 0."""
    out = output_size(x.shape[2:], kernel, stride, padding, dilation)
    x = pad_images(x, padding, 0)
    return sum(x[(..., *at)] for _, at in taps(kernel, whole(out), stride, dilation))


def window_spread(g, shape, kernel, stride, padding, dilation):
    """The adjoint of `window_sum`: add g to every place of its window. shape: x's."""
    x = images_of_zeros(g, shape, padding)
    for _, at in taps(kernel, whole(g.shape[2:]), stride, dilation):
        x[(..., *at)] += g
    return x[(..., *inside(shape[2:], padding)[1:])]


def images_of_zeros(like, shape, padding):
    """Zeros of ``shape`` with its padding around, batch innermost."""
    return batch_first(np.zeros((shape[1], *(n + sum(p) for n, p in zip(shape[2:], padding)), shape[0]), like.dtype))
