"""A forward and a backward pass as a table for the terminal: ``print(viz.explain(loss, model))``, before backward."""

from __future__ import annotations

import html
import shutil
import sys
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ..graph import Each, Node
from ..nn import Module
from ..tensor import Tensor
from .anatomy import Anatomy, static_text
from .page import LANGUAGES
from .rules import number, rule_text, substituted
from .walk import TOLERANCE, Backward, check_saved, differences, seed

__all__ = ["Explanation", "Row", "explain"]

SMALL = 4  # up to so many entries, numbers are shown
LONGEST = 80  # a longer expression with numbers in it explains nothing
WIDEST, NARROWEST = 100, 60
TEXTS = {
    "en": {
        "forward": "FORWARD: {n} operations; #n is the value of step n",
        "backward": "BACKWARD: g = d({result})/d(value); beside it central differences",
        "leaves": "LEAVES: what arrives at .grad",
        "step": "step", "value": "value", "operation": "operation", "shape": "shape", "numbers": "numbers",
        "line": "line", "leaf": "leaf", "differences": "differences", "error": "error", "seed": "given",
        "had": "before", "to": "to", "summed": "summed over axis {axes}", "sum": "sum of {n}",
        "left_out": "... {n} left out; steps=None shows them ...", "from": "from {places}",
        "hook": "a hook made this of {g}", "ops": "{n} operations", "op": "1 operation", "late": "lost",
        "should": "it should be {g}", "kink": "kink", "wrong": "wrong",
        "along": "{d} along u", "verdict_ok": "Central differences agree with every gradient.",
        "verdict_some": "Central differences agree with the {n} of {all} gradients that they were taken of.",
        "verdict_none": "No central differences: the values are complex or not finite, or come out otherwise when they "
                        "are computed again in float64 (an operation that draws numbers, or large rounding errors).",
        "verdict_wrong": "Central differences do not agree with the gradient of: {names}.",
        "kinks": "At a kink (of relu, abs, max ...) the differences to the left and to the right do not agree.",
        "u": "u: a random direction of length 1, along which a large value is moved as a whole.",
        "hooks": "A hook changes gradients on purpose: central differences know nothing of it.",
        "history": "Central differences are of this loss alone: what .grad held before is not in them.",
        "conj": "Of a complex value z, g is d/d(real z) - i d/d(imag z); .grad holds its conjugate.",
    },
    "ko": {
        "forward": "순전파: 연산 {n}개; #n은 n단계의 값",
        "backward": "역전파: g = d({result})/d(값); 옆은 중앙 차분",
        "leaves": "잎 노드: .grad에 더해지는 값",
        "step": "단계", "value": "값", "operation": "연산", "shape": "형상", "numbers": "수치", "line": "소스 줄",
        "leaf": "잎 노드", "differences": "중앙 차분", "error": "오차", "seed": "주어짐", "had": "이전 값",
        "to": "받는 곳", "summed": "축 {axes} 방향으로 합산", "sum": "{n}개의 합",
        "left_out": "... {n}개 생략; steps=None이면 모두 표시 ...", "from": "보낸 곳: {places}",
        "hook": "훅이 {g}에서 바꾼 값", "ops": "연산 {n}개", "op": "연산 1개", "late": "유실",
        "should": "올바른 값은 {g}", "kink": "꺾임", "wrong": "틀림",
        "along": "u 방향 {d}", "verdict_ok": "모든 기울기가 중앙 차분과 일치합니다.",
        "verdict_some": "중앙 차분을 구한 기울기 {n}개(전체 {all}개)가 모두 중앙 차분과 일치합니다.",
        "verdict_none": "중앙 차분 없음: 값이 복소수이거나 유한하지 않습니다. 또는 float64로 다시 계산하면 다른 값이 "
                        "됩니다(난수를 뽑는 연산이나 큰 반올림 오차).",
        "verdict_wrong": "중앙 차분과 일치하지 않는 기울기: {names}.",
        "kinks": "꺾인 점(relu, abs, max 등)에서는 좌우의 차분이 서로 다릅니다.",
        "u": "u: 길이 1인 무작위 방향. 큰 값은 이 방향으로 통째로 움직입니다.",
        "hooks": "훅은 기울기를 일부러 바꿉니다. 중앙 차분은 이를 알지 못합니다.",
        "history": "중앙 차분은 이번 손실만의 것입니다. 이전에 .grad에 있던 값은 포함하지 않습니다.",
        "conj": "복소수 z의 g는 d/d(실수부) - i d/d(허수부)이고, .grad에는 그 켤레가 들어갑니다.",
    },
}


@dataclass
class Row:
    """A line of a table, and lines below it; heading: of the module that it begins, above it."""

    cells: tuple[str, ...]
    lines: list[str] = field(default_factory=list)
    heading: str = ""


@dataclass(repr=False)
class Explanation:
    """What `explain` found; ``str()`` of it is as wide as the terminal, from 60 to 100 columns, else 80.

    forward, backward, leaves: the rows. gradients: {name of a leaf: what arrives at its .grad}. errors: {value: the
    relative error of its gradient against central differences}. wrong: where that is too large, and not for a kink.
    """

    forward: list[Row]
    backward: list[Row]
    leaves: list[Row]
    gradients: dict[str, np.ndarray]
    errors: dict[str, float]
    wrong: list[str]
    notes: list[str]
    result: str
    operations: int
    language: str = "en"
    steps: int | None = 20

    def __str__(self) -> str:
        return self.text()

    __repr__ = __str__

    def _repr_html_(self):
        return f'<pre style="line-height: 1.3">{html.escape(self.text(WIDEST))}</pre>'

    def text(self, width: int | None = None) -> str:
        """The table in so many columns; None: in as many as the terminal has."""
        width = max(NARROWEST, min(WIDEST, shutil.get_terminal_size((80, 24)).columns) if width is None else width)
        say = TEXTS[self.language]
        title = {"n": self.operations, "result": self.result}
        parts = []
        for section, heads, rows in (
                ("forward", ("step", "value", "operation", "shape", "numbers", "line"), self.forward),
                ("backward", ("step", "value", "operation", "g", "differences", "error"), self.backward),
                ("leaves", ("leaf", "shape", "g", "differences", "error"), self.leaves)):
            parts += [*_folded(say[section].format(**title), width), "=" * width,
                      *_table([say.get(h, h) for h in heads], rows, width, self.steps, say["left_out"],
                              section != "leaves"), ""]
        for note in self.notes:
            parts += _folded(note, width)
        return "\n".join(line.rstrip() for line in parts).rstrip()


def explain(loss: Tensor, model: Module | None = None, names: Mapping[str, object] | None = None, *, gradient=None,
            depth: int | None = None, steps: int | None = 20, check: bool = True, language: str = "en",
            before: Mapping[Node, np.ndarray] | None = None, backward: type[Backward] = Backward) -> Explanation:
    """The forward and the backward pass of ``loss``, step by step, with every product of the chain rule in numbers.

    Forward: what was computed from what, in which line. Backward: for each operation the gradient g that arrived, as a
    sum where its value is used more than once, what its rules make of it for each input, and beside g what central
    differences say (check=False: nothing). Values are named as in `draw`; large ones are told by their norm.

    gradient: of the final result with respect to loss, needed unless it is one number. depth: calls of modules inside
    so many others are one step (0: each outermost call). steps: of longer passes only the ends are shown (None: all).
    language: "en" or "ko". before, backward: see `walk.Backward`. No ``.grad`` is touched and nothing is freed.

    Raises RuntimeError if backward has freed the values, or if one was changed in place; ValueError for a Tensor
    without a graph and for settings that do not exist.
    """
    if language not in LANGUAGES:
        raise ValueError(f"explain: language is one of {', '.join(LANGUAGES)}, not {language!r}")
    if steps is not None and (not isinstance(steps, (int, np.integer)) or steps < 2):
        raise ValueError(f"explain: steps is at least 2, or None for all, not {steps!r}")
    if depth is not None and (not isinstance(depth, (int, np.integer)) or depth < 0):
        raise ValueError(f"explain: depth is 0 or more, or None for all, not {depth!r}")
    if not isinstance(loss, Tensor):
        raise TypeError(f"explain: a Tensor is explained, not {type(loss).__name__}")
    variables = sys._getframe(1).f_locals if names is None else {}
    anatomy = Anatomy(loss, model, names, variables, who="explain")
    check_saved(anatomy.inputs, "explain")
    seeds = {loss.node: seed(loss, gradient, "explain")}
    walk = backward(seeds, before)
    right = None if backward is Backward and not before else Backward(seeds)
    checks = differences(seeds, walk.grads) if check else None
    return _Teller(anatomy, walk, right, checks, depth, TEXTS[language]).told(language, steps)


class _Teller:
    """The rows of an `Explanation`."""

    def __init__(self, anatomy, walk, right, checks, depth, say):
        self.anatomy, self.walk, self.right, self.checks, self.say = anatomy, walk, right, checks, say
        self.depth = depth
        self.order = sorted(anatomy.inputs, key=lambda node: node.born)
        self.steps = {node: i for i, node in enumerate(self.order, 1)}
        leaves = [key for key in anatomy.nodes if isinstance(key, Node) and key.op is None and key.requires_grad]
        self.unnamed = {key: f"leaf{i}" for i, key in enumerate((k for k in leaves if not anatomy.name(k)), 1)}

    def told(self, language, steps):
        visits = [v for v in self.walk.visits if v.node.op is not None]
        ends = [v for v in self.walk.visits if v.node.op is None]
        place = {key: i for i, key in enumerate(self.anatomy.nodes)}
        ends.sort(key=lambda v: place.get(v.node, len(place)))
        wrong = [self.name(v.node) for v in self.walk.visits if self.verdict(v.node) == "wrong"]
        return Explanation(
            self.forward(), self.backward(visits), [self.leaf(v) for v in ends],
            {self.name(v.node): np.asarray(v.g).conj() for v in ends},
            {self.name(v.node): check.error for v in self.walk.visits if (check := self.check(v.node))},
            wrong, self.notes(wrong), self.name(self.anatomy.roots[0]), len(self.order), language, steps)

    def notes(self, wrong):
        say, checks, notes = self.say, (self.checks or {}).values(), []
        if self.checks is not None:
            some = "ok" if len(checks) == len(self.walk.visits) else "some"
            verdict = "none" if not checks else "wrong" if wrong else some
            notes = [say[f"verdict_{verdict}"].format(names=", ".join(wrong), n=len(checks), all=len(self.walk.visits))]
        notes += [say["kinks"]] * any(check.kink for check in checks)
        notes += [say["u"]] * any(check.direction is not None for check in checks)
        notes += [say["hooks"]] * any(v.hooked for v in self.walk.visits)
        notes += [say["history"]] * any(a.before for v in self.walk.visits for a in v.arrivals)
        notes += [say["conj"]] * any(np.asarray(v.g).dtype.kind == "c" for v in self.walk.visits)
        return notes

    # ---- names ----
    def name(self, key):
        found = self.anatomy.name(key) or self.unnamed.get(key)
        if found:
            return _clean(found)
        if key in self.steps:
            return f"#{self.steps[key]}"
        value = self.anatomy.value(key)
        if value is not None and np.ndim(value) == 0:
            return number(value)
        return "const" if value is None else f"const{_shape(value)}"

    def operation(self, node):
        static = static_text(node.static)
        inputs = [self.name(key) for key in self.anatomy.inputs[node]]
        return f"{node.op.name}({', '.join([*inputs, static] if static else inputs)})"

    def closed(self, key):
        """The call that stands for the box, if it is closed."""
        call = self.anatomy.call(key)
        around = call.around if call is not None and self.depth is not None else ()
        return around[self.depth] if len(around) > (self.depth or 0) else None

    # ---- forward ----
    def forward(self):
        rows, shown = [], None
        for nodes in _groups(self.order, self.closed):
            node, shut = nodes[-1], self.closed(nodes[0])
            value = self.anatomy.value(node)
            line = self.anatomy.line(node)
            place = line.place if line else ""
            call = shut.parent if shut else self.anatomy.call(node)
            heading = f"[{_clean(call.title)}]" if call is not None and call is not shown else ""
            shown = call
            what = self.operation(node) if shut is None else self.module(shut, nodes)
            rows.append(Row((self.span(nodes), self.name(node), what, _shape(value), _summary(value, False), place), [],
                            heading))
        return rows

    def module(self, call, nodes):
        return f"{_clean(call.title)}, {self.say['ops' if len(nodes) > 1 else 'op'].format(n=len(nodes))}"

    def span(self, nodes):
        first, last = self.steps[nodes[0]], self.steps[nodes[-1]]
        return str(first) if first == last else f"{first}-{last}"

    # ---- backward ----
    def backward(self, visits):
        rows = []
        for group in _groups(visits, lambda visit: self.closed(visit.node)):
            first, shut = group[0], self.closed(group[0].node)
            nodes = [v.node for v in group]
            what = first.node.op.name if shut is None else self.module(shut, nodes)
            lines = self.arrived(first)
            for visit in group:
                lines += [self.product(visit, p, shut) for p in visit.products
                          if shut is None or self.closed(p.to) is not shut]
            rows.append(Row((self.span(nodes), self.name(first.node), what, *self.gradient(first)), lines))
        return rows

    def leaf(self, visit):
        cells = self.gradient(visit, False)
        return Row((self.name(visit.node), _shaped(visit.node.shape), *cells), self.arrived(visit))

    def gradient(self, visit, shape=True):
        """The cells of g, of the differences and of their relative error."""
        check = self.check(visit.node)
        if check is None:
            return _summary(visit.g, shape), "", ""
        verdict = self.verdict(visit.node)
        found = _summary(check.values, shape) if check.direction is None else self.say["along"].format(
            d=number(check.values[0]))
        error = f"{check.error:.2g}" if check.error >= 0.01 else f"{check.error:.0e}".replace("e-0", "e-")
        error += f" {self.say.get(verdict, '')}".rstrip()
        return _summary(visit.g, shape), found, error

    def check(self, node):
        return self.checks.get(node) if self.checks else None

    def verdict(self, node):
        check = self.check(node)
        if check is None:
            return "none"
        return "kink" if check.kink else "ok" if check.error <= TOLERANCE else "wrong"

    def arrived(self, visit):
        """How g came about, where it is not just the one message."""
        say, lines = self.say, []
        if len(visit.arrivals) > 1:
            kept = [a for a in visit.arrivals if not a.lost]
            total = visit.g if not visit.hooked else sum(a.value for a in kept[1:]) + kept[0].value
            places = ", ".join(map(self.sender, visit.arrivals))
            small = all(np.size(a.value) <= SMALL for a in kept)
            summands = " + ".join(_bracketed(_summary(a.value)) for a in kept)
            left = summands if small else say["sum"].format(n=len(kept))
            lines.append(f"g = {left} = {_summary(total)}, " * (len(kept) > 1) + say["from"].format(places=places))
        if visit.hooked:
            before = sum(a.value for a in visit.arrivals if not a.before and not a.lost)
            lines.append("g: " + say["hook"].format(g=_summary(before)))
        right = self.right and self.right.grads.get(visit.node)
        if right is not None and not _same(right, visit.g):
            lines.append(say["should"].format(g=_summary(right)))
        return lines

    def sender(self, arrival):
        product, say = arrival.product, self.say
        name = self.name(product.node) if product else say["had" if arrival.before else "seed"]
        return f"{name} ({say['late']}: {_summary(arrival.value)})" if arrival.lost else name

    def product(self, visit, product, shut):
        """One message: the rule, with numbers, what it gives, and without what broadcasting had added."""
        node, parts = product.node, []
        if shut is None:
            text = rule_text(node.op, product.index, product.rule)
            values = {} if type(node.op.rules) is Each else dict(zip(text.parameters, (visit.g, *node.values)))
            small = all(np.size(v) <= SMALL for v in values.values())
            parts.append(text.text if text.is_expression else f"{text.text.split('(')[0].removeprefix('def ')}(...), "
                         f"{text.file.name}:{text.line}")
            numbers = substituted(text, values) if small and values else None
            parts.append(numbers if numbers and len(numbers) <= LONGEST else None)
        raw, sent = _summary(product.raw), _summary(product.sent)
        if product.summed:
            axes = ", ".join(map(str, product.summed))
            parts += [raw, f"{sent}  ({self.say['summed'].format(axes=axes)})"]
        else:
            parts.append(sent)
        parts = [p for i, p in enumerate(parts) if p and (not i or p != parts[i - 1])]
        return f"{self.say['to']} {self.name(product.to)}: {' = '.join(parts)}"


def _groups(items, key):
    """Runs of items of one closed call; what is in none stands alone."""
    groups, last = [], None
    for item in items:
        call = key(item)
        if call is not None and call is last:
            groups[-1].append(item)
        else:
            groups.append([item])
        last = call
    return groups


def _same(a, b):
    return np.shape(a) == np.shape(b) and np.allclose(a, b, 1e-6, 1e-9, equal_nan=True)


# ---- values ----
def _summary(value, shape=True):
    """The numbers of a small value; of a large one the shape, unless that stands beside, and size."""
    if value is None:
        return ""
    array = np.asarray(value)
    if array.size <= SMALL:
        return number(array)
    if array.dtype.kind == "b":
        return f"{int(array.sum()):,} of {array.size:,} true"
    bad = array.size - int(np.isfinite(array).sum())
    norm = np.linalg.norm(array[np.isfinite(array)].astype(np.complex128 if array.dtype.kind == "c" else np.float64))
    told = f"norm {norm:.4g}" + f", {bad} not finite" * bool(bad)
    if not shape and array.dtype.kind in "iuf" and bad < array.size:
        told = f"{np.nanmin(array):.4g} .. {np.nanmax(array):.4g}, {told}"
    return f"{_shape(array)} {told}" if shape else told


def _shape(value):
    return "" if value is None else _shaped(np.shape(value))


def _shaped(shape):
    return str(tuple(map(int, shape))).replace(",)", ")")


def _bracketed(text):
    return f"({text})" if text.startswith("-") else text


# ---- tables ----
def _clean(text):
    return " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())


def _wide(text):
    """How many columns of a terminal a text takes: Korean letters take two."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _folded(text, width, indent=""):
    """Lines of at most so many columns, broken at spaces where there are some; those after the first are indented."""
    lines, line = [], ""
    for word in text.split(" "):
        if line.strip() and _wide(line) + 1 + _wide(word) > width:
            lines, line = [*lines, line], indent + word
        else:
            line = f"{line} {word}" if line or not word else word
        while _wide(line) > width:
            cut = next(i for i in range(len(line), 0, -1) if _wide(line[:i]) <= width)
            lines, line = [*lines, line[:cut]], indent + line[cut:]
    return [*lines, line]


def _padded(text, width, right=False):
    space = " " * (width - _wide(text))
    return space + text if right else text + space


def _widths(table, width):
    """Columns as wide as they want to be; if that is too wide, the widest give way."""
    widths = [max(map(_wide, column)) for column in zip(*table)]
    while sum(widths) + 2 * (len(widths) - 1) > width:
        widest = max(range(len(widths)), key=widths.__getitem__)
        widths[widest] -= 1
    return widths


def _table(heads, rows, width, steps, left_out, numbered):
    keep = len(rows) if steps is None else min(steps, len(rows))
    first, last = (rows, []) if keep == len(rows) else (rows[:-(-keep // 2)], rows[len(rows) - keep // 2:])
    used = [i for i, _ in enumerate(heads) if any(row.cells[i] for row in rows)] or [0]
    heads = [heads[i] for i in used]
    widths = _widths([heads, *([row.cells[i] for i in used] for row in [*first, *last])], width)
    lines = [*_cells(heads, widths, False), "-" * width]
    for i, row in enumerate([*first, *last]):
        if i == len(first) and keep < len(rows):
            lines.append(left_out.format(n=len(rows) - keep).center(width).rstrip())
        lines += _folded(row.heading, width, "  ") if row.heading else []
        lines += _cells([row.cells[i] for i in used], widths, numbered)
        for line in row.lines:
            lines += ["      " + part for part in _folded(line, width - 6, "    ")]
    return lines


def _cells(cells, widths, numbered):
    """The lines of one row; numbered: the first column stands right."""
    folded = [_folded(cell, width) for cell, width in zip(cells, widths)]
    for parts in zip(*(column + [""] * (max(map(len, folded)) - len(column)) for column in folded)):
        yield "  ".join(_padded(part, w, right=numbered and not i)
                        for i, (part, w) in enumerate(zip(parts, widths)))
