"""Fully connected layers."""

from __future__ import annotations

import numpy as np

from .. import functional as F
from ..mode import is_grad_enabled
from ..random import default_generator
from ..tensor import Parameter
from . import init
from .module import Module, check_sizes


class Dense(Module):
    """y = x @ weight + bias: (..., in_features) -> (..., out_features). Keras' Dense, PyTorch's Linear.

    weight: (in_features, out_features), the transpose of PyTorch's. bias: (out_features,). Both start uniform in
    +-1 / sqrt(in_features), as PyTorch's do; Keras' weight starts Glorot uniform (`init.xavier_uniform_`), its bias at
    zero. ``Dense(out_features)`` takes in_features from its first input, or from the state it loads; an optimizer may
    have the parameters before.
    """

    torch_transposed = ("weight",)

    def __init__(self, in_features: int | None, out_features: int | None = None, bias: bool = True, dtype=np.float32,
                 generator=None):
        if out_features is None:
            in_features, out_features = None, in_features
        check_sizes(self, in_features=in_features, out_features=out_features)
        self.in_features, self.out_features, self.lazy_generator = in_features, out_features, generator
        self.weight = Parameter(np.empty((in_features or 0, out_features), dtype))
        self.bias = Parameter(np.empty(out_features, dtype)) if bias else None
        if in_features is not None:
            init.torch_default_(self.weight, self.bias, generator)

    def forward(self, x):
        if self.in_features is None:
            self._build(x.shape[-1])
        return F.linear(x, self.weight, self.bias)

    def _build(self, in_features):
        self.in_features = in_features
        self.weight.data = np.empty((in_features, self.out_features), self.weight.dtype)
        init.torch_default_(self.weight, self.bias, self.lazy_generator)

    def _infer_from(self, state, prefix):
        if self.in_features is None and np.ndim(state.get(f"{prefix}weight")) == 2:
            self._build(np.shape(state[f"{prefix}weight"])[0])

    def extra_repr(self):
        return f"{self.in_features}, {self.out_features}" + ("" if self.bias is not None else ", bias=False")


Linear = Dense


class LazyLinear(Dense):
    """``Dense(out_features)``, by PyTorch's name."""

    def __init__(self, out_features: int, bias: bool = True, dtype=np.float32, generator=None):
        super().__init__(None, out_features, bias, dtype, generator)


class DropConnect(Dense):
    """A Dense layer that drops each weight, not each output, with probability ``p`` while training. Wan et al. 2013.

    y = activation(x @ (mask * weight) + bias); per_example draws a mask for every row, as the paper does, instead of
    one for the batch; mask_bias drops biases too, as the paper does. (Its p is 1 - p here.) In evaluation,
    inference="mean" uses the mean weights, (1 - p) * weight. inference="gaussian" matches the moments instead: it draws
    ``samples`` times u ~ N((1 - p) x @ weight + bias, p (1 - p) x^2 @ weight^2) and averages activation(u); that draw
    has no gradient.
    """

    def __init__(self, in_features: int, out_features: int, p: float = 0.5, bias: bool = True, activation=None,
                 inference: str = "mean", samples: int = 100, per_example: bool = False, dtype=np.float32,
                 generator=None, *, mask_bias: bool = False):
        if inference not in ("mean", "gaussian"):
            raise ValueError(f"inference is 'mean' or 'gaussian', not {inference!r}")
        super().__init__(in_features, out_features, bias, dtype, generator)
        self.p, self.activation, self.inference, self.samples = F.check_probability(p), activation, inference, samples
        self.per_example, self.generator, self.mask_bias = per_example, generator, mask_bias

    def forward(self, x):
        if self.in_features is None:
            self._build(x.shape[-1])
        if not self.training and self.inference == "gaussian":
            return self._sampled(x)
        if self.training:
            y = F.drop_connect(x, self.weight, self.bias, self.p, self.per_example, self.generator,
                               mask_bias=self.mask_bias)
        else:
            y = self._mean(x)
        return y if self.activation is None else self.activation(y)

    def _mean(self, x):
        bias = self.bias if self.bias is None or not self.mask_bias else self.bias * (1 - self.p)
        return F.linear(x, self.weight * (1 - self.p), bias)

    def _sampled(self, x):
        if is_grad_enabled() and getattr(x, "requires_grad", False):
            raise RuntimeError("DropConnect's gaussian inference draws samples and has no gradient: use no_grad(), or "
                               "inference='mean'")
        mean, squares = self._mean(x).detach(), F.linear(x * x, self.weight * self.weight)
        if self.mask_bias and self.bias is not None:
            squares = squares + self.bias * self.bias
        std = np.sqrt(squares * (self.p * (1 - self.p))).detach()
        draw = (self.generator or default_generator()).standard_normal
        act = self.activation or (lambda u: u)
        return sum(act(mean + std * draw(mean.shape, np.float32).astype(mean.dtype)) for _ in range(self.samples)
                   ) / self.samples

    def extra_repr(self):
        return f"{super().extra_repr()}, p={self.p}, inference={self.inference!r}"
