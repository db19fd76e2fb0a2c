"""Regularization by chance."""

from __future__ import annotations

import numpy as np

from ..random import default_generator
from ..tensor import Tensor
from .dense import linear

Chance = np.random.Generator | None


def check_probability(p: float) -> float:
    """``p`` itself, or ValueError if it is not between 0 and 1."""
    if not 0 <= p <= 1:
        raise ValueError(f"the probability of dropping must be between 0 and 1, got {p}")
    return p


def keep_mask(shape: tuple[int, ...], p: float, dtype, generator: Chance = None) -> np.ndarray:
    """Ones, and zeros with probability ``p``."""
    return ((generator or default_generator()).random(shape, np.float32) >= check_probability(p)).astype(dtype)


def dropout(x: Tensor, p: float = 0.5, training: bool = True, generator: Chance = None, mask=None) -> Tensor:
    """Zero each element with probability ``p`` and divide the others by 1 - p. Srivastava et al. 2014 (inverted).

    mask: ones for what stays and zeros, of a shape that broadcasts to x's, instead of a draw.
    """
    if (check_probability(p) == 0 and mask is None) or not training:
        return x
    mask = keep_mask(x.shape, p, x.dtype, generator) if mask is None else mask.astype(x.dtype)
    return x * (mask * (1 / (1 - p) if p < 1 else 0))


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
