"""The rule table, and the chain rule that walks a graph with it. Read this first, derivatives/basics.py next.

Vocabulary, here and everywhere: ``x`` an input, ``y`` the output, ``g`` the gradient of the final result with respect
to ``y`` (so it has y's shape); a *rule* turns ``g`` into the gradient with respect to one input; a *node* is one
application of an op to values. Nothing here knows what a Tensor is: rules run on whatever speaks NumPy.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import operator

import numpy as np

from . import kernels
from .source import here, place

table: dict = {}  # NumPy function, or function of ours -> Op: the derivative table
composites: dict = {}  # NumPy function -> the same made of functions in the table (np.dot, of matmul)
constants: set = set()  # functions whose result is locally constant (np.argmax): they return plain arrays


class Op:
    """A primitive: a function of arrays and, for each input, the rule ``(g, y, *inputs, **static) -> gradient``.

    rules: a tuple (None for an input without gradient, like a mask), or an `Each`. static: the keyword arguments, which
    are locally constant. broadcasts: forward broadcasts its inputs as ufuncs do; the engine undoes that, not the rule.
    """

    def __init__(self, key, rules, forward, broadcasts, bind):
        self.key, self.rules, self.forward, self.broadcasts = key, rules, forward, broadcasts
        self.name = key.__name__.strip("_")
        self.bind = bind or self._bind
        self.static = set()
        if type(rules) is tuple and not isinstance(key, np.ufunc):
            self.static.update(list(inspect.signature(next(filter(None, rules))).parameters)[2 + len(rules):])

    def _bind(self, *args, **kwargs):
        """Divide a call into inputs, the first ``len(rules)`` arguments, and static, the others by name."""
        n = len(self.rules)
        if len(args) > n or (kwargs and len(args) < n):
            names = [k.removeprefix("new") for k in inspect.signature(self.key).parameters]  # reshape's, in NumPy 2.0
            kwargs.update(zip(names[n:], args[n:]))
            args = args[:n] + tuple(kwargs.pop(k) for k in names[len(args):n] if k in kwargs)
        if len(args) < n:
            raise TypeError(f"{self.name} of a Tensor takes {n} arrays, got {len(args)}")
        if not self.static.issuperset(kwargs):
            for k in kwargs.keys() - self.static:
                if kwargs.pop(k) is not None:
                    takes = ", ".join(sorted(self.static)) or "none"
                    raise TypeError(f"{self.name} of a Tensor does not support {k}= (of keywords it takes {takes})")
        return args, kwargs


class Each:
    """The rules of an op with any number of inputs: one function ``(i, g, y, *inputs, **static)`` for all of them."""

    def __init__(self, rule):
        self.rule = rule

    def __iter__(self):
        return (functools.partial(self.rule, i) for i in itertools.count())


def rule(key, *rules, forward=None, broadcasts=None, bind=None):
    """Enter ``key`` into the table with one rule per input; ``forward`` where it differs from ``key`` itself."""
    broadcasts = isinstance(key, np.ufunc) if broadcasts is None else broadcasts
    table[key] = Op(key, rules[0] if isinstance(rules[0], Each) else rules, forward or key, broadcasts, bind)


class Node:
    """One application of an op. A record without a pointer to its Tensor: no reference cycles, nothing to break.

    parents: the nodes of the inputs (None for a constant). values: ``(y, *inputs)`` as arrays, None once backward has
    used and freed them; the rest stays. A leaf has no op, no parents and no values. where: `source.line` tells.
    """

    __slots__ = ("__dict__", "__weakref__", "born", "op", "parents", "shape", "static", "values", "where")
    name = grad = None  # rarely set: they live in __dict__, so recording does not pay for them
    hooks = calls = ()  # calls: of modules that this is a result of
    retains_grad = False
    requires_grad = True  # False: a constant that was given a name, kept for pictures

    def __init__(self, op, parents, values, static, shape):
        self.op, self.parents, self.values, self.static, self.shape = op, parents, values, static, shape
        self.born, self.where = next(ticks), op and here(4)

    def __repr__(self):
        told = [self.op.name if self.op else "leaf", f"shape={self.shape}", self.name, place(self.where)]
        return f"Node({', '.join(filter(None, told))})"


def outputs_first(roots, ends=()):
    """All nodes between ``roots`` and the leaves, or ``ends``, each after everything that uses it.

    A node is born after its inputs, so the youngest come first. No recursion: a graph may be deeper than the stack.
    """
    seen = {node for node in roots if node.op is not None and node not in ends}
    stack = list(seen)
    while stack:
        for p in stack.pop().parents:
            if p is not None and p.op is not None and p not in seen and p not in ends:
                seen.add(p)
                stack.append(p)
    return sorted(seen, key=operator.attrgetter("born"), reverse=True)


def pullback(seeds, targets=None, retain_graph=False, lift=None, watch=None, ends=()):
    """The chain rule: from ``{output node: g}`` to ``{target node: gradient}``, one vector-Jacobian product a node.

    targets: the nodes asked for (only what leads to them is computed); None: all leaves, and nodes that retain grad.
    lift: ``(array, node) -> Tensor``. With it the same rules run on Tensors, so the gradient has a graph of its own.
    watch: called as ``watch(node, x, g, d)`` with every product: how `detect_anomaly` looks on. ends: where the walk
    ends, as at leaves.
    A complex gradient is dL/d(real part) - i dL/d(imaginary part) in here: then holomorphic rules need no conjugates.
    Raises RuntimeError when a value it needs was freed by an earlier backward or changed in place.
    """
    kernels.settle(new_pass=True)  # of BLAS' threads
    order, found, grads = outputs_first(seeds, ends), {}, dict(seeds)
    if targets is not None:
        useful = set(targets)
        for node in reversed(order):
            if not useful.isdisjoint(node.parents):
                useful.add(node)
    last = {p: node for node in order for p in node.parents if p and p.op is None and p.hooks and p not in ends}
    for node in order:
        g = grads.pop(node, None)  # popped: memory falls as the walk proceeds
        if g is None:
            continue
        for hook in node.hooks:
            g = hook(g)
        if node.retains_grad if targets is None else node in targets:
            found[node] = g
        if targets is not None and useful.isdisjoint(node.parents):
            continue
        op = node.op
        y, *inputs = _saved(node) if lift is None else map(lift, _saved(node), (node, *node.parents))
        rules = op.rules if lift is not None or y.size < kernels.LARGE else kernels.rules_of(op)
        for parent, x, rule in zip(node.parents, inputs, rules):
            if (parent is None or not parent.requires_grad or rule is None
                    or (targets is not None and parent not in useful)):
                continue  # what nobody needs is not computed: a first layer's input gradient is a whole GEMM
            d = rule(g, y, *inputs, **node.static)
            if watch is not None: watch(node, x, g, d)
            if d.shape != x.shape:
                if not op.broadcasts:
                    raise ValueError(f"a rule of {op.name} gave shape {d.shape} for an input of shape {x.shape}")
                d = unbroadcast(d, x.shape)
            if d.dtype is not x.dtype and d.dtype != x.dtype:
                d = cast(d, x.dtype)
            grads[parent] = grads[parent] + d if parent in grads else d  # never +=: a rule may hand g itself to two
        if not retain_graph: node.values = None
        for leaf in last and node.parents:
            if last.get(leaf) is node and leaf in grads:  # complete, so its hooks wait for nothing else
                found[leaf] = functools.reduce(lambda g, hook: hook(g), leaf.hooks, grads.pop(leaf))
    for leaf, g in grads.items():  # what is left belongs to the leaves
        for hook in leaf.hooks if leaf not in ends else ():
            g = hook(g)
        found[leaf] = g
    return found


def unbroadcast(g, shape):
    """Undo broadcasting: the gradient of a value that was repeated is the sum over its copies."""
    lead = g.ndim - len(shape)
    axes = tuple(range(lead)) + tuple(lead + i for i, n in enumerate(shape) if n == 1 != g.shape[lead + i])
    return g.sum(axis=axes, keepdims=True).reshape(shape)


def cast(g, dtype):
    """Undo a change of dtype: a real number that became complex is moved by the real part alone."""
    return (np.real(g) if g.dtype.kind == "c" != dtype.kind else g).astype(dtype)


ticks = itertools.count(1)  # one for every node recorded and every change in place
_last_change, _changed = 0, {}  # id of the array that owns the memory -> the tick of its last change in place


def changed(array):
    """Say that ``array`` was written to in place, so that a graph that saved its old value refuses to use it.

    A saved array is alive since its node was born, so a later entry under its id can only be about itself.
    """
    global _last_change
    _changed[id(_owner(array))] = _last_change = next(ticks)


def _owner(array):
    while getattr(array, "base", None) is not None:
        array = array.base
    return array


def _saved(node):
    """The values of a node, or the error that tells why they cannot be used."""
    if node.values is None:
        raise RuntimeError(
            f"backward over {node!r} a second time: the first freed its values. Call it with retain_graph=True the "
            "first time, add the losses and call backward once, compute the loss again, or detach() what is carried on")
    if node.born < _last_change:
        static = (v for s in node.static.values() for v in (s if type(s) is tuple else (s,)))
        for v in (*node.values, *static):
            if isinstance(v, np.ndarray) and _changed.get(id(_owner(v)), 0) > node.born:
                raise RuntimeError(
                    f"a value of shape {v.shape} that {node!r} saved for backward was changed in place after it was "
                    "used. Call backward before the change (before optimizer.step()), or change a copy: t = t.copy()")
    return node.values
