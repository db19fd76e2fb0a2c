"""The rules that look at signs only: against their formulas in plain loops, and their scale invariance."""

from __future__ import annotations

import numpy as np
import pytest
from test_optim_momentum import keeps_its_promises, same, walk, weights

from minigrad import Parameter, Tensor
from minigrad.optim import sign as rules

EVERY = {
    "signsgd": lambda ps: rules.SignSGD(ps, 0.1, weight_decay=0.1),
    "signum": lambda ps: rules.Signum(ps, 0.1, weight_decay=0.1),
    "lion": lambda ps: rules.Lion(ps, 0.1, weight_decay=0.1),
    "rprop": lambda ps: rules.Rprop(ps, 0.1),
    "rprop, decay": lambda ps: rules.Rprop(ps, 0.1, (0.4, 1.5), (0.01, 0.3), weight_decay=0.1),
}


@pytest.mark.parametrize("make", EVERY.values(), ids=EVERY.keys())
def test_promises(make, monkeypatch):
    keeps_its_promises(make, monkeypatch)


@pytest.mark.parametrize("make", [rules.SignSGD, rules.Signum, rules.Lion, rules.Rprop])
@pytest.mark.parametrize("scale", [2.0 ** -300, 2.0 ** 300])
def test_the_scale_of_the_gradient_does_not_matter(make, scale):
    a, b = weights(), weights()
    assert np.array_equal(walk(make(a, lr=0.1), a, range(8)), walk(make(b, lr=0.1), b, range(8), scale))


@pytest.mark.parametrize("make", [rules.SignSGD, rules.Signum, rules.Lion, rules.Rprop])
def test_zeros_stay_and_a_nan_shows(make):
    w = Parameter(np.array([1.0, 2.0, 3.0]))
    optimizer = make([w], lr=0.5)
    for _ in range(2):
        w.grad = Tensor(np.array([np.nan, 0.0, 2.0]))
        optimizer.step()
    assert np.isnan(w.data[0]) and w.data[1] == 2 and w.data[2] < 3


def test_identities():
    same(lambda ps: rules.Lion(ps, 0.1, (0.9, 0.9)), lambda ps: rules.Signum(ps, 0.1, 0.9))
    same(lambda ps: rules.Signum(ps, 0.1, 0), lambda ps: rules.SignSGD(ps, 0.1))
    same(lambda ps: rules.Lion(ps, 0.1, (0, 0.99)), lambda ps: rules.SignSGD(ps, 0.1))
    same(lambda ps: rules.Rprop(ps, 0.1, step_sizes=(0.1, 0.1)), lambda ps: Waiting(ps, 0.1))


class Waiting(rules.SignSGD):
    """SignSGD that sits out a step after each turn: what is left of Rprop when its step size cannot change."""

    slots = ("last",)

    @staticmethod
    def update(w, g, last, lr):
        last[...] = np.where(g * last < 0, 0, g)
        w -= lr * np.sign(last)


def test_signum_and_lion_against_their_formulas():
    p, q = weights(shapes=[(1,)]), weights(shapes=[(1,)])
    w = u = p[0].item()
    a, b = walk(rules.Signum(p, 0.1, 0.8), p, range(12)), walk(rules.Lion(q, 0.1, (0.7, 0.95), 0.5), q, range(12))
    m = n = 0.0
    for t in range(12):
        g = np.random.default_rng(100 + t).standard_normal(1)[0]
        m = 0.8 * m + 0.2 * g
        w -= 0.1 * np.sign(m)
        u -= 0.1 * (np.sign(0.7 * n + 0.3 * g) + 0.5 * u)
        n = 0.95 * n + 0.05 * g
        assert a[t, 0] == pytest.approx(w, rel=1e-12) and b[t, 0] == pytest.approx(u, rel=1e-12)


def test_lions_decay_is_decoupled():
    w = Parameter(np.array([1.0, -2.0]))
    optimizer = rules.Lion([w], lr=0.5, weight_decay=0.1)
    for _ in range(3):
        w.grad = Tensor(np.zeros(2))
        optimizer.step()
    np.testing.assert_allclose(w.data, np.array([1.0, -2.0]) * 0.95 ** 3, 1e-15)


# ---- Rprop ----
def test_rprop_against_the_paper():
    p = weights(shapes=[(1,)])
    w, step, last, found = p[0].item(), 0.1, 0.0, walk(rules.Rprop(p, 0.1, (0.4, 1.7), (0.03, 0.2)), p, range(25))
    limits = set()
    for t in range(25):
        g = np.random.default_rng(100 + t).standard_normal(1)[0]
        if g * last > 0:
            step = min(step * 1.7, 0.2)
        elif g * last < 0:
            step = max(step * 0.4, 0.03)
            g = 0.0
        w -= np.sign(g) * step
        last = g
        limits.add(step)
        assert found[t, 0] == pytest.approx(w, rel=1e-12)
    assert {0.03, 0.2} <= limits


def test_rprop_waits_where_it_stepped_over_and_takes_the_next_step_as_it_is():
    w = Parameter(np.zeros(1))
    optimizer = rules.Rprop([w], lr=1.0)
    path = []
    for g in (1, 1, -1, -1, -1, 0, -1):
        w.grad = Tensor(np.array([float(g)]))
        optimizer.step()
        path.append(w.item())
    np.testing.assert_allclose(np.diff([0, *path]), [-1, -1.2, 0, 0.6, 0.72, 0, 0.72], 1e-12)


def test_rprop_sees_signs_of_gradients_whose_product_underflows():
    w = Parameter(np.zeros(1, np.float32))
    optimizer = rules.Rprop([w], lr=1.0)
    for _ in range(2):
        w.grad = Tensor(np.full(1, 1e-30, np.float32))
        optimizer.step()
    assert w.item() == pytest.approx(-2.2)


def test_the_first_step_of_rprop_is_lr_within_the_limits():
    w = Parameter(np.zeros(1))
    optimizer = rules.Rprop([w], lr=3.0, step_sizes=(0.1, 2))
    w.grad = Tensor(np.ones(1))
    optimizer.step()
    optimizer.lr = 0.1
    optimizer.step()
    assert w.item() == -4


@pytest.mark.parametrize("make, message", [
    (lambda w: rules.SignSGD(w, lr=-1), "SignSGD: lr must be finite and at least 0, got -1"),
    (lambda w: rules.Signum(w, beta=1.0), r"beta must be in \[0, 1\), got 1.0"),
    (lambda w: rules.Lion(w, betas=(0.9, 1)), r"betas must be in \[0, 1\), got \(0.9, 1\)"),
    (lambda w: rules.Rprop(w, etas=(1.0, 1.2)), r"etas must be below and above 1, got \(1.0, 1.2\)"),
    (lambda w: rules.Rprop(w, etas=(0.5, np.inf)), "etas must be below and above 1"),
    (lambda w: rules.Rprop(w, step_sizes=(1, 0.1)), r"step_sizes must be from 0 upward, got \(1, 0.1\)"),
])
def test_hyper_parameters_out_of_range(make, message):
    with pytest.raises(ValueError, match=message):
        make(weights())
