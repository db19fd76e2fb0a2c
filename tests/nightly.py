"""Large sets of cases: all of them with HYPOTHESIS_PROFILE=nightly, else a part, so that the suite takes minutes."""

from __future__ import annotations

import os
from collections.abc import Iterable

import pytest

NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"


def part(cases: Iterable, every: int) -> list:
    """Every so-manieth of the cases; nightly all."""
    return list(cases)[::1 if NIGHTLY else every]


only = pytest.mark.skipif(not NIGHTLY, reason="takes seconds: HYPOTHESIS_PROFILE=nightly")
