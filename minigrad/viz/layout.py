"""Where the boxes of a graph stand on a page: by Graphviz, or, where none is installed, in plain layers."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

__all__ = ["Layout", "Sketch", "laid_out"]

INCH = 72.0
PATIENCE = 60  # seconds, after which plain layers will do
GAP = 24.0  # pixels between boxes
MARGIN, TITLE = 5.0, 12.0  # of a frame, around what is in it
LANE = 4.0  # pixels for an edge beside them
SCRIPT = """import json, sys, pygraphviz
graphs = json.load(sys.stdin)
print(json.dumps([json.loads(pygraphviz.AGraph(string=g).draw(format="json", prog="dot")) for g in graphs]))"""


@dataclass
class Sketch:
    """Boxes with their sizes in pixels, edges between them, and frames: {frame: (boxes, frame around it or None)}."""

    boxes: dict[Hashable, tuple[float, float]]
    edges: list[tuple[Hashable, Hashable]]
    frames: dict[Hashable, tuple[list[Hashable], Hashable | None]] = field(default_factory=dict)


@dataclass
class Layout:
    """Boxes and frames as (left, top, width, height) in pixels; edges as SVG paths, in the sketch's order."""

    width: float
    height: float
    boxes: dict[Hashable, tuple[float, float, float, float]]
    edges: list[str]
    frames: dict[Hashable, tuple[float, float, float, float]]


def laid_out(sketches: Sequence[Sketch]) -> list[Layout]:
    """A layout for each sketch, inputs at the top."""
    texts = [_dot(sketch) for sketch in sketches]
    found = _by_graphviz(texts)
    if found is None:
        return [_layers(sketch) for sketch in sketches]
    return [_read(sketch, drawn) for sketch, drawn in zip(sketches, found)]


def _dot(sketch):
    number = {box: i for i, box in enumerate(sketch.boxes)}
    frame_number = {frame: i for i, frame in enumerate(sketch.frames)}
    inside: dict = {}
    for frame, (_, parent) in sketch.frames.items():
        inside.setdefault(parent, []).append(frame)
    quick = "nslimit=1; nslimit1=1; splines=line; " if len(sketch.edges) > 400 else "nslimit=4; nslimit1=4; "
    lines = ["digraph {", quick, "ranksep=0.5; nodesep=0.25; edge [arrowsize=0.6];",
             'node [shape=box fixedsize=true label=""];']
    stack = [("open", frame) for frame in reversed(inside.get(None, []))]
    while stack:  # frames may be nested deeper than the stack
        what, frame = stack.pop()
        if what == "close":
            lines.append("}")
            continue
        lines.append(f"subgraph cluster_{frame_number[frame]} {{ margin=10; label=\" \"; fontsize=12; labelloc=t;")
        lines += [f"n{number[box]};" for box in sketch.frames[frame][0]]
        stack += [("close", frame), *(("open", f) for f in reversed(inside.get(frame, [])))]
    for box, (width, height) in sketch.boxes.items():
        lines.append(f"n{number[box]} [width={width / INCH:.3f} height={height / INCH:.3f}];")
    lines += [f"n{number[a]} -> n{number[b]} [id=e{i}];" for i, (a, b) in enumerate(sketch.edges)]
    return "\n".join([*lines, "}"])


def _by_graphviz(texts):
    import graphviz
    try:
        return [json.loads(graphviz.Source(text).pipe(format="json")) for text in texts]
    except (graphviz.ExecutableNotFound, graphviz.CalledProcessError, ValueError):
        pass
    # in a process of its own: Graphviz inside Python writes warnings to stderr, and takes Python with it if it fails
    try:
        run = subprocess.run([sys.executable, "-c", SCRIPT], input=json.dumps(texts).encode(), capture_output=True,
                             timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        return None
    return json.loads(run.stdout) if run.returncode == 0 and run.stdout else None


def _read(sketch, drawn):
    left, bottom, right, top = map(float, drawn["bb"].split(","))
    boxes, frames, edges = {}, {}, [""] * len(sketch.edges)
    names = {f"n{i}": box for i, box in enumerate(sketch.boxes)}
    names.update({f"cluster_{i}": frame for i, frame in enumerate(sketch.frames)})
    for item in drawn.get("objects", ()):
        key = names.get(item["name"])
        if item["name"].startswith("cluster_"):
            x0, y0, x1, y1 = map(float, item["bb"].split(","))
            frames[key] = (x0 - left, top - y1, x1 - x0, y1 - y0)
        elif key is not None:
            x, y = map(float, item["pos"].split(","))
            width, height = sketch.boxes[key]
            boxes[key] = (x - left - width / 2, top - y - height / 2, width, height)
    for edge in drawn.get("edges", ()):
        points, end = [], None
        for part in edge["pos"].split():
            if part[0] == "e":
                end = tuple(map(float, part[2:].split(",")))
            elif part[0] != "s":
                points.append(tuple(map(float, part.split(","))))
        moved = [f"{x - left:.1f} {top - y:.1f}" for x, y in points]
        path = f"M{moved[0]}C{' '.join(moved[1:])}"
        edges[int(edge["id"][1:])] = path + (f"L{end[0] - left:.1f} {top - end[1]:.1f}" if end else "")
    return Layout(right - left, top - bottom, boxes, edges, frames)


def _layers(sketch):
    """Every box one layer below the lowest of its inputs, near them; edges over several layers between the boxes."""
    sources: dict = {box: [] for box in sketch.boxes}
    for a, b in sketch.edges:
        sources[b].append(a)
    users: dict = {box: [] for box in sketch.boxes}
    for a, b in sketch.edges:
        users[a].append(b)
    rank: dict = {}
    for box in sketch.boxes:  # inputs come first
        rank[box] = max((rank[a] + 1 for a in sources[box] if a in rank), default=0)
    for box in reversed(list(sketch.boxes)):  # what has no inputs stands just above its first use
        if not sources[box] and users[box]:
            rank[box] = max(0, min(rank[b] for b in users[box]) - 1)
    sizes, bends, ways = dict(sketch.boxes), {}, []
    for a, b in sketch.edges:  # past the boxes of the layers between; edges from one box go together
        way = [a]
        for r in range(rank[a] + 1, rank[b]):
            if (a, r) not in bends:
                bend = bends[a, r] = object()
                sizes[bend], rank[bend], sources[bend] = (LANE, 0.0), r, [way[-1]]
            way.append(bends[a, r])
        ways.append([*way, b])
        sources[b] = [way[-1] if source == a else source for source in sources[b]]
    layers: dict = {}
    for box in sizes:
        layers.setdefault(rank[box], []).append(box)
    boxes, y, above = {}, GAP, 0.0
    for r in sorted(layers):
        centres = {box: [boxes[a][0] + boxes[a][2] / 2 for a in sources[box] if a in boxes] or [above]
                   for box in layers[r]}
        near = {box: sum(xs) / len(xs) for box, xs in centres.items()}
        row = sorted(layers[r], key=near.__getitem__)
        x, height = GAP, max(sizes[box][1] for box in row)
        for box in row:
            width = sizes[box][0]
            x = max(x, near[box] - width / 2)
            boxes[box] = (x, y, width, sizes[box][1] if box in sketch.boxes else height)
            x += width + GAP
        y, above = y + height + 1.6 * GAP, sum(near.values()) / len(near)
    edges = []
    for way in ways:
        path, last = "", None
        for box in way:
            left, top, width, height = boxes[box]
            x = left + width / 2
            if last:
                middle = (last[1] + top) / 2
                path += f"C{last[0]:.1f} {middle:.1f} {x:.1f} {middle:.1f} {x:.1f} {top:.1f}"
            path += "" if box is way[-1] else f"{'L' if last else 'M'}{x:.1f} {top + height:.1f}"
            last = x, top + height
        edges.append(path)
    width = max((x + w for x, _, w, _ in boxes.values()), default=0) + GAP
    return Layout(width, y, {box: boxes[box] for box in sketch.boxes}, edges, _around(sketch, boxes))


def _around(sketch, boxes):
    """A frame is as large as what is in it, and may have strangers in it too."""
    frames: dict = {}
    for frame, (members, _) in reversed(sketch.frames.items()):  # those inside come later
        inside = [boxes[box] for box in members] + [at for f, at in frames.items() if sketch.frames[f][1] == frame]
        left, top = min(x for x, *_ in inside) - MARGIN, min(y for _, y, *_ in inside) - MARGIN - TITLE
        frames[frame] = (left, top, max(x + w for x, _, w, _ in inside) + MARGIN - left,
                         max(y + h for _, y, _, h in inside) + MARGIN - top)
    return dict(reversed(frames.items()))
