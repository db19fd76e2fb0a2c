"""Optimization before deep learning: line searches, conjugate gradients, constraints, finite sums, sampling.

Some want only gradients: `ProximalGradient`, `ProjectedGradient`, `MirrorDescent`, `FrankWolfe` and `SGLD` are used as
any Optimizer. The others look at the function at more points than one: their ``step(closure)`` needs a closure that
returns the loss where the parameters are. It may call backward itself; if it does not, that is done for it.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable

import numpy as np

from .. import graph
from ..mode import enable_grad
from ..random import default_generator
from .optimizer import Optimizer

__all__ = ["FISTA", "ISTA", "SAGA", "SGLD", "SVRG", "BarzilaiBorwein", "ConjugateGradient", "FrankWolfe",
           "MirrorDescent", "ProjectedGradient", "ProximalGradient", "SteepestDescent", "armijo", "by_name", "exact",
           "oracle_l1", "oracle_simplex", "project_ball", "project_box", "project_simplex", "prox_l1", "wolfe"]

Prox = Callable[[np.ndarray, float], np.ndarray]
Oracle = Callable[[np.ndarray], np.ndarray]


# ---- line searches: along a direction, phi(a) = f(w + a d), at(a) = (phi(a), phi'(a)) ----
def armijo(at: Callable, f: float, slope: float, first: float = 1.0, c1: float = 1e-4, c2: float = 0.9) -> float:
    """a = first, first / 2, first / 4, ... until phi(a) <= phi(0) + c1 a phi'(0). Armijo 1966.

    f and slope are phi(0) and phi'(0) < 0. Returns 0 if rounding leaves no decrease. c2 is not used.
    """
    a = first
    while not at(a)[0] <= f + c1 * a * slope:  # not >: NaN shall go on halving
        a /= 2
        if a < first * 2.0 ** -60:
            return 0.0
    return a


def wolfe(at: Callable, f: float, slope: float, first: float = 1.0, c1: float = 1e-4, c2: float = 0.9) -> float:
    """Armijo's condition and |phi'(a)| <= c2 |phi'(0)|: neither too long nor too short. Wolfe 1969.

    By scipy.optimize.line_search (Nocedal & Wright 2006, algorithm 3.5); where it finds nothing, by `armijo`.
    """
    from scipy.optimize import line_search
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # its failure is answered below
        a = line_search(lambda a: at(float(a[0]))[0], lambda a: np.array([at(float(a[0]))[1]]), np.zeros(1),
                        np.array([first]), np.array([slope]), f, c1=c1, c2=c2, maxiter=30)[0]
    return armijo(at, f, slope, first, c1) if a is None else float(a) * first


def exact(at: Callable, f: float, slope: float, first: float = 1.0, c1: float = 1e-4, c2: float = 0.9) -> float:
    """phi'(a) = 0: the secant through phi'(0) and phi'(first), which is it for a quadratic, else Brent's minimum.

    Cauchy 1847. ArithmeticError where phi has no lower bound. Of c1 and c2 only c1 is used, to find a bracket.
    """
    there = at(first)[1]
    if there > slope and math.isfinite(there):
        a = first * slope / (slope - there)
        if abs(at(a)[1]) <= 1e-6 * abs(slope):
            return a
    from scipy.optimize import minimize_scalar
    first = armijo(at, f, slope, first, c1)
    if not first:
        return 0.0
    try:
        with np.errstate(all="ignore"):
            a = float(minimize_scalar(lambda a: at(float(a))[0], bracket=(0, first)).x)
    except RuntimeError:  # it found no bracket
        a = math.inf
    if not (math.isfinite(a) and math.isfinite(at(a)[0])):
        raise ArithmeticError("exact line search: the loss falls without end in this direction")
    return a


SEARCHES = {"armijo": armijo, "wolfe": wolfe, "exact": exact}


class _Flat(Optimizer):
    """All parameters as one vector, whose function and gradient are asked for wherever a method likes."""

    def __init__(self, params, maximize=False, **hyper):
        super().__init__(params, 0, maximize, **hyper)
        self.evaluations = 0  # how often the closure was called

    @staticmethod
    def update(w, g): """Not used: these methods are not a formula for each weight."""

    def check(self, group):
        super().check(group)
        if self.param_groups:
            raise ValueError(f"{type(self).__name__} moves all parameters together: it has one group")
        if group["weight_decay"]:
            raise ValueError(f"{type(self).__name__} has no weight_decay: the closure's loss shall have it")

    def _vector(self):
        return np.concatenate([p.data.reshape(-1) for p in self._params()])

    def _params(self):
        return self.param_groups[0]["params"]

    def _place(self, x):
        """Let the parameters be the vector x."""
        start = 0
        for p in self._params():
            if not p.data.flags.writeable:
                p.data = p.data.copy()
            p.data[...] = x[start:start + p.size].reshape(p.shape)
            graph.changed(p.data)
            start += p.size

    def _gradient(self):
        sign = -1 if self.param_groups[0]["maximize"] else 1
        return sign * np.concatenate([np.zeros(p.size, p.dtype) if p.grad is None else p.grad.data.reshape(-1)
                                      for p in self._params()])

    def _evaluate(self, closure, x):
        """(what the closure returned, the function's value, its gradient) at the vector x."""
        self._place(x)
        self.zero_grad()
        with enable_grad():
            loss = closure()
            if all(p.grad is None for p in self._params()):
                loss.backward()
        self.evaluations += 1
        value = float(loss.item() if hasattr(loss, "item") else loss)
        return loss, -value if self.param_groups[0]["maximize"] else value, self._gradient()

    def state_dict(self):
        return _own(super().state_dict())

    def load_state_dict(self, state):
        super().load_state_dict(_own(state))


def _own(state):
    """With arrays in common that are nobody else's."""
    common = {k: np.copy(v) if isinstance(v, np.ndarray) else v for k, v in state.get("common", {}).items()}
    return {**state, "common": common} if common else state


class SteepestDescent(_Flat):
    """w <- w - a g, where a is searched for along -g. Cauchy 1847.

    search: "armijo" (halve lr until the loss falls enough), "wolfe", or "exact". lr is the first step tried, each time.
    With exact search successive directions are perpendicular: on a quadratic of condition k the loss shrinks at worst
    by ((k - 1) / (k + 1))^2 a step. Needs no rate, but deterministic losses. 0 numbers per weight.
    """

    c2 = 0.9

    def __init__(self, params, lr: float = 1.0, search: str = "armijo", c1: float = 1e-4, c2: float | None = None, *,
                 maximize: bool = False):
        c2 = self.c2 if c2 is None else c2
        if search not in SEARCHES:
            raise ValueError(f"{type(self).__name__}: search must be one of {', '.join(SEARCHES)}, got {search!r}")
        if not (lr > 0 and 0 < c1 < c2 < 1):
            raise ValueError(f"{type(self).__name__}: 0 < c1 < c2 < 1 and lr > 0, got c1 {c1}, c2 {c2}, lr {lr}")
        super().__init__(params, maximize, lr=lr, search=search, c1=c1, c2=c2)

    def direction(self, g: np.ndarray) -> np.ndarray:
        """Where to search."""
        return -g

    def step(self, closure: Callable):
        """One direction and a search along it; returns the loss before."""
        group, x = self.param_groups[0], self._vector()
        loss, f, g = self._evaluate(closure, x)
        d = self.direction(g)
        seen = {}

        def at(a):
            if a not in seen:
                _, value, there = self._evaluate(closure, x + a * d)
                seen[a] = value, float(there @ d)
            return seen[a]
        slope = float(g @ d)
        a = SEARCHES[group["search"]](at, f, slope, group["lr"], group["c1"], group["c2"]) if slope else 0.0
        self._place(x + a * d)
        return loss


class ConjugateGradient(SteepestDescent):
    """d <- -g + beta d, w <- w + a d, where a is searched for along d. Hestenes & Stiefel 1952 for quadratics.

    beta: "FR", |g|^2 / |g_old|^2 (Fletcher & Reeves 1964); "PR+", max(0, g.(g - g_old) / |g_old|^2) (Polak & Ribiere
    1969; Powell 1984 for the maximum, which starts anew where directions have become useless). Also anew where d would
    climb. With exact search a quadratic in n dimensions takes n steps. 2 numbers per weight.
    """

    c2 = 0.1  # directions are good only if the search along the last one was

    def __init__(self, params, lr: float = 1.0, beta: str = "PR+", search: str = "wolfe", c1: float = 1e-4,
                 c2: float | None = None, *, maximize: bool = False):
        if beta not in ("FR", "PR+"):
            raise ValueError(f"ConjugateGradient: beta must be FR or PR+, got {beta!r}")
        super().__init__(params, lr, search, c1, c2, maximize=maximize)
        self.param_groups[0]["beta"] = self.defaults["beta"] = beta

    def direction(self, g):
        old, d = self.common.get("g"), -g
        if old is not None and old @ old > 0:
            change = g @ g if self.param_groups[0]["beta"] == "FR" else max(g @ (g - old), 0)
            d = -g + change / (old @ old) * self.common["d"]
            d = d if g @ d < 0 else -g
        self.common.update(g=g, d=d)
        return d


class BarzilaiBorwein(_Flat):
    """w <- w - a g with a = s.s / s.y ("long") or s.y / y.y ("short"), s = w - w_old, y = g - g_old. 1988.

    a I is the multiple of the identity that comes nearest to the inverse Hessian along the last step: a quasi-Newton
    method with one number. The loss may rise for a while; on quadratics it is far faster than steepest descent.
    Beyond quadratics it may go round in circles: memory=10 halves a until the loss is below the highest of the last 10
    (Raydan 1997). lr is the first step. Where s.y <= 0, a = |s| / |y|, the geometric mean of both lengths (Dai, Al-
    Baali & Yang 2015). common["a"] is the last one. Without memory, the closure may be left out: gradients are then
    those that backward left. 2 numbers per weight.
    """

    def __init__(self, params, lr: float = 1e-3, length: str = "long", *, memory: int = 0, maximize: bool = False):
        if length not in ("long", "short"):
            raise ValueError(f"BarzilaiBorwein: length must be long or short, got {length!r}")
        super().__init__(params, maximize, lr=lr, length=length, memory=memory)

    def step(self, closure: Callable | None = None):
        """One step; returns the loss before it, None without a closure."""
        x, c, a, memory = self._vector(), self.common, self.param_groups[0]["lr"], self.param_groups[0]["memory"]
        if memory and closure is None:
            raise TypeError("BarzilaiBorwein: with memory, step needs a closure")
        loss, f, g = (None, None, self._gradient()) if closure is None else self._evaluate(closure, x)
        if "x" in c:
            s, y = x - c["x"], g - c["g"]
            sy, yy = float(s @ y), float(y @ y)
            if yy > 0:
                long = self.param_groups[0]["length"] == "long"
                a = math.sqrt(float(s @ s) / yy) if sy <= 0 else float(s @ s) / sy if long else sy / yy
        if memory:
            c["f"] = (*c.get("f", ()), f)[-memory:]
            a = armijo(lambda a: self._evaluate(closure, x - a * g)[1:], max(c["f"]), -float(g @ g), a)
        c.update(x=x, g=g, a=a)
        self._place(x - a * g)
        return loss


# ---- a smooth loss and a simple term or set ----
def prox_l1(weight: float) -> Prox:
    """prox of weight |w|_1: sign(v) max(|v| - lr weight, 0), the soft threshold."""
    return lambda v, lr: np.sign(v) * np.maximum(np.abs(v) - lr * weight, 0)


def project_box(low, high) -> Prox:
    """The nearest point with low <= w <= high, elementwise."""
    return lambda v, lr=None: np.clip(v, low, high)


def project_ball(radius: float = 1.0) -> Prox:
    """The nearest point with |w|_2 <= radius."""
    return lambda v, lr=None: v * min(1, radius / max(float(np.sqrt(np.sum(v * v))), np.finfo(v.dtype).tiny))


def project_simplex(radius: float = 1.0) -> Prox:
    """The nearest point with w >= 0 and sum(w) = radius: max(v - theta, 0). Held, Wolfe & Crowder 1974."""
    def project(v, lr=None):
        u = np.sort(v, axis=None)[::-1]
        over = (np.cumsum(u) - radius) / np.arange(1, u.size + 1)  # theta, if the first k stay positive
        return np.maximum(v - over[np.flatnonzero(u > over)[-1]], 0)
    return project


class ProximalGradient(Optimizer):
    """w <- prox(w - lr g, lr) with prox(v, lr) = argmin_w |w - v|^2 / 2 + lr h(w). Lions & Mercier 1979.

    Minimizes loss + h for an h that has kinks, like ``prox_l1(weight)``: then it is ISTA (Daubechies, Defrise & De Mol
    2004) and gives exact zeros. prox sees each parameter by itself. Falls with lr <= 1 / L, where L is the largest
    curvature of the loss, at a rate of 1 / t. 0 numbers per weight.
    """

    elementwise = False

    def __init__(self, params, lr: float, prox: Prox, *, maximize: bool = False):
        super().__init__(params, 0, maximize, lr=lr, prox=prox)

    @staticmethod
    def update(w, g, lr, prox):
        w[...] = prox(w - lr * g, lr)


class ISTA(ProximalGradient):
    """Proximal gradient for loss + weight |w|_1: w <- soft(w - lr g, lr weight). Daubechies, Defrise & De Mol 2004."""

    def __init__(self, params, lr: float, weight: float, *, maximize: bool = False):
        super().__init__(params, lr, prox_l1(weight), maximize=maximize)


class FISTA(ProximalGradient):
    """y = w + (theta_old - 1) / theta (w - w_old), w <- prox(y - lr g(y), lr). Beck & Teboulle 2009.

    theta_1 = 1, theta = (1 + sqrt(1 + 4 theta_old^2)) / 2: Nesterov's momentum, which makes ISTA's 1 / t a 1 / t^2.
    The closure is called at y, and the loss returned is y's; between steps the parameters are w. 1 number per weight.
    """

    slots = ("old",)
    kept = ("theta",)

    def init_slot(self, name, w, group):
        return w.copy(order="C")

    def step(self, closure: Callable):
        """One step; the closure is called as by any Optimizer, and so calls backward."""
        for p in (p for group in self.param_groups for p in group["params"]):
            state = self.state.get(p, {"step": 0})
            if state["step"]:
                theta, w = state["theta"], p.data.copy()
                state["theta"] = (1 + math.sqrt(1 + 4 * theta ** 2)) / 2
                p.data[...] = w + (theta - 1) / state["theta"] * (w - state["old"])
                state["old"][...] = w
                graph.changed(p.data)
        return super().step(closure)

    def numbers(self, group, state, t):
        state.setdefault("theta", 1.0)
        return {}

    @staticmethod
    def update(w, g, old, lr, prox):
        w[...] = prox(w - lr * g, lr)


class ProjectedGradient(Optimizer):
    """w <- P(w - lr g), P the nearest point of a convex set: `project_box`, `_ball`, `_simplex`. Goldstein 1964.

    Proximal gradient with h = 0 in the set and infinite outside. 0 numbers per weight.
    """

    elementwise = False

    def __init__(self, params, lr: float, project: Callable, *, maximize: bool = False):
        super().__init__(params, 0, maximize, lr=lr, project=project)

    @staticmethod
    def update(w, g, lr, project):
        w[...] = project(w - lr * g)


def _to_simplex(dual):
    e = np.exp(dual - dual.max())
    return e / e.sum()


def _log(w):
    with np.errstate(divide="ignore"):  # a weight of zero stays zero
        return np.log(w)


class MirrorDescent(Optimizer):
    """w <- to_primal(to_dual(w) - lr g). Nemirovski & Yudin 1983; Beck & Teboulle 2003.

    The default, log and softmax, is the exponentiated gradient, w_i <- w_i e^(-lr g_i) / sum_j w_j e^(-lr g_j)
    (Kivinen & Warmuth 1997): w stays a probability vector. Its error grows with log n where projected gradient's grows
    with n. Each parameter is one vector, and starts inside: np.full(n, 1 / n). 0 numbers per weight.
    """

    elementwise = False

    def __init__(self, params, lr: float, to_dual: Callable = _log, to_primal: Callable = _to_simplex, *,
                 maximize: bool = False):
        super().__init__(params, 0, maximize, lr=lr, to_dual=to_dual, to_primal=to_primal)

    @staticmethod
    def update(w, g, lr, to_dual, to_primal):
        w[...] = to_primal(to_dual(w) - lr * g)


def oracle_simplex(radius: float = 1.0) -> Oracle:
    """argmin of g.s over s >= 0, sum(s) = radius: all of it where g is smallest."""
    def oracle(g):
        s = np.zeros_like(g)
        s[np.unravel_index(g.argmin(), g.shape)] = radius
        return s
    return oracle


def oracle_l1(radius: float = 1.0) -> Oracle:
    """argmin of g.s over |s|_1 <= radius: all of it against the largest |g|."""
    def oracle(g):
        s, i = np.zeros_like(g), np.unravel_index(np.abs(g).argmax(), g.shape)
        s[i] = -radius * np.sign(g[i])
        return s
    return oracle


class FrankWolfe(Optimizer):
    """s = argmin_{s in C} g.s, w <- w + 2 / (t + 1) (s - w), t = 1, 2, ... Frank & Wolfe 1956.

    Stays in the convex set C without projections: oracle(g) gives s, a corner of C, so after t steps w mixes at most
    t corners. g.(w - s) bounds the error from above. Error at most 2 L diam(C)^2 / (t + 2) (Jaggi 2013). 0 numbers
    per weight.
    """

    elementwise = False

    def __init__(self, params, oracle: Oracle, *, maximize: bool = False):
        super().__init__(params, 0, maximize, oracle=oracle)

    @staticmethod
    def update(w, g, oracle, t):
        w += 2 / (t + 1) * (oracle(g) - w)


# ---- finite sums: closure(i) is the loss of example i, the loss is the mean of all n ----
class SVRG(_Flat):
    """w <- w - lr (g_i(w) - g_i(anchor) + mean_j g_j(anchor)), i at random. Johnson & Zhang 2013.

    Without bias, and its variance falls to zero with the distance to the anchor, which every ``inner`` steps (2 n by
    default) becomes w: so a constant lr, about 1 / (10 L), converges, and linearly if the loss is strongly convex.
    2 gradients a step and n an anchor. 2 numbers per weight.
    """

    def __init__(self, params, lr: float, n: int, inner: int | None = None, *,
                 generator: np.random.Generator | None = None, maximize: bool = False):
        if n < 1 or (inner is not None and inner < 1):
            raise ValueError(f"SVRG: n and inner must be at least 1, got {n} and {inner}")
        super().__init__(params, maximize, lr=lr, n=n, inner=2 * n if inner is None else inner, generator=generator)

    def direction(self, closure: Callable, x: np.ndarray, i: int):
        """(the loss of example i at x, the estimate of the whole gradient that it gives)."""
        anchor, mean = self.common["anchor"], self.common["mean"]
        g_anchor = self._evaluate(lambda: closure(i), anchor)[2]
        loss, _, g = self._evaluate(lambda: closure(i), x)
        return loss, g - g_anchor + mean

    def step(self, closure: Callable):
        """One step on an example of the optimizer's choice; returns its loss before."""
        group, c, x = self.param_groups[0], self.common, self._vector()
        if not c.get("left"):
            mean = sum(self._evaluate(lambda i=i: closure(i), x)[2] for i in range(group["n"])) / group["n"]
            c.update(anchor=x, mean=mean, left=group["inner"])
        i = int((group["generator"] or default_generator()).integers(group["n"]))
        loss, d = self.direction(closure, x, i)
        c["left"] -= 1
        self._place(x - group["lr"] * d)
        return loss


class SAGA(_Flat):
    """w <- w - lr (g_i(w) - table_i + mean(table)), then table_i <- g_i(w), i at random. Defazio, Bach et al. 2014.

    table holds the last gradient seen of each example, at first all of w_0. Unlike SVRG it needs one gradient a step
    and no anchor, but n numbers per weight; unlike SAG (Schmidt et al. 2013) it has no bias. lr about 1 / (3 L).
    prox, if given, ends the step, as in `ProximalGradient`.
    """

    def __init__(self, params, lr: float, n: int, prox: Prox | None = None, *,
                 generator: np.random.Generator | None = None, maximize: bool = False):
        if n < 1:
            raise ValueError(f"SAGA: n must be at least 1, got {n}")
        super().__init__(params, maximize, lr=lr, n=n, prox=prox, generator=generator)

    def direction(self, closure: Callable, x: np.ndarray, i: int):
        """(the loss of example i at x, the estimate of the whole gradient that it gives, its own gradient)."""
        loss, _, g = self._evaluate(lambda: closure(i), x)
        return loss, g - self.common["table"][i] + self.common["mean"], g

    def step(self, closure: Callable):
        """One step on an example of the optimizer's choice; returns its loss before."""
        group, c, x = self.param_groups[0], self.common, self._vector()
        if "table" not in c:
            table = np.stack([self._evaluate(lambda i=i: closure(i), x)[2] for i in range(group["n"])])
            c.update(table=table, mean=table.mean(axis=0))
        i = int((group["generator"] or default_generator()).integers(group["n"]))
        loss, d, g = self.direction(closure, x, i)
        c["mean"] += (g - c["table"][i]) / group["n"]
        c["table"][i] = g
        x = x - group["lr"] * d
        self._place(x if group["prox"] is None else group["prox"](x, group["lr"]))
        return loss


class SGLD(Optimizer):
    """w <- w - lr / 2 g + sqrt(lr) N(0, 1): samples, not a minimum. Welling & Teh 2011.

    With a loss of -log p(w | data) (the sum over examples, not the mean) the w of later steps are draws from the
    posterior, up to a bias of the order of lr. Noise is the default generator's, or ``generator``'s. 0 numbers per
    weight.
    """

    elementwise = False

    def __init__(self, params, lr: float = 1e-3, weight_decay: float = 0, *,
                 generator: np.random.Generator | None = None, maximize: bool = False):
        super().__init__(params, weight_decay, maximize, lr=lr, generator=generator)

    @staticmethod
    def update(w, g, lr, generator):
        noise = (generator or default_generator()).standard_normal(w.shape)
        w += np.asarray(math.sqrt(lr) * noise, w.dtype) - lr / 2 * g


def by_name(name: str) -> type[Optimizer]:
    """The class of this name here, in any case and with or without hyphens; ValueError lists what there is."""
    known = {n.lower(): c for n, c in globals().items() if n in __all__ and isinstance(c, type)}
    key = name.lower().replace("-", "").replace("_", "")
    if key not in known:
        raise ValueError(f"no classical optimizer called {name!r}; there are {', '.join(sorted(known))}")
    return known[key]
