"""Activations: each number by itself, and softmax along an axis."""

from __future__ import annotations

import math

import numpy as np

from .. import random
from ..derivatives.special import erf, log_expit
from ..dispatch import primitive
from ..tensor import Tensor


@primitive(lambda g, y, x: g * (y > 0))
def relu(x: Tensor) -> Tensor:
    """max(x, 0); the derivative at 0 is 0. Nair & Hinton 2010."""
    return np.maximum(x, 0)


@primitive(lambda g, y, x, slope=0.01: np.where(x > 0, g, slope * g))
def _leaky_relu(x, slope=0.01):
    return np.where(x > 0, x, slope * x)


def leaky_relu(x: Tensor, negative_slope: float = 0.01) -> Tensor:
    """x where x > 0, else negative_slope * x; the derivative at 0 is the slope. Maas et al. 2013."""
    return _leaky_relu(x, slope=negative_slope)


def tanh(x: Tensor) -> Tensor:
    """The hyperbolic tangent."""
    return np.tanh(x)


@primitive(lambda g, y, x:
           g * (0.5 * (1 + erf(x * math.sqrt(0.5))) + x * np.exp(-0.5 * x * x) * math.sqrt(0.5 / math.pi)))
def _gelu(x):
    return 0.5 * x * (1 + erf(x * math.sqrt(0.5)))


def gelu(x: Tensor, approximate: str = "none") -> Tensor:
    """x * Phi(x) with Phi the normal distribution function, or its "tanh" approximation. Hendrycks & Gimpel 2016."""
    if approximate == "tanh":
        return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))
    if approximate != "none":
        raise ValueError(f"gelu: approximate is 'none' or 'tanh', not {approximate!r}")
    return _gelu(x)


def softplus(x: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """log(1 + exp(beta x)) / beta, without overflow; x itself where beta x > threshold, as PyTorch."""
    z = x if beta == 1 else beta * x
    return np.where(z > threshold, x, np.logaddexp(np.where(z > threshold, 0, z), 0) / beta)


def logsigmoid(x: Tensor) -> Tensor:
    """log(sigmoid(x)) = -log(1 + exp(-x)), without overflow."""
    return log_expit(x)


@primitive(lambda g, y, x, axis=-1: y * (g - (g * y).sum(axis=axis, keepdims=True)))
def softmax(x: Tensor, axis: int = -1) -> Tensor:
    """exp(x) / sum(exp(x)) along ``axis``."""
    e = np.exp(x - np.maximum.reduce(x, axis, keepdims=True))  # what x.max() calls, without its Python wrapper
    e /= np.add.reduce(e, axis, keepdims=True)
    return e


@primitive(lambda g, y, x, axis=-1: g - np.exp(y) * g.sum(axis=axis, keepdims=True))
def log_softmax(x: Tensor, axis: int = -1) -> Tensor:
    """x - log(sum(exp(x))) along ``axis``."""
    z = x - x.max(axis=axis, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=axis, keepdims=True))


def gumbel_softmax(logits: Tensor, tau: float = 1.0, hard: bool = False, axis: int = -1,
                   generator: np.random.Generator | None = None) -> Tensor:
    """softmax((logits + Gumbel noise) / tau): near a draw from softmax(logits) when tau is small. Jang et al. 2017.

    hard: the draw itself, a one and zeros, with the gradient of the soft one ("straight through").
    """
    if not tau > 0:
        raise ValueError(f"gumbel_softmax: tau must be positive, got {tau}")
    y = softmax(random.gumbel(logits, generator=generator) / tau, axis=axis)
    if not hard:
        return y
    classes = np.arange(y.shape[axis]).reshape(-1, *(1,) * (y.ndim - 1 - axis % y.ndim))
    return (y - y.detach()) + (np.argmax(y, axis=axis, keepdims=True) == classes).astype(y.dtype)
