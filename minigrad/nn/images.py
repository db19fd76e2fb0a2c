"""Layers that resize, rearrange and pad images."""

from __future__ import annotations

from .. import functional as F
from ..functional.conv import _ints
from .module import Module


class Upsample(Module):
    """Resize (N, C, L), (N, C, H, W) or (N, C, D, H, W) to ``size`` or by ``scale_factor``; modes as in
    `minigrad.functional.interpolate`."""

    def __init__(self, size=None, scale_factor=None, mode: str = "nearest", align_corners: bool | None = None):
        self.size, self.scale_factor, self.mode, self.align_corners = size, scale_factor, mode, align_corners

    def forward(self, x):
        return F.interpolate(x, self.size, self.scale_factor, self.mode, self.align_corners)

    def extra_repr(self):
        how = f"scale_factor={self.scale_factor}" if self.size is None else f"size={self.size}"
        return f"{how}, mode={self.mode!r}"


class UpsamplingNearest2d(Upsample):
    """`Upsample` with mode 'nearest'."""

    def __init__(self, size=None, scale_factor=None):
        super().__init__(size, scale_factor, "nearest")


class UpsamplingBilinear2d(Upsample):
    """`Upsample` with mode 'bilinear' and aligned corners."""

    def __init__(self, size=None, scale_factor=None):
        super().__init__(size, scale_factor, "bilinear", True)


class PixelShuffle(Module):
    """(*, C r^2, H, W) -> (*, C, H r, W r): r^2 channels become the pixels of an r x r block. Shi et al. 2016."""

    def __init__(self, upscale_factor: int):
        self.upscale_factor = upscale_factor

    def forward(self, x):
        return F.pixel_shuffle(x, self.upscale_factor)

    def extra_repr(self):
        return f"{self.upscale_factor}"


class PixelUnshuffle(Module):
    """(*, C, H r, W r) -> (*, C r^2, H, W), the inverse of `PixelShuffle`."""

    def __init__(self, downscale_factor: int):
        self.downscale_factor = downscale_factor

    def forward(self, x):
        return F.pixel_unshuffle(x, self.downscale_factor)

    def extra_repr(self):
        return f"{self.downscale_factor}"


# ---- padding ----
class _Pad(Module):
    n: int  # spatial axes
    mode: str
    value = 0.0

    def __init__(self, padding):
        self.padding = _ints(padding, "padding", 2 * self.n)

    def forward(self, x):
        if x.ndim not in (self.n + 1, self.n + 2):
            raise ValueError(f"{type(self).__name__}: input {x.shape} must have {self.n + 2} axes, or {self.n + 1} "
                             "without a batch")
        size = x.shape[:-self.n - 1:-1]
        before, after = self.padding[::2], self.padding[1::2]
        if any(a + b + m < 1 for a, b, m in zip(before, after, size)):
            raise ValueError(f"{type(self).__name__}: padding {self.padding} leaves nothing of input {x.shape}")
        return F.pad(x, self.padding, self.mode, self.value)

    def extra_repr(self):
        return f"{self.padding}"


class _ConstantPad(_Pad):
    mode = "constant"

    def __init__(self, padding, value: float):
        super().__init__(padding)
        self.value = value

    def extra_repr(self):
        return f"{self.padding}, value={self.value}"


class ConstantPad1d(_ConstantPad):
    """``value`` around the last axis: padding is an int or (left, right). Negative ones take away."""

    n = 1


class ConstantPad2d(_ConstantPad):
    """``value`` around images: padding is an int or (left, right, top, bottom)."""

    n = 2


class ConstantPad3d(_ConstantPad):
    """``value`` around volumes: padding is an int or (left, right, top, bottom, front, back)."""

    n = 3


class _ZeroPad(_Pad):
    mode = "constant"


class ZeroPad1d(_ZeroPad):
    """Zeros around the last axis: padding is an int or (left, right)."""

    n = 1


class ZeroPad2d(_ZeroPad):
    """Zeros around images: padding is an int or (left, right, top, bottom); Keras' is (rows, columns)."""

    n = 2


class ZeroPad3d(_ZeroPad):
    """Zeros around volumes: padding is an int or (left, right, top, bottom, front, back)."""

    n = 3


class _ReflectionPad(_Pad):
    mode = "reflect"


class ReflectionPad1d(_ReflectionPad):
    """The image mirrored at the centres of its outer pixels: (c b) a b c ..., padding as for `ZeroPad1d`."""

    n = 1


class ReflectionPad2d(_ReflectionPad):
    """`ReflectionPad1d` of images, padding as for `ZeroPad2d`."""

    n = 2


class ReflectionPad3d(_ReflectionPad):
    """`ReflectionPad1d` of volumes, padding as for `ZeroPad3d`."""

    n = 3


class _ReplicationPad(_Pad):
    mode = "replicate"


class ReplicationPad1d(_ReplicationPad):
    """The outer pixels repeated: (a a) a b c ..., padding as for `ZeroPad1d`."""

    n = 1


class ReplicationPad2d(_ReplicationPad):
    """`ReplicationPad1d` of images, padding as for `ZeroPad2d`."""

    n = 2


class ReplicationPad3d(_ReplicationPad):
    """`ReplicationPad1d` of volumes, padding as for `ZeroPad3d`."""

    n = 3


class _CircularPad(_Pad):
    mode = "circular"


class CircularPad1d(_CircularPad):
    """The image repeated on all sides: (y z) a b ... y z, padding as for `ZeroPad1d`."""

    n = 1


class CircularPad2d(_CircularPad):
    """`CircularPad1d` of images, padding as for `ZeroPad2d`."""

    n = 2


class CircularPad3d(_CircularPad):
    """`CircularPad1d` of volumes, padding as for `ZeroPad3d`."""

    n = 3
