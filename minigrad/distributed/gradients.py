"""Gradients summed over ranks, in buckets that travel while backward still runs."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ..tensor import Tensor
from .mpi import mpi

BUCKET = 4 << 20  # bytes
OVERLAP = False


class Summed:
    """A context, to be used again and again: afterwards each p.grad is what it was before, plus the sum over ranks of
    what backward added inside.

        with world.summed(model.parameters()):
            (loss * batches.share).backward()

    Where a rank gives a parameter no gradient it counts as zeros; where none does it stays None. Gradients lie one
    after the other in buckets of ``bucket`` bytes, each of one dtype, behind them a number for each: how many ranks had
    one. So all ranks send the same, in the same order: that of the parameters backwards, and from the second time on
    that in which rank 0's backward completed them. With overlap a bucket is sent as soon as it and those before it are
    full, through a hook on each parameter, and backward must be called once, or RuntimeError; without, all is one
    bucket a dtype, at the end. Raises ValueError on all ranks if their parameters differ in shape or dtype,
    RuntimeError for gradients with a graph (create_graph=True).
    """

    def __init__(self, world, params: Iterable[Tensor], bucket: int = BUCKET, overlap: bool = OVERLAP):
        self.world, self.params, self.overlap = world, list(params), overlap
        if bucket < 1:
            raise ValueError(f"summed: bucket must be a positive number of bytes, got {bucket}")
        if len({id(p) for p in self.params}) < len(self.params):
            raise ValueError("summed: a parameter is there twice; model.parameters() names shared ones once")
        self.size = bucket if overlap else None
        kinds = [(p.shape, str(p.dtype)) for p in self.params]
        first = world.broadcast(kinds)
        world._agree("summed", "" if kinds == first else f"{len(kinds)} parameters {kinds}, on rank 0 {first}"[:300])
        self.learnt = not overlap
        self._fill(range(len(kinds))[::-1])
        self.active = False

    def _fill(self, order):
        """Divide the parameters into buckets."""
        self.buckets, self.places, open_ = [], {}, {}
        for i in order:
            p = self.params[i]
            dtype = np.result_type(p.dtype, np.float32).newbyteorder("=")  # MPI has no half precision
            bucket = open_.setdefault(dtype, _Bucket(dtype))
            bucket.members.append(i)
            bucket.numbers += p.size
            if self.size is not None and bucket.numbers * dtype.itemsize >= self.size:
                self.buckets.append(open_.pop(dtype))
        self.buckets += open_.values()
        for bucket in self.buckets:
            self.places.update(bucket.made({i: self.params[i].shape for i in bucket.members}))

    @property
    def nbytes(self) -> int:
        """Of all buckets: what a rank hands to the all-reduces of a step."""
        return sum(b.array.nbytes for b in self.buckets)

    def order(self) -> list[int]:
        """The numbers of the parameters in the order in which they are sent."""
        return [i for b in self.buckets for i in b.members]

    def __enter__(self):
        if self.active:
            raise RuntimeError("summed: it is already active; blocks of the same parameters cannot be nested")
        if not self.learnt and hasattr(self, "finished"):
            order = self.world.broadcast(self.finished)
            self._fill([*order, *sorted({*range(len(self.params))} - {*order}, reverse=True)])
            self.learnt = True
        self.active, self.finished, self.pending, self.sent = True, [], [], 0
        self.before = [p.grad for p in self.params]
        for p in self.params:
            p.grad = None
        for bucket in self.buckets:
            bucket.flags[...] = 0
            bucket.missing = len(bucket.members)
        self.hooks = [self._hook(i) for i in range(len(self.params))] if self.overlap else []
        for p, hook in zip(self.params, self.hooks):
            p.node.hooks = [*p.node.hooks, hook]  # behind the user's own
        return self

    def _hook(self, i):
        def ready(g):
            if self.places[i][2]:
                raise RuntimeError("summed: backward ran twice over a parameter: take a block for each, or "
                                   "overlap=False")
            self._put(i, g)
            while self.sent < len(self.buckets) and not self.buckets[self.sent].missing:
                self._send()
            for request in self.pending:  # MPI moves data when it is called
                request.Test()
            return g
        return ready

    def _put(self, i, g):
        if isinstance(g, Tensor) and g.node is not None:
            raise RuntimeError("summed: gradients with a graph cannot be summed over ranks: create_graph=False")
        bucket, place, flag = self.places[i]
        place[...] = Tensor.plain(g)
        flag[...] = 1
        bucket.missing -= 1
        self.finished.append(i)

    def _send(self):
        bucket = self.buckets[self.sent]
        self.pending.append(self.world.gradients_comm.Iallreduce(mpi().IN_PLACE, bucket.array))
        self.sent += 1

    def __exit__(self, kind, error, trace):
        self.active = False
        for p, hook in zip(self.params, self.hooks):
            p.node.hooks = [h for h in p.node.hooks if h is not hook]
        try:
            if kind is None:
                self._finish()
        except BaseException as raised:
            kind = raised
            raise
        finally:
            if kind is not None:
                self._undo()
            self.before, self.pending = None, []

    def _undo(self):
        for p, g in zip(self.params, self.before):
            p.grad = g
        if self.pending:  # others may never send theirs
            self.world._lost.append((self.pending, self.buckets))
            self._fill(self.order())

    def _finish(self):
        if self.overlap:
            wrong = [p.shape for i, p in enumerate(self.params) if (p.grad is not None) != bool(self.places[i][2])]
            if wrong:
                raise RuntimeError(f"summed: a parameter {wrong[0]} was differentiated, but not by backward(): grad() "
                                   "does not belong inside, or take overlap=False")
        else:
            for i, p in enumerate(self.params):
                if p.grad is not None:
                    self._put(i, p.grad)
        for bucket in self.buckets[self.sent:]:
            for i in bucket.members:
                if not self.places[i][2]:
                    self.places[i][1][...] = 0
            self._send()
        for request in self.pending:
            self.world.wait(request, "summed")
        for i, (p, before) in enumerate(zip(self.params, self.before)):
            _, place, flag = self.places[i]
            if flag:
                self._give(p, place, before)
            else:
                p.grad = before

    def _give(self, p, total, before):
        mine = None if p.grad is None else p.grad.data
        if p.dtype.kind == "c" and self.overlap:
            total = total.conj()  # inside the engine it is the conjugate
        if mine is not None and mine.flags.writeable and mine.dtype == p.dtype:
            mine[...] = total  # backward made it for .grad alone
        else:
            p.grad = Tensor(np.array(total, p.dtype))
        if before is not None:
            p.grad = before + p.grad


class _Bucket:
    def __init__(self, dtype):
        self.dtype, self.members, self.numbers, self.missing = dtype, [], 0, 0

    def made(self, shapes):
        """{member: (bucket, where its gradient lies, where the number of ranks that had one)}."""
        self.array = np.zeros(self.numbers + len(shapes), self.dtype)
        self.flags, places, start = self.array[self.numbers:], {}, 0
        for k, (i, shape) in enumerate(shapes.items()):
            stop = start + int(np.prod(shape))
            places[i] = self, self.array[start:stop].reshape(shape), self.flags[k:k + 1].reshape(())
            start = stop
        return places
