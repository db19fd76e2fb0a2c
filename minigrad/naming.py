"""Things that are asked for by name, and what to say to a name that is not known."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping


def spelled(name: str) -> str:
    """The name as keys of `find` are written: small letters without hyphens and underscores."""
    return name.lower().replace("-", "").replace("_", "")


def find(kind: str, name: str, known: Mapping, otherwise: str = ""):
    """known[name], in any case and with or without hyphens; ValueError says what comes near, or what there is."""
    if spelled(name) not in known:
        raise ValueError(unknown(kind, name, known, otherwise or f"there are {', '.join(sorted(known))}"))
    return known[spelled(name)]


def unknown(kind: str, name: str, known: Iterable[str], otherwise: str) -> str:
    """The message: the names that come near, or else what helps otherwise."""
    near = difflib.get_close_matches(name.lower(), known)
    return f"no {kind} called {name!r}" + (f"; did you mean {' or '.join(near)}?" if near else f"; {otherwise}")
