"""minigrad: with NumPy's kernels or compiled ones, as MINIGRAD_KERNELS says."""

from __future__ import annotations

from importlib.metadata import version

import numpy as np

import minigrad as mg
from minigrad import Tensor, kernels, models, nn, optim
from minigrad import functional as F

from .problem import CLASSES, HIDDEN, MANY, RATE, operands


def start(threads):
    pass


def versions():
    found = {"minigrad": mg.__version__, "numpy": np.__version__}
    return found | ({"numba": version("numba")} if kernels.chosen() == "compiled" else {})


class Rows(nn.Module):
    """An LSTM over the rows of an image."""

    def __init__(self, features):
        self.lstm = nn.LSTM(features, HIDDEN, batch_first=True)
        self.dense = nn.Dense(HIDDEN, CLASSES)

    def forward(self, x):
        return self.dense(self.lstm(x[:, 0])[1][0][0])


def build(problem):
    if problem.model == "mlp":
        return models.mlp(problem.size**2, (2 * problem.width, problem.width))
    if problem.model == "lenet":
        return models.lenet5()
    if problem.model == "lstm":
        return Rows(problem.size)
    return models.cnn(size=problem.size, batch_norm=problem.model == "norm")


def load(model, weights):
    for p, w in zip(model.parameters(), weights, strict=True):
        assert p.shape == w.shape, (p.shape, w.shape)
        p.data = w.copy()
    return model


class Training:
    def __init__(self, problem, variant=None, seed=0):
        self.model = load(build(problem), problem.weights(seed))
        self.optimizer = variant or "Adam"
        self.rule = getattr(optim, self.optimizer)(self.model.parameters(), lr=RATE)

    def place(self, images, labels):
        return Tensor(images), Tensor(labels)

    def forward(self, x, y):
        self.value = F.cross_entropy(self.model(x), y)

    def backward(self):
        self.value.backward()

    def update(self):
        self.rule.step()
        self.rule.zero_grad()

    def loss(self):
        return self.value.item()

    def accuracy(self, images, labels, batch=1000):
        self.model.eval()
        with mg.no_grad():
            right = sum((self.model(Tensor(images[i:i + batch])).data.argmax(1) == labels[i:i + batch]).sum()
                        for i in range(0, len(images), batch))
        self.model.train()
        return float(right) / len(images)


a, b = (Tensor(v, requires_grad=True) for v in operands())
CALLS = {"a * b": lambda: a * b, "a.sum()": a.sum, "exp(a)": lambda: np.exp(a), "a[2:6]": lambda: a[2:6]}


def record(call):
    def recorded():
        for _ in range(MANY):
            call()
    return recorded


def pull(call):
    g = Tensor(np.ones(call().shape, np.float32))

    def pulled():
        for _ in range(MANY):
            call().backward(g)
        a.grad = b.grad = None
    return pulled


RECORDED = {name: lambda call=call: record(call) for name, call in CALLS.items()}
PULLED = {name: lambda call=call: pull(call) for name, call in CALLS.items()}


class Chain:
    def __init__(self, n):
        self.n, self.x = n, Tensor(np.float32(1), requires_grad=True)

    def forward(self):
        y = self.x
        for _ in range(self.n):
            y = y * 1.0000001
        self.y = y

    def backward(self):
        self.y.backward()
        self.x.grad = self.y = None


class LBFGS:
    def __init__(self, problem, evaluations):
        self.problem, self.evaluations = problem, evaluations
        x, self.y = problem.batches(1)[0]
        self.x = Tensor(x)

    def run(self):
        model = load(build(self.problem), self.problem.weights())
        rule = optim.LBFGS(model.parameters(), max_iter=10**6, max_eval=self.evaluations, history_size=10,
                           line_search_fn="strong_wolfe", tolerance_grad=0, tolerance_change=0)
        losses = []

        def closure():
            rule.zero_grad()
            loss = F.cross_entropy(model(self.x), self.y)
            loss.backward()
            losses.append(loss.item())
            return loss
        rule.step(closure)
        return len(losses), min(losses[:self.evaluations])
