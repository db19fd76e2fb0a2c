"""The derivative table, continued: sums and products that keep their partial results, and log-sum-exp."""

from __future__ import annotations

import numpy as np

from ..dispatch import primitive
from .basics import keep


@primitive(lambda g, y, x, axis=None, keepdims=False: keep(g, x, axis) * np.exp(x - keep(_finite(y), x, axis)))
def logsumexp(x, axis=None, keepdims=False):
    """log(sum(exp(x))) along ``axis``, without overflow; -inf where all are -inf (the gradient is 0 there)."""
    top = _finite(np.max(x, axis=axis, keepdims=True))
    with np.errstate(divide="ignore"):
        y = np.log(np.exp(x - top).sum(axis=axis, keepdims=True)) + top
    return y if keepdims else y.squeeze(axis)


def _finite(x):
    return np.where(np.isfinite(x), x, 0)
