"""What is done to gradients between backward and the step: hooks for ``optimizer.gradient_hooks``, and DP-SGD."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ..nn.module import Module
from ..random import default_generator
from ..tensor import Tensor


def clip_adaptive(clipping: float = 0.01, eps: float = 1e-3) -> Callable:
    """A gradient hook: the gradient of every unit at most ``clipping`` times as long as its weights. Brock et al. 2021.

    A unit is what makes one output: a column of a Dense weight, weight[i] of a convolution, a vector as a whole.
    eps: the least length of the weights, lest those that start at 0 stay there.
    """
    if not (clipping > 0 and eps > 0):
        raise ValueError(f"clipping and eps must be positive, got {clipping} and {eps}")

    def hook(params, grads):
        new = []
        for p, g in zip(params, grads):
            most, norm = clipping * np.maximum(_unit_norm(p.data), eps), _unit_norm(g)
            new.append(np.where(norm > most, most / np.maximum(norm, np.finfo(g.dtype).tiny), g.dtype.type(1)) * g)
        return new
    return hook


def clip_block_rms(threshold: float) -> Callable:
    """A gradient hook: g / max(1, rms(g) / threshold), parameter by parameter. Shazeer & Stern 2018, of the update.

    As optax.clip_by_block_rms.
    """
    if not threshold > 0:
        raise ValueError(f"threshold must be positive, got {threshold}")

    def clip(g):
        rms = math.sqrt(float(np.vdot(g, g).real) / g.size) if g.size else 0.0
        return g * (threshold / rms) if rms > threshold else g
    return lambda params, grads: [clip(g) for g in grads]


def centralize() -> Callable:
    """A gradient hook: g minus its mean over every unit (see `clip_adaptive`); vectors as they are. Yong et al. 2020.

    Keeps the mean of every unit's weights as it is. A unit is an output, as in the paper: the mean of a Dense gradient
    (in, out) is over axis 0. optax.centralize always takes it over all axes but the first.
    """
    return lambda params, grads: [g if g.ndim < 2 else g - g.mean(_unit_axes(g), keepdims=True) for g in grads]


def zero_nans() -> Callable:
    """A gradient hook: NaN becomes 0, so that the other weights are trained. Infinities stay."""
    return lambda params, grads: [np.where(np.isnan(g), g.dtype.type(0), g) for g in grads]


def chain(*hooks: Callable) -> Callable:
    """A gradient hook that is several, one after the other: ``chain(zero_nans(), clip_norm(1.0))``."""
    def hook(params, grads):
        for one in hooks:
            grads = one(params, grads)
        return grads
    return hook


def _unit_axes(a):
    return None if a.ndim < 2 else 0 if a.ndim == 2 else tuple(range(1, a.ndim))


def _unit_norm(a):
    return np.sqrt(np.sum(a * a, axis=_unit_axes(a), keepdims=True))


# ---- gradients of single examples ----
def private_gradients(loss: Callable, model: Module, *batch, max_norm: float = 1.0, noise_multiplier: float = 1.0,
                      generator: np.random.Generator | None = None) -> float:
    """DP-SGD: put (sum of g_i min(1, max_norm / |g_i|) + N(0, (noise_multiplier max_norm)^2)) / n into the gradients.

    g_i is the gradient of loss(model, x_i, y_i, ...), |g_i| its norm over all parameters, n the examples in ``batch``.
    Abadi et al. 2016: no example moves the weights by more than max_norm, and noise hides that; any optimizer steps
    along it. What epsilon this comes to takes an accountant, which is not here. Returns the share that was clipped.
    """
    from ..batching import vmap
    from ..calculus import grad
    if not (max_norm > 0 and noise_multiplier >= 0):
        raise ValueError("private_gradients: max_norm must be positive and noise_multiplier at least 0, got "
                         f"{max_norm} and {noise_multiplier}")
    rng = generator or default_generator()
    each = vmap(grad(loss), (None, *[0] * len(batch)))(model, *batch)
    each = {name: g.data for name, g in each.items()}
    norms = np.sqrt(sum(np.square(g).reshape(len(g), -1).sum(1) for g in each.values()))
    scale = np.minimum(1, max_norm / np.maximum(norms, np.finfo(norms.dtype).tiny))
    for name, p in model.named_parameters():
        if name in each:
            noise = noise_multiplier * max_norm * rng.standard_normal(p.shape)
            p.grad = Tensor(((np.tensordot(scale, each[name], 1) + noise) / len(scale)).astype(p.dtype))
    return float(np.mean(norms > max_norm))
