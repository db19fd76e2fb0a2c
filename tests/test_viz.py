"""minigrad.viz and nn.summary: what the pictures and tables say. (How they look was looked at.)"""

import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET

import numpy as np
import pytest

import minigrad
from minigrad import Tensor, functional, metrics, models, nn, viz
from minigrad.nn.summary import summary
from minigrad.train import Epoch, History
from minigrad.viz import graph

GOLDEN = r'''digraph minigrad {
	graph [bgcolor=white fontname=Helvetica label=golden labelloc=t nodesep=0.3 rankdir=LR ranksep=0.4]
	node [color="#333333" fontcolor="#000000" fontname=Helvetica fontsize=12 margin="0.12,0.06"]
	edge [arrowsize=0.7 color="#555555"]
	n0 [label="a\n= 2\nno gradient yet" fillcolor="#56B4E9" shape=box style="filled,rounded"]
	n1 [label="b\n= -3\nno gradient yet" fillcolor="#56B4E9" shape=box style="filled,rounded"]
	n2 [label="multiply\n= -6" fillcolor="#F5D9A0" shape=ellipse style=filled]
	n3 [label=10 fillcolor="#FFFFFF" shape=box style="filled,dashed"]
	n4 [label="add\n= 4" fillcolor="#F5D9A0" shape=ellipse style=filled]
	n5 [label="(5,)" fillcolor="#FFFFFF" shape=box style="filled,dashed"]
	n6 [label="multiply\n(5,)" fillcolor="#F5D9A0" shape=ellipse style=filled]
	n7 [label="e\nsum\n= 20" fillcolor="#E69F00" peripheries=2 shape=ellipse style="filled,bold"]
	n0 -> n2
	n1 -> n2
	n2 -> n4
	n3 -> n4
	n4 -> n6
	n5 -> n6
	n6 -> n7
}
'''


def expression():
    a, b = Tensor(2.0, requires_grad=True), Tensor(-3.0, requires_grad=True)
    return a, b, ((a * b + 10) * np.ones(5, np.float32)).sum()


def labels(picture):
    return [line.split('label="')[1].split('" fill')[0] if 'label="' in line else line.split("label=")[1].split()[0]
            for line in picture.body if "fillcolor" in line and "label=" in line]


# ---- graphs ----
def test_dot_is_the_same_text_every_time():
    for _ in range(2):
        a, b, e = expression()
        picture = viz.draw(e, names={"a": a, "b": b, "e": e}, direction="LR", title="golden", legend=False)
        assert picture.source == GOLDEN


def test_after_backward_gradients_are_there_and_the_structure_still_is():
    a, b, e = expression()
    before = viz.draw(e, names={"a": a, "b": b}, legend=False)
    e.backward()
    after = viz.draw(e, names={"a": a, "b": b}, legend=False)
    edges = [[line for line in p.body if "->" in line] for p in (before, after)]
    assert edges[0] == edges[1]
    assert r"a\n= 2\ngradient -15" in labels(after)
    assert r"b\n= -3\ngradient 10" in labels(after)
    assert labels(after).count("constant") == 2, "their values are freed"
    assert r"sum\n= 20" in labels(after), "the result's value is still known"


def test_large_gradients_are_norms_and_kept_ones_are_shown():
    w = Tensor(np.ones(9, np.float32), requires_grad=True)
    y = w * 2
    y.retain_grad()
    y.sum().backward(retain_graph=True)
    assert r"(9,)\n|gradient| 6" in labels(viz.draw(y, names={}))
    assert r"multiply\n(9,)\n|gradient| 3" in labels(viz.draw(y, names={}))


def test_names_come_from_names_then_tensors_then_the_model_then_variables():
    layer = nn.Dense(2, 3)
    layer.bias.name = "own"
    x = Tensor(np.ones((4, 2), np.float32))
    mine = layer(x)
    found = labels(viz.draw(mine, layer))
    assert [text.split(r"\n")[0] for text in found] == ["x", "weight", "own", "mine"]
    assert {text.split(r"\n")[0] for text in labels(viz.draw(mine))} == {"x", "layer.weight", "own", "mine"}
    assert [text.split(r"\n")[0] for text in labels(viz.draw(mine, names={"b": layer.bias}))] == [
        "(4, 2)", "(2, 3)", "b", "affine"]


def test_parameters_are_grouped_by_module():
    model = models.mlp(4, (3,), 2)
    source = viz.draw(functional.cross_entropy(model(Tensor(np.ones((2, 4), np.float32))), [0, 1]), model).source
    assert 'label="1: Dense(4, 3)"' in source
    assert 'label="3: Dense(3, 2)"' in source


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
    saved = viz.save(viz.draw(x, names={}), tmp_path / "deep")
    assert [p.name for p in saved] == ["deep.dot"]
    assert "5,002 nodes are too many to lay out" in capsys.readouterr().err


def test_several_results_and_a_graph_of_a_gradient():
    a = Tensor(3.0, requires_grad=True)
    y = a * a
    y.backward(create_graph=True)
    picture = viz.draw([y, a.grad], names={"a": a})
    assert sum("peripheries" in line for line in picture.body) == 2


def test_without_a_graph_there_is_nothing_to_draw():
    with pytest.raises(ValueError, match="nothing was recorded"):
        viz.draw(Tensor(1.0))
    with pytest.raises(ValueError, match="nothing was recorded"):
        viz.draw([])


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
