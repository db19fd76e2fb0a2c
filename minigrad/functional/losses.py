"""Losses: how far an input is from its target."""

from __future__ import annotations

import math

import numpy as np

from ..batching import whole
from ..dispatch import primitive
from ..tensor import Tensor
from .activations import log_softmax, softmax


def _reduce(loss, reduction, weight=None):
    if reduction == "none":
        return loss
    if reduction == "sum":
        return loss.sum()
    if reduction != "mean":
        raise ValueError(f"reduction is 'mean', 'sum' or 'none', not {reduction!r}")
    if weight is None:
        return loss.mean()
    total = weight.sum()
    if hasattr(total, "level"):  # inside vmap
        return loss.sum() / np.where(total == 0, math.nan, total)
    total = total.item()
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
    z = input = input if hasattr(input, "record") else Tensor(input)
    labels = target.data if isinstance(target, Tensor) else target if hasattr(target, "record") else np.asarray(target)
    shape, kind, size = labels.shape, labels.dtype.kind, input.shape
    classes = size[1 if len(size) > 1 else 0]
    if kind == "f":
        if shape != size:
            raise ValueError(f"cross_entropy: probabilities of shape {shape} for logits of shape {input.shape}; "
                             "class indices must be integers")
        p = target if hasattr(target, "record") else labels
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
    counts, every = None, whole(labels)
    largest = np.maximum.reduce(every.astype(np.uint64), None, initial=0)  # unsigned, a negative one is huge
    if every.size and (ignore_index >= 0 or largest >= classes):
        counts, every = labels != ignore_index, np.where(every == ignore_index, 0, every)
        labels = np.where(counts, labels, 0)
        if every.min() < 0 or every.max() >= classes:
            raise ValueError(f"cross_entropy: class indices from {every.min()} to {every.max()}, but the logits "
                             f"{input.shape} have {classes} classes (0 to {classes - 1})")
    if weight is None and counts is None and not label_smoothing:
        loss = _index_cross_entropy(z, labels, mean=reduction == "mean")
        return loss if reduction == "mean" else _reduce(loss.reshape(shape), reduction)
    factors = np.ones(classes, z.dtype) if weight is None else _constant(weight).astype(z.dtype)
    row_factors = factors[labels] if isinstance(labels, np.ndarray) else np.take(Tensor(factors), labels, axis=0)
    row_factors = row_factors * (1 if counts is None else counts)
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
    loss = (1 - target) * input + log_weight * np.logaddexp(-input, 0)
    return _reduce(loss if weight is None else loss * weight, reduction)
