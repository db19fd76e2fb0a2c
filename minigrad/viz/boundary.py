"""Decision boundaries: what a classifier says at every point of the plane, and how that came about in training.

    boundary.draw(model, x, y, "moons.png", validation=(xv, yv))
    recorder = boundary.Recorder(x, y)
    train.fit(model, (x, y), optimizer, epochs=100, callbacks=[recorder])    # or recorder.record(model, loss) in a loop
    boundary.animation(recorder, "moons.gif")

A model is a Module, or any function of points (N, 2) that gives scores, so that a support vector machine or a nearest
neighbour is drawn as well. Modes, buffers and random generators are afterwards what they were before.
"""

from __future__ import annotations

import importlib
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..checkpoint import replacing
from ..mode import no_grad
from ..nn import Module
from ..tensor import Tensor
from . import style
from .landscape import _Still
from .style import DARK, LIGHT, MARKERS, MissingExtra
from .thinned import Thinned

__all__ = ["Field", "Recorder", "animation", "draw", "field", "frames"]

OUTPUTS = ("auto", "logits", "probabilities", "labels", "values")
BATCH = 8192  # points that go through the model at a time
MOST = 100  # classes; each has a colour, a marker and a line in the legend
SURE = 0.9  # the probability of the dotted lines


@dataclass(frozen=True, eq=False)
class Field:
    """What a model says on a grid: x (nx,), y (ny,), probabilities (ny, nx, classes); or values (ny, nx), a regression.

    hard: the model gave labels, so that probabilities are 0 and 1.
    """

    x: np.ndarray
    y: np.ndarray
    probabilities: np.ndarray | None
    values: np.ndarray | None = None
    hard: bool = False


def field(model: Module | Callable, window, points: int = 200, output: str = "auto") -> Field:
    """What ``model`` says in the window ((left, right), (low, high)), on points x points places.

    model: a Module, evaluated in evaluation mode, or a function (N, 2) -> scores. output: "logits", (N,), (N, 1) for
    class 1 against 0, or (N, C); "probabilities" of the same shapes; "labels", whole numbers (N,) from 0; "values" of a
    regression, (N,) or (N, 1); "auto": labels if they are whole numbers, else logits. Raises ValueError for what does
    not fit.
    """
    if output not in OUTPUTS:
        raise ValueError(f"output is one of {', '.join(OUTPUTS)}, not {output!r}")
    if points < 2:
        raise ValueError(f"points must be at least 2, got {points}")
    (left, right), (low, high) = window
    if not (left < right and low < high):
        raise ValueError(f"the window must be ((left, right), (low, high)), got {window}")
    x, y = np.linspace(left, right, points), np.linspace(low, high, points)
    at = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    scores = _scores(model, at)
    kind = output if output != "auto" else "labels" if scores.dtype.kind in "iub" else "logits"
    if kind == "values":
        if scores.size != len(at):
            raise ValueError(f"values must be (N,) or (N, 1), got {scores.shape} for {len(at)} points")
        return Field(x, y, None, scores.reshape(points, points).astype(np.float64))
    p = _probabilities(scores, kind, len(at))
    return Field(x, y, p.reshape(points, points, -1), None, kind == "labels")


def _scores(model, at):
    """What the model gives for points (N, 2), as an array."""
    if not isinstance(model, Module):
        if not callable(model):
            raise TypeError(f"a model is a Module or a function of points (N, 2), got {model!r:.60}")
        with no_grad():
            return np.concatenate([np.asarray(Tensor.plain(model(part))) for part in _parts(at)])
    params = list(model.parameters())
    dtype = params[0].dtype if params else np.dtype(np.float32)
    with _Still(params, model), no_grad(), np.errstate(all="ignore"):
        model.eval()
        found = []
        for part in _parts(at):
            scores = model(Tensor(part.astype(dtype)))
            if not isinstance(scores, Tensor):
                raise TypeError(f"the model must give a Tensor of scores, got {type(scores).__name__}")
            found.append(scores.data)
    return np.concatenate(found)


def _parts(at):
    return [at[i:i + BATCH] for i in range(0, len(at), BATCH)]


def _probabilities(scores, kind, n):
    """Scores as probabilities (N, classes)."""
    if scores.shape[:1] != (n,) or scores.ndim > 2 or scores.size == 0 or scores.dtype.kind not in "biuf":
        raise ValueError(f"scores must be real numbers (N,), (N, 1) or (N, classes), got {scores.dtype} "
                         f"{scores.shape} for {n} points")
    scores = scores.reshape(n, -1)
    if kind == "labels":
        if scores.shape[1] != 1 or (scores != np.round(scores)).any() or not -1 <= scores.min() <= scores.max() < MOST:
            raise ValueError(f"labels must be whole numbers (N,) from 0, below {MOST}, got {scores.dtype} "
                             f"{scores.shape} from {scores.min()} to {scores.max()}")
        labels = np.maximum(scores[:, 0].astype(int), 0)  # -1 and 1 are 0 and 1
        return np.eye(max(2, labels.max() + 1))[labels]
    scores = np.clip(scores.astype(np.float64), -1e300, 1e300)  # infinite ones are very sure
    if kind == "probabilities":
        p = np.concatenate([1 - scores, scores], axis=1) if scores.shape[1] == 1 else scores
        if (p < -1e-6).any() or (p > 1 + 1e-6).any():
            raise ValueError(f"probabilities must be from 0 to 1, got {scores.min():g} to {scores.max():g}")
        return p
    if scores.shape[1] == 1:
        scores = np.concatenate([np.zeros_like(scores), scores], axis=1)
    e = np.exp(scores - scores.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


# ---- data ----
def _points(x, what="x"):
    x = np.asarray(Tensor.plain(x))
    if x.ndim != 2 or x.shape[1] != 2 or not len(x):
        raise ValueError(f"{what} must be points (N, 2), got shape {x.shape}: a boundary is drawn of two features; for "
                         "more, give a function of two of them, or of their PCA")
    if x.dtype.kind not in "biuf" or not np.isfinite(x).all():
        raise ValueError(f"{what} must be finite real numbers, got {x.dtype} of which not all are")
    return x.astype(np.float64)


def _labels(y, n, what="y"):
    """Labels 0, 1, ... of (N,), (N, 1), one-hot (N, C), or -1 and 1."""
    y = np.asarray(Tensor.plain(y))
    if y.ndim == 2 and y.shape[1] > 1:
        y = y.argmax(axis=1)
    if y.size != n or y.ndim > 2:
        raise ValueError(f"{what} must be one label for each of {n} points, got shape {y.shape}")
    y = y.reshape(-1)
    if y.dtype.kind not in "iubf" or (y != np.round(y)).any() or not -1 <= y.min() <= y.max() < MOST:
        raise ValueError(f"{what} must be class labels 0, 1, ..., below {MOST}, got {y.dtype} {y[:3]}...; for a "
                         'regression, output="values"')
    y = y.astype(int)
    if (y < 0).any():
        if set(y.tolist()) - {-1, 1}:
            raise ValueError(f"{what} must be class labels 0, 1, ..., or -1 and 1, got {sorted(set(y.tolist()))}")
        y = np.maximum(y, 0)
    return y


def _pair(data, regression, what):
    try:
        x, y = data
    except (TypeError, ValueError) as error:
        raise ValueError(f"{what} must be a pair (x, y), got {data!r:.60}") from error
    x = _points(x, f"{what}'s x" if what != "x and y" else "x")
    if not regression:
        return x, _labels(y, len(x), f"{what}'s y" if what != "x and y" else "y")
    y = np.asarray(Tensor.plain(y), np.float64)
    if y.size != len(x):
        raise ValueError(f"{what}: y must be one value for each of {len(x)} points, got shape {y.shape}")
    return x, y.reshape(-1)


def _window(several, margin):
    at = np.concatenate([x for x, _ in several])
    low, high = at.min(axis=0), at.max(axis=0)
    span = (high - low).max() or 1.0
    room = margin * np.where(high - low > 1e-3 * span, high - low, span)
    return tuple((float(a), float(b)) for a, b in zip(low - room, high + room))


# ---- pictures ----
def draw(model: Module | Callable, x, y, path: str | os.PathLike[str], dark: bool = False, title: str = "", *,
         validation=None, output: str = "auto", points: int = 200, window=None, classes: Sequence[str] | None = None,
         features: tuple[str, str] = ("x1", "x2"), margin: float = 0.12) -> Path:
    """The classes' regions in their colours, the deeper the surer, the line between them, and the data.

    x (N, 2), y: labels (N,), (N, 1), one-hot, or -1 and 1. validation: a pair like (x, y), drawn hollow. A ring marks
    what is misclassified; dotted, where the model is 90 % sure. model, output, points: as for `field`; output="values"
    draws a regression's surface, the data in the same colours. window: ((left, right), (low, high)); by default all
    data and a margin. Returns the path, whose suffix is the format. Raises ValueError for points that are not (N, 2)
    and labels that are none, MissingExtra without matplotlib.
    """
    theme, several = DARK if dark else LIGHT, [_pair((x, y), output == "values", "x and y")]
    if validation is not None:
        several.append(_pair(validation, output == "values", "validation"))
    found = field(model, _window(several, margin) if window is None else window, points, output)
    said = [_said(model, at, output) for at, _ in several]
    names = _names(classes, found, several)
    figure = style.figure(*_size(found), theme, ["x" * 12] * (len(names) + 3))
    axes = figure.add_subplot()
    _scene(figure, axes, found, several, said, names, theme)
    _dress(axes, found, features, theme)
    axes.set_title(_score(several, said, found.values is not None), fontsize=9, color=theme.ink, loc="left")
    if title:
        figure.get_layout_engine().set(h_pad=0.09)
        figure.suptitle(title, fontsize=11, color=theme.ink)
    if axes.get_legend_handles_labels()[0]:
        style.legend(figure, axes, theme)
    return style.write(figure, path)


def _scene(figure, axes, found, several, said, names, theme, size=1.0):
    if found.values is not None:
        _values(figure, axes, found, several, theme)
        return
    dotted = _regions(axes, found, theme, len(names))
    _data(axes, several, said, names, theme, size)
    if dotted:
        axes.plot([], [], ":", color=theme.ink, linewidth=0.9, label=f"{SURE:.0%} sure")


def _size(found):
    ratio = min(max(np.ptp(found.y) / np.ptp(found.x), 0.6), 1.4)
    return 6.4, 6.4 * ratio * 0.86 + 0.8


def _said(model, at, output):
    """Labels, or values, at the data's own points."""
    scores = _scores(model, at)
    if output == "values":
        return scores.reshape(-1)
    kind = output if output != "auto" else "labels" if scores.dtype.kind in "iub" else "logits"
    p = _probabilities(scores, kind, len(at))
    return np.where(np.isnan(p).any(axis=1), -1, p.argmax(axis=1))  # no number is no class


def _names(classes, found, several):
    if found.values is not None:
        return []
    n = max(found.probabilities.shape[-1], *(y.max() + 1 for _, y in several))
    if classes is not None and len(classes) < n:
        raise ValueError(f"classes: {n} names are wanted, got {len(classes)}")
    return [str(c) for c in classes] if classes is not None else [f"class {i}" for i in range(n)]


def _regions(axes, found, theme, n):
    """Each class' colour mixed into the paper by how much surer than chance the model is; lines where it changes.

    Returns whether there are dotted lines.
    """
    from matplotlib.colors import to_rgb
    p = found.probabilities
    k = p.shape[-1]
    colours = np.array([to_rgb(theme.colours[i % len(theme.colours)]) for i in range(max(n, k))])
    best = p.argmax(axis=-1)
    surer = np.clip((p.max(axis=-1) - 1 / k) / (1 - 1 / k), 0, 1)[..., None]
    share = 0.06 + 0.4 * (np.ones_like(surer) if found.hard else surer)
    image = (1 - share) * np.array(to_rgb(theme.paper)) + share * colours[best]
    axes.pcolormesh(found.x, found.y, image, shading="nearest", rasterized=True, zorder=0)
    with np.errstate(divide="ignore"):
        logs = np.log(np.maximum(p, 1e-300))
    for i in range(1 if k == 2 else 0, k):
        others = np.delete(logs, i, axis=-1).max(axis=-1)
        lead = p[..., i] - np.exp(others) if found.hard else logs[..., i] - others
        if np.nanmin(lead) < 0 < np.nanmax(lead):
            axes.contour(found.x, found.y, lead, [0], colors=theme.ink, linewidths=1.6, zorder=2)
    top = p.max(axis=-1)
    if not found.hard and np.nanmin(top) < SURE < np.nanmax(top):
        axes.contour(found.x, found.y, top, [SURE], colors=theme.ink, linewidths=0.7, linestyles=":", alpha=0.8,
                     zorder=2)
        return True
    return False


def _values(figure, axes, found, several, theme):
    from matplotlib import colormaps
    from matplotlib.colors import Normalize
    every = np.concatenate([found.values.reshape(-1), *(y for _, y in several)])
    every = every[np.isfinite(every)]
    norm = Normalize(*np.quantile(every, (0.005, 0.995))) if len(every) else Normalize(0, 1)
    axes.pcolormesh(found.x, found.y, found.values, cmap=colormaps["cividis"], norm=norm, shading="nearest",
                    rasterized=True, zorder=0)
    if np.isfinite(found.values).any() and np.nanmax(found.values) > np.nanmin(found.values):
        lines = axes.contour(found.x, found.y, found.values, 9, colors="#FFFFFF", linewidths=0.5, linestyles="solid",
                             zorder=1)
        axes.clabel(lines, inline=True, fontsize=7)
    for (x, y), marker in zip(several, "os"):
        axes.scatter(*x.T, c=y, cmap=colormaps["cividis"], norm=norm, marker=marker, s=26, edgecolors="#FFFFFF",
                     linewidths=1.0, zorder=4)
    if len(several) > 1:
        for marker, name in zip("os", ("training", "validation")):
            axes.plot([], [], marker, color=theme.faint, markeredgecolor=theme.ink, label=name, linestyle="")
    bar = figure.colorbar(axes.collections[0], ax=axes, shrink=0.85, pad=0.02)
    bar.ax.tick_params(colors=theme.ink, labelsize=8)
    bar.outline.set_edgecolor(theme.faint)
    bar.set_label("value", color=theme.ink, fontsize=9)


def _data(axes, several, said, names, theme, size):
    size *= 1 if sum(len(x) for x, _ in several) <= 600 else 0.65
    ring = {"markersize": 11 * size, "markerfacecolor": "none", "markeredgecolor": theme.ink,
            "markeredgewidth": 1.1 * size, "linestyle": ""}
    for k, ((x, y), hollow) in enumerate(zip(several, (False, True))):
        for i, name in enumerate(names):
            at = x[y == i]
            colour, marker = theme.colours[i % len(theme.colours)], _marker(i, len(theme.colours))
            if len(at) or not k:
                axes.plot(*at.T, marker, markersize=5.5 * size, label=None if k else name, linestyle="",
                          markerfacecolor=theme.paper if hollow else colour,
                          markeredgecolor=colour if hollow else theme.paper,
                          markeredgewidth=(1.3 if hollow else 0.6) * size, alpha=0.95, zorder=5 if hollow else 4)
        wrong = x[said[k] != y]
        axes.plot(*wrong.T, "o", zorder=6, **ring)
    if len(several) > 1:
        axes.plot([], [], "o", markersize=5.5, markerfacecolor=theme.paper, markeredgecolor=theme.ink,
                  markeredgewidth=1.3, linestyle="", label="hollow: validation")
    if any((s != y).any() for (_, y), s in zip(several, said)):
        axes.plot([], [], "o", label="misclassified", **ring)


def _marker(i, n):
    return MARKERS[(i + i // n) % len(MARKERS)]


def _dress(axes, found, features, theme):
    axes.set(xlim=(found.x[0], found.x[-1]), ylim=(found.y[0], found.y[-1]))
    if 0.6 <= np.ptp(found.y) / np.ptp(found.x) <= 1.4:
        axes.set_aspect("equal")
    axes.set_xlabel(features[0], color=theme.ink, fontsize=9)
    axes.set_ylabel(features[1], color=theme.ink, fontsize=9)
    style.bare(axes, theme)


def _score(several, said, regression):
    parts = []
    for (_, y), s, name in zip(several, said, ("training", "validation")):
        wrong = int((s != y).sum()) if not regression else 0
        parts.append(f"{name}: mean squared error {np.mean((s - y) ** 2):.3g}" if regression else
                     f"{name}: {len(y) - wrong:,} of {len(y):,} right ({(len(y) - wrong) / len(y):.1%})")
    return "\n".join(parts)


# ---- over training ----
class Recorder:
    """A callback of `train.fit` that keeps the boundary at the start and after every epoch; or call `record`.

    x, y, validation, output, points, window: as for `draw`. every: keep each so many-th. most: frames to keep; when
    there are more, every second one is left out; the last is kept. losses: (step, loss) of every call.
    """

    def __init__(self, x, y, validation=None, output: str = "auto", points: int = 120, every: int = 1, most: int = 60,
                 window=None, margin: float = 0.12):
        if every < 1 or most < 2:
            raise ValueError(f"Recorder: every must be at least 1 and most at least 2, got {every} and {most}")
        self.several = [_pair((x, y), output == "values", "x and y")]
        if validation is not None:
            self.several.append(_pair(validation, output == "values", "validation"))
        self.window = _window(self.several, margin) if window is None else window
        self.output, self.points, self.every, self.most, self.unit = output, points, every, most, "step"
        self.clear()

    def clear(self) -> None:
        """Forget all frames."""
        self._record = Thinned(self.every, self.most)
        self.losses: list[tuple[int, float]] = []
        self.val_losses: list[tuple[int, float]] = []

    def record(self, model: Module | Callable, loss: float | None = None, val_loss: float | None = None) -> None:
        """Keep what the model says now, and its loss."""
        for value, kept in ((loss, self.losses), (val_loss, self.val_losses)):
            if value is not None:
                kept.append((self._record.count, float(value.item() if isinstance(value, Tensor) else value)))
        found = field(model, self.window, self.points, self.output)
        if found.probabilities is not None:
            found = Field(found.x, found.y, found.probabilities.astype(np.float32), None, found.hard)
        self._record.add((found, [_said(model, at, self.output) for at, _ in self.several]))

    @property
    def frames(self) -> list[tuple[int, Field, list]]:
        """(step, field, what was said of the data) of all that is kept."""
        return [(step, *what) for step, what in self._record.all]

    def on_epoch_begin(self, model, history) -> None:
        """Called by fit: a training that begins forgets the one before."""
        if not len(history):
            self.clear()
            self.unit = "epoch"
            self.record(model)

    def __call__(self, model, history) -> None:
        self._record.count = len(history)
        self.record(model, history[-1].loss, history[-1].val_loss)

    def __len__(self): return len(self.frames)


def _recorded(recorder):
    if not recorder.frames:
        raise ValueError("the recorder is empty: give it to fit as a callback, or call record(model)")
    return recorder.frames


def frames(recorder: Recorder, path: str | os.PathLike[str], dark: bool = False, title: str = "", count: int = 6, *,
           classes: Sequence[str] | None = None) -> Path:
    """``count`` of the recorded boundaries beside each other, from the first to the last, as one picture.

    They are chosen so that the steps between them grow: most happens early. Raises ValueError for an empty recorder.
    """
    kept, theme = _recorded(recorder), DARK if dark else LIGHT
    if count < 1:
        raise ValueError(f"frames: count must be at least 1, got {count}")
    wanted = np.unique(np.round((len(kept) - 1) * np.linspace(0, 1, count) ** 1.7)).astype(int)
    chosen = [kept[i] for i in wanted]
    columns = min(len(chosen), 3)
    rows = math.ceil(len(chosen) / columns)
    names = _names(classes, kept[-1][1], recorder.several)
    width, height = _size(kept[-1][1])
    figure = style.figure(3.1 * columns, 3.1 * height / width * rows + 0.6, theme, ["x" * 12] * (len(names) + 2))
    for k, (step, found, said) in enumerate(chosen):
        axes = figure.add_subplot(rows, columns, k + 1)
        _frame(figure, axes, recorder, found, said, names, theme, size=0.6)
        axes.tick_params(labelsize=7)
        axes.locator_params(nbins=5)
        axes.set(xlabel="", ylabel="")
        axes.set_title(_caption(recorder, step, said), fontsize=9, color=theme.ink, loc="left")
    if title:
        figure.suptitle(title, fontsize=11, color=theme.ink)
    labelled = max(figure.axes, key=lambda a: len(a.get_legend_handles_labels()[0]))
    if labelled.get_legend_handles_labels()[0]:
        style.legend(figure, labelled, theme)
    return style.write(figure, path)


def _frame(figure, axes, recorder, found, said, names, theme, size):
    _scene(figure, axes, found, recorder.several, said, names, theme, size)
    _dress(axes, found, ("x1", "x2"), theme)


def _caption(recorder, step, said):
    text = f"{recorder.unit} {step}"
    loss = dict(recorder.losses).get(step)
    if loss is not None:
        text += f", loss {loss:.3g}"
    if recorder.output != "values":
        text += f", {np.mean(said[0] == recorder.several[0][1]):.1%} right"
    return text


def animation(recorder: Recorder, path: str | os.PathLike[str], dark: bool = False, title: str = "", *,
              classes: Sequence[str] | None = None, seconds: float = 0.12) -> Path:
    """The boundary over training as a GIF, beside it the loss so far, by Pillow (the extra ``image``).

    seconds: for each frame; the last stays for 2. Raises ValueError for an empty recorder, MissingExtra without Pillow
    or matplotlib.
    """
    try:
        image = importlib.import_module("PIL.Image")
    except ImportError as error:
        raise MissingExtra('pillow is needed for the animation: pip install "minigrad[image]"') from error
    kept, theme = _recorded(recorder), DARK if dark else LIGHT
    pictures = [_still_picture(recorder, frame, kept[-1][1], theme, title, classes, image) for frame in kept]
    palette = _common_palette(pictures, image)
    shots = [picture.quantize(palette=palette, dither=image.Dither.NONE) for picture in pictures]
    path = Path(path)
    with replacing(path) as beside:
        shots[0].save(beside, format="GIF", save_all=True, append_images=shots[1:], loop=0, optimize=False,
                      duration=[*[round(1000 * seconds)] * (len(shots) - 1), 2000])
    return path


def _still_picture(recorder, frame, last, theme, title, classes, image):
    agg = importlib.import_module("matplotlib.backends.backend_agg")
    step, found, said = frame
    curves = [(points, name, i) for i, (points, name) in enumerate(((recorder.losses, "training"),
                                                                   (recorder.val_losses, "validation"))) if points]
    width, height = _size(last)
    names = _names(classes, last, recorder.several)
    figure = style.figure(0.8 * width + (3.6 if curves else 0), 0.8 * height, theme)
    figure.set_dpi(90)
    grid = figure.add_gridspec(1, 2 if curves else 1, width_ratios=(1.5, 1) if curves else (1,))
    axes = figure.add_subplot(grid[0, 0])
    _frame(figure, axes, recorder, found, said, names, theme, size=0.75)
    axes.set_title(_caption(recorder, step, said), fontsize=9, color=theme.ink, loc="left")
    if curves:
        _curve(figure.add_subplot(grid[0, 1]), curves, step, recorder.unit, theme)
    if title:
        figure.suptitle(title, fontsize=11, color=theme.ink)
    canvas = agg.FigureCanvasAgg(figure)
    canvas.draw()
    return image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def _curve(axes, curves, step, unit, theme):
    """The whole loss faintly, and what is done of it."""
    style.axes(axes, theme, unit)
    every = np.array([loss for points, _, _ in curves for _, loss in points])
    every = every[np.isfinite(every)]
    if len(every) and every.min() > 0 and every.max() > 30 * every.min():
        axes.set_yscale("log")
    for points, name, i in curves:
        steps, values = np.array(points).T
        done = steps <= step
        axes.plot(steps, values, color=theme.high, linewidth=1.2, linestyle=("-", "--")[i], zorder=1)
        axes.plot(steps[done], values[done], color=theme.colours[i], linewidth=1.8, linestyle=("-", "--")[i],
                  label=name, zorder=2)
        if done.any():
            axes.plot(steps[done][-1:], values[done][-1:], MARKERS[i], color=theme.colours[i], markersize=6, zorder=3)
    axes.set_title("loss", fontsize=9, color=theme.ink, loc="left")
    if len(curves) > 1:
        legend = axes.legend(fontsize=8, frameon=False, loc="upper right")
        for text in legend.get_texts():
            text.set_color(theme.ink)


def _common_palette(pictures, image):
    """256 colours for all frames: of some of them, laid side by side."""
    some = [pictures[i] for i in sorted({round(k) for k in np.linspace(0, len(pictures) - 1, min(6, len(pictures)))})]
    strip = image.new("RGB", (sum(p.width for p in some), some[0].height))
    for i, picture in enumerate(some):
        strip.paste(picture, (sum(p.width for p in some[:i]), 0))
    return strip.quantize(256, method=image.Quantize.MEDIANCUT)
