"""Loss and accuracy while the training runs: in the terminal, in place (the extra ``live``), and as a picture file.

    train.fit(model, data, optimizer, epochs=20, validation=valid, callbacks=[live.Curves("runs/curves.svg")])
"""

from __future__ import annotations

import atexit
import importlib
import math
import os
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from ..nn import Module
from ..train import History
from . import style
from .training import MissingExtra, curves

__all__ = ["Curves", "picture"]

MARKS, COLOURS = "⠒o", (33, 208)  # training, a line, and validation, rings: the shape alone tells them apart
RINGS = 15  # at most; of more epochs, a line with some rings on it
PANELS = (("loss", ("loss", "val_loss")), ("accuracy", ("accuracy", "val_accuracy")))
BESIDE = 64  # columns from which on the two panels stand side by side
LEAST = 24, 11  # columns and rows of the smallest terminal that is drawn in
ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


def picture(history: History, width: int = 80, height: int = 10, labels: Sequence[str] = ("training", "validation"),
            colour: bool = True) -> str:
    """Loss and accuracy over the epochs as lines of text, no wider than ``width``; panels are ``height`` rows high.

    Training is a line, validation rings, from 16 epochs on with a line too; the legend has the last values. Panels
    stand side by side from 64 columns on, else one above the other. Raises ValueError for an empty history or a size
    too small to draw in, MissingExtra without plotext.
    """
    if not len(history):
        raise ValueError("picture: the history is empty: no epoch was finished")
    if width < LEAST[0] or height < 7:
        raise ValueError(f"picture: needs {LEAST[0]} columns and 7 rows, got {width} and {height}")
    panels = [(name, columns) for name, columns in PANELS if any(v is not None for c in columns for v in history[c])]
    across = len(panels) if width >= BESIDE else 1
    wide = (width - 2 * (across - 1)) // across
    apart = wide < len("accuracy  ⠒  100.00%  o  100.00%") + sum(map(len, labels))  # the labels get their own line
    drawn = [_panel(history, name, columns, wide, height, ("", "") if apart else labels, colour)
             for name, columns in panels]
    if across == 1:
        head = [_legend("", labels if any(v is not None for v in history["val_loss"]) else labels[:1], width, colour)]
        return "\n".join(head * apart + [line for panel in drawn for line in panel])
    rows = [[line + " " * (wide - _width(line)) for line in row] for row in zip(*drawn)]
    return "\n".join([_legend("", labels, width, colour)] * apart + ["  ".join(row).rstrip() for row in rows])


def _panel(history, name, columns, width, height, labels, colour):
    text = _format(name)
    series = [([(r.epoch, getattr(r, c)) for r in history if getattr(r, c) is not None]) for c in columns]
    finite = [[(x, y) for x, y in points if math.isfinite(y)] for points in series]
    ends = [f"{label} {text(points[-1][1])}".strip() if points else "" for label, points in zip(labels, series)]
    body = _plot(finite, history, text, width, height - 1, colour) if any(finite) else []
    return [_legend(name, ends, width, colour), *(body or ["  no finite value", *[""] * (height - 2)])]


def _legend(name, entries, width, colour):
    """One line, "loss  ⠒ training 0.1  o validation 0.2", cut if it is too long."""
    parts = [(f"{mark} {entry}", shade) for mark, entry, shade in zip(MARKS, entries, COLOURS) if entry]
    line = "  ".join(filter(None, [name, *(part for part, _ in parts)]))
    if len(line) > width or not colour:
        return line[:width]
    return "  ".join(filter(None, [name, *(f"\x1b[38;5;{shade}m{part}\x1b[0m" for part, shade in parts)]))


def _plot(series, history, text, width, height, colour):
    plotext = _plotext()
    figure = plotext.figure
    figure.clear()
    figure.theme("colorless")
    figure.plot_size(width, height)
    values = [y for points in series for _, y in points]
    low, high = min(values), max(values)
    if high - low < 1e-9 * max(abs(high), 1e-3):
        low, high = low - 0.05 * (abs(low) or 1), high + 0.05 * (abs(high) or 1)
    first, last = history[0].epoch, history[-1].epoch
    for points, shade, ringed in zip(series, COLOURS, (False, True)):
        if not points:
            continue
        if len(points) > (RINGS if ringed else 1):
            line = plotext.marker("braille", shade if colour else None)
            figure.draw(figure.signal(*map(list, zip(*points)), marker=line).lines(True))
        marked = points[::-1][::math.ceil(len(points) / RINGS)] if ringed else points[-1:] * (len(points) == 1)
        if marked:
            mark = plotext.marker("o" if ringed else "•", shade if colour else None)
            figure.draw(figure.signal(*map(list, zip(*marked)), marker=mark).lines(False))
    ticks = [low, (low + high) / 2, high]
    figure.ruler("y", "left").lim(low, high).ticks(ticks, [text(t) for t in ticks])
    epochs = _epochs(first, last, 6 if width >= 36 else 3)
    edges = (first, last) if last > first else (first - 1, last + 1)
    figure.ruler("x", "lower").lim(*edges).ticks(epochs, [str(e) for e in epochs])
    drawn = figure.build().string(colorless=not colour).rstrip("\n").split("\n")
    figure.clear()  # plotext has this one figure: it is left as a caller would find it
    return [line.rstrip() for line in drawn]


def _plotext():
    try:
        return importlib.import_module("plotext")
    except ImportError as error:
        raise MissingExtra('plotext is needed for curves in the terminal: pip install "minigrad[live]"') from error


def _format(name):
    return (lambda y: f"{y:.2%}") if name == "accuracy" else (lambda y: f"{y:.4f}" if abs(y) < 1000 else f"{y:.2e}")


def _epochs(first, last, most):
    step = max(math.ceil((last - first) / max(most - 1, 1)), 1)
    return list(range(first, last + 1, step))


def _width(line):
    return len(ESCAPE.sub("", line))


class Curves:
    """A callback of `train.fit`: the curves so far, after every epoch.

    terminal: where stderr is a terminal, they are drawn below the progress bar and drawn anew in place; at the end
    they stay. Elsewhere nothing is printed. path: a picture of them too, by `viz.curves`, in the format of its suffix,
    replaced all at once, so that whatever shows it never sees half a file. NO_COLOR, or TERM=dumb for no drawing, are
    heeded. After Ctrl-C or an error, `close` leaves the cursor below the picture: ``with live.Curves() as curves:``.
    Raises ValueError if there is neither, MissingExtra for a missing plotext or matplotlib before the training begins.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None, terminal: bool = True,
                 labels: Sequence[str] = ("training", "validation"), title: str = ""):
        if path is None and not terminal:
            raise ValueError("Curves: neither a path nor the terminal: there is nothing to draw on")
        self.path, self.terminal, self.labels, self.title = path and Path(path), terminal, tuple(labels), title
        self.shown = None
        if self._drawable():
            _plotext()
        if path is not None:
            style.figure(1, 1)  # which says what is missing
            if self.path.suffix.lower() not in (".png", ".svg", ".pdf"):
                raise ValueError(f"{path}: a picture's name ends in .png, .svg or .pdf")

    def __enter__(self) -> Curves:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def __call__(self, model: Module, history: History) -> None:
        """Called by fit after each epoch."""
        if self.path:
            curves(history, self.path, self.labels, self.title)
        if self._drawable():
            self._draw(history)

    def on_train_end(self, model: Module, history: History) -> None:
        """Called by fit."""
        self.close()

    def close(self) -> None:
        """Leave the picture in the terminal as it is, with the cursor below it; a second time does nothing."""
        if self.shown is not None:
            self._write(f"\x1b[J{self.shown}\n")
            self.shown = None
            atexit.unregister(self.close)

    def _drawable(self):
        return self.terminal and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"

    def _draw(self, history):
        columns, rows = shutil.get_terminal_size()
        if columns < LEAST[0] or rows < LEAST[1]:
            return
        stacked = 1 if columns - 1 >= BESIDE or all(v is None for v in history["accuracy"]) else 2
        height = min(11, (rows - 4) // stacked)
        if height < 7:  # both panels do not fit: the loss alone, which all trainings have
            height = min(11, rows - 4)
        text = picture(history, min(columns - 1, 120), height, self.labels, not os.environ.get("NO_COLOR"))
        lines = text.split("\n")[:rows - 2]
        if self.shown is None:
            atexit.register(self.close)
        self.shown = "\n".join(lines)
        # It hangs below the cursor, which goes back up: the bar and whatever is printed begin above it, on their own
        # line, and what grows into it is wiped away with the next drawing.
        self._write("\x1b[J\n" + self.shown + f"\r\x1b[{len(lines)}A")

    @staticmethod
    def _write(text):
        sys.stderr.write(text)
        sys.stderr.flush()
