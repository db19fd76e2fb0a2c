"""Everything that HIPS autograd differentiates (references/hips.json) is here, or its exception is written down."""

from __future__ import annotations

import json
import operator

import numpy as np
import pytest
from references.coverage import ELSEWHERE
from references.operators import HERE
from references.ours import everything
from references.twins import spelled

from minigrad.graph import composites, constants, table

names = json.loads((HERE / "hips.json").read_text(encoding="utf-8"))["names"]


def is_here(name):
    """Whether NumPy's function of this name, or SciPy's, has a rule, is made of such, or is locally constant."""
    if name.startswith("scipy."):
        return name in composites or name.rpartition(".")[2] in {spelled(key) for key in everything}
    try:
        key = operator.attrgetter(name.removeprefix("numpy."))(np)
    except AttributeError:
        return False
    return key in table or key in composites or key in constants


@pytest.mark.parametrize("name", names)
def test_what_autograd_has_is_here(name):
    assert is_here(name) != (name in ELSEWHERE), "give it a rule, or a reason in references/coverage.py"


def test_exceptions_are_autograds():
    assert ELSEWHERE.keys() <= set(names)
