"""Fixtures and the two depths of the property tests: HYPOTHESIS_PROFILE=ci (the default) or nightly."""

from __future__ import annotations

import os

import browser
import numpy as np
import pytest
from hypothesis import settings

from minigrad import graph

settings.register_profile("ci", derandomize=True, deadline=None, max_examples=40, database=None)
settings.register_profile("nightly", deadline=None, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


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
