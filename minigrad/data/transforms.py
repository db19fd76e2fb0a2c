"""Callables on whole batches of arrays, and scalers that are fitted to data.

A transform takes an array whose first axis is the batch and returns a new one; it never changes its input.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from minigrad.random import default_generator

__all__ = [
    "AddNoise",
    "Compose",
    "Flatten",
    "MinMaxScaler",
    "Normalize",
    "OneHot",
    "RandomTranslate",
    "StandardScaler",
    "ToFloat",
    "Transform",
]

Transform = Callable[[np.ndarray], np.ndarray]


def _float_dtype(x: np.ndarray) -> np.dtype:
    return x.dtype if x.dtype.kind == "f" else np.dtype(np.float32)


@dataclass(eq=False)
class Compose:
    """Apply ``transforms`` from left to right: ``Compose([f, g])(x)`` is ``g(f(x))``."""

    transforms: Sequence[Transform]

    def __call__(self, x: np.ndarray) -> np.ndarray:
        for transform in self.transforms:
            x = transform(x)
        return x


@dataclass(eq=False)
class ToFloat:
    """``x / scale`` as float32: with the default, bytes 0..255 become 0..1."""

    scale: float = 255.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.scale) and self.scale):
            raise ValueError(f"ToFloat: scale must be finite and not zero, got {self.scale}")

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return np.divide(x, np.float32(self.scale), dtype=np.float32)


@dataclass(eq=False)
class Normalize:
    """``(x - mean) / std``, each a number or one value per channel (axis 1 of ``x``: (N, C, H, W) or (N, C)).

    Floats keep their dtype, integers become float32. Raises ValueError if a ``std`` is not positive, or if the number
    of values is not the number of channels. MNIST's pixels have mean 0.1307 and std 0.3081.
    """

    mean: float | Sequence[float]
    std: float | Sequence[float]

    def __post_init__(self) -> None:
        for name, value in (("mean", self.mean), ("std", self.std)):
            if np.ndim(value) > 1:
                raise ValueError(f"Normalize: {name} must be a number or a list of them, got shape {np.shape(value)}")
        if not np.all(np.asarray(self.std) > 0):
            raise ValueError(f"Normalize: std must be positive, got {self.std}")

    def __call__(self, x: np.ndarray) -> np.ndarray:
        dtype = _float_dtype(x)
        return np.divide(x - self._per_channel("mean", x, dtype), self._per_channel("std", x, dtype), dtype=dtype)

    def _per_channel(self, name: str, x: np.ndarray, dtype: np.dtype) -> np.ndarray:
        value = np.asarray(getattr(self, name), dtype)
        if value.size == 1:
            return value.reshape(())
        if x.ndim < 2 or x.shape[1] != value.size:
            raise ValueError(
                f"Normalize: {name} has {value.size} values, so x needs {value.size} channels on axis 1; x is {x.shape}"
            )
        return value.reshape(-1, *[1] * (x.ndim - 2))


@dataclass(eq=False)
class Flatten:
    """(N, ...) becomes (N, product of the rest): images for a dense layer. No copy where NumPy needs none."""

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return x.reshape(len(x), math.prod(x.shape[1:]))


@dataclass(eq=False)
class OneHot:
    """Integer labels of any shape (...) become float32 rows (..., num_classes): 1 at the label, 0 elsewhere.

    Raises TypeError for labels that are not integers, ValueError for labels outside 0..num_classes-1.
    """

    num_classes: int

    def __call__(self, y: np.ndarray) -> np.ndarray:
        y = np.asarray(y)
        if y.dtype.kind not in "iu":
            raise TypeError(f"OneHot: labels must be integers, got {y.dtype}")
        if y.size and not (0 <= y.min() and y.max() < self.num_classes):
            raise ValueError(f"OneHot: labels must lie in 0..{self.num_classes - 1}, got {y.min()}..{y.max()}")
        return (y[..., None] == np.arange(self.num_classes)).astype(np.float32)


@dataclass(eq=False)
class RandomTranslate:
    """Shift each image of (N, C, H, W) by whole pixels, drawn for each axis uniformly from -max_pixels..max_pixels.

    What is uncovered becomes ``fill``. Draws from ``generator``, else from minigrad's default generator.
    """

    max_pixels: int
    fill: float = 0.0
    generator: np.random.Generator | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.max_pixels < 0:
            raise ValueError(f"RandomTranslate: max_pixels must not be negative, got {self.max_pixels}")

    def __call__(self, x: np.ndarray) -> np.ndarray:
        if x.ndim != 4:
            raise ValueError(f"RandomTranslate: x must be (N, C, H, W), got shape {x.shape}")
        m = self.max_pixels
        rows, columns = (self.generator or default_generator()).integers(0, 2 * m + 1, size=(2, len(x)))
        padded = np.pad(x, ((0, 0), (0, 0), (m, m), (m, m)), constant_values=self.fill)
        windows = np.lib.stride_tricks.sliding_window_view(padded, x.shape[2:], axis=(2, 3))
        return windows[np.arange(len(x)), :, rows, columns]


@dataclass(eq=False)
class AddNoise:
    """``x + std * noise`` with standard normal noise of x's shape and float dtype (float32 for integers).

    Draws from ``generator``, else from minigrad's default generator.
    """

    std: float
    generator: np.random.Generator | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not self.std >= 0:
            raise ValueError(f"AddNoise: std must not be negative, got {self.std}")

    def __call__(self, x: np.ndarray) -> np.ndarray:
        dtype = _float_dtype(x)
        noise = (self.generator or default_generator()).standard_normal(x.shape)
        return np.add(x, self.std * noise).astype(dtype, copy=False)


class _Scaler:
    """``z = (x - offset_) / scale_`` per feature, with statistics taken over axis 0 in float64.

    Floats keep their dtype, anything else becomes float32. A scaler is itself a transform: ``scaler(x)``.
    """

    offset_: np.ndarray | None = None
    scale_: np.ndarray | None = None

    def _fit(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        raise NotImplementedError

    def fit(self, x: np.ndarray) -> _Scaler:
        """Take the statistics of ``x`` (N, ...), and return self. Raises ValueError for no rows, NaN or infinity."""
        x = np.asarray(x, np.float64)
        if x.ndim == 0 or len(x) == 0:
            raise ValueError(f"{type(self).__name__}.fit: x needs at least one row, got shape {x.shape}")
        if not np.isfinite(x).all():
            raise ValueError(f"{type(self).__name__}.fit: x contains NaN or infinity")
        self.offset_, scale = self._fit(x)
        self.scale_ = np.where(scale == 0, 1.0, scale)  # a constant feature stays finite
        return self

    def transform(self, x: np.ndarray) -> np.ndarray:
        """Scale ``x``, whose shape after axis 0 must be the fitted one."""
        x = self._check("transform", x)
        return ((x - self.offset_) / self.scale_).astype(_float_dtype(x), copy=False)

    def inverse_transform(self, z: np.ndarray) -> np.ndarray:
        """Undo :meth:`transform`."""
        z = self._check("inverse_transform", z)
        return (z * self.scale_ + self.offset_).astype(_float_dtype(z), copy=False)

    def fit_transform(self, x: np.ndarray) -> np.ndarray:
        """``fit(x).transform(x)``."""
        return self.fit(x).transform(x)

    __call__ = transform

    def _check(self, method: str, x: np.ndarray) -> np.ndarray:
        x = np.asarray(x)
        if self.offset_ is None:
            raise RuntimeError(f"{type(self).__name__}.{method}: call fit(x) first")
        if x.shape[1:] != self.offset_.shape:
            raise ValueError(
                f"{type(self).__name__}.{method}: fitted to features of shape {self.offset_.shape}, got {x.shape[1:]}"
            )
        return x


class StandardScaler(_Scaler):
    """``(x - mean) / std`` per feature; ``ddof=0`` divides the variance by N (scikit-learn), 1 by N - 1 (pandas).

    A constant feature becomes 0. After ``fit``: ``offset_`` is the mean, ``scale_`` the standard deviation.
    """

    def __init__(self, ddof: int = 0) -> None:
        self.ddof = ddof

    def _fit(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if len(x) <= self.ddof:
            raise ValueError(f"StandardScaler.fit: ddof={self.ddof} needs more than {self.ddof} rows, got {len(x)}")
        # the mean of equal values can miss them by one rounding, and a constant feature must not be scaled by that
        constant = np.ptp(x, axis=0) == 0
        return np.where(constant, x[0], x.mean(axis=0)), np.where(constant, 0.0, x.std(axis=0, ddof=self.ddof))


class MinMaxScaler(_Scaler):
    """Map each feature's fitted minimum and maximum to ``feature_range``; values outside them fall outside the range.

    A constant feature becomes the range's lower end.
    """

    def __init__(self, feature_range: tuple[float, float] = (0.0, 1.0)) -> None:
        low, high = feature_range
        if not low < high:
            raise ValueError(f"MinMaxScaler: feature_range must be (low, high) with low < high, got {feature_range}")
        self.feature_range = (low, high)

    def _fit(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        low, high = self.feature_range
        smallest = x.min(axis=0)
        scale = (x.max(axis=0) - smallest) / (high - low)
        return smallest - low * np.where(scale == 0, 1.0, scale), scale
