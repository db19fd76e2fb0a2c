"""Convolution layers."""

from __future__ import annotations

import numpy as np

from .. import functional as F
from ..tensor import Parameter
from . import init
from .module import Module


class Conv2d(Module):
    """Cross-correlation with learnt kernels: (N, in_channels, H, W) -> (N, out_channels, H', W'), PyTorch's Conv2d.

    weight: (out_channels, in_channels / groups, kH, kW). padding: int, pair, 'same' or 'valid'. With kernel_size 1 it
    is a Dense layer at every pixel. Starts uniform in +-1 / sqrt(in_channels / groups * kH * kW).
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size, stride=1, padding=0, dilation=1,
                 groups: int = 1, bias: bool = True, dtype=np.float32, generator=None):
        if in_channels % groups or out_channels % groups:
            raise ValueError(f"Conv2d: {in_channels} input and {out_channels} output channels must both divide into "
                             f"{groups} groups")
        kernel = (kernel_size, kernel_size) if isinstance(kernel_size, int) else tuple(kernel_size)
        self.in_channels, self.out_channels, self.kernel_size = in_channels, out_channels, kernel
        self.stride, self.padding, self.dilation, self.groups = stride, padding, dilation, groups
        self.weight = Parameter(np.empty((out_channels, in_channels // groups, *kernel), dtype))
        self.bias = Parameter(np.empty(out_channels, dtype)) if bias else None
        init.torch_default_(self.weight, self.bias, generator)

    def forward(self, x):
        return F.conv2d(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)

    def extra_repr(self):
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}"
        for name, default in (("stride", 1), ("padding", 0), ("dilation", 1), ("groups", 1)):
            if getattr(self, name) != default:
                text += f", {name}={getattr(self, name)!r}"
        return text + ("" if self.bias is not None else ", bias=False")
