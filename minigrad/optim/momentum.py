"""Gradient descent and its momentum: plain, heavy-ball, Nesterov's, and what was made of them."""

from __future__ import annotations

import numpy as np

from .. import random
from .optimizer import Optimizer


class GD(Optimizer):
    """Gradient descent on the whole data set: w <- w - lr g. Cauchy 1847.

    GD, SGD and mini-batch SGD are one rule, SGD's without momentum; what differs is the data that g is the mean of: all
    of it, one example, or a few. The name says which is meant. Memory: nothing besides the gradient.
    """

    def __init__(self, params, lr: float = 1e-3, weight_decay: float = 0, *, maximize: bool = False):
        super().__init__(params, weight_decay, maximize, lr=lr)

    @staticmethod
    def update(w, g, lr):
        w -= lr * g


class SGD(Optimizer):
    """Gradient descent, w <- w - lr g; with momentum, v <- momentum v + (1 - dampening) g and w <- w - lr v.

    On the whole data set it is gradient descent, on one example stochastic (Robbins & Monro 1951), between mini-batch:
    the DataLoader decides. The first step sets v = g, undamped. nesterov: w <- w - lr (g + momentum v). As PyTorch's.
    With momentum 0.9 and a schedule the standard for convolutional networks. Memory: 0 or 1 number per weight.
    """

    slots = ("v",)

    def __init__(self, params, lr: float = 1e-3, momentum: float = 0, dampening: float = 0, weight_decay: float = 0,
                 nesterov: bool = False, *, maximize: bool = False):
        super().__init__(params, weight_decay, maximize, lr=lr, momentum=momentum, dampening=dampening,
                         nesterov=nesterov)

    def check(self, group):
        super().check(group)
        if group.get("nesterov") and not (group["momentum"] > 0 and group["dampening"] == 0):
            raise ValueError(f"{type(self).__name__}: nesterov needs momentum > 0 and dampening = 0, got "
                             f"{group['momentum']} and {group['dampening']}")

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


class SGDW(SGD):
    """SGD whose decay is not part of the gradient: w <- (1 - lr weight_decay) w, then SGD's step.

    Loshchilov & Hutter 2017. In SGD the decay goes through the momentum and lingers there; here it is over at once, so
    that lr and weight_decay can be tuned one by one. Without momentum the two are the same. Memory: 0 or 1 number per
    weight.
    """

    decoupled = True

    def __init__(self, params, lr: float = 1e-3, momentum: float = 0, dampening: float = 0, weight_decay: float = 1e-2,
                 nesterov: bool = False, *, maximize: bool = False):
        super().__init__(params, lr, momentum, dampening, weight_decay, nesterov, maximize=maximize)


class Momentum(Optimizer):
    """The heavy ball: v <- momentum v - lr g, w <- w + v. Polyak 1964.

    Gradient descent zigzags across a narrow valley; the velocity averages that out and adds up what points along it.
    lr stands inside v: with a constant lr the path is SGD(momentum=)'s, with a schedule it is not. Memory: 1 number
    per weight.
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
    """Nesterov's accelerated gradient: v <- momentum v - lr g(w + momentum v), w <- w + v. Nesterov 1983.

    The heavy ball overshoots: it looks at the slope where it is. This one looks where its momentum takes it, in time to
    brake. As printed above (lookahead=True) it needs step(closure): the closure is run at w + momentum v, and the loss
    it returns is the loss there. The default keeps that point as the weights and needs no closure (the shifted form,
    Sutskever et al. 2013): v <- momentum v - lr g, w <- w + momentum v - lr g. With constant lr and momentum the
    shifted weights are the other's w + momentum v. Memory: 1 number per weight.
    """

    def __init__(self, params, lr: float = 0.01, momentum: float = 0.9, weight_decay: float = 0, *,
                 lookahead: bool = False, maximize: bool = False):
        Optimizer.__init__(self, params, weight_decay, maximize, lr=lr, momentum=momentum, lookahead=lookahead)

    def step(self, closure=None):
        groups = [group for group in self.param_groups if group["lookahead"]]
        if groups and closure is None:
            raise ValueError("NAG: lookahead=True takes the gradient at another point than the weights: step(closure)")

        def ahead():
            moving = [(p, p.data, self.state[p]["v"], group["momentum"])
                      for group in groups for p in group["params"] if "v" in self.state.get(p, {})]
            try:
                for p, w, v, momentum in moving:
                    p.data = w + momentum * v
                return closure()
            finally:
                for p, w, _, _ in moving:
                    p.data = w
        return super().step(ahead if groups else closure)

    @staticmethod
    def update(w, g, v, lr, momentum, lookahead, weight_decay):
        d = lr * g
        if weight_decay:  # of the point where g was taken
            d = d + lr * weight_decay * w
            if lookahead:
                d = d + lr * weight_decay * momentum * v
        v *= momentum
        v -= d
        if lookahead:
            w += v
        else:
            w += momentum * v - d


class ASGD(Optimizer):
    """w <- (1 - lambd eta) w - eta g, ax <- ax + (w - ax) / max(1, t - 1 - t0), eta = lr / (1 + lambd lr (t-1))^alpha.

    Averaged SGD: Polyak & Juditsky 1992. SGD with a constant step dances around the minimum; the mean of its path, from
    step t0 on, does not. w walks on undisturbed, the mean is in state[p]["ax"]; until t0 (PyTorch's default is a
    million) it is w itself. As PyTorch's, but a new lr counts at once, there one step later. Memory: 1 number per
    weight.
    """

    slots = ("ax",)

    def __init__(self, params, lr: float = 0.01, lambd: float = 1e-4, alpha: float = 0.75, t0: float = 1e6,
                 weight_decay: float = 0, *, maximize: bool = False):
        super().__init__(params, weight_decay, maximize, lr=lr, lambd=lambd, alpha=alpha, t0=t0)

    @staticmethod
    def update(w, g, ax, lr, lambd, alpha, t0, t):
        eta = lr / (1 + lambd * lr * (t - 1)) ** alpha
        w *= 1 - lambd * eta
        w -= eta * g
        if t - 1 - t0 > 1:
            ax += (w - ax) / (t - 1 - t0)
        else:
            ax[...] = w


class NoisySGD(Optimizer):
    """w <- w - lr (g + n), n normal with mean 0 and variance eta / t^gamma. Neelakantan et al. 2015.

    The noise shakes deep networks out of bad starts and dies away. It is a function of a seed kept in the state of the
    parameter, drawn from generator at its first step, and of t: a resumed run meets the same noise. Memory: none.
    """

    kept = ("seed",)

    def __init__(self, params, lr: float = 1e-3, eta: float = 0.01, gamma: float = 0.55, weight_decay: float = 0, *,
                 generator: np.random.Generator | None = None, maximize: bool = False):
        self.generator = generator
        super().__init__(params, weight_decay, maximize, lr=lr, eta=eta, gamma=gamma)

    def _update(self, p, g, known):
        state = self.state.setdefault(p, {"step": 0})
        if "seed" not in state:
            state["seed"] = int((self.generator or random.default_generator()).integers(2 ** 63))
        t = state["step"] + 1
        noise = np.random.default_rng((state["seed"], t)).standard_normal(g.shape)
        noise *= (known["eta"] / t ** known["gamma"]) ** 0.5 * (-1 if known["maximize"] else 1)
        super()._update(p, g + noise.astype(g.dtype), known)

    @staticmethod
    def update(w, g, lr):  # g is noisy by now
        w -= lr * g


class AggMo(Optimizer):
    """v_i <- beta_i v_i + g for each beta_i, w <- w - lr mean_i(v_i). Lucas et al. 2018.

    A large momentum is fast and oscillates, a small one is slow and does not: the mean of several velocities lets the
    slow ones damp the fast. One beta: SGD(momentum=beta). Memory: as many numbers per weight as betas.
    """

    slots = ("v",)
    elementwise = False  # v has one more axis than w

    def __init__(self, params, lr: float = 1e-3, betas: tuple[float, ...] = (0.0, 0.9, 0.99), weight_decay: float = 0,
                 *, maximize: bool = False):
        super().__init__(params, weight_decay, maximize, lr=lr, betas=betas)

    def check(self, group):
        super().check({k: v for k, v in group.items() if k != "betas"})
        betas = group.get("betas", (0,))
        if not isinstance(betas, tuple) or not betas or not all(0 <= b < 1 for b in betas):
            raise ValueError(f"AggMo: betas must be one number in [0, 1) or several, got {betas!r}")

    def init_slot(self, name, w, group):
        return np.zeros((len(group["betas"]), *w.shape), w.dtype)

    @staticmethod
    def update(w, g, v, lr, betas):
        for i in range(len(betas)):
            v[i] = betas[i] * v[i] + g
            w -= lr / len(betas) * v[i]


class QHM(Optimizer):
    """Quasi-hyperbolic momentum: m <- momentum m + (1 - momentum) g, w <- w - lr ((1 - nu) g + nu m). Ma & Yarats 2018.

    Between SGD (nu = 0) and momentum (nu = 1: SGD(lr (1 - momentum), momentum)); Nesterov's is nu = momentum. nu weighs
    the current gradient apart from how long m remembers, so a momentum of 0.999 becomes usable. Memory: 1 number per
    weight.
    """

    slots = ("m",)
    fractions = ("momentum",)

    def __init__(self, params, lr: float = 1e-3, momentum: float = 0.999, nu: float = 0.7, weight_decay: float = 0, *,
                 decoupled_weight_decay: bool = False, maximize: bool = False):
        super().__init__(params, weight_decay, maximize, lr=lr, momentum=momentum, nu=nu,
                         decoupled_weight_decay=decoupled_weight_decay)

    @staticmethod
    def update(w, g, m, lr, momentum, nu):
        m *= momentum
        m += (1 - momentum) * g
        w -= lr * ((1 - nu) * g + nu * m)


class AccSGD(Optimizer):
    """v <- a v + b (w - lr kappa / c g), w <- z (w - lr g) + (1 - z) v, b = c^2 xi / kappa, a = 1 - b, z = c / (c + b).

    Accelerated SGD: Jain et al. 2017, Kidambi et al. 2018, who show that the heavy ball and Nesterov's do not
    accelerate on single examples, and that this does: short steps of w, long ones of v, averaged. kappa is the ratio of
    the long step to the short one, xi <= sqrt(kappa) the advantage in statistics, c is small_const; v starts at w.
    Memory: 1 number per weight.
    """

    slots = ("v",)

    def __init__(self, params, lr: float = 1e-3, kappa: float = 1000.0, xi: float = 10.0, small_const: float = 0.7,
                 weight_decay: float = 0, *, maximize: bool = False):
        super().__init__(params, weight_decay, maximize, lr=lr, kappa=kappa, xi=xi, small_const=small_const)

    def check(self, group):
        super().check(group)
        if "kappa" in group and not 0 < group["small_const"] ** 2 * group["xi"] <= group["kappa"]:
            raise ValueError(f"AccSGD: small_const^2 xi must be in (0, kappa], got small_const={group['small_const']}, "
                             f"xi={group['xi']}, kappa={group['kappa']}")

    def init_slot(self, name, w, group):
        return w.copy(order="C")

    @staticmethod
    def update(w, g, v, lr, kappa, xi, small_const):
        b = small_const ** 2 * xi / kappa
        z = small_const / (small_const + b)
        v *= 1 - b
        v += b * (w - lr * kappa / small_const * g)
        w -= lr * g
        w *= z
        w += (1 - z) * v


class PID(Optimizer):
    """w <- w - lr (g + integral i + derivative d), i <- momentum i + (1 - dampening) g, d the damped change of g.

    d <- momentum d + (1 - momentum) (g - the last g), 0 at the first step, where i = g, undamped. An et al. 2018: SGD
    is the P of a PID controller whose error is g, momentum adds I and overshoots, D sees the gradient turn and brakes.
    Memory: 3 numbers per weight. torch_optimizer's forgets the first g: there a constant gradient makes D kick.
    """

    slots = ("i", "d", "last")

    def __init__(self, params, lr: float = 1e-3, momentum: float = 0.9, dampening: float = 0, weight_decay: float = 0,
                 integral: float = 5.0, derivative: float = 10.0, *, maximize: bool = False):
        super().__init__(params, weight_decay, maximize, lr=lr, momentum=momentum, dampening=dampening,
                         integral=integral, derivative=derivative)

    @staticmethod
    def update(w, g, i, d, last, lr, momentum, dampening, integral, derivative, t):
        if t == 1:
            i[...] = g
        else:
            i *= momentum
            i += (1 - dampening) * g
            d *= momentum
            d += (1 - momentum) * (g - last)
        last[...] = g
        w -= lr * (g + integral * i + derivative * d)


class OptimisticGD(Optimizer):
    """w <- w - lr ((alpha + beta) g - beta g'), g' the last gradient, at the first step g itself.

    Popov 1980; Daskalakis et al. 2017; Mokhtari et al. 2019. In a game, min over x and max over y, gradient descent
    spirals outward; this steps as if the gradient went on changing as it just did, and spirals in. One maximize group
    for the adversary. Memory: 1 number per weight.
    """

    slots = ("last",)

    def __init__(self, params, lr: float = 1e-3, alpha: float = 1.0, beta: float = 1.0, weight_decay: float = 0, *,
                 maximize: bool = False):
        super().__init__(params, weight_decay, maximize, lr=lr, alpha=alpha, beta=beta)

    @staticmethod
    def update(w, g, last, lr, alpha, beta, t):
        if t == 1:
            last[...] = g
        w -= lr * ((alpha + beta) * g - beta * last)
        last[...] = g


class SGDP(Optimizer):
    """v <- momentum v + (1 - dampening) g, w <- w - lr P(v), P(v) = v - u <u, v>, u = w / |w|. Heo et al. 2020.

    Weights before a normalisation layer have no use for their length, but momentum makes it grow, and the effective
    step shrink. So where g is at right angles to w, |cos(w, g)| < delta / sqrt(n) for each row of w (the n weights of
    an output channel), or else for all n of w, P takes out the part along w; elsewhere, and in vectors, P(v) = v. The
    decay, w <- (1 - lr weight_decay / (1 - momentum)) w, is multiplied by wd_ratio where P acts. nesterov: P(g +
    momentum v). v itself is not projected; torch_optimizer's is, where nesterov=False. Memory: 1 number per weight.
    """

    slots = ("v",)
    fractions = ("momentum",)
    elementwise = False

    def __init__(self, params, lr: float = 1e-3, momentum: float = 0, dampening: float = 0, eps: float = 1e-8,
                 weight_decay: float = 0, delta: float = 0.1, wd_ratio: float = 0.1, nesterov: bool = False, *,
                 maximize: bool = False):
        super().__init__(params, weight_decay, maximize, lr=lr, momentum=momentum, dampening=dampening, eps=eps,
                         delta=delta, wd_ratio=wd_ratio, nesterov=nesterov)

    @staticmethod
    def update(w, g, v, lr, momentum, dampening, eps, weight_decay, delta, wd_ratio, nesterov):
        v *= momentum
        v += (1 - dampening) * g
        step = g + momentum * v if nesterov else v
        decay = lr * weight_decay / (1 - momentum)
        if w.ndim > 1 and w.size > 0:
            for rows in (w.shape[0], 1):
                w2, g2, s2 = w.reshape((rows, -1)), g.reshape((rows, -1)), step.reshape((rows, -1))
                length = np.sqrt((w2 * w2).sum(axis=1)) + eps
                cosine = np.abs((w2 * g2).sum(axis=1)) / length / (np.sqrt((g2 * g2).sum(axis=1)) + eps)
                if cosine.max() < delta / w2.shape[1] ** 0.5:
                    u = w2 / length.reshape((-1, 1))
                    step = (s2 - u * (u * s2).sum(axis=1).reshape((-1, 1))).reshape(w.shape)
                    decay *= wd_ratio
                    break
        w *= 1 - decay
        w -= lr * step
