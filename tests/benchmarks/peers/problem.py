"""What all frameworks compute: the models' weights, the data, and the matrix products that no framework can avoid."""

from __future__ import annotations

import itertools
import math
from dataclasses import asdict, dataclass

import numpy as np

RATE = 1e-3
CLASSES = 10
MANY = 1000  # ops of a measurement of one op
OPS = ("a * b", "a.sum()", "exp(a)", "a[2:6]")
HIDDEN = 128  # of the LSTM


@dataclass(frozen=True)
class Problem:
    """A model, its batch, and what may grow.

    mlp: size^2 - 2 width - width - 10 with ReLU. cnn: conv5x5(16) - relu - pool - conv5x5(32) - relu - pool - 128 - 10;
    norm: the same with batch normalization after each convolution. lenet: LeNet-5 with tanh and averages, images of 28
    padded to 32. lstm: over the rows of an image, 128 units, the last state to Dense(10).
    """

    model: str
    batch: int = 128
    size: int = 28
    width: int = 128

    def __str__(self):
        grown = [f"{k} {v}" for k, v in asdict(self).items() if v != getattr(Problem, k, None)]
        return ", ".join([self.model, *(g for g in grown if not g.startswith("model"))])

    @property
    def maps(self) -> int:
        """The side of the maps that the dense layers of the CNN see."""
        return ((self.size - 4) // 2 - 4) // 2

    def shapes(self) -> list[tuple[int, ...]]:
        """Of the weights: Dense (in, out), convolutions (out, in, 5, 5), LSTM (4 H, in) in the order i, f, g, o."""
        if self.model == "mlp":
            return dense(self.size**2, 2 * self.width, self.width, CLASSES)
        if self.model == "lstm":
            gates = 4 * HIDDEN
            return [(gates, self.size), (gates, HIDDEN), (gates,), (gates,), *dense(HIDDEN, CLASSES)]
        if self.model == "lenet":
            return [(6, 1, 5, 5), (6,), (16, 6, 5, 5), (16,), (120, 16, 5, 5), (120,), *dense(120, 84, CLASSES)]
        norm = self.model == "norm"
        return [(16, 1, 5, 5), (16,), *[(16,), (16,)] * norm, (32, 16, 5, 5), (32,), *[(32,), (32,)] * norm,
                *dense(32 * self.maps**2, 128, CLASSES)]

    def weights(self, seed: int = 0) -> list[np.ndarray]:
        """float32: He et al. 2015, biases 0, scales of batch normalization 1, the LSTM uniform in +-1 / sqrt(H)."""
        rng, drawn = np.random.default_rng(seed), []
        for i, shape in enumerate(self.shapes()):
            if self.model == "lstm" and i < 4:
                w = rng.uniform(-1, 1, shape) / math.sqrt(HIDDEN)
            elif len(shape) == 1:
                scales = self.model == "norm" and i in (2, 6)
                w = np.full(shape, float(scales))
            else:
                features = shape[0] if len(shape) == 2 else math.prod(shape[1:])
                w = rng.standard_normal(shape) * math.sqrt(2 / features)
            drawn.append(w.astype(np.float32))
        return drawn

    def batches(self, count: int = 8) -> list[tuple[np.ndarray, np.ndarray]]:
        """Images (N, 1, size, size) like MNIST's, standardized, one pixel in five is ink; labels drawn by chance.

        Chance cannot be learnt soon: the gradients stay of a size that no processor handles slowly.
        """
        rng = np.random.default_rng(1)
        shape = (self.batch, 1, self.size, self.size)
        drawn = []
        for _ in range(count):
            ink = rng.random(shape, np.float32) * (rng.random(shape) < 0.2)
            drawn.append((((ink - 0.1) / 0.24).astype(np.float32), rng.integers(0, CLASSES, self.batch)))
        return drawn

    def products(self) -> dict[str, list[tuple[int, int, int]]]:
        """forward and backward -> the matrix products of a step, (m, k) @ (k, n), convolutions as columns."""
        n, forward, backward = self.batch, [], []

        def layer(rows, inputs, outputs, first=False, times=1):
            forward.extend([(rows, inputs, outputs)] * times)
            backward.append((inputs, rows * times, outputs))
            backward.extend([] if first else [(rows, outputs, inputs)] * times)
        if self.model == "mlp":
            layer(n, self.size**2, 2 * self.width, first=True)
            layer(n, 2 * self.width, self.width)
            layer(n, self.width, CLASSES)
        elif self.model == "lstm":
            layer(n * self.size, self.size, 4 * HIDDEN, first=True)
            layer(n, HIDDEN, 4 * HIDDEN, times=self.size)
            layer(n, HIDDEN, CLASSES)
        elif self.model == "lenet":
            layer(n * 28**2, 25, 6, first=True)
            layer(n * 10**2, 150, 16)
            layer(n, 400, 120)
            layer(n, 120, 84)
            layer(n, 84, CLASSES)
        else:
            side = self.size - 4
            layer(n * side**2, 25, 16, first=True)
            layer(n * (side // 2 - 4)**2, 400, 32)
            layer(n, 32 * self.maps**2, 128)
            layer(n, 128, CLASSES)
        return {"forward": forward, "backward": backward}


def dense(*sizes: int) -> list[tuple[int, ...]]:
    return [shape for before, after in itertools.pairwise(sizes) for shape in ((before, after), (after,))]


def operands(generator: np.random.Generator | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Two vectors of eight."""
    rng = generator or np.random.default_rng(2)
    return rng.random(8, np.float32), rng.random(8, np.float32)
