"""docs/ops.md says what is in the table."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from references.twins import spelled

from minigrad.graph import composites, constants, table

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "ops.md").read_text(encoding="utf-8")
NUMPY = re.search(r"\(NumPy (\S+)\)", PAGE).group(1)


def without_lines(page):
    """An edit elsewhere in a module moves the lines, and no more."""
    return re.sub(r"#L\d+\)", ")", page)


def test_the_page_is_up_to_date():
    if not np.__version__.startswith(f"{NUMPY}."):
        pytest.skip(f"the page is of NumPy {NUMPY}, and functions come and go")
    done = subprocess.run([sys.executable, ROOT / "docs" / "ops.py", "--print"], check=True, capture_output=True,
                          encoding="utf-8")
    assert without_lines(done.stdout) == without_lines(PAGE), "run: python docs/ops.py"


def test_every_op_stands_on_the_page():
    """On any NumPy."""
    ours = {spelled(key) for key in [*table, *composites, *constants]
            if not getattr(key, "__module__", "").startswith("test")}
    assert ours - set(re.findall(r"`([^`]+)`", PAGE)) == set(), "run: python docs/ops.py"


def test_links_lead_somewhere():
    for path, line in set(re.findall(r"\]\((\.\./[^)#]+)#L(\d+)\)", PAGE)):
        assert (ROOT / "docs" / path).is_file() and int(line) > 0
    anchors = {re.sub(r"[^a-z0-9_ -]", "", h.lower()).replace(" ", "-") for h in re.findall(r"^## (.*)", PAGE, re.M)}
    assert {a for a in re.findall(r"\]\(#([^)]+)\)", PAGE)} <= anchors


def test_nothing_on_it_is_too_wide():
    assert max(len(line) for line in PAGE.splitlines() if line.startswith("|")) < 400
