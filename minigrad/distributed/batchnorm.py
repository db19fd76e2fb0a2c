"""Batch normalization whose statistics are those of all ranks' rows, differentiable to any order."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator

import numpy as np

from ..dispatch import primitive
from ..functional import batch_norm
from ..nn import Module, StochasticDepth
from ..nn.normalization import _BatchNorm
from ..tensor import Tensor


def all_reduce(x, world):
    """The sum of x over all ranks, on all ranks; its adjoint is itself: the loss is the sum of the ranks' losses."""
    return _op()(x, world=world)


@functools.cache
def _op():
    """In the table from its first use on: what it does, and its samples, take several processes."""
    @primitive(lambda g, y, x, world: all_reduce(g, world))
    def _all_reduce(x, world):
        return world.sum(x)
    return _all_reduce


def sync_batch_norm(world, x: Tensor, running_mean: np.ndarray | None = None, running_var: np.ndarray | None = None,
                    weight: Tensor | None = None, bias: Tensor | None = None, training: bool = False,
                    momentum: float = 0.1, eps: float = 1e-5) -> Tensor:
    """`functional.batch_norm` with the mean and the biased variance of all ranks' rows, each rank any number of them.

    Two sums over ranks, of C + 1 and C numbers, and as many in backward.
    """
    if world.size == 1 or not (training or running_mean is None):
        return batch_norm(x, running_mean, running_var, weight, bias, training, momentum, eps)
    axes, shape = (0, *range(2, x.ndim)), (1, -1, *(1,) * (x.ndim - 2))
    rows = np.full(1, x.size // max(x.shape[1], 1), x.dtype)
    sums = all_reduce(np.concatenate([x.sum(axis=axes), rows]), world)
    total = round(float(Tensor.plain(sums)[-1].real))
    count = total // world.copies  # of different rows
    if count < 2:
        raise ValueError(f"batch_norm in training needs more than one value per channel, got input {x.shape} on "
                         f"{world.size} ranks: use a larger batch, or model.eval()")
    mean = sums[:-1] / total
    x = x - mean.reshape(*shape)
    var = all_reduce(np.square(np.absolute(x) if x.dtype.kind == "c" else x).sum(axis=axes), world) / total
    if training and running_mean is not None:
        running_mean += momentum * (Tensor.plain(mean) - running_mean)
        running_var += momentum * (Tensor.plain(var) * (count / (count - 1)) - running_var)
    y = x / np.sqrt(var + eps).reshape(*shape)
    y = y if weight is None else y * weight.reshape(*shape)
    return y if bias is None else y + bias.reshape(*shape)


@contextlib.contextmanager
def synchronized(world, model: Module) -> Iterator[None]:
    """Inside, ``model``'s batch norms in training use statistics over all ranks' rows; the ranks' running statistics
    stay the same then. All ranks call the model, and backward, alike; what `StochasticDepth` drops is computed."""
    instead = {_BatchNorm: ("batch_norm", functools.partial(sync_batch_norm, world)),
               StochasticDepth: ("computed", True)}
    changes = [(vars(m), *change) for m in model.modules() for kind, change in instead.items()
               if isinstance(m, kind) and world.size > 1]
    before = [(here, name, name in here, here.get(name)) for here, name, _ in changes]
    for here, name, value in changes:
        here[name] = value
    try:
        yield
    finally:
        for here, name, own, value in before:
            if own:
                here[name] = value
            else:
                del here[name]
