"""What training on several ranks costs: measured here, and on paper for 2 to 1,024.

    mpiexec -n 2 python tests/benchmarks/distributed.py            all, as the tables of docs/distributed.md
    mpiexec -n 2 python tests/benchmarks/distributed.py --quick    fewer repetitions

One BLAS thread a rank. Of each repetition the time of the slowest rank counts, and of the repetitions, in rounds that
take turns, the fastest: what else the machine does only ever adds.
"""

from __future__ import annotations

import os

if __name__ == "__main__":
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "MINIGRAD_NUM_THREADS"):
        os.environ[name] = "1"

import math
import sys
import time

import numpy as np

import minigrad
from minigrad import Tensor, distributed, models, optim
from minigrad import functional as F

NETWORKS = {"1 Gbit/s, TCP": (50e-6, 0.125e9), "10 Gbit/s, TCP": (25e-6, 1.25e9), "100 Gbit/s, RDMA": (2e-6, 12.5e9)}
RANKS = [2, 4, 8, 16, 32, 64, 128, 256, 512, 1024]
ROUNDS = 2 if "--quick" in sys.argv else 10
BATCHES = {"MLP": [128, 1024], "CNN": [128, 512]}


# ---- on paper: n bytes on N ranks; alpha seconds a message, beta and gamma seconds a byte sent and added ----
def recursive_doubling(n, ranks, alpha, beta, gamma):
    """log2 N steps with everything: few messages. Thakur, Rabenseifner & Gropp 2005."""
    return math.ceil(math.log2(ranks)) * (alpha + n * (beta + gamma))


def ring(n, ranks, alpha, beta, gamma):
    """2 (N - 1) steps with an N-th part each: few bytes. Patarasuk & Yuan 2009."""
    return 2 * (ranks - 1) * alpha + (ranks - 1) / ranks * n * (2 * beta + gamma)


def halving_and_doubling(n, ranks, alpha, beta, gamma):
    """Reduce-scatter by recursive halving, all-gather by doubling: as few bytes, 2 log2 N steps. Rabenseifner 2004."""
    return 2 * math.ceil(math.log2(ranks)) * alpha + (ranks - 1) / ranks * n * (2 * beta + gamma)


ALGORITHMS = {"doubling": recursive_doubling, "ring": ring, "halving": halving_and_doubling}


def on_the_wire(n, ranks):
    """Bytes that each rank sends in a ring: no algorithm sends fewer."""
    return 2 * (ranks - 1) / ranks * n


# ---- measured ----
def timed(world, run, repetitions, warmup=3):
    """The slowest rank's seconds, of the fastest repetition."""
    seconds = []
    for _ in range(repetitions + warmup):
        world.barrier()
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return float(np.min(np.max(world.gather(seconds[warmup:]), axis=0)))


def addition():
    """Seconds to add a byte of float32 in place."""
    a, b, seconds = np.ones(1 << 20, np.float32), np.ones(1 << 20, np.float32), []
    for _ in range(30):
        start = time.perf_counter()
        np.add(a, b, out=a)
        seconds.append(time.perf_counter() - start)
    return min(seconds) / a.nbytes


def all_reduces(world, repetitions):
    """{bytes: seconds}, and alpha and beta of T = alpha + beta n by least squares of relative errors."""
    sizes = [4 ** k for k in range(1, 13)]
    arrays = [np.ones(size // 4, np.float32) for size in sizes]
    rounds = [[timed(world, lambda array=array: world.sum(array), repetitions) for array in arrays]
              for _ in range(ROUNDS)]
    found = dict(zip(sizes, np.min(rounds, axis=0).tolist()))
    n, t = np.array(list(found)), np.array(list(found.values()))
    rows = np.stack([np.ones(len(n)), n], axis=1) / t[:, None]
    alpha, beta = np.linalg.lstsq(rows, np.ones(len(n)), rcond=None)[0]
    return found, float(alpha), float(beta)


class Step:
    """Forward, backward, the sum of the gradients, Adam; b rows of MNIST's shape."""

    def __init__(self, name, rows, world, overlap=None, bucket=4 << 20):
        minigrad.manual_seed(0)
        rng = np.random.default_rng(0)
        self.model = models.mlp() if name == "MLP" else models.cnn()
        shape = (rows, 784) if name == "MLP" else (rows, 1, 28, 28)
        self.x, self.y = rng.standard_normal(shape).astype(np.float32), rng.integers(0, 10, rows)
        self.optimizer = optim.Adam(self.model.parameters())
        self.world, self.how = world, {"overlap": bool(overlap), "bucket": bucket}

    def __call__(self):
        self.optimizer.zero_grad()
        with self.world.summed(self.model.parameters(), **self.how):
            (F.cross_entropy(self.model(Tensor(self.x)), self.y) * (1 / self.world.size)).backward()
        self.optimizer.step()


def steps(world, name, batch, repetitions):
    """Seconds by how a batch's step is taken: all rows on each rank, by itself; a part on each; those summed."""
    alone, rows = distributed.World.alone(), batch // world.size
    ways = {"1 rank": Step(name, batch, alone), "part": Step(name, rows, alone), "off": Step(name, rows, world, False)}
    for bucket in (64 << 10, 256 << 10, 1 << 20):
        ways[f"on, {bucket >> 10} kB"] = Step(name, rows, world, True, bucket)
    found = {way: [] for way in ways}
    for _ in range(ROUNDS):
        for way, step in ways.items():
            if way == "1 rank" and not world.first:
                time.sleep(0.05)
                world.barrier()
            elif way == "1 rank":
                found[way].append(timed(alone, step, repetitions))
                world.barrier()
            else:
                found[way].append(timed(world, step, repetitions))
    return world.broadcast({way: min(t, default=0.0) for way, t in found.items()})


def computed(name, repetitions):
    """{rows: seconds of a step on one rank}, for one row up."""
    alone, sizes = distributed.World.alone(), [2 ** k for k in range(8)]
    ways = [Step(name, rows, alone) for rows in sizes]
    rounds = [[timed(alone, step, repetitions) for step in ways] for _ in range(ROUNDS)]
    return dict(zip(sizes, np.min(rounds, axis=0).tolist()))


# ---- tables ----
def table(head, rows):
    print("\n| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    for row in rows:
        print("| " + " | ".join(map(str, row)) + " |")
    print(flush=True)


def ms(seconds):
    return f"{seconds * 1e3:.{2 if seconds < 0.01 else 1 if seconds < 0.1 else 0}f}"


def on_paper(bytes_, compute, gamma):
    """All-reduces by algorithm, then the speed-up over one rank with the best of them."""
    def cost(name, ranks, network):
        alpha, bandwidth = NETWORKS[network]
        return {k: f(bytes_[name], ranks, alpha, 1 / bandwidth, gamma) for k, f in ALGORITHMS.items()}
    print(f"Milliseconds of an all-reduce of the MLP's {bytes_['MLP']:,} bytes: recursive doubling / ring / halving "
          "and doubling:")
    table(["ranks", *NETWORKS], [[f"{r:,}", *(" / ".join(ms(t) for t in cost("MLP", r, net).values())
                                              for net in NETWORKS)] for r in RANKS])
    cells = [(name, net) for name in bytes_ for net in NETWORKS]
    head = ["ranks", *(f"{name}, {net.partition(',')[0]}" for name, net in cells)]

    def speed(name, net, ranks, rows):
        step = compute[name][rows] + min(cost(name, ranks, net).values())
        return f"{ranks * rows * compute[name][128] / (128 * step):.{2 if rows < 128 else 1}f}"
    print("Speed-up over one rank of a step with 128 rows in all:")
    table(head, [[f"{r:,}", *(speed(*cell, r, 128 // r) for cell in cells)] for r in RANKS if r <= 128])
    print("Rows per second over one rank's, where each rank takes 128 rows:")
    table(head, [[f"{r:,}", *(speed(*cell, r, 128) for cell in cells)] for r in RANKS])


def main():
    repetitions = 3 if "--quick" in sys.argv else 8
    world = distributed.init()
    found, alpha, beta = all_reduces(world, repetitions) if world.size > 1 else ({}, 0.0, 0.0)
    measured = {(name, b): steps(world, name, b, repetitions) for name in BATCHES for b in BATCHES[name]
                } if world.size > 1 else {}
    bytes_ = {name: 4 * sum(p.size + 1 for p in model.parameters())
              for name, model in (("MLP", models.mlp()), ("CNN", models.cnn()))}
    if not world.first:
        return
    gamma = addition()
    if found:
        print(f"All-reduce on {world.size} ranks of this machine: alpha {alpha * 1e6:.1f} us, bandwidth "
              f"{1 / beta / 1e9:.2f} GB/s; float32 is added at {1 / gamma / 1e9:.1f} GB/s")
        table(["bytes", "us", "alpha + beta n"], [(f"{size:,}", f"{t * 1e6:.1f}", f"{(alpha + beta * size) * 1e6:.1f}")
                                                  for size, t in found.items()])
        ways = list(next(iter(measured.values())))
        print(f"Milliseconds of a step on {world.size} ranks:")
        table(["model, batch", "1 rank", "computing a part", "summed after backward", *(
            f"while it runs, buckets of {w[4:]}" for w in ways[3:]), "paper", "speed-up"],
              [(f"{name}, {b}", *(ms(t[w]) for w in ways), ms(t["part"] + alpha + beta * bytes_[name]),
                f"{t['1 rank'] / t['off']:.2f}") for (name, b), t in measured.items()])
    print("Bytes in the buckets of a step, and those that each rank sends in a ring, 2 (N - 1) / N of them:")
    table(["model", "buckets", *(f"N = {r:,}" for r in (2, 8, 1024))],
          [(name, f"{n:,}", *(f"{on_the_wire(n, r):,.0f}" for r in (2, 8, 1024))) for name, n in bytes_.items()])
    compute = {name: computed(name, repetitions) for name in bytes_}
    print("Milliseconds of a step's computing on one rank, by rows:")
    table(["model", *map(str, compute["MLP"])], [(name, *map(ms, t.values())) for name, t in compute.items()])
    on_paper(bytes_, compute, gamma)


if __name__ == "__main__":
    main()
