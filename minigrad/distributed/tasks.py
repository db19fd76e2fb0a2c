"""Independent work on all ranks: sweeps and ensembles."""

from __future__ import annotations

import time
import traceback
import warnings
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from ..nn import Module
from ..random import seeded
from .mpi import mpi
from .world import World, init

_running: list[Callable] = []  # the function of the sweep that goes on


@dataclass(frozen=True)
class Failed:
    """Stands for the result of a configuration that raised. error: "ValueError: ..."; where: the rank."""

    configuration: Any
    error: str
    traceback: str
    where: str


def sweep(function: Callable, configurations: Iterable, *, world: World | None = None) -> list | None:
    """[function(c) for c in configurations], each on whichever rank is free; on rank 0, None on the others.

        results = distributed.sweep(lambda c: train_one(**c), [{"lr": lr} for lr in (0.1, 0.01)])

    Under ``mpiexec -n N`` all N ranks work, rank 0 too; alone it is a loop. Every rank calls it, with the same
    function, which may be a lambda; configurations are rank 0's; they and the results travel, so they must be
    picklable. For each configuration minigrad's default generator is seeded with its place in the list: the results do
    not depend on N or on who did what. A configuration that raises leaves a `Failed` in its place. The function must
    not use ``world``.
    """
    world, configurations = world or init(), list(configurations)
    if world.size == 1:
        return [_attempt(function, i, c, world.name) for i, c in enumerate(configurations)]
    from mpi4py.futures import MPICommExecutor
    world.barrier()  # where ranks that have ended are noticed
    _running.append((function, world.name))
    try:
        with MPICommExecutor(world.comm, root=0) as pool:  # the other ranks work in here
            return None if pool is None else _shared(pool, world.size - 1, configurations)
    finally:
        _running.pop()


def _shared(pool, workers, configurations):
    todo, done, futures = deque(enumerate(configurations)), {}, {}

    def hand_out(_=None):
        try:
            i, c = todo.popleft()
        except IndexError:
            return
        futures[i] = future = pool.submit(_task, i, c)
        future.add_done_callback(hand_out)
    for _ in range(workers):
        hand_out()
    while True:  # here too
        try:
            i, c = todo.popleft()
        except IndexError:
            break
        done[i] = _task(i, c)
    while len(done) + len(futures) < len(configurations):  # one is being handed out
        time.sleep(1e-3)
    done.update((i, future.result()) for i, future in futures.items())
    return [mpi().pickle.loads(done[i]) for i in range(len(configurations))]


def _task(i, configuration):
    """The result as bytes: what cannot be sent is known where it was made."""
    function, where = _running[-1]
    result = _attempt(function, i, configuration, where)
    try:
        return mpi().pickle.dumps(result)
    except Exception as error:
        return mpi().pickle.dumps(Failed(configuration, f"the result cannot be sent: {type(error).__name__}: {error}",
                                         traceback.format_exc(), where))


def _attempt(function, i, configuration, where):
    try:
        with seeded(i):
            return function(configuration)
    except (Exception, SystemExit) as error:
        return Failed(configuration, f"{type(error).__name__}: {error}", traceback.format_exc(), where)


def ensemble(make: Callable[[], Module], train: Callable[[Module], object], seeds: Iterable[int], *,
             world: World | None = None) -> list[Module] | None:
    """[make() after train(model)] for every seed, trained on all ranks; on rank 0, None on the others.

        members = distributed.ensemble(lambda: models.mlp(64), lambda m: train.fit(m, data, ...), range(10))
        if world.first:
            print(Ensemble(members).score(test))

    Each member is made and trained with minigrad's default generator seeded, as by ``manual_seed(seed)``. State dicts
    travel, and rank 0 makes the models again. A member whose training raises is left out, with a RuntimeWarning;
    RuntimeError if that leaves none.
    """
    seeds = list(seeds)

    def member(seed):
        with seeded(seed):
            model = make()
            train(model)
        return model.state_dict()
    states = sweep(member, seeds, world=world)
    if states is None:
        return None
    failed = [s for s in states if isinstance(s, Failed)]
    if failed and len(failed) == len(states):
        raise RuntimeError(f"ensemble: the training of every seed failed; of {failed[0].configuration} on "
                           f"{failed[0].where}:\n{failed[0].traceback}")
    if failed:
        told = "; ".join(f"seed {f.configuration} ({f.error})" for f in failed)
        warnings.warn(f"ensemble: {len(failed)} of {len(states)} trainings failed: {told}", RuntimeWarning,
                      stacklevel=2)
    members = []
    for seed, state in zip(seeds, states):
        if not isinstance(state, Failed):
            with seeded(seed):
                members.append(make())
            members[-1].load_state_dict(state)
    return members
