"""Tensors as values: construction, conversion, printing, copying, indexing."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from minigrad import Parameter, Tensor, grad


def leaf(value, **kwargs):
    return Tensor(np.array(value, np.float64), requires_grad=True, **kwargs)


# ---- construction ----
@pytest.mark.parametrize(("data", "dtype"), [
    (1, np.float32), (1.5, np.float32), (True, np.float32), ([1, 2], np.float32), ([[1.0], [2.0]], np.float32),
    ((1, 2), np.float32), ([], np.float32), (range(3), np.float32), (1j, np.complex64), ([1.0, 2j], np.complex64),
    (np.float64(1), np.float64), (np.float16(1), np.float16), (np.int8(1), np.int8), (np.bool_(True), np.bool_),
    (np.ones(2), np.float64), (np.ones(2, np.float32), np.float32), (np.ones(2, np.int16), np.int16),
    (np.ones(2, bool), np.bool_), (np.ones(2, complex), np.complex128), (Tensor([1, 2]), np.float32),
    (Tensor(np.ones(2)), np.float64), ([np.float64(1), np.float64(2)], np.float32), ([np.ones(2),
    np.ones(2)], np.float32),
])
def test_dtypes(data, dtype):
    t = Tensor(data)
    assert t.dtype == dtype and type(t.data) is np.ndarray and not t.requires_grad
    np.testing.assert_array_equal(t.data, np.asarray(data.data if isinstance(data, Tensor) else data))


def test_dtype_can_be_asked_for():
    assert Tensor([1, 2], dtype=np.float64).dtype == np.float64
    assert Tensor([1, 2], dtype=np.int64).dtype == np.int64
    assert Tensor(np.ones(2), dtype=np.float32).dtype == np.float32
    assert Tensor(0.1, dtype=np.float64).item() == 0.1  # not by way of float32


def test_arrays_are_shared_and_lists_are_not():
    array = np.ones(2)
    assert Tensor(array).data is array and Tensor(Tensor(array)).data is array
    assert type(Tensor(np.ones(2).view(type("Array", (np.ndarray,), {}))).data) is np.ndarray


@pytest.mark.parametrize("data", ["1.5", ["a"], None, [1, None], object(), {}, np.array(["a"]), np.array([1, None]),
                                  np.array("2020-01-01", "M8[D]")])
def test_what_is_no_number_is_refused(data):
    with pytest.raises(TypeError, match="holds numbers or booleans, not dtype"):
        Tensor(data)


def test_ragged_lists_are_refused():
    with pytest.raises(ValueError, match="inhomogeneous"):
        Tensor([[1, 2], [3]])


@pytest.mark.parametrize("data", [np.ones(2, int), np.ones(2, bool)])
def test_integers_cannot_require_grad(data):
    with pytest.raises(TypeError, match=r"only floating-point Tensors can require grad.*astype\(np\.float32\)"):
        Tensor(data, requires_grad=True)


def test_a_list_of_tensors_that_require_grad_is_to_be_stacked():
    with pytest.raises(TypeError, match=r"np\.stack"):
        Tensor([leaf(1.0), leaf(2.0)])
    with pytest.raises(TypeError, match=r"t\.detach"):
        Tensor(leaf([1.0]))


def test_parameter():
    p = Parameter([1, 2], name="w")
    assert p.requires_grad and p.is_leaf and p.dtype == np.float32 and isinstance(p, Tensor)
    assert not Parameter([1], requires_grad=False).requires_grad
    assert type(p * 2) is Tensor and type(copy.deepcopy(p)) is Parameter


def test_typos_do_not_pass():
    with pytest.raises(AttributeError):
        Tensor(1.0).requires_gard = True


# ---- requires_grad, name, grad ----
def test_requires_grad_of_a_leaf_can_be_changed():
    t = Tensor([1.0, 2.0], name="t")
    t.requires_grad = True
    assert t.requires_grad and t.is_leaf and t.name == "t"
    assert t.requires_grad_(False) is t and not t.requires_grad and t.name == "t"
    y = t.requires_grad_() * 2
    assert y.requires_grad and not y.is_leaf
    for wanted in (False, True):
        with pytest.raises(RuntimeError, match=r"on a leaf only; t\.detach\(\)"):
            y.requires_grad = wanted


def test_setting_requires_grad_again_keeps_the_gradient():
    t = leaf([1.0])
    t.sum().backward()
    t.requires_grad = True
    assert t.grad.item() == 1


def test_names():
    t = Tensor([1.0])
    assert t.name is None
    t.name = "x"
    assert t.name == "x" and not t.requires_grad and not (t * 2).requires_grad
    t.name = None
    assert t.name is None
    y = leaf([1.0]) * t
    y.name = "product"
    assert y.name == y.node.name == "product"


def test_grad_can_be_set_and_is_checked():
    t = leaf([1.0, 2.0])
    t.grad = [3, 4]
    assert isinstance(t.grad, Tensor) and t.grad.dtype == np.float64
    g = Tensor(np.ones(2))
    t.grad = g
    assert t.grad is g
    with pytest.raises(ValueError, match=r"shape \(3,\) for a Tensor of shape \(2,\)"):
        t.grad = np.ones(3)
    t.grad = None
    assert t.grad is None
    with pytest.raises(RuntimeError, match="does not require grad"):
        Tensor([1.0]).grad = np.ones(1)


# ---- out of the graph ----
def test_numpy_says_how_to_get_the_array():
    constant = Tensor(np.ones(2))
    assert constant.numpy() is constant.data
    for t in (leaf([1.0]), leaf([1.0]) * 2):
        with pytest.raises(TypeError, match=r"use t\.detach\(\)\.numpy\(\), or np\.stack"):
            t.numpy()
        assert t.detach().numpy() is t.data


def test_detach_cuts():
    x = leaf([1.0, 2.0])
    y = x * x.detach()
    np.testing.assert_array_equal(grad(y.sum(), x).data, [1, 2])
    assert x.detach().data is x.data and not x.detach().requires_grad


def test_scalars():
    t = leaf(2.5)
    assert (t.item(), float(t), int(t), bool(t)) == (2.5, 2.5, 2, True)
    assert type(t.item()) is float and leaf([[3.0]]).item() == 3
    assert not bool(Tensor(0.0)) and [10, 20, 30][Tensor(np.array(1))] == 20
    with pytest.raises(TypeError):
        [1, 2][Tensor(1.0)]
    with pytest.raises(ValueError):
        leaf([1.0, 2.0]).item()
    with pytest.raises(ValueError):
        bool(leaf([1.0, 2.0]))
    with pytest.raises(TypeError):
        float(leaf([1.0, 2.0]))


def test_sequences():
    x = leaf([[1.0, 2.0], [3.0, 4.0]])
    assert len(x) == 2 and x.tolist() == [[1, 2], [3, 4]]
    rows = list(x)
    assert [r.tolist() for r in rows] == [[1, 2], [3, 4]]
    np.testing.assert_array_equal(grad((rows[0] * 2 + rows[1] * 3).sum(), x).data, [[2, 2], [3, 3]])
    _, b = x
    assert b.tolist() == [3, 4] and 3.0 in x and 5.0 not in x
    for scalar in (lambda: len(leaf(1.0)), lambda: iter(leaf(1.0))):
        with pytest.raises(TypeError):
            scalar()


def test_attributes():
    x = leaf(np.zeros((2, 3, 4)))
    assert (x.shape, x.ndim, x.size, x.dtype) == ((2, 3, 4), 3, 24, np.float64)
    assert x.T.shape == (4, 3, 2) and x.mT.shape == (2, 4, 3)


def test_hash_is_by_identity():
    a, b = Tensor([1.0]), Tensor([1.0])
    assert len({a, b, a}) == 2 and {a: 1}[a] == 1


@pytest.mark.parametrize(("t", "text"), [
    (Tensor(1.5), "tensor(1.5)"),
    (Tensor([1.0, 2.0]), "tensor([1., 2.])"),
    (Tensor(np.array([1.0, 2.0])), "tensor([1., 2.], dtype=float64)"),
    (Tensor(np.array([1, 2], np.int8)), "tensor([1, 2], dtype=int8)"),
    (Tensor([[1, 2], [3, 4]]), "tensor([[1., 2.],\n        [3., 4.]])"),
    (Tensor([1.0], requires_grad=True, name="w"), "tensor([1.], name='w', requires_grad=True)"),
    (Tensor([1.0], name="x"), "tensor([1.], name='x')"),
    (Tensor([1.0], requires_grad=True) * 2, "tensor([2.], op=multiply)"),
    (np.exp(leaf([0.0])), "tensor([1.], dtype=float64, op=exp)"),
    (Parameter([0.5]), "tensor([0.5], requires_grad=True)"),
    (Tensor([]), "tensor([])"),
])
def test_repr(t, text):
    assert repr(t) == str(t) == text


def test_format():
    t = leaf(3.14159)
    assert f"{t:.2f}" == "3.14" and f"{t:>8.3f}" == "   3.142" and f"{t}" == str(t)
    with pytest.raises((TypeError, ValueError)):
        f"{leaf([1.0, 2.0]):.2f}"


def test_deepcopy():
    t = leaf([1.0, 2.0], name="t")
    t.sum().backward()
    c = copy.deepcopy({"a": t, "b": t})
    assert c["a"] is c["b"] and c["a"] is not t
    assert c["a"].requires_grad and c["a"].name == "t" and not np.shares_memory(c["a"].data, t.data)
    with pytest.raises(RuntimeError, match="only leaves can be deep-copied"):
        copy.deepcopy(t * 2)
    constant = copy.deepcopy(Tensor([1.0]))
    assert not constant.requires_grad and constant.node is None


def test_copy_stays_in_the_graph():
    t = leaf([1.0, 2.0])
    c = t.copy()
    assert not np.shares_memory(c.data, t.data)
    np.testing.assert_array_equal(grad((c * c).sum(), t).data, [2, 4])


# ---- methods are NumPy's functions ----
methods = [
    lambda x: x.sum(), lambda x: x.sum(0), lambda x: x.sum(axis=(0, 2), keepdims=True), lambda x: x.mean(1),
    lambda x: x.prod(-1), lambda x: x.max(0), lambda x: x.min(axis=1, keepdims=True), lambda x: x.var(0),
    lambda x: x.std(axis=(1, 2), ddof=1), lambda x: x.reshape(6, 4), lambda x: x.reshape((3, -1)),
    lambda x: x.reshape(-1), lambda x: x.ravel(), lambda x: x.flatten(), lambda x: x.transpose(),
    lambda x: x.transpose(2, 0, 1), lambda x: x.transpose((1, 0, 2)), lambda x: x.transpose(None),
    lambda x: x.transpose(np.array([2, 0, 1])), lambda x: x.swapaxes(0, -1), lambda x: x[:1].squeeze(0),
    lambda x: x.astype(np.float32), lambda x: x.copy(), lambda x: x.clip(-0.5, 0.5), lambda x: x.clip(max=0.5),
    lambda x: x.clip(0), lambda x: x.round(), lambda x: x[0].dot(x[1].T), lambda x: x.diagonal(),
    lambda x: x.diagonal(1, 1, 2), lambda x: x.trace(), lambda x: -x, lambda x: +x, lambda x: abs(x), lambda x: x ** 2,
    lambda x: abs(x) ** 0.5, lambda x: 2 ** x, lambda x: x // 0.3, lambda x: 1 // x, lambda x: x % 0.3,
    lambda x: 1 % x, lambda x: 1 - x, lambda x: 1 / x, lambda x: x @ x[0].T, lambda x: np.ones(3) @ x]
plain = [
    lambda x: x.any(), lambda x: x.all(0), lambda x: x.argmax(), lambda x: x.argmin(axis=1), lambda x: x.argsort(),
    lambda x: x.argsort(axis=0), lambda x: x > 0, lambda x: x <= x[0], lambda x: x == x, lambda x: x != 0,
    lambda x: x < 1, lambda x: x >= 0]


@pytest.mark.parametrize("requires_grad", [False, True])
def test_methods_give_what_arrays_give(requires_grad, generator):
    a = generator.standard_normal((2, 3, 4))
    t = Tensor(a, requires_grad)
    for of in methods:
        y = of(t)
        assert isinstance(y, Tensor) and y.requires_grad == requires_grad
        assert y.dtype == of(a).dtype and y.shape == of(a).shape
        np.testing.assert_array_equal(y.data, of(a))
    for of in plain:
        assert isinstance(of(t), (np.ndarray, np.generic))
        np.testing.assert_array_equal(of(t), of(a))


def test_zero_dimensional_results_are_tensors():
    x = leaf(2.0)
    for y in (x * x, x + 1, np.exp(x), x.sum(), x.reshape(1)[0], 3 - x, x.T):
        assert isinstance(y, Tensor) and y.shape == () and type(y.data) is np.ndarray
        assert y.requires_grad and grad(y, x).shape == ()


# ---- indexing ----
@pytest.mark.parametrize("index", [
    1, -1, slice(1, None), slice(None, None, -1), (slice(None), 2), (..., 0), (None, 1), (1, None, slice(0, 2)), (),
    [0, 2], np.array([[0, 1], [2, 2]]), ([0, 0, 2], [1, 1, 3]), (slice(None), [0, 3]),
    np.arange(12).reshape(3, 4) % 2 == 0, np.array([True, False, True]), (np.array([True, False, True]), 1),
    np.int64(1),
    (1, 2),
])
def test_indexing_is_numpys(index):
    a = np.arange(12.0).reshape(3, 4)
    x = leaf(a)
    y = x[index]
    np.testing.assert_array_equal(y.data, a[index])
    y.sum().backward()
    counts = np.zeros((3, 4))
    np.add.at(counts, index, 1)
    np.testing.assert_array_equal(x.grad.data, counts)


def test_repeated_indices_add_up():
    x = leaf([1.0, 2.0, 3.0])
    (x[[0, 0, 2, 0]] * np.array([1.0, 10.0, 100.0, 1000.0])).sum().backward()
    np.testing.assert_array_equal(x.grad.data, [1011, 0, 100])
    x = leaf(np.ones((2, 2)))
    np.testing.assert_array_equal(grad(x[(0, 0), (1, 1)].sum(), x).data, [[0, 2], [0, 0]])


def test_a_tensor_as_index():
    x = leaf([1.0, 2.0, 3.0])
    index = Tensor(np.array([2, 0]))
    assert x[index].tolist() == [3, 1] and x[index, None].shape == (2, 1)
    assert x[Tensor(np.array([True, False, True]))].tolist() == [1, 3]
    assert x[Tensor(np.array(1))].item() == 2
    with pytest.raises(IndexError):
        x[Tensor([0.0, 1.0])]
    with pytest.raises(IndexError):
        x[3]


def test_values_beside_lists():
    x = leaf([1.0, 2.0])
    for y, expected in ((x * [3.0, 4.0], [3, 4]), ([3.0, 4.0] * x, [3, 4]), (x @ [3.0, 4.0], [3, 4]),
                        (x ** [1.0, 2.0], [1, 4]), (np.concatenate([[0.0], x]), [1, 1])):
        np.testing.assert_array_equal(grad(y.sum(), x).data, expected)


def test_freezing_between_forward_and_backward_keeps_the_leaf():
    w = Tensor(np.array([3.0]), requires_grad=True)
    y = w * w
    w.requires_grad = False
    w.requires_grad = True
    y.backward()
    assert w.grad.item() == 6


def test_the_gradient_of_a_complex_number_points_uphill():
    """dL/d(real z) + i dL/d(imag z): PyTorch's convention, so that z - lr * grad goes down."""
    z = Tensor(np.array([1 + 2j, -3j]), requires_grad=True)
    np.sum(abs(z) ** 2).backward()
    np.testing.assert_allclose(z.grad.data, 2 * z.data)
    seen = []
    w = z * (2 + 1j)
    w.register_hook(seen.append)
    g = grad(w, z, gradient=np.array([1j, 2.0]))
    np.testing.assert_allclose(seen[0].data, [1j, 2])
    np.testing.assert_allclose(g.data, np.array([1j, 2]) * np.conj(2 + 1j))


def test_complex_numbers_on_the_way_to_a_real_leaf():
    x = Tensor(np.array([1.0]), requires_grad=True)
    abs(x * (1 + 2j)).backward()
    assert x.grad.dtype == np.float64 and x.grad.item() == pytest.approx(5 ** 0.5)


def test_lists_are_float32_in_operators_too():
    assert (Tensor([1, 2]) + [1, 2]).dtype == np.float32


def test_remainder_by_what_does_not_divide_exactly():
    a, b = (Tensor(np.float64(v), requires_grad=True) for v in (1.0, 0.1))
    (a % b).backward()
    assert b.grad.item() == -9  # 1 // 0.1 is 9, though floor(1 / 0.1) is 10
