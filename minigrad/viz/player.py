"""The backward player: one page on which a reader walks the chain rule through their own graph, node by node.

    loss = functional.cross_entropy(model(x), y)
    viz.player(loss, "step.html", model)      # before loss.backward(), which frees the values
"""

from __future__ import annotations

import base64
import collections
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ..graph import Node
from ..nn import Module
from ..source import file_name
from ..tensor import Tensor
from . import page
from .anatomy import Anatomy, static_text
from .layout import Sketch, laid_out
from .rules import rule_text, substituted
from .walk import Backward, check_saved, differences, jacobian, rule_of, seed

__all__ = ["player", "run", "write"]

NUMBERS = 64  # up to so many entries a value is shown as numbers
JACOBIAN = 144  # and a local Jacobian is written out
LONG = 120  # characters of a rule with numbers put in that can still be read
LIMIT = 2000  # operations
BOXES = 12_000  # in all views together
TILES, TILE = 16, 28  # pictures of stacks of matrices: how many, and how many pixels a side
USES = 8  # a leaf that more operations use has a box beside each, or its edges would cover the graph
CHARACTER, LINE = 7.3, 17  # pixels


def player(loss: Tensor, path: str | os.PathLike[str], model: Module | None = None,
           names: Mapping[str, object] | None = None, *, gradient=None, title: str = "", language: str = "en") -> Path:
    """Write a page that plays the forward and the backward pass of ``loss``, and return its path.

    Values are named by ``names``, else as in `draw` by their own names, the model's, and the caller's variables.
    gradient: of the final result with respect to loss, needed unless it is one number. language: "en" or "ko", where
    the page begins. No ``.grad`` is touched and nothing is freed.

    Raises RuntimeError if backward has freed the values, or if one was changed in place; ValueError for a Tensor
    without a graph and for one of more than 2,000 operations; TypeError for several Tensors.
    """
    variables = sys._getframe(1).f_locals if names is None else {}
    return write([run(loss, model, names, variables, gradient=gradient)], path, title, language)


def write(runs: Sequence[dict], path: str | os.PathLike[str], title: str = "", language: str = "en") -> Path:
    """A page of several runs, as `run` gives them, to choose from."""
    return page.write(path, "player", {"runs": list(runs)}, title or "minigrad: the backward player", language)


def run(loss: Tensor, model: Module | None = None, names: Mapping[str, object] | None = None,
        variables: Mapping[str, object] | None = None, *, gradient=None,
        before: Mapping[Node, np.ndarray] | None = None,
        backward: type[Backward] = Backward, **told) -> dict:
    """One forward and backward pass as data for the page. before, backward: see `walk.Backward`. told: as it stands.

    Where ``backward`` is a faulty one, each gradient also has what it should be.
    """
    if isinstance(loss, (list, tuple)):
        raise TypeError(f"player: walks back from one Tensor, not from a {type(loss).__name__}: add them up, or write "
                        "a page for each")
    anatomy = Anatomy(loss, model, names, variables, who="player")
    if len(anatomy.inputs) > LIMIT:
        raise ValueError(f"player: {len(anatomy.inputs):,} operations are too many to walk through (at most {LIMIT:,}):"
                         " fewer examples, steps or layers teach the same")
    check_saved(anatomy.inputs, "player")
    seeds = {loss.node: seed(loss, gradient, "player")}
    told = {"key": "", "title": "", "story": "", **told}
    with np.errstate(all="ignore"):  # NaN and infinities are shown, not warned about
        walked = backward(seeds, before)
        right = None if backward is Backward and not before else Backward(seeds)
        return {**told, **_Story(anatomy, seeds, walked, right).told()}


class _Story:
    """Everything that the page tells of one run."""

    def __init__(self, anatomy, seeds, walked, right):
        self.anatomy, self.seeds, self.walked, self.right = anatomy, seeds, walked, right
        self.ids = {key: i for i, key in enumerate(anatomy.nodes)}
        self.calls = {call: i for i, call in enumerate(anatomy.calls)}
        self.uses = collections.Counter(self.ids[source] for sources in anatomy.inputs.values() for source in sources)
        self.forward = sorted(anatomy.inputs, key=lambda node: node.born)
        self.steps = {node: step for step, node in enumerate(self.forward, 1) if not anatomy.name(node)}
        self.alike = collections.Counter(node.op.name for node in self.steps)

    def told(self):
        boxes = [self._box(key) for key in self.anatomy.nodes]
        checks = differences(self.seeds, self.walked.grads)
        return {
            "boxes": boxes,
            "calls": [{"title": c.title, "kind": c.kind, "path": c.path,
                       "parent": None if c.parent is None else self.calls[c.parent]} for c in self.anatomy.calls],
            "forward": [self.ids[node] for node in self.forward],
            "backward": [self._visit(visit, checks.get(visit.node)) for visit in self.walked.visits],
            "views": self._views(boxes),
        }

    # ---- forward ----
    def _box(self, key):
        anatomy, is_node = self.anatomy, isinstance(key, Node)
        call, line = anatomy.call(key), anatomy.line(key)
        value = anatomy.value(key)
        return {
            "kind": anatomy.kind(key), "name": anatomy.name(key),
            "op": key.op.name if is_node and key.op is not None else None,
            "step": self.steps[key] if key in self.steps and self.alike[key.op.name] > 1 else None,
            "static": static_text(key.static) if is_node and key.op is not None else "",
            "inputs": [self.ids[source] for source in anatomy.inputs.get(key, ())],
            "call": None if call is None else self.calls[call],
            "line": None if line is None else {**line._asdict(), "file": file_name(line.file)},
            "value": None if value is None else told(value),
        }

    # ---- backward ----
    def _visit(self, visit, check):
        node = visit.node
        right = None if self.right is None else self.right.grads.get(node)
        differs = right is not None and not _same(right, visit.g)
        return {
            "box": self.ids[node], "g": told(visit.g), "hooked": visit.hooked,
            "grad": told(visit.g.conj()) if node.op is None and np.iscomplexobj(visit.g) else None,
            "right": told(right) if differs else None,
            "arrivals": [{"from": None if a.product is None else self.ids[a.product.node],
                          "input": None if a.product is None else a.product.index,
                          "before": a.before, "lost": a.lost, "value": told(a.value)} for a in visit.arrivals],
            "products": [self._product(visit, product) for product in visit.products],
            "check": None if check is None else {
                "values": told(check.values), "exact": told(check.exact), "along": check.direction is not None,
                "error": check.error, "kink": check.kink},
        }

    def _product(self, visit, product):
        node = product.node
        text, table = (rule_text(node.op, product.index, rule) for rule in (product.rule, None))
        values = dict(zip(text.parameters, (visit.g, *node.values))) if text else {}
        small = all(np.size(v) <= 4 for v in values.values())
        numbers = substituted(text, values) if text and small else None
        y, x = np.asarray(node.values[0]), np.asarray(node.values[product.index + 1])
        entries, is_real = y.size * x.size, "c" not in (y.dtype.kind, x.dtype.kind)  # else there may be no such matrix
        return {
            "input": product.index, "to": self.ids[product.to],
            "rule": None if text is None else {
                "text": text.text, "expression": text.is_expression, "file": text.file.name, "line": text.line,
                "source": text.is_expression or "\n" in text.text,
                "names": [name for name in text.parameters if name in values], "settings": _settings(node.static)},
            "numbers": numbers if numbers and len(numbers) <= LONG else None,
            "raw": told(product.raw) if product.summed else None, "summed": list(product.summed),
            "sent": told(product.sent),
            "departs": table.text if table and self.right and not self._as_in_the_table(visit, product) else None,
            "misfit": np.shape(product.sent) != x.shape,
            "jacobian": {"entries": entries, "bytes": entries * y.itemsize, "rows": y.size, "columns": x.size,
                         "values": told(jacobian(node, product.index), JACOBIAN) if 0 < entries <= JACOBIAN else None}
            if is_real else None,
        }

    @staticmethod
    def _as_in_the_table(visit, product):
        node = product.node
        return _same(np.asarray(rule_of(node, product.index)(visit.g, *node.values, **node.static)), product.raw)

    # ---- where the boxes stand ----
    def _views(self, boxes):
        """Everything open, everything closed to each depth, and each module opened by itself."""
        calls = self.anatomy.calls
        closed = [frozenset(c for c in calls if c.depth < depth) for depth in range(max((c.depth for c in calls),
                                                                                       default=-1) + 2)]
        opened = list(dict.fromkeys([*reversed(closed), *(frozenset(c.around) for c in calls)]))
        sketches, kept, total = [], [], 0
        for open_ in opened:
            sketch = self._sketch(boxes, open_)
            total += len(sketch.boxes)
            if kept and total > BOXES:
                break
            sketches.append(sketch)
            kept.append(open_)
        views = []
        for open_, sketch, laid in zip(kept, sketches, laid_out(sketches)):
            at = {box: n for n, box in enumerate(laid.boxes)}
            views.append({
                "open": sorted(self.calls[c] for c in open_), "width": laid.width, "height": laid.height,
                "boxes": [[kind, i, *(round(v, 1) for v in place)] for (kind, i, _), place in laid.boxes.items()],
                "edges": [[at[a], at[b], path] for (a, b), path in zip(sketch.edges, laid.edges)],
                "frames": [[i, *(round(v, 1) for v in place)] for i, place in laid.frames.items()]})
        return views

    def _sketch(self, boxes, open_):
        """A box stands for itself, or for the outermost closed module around it; a leaf of many uses beside each."""
        stands, homes, edges, replaced = {}, {}, {}, set()
        for key, i in self.ids.items():
            call = self.anatomy.call(key)
            shut = next((c for c in (call.around if call else ()) if c not in open_), None)
            stands[i] = ("box", i, None) if shut is None else ("call", self.calls[shut], None)
            homes[stands[i]] = call if shut is None else shut.parent
        for i, box in enumerate(boxes):
            for source in box["inputs"]:
                a, b = stands[source], stands[i]
                if self.uses[source] > USES and not boxes[source]["inputs"] and a[0] == "box" and b[0] == "box":
                    replaced.add(a)
                    a = (*a[:2], i)
                    homes[a] = homes[b]
                if a != b:
                    edges[a, b] = None
        for box in replaced - {box for edge in edges for box in edge}:
            del homes[box]
        sizes = {box: _size([self.anatomy.calls[box[1]].title, ""], True) if box[0] == "call"
                 else _size(label(boxes[box[1]]), boxes[box[1]]["kind"] != "constant") for box in homes}
        frames: dict = {}
        for box, home in homes.items():
            for c in home.around if home else ():
                frames.setdefault(self.calls[c], ([], None if c.parent is None else self.calls[c.parent]))
            if home is not None:
                frames[self.calls[home]][0].append(box)
        return Sketch(sizes, list(edges), dict(sorted(frames.items())))


def label(box: dict) -> list[str]:
    """The two lines of a box on the page: what it is, and its value or shape."""
    name, op = box["name"], box["op"]
    op = f"{op}{box['step']}" if box["step"] else op  # add₇: one of several without a name
    head = f"{name} = {op}" if name and op else name or op or ("constant" if box["kind"] == "constant" else "leaf")
    value = box["value"]
    if value is None:
        return [head, ""]
    single = value.get("numbers") is not None and not value["shape"]
    return [head, f"{value['numbers']:.4g}" if single and isinstance(value["numbers"], float)
            else str(value["numbers"]) if single
            else f"({value['shape'][0]},)" if len(value["shape"]) == 1 else "×".join(map(str, value["shape"])) or "1"]


def _size(lines, has_gradient):
    """(width, height) in pixels of a box; one with a gradient has a third line for it."""
    wide = lambda text: sum(1 if ord(c) < 0x1100 or 0x2000 <= ord(c) < 0x2E80 else 2 for c in text)
    return (min(260.0, max(104.0 if has_gradient else 64.0, CHARACTER * max(map(wide, lines)) + 20)),
            (3 if has_gradient else 2) * LINE + 10.0)


def _settings(static):
    """The static arguments, as a rule's reader wants them."""
    write = lambda v: " ".join(np.array2string(v, separator=", ").split()) if isinstance(v, np.ndarray) else str(v)
    return {name: text if len(text := write(value)) <= 60 else text[:59] + "…" for name, value in static.items()}


def _same(a, b):
    return np.shape(a) == np.shape(b) and np.allclose(a, b, 1e-6, 1e-9, equal_nan=True)


# ---- values ----
def told(value, numbers: int = NUMBERS) -> dict:
    """A value as the page shows it: its numbers while they are few, else statistics and a picture."""
    array = np.asarray(value)
    found = {"shape": list(array.shape), "dtype": array.dtype.name}
    if array.dtype.kind == "c":
        found["note"], found["norm"] = "complex", np.linalg.norm(array.ravel())
        if array.size <= numbers:
            plain = array.ravel() + 0  # no -0
            found["numbers"] = np.array([str(z) for z in plain], object).reshape(array.shape).tolist()
            return found
        array = np.abs(array)
    if array.dtype.kind == "b":
        array = array.astype(np.int8)
    if array.size <= numbers and array.dtype.kind in "iuf":
        found["numbers"] = array.tolist()
        return found
    if array.dtype.kind not in "iuf" or not array.size:
        return found
    finite = array[np.isfinite(array)].astype(np.float64)
    found["statistics"] = {
        "min": finite.min(), "max": finite.max(), "mean": finite.mean(), "std": finite.std(),
        "norm": np.linalg.norm(finite), "zeros": int((array == 0).sum()), "size": array.size,
        "nan": int(np.isnan(array).sum()), "inf": int(np.isinf(array).sum())} if finite.size else {
        "size": array.size, "nan": int(np.isnan(array).sum()), "inf": int(np.isinf(array).sum())}
    found["picture"] = _picture(array)
    return found


def _picture(array):
    """A matrix of bytes: 128 is zero, 1 and 255 the largest size of either sign, 0 no number; stacks side by side."""
    array = np.where(np.isfinite(array), array, np.nan).astype(np.float64)
    if array.ndim < 2:
        side = int(np.ceil(np.sqrt(array.size))) if array.size > 64 else array.size
        array = np.concatenate([array.ravel(), np.full(-array.size % side, np.nan)]).reshape(-1, side)
    stack = array.reshape(-1, *array.shape[-2:]) if array.ndim > 2 else array[None]
    size = TILE if len(stack) > 1 else 2 * TILE
    tiles = [_shrunk(tile, size) for tile in stack[:TILES]]
    rows, columns = tiles[0].shape
    across = min(len(tiles), 4 if len(tiles) > 4 else len(tiles))
    down = -(-len(tiles) // across)
    whole = np.full((down * (rows + 1) - 1, across * (columns + 1) - 1), np.nan)
    for i, tile in enumerate(tiles):
        y, x = (i // across) * (rows + 1), (i % across) * (columns + 1)
        whole[y:y + rows, x:x + columns] = tile
    known = np.abs(whole[np.isfinite(whole)])
    scale = float(known.max()) if known.size and known.max() > 0 else 1.0
    levels = np.where(np.isfinite(whole), np.rint(128 + 127 * np.nan_to_num(whole) / scale), 0).astype(np.uint8)
    return {"rows": whole.shape[0], "columns": whole.shape[1], "scale": scale, "tiles": len(tiles),
            "of": len(stack), "bytes": base64.b64encode(levels.tobytes()).decode()}


def _shrunk(matrix, size):
    """Means of blocks, so that neither side is longer than size."""
    for axis in (0, 1):
        n = matrix.shape[axis]
        if n > size:
            edges = np.linspace(0, n, size + 1).astype(int)[:-1]
            weight = np.diff([*edges, n])
            summed = np.add.reduceat(matrix, edges, axis=axis)
            matrix = summed / (weight[:, None] if axis == 0 else weight)
    return matrix
