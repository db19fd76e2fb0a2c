"""Callables on whole batches of arrays, and scalers that are fitted to data.

A transform takes an array whose first axis is the batch and returns a new one; it never changes its input.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from minigrad.functional import affine_grid, grid_sample, interpolate
from minigrad.random import default_generator
from minigrad.tensor import Tensor

__all__ = [
    "PCA",
    "ZCA",
    "AddNoise",
    "CenterCrop",
    "Compose",
    "Flatten",
    "MaxAbsScaler",
    "MinMax",
    "MinMaxScaler",
    "Normalize",
    "Normalizer",
    "OneHot",
    "RandomCrop",
    "RandomHorizontalFlip",
    "RandomRotate",
    "RandomTranslate",
    "RandomVerticalFlip",
    "Resize",
    "RobustScaler",
    "StandardScaler",
    "ToFloat",
    "Transform",
]

Transform = Callable[[np.ndarray], np.ndarray]


def _rows(x):
    return np.reshape(x, (len(x), math.prod(x.shape[1:])))


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
class MinMax:
    """Map each sample's own smallest value to ``low`` and its largest to ``high``; a constant one becomes ``low``.

    Floats keep their dtype, integers become float32. `MinMaxScaler` does it by feature, with what it was fitted to.
    """

    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ValueError(f"MinMax: low must be less than high, got {self.low} and {self.high}")

    def __call__(self, x: np.ndarray) -> np.ndarray:
        dtype = _float_dtype(x)
        x, axes = x.astype(dtype), tuple(range(1, x.ndim))
        smallest, largest = x.min(axes, keepdims=True), x.max(axes, keepdims=True)
        span = np.where(largest > smallest, largest - smallest, 1).astype(dtype)
        low, high = dtype.type(self.low), dtype.type(self.high)
        return np.clip((x - smallest) / span * (high - low) + low, low, high)


@dataclass(eq=False)
class Normalizer:
    """Divide each sample by its norm: "l2", "l1" or "max", over all but axis 0. One that is 0 stays 0.

    Floats keep their dtype, integers become float32. The norms are gone then: there is no way back.
    """

    norm: str = "l2"

    def __post_init__(self) -> None:
        if self.norm not in ("l2", "l1", "max"):
            raise ValueError(f"Normalizer: norm is 'l2', 'l1' or 'max', not {self.norm!r}")

    def __call__(self, x: np.ndarray) -> np.ndarray:
        rows = _rows(x).astype(np.float64)
        norms = np.linalg.norm(rows, {"l2": 2, "l1": 1, "max": np.inf}[self.norm], axis=1, keepdims=True)
        return (rows / np.where(norms == 0, 1, norms)).reshape(x.shape).astype(_float_dtype(x))


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
        _check_images("RandomTranslate", x)
        m = self.max_pixels
        rows, columns = (self.generator or default_generator()).integers(0, 2 * m + 1, size=(2, len(x)))
        padded = np.pad(x, ((0, 0), (0, 0), (m, m), (m, m)), constant_values=self.fill)
        return _windows(padded, x.shape[2:])[np.arange(len(x)), :, rows, columns]


def _check_images(name: str, x: np.ndarray) -> None:
    if x.ndim != 4:
        raise ValueError(f"{name}: x must be (N, C, H, W), got shape {x.shape}")


def _windows(x: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return np.lib.stride_tricks.sliding_window_view(x, size, axis=(2, 3))


def _pair(name: str, what: str, value: int | Sequence[int], smallest: int) -> tuple[int, int]:
    pair = (value, value) if np.ndim(value) == 0 else tuple(value)
    if len(pair) != 2 or any(v != int(v) or v < smallest for v in pair):
        raise ValueError(f"{name}: {what} must be an integer from {smallest} on, or two (height, width), got {value!r}")
    return int(pair[0]), int(pair[1])


@dataclass(eq=False)
class RandomCrop:
    """Cut a window of ``size`` (a number or (height, width)) out of each image of (N, C, H, W), anywhere in it.

    First ``padding`` pixels of ``fill`` go around: a number, or (above and below, left and right). Draws from
    ``generator``, else from minigrad's default generator.
    """

    size: int | tuple[int, int]
    padding: int | tuple[int, int] = 0
    fill: float = 0.0
    generator: np.random.Generator | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self.size = _pair("RandomCrop", "size", self.size, 1)
        self.padding = _pair("RandomCrop", "padding", self.padding, 0)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        _check_images("RandomCrop", x)
        (above, beside), n = self.padding, len(x)
        padded = np.pad(x, ((0, 0), (0, 0), (above, above), (beside, beside)), constant_values=self.fill)
        _check_fits("RandomCrop", self.size, padded)
        free = [have - want + 1 for have, want in zip(padded.shape[2:], self.size)]
        chance = self.generator or default_generator()
        rows, columns = (chance.integers(0, most, n) for most in free)
        return _windows(padded, self.size)[np.arange(n), :, rows, columns]


@dataclass(eq=False)
class CenterCrop:
    """The window of ``size`` (a number or (height, width)) in the middle of each image of (N, C, H, W), as a copy."""

    size: int | tuple[int, int]

    def __post_init__(self) -> None:
        self.size = _pair("CenterCrop", "size", self.size, 1)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        _check_images("CenterCrop", x)
        _check_fits("CenterCrop", self.size, x)
        top, left = ((have - want) // 2 for have, want in zip(x.shape[2:], self.size))
        return x[:, :, top:top + self.size[0], left:left + self.size[1]].copy()


def _check_fits(name: str, size: tuple[int, int], x: np.ndarray) -> None:
    if size[0] > x.shape[2] or size[1] > x.shape[3]:
        raise ValueError(f"{name}: a window of {size} does not fit into images of {x.shape[2:]}")


@dataclass(eq=False)
class RandomHorizontalFlip:
    """Mirror each image of (N, C, H, W), left for right, with probability ``p``.

    Draws from ``generator``, else from minigrad's default generator.
    """

    p: float = 0.5
    generator: np.random.Generator | None = field(default=None, repr=False)
    axis = 3

    def __post_init__(self) -> None:
        if not 0 <= self.p <= 1:
            raise ValueError(f"{type(self).__name__}: p must be between 0 and 1, got {self.p}")

    def __call__(self, x: np.ndarray) -> np.ndarray:
        _check_images(type(self).__name__, x)
        flips = (self.generator or default_generator()).random(len(x)) < self.p
        return np.where(flips[:, None, None, None], np.flip(x, self.axis), x)


class RandomVerticalFlip(RandomHorizontalFlip):
    """Mirror each image of (N, C, H, W), top for bottom, with probability ``p``; as `RandomHorizontalFlip`."""

    axis = 2


@dataclass(eq=False)
class RandomRotate:
    """Turn each image of (N, C, H, W) about its middle, by an angle drawn uniformly from ``degrees``.

    degrees: a number d for -d..d, or (least, greatest); positive is counter-clockwise. What is uncovered becomes
    ``fill``. mode: "bilinear" or "nearest". Floats keep their dtype, integers become float32. Draws from
    ``generator``, else from minigrad's default generator.
    """

    degrees: float | tuple[float, float]
    fill: float = 0.0
    mode: str = "bilinear"
    generator: np.random.Generator | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        given = self.degrees
        self.degrees = (-given, given) if np.ndim(given) == 0 else tuple(given)
        if len(self.degrees) != 2 or not self.degrees[0] <= self.degrees[1]:
            raise ValueError(f"RandomRotate: degrees must be a number from 0 on, or (least, greatest), got {given!r}")
        if self.mode not in ("bilinear", "nearest"):
            raise ValueError(f"RandomRotate: mode is 'bilinear' or 'nearest', not {self.mode!r}")

    def __call__(self, x: np.ndarray) -> np.ndarray:
        _check_images("RandomRotate", x)
        dtype, (h, w) = _float_dtype(x), x.shape[2:]
        angles = np.radians((self.generator or default_generator()).uniform(*self.degrees, len(x)))
        c, s = np.cos(angles), np.sin(angles)
        zero = np.zeros_like(c)
        # where each pixel comes from, in coordinates that go from -1 to 1 along either side
        theta = np.stack([np.stack([c, -s * (h / w), zero], -1), np.stack([s * (w / h), c, zero], -1)], 1).astype(dtype)
        lifted = Tensor(x.astype(dtype) - dtype.type(self.fill))
        turned = grid_sample(lifted, affine_grid(Tensor(theta), x.shape), self.mode)
        return (turned.data + self.fill).astype(dtype, copy=False)


@dataclass(eq=False)
class Resize:
    """Images (N, C, H, W) of another size: a number or (height, width).

    mode: "bilinear", "bicubic", "nearest", or "area", the mean over what a pixel covers, which is the one for making
    images smaller (the others look at a few pixels only and skip the rest). `functional.interpolate`. Floats keep
    their dtype, integers become float32.
    """

    size: int | tuple[int, int]
    mode: str = "bilinear"

    def __post_init__(self) -> None:
        self.size = _pair("Resize", "size", self.size, 1)
        if self.mode not in ("bilinear", "bicubic", "nearest", "area"):
            raise ValueError(f"Resize: mode is 'bilinear', 'bicubic', 'nearest' or 'area', not {self.mode!r}")

    def __call__(self, x: np.ndarray) -> np.ndarray:
        _check_images("Resize", x)
        return interpolate(Tensor(x.astype(_float_dtype(x))), self.size, mode=self.mode).data


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


class _Fitted:
    """What learns from data: ``fit``, then ``transform`` and back. It is itself a transform: ``fitted(x)``.

    Statistics are taken over axis 0 in float64. Floats keep their dtype, anything else becomes float32.
    """

    shape_: tuple[int, ...] | None = None  # of a sample

    def _fit(self, x: np.ndarray) -> None:
        raise NotImplementedError

    def fit(self, x: np.ndarray) -> _Fitted:
        """Take the statistics of ``x`` (N, ...), and return self. Raises ValueError for no rows, NaN or infinity."""
        x = np.asarray(x, np.float64)
        if x.ndim == 0 or len(x) == 0:
            raise ValueError(f"{type(self).__name__}.fit: x needs at least one row, got shape {x.shape}")
        if not np.isfinite(x).all():
            raise ValueError(f"{type(self).__name__}.fit: x contains NaN or infinity")
        self._fit(x)
        self.shape_ = x.shape[1:]
        return self

    def transform(self, x: np.ndarray) -> np.ndarray:
        """What was learned, done to ``x``, whose shape after axis 0 must be the fitted one."""
        raise NotImplementedError

    def inverse_transform(self, z: np.ndarray) -> np.ndarray:
        """Undo :meth:`transform`."""
        raise NotImplementedError

    def fit_transform(self, x: np.ndarray) -> np.ndarray:
        """``fit(x).transform(x)``."""
        return self.fit(x).transform(x)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return self.transform(x)

    def _check(self, method: str, x: np.ndarray, shape: tuple[int, ...] | None = None) -> np.ndarray:
        x = np.asarray(x)
        if self.shape_ is None:
            raise RuntimeError(f"{type(self).__name__}.{method}: call fit(x) first")
        shape = self.shape_ if shape is None else shape
        if x.shape[1:] != shape:
            raise ValueError(f"{type(self).__name__}.{method}: fitted to features of shape {shape}, got {x.shape[1:]}")
        return x


class _Scaler(_Fitted):
    """``z = (x - offset_) / scale_`` per feature."""

    offset_: np.ndarray | None = None
    scale_: np.ndarray | None = None

    def _statistics(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        raise NotImplementedError

    def _fit(self, x: np.ndarray) -> None:
        self.offset_, scale = self._statistics(x)
        self.scale_ = np.where(scale == 0, 1.0, scale)  # a constant feature stays finite

    def transform(self, x: np.ndarray) -> np.ndarray:
        """Scale ``x``, whose shape after axis 0 must be the fitted one."""
        x = self._check("transform", x)
        return ((x - self.offset_) / self.scale_).astype(_float_dtype(x), copy=False)

    def inverse_transform(self, z: np.ndarray) -> np.ndarray:
        """Undo :meth:`transform`."""
        z = self._check("inverse_transform", z)
        return (z * self.scale_ + self.offset_).astype(_float_dtype(z), copy=False)


class StandardScaler(_Scaler):
    """``(x - mean) / std`` per feature; ``ddof=0`` divides the variance by N (scikit-learn), 1 by N - 1 (pandas).

    A constant feature becomes 0. After ``fit``: ``offset_`` is the mean, ``scale_`` the standard deviation.
    """

    def __init__(self, ddof: int = 0) -> None:
        self.ddof = ddof

    def _statistics(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if len(x) <= self.ddof:
            raise ValueError(f"StandardScaler.fit: ddof={self.ddof} needs more than {self.ddof} rows, got {len(x)}")
        # the mean of equal values can miss them by one rounding, and a constant feature must not be scaled by that
        constant = np.ptp(x, axis=0) == 0
        return np.where(constant, x[0], x.mean(axis=0)), np.where(constant, 0.0, x.std(axis=0, ddof=self.ddof))


class MinMaxScaler(_Scaler):
    """Map each feature's fitted minimum and maximum to ``feature_range``; values outside them fall outside the range.

    A constant feature becomes the range's lower end, and what differs from it counts as if it had spanned 1.
    """

    def __init__(self, feature_range: tuple[float, float] = (0.0, 1.0)) -> None:
        low, high = feature_range
        if not low < high:
            raise ValueError(f"MinMaxScaler: feature_range must be (low, high) with low < high, got {feature_range}")
        self.feature_range = (low, high)

    def _statistics(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        low, high = self.feature_range
        smallest, span = x.min(axis=0), np.ptp(x, axis=0)
        scale = np.where(span == 0, 1.0, span) / (high - low)
        return smallest - low * scale, scale


class MaxAbsScaler(_Scaler):
    """``x / max|x|`` per feature: into -1..1, and what is 0 stays 0."""

    def _statistics(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.zeros(x.shape[1:]), np.abs(x).max(axis=0)


class RobustScaler(_Scaler):
    """``(x - median) / (q2 - q1)`` per feature, with the quantiles, in percent, of ``quantile_range``.

    A few outliers, however far off, hardly move them. A feature with q1 = q2 is only centred.
    """

    def __init__(self, quantile_range: tuple[float, float] = (25.0, 75.0)) -> None:
        low, high = quantile_range
        if not 0 <= low < high <= 100:
            raise ValueError(f"RobustScaler: quantile_range must be (low, high), 0 <= low < high <= 100, got "
                             f"{quantile_range}")
        self.quantile_range = (low, high)

    def _statistics(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        low, middle, high = np.percentile(x, [self.quantile_range[0], 50, self.quantile_range[1]], axis=0)
        return middle, high - low


class _Principal(_Fitted):
    """The mean, and the covariance's eigenvectors with their variances, from the largest on, ddof 1."""

    def _fit(self, x: np.ndarray) -> None:
        if len(x) < 2:
            raise ValueError(f"{type(self).__name__}.fit: needs at least two rows, got {len(x)}")
        rows = _rows(x)
        self.mean_ = rows.mean(axis=0)
        # with more rows than features all directions are there anyway, and u would be (N, N)
        _, s, vh = np.linalg.svd(rows - self.mean_, full_matrices=self._all and len(rows) < rows.shape[1])
        signs = np.sign(np.take_along_axis(vh, np.abs(vh).argmax(axis=1)[:, None], 1))
        self.components_ = vh * signs  # the largest number of each is positive
        self.explained_variance_ = np.pad(s * s / (len(x) - 1), (0, len(vh) - len(s)))

    _all = False  # whether directions in which no sample lies are wanted

    def _deviations(self, eps: float = 0.0) -> np.ndarray:
        """Square roots of the variances; 1 where there is none but rounding."""
        v = self.explained_variance_
        some = v + eps > 1e-14 * v.max(initial=0)
        return np.sqrt(np.where(some & (v + eps > 0), v + eps, 1.0))


class PCA(_Principal):
    """Principal components: ``(x - mean_) @ components_.T``, (N, ...) -> (N, n_components). Pearson 1901.

    n_components: a number, a share of the variance (between 0 and 1) that is to be kept at least, or all there are,
    min(N, features). whiten: each divided by its standard deviation, so that their covariance is the identity; one
    without variance is left. ``inverse_transform`` gives back what the components hold of x. After ``fit``:
    ``components_`` (n_components, features), ``explained_variance_`` (ddof 1), ``explained_variance_ratio_``.
    """

    def __init__(self, n_components: float | None = None, whiten: bool = False) -> None:
        if n_components is not None and not (0 < n_components < 1 or (
                n_components >= 1 and n_components == int(n_components))):
            raise ValueError(f"PCA: n_components is a number from 1 on or a share between 0 and 1, got {n_components}")
        self.n_components, self.whiten = n_components, whiten

    def _fit(self, x: np.ndarray) -> None:
        super()._fit(x)
        k, total = self.n_components, self.explained_variance_.sum()
        ratios = self.explained_variance_ / (total or 1.0)
        if k is None:
            k = len(ratios)
        elif k < 1:
            k = min(int(np.searchsorted(np.cumsum(ratios), k, side="right")) + 1, len(ratios))
        if k > len(ratios):
            raise ValueError(f"PCA.fit: n_components={k} of {len(ratios)}, which is all that x of shape {x.shape} has")
        k = int(k)
        self.components_, self.explained_variance_ = self.components_[:k], self.explained_variance_[:k]
        self.explained_variance_ratio_ = ratios[:k]

    def _scale(self):
        return self._deviations() if self.whiten else 1.0

    def transform(self, x: np.ndarray) -> np.ndarray:
        """The components of ``x``."""
        x = self._check("transform", x)
        rows = _rows(x) - self.mean_
        return (rows @ self.components_.T / self._scale()).astype(_float_dtype(x), copy=False)

    def inverse_transform(self, z: np.ndarray) -> np.ndarray:
        """The x with these components, nearest to the mean."""
        z = self._check("inverse_transform", z, self.shape_ and (len(self.components_),))
        x = (z * self._scale()) @ self.components_ + self.mean_
        return x.reshape(len(z), *self.shape_).astype(_float_dtype(z), copy=False)


class ZCA(_Principal):
    """Whitening that stays in place: ``(x - mean) @ V diag(1 / sqrt(variance + eps)) V^T``, of x's shape.

    The covariance becomes the identity (with eps = 0), and of all maps that do this, it changes x least: white images
    still look like themselves. eps keeps directions of little variance, which are noise, small; 1e-5 to 0.1 for pixels
    in 0..1. Bell & Sejnowski 1997. Raises ValueError for fewer than two rows.
    """

    _all = True

    def __init__(self, eps: float = 0.0) -> None:
        if not eps >= 0:
            raise ValueError(f"ZCA: eps must not be negative, got {eps}")
        self.eps = eps

    def transform(self, x: np.ndarray) -> np.ndarray:
        """Whiten ``x``, whose shape after axis 0 must be the fitted one."""
        x = self._check("transform", x)
        z = (_rows(x) - self.mean_) @ (self.components_.T / self._deviations(self.eps) @ self.components_)
        return z.reshape(x.shape).astype(_float_dtype(x), copy=False)

    def inverse_transform(self, z: np.ndarray) -> np.ndarray:
        """Undo :meth:`transform`."""
        z = self._check("inverse_transform", z)
        x = _rows(z) @ (self.components_.T * self._deviations(self.eps) @ self.components_) + self.mean_
        return x.reshape(z.shape).astype(_float_dtype(z), copy=False)
