"""World: the processes that train together. What each of its methods does, all ranks must do, in the same order."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import time
import zlib
from collections.abc import Callable, Iterable

import numpy as np

from ..data import DataLoader
from ..graph import changed
from ..kernels import threads
from ..nn import Module
from ..random import default_generator
from ..tensor import Tensor
from . import batchnorm, failure
from .gradients import BUCKET, OVERLAP, Summed
from .mpi import mpi
from .sharding import Sharded, part

LAUNCHERS = "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "PMIX_SIZE", "MV2_COMM_WORLD_SIZE"
GRACE = 2.0  # seconds in which what a rank sent before it ended still arrives
_world: World | None = None


def init(timeout: float | None = None) -> World:
    """The World of all processes that mpiexec started; of this one alone without mpiexec, also where no MPI is.

    The first call tells, on stderr, which process is which rank, shares the cores of a machine among its ranks, as the
    threads that each computes with, unless MINIGRAD_NUM_THREADS is set, and lets an exception that nobody catches end
    all ranks. timeout: seconds after which waiting for the others is given up, None: never. Raises ImportError if this
    was started by mpiexec and mpi4py is missing, OSError if mpiexec belongs to another MPI than mpi4py's.
    """
    global _world
    if _world is None:
        started = max((int(n) for n in map(os.environ.get, LAUNCHERS) if n and n.isdecimal()), default=1)
        try:
            comm = mpi().COMM_WORLD
        except ImportError:
            if started > 1:
                raise
            comm = None
        if comm is not None and started > 1 == comm.size:
            raise OSError(f"{started} processes were started, but each is alone in its MPI world: this mpiexec is "
                               f"another MPI's than mpi4py's ({mpi().Get_library_version().splitlines()[0].strip()})")
        _world = World(comm)
        if _world.size > 1:
            failure.abort_on_errors(_world)
            if "MINIGRAD_NUM_THREADS" not in os.environ:
                threads.set_num_threads(min(threads.get_num_threads(), max(1, threads.cores() // len(_world.here))))
            if _world.first:
                print(*_world.who(), sep="\n", file=sys.stderr, flush=True)
    _world.timeout = timeout if timeout is not None else _world.timeout
    return _world


class World:
    """The ranks 0 .. size - 1. comm: of mpi4py, copied; None: this process alone, for which nothing is done.

    rank, size; first: whether this is rank 0, which writes files and prints; name, names: "rank 1 of 2 on HOST, process
    PID", this one's and everybody's; timeout: seconds, see `init`.
    Who waits for a rank that has ended gets `RankLost`, which names it; while waiting, Ctrl-C works.
    """

    def __init__(self, comm=None):
        self.rank, self.size, self.timeout = 0, 1, None
        self.copies = 1  # on how many ranks each row of the batch is, see `Sharded`
        self._summed: dict[tuple, Summed] = {}
        self._patience = 0.0  # seconds of waiting before another process gets this core
        self._lost: list = []  # requests nobody waits for any more, and their buffers
        if comm is not None:
            self.rank, self.size = comm.rank, comm.size
        self.first = self.rank == 0
        self.places = [(socket.gethostname(), os.getpid())] * self.size
        if self.size > 1:
            # of their own: gradients may be summed before or after what a backward pass sums itself
            self.comm, self.gradients_comm = comm.Dup(), comm.Dup()
            self.farewell = failure.Farewell(comm.Dup())
            self.places = self.gather(self.places[self.rank])
            if len(self.here) <= threads.cores():
                self._patience = 2e-3

    @classmethod
    def alone(cls) -> World:
        """This process alone, without MPI."""
        return cls()

    @property
    def names(self) -> list[str]:
        """What messages call the ranks."""
        return [f"rank {r} of {self.size} on {host}, process {pid}" for r, (host, pid) in enumerate(self.places)]

    name = property(lambda self: self.names[self.rank])

    @property
    def here(self) -> list[int]:
        """The ranks of this host."""
        return [r for r, (host, _) in enumerate(self.places) if host == self.places[self.rank][0]]

    def who(self) -> list[str]:
        """A line for every host: its ranks and their processes."""
        hosts: dict[str, list[str]] = {}
        for rank, (host, pid) in enumerate(self.places):
            hosts.setdefault(host, []).append(f"{rank} (process {pid})")
        return [f"on {host} rank {', '.join(ranks)} of {self.size}" for host, ranks in hosts.items()]

    def __repr__(self):
        return f"World({self.name})"

    def __deepcopy__(self, memo):
        return self

    # ---- waiting ----
    def wait(self, request, doing: str) -> None:
        """Wait for an MPI request. Raises `RankLost`."""
        start, spins = time.monotonic(), 0
        while not request.Test():
            if (now := time.monotonic()) - start < self._patience:
                continue
            os.sched_yield() if hasattr(os, "sched_yield") else time.sleep(0)
            spins += 1
            if spins % 64:
                continue
            gone = {r: seen for r, seen in self.farewell.look().items() if now - seen > GRACE}
            if gone or (self.timeout is not None and now - start > self.timeout):
                self._lost.append(request)
                raise failure.RankLost(
                    f"{self.name} waits in {doing} for " + (
                        f"{'; '.join(self.names[r] for r in sorted(gone))}, which has ended: all ranks must take the "
                        "same steps" if gone else f"others since {self.timeout:g} s, the timeout"))
            if now - start > 0.1:
                time.sleep(1e-4)  # somebody computes; perhaps on this core

    def abort(self) -> None:
        """End all ranks now."""
        if self.size > 1:
            mpi().COMM_WORLD.Abort(1)

    # ---- among ranks ----
    def sum(self, array) -> np.ndarray:
        """The sum over ranks of arrays of one shape and dtype: the same bits on all. Booleans are counted.

        Recursive doubling and its kin add the same pairs on every rank, and a + b is b + a: tests look.
        """
        array = np.asarray(Tensor.plain(array))
        if array.dtype.kind not in "biufc":
            raise TypeError(f"sum: numbers are wanted, not {array.dtype}")
        if self.size == 1:
            return array.astype(np.int64 if array.dtype.kind == "b" else array.dtype)
        wire = np.int64 if array.dtype.kind == "b" else _wire(array.dtype)
        total = np.array(array, wire, order="C")
        self.wait(self.comm.Iallreduce(mpi().IN_PLACE, total), "sum")
        return total if array.dtype.kind == "b" else total.astype(array.dtype, copy=False)

    def broadcast(self, thing, root: int = 0):
        """Rank ``root``'s thing: an array, or whatever can be pickled."""
        if self.size == 1:
            return thing
        MPI, mine = mpi(), self.rank == root
        array = mine and type(thing) is np.ndarray and thing.dtype.kind in "biufc"
        head = MPI.pickle.dumps((True, (thing.dtype.str, thing.shape)) if array else (False, thing)) if mine else b""
        length = np.array(len(head))
        self.wait(self.comm.Ibcast(length, root), "broadcast")
        head = bytearray(head if mine else int(length))
        self.wait(self.comm.Ibcast(head, root), "broadcast")
        array, value = (array, thing) if mine else MPI.pickle.loads(head)
        if array:
            body = np.asarray(thing, order="C") if mine else np.empty(value[1], value[0])
            self.wait(self.comm.Ibcast([body, body.nbytes, MPI.BYTE], root), "broadcast")
            return thing if mine else body
        return value

    def gather(self, thing) -> list:
        """Every rank's thing, on every rank: whatever can be pickled."""
        if self.size == 1:
            return [thing]
        MPI = mpi()
        mine = MPI.pickle.dumps(thing)
        lengths, length = np.empty(self.size, np.int64), np.array([len(mine)])
        self.wait(self.comm.Iallgather(length, lengths), "gather")
        ends = np.cumsum(lengths)
        everything = np.empty(ends[-1], np.uint8)
        self.wait(self.comm.Iallgatherv(mine, [everything, lengths, ends - lengths, MPI.BYTE]), "gather")
        return [MPI.pickle.loads(everything[end - n:end].tobytes()) for n, end in zip(lengths, ends)]

    def any(self, flag) -> bool:
        """Whether ``flag`` is true on any rank."""
        return bool(self.sum(np.array(bool(flag))))

    def barrier(self) -> None:
        """Wait until all ranks are here."""
        if self.size > 1:
            self.wait(self.comm.Ibarrier(), "barrier")

    def from_first(self, function: Callable):
        """``function()`` of rank 0; what it raises is raised on all ranks, as a RuntimeError if it cannot be sent."""
        if self.size == 1:
            return function()
        result = error = None
        if self.first:
            try:
                result = function()
            except Exception as raised:
                error = raised
        sent = self.broadcast(error and _sendable(error))
        if sent:
            sent.on_all_ranks = True  # so that one of them may speak for all
            raise error or sent
        return self.broadcast(result)

    def _agree(self, doing, problem, kind=ValueError):
        """Raise on all ranks if one has a problem."""
        told = [f"on {self.names[r]}: {p}" for r, p in enumerate(self.gather(problem)) if p]
        if told:
            raise kind(f"{doing}: {told[0]}" + (f" (and on {len(told) - 1} more ranks)" if told[1:] else ""))

    # ---- a training ----
    def synchronize(self, model: Module, optimizer=None) -> None:
        """All ranks take rank 0's parameters and buffers, in place, and its optimizer's state.

        Raises ValueError on all ranks where the models differ in structure, or lazy layers have no size yet.
        """
        if self.size == 1:
            return
        here = {name: (a.shape, str(a.dtype), getattr(a, "requires_grad", None)) for name, a in _state(model)}
        empty = [name for name, a in _state(model) if not a.size]
        there = self.broadcast(here)
        problem = (f"{', '.join(empty)} has no size yet: call the model on a batch first, to build its lazy layers"
                   if empty else _difference(here, there) if here != there or list(here) != list(there) else "")
        self._agree("synchronize", problem)
        for _, a in _state(model):
            if isinstance(a, Tensor):
                if not (a.data.flags.writeable and a.data.flags.c_contiguous):
                    a.data = np.array(a.data, order="C")
                a = a.data
            value = self.broadcast(a)
            if not self.first:
                a[...] = value
                changed(a)
        if optimizer is not None:
            state, problem = self.broadcast((type(optimizer).__name__, optimizer.state_dict())), ""
            if not self.first:
                try:
                    if state[0] != type(optimizer).__name__:
                        raise ValueError(f"the optimizer is {type(optimizer).__name__}, rank 0's {state[0]}")
                    optimizer.load_state_dict(state[1])
                except (ValueError, TypeError, KeyError, AttributeError) as error:
                    problem = f"{error}"
            self._agree("synchronize", problem)

    def spread(self, generators: Iterable[np.random.Generator] | None = None) -> None:
        """All generators, by default minigrad's, continue from rank 0's states, rank r's r jumps ahead.

        So dropout and augmentation draw independently, and all is known from rank 0's states: a jump is 2^127 draws or
        more. Raises TypeError for a bit generator that cannot jump (SFC64).
        """
        generators = [default_generator()] if generators is None else list(generators)
        generators = list({id(g): g for g in generators}.values())
        bad = [type(g.bit_generator).__name__ for g in generators if not hasattr(g.bit_generator, "jumped")]
        if bad:
            raise TypeError(f"spread: {bad[0]} cannot jump: use PCG64, np.random.default_rng()'s, MT19937 or Philox")
        states = self.broadcast([g.bit_generator.state for g in generators])
        if len(states) != len(generators):
            raise ValueError(f"spread: {self.name} has {len(generators)} generators, rank 0 {len(states)}")
        for g, state in zip(generators, states):
            g.bit_generator.state = state
            if self.rank:
                g.bit_generator.state = g.bit_generator.jumped(self.rank).state

    def shard(self, loader: DataLoader) -> Sharded:
        """The loader's batches, of each this rank's rows: see `Sharded`."""
        sharded = Sharded(loader, self)
        here = len(loader.dataset), *loader.division
        there = self.broadcast(here)
        self._agree("shard", "" if here == there else "{} rows, of which {} in {} batches of {}, on rank 0 {}, {} in "
                    "{} of {}: every rank is given the whole data, and takes its rows".format(*here, *there))
        return sharded

    def part(self, n: int) -> tuple[slice, float]:
        """Of n rows this rank's, and their share of all, as `shard` divides a batch."""
        return part(n, self.rank, self.size)[:2]

    def summed(self, parameters: Iterable[Tensor], *, bucket: int = BUCKET, overlap: bool = OVERLAP):
        """Gradients that backward adds inside are summed over ranks: ``with world.summed(params): loss.backward()``.

        See `Summed`. bucket: bytes that are sent at once. overlap: send while backward still runs; then one backward
        in each block.
        """
        parameters = [p for p in parameters if p.requires_grad]
        if self.size == 1:
            return contextlib.nullcontext()
        key = bucket, overlap, *((id(p), p.shape, p.dtype) for p in parameters)
        if key not in self._summed:
            if len(self._summed) > 8:  # each has the size of its parameters
                self._summed.pop(next(iter(self._summed)))
            self._summed[key] = Summed(self, parameters, bucket, overlap)
        return self._summed[key]

    def check(self, model: Module | Iterable[Tensor]) -> None:
        """Raises RuntimeError on all ranks, naming parameter and ranks, if the ranks' weights are not the same bits."""
        named = model.named_parameters() if isinstance(model, Module) else (
            (f"parameter {i}", p) for i, p in enumerate(model))
        sums = self.gather([(name, zlib.crc32(np.ascontiguousarray(p.data).data)) for name, p in named])
        for i, (name, first) in enumerate(sums[0]):
            other = [str(r) for r, mine in enumerate(sums) if i >= len(mine) or mine[i] != (name, first)]
            if other:
                raise RuntimeError(f"the ranks' weights have drifted apart: {name} is another on rank "
                                   f"{', '.join(other)} than on rank 0. Do all ranks take the same steps, from "
                                   "world.synchronize(model, optimizer) on?")

    def synchronized(self, model: Module):
        """Inside, batch norms in training use statistics over all ranks' rows: see `batchnorm.synchronized`."""
        return batchnorm.synchronized(self, model)


def _sendable(error):
    try:
        mpi().pickle.loads(mpi().pickle.dumps(error))
    except Exception:
        return RuntimeError(f"on rank 0: {type(error).__name__}: {error}")
    return error


def _state(model):
    yield from model.named_parameters()
    yield from model.named_buffers()


def _difference(here, there):
    told = []
    for name in sorted({*here, *there}):
        if here.get(name) != there.get(name):
            mine, first = ("missing" if kind is None else f"{kind[1]} {kind[0]}" + ("" if kind[2] is not False else
                           ", frozen") for kind in (here.get(name), there.get(name)))
            told.append(f"{name} is {mine}, on rank 0 {first}")
    return "the models differ: " + ("; ".join(told[:5]) or "in the order of their parameters")


def _wire(dtype):
    """In what a dtype is sent: MPI has no half precision and no foreign byte order."""
    return np.dtype(np.float32) if dtype == np.float16 else dtype.newbyteorder("=")
