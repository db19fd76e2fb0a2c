"""Every layer and loss beside the recorded outputs, gradients and second derivatives of its reference."""

from __future__ import annotations

import pytest
from references.layers import AREAS, cases, compare, read

ALL = {f"{area}: {case.name}": (area, case) for area in AREAS for case in cases(area)}


@pytest.fixture(scope="module")
def recorded():
    return {(area, name): found for area in AREAS for name, found in read(area).items()}


def test_every_case_is_recorded(recorded):
    assert recorded.keys() == {(area, case.name) for area, case in ALL.values()}


def test_every_looseness_has_a_reason():
    assert [key for key, (_, c) in ALL.items() if (c.tolerance > 1e-10 or c.order < 2) and not c.why] == []


@pytest.mark.parametrize("key", ALL)
def test_it_is_its_reference(key, recorded):
    area, case = ALL[key]
    compare(case, recorded[area, case.name])
