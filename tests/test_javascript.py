"""viz.javascript: Python's formulas say the same in a browser, and what has no translation is refused by name."""

from __future__ import annotations

import importlib.util
import json
import math
import random

import numpy as np
import pytest

from minigrad import optim
from minigrad.viz import functions, javascript
from minigrad.viz.javascript import Untranslatable

RATE = 0.25


def module(tmp_path, text, name="formulas"):
    """Formulas as a module with a file, for their text is read."""
    path = tmp_path / f"{name}.py"
    path.write_text(f"import math\nimport numpy as np\nRATE = {RATE}\nTABLE = [1]\n{text}")
    spec = importlib.util.spec_from_file_location(name, path)
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


@pytest.fixture
def run(browser_page, tmp_path):
    """Evaluates JavaScript, with the helpers that a page has."""
    (tmp_path / "empty.html").write_text("<!DOCTYPE html><title>empty</title>")
    page = browser_page(tmp_path / "empty.html")
    return lambda text: page.evaluate(f"(() => {{ {javascript.HELPERS} return {text}; }})()")


def test_a_formula_reads_as_it_did(tmp_path):
    text = "def f(x, y):\n    'What it is.'\n    return (1 - x) ** 2 / 3 - -x * (y - 2 * math.pi)\n"
    made = module(tmp_path, text)
    assert javascript.expression(made.f) == "(x, y) => (1 - x) ** 2 / 3 - -x * (y - 2 * Math.PI)"
    assert javascript.expression(made.f, jets=True) == (
        "(x, y) => jet.sub(jet.div(jet.pow(jet.sub(1, x), 2), 3), jet.mul(jet.mul(-1, x), jet.sub(y, 2 * Math.PI)))")
    rosenbrock = functions.by_name("rosenbrock")
    assert javascript.expression(rosenbrock.f) == "(x, y) => (1 - x) ** 2 + 100 * (y - x ** 2) ** 2"
    text = javascript.loop(optim.Lion.update, ("w", "g", "m"), ("w", "m"))
    assert "(w, g, m, lr, beta1, beta2) => {" in text and "for (let _i = 0; _i < w.length; _i++) {" in text
    assert "w_ -= number0 * Math.sign(number1 * m_ + number2 * g_);" in text


def test_the_same_value_whatever_the_precedence(run, tmp_path):
    """Random expressions, in which brackets are where Python needs them: JavaScript has other rules for - and **."""
    chance = random.Random(0)

    def text(depth):
        if depth == 0:
            return chance.choice(["x", "y", "0.5", "3", "RATE", "-y", "math.pi"])
        a, b, c = (text(depth - 1 if chance.random() < 0.8 else 0) for _ in range(3))
        return chance.choice([
            f"({a}) + ({b})", f"({a}) - ({b})", f"({a}) * ({b})", f"({a}) / (2 + np.abs({b}))", f"-({a})",
            f"(-{c}) ** 2", f"-({a}) ** 2", f"(1 + np.abs({c})) ** (np.sin({a}))", f"({a}) - ({b}) - ({c})",
            f"2 ** (1 + np.cos({a})) ** 2",
            f"({a} if {b} < {c} else {b})", f"(x if x < ({a}) <= 9 or not ({b}) > 0 and {c} != 2 else ({c}))",
            f"np.where(({a}) > 0, {b}, {c})", f"np.maximum({a}, {b})", f"min({a}, {b}, 1)", f"np.sqrt(np.abs({a}))",
            f"np.logaddexp(0.0, {a})", f"np.square({a})", f"np.sign({a}) * np.tanh({b})", f"np.exp(-np.abs({a}))"])
    texts = [text(3) for _ in range(150)]
    made = module(tmp_path, "".join(f"def f{i}(x, y):\n    return {t}\n" for i, t in enumerate(texts)))
    points = [(0.7, -1.3), (-2.5, 0.4)]
    formulas = [getattr(made, f"f{i}") for i in range(len(texts))]
    said = run(f"[{', '.join(map(javascript.expression, formulas))}].map(f => "
               f"{json.dumps(points)}.map(p => String(f(...p))))")
    with np.errstate(all="ignore"):
        expected = [[float(f(*p)) for p in points] for f in formulas]
    np.testing.assert_allclose(np.array(said, float), expected, rtol=1e-11, atol=1e-13)
    assert np.isfinite(expected).mean() > 0.9, "of these, most say something"


def test_statements(run, tmp_path):
    made = module(tmp_path, """
def first(self, group, state, t):
    (a, b), how = group["betas"], group["how"]
    c, d = (s if how is None else a ** s for s in (t, t + 1))
    state["seen"] = seen = state.get("seen", 1.0) * b
    if not c > 1 and how == "x":
        return {"c": c, "seen": seen}
    elif how is not None:
        d += 10
    else:
        d *= 100
    return {"c": c, "d": d, "seen": seen}

def start(name, w, group):
    if name == "w":
        return w.copy(order="C")
    var = RATE
    return np.full_like(w, group["lr"] if name == "s" else var, order="C")
""")
    text = javascript.function(made.first)
    for betas, how in (((0.5, 0.25), "x"), ((2.0, 0.25), "x"), ((2, 3), None)):
        group = {"betas": betas, "how": how}
        state = {}
        expected = [made.first(None, group, state, t) for t in (1, 2)]
        assert run(f"(() => {{ const s = {{}}, f = {text}, g = {json.dumps(group)}; "
                   "return [f(g, s, 1), f(g, s, 2)]; })()") == expected
    text = javascript.function(made.start)
    assert run(f'["w", "s", "v"].map(n => ({text})(n, [1, 2], {{lr: 0.1}}))') == [[1, 2], [0.1, 0.1], [RATE, RATE]]
    assert "var$" in text, "a word that JavaScript keeps for itself"


def test_numbers_keep_all_their_digits(run):
    values = [0.1 + 0.2, 1 / 3, 1e-300, -2.805118086952745, 5e22, 7]
    assert run(javascript.literal(values)) == values
    assert run(javascript.literal([np.int64(3), np.float32(0.5), np.array([1, 2])])) == [3, 0.5, [1, 2]]
    assert run(f"{javascript.literal({'a': [None, True, -math.inf]})}.a[2] === -Infinity")


@pytest.mark.parametrize(("text", "why"), [
    ("def f(x, y):\n    return x @ y", "f says 'x @ y', which has no translation"),
    ("def f(x, y):\n    return TABLE + x", "f uses TABLE, which is neither its own nor a number"),
    ("def f(x, y):\n    return np.linalg.norm(x)", r"says 'np.linalg.norm\(x\)'"),
    ("def f(x, y):\n    return [i for i in x]", "no translation"),
    ("def f(x, y=2):\n    return x", "more than plain arguments: x, y=2"),
    ("def f(*x):\n    return x", "more than plain arguments"),
    ("def f(x, y):\n    z = x\n    return z", "f does more than return an expression"),
    ("f = lambda x, y: x", "is no def"),
    ("def f(x, y):\n    return x.data", "says 'x.data'")])
def test_what_is_refused(tmp_path, text, why):
    with pytest.raises(Untranslatable, match=why):
        javascript.expression(module(tmp_path, text, f"refused{abs(hash(text))}").f)


def test_what_has_no_derivative_here_is_refused(tmp_path):
    made = module(tmp_path, "def f(x, y):\n    return 2 ** x\ndef g(x, y):\n    return np.abs(x)\n"
                            "def h(x, y):\n    while x:\n        pass\n", "jets")
    assert javascript.expression(made.f) == "(x, y) => 2 ** x"
    for f in (made.f, made.g):
        with pytest.raises(Untranslatable, match="no translation"):
            javascript.expression(f, jets=True)
    choices = ("x if x > y else -x", "x if x else 1", "x or y", "+x", "1.0 * (x > 0)", "not x", "(x, y)[0]")
    text = "".join(f"def f{i}(x, y):\n    return {choice}\n" for i, choice in enumerate(choices))
    for f in map(vars(module(tmp_path, text, "choices")).get, (f"f{i}" for i in range(len(choices)))):
        assert javascript.expression(f), "of numbers; of arrays JavaScript would say something as well, but not this"
        with pytest.raises(Untranslatable, match="no translation"):
            javascript.expression(f, jets=True)
    with pytest.raises(Untranslatable, match="while x"):
        javascript.function(made.h)
    with pytest.raises(Untranslatable, match="has no text"):
        javascript.function(len)


def test_a_file_that_was_changed_is_refused(tmp_path):
    made = module(tmp_path, "def f(x, y):\n    return x + y\n", "changed")
    path = tmp_path / "changed.py"
    path.write_text(path.read_text().replace("x + y", "x - y"))
    with pytest.raises(Untranslatable, match="changed after it had been loaded"):
        javascript.expression(made.f)
