"""Pooling layers."""

from __future__ import annotations

from .. import functional as F
from .module import Module


class _Pool(Module):
    n: int  # spatial axes
    kind: str

    def _function(self):
        return getattr(F, f"{self.kind}{self.n}d")

    def extra_repr(self):
        stride = getattr(self, "stride", None)
        return f"{self.kernel_size}" + (f", stride={stride}" if stride is not None else "")


# ---- the largest ----
class _MaxPool(_Pool):
    kind = "max_pool"

    def __init__(self, kernel_size, stride=None, padding=0, dilation=1, return_indices: bool = False,
                 ceil_mode: bool = False):
        self.kernel_size, self.stride, self.padding, self.dilation = kernel_size, stride, padding, dilation
        self.return_indices, self.ceil_mode = return_indices, ceil_mode

    def forward(self, x):
        return self._function()(x, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode,
                                self.return_indices)


class MaxPool1d(_MaxPool):
    """`MaxPool2d` of sequences (N, C, L)."""

    n = 1


class MaxPool2d(_MaxPool):
    """The largest value of every window of (N, C, H, W), stride apart (default: kernel_size); padding counts as -inf.

    ceil_mode: one more window, cut off at the end, where they do not fit evenly. return_indices: (values, where they
    stood), for `MaxUnpool2d`.
    """

    n = 2


class MaxPool3d(_MaxPool):
    """`MaxPool2d` of volumes (N, C, D, H, W)."""

    n = 3


class _MaxUnpool(_Pool):
    kind = "max_unpool"

    def __init__(self, kernel_size, stride=None, padding=0):
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding

    def forward(self, x, indices, output_size=None):
        return self._function()(x, indices, self.kernel_size, self.stride, self.padding, output_size)


class MaxUnpool1d(_MaxUnpool):
    """`MaxUnpool2d` of sequences (N, C, L)."""

    n = 1


class MaxUnpool2d(_MaxUnpool):
    """Zeros, with (N, C, H, W) put where a `MaxPool2d` of the same arguments found it: unpool(*pool(x))."""

    n = 2


class MaxUnpool3d(_MaxUnpool):
    """`MaxUnpool2d` of volumes (N, C, D, H, W)."""

    n = 3


class _FractionalMaxPool(_Pool):
    kind = "fractional_max_pool"

    def __init__(self, kernel_size, output_size=None, output_ratio=None, return_indices: bool = False,
                 _random_samples=None, *, sequence: str | None = None, overlapping: bool = True, generator=None):
        if (output_size is None) == (output_ratio is None):
            raise ValueError(f"{type(self).__name__}: give one of output_size and output_ratio")
        if (kernel_size is None) != (sequence is not None):
            raise ValueError(f"{type(self).__name__}: give kernel_size, or, for Graham's regions, kernel_size=None and "
                             "a sequence")
        self.kernel_size, self.output_size, self.output_ratio = kernel_size, output_size, output_ratio
        self.return_indices, self._random_samples = return_indices, _random_samples
        self.sequence, self.overlapping, self.generator = sequence, overlapping, generator

    def forward(self, x):
        return self._function()(x, self.kernel_size, self.output_size, self.output_ratio, self.return_indices,
                                self._random_samples, sequence=self.sequence, overlapping=self.overlapping,
                                generator=self.generator)

    def extra_repr(self):
        size = f"output_size={self.output_size}" if self.output_ratio is None else f"output_ratio={self.output_ratio}"
        graham = f", sequence={self.sequence!r}, overlapping={self.overlapping}" if self.sequence else ""
        return f"{self.kernel_size}, {size}{graham}"


class FractionalMaxPool2d(_FractionalMaxPool):
    """The largest values of windows at random places: (N, C, H, W) -> (N, C, *output_size). Graham 2014.

    By default PyTorch's windows of kernel_size; with kernel_size=None and sequence='pseudorandom' or 'random' Graham's
    regions, overlapping or disjoint: see `minigrad.functional.fractional_max_pool2d`. They are drawn anew in every
    call, in evaluation too: average the predictions of several.
    """

    n = 2


class FractionalMaxPool3d(_FractionalMaxPool):
    """`FractionalMaxPool2d` of volumes (N, C, D, H, W)."""

    n = 3


# ---- means and norms ----
class _AvgPool(_Pool):
    kind = "avg_pool"

    def __init__(self, kernel_size, stride=None, padding=0, ceil_mode: bool = False, count_include_pad: bool = True):
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad

    def forward(self, x):
        return self._function()(x, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad)


class AvgPool1d(_AvgPool):
    """`AvgPool2d` of sequences (N, C, L)."""

    n = 1


class _DividedAvgPool(_AvgPool):
    def __init__(self, kernel_size, stride=None, padding=0, ceil_mode: bool = False, count_include_pad: bool = True,
                 divisor_override: int | None = None):
        super().__init__(kernel_size, stride, padding, ceil_mode, count_include_pad)
        self.divisor_override = divisor_override

    def forward(self, x):
        return self._function()(x, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad,
                                self.divisor_override)


class AvgPool2d(_DividedAvgPool):
    """The mean of every window of (N, C, H, W), stride apart (default: kernel_size).

    count_include_pad: padding counts as zeros; Keras leaves it out. divisor_override: by what to divide every sum.
    """

    n = 2


class AvgPool3d(_DividedAvgPool):
    """`AvgPool2d` of volumes (N, C, D, H, W)."""

    n = 3


class _LPPool(_Pool):
    kind = "lp_pool"

    def __init__(self, norm_type: float, kernel_size, stride=None, ceil_mode: bool = False):
        self.norm_type, self.kernel_size, self.stride, self.ceil_mode = norm_type, kernel_size, stride, ceil_mode

    def forward(self, x):
        return self._function()(x, self.norm_type, self.kernel_size, self.stride, self.ceil_mode)

    def extra_repr(self):
        return f"{self.norm_type}, {super().extra_repr()}"


class LPPool1d(_LPPool):
    """`LPPool2d` of sequences (N, C, L)."""

    n = 1


class LPPool2d(_LPPool):
    """(sum of x^p)^(1/p) of every window of (N, C, H, W), p = norm_type; where the sum is 0 the gradient is 0."""

    n = 2


class LPPool3d(_LPPool):
    """`LPPool2d` of volumes (N, C, D, H, W)."""

    n = 3


# ---- as many windows as asked for ----
class _AdaptiveAvgPool(_Pool):
    kind = "adaptive_avg_pool"

    def __init__(self, output_size):
        self.output_size = output_size

    def forward(self, x):
        return self._function()(x, self.output_size)

    def extra_repr(self):
        return f"{self.output_size}"


class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """`AdaptiveAvgPool2d` of sequences (N, C, L)."""

    n = 1


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """(N, C, H, W) -> (N, C, *output_size): the means of windows that cover the image; None keeps an axis."""

    n = 2


class AdaptiveAvgPool3d(_AdaptiveAvgPool):
    """`AdaptiveAvgPool2d` of volumes (N, C, D, H, W)."""

    n = 3


class _AdaptiveMaxPool(_AdaptiveAvgPool):
    kind = "adaptive_max_pool"

    def __init__(self, output_size, return_indices: bool = False):
        super().__init__(output_size)
        self.return_indices = return_indices

    def forward(self, x):
        return self._function()(x, self.output_size, self.return_indices)


class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    """`AdaptiveMaxPool2d` of sequences (N, C, L)."""

    n = 1


class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    """(N, C, H, W) -> (N, C, *output_size): the largest values of windows that cover the image; None keeps an axis."""

    n = 2


class AdaptiveMaxPool3d(_AdaptiveMaxPool):
    """`AdaptiveMaxPool2d` of volumes (N, C, D, H, W)."""

    n = 3


class _GlobalAvgPool(_Pool):
    kind = "adaptive_avg_pool"

    def __init__(self, keepdims: bool = False):
        self.keepdims = keepdims

    def forward(self, x):
        y = self._function()(x, 1)
        return y if self.keepdims else y.reshape(y.shape[:2])

    def extra_repr(self):
        return "keepdims=True" if self.keepdims else ""


class GlobalAvgPool1d(_GlobalAvgPool):
    """`GlobalAvgPool2d` of sequences (N, C, L)."""

    n = 1


class GlobalAvgPool2d(_GlobalAvgPool):
    """(N, C, H, W) -> (N, C): the mean of every channel; (N, C, 1, 1) with keepdims. Keras' GlobalAveragePooling2D."""

    n = 2


class GlobalAvgPool3d(_GlobalAvgPool):
    """`GlobalAvgPool2d` of volumes (N, C, D, H, W)."""

    n = 3


class _GlobalMaxPool(_GlobalAvgPool):
    kind = "adaptive_max_pool"


class GlobalMaxPool1d(_GlobalMaxPool):
    """`GlobalMaxPool2d` of sequences (N, C, L)."""

    n = 1


class GlobalMaxPool2d(_GlobalMaxPool):
    """(N, C, H, W) -> (N, C): the largest of every channel; (N, C, 1, 1) with keepdims. Keras' GlobalMaxPooling2D."""

    n = 2


class GlobalMaxPool3d(_GlobalMaxPool):
    """`GlobalMaxPool2d` of volumes (N, C, D, H, W)."""

    n = 3
