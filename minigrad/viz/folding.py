"""Which boxes a picture of a graph has: one for each value, or fewer, where that would be too many to read."""

from __future__ import annotations

import functools
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..graph import Node
from ..mode import passes
from .anatomy import Anatomy, Call

__all__ = ["Box", "Plan"]

OFTEN = 4  # a module that was called more often is rather folded than collapsed; more passes are not told apart
LITTLE = 8  # boxes that say nothing about a graph that has more than the limit
FEW = 4  # leaves with the same users that are still drawn each on its own
# what is drawn as one box, from the mildest on
WHOLE, EXPRESSION, LINE, FUNCTION, RUN = range(5)
NOTES = {EXPRESSION: "what one expression recorded over and over is one box", LINE: "what one line recorded is one box",
         FUNCTION: "what one function recorded is one box", RUN: "what was recorded one after the other is one box"}


@dataclass(eq=False)
class Box:
    """What is drawn as one: keys of an `Anatomy`. calls: the calls of modules that it stands for.

    frames: what it is inside of. shapes: of the values that others use, where there are at most two.
    """

    number: int
    frames: tuple
    keys: list = field(default_factory=list)
    operations: list = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    kind: str = "run"
    is_result: bool = False
    began: int = 0
    shapes: list = field(default_factory=list)

    @property
    def kinds(self) -> Counter:
        """How many operations of each name."""
        return Counter(key.op.name for key in self.operations)

    def told_operations(self) -> str:
        """Like "multiply ×200, add ×200"."""
        most = self.kinds.most_common()
        return ", ".join(f"{name} ×{n:,}" for name, n in most[:3]) + ", …" * (len(most) > 3)


class Plan:
    """The boxes and edges of a picture with at most ``limit`` boxes, if depth is "auto" (and fold not False).

    stages: names for the roots' parts, or none. depth, fold: as for `viz.draw`. note: what was left out, in words.
    """

    def __init__(self, anatomy: Anatomy, stages: Sequence[str], depth: int | str | None, fold: bool | None, limit: int):
        self.anatomy, self.names, self.limit = anatomy, list(stages), limit
        self.roots = set(anatomy.roots)
        self.users: dict[object, list[Node]] = {}
        for node, sources in anatomy.inputs.items():
            for key in sources:
                if key not in anatomy.inputs:
                    self.users.setdefault(key, []).append(node)
        self.stage = self._find_stages() if self.names else self._find_passes()
        self.deepest = max((call.depth + 1 for call in anatomy.calls), default=0)
        self._lines: dict[int, list] = {}
        self.items, self.depth, self.level = self._choose(depth, fold)
        self.frames = self._frames()
        self.boxes, self.box_of = self._make_boxes()
        self.note = self._say(depth)

    # ---- how much is folded ----
    def _choose(self, depth, fold):
        """({key: item}, depth, level): the keys of one item are one box."""
        mildest = EXPRESSION if fold else WHOLE
        if depth != "auto":
            depth = self.deepest if depth is None else min(int(depth), self.deepest)
            return self._items(depth, mildest), depth, mildest
        found = []
        often = any(call.of > OFTEN for call in self.anatomy.calls)
        for level in range(mildest, WHOLE + 1 if fold is False else EXPRESSION + 1):
            tried, items = self._deepest(level)
            if items is not None:
                found.append((len(set(items.values())), -level, items, tried))
            if found and found[-1][3] == self.deepest:
                break
            if often and fold is None:  # calls side by side that share their weights are a hairball
                found.clear()
        if found:
            count, level, items, depth = max(found, key=lambda one: one[:2])
            if count < LITTLE and fold is None and depth < self.deepest:  # one step deeper is too much
                runs = self._items(depth + 1, RUN, self.limit)
                if runs is not None:
                    return runs, depth + 1, RUN
            return items, depth, -level
        if fold is False:
            return self._items(0, WHOLE), 0, WHOLE
        for level in (LINE, FUNCTION):
            if (items := self._items(0, level, self.limit)) is not None:
                return items, 0, level
        return self._items(0, RUN), 0, RUN

    def _deepest(self, level):
        """(the largest depth that fits into the limit, its items), or (None, None)."""
        low, high, found = 0, self.deepest, (None, None)
        while low <= high:
            tried = (low + high + 1) // 2
            items = self._items(tried, level, self.limit)
            if items is None:
                high = tried - 1
            else:
                low, found = tried + 1, (tried, items)
        return found

    def _items(self, depth, level, limit=None):
        """{key: item} at this depth and level; None once there are more than ``limit`` items."""
        anatomy, items, size, places, leaves = self.anatomy, {}, Counter(), {}, []
        kept = self.roots if len(self.roots) <= self.limit // 3 else ()
        final, limit = limit, None if level == RUN else limit  # runs are made at the end
        for key in anatomy.nodes:
            call = anatomy.call(key)
            spot = self.stage.get(key), call
            if spot not in places:
                places[spot] = self._place(*spot, depth, level)
            frames, whole = places[spot]
            if whole is not None:
                item = whole
            elif key not in anatomy.inputs:
                leaves.append((key, frames))
                continue
            elif level == WHOLE or key in kept:
                item = frames, key
            else:
                item = frames, self._spot(key, level)
            items[key] = item
            size[item] += 1
            if limit is not None and len(size) > limit:
                return None
        if level == RUN:
            self._into_runs(items)
            size = Counter(items.values())
        self._place_leaves(items, leaves, size, level)
        return items if final is None or len(set(items.values())) <= final else None

    def _place(self, stage, call, depth, level):
        """(frames, the item that stands for the whole call, if its frame is not open)."""
        around = call.around if call is not None else ()
        frames = (("stage", stage),) * (stage is not None) + tuple(_mark(inner, level) for inner in around[:depth])
        if len(around) <= depth:
            return frames, None
        return frames, (frames, ("call", _mark(around[depth], level)))

    def _spot(self, node, level):
        """What tells nodes apart that are not drawn as one."""
        code, offset = node.where or (None, 0)
        if level == EXPRESSION:
            return "expression", id(code), offset, node.op.name, self.place_in_call.get(node, 0)
        if level == LINE:
            return "line", id(code), self._line_number(code, offset)
        return "function", id(code)

    @functools.cached_property
    def place_in_call(self) -> dict[Node, int]:
        """The how manieth application of an op inside a call of a module, from its end, where these are few.

        What a module records is all told by the one line that called it.
        """
        place, count, spots = {}, Counter(), {}
        for node in sorted(self.anatomy.inputs, key=lambda node: -node.born):
            call = self.anatomy.call(node)
            if call is not None:
                spots[node] = spot = call, node.op.name, node.where and (id(node.where[0]), node.where[1])
                place[node] = count[spot]
                count[spot] += 1
        return {node: i for node, i in place.items() if count[spots[node]] <= OFTEN + FEW}

    def spot(self, node) -> tuple:
        """(file, line) of a node, to sort by: quicker than to ask for the line."""
        code, offset = node.where
        return code.co_filename, self._line_number(code, offset)

    def _line_number(self, code, offset):
        if code is None:
            return 0
        if id(code) not in self._lines:
            self._lines[id(code)] = [(first, number or 0) for first, _, number in code.co_lines()]
        return self._lines[id(code)][bisect_right(self._lines[id(code)], (offset, np.inf)) - 1][1]

    def _into_runs(self, items):
        """Put consecutive items into at most a third of the limit."""
        first = {}
        for key, (frames, item) in items.items():
            if isinstance(key, Node) and key.op is not None:
                first[frames, item] = min(key.born, first.get((frames, item), key.born))
        kept = self.roots if len(self.roots) <= self.limit // 3 else ()
        order = {item: i for i, item in enumerate(sorted(first, key=first.get))}
        length = -(-len(order) // (self.limit // 3))
        for key, (frames, item) in list(items.items()):
            if (frames, item) in order and key not in kept:
                items[key] = frames[:1], ("run", order[frames, item] // length)

    def _place_leaves(self, items, leaves, size, level):
        """A leaf is a box, unless something folded is the only one that uses it, or many are used alike."""
        alike = {}
        for key, frames in leaves:
            item = frames, key
            if level != WHOLE and key not in self.roots:
                used = {items[node] for node in self.users.get(key, ())}
                constant = self.anatomy.kind(key) == "constant"
                only = next(iter(used)) if len(used) == 1 else None
                if only is not None and size[only] > 1 and (
                        self.anatomy.name(key) is None if constant else only[1][0] == "call"):
                    items[key] = only
                    continue
                users = frozenset(used) if level != RUN else len(used) > 1
                alike.setdefault((frames, ("leaves", constant, users)), []).append(key)
            items[key] = item
        for item, keys in alike.items():
            if len(keys) > FEW:
                items.update(dict.fromkeys(keys, item))

    def _find_passes(self):
        """{node: number of the stage}: forward, backward, what was made of the gradient, backward through that, ..."""
        begun, at = [], {}
        for one in sorted(passes):
            if not begun or one[0] > begun[-1][1]:  # one that a rule made inside of another is part of that
                begun.append(one)
        for node in self.anatomy.inputs:
            i = bisect_right(begun, (node.born, 0))
            at[node] = i, i > 0 and node.born < begun[i - 1][1]
        here = sorted({i for i, recorded_by_it in at.values() if recorded_by_it})
        if not here:
            return {}
        if len(here) > OFTEN:  # a loop that learns by gradients
            self.names = ["forward", f"backward, {len(here):,} passes"]
            return self._with_leaves({node: int(recorded_by_it) for node, (_, recorded_by_it) in at.items()})
        stage = {node: 2 * bisect_right(here, i) - recorded_by_it for node, (i, recorded_by_it) in at.items()}
        there = sorted(set(stage.values()))
        self.names = [("of the gradient" if n else "forward") if n % 2 == 0 else
                      "backward" if n == 1 else f"backward, pass {n // 2 + 1}" for n in there]
        return self._with_leaves({node: there.index(n) for node, n in stage.items()})

    def _find_stages(self):
        """{node: number of the first root that depends on it}; of leaves, those of a module, and constants of one."""
        stage = {}
        for number, root in enumerate(self.anatomy.roots):
            stack = [root]
            while stack:
                node = stack.pop()
                if node in stage or node not in self.anatomy.inputs:
                    continue
                stage[node] = number
                stack += self.anatomy.inputs[node]
        return self._with_leaves(stage)

    def _with_leaves(self, stage):
        for key, nodes in self.users.items():
            used = {stage[node] for node in nodes}
            if self.anatomy.call(key) is not None:
                stage[key] = min(used)
            elif len(used) == 1 and self.anatomy.kind(key) == "constant" and self.anatomy.name(key) is None:
                stage[key] = used.pop()
        return stage

    def _frames(self):
        """{path of a frame: the calls it stands for}."""
        frames: dict[tuple, dict[Call, None]] = {}
        spots = {(self.stage.get(key), self.anatomy.call(key)) for key in self.anatomy.nodes}
        for stage, call in sorted(spots, key=lambda spot: spot[1].since if spot[1] else 0):
            path = (("stage", stage),) * (stage is not None)
            for inner in call.around[:self.depth] if call else ():
                path = *path, _mark(inner, self.level)
                frames.setdefault(path, {})[inner] = None
        return frames

    # ---- boxes and edges ----
    def _make_boxes(self):
        anatomy, boxes, box_of = self.anatomy, {}, {}
        for key in anatomy.nodes:
            item = self.items[key]
            if item not in boxes:
                boxes[item] = Box(len(boxes), item[0])
            box_of[key] = box = boxes[item]
            box.keys.append(key)
            if key in anatomy.inputs:
                box.operations.append(key)
                box.is_result |= key in self.roots
        used = {source for node, sources in anatomy.inputs.items() for source in sources
                if box_of[source] is not box_of[node]} | self.roots
        for (_, item), box in boxes.items():
            if isinstance(item, tuple) and item[:1] == ("call",):
                box.kind, box.calls = "module", self._calls_of(box)
            elif len(box.keys) == 1:
                box.kind = anatomy.kind(box.keys[0])
            box.began = min((key.born for key in box.operations), default=0)
            shapes = {key.shape: None for key in box.operations if key in used}
            box.shapes = list(shapes) if len(shapes) <= 2 else []
        return list(boxes.values()), box_of

    def _calls_of(self, box):
        """The calls that the box stands for, those that are not open."""
        depth = len(box.frames) - (len(box.frames) > 0 and box.frames[0][0] == "stage")
        return list({self.anatomy.call(key).around[depth]: None for key in box.operations})

    def edges(self):
        """(box, box that uses it, how many times, whether it leads back, keys); uses of one value are edges each."""
        found: dict[tuple[Box, Box], list] = {}
        for source, node in self.anatomy.edges:
            a, b = self.box_of[source], self.box_of[node]
            if a is not b or self._goes_round(a, source, node):
                found.setdefault((a, b), []).append(source)
        for (a, b), keys in found.items():
            each = len(a.keys) == len(b.keys) == 1 and not a.calls and not b.calls and len(keys) <= FEW
            back = a is not b and bool(a.operations) and a.began > b.began
            for _ in keys if each else [None]:
                yield a, b, 1 if each else len(keys), back, keys

    def _goes_round(self, box, source, node):
        """Whether an edge inside a box is worth a loop: from one repetition to the next."""
        if self.level == EXPRESSION and source in self.anatomy.inputs:
            if not box.calls:
                return True
            depth = box.calls[0].depth
            return self.anatomy.call(source).around[depth] is not self.anatomy.call(node).around[depth]
        return False

    def _say(self, depth):
        shown, operations = len(self.boxes), len(self.anatomy.inputs)
        what = []
        if self.depth < self.deepest:
            what.append(f"calls of modules at depth {self.depth} are one box each")
        if self.level != WHOLE:
            what.append(NOTES[self.level])
        if not what:
            return ""
        told = f"{operations:,} operation{'s' * (operations != 1)} in {shown:,} box{'es' * (shown != 1)}: "
        return told + "; ".join(what) + (' (depth="all" shows all)' if depth == "auto" else "")


def _mark(call, level):
    """What tells a call from others: where calls are folded, its module and where it was called."""
    if level == WHOLE:
        return "call", call
    return "calls", call.of_module, call.where and (id(call.where[0]), call.where[1])
