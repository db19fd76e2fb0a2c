"""Optimizers that find their step size themselves: from the loss, from a bet, or from the distance travelled.

Where they still have an lr it is a cap or a factor, 1 or so, there for schedules. Most take one decision for all
weights together, so one NaN in a gradient can reach every weight.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable

import numpy as np

from .optimizer import Optimizer


class Measured(Optimizer):
    """The base of those whose step depends on sums over all weights.

    Before any weight moves, ``measure(w, g, *slots, ...)``, called on every parameter with the w, g and slots that
    update will get, gives the parameter's share in the sums. It may already write to the slots. `conclude` makes from
    the sums what update looks up, which is kept in ``common``, where measure finds it at the next step; `begin` is what
    that starts with. For what all groups share, the hyper-parameters are the first group's.
    """

    measure: Callable
    signed: tuple[str, ...] = ()  # hyper-parameters that may be negative

    def check(self, group):
        super().check({k: v for k, v in group.items() if k not in self.signed})
        for k in self.signed:
            if not math.isfinite(group.get(k, 0)):
                raise ValueError(f"{type(self).__name__}: {k} must be finite, got {group[k]}")

    def shared(self, params, grads, loss):
        if not self.common:
            self.common = self.begin(self.param_groups[0])
        group_of = {p: group for group in self.param_groups for p in group["params"]}
        names = list(inspect.signature(self.measure).parameters)[2 + len(self.slots):]
        shares = []
        for p, g in zip(params, grads, strict=True):
            group, state = group_of[p], self.state.setdefault(p, {"step": 0})
            known = {**self._known(group), **self.common, "t": state["step"] + 1}
            self._blocks_of(p, state, known)  # makes the slots
            w, g = p.data.reshape(-1), g.reshape(-1)
            if group["maximize"]:
                g = -g
            coupled, _ = known["decays"]
            if coupled:
                g = g + coupled * w
            shares.append(self.measure(w, g, *(state[s].reshape(-1) for s in self.slots), *(known[n] for n in names)))
        now = set(params)
        absent = [state for p, state in self.state.items() if p not in now]
        self.common = self.conclude([sum(map(float, s)) for s in zip(*shares)], loss, absent, self.param_groups[0])
        return self.common

    @staticmethod
    def measure(w, g, *slots) -> tuple:
        """One parameter's shares of the sums over all weights."""
        raise NotImplementedError

    def begin(self, group: dict) -> dict:
        """What `common` starts with, at the first step."""
        return {}

    def conclude(self, sums: list[float], loss, absent: list[dict], group: dict) -> dict:
        """What update needs, from the sums, the loss, and the states of parameters without a gradient at this step."""
        raise NotImplementedError

    def value(self, loss, group) -> float:
        """What is minimized, from the closure's loss."""
        if loss is None:
            raise ValueError(f"{type(self).__name__} needs the loss: step(closure), with a closure that returns it")
        return -float(loss) if group["maximize"] else float(loss)


def ratio(a: float, b: float) -> float:
    """a / b, and 0 for b = 0: there is no gradient then, and nothing to be learned from it."""
    return a / b if b else 0.0


# ---- from the loss ----
class PolyakSGD(Measured):
    """w <- w - min(lr, (f(w) - f_min) / (c |g|^2 + eps)) g, |g| over all weights, f the loss: step(closure).

    Polyak 1987; for stochastic gradients Berrada et al. 2019, Loizou et al. 2020. Were f a straight line, this step
    would end at f_min, the least loss possible: 0 for a model that can fit all its data. Steps shrink by themselves as
    the loss does. Below f_min no step is taken (Garrigos et al. 2023). weight_decay counts in f as well. Memory: none.
    """

    signed = ("f_min",)

    def __init__(self, params, lr: float = 1.0, f_min: float = 0.0, c: float = 1.0, eps: float = 0.0,
                 weight_decay: float = 0, *, maximize: bool = False):
        super().__init__(params, weight_decay, maximize, lr=lr, f_min=f_min, c=c, eps=eps)

    @staticmethod
    def measure(w, g, weight_decay):
        return np.vdot(g, g), weight_decay / 2 * np.vdot(w, w) if weight_decay else 0.0

    def conclude(self, sums, loss, absent, group):
        squares, penalty = sums
        gap = self.value(loss, group) + penalty - group["f_min"]
        return {"polyak": ratio(max(gap, 0.0), group["c"] * squares + group["eps"])}

    @staticmethod
    def update(w, g, lr, polyak):
        w -= min(polyak, lr) * g


class MoMo(Measured):
    """w <- (w - min(lr, s) m) / a, s = max(0, a (f - gw - bound) + <m, w>) / |m|^2, a = 1 + lr weight_decay.

    m, f and gw are the averages of g, of the loss and of <g, w>: x <- beta x + (1 - beta) x_t, at the first step x_t.
    Schaipp et al. 2023: Polyak's step with momentum. The average of all the straight lines seen so far is the model of
    the loss, lower_bound is where it ends. So lr may be set too large. adapt_lower_bound: when steps come out too long
    the bound is raised, which saves the guess. Needs step(closure). Memory: 1 number per weight.

    Optax does not divide the step by 1 + lr weight_decay; the paper and its authors' code do.
    """

    slots = ("m",)
    signed = ("lower_bound",)

    def __init__(self, params, lr: float = 1.0, beta: float = 0.9, lower_bound: float = 0.0, weight_decay: float = 0,
                 adapt_lower_bound: bool = False, *, maximize: bool = False):
        super().__init__(params, weight_decay, maximize, lr=lr, beta=beta, lower_bound=lower_bound,
                         adapt_lower_bound=adapt_lower_bound)

    def check(self, group):
        super().check(group)
        if group.get("beta", 0) >= 1:
            raise ValueError(f"MoMo: beta must be in [0, 1), got {group['beta']}")

    def begin(self, group):
        return {"steps": 0, "f": 0.0, "gw": 0.0, "bound": group["lower_bound"]}

    def averaging(self, group, steps):
        """(beta, the sum of the averages' weights)."""
        return group["beta"] if steps > 1 else 0, 1

    @staticmethod
    def measure(w, g, m, beta, t):
        m *= beta if t > 1 else 0
        m += (1 - beta if t > 1 else 1) * g
        return np.vdot(g, w), np.vdot(m, m), np.vdot(m, w)

    def conclude(self, sums, loss, absent, group):
        gw_now, norm, mw = sums
        steps, bound, lowest = self.common["steps"] + 1, self.common["bound"], group["lower_bound"]
        beta, total = self.averaging(group, steps)
        f = beta * self.common["f"] + (1 - beta) * self.value(loss, group)
        gw = beta * self.common["gw"] + (1 - beta) * gw_now
        shrink = 1 + group["lr"] * group["weight_decay"]
        cap = shrink * (f - gw) + mw
        if group["adapt_lower_bound"] and cap < shrink * total * bound:
            bound = max(cap / (2 * shrink * total), lowest)
        polyak = ratio(max(cap - shrink * total * bound, 0.0), norm)
        if group["adapt_lower_bound"]:
            bound = max((f - gw + mw - min(polyak, group["lr"] / total) * norm / 2) / total, lowest)
        return {"steps": steps, "f": f, "gw": gw, "bound": bound, "total": total, "polyak": polyak}

    @staticmethod
    def update(w, g, m, lr, polyak, weight_decay):
        w -= min(polyak, lr) * m
        w /= 1 + lr * weight_decay


class MoMoAdam(MoMo):
    """w <- (w - min(lr / (1 - beta1^t), s) m / D) / (1 + lr weight_decay), D = sqrt(v / (1 - beta2^t)) + eps.

    m and v are Adam's; s is MoMo's with <m, m / D> for |m|^2, beta1 for beta, averages that start at zero and so
    (1 - beta1^t) bound. Schaipp et al. 2023: MoMo where each weight has Adam's scale. Memory: 2 numbers per weight.
    """

    slots = ("m", "v")

    def __init__(self, params, lr: float = 1e-2, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
                 lower_bound: float = 0.0, weight_decay: float = 0, adapt_lower_bound: bool = False, *,
                 maximize: bool = False):
        Optimizer.__init__(self, params, weight_decay, maximize, lr=lr, betas=betas, eps=eps,
                           lower_bound=lower_bound, adapt_lower_bound=adapt_lower_bound)

    def averaging(self, group, steps):
        return group["betas"][0], 1 - group["betas"][0] ** steps

    @staticmethod
    def measure(w, g, m, v, beta1, beta2, eps, t):
        m += (1 - beta1) * (g - m)
        v *= beta2
        v += (1 - beta2) * (g * g)
        return np.vdot(g, w), np.vdot(m, m / (np.sqrt(v / (1 - beta2 ** t)) + eps)), np.vdot(m, w)

    @staticmethod
    def update(w, g, m, v, lr, beta2, eps, polyak, total, weight_decay, t):
        w -= min(polyak, lr / total) * m / (np.sqrt(v / (1 - beta2 ** t)) + eps)
        w /= 1 + lr * weight_decay


# ---- from a bet ----
class COCOB(Optimizer):
    """w <- w0 + T (1 + R / L) / max(G + L, alpha L), T <- T - g, G <- G + |g|, L and R as below.

    First L <- max(L, |g|) and R <- max(0, R - g (w - w0)). Orabona & Tommasi 2017 (COCOB-Backprop). Each weight is a
    gambler who bets on the next -g: L is the highest stake seen, from eps on, R the winnings, and what is bet is a
    fraction of the wealth L + R, held down by alpha in about the first alpha steps. No lr at all, and no need of one.
    Memory: 5 numbers per weight.
    """

    slots = ("w0", "L", "G", "R", "T")

    def __init__(self, params, alpha: float = 100.0, eps: float = 1e-8, weight_decay: float = 0, *,
                 maximize: bool = False):
        super().__init__(params, weight_decay, maximize, alpha=alpha, eps=eps)

    def check(self, group):
        super().check(group)
        if group.get("eps") == 0:
            raise ValueError("COCOB: eps must be positive, got 0: a weight without a gradient would become 0 / 0")

    def init_slot(self, name, w, group):
        return w.copy(order="C") if name == "w0" else np.full_like(w, group["eps"] if name == "L" else 0, order="C")

    @staticmethod
    def update(w, g, w0, L, G, R, T, alpha):
        L[...] = np.maximum(L, np.abs(g))
        G += np.abs(g)
        R[...] = np.maximum(R - g * (w - w0), 0)
        T -= g
        w[...] = w0 + T / np.maximum(G + L, alpha * L) * (1 + R / L)


# ---- from the distance travelled ----
class DoG(Measured):
    """w <- w - lr r / sqrt(G + eps) g: r the largest |w - w0| so far, G the sum of all |g|^2, over all weights.

    Distance over gradients: Ivgi et al. 2023. The best constant step of SGD is |w0 - w*| / sqrt(G); the distance
    travelled stands in for the one to go. r starts at reps_rel (1 + |w0|), which must only be small enough. Average the
    weights (EMA) for the result. Memory: 1 number per weight.
    """

    slots = ("w0",)

    def __init__(self, params, lr: float = 1.0, reps_rel: float = 1e-6, eps: float = 1e-8, weight_decay: float = 0, *,
                 maximize: bool = False):
        super().__init__(params, weight_decay, maximize, lr=lr, reps_rel=reps_rel, eps=eps)

    def init_slot(self, name, w, group):
        return w.copy(order="C")

    def begin(self, group):
        squares = sum(float(np.vdot(p.data, p.data)) for group in self.param_groups for p in group["params"])
        return {"distance": group["reps_rel"] * (1 + math.sqrt(squares)), "squares": 0.0}

    @staticmethod
    def measure(w, g, w0):
        away = w - w0
        return np.vdot(away, away), np.vdot(g, g)

    def conclude(self, sums, loss, absent, group):
        distance = max(self.common["distance"], math.sqrt(sums[0]))
        squares = self.common["squares"] + sums[1]
        return {"distance": distance, "squares": squares, "rate": ratio(distance, math.sqrt(squares + group["eps"]))}

    @staticmethod
    def update(w, g, w0, lr, rate):
        w -= lr * rate * g


class DoWG(DoG):
    """w <- w - lr r^2 / (sqrt(V) + eps) g: r the largest |w - w0| so far, V <- V + r^2 |g|^2, over all weights.

    Distance over weighted gradients: Khaled, Mishchenko & Jin 2023. Where r still grows, early gradients weigh less
    than in DoG, so it is bolder. r^2 starts at init_estim_sq_dist, by default eps. Memory: 1 number per weight.
    """

    def __init__(self, params, lr: float = 1.0, init_estim_sq_dist: float | None = None, eps: float = 1e-4,
                 weight_decay: float = 0, *, maximize: bool = False):
        Optimizer.__init__(self, params, weight_decay, maximize, lr=lr, init_estim_sq_dist=init_estim_sq_dist, eps=eps)

    def begin(self, group):
        start = group["init_estim_sq_dist"]
        return {"distance": math.sqrt(group["eps"] if start is None else start), "squares": 0.0}

    def conclude(self, sums, loss, absent, group):
        distance = max(self.common["distance"], math.sqrt(sums[0]))
        squares = self.common["squares"] + distance ** 2 * sums[1]
        return {"distance": distance, "squares": squares,
                "rate": ratio(distance ** 2, math.sqrt(squares) + group["eps"])}


class DAdaptAdamW(Measured):
    """m <- beta1 m + (1 - beta1) d lr g, v <- beta2 v + (1 - beta2) g^2, w <- w - m / (sqrt(v) + eps).

    d, from d0, becomes max(d, r / ((1 - b) |s|_1)), b = sqrt(beta2), with r <- b r + (1 - b) d lr <g, s / (sqrt(v) +
    eps)>, of the s and v before, and s <- b s + (1 - b) d lr g. Defazio & Mishchenko 2023: in gradient descent r / |s|
    proves that w* is at least so far away; with Adam's averages it is a good guess, and d, which climbs to it, is
    Adam's lr. Leave lr at 1 and schedule it. weight_decay is decoupled: w <- (1 - d lr weight_decay) w.
    use_bias_correction: d times Adam's sqrt(1 - beta2^t) / (1 - beta1^t), as Optax does. Memory: 3 numbers per weight.
    """

    slots = ("m", "v", "s")

    def __init__(self, params, lr: float = 1.0, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
                 d0: float = 1e-6, weight_decay: float = 0, *, use_bias_correction: bool = False,
                 maximize: bool = False):
        super().__init__(params, weight_decay, maximize, lr=lr, betas=betas, eps=eps, d0=d0,
                         use_bias_correction=use_bias_correction)

    def check(self, group):
        super().check(group)
        if group.get("d0") == 0:
            raise ValueError(f"{type(self).__name__}: d0 must be positive, got 0: it would stay there")

    def begin(self, group):
        return {"d": group["d0"], "r": 0.0}

    @staticmethod
    def measure(w, g, m, v, s, lr, beta1, beta2, eps, use_bias_correction, t):
        rate = lr * ((1 - beta2 ** t) ** 0.5 / (1 - beta1 ** t) if use_bias_correction else 1)
        return (rate * np.vdot(g, s / (np.sqrt(v) + eps)) if t > 1 else 0.0), np.abs(s).sum()

    def conclude(self, sums, loss, absent, group):
        b = math.sqrt(group["betas"][1])
        length = sums[1] + sum(float(np.abs(state["s"]).sum()) for state in absent)
        d = max(self.common["d"], ratio(self.common["r"], (1 - b) * length))  # the last step's, used from this one on
        return {"d": d, "r": b * self.common["r"] + (1 - b) * d * sums[0]}

    @staticmethod
    def update(w, g, m, v, s, lr, beta1, beta2, eps, d, weight_decay, use_bias_correction, t):
        b = beta2 ** 0.5
        rate = d * lr * ((1 - beta2 ** t) ** 0.5 / (1 - beta1 ** t) if use_bias_correction else 1)
        m += (1 - beta1) * (rate * g - m)
        v *= beta2
        v += (1 - beta2) * (g * g)
        s += (1 - b) * (rate * g - s)
        w *= 1 - rate * weight_decay
        w -= m / (np.sqrt(v) + eps)


class Prodigy(Measured):
    """m <- beta1 m + (1 - beta1) d g, v <- beta2 v + (1 - beta2) d^2 g^2, w <- w - lr d m / (sqrt(v) + d eps).

    d, from d0, becomes max(d, d_coef r / |s|_1), with r <- beta3 r + lr d^2 <g, w0 - w> and s <- beta3 s + lr d^2 g;
    beta3 is sqrt(beta2) if None. Mishchenko & Defazio 2023: D-Adaptation with gradients weighed by d^2, so that the
    first ones, taken with a far too small d, are soon outvoted and d climbs faster. Where the loss is convex r / |s|_1
    never exceeds the longest way that a weight has to go. Leave lr at 1 and schedule it. weight_decay is decoupled: w
    <- (1 - d lr weight_decay) w. use_bias_correction: as DAdaptAdamW's; Optax does it. safeguard_warmup: s without lr,
    so that a warm-up cannot drive d up. The d of eps is the new one, as in the authors' code. Memory: 4 numbers per
    weight.
    """

    slots = ("m", "v", "s", "w0")

    def __init__(self, params, lr: float = 1.0, betas: tuple[float, float] = (0.9, 0.999), beta3: float | None = None,
                 eps: float = 1e-8, weight_decay: float = 0, *, d0: float = 1e-6, d_coef: float = 1.0,
                 use_bias_correction: bool = False, safeguard_warmup: bool = False, maximize: bool = False):
        super().__init__(params, weight_decay, maximize, lr=lr, betas=betas, beta3=beta3, eps=eps, d0=d0,
                         d_coef=d_coef, use_bias_correction=use_bias_correction, safeguard_warmup=safeguard_warmup)

    def check(self, group):
        super().check(group)
        if group.get("d0") == 0:
            raise ValueError("Prodigy: d0 must be positive, got 0: it would stay there")
        if (group.get("beta3") or 0) >= 1:
            raise ValueError(f"Prodigy: beta3 must be in [0, 1), got {group['beta3']}")

    def init_slot(self, name, w, group):
        return w.copy(order="C") if name == "w0" else super().init_slot(name, w, group)

    def begin(self, group):
        return {"d": group["d0"], "r": 0.0}

    @staticmethod
    def measure(w, g, m, v, s, w0, lr, beta1, beta2, beta3, d, d0, use_bias_correction, safeguard_warmup, t):
        rate = d * lr * ((1 - beta2 ** t) ** 0.5 / (1 - beta1 ** t) if use_bias_correction else 1)
        s *= beta2 ** 0.5 if beta3 is None else beta3
        s += d / d0 * (d if safeguard_warmup else rate) * g  # r and s over d0, against underflow
        return d / d0 * rate * np.vdot(g, w0 - w), np.abs(s).sum()

    def conclude(self, sums, loss, absent, group):
        beta3 = math.sqrt(group["betas"][1]) if group["beta3"] is None else group["beta3"]
        d, r = self.common["d"], beta3 * self.common["r"] + sums[0]
        length = sums[1] + sum(float(np.abs(state["s"]).sum()) for state in absent)
        return {"d": max(d, group["d_coef"] * ratio(r, length)), "r": r, "last": d}

    @staticmethod
    def update(w, g, m, v, s, w0, lr, beta1, beta2, eps, d, last, weight_decay, use_bias_correction, t):
        rate = last * lr * ((1 - beta2 ** t) ** 0.5 / (1 - beta1 ** t) if use_bias_correction else 1)
        m += (1 - beta1) * (last * g - m)
        v += (1 - beta2) * (last * last * g * g - v)
        w *= 1 - rate * weight_decay
        w -= rate * m / (np.sqrt(v) + d * eps)
