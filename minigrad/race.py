"""First and second order on one axis: the same start, the same data, full batch, until the same budget is spent.

    problem = race.problem("digits", "mlp", samples=300)
    runs = race.race(problem, ["sgd", "adam:0.01", "lbfgs", "newton-cg"], budget=400)
    print(race.table(runs))

The budget is in gradient equivalents: a loss with its gradient is one, a product of the Hessian with a vector two.
"""

from __future__ import annotations

import csv
import inspect
import math
import os
import statistics
import time
import tracemalloc
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import numpy as np

from . import data, models, optim
from .checkpoint import replacing
from .functional import cross_entropy
from .metrics import accuracy
from .mode import no_grad
from .naming import spelled, unknown
from .nn import Module
from .optim import classical
from .optim.second_order import Iteration, Newton, Objective, _minimize, _Stop
from .random import seeded
from .tensor import Tensor

__all__ = ["DATA", "MODELS", "RATES", "SOLVERS", "Problem", "Run", "Solver", "groups", "median", "notes", "optimizers",
           "problem", "race", "run", "series_to_csv", "table", "to_csv", "tuned"]

RATES = tuple(float(f"{digit}e{power}") for power in range(-4, 2) for digit in (1, 2, 5))[:16]  # 0.0001 to 10
TOYS = {"moons": data.moons, "spirals": data.spiral, "circles": data.circles, "blobs": data.blobs, "xor": data.xor}
DATA = {"digits": 300, "mnist": 1000, **dict.fromkeys(TOYS, 200)}  # samples by default
MODELS = ("logistic", "mlp", "cnn")
HELD_OUT = 1000  # at most
DENSE = 3000  # weights, up to which n^2 numbers and n^3 work a step are bearable
NEVER = 10 ** 9
BUDGET, CONVERGED, DIVERGED, STALLED = "budget", "converged", "diverged", "stalled"


@dataclass(frozen=True, eq=False)
class Solver:
    """One of SciPy's methods, or Newton's as taught, "exact": its options, and why it needs n^2 numbers, if it does."""

    name: str
    method: str
    options: dict = field(default_factory=dict)
    dense: str = ""
    second_order: bool = True

    @property
    def hessian(self) -> bool:
        """Whether each of its steps takes the whole Hessian."""
        return self.method in ("exact", "trust-exact")


_TRUST = {"maxiter": NEVER, "gtol": 0.0}  # the race itself ends where the gradient is small
_ALL = (
    Solver("L-BFGS", "L-BFGS-B", {"maxiter": NEVER, "maxfun": NEVER, "ftol": 0.0, "gtol": 0.0}),
    Solver("Newton-CG", "Newton-CG", {"maxiter": NEVER, "xtol": 0.0}),
    Solver("trust-ncg", "trust-ncg", _TRUST),
    Solver("trust-krylov", "trust-krylov", _TRUST, "SciPy's allocates a basis of n^2 numbers"),
    Solver("trust-exact", "trust-exact", _TRUST, "it factorizes the whole Hessian"),
    Solver("Newton-exact", "exact", {}, "it solves a system with the whole Hessian"),
    Solver("BFGS", "BFGS", _TRUST, "it keeps the whole inverse Hessian, and SciPy's multiplies matrices of that size"),
    Solver("CG", "CG", _TRUST, second_order=False))
SOLVERS = {solver.name.lower().replace("-", ""): solver for solver in _ALL}
SOLVERS.update(lbfgsb=SOLVERS["lbfgs"], newton=SOLVERS["newtoncg"], exact=SOLVERS["newtonexact"])


# ---- what is raced on ----
@dataclass(frozen=True)
class Problem:
    """Full-batch cross-entropy, plus l2 / 2 times the sum of squares of all weights and biases.

    seed draws the samples and the start; `again` gives another one's.
    """

    data: str
    model: str
    x: np.ndarray
    y: np.ndarray
    held_out: tuple[np.ndarray, np.ndarray]
    classes: int
    build: Callable[[np.random.Generator], Module]
    l2: float
    dtype: np.dtype
    seed: int
    again: Callable[[int], Problem]

    def start(self) -> Module:
        """A new model, always with the same weights."""
        with seeded(self.seed):  # layers draw weights of their own before the model's
            return self.build(np.random.default_rng((self.seed, 1))).astype(self.dtype)

    def loss(self, model: Module) -> Tensor:
        """What is minimized."""
        loss = cross_entropy(model(Tensor(self.x)), self.y)
        return loss + optim.l2_penalty(model, self.l2) if self.l2 else loss

    @property
    def weights(self) -> int:
        """How many numbers are trained."""
        return sum(p.size for p in self.start().parameters())

    @property
    def title(self) -> str:
        """What it is, in a line."""
        l2 = f", L2 {self.l2:g}" if self.l2 else ""
        return f"{self.data}, {len(self.x):,} samples: {self.model}, {self.weights:,} weights in {self.dtype}{l2}"


def problem(name: str, model: str = "mlp", samples: int | None = None, *, hidden: Sequence[int] | None = None,
            l2: float = 0.0, dtype="float64", seed: int = 0) -> Problem:
    """``samples`` of a data set of `DATA`, in a random order, and a model of `MODELS`; up to 1000 others are held out.

    hidden: units of the mlp's layers, (256, 128) by default. dtype: float32 is about twice as fast, but line searches
    stall where the loss changes by less than its rounding. ValueError for what does not fit.
    """
    key, kind, dtype = name.lower(), model.lower(), np.dtype(dtype)
    if key not in DATA:
        raise ValueError(unknown("data set", name, DATA, f"there are {', '.join(DATA)}"))
    if kind not in MODELS:
        raise ValueError(unknown("model", model, MODELS, f"there are {', '.join(MODELS)}"))
    if kind == "cnn" and key in TOYS:
        raise ValueError(f"a cnn is for images, digits or mnist, not for the two coordinates of {key}: take mlp")
    if hidden is not None and kind != "mlp":
        raise ValueError(f"hidden layers are the mlp's to choose, not the {kind}'s: {', '.join(map(str, hidden))}")
    if hidden is not None and not all(units > 0 for units in hidden):
        raise ValueError(f"hidden layers have at least 1 unit, got {', '.join(map(str, hidden))}")
    if not (l2 >= 0 and math.isfinite(l2)):
        raise ValueError(f"l2 must be finite and at least 0, got {l2}")
    if dtype not in (np.float32, np.float64):
        raise ValueError(f"dtype must be float32 or float64, got {dtype}")
    samples = DATA[key] if samples is None else samples
    if samples < 1:
        raise ValueError(f"samples must be at least 1, got {samples}")
    rng = np.random.default_rng((seed, 0))
    everything = TOYS[key](samples + HELD_OUT, generator=rng) if key in TOYS else data.load(key)
    if samples > len(everything):
        raise ValueError(f"{key} has {len(everything):,} samples to train on, not {samples:,}")
    order = rng.permutation(len(everything))
    train, rest = (everything.subset(order[part]) for part in (slice(samples), slice(samples, samples + HELD_OUT)))
    classes, shape = len(everything.classes), everything.x.shape[1:]

    def build(generator):
        if kind == "cnn":
            return models.cnn(shape[0], shape[1], classes, generator=generator)
        layers = {"hidden": ()} if kind == "logistic" else {} if hidden is None else {"hidden": tuple(hidden)}
        return models.mlp(math.prod(shape), classes=classes, generator=generator, **layers)
    return Problem(key, kind, train.x.astype(dtype), train.y, (rest.x.astype(dtype), rest.y), classes, build, l2, dtype,
                   seed, lambda seed: problem(name, model, samples, hidden=hidden, l2=l2, dtype=dtype, seed=seed))


# ---- a run ----
@dataclass(frozen=True)
class Run:
    """One optimizer's way down. history: an `Iteration` per step, from 0, the start, each at the weights it names.

    ended: "budget", "converged" (no |g_i| above tol), "diverged" (not finite), or "stalled", where the solver gave up;
    ``message`` is then its own. accuracy: of the last weights, on the samples; held_out likewise, NaN without any.
    memory: numbers per weight that it keeps beyond the weights and their gradient. tuning: gradient equivalents that
    finding the rate took, which are not in the history.
    """

    problem: Problem
    name: str
    second_order: bool
    lr: float | None
    history: list[Iteration]
    ended: str
    message: str
    accuracy: float
    held_out: float
    memory: float
    tuning: int = 0

    @property
    def last(self) -> Iteration:
        """Where it ended."""
        return self.history[-1]

    @property
    def label(self) -> str:
        """The name, and the learning rate if there is one."""
        return self.name if self.lr is None else f"{self.name} {self.lr:g}"

    def reached(self, target: float) -> int | None:
        """Gradient equivalents until the loss was at most target, None if it never was."""
        return next((i.gradient_equivalents for i in self.history if i.loss <= target), None)


class _Over(Exception):
    """Ends a first-order run."""


def run(problem: Problem, name: str, budget: int = 400, *, lr: float | None = None, tol: float = 1e-8) -> Run:
    """The run of one optimizer, without tuning: any of `SOLVERS`, of `optim` or of `optim.classical`.

    lr: None is the optimizer's default. The run ends where the budget is spent, or no |g_i| is above tol.
    A method whose Hessian or basis is too large, or dearer than the budget, is a ValueError with the sizes.
    """
    solver = _solver(name)
    if budget < 1:
        raise ValueError(f"the budget must be at least 1 gradient, got {budget}")
    if solver is None:
        return _first_order(problem, _kind(name), {} if lr is None else {"lr": lr}, budget, tol)
    if lr is not None:
        raise ValueError(f"{solver.name} has no learning rate, it searches along its direction: leave out {lr:g}")
    _check_size(problem, solver, budget)
    return _solve(problem, solver, budget, tol)


def _solver(name):
    return SOLVERS.get(spelled(name))


def optimizers() -> dict[str, type[optim.Optimizer]]:
    """All of `optim` and `optim.classical`, by their names in small letters."""
    return {n.lower(): c for module in (optim, classical) for n, c in vars(module).items() if isinstance(c, type)
            and issubclass(c, optim.Optimizer) and c is not optim.Optimizer and not n.startswith("_")}


def _kind(name):
    known = optimizers()
    if spelled(name) not in known:
        near = {**known, **{n.lower(): None for n in (solver.name for solver in _ALL)}}
        raise ValueError(unknown("optimizer", name, near, "minigrad compare --help lists them"))
    kind = known[spelled(name)]
    needs = [k for k, p in inspect.signature(kind).parameters.items() if k != "params" and p.default is p.empty
             and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    if needs:
        raise ValueError(f"{kind.__name__} needs {', '.join(needs)}, which a race does not have")
    return kind


def _check_size(problem, solver, budget):
    n = problem.weights
    if solver.dense and n > DENSE:
        others = "lbfgs, newton-cg or trust-ncg"
        raise ValueError(f"{solver.name} is for at most {DENSE:,} weights, and this model has {n:,}: {solver.dense}; "
                         f"{n:,}^2 numbers are {8 * n * n / 1e9:,.1f} GB; use {others}, or a smaller model")
    if solver.hessian and 2 * n + 1 >= budget:
        raise ValueError(f"{solver.name} takes a Hessian a step, {n:,} products with vectors, so a budget of "
                         f"{2 * n + 2:,} gradients at least, and it is {budget:,}: raise it, or use newton-cg")


def _first_order(problem, kind, settings, budget, tol, until=-math.inf):
    model = problem.start()
    params = list(model.parameters())
    optimizer = kind(params, **settings)
    history, evaluations, products, moved, ended, message = [], 0, 0, True, "", ""
    start = time.perf_counter()

    def largest():
        return max(float(np.abs(p.grad.data).max()) for p in params if p.grad is not None)

    def closure():
        """The first call of a step is at the weights where the last one led, so it counts only within the budget."""
        nonlocal evaluations, moved, ended
        over = evaluations + 2 * products >= budget
        if over and not moved:
            ended = BUDGET
            raise _Over
        optimizer.zero_grad()
        loss = problem.loss(model)
        evaluations += not over
        if not optimizer.needs_graph or evaluations + 2 * products >= budget:
            loss.backward(retain_graph=optimizer.needs_graph)
        if moved:
            value, moved = float(loss.item()), False
            norm = math.nan if optimizer.needs_graph and params[0].grad is None else largest()
            history.append(Iteration(len(history), value, norm, evaluations, products, time.perf_counter() - start))
            bar.update(evaluations + 2 * products - bar.n)
            if not math.isfinite(value) or (norm != norm and not optimizer.needs_graph) or math.isinf(norm):
                ended = DIVERGED
            elif norm <= tol:
                ended = CONVERGED
            elif evaluations + 2 * products >= budget or value <= until:
                ended = BUDGET
            if ended:
                raise _Over
        return loss
    with np.errstate(all="ignore"), seeded(problem.seed), _bar(budget, kind.__name__) as bar:
        while not ended:
            try:
                optimizer.step(closure)
            except _Over:
                break
            except ArithmeticError as error:  # a line search without a bottom
                ended, message = STALLED, str(error)
                break
            moved = True
            if optimizer.needs_graph:
                history[-1] = history[-1]._replace(gradient_norm=largest())
                group = optimizer.param_groups[0]
                products += group["samples"] * optimizer.due(len(history), group)
    if evaluations > history[-1].evaluations:  # of a search that the budget cut off
        history.append(history[-1]._replace(evaluations=evaluations, seconds=time.perf_counter() - start))
    kept = [a for state in [*optimizer.state.values(), optimizer.common] for a in state.values()
            if isinstance(a, np.ndarray)]
    memory = sum(a.size for a in kept) / sum(p.size for p in params)
    lr = optimizer.defaults.get("lr") if _has_rate(kind) else None
    return Run(problem, kind.__name__, False, lr, history, ended, message, *_accuracies(problem, model), memory)


class _Budgeted(Objective):
    """An Objective that stops a minimization when so many gradient equivalents are spent."""

    def __init__(self, loss, params, budget):
        super().__init__(loss, params)
        self.budget = budget

    def _pay(self, cost):
        if self.spent + cost > self.budget:
            raise _Stop(BUDGET)

    @property
    def spent(self):
        return self.evaluations + 2 * self.products

    def _record(self, point):
        self._pay(1)
        super()._record(point)

    def hessp(self, x, p):
        self._gradient(x)  # may have to evaluate anew, and to pay for that
        self._pay(2)
        return super().hessp(x, p)

    def hess(self, x):
        self._gradient(x)
        self._pay(2 * len(x))
        return super().hess(x)


def _solve(problem, solver, budget, tol):
    model = problem.start()
    objective = _Budgeted(lambda: problem.loss(model), model.parameters(), budget)
    memory = _memory(solver) * (problem.weights if solver.dense else 1)  # imports SciPy, which is not to be timed
    history, message = [], ""

    def note(iteration):
        history.append(iteration)
        bar.update(iteration.gradient_equivalents - bar.n)
        return iteration.gradient_norm <= tol or objective.spent >= budget
    # solvers warn where they stall, which the run says
    with np.errstate(all="ignore"), warnings.catch_warnings(), _bar(budget, solver.name) as bar:
        warnings.simplefilter("ignore")
        start = time.perf_counter()
        if solver.method == "exact":
            message = _exact(objective, note, start)
        else:
            result = _minimize(objective, solver.method, callback=note, options=solver.options)
            message = "its step became nothing" if result.success else result.message
            history = result.history
        seconds, evaluations, products = time.perf_counter() - start, objective.evaluations, objective.products
        last = history[-1]
        if solver.method != "exact" and math.isfinite(last.loss):  # the best point is where the weights are
            objective.budget = math.inf
            loss, g = objective.fun(objective.x)
            last = last._replace(loss=loss, gradient_norm=float(np.abs(g).max()))
    if (last.loss, evaluations, products) != (history[-1].loss, *history[-1][3:5]):
        better = last.loss < history[-1].loss
        history.append(last._replace(iteration=last.iteration + better, evaluations=evaluations, products=products,
                                     seconds=seconds))
    finite = math.isfinite(last.loss) and math.isfinite(last.gradient_norm)
    ended = (DIVERGED if not finite else CONVERGED if last.gradient_norm <= tol else
             BUDGET if message == BUDGET or evaluations + 2 * products >= budget else STALLED)
    return Run(problem, solver.name, solver.second_order, None, history, ended, message if ended == STALLED else "",
               *_accuracies(problem, model), memory)


def _exact(objective, note, start):
    """Newton's method as taught; why it ended, if not by note."""
    newton, step, x = Newton(objective.params, solver="exact"), 0, objective.x
    objective._curved = True  # graphs are kept for the Hessian
    try:
        while True:
            f, g = objective.fun(objective.x)
            x = objective.x
            done = note(Iteration(step, f, float(np.abs(g).max()), objective.evaluations, objective.products,
                                  time.perf_counter() - start))
            if done or not (math.isfinite(f) and np.isfinite(g).all()):
                return ""
            newton._exact(objective, newton.param_groups[0])
            if np.array_equal(x, objective.x):
                return "its step is not finite, or nothing"
            step += 1
    except _Stop:
        objective.place(x)
        return BUDGET
    except np.linalg.LinAlgError:
        objective.place(x)
        return "the Hessian is singular, so the step is not defined: an L2 penalty helps"


def _accuracies(problem, model):
    """Of the samples, and of those held out; NaN for none, or for outputs that are NaN."""
    with no_grad(), np.errstate(all="ignore"):
        scores = [(y, model(Tensor(x)).data) for x, y in ((problem.x, problem.y), problem.held_out)]
    return [accuracy(y, z) if len(z) and not np.isnan(z).any() else math.nan for y, z in scores]


@cache
def _memory(solver):
    """Numbers per weight that SciPy's method allocates at the peak on a quadratic; per weight squared if dense."""
    import scipy.optimize
    if solver.method == "exact":
        return 3.0  # H, its transpose added, and the solver's copy
    n = 200 if solver.dense else 20_000
    d, buffer = np.linspace(1, 50, n), np.empty(n)
    derivatives = {"jac": lambda x: d * x}
    if solver.method.lower() in ("newton-cg", "trust-ncg", "trust-krylov"):
        derivatives["hessp"] = lambda x, p: d * p
    elif solver.hessian:
        derivatives["hess"] = lambda x: np.diag(d)
    x, tracing = np.ones(n), tracemalloc.is_tracing()
    if not tracing:
        tracemalloc.start()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for _ in range(2):  # the first time, modules may be loaded
                tracemalloc.reset_peak()
                before = tracemalloc.get_traced_memory()[0]
                scipy.optimize.minimize(lambda x: float(np.multiply(d, x, out=buffer) @ x) / 2, x, method=solver.method,
                                        options={**solver.options, "maxiter": 15}, **derivatives)
                peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        if not tracing:
            tracemalloc.stop()
    return peak / 8 / (n * n if solver.dense else n)


# ---- rates ----
def _has_rate(kind):
    finds_steps = issubclass(kind, classical.SteepestDescent) or kind.__module__.endswith(".stepfree")
    return "lr" in inspect.signature(kind).parameters and not finds_steps


def _goodness(run, target):
    """Smaller is better: what it took to reach the target, else the last loss."""
    took = run.reached(target)
    loss = run.last.loss
    return (math.inf if took is None else took, loss if loss == loss else math.inf)


def tuned(problem: Problem, name: str, budget: int, target: float = 1e-3, tol: float = 1e-8,
          rates: Sequence[float] = RATES) -> tuple[float, int]:
    """(the rate that brings the loss to target first, or else lowest within the budget; what all tries took).

    A try ends at the target, or where another one was there sooner.
    """
    kind, tries = _kind(name), []
    for rate in _progress(rates, f"tuning {kind.__name__}"):
        tries.append(_first_order(problem, kind, {"lr": rate}, budget, tol, target))
        budget = tries[-1].reached(target) or budget
    return min(tries, key=lambda run: _goodness(run, target)).lr, sum(r.last.gradient_equivalents for r in tries)


def _progress(rates, title):
    from tqdm import tqdm
    return tqdm(rates, title, leave=False, dynamic_ncols=True, disable=None, unit="rate")


def _bar(budget, title):
    from tqdm import tqdm
    return tqdm(total=budget, desc=title, leave=False, dynamic_ncols=True, disable=None, unit="grad")


# ---- the race ----
def race(problem: Problem, optimizers: Sequence[str], budget: int = 400, *, seeds: int = 1, tuning: float = 1.0,
         target: float = 1e-3, tol: float = 1e-8) -> list[Run]:
    """A `Run` of each optimizer, a name or name:rate, for each of ``seeds`` seeds from the problem's on.

    Rates that are not given are `tuned` on the first seed's problem with that share of the budget. Names, rates and
    sizes that do not fit are a ValueError before anything runs.
    """
    if not optimizers:
        raise ValueError("race: no optimizer was named")
    if seeds < 1 or not 0 < tuning <= 1:
        raise ValueError(f"race: seeds must be at least 1 and tuning in (0, 1], got {seeds} and {tuning}")
    wanted, labels = [], set()
    for text in optimizers:
        name, _, rate = (part.strip() for part in text.partition(":"))
        solver = _solver(name)
        kind = None if solver else _kind(name)
        if solver:
            if rate:
                raise ValueError(f"{text}: {solver.name} has no learning rate, it searches along its direction")
            _check_size(problem, solver, budget)
        else:
            rate = _rate(text, kind, rate) if rate else None
            kind(list(problem.start().parameters()), **({} if rate is None else {"lr": rate}))
        label = solver.name if solver else kind.__name__, rate or None
        if label in labels:
            raise ValueError(f"race: {text} is there twice")
        labels.add(label)
        wanted.append((name, kind, label[1]))
    problems = [problem, *(problem.again(problem.seed + k) for k in range(1, seeds))]
    problem.loss(problem.start()).backward()  # what only the first evaluation of all has to do is not timed
    runs = []
    for name, kind, lr in wanted:
        cost = 0
        if lr is None and kind is not None and _has_rate(kind):
            lr, cost = tuned(problem, name, max(1, round(tuning * budget)), target, tol)
        runs += [replace(run(p, name, budget, lr=lr, tol=tol), tuning=cost) for p in problems]
    return runs


def _rate(text, kind, rate):
    if "lr" not in inspect.signature(kind).parameters:
        raise ValueError(f"{text}: {kind.__name__} has no learning rate")
    try:
        return float(rate)
    except ValueError as error:
        raise ValueError(f"{text}: the rate is not a number") from error


# ---- tables ----
def _row(run, target):
    last = run.last
    return {"data": run.problem.data, "model": run.problem.model, "samples": len(run.problem.x),
            "weights": run.problem.weights, "dtype": str(run.problem.dtype), "l2": run.problem.l2,
            "seed": run.problem.seed, "optimizer": run.name, "order": 2 if run.second_order else 1,
            "lr": "" if run.lr is None else run.lr, "tuning": run.tuning, "loss": last.loss,
            "gradient": last.gradient_norm, "accuracy": run.accuracy, "held_out": run.held_out,
            "steps": last.iteration, "evaluations": last.evaluations, "products": last.products,
            "gradient_equivalents": last.gradient_equivalents, "target": target,
            "to_target": "" if run.reached(target) is None else run.reached(target), "seconds": last.seconds,
            "memory": run.memory, "ended": run.ended, "message": run.message}


def groups(runs: Sequence[Run]) -> list[list[Run]]:
    """The runs of each optimizer and rate, over the seeds, in the order they came."""
    found: dict[tuple, list[Run]] = {}
    for r in runs:
        found.setdefault((r.label, r.tuning), []).append(r)
    return list(found.values())


def median(values: Iterable[float | None]) -> float | None:
    """The median, where None is above all numbers; None if it falls on or above one, NaN if there is one."""
    values = [math.inf if v is None else v for v in values]
    middle = math.nan if any(v != v for v in values) else statistics.median(values)
    return None if middle == math.inf else middle


def table(runs: Sequence[Run], target: float = 1e-3) -> str:
    """A line for each optimizer, in 80 columns; over several seeds, medians. grads: gradient equivalents."""
    rows = [("optimizer", "lr", "loss", "max|g|", "train", "unseen", "steps", "grads", f"≤{_short(target)}", "sec",
             "mem")]
    for group in groups(runs):
        lasts = [r.last for r in group]
        took = median(r.reached(target) for r in group)
        rows.append((group[0].name, "-" if group[0].lr is None else f"{group[0].lr:g}",
                     _small(median(i.loss for i in lasts)), _small(median(i.gradient_norm for i in lasts)),
                     _percent(median(r.accuracy for r in group)), _percent(median(r.held_out for r in group)),
                     f"{median(i.iteration for i in lasts):.0f}",
                     f"{median(i.gradient_equivalents for i in lasts):.0f}", "-" if took is None else f"{took:.0f}",
                     _seconds(median(i.seconds for i in lasts)), _three(group[0].memory)))
    widths = [max(map(len, column)) for column in zip(*rows)]
    gap = "  " if sum(widths) + 2 * len(widths) - 2 <= 80 else " "
    widths[0] = max(8, min(widths[0], 80 - sum(widths[1:]) - len(gap) * (len(widths) - 1)))
    cut = lambda cell: cell if len(cell) <= widths[0] else cell[:widths[0] - 1] + "…"
    return "\n".join(gap.join([cut(row[0]).ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows)


def _short(number):
    return f"{number:g}".replace("e-0", "e-")


def _small(number):
    return "inf" if number is None else "nan" if number != number else f"{number:.2g}" if number >= 1e-3 else (
        f"{number:.1e}".replace("e-0", "e-"))


def _seconds(seconds):
    return f"{seconds:.2f}" if seconds < 10 else f"{seconds:.0f}"


def _three(number):
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def _percent(share):
    return "-" if share is None or share != share else f"{share:.1%}"


def notes(runs: Sequence[Run], tuning: float = 1.0, target: float = 1e-3) -> list[str]:
    """What has to be known of a table: its units, which rates were tuned and how, and which runs ended early."""
    seeds = len({r.problem.seed for r in runs})
    said = [("medians of " + f"{seeds} seeds, each another start and other samples; " if seeds > 1 else "")
            + f"grads: gradient equivalents, a product with the Hessian counts 2; ≤{_short(target)}: how many of them "
              "until the loss was that low; unseen: accuracy on samples held out; mem: numbers per weight beyond the "
              "weights and their gradient"]
    found = {r.name: r for r in runs if r.tuning}
    if found:
        cost = sum(r.tuning for r in found.values())
        said.append(f"lr tuned, of {len(RATES)} from {RATES[0]:g} to {RATES[-1]:g}, each with "
                    f"{'the whole' if tuning == 1 else f'{tuning:.0%} of the'} budget"
                    f"{' on the first seed' if seeds > 1 else ''}, the first at the target or else the lowest: "
                    f"{', '.join(found)}; that took {cost:,} gradients, which are not counted")
        edge = [r.label for r in found.values() if r.lr in (RATES[0], RATES[-1])]
        if edge:
            name = edge[0].split()[0].lower()
            said.append(f"at the edge of those rates: {', '.join(edge)}; give others as {name}:0.1")
    for group in groups(runs):
        for why in (CONVERGED, DIVERGED, STALLED):
            those = [r for r in group if r.ended == why]
            if those:
                when = (f"on {len(those)} of {len(group)} seeds" if len(group) > 1 else
                        f"after {those[0].last.iteration} steps")
                message = f": {those[0].message}" if those[0].message else ""
                said.append(f"{group[0].label} {why} {when}{message}")
    return said


def to_csv(runs: Sequence[Run], path: str | os.PathLike[str], target: float = 1e-3) -> Path:
    """A line for each run with all digits; NaN is "nan", what there is not is empty."""
    return _csv([_row(r, target) for r in runs], path)


def series_to_csv(runs: Sequence[Run], path: str | os.PathLike[str]) -> Path:
    """A line for each step of each run."""
    return _csv([{"optimizer": r.name, "lr": "" if r.lr is None else r.lr, "seed": r.problem.seed, **i._asdict(),
                  "gradient_equivalents": i.gradient_equivalents} for r in runs for i in r.history], path)


def _csv(rows, path):
    with replacing(path) as beside, open(beside, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return Path(path)
