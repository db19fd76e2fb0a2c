"""One page about one training: what was run, how it went, what the network does, where it errs, how to do it again.

    report.write("runs/cnn-mnist")                                  # of minigrad train: runs/cnn-mnist/report.html
    report.write([report.Section("Mine", "What it shows.", parts=[report.Figure(draw)])], "mine.html")

The page is one file that needs no network, and can be read without JavaScript and printed.
"""

from __future__ import annotations

import base64
import html
import json
import math
import os
import re
import shlex
import struct
import tempfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .. import checkpoint, data, metrics, nn, train
from ..formats import read_json
from ..nn.summary import summary
from . import page, style, training
from .style import DARK, LIGHT

__all__ = ["Cards", "Commands", "Figure", "Images", "Section", "Table", "sections", "write"]

Text = str | Mapping[str, str]  # one for all, or one for each of page.LANGUAGES
KINDS = {".svg": "image/svg+xml", ".png": "image/png"}
TEXTS = json.loads((page.PAGES / "report.json").read_text(encoding="utf-8"))
SURFACE = {"points": 15, "samples": 256}  # of the loss landscape
SETTINGS = {  # types of numbers, and whether a text (True: any, or which) may stand in config.json
    "model": ((), True), "data": ((), True), "epochs": ((int,), False), "batch_size": ((int,), "all"),
    "lr": ((int, float, type(None)), False)}
BOXES = 60  # of the graph, to be read without a magnifying glass


# ---- what a report is made of ----
class Figure(NamedTuple):
    """A picture: ``draw(path, dark)`` writes it to path, once light and once dark, as an .svg or .png, its format.

    caption: what it shows, for those too who cannot see it. themed: False if draw has no dark version: it is called
    once, and the picture is put on white paper. width: of the picture on the page in CSS pixels, at most; None: its
    own.
    """

    draw: Callable[[Path, bool], object]
    caption: Text = ""
    format: str = "png"
    themed: bool = True
    width: int | None = None


class Table(NamedTuple):
    """A table; columns of numbers stand to the right. sums: so many last rows sum up. heat: colour cells by row share.

    Of a heat table, rows hold a name and counts, and the diagonal is what is right.
    """

    head: Sequence[Text]
    rows: Sequence[Sequence[object]]
    caption: Text = ""
    sums: int = 0
    heat: bool = False


class Images(NamedTuple):
    """Small images (N, H, W) or (N, 3, H, W), large values are ink, and a caption for each."""

    images: np.ndarray
    captions: Sequence[Text]


class Cards(NamedTuple):
    """The few numbers that count: names and values."""

    values: Sequence[tuple[Text, str]]


class Commands(NamedTuple):
    """Lines to copy, with what they are above."""

    text: str
    title: Text = ""


Part = Figure | Table | Images | Cards | Commands


@dataclass
class Section:
    """A heading, what is shown, what to look for and when something is wrong, and the parts.

    missing: why there is none.
    """

    title: Text
    text: Text = ""
    look: Text = ""
    parts: Sequence[Part] = ()
    missing: Text = ""
    key: str = field(default="")


# ---- the page ----
def write(what: str | os.PathLike[str] | Sequence[Section], path: str | os.PathLike[str] | None = None,
          title: str = "", language: str = "en") -> Path:
    """Write the report, one HTML file, and return its path.

    what: the folder of a run of ``minigrad train``, from which `sections` makes it (path: by default report.html in
    it); or own sections. language: "en" or "ko", where it begins. A picture for which a package is missing is left
    out, and the page says what to install. Raises ValueError for another language or no sections, FileNotFoundError for
    a folder without a finished run.
    """
    if isinstance(what, (str, os.PathLike)):
        folder = Path(what)
        path, title = path or folder / "report.html", title or _title(folder)
        what = sections(folder)
    elif path is None:
        raise ValueError("report.write: sections need a path to be written to")
    if not what or not all(isinstance(s, Section) for s in what):
        raise ValueError(f"report.write: a folder or a list of Sections is wanted, got {what!r:.60}")
    keys = [html.escape(s.key) or f"section-{i}" for i, s in enumerate(what, 1)]
    with tempfile.TemporaryDirectory() as folder:
        bodies = [_section(s, key, Path(folder)) for s, key in zip(what, keys)]
    contents = "".join(f'<li><a href="#{key}">{_text(s.title)}</a></li>' for s, key in zip(what, keys))
    return page.write(path, "report", {}, title or "minigrad", language, markup={
        "title": html.escape(title or "minigrad"), "contents": f"<ol>{contents}</ol>", "sections": "\n".join(bodies)})


def _text(text, tag="span"):
    """Both languages; the page's CSS shows the one that is chosen."""
    if isinstance(text, str):
        return html.escape(text) if tag == "span" else f"<{tag}>{html.escape(text)}</{tag}>"
    return "".join(f'<{tag} lang="{code}">{html.escape(text[code])}</{tag}>' for code in page.LANGUAGES)


def _plain(text):
    return html.escape(text if isinstance(text, str) else text["en"])


def _section(section, key, folder):
    out = [f'<section id="{key}" aria-labelledby="{key}-title">', f'<h2 id="{key}-title">{_text(section.title)}</h2>']
    if section.text:
        out.append(_text(section.text, "p"))
    if section.look:
        out.append(f'<div class="look">{_text(section.look, "p")}</div>')
    if section.missing:
        out.append(_left_out(section.missing))
    out += [_part(part, folder, f"{key}-{i}") for i, part in enumerate(section.parts, 1)]
    return "\n".join([*out, "</section>"])


def _left_out(why):
    whys = {code: why if isinstance(why, str) else why[code] for code in page.LANGUAGES}
    said = {code: _both("Left out: {why}", why=text)[code] for code, text in whys.items()}
    return _text(said, "p").replace("<p ", '<p class="left-out" ')


def _part(part, folder, key):
    makers = {Figure: _figure, Table: _table, Images: _images, Cards: _cards, Commands: _commands}
    if type(part) not in makers:
        raise TypeError(f"report.write: a part is a {', '.join(m.__name__ for m in makers)}, got {part!r:.60}")
    return makers[type(part)](part, folder, key)


def _figure(part, folder, key):
    try:
        made = []
        for dark in (False, True) if part.themed else (False,):
            path = folder / f"figure.{part.format}"
            part.draw(path, dark)
            made.append((_smaller(path), dark))
    except (ImportError, ValueError) as error:
        return _left_out(str(error))
    width = part.width or _natural_width(made[0][0], part.format)
    alt, image = _plain(part.caption), f"data:{KINDS['.' + part.format]};base64,"
    named = f' aria-labelledby="{key}-caption"' if part.caption else ""  # in the language that is shown
    images = "".join(
        f'<img class="{"" if not part.themed else "dark" if dark else "light"}" alt="{alt}"{named} '
        f'src="{image}{base64.b64encode(raw).decode()}">' for raw, dark in made)
    caption = f'<figcaption id="{key}-caption">{_text(part.caption)}</figcaption>' if part.caption else ""
    return (f'<figure><div class="scroll{"" if part.themed else " paper"}" style="--width:{width}px" tabindex="0" '
            f'role="group"{named}>{images}</div>{caption}</figure>')


def _smaller(path):
    """The file's bytes, of a PNG with a palette of 256 colours: a third of the size."""
    if path.suffix == ".png":
        from PIL import Image  # which matplotlib itself needs
        with Image.open(path) as image:
            image.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
    return path.read_bytes()


def _natural_width(raw, kind):
    """In CSS pixels: PNGs of ours have 150 dots per inch, SVGs say so in points."""
    if kind == "png":
        return round(struct.unpack(">I", raw[16:20])[0] * 96 / 150)
    found = re.search(rb'<svg[^>]*?\bwidth="([\d.]+)pt"', raw)
    return round(float(found[1]) * 96 / 72) if found else 640


def _table(part, folder, key):
    numeric = [bool(part.rows) and all(_is_number(row[i]) for row in part.rows) for i in range(len(part.head))]
    kind = lambda i: ' class="number"' if numeric[i] or (part.heat and i) else ""
    head = "".join(f'<th scope="col"{kind(i)}>{_text(h)}</th>' for i, h in enumerate(part.head))
    rows = []
    for number, row in enumerate(part.rows):
        cells = _heat(row, number) if part.heat else "".join(
            f"<td{kind(i)}>{_cell(value)}</td>" for i, value in enumerate(row) if i)
        last = ' class="sum"' if number == len(part.rows) - part.sums and part.sums else ""
        rows.append(f'<tr{last}><th scope="row">{_cell(row[0])}</th>{cells}</tr>')
    caption = f"<caption>{_text(part.caption)}</caption>" if part.caption else ""
    return (f'<div class="scroll" tabindex="0" role="group" aria-label="{_plain(part.caption or part.head[0])}">'
            f'<table{" class=heat" if part.heat else ""}>{caption}<thead><tr>{head}</tr></thead>'
            f'<tbody>{"".join(rows)}</tbody></table></div>')


def _heat(row, number):
    """Cells of a row of counts: the colour is the share of the row, spread so that rare mistakes show."""
    total, out = max(sum(row[1:]), 1), []
    for i, count in enumerate(row[1:]):
        share = 0.1 + 0.85 * (count / total) ** 0.4
        kinds = " ".join(["right"] * (i == number) + ["strong"] * (share > 0.65) + ["full"] * (share > 0.85)
                         + ["zero"] * (not count))
        style = f' style="--share:{share:.0%}"' if count else ""
        out.append(f'<td class="{kinds}"{style}>{_cell(count)}</td>')
    return "".join(out)


def _is_number(value):
    return isinstance(value, (int, float)) or (isinstance(value, str) and bool(re.fullmatch(r"[-−\d.,%e+]*", value)))


def _cell(value):
    return _text(value) if isinstance(value, (str, Mapping)) else html.escape(f"{value:,}")


def _images(part, folder, key):
    items = []
    for image, caption in zip(np.asarray(part.images), part.captions):
        image = np.moveaxis(image, 0, -1) if image.ndim == 3 else image
        ink = image.ndim == 2
        scaled = np.clip(image / max(float(image.max()), 1e-6), 0, 1) if ink else style.pixels(image)
        raw = _png(np.round(255 * (1 - scaled if ink else scaled)).astype(np.uint8))
        items.append(f'<li><img{" class=ink" if ink else ""} alt="{_plain(caption)}" '
                     f'src="data:image/png;base64,{base64.b64encode(raw).decode()}">{_text(caption)}</li>')
    return f'<ul class="images">{"".join(items)}</ul>'


def _png(pixels):
    """Bytes of a PNG file, from uint8 (H, W) or (H, W, 3)."""
    height, width = pixels.shape[:2]
    chunk = lambda kind, body: struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    lines = np.pad(pixels.reshape(height, -1), ((0, 0), (1, 0)))  # each begins with its filter: none
    header = struct.pack(">IIBBBBB", width, height, 8, 2 if pixels.ndim == 3 else 0, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines.tobytes(), 9))
            + chunk(b"IEND", b""))


def _cards(part, folder, key):
    inside = "".join(f"<div><dt>{_text(name)}</dt><dd>{html.escape(value)}</dd></div>" for name, value in part.values)
    return f'<dl class="cards">{inside}</dl>'


def _commands(part, folder, key):
    title = f"<h3>{_text(part.title)}</h3>" if part.title else ""
    return f'{title}<pre tabindex="0"><code>{html.escape(part.text)}</code></pre>'


# ---- the report of a run of `minigrad train` ----
def sections(folder: str | os.PathLike[str]) -> list[Section]:
    """What can be said about the run in ``folder``, from its files and the data it names.

    Activations, gradients, updates and dead units are there where a `signals.Recorder` was among fit's callbacks, as
    ``minigrad train --report`` has it. Raises FileNotFoundError where no run is, ValueError for damaged files.
    """
    run = _Run(Path(folder))
    makers = (_run, _model, _curves, _rate, _result, _confusion, _wrongest, _activations, _gradients, _updates, _dead,
              _filters, _maps, _landscape, _graph, _again)
    out = []
    for make in makers:
        key = make.__name__[1:]
        title, text, look = ({code: TEXTS["sections"][key][code][i] for code in page.LANGUAGES} for i in range(3))
        parts, missing = make(run)
        if parts or missing:
            out.append(Section(title, text, look, parts, missing, key))
    return out


def _title(folder):
    settings = _settings(folder)
    return f"minigrad: {settings['model']}, {settings['data']}"


def _settings(folder):
    path = folder / "config.json"
    try:
        settings = read_json(path)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{folder} is not the folder of a run: it has no config.json") from error
    if missing := {"model", "data"} - settings.keys():
        raise ValueError(f"{path} is damaged: it lacks {', '.join(sorted(missing))}")
    for key, value in settings.items():
        numbers, texts = SETTINGS.get(key, ((int, float, type(None)), True))
        number = type(value) in numbers and 0 <= (value or 0) < 2**53
        good = number or (isinstance(value, str) and texts in (True, value))
        if not good or (key in ("epochs", "batch_size") and value == 0):
            raise ValueError(f"{path} is damaged: {key} cannot be {value!r:.60}")
    return settings


class _Run:
    """Everything that sections need, read once."""

    def __init__(self, folder):
        self.folder, self.settings = folder, _settings(folder)
        for name in ("history.csv", "model.safetensors"):
            if not (folder / name).is_file():
                raise FileNotFoundError(f"{folder} holds no finished training: it has no {name}")
        self.history = train.History.from_csv(folder / "history.csv")
        if [r.epoch for r in self.history] != list(range(1, len(self.history) + 1)) or not len(self.history):
            raise ValueError(f"{folder / 'history.csv'} does not hold epochs 1, 2, 3, ...: no training was finished")
        best = checkpoint.load(folder / "model.safetensors")
        try:
            self.train = data.load(self.settings["data"])
        except ValueError as error:
            raise ValueError(f"{folder / 'config.json'}: {error}") from error
        self.test = data.load(self.settings["data"], train=False)
        self.epoch, classes, shape = (best.metadata.get(key) for key in ("epoch", "classes", "input_shape"))
        self.shape = self.test.x.shape[1:]
        numbers = isinstance(shape, list) and all(type(n) is int for n in shape)  # arrays would compare otherwise
        if (type(self.epoch) is not int or not 1 <= self.epoch <= len(self.history)
                or not numbers or shape != list(self.shape)
                or not isinstance(classes, list) or len(classes) != len(self.test.classes)):
            raise ValueError(f"{best.path} is not of this run: epoch {self.epoch!r:.20} of {len(self.history)}, images "
                             f"of {shape!r:.40} for {self.shape}, classes {classes!r:.100}")
        self.classes, self.model = list(map(str, classes)), best.build().eval()
        try:
            self.result = train.evaluate(self.model, self.test)
        except (ValueError, TypeError, IndexError, AttributeError) as error:
            raise ValueError(f"{best.path} holds a model for other images: {error}") from error
        if self.result.predictions.shape != (len(self.test), len(classes)):
            raise ValueError(f"{best.path} holds a model for other classes: it puts out "
                             f"{self.result.predictions.shape[1:]}, not {len(classes)}")
        self.said = self.result.predictions.argmax(axis=1)
        self.steps, self.recorder = self._training()

    def _training(self):
        """The steps of an epoch, and the Recorder that watched, from the file that keeps what a resumption needs."""
        path = self.folder / "last.safetensors"
        if not path.is_file():
            return None, None
        from . import signals
        saved, recorder = checkpoint.load(path).metadata.get("training"), signals.Recorder(self.model)
        try:
            steps, state = saved["division"][1], next((s for kind, s in saved["callbacks"] if kind == "Recorder"), None)
            if type(steps) is not int or not 0 < steps <= len(self.train):
                raise ValueError(f"epochs of {steps!r:.20} steps")
            if state is None:
                return steps, None
            recorder.load_state_dict(state)
            recorder.rows()
        except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
            raise ValueError(f"{path} is damaged: it does not tell of this training ({error!r:.200})") from error
        return steps, recorder

    def image(self):
        """One of the first digits of the test set that is told right."""
        right = np.flatnonzero(self.said == self.test.y)
        return int(right[0]) if len(right) else 0


def _both(text, **values):
    """The text in both languages, with values put in."""
    return {"en": text.format(**values), "ko": TEXTS["words"][text].format(**values)}


def _table_of(rows):
    return Table((_both("setting"), _both("value")), [(name, str(value)) for name, value in rows])


def _run(run):
    s, best = run.settings, run.history[run.epoch - 1]
    cards = [(_both("test accuracy"), f"{run.result.accuracy:.2%}"),
             (_both("test loss"), f"{run.result.loss:.4f}"),
             (_both("parameters"), f"{sum(p.size for p in run.model.parameters()):,}"),
             (_both("best epoch"), f"{run.epoch} / {len(run.history)}")]
    if best.val_accuracy is not None:
        cards.insert(1, (_both("validation accuracy"), f"{best.val_accuracy:.2%}"))
    names = {"model": _both("model"), "data": _both("data"), "seed": _both("seed"),
             "optimizer": _both("optimizer"), "lr": _both("learning rate (largest)"),
             "schedule": _both("learning-rate schedule"), "epochs": _both("epochs"),
             "batch_size": _both("batch size"),
             "augment": _both("random shift, pixels"),
             "validation": _both("share held out to validate")}
    rows = [(names[key], s[key]) for key in names if key in s]
    rows += [(_both(what), f"{len(of):,}")
             for what, of in (("training and validation images", run.train), ("test images", run.test))]
    rows += [(name, s[name]) for name in ("minigrad", "numpy") if name in s]
    return [Cards(cards), _table_of(rows)], ""


def _model(run):
    batch = run.settings.get("batch_size", 1)
    table = summary(run.model, run.shape, batch_size=min(batch, len(run.train)) if batch != "all" else len(run.train))
    size = lambda n: f"{n / 1024:,.1f}"
    rows = [(r.name, r.type, "-" if r.output_shape is None else " x ".join(map(str, r.output_shape)),
             f"{r.parameters:,}", size(r.parameter_bytes), size(r.activation_bytes)) for r in table.rows]
    total = (_both("total"), "", "", f"{table.parameters:,}", size(table.parameter_bytes),
             size(table.activation_bytes))
    head = (_both("layer"), _both("type"), _both("output shape"), _both("parameters"),
            _both("weights, KiB"), _both("activations, KiB"))
    return [Table(head, [*rows, total], sums=1)], ""


def _curves(run):
    def draw(path, dark):
        training.curves(run.history, path, dark=dark)
    head = [_both("epoch"), _both("loss"), _both("accuracy")]
    rows = [[str(r.epoch), f"{r.loss:.4f}", "-" if r.accuracy is None else f"{r.accuracy:.2%}"] for r in run.history]
    if run.history[0].val_loss is not None:
        head += [_both("validation loss"), _both("validation accuracy")]
        rows = [[*row, "-" if r.val_loss is None else f"{r.val_loss:.4f}",
                 "-" if r.val_accuracy is None else f"{r.val_accuracy:.2%}"] for row, r in zip(rows, run.history)]
    caption = _both("Loss and accuracy over the epochs; the table below has the numbers.")
    return [Figure(draw, caption, "svg"), Table(head, rows)], ""


def _planned(run):
    """Of up to 10,000 steps (epochs done before, the schedule's learning rate), or None where the history tells
    another story."""
    s, schedule = run.settings, train.SCHEDULES.get(run.settings.get("schedule"))
    if schedule is None or not run.steps or s.get("lr") is None:
        return None
    total = run.steps * s.get("epochs", len(run.history))
    rate = lambda step: s["lr"] * schedule(step / total)
    seen = [(r.epoch * run.steps, r.lr) for r in run.history]
    fits = all(lr is not None and end <= total and math.isclose(rate(end - 1), lr, rel_tol=1e-6) for end, lr in seen)
    shown = np.unique(np.linspace(0, total - 1, min(total, 10_000)).astype(np.int64)).tolist()
    return [(step / run.steps, rate(step)) for step in shown] if fits else None


def _rate(run):
    seen = [(r.epoch, r.lr) for r in run.history if r.lr is not None]
    if not seen:
        return [], ""

    def draw(path, dark):
        theme = DARK if dark else LIGHT
        figure = style.figure(7, 3, theme)
        axes, rates = figure.add_subplot(), _planned(run)
        style.axes(axes, theme, "epoch")
        axes.set_ylabel("learning rate", color=theme.ink)
        if rates is not None:
            axes.plot(*zip(*rates), color=theme.colours[0], linewidth=2)
        axes.plot(*zip(*seen), "o" if rates is not None else "o-", color=theme.colours[1], markersize=6)
        axes.set_ylim(0, None)
        axes.locator_params(axis="x", integer=True)
        style.write(figure, path)
    caption = _both("The learning rate. Line: every step. Points: what was noted at the end of each epoch.")
    return [Figure(draw, caption, "svg")], ""


def _result(run):
    n = len(run.classes)
    counts = metrics.confusion_matrix(run.test.y, run.said, n)
    each = metrics.precision_recall_f1(run.test.y, run.said, n)
    mean = metrics.precision_recall_f1(run.test.y, run.said, n, average="macro")
    are = counts.sum(axis=1)
    shown = lambda values: [f"{v:.2%}" for v in values]
    rows = [[c, *shown(e[i] for e in each), f"{are[i]:,}"] for i, c in enumerate(run.classes)]
    totals = [[_both("mean of the classes"), *shown(mean), ""],
              [_both("all images together"), "", f"{run.result.accuracy:.2%}", "", f"{are.sum():,}"]]
    head = (_both("class"), _both("precision"), _both("recall (accuracy of the class)"), "F1", _both("images"))
    return [Table(head, [*rows, *totals], sums=2)], ""


def _confusion(run):
    counts = metrics.confusion_matrix(run.test.y, run.said, len(run.classes))
    rows = [(name, *map(int, row)) for name, row in zip(run.classes, counts)]
    return [Table((_both("truth \\ said"), *run.classes), rows,
                  _both("{right} of {total} right. Rows: the truth; columns: what was said.",
                        right=f"{np.trace(counts):,}", total=f"{counts.sum():,}"), heat=True)], ""


def _wrongest(run, count=20):
    wrong = np.flatnonzero(run.said != run.test.y)
    if not len(wrong):
        return [], _both("there is no mistake on the test set")
    sure = run.result.predictions[np.arange(len(run.said)), run.said]
    chosen = wrong[np.argsort(-sure[wrong], kind="stable")][:count]
    images = np.asarray(run.test.x)[chosen]
    images = images[:, 0] if images.shape[1] == 1 else images
    told = [(run.classes[run.test.y[k]], run.classes[run.said[k]], training._percent(sure[k]), k) for k in chosen]
    return [Images(images, [_both("truth {t}, said {s} ({p}), test:{k}", t=t, s=s, p=p, k=k)
                            for t, s, p, k in told])], ""


# ---- what went on inside ----
def _seen(run, *parts):
    if run.recorder is None:
        return [], _both("nothing was recorded during the training: train with --report, or pass a "
                         "viz.signals.Recorder to fit(callbacks=...)")
    return list(parts), ""


def _signal(run, name, caption, **options):
    def draw(path, dark):
        from . import signals
        try:
            getattr(signals, name)(run.recorder, path, dark=dark, **options)
        except (LookupError, TypeError, ArithmeticError, AttributeError) as error:  # of a damaged record
            raise ValueError(f"what was recorded during the training cannot be drawn ({error!r:.200})") from error
    return Figure(draw, caption)


def _activations(run):
    table = [] if run.recorder is None else [_signals_table(run.recorder)]
    caption = _both("Histograms of each layer's activations over the steps, without exact zeros, whose share is above.")
    return _seen(run, _signal(run, "histograms", caption), *table)


def _signals_table(recorder):
    number = lambda v, form=".3g": "-" if v is None else format(v, form)
    rows = [(r.layer, r.type, number(r.mean), number(r.std), number(r.zeros, ".0%"), number(r.stuck, ".0%"),
             number(r.gradient, ".1e"), number(r.update, ".1e"),
             _verdict(r.notes))
            for r in recorder.rows()]
    head = (_both("layer"), _both("type"), _both("mean"), _both("std"), _both("zeros"),
            _both("stuck units"), _both("gradient"), _both("update / weight"),
            _both("verdict"))
    return Table(head, rows, _both("Medians of the last recorded steps. Where the learning rate ends near 0, slow is "
                                   "as it should be."))


def _verdict(notes):
    both = [_both(note) for note in notes or ("ok",)]
    return {code: ", ".join(note[code] for note in both) for code in page.LANGUAGES}


def _gradients(run):
    return _seen(run, _signal(run, "histograms", _both("Histograms of the weights' gradients over the steps."),
                              what="gradients"),
                 _signal(run, "gradient_norms", _both("The norm of each layer's gradient over the steps.")))


def _updates(run):
    return _seen(run, _signal(run, "ratios", _both("Update over weight of each layer over the steps.")))


def _dead(run):
    caption = _both("Above: the share of dead or saturated units over the steps. Below: which they are, coloured; "
                    "units go to the right, steps down.")
    return _seen(run, _signal(run, "dead_units", caption))


# ---- what the network has learnt ----
def _filters(run):
    from . import filters
    return [Figure(lambda path, dark: filters.first_layer(run.model, path, dark=dark),
                   _both("The weights of the first layer as images."))], ""


def _maps(run):
    from . import filters
    if not any(isinstance(m, nn.Conv2d) for m in run.model.modules()):
        return [], _both("this model has no convolutions, which alone put out maps")
    k = run.image()
    caption = _both("What each layer puts out for test:{k}, a {digit}: a row for each layer.", k=k,
                    digit=run.classes[run.test.y[k]])
    return [Figure(lambda path, dark: filters.feature_maps(run.model, np.asarray(run.test.x[k]), path, dark=dark),
                   caption)], ""


def _landscape(run):
    from . import landscape
    n = min(SURFACE["samples"], len(run.train))
    batch, found = (np.asarray(run.train.x[:n]), np.asarray(run.train.y[:n])), []

    def draw(path, dark):
        style.figure(1, 1)  # which says what is missing before anything is computed
        if not found:
            found.append(landscape.surface(lambda: train.evaluate(run.model, batch).loss, run.model, "random",
                                           SURFACE["points"]))
        landscape.draw(found[0], path, dark=dark)
    caption = _both("The loss of the first {n} training images on {points} x {points} points of a random plane; the "
                    "trained weights are in the middle.", n=n, points=SURFACE["points"])
    return [Figure(draw, caption)], ""


def _graph(run):
    from .. import functional
    from ..tensor import Tensor
    from . import graph

    def draw(path, dark):
        images, labels = np.asarray(run.test.x[:2]), np.array(run.test.y[:2], np.int64)
        run.model.zero_grad()
        loss = functional.cross_entropy(run.model(Tensor(images, name="images")), labels)
        loss.backward()
        picture = graph.draw(loss, run.model, {"labels": labels, "loss": loss}, limit=BOXES, dark=dark)
        made = graph.save(picture, path.with_suffix(""), "svg")
        if path not in made:
            raise training.MissingExtra('Graphviz is needed for pictures of graphs: pip install "minigrad[viz]"')
    caption = _both("The graph of the loss of two images; of a large model, with modules folded.")
    return [Figure(draw, caption, "svg")], ""


def _again(run):
    s = run.settings
    options = {"model": s["model"], "data": s["data"], "optimizer": s.get("optimizer"), "lr": s.get("lr"),
               "schedule": s.get("schedule"), "epochs": s.get("epochs"), "batch-size": s.get("batch_size"),
               "augment": s.get("augment"), "validation": s.get("validation"), "seed": s.get("seed")}
    command = "minigrad train " + " ".join(f"--{k} {shlex.quote(str(v))}" for k, v in options.items() if v is not None)
    path = run.folder.as_posix()
    where = shlex.quote(path)
    python = ("from minigrad import checkpoint, data, train\n"
              f'model = checkpoint.load({json.dumps(path + "/model.safetensors", ensure_ascii=False)}).build()\n'
              f'print(train.evaluate(model, data.load("{s["data"]}", train=False)).accuracy)')
    changed = run.history[-1].lr is not None and run.steps and _planned(run) is None
    note = [] if not changed else [_both(
        "This run was resumed with another number of epochs, so its schedule was not that of one piece: the command "
        "below does not give the same bits.")]
    return [Commands(f"{command} --report", _both("The same training")),
            Commands(f"minigrad train --resume {where} --epochs {2 * s.get('epochs', 1)} --report",
                     _both("Go on")),
            Commands(f"minigrad predict {where}/model.safetensors test:{run.image()}",
                     _both("Use it")),
            Commands(python, _both("In Python"))], note[0] if note else ""

