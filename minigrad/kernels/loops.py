"""Twins of functions of `reference` for images, as loops that Numba compiles: one pass where NumPy needs one a tap.

Arrays are (C, H, W, N), C-contiguous in N; [n0, n1) are the images to do, so that threads can share the work. Every sum
is in the order of the twin's, so both agree to the bit, but for pool_put where windows overlap. Imported on first use:
Numba is the extra ``fast``.
"""

from __future__ import annotations

import numba
import numpy as np

compiled = numba.njit(cache=True, nogil=True, error_model="numpy")


@compiled
def uncolumns(cols, x, stride, padding, dilation, n0, n1):
    """col2im: x becomes what all windows' values add up to."""
    channels, height, width, _ = x.shape
    _, rows, columns, down, across, _ = cols.shape
    x[..., n0:n1] = 0
    for c in range(channels):
        for i in range(rows):
            for j in range(columns):
                for r in range(down):
                    y = r * stride[0] + i * dilation[0] - padding[0]
                    if 0 <= y < height:
                        for s in range(across):
                            z = s * stride[1] + j * dilation[1] - padding[1]
                            if 0 <= z < width:
                                to, of = x[c, y, z, n0:n1], cols[c, i, j, r, s, n0:n1]
                                for n in range(len(to)):
                                    to[n] += of[n]


@compiled
def max_pool(x, largest, kernel, stride, padding, dilation, n0, n1):
    """largest becomes the largest value of every window; NaN wins."""
    channels, height, width, _ = x.shape
    for c in range(channels):
        for r in range(largest.shape[1]):
            for s in range(largest.shape[2]):
                to = largest[c, r, s, n0:n1]
                to[:] = -np.inf
                for i in range(kernel[0]):
                    y = r * stride[0] + i * dilation[0] - padding[0]
                    for j in range(kernel[1]):
                        z = s * stride[1] + j * dilation[1] - padding[1]
                        if 0 <= y < height and 0 <= z < width:
                            of = x[c, y, z, n0:n1]
                            for n in range(len(to)):
                                v, m = of[n], to[n]
                                to[n] = m if (v <= m) | (m != m) else v


@compiled
def pool_put(g, x, largest, put, kernel, stride, padding, dilation, n0, n1):
    """put becomes zeros with g added where each window has its largest value, of equal ones at the first."""
    channels, height, width, _ = x.shape
    left, zero = np.empty(n1 - n0, g.dtype), g.dtype.type(0)
    put[..., n0:n1] = 0
    for c in range(channels):
        for r in range(g.shape[1]):
            for s in range(g.shape[2]):
                top = largest[c, r, s, n0:n1]
                left[:] = g[c, r, s, n0:n1]
                for i in range(kernel[0]):
                    y = r * stride[0] + i * dilation[0] - padding[0]
                    for j in range(kernel[1]):
                        z = s * stride[1] + j * dilation[1] - padding[1]
                        if 0 <= y < height and 0 <= z < width:
                            of, to = x[c, y, z, n0:n1], put[c, y, z, n0:n1]
                            for n in range(len(left)):
                                v, rest = of[n], left[n]
                                hit = (v == top[n]) | (v != v)
                                to[n] += rest if hit else zero
                                left[n] = zero if hit else rest


@compiled
def window_sum(x, total, kernel, stride, padding, dilation, n0, n1):
    """total becomes the sum of every window."""
    channels, height, width, _ = x.shape
    total[..., n0:n1] = 0
    for c in range(channels):
        for r in range(total.shape[1]):
            for s in range(total.shape[2]):
                to = total[c, r, s, n0:n1]
                for i in range(kernel[0]):
                    y = r * stride[0] + i * dilation[0] - padding[0]
                    for j in range(kernel[1]):
                        z = s * stride[1] + j * dilation[1] - padding[1]
                        if 0 <= y < height and 0 <= z < width:
                            of = x[c, y, z, n0:n1]
                            for n in range(len(to)):
                                to[n] += of[n]


@compiled
def window_spread(g, x, kernel, stride, padding, dilation, n0, n1):
    """x becomes zeros with g added to every place of its window."""
    channels, height, width, _ = x.shape
    x[..., n0:n1] = 0
    for c in range(channels):
        for i in range(kernel[0]):
            for j in range(kernel[1]):
                for r in range(g.shape[1]):
                    y = r * stride[0] + i * dilation[0] - padding[0]
                    if 0 <= y < height:
                        for s in range(g.shape[2]):
                            z = s * stride[1] + j * dilation[1] - padding[1]
                            if 0 <= z < width:
                                to, of = x[c, y, z, n0:n1], g[c, r, s, n0:n1]
                                for n in range(len(to)):
                                    to[n] += of[n]
