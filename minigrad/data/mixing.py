"""Batches of mixed samples, with targets mixed alike: mixup and CutMix, and a loader that applies them.

    loader = MixingLoader(data, functools.partial(mixup, classes=10, alpha=0.2), batch_size=128, shuffle=True)
    train.fit(model, loader, optimizer, validation=valid)

The mixed targets are probabilities (N, classes), which `functional.cross_entropy` takes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from minigrad.data.loader import DataLoader
from minigrad.random import default_generator
from minigrad.tensor import Tensor

__all__ = ["MixingLoader", "cutmix", "mixup"]


def mixup(x, y, classes: int | None = None, alpha: float = 1.0, generator: np.random.Generator | None = None, *,
          lam: float | None = None, order=None):
    """(lam x + (1 - lam) x[order], the same of y): lam ~ Beta(alpha, alpha), one for the batch. Zhang et al. 2018.

    x: (N, ...). y: labels (N,), which become one-hot of ``classes``, or numbers (N, C). order: a permutation of the
    batch; torchvision's MixUp shifts it by one instead. lam, order: given instead of drawn. Arrays stay arrays,
    Tensors Tensors. Raises ValueError for alpha <= 0 and shapes that do not fit.
    """
    y = _targets("mixup", x, y, classes)
    lam, order = _chance("mixup", len(x), alpha, generator, lam, order)
    return x * _like(x, lam) + x[order] * _like(x, 1 - lam), _blend(x, y, order, lam)


def cutmix(x, y, classes: int | None = None, alpha: float = 1.0, generator: np.random.Generator | None = None, *,
           lam: float | None = None, order=None, center: tuple[int, int] | None = None):
    """Images with a box out of others, x[order], and targets mixed by the areas. Yun et al. 2019.

    x: (N, C, H, W). The box has sides sqrt(1 - lam) H and W, rounded down, around a pixel that is uniform over the
    image, cut at its edges; then lam is the share that is left of the image. Otherwise as `mixup`.
    """
    if x.ndim != 4:
        raise ValueError(f"cutmix: x {x.shape} must be images (N, C, H, W)")
    y = _targets("cutmix", x, y, classes)
    generator = generator or default_generator()
    lam, order = _chance("cutmix", len(x), alpha, generator, lam, order)
    height, width = x.shape[2:]
    row, column = generator.integers(0, (height, width)) if center is None else center
    rows, columns = (_side(at, size, math.sqrt(1 - lam)) for at, size in ((row, height), (column, width)))
    box = np.zeros((height, width), bool)
    box[rows, columns] = True
    return np.where(box, x[order], x), _blend(x, y, order, 1 - box.mean())


def _side(at, size, share):
    length = int(size * share)
    begin = int(at) - length // 2
    return slice(max(begin, 0), max(min(begin + length, size), 0))


def _targets(name, x, y, classes):
    y = np.asarray(Tensor.plain(y))
    if len(y) != len(x):
        raise ValueError(f"{name}: {len(x)} rows of x and {len(y)} of y")
    if x.dtype.kind != "f":
        raise TypeError(f"{name}: x must be floating-point numbers, not {x.dtype}")
    if y.dtype.kind not in "iu":
        return y.astype(x.dtype)
    if y.ndim != 1 or classes is None:
        raise ValueError(f"{name}: labels of shape {y.shape} must be (N,), with classes=..., or be probabilities")
    if len(y) and not 0 <= y.min() <= y.max() < classes:
        raise ValueError(f"{name}: labels from {y.min()} to {y.max()} are not of {classes} classes")
    return np.eye(classes, dtype=x.dtype)[y]


def _chance(name, n, alpha, generator, lam, order):
    generator = generator or default_generator()
    if lam is None:
        if not alpha > 0:
            raise ValueError(f"{name}: alpha must be positive, got {alpha}")
        lam = float(generator.beta(alpha, alpha))
    if not 0 <= lam <= 1:
        raise ValueError(f"{name}: lam must be between 0 and 1, got {lam}")
    return lam, generator.permutation(n) if order is None else np.asarray(order)


def _like(x, number):
    return x.dtype.type(number)


def _blend(x, y, order, lam):
    y = y * _like(y, lam) + y[order] * _like(y, 1 - lam)
    return Tensor(y) if hasattr(x, "record") else y


class MixingLoader(DataLoader):
    """A `DataLoader` whose batches are mixed: ``mix(x, y, generator=...)`` gives the new x and y.

    mix: a function, or several, of which each batch gets one by chance, as [mixup, cutmix] with their classes. It draws
    from the loader's generator, so that a resumed training mixes as it would have. For training; not for validation.
    """

    def __init__(self, dataset, mix: Callable | Sequence[Callable], batch_size: int | None = 1, shuffle: bool = False,
                 drop_last: bool = False, generator: np.random.Generator | None = None, transform=None) -> None:
        super().__init__(dataset, batch_size, shuffle, drop_last, generator, transform)
        self.mixes = [mix] if callable(mix) else list(mix)
        if not self.mixes:
            raise ValueError("MixingLoader: mix must be a function, or a list of them")

    def _batches(self, order):
        for x, y in super()._batches(order):
            generator = self.generator or default_generator()
            mix = self.mixes[int(generator.integers(len(self.mixes)))] if len(self.mixes) > 1 else self.mixes[0]
            yield mix(x, y, generator=generator)
