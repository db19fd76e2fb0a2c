"""Gradient descent and its momentum, plain and Nesterov's."""

from __future__ import annotations

from .optimizer import Optimizer


class SGD(Optimizer):
    """Gradient descent, w <- w - lr g; with momentum, v <- momentum v + (1 - dampening) g and w <- w - lr v.

    On the whole data set it is gradient descent, on one example stochastic (Robbins & Monro 1951), between mini-batch:
    the DataLoader decides. The first step sets v = g, undamped. nesterov: w <- w - lr (g + momentum v). As PyTorch's.
    """

    slots = ("v",)

    def __init__(self, params, lr: float = 1e-3, momentum: float = 0, dampening: float = 0, weight_decay: float = 0,
                 nesterov: bool = False, *, maximize: bool = False):
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError(f"SGD: nesterov needs momentum > 0 and dampening = 0, got {momentum} and {dampening}")
        super().__init__(params, weight_decay, maximize, lr=lr, momentum=momentum, dampening=dampening,
                         nesterov=nesterov)

    def unused(self, group):
        return () if group["momentum"] else ("v",)

    @staticmethod
    def update(w, g, v, lr, momentum, dampening, nesterov, t):
        if v is None:
            w -= lr * g
            return
        v *= momentum
        v += g if t == 1 else (1 - dampening) * g
        w -= lr * (g + momentum * v if nesterov else v)


class Momentum(Optimizer):
    """The heavy ball: v <- momentum v - lr g, w <- w + v. Polyak 1964.

    lr stands inside v: with a constant lr the path is SGD(momentum=)'s, with a schedule it is not.
    """

    slots = ("v",)

    def __init__(self, params, lr: float = 0.01, momentum: float = 0.9, weight_decay: float = 0, *,
                 maximize: bool = False):
        super().__init__(params, weight_decay, maximize, lr=lr, momentum=momentum)

    @staticmethod
    def update(w, g, v, lr, momentum):
        v *= momentum
        v -= lr * g
        w += v


class NAG(Momentum):
    """Nesterov's accelerated gradient: v <- momentum v - lr g, w <- w + momentum v - lr g. Nesterov 1983.

    The shifted form (Sutskever et al. 2013): w is where the next gradient is taken, one momentum step ahead.
    """

    @staticmethod
    def update(w, g, v, lr, momentum):
        v *= momentum
        v -= lr * g
        w += momentum * v - lr * g
