"""Pictures of a training, by matplotlib (the extra ``plot``). Figures are objects: pyplot's state stays alone."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..train import History
from . import style
from .style import DARK, LIGHT, MissingExtra, short

__all__ = ["MissingExtra", "confusion_matrix", "curves", "wrongest"]


def curves(history: History, path: str | os.PathLike[str], labels: Sequence[str] = ("training", "validation"),
           title: str = "", dark: bool = False) -> Path:
    """Loss and accuracy over the epochs, in one picture; its format is the path's suffix. Returns the path.

    labels: what the two curves are called. The ring marks the best epoch (`History.best`). Raises ValueError for an
    empty history, MissingExtra without matplotlib.
    """
    if not len(history):
        raise ValueError("curves: the history is empty: no epoch was finished")
    panels = [("loss", "loss", "val_loss"), ("accuracy", "accuracy", "val_accuracy")]
    panels = [p for p in panels if any(v is not None for v in history[p[1]] + history[p[2]])]
    theme = DARK if dark else LIGHT
    figure = style.figure(4.6 * len(panels) + 0.6, 3.6, theme)
    for i, (name, *columns) in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), i + 1)
        ends = []
        for column, label, colour in zip(columns, labels, theme.colours):
            points = [(r.epoch, getattr(r, column)) for r in history if getattr(r, column) is not None]
            if points:
                axes.plot(*zip(*points), color=colour, linewidth=2, marker="o", markersize=4)
                ends.append((points[-1], label, colour))
                if column == columns[-1] or history[columns[-1]][0] is None:
                    best = history.best
                    axes.plot([best.epoch], [getattr(best, column)], "o", markersize=11, markerfacecolor="none",
                              markeredgecolor=colour, clip_on=False)
        _panel(axes, name, history, theme)
        _label_ends(axes, ends)
    figure.suptitle(title, fontsize=12, color=theme.ink)
    return style.write(figure, path)


def _panel(axes, name, history, theme):
    from matplotlib.ticker import MaxNLocator, PercentFormatter
    style.bare(axes, theme)
    axes.set_title(name, loc="left", fontsize=11, color=theme.ink)
    axes.set_xlabel("epoch (ring: the best)" if len(history) > 1 else "epoch", color=theme.ink)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, min_n_ticks=1))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color=theme.high, linewidth=0.8)
    axes.set_axisbelow(True)
    first, last = history[0].epoch, history[-1].epoch
    margin = max(0.06 * (last - first), 0.1)
    axes.set_xlim(first - margin, last + margin)
    low, high = axes.get_ylim()
    if name == "accuracy":
        axes.set_ylim(low, min(high, 1 + 0.02 * (1 - low)))
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=None))
    else:
        axes.set_ylim(min(low, 0) if low < 0.3 * high else low, high)


def _label_ends(axes, ends):
    """Each curve's name and last value beside its end, moved apart where they would overlap."""
    low, high = axes.get_ylim()
    gap, at = 0.09 * (high - low), -math.inf
    percent = axes.get_title(loc="left") == "accuracy"
    ends = sorted(ends, key=lambda end: end[0][1])
    middle = sum(y for (_, y), _, _ in ends) / max(len(ends), 1)
    crowded = len(ends) > 1 and ends[1][0][1] - ends[0][0][1] < gap
    for i, ((_, y), label, colour) in enumerate(ends):
        place = middle + (i - 0.5) * gap if crowded else y
        at = max(place, at + gap)
        shown = f"{y:.2%}" if percent else f"{y:.4f}"
        axes.annotate(f"{label} {shown}", (1, at), xycoords=("axes fraction", "data"), xytext=(4, 0),
                      textcoords="offset points", va="center", color=colour, fontsize=9.5, annotation_clip=False)


def confusion_matrix(counts, classes: Sequence[str] | None, path: str | os.PathLike[str], title: str = "",
                     dark: bool = False) -> Path:
    """The counts of `metrics.confusion_matrix` as coloured cells: rows the truth, columns what was said.

    The colour is the share of the row, spread so that rare mistakes show; up to 20 classes, the counts are written in.
    Raises ValueError unless counts is square, of numbers from 0 up, and classes fit, MissingExtra without matplotlib.
    """
    counts = np.asarray(counts)
    n = len(counts) if counts.ndim else 0
    classes = [short(style.shown(str(c))) for c in (range(n) if classes is None else classes)]
    if counts.shape != (n, n) or len(classes) != n or not n:
        raise ValueError(f"confusion_matrix: counts {counts.shape} must be (C, C), for {len(classes)} classes")
    if counts.dtype.kind not in "iuf" or not (np.isfinite(counts) & (counts >= 0)).all():
        raise ValueError(f"confusion_matrix: counts are numbers from 0 up, got {counts.dtype} with {counts.min()}")
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = min(max(4.2, 0.52 * n + 1.2), 12)
    theme = DARK if dark else LIGHT
    figure = style.figure(side + 0.3, side, theme)
    axes = figure.add_subplot()
    style.bare(axes, theme)
    shade = share ** 0.35
    axes.imshow(shade, cmap=_shades(theme), vmin=0, vmax=1)
    axes.set_xticks(range(n), classes, rotation=90 if max(map(len, classes)) > 3 else 0)
    axes.set_yticks(range(n), classes)
    axes.set_xticks(np.arange(n + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(n + 1) - 0.5, minor=True)
    axes.grid(which="minor", color=theme.paper, linewidth=1.5)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("said", color=theme.ink)
    axes.set_ylabel("truth", color=theme.ink)
    if n <= 20:
        for row, column in np.argwhere(counts):
            axes.text(column, row, f"{counts[row, column]}", ha="center", va="center",
                      fontsize=8 if counts.max() > 999 else 9, fontweight="bold" if row == column else "normal",
                      color=theme.paper if shade[row, column] > 0.6 else theme.ink)
    total = counts.sum()
    right = f"{np.trace(counts):,} of {total:,} right ({np.trace(counts) / max(total, 1):.2%})"
    axes.set_title(f"{title}: {right}" if title else right, fontsize=11, color=theme.ink, pad=10)
    return style.write(figure, path)


def _shades(theme):
    from matplotlib.colors import LinearSegmentedColormap
    return LinearSegmentedColormap.from_list("shades", [theme.low, theme.colours[0]])


def wrongest(images, truth, predicted, probability, path: str | os.PathLike[str],
             classes: Sequence[str] | None = None, count: int = 25, title: str = "", dark: bool = False) -> Path:
    """The mistakes made with the most confidence, the most confident first: "truth 4, said 9 (98%)".

    images: (N, H, W), (N, 1, H, W) or (N, 3, H, W). truth, predicted: labels (N,). probability: of what was predicted
    (N,), or of all classes (N, C). Ink is the largest value of an image, paper the smallest, at most 0. Without a
    mistake, the picture says so. Raises ValueError for shapes that do not fit, MissingExtra without matplotlib.
    """
    images, truth, predicted, probability = map(np.asarray, (images, truth, predicted, probability))
    shape = images.shape
    if images.ndim == 4 and shape[1] in (1, 3):
        images = np.moveaxis(images, 1, -1) if images.shape[1] == 3 else images[:, 0]
    if len(shape) not in (3, 4) or (len(shape) == 4 and shape[1] not in (1, 3)):
        raise ValueError(f"wrongest: images are (N, H, W), (N, 1, H, W) or (N, 3, H, W), got {shape}")
    if not (len(images) == len(truth) == len(predicted) == len(probability)):
        raise ValueError(f"wrongest: images {shape}, truth {truth.shape}, predicted {predicted.shape} and "
                         f"probability {probability.shape} must have one row per image")
    if probability.ndim == 2:
        probability = probability[np.arange(len(predicted)), predicted]
    wrong = np.flatnonzero(truth != predicted)
    chosen = wrong[np.argsort(-probability[wrong], kind="stable")][:count]
    say = str if classes is None else lambda label: short(classes[label], 16)
    told = [(say(truth[k]), f"said {say(predicted[k])} ({_percent(probability[k])})") for k in chosen]
    between = ", " if all(len(a + b) < 28 for a, b in told) else "\n"
    columns = min(5, max(len(chosen), 1))
    rows = max(math.ceil(len(chosen) / columns), 1)
    theme = DARK if dark else LIGHT
    figure = style.figure(max(1.75 * columns, 4.5), (1.85 if between == ", " else 2.0) * rows + 0.5, theme)
    for i, (k, (is_, said)) in enumerate(zip(chosen, told)):
        axes = figure.add_subplot(rows, columns, i + 1)
        if images.ndim == 4:
            axes.imshow(style.pixels(images[k]))
        else:
            axes.imshow(images[k], cmap="gray_r", vmin=min(float(images[k].min()), 0),
                        vmax=max(float(images[k].max()), 1e-6))
        axes.set_title(f"truth {is_}{between}{said}", fontsize=8.5, color=theme.ink, pad=4)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_color(theme.high)
    if not len(chosen):
        figure.text(0.5, 0.45, "no mistake", ha="center", va="center", fontsize=14, color=theme.faint)
    note = f"{len(wrong):,} of {len(truth):,} wrong" + (f", the {len(chosen)} most confident"
                                                      if len(wrong) > len(chosen) else "")
    figure.suptitle(f"{title}: {note}" if title else note, fontsize=11, color=theme.ink)
    return style.write(figure, path)


def _percent(p):
    return f"{p:.0%}" if p < 0.995 else ">99%"
