"""The checker itself: what is wrong must fail, and the message must say where."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad.primitives as P
from minigrad import Tensor, grad, logsumexp, no_grad, primitive
from minigrad.graph import Each, rule
from minigrad.testing import (
    GradientError,
    check_adjoint,
    check_hessian_symmetry,
    check_op,
    check_rule_paths,
    find_wrong_rule,
    gradcheck,
    gradgradcheck,
)

pytestmark = pytest.mark.usefixtures("own_ops")
small, large = np.linspace(-1, 1, 6).reshape(2, 3), np.linspace(-1, 1, 3000)


def op(*rules, forward=np.exp, **how):
    def op(*xs):
        return forward(*xs)
    return primitive(*rules, **how)(op)


# ---- what is right passes ----
def test_right_rules_pass():
    gradcheck(np.exp, small, order=3)
    gradcheck(np.exp, large)
    gradcheck(lambda x, w: np.tanh(x @ w), small, np.ones((3, 2)))
    gradcheck(lambda x: x ** 3, 2.0, order=4)
    gradcheck(lambda x: (np.sin(x), x.sum()), small)
    gradcheck(lambda x: [x[0], np.argmax(x.data), x[1]], small)
    gradgradcheck(logsumexp, small)
    check_rule_paths(lambda x, y: x / y, small, np.float32(2))
    check_hessian_symmetry(lambda x, y: np.exp(x * y), small, 1.5)


def test_functions_that_are_constant_or_linear_pass():
    gradcheck(lambda x: Tensor(np.ones(2)), small)
    gradcheck(lambda x: x * 0, small)
    gradcheck(lambda x: x[:0], small)
    gradcheck(np.exp, np.zeros((0, 3)))
    for f in (lambda x: x * 2, lambda x: Tensor(1.0, dtype=np.float64), lambda x: x[:0]):
        check_hessian_symmetry(f, small)
        check_rule_paths(f, small)


def test_only_floating_point_inputs_are_differentiated():
    seen = []

    def f(x, index, flag, name):
        seen.append((type(index), flag, name))
        return x[index] * 2
    gradcheck(f, small, np.array([0, 0]), True, "name")
    assert set(seen) == {(np.ndarray, True, "name")}
    with pytest.raises(TypeError, match="nothing to differentiate"):
        gradcheck(lambda x: x, 1)


def test_inputs_are_left_alone():
    x = Tensor(np.ones(3, np.float32), requires_grad=True)
    x.data.flags.writeable = False
    seen = []
    gradcheck(lambda t: seen.append(t) or t * t, x)
    assert x.grad is None and x.dtype == np.float32
    assert all(t.dtype == np.float64 and not np.shares_memory(t.data, x.data) for t in seen)


def test_the_seed_decides_and_may_be_a_generator():
    def directions(seed):
        seen = []
        gradcheck(lambda t: seen.append(t.data.copy()) or t * t, small, seed=seed)
        return np.array(seen)
    np.testing.assert_array_equal(directions(1), directions(np.random.default_rng(1)))
    assert not np.array_equal(directions(1), directions(2))


# ---- what is wrong fails ----
@pytest.mark.parametrize("x", [small, large, np.array(0.5)], ids=["small", "large", "0-d"])
@pytest.mark.parametrize("rule", [
    lambda g, y, x: g * y * 1.001, lambda g, y, x: g * y * 0.999, lambda g, y, x: -g * y, lambda g, y, x: g,
    lambda g, y, x: g * y + 0.001, lambda g, y, x: np.zeros_like(g)], ids=range(6))
def test_a_wrong_rule_fails_at_first_order(rule, x):
    with pytest.raises(GradientError, match="order 1 with respect to argument 0"):
        gradcheck(op(rule), x, order=1)
    with pytest.raises(GradientError, match="order 1"):
        gradcheck(op(rule), x)


def test_one_wrong_element_among_thousands_fails():
    wrong = np.ones(3000)
    wrong[1234] = 1.01
    with pytest.raises(GradientError):
        gradcheck(op(lambda g, y, x: g * y * wrong), large, order=1)


def test_a_wrong_rule_for_the_second_argument_fails():
    multiply = op(lambda g, y, a, b: g * b, lambda g, y, a, b: g * a * 1.001, forward=np.multiply)
    with pytest.raises(GradientError, match=r"order 1 with respect to argument 1, of shape \(2, 3\)"):
        gradcheck(multiply, small, small + 3)


def _detached(t):
    return t.data if isinstance(t, Tensor) else t


@pytest.mark.parametrize("rule", [
    lambda g, y, x: g * _detached(y), lambda g, y, x: g * np.exp(_detached(x)), lambda g, y, x: _detached(g) * y],
    ids=["output", "input", "g"])
@pytest.mark.parametrize("x", [small, large], ids=["small", "large"])
def test_a_rule_right_at_first_order_and_wrong_at_second_fails(rule, x):
    """What an array saved in forward does: the gradient is right and does not depend on what it should."""
    f = op(rule)
    gradcheck(f, x, order=1)
    for check in (gradcheck, gradgradcheck):
        with pytest.raises(GradientError, match="order 2"):
            check(f, x)


def test_the_second_order_alone_ignores_the_first():
    f = op(lambda g, y, x: g * np.exp(x), forward=lambda x: np.exp(x) + 5 * x)
    gradgradcheck(f, small)
    with pytest.raises(GradientError, match="order 1"):
        gradcheck(f, small)


def test_a_cut_graph_fails():
    for f in (lambda x: x.detach() * 2, lambda x: Tensor(x.data ** 2), lambda x: x.data * 2):
        with pytest.raises(GradientError, match="the rules give 0, a central difference"):
            gradcheck(f, small)
    with pytest.raises(GradientError):
        gradcheck(lambda x: (x * 2, x.data), small)

    def unrecorded(x):
        with no_grad():
            return x * 2
    with pytest.raises(GradientError, match="unrecorded"):
        gradcheck(unrecorded, small)


def test_not_a_number_fails():
    with pytest.raises(GradientError):
        gradcheck(op(lambda g, y, x: g * np.nan), small)
    with np.errstate(divide="ignore", invalid="ignore"), pytest.raises(GradientError):
        gradcheck(np.sqrt, np.zeros(2))


def test_a_kink_fails():
    with pytest.raises(GradientError):
        gradcheck(np.abs, np.array([1.0, 0.0]))
    gradcheck(np.abs, np.array([1.0, 1e-3]))


# ---- what the messages say ----
def test_the_message_for_small_inputs_names_the_worst_index():
    wrong = np.ones((2, 3))
    wrong[1, 2] = 1.5
    with pytest.raises(GradientError) as error:
        gradcheck(op(lambda g, y, x: g * y * wrong), small, order=1)
    where = "op: the derivative of order 1 with respect to argument 0, of shape (2, 3), is wrong: "
    assert str(error.value).startswith(where)
    assert "at index (1, 2) the rules give" in str(error.value) and "(step 1e-06)" in str(error.value)
    ours, numeric = (float(part.split()[0].rstrip(":,")) for part in
                     (str(error.value).split("rules give ")[1], str(error.value).split("central difference ")[1]))
    assert ours == pytest.approx(1.5 * numeric, rel=1e-6)


@pytest.mark.parametrize("at", [0, 1234, 2999])
def test_the_message_for_large_inputs_names_the_wrong_element(at):
    wrong = np.ones(3000)
    wrong[at] = 1.01
    with pytest.raises(GradientError, match=rf"at index \({at},\) the rules give [-0-9.]+, a central difference "):
        gradcheck(op(lambda g, y, x: g * y * wrong), large, order=1)
    with pytest.raises(GradientError, match=rf"at index \({at},\) the rules give nan"):
        gradcheck(op(lambda g, y, x: np.where(wrong == 1, g * y, np.nan)), large, order=1)


def test_bisection_takes_a_few_calls():
    calls, wrong = [], np.ones(2 ** 16)
    wrong[12345] = 2
    f = op(lambda g, y, x: g * y * wrong)
    with pytest.raises(GradientError, match=r"\(12345,\)"):
        gradcheck(lambda x: calls.append(0) or f(x), np.zeros(2 ** 16), order=1)
    assert len(calls) < 300


def test_the_message_names_the_parameter():
    wrong = op(lambda g, y, a, b: g * b, lambda g, y, a, b: g * a * 1.001, forward=np.multiply)
    with pytest.raises(GradientError, match=r"product: .* argument 1 \(right\), of shape \(2, 3\), is wrong: at index"):
        def product(left, right):
            return wrong(left, right)
        gradcheck(product, small, small + 3)
    with pytest.raises(GradientError, match=r"argument 1, of"):
        gradcheck(lambda *xs: wrong(*xs), small, small + 3)


def test_the_message_names_the_output_if_there_are_several():
    wrong = op(lambda g, y, x: g * y * 1.001)
    with pytest.raises(GradientError, match=r"is wrong, that of output 1: at index"):
        gradcheck(lambda x: (np.exp(x), wrong(x), x * 2), small)


def test_the_message_of_second_order_names_the_gradient_and_the_argument():
    lopsided = op(lambda g, y, a, b: g * b, lambda g, y, a, b: g * _detached(a), forward=np.multiply)
    with pytest.raises(GradientError, match=r"order 2 with respect to argument 0 \(a\), .*, that of the gradient for "
                                            r"argument 1 \(b\): at index .*\n.*the rule of op for argument 1 is wrong"):
        gradcheck(lambda a, b: lopsided(a, b), small, small + 3)


def test_the_message_of_second_order_tells_inputs_from_gradients():
    with pytest.raises(GradientError, match=r"order 2 with respect to the gradient handed in \(0\)"):
        gradcheck(op(lambda g, y, x: _detached(g) * y), small)


def test_chance_is_told_from_a_wrong_derivative():
    r = np.random.default_rng()
    with pytest.raises(GradientError, match="two calls with the same inputs gave different results"):
        gradcheck(lambda x: x * r.random(), small)


def test_what_is_returned_must_be_tensors():
    with pytest.raises(TypeError, match="must return Tensors, not dict"):
        gradcheck(lambda x: {"y": x}, small)


def test_step_and_tolerances_are_settable():
    almost = op(lambda g, y, x: g * y * 1.001)
    gradcheck(almost, small, order=1, rtol=1e-2)
    gradcheck(almost, small, order=1, atol=1.0)
    with pytest.raises(GradientError, match=r"step 0\.001"):
        gradcheck(almost, small, order=1, eps=1e-3)


# ---- the other checks ----
def test_adjoint_pairs_pass_and_others_fail(generator):
    x, y, m = generator.standard_normal(4), generator.standard_normal(3), generator.standard_normal((3, 4))
    check_adjoint(lambda x: m @ x, lambda y: m.T @ y, x, y)
    check_adjoint(lambda x: m @ x, lambda y: m.T @ y, Tensor(x), Tensor(y))
    with pytest.raises(GradientError, match="<A x, y> ="):
        check_adjoint(lambda x: m @ x, lambda y: m.T @ y * 1.001, x, y)
    with pytest.raises(GradientError, match="not adjoint"):
        check_adjoint(lambda x: m @ x + 1, lambda y: m.T @ y, x, y)
    with pytest.raises(GradientError, match=r"they map \(4,\) to \(3,\) and \(3,\) to \(3,\)"):
        check_adjoint(lambda x: m @ x, lambda y: y, x, y)
    wrong = lambda g: P.scatter_add(g[:2], index=[1, 1], shape=(4,))
    with pytest.raises(GradientError):
        check_adjoint(lambda x: x[[1, 1, 2]], wrong, x, y)


def test_adjoints_of_complex_numbers_are_conjugated(generator):
    x, y, m = (generator.standard_normal(n) + 1j * generator.standard_normal(n) for n in (4, 3, (3, 4)))
    check_adjoint(lambda x: m @ x, lambda y: m.conj().T @ y, x, y)
    check_adjoint(lambda x: m @ x, lambda y: (m.conj().T @ y).real, x.real, y)
    check_adjoint(np.conj, np.conj, x, x[::-1])
    for wrong in (lambda y: m.T @ y, lambda y: m.T @ y.conj()):
        with pytest.raises(GradientError, match="not adjoint"):
            check_adjoint(lambda x: m @ x, wrong, x, y)


def test_the_message_about_an_adjoint_names_an_entry(generator):
    m = generator.standard_normal((3, 4))
    wrong = m.copy()
    wrong[1, 2] += 1
    with pytest.raises(GradientError) as error:
        check_adjoint(lambda x: m @ x, lambda y: wrong.T @ y, np.arange(1.0, 5), np.arange(1.0, 4))
    entry = f"from index (2,) of x to (1,) of y <lambda> has {m[1, 2]:.10g}, <lambda> {wrong[1, 2]:.10g}"
    assert entry in str(error.value)
    with pytest.raises(GradientError, match="shift is not linear, twice its input does not give twice its output"):
        def shift(x):
            return m @ x + 1
        check_adjoint(shift, lambda y: m.T @ y, generator.standard_normal(4), generator.standard_normal(3))


def test_paths_that_differ_fail():
    check_rule_paths(op(lambda g, y, x: g * y), small)
    for wrong in (lambda g, y, x: g * y if isinstance(g, Tensor) else g * y * (1 + 1e-12),
                  lambda g, y, x: g * y if isinstance(g, Tensor) else np.zeros_like(g)):
        with pytest.raises(GradientError, match="on arrays differs from that on Tensors"):
            check_rule_paths(op(wrong), small)
    check_rule_paths(op(lambda g, y, x: g * y), small.astype(np.float32))


def test_in_place_rules_fail_for_the_paths_differ():
    """g /= n rebinds a Tensor and writes into an array, here one that two inputs were to get."""
    def rule(g, y, *xs):
        g /= 2
        return g
    half_sum = op(rule, rule, forward=lambda a, b: (a + b) / 2)
    with pytest.raises(GradientError):
        check_rule_paths(half_sum, small, small)


def test_an_asymmetric_hessian_fails():
    check_hessian_symmetry(lambda x, y: np.sin(x) @ np.exp(y.T), small, small + 1)
    lopsided = op(lambda g, y, a, b: g * _detached(b), lambda g, y, a, b: g * a, forward=np.multiply)
    with pytest.raises(GradientError, match=r"op: the Hessian is not symmetric: a\^T H b = "):
        check_hessian_symmetry(lopsided, small, small + 1)


def test_the_message_about_a_hessian_names_two_elements():
    def product(left, right):
        return lopsided(left, right)
    lopsided = op(lambda g, y, a, b: g * _detached(b), lambda g, y, a, b: g * a, forward=np.multiply)
    where = r"index \((\d, \d)\) of argument 1 \(right\) of the gradient for index \(\1\) of argument 0 \(left\) is 0"
    with pytest.raises(GradientError, match=rf"product: .* the derivative by {where}, but the other way round it is 1"):
        check_hessian_symmetry(product, small, small + 1)


def test_the_message_about_paths_names_the_worst_element():
    far = np.array([0.0, 3.0, 1.0])
    f = op(lambda g, y, x: g * y if isinstance(g, Tensor) else g * y + (x == 1))
    with pytest.raises(GradientError, match=r"op, argument 0: .*, at index \(2,\): \S+ and \S+$"):
        check_rule_paths(f, far)


# ---- complex numbers ----
def test_a_wrong_conjugate_fails():
    z = np.linspace(-1, 1, 6) * (1 + 2j) + 0.5
    gradcheck(op(lambda g, y, x: g * y), z)
    gradcheck(op(lambda g, y, x: 2 * g * np.conj(x), forward=lambda x: np.real(x * np.conj(x))), z)
    for wrong in (op(lambda g, y, x: g * np.conj(y)), op(lambda g, y, x: np.conj(g) * y),
                  op(lambda g, y, x: 2 * g * x, forward=lambda x: np.real(x * np.conj(x)))):
        with pytest.raises(GradientError, match=r"the rules give [-+0-9.]+j, a central difference [-+0-9.]+j \(step"):
            gradcheck(wrong, z)
        check_rule_paths(wrong, z)


# ---- whom to blame ----
def _a_thousandth_off(g, y, x):
    return g * y * 1.001


def test_the_wrong_op_in_a_composition_is_named():
    wrong = op(_a_thousandth_off)

    def model(x, w):
        return np.sum(np.tanh(wrong(x @ w) * 0.1) ** 2)
    with pytest.raises(GradientError) as error:
        gradcheck(model, small, np.linspace(0, 1, 12).reshape(3, 4))
    first, blame = str(error.value).split("\n")
    assert first.startswith("model: the derivative of order 1 with respect to argument 0 (x), of shape (2, 3), is wro")
    assert blame.startswith("the rule of op for argument 0 is wrong at its own inputs, Node(op, shape=(2, 4), test_tes")
    assert find_wrong_rule(model, small, np.ones((3, 4))).startswith("the rule of op for argument 0")


def test_the_argument_and_the_name_of_the_node_are_told():
    wrong = op(lambda g, y, a, b: g * b, lambda g, y, a, b: g * a * 1.001, forward=np.multiply)

    def model(x):
        y = wrong(x, x + 1)
        y.name = "scores"
        return np.exp(y)
    assert "the rule of op for argument 1 is wrong" in find_wrong_rule(model, small)
    assert "Node(op, shape=(2, 3), scores, test_testing.py:" in find_wrong_rule(model, small)
    constant = op(lambda g, y, a, b: g * b, lambda g, y, a, b: g * 0, forward=np.multiply)
    assert find_wrong_rule(lambda x: constant(x, small), small) is None  # of what needs no gradient nothing is asked


def test_an_op_wrong_at_second_order_is_named():
    wrong = op(lambda g, y, x: g * _detached(y))

    def model(x):
        return np.sin(wrong(x * 2))
    assert find_wrong_rule(model, small) is None
    assert "the rule of op for argument 0 is wrong at order 2" in find_wrong_rule(model, small, order=2)
    with pytest.raises(GradientError, match=r"model: .* of order 2 .*\n.*op for argument 0 is wrong at order 2"):
        gradcheck(model, small)


def test_a_wrong_op_inside_a_rule_is_named():
    slope = op(lambda g, y, x: g * 0.999 * y)
    slope_user = primitive(lambda g, y, x: g * slope(x))(lambda x: np.exp(x))
    gradcheck(slope_user, small, order=1)
    with pytest.raises(GradientError, match=r"order 2 .*\n.*the rule of op for argument 0 is wrong at its own inputs"):
        gradcheck(lambda x: slope_user(x) * 3, small)


def test_the_rule_of_joining_is_named_without_a_parameter():
    def join(*xs):
        return Tensor.record(join, *xs)
    rule(join, Each(lambda i, g, y, *xs: g * xs[1 - i] * (1 + 0.001 * i)), forward=lambda a, b: a * b)
    assert find_wrong_rule(join, small, small + 1).startswith("the rule of join for argument 1 is wrong")


def test_who_is_at_a_kink_is_not_blamed():
    """The ties of max after relu are all zeros, and relu sends nothing further: only the graph as a whole is smooth."""
    wrong = op(_a_thousandth_off)

    def model(x):
        return wrong(np.max(np.maximum(x, 0) * 2, axis=1))
    x = np.array([[-1.0, -2.0, -3.0], [-1.0, 1.0, 2.0]])
    assert find_wrong_rule(lambda x: np.max(np.maximum(x, 0) * 2, axis=1), x) is None
    with pytest.raises(GradientError, match=r"\nthe rule of op for argument 0 is wrong at its own inputs"):
        gradcheck(model, x)
    with pytest.raises(GradientError, match=r"give 0, .*; a kink, where the slopes ahead and behind are \S+ and 0"):
        gradcheck(lambda x: np.where(x > 0, x, 0), np.array([1.0, 0.0]))


def test_a_cut_graph_is_not_blamed_on_an_op():
    with pytest.raises(GradientError, match=r"\nevery op in it passes at its own inputs, or .* cut on the way"):
        gradcheck(lambda x: np.exp(x) * x.detach(), small)


# ---- check_op: a user's op, in one line ----
def test_an_op_of_a_users_file():
    @primitive(lambda g, y, a, b: g * a / y, lambda g, y, a, b: g * b / y, broadcasts=True)
    def hypotenuse(a, b):
        return np.sqrt(a * a + b * b)

    for a, b in (([3.0, 1.0], [4.0, 2.0]), (3.0, [[1.0], [2.0]]), (np.zeros((0, 3)), 1.0)):
        check_op(hypotenuse, np.array(a), np.array(b))
    gradcheck(hypotenuse, np.array([3.0, 1.0]), np.array([4.0, 2.0]))
    check_op(np.clip, small + 0.01, a_min=-0.5, a_max=0.5)
    check_op(np.sum, small, axis=0, keepdims=True)
    check_op(np.fft.rfft, small, n=4)
    check_op(np.abs, small + 1j)
    check_op(lambda x, index: x[index] * 2, Tensor(small.astype(np.float32)), np.array([0, 0]))


@pytest.mark.parametrize(("rule", "message"), [
    (_a_thousandth_off, "order 1 with respect to argument 0"),
    (lambda g, y, x: g * _detached(y), "order 2"),
    (lambda g, y, x: g * y if isinstance(g, Tensor) else g * y * (1 + 1e-8), "on arrays differs from that on Tensors"),
    (lambda g, y, x: g * y * np.float64(1), r"the rule of op for argument 0 gives float64 for an input of float32"),
    (lambda g, y, x: g * y + (0 if isinstance(x, Tensor) else 0 * np.add(x, 0, out=x)), "writes into an input"),
], ids=range(5))
def test_a_wrong_op_fails(rule, message):
    with pytest.raises(GradientError, match=message):
        check_op(op(rule), small)


def test_an_op_that_widens_or_writes_fails():
    with pytest.raises(GradientError, match="of float32 inputs the result is float64"):
        check_op(op(lambda g, y, x: g * 2, forward=lambda x: x * np.float64(2)), small)

    def careless(x):
        x += 0
        return x * 2
    with pytest.raises(GradientError, match="op writes into an input"):
        check_op(op(lambda g, y, x: g * 2, forward=careless), small)


def test_float32_is_checked_as_float64():
    for check in (gradcheck, gradgradcheck, check_hessian_symmetry, check_op):
        check(lambda x: np.exp(x * 3), small.astype(np.float32))


def test_errors_are_assertion_errors():
    assert issubclass(GradientError, AssertionError)


def test_a_mean_over_many_is_still_checked_to_a_thousandth():
    """The gradient of each element is small here; the tolerance must not swallow it."""
    wrong = op(lambda g, y, x: np.broadcast_to(1.001 * g / x.size, x.shape), forward=np.mean)
    with pytest.raises(GradientError):
        gradcheck(wrong, large, order=1)
    x = Tensor(large, requires_grad=True)
    np.testing.assert_allclose(grad(np.mean(x), x).data, 1 / 3000)
