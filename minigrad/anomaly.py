"""`detect_anomaly`: where a NaN came from. The first op that made it, its operands, and the line that called it."""

from __future__ import annotations

import contextlib
import sys

import numpy as np

from . import graph
from .batching import whole
from .mode import mode
from .source import here, line


class detect_anomaly(contextlib.ContextDecorator):
    """Raise FloatingPointError at the first NaN or infinity, as a ``with`` block or a decorator; in this thread only.

    In forward at once, by the op that makes a NaN of numbers, or an infinity of finite numbers, or is handed a NaN;
    in backward by the op whose rule does. The message names op, operands, index, and file and line of the call in
    forward. An infinity that an op is handed (a mask of -inf) is not complained of. check_inf=False: NaN alone.

    Every result is searched: for finding a fault, not for training.
    """

    def __init__(self, check_inf: bool = True):
        self.check_inf, self.before = check_inf, []

    def __enter__(self):
        self.before.append(mode.watch)
        mode.watch = self
        return self

    def __exit__(self, *exc):
        mode.watch = self.before.pop()

    def forward(self, op, values, t):
        """Look at the result of an op: called by `tensor.record`."""
        values = [whole(v) for v in values]
        what = self._complaint(t.data, values)
        if what and not _in_backward():
            raise FloatingPointError("\n  ".join([
                f"{op.name} {what}", *_operands(op, values, t.data), f"called in {line(here())}"]))

    def backward(self, node, x, g, d):
        """Look at what a rule gave for input x: called by `graph.pullback`."""
        g, d = whole(g), whole(d)
        what = self._complaint(d, [g])
        if what:
            y, *inputs = map(np.asarray, node.values)
            raise FloatingPointError("\n  ".join([
                f"backward: the rule of {node.op.name} {what}", f"g: {_summary(g)}",
                f"y: {_summary(y)}", *_operands(node.op, inputs, d if d.shape == x.shape else np.zeros(0)),
                f"called in {line(node.where)}"]))

    def _complaint(self, y, values):
        if y.dtype.kind not in "fc":
            return None
        values = [v for v in values if v.dtype.kind in "fc"]
        if np.isnan(y).any():
            handed = any(np.isnan(v).any() for v in values)
            return f"{'was handed' if handed else 'made'} a NaN, {_where(np.isnan(y))}"
        if self.check_inf and np.isinf(y).any() and all(np.isfinite(v).all() for v in values):
            return f"made an infinity, {_where(np.isinf(y))}"
        return None


def _where(bad):
    index = tuple(map(int, np.argwhere(bad)[0]))
    return f"at index {index}" if bad.sum() == 1 else f"{bad.sum()} of {bad.size}, the first at index {index}"


def _operands(op, values, y):
    """A line for each operand, with its value at the first bad place of y if the shapes allow."""
    bad = np.argwhere(~np.isfinite(y)) if y.dtype.kind in "fc" else []
    for i, v in enumerate(values):
        line = f"operand {i}: {_summary(v)}"
        if len(bad) and v.size > 1 and v.shape == y.shape:
            line += f", there {v[tuple(bad[0])]}"
        yield line


def _summary(x):
    x = np.asarray(x)
    if x.size <= 6:
        return f"{np.array2string(x, separator=', ')} ({x.dtype})".replace("\n", "")
    text = f"shape {x.shape}, {x.dtype}"
    if x.dtype.kind in "fiu":
        finite = x[np.isfinite(x)]
        text += f", from {finite.min():g} to {finite.max():g}" if finite.size else ""
        text += f", {x.size - finite.size} not finite" if finite.size < x.size else ""
    return text


def _in_backward():
    """Whether a rule is running: its ops are no one's forward pass, and `backward` looks at what it gives."""
    frame = sys._getframe(1)
    while frame is not None and frame.f_code is not graph.pullback.__code__:
        frame = frame.f_back
    return frame is not None
