"""The graph behind a Tensor as a picture: ``save(draw(loss, model), "graph")`` writes graph.dot and graph.svg.

What is too much for a picture is drawn as fewer boxes: see folding.py.
"""

from __future__ import annotations

import functools
import html
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..checkpoint import replacing
from ..graph import Node
from ..nn import Module
from ..source import file_name
from ..tensor import Tensor
from .anatomy import Anatomy, static_text
from .folding import RUN, Box, Plan

if TYPE_CHECKING:
    import graphviz

__all__ = ["draw", "save"]


@dataclass(frozen=True)
class Colours:
    """Of a picture, from Okabe & Ito's palette; boxes are (fill, border)."""

    paper: str
    ink: str
    soft: str
    gradient: str
    clusters: tuple[str, str]
    parameter: tuple[str, str]
    constant: tuple[str, str]
    operation: tuple[str, str]
    result: tuple[str, str]
    module: tuple[str, str]
    run: tuple[str, str]
    stages: tuple[str, ...]


LIGHT = Colours("#FFFFFF", "#1D2125", "#5C656D", "#A63F00", ("#F6F7F8", "#ECEFF1"), ("#D9EDFA", "#0072B2"),
                ("#FFFFFF", "#7C858D"), ("#FFF3D9", "#B07A00"), ("#FBD59A", "#8A5A00"), ("#D8F0E6", "#00795A"),
                ("#F7E3EF", "#A8467F"), ("#EEF6FC", "#FDF3EA", "#F3F0FA", "#EFF7F2"))
DARK = Colours("#15181B", "#E8EAEC", "#A3ACB4", "#F6B06B", ("#1C2024", "#24292E"), ("#12344A", "#56B4E9"),
               ("#15181B", "#A3ACB4"), ("#3A301A", "#D9A441"), ("#5E4310", "#FFC45C"), ("#113A2E", "#34C99A"),
               ("#41263A", "#E39CC6"), ("#17222B", "#2A211A", "#221F2D", "#1A2621"))
# Every kind has a shape of its own: colour is never all that tells.
SHAPES = {
    "parameter": {"shape": "box", "style": "filled", "penwidth": "2"},
    "constant": {"shape": "box", "style": "filled,dashed"},
    "operation": {"shape": "box", "style": "filled,rounded"},
    "result": {"shape": "box", "style": "filled,rounded", "peripheries": "2"},
    "module": {"shape": "box3d", "style": "filled"},
    "run": {"shape": "folder", "style": "filled"},
}
LEGEND = {"parameter": "leaf that wants a gradient", "constant": "constant", "operation": "operation",
          "result": "result", "module": "call of a module", "run": "many in one"}
SWATCHES = {"parameter": 'BORDER="2"', "constant": 'BORDER="1" STYLE="DASHED"',
            "operation": 'BORDER="1" STYLE="ROUNDED"',
            "result": 'BORDER="1" STYLE="ROUNDED"', "module": 'BORDER="1"', "run": 'BORDER="1"'}
FONT = "Helvetica,Arial,sans-serif"
LEGEND_WIDTH = 470  # in points; beyond, it has two rows
SMALL = 4  # up to so many elements, values are shown
LONG = 44  # longer names and settings are shortened
LAYOUT_LIMIT = 3000  # nodes; beyond, Graphviz takes minutes and nobody can read the picture
PYGRAPHVIZ = """import sys, pygraphviz
graph = pygraphviz.AGraph(string=sys.stdin.buffer.read().decode())
sys.stdout.buffer.write(graph.draw(format=sys.argv[1], prog="dot"))"""
NO_DOT = ("Graphviz's dot was not found: wrote {dot} only;\n"
          "for {picture}, install graphviz, or pip install \"minigrad[viz]\"")


def draw(root: Tensor | Sequence[Tensor] | Mapping[str, Tensor], model: Module | None = None,
         names: Mapping[str, object] | None = None, *, depth: int | str | None = "auto", fold: bool | None = None,
         direction: str = "TB", title: str | None = None, legend: bool = True, dark: bool = False,
         shapes: bool = False, tooltips: bool = True, limit: int = 150) -> graphviz.Digraph:
    """The graph that computed ``root``, inputs first: shapes, the values of small Tensors, and gradients.

    root: a Tensor, several, or ``{"forward": loss, "backward": g}``: then what each adds to those before is drawn in a
    frame of that name. What a backward pass recorded, by create_graph, is in a frame of itself.
    Nodes are called by ``names`` (name -> Tensor or array), else by the Tensor's own name, else as in ``model``; where
    names is None, by the caller's variables; else as in the modules that were called. Calls of modules are frames in
    frames. After `backward` the values that it freed are missing, constants are drawn without a shape, and the rest is
    as before.

    depth: calls of modules inside so many others are one box each, 0: the outermost; None or "all": none is; "auto":
    the most that fits into ``limit`` boxes. fold: draw as one box with a count what the same expression of the program
    recorded over and over; by default where depth is "auto" and nothing else helps. direction: TB, LR, BT or RL.
    shapes: write them on the edges. tooltips: the source line and the values, on hovering over an SVG.
    Raises ValueError for a Tensor without a graph, TypeError for what is no Tensor.
    """
    return _draw(root, model, names, sys._getframe(1).f_locals if names is None else None, depth, fold, direction,
                 title, legend, dark, shapes, tooltips, limit)


def _draw(root, model=None, names=None, variables=None, depth="auto", fold=None, direction="TB", title=None,
          legend=True, dark=False, shapes=False, tooltips=True, limit=150):
    _check(depth, direction, limit)
    stages = list(root) if isinstance(root, Mapping) else []
    roots = list(root.values()) if isinstance(root, Mapping) else root
    anatomy = Anatomy(roots, model, names, variables)
    plan = Plan(anatomy, stages, None if depth == "all" else depth, fold, limit)
    return _Drawing(anatomy, plan, DARK if dark else LIGHT, shapes, tooltips).picture(direction, title, legend)


def save(picture: graphviz.Digraph, path: str | os.PathLike[str], format: str = "svg") -> list[Path]:
    """Write ``path``.dot, and ``path``.svg where something can lay the graph out; returns the paths written.

    That is ``dot`` on the PATH, else pygraphviz 2 (the extra ``viz``); without either, a line on stderr says so.
    format: svg, png or pdf; or dot, for that alone.
    """
    dot, image = Path(f"{path}.dot"), Path(f"{path}.{format}")
    with replacing(dot) as beside:
        beside.write_text(picture.source, encoding="utf-8")
    if format == "dot":
        return [dot]
    nodes = _size(picture)
    content = None if nodes > LAYOUT_LIMIT else _laid_out(picture, format)
    if content is None:
        image.unlink(missing_ok=True)  # an older one would show another graph
        why = f"{nodes:,} nodes are too many to lay out: wrote {dot} only" if nodes > LAYOUT_LIMIT else NO_DOT.format(
            dot=dot, picture=image.name)
        print(why, file=sys.stderr)
        return [dot]
    with replacing(image) as beside:
        beside.write_bytes(content)
    return [dot, image]


def _check(depth, direction, limit):
    if not (depth in ("auto", "all") or depth is None or (isinstance(depth, (int, np.integer)) and depth >= 0)):
        raise ValueError(f'draw: depth is a number from 0 on, "auto" or "all", not {depth!r}')
    if direction not in ("TB", "LR", "BT", "RL"):
        raise ValueError(f"draw: direction is TB, LR, BT or RL, not {direction!r}")
    if limit < 10:
        raise ValueError(f"draw: limit, the number of boxes, must be at least 10, got {limit}")


def _size(picture):
    return sum(re.match(r"\s*n\d+ \[", line) is not None for line in picture.body)


def _laid_out(picture, format):
    """The picture's bytes, or None where nothing can lay it out."""
    import graphviz
    source = picture.source if format != "png" else picture.source.replace("{\n", "{\n\tgraph [dpi=144]\n", 1)
    try:
        return _finished(graphviz.Source(source).pipe(format=format), format)
    except (graphviz.ExecutableNotFound, graphviz.CalledProcessError):
        pass
    # in a process of its own: Graphviz inside Python writes warnings to stderr, and takes Python with it if it fails
    run = subprocess.run([sys.executable, "-c", PYGRAPHVIZ, format], input=source.encode(), capture_output=True)
    return _finished(run.stdout, format) if run.returncode == 0 and run.stdout else None


def _finished(content, format):
    """An SVG whose titles, which browsers show and screen readers tell, are the tooltips, and not n0 or n0->n1."""
    if format != "svg":
        return content
    content = re.sub(rb'<g id="node\d+" class="node">.*?(?=<!-- |\Z)', _centred, content, flags=re.DOTALL)
    content = re.sub(rb'<title>(?:n|cluster_)\d+</title>(\s*<g id="a_[^"]*"><a xlink:title="([^"]*)")',
                     rb"<title>\2</title>\1", content)
    return re.sub(rb"<title>(?:(?:n|cluster_)\d+(?:&#45;&gt;n\d+)?| )</title>\n?", b"", content)


def _centred(box):
    """A box whose lines stay in its middle in a viewer with another font than Graphviz measured, or a finer measure."""
    outline = re.search(rb'<(?:polygon|path)[^>]* (?:points|d)="([^"]*)"', box[0])[1]
    xs = [float(x) for x in re.findall(rb"(-?[\d.]+),", outline)]
    middle = (min(xs) + max(xs)) / 2
    return re.sub(rb'text-anchor="start" x="[^"]*"', b'text-anchor="middle" x="%.2f"' % middle, box[0])


@functools.cache
def _picture_class():
    import graphviz

    class Picture(graphviz.Digraph):
        """A Digraph that a notebook shows also where there is no ``dot``: by pygraphviz, else as DOT text."""

        def _repr_svg_(self) -> str | None:
            content = None if _size(self) > LAYOUT_LIMIT else _laid_out(self, "svg")
            return None if content is None else content.decode()

        def _repr_mimebundle_(self, include=None, exclude=None, **_) -> dict[str, str]:
            svg = self._repr_svg_()
            if svg is not None:
                return {"image/svg+xml": svg}
            why = ("too many nodes to lay out" if _size(self) > LAYOUT_LIMIT else
                   'to see this as a picture, install graphviz, or pip install "minigrad[viz]"')
            return {"text/plain": f"// {why}\n{self.source}"}

    return Picture


class _Drawing:
    """Puts the boxes of a plan into a Digraph."""

    def __init__(self, anatomy: Anatomy, plan: Plan, colours: Colours, shapes: bool, tooltips: bool):
        self.anatomy, self.plan, self.colours, self.shapes, self.tooltips = anatomy, plan, colours, shapes, tooltips
        self.gradients = False  # whether one is shown

    def picture(self, direction, title, legend):
        c = self.colours
        picture = _picture_class()("minigrad", graph_attr={
            "rankdir": direction, "bgcolor": c.paper, "fontname": FONT, "fontcolor": c.ink, "labelloc": "t",
            "nodesep": "0.3", "ranksep": "0.35", "tooltip": " "}, node_attr={
            "fontname": FONT, "fontsize": "12", "fontcolor": c.ink, "margin": "0.13,0.06", "height": "0.3"},
            edge_attr={"color": c.soft, "fontcolor": c.soft, "fontname": FONT, "fontsize": "10", "arrowsize": "0.7"})
        self._add_boxes(picture)
        self._add_edges(picture)
        picture.graph_attr["label"] = self._head(title, legend)
        return picture

    def _head(self, title, legend):
        """Title, legend and what was left out: a table, since a node would disturb the layout."""
        rows = [_html([("title", title or "")], self.colours)[1:-1]] * bool(title and _clean(title))
        if legend:
            kinds = {box.kind for box in self.plan.boxes}
            cells = [self._swatch(kind) for kind in SHAPES if kind in kinds]
            if self.gradients:
                told = f'<FONT COLOR="{self.colours.gradient}" POINT-SIZE="10">gradient of the result</FONT>'
                cells.append((120, told))
            wide = sum(width for width, _ in cells) > LEGEND_WIDTH
            middle = -(-len(cells) // 2) if wide else len(cells)
            for part in (cells[:middle], cells[middle:])[:1 + wide]:
                row = "".join(f"<TD>{cell}</TD>" for _, cell in part)
                rows.append(f'<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="4"><TR>{row}</TR></TABLE>')
        rows += [_html([("soft", self.plan.note)], self.colours)[1:-1]] * bool(self.plan.note)
        if not rows:
            return ""
        cells = "".join(f"<TR><TD>{row}</TD></TR>" for row in rows)
        return f'<<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="2" CELLPADDING="1">{cells}</TABLE>>'

    def _swatch(self, kind):
        """(width, a small box of that look)."""
        fill, border = getattr(self.colours, kind)
        width = 16 + round(5.1 * len(LEGEND[kind]))

        def table(size, fill, inside):
            return (f'<TABLE CELLBORDER="0" CELLSPACING="0" CELLPADDING="0" FIXEDSIZE="TRUE" WIDTH="{width + size}" '
                    f'HEIGHT="{19 + size}" COLOR="{border}" BGCOLOR="{fill}" {SWATCHES[kind]}>'
                    f'<TR><TD FIXEDSIZE="TRUE" WIDTH="{width + size - 4}" HEIGHT="{15 + size}">{inside}</TD></TR>'
                    '</TABLE>')
        inner = table(0, fill, f'<FONT POINT-SIZE="10">{LEGEND[kind]}</FONT>')
        return (width, inner) if kind != "result" else (width + 8, table(8, self.colours.paper, inner))

    # ---- boxes, in frames in frames ----
    def _add_boxes(self, picture):
        tree: dict = {}
        for box in self.plan.boxes:
            inner = tree
            for part in box.frames:
                inner = inner.setdefault(part, {})
            inner.setdefault(None, []).append(box)
        stack, count = [((), tree, iter(tree))], 0
        while stack:
            path, inner, rest = stack[-1]
            part = next(rest, self)
            if part is self:
                stack.pop()
                if stack:
                    picture.body.append("\t}\n")
            elif part is None:
                for box in inner[None]:
                    self._add_box(picture, box)
            else:
                below = (*path, part)
                self._open_frame(picture, count, below)
                count += 1
                stack.append((below, inner[part], iter(inner[part])))

    def _open_frame(self, picture, number, path):
        c, (kind, stage) = self.colours, path[-1][:2]
        if kind == "stage":
            text, tip, fill, bold = self.plan.names[stage], [" "], c.stages[stage % len(c.stages)], "b"
        else:
            first, *_ = calls = list(self.plan.frames[path])
            text, fill, bold = _title(first, len(calls)), c.clusters[len(path) % 2], ""
            where = self.anatomy.line(first)
            tip = [_title(first, len(calls), long=10_000), _line(where) if where else ""]
        look = {"label": _html([(bold, _short(text, 60))], c), "labeljust": "l", "fontsize": "13" if bold else "11",
                "fontcolor": c.ink if bold else c.soft, "style": "filled,rounded", "fillcolor": fill, "color": c.soft,
                "tooltip": _text(tip) if self.tooltips else " "}
        import graphviz
        picture.body.append(f"\tsubgraph cluster_{number} {{\n")
        picture.body.append("\t\tgraph" + graphviz.quoting.attr_list(kwargs=look) + "\n")

    def _add_box(self, picture, box):
        fill, border = getattr(self.colours, box.kind)
        look = {**SHAPES[box.kind], "fillcolor": fill, "color": border}
        if box.is_result:
            look["peripheries"] = "2"
        if self.tooltips:
            look["tooltip"] = _text(self._tip(box))
        picture.node(f"n{box.number}", _html(self._lines(box), self.colours), **look)

    # ---- what stands in a box ----
    def _lines(self, box: Box):
        """[(how, text)]: how is "b" for bold, "gradient", "soft" or nothing."""
        if len(box.keys) == 1 and not box.calls:
            return self._lines_of_one(box.keys[0])
        parameters = [key for key in box.keys if self.anatomy.kind(key) == "parameter"]
        lines = []
        if box.calls:
            lines.append(("b", _title(box.calls[0], len(box.calls))))
        if box.operations:
            count = len(box.operations)
            told = box.told_operations()
            if box.calls:
                lines += [("", _many(count, "operation"))] * (count > 1)
            else:
                lines.append(("b", told if len(box.kinds) == 1 else _many(count, "operation")))
                lines += [("", told)] * (len(box.kinds) > 1)
        if not box.calls and self.plan.level == RUN:
            calls = list({call: None for key in box.operations if (call := self.anatomy.call(key)) is not None})
            if len(calls) > 1:
                lines.insert(0, ("b", f"{_title(calls[0], long=20)} … {_title(calls[-1], long=20)}"))
        if parameters:
            numbers = sum(int(np.prod(key.shape)) for key in parameters)
            what = _many(numbers, "parameter")
            if not box.operations:
                what = f"{len(parameters):,} leaves" + (f", {numbers:,} numbers" if numbers > len(parameters) else "")
            lines.append(("" if box.operations else "b", what))
        elif not box.operations:
            lines.append(("b", _many(len(box.keys), "constant")))
        if named := [name for key in box.keys if key not in self.anatomy.inputs and (name := self.anatomy.name(key))]:
            if not box.operations:
                lines.append(("", ", ".join(_short(name, 16) for name in named[:3])
                              + (f" … {_short(named[-1], 16)}" if len(named) > 3 else "")))
        if box.shapes and box.shapes != [()]:
            lines.append(("", ", ".join(map(str, box.shapes))))
        if not box.calls and box.operations and not self._told_by_frame(box):
            lines.append(("soft", _short(self._place(box), 48)))
        if parameters:
            lines.append(self._gradient_of([key.grad for key in parameters]))
        return lines

    def _lines_of_one(self, key):
        node, value, name = key, self.anatomy.value(key), self._name(key)
        is_node = isinstance(key, Node)
        operation = _operation(node) if is_node and node.op is not None else None
        shape = node.shape if is_node else np.shape(value) if value is not None else None
        lines = [("b", _short(name))] * (name is not None)
        lines += [("" if name is not None else "b", operation)] * (operation is not None)
        if shape is None:
            return lines or [("", "constant")]
        shown = value is not None and np.size(value) <= SMALL
        if shape or not shown:
            lines.append(("", str(shape)))
        if shown:
            lines.append(("", f"= {_number(value)}" if lines else _number(value)))
        if is_node and node.requires_grad and (node.op is None or node.grad is not None):
            lines.append(self._gradient_of([node.grad]))
        return lines

    def _name(self, key):
        """A parameter's name, without what the frame around it says already."""
        name, call = self.anatomy.name(key), self.anatomy.call(key)
        if name is not None and call is not None and call.path and name.startswith(f"{call.path}."):
            return name[len(call.path) + 1:]
        return name

    def _gradient_of(self, gradients):
        self.gradients = True
        there = [g.data for g in gradients if g is not None]
        if not there:
            return "gradient", "no gradient yet"
        if len(gradients) == 1 and there[0].size <= SMALL:
            return "gradient", f"gradient {_number(there[0])}"
        norm = np.sqrt(sum(float(np.linalg.norm(g.ravel())) ** 2 for g in there))
        return "gradient", f"|gradient| {norm:.3g}" + ("" if len(there) == len(gradients) else
                                                       f" of {len(there):,} of {len(gradients):,}")

    def _told_by_frame(self, box):
        """Whether the frame around is a call that was made where all of the box was recorded."""
        calls = self.plan.frames.get(box.frames, ())
        return bool(calls) and {call.where for call in calls} == {key.where for key in box.operations}

    def _place(self, box):
        """Where the user's program recorded the operations of a box: a line with its text, or from where to where."""
        spots = {self.plan.spot(key): key for key in box.operations if key.where is not None}
        if not spots:
            return ""
        first, last = (self.anatomy.line(spots[one]) for one in (min(spots), max(spots)))
        if first[:2] == last[:2]:
            return _line(first)
        if first.file != last.file:
            return f"{file_name(first.file)}, {file_name(last.file)}, …"
        inside = f", {first.function}" if first.function == last.function and first.function[0] != "<" else ""
        return f"{first.place}–{last.number}{inside}"

    def _tip(self, box):
        lines = [text for _, text in self._lines(box)] if box.calls or len(box.keys) > 1 else []
        if box.calls:
            where = self.anatomy.line(box.calls[0])
            lines = [_title(box.calls[0], len(box.calls), long=10_000), *lines[1:], _line(where) if where else ""]
            lines += [f"{self.anatomy.name(key)} {key.shape}" for key in box.keys
                      if self.anatomy.kind(key) == "parameter"][:20]
        elif len(box.keys) == 1:
            key = box.keys[0]
            name, value, where = self.anatomy.name(key), self.anatomy.value(key), self.anatomy.line(key)
            operation = isinstance(key, Node) and key.op is not None and _operation(key, 400)
            lines = [name or "", operation or "", _line(where) if where else "", *_whole(value)]
            if isinstance(key, Node) and key.grad is not None:
                lines += ["gradient:", *_whole(key.grad.data)]
        elif box.operations:
            lines.append(self._place(box))
        return [line for line in lines if line] or [" "]

    # ---- edges ----
    def _add_edges(self, picture):
        for source, target, count, back, keys in self.plan.edges():
            label = [f"×{count:,}"] * (count > 1)
            if self.shapes and (shapes := {str(s) for key in keys if (s := self._shape(key))}):
                label.insert(0, shapes.pop() if len(shapes) == 1 else f"{len(shapes)} shapes")
            look = {"label": _html([("soft", " ".join(label))], self.colours)} if label else {}
            if back:
                look |= {"style": "dashed", "constraint": "false"}
            if self.tooltips and label:
                look |= {"edgetooltip": " ", "labeltooltip": " "}
            picture.edge(f"n{source.number}", f"n{target.number}", **look)

    def _shape(self, key):
        return key.shape if isinstance(key, Node) else np.shape(value) if (
            value := self.anatomy.value(key)) is not None else None


# ---- texts ----
def _title(call, count=1, long=LONG):
    """How a call is called: path, class, settings, and how many calls it stands for."""
    path = _short(call.path, long)
    settings = "" if call.module is None else call.module.extra_repr()
    if len(settings) > long:  # whole settings, the first ones
        settings = settings[:long].rpartition(", ")[0] + ", …"
    text = f"{call.kind}({settings})" if settings else call.kind
    if path:
        text = f"{path}: {text}"
    if count > 1:
        return f"{text} ×{count:,}"
    return text if call.of == 1 else f"{text}, call {call.number} of {call.of}"


def _operation(node, longest=40):
    return f"{node.op.name} {static_text(node.static, longest)}".strip()


def _line(line):
    return line.place + (f": {line.text}" if line.text else "")


def _many(count, what):
    return f"{count:,} {what}" + ("" if count == 1 else "s")


def _short(text, longest=LONG):
    """The text, without its middle if it is long: the ends of a name tell more."""
    text = " ".join(str(text).split())
    if len(text) <= longest:
        return text
    return f"{text[:longest // 2]}…{text[len(text) - (longest - 1 - longest // 2):]}"


def _number(value):
    array = np.asarray(value)
    if array.dtype.kind not in "fc":
        return np.array2string(array, separator=", ")
    return np.array2string(array, separator=", ", formatter={"all": lambda v: f"{v + 0:.{3 + (array.size == 1)}g}"})


def _whole(value):
    """A value in full, as lines, unless that is more than a page."""
    if value is None:
        return []
    array = np.asarray(value)
    return np.array2string(array, separator=", ", threshold=200, edgeitems=3, precision=6).splitlines()[:40]


def _clean(text):
    """Without line breaks and what XML may not hold."""
    return "".join(c if c.isprintable() or c == " " else " " for c in " ".join(str(text).split()))


_WRITE = {"title": '<FONT POINT-SIZE="15"><B>{}</B></FONT>',
          "b": "<B>{}</B>", "": "{}", "gradient": '<FONT COLOR="{gradient}">{}</FONT>',
          "soft": '<FONT COLOR="{soft}" POINT-SIZE="10">{}</FONT>'}


def _html(lines, colours):
    """Lines as one of Graphviz's HTML labels, in which what they say is only text."""
    parts = [_WRITE[how].format(html.escape(text).replace("\\", r"\\"), gradient=colours.gradient, soft=colours.soft)
             for how, line in lines if (text := _clean(line))]
    return f"<{'<BR/>'.join(parts)}>" if parts else ""


def _text(lines):
    """Lines as a plain attribute that is only text: no escape sequences, no HTML and none of its entities."""
    import graphviz
    clean = [re.sub(r" (?= )", "\N{NO-BREAK SPACE}", "".join(c if c.isprintable() else " " for c in str(line)))
             for line in lines]
    return graphviz.nohtml("\\n".join(line.replace("\\", "\\\\").replace("&", "&amp;") for line in clean))
