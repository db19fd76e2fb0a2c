"""Optimizers on stage: their paths over a function of two variables, drawn, animated, tabled.

    runs = theatre.race(functions.by_name("bowl"), ["sgd", "momentum", "adam"])
    theatre.write(runs, "runs/bowl")
    print(theatre.table(runs))
"""

from __future__ import annotations

import csv
import importlib
import inspect
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from .. import optim
from ..checkpoint import replacing
from ..naming import find
from ..optim import classical
from ..race import RATES, optimizers
from ..random import seeded
from ..tensor import Parameter
from . import style
from .functions import Function
from .style import DARK, LIGHT, LINES, MARKERS, MissingExtra

__all__ = ["RATES", "Run", "animation", "descend", "gallery", "losses", "notes", "paths", "race", "rates",
           "sensitivity", "table", "to_csv", "tuned", "write"]

FAR = 1e6  # a path that leads further out is over
DOTS = 40  # steps that are marked on a path
LEFT, FELL, BOTTOMLESS, NAN = "left bounds", "fell out of bounds", "line search without a bottom", "NaN"
SINGULAR = "singular Hessian"


APART = 28  # runs that colour and line tell apart; beyond, only the marker does


@dataclass(frozen=True)
class Run:
    """One optimizer's way: where it was after each step, the value there, and how many gradients that had taken.

    steps: how many were asked for; if they were not all done, ``ended`` says why, and gradients are more than the last
    of evaluations. tuned: whether `tuned` found the rate.
    """

    function: Function
    name: str
    settings: dict
    points: np.ndarray
    losses: np.ndarray
    evaluations: np.ndarray
    gradients: int
    steps: int
    seed: int = 0
    ended: str = ""
    tuned: bool = False

    @property
    def label(self) -> str:
        """The name, and the learning rate if there is one."""
        rate = self.settings.get("lr")
        return self.name if rate is None else f"{self.name} {rate:g}"

    @property
    def gaps(self) -> np.ndarray:
        """The loss above the lowest value there is; the loss itself where there is none."""
        low = self.function.lowest
        return self.losses if math.isinf(low) else np.maximum(self.losses - low, 0)

    @property
    def fell(self) -> bool:
        """Whether it ended because the function has no lower bound, which is the best that can be."""
        return math.isinf(self.function.lowest) and self.ended in (FELL, BOTTOMLESS)

    @property
    def last(self) -> float:
        """The last gap; where it ended early, inf, or -inf if it fell."""
        return float(self.gaps[-1]) if not self.ended else -math.inf if self.fell else math.inf


# One iteration a step.
AS_TAUGHT = {optim.Newton: {"solver": "exact"}, optim.LBFGS: {"line_search_fn": "strong_wolfe", "max_iter": 1}}


# ---- running ----
def descend(function: Function, name: str, steps: int | None = None, seed: int = 0, **settings) -> Run:
    """Run the optimizer of this name, of `optim` or `optim.classical`, from the function's start.

    settings go to its constructor; seed is for those that add noise. It ends early where the path leaves all bounds.
    Raises ValueError for an unknown name and for an optimizer that needs more than a loss, or another start.
    """
    kind = _kind(name)
    parameters = inspect.signature(kind).parameters
    needs = [k for k, p in parameters.items() if k != "params" and p.default is p.empty
             and p.kind is not p.VAR_KEYWORD and k not in settings]
    if needs:
        raise ValueError(f"{kind.__name__} needs {', '.join(needs)}, which {function.name} does not have")
    if kind is classical.MirrorDescent and "to_dual" not in settings and not (
            min(function.start) >= 0 and math.isclose(sum(function.start), 1)):
        raise ValueError(f"MirrorDescent needs a start with x, y >= 0 and x + y = 1, {function.name}'s is "
                         f"{function.start}")
    if _has_rate(kind):
        settings = {"lr": parameters["lr"].default, **settings}
    settings = {**AS_TAUGHT.get(kind, {}), **settings}
    steps = function.steps if steps is None else steps
    w = Parameter(np.array(function.start, np.float64), name="w")
    optimizer = kind([w], **settings)
    count, ended = 0, ""

    def closure():
        nonlocal count
        count += 1
        optimizer.zero_grad()
        loss = function(w[0], w[1])
        if not optimizer.needs_graph:
            loss.backward()
        return loss

    def spent():
        return count + 2 * getattr(optimizer, "products", 0)  # a product with the Hessian is two gradients
    points, evaluations = [w.data.copy()], [0]
    with np.errstate(all="ignore"), seeded(seed):
        for _ in range(steps):
            try:
                optimizer.step(closure)
            except ArithmeticError:
                ended = BOTTOMLESS
                break
            except np.linalg.LinAlgError:
                ended = SINGULAR
                break
            if not (np.abs(w.data) < FAR).all():
                falls = math.isinf(function.lowest) and function(*w.data) < function(*function.start)
                ended = NAN if np.isnan(w.data).any() else FELL if falls else LEFT
                break
            points.append(w.data.copy())
            evaluations.append(spent())
        points = np.array(points)
        values = function(*points.T)
    return Run(function, kind.__name__, settings, points, values, np.array(evaluations), spent(), steps, seed, ended)


def _kind(name):
    return find("optimizer", name, optimizers(), "minigrad compare --help lists them")


def _has_rate(kind):
    finds_steps = (issubclass(kind, (classical.SteepestDescent, *AS_TAUGHT)) or kind.__module__.endswith(".stepfree"))
    return "lr" in inspect.signature(kind).parameters and not finds_steps


def tuned(function: Function, name: str, steps: int | None = None) -> dict:
    """The function's settings for this optimizer, else the one of `RATES` with the smallest gap, on the way and last.

    That is the mean plus the last one, twice that for a path that leaves the window. Where the function has no lower
    bound, the smallest rate that leads out of the window downhill. Empty for an optimizer that finds its steps itself.
    """
    kind = _kind(name)
    known = function.settings.get(kind.__name__.lower())
    if known is not None or not _has_rate(kind):
        return dict(known or {})
    steps = function.steps if steps is None else steps
    tries = [descend(function, name, steps, lr=rate) for rate in _progress(RATES, f"tuning {kind.__name__}")]
    if math.isinf(function.lowest):
        bottom = function(*_grid(function)).min()
        through = [run for run in tries if run.fell or run.losses.min() < bottom]
        return (through or [min(tries, key=lambda run: run.losses.min())])[0].settings
    (left, right), (bottom, top) = function.window

    def score(run):
        x, y = run.points.T
        inside = x.min() >= left and x.max() <= right and y.min() >= bottom and y.max() <= top
        gaps = np.minimum(run.gaps, 10 * run.gaps[0])
        return bool(run.ended), (gaps.mean() + gaps[-1]) * (1 if inside else 2)
    return min(tries, key=score).settings


def _progress(rates, title):
    """rates, with a bar while they are tried, where there is a terminal."""
    from tqdm import tqdm
    return tqdm(rates, title, leave=False, dynamic_ncols=True, disable=None, unit="rate")


def race(function: Function, optimizers: Sequence[str], steps: int | None = None, seed: int = 0) -> list[Run]:
    """A `Run` of each optimizer: a name, or name:rate. Rates that are not given are `tuned`'s."""
    if not optimizers:
        raise ValueError("race: no optimizer was named")
    runs = []
    for name in optimizers:
        name, _, rate = name.partition(":")
        settings = tuned(function, name, steps) if not rate else {
            **function.settings.get(_kind(name).__name__.lower(), {}), "lr": _rate(name, rate)}
        found = not rate and "lr" in settings and _kind(name).__name__.lower() not in function.settings
        runs.append(replace(descend(function, name, steps, seed, **settings), tuned=found))
    return runs


def _rate(name, text):
    if "lr" not in inspect.signature(_kind(name)).parameters:
        raise ValueError(f"{name}:{text}: {name} has no learning rate")
    try:
        return float(text)
    except ValueError as error:
        raise ValueError(f"{name}:{text}: the rate is not a number") from error


def sensitivity(run: Run, rates: Sequence[float] = RATES) -> np.ndarray:
    """`Run.last` of this run's optimizer, with its steps, seed and other settings, at each rate."""
    return np.array([descend(run.function, run.name, run.steps, run.seed, **{**run.settings, "lr": rate}).last
                     for rate in _progress(rates, f"rates of {run.name}")])


def table(runs: Sequence[Run]) -> str:
    """Where each run ended, with what value, after how many steps and gradients, and why if early, as text."""
    rows = [("optimizer", "lr", "x", "y", "loss", "steps", "gradients", "ended")]
    rows += [(r["optimizer"], f"{r['lr']:g}" if r["lr"] != "" else "-", f"{r['x']:.8g}", f"{r['y']:.8g}",
              f"{r['loss']:.4g}", str(r["steps"]), str(r["gradients"]), r["ended"]) for r in map(_row, runs)]
    columns = list(zip(*rows))[:None if any(run.ended for run in runs) else -1]
    widths = [max(map(len, column)) for column in columns]
    return "\n".join("  ".join(cell.ljust(w) if i in (0, 7) else cell.rjust(w)
                               for i, (cell, w) in enumerate(zip(row, widths))).rstrip() for row in rows)


def notes(runs: Sequence[Run]) -> list[str]:
    """What has to be known of a table: which rates were tuned and by what, and what the pictures cannot show."""
    said, function = [], runs[0].function
    found = [run.name for run in runs if run.tuned]
    if found:
        by = (f"the smallest that leads out of the pictures downhill in {runs[0].steps} steps, if any"
              if math.isinf(function.lowest) else
              f"the smallest mean plus last loss of {runs[0].steps} steps, doubled where a path leaves the pictures")
        said.append(f"lr tuned, of {len(RATES)} from {RATES[0]:g} to {RATES[-1]:g} by {by}: {', '.join(found)}; choose "
                    f"others as {found[0].lower()}:0.1")
    if len(runs) > APART:
        said.append(f"{len(runs)} runs: beyond {APART} colours and lines are used again, with other markers")
    return said


def _row(run):
    (x, y), loss = run.points[-1], run.losses[-1]
    return {"function": run.function.name, "optimizer": run.name, "lr": run.settings.get("lr", ""), "x": float(x),
            "y": float(y), "loss": float(loss), "steps": len(run.losses) - 1, "gradients": run.gradients,
            "ended": run.ended, "tuned": run.tuned}


def to_csv(runs: Sequence[Run], path: str | os.PathLike[str]) -> Path:
    """The table with all digits, as a file."""
    rows = [_row(run) for run in runs]
    with replacing(path) as beside, open(beside, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return Path(path)


def write(runs: Sequence[Run], folder: str | os.PathLike[str], dark: bool = False) -> list[Path]:
    """The table, all pictures of these runs and the animation, into a folder; returns their paths.

    Raises MissingExtra without matplotlib or Pillow; what does not need the missing one is there then.
    """
    folder = Path(folder)
    written = [to_csv(runs, folder / "table.csv")]
    for draw, name in ((paths, "paths.png"), (gallery, "side-by-side.png"), (losses, "loss.png"),
                       (rates, "rates.png"), (animation, "paths.gif")):
        written.append(draw(runs, folder / name, dark))
    return written


# ---- drawing ----
def paths(runs: Sequence[Run], path: str | os.PathLike[str], dark: bool = False) -> Path:
    """Every path over the function's contours, in one picture. Ring: the start. Star: the minima."""
    theme = DARK if dark else LIGHT
    figure, axes = _stage(runs, theme)
    for i, run in enumerate(runs):
        _path(axes, run, i, theme)
    style.legend(figure, axes, theme)
    return style.write(figure, path)


def gallery(runs: Sequence[Run], path: str | os.PathLike[str], dark: bool = False) -> Path:
    """The same, each path in a panel of its own, with the loss it ended at."""
    theme, function = DARK if dark else LIGHT, runs[0].function
    columns = min(len(runs), 4 if len(runs) > 6 or len(runs) == 4 else 3)
    rows = math.ceil(len(runs) / columns)
    width, height = _shape(function)
    figure = style.figure(3.3 * columns * max(width, 0.75), (3.3 * height + 0.35) * rows + 0.5, theme)
    for i, run in enumerate(runs):
        axes = figure.add_subplot(rows, columns, i + 1)
        _contours(axes, function, theme)
        _path(axes, run, i, theme)
        why = f"\n{run.ended} in step {len(run.points)}" if run.ended else ""
        axes.set_title(f"{run.label}: {run.losses[-1]:.3g}{why}", fontsize=10, color=theme.ink, loc="left")
        axes.tick_params(labelsize=7)
    figure.suptitle(f"{function.name}: {function.formula}, loss after {_steps(runs)} steps"
                    + " or at the last point" * any(run.ended for run in runs), fontsize=11, color=theme.ink)
    return style.write(figure, path)


def losses(runs: Sequence[Run], path: str | os.PathLike[str], dark: bool = False) -> Path:
    """The loss (above its lowest value) against steps and against gradient evaluations."""
    theme, function = DARK if dark else LIGHT, runs[0].function
    figure = style.figure(10, 4.4, theme, [run.label for run in runs])
    for k, (title, xs) in enumerate((("step", [np.arange(len(r.losses)) for r in runs]),
                                     ("gradient evaluations", [r.evaluations for r in runs]))):
        axes = figure.add_subplot(1, 2, k + 1)
        for i, (run, x) in enumerate(zip(runs, xs)):
            axes.plot(x, _floored(run.gaps), label=run.label, markevery=_every(run), **_look(i, theme))
        ends = [run.gradients for run in runs if not run.ended] or [1]
        if k and max(ends) > 4 * min(ends):
            axes.set_xscale("symlog", linthresh=1, linscale=0.3)  # log, and 0 is on it
        axes.margins(x=0.02)
        style.axes(axes, theme, title)
        _scale(axes, function, runs)
    figure.suptitle(f"{function.name}: {_what(function).rstrip(',')}", fontsize=11, color=theme.ink)
    style.legend(figure, axes, theme)
    return style.write(figure, path)


def rates(runs: Sequence[Run], path: str | os.PathLike[str], dark: bool = False,
          grid: Sequence[float] = RATES) -> Path:
    """How much the learning rate matters: each optimizer's last loss over a grid of rates. Ring: the run's own rate.

    A curve ends where the path leaves all bounds, but for those that fall where there is no lower bound: they count as
    the window's lowest value. Optimizers that find their steps themselves are level lines.
    """
    theme, function = DARK if dark else LIGHT, runs[0].function
    endless = math.isinf(function.lowest)
    floor = function(*_grid(function)).min() if endless else 0
    figure = style.figure(7.4, 4.6, theme, [run.name for run in runs])
    axes = figure.add_subplot()
    axes.set_xscale("log")
    rings, shown = [], [*grid, *(run.settings["lr"] for run in runs if run.settings.get("lr"))]
    axes.set_xlim(min(shown) / 1.5, max(shown) * 1.5)
    for i, run in enumerate(runs):
        look, mine = _look(i, theme), run.settings.get("lr")
        xs = sorted({*grid, *([mine] if mine else [])})
        last = np.array([run.last] * len(xs)) if mine is None else sensitivity(run, xs)
        last = np.where(last < math.inf, np.maximum(_floored(last), floor), np.nan)
        axes.plot(xs, last, label=run.name, **look)
        if mine:
            rings.append((mine, last[xs.index(mine)], look["color"]))
    style.axes(axes, theme, "learning rate (ring: the one in the other pictures)")
    _scale(axes, function, runs)
    top = axes.get_ylim()[1]
    for x, y, colour in rings:  # at the upper edge where the run left all bounds
        axes.plot([x], [min(y, top) if y < math.inf else top], "o", markersize=12, markerfacecolor="none",
                  markeredgewidth=1.5, markeredgecolor=colour, clip_on=False)
    cut = f", at least {floor:.4g}, the lowest in the window" if endless else ""
    figure.suptitle(f"{function.name}: {_what(function)} after {_steps(runs)} steps{cut}", fontsize=11, color=theme.ink)
    style.legend(figure, axes, theme)
    return style.write(figure, path)


def animation(runs: Sequence[Run], path: str | os.PathLike[str], dark: bool = False, frames: int = 60) -> Path:
    """`paths` as a GIF that grows step by step, by Pillow (the extra ``image``)."""
    try:
        image = importlib.import_module("PIL.Image")
    except ImportError as error:
        raise MissingExtra('pillow is needed for the animation: pip install "minigrad[image]"') from error
    theme = DARK if dark else LIGHT
    figure, axes = _stage(runs, theme)
    agg = importlib.import_module("matplotlib.backends.backend_agg")
    figure.set_dpi(100)
    canvas = agg.FigureCanvasAgg(figure)
    lines = [_path(axes, run, i, theme) for i, run in enumerate(runs)]
    last = max(len(run.points) for run in runs) - 1
    counter = axes.set_xlabel(f"step {last}", loc="right", color=theme.ink)  # below the axes, where no path is
    style.legend(figure, axes, theme)
    canvas.draw()  # the layout
    picture = lambda: image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    palette = image.new("P", (1, 1))
    palette.putpalette(_palette(theme))
    moving = [artist for pair in lines for artist in pair] + [counter]
    for artist in moving:
        artist.set_animated(True)
    figure.set_layout_engine("none")
    counter.set_text("")
    canvas.draw()
    background, shots = canvas.copy_from_bbox(figure.bbox), []
    for step in sorted({round(k) for k in np.linspace(0, last, min(frames, last + 1))}):
        canvas.restore_region(background)
        for run, (line, head) in zip(runs, lines):
            until = run.points[:step + 1]
            line.set_data(*until.T)
            head.set_data(*until[-1:].T)
        counter.set_text(f"step {step}")
        for artist in moving:
            axes.draw_artist(artist)
        shots.append(picture().quantize(palette=palette, dither=image.Dither.NONE))
    path = Path(path)
    with replacing(path) as beside:
        shots[0].save(beside, format="GIF", save_all=True, append_images=shots[1:], loop=0, optimize=False,
                      duration=[*[100] * (len(shots) - 1), 2000])
    return path


# ---- parts of pictures ----
def _palette(theme):
    """At most 256 colours for a GIF: the paths', the greys', and what lies between them at soft edges."""
    from matplotlib.colors import to_rgb
    def ramp(a, b, n):
        return np.linspace(to_rgb(a), to_rgb(b), n)
    ramps = [ramp(theme.low, theme.high, 32), ramp(theme.paper, theme.ink, 48), ramp(theme.high, theme.faint, 8)]
    ramps += [ramp(colour, paper, 10) for colour in theme.colours for paper in (theme.low, theme.high)]
    return (255 * np.concatenate(ramps)).round().astype(int).ravel().tolist()


def _shape(function):
    """Width and height of a panel, at most 1 each: the window's own where that is neither flat nor thin."""
    (left, right), (bottom, top) = function.window
    ratio = (right - left) / (top - bottom)
    ratio = ratio if 1 / 3 <= ratio <= 3 else 1.5
    return (1.0, 1 / ratio) if ratio > 1 else (ratio, 1.0)


def _stage(runs, theme):
    function = runs[0].function
    width, height = _shape(function)
    width = 6.4 * max(width, 0.8)
    figure = style.figure(width, 6 * height + 0.8, theme, [run.label for run in runs])
    axes = figure.add_subplot()
    _contours(axes, function, theme)
    axes.set_title(f"{function.name}: {function.formula}\n{function.why}", fontsize=10, color=theme.ink, loc="left")
    return figure, axes


def _grid(function, n=201):
    (left, right), (bottom, top) = function.window
    return np.meshgrid(np.linspace(left, right, n), np.linspace(bottom, top, n))


def _contours(axes, function, theme):
    from matplotlib.colors import LinearSegmentedColormap
    x, y = _grid(function)
    z = function(x, y)
    low, high = float(z.min()), float(z.max())
    if function.log:
        low = function.lowest
        levels = [low, *(low + np.geomspace((high - low) * 1e-5, high - low, 13))]
    else:  # squares, so that the rings of a bowl are at equal distances
        levels = low + (high - low) * np.linspace(0, 1, 15) ** (1 if math.isinf(function.lowest) else 2)
    shades = LinearSegmentedColormap.from_list("paper", [theme.low, theme.high], len(levels) - 1)
    axes.contourf(x, y, z, levels, colors=shades(np.linspace(0, 1, len(levels) - 1)))
    axes.contour(x, y, z, levels[1:-1], colors=theme.faint, linewidths=0.4, linestyles="solid")
    axes.set(xlim=function.window[0], ylim=function.window[1])
    for at in function.minima:
        axes.plot(*at, marker="*", markersize=13, color=theme.paper, markeredgecolor=theme.ink, linestyle="", zorder=5)
    axes.plot(*function.start, "o", markersize=10, markerfacecolor="none", markeredgecolor=theme.ink,
              markeredgewidth=1.2, zorder=5)
    style.bare(axes, theme)


def _look(i, theme):
    n = len(theme.colours)
    return {"color": theme.colours[i % n], "linestyle": LINES[i // n % len(LINES)], "linewidth": 1.5,
            "marker": MARKERS[(i + i // n) % len(MARKERS)], "markersize": 3}


def _every(run):
    return max(1, math.ceil(len(run.points) / DOTS))


def _path(axes, run, i, theme):
    """(the path, the sign at its end)."""
    look = _look(i, theme)
    line, = axes.plot(*run.points.T, label=run.label, markevery=_every(run), alpha=0.9, **look)
    head, = axes.plot(*run.points[-1:].T, linestyle="", marker=look["marker"], markersize=8, color=look["color"],
                      markeredgecolor=theme.paper, markeredgewidth=1.0, zorder=6)
    return line, head


def _floored(gaps):
    return np.where(np.abs(gaps) < 1e-16, 1e-16, gaps)  # where rounding begins; a log scale has no zero


def _scale(axes, function, runs):
    """Log where there is a lowest value; else the range of the window, which paths leave."""
    if math.isinf(function.lowest):
        z = function(*_grid(function))
        axes.set_ylim(z.min() * 1.05, z.max() * 1.05)
        return
    axes.set_yscale("log")
    start = float(runs[0].gaps[0])
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, 3e-17), min(high, 30 * start))


def _what(function):
    if math.isinf(function.lowest):
        return "loss"
    return "loss" if function.lowest == 0 else f"loss above its minimum of {function.lowest:.4f},"


def _steps(runs):
    return max(run.steps for run in runs)
