"""Adam and its family: an average of the gradients over the root of an average of their squares.

Throughout, m^ = m / (1 - beta1^t) and v^ = v / (1 - beta2^t): averages that start at zero, corrected for it.
"""

from __future__ import annotations

import math

import numpy as np

from .optimizer import Optimizer

Betas = tuple[float, float]


class Adam(Optimizer):
    """m <- beta1 m + (1 - beta1) g, v <- beta2 v + (1 - beta2) g^2, w <- w - lr m^ / (sqrt(v^) + eps).

    m^ = m / (1 - beta1^t) and v^ = v / (1 - beta2^t) undo the start at zero. Kingma & Ba 2014: RMSprop with momentum,
    and without its too large first steps. The default for deep nets. As PyTorch's. 2 numbers per weight.

    amsgrad: the largest v so far in place of v, and 3 numbers per weight; as PyTorch corrected after the maximum
    (`AMSGrad` has the other conventions). epsilon_hat: sqrt(v^) + eps / sqrt(1 - beta2^t), which is the paper's faster
    form lr sqrt(1 - beta2^t) / (1 - beta1^t) m / (sqrt(v) + eps), with eps on the uncorrected root: Keras'.
    """

    slots = ("m", "v", "v_max")

    def __init__(self, params, lr: float = 1e-3, betas: Betas = (0.9, 0.999), eps: float = 1e-8,
                 weight_decay: float = 0, amsgrad: bool = False, *, epsilon_hat: bool = False,
                 decoupled_weight_decay: bool = False, maximize: bool = False):
        super().__init__(params, weight_decay, maximize, lr=lr, betas=betas, eps=eps, amsgrad=amsgrad,
                         epsilon_hat=epsilon_hat, decoupled_weight_decay=decoupled_weight_decay)

    def unused(self, group):
        return () if group["amsgrad"] else ("v_max",)

    @staticmethod
    def update(w, g, m, v, v_max, lr, beta1, beta2, eps, epsilon_hat, t):
        m += (1 - beta1) * (g - m)
        v *= beta2
        v += (1 - beta2) * (g * g)
        if v_max is not None:
            v_max[...] = np.maximum(v_max, v)
            v = v_max
        if epsilon_hat:
            eps = eps / (1 - beta2 ** t) ** 0.5
        w -= lr / (1 - beta1 ** t) * m / (np.sqrt(v / (1 - beta2 ** t)) + eps)


class AdamW(Adam):
    """w <- (1 - lr weight_decay) w, then Adam's step. Loshchilov & Hutter 2017.

    In Adam weight decay is a gradient, divided by sqrt(v) like one: weights with large gradients hardly decay. Here all
    decay alike. For transformers, and wherever Adam is to be regularized. As PyTorch's. 2 numbers per weight.
    """

    def __init__(self, params, lr: float = 1e-3, betas: Betas = (0.9, 0.999), eps: float = 1e-8,
                 weight_decay: float = 1e-2, amsgrad: bool = False, *, epsilon_hat: bool = False,
                 maximize: bool = False):
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, epsilon_hat=epsilon_hat,
                         decoupled_weight_decay=True, maximize=maximize)


class AMSGrad(Optimizer):
    """Adam with v_max <- max(v_max, v) in place of v. Reddi, Kale & Kumar 2018.

    Adam can forget a rare large gradient and run away from the optimum of a convex problem; here no coordinate's rate
    grows again. correction: "after" the maximum, v_max / (1 - beta2^t), as PyTorch and Keras, the same as
    Adam(amsgrad=True); "before" it, max(v_max, v^), as optax; "none", neither m nor v, as in the paper, whose first
    step is lr 0.1 / sqrt(0.001). 3 numbers per weight.
    """

    slots = ("m", "v", "v_max")

    def __init__(self, params, lr: float = 1e-3, betas: Betas = (0.9, 0.999), eps: float = 1e-8,
                 weight_decay: float = 0, *, correction: str = "after", maximize: bool = False):
        super().__init__(params, weight_decay, maximize, lr=lr, betas=betas, eps=eps, correction=correction)

    def check(self, group):
        super().check(group)
        if group.get("correction", "after") not in ("after", "before", "none"):
            raise ValueError(f"AMSGrad: correction must be 'after', 'before' or 'none', got {group['correction']!r}")

    def numbers(self, group, state, t):
        (beta1, beta2), how = group["betas"], group["correction"]
        return {"of_m": 1 if how == "none" else 1 - beta1 ** t, "before": 1 - beta2 ** t if how == "before" else 1,
                "after": 1 - beta2 ** t if how == "after" else 1}

    @staticmethod
    def update(w, g, m, v, v_max, lr, beta1, beta2, eps, of_m, before, after):
        m += (1 - beta1) * (g - m)
        v *= beta2
        v += (1 - beta2) * (g * g)
        v_max[...] = np.maximum(v_max, v / before)
        w -= lr / of_m * m / (np.sqrt(v_max / after) + eps)


class Adamax(Optimizer):
    """m <- beta1 m + (1 - beta1) g, u <- max(beta2 u, |g| + eps), w <- w - lr m^ / u. Kingma & Ba 2014, section 7.

    Adam with the largest of the faded gradients in place of their root mean square: no step is longer than about lr,
    and a sparse gradient does not let it grow. As PyTorch's; eps_in_max=False: max(beta2 u, |g|), and eps added in the
    division, Keras'. 2 numbers per weight.
    """

    slots = ("m", "u")

    def __init__(self, params, lr: float = 2e-3, betas: Betas = (0.9, 0.999), eps: float = 1e-8,
                 weight_decay: float = 0, *, eps_in_max: bool = True, maximize: bool = False):
        super().__init__(params, weight_decay, maximize, lr=lr, betas=betas, eps=eps, eps_in_max=eps_in_max)

    @staticmethod
    def update(w, g, m, u, lr, beta1, beta2, eps, eps_in_max, t):
        m += (1 - beta1) * (g - m)
        u[...] = np.maximum(beta2 * u, np.abs(g) + (eps if eps_in_max else 0.0))
        if eps_in_max:
            w -= lr / (1 - beta1 ** t) * m / u
        else:
            w -= lr / (1 - beta1 ** t) * m / (u + eps)


class AdamaxW(Adamax):
    """w <- (1 - lr weight_decay) w, then Adamax's step: to Adamax what AdamW is to Adam. 2 numbers per weight."""

    decoupled = True

    def __init__(self, params, lr: float = 2e-3, betas: Betas = (0.9, 0.999), eps: float = 1e-8,
                 weight_decay: float = 1e-4, *, eps_in_max: bool = True, maximize: bool = False):
        super().__init__(params, lr, betas, eps, weight_decay, eps_in_max=eps_in_max, maximize=maximize)


class NAdam(Optimizer):
    """Adam with m^ = mu' m / (1 - M mu') + (1 - mu) g / (1 - M), mu' the next step's mu, M the product of all so far.

    mu = beta1 (1 - 0.96^(momentum_decay t) / 2). Dozat 2016: Nesterov's look ahead in Adam: the next step's share of
    the momentum, and this step's gradient. Mostly a little faster than Adam. As PyTorch's: momentum_decay=1/250 is the
    paper's, 1 Keras', None none, mu = beta1, as optax. 2 numbers per weight.
    """

    slots = ("m", "v")
    kept = ("mu_product",)

    def __init__(self, params, lr: float = 2e-3, betas: Betas = (0.9, 0.999), eps: float = 1e-8,
                 weight_decay: float = 0, momentum_decay: float | None = 4e-3, decoupled_weight_decay: bool = False, *,
                 maximize: bool = False):
        super().__init__(params, weight_decay, maximize, lr=lr, betas=betas, eps=eps,
                         momentum_decay=momentum_decay, decoupled_weight_decay=decoupled_weight_decay)

    def numbers(self, group, state, t):
        beta1, decay = group["betas"][0], group["momentum_decay"]
        mu, mu_next = (beta1 if decay is None else beta1 * (1 - 0.5 * 0.96 ** (s * decay)) for s in (t, t + 1))
        product = state["mu_product"] = state.get("mu_product", 1.0) * mu
        return {"of_m": mu_next / (1 - product * mu_next), "of_g": (1 - mu) / (1 - product)}

    @staticmethod
    def update(w, g, m, v, lr, beta1, beta2, eps, of_m, of_g, t):
        m += (1 - beta1) * (g - m)
        v *= beta2
        v += (1 - beta2) * (g * g)
        w -= lr * (of_m * m + of_g * g) / (np.sqrt(v / (1 - beta2 ** t)) + eps)


class NAdamW(NAdam):
    """w <- (1 - lr weight_decay) w, then NAdam's step: to NAdam what AdamW is to Adam. 2 numbers per weight."""

    def __init__(self, params, lr: float = 2e-3, betas: Betas = (0.9, 0.999), eps: float = 1e-8,
                 weight_decay: float = 1e-4, momentum_decay: float | None = 4e-3, *, maximize: bool = False):
        super().__init__(params, lr, betas, eps, weight_decay, momentum_decay, True, maximize=maximize)


class RAdam(Optimizer):
    """w <- w - lr m^ r sqrt(1 - beta2^t) / (sqrt(v) + eps) once rho > 5, before that w <- w - lr m^.

    rho = rho_inf - 2 t beta2^t / (1 - beta2^t), rho_inf = 2 / (1 - beta2) - 1: as many squares v has seen.
    r^2 = (rho - 4) (rho - 2) rho_inf / ((rho_inf - 4) (rho_inf - 2) rho). Liu et al. 2019: Adam's first steps divide by
    the root of a few squares, hence warm-up; r is the rate that makes their variance that of later ones. For when
    warm-up cannot be tuned. As PyTorch's; threshold: 5 there, 4 in the paper. 2 numbers per weight.
    """

    slots = ("m", "v")

    def __init__(self, params, lr: float = 1e-3, betas: Betas = (0.9, 0.999), eps: float = 1e-8,
                 weight_decay: float = 0, decoupled_weight_decay: bool = False, *, threshold: float = 5,
                 maximize: bool = False):
        super().__init__(params, weight_decay, maximize, lr=lr, betas=betas, eps=eps,
                         decoupled_weight_decay=decoupled_weight_decay, threshold=threshold)

    def check(self, group):
        super().check(group)
        if not group.get("threshold", 5) >= 4:  # below, r is no number
            raise ValueError(f"RAdam: threshold must be at least 4, got {group['threshold']}")

    def numbers(self, group, state, t):
        beta2 = group["betas"][1]
        rho_inf = 2 / (1 - beta2) - 1
        rho = rho_inf - 2 * t * beta2 ** t / (1 - beta2 ** t)
        if not rho > group["threshold"]:
            return {"r": 0.0}
        return {"r": math.sqrt((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho))}

    @staticmethod
    def update(w, g, m, v, lr, beta1, beta2, eps, r, t):
        m += (1 - beta1) * (g - m)
        v *= beta2
        v += (1 - beta2) * (g * g)
        if r:
            w -= lr * r * (1 - beta2 ** t) ** 0.5 / (1 - beta1 ** t) * m / (np.sqrt(v) + eps)
        else:
            w -= lr / (1 - beta1 ** t) * m


class SparseAdam(Optimizer):
    """Adam on the rows whose gradient is not all zero; the moments and weights of the others stay as they are.

    w <- w - lr sqrt(1 - beta2^t) / (1 - beta1^t) m / (sqrt(v) + eps). For embeddings, where a batch meets few rows:
    Adam would move the others on by their old momentum. As PyTorch's, which knows the rows from a sparse gradient; t
    counts all steps. A row is w[i]; of a vector, one number. 2 numbers per weight.
    """

    slots = ("m", "v")
    elementwise = False

    def __init__(self, params, lr: float = 1e-3, betas: Betas = (0.9, 0.999), eps: float = 1e-8, *,
                 maximize: bool = False):
        super().__init__(params, 0, maximize, lr=lr, betas=betas, eps=eps)

    @staticmethod
    def update(w, g, m, v, lr, beta1, beta2, eps, t):
        rows = np.nonzero(np.any(np.reshape(g, (len(w) if w.ndim else 1, -1)) != 0, axis=1))[0]
        if not w.ndim:
            w, g, m, v = w.reshape(1), np.reshape(g, 1), m.reshape(1), v.reshape(1)
        g = g[rows]
        m[rows] += (1 - beta1) * (g - m[rows])
        v[rows] = beta2 * v[rows] + (1 - beta2) * (g * g)
        w[rows] -= lr * (1 - beta2 ** t) ** 0.5 / (1 - beta1 ** t) * m[rows] / (np.sqrt(v[rows]) + eps)
