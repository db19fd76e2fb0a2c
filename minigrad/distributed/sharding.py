"""Batches divided among ranks."""

from __future__ import annotations

from collections.abc import Iterator

from ..data import DataLoader
from ..tensor import Tensor


class Sharded(DataLoader):
    """A loader's batches, of each the rows of this rank: n // N or one more of n rows on N ranks, in their order.

    Length and order are the loader's: rank 0 draws it when an iteration starts, with the loader's generator or
    sampler, and tells the others. Transforms, and what a `MixingLoader` does, see this rank's rows alone. A batch of
    fewer rows than ranks goes to all of them as a whole. loader: the one given. share: (rows here) / (rows of the
    batch), of the batch last given, 1 / N where all have all: ``loss * share``, summed over ranks, is the mean over
    the batch. Raises TypeError for what is no DataLoader, or one that iterates in a way of its own.
    """

    def __new__(cls, loader: DataLoader, world):
        kind = type(loader)
        if not issubclass(kind, DataLoader) or kind.__iter__ is not DataLoader.__iter__:
            raise TypeError(f"shard takes a DataLoader, not {kind.__name__}: its batches may come in their own way")
        if kind is not DataLoader:  # what it does with batches comes after they are divided
            own = {name: vars(Sharded)[name] for name in ("__init__", "__iter__", "__repr__")}
            cls = type(f"Sharded{kind.__name__}", (kind, Sharded), own)
        return object.__new__(cls)

    def __init__(self, loader: DataLoader, world) -> None:
        vars(self).update(vars(loader))
        self.loader, self.world, self.share = loader, world, 1.0

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        if not self.shuffle and self.sampler is None:
            return self._batches(None)
        return self._batches(self.world.from_first(lambda: _Order(self).draw()))

    def _batches(self, order):
        n, step, (rank, size) = self._size, self._step, (self.world.rank, self.world.size)
        rows, shares = [], []
        for start in range(0, len(self) * step, step):
            here, *share = part(min(step, n - start), rank, size)
            here = slice(start + here.start, start + here.stop)
            rows.append(here if order is None else order[here])
            shares.append(share)
        for (share, copies), batch in zip(shares, self._prepared(iter(rows))):
            self.share, self.world.copies = share, copies
            yield batch
        self.world.copies = 1

    def __repr__(self) -> str:
        return f"Sharded({self.loader!r}, {self.world!r})"


class _Order:
    """The beginning of DataLoader's iteration, without the rest."""

    def __init__(self, loader):
        vars(self).update(vars(loader))
    _size = DataLoader._size
    draw = DataLoader.__iter__

    def _batches(self, order):
        return order


def part(n: int, rank: int, size: int) -> tuple[slice, float, int]:
    """Of n rows those of a rank; their share of all; and on how many ranks each row is."""
    if n < size:
        return slice(0, n), 1 / size, size
    start, stop = (n * r // size for r in (rank, rank + 1))
    return slice(start, stop), (stop - start) / n, 1
