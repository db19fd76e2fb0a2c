"""Toy sets made from formulas: float32 points (n, 2) and int64 labels (n,), the classes taking turns; a sine curve.

``noise`` is the standard deviation of what is added. Random numbers come from ``seed`` or ``generator``, else from
minigrad's default generator.
"""

from __future__ import annotations

import math

import numpy as np

from minigrad.data.datasets import ArrayDataset
from minigrad.random import default_generator

__all__ = ["blobs", "circles", "moons", "sine", "spiral", "xor"]


def xor(
    n: int = 200, noise: float = 0.1, seed: int | None = None, generator: np.random.Generator | None = None
) -> ArrayDataset:
    """``x = (a, b) + noise N(0, 1)`` and ``y = a xor b``, for bits a, b. ``xor(4, noise=0)`` is the truth table."""
    rng = _checked("xor", n, 2, noise, seed, generator)
    a, b = np.divmod(np.arange(n) % 4, 2)
    return _toy("xor", 2, a, b, a ^ b, noise * rng.standard_normal((n, 2)))


def spiral(
    n: int = 300,
    classes: int = 3,
    noise: float = 0.2,
    seed: int | None = None,
    generator: np.random.Generator | None = None,
) -> ArrayDataset:
    """``x = r (sin t, cos t)``, ``t = 2 pi y / classes + 4 r + noise N(0, 1)``, r in evenly spaced steps up to 1."""
    rng = _checked("spiral", n, classes, noise, seed, generator)
    step, y = np.divmod(np.arange(n), classes)
    r = (step + 1) / math.ceil(n / classes)
    t = 2 * np.pi * y / classes + 4 * r + noise * rng.standard_normal(n)
    return _toy("spiral", classes, r * np.sin(t), r * np.cos(t), y)


def moons(
    n: int = 200, noise: float = 0.1, seed: int | None = None, generator: np.random.Generator | None = None
) -> ArrayDataset:
    """``x = (cos t, sin t)`` or, for class 1, ``(1 - cos t, 1/2 - sin t)``, t in 0..pi; both ``+ noise N(0, 1)``."""
    rng = _checked("moons", n, 2, noise, seed, generator)
    step, y = np.divmod(np.arange(n), 2)
    t = np.linspace(0, np.pi, math.ceil(n / 2))[step]
    x1, x2 = np.where(y, [1 - np.cos(t), 0.5 - np.sin(t)], [np.cos(t), np.sin(t)])
    return _toy("moons", 2, x1, x2, y, noise * rng.standard_normal((n, 2)))


def circles(
    n: int = 200,
    noise: float = 0.05,
    factor: float = 0.5,
    seed: int | None = None,
    generator: np.random.Generator | None = None,
) -> ArrayDataset:
    """``x = r (cos t, sin t) + noise N(0, 1)``, t in 0..2 pi, with r = 1 for class 0 and r = factor for class 1."""
    rng = _checked("circles", n, 2, noise, seed, generator)
    step, y = np.divmod(np.arange(n), 2)
    t = 2 * np.pi * step / math.ceil(n / 2)
    r = np.where(y, factor, 1.0)
    return _toy("circles", 2, r * np.cos(t), r * np.sin(t), y, noise * rng.standard_normal((n, 2)))


def blobs(
    n: int = 300,
    classes: int = 3,
    noise: float = 1.0,
    seed: int | None = None,
    generator: np.random.Generator | None = None,
) -> ArrayDataset:
    """``x = 4 (cos t, sin t) + noise N(0, 1)``, ``t = 2 pi y / classes``: clouds on a circle of radius 4."""
    rng = _checked("blobs", n, classes, noise, seed, generator)
    y = np.arange(n) % classes
    t = 2 * np.pi * y / classes
    return _toy("blobs", classes, 4 * np.cos(t), 4 * np.sin(t), y, noise * rng.standard_normal((n, 2)))


def sine(
    n: int = 200, noise: float = 0.1, seed: int | None = None, generator: np.random.Generator | None = None
) -> ArrayDataset:
    """``x`` (n, 1) in even steps from -pi to pi, ``y = sin(x) + noise N(0, 1)`` (n, 1), both float32: a regression."""
    rng = _checked("sine", n, 1, noise, seed, generator)
    x = np.linspace(-np.pi, np.pi, n)[:, None]
    y = np.sin(x) + noise * rng.standard_normal((n, 1))
    return ArrayDataset(x.astype(np.float32), y.astype(np.float32), name="sine")


def _checked(
    name: str, n: int, classes: int, noise: float, seed: int | None, generator: np.random.Generator | None
) -> np.random.Generator:
    if n < 1 or classes < 1:
        raise ValueError(f"{name}: n and classes must be positive, got n={n}, classes={classes}")
    if not noise >= 0:
        raise ValueError(f"{name}: noise must not be negative, got {noise}")
    if seed is not None and generator is not None:
        raise ValueError(f"{name}: pass seed or generator, not both")
    if seed is not None:
        return np.random.default_rng(seed)
    return generator or default_generator()


def _toy(
    name: str, classes: int, x1: np.ndarray, x2: np.ndarray, y: np.ndarray, noise: np.ndarray | float = 0.0
) -> ArrayDataset:
    x = np.stack([x1, x2], axis=1) + noise
    names = [str(label) for label in range(classes)]
    return ArrayDataset(x.astype(np.float32), y.astype(np.int64), classes=names, name=name)
