"""Complex numbers: the values of gradients, conventions at 0, leaves, mixtures with real numbers, what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest

from minigrad import Tensor, grad, logsumexp
from minigrad import functional as F
from minigrad.testing import gradcheck

z0 = np.array([3 + 4j, 0, -2j, -1 + 0j])
z1 = np.array([3 + 4j, -2j, 1 - 1j])


def leaf(z):
    return Tensor(np.array(z), requires_grad=True)


def gradient(f, z):
    """With 1, 2, 3... as the gradient of the output, times 1 - i/2 if that is complex."""
    t = leaf(z)
    y = f(t)
    g = np.arange(1, y.size + 1).reshape(y.shape) * (1 - 0.5j if y.dtype.kind == "c" else 1)
    return grad(y, t, gradient=g).data


def second(f, z):
    """The gradient of sum |gradient of f|^2."""
    t = leaf(z)
    y = f(t)
    u = np.arange(1, y.size + 1) * (1 - 0.5j if y.dtype.kind == "c" else 1)
    g = grad(y, t, gradient=u, create_graph=True)
    return grad(np.real(g * g.conj()).sum(), t).data


# ---- values, as PyTorch computes them ----
@pytest.mark.parametrize(("f", "expected"), [
    (np.abs, [0.6 + 0.8j, 0, -3j, -4]),
    (np.sign, [0.176 - 0.132j, 0, 1.5, -2j]),
    (np.angle, [-0.16 + 0.12j, 0, 1.5, -4j]),
    (np.square, [2 - 11j, 0, 6 + 12j, -8 + 4j]),
    (lambda z: z ** 2, [2 - 11j, 0, 6 + 12j, -8 + 4j]),
    (lambda z: z ** 1, [1 - 0.5j, 2 - 1j, 3 - 1.5j, 4 - 2j]),
    (lambda z: z ** 0, [0, 0, 0, 0]),
    (np.prod, [0, -11 - 2j, 0, 0]),
    (np.var, [1.25 + 1.75j, -0.25 - 0.25j, -0.25 - 1.25j, -0.75 - 0.25j]),
    (np.std, [0.2362278 + 0.3307189j, -0.0472456 - 0.0472456j, -0.0472456 - 0.2362278j, -0.1417367 - 0.0472456j]),
    (lambda z: 2 ** z, [-6.1719512 + 0.5858867j, 1.3862944 - 0.6931472j, 1.4035624 + 1.8534052j,
                        1.3862944 - 0.6931472j]),
    (lambda z: np.conj(z), [1 + 0.5j, 2 + 1j, 3 + 1.5j, 4 + 2j]),
    (np.real, [1, 2, 3, 4]),
    (np.imag, [1j, 2j, 3j, 4j]),
], ids=range(14))
def test_gradients_are_pytorchs(f, expected):
    np.testing.assert_allclose(gradient(f, z0), expected, atol=1e-6)


@pytest.mark.parametrize(("f", "expected"), [
    (np.abs, [0, 0, 0]),
    (np.sign, [-0.014432 - 0.013376j, -0.5 + 1j, -2.25 - 1.125j]),
    (np.exp, [1008.5719837, 10, 166.2537622]),
    (lambda z: 1 / z, [-0.00096 - 0.00128j, 0.625j, -5.625 + 5.625j]),
], ids=range(4))
def test_second_derivatives_are_pytorchs(f, expected):
    np.testing.assert_allclose(second(f, z1), expected, atol=1e-6)


def test_at_zero():
    for f in (np.abs, np.sign, np.angle, lambda z: np.abs(z) ** 2, lambda z: z * z.conj()):
        assert gradient(f, [0j]).tolist() == second(f, [0j]).tolist() == [0]
    assert gradient(np.sign, [0.0, -2.0]).tolist() == [0, 0]
    with np.errstate(all="ignore"):
        assert np.isinf(gradient(np.sqrt, [0j])).all()
    assert gradient(np.std, [1j, 1j]).tolist() == [0, 0]


def test_the_sign_of_a_real_number_is_constant_and_real():
    x = leaf([1.5, -2.0])
    y = np.sign(x)
    g = grad(y, x, gradient=np.ones(2), create_graph=True)
    assert g.dtype == np.float64 and g.data.tolist() == [0, 0]


# ---- leaves ----
def test_grad_accumulates():
    z = leaf([1 + 2j, 3 - 1j])
    for _ in range(2):
        np.sum(np.abs(z) ** 2).backward()
    assert z.grad.dtype == np.complex128
    np.testing.assert_allclose(z.grad.data, 4 * z.data)
    z.grad = None
    with pytest.raises(RuntimeError, match=r"needs gradient=.*one real number"):
        (z * z).sum().backward()
    np.real((z * z).sum()).backward()
    np.testing.assert_allclose(z.grad.data, 2 * z.data.conj())


def test_retained_gradients_and_hooks():
    z = leaf([1 + 2j, 3 - 1j])
    w = z * z
    w.retain_grad()
    w.register_hook(lambda g: g * 1j)
    np.real(w * w.conj()).sum().backward()
    np.testing.assert_allclose(w.grad.data, 2j * w.data)
    np.testing.assert_allclose(z.grad.data, 4j * z.data * np.abs(z.data) ** 2)


def test_create_graph():
    z = leaf([1 + 2j, 3 - 1j])
    (np.abs(z) ** 4).sum().backward(create_graph=True)
    g = z.grad
    np.testing.assert_allclose(g.data, 4 * z.data * np.abs(z.data) ** 2)
    z.grad = None
    np.real(g * g.conj()).sum().backward()  # 16 |z|^6
    np.testing.assert_allclose(z.grad.data, 96 * z.data * np.abs(z.data) ** 4)


def test_going_down_the_gradient():
    z, target = leaf([0j, 5 - 2j]), np.array([1 + 1j, -3j])
    for _ in range(60):
        z.grad = None
        (np.abs(z - target) ** 2).sum().backward()
        z.data = z.data - 0.2 * z.grad.data
    np.testing.assert_allclose(z.data, target, atol=1e-10)


# ---- real and complex together ----
def test_a_real_operand_gets_a_real_gradient():
    z = np.array([1 + 2j, 3j], np.complex64)
    for dtype in (np.float32, np.float64):
        x = Tensor(np.array([1.0, 2.0], dtype), requires_grad=True)
        for f in (lambda x: x * z, lambda x: z / x, lambda x: x @ z, lambda x: z ** x, lambda x: x * 1j,
                  lambda x: np.where([True, False], x, z), lambda x: np.concatenate([x, z]),
                  lambda x: np.einsum("i,i->", x, z)):
            assert f(x).dtype.kind == "c"
            assert grad(np.real(f(x)).sum(), x).dtype == dtype
    gradcheck(lambda x, z: x * z - z / x + x @ z, np.array([1.0, 2.0]), z0[:2] + 1j)


def test_astype_between_real_and_complex():
    x = Tensor([1.0, 2.0], requires_grad=True)
    y = x.astype(np.complex64)
    assert y.dtype == np.complex64
    np.imag(y * (1 + 3j)).sum().backward()
    assert x.grad.dtype == np.float32 and x.grad.tolist() == [3, 3]
    z = leaf(z0)
    with pytest.warns(np.exceptions.ComplexWarning):
        y = z.astype(np.float64)
    np.testing.assert_array_equal(grad(y.sum(), z).data, 1)


def test_python_numbers_keep_the_precision():
    z = Tensor([1 + 2j], requires_grad=True)
    assert z.dtype == (z * 2.0).dtype == (z * 2j).dtype == (Tensor([1.0]) * 2j).dtype == np.complex64
    assert grad(np.abs(z * 2j), z).dtype == np.complex64


# ---- what has an order, or cuts in two ----
@pytest.mark.parametrize("f", [
    np.floor, np.ceil, np.trunc, lambda z: z // 2, lambda z: z % 2, lambda z: np.logaddexp(z, 1.0),
    lambda z: np.arctan2(z, 1.0), lambda z: np.hypot(z, 1.0)], ids=range(8))
def test_what_numpy_refuses_is_refused(f):
    with pytest.raises(TypeError, match="not supported for the input types"):
        f(leaf(z0))


@pytest.mark.parametrize("f", [
    np.max, np.min, lambda z: np.maximum(z, 0), lambda z: np.minimum(z, 1j), lambda z: np.clip(z, -1, 1), F.relu,
    np.sort], ids=range(7))
def test_what_numpy_orders_by_the_real_part_first_is_right_as_well(f):
    z = np.random.default_rng(0).standard_normal(6) + 1j * np.random.default_rng(1).standard_normal(6)
    gradcheck(f, z)


def test_ties_of_complex_numbers_are_split():
    assert gradient(np.max, [1 + 1j, 1 + 1j, 1 - 1j]).tolist() == [0.5 - 0.25j, 0.5 - 0.25j, 0]


def test_logsumexp_of_complex_numbers_is_its_formula():
    """But for a multiple of 2 pi i, which a logarithm is free in."""
    np.testing.assert_allclose(np.exp(F.logsumexp(Tensor(z1)).data), np.exp(z1).sum())
    gradcheck(F.logsumexp, z1)
    assert math.isclose(abs(gradient(F.logsumexp, [1j])[0]), abs(1 - 0.5j))


def test_logsumexp_of_complex_numbers_stays_on_its_branch():
    z = np.array([1 + 3j, 0.5 - 3j, 2 - 2j])
    np.testing.assert_allclose(np.exp(logsumexp(z)), np.exp(z).sum())
    assert abs(logsumexp(z).imag) <= np.pi


def test_complex_images_have_no_maximum():
    with pytest.raises(TypeError, match="complex numbers have no largest one"):
        F.max_pool2d(Tensor(np.ones((1, 1, 4, 4), complex)), 2)
