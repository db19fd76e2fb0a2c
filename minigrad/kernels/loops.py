"""Twins of functions of `reference` for images, as loops that Numba compiles: one pass where NumPy needs one a tap.

Arrays are (C, H, W, N), C-contiguous. Python's lock is not held, so that threads can share the work. Every sum of
pooling is in the order of the twin's, so both agree to the bit, but for pool_put where windows overlap. Imported on
first use: Numba is the extra ``fast``.
"""

from __future__ import annotations

import numba
import numpy as np

from . import tiles

compiled = numba.njit(cache=True, nogil=True, error_model="numpy")


# ---- convolution, a tile of ROWS outputs at one place in WIDEST images at a time (see tiles.py) ----
_widest, _half, _narrowest = tiles.products(tiles.WIDEST), tiles.products(32), tiles.products(tiles.NARROWEST)
ROWS, WIDEST, NARROWEST, LONGEST = tiles.ROWS, tiles.WIDEST, tiles.NARROWEST, 2048


@compiled
def _place(y, at, stride, images, start, x, x_at, w, w_at, count):
    """A tile after the other, of the images at one place; the last may meet the one before."""
    n = 0
    while n < images:
        if images - n >= WIDEST:
            _widest(y[at + n:], stride, start, x[n:], x_at, w, w_at, count)
            n += WIDEST
        elif images - n >= 32 and WIDEST > 32:
            _half(y[at + n:], stride, start, x[n:], x_at, w, w_at, count)
            n += 32
        else:
            n = min(n, images - NARROWEST)
            _narrowest(y[at + n:], stride, start, x[n:], x_at, w, w_at, count)
            n += NARROWEST


@compiled
def _taps(channels, height, width, images, kernel, dilation):
    """Where the values of a window stand in x (C, H, W, N), from its first."""
    at = np.empty(channels * kernel[0] * kernel[1], np.int64)
    k = 0
    for c in range(channels):
        for i in range(kernel[0]):
            for j in range(kernel[1]):
                at[k] = ((c * height + i * dilation[0]) * width + j * dilation[1]) * images
                k += 1
    return at


@compiled
def conv(x, w, bias, y, kernel, stride, dilation, p0, p1):
    """y (O, H', W', N) at the windows [p0, p1) becomes w (O, C * kH * kW) times their values, plus bias (O)."""
    (outputs, rows), (channels, height, width, images) = w.shape, x.shape
    across, windows = y.shape[2], y.shape[1] * y.shape[2]
    x_at, w_at = _taps(channels, height, width, images, kernel, dilation), np.arange(rows) * ROWS
    x, y, blocks = x.reshape(-1), y.reshape(-1), -(-outputs // ROWS)
    packed = np.empty((blocks, rows * ROWS), w.dtype)
    for b in range(blocks):
        o = min(b * ROWS, outputs - ROWS)
        for k in range(rows):
            for r in range(ROWS):
                packed[b, k * ROWS + r] = w[o + r, k]
    for p in range(p0, p1):
        i, j = divmod(p, across)
        window = x[(i * stride[0] * width + j * stride[1]) * images:]
        for b in range(blocks):
            o = min(b * ROWS, outputs - ROWS)
            at = (o * windows + p) * images
            _place(y, at, windows * images, images, bias[o:], window, x_at, packed[b], w_at, rows)


@compiled
def conv_input_grad(g, w, x, stride, padding, dilation, p0, p1):
    """x (C, H, W, N) at its places [p0, p1) becomes the sum of w (O, C, kH, kW) times g (O, H', W', N) over windows."""
    (outputs, channels, down, across), (_, height, width, images) = w.shape, x.shape
    rows, columns, places, blocks = g.shape[1], g.shape[2], height * width, -(-channels // ROWS)
    taps = down * across * outputs
    packed = np.empty((blocks, taps * ROWS), w.dtype)
    for b in range(blocks):
        c, k = min(b * ROWS, channels - ROWS), 0
        for i in range(down):
            for j in range(across):
                for o in range(outputs):
                    for r in range(ROWS):
                        packed[b, k] = w[o, c + r, i, j]
                        k += 1
    g_at, w_at, zeros = np.empty(taps, np.int64), np.empty(taps, np.int64), np.zeros(ROWS, w.dtype)
    g, x = g.reshape(-1), x.reshape(-1)
    for p in range(p0, p1):
        y, z = divmod(p, width)
        count = 0
        for i in range(down):
            r, rest = divmod(y + padding[0] - i * dilation[0], stride[0])
            if rest or not 0 <= r < rows:
                continue
            for j in range(across):
                s, rest = divmod(z + padding[1] - j * dilation[1], stride[1])
                if rest or not 0 <= s < columns:
                    continue
                for o in range(outputs):
                    g_at[count] = ((o * rows + r) * columns + s) * images
                    w_at[count] = ((i * across + j) * outputs + o) * ROWS
                    count += 1
        for b in range(blocks):
            c = min(b * ROWS, channels - ROWS)
            at = (c * places + p) * images
            if count:
                _place(x, at, places * images, images, zeros, g, g_at, packed[b], w_at, count)
            else:
                for r in range(ROWS):
                    x[at + r * places * images:at + r * places * images + images] = 0


@compiled
def conv_weight_grad(x, g, total, kernel, stride, dilation, r0, r1):
    """The products of g (O, H', W', N) with the values of its windows in rows [r0, r1), for each of x, are added to
    total (O, C * kH * kW)."""
    (outputs, rows), (channels, height, width, images) = total.shape, x.shape
    across, windows = g.shape[2], g.shape[1] * g.shape[2]
    x_at, part = _taps(channels, height, width, images, kernel, dilation), np.empty(ROWS**2, g.dtype)
    x, g = x.reshape(-1), g.reshape(-1)
    pieces, length = (1, across * images) if stride[1] == 1 else (across, images)  # runs that lie together in both
    for r in range(r0, r1):
        for s in range(pieces):
            for n in range(0, length, LONGEST):
                long = min(LONGEST, length - n)
                row = x[(r * stride[0] * width + s * stride[1]) * images + n:]
                up = g[(r * across + s) * images + n:]
                for b in range(0, outputs, ROWS):
                    o = min(b, outputs - ROWS)
                    for k in range(0, rows, ROWS):
                        q = min(k, rows - ROWS)
                        part[:] = 0
                        at = up[o * windows * images:]
                        if long >= NARROWEST:
                            tiles.dots(part, at, windows * images, row, x_at[q:], long // NARROWEST)
                        for m in range(long - long % NARROWEST, long):
                            for i in range(ROWS):
                                for j in range(ROWS):
                                    part[i * ROWS + j] += at[i * windows * images + m] * row[x_at[q + j] + m]
                        for i in range(b - o, ROWS):
                            for j in range(k - q, ROWS):
                                total[o + i, q + j] += part[i * ROWS + j]


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


# ---- sums over a channel: in many lanes, as NumPy's pairwise sums about as exact, and vectorized ----
LANES = 128


@compiled
def _total(lanes):
    total = 0.0
    for v in lanes:
        total += v
    return total


@compiled
def _mean(row):
    lanes, whole = np.zeros(LANES, row.dtype), len(row) - len(row) % LANES
    for i in range(0, whole, LANES):
        part = row[i:i + LANES]
        for n in range(LANES):
            lanes[n] += part[n]
    for n in range(len(row) - whole):
        lanes[n] += row[whole + n]
    return row.dtype.type(_total(lanes) / len(row))


@compiled
def _moments(row):
    mean, lanes, whole = _mean(row), np.zeros(LANES, row.dtype), len(row) - len(row) % LANES
    for i in range(0, whole, LANES):
        part = row[i:i + LANES]
        for n in range(LANES):
            lanes[n] += (part[n] - mean) * (part[n] - mean)
    for n in range(len(row) - whole):
        lanes[n] += (row[whole + n] - mean) * (row[whole + n] - mean)
    return mean, row.dtype.type(_total(lanes) / len(row))


@compiled
def _dot(up, row, mean):
    """The mean of up * (row - mean)."""
    lanes, whole = np.zeros(LANES, row.dtype), len(row) - len(row) % LANES
    for i in range(0, whole, LANES):
        left, right = up[i:i + LANES], row[i:i + LANES]
        for n in range(LANES):
            lanes[n] += left[n] * (right[n] - mean)
    for n in range(len(row) - whole):
        lanes[n] += up[whole + n] * (row[whole + n] - mean)
    return row.dtype.type(_total(lanes) / len(row))


@compiled
def sums(rows, total):
    """total (C) becomes the sum of each of the rows (C, values)."""
    for c in range(len(rows)):
        total[c] = _mean(rows[c]) * rows.shape[1]


@compiled
def moments(rows, mean, var):
    """Of each row."""
    for c in range(len(rows)):
        mean[c], var[c] = _moments(rows[c])


@compiled
def normalize(eps, rows, w, b, y):
    """y becomes (row - mean) / sqrt(var + eps) * w + b."""
    for c in range(len(rows)):
        row, to = rows[c], y[c]
        mean, var = _moments(row)
        scale, shift = w[c] / np.sqrt(var + eps), b[c]
        for n in range(len(row)):
            to[n] = (row[n] - mean) * scale + shift


@compiled
def normalize_input_grad(eps, g, rows, w, d):
    """d becomes w / s * (g - mean(g) - h * mean(g * h)), of h = (row - mean) / s and s = sqrt(var + eps)."""
    for c in range(len(rows)):
        up, row, to = g[c], rows[c], d[c]
        mean, var = _moments(row)
        middle, along = _mean(up), _dot(up, row, mean) / (var + eps)
        scale = w[c] / np.sqrt(var + eps)
        for n in range(len(row)):
            to[n] = (up[n] - middle - (row[n] - mean) * along) * scale


@compiled
def normalize_weight_grad(eps, g, rows, total):
    """total becomes the sum of g * h."""
    for c in range(len(rows)):
        mean, var = _moments(rows[c])
        total[c] = _dot(g[c], rows[c], mean) / np.sqrt(var + eps) * rows.shape[1]
