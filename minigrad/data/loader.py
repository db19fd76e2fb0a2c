"""Batches for a training loop."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from minigrad.data.datasets import ArrayDataset
from minigrad.data.transforms import Transform
from minigrad.random import default_generator
from minigrad.tensor import Tensor

__all__ = ["DataLoader", "WeightedSampler"]


class DataLoader:
    """Iterate over ``dataset`` once per ``iter()``, yielding a tuple of Tensors, usually ``(x, y)``, per batch.

    ``batch_size`` decides which gradient descent this is: ``None`` or at least ``len(dataset)`` gives the full batch
    (gradient descent), 1 single samples (SGD), anything between mini-batches. The last batch may be smaller;
    ``drop_last`` leaves it out.

    ``dataset`` is an :class:`ArrayDataset`, a tuple of arrays, one array, or any object with ``len`` whose ``[index]``
    takes a slice and an integer array and returns a tuple of arrays.

    ``shuffle=True`` draws one permutation whenever an iteration starts, from ``generator`` or else from minigrad's
    default generator: the same seed gives the same batches, and each epoch its own order. ``sampler`` decides instead:
    something with ``len`` that yields row numbers whenever it is iterated, some of them perhaps several times. Without
    either, batches are views of the dataset's arrays, not copies. ``transform`` is applied to each batch's x, after the
    dataset's own. Dtypes are kept.

    Raises TypeError or ValueError if ``batch_size`` is not a positive integer or None, or the dataset is empty.
    """

    def __init__(
        self,
        dataset: ArrayDataset | Sequence[np.ndarray] | np.ndarray,
        batch_size: int | None = 1,
        shuffle: bool = False,
        drop_last: bool = False,
        generator: np.random.Generator | None = None,
        transform: Transform | None = None,
        *,
        sampler: Iterable[int] | None = None,
    ) -> None:
        if isinstance(dataset, (tuple, list)):
            dataset = ArrayDataset(*dataset)
        elif isinstance(dataset, np.ndarray):
            dataset = ArrayDataset(dataset)
        elif not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")):
            raise TypeError(f"DataLoader: dataset must be a dataset or a tuple of arrays, got {type(dataset).__name__}")
        if len(dataset) == 0:
            raise ValueError(f"DataLoader: the dataset is empty: {dataset!r}")
        if generator is not None and not isinstance(generator, np.random.Generator):
            raise TypeError(f"DataLoader: generator must be one such as np.random.default_rng(0), got {generator!r}")
        if sampler is not None and (shuffle or not hasattr(sampler, "__len__") or not len(sampler)):
            raise ValueError("DataLoader: a sampler needs a length above 0, and no shuffle beside it")
        self.dataset = dataset
        self.batch_size = _checked_batch_size(batch_size)
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.generator = generator
        self.transform = transform
        self.sampler = sampler

    @property
    def _size(self) -> int:
        return len(self.dataset if self.sampler is None else self.sampler)

    @property
    def _step(self) -> int:
        n = self._size
        return n if self.batch_size is None else min(self.batch_size, n)

    def __len__(self) -> int:
        """Number of batches in one epoch."""
        n, step = self._size, self._step
        return n // step if self.drop_last else -(-n // step)

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        # not itself a generator function: the permutation belongs to the moment iter() is called
        order = (self.generator or default_generator()).permutation(len(self.dataset)) if self.shuffle else None
        if self.sampler is not None:
            order = np.array([operator.index(i) for i in self.sampler])
            if len(order) != self._size or min(order) < 0 or max(order) >= len(self.dataset):
                raise ValueError(f"DataLoader: the sampler must yield {self._size} numbers, as its length says, in "
                                 f"0..{len(self.dataset) - 1}; got {len(order)} in {min(order)}..{max(order)}")
        return self._batches(order)

    def _batches(self, order: np.ndarray | None) -> Iterator[tuple[Tensor, ...]]:
        n, step = self._size, self._step
        for start in range(0, len(self) * step, step):
            rows = slice(start, min(start + step, n))
            x, *rest = self.dataset[rows if order is None else order[rows]]
            if self.transform is not None:
                x = self.transform(x)
            batch = x, *rest
            if order is None:  # slices of the data itself: writing to a batch must not change it
                batch = tuple(array.view() for array in batch)
                for array in batch:
                    array.flags.writeable = False
            yield tuple(map(Tensor, batch))

    def __repr__(self) -> str:
        return f"DataLoader({self.dataset!r}, batch_size={self.batch_size}, shuffle={self.shuffle})"


class WeightedSampler:
    """``n`` row numbers, each drawn with a chance in proportion to its weight, anew at each iteration.

    For rare classes: ``WeightedSampler(1 / np.bincount(y)[y], len(y))``. replace: whether a row may come twice. Draws
    from ``generator``, else from minigrad's default generator. PyTorch's WeightedRandomSampler. Raises ValueError for
    weights that are negative or none positive, and without replace for n above the number of positive ones.
    """

    def __init__(self, weights: Sequence[float], n: int, replace: bool = True,
                 generator: np.random.Generator | None = None) -> None:
        weights = np.asarray(weights, np.float64)
        if weights.ndim != 1 or not np.isfinite(weights).all() or not (weights >= 0).all() or not weights.any():
            raise ValueError(f"WeightedSampler: weights {weights.shape} must be (N,), finite, not negative, and one "
                             "positive")
        if n < 1 or (not replace and n > (weights > 0).sum()):
            raise ValueError(f"WeightedSampler: cannot draw {n} of {(weights > 0).sum()} rows with a positive weight"
                             f"{'' if replace else ' without replacing them'}")
        self.weights, self.n, self.replace, self.generator = weights / weights.sum(), n, replace, generator

    def __len__(self) -> int:
        return self.n

    def __iter__(self) -> Iterator[int]:
        draw = (self.generator or default_generator()).choice
        return iter(draw(len(self.weights), self.n, self.replace, self.weights).tolist())


def _checked_batch_size(batch_size: int | None) -> int | None:
    if batch_size is None:
        return None
    wanted = "a positive integer, or None for the full batch"
    try:
        size = operator.index(batch_size)
    except TypeError:
        raise TypeError(f"DataLoader: batch_size must be {wanted}, got {batch_size!r}") from None
    if size < 1 or isinstance(batch_size, bool):
        raise ValueError(f"DataLoader: batch_size must be {wanted}, got {batch_size!r}")
    return size
