"""Why the first weights matter: what a deep network does with them, layer by layer, before any training.

    activations.histograms("runs/init-tanh.png", "tanh")
    activations.vanishing("runs/vanishing.png")
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .. import functional as F
from ..nn import init
from ..tensor import Parameter, Tensor
from . import style
from .style import DARK, LIGHT, MARKERS

__all__ = ["INITIALIZERS", "Layers", "histograms", "layers", "plateau", "signals", "vanishing"]

Initializer = Callable[..., Tensor]

ACTIVATIONS: dict[str, Callable] = {
    "tanh": F.tanh, "sigmoid": F.sigmoid, "relu": F.relu, "leaky_relu": F.leaky_relu, "gelu": F.gelu}
TITLES = {"relu": "ReLU", "leaky_relu": "leaky ReLU", "gelu": "GELU"}
BOUNDED = {"tanh": (-1.0, 1.0), "sigmoid": (0.0, 1.0)}

# What a learner tries, from the worst on. 0.01 and 1 are the standard deviations of folklore and of the naive.
INITIALIZERS: dict[str, Initializer] = {
    "zeros": lambda w, generator=None: init.zeros_(w),
    "normal 0.01": lambda w, generator=None: init.normal_(w, 0, 0.01, generator),
    "normal 1": lambda w, generator=None: init.normal_(w, 0, 1, generator),
    "LeCun": init.lecun_normal_,
    "Xavier": init.xavier_normal_,
    "He": init.he_normal_,
    "orthogonal": init.orthogonal_,
}
FOLKLORE = {"sigmoid": init.xavier_normal_, "tanh": init.xavier_normal_}  # else He's


class Layers(NamedTuple):
    """One network before training: for each hidden layer its outputs, and two gradients of the loss.

    outputs: (samples, width). signals: by the outputs, what comes back to a layer. gradients: by the weights, (width,
    width), what would be taken off them: the product of the outputs of the layer before and the signal.
    """

    name: str
    activation: str
    outputs: list[np.ndarray]
    signals: list[np.ndarray]
    gradients: list[np.ndarray]


def layers(initializer: str | Initializer, activation: str = "tanh", depth: int = 10, width: int = 256,
           samples: int = 256, seed: int = 0, name: str = "") -> Layers:
    """Run ``depth`` layers of ``width`` units, forward and backward, once: normal inputs, 10 classes by chance.

    initializer: one of `INITIALIZERS`, or a function that fills a weight (in, out) in place, called with generator=.
    activation: tanh, sigmoid, relu, leaky_relu or gelu. Biases are 0; the output layer is always LeCun's, the loss the
    mean cross-entropy. Raises ValueError for an unknown name, and for sizes that are not positive.
    """
    act = _function(activation)
    if min(depth, width, samples) < 1:
        raise ValueError(f"depth, width and samples must be positive, got {depth}, {width} and {samples}")
    if isinstance(initializer, str):
        if initializer not in INITIALIZERS:
            raise ValueError(f"no initializer {initializer!r} here; there are {', '.join(INITIALIZERS)}")
        name, initializer = name or initializer, INITIALIZERS[initializer]
    chance = np.random.default_rng(seed)
    x, target = Tensor(chance.standard_normal((samples, width))), chance.integers(0, 10, samples)
    weights = [initializer(Parameter(np.empty((width, width))), generator=chance) for _ in range(depth)]
    head = init.lecun_normal_(Parameter(np.empty((width, 10))), generator=chance)
    outputs = []
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        for w in weights:
            x = act(x @ w)
            x.retain_grad()
            outputs.append(x)
        F.cross_entropy(x @ head, target).backward()
    return Layers(name, activation, [h.data for h in outputs], [h.grad.data for h in outputs],
                  [w.grad.data for w in weights])


def signals(activation: str = "tanh", initializers: Sequence[str] | Mapping[str, Initializer] = tuple(INITIALIZERS),
            **settings) -> list[Layers]:
    """`layers` for each initializer: names of `INITIALIZERS`, or own functions by name. settings: those of `layers`."""
    if isinstance(initializers, Mapping):
        return [layers(f, activation, name=name, **settings) for name, f in initializers.items()]
    return [layers(name, activation, **settings) for name in initializers]


# ---- how the first weights decide ----
BINS = 51
ROWS = {"outputs": "outputs", "signals": "what comes back", "gradients": "weight gradients"}


def histograms(path: str | os.PathLike[str], activation: str = "tanh",
               initializers: Sequence[str] | Mapping[str, Initializer] = tuple(INITIALIZERS), dark: bool = False,
               rows: Sequence[str] = tuple(ROWS), **settings) -> Path:
    """A column for each initializer: in it, layer under layer, the histograms of what `Layers` holds.

    From above: the outputs, the gradients by them on their way back, and the gradients of the weights. Each histogram
    is as high as the others. Gradients, and outputs of an activation without bounds, are on a log scale, by size; the
    share of exact zeros is written beside, unless it is none. settings: those of `layers`. The path's suffix is the
    format; returns the path. Raises MissingExtra without matplotlib, ValueError for an unknown row.
    """
    if not rows or set(rows) - set(ROWS):
        raise ValueError(f"histograms: rows are some of {', '.join(ROWS)}, got {tuple(rows)}")
    if not initializers:
        raise ValueError("histograms: there is no initializer to draw")
    theme, runs = DARK if dark else LIGHT, signals(activation, initializers, **settings)
    depth, n, title = len(runs[0].outputs), len(runs), TITLES.get(activation, activation)
    figure = style.figure(max(1.75 * n + 0.9, 7.5), len(rows) * max(0.25 * depth + 0.7, 2.2) + 0.7, theme)
    grid = figure.add_gridspec(len(rows), n)
    for row, kind in enumerate(rows):
        bounds = BOUNDED.get(activation) if kind == "outputs" else None
        edges = np.linspace(*bounds, BINS + 1) if bounds else _log_edges([getattr(run, kind) for run in runs])
        label = {"outputs": f"{title}(z)" if bounds else f"|{title}(z)|", "signals": "|∂loss/∂output|",
                 "gradients": "|∂loss/∂w|"}[kind]
        for column, run in enumerate(runs):
            axes = figure.add_subplot(grid[row, column])
            _ridges(axes, getattr(run, kind), edges, bounds, theme.colours[row], theme)
            if row == 0:
                axes.set_title(run.name, fontsize=11, color=theme.ink)
            if column == 0:
                axes.set_ylabel(f"{ROWS[kind]}, by layer", color=theme.ink, fontsize=9)
            else:
                axes.tick_params(labelleft=False)
            axes.set_xlabel(label, fontsize=8, color=theme.ink, labelpad=2)
    samples, width = runs[0].outputs[0].shape
    figure.suptitle(f"{depth} {title} layers of {width} units before training, {samples} standard normal inputs",
                    fontsize=12, color=theme.ink)
    return style.write(figure, path)


def _log_edges(all_values):
    """Bin edges in decades, around the sizes that occur; the few smallest are left to the first bin."""
    sizes = [np.log10(np.abs(v[np.isfinite(v) & (v != 0)])) for values in all_values for v in values]
    sizes = [s for s in sizes if len(s)]
    if not sizes:
        return np.linspace(-8, 0, BINS + 1)
    low = math.floor(min(np.quantile(s, 0.02) for s in sizes))
    high = math.ceil(max(np.quantile(s, 0.999) for s in sizes))
    return np.linspace(low, max(high, low + 2), BINS + 1)


def _ridges(axes, values, edges, bounds, colour, theme):
    from matplotlib.ticker import FuncFormatter, MaxNLocator
    depth, centres = len(values), (edges[1:] + edges[:-1]) / 2
    style.bare(axes, theme)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(left=False, labelsize=7.5)
    for i, v in enumerate(values):
        base, v = depth - i, v.ravel()
        zeros = float((v == 0).mean())
        inside = v if bounds else np.log10(np.abs(v[np.isfinite(v) & (v != 0)]))
        counts = np.histogram(np.clip(inside, edges[0], edges[-1]), edges)[0]
        axes.axhline(base, color=theme.high, linewidth=0.6, zorder=i)
        if counts.sum():
            y = base + 1.25 * counts / counts.max()
            axes.stairs(y, edges, baseline=base, fill=True, color=colour, alpha=0.8, linewidth=0, zorder=i + 0.5)
            axes.stairs(y, edges, baseline=None, color=theme.paper, linewidth=0.7, zorder=i + 0.6)
        if zeros >= 0.005:  # beside the histogram
            right = not counts.sum() or counts @ centres / counts.sum() <= (edges[0] + edges[-1]) / 2
            axes.text(0.98 if right else 0.02, base + 0.12, f"{_percent(zeros)} zero", fontsize=6.5, color=theme.ink,
                      transform=axes.get_yaxis_transform(), ha="right" if right else "left", zorder=depth + 2)
    axes.set_ylim(0.85, depth + 1.5)
    axes.set_yticks([1, (depth + 1) // 2, depth] if depth > 2 else range(1, depth + 1),
                    [str(depth), str(depth + 1 - (depth + 1) // 2), "1"] if depth > 2 else range(depth, 0, -1))
    axes.set_xlim(edges[0], edges[-1])
    if bounds:
        axes.set_xticks([bounds[0], sum(bounds) / 2, bounds[1]])
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}".replace("-", "−")))
    else:
        axes.xaxis.set_major_locator(MaxNLocator(3, integer=True))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"$10^{{{x:.0f}}}$"))


def _percent(share):
    return "all" if share == 1 else f"{100 * share:.0f} %"


# ---- the gradient that vanishes, and the plateau ----
def vanishing(path: str | os.PathLike[str], activations: Sequence[str] = ("sigmoid", "tanh", "relu"), depth: int = 20,
              dark: bool = False, steps: int = 500, **settings) -> Path:
    """Left: the norm of each layer's gradient over that of the last. Right: what training makes of it (`plateau`).

    Each network starts as is usual for its activation: Xavier's weights for sigmoid and tanh, He's for the others.
    A sigmoid's derivative is at most 1/4, and its gradient loses about that factor a layer: the dotted line. steps:
    those of the training. settings: those of `layers`. Raises MissingExtra without matplotlib.
    """
    theme = DARK if dark else LIGHT
    figure = style.figure(10.5, 4.4, theme, activations)
    left, right = figure.add_subplot(1, 2, 1), figure.add_subplot(1, 2, 2)
    x = np.arange(1, depth + 1)
    for i, activation in enumerate(activations):
        look = {"color": theme.colours[i % len(theme.colours)], "marker": MARKERS[i % len(MARKERS)], "markersize": 4,
                "linewidth": 1.8, "label": TITLES.get(activation, activation)}
        run = layers(FOLKLORE.get(activation, init.he_normal_), activation, depth, name=activation, **settings)
        norms = np.array([np.linalg.norm(g) for g in run.gradients])
        left.plot(x, norms / norms[-1], **look)
        losses = plateau(activation, steps=steps)
        right.plot(losses, **look, markevery=(0, max(1, steps // 10)))
    if "sigmoid" in activations:
        left.plot(x, 0.25 ** (depth - x).astype(float), color=theme.ink, linestyle=":", linewidth=1.2)
        left.annotate("¼ a layer", (x[depth // 3], 0.25 ** float(depth - x[depth // 3])), (8, -4),
                      textcoords="offset points", fontsize=9, color=theme.ink, va="top")
    left.set_yscale("log")
    right.axhline(math.log(2), color=theme.ink, linestyle=":", linewidth=1.2)
    right.set_ylim(bottom=0)
    style.axes(left, theme, f"layer, of {depth}")
    style.axes(right, theme, "step")
    apart = max(5, 5 * round(depth / 25))
    left.set_xticks(sorted({1, depth, *(n for n in range(apart, depth + 1, apart) if depth - n >= apart / 2)}))
    left.set_title("gradient of a layer's weights, relative to the last's", fontsize=10, color=theme.ink, loc="left")
    right.set_title("training loss of 6 such layers; dotted: guessing", fontsize=10, color=theme.ink, loc="left")
    figure.suptitle("The vanishing gradient, and the plateau that it makes", fontsize=12, color=theme.ink)
    style.legend(figure, left, theme)
    return style.write(figure, path)


def _function(activation):
    if activation not in ACTIVATIONS:
        raise ValueError(f"no activation {activation!r} here; there are {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[activation]


def plateau(activation: str = "sigmoid", depth: int = 6, width: int = 32, steps: int = 500, lr: float = 0.05,
            seed: int = 0) -> np.ndarray:
    """The loss before each of ``steps`` steps of plain gradient descent on two moons, through depth hidden layers.

    The usual first weights, zero biases, the full batch. Where the gradient does not reach the first layers, the loss
    stays at log 2, that of guessing.
    """
    from ..data import moons
    chance, act = np.random.default_rng(seed), _function(activation)
    data = moons(200, seed=seed)
    x, y = Tensor(data.x.astype(np.float64)), data.y
    sizes, params = [2, *[width] * depth, 2], []
    for a, b in itertools.pairwise(sizes):
        w = FOLKLORE.get(activation, init.he_normal_)(Parameter(np.empty((a, b))), generator=chance)
        params += [w, Parameter(np.zeros(b))]
    losses = []
    for _ in range(steps):
        h = x
        for k in range(0, len(params) - 2, 2):
            h = act(F.linear(h, params[k], params[k + 1]))
        loss = F.cross_entropy(F.linear(h, params[-2], params[-1]), y)
        for p in params:
            p.grad = None
        loss.backward()
        for p in params:
            p.data = p.data - lr * p.grad.data
        losses.append(loss.item())
    return np.array(losses)
