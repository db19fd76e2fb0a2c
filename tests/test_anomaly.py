"""detect_anomaly: the first op in the forward pass that makes a NaN or an infinity, and likewise in backward."""

from __future__ import annotations

import inspect
import threading

import numpy as np
import pytest

from minigrad import Tensor, grad, jacobian, nn, no_grad, vmap
from minigrad.anomaly import detect_anomaly


@pytest.fixture(autouse=True)
def quiet():
    with np.errstate(all="ignore"):
        yield


def complaint(f, **how):
    """The message, and the line of f that it names."""
    with pytest.raises(FloatingPointError) as error, detect_anomaly(**how):
        f()
    return str(error.value)


def leaf(*values):
    return Tensor(np.array(values), requires_grad=True)


def test_forward_names_op_operands_index_file_and_line():
    x = leaf(1.0, 0.0, 4.0)

    def loss():
        y = x * 2
        z = np.log(y)  # here
        return np.sum(z + 1)
    text = complaint(loss)
    lines, first = inspect.getsourcelines(loss)
    line = first + next(i for i, s in enumerate(lines) if "# here" in s)
    assert text.splitlines()[0] == "log made an infinity, at index (1,)"
    assert "operand 0: [2., 0., 8.] (float64), there 0.0" in text
    assert f"{__file__}, line {line}, in loss: z = np.log(y)  # here" in text


def test_the_first_one_not_a_later_one():
    x = leaf(-1.0, 2.0)
    assert complaint(lambda: np.sum(np.exp(np.sqrt(x) * 3))).startswith("sqrt made a NaN, at index (0,)")
    big = leaf(1e200, 1.0)
    assert complaint(lambda: (big * big - big * big).sum()).startswith("multiply made an infinity, at index (0,)")
    many = Tensor(-np.ones((20, 30)), requires_grad=True)
    text = complaint(lambda: np.log(many))
    assert "log made a NaN, 600 of 600, the first at index (0, 0)" in text
    assert "operand 0: shape (20, 30), float64, from -1 to -1, there -1.0" in text


def test_backward_names_the_rule_and_the_line_of_the_forward_call():
    x = leaf(4.0, 0.0)

    def user():
        y = np.sqrt(x * 1)  # the culprit
        z = np.sum(y * y)
        z.backward()
    text = complaint(user)
    assert text.startswith("backward: the rule of sqrt made a NaN, at index (1,)")
    assert "y: [2., 0.] (float64)" in text and "operand 0: [4., 0.] (float64), there 0.0" in text
    assert "in user: y = np.sqrt(x * 1)  # the culprit" in text
    for how in ({}, {"create_graph": True}):
        assert complaint(lambda how=how: grad(np.sum(np.sqrt(x * 1)), x, **how)).startswith(
            "backward: the rule of sqrt made an infinity, at index (1,)")
    assert x.grad is None


def test_forward_outside():
    y = np.sum(np.sqrt(leaf(0.0)))
    assert "in test_forward_outside: y = np.sum(np.sqrt(leaf(0.0)))" in complaint(y.backward), "lines are always noted"


def test_inside_layers_the_users_line_is_named():
    layer = nn.Dense(2, 1)
    layer.weight.data[0, 0] = np.nan
    text = complaint(lambda: layer(Tensor([[1.0, 2.0]])))
    assert text.startswith("affine was handed a NaN") and "in <lambda>: text = complaint(lambda: layer(" in text


def test_what_is_no_anomaly():
    x = leaf(1.0, 2.0)
    with detect_anomaly():
        masked = np.where(np.array([True, False]), x, -np.inf)
        np.max(masked).backward()
        np.sum(np.where(np.isnan(np.array([np.nan, 1.0])), 0.0, x)).backward()
        np.argmax(x)
        with no_grad():
            x + 1
    np.log(x - 1)  # no longer looking
    complaint(lambda: np.log(x - 1))
    with detect_anomaly(check_inf=False):
        np.log(x - 1)
    assert complaint(lambda: np.log(x - 2), check_inf=False).startswith("log made a NaN")


def test_constants_are_looked_at_too():
    assert complaint(lambda: np.log(Tensor([-1.0]))).startswith("log made a NaN")
    assert complaint(lambda: Tensor([np.nan]) + 1).startswith("add was handed a NaN")


def test_nesting_decorating_and_threads():
    @detect_anomaly()
    def f():
        with detect_anomaly(check_inf=False):
            np.log(Tensor([0.0]))
        np.log(Tensor([0.0]))
    for _ in range(2):
        with pytest.raises(FloatingPointError, match="made an infinity"):
            f()
    results = []

    def elsewhere():
        with np.errstate(all="ignore"):
            results.append(np.log(Tensor([0.0])))
    with detect_anomaly():
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
    assert results[0].item() == -np.inf


def test_inside_jacobian_and_vmap():
    x = np.array([1.0, 0.0])
    with detect_anomaly():
        assert jacobian(lambda x: x ** 2)(x).shape == (2, 2)
    assert complaint(lambda: jacobian(lambda x: np.sqrt(x * 1))(x)).startswith("backward: the rule of sqrt made a NaN")
    assert complaint(lambda: vmap(np.log)(x)).startswith("log made an infinity, at index (1,)")
