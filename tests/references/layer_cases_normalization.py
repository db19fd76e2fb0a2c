"""Normalization, weights computed from others, and dropout with masks that are given."""

from __future__ import annotations

import math
import os
from dataclasses import replace

import numpy as np
from references.layers import Case
from references.record import uniform

import minigrad.functional as F
from minigrad import nn


# ---- layers of PyTorch ----
def both(title, name, shape, *args, training=True, buffers=False, **kwargs):
    return Case(title, lambda: getattr(nn, name)(*args, **kwargs), lambda t: getattr(t.nn, name)(*args, **kwargs),
                (shape,), training=training, buffers=buffers)


LAYERS = [
    both("BatchNorm1d", "BatchNorm1d", (5, 3), 3, buffers=True),
    both("BatchNorm1d of sequences", "BatchNorm1d", (3, 2, 4), 2, momentum=0.3, eps=1e-3, buffers=True),
    both("BatchNorm1d, evaluation", "BatchNorm1d", (4, 3), 3, training=False, buffers=True),
    both("BatchNorm1d, momentum None", "BatchNorm1d", (4, 3), 3, momentum=None, buffers=True),
    both("BatchNorm1d, no affine", "BatchNorm1d", (4, 3), 3, affine=False, buffers=True),
    both("BatchNorm1d, no bias", "BatchNorm1d", (4, 3), 3, bias=False),
    both("BatchNorm1d, no statistics, evaluation", "BatchNorm1d", (4, 3), 3, track_running_stats=False, training=False),
    both("BatchNorm2d", "BatchNorm2d", (2, 3, 2, 2), 3, buffers=True),
    both("BatchNorm2d, evaluation", "BatchNorm2d", (2, 3, 2, 2), 3, training=False),
    both("BatchNorm3d", "BatchNorm3d", (2, 2, 2, 1, 3), 2, buffers=True),
    both("BatchNorm3d, evaluation", "BatchNorm3d", (2, 2, 2, 1, 3), 2, training=False),
    both("GroupNorm", "GroupNorm", (2, 4, 3), 2, 4),
    both("GroupNorm of images", "GroupNorm", (2, 6, 2, 2), 3, 6, eps=1e-3),
    both("GroupNorm, one group", "GroupNorm", (2, 3, 2), 1, 3),
    both("GroupNorm, C groups, no affine", "GroupNorm", (2, 3, 4), 3, 3, affine=False),
    both("GroupNorm of vectors, no bias", "GroupNorm", (3, 6), 2, 6, bias=False),
    both("InstanceNorm1d", "InstanceNorm1d", (2, 3, 4), 3),
    both("InstanceNorm1d, one sample", "InstanceNorm1d", (3, 4), 3, affine=True),
    both("InstanceNorm1d, affine, statistics", "InstanceNorm1d", (2, 3, 4), 3, affine=True, track_running_stats=True,
         momentum=0.3, buffers=True),
    both("InstanceNorm1d, affine, statistics, evaluation", "InstanceNorm1d", (2, 3, 4), 3, affine=True,
         track_running_stats=True, training=False, buffers=True),
    both("InstanceNorm2d", "InstanceNorm2d", (2, 2, 2, 3), 2),
    both("InstanceNorm2d, affine, evaluation", "InstanceNorm2d", (2, 2, 2, 3), 2, affine=True, eps=1e-3,
         training=False),
    both("InstanceNorm2d, statistics, one sample", "InstanceNorm2d", (2, 2, 3), 2, track_running_stats=True,
         buffers=True),
    both("InstanceNorm2d, momentum None", "InstanceNorm2d", (2, 2, 2, 3), 2, track_running_stats=True, momentum=None,
         buffers=True),
    both("InstanceNorm3d, affine, statistics", "InstanceNorm3d", (2, 2, 2, 2, 2), 2, affine=True,
         track_running_stats=True, buffers=True),
    both("LayerNorm", "LayerNorm", (3, 4), 4),
    both("LayerNorm of two axes, no bias", "LayerNorm", (2, 3, 4), (3, 4), eps=1e-3, bias=False),
    both("LayerNorm, no affine", "LayerNorm", (2, 3, 4), 4, elementwise_affine=False),
    both("RMSNorm", "RMSNorm", (3, 4), 4),
    both("RMSNorm of two axes", "RMSNorm", (2, 3, 2), (3, 2), eps=1e-2),
    both("RMSNorm, no affine", "RMSNorm", (2, 3, 4), 4, elementwise_affine=False),
    both("LocalResponseNorm", "LocalResponseNorm", (2, 5, 3), 3, alpha=0.5),
    both("LocalResponseNorm of images, even size", "LocalResponseNorm", (2, 5, 2, 2), 4, alpha=0.7, beta=0.6, k=2.0),
    both("LocalResponseNorm, defaults", "LocalResponseNorm", (1, 3, 2, 2), 5),
    both("LocalResponseNorm of volumes, size 1", "LocalResponseNorm", (1, 3, 2, 1, 2), 1, alpha=1.0),
]


def unit_norm(title, axis, shape):
    """Beside Keras' layer, and beside torch.nn.functional.normalize."""
    def keras(t):
        os.environ["KERAS_BACKEND"] = "torch"
        import keras
        return lambda x: keras.layers.UnitNormalization(axis=axis, dtype="float64")(x)
    return [Case(title, lambda: nn.UnitNormalization(axis), keras, (shape,), tolerance=1e-6,
                 why="Keras rounds the inverse length to float32 (operation minimum, backend torch)"),
            Case(f"{title}, by PyTorch", lambda: nn.UnitNorm(axis),
                 lambda t: lambda x: t.nn.functional.normalize(x, dim=axis), (shape,))]


KERAS = [*unit_norm("UnitNorm", -1, (3, 4)), *unit_norm("UnitNorm, axis 1", 1, (2, 3, 2))]


# ---- weights computed from others ----
def computed(title, how, make, shape, training=True, **kwargs):
    """make: (nn) -> a layer. A change by the same name in torch.nn.utils.parametrizations."""
    def ours():
        return getattr(nn, how)(make(nn), **kwargs)

    def theirs(t):
        return getattr(t.nn.utils.parametrizations, how)(make(t.nn), **kwargs)
    return Case(f"{how}: {title}", ours, theirs, (shape,), training=training, buffers=how == "spectral_norm")


def twice(case, name="weight"):
    """The same case, with PyTorch's fused function replaced by its formula, to be differentiated twice."""
    def theirs(t):
        layer = case.theirs(t)
        norm = layer.parametrizations[name][0]

        def forward(g, v):
            others = [a for a in range(v.ndim) if a != norm.dim]
            return v * (g / (v.square().sum(others, keepdim=True) if others else v.square()).sqrt())
        norm.forward = forward
        return layer
    return replace(case, name=f"{case.name}, by the formula", theirs=theirs, order=2, why="")


def once(case):
    return replace(case, order=1, why="the second derivative of PyTorch 2.13's weight norm along the first or last "
                                      "axis fails its own gradgradcheck; see 'by the formula'")


def standardized(title, make, axes, shape, eps):
    def theirs(t):
        class Standardize(t.nn.Module):
            def forward(self, w):
                return (w - w.mean(axes, keepdim=True)) / (w.var(axes, unbiased=False, keepdim=True) + eps).sqrt()
        layer = make(t.nn)
        t.nn.utils.parametrize.register_parametrization(layer, "weight", Standardize())
        return layer
    return Case(f"weight_standardization: {title}", lambda: nn.weight_standardization(make(nn), eps=eps), theirs,
                (shape,))


FUSED = [
    computed("Linear", "weight_norm", lambda n: n.Linear(3, 2), (4, 3)),
    computed("Linear, dim 1, no bias", "weight_norm", lambda n: n.Linear(3, 2, bias=False), (4, 3), dim=1),
    computed("Conv2d", "weight_norm", lambda n: n.Conv2d(2, 3, 2), (2, 2, 3, 3)),
]
COMPUTED = [
    *map(once, FUSED),
    *map(twice, FUSED),
    twice(computed("a bias", "weight_norm", lambda n: n.Linear(3, 2), (4, 3), name="bias"), "bias"),
    computed("Linear, dim None", "weight_norm", lambda n: n.Linear(3, 2), (4, 3), dim=None),
    computed("Conv2d, dim 1, evaluation", "weight_norm", lambda n: n.Conv2d(2, 3, 2), (1, 2, 3, 3), training=False,
             dim=1),
    computed("Linear", "spectral_norm", lambda n: n.Linear(3, 2), (4, 3)),
    computed("Linear, evaluation", "spectral_norm", lambda n: n.Linear(3, 2), (4, 3), training=False),
    computed("Linear, 3 iterations, dim 1", "spectral_norm", lambda n: n.Linear(3, 2, bias=False), (4, 3),
             n_power_iterations=3, dim=1),
    computed("Conv2d", "spectral_norm", lambda n: n.Conv2d(2, 3, 2), (2, 2, 3, 3)),
    computed("Conv2d, evaluation, dim 1", "spectral_norm", lambda n: n.Conv2d(2, 3, 2), (1, 2, 3, 3), training=False,
             dim=1),
    once(Case("weight_norm and spectral_norm in a Sequential",
              lambda: nn.Sequential(nn.weight_norm(nn.Linear(3, 4)), nn.Tanh(), nn.spectral_norm(nn.Linear(4, 2))),
              lambda t: t.nn.Sequential(t.nn.utils.parametrizations.weight_norm(t.nn.Linear(3, 4)), t.nn.Tanh(),
                                        t.nn.utils.parametrizations.spectral_norm(t.nn.Linear(4, 2))), ((4, 3),))),
    standardized("Linear", lambda n: n.Linear(3, 2), 1, (4, 3), 1e-5),
    standardized("Conv2d", lambda n: n.Conv2d(2, 3, 2, bias=False), (1, 2, 3), (2, 2, 3, 3), 1e-2),
]


# ---- dropout with given masks ----
def mask(*shape):
    """Ones and zeros, a third."""
    return (uniform("mask", *shape) > -1 / 3).astype(np.float64)


def noise(*shape):
    return uniform("noise", *shape, low=-2, high=2)


def masked(title, shape, ours, theirs):
    """ours: (x) -> y; theirs: (torch, x) -> y."""
    shapes = tuple(shape) if isinstance(shape, list) else (shape,)
    return Case(title, lambda: ours, lambda t: lambda *xs: theirs(t, *xs), shapes)


def selu_limit():
    return -1.0507009873554804934193349852946 * 1.6732632423543772848170429916717


def alpha(t, x, m, p):
    m, s = t.tensor(m).expand(x.shape), selu_limit()
    y = t.where(m > 0, x, t.full_like(x, s))
    variance = (1 - p) * (1 + p * s ** 2)  # of what has mean 0 and variance 1
    return (y - p * s) / math.sqrt(variance)


def blocks(t, x, kept):
    m = t.tensor(kept).expand(x.shape)
    return x * m * (m.numel() / (1e-6 + m.sum()))


def holes(t, x, centers, size):
    y = x.clone()
    for n, squares in enumerate(centers):
        for i, j in squares:
            top, left = i - size // 2, j - size // 2
            y[n, :, max(top, 0):max(top + size, 0), max(left, 0):max(left + size, 0)] = 0
    return y


CENTERS = np.array([[[0, 0], [2, 3]], [[1, 1], [3, 0]]])
MASKED = [
    masked("dropout", (4, 3), lambda x: F.dropout(x, 0.3, mask=mask(4, 3)),
           lambda t, x: x * t.tensor(mask(4, 3)) / 0.7),
    masked("dropout, classic", (4, 3), lambda x: F.dropout(x, 0.3, mask=mask(4, 3), scaling="classic"),
           lambda t, x: x * t.tensor(mask(4, 3))),
    masked("dropout, classic, evaluation", (4, 3), lambda x: F.dropout(x, 0.3, False, scaling="classic"),
           lambda t, x: x * 0.7),
    masked("dropout1d", (2, 3, 4), lambda x: F.dropout1d(x, 0.3, mask=mask(2, 3, 1)),
           lambda t, x: x * t.tensor(mask(2, 3, 1)) / 0.7),
    masked("dropout2d", (2, 3, 2, 2), lambda x: F.dropout2d(x, 0.4, mask=mask(2, 3, 1, 1)),
           lambda t, x: x * t.tensor(mask(2, 3, 1, 1)) / 0.6),
    masked("dropout3d", (2, 3, 2, 1, 2), lambda x: F.dropout3d(x, 0.4, mask=mask(2, 3, 1, 1, 1)),
           lambda t, x: x * t.tensor(mask(2, 3, 1, 1, 1)) / 0.6),
    masked("alpha_dropout", (4, 3), lambda x: F.alpha_dropout(x, 0.3, True, mask=mask(4, 3)),
           lambda t, x: alpha(t, x, mask(4, 3), 0.3)),
    masked("feature_alpha_dropout", (2, 3, 4), lambda x: F.feature_alpha_dropout(x, 0.6, True, mask=mask(2, 3, 1)),
           lambda t, x: alpha(t, x, mask(2, 3, 1), 0.6)),
    masked("gaussian_dropout", (4, 3), lambda x: F.gaussian_dropout(x, 0.2, noise=noise(4, 3)),
           lambda t, x: x * (1 + 0.5 * t.tensor(noise(4, 3)))),
    masked("gaussian_noise", (4, 3), lambda x: F.gaussian_noise(x, 0.2, noise=noise(4, 3)),
           lambda t, x: x + 0.2 * t.tensor(noise(4, 3))),
    masked("stochastic_depth, row", (6, 2, 2), lambda x: F.stochastic_depth(x, 0.2, mask=mask(6, 1, 1)),
           lambda t, x: x * t.tensor(mask(6, 1, 1)) / 0.8),
    masked("stochastic_depth, batch", (3, 2), lambda x: F.stochastic_depth(x, 0.2, "batch", mask=np.ones((1, 1))),
           lambda t, x: x / 0.8),
    masked("drop_block2d", (2, 2, 3, 3), lambda x: F.drop_block2d(x, 0.3, 2, mask=mask(2, 2, 3, 3)),
           lambda t, x: blocks(t, x, mask(2, 2, 3, 3))),
    masked("cutout", (2, 2, 4, 4), lambda x: F.cutout(x, 2, 2, centers=CENTERS), lambda t, x: holes(t, x, CENTERS, 2)),
    masked("cutout, odd", (2, 1, 5, 4), lambda x: F.cutout(x, 3, 2, centers=CENTERS),
           lambda t, x: holes(t, x, CENTERS, 3)),
    masked("drop_connect", [(4, 3), (3, 2), (2,)], lambda x, w, b: F.drop_connect(x, w, b, mask=mask(3, 2)),
           lambda t, x, w, b: x @ (w * t.tensor(mask(3, 2))) + b),
    masked("drop_connect, per example, biases too", [(4, 3), (3, 2), (2,)],
           lambda x, w, b: F.drop_connect(x, w, b, mask=mask(4, 3, 2), bias_mask=mask(4, 2)),
           lambda t, x, w, b: t.einsum("ni,nio->no", x, w * t.tensor(mask(4, 3, 2))) + b * t.tensor(mask(4, 2))),
]

CASES = [*LAYERS, *KERAS, *COMPUTED, *MASKED]
