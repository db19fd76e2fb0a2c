"""explain: the numbers are those of the chain rule by hand, and the table fits a terminal."""

from __future__ import annotations

import re
import unicodedata

import numpy as np
import pytest

import minigrad as mg
from minigrad import Tensor, functional, nn, viz
from minigrad.graph import rule
from minigrad.tensor import record
from minigrad.viz.explain import explain
from minigrad.viz.walk import Backward


def scalar(value):
    return Tensor(np.float64(value), requires_grad=True)


def columns(line):
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in line)


def expression():
    a, b, c = scalar(2), scalar(-3), scalar(10)
    e = a * b
    d = e + c
    return explain(d * a)


def perceptron(batch=4):
    mg.manual_seed(0)
    model = nn.Sequential(nn.Dense(2, 3), nn.Tanh(), nn.Dense(3, 1))
    x = Tensor(np.random.default_rng(0).standard_normal((batch, 2)).astype(np.float32))
    return functional.mse_loss(model(x), Tensor(np.zeros((batch, 1), np.float32))), model


def test_every_number_of_a_small_expression():
    told = expression()
    assert viz.explain is explain
    assert [row.cells[:5] for row in told.forward] == [
        ("1", "e", "multiply(a, b)", "()", "-6"), ("2", "d", "add(e, c)", "()", "4"),
        ("3", "#3", "multiply(d, a)", "()", "8")]
    assert all(re.fullmatch(r"test_explain.py:\d+", row.cells[5]) for row in told.forward)
    assert [row.cells[:5] for row in told.backward] == [
        ("3", "#3", "multiply", "1", "1"), ("2", "d", "add", "2", "2"), ("1", "e", "multiply", "2", "2")]
    assert [row.lines for row in told.backward] == [
        ["to d: g * b = 1 * 2 = 2", "to a: g * a = 1 * 4 = 4"], ["to e: g = 2", "to c: g = 2"],
        ["to a: g * b = 2 * (-3) = -6", "to b: g * a = 2 * 2 = 4"]]
    assert [row.cells[:4] for row in told.leaves] == [
        ("a", "()", "-2", "-2"), ("b", "()", "4", "4"), ("c", "()", "2", "2")]
    assert told.leaves[0].lines == ["g = 4 + (-6) = -2, from #3, e"]
    assert told.gradients == {"a": -2, "b": 4, "c": 2} and told.wrong == [] and max(told.errors.values()) < 1e-8


def test_the_text_of_it():
    told = expression()
    text = told.text(80)
    assert "   2  d      add        2  2" in text and "      to a: g * b = 2 * (-3) = -6" in text
    assert text.endswith("Central differences agree with every gradient.")
    assert repr(told) == str(told) and told._repr_html_().startswith("<pre")


def test_html_is_escaped():
    a = scalar(1)
    assert "<b>" not in explain(a * 2, names={"<b>": a})._repr_html_()


def test_broadcasting_is_undone_aloud():
    x, b = Tensor(np.array([[1.0, 2], [3, 4]])), Tensor(np.array([0.5, -1.0]), requires_grad=True)
    told = explain((x * (x + b)).sum())
    step = next(row for row in told.backward if row.cells[2] == "add")
    assert step.lines == ["to b: g = [[1, 2], [3, 4]] = [4, 6]  (summed over axis 0)"]


def test_large_values_are_told_by_their_norm():
    w = Tensor(np.linspace(-1, 2, 50), requires_grad=True)
    told = explain((w * w).sum())
    norm = np.linalg.norm(w.data)
    assert told.forward[0].cells[4] == f"{(w.data ** 2).min():.4g} .. 4, norm {np.linalg.norm(w.data ** 2):.4g}"
    assert told.leaves[0].cells[2] == f"-2 .. 4, norm {2 * norm:.4g}"
    assert "along u" in told.leaves[0].cells[3] and "u: a random direction" in str(told)


def test_modules_have_headings_and_can_be_closed():
    loss, model = perceptron()
    told = explain(loss, model)
    assert [row.heading for row in told.forward][:3] == ["[0: Dense(2, 3)]", "[1: Tanh()]", "[2: Dense(3, 1)]"]
    assert told.forward[0].cells[2].endswith("0.weight, 0.bias)") and "0.weight" in told.gradients
    closed = explain(loss, model, depth=1)
    assert closed.forward[0].cells[2] == "0: Dense(2, 3), 1 operation"
    outermost = explain(loss, model, depth=0)
    assert outermost.forward[0].cells[:3] == ("1-3", "#3", "Sequential(), 3 operations")
    assert outermost.backward[-1].cells[0] == "3-1" and len(outermost.forward) == len(told.forward) - 2
    assert [row.cells for row in outermost.leaves] == [row.cells for row in told.leaves]


@pytest.mark.parametrize("language", ["en", "ko"])
@pytest.mark.parametrize("width", [60, 80, 100])
def test_it_fits_the_terminal(language, width):
    loss, model = perceptron()
    무척_긴_이름의_변수 = Tensor(np.ones(3), requires_grad=True)
    for told in (explain(loss, model, language=language),
                 explain((np.sin(무척_긴_이름의_변수) * 무척_긴_이름의_변수).sum(), language=language)):
        assert max(map(columns, told.text(width).splitlines())) <= width


def test_the_width_is_that_of_the_terminal(monkeypatch):
    told = expression()
    for given, used in (("72", 72), ("300", 100), ("20", 60), ("0", 80)):
        monkeypatch.setenv("COLUMNS", given)
        assert max(map(columns, str(told).splitlines())) == used


def test_columns_of_korean_are_aligned():
    가중치, b = scalar(2), scalar(3)
    곱 = 가중치 * b
    lines = explain(곱 * 곱, language="ko").text(90).splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("순전파"))
    head, *rows = [lines[start + 2], *lines[start + 4:start + 6]]
    at = columns(head[:head.index("연산")])
    assert [columns(row[:row.index("multiply")]) for row in rows] == [at, at]


def test_a_long_pass_is_cut_in_the_middle():
    x = scalar(0.3)
    y = x
    for _ in range(50):
        y = np.sin(y)
    told = explain(y)
    shown = told.text(80)
    assert shown.count("... 30 left out; steps=None shows them ...") == 2
    assert [int(n) for n in re.findall(r"^ +(\d+)  \S+ +sin\(", shown, re.M)] == [*range(1, 11), *range(41, 51)]
    assert explain(y, steps=None).text(80).count(" sin(") == 50
    assert explain(y, steps=3).text(80).count(" sin(") == 3


def test_hooks_and_what_was_there_before():
    x = scalar(2)
    a = x * x
    a.register_hook(lambda g: 10 * g)
    told = explain(a * 3, before={x.node: np.float64(5)})
    step = told.backward[-1]
    assert step.cells[3] == "30" and step.lines[0] == "g: a hook made this of 3" and "wrong" in step.cells[5]
    assert told.leaves[0].lines[0] == "g = 5 + 60 + 60 = 125, from before, #1, #1".replace("#1", "a")
    assert told.wrong == ["a", "x"] and "do not agree with the gradient of: a, x." in str(told)
    assert "A hook changes gradients on purpose" in str(told) and "of this loss alone" in str(told)


def test_a_kink_is_called_one():
    told = explain(functional.relu(Tensor(np.array([0.0, 1.0]), requires_grad=True)).sum())
    assert told.leaves[0].cells[-1].endswith("kink") and told.wrong == []


def test_a_faulty_walk_is_told_beside_what_it_should_be():
    class Overwrites(Backward):
        def add(self, old, new):
            return new
    x = scalar(3)
    told = explain(x * x, backward=Overwrites)
    assert told.leaves[0].lines == ["from #1 (lost: 3), #1", "it should be 6"] and told.wrong == ["x"]


def test_what_is_complex_and_what_is_not_checked():
    z = Tensor(np.array(1 + 2j), requires_grad=True)
    told = explain((z * z.conj()).real)
    assert told.gradients["z"] == 2 + 4j and "conjugate" in str(told)
    assert "agree with the 1 of 4 gradients that they were taken of" in str(told).replace("\n", " ")
    unchecked = explain(scalar(2) * 3, check=False)
    assert unchecked.errors == {} and not re.search("differences +error|agree", str(unchecked))


def test_without_differences_it_says_why(own_ops):
    chance = np.random.default_rng(0)

    def noisy(x): return x + chance.standard_normal(x.shape)
    rule(noisy, lambda g, y, x: g)
    x = Tensor(np.float32(0.1), requires_grad=True)
    for told in (explain(record(noisy, scalar(1))), explain(scalar(np.nan) * 2), explain(x * 1e6 - 1e5)):
        assert told.errors == {} and told.wrong == []
        assert "No central differences: the values are complex or not finite, or come out" in str(told)


def test_a_rule_that_is_a_function(own_ops):
    def cube(x): return x ** 3

    def slope(g, y, x):
        square = x * x
        return 3 * g * square
    rule(cube, slope)
    told = explain(record(cube, scalar(2)))
    assert re.fullmatch(r"to leaf1: slope\(...\), test_explain.py:\d+ = 12", told.backward[0].lines[0])


def test_nothing_is_touched():
    x = scalar(3)
    y = x * x
    explain(y)
    assert x.grad is None
    y.backward()
    assert x.grad == 6


def test_what_cannot_be_explained_says_why():
    x = scalar(3)
    y = x * x
    y.backward()
    with pytest.raises(RuntimeError, match=r"Call explain\(loss\) before loss.backward\(\), .*retain_graph=True"):
        explain(y)
    y = x * x
    x.data -= 1
    with pytest.raises(RuntimeError, match="changed in place"):
        explain(y)
    with pytest.raises(ValueError, match="nothing was recorded"):
        explain(Tensor(2.0))
    v = Tensor(np.ones(3), requires_grad=True)
    with pytest.raises(ValueError, match=r"from shape \(3,\) needs gradient="):
        explain(v * 2)
    with pytest.raises(ValueError, match=r"gradient has shape \(2,\), but the Tensor has \(3,\)"):
        explain(v * 2, gradient=np.ones(2))
    assert explain(v * 2, gradient=Tensor([1.0, 2, 3])).leaves[0].cells[2] == "[2, 4, 6]"
    for wrong in ({"language": "fr"}, {"steps": 1}, {"steps": "all"}, {"depth": -1}):
        with pytest.raises(ValueError, match=f"explain: {next(iter(wrong))} is"):
            explain(v.sum(), **wrong)
    with pytest.raises(TypeError, match="not ndarray"):
        explain(np.ones(3))
