"""The expression that a lambda returns, found in its file: Python keeps only the line where the lambda begins."""

from __future__ import annotations

import ast
import functools
import linecache
from collections.abc import Callable


def lambda_text(function: Callable) -> tuple[str, ast.expr] | None:
    """The text of the expression, and its tree; None where the file cannot be read.

    Of several lambdas on its line it is the one with the same bytecode; where none has (it uses a variable of a
    function around it), the first with the same arguments, and with them alone the tree is None.
    """
    code = function.__code__
    try:
        text, tree = _parsed(code.co_filename)
    except (OSError, SyntaxError):
        return None
    given = code.co_varnames[:code.co_argcount]
    there = sorted((n for n in ast.walk(tree) if isinstance(n, ast.Lambda) and n.lineno == code.co_firstlineno
                    and tuple(a.arg for a in n.args.posonlyargs + n.args.args) == given), key=lambda n: n.col_offset)
    imports = [n for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)]  # calls of what they name differ
    for node in there:
        if _bytecode(_compiled(node, imports)) == _bytecode(code):
            return ast.get_source_segment(text, node.body), node.body
    return (ast.get_source_segment(text, there[0].body), None) if there else None


def _compiled(node, imports):
    module = compile(ast.Module([*imports, ast.copy_location(ast.Expr(node), node)], []), "", "exec", dont_inherit=True)
    return next(c for c in module.co_consts if hasattr(c, "co_code"))


def _bytecode(code):
    return code.co_code, code.co_names, [_bytecode(c) if hasattr(c, "co_code") else c for c in code.co_consts]


@functools.cache
def _parsed(file):
    text = "".join(linecache.getlines(file))  # which knows a notebook's cells too
    return text, ast.parse(text)
