"""Joining, splitting, turning and repeating; the methods of arrays; NumPy's errors and orders."""

from __future__ import annotations

import numpy as np
import pytest

from minigrad import Tensor, grad
from minigrad.testing import gradcheck


def leaf(value, dtype=np.float64):
    return Tensor(np.array(value, dtype), requires_grad=True)


@pytest.fixture
def x():
    return leaf([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])


# ---- orders ----
@pytest.mark.parametrize("order", ["C", "F", "A"])
@pytest.mark.parametrize("layout", ["C", "F"])
def test_every_order_of_reading(order, layout, generator):
    a = np.array(generator.standard_normal((2, 3, 4)), order=layout)
    for f in (lambda t: t.reshape(4, 6, order=order), lambda t: np.reshape(t, (-1, 3), order),
              lambda t: t.reshape((2, -1), order=order), lambda t: t.ravel(order), lambda t: t.flatten(order),
              lambda t: np.ravel(t, order=order)):
        t = Tensor(a, requires_grad=True)
        y, expected = f(t), f(a)
        np.testing.assert_array_equal(y.data, expected)
        places = np.argsort(f(np.array(np.arange(24).reshape(a.shape), order=layout)).ravel()).reshape(a.shape)
        g = generator.standard_normal(y.shape)
        np.testing.assert_array_equal(grad(y, t, gradient=g).data, g.ravel()[places])
        check = grad((f(t) ** 3).sum(), t, create_graph=True)
        np.testing.assert_allclose(grad(check.sum(), t).data, 6 * a)


def test_the_order_of_memory_is_refused(x):
    for f in (lambda: x.ravel("K"), lambda: x.reshape(-1, order="K"), lambda: np.ravel(x, "K")):
        with pytest.raises(ValueError, match="order 'K' is not permitted"):
            f()


# ---- joining ----
def test_arrays_and_tensors_are_joined(x):
    a = np.ones((2, 3))
    for f in (lambda t: np.hstack([a, t]), lambda t: np.vstack((t, a[0])), lambda t: np.block([[a, t], [t, a]]),
              lambda t: np.append(t, [1.0, 2.0]), lambda t: np.column_stack([a, t]), lambda t: np.dstack([a, t]),
              lambda t: np.block([t, 2 * a]), lambda t: np.block(t), lambda t: np.vstack(t), lambda t: np.hstack(t),
              lambda t: np.concat([a, t]), lambda t: np.block([[[t]]]), lambda t: np.insert(t, 1, [7.0, 8.0, 9.0], 0)):
        y = f(x)
        assert y.requires_grad
        np.testing.assert_array_equal(y.data, f(x.data))
        gradcheck(lambda t, f=f: np.square(f(t)), x)


def test_blocks_of_uneven_depth_are_refused(x):
    for blocks in ([[x], x], [x, [x]], [[x], []]):
        with pytest.raises(ValueError, match="depth of lists"):
            np.block(blocks)


def test_insert_casts_to_the_array_as_numpy_does():
    x, v = leaf([1.0, 2.0], np.float32), leaf([5.0], np.float64)
    y = np.insert(x, [1], v)
    assert y.dtype == np.float32 and y.tolist() == [1, 5, 2]
    gx, gv = grad((y * y).sum(), [x, v])
    assert (gx.dtype, gv.dtype) == (np.float32, np.float64) and gx.tolist() == [2, 4] and gv.tolist() == [10]


# ---- splitting and turning: what NumPy refuses ----
@pytest.mark.parametrize(("f", "error"), [
    (lambda x: np.vsplit(x[0], 3), ValueError), (lambda x: np.dsplit(x, 1), ValueError),
    (lambda x: np.hsplit(x[0, 0], 1), ValueError), (lambda x: np.split(x, 2, axis=2), IndexError),
    (lambda x: np.hsplit(x, 2), ValueError), (lambda x: np.rot90(x, axes=(0, 0)), ValueError),
    (lambda x: np.rot90(x, axes=(0, 1, 0)), ValueError), (lambda x: np.meshgrid(x[0], indexing="yx"), ValueError),
    (lambda x: np.convolve(x[0], x[1], mode="half"), ValueError), (lambda x: np.convolve(x[0], x[0, :0]), ValueError),
    (lambda x: np.correlate(x, x), ValueError), (lambda x: np.tile(x, -1), ValueError),
    (lambda x: np.hstack([x, x], dtype=np.float32), TypeError),
    (lambda x: np.roll(x, 1, axis=2), np.exceptions.AxisError), (lambda x: np.rollaxis(x, 7), np.exceptions.AxisError),
    (lambda x: np.rollaxis(x, 0, 4), np.exceptions.AxisError), (lambda x: np.vander(x), ValueError),
    (lambda x: np.dot(x[0, :1], np.ones((3, 5, 2))), ValueError)])
def test_what_numpy_refuses_is_refused(f, error, x):
    with pytest.raises(error):
        f(x)


@pytest.mark.parametrize("k", range(-5, 6))
def test_four_quarter_turns_are_none(k, x):
    np.testing.assert_array_equal(np.rot90(x, k).data, np.rot90(x.data, k))
    np.testing.assert_array_equal(np.rot90(np.rot90(x, k), -k).data, x.data)


@pytest.mark.parametrize(("a", "v"), [(5, 2), (4, 4), (2, 5), (1, 3), (6, 3), (3, 6)])
@pytest.mark.parametrize("mode", ["full", "same", "valid"])
def test_convolutions_are_numpys_at_every_length(a, v, mode, generator):
    for kind in (np.float64, np.complex128):
        p, q = (generator.standard_normal(n).astype(kind) for n in (a, v))
        p = p + 1j * p[::-1] if kind is np.complex128 else p
        for f in (np.convolve, np.correlate):
            np.testing.assert_allclose(f(leaf(p, kind), q, mode).data, f(p, q, mode), atol=1e-14)
            np.testing.assert_allclose(f(p, leaf(q, kind), mode).data, f(p, q, mode), atol=1e-14)


def test_a_polynomial_in_its_coefficients_and_its_variable():
    p, x = leaf([2.0, -1.0, 3.0]), leaf([0.0, 2.0])
    y = np.polyval(p, x)
    assert y.tolist() == [3, 9]
    gp, gx = grad(y.sum(), [p, x])
    assert gp.tolist() == [4, 2, 2] and gx.tolist() == [-1, 7]
    assert np.polyval([1.0, 2.0], x).requires_grad and np.polyval(p, 2.0).item() == 9


# ---- methods ----
@pytest.mark.parametrize("f", [
    lambda t: t.cumsum(), lambda t: t.cumsum(axis=1), lambda t: t.cumprod(0), lambda t: t.take([0, 0, 5]),
    lambda t: t.take([-1, 0], axis=1), lambda t: t.take([7], mode="wrap"), lambda t: t.repeat(2),
    lambda t: t.repeat(2, 0), lambda t: t.compress([True, False, True], axis=1), lambda t: t.round(),
    lambda t: t.round(1), lambda t: t.flatten("F"),
    lambda t: t.ravel(order="F"), lambda t: t.reshape(3, 2, order="F"), lambda t: t.reshape((-1,)),
    lambda t: t.astype(np.float32), lambda t: t.clip(2, 4), lambda t: t.squeeze(), lambda t: t.diagonal(),
    lambda t: t.trace(),
    lambda t: t.copy(order="F"), lambda t: t.astype(np.float64, copy=False), lambda t: t.copy(),
    lambda t: t.conj(), lambda t: t.real, lambda t: t.imag])
def test_methods_are_numpys(f, x):
    y, expected = f(x), f(x.data)
    assert isinstance(y, Tensor) and y.dtype == expected.dtype
    np.testing.assert_array_equal(y.data, expected)


@pytest.mark.parametrize("f", [
    lambda t: t.argsort(axis=0), lambda t: t.argsort(kind="stable"), lambda t: t.item(0), lambda t: t.item(1, 2),
    lambda t: t.argpartition(1), lambda t: t[0].searchsorted(2.5), lambda t: t.nonzero(),
    lambda t: t[0].searchsorted([1.0, 2.0], side="right"), lambda t: t.argmax(1), lambda t: t.any(),
    lambda t: t.all(axis=0),
    lambda t: t.nbytes, lambda t: t.itemsize, lambda t: t.strides, lambda t: t.flags.c_contiguous, lambda t: t.tolist(),
    lambda t: complex(t[0, 0]), lambda t: int(t[0, 1]), lambda t: np.isfortran(t.T)])
def test_methods_that_give_constants(f, x):
    ours, numpys = f(x), f(x.data)
    assert type(ours) is type(numpys)
    np.testing.assert_array_equal(ours, numpys)


def test_divmod(x):
    for f in (lambda t: divmod(t, 2), lambda t: divmod(7.0, t), lambda t: divmod(t.data, t)):
        for y, expected in zip(f(x), f(x.data), strict=True):
            np.testing.assert_array_equal(y.data, expected)
    quotient, rest = divmod(x, 2)
    assert grad(rest.sum(), x).tolist() == [[1, 1, 1], [1, 1, 1]] and grad(quotient.sum(), x).tolist() == [[0] * 3] * 2


@pytest.mark.parametrize("name", ["sum", "mean", "prod", "max", "min", "var", "std", "any", "all", "argmax", "argmin"])
def test_after_the_axis_everything_is_by_name(name, x):
    """NumPy's second argument is dtype or out."""
    for more in ((None,), (True,), (1,)):
        with pytest.raises(TypeError, match="positional arguments"):
            getattr(x, name)(0, *more)
    assert np.shape(getattr(x, name)(0, keepdims=True)) == (1, 3)


def test_choose_as_a_method():
    a, b = leaf([1.0, 2.0]), leaf([10.0, 20.0])
    index = Tensor(np.array([1, 0]))
    assert index.choose([a, b]).tolist() == [10, 2]
    assert grad(index.choose([a, b]).sum(), a).tolist() == [0, 1]


def test_bytes_are_for_constants(x):
    assert x.detach().tobytes() == x.data.tobytes() and x.detach().tobytes("F") == x.data.tobytes("F")
    with pytest.raises(TypeError, match="does not turn into an array"):
        x.tobytes()


@pytest.mark.parametrize(("f", "message"), [
    (lambda t: t.sort(), r"would sort in place: use np\.sort\(t\)"), (lambda t: t.partition(1), r"use np\.partition"),
    (lambda t: t.view(3, 2), r"use t\.reshape\(shape\), t\.astype\(dtype\)")])
def test_methods_that_would_surprise_are_refused(f, message, x):
    before = x.tolist()
    with pytest.raises(TypeError, match=message):
        f(x)
    assert x.tolist() == before
