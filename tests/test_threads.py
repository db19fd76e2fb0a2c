"""Our threads: what `each` gives and raises, how many there are, and that BLAS' rest meanwhile."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from minigrad import kernels
from minigrad.kernels import threads

pytestmark = pytest.mark.skipif(not threads.found_blas(), reason="needs a BLAS whose threads can be limited")


@contextlib.contextmanager
def taking(n):
    """n threads within the block; then as before, BLAS' too."""
    wanted, blas = threads._wanted, [(library, library.get_num_threads()) for library in threads.found_blas()]
    kernels.set_num_threads(n)
    try:
        yield
    finally:
        kernels.set_num_threads(n)  # which ends the pool
        threads._wanted = wanted
        for library, number in blas:
            library.set_num_threads(number)


@pytest.fixture
def three():
    with taking(3):
        yield


@pytest.fixture(params=[1, 2, 3])
def any_number(request):
    with taking(request.param):
        yield request.param


def python(code, **environment):
    """What a new interpreter does with ``code``; 60 s, and it counts as hanging."""
    left_out = "MINIGRAD_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"
    kept = {k: v for k, v in os.environ.items() if k not in left_out}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60,
                          env={**kept, "PYTHONPATH": os.pathsep.join(sys.path), **environment})


def blas_threads():
    return {library.get_num_threads() for library in threads.found_blas()}


def soon(holds):
    """Whether it holds within 5 s."""
    end = time.monotonic() + 5
    while not holds() and time.monotonic() < end:
        time.sleep(0.01)
    return holds()


def ours():
    """How many threads of ours there are beside this one."""
    return sum(t.name == "minigrad" for t in threading.enumerate())


class Crowd:
    """A task that waits until ``n`` threads have entered it, so that each of them has one."""

    def __init__(self, n):
        self.barrier = threading.Barrier(n)

    def __call__(self, task):
        self.barrier.wait(10)
        return task, threading.get_ident()


# ---- each ----
def test_results_are_in_the_order_of_the_tasks(any_number):
    def slow_first(i):
        time.sleep(0.002 * (i < 2))
        return i * i
    assert threads.each(slow_first, range(20)) == [i * i for i in range(20)]
    assert threads.each(slow_first, (i for i in (3, 1, 2))) == [9, 1, 4]


def test_of_nothing_and_of_one(any_number):
    assert threads.each(lambda task: task, []) == []
    assert threads.each(lambda task: (task, threading.get_ident()), ["a"]) == [("a", threading.get_ident())]


def test_all_threads_take_part(three):
    for _ in range(3):  # the second time they wait for work
        tasks, workers = zip(*threads.each(Crowd(3), "abc"))
        assert tasks == ("a", "b", "c") and len(set(workers)) == 3 and threading.get_ident() in workers


def test_one_thread_works_alone():
    with taking(1):
        assert set(threads.each(lambda task: threading.get_ident(), range(9))) == {threading.get_ident()}


def test_more_tasks_than_threads_run_once_each(three):
    ran = []
    assert threads.each(lambda i: ran.append(i), range(500)) == [None] * 500
    assert sorted(ran) == list(range(500))


class Stop(BaseException):
    """Like KeyboardInterrupt: no Exception."""


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt, SystemExit, Stop])
def test_a_failing_task_is_raised_and_the_next_work_runs(any_number, kind):
    def fails(i):
        if i == 4:
            raise kind(f"task {i}")
        return i
    for _ in range(3):
        with pytest.raises(kind, match="task 4"):
            threads.each(fails, range(9))
    assert threads.each(lambda i: -i, range(9)) == [-i for i in range(9)]


def test_of_several_failures_the_first_tasks_is_raised():
    with taking(2):
        barrier = threading.Barrier(2)

        def fails(i):
            barrier.wait(10)
            time.sleep(0.02 * (i == 0))  # and it comes last
            raise ValueError(f"task {i}")
        with pytest.raises(ValueError, match="task 0"):
            threads.each(fails, [0, 1])


def test_after_a_failure_no_other_task_begins(three):
    began = []

    def fails(i):
        began.append(i)
        raise ValueError(f"task {i}")
    with pytest.raises(ValueError, match="task 0"):
        threads.each(fails, range(10_000))
    assert len(began) <= 3


@pytest.mark.parametrize("worker", ["mine", "another"])
def test_a_failure_is_raised_whichever_thread_it_happens_on(three, worker):
    crowd = Crowd(3)

    def fails(task):
        crowd(task)
        if (threading.get_ident() == me) == (worker == "mine"):
            raise Stop("there")
    me = threading.get_ident()
    with pytest.raises(Stop, match="there"):
        threads.each(fails, range(3))
    assert len({ident for _, ident in threads.each(Crowd(3), range(3))}) == 3, "all of them are still there"


def test_each_in_each(three):
    def outer(i):
        return sum(threads.each(lambda j: 10 * i + j, range(5)))
    assert threads.each(outer, range(6)) == [50 * i + 10 for i in range(6)]


def test_a_failure_of_each_in_each(three):
    with pytest.raises(ZeroDivisionError):
        threads.each(lambda i: threads.each(lambda j: 1 // (i + j - 4), range(3)), range(6))
    assert threads.each(str, range(3)) == ["0", "1", "2"]


def test_two_callers_at_once(three):
    found, meet = {}, threading.Barrier(2)

    def call(name):
        meet.wait(10)
        found[name] = [threads.each(lambda i: name * i, range(8)) for _ in range(50)]
    callers = [threading.Thread(target=call, args=(name,)) for name in "ab"]
    for c in callers:
        c.start()
    for c in callers:
        c.join(30)
    assert found == {name: [[name * i for i in range(8)]] * 50 for name in "ab"}


def test_a_caller_does_not_wait_for_another(three):
    """The second one runs its tasks itself."""
    started, done = threading.Event(), threading.Event()

    def wait(_):
        started.set()
        assert done.wait(10)
    first = threading.Thread(target=threads.each, args=(wait, range(3)))
    first.start()
    assert started.wait(10)
    assert set(threads.each(lambda i: threading.get_ident(), range(3))) == {threading.get_ident()}
    done.set()
    first.join(10)
    assert not first.is_alive()


def test_two_first_callers_share_their_threads(monkeypatch):
    class Slow(threads._Pool):
        def __init__(self, size):
            time.sleep(0.05)
            super().__init__(size)
    with taking(2):
        assert soon(lambda: ours() == 0)
        monkeypatch.setattr(threads, "_Pool", Slow)
        callers = [threading.Thread(target=threads.each, args=(str, range(4))) for _ in range(2)]
        for c in callers:
            c.start()
        for c in callers:
            c.join(10)
        assert ours() == 1


def test_another_number_of_threads_at_the_moment_before_work_is_shared(three, monkeypatch):
    ready, found = threads._ready, []

    def late():
        pool = ready()
        kernels.set_num_threads(2)  # as another thread might
        return pool
    monkeypatch.setattr(threads, "_ready", late)
    caller = threading.Thread(target=lambda: found.append(threads.each(str, range(4))), daemon=True)
    caller.start()
    caller.join(5)
    assert found == [["0", "1", "2", "3"]]


def test_another_number_of_threads_while_others_work(three):
    results, stop = [], threading.Event()

    def work():
        while not stop.is_set():
            results.append(threads.each(lambda i: i, range(5)))
    caller = threading.Thread(target=work, daemon=True)
    caller.start()
    for n in 8 * [2, 3, 1]:
        kernels.set_num_threads(n)
        time.sleep(0.001)
    stop.set()
    caller.join(5)
    assert not caller.is_alive() and results and all(r == [0, 1, 2, 3, 4] for r in results)


def test_np_errstate_holds_in_the_tasks(three):
    crowd = Crowd(3)

    def divide(i):
        crowd(i)
        return np.ones(3) / np.zeros(3)
    with np.errstate(divide="ignore"):
        assert all(np.isinf(a).all() for a in threads.each(divide, range(3)))
    with np.errstate(divide="raise"), pytest.raises(FloatingPointError, match="divide by zero"):
        threads.each(divide, range(3))
    seen = []
    with np.errstate(divide="call", call=lambda *what: seen.append(threading.get_ident())):
        threads.each(divide, range(3))
    assert len(set(seen)) == 3


def test_a_tasks_errstate_ends_with_it(three):
    crowd = Crowd(3)

    def change(i):
        crowd(i)
        np.seterr(under="raise")
    with np.errstate(under="ignore"):
        threads.each(change, range(3))
    assert set(threads.each(lambda i: np.geterr()["under"], range(9))) == {np.geterr()["under"]}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_forked_child_has_threads_of_its_own():
    code = """if True:
        import os, sys, warnings
        import minigrad
        from minigrad.kernels import threads
        import threading
        warnings.simplefilter("ignore")  # Python 3.12 warns of forks beside threads
        barrier = threading.Barrier(2)
        def both(i):
            barrier.wait(20)
            return i, threading.get_ident()
        minigrad.kernels.set_num_threads(2)
        parent = threads.each(both, range(2))
        child = os.fork()
        for _ in range(2):
            done = threads.each(both, range(2))
            assert [i for i, _ in done] == [0, 1] and len({t for _, t in done}) == 2
        if child:
            assert os.waitpid(child, 0)[1] == 0
        print("child" if child == 0 else "parent", flush=True)
        os._exit(0)
        """
    done = python(code)
    assert done.returncode == 0 and done.stdout.split() == ["child", "parent"], done.stderr


def test_a_program_ends_though_threads_wait():
    code = """if True:
        import minigrad
        from minigrad.kernels import threads
        minigrad.kernels.set_num_threads(3)
        print(threads.each(str, range(4)))
        """
    done = python(code)
    assert done.returncode == 0 and done.stdout == "['0', '1', '2', '3']\n" and not done.stderr


# ---- how many ----
@pytest.mark.parametrize("n", [0, -1, 1.5, 2.0, "2", None])
def test_a_bad_number_of_threads(n):
    before = kernels.get_num_threads()
    with pytest.raises((ValueError, TypeError), match=r"set_num_threads: .* at least 1, not "):
        kernels.set_num_threads(n)
    assert kernels.get_num_threads() == before


def test_the_number_of_threads_is_ours_and_blas():
    for n in (1, 2, 1, 3):
        with taking(n):
            assert kernels.get_num_threads() == n
            assert blas_threads() == {n}
            assert len({t for _, t in threads.each(Crowd(n), range(n))}) == n


def test_old_threads_end():
    with taking(1):
        assert soon(lambda: ours() == 0)
        kernels.set_num_threads(3)
        threads.each(Crowd(3), range(3))
        assert ours() == 2
        kernels.set_num_threads(2)
        threads.each(Crowd(2), range(2))
        assert soon(lambda: ours() == 1)


ASK = "import minigrad; print(minigrad.kernels.get_num_threads())"


@pytest.mark.parametrize("environment, number", [
    ({"MINIGRAD_NUM_THREADS": "3"}, 3), ({"MINIGRAD_NUM_THREADS": "1"}, 1), ({"OMP_NUM_THREADS": "1"}, 1),
    ({"OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}, 1),
    ({"MINIGRAD_NUM_THREADS": "2", "OMP_NUM_THREADS": "1"}, 2),
    ({"MINIGRAD_NUM_THREADS": "", "OMP_NUM_THREADS": "1"}, 1)])
def test_the_environment_says_how_many(environment, number):
    done = python(ASK, **environment)
    assert done.stdout == f"{number}\n", done.stderr


def test_as_many_as_there_are_cores():
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert 1 <= int(python(ASK).stdout) <= cores


@pytest.mark.parametrize("text", ["0", "-2", "two", "1.5"])
def test_a_bad_number_in_the_environment(text):
    done = python(ASK, MINIGRAD_NUM_THREADS=text)
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ValueError: MINIGRAD_NUM_THREADS") and text in last


# ---- BLAS ----
def test_blas_takes_one_thread_while_ours_work_and_gets_its_own_back():
    with taking(2):
        inside = threads.each(lambda i: blas_threads(), range(4))
        assert inside == [{1}] * 4 and threads.awake()
        assert soon(lambda: blas_threads() == {2}) and not threads.awake()
        assert threads.each(lambda i: blas_threads(), range(4)) == [{1}] * 4, "and rests again"


def test_a_single_task_leaves_blas_alone():
    with taking(2):
        assert threads.each(lambda i: blas_threads(), [0]) == [{2}] and not threads.awake()


def test_a_failure_gives_blas_its_threads_back_too():
    with taking(2):
        with pytest.raises(ZeroDivisionError):
            threads.each(lambda i: 1 // 0, range(4))
        assert soon(lambda: blas_threads() == {2})


def test_blas_gets_its_threads_back_after_a_long_task_too(monkeypatch):
    monkeypatch.setattr(threads, "PAUSE", 0.02)
    crowd, me = Crowd(2), threading.get_ident()

    def mine_takes_longer(i):
        crowd(i)
        time.sleep(0.2 * (threading.get_ident() == me))
    with taking(2):
        threads.each(mine_takes_longer, range(2))
        assert soon(lambda: blas_threads() == {2})


def test_blas_rests_whichever_thread_has_the_work():
    """threadpoolctl 3.8 lets only the thread that set OpenBLAS' number first set it again."""
    with taking(2):
        found = []
        caller = threading.Thread(target=lambda: found.extend(threads.each(lambda i: blas_threads(), range(4))))
        caller.start()
        caller.join(10)
        assert found == [{1}] * 4 and soon(lambda: blas_threads() == {2})
        kernels.set_num_threads(3)
        assert blas_threads() == {3}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_blas_of_a_forked_child_gets_its_threads_back():
    code = """if True:
        import os, warnings
        import minigrad
        from minigrad.kernels import threads
        warnings.simplefilter("ignore")
        minigrad.kernels.set_num_threads(2)
        threads.each(str, range(4))
        if child := os.fork():
            os._exit(os.waitpid(child, 0)[1] != 0)
        blas = [library.get_num_threads() for library in threads.found_blas()]
        assert set(blas) == {2} and minigrad.kernels.get_num_threads() == 2, blas
        os._exit(0)
        """
    done = python(code)
    assert done.returncode == 0, done.stderr


def test_another_number_gives_blas_that_many_at_once():
    with taking(2):
        threads.each(str, range(4))
        assert blas_threads() == {1}
        kernels.set_num_threads(3)
        assert blas_threads() == {3} and not threads.awake()


# ---- parts ----
@pytest.mark.parametrize("n", [0, 1, 2, 7, 64, 1000])
@pytest.mark.parametrize("most", [1, 2, 3, 64, 999, 1000, 5000])
def test_parts(n, most):
    parts = threads.parts(n, most)
    assert [i for lo, hi in parts for i in range(lo, hi)] == list(range(n))
    sizes = [hi - lo for lo, hi in parts]
    assert max(sizes) <= most and max(sizes) - min(sizes) <= 1 and len(parts) == max(1, -(-n // most))
