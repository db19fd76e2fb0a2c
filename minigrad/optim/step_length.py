"""Wrappers that find the length of an optimizer's steps: Mechanic and the trust ratio."""

from __future__ import annotations

import math

import numpy as np

from .wrappers import Wrapper, _write


class Mechanic(Wrapper):
    """w <- w_0 + (sum of s_i) D, where D is the sum of the optimizer's steps: it finds their scale.

    Cutkosky, Defazio & Mehta 2023. For every beta_i = 0.9, 0.99, ..., num_betas of them, a tuner bets on the scale,
    with h = g.(w_0 - w) / sum(s), the gain of the last one: m_i <- max(beta_i m_i, |h| + eps), v_i <- beta_i^2 v_i +
    h^2, r_i <- beta_i r_i + clip(h, -m_i, m_i) s_i with m_i of before, s_i <- (s_init m_i / num_betas + max(0, r_i)) /
    (sqrt(v_i) + eps). In h, g <- g + weight_decay sum(s) |g| / |w| w.

    Wrap an optimizer of lr=1, or with a schedule of peak 1; not one whose steps are of a length of their own, as LAMB.
    As optax.contrib.mechanize. Parameters without a gradient stand still. Memory: 1 number per weight more.
    """

    options = "weight_decay", "eps", "s_init", "num_betas"
    kept = "s", "r", "m", "v"
    slots = ("start",)

    def __init__(self, optimizer, weight_decay: float = 1e-2, eps: float = 1e-8, s_init: float = 1e-6,
                 num_betas: int = 6):
        super().__init__(optimizer)
        if any(getattr(o, "projects", False) for o in self._inside()):
            raise TypeError("Mechanic does not reach through GaLore, whose gradients are others")
        self.weight_decay, self.eps, self.s_init, self.num_betas = weight_decay, eps, s_init, num_betas
        self._limit(weight_decay=(0, math.inf), eps=(0, math.inf), s_init=(0, math.inf), num_betas=(1, math.inf))
        self.s = [s_init] * num_betas
        self.r, self.m, self.v = ([0.0] * num_betas for _ in range(3))
        self._seen: list | None = None

    def step(self, closure=None):
        self._seen = None
        with self._hooked(self._note):
            loss = self.optimizer.step(closure)
        if not self.stepped:
            return loss
        if self._seen is None:
            raise TypeError(f"Mechanic needs an optimizer that runs gradient hooks, got {self.optimizer!r:.60}")
        seen, self._seen = self._seen, None
        total = sum(self.s)
        for p, w, _ in seen:
            if p not in self.start:
                self.start[p] = w.copy()
        deltas = [(w - self.start[p]) / (total + self.eps) for p, w, _ in seen]
        self._bet(-sum(float(np.vdot(g, d)) for g, d in zip(self._decayed(seen, total), deltas)))
        for (p, w, _), delta in zip(seen, deltas):
            _write(p, self.start[p] + sum(self.s) * (delta + (p.data - w)))
        return loss

    def _note(self, params, grads):
        groups = self._groups()
        self._seen = [(p, p.data.copy(), -g if groups[p]["maximize"] else g) for p, g in zip(params, grads)]
        return grads

    def _decayed(self, seen, total):
        norm_g, norm_w = (math.sqrt(sum(float(np.vdot(row[i], row[i])) for row in seen)) for i in (2, 1))
        decay = self.weight_decay * total * norm_g / (norm_w + self.eps)
        return [g + decay * w for _, w, g in seen]

    def _bet(self, h):
        for i in range(self.num_betas):
            beta = 1 - 0.1 ** (i + 1)
            self.r[i] = beta * self.r[i] + min(max(h, -self.m[i]), self.m[i]) * self.s[i]
            self.m[i] = max(beta * self.m[i], abs(h) + self.eps)
            self.v[i] = beta ** 2 * self.v[i] + h * h
            wealth = self.s_init / self.num_betas * self.m[i] + max(0.0, self.r[i])
            self.s[i] = wealth / (math.sqrt(self.v[i]) + self.eps)


class TrustRatio(Wrapper):
    """w <- w + trust_coefficient |w| / (|u| + eps) lr u, where lr u is the optimizer's step; w + lr u if |w| |u| = 0.

    Norms are of each parameter. You, Gitman & Ginsburg 2017: with SGD it is LARS (trust_coefficient=0.001), with AdamW
    LAMB (You et al. 2020). As optax.scale_by_trust_ratio. TypeError without a learning rate. Memory: 1 number per
    weight more, during the step.
    """

    options = "trust_coefficient", "eps"

    def __init__(self, optimizer, trust_coefficient: float = 1.0, eps: float = 0.0):
        super().__init__(optimizer)
        self.trust_coefficient, self.eps = trust_coefficient, eps
        self._limit(trust_coefficient=(0, math.inf), eps=(0, math.inf))
        self._needs_lr()

    def step(self, closure=None):
        before = {p: p.data.copy() for p in self._trained()}
        loss = self.optimizer.step(closure)
        for group in self.param_groups if self.stepped else ():
            for p in group["params"]:
                if p in before:
                    w, step = before[p], p.data - before[p]
                    norm, length = float(np.linalg.norm(w)), float(np.linalg.norm(step))
                    if norm and length:
                        ratio = self.trust_coefficient * norm / (length / group["lr"] + self.eps)
                        _write(p, w + ratio * step)
        return loss
