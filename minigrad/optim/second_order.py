"""Second order on the whole data set, through SciPy: Newton's method and its kin, L-BFGS, least squares.

SciPy asks for functions of one float64 vector; a network has arrays of any dtype and shape. `Objective` is the bridge;
`minimize` and `least_squares` walk over it with any of SciPy's methods; `Newton` and `LBFGS` step like an Optimizer.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from ..calculus import rows
from ..graph import changed
from ..mode import enable_grad
from ..tensor import Tensor, grad
from .classical import _Flat, _needed, armijo, wolfe

__all__ = ["LBFGS", "Iteration", "Newton", "Objective", "least_squares", "minimize"]

HESSP = {"newton-cg", "trust-ncg", "trust-krylov", "trust-constr"}  # use Hessian-vector products
HESS = {"trust-exact", "dogleg"}  # use the whole Hessian
BOUNDED = {"l-bfgs-b", "tnc", "slsqp", "trust-constr", "nelder-mead", "powell", "cobyla", "cobyqa"}
NO_GRADIENT = {"nelder-mead", "powell", "cobyla", "cobyqa"}
UNBOUNDED = -1e30  # times 1 + |the first loss|: a loss below falls without end


class Iteration(NamedTuple):
    """Where a minimization is after an iteration. gradient_norm is the largest |g_i|, NaN where no gradient is used.

    evaluations: of the loss with its gradient so far. products: of the Hessian with a vector. seconds: since the start.
    """

    iteration: int
    loss: float
    gradient_norm: float
    evaluations: int
    products: int
    seconds: float

    @property
    def gradient_equivalents(self) -> int:
        """evaluations + 2 products: a product with the Hessian is a forward and a backward walk over the gradient."""
        return self.evaluations + 2 * self.products


class Objective:
    """``loss()`` as a function of the vector of all ``params`` that require grad: what `scipy.optimize` wants.

        objective = Objective(lambda: loss_of(model(images), labels), model.parameters())
        scipy.optimize.minimize(objective.fun, objective.x, jac=True, hessp=objective.hessp, method="trust-krylov")

    loss: returns a Tensor with one number, the same for the same parameters (whole data set, no dropout). Vectors are
    float64 whatever the parameters' dtype: SciPy rounds its line search to the dtype of its vector. Every call leaves
    the parameters at its x, in arrays of its own; `place` puts them back into the first ones. ``best`` is (loss, x) of
    the smallest finite loss seen; counts and seconds are in ``evaluations``, ``products`` and ``seconds``. Of a model
    it knows the parameters alone: batch norm's running statistics see every point that is tried: use ``model.eval()``.
    """

    def __init__(self, loss: Callable[[], Tensor], params: Iterable):
        params = [params] if isinstance(params, Tensor) else list(params)
        params = [p[1] if isinstance(p, tuple) else p for p in params]
        for i, p in enumerate(params):
            if not isinstance(p, Tensor) or not p.is_leaf or p.dtype.kind != "f":
                raise TypeError(f"parameter {i} must be a leaf Tensor of real numbers, got {p!r:.60}")
            if any(p is q for q in params[:i]):
                raise ValueError(f"parameter {i} {p.shape} is there twice; model.parameters() names shared ones once")
        self.params = [p for p in params if p.requires_grad]
        if not sum(p.size for p in self.params):
            raise ValueError("no parameter requires grad: is model.parameters() empty, or used up?")
        self.loss = loss
        self.evaluations = self.products = 0
        self.seconds = 0.0
        self.best = (math.inf, self.x)
        self.bounds = None  # a scipy.optimize.Bounds, outside of which no point is the best
        self._arrays = [p.data for p in self.params]
        self._ends = list(itertools.accumulate(p.size for p in self.params))
        self._point = self._last = None  # a trust region goes back after a step that it rejects
        self._curved = False  # whether Hessian products are asked for: then graphs are kept

    @property
    def x(self) -> np.ndarray:
        """The parameters as a vector, a float64 copy."""
        return self.join(p.data for p in self.params)

    def join(self, arrays: Iterable) -> np.ndarray:
        """Arrays like the parameters as one float64 vector."""
        return np.concatenate([np.asarray(a, np.float64).reshape(-1) for a in arrays])

    def split(self, x: np.ndarray) -> list[np.ndarray]:
        """A vector as arrays with the parameters' shapes and dtypes."""
        if x.shape != (self._ends[-1],):
            raise ValueError(f"a vector of {self._ends[-1]} numbers is wanted, got shape {x.shape}")
        with np.errstate(over="ignore"):  # a point too far away for float32 is at infinity
            return [x[end - p.size:end].reshape(p.shape).astype(p.dtype) for p, end in zip(self.params, self._ends)]

    def place(self, x: np.ndarray) -> None:
        """Let the parameters be the vector x, in the arrays that they had at first."""
        for p, array, values in zip(self.params, self._arrays, self.split(x)):
            if array.flags.writeable:
                array[...] = values
                changed(array)
                values = array
            p.data = values
        self._point = self._last = None

    def total(self, value):
        """A loss, gradient, product or Hessian, of this process' data, for all: `distributed.minimize` sums here."""
        return value

    def _go(self, x):
        """The point x, where the parameters are then: in new arrays, so that another point's graph stays as it was."""
        key = x.tobytes()
        if self._point is not None and key == self._point.key:
            return self._point
        if self._last is not None and key == self._last.key:
            self._point, self._last = self._last, self._point
        else:
            self._point, self._last = _Point(key, x.copy(), self.split(x)), self._point
        for p, array in zip(self.params, self._point.arrays):
            p.data = array
        return self._point

    def value(self, x: np.ndarray) -> float:
        """The loss at x."""
        point = self._go(x)
        if point.value is None:
            self._record(point)
            inside = self.bounds is None or (np.all(self.bounds.lb <= x) and np.all(x <= self.bounds.ub))
            point.best_before = self.best
            if -math.inf < point.value < self.best[0] and inside:
                self.best = point.value, point.x
        return point.value

    def _record(self, point):
        start = time.perf_counter()
        with enable_grad():
            output = self.loss()
        if not isinstance(output, Tensor) or output.size != 1:
            raise TypeError(f"the loss must be a Tensor with a single number, got {output!r:.60}")
        point.value, point.output = float(self.total(float(output.item()))), output
        self.evaluations += 1
        self.seconds += time.perf_counter() - start

    def fun(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        """(the loss at x, its gradient there)."""
        value, point = self.value(x), self._point
        if point.g is None:
            output, start = self._graph(point), time.perf_counter()
            with np.errstate(all="ignore"):
                gs = grad(output, self.params, retain_graph=self._curved)
                point.g = self.total(self.join(g.data for g in gs))
            if not np.isfinite(point.g).all() and self.best[1] is point.x:
                self.best = point.best_before
            if not self._curved:
                point.output = None
            self.seconds += time.perf_counter() - start
        return value, point.g

    def _graph(self, point):
        if point.output is None:  # it was not kept
            self._record(point)
        node = point.output.node
        if node is None or not node.requires_grad:
            raise RuntimeError("the loss does not depend on the parameters: is it computed from copies of them?")
        return _alive(point.output)

    def hessp(self, x: np.ndarray, p: np.ndarray) -> np.ndarray:
        """The Hessian at x times p. The gradient's graph is made once for every x, however many the products."""
        pairs = [(g, v) for g, v in zip(self._gradient(x), self.split(np.asarray(p, np.float64))) if g.requires_grad]
        start = time.perf_counter()
        self.products += 1
        product = np.zeros(len(x))  # where the gradient is constant
        if pairs:
            gs, vs = map(list, zip(*pairs))
            product = self.join(h.data for h in grad(gs, self.params, retain_graph=True, gradient=vs))
        product = self.total(product)
        self.seconds += time.perf_counter() - start
        return product

    def hess(self, x: np.ndarray) -> np.ndarray:
        """The whole Hessian at x: as many products as there are parameters, in one batch."""
        gradient, start = self._gradient(x), time.perf_counter()
        blocks = [self._jacobian(g) if g.requires_grad else np.zeros((g.size, len(x))) for g in gradient]
        h = self.total(np.concatenate(blocks))
        self.products += len(x)
        self.seconds += time.perf_counter() - start
        return (h + h.T) / 2  # rounding leaves it a little askew

    def _gradient(self, x):
        self._curved = True
        self.value(x)
        point = self._point
        if point.gradient is None:
            output, start = self._graph(point), time.perf_counter()
            with enable_grad():
                point.gradient = grad(output, self.params, create_graph=True)
            if point.g is None:
                point.g = self.total(self.join(g.data for g in point.gradient))
            self.seconds += time.perf_counter() - start
        return point.gradient

    def _jacobian(self, y):
        """dy/dx, a row for every element of y."""
        blocks = rows(lambda u: grad(y, self.params, retain_graph=True, gradient=u), y.shape, y.dtype)
        return np.concatenate([np.asarray(b, np.float64).reshape(y.size, -1) for b in blocks], axis=1)


def _alive(loss):
    node = getattr(loss, "node", None)
    if node is not None and node.op is not None and node.values is None:
        raise RuntimeError("the closure has called backward: it shall only return the loss, whose graph is still "
                           "needed")
    return loss


class _Point:
    """What is known at one vector."""

    def __init__(self, key, x, arrays):
        self.key, self.x, self.arrays = key, x, arrays
        self.value = self.g = self.best_before = None
        self.output = self.gradient = None  # with their graphs


class _Stop(Exception):
    """Ends a minimization from inside: status, message."""


def minimize(loss: Callable[[], Tensor], params: Iterable, method: str = "L-BFGS-B", *, bounds=None,
             callback: Callable | None = None, tol: float | None = None, options: dict | None = None):
    """Minimize ``loss()`` over all ``params`` together with `scipy.optimize.minimize`, and leave them at the minimum.

        result = optim.minimize(lambda: criterion(model(x), y), model.parameters(), method="newton-cg")

    loss: as in `Objective`. method: any of SciPy's, in any case: "L-BFGS-B", "BFGS", "CG", "TNC", "SLSQP" with
    gradients; "Newton-CG", "trust-ncg", "trust-krylov", "trust-constr" with Hessian-vector products; "trust-exact",
    "dogleg" with the Hessian; "Nelder-Mead", "Powell", "COBYLA", "COBYQA" (SciPy 1.14) with the loss alone. None needs
    a rate.
    bounds: (low, high) for every weight, numbers, vectors or None, or a `scipy.optimize.Bounds`, for methods that have
    bounds ("L-BFGS-B", "TNC", "SLSQP", "trust-constr" and those without gradients); the start is moved inside.
    callback: called with an `Iteration` after each, the parameters being where it is; true or StopIteration ends the
    run. tol, options: SciPy's.

    Returns SciPy's OptimizeResult, with ``history``, a list of Iterations from 0, the start, ``nhvp`` and ``seconds``.
    Where the loss is not finite SciPy is shown a wall instead, so that it turns back, and what is returned is the best
    point seen if the last is worse. A loss or gradient that is not finite at the start, a Hessian that is not finite,
    or a loss that falls without end, is a result with ``success`` False, whose message says so. Whatever is raised
    leaves the parameters as they were. ValueError for bounds that are none, or for a method without.
    """
    if not isinstance(method, str):
        raise TypeError(f"method must be the name of one of scipy.optimize.minimize's, got {method!r}")
    return _minimize(Objective(loss, params), method, bounds, callback, tol, options)


def _minimize(objective, method, bounds=None, callback=None, tol=None, options=None):
    import scipy.optimize
    objective._curved = method.lower() in HESSP | HESS
    start, before, name = time.perf_counter(), objective.x, method.lower()
    if bounds is not None and name not in BOUNDED:
        raise ValueError(f"{method} has no bounds; these have: {', '.join(sorted(BOUNDED))}")
    objective.bounds = bounds = _bounds(bounds, before)
    x0 = before if bounds is None else np.clip(before, bounds.lb, bounds.ub)
    history, at = [], {}

    def wall():
        values = [f for f, _ in at.values()] or [objective.best[0]]
        return objective.best[0] + max(1.0, abs(objective.best[0]), max(values) - objective.best[0])

    def fun(x):
        with np.errstate(all="ignore"):
            f, g = (objective.value(x), None) if name in NO_GRADIENT else objective.fun(x)
        if f == -math.inf or f < UNBOUNDED * (1 + abs(history[0].loss)):
            raise _Stop(f"the loss falls without end: it is {f:g}")
        if not (math.isfinite(f) and (g is None or np.isfinite(g).all())):
            f, g = wall(), None if g is None else np.zeros_like(g)
        else:
            at[objective._point.key] = f, math.nan if g is None else float(np.abs(g).max())
        return f if g is None else (f, g)

    def finite(curvature):
        def checked(*given):
            h = curvature(*given)
            if not np.isfinite(h).all():
                raise _Stop(f"the Hessian is not finite where the loss is {objective._point.value:g}")
            return h
        return checked

    def note(x):
        f, norm = at.get(x.tobytes(), (objective.best[0], math.nan))
        history.append(Iteration(len(history), f, norm, objective.evaluations, objective.products,
                                 time.perf_counter() - start))
        at.clear()
        at[x.tobytes()] = f, norm

    def after(x, *_):
        note(np.asarray(x))
        if callback is not None:
            objective._go(x)
            if callback(history[-1]):
                raise StopIteration
        return False

    derivatives = {"jac": name not in NO_GRADIENT}
    if name in HESSP:
        derivatives["hessp"] = finite(objective.hessp)
    elif name in HESS:
        derivatives["hess"] = finite(objective.hess)
    try:
        with np.errstate(all="ignore"):
            first = objective.value(x0) if name in NO_GRADIENT else objective.fun(x0)[0]
        g = objective._point.g
        at[x0.tobytes()] = first, math.nan if g is None else float(np.abs(g).max())
        note(x0)
        if not math.isfinite(first):
            raise _Stop(f"the loss is {first} at the start")
        if g is not None and not np.isfinite(g).all():
            raise _Stop(f"the gradient is not finite at the start, where the loss is {first:g}")
        result = scipy.optimize.minimize(fun, x0, method=method, bounds=bounds, callback=after, tol=tol,
                                         options=options, **derivatives)
    except _Stop as why:
        result = scipy.optimize.OptimizeResult(x=x0, fun=math.nan, success=False, status=-1, message=str(why))
    except StopIteration:  # which not all methods take
        result = scipy.optimize.OptimizeResult(x=x0, fun=math.nan, success=False, status=99,
                                               message="the callback ended the run")
    except BaseException as error:
        objective.place(before)
        if not (isinstance(error, ValueError) and "infs or NaNs" in str(error)):  # SciPy's own overflow
            raise
        result = scipy.optimize.OptimizeResult(x=x0, fun=math.nan, success=False, status=-1,
                                               message=f"numbers overflowed in {method}")
    result.setdefault("nit", len(history) - 1)
    result.success = bool(result.success)
    if not result.fun <= objective.best[0]:
        result.fun, result.x = objective.best if math.isfinite(objective.best[0]) else (history[0].loss, x0)
    if result.success and bounds is None and np.array_equal(result.x, x0) and history[0].gradient_norm > 1e-3:
        result.success, result.message = False, (
            f"no step was taken, but the gradient is {history[0].gradient_norm:g}: is the loss smooth here and curved?")
    objective.place(result.x)
    result.update(nfev=objective.evaluations, nhvp=objective.products, history=history,
                  seconds=time.perf_counter() - start)
    return result


def _bounds(bounds, x):
    import scipy.optimize
    if bounds is None or isinstance(bounds, scipy.optimize.Bounds):
        return bounds
    if not isinstance(bounds, (tuple, list)) or len(bounds) != 2 or any(isinstance(b, (tuple, list)) for b in bounds):
        raise ValueError(f"bounds are (low, high), each None, a number or a vector, or a scipy.optimize.Bounds; got "
                         f"{bounds!r:.60}")
    low, high = bounds
    return scipy.optimize.Bounds(np.full_like(x, -math.inf if low is None else low),
                                 np.full_like(x, math.inf if high is None else high), True)


def least_squares(residuals: Callable[[], Tensor], params: Iterable, method: str = "lm", *, damping: float = 0.0,
                  bounds=None, tol: float = 1e-10, max_iter: int = 100):
    """Minimize sum(r^2) / 2 for the residuals r = ``residuals()``, from their Jacobian J alone.

    method: "gauss-newton", x <- x - (J^T J + damping I)^-1 J^T r, as taught: the Newton step without the second
    derivatives of r, which are small where r is; "lm", Levenberg 1944 and Marquardt 1963, damped as far as needed,
    needs no fewer residuals than parameters; "trf" and "dogbox", trust regions, with bounds as in `minimize`. All but
    the first are `scipy.optimize.least_squares`. tol: on the relative change of the loss, of x, and on the gradient.

    Returns SciPy's OptimizeResult with ``fun`` the residuals, ``cost``, ``history``, ``seconds``; the parameters are
    left at the best point seen. ValueError for an unknown method, or residuals that are not finite at the start.
    """
    import scipy.optimize
    methods = ("gauss-newton", "lm", "trf", "dogbox")
    if method not in methods:
        raise ValueError(f"method must be one of {', '.join(methods)}, got {method!r}")
    if bounds is not None and method not in ("trf", "dogbox"):
        raise ValueError(f"{method} has no bounds; trf and dogbox have")
    if damping and method != "gauss-newton":
        raise ValueError(f"damping is for gauss-newton, {method} finds its own")
    seen = {}

    def loss():
        r = residuals()
        if not isinstance(r, Tensor):
            raise TypeError(f"residuals must give a Tensor, got {r!r:.60}")
        half = (r * r).sum() / 2
        seen[half] = r
        return half
    objective = Objective(loss, params)
    objective._curved = True  # the graph of r is walked for J
    start, before, history = time.perf_counter(), objective.x, []
    objective.bounds = bounds = _bounds(bounds, before)
    x0 = before if bounds is None else np.clip(before, bounds.lb, bounds.ub)

    def at(x):
        with np.errstate(all="ignore"):
            objective.value(x)
        points = [p for p in (objective._point, objective._last) if p]
        for half in seen.keys() - {p.output for p in points}:
            del seen[half]
        return seen[objective._point.output]

    def fun(x):
        return at(x).data.reshape(-1).astype(np.float64)

    def jac(x):
        r = at(x)
        j = objective._jacobian(r)
        history.append(Iteration(len(history), objective.value(x), float(np.abs(fun(x) @ j).max()),
                                 objective.evaluations, 0, time.perf_counter() - start))
        return j
    try:
        r = fun(x0)
        if not np.isfinite(r).all():
            raise ValueError("the residuals are not finite at the start")
        if method == "gauss-newton":
            result = _gauss_newton(fun, jac, x0, damping, tol, max_iter)
        else:
            given = {} if bounds is None else {"bounds": bounds}
            result = scipy.optimize.least_squares(fun, x0, jac, method=method, ftol=tol, xtol=tol, gtol=tol,
                                                  max_nfev=max_iter, **given)
    except BaseException:
        objective.place(before)
        raise
    (best, x), last = objective.best, objective.value(result.x)
    if not last <= best:
        if not last <= best * (1 + 1e-6):
            result.success, result.message = False, f"it ended at a cost of {last:g}, above the best one on the way"
        result.update(x=x, cost=best, fun=fun(x))
    objective.place(result.x)
    result.update(nfev=objective.evaluations, history=history, seconds=time.perf_counter() - start)
    return result


def _gauss_newton(fun, jac, x, damping, tol, max_iter):
    import scipy.optimize
    r, message, status = fun(x), f"{max_iter} iterations are over", 0
    nit = 0
    while nit < max_iter:
        nit, j = nit + 1, jac(x)
        above, below = (j, r) if not damping else (np.vstack([j, math.sqrt(damping) * np.eye(len(x))]),
                                                   np.concatenate([r, np.zeros(len(x))]))
        step = np.linalg.lstsq(above, below, rcond=None)[0]
        x, last, r = x - step, r, fun(x - step)
        if not np.isfinite(r).all():
            message, status = "a step led to residuals that are not finite: try damping, or lm", -1
            break
        if np.linalg.norm(step) <= tol * (tol + np.linalg.norm(x)) or abs(r @ r - last @ last) <= tol * (last @ last):
            message, status = "converged", 1
            break
    return scipy.optimize.OptimizeResult(x=x, fun=r, cost=float(r @ r) / 2, nit=nit, status=status, message=message,
                                         success=status > 0)


class Newton(_Flat):
    """w <- w - lr (H + damping I)^-1 g, H the Hessian of the closure's loss over all parameters.

        newton = optim.Newton(model.parameters())
        newton.step(lambda: criterion(model(x), y))        # the whole data set; the closure does not call backward

    solver "exact" is Newton's method as taught (Newton 1669, Raphson 1690, Simpson 1740): the system solved with the
    whole Hessian, one step a call. On a quadratic one step is enough and no rate is needed; but it goes to the nearest
    point where g = 0, be it a saddle or a maximum, and far from one it may not converge: damping and line_search
    ("armijo" or "wolfe", along the step, turned downhill if it leads up) help. n^2 numbers for n weights, n^3 steps.

    The other solvers are SciPy's, up to max_iter of their iterations a call, with H only in products H v, which cost
    two gradients each: "newton-cg" (conjugate gradients inside, then a line search: Dembo, Eisenstat & Steihaug 1982;
    the default), "trust-ncg" (the same inside a trust region: Steihaug 1983), "trust-krylov" (Gould et al. 1999), and
    "trust-exact" with the whole Hessian (More & Sorensen 1983). 15 numbers per weight, and the gradient's graph;
    trust-krylov 4.6 n^2.
    lr is for "exact", tol, on the gradient, for the others.
    """

    needs_graph = True
    SOLVERS = ("exact", "newton-cg", "trust-ncg", "trust-krylov", "trust-exact")

    def __init__(self, params, lr: float = 1.0, solver: str = "newton-cg", damping: float = 0.0,
                 line_search: str | None = None, max_iter: int = 20, tol: float = 1e-5, *, maximize: bool = False):
        if solver not in self.SOLVERS:
            raise ValueError(f"Newton: solver must be one of {', '.join(self.SOLVERS)}, got {solver!r}")
        if line_search not in (None, "armijo", "wolfe") or (line_search and solver != "exact"):
            raise ValueError(f'Newton: line_search is None, "armijo" or "wolfe", and for "exact" alone; got '
                             f"{line_search!r} with {solver!r}")
        super().__init__(params, maximize, lr=lr, solver=solver, damping=damping, line_search=line_search,
                         max_iter=max_iter, tol=tol)
        self.products = 0  # of the Hessian with a vector

    def step(self, closure: Callable):
        """One Newton step, or up to max_iter of the solver's; returns the loss before, as the closure gave it."""
        _needed(self, closure)
        group, sign = self.param_groups[0], self._sign()
        kept = []

        def loss():
            out = closure()
            kept.append(out)
            return _alive(-out) if sign < 0 and isinstance(_alive(out), Tensor) else out
        objective = Objective(loss, group["params"])
        objective._curved = True
        x, damping, (hessp, hess) = objective.x, group["damping"], (objective.hessp, objective.hess)
        if damping:
            objective.hessp = lambda x, p: hessp(x, p) + damping * p
            objective.hess = lambda x: hess(x) + damping * np.eye(len(x))
        try:
            self._refuse_hooks(x, objective.fun(x)[1])
            if group["solver"] == "exact":
                self._exact(objective, group)
            else:
                _minimize(objective, group["solver"], options={"maxiter": group["max_iter"]}, tol=group["tol"])
        except BaseException:
            objective.place(x)
            raise
        self.evaluations += objective.evaluations
        self.products += objective.products
        return kept[0].detach() if isinstance(kept[0], Tensor) else kept[0]

    def _exact(self, objective, group):
        x = objective.x
        f, g = objective.fun(x)
        h = objective.hess(x)
        if not (np.isfinite(g).all() and np.isfinite(h).all()):
            objective.place(x)
            return
        try:
            d = -np.linalg.solve(h, g)
        except np.linalg.LinAlgError:
            raise np.linalg.LinAlgError("Newton: the Hessian is singular, so the step is not defined: give damping, or "
                                        "use another solver") from None
        a = group["lr"]
        if group["line_search"]:
            slope = float(g @ d)
            if slope > 0:
                d, slope = -d, -slope
            def at(a):
                with np.errstate(all="ignore"):
                    value, there = objective.fun(x + a * d)
                return math.inf if math.isnan(value) else value, float(there @ d)
            a = {"armijo": armijo, "wolfe": wolfe}[group["line_search"]](at, f, slope, a) if slope else 0.0
        objective.place(x + a * d)


class LBFGS(_Flat):
    """w <- w - a H g, H the inverse Hessian as the last history_size steps s and changes of g, y, show it.

        lbfgs = optim.LBFGS(model.parameters(), line_search_fn="strong_wolfe")
        lbfgs.step(closure)                                 # closure: the loss on the whole data set, as for PyTorch

    H is not kept: two loops over the pairs give H g (Nocedal 1980; Liu & Nocedal 1989), from (s.y / y.y) I as its
    start; a pair with s.y <= 1e-10 is left out. Superlinear like Newton's method, from gradients alone: the choice for
    full batches up to millions of weights. On mini-batches y is mostly the change of the batch: it fails. Memory: 2
    history_size numbers per weight.

    step: up to max_iter iterations and max_eval (None: 5/4 max_iter) evaluations of the closure; ends early where no
    |g_i| is above tolerance_grad, or no step or change of the loss above tolerance_change. line_search_fn None: a = lr,
    at the very first lr min(1, 1 / |g|_1), as PyTorch's and its default; it may diverge. "strong_wolfe": Wolfe's
    conditions by SciPy's search from lr (PyTorch interpolates another way): needs no rate. A step to a loss that is not
    finite is not taken. The pairs last from step to step, and are saved by state_dict.
    """

    def __init__(self, params, lr: float = 1, max_iter: int = 20, max_eval: int | None = None,
                 tolerance_grad: float = 1e-7, tolerance_change: float = 1e-9, history_size: int = 100,
                 line_search_fn: str | None = None, *, maximize: bool = False):
        if line_search_fn not in (None, "strong_wolfe"):
            raise ValueError(f'LBFGS: line_search_fn is None or "strong_wolfe", got {line_search_fn!r}')
        if history_size < 1:
            raise ValueError(f"LBFGS: history_size must be at least 1, got {history_size}")
        super().__init__(params, maximize, lr=lr, max_iter=max_iter, max_eval=max_eval, tolerance_grad=tolerance_grad,
                         tolerance_change=tolerance_change, history_size=history_size, line_search_fn=line_search_fn)

    def state_dict(self):
        state = super().state_dict()
        for name in {"s", "y"} & state.get("common", {}).keys():
            state["common"][name] = np.stack(state["common"][name])
        return state

    def load_state_dict(self, state):
        super().load_state_dict(state)
        for name in {"s", "y"} & self.common.keys():
            self.common[name] = list(self.common[name])

    def direction(self, g: np.ndarray) -> np.ndarray:
        """-H g, after the pair of the last step has joined the history."""
        c = self.common
        if "step" in c:
            step, change = c.pop("step"), g - c.pop("g")
            if change @ step > 1e-10:
                size = self.param_groups[0]["history_size"]
                c["s"], c["y"] = [*c.get("s", ()), step][-size:], [*c.get("y", ()), change][-size:]
        return -two_loops(g, c["s"], c["y"]) if "s" in c else -g

    def step(self, closure: Callable):
        """Up to max_iter iterations; returns the loss before."""
        _needed(self, closure)
        group = self.param_groups[0]
        most = group["max_iter"] * 5 // 4 if group["max_eval"] is None else group["max_eval"]
        smallest = group["tolerance_change"]
        with self._whole() as x:
            c = self.common
            first, f, g = self._evaluate(closure, x)
            before = self.evaluations - 1
            if not math.isfinite(f) and "step" in c:  # the last step of the last call led here
                x = x - c.pop("step")
                c.pop("g")
            else:
                self._refuse_hooks(x, g)
            for i in range(1, group["max_iter"] + 1):
                if not (math.isfinite(f) and np.abs(g).max(initial=0) > group["tolerance_grad"]):
                    break
                d = self.direction(g)
                slope = float(g @ d)
                if not slope < -smallest:
                    break
                c["iterations"] = c.get("iterations", 0) + 1
                a = group["lr"] * (min(1, 1 / np.abs(g).sum()) if c["iterations"] == 1 else 1)
                if group["line_search_fn"]:
                    a = self._search(wolfe, closure, x, d, f, g, a)
                    if not a:
                        break
                    _, value, there = self.trials[a]
                elif i < group["max_iter"]:
                    _, value, there = self._evaluate(closure, x + a * d)
                else:  # whoever calls the next step will see
                    value, there = f, g
                if not (math.isfinite(value) and np.isfinite(there).all()):
                    break
                x, fell = x + a * d, abs(value - f)
                c.update(step=a * d, g=g)
                f, g = value, there
                if self.evaluations - before >= most or np.abs(a * d).max() <= smallest or fell < smallest:
                    break
            self._place(x)
        return first


def two_loops(g: np.ndarray, s: list[np.ndarray], y: list[np.ndarray]) -> np.ndarray:
    """H g for the L-BFGS inverse Hessian of the pairs (s[i], y[i]), the oldest first. Nocedal 1980."""
    g, shares = g.copy(), []
    for si, yi in zip(reversed(s), reversed(y)):
        rho = 1 / (si @ yi)
        shares.append((rho, rho * (si @ g)))
        g -= shares[-1][1] * yi
    g *= 1 / (shares[0][0] * (y[-1] @ y[-1]))
    for (rho, share), si, yi in zip(reversed(shares), s, y):
        g += (share - rho * (yi @ g)) * si
    return g
