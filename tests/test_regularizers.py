"""Penalties, their derivatives to order 2, and constraints."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad
from minigrad import Parameter, Tensor, nn, optim
from minigrad.optim import regularizers as R
from minigrad.testing import gradcheck

rng = np.random.default_rng(0)
A, B = rng.standard_normal((4, 3)), rng.standard_normal((3,))
KERNEL = rng.standard_normal((2, 3, 2, 2))


def smooth_net(x, w):
    return np.tanh(np.tanh(x @ w) @ w.T).sum(axis=1)


# ---- derivatives ----
@pytest.mark.parametrize("f, inputs", [
    (lambda a, b: R.l1_penalty([a, b], 0.3), (A, B)),
    (lambda a, b: R.l2_penalty([a, b], 0.3), (A, B)),
    (lambda a, b: R.elastic_net([a, b], 0.3, 0.7), (A, B)),
    (lambda a: R.orthogonal_penalty(a, 0.3), (A,)),
    (lambda a: R.orthogonal_penalty(a, 0.3), (A.T.copy(),)),
    (lambda a: R.orthogonal_penalty(a, 0.3), (KERNEL,)),
    (lambda a: R.orthogonal_penalty(a, 0.3, cosine=True), (A,)),
    (lambda a: R.orthogonal_penalty(a, 0.3, cosine=True), (KERNEL,)),
])
def test_penalties_are_differentiable_twice(f, inputs):
    gradcheck(f, *inputs)


@pytest.mark.parametrize("target", [0.0, 1.0])
def test_the_gradient_penalty_is_differentiable_twice(target):
    x = rng.standard_normal((5, 4))
    gradcheck(lambda w: R.gradient_penalty(lambda x: smooth_net(x, w), x, 3.0, target), A)


def test_the_gradient_penalty_at_a_flat_point():
    """As of a norm, the derivative there is 0, not NaN."""
    w = Parameter(np.zeros((4, 3)))
    loss = R.gradient_penalty(lambda x: (x @ w).sum(axis=1), np.ones((2, 4)))
    loss.backward()
    assert loss.item() == 10.0 and np.array_equal(w.grad.data, np.zeros((4, 3)))


# ---- values ----
def test_values():
    a, b = Parameter(A), Parameter(B)
    both = np.concatenate([A.ravel(), B])
    assert R.l1_penalty([a, b], 0.3).item() == pytest.approx(0.3 * abs(both).sum())
    assert R.l2_penalty([a, b], 0.3).item() == pytest.approx(0.15 * (both**2).sum())
    assert R.elastic_net([a, b], 0.3, 0.2).item() == pytest.approx(0.06 * abs(both).sum() + 0.12 * (both**2).sum())
    assert R.elastic_net([a, b], 0.3, 1.0).item() == pytest.approx(R.l1_penalty([a, b], 0.3).item())
    assert R.orthogonal_penalty(a, 2.0).item() == pytest.approx(2 * ((A.T @ A - np.eye(3)) ** 2).sum())
    rows = A / np.linalg.norm(A, axis=1, keepdims=True)
    cosines = [abs(rows[i] @ rows[j]) for i in range(4) for j in range(i)]
    assert R.orthogonal_penalty(a, 2.0, cosine=True).item() == pytest.approx(2 * np.mean(cosines))


def test_orthonormal_rows_or_columns_cost_nothing():
    q = np.linalg.qr(A)[0]
    for w in (q, q.T, np.eye(3), q.T.reshape(3, 2, 2, 1)):
        assert R.orthogonal_penalty(Parameter(w), 1.0).item() < 1e-28
    scaled = Parameter(q.T * np.array([[1.0], [5], [0]]))  # right angles, whatever the length; and a row of zeros
    loss = R.orthogonal_penalty(scaled, 1.0, cosine=True)
    loss.backward()
    assert loss.item() < 1e-14 and np.isfinite(scaled.grad.data).all()


def test_l1_has_no_pull_at_zero():
    w = Parameter(np.array([0.0, 2, -3]))
    R.l1_penalty(w, 0.5).backward()
    assert np.array_equal(w.grad.data, [0, 0.5, -0.5])


def test_the_gradient_penalty_of_a_linear_function_is_known():
    v = np.array([3.0, 4])
    x = rng.standard_normal((7, 2))
    assert R.gradient_penalty(lambda x: x @ v, x).item() == pytest.approx(10 * (5 - 1) ** 2)
    assert R.gradient_penalty(lambda x: x @ v, Tensor(x), 0.5, 0).item() == pytest.approx(0.5 * 25)
    real, fake = Parameter(x), Tensor(x + 1)
    assert R.gradient_penalty(lambda x: x @ v, 0.3 * real + 0.7 * fake, 1.0, 2.0).item() == pytest.approx(9)


def test_l2_is_weight_decay():
    for cls in (optim.SGD, optim.Adam):
        a, b = Parameter(A.copy()), Parameter(A.copy())
        with_decay, with_penalty = cls(a, lr=0.1, weight_decay=0.3), cls(b, lr=0.1)
        for t in range(5):
            for p, optimizer, more in ((a, with_decay, 0.0), (b, with_penalty, 0.3)):
                optimizer.zero_grad()
                loss = (np.sin(p + t)).sum()
                (loss + R.l2_penalty(p, more) if more else loss).backward()
                optimizer.step()
        np.testing.assert_allclose(a.data, b.data, rtol=1e-13)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtypes_stay(dtype):
    w = Parameter(A.astype(dtype))
    for loss in (R.l1_penalty(w, 0.1), R.l2_penalty(w, 0.1), R.elastic_net(w, 0.1), R.orthogonal_penalty(w, 0.1),
                 R.orthogonal_penalty(w, 0.1, cosine=True),
                 R.gradient_penalty(lambda x: smooth_net(x, w), np.ones((2, 4), dtype)),
                 R.gradient_penalty(lambda x: smooth_net(x, w), np.ones((2, 4), dtype), 1.0, 0)):
        w.grad = None
        loss.backward()
        assert loss.dtype == w.grad.dtype == dtype and loss.shape == ()
    for constrain in (lambda w: R.max_norm_(w, 0.5), R.unit_norm_, R.non_negative_):
        constrain(w)
        assert w.dtype == dtype


# ---- which parameters ----
def test_masks():
    model = nn.Sequential(nn.Dense(3, 4), nn.BatchNorm1d(4), nn.Dense(4, 2))
    named = dict(model.named_parameters())
    kernels = [p for p in model.parameters() if p.ndim > 1]
    assert len(kernels) == 2 < len(named)
    same = R.selected(model, R.weights), R.selected(model.parameters(), R.weights), R.selected(
        model.named_parameters(), lambda name, p: p.ndim == 2)
    assert all([id(p) for p in found] == [id(p) for p in kernels] for found in same)
    assert [id(p) for p in R.selected(model, "0.*")] == [id(p) for n, p in named.items() if n.startswith("0.")]
    assert len(R.selected(model)) == len(named)
    expected = sum(float((p.data.astype(np.float64) ** 2).sum()) for p in kernels)
    assert R.l2_penalty(model, 2.0, R.weights).item() == pytest.approx(expected, rel=1e-5)
    with pytest.raises(ValueError, match=r"where='9\.\*' selects none of the parameters: 0\.weight"):
        R.l1_penalty(model, 1.0, "9.*")
    with pytest.raises(ValueError, match="are they used up"):
        R.l1_penalty([], 1.0)


# ---- constraints ----
def test_max_norm_projects_onto_the_ball():
    w = Parameter(A * 3)
    R.max_norm_(w, 2.0)
    before, after = np.linalg.norm(A * 3, axis=0), np.linalg.norm(w.data, axis=0)
    np.testing.assert_allclose(after, np.minimum(before, 2), rtol=1e-15)
    np.testing.assert_allclose(w.data / after, A * 3 / before, rtol=1e-14)
    inside = Parameter(A)
    R.max_norm_(inside, 100.0)
    assert np.array_equal(inside.data, A)  # what is inside does not move, to the bit
    again = w.data.copy()
    R.max_norm_(w, 2.0)
    np.testing.assert_allclose(w.data, again, rtol=4e-16)


def test_axes():
    kernel, rows, vector = Parameter(KERNEL.copy()), Parameter(A.copy()), Parameter(B.copy())
    R.unit_norm_(kernel)
    np.testing.assert_allclose((kernel.data**2).sum(axis=(1, 2, 3)), 1, rtol=1e-14)
    R.unit_norm_(rows, axis=1)
    np.testing.assert_allclose((rows.data**2).sum(axis=1), 1, rtol=1e-14)
    R.unit_norm_(vector, where=None)
    assert (vector.data**2).sum() == pytest.approx(1)
    layer = nn.Dense(5, 3)
    R.unit_norm_(layer)  # the weights into each unit; the bias is left alone
    np.testing.assert_allclose((layer.weight.data**2).sum(axis=0), 1, rtol=1e-5)


def test_extreme_weights():
    w = Parameter(np.array([[0.0, 1e200, 1e-200], [0, 1e200, 1e-200]]))
    R.unit_norm_(w)
    np.testing.assert_allclose(w.data, [[0, 0.5**0.5, 0.5**0.5]] * 2, rtol=1e-14)
    w = Parameter(np.array([[0.0, 1e200, 1e-200], [0, 1e200, 1e-200]]))
    R.max_norm_(w, 1.0)
    np.testing.assert_allclose(w.data, [[0, 0.5**0.5, 1e-200]] * 2, rtol=1e-14)
    nan = Parameter(np.array([[np.nan, 1.0], [1, 1]]))
    R.max_norm_(nan, 1.0)
    assert np.isnan(nan.data[0, 0])


def test_non_negative():
    for values in (np.array([-1.0, -0.0, 2, np.nan]), np.array(-3.0)):
        w = Parameter(values.copy())
        R.non_negative_(w)
        np.testing.assert_array_equal(w.data, np.where(values < 0, 0, values))


@pytest.mark.parametrize("constrain", [lambda w: R.max_norm_(w, 0.1), R.unit_norm_, R.non_negative_])
def test_constraints_keep_the_array_and_spoil_no_gradient_unseen(constrain):
    w = Parameter(A.copy())
    array, loss = w.data, (w * w * w).sum()
    constrain(w)
    assert w.data is array and w.requires_grad and w.is_leaf
    with pytest.raises(RuntimeError, match="changed in place"):
        loss.backward()


def test_projected_descent_stays_feasible():
    w = Parameter(np.abs(A))
    optimizer = optim.SGD(w, lr=0.5, momentum=0.9)
    for _ in range(30):
        optimizer.zero_grad()
        ((w + 2) ** 2).sum().backward()
        optimizer.step()
        R.non_negative_(w)
    assert np.array_equal(w.data, np.zeros_like(A))


def test_weight_noise_is_taken_back_to_the_bit():
    layer = nn.Dense(4, 3)
    before, arrays = [p.data.copy() for p in layer.parameters()], [p.data for p in layer.parameters()]
    with R.weight_noise(layer, 0.1, generator=np.random.default_rng(0)):
        assert not any(np.array_equal(p.data, b) for p, b in zip(layer.parameters(), before))
        layer(np.ones((2, 4), np.float32)).sum().backward()
    assert all(np.array_equal(p.data, b) for p, b in zip(layer.parameters(), before))
    assert all(p.data is a for p, a in zip(layer.parameters(), arrays))
    with pytest.raises(KeyError), R.weight_noise(layer, 0.1, R.weights):
        assert np.array_equal(layer.bias.data, before[1])
        raise KeyError
    assert np.array_equal(layer.weight.data, before[0])
    draws = []
    for _ in range(2):
        minigrad.manual_seed(3)
        with R.weight_noise(layer, 0.1):
            draws.append(layer.weight.data.copy())
    assert np.array_equal(*draws)


def test_a_forward_under_noise_needs_its_backward_there():
    w = Parameter(A)
    with R.weight_noise(w, 0.1):
        loss = (w * w).sum()
    with pytest.raises(RuntimeError, match="changed in place"):
        loss.backward()


@pytest.mark.parametrize("call, text", [
    (lambda w: R.l1_penalty(w, -1), "strength must be finite and at least 0, got -1"),
    (lambda w: R.l2_penalty(w, np.inf), "strength must be finite"),
    (lambda w: R.elastic_net(w, 0.1, 1.5), "l1_ratio must be in"),
    (lambda w: R.max_norm_(w, 0), "max_norm must be positive"),
    (lambda w: R.gradient_penalty(lambda x: x, np.ones((2, 2)), target=-1), "target must be"),
    (lambda w: R.orthogonal_penalty(Parameter(B), 1.0, None), "orthogonality is about matrices"),
    (lambda w: R.weight_noise(w, -0.1).__enter__(), "std must be"),
])
def test_wrong_arguments_are_named(call, text):
    with pytest.raises(ValueError, match=text):
        call(Parameter(A))


@pytest.mark.parametrize("layer, name, axes", [
    (nn.Dense(5, 3), "weight", 0), (nn.LSTM(5, 3), "weight_ih_l0", 1), (nn.Conv2d(2, 4, 3), "weight", (1, 2, 3)),
    (nn.ConvTranspose2d(2, 4, 3), "weight", (0, 2, 3)), (nn.Embedding(7, 3), "weight", 1),
    (nn.MultiheadAttention(8, 2), "out_proj.weight", 0), (nn.MultiheadAttention(8, 2), "in_proj_weight", 1)])
def test_the_norm_is_of_what_goes_into_a_unit(layer, name, axes):
    R.unit_norm_(layer, lambda n, p: n == name)
    weight = dict(layer.named_parameters())[name].data
    np.testing.assert_allclose(np.sqrt((weight ** 2).sum(axis=axes)), 1, rtol=1e-5)
