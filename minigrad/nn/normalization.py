"""Layers that normalize."""

from __future__ import annotations

import numpy as np

from .. import functional as F
from ..tensor import Parameter
from .module import Module


class _BatchNorm(Module):
    ndims: tuple[int, ...]

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = True,
                 track_running_stats: bool = True, dtype=np.float32):
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.weight = Parameter(np.ones(num_features, dtype)) if affine else None
        self.bias = Parameter(np.zeros(num_features, dtype)) if affine else None
        self.running_mean = self.running_var = None
        if track_running_stats:
            self.register_buffer("running_mean", np.zeros(num_features, dtype))
            self.register_buffer("running_var", np.ones(num_features, dtype))
            self.register_buffer("num_batches_tracked", np.zeros((), np.int64))

    def forward(self, x):
        if x.ndim not in self.ndims or x.shape[1] != self.num_features:
            shapes = " or ".join(f"(N, {self.num_features}{', L' * (d == 3)}{', H, W' * (d == 4)})" for d in self.ndims)
            raise ValueError(f"{type(self).__name__}: input {x.shape} must be {shapes}")
        momentum = self.momentum
        if self.training and self.running_mean is not None:
            self.num_batches_tracked += 1
            momentum = 1 / int(self.num_batches_tracked) if momentum is None else momentum
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, self.training, momentum,
                            self.eps)

    def extra_repr(self):
        return f"{self.num_features}, eps={self.eps}, momentum={self.momentum}"


class BatchNorm1d(_BatchNorm):
    """Per feature of (N, C) or (N, C, L): (x - mean) / sqrt(var + eps) * weight + bias. Ioffe & Szegedy 2015.

    In training with the batch's statistics (biased variance), of which ``momentum`` is mixed into running_mean and
    running_var (unbiased): PyTorch's convention; Keras' momentum is 1 minus this one. momentum=None: a plain average.
    """

    ndims = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Per channel of (N, C, H, W), statistics over batch and pixels; otherwise as `BatchNorm1d`."""

    ndims = (4,)


class LayerNorm(Module):
    """(x - mean) / sqrt(var + eps) * weight + bias over the last axes, ``normalized_shape``. Ba et al. 2016."""

    def __init__(self, normalized_shape, eps: float = 1e-5, elementwise_affine: bool = True, bias: bool = True,
                 dtype=np.float32):
        self.normalized_shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        self.eps = eps
        self.weight = Parameter(np.ones(self.normalized_shape, dtype)) if elementwise_affine else None
        self.bias = Parameter(np.zeros(self.normalized_shape, dtype)) if elementwise_affine and bias else None

    def forward(self, x):
        return F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self):
        return f"{self.normalized_shape}, eps={self.eps}"
