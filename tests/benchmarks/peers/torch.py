"""PyTorch, eager: Adam as it is by default, or fused."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from .problem import CLASSES, HIDDEN, MANY, RATE, operands


def start(threads):
    torch.set_num_threads(threads)


def versions():
    return {"torch": torch.__version__}


class Rows(nn.Module):
    """An LSTM over the rows of an image."""

    def __init__(self, features):
        super().__init__()
        self.lstm = nn.LSTM(features, HIDDEN, batch_first=True)
        self.dense = nn.Linear(HIDDEN, CLASSES)

    def forward(self, x):
        return self.dense(self.lstm(x[:, 0])[1][0][0])


def build(problem):
    width, size = problem.width, problem.size
    if problem.model == "mlp":
        return nn.Sequential(nn.Flatten(), nn.Linear(size**2, 2 * width), nn.ReLU(), nn.Linear(2 * width, width),
                             nn.ReLU(), nn.Linear(width, CLASSES))
    if problem.model == "lstm":
        return Rows(size)
    if problem.model == "lenet":
        return nn.Sequential(nn.Conv2d(1, 6, 5, padding=2), nn.Tanh(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5), nn.Tanh(),
                             nn.AvgPool2d(2), nn.Conv2d(16, 120, 5), nn.Tanh(), nn.Flatten(), nn.Linear(120, 84),
                             nn.Tanh(), nn.Linear(84, CLASSES))
    norm = problem.model == "norm"
    layers = []
    for before, maps in ((1, 16), (16, 32)):
        layers += [nn.Conv2d(before, maps, 5), *[nn.BatchNorm2d(maps)] * norm, nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(32 * problem.maps**2, 128), nn.ReLU(),
                         nn.Linear(128, CLASSES))


def load(model, weights):
    transposed = {id(m.weight) for m in model.modules() if isinstance(m, nn.Linear)}
    with torch.no_grad():
        for p, w in zip(model.parameters(), weights, strict=True):
            p.copy_(torch.from_numpy(w.T if id(p) in transposed else w))
    return model


class Training:
    optimizer = "Adam"

    def __init__(self, problem, variant=None, seed=0):
        self.model = load(build(problem), problem.weights(seed))
        self.rule = torch.optim.Adam(self.model.parameters(), lr=RATE, **({"fused": True} if variant else {}))

    def place(self, images, labels):
        return torch.from_numpy(images), torch.from_numpy(labels)

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
        with torch.no_grad():
            right = sum((self.model(torch.from_numpy(images[i:i + batch])).argmax(1).numpy() ==
                         labels[i:i + batch]).sum() for i in range(0, len(images), batch))
        self.model.train()
        return float(right) / len(images)


a, b = (torch.from_numpy(v).requires_grad_() for v in operands())
CALLS = {"a * b": lambda: a * b, "a.sum()": a.sum, "exp(a)": lambda: torch.exp(a), "a[2:6]": lambda: a[2:6]}


def record(call):
    def recorded():
        for _ in range(MANY):
            call()
    return recorded


def pull(call):
    g = torch.ones(call().shape)

    def pulled():
        for _ in range(MANY):
            call().backward(g)
        a.grad = b.grad = None
    return pulled


RECORDED = {name: lambda call=call: record(call) for name, call in CALLS.items()}
PULLED = {name: lambda call=call: pull(call) for name, call in CALLS.items()}


class Chain:
    def __init__(self, n):
        self.n, self.x = n, torch.tensor(1.0, requires_grad=True)

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
        self.x, self.y = (torch.from_numpy(a) for a in problem.batches(1)[0])

    def run(self):
        model = load(build(self.problem), self.problem.weights())
        rule = torch.optim.LBFGS(model.parameters(), max_iter=10**6, max_eval=self.evaluations, history_size=10,
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
