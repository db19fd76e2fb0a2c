"""MyGrad. It has no optimizers: the step is plain gradient descent, as in its tutorials."""

from __future__ import annotations

from importlib.metadata import version

import mygrad
import numpy as np
from mygrad.nnet.activations import relu, sigmoid, tanh
from mygrad.nnet.layers import batchnorm, conv_nd, max_pool
from mygrad.nnet.losses import softmax_crossentropy

from .problem import HIDDEN, MANY, RATE, operands

missing = {"Adam": "it has no optimizers: plain SGD", "Training, lenet": "no mean pooling",
           "LBFGS": "it has no optimizers"}


def start(threads):
    mygrad.turn_memory_guarding_off()  # as its documentation advises for speed


def versions():
    return {"mygrad": version("mygrad")}


def mlp(weights, x):
    x = x.reshape(len(x), -1)
    *hidden, last = zip(weights[::2], weights[1::2])
    for w, b in hidden:
        x = relu(mygrad.matmul(x, w) + b)
    return mygrad.matmul(x, last[0]) + last[1]


def cnn(weights, x):
    for w, b in zip(weights[0:4:2], weights[1:4:2]):
        x = max_pool(relu(conv_nd(x, w, stride=1) + b.reshape(1, -1, 1, 1)), (2, 2), 2)
    return mlp(weights[4:], x)


def norm(weights, x):
    for w, b, scale, shift in (weights[:4], weights[4:8]):
        y = conv_nd(x, w, stride=1) + b.reshape(1, -1, 1, 1)
        x = max_pool(relu(batchnorm(y, gamma=scale, beta=shift, eps=1e-5)), (2, 2), 2)
    return mlp(weights[8:], x)


def lstm(weights, x):
    w_ih, w_hh, b_ih, b_hh, w, b = weights
    h = c = np.zeros((len(x), HIDDEN), np.float32)
    for t in range(x.shape[2]):
        gates = mygrad.matmul(x[:, 0, t], w_ih.T) + b_ih + mygrad.matmul(h, w_hh.T) + b_hh
        i, f, g, o = (gates[:, k * HIDDEN:(k + 1) * HIDDEN] for k in range(4))
        c = sigmoid(f) * c + sigmoid(i) * tanh(g)
        h = sigmoid(o) * tanh(c)
    return mygrad.matmul(h, w) + b


MODELS = {"mlp": mlp, "cnn": cnn, "norm": norm, "lstm": lstm}


class Training:
    optimizer = "SGD"

    def __init__(self, problem, variant=None, seed=0):
        self.model = MODELS[problem.model]
        self.weights = [mygrad.tensor(w.copy()) for w in problem.weights(seed)]

    def place(self, images, labels):
        return images, labels

    def forward(self, x, y):
        self.value = softmax_crossentropy(self.model(self.weights, x), y)

    def backward(self):
        self.value.backward()

    def update(self):
        for w in self.weights:
            w.data -= RATE * w.grad

    def loss(self):
        return self.value.item()


a, b = (mygrad.tensor(v) for v in operands())
CALLS = {"a * b": lambda: a * b, "a.sum()": a.sum, "exp(a)": lambda: mygrad.exp(a), "a[2:6]": lambda: a[2:6]}


def record(call):
    def recorded():
        for _ in range(MANY):
            call()
    return recorded


def pull(call):
    g = np.ones(call().shape, np.float32)

    def pulled():
        for _ in range(MANY):
            call().backward(g)
    return pulled


RECORDED = {name: lambda call=call: record(call) for name, call in CALLS.items()}
PULLED = {name: lambda call=call: pull(call) for name, call in CALLS.items()}


class Chain:
    def __init__(self, n):
        self.n, self.x = n, mygrad.tensor(np.float32(1))

    def forward(self):
        y = self.x
        for _ in range(self.n):
            y = y * 1.0000001
        self.y = y

    def backward(self):
        self.y.backward()
        self.y = None
