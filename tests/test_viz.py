"""minigrad.viz and nn.summary: what the pictures and tables say. (How they look was looked at.)"""

import html
import os
import re
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from nightly import part

import minigrad
from minigrad import Tensor, functional, metrics, models, nn, viz
from minigrad.nn.summary import summary
from minigrad.train import Epoch, History
from minigrad.viz import graph

GOLDEN = r'''digraph minigrad {
	graph [bgcolor="#FFFFFF" fontcolor="#1D2125" fontname="Helvetica,Arial,sans-serif" label=<<TABLE BORDER="0"\
 CELLBORDER="0" CELLSPACING="2" CELLPADDING="1"><TR><TD><FONT\
 POINT-SIZE="15"><B>golden</B></FONT></TD></TR></TABLE>> labelloc=t nodesep=0.3 rankdir=LR ranksep=0.35\
 tooltip=" "]
	node [fontcolor="#1D2125" fontname="Helvetica,Arial,sans-serif" fontsize=12 height=0.3 margin="0.13,0.06"]
	edge [arrowsize=0.7 color="#5C656D" fontcolor="#5C656D" fontname="Helvetica,Arial,sans-serif" fontsize=10]
	n0 [label=<<B>a</B><BR/>= 2<BR/><FONT COLOR="#A63F00">no gradient yet</FONT>> color="#0072B2"\
 fillcolor="#D9EDFA" penwidth=2 shape=box style=filled]
	n1 [label=<<B>b</B><BR/>= -3<BR/><FONT COLOR="#A63F00">no gradient yet</FONT>> color="#0072B2"\
 fillcolor="#D9EDFA" penwidth=2 shape=box style=filled]
	n2 [label=<<B>multiply</B><BR/>= -6> color="#B07A00" fillcolor="#FFF3D9" shape=box style="filled,rounded"]
	n3 [label=<10> color="#7C858D" fillcolor="#FFFFFF" shape=box style="filled,dashed"]
	n4 [label=<<B>add</B><BR/>= 4> color="#B07A00" fillcolor="#FFF3D9" shape=box style="filled,rounded"]
	n5 [label=<(5,)> color="#7C858D" fillcolor="#FFFFFF" shape=box style="filled,dashed"]
	n6 [label=<<B>multiply</B><BR/>(5,)> color="#B07A00" fillcolor="#FFF3D9" shape=box style="filled,rounded"]
	n7 [label=<<B>e</B><BR/>sum<BR/>= 20> color="#8A5A00" fillcolor="#FBD59A" peripheries=2 shape=box\
 style="filled,rounded"]
	n0 -> n2
	n1 -> n2
	n2 -> n4
	n3 -> n4
	n4 -> n6
	n5 -> n6
	n6 -> n7
}
'''.replace("\\\n", "")


def expression():
    a, b = Tensor(2.0, requires_grad=True), Tensor(-3.0, requires_grad=True)
    return a, b, ((a * b + 10) * np.ones(5, np.float32)).sum()


def labels(picture):
    """What stands in the boxes: lines between newlines."""
    found = [re.search(r"label=<(.*?)> (?:color|fillcolor|penwidth)=", line) for line in picture.body
             if re.match(r"\s*n\d+ \[", line)]
    return [html.unescape(re.sub(r"<[^>]*>", "", one[1].replace("<BR/>", "\n"))) for one in found]


def edges(picture):
    return [line.strip() for line in picture.body if " -> " in line and "tooltip" not in line.split(" -> ")[0]]


# ---- graphs ----
def test_dot_is_the_same_text_every_time():
    for _ in range(2):
        a, b, e = expression()
        picture = viz.draw(e, names={"a": a, "b": b, "e": e}, direction="LR", title="golden", legend=False,
                           tooltips=False)
        assert picture.source == GOLDEN


def test_after_backward_gradients_are_there_and_the_structure_still_is():
    a, b, e = expression()
    before = viz.draw(e, names={"a": a, "b": b}, legend=False)
    e.backward()
    after = viz.draw(e, names={"a": a, "b": b}, legend=False)
    assert edges(before) == edges(after) and len(edges(before)) == 7
    assert "a\n= 2\nno gradient yet" in labels(before)
    assert "a\n= 2\ngradient -15" in labels(after)
    assert "b\n= -3\ngradient 10" in labels(after)
    assert labels(after).count("constant") == 2, "their values are freed"
    assert "sum\n= 20" in labels(after), "the result's value is still known"


def test_large_gradients_are_norms_and_kept_ones_are_shown():
    w = Tensor(np.ones(9, np.float32), requires_grad=True)
    y = w * 2
    y.retain_grad()
    y.sum().backward(retain_graph=True)
    assert "(9,)\n|gradient| 6" in labels(viz.draw(y, names={}))
    assert "multiply\n(9,)\n|gradient| 3" in labels(viz.draw(y, names={}))


def test_names_come_from_names_then_tensors_then_the_model_then_variables():
    layer = nn.Dense(2, 3)
    layer.bias.name = "own"
    x = Tensor(np.ones((4, 2), np.float32))
    mine = layer(x)
    firsts = [[text.split("\n")[0] for text in labels(picture)] for picture in (
        viz.draw(mine, layer), viz.draw(mine), viz.draw(mine, names={"b": layer.bias}))]
    assert firsts[0] == ["x", "weight", "own", "mine"]
    assert firsts[1] == ["x", "weight", "own", "mine"], "the frame says layer"
    assert firsts[2] == ["(4, 2)", "weight", "b", "affine"], "of the module that was called"
    assert "layer: Dense(2, 3)" in frames(viz.draw(mine)) and "Dense(2, 3)" in frames(viz.draw(mine, names={}))


def frames(picture):
    return [html.unescape(re.sub(r"<[^>]*>", "", re.search(r"label=<(.*?)> labeljust", line)[1]))
            for line in picture.body if "labeljust" in line]


def inside(picture):
    """{title of a frame: first lines of the boxes in it, and in the frames in it}."""
    found, stack = {}, []
    for line in picture.body:
        if "labeljust" in line:
            stack[-1] = html.unescape(re.sub(r"<[^>]*>", "", re.search(r"label=<(.*?)> labeljust", line)[1]))
        elif "subgraph" in line:
            stack.append(None)
        elif line.strip() == "}":
            stack.pop()
        elif re.match(r"\s*n\d+ \[", line):
            first = re.sub(r"<[^>]*>", "", re.search(r"label=<(.*?)(?:<BR/>|> )", line)[1])
            for title in stack:
                found.setdefault(title, []).append(first)
    return found


def test_calls_of_modules_are_frames_in_frames_with_operations_and_parameters():
    model = models.mlp(4, (3,), 2)
    x = Tensor(np.ones((2, 4), np.float32), name="x")
    loss = functional.cross_entropy(model(x), [0, 1])
    found = inside(viz.draw(loss, model))
    assert found["1: Dense(4, 3)"] == ["weight", "bias", "affine"]
    assert found["2: ReLU"] == ["relu"]
    assert found["3: Dense(3, 2)"] == ["weight", "bias", "affine"]
    assert set(found["Sequential"]) == {"weight", "bias", "affine", "relu"}
    assert not {"loss", "x"} & {name for names in found.values() for name in names}


def test_depth_collapses_what_is_deeper_into_one_box_a_call():
    model = nn.Sequential(nn.Sequential(nn.Dense(4, 3), nn.Tanh()), nn.Dense(3, 2))
    x = Tensor(np.ones((5, 4), np.float32), name="x")
    loss = (model(x) ** 2).mean()
    loss.backward(retain_graph=True)
    norm = np.sqrt(sum(float((p.grad.data ** 2).sum()) for p in model[0].parameters()))
    one = viz.draw(loss, model, depth=1)
    assert f"0: Sequential\n2 operations\n15 parameters\n(5, 3)\n|gradient| {norm:.3g}" in labels(one)
    firsts = {text.split("\n")[0] for text in labels(one)}
    assert firsts == {"x", "0: Sequential", "1: Dense(3, 2)", "2", "power", "loss"}
    assert frames(one) == ["Sequential"] and "calls of modules at depth 1 are one box each" in one.source
    none = viz.draw(loss, model, depth=0)
    assert frames(none) == [] and "Sequential\n3 operations\n23 parameters\n(5, 2)" in "".join(labels(none))
    everything = [viz.draw(loss, model, depth=depth).source for depth in ("auto", "all", None, 3, 9)]
    assert len(set(everything)) == 1 and "are one box each" not in everything[0]
    assert len(edges(viz.draw(loss, model))) == 10
    model.zero_grad()
    assert labels(viz.draw(loss, model, depth=0))[1].endswith("no gradient yet")


def test_depth_is_chosen_so_that_the_picture_can_be_read():
    model = models.resnet(blocks=3)
    loss = functional.cross_entropy(model(np.zeros((1, 1, 28, 28), np.float32)), [1])
    picture = viz.draw(loss, model)
    assert 50 < len(labels(picture)) <= 150
    assert 'are one box each (depth=&quot;all&quot; shows all)' in picture.source
    assert len(labels(viz.draw(loss, model, limit=40))) <= 40
    assert len(labels(viz.draw(loss, model, depth="all"))) > 150


def test_a_module_called_twice_stands_beside_its_weights():
    layer, x = nn.Dense(3, 3), np.ones((2, 3), np.float32)
    picture = viz.draw(layer(layer(x)), depth=0)
    assert [text.split("\n")[0] for text in labels(picture)] == [
        "x", "layer.weight", "layer.bias", "layer: Dense(3, 3), call 1 of 2", "layer: Dense(3, 3), call 2 of 2"]
    assert len(edges(picture)) == 6


def loop(n):
    w = Tensor(1.01, requires_grad=True, name="w")
    h = x = Tensor(2.0, requires_grad=True, name="x")
    for _ in range(n):
        h = h * w
        h = np.tanh(h) + x
    return h


def test_a_long_loop_is_drawn_as_it_is_written():
    started = time.process_time()
    picture = viz.draw(loop(700), names={})
    assert time.process_time() - started < 5, "0.05 s alone"
    found = [text.split("\n") for text in labels(picture)]
    assert [lines[0] for lines in found] == ["x", "w", "multiply ×700", "tanh ×700", "add ×699", "add"]
    assert found[2][1].endswith(": h = h * w") and found[2][1].startswith("test_viz.py:")
    told = "\n".join(edges(picture))
    assert told.count("×700") == 2 and told.count("×699") == 3 and len(edges(picture)) == 8
    (back,) = [line for line in edges(picture) if "dashed" in line]
    assert back.startswith("n4 -> n2 ") and "×699" in back
    assert "2,100 operations in 6 boxes" in picture.source
    assert len(labels(viz.draw(loop(20), names={}, fold=True))) == 6
    assert len(labels(viz.draw(loop(20), names={}))) == 62


def test_an_unrolled_cell_is_rolled_up_again():
    cell, x = nn.LSTMCell(3, 4), np.ones((2, 3), np.float32)
    state = None
    for _ in range(60):
        state = cell(x, state)
    picture = viz.draw(state[0].sum())
    assert "cell: LSTMCell(3, 4) ×60" in frames(picture)
    kinds = [text.split("\n")[0] for text in labels(picture)]
    assert kinds.count("sigmoid ×60") == 3 and kinds.count("tanh ×60") == 2
    assert len(kinds) < 30


def test_whatever_its_form_a_large_graph_is_a_small_picture():
    program = "\n".join(f"h = h + {i}.0" if i % 3 else f"h = h * 1.{i}" for i in range(2_000))
    scope = {"h": Tensor(np.float64(1.0), requires_grad=True)}
    with np.errstate(over="ignore"):
        exec(program, scope)
    straight = viz.draw(scope["h"], names={})
    assert 3 <= len(labels(straight)) <= 150
    assert "1,332 operations" in straight.source or "operations" in straight.source
    leaves = [Tensor(float(i), requires_grad=True) for i in range(1_000)]
    total = leaves[0]
    for leaf in leaves[1:]:
        total = total + leaf * leaf
    total.backward()
    wide = viz.draw(total, names={})
    (many,) = [text for text in labels(wide) if "leaves" in text]
    norm = np.sqrt(sum(float(leaf.grad.item()) ** 2 for leaf in leaves[1:]))
    assert many == f"999 leaves\n|gradient| {norm:.3g}"
    assert len(labels(wide)) <= 10


@pytest.mark.parametrize("nodes", part([20_000, 100_000], 2))
def test_a_graph_of_many_nodes_is_drawn_folded(nodes):
    assert len(labels(viz.draw(loop(nodes // 3), names={}))) == 6


def test_a_graph_that_nothing_folds_is_drawn_in_runs():
    rng = np.random.default_rng(0)
    made = [Tensor(1.0, requires_grad=True)]
    for i in range(400):
        scope = {"a": made[-1], "b": made[rng.integers(len(made))]}
        exec(compile(f"def f{i}(a, b): return a + b\nc = f{i}(a, b)", f"file{i}.py", "exec"), scope)
        made.append(scope["c"])
    picture = viz.draw(made[-1], names={}, limit=30)
    assert 5 <= len(labels(picture)) <= 30
    assert "what was recorded one after the other is one box" in picture.source
    told = [int(n.replace(",", "")) for n in re.findall(r"^add ×([\d,]+)", "\n".join(labels(picture)), re.M)]
    assert sum(told) == 399, "and the result"


def test_the_passes_of_a_gradient_are_frames():
    w = Tensor([0.5, -1.0], requires_grad=True)
    loss = (np.tanh(w) ** 2).sum()
    g = minigrad.grad(loss, w, create_graph=True)
    hv = minigrad.grad((g * np.float32(2)).sum(), w, create_graph=True)
    found = inside(viz.draw({"forward": loss, "backward": g, "once more": hv}))
    assert list(found) == ["forward", "backward", "once more"]
    assert [name for name in found["forward"] if not name.startswith("=")] == ["tanh", "2", "power", "loss"]
    assert "g" in found["backward"] and "hv" in found["once more"]
    assert "w" not in {name for names in found.values() for name in names}
    boxes = len(labels(viz.draw({"forward": loss, "backward": g, "once more": hv})))
    assert boxes == len(labels(viz.draw([loss, g, hv]))), "each is there once"
    only = viz.draw({"forward": loss, "backward": g}, depth="all", fold=True)
    assert frames(only) == ["forward", "backward"]


def test_what_backward_recorded_is_told_apart():
    w = Tensor([0.5, -1.0], requires_grad=True)
    loss = (np.tanh(w) ** 2).sum()
    g = minigrad.grad(loss, w, create_graph=True)
    found = inside(viz.draw(g))
    assert found["forward"] == ["tanh"] and set(found) == {"forward", "backward"}
    hv = minigrad.grad((g * g).sum(), w, create_graph=True)
    assert set(frames(viz.draw([loss, (g * g).sum(), hv]))) == {"forward", "backward", "of the gradient",
                                                                "backward, pass 2"}
    assert inside(viz.draw([loss, g]))["forward"] == ["tanh", "2", "power", "loss"]
    assert frames(viz.draw(loss)) == [] and minigrad.grad(loss, w).node is None
    assert set(frames(viz.draw(w * 2 + g))) == {"forward", "backward", "of the gradient"}


def test_many_passes_are_one_frame():
    w = v = Tensor([0.5, -1.0], requires_grad=True)
    for _ in range(30):
        v = v - 0.1 * minigrad.grad((np.tanh(v) ** 2).sum(), v, create_graph=True)
    picture = viz.draw(v, names={"w": w})
    assert set(frames(picture)) == {"forward", "backward, 30 passes"} and len(labels(picture)) <= 20


def test_a_gradient_that_a_rule_takes_is_part_of_the_pass():
    @minigrad.primitive(lambda g, y, x: g * minigrad.grad(lambda z: (z ** 3).sum())(x) * 2)
    def f(x):
        return 2 * x ** 3
    x = Tensor([1.0, 2.0], requires_grad=True)
    g = minigrad.grad(f(x).sum(), x, create_graph=True)
    found = inside(viz.draw(g))
    assert set(found) == {"backward"} and found["backward"].count("multiply") >= 3


class Inside(nn.Module):
    def __init__(self, n):
        self.layer = nn.Dense(2, 2)
        if n:
            self.inner = Inside(n - 1)

    def forward(self, x):
        x = self.layer(x)
        return self.inner(x) if hasattr(self, "inner") else x


def test_modules_nested_deeply_are_drawn_quickly():
    y = Inside(100)(np.ones((1, 2), np.float32))
    started = time.process_time()
    picture = viz.draw(y, names={})
    assert time.process_time() - started < 1, "0.1 s alone"
    assert 50 < len(labels(picture)) <= 150


def test_modules_are_frames_inside_of_a_pass():
    model = nn.Sequential(nn.Dense(2, 3), nn.Tanh(), nn.Dense(3, 1))
    loss = model(Tensor(np.ones((4, 2), np.float32), name="x")).sum()
    norm = sum((g * g).sum() for g in minigrad.grad(loss, list(model.parameters()), create_graph=True))
    found = inside(viz.draw({"forward": loss, "backward": norm}, model))
    assert found["2: Dense(3, 1)"] == ["weight", "bias", "affine"]
    assert set(found["Sequential"]) < set(found["forward"]) and "norm" not in found["forward"]
    assert "weight" not in found["backward"]


def test_a_long_row_of_layers_is_drawn_in_runs():
    model = nn.Sequential(*[nn.Dense(2, 2) for _ in range(300)])
    picture = viz.draw(model(x := np.ones((1, 2), np.float32)).sum(), model, {"x": x})
    found = [text.split("\n") for text in labels(picture)]
    assert found[2][:3] == ["0: Dense(2, 2) … 6: Dense(2, 2)", "affine ×7", "42 parameters"]
    assert sum(int(line.split("×")[1]) for lines in found for line in lines if line.startswith("affine ×")) == 300
    assert len(edges(picture)) == len(found) - 1, "a chain"


def test_tooltips_tell_the_line_and_the_whole_value():
    w = Tensor(np.arange(6, dtype=np.float32), requires_grad=True)
    y = w * 2
    picture = viz.draw(y)
    (node,) = [line for line in picture.body if "multiply" in line]
    assert "test_viz.py:" in node and ": y = w * 2\\n" in node
    assert "[ 0., 2., 4., 6., 8., 10.]" in node.replace("\N{NO-BREAK SPACE}", "")
    assert os.sep not in re.search(r'tooltip="([^"]*)"', node)[1], "a picture may be published: file names, no paths"
    assert "arange" not in viz.draw(y, tooltips=False).source


def test_titles_in_an_svg_are_what_a_reader_needs(tmp_path):
    w = Tensor(np.arange(6, dtype=np.float32), requires_grad=True, name="<w & co>")
    layer = nn.Dense(6, 1)
    saved = viz.save(viz.draw(layer(w * 2)), tmp_path / "g")
    if len(saved) == 1:
        pytest.skip("neither dot nor pygraphviz is installed")
    titles = [t.text.replace("\xa0", " ") for t in ET.parse(saved[1]).iter("{http://www.w3.org/2000/svg}title")]
    assert any(t.startswith("<w & co>\n[0., 1., 2.") for t in titles)
    assert any(t.startswith("layer: Dense(6, 1)\ntest_viz.py:") for t in titles)
    assert not [t for t in titles if re.match(r"n\d|cluster", t)]


def test_lines_in_an_svg_are_centred_by_the_viewer(tmp_path):
    w = Tensor([[0.123, -4.567, 1e-12]], requires_grad=True, name="w")
    loss = nn.Dense(3, 1)(w).sum()
    saved = viz.save(viz.draw(loss, depth=0), tmp_path / "g")
    if len(saved) == 1:
        pytest.skip("neither dot nor pygraphviz is installed")
    svg = "{http://www.w3.org/2000/svg}"
    boxes = [g for g in ET.parse(saved[1]).iter(f"{svg}g") if g.get("class") == "node"]
    for box in boxes:
        outline = next(e.get("points") or e.get("d") for e in box.iter() if e.tag in (f"{svg}polygon", f"{svg}path"))
        xs = [float(x) for x in re.findall(r"(-?[\d.]+),", outline)]
        texts = list(box.iter(f"{svg}text"))
        assert texts and {t.get("text-anchor") for t in texts} == {"middle"}
        assert all(abs(float(t.get("x")) - (min(xs) + max(xs)) / 2) < 0.01 for t in texts)
    assert len(boxes) == 3


def test_looks_differ_by_shape_and_in_the_dark():
    source, dark = (viz.draw(expression()[2], dark=dark).source for dark in (False, True))
    assert 'bgcolor="#FFFFFF"' in source and 'bgcolor="#15181B"' in dark
    assert len({(look["shape"], look["style"], look.get("peripheries")) for look in graph.SHAPES.values()}) == len(
        graph.SHAPES)
    for text in ("leaf that wants a gradient", "constant", "operation", "result", "gradient of the result"):
        assert text in source
    assert "call of a module" not in source and "many in one" not in source, "the legend has what is there"
    shapes = viz.draw(expression()[2], shapes=True)
    assert sum("(5,)" in line for line in edges(shapes)) == 2


def test_long_names_and_settings_are_shortened():
    w = Tensor(1.0, requires_grad=True, name="a" * 50 + "z" * 50)
    (name,) = [text.split("\n")[0] for text in labels(viz.draw(w * 2, names={})) if "…" in text]
    assert name == "a" * 22 + "…" + "z" * 21
    conv = nn.Conv2d(1, 2, 3, stride=2, padding=1, bias=False)
    assert frames(viz.draw(conv(np.zeros((1, 1, 8, 8), np.float32)), names={})) == [
        "Conv2d(1, 2, kernel_size=(3, 3), stride=2, …)"]


def test_every_value_is_in_one_box_and_every_use_is_an_edge_or_inside_of_one():
    from minigrad.viz.anatomy import Anatomy
    from minigrad.viz.folding import RUN, Plan
    rng, levels = np.random.default_rng(0), set()
    some = [lambda model, a, b: a + b, lambda model, a, b: a * 2 + np.tanh(b), lambda model, a, b: model(a),
            lambda model, a, b: model[1](a) * a]
    for trial in range(40):
        model = nn.Sequential(nn.Dense(2, 2), nn.Sequential(nn.Dense(2, 2), nn.Tanh()))
        made = [Tensor(np.ones((1, 2), np.float32), requires_grad=True)]
        for _ in range(rng.integers(1, 60)):
            a, b = (made[i] for i in rng.integers(len(made), size=2))
            made.append(some[rng.integers(4)](model, a, b))
        roots = [t for t in made[-3:] if not t.is_leaf]
        anatomy = Anatomy(roots)
        depth, fold = ["auto", 0, 1, None][rng.integers(4)], [None, False, True][rng.integers(3)]
        names = ["one", "two", "three"][:len(roots)] if trial % 3 == 0 else []
        plan = Plan(anatomy, names, depth, fold, [10, 40, 150][trial % 3])
        levels.add(plan.level)
        assert sum(len(box.keys) for box in plan.boxes) == len(anatomy.nodes) == len(plan.box_of)
        assert all(plan.box_of[key] is box for box in plan.boxes for key in box.keys)
        between = sum(plan.box_of[a] is not plan.box_of[b] for a, b in anatomy.edges)
        assert sum(count for a, b, count, *_ in plan.edges() if a is not b) == between
        source = graph._draw(roots, depth=plan.depth, fold=plan.level > 0).source
        assert source.count("{") == source.count("}")
    assert 0 in levels and len(levels) > 1 and max(levels) <= RUN


def test_folding_can_be_refused():
    assert len(labels(viz.draw(loop(100), names={}, fold=False))) == 302


def test_the_command_draws_as_it_is_told(tmp_path, monkeypatch, capsys):
    from minigrad.cli import main
    monkeypatch.chdir(tmp_path)
    look = ["--depth", "1", "--dark", "--grad", "--direction", "lr"]
    assert main(["graph", "--model", "cnn", "--out", "c.dot", *look]) == 0
    text = (tmp_path / "c.dot").read_text()
    assert "rankdir=LR" in text and "#15181B" in text and "0: Conv2d(1, 16, kernel_size=(5, 5))" in text
    assert "|gradient| " in text and "no gradient yet" not in text and "|gradient| 0<" not in text
    assert "cli.py:" in text and "test_viz.py:" not in text, "the lines are the command's own"
    assert main(["graph", "--model", "cnn", "--out", "d.dot", "--depth", "all"]) == 0
    assert "no gradient yet" in (tmp_path / "d.dot").read_text()
    with pytest.raises(SystemExit):
        main(["graph", "--depth", "-1"])
    assert "argument --depth: '-1' is not a whole number from 0 on, auto or all" in capsys.readouterr().err


@pytest.mark.parametrize(("look", "message"), [
    ({"depth": -1}, r'depth is a number from 0 on, "auto" or "all", not -1'), ({"depth": "some"}, "not 'some'"),
    ({"direction": "up"}, "direction is TB, LR, BT or RL, not 'up'"), ({"limit": 3}, "at least 10, got 3")])
def test_a_wrong_look_is_named(look, message):
    with pytest.raises(ValueError, match=message):
        viz.draw(expression()[2], **look)


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "<<b>x</b>>", 'quote " backslash \\ brace {|}',
                                  r"\N\G\l", "line\nbreak", "&amp; &", "ünï", "<x>"])
def test_every_name_is_only_text(tmp_path, name):
    a = Tensor(1.0, requires_grad=True, name=name)
    saved = viz.save(viz.draw(a * 2, names={}, title=name), tmp_path / "g")
    if len(saved) == 1:
        pytest.skip("neither dot nor pygraphviz is installed")
    texts = ["".join(t.itertext()) for t in ET.parse(saved[1]).iter("{http://www.w3.org/2000/svg}text")]
    assert [text.replace("\xa0", " ") for text in texts].count(" ".join(name.split())) == 2  # the node and the title


def test_a_constant_used_twice_is_one_box_and_a_reused_node_one_node():
    x, w = np.ones(3, np.float32), Tensor(np.ones(3, np.float32), requires_grad=True)
    y = w * x
    picture = viz.draw((y * x + y).sum(), names={"x": x, "w": w})
    assert sum(text.startswith("x") for text in labels(picture)) == 1
    assert len(labels(picture)) == 6


def test_a_deep_graph_is_drawn_without_recursion_and_not_laid_out(tmp_path, capsys):
    x = start = Tensor(1.0, requires_grad=True)
    for _ in range(5_000):
        x = x + start
    picture = viz.draw(x, names={}, depth="all")
    saved = viz.save(picture, tmp_path / "deep")
    assert [p.name for p in saved] == ["deep.dot"]
    assert "5,001 nodes are too many to lay out" in capsys.readouterr().err
    assert "too many nodes" in picture._repr_mimebundle_()["text/plain"]


def test_several_results_and_a_graph_of_a_gradient():
    a = Tensor(3.0, requires_grad=True)
    y = a * a
    y.backward(create_graph=True)
    picture = viz.draw([y, a.grad], names={"a": a})
    assert sum("peripheries" in line for line in picture.body) == 2


def test_without_a_graph_there_is_nothing_to_draw():
    with pytest.raises(ValueError, match="nothing was recorded"):
        viz.draw(Tensor(1.0))
    for nothing in ([], {}):
        with pytest.raises(ValueError, match="nothing was recorded"):
            viz.draw(nothing)


def test_without_dot_and_pygraphviz_the_text_is_written_and_a_message_tells(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(graph, "PYGRAPHVIZ", "raise ImportError")
    (tmp_path / "g.svg").write_text("of an earlier graph")
    saved = viz.save(viz.draw(expression()[2]), tmp_path / "g")
    assert saved == [tmp_path / "g.dot"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["g.dot"]
    err = capsys.readouterr().err
    assert err.count("\n") == 2
    assert "dot was not found: wrote" in err
    assert 'pip install "minigrad[viz]"' in err


def test_with_pygraphviz_alone_there_is_an_svg_and_a_png(tmp_path, monkeypatch):
    pytest.importorskip("pygraphviz")
    monkeypatch.setenv("PATH", "")
    for format, start in (("svg", b"<?xml"), ("png", b"\x89PNG")):
        saved = viz.save(viz.draw(expression()[2]), tmp_path / "folder/g", format)
        assert saved[1].read_bytes().startswith(start)


def test_a_notebook_shows_a_picture_or_its_text(monkeypatch):
    picture = viz.draw(expression()[2])
    monkeypatch.setenv("PATH", "")
    with monkeypatch.context() as without:
        without.setattr(graph, "PYGRAPHVIZ", "raise ImportError")
        text = picture._repr_mimebundle_()["text/plain"]
        assert 'pip install "minigrad[viz]"' in text and "digraph minigrad {" in text
        assert picture._repr_svg_() is None
    pytest.importorskip("pygraphviz")
    assert "<svg" in picture._repr_mimebundle_()["image/svg+xml"]


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz's dot is not installed")
def test_with_dot_there_is_an_svg(tmp_path, monkeypatch):
    monkeypatch.setattr(graph, "PYGRAPHVIZ", "raise ImportError")
    assert viz.save(viz.draw(expression()[2]), tmp_path / "g")[1].read_bytes().startswith(b"<?xml")


def test_a_dot_on_the_path_is_preferred(tmp_path, monkeypatch):
    fake = tmp_path / "dot"
    fake.write_text("#!/bin/sh\necho $*\ncat\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/usr/bin{os.pathsep}/bin")
    picture = viz.draw(expression()[2])
    asked, _, given = viz.save(picture, tmp_path / "g")[1].read_text().partition("\n")
    assert "-Tsvg" in asked
    assert given.strip() == picture.source.strip()


def test_a_dot_that_fails_is_no_crash(tmp_path, monkeypatch, capsys):
    broken = tmp_path / "dot"
    broken.write_text("#!/bin/sh\necho broken >&2\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/bin")
    monkeypatch.setattr(graph, "PYGRAPHVIZ", "raise ImportError")
    assert len(viz.save(viz.draw(expression()[2]), tmp_path / "g")) == 1
    assert capsys.readouterr().err


# ---- pictures of a training ----
def history(epochs):
    return History([Epoch(n + 1, 2 / (n + 1), 1 - 0.5 / (n + 1), 2.1 / (n + 1), 1 - 0.6 / (n + 1), 0.1, 1.0, 1e4)
                    for n in range(epochs)])


def read_png(path):
    image = pytest.importorskip("PIL.Image")
    with image.open(path) as opened:
        return np.asarray(opened.convert("L"))


@pytest.mark.parametrize("epochs", [1, 2, 30])
def test_curves_are_drawn(tmp_path, epochs):
    pytest.importorskip("matplotlib")
    path = viz.curves(history(epochs), tmp_path / "new/c.png", title="a title")
    pixels = read_png(path)
    assert pixels.shape[1] > pixels.shape[0] > 400
    assert 0.005 < (pixels < 200).mean() < 0.3
    loss_only = History([Epoch(n, 1 / n, None, None, None, 0.1, 1.0, 1.0) for n in (1, 2)])
    assert read_png(viz.curves(loss_only, tmp_path / "l.png")).shape[1] < pixels.shape[1]


def test_confusion_matrix_and_wrongest_are_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    truth = np.arange(40) % 10
    said = np.where(np.arange(40) < 12, (truth + 1) % 10, truth)
    counts = metrics.confusion_matrix(truth, said, 10)
    assert read_png(viz.confusion_matrix(counts, "0123456789", tmp_path / "m.png")).std() > 20
    viz.confusion_matrix(np.eye(30, dtype=int), None, tmp_path / "large.png")
    viz.confusion_matrix(counts[:2, :2], ["a long name", "another"], tmp_path / "names.svg")
    images = np.random.default_rng(0).random((40, 1, 8, 8))
    few = read_png(viz.wrongest(images, truth, said, np.linspace(0, 1, 40), tmp_path / "w.png", "0123456789", count=5))
    many = read_png(viz.wrongest(images, truth, said, np.eye(10)[said], tmp_path / "w.png"))
    assert len(many) > len(few)
    viz.wrongest(np.repeat(images, 3, 1), truth, truth, np.eye(10)[said], tmp_path / "none.png")


def test_wrongest_tells_the_most_confident_first(tmp_path, monkeypatch):
    figure = pytest.importorskip("matplotlib.figure")
    titles = []
    monkeypatch.setattr(figure.Figure, "savefig", lambda self, path, **_: (
        titles.extend(a.get_title() for a in self.axes), open(path, "w").close()))
    shares = np.array([0.5, 0.98, 0.999, 0.7])
    viz.wrongest(np.zeros((4, 8, 8)), np.array([4, 4, 1, 3]), np.array([9, 9, 7, 3]), shares, tmp_path / "w.png")
    assert titles == ["truth 1, said 7 (>99%)", "truth 4, said 9 (98%)", "truth 4, said 9 (50%)"]


@pytest.mark.parametrize("scale, move", [(1, 0), (255, 0), (4, -2)])
def test_wrongest_shows_colours_of_any_range(tmp_path, monkeypatch, scale, move):
    figure = pytest.importorskip("matplotlib.figure")
    shown = []
    monkeypatch.setattr(figure.Figure, "savefig", lambda self, path, **_: (
        shown.append(self.axes[0].images[0].get_array()), open(path, "w").close()))
    image = np.linspace(0, 1, 48).reshape(3, 4, 4)
    viz.wrongest(scale * image[None] + move, [0], [1], [0.5], tmp_path / "w.png")
    np.testing.assert_allclose(shown[0], np.moveaxis(image, 0, -1), atol=1e-6)


def test_names_in_pictures_are_text_and_short(tmp_path):
    pytest.importorskip("matplotlib")
    names = ["$x_$", "a very long name, of a class that is number 1"]
    for made in (viz.confusion_matrix(np.eye(2), names, tmp_path / "m.svg", "$a_$ <b>"),
                 viz.wrongest(np.ones((1, 4, 4)), [0], [1], [0.5], tmp_path / "w.svg", names, title="$a_$ <b>"),
                 viz.curves(history(2), tmp_path / "c.svg", ("$x_$", "b"), "$a_$ <b>")):
        text = made.read_text(encoding="utf-8")
        assert "<!-- $a_$ &lt;b&gt;" in text and "$x_$" in text and "that is number" not in text
    assert "a very long …is number 1" in (tmp_path / "m.svg").read_text(encoding="utf-8")


@pytest.mark.parametrize("make, text", [
    (lambda p: viz.confusion_matrix([[-1, 2], [3, 4]], None, p), "numbers from 0 up, got int64 with -1"),
    (lambda p: viz.confusion_matrix([[np.nan, 2], [3, 4]], None, p), "numbers from 0 up"),
    (lambda p: viz.confusion_matrix(3, None, p), r"\(\) must be \(C, C\)"),
    (lambda p: viz.wrongest(np.ones((2, 8, 8, 1)), [0, 0], [1, 1], [1, 1], p), r"3, H, W\), got \(2, 8, 8, 1\)"),
])
def test_numbers_that_are_no_counts_or_images(tmp_path, make, text):
    with pytest.raises(ValueError, match=text):
        make(tmp_path / "x.png")


def test_what_cannot_be_drawn_is_said(tmp_path):
    pytest.importorskip("matplotlib")
    with pytest.raises(ValueError, match="empty"):
        viz.curves(History(), tmp_path / "c.png")
    with pytest.raises(ValueError, match=r"\.png, \.svg or \.pdf"):
        viz.curves(history(2), tmp_path / "c.txt")
    with pytest.raises(ValueError, match=r"\(2, 3\) must be \(C, C\)"):
        viz.confusion_matrix(np.ones((2, 3)), None, tmp_path / "c.png")
    with pytest.raises(ValueError, match="one row per image"):
        viz.wrongest(np.ones((2, 8, 8)), np.ones(3), np.ones(3), np.ones(3), tmp_path / "c.png")
    assert not list(tmp_path.iterdir())


def test_without_matplotlib_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(viz.MissingExtra, match=r'matplotlib is needed for pictures: pip install "minigrad\[plot\]"'):
        viz.curves(history(2), tmp_path / "c.png")


def test_importing_minigrads_pictures_loads_neither_matplotlib_nor_graphviz():
    heavy = "{'matplotlib', 'graphviz', 'pygraphviz', 'tqdm', 'scipy', 'sklearn', 'PIL', 'pooch', 'safetensors'}"
    code = ("import sys, minigrad.cli, minigrad.viz, minigrad.train, minigrad.nn.summary, minigrad.images\n"
            f"print(sorted({heavy} & set(sys.modules)))")
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


# ---- the table ----
def test_summary_counts_shapes_parameters_and_memory():
    table = summary(models.cnn(), (1, 28, 28), batch_size=2)
    rows = {row.name: row for row in table.rows}
    assert [row.type for row in table.rows] == ["Conv2d", "ReLU", "MaxPool2d", "Conv2d", "ReLU", "MaxPool2d", "Flatten",
                                                "Dense", "ReLU", "Dense"]
    assert rows["0"].output_shape == (2, 16, 24, 24)
    assert rows["0"].parameters == 16 * 25 + 16
    assert rows["0"].activation_bytes == 2 * 16 * 24 * 24 * 4
    assert rows["9"].output_shape == (2, 10)
    assert table.parameters == table.trainable == sum(p.size for p in models.cnn().parameters())
    assert table.parameter_bytes == 4 * table.parameters
    lines = str(table).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[-1].split() == ["total", "80,202", "313.3", "KiB", "200.1", "KiB"]
    assert table.activation_bytes == 2 * 4 * (2 * 16 * 24 * 24 + 16 * 12 * 12 + 2 * 32 * 8 * 8 + 512 + 2 * 128 + 10)


def test_summary_counts_shared_and_frozen_parameters_once():
    layer = nn.Dense(4, 4)
    table = summary(nn.Sequential(layer, nn.ReLU(), layer, nn.Dropout()), (4,))
    assert [(row.name, row.parameters) for row in table.rows] == [("0", 20), ("1", 0), ("0", 0), ("3", 0)]
    layer.bias.requires_grad = False
    assert "16 parameters are trained, 4 frozen" in str(summary(layer, (4,)))


class Nested(nn.Module):
    def __init__(self):
        self.scale = nn.Parameter(np.ones(3, np.float32))
        self.blocks = [nn.Sequential(nn.Dense(3, 3), nn.BatchNorm1d(3)), nn.DropConnect(3, 3, inference="gaussian")]
        self.unused = nn.Dense(3, 2)

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return x * self.scale, x


def test_summary_knows_nested_modules_and_changes_nothing():
    model = Nested()
    model.blocks[0].eval()
    chance, state = minigrad.default_generator().bit_generator.state, model.state_dict()
    before = [(dict(vars(m)), m.training) for m in model.modules()]
    table = summary(model, (3,), batch_size=5)
    assert [(row.name, row.parameters) for row in table.rows] == [
        ("(model)", 3), ("blocks.0.0", 12), ("blocks.0.1", 6), ("blocks.1", 12), ("unused", 8)]
    assert table.rows[-1].output_shape is None
    assert [(dict(vars(m)), m.training) for m in model.modules()] == before
    assert minigrad.default_generator().bit_generator.state == chance
    assert all((model.state_dict()[name] == value).all() for name, value in state.items())
    with pytest.raises(ValueError, match="linear"):
        summary(model, (4,))
    assert [(dict(vars(m)), m.training) for m in model.modules()] == before
