"""What a worker does: one framework, one job; it says what it computed first, then answers with how long it took."""

from __future__ import annotations

import gc
import importlib
import os
import resource
import time
from pathlib import Path

import numpy as np

from .problem import MANY, Problem

STEPS = 3  # whose losses are compared


def prepare(file, variant, threads, job, arguments):
    """For `turns.serve`."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    peer = importlib.import_module(f"peers.{file}")
    peer.start(threads)
    return JOBS[job](peer, variant, **arguments)


def lacks(peer, *names):
    for name in names:
        if why := peer.missing.get(name) if hasattr(peer, "missing") else None:
            raise NotImplementedError(why)
    if not hasattr(peer, names[0]):
        raise NotImplementedError("not written")


def versions(peer, variant):
    return peer.versions(), None


# ---- a step ----
def one_step(training, x, y):
    """Seconds of the step, and of its parts if it has any."""
    start = time.perf_counter()
    if hasattr(training, "step"):
        training.step(x, y)
        return {"step": time.perf_counter() - start}
    training.forward(x, y)
    forward = time.perf_counter()
    training.backward()
    backward = time.perf_counter()
    training.update()
    end = time.perf_counter()
    return {"step": end - start, "forward": forward - start, "backward": backward - forward, "update": end - backward}


def step(peer, variant, problem):
    """Answers a number of steps with the median seconds of one, and of its parts, after a few to warm up."""
    problem = Problem(**problem)
    lacks(peer, "Training", f"Training, {problem.model}")
    training = peer.Training(problem, variant)
    batches, losses, done = [training.place(*b) for b in problem.batches()], [], 0

    def steps(count):
        nonlocal done
        found = []
        for _ in range(count + count // 4):
            found.append(one_step(training, *batches[done % len(batches)]))
            done += 1
        return {name: float(np.median([f[name] for f in found[-count:]])) for name in found[0]}
    for _ in range(STEPS):
        steps(1)
        losses.append(training.loss() if hasattr(training, "loss") else None)
    return {"optimizer": training.optimizer, "losses": losses}, steps


# ---- memory ----
def memory(peer, variant, problem):
    """Answers a number of steps with MB: the whole peak; what was added to what was there after imports and data; and
    to what was there after a step with one image, when what loads late was loaded."""
    problem = Problem(**problem)
    lacks(peer, "Training", f"Training, {problem.model}")
    batches = problem.batches()
    gc.collect()
    imported, earlier = resident("VmRSS"), resident("VmHWM")

    def train(images, count):
        forget_peak()
        training = peer.Training(problem, variant)
        for i in range(count):
            x, y = batches[i % len(batches)]
            one_step(training, *training.place(x[:images], y[:images]))

    def steps(count):
        train(1, 1)
        gc.collect()
        started, first = resident("VmRSS"), resident("VmHWM")
        train(problem.batch, count)
        peak = resident("VmHWM")
        return {"peak": max(first, peak, earlier), "added": max(first, peak) - imported, "by the batch": peak - started}
    return {}, steps


def resident(which):
    """MB resident now (VmRSS) or at most (VmHWM); where there is no /proc, at most."""
    status = Path("/proc/self/status")
    if status.exists():
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith(which)) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def forget_peak():
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:  # the peak of the imports stays
        pass


# ---- the engine ----
def engine(peer, variant, op):
    """Seconds of an op: recorded; recorded and pulled back."""
    lacks(peer, "RECORDED")
    record, pull = peer.RECORDED[op](), peer.PULLED[op]()

    def ask(_):
        found = {}
        for name, run in (("both", pull), ("record", record)):
            start = time.perf_counter()
            run()
            found[name] = (time.perf_counter() - start) / MANY
        return found
    ask(None)
    return {}, ask


def chain(peer, variant, depth):
    lacks(peer, "Chain")
    made = peer.Chain(depth)

    def ask(count):
        found = np.zeros(2)
        for _ in range(count):
            start = time.perf_counter()
            made.forward()
            middle = time.perf_counter()
            made.backward()
            found += middle - start, time.perf_counter() - middle
        forward, backward = (found / count).tolist()
        return {"backward": backward, "forward": forward, "step": forward + backward}
    ask(1)
    return {}, ask


# ---- whole runs ----
def lbfgs(peer, variant, problem, evaluations):
    lacks(peer, "LBFGS")
    run = peer.LBFGS(Problem(**problem), evaluations).run
    run()

    def ask(_):
        start = time.perf_counter()
        made, loss = run()
        return {"evaluation": (time.perf_counter() - start) / made, "evaluations": made, "loss": loss}
    return {}, ask


def accuracy(peer, variant, problem, wanted, epochs, every=100):
    """Answers a seed with the seconds and steps of training until the test accuracy is ``wanted``, looked at every
    ``every`` steps while the clock stands still; without them if ``epochs`` were not enough."""
    from minigrad import data
    problem = Problem(**problem)
    lacks(peer, "Training", f"Training, {problem.model}")
    if not hasattr(peer.Training, "accuracy"):
        raise NotImplementedError("not written")
    train, test = (data.load("mnist", train=train) for train in (True, False))
    x, y, test_x, test_y = (np.ascontiguousarray(a) for a in (train.x, train.y, test.x, test.y))
    x, test_x = x.reshape(-1, 1, 28, 28), test_x.reshape(-1, 1, 28, 28)
    y, test_y = y.astype(np.int64), test_y.astype(np.int64)

    def ask(seed):
        training, rng, steps, clock, found = peer.Training(problem, variant, seed), np.random.default_rng(seed), 0, 0, 0
        for _ in range(epochs):
            order = rng.permutation(len(x))
            for i in range(0, len(x) - problem.batch + 1, problem.batch):
                start = time.perf_counter()
                index = order[i:i + problem.batch]
                one_step(training, *training.place(x[index], y[index]))
                clock += time.perf_counter() - start
                steps += 1
                if steps % every == 0:
                    found = training.accuracy(test_x, test_y)
                    if found >= wanted:
                        return {"seconds": clock, "steps": steps, "accuracy": found}
        return {"seconds": None, "steps": steps, "accuracy": found}
    return {"optimizer": "Adam"}, ask


def peak(peer, variant):
    return {}, lambda _: {"GFLOP/s": peer.peak()}


JOBS = {"versions": versions, "step": step, "memory": memory, "engine": engine, "chain": chain, "lbfgs": lbfgs,
        "accuracy": accuracy, "peak": peak}
