"""Twins of functions of `reference` for images, as loops that Numba compiles: one pass where NumPy needs one a tap.

Arrays are (C, H, W, N), C-contiguous. Python's lock is not held, so that threads can share the work. Every sum of pooling is
in the order of the twin's, so both agree to the bit, but for pool_put where windows overlap. Imported on first use:
Numba is the extra ``fast``.
"""

from __future__ import annotations

import numba
import numpy as np

compiled = numba.njit(cache=True, nogil=True, error_model="numpy")


# ---- convolution of the windows [p0, p1), of all rows after each other; some at a time, so that columns stay cached ----
@compiled
def conv(x, w, bias, y, kernel, stride, dilation, p0, p1, some):
    """y (O, windows, N) becomes w (O, C * kH * kW) times the columns of x, plus bias (O)."""
    wide, (outputs, rows), images = y.shape[1], w.shape, x.shape[3]
    across = _windows(x.shape[2], kernel[1], stride[1], dilation[1])
    for p in range(p0, p1, some):
        q = min(p + some, p1)
        cols = np.empty((rows, (q - p) * images), x.dtype)
        _columns(x, cols, kernel, stride, dilation, across, p, q)
        part = np.dot(w, cols)
        for o in range(outputs):
            to, of, b = y[o, p:q].reshape(-1), part[o], bias[o]
            for i in range(len(to)):
                to[i] = of[i] + b


@compiled
def conv_weight_grad(x, g, total, kernel, stride, dilation, p0, p1, some):
    """The columns of x times the transpose of g (O, windows, N) are added to total (C * kH * kW, O)."""
    images = x.shape[3]
    across = _windows(x.shape[2], kernel[1], stride[1], dilation[1])
    for p in range(p0, p1, some):
        q = min(p + some, p1)
        cols = np.empty((len(total), (q - p) * images), x.dtype)
        _columns(x, cols, kernel, stride, dilation, across, p, q)
        total += np.dot(cols, _part(g, p, q).T)


@compiled
def conv_input_grad(g, w, x, kernel, stride, dilation, p0, p1, some):
    """The transpose of w (O, C * kH * kW) times g (O, windows, N) is added to where x's columns come from."""
    images, w = x.shape[3], np.ascontiguousarray(w.T)
    across = _windows(x.shape[2], kernel[1], stride[1], dilation[1])
    for p in range(p0, p1, some):
        q = min(p + some, p1)
        cols = np.dot(w, _part(g, p, q))
        row = 0
        for c in range(len(x)):
            for i in range(kernel[0]):
                for j in range(kernel[1]):
                    at = p
                    while at < q:
                        r, s = divmod(at, across)
                        n, to = min(across - s, q - at), x[c, r * stride[0] + i * dilation[0]]
                        of = cols[row, (at - p) * images:(at - p + n) * images]
                        z = s * stride[1] + j * dilation[1]
                        if stride[1] == 1:
                            line = to[z:z + n].reshape(-1)
                            for k in range(len(line)):
                                line[k] += of[k]
                        else:
                            for k in range(n):
                                line, start = to[z + k * stride[1]], k * images
                                for m in range(images):
                                    line[m] += of[start + m]
                        at += n
                    row += 1


@compiled
def _windows(size, kernel, stride, dilation):
    return (size - dilation * (kernel - 1) - 1) // stride + 1


@compiled
def _part(g, p, q):
    part = np.empty((len(g), (q - p) * g.shape[2]), g.dtype)
    for o in range(len(g)):
        part[o] = g[o, p:q].reshape(-1)
    return part


@compiled
def _columns(x, cols, kernel, stride, dilation, across, p, q):
    """im2col of the windows [p, q) of padded x (C, H, W, N)."""
    images, row = x.shape[3], 0
    for c in range(len(x)):
        for i in range(kernel[0]):
            for j in range(kernel[1]):
                at = p
                while at < q:
                    r, s = divmod(at, across)
                    n, of = min(across - s, q - at), x[c, r * stride[0] + i * dilation[0]]
                    to = cols[row, (at - p) * images:(at - p + n) * images]
                    z = s * stride[1] + j * dilation[1]
                    if stride[1] == 1:
                        to[:] = of[z:z + n].reshape(-1)
                    else:
                        for k in range(n):
                            to[k * images:(k + 1) * images] = of[z + k * stride[1]]
                    at += n
                row += 1


# ---- pooling ----
@compiled
def max_pool(x, largest, kernel, stride, padding, dilation):
    """largest becomes the largest value of every window; NaN wins."""
    channels, height, width, _ = x.shape
    for c in range(channels):
        for r in range(largest.shape[1]):
            for s in range(largest.shape[2]):
                to = largest[c, r, s]
                to[:] = -np.inf
                for i in range(kernel[0]):
                    y = r * stride[0] + i * dilation[0] - padding[0]
                    for j in range(kernel[1]):
                        z = s * stride[1] + j * dilation[1] - padding[1]
                        if 0 <= y < height and 0 <= z < width:
                            of = x[c, y, z]
                            for n in range(len(to)):
                                v, m = of[n], to[n]
                                to[n] = m if (v <= m) | (m != m) else v


@compiled
def pool_put(g, x, largest, put, kernel, stride, padding, dilation):
    """put becomes zeros with g added where each window has its largest value, of equal ones at the first."""
    channels, height, width, _ = x.shape
    left, zero = np.empty(x.shape[3], g.dtype), g.dtype.type(0)
    put[:] = 0
    for c in range(channels):
        for r in range(g.shape[1]):
            for s in range(g.shape[2]):
                top = largest[c, r, s]
                left[:] = g[c, r, s]
                for i in range(kernel[0]):
                    y = r * stride[0] + i * dilation[0] - padding[0]
                    for j in range(kernel[1]):
                        z = s * stride[1] + j * dilation[1] - padding[1]
                        if 0 <= y < height and 0 <= z < width:
                            of, to = x[c, y, z], put[c, y, z]
                            for n in range(len(left)):
                                v, rest = of[n], left[n]
                                hit = (v == top[n]) | (v != v)
                                to[n] += rest if hit else zero
                                left[n] = zero if hit else rest


@compiled
def window_sum(x, total, kernel, stride, padding, dilation):
    """total becomes the sum of every window."""
    channels, height, width, _ = x.shape
    total[:] = 0
    for c in range(channels):
        for r in range(total.shape[1]):
            for s in range(total.shape[2]):
                to = total[c, r, s]
                for i in range(kernel[0]):
                    y = r * stride[0] + i * dilation[0] - padding[0]
                    for j in range(kernel[1]):
                        z = s * stride[1] + j * dilation[1] - padding[1]
                        if 0 <= y < height and 0 <= z < width:
                            of = x[c, y, z]
                            for n in range(len(to)):
                                to[n] += of[n]


@compiled
def window_spread(g, x, kernel, stride, padding, dilation):
    """x becomes zeros with g added to every place of its window."""
    channels, height, width, _ = x.shape
    x[:] = 0
    for c in range(channels):
        for i in range(kernel[0]):
            for j in range(kernel[1]):
                for r in range(g.shape[1]):
                    y = r * stride[0] + i * dilation[0] - padding[0]
                    if 0 <= y < height:
                        for s in range(g.shape[2]):
                            z = s * stride[1] + j * dilation[1] - padding[1]
                            if 0 <= z < width:
                                to, of = x[c, y, z], g[c, r, s]
                                for n in range(len(to)):
                                    to[n] += of[n]
