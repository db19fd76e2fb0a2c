"""Regularization by chance."""

from __future__ import annotations

import math
from numbers import Real

import numpy as np

from ..random import default_generator
from ..tensor import Tensor
from .conv import IMAGES, _check_images
from .dense import linear

Chance = np.random.Generator | None


def check_probability(p: float) -> float:
    """``p`` itself, or ValueError if it is not between 0 and 1, TypeError if it is no number."""
    if not isinstance(p, Real):
        raise TypeError(f"the probability of dropping must be a number, got {p!r:.60}")
    if not 0 <= p <= 1:
        raise ValueError(f"the probability of dropping must be between 0 and 1, got {p}")
    return p


def keep_mask(shape: tuple[int, ...], p: float, dtype, generator: Chance = None) -> np.ndarray:
    """Ones, and zeros with probability ``p``."""
    return ((generator or default_generator()).random(shape, np.float32) >= check_probability(p)).astype(dtype)


def _kept(mask, shape, p, like, generator):
    """``mask``, or one that is drawn, of the dtype of ``like``."""
    return keep_mask(shape, p, like.dtype, generator) if mask is None else np.asarray(mask).astype(like.dtype)


def _normal(noise, like, generator):
    noise = (generator or default_generator()).standard_normal(like.shape) if noise is None else np.asarray(noise)
    return noise.astype(like.dtype)


# ---- zeros in place of numbers, channels, regions ----
def check_scaling(scaling: str) -> str:
    """``scaling`` itself, or ValueError if there is no such."""
    if scaling not in ("inverted", "classic"):
        raise ValueError(f"scaling is 'inverted' or 'classic', not {scaling!r}")
    return scaling


def dropout(x: Tensor, p: float = 0.5, training: bool = True, generator: Chance = None, mask=None, *,
            scaling: str = "inverted") -> Tensor:
    """Zero each element with probability ``p`` and divide the others by 1 - p. Srivastava et al. 2014.

    scaling: "classic", as in the paper, does not divide in training but multiplies by 1 - p in evaluation; the means
    are the same. mask: ones for what stays and zeros, of a shape that broadcasts to x's, instead of a draw.
    """
    return _dropout(x, x.shape, p, training, generator, mask, scaling)


def _dropout(x, shape, p, training, generator, mask, scaling="inverted"):
    check_probability(p)
    if check_scaling(scaling) == "classic" and not training:
        return x * (1 - p) if p else x
    if (p == 0 and mask is None) or not training:
        return x
    mask = _kept(mask, shape, p, x, generator)
    return x * mask if scaling == "classic" else x * (mask * (1 / (1 - p) if p < 1 else 0))


def _channels(name, x, n, unbatched=True):
    """The shape of a mask with one number for each sample and channel."""
    space = IMAGES[n].removeprefix("(N, ").removesuffix(")")
    if x.ndim != n + 2 and not (unbatched and x.ndim == n + 1):
        raise ValueError(f"{name}: input {x.shape} must be (N, {space})" + f" or ({space})" * unbatched)
    return *x.shape[:-n], *(1,) * n


def dropout1d(x: Tensor, p: float = 0.5, training: bool = True, generator: Chance = None, mask=None) -> Tensor:
    """`dropout` of whole channels of (N, C, L) or (C, L). mask: (N, C, 1). Keras' SpatialDropout1D.

    Tompson et al. 2015: neighbours are alike, so that single zeros hide nothing.
    """
    return _dropout(x, _channels("dropout1d", x, 1), p, training, generator, mask)


def dropout2d(x: Tensor, p: float = 0.5, training: bool = True, generator: Chance = None, mask=None) -> Tensor:
    """`dropout` of whole channels of (N, C, H, W). mask: (N, C, 1, 1). Keras' SpatialDropout2D."""
    return _dropout(x, _channels("dropout2d", x, 2, False), p, training, generator, mask)


def dropout3d(x: Tensor, p: float = 0.5, training: bool = True, generator: Chance = None, mask=None) -> Tensor:
    """`dropout` of whole channels of (N, C, D, H, W) or (C, D, H, W). mask: (N, C, 1, 1, 1)."""
    return _dropout(x, _channels("dropout3d", x, 3), p, training, generator, mask)


def drop_block2d(x: Tensor, p: float, block_size: int, eps: float = 1e-6, training: bool = True,
                 generator: Chance = None, mask=None) -> Tensor:
    """Zero squares of ``block_size`` pixels in every channel, about ``p`` of all, and divide by the share that stays.

    x: (N, C, H, W). A square starts at a pixel with probability p H W / (b^2 (H - b + 1) (W - b + 1)). mask: ones for
    what stays. Ghiasi et al. 2018; arguments as torchvision's.
    """
    _check_images("drop_block2d", x, 2)
    check_probability(p)
    if block_size < 1:
        raise ValueError(f"drop_block2d: block_size must be at least 1, got {block_size}")
    if (p == 0 and mask is None) or not training or not x.size:
        return x
    if mask is None:
        height, width = x.shape[2:]
        b = min(block_size, height, width)
        places = (*x.shape[:2], height - b + 1, width - b + 1)
        gamma = p * height * width / (b * b * places[2] * places[3])
        starts = 1 - keep_mask(places, min(gamma, 1.0), x.dtype, generator)
        starts = np.pad(starts, ((0, 0), (0, 0), (b - 1, b - 1), (b - 1, b - 1)))
        mask = 1 - np.lib.stride_tricks.sliding_window_view(starts, (b, b), axis=(2, 3)).max(axis=(4, 5))
    mask = np.broadcast_to(np.asarray(mask).astype(x.dtype), x.shape)
    return x * (mask * x.dtype.type(mask.size / (eps + mask.sum(dtype=np.float64))))


def cutout(x: Tensor, size: int, holes: int = 1, training: bool = True, generator: Chance = None,
           centers=None) -> Tensor:
    """Zero ``holes`` squares of size x size pixels in every image (N, C, H, W), alike in all channels.

    Their centers are uniform over the pixels, so that some reach beyond the edge. DeVries & Taylor 2017. Nothing is
    rescaled. centers: (N, holes, 2) rows and columns instead of a draw.
    """
    _check_images("cutout", x, 2)
    if size < 1 or holes < 1:
        raise ValueError(f"cutout: size and holes must be at least 1, got {size} and {holes}")
    if not training:
        return x
    if centers is None:
        centers = (generator or default_generator()).integers(0, x.shape[2:], (x.shape[0], holes, 2))
    centers = np.asarray(centers)
    if centers.shape != (x.shape[0], holes, 2):
        raise ValueError(f"cutout: centers {centers.shape} must be {(x.shape[0], holes, 2)}")
    inside = [(first <= i) & (i < first + size) for first, i in
              ((centers[..., axis, None] - size // 2, np.arange(n)) for axis, n in enumerate(x.shape[2:]))]
    hidden = (inside[0][..., :, None] & inside[1][..., None, :]).any(axis=1)
    return x * (~hidden[:, None]).astype(x.dtype)


# ---- SELU's saturation in place of numbers ----
SATURATION = -1.7580993408473766  # where SELU ends on the left


def alpha_dropout(x: Tensor, p: float = 0.5, training: bool = False, generator: Chance = None, mask=None) -> Tensor:
    """a (mask x + (1 - mask) s) + b, s SELU's lower limit: keeps mean 0 and variance 1. Klambauer et al. 2017.

    a = ((1 - p) (1 + p s^2))^(-1/2), b = -a p s. mask: ones for what stays, instead of a draw. With p = 1 all is 0.
    """
    return _alpha_dropout(x, x.shape, p, training, generator, mask)


def feature_alpha_dropout(x: Tensor, p: float = 0.5, training: bool = False, generator: Chance = None,
                          mask=None) -> Tensor:
    """`alpha_dropout` of whole channels of (N, C, ...). mask: (N, C, 1, ...)."""
    if x.ndim < 2:
        raise ValueError(f"feature_alpha_dropout: input {x.shape} must be (N, C, ...)")
    return _alpha_dropout(x, (*x.shape[:2], *(1,) * (x.ndim - 2)), p, training, generator, mask)


def _alpha_dropout(x, shape, p, training, generator, mask):
    if (check_probability(p) == 0 and mask is None) or not training:
        return x
    if p == 1:
        return x * 0
    mask = _kept(mask, shape, p, x, generator)
    a = ((1 - p) * (1 + p * SATURATION ** 2)) ** -0.5
    return x * (mask * a) + ((1 - mask) * (a * SATURATION) - a * p * SATURATION)


# ---- noise ----
def gaussian_dropout(x: Tensor, rate: float, training: bool = True, generator: Chance = None, noise=None) -> Tensor:
    """x (1 + sqrt(rate / (1 - rate)) noise), noise ~ N(0, 1): dropout's mean and variance. Keras' GaussianDropout.

    Srivastava et al. 2014, section 10. noise: instead of a draw.
    """
    if not 0 <= rate < 1:
        raise ValueError(f"gaussian_dropout: rate must be from 0 to less than 1, got {rate}")
    if rate == 0 or not training:
        return x
    return x * (1 + math.sqrt(rate / (1 - rate)) * _normal(noise, x, generator))


def gaussian_noise(x: Tensor, stddev: float, training: bool = True, generator: Chance = None, noise=None) -> Tensor:
    """x + stddev noise, noise ~ N(0, 1). Keras' GaussianNoise. noise: instead of a draw."""
    if not stddev >= 0:
        raise ValueError(f"gaussian_noise: stddev must not be negative, got {stddev}")
    return x if stddev == 0 or not training else x + stddev * _normal(noise, x, generator)


# ---- weights and layers ----
def drop_connect(x: Tensor, weight: Tensor, bias: Tensor | None = None, p: float = 0.5, per_example: bool = False,
                 generator: Chance = None, *, mask_bias: bool = False, mask=None, bias_mask=None) -> Tensor:
    """x @ (mask * weight) + bias: each weight dropped with probability ``p``. Wan et al. 2013.

    per_example: a mask for every row of x, as in the paper (N * in * out numbers), instead of one for the batch.
    mask_bias: drop biases too, as in the paper. Nothing is rescaled: at test time the weights are multiplied by 1 - p.
    x: (N, in), weight: (in, out). mask: (in, out) or (N, in, out), bias_mask: (out,) or (N, out), instead of draws.
    """
    rows = x.shape[:1] if per_example else ()
    if x.ndim != 2 and (per_example or np.ndim(mask) == 3):
        raise ValueError(f"drop_connect: with a mask for every row, input {x.shape} must be (N, {weight.shape[0]})")
    mask = _kept(mask, (*rows, *weight.shape), p, weight, generator)
    if bias is not None and (mask_bias or bias_mask is not None):
        bias = bias * _kept(bias_mask, (*rows, *bias.shape), p, bias, generator)
    if mask.ndim < 3:
        y = linear(x, weight * mask)
    else:
        if x.shape != (mask.shape[0], weight.shape[0]):
            raise ValueError(f"drop_connect: input {x.shape} must be {(mask.shape[0], weight.shape[0])} for weight "
                             f"{weight.shape} and mask {mask.shape}")
        y = np.einsum("ni,nio->no", x, weight * mask)
    return y if bias is None else y + bias


def stochastic_depth(x: Tensor, p: float, mode: str = "row", training: bool = True, generator: Chance = None,
                     mask=None) -> Tensor:
    """Zero all of x, a residual branch's output, with probability ``p``, or else divide it by 1 - p. Huang et al. 2016.

    mode: "row" decides for every sample, "batch" once. As torchvision; the paper does not divide in training, but
    multiplies by 1 - p in evaluation. mask: ones for what stays, of a shape that broadcasts to x's.
    """
    if mode not in ("row", "batch"):
        raise ValueError(f"stochastic_depth: mode is 'row' or 'batch', not {mode!r}")
    if not x.ndim:
        raise ValueError("stochastic_depth: the input is one number and has no rows")
    shape = (x.shape[0] if mode == "row" else 1, *(1,) * (x.ndim - 1))
    return _dropout(x, shape, p, training, generator, mask)


def survival_probability(layer: int, layers: int, last: float = 0.5) -> float:
    """1 - layer / layers (1 - last), for layer from 1 to layers: the later, the rarer. Huang et al. 2016, equation 4.

    `stochastic_depth` takes the probability of dropping, 1 minus this.
    """
    if not 0 <= layer <= layers or layers < 1:
        raise ValueError(f"survival_probability: there is no layer {layer} of {layers}")
    return 1 - layer / layers * (1 - check_probability(last))
