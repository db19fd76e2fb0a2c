"""Layers that drop."""

from __future__ import annotations

from .. import functional as F
from .module import Module


class Dropout(Module):
    """In training, zero each element with probability ``p`` and divide the rest by 1 - p. Srivastava et al. 2014."""

    def __init__(self, p: float = 0.5, generator=None):
        self.p, self.generator = F.check_probability(p), generator

    def forward(self, x):
        return F.dropout(x, self.p, self.training, self.generator)

    def extra_repr(self):
        return f"p={self.p}"
