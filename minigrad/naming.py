"""What to say to a name that is not known."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def unknown(kind: str, name: str, known: Iterable[str], otherwise: str) -> str:
    """The message: the names that come near, or else what helps otherwise."""
    near = difflib.get_close_matches(name.lower(), known)
    return f"no {kind} called {name!r}" + (f"; did you mean {' or '.join(near)}?" if near else f"; {otherwise}")
