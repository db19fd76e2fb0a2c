"""Optimization before deep learning: line searches, conjugate gradients, constraints, finite sums, sampling.

Some want only gradients: `ProximalGradient`, `ProjectedGradient`, `MirrorDescent`, `FrankWolfe` and `SGLD` are used as
any Optimizer. The others look at the function at more points than one: their ``step(closure)`` needs a closure that
returns the loss where the parameters are. It may call backward itself; if it does not, that is done for it. Whatever
the closure raises, weights and state are then what they were before the step. Those that move all parameters together
start anew when some are frozen or unfrozen.
"""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Callable

import numpy as np

from .. import graph
from ..mode import enable_grad
from ..naming import find
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
    a = None if a is None else float(a) * first
    if a is None or not at(a)[0] <= f + c1 * a * slope:  # scipy also returns what it gave up at
        return armijo(at, f, slope, first, c1)
    return a


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


def _needed(optimizer, closure):
    if closure is None:
        raise TypeError(f"{type(optimizer).__name__}: step needs a closure, which returns the loss at the weights it "
                        "finds")


def _write(p, values):
    if not p.data.flags.writeable:
        p.data = p.data.copy()
    p.data[...] = values
    graph.changed(p.data)


class _Flat(Optimizer):
    """All parameters that require grad as one vector, whose loss and gradient are asked for wherever a method likes.

    What it remembers, in ``common``, is forgotten when others come to require grad: that is another vector.
    """

    elementwise = False

    def __init__(self, params, maximize=False, **hyper):
        super().__init__(params, 0, maximize, **hyper)
        self.evaluations = 0  # how often the closure was called
        self.trials: dict = {}

    @staticmethod
    def update(w, g): """Not used: these methods are not a formula for each weight."""

    def check(self, group):
        super().check(group)
        if self.param_groups:
            raise ValueError(f"{type(self).__name__} moves all parameters together: it has one group")
        if group["weight_decay"]:
            raise ValueError(f"{type(self).__name__} has no weight_decay: the closure's loss shall have it")

    def _params(self):
        return [p for p in self.param_groups[0]["params"] if p.requires_grad]

    @staticmethod
    def _join(arrays):
        return np.concatenate([a.reshape(-1) for a in arrays]) if arrays else np.zeros(0)

    def _split(self, x):
        """The vector as arrays shaped like the parameters."""
        params = self._params()
        parts = np.split(x, np.cumsum([p.size for p in params])[:-1]) if params else []
        return [part.reshape(p.shape) for p, part in zip(params, parts, strict=True)]

    def _vector(self):
        return self._join([p.data for p in self._params()])

    def _place(self, x):
        """Let the parameters be the vector x."""
        for p, values in zip(self._params(), self._split(x), strict=True):
            _write(p, values)

    def _sign(self):
        return -1 if self.param_groups[0]["maximize"] else 1

    def _gradient(self):
        return self._sign() * self._join([np.zeros_like(p.data) if p.grad is None else p.grad.data
                                          for p in self._params()])

    def _evaluate(self, closure, x):
        """(what the closure returned, the function's value, its gradient) at the vector x."""
        self._place(x)
        self.zero_grad()
        params = self._params()
        with enable_grad():
            loss = closure()
            if loss is None:
                raise TypeError(f"{type(self).__name__}: the closure returned None; it must return the loss")
            if params and all(p.grad is None for p in params):
                loss.backward()
        if sum(p.size for p in params) != len(x):
            raise RuntimeError(f"{type(self).__name__}: there are more weights than before the closure: lazy layers "
                               "are built at their first input; call the model once before the first step")
        self.evaluations += 1
        value = float(loss.item() if hasattr(loss, "item") else loss)
        return loss, self._sign() * value, self._gradient()

    @contextlib.contextmanager
    def _whole(self):
        """Gives the vector; what is raised inside leaves it and ``common`` as they were, but a draw is not undone."""
        trained = [i for i, p in enumerate(self.param_groups[0]["params"]) if p.requires_grad]
        x, common = self._vector(), self.common
        self.common = {**(common if common.get("trained", trained) == trained else {}), "trained": trained}
        try:
            yield x
        except BaseException:
            if sum(p.size for p in self._params()) == len(x):
                self._place(x)
            self.common = common
            raise

    def _hooked(self, g):
        """(the weights, the gradient g) as the gradient hooks leave them."""
        if self.gradient_hooks:
            params, grads = self._params(), self._split(self._sign() * g)
            for hook in self.gradient_hooks:
                grads = hook(params, grads)
            g = self._sign() * self._join(grads)
        return self._vector(), g

    def _refuse_hooks(self, x, g):
        if self.gradient_hooks:
            w, changed = self._hooked(g)
            if not (np.array_equal(w, x) and np.array_equal(changed, g, equal_nan=True)):
                raise ValueError(f"{type(self).__name__}: a gradient hook or a wrapper changed the gradient or the "
                                 "weights, but this method follows the loss itself: put decay into the closure's "
                                 "loss, and leave out clipping and noise")

    def _search(self, search, closure, x, d, f, g, first, c1=1e-4, c2=0.9):
        """How far to go from x, where loss and gradient are f and g, along d: 0 if they are not finite.

        What `_evaluate` gave there is then in ``trials``, under how far.
        """
        self._refuse_hooks(x, g)
        with np.errstate(invalid="ignore"):
            slope = float(g @ d)
        if not (math.isfinite(f) and -math.inf < slope < 0):
            return 0.0
        seen, self.trials = {}, {}

        def at(a):
            if a not in seen:
                try:
                    with np.errstate(over="ignore", invalid="ignore"):
                        _, value, there = self.trials[a] = self._evaluate(closure, x + a * d)
                        seen[a] = math.inf if math.isnan(value) else value, float(there @ d)
                except ArithmeticError:  # raised for a loss that is not finite: the trial went too far
                    seen[a] = math.inf, math.nan
            return seen[a]
        return search(at, f, slope, first, c1, c2)

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

    A trial whose loss is not finite, or whose closure raises ArithmeticError, is too far. Where the loss or the
    gradient itself is not finite, there is no step. Gradient hooks and wrappers may look at the gradient, like
    `SkipNonFinite`; one that changes it or the weights, by clipping or decay, is a ValueError: the search is along the
    loss, so that shall have such terms.
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
        _needed(self, closure)
        group = self.param_groups[0]
        with self._whole() as x:
            loss, f, g = self._evaluate(closure, x)
            d = self.direction(g)
            a = self._search(SEARCHES[group["search"]], closure, x, d, f, g, group["lr"], group["c1"], group["c2"])
            self._place(x + a * d if a else x)
        return loss


class ConjugateGradient(SteepestDescent):
    """d <- -g + beta d, w <- w + a d, where a is searched for along d. Hestenes & Stiefel 1952 for quadratics.

    beta: "FR", |g|^2 / |g_old|^2 (Fletcher & Reeves 1964); "PR+", max(0, g.(g - g_old) / |g_old|^2) (Polak & Ribiere
    1969; Powell 1984 for the maximum, which starts anew where directions have become useless). Also anew where d would
    climb, and after a gradient that is not finite. With exact search a quadratic in n dimensions takes n steps. Hooks,
    wrappers and what is not finite: as in `SteepestDescent`. 2 numbers per weight.
    """

    c2 = 0.1  # directions are good only if the search along the last one was

    def __init__(self, params, lr: float = 1.0, beta: str = "PR+", search: str = "wolfe", c1: float = 1e-4,
                 c2: float | None = None, *, maximize: bool = False):
        if beta not in ("FR", "PR+"):
            raise ValueError(f"ConjugateGradient: beta must be FR or PR+, got {beta!r}")
        super().__init__(params, lr, search, c1, c2, maximize=maximize)
        self.param_groups[0]["beta"] = self.defaults["beta"] = beta

    def direction(self, g):
        old, d = self.common.pop("g", None), -g
        if not np.isfinite(g).all():
            return d
        if old is not None and old @ old > 0:
            change = g @ g if self.param_groups[0]["beta"] == "FR" else max(g @ (g - old), 0)
            d = -g + change / (old @ old) * self.common["d"]
            d = d if -math.inf < g @ d < 0 else -g
        self.common.update(g=g, d=d)
        return d


class BarzilaiBorwein(_Flat):
    """w <- w - a g with a = s.s / s.y ("long") or s.y / y.y ("short"), s = w - w_old, y = g - g_old. 1988.

    a I is the multiple of the identity that comes nearest to the inverse Hessian along the last step: a quasi-Newton
    method with one number. The loss may rise for a while; on quadratics it is far faster than steepest descent.
    Beyond quadratics it may go round in circles, as "long" does on Rosenbrock's function: memory=10 halves a until the
    loss is below the highest of the last 10 (Raydan 1997). lr is the first step. Where s.y <= 0, a = |s| / |y|, the
    geometric mean of both lengths (Dai, Al-Baali & Yang 2015). common["a"] is the last one. Without memory, the closure
    may be left out: gradients are then those that backward left, and g is what the gradient hooks make of them. With
    it, hooks, wrappers and what is not finite are as in `SteepestDescent`. 2 numbers per weight.
    """

    def __init__(self, params, lr: float = 1e-3, length: str = "long", *, memory: int = 0, maximize: bool = False):
        if length not in ("long", "short"):
            raise ValueError(f"BarzilaiBorwein: length must be long or short, got {length!r}")
        super().__init__(params, maximize, lr=lr, length=length, memory=memory)

    def step(self, closure: Callable | None = None):
        """One step; returns the loss before it, None without a closure."""
        group = self.param_groups[0]
        if group["memory"]:
            _needed(self, closure)
        with self._whole() as x:
            c, a = self.common, group["lr"]
            loss, f, g = (None, None, self._gradient()) if closure is None else self._evaluate(closure, x)
            w, g = (x, g) if group["memory"] else self._hooked(g)  # w: a hook may decay the weights
            if "x" in c:
                s, y = x - c["x"], g - c["g"]
                ss, sy, yy = float(s @ s), float(s @ y), float(y @ y)
                if 0 < yy < math.inf and ss < math.inf:
                    a = math.sqrt(ss / yy) if sy <= 0 else ss / sy if group["length"] == "long" else sy / yy
            if group["memory"]:
                best = [*c.get("f", ()), f][-group["memory"]:]
                a = self._search(armijo, closure, x, -g, max(best) if math.isfinite(f) else f, g, a)
                if math.isfinite(f):
                    c["f"] = best
            c.update(x=x, g=g, a=a)
            self._place(w - a * g if a else w)
        return loss


# ---- a smooth loss and a simple term or set ----
def prox_l1(weight: float) -> Prox:
    """prox of weight |w|_1: sign(v) max(|v| - lr weight, 0), the soft threshold."""
    return lambda v, lr: np.sign(v) * np.maximum(np.abs(v) - lr * weight, 0)


def project_box(low, high) -> Prox:
    """The nearest point with low <= w <= high, elementwise."""
    return lambda v, lr=None: np.clip(v, low, high)


def project_ball(radius: float = 1.0) -> Prox:
    """The nearest point with |w|_2 <= radius; NaN for NaN."""
    _positive("project_ball", radius)

    def project(v, lr=None):
        most = float(np.abs(v).max(initial=0))
        unit = v / (most or 1)  # squares that neither overflow nor vanish
        norm = float(np.sqrt(np.sum(unit * unit)))
        return v.copy() if most * norm <= radius else unit * float(radius / norm)
    return project


def project_simplex(radius: float = 1.0) -> Prox:
    """The nearest point with w >= 0 and sum(w) = radius: max(v - theta, 0); NaN for NaN. Held, Wolfe & Crowder 1974."""
    _positive("project_simplex", radius)

    def project(v, lr=None):
        v = v - v.max()  # the same point is nearest, and radius is not lost in rounding
        u = np.sort(v, axis=None)[::-1]
        over = (np.cumsum(u, dtype=np.float64) - radius) / np.arange(1, u.size + 1)  # theta, if k stay positive
        return np.maximum(v - v.dtype.type(over[np.count_nonzero(u > over) - 1]), 0)
    return project


def _positive(name, radius):
    if not 0 < radius < math.inf:
        raise ValueError(f"{name}: radius must be positive and finite, got {radius}")


class ProximalGradient(Optimizer):
    """w <- prox(w - lr g, lr) with prox(v, lr) = argmin_w |w - v|^2 / 2 + lr h(w). Lions & Mercier 1979.

    Minimizes loss + h for an h that has kinks, like ``prox_l1(weight)``: then it is ISTA (Daubechies, Defrise & De Mol
    2004) and gives exact zeros. prox sees each parameter by itself. Falls with lr <= 1 / L, where L is the largest
    curvature of the loss, at a rate of 1 / t. 0 numbers per weight.
    """

    elementwise = False

    def __init__(self, params, lr: float, prox: Prox, *, maximize: bool = False):
        super().__init__(params, 0, maximize, lr=lr)
        self.prox = prox

    def update(self, w, g, lr):
        w[...] = self.prox(w - lr * g, lr)


class ISTA(Optimizer):
    """Proximal gradient for loss + weight |w|_1: w <- soft(w - lr g, lr weight). Daubechies, Defrise & De Mol 2004.

    0 numbers per weight.
    """

    elementwise = False

    def __init__(self, params, lr: float, weight: float, *, maximize: bool = False):
        super().__init__(params, 0, maximize, lr=lr, weight=weight)

    @staticmethod
    def update(w, g, lr, weight):
        w[...] = prox_l1(weight)(w - lr * g, lr)


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
        _needed(self, closure)
        params = [p for group in self.param_groups for p in group["params"] if p.requires_grad]
        before, states, thetas = [p.data.copy() for p in params], {p: dict(s) for p, s in self.state.items()}, {}
        try:
            for p, w in zip(params, before, strict=True):
                if p in states:
                    theta = states[p]["theta"]
                    thetas[p] = (1 + math.sqrt(1 + 4 * theta ** 2)) / 2
                    _write(p, w + (theta - 1) / thetas[p] * (w - states[p]["old"]))
            loss = super().step(closure)
        except BaseException:
            for p, w in zip(params, before, strict=True):
                _write(p, w)
            self.state, self._blocks = states, {}
            raise
        for p, w in zip(params, before, strict=True):
            if p.grad is None:
                _write(p, w)
            elif p in thetas:
                self.state[p]["theta"] = thetas[p]
                self.state[p]["old"][...] = w
        return loss

    def numbers(self, group, state, t):
        state.setdefault("theta", 1.0)
        return {}

    def update(self, w, g, old, lr):
        w[...] = self.prox(w - lr * g, lr)


class ProjectedGradient(Optimizer):
    """w <- P(w - lr g), P the nearest point of a convex set: `project_box`, `_ball`, `_simplex`. Goldstein 1964.

    Proximal gradient with h = 0 in the set and infinite outside. 0 numbers per weight.
    """

    elementwise = False

    def __init__(self, params, lr: float, project: Callable, *, maximize: bool = False):
        super().__init__(params, 0, maximize, lr=lr)
        self.project = project

    def update(self, w, g, lr):
        w[...] = self.project(w - lr * g)


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
    with n. Each parameter is one vector, and starts inside: np.full(n, 1 / n). Weights below 0, or all 0, are a
    ValueError. 0 numbers per weight.
    """

    elementwise = False

    def __init__(self, params, lr: float, to_dual: Callable = _log, to_primal: Callable = _to_simplex, *,
                 maximize: bool = False):
        super().__init__(params, 0, maximize, lr=lr)
        self.to_dual, self.to_primal = to_dual, to_primal

    def shared(self, params, grads, loss):
        order = [id(p) for group in self.param_groups for p in group["params"]]
        for p in params if self.to_dual is _log else ():
            if not (p.data.min() >= 0 and p.data.max() > 0):
                at = tuple(map(int, np.unravel_index(p.data.argmin(), p.shape)))
                raise ValueError(f"MirrorDescent: parameter {order.index(id(p))} is {p.data[at]} at {at}, but weights "
                                 "have a logarithm if they are positive: start inside the simplex, np.full(n, 1 / n)")
        return {}

    def update(self, w, g, lr):
        w[...] = self.to_primal(self.to_dual(w) - lr * g)


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
        super().__init__(params, 0, maximize)
        self.oracle = oracle

    def update(self, w, g, t):
        w += 2 / (t + 1) * (self.oracle(g) - w)


class _Random:
    """Draws from ``generator``, whose state is saved, or, if it is None, from the default one, whose state is not."""

    generator: np.random.Generator | None = None

    def _rng(self):
        return self.generator or default_generator()

    def state_dict(self):
        chance = None if self.generator is None else self.generator.bit_generator.state
        return {**super().state_dict(), "generator": chance}

    def load_state_dict(self, state):
        chance, generator = state.get("generator"), self.generator or np.random.default_rng()
        kind = type(generator.bit_generator).__name__
        if chance is not None and chance["bit_generator"] != kind:
            raise ValueError(f"this state's generator is a {chance['bit_generator']}, {type(self).__name__}'s is a "
                             f"{kind}: give it one of that kind")
        super().load_state_dict(state)
        if chance is not None:
            generator.bit_generator.state = chance
            self.generator = generator


# ---- finite sums: closure(i) is the loss of example i, the loss is the mean of all n ----
class SVRG(_Random, _Flat):
    """w <- w - lr (g_i(w) - g_i(anchor) + mean_j g_j(anchor)), i at random. Johnson & Zhang 2013.

    Without bias, and its variance falls to zero with the distance to the anchor, which every ``inner`` steps (2 n by
    default) becomes w: so a constant lr, about 1 / (10 L), converges, and linearly if the loss is strongly convex.
    2 gradients a step and n an anchor. Gradient hooks see the estimate in brackets. 2 numbers per weight.
    """

    def __init__(self, params, lr: float, n: int, inner: int | None = None, *,
                 generator: np.random.Generator | None = None, maximize: bool = False):
        if n < 1 or (inner is not None and inner < 1):
            raise ValueError(f"SVRG: n and inner must be at least 1, got {n} and {inner}")
        super().__init__(params, maximize, lr=lr, n=n, inner=2 * n if inner is None else inner)
        self.generator = generator

    def direction(self, closure: Callable, x: np.ndarray, i: int):
        """(the loss of example i at x, the estimate of the whole gradient that it gives)."""
        anchor, mean = self.common["anchor"], self.common["mean"]
        g_anchor = self._evaluate(lambda: closure(i), anchor)[2]
        loss, _, g = self._evaluate(lambda: closure(i), x)
        return loss, g - g_anchor + mean

    def step(self, closure: Callable):
        """One step on an example of the optimizer's choice; returns its loss before."""
        _needed(self, closure)
        group = self.param_groups[0]
        with self._whole() as x:
            c = self.common
            if not c.get("left"):
                mean = sum(self._evaluate(lambda i=i: closure(i), x)[2] for i in range(group["n"])) / group["n"]
                c.update(anchor=x, mean=mean, left=group["inner"])
            loss, d = self.direction(closure, x, int(self._rng().integers(group["n"])))
            w, d = self._hooked(d)
            c["left"] -= 1
            self._place(w - group["lr"] * d)
        return loss


class SAGA(_Random, _Flat):
    """w <- w - lr (g_i(w) - table_i + mean(table)), then table_i <- g_i(w), i at random. Defazio, Bach et al. 2014.

    table holds the last gradient seen of each example, at first all of w_0. Unlike SVRG it needs one gradient a step
    and no anchor, but n numbers per weight; unlike SAG (Schmidt et al. 2013) it has no bias. lr about 1 / (3 L).
    prox, if given, ends the step, as in `ProximalGradient`: it sees each parameter by itself. Gradient hooks see the
    estimate in brackets.
    """

    def __init__(self, params, lr: float, n: int, prox: Prox | None = None, *,
                 generator: np.random.Generator | None = None, maximize: bool = False):
        if n < 1:
            raise ValueError(f"SAGA: n must be at least 1, got {n}")
        super().__init__(params, maximize, lr=lr, n=n)
        self.prox, self.generator = prox, generator

    def direction(self, closure: Callable, x: np.ndarray, i: int):
        """(the loss of example i at x, the estimate of the whole gradient that it gives, its own gradient)."""
        loss, _, g = self._evaluate(lambda: closure(i), x)
        return loss, g - self.common["table"][i] + self.common["mean"], g

    def step(self, closure: Callable):
        """One step on an example of the optimizer's choice; returns its loss before."""
        _needed(self, closure)
        group = self.param_groups[0]
        with self._whole() as x:
            c = self.common
            if "table" not in c:
                table = np.stack([self._evaluate(lambda i=i: closure(i), x)[2] for i in range(group["n"])])
                c.update(table=table, mean=table.mean(axis=0))
            i = int(self._rng().integers(group["n"]))
            loss, d, g = self.direction(closure, x, i)
            w, d = self._hooked(d)
            w = w - group["lr"] * d
            if self.prox is not None:
                w = self._join([self.prox(part, group["lr"]) for part in self._split(w)])
            c["mean"] += (g - c["table"][i]) / group["n"]
            c["table"][i] = g
            self._place(w)
        return loss


class SGLD(_Random, Optimizer):
    """w <- w - lr / 2 g + sqrt(lr) N(0, 1): samples, not a minimum. Welling & Teh 2011.

    With a loss of -log p(w | data) (the sum over examples, not the mean) the w of later steps are draws from the
    posterior, up to a bias of the order of lr. Noise is the default generator's, or ``generator``'s. 0 numbers per
    weight.
    """

    elementwise = False

    def __init__(self, params, lr: float = 1e-3, weight_decay: float = 0, *,
                 generator: np.random.Generator | None = None, maximize: bool = False):
        super().__init__(params, weight_decay, maximize, lr=lr)
        self.generator = generator

    def update(self, w, g, lr):
        noise = self._rng().standard_normal(w.shape)
        w += np.asarray(math.sqrt(lr) * noise, w.dtype) - lr / 2 * g


def by_name(name: str) -> type[Optimizer]:
    """The class of this name here, in any case and with or without hyphens; ValueError lists what there is."""
    known = {n.lower(): c for n, c in globals().items() if n in __all__ and isinstance(c, type)}
    return find("classical optimizer", name, known)
