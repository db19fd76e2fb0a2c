"""A few threads of our own, for work that NumPy, BLAS and Numba do without holding Python's lock.

BLAS' own threads rest meanwhile, and until ours have had nothing to do for a while: they wait for their next product
by spinning, which takes a core from ours (the MNIST CNN's step took 19 ms beside them, 12 without). No sum is divided
among threads by their number, so no result depends on it, to the bit.
"""

from __future__ import annotations

import contextvars
import functools
import os
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from numbers import Integral

PAUSE = 1.0  # seconds without shared work, until BLAS gets its threads back
SHARED = 200_000  # elements; for fewer, waking another thread is not worth it
LIMITS = "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"
_wanted: int | None = None
_pool: _Pool | None = None
_making = threading.Lock()


def get_num_threads() -> int:
    """How many threads share large work: `set_num_threads`' number, else $MINIGRAD_NUM_THREADS, else the cores, or
    fewer if OMP_NUM_THREADS, OPENBLAS_NUM_THREADS or MKL_NUM_THREADS says so."""
    return _wanted or _default()


def set_num_threads(n: int) -> None:
    """Let n threads share large work, and let BLAS take as many. ValueError if n is not at least 1.

    What else limits BLAS for a while, like threadpoolctl's `threadpool_limits`, may find its limit lifted within a
    second after a convolution: use this instead.
    """
    global _wanted, _pool
    _wanted = n = _checked(n, "set_num_threads")
    if _pool is not None:
        _pool.close()
        _pool = None
    found_blas.cache_clear()  # SciPy's may have come since
    for library in found_blas():
        _limit(library, n)


def _checked(n, who):
    if isinstance(n, bool) or not isinstance(n, Integral) or n < 1:
        raise ValueError(f"{who}: the number of threads is an int of at least 1, not {n!r}")
    return int(n)


def cores() -> int:
    """On how many this process may run."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@functools.cache
def _default():
    if given := os.environ.get("MINIGRAD_NUM_THREADS"):
        return _checked(int(given) if given.isdecimal() else given, "MINIGRAD_NUM_THREADS")
    return min([cores(), *(int(n) for name in LIMITS if (n := os.environ.get(name, "")).isdecimal() and int(n))])


@functools.cache
def found_blas():
    """The BLAS libraries that let themselves be limited: OpenBLAS, MKL, BLIS."""
    try:
        from threadpoolctl import ThreadpoolController
    except ImportError:  # then nobody can
        return []
    return ThreadpoolController().select(user_api="blas").lib_controllers


def each(run: Callable, tasks: Iterable, in_passing: bool = False) -> list:
    """[run(task) for task in tasks], on all threads. Raises what the first task that failed raised.

    Where there is only one task, or one thread, BLAS keeps its own threads. in_passing: work that is shared only
    because others keep BLAS' threads at rest, and does not itself.
    """
    tasks = list(tasks)
    pool = _ready() if len(tasks) > 1 else None
    if pool is None or not pool.free.acquire(blocking=False):  # taken: by another thread, or by a task that calls this
        return [run(task) for task in tasks]
    try:
        return pool.each(run, tasks, in_passing)
    finally:
        pool.free.release()


def settle(new_pass: bool = False) -> None:
    """Let BLAS' threads rest or wake by the program's course, not by the clock, for their number changes the last bits.

    At the beginning of a backward pass (new_pass) they wake if ours have shared nothing since the one before; else they
    rest, even if a pause had woken them.
    """
    pool = _pool
    if pool is not None and pool.wanted and pool.free.acquire(blocking=False):
        try:
            if new_pass:
                pool.wanted, pool.used = pool.used, False
            if pool.wanted and not pool.resting:
                pool.rest_blas()
                pool.jobs.put(_nothing)  # and a thread to look whether that lasts too long
            elif not pool.wanted:
                pool.wake_blas()
        finally:
            pool.free.release()


def _nothing():
    pass


def share(run: Callable, n: int, size: int, in_passing: bool = False) -> None:
    """run((start, stop)) on all of [0, n), each thread a part if ``size`` elements are worth waking it."""
    each(run, divided(n, get_num_threads() if size >= SHARED else 1), in_passing)


def awake() -> bool:
    """Whether our threads have shared work a moment ago: then BLAS' rest, and work may as well be shared."""
    return _pool is not None and _pool.resting


def parts(n: int, most: int) -> list[tuple[int, int]]:
    """[0, n) as about equal (start, stop), none longer than ``most``."""
    return divided(n, -(-n // max(1, most)))


def divided(n: int, count: int) -> list[tuple[int, int]]:
    """[0, n) as so many about equal (start, stop), fewer if there are fewer numbers, but at least one."""
    count = max(1, min(n, count))
    return [(n * i // count, n * (i + 1) // count) for i in range(count)]


def _ready():
    """The pool; None for one thread."""
    global _pool
    n = get_num_threads()
    if n > 1 and _pool is None:
        with _making:
            if _pool is None:
                _pool = _Pool(n)
    return _pool if n > 1 else None


class _Pool:
    def __init__(self, size):
        self.size, self.free, self.jobs = size, threading.Lock(), queue.SimpleQueue()
        self.closed, self.closing = False, threading.Lock()
        self.wanted = self.used = False  # ever, and since the last backward pass began
        self.resting, self.last = False, 0.0
        self.limited = {library: library.get_num_threads() for library in found_blas()  # and their own numbers
                        if getattr(library, "threading_layer", "") != "openmp"}  # whose limits are a thread's own
        for _ in range(size - 1):
            threading.Thread(target=self.serve, name="minigrad", daemon=True).start()

    def each(self, run, tasks, in_passing):
        job, helpers = _Job(run, tasks), min(self.size, len(tasks)) - 1
        with self.closing:
            if self.closed:
                helpers = 0
            elif not in_passing:
                self.wanted = self.used = True
                self.rest_blas()
            for _ in range(helpers):
                context = contextvars.copy_context()  # np.errstate
                self.jobs.put(functools.partial(context.run, job.help))
        try:
            job.work()
        finally:
            for _ in range(helpers):
                job.done.get()
            if not in_passing:
                self.last = time.monotonic()
        if job.failed:
            raise min(job.failed, key=lambda at: at[0])[1]
        return job.results

    def rest_blas(self):
        if not self.resting:
            self.resting = True
            for library, n in self.limited.items():
                self.limited[library] = max(n, library.get_num_threads())  # n, if somebody limits it just now
                _limit(library, 1)

    def wake_blas(self):
        if self.resting:
            self.resting = False
            for library, n in self.limited.items():
                if library.get_num_threads() == 1:  # and nobody has changed that
                    _limit(library, n)

    def serve(self):
        idle = False
        while True:
            try:
                job = self.jobs.get(timeout=None if idle else PAUSE)
            except queue.Empty:
                if self.free.acquire(blocking=False):
                    idle = time.monotonic() - self.last >= PAUSE
                    if idle:
                        self.wake_blas()
                    self.free.release()
                continue
            if job is None:
                return
            idle = False
            job()

    def close(self):
        with self.closing:
            self.closed = True
            self.resting = False
            for _ in range(self.size - 1):
                self.jobs.put(None)


def _limit(library, n):
    """Of all threads, whichever calls: threadpoolctl from 3.8 on listens to the one that was first."""
    release = getattr(library, "clear_controlling_thread", None)
    if release is not None:
        release(force=True)
    library.set_num_threads(n)
    if release is not None:
        release(force=True)


class _Job:
    def __init__(self, run: Callable, tasks: Sequence):
        self.run, self.tasks, self.left = run, tasks, deque(range(len(tasks)))
        self.results, self.failed, self.done = [None] * len(tasks), [], queue.SimpleQueue()

    def work(self):
        """Take tasks until none is left; a failure leaves none."""
        while True:
            try:
                i = self.left.popleft()
            except IndexError:
                return
            try:
                self.results[i] = self.run(self.tasks[i])
            except BaseException as error:
                self.failed.append((i, error))
                self.left.clear()

    def help(self):
        try:
            self.work()
        finally:
            self.done.put(None)


def _forget():
    """In the child of a fork there are no threads."""
    global _pool, _making
    if _pool is not None:
        _pool.wake_blas()
    _pool, _making = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
