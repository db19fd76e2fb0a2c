"""Adam and its family."""

from __future__ import annotations

import numpy as np

from .optimizer import Optimizer


class Adam(Optimizer):
    """m <- beta1 m + (1 - beta1) g, v <- beta2 v + (1 - beta2) g^2, w <- w - lr m^ / (sqrt(v^) + eps).

    m^ = m / (1 - beta1^t) and v^ = v / (1 - beta2^t) undo the start at zero. Kingma & Ba 2014. amsgrad: the largest v
    so far in place of v (Reddi et al. 2018; corrected after the maximum, as PyTorch does).
    """

    slots = ("m", "v", "v_max")

    def __init__(self, params, lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
                 weight_decay: float = 0, amsgrad: bool = False, *, maximize: bool = False):
        super().__init__(params, weight_decay, maximize, lr=lr, betas=tuple(betas), eps=eps, amsgrad=amsgrad)

    def unused(self, group):
        return () if group["amsgrad"] else ("v_max",)

    @staticmethod
    def update(w, g, m, v, v_max, lr, beta1, beta2, eps, t):
        m += (1 - beta1) * (g - m)
        v += (1 - beta2) * (g * g - v)
        if v_max is not None:
            v_max[...] = np.maximum(v_max, v)
            v = v_max
        w -= lr / (1 - beta1 ** t) * m / (np.sqrt(v / (1 - beta2 ** t)) + eps)
