"""Losses: how far an input is from its target, reduced to its mean, its sum, or ("none") not at all.

Shapes must be equal where PyTorch only warns before it broadcasts. Where PyTorch has a loss, names, defaults and the
slopes at kinks are PyTorch's. Targets are +-1 where a hinge turns on their sign, and 0 or 1 where they are
probabilities; integers are taken as numbers of the input's dtype.
"""

from __future__ import annotations

import math

import numpy as np

from ..batching import whole
from ..derivatives.scans import logsumexp
from ..derivatives.special import sigmoid, xlogy
from ..dispatch import primitive
from ..tensor import Tensor
from .activations import log_softmax, relu, short_rows, softmax
from .dense import _detach, normalize, pairwise_distance

_NOTHING = "the mean of an empty batch, {}, is no number: skip it, or reduction='sum'"


def _reduce(loss, reduction, weight=None):
    if reduction == "none":
        return loss
    if reduction == "sum":
        return loss.sum()
    check_reduction(reduction)
    if weight is None:
        if not loss.size:
            raise ValueError(_NOTHING.format(loss.shape))
        return loss.mean()
    total = weight.sum()
    if hasattr(total, "level"):  # inside vmap
        return loss.sum() / np.where(total == 0, math.nan, total)
    total = total.item()
    return loss.sum() / total if total else loss.sum() + math.nan  # the mean of nothing: NaN, and no gradient


# ---- what fits together ----
def _constant(x):
    return x.numpy() if isinstance(x, Tensor) else np.asarray(x)


def check_reduction(reduction: str, *more: str) -> str:
    """``reduction`` itself, or ValueError if there is no such."""
    if reduction not in ("mean", "sum", "none", *more):
        names = ["'mean'", "'sum'", *map(repr, more)]
        raise ValueError(f"reduction is {', '.join(names)} or 'none', not {reduction!r}")
    return reduction


def _same_shape(name, **values):
    """ValueError unless all have one shape."""
    shapes = {k: np.shape(x) for k, x in values.items()}
    (first, shape), *others = shapes.items()
    if any(s != shape for _, s in others):
        raise ValueError(f"{name}: {first} has shape {shape}, {', '.join(f'{k} {s}' for k, s in others)}; they must be "
                         "equal (broadcasting here is nearly always a mistake)")


def _numbers(target, dtype):
    """The target with integers and booleans as numbers of this dtype; float32 times int64 would be float64."""
    target = target if hasattr(target, "dtype") else np.asarray(target)
    return target if target.dtype.kind == "f" else target.astype(dtype)


def _pair(name, input, target):
    _same_shape(name, input=input, target=target)
    return _numbers(target, input.dtype)


def _signs(name, input, target):
    """The target as numbers, if they are 1 or -1: a 0 would be a constant loss, without a gradient."""
    every = whole(target)
    wrong = every[np.absolute(every) != 1]
    if wrong.size:
        raise ValueError(f"{name}: targets must be 1 or -1, got {wrong.flat[0]}")
    return _numbers(target, input.dtype)


def _weighted(name, loss, weight):
    if weight is None:
        return loss
    weight = weight if hasattr(weight, "dtype") else np.asarray(weight)
    shape, fits = loss.shape, weight.shape
    if len(fits) > len(shape) or any(n not in (1, m) for n, m in zip(fits[::-1], shape[::-1])):
        raise ValueError(f"{name}: weight {fits} does not broadcast to the loss {shape}")
    return loss * weight.astype(loss.dtype)


def _positive(name, **values):
    for key, value in values.items():
        if not value > 0:
            raise ValueError(f"{name}: {key} must be positive, got {value}")


def _clamped(z):
    """max(z, 0) whose slope at 0 is 1, as torch.clamp has it; that of relu is 0."""
    return np.where(z < 0, 0, z)


def _class_indices(name, labels, size, ignore_index=None):
    """The labels for logits of this size with 0 in place of ignored ones, and which count (None: all do)."""
    classes = size[1 if len(size) > 1 else 0]
    labels = labels.astype(np.int64) if labels.dtype.kind == "b" else labels
    expected = () if len(size) == 1 else size[:1] + size[2:]
    if labels.dtype.kind not in "iu":
        raise TypeError(f"{name}: class indices must be integers, not {labels.dtype}")
    if labels.shape != expected:
        one_hot = ", of a one-hot target its argmax(axis=1)" if labels.shape == size else ""
        raise ValueError(f"{name}: class indices of shape {labels.shape} for logits of shape {size}; "
                         f"expected {expected}{one_hot}")
    counts, every = None, whole(labels)
    largest = np.maximum.reduce(every.astype(np.uint64), None, initial=0)  # unsigned, a negative one is huge
    if every.size and (largest >= classes or (ignore_index is not None and ignore_index >= 0)):
        if ignore_index is not None:
            counts, every = labels != ignore_index, np.where(every == ignore_index, 0, every)
            labels = np.where(counts, labels, 0)
        if every.min() < 0 or every.max() >= classes:
            raise ValueError(f"{name}: class indices from {every.min()} to {every.max()}, but the logits "
                             f"{size} have {classes} classes (0 to {classes - 1})")
    return labels, counts


def _class_factors(name, weight, classes, dtype):
    factors = _constant(weight).astype(dtype)
    if factors.shape != (classes,):
        raise ValueError(f"{name}: weight has shape {factors.shape}, expected ({classes},): a factor for each class")
    return factors


def _row_factors(factors, labels, counts):
    rows = factors[labels] if isinstance(labels, np.ndarray) else np.take(Tensor(factors), labels, axis=0)
    return rows * (1 if counts is None else counts)


def _labels(target):
    return target.data if isinstance(target, Tensor) else target if hasattr(target, "record") else np.asarray(target)


# ---- one class of many ----
@primitive(lambda g, y, z, target, mean: (g / len(z) if mean else np.expand_dims(g, -1)) * (
    softmax(z) - (target == np.arange(z.shape[-1])[:, None]).T), None)
def _index_cross_entropy(z, target, mean):
    """log(sum(exp(z))) - z[target] for each row of logits (rows, classes), or their mean."""
    if mean and not len(target):
        raise ValueError(_NOTHING.format(z.shape))
    z = np.ascontiguousarray(z.T) if short_rows(z, -1) else z.T
    z = z - np.maximum.reduce(z, 0)
    rows = np.log(np.add.reduce(np.exp(z), 0)) - z[target, np.arange(len(target))]
    return np.add.reduce(rows) / len(rows) if mean else rows


def cross_entropy(input: Tensor, target: Tensor | np.ndarray, weight=None, ignore_index: int = -100,
                  reduction: str = "mean", label_smoothing: float = 0.0) -> Tensor:
    """-log softmax(input)[target], from logits (N, C) or (N, C, d1, ...).

    target: class indices (N,) or (N, d1, ...), or probabilities of input's shape. weight: (C,), a factor per class; the
    mean divides by the sum of the factors. ignore_index: indices that do not count. label_smoothing: mix the target
    with the uniform distribution (Szegedy et al. 2016). Raises ValueError for shapes or indices that do not fit.
    """
    z = input = input if hasattr(input, "record") else Tensor(input)
    labels, size = _labels(target), input.shape
    shape, classes = labels.shape, size[1 if len(size) > 1 else 0]
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"cross_entropy: label_smoothing must be between 0 and 1, got {label_smoothing}")
    factors = None if weight is None else _class_factors("cross_entropy", weight, classes, z.dtype)
    if labels.dtype.kind == "f":
        if shape != size:
            raise ValueError(f"cross_entropy: probabilities of shape {shape} for logits of shape {input.shape}; "
                             "class indices must be integers")
        if ignore_index >= 0:
            raise ValueError(f"cross_entropy: ignore_index={ignore_index} means class indices, but the target holds "
                             "probabilities")
        p = target if hasattr(target, "record") else labels
        p = p if input.ndim <= 2 else np.moveaxis(p, 1, -1)
        p = p * (1 - label_smoothing) + label_smoothing / classes if label_smoothing else p
        p = p if factors is None else p * factors
        loss = -(p * log_softmax(z if input.ndim <= 2 else np.moveaxis(z, 1, -1))).sum(axis=-1)
        return loss.sum() / max(loss.size, 1) if reduction == "mean" else _reduce(loss, reduction)
    labels, counts = _class_indices("cross_entropy", labels, size, ignore_index)
    if len(size) != 2:
        z, labels = (z if input.ndim < 2 else np.moveaxis(z, 1, -1)).reshape(-1, classes), labels.reshape(-1)
        counts = None if counts is None else counts.reshape(-1)
    if weight is None and counts is None and not label_smoothing:
        loss = _index_cross_entropy(z, labels, mean=reduction == "mean")
        return loss if reduction == "mean" else _reduce(loss.reshape(shape), reduction)
    factors = np.ones(classes, z.dtype) if factors is None else factors
    row_factors = _row_factors(factors, labels, counts)
    loss = _index_cross_entropy(z, labels, mean=False) * row_factors
    if label_smoothing:
        uniform = -(log_softmax(z) * factors).sum(axis=-1) * ((1 if counts is None else counts) / classes)
        loss = loss * (1 - label_smoothing) + uniform.astype(z.dtype) * label_smoothing
    return _reduce(loss.reshape(shape), reduction, row_factors)


def nll_loss(input: Tensor, target, weight=None, ignore_index: int = -100, reduction: str = "mean") -> Tensor:
    """-input[target], from log-probabilities (N, C) or (N, C, d1, ...), such as those of `log_softmax`.

    target, weight, ignore_index, reduction: those of `cross_entropy`, with class indices only.
    """
    size = input.shape
    axis = 1 if len(size) > 1 else 0
    labels, counts = _class_indices("nll_loss", _labels(target), size, ignore_index)
    loss = -_picked(input, labels, axis).squeeze(axis)
    loss = loss if counts is None else np.where(counts, loss, 0)
    if weight is None and counts is None:
        return _reduce(loss, reduction)
    factors = np.ones(size[axis]) if weight is None else weight
    row_factors = _row_factors(_class_factors("nll_loss", factors, size[axis], input.dtype), labels, counts)
    return _reduce(loss * row_factors, reduction, row_factors)


def _picked(input, labels, axis):
    return np.take_along_axis(input, np.expand_dims(labels, axis), axis=axis)


def kl_div(input: Tensor, target: Tensor | np.ndarray, reduction: str = "mean", log_target: bool = False) -> Tensor:
    """t (log(t) - input), for log-probabilities ``input``: summed over classes, KL(target || exp(input)).

    reduction: "batchmean" divides the sum by the first axis, which is the divergence's mean; "mean" divides by all
    elements, as PyTorch. log_target: the target is log-probabilities too. (Keras' KLDivergence takes probabilities for
    both.) Kullback & Leibler 1951.
    """
    check_reduction(reduction, "batchmean")
    target = _pair("kl_div", input, target)
    loss = np.exp(target) * (target - input) if log_target else xlogy(target, target) - target * input
    return loss.sum() / input.shape[0] if reduction == "batchmean" else _reduce(loss, reduction)


def multi_margin_loss(input: Tensor, target, p: int = 1, margin: float = 1.0, weight=None,
                      reduction: str = "mean") -> Tensor:
    """sum over i != target of max(0, margin - input[target] + input[i])^p / C: the hinge of many classes.

    input: (N, C) or (C,); target: class indices; p: 1 or 2; weight: (C,), the factor of the target's class. The mean is
    over N. Crammer & Singer 2001.
    """
    if p not in (1, 2):
        raise ValueError(f"multi_margin_loss: p is 1 or 2, not {p!r}")
    if input.ndim not in (1, 2):
        raise ValueError(f"multi_margin_loss: logits are (N, C) or (C,), got {input.shape}")
    labels = _class_indices("multi_margin_loss", _labels(target), input.shape)[0]
    classes = input.shape[-1]
    z = relu(margin - _picked(input, labels, input.ndim - 1) + input)
    others = np.expand_dims(labels, -1) != np.arange(classes)
    loss = np.where(others, z if p == 1 else np.square(z), 0).sum(axis=-1) / classes
    if weight is not None:
        loss = loss * _row_factors(_class_factors("multi_margin_loss", weight, classes, input.dtype), labels, None)
    return _reduce(loss, reduction)


def categorical_hinge_loss(input: Tensor, target: Tensor | np.ndarray, reduction: str = "mean") -> Tensor:
    """max(0, 1 + max((1 - t) x) - sum(t x)) along the last axis, for one-hot targets of input's shape. Keras."""
    target = _pair("categorical_hinge_loss", input, target)
    return _reduce(_clamped(((1 - target) * input).max(axis=-1) - (target * input).sum(axis=-1) + 1), reduction)


def categorical_focal_loss(input: Tensor, target, alpha=0.25, gamma: float = 2.0, reduction: str = "mean") -> Tensor:
    """-sum of alpha t (1 - p)^gamma log(p), p = softmax(input): what is classified well counts less. Lin et al. 2017.

    input: logits (N, C) or (N, C, d1, ...), not probabilities as Keras'. target: class indices, or probabilities of
    input's shape. alpha: a number, or (C,), one for each class.
    """
    size, labels = input.shape, _labels(target)
    axis = 1 if len(size) > 1 else 0
    per_class = (size[axis], *(1,) * (len(size) - axis - 1))
    if labels.dtype.kind == "f":
        t = _pair("categorical_focal_loss", input, target)
    else:
        labels = _class_indices("categorical_focal_loss", labels, size)[0]
        t = (np.expand_dims(labels, axis) == np.arange(size[axis]).reshape(per_class)).astype(input.dtype)
    if np.ndim(alpha):
        alpha = _class_factors("categorical_focal_loss", alpha, size[axis], input.dtype).reshape(per_class)
    log_p = log_softmax(input, axis=axis)
    return _reduce(-(alpha * t * _focus(-np.expm1(log_p), gamma) * log_p).sum(axis=axis), reduction)


def _focus(missing, gamma):
    """missing^gamma; constant where nothing is missing, so that no power of 0 is infinite."""
    if not gamma >= 0:
        raise ValueError(f"focal loss: gamma must not be negative, got {gamma}")
    some = missing > 0
    return np.where(some, np.where(some, missing, 1) ** gamma, 0 if gamma else 1)


# ---- yes or no ----
def binary_cross_entropy(input: Tensor, target: Tensor | np.ndarray, weight=None, reduction: str = "mean") -> Tensor:
    """-(t log(p) + (1 - t) log(1 - p)) of probabilities p, the logarithms no less than -100.

    The slope is (p - t) / max(p (1 - p), 1e-12), PyTorch's, which is finite at 0 and 1; Keras keeps p 1e-7 away from
    them, where the slope is then 0. weight: a factor, broadcast.
    From logits `binary_cross_entropy_with_logits` keeps more digits. Raises ValueError if p is not within 0 and 1.
    """
    target, every = _pair("binary_cross_entropy", input, target), whole(input)
    if np.any((every < 0) | (every > 1)):
        raise ValueError(f"binary_cross_entropy: input must be probabilities, got {every.min()} to {every.max()}; is "
                         "it binary_cross_entropy_with_logits that is wanted?")
    inside = input * (1 - input) > 1e-12
    p = np.where(inside, input, _detach(input))
    loss = -(target * _clamped_log(p) + (1 - target) * _clamped_log(1 - p))
    edge = np.square(input - _detach(target)) * 0.5e12  # of the slope that is wanted; its value is taken away again
    loss = loss + np.where(inside, 0, edge - _detach(edge))
    return _reduce(_weighted("binary_cross_entropy", loss, weight), reduction)


def _clamped_log(p):
    some = p > math.exp(-100)
    return np.where(some, np.log(np.where(some, p, 1)), -100)


def binary_cross_entropy_with_logits(input: Tensor, target: Tensor | np.ndarray, weight=None, pos_weight=None,
                                     reduction: str = "mean") -> Tensor:
    """-(t log sigmoid(x) + (1 - t) log(1 - sigmoid(x))), computed as (1 - t) x + softplus(-x).

    target: probabilities, of input's shape. weight: a factor per element. pos_weight: a factor on the t log term. Both
    broadcast to input's shape.
    """
    target = _pair("binary_cross_entropy_with_logits", input, target)
    log_weight = 1
    if pos_weight is not None:
        log_weight = _weighted("binary_cross_entropy_with_logits", target, pos_weight) + (1 - target)
    loss = (1 - target) * input + log_weight * np.logaddexp(-input, 0)
    return _reduce(_weighted("binary_cross_entropy_with_logits", loss, weight), reduction)


def binary_focal_loss(input: Tensor, target: Tensor | np.ndarray, alpha: float | None = 0.25, gamma: float = 2.0,
                      reduction: str = "mean") -> Tensor:
    """-alpha_t (1 - p_t)^gamma log(p_t), p_t the probability given to the truth. Lin et al. 2017.

    input: logits, not probabilities as Keras'; target: 0, 1 or between, of the same shape. alpha_t: alpha for a target
    of 1 and 1 - alpha for 0; alpha=None leaves it out, as Keras unless apply_class_balancing. gamma = 0: cross-entropy.
    """
    t = _pair("binary_focal_loss", input, target)
    loss = t * np.logaddexp(-input, 0) + (1 - t) * np.logaddexp(input, 0)
    loss = loss * _focus(t * sigmoid(-input) + (1 - t) * sigmoid(input), gamma)
    return _reduce(loss if alpha is None else loss * (alpha * t + (1 - alpha) * (1 - t)), reduction)


def hinge_loss(input: Tensor, target: Tensor | np.ndarray, margin: float = 1.0, reduction: str = "mean") -> Tensor:
    """max(0, margin - t x) for targets 1 or -1. Cortes & Vapnik 1995. (Keras turns targets of 0 into -1.)"""
    _same_shape("hinge_loss", input=input, target=target)
    return _reduce(relu(margin - _signs("hinge_loss", input, target) * input), reduction)


def squared_hinge_loss(input: Tensor, target: Tensor | np.ndarray, margin: float = 1.0,
                       reduction: str = "mean") -> Tensor:
    """max(0, margin - t x)^2 for targets 1 or -1. (Keras turns targets of 0 into -1.)"""
    _same_shape("squared_hinge_loss", input=input, target=target)
    return _reduce(np.square(relu(margin - _signs("squared_hinge_loss", input, target) * input)), reduction)


def perceptron_loss(input: Tensor, target: Tensor | np.ndarray, reduction: str = "mean") -> Tensor:
    """max(0, -t x) for targets 1 or -1: its gradient is the perceptron's rule, also at x = 0. Rosenblatt 1958."""
    _same_shape("perceptron_loss", input=input, target=target)
    return _reduce(_clamped(-_signs("perceptron_loss", input, target) * input), reduction)


def soft_margin_loss(input: Tensor, target: Tensor | np.ndarray, reduction: str = "mean") -> Tensor:
    """log(1 + exp(-t x)) for targets 1 or -1."""
    _same_shape("soft_margin_loss", input=input, target=target)
    return _reduce(np.logaddexp(-_signs("soft_margin_loss", input, target) * input, 0), reduction)


# ---- many answers at once ----
def multilabel_soft_margin_loss(input: Tensor, target: Tensor | np.ndarray, weight=None,
                                reduction: str = "mean") -> Tensor:
    """The binary cross-entropy of logits (..., C) with targets 0 or 1, averaged over the C labels.

    weight: a factor for each label, (C,).
    """
    loss = binary_cross_entropy_with_logits(input, target, reduction="none")
    return _reduce(_weighted("multilabel_soft_margin_loss", loss, weight).mean(axis=-1), reduction)


def multilabel_margin_loss(input: Tensor, target, reduction: str = "mean") -> Tensor:
    """sum of max(0, 1 - input[j] + input[i]) / C over the labels j that are given and all i that are not.

    input: (N, C) or (C,). target: class indices, of the same shape: those before the first -1 are given.
    """
    _same_shape("multilabel_margin_loss", input=input, target=target)
    labels, classes = _labels(target), input.shape[-1]
    if labels.dtype.kind not in "iu" or input.ndim not in (1, 2):
        raise TypeError("multilabel_margin_loss: takes logits (N, C) or (C,) and as many class indices, got "
                        f"{input.shape} and {labels.dtype}")
    every = whole(labels)
    if np.any((every < -1) | (every >= classes)):
        raise ValueError(f"multilabel_margin_loss: class indices from {every.min()} to {every.max()}, but there are "
                         f"{classes} classes (0 to {classes - 1}; -1 ends the list)")
    given = np.cumprod(labels >= 0, axis=-1).astype(bool)
    labels = np.where(given, labels, 0)
    is_label = (np.expand_dims(labels, -1) == np.arange(classes)) & np.expand_dims(given, -1)
    z = relu(1 - np.expand_dims(np.take_along_axis(input, labels, axis=-1), -1) + np.expand_dims(input, -2))
    counts = np.expand_dims(given, -1) & ~is_label.any(axis=-2, keepdims=True)
    return _reduce(np.where(counts, z, 0).sum(axis=(-2, -1)) / classes, reduction)


# ---- overlap of masks ----
def dice_loss(input: Tensor, target: Tensor | np.ndarray, axis=None, eps: float = 1e-7,
              reduction: str = "mean") -> Tensor:
    """1 - 2 sum(t p) / (sum(t) + sum(p) + eps), for probabilities p, with sums along ``axis`` (None: all). Keras' Dice.

    Of two empty masks it is 1. Milletari et al. 2016 (there with squares below).
    """
    target = _pair("dice_loss", input, target)
    hits = (input * target).sum(axis=axis)
    return _reduce(1 - 2 * hits / (input.sum(axis=axis) + target.sum(axis=axis) + eps), reduction)


def tversky_loss(input: Tensor, target: Tensor | np.ndarray, alpha: float = 0.5, beta: float = 0.5, axis=None,
                 eps: float = 1e-7, reduction: str = "mean") -> Tensor:
    """1 - h / (h + alpha f + beta m + eps) with hits h = sum(p t), false positives f = sum(p (1 - t)) and misses
    m = sum((1 - p) t), along ``axis`` (None: all). Salehi et al. 2017; Keras 3 has alpha and beta the other way round.
    """
    target = _pair("tversky_loss", input, target)
    hits, wrong = (input * target).sum(axis=axis), (input * (1 - target)).sum(axis=axis)
    missed = ((1 - input) * target).sum(axis=axis)
    return _reduce(1 - hits / (hits + alpha * wrong + beta * missed + eps), reduction)


# ---- regression ----
def mse_loss(input: Tensor, target: Tensor | np.ndarray, reduction: str = "mean") -> Tensor:
    """(input - target)^2, for equal shapes."""
    return _reduce(np.square(input - _pair("mse_loss", input, target)), reduction)


def l1_loss(input: Tensor, target: Tensor | np.ndarray, reduction: str = "mean") -> Tensor:
    """|input - target|; the derivative at 0 is 0."""
    return _reduce(np.absolute(input - _pair("l1_loss", input, target)), reduction)


def smooth_l1_loss(input: Tensor, target: Tensor | np.ndarray, reduction: str = "mean", beta: float = 1.0) -> Tensor:
    """d^2 / (2 beta) where |d| < beta, else |d| - beta / 2, for d = input - target: huber_loss / beta. Girshick 2015.

    beta = 0: `l1_loss`.
    """
    if not beta >= 0:
        raise ValueError(f"smooth_l1_loss: beta must not be negative, got {beta}")
    d = input - _pair("smooth_l1_loss", input, target)
    return _reduce(_huber(d, beta) / beta if beta else np.absolute(d), reduction)


def huber_loss(input: Tensor, target: Tensor | np.ndarray, reduction: str = "mean", delta: float = 1.0) -> Tensor:
    """d^2 / 2 where |d| <= delta, else delta (|d| - delta / 2), for d = input - target. Huber 1964."""
    _positive("huber_loss", delta=delta)
    return _reduce(_huber(input - _pair("huber_loss", input, target), delta), reduction)


def _huber(d, delta):
    size = np.absolute(d)
    near = size <= delta
    return np.where(near, 0.5 * np.square(np.where(near, d, 0)), delta * (size - 0.5 * delta))


def log_cosh_loss(input: Tensor, target: Tensor | np.ndarray, reduction: str = "mean") -> Tensor:
    """log(cosh(input - target)): d^2 / 2 near 0, |d| - log(2) far away, without overflow. Keras."""
    d = input - _pair("log_cosh_loss", input, target)
    return _reduce(np.logaddexp(d, -d) - math.log(2), reduction)


def mape_loss(input: Tensor, target: Tensor | np.ndarray, eps: float = 1e-7, reduction: str = "mean") -> Tensor:
    """100 |t - x| / max(|t|, eps): the absolute error in percent of the target. Keras."""
    target = _pair("mape_loss", input, target)
    return _reduce(100 * np.absolute((target - input) / np.maximum(np.absolute(target), eps)), reduction)


def msle_loss(input: Tensor, target: Tensor | np.ndarray, eps: float = 1e-7, reduction: str = "mean") -> Tensor:
    """(log(1 + t) - log(1 + x))^2, both no less than eps: relative errors of what is not negative. Keras."""
    target = _pair("msle_loss", input, target)
    return _reduce(np.square(np.log1p(np.maximum(target, eps)) - np.log1p(np.maximum(input, eps))), reduction)


def poisson_nll_loss(input: Tensor, target: Tensor | np.ndarray, log_input: bool = True, full: bool = False,
                     eps: float = 1e-8, reduction: str = "mean") -> Tensor:
    """exp(x) - t x for counts t of rate exp(x), or of rate x: x - t log(x + eps) with log_input=False.

    full: add Stirling's t log(t) - t + log(2 pi t) / 2 for log(t!), where t > 1. (Keras: log_input=False, eps=1e-7.)
    """
    target = _pair("poisson_nll_loss", input, target)
    loss = np.exp(input) - target * input if log_input else input - target * np.log(input + eps)
    if full:
        t = np.where(target > 1, target, 1)
        loss = loss + np.where(target > 1, t * np.log(t) - t + 0.5 * np.log(2 * math.pi * t), 0)
    return _reduce(loss, reduction)


def gaussian_nll_loss(input: Tensor, target: Tensor | np.ndarray, var, full: bool = False, eps: float = 1e-6,
                      reduction: str = "mean") -> Tensor:
    """(log(v) + (input - target)^2 / v) / 2 with v = max(var, eps). Nix & Weigend 1994.

    var: a number, or of input's shape, or with its last axis 1 or left out; what is below eps gets the gradient of
    eps, as in PyTorch. full: add log(2 pi) / 2. Raises ValueError for a negative variance.
    """
    _positive("gaussian_nll_loss", eps=eps)
    target = _pair("gaussian_nll_loss", input, target)
    var = np.full(input.shape, var, input.dtype) if isinstance(var, (int, float)) else _numbers(var, input.dtype)
    if var.shape == input.shape[:-1] and input.ndim:
        var = np.expand_dims(var, -1)
    if var.shape != input.shape and var.shape != (*input.shape[:-1], 1):
        raise ValueError(f"gaussian_nll_loss: var has shape {var.shape}, input {input.shape}; var may only leave out, "
                         "or have as 1, the last axis")
    if np.any(whole(var) < 0):
        raise ValueError(f"gaussian_nll_loss: var must not be negative, got {whole(var).min()}")
    v = np.where(var >= eps, var, var - _detach(var) + eps)
    loss = 0.5 * (np.log(v) + np.square(input - target) / v)
    return _reduce(loss + 0.5 * math.log(2 * math.pi) if full else loss, reduction)


# ---- pairs and triplets of vectors ----
def margin_ranking_loss(input1: Tensor, input2: Tensor, target, margin: float = 0.0,
                        reduction: str = "mean") -> Tensor:
    """max(0, margin - t (input1 - input2)): t = 1 wants the first to be greater, -1 the second."""
    _same_shape("margin_ranking_loss", input1=input1, input2=input2, target=target)
    return _reduce(_clamped(margin - _signs("margin_ranking_loss", input1, target) * (input1 - input2)), reduction)


def hinge_embedding_loss(input: Tensor, target, margin: float = 1.0, reduction: str = "mean") -> Tensor:
    """The distance ``input`` itself where the target is 1, max(0, margin - input) where it is -1."""
    _same_shape("hinge_embedding_loss", input=input, target=target)
    same = _signs("hinge_embedding_loss", input, target) > 0
    return _reduce(np.where(same, input, _clamped(margin - input)), reduction)


def _rows(name, input1, input2, target):
    _same_shape(name, input1=input1, input2=input2)
    if np.shape(target) != np.shape(input1)[:-1]:
        raise ValueError(f"{name}: target has shape {np.shape(target)} for vectors of shape {np.shape(input1)}, "
                         f"expected {np.shape(input1)[:-1]}")


def cosine_embedding_loss(input1: Tensor, input2: Tensor, target, margin: float = 0.0,
                          reduction: str = "mean") -> Tensor:
    """1 - cos(input1, input2) where the target is 1, max(0, cos - margin) where it is -1.

    inputs: (..., D), target: (...). The squared lengths are increased by 1e-12, so that of zeros the cosine is 0.
    """
    _rows("cosine_embedding_loss", input1, input2, target)
    same = _signs("cosine_embedding_loss", input1, target) > 0
    lengths = [np.sqrt(np.square(x).sum(axis=-1) + 1e-12) for x in (input1, input2)]
    cos = (input1 * input2).sum(axis=-1) / lengths[0] / lengths[1]
    return _reduce(np.where(same, 1 - cos, _clamped(cos - margin)), reduction)


def contrastive_loss(input1: Tensor, input2: Tensor, target, margin: float = 1.0, reduction: str = "mean") -> Tensor:
    """D^2 / 2 where the target is 0, a similar pair, and max(0, margin - D)^2 / 2 where it is 1, a dissimilar one.

    D: the distance |input1 - input2| of vectors (..., D); target: (...). Hadsell et al. 2006; some libraries have the
    two targets the other way round. Raises ValueError for other targets. At D = 0 a dissimilar pair has no gradient.
    """
    _rows("contrastive_loss", input1, input2, target)
    every = whole(target)
    wrong = every[(every != 0) & (every != 1)]
    if wrong.size:
        raise ValueError(f"contrastive_loss: targets must be 0 or 1, got {wrong.flat[0]}")
    _positive("contrastive_loss", margin=margin)
    d = input1 - input2
    far = relu(margin - np.linalg.norm(d, 2, -1))
    return _reduce(0.5 * np.where(_numbers(target, d.dtype) == 0, np.square(d).sum(axis=-1), np.square(far)), reduction)


def triplet_margin_loss(anchor: Tensor, positive: Tensor, negative: Tensor, margin: float = 1.0, p: float = 2.0,
                        eps: float = 1e-6, swap: bool = False, reduction: str = "mean") -> Tensor:
    """max(0, |a - p + eps|_p - |a - n + eps|_p + margin) of vectors (..., D). Schroff et al. 2015.

    swap: the negative counts from the anchor or the positive, whichever is nearer. Balntas et al. 2016.
    """
    def distance(x1, x2):
        return pairwise_distance(x1, x2, p, eps)
    return triplet_margin_with_distance_loss(anchor, positive, negative, distance, margin, swap, reduction)


def triplet_margin_with_distance_loss(anchor: Tensor, positive: Tensor, negative: Tensor, distance_function=None,
                                      margin: float = 1.0, swap: bool = False, reduction: str = "mean") -> Tensor:
    """max(0, d(a, p) - d(a, n) + margin) for any distance d of two inputs; by default `pairwise_distance`."""
    _same_shape("triplet_margin_loss", anchor=anchor, positive=positive, negative=negative)
    _positive("triplet_margin_loss", margin=margin)
    distance = distance_function or pairwise_distance
    near, far = distance(anchor, positive), distance(anchor, negative)
    far = np.minimum(far, distance(positive, negative)) if swap else far
    return _reduce(_clamped(near - far + margin), reduction)


def nt_xent_loss(input1: Tensor, input2: Tensor, temperature: float = 0.5, reduction: str = "mean") -> Tensor:
    """-log softmax(cosines / temperature)[the other view] for each of 2 N vectors among all others: SimCLR.

    inputs: (N, D) each, row i of both being two views of one thing. The cosine of a vector with itself does not count.
    reduction="none" gives (2 N,). Chen et al. 2020.
    """
    _same_shape("nt_xent_loss", input1=input1, input2=input2)
    _positive("nt_xent_loss", temperature=temperature)
    if np.ndim(input1) != 2 or not len(input1):
        raise ValueError(f"nt_xent_loss: inputs must be (N, D), of at least one row, got {np.shape(input1)}")
    z, n = normalize(np.concatenate([input1, input2])), len(input1)
    logits = np.where(np.eye(2 * n, dtype=bool), -math.inf, z @ z.T / temperature)
    return cross_entropy(logits, np.roll(np.arange(2 * n), n), reduction=reduction)


def wasserstein_loss(input: Tensor, target: Tensor | np.ndarray, reduction: str = "mean") -> Tensor:
    """-t x for the scores x of a critic and targets t: 1 for real, -1 for generated. Arjovsky et al. 2017.

    The critic minimises the sum of both, mean(x of generated) - mean(x of real), and has to be kept Lipschitz; the
    generator minimises it with targets of 1.
    """
    _same_shape("wasserstein_loss", input=input, target=target)
    return _reduce(-_signs("wasserstein_loss", input, target) * input, reduction)


# ---- sequences ----
def ctc_loss(log_probs: Tensor, targets, input_lengths, target_lengths, blank: int = 0, reduction: str = "mean",
             zero_infinity: bool = False) -> Tensor:
    """-log of the probability of all paths that read as the target once repeats, then blanks, are left out.

    log_probs: (T, N, C), or (T, C) of one sequence. targets: class indices (N, S), or all in a row. lengths: (N,). The
    mean is over N, of each loss divided by its target's length. zero_infinity: 0, not infinity, where no path fits. The
    gradient is the derivative; PyTorch's has softmax(logits) added, which `log_softmax` takes away. Graves et al. 2006.
    """
    check_reduction(reduction)
    alone = log_probs.ndim == 2
    emitted = np.expand_dims(log_probs, 1) if alone else log_probs
    if emitted.ndim != 3:
        raise ValueError(f"ctc_loss: log_probs are (T, N, C) or (T, C), got {log_probs.shape}")
    steps, n, classes = emitted.shape
    lengths, sizes = np.reshape(input_lengths, -1), np.reshape(target_lengths, -1)
    if (lengths.shape != (n,) or sizes.shape != (n,) or steps < 1 or np.any((lengths < 1) | (lengths > steps))
            or np.any(sizes < 0)):
        raise ValueError(f"ctc_loss: {n} sequences of up to {steps} steps need as many lengths, got input_lengths "
                         f"{lengths.tolist()} and target_lengths {sizes.tolist()}")
    path = _with_blanks(np.asarray(_labels(targets)), sizes, blank, classes, alone)
    place = np.arange(path.shape[1])
    jump = (path != blank) & (path != np.roll(path, 2, 1)) & (place > 1)  # over the blank between two that differ
    emitted = np.take_along_axis(emitted, np.broadcast_to(path, (steps, *path.shape)), axis=2)
    alpha = np.where(place < 2, emitted[0], -math.inf)  # of all ways to a place, the sum of probabilities
    nothing = np.full((n, 2), -math.inf, emitted.dtype)
    for t in range(1, steps):
        before = np.concatenate([nothing, alpha], 1)
        ways = np.stack([alpha, before[:, 1:-1], np.where(jump, before[:, :-2], -math.inf)])
        alpha = np.where((t < lengths)[:, None], emitted[t] + logsumexp(ways, axis=0), alpha)
    last = (place <= 2 * sizes[:, None]) & (place >= 2 * sizes[:, None] - 1)
    loss = -logsumexp(np.where(last, alpha, -math.inf), axis=1)
    loss = np.where(np.isinf(loss), 0, loss) if zero_infinity else loss
    if reduction == "mean":
        loss = loss / np.maximum(sizes, 1).astype(loss.dtype)
    return _reduce(loss.squeeze(0) if alone and reduction == "none" else loss, reduction)


def _with_blanks(targets, sizes, blank, classes, alone):
    """(N, 2 S + 1): blank, label, blank, label, ..., blank; what is behind a target's end is blank."""
    n, longest = len(sizes), max(sizes, default=0)
    within = np.arange(longest) < sizes[:, None]
    padded = np.full((n, longest), blank)
    if targets.ndim == 1 and not alone and targets.size == sizes.sum():
        padded[within] = targets
    elif targets.ndim == 2 - alone and targets.shape[:-1] in ((), (n,)) and targets.shape[-1] >= longest:
        padded = np.where(within, targets[..., :longest], blank)
    else:
        raise ValueError(f"ctc_loss: targets of shape {targets.shape} for target_lengths {sizes.tolist()}")
    labels = padded[within]
    if targets.dtype.kind not in "iu" or not 0 <= blank < classes or np.any(
            (labels < 0) | (labels >= classes) | (labels == blank)):
        raise ValueError(f"ctc_loss: blank ({blank}) and targets must be class indices from 0 to {classes - 1}, and no "
                         "target blank")
    path = np.full((n, 2 * longest + 1), blank)
    path[:, 1::2] = padded
    return path
