"""Normalization: zero mean and unit variance, then a learnt scale and shift."""

from __future__ import annotations

import numpy as np

from ..tensor import Tensor


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
