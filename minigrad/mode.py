"""Whether operations leave nodes behind: per thread."""

from __future__ import annotations

import collections
import contextlib
import threading

from .graph import ticks


class _Mode(threading.local):
    recording = True
    watch = None  # who looks on: `detect_anomaly`


mode = _Mode()
accumulating = threading.RLock()  # while .grad is added to: threads may share leaves
passes: collections.deque = collections.deque(maxlen=1000)  # (since, until) of the last that were recorded, in ticks


@contextlib.contextmanager
def backward_pass(recorded):
    """Record, or not, what a backward pass computes; pictures tell what was recorded in one by when it was born."""
    before, mode.recording, since = mode.recording, recorded, next(ticks)
    try:
        yield
    finally:
        mode.recording = before
        if recorded:
            passes.append((since, next(ticks)))


class no_grad(contextlib.ContextDecorator):
    """Record nothing inside, as a ``with`` block or a decorator, @no_grad or @no_grad(); in this thread only."""

    recording = False

    def __new__(cls, function=None):
        self = super().__new__(cls)
        return self if function is None else self(function)

    def _recreate_cm(self): return type(self)()  # a decorated function may run in several threads at once

    def __enter__(self):
        self.__dict__.setdefault("before", []).append(mode.recording)
        mode.recording = self.recording

    def __exit__(self, *exc):
        mode.recording = self.before.pop()


class enable_grad(no_grad):
    """Record inside, also within a ``no_grad`` block."""

    recording = True


def is_grad_enabled() -> bool:
    """Whether operations are being recorded in this thread."""
    return mode.recording
