"""The backward player in a real browser: any graph walked by keys and scrubber, its gradients equal to backward's."""

import base64
import functools
import importlib
import json
import os
import re
import sys

import browser
import nightly
import numpy as np
import pytest
from nightly import part

import minigrad as mg
from minigrad import Tensor, cli, data, functional, models, nn
from minigrad.graph import Node
from minigrad.viz import page as pages
from minigrad.viz.walk import Backward

player = importlib.import_module("minigrad.viz.player")  # viz.player is the function
NASTY = ["<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "</text></svg><b>", "{name} & 'x' \\"]


def leaf(value, name=None, dtype=np.float64):
    return Tensor(np.array(value, dtype), requires_grad=True, name=name)


def scalar():
    a, b = leaf(2.0, "a"), leaf(-3.0, "b")
    c = a * b
    d = c + a
    t = np.tanh(d * 0.1)
    c.name, d.name, t.name = "c", "d", "t"
    return t * c, None, {"a": a, "b": b}


def xor():
    model = nn.Sequential(nn.Dense(2, 4, generator=np.random.default_rng(0)), nn.Tanh(),
                          nn.Dense(4, 1, generator=np.random.default_rng(1)))
    out = model(Tensor(np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)))
    return ((out - np.array([[0.0], [1], [1], [0]], np.float32)) ** 2).mean(), model, dict(model.named_parameters())


def cnn():
    mg.manual_seed(0)
    if os.environ.get("MINIGRAD_DATA"):
        found = data.load("mnist")
        images, labels = found.x[:4], found.y[:4]
    else:
        images, labels = np.random.default_rng(0).random((4, 1, 28, 28), np.float32), np.array([5, 0, 4, 1])
    model = models.cnn()
    return functional.cross_entropy(model(Tensor(images)), labels), model, dict(model.named_parameters())


def chain():
    """500 nodes: a value used many times, and a line of operations."""
    x = leaf(1.01, "x")
    w = x
    for i in range(498):
        w = w * x if i % 2 else w + 0.001
    return w, None, {"x": x}


GRAPHS = {"scalar": scalar, "xor": xor, "cnn": cnn, "chain": chain}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """written(name) -> (page, {leaf's name: gradient}) of one of GRAPHS, made once."""
    @functools.cache
    def made(name):
        loss, model, leaves = GRAPHS[name]()
        path = player.player(loss, tmp_path_factory.mktemp(name) / "p.html", model, {})
        loss.backward()
        return path, {key: np.asarray(tensor.grad) for key, tensor in leaves.items()}
    return made


def embedded(path):
    text = path.read_text(encoding="utf-8")
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)[1])


def position(page):
    return page.inner_text("#position")


def walk(page, step):
    page.evaluate(f"go({step})")


def detail(page):
    return page.inner_text("#detail")


def small(tmp_path, loss, name="page.html", **more):
    return player.player(loss, tmp_path / name, names={}, **more)


# ---- the four graphs, walked to the end ----
@pytest.mark.parametrize("name", part(GRAPHS, 2))
def test_final_gradients_equal_those_of_backward(name, browser_page, written):
    path, grads = written(name)
    page = browser_page(path)
    page.keyboard.press("End")
    assert position(page) == "End: all gradients"
    cells = page.locator("[data-gradient-of]")
    found = {cell.get_attribute("data-gradient-of"): cell for cell in cells.all()}
    assert found.keys() == grads.keys() and cells.count() == len(grads)
    run = embedded(path)["runs"][0]
    for key, grad in grads.items():
        told = json.loads(found[key].get_attribute("data-value"))
        if grad.size <= player.NUMBERS:
            np.testing.assert_allclose(np.array(told, float), grad, rtol=2e-8)
            continue
        wide = grad.astype(np.float64)
        for what, expected in {"min": wide.min(), "max": wide.max(), "mean": wide.mean(), "std": wide.std(),
                               "norm": np.linalg.norm(wide), "size": wide.size}.items():
            assert told[what] == pytest.approx(expected, rel=1e-6, abs=1e-12), what
        box = int(found[key].get_attribute("data-box"))
        drawn = next(visit["g"]["picture"] for visit in run["backward"] if visit["box"] == box)
        assert drawn["bytes"] == player.told(grad)["picture"]["bytes"]


@pytest.mark.parametrize("name", part(GRAPHS, 2))
def test_every_step_is_told_by_keys_and_by_scrubber(name, browser_page, written):
    path = written(name)[0]
    run = embedded(path)["runs"][0]
    forward, back = len(run["forward"]), len(run["backward"])
    if name == "chain":
        assert forward == 498 and len(run["boxes"]) >= 500
    page = browser_page(path)
    assert position(page) == "Start: nothing is computed yet"
    page.keyboard.press("ArrowRight")
    op = run["boxes"][run["forward"][0]]["op"]
    assert position(page).startswith(f"Forward 1 of {forward}: ") and op in page.inner_text("#detail h2")
    page.keyboard.press("PageDown")
    assert position(page).startswith(f"Forward {forward} of {forward}")
    page.keyboard.press("ArrowRight")
    assert position(page).startswith(f"Backward 1 of {back}") and "1 · What arrives" in detail(page)
    page.focus("#scrubber")
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    assert page.input_value("#scrubber") == str(forward + 4) and page.evaluate("state.step") == forward + 4
    page.fill("#scrubber", str(forward + 2))
    assert position(page).startswith(f"Backward 2 of {back}")
    page.keyboard.press("PageUp")
    assert position(page).startswith(f"Backward 1 of {back}")
    page.keyboard.press("Home")
    assert page.evaluate("state.step") == 0 and page.is_disabled("#back")
    steps = range(forward + back + 2)
    for step in steps if name != "chain" else list(steps)[::150]:
        walk(page, step)
        title = page.inner_text("#detail h2")
        assert title and "undefined" not in detail(page) and "[object" not in detail(page)
    assert page.evaluate("location.hash") == f"#run=0&step={step}"


def test_what_is_told_of_a_scalar_expression(browser_page, written):
    page = browser_page(written("scalar")[0])
    run = page.evaluate("DATA.runs[0]")
    at = {run["boxes"][visit["box"]]["name"]: len(run["forward"]) + 1 + i for i, visit in enumerate(run["backward"])}
    walk(page, at["c"])
    text = detail(page)
    assert "The value is used 2 times" in text and "multiply(a, b)" in text
    assert "g * b" in text and "g * a" in text and "derivative table, basics.py" in text
    c, d, t = -6.0, -4.0, np.tanh(-0.4)
    sent = (1 - t * t) * 0.1 * c
    g = t + sent
    shown = lambda v: f"{v:.4g}".replace("-", "−")
    terms = page.locator("#detail .term .scalar").all_inner_texts()
    assert [shown(t), f"({shown(sent)})", shown(g)] == terms
    assert f"{shown(g)} × (−3) = {shown(-3 * g)}" in text and f"{shown(g)} × 2 = {shown(2 * g)}" in text
    assert f"({shown(g)}) * (−3)" in text and "✓ agree" in text and d == -4
    assert page.inner_text("#detail .source") == "c = a * b"
    assert page.locator("#detail .source mark").all_inner_texts() == (["a * b"] if sys.version_info >= (3, 11) else [])
    walk(page, at["a"])
    assert "this is a.grad" in detail(page) and page.locator("#detail .term").count() == 3
    marks = page.locator("#graph .box.now").all()
    assert len(marks) == 1 and "a" in marks[0].text_content()


def test_the_graph_tells_where_the_walk_is(browser_page, written):
    page = browser_page(written("scalar")[0])
    away = lambda: page.locator("#graph .box.away").count()
    everything = page.locator("#graph .box").count()
    operations = page.evaluate("DATA.runs[0].forward.length")
    assert away() == operations and everything == operations + 3
    walk(page, operations)
    assert away() == 0 and page.locator("#graph .box.visited").count() == 0
    walk(page, operations + 1)
    assert page.locator("#graph .message").count() == 2 and page.locator("#graph .edge.sending").count() == 2
    assert "1/2 arrived" in page.text_content("#graph") and page.locator("#graph .box.now.backward").count() == 1
    page.locator("#graph .box", has_text="c = multiply").first.click()
    assert page.inner_text("#detail h2") == "c = multiply(a, b)" and position(page).startswith("Backward")
    walk(page, 1)
    page.locator("#graph .box", has_text="d = add").first.click()
    assert position(page) == f"Forward 2 of {operations}: d = add"
    page.locator("#graph .box", has_text="0.1").first.click()
    assert "Looking at" in detail(page) and "0.1" in detail(page)
    page.click("#detail button:has-text('Close')")
    assert "Looking at" not in detail(page)


def test_arrays_broadcasting_and_jacobians(browser_page, tmp_path):
    x, b = leaf([[1.0, 2.0], [3.0, 4.0], [5.0, 6.5]], "x"), leaf([0.5, -0.25], "b")
    page = browser_page(small(tmp_path, np.sin(x + b).sum()))
    run = page.evaluate("DATA.runs[0]")
    names = [run["boxes"][v["box"]]["op"] for v in run["backward"]]
    walk(page, len(run["forward"]) + 1 + names.index("add"))
    text = detail(page)
    assert "shape (3, 2) summed over axis 0, because b of shape (2,) was repeated 3 times" in text
    assert "local Jacobian ∂add/∂x, 6 × 6" in text
    page.evaluate("document.querySelectorAll('#detail details').forEach(d => { d.open = true; })")
    assert "Only the diagonal is not 0" in detail(page)
    table = page.locator(".card.message").nth(1).locator("table.numbers").last
    jacobian = np.array([[float(c) for c in row.split("\t")] for row in table.inner_text().strip().split("\n")])
    np.testing.assert_array_equal(jacobian, np.tile(np.eye(2), (3, 1)))
    y = np.matmul(np.ones((300, 200)), leaf(np.ones((200, 100)), "w")).sum()
    page = browser_page(small(tmp_path, y, "large.html"))
    page.keyboard.press("PageDown")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert "would have 30,000 × 20,000 = 6.0 × 10⁸ entries, 4.8 GB. It is never built" in detail(page)
    assert page.locator("#detail canvas[role=img]").count() >= 2
    assert "from 300 to 300, mean 300" in page.locator("#detail .card.message canvas").first.get_attribute("aria-label")


def test_pictures_follow_the_theme(browser_page, tmp_path):
    x = leaf(np.linspace(-1, 1, 100).reshape(10, 10), "x")
    page = browser_page(small(tmp_path, (x * x).sum()))
    walk(page, 1)
    pixel = "[...document.querySelector('#detail canvas').getContext('2d').getImageData(4, 4, 1, 1).data]"
    light = page.evaluate(pixel)
    page.click("#theme")
    dark = page.evaluate(pixel)
    assert light != dark and sum(light[:3]) > 600 and sum(dark[:3]) < 250


def test_operations_without_a_name_are_told_apart(browser_page, tmp_path):
    x = leaf(1.5, "x")
    page = browser_page(small(tmp_path, x * 2 + np.sin(x) + x ** 3 + x / 4 + np.exp(x)))
    heads = page.locator("#graph .box .head").all_text_contents()
    assert sorted(h for h in heads if h.startswith("add")) == ["add₃", "add₅", "add₇", "add₉"]
    assert heads.count("x") == 1 and {"sin", "multiply", "power", "divide", "exp"} <= set(heads)
    walk(page, page.evaluate("run().turn"))
    text = detail(page)
    assert position(page) == "Backward 1 of 10: add₉" and "∂add₉/∂add₉ = 1" in text and "local ∂add₉/∂add₇" in text
    page.keyboard.press("PageDown")
    page.keyboard.press("ArrowLeft")
    text = detail(page)
    assert "The value is used 5 times, so its gradient is the sum of 5 messages" in text
    x0 = 1.5
    terms = [2, np.cos(x0), 3 * x0 ** 2, 1 / 4, np.exp(x0)]
    shown = page.locator("#detail .term .scalar").all_inner_texts()
    assert sorted(shown) == sorted(f"{v:.4g}" for v in (*terms, sum(terms)))


@nightly.only
def test_of_a_large_graph_what_is_in_view_is_painted(browser_page, written):
    page = browser_page(written("chain")[0])
    everything = page.evaluate("stage.boxes.length")
    shown = page.locator("#graph .box")
    for step in (250, 600):
        walk(page, step)
        assert 3 <= shown.count() < everything / 4
        now = page.evaluate("headOf(box(boxAt(state.step)))")
        assert now in page.locator("#graph .box.now .head").all_text_contents()
        assert page.locator("#graph .edge.read, #graph .edge.sending").count() >= 1
        classes = page.evaluate("stage.boxes.map(b => b.group.getAttribute('class'))")
        done = page.evaluate("run().forward.slice(0, state.step).length")
        assert sum("known" in c and "box box" in c and "leaf" not in c and "constant" not in c for c in classes) == done
    page.click("#fit")
    assert shown.count() == everything == page.locator("#graph .box.known").count()
    page.keyboard.press("Home")
    assert page.locator("#graph .box.away").count() == 498


# ---- modules ----
def test_modules_open_and_close(browser_page, written):
    page = browser_page(written("xor")[0])
    boxes = lambda: page.locator("#graph .box").count()
    every = boxes()
    page.keyboard.press("m")
    some = boxes()
    page.keyboard.press("m")
    few = boxes()
    assert every > some > few and page.locator("#graph .frame").count() == 0
    assert page.is_disabled("#close-modules")
    step = page.evaluate("run().computedAt.get(run().boxes.findIndex(b => b.op === 'tanh'))")
    walk(page, step)
    now = page.locator("#graph .box.now")
    assert now.count() == 1 and now.locator(".head").text_content() == "Sequential()"
    now.click()
    assert boxes() == some and page.locator("#graph .box.now .head").text_content() == "1: Tanh()"
    page.click("#detail .where button:has-text('1: Tanh()')")
    assert page.locator("#graph .box.now .head").text_content() == "tanh" and some <= boxes() < every
    assert page.get_attribute("#detail .where button:has-text('1: Tanh()')", "aria-expanded") == "true"
    page.locator("#graph .frame .title", has_text="Sequential").click()
    assert boxes() == few
    page.click("#open-modules")
    page.click("#open-modules")
    assert boxes() == every and page.is_disabled("#open-modules") and page.evaluate("state.step") == step


def test_a_large_graph_begins_closed(browser_page, tmp_path):
    lstm = nn.LSTM(3, 4)
    out, _ = lstm(Tensor(np.random.default_rng(0).standard_normal((8, 2, 3)).astype(np.float32)))
    page = browser_page(player.player((out * out).sum(), tmp_path / "p.html", lstm, {}))
    assert 3 <= page.locator("#graph .box").count() <= 60
    page.click("#open-modules")
    assert page.evaluate("stage.boxes.length") > 60
    walk(page, 50)
    inside = """() => { const b = document.querySelector('#graph .box.now .body').getBoundingClientRect();
        const p = document.getElementById('graph').getBoundingClientRect();
        return b.left >= p.left && b.right <= p.right && b.top >= p.top && b.bottom <= p.bottom; }"""
    for step in range(50, 60):
        walk(page, step)
        assert page.evaluate(inside)
    page.click("#fit")
    assert page.evaluate("camera.k") < 0.5
    before = page.evaluate("camera.k")
    page.click("#larger")
    assert page.evaluate("camera.k") == pytest.approx(1.3 * before)


# ---- names are text ----
def test_names_are_text(browser_page, tmp_path):
    class Layer(nn.Module):
        def forward(self, x):
            return np.tanh(x)

    Layer.__name__ = Layer.__qualname__ = NASTY[0]
    model = nn.Sequential(Layer())
    tensors = [leaf([1.0, 2.0], name) for name in NASTY]
    x = tensors[0] * tensors[1] + tensors[2] * tensors[3]
    x.name = NASTY[1]
    loss = model(x).sum()
    path = player.player(loss, tmp_path / "p.html", model, {}, title=NASTY[0])
    page = browser_page(path)
    page.on("dialog", lambda dialog: pytest.fail("a name was run"))
    assert page.text_content("h1") == NASTY[0] == page.title()
    for step in range(page.evaluate("run().end") + 1):
        walk(page, step)
        assert page.evaluate("[document.scripts.length, document.images.length]") == [2, 0]
    names = [cell.get_attribute("data-gradient-of") for cell in page.locator("[data-gradient-of]").all()]
    assert sorted(names) == sorted(NASTY)
    heads = page.locator("#graph .box title").all_text_contents()
    assert set(NASTY) <= set(heads)
    assert page.locator("#graph .frame title", has_text=NASTY[0]).count() == 1
    page.click("#as-steps")
    assert page.evaluate("document.images.length") == 0 and NASTY[1] in page.text_content("#steps")


# ---- languages ----
TEXT_NODES = """() => { const found = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) { const at = walker.currentNode.parentElement;
        if (at.checkVisibility() && !at.closest('script, code, pre, .formula, button.name, h2:not(.words), #language'))
            found.push(walker.currentNode.data); }
    for (const at of document.querySelectorAll(':is([aria-label], [title]):not(#language)')) if (at.checkVisibility())
        found.push(at.getAttribute('aria-label') || '', at.getAttribute('title') || '');
    return found.map(text => text.trim()).filter(Boolean); }"""


def test_every_text_has_korean(browser_page, tmp_path):
    loss, model, _ = xor()
    page = browser_page(player.player(loss, tmp_path / "p.html", model, {}, language="ko"))
    english, korean = page.evaluate("[TEXTS.en, TEXTS.ko]")
    assert english.keys() == korean.keys()
    holes = lambda text: sorted(set(re.findall(r"\{\w+\}", text)))
    assert {key for key in english if holes(english[key]) != holes(korean[key])} == set()
    same = {key for key in english if english[key] == korean[key]}
    assert same == {"nan", "inf", "slice"}
    sentences = [re.compile("^" + re.sub(r"\\\{\w+\\\}", ".*", re.escape(text)) + "$", re.S)
                 for key, text in english.items() if re.search(r"[a-z]{3} [a-z]", text)]
    operations = {b["op"] for b in page.evaluate("run().boxes")}
    words = {text for key, text in english.items() if text != korean[key] and "{" not in text} - operations
    page.keyboard.press("q")
    for step in range(page.evaluate("run().end") + 1):
        walk(page, step)
        texts = page.evaluate(TEXT_NODES)
        assert [text for text in texts if text in words or any(s.match(text) for s in sentences)] == []
    assert page.evaluate("document.documentElement.lang") == "ko" and position(page).startswith("끝: 모든 기울기")
    for term in ("순전파", "역전파", "기울기", "연쇄 법칙", "야코비 행렬", "수치 미분", "브로드캐스팅"):
        assert any(term in text for text in korean.values()), term


def test_the_language_switches_in_place(browser_page, written):
    page = browser_page(written("scalar")[0])
    walk(page, 7)
    page.click("#language")
    assert position(page).startswith("역전파") and page.evaluate("state.step") == 7
    assert page.title() == page.text_content("h1") == "minigrad: 역전파 플레이어"
    assert "도착하는 것" in detail(page) and "What arrives" not in detail(page)


# ---- quiz ----
def test_the_quiz_accepts_right_and_refuses_wrong(browser_page, written):
    page = browser_page(written("scalar")[0])
    first = page.evaluate("run().turn")
    page.click("#quiz")
    walk(page, first)
    asked = page.evaluate(f"(q => ({{kind: q.kind, answer: q.answer, name: q.name}}))(question({first}))")
    assert asked["kind"] == "number" and "What does it send to" in detail(page)
    assert "2 · What it sends on" not in detail(page) and page.locator("#graph .message").first.text_content() == "?"
    page.fill("#answer", "hello")
    page.keyboard.press("Enter")
    assert "Not a number" in page.inner_text("#verdict")
    page.fill("#answer", str(asked["answer"] * 1.2 + 1))
    page.keyboard.press("Enter")
    assert "Not yet" in page.inner_text("#verdict") and page.inner_text("#score") == "0 right of 0"
    page.click("#hint")
    assert "g * " in page.inner_text("#hint-text")
    page.fill("#answer", str(asked["answer"] * 1.005).replace("-", "−"))
    page.keyboard.press("ArrowLeft")  # the cursor, not the walk
    page.keyboard.press("Enter")
    assert page.inner_text("#verdict").startswith("Right") and page.inner_text("#score") == "1 right of 1"
    assert "2 · What it sends on" in detail(page) and page.evaluate("document.activeElement.id") == "go-on"
    page.keyboard.press("Enter")
    assert page.evaluate("state.step") == first + 1
    page.click("#reveal")
    assert page.inner_text("#verdict").startswith("It is") and page.inner_text("#score") == "1 right of 2"
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("state.step") == first + 3  # never in the way
    browser.until(page, "document.getElementById('said').textContent.startsWith('Backward 4')")


def test_how_answers_are_read(browser_page, written):
    page = browser_page(written("scalar")[0])
    read = lambda text: page.evaluate("text => String(readNumber(text))", text)
    assert [read(t) for t in ("1/4", "−2", " 1e-3 ", "-1/−8", "nan", "∞", "-inf", "", "x", "1/0.5", "1//2")] == [
        "0.25", "-2", "0.001", "0.125", "NaN", "Infinity", "-Infinity", "null", "null", "2", "null"]
    shapes = {"4, 2": [4, 2], "(4,2)": [4, 2], "[3]": [3], "(3,)": [3], "4×2": [4, 2], "4 x 2": [4, 2], "4": [4],
              "four": None, "": None, "4,,2": None}
    for text, expected in shapes.items():
        assert page.evaluate("text => readShape(text)", text) == expected, text


@pytest.mark.parametrize(("graph", "asks"), part([("cnn", {"entry", "shape", "rule"}), ("xor", {"entry"})], 2))
def test_the_quiz_asks_for_entries_shapes_and_rules(graph, asks, browser_page, written):
    page = browser_page(written(graph)[0])
    kinds = set()
    page.click("#quiz")
    for step in range(page.evaluate("run().turn"), page.evaluate("run().end")):
        walk(page, step)
        asked = page.evaluate(f"(q => q && ({{kind: q.kind, answer: q.answer}}))(question({step}))")
        assert asked == page.evaluate(f"(q => q && ({{kind: q.kind, answer: q.answer}}))(question({step}))")
        if asked is None:
            assert page.locator(".card.quiz").count() == 0
            continue
        kinds.add(asked["kind"])
        if asked["kind"] == "rule":
            assert page.locator(".choices button").count() == 3
            page.locator(".choices button").get_by_text(asked["answer"], exact=True).click()
        else:
            wrong = "7, 7, 7" if asked["kind"] == "shape" else "12345"
            page.fill("#answer", wrong)
            page.keyboard.press("Enter")
            assert "Not yet" in page.inner_text("#verdict")
            right = ", ".join(map(str, asked["answer"])) if asked["kind"] == "shape" else str(asked["answer"])
            page.fill("#answer", right)
            page.keyboard.press("Enter")
        assert page.inner_text("#verdict").startswith("Right")
    assert kinds <= asks and len(kinds) >= min(len(asks), 2)


# ---- keyboard and screen readers ----
def test_all_controls_have_names_and_the_graph_is_one_stop(browser_page, written):
    page = browser_page(written("chain")[0])
    stops = []
    page.evaluate("document.body.focus()")
    for _ in range(40):
        page.keyboard.press("Tab")
        stop = page.evaluate("""() => { const at = document.activeElement;
            const label = at.getAttribute('aria-label') || at.textContent.trim() || at.labels?.[0]?.textContent;
            return [at.id || at.className, label]; }""")
        if stop[0] == "" or stop in stops:
            break
        stops.append(stop)
    names = [stop[0] for stop in stops]
    assert names[:4] == ["quiz", "help", "language", "theme"]
    for control in ("as-graph", "as-steps", "graph", "detail", "play", "next", "scrubber", "speed"):
        assert control in names, control
    assert all(label for _, label in stops) and len(stops) < 30
    assert page.get_attribute("#graph", "aria-label").startswith("Graph of ")


def test_keys_play_the_list_and_the_help(browser_page, written):
    page = browser_page(written("scalar")[0])
    page.select_option("#speed", "350")
    page.focus("#graph")
    page.keyboard.press(" ")
    assert "Pause" in page.inner_text("#play")
    browser.until(page, "state.step >= 2")
    page.keyboard.press(" ")
    assert "Play" in page.inner_text("#play")
    walk(page, 3)
    browser.until(page, "document.getElementById('said').textContent.startsWith('Forward 3')")
    page.click("#as-steps")
    items = page.locator("#steps [role=option]")
    assert items.count() == page.evaluate("run().end") + 1
    assert page.get_attribute("#steps [aria-selected=true]", "id") == "step-3"
    page.focus("#steps")
    page.keyboard.press("ArrowDown")
    assert page.get_attribute("#steps", "aria-activedescendant") == "step-4" and page.evaluate("state.step") == 4
    items.nth(8).click()
    assert page.evaluate("state.step") == 8
    page.keyboard.press("?")
    assert page.is_visible("#keys") and "PageDown" in page.inner_text("#keys")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("state.step") == 8
    page.keyboard.press("Escape")
    assert not page.is_visible("#keys")
    page.keyboard.press("Control+ArrowRight")
    assert page.evaluate("state.step") == 8


def test_the_hash_restores_the_place(browser_page, tmp_path):
    loss, _, _ = scalar()
    path = player.player(loss, tmp_path / "p.html", names={})
    page = browser_page(path)
    page.evaluate("location.hash = '#run=0&step=6'")
    browser.until(page, "state.step === 6")
    page.reload()
    assert page.evaluate("state.step") == 6 and position(page).startswith("Backward")
    page.evaluate("location.hash = '#run=7&step=999'")
    browser.until(page, "state.step === run().end")
    page.evaluate("location.hash = '#nothing'")
    browser.until(page, "state.step === 0")


@pytest.mark.parametrize(("width", "dark"), part([(390, False), (390, True), (1280, True), (1280, False)], 2))
def test_it_fits(browser_page, written, width, dark):
    page = browser_page(written("xor")[0], width=width, dark=dark)
    for step in (0, 1, page.evaluate("run().turn"), page.evaluate("run().turn + 2"), page.evaluate("run().end")):
        walk(page, step)
        assert page.evaluate("document.documentElement.scrollWidth") == width
        transport = page.locator(".transport").bounding_box()
        assert transport["y"] + transport["height"] <= 801 and transport["y"] > 400
    assert page.evaluate("parseFloat(getComputedStyle(document.querySelector('#graph text')).fontSize)") >= 11


# ---- several runs ----
class Overwrites(Backward):
    """Only the last message counts."""

    def add(self, old, new):
        return new


def test_runs_are_chosen_and_compared(browser_page, tmp_path):
    stories = {"en": "A story of <b>one</b> fault.", "ko": "잘못 하나에 관한 <b>이야기</b>."}
    runs = [player.run(scalar()[0], backward=Overwrites, key="one-wrong", title={"en": "Broken one", "ko": "고장"},
                       story=stories, right=1),
            player.run(scalar()[0], key="one-right", title="The right one"), player.run(xor()[0], title="Another")]
    page = browser_page(player.write(runs, tmp_path / "p.html", "Runs"))
    assert page.locator("#run option").all_text_contents() == ["Broken one", "The right one", "Another"]
    assert stories["en"] in page.text_content("#story")
    at = page.evaluate("run().turn + run().backward.findIndex(v => run().boxes[v.box].name === 'c')")
    walk(page, at)
    assert "Wrong. It should be:" in detail(page) and "lost: it came too late" in detail(page)
    assert "≠" in page.locator("#graph .box.now .gradient").text_content()
    page.keyboard.press("End")
    assert "≠ wrong" in detail(page) and "✗ differ" in detail(page)
    walk(page, at)
    page.click("#pair button:has-text('Right')")
    assert page.evaluate("state.run") == 1 and page.evaluate("state.step") == at and "Wrong." not in detail(page)
    page.click("#pair button:has-text('Broken')")
    assert page.evaluate("[state.run, state.step]") == [0, at]
    page.select_option("#run", "2")
    assert page.evaluate("state.step") == 0 and page.locator("#pair").is_hidden()
    page.click("#language")
    page.select_option("#run", "0")
    assert stories["ko"] in page.text_content("#story") and page.locator("#run option").first.text_content() == "고장"


class WrongTanh(Backward):
    """Another rule for one operation."""

    def rule(self, node, index):
        return (lambda g, y, x: g * (1 - y)) if node.op.name == "tanh" else super().rule(node, index)


class Unsummed(Backward):
    """Broadcasting is left as it is."""

    def fit(self, raw, x, node):
        return raw, ()


def test_what_departs_from_the_table_is_said(browser_page, tmp_path):
    def of(backward, loss):
        run = player.run(loss, backward=backward)
        return run, browser_page(player.write([run], tmp_path / f"{backward.__name__}.html"))

    run, page = of(WrongTanh, scalar()[0])
    departs = {run["boxes"][v["box"]]["op"] for v in run["backward"] for p in v["products"] if p["departs"]}
    assert departs == {"tanh"}
    walk(page, page.evaluate("run().turn + run().backward.findIndex(v => run().boxes[v.box].op === 'tanh')"))
    assert "This is not the table's rule, which is g * (1 - y * y)" in detail(page) and "× 0." not in detail(page)
    assert "g * (1 - y)" in detail(page) and "derivative table" not in detail(page)
    run, page = of(Unsummed, (leaf([[1.0, 2.0]] * 3, "x") + leaf([1.0, 2.0], "b")).sum())
    walk(page, page.evaluate("run().turn + 1"))
    assert "The gradient has shape (3, 2), its value has shape (2,)" in detail(page)
    assert not any(p["departs"] for v in run["backward"] for p in v["products"])
    right = player.run(scalar()[0])
    assert not any(p["departs"] or p["misfit"] for v in right["backward"] for p in v["products"])


# ---- what a page weighs ----
def test_what_a_page_weighs(written):
    path = written("cnn")[0]
    json_ = len(json.dumps(embedded(path), ensure_ascii=False, separators=(",", ":")).encode())
    assert path.stat().st_size - json_ < 150_000 and json_ < 850_000


# ---- odd values ----
def test_small_numbers_beside_large_ones_are_not_zero(browser_page, written):
    page = browser_page(written("scalar")[0])
    cells = lambda *numbers: page.evaluate("all => all.map(writer(all).text)", list(numbers))
    assert cells(0.8343, -3.2e-5, 0) == ["0.8343", "−3.2e−5", "0"] and cells(2, 0.001) == ["2.000", "0.001"]
    assert cells(1, 10, 1000) == ["1", "10", "1000"]


def test_messages_of_complex_values_are_no_matrix_products(browser_page, tmp_path):
    z = leaf([1 + 2j, 3 - 1j], "z", np.complex128)
    loss = np.imag(np.conj(z) * z * z).sum()
    run = embedded(small(tmp_path, loss))["runs"][0]
    ops = [run["boxes"][v["box"]]["op"] for v in run["backward"]]
    has = {op: [p["jacobian"] is not None for p in v["products"]] for op, v in zip(ops, run["backward"])}
    assert has["conjugate"] == [False] and has["imag"] == [False] and has["sum"] == [True]
    page = browser_page(tmp_path / "page.html")
    for step in range(page.evaluate("run().turn"), page.evaluate("run().end")):
        walk(page, step)
        assert "never built" not in detail(page) and "−0j" not in detail(page)


def test_rules_without_source_and_settings(browser_page, tmp_path, own_ops):
    rules = {"np": np, "primitive": mg.primitive}
    exec("class Rule:\n    def __call__(self, g, y, x): return g * 3\n"
         "def third(g, y, x):\n    return g * 3\n"
         "@primitive(Rule())\ndef thrice(x): return x * 3\n@primitive(third)\ndef triple(x): return x * 3\n"
         "@primitive(lambda g, y, x: g * 3)\ndef tripled(x): return x * 3", rules)
    x = leaf([1.0, 2.0, 4.0], "x")
    y = x[np.array([0, 0, 2])]
    for name in ("thrice", "triple", "tripled"):
        y = rules[name](y)
    page = browser_page(small(tmp_path, y.sum()))
    said = {}
    for step in range(page.evaluate("run().turn"), page.evaluate("run().end - 1")):
        walk(page, step)
        said[page.evaluate("box(boxAt(state.step)).op")] = detail(page)
    source = "a function whose source is not at hand"
    assert f"Rule: {source}" in said["thrice"] and f"third: {source}" in said["triple"]
    assert f"lambda: {source}" in said["tripled"] and not any("several lines" in text for text in said.values())
    assert "index: [0, 0, 2]" in said["getitem"] and "axis: None" in said["sum"]
    page.keyboard.press("End")
    assert json.loads(page.get_attribute("[data-gradient-of]", "data-value")) == [54, 0, 27]


def test_one_entry_is_a_number(browser_page, tmp_path):
    x, y = leaf([[1.0]], "x"), leaf(2.0, "y")
    page = browser_page(small(tmp_path, x * y))
    walk(page, page.evaluate("run().turn"))
    text = detail(page)
    assert "the beginning: ∂multiply/∂multiply = 1" in text and "that was given" not in text and "repeated" not in text
    assert "shape (1, 1) → (): axes 0, 1 of length 1, which broadcasting had given y, taken off again" in text


def test_a_shape_of_one_axis_is_no_value(browser_page, tmp_path):
    page = browser_page(small(tmp_path, (leaf([1.0, 3.0], "x") * 2.0).sum()))
    page.keyboard.press("End")
    texts = lambda kind: page.locator(f"#graph .{kind}").all_text_contents()
    assert dict(zip(texts("head"), texts("value"))) == {"x": "(2,)", "constant": "2", "multiply": "(2,)", "sum": "8"}


def test_a_loss_that_is_a_leaf(browser_page, tmp_path):
    page = browser_page(small(tmp_path, leaf(2.0, "x")))
    page.keyboard.press("ArrowRight")
    assert "this is x.grad" in detail(page) and "∂x/∂x = 1" in detail(page)
    page.keyboard.press("End")
    assert json.loads(page.get_attribute('[data-gradient-of="x"]', "data-value")) == 1


def test_long_names_and_titles_fit(browser_page, tmp_path):
    x = leaf(2.0, "n" * 300)
    y = x * x
    y.name = "가나다" * 100
    path = small(tmp_path, y * y, title="t" * 300)
    for width in (390, 1280):
        page = browser_page(path, width=width)
        for step in range(page.evaluate("run().end") + 1):
            walk(page, step)
            assert page.evaluate("document.documentElement.scrollWidth") == width
            detail_box = page.locator("#detail").bounding_box()
            assert detail_box["x"] + detail_box["width"] <= width
        page.click("#as-steps")
        assert page.evaluate("document.documentElement.scrollWidth") == width


def test_nan_infinities_integers_and_complex(browser_page, tmp_path):
    w, z = leaf([1.0, np.nan, np.inf], "w"), leaf([1 + 2j, 3 - 1j, 0.5j], "z", np.complex128)
    n, empty = np.array([1, 2, 3]), leaf(np.zeros((0, 2)), "empty")
    loss = (w * n).sum() + np.abs(z * (1 - 1j)).sum() + empty.sum()
    path = small(tmp_path, loss)
    page = browser_page(path)
    for step in range(page.evaluate("run().end") + 1):
        walk(page, step)
        assert "undefined" not in detail(page)
    loss.backward()
    value = lambda name: json.loads(page.get_attribute(f'[data-gradient-of="{name}"]', "data-value"))
    assert value("w") == [1, 2, 3] and value("empty") == []
    np.testing.assert_allclose([complex(v) for v in value("z")], np.asarray(z.grad))
    assert "NaN" in detail(page) and "∞" in detail(page)


def test_graphs_of_vmap_and_create_graph(browser_page, tmp_path):
    x = leaf([0.3, -1.2, 2.0], "x")
    first = mg.grad((np.sin(x) * x).sum(), x, create_graph=True)
    second = (first * first).sum()
    mapped = mg.vmap(lambda row: np.tanh(row * x).sum())(Tensor(np.arange(6.0).reshape(2, 3))).sum()
    for loss in (second, mapped):
        x.grad = None
        page = browser_page(small(tmp_path, loss, f"{id(loss)}.html"))
        loss.backward()
        page.keyboard.press("End")
        told = json.loads(page.get_attribute('[data-gradient-of="x"]', "data-value"))
        np.testing.assert_allclose(told, np.asarray(x.grad), rtol=1e-8)
        assert "✓ agree" in detail(page)


def test_hooks_gradient_and_a_value_without_a_line(browser_page, tmp_path):
    x = leaf([1.0, 2.0], "x")
    y = x * x
    y.register_hook(lambda g: 10 * g)
    page = browser_page(small(tmp_path, y, gradient=np.array([1.0, -1.0])))
    walk(page, page.evaluate("run().turn"))
    assert "the gradient that was given" in detail(page) and "A hook changed it" in detail(page)
    page.keyboard.press("End")
    assert json.loads(page.get_attribute("[data-gradient-of]", "data-value")) == [20, -40]


# ---- what is refused ----
def test_what_is_refused(tmp_path):
    path = tmp_path / "p.html"
    with pytest.raises(ValueError, match=r"player: nothing was recorded behind this Tensor"):
        player.player(Tensor(1.0), path)
    x = leaf([1.0, 2.0])
    with pytest.raises(ValueError, match=r"a walk from shape \(2,\) needs gradient="):
        player.player(x * 2, path)
    with pytest.raises(TypeError, match=r"player: walks back from one Tensor, not from a list: add them up"):
        player.player([x * 2, x * 3], path)
    with pytest.raises(ValueError, match=r"gradient has shape \(3,\), but the Tensor has \(2,\)"):
        player.player(x * 2, path, gradient=np.ones(3))
    with pytest.raises(ValueError, match=r"language is one of en, ko, not 'de'"):
        player.player((x * 2).sum(), path, language="de")
    y = (x * x).sum()
    y.backward()
    with pytest.raises(RuntimeError, match=r"freed the values of this graph\. Call player\(loss\) before"):
        player.player(y, path)
    y = (x * x).sum()
    x.data -= 1.0
    with pytest.raises(RuntimeError, match=r"changed in place"):
        player.player(y, path)
    z = leaf(1.0)
    for _ in range(player.LIMIT + 1):
        z = z + 1.0
    with pytest.raises(ValueError, match=r"2,001 operations are too many to walk through \(at most 2,000\)"):
        player.player(z, path)
    assert not path.exists()


def test_nothing_is_touched(tmp_path):
    x = leaf([1.0, 2.0])
    y = (x * x).sum()
    assert player.player(y, tmp_path / "p.html") == tmp_path / "p.html"
    assert x.grad is None
    y.backward()
    np.testing.assert_array_equal(np.asarray(x.grad), [2, 4])


def test_names_of_variables_are_found(tmp_path):
    weight = leaf(2.0)
    result = weight * 3.0
    boxes = embedded(player.player(result, tmp_path / "p.html"))["runs"][0]["boxes"]
    assert {"weight", "result"} <= {box["name"] for box in boxes}


# ---- the JSON ----
def test_pictures_of_values():
    values = np.linspace(-2, 1, 30 * 40).reshape(30, 40)
    told = player.told(values)["picture"]
    levels = np.frombuffer(base64.b64decode(told["bytes"]), np.uint8).reshape(told["rows"], told["columns"])
    assert levels.shape == (30, 40) and told["scale"] == 2 and levels[0, 0] == 1
    np.testing.assert_allclose((levels - 128.0) / 127 * 2, values, atol=2 / 127)
    values[3, 4] = np.nan
    assert np.frombuffer(base64.b64decode(player.told(values)["picture"]["bytes"]), np.uint8).reshape(30, 40)[3, 4] == 0


def test_views_are_consistent():
    loss, model, _ = xor()
    run = player.run(loss, model)
    for view in run["views"]:
        for kind, i, x, y, width, height in view["boxes"]:
            assert kind in ("box", "call") and i < len(run["boxes"] if kind == "box" else run["calls"])
            assert -1 <= x and x + width <= view["width"] + 1 and -1 <= y and y + height <= view["height"] + 1
        assert all(a < len(view["boxes"]) and b < len(view["boxes"]) and a != b for a, b, _ in view["edges"])
        shown = {i for kind, i, *_ in view["boxes"] if kind == "call"}
        assert not shown & set(view["open"]) and {frame[0] for frame in view["frames"]} <= set(view["open"])
    assert isinstance(loss.node, Node) and json.dumps(pages.compact(run))


@pytest.mark.parametrize("name", part(["cnn", "xor"], 2))
def test_messages_do_not_hide_each_other(name, browser_page, written):
    page = browser_page(written(name)[0])
    for step in range(page.evaluate("run().turn"), page.evaluate("run().end")):
        walk(page, step)
        rects = page.evaluate("[...document.querySelectorAll('#graph .message rect')].map(r => r.getBBox()).map(b => "
                              "[b.x, b.y, b.x + b.width, b.y + b.height])")
        for i, a in enumerate(rects):
            assert all(a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1] for b in rects[:i])


# ---- minigrad player ----
def test_the_command_writes_a_page(browser_page, tmp_path, capsys):
    out = tmp_path / "new" / "cnn.html"
    assert cli.main(["player", "cnn", "--data", "digits", "--images", "3", "--out", str(out), "--language", "ko"]) == 0
    assert f"wrote {out}, {out.stat().st_size / 1000:,.0f} kB" in capsys.readouterr().out
    run = embedded(out)["runs"][0]
    boxes = {box["name"]: box for box in run["boxes"]}
    assert boxes["images"]["value"]["shape"] == [3, 1, 8, 8] and boxes["loss"]["kind"] == "result"
    shown, first = boxes["images"]["value"]["picture"], data.load("digits", train=False)[np.arange(3)][0]
    assert shown == json.loads(json.dumps(pages.compact(player.told(first)["picture"])))
    page = browser_page(out)
    assert page.title() == "cnn, 3 of digits" and position(page).startswith("시작")
    page.keyboard.press("End")
    assert page.locator("[data-gradient-of]").count() == len(dict(models.cnn().named_parameters()))


def test_the_command_plays_what_was_trained(tmp_path, capsys):
    from minigrad import checkpoint

    model = models.mlp(64)
    for name, parameter in model.named_parameters():
        parameter.data[...] = 0.25 if name.endswith("bias") else 0.0
    file = tmp_path / "trained.npz"
    checkpoint.save(file, model, metadata={"data": "digits", "input_shape": [1, 8, 8]})
    out = tmp_path / "p.html"
    assert cli.main(["player", str(file), "--out", str(out)]) == 0
    loss = next(box for box in embedded(out)["runs"][0]["boxes"] if box["name"] == "loss")
    assert loss["value"]["numbers"] == pytest.approx(np.log(10), rel=1e-6) and len(loss["value"]["shape"]) == 0


def test_what_the_command_refuses(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for given, told in (["nothing", "nothing"], ["gone.npz", "gone.npz"]):
        assert cli.main(["player", given, "--data", "digits"]) != 0
        assert told in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main(["player", "mlp", "--images", "0"])
    assert not list(tmp_path.iterdir())
