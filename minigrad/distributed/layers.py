"""SyncBatchNorm, by PyTorch's name."""

from __future__ import annotations

import numpy as np

from ..nn import BatchNorm1d, BatchNorm2d, BatchNorm3d, Module
from ..nn.normalization import _BatchNorm
from .batchnorm import sync_batch_norm
from .world import World, init


class SyncBatchNorm(_BatchNorm):
    """`nn.BatchNorm1d`, 2d or 3d, in training with the statistics of all ranks' rows. (N, C) or (N, C, ...).

    world: by default `init`'s. `World.synchronized` does the same for a model as it is.
    """

    ndims = (2, 3, 4, 5)
    world: World | None = None

    def __init__(self, num_features: int | None, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = True,
                 track_running_stats: bool = True, dtype=np.float32, *, bias: bool = True, world: World | None = None):
        super().__init__(num_features, eps, momentum, affine, track_running_stats, dtype, bias=bias)
        self.world = world

    def batch_norm(self, *args):
        return sync_batch_norm(self.world or init(), *args)

    @classmethod
    def convert_sync_batchnorm(cls, module: Module, world: World | None = None) -> Module:
        """``module`` with a SyncBatchNorm of the same parameters and statistics in the place of each of its batch
        norms, itself included; otherwise in place. Optimizers that know the parameters still do."""
        made: dict[int, Module] = {}

        def converted(value):
            if id(value) in made:
                return made[id(value)]
            if isinstance(value, (BatchNorm1d, BatchNorm2d, BatchNorm3d)):
                new = made[id(value)] = cls.__new__(cls)
                vars(new).update(vars(value), world=world)
                return new
            if isinstance(value, Module):
                made[id(value)] = value
                for name, held in list(vars(value).items()):
                    vars(value)[name] = converted(held)
            elif isinstance(value, list):
                value[:] = map(converted, value)
            elif isinstance(value, dict):
                value.update((key, converted(held)) for key, held in list(value.items()))
            elif type(value) is tuple:
                return tuple(map(converted, value))
            return value
        return converted(module)
