"""Layers that normalize."""

from __future__ import annotations

import numpy as np

from .. import functional as F
from ..functional.normalization import as_shape
from ..tensor import Parameter
from .module import Module, check_sizes

SPACE = ("", ", L", ", H, W", ", D, H, W")


class _BatchNorm(Module):
    ndims: tuple[int, ...]
    batch_norm = staticmethod(F.batch_norm)  # distributed exchanges it

    def __init__(self, num_features: int | None, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = True,
                 track_running_stats: bool = True, dtype=np.float32, *, bias: bool = True):
        check_sizes(self, num_features=num_features)
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        n = num_features or 0
        self.weight = Parameter(np.ones(n, dtype)) if affine else None
        self.bias = Parameter(np.zeros(n, dtype)) if affine and bias else None
        self.running_mean = self.running_var = None
        if track_running_stats:
            self.register_buffer("running_mean", np.zeros(n, dtype))
            self.register_buffer("running_var", np.ones(n, dtype))
            self.register_buffer("num_batches_tracked", np.zeros((), np.int64))

    def _build(self, num_features):
        self.num_features = num_features
        for name, value in (("weight", 1), ("bias", 0)):
            if getattr(self, name) is not None:
                getattr(self, name).data = np.full(num_features, value, getattr(self, name).dtype)
        for name, value in (("running_mean", 0), ("running_var", 1)):
            if getattr(self, name) is not None:
                setattr(self, name, np.full(num_features, value, getattr(self, name).dtype))

    def _infer_from(self, state, prefix):
        shapes = [np.shape(state[prefix + n]) for n in ("weight", "running_mean") if prefix + n in state]
        if self.num_features is None and shapes and len(shapes[0]) == 1:
            self._build(shapes[0][0])

    def forward(self, x):
        if self.num_features is None and x.ndim > 1:
            self._build(x.shape[1])
        if x.ndim not in self.ndims or x.shape[1] != self.num_features:
            shapes = " or ".join(f"(N, {self.num_features}{SPACE[d - 2]})" for d in self.ndims)
            raise ValueError(f"{type(self).__name__}: input {x.shape} must be {shapes}")
        momentum = self.momentum
        if self.training and self.running_mean is not None:
            momentum = 1 / (int(self.num_batches_tracked) + 1) if momentum is None else momentum
        y = self.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, self.training, momentum,
                            self.eps)
        if self.training and self.running_mean is not None:  # not for a batch that was refused
            self.num_batches_tracked += 1
        return y

    def extra_repr(self):
        return f"{self.num_features}, eps={self.eps}, momentum={self.momentum}"


class BatchNorm1d(_BatchNorm):
    """Per feature of (N, C) or (N, C, L): (x - mean) / sqrt(var + eps) * weight + bias. Ioffe & Szegedy 2015.

    In training with the batch's statistics (biased variance), of which ``momentum`` is mixed into running_mean and
    running_var (unbiased): PyTorch's convention; Keras' momentum is 1 minus this one (0.99 there), its eps
    1e-3, its running variance biased. momentum=None: a plain average.
    """

    ndims = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Per channel of (N, C, H, W), statistics over batch and pixels; otherwise as `BatchNorm1d`."""

    ndims = (4,)


class BatchNorm3d(_BatchNorm):
    """Per channel of (N, C, D, H, W), statistics over batch and voxels; otherwise as `BatchNorm1d`."""

    ndims = (5,)


class LazyBatchNorm1d(BatchNorm1d):
    """`BatchNorm1d` that takes num_features from its first input, or from the state it loads; by PyTorch's name."""

    def __init__(self, *args, **kwargs):
        _BatchNorm.__init__(self, None, *args, **kwargs)


class LazyBatchNorm2d(BatchNorm2d):
    """`BatchNorm2d` that takes num_features from its first input, or from the state it loads; by PyTorch's name."""

    __init__ = LazyBatchNorm1d.__init__


class LazyBatchNorm3d(BatchNorm3d):
    """`BatchNorm3d` that takes num_features from its first input, or from the state it loads; by PyTorch's name."""

    __init__ = LazyBatchNorm1d.__init__


class _InstanceNorm(_BatchNorm):
    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1, affine: bool = False,
                 track_running_stats: bool = False, dtype=np.float32, *, bias: bool = True):
        super().__init__(num_features, eps, momentum, affine, track_running_stats, dtype, bias=bias)

    def forward(self, x):
        n = self.ndims[0]
        if x.ndim not in (n, n - 1) or x.shape[x.ndim - n + 1] != self.num_features:
            sample = f"{self.num_features}{SPACE[n - 2]}"
            raise ValueError(f"{type(self).__name__}: input {x.shape} must be (N, {sample}) or ({sample})")
        y = F.instance_norm(x if x.ndim == n else x[None], self.running_mean, self.running_var, self.weight, self.bias,
                            self.training or self.running_mean is None, self.momentum or 0.0, self.eps)
        return y if x.ndim == n else y[0]


class InstanceNorm1d(_InstanceNorm):
    """Per sample and channel of (N, C, L) or (C, L): (x - mean) / sqrt(var + eps) * weight + bias. Ulyanov et al. 2016.

    affine and track_running_stats are off by default, as PyTorch's; tracked statistics, the averages of the samples'
    own (the variance unbiased), are used in evaluation only. num_batches_tracked stays 0 and momentum=None is 0,
    as in PyTorch.
    """

    ndims = (3,)


class InstanceNorm2d(_InstanceNorm):
    """Per sample and channel of (N, C, H, W) or (C, H, W), statistics over pixels; otherwise as `InstanceNorm1d`."""

    ndims = (4,)


class InstanceNorm3d(_InstanceNorm):
    """Per sample and channel of (N, C, D, H, W) or (C, D, H, W); otherwise as `InstanceNorm1d`."""

    ndims = (5,)


class GroupNorm(Module):
    """(x - mean) / sqrt(var + eps) * weight + bias, statistics over each sample's groups of channels. Wu & He 2018.

    (N, num_channels, ...) to the same. Keras' GroupNormalization has the channels last, 32 groups and eps 1e-3.
    """

    def __init__(self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True, dtype=np.float32, *,
                 bias: bool = True):
        if num_groups < 1 or num_channels % num_groups:
            raise ValueError(f"GroupNorm: {num_channels} channels do not divide into {num_groups} groups")
        self.num_groups, self.num_channels, self.eps = num_groups, num_channels, eps
        self.weight = Parameter(np.ones(num_channels, dtype)) if affine else None
        self.bias = Parameter(np.zeros(num_channels, dtype)) if affine and bias else None

    def forward(self, x):
        if x.ndim < 2 or x.shape[1] != self.num_channels:
            raise ValueError(f"GroupNorm: input {x.shape} must be (N, {self.num_channels}, ...)")
        return F.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self):
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}"


class LocalResponseNorm(Module):
    """x / (k + alpha / size * sum of x^2 over ``size`` neighbouring channels)^beta. Krizhevsky et al. 2012."""

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0):
        if size < 1:
            raise ValueError(f"LocalResponseNorm: size must be at least 1, got {size}")
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, x):
        return F.local_response_norm(x, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self):
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


class UnitNorm(Module):
    """x / max(|x|, 1e-12) along ``axis``: vectors of length 1. Keras' UnitNormalization."""

    def __init__(self, axis: int = -1):
        if not isinstance(axis, int):
            raise TypeError(f"UnitNorm: axis is an int, not {axis!r}")
        self.axis = axis

    def forward(self, x):
        return F.normalize(x, 2, self.axis, 1e-12)

    def extra_repr(self):
        return f"axis={self.axis}"


UnitNormalization = UnitNorm


class LayerNorm(Module):
    """(x - mean) / sqrt(var + eps) * weight + bias over the last axes, ``normalized_shape``. Ba et al. 2016.

    Keras' eps is 1e-3.
    """

    def __init__(self, normalized_shape, eps: float = 1e-5, elementwise_affine: bool = True, bias: bool = True,
                 dtype=np.float32):
        self.normalized_shape = as_shape(normalized_shape)
        self.eps = eps
        self.weight = Parameter(np.ones(self.normalized_shape, dtype)) if elementwise_affine else None
        self.bias = Parameter(np.zeros(self.normalized_shape, dtype)) if elementwise_affine and bias else None

    def forward(self, x):
        return F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self):
        return f"{self.normalized_shape}, eps={self.eps}"


class RMSNorm(Module):
    """x / sqrt(mean(x^2) + eps) * weight over the last axes, ``normalized_shape``. Zhang & Sennrich 2019.

    eps: None is the dtype's, 1.2e-7 for float32, as PyTorch; Keras' RMSNormalization has 1e-6.
    """

    def __init__(self, normalized_shape, eps: float | None = None, elementwise_affine: bool = True, dtype=np.float32):
        self.normalized_shape = as_shape(normalized_shape)
        self.eps = eps
        self.weight = Parameter(np.ones(self.normalized_shape, dtype)) if elementwise_affine else None

    def forward(self, x):
        return F.rms_norm(x, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self):
        return f"{self.normalized_shape}, eps={self.eps}"
