"""Pages that need nothing but themselves: no server, no network, one file to open from the disk or to mail.

A page is made of four files in pages/: base.css and base.js, which all share, and its own NAME.html, NAME.css, NAME.js.
Data goes in as JSON that no string can break out of; scripts put it on the page as text, never as HTML.
"""

from __future__ import annotations

import html
import json
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..checkpoint import replacing

__all__ = ["LANGUAGES", "compact", "write"]

LANGUAGES = ("en", "ko")
PAGES = Path(__file__).with_name("pages")
PAGE = """<!DOCTYPE html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; \
script-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'">
<title>{title}</title>
<style>
{css}
</style>
</head>
<body>
{body}
<script type="application/json" id="data">{data}</script>
<script>
{js}
</script>
</body>
</html>
"""


def write(path: str | os.PathLike[str], name: str, data: Mapping[str, object], title: str, language: str = "en",
          parts: tuple[str, ...] = (), script: str = "", markup: Mapping[str, str] | None = None) -> Path:
    """Write the page ``name`` of pages/ with its data, and return the path.

    language: "en" or "ko", where the page begins; its reader can change it. parts: further names whose CSS and
    JavaScript the page needs, before its own. script: JavaScript of the writer's, before all of that. markup: HTML,
    already escaped, for the places <!--NAME--> of NAME.html. Raises ValueError for another language or a page that does
    not exist, TypeError for data that JSON has no word for.
    """
    if language not in LANGUAGES:
        raise ValueError(f"language is one of {', '.join(LANGUAGES)}, not {language!r}")
    names = tuple(dict.fromkeys(("base", *parts, name)))
    for part in names:
        if not any((PAGES / f"{part}.{kind}").is_file() for kind in ("html", "css", "js")):
            raise ValueError(f"there is no page {part!r} in {PAGES}")
    body = re.sub(r"<!--(\w+)-->", lambda place: (markup or {})[place[1]], _read(f"{name}.html"))
    script = script.replace("</", "<\\/")  # which may end a script, but not inside a string then
    css, js = ("\n".join(text for part in names if (text := _read(f"{part}.{kind}"))) for kind in ("css", "js"))
    page = PAGE.format(language=language, title=html.escape(title), css=css, body=body, js="\n".join((script, js)),
                       data=_json({**data, "title": title, "language": language}))
    with replacing(path) as beside:
        beside.write_text(page, encoding="utf-8", errors="replace")  # a file's name may be no Unicode
    return Path(path)


def _read(name):
    path = PAGES / name
    return path.read_text(encoding="utf-8").rstrip("\n") if path.is_file() else ""


def _json(data):
    """JSON that can stand inside <script>: no < opens or closes anything; NaN and infinities are strings."""
    text = json.dumps(compact(data), ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_refuse)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _refuse(value):
    raise TypeError("a page's data are dicts, lists, arrays, strings, real numbers, booleans and None, "
                    f"not {type(value).__name__}: {value!r:.80}")


def compact(value, digits: int = 9):
    """Arrays as nested lists and floats of so many digits; NaN, Infinity and -Infinity as their names."""
    if isinstance(value, Mapping):
        return {str(k): compact(v, digits) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [compact(v, digits) for v in value]
    if isinstance(value, np.ndarray):
        return compact(value.tolist(), digits)
    if isinstance(value, np.generic):
        value = float(value) if isinstance(value, np.floating) else value.item()  # a longdouble's item is itself
    if isinstance(value, float):
        if not math.isfinite(value):
            return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        short = float(f"{value:.{digits}g}")
        if not math.isfinite(short):  # the largest floats, rounded up
            return value
        return int(short) if short.is_integer() and abs(short) < 2 ** 53 else short
    return value
