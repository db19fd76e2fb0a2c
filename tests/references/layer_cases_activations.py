"""Activations."""

from __future__ import annotations

import functools
import os

import numpy as np
from references.layers import Case
from references.record import uniform

from minigrad import functional as F
from minigrad import nn

WIDE = np.array([[-9.0, -4.0, -2.5, -1.5, -0.7], [-0.3, 0.2, 0.4, 0.8, 1.3], [2.2, 3.5, 5.5, 7.0, 25.0]])

def keras(name, **settings):
    """An activation of Keras, on PyTorch."""
    def theirs(torch):
        os.environ["KERAS_BACKEND"] = "torch"
        import keras
        return functools.partial(getattr(keras.activations, name), **settings)
    return theirs


def both(name, *settings, shape=WIDE, label="", **more):
    """The module of this name, with these settings in the same order on both sides."""
    text = ", ".join(map(str, settings))
    return Case(label or f"{name}({text})", lambda: getattr(nn, name)(*settings),
                lambda t: getattr(t.nn, name)(*settings), (shape,), **more)


def sparsemax(torch):
    """Martins & Astudillo 2016, algorithm 1."""
    def f(z, dim=-1):
        best = z.sort(dim, descending=True).values.movedim(dim, -1)
        k = torch.arange(1, best.shape[-1] + 1, dtype=z.dtype)
        size = (1 + k * best > best.cumsum(-1)).sum(-1, keepdim=True)
        tau = (best.cumsum(-1).gather(-1, size - 1) - 1) / size
        return (z.movedim(dim, -1) - tau).clamp(min=0).movedim(-1, dim)
    return f


def rrelu(torch):
    """The slopes of a seeded generator, put in by hand."""
    slopes = torch.tensor(np.random.default_rng(3).uniform(0.1, 0.4, WIDE.shape))
    return lambda x: torch.where(x > 0, x, slopes * x)


CASES = [
    both("ReLU"), both("ReLU", shape=(2, 3, 4), label="ReLU, 3-D"),
    both("LeakyReLU"), both("LeakyReLU", 0.3),
    both("PReLU"), both("PReLU", 5), both("PReLU", 3, shape=(2, 3, 2, 2), label="PReLU of images"),
    both("PReLU", shape=(2, 3, 4), label="PReLU, one slope of 3-D"),
    both("RReLU", training=False, label="RReLU in evaluation"),
    both("RReLU", 0.2, 0.6, training=False, label="RReLU(0.2, 0.6) in evaluation"),
    Case("RReLU in training", lambda: nn.RReLU(0.1, 0.4, generator=np.random.default_rng(3)), rrelu, (WIDE,)),
    both("ReLU6"), both("Hardtanh"), both("Hardtanh", -2.0, 0.5),
    both("Hardsigmoid", order=1, tolerance=1e-7, why="PyTorch's slope is a 1 / 6 of float32, and has no derivative"),
    Case("Hardsigmoid by ReLU6", lambda: nn.Hardsigmoid(),
         lambda t: lambda x: t.nn.functional.relu6(x + 3) / 6, (WIDE,)),
    both("Hardswish"),
    both("Softshrink"), both("Softshrink", 1.0), both("Hardshrink"), both("Hardshrink", 1.0),
    both("Threshold", 0.1, 20.0), both("Threshold", -2.0, -3.0),
    both("Sigmoid"), both("LogSigmoid"), both("Tanh"), both("Tanhshrink"), both("Softsign"),
    both("Softplus"), both("Softplus", 3.0), both("Softplus", 0.5, 1.0),
    both("ELU"), both("ELU", 2.0), both("CELU"), both("CELU", 2.0), both("CELU", 0.5), both("SELU"),
    both("GELU"), both("GELU", shape=(2, 3, 4), label="GELU, 3-D"),
    Case("GELU(tanh)", lambda: nn.GELU("tanh"), lambda t: t.nn.GELU(approximate="tanh"), (WIDE,)),
    Case("QuickGELU", lambda: nn.QuickGELU(), lambda t: lambda x: x * t.sigmoid(1.702 * x), (WIDE,)),
    both("SiLU"), both("Mish"),
    Case("Squareplus", lambda: nn.Squareplus(), keras("squareplus"), (WIDE,)),
    Case("Squareplus(0.5)", lambda: nn.Squareplus(0.5), keras("squareplus", b=0.5), (WIDE,)),
    Case("Step", lambda: nn.Step(), lambda t: lambda x: x + (t.heaviside(x, 0 * x) - x).detach(), (WIDE,)),
    Case("Step of sigmoid", lambda: nn.Step(F.sigmoid),
         lambda t: lambda x: t.sigmoid(x) + (t.heaviside(x, 0 * x) - t.sigmoid(x)).detach(), (WIDE,)),
    both("Softmax", -1), both("Softmax", 0), both("Softmax", 1, shape=(2, 3, 2, 2), label="Softmax of channels"),
    both("LogSoftmax", -1), both("LogSoftmax", 0), both("Softmin", -1),
    both("Softmin", 1, shape=(2, 3, 2), label="Softmin of channels"),
    both("GLU", shape=(3, 4)), both("GLU", 1, shape=(2, 4, 3), label="GLU of channels"),
    Case("Sparsemax", lambda: nn.Sparsemax(), sparsemax, (3 * uniform("sparsemax", 4, 6),)),
    Case("Sparsemax of channels", lambda: nn.Sparsemax(1),
         lambda t: functools.partial(sparsemax(t), dim=1), ((2, 4, 3),)),
    Case("Sparsemax, dense", lambda: nn.Sparsemax(), sparsemax, (0.1 * uniform("sparsemax dense", 3, 5),)),
    Case("maxout", lambda: lambda x: F.maxout(x, 2), lambda t: lambda x: x.reshape(3, 2, 2).amax(-1), ((3, 4),)),
    Case("maxout of channels", lambda: lambda x: F.maxout(x, 3, 1),
         lambda t: lambda x: x.reshape(2, 2, 3, 2).amax(2), ((2, 6, 2),)),
]
