"""What was tried on Adam: other denominators, bounds on the step, other averages of the gradient.

As in adam.py, m^ = m / (1 - beta1^t) and v^ = v / (1 - beta2^t) throughout.
"""

from __future__ import annotations

import math

import numpy as np

from .adam import Adam, Betas
from .optimizer import Optimizer


# ---- another denominator ----
class AdaBelief(Optimizer):
    """m as Adam's, s <- beta2 s + (1 - beta2) (g - m)^2 + eps, w <- w - lr m^ / (sqrt(s^) + eps). Zhuang et al. 2020.

    m is what is believed of g: a large gradient that was expected gets a long step, where Adam's is short. Trains like
    Adam, generalizes more like SGD. eps is added to s in every step, and once more to the root. 2 numbers per weight.
    """

    slots = ("m", "s")

    def __init__(self, params, lr: float = 1e-3, betas: Betas = (0.9, 0.999), eps: float = 1e-16,
                 weight_decay: float = 0, *, decoupled_weight_decay: bool = False, maximize: bool = False):
        super().__init__(params, weight_decay, maximize, lr=lr, betas=betas, eps=eps,
                         decoupled_weight_decay=decoupled_weight_decay)

    @staticmethod
    def update(w, g, m, s, lr, beta1, beta2, eps, t):
        m += (1 - beta1) * (g - m)
        d = g - m
        s *= beta2
        s += (1 - beta2) * (d * d) + eps
        w -= lr / (1 - beta1 ** t) * m / (np.sqrt(s / (1 - beta2 ** t)) + eps)


class AcProp(AdaBelief):
    """w <- w - lr g / (sqrt(s^) + eps), s^ of the steps before; then m as Adam's, s as AdaBelief's.

    Zhuang et al. 2021: the denominator must not know g: one in which g has no part leaves the step's mean unbiased, so
    it converges where Adam does not; AdaBelief's centering on top. There is no s before the first step: it is SGD's,
    w - lr g. (optax's acprop steps along m, and centers by the old m.) 2 numbers per weight.
    """

    @staticmethod
    def update(w, g, m, s, lr, beta1, beta2, eps, t):
        if t == 1:
            w -= lr * g
        else:
            w -= lr * g / (np.sqrt(s / (1 - beta2 ** (t - 1))) + eps)
        m += (1 - beta1) * (g - m)
        d = g - m
        s *= beta2
        s += (1 - beta2) * (d * d) + eps


class Yogi(Optimizer):
    """Adam with v <- v - (1 - beta2) sign(v - g^2) g^2. Zaheer, Reddi, Sachan, Kale & Kumar 2018.

    Adam's v forgets in proportion to itself, so that its rates can rise fast; here v moves by g^2 at most. For sparse
    gradients and noisy problems. m and v start at initial_accumulator. 2 numbers per weight.
    """

    slots = ("m", "v")

    def __init__(self, params, lr: float = 1e-2, betas: Betas = (0.9, 0.999), eps: float = 1e-3,
                 initial_accumulator: float = 1e-6, weight_decay: float = 0, *, maximize: bool = False):
        super().__init__(params, weight_decay, maximize, lr=lr, betas=betas, eps=eps,
                         initial_accumulator=initial_accumulator)

    def init_slot(self, name, w, group):
        return np.full_like(w, group["initial_accumulator"], order="C")

    @staticmethod
    def update(w, g, m, v, lr, beta1, beta2, eps, t):
        m += (1 - beta1) * (g - m)
        v -= (1 - beta2) * np.sign(v - g * g) * (g * g)
        w -= lr / (1 - beta1 ** t) * m / (np.sqrt(v / (1 - beta2 ** t)) + eps)


class SAdam(Adam):
    """Adam with softplus(sqrt(v)) in place of sqrt(v) + eps, softplus(x) = log(1 + exp(smooth x)) / smooth.

    Tong, Liang & Bi 2019: eps only bounds the rates of weights whose gradients are tiny, softplus also evens them out.
    v is not corrected before the softplus. Memory: 2 numbers per weight, 3 with amsgrad.
    """

    def __init__(self, params, lr: float = 1e-3, betas: Betas = (0.9, 0.999), weight_decay: float = 0,
                 amsgrad: bool = False, smooth: float = 50, *, maximize: bool = False):
        Optimizer.__init__(self, params, weight_decay, maximize, lr=lr, betas=betas, amsgrad=amsgrad,
                           smooth=smooth)

    def check(self, group):
        super().check(group)
        if not group.get("smooth", 1) > 0:
            raise ValueError(f"SAdam: smooth must be positive, got {group['smooth']}")

    @staticmethod
    def update(w, g, m, v, v_max, lr, beta1, beta2, smooth, t):
        m += (1 - beta1) * (g - m)
        v *= beta2
        v += (1 - beta2) * (g * g)
        if v_max is not None:
            v_max[...] = np.maximum(v_max, v)
            v = v_max
        below = np.logaddexp(0.0, smooth * np.sqrt(v)) / smooth
        w -= lr * (1 - beta2 ** t) ** 0.5 / (1 - beta1 ** t) * m / below


class ADOPT(Optimizer):
    """m <- beta1 m + (1 - beta1) clip(g / max(sqrt(v), eps), +-(t - 1)^(1/4)), w <- w - lr m, then v as Adam's.

    Taniguchi et al. 2024: v of the steps before, and the average after the scaling: Adam that converges whatever beta2.
    The first step only sets v = g^2. clip=False: without the bounds. 2 numbers per weight.
    """

    slots = ("m", "v")

    def __init__(self, params, lr: float = 1e-3, betas: Betas = (0.9, 0.9999), eps: float = 1e-6,
                 weight_decay: float = 0, *, clip: bool = True, decoupled_weight_decay: bool = False,
                 maximize: bool = False):
        super().__init__(params, weight_decay, maximize, lr=lr, betas=betas, eps=eps, clip=clip,
                         decoupled_weight_decay=decoupled_weight_decay)

    @staticmethod
    def update(w, g, m, v, lr, beta1, beta2, eps, clip, t):
        if t == 1:
            v[...] = g * g
            return
        d = g / np.maximum(np.sqrt(v), eps)
        if clip:
            bound = (t - 1) ** 0.25
            d = np.clip(d, -bound, bound)
        m += (1 - beta1) * (d - m)
        w -= lr * m
        v *= beta2
        v += (1 - beta2) * (g * g)


class Apollo(Optimizer):
    """m <- m + a (g - m), B <- B - (y d + B d^2) / |d|^4 d^2, d <- m / max(|B|, 1), w <- w - lr d. Ma 2020.

    a = (1 - beta) / (1 - beta^t), y = the change of m, |d| = (sum d^4)^(1/4) + eps, y d and B d^2 summed over the
    tensor. A quasi-Newton method: B is the diagonal that explains the change of the gradient, Adam's v does not look at
    curvature. d is not scaled: lr is SGD's, and wants a warm-up. 3 numbers per weight.
    """

    slots = ("m", "B", "d")
    fractions = ("beta",)
    elementwise = False

    def __init__(self, params, lr: float = 1e-2, beta: float = 0.9, eps: float = 1e-4, weight_decay: float = 0, *,
                 maximize: bool = False):
        super().__init__(params, weight_decay, maximize, lr=lr, beta=beta, eps=eps)

    def check(self, group):
        super().check(group)
        if not group.get("eps", 1) > 0:  # the first |d| is 0
            raise ValueError(f"Apollo: eps must be positive, got {group['eps']}")

    @staticmethod
    def update(w, g, m, B, d, lr, beta, eps, t):
        y = (1 - beta) / (1 - beta ** t) * (g - m)
        m += y
        top = np.max(np.abs(d), initial=eps)  # the fourth power of d itself may overflow
        norm = top * np.sum(np.square(np.square(d / top))) ** 0.25 + eps
        u = d / norm
        B -= (np.sum(y / norm * u) + np.sum(B * u * u)) * u * u
        d[...] = m / np.maximum(np.abs(B), 1)
        w -= lr * d


# ---- bounds on the step ----
class AdaBound(Optimizer):
    """w <- w - clip(lr sqrt(1 - beta2^t) / (1 - beta1^t) / (sqrt(v) + eps), lower, upper) m. Luo et al. 2019.

    lower = final_lr (1 - 1 / (gamma t + 1)), upper = final_lr (1 + 1 / (gamma t)), times lr over the first lr, so that
    a schedule scales them too. Adam's speed first, SGD's generalization later: the bounds close on SGD with momentum
    and final_lr. amsbound: the largest v so far (AMSBound), and 3 numbers per weight; without, 2.
    """

    slots = ("m", "v", "v_max")

    def __init__(self, params, lr: float = 1e-3, betas: Betas = (0.9, 0.999), final_lr: float = 0.1,
                 gamma: float = 1e-3, eps: float = 1e-8, weight_decay: float = 0, amsbound: bool = False, *,
                 maximize: bool = False):
        super().__init__(params, weight_decay, maximize, lr=lr, betas=betas, final_lr=final_lr, gamma=gamma,
                         eps=eps, amsbound=amsbound, base_lr=None)

    def add_param_group(self, group):
        super().add_param_group(group)
        group = self.param_groups[-1]
        if group["base_lr"] is None:
            group["base_lr"] = group["lr"]

    def check(self, group):
        super().check(group)
        if not group.get("gamma", 1) > 0:
            raise ValueError(f"{type(self).__name__}: gamma must be positive, got {group['gamma']}")
        if "base_lr" in group and not (group["base_lr"] or group["lr"]) > 0:
            raise ValueError(f"{type(self).__name__}: the first lr must be positive, the bounds are scaled by "
                             f"lr / first lr; got {group['lr']}")

    def unused(self, group):
        return () if group["amsbound"] else ("v_max",)

    @staticmethod
    def update(w, g, m, v, v_max, lr, beta1, beta2, final_lr, gamma, eps, base_lr, t):
        m += (1 - beta1) * (g - m)
        v *= beta2
        v += (1 - beta2) * (g * g)
        if v_max is not None:
            v_max[...] = np.maximum(v_max, v)
            v = v_max
        final = final_lr * lr / base_lr
        rate = lr * (1 - beta2 ** t) ** 0.5 / (1 - beta1 ** t) / (np.sqrt(v) + eps)
        w -= np.clip(rate, final * (1 - 1 / (gamma * t + 1)), final * (1 + 1 / (gamma * t))) * m


class AMSBound(AdaBound):
    """AdaBound with the largest v so far in place of v. Luo et al. 2019. 3 numbers per weight."""

    def __init__(self, params, lr: float = 1e-3, betas: Betas = (0.9, 0.999), final_lr: float = 0.1,
                 gamma: float = 1e-3, eps: float = 1e-8, weight_decay: float = 0, *, maximize: bool = False):
        super().__init__(params, lr, betas, final_lr, gamma, eps, weight_decay, True, maximize=maximize)


class AdaMod(Optimizer):
    """s <- beta3 s + (1 - beta3) rate, w <- w - min(rate, s) m, with Adam's rate.

    rate = lr sqrt(1 - beta2^t) / (1 - beta1^t) / (sqrt(v) + eps): the corrections stand in it, as in the authors' code.
    Ding, Ren, Luo & Sun 2019: the rate of a weight may not leap above its average, which starts at 0: a warm-up that
    needs no schedule. weight_decay is decoupled. 3 numbers per weight.
    """

    slots = ("m", "v", "s")
    fractions = ("betas", "beta3")
    decoupled = True

    def __init__(self, params, lr: float = 1e-3, betas: Betas = (0.9, 0.999), beta3: float = 0.999, eps: float = 1e-8,
                 weight_decay: float = 0, *, maximize: bool = False):
        super().__init__(params, weight_decay, maximize, lr=lr, betas=betas, beta3=beta3, eps=eps)

    @staticmethod
    def update(w, g, m, v, s, lr, beta1, beta2, beta3, eps, t):
        m += (1 - beta1) * (g - m)
        v *= beta2
        v += (1 - beta2) * (g * g)
        rate = lr * (1 - beta2 ** t) ** 0.5 / (1 - beta1 ** t) / (np.sqrt(v) + eps)
        s += (1 - beta3) * (rate - s)
        w -= np.minimum(rate, s) * m


class DiffGrad(Optimizer):
    """w <- w - lr sqrt(1 - beta2^t) / (1 - beta1^t) xi m / (sqrt(v) + eps), xi = sigmoid(|g - previous g|).

    Dubey et al. 2019: Adam that brakes, to half, where the gradient no longer changes, so as not to run over a narrow
    minimum. The gradient before the first is 0. 3 numbers per weight.
    """

    slots = ("m", "v", "previous")

    def __init__(self, params, lr: float = 1e-3, betas: Betas = (0.9, 0.999), eps: float = 1e-8,
                 weight_decay: float = 0, *, maximize: bool = False):
        super().__init__(params, weight_decay, maximize, lr=lr, betas=betas, eps=eps)

    @staticmethod
    def update(w, g, m, v, previous, lr, beta1, beta2, eps, t):
        m += (1 - beta1) * (g - m)
        v *= beta2
        v += (1 - beta2) * (g * g)
        xi = 1 / (1 + np.exp(-np.abs(previous - g)))
        previous[...] = g
        w -= lr * (1 - beta2 ** t) ** 0.5 / (1 - beta1 ** t) * xi * m / (np.sqrt(v) + eps)


class AdamP(Optimizer):
    """d = m^ / (sqrt(v^) + eps), d <- d - (w.d / |w|^2) w, w <- (1 - lr wd_ratio weight_decay) w - lr d.

    The projection, and the smaller decay, only where w looks scale-invariant: |cos(g, w)| < delta / sqrt(size) for each
    channel w[i], else for the whole w; never for vectors. Heo et al. 2020: before a normalization the length of w means
    nothing, and momentum makes it grow, which shrinks the effective steps. For nets with batch norm. nesterov: beta1 m
    + (1 - beta1) g in place of m. 2 numbers per weight.
    """

    slots = ("m", "v")
    elementwise = False

    def __init__(self, params, lr: float = 1e-3, betas: Betas = (0.9, 0.999), eps: float = 1e-8,
                 weight_decay: float = 0, delta: float = 0.1, wd_ratio: float = 0.1, nesterov: bool = False, *,
                 maximize: bool = False):
        super().__init__(params, weight_decay, maximize, lr=lr, betas=betas, eps=eps, delta=delta,
                         wd_ratio=wd_ratio, nesterov=nesterov)

    @staticmethod
    def update(w, g, m, v, lr, beta1, beta2, eps, weight_decay, delta, wd_ratio, nesterov, t):
        m += (1 - beta1) * (g - m)
        v *= beta2
        v += (1 - beta2) * (g * g)
        d = (beta1 * m + (1 - beta1) * g if nesterov else m) / (np.sqrt(v / (1 - beta2 ** t)) + eps)
        if w.ndim > 1 and w.size:
            for n in (w.shape[0], 1):
                rows, grads = w.reshape(n, -1), g.reshape(n, -1)
                lengths, slopes = (np.sqrt(np.sum(a * a, axis=1)) + eps for a in (rows, grads))
                cosines = np.abs(np.sum(grads * rows, axis=1)) / lengths / slopes
                if np.max(cosines) < delta / math.sqrt(rows.shape[1]):
                    units, steps = rows / lengths[:, None], d.reshape(n, -1)
                    d = (steps - units * np.sum(units * steps, axis=1)[:, None]).reshape(w.shape)
                    weight_decay = wd_ratio * weight_decay
                    break
        w *= 1 - lr * weight_decay
        w -= lr / (1 - beta1 ** t) * d


class SWATS(Optimizer):
    """Adam until it is clear which SGD it amounts to; from then on m <- beta1 m + g, w <- w - (1 - beta1) lr m.

    p is Adam's step of all weights, -lr sqrt(1 - beta2^t) / (1 - beta1^t) m / (sqrt(v) + eps), gamma = p.p / -p.g the
    rate with which SGD's step projected onto p is p, a its average with beta2: once |a^ - gamma| < tolerance, a^ > 0
    becomes lr, in every group, and m starts again at 0. Keskar & Socher 2017: Adam's start, SGD's generalization, no
    rate of SGD to choose. (torch_optimizer's switches at the first tensor, not for all, and damps m twice.) 2 numbers
    per weight.
    """

    slots = ("m", "v", "sums")  # sums: p.p and p.g of the last step
    elementwise = False

    def __init__(self, params, lr: float = 1e-3, betas: Betas = (0.9, 0.999), eps: float = 1e-9,
                 weight_decay: float = 0, *, tolerance: float = 1e-9, maximize: bool = False):
        super().__init__(params, weight_decay, maximize, lr=lr, betas=betas, eps=eps, tolerance=tolerance)

    def init_slot(self, name, w, group):
        return np.zeros(2, w.dtype) if name == "sums" else np.zeros_like(w, order="C")

    def shared(self, params, grads, loss):
        now = {"a": 0.0, "k": 0, "sgd": False} | self.common
        states, group = self.state.values(), self.param_groups[0]
        pp, pg = (math.fsum(float(s["sums"][i]) for s in states) for i in (0, 1))
        if now["sgd"] or pg == 0:
            return {"sgd": now["sgd"]}
        beta2, gamma = group["betas"][1], pp / -pg
        now["k"] += 1
        now["a"] += (1 - beta2) * (gamma - now["a"])
        rate = now["a"] / (1 - beta2 ** now["k"])
        now["sgd"] = now["k"] > 1 and rate > 0 and abs(rate - gamma) < group["tolerance"]
        self.common = now
        for s in states:
            s["sums"][...] = 0  # a parameter that has no gradient next time has no step in its sums
            if now["sgd"]:
                s["m"][...] = 0
        if not now["sgd"]:
            return {"sgd": False}
        for group in self.param_groups:
            group["lr"] = rate
        return {"sgd": True, "lr": rate}

    @staticmethod
    def update(w, g, m, v, sums, lr, beta1, beta2, eps, sgd, t):
        if sgd:
            m *= beta1
            m += g
            w -= (1 - beta1) * lr * m
            return
        m += (1 - beta1) * (g - m)
        v *= beta2
        v += (1 - beta2) * (g * g)
        p = -lr * (1 - beta2 ** t) ** 0.5 / (1 - beta1 ** t) * m / (np.sqrt(v) + eps)
        sums[0], sums[1] = np.sum(p * p), np.sum(p * g)
        w += p


# ---- another average of the gradient ----
class QHAdam(Optimizer):
    """w <- w - lr ((1 - nu1) g + nu1 m^) / (sqrt((1 - nu2) g^2 + nu2 v^) + eps), nus = (nu1, nu2). Ma & Yarats 2018.

    Quasi-hyperbolic: the average counts for nu, the gradient of the moment for the rest, so that long averages do not
    lag. nus = (1, 1) is Adam, beta1 = nu1 NAdam almost; (0.7, 1) with beta1 = 0.995 is the paper's advice.
    2 numbers per weight.
    """

    slots = ("m", "v")

    def __init__(self, params, lr: float = 1e-3, betas: Betas = (0.9, 0.999), nus: Betas = (1.0, 1.0),
                 weight_decay: float = 0, decoupled_weight_decay: bool = False, eps: float = 1e-8, *,
                 maximize: bool = False):
        super().__init__(params, weight_decay, maximize, lr=lr, betas=betas, nus=nus, eps=eps,
                         decoupled_weight_decay=decoupled_weight_decay)

    def check(self, group):
        super().check(group)
        for nu in group.get("nus", ()):
            if not 0 <= nu <= 1:
                raise ValueError(f"QHAdam: nus must be in [0, 1], got {group['nus']}")

    def numbers(self, group, state, t):
        return {"nu1": group["nus"][0], "nu2": group["nus"][1]}

    @staticmethod
    def update(w, g, m, v, lr, beta1, beta2, nu1, nu2, eps, t):
        m += (1 - beta1) * (g - m)
        v *= beta2
        v += (1 - beta2) * (g * g)
        first = (1 - nu1) * g + nu1 / (1 - beta1 ** t) * m
        second = (1 - nu2) * g * g + nu2 / (1 - beta2 ** t) * v
        w -= lr * first / (np.sqrt(second) + eps)


class OptimisticAdam(Optimizer):
    """d = m^ / (sqrt(v^) + eps), w <- w - lr ((alpha + beta) d - beta previous d). Daskalakis et al. 2017.

    Optimism: the next step is expected to change like the last. Two players who both descend circle each other; so
    corrected they meet: for GANs and min-max problems. Before the first step d is the first d. nesterov: beta1 m^' +
    (1 - beta1) g^ in place of m^, with the next step's correction in m^': optax's default. 3 numbers per weight.
    """

    slots = ("m", "v", "previous")

    def __init__(self, params, lr: float = 1e-3, betas: Betas = (0.9, 0.999), eps: float = 1e-8,
                 weight_decay: float = 0, *, alpha: float = 1.0, beta: float = 1.0, nesterov: bool = False,
                 maximize: bool = False):
        super().__init__(params, weight_decay, maximize, lr=lr, betas=betas, eps=eps, alpha=alpha, beta=beta,
                         nesterov=nesterov)

    @staticmethod
    def update(w, g, m, v, previous, lr, beta1, beta2, eps, alpha, beta, nesterov, t):
        m += (1 - beta1) * (g - m)
        v *= beta2
        v += (1 - beta2) * (g * g)
        if nesterov:
            top = beta1 / (1 - beta1 ** (t + 1)) * m + (1 - beta1) / (1 - beta1 ** t) * g
        else:
            top = m / (1 - beta1 ** t)
        d = top / (np.sqrt(v / (1 - beta2 ** t)) + eps)
        if t == 1:
            previous[...] = d
        w -= lr * ((alpha + beta) * d - beta * previous)
        previous[...] = d


class Adan(Optimizer):
    """w <- (w - lr (m^ + beta2 v^) / (sqrt(n^) + eps)) / (1 + lr weight_decay). Xie et al. 2022.

    m, v, n are averages, with betas, of g, of the change of g, and of (g + beta2 change)^2; the first change is 0.
    Nesterov's gradient at the point ahead, without computing it there. For large batches and vision transformers.
    The decay is proximal, as in the paper; no_prox: AdamW's. (optax weighs the changes by 1 - beta2, not beta2: another
    rule.) 4 numbers per weight.
    """

    slots = ("m", "v", "n", "previous")

    def __init__(self, params, lr: float = 1e-3, betas: tuple[float, float, float] = (0.98, 0.92, 0.99),
                 eps: float = 1e-8, weight_decay: float = 0, *, no_prox: bool = False, maximize: bool = False):
        super().__init__(params, weight_decay, maximize, lr=lr, betas=betas, eps=eps, no_prox=no_prox)

    @staticmethod
    def update(w, g, m, v, n, previous, lr, beta1, beta2, beta3, eps, weight_decay, no_prox, t):
        if t == 1:
            previous[...] = g
        change = g - previous
        previous[...] = g
        ahead = g + beta2 * change
        m += (1 - beta1) * (g - m)
        v += (1 - beta2) * (change - v)
        n *= beta3
        n += (1 - beta3) * (ahead * ahead)
        if no_prox:
            w *= 1 - lr * weight_decay
        w -= lr * (m / (1 - beta1 ** t) + beta2 / (1 - beta2 ** t) * v) / (np.sqrt(n / (1 - beta3 ** t)) + eps)
        if not no_prox:
            w /= 1 + lr * weight_decay


class AdEMAMix(Optimizer):
    """w <- w - lr (m1^ + alpha m2) / (sqrt(v^) + eps), m1 and m2 averages of g with beta1 and beta3, v as Adam's.

    Pagliardini, Ablin & Grangier 2024: one average cannot be both quick and long; m2 remembers tens of thousands of
    steps, and is not corrected, so that it comes in slowly. For long runs. warmup: over so many steps alpha grows from
    0, and beta3 from beta1, evenly in its half-life; the paper's are the length of the run. weight_decay is decoupled.
    3 numbers per weight.
    """

    slots = ("m1", "m2", "v")
    decoupled = True

    def __init__(self, params, lr: float = 1e-3, betas: tuple[float, float, float] = (0.9, 0.999, 0.9999),
                 alpha: float = 5.0, eps: float = 1e-8, weight_decay: float = 0, *, warmup: int | None = None,
                 maximize: bool = False):
        super().__init__(params, weight_decay, maximize, lr=lr, betas=betas, alpha=alpha, eps=eps, warmup=warmup)

    def numbers(self, group, state, t):
        part = min(t / group["warmup"], 1) if group["warmup"] else 1
        start, _, end = group["betas"]
        if part == 1 or not 0 < start < end:
            return {"alpha": part * group["alpha"]}
        lives = (1 - part) / math.log(start) + part / math.log(end)  # half-lives are proportional to 1 / log(beta)
        return {"alpha": part * group["alpha"], "beta3": math.exp(1 / lives)}

    @staticmethod
    def update(w, g, m1, m2, v, lr, beta1, beta2, beta3, alpha, eps, t):
        m1 += (1 - beta1) * (g - m1)
        m2 += (1 - beta3) * (g - m2)
        v *= beta2
        v += (1 - beta2) * (g * g)
        w -= lr * (m1 / (1 - beta1 ** t) + alpha * m2) / (np.sqrt(v / (1 - beta2 ** t)) + eps)


class SimplifiedAdEMAMix(Optimizer):
    """m <- beta1 m + g, v as Adam's, w <- w - lr (m + alpha g) / (sqrt(v^) + eps). Morwani et al. 2025.

    AdEMAMix with one average: the gradient itself is the quick one. m is a sum, as long as 1 / (1 - beta1) gradients:
    lr is Adam's times 1 - beta1, and alpha = 0 is Adam with it, but for the correction of m. weight_decay is decoupled.
    2 numbers per weight.
    """

    slots = ("m", "v")
    decoupled = True

    def __init__(self, params, lr: float = 1e-5, betas: Betas = (0.99, 0.95), alpha: float = 0.0, eps: float = 1e-8,
                 weight_decay: float = 0, *, maximize: bool = False):
        super().__init__(params, weight_decay, maximize, lr=lr, betas=betas, alpha=alpha, eps=eps)

    @staticmethod
    def update(w, g, m, v, lr, beta1, beta2, alpha, eps, t):
        m *= beta1
        m += g
        v *= beta2
        v += (1 - beta2) * (g * g)
        w -= lr * (m + alpha * g) / (np.sqrt(v / (1 - beta2 ** t)) + eps)
