"""Activations, losses, normalization, convolution as functions of Tensors, with the names of torch.nn.functional.

Most are made of functions in the table; a few that training spends its time in are primitives with rules of their own,
and those rules are differentiable again like all others.
"""

from __future__ import annotations

import math

import numpy as np

from . import primitives
from .derivatives.scans import logsumexp
from .derivatives.special import erf, sigmoid
from .dispatch import primitive
from .random import default_generator
from .tensor import Tensor

__all__ = ["avg_pool2d", "batch_norm", "binary_cross_entropy_with_logits", "conv2d", "cross_entropy", "drop_connect",
           "dropout", "erf", "flatten", "gelu", "layer_norm", "leaky_relu", "linear", "log_softmax", "logsumexp",
           "max_pool2d", "mse_loss", "one_hot", "relu", "sigmoid", "softmax", "softplus", "tanh"]

Size = int | tuple[int, int]
Chance = np.random.Generator | None


# ---- dense ----
@primitive(lambda g, y, x, w, b: g @ w.T, lambda g, y, x, w, b: x.T @ g, lambda g, y, x, w, b: g.sum(axis=0))
def _affine(x, w, b):
    y = x @ w
    y += b
    return y


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x @ weight + bias: (..., in) with weight (in, out), bias (out,) -> (..., out)."""
    if x.ndim != 2 and x.ndim:
        rows = linear(x.reshape(math.prod(x.shape[:-1]), x.shape[-1]), weight, bias)
        return rows.reshape(*x.shape[:-1], weight.shape[1])
    try:
        return x @ weight if bias is None else _affine(x, weight, bias)
    except ValueError:
        if x.shape[-1:] == weight.shape[:1]:
            raise  # the bias does not fit
        raise ValueError(f"linear: input {x.shape} does not end in the {weight.shape[0]} features that weight "
                         f"{weight.shape} expects; is something to be flattened first?") from None


# ---- activations ----
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


def softplus(x: Tensor) -> Tensor:
    """log(1 + exp(x)), without overflow."""
    return np.logaddexp(x, 0)


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


# ---- losses ----
def one_hot(index, num_classes: int, dtype=np.float32) -> np.ndarray:
    """(...) class indices -> (..., num_classes) of zeros and a one."""
    index = np.asarray(index)
    return (index[..., None] == np.arange(num_classes)).astype(dtype)


def _reduce(loss, reduction, weight=None):
    if reduction == "none":
        return loss
    if reduction == "sum":
        return loss.sum()
    if reduction != "mean":
        raise ValueError(f"reduction is 'mean', 'sum' or 'none', not {reduction!r}")
    if weight is None:
        return loss.mean()
    total = weight.sum().item()
    return loss.sum() / total if total else loss.sum() + math.nan  # the mean of nothing: NaN, and no gradient


@primitive(lambda g, y, z, target, mean: (g / len(z) if mean else np.expand_dims(g, -1)) * (
    softmax(z) - (target[:, None] == np.arange(z.shape[-1]))), None)
def _index_cross_entropy(z, target, mean):
    """log(sum(exp(z))) - z[target] for each row of logits (rows, classes), or their mean."""
    z = z - np.maximum.reduce(z, -1, keepdims=True)
    rows = np.log(np.add.reduce(np.exp(z), -1)) - z[np.arange(len(z)), target]
    return np.add.reduce(rows) / len(rows) if mean else rows


def cross_entropy(input: Tensor, target: Tensor | np.ndarray, weight=None, ignore_index: int = -100,
                  reduction: str = "mean", label_smoothing: float = 0.0) -> Tensor:
    """-log softmax(input)[target], from logits (N, C) or (N, C, d1, ...).

    target: class indices (N,) or (N, d1, ...), or probabilities of input's shape. weight: (C,), a factor per class; the
    mean divides by the sum of the factors. ignore_index: targets that do not count. label_smoothing: mix the target
    with the uniform distribution (Szegedy et al. 2016). Raises ValueError for shapes or indices that do not fit.
    """
    z = input = input if isinstance(input, Tensor) else Tensor(input)
    labels = target.data if isinstance(target, Tensor) else np.asarray(target)
    shape, kind, size = labels.shape, labels.dtype.kind, input.shape
    classes = size[1 if len(size) > 1 else 0]
    if kind == "f":
        if shape != size:
            raise ValueError(f"cross_entropy: probabilities of shape {shape} for logits of shape {input.shape}; "
                             "class indices must be integers")
        p = target if isinstance(target, Tensor) else labels
        p = p if input.ndim <= 2 else np.moveaxis(p, 1, -1)
        p = p * (1 - label_smoothing) + label_smoothing / classes if label_smoothing else p
        p = p if weight is None else p * _constant(weight)
        loss = -(p * log_softmax(z if input.ndim <= 2 else np.moveaxis(z, 1, -1))).sum(axis=-1)
        return loss.sum() / max(loss.size, 1) if reduction == "mean" else _reduce(loss, reduction)
    expected = () if len(size) == 1 else size[:1] + size[2:]
    if shape != expected:
        raise ValueError(f"cross_entropy: class indices of shape {shape} for logits of shape {size}; "
                         f"expected {expected}")
    labels = labels.astype(np.int64) if kind == "b" else labels
    if len(size) != 2:
        z, labels = (z if input.ndim < 2 else np.moveaxis(z, 1, -1)).reshape(-1, classes), labels.reshape(-1)
    counts = None
    largest = np.maximum.reduce(labels.astype(np.uint64), initial=0)  # unsigned, a negative one is huge
    if labels.size and (ignore_index >= 0 or largest >= classes):
        counts = labels != ignore_index
        labels = np.where(counts, labels, 0)
        if labels.min() < 0 or labels.max() >= classes:
            raise ValueError(f"cross_entropy: class indices from {labels.min()} to {labels.max()}, but the logits "
                             f"{input.shape} have {classes} classes (0 to {classes - 1})")
    if weight is None and counts is None and not label_smoothing:
        loss = _index_cross_entropy(z, labels, mean=reduction == "mean")
        return loss if reduction == "mean" else _reduce(loss.reshape(shape), reduction)
    factors = np.ones(classes, z.dtype) if weight is None else _constant(weight).astype(z.dtype)
    row_factors = factors[labels] * (1 if counts is None else counts)
    loss = _index_cross_entropy(z, labels, mean=False) * row_factors
    if label_smoothing:
        uniform = -(log_softmax(z) * factors).sum(axis=-1) * ((1 if counts is None else counts) / classes)
        loss = loss * (1 - label_smoothing) + uniform.astype(z.dtype) * label_smoothing
    return _reduce(loss.reshape(shape), reduction, row_factors)


def _constant(x):
    return x.numpy() if isinstance(x, Tensor) else np.asarray(x)


def _same_shape(name, input, target):
    if np.shape(input) != np.shape(target):
        raise ValueError(f"{name}: input has shape {np.shape(input)}, target {np.shape(target)}; they must be equal "
                         "(broadcasting here is nearly always a mistake)")


def mse_loss(input: Tensor, target: Tensor | np.ndarray, reduction: str = "mean") -> Tensor:
    """(input - target)^2, for equal shapes."""
    _same_shape("mse_loss", input, target)
    return _reduce(np.square(input - target), reduction)


def binary_cross_entropy_with_logits(input: Tensor, target: Tensor | np.ndarray, weight=None, pos_weight=None,
                                     reduction: str = "mean") -> Tensor:
    """-(t log sigmoid(x) + (1 - t) log(1 - sigmoid(x))), computed as (1 - t) x + softplus(-x).

    target: probabilities, of input's shape. weight: a factor per element. pos_weight: a factor on the t log term.
    """
    _same_shape("binary_cross_entropy_with_logits", input, target)
    log_weight = 1 if pos_weight is None else 1 + (pos_weight - 1) * target
    loss = (1 - target) * input + log_weight * softplus(-input)
    return _reduce(loss if weight is None else loss * weight, reduction)


# ---- convolution and pooling of images (N, C, H, W) ----
def _pair(value, name):
    pair = (value, value) if isinstance(value, (int, np.integer)) else tuple(value)
    if len(pair) != 2 or not all(isinstance(v, (int, np.integer)) for v in pair):
        raise ValueError(f"{name} is an int or a pair of ints, not {value!r}")
    return pair


def _positive(value, name):
    pair = _pair(value, name)
    if min(pair) < 1:
        raise ValueError(f"{name} must be at least 1, got {value!r}")
    return pair


def _padding(padding, kernel, stride, dilation):
    """int, pair, 'same' (the odd one goes right, as PyTorch) or 'valid' -> ((top, bottom), (left, right))."""
    if padding == "valid":
        return ((0, 0), (0, 0))
    if padding == "same":
        if stride != (1, 1):
            raise ValueError(f"padding='same' is for stride 1, not {stride}")
        total = [d * (k - 1) for d, k in zip(dilation, kernel)]
        return tuple((t // 2, t - t // 2) for t in total)
    if isinstance(padding, str):
        raise ValueError(f"padding is an int, a pair, 'same' or 'valid', not {padding!r}")
    pair = _pair(padding, "padding")
    if min(pair) < 0:
        raise ValueError(f"padding must not be negative, got {padding!r}")
    return tuple((p, p) for p in pair)


def _check_fits(name, x, kernel, padding, dilation):
    for n, k, p, d in zip(x.shape[2:], kernel, padding, dilation):
        if n + sum(p) < d * (k - 1) + 1:
            raise ValueError(f"{name}: a window of {d * (k - 1) + 1} pixels does not fit into {n} + {sum(p)} padding "
                             f"(input {x.shape}, kernel {kernel})")


@primitive(lambda g, y, x, w, b, **s: primitives.conv_input_grad(g, w, shape=x.shape, **s),
           lambda g, y, x, w, b, **s: primitives.conv_weight_grad(x, g, shape=w.shape, **s),
           lambda g, y, x, w, b, **s: g.sum(axis=(0, 2, 3)))
def _conv_bias(x, w, b, stride, padding, dilation, groups):
    y = primitives.conv(x, w, stride=stride, padding=padding, dilation=dilation, groups=groups)
    y += b.reshape(-1, 1, 1)
    return y


def conv2d(input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Size = 1, padding: Size | str = 0,
           dilation: Size = 1, groups: int = 1) -> Tensor:
    """Cross-correlation, as every framework's convolution: (N, C, H, W) with weight (O, C / groups, kH, kW).

    y[n, o, i, j] = bias[o] + sum over c, a, b of weight[o, c, a, b] * input[n, c, i * stride + a, j * stride + b].
    Output (N, O, H', W') with H' = floor((H + 2 padding - dilation (kH - 1) - 1) / stride) + 1.
    """
    if input.ndim != 4 or weight.ndim != 4:
        raise ValueError(f"conv2d: input {input.shape} must be (N, C, H, W), weight {weight.shape} (O, C, kH, kW)")
    if input.shape[1] != weight.shape[1] * groups:
        raise ValueError(f"conv2d: input has {input.shape[1]} channels, weight {weight.shape} expects "
                         f"{weight.shape[1] * groups}; is the batch (N, C, H, W)?")
    if weight.shape[0] % groups:
        raise ValueError(f"conv2d: {weight.shape[0]} output channels do not divide into {groups} groups")
    stride, dilation = _positive(stride, "stride"), _positive(dilation, "dilation")
    padding = _padding(padding, weight.shape[2:], stride, dilation)
    _check_fits("conv2d", input, weight.shape[2:], padding, dilation)
    window = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return primitives.conv(input, weight, **window) if bias is None else _conv_bias(input, weight, bias, **window)


def _pooling(name, x, kernel_size, stride, padding, dilation=1):
    if x.ndim != 4:
        raise ValueError(f"{name}: input {x.shape} must be (N, C, H, W)")
    kernel = _positive(kernel_size, "kernel_size")
    stride = kernel if stride is None else _positive(stride, "stride")
    dilation = _positive(dilation, "dilation")
    padding = _padding(padding, kernel, stride, dilation)
    if any(sum(p) > k for p, k in zip(padding, kernel)):
        raise ValueError(f"{name}: padding {padding} is more than half of the kernel {kernel}")
    _check_fits(name, x, kernel, padding, dilation)
    return {"kernel": kernel, "stride": stride, "padding": padding, "dilation": dilation}


def max_pool2d(input: Tensor, kernel_size: Size, stride: Size | None = None, padding: Size | str = 0,
               dilation: Size = 1) -> Tensor:
    """The largest value of every window, ``stride`` apart (default: kernel_size); padding counts as -inf."""
    return primitives.max_pool(input, **_pooling("max_pool2d", input, kernel_size, stride, padding, dilation))


def avg_pool2d(input: Tensor, kernel_size: Size, stride: Size | None = None, padding: Size | str = 0,
               count_include_pad: bool = True) -> Tensor:
    """The mean of every window, stride apart (default: kernel_size); padding counts as zeros unless told otherwise."""
    window = _pooling("avg_pool2d", input, kernel_size, stride, padding)
    total = primitives.window_sum(input, **window)
    if count_include_pad or not any(map(any, window["padding"])):
        return total / math.prod(window["kernel"])
    return total / primitives.window_sum(np.ones((1, 1, *input.shape[2:]), input.dtype), **window)


def flatten(x: Tensor, start_dim: int = 1) -> Tensor:
    """Merge the axes from ``start_dim`` on: (N, C, H, W) -> (N, C * H * W)."""
    if x.ndim == start_dim + 1:
        return x
    return x.reshape(*x.shape[:start_dim], -1 if x.size else math.prod(x.shape[start_dim:]))


# ---- regularization ----
def check_probability(p: float) -> float:
    """``p`` itself, or ValueError if it is not between 0 and 1."""
    if not 0 <= p <= 1:
        raise ValueError(f"the probability of dropping must be between 0 and 1, got {p}")
    return p


def keep_mask(shape: tuple[int, ...], p: float, dtype, generator: Chance = None) -> np.ndarray:
    """Ones, and zeros with probability ``p``."""
    return ((generator or default_generator()).random(shape, np.float32) >= check_probability(p)).astype(dtype)


def dropout(x: Tensor, p: float = 0.5, training: bool = True, generator: Chance = None) -> Tensor:
    """Zero each element with probability ``p`` and divide the others by 1 - p. Srivastava et al. 2014 (inverted)."""
    if check_probability(p) == 0 or not training:
        return x
    return x * (keep_mask(x.shape, p, x.dtype, generator) * (1 / (1 - p) if p < 1 else 0))


def drop_connect(x: Tensor, weight: Tensor, bias: Tensor | None = None, p: float = 0.5, per_example: bool = False,
                 generator: Chance = None) -> Tensor:
    """x @ (mask * weight) + bias: each weight dropped with probability ``p``. Wan et al. 2013.

    per_example: a mask for every row of x, as in the paper (N * in * out numbers), instead of one for the batch.
    Nothing is rescaled: at test time the weights are multiplied by 1 - p. x: (N, in), weight: (in, out).
    """
    if per_example:
        masked = weight * keep_mask((x.shape[0], *weight.shape), p, weight.dtype, generator)
        y = np.einsum("ni,nio->no", x, masked)
        return y if bias is None else y + bias
    return linear(x, weight * keep_mask(weight.shape, p, weight.dtype, generator), bias)


# ---- normalization ----
def _standardize(x, axes, eps, weight, bias, shape):
    y = (x - x.mean(axis=axes, keepdims=True)) / np.sqrt(x.var(axis=axes, keepdims=True) + eps)
    return _scale_shift(y, weight, bias, shape)


def _scale_shift(y, weight, bias, shape):
    y = y if weight is None else y * weight.reshape(*shape)
    return y if bias is None else y + bias.reshape(*shape)


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
        values = x.data if isinstance(x, Tensor) else x
        running_mean += momentum * (values.mean(axis=axes) - running_mean)
        running_var += momentum * (values.var(axis=axes, ddof=1) - running_var)
    return _standardize(x, axes, eps, weight, bias, shape)


def layer_norm(x: Tensor, normalized_shape: int | tuple[int, ...], weight: Tensor | None = None,
               bias: Tensor | None = None, eps: float = 1e-5) -> Tensor:
    """(x - mean) / sqrt(var + eps) * weight + bias over the last axes, ``normalized_shape``. Ba et al. 2016."""
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    if x.shape[-len(shape):] != shape:
        raise ValueError(f"layer_norm: input {x.shape} does not end in the normalized shape {shape}")
    return _standardize(x, tuple(range(-len(shape), 0)), eps, weight, bias, shape)
