"""Pooling and normalization as loops that Numba compiles, twins of NumPy's: one pass where NumPy needs one a tap.

Arrays are (C, H, W, N), C-contiguous. Python's lock is not held, so that threads can share the work. Every sum of
pooling is in the order of the twin's, so both agree to the bit, but for pool_put where windows overlap. Imported on
first use: Numba is the extra ``fast``.
"""

from __future__ import annotations

import numba
import numpy as np

from .tiles import NARROWEST, ROWS, conv, conv_input_grad, conv_weight_grad

__all__ = ["NARROWEST", "ROWS", "conv", "conv_input_grad", "conv_weight_grad", "max_pool", "moments", "normalize",
           "normalize_input_grad", "normalize_weight_grad", "pool_put", "sums", "window_spread", "window_sum"]

compiled = numba.njit(cache=True, nogil=True, error_model="numpy")


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


# ---- sums over a channel: in LANES, for speed, that are emptied into a float64 before they have grown inexact ----
LANES, TIMES = 128, 64


@compiled
def _empty(lanes):
    total = 0.0
    for n in range(len(lanes)):
        total += lanes[n]
        lanes[n] = 0
    return total


@compiled
def _mean(row):
    """float64."""
    lanes, total, whole = np.zeros(LANES, row.dtype), 0.0, len(row) - len(row) % LANES
    for start in range(0, whole, LANES * TIMES):
        for i in range(start, min(whole, start + LANES * TIMES), LANES):
            part = row[i:i + LANES]
            for n in range(LANES):
                lanes[n] += part[n]
        total += _empty(lanes)
    for n in range(whole, len(row)):
        total += row[n]
    return total / len(row)


@compiled
def _along(up, row, middle):
    """The mean of up * (row - middle), float64; middle: of row's dtype."""
    lanes, total, whole = np.zeros(LANES, row.dtype), 0.0, len(row) - len(row) % LANES
    for start in range(0, whole, LANES * TIMES):
        for i in range(start, min(whole, start + LANES * TIMES), LANES):
            left, right = up[i:i + LANES], row[i:i + LANES]
            for n in range(LANES):
                lanes[n] += left[n] * (right[n] - middle)
        total += _empty(lanes)
    for n in range(whole, len(row)):
        total += up[n] * (row[n] - middle)
    return total / len(row)


@compiled
def _moments(row):
    """The mean in row's dtype, what it lacks, and the variance, both float64."""
    mean = _mean(row)
    middle = row.dtype.type(mean)
    lanes, total, whole = np.zeros(LANES, row.dtype), 0.0, len(row) - len(row) % LANES
    for start in range(0, whole, LANES * TIMES):
        for i in range(start, min(whole, start + LANES * TIMES), LANES):
            part = row[i:i + LANES]
            for n in range(LANES):
                lanes[n] += (part[n] - middle) * (part[n] - middle)
        total += _empty(lanes)
    for n in range(whole, len(row)):
        total += (row[n] - middle) * (row[n] - middle)
    rest = mean - middle
    return middle, rest, total / len(row) - rest * rest


@compiled
def sums(rows, total):
    """total (C) becomes the sum of each of the rows (C, values)."""
    for c in range(len(rows)):
        total[c] = _mean(rows[c]) * rows.shape[1]


@compiled
def moments(rows, mean, var):
    """Of each row."""
    for c in range(len(rows)):
        mean[c], _, var[c] = _moments(rows[c])


@compiled
def normalize(eps, rows, w, b, y):
    """y becomes (row - mean) / sqrt(var + eps) * w + b."""
    for c in range(len(rows)):
        row, to = rows[c], y[c]
        middle, rest, var = _moments(row)
        by = w[c] / np.sqrt(var + eps)
        scale, shift = row.dtype.type(by), row.dtype.type(b[c] - rest * by)
        for n in range(len(row)):
            to[n] = (row[n] - middle) * scale + shift


@compiled
def normalize_input_grad(eps, g, rows, w, d):
    """d becomes w / s * (g - mean(g) - h * mean(g * h)), of h = (row - mean) / s and s = sqrt(var + eps)."""
    for c in range(len(rows)):
        up, row, to = g[c], rows[c], d[c]
        middle, rest, var = _moments(row)
        mean = _mean(up)
        along = (_along(up, row, middle) - rest * mean) / (var + eps)
        scale, less, slope = (row.dtype.type(w[c] / np.sqrt(var + eps)), row.dtype.type(mean - rest * along),
                              row.dtype.type(along))
        for n in range(len(row)):
            to[n] = (up[n] - less - (row[n] - middle) * slope) * scale


@compiled
def normalize_weight_grad(eps, g, rows, total):
    """total becomes the sum of g * h."""
    for c in range(len(rows)):
        middle, rest, var = _moments(rows[c])
        along = _along(g[c], rows[c], middle) - rest * _mean(g[c])
        total[c] = along / np.sqrt(var + eps) * rows.shape[1]
