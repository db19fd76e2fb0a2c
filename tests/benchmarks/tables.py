"""The results of frameworks.py for people: on the terminal, as a page, as a picture."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from turns import middle, ratio

BASE = "torch"
OWN = ("compiled", "numpy")
SCALES = {"ms": 1e3, "µs": 1e6, "s": 1.0, "MB": 1.0}
PLAIN = ("evaluations", "steps", "accuracy", "loss")  # measures without the row's unit
SMALL = {"compiled": "#D55E00", "numpy": "#0072B2"}  # Okabe & Ito; everybody else is grey
BEGIN, END = "<!-- measured: tests/benchmarks/frameworks.py --render -->", "<!-- end of what was measured -->"


def compared(kinds, kind, beside, measure):
    """(25 %, 50 %, 75 %) of the ratios, turn by turn; None if either has not got there."""
    a, b = (kinds[k]["turns"].get(measure) for k in (kind, beside))
    if a is None or b is None or None in a or None in b:
        return None
    n = min(len(a), len(b))
    return ratio(a[:n], b[:n])


def first(row):
    """What a row is about: the measure that is named first."""
    return next(iter(next(iter(row["kinds"].values()))["turns"])) if row["kinds"] else "step"


def measures(row):
    found = []
    for kind in row["kinds"].values():
        found += [m for m in kind["turns"] if m not in found]
    return found


def number(value, measure, unit):
    if value is None:
        return "not reached"
    if measure == "accuracy":
        return f"{value:.2%}"
    if measure in PLAIN:
        return f"{value:.4g}"
    value *= SCALES[unit]
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}" if value >= 1 else f"{value:.3f}"


def median(values):
    return None if None in values else float(np.median(values))


def lines(row, titles):
    """A heading and a line for each kind: its medians, and the ratios with their middle halves."""
    columns, unit, main = measures(row), row["unit"], first(row)
    heading = [row["name"], *(m if m in PLAIN else f"{m}, {unit}" for m in columns)]
    if BASE in row["kinds"]:
        heading.append(f"{main} / {titles[BASE]}")
    ours = [k for k in OWN if k in row["kinds"]]
    heading += [f"{titles[k]} / it" for k in ours]
    body = []
    for kind, found in row["kinds"].items():
        line = [titles[kind] + (" (SGD)" if found.get("optimizer") == "SGD" else "")]
        line += [number(median(found["turns"][m]), m, unit) if m in found["turns"] else "" for m in columns]
        if BASE in row["kinds"]:
            line.append(spread(compared(row["kinds"], kind, BASE, main)) if kind != BASE else "1")
        line += [spread(compared(row["kinds"], k, kind, main)) if k != kind else "1" for k in ours]
        body.append(line)
    return heading, body


def spread(found):
    return "" if found is None else f"{found[1]:.2f} ({found[0]:.2f} to {found[2]:.2f})"


def terminal(row, titles):
    heading, body = lines(row, titles)
    widths = [max(len(line[i]) for line in [heading, *body]) for i in range(len(heading))]
    shown = ["  ".join(cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(line, widths)))
             for line in [heading, *body]]
    return "\n".join(shown + [f"  {titles[k]}: {why}" for k, why in row["absent"].items()])


def described(result):
    m = result["machine"]
    versions = ", ".join(f"{name} {v}" for name, v in m["versions"].items())
    found = [f"{m['processor']}, {m['cores']} cores, {m.get('memory', '?')}; {m['threads']} threads for everyone; "
             f"sgemm of 2048: {m['GFLOP/s']:.0f} GFLOP/s",
             f"{m['system']}, Python {m['python']}; {versions}",
             f"{m['date']}, {m['turns']} rounds, load {m['load']:.1f} before"]
    return found + [f"{result['titles'][k]} is missing: {why}" for k, why in result["absent"].items()]


def judged(targets, titles):
    """met or missed, a line each."""
    return "\n".join(f"{verdict(t):<7} {titles[t['kind']]:<19} {t['row']}, {t['measure']} / {titles[t['beside']]}: "
                     f"{spread(t['ratio']) or '-'}, at most {t['limit']:.2f}" for t in targets)


def verdict(target):
    return "?" if target["ratio"] is None else "met" if target["ratio"][1] <= target["limit"] else "missed"


# ---- a page ----
def table(heading, body):
    rows = [heading, ["---", *["---:"] * (len(heading) - 1)], *body]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)


def markdown(result, path, picture=None):
    """Write the page, or, in one that is there, what stands between the two marks."""
    path, titles = Path(path), result["titles"]
    text = [BEGIN, "", *(f"{line}  " for line in described(result)), ""]
    if picture:
        text += [f"![Time of a training step, as a multiple of PyTorch's]({os.path.relpath(picture, path.parent)})", ""]
    if result.get("targets"):
        text += [table(["target", "ratio (middle half)", "at most", ""], [
            [f"{t['row']}, {t['measure']}: {titles[t['kind']]} / {titles[t['beside']]}", spread(t["ratio"]) or "-",
             f"{t['limit']:.2f}", verdict(t)] for t in result["targets"]]), ""]
    part = None
    for row in result["rows"]:
        if row["part"] != part:
            part = row["part"]
            text += [f"### {HEADINGS[part]}", ""]
        text += [table(*lines(row, titles)), ""]
        text += [f"{titles[k]}: {why}  " for k, why in row["absent"].items()] + [""] * bool(row["absent"])
    block = "\n".join([*text, END])
    old = path.read_text(encoding="utf-8") if path.exists() else ""
    if BEGIN in old and END in old:
        before, after = old.split(BEGIN)[0], old.split(END)[1]
    else:
        before, after = "# Performance\n\n", "\n"
    path.write_text(before + block + after, encoding="utf-8")


HEADINGS = {"mlp": "MLP 784-256-128-10", "cnn": "CNN", "lenet": "LeNet-5", "norm": "CNN with batch normalization",
            "lstm": "LSTM over the rows of an image", "memory": "Peak memory of training the CNN",
            "engine": "What the engine costs an op", "growth": "Growth", "lbfgs": "L-BFGS, full batch",
            "accuracy": "Seconds to an accuracy"}


# ---- a picture ----
def picture(result, path, columns=2):
    """A training step of every model: bars of its time as a multiple of PyTorch's, log scale."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter
    rows = [r for r in result["rows"] if BASE in r["kinds"] and r["part"] in ("mlp", "cnn", "lenet", "norm", "lstm")]
    if not rows:
        return
    down = -(-len(rows) // columns)
    tallest = [max(len(r["kinds"]) for r in rows[i * columns:(i + 1) * columns]) for i in range(down)]
    figure = Figure(figsize=(11, sum(tallest) * 0.27 + down * 0.62 + 0.5), layout="constrained")
    axes = figure.subplots(down, columns, squeeze=False, sharex=True, height_ratios=tallest)
    for ax in axes.flat[len(rows):]:
        ax.axis("off")
    reach = [1.0]
    for ax, row in zip(axes.flat, rows):
        reach += bars(ax, row, result["titles"])
    for ax in axes.flat[:len(rows)]:
        ax.set(xscale="log", xlim=(min(reach) / 1.3, max(reach) * 3))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    for i in range(columns):
        below = [ax for ax in axes[:, i] if ax.axison]
        if below:
            below[-1].tick_params(labelbottom=True)
            below[-1].set_xlabel("time of a step, PyTorch's = 1 (less is faster)")
    figure.savefig(path, dpi=150, facecolor="white")


def bars(ax, row, titles):
    kinds, main = row["kinds"], first(row)
    names = [k for k in titles if k in kinds]
    found = {k: (1.0, 1.0, 1.0) if k == BASE else compared(kinds, k, BASE, main) for k in names}
    for i, k in enumerate(names):
        low, centre, high = found[k]
        ax.barh(i, centre - 1e-9, left=1e-9, height=0.72, color=SMALL.get(k, "#777777" if k == BASE else "#BBBBBB"),
                hatch="///" if k == "products" else None, edgecolor="white")
        ax.plot([low, high], [i, i], color="#222222", linewidth=1.2, solid_capstyle="butt")
        value = number(middle(kinds[k]["turns"][main])[1], main, row["unit"])
        ax.text(max(centre, high) * 1.08, i, f"{centre:.2f}  ({value} {row['unit']})", va="center", fontsize=8,
                fontweight="bold" if k in SMALL else "normal", color="#222222",
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8})
    ax.axvline(1, color="#222222", linewidth=0.8, linestyle=":")
    ax.set_yticks(range(len(names)), [titles[k] + (" (SGD)" if kinds[k].get("optimizer") == "SGD" else "")
                                      for k in names], fontsize=8)
    ax.invert_yaxis()
    ax.set_title(row["name"], fontsize=10, loc="left", fontweight="bold")
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.tick_params(axis="y", length=0)
    ax.tick_params(axis="x", labelsize=8)
    return [v for f in found.values() for v in f]
