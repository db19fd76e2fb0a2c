"""A step size for every coordinate, from the squares of its past gradients."""

from __future__ import annotations

import math
from functools import reduce

import numpy as np

from .optimizer import Optimizer


class Adagrad(Optimizer):
    """h <- h + g^2, w <- w - lr g / (sqrt(h) + eps). Duchi, Hazan & Singer 2011.

    The first to give each coordinate its own rate: rare features keep large steps. For sparse, convex problems; on long
    runs the rate dies, since h only grows. h starts at initial_accumulator_value; lr_decay divides lr by
    1 + (t - 1) lr_decay. As PyTorch's; eps_in_sqrt: sqrt(h + eps), Keras' and optax's. 1 number per weight.
    """

    slots = ("h",)

    def __init__(self, params, lr: float = 0.01, lr_decay: float = 0, weight_decay: float = 0,
                 initial_accumulator_value: float = 0, eps: float = 1e-10, *, eps_in_sqrt: bool = False,
                 maximize: bool = False):
        super().__init__(params, weight_decay, maximize, lr=lr, lr_decay=lr_decay,
                         initial_accumulator_value=initial_accumulator_value, eps=eps, eps_in_sqrt=eps_in_sqrt)

    def init_slot(self, name, w, group):
        return np.full_like(w, group["initial_accumulator_value"], order="C")

    @staticmethod
    def update(w, g, h, lr, lr_decay, eps, eps_in_sqrt, t):
        h += g * g
        w -= lr / (1 + (t - 1) * lr_decay) * g / (np.sqrt(h + eps) if eps_in_sqrt else np.sqrt(h) + eps)


class RMSprop(Optimizer):
    """v <- alpha v + (1 - alpha) g^2, w <- w - lr g / (sqrt(v) + eps). Hinton 2012, lecture 6e.

    Adagrad with a memory that fades, so that the rate does not die: for recurrent nets and moving targets.
    centered: v - mean^2 in place of v, with mean the same average of g (Graves 2013). momentum: the scaled gradient
    goes into buf <- momentum buf + g / (sqrt(v) + eps), and w <- w - lr buf. As PyTorch's: alpha is Keras' rho.
    eps_in_sqrt: sqrt(v + eps), Keras' and optax's. 1 number per weight, 1 more each for centered and momentum.
    """

    slots = ("v", "mean", "buf")
    fractions = ("alpha",)

    def __init__(self, params, lr: float = 0.01, alpha: float = 0.99, eps: float = 1e-8, weight_decay: float = 0,
                 momentum: float = 0, centered: bool = False, *, eps_in_sqrt: bool = False, maximize: bool = False):
        super().__init__(params, weight_decay, maximize, lr=lr, alpha=alpha, eps=eps, momentum=momentum,
                         centered=centered, eps_in_sqrt=eps_in_sqrt)

    def unused(self, group):
        return ("mean",) * (not group["centered"]) + ("buf",) * (not group["momentum"])

    @staticmethod
    def update(w, g, v, mean, buf, lr, alpha, eps, momentum, eps_in_sqrt):
        v *= alpha
        v += (1 - alpha) * (g * g)
        if mean is None:
            d = g / (np.sqrt(v + eps) if eps_in_sqrt else np.sqrt(v) + eps)
        else:
            mean += (1 - alpha) * (g - mean)
            var = np.maximum(v - mean * mean, 0)  # rounding may leave less than nothing
            d = g / (np.sqrt(var + eps) if eps_in_sqrt else np.sqrt(var) + eps)
        if buf is None:
            w -= lr * d
        else:
            buf *= momentum
            buf += d
            w -= lr * buf


class Adadelta(Optimizer):
    """v <- rho v + (1 - rho) g^2, d = sqrt(u + eps) / sqrt(v + eps) g, u <- rho u + (1 - rho) d^2, w <- w - lr d.

    Zeiler 2012: Adagrad's rate does not die here and the steps have the units of w; the paper has no lr (lr = 1). It
    starts slowly, from eps. When there is no time to tune lr. As PyTorch's. 2 numbers per weight.
    """

    slots = ("v", "u")
    fractions = ("rho",)

    def __init__(self, params, lr: float = 1.0, rho: float = 0.9, eps: float = 1e-6, weight_decay: float = 0, *,
                 maximize: bool = False):
        super().__init__(params, weight_decay, maximize, lr=lr, rho=rho, eps=eps)

    @staticmethod
    def update(w, g, v, u, lr, rho, eps):
        v *= rho
        v += (1 - rho) * (g * g)
        d = np.sqrt(u + eps) / np.sqrt(v + eps) * g
        u += (1 - rho) * (d * d - u)
        w -= lr * d


class LaProp(Optimizer):
    """v <- beta2 v + (1 - beta2) g^2, m <- beta1 m + (1 - beta1) g / (sqrt(v^) + eps), w <- w - lr m^.

    m^ = m / (1 - beta1^t) and v^ = v / (1 - beta2^t). Ziyin, Wang & Ueda 2020: RMSprop's scaling first, the average
    after it, where Adam averages first: beta1 and beta2 are then free of each other (Adam needs beta1 < sqrt(beta2)).
    When beta2 must be small: noisy or drifting gradients. 2 numbers per weight.
    """

    slots = ("v", "m")

    def __init__(self, params, lr: float = 4e-4, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-15,
                 weight_decay: float = 0, *, decoupled_weight_decay: bool = False, maximize: bool = False):
        super().__init__(params, weight_decay, maximize, lr=lr, betas=betas, eps=eps,
                         decoupled_weight_decay=decoupled_weight_decay)

    @staticmethod
    def update(w, g, v, m, lr, beta1, beta2, eps, t):
        v *= beta2
        v += (1 - beta2) * (g * g)
        m += (1 - beta1) * (g / (np.sqrt(v / (1 - beta2 ** t)) + eps) - m)
        w -= lr / (1 - beta1 ** t) * m


class SM3(Optimizer):
    """h = min over axes of a_axis, + g^2; a_axis <- max of h over the other axes; w <- w - lr g / sqrt(h + eps).

    Anil, Gupta, Koren & Singer 2019 (SM3-II): Adagrad for tensors whose squares do not fit in memory. Each row and each
    column keeps one bound, and h, the smallest of them, is never below Adagrad's. Where h = 0 the step is 0.
    momentum: the step is averaged, m <- momentum m + (1 - momentum) step. A vector keeps all its squares: there it is
    Adagrad. rows + columns numbers per matrix, and 1 per weight with momentum.
    """

    slots = ("m", "bounds")  # bounds: those of all axes in a row
    fractions = ("momentum",)
    elementwise = False

    def __init__(self, params, lr: float = 0.1, momentum: float = 0.9, eps: float = 1e-8, weight_decay: float = 0, *,
                 maximize: bool = False):
        super().__init__(params, weight_decay, maximize, lr=lr, momentum=momentum, eps=eps)

    def unused(self, group):
        return () if group["momentum"] else ("m",)

    def init_slot(self, name, w, group):
        return np.zeros_like(w, order="C") if name == "m" else np.zeros(sum(w.shape) if w.ndim else 1, w.dtype)

    @staticmethod
    def update(w, g, m, bounds, lr, momentum, eps):
        shape = np.shape(g) or (1,)
        ends = np.cumsum(shape)
        parts = [bounds[end - n:end] for end, n in zip(ends, shape)]
        others = [tuple(a for a in range(len(shape)) if a != axis) for axis in range(len(shape))]
        h = np.reshape(g * g, shape) + reduce(np.minimum, map(np.expand_dims, parts, others))
        for part, other in zip(parts, others):
            part[...] = np.max(h, axis=other, initial=0)
        h = np.reshape(h, np.shape(g))
        d = g / np.sqrt(h + (h == 0) + eps)  # where h = 0, g is: 0 / 1
        if m is not None:
            m += (1 - momentum) * (d - m)
            d = m
        w -= lr * d


class Adafactor(Optimizer):
    """v = row col / mean(row), u = g / sqrt(v), w <- w - max(eps2, rms(w)) min(lr, 1 / sqrt(t)) u / max(1, rms(u) / d).

    row and col are averages of the means of g^2 over columns and over rows, with 1 - beta2_t = t^beta2_decay; a vector
    keeps all its squares. Shazeer & Stern 2018: Adam without its memory: the squares have rank one, no momentum, steps
    as large as the weights are (rms), and clipped at d. For large matrices. rows + columns numbers per matrix, of more
    axes: of each matrix in the last two.

    eps = (eps1, eps2). As PyTorch's: mean(row) is at least eps1 and v at least eps1^2; eps1 = None is the precision of
    the dtype. add_eps: g^2 + eps1 in place of these bounds, and None is 1e-30: the paper's and Keras'. weight_decay is
    decoupled. lr is the bound of the step relative to the weights.
    """

    slots = ("row", "col")  # of a vector or a number: all its squares, and nothing
    elementwise = False
    decoupled = True

    def __init__(self, params, lr: float = 1e-2, beta2_decay: float = -0.8,
                 eps: tuple[float | None, float] = (None, 1e-3), d: float = 1.0, weight_decay: float = 0, *,
                 add_eps: bool = False, maximize: bool = False):
        super().__init__(params, weight_decay, maximize, lr=lr, beta2_decay=beta2_decay, eps=eps, d=d,
                         add_eps=add_eps)

    def check(self, group):
        super().check({k: v for k, v in group.items() if k != "beta2_decay"})
        eps1, eps2 = group.get("eps", (None, 0))
        if not (eps1 is None or 0 <= eps1 < math.inf) or not 0 <= eps2 < math.inf:
            raise ValueError(f"Adafactor: eps must be finite and at least 0, got {group['eps']}")
        if not (-math.inf < group.get("beta2_decay", 0) <= 0):
            raise ValueError(f"Adafactor: beta2_decay must be finite and at most 0, got {group['beta2_decay']}")
        if not group.get("d", 1) > 0:
            raise ValueError(f"Adafactor: d must be positive, got {group['d']}")

    def init_slot(self, name, w, group):
        shape = w.shape
        if w.ndim > 1:
            shape = shape[:-1] + (1,) if name == "row" else shape[:-2] + (1,) + shape[-1:]
        return np.zeros(shape if w.ndim > 1 or name == "row" else 0, w.dtype)

    def numbers(self, group, state, t):
        eps1, eps2 = group["eps"]
        return {"eps1": 1e-30 if eps1 is None and group["add_eps"] else eps1, "eps2": eps2}

    @staticmethod
    def update(w, g, row, col, lr, beta2_decay, eps1, eps2, d, add_eps, weight_decay, t):
        if w.size == 0:
            return
        fresh = t ** beta2_decay  # 1 - beta2_t: all of the first step
        rate = max(eps2, math.sqrt(np.mean(w * w))) * min(lr, 1 / math.sqrt(t))
        w *= 1 - lr * weight_decay
        if eps1 is None:
            eps1 = float(np.finfo(w.dtype).eps)
        squares = g * g + eps1 if add_eps else g * g
        if w.ndim > 1:
            row += fresh * (np.mean(squares, axis=-1, keepdims=True) - row)
            col += fresh * (np.mean(squares, axis=-2, keepdims=True) - col)
            mean = np.mean(row, axis=-2, keepdims=True)
            v = row / (mean if add_eps else np.maximum(mean, eps1)) * col
        else:
            row += fresh * (squares - row)
            v = row
        u = g / (np.sqrt(v) if add_eps else np.sqrt(np.maximum(v, eps1 * eps1)))
        w -= rate / max(1, math.sqrt(np.mean(u * u)) / d) * u


class Ftrl(Optimizer):
    """n <- n + g^2, z <- z + g - (n^p - n_old^p) / lr w, w <- (clip(z, -l1, l1) - z) / ((n^p + beta) / lr + 2 l2).

    p = -lr_power, 1/2. McMahan et al. 2013, follow the regularized leader, proximally: Adagrad that minimizes
    l1 |w| + l2 w^2 exactly along with the linear model of the loss, so that weights become 0, not almost 0. For sparse
    online linear models. As Keras' (the paper's lambda2 is 2 l2). l2_shrinkage adds 2 l2_shrinkage w to z, not to n.
    A w that did not come from z counts only as far as n grows: start at 0. 2 numbers per weight.
    """

    slots = ("n", "z")

    def __init__(self, params, lr: float = 1e-3, lr_power: float = -0.5, initial_accumulator_value: float = 0.1,
                 l1: float = 0, l2: float = 0, l2_shrinkage: float = 0, beta: float = 0, weight_decay: float = 0, *,
                 maximize: bool = False):
        super().__init__(params, weight_decay, maximize, lr=lr, lr_power=lr_power,
                         initial_accumulator_value=initial_accumulator_value, l1=l1, l2=l2, l2_shrinkage=l2_shrinkage,
                         beta=beta)

    def check(self, group):
        super().check({k: v for k, v in group.items() if k != "lr_power"})
        if not (-math.inf < group.get("lr_power", 0) <= 0):
            raise ValueError(f"Ftrl: lr_power must be finite and at most 0, got {group['lr_power']}")

    def init_slot(self, name, w, group):
        return np.full_like(w, group["initial_accumulator_value"] if name == "n" else 0, order="C")

    @staticmethod
    def update(w, g, n, z, lr, lr_power, l1, l2, l2_shrinkage, beta):
        if lr == 0:  # no step, and nothing to divide by
            return
        before = n ** -lr_power
        n += g * g
        after = n ** -lr_power
        z += g + 2 * l2_shrinkage * w - (after - before) / lr * w
        curvature = (after + beta) / lr + 2 * l2
        w[...] = (np.clip(z, -l1, l1) - z) / np.maximum(curvature, 1e-37)  # no 0 / 0 where no gradient has been


class A2GradUni(Optimizer):
    """x <- x - c g, w <- (1 - a') w + a' x - (1 - a') a c g, with c = 1 / (2 lips / t + beta h), h = sqrt(v).

    v <- v + (g - mean)^2, mean that of all gradients so far, a = 2 / (t + 1), a' = 2 / (t + 2). Deng, Cheng & Lan 2018:
    Nesterov's acceleration with Adagrad's scaling by the noise, the distance of g from its mean, alone: without noise
    the step is the accelerated one of a lips-smooth function. It has no lr. diagonal=False: the sum of (g - mean)^2
    over the tensor, as torch_optimizer does. For convex problems with a known smoothness. 3 numbers per weight.
    """

    slots = ("x", "mean", "v")
    elementwise = False  # diagonal = False sums over the tensor

    def __init__(self, params, beta: float = 10.0, lips: float = 10.0, weight_decay: float = 0, *,
                 diagonal: bool = True, maximize: bool = False):
        super().__init__(params, weight_decay, maximize, beta=beta, lips=lips, diagonal=diagonal)

    def check(self, group):
        super().check(group)
        if not group.get("lips", 1) > 0:
            raise ValueError(f"{type(self).__name__}: lips must be positive, got {group['lips']}")

    def init_slot(self, name, w, group):
        return np.array(w, order="C") if name == "x" else np.zeros_like(w, order="C")

    @staticmethod
    def update(w, g, x, mean, v, beta, lips, diagonal, t):
        mean += (g - mean) / t
        noise = (g - mean) ** 2
        v += noise if diagonal else np.sum(noise)
        _accelerate(w, g, x, np.sqrt(v), beta, lips, t)


def _accelerate(w, g, x, h, beta, lips, t):
    a, b = 2 / (t + 1), 2 / (t + 2)
    d = g / (2 * lips / t + beta * h)
    x -= d
    w += b * (x - w) - (1 - b) * a * d


class A2GradInc(A2GradUni):
    """A2GradUni with v <- ((t - 1) / t)^2 v + (g - mean)^2: late noise weighs more. Deng, Cheng & Lan 2018."""

    @staticmethod
    def update(w, g, x, mean, v, beta, lips, diagonal, t):
        mean += (g - mean) / t
        noise = (g - mean) ** 2
        v *= ((t - 1) / t) ** 2
        v += noise if diagonal else np.sum(noise)
        _accelerate(w, g, x, np.sqrt(v), beta, lips, t)


class A2GradExp(A2GradUni):
    """A2GradUni with u <- rho u + (1 - rho) (g - mean)^2, v <- max(v, u), h = sqrt(t v). Deng, Cheng & Lan 2018.

    The exponential average of the noise, kept from shrinking. The first step sets u. 4 numbers per weight.
    """

    slots = ("x", "mean", "v", "u")

    def __init__(self, params, beta: float = 10.0, lips: float = 10.0, rho: float = 0.5, weight_decay: float = 0, *,
                 diagonal: bool = True, maximize: bool = False):
        Optimizer.__init__(self, params, weight_decay, maximize, beta=beta, lips=lips, rho=rho, diagonal=diagonal)

    def check(self, group):
        super().check(group)
        if not group.get("rho", 0) <= 1:
            raise ValueError(f"A2GradExp: rho must be in [0, 1], got {group['rho']}")

    @staticmethod
    def update(w, g, x, mean, v, u, beta, lips, rho, diagonal, t):
        mean += (g - mean) / t
        noise = (g - mean) ** 2
        fresh = 1 if t == 1 else 1 - rho
        u *= 1 - fresh
        u += fresh * (noise if diagonal else np.sum(noise))
        v[...] = np.maximum(v, u)
        _accelerate(w, g, x, np.sqrt(t * v), beta, lips, t)


class MADGRAD(Optimizer):
    """s <- s + a g, v <- v + a g^2 with a = (lr + eps) sqrt(t),
    w <- momentum w + (1 - momentum) (w0 - s / (cbrt(v) + eps)).

    Dual averaging from the start w0 instead of steps from w, a cube root instead of a square root, and momentum as an
    average of iterates: it generalizes like SGD where Adam does not. Defazio & Jelassi 2021. 3 numbers per weight.
    """

    slots = ("s", "v", "w0")
    fractions = ("momentum",)

    def __init__(self, params, lr: float = 0.01, momentum: float = 0.9, weight_decay: float = 0, eps: float = 1e-6, *,
                 maximize: bool = False):
        super().__init__(params, weight_decay, maximize, lr=lr, momentum=momentum, eps=eps)

    def init_slot(self, name, w, group):
        return np.array(w, order="C") if name == "w0" else np.zeros_like(w, order="C")

    @staticmethod
    def update(w, g, s, v, w0, lr, momentum, eps, t):
        a = (lr + eps) * t ** 0.5  # as in the authors' code
        s += a * g
        v += a * (g * g)
        w *= momentum
        w += (1 - momentum) * (w0 - s / (np.cbrt(v) + eps))
