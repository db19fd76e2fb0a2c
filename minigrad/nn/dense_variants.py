"""Relatives of the dense layer."""

from __future__ import annotations

import math
import re

import numpy as np

from .. import functional as F
from ..tensor import Parameter
from . import init
from .module import Module, check_sizes


def _uniform(shape, fan_in, dtype, generator):
    a = 1 / math.sqrt(max(fan_in, 1))
    return init.uniform_(Parameter(np.empty(shape, dtype)), -a, a, generator)


class Bilinear(Module):
    """y[o] = x1 @ weight[o] @ x2 + bias[o]: (..., in1_features) and (..., in2_features) -> (..., out_features).

    weight: (out_features, in1_features, in2_features). Both start uniform in +-1 / sqrt(in1_features).
    """

    def __init__(self, in1_features: int, in2_features: int, out_features: int, bias: bool = True, dtype=np.float32,
                 generator=None):
        check_sizes(self, in1_features=in1_features, in2_features=in2_features, out_features=out_features)
        self.in1_features, self.in2_features, self.out_features = in1_features, in2_features, out_features
        self.weight = _uniform((out_features, in1_features, in2_features), in1_features, dtype, generator)
        self.bias = _uniform(out_features, in1_features, dtype, generator) if bias else None

    def forward(self, x1, x2):
        return F.bilinear(x1, x2, self.weight, self.bias)

    def extra_repr(self):
        text = f"{self.in1_features}, {self.in2_features}, {self.out_features}"
        return text + ("" if self.bias is not None else ", bias=False")


class Maxout(Module):
    """y = max over j of (x @ weight[:, :, j] + bias[:, j]): (..., in) -> (..., out). Goodfellow et al. 2013.

    weight: (in_features, out_features, pieces). Both start uniform in +-1 / sqrt(in_features).
    """

    def __init__(self, in_features: int, out_features: int, pieces: int = 2, bias: bool = True, dtype=np.float32,
                 generator=None):
        if pieces < 1:
            raise ValueError(f"Maxout: pieces must be at least 1, got {pieces}")
        self.in_features, self.out_features, self.pieces = in_features, out_features, pieces
        self.weight = _uniform((in_features, out_features, pieces), in_features, dtype, generator)
        self.bias = _uniform((out_features, pieces), in_features, dtype, generator) if bias else None

    def forward(self, x):
        bias = None if self.bias is None else self.bias.reshape(-1)
        y = F.linear(x, self.weight.reshape(self.in_features, -1), bias)
        return y.reshape(*x.shape[:-1], self.out_features, self.pieces).max(axis=-1)

    def extra_repr(self):
        return f"{self.in_features}, {self.out_features}, pieces={self.pieces}"


class TiedLinear(Module):
    """y = x @ weight^T + bias with the weight of another layer: (..., dim) -> (..., num). Press & Wolf 2017.

    layer: an Embedding, whose weight (num, dim) then makes words of vectors too; or a Dense, whose weight (in, out)
    then leads back, as in an autoencoder. They share one Parameter; its gradient is the sum of both uses.
    """

    def __init__(self, layer: Module, bias: bool = False, dtype=np.float32):
        weight = getattr(layer, "weight", None)
        if not isinstance(weight, Parameter) or weight.ndim != 2:
            raise TypeError(f"TiedLinear shares the 2-D weight of a layer like Embedding, and {layer!r:.60} has none")
        self.weight = weight
        self.bias = Parameter(np.zeros(weight.shape[0], dtype)) if bias else None

    def forward(self, x):
        return F.linear(x, self.weight.T, self.bias)

    def extra_repr(self):
        return f"{self.weight.shape[1]}, {self.weight.shape[0]}" + ("" if self.bias is None else ", bias=True")


class EinsumDense(Module):
    """y = einsum(equation, x, weight) + bias, Keras' layer: "abc,cd->abd" is a Dense of the last axis.

    input_shape, output_shape: the sizes of the last letters of input and output; only those of the weight's letters
    and of bias_axes are needed, others may be None or, from the left, left out, like the batch: for "abc,cd->abd"
    input_shape=3, output_shape=5, or (None, 3) and (None, 5). bias_axes: letters of the output that the bias has.
    Both start uniform in +-1 / sqrt(numbers that each output sums over); Keras starts Glorot-uniform and at 0.
    """

    def __init__(self, equation: str, input_shape, output_shape, bias_axes: str | None = None, dtype=np.float32,
                 generator=None):
        terms = re.fullmatch(r"((?:\.\.\.)?[a-zA-Z]+),([a-zA-Z]+)->((?:\.\.\.)?[a-zA-Z]+)", equation.replace(" ", ""))
        if not terms or terms[1].startswith("...") != terms[3].startswith("..."):
            raise ValueError("EinsumDense: the equation must be like 'abc,cd->abd' or '...c,cd->...d', not "
                             f"{equation!r}")
        x, w, y = (t.removeprefix("...") for t in terms.groups())
        self.equation, self.bias_axes = terms[0], bias_axes
        sizes = _sizes(equation, x, input_shape)
        for letter, n in _sizes(equation, y, output_shape).items():
            if sizes.setdefault(letter, n) != n:
                raise ValueError(f"EinsumDense: {equation}: axis {letter} is {sizes[letter]} and {n}")
        if missing := [c for c in dict.fromkeys(w + (bias_axes or "")) if c not in sizes]:
            raise ValueError(f"EinsumDense: {equation}: input_shape {input_shape} and output_shape {output_shape} do "
                             f"not give the size of {', '.join(missing)}")
        if extra := [c for c in bias_axes or "" if c not in y]:
            raise ValueError(f"EinsumDense: {equation}: bias_axes {bias_axes!r}, but {', '.join(extra)} is not in the "
                             "output")
        fan_in = math.prod(sizes[c] for c in w if c not in y)
        self.weight = _uniform([sizes[c] for c in w], fan_in, dtype, generator)
        self.bias = None
        if bias_axes:
            shape = [sizes[c] if c in bias_axes else 1 for c in y[min(map(y.index, bias_axes)):]]
            self.bias = _uniform(shape, fan_in, dtype, generator)

    def forward(self, x):
        y = np.einsum(self.equation, x, self.weight)
        return y if self.bias is None else y + self.bias

    def extra_repr(self):
        return f"{self.equation!r}, weight={self.weight.shape}"


def _sizes(equation, letters, shape):
    """{letter: size} of the last letters."""
    shape = (shape,) if shape is None or isinstance(shape, (int, np.integer)) else tuple(shape)
    if len(shape) > len(letters):
        raise ValueError(f"EinsumDense: {equation}: {len(shape)} sizes {shape} for the axes {letters!r}")
    return {c: n for c, n in zip(letters[len(letters) - len(shape):], shape) if n is not None}
