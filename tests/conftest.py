"""Fixtures and the two depths of the property tests: HYPOTHESIS_PROFILE=ci (the default) or nightly."""

from __future__ import annotations

import os

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
