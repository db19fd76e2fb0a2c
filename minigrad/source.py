"""Which line of the user's program recorded a node: noted as a code object and an offset, looked up when it is told."""

from __future__ import annotations

import contextlib
import linecache
import os
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

_OURS = tuple(str(Path(module).parent) + os.sep for module in (__file__, np.__file__)) + (contextlib.__file__,)
_COMMANDS = str(Path(__file__).with_name("cli.py"))  # a program like any other


class _Files(dict):
    """{file: whether it is ours or NumPy's}, found out once."""

    def __missing__(self, file):
        self[file] = file.startswith(_OURS) and file != _COMMANDS
        return self[file]


_ours = _Files()


class Line(NamedTuple):
    """A line of source, and the columns [start, end) in its text of the expression (None before Python 3.11)."""

    file: str
    number: int
    function: str
    text: str
    start: int | None
    end: int | None

    @property
    def place(self) -> str:
        """NAME:LINE, short."""
        return f"{file_name(self.file)}:{self.number}"

    def __str__(self):
        return f"{self.file}, line {self.number}, in {self.function}" + (f": {self.text}" if self.text else "")


def here(depth: int = 2, frame_of=sys._getframe):
    """The innermost call, so many frames up or more, that is neither ours nor NumPy's; None if there is none.

    A frame would keep its variables alive: code and offset do not.
    """
    try:
        frame = frame_of(depth)
    except ValueError:  # called by no Python code: by atexit, or as a thread of its own
        return None
    while _ours[(code := frame.f_code).co_filename]:
        frame = frame.f_back
        if frame is None:
            return None
    return code, frame.f_lasti


def line(where) -> Line | None:
    """What `here` noted, as a line with its text."""
    if where is None:
        return None
    code, offset = where
    number, last, start, end = _position(code, offset)
    text = linecache.getline(code.co_filename, number).rstrip("\n")
    lead = len(text) - len(text.lstrip())
    if start is not None and text and last == number:  # columns count bytes
        start, end = (len(text.encode()[:column].decode(errors="replace")) - lead for column in (start, end))
    else:
        start = end = None
    return Line(code.co_filename, number, code.co_name, text.strip(), start, end)


def place(where) -> str:
    """NAME:LINE, short; nothing where nothing was noted."""
    return f"{file_name(where[0].co_filename)}:{_position(*where)[0]}" if where else ""


def file_name(file: str) -> str:
    """What a reader calls it: a file without its folders, a cell of a notebook, whose file nobody sees, In[n]."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    told = getattr(getattr(shell, "compile", None), "format_code_name", lambda file: None)(file)
    return told[1] if told else Path(file).name


def _position(code, offset):
    """(line, last line, first column, column after the last) of an instruction."""
    if hasattr(code, "co_positions"):
        for i, (number, last, start, end) in enumerate(code.co_positions()):
            if 2 * i == offset and number is not None:
                return number, last, start, end
    for first, after, number in code.co_lines():
        if first <= offset < after and number is not None:
            return number, number, None, None
    return code.co_firstlineno, code.co_firstlineno, None, None
