"""Functions of functions: grad, vjp, jvp, jacobian, hessian and their kin, over nested containers and modules.

Each runs the function on leaves of its own and lets the engine walk back. There is no second set of rules: forward mode
is reverse mode used twice, for u -> u^T J is linear in u, and its own transpose is v -> J v. They nest to any depth: a
derivative that depends on something outside (the argument of an outer `grad`, a Tensor that requires grad) is recorded
in its turn, so it can be differentiated again; inside ``no_grad()`` it is not.

Arguments and results are trees: dicts, lists, tuples, modules, and these in each other. A module counts as the dict of
those of its parameters that require grad, by name. Results are Tensors.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import operator
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from . import graph, random, tensor, tree
from .batching import Batched, levels, unwrap, vmap, wrap
from .graph import Node, Op, outputs_first, pullback
from .mode import enable_grad, mode
from .tensor import Tensor, _pull

__all__ = ["checkpoint", "elementwise_grad", "gauss_newton_vp", "grad", "hessian", "hvp", "jacfwd", "jacobian",
           "jacrev", "jvp", "value_and_grad", "vhp", "vjp", "vmap"]


class _Trace:
    """One run of ``f`` on leaves of our own, and the graph that it left.

    y: what f returned, a tree of Tensors. ys: its leaves; xs: those of the arguments ``argnums``; both with an axis in
    front for each vmap around us, so that examples that share a value have a gradient each.
    """

    def __init__(self, f, args, kwargs=None, argnums=0, has_aux=False):
        self.f, self.levels, recording = f, levels.active, mode.recording
        numbers, one = _positions(argnums, args, f)
        self.xs, self.lifts, args = [], False, list(args)
        with enable_grad(), contextlib.ExitStack() as stack:
            if any(tree.holds_module(args[i]) for i in numbers):
                stack.enter_context(tree.one_at_a_time)  # from before its parameters are read
            opened = [tree.opened(args[i]) for i in numbers]
            self.tree = opened[0] if one else tuple(opened)
            self.weights = [id(p) for t in opened for p in _weights(t)]
            if len(set(self.weights)) < len(self.weights):
                raise ValueError(f"two of the modules that {_name(f)} is differentiated in share a parameter: its "
                                 "gradient would be counted twice. Put them into one module")
            for i, t in zip(numbers, opened):
                first = len(self.xs)
                self.xs += [self._leaf(x, f"argument {i}{path} of {_name(f)}") for path, x in tree.leaves(t)]
                args[i] = tree.rebuild(t, (wrap(x, self.levels) for x in self.xs[first:]),
                                       lambda m, new: stack.enter_context(tree.substituted(m, new)))
            y = f(*args, **(kwargs or {}))
        self.aux = None
        if has_aux:
            if not isinstance(y, tuple) or len(y) != 2:
                raise ValueError(f"with has_aux=True, {_name(f)} must return (result, aux), not {type(y).__name__}")
            y, self.aux = y
        self.y = tree.transform(_tensor, y)
        self.ys = [_tensor(unwrap(v, self.levels)) for _, v in tree.leaves(self.y)]
        self.lifts = recording and (self.lifts or _reaches_beyond(self.ys, self.xs))
        if not self.lifts:
            self.y, self.aux = tree.transform(_detached, self.y), tree.transform(_detached, self.aux)

    def _leaf(self, x, where):
        if not isinstance(x, (Tensor, Batched, np.ndarray, np.generic, int, float, complex)):
            raise TypeError(f"{where} is a {type(x).__name__}: derivatives are with respect to arrays, Tensors and "
                            "numbers, in dicts, lists, tuples and modules")
        x = _tensor(x)
        if x.dtype.kind not in "fc":
            raise TypeError(f"{where} has dtype {x.dtype}: only floating-point numbers have derivatives, use "
                            "astype(np.float32)")
        weight = id(x) in self.weights and x.is_leaf and not hasattr(x.node, "traced")
        x = _tensor(unwrap(x, self.levels))
        if x.requires_grad and not weight:
            self.lifts = True
            return np.reshape(x, x.shape)  # a new place in the graph: what reaches x by another way is not ours
        x = Tensor(x.data, requires_grad=True, name=x.name)
        x.node.traced = True
        return x

    def number(self):
        """The one result, which must be a single number, as the seed of its own gradient."""
        leaves = [v for _, v in tree.leaves(self.y)]
        if len(leaves) == 1 and leaves[0].dtype.kind == "c":
            raise TypeError(f"{_name(self.f)} returns a complex number: use np.real, np.abs, ... of it")
        if len(leaves) != 1 or leaves[0].size != 1:
            shapes = [v.shape for v in leaves]
            raise ValueError(f"{_name(self.f)} must return a single number to have a gradient, not shape "
                             f"{shapes[0] if len(shapes) == 1 else shapes}: sum it, or use jacobian or vjp")
        return [np.ones(self.ys[0].shape, self.ys[0].dtype)]

    def pull(self, us, create_graph=None):
        """u^T dy/dx for each x, with one u for each y."""
        return _vjp(self.ys, us, self.xs, self.lifts if create_graph is None else create_graph)

    def records(self, vs):
        """Whether products with ``vs`` are to be recorded in their turn."""
        return mode.recording and (self.lifts or any(v.requires_grad for v in vs))

    def transposed(self):
        """(us, gs): g = u^T dy/dx as a function of the leaves u, to be pulled back once more: v^T dg/du is dy/dx v."""
        us = [Tensor(np.zeros_like(y.data), requires_grad=y.dtype.kind in "fc") for y in self.ys]
        return us, self.pull(us, create_graph=True)

    def like_arguments(self, values):
        """What belongs to xs, as a tree like the arguments."""
        return tree.rebuild(self.tree, (wrap(v, self.levels) for v in values))

    def tangents(self, vs, what):
        """A tree like the arguments as the list of what belongs to xs."""
        return [_fit(v, x, self.levels, f"{what}{path}") for (path, x), v in zip(
            zip(_paths(self.tree), self.xs), tree.matching(vs, self.tree, what))]


def _positions(argnums, args, f):
    """The positions that ``argnums`` means, as a list, and whether it is one number."""
    one = not isinstance(argnums, Iterable)
    numbers = [operator.index(i) for i in ([argnums] if one else argnums)]
    for i in numbers:
        if not -len(args) <= i < len(args):
            raise ValueError(f"argnums holds {i}, but {_name(f)} was called with {len(args)} arguments")
    return [i % len(args) for i in numbers], one


def _weights(t):
    """The parameters of the modules in a tree that was opened."""
    if isinstance(t, tree.Parameters):
        return list(t.values())
    items = t.values() if isinstance(t, dict) else t if isinstance(t, (list, tuple)) else ()
    return [p for item in items for p in _weights(item)]


def _paths(t):
    return [path for path, _ in tree.leaves(t)]


def _fit(v, x, active, what):
    v = _tensor(unwrap(_tensor(v), active))
    if v.shape != x.shape:
        raise ValueError(f"{what} has shape {v.shape}, but its counterpart has {x.shape}")
    if v.dtype.kind == "c" != x.dtype.kind:
        raise TypeError(f"{what} is complex, but its counterpart is real")
    return v if v.dtype == x.dtype else v.astype(x.dtype)


def _vjp(ys, us, xs, create_graph):
    """u^T dy/dx for each of xs; zero where nothing depends on it."""
    pairs = [(y, u) for y, u in zip(ys, us) if isinstance(y, Tensor) and y.requires_grad]
    found = pairs and _pull(*zip(*pairs), {x.node for x in xs if x.requires_grad}, True, create_graph)
    return [found[x.node] if found and x.node in found else Tensor(np.zeros_like(x.data)) for x in xs]


def _reaches_beyond(ys, xs):
    """Whether ys depend on a leaf that is none of xs."""
    roots, ours = [y.node for y in ys if y.requires_grad], {x.node for x in xs}
    inputs = (p for node in outputs_first(roots, ours) for p in node.parents if p is not None)
    return any(p.op is None and p.requires_grad and p not in ours for p in (*roots, *inputs))


def _tensor(x):
    return x if isinstance(x, (Tensor, Batched)) else Tensor(x)


def _detached(x):
    return x.detach() if isinstance(x, (Tensor, Batched)) else x


def _name(f):
    return getattr(f, "__name__", None) or f"{f!r:.60}"


def _like(f, new, what):
    """``new`` under the name of f."""
    new.__name__ = new.__qualname__ = f"{what}({_name(f)})"
    return new


# ---- first derivatives ----
def value_and_grad(f: Callable, argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Callable:
    """A function that returns (f(*args), df/d(args[argnums])); f must return a single number.

    argnums: which argument, or several: then the gradient is a tuple. has_aux: f returns (result, aux), and the new
    function ((result, aux), gradient). Raises ValueError if f returns more than a number, TypeError naming the argument
    if there is one without floating-point numbers.
    """
    def value_and_gradient(*args, **kwargs):
        t = _Trace(f, args, kwargs, argnums, has_aux)
        gradient = t.like_arguments(t.pull(t.number()))
        return ((t.y, t.aux) if has_aux else t.y), gradient
    return _like(f, value_and_gradient, "value_and_grad")


def grad(f, *args, **kwargs):
    """``grad(f, argnums=0, has_aux=False)``: a function that returns the gradient of f, which returns a single number.

    With has_aux, f returns (result, aux), and the new function (gradient, aux). See `value_and_grad`.

    ``grad(y, xs, create_graph=False, retain_graph=None, gradient=None)``: for a Tensor y, or a list of them, the
    gradients with respect to the Tensors xs, as `minigrad.tensor.grad` gives them.

        >>> grad(grad(lambda x: x ** 3))(2.0)
        tensor(12.)
    """
    if not callable(f):
        return tensor.grad(f, *args, **kwargs)
    return _grad(f, *args, **kwargs)


def _grad(f, argnums=0, has_aux=False):
    both = value_and_grad(f, argnums, has_aux)

    def gradient(*args, **kwargs):
        y, g = both(*args, **kwargs)
        return (g, y[1]) if has_aux else g
    return _like(f, gradient, "grad")


def elementwise_grad(f: Callable, argnums: int | Sequence[int] = 0) -> Callable:
    """A function that returns d(sum of f)/dx: the derivative at every element, of an elementwise f."""
    return _like(f, _grad(lambda *args, **kwargs: np.sum(f(*args, **kwargs)), argnums), "elementwise_grad")


def vjp(f: Callable, *primals, has_aux: bool = False) -> tuple:
    """(f(*primals), pull), where ``pull(u)`` is the tuple of u^T df/d(primal), one for each argument.

    pull may be called many times. has_aux: f returns (result, aux), and aux comes third. For complex results and
    arguments the product is that of PyTorch: the gradient of Re(sum(conj(u) y)).
    """
    t = _Trace(f, primals, argnums=range(len(primals)), has_aux=has_aux)

    def pull(u):
        us = [_fit(v, y, t.levels, f"the gradient{path}") for path, y, v in zip(
            _paths(t.y), t.ys, tree.matching(u, t.y, "the gradient"))]
        return t.like_arguments(t.pull(us, t.records(us)))
    return (t.y, pull, t.aux) if has_aux else (t.y, pull)


def jvp(f: Callable, primals: Sequence, tangents: Sequence, has_aux: bool = False) -> tuple:
    """(f(*primals), df/d(primals) applied to the ``tangents``): forward mode, one directional derivative.

    From the same rules: g(u) = u^T J is linear in u, so its vector-Jacobian product with v is J v, at any u. Tangents
    have the structure and shapes of the primals. has_aux: f returns (result, aux), and aux comes third.
    """
    if not isinstance(primals, (tuple, list)) or not isinstance(tangents, (tuple, list)):
        raise TypeError("jvp takes the arguments of f as a tuple, and their tangents as another: "
                        "jvp(f, (x, y), (vx, vy))")
    t = _Trace(f, tuple(primals), argnums=range(len(primals)), has_aux=has_aux)
    vs = t.tangents(tuple(tangents), "the tangent")
    us, gs = t.transposed()
    products = _vjp(gs, vs, us, t.records(vs))
    product = tree.rebuild(t.y, (wrap(p, t.levels) for p in products))
    return (t.y, product, t.aux) if has_aux else (t.y, product)


# ---- matrices of derivatives ----
def jacobian(f: Callable, argnums: int | Sequence[int] = 0, has_aux: bool = False,
             chunk_size: int | None = None) -> Callable:
    """A function that returns df/dx, of shape (*y.shape, *x.shape), by reverse mode: one backward for all rows at once.

    For trees: a tree like f's result of trees like the argument. chunk_size: how many rows at a time, if memory is
    short. The method of choice where f has fewer outputs than inputs; else `jacfwd`.
    """
    def jac(*args, **kwargs):
        t = _Trace(f, args, kwargs, argnums, has_aux)
        _check_real(*t.xs, *t.ys)
        blocks = []
        for y in t.ys:
            def row(u, y=y):
                return t.like_arguments(_vjp([y], [unwrap(u, t.levels)], t.xs, t.lifts))
            blocks.append(rows(row, y.shape[len(t.levels):], y.dtype, chunk_size))
        result = tree.rebuild(t.y, iter(blocks))
        return (result, t.aux) if has_aux else result
    return _like(f, jac, "jacobian")


jacrev = jacobian


def jacfwd(f: Callable, argnums: int | Sequence[int] = 0) -> Callable:
    """`jacobian` by forward mode, one column for each number in the argument: for f with more outputs than inputs."""
    def jac(*args, **kwargs):
        numbers, one = _positions(argnums, args, f)
        primals = tuple(args[i] for i in numbers)

        def of_these(*new):
            return f(*(new[numbers.index(i)] if i in numbers else a for i, a in enumerate(args)), **kwargs)
        xs = [_tensor(x) for _, x in tree.leaves(primals)]
        _check_real(*xs)
        columns = []  # for each of xs the leaves of f's result
        for i, x in enumerate(xs):
            def column(v, i=i):
                vs = [v if j == i else np.zeros(x.shape, x.dtype) for j, x in enumerate(xs)]
                return jvp(of_these, primals, tree.rebuild(primals, iter(vs)))[1]
            y = rows(column, x.shape, x.dtype)
            columns.append([np.moveaxis(c, range(x.ndim), range(-x.ndim, 0)) for _, c in tree.leaves(y)])
            _check_real(*columns[-1])
        like = primals[0] if one else primals
        return tree.rebuild(y, (tree.rebuild(like, iter(cs)) for cs in zip(*columns)))
    return _like(f, jac, "jacfwd")


def _check_real(*values):
    if any(v.dtype.kind == "c" for v in values):
        raise TypeError("a Jacobian is of real numbers: split complex ones with np.real and np.imag")


def rows(row, shape, dtype, chunk_size=None):
    """``row`` of every unit vector of this shape: a tree of its results, with the axes of ``shape`` in front."""
    if chunk_size is not None and chunk_size < 1:
        raise ValueError(f"chunk_size must be at least 1, not {chunk_size}")
    n = int(np.prod(shape))
    units = np.eye(n, dtype=dtype).reshape(n, *shape)
    step = chunk_size or max(n, 1)
    chunks = [vmap(row)(units[i:i + step]) for i in range(0, max(n, 1), step)]
    return tree.transform(lambda *parts: np.reshape(np.concatenate(parts) if len(parts) > 1 else parts[0],
                                                    (*shape, *parts[0].shape[1:])), *chunks)


def hessian(f: Callable, argnums: int | Sequence[int] = 0, chunk_size: int | None = None) -> Callable:
    """A function that returns the second derivatives of f, which returns a single number: (*x.shape, *x.shape).

    For trees: a tree like the argument, of trees like the argument. It is jacobian(grad(f)).
    """
    return _like(f, jacobian(_grad(f, argnums), argnums, chunk_size=chunk_size), "hessian")


def hvp(f: Callable, inputs, v) -> tuple:
    """(f(*inputs), H v): the Hessian of f, which returns a single number, times v, without H. (Pearlmutter 1994)

    The gradient of u^T g for the gradient g: two backward passes. inputs: a tuple of arguments, or the only one; v and
    the product have the same structure.
    """
    t, vs = _with_tangents(f, inputs, v)
    gradient = t.pull(t.number(), create_graph=True)
    return t.y, t.like_arguments(_vjp(gradient, vs, t.xs, t.records(vs)))


vhp = hvp  # v^T H is H v: the Hessian is symmetric


def _with_tangents(f, inputs, v):
    several = isinstance(inputs, tuple)
    t = _Trace(f, inputs if several else (inputs,), argnums=range(len(inputs)) if several else 0)
    return t, t.tangents(v, "v")


def gauss_newton_vp(f: Callable, loss: Callable, inputs, v) -> tuple:
    """(loss(f(*inputs)), J^T H J v): the Gauss-Newton matrix times v, with J = df/d(inputs) and H = d^2 loss/df^2.

    It is positive semi-definite where loss is convex, and the Hessian where f is linear (Schraudolph 2002). inputs: a
    tuple of arguments, or the only one.
    """
    t, vs = _with_tangents(f, inputs, v)
    us, gs = t.transposed()
    create_graph = t.records(vs)
    jv = _vjp(gs, vs, us, create_graph)
    outer = _Trace(loss, (t.y,))
    hjv = _vjp(outer.pull(outer.number(), create_graph=True), jv, outer.xs, create_graph)
    return outer.y, t.like_arguments(t.pull(hjv, create_graph))


# ---- memory ----
def checkpoint(f: Callable) -> Callable:
    """f with its inner values forgotten after the call and computed again when backward needs them.

    For depth that does not fit in memory: of n layers in blocks of sqrt(n), sqrt(n) are kept at a time, for the price
    of a second forward pass (Griewank & Walther 2000; Chen et al. 2016). f: a function or a module, which must do the
    same the second time: minigrad's default generator is set back for it, so that dropout repeats; batch norm counts
    the batch twice. Any order. Raises RuntimeError if the second run depends on other values or gives another result.
    """
    def checkpointed(*args, **kwargs):
        if not mode.recording:
            return f(*args, **kwargs)
        return _Checkpoint(f, args, kwargs).first()
    return _like(f, checkpointed, "checkpoint")


class _Checkpoint:
    """One call of a function whose graph is thrown away, and all that is needed to run it again as it ran."""

    def __init__(self, f, args, kwargs):
        self.f, self.args, self.kwargs = f, args, kwargs
        self.levels, self.substitutions = levels.active, tree.substitutions()
        self.drawn = random.default_generator().bit_generator.state

    def _run(self):
        """What f returned; its differentiable leaves as one flat value; and {node: value} of what that depends on."""
        start = next(graph.ticks)  # what is born later is inside
        y = self.f(*self.args, **self.kwargs)
        self.ys = [unwrap(v, self.levels) for _, v in tree.leaves(y) if getattr(v, "requires_grad", False)]
        if not self.ys:
            return y, None, {}
        flat = np.concatenate([np.reshape(v, -1) for v in self.ys])
        return y, flat, _inputs(flat.node, start)

    def first(self):
        """f's result, with one node in place of all that it recorded."""
        y, flat, self.inputs = self._run()
        if flat is None:
            return y
        node = Node(_CHECKPOINT, list(self.inputs), (flat.data, *self.inputs.values()), {"again": self}, flat.shape)
        flat, start, parts = tensor._wrap(flat.data, node), 0, []
        for v in self.ys:
            part = np.reshape(flat[start:start + v.size], v.shape)
            parts.append(wrap(part if part.dtype == v.dtype else part.astype(v.dtype), self.levels))
            start += v.size
        self.ys, self.inputs, parts = None, list(self.inputs), iter(parts)
        return tree.transform(lambda v: next(parts) if getattr(v, "requires_grad", False) else v, y)

    def products(self, g, y):
        """g^T d(flat)/d(input) for each of the inputs, by running f again."""
        generator = random.default_generator()
        drawn, active = generator.bit_generator.state, levels.active
        try:
            generator.bit_generator.state, levels.active = self.drawn, self.levels
            with enable_grad(), contextlib.ExitStack() as stack:
                for parameters, new in self.substitutions:
                    stack.enter_context(tree.substituted(parameters, new))
                _, flat, inputs = self._run()
        finally:
            generator.bit_generator.state, levels.active, self.ys = drawn, active, None
        before = tensor._plain(y)
        if inputs.keys() != set(self.inputs) or not np.allclose(flat.data, before, 1e-3, 1e-6, equal_nan=True):
            raise RuntimeError(f"checkpoint({_name(self.f)}): the second run does not depend on the same values as the "
                               "first, or gave other results. Change nothing in between, and draw random numbers from "
                               "minigrad's default generator")
        lift = tensor._lift if isinstance(y, Tensor) else None
        return pullback({flat.node: g}, set(self.inputs), lift is not None, lift, ends=set(self.inputs))


def _inputs(root, start):
    """{node: its value} of what was there before ``start`` and is used by the nodes behind ``root`` born since."""
    found, stack, seen = {}, [root], {root}
    while stack:
        node = stack.pop()
        for p, x in zip(node.parents, node.values[1:]):
            if p is not None and p.requires_grad and p not in seen:
                seen.add(p)
                if p.born < start:
                    found[p] = x
                elif p.op is not None:
                    stack.append(p)
    return found


class _Recomputed:
    """The rules of a checkpoint, one for each input: the first that is asked runs f again, for all of them."""

    def __iter__(self):
        found = {}

        def rule(k, g, y, *xs, again):
            if not found:
                found.update(again.products(g, y))
            return found[again.inputs[k]]
        return (functools.partial(rule, k) for k in itertools.count())


_CHECKPOINT = Op(checkpoint, _Recomputed(), None, False, None)
