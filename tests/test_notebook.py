"""What notebooks show of Tensors and models: read as HTML, as a notebook would."""

import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import numpy as np
import pytest

from minigrad import Tensor, models, nn
from minigrad.viz import graph, notebook

VOID = {"br", "hr", "img"}


class Reader(HTMLParser):
    """Rows of the tables, texts and tags; raises where tags are not closed in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.rows, self.texts, self.styles = [], set(), [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.styles.append((tag, dict(attributes).get("style", "")))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag, attributes):
        self.tags.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)
        if "td" in self.open or "th" in self.open:
            self.rows[-1][-1] += data

    @property
    def text(self):
        return "".join(self.texts)


@pytest.fixture
def no_layout(monkeypatch):
    monkeypatch.setattr(notebook, "_laid_out", lambda source: None)


def test_a_small_matrix_is_a_table_of_its_values():
    t = Tensor([[0.5, -2.0], [3.25, 0.0]], requires_grad=True, name="w")
    shown = Reader(t._repr_html_())
    assert shown.rows == [["", "0", "1"], ["0", "0.5", "-2"], ["1", "3.25", "0"]]
    assert shown.text.startswith("w, tensor of shape (2, 2), float32, requires grad")
    assert shown.text.endswith("no gradient yet")
    backgrounds = [re.search("background:([^;]*)", style)[1] for tag, style in shown.styles if tag == "td"]
    assert backgrounds == ["rgba(213,94,0,0.08)", "rgba(0,114,178,0.31)", "rgba(213,94,0,0.50)", "rgba(213,94,0,0.00)"]


def test_the_gradient_is_a_table_too(no_layout):
    w = Tensor([1.0, 2.0], requires_grad=True)
    y = (w * Tensor([3.0, -4.0])).sum()
    y.backward()
    shown = Reader(w._repr_html_())
    assert shown.rows == [["0", "1"], ["1", "2"], ["0", "1"], ["3", "-4"]]
    assert "gradient" in shown.text and "no gradient yet" not in shown.text


def test_a_result_tells_its_operation_and_line(no_layout):
    w = Tensor([1.0, 2.0], requires_grad=True)
    y = np.tanh(w)
    shown = Reader(y._repr_html_()).text
    assert "by tanh" in shown and "test_notebook.py:" in shown and ": y = np.tanh(w)" in shown
    assert "no gradient yet" not in shown, "it never gets one"


def test_a_large_one_is_statistics_and_a_heat_map():
    values = np.arange(-300, 300, dtype=np.float32).reshape(20, 30)
    shown = Reader(Tensor(values)._repr_html_())
    assert "least -300, mean -0.5, largest 299, standard deviation 173.2, 1 zero (0%)" in shown.text
    assert "svg" in shown.tags and "table" not in shown.tags
    cells = re.findall(r'<path fill="([^"]*)" fill-opacity="([^"]*)" d="([^"]*)"', Tensor(values)._repr_html_())
    at = {tuple(map(int, place)): (fill, float(opacity)) for fill, opacity, path in cells
          for place in re.findall(r"M(\d+) (\d+)h1v1h-1z", path)}
    assert at[0, 0] == ("rgb(0,114,178)", 1.0) and at[29, 19] == ("rgb(213,94,0)", 1.0)
    assert (0, 10) not in at, "0 is the paper"
    assert at[15, 14][0] == "rgb(213,94,0)" if values[14, 15] > 0 else at[15, 14][0] == "rgb(0,114,178)"


def test_a_huge_one_is_shown_by_means_of_blocks():
    values = np.random.default_rng(0).random((500, 700))
    assert np.allclose(notebook._shrunk(np.ones((500, 700))), 1) and notebook._shrunk(values).shape == (48, 48)
    wide = notebook._shrunk(np.arange(96.0)[None])
    assert np.allclose(wide, np.arange(96).reshape(48, 2).mean(axis=1))
    assert len(Tensor(values)._repr_html_()) < 60_000
    assert len(Tensor(np.random.default_rng(0).normal(size=(64, 32, 5, 5)))._repr_html_()) < 60_000


def test_images_of_three_colours_are_images():
    image = np.zeros((3, 8, 8), np.float32)
    image[0, 2, 5] = 1
    assert 'x="5" y="2" width="1.02" height="1.02" fill="#ff0000"' in Tensor(image)._repr_html_()
    assert "#ff0000" not in Tensor(image * 3)._repr_html_(), "out of an image's range"


@pytest.mark.parametrize(("value", "expected"), [
    ([np.nan, np.inf, 1.0], ["nan", "inf", "1"]), (np.array([1 + 2j]), ["1+2j"]),
    (np.array([True, False]), ["True", "False"]), (np.array([3, -4]), ["3", "-4"])])
def test_values_of_every_kind(value, expected):
    assert Reader(Tensor(value)._repr_html_()).rows[1] == expected


def test_scalars_empty_ones_and_bad_numbers_in_large_ones():
    assert "0.25" in Reader(Tensor(0.25)._repr_html_()).text
    assert "no elements" in Reader(Tensor(np.ones((0, 3)))._repr_html_()).text
    values = np.ones((30, 30))
    values[0, 0], values[1, 1] = np.nan, np.inf
    assert "1 NaN, 1 infinite" in Reader(Tensor(values)._repr_html_()).text
    assert "2 NaN" in Reader(Tensor(np.full((1, 1, 2), np.nan))._repr_html_()).text
    assert "of the absolute values: " in Reader(Tensor(np.ones((30, 30), complex))._repr_html_()).text


def test_names_are_only_text(no_layout):
    t = Tensor(1.0, requires_grad=True, name="<script>alert(1)</script>")
    shown = Reader(t._repr_html_())
    assert "script" not in shown.tags and "<script>alert(1)</script>" in shown.text
    layer = nn.Sequential({"<b>": nn.Dense(1, 1)})
    assert "b" in Reader(layer._repr_html_()).tags and "<b>" in Reader(layer._repr_html_()).text


def test_nothing_sets_the_notebooks_colours(no_layout):
    page = Tensor(np.ones((30, 30)))._repr_html_() + models.mlp(4, (3,), 2)._repr_html_()
    assert set(re.findall(r"(?<![-\w])color:([^;\"]*)", page)) <= {"inherit"}
    assert set(re.findall(r"background:([^;\"]*)", page)) <= {"transparent", "rgba(128,128,128,.15)"}
    assert 'fill="currentColor"' in page


def test_a_model_is_a_table_of_its_layers():
    model = nn.Sequential(nn.Dense(4, 3), nn.Sequential(nn.Tanh(), nn.Dense(3, 2, bias=False)))
    model[0].requires_grad_(False)
    shown = Reader(model._repr_html_())
    assert shown.rows[1:] == [
        ["(model)", "Sequential", "", ""], ["0", "Dense(4, 3)", "weight (4, 3) frozen, bias (3,) frozen", "15"],
        ["1", "Sequential", "", ""], ["0", "Tanh", "", ""], ["1", "Dense(3, 2, bias=False)", "weight (3, 2)", "6"],
        ["total", "", "6 are trained, 15 frozen", "21"]]
    assert "84 B of parameters, in training mode" in shown.text
    deep = nn.Sequential(*[nn.Dense(1, 1) for _ in range(400)])
    rows = Reader(deep._repr_html_()).rows
    assert len(rows) < 160 and rows[-1][-1] == "800" and rows[-2][0] == "… and 251 more"


def test_parameters_in_lists_and_shared_ones_are_counted_once():
    class Odd(nn.Module):
        def __init__(self):
            self.ws = [nn.Parameter(np.ones(2, np.float32)), nn.Parameter(np.ones(3, np.float32))]
            self.a = nn.Dense(2, 2, bias=False)
            self.b = nn.Dense(2, 2, bias=False)
            self.b.weight = self.a.weight
    rows = Reader(Odd()._repr_html_()).rows
    assert rows[1] == ["(model)", "Odd", "ws.0 (2,), ws.1 (3,)", "5"]
    assert rows[3] == ["b", "Dense(2, 2, bias=False)", "", ""] and rows[-1][-1] == "9"


def test_the_graph_is_in_the_html_and_an_svg():
    pytest.importorskip("pygraphviz")
    w = Tensor([1.0, 2.0], requires_grad=True, name="w <&>")
    y = (w * 3).sum()
    svg = ET.fromstring(y._repr_svg_())
    texts = [t.text for t in svg.iter("{http://www.w3.org/2000/svg}text")]
    assert "w <&>" in texts and "= 9" in texts and "multiply" in texts
    page = y._repr_html_()
    assert '<svg style="max-width:none"' in page, "scrolled rather than shrunk"
    assert "<details><summary" in page and "<?xml" not in page and ' id="' not in page
    assert w._repr_svg_() is None and Tensor(1.0)._repr_svg_() is None


def test_a_large_graph_is_collapsed_and_a_huge_one_left_out(monkeypatch):
    drawn = []
    monkeypatch.setattr(notebook, "_laid_out", lambda source: drawn.append(source))
    h = x = Tensor(1.0, requires_grad=True)
    for _ in range(900):
        h = h * x
    assert h._repr_svg_() is None and len(re.findall(r"^\s*n\d+ \[", drawn[0], re.M)) <= 60
    for _ in range(1_200):
        h = h * x
    h._repr_html_()
    assert len(drawn) == 1


def test_without_a_layout_the_values_are_still_shown(monkeypatch):
    monkeypatch.setattr(graph, "PYGRAPHVIZ", "raise ImportError")
    monkeypatch.setenv("PATH", "")
    y = Tensor([7.0], requires_grad=True) * 11
    assert y._repr_svg_() is None and Reader(y._repr_html_()).rows[1] == ["77"]


def test_importing_minigrad_loads_no_pictures():
    code = ("import sys, minigrad\nassert 'minigrad.viz' not in sys.modules\n"
            "minigrad.Tensor(1.0)._repr_html_()\nassert 'minigrad.viz.notebook' in sys.modules")
    subprocess.run([sys.executable, "-c", code], check=True)
