"""Where boxes stand without Graphviz: layers from the inputs down, nothing on top of anything, edges past the boxes."""

from __future__ import annotations

import re
import subprocess

import pytest

from minigrad.viz import layout
from minigrad.viz.layout import Sketch, laid_out

SIZE = (100.0, 40.0)


@pytest.fixture
def no_graphviz(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(layout, "SCRIPT", "import there_is_no_pygraphviz")


def sketch(edges):
    return Sketch({box: SIZE for box in sorted({box for edge in edges for box in edge})}, edges)


def overlap(a, b):
    return a[0] < b[0] + b[2] and b[0] < a[0] + a[2] and a[1] < b[1] + b[3] and b[1] < a[1] + a[3]


def points(path, n=20):
    """Points of a path of M, C and L."""
    at = None
    for kind, numbers in re.findall(r"([MCL])([^MCL]*)", path):
        v = [float(x) for x in numbers.split()]
        ends = [(v[i], v[i + 1]) for i in range(0, len(v), 2)]
        p = [at or ends[0], *ends] if kind == "C" else [at or ends[0]] * 2 + ends * 2
        for k in range(n + 1):
            t = k / n
            yield tuple((1 - t) ** 3 * p[0][i] + 3 * t * (1 - t) ** 2 * p[1][i] + 3 * t * t * (1 - t) * p[2][i]
                        + t ** 3 * p[3][i] for i in (0, 1))
        at = ends[-1]


LADDER = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (0, 5), (1, 5), (0, 3)]
WIDE = [*((i, 6) for i in range(6)), (6, 7), (0, 7), (5, 7), (7, 8), (3, 8)]


@pytest.mark.parametrize("edges", [LADDER, WIDE, [(0, 1), (0, 1)]])
def test_layers(no_graphviz, edges):
    found, = laid_out([sketch(edges)])
    boxes = found.boxes
    assert len(found.edges) == len(edges)
    assert all(boxes[a][1] + SIZE[1] < boxes[b][1] for a, b in edges)
    assert not any(overlap(boxes[a], boxes[b]) for a in boxes for b in boxes if a < b)
    assert all(0 <= x and x + w <= found.width and 0 <= y and y + h <= found.height for x, y, w, h in boxes.values())
    for (a, b), path in zip(edges, found.edges):
        way = [*points(path)]
        assert way[0] == pytest.approx((boxes[a][0] + 50, boxes[a][1] + 40), abs=0.1)
        assert way[-1] == pytest.approx((boxes[b][0] + 50, boxes[b][1]), abs=0.1)
        assert not [box for box in boxes if box not in (a, b) for x, y in way if overlap((x, y, 0, 0), boxes[box])]


def test_an_input_that_comes_late_stands_beside_what_it_is_used_with(no_graphviz):
    found, = laid_out([sketch([(i, i + 1) for i in range(8)] + [(9, 8)] + [(10 + i, 1) for i in range(5)])])
    assert found.boxes[9][1] == found.boxes[7][1] and abs(found.boxes[9][0] - found.boxes[7][0]) < 2 * SIZE[0]


def test_what_is_empty(no_graphviz):
    assert laid_out([]) == [] and laid_out([Sketch({}, [])])[0].boxes == {}
    assert laid_out([Sketch({"<b>": SIZE, None: SIZE}, [])])[0].boxes.keys() == {"<b>", None}


def test_patience_ends(no_graphviz, monkeypatch):
    def slow(*args, timeout, **kwargs):
        raise subprocess.TimeoutExpired("dot", timeout)
    monkeypatch.setattr(layout.subprocess, "run", slow)
    assert len(laid_out([sketch(LADDER)])[0].boxes) == 6


def test_frames_are_around_what_is_in_them(no_graphviz):
    boxes = {i: SIZE for i in range(5)}
    found, = laid_out([Sketch(boxes, [(i, i + 1) for i in range(4)], {"a": ([1], None), "b": ([2, 3], "a")})])

    def holds(outer, inner):
        (x, y, w, h), (u, v, s, t) = outer, inner
        return x < u and y < v and u + s < x + w and v + t < y + h
    assert list(found.frames) == ["a", "b"] and holds(found.frames["a"], found.frames["b"])
    assert [holds(found.frames["b"], found.boxes[i]) for i in boxes] == [False, False, True, True, False]
    assert [holds(found.frames["a"], found.boxes[i]) for i in boxes] == [False, True, True, True, False]
