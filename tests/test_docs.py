"""What the documentation shows runs, and says what comes out."""

import re
from pathlib import Path

import numpy as np
import pytest

from minigrad import Tensor, grad, vmap
from minigrad.graph import rule, table
from minigrad.viz import draw

ROOT = Path(__file__).parent.parent


def snippets(page):
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.S)


def test_the_ten_lines_of_the_readme(capsys):
    code = snippets("README.md")[0]
    exec(code, {})
    promised = re.search(r"# (tensor\(.*)", code).group(1)
    first, second = capsys.readouterr().out.splitlines()
    assert first == promised
    x = np.array([0.5, 1.2])
    t = np.tanh(x)
    found = np.array(re.search(r"\[(.*?)\]", second).group(1).split(","), float)
    np.testing.assert_allclose(found, 2 * (1 - t * t) - 2 * x * t * (1 - t * t), rtol=1e-6, atol=1e-6)


def test_the_ops_of_adding_an_op():
    line, _, own, check = snippets("docs/adding-an-op.md")
    assert np.emath.sqrt not in table
    try:
        exec(line, {"np": np, "rule": rule})
        x = Tensor(np.array([4.0, 9.0]), requires_grad=True)
        np.testing.assert_allclose(grad(np.emath.sqrt(x).sum(), x).data, [1 / 4, 1 / 6])
    finally:
        table.pop(np.emath.sqrt, None)
    names = {}
    try:
        exec(own + check, names)
        y = names["hypotenuse"](Tensor([3.0], requires_grad=True), Tensor([4.0]))
        assert "hypotenuse" in draw(y).source  # a user's op is drawn like any other
        twice = grad(grad(lambda x: names["hypotenuse"](x, np.float64(4))))
        assert twice(np.float64(3)).item() == pytest.approx(16 / 125)
        np.testing.assert_allclose(vmap(names["hypotenuse"])(np.array([3.0, 6.0]), np.array([4.0, 8.0])).data, [5, 10])
        with pytest.raises(Exception, match="hypotenuse"):
            exec(own.replace("g * a / y", "g * b / y") + check, names)
    finally:
        for key in [key for key in table if getattr(key, "__name__", "") == "hypotenuse"]:
            del table[key]


def test_the_calculus_page(capsys):
    blocks = snippets("docs/calculus.md")
    names = {}
    for block in blocks:
        exec(block, names)
        for call, promised in re.findall(r"^(mg\..*?)\s+# .*?(tensor\(.*?\))", block, re.M):
            assert repr(eval(call, names)) == promised
    assert names["mg"].jacobian(np.tanh)(names["x"]).shape == (3, 3)
    shapes, examples, *complaint = capsys.readouterr().out.splitlines()
    assert shapes.startswith("{'0.weight': (3, 4), ") and examples == "(5, 3, 4)"
    assert complaint[0].startswith("backward: the rule of sqrt made a NaN")
    assert sum(len(re.findall(r"# .*?tensor\(", block)) for block in blocks) == 2  # both were compared


def test_every_page_and_picture_that_is_linked_exists():
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for link in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            if "://" not in link:
                assert (page.parent / link).exists(), f"{page.name} links to {link}"
