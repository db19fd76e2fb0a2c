"""Python formulas as JavaScript: a page runs the text that stands in minigrad, not a second version of it.

Known is what formulas are made of: numbers, arithmetic, comparisons, ``np``'s and ``math``'s elementwise functions, if,
tuples, dictionaries. Whatever else a text says is refused by name, as `Untranslatable`.
"""

from __future__ import annotations

import ast
import inspect
import json
import math
import textwrap
from collections.abc import Callable
from numbers import Real
from operator import methodcaller

from ..kernels.compiled import Untranslatable, _codes, loop_text

__all__ = ["Untranslatable", "expression", "function", "literal", "loop"]

OPERATORS = {ast.Add: ("+", 11), ast.Sub: ("-", 11), ast.Mult: ("*", 12), ast.Div: ("/", 12), ast.Pow: ("**", 13)}
COMPARISONS = {ast.Eq: "===", ast.NotEq: "!==", ast.Is: "===", ast.IsNot: "!==", ast.Lt: "<", ast.LtE: "<=",
               ast.Gt: ">", ast.GtE: ">="}
ATOM, UNARY, COMPARED, AND, OR, CHOICE = 20, 14, 9, 4, 3, 2  # how tightly JavaScript binds
SAME = ("sqrt", "exp", "log", "log1p", "expm1", "cos", "sin", "tan", "tanh", "cbrt", "abs", "sign", "floor", "ceil")
CALLS = {**{f"np.{name}": f"Math.{name}" for name in SAME}, "np.maximum": "Math.max", "np.minimum": "Math.min",
         "np.square": "square", "np.logaddexp": "logaddexp", "np.isfinite": "Number.isFinite",
         **{f"math.{name}": f"Math.{name}" for name in SAME[:8]}, "math.isfinite": "Number.isFinite",
         "min": "Math.min", "max": "Math.max", "abs": "Math.abs"}
HELPERS = """const square = x => x * x;
const logaddexp = (a, b) => Math.max(a, b) + Math.log1p(Math.exp(-Math.abs(a - b)));"""  # beyond JavaScript's own
JETS = {ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.Div: "div", ast.Pow: "pow"}
JET_CALLS = {f"{module}.{name}": f"jet.{name}" for module in ("np", "math") for name in ("exp", "log", "cos", "sin",
                                                                                       "sqrt", "tanh")}
CONSTANTS = {"math.pi": "Math.PI", "math.e": "Math.E", "math.inf": "Infinity", "np.pi": "Math.PI", "np.inf": "Infinity"}
RESERVED = {"var", "let", "const", "function", "new", "this", "delete", "typeof", "void", "switch", "case", "default",
            "do", "catch", "throw", "enum", "export", "extends", "super", "null", "true", "false", "instanceof",
            "arguments", "eval", "static", "package", "private", "public", "interface", "protected", "implements"}


def expression(formula: Callable, jets: bool = False) -> str:
    """A def of one expression as ``(x, y) => ...``; with jets, its operators are calls: jet.add(x, y)."""
    tree = _definition(formula)
    body = [s for s in tree.body if not _is_docstring(s)]
    if len(body) != 1 or not isinstance(body[0], ast.Return) or body[0].value is None:
        raise Untranslatable(f"{tree.name} does more than return an expression")
    writer = (_Jets if jets else _Writer)(tree, formula.__globals__)
    return f"({', '.join(writer.given)}) => {writer.enclosed(body[0].value)}"


def function(formula: Callable) -> str:
    """A def of statements, as ``(a, b) => {...}``; a method without its self."""
    tree = _definition(formula)
    return _Writer(tree, inspect.unwrap(formula).__globals__).function()


def loop(formula: Callable, arrays: tuple[str, ...], changed: tuple[str, ...]) -> str:
    """An elementwise formula on arrays as a loop over their elements: what `kernels.elementwise` compiles, here as
    ``(w, g, ...) => {for (...) {...}}`` on JavaScript's arrays."""
    tree = ast.parse(loop_text(formula, arrays, changed)).body[0]
    return _Writer(tree, formula.__globals__).function()


def literal(value: object) -> str:
    """Numbers with all their digits, texts, None, lists, arrays and dictionaries of such, as JavaScript.

    No < is in it, so that it can stand in a page: not even a comment of HTML begins there.
    """
    return json.dumps(value, ensure_ascii=False, default=methodcaller("tolist")).replace("<", "\\u003c")


def _definition(formula):
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(formula))).body[0]
    except (OSError, TypeError, SyntaxError) as why:
        raise Untranslatable(f"{formula!r:.60} has no text: {why}") from why
    if not isinstance(tree, ast.FunctionDef):
        raise Untranslatable(f"{getattr(formula, '__name__', formula)!s} is no def")
    code = inspect.unwrap(formula).__code__
    if code not in _codes(code.co_filename):
        raise Untranslatable(f"the file of {tree.name} was changed after it had been loaded")
    return tree


def _is_docstring(statement):
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


class _Writer:
    """The text of a function, statement by statement; expressions are (text, how tightly it binds)."""

    calls = CALLS

    def __init__(self, tree, scope):
        a = tree.args
        if a.vararg or a.kwarg or a.kwonlyargs or a.posonlyargs or a.defaults:
            raise Untranslatable(f"{tree.name} has more than plain arguments: {ast.unparse(a)}")
        self.tree, self.scope = tree, scope
        self.given = [_name(arg.arg) for arg in a.args if arg.arg != "self"]
        stored = [n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]
        self.locals = [n for n in dict.fromkeys(map(_name, stored)) if n not in self.given]

    # ---- statements ----
    def function(self):
        loops = {_name(n.target.id) for n in ast.walk(self.tree) if isinstance(n, (ast.For, ast.comprehension))
                 and isinstance(n.target, ast.Name)}
        names = [n for n in self.locals if n not in loops]
        declared = [f"let {', '.join(names)};"] if names else []
        body = textwrap.indent("\n".join([*declared, *self.block(self.tree.body)]), "  ")
        return f"({', '.join(self.given)}) => {{\n{body}\n}}"

    def block(self, statements):
        return [line for s in statements if not _is_docstring(s) for line in self.statement(s)]

    def statement(self, s):
        if isinstance(s, ast.Assign):
            return [f"{' = '.join(map(self.text, [*s.targets, s.value]))};"]
        if isinstance(s, ast.AugAssign) and type(s.op) in OPERATORS:
            return [f"{self.text(s.target)} {OPERATORS[type(s.op)][0]}= {self.text(s.value)};"]
        if isinstance(s, ast.If):
            body = [f"if ({self.text(s.test)}) {{", *self.inner(s.body)]
            return [*body, *(["} else {", *self.inner(s.orelse)] if s.orelse else []), "}"]
        if isinstance(s, ast.For) and isinstance(s.target, ast.Name) and not s.orelse and _is_range(s.iter):
            i = _name(s.target.id)
            return [f"for (let {i} = 0; {i} < {self.text(s.iter.args[0])}; {i}++) {{", *self.inner(s.body), "}"]
        if isinstance(s, ast.Return):
            return [f"return {self.text(s.value)};" if s.value else "return;"]
        if isinstance(s, (ast.Continue, ast.Pass)):
            return ["continue;"] if isinstance(s, ast.Continue) else []
        raise self.refusal(s)

    def inner(self, statements):
        return [f"  {line}" for line in self.block(statements)]

    # ---- expressions ----
    def text(self, node):
        return self.both(node)[0]

    def enclosed(self, node, least=CHOICE + 1):
        text, binds = self.both(node)
        return text if binds >= least else f"({text})"

    def both(self, node):
        write = getattr(self, f"of_{type(node).__name__}", None)
        if write is None:
            raise self.refusal(node)
        made = write(node)
        return made if isinstance(made, tuple) else (made, ATOM)

    def refusal(self, node):
        return Untranslatable(f"{self.tree.name} says {ast.unparse(node)!r:.80}, which has no translation")

    def of_Constant(self, node):
        if node.value is None or isinstance(node.value, (bool, str, int, float)):
            return literal(node.value)
        raise self.refusal(node)

    def of_Name(self, node):
        name = _name(node.id)
        if name in self.given or name in self.locals:
            return name
        value = self.scope.get(node.id)
        if isinstance(value, Real) and math.isfinite(value):
            return literal(value) if value >= 0 else f"({literal(value)})"
        raise Untranslatable(f"{self.tree.name} uses {node.id}, which is neither its own nor a number")

    def of_BinOp(self, node):
        if type(node.op) not in OPERATORS:
            raise self.refusal(node)
        sign, binds = OPERATORS[type(node.op)]
        power = isinstance(node.op, ast.Pow)  # binds to the right; its base must not begin with a sign
        left = self.enclosed(node.left, UNARY + 1 if power else binds)
        return f"{left} {sign} {self.enclosed(node.right, binds if power else binds + 1)}", binds

    def of_UnaryOp(self, node):
        sign = {ast.USub: "-", ast.Not: "!", ast.UAdd: "+"}.get(type(node.op))
        if sign is None:
            raise self.refusal(node)
        return f"{sign}{self.enclosed(node.operand, UNARY + 1)}", UNARY

    def of_Compare(self, node):
        sides = [self.enclosed(side, COMPARED + 1) for side in (node.left, *node.comparators)]
        if any(type(op) not in COMPARISONS for op in node.ops):
            raise self.refusal(node)
        pairs = [f"{a} {COMPARISONS[type(op)]} {b}" for a, op, b in zip(sides, node.ops, sides[1:])]
        return " && ".join(pairs), COMPARED if len(pairs) == 1 else AND

    def of_BoolOp(self, node):
        sign, binds = (("&&", AND) if isinstance(node.op, ast.And) else ("||", OR))
        return f" {sign} ".join(self.enclosed(v, binds + 1) for v in node.values), binds

    def of_IfExp(self, node):
        test, yes, no = (self.enclosed(n) for n in (node.test, node.body, node.orelse))
        return f"{test} ? {yes} : {no}", CHOICE

    def of_Tuple(self, node):
        return f"[{', '.join(map(self.text, node.elts))}]"

    of_List = of_Tuple

    def of_Dict(self, node):
        return "{" + ", ".join(f"{self.text(k)}: {self.text(v)}" for k, v in zip(node.keys, node.values)) + "}"

    def of_Subscript(self, node):
        if not isinstance(node.slice, (ast.Constant, ast.Name)):
            raise self.refusal(node)
        return f"{self.enclosed(node.value, ATOM)}[{self.text(node.slice)}]"

    def of_Attribute(self, node):
        if ast.unparse(node) in CONSTANTS:
            return CONSTANTS[ast.unparse(node)]
        if node.attr == "size":
            return f"{self.enclosed(node.value, ATOM)}.length"
        raise self.refusal(node)

    def of_GeneratorExp(self, node):
        each = node.generators[0]
        if len(node.generators) > 1 or each.ifs or not isinstance(each.target, ast.Name):
            raise self.refusal(node)
        return f"{self.enclosed(each.iter, ATOM)}.map({_name(each.target.id)} => {self.enclosed(node.elt)})"

    def of_Call(self, node):
        name, args = ast.unparse(node.func), node.args
        if any(k.arg != "order" for k in node.keywords):  # of memory
            raise self.refusal(node)
        if name in self.calls:
            return f"{self.calls[name]}({', '.join(map(self.text, args))})"
        if name == "as_dtype" and len(args) == 1:  # a number in a page is a float64
            return self.both(args[0])
        if name == "np.where" and len(args) == 3:
            return self.of_IfExp(ast.IfExp(*args))
        if name in ("np.full_like", "np.zeros_like"):
            return f"{self.enclosed(args[0], ATOM)}.map(() => {self.enclosed(args[1]) if args[1:] else 0})"
        if name == "np.array" and len(args) == 1:
            return f"{self.enclosed(args[0], ATOM)}.slice()"
        if isinstance(node.func, ast.Attribute) and node.func.attr == "copy" and not args:
            return f"{self.enclosed(node.func.value, ATOM)}.slice()"
        if isinstance(node.func, ast.Attribute) and node.func.attr == "get" and len(args) == 2:
            return f"({self.enclosed(node.func.value, ATOM)}[{self.text(args[0])}] ?? {self.enclosed(args[1])})"
        raise self.refusal(node)


class _Jets(_Writer):
    """Arithmetic of what depends on the arguments as calls, for numbers that carry their derivatives along."""

    def varies(self, node):
        return any(isinstance(n, ast.Name) and _name(n.id) in self.given for n in ast.walk(node))

    def both(self, node):
        if self.varies(node) and not isinstance(node, (ast.Name, ast.BinOp, ast.UnaryOp, ast.Call)):
            raise self.refusal(node)  # a jet is an array: JavaScript would compare and choose something else
        return super().both(node)

    def of_BinOp(self, node):
        if not self.varies(node):
            return super().of_BinOp(node)
        if type(node.op) not in JETS or (isinstance(node.op, ast.Pow) and self.varies(node.right)):
            raise self.refusal(node)
        return f"jet.{JETS[type(node.op)]}({self.text(node.left)}, {self.text(node.right)})"

    def of_UnaryOp(self, node):
        if not self.varies(node):
            return super().of_UnaryOp(node)
        if not isinstance(node.op, ast.USub):
            raise self.refusal(node)
        return f"jet.mul(-1, {self.text(node.operand)})"

    def of_Call(self, node):
        if not self.varies(node):
            return super().of_Call(node)
        name = ast.unparse(node.func)
        if name not in JET_CALLS or len(node.args) != 1 or node.keywords:
            raise self.refusal(node)
        return f"{JET_CALLS[name]}({self.text(node.args[0])})"


def _is_range(node):
    return isinstance(node, ast.Call) and ast.unparse(node.func) == "range" and len(node.args) == 1


def _name(name):
    return f"{name}$" if name in RESERVED else name
