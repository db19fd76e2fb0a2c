"""Starting weights. Each function fills a Tensor in place, as torch.nn.init does, and returns it.

A weight is (in, out) for a dense layer and (out, in / groups, *kernel) for a convolution; `fans` knows both.
"""

from __future__ import annotations

import math

import numpy as np

from ..random import default_generator
from ..tensor import Tensor


def fans(shape) -> tuple[int, int]:
    """(fan_in, fan_out): how many inputs a unit sums over, and how many units an input feeds."""
    if len(shape) < 2:
        raise ValueError(f"fan-in and fan-out need at least two axes, got shape {tuple(shape)}: initialize biases with "
                         "zeros_ or uniform_")
    if len(shape) == 2:
        return shape[0], shape[1]
    return shape[1] * math.prod(shape[2:]), shape[0] * math.prod(shape[2:])


GAINS = {"linear": 1.0, "identity": 1.0, "conv2d": 1.0, "sigmoid": 1.0, "tanh": 5 / 3, "relu": math.sqrt(2),
         "selu": 3 / 4}


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor that keeps a signal's variance through a nonlinearity, by PyTorch's table.

    linear, identity, conv2d, sigmoid 1; tanh 5/3; relu sqrt(2); leaky_relu sqrt(2 / (1 + slope^2)); selu 3/4.
    """
    if nonlinearity == "leaky_relu":
        return math.sqrt(2 / (1 + (0.01 if param is None else param) ** 2))
    if nonlinearity not in GAINS:
        raise ValueError(f"no gain for {nonlinearity!r}; known: {', '.join([*GAINS, 'leaky_relu'])}")
    return GAINS[nonlinearity]


def _fill(tensor, values):
    tensor.data = np.array(np.broadcast_to(values, tensor.shape), tensor.dtype, order="C")
    return tensor


def zeros_(tensor: Tensor) -> Tensor:
    """All 0."""
    return constant_(tensor, 0)


def ones_(tensor: Tensor) -> Tensor:
    """All 1."""
    return constant_(tensor, 1)


def constant_(tensor: Tensor, value: float) -> Tensor:
    """All ``value``."""
    return _fill(tensor, np.asarray(value))


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator=None) -> Tensor:
    """Uniform between a and b."""
    return _fill(tensor, (generator or default_generator()).uniform(a, b, tensor.shape))


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator=None) -> Tensor:
    """Normal with this mean and standard deviation."""
    return _fill(tensor, (generator or default_generator()).normal(mean, std, tensor.shape))


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator=None) -> Tensor:
    """U(-a, a), a = gain * sqrt(6 / (fan_in + fan_out)). Glorot & Bengio 2010."""
    a = gain * math.sqrt(6 / sum(fans(tensor.shape)))
    return uniform_(tensor, -a, a, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator=None) -> Tensor:
    """N(0, std^2), std = gain * sqrt(2 / (fan_in + fan_out)). Glorot & Bengio 2010."""
    return normal_(tensor, 0, gain * math.sqrt(2 / sum(fans(tensor.shape))), generator)


def _kaiming_std(tensor, a, mode, nonlinearity):
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"mode is 'fan_in' or 'fan_out', not {mode!r}")
    return calculate_gain(nonlinearity, a) / math.sqrt(fans(tensor.shape)[mode == "fan_out"])


def kaiming_uniform_(tensor: Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu",
                     generator=None) -> Tensor:
    """U(-b, b), b = gain * sqrt(3 / fan); ``a`` is the slope of leaky_relu. He et al. 2015."""
    bound = math.sqrt(3) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(tensor: Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu",
                    generator=None) -> Tensor:
    """N(0, std^2), std = gain / sqrt(fan); ``a`` is the slope of leaky_relu. He et al. 2015."""
    return normal_(tensor, 0, _kaiming_std(tensor, a, mode, nonlinearity), generator)


def lecun_uniform_(tensor: Tensor, generator=None) -> Tensor:
    """U(-a, a), a = sqrt(3 / fan_in). LeCun et al. 1998."""
    return kaiming_uniform_(tensor, nonlinearity="linear", generator=generator)


def lecun_normal_(tensor: Tensor, generator=None) -> Tensor:
    """N(0, 1 / fan_in). LeCun et al. 1998."""
    return kaiming_normal_(tensor, nonlinearity="linear", generator=generator)


def orthogonal_(tensor: Tensor, gain: float = 1.0, generator=None) -> Tensor:
    """gain * Q with orthonormal rows or columns, of the weight as a matrix (first axis, the rest). Saxe et al. 2013."""
    if tensor.ndim < 2:
        raise ValueError(f"an orthogonal weight needs at least two axes, got shape {tensor.shape}")
    rows, cols = tensor.shape[0], tensor.size // max(tensor.shape[0], 1)
    q, r = np.linalg.qr((generator or default_generator()).standard_normal((max(rows, cols), min(rows, cols))))
    q = q * np.sign(np.diag(r))  # uniform over orthogonal matrices (Mezzadri 2007)
    return _fill(tensor, gain * (q if rows >= cols else q.T).reshape(tensor.shape))


he_uniform_, he_normal_ = kaiming_uniform_, kaiming_normal_
glorot_uniform_, glorot_normal_ = xavier_uniform_, xavier_normal_


def torch_default_(weight: Tensor, bias: Tensor | None, generator=None) -> None:
    """PyTorch's default for linear and convolution layers: weight and bias U(-a, a), a = 1 / sqrt(fan_in)."""
    a = 1 / math.sqrt(max(fans(weight.shape)[0], 1))
    uniform_(weight, -a, a, generator)
    if bias is not None:
        uniform_(bias, -a, a, generator)
