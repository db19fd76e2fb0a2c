"""The HTML report: that it says what the metrics say, holds whole pictures, keeps strings as text, and needs no net."""

from __future__ import annotations

import base64
import functools
import html.parser
import io
import re
import shlex
import shutil
import struct
import xml.etree.ElementTree as ET
import zlib

import numpy as np
import pytest

from minigrad import checkpoint, cli, data, metrics, train
from minigrad.train import History
from minigrad.viz import filters, page, report, signals

NASTY = '<script>alert("1")</script> & \'quoted\' </section>'
FIRST = ["train", "--data", "digits", "--epochs", "2", "--batch-size", "128", "--report"]


class Reader(html.parser.HTMLParser):
    """Tables as rows of cells in English, images, texts by element, and whether all elements are closed."""

    void = ("meta", "img", "br")

    def __init__(self, text):
        super().__init__()
        self.open, self.tables, self.images, self.ids, self.links, self.scripts = [], [], [], [], [], 0
        self.korean = 0
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag not in self.void:
            self.open.append((tag, attrs.get("lang") == "ko" and tag != "html"))
        self.korean += attrs.get("lang") == "ko"
        self.scripts += tag == "script"
        self.ids += [attrs["id"]] if "id" in attrs else []
        self.links += [attrs["href"]] if "href" in attrs else []
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
        elif tag == "img":
            self.images.append(attrs)

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag, tag

    def handle_data(self, text):
        tags = [t for t, _ in self.open]
        if ("td" in tags or "th" in tags) and not any(korean for _, korean in self.open):
            self.tables[-1][-1][-1] += text


def read(path):
    return Reader(path.read_text(encoding="utf-8"))


def table(found, head):
    return next(rows for rows in found.tables if head in rows[0])


def content(source):
    kind, body = re.fullmatch(r"data:(image/[a-z+]+);base64,([A-Za-z0-9+/=]+)", source).groups()
    return kind, base64.b64decode(body)


def check_image(source):
    """The picture is a whole one; returns its (width, height), of an SVG (0, 0)."""
    kind, raw = content(source)
    if kind == "image/svg+xml":
        assert ET.fromstring(raw).tag.endswith("svg")
        assert not re.search(rb'(href|src)="(?!#|data:)', raw) and b"<script" not in raw
        return 0, 0
    image = pytest.importorskip("PIL.Image").open(io.BytesIO(raw))
    image.load()
    return image.size


def light_twice(part, *rest, figure=report._figure):
    """The dark picture is the light one: their own tests draw both."""
    def draw(path, dark):
        kept = path.with_name(f"light{path.suffix}")
        if not dark:
            part.draw(path, dark)
            shutil.copy(path, kept)
        shutil.copy(kept, path)
    return figure(part._replace(draw=draw), *rest)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A small training by the command line, with its report."""
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib")
    folder = tmp_path_factory.mktemp("runs") / "mlp"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cli, "_pictures", lambda *_: None)
        patch.setattr(report, "SURFACE", {"points": 3, "samples": 16})
        patch.setattr(report, "_figure", light_twice)
        patch.setattr(signals, "PANELS", 2)
        patch.setattr(signals, "RIDGES", 2)
        patch.setattr(filters, "first_layer", functools.partial(filters.first_layer, count=4))
        assert cli.main([*FIRST, "--out", str(folder)]) == 0
    return folder


# ---- own sections ----
def drawn(path, dark):
    """The smallest pictures: black by day, white by night."""
    path.write_bytes(report._png(np.full((2, 3), 255 * dark, np.uint8)))


def test_strings_stay_text(tmp_path, browser_page):
    parts = [report.Table([NASTY, "n"], [[NASTY, 3]], NASTY), report.Cards([(NASTY, NASTY)]),
             report.Commands(NASTY, NASTY), report.Images(np.ones((1, 2, 2)), [NASTY]),
             report.Figure(drawn, NASTY)]
    both = {"en": NASTY, "ko": NASTY}
    path = report.write([report.Section(NASTY, NASTY, both, parts, NASTY)], tmp_path / "r.html", NASTY)
    found = read(path)
    assert found.scripts == 2  # the page's data, and its code
    assert found.tables[0] == [[NASTY, "n"], [NASTY, "3"]]
    assert found.images[0]["alt"] == NASTY and all(check_image(i["src"]) for i in found.images)
    shown = browser_page(path)
    assert shown.title() == shown.inner_text("h1") == shown.inner_text("h2#section-1-title") == NASTY
    assert shown.inner_text("pre") == NASTY and shown.locator("main script").count() == 0


def test_each_theme_and_language_has_its_own(tmp_path, browser_page):
    section = report.Section({"en": "Curves", "ko": "곡선"}, {"en": "Look.", "ko": "보라."}, parts=[
        report.Figure(drawn, {"en": "a picture", "ko": "그림"}),
        report.Table(["name", {"en": "value", "ko": "값"}], [["x", "1.5"]])])
    path = report.write([section], tmp_path / "r.html", "Mine")
    light, dark = (check_image(i["src"]) and content(i["src"])[1] for i in read(path).images)
    assert light != dark
    shown = browser_page(path)
    assert shown.inner_text("h2#section-1-title") == "Curves" and shown.inner_text("nav a") == "Curves"
    assert [i.is_visible() for i in shown.get_by_role("img", name="a picture").all()] == [True]
    assert [i.is_visible() for i in shown.locator("figure img").all()] == [True, False]
    shown.keyboard.press("Tab")
    assert shown.evaluate("document.activeElement.className") == "skip"
    shown.click("#theme")
    assert [i.is_visible() for i in shown.locator("figure img").all()] == [False, True]
    shown.emulate_media(media="print")
    assert [i.is_visible() for i in shown.locator("figure img").all()] == [True, False]
    assert not shown.is_visible("#switches")
    shown.emulate_media(media="screen")
    shown.click("#language")
    assert shown.evaluate("document.documentElement.lang") == "ko"
    assert [i.is_visible() for i in shown.get_by_role("img", name="그림").all()] == [True]
    assert shown.inner_text("figcaption") == "그림"
    assert shown.inner_text("h2#section-1-title") == "곡선" and shown.inner_text("thead th:last-child") == "값"


def test_colour_pictures_of_any_range(tmp_path):
    colours = np.array([[[-1.0, 3.0]], [[1.0, 1.0]], [[3.0, -1.0]]])[None]
    found = read(report.write([report.Section("A", parts=[report.Images(colours, ["x"])])], tmp_path / "r.html"))
    picture = pytest.importorskip("PIL.Image").open(io.BytesIO(content(found.images[0]["src"])[1]))
    assert [picture.getpixel((i, 0)) for i in (0, 1)] == [(0, 128, 255), (255, 128, 0)]


def test_commands_can_be_pasted_whatever_the_folder_is_called(run, tmp_path):
    folder = tmp_path / "my \"run\" $1"
    shutil.copytree(run, folder)
    *lines, python = (part.text for part in report._again(report._Run(folder))[0])
    assert shlex.split(lines[1])[3] == str(folder) and shlex.split(lines[2])[2] == f"{folder}/model.safetensors"
    printed = []
    exec(compile(python, "pasted", "exec"), {"print": printed.append})
    assert printed == [train.evaluate(checkpoint.load(run / "model.safetensors").build(),
                                      data.digits(train=False)).accuracy]


def test_without_javascript_it_can_be_read(tmp_path):
    section = report.Section({"en": "Curves", "ko": "곡선"}, "Look.", parts=[report.Figure(drawn, "a picture")])
    text = report.write([section], tmp_path / "r.html", "Mine", "ko").read_text(encoding="utf-8")
    body = re.sub(r"<script.*?</script>", "", text, flags=re.S)
    assert '<html lang="ko">' in body and "Curves" in body and "곡선" in body and body.count("<img") == 2
    assert "img.dark, [data-theme=" in body  # hidden by the style sheet, with no theme chosen


def test_what_is_missing_is_said(tmp_path):
    def without(path, dark):
        raise report.training.MissingExtra('pip install "minigrad[plot]"')
    text = report.write([report.Section("A", parts=[report.Figure(without)], missing={"en": "no", "ko": "없다"})],
                        tmp_path / "r.html").read_text(encoding="utf-8")
    assert "Left out: pip install &quot;minigrad[plot]&quot;" in text
    assert "생략: 없다" in text and "Left out: no" in text


def test_pictures_of_digits_are_what_they_were(tmp_path):
    images = np.arange(12.0).reshape(1, 3, 4)
    found = read(report.write([report.Section("A", parts=[report.Images(images, ["x"])])], tmp_path / "r.html"))
    _, raw = content(found.images[0]["src"])
    at, header = raw.index(b"IDAT"), struct.unpack(">IIBB", raw[16:26])
    rows = np.frombuffer(zlib.decompress(raw[at + 4:at + 4 + struct.unpack(">I", raw[at - 4:at])[0]]), np.uint8)
    assert header == (4, 3, 8, 0)
    np.testing.assert_array_equal(rows.reshape(3, 5)[:, 1:], np.round(255 * (1 - images[0] / 11)))
    assert check_image(found.images[0]["src"]) == (4, 3)
    colour = np.zeros((1, 3, 2, 2))
    colour[0, 0] = 1
    found = read(report.write([report.Section("A", parts=[report.Images(colour, ["red"])])], tmp_path / "r.html"))
    picture = pytest.importorskip("PIL.Image").open(io.BytesIO(content(found.images[0]["src"])[1]))
    assert picture.getpixel((1, 1)) == (255, 0, 0)


@pytest.mark.parametrize("make, error, text", [
    (lambda p: report.write([], p), ValueError, "a folder or a list of Sections is wanted"),
    (lambda p: report.write(["x"], p), ValueError, "a folder or a list of Sections is wanted"),
    (lambda p: report.write([report.Section("A")]), ValueError, "need a path"),
    (lambda p: report.write([report.Section("A", parts=["x"])], p), TypeError, "a part is a Figure, Table"),
    (lambda p: report.write([report.Section("A")], p, language="de"), ValueError, "language is one of en, ko"),
    (lambda p: report.write(p.parent), FileNotFoundError, r"it has no config\.json"),
])
def test_bad_input_is_named(tmp_path, make, error, text):
    with pytest.raises(error, match=text):
        make(tmp_path / "r.html")
    assert not list(tmp_path.iterdir())


def test_an_unfinished_or_damaged_run_is_named(tmp_path):
    (tmp_path / "config.json").write_text('{"model": "mlp", "data": "digits"}')
    with pytest.raises(FileNotFoundError, match=r"no finished training: it has no history\.csv"):
        report.write(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"config\.json is damaged"):
        report.write(tmp_path)


def test_every_text_is_there_in_both_languages():
    texts = report.TEXTS
    for key, both in texts["sections"].items():
        assert [len(both[code]) for code in page.LANGUAGES] == [3, 3], key
        assert all(both["ko"]) and all(re.search("[가-힣]", text) for text in both["ko"])
    for english, korean in texts["words"].items():
        assert set(re.findall(r"\{\w+\}", english)) == set(re.findall(r"\{\w+\}", korean)), english
    source = (report.page.PAGES.parent / "report.py").read_text(encoding="utf-8")
    joined = re.sub(r'"\s*\n\s*"', "", source)
    unused = [w for w in texts["words"] if f'"{w}"' not in joined.replace("\\\\", "\\") and w not in signals.MEANINGS]
    assert unused == []
    assert set(signals.MEANINGS) <= set(texts["words"])


# ---- of a run ----
def test_the_numbers_are_those_of_the_metrics(run):
    found, test = read(run / "report.html"), data.digits(train=False)
    result = train.evaluate(checkpoint.load(run / "model.safetensors").build(), test)
    said = result.predictions.argmax(axis=1)
    precision, recall, f1 = metrics.precision_recall_f1(test.y, said, 10)
    rows = table(found, "precision")
    for c in range(10):
        assert rows[1 + c] == [str(c), *(f"{v[c]:.2%}" for v in (precision, recall, f1)), str((test.y == c).sum())]
    macro = metrics.precision_recall_f1(test.y, said, 10, average="macro")
    assert rows[11][1:4] == [f"{v:.2%}" for v in macro]
    assert rows[12][2:] == [f"{metrics.accuracy(test.y, said):.2%}", "", "355"]
    counts = table(found, "truth \\ said")
    np.testing.assert_array_equal([list(map(int, row[1:])) for row in counts[1:]],
                                  metrics.confusion_matrix(test.y, said, 10))
    history = History.from_csv(run / "history.csv")
    assert [row[1] for row in table(found, "epoch")[1:]] == [f"{loss:.4f}" for loss in history["loss"]]
    size = sum(p.size for p in checkpoint.load(run / "model.safetensors").build().parameters())
    assert table(found, "output shape")[-1][:4] == ["total", "", "", f"{size:,}"]
    assert ["seed", "0"] in table(found, "setting") and ["optimizer", "adam"] in table(found, "setting")


def test_the_mistakes_are_the_most_confident_ones(run):
    text, test = (run / "report.html").read_text(encoding="utf-8"), data.digits(train=False)
    p = train.evaluate(checkpoint.load(run / "model.safetensors").build(), test).predictions
    wrong = [k for k in range(len(p)) if p[k].argmax() != test.y[k]]
    wrong.sort(key=lambda k: (-p[k].max(), k))
    told = re.findall(r"truth (\d), said (\d) \((\S+)\), test:(\d+)</span>", text)
    assert [int(k) for *_, k in told] == wrong[:20]
    assert all((int(t), int(s)) == (test.y[int(k)], p[int(k)].argmax()) for t, s, _, k in told)


def test_pictures_are_whole_and_the_page_is_small(run):
    found = read(run / "report.html")
    kinds = [i["class"] for i in found.images if i.get("class") in ("light", "dark")]
    assert kinds.count("light") == kinds.count("dark") >= 9
    for image in found.images:
        check_image(image["src"])
        assert image["alt"]
    assert (run / "report.html").stat().st_size < 3e6


def test_contents_lead_to_every_section(run):
    found = read(run / "report.html")
    assert [link[1:] for link in found.links if link != "#report"] == list(report.TEXTS["sections"])
    assert len(found.ids) == len(set(found.ids)) and {link[1:] for link in found.links} <= set(found.ids)
    assert found.korean > 60


@pytest.mark.parametrize("width, dark, language", [(1280, False, "en"), (390, True, "ko")])
def test_the_page_is_quiet_and_fits(run, browser_page, width, dark, language):
    shown = browser_page(run / "report.html", width=width, dark=dark, language=language)
    assert shown.evaluate("document.documentElement.scrollWidth") == width
    assert shown.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    assert "undefined" not in shown.inner_text("body")
    shown.click("nav a[href='#landscape']")
    shown.wait_for_timeout(50)
    assert 0 <= shown.evaluate("document.getElementById('landscape').getBoundingClientRect().top") < 100
    assert browser_page.requests == []


def test_training_is_the_same_with_a_report(run, tmp_path, monkeypatch):
    monkeypatch.setattr(cli, "_pictures", lambda *_: None)
    assert cli.main([*FIRST[:-1], "--out", str(tmp_path / "plain")]) == 0
    losses = [History.from_csv(folder / "history.csv")["loss"] for folder in (run, tmp_path / "plain")]
    assert losses[0] == losses[1]


def test_a_resumed_run_has_one_report(run, tmp_path, monkeypatch):
    """Four epochs after two: all epochs, the records of both parts, and no schedule that was none."""
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    monkeypatch.setattr(cli, "_pictures", lambda *_: None)
    monkeypatch.setattr(report, "_figure", lambda *_: "")
    assert cli.main(["train", "--resume", str(folder), "--epochs", "4", "--report"]) == 0
    found, again = read(folder / "report.html"), report._Run(folder)
    assert [row[0] for row in table(found, "epoch")[1:]] == ["1", "2", "3", "4"]
    steps = report._Run(run).steps
    assert again.recorder.steps[0] == 1 and again.recorder.steps[-1] == 4 * steps
    assert set(report._Run(run).recorder.steps) <= set(again.recorder.steps)
    assert report._planned(again) is None and report._planned(report._Run(run)) is not None
    assert "another number of epochs" in (folder / "report.html").read_text(encoding="utf-8")


def test_a_run_that_nobody_watched_has_a_report_too(tmp_path, monkeypatch):
    pytest.importorskip("sklearn")
    monkeypatch.setattr(cli, "_pictures", lambda *_: None)
    monkeypatch.setattr(report, "_figure", lambda *_: "<b>figure</b>")
    assert cli.main([*FIRST[:-1], "--validation", "0", "--schedule", "constant", "--out", str(tmp_path / "r")]) == 0
    path = report.write(tmp_path / "r", tmp_path / "elsewhere.html", "Mine", "ko")
    text = path.read_text(encoding="utf-8")
    assert text.count("train with --report, or pass") == 4 and "validation loss" not in text
    assert "<title>Mine</title>" in text and "--seed 0" in text


def test_the_learning_rate_of_every_step_is_the_one_that_was_used(run):
    found = report._Run(run)
    rates = [rate for _, rate in report._planned(found)]
    assert len(rates) == 2 * found.steps == 2 * 11
    assert rates[found.steps - 1] == pytest.approx(found.history[0].lr)
    assert max(rates) == pytest.approx(cli.LEARNING_RATES["adam"], rel=0.01)
