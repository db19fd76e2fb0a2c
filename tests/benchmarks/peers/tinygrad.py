"""tinygrad on the CPU, its TinyJit around the whole step. It wants a C compiler called clang (or CC names one)."""

from __future__ import annotations

from importlib.metadata import version

from tinygrad import Tensor, TinyJit
from tinygrad.helpers import TRAINING
from tinygrad.nn import BatchNorm, Conv2d, Linear, LSTMCell, optim

from .problem import CLASSES, HIDDEN, RATE

missing = {"RECORDED": "compiles whole programs", "Chain": "compiles whole programs", "LBFGS": "it has none"}


def start(threads):
    TRAINING.value = 1


def versions():
    return {"tinygrad": version("tinygrad")}


def mean_pool(x):
    return x.avg_pool2d((2, 2))


class Rows:
    """An LSTM over the rows of an image."""

    def __init__(self, features):
        self.cell, self.dense = LSTMCell(features, HIDDEN), Linear(HIDDEN, CLASSES)

    def __call__(self, x):
        state = None
        for t in range(x.shape[2]):
            state = self.cell(x[:, 0, t], state)
        return self.dense(state[0])


def build(problem):
    """The layers, and the functions between them."""
    width, size = problem.width, problem.size
    relu, flat = Tensor.relu, (lambda x: x.flatten(1))
    if problem.model == "mlp":
        return [flat, Linear(size**2, 2 * width), relu, Linear(2 * width, width), relu, Linear(width, CLASSES)]
    if problem.model == "lstm":
        return [Rows(size)]
    if problem.model == "lenet":
        return [Conv2d(1, 6, 5, padding=2), Tensor.tanh, mean_pool, Conv2d(6, 16, 5), Tensor.tanh, mean_pool,
                Conv2d(16, 120, 5), Tensor.tanh, flat, Linear(120, 84), Tensor.tanh, Linear(84, CLASSES)]
    layers = []
    for before, maps in ((1, 16), (16, 32)):
        layers += [Conv2d(before, maps, 5), *[BatchNorm(maps)] * (problem.model == "norm"), relu, Tensor.max_pool2d]
    return [*layers, flat, Linear(32 * problem.maps**2, 128), relu, Linear(128, CLASSES)]


def parameters(layers):
    """In the order of problem.weights, and whether (out, in) is their shape."""
    for layer in layers:
        if isinstance(layer, Rows):
            cell = layer.cell
            yield from ((cell, name, False) for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
            layer = layer.dense
        if hasattr(layer, "weight"):
            yield from ((layer, "weight", isinstance(layer, Linear)), (layer, "bias", False))


def load(layers, weights):
    loaded = []
    for (layer, name, transposed), w in zip(parameters(layers), weights, strict=True):
        w = Tensor((w.T if transposed else w).copy()).contiguous().realize()
        assert w.shape == getattr(layer, name).shape
        setattr(layer, name, w)
        loaded.append(w)
    return loaded


class Training:
    optimizer = "Adam"

    def __init__(self, problem, variant=None, seed=0):
        layers = build(problem)
        rule = optim.Adam(load(layers, problem.weights(seed)), lr=RATE)

        @TinyJit
        def step(x, y):
            rule.zero_grad()
            loss = x.sequential(layers).sparse_categorical_crossentropy(y).backward()
            return loss.realize(*rule.schedule_step())
        self.compiled = step

    def place(self, images, labels):
        return Tensor(images.copy()).realize(), Tensor(labels.copy()).realize()

    def step(self, x, y):
        self.value = self.compiled(x, y)
        self.value.item()  # waits

    def loss(self):
        return float(self.value.item())
