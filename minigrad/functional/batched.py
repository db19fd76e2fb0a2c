"""Where the axes of these ops go under `vmap`: see batching.py."""

from __future__ import annotations

import numpy as np

from .. import primitives
from ..batching import along, batching, decomposed, elementwise
from ..derivatives.scans import logsumexp
from .activations import _gelu, _leaky_relu, log_softmax, relu, softmax
from .conv import _conv_bias
from .dense import _affine
from .losses import _index_cross_entropy

batching(relu, _leaky_relu, _gelu)(elementwise)
batching(softmax, log_softmax)(along(-1))


def decompose(key):
    """Under vmap this op is made of others."""
    return lambda f: decomposed.setdefault(key, f)


@decompose(_affine)
def _(x, w, b):
    return x @ w + b


@decompose(_conv_bias)
def _(x, w, b, **static):
    return primitives.conv(x, w, **static) + np.reshape(b, (-1, *(1,) * (x.ndim - 2)))


@decompose(_index_cross_entropy)
def _(z, target, mean):
    rows = logsumexp(z, axis=-1) - np.squeeze(np.take_along_axis(z, np.expand_dims(target, -1), axis=-1), axis=-1)
    return np.mean(rows) if mean else rows
