"""Changes in place: recorded as new values, written to constants, refused where they would be lost, and detected
where they reach what a graph has saved."""

from __future__ import annotations

import random
import warnings
from operator import iadd, ifloordiv, imatmul, imod, imul, ipow, isub, itruediv

import numpy as np
import pytest

from minigrad import Tensor, checkpoint, grad, nn, no_grad, optim
from minigrad import functional as F
from minigrad.inplace import writers
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


# ---- +=, -=, *=, /= and the others ----
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


operators = [iadd, isub, imul, itruediv, ifloordiv, imod, ipow, imatmul]


@pytest.mark.parametrize("change", operators, ids=lambda f: f.__name__)
def test_every_augmented_assignment(change):
    """A recorded value is replaced, a constant written to, a leaf refused while recording and written to otherwise."""
    a, b = np.array([[1.5, 2.0], [0.5, 3.5]]), np.array([[2.0, 1.0], [3.0, 2.0]])
    expected = change(a.copy(), b)
    x = leaf(a)
    y = x * 1
    new = change(y, b)
    assert new is not y and new.requires_grad and y.tolist() == a.tolist()
    np.testing.assert_allclose(new.data, expected)
    for t in (Tensor(a.copy()), leaf(a)):
        array = t.data
        with no_grad():
            assert change(t, Tensor(b)) is t
        assert t.data is array
        np.testing.assert_allclose(array, expected)
    with pytest.raises(RuntimeError, match="a leaf that requires grad cannot be changed in place"):
        change(x, b)


def test_bitwise_operators_are_not_there():
    t = Tensor(np.array([True, False]))
    with pytest.raises(TypeError):
        t &= t
    assert t.tolist() == [True, False]


def test_fill_zero_and_copy():
    t = Tensor(np.zeros(3))
    assert t.fill_(2.0) is t and t.tolist() == [2, 2, 2]
    assert t.copy_(np.arange(3.0)) is t and t.tolist() == [0, 1, 2]
    assert t.zero_() is t and t.tolist() == [0, 0, 0]
    assert t.fill(3.0) is None and t.tolist() == [3, 3, 3]
    x, v = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    for change in (lambda: x.zero_(), lambda: x.fill_(1), lambda: x.copy_(v), lambda: x.fill(1)):
        with pytest.raises(RuntimeError, match="a leaf that requires grad"):
            change()
    y = x * 2
    assert y.copy_(v * v) is y and y.tolist() == [9, 16]
    assert [g.tolist() for g in grad(y.sum(), [x, v])] == [[0, 0], [6, 8]]
    with no_grad():
        x.copy_([5.0, 6.0])
    assert x.is_leaf and x.requires_grad and x.tolist() == [5, 6]


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
    lambda t: np.add(t.data, t, out=t.data), lambda t: t.data.__isub__(0.1 * Tensor(np.ones(2))),
    lambda t: t.__ifloordiv__(2), lambda t: t.__imod__(2), lambda t: t.__ipow__(2), lambda t: t.__imatmul__(np.eye(2)),
    lambda t: t.fill_(1), lambda t: t.zero_(), lambda t: t.copy_([5.0, 6.0]), lambda t: t.fill(1),
    lambda t: t.put([0], [7.0]), lambda t: np.put(t, [0], 7.0), lambda t: np.copyto(t, np.ones(2)),
    lambda t: np.copyto(dst=t, src=np.ones(2)), lambda t: np.copyto(t.data, Tensor(np.ones(2))),
    lambda t: np.place(t, np.array([True, False]), [7.0]), lambda t: np.putmask(t, np.array([True, False]), 7.0),
    lambda t: np.put_along_axis(t, np.array([0]), 7.0, 0), lambda t: np.fill_diagonal(t.reshape(2, 1), 7.0),
    lambda t: np.add(t, 1, out=t), lambda t: np.exp(Tensor(np.ones(2)), out=t.data),
    lambda t: np.frexp(t, out=(t, np.zeros(2, np.int32))), lambda t: setattr(t, "data", t.data.__iadd__(1)),
    lambda t: t.__setitem__(Tensor(np.array([True, False])), 7.0), lambda t: random.Random(0).shuffle(t)])
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


# ---- functions that write into an argument ----
writing = {
    np.copyto: lambda t, v: np.copyto(t, v), np.put: lambda t, v: np.put(t, [0, 1, 2, 3], v),
    np.place: lambda t, v: np.place(t, np.ones((2, 2), bool), v),
    np.putmask: lambda t, v: np.putmask(t, np.ones((2, 2), bool), v),
    np.fill_diagonal: lambda t, v: np.fill_diagonal(t, v),
    np.put_along_axis: lambda t, v: np.put_along_axis(t, np.array([[0, 1], [1, 0]]), v, 1)}


def test_every_writer_is_tried():
    assert writing.keys() == writers.keys()


@pytest.mark.parametrize("f", writing, ids=lambda f: f.__name__)
def test_writers_refuse_recorded_values_and_name_what_computes_the_same(f):
    a, v = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[5.0, 6.0], [7.0, 8.0]])
    expected = a.copy()
    writing[f](expected, v)
    message = rf"np\.{f.__name__} would write into an array, and.*use .*(np\.where|t\[|scatter)"
    for t, u in ((leaf(a), v), (leaf(a) * 1, v), (Tensor(a.copy()), leaf(v)), (a.copy(), leaf(v))):
        with pytest.raises(TypeError, match=f"{message}|does not turn into an array"):
            writing[f](t, u)
    for t in (leaf(a), Tensor(a.copy())):
        with no_grad():
            writing[f](t, leaf(v))
        np.testing.assert_array_equal(t.data, expected)


def test_out_of_a_function_without_a_rule_is_noticed_or_refused():
    x, i = leaf([3.0, 1.0, 2.0]), Tensor(np.array(0))
    y = x[i] * x[i]
    np.argmax(Tensor(np.array([0.0, 0.0, 1.0])), out=i)
    assert i.item() == 2
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()
    with pytest.raises(TypeError, match=r"np\.argmax would write into an array.*without out="):
        np.argmax(x, out=i)


def test_both_outputs_of_a_ufunc_are_noticed():
    w, a, b = leaf([1.0, 2.0]), Tensor(np.zeros(2)), Tensor(np.zeros(2, np.int32))
    for saved in (a, b):
        loss = (w * saved).sum()
        np.frexp(Tensor(np.ones(2)), out=(a, b))
        with pytest.raises(RuntimeError, match="changed in place"):
            loss.backward()


def test_shuffling_is_noticed_and_refused_for_a_leaf():
    w, c = leaf([1.0, 2.0]), Tensor(np.array([3.0, 4.0]))
    for shuffle in (np.random.default_rng(1).shuffle, random.Random(1).shuffle):
        loss = (w * c).sum()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # NumPy's, that this is no Sequence
            shuffle(c)
        with pytest.raises(RuntimeError, match="changed in place"):
            loss.backward()
    with pytest.raises(RuntimeError, match="a leaf that requires grad"):
        random.Random(1).shuffle(w)


# ---- who changes parameters and buffers ----
@pytest.mark.parametrize("make", [optim.SGD, optim.Adam, optim.RMSprop], ids=lambda o: o.__name__)
def test_an_optimizers_step_between_forward_and_backward_is_detected(make):
    w = leaf([1.0, 2.0])
    opt = make([w], lr=0.1)
    for view in (lambda w: w, lambda w: w[:1], lambda w: w.reshape(2, 1)):
        (w * w).sum().backward()
        loss = (view(w) * view(w)).sum()
        opt.step()
        with pytest.raises(RuntimeError, match=r"before optimizer\.step"):
            loss.backward()
        opt.zero_grad()


def test_new_data_leaves_the_old_to_the_graph():
    """Setting .data to another array writes nothing: the gradient is that of the value that was used."""
    w = leaf([1.0, 2.0])
    loss = (w * w).sum()
    w.data = np.array([10.0, 20.0])
    loss.backward()
    assert w.grad.tolist() == [2, 4]
    w.zero_grad()
    other = np.array([3.0, 4.0])
    w.data = other
    view = w[1:]
    loss = (w * w).sum()
    with no_grad():
        view += 1  # made after, and of the same memory
    assert other.tolist() == [3, 5]
    with pytest.raises(RuntimeError, match="changed in place"):
        loss.backward()


def test_a_view_made_before_the_value_was_used():
    w, c = leaf([1.0, 2.0]), Tensor(np.array([3.0, 4.0]))
    view = c[:1]
    loss = (w * c).sum()
    view.fill_(9.0)
    with pytest.raises(RuntimeError, match="changed in place"):
        loss.backward()


def test_loading_leaves_the_parameters_of_a_graph_alone(tmp_path):
    model, x = nn.Linear(2, 1), np.ones((3, 2), np.float32)
    before = model.weight.data.copy()
    other = {k: v + 1 for k, v in model.state_dict().items()}
    checkpoint.save(tmp_path / "m.npz", other)
    for load in (lambda: model.load_state_dict(other),
                 lambda: checkpoint.load(tmp_path / "m.npz").restore(model)):
        model.weight.data = before.copy()
        t = Tensor(x, requires_grad=True)
        y = model(t).sum()
        load()
        y.backward()
        np.testing.assert_array_equal(t.grad.data, np.ones((3, 1)) * before.reshape(1, -1))
        assert model.weight.data.tolist() == (before + 1).tolist()


def test_loading_into_a_buffer_that_a_graph_saved_is_detected():
    class Scale(nn.Module):
        def __init__(self):
            self.register_buffer("scale", np.array([2.0, 3.0]))

        def forward(self, x):
            return x * self.scale
    model, x = Scale(), leaf([1.0, 1.0])
    y = model(x).sum()
    model.load_state_dict({"scale": np.array([5.0, 5.0])})
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()


def test_running_statistics_may_move_on():
    """In evaluation nothing that batch norm saves is used by a rule and written in training: gradients stay right."""
    model, x = nn.BatchNorm1d(2, dtype=np.float64), leaf([[1.0, 2.0], [3.0, 5.0]])
    expected = 1 / np.sqrt(model.running_var + model.eps)
    y = model.eval()(x).sum()
    model.train()(Tensor(np.array([[10.0, 20.0], [30.0, 50.0]])))
    assert model.running_var.max() > 2
    y.backward()
    np.testing.assert_allclose(x.grad.data, np.broadcast_to(expected, (2, 2)))


def test_dropout_and_losses_keep_their_own_copies():
    """A target that the caller goes on using: class indices and masks are saved, so a change is detected."""
    z, target = leaf(np.zeros((2, 3))), Tensor(np.array([0, 1]))
    loss = F.cross_entropy(z, target)
    target += 1
    with pytest.raises(RuntimeError, match="changed in place"):
        loss.backward()
