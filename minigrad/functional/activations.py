"""Activations: each number by itself, softmax and its relatives along an axis. At kinks the slope is PyTorch's.

A branch of np.where that is not taken is computed all the same: where it would overflow it is given a 0 instead.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from .. import kernels, random
from ..derivatives.special import erf, log_expit, sigmoid
from ..dispatch import primitive
from ..tensor import Tensor
from .dense import _detach


@primitive(lambda g, y, x: g * (y > 0))
def relu(x: Tensor) -> Tensor:
    """max(x, 0); the derivative at 0 is 0. Nair & Hinton 2010."""
    return _maximum(x, 0)


_maximum = kernels.shared(np.maximum)


@primitive(lambda g, y, x, slope=0.01: np.where(x > 0, g, slope * g))
def _leaky_relu(x, slope=0.01):
    return np.where(x > 0, x, slope * x)


def leaky_relu(x: Tensor, negative_slope: float = 0.01) -> Tensor:
    """x where x > 0, else negative_slope * x; the derivative at 0 is the slope. Maas et al. 2013.

    Keras' slope is 0.3 in the layer, 0.2 in the function.
    """
    return _leaky_relu(x, slope=negative_slope)


def prelu(x: Tensor, weight: Tensor) -> Tensor:
    """x where x > 0, else weight * x: a learnt slope, one for all or one for each channel (axis 1). He et al. 2015.

    weight: (1,) or (C,) for x of (N, C, ...). Keras' PReLU has one for each element of an example, unless axes are
    shared. Raises ValueError if the channels do not fit.
    """
    if weight.ndim > 1 or (weight.size != 1 and (x.ndim < 2 or x.shape[1] != weight.size)):
        raise ValueError(f"prelu: weight {weight.shape} for input {x.shape}: expected (1,), or one for each channel "
                         "(axis 1)")
    slopes = weight if weight.size == 1 else weight.reshape(-1, *(1,) * (x.ndim - 2))
    return np.where(x > 0, x, slopes * x)


def rrelu(x: Tensor, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False,
          generator: np.random.Generator | None = None) -> Tensor:
    """x where x > 0, else a * x: in training a ~ U(lower, upper) for each element, else their mean. Xu et al. 2015."""
    if not lower <= upper:
        raise ValueError(f"rrelu: lower must be <= upper, got {lower} and {upper}")
    if not training:
        return leaky_relu(x, (lower + upper) / 2)
    slopes = (generator or random.default_generator()).uniform(lower, upper, x.shape).astype(x.dtype)
    return np.where(x > 0, x, slopes * x)


def elu(x: Tensor, alpha: float = 1.0) -> Tensor:
    """x where x > 0, else alpha (exp(x) - 1); the derivative at 0 is alpha. Clevert et al. 2016."""
    return np.where(x > 0, x, alpha * np.expm1(np.where(x > 0, 0, x)))


SELU_ALPHA, SELU_SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946  # Klambauer et al. 2017


def selu(x: Tensor) -> Tensor:
    """SELU_SCALE * elu(x, SELU_ALPHA): keeps mean 0 and variance 1 of its input. Klambauer et al. 2017."""
    return SELU_SCALE * elu(x, SELU_ALPHA)


def celu(x: Tensor, alpha: float = 1.0) -> Tensor:
    """x where x > 0, else alpha (exp(x / alpha) - 1): an ELU of slope 1 at 0 for every alpha > 0. Barron 2017."""
    if not alpha > 0:
        raise ValueError(f"celu: alpha must be positive, got {alpha}")
    return np.where(x > 0, x, alpha * np.expm1(np.where(x > 0, 0, x) / alpha))


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
    curved = z <= threshold
    return np.where(curved, np.logaddexp(np.where(curved, z, 0), 0) / beta, x)


def logsigmoid(x: Tensor) -> Tensor:
    """log(sigmoid(x)) = -log(1 + exp(-x)), without overflow."""
    return log_expit(x)


def quick_gelu(x: Tensor) -> Tensor:
    """x * sigmoid(1.702 x): a cheap GELU. Hendrycks & Gimpel 2016."""
    return x * sigmoid(1.702 * x)


def silu(x: Tensor) -> Tensor:
    """x * sigmoid(x), also called swish. Elfwing et al. 2017, Ramachandran et al. 2017."""
    return x * sigmoid(x)


swish = silu


def mish(x: Tensor) -> Tensor:
    """x * tanh(softplus(x)). Misra 2019."""
    return x * np.tanh(softplus(x))


def softsign(x: Tensor) -> Tensor:
    """x / (1 + |x|)."""
    return x / (1 + np.absolute(x))


def squareplus(x: Tensor, b: float = 4.0) -> Tensor:
    """(x + sqrt(x^2 + b)) / 2: a softplus without exponentials; b = 0 is relu. Keras' squareplus; Barron 2021."""
    if not b >= 0:
        raise ValueError(f"squareplus: b must not be negative, got {b}")
    root = np.hypot(x, math.sqrt(b))  # below 0 the sum would cancel, so both sides are multiplied by root - x
    return np.where(x < 0, b / 2 / (root - np.where(x < 0, x, -1)), (x + root) / 2)


# ---- cut off: constant beyond an edge, and there the derivative is 0 ----
def hardtanh(x: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """x between min_val and max_val, the nearer of them elsewhere; the derivative on the edges is 0."""
    if not min_val < max_val:
        raise ValueError(f"hardtanh: min_val must be less than max_val, got {min_val} and {max_val}")
    return np.where(x <= min_val, min_val, np.where(x >= max_val, max_val, x))


def relu6(x: Tensor) -> Tensor:
    """min(max(x, 0), 6); the derivative at 0 and 6 is 0. Krizhevsky 2010."""
    return hardtanh(x, 0.0, 6.0)


def hardsigmoid(x: Tensor) -> Tensor:
    """min(max(x + 3, 0), 6) / 6; the derivative at -3 and 3 is 0. (Keras' until version 2: slope 0.2.)"""
    return np.where(x <= -3, 0, np.where(x >= 3, 1, x / 6 + 0.5))


def hardswish(x: Tensor) -> Tensor:
    """x * hardsigmoid(x); the derivative at -3 is 0, at 3 it is 1. Howard et al. 2019."""
    return x * hardsigmoid(x)


def threshold(x: Tensor, threshold: float, value: float) -> Tensor:
    """x where x > threshold, else value; the derivative at the threshold is 0."""
    return np.where(x <= threshold, value, x)


def tanhshrink(x: Tensor) -> Tensor:
    """x - tanh(x)."""
    return x - np.tanh(x)


def softshrink(x: Tensor, lambd: float = 0.5) -> Tensor:
    """x moved by lambd towards 0, and 0 where |x| <= lambd; the derivative on the edges is 0."""
    if not lambd >= 0:
        raise ValueError(f"softshrink: lambd must not be negative, got {lambd}")
    return np.where(x > lambd, x - lambd, np.where(x < -lambd, x + lambd, 0 * x))


def hardshrink(x: Tensor, lambd: float = 0.5) -> Tensor:
    """x where |x| > lambd, else 0; the derivative on the edges is 0."""
    return np.where((x > lambd) | (x < -lambd), x, 0 * x)


def step(x: Tensor, surrogate: Callable | None = None) -> Tensor:
    """1 where x > 0, else 0, with a straight-through gradient: that of x itself. Bengio et al. 2013.

    surrogate: the gradient of this function instead, such as `sigmoid`, or `hardtanh` (Hubara et al. 2016). It is not
    the derivative of what is computed, which is 0, and lets nothing learn.
    """
    s = x if surrogate is None else surrogate(x)
    return (s - _detach(s)) + (x > 0).astype(x.dtype)


# ---- along an axis ----
@primitive(lambda g, y, x, axis=-1: y * (g - (g * y).sum(axis=axis, keepdims=True)))
def softmax(x: Tensor, axis: int = -1) -> Tensor:
    """exp(x) / sum(exp(x)) along ``axis``."""
    if short_rows(x, axis):
        return _softmax(np.ascontiguousarray(x.T), 0).T
    return _softmax(x, axis)


def _softmax(x, axis):
    e = np.exp(x - np.maximum.reduce(x, axis, keepdims=True))  # what x.max() calls, without its Python wrapper
    e /= np.add.reduce(e, axis, keepdims=True)
    return e


def short_rows(x, axis):
    """Whether to go down the columns of the transpose: NumPy reduces many short rows slowly, 3 to 10 times for 10."""
    return x.ndim == 2 and axis in (-1, 1) and x.shape[1] <= 32


@primitive(lambda g, y, x, axis=-1: g - np.exp(y) * g.sum(axis=axis, keepdims=True))
def log_softmax(x: Tensor, axis: int = -1) -> Tensor:
    """x - log(sum(exp(x))) along ``axis``."""
    if short_rows(x, axis):
        return _log_softmax(np.ascontiguousarray(x.T), 0).T
    return _log_softmax(x, axis)


def _log_softmax(x, axis):
    z = x - np.maximum.reduce(x, axis, keepdims=True)
    return z - np.log(np.add.reduce(np.exp(z), axis, keepdims=True))


def glu(x: Tensor, axis: int = -1) -> Tensor:
    """a * sigmoid(b) for the first half a of x along ``axis`` and its second half b. Dauphin et al. 2017."""
    _check_groups("glu", x, 2, axis)
    a, b = np.split(x, 2, axis)
    return a * sigmoid(b)


def maxout(x: Tensor, pieces: int, axis: int = -1) -> Tensor:
    """The maximum of every ``pieces`` neighbours along ``axis``: (..., k * pieces) -> (..., k). Goodfellow et al. 2013.

    Equal ones share the gradient.
    """
    at = _check_groups("maxout", x, pieces, axis)
    return x.reshape(*x.shape[:at], x.shape[at] // pieces, pieces, *x.shape[at + 1:]).max(axis=at + 1)


def _check_groups(name, x, parts, axis):
    """The axis, counted from 0, if it divides into so many parts."""
    if parts < 1 or not -x.ndim <= axis < x.ndim or x.shape[axis] % parts:
        raise ValueError(f"{name}: axis {axis} of input {x.shape} must divide by {parts}")
    return axis % x.ndim


def softmin(x: Tensor, axis: int = -1) -> Tensor:
    """softmax(-x) along ``axis``."""
    return softmax(-x, axis=axis)


def sparsemax(x: Tensor, axis: int = -1) -> Tensor:
    """The point of the probability simplex nearest to x: max(x - tau, 0), with a sum of 1 along ``axis``.

    Unlike softmax it has exact zeros. Martins & Astudillo 2016. Piecewise linear: its second derivative is 0.
    """
    x = x - _detach(x.max(axis=axis, keepdims=True))  # the same point; sums stay small
    values = _detach(x)
    best = np.flip(np.sort(values, axis=axis), axis)
    count = np.arange(1, x.shape[axis] + 1).astype(x.dtype).reshape(-1, *(1,) * (x.ndim - 1 - axis % x.ndim))
    size = (1 + count * best > np.cumsum(best, axis=axis)).sum(axis=axis, keepdims=True)  # of the support
    kept = values >= np.take_along_axis(best, size - 1, axis)
    tau = (np.where(kept, x, 0).sum(axis=axis, keepdims=True) - 1) / kept.sum(axis=axis, keepdims=True).astype(x.dtype)
    return np.where(kept, x - tau, 0)


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
