"""Convolution layers."""

from __future__ import annotations

import math

import numpy as np

from .. import functional as F
from ..functional.conv import _ints, _output_padding, _padding, _positive
from ..tensor import Parameter
from . import init
from .module import Module


class _Kernels(Module):
    n: int  # spatial axes
    transposed = False

    def __init__(self, in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode,
                 dtype, generator):
        name = type(self).__name__
        lazy, in_channels = in_channels is None, groups if in_channels is None else in_channels
        if min(in_channels, out_channels, groups) < 1:
            raise ValueError(f"{name}: in_channels={in_channels}, out_channels={out_channels} and groups={groups} must "
                             "be at least 1")
        if in_channels % groups or out_channels % groups:
            raise ValueError(f"{name}: {in_channels} input and {out_channels} output channels must both divide into "
                             f"{groups} groups")
        if padding_mode not in ("zeros", "reflect", "replicate", "circular"):
            raise ValueError(f"{name}: padding_mode is 'zeros', 'reflect', 'replicate' or 'circular', not "
                             f"{padding_mode!r}")
        kernel = _positive(kernel_size, "kernel_size", self.n)
        _positive(stride, "stride", self.n)
        _padding(padding, kernel, (1,) * self.n, _positive(dilation, "dilation", self.n))
        self.in_channels, self.out_channels, self.kernel_size = in_channels, out_channels, kernel
        self.stride, self.padding, self.dilation, self.groups = stride, padding, dilation, groups
        self.padding_mode = padding_mode
        self.lazy_generator = generator
        self.weight = Parameter(np.empty(0, dtype))
        self.bias = Parameter(np.empty(out_channels, dtype)) if bias else None
        if lazy:
            self.in_channels = None
        else:
            self._build(in_channels)

    def _build(self, in_channels):
        """The weights, now that in_channels is known; ValueError if it does not divide into the groups."""
        if in_channels % self.groups:
            raise ValueError(f"{type(self).__name__}: {in_channels} input channels must divide into {self.groups} "
                             "groups")
        self.in_channels, out = in_channels, self.out_channels
        channels = (in_channels, out // self.groups) if self.transposed else (out, in_channels // self.groups)
        self.weight.data = np.empty((*channels, *self.kernel_size), self.weight.dtype)
        init.torch_default_(self.weight, self.bias, self.lazy_generator)

    def _infer_from(self, state, prefix):
        shape = np.shape(state.get(f"{prefix}weight"))
        if self.in_channels is None and len(shape) == self.n + 2:
            self._build(shape[0] if self.transposed else shape[1] * self.groups)

    def _build_for(self, x):
        if self.in_channels is None:
            if x.ndim != self.n + 2:
                raise ValueError(f"{type(self).__name__}: input {x.shape} must have {self.n + 2} axes, (N, C, "
                                 f"{('L', 'H, W', 'D, H, W')[self.n - 1]})")
            self._build(x.shape[1])

    def forward(self, x):
        self._build_for(x)
        padding = self.padding
        if self.padding_mode != "zeros" and x.ndim == self.n + 2:
            steps = (_ints(v, "", self.n) for v in (self.stride, self.dilation))
            pairs = _padding(padding, self.kernel_size, *steps)
            x, padding = F.pad(x, tuple(p for pair in pairs[::-1] for p in pair), self.padding_mode), 0
        conv = (F.conv1d, F.conv2d, F.conv3d)[self.n - 1]
        return conv(x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)

    def extra_repr(self):
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}"
        for name, default in (("stride", 1), ("padding", 0), ("output_padding", 0), ("dilation", 1), ("groups", 1),
                              ("padding_mode", "zeros")):
            if getattr(self, name, default) != default:
                text += f", {name}={getattr(self, name)!r}"
        return text + ("" if self.bias is not None else ", bias=False")


class _Conv(_Kernels):
    def __init__(self, in_channels: int | None, out_channels: int, kernel_size, stride=1, padding=0, dilation=1,
                 groups: int = 1, bias: bool = True, padding_mode: str = "zeros", dtype=np.float32, generator=None):
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode,
                         dtype, generator)


class Conv1d(_Conv):
    """`Conv2d` of sequences: (N, in_channels, L) -> (N, out_channels, L')."""

    n = 1


class Conv2d(_Conv):
    """Cross-correlation with learnt kernels: (N, in_channels, H, W) -> (N, out_channels, H', W'), PyTorch's Conv2d.

    weight: (out_channels, in_channels / groups, kH, kW). padding: int, pair, 'same' (stride 1 only; Keras has it for
    any) or 'valid'. padding_mode: 'zeros', 'reflect', 'replicate' or 'circular'. With kernel_size 1 it is a Dense layer
    at every pixel. Starts uniform in +-1 / sqrt(in_channels / groups * kH * kW). in_channels=None: that of the first
    input. (Keras' has channels last, a kernel (kH, kW, in, out) that starts Glorot uniform, and a bias of zero.)
    """

    n = 2


class Conv3d(_Conv):
    """`Conv2d` of volumes: (N, in_channels, D, H, W) -> (N, out_channels, D', H', W')."""

    n = 3


class LazyConv1d(Conv1d):
    """`Conv1d` that takes in_channels from its first input, or from the state it loads; by PyTorch's name."""

    def __init__(self, out_channels: int, kernel_size, *args, **kwargs):
        _Conv.__init__(self, None, out_channels, kernel_size, *args, **kwargs)


class LazyConv2d(Conv2d):
    """`Conv2d` that takes in_channels from its first input, or from the state it loads; by PyTorch's name."""

    __init__ = LazyConv1d.__init__


class LazyConv3d(Conv3d):
    """`Conv3d` that takes in_channels from its first input, or from the state it loads; by PyTorch's name."""

    __init__ = LazyConv1d.__init__


# ---- transposed ----
class _ConvTranspose(_Kernels):
    transposed = True

    def __init__(self, in_channels: int | None, out_channels: int, kernel_size, stride=1, padding=0, output_padding=0,
                 groups: int = 1, bias: bool = True, dilation=1, padding_mode: str = "zeros", dtype=np.float32,
                 generator=None):
        name = type(self).__name__
        if padding_mode != "zeros":
            raise ValueError(f"{name}: padding_mode is 'zeros', not {padding_mode!r}")
        _ints(padding, "padding", self.n)
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode,
                         dtype, generator)
        extra, *steps = (_ints(v, w, self.n) for v, w in (
            (output_padding, "output_padding"), (stride, "stride"), (dilation, "dilation")))
        if any(not 0 <= e < max(s, d) for e, s, d in zip(extra, *steps)):
            raise ValueError(f"{name}: output_padding {output_padding} must be from 0 to less than the stride {stride} "
                             f"or the dilation {dilation}")
        self.output_padding = output_padding

    def forward(self, x, output_size=None):
        """output_size: the spatial size wanted, instead of the output_padding that leads to it."""
        self._build_for(x)
        extra = self.output_padding if output_size is None else _output_padding(
            type(self).__name__, self.n, x.shape, output_size, self.kernel_size, self.stride, self.padding,
            self.dilation)
        conv = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[self.n - 1]
        return conv(x, self.weight, self.bias, self.stride, self.padding, extra, self.groups, self.dilation)


class ConvTranspose1d(_ConvTranspose):
    """`ConvTranspose2d` of sequences: (N, in_channels, L) -> (N, out_channels, L')."""

    n = 1


class ConvTranspose2d(_ConvTranspose):
    """The adjoint of a `Conv2d` from out_channels to in_channels, plus a bias: (N, in, H, W) -> (N, out, H', W').

    H' = (H - 1) stride - 2 padding + dilation (kH - 1) + output_padding + 1. weight: (in_channels, out_channels /
    groups, kH, kW). Starts uniform in +-1 / sqrt(out_channels / groups * kH * kW). in_channels=None: that of the first
    input.
    """

    n = 2


class ConvTranspose3d(_ConvTranspose):
    """`ConvTranspose2d` of volumes: (N, in_channels, D, H, W) -> (N, out_channels, D', H', W')."""

    n = 3


def _known(layer, in_channels):
    if in_channels is None:
        raise ValueError(f"{type(layer).__name__}: in_channels must be given here; it cannot wait for the first input")


# ---- per channel ----
class _DepthwiseConv(_Kernels):
    def __init__(self, in_channels: int, kernel_size, stride=1, padding=0, depth_multiplier: int = 1, dilation=1,
                 bias: bool = True, padding_mode: str = "zeros", dtype=np.float32, generator=None):
        _known(self, in_channels)
        self.depth_multiplier = depth_multiplier
        super().__init__(in_channels, in_channels * depth_multiplier, kernel_size, stride, padding, dilation,
                         in_channels, bias, padding_mode, dtype, generator)


class DepthwiseConv1d(_DepthwiseConv):
    """`DepthwiseConv2d` of sequences (N, in_channels, L)."""

    n = 1


class DepthwiseConv2d(_DepthwiseConv):
    """Each channel by itself, with depth_multiplier kernels: a `Conv2d` with groups=in_channels, as Keras'.

    (N, C, H, W) -> (N, C m, H', W'), channel c m + j by kernel j of channel c. weight: (C m, 1, kH, kW); Keras' is
    (kH, kW, C, m).
    """

    n = 2


class _SeparableConv(Module):
    def __init__(self, in_channels: int, out_channels: int, kernel_size, stride=1, padding=0,
                 depth_multiplier: int = 1, dilation=1, bias: bool = True, padding_mode: str = "zeros",
                 dtype=np.float32, generator=None):
        _known(self, in_channels)
        depthwise, conv = self.parts
        self.depthwise = depthwise(in_channels, kernel_size, stride, padding, depth_multiplier, dilation, False,
                                   padding_mode, dtype, generator)
        self.pointwise = conv(in_channels * depth_multiplier, out_channels, 1, bias=bias, dtype=dtype,
                              generator=generator)

    def forward(self, x):
        return self.pointwise(self.depthwise(x))


class SeparableConv1d(_SeparableConv):
    """`SeparableConv2d` of sequences (N, in_channels, L)."""

    parts = (DepthwiseConv1d, Conv1d)


class SeparableConv2d(_SeparableConv):
    """Each channel by itself, then a 1x1 convolution that mixes them: Keras' SeparableConv2D. Chollet 2017.

    A `DepthwiseConv2d` without bias, ``depthwise``, and a `Conv2d` with one, ``pointwise``: kH kW C m + C m O weights
    in place of kH kW C O.
    """

    parts = (DepthwiseConv2d, Conv2d)


# ---- weights of their own at every place ----
class _LocallyConnected(Module):
    def __init__(self, in_channels: int, out_channels: int, input_size, kernel_size, stride=1, padding=0, dilation=1,
                 bias: bool = True, dtype=np.float32, generator=None):
        _known(self, in_channels)
        kernel, size = _positive(kernel_size, "kernel_size", self.n), _positive(input_size, "input_size", self.n)
        steps, spread = _positive(stride, "stride", self.n), _positive(dilation, "dilation", self.n)
        pairs = _padding(padding, kernel, steps, spread)
        out = tuple((m + sum(p) - d * (k - 1) - 1) // s + 1
                    for m, p, d, k, s in zip(size, pairs, spread, kernel, steps))
        if min(out) < 1:
            raise ValueError(f"{type(self).__name__}: kernel {kernel} does not fit into {size} with padding {padding}")
        self.in_channels, self.out_channels, self.input_size, self.kernel_size = in_channels, out_channels, size, kernel
        self.stride, self.padding, self.dilation = stride, padding, dilation
        self.weight = Parameter(np.empty((out_channels, in_channels, *kernel, *out), dtype))
        self.bias = Parameter(np.empty((out_channels, *out), dtype)) if bias else None
        bound = 1 / math.sqrt(in_channels * math.prod(kernel))
        for p in (self.weight, self.bias) if bias else (self.weight,):
            init.uniform_(p, -bound, bound, generator)

    def forward(self, x):
        return F.locally_connected(x, self.weight, self.bias, self.stride, self.padding, self.dilation)

    def extra_repr(self):
        return f"{self.in_channels}, {self.out_channels}, {self.input_size}, kernel_size={self.kernel_size}"


class LocallyConnected1d(_LocallyConnected):
    """`LocallyConnected2d` of sequences of length input_size."""

    n = 1


class LocallyConnected2d(_LocallyConnected):
    """A `Conv2d` that shares no weights, for images of input_size: Keras 2's LocallyConnected2D.

    weight: (out_channels, in_channels, kH, kW, H', W'), bias (out_channels, H', W'); starts as Conv2d.
    """

    n = 2


# ---- windows as columns ----
class Unfold(Module):
    """im2col: every window of (N, C, H, W) as a column, (N, C * kH * kW, windows)."""

    def __init__(self, kernel_size, dilation=1, padding=0, stride=1):
        self.kernel_size, self.dilation, self.padding, self.stride = kernel_size, dilation, padding, stride

    def forward(self, x):
        return F.unfold(x, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self):
        return f"{self.kernel_size}, dilation={self.dilation}, padding={self.padding}, stride={self.stride}"


class Fold(Unfold):
    """col2im, the adjoint of `Unfold`: columns (N, C * kH * kW, windows) added up to (N, C, *output_size)."""

    def __init__(self, output_size, kernel_size, dilation=1, padding=0, stride=1):
        super().__init__(kernel_size, dilation, padding, stride)
        self.output_size = output_size

    def forward(self, x):
        return F.fold(x, self.output_size, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self):
        return f"{self.output_size}, {super().extra_repr()}"
