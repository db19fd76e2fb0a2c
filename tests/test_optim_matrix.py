"""Muon, Shampoo and SOAP against oracles by singular values, eigenvalues and Kronecker products; what turning does."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest

from minigrad import Parameter, Tensor, optim
from minigrad.optim.matrix import SOAP, Muon, Shampoo

SHAPES = (), (3,), (4, 3), (2, 3, 2, 2)


def run(make, shapes=SHAPES, steps=12, change=lambda a: a, dtype=np.float64):
    """The weights after some steps; ``change`` is applied to the first weights and to every gradient."""
    rng = np.random.default_rng(0)
    params = [Parameter(np.asarray(change(rng.standard_normal(s)), dtype)) for s in shapes]
    optimizer = make(params)
    for _ in range(steps):
        for p, s in zip(params, shapes):
            p.grad = Tensor(np.asarray(change(rng.standard_normal(s)), dtype))
        optimizer.step()
    return [p.data for p in params]


def oracle(rule, shapes=SHAPES, steps=12):
    rng = np.random.default_rng(0)
    weights, memory = [rng.standard_normal(s) for s in shapes], [{} for _ in shapes]
    for t in range(1, steps + 1):
        for i, s in enumerate(shapes):
            weights[i] = rule(weights[i], rng.standard_normal(s), memory[i], t)
    return weights


def same(found, expected, rtol=1e-9):
    for f, e in zip(found, expected, strict=True):
        np.testing.assert_allclose(f, e, rtol=rtol, atol=1e-12)


def rotation(n):
    return np.linalg.qr(np.random.default_rng(n).standard_normal((n, n)))[0]


# ---- Muon ----
@pytest.mark.parametrize("shape", [(4, 3), (3, 5), (1, 4), (3, 3)])
@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("adjust", [None, "original", "match_rms_adamw"])
def test_muon_acts_on_the_singular_values_alone(shape, nesterov, adjust):
    def rule(w, g, memory, t):
        m = memory["m"] = 0.9 * memory.get("m", 0) + 0.1 * g
        u, s, vt = np.linalg.svd(0.9 * m + 0.1 * g if nesterov else m, full_matrices=False)
        s = s / math.sqrt((s ** 2).sum())
        for _ in range(5):
            s = 3.4445 * s - 4.775 * s ** 3 + 2.0315 * s ** 5
        scale = 0.2 * math.sqrt(max(shape)) if adjust == "match_rms_adamw" else math.sqrt(max(1, shape[0] / shape[1]))
        return (1 - 0.1 * 0.3) * w - 0.1 * scale * (u * s) @ vt
    same(run(lambda ps: Muon(ps, 0.1, 0.3, 0.9, nesterov, adjust_lr_fn=adjust), [shape]), oracle(rule, [shape]))


def test_muon_iterated_to_the_end_is_the_polar_factor_of_the_momentum():
    def rule(w, g, memory, t):
        m = memory["m"] = 0.9 * memory.get("m", 0) + 0.1 * g
        u, _, vt = np.linalg.svd(m, full_matrices=False)
        return w - 0.1 * u @ vt
    same(run(lambda ps: Muon(ps, 0.1, 0, 0.9, False, (1.5, -0.5, 0), ns_steps=60), [(3, 4)]), oracle(rule, [(3, 4)]))


def test_muon_does_not_see_the_scale_of_the_gradient():
    def after_one(scale):
        p = Parameter(np.zeros((3, 4)))
        optimizer = Muon([p])
        for seed in range(3):
            p.grad = Tensor(scale * np.random.default_rng(seed).standard_normal((3, 4)))
            optimizer.step()
        return [p.data]
    same(after_one(1), after_one(1e5))


def test_muon_is_for_matrices():
    vector, matrix = Parameter(np.ones(3)), Parameter(np.ones((3, 2)))
    with pytest.raises(ValueError, match=r"Muon is for matrices, parameter 1 is \(3,\): give it to AdamW"):
        Muon([matrix, vector])
    optimizer = Muon([matrix])
    with pytest.raises(ValueError, match=r"parameter 0 is \(2, 3, 2, 2\)"):
        optimizer.add_param_group({"params": [Parameter(np.ones((2, 3, 2, 2)))]})
    assert len(optimizer.param_groups) == 1
    matrix.grad = Tensor(np.zeros((3, 2)))
    optimizer.step()
    np.testing.assert_allclose(matrix.data, 1 - 1e-3 * 0.1)  # no gradient: only the decay


# ---- Shampoo ----
def kron_power(matrices, exponent):
    values, vectors = np.linalg.eigh(functools.reduce(np.kron, matrices))
    return (vectors * values ** exponent) @ vectors.T


@pytest.mark.parametrize("eps", [1e-4, 1e-2])
@pytest.mark.parametrize("decay, momentum", [(0.0, 0.0), (0.1, 0.9)])
@pytest.mark.parametrize("every", [1, 3])
def test_shampoo(eps, decay, momentum, every):
    def rule(w, g, memory, t):
        g = (g + decay * w).reshape(np.shape(w) or (1,))
        h = memory.setdefault("h", [eps * np.eye(n) for n in g.shape])
        for i in range(g.ndim):
            others = [j for j in range(g.ndim) if j != i]
            h[i] = h[i] + np.tensordot(g, g, (others, others))
        if t % every == 1 % every:
            memory["root"] = kron_power(h, -1 / (2 * g.ndim))
        d = (memory["root"] @ g.reshape(-1)).reshape(np.shape(w))
        memory["b"] = momentum * memory.get("b", 0) + d
        return w - 0.1 * memory["b"]
    same(run(lambda ps: Shampoo(ps, 0.1, momentum, decay, eps, every)), oracle(rule), 1e-8)


def test_shampoo_on_a_vector_is_adagrad_with_the_whole_matrix():
    def rule(w, g, memory, t):
        h = memory["h"] = memory.get("h", 1e-4 * np.eye(3)) + np.outer(g, g)
        values, vectors = np.linalg.eigh(h)
        return w - 0.1 * vectors @ ((vectors.T @ g) / np.sqrt(values))
    same(run(lambda ps: Shampoo(ps), [(3,)]), oracle(rule, [(3,)]))


def test_shampoo_on_a_diagonal_problem_is_adagrad():
    p, q = Parameter(np.ones(3)), Parameter(np.ones(3))
    a, b = Shampoo([p], lr=0.1), optim.Adagrad([q], lr=0.1, initial_accumulator_value=1e-4, eps=0)
    for step in range(9):
        p.grad = Tensor(np.eye(3)[step % 3] * (step + 1.0))
        q.grad = p.grad
        a.step(), b.step()
    same([p.data], [q.data])


# ---- SOAP ----
def soap_rule(decay=0.1, every=2, longest=100, vectors=False, beta=0.8):
    """SOAP through one big orthogonal matrix, the Kronecker product of the Q of all axes."""
    def rule(w, g, memory, t):
        shape = np.shape(w)
        turn = [n <= longest and (len(shape) > 1 or vectors) for n in shape]
        if t == 1:
            memory.update(h=[np.zeros((n, n)) for n in shape], m=np.zeros(w.size), v=np.zeros(w.size),
                          q=[np.eye(n) for n in shape])
        else:
            q = functools.reduce(np.kron, memory["q"], np.eye(1))
            m = memory["m"] = 0.9 * memory["m"] + 0.1 * g.reshape(-1)
            v = memory["v"] = 0.8 * memory["v"] + 0.2 * (q.T @ g.reshape(-1)) ** 2
            d = q @ ((q.T @ m) / (1 - 0.9 ** (t - 1)) / (np.sqrt(v / (1 - 0.8 ** (t - 1))) + 1e-2))
            w = w - 0.1 * d.reshape(shape) - 0.1 * decay * w
        for i, wanted in enumerate(turn):
            others = [j for j in range(len(shape)) if j != i]
            memory["h"][i] = beta * memory["h"][i] + (1 - beta) * np.tensordot(g, g, (others, others))
            if wanted and t == 1:
                memory["q"][i] = np.linalg.eigh(memory["h"][i])[1][:, ::-1]
            elif wanted and (t - 1) % every == 0:
                memory["q"][i] = np.linalg.qr(memory["h"][i] @ memory["q"][i])[0]
        return w
    return rule


@pytest.mark.parametrize("longest, vectors, beta", [(100, False, None), (100, True, 0.5), (2, True, None)])
def test_soap(longest, vectors, beta):
    found = run(lambda ps: SOAP(ps, 0.1, (0.9, 0.8), beta, 1e-2, 0.1, 2, longest, vectors))
    same(found, oracle(soap_rule(longest=longest, vectors=vectors, beta=beta or 0.8)), 1e-7)


def test_soap_that_turns_nothing_is_adam_after_its_first_step():
    params = [Parameter(np.ones(s)) for s in SHAPES]
    twins = [Parameter(np.ones(s)) for s in SHAPES]
    a, b = SOAP(params, 0.1, weight_decay=0, max_precond_dim=0), optim.Adam(twins, 0.1, (0.95, 0.95))
    for step in range(6):
        for p, q in zip(params, twins):
            p.grad = Tensor(np.asarray(np.random.default_rng(step).standard_normal(p.shape)))
            q.grad = p.grad
        a.step(), step and b.step()
    same([p.data for p in params], [q.data for q in twins])


@pytest.mark.parametrize("make", [
    lambda ps: Muon(ps, 0.1), lambda ps: Shampoo(ps, 0.1),
    lambda ps: SOAP(ps, 0.1, precondition_frequency=1), lambda ps: SOAP(ps, 0.1)])
def test_a_turned_problem_has_the_turned_path(make):
    left, right = rotation(4), rotation(3)
    plain, turned = run(make, [(4, 3)]), run(make, [(4, 3)], change=lambda a: left @ a @ right.T)
    same(turned, [left @ plain[0] @ right.T], 1e-6)
    moved = run(lambda ps: optim.Adam(ps, 0.1), [(4, 3)], change=lambda a: left @ a @ right.T)
    assert not np.allclose(moved[0], left @ run(lambda ps: optim.Adam(ps, 0.1), [(4, 3)])[0] @ right.T, 1e-2)


# ---- all three ----
EVERY = {"muon": (lambda ps: Muon(ps), [(4, 3), (2, 5)]), "shampoo": (lambda ps: Shampoo(ps, momentum=0.5), SHAPES),
         "shampoo, lazy": (lambda ps: Shampoo(ps, update_freq=2), SHAPES),
         "soap": (lambda ps: SOAP(ps, precondition_frequency=2, precondition_1d=True), SHAPES)}
every = pytest.mark.parametrize("make, shapes", EVERY.values(), ids=EVERY.keys())


@every
def test_float32_stays_and_a_resumed_run_is_the_same_to_the_bit(make, shapes):
    for dtype in (np.float32, np.float64):
        rng = np.random.default_rng(0)
        a = [Parameter(np.asarray(rng.standard_normal(s), dtype)) for s in shapes]
        b = [Parameter(p.data.copy()) for p in a]
        first, other = make(a), make(b)
        for step in range(7):
            for p, q in zip(a, b):
                p.grad = Tensor(np.asarray(rng.standard_normal(p.shape), dtype))
                q.grad = Tensor(p.grad.data.copy())
            if step == 4:
                state = first.state_dict()
                first = make(a)
                first.load_state_dict(state)
            first.step(), other.step()
        assert all(np.array_equal(p.data, q.data) and p.dtype == dtype for p, q in zip(a, b))
        assert all(v.dtype == dtype for s in other.state.values() for v in s.values() if isinstance(v, np.ndarray))


@every
def test_zero_gradients_are_finite_steps_and_nan_shows(make, shapes):
    params = [Parameter(np.ones(s)) for s in shapes]
    optimizer = make(params)
    for _ in range(4):
        for p in params:
            p.grad = Tensor(np.zeros(p.shape))
        optimizer.step()
    assert all(np.isfinite(p.data).all() for p in params)
    for _ in range(2):
        for p in params:
            p.grad = Tensor(np.full(p.shape, np.nan))
        optimizer.step()
    assert all(np.isnan(p.data).all() for p in params)


@every
def test_sparse_gradients(make, shapes):
    params = [Parameter(np.ones(s)) for s in shapes]
    optimizer = make(params)
    for step in range(6):
        for p in params:
            g = np.zeros(p.size)
            g[step % p.size] = 1.0
            p.grad = Tensor(g.reshape(p.shape))
        optimizer.step()
    assert all(np.isfinite(p.data).all() for p in params)
    lazy = optimizer.param_groups[0].get("update_freq", 1) > 1  # a new direction meets the roots of before it
    assert lazy or all((np.abs(p.data) < 3).all() for p in params)


@pytest.mark.parametrize("make, message", [
    (lambda p: Muon(p, adjust_lr_fn="adamw"), "adjust_lr_fn is 'original' or 'match_rms_adamw', got 'adamw'"),
    (lambda p: Muon(p, ns_steps=100), "ns_steps must be below 100, got 100"),
    (lambda p: Shampoo(p, eps=0), "Shampoo: eps must be positive, got 0"),
    (lambda p: Shampoo(p, update_freq=0), "Shampoo: update_freq must be a positive integer, got 0"),
    (lambda p: SOAP(p, precondition_frequency=1.5), "precondition_frequency must be a positive integer, got 1.5"),
    (lambda p: SOAP(p, shampoo_beta=1.0), r"SOAP: shampoo_beta must be in \[0, 1\), got 1.0"),
])
def test_hyper_parameters_out_of_range(make, message):
    with pytest.raises(ValueError, match=message):
        make([Parameter(np.ones((2, 2)))])
