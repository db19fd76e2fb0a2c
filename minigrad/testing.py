"""Checks of derivatives: of a rule, a layer, a loss, of anything that maps Tensors to Tensors.

`gradcheck` is the one to start with; an op of your own wants `check_op`, and a linear one `check_adjoint` as well. All
raise `GradientError`, an AssertionError, so a call is a complete test. See docs/adding-an-op.md.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable

import numpy as np

from .graph import Each, outputs_first
from .mode import mode
from .tensor import Tensor, grad, record

__all__ = ["GradientError", "check_adjoint", "check_hessian_symmetry", "check_op", "check_rule_paths",
           "find_wrong_rule", "gradcheck", "gradgradcheck"]

SMALL = 100  # up to this many elements are searched for the worst one when a check fails


class GradientError(AssertionError):
    """A derivative is wrong. The message says of what, of which order, at which index, and by how much."""

    order = rule = None  # which order fails, and the position of the input whose rule is at fault
    found = ""  # where, and both numbers
    kink = False  # whether the slopes ahead and behind differ there, so that no derivative could be right


def gradcheck(f: Callable, *inputs, order: int = 2, eps: float = 1e-6, rtol: float = 1e-5, atol: float = 1e-7,
              seed: int | np.random.Generator = 0) -> None:
    """Compare the derivatives of ``f`` up to ``order`` with central differences, at the point ``inputs``.

    For each input x, with random directions u (of f's output y) and v (of x), the two sides of

        u . (dy/dx v)  =  u . (f(x + eps v) - f(x - eps v)) / (2 eps)

    must agree within ``atol + rtol * max(|left|, |right|)``: the left one by backward, the right one by calling f.
    That is two calls an input, however large it is, and a single wrong element is still noticed. The second order is
    the same check of the function (x, u) -> u^T dy/dx, computed with create_graph=True, and so on upwards.

    f: returns a Tensor, or a tuple or list of them, and must be smooth near the inputs (stay off kinks and ties by
    more than eps) and deterministic. inputs: floating-point Tensors, arrays and numbers are differentiated, as float64
    Tensors of their own memory, whatever their precision; all else is handed to f as it is. A complex number counts as
    its real and imaginary part, so functions that are not holomorphic are checked as well. seed: an int, or a NumPy
    Generator.

    Raises GradientError, whose message names f, the order, the argument, the output, a wrong element with both numbers
    (the worst; of more than 100 elements one that bisection leads to) and, with `find_wrong_rule`, the op to blame;
    TypeError if there is nothing to differentiate.

        >>> gradcheck(lambda x, w: np.tanh(x @ w), np.ones((2, 3)), np.ones((3, 4)))
    """
    _explained(f, inputs, range(1, order + 1), eps, rtol, atol, seed)


def gradgradcheck(f: Callable, *inputs, eps: float = 1e-6, rtol: float = 1e-5, atol: float = 1e-7,
                  seed: int | np.random.Generator = 0) -> None:
    """The second order of `gradcheck` alone: for an f whose first derivative is known to be right."""
    _explained(f, inputs, (2,), eps, rtol, atol, seed)


@np.errstate(all="ignore")  # an infinity on the way may be masked later on
def find_wrong_rule(f: Callable, *inputs, order: int = 1, eps: float = 1e-6, rtol: float = 1e-5, atol: float = 1e-7,
                    seed: int | np.random.Generator = 0) -> str | None:
    """Which op in ``f`` has a wrong rule: a sentence about the first whose own `gradcheck` fails, or None.

    Every op in the graph of f(*inputs) is checked alone, at the values that it has in there. With order=2 first the
    ops that the gradient is made of too, then the second derivatives of those in f, and so on upwards. What is at a
    kink there, like the maximum of equals, is not called wrong. A `gradcheck` that fails calls this.
    """
    for depth in range(1, order + 1):
        for node in _nodes(f, inputs, order - depth, np.random.default_rng(seed)):
            key, rules, (_, *values), static = node.op.key, node.op.rules, node.values, node.static
            places = [i for i, (p, rule) in enumerate(zip(node.parents, rules)) if p and p.requires_grad and rule]

            def alone(*xs, key=key, values=values, static=static, places=places):
                given = dict(zip(places, xs))
                return record(key, *(given.get(i, v) for i, v in enumerate(values)), **static)
            try:
                _check(alone, [values[i] for i in places], (depth,), eps, rtol, atol, np.random.default_rng(seed))
            except GradientError as error:
                if error.found and not error.kink:
                    i = None if error.rule is None else places[error.rule]
                    which = "a rule of" if i is None else "the rule of"
                    to = "" if i is None else f" for {_argument(None if type(rules) is Each else key, i)}"
                    of_order = f" at order {depth}" * (depth > 1)
                    return f"{which} {node.op.name}{to} is wrong{of_order} at its own inputs, {node!r}: {error.found}"
            except np.linalg.LinAlgError:
                pass  # eigenvectors alone have an arbitrary phase, which no check can depend on
    return None


def check_op(op: Callable, *inputs, **static) -> None:
    """All that minigrad asks of its own ops, of ``op(*inputs, **static)``: a complete test of one of yours.

    `gradcheck` to order 2; `check_hessian_symmetry`; `check_rule_paths` in float64 and in float32; float32 stays
    float32, in the result and in what each rule gives; nothing writes into an input. Raises GradientError.

        >>> check_op(np.clip, np.array([0.3, 2.5]), a_min=0.0, a_max=1.0)
    """
    def f(*xs):
        return op(*xs, **static)
    f.__name__, f.__wrapped__ = _name(op), op
    gradcheck(f, *inputs)
    check_hessian_symmetry(f, *inputs)
    check_rule_paths(f, *_converted(inputs, np.float64))
    narrow = _converted(inputs, np.float32)
    check_rule_paths(f, *narrow)
    _check_float32(f, narrow)


def check_rule_paths(f: Callable, *inputs, seed: int = 0) -> None:
    """The same rules run on arrays (create_graph=False) and on Tensors (True): both must give the same gradient.

    inputs keep their dtype. Raises GradientError if shape or dtype differ, or values by more than a few roundings; it
    names the element that differs most.
    """
    xs, leaves = _leaves(f, [x.data if isinstance(x, Tensor) else x for x in inputs])
    us = _directions(_outputs(f, xs), np.random.default_rng(seed))
    on_arrays = _vjp(f, xs, us, create_graph=False)
    on_tensors = _vjp(f, xs, us, create_graph=True)
    for i, a, t in zip(leaves, on_arrays, on_tensors):
        where = f"{_name(f)}, {_argument(f, i)}"
        if a.shape != t.shape or a.dtype != t.dtype:
            raise GradientError(f"{where}: the gradient on arrays is {a.dtype} {a.shape}, on Tensors {t.dtype} "
                                f"{t.shape}")
        close = 8 * np.finfo(a.dtype).eps
        scale = np.abs(a.data).max(initial=0, where=np.isfinite(a.data))
        if not np.allclose(a.data, t.data, rtol=close, atol=close * scale, equal_nan=True):
            worst = _index(max(range(a.size), key=lambda p: _gap(a.data.flat[p], t.data.flat[p])), a.shape)
            raise GradientError(f"{where}: the gradient on arrays differs from that on Tensors, at index {worst}: "
                                f"{a.data[worst]:.17g} and {t.data[worst]:.17g}")


def check_hessian_symmetry(f: Callable, *inputs, rtol: float = 1e-9, atol: float = 1e-12, seed: int = 0) -> None:
    """Second derivatives commute: a^T H b = b^T H a for random a, b and the Hessian H of w . f, for random w.

    H is over all inputs together, so mixed derivatives are compared as well, without any finite difference. Raises
    GradientError if the two differ by more than atol + rtol (|a| |H b| + |b| |H a|); it names a pair of elements whose
    two mixed derivatives differ, that bisection leads to.
    """
    generator = np.random.default_rng(seed)
    xs, leaves = _leaves(f, _converted(inputs, np.float64))
    us = _directions(_outputs(f, xs), generator)
    gradient = _vjp(f, xs, us, create_graph=True)
    variables = [xs[i] for i in leaves]
    ends = np.cumsum([x.size for x in variables])

    def flat(vs):
        return np.concatenate([np.zeros(0), *(np.ravel(v) for v in vs)])

    def hessian(v):  # H v, as the gradient of v . gradient
        vs = [p.reshape(x.shape) for p, x in zip(np.split(v, ends[:-1]), variables)]
        parts = [(g, d if g.dtype.kind == "c" else d.real) for g, d in zip(gradient, vs) if g.requires_grad]
        if not parts:
            return np.zeros(v.shape)
        gs, ds = zip(*parts)
        return flat(h.data for h in grad(gs, variables, gradient=ds, retain_graph=True))
    a, b = (flat(_directions(variables, generator)) for _ in range(2))
    ha, hb = hessian(a), hessian(b)
    left, right = np.vdot(a, hb).real, np.vdot(b, ha).real
    scale = np.linalg.norm(a) * np.linalg.norm(hb) + np.linalg.norm(b) * np.linalg.norm(ha)
    if abs(left - right) <= atol + rtol * scale:
        return
    p = _bisect(lambda at: _gap(np.vdot(_only(a, at), hb).real, np.vdot(b, hessian(_only(a, at))).real), a.size)
    e = _only(a, p, unit=True)
    he = hessian(e)
    q = _bisect(lambda at: _gap(np.vdot(e, hessian(_only(b, at))).real, np.vdot(_only(b, at), he).real), b.size)
    d = _only(b, q, unit=True)

    def place(p):
        k = int(np.searchsorted(ends, p, "right"))
        start = int(ends[k]) - variables[k].size
        return f"index {_index(int(p) - start, variables[k].shape)} of {_argument(f, leaves[k])}"
    raise GradientError(
        f"{_name(f)}: the Hessian is not symmetric: a^T H b = {left:.10g}, b^T H a = {right:.10g} for random a and b; "
        f"the derivative by {place(q[0])} of the gradient for {place(p[0])} is {np.vdot(d, he).real:.10g}, but the "
        f"other way round it is {np.vdot(e, hessian(d)).real:.10g}")


def check_adjoint(forward: Callable, adjoint: Callable, x, y, rtol: float = 1e-10) -> None:
    """The dot test of a linear map and its adjoint: <A x, y> = <x, A^T y>, for ``forward`` A and ``adjoint`` A^T.

    x, y: random arrays (or Tensors) of the shapes of A's input and output; a map that is not linear fails as well. A
    complex number counts as a pair of real ones: what is compared is the real part of conj(A x) . y, and A^T is the
    conjugate transpose. Raises GradientError if the shapes do not fit, or the two differ by more than
    rtol (|A x| |y| + |x| |A^T y|); it names an entry of the matrix in which they do, that bisection leads to.
    """
    def apply(map, v, like):
        return _array(map(Tensor(v) if isinstance(like, Tensor) else v))
    x_, y_, ax, aty = (_array(v) for v in (x, y, forward(x), adjoint(y)))
    names = f"{_name(forward)} and {_name(adjoint)}"
    if ax.shape != y_.shape or aty.shape != x_.shape:
        raise GradientError(f"{names} are not adjoint: they map {x_.shape} to {ax.shape} and {y_.shape} to {aty.shape}")
    left, right = np.vdot(ax, y_).real, np.vdot(x_, aty).real
    scale = np.linalg.norm(ax) * np.linalg.norm(y_) + np.linalg.norm(x_) * np.linalg.norm(aty)
    if abs(left - right) <= rtol * scale:
        return
    where = f"{names} are not adjoint: <A x, y> = {left:.10g}, <x, A^T y> = {right:.10g}"
    for map, v, image, like in ((forward, x_, ax, x), (adjoint, y_, aty, y)):
        if not np.allclose(apply(map, 2 * v, like), 2 * image, rtol=1e-6, atol=1e-6 * np.abs(image).max(initial=0)):
            raise GradientError(f"{where}; {_name(map)} is not linear, twice its input does not give twice its output")
    p = _bisect(lambda at: _gap(np.vdot(apply(forward, _only(x_, at), x), y_).real, np.vdot(_only(x_, at), aty).real),
                x_.size)
    e = _only(x_, p, unit=True)
    ae = apply(forward, e, x)
    q = _bisect(lambda at: _gap(np.vdot(ae, _only(y_, at)).real, np.vdot(e, apply(adjoint, _only(y_, at), y)).real),
                y_.size)
    d = _only(y_, q, unit=True)
    raise GradientError(f"{where}; from index {_index(p[0], x_.shape)} of x to {_index(q[0], y_.shape)} of y "
                        f"{_name(forward)} has {np.vdot(ae, d).real:.10g}, {_name(adjoint)} "
                        f"{np.vdot(e, apply(adjoint, d, y)).real:.10g}")


# ---- the pieces ----
def _explained(f, inputs, orders, eps, rtol, atol, seed):
    """`_check`, and whom to blame."""
    try:
        _check(f, inputs, orders, eps, rtol, atol, np.random.default_rng(seed))
    except GradientError as error:
        if not error.found:
            raise
        blame = find_wrong_rule(f, *inputs, order=error.order, eps=eps, rtol=rtol, atol=atol, seed=seed)
        blame = blame or ("every op in it passes at its own inputs, or is at a kink there: is the graph cut on the way "
                          "(t.data, detach(), no_grad()), f not smooth here, or the step too large?")
        raise GradientError(f"{error}\n{blame.removesuffix(': ' + error.found)}") from None


def _check(f, inputs, orders, eps, rtol, atol, generator):
    h, args, labels, first = f, _converted(inputs, np.float64), [], []
    for order in range(1, max(orders) + 1):
        xs, leaves = _leaves(f, args)
        us = _directions(_outputs(h, xs), generator)
        parts = [f"the gradient for {label}" for label in labels] or [f"output {j}" for j in range(len(us))]
        labels = [_argument(f, i) if i < len(inputs) else f"the gradient handed in ({i - len(inputs)})" for i in leaves]
        first = first or leaves
        for k, g in enumerate(_vjp(h, xs, us, create_graph=False) if order in orders else ()):
            wrong = _compare(h, args, us, leaves, k, g.data, eps, rtol, atol, generator)
            if wrong:
                j, found, kink = wrong
                error = GradientError(
                    f"{_name(f)}: the derivative of order {order} with respect to {labels[k]}, of shape {g.shape}, "
                    + (f"is wrong{f', that of {parts[j]}' * (len(us) > 1)}: {found}" if found else
                       "cannot be checked: two calls with the same inputs gave different results. Seed what is random"))
                error.order, error.found, error.kink = order, found, kink
                error.rule = k if order == 1 else j if j < len(first) else None
                raise error
        h, args = _vjp_as_function(h, len(args)), [*args, *us]


def _compare(f, args, us, leaves, k, g, eps, rtol, atol, generator):
    """One argument: g against a central difference along a random direction.

    If it is off: (which output, where and by how much, whether that is a kink).
    """
    v, = _directions([args[leaves[k]]], generator)
    ours, numeric = np.vdot(g, v).real, _slope(f, args, us, leaves[k], v, eps, -eps)
    if abs(ours - numeric) <= atol + rtol * max(abs(ours), abs(numeric)):
        return None
    if any(not np.array_equal(a, b, equal_nan=True) for a, b in zip(_values(f, args), _values(f, args))):
        return 0, "", False
    return _locate(f, args, us, leaves, k, v, eps)


def _slope(f, args, us, i, v, ahead, behind):
    """The difference quotient of u . f in argument i along v; a u that is None does not count."""
    ys = (_values(f, [*args[:i], args[i] + step * v, *args[i + 1:]]) for step in (ahead, behind))
    return sum(np.vdot(u, p - m).real for u, p, m in zip(us, *ys) if u is not None) / (ahead - behind)


@np.errstate(all="ignore")
def _locate(f, args, us, leaves, k, v, eps):
    def alone(j):  # output j: its gradient, its difference quotients, and how far they are apart
        g = _vjp(f, _leaves(f, args)[0], [u if m == j else np.zeros_like(u) for m, u in enumerate(us)], False)[k].data
        u = [u if m == j else None for m, u in enumerate(us)]

        def slope(v, ahead=eps, behind=-eps):
            return _slope(f, args, u, leaves[k], v, ahead, behind)
        return g, slope, _gap(np.vdot(g, v).real, slope(v))
    outputs = [alone(j) for j in range(len(us))]
    j = max(range(len(us)), key=lambda j: outputs[j][2])
    g, slope, _ = outputs[j]
    block = _bisect(lambda at: _gap(np.vdot(g.flat[at], v.flat[at]).real, slope(_only(v, at))), v.size, SMALL)
    one = np.ones(v.shape, v.dtype)
    slopes = [slope(_only(one, [p])) + (1j * slope(_only(1j * one, [p])) if v.dtype.kind == "c" else 0) for p in block]
    p, numeric = max(zip(block, slopes), key=lambda found: _gap(g.flat[found[0]], found[1]))
    off = g.flat[p] - numeric
    e = _only(one * (off / abs(off) if np.isfinite(off) else 1), [p])
    right, left = slope(e, eps, 0), slope(e, 0, -eps)
    kink = not np.abs(right - left) <= _gap(g.flat[p], numeric)
    found = (f"at index {_index(p, g.shape)} the rules give {g.flat[p]:.10g}, a central difference {numeric:.10g} "
             f"(step {eps:g})" + f"; a kink, where the slopes ahead and behind are {right:.10g} and {left:.10g}" * kink)
    return j, found, kink


def _check_float32(f, inputs):
    """float32 in and out, in every rule; inputs that cannot be written to."""
    xs, leaves = _leaves(f, inputs)
    for i in leaves:
        xs[i].data.flags.writeable = False
    before, mode.watch = mode.watch, _Float32()
    try:
        us = []
        for y in _outputs(f, xs):
            if y.dtype not in (np.float32, np.complex64):
                raise GradientError(f"{_name(f)}: of float32 inputs the result is {y.dtype}")
            us += _directions([y], np.random.default_rng(0))
            us[-1].flags.writeable = False
        for create_graph in (False, True):
            _vjp(f, xs, us, create_graph)
    except ValueError as error:
        if "read-only" not in str(error):
            raise
        raise GradientError(f"{_name(f)} writes into an input, or its rule into g: {error}") from error
    finally:
        mode.watch = before


class _Float32:
    """Looks at what each rule gives before the engine casts it."""

    def forward(self, op, values, t):
        pass

    def backward(self, node, x, g, d):
        y, *inputs = node.values
        if d.dtype not in (x.dtype, np.result_type(x.dtype, y.dtype)):
            i = next(i for i, v in enumerate(inputs) if v is getattr(x, "_data", x))
            raise GradientError(f"the rule of {node.op.name} for {_argument(node.op.key, i)} gives {d.dtype} for an "
                                f"input of {x.dtype}: write its constants as Python numbers")


def _nodes(f, inputs, depth, generator):
    """The nodes of f's graph, or of its derivative of order ``depth``, as they were born, with their values."""
    h, args = f, _converted(inputs, np.float64)
    for _ in range(depth):
        us = _directions(_outputs(h, _leaves(f, args)[0]), generator)
        h, args = _vjp_as_function(h, len(args)), [*args, *us]
    nodes = outputs_first([y.node for y in _outputs(h, _leaves(f, args)[0]) if y.requires_grad])
    return [node for node in reversed(nodes) if node.values is not None]


def _bisect(gap, n, size=1):
    """Of n numbers a block of ``size`` at most with a gap: always the half with the larger one."""
    at = np.arange(n)
    while len(at) > size:
        at = max(np.array_split(at, 2), key=gap)
    return at


def _gap(a, b):
    return np.abs(a - b) if np.isfinite(a - b) else np.inf


def _only(v, at, unit=False):
    """``v`` with zeros everywhere but at the flat indices ``at``; there of length 1 and along +1 if v is real."""
    e = np.zeros(v.shape, v.dtype)
    e.flat[at] = v.flat[at]
    return np.where(e.imag == 0, e != 0, e / np.abs(e).max()).astype(v.dtype) if unit else e


def _index(p, shape):
    return tuple(map(int, np.unravel_index(p, shape)))


def _vjp_as_function(f, n):
    """(x_1, ..., x_n, u_1, ...) -> u^T df/dx for each floating x: the function that the next order differentiates."""
    return lambda *args: _vjp(f, args[:n], args[n:], create_graph=True)


def _vjp(f, xs, us, create_graph):
    """u^T df/dx for each x that requires grad; zero where f does not depend on it, or cuts the graph."""
    leaves = [x for x in xs if isinstance(x, Tensor) and x.requires_grad]
    pairs = [(y, u) for y, u in zip(_outputs(f, xs), us, strict=True) if y.requires_grad]
    if not pairs:
        return [Tensor(np.zeros_like(x.data)) for x in leaves]
    ys, gs = zip(*pairs)
    return grad(ys, leaves, gradient=gs, create_graph=create_graph)


def _outputs(f, xs):
    """What f returns, as a list of its floating-point Tensors."""
    ys = f(*xs)
    ys = list(ys) if isinstance(ys, (tuple, list)) else [ys]
    for y in ys:
        if not isinstance(y, (Tensor, np.ndarray, np.generic)):
            raise TypeError(f"{_name(f)} must return Tensors, not {type(y).__name__}")
    return [y if isinstance(y, Tensor) else Tensor(y) for y in ys if y.dtype.kind in "fc"]


def _values(f, args):
    return [y.data for y in _outputs(f, _leaves(f, args)[0])]


def _directions(ys, generator):
    def draw(shape):  # none near 0, so that no wrong element can hide behind a small number
        return np.asarray(generator.uniform(0.5, 1.5, shape) * generator.choice([-1.0, 1.0], shape))
    return [(draw(y.shape) + (1j * draw(y.shape) if y.dtype.kind == "c" else 0)).astype(y.dtype) for y in ys]


def _is_floating(x):
    return isinstance(x, (float, complex)) or getattr(getattr(x, "dtype", None), "kind", "") in ("f", "c")


def _array(x):
    return np.asarray(x.data if isinstance(x, Tensor) else x)


def _converted(inputs, dtype):
    """The floating-point inputs as arrays of their own, of this dtype, complex ones of as many digits."""
    arrays = [x.data if isinstance(x, Tensor) else x for x in inputs]
    return [np.array(x, np.result_type(dtype, np.complex64) if np.iscomplexobj(x) else dtype) if _is_floating(x) else x
            for x in arrays]


def _leaves(f, args):
    """args with new leaves in place of floating-point ones, and the positions of these."""
    positions = [i for i, x in enumerate(args) if _is_floating(x)]
    if not positions:
        raise TypeError(f"{_name(f)}: none of the inputs is floating-point, so there is nothing to differentiate")
    return [Tensor(np.array(x), requires_grad=True) if i in positions else x for i, x in enumerate(args)], positions


def _name(f):
    return getattr(f, "__name__", None) or f"{f!r:.100}"


def _argument(f, i):
    """``argument 1 (weight)``: with its name where there is one."""
    try:
        parameters = list(inspect.signature(f).parameters.values())[:i + 1]
    except (TypeError, ValueError):  # of some functions written in C nobody knows
        parameters = []
    named = len(parameters) > i and all(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)
    return f"argument {i} ({parameters[i].name})" if named else f"argument {i}"
