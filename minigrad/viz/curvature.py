"""The Hessian's spectrum as a picture: how steep the loss is in how many directions, and the loss along the outermost.

    curvature.spectrum(lambda: criterion(model(x), y), model.parameters(), "runs/spectrum.png")
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..optim.curvature import SpectralDensity, extreme_eigenvalues, spectral_density
from ..optim.second_order import Objective
from ..tensor import Tensor
from . import style
from .style import DARK, LIGHT

__all__ = ["Slice", "slice_along", "spectrum"]

DECADES = 4  # below the density's height, that are shown
FULL = 0.83  # of the panel's height, up to which the density reaches; the labels are above


class Slice(NamedTuple):
    """losses = f(w + a v) at distances a; model: f + a slope + a^2 curvature / 2, with the derivatives at w along v."""

    distances: np.ndarray
    losses: np.ndarray
    model: np.ndarray


def slice_along(loss: Callable[[], Tensor], params: Iterable, direction: np.ndarray, curvature: float,
                radius: float | None = None, points: int = 81) -> Slice:
    """The loss along ``direction``, a unit vector over all params that require grad, and its second-order model.

    radius: how far to either side; by default as far as the curvature alone takes to change the loss by itself, no
    further than the weights' norm, or 1, and halved, up to 8 times, while the loss changes by over 3 times what the
    model says. The parameters are left as they are.
    """
    objective = Objective(loss, params)
    x, arrays = objective.x, [p.data for p in objective.params]
    direction = np.asarray(direction, np.float64)
    try:
        with np.errstate(all="ignore"):
            here, gradient = objective.fun(x)
            if radius is None:
                norm = float(np.linalg.norm(x)) or 1.0
                radius = min(norm, math.sqrt(2 * (abs(here) or 1.0) / abs(curvature))) if curvature else norm
                slope = abs(float(gradient @ direction))
                for _ in range(8):
                    change = max(abs(objective.value(x + s * direction) - here) for s in (-radius, radius))
                    if not curvature or change <= 3 * (slope * radius + abs(curvature) * radius ** 2 / 2):
                        break
                    radius /= 2
            a = np.linspace(-radius, radius, points)
            losses = np.array([objective.value(x + s * direction) for s in a])
    finally:
        for p, array in zip(objective.params, arrays):
            p.data = array
    return Slice(a, losses, here + a * float(gradient @ direction) + a ** 2 * curvature / 2)


def spectrum(loss: Callable[[], Tensor], params: Iterable, path: str | os.PathLike[str], title: str = "",
             dark: bool = False, radius: float | None = None, **options) -> Path:
    """The density of the Hessian's eigenvalues where ``params`` are, and the loss along the two outermost directions.

    Left, on a log scale, `spectral_density` (options are its), ticks for all eigenvalues where they are known, and the
    largest and the smallest by `extreme_eigenvalues`. Right, the loss from w along the vectors of these, and dotted
    what slope and curvature at w predict (`slice_along`). The path's suffix is the format. Returns the path; the
    parameters are left as they are. Raises MissingExtra without matplotlib. The Hessian does not see kinks: beside a
    ReLU's, the loss may rise at once where the curvature is negative.
    """
    params = [params] if isinstance(params, Tensor) else list(params)
    theme = DARK if dark else LIGHT
    figure = style.figure(10, 4.8, theme)
    largest, smallest = extreme_eigenvalues(loss, params)
    density = spectral_density(loss, params, **options)
    ends = [(float(smallest.values[0]), smallest.vectors[:, 0], theme.colours[0], "v"),
            (float(largest.values[0]), largest.vectors[:, 0], theme.colours[1], "^")]
    grid = figure.add_gridspec(2, 2, width_ratios=(1.5, 1))
    axes = figure.add_subplot(grid[:, 0])
    _density(axes, density, ends, theme)
    for row, (value, vector, colour, _) in enumerate(ends):
        panel = figure.add_subplot(grid[row, 1])
        _slice(panel, slice_along(loss, params, vector, value, radius), colour, theme)
        name = ("most negative curvature" if value < 0 else "smallest curvature") if row == 0 else "largest curvature"
        panel.set_title(f"loss along the {name}, {_number(value)}", fontsize=9.5, color=theme.ink, loc="left")
        if row:
            panel.set_xlabel("distance from the weights", color=theme.ink, fontsize=9)
    n = len(largest.vectors)
    how = "all eigenvalues" if density.exact else "stochastic Lanczos quadrature"
    below = float(density.weights[density.eigenvalues < -1e-6 * np.abs(density.eigenvalues).max()].sum())
    figure.suptitle(f"{title + ': ' if title else ''}spectrum of the Hessian, {n:,} parameters ({how}); "
                    f"{100 * below:.0f} % of it below zero", fontsize=11, color=theme.ink)
    return style.write(figure, path)


def _density(axes, found: SpectralDensity, ends, theme):
    style.axes(axes, theme, f"eigenvalue (mean {_number(found.mean)})")
    top = float(found.density.max())
    floor = top * 10.0 ** -DECADES
    axes.set_yscale("log")
    axes.fill_between(found.grid, floor, np.maximum(found.density, floor), color=theme.high, linewidth=0)
    axes.plot(found.grid, np.maximum(found.density, floor), color=theme.ink, linewidth=1)
    if found.exact:
        axes.plot(found.eigenvalues, np.full(len(found.eigenvalues), 0.022), "|", color=theme.faint, markersize=8,
                  transform=axes.get_xaxis_transform())
    axes.axvline(0, 0, FULL, color=theme.faint, linewidth=0.8, linestyle=(0, (4, 3)))
    apart = ends[1][0] - ends[0][0] > 0.3 * np.ptp(found.grid)
    sides = (("left", 0), ("right", 0)) if apart else (("right", -5), ("left", 5))
    for (value, _, colour, marker), name, (side, shift) in zip(ends, ("smallest", "largest"), sides):
        axes.axvline(value, 0, FULL, color=colour, linewidth=1.2)
        axes.plot([value], [FULL], marker, color=colour, markersize=8, transform=axes.get_xaxis_transform())
        axes.annotate(f"{name}\n{_number(value)}", (value, FULL), (shift, 9), xycoords=axes.get_xaxis_transform(),
                      textcoords="offset points", ha=side, va="bottom", fontsize=9, color=theme.ink)
    axes.set_ylim(floor, floor * 10 ** (DECADES / (FULL - 0.03)))
    axes.set_title("density (log scale)", fontsize=9.5, color=theme.ink, loc="left")


def _slice(axes, found: Slice, colour, theme):
    style.axes(axes, theme, "")
    a, losses, model = found
    axes.plot(a, losses, color=colour, linewidth=1.8, label="loss")
    axes.plot(a, model, color=theme.ink, linewidth=1, linestyle=":", label="slope and curvature")
    axes.plot([0], [losses[len(a) // 2]], "o", markersize=6, color=theme.paper, markeredgecolor=theme.ink)
    shown = losses[np.isfinite(losses)]
    if len(shown):
        low, high = shown.min(), shown.max()
        room = 0.12 * (high - low) or 1.0
        axes.set_ylim(low - room, high + room)
    legend = axes.legend(fontsize=8, frameon=False, handlelength=1.8, loc="best")
    for text in legend.get_texts():
        text.set_color(theme.ink)


def _number(value):
    return f"{value:.3g}".replace("-", "−")
