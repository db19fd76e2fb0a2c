"""What a recorded graph consists of, for every picture of it: nodes in order, names, values, and calls of modules."""

from __future__ import annotations

import functools
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..graph import Node
from ..nn import Module
from ..source import Line, line
from ..tensor import Tensor

__all__ = ["Anatomy", "Call"]


@dataclass(eq=False, repr=False)
class Call:
    """One call of a module: what was recorded inside. number: the how manieth of ``of`` calls of this module here.

    module: None if it is gone; ``of_module`` is equal for calls of one module even then. where: as a Node's, of the
    call.
    """

    module: Module | None
    path: str
    since: int
    until: int
    of_module: int = 0
    where: tuple | None = None
    parent: Call | None = None
    number: int = 1
    of: int = 1

    @property
    def kind(self) -> str:
        """The class of the module."""
        return "module" if self.module is None else type(self.module).__name__

    @property
    def title(self) -> str:
        """What a picture calls it: path in the model, class and settings, and which call it is if one of several."""
        settings = "" if self.module is None else self.module.extra_repr()
        text = f"{self.path}: " * bool(self.path) + f"{self.kind}({settings})"
        return text if self.of == 1 else f"{text}, call {self.number} of {self.of}"

    def __repr__(self):
        return f"Call({self.title})"

    @functools.cached_property
    def outer(self) -> tuple[Call, ...]:
        """The calls it is inside of, from the outermost on."""
        return () if self.parent is None else self.parent.around

    @property
    def around(self) -> tuple[Call, ...]:
        """The calls it is inside of, and itself."""
        return (*self.outer, self)

    @property
    def depth(self) -> int:
        """How many calls it is inside of."""
        return len(self.outer)


class Anatomy:
    """The graph that computed ``roots``: what `draw`, `explain` and `player` have in common.

    A key stands for one box: a `Node`, or for a constant, which has none, something hashable of its own: an array that
    is used twice is one box; a Python number, or what backward has freed, is a box at each use.

    nodes: {key: Node or value of a constant}, inputs before what uses them. inputs: {Node: keys of its inputs}.
    calls: all calls of modules, in the order they began. Names are those of ``names`` (name -> Tensor or array), else
    the Tensors' own, else as in ``model``, else those of ``variables``, else as in the modules that were called.
    Raises ValueError for a Tensor without a graph, TypeError for what is no Tensor.
    """

    def __init__(self, roots: Tensor | Sequence[Tensor], model: Module | None = None,
                 names: Mapping[str, object] | None = None, variables: Mapping[str, object] | None = None,
                 who: str = "draw"):
        roots = list(roots) if isinstance(roots, (list, tuple)) else [roots]
        if wrong := [r for r in roots if not isinstance(r, Tensor)]:
            raise TypeError(f"{who}: a graph is drawn of Tensors, not of {type(wrong[0]).__name__}")
        if not all(t.requires_grad for t in roots) or not roots:
            raise ValueError(f"{who}: nothing was recorded behind this Tensor: it depends on nothing that requires grad"
                             + ("" if roots else ", for there is none"))
        self.roots = [t.node for t in roots]
        self._names, self._values, self._paths, self._lines = {}, {t.node: t.data for t in roots}, {}, {}
        self._owned = set()  # the parameters and buffers of modules
        for name, value in (names or {}).items():
            self._enter(name, value)
        self._given = dict(self._names)
        if model is not None:
            self._enter_model(model, "")
        variables = {} if variables is None else variables
        for name, value in list(variables.items()):
            if isinstance(value, Module) and model is None and not name.startswith("_"):
                self._enter_model(value, name)
        for name, value in list(variables.items()):
            if not name.startswith("_"):
                self._enter(name, value)
        self.nodes, self.inputs = _walk(self.roots)
        for node in self.nodes.values():
            self._see_inputs_of(node)
        self.calls = self._find_calls()
        for call in self.calls:  # a model that nobody named
            if call.parent is None and call.module is not None and id(call.module) not in self._paths:
                self._enter_model(call.module, "")
        for call in self.calls:
            call.path = self._paths.get(id(call.module), "")
        self._groups = self._find_groups()

    # ---- what is asked of it ----
    @property
    def edges(self) -> list[tuple[object, Node]]:
        """(key of an input, node that uses it), once for every use."""
        return [(source, node) for node, sources in self.inputs.items() for source in sources]

    def kind(self, key) -> str:
        """result, operation, parameter (a leaf that wants a gradient) or constant."""
        if key in self.roots:
            return "result"
        if not isinstance(key, Node) or not key.requires_grad:
            return "constant"
        return "parameter" if key.op is None else "operation"

    def name(self, key) -> str | None:
        """The name of a value, if it has one."""
        return self._given.get(key) or (key.name if isinstance(key, Node) else None) or self._names.get(key)

    def value(self, key):
        """The array or number, None if backward has freed it."""
        if key in self._values:
            return self._values[key]
        if isinstance(key, Node):
            return None if key.values is None else key.values[0]
        return self.nodes[key]

    def call(self, key) -> Call | None:
        """The innermost call of a module that the box belongs to."""
        return self._groups.get(key)

    def line(self, key) -> Line | None:
        """The user's line that recorded a node, or where a `Call` was made."""
        where = getattr(key, "where", None)
        if where is None:
            return None
        spot = id(where[0]), where[1]
        if spot not in self._lines:
            self._lines[spot] = line(where)
        return self._lines[spot]

    # ---- how it is found out ----
    def _enter(self, name, value):
        if not isinstance(value, (Tensor, np.ndarray)):
            return None
        node = value.node if isinstance(value, Tensor) else None
        array = value.data if isinstance(value, Tensor) else value
        key = ("array", id(array)) if node is None else node
        self._names.setdefault(key, name)
        self._values.setdefault(key, array)
        return key

    def _enter_model(self, model, prefix):
        for name, module in model.named_modules():
            self._paths.setdefault(id(module), f"{prefix}.{name}".strip("."))
        for name, value in (*model.named_parameters(), *model.named_buffers()):
            self._owned.add(self._enter(f"{prefix}.{name}".strip("."), value))

    def _see_inputs_of(self, node):
        """A leaf does not hold its value; what uses it does, until backward."""
        if isinstance(node, Node) and node.values is not None:
            for parent, value in zip(node.parents, node.values[1:]):
                if parent is not None:
                    self._values.setdefault(parent, value)

    def _find_calls(self):
        marks = {}  # a call that gave a tuple left one on each part, the last the latest
        for node in self.nodes.values():
            for module, since, until in node.calls if isinstance(node, Node) else ():
                if since not in marks or until > marks[since][0]:
                    marks[since] = until, module, node.where
        calls, open_, count = [], [], {}
        for since, (until, module, where) in sorted(marks.items()):
            while open_ and open_[-1].until < since:
                open_.pop()
            call = Call(module(), "", since, until, id(module), where, open_[-1] if open_ else None)
            count.setdefault(id(module), []).append(call)
            calls.append(call)
            open_.append(call)
        for same in count.values():
            for i, call in enumerate(same):
                call.number, call.of = i + 1, len(same)
        return calls

    def _find_groups(self):
        """Operations belong to the innermost call that they were born in; what they use alone, unless named, to theirs.

        What is passed in from outside has a name as a rule; a mask or a constant inside has none. A module's parameters
        are in the call around all calls that use them.
        """
        groups, users = {}, {}
        begins = [call.since for call in self.calls]
        for node, sources in self.inputs.items():
            i = bisect_left(begins, node.born)
            call = self.calls[i - 1] if i else None
            while call is not None and call.until < node.born:
                call = call.parent
            groups[node] = call
            for key in sources:
                if key not in self.inputs:
                    users.setdefault(key, []).append(node)
        for key, nodes in users.items():
            if self.name(key) is not None and key not in self._owned:
                continue
            used_in = {groups[node] for node in nodes}
            if key in self._owned:  # also used by a penalty, or by backward
                used_in.discard(None)
            around = [call.around if call else () for call in used_in]
            common = [calls[0] for calls in zip(*around) if len(set(calls)) == 1]
            groups[key] = common[-1] if common else None
        return groups


def _walk(roots):
    """{key: Node or value}, inputs before what uses them, and {node: keys of inputs}; iterative, by structure alone."""
    nodes, inputs = {}, {}
    stack = [(root, None) for root in reversed(roots)]
    while stack:
        key, value = stack.pop()
        if key in nodes:
            continue
        if key in inputs or not isinstance(key, Node) or key.op is None:
            nodes[key] = key if isinstance(key, Node) else value
            continue
        found = _inputs(key)
        inputs[key] = [source for source, _ in found]
        stack.append((key, None))
        stack += reversed([pair for pair in found if pair[0] not in nodes and pair[0] not in inputs])
    return nodes, {node: inputs[node] for node in nodes if node in inputs}


def _inputs(node):
    """[(key, value of a constant)] of a node's inputs."""
    found = []
    for i, parent in enumerate(node.parents):
        value = None if node.values is None else node.values[i + 1]
        if parent is not None:
            found.append((parent, None))
        elif isinstance(value, np.ndarray):
            found.append((("array", id(value)), value))
        else:  # a number of its own at each use, or what backward has freed
            found.append(((node, i), value))
    return found


def static_text(static: Mapping[str, object] | None, longest: int = 40) -> str:
    """The keyword arguments that a reader wants: no switches, no defaults like ddof=0, no masks, an index as [:, 0]."""
    shown = []
    for k, v in (static or {}).items():
        if k == "index":
            shown.append(_index(v))
        elif (v is not None and k != "shape" and not isinstance(v, (bool, np.ndarray))
              and (k == "axis" or v not in (0, "C", "K"))):
            shown.append(f"{k}={v}")
    text = ", ".join(shown)
    return text if len(text) <= longest and "array(" not in text else ""


def _index(index):
    """As it is written: [:, 0]."""
    def part(i):
        if isinstance(i, slice):
            ends = [("" if end is None else str(end)) for end in (i.start, i.stop, i.step)]
            return ":".join(ends[:2] + ends[2:] * (i.step is not None))
        return "..." if i is Ellipsis else str(i)
    return f"[{', '.join(map(part, index)) if isinstance(index, tuple) else part(index)}]"
