"""One step size for every layer: the step's length is measured against the length of the weights it changes.

|a| is the 2-norm of all numbers in a. These rules see a parameter as one vector; its shape does not matter.
"""

from __future__ import annotations

import numpy as np

from .optimizer import Optimizer


class LARS(Optimizer):
    """d = trust (g + weight_decay w), v <- momentum v + lr d, w <- w - v, where
    trust = trust_coefficient |w| / (|g| + weight_decay |w| + eps), or 1 if |w| or what it is divided by is 0.

    You, Gitman & Ginsburg 2017. A step of SGD with momentum can be longer than the weights of one layer and nothing to
    those of another; here each layer's is the same small share of its weights. For large batches (with LAMB for
    Transformers). Biases and norms usually go into a group of trust_coefficient=None: no trust ratio, plain SGD.
    Memory: 1 number per weight.

    joint_norm: |g + weight_decay w| in place of |g| + weight_decay |w|, as in optax. nesterov: w <- w - lr d -
    momentum v.
    """

    slots = ("v",)
    elementwise = False

    def __init__(self, params, lr: float = 0.01, momentum: float = 0.9, weight_decay: float = 0,
                 trust_coefficient: float | None = 0.001, eps: float = 0, nesterov: bool = False, *,
                 joint_norm: bool = False, maximize: bool = False):
        super().__init__(params, weight_decay, maximize, lr=lr, momentum=momentum, trust_coefficient=trust_coefficient,
                         eps=eps, nesterov=nesterov, joint_norm=joint_norm)

    @staticmethod
    def update(w, g, v, lr, momentum, weight_decay, trust_coefficient, eps, nesterov, joint_norm):
        d = g + weight_decay * w
        if trust_coefficient is not None:
            size = np.linalg.norm(w)
            below = (np.linalg.norm(d) if joint_norm else np.linalg.norm(g) + weight_decay * size) + eps
            if size > 0 and below > 0:
                d = trust_coefficient * size / below * d
        v *= momentum
        v += lr * d
        if nesterov:
            w -= lr * d + momentum * v
        else:
            w -= v


class LAMB(Optimizer):
    """u = m^ / (sqrt(v^) + eps) + weight_decay w with Adam's m^ and v^, w <- w - lr (|w| / |u|) u.

    The ratio is 1 where |w| or |u| is 0. You et al. 2019: LARS for Adam, which trained BERT with batches of 32,768.
    Memory: 2 numbers per weight.

    bias_correction=False: m and v as they are (the paper's third version; pytorch-optimizer). clamp_value: |w| at most
    that, 10 in some implementations. trust=False: a ratio of 1, which is AdamW.
    """

    slots = ("m", "v")
    elementwise = False

    def __init__(self, params, lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-6,
                 weight_decay: float = 0, *, bias_correction: bool = True, clamp_value: float | None = None,
                 trust: bool = True, maximize: bool = False):
        super().__init__(params, weight_decay, maximize, lr=lr, betas=betas, eps=eps,
                         bias_correction=bias_correction, clamp_value=clamp_value, trust=trust)

    @staticmethod
    def update(w, g, m, v, lr, beta1, beta2, eps, weight_decay, bias_correction, clamp_value, trust, t):
        m += (1 - beta1) * (g - m)
        v *= beta2  # not v += (1 - beta2) (g^2 - v): where g^2 overflows, inf - inf would be NaN
        v += (1 - beta2) * (g * g)
        if bias_correction:
            u = m / (1 - beta1 ** t) / (np.sqrt(v / (1 - beta2 ** t)) + eps) + weight_decay * w
        else:
            u = m / (np.sqrt(v) + eps) + weight_decay * w
        if trust:
            size, step = np.linalg.norm(w), np.linalg.norm(u)
            if clamp_value is not None:
                size = min(size, clamp_value)
            if size > 0 and step > 0:
                u = size / step * u
        w -= lr * u


class NovoGrad(Optimizer):
    """v <- beta2 v + (1 - beta2) |g|^2, m <- beta1 m + g / (sqrt(v) + eps) + weight_decay w, w <- w - lr m.

    v is one number per parameter and starts at the first |g|^2, m at the first addend. Ginsburg et al. 2019: Adam's
    normalisation by layer, so half of Adam's memory, and less sensitive to lr and to its warm-up. Memory: 1 number per
    weight. betas: (0.95, 0.98) in the paper, (0.9, 0.25) in optax. grad_averaging: the addend times 1 - beta1.
    """

    slots = ("m", "v")
    elementwise = False

    def __init__(self, params, lr: float = 1e-3, betas: tuple[float, float] = (0.95, 0.98), eps: float = 1e-8,
                 weight_decay: float = 0, grad_averaging: bool = False, *, maximize: bool = False):
        super().__init__(params, weight_decay, maximize, lr=lr, betas=betas, eps=eps,
                         grad_averaging=grad_averaging)

    def init_slot(self, name, w, group):
        return np.zeros((), w.dtype) if name == "v" else super().init_slot(name, w, group)

    @staticmethod
    def update(w, g, m, v, lr, beta1, beta2, eps, weight_decay, grad_averaging, t):
        square = np.linalg.norm(g) ** 2
        v[...] = square if t == 1 else beta2 * v + (1 - beta2) * square
        d = g / (np.sqrt(v) + eps) + weight_decay * w
        m *= beta1
        m += (1 - beta1) * d if grad_averaging else d
        w -= lr * m


class Fromage(Optimizer):
    """w <- (w - lr (|w| / |g|) g) / sqrt(1 + lr^2), with both norms at least min_norm.

    Bernstein et al. 2020. Every layer turns by the angle that lr says; the root keeps the weights from growing, as
    a step at right angles to w would make them. lr = 0.01 suits most problems. A gradient of zeros shrinks w by the
    root. Memory: none.
    """

    elementwise = False

    def __init__(self, params, lr: float = 0.01, min_norm: float = 1e-6, weight_decay: float = 0, *,
                 maximize: bool = False):
        super().__init__(params, weight_decay, maximize, lr=lr, min_norm=min_norm)

    @staticmethod
    def update(w, g, lr, min_norm):
        size, length = max(np.linalg.norm(w), min_norm), max(np.linalg.norm(g), min_norm)
        ratio = size / length if size > 0 and length > 0 else 1.0
        w -= lr * ratio * g
        w /= np.sqrt(1 + lr ** 2)
