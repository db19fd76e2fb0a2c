"""The rules of the derivative table as they stand in its source, and with numbers put in."""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..graph import Each, Op
from ..kernels.text import lambda_text

__all__ = ["RuleText", "number", "rule_text", "rule_texts", "substituted"]


class RuleText(NamedTuple):
    """A rule: its expression, or the source of a function of several lines; and what its arguments are called.

    parameters: the names of g, y and the inputs, then of the static arguments.
    """

    text: str
    is_expression: bool
    parameters: tuple[str, ...]
    file: Path
    line: int


def rule_texts(op: Op) -> list[RuleText | None]:
    """The rules of ``op``, one for each input (one in all for an op with any number of inputs); None without a rule."""
    rules = [op.rules.rule] if type(op.rules) is Each else op.rules
    found = []
    for rule in rules:
        if rule is None:
            found.append(None)
            continue
        rule = inspect.unwrap(rule.func if isinstance(rule, functools.partial) else rule)
        if not hasattr(rule, "__code__"):
            found.append(RuleText(getattr(rule, "__name__", type(rule).__name__), False, (), Path(), 0))
            continue
        found.append(_text(rule))
    return found


def rule_text(op: Op, index: int, used: Callable | None = None) -> RuleText | None:
    """The rule for one input. used: the function that was called, if that may be another than the table's."""
    texts, each = rule_texts(op), type(op.rules) is Each
    if used is None or each or used is op.rules[index]:
        return texts[0 if each else index]
    return _text(inspect.unwrap(used))


@functools.cache
def _text(rule):
    code = rule.__code__
    path, line = Path(code.co_filename), code.co_firstlineno
    names = code.co_varnames[:code.co_argcount + bool(code.co_flags & inspect.CO_VARARGS)]
    if rule.__name__ != "<lambda>":
        try:
            source = textwrap.dedent(inspect.getsource(rule)).strip()
        except (OSError, TypeError):
            return RuleText(rule.__name__, False, names, path, line)
        body = ast.parse(source).body[0].body
        if len(body) == 1 and isinstance(body[0], ast.Return) and body[0].value is not None:
            return RuleText(_flat(ast.get_source_segment(source, body[0].value)), True, names, path, line)
        return RuleText(source, False, names, path, line)
    found = lambda_text(rule)
    return RuleText(_flat(found[0]), True, names, path, line) if found else RuleText("lambda", False, names, path, line)


def _flat(expression):
    """An expression of several lines on one, without its comments."""
    lines = [part.split("  # ")[0] for part in expression.splitlines()]
    return " ".join(" ".join(lines).split())


def substituted(rule: RuleText, values: Mapping[str, object]) -> str | None:
    """The rule's expression with the ``values`` of its arguments in place of their names; None if that says nothing.

    Numbers have four digits; negative ones stand in brackets where they are a factor.
    """
    if not rule.is_expression:
        return None
    source = f"({rule.text})"
    try:
        tree = ast.parse(source, mode="eval")
    except SyntaxError:
        return None
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    names = [n for n in ast.walk(tree) if isinstance(n, ast.Name) and n.id in values
             and not isinstance(parents[n], (ast.Attribute, ast.Subscript))]
    if not names:
        return None
    for n in sorted(names, key=lambda n: -n.col_offset):
        text = number(values[n.id])
        signed = text.startswith("-") or np.asarray(values[n.id]).dtype.kind == "c"
        if signed and text[0] != "[" and isinstance(parents[n], (ast.BinOp, ast.UnaryOp)):
            text = f"({text})"
        line = source.encode()
        source = (line[:n.col_offset] + text.encode() + line[n.end_col_offset:]).decode()
    return source[1:-1]


def number(value: object) -> str:
    """A number or a small array on one line, floats with four digits."""
    array = np.asarray(value)
    formats = {"all": "{:.4g}".format} if array.dtype.kind in "fc" else {"bool": str}
    return " ".join(np.array2string(array, separator=", ", formatter=formats).split())
