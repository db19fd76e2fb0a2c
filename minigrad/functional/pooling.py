"""Pooling of sequences, images and volumes: one number for each window."""

from __future__ import annotations

import math

import numpy as np

from .. import primitives
from ..tensor import Tensor
from .conv import Size, _check_fits, _check_images, _padding, _positive


def _pooling(name, n, x, kernel_size, stride, padding, dilation=1, ceil_mode=False):
    """The keywords of the pooling primitives."""
    _check_images(name, x, n)
    kernel = _positive(kernel_size, "kernel_size", n)
    stride = kernel if stride is None else _positive(stride, "stride", n)
    dilation = _positive(dilation, "dilation", n)
    padding = _padding(padding, kernel, stride, dilation)
    if any(sum(p) > k for p, k in zip(padding, kernel)):
        raise ValueError(f"{name}: padding {padding} is more than half of the kernel {kernel}")
    if ceil_mode:
        padding = tuple(map(_ceil, x.shape[2:], kernel, stride, padding, dilation))
    _check_fits(name, x, kernel, padding, dilation)
    return {"kernel": kernel, "stride": stride, "padding": padding, "dilation": dilation}


def _ceil(size, kernel, stride, padding, dilation):
    """More padding on the right, for a last window that is cut off; it must start in the image, or left of it."""
    span, (left, right) = dilation * (kernel - 1) + 1, padding
    last = -(-(size + left + right - span) // stride) * stride  # where it starts
    last -= stride * (last >= size + left)
    return left, right + max(last + span - size - left - right, 0)


def max_pool1d(input: Tensor, kernel_size: Size, stride: Size | None = None, padding: Size | str = 0,
               dilation: Size = 1, ceil_mode: bool = False) -> Tensor:
    """`max_pool2d` of sequences (N, C, L)."""
    return primitives.max_pool(input, **_pooling("max_pool1d", 1, input, kernel_size, stride, padding, dilation,
                                                 ceil_mode))


def max_pool2d(input: Tensor, kernel_size: Size, stride: Size | None = None, padding: Size | str = 0,
               dilation: Size = 1, ceil_mode: bool = False) -> Tensor:
    """The largest value of every window, ``stride`` apart (default: kernel_size); padding counts as -inf.

    ceil_mode: where windows do not fit evenly, one more that is cut off at the end.
    """
    return primitives.max_pool(input, **_pooling("max_pool2d", 2, input, kernel_size, stride, padding, dilation,
                                                 ceil_mode))


def max_pool3d(input: Tensor, kernel_size: Size, stride: Size | None = None, padding: Size | str = 0,
               dilation: Size = 1, ceil_mode: bool = False) -> Tensor:
    """`max_pool2d` of volumes (N, C, D, H, W)."""
    return primitives.max_pool(input, **_pooling("max_pool3d", 3, input, kernel_size, stride, padding, dilation,
                                                 ceil_mode))


def _avg_pool(name, n, input, kernel_size, stride, padding, ceil_mode, count_include_pad):
    window = _pooling(name, n, input, kernel_size, stride, padding, ceil_mode=ceil_mode)
    total, pads = primitives.window_sum(input, **window), window["padding"]
    if not any(map(any, pads)) or (count_include_pad and not ceil_mode):
        return total / math.prod(window["kernel"])
    shape = input.shape[2:]
    if count_include_pad:  # but not what ceil_mode has added
        given = _padding(padding, window["kernel"], window["stride"], window["dilation"])
        shape = [m + sum(p) for m, p in zip(shape, given)]
        window["padding"] = tuple((0, sum(p) - sum(q)) for p, q in zip(pads, given))
    return total / primitives.window_sum(np.ones((1, 1, *shape), input.dtype), **window)


def avg_pool1d(input: Tensor, kernel_size: Size, stride: Size | None = None, padding: Size | str = 0,
               ceil_mode: bool = False, count_include_pad: bool = True) -> Tensor:
    """`avg_pool2d` of sequences (N, C, L)."""
    return _avg_pool("avg_pool1d", 1, input, kernel_size, stride, padding, ceil_mode, count_include_pad)


def avg_pool2d(input: Tensor, kernel_size: Size, stride: Size | None = None, padding: Size | str = 0,
               ceil_mode: bool = False, count_include_pad: bool = True) -> Tensor:
    """The mean of every window, stride apart (default: kernel_size); padding counts as zeros unless told otherwise.

    ceil_mode: where windows do not fit evenly, one more that is cut off at the end: a mean over what is left of it.
    """
    return _avg_pool("avg_pool2d", 2, input, kernel_size, stride, padding, ceil_mode, count_include_pad)


def avg_pool3d(input: Tensor, kernel_size: Size, stride: Size | None = None, padding: Size | str = 0,
               ceil_mode: bool = False, count_include_pad: bool = True) -> Tensor:
    """`avg_pool2d` of volumes (N, C, D, H, W)."""
    return _avg_pool("avg_pool3d", 3, input, kernel_size, stride, padding, ceil_mode, count_include_pad)


# ---- as many windows as asked for: number i of m reaches from floor(i n / m) to ceil((i + 1) n / m) ----
def _adaptive(name, n, x, output_size):
    _check_images(name, x, n)
    wanted = output_size if isinstance(output_size, (tuple, list)) else (output_size,) * n
    return _positive([m if k is None else k for m, k in zip(x.shape[2:], wanted)] + [*wanted[n:]], "output_size", n)


def _adaptive_avg_pool(name, n, x, output_size):
    out = _adaptive(name, n, x, output_size)
    for axis, (size, m) in enumerate(zip(x.shape[2:], out), 2):
        if m == size:
            continue
        if size % m == 0:
            x = x.reshape(*x.shape[:axis], m, size // m, *x.shape[axis + 1:]).mean(axis=axis + 1)
            continue
        (index, within), ones = _windows(size, m), (1,) * (x.ndim - 1 - axis)
        taken = np.take(x, index.reshape(-1), axis=axis).reshape(*x.shape[:axis], *index.shape, *x.shape[axis + 1:])
        total = np.where(within.reshape(*index.shape, *ones), taken, 0).sum(axis=axis + 1)
        x = total / within.sum(axis=1, dtype=x.dtype).reshape(-1, *ones)
    return x


def _windows(size, out):
    """Each window's pixels as a row, all as long as the longest; shorter ones repeat their last, not ``within``."""
    i = np.arange(out)
    first, last = i * size // out, -(-(i + 1) * size // out)
    index = first[:, None] + np.arange((last - first).max())
    return np.minimum(index, last[:, None] - 1), index < last[:, None]


def adaptive_avg_pool1d(input: Tensor, output_size) -> Tensor:
    """The means of ``output_size`` windows that cover (N, C, L), as equal as possible."""
    return _adaptive_avg_pool("adaptive_avg_pool1d", 1, input, output_size)


def adaptive_avg_pool2d(input: Tensor, output_size) -> Tensor:
    """(N, C, H, W) -> (N, C, *output_size): the means of windows that cover the image; None keeps an axis."""
    return _adaptive_avg_pool("adaptive_avg_pool2d", 2, input, output_size)


def adaptive_avg_pool3d(input: Tensor, output_size) -> Tensor:
    """`adaptive_avg_pool2d` of volumes (N, C, D, H, W)."""
    return _adaptive_avg_pool("adaptive_avg_pool3d", 3, input, output_size)


def _adaptive_max_pool(name, n, x, output_size):
    out = _adaptive(name, n, x, output_size)
    kernel = []
    for axis, (size, m) in enumerate(zip(x.shape[2:], out), 2):
        index = _windows(size, m)[0]
        kernel.append(index.shape[1])
        if size % m:  # lay the windows side by side
            x = np.take(x, index.reshape(-1), axis=axis)
    window = {"kernel": tuple(kernel), "stride": tuple(kernel), "padding": ((0, 0),) * n, "dilation": (1,) * n}
    return primitives.max_pool(x, **window)


def adaptive_max_pool1d(input: Tensor, output_size) -> Tensor:
    """The largest values of ``output_size`` windows that cover (N, C, L), as equal as possible."""
    return _adaptive_max_pool("adaptive_max_pool1d", 1, input, output_size)


def adaptive_max_pool2d(input: Tensor, output_size) -> Tensor:
    """(N, C, H, W) -> (N, C, *output_size): the largest values of windows that cover the image; None keeps an axis."""
    return _adaptive_max_pool("adaptive_max_pool2d", 2, input, output_size)


def adaptive_max_pool3d(input: Tensor, output_size) -> Tensor:
    """`adaptive_max_pool2d` of volumes (N, C, D, H, W)."""
    return _adaptive_max_pool("adaptive_max_pool3d", 3, input, output_size)
