"""Second order on data that is divided among ranks."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..optim.second_order import Objective, _minimize
from ..tensor import Tensor
from .world import World, init


class ShardedObjective(Objective):
    """`optim.Objective` of the sum over ranks of share * loss(): loss, gradient and products are summed, to the same
    bits on all ranks. All ranks ask for the same, in the same order."""

    def __init__(self, loss: Callable[[], Tensor], params: Iterable, world: World, share: float):
        def part():  # weighted before it is differentiated: what ranks sum inside, like batch norm, flows back to all
            value = loss()
            return value * share if isinstance(value, Tensor) else value
        self.world = world
        super().__init__(part, params)
        whole = float(world.sum(float(share)))
        if not abs(whole - 1) < 1e-6:
            raise ValueError(f"the ranks' shares must add up to 1, they come to {whole:g}: share is this rank's rows / "
                             "all rows")
        world.check(self.params)

    def total(self, value):
        return self.world.sum(value)


def minimize(loss: Callable[[], Tensor], params: Iterable, method: str = "L-BFGS-B", *, share: float | None = None,
             world: World | None = None, bounds=None, callback: Callable | None = None, tol: float | None = None,
             options: dict | None = None):
    """`optim.minimize` of the mean over all ranks' data: L-BFGS, Newton-CG, trust regions on the full batch.

        rows, share = world.part(len(x))
        distributed.minimize(lambda: criterion(model(x[rows]), y[rows]), model.parameters(), share=share)

    loss: the mean over this rank's rows. share: their part of all, default 1 / N. world: by default `init`'s. The rest
    is optim.minimize's. SciPy runs on every rank, on sums that are the same bits, so all walk the same path: the ranks
    need the same versions of NumPy and SciPy, and processors of one kind. callback: runs on all ranks, and ends the run
    if it wants so on any. Returns the same on all ranks. Raises ValueError if the shares do not add up to 1,
    RuntimeError if the ranks start from different weights.
    """
    if not isinstance(method, str):
        raise TypeError(f"method must be the name of one of scipy.optimize.minimize's, got {method!r}")
    world = world or init()
    objective = ShardedObjective(loss, params, world, 1 / world.size if share is None else share)

    def called(iteration):
        try:
            enough = callback(iteration)
        except StopIteration:
            enough = True
        return world.any(enough)
    return _minimize(objective, method, bounds, None if callback is None else called, tol, options)
