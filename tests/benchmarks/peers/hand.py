"""NumPy by hand: tests/benchmarks/handwritten.py. It has the MLP and the CNN."""

from __future__ import annotations

import numpy as np
from handwritten import CNN, MLP

missing = {f"Training, {m}": "not written" for m in ("norm", "lenet", "lstm")}


def start(threads):
    pass


def versions():
    return {"numpy": np.__version__}


class Training:
    optimizer = "Adam"

    def __init__(self, problem, variant=None, seed=0):
        self.model = {"mlp": MLP, "cnn": CNN}[problem.model](problem.weights(seed))
        self.flat = problem.model == "mlp"

    def place(self, images, labels):
        return images.reshape(len(images), -1) if self.flat else images, labels

    def step(self, x, y):
        self.value = self.model.step(x, y)

    def loss(self):
        return float(self.value)
