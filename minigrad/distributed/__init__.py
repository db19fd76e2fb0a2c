"""Beyond one process: training on all cores of all machines, through MPI. The extra ``mpi``; see docs/distributed.md.

    world = distributed.init()                      # mpiexec -n 4 python train.py
    world.synchronize(model, optimizer)             # all start where rank 0 does
    batches = world.shard(loader)                   # of each batch this rank's rows
    for x, y in batches:
        optimizer.zero_grad()
        with world.synchronized(model), world.summed(model.parameters()):
            (criterion(model(x), y) * batches.share).backward()
        optimizer.step()

Every rank runs the same program and takes the same steps. Without mpiexec, or without MPI, it is the one rank.
"""

from .batchnorm import all_reduce, sync_batch_norm
from .failure import RankLost
from .gradients import Summed
from .layers import SyncBatchNorm
from .objective import ShardedObjective, minimize
from .sharding import Sharded
from .tasks import Failed, ensemble, sweep
from .world import World, init

__all__ = ["Failed", "RankLost", "Sharded", "ShardedObjective", "Summed", "SyncBatchNorm", "World", "all_reduce",
           "ensemble", "init", "minimize", "sweep", "sync_batch_norm"]
