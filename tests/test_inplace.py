"""Changes in place: recorded as new values, written to constants, refused where they would be lost, and detected
where they reach what a graph has saved."""

from __future__ import annotations

import numpy as np
import pytest

from minigrad import Tensor, grad, no_grad
from minigrad.testing import check_rule_paths, gradcheck

CHANGED = r"that Node\({}.*saved for backward was changed in place after it was used.*t = t\.copy\(\)"


def leaf(value):
    return Tensor(np.array(value, np.float64), requires_grad=True)


# ---- t[i] = v, recorded ----
assignments = [
    ((4, 3), (3,), 1), ((4, 3), (4,), (slice(None), 1)), ((4, 3), (), ...), ((4, 3), (1, 3), slice(0, 2)),
    ((4,), (2,), np.array([True, False, True, False])), ((4,), (3,), [0, 0, 2]), ((4, 3), (2,), ([0, 2], [1, 1])),
    ((4, 3), (4, 1), ...), ((4,), (2,), slice(None, None, -2)), ((4, 3), (), (1, 2)), ((4, 3), (1, 1, 3), [2, 0]),
]


@pytest.mark.parametrize(("shape", "v", "index"), assignments)
def test_setitem_is_differentiable(shape, v, index, generator):
    def f(x, v):
        y = x * 2
        y[index] = v
        return y * y
    x, v = generator.standard_normal(shape), generator.standard_normal(v)
    gradcheck(f, x, v, order=2)
    check_rule_paths(f, x, v)
    expected = 2 * x
    expected[index] = v
    np.testing.assert_array_equal(f(Tensor(x), Tensor(v)).data, expected ** 2)


def test_of_a_repeated_index_the_last_value_stands():
    x, v = leaf([1.0, 2.0]), leaf([10.0, 20.0, 30.0])
    y = x * 1
    y[[0, 0, 0]] = v
    assert y.tolist() == [30, 2]
    gx, gv = grad((y * np.array([5.0, 7.0])).sum(), [x, v])
    assert gx.tolist() == [0, 7] and gv.tolist() == [0, 0, 5]


def test_setitem_of_a_number_cuts_what_was_there():
    x = leaf([1.0, 2.0, 3.0])
    y = x * 2
    y[1] = 0.0
    assert grad(y.sum(), x).tolist() == [2, 0, 2]


def test_a_recorded_value_into_a_constant():
    v = leaf([1.0, 2.0])
    array = np.zeros((2, 2))
    t = Tensor(array)
    t[0] = v
    t[1] = v * v
    assert t.tolist() == [[1, 2], [1, 4]] and t.requires_grad
    assert grad(t.sum(), v).tolist() == [3, 5]
    np.testing.assert_array_equal(array, 0)  # an array cannot hold a graph


def test_values_used_before_keep_their_meaning():
    """Each use sees the value of its time, in the forward pass and in the gradient."""
    x = leaf([1.0, 2.0])
    y = x * 3
    before = y * y
    view = y[:1]
    y[0] = 100.0
    assert view.tolist() == [3]
    g = grad((before + y + view).sum(), x)
    assert g.tolist() == [2 * 9 * 1 + 0 + 2 * 3, 2 * 9 * 2 + 3]


def test_a_tensor_as_index_of_an_assignment():
    x = leaf([1.0, 2.0, 3.0])
    y = x * 1
    y[Tensor(np.array([0, 2]))] = 0.0
    assert grad(y.sum(), x).tolist() == [0, 1, 0]


# ---- refused ----
def test_a_leaf_is_refused():
    x = leaf([1.0, 2.0])

    def assign():
        x[0] = 1.0

    def add():
        t = x
        t += 1
    for change in (assign, add):
        with pytest.raises(RuntimeError, match=r"a leaf that requires grad cannot be changed.*with no_grad.*np\.where"):
            change()
    assert x.tolist() == [1, 2]


@pytest.mark.parametrize(("view", "name"), [
    (lambda y: y[0], "getitem"), (lambda y: y.reshape(-1), "reshape"), (lambda y: y.T, "transpose"),
    (lambda y: np.broadcast_to(y, (2, 2, 2)), "broadcast_to"), (lambda y: np.flip(y), "flip")])
def test_a_view_is_refused(view, name):
    y = leaf([[1.0, 2.0], [3.0, 4.0]]) * 2
    with pytest.raises(RuntimeError, match=rf"this is a view, made by {name}:.*t\[i, j\] = v instead of t"):
        view(y)[0] = 1.0
    y[0, 1] = 1.0
    assert y.tolist() == [[2, 1], [6, 8]]
    fine = y.reshape(-1).copy()
    fine[0] = 0.0
    assert fine.tolist() == [0, 1, 6, 8]


def test_a_view_of_a_constant_is_refused_for_recorded_values():
    t, v = Tensor(np.zeros((2, 2))), leaf(1.0)
    with pytest.raises(RuntimeError, match="this is a view: assigning a recorded value"):
        t[0][1] = v
    t[0][1] = 5.0  # NumPy's own meaning
    assert t.tolist() == [[0, 5], [0, 0]]


def test_a_recorded_value_does_not_fit_into_integers():
    t = Tensor(np.zeros(2, int))
    with pytest.raises(TypeError, match="cannot be assigned into a Tensor of int64"):
        t[0] = leaf(1.5)
    t[0] = 3
    assert t.tolist() == [3, 0]


def test_assignment_after_backward_is_no_crash():
    x = leaf([1.0, 2.0])
    y = x * 2
    y.sum().backward()
    y[0] = 5.0
    assert y.tolist() == [5, 4]
    with pytest.raises(RuntimeError, match="a second time"):
        y.sum().backward()


# ---- +=, -=, *=, /= ----
def test_augmented_assignment_of_recorded_values_makes_new_ones():
    x = leaf([1.0, 2.0])
    y = x * 2
    same = y
    y += x
    y *= x
    y -= 1
    y /= x
    assert same.tolist() == [2, 4] and y is not same
    np.testing.assert_allclose(grad(y.sum(), x).data, 3 + 1 / x.data ** 2)  # 3 x - 1 / x


def test_augmented_assignment_of_constants_writes():
    t = Tensor(np.array([1.0, 2.0]))
    same, array = t, t.data
    t += 1
    t *= Tensor([2.0, 2.0])
    t -= np.array([1.0, 1.0])
    t /= 2
    assert t is same and t.data is array and t.tolist() == [1.5, 2.5]
    t += leaf([1.0, 1.0])  # from here on it depends on something
    assert t.requires_grad and same.tolist() == [1.5, 2.5]


def test_parameters_are_updated_in_place_under_no_grad():
    w = leaf([1.0, 2.0])
    array = w.data
    (w * w).sum().backward()
    with no_grad():
        w -= 0.1 * w.grad
        w[0] = 7.0
    assert w.data is array and w.is_leaf and w.requires_grad
    np.testing.assert_allclose(w.data, [7, 1.6])


def test_scalars_are_updated_in_place_too():
    w = leaf(1.0)
    array = w.data
    with no_grad():
        w += 1
    assert w.data is array and w.item() == 2


def test_data_minus_equals_lr_times_grad():
    """The loop of every tutorial."""
    w = leaf([3.0, -4.0])
    for _ in range(100):
        w.zero_grad()
        (w * w).sum().backward()
        w.data -= 0.1 * w.grad
    assert isinstance(w.data, np.ndarray) and np.abs(w.data).max() < 1e-8
    w.data -= 0.1 * w.grad.data
    w.data = w.data - 0.1 * w.grad.numpy()
    assert w.requires_grad and np.abs(w.data).max() < 1e-8


# ---- detected ----
def test_a_changed_leaf_is_detected():
    w = leaf([1.0, 2.0])
    loss = (w * w).sum()
    with no_grad():
        w += 1
    with pytest.raises(RuntimeError, match="value of shape \\(2,\\) " + CHANGED.format("multiply")):
        loss.backward()


@pytest.mark.parametrize("change", [
    lambda t: t.__setitem__(0, 9.0), lambda t: t.__iadd__(1), lambda t: t.__imul__(2), lambda t: t.__isub__(1),
    lambda t: t.__itruediv__(2), lambda t: t.reshape(2, 1).__setitem__(0, 9.0), lambda t: t[1:].__iadd__(1),
    lambda t: np.add(t.data, t, out=t.data), lambda t: t.data.__isub__(0.1 * Tensor(np.ones(2)))], ids=range(9))
def test_every_way_of_changing_a_constant_is_detected(change):
    w, c = leaf([1.0, 2.0]), Tensor(np.array([3.0, 4.0]))
    loss = (w * c).sum()
    change(c)
    with pytest.raises(RuntimeError, match=CHANGED.format("multiply")):
        loss.backward()


@pytest.mark.parametrize("view", [
    lambda t: t.reshape(4), lambda t: t.T, lambda t: t[:1], lambda t: t[0], lambda t: np.flip(t), lambda t: t.detach(),
    lambda t: np.lib.stride_tricks.sliding_window_view(t, (1, 2)), lambda t: np.broadcast_to(t, (3, 2, 2))],
    ids=range(8))
def test_a_saved_view_whose_base_changed_is_detected(view):
    base = Tensor(np.ones((2, 2)))
    saved = view(base)
    w = leaf(np.ones(saved.shape))
    loss = (w * saved).sum()
    base[0, 0] = 5.0
    with pytest.raises(RuntimeError, match=CHANGED.format("multiply")):
        loss.backward()


def test_a_changed_output_is_detected():
    w = leaf([1.0, 2.0])
    y = np.exp(w)  # its rule uses y
    with no_grad():
        y *= 0
    with pytest.raises(RuntimeError, match=CHANGED.format("exp")):
        y.sum().backward()


def test_detected_for_second_order_too():
    w = leaf([1.0, 2.0])
    g = grad((w ** 3).sum(), w, create_graph=True)
    with no_grad():
        w += 1
    with pytest.raises(RuntimeError, match="changed in place"):
        grad(g.sum(), w)


def test_a_change_before_use_is_fine():
    w, c = leaf([1.0, 2.0]), Tensor(np.array([3.0, 4.0]))
    c += 1
    loss = (w * c).sum()
    loss.backward()
    assert w.grad.tolist() == [4, 5]


def test_a_change_of_something_else_is_fine():
    w, c, other = leaf([1.0, 2.0]), Tensor(np.array([3.0, 4.0])), Tensor(np.zeros(2))
    loss = (w * c).sum()
    other += 1
    w.grad = np.zeros(2)
    w.grad += 1
    loss.backward()
    assert w.grad.tolist() == [4, 5]


def test_a_change_after_backward_is_fine():
    w = leaf([1.0, 2.0])
    for _ in range(3):
        loss = (w * w).sum()
        loss.backward()
        with no_grad():
            w -= 0.1 * w.grad
            w.zero_grad()
    np.testing.assert_allclose(w.data, np.array([1.0, 2.0]) * 0.8 ** 3)


def test_a_copy_may_be_changed():
    w, c = leaf([1.0, 2.0]), Tensor(np.array([3.0, 4.0]))
    loss = (w * c).sum()
    c = c.copy()
    c += 1
    loss.backward()
    assert w.grad.tolist() == [3, 4]


def test_memory_that_is_used_again_is_not_mistaken():
    """The id of a dead array may be that of a new one: an old change must not count against it."""
    w = leaf(np.ones(3))
    for _ in range(200):
        c = Tensor(np.zeros(3))
        c += 1
        del c
        fresh = Tensor(np.full(3, 2.0))
        loss = (w * fresh).sum()
        assert grad(loss, w).tolist() == [2, 2, 2]


def test_an_index_changed_after_it_was_used_is_noticed():
    x, i = Tensor(np.arange(3.0), requires_grad=True), Tensor(np.array([0, 1]))
    y = (x[i] * np.array([1.0, 10.0])).sum()
    i += 1
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()


def test_data_takes_the_result_of_arithmetic_with_gradients():
    w = Tensor(np.array([1.0, 2.0]), requires_grad=True)
    (w * w).sum().backward()
    w.data = w.data - 0.5 * w.grad
    assert type(w.data) is np.ndarray and w.data.tolist() == [0, 0]
    with pytest.raises(TypeError, match="detach"):
        w.data = w * 2


def test_data_changed_in_place_by_an_array_is_noticed():
    w = Tensor(np.array([1.0, 2.0]), requires_grad=True)
    y = (w * w).sum()
    w.data -= np.ones(2)
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()
