"""Convolution of sequences, images and volumes, its transpose, and the windows that it looks through.

Spatial arguments (stride, padding, ...) are an int or one int per axis.
"""

from __future__ import annotations

import math

import numpy as np

from .. import kernels, primitives
from ..dispatch import primitive
from ..tensor import Tensor

Size = int | tuple[int, ...]
IMAGES = {1: "(N, C, L)", 2: "(N, C, H, W)", 3: "(N, C, D, H, W)"}
KERNELS = {1: "k", 2: "kH, kW", 3: "kD, kH, kW"}


# ---- arguments ----
def _ints(value, name, n):
    """``value`` as n ints."""
    ints = (value,) * n if isinstance(value, (int, np.integer)) else tuple(value)
    if len(ints) != n or not all(isinstance(v, (int, np.integer)) for v in ints):
        raise ValueError(f"{name} is an int or {'a pair' if n == 2 else n} of ints, not {value!r}")
    return ints


def _positive(value, name, n):
    ints = _ints(value, name, n)
    if min(ints) < 1:
        raise ValueError(f"{name} must be at least 1, got {value!r}")
    return ints


def _padding(padding, kernel, stride, dilation):
    """ints, 'same' (the odd one goes right, as PyTorch) or 'valid' -> ((top, bottom), (left, right))."""
    if padding == "valid":
        return ((0, 0),) * len(kernel)
    if padding == "same":
        if max(stride) > 1:
            raise ValueError(f"padding='same' is for stride 1, not {stride}")
        total = [d * (k - 1) for d, k in zip(dilation, kernel)]
        return tuple((t // 2, t - t // 2) for t in total)
    if isinstance(padding, str):
        raise ValueError(f"padding is an int, one int per axis, 'same' or 'valid', not {padding!r}")
    ints = _ints(padding, "padding", len(kernel))
    if min(ints) < 0:
        raise ValueError(f"padding must not be negative, got {padding!r}")
    return tuple((p, p) for p in ints)


def _check_fits(name, x, kernel, padding, dilation):
    for n, k, p, d in zip(x.shape[2:], kernel, padding, dilation):
        if n + sum(p) < d * (k - 1) + 1:
            raise ValueError(f"{name}: a window of {d * (k - 1) + 1} pixels does not fit into {n} + {sum(p)} padding "
                             f"(input {x.shape}, kernel {kernel})")


def _check_images(name, x, n):
    if x.ndim != n + 2:
        raise ValueError(f"{name}: input {x.shape} must be {IMAGES[n]}")


# ---- convolution ----
@primitive(lambda g, y, x, w, b, **s: primitives.conv_input_grad(g, w, shape=x.shape, **s),
           lambda g, y, x, w, b, **s: primitives.conv_weight_grad(x, g, shape=w.shape, **s),
           kernels.by_hand(kernels.normalize.sum_over_images)(
               lambda g, y, x, w, b, **s: g.sum(axis=(0, *range(2, g.ndim)))))
def _conv_bias(x, w, b, stride, padding, dilation, groups):
    return kernels.conv(x, w, stride, padding, dilation, groups, bias=b)


def _conv(name, n, input, weight, bias, stride, padding, dilation, groups):
    if input.ndim != n + 2 or weight.ndim != n + 2:
        raise ValueError(f"{name}: input {input.shape} must be {IMAGES[n]}, weight {weight.shape} (O, C, {KERNELS[n]})")
    if input.shape[1] != weight.shape[1] * groups:
        raise ValueError(f"{name}: input has {input.shape[1]} channels, weight {weight.shape} expects "
                         f"{weight.shape[1] * groups}; is the batch {IMAGES[n]}?")
    if min(weight.shape[2:]) < 1 or (bias is not None and bias.shape != weight.shape[:1]):
        raise ValueError(f"{name}: weight {weight.shape} wants a kernel of at least 1, and bias {np.shape(bias)} one "
                         f"number for each of the {weight.shape[0]} outputs")
    if weight.shape[0] % groups:
        raise ValueError(f"{name}: {weight.shape[0]} output channels do not divide into {groups} groups")
    stride, dilation = _positive(stride, "stride", n), _positive(dilation, "dilation", n)
    padding = _padding(padding, weight.shape[2:], stride, dilation)
    _check_fits(name, input, weight.shape[2:], padding, dilation)
    window = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return primitives.conv(input, weight, **window) if bias is None else _conv_bias(input, weight, bias, **window)


def conv1d(input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Size = 1, padding: Size | str = 0,
           dilation: Size = 1, groups: int = 1) -> Tensor:
    """`conv2d` of sequences: (N, C, L) with weight (O, C / groups, k)."""
    return _conv("conv1d", 1, input, weight, bias, stride, padding, dilation, groups)


def conv2d(input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Size = 1, padding: Size | str = 0,
           dilation: Size = 1, groups: int = 1) -> Tensor:
    """Cross-correlation, as every framework's convolution: (N, C, H, W) with weight (O, C / groups, kH, kW).

    y[n, o, i, j] = bias[o] + sum over c, a, b of weight[o, c, a, b] * input[n, c, i * stride + a, j * stride + b].
    Output (N, O, H', W') with H' = floor((H + 2 padding - dilation (kH - 1) - 1) / stride) + 1. padding: also 'same'
    or 'valid'.
    """
    return _conv("conv2d", 2, input, weight, bias, stride, padding, dilation, groups)


def conv3d(input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Size = 1, padding: Size | str = 0,
           dilation: Size = 1, groups: int = 1) -> Tensor:
    """`conv2d` of volumes: (N, C, D, H, W) with weight (O, C / groups, kD, kH, kW)."""
    return _conv("conv3d", 3, input, weight, bias, stride, padding, dilation, groups)


def locally_connected(input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Size = 1,
                      padding: Size | str = 0, dilation: Size = 1) -> Tensor:
    """A convolution with weights of its own at every place: Keras' LocallyConnected1D and 2D.

    (N, C, *S) with weight (O, C, *kernel, *S'), bias (O, *S') -> (N, O, *S'), S' as in `conv2d`.
    """
    n = input.ndim - 2
    if n not in IMAGES or weight.ndim != 2 + 2 * n or weight.shape[1] != input.shape[1]:
        raise ValueError(f"locally_connected: input {input.shape} must be {', '.join(IMAGES.values())}, and weight "
                         f"{weight.shape} (O, C, *kernel, *windows)")
    kernel, out = weight.shape[2:2 + n], weight.shape[2 + n:]
    stride, dilation = _positive(stride, "stride", n), _positive(dilation, "dilation", n)
    padding = _padding(padding, kernel, stride, dilation)
    _check_fits("locally_connected", input, kernel, padding, dilation)
    x = primitives.pad(input, pad_width=((0, 0), (0, 0), *padding))
    x = primitives.windows(x, size=kernel, stride=stride, dilation=dilation)
    if x.shape[2:2 + n] != out:
        raise ValueError(f"locally_connected: weight {weight.shape} is for {out} windows, but input {input.shape} has "
                         f"{x.shape[2:2 + n]}")
    places, taps = "xyz"[:n], "abc"[:n]
    y = np.einsum(f"ni{places}{taps},oi{taps}{places}->no{places}", x, weight)
    return y if bias is None else y + bias


def _output_padding(name, n, shape, output_size, kernel, stride, padding, dilation):
    """The output_padding with which a transposed convolution of images of this shape puts out ``output_size``."""
    stride, dilation, padding = (_ints(v, w, n) for v, w in (
        (stride, "stride"), (dilation, "dilation"), (padding, "padding")))
    least = [(m - 1) * s - 2 * p + d * (k - 1) + 1
             for m, s, p, d, k in zip(shape[2:], stride, padding, dilation, kernel)]
    wanted = tuple(output_size)
    if len(wanted) not in (n, n + 2) or any(not 0 <= w - m < s for w, m, s in zip(wanted[-n:], least, stride)):
        raise ValueError(f"{name}: output_size {wanted} of input {tuple(shape)} must be from {tuple(least)} to "
                         f"{tuple(m + s - 1 for m, s in zip(least, stride))}")
    return tuple(w - m for w, m in zip(wanted[-n:], least))


# ---- transposed convolution ----
def _transposed(name, n, input, weight, bias, stride, padding, output_padding, groups, dilation):
    if input.ndim != n + 2 or weight.ndim != n + 2:
        raise ValueError(f"{name}: input {input.shape} must be {IMAGES[n]}, weight {weight.shape} (C, O, {KERNELS[n]})")
    if input.shape[1] != weight.shape[0] or weight.shape[0] % groups:
        raise ValueError(f"{name}: input {input.shape} has {input.shape[1]} channels, weight {weight.shape} expects "
                         f"{weight.shape[0]}, in {groups} groups; it is (C, O / groups, {KERNELS[n]}) here")
    kernel = weight.shape[2:]
    stride, dilation = _positive(stride, "stride", n), _positive(dilation, "dilation", n)
    padding, extra = _padding(padding, kernel, stride, dilation), _ints(output_padding, "output_padding", n)
    if any(not 0 <= e < max(s, d) for e, s, d in zip(extra, stride, dilation)):
        raise ValueError(f"{name}: output_padding {output_padding} must be from 0 to less than the stride {stride} or "
                         f"the dilation {dilation}")
    size = [(m - 1) * s + d * (k - 1) + 1 - sum(p) + e
            for m, s, d, k, p, e in zip(input.shape[2:], stride, dilation, kernel, padding, extra)]
    if min(size) < 1:
        raise ValueError(f"{name}: of input {input.shape} and kernel {kernel} the padding {padding} leaves {size}")
    cut = tuple((left, max(right - e, 0)) for (left, right), e in zip(padding, extra))
    beyond = [e - p[1] if e - p[1] >= s else 0 for e, p, s in zip(extra, padding, stride)]  # where no window would end
    inner = [m - b for m, b in zip(size, beyond)]
    y = primitives.conv_input_grad(input, weight, shape=(input.shape[0], weight.shape[1] * groups, *inner),
                                   stride=stride, padding=cut, dilation=dilation, groups=groups)
    if any(beyond):
        y = primitives.pad(y, pad_width=((0, 0), (0, 0), *((0, b) for b in beyond)))
    return y if bias is None else y + bias.reshape(-1, *(1,) * n)


def conv_transpose1d(input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Size = 1, padding: Size = 0,
                     output_padding: Size = 0, groups: int = 1, dilation: Size = 1) -> Tensor:
    """`conv_transpose2d` of sequences: (N, C, L) with weight (C, O / groups, k)."""
    return _transposed("conv_transpose1d", 1, input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose2d(input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Size = 1, padding: Size = 0,
                     output_padding: Size = 0, groups: int = 1, dilation: Size = 1) -> Tensor:
    """The adjoint of `conv2d`'s map, plus a bias: (N, C, H, W) with weight (C, O / groups, kH, kW) -> (N, O, H', W').

    H' = (H - 1) stride - 2 padding + dilation (kH - 1) + output_padding + 1: the size of an image of which that
    convolution makes H. output_padding, less than the stride (or the dilation), says which one of them.
    """
    return _transposed("conv_transpose2d", 2, input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose3d(input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Size = 1, padding: Size = 0,
                     output_padding: Size = 0, groups: int = 1, dilation: Size = 1) -> Tensor:
    """`conv_transpose2d` of volumes: (N, C, D, H, W) with weight (C, O / groups, kD, kH, kW)."""
    return _transposed("conv_transpose3d", 3, input, weight, bias, stride, padding, output_padding, groups, dilation)


# ---- windows as columns ----
def _columns(name, size, kernel_size, dilation, padding, stride):
    """The size of padded images, the kernel, how many windows fit, the padding, and how they stand."""
    kernel, dilation = _positive(kernel_size, "kernel_size", 2), _positive(dilation, "dilation", 2)
    stride = _positive(stride, "stride", 2)
    padding = _padding(padding, kernel, stride, dilation)
    whole = tuple(m + sum(p) for m, p in zip(size, padding))
    out = [(m - d * (k - 1) - 1) // s + 1 for m, d, k, s in zip(whole, dilation, kernel, stride)]
    if min(out) < 1:
        raise ValueError(f"{name}: no window of kernel {kernel}, dilation {dilation} fits into {whole} with padding")
    return whole, kernel, out, padding, {"stride": stride, "dilation": dilation}


def unfold(input: Tensor, kernel_size: Size, dilation: Size = 1, padding: Size = 0, stride: Size = 1) -> Tensor:
    """im2col: every window of (N, C, H, W) as a column, (N, C * kH * kW, windows)."""
    _check_images("unfold", input, 2)
    _, kernel, out, padding, steps = _columns("unfold", input.shape[2:], kernel_size, dilation, padding, stride)
    x = primitives.pad(input, pad_width=((0, 0), (0, 0), *padding))
    y = primitives.windows(x, size=kernel, **steps).transpose(0, 1, 4, 5, 2, 3)
    return y.reshape(x.shape[0], x.shape[1] * math.prod(kernel), math.prod(out))


def fold(input: Tensor, output_size: Size, kernel_size: Size, dilation: Size = 1, padding: Size = 0,
         stride: Size = 1) -> Tensor:
    """col2im, the adjoint of `unfold`: columns (N, C * kH * kW, windows) added up to (N, C, *output_size)."""
    size = _positive(output_size, "output_size", 2)
    whole, kernel, out, padding, steps = _columns("fold", size, kernel_size, dilation, padding, stride)
    if input.ndim != 3 or input.shape[1] % math.prod(kernel) or input.shape[2] != math.prod(out):
        raise ValueError(f"fold: input {input.shape} must be (N, C * {math.prod(kernel)}, {math.prod(out)}) for kernel "
                         f"{kernel} and output_size {size}")
    x = input.reshape(input.shape[0], input.shape[1] // math.prod(kernel), *kernel, *out).transpose(0, 1, 4, 5, 2, 3)
    y = primitives.fold(x, shape=whole, **steps)
    return y[(..., *(slice(p[0], p[0] + m) for p, m in zip(padding, size)))]
