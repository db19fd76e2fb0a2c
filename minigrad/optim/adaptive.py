"""A step size for every coordinate, from the squares of its past gradients."""

from __future__ import annotations

import numpy as np

from .optimizer import Optimizer


class Adagrad(Optimizer):
    """h <- h + g^2, w <- w - lr g / (sqrt(h) + eps). Duchi, Hazan & Singer 2011.

    h starts at initial_accumulator_value; lr_decay divides lr by 1 + (t - 1) lr_decay. As PyTorch's.
    """

    slots = ("h",)

    def __init__(self, params, lr: float = 0.01, lr_decay: float = 0, weight_decay: float = 0,
                 initial_accumulator_value: float = 0, eps: float = 1e-10, *, maximize: bool = False):
        super().__init__(params, weight_decay, maximize, lr=lr, lr_decay=lr_decay,
                         initial_accumulator_value=initial_accumulator_value, eps=eps)

    def init_slot(self, name, w, group):
        return np.full_like(w, group["initial_accumulator_value"], order="C")

    @staticmethod
    def update(w, g, h, lr, lr_decay, eps, t):
        h += g * g
        w -= lr / (1 + (t - 1) * lr_decay) * g / (np.sqrt(h) + eps)


class RMSprop(Optimizer):
    """v <- alpha v + (1 - alpha) g^2, w <- w - lr g / (sqrt(v) + eps). Hinton 2012, lecture 6e.

    centered: v - mean^2 in place of v, with mean the same average of g (Graves 2013). momentum: the scaled gradient
    goes into buf <- momentum buf + g / (sqrt(v) + eps), and w <- w - lr buf. As PyTorch's: alpha is Keras' rho.
    """

    slots = ("v", "mean", "buf")

    def __init__(self, params, lr: float = 0.01, alpha: float = 0.99, eps: float = 1e-8, weight_decay: float = 0,
                 momentum: float = 0, centered: bool = False, *, maximize: bool = False):
        super().__init__(params, weight_decay, maximize, lr=lr, alpha=alpha, eps=eps, momentum=momentum,
                         centered=centered)

    def unused(self, group):
        return ("mean",) * (not group["centered"]) + ("buf",) * (not group["momentum"])

    @staticmethod
    def update(w, g, v, mean, buf, lr, alpha, eps, momentum):
        v += (1 - alpha) * (g * g - v)
        if mean is None:
            d = g / (np.sqrt(v) + eps)
        else:
            mean += (1 - alpha) * (g - mean)
            d = g / (np.sqrt(v - mean * mean) + eps)
        if buf is None:
            w -= lr * d
        else:
            buf *= momentum
            buf += d
            w -= lr * buf


class Adadelta(Optimizer):
    """v <- rho v + (1 - rho) g^2, d = sqrt(u + eps) / sqrt(v + eps) g, u <- rho u + (1 - rho) d^2, w <- w - lr d.

    Zeiler 2012: the steps have the units of w, and the paper has no lr (lr = 1). As PyTorch's.
    """

    slots = ("v", "u")

    def __init__(self, params, lr: float = 1.0, rho: float = 0.9, eps: float = 1e-6, weight_decay: float = 0, *,
                 maximize: bool = False):
        super().__init__(params, weight_decay, maximize, lr=lr, rho=rho, eps=eps)

    @staticmethod
    def update(w, g, v, u, lr, rho, eps):
        v += (1 - rho) * (g * g - v)
        d = np.sqrt(u + eps) / np.sqrt(v + eps) * g
        u += (1 - rho) * (d * d - u)
        w -= lr * d
