"""Checks of derivatives: of a rule, a layer, a loss, of anything that maps Tensors to Tensors.

`gradcheck` is the one to start with; an op of your own wants `check_rule_paths` too, and a linear one `check_adjoint`.
All raise `GradientError`, an AssertionError, so a call is a complete test. See docs/adding-an-op.md.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .tensor import Tensor, grad

__all__ = ["GradientError", "check_adjoint", "check_hessian_symmetry", "check_rule_paths", "gradcheck",
           "gradgradcheck"]

SMALL = 100  # inputs up to this many elements are searched for the worst one when a check fails


class GradientError(AssertionError):
    """A derivative is wrong. The message says of what, of which order, and by how much."""


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
    Tensors of their own memory; all else is handed to f as it is. A complex number counts as its real and imaginary
    part, so functions that are not holomorphic are checked as well. seed: an int, or a NumPy Generator.

    Raises GradientError, whose message names f, the order and the argument, and for inputs of at most 100 elements the
    worst single element with both numbers; TypeError if there is nothing to differentiate.

        >>> gradcheck(lambda x, w: np.tanh(x @ w), np.ones((2, 3)), np.ones((3, 4)))
    """
    _check(f, inputs, range(1, order + 1), eps, rtol, atol, np.random.default_rng(seed))


def gradgradcheck(f: Callable, *inputs, eps: float = 1e-6, rtol: float = 1e-5, atol: float = 1e-7,
                  seed: int | np.random.Generator = 0) -> None:
    """The second order of `gradcheck` alone: for an f whose first derivative is known to be right."""
    _check(f, inputs, (2,), eps, rtol, atol, np.random.default_rng(seed))


def check_rule_paths(f: Callable, *inputs, seed: int = 0) -> None:
    """The same rules run on arrays (create_graph=False) and on Tensors (True): both must give the same gradient.

    inputs keep their dtype. Raises GradientError if shape or dtype differ, or values by more than a few roundings.
    """
    xs, leaves = _leaves(f, [x.data if isinstance(x, Tensor) else x for x in inputs])
    us = _directions(_outputs(f, xs), np.random.default_rng(seed))
    on_arrays = _vjp(f, xs, us, create_graph=False)
    on_tensors = _vjp(f, xs, us, create_graph=True)
    for i, a, t in zip(leaves, on_arrays, on_tensors):
        if a.shape != t.shape or a.dtype != t.dtype:
            raise GradientError(f"{_name(f)}, argument {i}: the gradient on arrays is {a.dtype} {a.shape}, on Tensors "
                                f"{t.dtype} {t.shape}")
        close = 8 * np.finfo(a.dtype).eps
        scale = np.abs(a.data).max(initial=0, where=np.isfinite(a.data))
        if not np.allclose(a.data, t.data, rtol=close, atol=close * scale, equal_nan=True):
            raise GradientError(f"{_name(f)}, argument {i}: the gradient on arrays differs from that on Tensors by "
                                f"{np.abs(a.data - t.data).max():g}")


def check_hessian_symmetry(f: Callable, *inputs, rtol: float = 1e-9, atol: float = 1e-12, seed: int = 0) -> None:
    """Second derivatives commute: a^T H b = b^T H a for random a, b and the Hessian H of w . f, for random w.

    H is over all inputs together, so mixed derivatives are compared as well, without any finite difference. Raises
    GradientError if the two differ by more than atol + rtol (|a| |H b| + |b| |H a|).
    """
    generator = np.random.default_rng(seed)
    xs, leaves = _leaves(f, _float64(inputs))
    us = _directions(_outputs(f, xs), generator)
    gradient = _vjp(f, xs, us, create_graph=True)
    directions = [_directions([xs[i] for i in leaves], generator) for _ in range(2)]

    def product(v):  # H v, as the gradient of v . gradient
        parts = [(g, d) for g, d in zip(gradient, v) if g.requires_grad]
        if not parts:
            return [np.zeros(xs[i].shape) for i in leaves]
        gs, ds = zip(*parts)
        return [h.data for h in grad(gs, [xs[i] for i in leaves], gradient=ds, retain_graph=True)]
    a, b = (np.concatenate([np.zeros(0), *(d.ravel() for d in v)]) for v in directions)
    ha, hb = (np.concatenate([np.zeros(0), *(h.ravel() for h in product(v))]) for v in directions)
    left, right = np.vdot(a, hb).real, np.vdot(b, ha).real
    scale = np.linalg.norm(a) * np.linalg.norm(hb) + np.linalg.norm(b) * np.linalg.norm(ha)
    if not abs(left - right) <= atol + rtol * scale:
        raise GradientError(f"{_name(f)}: the Hessian is not symmetric: a^T H b = {left:.10g}, b^T H a = {right:.10g}")


def check_adjoint(forward: Callable, adjoint: Callable, x, y, rtol: float = 1e-10) -> None:
    """The dot test of a linear map and its adjoint: <A x, y> = <x, A^T y>, for ``forward`` A and ``adjoint`` A^T.

    x, y: random arrays (or Tensors) of the shapes of A's input and output; a map that is not linear fails as well.
    Raises GradientError if the shapes do not fit, or the two differ by more than rtol (|A x| |y| + |x| |A^T y|).
    """
    x_, y_, ax, aty = (np.asarray(v.data if isinstance(v, Tensor) else v) for v in (x, y, forward(x), adjoint(y)))
    names = f"{_name(forward)} and {_name(adjoint)}"
    if ax.shape != y_.shape or aty.shape != x_.shape:
        raise GradientError(f"{names} are not adjoint: they map {x_.shape} to {ax.shape} and {y_.shape} to {aty.shape}")
    left, right = np.vdot(ax, y_), np.vdot(x_, aty)
    scale = np.linalg.norm(ax) * np.linalg.norm(y_) + np.linalg.norm(x_) * np.linalg.norm(aty)
    if not abs(left - right) <= rtol * scale:
        raise GradientError(f"{names} are not adjoint: <A x, y> = {left:.10g}, <x, A^T y> = {right:.10g}")


# ---- the pieces ----
def _check(f, inputs, orders, eps, rtol, atol, generator):
    h, args = f, _float64(inputs)
    for order in range(1, max(orders) + 1):
        xs, leaves = _leaves(f, args)
        us = _directions(_outputs(h, xs), generator)
        if order in orders:
            where = f"{_name(f)}: the derivative of order {order}"
            for i, g in zip(leaves, _vjp(h, xs, us, create_graph=False)):
                which = f"argument {i}" if i < len(inputs) else f"the gradient handed in ({i - len(inputs)})"
                _compare(h, args, us, i, g.data, f"{where} with respect to {which}", eps, rtol, atol, generator)
        h, args = _vjp_as_function(h, len(args)), [*args, *us]


def _compare(f, args, us, i, g, where, eps, rtol, atol, generator):
    """One argument: g against a central difference along a random direction."""
    def slope(v):
        ahead, behind = (_values(f, [*args[:i], args[i] + step * v, *args[i + 1:]]) for step in (eps, -eps))
        return sum(np.vdot(u, p - m).real for u, p, m in zip(us, ahead, behind)) / (2 * eps)

    v, = _directions([args[i]], generator)
    ours, numeric = np.vdot(g, v).real, slope(v)
    if abs(ours - numeric) <= atol + rtol * max(abs(ours), abs(numeric)):
        return
    if any(not np.array_equal(a, b, equal_nan=True) for a, b in zip(_values(f, args), _values(f, args))):
        raise GradientError(f"{where} cannot be checked: two calls with the same inputs gave different results. Seed "
                            "what is random in it")
    where = f"{where}, of shape {g.shape}, is wrong"
    if 0 < g.size <= SMALL:
        steps = [e.reshape(g.shape) for e in np.eye(g.size)]
        slopes = np.array([slope(e) for e in steps]).reshape(g.shape)
        if g.dtype.kind == "c":
            slopes = slopes + 1j * np.array([slope(1j * e) for e in steps]).reshape(g.shape)
        gap = np.where(np.isfinite(g - slopes), np.abs(g - slopes), np.inf)
        worst = tuple(map(int, np.unravel_index(gap.argmax(), g.shape)))
        raise GradientError(f"{where}: at index {worst} the rules give {g[worst]:.10g}, a central difference "
                            f"{slopes[worst]:.10g} (step {eps:g})")
    raise GradientError(f"{where}: along a random direction the rules give {ours:.10g}, a central difference "
                        f"{numeric:.10g} (step {eps:g})")


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
    def draw(y):
        v = generator.standard_normal(y.shape)
        return (v if y.dtype.kind == "f" else v + 1j * generator.standard_normal(y.shape)).astype(y.dtype)
    return [draw(y) for y in ys]


def _is_floating(x):
    return isinstance(x, (float, complex)) or getattr(getattr(x, "dtype", None), "kind", "") in ("f", "c")


def _float64(inputs):
    """The floating-point inputs as float64 or complex128 arrays of their own."""
    arrays = [x.data if isinstance(x, Tensor) else x for x in inputs]
    return [np.array(x, np.result_type(x, np.float64)) if _is_floating(x) else x for x in arrays]


def _leaves(f, args):
    """args with new leaves in place of floating-point ones, and the positions of these."""
    positions = [i for i, x in enumerate(args) if _is_floating(x)]
    if not positions:
        raise TypeError(f"{_name(f)}: none of the inputs is floating-point, so there is nothing to differentiate")
    return [Tensor(np.array(x), requires_grad=True) if i in positions else x for i, x in enumerate(args)], positions


def _name(f):
    return getattr(f, "__name__", None) or f"{f!r:.100}"
