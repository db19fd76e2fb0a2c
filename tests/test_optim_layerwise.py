"""LARS, LAMB, NovoGrad and Fromage against their papers written out in loops, and what their formulas promise."""

from __future__ import annotations

import math

import numpy as np
import pytest

from minigrad import Parameter, Tensor, optim
from minigrad.optim.layerwise import LAMB, LARS, Fromage, NovoGrad

SHAPES = (), (3,), (4, 3), (2, 3, 2, 2)


def run(make, steps=12, shapes=SHAPES, scale=1.0, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    params = [Parameter(np.asarray(rng.standard_normal(s), dtype)) for s in shapes]
    optimizer = make(params)
    for _ in range(steps):
        for p in params:
            p.grad = Tensor(np.asarray(scale * rng.standard_normal(p.shape), dtype))
        optimizer.step()
    return [p.data for p in params]


def oracle(rule, steps=12, shapes=SHAPES, seed=0):
    """The same, for ``rule(w, g, memory, t)`` on lists of Python floats, which returns the new w."""
    rng = np.random.default_rng(seed)
    weights = [rng.standard_normal(s).reshape(-1).tolist() if s else [float(rng.standard_normal())] for s in shapes]
    memory = [{} for _ in shapes]
    for t in range(1, steps + 1):
        for i, s in enumerate(shapes):
            g = np.asarray(rng.standard_normal(s)).reshape(-1).tolist()
            weights[i] = rule(weights[i], g, memory[i], t)
    return [np.reshape(w, s) for w, s in zip(weights, shapes)]


def norm(a):
    return math.sqrt(sum(x * x for x in a))


def same(found, expected, rtol=1e-12):
    for f, e in zip(found, expected):
        np.testing.assert_allclose(f, e, rtol=rtol, atol=1e-15)


@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("eps", [0.0, 1e-2])
@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("joint", [False, True])
def test_lars(decay, eps, nesterov, joint):
    def rule(w, g, memory, t):
        d = [gi + decay * wi for gi, wi in zip(g, w)]
        trust = 0.01 * norm(w) / ((norm(d) if joint else norm(g) + decay * norm(w)) + eps)
        v = [0.9 * vi + 0.5 * trust * di for vi, di in zip(memory.get("v", [0.0] * len(w)), d)]
        memory["v"] = v
        if nesterov:
            return [wi - 0.5 * trust * di - 0.9 * vi for wi, di, vi in zip(w, d, v)]
        return [wi - vi for wi, vi in zip(w, v)]
    same(run(lambda ps: LARS(ps, 0.5, 0.9, decay, 0.01, eps, nesterov, joint_norm=joint)), oracle(rule))


@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("debias, clamp", [(True, None), (False, 1.0)])
def test_lamb(decay, debias, clamp):
    def rule(w, g, memory, t):
        m = [0.9 * a + 0.1 * b for a, b in zip(memory.get("m", [0.0] * len(w)), g)]
        v = [0.99 * a + 0.01 * b * b for a, b in zip(memory.get("v", [0.0] * len(w)), g)]
        memory.update(m=m, v=v)
        c, d = (1 - 0.9 ** t, 1 - 0.99 ** t) if debias else (1, 1)
        u = [a / c / (math.sqrt(b / d) + 1e-2) + decay * x for a, b, x in zip(m, v, w)]
        ratio = min(norm(w), clamp or math.inf) / norm(u)
        return [x - 0.1 * ratio * y for x, y in zip(w, u)]
    same(run(lambda ps: LAMB(ps, 0.1, (0.9, 0.99), 1e-2, decay, bias_correction=debias, clamp_value=clamp)),
         oracle(rule))


@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("averaging", [False, True])
def test_novograd(decay, averaging):
    def rule(w, g, memory, t):
        square = norm(g) ** 2
        v = memory["v"] = square if t == 1 else 0.98 * memory["v"] + 0.02 * square
        d = [a / (math.sqrt(v) + 1e-2) + decay * x for a, x in zip(g, w)]
        m = [0.95 * a + (0.05 if averaging else 1) * b for a, b in zip(memory.get("m", [0.0] * len(w)), d)]
        memory["m"] = m
        return [x - 0.1 * a for x, a in zip(w, m)]
    same(run(lambda ps: NovoGrad(ps, 0.1, eps=1e-2, weight_decay=decay, grad_averaging=averaging)), oracle(rule))


def test_fromage():
    def rule(w, g, memory, t):
        return [(x - 0.1 * norm(w) / norm(g) * a) / math.sqrt(1.01) for x, a in zip(w, g)]
    same(run(lambda ps: Fromage(ps, 0.1)), oracle(rule))


# ---- what the formulas promise ----
@pytest.mark.parametrize("make", [
    lambda ps: LARS(ps, 0.5), lambda ps: LAMB(ps, 0.1, eps=0.0), lambda ps: NovoGrad(ps, 0.1, eps=0.0),
    lambda ps: Fromage(ps, 0.1)], ids=["LARS", "LAMB", "NovoGrad", "Fromage"])
def test_the_scale_of_the_gradient_does_not_matter(make):
    same(run(make), run(make, scale=1e4), rtol=1e-10)


def test_lamb_without_trust_is_adamw():
    same(run(lambda ps: LAMB(ps, 0.1, weight_decay=0.1, trust=False)),
         run(lambda ps: optim.AdamW(ps, 0.1, eps=1e-6, weight_decay=0.1)))


def test_lars_without_trust_is_momentum():
    same(run(lambda ps: LARS(ps, 0.1, weight_decay=0.1, trust_coefficient=None)),
         run(lambda ps: optim.Momentum(ps, 0.1, weight_decay=0.1)))


def test_a_step_of_lamb_is_lr_of_the_weights_length():
    before = run(lambda ps: LAMB(ps, 0.1), steps=4)
    after = run(lambda ps: LAMB(ps, 0.1), steps=5)
    for a, b in zip(before, after):
        assert np.linalg.norm(b - a) == pytest.approx(0.1 * np.linalg.norm(a))


def test_fromage_turns_by_the_angle_of_lr():
    w = Parameter(np.array([3.0, 4.0]))
    optimizer = Fromage([w], lr=0.1)
    for _ in range(20):
        w.grad = Tensor(np.array([-w.data[1], w.data[0]]))  # at right angles to w: its length stays
        optimizer.step()
    assert np.linalg.norm(w.data) == pytest.approx(5)
    assert np.arctan2(w.data[1], w.data[0]) == pytest.approx(np.arctan2(4, 3) - 20 * np.arctan(0.1))


EVERY = {"lars": lambda ps: LARS(ps), "lars, joint": lambda ps: LARS(ps, weight_decay=0.1, joint_norm=True),
         "lamb": lambda ps: LAMB(ps, weight_decay=0.1), "novograd": lambda ps: NovoGrad(ps, weight_decay=0.1),
         "fromage": lambda ps: Fromage(ps)}
every = pytest.mark.parametrize("make", EVERY.values(), ids=EVERY.keys())


@every
@pytest.mark.parametrize("w, g", [(0.0, 0.0), (0.0, 1.0), (1.0, 0.0)])
def test_zeros_are_no_nan(make, w, g):
    p = Parameter(np.full(3, w))
    optimizer = make([p])
    for _ in range(3):
        p.grad = Tensor(np.full(3, g))
        optimizer.step()
    assert np.isfinite(p.data).all()
    assert (p.data != 0).all() == (w != 0 or g != 0)  # zero weights are not stuck


def test_fromage_shrinks_where_the_gradient_is_zero():
    p = Parameter(np.ones(2))
    p.grad = Tensor(np.zeros(2))
    Fromage([p], lr=0.5, min_norm=0).step()
    np.testing.assert_allclose(p.data, 1 / math.sqrt(1.25))


@every
def test_gradients_too_long_for_their_dtype_do_no_harm(make):
    p = Parameter(np.ones(3, np.float32))
    optimizer = make([p])
    with np.errstate(over="ignore"):
        for _ in range(2):
            p.grad = Tensor(np.full(3, 1e30, np.float32))
            optimizer.step()
    assert np.isfinite(p.data).all() and p.dtype == np.float32


@every
def test_float32_stays_and_a_resumed_run_is_the_same_to_the_bit(make):
    for dtype in (np.float32, np.float64):
        rng = np.random.default_rng(0)
        a = [Parameter(np.asarray(rng.standard_normal(s), dtype)) for s in SHAPES]
        b = [Parameter(p.data.copy()) for p in a]
        first = second = make(a)
        other = make(b)
        for step in range(6):
            for p, q in zip(a, b):
                p.grad = Tensor(np.asarray(rng.standard_normal(p.shape), dtype))
                q.grad = Tensor(p.grad.data.copy())
            if step == 3:
                second = make(a)
                second.load_state_dict(first.state_dict())
            second.step()
            other.step()
        assert all(np.array_equal(p.data, q.data) and p.dtype == dtype for p, q in zip(a, b))
        assert all(v.dtype == dtype for s in other.state.values() for v in s.values() if isinstance(v, np.ndarray))


@pytest.mark.parametrize("make, message", [
    (lambda p: LARS(p, trust_coefficient=-1.0), "LARS: trust_coefficient must be finite and at least 0, got -1.0"),
    (lambda p: LAMB(p, betas=(0.9, 1.0)), "LAMB: betas"),
    (lambda p: NovoGrad(p, eps=-1.0), "NovoGrad: eps must be finite and at least 0, got -1.0"),
    (lambda p: Fromage(p, min_norm=math.inf), "Fromage: min_norm must be finite")])
def test_hyper_parameters_out_of_range(make, message):
    with pytest.raises(ValueError, match=message):
        make([Parameter(np.ones(2))])
