"""Write docs/misuse.md, what minigrad says to bad programs: python docs/misuse.py (--print: only show it).

Programs and messages are those of tests/samples/misuse.py, which are run for it.
"""

from __future__ import annotations

import ast
import inspect
import os
import re
import sys
import tempfile
import textwrap
import warnings
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from samples import misuse  # noqa: E402

INTRODUCTION = """\
# Bad programs

Written by `python docs/misuse.py` from `tests/samples/misuse.py`; tests run every program, and see that it is told what
is wrong, that models, optimizers, gradients, generators and modes are afterwards what they were, to the bit, and that
the program works when it is mended (Python {python}, NumPy {numpy}).

{count} mistakes, by area: {areas}. What comes first in a program only leads to the mistake, its last lines; *instead*
takes their place. Messages stand as they come, but for addresses in memory. Where a warning is raised, it is once.

In the programs, besides `import minigrad`, NumPy as `np` and `minigrad.functional` as `F`:

```python
{helpers}```
"""


def lines(nodes, source):
    """The text of these statements."""
    if not nodes:
        return ""
    rows = source.splitlines()[nodes[0].lineno - 1:nodes[-1].end_lineno]
    return textwrap.dedent("\n".join(rows))


def parts(run):
    """(what leads there and the mistake, the program mended) of a case."""
    source = textwrap.dedent(inspect.getsource(run))
    body = ast.parse(source).body[0].body
    at = next(i for i, node in enumerate(body) if isinstance(node, ast.With)
              and getattr(getattr(node.items[0].context_expr, "func", None), "id", "") == "wrong")
    wrong = [lines(body[:at], source), lines(body[at].body, source)]
    return "\n".join(filter(None, wrong)), lines(body[at + 1:], source)


def said(case):
    """What is raised or warned, without what differs from run to run."""
    wrong = misuse.Wrong()
    case.run(wrong)
    (error,) = wrong.said
    kind = type(error).__name__
    text = f"{kind}: {error}" if kind != "Refused" else str(error)
    return re.sub(r"0x[0-9a-f]+", "0x...", re.sub(r"misuse\.py:\d+", "program.py:1", text))


def span(text):
    """Text as code in a cell of a table; the indentation as spaces that HTML does not drop."""
    fence, inside = ("``" if "`" in text else "`"), text.lstrip(" ").replace("|", "\\|")
    return fence + "\u00a0" * (len(text) - len(text.lstrip(" "))) + inside + fence


def code(text):
    return "<br>".join(map(span, filter(None, text.splitlines())))


def title(name):
    return name.replace("_", " ")


def plain(programs, heads):
    yield from (f"| {heads[0]} | {heads[1]} | {heads[2]} |", "|---|---|---|")
    for name, run in programs.items():
        source = textwrap.dedent(inspect.getsource(run))
        body = ast.parse(source).body[0].body[1:]
        yield f"| {title(name)} | {code(lines(body, source))} | {' '.join(inspect.getdoc(run).split())} |"


def page():
    areas: dict = {}
    for case in misuse.cases.values():
        areas.setdefault(case.area, []).append(case)
    counts = ", ".join(f"[{area}](#{area.replace(' ', '-')}) {len(cases)}" for area, cases in areas.items())
    helpers = "\n\n".join(inspect.getsource(f) for f in misuse.HELPERS)
    out = [INTRODUCTION.format(python=".".join(map(str, sys.version_info[:2])), areas=counts, helpers=helpers,
                               numpy=".".join(np.__version__.split(".")[:2]), count=len(misuse.cases))]
    for area, cases in areas.items():
        out += [f"## {area}", "", "| what is wrong | program | minigrad says | instead |", "|---|---|---|---|"]
        for case in cases:
            wrong, mended = parts(case.run)
            out.append(f"| {title(case.name)} | {code(wrong)} | {span(said(case))} | {code(mended)} |")
        out.append("")
    out += ["## No mistakes here", "", "Though elsewhere some of it is.", "",
            *plain(misuse.fine, ("what", "program", "why")), "",
            "## What nobody can know", "",
            "These programs may be meant, so nothing is said. Nor is it seen when a thread calls a module while "
            "another differentiates a function of that module, as `minigrad.grad(f)(model)`, `vmap` and ensembles do: "
            "they put other values in the place of its parameters, one such function at a time, whatever the thread. "
            "The other thread needs a copy.deepcopy(model).", "",
            *plain(misuse.unknowable, ("what", "program", "what happens"))]
    return "\n".join(out) + "\n"


if __name__ == "__main__":
    here = os.getcwd()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("error")
        os.chdir(folder)  # some programs write files
        try:
            text = page()
        finally:
            os.chdir(here)
    if "--print" in sys.argv:
        sys.stdout.write(text)
    else:
        (ROOT / "docs" / "misuse.md").write_text(text, encoding="utf-8")
        print(f"docs/misuse.md: {len(misuse.cases)} mistakes")
