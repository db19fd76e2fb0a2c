"""What docs/layers.md says, as far as it can be said in seconds."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "layers.md").read_text(encoding="utf-8")


def module(name):
    spec = importlib.util.spec_from_file_location(f"docs_{name}", ROOT / "docs" / f"{name}.py")
    found = importlib.util.module_from_spec(spec)
    before = sys.path[:]
    try:
        spec.loader.exec_module(found)
    finally:
        sys.path[:] = before
    return found


def test_the_table_is_up_to_date():
    layers = module("layers")
    assert layers.MARKED.search(PAGE).group() == layers.table(), "run: python docs/layers.py"


def test_the_page_quotes_what_the_figures_print(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    figures = module("figures")
    monkeypatch.setattr(figures, "IMAGES", tmp_path)
    assert "```\n" + "\n".join(figures.layers_vanishing()) + "\n```" in PAGE, "run: python docs/figures.py layers"
    assert (tmp_path / "layers_vanishing.png").stat().st_size > 10_000


def test_contents_lead_to_sections():
    heads = [re.sub(r"[^a-z0-9 -]", "", head.lower()).replace(" ", "-") for head in re.findall(r"^## (.*)", PAGE, re.M)]
    assert re.findall(r"\]\(#([^)]+)\)", PAGE) == heads


def test_the_code_of_the_page(capsys):
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.S):
        exec(block, {})
    promised = [p.strip() for p in re.findall(r"^print\(.*\)\s+# (.*)$", PAGE, re.M)]
    assert capsys.readouterr().out.splitlines() == promised and len(promised) == 2
