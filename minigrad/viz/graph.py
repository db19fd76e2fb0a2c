"""The graph behind a Tensor as a picture: ``save(draw(loss, model), "graph")`` writes graph.dot and graph.svg."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..checkpoint import replacing
from ..nn import Module
from ..tensor import Tensor

if TYPE_CHECKING:
    import graphviz

__all__ = ["draw", "save"]

# Okabe & Ito's palette, told apart by the colour-blind too; every kind also has a shape of its own
KINDS = {
    "parameter": {"shape": "box", "style": "filled,rounded", "fillcolor": "#56B4E9"},
    "constant": {"shape": "box", "style": "filled,dashed", "fillcolor": "#FFFFFF"},
    "operation": {"shape": "ellipse", "style": "filled", "fillcolor": "#F5D9A0"},
    "result": {"shape": "ellipse", "style": "filled,bold", "fillcolor": "#E69F00", "peripheries": "2"},
}
LEGEND = {"parameter": "wants a gradient", "constant": "constant", "operation": "operation", "result": "result"}
SMALL = 4  # up to so many elements, values are shown
LAYOUT_LIMIT = 3000  # nodes; beyond, Graphviz takes minutes and nobody can read the picture
PYGRAPHVIZ = """import sys, pygraphviz
graph = pygraphviz.AGraph(string=sys.stdin.buffer.read().decode())
sys.stdout.buffer.write(graph.draw(format=sys.argv[1], prog="dot"))"""
NO_DOT = ("Graphviz's dot was not found: wrote {dot} only;\n"
          "for {picture}, install graphviz, or pip install \"minigrad[viz]\"")


def draw(root: Tensor | Sequence[Tensor], model: Module | None = None, names: Mapping[str, object] | None = None, *,
         direction: str = "TB", title: str | None = None, legend: bool = True) -> graphviz.Digraph:
    """The graph that computed ``root``, inputs first: shapes, the values of small Tensors, and gradients.

    Nodes are called by ``names`` (name -> Tensor or array), else by the Tensor's own name, else as in ``model``, whose
    parameters are grouped by module; and where names is None, by the caller's variables. After `backward` the values
    that it freed are missing, constants are drawn without a shape, and the rest is as before.

    direction: TB, LR, BT or RL. Raises ValueError for a Tensor without a graph.
    """
    import graphviz
    roots = [root] if isinstance(root, Tensor) else list(root)
    if not roots or any(t.node is None for t in roots):
        raise ValueError("draw: nothing was recorded behind this Tensor: it depends on nothing that requires grad"
                         + ("" if roots else ", for there is none"))
    known = _Known(roots, model, names, sys._getframe(1).f_locals if names is None else {})
    picture = graphviz.Digraph("minigrad", graph_attr={
        "rankdir": direction, "bgcolor": "white", "fontname": "Helvetica", "label": _text([title or ""]),
        "labelloc": "t", "nodesep": "0.3", "ranksep": "0.4"}, node_attr={
        "fontname": "Helvetica", "fontsize": "12", "color": "#333333", "fontcolor": "#000000", "margin": "0.12,0.06"},
        edge_attr={"color": "#555555", "arrowsize": "0.7"})
    nodes, edges = _walk([t.node for t in roots])
    for node in nodes.values():
        known.see_inputs_of(node)
    ids = {key: f"n{i}" for i, key in enumerate(nodes)}
    groups: dict[str, list] = {}
    for key, node in nodes.items():
        groups.setdefault(known.module_of(key), []).append((key, node))
    for number, (module, members) in enumerate(groups.items()):
        if not module:
            for key, node in members:
                _add(picture, ids[key], known, key, node)
            continue
        with picture.subgraph(name=f"cluster_{number}") as part:
            part.attr(label=_text([known.modules[module]]), color="#BBBBBB", style="rounded", fontsize="11",
                      fontcolor="#444444", labelloc="t")
            for key, node in members:
                _add(part, ids[key], known, key, node)
    for source, target in edges:
        picture.edge(ids[source], ids[target])
    if legend:
        kinds = {known.kind(key, node) for key, node in nodes.items()}
        picture.node("legend", _legend([kind for kind in KINDS if kind in kinds]), shape="plaintext", fontsize="10")
    return picture


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
    nodes = sum(" [label=" in line and "->" not in line for line in picture.body)
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


def _laid_out(picture, format):
    import graphviz
    try:
        return picture.pipe(format=format)
    except (graphviz.ExecutableNotFound, graphviz.CalledProcessError):
        pass
    # in a process of its own: Graphviz inside Python writes warnings to stderr, and takes Python with it if it fails
    run = subprocess.run([sys.executable, "-c", PYGRAPHVIZ, format], input=picture.source.encode(), capture_output=True)
    return run.stdout if run.returncode == 0 and run.stdout else None


def _walk(roots):
    """{key: Node or value}, inputs before what uses them, and the edges; iterative, in an order of structure alone.

    A node is its own key. A constant has no node: its key is its array's id, so that two uses of it are one box; a
    Python number, or what backward has freed, is a box at each use.
    """
    nodes, edges = {}, []
    stack = [(root, None) for root in reversed(roots)]
    expanded = set()
    while stack:
        key, value = stack.pop()
        if key in nodes:
            continue
        if key in expanded or not hasattr(key, "parents"):
            nodes[key] = value if not hasattr(key, "parents") else key
            if key in expanded:
                edges += [(source, key) for source, _ in _inputs(key)]
            continue
        expanded.add(key)
        stack.append((key, None))
        stack += reversed([pair for pair in _inputs(key) if pair[0] not in nodes and pair[0] not in expanded])
    return nodes, edges


def _inputs(node):
    """[(key, value of a constant)] of a node's inputs."""
    found = []
    for i, parent in enumerate(node.parents):
        value = None if node.values is None else node.values[i + 1]
        if parent is not None:
            found.append((parent, None))
        elif isinstance(value, np.ndarray):
            found.append((("array", id(value)), value))
        elif value is not None or node.values is None:
            found.append(((node, i), value))
    return found


class _Known:
    """What is known about nodes beyond themselves: names, values of leaves, and the module of a parameter."""

    def __init__(self, roots, model, names, variables):
        self.names, self.values, self.module, self.modules = {}, {}, {}, {}
        self.roots = [t.node for t in roots]
        for t in roots:
            self.values[t.node] = t.data
        for name, value in (names or {}).items():
            self._enter(name, value)
        self.given = dict(self.names)
        if model is not None:
            self._enter_model(model)
        for name, value in list(variables.items()):
            if isinstance(value, Module) and model is None:
                self._enter_model(value, f"{name}.")
        for name, value in list(variables.items()):
            if not name.startswith("_"):
                self._enter(name, value)

    def _enter(self, name, value):
        if isinstance(value, (Tensor, np.ndarray)):
            node = value.node if isinstance(value, Tensor) else None
            array = value.data if isinstance(value, Tensor) else value
            key = ("array", id(array)) if node is None else node
            self.names.setdefault(key, name)
            self.values.setdefault(key, array)

    def _enter_model(self, model, prefix=""):
        for name, module in model.named_modules():
            path = f"{prefix}{name}".rstrip(".")
            self.modules[path] = f"{path or type(model).__name__}: {type(module).__name__}({module.extra_repr()})"
        for name, p in model.named_parameters():
            self._enter(prefix + name, p)
            self.module.setdefault(p.node, f"{prefix}{name}".rpartition(".")[0])

    def see_inputs_of(self, node):
        """A leaf does not hold its value; what uses it does, until backward."""
        if getattr(node, "values", None) is not None:
            for parent, value in zip(node.parents, node.values[1:]):
                if parent is not None:
                    self.values.setdefault(parent, value)

    def module_of(self, key):
        path = self.module.get(key, "")
        return path if path in self.modules else ""

    def kind(self, key, node):
        if key in self.roots:
            return "result"
        if not hasattr(node, "parents") or not node.requires_grad:
            return "constant"
        return "parameter" if node.op is None else "operation"

    def value(self, key, node):
        if key in self.values:
            return self.values[key]
        if hasattr(node, "parents"):
            return None if node.values is None else node.values[0]
        return node

    def name(self, key, node):
        own = node.name if hasattr(node, "parents") else None
        return self.given.get(key) or own or self.names.get(key)


def _add(picture, number, known, key, node):
    picture.node(number, _text(_lines(known, key, node)), **KINDS[known.kind(key, node)])


def _lines(known, key, node):
    """The lines of a node's label: name and operation, shape, value, gradient."""
    is_node = hasattr(node, "parents")
    name, value = known.name(key, node), known.value(key, node)
    operation = f"{node.op.name}{_static(node.static)}" if is_node and node.op is not None else None
    shape = node.shape if is_node else np.shape(value) if value is not None else None
    lines = [text for text in (name, operation) if text is not None]
    if shape is None:
        return lines or ["constant"]
    shown = value is not None and np.size(value) <= SMALL
    if shape or not shown:
        lines.append(str(shape))
    if shown:
        lines.append(f"= {_number(value)}" if lines else _number(value))
    if is_node and node.requires_grad and (node.op is None or node.grad is not None):
        lines.append(_gradient(node.grad))
    return lines


def _gradient(g):
    if g is None:
        return "no gradient yet"
    if g.size <= SMALL:
        return f"gradient {_number(g.data)}"
    return f"|gradient| {np.linalg.norm(g.data.ravel()):.3g}"


def _number(value):
    array = np.asarray(value)
    if array.dtype.kind not in "fc":
        return np.array2string(array, separator=", ")
    return np.array2string(array, separator=", ", formatter={"all": lambda v: f"{v:.4g}"})


def _static(static):
    """The keyword arguments that a reader wants: no switches, no defaults like ddof=0, no masks or indices."""
    shown = [f"{k}={v}" for k, v in (static or {}).items()
             if k != "shape" and not isinstance(v, (bool, np.ndarray)) and v is not None and (v != 0 or k == "axis")]
    text = ", ".join(shown)
    return f" {text}" if text and len(text) <= 40 and "array(" not in text else ""


def _legend(kinds):
    """A table of colours as one node, which needs Graphviz's HTML; it holds no text but ours."""
    rows = "".join(f'<TR><TD BGCOLOR="{KINDS[kind]["fillcolor"]}">    </TD><TD ALIGN="LEFT">{LEGEND[kind]}</TD></TR>'
                   for kind in kinds)
    return f'<<TABLE BORDER="0" CELLBORDER="1" CELLSPACING="3" COLOR="#999999">{rows}</TABLE>>'


def _text(lines):
    """Lines as a label that is only text: no escape sequences, no HTML and none of its entities."""
    import graphviz
    clean = [" ".join(str(line).split()) for line in lines]
    return graphviz.nohtml("\\n".join(line.replace("\\", "\\\\").replace("&", "&amp;") for line in clean))
