"""How the examples draw: panels, curves with bands, dots beside each other. By matplotlib, the extra plot."""

import numpy as np

from minigrad.viz.style import LIGHT, MARKERS


def panels(*titles, widths=None, height=4.0):
    """A figure, and its axes: one for each title, beside each other."""
    from matplotlib.figure import Figure
    figure = Figure((5.0 * len(titles), height), layout="constrained", facecolor=LIGHT.paper)
    axes = figure.subplots(1, len(titles), width_ratios=widths, squeeze=False)[0]
    for ax, title in zip(axes, titles):
        ax.set_title(title, loc="left", fontsize=11, color=LIGHT.ink, pad=10)
        ax.spines[["top", "right"]].set_visible(False)
        ax.spines[:].set_color(LIGHT.faint)
        ax.tick_params(which="both", colors=LIGHT.ink, labelsize=9)
        ax.grid(axis="y", color=LIGHT.high, linewidth=0.6)
        ax.set_axisbelow(True)
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.08)
    return figure, axes


def curve(ax, x, runs, i, label="", dashed=False):
    """The mean of the runs, (R, len(x)) or one of (len(x),), and the band between the least and the largest."""
    runs, x = np.atleast_2d(runs), np.asarray(x)
    ax.plot(x, runs.mean(axis=0), "--" if dashed else "-", color=LIGHT.colours[i], marker=MARKERS[i], markersize=4.5,
            markevery=(len(x) // 20 * i % max(1, len(x) // 8), max(1, len(x) // 8)), linewidth=1.2 if dashed else 1.9,
            markerfacecolor=LIGHT.paper if dashed else None, label=label or None)
    if len(runs) > 1:
        ax.fill_between(x, runs.min(axis=0), runs.max(axis=0), color=LIGHT.colours[i], alpha=0.13, linewidth=0)


def dots(ax, found, colours=None):
    """A row of each name's values, from above, their mean a bar with its number; the dashed line is the first's."""
    ax.grid(axis="y", visible=False)
    ax.grid(axis="x", color=LIGHT.high, linewidth=0.6)
    for row, (values, i) in enumerate(zip(found.values(), colours or range(len(found)))):
        values, apart = np.asarray(values), np.random.default_rng(0).permutation(np.linspace(-0.14, 0.14, len(values)))
        ax.plot(values, row + apart, MARKERS[i], color=LIGHT.colours[i], alpha=0.55, markersize=6, markeredgewidth=0)
        ax.plot([values.mean()] * 2, [row - 0.26, row + 0.26], color=LIGHT.colours[i], linewidth=2.5)
        ax.text(values.mean(), row - 0.3, f"{values.mean():.1f}", ha="center", va="bottom", fontsize=9, color=LIGHT.ink)
    ax.axvline(np.mean(next(iter(found.values()))), color=LIGHT.faint, linewidth=1, linestyle="--", zorder=0)
    ax.set_yticks(range(len(found)), found)
    ax.set_ylim(len(found) - 0.5, -0.6)
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0)


def save(figure, path, legend=None, title=""):
    """Write it, with a legend under it of what the axes ``legend`` hold."""
    if title:
        figure.suptitle(title, fontsize=12, color=LIGHT.ink)
    if legend is not None:
        handles, labels = legend.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=6, frameon=False, fontsize=9, handlelength=2.6,
                      labelcolor=LIGHT.ink)
    figure.savefig(path, dpi=130)
    print("wrote", path)
