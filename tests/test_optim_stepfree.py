"""The rules that find their step size: against their papers' formulas in plain loops, and what the papers prove."""

from __future__ import annotations

import math

import numpy as np
import pytest
from test_optim_momentum import keeps_its_promises, walk, weights

from minigrad import Parameter, Tensor
from minigrad.optim import stepfree as rules

EVERY = {
    "polyak": lambda ps: rules.PolyakSGD(ps, 0.5, weight_decay=0.1),
    "momo": lambda ps: rules.MoMo(ps, weight_decay=0.1),
    "momo, adapting": lambda ps: rules.MoMo(ps, 0.5, lower_bound=-20, adapt_lower_bound=True),
    "momo-adam": lambda ps: rules.MoMoAdam(ps, weight_decay=0.1),
    "momo-adam, adapting": lambda ps: rules.MoMoAdam(ps, 0.5, adapt_lower_bound=True),
    "cocob": lambda ps: rules.COCOB(ps, weight_decay=0.1),
    "dog": lambda ps: rules.DoG(ps, weight_decay=0.1),
    "dowg": lambda ps: rules.DoWG(ps, 0.5, 0.1),
    "dadapt": lambda ps: rules.DAdaptAdamW(ps, weight_decay=0.1),
    "dadapt, corrected": lambda ps: rules.DAdaptAdamW(ps, d0=0.01, use_bias_correction=True),
    "prodigy": lambda ps: rules.Prodigy(ps, weight_decay=0.1),
    "prodigy, all": lambda ps: rules.Prodigy(ps, 0.5, beta3=0.9, d_coef=0.5, use_bias_correction=True,
                                             safeguard_warmup=True),
}
every = pytest.mark.parametrize("make", EVERY.values(), ids=EVERY.keys())
STEPS = 12


@every
def test_promises(make, monkeypatch):
    keeps_its_promises(make, monkeypatch)


@every
def test_zero_gradients_move_nothing_but_by_decay(make):
    w = Parameter(np.array([1.0, -2.0]))
    optimizer = make([w])
    optimizer.param_groups[0]["weight_decay"] = 0

    def closure():
        w.grad = Tensor(np.zeros(2))
        return 1.0
    for _ in range(3):
        optimizer.step(closure)
    assert w.data.tolist() == [1, -2]


@every
def test_what_it_measures_it_measures_over_all_parameters(make):
    """So how the weights are cut into parameters changes nothing."""
    whole, cut = weights(shapes=[(6,)]), weights(shapes=[(6,)])
    pieces = [Parameter(part.copy()) for part in np.split(cut[0].data, [1, 4])]
    a, b = make(whole), make(pieces)
    for t in range(STEPS):
        g = np.random.default_rng(t).standard_normal(6)

        def closure(g=g):
            whole[0].grad = Tensor(g)
            for p, part in zip(pieces, np.split(g, [1, 4])):
                p.grad = Tensor(part)
            return 2.0
        a.step(closure), b.step(closure)
    np.testing.assert_allclose(np.concatenate([p.data for p in pieces]), whole[0].data, 1e-10)


def oracle(rule, shape=(5,), loss=1.0):
    """The path of ``rule``, a function that yields w for every (g, f) sent to it, for what `walk` does."""
    w = weights(shapes=[shape])[0].data
    run = rule(w.tolist())
    next(run)
    return np.array([run.send((np.random.default_rng(100 + t).standard_normal(shape).tolist(), loss * 0.9 ** t))
                     for t in range(STEPS)])


def agrees(make, rule, loss=1.0):
    p = weights(shapes=[(5,)])
    np.testing.assert_allclose(walk(make(p), p, range(STEPS), loss=loss), oracle(rule, loss=loss), 1e-11, 1e-14)


def dot(a, b):
    return sum(x * y for x, y in zip(a, b))


# ---- from the loss ----
@pytest.mark.parametrize("lr, f_min, c, decay", [(1, 0, 1, 0), (0.1, -0.5, 1, 0), (1, 0.5, 2, 0), (1, 0, 1, 0.2)])
def test_polyak_against_the_paper(lr, f_min, c, decay):
    def rule(w):
        g, f = yield
        while True:
            f += decay / 2 * dot(w, w)
            g = [x + decay * y for x, y in zip(g, w)]
            step = min(max(f - f_min, 0) / (c * dot(g, g)), lr)
            w = [x - step * y for x, y in zip(w, g)]
            g, f = yield w
    agrees(lambda ps: rules.PolyakSGD(ps, lr, f_min, c, weight_decay=decay), rule)


def test_polyaks_step_ends_a_straight_line_at_once_and_halves_a_parabola():
    w = Parameter(np.array([3.0, -4.0]))
    optimizer = rules.PolyakSGD([w], lr=100)

    def cone():
        optimizer.zero_grad()
        loss = (w * w).sum() ** 0.5
        loss.backward()
        return loss

    def bowl():
        optimizer.zero_grad()
        loss = (w * w).sum()
        loss.backward()
        return loss
    optimizer.step(bowl)
    np.testing.assert_allclose(w.data, [1.5, -2], 1e-15)
    assert optimizer.step(cone).item() == 2.5
    np.testing.assert_allclose(w.data, 0, atol=1e-15)


def test_below_the_least_loss_possible_nothing_moves():
    w = Parameter(np.ones(2))
    optimizer = rules.PolyakSGD([w], f_min=2.0)

    def closure():
        w.grad = Tensor(np.ones(2))
        return 1.5
    optimizer.step(closure)
    assert w.data.tolist() == [1, 1] and optimizer.state_summary()["polyak"] == 0


@pytest.mark.parametrize("rule", [rules.PolyakSGD, rules.MoMo, rules.MoMoAdam])
def test_without_a_loss_there_is_no_polyak_step(rule):
    w = Parameter(np.ones(2))
    w.grad = Tensor(np.ones(2))
    with pytest.raises(ValueError, match=rf"{rule.__name__} needs the loss: step\(closure\)"):
        rule([w]).step()
    with pytest.raises(ValueError, match="needs the loss"):
        rule([w]).step(lambda: None)
    assert w.data.tolist() == [1, 1]


@pytest.mark.parametrize("lr, bound, decay", [(1, 0, 0), (0.05, 0, 0.3), (1, -1, 0.3), (1, 0.4, 0.1)])
def test_momo_against_the_paper(lr, bound, decay):
    def rule(w):
        g, f = yield
        m, f_mean, gw = list(g), f, dot(g, w)
        while True:
            a = 1 + lr * decay
            step = min(lr, max(0, a * (f_mean - bound - gw) + dot(m, w)) / dot(m, m))
            w = [(x - step * y) / a for x, y in zip(w, m)]
            g, f = yield w
            m = [0.9 * x + 0.1 * y for x, y in zip(m, g)]
            f_mean, gw = 0.9 * f_mean + 0.1 * f, 0.9 * gw + 0.1 * dot(g, w)
    agrees(lambda ps: rules.MoMo(ps, lr, lower_bound=bound, weight_decay=decay), rule)


@pytest.mark.parametrize("lr, bound, decay", [(0.01, 0, 0), (1, 0, 0.3), (1, -0.5, 0.1)])
def test_momo_adam_against_the_paper(lr, bound, decay):
    def rule(w):
        m, v, f_mean, gw, t = [0.0] * 5, [0.0] * 5, 0.0, 0.0, 0
        g, f = yield
        while True:
            t += 1
            m = [0.9 * x + 0.1 * y for x, y in zip(m, g)]
            v = [0.99 * x + 0.01 * y * y for x, y in zip(v, g)]
            f_mean, gw = 0.9 * f_mean + 0.1 * f, 0.9 * gw + 0.1 * dot(g, w)
            scaled = [x / (math.sqrt(y / (1 - 0.99 ** t)) + 1e-2) for x, y in zip(m, v)]
            a, rho = 1 + lr * decay, 1 - 0.9 ** t
            step = min(lr / rho, max(0, a * (f_mean - rho * bound - gw) + dot(m, w)) / dot(m, scaled))
            w = [(x - step * y) / a for x, y in zip(w, scaled)]
            g, f = yield w
    agrees(lambda ps: rules.MoMoAdam(ps, lr, (0.9, 0.99), 1e-2, bound, decay), rule)


@pytest.mark.parametrize("lr", [0.05, 50.0])
def test_momos_step_is_the_minimum_it_is_defined_as(lr):
    """argmin_x max(f - gw + <m, x>, bound) + weight_decay / 2 |x|^2 + 1 / (2 lr) |x - w|^2."""
    ps = weights(shapes=[(4,)])
    optimizer = rules.MoMo(ps, lr, lower_bound=0.1, weight_decay=0.2)
    walk(optimizer, ps, range(3), loss=3)
    before = ps[0].data.copy()
    x = walk(optimizer, ps, [3], loss=3)[0]
    m, now = optimizer.state[ps[0]]["m"], optimizer.common

    def objective(x):
        line = max(now["f"] - now["gw"] + m @ x, 0.1)
        return line + 0.1 * x @ x + ((x - before) ** 2).sum() / (2 * lr)
    assert now["polyak"] > lr if lr < 1 else now["polyak"] < lr  # both cases are met
    rng = np.random.default_rng(0)
    for size in (1e-4, 1e-2, 1):
        assert all(objective(x) <= objective(x + size * rng.standard_normal(4)) for _ in range(50))


def test_momos_bound_is_raised_to_the_loss_that_is_reached():
    """f = 5 + w^2: with the bound at 0 lr caps every step, with the adapted one steps get short."""
    def run(adapt):
        w = Parameter(np.array(4.0))
        optimizer = rules.MoMo([w], lr=0.9, beta=0.5, adapt_lower_bound=adapt)

        def closure():
            optimizer.zero_grad()
            loss = w * w + 5
            loss.backward()
            return loss
        for _ in range(100):
            optimizer.step(closure)
        return optimizer.common["bound"]
    assert run(False) == 0 and 4 < run(True) <= 5.01


# ---- from a bet ----
def test_cocob_against_the_paper():
    def rule(w):
        L, G, reward, theta, w1 = [1e-3] * 5, [0.0] * 5, [0.0] * 5, [0.0] * 5, list(w)
        g, _ = yield
        while True:
            for i in range(5):
                coin = -g[i]
                L[i] = max(L[i], abs(coin))
                G[i] += abs(coin)
                reward[i] = max(reward[i] + (w[i] - w1[i]) * coin, 0)
                theta[i] += coin
                w[i] = w1[i] + theta[i] / (L[i] * max(G[i] + L[i], 3 * L[i])) * (L[i] + reward[i])
            g, _ = yield list(w)
    agrees(lambda ps: rules.COCOB(ps, 3.0, 1e-3), rule)


def test_cocob_does_not_see_the_scale_of_the_gradient():
    a, b = weights(), weights()
    x, y = rules.COCOB(a, alpha=2, eps=2.0 ** -20), rules.COCOB(b, alpha=2, eps=2.0 ** -10)
    assert np.array_equal(walk(x, a, range(8)), walk(y, b, range(8), 2.0 ** 10))


# ---- from the distance travelled ----
def test_dog_and_dowg_against_their_papers():
    def dog(w):
        start, r, G = list(w), 1e-2 * (1 + math.sqrt(dot(w, w))), 0.0
        g, _ = yield
        while True:
            r = max(r, math.dist(w, start))
            G += dot(g, g)
            w = [x - 0.7 * r / math.sqrt(G + 1e-2) * y for x, y in zip(w, g)]
            g, _ = yield w

    def dowg(w):
        start, r2, V = list(w), 0.04, 0.0
        g, _ = yield
        while True:
            r2 = max(r2, math.dist(w, start) ** 2)
            V += r2 * dot(g, g)
            w = [x - 0.7 * r2 / (math.sqrt(V) + 1e-2) * y for x, y in zip(w, g)]
            g, _ = yield w
    agrees(lambda ps: rules.DoG(ps, 0.7, 1e-2, 1e-2), dog)
    agrees(lambda ps: rules.DoWG(ps, 0.7, 0.04, 1e-2), dowg)


@pytest.mark.parametrize("corrected", [False, True])
@pytest.mark.parametrize("d0, decay", [(1e-6, 0), (0.1, 0.2)])
def test_d_adaptation_against_the_paper(corrected, d0, decay):
    def rule(w):
        m, v, s, r, d, b, t = [0.0] * 5, [0.0] * 5, [0.0] * 5, 0.0, d0, math.sqrt(0.99), 0
        g, _ = yield
        while True:
            t += 1
            rate = d * 0.5 * (math.sqrt(1 - 0.99 ** t) / (1 - 0.9 ** t) if corrected else 1)
            r = b * r + (1 - b) * rate * sum(x * y / (math.sqrt(z) + 1e-2) for x, y, z in zip(g, s, v))
            m = [0.9 * x + 0.1 * rate * y for x, y in zip(m, g)]
            v = [0.99 * x + 0.01 * y * y for x, y in zip(v, g)]
            s = [b * x + (1 - b) * rate * y for x, y in zip(s, g)]
            w = [x - rate * decay * x - y / (math.sqrt(z) + 1e-2) for x, y, z in zip(w, m, v)]
            d = max(d, r / ((1 - b) * sum(map(abs, s))))
            g, _ = yield w
    agrees(lambda ps: rules.DAdaptAdamW(ps, 0.5, (0.9, 0.99), 1e-2, d0, decay, use_bias_correction=corrected), rule)


@pytest.mark.parametrize("corrected, beta3, d0, decay", [
    (False, None, 1e-6, 0), (True, None, 0.1, 0.2), (False, 0.8, 0.1, 0), (True, 0.8, 1e-6, 0)])
def test_prodigy_against_the_paper(corrected, beta3, d0, decay):
    """With the paper's (1 - beta3) in r and s, which cancels, and without the division by d0."""
    b = math.sqrt(0.99) if beta3 is None else beta3

    def rule(w):
        m, v, s, r, d, t, w0 = [0.0] * 5, [0.0] * 5, [0.0] * 5, 0.0, d0, 0, list(w)
        g, _ = yield
        while True:
            t += 1
            gamma = 0.5 * (math.sqrt(1 - 0.99 ** t) / (1 - 0.9 ** t) if corrected else 1)
            m = [0.9 * x + 0.1 * d * y for x, y in zip(m, g)]
            v = [0.99 * x + 0.01 * d * d * y * y for x, y in zip(v, g)]
            r = b * r + (1 - b) * gamma * d ** 2 * sum(x * (y - z) for x, y, z in zip(g, w0, w))
            s = [b * x + (1 - b) * gamma * d ** 2 * y for x, y in zip(s, g)]
            new = max(d, 0.7 * r / sum(map(abs, s)))
            w = [x - gamma * d * (decay * x + y / (math.sqrt(z) + new * 1e-2)) for x, y, z in zip(w, m, v)]
            d = new
            g, _ = yield w
    agrees(lambda ps: rules.Prodigy(ps, 0.5, (0.9, 0.99), beta3, 1e-2, decay, d0=d0, d_coef=0.7,
                                    use_bias_correction=corrected), rule)


@pytest.mark.parametrize("make", [rules.DAdaptAdamW, rules.Prodigy, rules.DoG, rules.DoWG, rules.COCOB])
def test_they_find_a_minimum_far_away_with_nothing_tuned(make):
    """f = sum |w - 10|, D = 10 in every coordinate: d climbs from 1e-6; Prodigy's is a proof that D is at least d."""
    w, steps = Parameter(np.zeros(3)), 2000
    optimizer = make([w])
    estimates = []
    for t in range(steps):
        if "lr" in optimizer.defaults:
            optimizer.lr = 1 - t / steps
        w.grad = Tensor(np.sign(w.data - 10))
        optimizer.step()
        estimates.append(optimizer.common.get("d", 0))
    assert np.abs(w.data - 10).max() < 1
    assert estimates == sorted(estimates)
    if make in (rules.DAdaptAdamW, rules.Prodigy):
        assert estimates[0] == 1e-6 and 1 < estimates[-1] <= (10 if make is rules.Prodigy else 100)


def test_the_safeguard_keeps_a_warm_up_from_raising_d():
    def run(safeguard):
        w = Parameter(np.zeros(3))
        optimizer = rules.Prodigy([w], safeguard_warmup=safeguard)
        for t in range(40):
            optimizer.lr = (t + 1) / 40
            w.grad = Tensor(np.sign(w.data - 10))
            optimizer.step()
        return optimizer.common["d"]
    assert run(True) < run(False)


@pytest.mark.parametrize("make", [rules.DAdaptAdamW, rules.Prodigy])
def test_a_parameter_that_is_frozen_still_counts_in_the_norm_of_s(make):
    a, b = weights(shapes=[(3,), (30,)])
    optimizer = make([a, b], d0=1e-3)
    for _ in range(5):
        a.grad, b.grad = Tensor(np.ones(3)), Tensor(np.ones(30))
        optimizer.step()
    b.grad, before = None, {k: v.copy() for k, v in optimizer.state[b].items() if k != "step"}
    d, r = optimizer.common["d"], optimizer.common["r"]
    frozen = np.abs(optimizer.state[b]["s"]).sum()
    a.grad = Tensor(np.zeros(3))
    if make is rules.DAdaptAdamW:
        length = (1 - math.sqrt(0.999)) * (frozen + np.abs(optimizer.state[a]["s"]).sum())
    else:
        r, length = math.sqrt(0.999) * r, frozen + math.sqrt(0.999) * np.abs(optimizer.state[a]["s"]).sum()
    optimizer.step()
    assert optimizer.common["d"] == pytest.approx(max(d, r / length), rel=1e-12)
    assert all(np.array_equal(optimizer.state[b][k], v) for k, v in before.items())


def test_groups_have_an_lr_of_their_own_under_one_estimate():
    a, b = Parameter(np.ones(2)), Parameter(np.ones(2))
    optimizer = rules.DoG([{"params": a}, {"params": b, "lr": 0.5}], reps_rel=0.1)
    a.grad, b.grad = Tensor(np.ones(2)), Tensor(np.ones(2))
    optimizer.step()
    np.testing.assert_allclose(1 - a.data, 2 * (1 - b.data), 1e-12)
    summary = optimizer.state_summary()
    assert summary["distance"] == pytest.approx(0.1 * (1 + 2)) and summary["rate"] > 0


@pytest.mark.parametrize("make, message", [
    (lambda w: rules.PolyakSGD(w, f_min=-math.inf), "PolyakSGD: f_min must be finite, got -inf"),
    (lambda w: rules.PolyakSGD(w, c=-1), "c must be finite and at least 0, got -1"),
    (lambda w: rules.MoMo(w, beta=1.0), r"MoMo: beta must be in \[0, 1\), got 1.0"),
    (lambda w: rules.MoMoAdam(w, lower_bound=math.nan), "MoMoAdam: lower_bound must be finite, got nan"),
    (lambda w: rules.MoMoAdam(w, betas=(1.0, 0.9)), r"betas must be in \[0, 1\)"),
    (lambda w: rules.COCOB(w, eps=0), "COCOB: eps must be positive, got 0"),
    (lambda w: rules.DoG(w, reps_rel=-1), "reps_rel must be finite and at least 0, got -1"),
    (lambda w: rules.DAdaptAdamW(w, d0=0), "DAdaptAdamW: d0 must be positive, got 0"),
    (lambda w: rules.Prodigy(w, d0=0), "Prodigy: d0 must be positive, got 0"),
    (lambda w: rules.Prodigy(w, beta3=1), r"beta3 must be in \[0, 1\), got 1"),
])
def test_hyper_parameters_out_of_range(make, message):
    with pytest.raises(ValueError, match=message):
        make(weights())
