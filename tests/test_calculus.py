"""Functions of functions: right against finite differences and each other, over trees and modules, in any nesting."""

from __future__ import annotations

import collections
import gc
import math
import threading

import numpy as np
import pytest

from minigrad import Parameter, Tensor, default_generator, manual_seed, nn, no_grad
from minigrad import functional as F
from minigrad import tensor as tensors
from minigrad.calculus import (
    checkpoint,
    elementwise_grad,
    gauss_newton_vp,
    grad,
    hessian,
    hvp,
    jacfwd,
    jacobian,
    jacrev,
    jvp,
    value_and_grad,
    vhp,
    vjp,
    vmap,
)
from minigrad.graph import Node, outputs_first
from minigrad.testing import gradcheck

r = np.random.default_rng(0)
A, B = r.standard_normal((3, 3)), r.standard_normal((4, 3))
x3, v3 = r.standard_normal(3), r.standard_normal(3)
H = (A + A.T) / 2


def quadratic(x):
    return 0.5 * x @ A @ x


def wave(x):
    return np.tanh(B @ x) * np.sum(x * x)


def close(ours, expected, tol=1e-10):
    np.testing.assert_allclose(ours.data if isinstance(ours, Tensor) else ours, expected, rtol=tol, atol=tol)


# ---- grad and value_and_grad ----
def test_derivatives_of_any_order():
    f = lambda x: x ** 5
    for k in range(6):
        close(f(np.float64(2)), math.perm(5, k) * 2.0 ** (5 - k))
        f = grad(f)


def test_gradient_is_a_constant_tensor_of_the_same_dtype():
    for x, dtype in ((x3, np.float64), (x3.astype(np.float32), np.float32), (Tensor(x3), np.float64)):
        g = grad(quadratic)(x)
        assert isinstance(g, Tensor) and not g.requires_grad and g.dtype == dtype
        close(g, H @ x3, 1e-6)
    assert grad(lambda x: x * x)(3).dtype == np.float32  # Python's numbers are float32


def test_argnums_and_keywords():
    def f(a, b, c=1.0):
        return np.sum(a * b * c)
    close(grad(f)(x3, v3), v3)
    close(grad(f, argnums=1)(x3, v3), x3)
    close(grad(f, argnums=-1)(x3, v3), x3)
    a, b = grad(f, argnums=(0, 1))(x3, v3, c=2.0)
    close(a, 2 * v3)
    close(b, 2 * x3)
    value, (b, a) = value_and_grad(f, argnums=[1, 0])(x3, v3)
    close(value, x3 @ v3)
    close(a, v3)
    close(b, x3)


def test_has_aux():
    def f(x):
        y = np.sin(x)
        return np.sum(y), {"y": y, "note": None}
    g, aux = grad(f, has_aux=True)(x3)
    close(g, np.cos(x3))
    close(aux["y"], np.sin(x3))
    assert not aux["y"].requires_grad and aux["note"] is None
    (value, aux), g = value_and_grad(f, has_aux=True)(x3)
    close(value, np.sin(x3).sum())
    close(g, np.cos(x3))


def test_nested_containers():
    Point = collections.namedtuple("Point", "x y")
    tree = {"a": [x3, (v3, 2.0)], "b": Point(np.float64(3), None), "c": {}}

    def f(t):
        return np.sum(t["a"][0] * t["a"][1][0]) * t["a"][1][1] * t["b"].x ** 2
    g = grad(f)(tree)
    assert g.keys() == tree.keys() and type(g["b"]) is Point and g["b"].y is None and g["c"] == {}
    assert type(g["a"]) is list and type(g["a"][1]) is tuple
    close(g["a"][0], 18 * v3)
    close(g["a"][1][0], 18 * x3)
    close(g["b"].x, 12 * x3 @ v3)


def test_what_does_not_matter_has_gradient_zero():
    g = grad(lambda t: np.sum(t["a"]))({"a": x3, "b": v3})
    close(g["b"], np.zeros(3))
    close(grad(lambda x: Tensor(1.0))(x3), np.zeros(3))
    close(grad(lambda x: 3.0)(x3), np.zeros(3))


def test_no_confusion_between_levels():
    """The inner derivative is of the inner x alone, though the outer has the same value."""
    close(grad(lambda x: x * grad(lambda y: x * y)(x))(np.float64(3)), 6.0)
    close(grad(lambda x: x * grad(lambda y: x + y)(1.0))(np.float64(3)), 1.0)
    close(grad(lambda x: grad(lambda x: grad(lambda x: x ** 4)(x) * x)(x))(np.float64(2)), 4 * 4 * 3 * 2.0 ** 2)


def test_the_function_form_and_the_tensor_form_are_one_name():
    x = Tensor(x3, requires_grad=True)
    close(grad(quadratic(x), x), grad(quadratic)(x3).data)
    assert grad(quadratic(x), x, create_graph=True).requires_grad
    with pytest.raises(RuntimeError, match="does not require grad"):
        grad(quadratic(x), Tensor(x3))


# ---- what is outside ----
def test_a_gradient_of_what_requires_grad_can_be_differentiated():
    x = Tensor(x3, requires_grad=True)
    g = grad(quadratic)(x)
    close(tensors.grad(g, x, gradient=v3), H @ v3)
    with no_grad():
        assert not grad(quadratic)(x).requires_grad
    assert x.grad is None  # nothing is accumulated


def test_a_gradient_penalty():
    w = Parameter(v3, dtype=np.float64)
    g = grad(lambda x: np.sum(np.tanh(w * x)))(x3)
    np.sum(g * g).backward()
    gradcheck(lambda w: np.sum(grad(lambda x: np.sum(np.tanh(w * x)))(x3) ** 2), v3)
    close(w.grad, tensors.grad(np.sum((w * (1 - np.tanh(w * x3) ** 2)) ** 2), w).data)


def test_module_gradients_are_constants_unless_nested():
    model = nn.Dense(3, 1, dtype=np.float64)
    g = grad(lambda m: np.sum(m(x3[None])))(model)
    assert g.keys() == {"weight", "bias"} and not any(v.requires_grad for v in g.values())
    close(g["weight"], x3[:, None])
    second = grad(lambda m: np.sum(grad(lambda m: np.sum(m(x3[None]) ** 3))(m)["weight"]))(model)
    y = x3 @ model.weight.data[:, 0] + model.bias.data[0]
    close(second["weight"], 6 * y * x3.sum() * x3[:, None])
    assert model.weight.grad is None and type(model.weight) is Parameter


def test_modules_and_frozen_parameters():
    model = nn.Sequential(nn.Dense(3, 4, dtype=np.float64), nn.Tanh(), nn.Dense(4, 2, dtype=np.float64))
    model[0].requires_grad_(False)
    g = grad(lambda m: np.sum(m(x3[None])))(model)
    assert g.keys() == {"2.weight", "2.bias"}
    model.requires_grad_()
    g = grad(lambda t: np.sum(t["m"](x3[None]) * t["scale"]))({"m": model, "scale": 2.0})
    assert g["m"].keys() == {"0.weight", "0.bias", "2.weight", "2.bias"}
    np.sum(model(x3[None]) * 2).backward()
    for name, p in model.named_parameters():
        close(g["m"][name], p.grad.data)


def test_parameters_in_lists_and_shared_ones():
    class Tied(nn.Module):
        def __init__(self):
            w = Parameter(A)
            self.layers, self.again, self.pair = [w, Parameter(v3)], {"w": w}, (w, 3)

        def forward(self, x):
            assert len(list(self.parameters())) == 2
            return self.layers[0] @ x + self.layers[1] + self.again["w"] @ x + self.pair[0] @ x
    tied = Tied()
    g = grad(lambda m: np.sum(m(x3)))(tied)
    assert list(g) == ["layers.0", "layers.1"]
    close(g["layers.0"], 3 * np.ones((3, 1)) * x3)
    assert tied.layers[0] is tied.again["w"] is tied.pair[0]


def test_modules_are_restored_after_an_error():
    model = nn.Dense(3, 1)
    before = model.weight

    def fails(m):
        raise KeyError("on the way")
    with pytest.raises(KeyError):
        grad(fails)(model)
    assert model.weight is before


# ---- errors ----
@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda: grad(lambda x: x)(x3), ValueError, r"must return a single number to have a gradient, not shape \(3,\)"),
    (lambda: grad(lambda x: (x[0], x[1]))(x3), ValueError, r"not shape \[\(\), \(\)\]"),
    (lambda: grad(quadratic)(np.arange(3)), TypeError, r"argument 0 of quadratic has dtype int64.*astype"),
    (lambda: grad(lambda t: t["a"])({"a": "text"}), TypeError, r"argument 0\['a'\] of <lambda> is a str"),
    (lambda: grad(quadratic, argnums=1)(x3), ValueError, "argnums holds 1, but quadratic was called with 1 arguments"),
    (lambda: grad(quadratic, has_aux=True)(x3), ValueError, r"must return \(result, aux\), not Tensor"),
    (lambda: jvp(quadratic, (x3,), (x3[:2],)), ValueError, r"the tangent\[0\] has shape \(2,\).*has \(3,\)"),
    (lambda: jvp(lambda t: t["a"], ({"a": x3},), ({"b": x3},)), ValueError, "tangent must have the same structure"),
    (lambda: jvp(quadratic, x3, x3), TypeError, r"takes the arguments of f as a tuple"),
    (lambda: vjp(wave, x3)[1](x3), ValueError, r"the gradient has shape \(3,\), but its counterpart has \(4,\)"),
    (lambda: hvp(quadratic, x3, v3[:1]), ValueError, r"v has shape \(1,\)"),
    (lambda: jacobian(lambda x: x * 1j)(x3), TypeError, "split complex ones with np.real and np.imag"),
])
def test_errors_name_what_is_wrong(call, error, message):
    with pytest.raises(error, match=message):
        call()


# ---- products ----
def test_vjp_and_jvp_are_rows_and_columns():
    J = jacobian(wave)(x3).data
    y, pull = vjp(wave, x3)
    close(y, wave(Tensor(x3)).data)
    u = r.standard_normal(4)
    for _ in range(2):  # may be called again
        close(pull(u)[0], u @ J)
    y, jv = jvp(wave, (x3,), (v3,))
    close(y, wave(Tensor(x3)).data)
    close(jv, J @ v3)
    step = 1e-6
    close(jv, (wave(Tensor(x3 + step * v3)) - wave(Tensor(x3 - step * v3))).data / (2 * step), 1e-6)


def test_products_over_trees():
    def f(t, s):
        return {"sum": np.sum(t["w"]) * s, "each": [t["w"] * t["b"], s]}
    t = {"w": x3, "b": v3}
    _, pull = vjp(f, t, np.float64(2))
    u = {"sum": np.float64(3), "each": [x3, np.float64(5)]}
    gt, gs = pull(u)
    close(gt["w"], 6 + x3 * v3)
    close(gt["b"], x3 * x3)
    close(gs, 3 * x3.sum() + 5)
    _, d = jvp(f, (t, np.float64(2)), ({"w": v3, "b": x3}, np.float64(1)))
    close(d["sum"], 2 * v3.sum() + x3.sum())
    close(d["each"][0], v3 * v3 + x3 * x3)
    close(d["each"][1], 1.0)


def test_products_with_modules():
    model = nn.Dense(3, 2, dtype=np.float64)
    tangent = {name: r.standard_normal(p.shape) for name, p in model.named_parameters()}
    _, d = jvp(lambda m: m(x3[None]), (model,), (tangent,))
    close(d, x3[None] @ tangent["weight"] + tangent["bias"])
    _, pull = vjp(lambda m: m(x3[None]), model)
    close(pull(np.ones((1, 2)))[0]["bias"], np.ones(2))


def test_has_aux_of_products():
    f = lambda x: (wave(x), x * 2)
    *_, aux = vjp(f, x3, has_aux=True)
    close(aux, 2 * x3)
    _, d, aux = jvp(f, (x3,), (v3,), has_aux=True)
    close(d, jvp(wave, (x3,), (v3,))[1].data)
    close(aux, 2 * x3)


def test_complex_products():
    z, u = (r.standard_normal(3) + 1j * r.standard_normal(3) for _ in range(2))
    M = r.standard_normal((3, 3)) + 1j * r.standard_normal((3, 3))
    _, pull = vjp(lambda z: M @ z, z)
    close(pull(u)[0], M.conj().T @ u)
    close(jvp(lambda z: M @ z, (z,), (u,))[1], M @ u)
    close(jvp(lambda z: np.sum(abs(z) ** 2), (z,), (u,))[1], 2 * np.vdot(z, u).real)
    close(grad(lambda z: np.sum(abs(z) ** 2))(z), 2 * z)


@pytest.mark.parametrize("outer", [grad, jacobian, jacfwd])
@pytest.mark.parametrize("inner", [
    lambda f, x: vjp(f, x)[1](np.ones(4))[0], lambda f, x: jvp(f, (x,), (x * 2,))[1], lambda f, x: jacobian(f)(x),
    lambda f, x: jacfwd(f)(x), lambda f, x: hvp(lambda x: np.sum(f(x)), x, x * x)[1],
    lambda f, x: grad(lambda x: np.sum(f(x)))(x), lambda f, x: hessian(lambda x: np.sum(f(x)))(x),
    lambda f, x: gauss_newton_vp(f, lambda y: np.sum(np.cos(y)), x, x)[1],
    lambda f, x: vmap(lambda s: f(x * s))(np.arange(1.0, 3.0)), lambda f, x: vmap(grad(lambda v: np.sum(f(v))))(
        np.stack([x, 2 * x])),
    lambda f, x: grad(lambda x: np.sum(jvp(f, (x,), (x,))[1]))(x),
    lambda f, x: jvp(grad(lambda x: np.sum(f(x))), (x,), (x,))[1],
], ids=["vjp", "jvp", "jacobian", "jacfwd", "hvp", "grad", "hessian", "gauss_newton", "vmap", "vmap_grad", "grad_jvp",
        "jvp_grad"])
def test_everything_nests_in_everything(outer, inner):
    """The derivative of what is itself made of derivatives, against finite differences."""
    def number(x):
        return np.sum(np.sin(inner(wave, x)))
    g = outer(number)(x3).data
    step = 1e-5
    for k, e in enumerate(np.eye(3)):
        ahead, behind = (number(Tensor(x3 + s * e)).item() for s in (step, -step))
        assert g[k] == pytest.approx((ahead - behind) / (2 * step), rel=1e-4, abs=1e-5)


def test_third_derivatives_of_several_numbers():
    cube = lambda x: np.sum(x) ** 3 + np.prod(x)
    T = jacobian(hessian(cube))(x3).data
    expected = np.full((3, 3, 3), 6.0)
    for i in range(3):
        for j in range(3):
            for k in range(3):
                expected[i, j, k] += len({i, j, k}) == 3
    close(T, expected)
    close(jacfwd(jacfwd(jacrev(cube)))(x3), expected)


# ---- matrices ----
def test_jacobians_agree():
    J = jacobian(wave)(x3)
    assert J.shape == (4, 3)
    close(jacfwd(wave)(x3), J.data)
    close(jacobian(wave, chunk_size=3)(x3), J.data)
    assert jacrev is jacobian
    numeric = np.stack([(wave(Tensor(x3 + e)) - wave(Tensor(x3 - e))).data / 2e-6 for e in 1e-6 * np.eye(3)], -1)
    close(J, numeric, 1e-7)


def test_jacobian_shapes_and_trees():
    def f(t, s):
        return {"m": np.outer(t["w"], t["b"]) * s, "n": np.sum(t["w"])}
    t = {"w": x3, "b": v3[:2]}
    for jac in (jacobian, jacfwd):
        J = jac(f)(t, np.float64(2))
        assert {k: {j: v.shape for j, v in row.items()} for k, row in J.items()} == {
            "m": {"w": (3, 2, 3), "b": (3, 2, 2)}, "n": {"w": (3,), "b": (2,)}}
        close(J["m"]["b"], 2 * np.einsum("i,jk->ijk", x3, np.eye(2)))
        close(J["n"]["b"], np.zeros(2))
        both = jac(f, argnums=(1, 0))(t, np.float64(2))
        close(both["m"][0], np.outer(x3, v3[:2]))
        close(both["m"][1]["w"], J["m"]["w"].data)
    J, aux = jacobian(lambda x: (x * x, "aux"), has_aux=True)(x3)
    close(J, np.diag(2 * x3))
    assert aux == "aux"


def test_jacobian_of_nothing():
    assert jacobian(lambda x: x[:0])(x3).shape == (0, 3)
    assert jacobian(lambda x: np.ones(2) * np.sum(x))(x3[:0]).shape == (2, 0)


def test_jacobian_of_a_network():
    manual_seed(0)
    model = nn.Sequential(nn.Dense(6, 5), nn.ReLU(), nn.Dense(5, 3))
    x = r.standard_normal(6).astype(np.float32)
    J = jacobian(lambda x: model(x[None])[0])(x)
    assert J.shape == (3, 6) and J.dtype == np.float32
    x = Tensor(x, requires_grad=True)
    y = model(x[None])[0]
    for i in range(3):
        close(J[i], tensors.grad(y[i], x, retain_graph=True).data, 1e-5)


def test_hessians():
    close(hessian(quadratic)(x3), H)
    h = hessian(lambda t: t["a"] @ A @ t["b"])({"a": x3, "b": v3})
    close(h["a"]["b"], A)
    close(h["b"]["a"], A.T)
    close(h["a"]["a"], np.zeros((3, 3)))
    model = nn.Dense(3, 2, dtype=np.float64)
    h = hessian(lambda m: np.sum(m(x3[None]) ** 2))(model)
    close(h["bias"]["bias"], 2 * np.eye(2))
    assert h["weight"]["bias"].shape == (3, 2, 2)


def test_hessian_vector_products():
    f = lambda a, b: np.sum(np.sin(a) * b ** 3)
    rows = hessian(f, argnums=(0, 1))(x3, v3)
    y, (ha, hb) = hvp(f, (x3, v3), (v3, x3))
    close(y, np.sum(np.sin(x3) * v3 ** 3))
    close(ha, rows[0][0].data @ v3 + rows[0][1].data @ x3)
    close(hb, rows[1][0].data @ v3 + rows[1][1].data @ x3)
    close(hvp(quadratic, x3, v3)[1], H @ v3)
    close(vhp(quadratic, x3, v3)[1], H @ v3)
    close(jvp(grad(quadratic), (x3,), (v3,))[1], H @ v3)  # forward over reverse
    close(grad(lambda x: jvp(quadratic, (x,), (v3,))[1])(x3), H @ v3)  # reverse over forward
    t = {"w": x3}
    close(hvp(lambda t: quadratic(t["w"]), t, {"w": v3})[1]["w"], H @ v3)


def test_gauss_newton():
    J = jacobian(wave)(x3).data
    loss = lambda y: np.sum(y ** 4)
    y = wave(Tensor(x3)).data
    value, product = gauss_newton_vp(wave, loss, x3, v3)
    close(value, np.sum(y ** 4))
    close(product, J.T @ np.diag(12 * y ** 2) @ J @ v3)
    linear = lambda x: B @ x
    close(gauss_newton_vp(linear, loss, x3, v3)[1], hvp(lambda x: loss(linear(x)), x3, v3)[1].data)
    _, (a, b) = gauss_newton_vp(lambda a, b: a * b, lambda y: np.sum(y ** 2), (x3, v3), (v3, x3))
    close(a, 2 * v3 * (v3 * v3 + x3 * x3))
    close(b, 2 * x3 * (v3 * v3 + x3 * x3))


def test_elementwise_grad():
    x = np.linspace(-2, 2, 7)
    close(elementwise_grad(np.tanh)(x), 1 - np.tanh(x) ** 2)
    second = elementwise_grad(elementwise_grad(np.tanh))(x)
    close(second, -2 * np.tanh(x) * (1 - np.tanh(x) ** 2))
    assert elementwise_grad(np.tanh).__name__ == "elementwise_grad(tanh)"


# ---- checkpoint ----
def test_checkpoint_computes_again_what_it_has_forgotten():
    calls = []

    def f(x):
        calls.append(1)
        return np.sin(np.exp(x)) * w
    w = Tensor(v3, requires_grad=True)
    x = Tensor(x3, requires_grad=True)
    y = checkpoint(f)(x * 1.0)
    assert {node.op.name for node in outputs_first([y.node])} == {"reshape", "getitem", "checkpoint", "multiply"}
    np.sum(y).backward()
    assert len(calls) == 2
    close(x.grad, np.cos(np.exp(x3)) * np.exp(x3) * v3)
    close(w.grad, np.sin(np.exp(x3)))


def test_checkpoint_to_third_order():
    gradcheck(lambda x, w: checkpoint(lambda x: np.sin(np.exp(x) * w) * x)(x * w), x3 / 2, v3 / 2, order=3)
    close(hessian(checkpoint(lambda x: np.prod(np.sin(x))))(x3), hessian(lambda x: np.prod(np.sin(x)))(x3).data)
    close(jvp(checkpoint(wave), (x3,), (v3,))[1], jvp(wave, (x3,), (v3,))[1].data)
    close(vmap(grad(lambda x: np.sum(checkpoint(wave)(x))))(A), vmap(grad(lambda x: np.sum(wave(x))))(A).data)


def test_checkpoint_of_modules_repeats_dropout():
    manual_seed(0)
    block = nn.Sequential(nn.Dense(6, 50), nn.Tanh(), nn.Dropout(0.5), nn.Dense(50, 3))
    x = Tensor(r.standard_normal((4, 6)).astype(np.float32), requires_grad=True)
    drawn = []
    for run in (block, checkpoint(block)):
        manual_seed(1)
        block.zero_grad()
        x.zero_grad()
        y = run(x)
        np.sum(y * y).backward()
        drawn.append([y.data, x.grad.data, *(p.grad.data for p in block.parameters()), default_generator().random()])
    for plain, again in zip(*drawn):
        close(again, plain, 1e-6)
    g = grad(lambda m: np.sum(checkpoint(m)(x.detach())))(block.eval())
    assert all(np.any(v.data) for v in g.values())


def test_checkpoint_returns_trees_and_constants():
    f = checkpoint(lambda x: {"a": x * 2, "b": [np.sum(x), 3.0], "c": None})
    x = Tensor(x3, requires_grad=True)
    y = f(x)
    assert y["c"] is None and y["b"][1] == 3.0
    (np.sum(y["a"]) + y["b"][0]).backward()
    close(x.grad, np.full(3, 3.0))
    with no_grad():
        assert not f(x)["a"].requires_grad
    close(tensors.grad(np.sum(checkpoint(lambda x: x)(x)), x), np.ones(3))


def test_checkpoint_notices_another_second_run():
    other = [Tensor(x3, requires_grad=True), Tensor(v3, requires_grad=True)]
    y = checkpoint(lambda x: x * other.pop())(Tensor(x3, requires_grad=True))
    with pytest.raises(RuntimeError, match="does not depend on the same values as the first"):
        np.sum(y).backward()


def test_checkpoint_saves_memory():
    deep = lambda x: np.sum(np.tanh(np.tanh(np.tanh(np.tanh(x)))))
    x = Tensor(np.ones(1000), requires_grad=True)

    def held(y):
        seen, stack, total = set(), [y.node], 0
        while stack:
            node = stack.pop()
            if node is not None and node not in seen:
                seen.add(node)
                stack.extend(node.parents)
                total += sum(v.nbytes for v in node.values or () if v.base is None)
        return total
    assert held(checkpoint(deep)(x)) < 0.3 * held(deep(x))


# ---- names ----
def test_names_say_what_they_are_of():
    assert grad(quadratic).__name__ == "grad(quadratic)" and hessian(quadratic).__name__ == "hessian(quadratic)"


def test_cross_entropy_of_a_module_through_value_and_grad():
    model = nn.Dense(3, 2, dtype=np.float64)
    x, target = Tensor(B), np.array([0, 1, 1, 0])
    value, g = value_and_grad(lambda m: F.cross_entropy(m(x), target))(model)
    loss = F.cross_entropy(model(x), target)
    loss.backward()
    close(value, loss.data)
    close(g["weight"], model.weight.grad.data)


# ---- what a review broke ----
def test_a_bare_parameter_is_an_argument_like_any_other():
    p = Parameter(x3)
    (np.sum(p ** 2) + np.sum(grad(lambda q: np.sum(q ** 3))(p) ** 2)).backward()
    close(p.grad, 2 * x3 + 36 * x3 ** 3)


def test_parameters_in_named_tuples_and_ordered_dicts():
    Pair = collections.namedtuple("Pair", "w scale")

    class Holder(nn.Module):
        def __init__(self):
            self.pair = Pair(Parameter(v3), 2.0)
            self.named = collections.OrderedDict(b=Parameter(x3))

        def forward(self, x):
            assert type(self.named) is collections.OrderedDict
            return x @ self.pair.w * self.pair.scale + np.sum(self.named["b"])
    holder = Holder()
    g = grad(lambda m: m(Tensor(x3)))(holder)
    close(g["pair.0"], 2 * x3)
    close(g["named.b"], np.ones(3))
    assert type(holder.pair) is Pair and type(holder.pair.w) is Parameter


def test_two_modules_that_share_a_parameter_are_refused():
    model = nn.Sequential(nn.Dense(3, 3), nn.Dense(3, 1))
    for modules in ((model, model), (model, model[0])):
        with pytest.raises(ValueError, match="share a parameter: its gradient would be counted twice"):
            grad(lambda m, n: np.sum(m(x3[None])), (0, 1))(*modules)


def test_a_layer_that_makes_its_parameters_later():
    class Lazy(nn.Module):
        def __init__(self):
            self.first = nn.Dense(3, 2, dtype=np.float64)

        def forward(self, x):
            if not hasattr(self, "second"):
                self.second = nn.Dense(2, 1, dtype=np.float64)
            return self.second(self.first(x))
    assert grad(lambda m: np.sum(m(x3[None])))(Lazy()).keys() == {"first.weight", "first.bias"}


@pytest.mark.parametrize("change", ["data", "constant", "generator", "mode"])
def test_checkpoint_refuses_another_second_run(change):
    w, p, c = Tensor(x3, requires_grad=True), Parameter([2.0, 3.0, 4.0]), Tensor(np.array([2.0, 3.0, 4.0]))
    dropout = nn.Dropout(0.5, generator=np.random.default_rng(1))
    x = Tensor(np.ones((4, 50)), requires_grad=True)
    y = {"data": lambda: checkpoint(lambda a: a * p)(w), "constant": lambda: checkpoint(lambda a: a * c)(w),
         "generator": lambda: checkpoint(dropout)(x), "mode": lambda: checkpoint(dropout)(x)}[change]()
    if change == "data":
        p.data = p.data * 10
    elif change == "constant":
        c *= 10
    elif change == "mode":
        dropout.eval()
    with pytest.raises(RuntimeError, match="second run"):
        np.sum(y).backward()


def test_checkpoint_inside_a_module_that_is_an_argument():
    class Deep(nn.Module):
        def __init__(self):
            self.a, self.b = nn.Dense(3, 3, dtype=np.float64), nn.Dense(3, 1, dtype=np.float64)

        def forward(self, x, again=lambda f: f):
            return self.b(again(lambda x: np.tanh(self.a(x)))(x))
    model = Deep()
    plain, ours = (grad(lambda m, a=a: np.sum(m(x3[None], a)))(model) for a in (lambda f: f, checkpoint))
    for name in plain:
        close(ours[name], plain[name].data)
    g = grad(lambda ms: np.sum(checkpoint(lambda ms, x: ms[1](ms[0](x)))(ms, x3[None])))([model.a, model.b])
    assert np.any(g[0]["weight"].data)


def test_checkpoint_runs_twice_whatever_it_returns():
    calls = []

    def f(x):
        calls.append(1)
        return x * 2, np.sin(x), {"c": np.sum(x)}
    a, b, c = (y := checkpoint(f)(Tensor(x3, requires_grad=True)))[0], y[1], y[2]["c"]
    (np.sum(a * b) * c).backward()
    assert len(calls) == 2


def test_complex_results_and_vectors_are_refused():
    z = x3 + 1j
    for call in (lambda: grad(lambda z: np.sum(z * z))(z), lambda: elementwise_grad(np.sin)(z),
                 lambda: jacobian(lambda z: np.real(z * z))(z), lambda: jacfwd(lambda x: x * 1j)(x3),
                 lambda: jvp(np.sin, (x3,), (z,)), lambda: vjp(np.sin, x3)[1](z)):
        with pytest.raises(TypeError, match="complex"):
            call()


def test_results_that_are_integers():
    y, d = jvp(lambda x: (x * 2, np.arange(2)), (x3,), (v3,))
    close(d[0], 2 * v3)
    close(d[1], np.zeros(2))
    assert jacfwd(lambda x: np.argsort(x))(x3).shape == (3, 3)
    assert y[1].dtype.kind == "i"


def test_nothing_keeps_a_graph_alive():
    """No reference cycles: what a derivative made is gone when its result is."""
    model = nn.Sequential(nn.Dense(3, 3), nn.Tanh(), nn.Dense(3, 1))
    model[0].register_full_backward_hook(lambda m, gi, go: None)
    runs = [lambda: grad(lambda m: np.sum(m(Tensor(x3[None].astype(np.float32)))))(model),
            lambda: hessian(quadratic)(x3), lambda: jvp(wave, (x3,), (v3,)), lambda: vmap(grad(quadratic))(A),
            lambda: grad(lambda x: np.sum(checkpoint(wave)(x)))(x3),
            lambda: np.sum(model(Tensor(x3[None].astype(np.float32)) * 1.0)).backward()]
    for run in runs:
        run()
        gc.collect()
        gc.disable()
        try:
            before = sum(type(o) is Node for o in gc.get_objects())
            for _ in range(3):
                run()
            assert sum(type(o) is Node for o in gc.get_objects()) <= before + 4  # gradients of the model's leaves
        finally:
            gc.enable()


def test_threads_leave_modules_as_they_were():
    model = nn.Dense(3, 1, dtype=np.float64)
    before, errors = list(model.parameters()), []

    def work(k):
        for _ in range(30):
            g = grad(lambda m: np.sum(m(x3[None] * k)))(model)
            if not np.allclose(g["weight"].data[:, 0], x3 * k):
                errors.append(k)
    threads = [threading.Thread(target=work, args=(k,)) for k in range(1, 5)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not errors and all(a is b for a, b in zip(before, model.parameters()))
