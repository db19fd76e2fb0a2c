"""Write docs/ops.md, the derivative table as a page: python docs/ops.py

What stands there is taken from the sources of the rules, and from the samples at which the tests check them. Where an
op was entered is seen by looking on while minigrad is imported.
"""

from __future__ import annotations

import ast
import functools
import inspect
import json
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
WIDEST = 120  # a longer expression is left to the source

TOOLS = {"composite", "keep", "zero"}  # that write rules

sites: dict = {}  # id of a key of the table -> the line of a module that entered it


def look_on(frame, event, _):
    if event == "call" and frame.f_code.co_name == "rule" and frame.f_code.co_filename.endswith("graph.py"):
        key, caller = frame.f_locals["key"], frame.f_back
        while caller.f_code.co_name != "<module>":
            caller = caller.f_back
        sites[id(key)] = Path(caller.f_code.co_filename), caller.f_lineno


sys.setprofile(look_on)
import minigrad  # noqa: E402, F401

sys.setprofile(None)
from references.coverage import ELSEWHERE  # noqa: E402
from references.operators import case  # noqa: E402
from references.ours import everything  # noqa: E402
from references.twins import spelled  # noqa: E402

from minigrad import derivatives  # noqa: E402
from minigrad.graph import Each, composites, constants, table  # noqa: E402
from minigrad.viz.rules import rule_texts  # noqa: E402

INTRODUCTION = """\
# Every op, and what it is checked with

Written by `python docs/ops.py` from the rules themselves; a test fails when it is out of date (NumPy {numpy}).

A gradient is the expression that stands in the source: `g` is the gradient with respect to the output `y`. One with a
name instead is longer: follow the link. *Samples* is at how many points the tests check an op, each at the orders 1 and
2 by central differences, on arrays and on Tensors, in float64 and in float32, and a rule also in five memory layouts;
*f32*: float32 inputs give a float32 result and gradient; *complex*: some samples are complex; *beside*: the library
whose values, gradients and second derivatives ours agree with, to nine digits ({versions}).
Besides, `tests/test_programs.py` composes the ops at random."""

with np.load(ROOT / "tests" / "references" / "operators.npz", allow_pickle=False) as file:
    contents = json.loads(str(file["contents"]))
recorded, versions = contents["cases"], contents["versions"]


@functools.cache
def parsed(path):
    text = path.read_text(encoding="utf-8")
    return text, ast.parse(text), text.splitlines()


def enclosing(path, line):
    """The statement at the top of a module that a line is in; of a decorated function or a loop, the innermost."""
    found = None
    for node in ast.walk(parsed(path)[1]):
        first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))]) if isinstance(
            node, ast.stmt) else None
        if first is not None and first <= line <= node.end_lineno and (found is None or first >= found[0]):
            last = node.body[0].lineno - 1 if getattr(node, "decorator_list", None) else node.end_lineno
            found = first, last
    return found


def texts(op):
    """For each input the gradient as it stands in the source; the name of a function of several lines, None without."""
    rules = [op.rules.rule] if type(op.rules) is Each else op.rules
    for r, text in zip(rules, rule_texts(op)):
        r = r and inspect.unwrap(getattr(r, "func", r))
        yield r and (text.text if r.__name__ == "<lambda>" else r.__name__)


def remarks(path, first, last):
    """The comments at the ends of these lines: the convention at kinks."""
    found = [line.split("  # ", 1)[1].strip() for line in parsed(path)[2][first - 1:last] if "  # " in line]
    return "; ".join(f for f in found if not f.startswith("noqa"))


def section(path, line):
    heads = [h for h in parsed(path)[2][:line] if h.startswith("# ----")]
    return heads[-1].strip("#- ") if heads else ""


def cell(text):
    return text.replace("|", "\\|")


def link(path, line):
    return f"../{path.relative_to(ROOT).as_posix()}#L{line}"


def checks(points):
    kinds = {x.dtype.kind for s in points for x in s.inputs()}
    peers = ", ".join(dict.fromkeys(recorded[name][0] for name in map(case, points) if name in recorded))
    return f"{len(points)} | {'yes' if points else ''} | {'yes' if 'c' in kinds else ''} | {peers}"


def gradient_cell(op):
    return "<br>".join("none" if t is None else f"`{cell(t)}`" if len(t) <= WIDEST else "see the source"
                       for t in texts(op))


def op_rows():
    """(path, line, section, row) of each op of the table."""
    for key, op in table.items():
        path, line = sites[id(key)]
        first, last = enclosing(path, line)
        cells = (f"[`{cell(spelled(key))}`]({link(path, first)})", gradient_cell(op),
                 cell(remarks(path, first, last)), checks(everything.get(key, [])))
        yield path, first, section(path, first), f"| {' | '.join(cells)} |"


def composite_rows():
    """(path, line, section, row) of each composite; the names of SciPy's functions stand with what they are."""
    made: dict = {}
    for key, f in composites.items():
        made.setdefault(f, []).append(key)
    for f, keys in made.items():
        names = ", ".join(f"`{spelled(k)}`" for k in keys)
        points = [s for k in [*keys, f] for s in everything.get(k, [])]
        code = getattr(inspect.unwrap(f), "__code__", None)
        if f in table or code is None:
            path, line = sites[id(f)]
            yield path, line, "", f"| {names} | is `{spelled(f)}` | | {checks(points)} |"
            continue
        path, line = Path(code.co_filename), code.co_firstlineno
        first, last = enclosing(path, line)
        remark = cell(remarks(path, first, last))
        yield path, first, "", f"| {names} | [its source]({link(path, first)}) | {remark} | {checks(points)} |"


def own_rows():
    """(path, line, section, row) of each function of ours that has no name in NumPy and is made of ops."""
    for room in filter(inspect.ismodule, vars(derivatives).values()):
        for name, f in vars(room).items():
            mine = inspect.isfunction(f) and f.__module__ == room.__name__ and not name.startswith("_")
            if mine and f not in table and f not in composites.values() and name not in TOOLS:
                path, line = Path(f.__code__.co_filename), f.__code__.co_firstlineno
                what = cell(inspect.getdoc(f).splitlines()[0]).replace("``", "`")
                yield path, line, "", f"| [`{name}`]({link(path, line)}) | {what} | {checks(everything.get(f, []))} |"


def rooms(rows):
    """The rows by module, in the order of the sources."""
    found: dict = {}
    for path, line, head, row in rows:
        found.setdefault(path.relative_to(ROOT / "minigrad").as_posix(), []).append((line, head, row))
    return found


def page():
    ops, made, own = rooms(op_rows()), rooms(composite_rows()), rooms(own_rows())
    count = lambda found, keys: sum(len(found.get(k, [])) for k in keys)
    checked = lambda keys: sum(map(len, keys.values()))
    peers = ", ".join(f"{name} {versions[name].split('+')[0]}" for name in ("torch", "jax", "mpmath"))
    out = [INTRODUCTION.format(numpy=".".join(np.__version__.split(".")[:2]), versions=peers), ""]
    names = list(dict.fromkeys([*ops, *made, *own]))
    names.sort(key=lambda n: (not n.startswith("derivatives"), n != "derivatives/basics.py", n))
    out += ["| room | ops with a rule | NumPy's and SciPy's made of ops | ours made of ops |", "|---|---:|---:|---:|"]
    out += [f"| [{n}](#{anchor(n)}) | {count(ops, [n])} | {count(made, [n])} | {count(own, [n])} |" for n in names]
    out += [f"| **together** | **{count(ops, names)}** | **{count(made, names)}** | **{count(own, names)}** |", "",
            f"The {count(made, names)} that are made of ops answer to {len(composites)} names of NumPy and SciPy; "
            f"{len(constants)} functions more are locally constant. The samples are {checked(everything)}.", ""]
    for name in names:
        out += [f"## {name}", ""]
        heads = list(dict.fromkeys(head for _, head, _ in ops.get(name, [])))
        for head in heads:
            out += [*([f"**{head[0].upper()}{head[1:]}**", ""] if head else []),
                    "| op | gradient | at kinks | samples | f32 | complex | beside |", "|---|---|---|---:|---|---|---|"]
            out += [row for _, h, row in ops[name] if h == head] + [""]
        if name in made:
            out += ["**Made of functions in the table**", "",
                    "| function | made in | remarks | samples | f32 | complex | beside |",
                    "|---|---|---|---:|---|---|---|"]
            out += [row for _, _, row in made[name]] + [""]
        if name in own:
            out += ["**Ours, made of functions in the table**", "",
                    "| function | what it is | samples | f32 | complex | beside |", "|---|---|---:|---|---|---|"]
            out += [row for _, _, row in own[name]] + [""]
    out += ["## Locally constant", "", "Their results are plain arrays, without a gradient.", "",
            ", ".join(sorted(f"`{spelled(key)}`" for key in constants)) + ".", "",
            "## What HIPS autograd has and this table has elsewhere", "",
            "| autograd's | here |", "|---|---|", *(f"| `{name}` | {why} |" for name, why in ELSEWHERE.items())]
    return "\n".join(out) + "\n"


def anchor(heading):
    return "".join(c for c in heading.lower() if c.isalnum() or c in "_- ").replace(" ", "-")


if __name__ == "__main__":
    text = page()
    if "--print" in sys.argv:
        sys.stdout.write(text)
    else:
        (ROOT / "docs" / "ops.md").write_text(text, encoding="utf-8")
        print(f"docs/ops.md: {len(table)} ops, {len(composites)} composites, {len(constants)} constants")
