"""Resizing, warping and rearranging images, as matrices along axes or as pixels taken and weighted."""

from __future__ import annotations

import itertools
import math

import numpy as np

from ..tensor import Tensor
from .conv import IMAGES, _positive
from .dense import _detach
from .pooling import _adaptive_avg_pool

# ---- resizing ----
LINEAR = {"linear": 1, "bilinear": 2, "trilinear": 3}
KERNELS = {  # a pixel's weight at this distance from the place that is looked at, and which pixels are near
    "linear": (lambda d: 1 - d, np.arange(2)),
    "cubic": (lambda d, a=-0.75: np.where(d <= 1, ((a + 2) * d - (a + 3)) * d * d + 1,  # Keys 1981
                                          ((a * d - 5 * a) * d + 8 * a) * d - 4 * a), np.arange(-1, 3)),
}


def interpolate(input: Tensor, size=None, scale_factor=None, mode: str = "nearest",
                align_corners: bool | None = None) -> Tensor:
    """Resize (N, C, L), (N, C, H, W) or (N, C, D, H, W) to ``size``, or by ``scale_factor``: one number or one an axis.

    mode: nearest, nearest-exact, area (adaptive average pooling), linear, bilinear or trilinear, and bicubic, as many
    axes as the name says. Pixel i covers [i, i + 1] of the image's length; with align_corners the centres of the first
    and last pixels fall on each other instead. nearest-exact takes the pixel in which a new one's centre lies, nearest
    the one in which its left edge lies. Where scale_factor is given, it is the scale, also when the size it leads to
    had to be rounded down.
    """
    n = input.ndim - 2
    if n not in IMAGES:
        raise ValueError(f"interpolate: input {input.shape} must be {', '.join(IMAGES.values())}")
    if mode not in ("nearest", "nearest-exact", "area") and {**LINEAR, "bicubic": 2}.get(mode) != n:
        raise ValueError(f"interpolate: mode {mode!r} is not one for input {input.shape}: nearest, nearest-exact, "
                         "area, linear (of 3 axes), bilinear or bicubic (4), trilinear (5)")
    if align_corners and mode not in (*LINEAR, "bicubic"):
        raise ValueError(f"interpolate: align_corners is for linear and cubic modes, not {mode!r}")
    out, steps = _new_size(input.shape[2:], size, scale_factor)
    if mode == "area":
        return _adaptive_avg_pool("interpolate", n, input, out)
    for axis, (old, new, step) in enumerate(zip(input.shape[2:], out, steps), 2):
        i = np.arange(new)
        if mode.startswith("nearest"):
            index = np.minimum(np.floor((i + 0.5 * (mode != "nearest")) * step), old - 1).astype(np.intp)
            input = np.take(input, index, axis=axis) if new != old or np.any(index != i) else input
            continue
        at = i * ((old - 1) / max(new - 1, 1)) if align_corners else (i + 0.5) * step - 0.5
        if mode in LINEAR:
            at = np.clip(at, 0, old - 1)
        kernel, near = KERNELS["linear" if mode in LINEAR else "cubic"]
        pixels = np.floor(at)[:, None] + near
        weights = kernel(abs(at[:, None] - pixels)).astype(input.dtype)
        pixels = np.clip(pixels, 0, old - 1).astype(np.intp)
        input = sum(np.take(input, p, axis=axis) * w.reshape(-1, *(1,) * (input.ndim - 1 - axis))
                    for p, w in zip(pixels.T, weights.T))
    return input


def _new_size(old, size, scale_factor):
    """The new size, and how many old pixels a new one covers."""
    if (size is None) == (scale_factor is None):
        raise ValueError("interpolate: give one of size and scale_factor")
    if size is not None:
        out = _positive(size, "size", len(old))
        return out, [m / k for m, k in zip(old, out)]
    factors = tuple(scale_factor) if np.ndim(scale_factor) else (scale_factor,) * len(old)
    if len(factors) != len(old) or min(factors) <= 0:
        raise ValueError(f"interpolate: scale_factor is a positive number or one for each of {len(old)} axes, not "
                         f"{scale_factor!r}")
    return _positive([math.floor(m * f) for m, f in zip(old, factors)], "the size", len(old)), [1 / f for f in factors]


# ---- warping ----
def affine_grid(theta: Tensor, size, align_corners: bool = False) -> Tensor:
    """Where `grid_sample` is to look for an affine map: theta (N, 2, 3), size (N, C, H, W) -> (N, H, W, 2).

    The place (x, y), in -1..1 over the output, comes from theta @ (x, y, 1) of the input. theta (N, 3, 4) with a size
    (N, C, D, H, W) likewise. align_corners: -1 and 1 are the centres of the outer pixels, not their outer edges.
    """
    spatial = tuple(size[2:])
    n = len(spatial)
    if n not in (2, 3) or theta.shape != (size[0], n, n + 1):
        raise ValueError(f"affine_grid: theta {theta.shape} for size {tuple(size)} must be ({size[0]}, {n}, {n + 1})")
    lines = [np.linspace(-1, 1, m) if align_corners and m > 1 else (2 * np.arange(m) + 1) / m - 1 for m in spatial]
    base = np.stack([*np.meshgrid(*lines, indexing="ij")[::-1], np.ones(spatial)], -1).reshape(1, -1, n + 1)
    return (base.astype(theta.dtype) @ theta.swapaxes(-1, -2)).reshape(size[0], *spatial, n)


def grid_sample(input: Tensor, grid: Tensor, mode: str = "bilinear", padding_mode: str = "zeros",
                align_corners: bool = False) -> Tensor:
    """What stands in (N, C, H, W) at the places grid (N, H', W', 2): (N, C, H', W'). Jaderberg et al. 2015.

    A place is (x, y), from -1 (left, top) to 1 (right, bottom); align_corners: of pixel centres, not of edges. mode:
    bilinear, or nearest, which has no gradient in the grid. padding_mode: outside are zeros, the border's pixels, or
    the image's reflection. Volumes (N, C, D, H, W) take a grid (N, D', H', W', 3) of (x, y, z).
    """
    size, n = input.shape[2:], input.ndim - 2
    if n not in (2, 3) or grid.ndim != n + 2 or (grid.shape[0], grid.shape[-1]) != (input.shape[0], n):
        raise ValueError(f"grid_sample: input {input.shape} must be (N, C, H, W) and grid {grid.shape} (N, H', W', 2), "
                         "or (N, C, D, H, W) and (N, D', H', W', 3)")
    if mode not in ("bilinear", "nearest"):
        raise ValueError(f"grid_sample: mode is 'bilinear' or 'nearest', not {mode!r}")
    if padding_mode not in ("zeros", "border", "reflection"):
        raise ValueError(f"grid_sample: padding_mode is 'zeros', 'border' or 'reflection', not {padding_mode!r}")
    count, places = input.shape[0], math.prod(grid.shape[1:-1])
    weights, pixels = [], []  # for each axis, of the pixel before the place and of the one after
    for axis, m in enumerate(size):
        u = (grid[..., n - 1 - axis].reshape(count, places) + 1) * ((m - align_corners) / 2) - (not align_corners) / 2
        u = _into(u, m, padding_mode, align_corners)
        first = np.floor(_detach(u)) if mode == "bilinear" else np.rint(_detach(u))
        part = u - first
        both = [(first, 1 - part), (first + 1, part)] if mode == "bilinear" else [(first, 1.0)]
        weights.append([w * ((p >= 0) & (p < m)).astype(u.dtype) for p, w in both])
        pixels.append([np.clip(p, 0, m - 1).astype(np.intp) for p, _ in both])
    flat = input.reshape(count, input.shape[1], math.prod(size))
    y = 0
    for corner in itertools.product(range(len(pixels[0])), repeat=n):
        index, weight = 0, 1
        for axis, c in enumerate(corner):
            index, weight = index * size[axis] + pixels[axis][c], weight * weights[axis][c]
        y = y + np.take_along_axis(flat, np.expand_dims(index, 1), -1) * np.expand_dims(weight, 1)
    return y.reshape(*input.shape[:2], *grid.shape[1:-1])


def _into(u, m, padding_mode, align_corners):
    """Pixel coordinates brought into an axis of m pixels; at the border the derivative is 0."""
    if padding_mode == "zeros":
        return u
    if padding_mode == "reflection":
        low, span = (0, m - 1) if align_corners else (-0.5, m)
        turns = np.floor((_detach(u) - low) / max(span, 1))
        t = u - low - turns * span
        u = np.where(turns % 2 == 0, t, span - t) + low
    return np.where((u > 0) & (u < m - 1), u, (u > 0).astype(u.dtype) * (m - 1))


# ---- rearranging ----
def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """(*, C r^2, H, W) -> (*, C, H r, W r): r^2 channels become the pixels of an r x r block. Shi et al. 2016."""
    r, (*lead, c, h, w), k = upscale_factor, input.shape, input.ndim - 3
    if r < 1 or c % (r * r):
        raise ValueError(f"pixel_shuffle: {c} channels of input {input.shape} do not divide into blocks of {r} x {r}")
    x = input.reshape(*lead, c // (r * r), r, r, h, w)
    return x.transpose(*range(k), k, k + 3, k + 1, k + 4, k + 2).reshape(*lead, c // (r * r), h * r, w * r)


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """(*, C, H r, W r) -> (*, C r^2, H, W), the inverse of `pixel_shuffle`."""
    r, (*lead, c, h, w), k = downscale_factor, input.shape, input.ndim - 3
    if r < 1 or h % r or w % r:
        raise ValueError(f"pixel_unshuffle: input {input.shape} does not divide into blocks of {r} x {r}")
    x = input.reshape(*lead, c, h // r, r, w // r, r)
    return x.transpose(*range(k), k, k + 2, k + 4, k + 1, k + 3).reshape(*lead, c * r * r, h // r, w // r)


def pad(input: Tensor, pad: tuple[int, ...], mode: str = "constant", value: float = 0.0) -> Tensor:
    """(left, right) of the last axis, then of the one before, and so on: PyTorch's order. Negative ones take away.

    mode: constant, reflect (by less than the axis has), replicate or circular; np.pad's reflect, edge and wrap.
    """
    modes = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}
    if mode not in modes or len(pad) % 2 or len(pad) > 2 * input.ndim:
        raise ValueError(f"pad: pad={pad!r} with mode={mode!r} for input {input.shape}; it takes pairs, one for each "
                         f"of the last axes, and the modes {', '.join(modes)}")
    pairs = [(0, 0)] * (input.ndim - len(pad) // 2) + list(zip(pad[::2], pad[1::2]))[::-1]
    if min(pad, default=0) < 0:
        input = input[tuple(slice(max(-a, 0), n - max(-b, 0)) for n, (a, b) in zip(input.shape, pairs))]
        pairs = [(max(a, 0), max(b, 0)) for a, b in pairs]
    limit = {"reflect": 1, "circular": 0}.get(mode)
    if limit is not None and any(max(p) > max(n - limit, 0) for n, p in zip(input.shape, pairs)):
        raise ValueError(f"pad: pad={pad!r} with mode={mode!r} must be {'less than' if limit else 'at most'} the axis "
                         f"it pads, of input {input.shape}")
    return np.pad(input, pairs, modes[mode], **({"constant_values": value} if mode == "constant" else {}))
