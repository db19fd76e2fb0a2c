"""Fixtures, and how deep and on what tests run.

HYPOTHESIS_PROFILE=ci (the default) or nightly: how many examples. COMPILED_FROM=n: compiled kernels and threads for
arrays of n elements on, where minigrad itself begins when they pay; convolutions are filled up to a tile of the loops.
"""

from __future__ import annotations

import functools
import gc
import os

import browser
import numpy as np
import pytest
from hypothesis import settings

from minigrad import graph, kernels
from minigrad.kernels import compiled, images, normalize, threads
from minigrad.optim import optimizer

settings.register_profile("ci", derandomize=True, deadline=None, max_examples=40, database=None)
settings.register_profile("nightly", deadline=None, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def pytest_collection_finish():
    """Tens of thousands of tests are not searched for garbage again and again."""
    gc.freeze()


# ---- compiled kernels for small arrays ----
LIMITS = [(kernels, "LARGE"), (images, "WORTH"), (normalize, "WORTH"), (optimizer, "WORTH"), (compiled, "SHARED"),
          (threads, "SHARED")]


def compile_from(elements):
    if kernels.chosen() != "compiled" or images.loops() is None:
        raise pytest.UsageError(f"COMPILED_FROM needs compiled kernels: {compiled.refused or kernels.chosen()}")
    for module, name in LIMITS:
        assert hasattr(module, name), f"{module.__name__} has no {name}"
        setattr(module, name, elements)
    for convolve in (kernels.conv, kernels.conv_input_grad, kernels.conv_weight_grad):
        setattr(kernels, convolve.__name__, filled(convolve))


def filled(convolve):
    """A convolution of as many more images and channels, all of zeros, as a tile of the loops needs."""
    loops = images.loops()

    def split(a, groups, axis):
        return a.reshape(*a.shape[:axis], groups, -1, *a.shape[axis + 1:])

    def merged(a, axis):
        return a.reshape(*a.shape[:axis], -1, *a.shape[axis + 2:])

    def more(a, groups, axis):
        """axis: that of the groups' channels; images are before it, and of weights the other channels behind it."""
        a = split(a, groups, axis)
        least = (loops.NARROWEST, 0, loops.ROWS, 0, 0) if axis else (0, loops.ROWS, loops.ROWS, 0, 0)
        return merged(np.pad(a, [(0, max(0, n - m)) for n, m in zip(least, a.shape)]), axis)

    def less(a, shape, groups, axis):
        there = split(a, groups, axis)[tuple(map(slice, split(np.empty(shape), groups, axis).shape))]
        there = merged(there, axis)
        return kernels.reference.batch_first(kernels.reference.batch_last(there)) if axis else there.copy()

    @functools.wraps(convolve)
    def run(a, b, *how, bias=None):
        *shape, _, _, _, groups = how  # the gradients are told a shape
        others = {} if bias is None else {"bias": bias}
        if a.ndim != 4 or a.dtype != b.dtype or not (a.size and b.size):
            return convolve(a, b, *how, **others)
        second, result = (1, 0) if convolve.__name__ == "conv_weight_grad" else (0, 1)  # the axes, of images or weights
        full = [more(np.empty(s), groups, result).shape for s in shape]
        y = convolve(more(a, groups, 1), more(b, groups, second), *full, *how[-4:],
                     **{key: more(value, groups, 0) for key, value in others.items()})
        return less(y, *(shape or [(len(a), len(b), *y.shape[2:])]), groups, result)
    return run


if "COMPILED_FROM" in os.environ:
    compile_from(int(os.environ["COMPILED_FROM"]))


@pytest.fixture
def generator():
    return np.random.default_rng(0)


@pytest.fixture
def own_ops():
    """For tests that add to the table: what they add is taken out again."""
    before = set(graph.table)
    yield
    for key in set(graph.table) - before:
        del graph.table[key]


@pytest.fixture
def drawn(monkeypatch):
    """The matplotlib figures that would have been written, in their order."""
    from minigrad.viz import style
    figures = []
    monkeypatch.setattr(style, "write", lambda figure, path: figures.append(figure) or path)
    return figures


@pytest.fixture
def said():
    """Gives all texts of a figure."""
    from matplotlib.text import Text
    return lambda figure: "\n".join(t.get_text() for t in figure.findobj(Text))


@pytest.fixture(scope="session")
def chromium():
    """One browser for each worker."""
    try:
        with browser.chromium() as started:
            yield started
    except browser.Missing as missing:
        pytest.skip(str(missing))


@pytest.fixture
def browser_page(chromium):
    """Opens pages: ``browser_page(path, width=1280, height=800, dark=False, language=None)``; see browser.Pages."""
    with browser.pages(chromium) as opened:
        yield opened


def pytest_terminal_summary(terminalreporter):
    """Skipped browser tests are said aloud."""
    skipped = [report.longrepr[2] for report in terminalreporter.stats.get("skipped", ())
               if isinstance(report.longrepr, tuple) and browser.NEEDED in report.longrepr[2]]
    if skipped:
        terminalreporter.write_line(f"{len(skipped)} skipped: {skipped[0].removeprefix('Skipped: ')}", yellow=True)
