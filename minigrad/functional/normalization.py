"""Normalization: zero mean and unit variance, then a learnt scale and shift."""

from __future__ import annotations

import math
import threading
from functools import partial

import numpy as np

from .. import primitives
from ..dispatch import primitive
from ..kernels import by_hand, normalize
from ..tensor import Tensor


def _standard(x, axes, eps):
    """x with mean 0 and variance 1, and the deviation by which it was divided."""
    x = x - x.mean(axis=axes, keepdims=True)
    deviation = np.sqrt(np.square(np.absolute(x) if x.dtype.kind == "c" else x).mean(axis=axes, keepdims=True) + eps)
    return x / deviation, deviation


@by_hand(normalize.input_grad)
def _standardize_input_grad(g, y, x, w, b, axes, eps):
    (h, deviation), g = _standard(x, axes, eps), g * w
    mean = partial(np.mean, axis=axes, keepdims=True)
    return (g - mean(g) - h * mean(g * h)) / deviation


@primitive(_standardize_input_grad,
           by_hand(normalize.weight_grad)(lambda g, y, x, w, b, axes, eps: g * _standard(x, axes, eps)[0]),
           by_hand(normalize.bias_grad)(lambda g, y, x, w, b, axes, eps: g), broadcasts=True)
def _standardize(x, w, b, axes, eps):
    """(x - mean) / sqrt(var + eps) * w + b."""
    y = normalize.normalize(x, w, b, axes, eps)
    return _standard(x, axes, eps)[0] * w + b if y is None else y


def _standardized(x, axes, eps, weight, bias, shape):
    if x.dtype.kind == "c":  # its rules are for real numbers
        return _scale_shift(_standard(x, axes, eps)[0], weight, bias, shape)
    axes = tuple(a - x.ndim if a >= 0 else a for a in axes)  # counted from the end: vmap puts its axis in front
    full = tuple(x.shape[i] if n == -1 else n for i, n in enumerate(shape)) or (1,) * x.ndim
    weight, bias = (np.full(full, v, x.dtype) if p is None else p.reshape(*shape) for p, v in ((weight, 1), (bias, 0)))
    return _standardize(x, weight, bias, axes=axes, eps=eps)


def _scale_shift(y, weight, bias, shape):
    y = y if weight is None else y * weight.reshape(*shape)
    return y if bias is None else y + bias.reshape(*shape)


_measuring = threading.Lock()  # one batch after the other, when threads share a layer


def batch_norm(x: Tensor, running_mean: np.ndarray | None = None, running_var: np.ndarray | None = None,
               weight: Tensor | None = None, bias: Tensor | None = None, training: bool = False, momentum: float = 0.1,
               eps: float = 1e-5) -> Tensor:
    """(x - mean) / sqrt(var + eps) * weight + bias per channel, statistics over batch and space. Ioffe & Szegedy 2015.

    x: (N, C) or (N, C, ...). In training the batch's own statistics are used, and ``momentum`` of them is mixed
    into the running arrays (the variance unbiased there), in place; otherwise the running ones are used.
    """
    axes, shape = (0, *range(2, x.ndim)), (1, -1, *(1,) * (x.ndim - 2))
    if not training and running_mean is not None:
        y = (x - running_mean.reshape(shape)) / np.sqrt(running_var + eps).astype(x.dtype).reshape(shape)
        return _scale_shift(y, weight, bias, shape)
    count = x.size // max(x.shape[1], 1)
    if training and count < 2:
        raise ValueError(f"batch_norm in training needs more than one value per channel, got input {x.shape}: "
                         "use a larger batch, or model.eval()")
    if training and running_mean is not None:
        mean, var = normalize.moments(x.data if isinstance(x, Tensor) else x, axes)
        with _measuring:
            running_mean += momentum * (mean - running_mean)
            running_var += momentum * (var * (count / (count - 1)) - running_var)
    return _standardized(x, axes, eps, weight, bias, shape)


def as_shape(normalized_shape) -> tuple[int, ...]:
    """``normalized_shape`` as a tuple; an integer is the last axis alone."""
    single = isinstance(normalized_shape, (int, np.integer))
    sizes = (normalized_shape,) if single else tuple(normalized_shape) if np.iterable(normalized_shape) else (None,)
    if not all(isinstance(n, (int, np.integer)) and n >= 0 for n in sizes):
        raise ValueError(f"normalized_shape is an integer or several, from 0 on, not {normalized_shape!r:.60}")
    return tuple(map(int, sizes))


def layer_norm(x: Tensor, normalized_shape: int | tuple[int, ...], weight: Tensor | None = None,
               bias: Tensor | None = None, eps: float = 1e-5) -> Tensor:
    """(x - mean) / sqrt(var + eps) * weight + bias over the last axes, ``normalized_shape``. Ba et al. 2016."""
    shape = as_shape(normalized_shape)
    if x.shape[-len(shape):] != shape:
        raise ValueError(f"layer_norm: input {x.shape} does not end in the normalized shape {shape}")
    return _standardized(x, tuple(range(-len(shape), 0)), eps, weight, bias, shape)


def rms_norm(x: Tensor, normalized_shape: int | tuple[int, ...], weight: Tensor | None = None,
             eps: float | None = None) -> Tensor:
    """x / sqrt(mean(x^2) + eps) * weight over the last axes, ``normalized_shape``. Zhang & Sennrich 2019.

    eps: None is the dtype's, 1.2e-7 for float32.
    """
    shape = as_shape(normalized_shape)
    if x.shape[-len(shape):] != shape:
        raise ValueError(f"rms_norm: input {x.shape} does not end in the normalized shape {shape}")
    if x.dtype.kind != "f":
        raise TypeError(f"rms_norm: input must be floating-point numbers, not {x.dtype}")
    eps = float(np.finfo(x.dtype).eps) if eps is None else eps
    y = x / np.sqrt(np.square(x).mean(axis=tuple(range(-len(shape), 0)), keepdims=True) + eps)
    return y if weight is None else y * weight


def group_norm(x: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None,
               eps: float = 1e-5) -> Tensor:
    """(x - mean) / sqrt(var + eps) * weight + bias, statistics over each sample's groups of channels. Wu & He 2018.

    x: (N, C, ...), weight and bias: (C,). One group is layer norm over all but N, C groups are instance norm.
    """
    if x.ndim < 2 or num_groups < 1 or x.shape[1] % num_groups:
        raise ValueError(f"group_norm: input {x.shape} must be (N, C, ...) with C channels that divide into "
                         f"{num_groups} groups")
    groups = x.reshape(x.shape[0], num_groups, math.prod(x.shape[1:]) // num_groups)
    y = _standardized(groups, (2,), eps, None, None, ()).reshape(*x.shape)
    return _scale_shift(y, weight, bias, (1, -1, *(1,) * (x.ndim - 2)))


def instance_norm(x: Tensor, running_mean: np.ndarray | None = None, running_var: np.ndarray | None = None,
                  weight: Tensor | None = None, bias: Tensor | None = None, use_input_stats: bool = True,
                  momentum: float = 0.1, eps: float = 1e-5) -> Tensor:
    """(x - mean) / sqrt(var + eps) * weight + bias per sample and channel, statistics over space. Ulyanov et al. 2016.

    x: (N, C, ...). With use_input_stats the running arrays, if there are any, move by ``momentum`` towards the samples'
    average (the variances unbiased), in place; without it they are used instead, as `batch_norm` does in evaluation.
    """
    if x.ndim < 3:
        raise ValueError(f"instance_norm: input {x.shape} must be (N, C, ...) with at least one axis of space")
    if not use_input_stats:
        if running_mean is None:
            raise ValueError("instance_norm: use_input_stats=False needs running_mean and running_var")
        return batch_norm(x, running_mean, running_var, weight, bias, False, momentum, eps)
    axes, shape = tuple(range(2, x.ndim)), (1, -1, *(1,) * (x.ndim - 2))
    if math.prod(x.shape[2:]) < 2:
        raise ValueError(f"instance_norm needs more than one value per channel and sample, got input {x.shape}")
    if running_mean is not None and x.shape[0]:
        values = x.data if isinstance(x, Tensor) else x
        running_mean += momentum * (values.mean(axis=axes).mean(axis=0) - running_mean)
        running_var += momentum * (values.var(axis=axes, ddof=1).mean(axis=0) - running_var)
    return _standardized(x, axes, eps, weight, bias, shape)


def local_response_norm(x: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Tensor:
    """x / (k + alpha / size * sum of x^2 over ``size`` neighbouring channels)^beta. Krizhevsky et al. 2012.

    x: (N, C, ...). Of an even number of neighbours the odd one is before. (The paper does not divide alpha by size.)
    """
    if x.ndim < 3 or size < 1:
        raise ValueError(f"local_response_norm: input {x.shape} must be (N, C, L, ...), and size {size} at least 1")
    images = np.square(x).reshape(x.shape[0], 1, x.shape[1], math.prod(x.shape[2:]))
    total = primitives.window_sum(images, kernel=(size, 1), stride=(1, 1), dilation=(1, 1),
                                  padding=((size // 2, (size - 1) // 2), (0, 0)))
    return x / (total.reshape(*x.shape) * (alpha / size) + k) ** beta
