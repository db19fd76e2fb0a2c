"""Pooling layers."""

from __future__ import annotations

from .. import functional as F
from .module import Module


class MaxPool2d(Module):
    """The largest value of every window of (N, C, H, W), stride apart (default: kernel_size)."""

    def __init__(self, kernel_size, stride=None, padding=0, dilation=1):
        self.kernel_size, self.stride, self.padding, self.dilation = kernel_size, stride, padding, dilation

    def forward(self, x):
        return F.max_pool2d(x, self.kernel_size, self.stride, self.padding, self.dilation)

    def extra_repr(self):
        return f"{self.kernel_size}" + (f", stride={self.stride}" if self.stride is not None else "")


class AvgPool2d(Module):
    """The mean of every window of (N, C, H, W), stride apart (default: kernel_size)."""

    def __init__(self, kernel_size, stride=None, padding=0, count_include_pad: bool = True):
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        self.count_include_pad = count_include_pad

    def forward(self, x):
        return F.avg_pool2d(x, self.kernel_size, self.stride, self.padding, count_include_pad=self.count_include_pad)

    extra_repr = MaxPool2d.extra_repr
