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
import itertools
from collections.abc import Callable, Sequence

import numpy as np

from . import random, tensor, tree
from .batching import Batched, levels, unwrap, vmap, wrap
from .graph import Each, Node, Op, pullback
from .mode import enable_grad, mode
from .tensor import Parameter, Tensor, _pull

__all__ = ["checkpoint", "elementwise_grad", "gauss_newton_vp", "grad", "hessian", "hvp", "jacfwd", "jacobian",
           "jacrev", "jvp", "value_and_grad", "vhp", "vjp", "vmap"]


class _Trace:
    """One run of ``f`` on leaves of our own, and the graph that it left.

    y: what f returned, a tree of Tensors. ys: its leaves; xs: those of the arguments ``argnums``; both with an axis in
    front for each vmap around us, so that examples that share a value have a gradient each.
    """

    def __init__(self, f, args, kwargs=None, argnums=0, has_aux=False):
        self.f, self.levels, recording = f, levels.active, mode.recording
        numbers = [_position(i, args, f) for i in ([argnums] if isinstance(argnums, int) else argnums)]
        self.tree = args[numbers[0]] if isinstance(argnums, int) else tuple(args[i] for i in numbers)
        self.xs, self.lifts, args = [], False, list(args)
        with enable_grad(), contextlib.ExitStack() as stack:
            for i in numbers:
                first = len(self.xs)
                self.xs += [self._leaf(x, f"argument {i}{path} of {_name(f)}") for path, x in tree.leaves(args[i])]
                args[i] = tree.rebuild(args[i], (wrap(x, self.levels) for x in self.xs[first:]),
                                       lambda m, new: stack.enter_context(tree.substituted(m, new)))
            y = f(*args, **(kwargs or {}))
        self.aux = None
        if has_aux:
            if not isinstance(y, tuple) or len(y) != 2:
                raise ValueError(f"with has_aux=True, {_name(f)} must return (result, aux), not {type(y).__name__}")
            y, self.aux = y
        self.y = tree.transform(_tensor, y)
        self.ys = [unwrap(v, self.levels) for _, v in tree.leaves(self.y)]
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
        weight = isinstance(x, Parameter) and x.is_leaf and not hasattr(x.node, "traced")
        x = _tensor(unwrap(x, self.levels))
        if x.requires_grad and not weight:
            self.lifts = True
            return np.reshape(x, x.shape)  # a new place in the graph: what reaches x by another way is not ours
        x = Tensor(x.data, requires_grad=True, name=x.name)
        x.node.traced = True
        return x

    def number(self):
        """The one result, which must be a single number, as the seed of its own gradient."""
        if len(self.ys) != 1 or self.y.size != 1:
            shapes = [v.shape for _, v in tree.leaves(self.y)]
            raise ValueError(f"{_name(self.f)} must return a single number to have a gradient, not shape "
                             f"{shapes[0] if len(shapes) == 1 else shapes}: sum it, or use jacobian or vjp")
        return [np.ones(self.ys[0].shape, self.ys[0].dtype)]

    def pull(self, us, create_graph=None):
        """u^T dy/dx for each x, with one u for each y."""
        return _vjp(self.ys, us, self.xs, self.lifts if create_graph is None else create_graph)

    def like_arguments(self, values):
        """What belongs to xs, as a tree like the arguments."""
        return tree.rebuild(self.tree, (wrap(v, self.levels) for v in values))

    def tangents(self, vs, what):
        """A tree like the arguments as the list of what belongs to xs."""
        return [_fit(v, x, self.levels, f"{what}{path}") for (path, x), v in zip(
            zip(_paths(self.tree), self.xs), tree.matching(vs, self.tree, what))]


def _position(i, args, f):
    if not isinstance(i, int) or not -len(args) <= i < len(args):
        raise ValueError(f"argnums holds {i!r}, but {_name(f)} was called with {len(args)} arguments")
    return i % len(args)


def _paths(t):
    return [path for path, _ in tree.leaves(t)]


def _fit(v, x, active, what):
    v = _tensor(unwrap(_tensor(v), active))
    if v.shape != x.shape:
        raise ValueError(f"{what} has shape {v.shape}, but its counterpart has {x.shape}")
    return v if v.dtype == x.dtype else v.astype(x.dtype)


def _vjp(ys, us, xs, create_graph):
    """u^T dy/dx for each of xs; zero where nothing depends on it."""
    pairs = [(y, u) for y, u in zip(ys, us) if isinstance(y, Tensor) and y.requires_grad]
    found = pairs and _pull(*zip(*pairs), {x.node for x in xs}, True, create_graph)
    return [found[x.node] if x.node in found else Tensor(np.zeros_like(x.data)) for x in xs]


def _reaches_beyond(ys, xs):
    """Whether ys depend on a leaf that is none of xs."""
    ours = {x.node for x in xs}
    stack = [y.node for y in ys if y.requires_grad]
    seen = set(stack)
    while stack:
        node = stack.pop()
        if node in ours:
            continue
        if node.op is None and node.requires_grad:
            return True
        new = {p for p in node.parents if p is not None} - seen
        seen |= new
        stack += new
    return False


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
        create_graph = mode.recording and (t.lifts or any(v.requires_grad for v in us))
        return t.like_arguments(t.pull(us, create_graph))
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
    us = [Tensor(np.zeros_like(y.data), requires_grad=True) for y in t.ys]
    gs = t.pull(us, create_graph=True)
    create_graph = mode.recording and (t.lifts or any(v.requires_grad for v in vs))
    products = _vjp(gs, vs, us, create_graph)
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
        blocks = []
        for y in t.ys:
            def row(u, y=y):
                return t.like_arguments(_vjp([y], [unwrap(u, t.levels)], t.xs, t.lifts))
            blocks.append(_rows(row, y.shape[len(t.levels):], y.dtype, chunk_size))
        result = tree.rebuild(t.y, iter(blocks))
        return (result, t.aux) if has_aux else result
    return _like(f, jac, "jacobian")


jacrev = jacobian


def jacfwd(f: Callable, argnums: int | Sequence[int] = 0) -> Callable:
    """`jacobian` by forward mode, one column for each number in the argument: for f with more outputs than inputs."""
    def jac(*args, **kwargs):
        numbers = [_position(i, args, f) for i in ([argnums] if isinstance(argnums, int) else argnums)]
        primals = tuple(args[i] for i in numbers)

        def of_these(*new):
            return f(*(new[numbers.index(i)] if i in numbers else a for i, a in enumerate(args)), **kwargs)
        xs = [_tensor(x) for _, x in tree.leaves(primals)]
        columns = []  # for each of xs the leaves of f's result
        for i, x in enumerate(xs):
            def column(v, i=i):
                vs = [v if j == i else np.zeros(x.shape, x.dtype) for j, x in enumerate(xs)]
                return jvp(of_these, primals, tree.rebuild(primals, iter(vs)))[1]
            y = _rows(column, x.shape, x.dtype)
            columns.append([np.moveaxis(c, range(x.ndim), range(-x.ndim, 0)) for _, c in tree.leaves(y)])
        like = primals[0] if isinstance(argnums, int) else primals
        return tree.rebuild(y, (tree.rebuild(like, iter(cs)) for cs in zip(*columns)))
    return _like(f, jac, "jacfwd")


def _rows(row, shape, dtype, chunk_size=None):
    """``row`` of every unit vector of this shape: a tree of its results, with the axes of ``shape`` in front."""
    if dtype.kind == "c":
        raise TypeError("a Jacobian is of real numbers: split complex ones with np.real and np.imag")
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
    several = isinstance(inputs, tuple)
    t = _Trace(f, inputs if several else (inputs,), argnums=range(len(inputs)) if several else 0)
    vs = t.tangents(v, "v")
    gradient = t.pull(t.number(), create_graph=True)
    create_graph = mode.recording and (t.lifts or any(u.requires_grad for u in vs))
    return t.y, t.like_arguments(_vjp(gradient, vs, t.xs, create_graph))


def vhp(f: Callable, inputs, v) -> tuple:
    """(f(*inputs), v^T H), which is H v: the Hessian is symmetric. See `hvp`."""
    return hvp(f, inputs, v)


def gauss_newton_vp(f: Callable, loss: Callable, inputs, v) -> tuple:
    """(loss(f(*inputs)), J^T H J v): the Gauss-Newton matrix times v, with J = df/d(inputs) and H = d^2 loss/df^2.

    It is positive semi-definite where loss is convex, and the Hessian where f is linear (Schraudolph 2002). inputs: a
    tuple of arguments, or the only one.
    """
    several = isinstance(inputs, tuple)
    t = _Trace(f, inputs if several else (inputs,), argnums=range(len(inputs)) if several else 0)
    vs = t.tangents(v, "v")
    us = [Tensor(np.zeros_like(y.data), requires_grad=True) for y in t.ys]
    create_graph = mode.recording and (t.lifts or any(u.requires_grad for u in vs))
    jv = _vjp(t.pull(us, create_graph=True), vs, us, create_graph)
    outer = _Trace(loss, (t.y,))
    hjv = _vjp(outer.pull(outer.number(), create_graph=True), jv, outer.xs, create_graph)
    return outer.y, t.like_arguments(t.pull(hjv, create_graph))


# ---- memory ----
def checkpoint(f: Callable) -> Callable:
    """f with its inner values forgotten after the call and computed again when backward needs them.

    For depth that does not fit in memory: of n layers in blocks of sqrt(n), sqrt(n) are kept at a time, for the price
    of a second forward pass (Griewank & Walther 2000; Chen et al. 2016). f: a function or a module, which must do the
    same the second time: minigrad's default generator is set back for it, so that dropout repeats; batch norm counts
    the batch twice. Any order. Raises RuntimeError if the second run depends on other values than the first.
    """
    def checkpointed(*args, **kwargs):
        if not mode.recording:
            return f(*args, **kwargs)
        start = Node(None, (), None, None, ()).born
        again = _Again(f, args, kwargs)
        y = f(*args, **kwargs)
        return tree.transform(lambda i, v: _forget(i, v, start, again), *_numbered(y))
    return _like(f, checkpointed, "checkpoint")


def _numbered(y):
    numbers = iter(range(len(_paths(y))))
    return tree.rebuild(y, numbers), y


def _forget(i, y, start, again):
    """Result i of a function with one node in place of all that it recorded."""
    if not getattr(y, "requires_grad", False):
        return y
    raw = unwrap(y, again.levels)
    if raw.node.born < start:
        return y
    inputs = _inputs(raw.node, start)
    static = {"again": again, "i": i, "inputs": list(inputs)}
    node = Node(_CHECKPOINT, list(inputs), (raw.data, *inputs.values()), static, raw.shape)
    return wrap(tensor._wrap(raw.data, node), again.levels)


def _inputs(root, start):
    """{node: its value} of what was there before ``start`` and is used by the nodes behind ``root`` born since."""
    found, stack, seen = {}, [root], {root}
    while stack:
        node = stack.pop()
        for p, x in zip(node.parents, (node.values or (None,))[1:]):
            if p is not None and p.requires_grad and p not in seen:
                seen.add(p)
                if p.born < start:
                    found[p] = x
                elif p.op is not None:
                    stack.append(p)
    return found


class _Again:
    """What is needed to run a function a second time as it ran the first time."""

    def __init__(self, f, args, kwargs):
        self.f, self.args, self.kwargs = f, args, kwargs
        self.levels, self.drawn = levels.active, random.default_generator().bit_generator.state
        self.modules = [(m, tree.trained(m)) for m in (f, *args, *kwargs.values()) if tree.is_module(m)]

    def __call__(self):
        generator = random.default_generator()
        now, active = generator.bit_generator.state, levels.active
        start = Node(None, (), None, None, ()).born
        try:
            generator.bit_generator.state, levels.active = self.drawn, self.levels
            with enable_grad(), contextlib.ExitStack() as stack:
                for m, parameters in self.modules:
                    stack.enter_context(tree.substituted(m, parameters))
                y = self.f(*self.args, **self.kwargs)
            return [unwrap(v, self.levels) for _, v in tree.leaves(y)], start
        finally:
            generator.bit_generator.state, levels.active = now, active


class _Recomputed(Each):
    """The rules of a checkpoint: one run and one walk for all inputs."""

    def __init__(self):
        super().__init__(None)

    def __iter__(self):
        found = {}

        def rule(k, g, y, *xs, again, i, inputs):
            if not found:
                ys, start = again()
                used = _inputs(ys[i].node, start) if ys[i].requires_grad else {}
                if used.keys() != set(inputs):
                    raise RuntimeError(f"checkpoint({_name(again.f)}): the second run does not depend on the same "
                                       "values as the first. Hand modules to it as arguments; change nothing between")
                lift = tensor._lift if isinstance(y, Tensor) else None
                found.update(pullback({ys[i].node: g}, set(inputs), lift is not None, lift, ends=set(inputs)))
            return found[inputs[k]]
        return ((lambda *a, k=k, **static: rule(k, *a, **static)) for k in itertools.count())


_CHECKPOINT = Op(checkpoint, _Recomputed(), None, False, None)
