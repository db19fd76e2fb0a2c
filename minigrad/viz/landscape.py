"""Loss landscapes: the loss on a line or a plane through the weights, and the optimizers' paths in it.

    path = landscape.Path(model, "adam")
    train.fit(model, data, optimizer, epochs=20, callbacks=[path])      # or path.record() in a loop of one's own
    loss = lambda: F.cross_entropy(model(x), y)
    landscape.draw(landscape.surface(loss, model), "around.png")        # two random directions, filter-normalised
    landscape.draw(landscape.surface(loss, model, "pca", paths=path), "path.png")

A plane is two of very many directions: what it shows is there, what it does not show may be as well. Nothing is
trained: weights, buffers, modes and random generators are afterwards what they were before.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path as File
from typing import NamedTuple

import numpy as np

from .. import nn
from ..graph import changed
from ..mode import no_grad
from ..nn import Module, conv, normalization, recurrent
from ..nn.embedding import PositionalEmbedding, _Table
from ..optim.second_order import Objective
from ..random import default_generator
from ..tensor import Tensor
from . import style
from .style import DARK, LIGHT, MARKERS
from .thinned import Thinned

__all__ = ["Line", "Path", "Plane", "Surface", "Trail", "draw", "interpolate", "line", "principal", "random_direction",
           "relief", "surface"]

NORMS = ("filter", "layer", None)
DECADES = 8  # of a log scale, at most
SCORED = 40  # points of a path at which the loss is computed, at most
STYLES = ("-", (0, (5, 1.5)), (0, (7, 1.5, 1.5, 1.5)), (0, (7, 1.5, 1.5, 1.5, 1.5, 1.5)))  # dotted is another thing
NOTABLE = 0.02  # of the picture's scale, by which losses differ to be drawn apart


# ---- nothing is changed ----
class _Still:
    """Inside, weights may be moved; afterwards they, buffers, modes and generators are what and where they were."""

    def __init__(self, params, model=None):
        self.params = [(p, p.data, p.grad) for p in params]
        self.modules = [(vars(m), dict(vars(m))) for m in model.modules()] if model is not None else []
        held = [v for _, now in self.modules for v in now.values()]
        arrays = [v.data if isinstance(v, Tensor) else v for v in held if not isinstance(v, nn.Parameter)]
        self.arrays = [(a, a.copy()) for a in arrays if isinstance(a, np.ndarray)]
        generators = [default_generator(), *(v for v in held if isinstance(v, np.random.Generator))]
        self.generators = [(g.bit_generator, g.bit_generator.state) for g in generators]

    def reset(self):
        """All but the weights as at first: so that every point is measured with the same dropout masks."""
        for live, before in self.modules:
            live.clear()
            live.update(before)
        for array, before in self.arrays:
            if array.flags.writeable and not np.array_equal(array, before, equal_nan=array.dtype.kind in "fc"):
                array[...] = before
                changed(array)
        for generator, before in self.generators:
            generator.state = before

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.reset()
        for p, data, grad in self.params:
            p.data, p.grad = data, grad


class _Loss:
    """The loss as a function of the vector of all weights, measured without a graph."""

    def __init__(self, loss, model):
        if not callable(loss):
            raise TypeError("the loss is wanted as a function that computes it, like lambda: F.mse_loss(model(x), y), "
                            f"got {loss!r:.60}")
        self.model = model if isinstance(model, Module) else None
        self.objective = Objective(loss, model.parameters() if self.model is not None else model)
        if any(p.size == 0 for p in self.objective.params):
            raise ValueError("a layer has no weights yet: call the model once, then look at its landscape")
        self.loss, self.centre = loss, self.objective.x
        self.still = _Still(self.objective.params, self.model)

    def __call__(self, w: np.ndarray, buffers: Sequence[np.ndarray] | None = None) -> float:
        self.still.reset()
        for p, array in zip(self.objective.params, self.objective.split(w)):
            p.data = array
        if buffers is not None and self.model is not None:
            for array, value in zip(self.model.buffers(), buffers):
                if array.flags.writeable:
                    array[...] = value
                    changed(array)
        with no_grad(), np.errstate(all="ignore"):
            value = np.asarray(Tensor.plain(self.loss()))
        if value.size != 1 or value.dtype.kind not in "biuf":
            raise TypeError(f"the loss must be one real number, got {value!r:.60}")
        return float(value.item())

    def at(self, points: Iterable[np.ndarray], total: int, title: str) -> np.ndarray:
        """The losses at many points, with a bar where there is a terminal."""
        from tqdm import tqdm
        with self.still:
            return np.array([self(w) for w in tqdm(points, title, total, leave=False, dynamic_ncols=True, disable=None,
                                                   unit="loss")])


# ---- directions ----
def random_direction(model: Module | Iterable, normalize: str | None = "filter", seed: int = 0) -> np.ndarray:
    """A Gaussian direction in the space of all weights that require grad, as one vector. Li et al. 2018.

    normalize: "filter", each filter, which is the weights that lead to one output unit, has the norm of the model's
    filter there; "layer", the same for whole weights; both leave what has one axis, biases and normalization layers as
    they are (their part is 0). None: as drawn, N(0, 1) each. In an embedding each row is a filter. Without it, a
    ReLU network whose weights are large in one layer and small in the next, the very same function, looks flatter.
    """
    objective = Objective(lambda: None, model.parameters() if isinstance(model, Module) else model)
    if normalize not in NORMS:
        raise ValueError(f'normalize is "filter", "layer" or None, not {normalize!r}')
    chance, parts = np.random.default_rng(seed), []
    owners = _owners(model)
    for p in objective.params:
        d, w = chance.standard_normal(p.shape), p.data.astype(np.float64)
        if normalize is not None:
            shape, axes = _filter(*owners.get(id(p), (None, "")), p)
            axes = axes if normalize == "filter" or axes is None else tuple(range(len(shape)))
            norms = [np.sqrt((a.reshape(shape) ** 2).sum(axis=axes, keepdims=True)) for a in (w, d)]
            d = np.zeros(p.shape) if axes is None else (d.reshape(shape) * (norms[0] / norms[1])).reshape(p.shape)
        parts.append(d)
    direction = objective.join(parts)
    if not direction.any():
        raise ValueError("nothing is left of a normalized direction: no parameter has two axes or more, or all weights "
                         "are 0; use normalize=None")
    return direction


def _owners(model):
    """{id of a parameter: (the module whose attribute it is, the attribute's name)}."""
    owners = {}
    for module in model.modules() if isinstance(model, Module) else ():
        for name, value in module._children():
            if isinstance(value, nn.Parameter):
                owners.setdefault(id(value), (module, name))
    return owners


def _filter(owner, name, p):
    """(a shape of p's, the axes in it that one output unit sums over); axes None: not a weight."""
    norms = (normalization._BatchNorm, normalization.GroupNorm, normalization.LayerNorm, normalization.RMSNorm)
    if p.ndim < 2 or "bias" in name or name == "original0" or isinstance(owner, norms):  # original0: weight_norm's g
        return p.shape, None
    rows = (recurrent._Recurrent, recurrent._Cell, nn.MultiheadAttention, _Table, PositionalEmbedding)
    shape, units = p.shape, {0}
    if isinstance(owner, nn.EinsumDense):
        _, terms = owner.equation.split(",")
        weight, output = terms.split("->")
        units = {i for i, letter in enumerate(weight) if letter in output}
    elif isinstance(owner, nn.Maxout):
        units = {1, 2}
    elif isinstance(owner, conv._LocallyConnected):
        units = {0, *range(2 + owner.n, p.ndim)}
    elif isinstance(owner, conv._ConvTranspose):  # (in, out / groups, ...)
        shape, units = (owner.groups, p.shape[0] // owner.groups, *p.shape[1:]), {0, 2}
    elif p.ndim == 2 and not isinstance(owner, rows):  # (in, out)
        units = {1}
    return shape, tuple(i for i in range(len(shape)) if i not in units)


class Plane(NamedTuple):
    """centre (n,) and two orthonormal directions (2, n); explained: their shares of the paths' squared distances."""

    centre: np.ndarray
    directions: np.ndarray
    explained: tuple[float, float]


def principal(paths: Path | Sequence[Path]) -> Plane:
    """The plane in which the paths move most: PCA of the recorded weights. Li et al. 2018.

    Of one path: of w_i - w_last, as in the paper. Of several: of w_i - w_0 if they have the same start, else of w_i -
    the mean of the ends; each path counts the same, however many points it has. A high share is no proof of a simple
    way: of a random walk in many dimensions, seen from its end, the first direction holds 81 % and the second 9 %
    (about its mean 61 % and 15 %: Antognini & Sohl-Dickstein 2018). Raises ValueError if there is no plane: fewer than
    three points that are not on a line.
    """
    paths = _paths(paths)
    several = [path.weights.astype(np.float64) for path in paths]
    if len({w.shape[1] for w in several}) > 1:
        raise ValueError(f"the paths are of different models: {', '.join(str(w.shape[1]) for w in several)} weights")
    starts, ends = [w[0] for w in several], [w[-1] for w in several]
    together = len(paths) > 1 and all(np.array_equal(start, starts[0]) for start in starts)
    centre = starts[0] if together else np.mean(ends, axis=0)
    rows = np.concatenate([(w - centre) / math.sqrt(len(w)) for w in several])
    if not np.isfinite(rows).all():
        raise ValueError("a path leads to weights that are not finite: its training diverged")
    squares, vectors = np.linalg.eigh(rows @ rows.T)  # T x T: for few points of many weights
    total = squares.sum()
    if len(squares) < 2 or not squares[-2] > 1e-12 * total or rows.shape[1] < 2:
        raise ValueError(f"the recorded points are {'one' if not total > 0 else 'on a line'}, and a plane needs three: "
                         "record more often, or use line or interpolate")
    directions = np.linalg.qr(rows.T @ vectors[:, -2:][:, ::-1])[0].T
    sides = np.sum([(w - centre).mean(axis=0) @ directions.T for w in several], axis=0)
    return Plane(centre, directions * np.where(sides < 0, -1, 1)[:, None],
                 (float(squares[-1] / total), float(squares[-2] / total)))


# ---- paths ----
class Path:
    """The weights of a training, as a callback of `train.fit` (start, and every epoch), or by `record` or `watch`.

    model: or its parameters. name: in pictures. every: keep each so many-th point. most: of points to keep; when there
    are more, every second one is left out, so that memory is at most ``most`` times the model's. The last is kept.
    weights: (points, n), n numbers that require grad. steps: how many calls of record came before each.
    """

    def __init__(self, model: Module | Iterable, name: str = "", every: int = 1, most: int = 100):
        if every < 1 or most < 3:
            raise ValueError(f"Path: every must be at least 1 and most at least 3, got {every} and {most}")
        self.model, params = (model, model.parameters()) if isinstance(model, Module) else (None, model)
        self.objective = Objective(lambda: None, params)
        self.name, self.every, self.most, self.unit = name, every, most, "step"
        self.clear()

    def clear(self) -> None:
        """Forget all points."""
        self._record = Thinned(self.every, self.most)

    def record(self) -> None:
        """Keep the weights, and buffers like running means, as they are now."""
        params = self.objective.params
        weights = np.concatenate([p.data.reshape(-1) for p in params])
        _, (before, kept) = self._record.last or (0, (weights, None))
        if weights.shape != before.shape:
            raise ValueError("the parameters have another size than before: call a lazy model once, then record")
        buffers = [np.array(b) for b in self.model.buffers()] if self.model is not None else []
        if kept is not None and all(map(np.array_equal, buffers, kept)):
            buffers = kept
        self._record.add((weights, buffers))

    @contextlib.contextmanager
    def watch(self, optimizer):
        """Inside, every ``optimizer.step`` is recorded, those of `train.fit` too; where it starts comes first."""
        step = optimizer.step
        mine = vars(optimizer).get("step")

        def recorded(*args, **kwargs):
            value = step(*args, **kwargs)
            self.record()
            return value
        self.record()
        optimizer.step = recorded
        try:
            yield self
        finally:
            del optimizer.step
            if mine is not None:
                optimizer.step = mine

    @property
    def points(self) -> list[tuple[int, np.ndarray, list]]:
        """(step, weights, buffers) of all that is kept."""
        return [(step, *what) for step, what in self._record.all]

    weights = property(lambda self: np.stack([w for _, w, _ in _some(self)]), doc="(points, n).")
    steps = property(lambda self: np.array([step for step, _, _ in _some(self)]), doc="(points,).")

    def __len__(self): return len(self.points)

    # a callback
    def on_epoch_begin(self, model, history) -> None:
        """Called by fit: a training that begins forgets the one before."""
        if not len(history):
            self.clear()
            self.unit = "epoch"
            self.record()

    def __call__(self, model, history) -> None:
        self.record()

    def state_dict(self) -> dict:
        """What is kept, for a training that is resumed."""
        return {"steps": [step for step, _, _ in self.points], "weights": [w for _, w, _ in self.points],
                "buffers": [b for _, _, b in self.points], "count": self._record.count,
                "stride": self._record.stride, "unit": self.unit}

    def load_state_dict(self, state: dict) -> None:
        """Take over what `state_dict` gave."""
        points = [(int(s), (np.asarray(w), list(b))) for s, w, b in zip(*(state[k] for k in
                                                                          ("steps", "weights", "buffers")))]
        self.unit, record = str(state["unit"]), Thinned(int(state["stride"]), self.most)
        record.count, record.last = int(state["count"]), points[-1] if points else None
        record.kept = [point for point in points if point[0] % record.stride == 0]
        self._record = record


def _some(path):
    if not path.points:
        raise ValueError(f"the path {path.name!r} is empty: give it to fit as a callback, or call record()")
    return path.points


def _paths(paths):
    paths = [paths] if isinstance(paths, Path) else list(paths)
    if not paths:
        raise ValueError("no path was given: landscape.Path(model) records one")
    for path in paths:
        if not isinstance(path, Path):
            raise TypeError(f"a path is a landscape.Path, got {path!r:.60}")
        _some(path)
    return paths


# ---- measured ----
@dataclass(frozen=True)
class Trail:
    """A path seen in a plane. points (T, 2): where its weights are projected to. distance (T,): from there to them.

    shown: the share of the way from its start to its end, in squares, that lies in the plane. true, plane (T,): the
    loss where the weights were, and where they are projected to; NaN where it was not computed.
    """

    name: str
    unit: str
    steps: np.ndarray
    points: np.ndarray
    distance: np.ndarray
    shown: float
    true: np.ndarray
    plane: np.ndarray


@dataclass(frozen=True, eq=False)
class Surface:
    """losses[j, i] = loss(centre + x[i] directions[0] + y[j] directions[1]). kind: "random" or "pca" or "given"."""

    x: np.ndarray
    y: np.ndarray
    losses: np.ndarray
    centre: np.ndarray
    directions: np.ndarray
    kind: str
    normalize: str | None = None
    explained: tuple[float, float] | None = None
    trails: list[Trail] = field(default_factory=list)

    def project(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of weights (T, n): the nearest points in the plane, (T, 2), and how far away they are, (T,)."""
        off = np.atleast_2d(weights) - self.centre
        gram = self.directions @ self.directions.T
        at = np.linalg.solve(gram, self.directions @ off.T).T
        return at, np.sqrt(((off - at @ self.directions) ** 2).sum(axis=1))


@dataclass(frozen=True, eq=False)
class Line:
    """losses[i] = loss(centre + x[i] direction). ends: what the points at 0 and 1 are called, if they are ends."""

    x: np.ndarray
    losses: np.ndarray
    centre: np.ndarray
    direction: np.ndarray
    name: str = ""
    normalize: str | None = None
    ends: tuple[str, str] | None = None


def line(loss: Callable[[], Tensor], model: Module | Iterable, direction="random", points: int = 51,
         radius: float = 1.0, *, normalize: str | None = "filter", seed: int = 0, name: str = "") -> Line:
    """The loss from the weights along a direction, from -radius to radius times it.

    direction: "random" (`random_direction`, with normalize and seed), or a vector, or arrays like the parameters.
    ``loss``, model and what is raised: as for `surface`.
    """
    f = _Loss(loss, model)
    random = isinstance(direction, str) and direction == "random"
    d = random_direction(_again(model, f), normalize, seed) if random else _vector(f, direction, "the direction")
    x = np.linspace(*_range(radius), _count(points))
    return Line(x, f.at((f.centre + a * d for a in x), len(x), "line"), f.centre, d, name,
                normalize if random else None)


def interpolate(loss: Callable[[], Tensor], model: Module | Iterable, end, start=None, points: int = 41,
                beyond: float = 0.25, *, name: str = "", ends: tuple[str, str] = ("start", "end")) -> Line:
    """The loss on the straight line between two models, and beyond by that part of it. Goodfellow et al. 2015.

    start, end: a Module, its state_dict, a vector or arrays like the parameters; start None: the weights as they are.
    Buffers that both bring, like running means, are interpolated too, and between the ends only.
    """
    f = _Loss(loss, model)
    if not beyond >= 0:
        raise ValueError(f"interpolate: beyond must not be negative, got {beyond}")
    first = f.centre if start is None else _vector(f, start, "the start")
    d = _vector(f, end, "the end") - first
    before, after = _buffers(f, model if start is None else start), _buffers(f, end)
    x = np.linspace(-beyond, 1 + beyond, _count(points))

    def measured(a):
        share = min(max(a, 0.0), 1.0)
        between = None if before is None or after is None else [
            (1 - share) * b + share * c if b.dtype.kind == "f" else b for b, c in zip(before, after)]
        return f(first + a * d, between)
    with f.still:
        losses = np.array([measured(a) for a in x])
    return Line(x, losses, first, d, name, None, ends)


def surface(loss: Callable[[], Tensor], model: Module | Iterable, directions=None, points: int | tuple[int, int] = 25,
            radius=None, *, paths: Path | Sequence[Path] = (), normalize: str | None = "filter",
            seed: int = 0) -> Surface:
    """The loss on a plane through the weights: points^2 evaluations, and where the paths are in it.

    loss: gives a Tensor with one number, or a number, as ``train.evaluate(model, data).loss``; it is called without
    recording and finds the same modes, buffers and random numbers at every point. model: or its parameters; then it has
    no buffers that could be kept. Batch norm in evaluation mode has the running statistics of the model as it is, at
    every point; in training mode those of the batch.
    directions: "random", two of `random_direction` (None: if there are no paths); "pca", `principal` of ``paths``
    (None: if there are some); or two vectors, or two lists of arrays like the parameters. points: or (along x, along
    y). radius: how far, in directions' lengths; a number, (x, y), or ((left, right), (low, high)); by default 1, for
    "pca" what holds the paths.

    Raises ValueError for no parameters, an empty path, directions that do not fit or are parallel; TypeError for a loss
    that is not a number. A loss that is not finite is kept as it is.
    """
    f, paths = _Loss(loss, model), [] if not isinstance(paths, Path) and not paths else _paths(paths)
    kind = directions if isinstance(directions, str) else "given" if directions is not None else (
        "pca" if paths else "random")
    counts = (points, points) if np.ndim(points) == 0 else tuple(points)
    if len(counts) != 2:
        raise ValueError(f"points is a number or two, got {points}")
    for path in paths:
        if len(path.objective.x) != len(f.centre):
            raise ValueError(f"the path {path.name!r} is of {len(path.objective.x)} weights, the model has "
                             f"{len(f.centre)}")
    centre, explained = f.centre, None
    if kind == "pca":
        centre, ds, explained = principal(paths)
    elif kind == "random":
        given = _again(model, f)
        ds = np.stack([random_direction(given, normalize, s) for s in np.random.SeedSequence(seed).spawn(2)])
    elif kind == "given":
        if len(directions) != 2:
            raise ValueError(f"a plane has two directions, got {len(directions)}")
        ds = np.stack([_vector(f, d, "a direction") for d in directions])
    else:
        raise ValueError(f'directions is "random", "pca" or two vectors, not {kind!r}')
    gram = ds @ ds.T
    if not np.linalg.det(gram) > 1e-12 * gram[0, 0] * gram[1, 1]:
        raise ValueError("the two directions are parallel, or one is 0: they span no plane")
    found = Surface(np.empty(0), np.empty(0), np.empty((0, 0)), centre, ds, kind,
                    normalize if kind == "random" else None, explained)
    seen = [found.project(path.weights) for path in paths]
    around = _around(seen) if radius is None and kind == "pca" else _ranges(1.0 if radius is None else radius)
    x, y = (np.linspace(low, high, _count(n)) for (low, high), n in zip(around, counts))
    grid = (centre + a * ds[0] + b * ds[1] for b in y for a in x)
    losses = f.at(grid, len(x) * len(y), "surface").reshape(len(y), len(x))
    trails = [_trail(f, found, path, *at) for path, at in zip(paths, seen)]
    return Surface(x, y, losses, centre, ds, kind, found.normalize, explained, trails)


def _again(model, f):
    """The model, or its parameters, which may have been an iterator."""
    return model if isinstance(model, Module) else f.objective.params


def _trail(f, plane, path, at, distance):
    points, way = path.points, path.weights[[0, -1]].astype(np.float64)
    length = ((way[1] - way[0]) ** 2).sum()
    inside = (at[-1] - at[0]) @ plane.directions
    true, flat = np.full(len(at), np.nan), np.full(len(at), np.nan)
    with f.still:
        for i in sorted({round(k) for k in np.linspace(0, len(at) - 1, min(SCORED, len(at)))}):
            _, weights, buffers = points[i]
            true[i] = f(weights.astype(np.float64), buffers or None)
            flat[i] = f(plane.centre + at[i] @ plane.directions)
    return Trail(path.name, path.unit, path.steps, at, distance, float((inside ** 2).sum() / length) if length else 1.0,
                 true, flat)


def _vector(f, given, what):
    """A Module, a state, arrays like the parameters, or a vector, as a vector."""
    params = f.objective.params
    if isinstance(given, Module):
        given = [p.data for p in given.parameters() if p.requires_grad]
    elif isinstance(given, dict):
        if f.model is None:
            raise TypeError(f"{what} is a state, whose names only a Module knows: give the model, not its parameters")
        names = {id(p): name for name, p in f.model.named_parameters()}
        missing = [names[id(p)] for p in params if names[id(p)] not in given]
        if missing:
            raise ValueError(f"{what} lacks {', '.join(missing)}")
        given = [given[names[id(p)]] for p in params]
    if isinstance(given, Tensor) or (isinstance(given, np.ndarray) and given.dtype != object):
        vector = np.asarray(Tensor.plain(given), np.float64)
        if vector.shape != f.centre.shape:
            raise ValueError(f"{what} must be a vector of {len(f.centre)} numbers, got shape {vector.shape}")
        return vector
    arrays = [np.asarray(Tensor.plain(a)) for a in given]
    if [a.shape for a in arrays] != [p.shape for p in params]:
        raise ValueError(f"{what} must have the shapes of the parameters, {[p.shape for p in params]}, got "
                         f"{[a.shape for a in arrays]}")
    return f.objective.join(arrays)


def _buffers(f, given):
    if f.model is None or not isinstance(given, (Module, dict)):
        return None
    state = given.state_dict() if isinstance(given, Module) else given
    names = [name for name, _ in f.model.named_buffers()]
    return [np.array(state[name]) for name in names] if names and all(name in state for name in names) else None


def _count(points):
    if not isinstance(points, (int, np.integer)) or points < 2:
        raise ValueError(f"points must be a whole number of at least 2, got {points!r}")
    return int(points)


def _range(radius):
    low, high = (-radius, radius) if np.ndim(radius) == 0 else radius
    if not -math.inf < low < high < math.inf:
        raise ValueError(f"radius must be positive, or a range that rises, got {radius!r}")
    return float(low), float(high)


def _ranges(radius):
    if np.ndim(radius) == 0:
        return [_range(radius)] * 2
    if len(radius) != 2:
        raise ValueError(f"radius is a number, two, or two ranges, got {radius!r}")
    return [_range(r) for r in radius]


def _around(seen):
    """Ranges that hold all points, with room; no axis shorter than 0.6 of the other."""
    at = np.concatenate([points for points, _ in seen])
    low, high = at.min(axis=0), at.max(axis=0)
    half = np.maximum((high - low) / 2, (high - low).max() * 0.3) * 1.3
    return [(float(m - h), float(m + h)) for m, h in zip((low + high) / 2, half)]


# ---- drawn ----
def draw(found: Surface | Line | Sequence[Line], path: str | os.PathLike[str], dark: bool = False,
         title: str = "") -> File:
    """A surface as contours with the paths over them, or lines as curves. Returns the path; its suffix is the format.

    A surface's levels are equal factors apart where the loss spans more than one and a half decades. Ring: the common
    start, or a path's; large marker with a name: the end. Below, what the plane does not show: each path's share that
    lies in it, and beside it the loss along the paths, dotted where the plane's differs. What is not finite is
    hatched, what is beyond the scale is cut off, and the picture says so. Raises MissingExtra without matplotlib.
    """
    theme = DARK if dark else LIGHT
    if isinstance(found, Surface):
        return style.write(_contours(found, theme, title), path)
    lines = [found] if isinstance(found, Line) else list(found)
    if not lines or not all(isinstance(each, Line) for each in lines):
        raise TypeError(f"draw: a Surface, a Line or several Lines are wanted, got {found!r:.60}")
    return style.write(_curves(lines, theme, title), path)


def relief(found: Surface, path: str | os.PathLike[str], dark: bool = False, title: str = "",
           elevation: float = 35, azimuth: float = -60) -> File:
    """The surface in three dimensions, log10 of the loss where it spans over one and a half decades."""
    from matplotlib import colormaps
    theme, scale = DARK if dark else LIGHT, _Scale(found)
    figure = style.figure(7.2, 5.6, theme)
    axes = figure.add_subplot(projection="3d", computed_zorder=False)
    height = scale.height(found.losses)
    axes.plot_surface(*np.meshgrid(found.x, found.y), height, cmap=colormaps["cividis"], rcount=80, ccount=80,
                      linewidth=0.25, edgecolor=(*([1, 1, 1] if dark else [0, 0, 0]), 0.25), antialiased=True, zorder=1)
    for i, trail in enumerate(found.trails):
        look, z = _look(i, theme), np.interp(trail.steps, trail.steps[np.isfinite(trail.plane)],
                                             scale.height(trail.plane[np.isfinite(trail.plane)]))
        lift = 0.02 * np.nanmax(np.ptp(height[np.isfinite(height)]))
        axes.plot(*trail.points.T, z + lift, label=_named(trail, i), zorder=3,
                  markevery=max(1, len(z) // 15), **{**look, "linewidth": 2})
    axes.view_init(elevation, azimuth)
    axes.set_facecolor(theme.paper)
    for axis, label in zip((axes.xaxis, axes.yaxis, axes.zaxis), (*_directions(found), scale.name)):
        axis.set_pane_color((0, 0, 0, 0))
        axis.line.set_color(theme.faint)
        axis._axinfo["grid"].update(color=theme.high, linewidth=0.5)
        axis.set_tick_params(colors=theme.ink, labelsize=7)
        axis.set_label_text(label, color=theme.ink, fontsize=8)
        axis.labelpad = 4
    axes.set_box_aspect(None, zoom=0.98 if found.trails else 0.9)
    figure.suptitle(_headline(title, found), fontsize=11, color=theme.ink)
    notes = scale.notes("left out")
    if notes:
        figure.text(0.01, 0.01, notes, fontsize=8, color=theme.ink)
    if found.trails:
        style.legend(figure, axes, theme)
    return style.write(figure, path)


class _Scale:
    """Which heights a surface's picture shows, and by what scale."""

    def __init__(self, found):
        z = found.losses
        finite = z[np.isfinite(z)]
        self.lost = z.size - finite.size
        if not finite.size:
            raise ValueError("the loss is nowhere finite on this surface: take a smaller radius")
        marked = [t[np.isfinite(t)] for trail in found.trails for t in (trail.plane, trail.true)]
        low, high = float(finite.min()), float(finite.max())
        typical = max([float(np.median(finite)), *(float(t.max()) for t in marked if t.size)])
        self.log = low >= 0 and high > 30 * max(low, 1e-300)
        if self.log:
            self.high = min(high, max(1e3 * typical, 1e-300)) if typical > 0 else high
            self.low = max(low, self.high * 10.0 ** -DECADES)
        else:
            self.low, self.high = low, min(high, typical + 20 * (typical - low)) if typical > low else high
        if not self.high > self.low:
            self.low, self.high = self.low - 0.5 * abs(self.low) - 1e-12, self.low + 0.5 * abs(self.low) + 1e-12
        self.above, self.below = int((finite > self.high).sum()), int((finite < self.low).sum())
        self.name = "log10 of the loss" if self.log else "loss"

    def levels(self, n):
        """Edges of n bands, in heights: equal factors, or squares, so that a bowl's rings are at equal distances."""
        if self.log:
            return np.linspace(math.log10(self.low), math.log10(self.high), n + 1)
        return self.low + (self.high - self.low) * np.linspace(0, 1, n + 1) ** 2

    def height(self, losses):
        cut = np.clip(np.where(np.isfinite(losses), losses, np.nan), self.low, self.high)
        return np.log10(cut) if self.log else cut

    def notes(self, lost="hatched"):
        said = []
        if self.lost:
            said.append(f"{lost}: {self.lost} points where the loss is not finite")
        if self.above:
            said.append(f"cut off: {self.above} points above {_number(self.high)}")
        if self.below:
            said.append(f"cut off: {self.below} points below {_number(self.low)}")
        return "; ".join(said)


def _contours(found, theme, title):
    trails, scale = found.trails, _Scale(found)
    names = [_named(trail, i) for i, trail in enumerate(trails)]
    labels = _shown(trails, names)
    along = [t for t in trails if len(t.points) > 1]
    ratio = np.ptp(found.y) / np.ptp(found.x) if found.kind == "pca" else 1
    width, height = (5.6, 5.6 * ratio) if ratio < 1 else (5.6 / ratio, 5.6)
    figure = style.figure(width + 5.2 if along else width + 1, max(height + 0.9, 4), theme, labels)
    if along:
        axes, side = figure.subplots(1, 2, width_ratios=(width, 3.6))
        _along(side, along, scale, theme)
    else:
        axes = figure.add_subplot()
    _ground(figure, axes, found, scale, theme, bool(trails))
    _trails(axes, trails, names, labels, theme)
    across, up = _directions(found)
    axes.set_xlabel(across, color=theme.ink, fontsize=9)
    axes.set_ylabel(up, color=theme.ink, fontsize=9)
    axes.set_title(scale.notes().replace("; ", "\n"), fontsize=8.5, color=theme.ink, loc="left")
    figure.suptitle(_headline(title, found), fontsize=11, color=theme.ink)
    if trails:
        style.legend(figure, axes, theme)
    return figure


def _shown(trails, names):
    """For the legend: how much of each path is in the plane."""
    return [f"{name}: {share(trail.shown)} of its way in this plane" for trail, name in zip(trails, names)]


def _ground(figure, axes, found, scale, theme, busy):
    """The contours: grey under paths, whose colours shall stand out."""
    from matplotlib import colormaps
    from matplotlib.colors import LinearSegmentedColormap
    levels, z = scale.levels(16), np.ma.masked_invalid(scale.height(found.losses))
    shades = LinearSegmentedColormap.from_list("paper", [theme.low, theme.high]) if busy else colormaps["cividis"]
    axes.contourf(found.x, found.y, z, levels, colors=shades(np.linspace(0, 1, len(levels) + 1)), extend="both")
    drawn = axes.contour(found.x, found.y, z, levels[1:-1], colors=theme.faint if busy else "#FFFFFF",
                         linewidths=0.5, linestyles="solid", alpha=1 if busy else 0.55)
    named = levels[2:-2:3]
    texts = axes.clabel(drawn, named, inline=True, fontsize=7.5,
                        fmt=lambda v: _number(10 ** v if scale.log else v, 2),
                        colors=theme.ink if busy else ["#FFFFFF" if v < levels[10] else "#222222" for v in named])
    for text in texts:
        text.set_alpha(1)
    if not busy:
        for colour, width in (("#FFFFFF", 3.2), ("#222222", 1.4)):  # where the weights are
            axes.plot([0], [0], "o", markersize=10, markerfacecolor="none", markeredgecolor=colour,
                      markeredgewidth=width)
    axes.set(xlim=(found.x[0], found.x[-1]), ylim=(found.y[0], found.y[-1]))
    if found.kind == "pca":
        axes.set_aspect("equal")
    style.bare(axes, theme)
    axes.patch.set(hatch="////", edgecolor=theme.faint, facecolor=theme.paper)


def _trails(axes, trails, names, labels, theme):
    from matplotlib.patheffects import withStroke
    ends = []
    for i, (trail, name, label) in enumerate(zip(trails, names, labels)):
        look = _look(i, theme)
        every = max(1, math.ceil(len(trail.points) / 25))
        axes.plot(*trail.points.T, label=label, markevery=every, zorder=4, **look)
        axes.plot(*trail.points[0], "o", markersize=11, markerfacecolor="none", markeredgecolor=theme.ink,
                  markeredgewidth=1.4, zorder=5)
        axes.plot(*trail.points[-1], linestyle="", marker=look["marker"], markersize=9, color=look["color"],
                  markeredgecolor=theme.paper, markeredgewidth=1.2, zorder=6)
        ends.append((trail.points[-1], name, look["color"]))
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    for at, name, _ in ends:
        if left <= at[0] <= right and low <= at[1] <= high:
            side = at[0] < left + 0.75 * (right - left)
            short = name if len(name) <= 24 else f"{name[:23]}…"
            axes.annotate(short, at, (9 if side else -9, 0), textcoords="offset points", fontsize=9, color=theme.ink,
                          ha="left" if side else "right", va="center", zorder=7,
                          path_effects=[withStroke(linewidth=2.5, foreground=theme.paper)])
    starts = np.array([trail.points[0] for trail in trails])
    if len(trails) and np.ptp(starts, axis=0).max() <= 1e-9 * (right - left):
        ahead = np.mean([trail.points[min(len(trail.points) - 1, 5)] for trail in trails], axis=0)
        up = ahead[1] <= starts[0][1]  # where the paths do not go
        axes.annotate("start", starts[0], (0, 10 if up else -10), textcoords="offset points", fontsize=9,
                      color=theme.ink, ha="center", va="bottom" if up else "top", zorder=7,
                      path_effects=[withStroke(linewidth=2.5, foreground=theme.paper)])


def _along(axes, trails, scale, theme):
    """The loss along the paths: true, and dotted in the plane where that differs."""
    units, differ = {trail.unit for trail in trails}, False
    finite = np.concatenate([trail.true[np.isfinite(trail.true)] for trail in trails])
    log = len(finite) > 0 and finite.min() > 0 and finite.max() > 30 * finite.min()
    for i, trail in enumerate(trails):
        look = _look(i, theme)
        known = np.isfinite(trail.true)
        axes.plot(trail.steps[known], trail.true[known], markevery=max(1, known.sum() // 8), **look)
        shown = np.isfinite(trail.plane) & known
        if _apart(trail, log):
            differ = True
            axes.plot(trail.steps[shown], trail.plane[shown], **{**look, "linestyle": ":", "linewidth": 1.1,
                                                                 "marker": ""})
    if log:
        axes.set_yscale("log")
    longest = max(float(trail.steps[-1]) for trail in trails)
    if min(float(trail.steps[-1]) for trail in trails) < longest / 8:
        axes.set_xscale("symlog", linthresh=1, linscale=0.4)
        axes.set_xlim(left=0)
    style.axes(axes, theme, " / ".join(sorted(units)))
    axes.set_title("loss along the paths\n" + ("dotted: at the nearest point of the plane" if differ else
                                               "in the plane the same"), fontsize=8.5, color=theme.ink, loc="left")


def _apart(trail, log):
    """Whether the plane's loss differs from the path's by a part of the scale that one sees."""
    both = np.isfinite(trail.true) & np.isfinite(trail.plane)
    true, plane = trail.true[both], trail.plane[both]
    if not len(true):
        return False
    if log and (plane > 0).all():
        true, plane = np.log(true), np.log(plane)
    scale = np.ptp(true) or abs(float(true[0])) or 1.0
    return bool(np.abs(true - plane).max() > NOTABLE * scale)


def _curves(lines, theme, title):
    names = [each.name or (f"line {i + 1}" if len(lines) > 1 else "") for i, each in enumerate(lines)]
    figure = style.figure(7, 4.4, theme, names if len(lines) > 1 else ())
    axes = figure.add_subplot()
    kept = np.concatenate([each.losses[np.isfinite(each.losses)] for each in lines])
    if not len(kept):
        raise ValueError("the loss is nowhere finite on this line: take a smaller radius")
    lost = sum(each.losses.size for each in lines) - len(kept)
    high = float(kept.max())
    log = bool(kept.min() > 0 and high > 30 * kept.min())
    top = min(high, 1e3 * float(np.median(kept))) if kept.min() > 0 else high
    for i, (each, name) in enumerate(zip(lines, names)):
        axes.plot(each.x, np.where(np.isfinite(each.losses), each.losses, np.nan), label=name,
                  markevery=max(1, len(each.x) // 12), **_look(i, theme))
    if log:
        axes.set_yscale("log")
    if top < high:
        axes.set_ylim(top=top)
    ends, kinds = lines[0].ends, {each.normalize for each in lines}
    random = f", along {kinds.pop()}-normalised random directions" if len(kinds) == 1 and lines[0].normalize else ""
    style.axes(axes, theme, f"0: {ends[0]},  1: {ends[1]}" if ends else
          "distance from the weights, in lengths of the direction" + random)
    for x in (0, 1) if ends else (0,):
        axes.axvline(x, color=theme.faint, linewidth=0.9, linestyle=(0, (4, 3)), zorder=0)
    notes = [f"{lost} points where the loss is not finite are left out"] * bool(lost)
    notes += [f"cut off above {_number(top)}"] * (top < high)
    axes.set_title("; ".join(["loss" + " (log scale)" * log, *notes]), fontsize=9, color=theme.ink, loc="left")
    figure.suptitle(title or "Loss " + ("between two models" if ends else "along a line through the weights"),
                    fontsize=11, color=theme.ink)
    if len(lines) > 1:
        style.legend(figure, axes, theme)
    return figure


def _directions(found):
    if found.explained is not None:
        return [f"PCA direction {i + 1} ({share(part)} of the variation)"
                for i, part in enumerate(found.explained)]
    what = f"random direction {{}}, {found.normalize}-normalised" if found.normalize else (
        "random direction {}" if found.kind == "random" else "direction {}")
    return [what.format(1), what.format(2)]


def _headline(title, found):
    return (f"{title}: loss" if title else "Loss") + f" on a plane of the {len(found.centre):,} weights"


def share(part: float) -> str:
    """A part of 1 in percent, 100 % only for all of it."""
    text = f"{100 * part:.3g}" if part >= 0.1 else f"{100 * part:.2g}"
    return f"{'>99.9' if part < 1 and float(text) >= 100 else text} %"


def _named(trail, i):
    return trail.name or f"path {i + 1}"


def _look(i, theme):
    n = len(theme.colours)
    return {"color": theme.colours[i % n], "linestyle": STYLES[i % len(STYLES)], "linewidth": 1.7,
            "marker": MARKERS[(i + i // n) % len(MARKERS)], "markersize": 4}


def _number(value, digits=3):
    mantissa, _, power = f"{float(f'{value:.{digits}g}'):g}".partition("e")
    return (mantissa + (f"e{int(power)}" if power else "")).replace("-", "−")
