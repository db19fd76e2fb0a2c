"""Write the table of recorded reference cases into docs/layers.md: python docs/layers.py (--print: only show it)."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "layers.md"
MARKED = re.compile(r"(?<=<!-- python docs/layers.py -->\n).*?(?=<!-- end -->)", re.S)
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from references.layers import AREAS, cases, file_of, read  # noqa: E402


def row(area: str) -> tuple[int, int, int, int]:
    """How many cases, recorded numbers, cases to the second derivative, and cases looser than 1e-10."""
    found = cases(area)
    numbers = sum(array.size for arrays in read(area).values() for array in arrays.values())
    return len(found), numbers, sum(case.order > 1 for case in found), sum(case.tolerance > 1e-10 for case in found)


def table() -> str:
    """The table, and the reasons of whatever is not compared to 1e-10 and the second derivative."""
    rows = {area: row(area) for area in AREAS}
    with np.load(file_of(AREAS[0]), allow_pickle=False) as file:
        version = str(file["versions"]).split("+")[0]
    out = [f"Recorded with {version}.", "",
           "| area | cases | numbers compared | to the second derivative | looser than 1e-10 |",
           "|---|---:|---:|---:|---:|"]
    out += [f"| [{area}](../tests/references/layer_cases_{area}.py) | {' | '.join(f'{n:,}' for n in rows[area])} |"
            for area in AREAS]
    out += ["| **together** | " + " | ".join(f"**{sum(column):,}**" for column in zip(*rows.values())) + " |", "",
            "Why some are compared to the first derivative only, or less closely:", ""]
    reasons = [(case.why, area) for area in AREAS for case in cases(area) if case.why]
    out += [f"- {area}, {reasons.count((why, area))}: {why}" for why, area in dict.fromkeys(reasons)]
    return "\n".join(out) + "\n"


if __name__ == "__main__":
    if "--print" in sys.argv:
        sys.stdout.write(table())
    else:
        PAGE.write_text(MARKED.sub(lambda _: table(), PAGE.read_text(encoding="utf-8")), encoding="utf-8")
        print("docs/layers.md:", sum(len(cases(area)) for area in AREAS), "cases")
