"""Layers that drop, or add noise: in training only."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .. import functional as F
from .module import Module


def check_generator(generator, layer):
    """``generator``; TypeError if it is neither None nor a generator, like the inplace that PyTorch has there."""
    if generator is None or isinstance(generator, np.random.Generator):
        return generator
    raise TypeError(f"{type(layer).__name__}: generator is a np.random.Generator or None, not {generator!r:.60}; there "
                    "is no inplace")


class _Dropping(Module):
    function = None

    def __init__(self, p: float = 0.5, generator=None):
        self.p, self.generator = F.check_probability(p), check_generator(generator, self)

    def forward(self, x):
        return type(self).function(x, self.p, self.training, self.generator)

    def extra_repr(self):
        return f"p={self.p}"


class Dropout(_Dropping):
    """In training, zero each element with probability ``p`` and divide the rest by 1 - p. Srivastava et al. 2014.

    scaling="classic" is the paper's: nothing is divided in training, and all is multiplied by 1 - p in evaluation.
    """

    def __init__(self, p: float = 0.5, generator=None, *, scaling: str = "inverted"):
        super().__init__(p, generator)
        self.scaling = F.check_scaling(scaling)

    def forward(self, x):
        return F.dropout(x, self.p, self.training, self.generator, scaling=self.scaling)

    def extra_repr(self):
        return f"p={self.p}" + (", scaling='classic'" if self.scaling == "classic" else "")


class Dropout1d(_Dropping):
    """`Dropout` of whole channels of (N, C, L) or (C, L). Tompson et al. 2015; Keras' SpatialDropout1D."""

    function = staticmethod(F.dropout1d)


class Dropout2d(_Dropping):
    """`Dropout` of whole channels of (N, C, H, W). Keras' SpatialDropout2D."""

    function = staticmethod(F.dropout2d)


class Dropout3d(_Dropping):
    """`Dropout` of whole channels of (N, C, D, H, W) or (C, D, H, W). Keras' SpatialDropout3D."""

    function = staticmethod(F.dropout3d)


class AlphaDropout(_Dropping):
    """In training, SELU's lower limit in place of a share ``p``, then mean 0 and variance 1. Klambauer et al. 2017."""

    function = staticmethod(F.alpha_dropout)


class FeatureAlphaDropout(_Dropping):
    """`AlphaDropout` of whole channels of (N, C, ...)."""

    function = staticmethod(F.feature_alpha_dropout)


class GaussianDropout(Module):
    """In training, x (1 + sqrt(rate / (1 - rate)) e), e ~ N(0, 1). Srivastava et al. 2014, Keras' GaussianDropout."""

    def __init__(self, rate: float, generator=None):
        if not 0 <= rate < 1:
            raise ValueError(f"GaussianDropout: rate must be from 0 to less than 1, got {rate}")
        self.rate, self.generator = rate, check_generator(generator, self)

    def forward(self, x):
        return F.gaussian_dropout(x, self.rate, self.training, self.generator)

    def extra_repr(self):
        return f"rate={self.rate}"


class GaussianNoise(Module):
    """In training, x + stddev e, e ~ N(0, 1). Keras' GaussianNoise."""

    def __init__(self, stddev: float, generator=None):
        if not stddev >= 0:
            raise ValueError(f"GaussianNoise: stddev must not be negative, got {stddev}")
        self.stddev, self.generator = stddev, check_generator(generator, self)

    def forward(self, x):
        return F.gaussian_noise(x, self.stddev, self.training, self.generator)

    def extra_repr(self):
        return f"stddev={self.stddev}"


class StochasticDepth(Module):
    """In training, zero a residual branch's output with probability ``p``, else divide it by 1 - p. Huang et al. 2016.

    x + StochasticDepth(p)(branch(x)); mode: "row" decides for every sample, "batch" once. As torchvision. For layer l
    of L the paper has p = 1 - F.survival_probability(l, L).
    """

    def __init__(self, p: float, mode: str = "row", generator=None):
        if mode not in ("row", "batch"):
            raise ValueError(f"StochasticDepth: mode is 'row' or 'batch', not {mode!r}")
        self.p, self.mode, self.generator = F.check_probability(p), mode, check_generator(generator, self)
        self.computed = False  # also what is dropped

    def forward(self, x):
        return F.stochastic_depth(x, self.p, self.mode, self.training, self.generator)

    def added(self, x, branch: Callable):
        """x + self(branch()); a branch that is dropped for the whole batch is not computed, which saves its time.

        Inside `distributed.World.synchronized` it is, for other ranks draw otherwise, and its batch norms wait for all.
        """
        if not (self.training and self.mode == "batch" and self.p and not self.computed):
            return x + self(branch())
        keep = F.keep_mask((1,) * x.ndim, self.p, x.dtype, self.generator)
        return x + F.stochastic_depth(branch(), self.p, mask=keep) if keep.any() else x

    def extra_repr(self):
        return f"p={self.p}, mode={self.mode!r}"


class DropBlock2d(Module):
    """In training, zero squares of block_size pixels of (N, C, H, W), about ``p`` of all. Ghiasi et al. 2018."""

    def __init__(self, p: float, block_size: int, eps: float = 1e-6, generator=None):
        if block_size < 1:
            raise ValueError(f"DropBlock2d: block_size must be at least 1, got {block_size}")
        self.p, self.block_size, self.eps = F.check_probability(p), block_size, eps
        self.generator = check_generator(generator, self)

    def forward(self, x):
        return F.drop_block2d(x, self.p, self.block_size, self.eps, self.training, self.generator)

    def extra_repr(self):
        return f"p={self.p}, block_size={self.block_size}"


class Cutout(Module):
    """In training, zero ``holes`` squares of size x size pixels in every image (N, C, H, W). DeVries & Taylor 2017."""

    def __init__(self, size: int, holes: int = 1, generator=None):
        if size < 1 or holes < 1:
            raise ValueError(f"Cutout: size and holes must be at least 1, got {size} and {holes}")
        self.size, self.holes, self.generator = size, holes, check_generator(generator, self)

    def forward(self, x):
        return F.cutout(x, self.size, self.holes, self.training, self.generator)

    def extra_repr(self):
        return f"size={self.size}, holes={self.holes}"
