"""A full-batch race as pictures: loss and gradient against steps, gradient equivalents and seconds.

    runs = race.race(race.problem("digits"), ["adam", "lbfgs"])
    viz.race.write(runs, "runs/race")
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..race import DIVERGED, Run, groups, series_to_csv, to_csv
from . import style
from .style import DARK, LIGHT, MARKERS

__all__ = ["gradients", "losses", "write"]

AXES = (("steps", "iteration"), ("gradient equivalents", "gradient_equivalents"), ("seconds", "seconds"))
FLOOR = 1e-16  # a log scale has no zero; what rises a hundredfold, or is not finite, is drawn at that height


def write(runs: Sequence[Run], folder: str | os.PathLike[str], dark: bool = False, target: float = 1e-3) -> list[Path]:
    """table.csv, series.csv, loss.png and gradient.png, into a folder; returns their paths.

    Raises MissingExtra without matplotlib; the tables are there then.
    """
    folder = Path(folder)
    return [to_csv(runs, folder / "table.csv", target), series_to_csv(runs, folder / "series.csv"),
            losses(runs, folder / "loss.png", dark, target), gradients(runs, folder / "gradient.png", dark)]


def losses(runs: Sequence[Run], path: str | os.PathLike[str], dark: bool = False, target: float = 1e-3) -> Path:
    """The training loss, a panel for each of the three axes. Whole lines: second order; dashed: first. X: diverged.

    Over several seeds, the median and the band between the least and the largest. With an L2 penalty, the loss above
    the least that any run found, for it does not go to zero.
    """
    least = {}
    for run in runs:
        if run.problem.l2:
            seed = run.problem.seed
            least[seed] = min([least.get(seed, math.inf), *(i.loss for i in run.history if math.isfinite(i.loss))])
    return _draw(runs, path, dark, "training loss above the least found" if least else "training loss",
                 lambda run, i: i.loss - least.get(run.problem.seed, 0), None if least else target)


def gradients(runs: Sequence[Run], path: str | os.PathLike[str], dark: bool = False) -> Path:
    """The same for the largest element of the gradient."""
    return _draw(runs, path, dark, "largest |gradient element|", lambda run, i: i.gradient_norm, None)


def _draw(runs, path, dark, ylabel, value, target):
    theme, several = DARK if dark else LIGHT, groups(runs)
    labels = [group[0].label for group in several]
    figure = style.figure(12, 4.6, theme, labels)
    first, starts = None, [value(run, run.history[0]) for run in runs]
    top = max([1e2 * y for y in starts if math.isfinite(y) and y > 0], default=math.inf)
    ends = [value(run, run.history[-1]) for run in runs]  # whoever found the least ends at 0, which is no reason to
    floor = max(FLOOR, min([0.1 * y for y in ends if math.isfinite(y) and y > 0], default=FLOOR))  # crowd the others
    for k, (title, key) in enumerate(AXES):
        axes = figure.add_subplot(1, len(AXES), k + 1, sharey=first)
        first = first or axes
        for i, group in enumerate(several):
            xs = [np.array([getattr(it, key) for it in run.history], float) for run in group]
            ys = [np.array([value(run, it) for it in run.history], float) for run in group]
            ys = [np.clip(np.where(np.isfinite(y), y, top), floor, top) for y in ys]
            look = _look(i, group[0].second_order, theme)
            x, low, middle, high = _band(xs, ys)
            if len(group) > 1:
                axes.fill_between(x, low, high, color=look["color"], alpha=0.18, linewidth=0, step="post")
            marks = max(1, len(x) // 12)
            axes.plot(x, middle, label=group[0].label, markevery=(0, marks),
                      drawstyle="steps-post" if len(group) > 1 else "default", **look)
            away = any(run.ended == DIVERGED for run in group)
            axes.plot(x[-1:], middle[-1:], marker="x" if away else look["marker"], markersize=11 if away else 7,
                      color=look["color"], linestyle="", markeredgewidth=2.5 if away else 1, zorder=5,
                      clip_on=False)
        axes.set_yscale("log")
        if key == "iteration":  # from 0 on
            axes.set_xscale("symlog", linthresh=1, linscale=0.4)
            axes.set_xlim(left=0)
        else:
            axes.set_xscale("log")
        if target is not None:
            axes.axhline(target, color=theme.faint, linewidth=1, linestyle=":", zorder=0)
            axes.annotate(f"{target:g}", (0.01, target), xycoords=("axes fraction", "data"), xytext=(0, 2),
                          textcoords="offset points", fontsize=8, color=theme.ink)
        style.axes(axes, theme, title)
        axes.tick_params(labelleft=k == 0)
    first.set_ylabel(ylabel, color=theme.ink)
    seeds = len({run.problem.seed for run in runs})
    bands = f"; {seeds} seeds: median, least to largest" if seeds > 1 else ""
    figure.suptitle(f"{runs[0].problem.title}{bands}", fontsize=11, color=theme.ink)
    handles, names = first.get_legend_handles_labels()
    legend = figure.legend(handles, names, loc="outside lower center", ncols=min(len(labels), 7), fontsize=9,
                           frameon=False, handlelength=3.2, columnspacing=1.8,
                           title="whole lines: second order; dashed: first order"
                                 + "; cross: diverged" * any(run.ended == DIVERGED for run in runs))
    for text in (*legend.get_texts(), legend.get_title()):
        text.set_color(theme.ink)
        text.set_fontsize(9)
    return style.write(figure, path)


def _look(i, second_order, theme):
    n = len(theme.colours)
    return {"color": theme.colours[i % n], "linestyle": "-" if second_order else (0, (4, 1.6)),
            "linewidth": 1.8 if second_order else 1.4, "marker": MARKERS[(i + i // n) % len(MARKERS)], "markersize": 4}


def _band(xs, ys):
    """x, least, median and largest y there, each curve being constant from one of its points to the next.

    A curve that is over stays at its last value.
    """
    if len(xs) == 1:
        return xs[0], ys[0], ys[0], ys[0]
    x = np.unique(np.concatenate([*xs, [max(each[0] for each in xs)]]))
    x = x[x >= max(each[0] for each in xs)]
    at = np.array([y[np.searchsorted(each, x, side="right") - 1] for each, y in zip(xs, ys)])
    return x, at.min(axis=0), np.median(at, axis=0), at.max(axis=0)
