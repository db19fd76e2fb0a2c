"""The derivative table's rules for large arrays: the same expressions, compiled, or loops written by hand.

A rule whose expression treats each element by itself becomes one loop (`compiled.expression`). One that sums, like
normalization's, may name a function that computes the same faster: ``@by_hand(f)`` above it, in the table.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Callable

import numpy as np

from . import compiled, threads
from .text import lambda_text

LARGE = 50_000  # elements: for fewer NumPy's own calls are as fast


def by_hand(function: Callable) -> Callable:
    """Decorate a rule with a function of the same arguments, all of them arrays, to call where they are large; it may
    return None where it does not know how."""
    def enter(rule):
        rule.by_hand = function
        return rule
    return enter


def shared(ufunc: np.ufunc) -> Callable:
    """``ufunc``, or where threads are awake and its first argument is a large array, each of them on a part."""
    @functools.wraps(ufunc)
    def call(x, *others):
        if (type(x) is not np.ndarray or x.size < threads.SHARED or x.dtype.kind != "f" or not threads.awake()
                or any(map(np.ndim, others))):
            return ufunc(x, *others)
        y, axis = np.empty_like(x), max(range(x.ndim), key=lambda i: x.strides[i])
        of, to = x.swapaxes(0, axis), y.swapaxes(0, axis)
        threads.share(lambda part: ufunc(of[slice(*part)], *others, out=to[slice(*part)]), len(to), x.size, True)
        return y
    return call


def rules_of(op):
    """``op.rules`` as they are to be called on large arrays."""
    if compiled.chosen() != "compiled" or type(op.rules) is not tuple:
        return op.rules
    return _compiled(op)


@functools.cache
def _compiled(op):
    return tuple(_Rule(rule) if hasattr(rule, "__code__") else rule for rule in op.rules)


class _Rule:
    """A rule, called in its place."""

    def __init__(self, rule):
        self.rule, self.by_hand, self.names = rule, getattr(rule, "by_hand", None), compiled.arguments(rule)
        self.defaults = dict(zip(self.names[::-1], (rule.__defaults__ or ())[::-1]))
        _, tree = lambda_text(rule) or (None, None)
        parts = [] if tree is None else list(ast.walk(tree))
        self.used = {n.id for n in parts if isinstance(n, ast.Name)} & set(self.names)
        self.steps = sum(isinstance(n, ast.BinOp | ast.Call | ast.Compare | ast.UnaryOp) for n in parts)
        self.loops = {}

    def __call__(self, g, y, *inputs, **static):
        if self.by_hand is not None:
            d = self.by_hand(g, y, *inputs, **static)
            if d is not None:
                return d
        shared = g.size >= threads.SHARED and threads.awake()
        if self.steps < (1 if shared else 2):  # NumPy passes over memory once, too
            return self.rule(g, y, *inputs, **static)
        given = {**self.defaults, **dict(zip(self.names, (g, y, *inputs))), **static}
        arrays = {name: a for name, a in given.items() if name in self.used and type(a) is np.ndarray}
        flat = self.flat(g, arrays, given)
        loop = flat and self.loop(tuple(arrays), g.dtype)
        if not loop:
            return self.rule(g, y, *inputs, **static)
        d, flat_d = flat.pop("")
        numbers = [given[k] if k in arrays else float(given[k]) if k in self.used else 0.0 for k in self.names]

        def run(part):
            part = slice(*part)
            loop(flat_d[part], *(flat[k][part] if k in flat else n for k, n in zip(self.names, numbers)))
        try:
            threads.share(run, g.size, g.size if shared else 0, in_passing=True)
        except compiled.numba_error() as why:  # while it compiles
            compiled.refused[compiled.name(self.rule)] = str(why)
            self.loops[tuple(arrays), g.dtype] = None
            return self.rule(g, y, *inputs, **static)
        return d

    def flat(self, g, arrays, given):
        """The arrays as they lie in memory, and a new one under "" with itself; None if they differ in shape or order,
        or if something else is no number."""
        numbers = [v for k, v in given.items() if k in self.used and k not in arrays]
        if g.dtype not in (np.float32, np.float64) or not all(type(v) in (int, float) for v in numbers) or any(
                a.shape != g.shape or (a.strides != g.strides and a.dtype != bool) or a.dtype not in (g.dtype, bool)
                for a in arrays.values()):
            return None
        d = np.empty_like(g)
        order = sorted(range(g.ndim), key=lambda i: -g.strides[i])
        found = {name: a.transpose(order) for name, a in ({**arrays, "": d}).items()}
        if not all(a.flags.c_contiguous for a in found.values()):
            return None
        found = {name: a.reshape(-1) for name, a in found.items()}
        return {**found, "": (d, found[""])}

    def loop(self, arrays, dtype):
        if (arrays, dtype) not in self.loops:
            self.loops[arrays, dtype] = compiled.expression(self.rule, arrays, dtype)
        return self.loops[arrays, dtype]
