"""Activations as layers: the functions of `minigrad.functional`, to stand in a Sequential."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import numpy as np

from .. import functional as F
from ..tensor import Parameter
from .dropout import check_generator
from .module import Module


class Functional(Module):
    """A function of `minigrad.functional` and its settings: the arguments of ``__init__``, kept under their names."""

    function: Callable
    settings: tuple[str, ...] = ()

    def __init_subclass__(cls):
        if "function" in vars(cls):  # a subclass without may add arguments of its own
            _, *arguments = inspect.signature(cls.__init__).parameters.values()
            cls.settings = tuple(a.name for a in arguments if a.kind not in (a.VAR_POSITIONAL, a.VAR_KEYWORD))

    def forward(self, *inputs):
        return self.function(*inputs, **{name: getattr(self, name) for name in self.settings})

    def extra_repr(self):
        return ", ".join(f"{name}={getattr(self, name)!r}" for name in self.settings)


# ---- piecewise linear ----
class ReLU(Functional):
    """max(x, 0)."""

    function = staticmethod(F.relu)


class LeakyReLU(Functional):
    """x where x > 0, else negative_slope * x."""

    function = staticmethod(F.leaky_relu)

    def __init__(self, negative_slope: float = 0.01):
        self.negative_slope = negative_slope

    def extra_repr(self):
        return f"{self.negative_slope}"


class PReLU(Module):
    """x where x > 0, else weight * x: a learnt slope, one for all or one for each channel (axis 1). He et al. 2015.

    weight: (num_parameters,), at first ``init``. (Keras' starts at 0.)
    """

    def __init__(self, num_parameters: int = 1, init: float = 0.25, dtype=np.float32):
        self.num_parameters = num_parameters
        self.weight = Parameter(np.full(num_parameters, init, dtype))

    def forward(self, x):
        return F.prelu(x, self.weight)

    def extra_repr(self):
        return f"num_parameters={self.num_parameters}"


class RReLU(Module):
    """x where x > 0, else a * x: in training a ~ U(lower, upper) for each element, else their mean. Xu et al. 2015."""

    def __init__(self, lower: float = 1 / 8, upper: float = 1 / 3, generator=None):
        if not lower <= upper:
            raise ValueError(f"RReLU: lower must be <= upper, got {lower} and {upper}")
        self.lower, self.upper, self.generator = lower, upper, check_generator(generator, self)

    def forward(self, x):
        return F.rrelu(x, self.lower, self.upper, self.training, self.generator)

    def extra_repr(self):
        return f"lower={self.lower}, upper={self.upper}"


class ReLU6(Functional):
    """min(max(x, 0), 6)."""

    function = staticmethod(F.relu6)


class Hardtanh(Functional):
    """x between min_val and max_val, the nearer of them elsewhere."""

    function = staticmethod(F.hardtanh)

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0):
        self.min_val, self.max_val = min_val, max_val


class Hardsigmoid(Functional):
    """min(max(x + 3, 0), 6) / 6."""

    function = staticmethod(F.hardsigmoid)


class Hardswish(Functional):
    """x * hardsigmoid(x). Howard et al. 2019."""

    function = staticmethod(F.hardswish)


class Softshrink(Functional):
    """x moved by lambd towards 0, and 0 where |x| <= lambd."""

    function = staticmethod(F.softshrink)

    def __init__(self, lambd: float = 0.5):
        self.lambd = lambd


class Hardshrink(Functional):
    """x where |x| > lambd, else 0."""

    function = staticmethod(F.hardshrink)

    def __init__(self, lambd: float = 0.5):
        self.lambd = lambd


class Threshold(Functional):
    """x where x > threshold, else value."""

    function = staticmethod(F.threshold)

    def __init__(self, threshold: float, value: float):
        self.threshold, self.value = threshold, value


class Step(Functional):
    """1 where x > 0, else 0, with the gradient of x, or of surrogate(x): "straight through". Bengio et al. 2013."""

    function = staticmethod(F.step)

    def __init__(self, surrogate: Callable | None = None):
        self.surrogate = surrogate

    def extra_repr(self):
        return "" if self.surrogate is None else f"surrogate={getattr(self.surrogate, '__name__', self.surrogate)}"


# ---- smooth ----
class Sigmoid(Functional):
    """1 / (1 + exp(-x))."""

    function = staticmethod(F.sigmoid)


class LogSigmoid(Functional):
    """log(sigmoid(x)), without overflow."""

    function = staticmethod(F.logsigmoid)


class Tanh(Functional):
    """The hyperbolic tangent."""

    function = staticmethod(F.tanh)


class Tanhshrink(Functional):
    """x - tanh(x)."""

    function = staticmethod(F.tanhshrink)


class Softsign(Functional):
    """x / (1 + |x|)."""

    function = staticmethod(F.softsign)


class Softplus(Functional):
    """log(1 + exp(beta x)) / beta, without overflow; x itself where beta x > threshold."""

    function = staticmethod(F.softplus)

    def __init__(self, beta: float = 1.0, threshold: float = 20.0):
        self.beta, self.threshold = beta, threshold


class Squareplus(Functional):
    """(x + sqrt(x^2 + b)) / 2. Keras' squareplus; Barron 2021."""

    function = staticmethod(F.squareplus)

    def __init__(self, b: float = 4.0):
        self.b = b


class ELU(Functional):
    """x where x > 0, else alpha (exp(x) - 1). Clevert et al. 2016."""

    function = staticmethod(F.elu)

    def __init__(self, alpha: float = 1.0):
        self.alpha = alpha


class CELU(Functional):
    """x where x > 0, else alpha (exp(x / alpha) - 1). Barron 2017."""

    function = staticmethod(F.celu)

    def __init__(self, alpha: float = 1.0):
        self.alpha = alpha


class SELU(Functional):
    """An ELU, scaled to keep mean 0 and variance 1 of its input. Klambauer et al. 2017."""

    function = staticmethod(F.selu)


class GELU(Functional):
    """x * Phi(x), or its "tanh" approximation."""

    function = staticmethod(F.gelu)

    def __init__(self, approximate: str = "none"):
        self.approximate = approximate


class QuickGELU(Functional):
    """x * sigmoid(1.702 x), a cheap GELU. Hendrycks & Gimpel 2016."""

    function = staticmethod(F.quick_gelu)


class SiLU(Functional):
    """x * sigmoid(x), also called swish. Elfwing et al. 2017, Ramachandran et al. 2017."""

    function = staticmethod(F.silu)


Swish = SiLU


class Mish(Functional):
    """x * tanh(softplus(x)). Misra 2019."""

    function = staticmethod(F.mish)


# ---- along an axis ----
class Softmax(Module):
    """exp(x) / sum(exp(x)) along ``dim``."""

    function = staticmethod(F.softmax)

    def __init__(self, dim: int = -1):
        self.dim = dim

    def forward(self, x):
        return self.function(x, axis=self.dim)

    def extra_repr(self):
        return f"dim={self.dim}"


class LogSoftmax(Softmax):
    """log(softmax(x)) along ``dim``, without overflow."""

    function = staticmethod(F.log_softmax)


class Softmin(Softmax):
    """softmax(-x) along ``dim``."""

    function = staticmethod(F.softmin)


class Sparsemax(Softmax):
    """The nearest point of the probability simplex along ``dim``, with exact zeros. Martins & Astudillo 2016."""

    function = staticmethod(F.sparsemax)


class GLU(Softmax):
    """a * sigmoid(b) for the first half a along ``dim`` and the second half b. Dauphin et al. 2017."""

    function = staticmethod(F.glu)
