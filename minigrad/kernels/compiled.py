"""One formula, two speeds: an elementwise NumPy formula as it stands, or its own text compiled by Numba into one loop.

There is no second version of a formula, only a rewriting of its text. What treats each element by itself means the same
on numbers as on arrays, once ``m[...] = x`` says ``m = x``, and plain numbers are cast to the arrays' dtype where they
meet one, as NumPy does (NEP 50). The loop passes over memory once, not once an operation. It rounds + - * / and sqrt
like NumPy, powers, exponentials and the like within a few units in the last place, and knows nothing of np.errstate.
"""

from __future__ import annotations

import ast
import copy
import hashlib
import inspect
import os
import textwrap
from collections.abc import Callable
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from . import threads
from .text import lambda_text

CHOICES = ("reference", "compiled")
SHARED = 500_000  # elements: fewer in several arrays are as fast on one core
_chosen = os.environ.get("MINIGRAD_KERNELS") or CHOICES[find_spec("numba") is not None]
if _chosen not in CHOICES:
    raise ValueError(f'MINIGRAD_KERNELS is {_chosen!r}: it must be "reference" or "compiled"')
refused: dict[str, str] = {}  # formulas that run as they stand though compiled ones were chosen -> why


def chosen() -> str:
    """Which kernels run: "compiled" where Numba is installed, else "reference"; MINIGRAD_KERNELS or `using` say so."""
    return _chosen


@contextmanager
def using(kernels: str):
    """Within the block run "reference" (NumPy) or "compiled" (Numba) kernels, in all threads.

    ValueError for another name, ImportError where "compiled" lacks Numba.
    """
    global _chosen
    if kernels not in CHOICES:
        raise ValueError(f'kernels are "reference" or "compiled", got {kernels!r}')
    if kernels == "compiled" and not find_spec("numba"):
        raise ImportError("compiled kernels need Numba: pip install 'minigrad[fast]'")
    before, _chosen = _chosen, kernels
    try:
        yield
    finally:
        _chosen = before


@cache
def elementwise(formula: Callable, arrays: tuple[str, ...], changed: tuple[str, ...], dtype: np.dtype) -> Callable:
    """``formula`` as a compiled loop over the elements of its arguments ``arrays``: one-dimensional, all of ``dtype``.

    Those in ``changed`` are changed in place; one of them that is not in ``arrays`` is None. A formula that cannot be
    compiled is returned as it is, and `refused` says why.
    """
    try:
        loop = _jit(formula, loop_text(formula, arrays, changed), dtype)
    except (ImportError, OSError, Untranslatable) as why:  # ImportError: Numba refuses a NumPy newer than itself
        refused[name(formula)] = str(why)
        return formula

    def run(*given):
        nonlocal loop
        try:
            if given[0].size >= SHARED and threads.awake():
                _shared(loop, given)
            else:
                loop(*given)
        except numba_error() as why:  # while it compiles: nothing has run yet
            refused[name(formula)] = str(why)
            loop = formula
            formula(*given)
    return run


def _shared(loop, given):
    """loop(*given), each thread on a part of the arrays."""
    n = given[0].size

    def some(part):
        loop(*(a[slice(*part)] if isinstance(a, np.ndarray) and a.shape == (n,) else a for a in given))
    threads.share(some, n, n, in_passing=True)


def expression(rule: Callable, arrays: tuple[str, ...], dtype: np.dtype) -> Callable | None:
    """The expression of a rule as a compiled loop ``(d, *all of its arguments)``, which become d's elements; None where
    it cannot be, and `refused` says why. arrays: those of its arguments that are one-dimensional arrays."""
    found = lambda_text(rule) if rule.__name__ == "<lambda>" else None
    try:
        if found is None or found[1] is None:
            raise Untranslatable("it is no lambda of its own")
        given = ast.arguments([], [ast.arg("d_"), *map(ast.arg, arguments(rule))], None, [], [], None, [])
        body = ast.parse("d_[...] = 0").body
        body[0].value = copy.deepcopy(found[1])
        tree = ast.FunctionDef("update", given, body, [])
        loop = _jit(rule, _Element(tree, ("d_", *arrays), ("d_",)).text(), dtype)
    except (ImportError, OSError, Untranslatable) as why:
        refused[name(rule)] = str(why)
        return None
    return loop


def arguments(function: Callable) -> tuple[str, ...]:
    """The names of its arguments."""
    return function.__code__.co_varnames[:function.__code__.co_argcount]


def name(formula):
    """Under which `refused` knows it."""
    where = f" in line {formula.__code__.co_firstlineno}" if formula.__name__ == "<lambda>" else ""
    return f"{formula.__module__}.{formula.__qualname__}{where}"


def _jit(formula, text, dtype):
    """The function ``update`` of a text, compiled; it knows the modules that the formula knows."""
    outside = inspect.getclosurevars(formula)
    if others := [k for k, v in {**outside.globals, **outside.nonlocals}.items() if not inspect.ismodule(v)]:
        raise Untranslatable(f"{', '.join(sorted(others))} may change")  # a loop keeps it, the one on disk too
    import numba
    how = {"nogil": True, "error_model": "numpy"}
    label = f"update_{hashlib.sha256(f'{text}{how}'.encode()).hexdigest()[:12]}"  # the cache on disk knows it by this
    scope = {**formula.__globals__, "as_dtype": dtype.type}
    exec(compile(text.replace("update", label, 1), inspect.getfile(formula), "exec"), scope)
    try:
        return numba.njit(cache=True, **how)(scope[label])
    except RuntimeError:  # no place for a cache
        return numba.njit(**how)(scope[label])


def numba_error():
    """What Numba raises while it compiles."""
    from numba.core.errors import NumbaError
    return NumbaError


class Untranslatable(ValueError):
    """The formula says something that a single element has no counterpart for."""


def loop_text(formula: Callable, arrays: tuple[str, ...], changed: tuple[str, ...]) -> str:
    """The text that `elementwise` compiles."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(formula))).body[0]
    if not isinstance(tree, ast.FunctionDef):
        raise Untranslatable("it is no def")
    if tree.args.vararg or tree.args.kwarg:
        raise Untranslatable(f"its arguments have no names: {ast.unparse(tree.args)}")
    if formula.__code__ not in _codes(formula.__code__.co_filename):
        raise Untranslatable("its file was changed after it had been loaded")
    return _Element(tree, arrays, changed).text()


def _codes(file):
    """Of all functions in a file, as it is now."""
    codes = [compile(Path(file).read_text(encoding="utf-8"), file, "exec", dont_inherit=True)]
    for code in codes:
        codes += [c for c in code.co_consts if inspect.iscode(c)]
    return codes


class _Element(ast.NodeTransformer):
    """A function of arrays -> a loop around the same statements on one element, ``x_`` for the array x."""

    def __init__(self, tree, arrays, changed):
        self.given = [a.arg for a in tree.args.args]
        self.arrays, self.absent = arrays, set(changed) - set(arrays)
        self.stored = {name: f"{name}_" for name in changed if name in arrays}  # where the new element is in the end
        self.depth, self.before, self.numbers = 0, [], {}
        self.body = self.without_none(tree.body)
        self.of_elements = set(arrays)  # names that differ from element to element
        for s in (n for line in self.body for n in ast.walk(line)):
            if isinstance(s, ast.Assign) and self.varies(s.value):
                self.of_elements |= {n.id for t in s.targets for n in ast.walk(t) if isinstance(n, ast.Name)}
        self.inner = set()  # numbers that a statement in the loop sets
        self.used = set()

    def text(self):
        body = [line for s in self.body for line in self.lines(s)]
        body += self.stores()
        loop = [f"{name}_ = {name}[_i]" for name in self.arrays] + body
        return "\n".join([f"def update({', '.join(self.given)}):",
                          *(textwrap.indent(line, "    ") for line in self.before),
                          *(f"    {name} = {value}" for value, name in self.numbers.items()),
                          f"    for _i in range({self.arrays[0]}.size):",
                          *(textwrap.indent(line, "        ") for line in loop), ""])

    def lines(self, statement):
        """Of a statement in the loop; one about numbers alone goes before the loop."""
        names = {n.id for n in ast.walk(statement) if isinstance(n, ast.Name)}
        sets = {n.id for n in ast.walk(statement) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        if not names & self.of_elements and not any(isinstance(n, ast.Return) for n in ast.walk(statement)):
            if sets & self.used:
                raise Untranslatable(f"{', '.join(sets & self.used)} is set again")
            if not isinstance(getattr(statement, "value", None), ast.Constant):  # a docstring
                self.before.append(ast.unparse(statement))
            return []
        self.used |= names
        self.inner |= sets - self.of_elements
        if self.inner & set(self.given):
            raise Untranslatable(f"{', '.join(self.inner & set(self.given))} is set again")
        return [ast.unparse(ast.fix_missing_locations(s)) for s in self.listed(self.visit(statement))]

    def stores(self):
        return [f"{name}[_i] = {value}" for name, value in self.stored.items()]

    # ---- what is known before it runs: which arrays are None ----
    def without_none(self, body):
        known = _Known({**dict.fromkeys(self.arrays, False), **dict.fromkeys(self.absent, True)})
        body = known.visit(ast.Module(body, [])).body
        ends = [n for n, s in enumerate(body, 1) if isinstance(s, ast.Return)]
        return body[:ends[0]] if ends else body

    # ---- numbers and elements ----
    def varies(self, node):
        return any(isinstance(n, ast.Name) and n.id in self.of_elements for n in ast.walk(node))

    def cast(self, node):
        """A number where it meets an element: cast, before the loop where no statement of the loop sets it."""
        if self.varies(node):
            return node
        text = f"as_dtype({ast.unparse(node)})"
        if {n.id for n in ast.walk(node) if isinstance(n, ast.Name)} & self.inner:
            return ast.parse(text, mode="eval").body
        return ast.Name(self.numbers.setdefault(text, f"number{len(self.numbers)}"), ast.Load())

    def visit_Name(self, node):
        return ast.Name(f"{node.id}_", node.ctx) if node.id in self.arrays else node

    def visit_BinOp(self, node):
        if isinstance(node.op, ast.Add | ast.Sub) and _is_mask(node.left) and _is_mask(node.right):
            raise Untranslatable(f"{ast.unparse(node)} is no number in NumPy")  # True + True is True
        exact = isinstance(node.op, ast.Pow) and isinstance(node.right, ast.Constant) and type(node.right.value) is int
        left, right = self.varies(node.left), self.varies(node.right)
        node.left = self.visit(node.left) if left else self.cast(node.left) if right else node.left
        node.right = self.visit(node.right) if right else node.right if exact or not left else self.cast(node.right)
        return node

    def visit_BoolOp(self, node):
        if self.varies(node):
            raise Untranslatable(f"{ast.unparse(node)} asks an array for one truth")
        return node

    def visit_Compare(self, node):
        if len(node.ops) > 1 and self.varies(node):
            raise Untranslatable(f"{ast.unparse(node)} asks an array for one truth")
        sides = [node.left, *node.comparators]
        if any(map(self.varies, sides)):
            node.left, *node.comparators = [self.visit(s) if self.varies(s) else self.cast(s) for s in sides]
        return node

    def visit_UnaryOp(self, node):
        if isinstance(node.op, ast.Invert):
            node.op = ast.Not()
        return self.generic_visit(node)

    def visit_IfExp(self, node):
        varies = self.varies(node)
        node.test = self.visit(node.test)
        for part in ("body", "orelse"):
            value = getattr(node, part)
            setattr(node, part, self.visit(value) if self.varies(value) else self.cast(value) if varies else value)
        return node

    def visit_Call(self, node):
        if not self.varies(node):
            return node
        f = node.func.attr if isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) == "np" else ""
        if node.keywords or not (f in ("where", "clip") or isinstance(getattr(np, f, None), np.ufunc)):
            raise Untranslatable(f"{ast.unparse(node)} is not of single elements")
        args = [self.visit(a) if self.varies(a) else self.cast(a) for a in node.args]
        if f == "where":
            return ast.IfExp(*args)
        if f == "clip":
            value, low, high = args
            return self.call("minimum", self.call("maximum", value, low), high)
        return self.call(f, *args)

    def call(self, ufunc, *args):
        return ast.Call(ast.parse(f"np.{ufunc}", mode="eval").body, list(args), [])

    def visit_Attribute(self, node):
        raise Untranslatable(f"{ast.unparse(node)} is not of single elements")

    def visit_Subscript(self, node):
        if not (isinstance(node.slice, ast.Constant) and node.slice.value is ...):
            raise Untranslatable(f"{ast.unparse(node)} is not of single elements")
        return self.visit(ast.Name(node.value.id, node.ctx))

    # ---- statements ----
    def visit_AugAssign(self, node):
        node.target = self.visit(node.target)
        node.value = self.visit(node.value) if self.varies(node.value) else self.cast(node.value)
        return node

    def visit_Assign(self, node):
        value = self.visit(node.value) if self.varies(node.value) else self.cast(node.value)
        moved = [t.id for t in node.targets if isinstance(t, ast.Name) and t.id in self.stored]
        if moved and (self.depth or self.stored[moved[0]] != f"{moved[0]}_"):
            raise Untranslatable(f"{moved[0]} stands for another array in the end")
        before = []
        for name in moved:  # from here on another name for something else: what it was is stored in the end
            before.append(ast.parse(f"{name}_kept = {name}_").body[0])
            self.stored[name] = f"{name}_kept"
        return [*before, ast.Assign([self.visit(t) for t in node.targets], value)]

    def visit_If(self, node):
        self.depth += 1
        node.test = self.visit(node.test)
        node.body, node.orelse = ([x for s in part for x in self.listed(self.visit(s))]
                                  for part in (node.body, node.orelse))
        self.depth -= 1
        return node

    def listed(self, done):
        return done if isinstance(done, list) else [done]

    def visit_Return(self, node):
        return [*ast.parse("\n".join(self.stores())).body, ast.Continue()]


def _is_mask(node):
    if isinstance(node, ast.BinOp):
        return _is_mask(node.left) and _is_mask(node.right)
    if isinstance(node, ast.Call):
        return ast.unparse(node.func).startswith(("np.is", "np.logical_"))
    return isinstance(node, ast.Compare) or (isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Invert))


class _Known(ast.NodeTransformer):
    """Decides ``x is None`` for the names whose answer is known."""

    def __init__(self, none):
        self.none = none

    def answer(self, test):
        if (isinstance(test, ast.Compare) and isinstance(test.left, ast.Name) and test.left.id in self.none
                and isinstance(test.ops[0], (ast.Is, ast.IsNot))):
            return self.none[test.left.id] is isinstance(test.ops[0], ast.Is)
        return None

    def visit_If(self, node):
        self.generic_visit(node)
        answer = self.answer(node.test)
        return node if answer is None else node.body if answer else node.orelse

    visit_IfExp = visit_If
