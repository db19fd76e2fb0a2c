"""What goes on inside during training: activations, gradients, updates and dead units, per layer and step.

    seen = signals.Recorder(model, every=10)
    train.fit(model, data, optimizer, callbacks=[seen])  # or, by hand: with seen.step(): ... optimizer.step()
    print(seen.table())
    signals.histograms(seen, "activations.png")
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np

from .. import functional as F
from .. import nn
from ..mode import mode
from ..nn import activations
from ..nn.conv import _Kernels, _LocallyConnected, _SeparableConv
from ..nn.module import Module
from ..nn.normalization import _BatchNorm
from ..nn.reparametrize import Parametrization
from ..tensor import Tensor
from ..train import History
from ..tree import leaves
from . import style
from .style import DARK, LIGHT, LINES, short

__all__ = ["LIMITS", "Recorder", "Row", "Series", "dead_units", "gradient_norms", "histograms", "ratios"]

BINS = 64
SAMPLE = 16384  # values that a histogram is made of, at most
TAIL = 0.002  # the share of values at either end that a histogram leaves out
RULE = 1e-3  # Karpathy, CS231n 2015 and "Neural Networks: Zero to Hero" 2022: an update is about 1e-3 of the weights
SATURATED = 0.015  # of the range, from its ends: |tanh| > 0.97, where the derivative is below 0.06

# From where on `Recorder.table` says a word. dead and saturated: of the units, the share. vanishing: the gradient of a
# layer's weights (of two axes or more), root mean square, over the largest layer's. exploding: the norm of a layer's
# gradient. slow and fast: update over weights.
LIMITS = {"dead": 0.1, "saturated": 0.1, "vanishing": 1e-3, "exploding": 100.0, "slow": 1e-5, "fast": 0.1}
MEANINGS = {"dead": "over {:.0%} of the units were 0 for every sample of the last {w} records",
            "saturated": "over {:.0%} of the units were at their bounds for 95% of the values of the last {w} records",
            "vanishing": "the weights' gradient is below {:g} of the largest layer's, root mean square",
            "exploding": "a gradient's norm over {:g}",
            "slow": "updates below {:g} of the weights", "fast": "updates over {:g} of the weights",
            "not finite": "NaN or infinity among the activations or gradients",
            "no gradient": "a gradient of exactly 0"}

BOUNDS = [(F.tanh, (-1.0, 1.0)), (np.tanh, (-1.0, 1.0)), (F.softsign, (-1.0, 1.0)), (F.sigmoid, (0.0, 1.0)),
          (F.hardsigmoid, (0.0, 1.0))]
RECTIFIERS = (F.relu, F.relu6, F.hardshrink, F.softshrink, F.hardswish)
WATCHED = (F.relu, F.sigmoid, np.tanh, np.maximum)  # where forward calls them as functions; maximum: of 0


# ---- what is recorded ----
@dataclass
class Series:
    """What was seen of one layer or parameter: ``series["mean"]`` has an entry for each of its ``steps``, from 1.

    Of layers: mean, std, zeros (the share that is exactly 0), counts and range of the histogram; where kind is
    "rectified" or "bounded" also stuck, (steps, units): each unit's share of values that were 0, or at the bounds.
    Of parameters: gradient_norm, weight_norm before the step, update (the norm of the change over weight_norm), and
    gradient_counts, gradient_range, weight_counts, weight_range (after the step). What there was not is NaN.
    """

    type: str
    kind: str
    shape: tuple[int, ...]
    steps: list[int] = field(default_factory=list)
    columns: dict[str, list] = field(default_factory=dict)

    def __getitem__(self, column: str) -> np.ndarray:
        if column not in self.columns:
            raise KeyError(f"no column {column!r}, there are {', '.join(self.columns) or 'none'}")
        return np.array(self.columns[column])

    def add(self, step: int, numbers: dict) -> None:
        """One more entry of every column."""
        self.steps.append(step)
        for column, value in numbers.items():
            self.columns.setdefault(column, []).append(value)


class Row(NamedTuple):
    """A line of `Recorder.table`: medians of the last records; None where there is no such thing.

    stuck: the share of units that are dead or saturated. notes: words of `LIMITS` and the like.
    """

    layer: str
    type: str
    mean: float | None
    std: float | None
    zeros: float | None
    stuck: float | None
    gradient: float | None
    update: float | None
    notes: tuple[str, ...]


class Recorder:
    """Notes the activations of the layers and the gradients and updates of the parameters, every ``every``-th step.

    The first step, and then every one whose number ``every`` divides, is recorded: as a callback of `train.fit`, or by
    hand inside ``with recorder.step():``, around forward, backward and the optimizer's step. ``layers`` and
    ``parameters`` are `Series` by name, layers in the order of their calls.

    where: which modules, a pattern of names as "features.*" or a function of name and module; by default all layers
    with parameters of their own, activations and nn.Lambda. Where a module's forward calls relu, tanh or sigmoid as a
    function, that is a layer too, called after the module, as "layer1.0.relu" and "layer1.0.relu_2"; not with a where
    that is a function. Of a layer's calls in a step the first counts, and of several outputs the first. A gradient is
    what ``.grad`` holds when the step ends: before clipping by a hook, and nothing under optimizers that leave no
    ``.grad``. window: how many records a unit must be stuck in to be called so.

    Training is the same to the bit. A step that is not recorded costs nothing; one that is, a copy of the weights and a
    few passes over what is measured: it takes nearly twice as long for `models.cnn`, three times for the small
    `models.mlp`, of which every=10 makes under 10% and 20%. Histograms are of at most 16,384 values, evenly taken,
    without the outermost 0.2% at either end. A resumed `fit` goes on with its records. Raises TypeError for what is no
    Module, ValueError for sizes below 1 and if no module is selected.
    """

    def __init__(self, model: Module, every: int = 10, where: str | Callable[[str, Module], bool] | None = None,
                 window: int = 5, bins: int = BINS):
        if not isinstance(model, Module):
            raise TypeError(f"Recorder watches a Module, got {type(model).__name__}")
        if min(every, window, bins) < 1:
            raise ValueError(f"Recorder: every, window and bins must be at least 1, got {every}, {window} and {bins}")
        self.model, self.every, self.where, self.window, self.bins = model, every, where, window, bins
        if not self._selected():
            why = "the model has no layer to watch" if where is None else f"{where=} selects no module"
            raise ValueError(f"Recorder: {why}, there are "
                             f"{', '.join([n or '(model)' for n, _ in model.named_modules()])}")
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self.count, self.layers, self.parameters = 0, {}, {}
        self.sites: dict[tuple[str, str], str] = {}  # of functions: (module and op, where in forward) -> name

    steps = property(lambda self: sorted({s for series in [*self.layers.values(), *self.parameters.values()]
                                          for s in series.steps}), doc="The numbers of the recorded steps.")

    # ---- recording ----
    @contextlib.contextmanager
    def step(self) -> Iterator[None]:
        """One training step is inside. If it raises, nothing of it is kept."""
        number = self.count + 1
        if number > 1 and number % self.every:
            yield
            self.count = number
            return
        outputs: dict[str, tuple] = {}
        axis: list[int | None] = [None]
        handles = [module.register_forward_hook(self._watch(name, outputs, axis)) for name, module in self._selected()]
        before = {id(p): p.data.copy() for p in self.model.parameters()}
        watch = mode.watch
        if not callable(self.where):
            mode.watch = _Functions(self, outputs, axis, watch)
        try:
            yield
        finally:
            mode.watch = watch
            for handle in handles:
                handle.remove()
        self.count = number
        for name, (kind, module, shape, numbers) in outputs.items():
            series = self.layers.setdefault(name, Series(module, kind, shape))
            if series.columns and "stuck" in series.columns and "stuck" not in numbers:
                numbers["stuck"] = np.full_like(series.columns["stuck"][0], np.nan)
            series.add(number, {c: v for c, v in numbers.items() if c != "stuck" or series.kind})
        for name, p in self.model.named_parameters():
            series = self.parameters.setdefault(name, Series("Parameter", "", p.shape))
            series.add(number, self._of_parameter(p, before.get(id(p))))

    def _selected(self):
        return [(name, m) for name, m in self.model.named_modules() if self._wanted(name, m)]

    def _wanted(self, name, module):
        if self.where is None:
            return _is_layer(module)
        return fnmatchcase(name, self.where) if isinstance(self.where, str) else bool(self.where(name, module))

    def _watch(self, name, outputs, axis):
        def hook(module, args, output):
            y = next((v for _, v in leaves(output) if isinstance(v, Tensor) and v.dtype.kind == "f"), None)
            if y is not None:
                self._note(name, _type(module), module, y.data, outputs, axis)
        return hook

    def _note(self, name, kind, module, y, outputs, axis):
        """What is kept of an output: of ``module``, or of anything with a ``function``."""
        if name in outputs:
            return
        axis[0] = _unit_axis(module, y.ndim, axis[0])
        with np.errstate(all="ignore"):
            sort, stuck = _stuck(module, y, axis[0], self.layers.get(name))
            counts, span = _histogram(y, self.bins)
            mean = float(y.mean(dtype=np.float64)) if y.size else math.nan
            numbers = {"mean": mean, "std": _norm(y - y.dtype.type(mean)) / math.sqrt(y.size or math.nan),
                       "zeros": 1 - np.count_nonzero(y) / max(y.size, 1), "counts": counts, "range": span}
        if stuck is not None:
            numbers["stuck"] = stuck
        outputs[name] = sort, kind, y.shape[1:], numbers

    def _of_parameter(self, p, before):
        w, g = p.data, None if p.grad is None else p.grad.data
        with np.errstate(all="ignore"):
            norm = math.nan if before is None or before.shape != w.shape else _norm(before)
            change = _norm(w - before) if norm == norm else math.nan
            gradient_counts, gradient_range = _histogram(np.zeros(0) if g is None else g, self.bins)
            weight_counts, weight_range = _histogram(w, self.bins)
        return {"gradient_norm": math.nan if g is None else _norm(g), "weight_norm": norm,
                "update": change / norm if norm else math.nan, "gradient_counts": gradient_counts,
                "gradient_range": gradient_range, "weight_counts": weight_counts, "weight_range": weight_range}

    # ---- as a callback ----
    def on_epoch_begin(self, model: Module, history: History) -> None:
        """Called by fit: another training begins."""
        if not len(history):
            self.clear()

    def around_step(self, model: Module, history: History) -> contextlib.AbstractContextManager:
        """Called by fit."""
        if model is not self.model:
            raise ValueError(f"Recorder: it watches another {type(self.model).__name__} than the one that is trained")
        return self.step()

    def __call__(self, model: Module, history: History) -> None:
        """Nothing is done after an epoch."""

    def state_dict(self) -> dict:
        """A copy of the records, as numbers and arrays."""
        def packed(series):
            return [[name, s.type, s.kind, list(s.shape), list(s.steps), {c: s[c] for c in s.columns}]
                    for name, s in series.items()]
        return {"count": self.count, "sites": [[*site, name] for site, name in self.sites.items()],
                "layers": packed(self.layers), "parameters": packed(self.parameters)}

    def load_state_dict(self, state: dict) -> None:
        """Take over what `state_dict` gave."""
        def unpacked(rows):
            return {name: Series(kind, sort, tuple(shape), list(steps), {
                c: v.tolist() if v.ndim == 1 else list(v) for c, v in columns.items()})
                for name, kind, sort, shape, steps, columns in rows}
        self.count = state["count"]
        self.sites = {(what, where): name for what, where, name in state["sites"]}
        self.layers, self.parameters = unpacked(state["layers"]), unpacked(state["parameters"])

    # ---- what follows ----
    def stuck_units(self, layer: str) -> np.ndarray:
        """Which units were dead or saturated at each record, looking back ``window`` records: (records, units) of bool.

        Dead: 0 for every sample. Saturated: at the bounds for 95% of the values. Raises KeyError for a layer without.
        """
        share, kind = self.layers[layer]["stuck"], self.layers[layer].kind
        back = [share[max(0, i + 1 - self.window):i + 1] for i in range(len(share))]
        if kind == "rectified":
            return np.array([(part == 1).all(axis=0) for part in back])
        return np.array([part.mean(axis=0) >= 0.95 for part in back])

    def rows(self) -> list[Row]:
        """The lines of `table`. Raises ValueError before the first record."""
        if not self.steps:
            raise ValueError("Recorder: no step was recorded yet: pass it to fit(callbacks=[recorder]), or train "
                             "inside with recorder.step()")
        owned = {name: [] for name in self.layers}
        for name, series in self.parameters.items():
            owned.setdefault(self._owner(name), []).append(series)
        gradients = {name: _joined([s["gradient_norm"] for s in parts]) for name, parts in owned.items()}
        rms = {name: self._rms([s for s in parts if len(s.shape) > 1]) for name, parts in owned.items()}
        least = LIMITS["vanishing"] * max((v for v in rms.values() if math.isfinite(v)), default=0.0)
        return [self._row(name, owned[name], gradients[name], 0 < rms[name] < least) for name in owned]

    def _rms(self, weights):
        norms = _joined([s["gradient_norm"] for s in weights])
        return math.nan if norms is None else self._last(norms) / math.sqrt(sum(math.prod(s.shape) for s in weights))

    def _owner(self, parameter):
        """The layer that a parameter is of: the longest name that its own begins with, else that of its module."""
        parts = parameter.split(".")[:-1]
        names = [".".join(parts[:n]) for n in range(len(parts), -1, -1)]
        return next((n for n in names if n in self.layers), names[0])

    def _last(self, values):
        """The median of the last records."""
        values = np.asarray(values[-self.window:], np.float64)
        with np.errstate(all="ignore"):
            return float(np.median(values)) if len(values) else math.nan

    def _row(self, name, parameters, gradients, vanishing):
        layer, notes = self.layers.get(name), []
        mean = std = zeros = stuck = gradient = update = None
        if layer is not None:
            mean, std, zeros = (self._last(layer[c]) for c in ("mean", "std", "zeros"))
            if layer.kind:
                stuck = float(self.stuck_units(name)[-1].mean())
                word = "dead" if layer.kind == "rectified" else "saturated"
                notes += [word] * (stuck > LIMITS[word])
        if gradients is not None:
            gradient = self._last(gradients)
            notes += ["no gradient"] * (gradient == 0) + ["vanishing"] * vanishing
            notes += ["exploding"] * (gradient > LIMITS["exploding"])
        weights = [s for s in parameters if len(s.shape) > 1] or parameters
        if weights:
            found = self._last(max(weights, key=lambda s: math.prod(s.shape))["update"])
            update = found if math.isfinite(found) else None
        if update is not None:
            notes += ["slow"] * (0 < update < LIMITS["slow"]) + ["fast"] * (update > LIMITS["fast"])
        if any(v is not None and not math.isfinite(v) for v in (mean, gradient)):
            notes.append("not finite")
        kind = layer.type if layer is not None else _type(self.model.get_submodule(name)) if name else "(model)"
        return Row(name or "(model)", kind, mean, std, zeros, stuck, gradient, update, tuple(notes))

    def table(self) -> str:
        """What the last records say, a line for each layer, with a word where something is off and what it means.

        zeros: the share of activations that are exactly 0. stuck: of units, dead or saturated. gradient: the norm over
        the layer's parameters. update: of the largest weight, the norm of its change over its own.
        """
        rows = self.rows()
        number = lambda v, form="{:.3g}": "-" if v is None else form.format(v)
        table = [("layer", "type", "mean", "std", "zeros", "stuck", "gradient", "update", "")]
        table += [(r.layer, r.type, number(r.mean), number(r.std), number(r.zeros, "{:.0%}"),
                   number(r.stuck, "{:.0%}"), number(r.gradient, "{:.1e}"), number(r.update, "{:.1e}"),
                   ", ".join(r.notes)) for r in rows]
        widths = [max(map(len, column)) for column in zip(*table)]
        lines = ["  ".join(cell.ljust(w) if i in (0, 1, 8) else cell.rjust(w)
                           for i, (cell, w) in enumerate(zip(row, widths))).rstrip() for row in table]
        rule = "-" * max(map(len, lines))
        words = list(dict.fromkeys(word for r in rows for word in r.notes))
        notes = [f"{word}: {MEANINGS[word].format(LIMITS.get(word), w=self._records())}" for word in words]
        steps = self.steps
        end = f"medians of the last {self._records()} of {len(steps)} records, to step {steps[-1]}"
        return "\n".join([lines[0], rule, *lines[1:], rule, end, *(notes or ["nothing looks wrong"])])

    def _records(self):
        return min(self.window, len(self.steps))

    def __repr__(self):
        return f"Recorder(every={self.every}): {len(self.steps)} records of {len(self.layers)} layers"


class _Functions:
    """Notes what relu and the like put out where a forward calls them; a `mode.watch` that hands on to another."""

    def __init__(self, recorder, outputs, axis, then):
        self.recorder, self.outputs, self.axis, self.then = recorder, outputs, axis, then
        self.backward = then and then.backward
        self.paths = {id(m): name for name, m in recorder.model.named_modules()}

    def forward(self, op, values, t):
        """Called by `tensor.record`."""
        if self.then is not None:
            self.then.forward(op, values, t)
        if op.key not in WATCHED or t.dtype.kind != "f":
            return
        if op.key is np.maximum and not any(np.ndim(v) == 0 and v == 0 for v in values):
            return
        module, where = _caller()
        path = self.paths.get(id(module))
        if path is None or (_is_layer(module) and type(module).__module__.startswith(nn.__name__)):
            return  # what a layer of ours puts out is noted as its own
        name = self._name(f"{path}.{op.name}".lstrip("."), where)
        if self.recorder.where is None or fnmatchcase(name, self.recorder.where):
            function = SimpleNamespace(function=F.relu if op.key is np.maximum else op.key)
            self.recorder._note(name, op.name, function, t.data, self.outputs, self.axis)

    def _name(self, what, where):
        sites = self.recorder.sites
        if (what, where) not in sites:
            taken, number, name = {*sites.values(), *self.paths.values()}, 1, what
            while name in taken:
                number += 1
                name = f"{what}_{number}"
            sites[what, where] = name
        return sites[what, where]


def _caller():
    """The innermost module that is being called, None outside of any, and the place in its forward, as text."""
    frame, calls = sys._getframe(3), []
    while frame is not None and frame.f_code is not Module.__call__.__code__:
        calls.append(f"{frame.f_code.co_name}:{frame.f_lasti}")
        frame = frame.f_back
    return frame and frame.f_locals["self"], " ".join(calls)


# ---- measuring ----
def _is_layer(module):
    if isinstance(module, Parametrization) or any(c is not module and not isinstance(c, Parametrization)
                                                  for c in module.modules() if not isinstance(c, nn.ModuleDict)):
        return False
    activation = any(c.__module__ == activations.__name__ for c in type(module).__mro__)
    return activation or isinstance(module, nn.Lambda) or any(True for _ in module.parameters())


def _type(module):
    return type(module).__name__.removeprefix("Parametrized")


def _norm(a):
    a = a.reshape(-1)
    if a.dtype == np.float16:  # whose squares end at 65504
        a = a.astype(np.float32)
    return math.sqrt(float(np.vdot(a, a).real))


def _unit_axis(module, ndim, before):
    """Where the units are: channels at axis 1 after convolutions, else features at the last axis."""
    if isinstance(module, (_Kernels, _SeparableConv, _LocallyConnected, _BatchNorm)):
        return 1
    if isinstance(module, Module) and not isinstance(module, (nn.PReLU, nn.GroupNorm)) and any(
            True for _ in module.parameters()):
        return -1
    return -1 if ndim < 3 else before if before is not None else 1 if ndim > 3 else -1


def _bounds(module):
    """The bounds of an activation that has some, None of another."""
    if isinstance(module, nn.Hardtanh):
        return float(module.min_val), float(module.max_val)
    if isinstance(module, (nn.RNN, nn.RNNCell)):
        return (-1.0, 1.0) if module.nonlinearity == "tanh" else None
    function = getattr(module, "function", None)
    return next((bounds for f, bounds in BOUNDS if f is function), None)


def _rectifies(module, y, series):
    if series is not None:
        return series.kind == "rectified"
    if any(getattr(module, "function", None) is f for f in RECTIFIERS):
        return True
    return bool(y.size) and not isinstance(module, nn.Softmax) and float(y.min()) == 0  # a ReLU inside, by its looks


def _stuck(module, y, axis, series):
    """("rectified", "bounded" or "", each unit's share of values that are 0 or at the bounds)."""
    if y.ndim < 2 or not y.size:
        return ("" if series is None else series.kind), None
    bounds = _bounds(module)
    if bounds is None and not _rectifies(module, y, series):
        return "", None
    near = SATURATED * (bounds[1] - bounds[0]) if bounds else 0
    stuck = (y <= bounds[0] + near) | (y >= bounds[1] - near) if bounds else y == 0
    counts = np.count_nonzero(stuck, axis=tuple(i for i in range(y.ndim) if i != axis % y.ndim))  # so that all are 1
    share = (counts * counts.size / y.size).astype(np.float32)
    if series is not None and series["stuck"].shape[1:] != share.shape:
        share = None
    return "bounded" if bounds else "rectified", share


def _histogram(values, bins):
    """(counts, [low, high]) of the finite values that are not 0, without the few at either end."""
    v, stride = values.reshape(-1), max(1, math.ceil(values.size / SAMPLE))
    while stride > 1 and math.gcd(stride, v.size) > 1:  # or some channels would be passed over
        stride += 1
    v = v[::stride].astype(np.float64)
    v = v[np.isfinite(v) & (v != 0)]
    if not v.size:
        return np.zeros(bins, np.int32), np.zeros(2)
    k = int(TAIL * v.size)
    part = np.partition(v, (k, v.size - 1 - k))
    low, high = part[k], part[v.size - 1 - k]
    if not high - low > 1e-290:
        low, high = low - max(1e-3 * abs(low), 1e-290), high + max(1e-3 * abs(low), 1e-290)
    v = v[(v >= low) & (v <= high)]
    place = np.minimum(((v - low) * (bins / (high - low))).astype(np.intp), bins - 1)
    return np.bincount(place, minlength=bins).astype(np.int32), np.array([low, high])


def _joined(norms):
    """The norm of several parameters together, at each record; None if none ever had a gradient."""
    if not norms or all(np.isnan(n).all() for n in norms):
        return None
    n = min(map(len, norms))
    norms = np.stack([v[len(v) - n:] for v in norms])
    return np.where(np.isnan(norms).all(axis=0), np.nan, np.sqrt(np.nansum(norms ** 2, axis=0)))


# ---- pictures ----
KINDS = {"activations": ("activations", "", "The activations of each layer"),
         "gradients": ("gradients of the parameters", "gradient_", "The gradient of each parameter"),
         "weights": ("parameters", "weight_", "The numbers of each parameter")}
RIDGES, PANELS, CURVES = 15, 24, 36  # at most, in a panel, in a picture, in a plot


def histograms(recorder: Recorder, path: str | os.PathLike[str], what: str = "activations", dark: bool = False,
               names: Sequence[str] | None = None) -> Path:
    """A panel for each layer or parameter: in it a histogram for each recorded step, the last one in front.

    what: "activations", "gradients" or "weights". names: which, by default those of layers, and the weights without the
    biases; of more than 24, evenly chosen ones. Each histogram is as high as the others, and heights are square roots
    of counts, so that what is rare shows; exact zeros are left out, their share is written above. Raises ValueError for
    another ``what``, an unknown name and without records, MissingExtra without matplotlib. Returns the path, whose
    suffix is the format.
    """
    if what not in KINDS:
        raise ValueError(f'histograms: what is "activations", "gradients" or "weights", not {what!r}')
    theme, (label, prefix, title) = DARK if dark else LIGHT, KINDS[what]
    series = _chosen(recorder, "histograms", recorder.layers if what == "activations" else recorder.parameters, names,
                     lambda s: bool(s.columns) and s[prefix + "counts"].any())
    if not series:
        raise ValueError(f"histograms: there are no {label} but zeros, or none that is finite, to draw")
    shown = _some(list(series.items()), PANELS)
    columns = min(len(shown), 4 if len(shown) > 3 else 3)
    rows = math.ceil(len(shown) / columns)
    figure = style.figure(max(2.9 * columns + 0.3, 5.2), 2.75 * rows + 0.75, theme)
    for i, (name, one) in enumerate(shown):
        axes = figure.add_subplot(rows, columns, i + 1)
        _over_steps(axes, one, prefix, theme)
        axes.set_title(_titled(name, one), fontsize=9, color=theme.ink, loc="left")
        if i % columns == 0:
            axes.set_ylabel("step", color=theme.ink, fontsize=9)
    figure.supxlabel("height: the square root of the count", fontsize=8, color=theme.ink)
    left_out = f" ({len(shown)} of {len(series)})" if len(shown) < len(series) else ""
    figure.suptitle(f"{title}{left_out}, from the first step, behind, to the last", fontsize=12, color=theme.ink)
    return style.write(figure, path)


def _chosen(recorder, function, series, names, useful=lambda s: True):
    """The series of these names; by default the useful ones, of parameters those of two axes and more if any."""
    recorder.steps or recorder.rows()  # which says that there are none
    unknown = [n for n in names or () if n not in series]
    if unknown:
        raise ValueError(f"{function}: nothing was recorded of {', '.join(unknown)}, but of {', '.join(series)}")
    if names is not None:
        return {n: series[n] for n in names}
    found = {n: s for n, s in series.items() if useful(s)}
    return {n: s for n, s in found.items() if len(s.shape) > 1 or s.type != "Parameter"} or found


def _some(items, most):
    """Evenly chosen, with the first and the last."""
    if len(items) <= most:
        return items
    return [items[i] for i in np.unique(np.linspace(0, len(items) - 1, most).round().astype(int))]


def _titled(name, series):
    if series.type == "Parameter":
        return f"{short(name, 30)}  {'×'.join(map(str, series.shape))}"
    zeros = [f"{z:.0%}" for z in series["zeros"][[0, -1]]]
    title = f"{short(name or '(model)', 30)}  {short(series.type)}"
    if zeros == ["0%", "0%"]:
        return title
    text = f"{zeros[0]} zeros" if zeros[0] == zeros[1] else f"{zeros[0]} zeros, then {zeros[1]}"
    return f"{title}, {text}" if len(title + text) < 34 else f"{title}\n{text}"


def _over_steps(axes, series, prefix, theme):
    from matplotlib.colors import to_rgb
    counts, spans = series[prefix + "counts"], series[prefix + "range"]
    rows = _some([i for i in range(len(counts)) if counts[i].any()], RIDGES)
    low, high = _window(spans[rows])
    edges = np.linspace(low, high, BINS + 1)
    early, late = np.array(to_rgb(theme.high)), np.array(to_rgb(theme.colours[0]))
    for place, i in enumerate(rows):
        y = np.sqrt(_rebinned(counts[i], spans[i], edges))
        share = place / max(len(rows) - 1, 1)
        top = place - 2.4 * y / (y.max() or 1)
        colour = early + (late - early) * (0.15 + 0.85 * share)
        axes.stairs(top, edges, baseline=place, fill=True, color=colour, linewidth=0, zorder=place + 1)
        axes.stairs(top, edges, baseline=None, color=theme.paper, linewidth=0.8, zorder=place + 1.1)
    style.bare(axes, theme)
    axes.set_xlim(low, high)
    axes.set_ylim(len(rows) - 0.7, -2.6)
    marks = _some(list(range(len(rows))), 5)
    axes.set_yticks(marks, [f"{series.steps[rows[m]]:,}" for m in marks])
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(left=False, labelsize=7.5)
    axes.axvline(0, color=theme.faint, linewidth=0.7, linestyle=":", zorder=0.5)
    _number_ticks(axes, theme)


def _number_ticks(axes, theme):
    from matplotlib.ticker import MaxNLocator, ScalarFormatter
    axes.xaxis.set_major_locator(MaxNLocator(4))
    form = ScalarFormatter(useMathText=True)
    form.set_powerlimits((-2, 3))
    axes.xaxis.set_major_formatter(form)
    axes.xaxis.get_offset_text().set(fontsize=7.5, color=theme.ink)


def _window(spans):
    """From where to where all histograms but a few outliers are."""
    low, high = np.quantile(spans[:, 0], 0.05), np.quantile(spans[:, 1], 0.95)
    if spans[:, 0].min() >= 0:
        low = 0.0
    margin = 0.03 * (high - low) or 1.0
    return low - margin, high + margin


def _rebinned(counts, span, edges):
    """The density of a histogram over other bins, by its cumulated counts between their edges."""
    own = np.linspace(*span, len(counts) + 1)
    below = np.concatenate([[0], np.cumsum(counts)])
    return np.diff(np.interp(edges, own, below))


def ratios(recorder: Recorder, path: str | os.PathLike[str], dark: bool = False,
           names: Sequence[str] | None = None) -> Path:
    """The norm of each update over that of the weights, of each weight over the steps, and the rule of thumb, 1e-3.

    The rule: Karpathy, CS231n 2015 and 2022. names: which parameters; by default all but those of one axis, like
    biases, which start at 0. Raises and returns as `histograms` does.
    """
    curves = _chosen(recorder, "ratios", recorder.parameters, names, lambda s: (s["update"] > 0).any())
    lines = {name: (s.steps, s["update"]) for name, s in curves.items()}
    return _curves(path, lines, dark, "Update-to-weight ratio: the norm of a step over that of the weights",
                   "no weight was changed between two records", rule=True)


def gradient_norms(recorder: Recorder, path: str | os.PathLike[str], dark: bool = False) -> Path:
    """The norm of the gradient by each layer's parameters, weights and biases together, over the steps.

    Raises and returns as `histograms` does.
    """
    owned = {}
    for name, series in _chosen(recorder, "gradient_norms", recorder.parameters, list(recorder.parameters)).items():
        owned.setdefault(recorder._owner(name), []).append(series)
    lines = {}
    for name, parts in owned.items():
        norms = _joined([s["gradient_norm"] for s in parts])
        if norms is not None:
            lines[name or "(model)"] = min((s.steps for s in parts), key=len), norms
    return _curves(path, lines, dark, "The norm of the gradient of each layer", "no gradient was left in .grad")


def _curves(path, lines, dark, title, nothing, rule=False):
    """Lines over the steps on a log scale, each with its name at its end."""
    if not lines:
        raise ValueError(f"{title}: {nothing}")
    theme, shown = DARK if dark else LIGHT, _some(list(lines.items()), CURVES)
    height = max(4.2, 0.21 * len(shown) + 1.3)
    figure = style.figure(8.4, height, theme)
    axes = figure.add_subplot()
    style.axes(axes, theme, "step")
    axes.set_yscale("log")
    ends = []
    for (name, (steps, values)), (colour, line) in zip(shown, _looks(len(shown), theme)):
        values = np.where(np.isfinite(values) & (values > 0), values, np.nan)
        if not np.isnan(values).all():
            alone = {"marker": "o", "markersize": 4} if len(steps) < 3 else {}
            axes.plot(steps, values, color=colour, linestyle=line, linewidth=1.6, **alone)
            ends.append((short(name, 32), values[~np.isnan(values)][-1], colour))
    first, last = min(x[0] for _, (x, _) in shown), max(x[-1] for _, (x, _) in shown)
    _step_ticks(axes, first, last)
    if rule:
        low, high = axes.get_ylim()
        axes.set_ylim(min(low, RULE / 3), max(high, RULE * 3))
        axes.axhline(RULE, color=theme.ink, linewidth=1.1, linestyle=(0, (1, 2)))
        axes.annotate("10⁻³, the rule of thumb", (0, RULE), (5, 3), xycoords=("axes fraction", "data"),
                      textcoords="offset points", fontsize=8.5, color=theme.ink, zorder=9, bbox={
                          "facecolor": theme.paper, "edgecolor": "none", "alpha": 0.75, "pad": 1})
    _named_ends(axes, ends, theme, height - 1.1)
    left_out = f" ({len(shown)} of {len(lines)})" if len(shown) < len(lines) else ""
    figure.suptitle(title + left_out, fontsize=12, color=theme.ink)
    return style.write(figure, path)


def _step_ticks(axes, first, last):
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter
    axes.set_xlim(first, max(last, first + 1))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, min_n_ticks=1))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))


def _looks(n, theme):
    """A colour and a line for each: of more than there are colours, those of a scale from the first to the last."""
    if n <= len(theme.colours):
        return [(colour, LINES[i % len(LINES)]) for i, colour in enumerate(theme.colours[:n])]
    from matplotlib import colormaps
    scale = colormaps["viridis"]
    low, high = (0.0, 0.85) if theme is LIGHT else (0.25, 1.0)
    return [(scale(low + (high - low) * i / (n - 1)), LINES[i % len(LINES)]) for i in range(n)]


def _named_ends(axes, ends, theme, height, size=8.5):
    """Each line's name to the right of its end, moved apart where names would overlap, with a lead to its end.

    height: about that of the axes, in inches.
    """
    if not ends:
        return
    inverse, scale = axes.transAxes.inverted(), axes.transData
    at = [inverse.transform(scale.transform((1, value)))[1] for _, value, _ in ends]
    gap = 1.4 * size / 72 / height
    for (name, _, colour), y, place in zip(ends, at, _apart(at, gap)):
        axes.plot([1, 1.015, 1.035], [y, place, place], transform=axes.transAxes, color=colour, linewidth=1.1,
                  clip_on=False, solid_capstyle="butt")
        axes.text(1.042, place, name, transform=axes.transAxes, color=theme.ink, fontsize=size, va="center")


def _apart(places, gap):
    """The nearest places above 0, in the same order, at least ``gap`` apart: merged blocks around their means."""
    order, blocks = np.argsort(places, kind="stable"), []
    for i in order:
        blocks.append([places[i], [i]])
        while len(blocks) > 1 and (blocks[-1][0] - blocks[-2][0]
                                   < gap * (len(blocks[-1][1]) + len(blocks[-2][1])) / 2):
            (b, more), (a, some) = blocks.pop(), blocks.pop()
            blocks.append([(a * len(some) + b * len(more)) / (len(some) + len(more)), some + more])
    new, least = np.empty(len(places)), 0.0
    for middle, members in blocks:
        for k, i in enumerate(members):
            new[i] = max(middle + gap * (k - (len(members) - 1) / 2), least)
            least = new[i] + gap
    return new


def dead_units(recorder: Recorder, path: str | os.PathLike[str], dark: bool = False,
               names: Sequence[str] | None = None) -> Path:
    """Above: the share of dead or saturated units of each layer over the steps. Below: which, a strip for each layer.

    In a strip units go to the right and recorded steps down; the darker, the larger the share of samples for which the
    unit was 0, or at its bounds; coloured where it is dead or saturated by `Recorder.stuck_units`. names: which layers,
    by default all that can be (12, evenly chosen). Raises and returns as `histograms` does, ValueError too if there are
    no such layers.
    """
    theme = DARK if dark else LIGHT
    series = _chosen(recorder, "dead_units", recorder.layers, names, lambda s: "stuck" in s.columns)
    series = {n: s for n, s in series.items() if "stuck" in s.columns}
    if not series:
        raise ValueError("dead_units: nothing that was recorded is rectified or bounded, like the outputs of nn.ReLU "
                         f"or nn.Tanh, there are {', '.join(sorted({s.type for s in recorder.layers.values()}))}; "
                         "Recorder(where=...) selects others")
    series = dict(_some(list(series.items()), 12))
    stuck = {name: recorder.stuck_units(name) for name in series}
    words = list(dict.fromkeys("dead" if s.kind == "rectified" else "saturated" for s in series.values()))
    above = 2.6 + 0.12 * len(series)
    figure = style.figure(8.4, above + 1.25 * len(series) + 0.6, theme)
    grid = figure.add_gridspec(1 + len(series), 1, height_ratios=[above, *[1.25] * len(series)])
    _shares(figure.add_subplot(grid[0]), series, stuck, theme, above - 0.8)
    for i, (name, one) in enumerate(series.items()):
        axes = figure.add_subplot(grid[i + 1])
        _strip(axes, one, stuck[name], theme)
        axes.set_title(f"{short(name or '(model)', 40)}  {short(one.type)}: {_which(stuck[name][-1], one.kind)}",
                       fontsize=9, color=theme.ink, loc="left")
        if i == len(series) - 1:
            axes.set_xlabel(f"unit; coloured: {' or '.join(words)}; grey: the share of values at 0, or at the bounds",
                            color=theme.ink, fontsize=9)
    figure.suptitle(f"{' and '.join(words).capitalize()} units, over the last {recorder._records()} records",
                    fontsize=12, color=theme.ink)
    return style.write(figure, path)


def _shares(axes, series, stuck, theme, height):
    from matplotlib.ticker import PercentFormatter
    style.axes(axes, theme, "step")
    ends = []
    for (name, one), (colour, line) in zip(series.items(), _looks(len(series), theme)):
        share = stuck[name].mean(axis=1)
        axes.plot(one.steps, share, color=colour, linestyle=line, linewidth=1.8, clip_on=False,
                  **({"marker": "o", "markersize": 4} if len(share) < 3 else {}))
        ends.append((f"{short(name or '(model)', 30)}  {share[-1]:.0%}", share[-1], colour))
    highest = max(s.mean(axis=1).max() for s in stuck.values())
    axes.set_ylim(0, min(max(1.15 * highest, 0.05), 1.0))
    first, last = min(s.steps[0] for s in series.values()), max(s.steps[-1] for s in series.values())
    _step_ticks(axes, first, last)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_title("share of the units", loc="left", fontsize=9, color=theme.ink)
    _named_ends(axes, ends, theme, height)


def _strip(axes, series, stuck, theme):
    from matplotlib.colors import to_rgb
    share = np.nan_to_num(series["stuck"])[:, :, None]
    image = np.array(to_rgb(theme.paper)) * (1 - share) + np.array(to_rgb(theme.faint)) * share
    image[stuck] = to_rgb(theme.colours[1])
    style.bare(axes, theme)
    axes.imshow(image, aspect="auto", interpolation="nearest" if stuck.shape[1] <= 1000 else "auto")
    marks = _some(list(range(len(stuck))), 3)
    axes.set_yticks(marks, [f"{series.steps[m]:,}" for m in marks])
    axes.tick_params(labelsize=7.5)
    axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)


def _which(stuck, kind):
    """ "3 of 128 dead: 5, 17, 90"; not more than a line of them."""
    numbers = [str(i) for i in np.flatnonzero(stuck)]
    word = "dead" if kind == "rectified" else "saturated"
    if not numbers:
        return f"none of {len(stuck)} {word}"
    return f"{len(numbers)} of {len(stuck)} {word}: {', '.join(numbers[:12])}{', ...' if len(numbers) > 12 else ''}"
