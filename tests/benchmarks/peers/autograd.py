"""autograd (HIPS). Its Adam is a whole training loop, so its formula is run in NumPy, on whole arrays."""

from __future__ import annotations

from importlib.metadata import version

import autograd.numpy as np
import numpy
from autograd import make_vjp
from autograd.scipy.signal import convolve
from autograd.scipy.special import logsumexp
from handwritten import Trainer

from .problem import HIDDEN, MANY, operands

missing = {"LBFGS": "it has none"}


def start(threads):
    pass


def versions():
    return {"autograd": version("autograd")}


def relu(x):
    return np.maximum(x, 0)


def convolution(x, w, b):
    """Its convolution flips the kernel, as mathematicians do."""
    y = convolve(x, w[:, :, ::-1, ::-1], axes=([2, 3], [2, 3]), dot_axes=([1], [1]), mode="valid")
    return y + b[:, None, None]


def pool(x, reduce):
    n, c, h, w = x.shape
    return reduce(reduce(x.reshape(n, c, h // 2, 2, w // 2, 2), 3), 4)


def normalized(x, scale, shift):
    mean, variance = np.mean(x, (0, 2, 3), keepdims=True), np.var(x, (0, 2, 3), keepdims=True)
    return (x - mean) / np.sqrt(variance + 1e-5) * scale[:, None, None] + shift[:, None, None]


def mlp(weights, x, squash=relu):
    x = x.reshape(len(x), -1)
    *hidden, last = zip(weights[::2], weights[1::2])
    for w, b in hidden:
        x = squash(np.dot(x, w) + b)
    return np.dot(x, last[0]) + last[1]


def cnn(weights, x):
    for w, b in zip(weights[0:4:2], weights[1:4:2]):
        x = pool(relu(convolution(x, w, b)), np.max)
    return mlp(weights[4:], x)


def norm(weights, x):
    for w, b, scale, shift in (weights[:4], weights[4:8]):
        x = pool(relu(normalized(convolution(x, w, b), scale, shift)), np.max)
    return mlp(weights[8:], x)


def lenet(weights, x):
    w1, b1, w2, b2, w3, b3, *dense = weights
    x = pool(np.tanh(convolution(np.pad(x, ((0, 0), (0, 0), (2, 2), (2, 2))), w1, b1)), np.mean)
    x = pool(np.tanh(convolution(x, w2, b2)), np.mean)
    return mlp(dense, np.tanh(convolution(x, w3, b3)), np.tanh)


def sigmoid(x):
    return 0.5 * (np.tanh(0.5 * x) + 1)


def lstm(weights, x):
    w_ih, w_hh, b_ih, b_hh, w, b = weights
    h = c = numpy.zeros((len(x), HIDDEN), numpy.float32)
    for t in range(x.shape[2]):
        gates = np.dot(x[:, 0, t], w_ih.T) + b_ih + np.dot(h, w_hh.T) + b_hh
        i, f, g, o = (gates[:, k * HIDDEN:(k + 1) * HIDDEN] for k in range(4))
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
    return np.dot(h, w) + b


MODELS = {"mlp": mlp, "cnn": cnn, "norm": norm, "lenet": lenet, "lstm": lstm}


class Training:
    optimizer = "Adam"

    def __init__(self, problem, variant=None, seed=0):
        self.model = MODELS[problem.model]
        self.rule = Trainer([w.copy() for w in problem.weights(seed)], block=1 << 60)

    def place(self, images, labels):
        return images, labels

    def forward(self, x, y):
        def loss(weights):
            z = self.model(weights, x)
            return np.mean(logsumexp(z, axis=1) - z[rows, y])
        rows = numpy.arange(len(y))
        self.pull, self.value = make_vjp(loss)(self.rule.weights)

    def backward(self):
        self.grads = self.pull(numpy.float32(1))

    def update(self):
        self.rule.update([numpy.ascontiguousarray(g) for g in self.grads])

    def loss(self):
        return float(self.value)


a, b = operands()
CALLS = {"a * b": lambda a: a * b, "a.sum()": np.sum, "exp(a)": np.exp, "a[2:6]": lambda a: a[2:6]}


def record(call):
    def many(a):
        for _ in range(MANY):
            y = call(a)
        return y

    def recorded():
        make_vjp(many)(a)
    return recorded


def pull(call):
    g = numpy.ones(numpy.shape(call(a)), numpy.float32)

    def pulled():
        for _ in range(MANY):
            make_vjp(call)(a)[0](g)
    return pulled


RECORDED = {name: lambda call=call: record(call) for name, call in CALLS.items()}
PULLED = {name: lambda call=call: pull(call) for name, call in CALLS.items()}


class Chain:
    def __init__(self, n):
        self.n = n

    def forward(self):
        def chain(y):
            for _ in range(self.n):
                y = y * 1.0000001
            return y
        self.pull, _ = make_vjp(chain)(1.0)

    def backward(self):
        self.pull(1.0)
        self.pull = None
