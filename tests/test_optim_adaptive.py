"""Adagrad and its kin: each against its paper in scalar loops, the identities between them, special cases."""

from __future__ import annotations

import math

import numpy as np
import pytest
from descent import SHAPES, STEPS, close, gradients, path, run, weights

from minigrad import Parameter, Tensor
from minigrad.optim.adam import Adam
from minigrad.optim.adaptive import (
    SM3,
    A2GradExp,
    A2GradInc,
    A2GradUni,
    Adadelta,
    Adafactor,
    Adagrad,
    Ftrl,
    LaProp,
    RMSprop,
)

CLASSES = (Adagrad, RMSprop, Adadelta, LaProp, SM3, Adafactor, Ftrl, A2GradUni, A2GradInc, A2GradExp)
every = pytest.mark.parametrize("cls", CLASSES)


# ---- the papers, one weight at a time: w, its gradients, lr, eps, weight decay ----
def adagrad(w, gs, lr, eps, wd, inside=False):
    h = 0.0
    for g in gs:
        g += wd * w
        h += g * g
        w -= lr * g / (math.sqrt(h + eps) if inside else math.sqrt(h) + eps)
    return w


def rmsprop(w, gs, lr, eps, wd, inside=False, centered=False, momentum=0.0):
    v = mean = buf = 0.0
    for g in gs:
        g += wd * w
        v, mean = 0.9 * v + 0.1 * g * g, 0.9 * mean + 0.1 * g
        spread = v - mean ** 2 if centered else v
        buf = momentum * buf + g / (math.sqrt(spread + eps) if inside else math.sqrt(spread) + eps)
        w -= lr * buf
    return w


def adadelta(w, gs, lr, eps, wd):
    v = u = 0.0
    for g in gs:
        g += wd * w
        v = 0.9 * v + 0.1 * g * g
        d = math.sqrt(u + eps) / math.sqrt(v + eps) * g
        u = 0.9 * u + 0.1 * d * d
        w -= lr * d
    return w


def laprop(w, gs, lr, eps, wd):
    v = m = 0.0
    for t, g in enumerate(gs, 1):
        g += wd * w
        v = 0.95 * v + 0.05 * g * g
        m = 0.8 * m + 0.2 * g / (math.sqrt(v / (1 - 0.95 ** t)) + eps)
        w -= lr * m / (1 - 0.8 ** t)
    return w


def ftrl(w, gs, lr, eps, wd, l1=0.0, l2=0.0, shrinkage=0.0, beta=0.0, power=-0.5):
    n, z = 0.1, 0.0
    for g in gs:
        g += wd * w
        sigma = ((n + g * g) ** -power - n ** -power) / lr
        z += g + 2 * shrinkage * w - sigma * w
        n += g * g
        w = 0.0 if abs(z) <= l1 else -(z - math.copysign(l1, z)) / ((beta + n ** -power) / lr + 2 * l2)
    return w


def a2grad(w, gs, lr, eps, wd, kind, beta=10, lips=10, rho=0.5):
    """k counts from 0, as in the paper."""
    x, gs, v, u, start = w, list(gs), 0.0, 0.0, w
    for k, g in enumerate(gs):
        gs[k] = g = g + wd * w
        noise = (g - sum(gs[:k + 1]) / (k + 1)) ** 2
        if kind == "uni":
            v = v + noise
            h = math.sqrt(v)
        elif kind == "inc":
            v = (k / (k + 1)) ** 2 * v + noise
            h = math.sqrt(v)
        else:
            u = noise if k == 0 else rho * u + (1 - rho) * noise
            v = max(v, u)
            h = math.sqrt((k + 1) * v)
        gamma, alpha, following = 2 * lips / (k + 1), 2 / (k + 2), 2 / (k + 3)
        step = g / (gamma + beta * h)
        x = x - step
        w = (1 - following) * w + following * x - (1 - following) * alpha * step
    assert w != start or not any(gs)
    return w


LR = {"lr": 0.05}
PAPERS = {
    "adagrad": (Adagrad, LR, adagrad, {}),
    "adagrad, eps inside": (Adagrad, {**LR, "eps_in_sqrt": True}, adagrad, {"inside": True}),
    "rmsprop": (RMSprop, {**LR, "alpha": 0.9}, rmsprop, {}),
    "rmsprop, eps inside": (RMSprop, {**LR, "alpha": 0.9, "eps_in_sqrt": True}, rmsprop, {"inside": True}),
    "rmsprop, all": (RMSprop, {**LR, "alpha": 0.9, "eps_in_sqrt": True, "centered": True, "momentum": 0.5}, rmsprop,
                     {"inside": True, "centered": True, "momentum": 0.5}),
    "adadelta": (Adadelta, LR, adadelta, {}),
    "laprop": (LaProp, {**LR, "betas": (0.8, 0.95)}, laprop, {}),
    "ftrl": (Ftrl, LR, ftrl, {}),
    "ftrl, l1": (Ftrl, {**LR, "l1": 1.0}, ftrl, {"l1": 1.0}),
    "ftrl, all": (Ftrl, {**LR, "l1": 0.1, "l2": 0.2, "l2_shrinkage": 0.3, "beta": 0.4, "lr_power": -0.7}, ftrl,
                  {"l1": 0.1, "l2": 0.2, "shrinkage": 0.3, "beta": 0.4, "power": -0.7}),
    "a2grad-uni": (A2GradUni, {}, a2grad, {"kind": "uni"}),
    "a2grad-inc": (A2GradInc, {}, a2grad, {"kind": "inc"}),
    "a2grad-exp": (A2GradExp, {}, a2grad, {"kind": "exp"}),
}


@pytest.mark.parametrize("eps, decay", [(1e-8, 0), (1e-2, 0), (1e-2, 0.1)])
@pytest.mark.parametrize("name", PAPERS)
def test_the_paper_one_weight_at_a_time(name, eps, decay):
    cls, ours, oracle, theirs = PAPERS[name]
    ours = ours | ({"eps": eps} if cls in (Adagrad, RMSprop, Adadelta, LaProp) else {})
    found = path(lambda ps: cls(ps, weight_decay=decay, **ours))
    grads = [[g.ravel() for g in gradients(step)] for step in range(STEPS)]
    for i, (w, end) in enumerate(zip(weights(), found)):
        expected = [oracle(float(x), [float(g[i][j]) for g in grads], 0.05, eps, decay, **theirs)
                    for j, x in enumerate(w.data.ravel())]
        np.testing.assert_allclose(end.ravel(), expected, 1e-11, 1e-13)


# ---- rules of whole tensors ----
@pytest.mark.parametrize("momentum, eps, decay", [(0.0, 1e-8, 0), (0.9, 1e-2, 0.1), (0.0, 0.0, 0)])
def test_sm3_is_its_algorithm(momentum, eps, decay):
    found = path(lambda ps: SM3(ps, 0.05, momentum, eps, decay))
    for i, p in enumerate(weights()):
        w, m, bounds = p.data.copy(), np.zeros(p.shape), {}
        for t in range(STEPS):
            g, new = gradients(t)[i] + decay * w, {}
            for j in np.ndindex(w.shape):
                sets = [(axis, k) for axis, k in enumerate(j)] or ["all"]  # the rows and columns that j is in
                h = min(bounds.get(s, 0.0) for s in sets) + g[j] ** 2
                for s in sets:
                    new[s] = max(new.get(s, 0.0), h)
                step = g[j] / math.sqrt(h + eps) if h > 0 else 0.0
                m[j] = momentum * m[j] + (1 - momentum) * step
            bounds, w = new, w - 0.05 * m
        np.testing.assert_allclose(found[i], w, 1e-11, 1e-13)


def test_sm3_bounds_adagrads_squares_with_a_number_per_row_and_column():
    (w,) = params = weights([(4, 3)])
    optimizer, squares = SM3(params), np.zeros((4, 3))
    for step in range(STEPS):
        run(optimizer, params, [step])
        squares += gradients(step, [(4, 3)])[0] ** 2
        bounds = optimizer.state[w]["bounds"]
        assert bounds.shape == (7,)
        assert (np.minimum(bounds[:4, None], bounds[4:]) >= squares * (1 - 1e-12)).all()
    close(path(lambda ps: SM3(ps, 0.05, 0.0, 1e-2), shapes=((), (3,))),
          path(lambda ps: Adagrad(ps, 0.05, eps=1e-2, eps_in_sqrt=True), shapes=((), (3,))))


@pytest.mark.parametrize("eps1", [None, 1e-2])
@pytest.mark.parametrize("add", [False, True])
@pytest.mark.parametrize("decay, d, power", [(0, 1.0, -0.8), (0.1, 0.5, -0.5)])
def test_adafactor_is_its_algorithm(eps1, add, decay, d, power):
    found = path(lambda ps: Adafactor(ps, 0.05, power, (eps1, 1e-3), d, decay, add_eps=add))
    tiny = (1e-30 if add else np.finfo(float).eps) if eps1 is None else eps1
    for i, p in enumerate(weights()):
        w, history = p.data.copy(), []
        for t in range(1, STEPS + 1):
            g = gradients(t - 1)[i]
            history.append(g * g + (tiny if add else 0))
            v = np.zeros(w.shape)  # the average with beta2_s = 1 - s^power of the squares, or of their means
            for s, squares in enumerate(history, 1):
                v = (1 - s ** power) * v + s ** power * squares
            if w.ndim > 1:
                estimate = np.zeros(w.shape)
                for k in np.ndindex(w.shape[:-2]):
                    rows, cols = v[k].mean(axis=1), v[k].mean(axis=0)
                    mean = rows.mean() if add else max(rows.mean(), tiny)
                    estimate[k] = np.outer(rows, cols) / mean
                v = estimate
            u = g / np.sqrt(v if add else np.maximum(v, tiny ** 2))
            rate = max(1e-3, math.sqrt(np.mean(w * w))) * min(0.05, 1 / math.sqrt(t))
            w = w - 0.05 * decay * w - rate * u / max(1.0, math.sqrt(np.mean(u * u)) / d)
        np.testing.assert_allclose(found[i], w, 1e-11, 1e-13)


def test_adafactor_keeps_rows_and_columns_and_is_exact_for_squares_of_rank_one():
    (w, u) = params = weights([(4, 3), (5,)])
    optimizer = Adafactor(params)
    run(optimizer, params, [0])
    assert {k: v.shape for k, v in optimizer.state[w].items() if k != "step"} == {"row": (4, 1), "col": (1, 3)}
    assert optimizer.state[u]["row"].shape == (5,) and optimizer.state[u]["col"].size == 0
    w.data, w.grad = np.ones((4, 3)), Tensor(np.outer([1.0, 2, 3, 4], [1.0, -5, 7]))
    Adafactor([w], 0.05).step()
    np.testing.assert_allclose(w.data, 1 - 0.05 * np.sign(w.grad.data), 1e-12)


@pytest.mark.parametrize("cls", [A2GradUni, A2GradInc, A2GradExp])
def test_a2grad_of_a_number_needs_no_diagonal_and_without_noise_is_accelerated_descent(cls):
    close(path(lambda ps: cls(ps, diagonal=False), shapes=((),)), path(cls, shapes=((),)))
    found, other = path(lambda ps: cls(ps, diagonal=False)), path(cls)
    assert not np.allclose(found[2], other[2], 1e-3)
    w = Parameter(np.array([5.0, -3.0]))
    optimizer = cls([w], lips=4.0)
    x, y = w.data.copy(), w.data.copy()
    for t in range(1, 9):  # constant gradient: mean = g
        w.grad = Tensor(np.array([1.0, -2.0]))
        optimizer.step()
        step = t / 8 * w.grad.data
        x = x - step
        y = (1 - 2 / (t + 2)) * (y - 2 / (t + 1) * step) + 2 / (t + 2) * x
        np.testing.assert_allclose(w.data, y, 1e-12)


# ---- identities and special cases ----
def test_identities():
    close(path(lambda ps: LaProp(ps, 0.05, (0.0, 0.9), 1e-2)), path(lambda ps: Adam(ps, 0.05, (0.0, 0.9), 1e-2)))
    plain = path(lambda ps: RMSprop(ps, 0.05, eps=0.0), shapes=((), (3,)))
    close(path(lambda ps: RMSprop(ps, 0.05, eps=0.0, eps_in_sqrt=True), shapes=((), (3,))), plain)
    close(path(lambda ps: RMSprop(ps, 0.05, eps=0.0), shapes=((), (3,)), scale=1024.0), plain)


def test_ftrl_without_regularization_is_adagrad_from_the_same_start():
    """From w = 0; with eps = 0: the quadratics make the step of each square exactly Adagrad's."""
    found, expected = [], []
    for make, into in ((lambda ps: Ftrl(ps, 0.05, initial_accumulator_value=0.0), found),
                       (lambda ps: Adagrad(ps, 0.05, eps=1e-300), expected)):
        params = [Parameter(np.zeros(s)) for s in SHAPES]
        into += run(make(params), params)
    close(found, expected, 1e-10)


def test_ftrl_finds_exact_zeros():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((400, 10))
    y = X @ np.array([2.0, -3, 1.5] + 7 * [0]) + 0.1 * rng.standard_normal(400)
    ends = {}
    for l1 in (0.0, 20.0):
        w = Parameter(np.zeros(10))
        optimizer = Ftrl([w], lr=2.0, l1=l1)
        for x, target in zip(X, y):
            w.grad = Tensor((x @ w.data - target) * x)
            optimizer.step()
        ends[l1] = w.data
    assert np.count_nonzero(ends[0.0]) == 10
    assert np.array_equal(np.flatnonzero(ends[20.0]), [0, 1, 2])
    w = Parameter(np.ones(2))
    w.grad = Tensor(np.zeros(2))
    Ftrl([w], initial_accumulator_value=0).step()  # nothing seen: 0, and not 0 / 0
    assert w.data.tolist() == [0, 0]


# ---- every one of them ----
@every
def test_float32_stays_float32(cls):
    params = weights(dtype=np.float32)
    optimizer = cls(params)
    found = run(optimizer, params, range(8))
    arrays = [v for s in optimizer.state.values() for v in s.values() if isinstance(v, np.ndarray)]
    assert all(a.dtype == np.float32 for a in found + arrays)
    close(found, path(cls, 8), 1e-3)


@every
@pytest.mark.parametrize("shape", [(3,), (3, 2)])
def test_zero_huge_and_nan_gradients(cls, shape):
    w = Parameter(np.full(shape, -2.0))
    optimizer = cls([w])
    for g in (np.zeros(shape), np.zeros(shape), np.full(shape, 1e100), np.zeros(shape)):
        w.grad = Tensor(g)
        with np.errstate(invalid="raise", divide="raise"):
            optimizer.step()
        assert np.isfinite(w.data).all()
    g = np.zeros(shape)
    g.flat[0] = np.nan
    w.grad = Tensor(g)
    optimizer.step()
    assert np.isnan(w.data.flat[0])
    if cls not in (Adafactor, SM3) or len(shape) == 1:  # a row and a column know of it
        assert np.isfinite(w.data.flat[1:]).all()


@every
def test_no_weights_at_all(cls):
    params = weights([(0,), (0, 3)])
    assert [p.shape for p in run(cls(params), params, range(2))] == [(0,), (0, 3)]


@every
def test_maximize_is_the_negated_gradient(cls):
    up, down = weights(), weights()
    close(run(cls(up, maximize=True), up, range(3)), run(cls(down), down, range(3), scale=-1.0))


@pytest.mark.parametrize("make, message", [
    (lambda ps: SM3(ps, momentum=1.0), r"SM3: momentum must be in \[0, 1\), got 1.0"),
    (lambda ps: Adafactor(ps, beta2_decay=0.8), "Adafactor: beta2_decay must be finite and at most 0, got 0.8"),
    (lambda ps: Adafactor(ps, d=0.0), "Adafactor: d must be positive, got 0.0"),
    (lambda ps: Adafactor(ps, eps=(-1.0, 1e-3)), r"Adafactor: eps must be finite and at least 0, got \(-1.0, 0.001\)"),
    (lambda ps: Adafactor(ps, lr=-1.0), "Adafactor: lr must be finite and at least 0, got -1.0"),
    (lambda ps: Ftrl(ps, lr_power=0.5), "Ftrl: lr_power must be finite and at most 0, got 0.5"),
    (lambda ps: Ftrl(ps, l1=-1.0), "Ftrl: l1 must be finite and at least 0, got -1.0"),
    (lambda ps: A2GradInc(ps, lips=0.0), "A2GradInc: lips must be positive, got 0.0"),
    (lambda ps: A2GradExp(ps, rho=1.5), r"A2GradExp: rho must be in \[0, 1\], got 1.5"),
])
def test_hyper_parameters_out_of_range(make, message):
    with pytest.raises(ValueError, match=message):
        make(weights())


@every
def test_unknown_arguments_are_refused(cls):
    with pytest.raises(TypeError):
        cls(weights(), learning_rate=0.1)
