"""Gradient descent and its momentum: each rule against its paper's formula in plain loops and against its relatives."""

from __future__ import annotations

import math

import numpy as np
import pytest

from minigrad import Parameter, Tensor, random
from minigrad.optim import momentum as rules
from minigrad.optim import optimizer as shell

SHAPES = ((), (3,), (4, 3), (2, 3, 2, 2))


# ---- what every rule promises; the other optimizers' tests use this, too ----
def weights(seed=0, dtype=np.float64, shapes=SHAPES):
    rng = np.random.default_rng(seed)
    return [Parameter(np.asarray(rng.standard_normal(s), dtype)) for s in shapes]


def walk(optimizer, params, seeds, scale=1.0, loss=1.0):
    """Steps with random gradients, and a closure that reports ``loss`` times 0.9^seed; all weights after each."""
    path = []
    for seed in seeds:
        rng = np.random.default_rng(100 + seed)
        grads = [Tensor(np.asarray(scale * rng.standard_normal(p.shape), p.dtype)) for p in params]

        def closure(grads=grads, seed=seed):
            for p, g in zip(params, grads):
                p.grad = g
            return loss * 0.9 ** seed
        optimizer.step(closure)
        path.append(np.concatenate([p.data.ravel() for p in params]))
    return np.array(path)


def arrays(optimizer):
    return [v for state in optimizer.state.values() for v in state.values() if isinstance(v, np.ndarray)]


def keeps_its_promises(make, monkeypatch):
    whole = weights()
    expected = walk(make(whole), whole, range(6))
    assert np.isfinite(expected).all() and not np.array_equal(expected[0], expected[-1])
    resumes_to_the_bit(make, expected)

    single = weights(dtype=np.float32)
    optimizer = make(single)
    assert walk(optimizer, single, range(3)).dtype == np.float32
    assert all(a.dtype == np.float32 for a in arrays(optimizer))

    up, down = weights(), weights()
    a, b = make(up), make(down)
    a.param_groups[0]["maximize"], b.param_groups[0]["maximize"] = True, False
    a.param_groups[0]["weight_decay"] = b.param_groups[0]["weight_decay"] = 0
    assert np.array_equal(walk(a, up, range(4), 1, 1), walk(b, down, range(4), -1, -1))

    turned = weights()
    for p in turned:
        p.data = np.asfortranarray(p.data)
    assert np.array_equal(walk(make(turned), turned, range(6)), expected)
    monkeypatch.setattr(shell, "BLOCK", 5)
    blocks = weights()
    assert np.array_equal(walk(make(blocks), blocks, range(6)), expected)
    monkeypatch.undo()

    for scale in (0, 1e-100, 1e100):
        extreme = weights()
        optimizer = make(extreme)
        assert np.isfinite(walk(optimizer, extreme, range(4), scale)).all()
        assert all(np.isfinite(a).all() for a in arrays(optimizer))


def resumes_to_the_bit(make, expected):
    first = weights()
    optimizer = make(first)
    walk(optimizer, first, range(3))
    state, second = optimizer.state_dict(), [Parameter(p.data.copy()) for p in first]
    resumed = make(second)
    resumed.load_state_dict(state)
    walk(optimizer, first, range(9))  # does not reach into the saved state
    assert np.array_equal(walk(resumed, second, range(3, 6)), expected[3:])


def same(a, b, steps=12):
    x, y = weights(), weights()
    np.testing.assert_allclose(walk(a(x), x, range(steps)), walk(b(y), y, range(steps)), 1e-12, 1e-14)


EVERY = {
    "gd": lambda ps: rules.GD(ps, 0.1, weight_decay=0.1),
    "sgdw": lambda ps: rules.SGDW(ps, 0.1, momentum=0.9, dampening=0.2),
    "nag, lookahead": lambda ps: rules.NAG(ps, 0.1, weight_decay=0.1, lookahead=True),
    "asgd": lambda ps: rules.ASGD(ps, 0.1, lambd=0.1, t0=2),
    "noisy": lambda ps: rules.NoisySGD(ps, 0.1, generator=np.random.default_rng(0)),
    "aggmo": lambda ps: rules.AggMo(ps, 0.1, weight_decay=0.1),
    "qhm": lambda ps: rules.QHM(ps, 0.1, 0.9, weight_decay=0.1, decoupled_weight_decay=True),
    "accsgd": lambda ps: rules.AccSGD(ps, 0.1),
    "pid": lambda ps: rules.PID(ps, 0.01, dampening=0.1),
    "optimistic": lambda ps: rules.OptimisticGD(ps, 0.1, 0.7, 0.4),
    "sgdp": lambda ps: rules.SGDP(ps, 0.1, 0.9, weight_decay=0.1),
    "sgdp, projecting": lambda ps: rules.SGDP(ps, 0.1, 0.9, weight_decay=0.1, delta=1.0),
    "sgdp, nesterov": lambda ps: rules.SGDP(ps, 0.1, 0.9, delta=10, nesterov=True),
}


@pytest.mark.parametrize("make", EVERY.values(), ids=EVERY.keys())
def test_promises(make, monkeypatch):
    keeps_its_promises(make, monkeypatch)


@pytest.mark.parametrize("make", EVERY.values(), ids=EVERY.keys())
def test_a_nan_stays_where_it_is(make):
    w = weights(shapes=[(3,)])
    optimizer = make(w)

    def closure():
        w[0].grad = Tensor(np.array([np.nan, 0.0, 1.0]))
        return 1.0
    for _ in range(2):
        optimizer.step(closure)
    assert np.isnan(w[0].data).tolist() == [True, False, False]


# ---- identities ----
@pytest.mark.parametrize("a, b", [
    (lambda ps: rules.GD(ps, 0.1, 0.2), lambda ps: rules.SGD(ps, 0.1, weight_decay=0.2)),
    (lambda ps: rules.SGDW(ps, 0.1, 0.9, 0.1, weight_decay=0), lambda ps: rules.SGD(ps, 0.1, 0.9, 0.1)),
    (lambda ps: rules.SGDW(ps, 0.1, weight_decay=0.3), lambda ps: rules.SGD(ps, 0.1, weight_decay=0.3)),
    (lambda ps: rules.AggMo(ps, 0.1, [0.9]), lambda ps: rules.SGD(ps, 0.1, 0.9)),
    (lambda ps: rules.AggMo(ps, 0.1, [0.0]), lambda ps: rules.SGD(ps, 0.1)),
    (lambda ps: rules.AggMo(ps, 0.1, [0.8, 0.8, 0.8]), lambda ps: rules.SGD(ps, 0.1, 0.8)),
    (lambda ps: rules.QHM(ps, 0.1, 0.9, nu=1), lambda ps: rules.SGD(ps, 0.1 * (1 - 0.9), 0.9)),
    (lambda ps: rules.QHM(ps, 0.1, 0.9, nu=0), lambda ps: rules.SGD(ps, 0.1)),
    (lambda ps: rules.QHM(ps, 0.1, 0.9, nu=0.9), lambda ps: rules.SGD(ps, 0.1 * (1 - 0.9), 0.9, nesterov=True)),
    (lambda ps: rules.PID(ps, 0.1, integral=0, derivative=0), lambda ps: rules.SGD(ps, 0.1)),
    (lambda ps: rules.OptimisticGD(ps, 0.1, beta=0), lambda ps: rules.SGD(ps, 0.1)),
    (lambda ps: rules.ASGD(ps, 0.1, lambd=0), lambda ps: rules.SGD(ps, 0.1)),
    (lambda ps: rules.NoisySGD(ps, 0.1, eta=0), lambda ps: rules.SGD(ps, 0.1)),
    (lambda ps: rules.SGDP(ps, 0.1, 0.9, delta=0), lambda ps: rules.SGD(ps, 0.1, 0.9)),
    (lambda ps: rules.NAG(ps, 0.1, 0, lookahead=True), lambda ps: rules.SGD(ps, 0.1)),
], ids=lambda make: None)
def test_identities(a, b):
    same(a, b)


# ---- SGDW ----
def test_decoupled_decay_shrinks_and_leaves_the_momentum_alone():
    w = Parameter(np.array([1.0, -2.0]))
    optimizer = rules.SGDW([w], lr=0.5, momentum=0.9, weight_decay=0.1)
    for _ in range(5):
        w.grad = Tensor(np.zeros(2))
        optimizer.step()
    np.testing.assert_allclose(w.data, np.array([1.0, -2.0]) * (1 - 0.5 * 0.1) ** 5, 1e-15)
    assert not optimizer.state[w]["v"].any()


# ---- NAG, the true lookahead ----
def slope(optimizer, params, centre=1.0):
    """A closure with the gradients of sum (w - centre)^4 / 4 of all params, and what it saw the weights to be."""
    seen = []

    def closure():
        seen.append([p.data.copy() for p in params])
        for p in params:
            p.grad = Tensor((p.data - centre) ** 3)
        return sum(float(((p.data - centre) ** 4).sum()) / 4 for p in params)
    return closure, seen


@pytest.mark.parametrize("kwargs", [{}, {"weight_decay": 0.3}])
def test_the_shifted_form_walks_where_the_lookahead_looks(kwargs):
    a, b = weights(), weights()
    ahead, shifted = rules.NAG(a, 0.02, 0.9, lookahead=True, **kwargs), rules.NAG(b, 0.02, 0.9, **kwargs)
    closure, seen = slope(ahead, a)
    for step in range(12):
        before = [p.data.copy() for p in b]
        loss = ahead.step(closure)
        other, _ = slope(shifted, b)
        assert shifted.step(other) == pytest.approx(loss, rel=1e-10)
        for p, q, at, was in zip(a, b, seen[step], before):
            np.testing.assert_allclose(at, was, 1e-10, 1e-12)  # the gradients were taken at the same points
            np.testing.assert_allclose(p.data + 0.9 * ahead.state[p]["v"], q.data, 1e-10, 1e-12)


def test_lookahead_is_the_printed_formula():
    w, v = 2.0, 0.0
    p = Parameter(np.array(w))
    optimizer = rules.NAG([p], 0.05, 0.8, lookahead=True)
    closure, _ = slope(optimizer, [p])
    for _ in range(12):
        optimizer.step(closure)
        v = 0.8 * v - 0.05 * (w + 0.8 * v - 1) ** 3
        w = w + v
        assert p.item() == pytest.approx(w, rel=1e-13)


def test_lookahead_puts_the_weights_back_to_the_bit():
    p, other = weights(shapes=[(3,), (2,)])
    optimizer = rules.NAG([p, other], 0.1, lookahead=True)
    closure, _ = slope(optimizer, [p, other])
    optimizer.step(closure)
    before, array, seen = p.data.copy(), p.data, []

    def broken():
        seen.append(p.data.copy())
        raise RuntimeError("no batch left")
    with pytest.raises(RuntimeError, match="no batch left"):
        optimizer.step(broken)
    assert np.array_equal(p.data, before) and p.data is array and not np.array_equal(seen[0], before)

    def only_other():
        p.grad = None
        other.grad = Tensor(np.ones(2))
    optimizer.step(only_other)
    assert np.array_equal(p.data, before)
    with pytest.raises(ValueError, match=r"lookahead=True .* step\(closure\)"):
        optimizer.step()


# ---- ASGD ----
def test_the_average_is_that_of_the_path_from_t0_on():
    ps = weights()
    optimizer = rules.ASGD(ps, 0.1, lambd=0.05, alpha=0.75, t0=3)
    path = walk(optimizer, ps, range(9))
    mean = np.concatenate([optimizer.state[p]["ax"].ravel() for p in ps])
    np.testing.assert_allclose(mean, path[4:].mean(axis=0), 1e-12, 1e-14)  # w after the 5th step is the first of them
    assert np.array_equal(path[-1], np.concatenate([p.data.ravel() for p in ps]))


def test_asgd_against_its_formula():
    p = weights(shapes=[(1,)])
    w, found = p[0].item(), walk(rules.ASGD(p, 0.1, 0.3, 0.5), p, range(12))
    for t in range(1, 13):
        eta = 0.1 / math.sqrt(1 + 0.3 * 0.1 * (t - 1))
        w = w - eta * np.random.default_rng(99 + t).standard_normal(1)[0] - eta * 0.3 * w
        assert found[t - 1, 0] == pytest.approx(w, rel=1e-12)


# ---- noise ----
def test_noise_has_the_papers_variance_and_dies_away():
    w = Parameter(np.zeros(100_000))
    optimizer = rules.NoisySGD([w], lr=1.0, eta=0.5, gamma=0.8, generator=np.random.default_rng(3))
    for t in range(1, 6):
        w.data = np.zeros(100_000)
        w.grad = Tensor(np.full(100_000, 2.0))
        optimizer.step()
        assert w.data.mean() == pytest.approx(-2, abs=0.01)
        assert w.data.var() == pytest.approx(0.5 / t ** 0.8, rel=0.02)


def test_noise_comes_from_the_generator_and_is_new_for_each_weight_and_step():
    def noise(generator=None):
        ps = [Parameter(np.zeros(4)), Parameter(np.zeros(4))]
        optimizer = rules.NoisySGD(ps, lr=1.0, generator=generator)
        steps = []
        for _ in range(2):
            for p in ps:
                p.data, p.grad = np.zeros(4), Tensor(np.zeros(4))
            optimizer.step()
            steps += [p.data.copy() for p in ps]
        return np.array(steps)
    found = noise(np.random.default_rng(1))
    assert np.array_equal(found, noise(np.random.default_rng(1)))
    assert len(np.unique(found)) == found.size and not np.array_equal(found, noise(np.random.default_rng(2)))
    random.manual_seed(5)
    first = noise()
    random.manual_seed(5)
    assert np.array_equal(first, noise())


# ---- AccSGD, PID, optimism ----
def test_accsgd_is_the_algorithm_of_kidambi():
    """Algorithm 3 of the paper, with its names: w_bar is the running average."""
    delta, kappa, xi, c = 0.05, 40.0, 3.0, 0.7
    alpha = 1 - c ** 2 * xi / kappa
    p = weights(shapes=[(1,)])
    w = w_bar = p[0].item()
    found = walk(rules.AccSGD(p, delta, kappa, xi, c), p, range(12))
    for t in range(12):
        g = np.random.default_rng(100 + t).standard_normal(1)[0]
        w_bar = alpha * w_bar + (1 - alpha) * (w - kappa * delta / c * g)
        w = c / (c + (1 - alpha)) * (w - delta * g) + (1 - alpha) / (c + (1 - alpha)) * w_bar
        assert found[t, 0] == pytest.approx(w, rel=1e-12)


def test_pid_against_its_formula():
    p = weights(shapes=[(1,)])
    w, i, d, last = p[0].item(), None, 0.0, None
    found = walk(rules.PID(p, 0.01, 0.8, 0.3, integral=4, derivative=7), p, range(12))
    for t in range(12):
        g = np.random.default_rng(100 + t).standard_normal(1)[0]
        i = g if i is None else 0.8 * i + (1 - 0.3) * g
        d = 0.8 * d + (1 - 0.8) * (0 if last is None else g - last)
        last = g
        w -= 0.01 * (g + 4 * i + 7 * d)
        assert found[t, 0] == pytest.approx(w, rel=1e-12)


def test_a_constant_gradient_has_no_d():
    w, v = Parameter(np.zeros(1)), Parameter(np.zeros(1))
    a, b = rules.PID([w], 0.1, derivative=10.0), rules.PID([v], 0.1, derivative=0.0)
    for _ in range(4):
        w.grad = v.grad = Tensor(np.ones(1))
        a.step(), b.step()
        assert w.item() == v.item()
    assert not a.state[w]["d"].any()


def test_optimism_settles_a_game_that_gradient_descent_loses():
    """min over x, max over y of x y: its solution is (0, 0)."""
    def play(rule):
        x, y = Parameter(np.ones(())), Parameter(np.ones(()))
        optimizer = rule([{"params": x}, {"params": y, "maximize": True}], lr=0.1)
        for _ in range(1000):
            x.grad, y.grad = Tensor(y.data.copy()), Tensor(x.data.copy())
            optimizer.step()
        return math.hypot(x.item(), y.item())
    assert play(rules.OptimisticGD) < 0.1 < 100 < play(rules.SGD)


def test_the_slowest_momentum_of_aggmo_is_damped_by_the_others():
    def last(make):
        w = Parameter(np.array(1.0))
        optimizer = make([w])
        for _ in range(300):
            w.grad = Tensor(w.data.copy())
            optimizer.step()
        return abs(w.item())
    assert last(lambda ps: rules.AggMo(ps, 0.1, (0, 0.9, 0.999))) < last(lambda ps: rules.AggMo(ps, 0.1, (0.999,))) / 5


# ---- SGDP ----
def projected(w, g, step, delta, eps=1e-8):
    """The paper's projection, channel-wise or else layer-wise, in loops; and whether it acted."""
    for rows in (list(w), [w]) if w.ndim > 1 else ():
        grads = list(g) if len(rows) > 1 or rows[0] is not w else [g]
        cosines = [abs((a * b).sum()) / (math.sqrt((a * a).sum()) + eps) / (math.sqrt((b * b).sum()) + eps)
                   for a, b in zip(rows, grads)]
        if max(cosines) < delta / math.sqrt(rows[0].size):
            out = []
            for a, s in zip(rows, list(step) if rows[0] is not w else [step]):
                u = a / (math.sqrt((a * a).sum()) + eps)
                out.append(s - u * (u * s).sum())
            return (np.array(out) if rows[0] is not w else out[0]), True
    return step, False


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("delta", [0.1, 0.6, 1.0, 1.5])
def test_sgdp_against_the_paper(nesterov, delta):
    ps = weights()
    ws, vs = [p.data.copy() for p in ps], [0.0 * p.data for p in ps]
    found = walk(rules.SGDP(ps, 0.1, 0.9, 0.2, weight_decay=0.05, delta=delta, nesterov=nesterov), ps, range(12))
    acted = []
    for t in range(12):
        rng = np.random.default_rng(100 + t)
        for k, w in enumerate(ws):
            g = np.asarray(rng.standard_normal(w.shape))
            vs[k] = 0.9 * vs[k] + 0.8 * g
            step, acts = projected(w, g, g + 0.9 * vs[k] if nesterov else vs[k], delta)
            acted.append(acts)
            ws[k] = w * (1 - 0.1 * 0.05 / (1 - 0.9) * (0.1 if acts else 1)) - 0.1 * step
        np.testing.assert_allclose(found[t], np.concatenate([w.ravel() for w in ws]), 1e-11, 1e-13)
    assert any(acted) and not all(acted)


def test_where_sgdp_projects_the_weights_do_not_grow_to_first_order():
    w = Parameter(np.random.default_rng(0).standard_normal((3, 8)))
    optimizer = rules.SGDP([w], lr=1e-6, momentum=0.9, delta=10.0)
    for seed in range(3):
        before = w.data.copy()
        w.grad = Tensor(np.random.default_rng(seed).standard_normal((3, 8)))
        optimizer.step()
        np.testing.assert_allclose(((w.data - before) * before).sum(axis=1), 0, atol=1e-12)  # not to 1e-6


# ---- what is refused ----
@pytest.mark.parametrize("make, message", [
    (lambda w: rules.GD(w, lr=-1), "GD: lr must be finite and at least 0, got -1"),
    (lambda w: rules.SGDW(w, nesterov=True), "SGDW: nesterov needs momentum > 0"),
    (lambda w: rules.AggMo(w, betas=()), r"AggMo: betas must be one number in \[0, 1\) or several, got \(\)"),
    (lambda w: rules.AggMo(w, betas=(0.5, 1.0)), r"got \(0.5, 1.0\)"),
    (lambda w: rules.AccSGD(w, xi=0), r"small_const\^2 xi must be in \(0, kappa\], got small_const=0.7, xi=0"),
    (lambda w: rules.AccSGD(w, kappa=4), r"in \(0, kappa\], .* kappa=4"),
    (lambda w: rules.SGDP(w, momentum=1.0), r"momentum must be in \[0, 1\), got 1.0"),
    (lambda w: rules.NoisySGD(w, eta=-1), "eta must be finite and at least 0, got -1"),
    (lambda w: rules.QHM(w, nu=math.nan), "nu must be finite and at least 0, got nan"),
])
def test_hyper_parameters_out_of_range(make, message):
    with pytest.raises(ValueError, match=message):
        make(weights())
