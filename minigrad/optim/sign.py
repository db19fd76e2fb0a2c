"""Steps of equal length in every coordinate: only the sign of the gradient counts."""

from __future__ import annotations

import numpy as np

from .optimizer import Optimizer


class SignSGD(Optimizer):
    """w <- w - lr sign(g). Bernstein et al. 2018.

    The scale of g does not matter, neither a layer's nor an outlier's, and workers need send one bit per weight; but
    every weight moves by lr however small its gradient, 0 apart, so lr must fall for it to come to rest. Steepest
    descent where length is the largest coordinate. Memory: nothing besides the gradient.
    """

    def __init__(self, params, lr: float = 1e-3, weight_decay: float = 0, *, maximize: bool = False):
        super().__init__(params, weight_decay, maximize, lr=lr)

    @staticmethod
    def update(w, g, lr):
        w -= lr * np.sign(g)


class Signum(Optimizer):
    """m <- beta m + (1 - beta) g, w <- w - lr sign(m). Bernstein et al. 2018.

    SignSGD with momentum: one noisy gradient no longer turns a step around. It is Lion with both betas equal. The start
    of m at zero needs no correction, that would not change its sign. Memory: 1 number per weight.
    """

    slots = ("m",)
    fractions = ("beta",)

    def __init__(self, params, lr: float = 1e-3, beta: float = 0.9, weight_decay: float = 0, *, maximize: bool = False):
        super().__init__(params, weight_decay, maximize, lr=lr, beta=beta)

    @staticmethod
    def update(w, g, m, lr, beta):
        m *= beta
        m += (1 - beta) * g
        w -= lr * np.sign(m)


class Lion(Optimizer):
    """w <- w - lr (sign(beta1 m + (1 - beta1) g) + weight_decay w), then m <- beta2 m + (1 - beta2) g.

    Chen et al. 2023, found by program search: Signum with two betas, so that the step heeds the newest gradient more
    than the memory does. Its lr should be 3 to 10 times smaller than Adam's, weight_decay (decoupled) as much larger.
    For large models and batches. Memory: 1 number per weight, half of Adam's.
    """

    slots = ("m",)
    decoupled = True

    def __init__(self, params, lr: float = 1e-4, betas: tuple[float, float] = (0.9, 0.99), weight_decay: float = 0, *,
                 maximize: bool = False):
        super().__init__(params, weight_decay, maximize, lr=lr, betas=betas)

    @staticmethod
    def update(w, g, m, lr, beta1, beta2):
        w -= lr * np.sign(beta1 * m + (1 - beta1) * g)
        m *= beta2
        m += (1 - beta2) * g


class Rprop(Optimizer):
    """w <- w - s sign(g), s <- s times etas[1] where g keeps its sign, times etas[0] where it turns, first.

    Resilient backpropagation: Riedmiller & Braun 1993. When g turns, the minimum was stepped over: the weight waits one
    step (g counts as 0 then, so the next s stays). s starts at lr and stays within step_sizes; a later lr changes
    nothing. Fast and without tuning on the full batch; for mini-batches, whose signs are noise, RMSprop is its heir.
    As PyTorch's. Memory: 2 numbers per weight.
    """

    slots = ("last", "s")

    def __init__(self, params, lr: float = 0.01, etas: tuple[float, float] = (0.5, 1.2),
                 step_sizes: tuple[float, float] = (1e-6, 50), *, weight_decay: float = 0, maximize: bool = False):
        super().__init__(params, weight_decay, maximize, lr=lr, etas=etas, step_sizes=step_sizes)

    def check(self, group):
        super().check(group)
        if "etas" in group and not 0 < group["etas"][0] < 1 < group["etas"][1] < np.inf:
            raise ValueError(f"Rprop: etas must be below and above 1, got {group['etas']}")
        if "step_sizes" in group and not 0 <= group["step_sizes"][0] <= group["step_sizes"][1]:
            raise ValueError(f"Rprop: step_sizes must be from 0 upward, got {group['step_sizes']}")

    def init_slot(self, name, w, group):
        return np.full_like(w, group["lr"] if name == "s" else 0, order="C")

    @staticmethod
    def update(w, g, last, s, etas, step_sizes):
        turn = np.sign(g) * np.sign(last)  # the product of the gradients themselves could underflow
        s *= np.where(turn > 0, etas[1], np.where(turn < 0, etas[0], 1))
        s[...] = np.clip(s, step_sizes[0], step_sizes[1])
        last[...] = np.where(turn < 0, 0, g)
        w -= np.sign(last) * s
