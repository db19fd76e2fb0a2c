"""Batches for a training loop."""

from __future__ import annotations

import contextvars
import copy
import itertools
import operator
import queue
import threading
import warnings
from collections import deque
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from minigrad.data.datasets import ArrayDataset
from minigrad.data.transforms import Transform
from minigrad.mode import enable_grad, is_grad_enabled, no_grad
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

    ``prefetch``: a thread prepares so many batches ahead while the last one is worked with; memory holds prefetch + 2
    at most. They are those that would have come without, to the bit, and generators are found as they would have been
    left, also after a ``break``. For that, a dataset or transform that draws must hold its generator as ``.generator``
    (None: the default one), as minigrad's do, and transforms within transforms are ``.transforms``. Where something
    else draws from the same generator between two batches, as dropout does from the default one, what was prepared no
    longer holds: a RuntimeWarning, and the rest of that iteration goes without. Datasets and transforms must bear being
    called ahead, twice for the same rows, and, when an iteration is left or several run at once, by several threads. It
    pays where preparing costs much or waits, and a core is free; rows of arrays alone cost too little.

    Raises TypeError or ValueError if ``batch_size`` is not a positive integer or None, ``prefetch`` is not one from 0
    on, or the dataset is empty; with ``prefetch``, ValueError at the first batch if that was drawn from a generator
    held elsewhere. What a dataset or a transform raises comes where its batch would have come.
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
        prefetch: int = 0,
    ) -> None:
        if isinstance(dataset, (tuple, list)):
            dataset = ArrayDataset(*dataset)
        elif isinstance(dataset, np.ndarray):
            dataset = ArrayDataset(dataset)
        elif isinstance(dataset, str) or not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")):
            raise TypeError(f"DataLoader: dataset must be a dataset or a tuple of arrays, got "
                            f"{type(dataset).__name__} {dataset!r:.60}: (x, y), or what data.load(name) gives")
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
        self.prefetch = _checked("prefetch", prefetch, 0, "an integer from 0 on")

    @property
    def _size(self) -> int:
        return len(self.dataset if self.sampler is None else self.sampler)

    @property
    def _step(self) -> int:
        n = self._size
        return n if self.batch_size is None else min(self.batch_size, n)

    @property
    def division(self) -> tuple[int, int, int]:
        """(rows of an epoch, batches, rows of each but perhaps the last)."""
        return self._size, len(self), self._step

    def __len__(self) -> int:
        """Number of batches in one epoch."""
        n, step = self._size, self._step
        return n // step if self.drop_last else -(-n // step)

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        # not itself a generator function: the permutation belongs to the moment iter() is called
        order = (self.generator or default_generator()).permutation(len(self.dataset)) if self.shuffle else None
        if self.sampler is not None:
            order = np.array([_checked("what the sampler yields", i, 0, "row numbers, integers from 0 on")
                              for i in self.sampler])
            if len(order) != self._size or min(order) < 0 or max(order) >= len(self.dataset):
                raise ValueError(f"DataLoader: the sampler must yield {self._size} numbers, as its length says, in "
                                 f"0..{len(self.dataset) - 1}; got {len(order)} in {min(order)}..{max(order)}")
        return self._batches(order)

    def _batches(self, order: np.ndarray | None) -> Iterator[tuple[Tensor, ...]]:
        n, step = self._size, self._step
        rows = (slice(start, min(start + step, n)) for start in range(0, len(self) * step, step))
        if order is not None:
            rows = (order[some] for some in rows)
        return self._prepared(rows)

    def _prepared(self, rows: Iterator) -> Iterator[tuple[Tensor, ...]]:
        if self.prefetch:
            rows = yield from _ahead(self.dataset, self.transform, rows, self.prefetch)
        for some in rows:
            yield tuple(map(Tensor, _prepare(self.dataset, self.transform, some)))

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


def _prepare(dataset, transform, rows):
    x, *rest = dataset[rows]
    batch = x if transform is None else transform(x), *rest
    if isinstance(rows, slice):  # of the data itself: writing to a batch must not change it
        batch = tuple(array.view() for array in batch)
        for array in batch:
            array.flags.writeable = False
    return batch


def _ahead(dataset, transform, rows, prefetch):
    """Yields batches that a thread has prepared, as long as they hold; returns the rows of those that are left."""
    chance = _Chance()
    forked = chance.stand_in(dataset), chance.stand_in(transform)

    def prepare(some, recording):  # must not know the generator that this is called in, or nothing would ever end it
        before = chance.forked()
        try:
            with enable_grad() if recording else no_grad():
                return before, _prepare(*forked, some), chance.forked(), None
        except BaseException as error:
            return before, None, chance.forked(), error

    asked, jobs, done = deque(), queue.SimpleQueue(), queue.SimpleQueue()
    worker = threading.Thread(target=_serve, args=(prepare, jobs, done), name="minigrad batches", daemon=True)
    try:
        # the first one here, where nobody else draws meanwhile
        others = chance.now(), default_generator().bit_generator.state
        before, batch, after, error = prepare(next(rows), is_grad_enabled())
        if error is None and not _same((chance.now(), default_generator().bit_generator.state), others):
            raise ValueError("DataLoader: with prefetch, a dataset or transform that draws needs its generator as the "
                             "attribute `generator`; one drew from minigrad's default generator or from another's")
        worker.start()
        while True:
            chance.set(after)
            if error is not None:
                try:
                    raise error
                finally:
                    del error  # it knows this frame
            for some in itertools.islice(rows, prefetch - len(asked)):
                asked.append(some)
                jobs.put((contextvars.copy_context(), some, is_grad_enabled()))  # np.errstate is in the context
            batch = tuple(map(Tensor, batch))
            yield batch
            del batch
            if not asked or not worker.is_alive():  # as in the child of a fork
                break
            before, batch, after, error = done.get()
            if not _same(chance.now(), before):
                del batch, error
                warnings.warn("DataLoader: prefetch ends for this iteration, because something else draws from the "
                              "generators of its transforms (dropout, from the default one?): give them their own, "
                              "generator=np.random.default_rng(0)", RuntimeWarning, stacklevel=3)
                break
            asked.popleft()
    finally:
        # also run by the garbage collector, in whatever thread: so it waits for nothing
        try:
            while True:
                jobs.get_nowait()
        except queue.Empty:
            jobs.put(None)
    worker.join()
    return itertools.chain(asked, rows)


def _serve(prepare, jobs, done):
    while (job := jobs.get()) is not None:
        context, *task = job
        done.put(context.run(prepare, *task))


class _Chance:
    """The generators that a dataset and its transforms draw from, and a fork of each for what is drawn ahead."""

    def __init__(self):
        self.holders, self.forks = [], {}

    def stand_in(self, thing):
        """``thing`` itself, with all that it remembers, but for the generators, which are forks."""
        instead = {}
        generator = getattr(thing, "generator", self)
        if generator is None or isinstance(generator, np.random.Generator):
            generator = generator or default_generator()
            if id(generator) not in self.forks:
                self.forks[id(generator)] = copy.deepcopy(generator)
            self.holders.append((thing, self.forks[id(generator)]))
            instead["generator"] = self.forks[id(generator)]
        if (held := getattr(thing, "transform", None)) is not None and (new := self.stand_in(held)) is not held:
            instead["transform"] = new
        if isinstance(held := getattr(thing, "transforms", None), (list, tuple)):
            new = [self.stand_in(one) for one in held]
            if any(map(operator.is_not, new, held)):
                instead["transforms"] = new
        if not instead:
            return thing
        # properties of a class come before what is in an instance's dict, which both share
        kind, new = type(thing), copy.copy(thing)
        if new is thing:
            raise ValueError("DataLoader: with prefetch, what has a generator must be an object that copy.copy copies, "
                             f"unlike {thing!r}")

        def keep(self, value):
            raise ValueError(f"DataLoader: with prefetch, {kind.__name__} must keep the generator that it has")
        constants = {name: property(lambda self, value=value: value, keep) for name, value in instead.items()}
        try:
            object.__setattr__(new, "__class__", type(kind.__name__, (kind,), {"__slots__": (), **constants}))
        except TypeError as error:
            raise ValueError(f"DataLoader: prefetch cannot stand in for {thing!r}: {error}") from error
        if hasattr(thing, "__dict__"):
            object.__setattr__(new, "__dict__", thing.__dict__)
        return new

    def now(self):
        return [(holder.generator or default_generator()).bit_generator.state for holder, _ in self.holders]

    def forked(self):
        return [fork.bit_generator.state for _, fork in self.holders]

    def set(self, states):
        for (holder, _), state in zip(self.holders, states):
            (holder.generator or default_generator()).bit_generator.state = state


def _same(a, b):
    """Whether states of bit generators are equal: dicts of numbers and arrays."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_same(value, b[key]) for key, value in a.items())
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(_same, a, b))
    return np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b


def _checked(name: str, value: int, least: int, wanted: str) -> int:
    try:
        n = operator.index(value)
    except TypeError:
        raise TypeError(f"DataLoader: {name} must be {wanted}, got {value!r}") from None
    if n < least or isinstance(value, bool):
        raise ValueError(f"DataLoader: {name} must be {wanted}, got {value!r}")
    return n


def _checked_batch_size(batch_size: int | None) -> int | None:
    if batch_size is None:
        return None
    return _checked("batch_size", batch_size, 1, "a positive integer, or None for the full batch")
