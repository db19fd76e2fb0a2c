"""What comes from the user is text in every page, picture and graph: no name opens a tag, runs or breaks a file."""

from __future__ import annotations

import dataclasses
import html.parser
import json
import re
import shlex
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from minigrad import Tensor, data, functional, models, nn, optim, train, viz
from minigrad.viz import filters, javascript, notebook, page, report, signals, stage, training
from minigrad.viz import functions as known

HOSTILE = ("</script><script>document.title=`owned`;alert(1)</script><!--<script>--><img src=x onerror=alert(1)>"
           "\"'><svg onload=alert(1)> ]]>&lt;&#0; $\\frac{x$ \\N \\l {0} %s {title} \u2028\u2029\u202e\ud800\0\x1b[31m")
DRAWN = HOSTILE.replace("\ud800", "")  # a font has no glyph for half a character


class Page(html.parser.HTMLParser):
    """Tags, attributes and text of a page; a script's content is not text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.events, self.text, self.scripts, self.comments, self.ids = [], [], "", [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.ids += [value for name, value in attrs if name == "id"]
        self.events += [name for name, _ in attrs if name.startswith("on")]
        if tag == "script":
            self.scripts.append("")

    def handle_comment(self, data):
        self.comments.append(data)

    def handle_data(self, data):
        if self.cdata_elem == "script":
            self.scripts[-1] += data
        else:
            self.text += data


class Hostile(nn.Module):
    """A model whose parts are called by hostile names."""

    def __init__(self):
        self.layers = nn.ModuleDict({HOSTILE.replace(".", ""): nn.Dense(3, 2)})
        self.own = {HOSTILE.replace(".", " "): nn.Parameter(np.ones(2, np.float32))}

    def forward(self, x):
        for layer in self.layers.values():
            x = layer(x)
        for weight in self.own.values():
            x = x * weight
        return np.tanh(x)

    def extra_repr(self):
        return HOSTILE


Hostile.__name__ = Hostile.__qualname__ = HOSTILE.replace("\0", "").replace("\ud800", "")  # as type() lets one


@pytest.fixture
def loss():
    x = Tensor(np.ones((2, 3), np.float32), name=HOSTILE)
    model = Hostile()
    loss = functional.cross_entropy(model(x), np.array([0, 1]))
    loss.backward(retain_graph=True)
    return model, loss


def checked(text, scripts=0):
    """The page, if nothing of HOSTILE became a tag, an attribute or a script."""
    found = Page(text)
    assert found.tags.count("script") == scripts and "img" not in found.tags and not found.events
    assert not any("owned" in comment for comment in found.comments)
    return found


def picture(path):
    """The texts of an SVG, which must be XML, without scripts and handlers."""
    tree = ET.parse(path)
    for element in tree.iter():
        assert element.tag.rpartition("}")[2] not in ("script", "img", "foreignObject")
        assert not any(name.startswith("on") for name in element.attrib)
        link = element.get("{http://www.w3.org/1999/xlink}href", "#")
        assert link.startswith(("#", "data:image/png"))
    return "".join(tree.getroot().itertext())


# ---- pages ----
def test_a_pages_data_and_title(tmp_path):
    path = page.write(tmp_path / "p.html", "player", {"runs": [], HOSTILE: [HOSTILE]}, HOSTILE)
    found = checked(path.read_text(encoding="utf-8"), scripts=2)
    data = json.loads(found.scripts[0])
    same = HOSTILE.replace("\ud800", "?")
    assert data["title"] == same and data[same] == [same]
    assert not re.search("[<>&\u2028\u2029]", found.scripts[0])
    with pytest.raises(ValueError, match="language is one of"):
        page.write(tmp_path / "p.html", "player", {}, "", HOSTILE)


def test_a_script_with_hostile_texts_ends_where_it_should(tmp_path):
    literal = javascript.literal({HOSTILE: [HOSTILE]})
    path = page.write(tmp_path / "p.html", "player", {"runs": []}, "", script=f"const X = {literal};")
    found = Page(path.read_text(encoding="utf-8"))
    assert found.tags.count("script") == 2 and "<!--" not in found.scripts[1] and "</" not in literal
    assert json.loads(literal) == {HOSTILE: [HOSTILE]}


def test_the_player(loss, tmp_path):
    model, value = loss
    path = viz.player(value, tmp_path / "p.html", model, {HOSTILE: value}, title=HOSTILE)
    checked(path.read_text(encoding="utf-8"), scripts=2)


def test_the_theatre_of_a_function_with_a_hostile_name(tmp_path):
    bowl = known.by_name("bowl")
    mine = dataclasses.replace(bowl, name=DRAWN, why=DRAWN, formula=DRAWN)
    path = stage.page(tmp_path / "s.html", mine)
    checked(path.read_text(encoding="utf-8"), scripts=2)


def test_every_part_of_a_report(tmp_path):
    both = {"en": HOSTILE, "ko": HOSTILE}

    def draw(path, dark):
        raise ValueError(HOSTILE)
    parts = [report.Table([HOSTILE, both, "n"], [[HOSTILE, both, 1]], HOSTILE, sums=1),
             report.Table([HOSTILE, HOSTILE], [[HOSTILE, 3]], both, heat=True),
             report.Cards([(HOSTILE, HOSTILE)]), report.Commands(HOSTILE, both),
             report.Figure(draw, HOSTILE), report.Images(np.zeros((0, 2, 2)), [])]
    sections = [report.Section(HOSTILE, both, HOSTILE, parts, HOSTILE, HOSTILE)]
    path = report.write(sections, tmp_path / "r.html", HOSTILE)
    found = checked(path.read_text(encoding="utf-8"), scripts=2)
    assert found.text.count("owned") > 15 and any("owned" in name for name in found.ids)
    png = report.Images(np.zeros((1, 2, 2)), [HOSTILE])
    text = report.write([report.Section("a", parts=[png])], tmp_path / "r.html").read_text(encoding="utf-8")
    assert Page(text).events == [] and Page(text).tags.count("img") == 1


def test_the_report_of_a_run_with_hostile_files(tmp_path):
    pytest.importorskip("sklearn")
    digits = data.load("digits")
    folder = tmp_path / "run <img src=x onerror=alert(1)> $(touch owned)"
    model = models.mlp(64, (4,), 10)
    history = train.fit(model, digits, optim.Adam(model.parameters()), epochs=1, checkpoint=folder, progress=False,
                        metadata={"data": "digits", "classes": [f"{HOSTILE}{i}" for i in range(10)],
                                  "input_shape": [1, 8, 8]})
    history.to_csv(folder / "history.csv")
    (folder / "config.json").write_text(json.dumps({
        "model": HOSTILE, "data": "digits", "schedule": HOSTILE, "optimizer": HOSTILE, "minigrad": HOSTILE, "lr": 0.1,
        "epochs": 1, "numpy": HOSTILE}))
    sections = [s for s in report.sections(folder) if s.key not in ("filters", "landscape", "graph", "curves", "rate")]
    text = report.write(sections, tmp_path / "r.html", report._title(folder)).read_text(encoding="utf-8")
    found = Page(text)
    assert found.tags.count("script") == 2 and not found.events
    assert found.tags.count("img") == text.count('<img class=ink alt="')
    commands = next(part for s in sections if s.key == "again" for part in s.parts).text
    assert HOSTILE.replace("\0", "") in " ".join(shlex.split(commands.replace("\0", "")))


# ---- notebooks and texts ----
def test_what_notebooks_show(loss):
    model, value = loss
    for text in (notebook.module_html(model), notebook.tensor_html(value), notebook.tensor_html(
            Tensor(np.ones(2), name=HOSTILE)), viz.explain(value, model)._repr_html_()):
        checked(text)


# ---- graphs ----
def test_graphs_in_dot_and_svg(loss, tmp_path):
    model, value = loss
    files = viz.save(viz.draw({HOSTILE: value}, model, {HOSTILE: value}, title=HOSTILE, depth="all", shapes=True),
                     tmp_path / "g")
    if len(files) == 1:
        pytest.skip("nothing lays graphs out")
    assert picture(files[1]).count("owned") > 3


# ---- pictures of matplotlib ----
def test_pictures(tmp_path):
    pytest.importorskip("matplotlib")
    history = train.History([train.Epoch(i, 1 / i, 0.5, 0.4, 0.5, 0.1, 1.0, 10.0) for i in (1, 2)])
    rng = np.random.default_rng(0)
    training.curves(history, tmp_path / "curves.svg", title=DRAWN)
    training.confusion_matrix(np.array([[3, 1], [0, 2]]), [DRAWN, DRAWN + "2"], tmp_path / "confusion.svg", DRAWN)
    training.wrongest(rng.random((2, 1, 4, 4)), np.array([0, 1]), np.array([1, 0]), np.array([[0.1, 0.9], [0.8, 0.2]]),
                      tmp_path / "wrong.svg", [DRAWN, DRAWN], title=DRAWN)
    for path in tmp_path.iterdir():
        text = picture(path)
        assert "owned" in text or "owned" in path.read_text(encoding="utf-8"), path


def test_pictures_of_layers_and_parameters(tmp_path):
    pytest.importorskip("matplotlib")
    model = nn.Sequential()
    model.owned = nn.ModuleDict({DRAWN.replace(".", ""): nn.Dense(4, 4), "b": nn.ReLU()})
    model.forward = lambda x: [x := layer(x) for layer in model.owned.values()][-1]
    recorder = signals.Recorder(model)
    x, y = np.random.default_rng(0).random((8, 4), np.float32), np.arange(8) % 4
    train.fit(model, (x, y), optim.SGD(model.parameters(), 0.1), epochs=2, progress=False, callbacks=[recorder])
    for name in ("histograms", "gradient_norms", "ratios", "dead_units"):
        getattr(signals, name)(recorder, tmp_path / f"{name}.svg")
    filters.first_layer(model, tmp_path / "filters.svg")
    for path in tmp_path.iterdir():
        picture(path)


# ---- in a browser ----
def test_no_page_runs_what_is_hostile(browser_page, loss, tmp_path):
    model, value = loss
    bowl = dataclasses.replace(known.by_name("bowl"), name=DRAWN, why=DRAWN, formula=DRAWN)
    paths = [stage.page(tmp_path / "stage.html", bowl),
             viz.player(value, tmp_path / "player.html", model, {HOSTILE: value}, title=HOSTILE),
             report.write([report.Section(HOSTILE, HOSTILE, parts=[report.Table([HOSTILE, "n"], [[HOSTILE, 1]])],
                                          key=HOSTILE)], tmp_path / "report.html", HOSTILE)]
    for path in paths:
        shown = browser_page(path)
        dialogs = []
        shown.on("dialog", lambda dialog, seen=dialogs: (seen.append(dialog.message), dialog.dismiss()))
        for key in ("ArrowRight", "ArrowRight", "End"):
            shown.keyboard.press(key)
        shown.wait_for_timeout(50)
        assert not dialogs and shown.title() != "owned"
        assert shown.evaluate("document.querySelectorAll('img[src=x], svg[onload]').length") == 0
        assert "alert(1)" in shown.evaluate("document.body.textContent")
