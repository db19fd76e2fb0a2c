"""What the engine costs on top of NumPy: the same training steps by minigrad and by hand, taking turns in one process.

    python tests/benchmarks/engine.py            all
    python tests/benchmarks/engine.py mlp cnn    some of: op, mlp, cnn

A row gives both medians and the median of the ratios, turn by turn, with the middle half of them: the ratio holds when
the machine's speed drifts, the milliseconds do not.
"""

from __future__ import annotations

import sys
import time

import numpy as np
from handwritten import CNN, MLP

import minigrad as mg
from minigrad import Tensor, nn, optim
from minigrad import functional as F


def mlp():
    """784-256-128-10."""
    return nn.Sequential(nn.Dense(784, 256), nn.ReLU(), nn.Dense(256, 128), nn.ReLU(), nn.Dense(128, 10))


def cnn():
    """conv5x5(16)-relu-pool-conv5x5(32)-relu-pool-128-10."""
    return nn.Sequential(nn.Conv2d(1, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 5), nn.ReLU(),
                         nn.MaxPool2d(2), nn.Flatten(), nn.Dense(512, 128), nn.ReLU(), nn.Dense(128, 10))


def take_turns(first, second, turns, warmup=3):
    """Seconds of each turn of both: two arrays."""
    seconds = np.empty((turns + warmup, 2))
    for row in seconds:
        for i, run in enumerate((first, second)):
            start = time.perf_counter()
            run()
            row[i] = time.perf_counter() - start
    return seconds[warmup:].T


def report(name, a, b, unit=1e3, label="ms"):
    low, middle, high = np.percentile(a / b, [25, 50, 75])
    print(f"{name:<28}{np.median(a) * unit:>10.3f}{np.median(b) * unit:>14.3f} {label:<3}"
          f"{middle:>8.3f}   ({low:.3f} to {high:.3f})", flush=True)


def compare_steps(name, model, by_hand, shape, turns, rounds=8):
    """Forward, backward and Adam on one batch; the losses of both must agree.

    Several rounds, each with new arrays: where the allocator happens to put them is worth up to ten percent to either.
    """
    rng, seconds, ballast = np.random.default_rng(0), [], []
    for seed in range(rounds):
        mg.manual_seed(seed)
        ballast.append(np.empty(rng.integers(100_000)))
        images = rng.standard_normal(shape).astype(np.float32)
        labels = rng.integers(0, 10, shape[0])
        losses = []
        seconds.append(take_turns(*steps(model(), by_hand, images, labels, losses), turns // rounds))
        np.testing.assert_allclose(losses[0:20:2], losses[1:20:2], rtol=1e-3)
    report(name, *np.concatenate(seconds, axis=1))


def steps(model, by_hand, images, labels, losses):
    """One training step of minigrad and one by hand, from the same weights, as functions that append their loss."""
    x, y = Tensor(images), Tensor(labels)
    optimizer = optim.Adam(model.parameters())
    hand = by_hand([p.data for p in model.parameters()])

    def ours():
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())

    def theirs():
        losses.append(float(hand.step(images, labels)))
    return ours, theirs


def compare_ops():
    """A small op, recorded, against NumPy's own call: the difference is what recording costs."""
    a, b = np.ones(8, np.float32), np.ones(8, np.float32)
    t, u = Tensor(a, requires_grad=True), Tensor(b, requires_grad=True)
    many = range(1000)
    for name, ours, theirs in (
            ("a * b", lambda: [t * u for _ in many], lambda: [a * b for _ in many]),
            ("np.exp(a)", lambda: [np.exp(t) for _ in many], lambda: [np.exp(a) for _ in many]),
            ("a.sum()", lambda: [t.sum() for _ in many], lambda: [a.sum() for _ in many])):
        x, y = take_turns(ours, theirs, 200)
        extra = np.percentile((x - y) * 1e3, [25, 50, 75])
        print(f"{name:<28}{np.median(x) * 1e3:>10.3f}{np.median(y) * 1e3:>14.3f} us {extra[1]:>+8.3f} us "
              f"({extra[0]:+.3f} to {extra[2]:+.3f})")


def main():
    wanted = sys.argv[1:] or ["op", "mlp", "cnn"]
    print(f"{'':<28}{'minigrad':>10}{'NumPy by hand':>14}{'':>4}{'ratio':>8}   (middle half)")
    if "mlp" in wanted:
        compare_steps("MLP step, batch 32", mlp, MLP, (32, 784), 1000)
        compare_steps("MLP step, batch 128", mlp, MLP, (128, 784), 600)
    if "cnn" in wanted:
        compare_steps("CNN step, batch 128", cnn, CNN, (128, 1, 28, 28), 60)
    if "op" in wanted:
        compare_ops()


if __name__ == "__main__":
    main()
