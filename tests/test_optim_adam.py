"""Adam and its variants: each against its paper in scalar loops, the identities between them, special cases."""

from __future__ import annotations

import math

import numpy as np
import pytest
from descent import STEPS, close, gradients, path, run, weights

from minigrad import Parameter, Tensor
from minigrad.optim import SGD, RMSprop
from minigrad.optim.adam import Adam, Adamax, AdamaxW, AdamW, AMSGrad, NAdam, NAdamW, RAdam, SparseAdam
from minigrad.optim.adam_variants import (
    ADOPT,
    SWATS,
    AcProp,
    AdaBelief,
    AdaBound,
    AdaMod,
    AdamP,
    Adan,
    AdEMAMix,
    AMSBound,
    Apollo,
    DiffGrad,
    OptimisticAdam,
    QHAdam,
    SimplifiedAdEMAMix,
    Yogi,
)

CLASSES = (Adam, AdamW, AMSGrad, Adamax, AdamaxW, NAdam, NAdamW, RAdam, SparseAdam, AdaBelief, AcProp, Yogi, ADOPT,
           Apollo, AdaBound, AMSBound, AdaMod, DiffGrad, AdamP, SWATS, QHAdam, OptimisticAdam, Adan, AdEMAMix,
           SimplifiedAdEMAMix)
every = pytest.mark.parametrize("cls", CLASSES)


# ---- the papers, one weight at a time: w, its gradients, lr, betas, eps, weight decay ----
def adam(w, gs, lr, betas, eps, wd, amsgrad=None, hat=False, decoupled=False):
    m = v = top = 0.0
    for t, g in enumerate(gs, 1):
        w, g = (w - lr * wd * w, g) if decoupled else (w, g + wd * w)
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g ** 2
        c1, c2 = 1 - betas[0] ** t, 1 - betas[1] ** t
        top = max(top, v / c2 if amsgrad == "before" else v)
        if amsgrad == "none":
            w -= lr * m / (math.sqrt(top) + eps)
        elif amsgrad == "before":
            w -= lr * (m / c1) / (math.sqrt(top) + eps)
        elif hat:
            w -= lr * math.sqrt(c2) / c1 * m / (math.sqrt(top if amsgrad else v) + eps)
        else:
            w -= lr * (m / c1) / (math.sqrt((top if amsgrad else v) / c2) + eps)
    return w


def adamax(w, gs, lr, betas, eps, wd):
    m = u = 0.0
    for t, g in enumerate(gs, 1):
        g += wd * w
        m = betas[0] * m + (1 - betas[0]) * g
        u = max(betas[1] * u, abs(g) + eps)
        w -= lr / (1 - betas[0] ** t) * m / u
    return w


def nadam(w, gs, lr, betas, eps, wd, psi=0.004):
    def mu(t):
        return betas[0] * (1 - 0.5 * 0.96 ** (t * psi))
    m = v = 0.0
    for t, g in enumerate(gs, 1):
        g += wd * w
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g ** 2
        now, following = math.prod(mu(i) for i in range(1, t + 1)), math.prod(mu(i) for i in range(1, t + 2))
        top = mu(t + 1) * m / (1 - following) + (1 - mu(t)) * g / (1 - now)
        w -= lr * top / (math.sqrt(v / (1 - betas[1] ** t)) + eps)
    return w


def radam(w, gs, lr, betas, eps, wd, threshold=5):
    m = v = 0.0
    most = 2 / (1 - betas[1]) - 1
    for t, g in enumerate(gs, 1):
        g += wd * w
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g ** 2
        rho = most - 2 * t * betas[1] ** t / (1 - betas[1] ** t)
        if rho > threshold:
            r = math.sqrt((rho - 4) * (rho - 2) * most / ((most - 4) * (most - 2) * rho))
            w -= lr * r * m / (1 - betas[0] ** t) * math.sqrt(1 - betas[1] ** t) / (math.sqrt(v) + eps)
        else:
            w -= lr * m / (1 - betas[0] ** t)
    return w


def adabelief(w, gs, lr, betas, eps, wd):
    m = s = 0.0
    for t, g in enumerate(gs, 1):
        g += wd * w
        m = betas[0] * m + (1 - betas[0]) * g
        s = betas[1] * s + (1 - betas[1]) * (g - m) ** 2 + eps
        w -= lr * m / (1 - betas[0] ** t) / (math.sqrt(s / (1 - betas[1] ** t)) + eps)
    return w


def acprop(w, gs, lr, betas, eps, wd):
    m = s = 0.0
    for t, g in enumerate(gs, 1):
        g += wd * w
        w -= lr * g / (math.sqrt(s / (1 - betas[1] ** (t - 1))) + eps if t > 1 else 1)
        m = betas[0] * m + (1 - betas[0]) * g
        s = betas[1] * s + (1 - betas[1]) * (g - m) ** 2 + eps
    return w


def yogi(w, gs, lr, betas, eps, wd):
    m = v = 1e-6
    for t, g in enumerate(gs, 1):
        g += wd * w
        m = betas[0] * m + (1 - betas[0]) * g
        v -= (1 - betas[1]) * ((v > g * g) - (v < g * g)) * g * g
        w -= lr * m / (1 - betas[0] ** t) / (math.sqrt(v / (1 - betas[1] ** t)) + eps)
    return w


def adopt(w, gs, lr, betas, eps, wd, clip=True):
    m, v = 0.0, (gs[0] + wd * w) ** 2
    for t, g in enumerate(gs[1:], 1):
        g += wd * w
        d = g / max(math.sqrt(v), eps)
        m = betas[0] * m + (1 - betas[0]) * (max(-t ** 0.25, min(t ** 0.25, d)) if clip else d)
        w -= lr * m
        v = betas[1] * v + (1 - betas[1]) * g * g
    return w


def adabound(w, gs, lr, betas, eps, wd, ams=False):
    m = v = top = 0.0
    for t, g in enumerate(gs, 1):
        g += wd * w
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g ** 2
        top = max(top, v) if ams else v
        low, high = 0.1 * (1 - 1 / (1e-3 * t + 1)), 0.1 * (1 + 1 / (1e-3 * t))
        rate = lr * math.sqrt(1 - betas[1] ** t) / (1 - betas[0] ** t) / (math.sqrt(top) + eps)
        w -= min(max(rate, low), high) * m
    return w


def adamod(w, gs, lr, betas, eps, wd):
    m = v = s = 0.0
    for t, g in enumerate(gs, 1):
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g ** 2
        rate = lr * math.sqrt(1 - betas[1] ** t) / (1 - betas[0] ** t) / (math.sqrt(v) + eps)
        s = 0.999 * s + 0.001 * rate
        w = w - lr * wd * w - min(rate, s) * m
    return w


def diffgrad(w, gs, lr, betas, eps, wd):
    m = v = before = 0.0
    for t, g in enumerate(gs, 1):
        g += wd * w
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g ** 2
        xi = 1 / (1 + math.exp(-abs(before - g)))
        w -= lr * math.sqrt(1 - betas[1] ** t) / (1 - betas[0] ** t) * m * xi / (math.sqrt(v) + eps)
        before = g
    return w


def qhadam(w, gs, lr, betas, eps, wd, nus=(0.7, 0.8)):
    m = v = 0.0
    for t, g in enumerate(gs, 1):
        g += wd * w
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g ** 2
        top = (1 - nus[0]) * g + nus[0] * m / (1 - betas[0] ** t)
        w -= lr * top / (math.sqrt((1 - nus[1]) * g * g + nus[1] * v / (1 - betas[1] ** t)) + eps)
    return w


def optimistic(w, gs, lr, betas, eps, wd):
    m = v = 0.0
    before = None
    for t, g in enumerate(gs, 1):
        g += wd * w
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g ** 2
        d = m / (1 - betas[0] ** t) / (math.sqrt(v / (1 - betas[1] ** t)) + eps)
        w = w - 2 * lr * d + lr * (d if before is None else before)
        before = d
    return w


def adan(w, gs, lr, betas, eps, wd):
    """The paper's betas are 1 - these: m = (1 - b1) m + b1 g, the gradient g + (1 - b2) (g - before) is squared."""
    b1, b2, b3 = (1 - b for b in betas)
    m = v = n = 0.0
    before = gs[0]
    for t, g in enumerate(gs, 1):
        m = (1 - b1) * m + b1 * g
        v = (1 - b2) * v + b2 * (g - before)
        n = (1 - b3) * n + b3 * (g + (1 - b2) * (g - before)) ** 2
        top = m / (1 - (1 - b1) ** t) + (1 - b2) * v / (1 - (1 - b2) ** t)
        w = (w - lr * top / (math.sqrt(n / (1 - (1 - b3) ** t)) + eps)) / (1 + lr * wd)
        before = g
    return w


def ademamix(w, gs, lr, betas, eps, wd, alpha=5.0, warmup=None):
    fast = slow = v = 0.0
    for t, g in enumerate(gs, 1):
        a, b3 = alpha, betas[2]
        if warmup:
            a, one, end = min(alpha, alpha * t / warmup), math.log(betas[0]), math.log(betas[2])
            b3 = min(betas[2], math.exp(one * end / ((1 - t / warmup) * end + t / warmup * one)))
        fast = betas[0] * fast + (1 - betas[0]) * g
        slow = b3 * slow + (1 - b3) * g
        v = betas[1] * v + (1 - betas[1]) * g ** 2
        d = (fast / (1 - betas[0] ** t) + a * slow) / (math.sqrt(v / (1 - betas[1] ** t)) + eps)
        w -= lr * (d + wd * w)
    return w


def simplified(w, gs, lr, betas, eps, wd):
    m = v = 0.0
    for t, g in enumerate(gs, 1):
        m = betas[0] * m + g
        v = betas[1] * v + (1 - betas[1]) * g ** 2
        w -= lr * ((m + 0.5 * g) / (math.sqrt(v / (1 - betas[1] ** t)) + eps) + wd * w)
    return w


TWO, THREE = (0.8, 0.95), (0.8, 0.9, 0.95)
PAPERS = {
    "adam": (Adam, {}, adam, {}),
    "adam, epsilon hat": (Adam, {"epsilon_hat": True}, adam, {"hat": True}),
    "adam, amsgrad": (Adam, {"amsgrad": True}, adam, {"amsgrad": "after"}),
    "adam, keras' amsgrad": (Adam, {"amsgrad": True, "epsilon_hat": True}, adam, {"amsgrad": "after", "hat": True}),
    "adamw": (AdamW, {}, adam, {"decoupled": True}),
    "amsgrad": (AMSGrad, {}, adam, {"amsgrad": "after"}),
    "amsgrad, before": (AMSGrad, {"correction": "before"}, adam, {"amsgrad": "before"}),
    "amsgrad, none": (AMSGrad, {"correction": "none"}, adam, {"amsgrad": "none"}),
    "adamax": (Adamax, {}, adamax, {}),
    "nadam": (NAdam, {}, nadam, {}),
    "nadam, keras": (NAdam, {"momentum_decay": 1}, nadam, {"psi": 1}),
    "nadam, no schedule": (NAdam, {"momentum_decay": None}, nadam, {"psi": 1e9}),
    "radam": (RAdam, {}, radam, {}),
    "radam, paper": (RAdam, {"threshold": 4}, radam, {"threshold": 4}),
    "adabelief": (AdaBelief, {}, adabelief, {}),
    "acprop": (AcProp, {}, acprop, {}),
    "yogi": (Yogi, {}, yogi, {}),
    "adopt": (ADOPT, {}, adopt, {}),
    "adopt, no clip": (ADOPT, {"clip": False}, adopt, {"clip": False}),
    "adabound": (AdaBound, {}, adabound, {}),
    "amsbound": (AMSBound, {}, adabound, {"ams": True}),
    "adamod": (AdaMod, {}, adamod, {}),
    "diffgrad": (DiffGrad, {}, diffgrad, {}),
    "qhadam": (QHAdam, {"nus": (0.7, 0.8)}, qhadam, {}),
    "optimistic adam": (OptimisticAdam, {}, optimistic, {}),
    "adan": (Adan, {"betas": THREE}, adan, {}),
    "ademamix": (AdEMAMix, {"betas": THREE}, ademamix, {}),
    "ademamix, warmup": (AdEMAMix, {"betas": THREE, "warmup": 8}, ademamix, {"warmup": 8}),
    "simplified ademamix": (SimplifiedAdEMAMix, {"alpha": 0.5}, simplified, {}),
}


@pytest.mark.parametrize("eps, decay", [(1e-8, 0), (1e-2, 0), (1e-2, 0.1)])
@pytest.mark.parametrize("name", PAPERS)
def test_the_paper_one_weight_at_a_time(name, eps, decay):
    cls, ours, oracle, theirs = PAPERS[name]
    ours = {"betas": TWO, **ours}
    found = path(lambda ps: cls(ps, lr=0.05, eps=eps, weight_decay=decay, **ours))
    grads = [[g.ravel() for g in gradients(step)] for step in range(STEPS)]
    for i, (w, end) in enumerate(zip(weights(), found)):
        expected = [oracle(float(x), [float(g[i][j]) for g in grads], 0.05, ours["betas"], eps, decay, **theirs)
                    for j, x in enumerate(w.data.ravel())]
        np.testing.assert_allclose(end.ravel(), expected, 1e-11, 1e-13)


# ---- rules of whole tensors ----
@pytest.mark.parametrize("decay", [0, 0.1])
def test_apollo_is_its_algorithm(decay):
    lr, beta, eps = 0.05, 0.9, 1e-2
    found = path(lambda ps: Apollo(ps, lr, beta, eps, decay))
    for i, p in enumerate(weights()):
        w = p.data.copy()
        m = B = d = np.zeros(w.shape)
        for t in range(STEPS):
            g = gradients(t)[i] + decay * w
            new = (beta * (1 - beta ** t) * m + (1 - beta) * g) / (1 - beta ** (t + 1))
            alpha = (np.sum(d * (new - m)) + np.sum(d * B * d)) / (np.sum(d ** 4) ** 0.25 + eps) ** 4
            B = B - alpha * d ** 2
            m, d = new, new / np.maximum(np.abs(B), 1)
            w = w - lr * d
        np.testing.assert_allclose(found[i], w, 1e-11, 1e-13)


@pytest.mark.parametrize("delta", [0.1, 1.0, 5.0])
@pytest.mark.parametrize("nesterov", [False, True])
def test_adamp_is_its_algorithm(delta, nesterov):
    lr, (b1, b2), eps, decay, ratio = 0.05, TWO, 1e-2, 0.1, 0.3
    found = path(lambda ps: AdamP(ps, lr, TWO, eps, decay, delta, ratio, nesterov))
    for i, p in enumerate(weights()):
        w = p.data.copy()
        m = v = np.zeros(w.shape)
        for t in range(1, STEPS + 1):
            g = gradients(t - 1)[i]
            m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
            step = (b1 * m + (1 - b1) * g if nesterov else m) / (np.sqrt(v / (1 - b2 ** t)) + eps)
            factor = 1
            for view in ([(k,) for k in range(len(w))], [(...,)]) if w.ndim > 1 else ():
                cosines = [abs(np.sum(g[k] * w[k])) / (np.linalg.norm(g[k]) + eps) / (np.linalg.norm(w[k]) + eps)
                           for k in view]
                if max(cosines) < delta / math.sqrt(w[view[0]].size):
                    for k in view:
                        unit = w[k] / (np.linalg.norm(w[k]) + eps)
                        step[k] = step[k] - unit * np.sum(unit * step[k])
                    factor = ratio
                    break
            w = w * (1 - lr * decay * factor) - lr / (1 - b1 ** t) * step
        np.testing.assert_allclose(found[i], w, 1e-11, 1e-13)


def test_adamp_steps_along_the_sphere_where_the_gradient_does():
    w = Parameter(np.array([[3.0, 0.0], [0.0, 2.0]]))
    optimizer = AdamP([w], lr=0.1, betas=(0.9, 0.999), eps=1e-12)
    w.grad = Tensor(np.array([[0.0, 1.0], [-4.0, 0.0]]))
    optimizer.step()
    np.testing.assert_allclose(w.data, [[3, -0.1], [0.1, 2]], 1e-9)
    w.grad = Tensor(w.data * np.array([[1.0, 3.0], [2.0, 1.0]]))  # along w: no projection, plain Adam
    other = Parameter(w.data.copy())
    plain = Adam([other], lr=0.1, eps=1e-12)
    plain.state[other] = {k: v.copy() if k != "step" else v for k, v in optimizer.state[w].items()}
    other.grad = w.grad
    optimizer.step()
    plain.step()
    np.testing.assert_allclose(w.data, other.data, 1e-12)


def swats(w, grads, lr, betas, eps, tolerance):
    """All weights are one vector w. Returns where it goes, and the rate and the step at which SGD took over."""
    b1, b2 = betas
    m, a, average, rate, at = np.zeros(len(w)), np.zeros(len(w)), 0.0, None, None
    for k, g in enumerate(grads, 1):
        if rate is not None:
            m = b1 * m + g
            w = w - (1 - b1) * rate * m
            continue
        m, a = b1 * m + (1 - b1) * g, b2 * a + (1 - b2) * g * g
        p = -lr * math.sqrt(1 - b2 ** k) / (1 - b1 ** k) * m / (np.sqrt(a) + eps)
        w = w + p
        if p @ g != 0:
            gamma = p @ p / -(p @ g)
            average = b2 * average + (1 - b2) * gamma
            if k > 1 and average > 0 and abs(average / (1 - b2 ** k) - gamma) < tolerance:
                rate, at, m = average / (1 - b2 ** k), k, np.zeros(len(w))
    return w, rate, at


def steady(optimizer, params, steps):
    """Gradients that hardly change, of which SGD's rate can be learned."""
    for step in steps:
        for p, g in zip(params, gradients(4 * step + 1)):
            p.grad = Tensor(np.sign(p.data) + g)
        optimizer.step()
    return np.concatenate([p.data.ravel() for p in params])


@pytest.mark.parametrize("tolerance", [1e-9, 1e-5, 1e-4])
def test_swats_is_its_algorithm_and_switches(tolerance):
    params = weights()
    start = np.concatenate([p.data.ravel() for p in params])
    optimizer = SWATS(params, 0.001, TWO, tolerance=tolerance)
    found = steady(optimizer, params, range(20))
    grads = [np.sign(start) + np.concatenate([g.ravel() for g in gradients(4 * t + 1)]) for t in range(20)]
    expected, rate, at = swats(start, grads, 0.001, TWO, 1e-9, tolerance)
    np.testing.assert_allclose(found, expected, 1e-11)
    assert np.array_equal(np.sign(found), np.sign(start))  # or the gradients were others
    assert (at is None) == (tolerance == 1e-9)
    if rate is not None:
        assert 2 <= at < 18 and optimizer.common["sgd"] and optimizer.lr == pytest.approx(rate, rel=1e-12)


def test_swats_skips_what_it_cannot_divide_and_resumes_around_the_switch():
    w = Parameter(np.ones(2))
    optimizer = SWATS([w])
    for _ in range(3):
        w.grad = Tensor(np.zeros(2))
        optimizer.step()
    assert w.data.tolist() == [1, 1] and not optimizer.common
    for cut in range(1, 12):
        whole, part = weights(), weights()
        expected = steady(SWATS(whole, 1e-3, TWO, tolerance=1e-5), whole, range(14))
        first = SWATS(part, 1e-3, TWO, tolerance=1e-5)
        steady(first, part, range(cut))
        second = SWATS(part, 1e-3, TWO, tolerance=1e-5)
        second.load_state_dict(first.state_dict())
        assert np.array_equal(steady(second, part, range(cut, 14)), expected)


@pytest.mark.parametrize("eps", [1e-8, 1e-2])
def test_sparse_adam_is_adam_of_the_rows_that_have_a_gradient(eps):
    rng = np.random.default_rng(0)
    w = Parameter(rng.standard_normal((5, 3)))
    optimizer, expected = SparseAdam([w], 0.05, TWO, eps), w.data.copy()
    m, v = np.zeros((5, 3)), np.zeros((5, 3))
    for t in range(1, STEPS + 1):
        rows, g = rng.choice(5, 2, replace=False), np.zeros((5, 3))
        g[rows] = rng.standard_normal((2, 3))
        g[rows[0], 1] = 0  # a zero in a row that has others is a gradient
        for i in rows:
            m[i], v[i] = 0.8 * m[i] + 0.2 * g[i], 0.95 * v[i] + 0.05 * g[i] ** 2
            expected[i] -= 0.05 * math.sqrt(1 - 0.95 ** t) / (1 - 0.8 ** t) * m[i] / (np.sqrt(v[i]) + eps)
        w.grad, before = Tensor(g), w.data.copy()
        optimizer.step()
        others = np.setdiff1d(range(5), rows)
        assert np.array_equal(w.data[others], before[others])
    np.testing.assert_allclose(w.data, expected, 1e-12)


def test_sparse_adam_of_dense_gradients_is_adam():
    close(path(lambda ps: SparseAdam(ps, 0.05, eps=1e-2), shapes=((), (3,), (2, 3, 2, 2))),
          path(lambda ps: Adam(ps, 0.05, eps=1e-2, epsilon_hat=True), shapes=((), (3,), (2, 3, 2, 2))))


# ---- identities ----
SAME = {
    "AdamW without decay": (lambda ps: AdamW(ps, 0.05, weight_decay=0), lambda ps: Adam(ps, 0.05)),
    "AdamaxW without decay": (lambda ps: AdamaxW(ps, 0.05, weight_decay=0), lambda ps: Adamax(ps, 0.05)),
    "NAdamW": (lambda ps: NAdamW(ps, 0.05, weight_decay=0.1),
               lambda ps: NAdam(ps, 0.05, weight_decay=0.1, decoupled_weight_decay=True)),
    "QHAdam(1, 1)": (lambda ps: QHAdam(ps, 0.05, eps=1e-2, weight_decay=0.1),
                     lambda ps: Adam(ps, 0.05, eps=1e-2, weight_decay=0.1)),
    "AMSGrad": (lambda ps: AMSGrad(ps, 0.05, TWO), lambda ps: Adam(ps, 0.05, TWO, amsgrad=True)),
    "OptimisticAdam without optimism": (lambda ps: OptimisticAdam(ps, 0.05, beta=0.0), lambda ps: Adam(ps, 0.05)),
    "OptimisticAdam, Nesterov": (lambda ps: OptimisticAdam(ps, 0.05, beta=0.0, nesterov=True),
                                 lambda ps: NAdam(ps, 0.05, momentum_decay=None)),
    "AdEMAMix(alpha=0)": (lambda ps: AdEMAMix(ps, 0.05, alpha=0.0), lambda ps: Adam(ps, 0.05)),
    "AdaBound, bounds closed": (lambda ps: AdaBound(ps, 1e-3, final_lr=0.1, gamma=1e30),
                                lambda ps: SGD(ps, 0.1 * 0.1, momentum=0.9)),
    "AdaBound, bounds open": (lambda ps: AdaBound(ps, 1e-3, gamma=1e-30, eps=1e-2),
                              lambda ps: Adam(ps, 1e-3, eps=1e-2, epsilon_hat=True)),
    "AdaMod(beta3=0)": (lambda ps: AdaMod(ps, 0.05, beta3=0.0, eps=1e-2),
                        lambda ps: Adam(ps, 0.05, eps=1e-2, epsilon_hat=True)),
    "AdamP that never projects": (lambda ps: AdamP(ps, 0.05, weight_decay=0.1, delta=0.0),
                                  lambda ps: AdamW(ps, 0.05, weight_decay=0.1)),
    "RAdam that never divides": (lambda ps: RAdam(ps, 0.01, threshold=1e9), lambda ps: debiased(ps, 0.01)),
}


class debiased(Adam):
    """The average of the gradients, corrected, and no denominator."""

    @staticmethod
    def update(w, g, m, v, v_max, lr, beta1, t):
        m += (1 - beta1) * (g - m)
        w -= lr / (1 - beta1 ** t) * m


@pytest.mark.parametrize("name", SAME)
def test_identities(name):
    ours, others = SAME[name]
    close(path(ours), path(others))


def test_adam_without_momentum_is_rmsprop_with_bias_correction():
    v, found = 0.0, path(lambda ps: Adam(ps, 0.05, (0.0, 0.9), 1e-2))
    w = weights()[2].data.copy()
    for t in range(1, STEPS + 1):
        g = gradients(t - 1)[2]
        v = 0.9 * v + 0.1 * g * g
        w -= 0.05 * g / (np.sqrt(v / (1 - 0.9 ** t)) + 1e-2)
    np.testing.assert_allclose(found[2], w, 1e-12)


def test_radam_becomes_adam():
    a, b = weights(), weights()
    radam, adam = RAdam(a, 0.05, eps=1e-2), Adam(b, 0.05, eps=1e-2, epsilon_hat=True)
    for optimizer, params in ((radam, a), (adam, b)):
        run(optimizer, params, [0])
        for p, q in zip(params, weights()):
            p.data[...] = q.data
            optimizer.state[p]["step"] = 10 ** 6
    close(run(radam, a), run(adam, b))


def test_radam_of_few_squares_is_sgd_and_then_not():
    rhos = [1999 - 2 * t * 0.999 ** t / (1 - 0.999 ** t) for t in range(1, 8)]
    assert rhos[4] < 5 < rhos[5]  # the sixth step is the first adaptive one
    big, small = (path(lambda ps: RAdam(ps, 1e-3), 5, scale=c) for c in (100, 1))
    start = [p.data for p in weights()]
    close([b - s for b, s in zip(big, start)], [100 * (x - s) for x, s in zip(small, start)], 1e-9)


@pytest.mark.parametrize("make", [
    lambda ps: Adam(ps, 0.05, eps=0.0), lambda ps: AMSGrad(ps, 0.05, eps=0.0), lambda ps: NAdam(ps, 0.05, eps=0.0),
    lambda ps: Adamax(ps, 0.05, eps=0.0), lambda ps: AdaBelief(ps, 0.05, eps=0.0), lambda ps: Adan(ps, 0.05, eps=0.0),
    lambda ps: AdEMAMix(ps, 0.05, eps=0.0), lambda ps: ADOPT(ps, 0.05, eps=0.0), lambda ps: QHAdam(ps, 0.05, eps=0.0)])
def test_the_scale_of_the_gradients_does_not_matter(make):
    shapes = ((), (3,), (2, 3, 2, 2))
    close(path(make, shapes=shapes, scale=1024.0), path(make, shapes=shapes), 1e-11)


def test_amsgrads_denominator_only_grows():
    for how in ("after", "before", "none"):
        params = weights()
        optimizer, before = AMSGrad(params, correction=how), 0
        for step in range(STEPS):
            run(optimizer, params, [step])
            now = optimizer.state[params[2]]["v_max"].copy()
            assert (now >= before).all()
            before = now


def test_amsgrad_stays_where_adam_leaves():
    """Reddi et al., section 3: f_t = C x every third step, else -x, on [-1, 1]: best is x = -1, and Adam goes to 1."""
    ends = {}
    for make in (lambda ps: Adam(ps, 0.01, (0.0, 1 / 17)), lambda ps: AMSGrad(ps, 0.01, (0.0, 1 / 17))):
        x = Parameter(np.zeros(1))
        optimizer = make([x])
        for t in range(3000):
            x.grad = Tensor(np.array([4.0 if t % 3 == 0 else -1.0]))
            optimizer.step()
            np.clip(x.data, -1, 1, out=x.data)
        ends[type(optimizer)] = x.item()
    assert ends[Adam] > 0.9 and ends[AMSGrad] < -0.9


def test_decoupled_decay_is_the_same_for_all_gradients():
    for cls in (AdamW, AdamaxW, NAdamW):
        w = Parameter(np.array([1.0, -2.0]))
        w.grad = Tensor(np.zeros(2))
        cls([w], lr=0.1, weight_decay=0.5).step()
        np.testing.assert_allclose(w.data, [0.95, -1.9], 1e-14)
    w = Parameter(np.array([1.0, -2.0]))
    w.grad = Tensor(np.zeros(2))
    Adam([w], lr=0.1, weight_decay=0.5).step()
    np.testing.assert_allclose(w.data, [0.9, -1.9], 1e-6)  # a gradient like any other: the step is lr
    prox, not_prox = (Parameter(np.ones(1)) for _ in range(2))
    for p, no_prox in ((prox, False), (not_prox, True)):
        p.grad = Tensor(np.zeros(1))
        Adan([p], lr=0.1, weight_decay=0.5, no_prox=no_prox).step()
    assert prox.item() == pytest.approx(1 / 1.05) and not_prox.item() == pytest.approx(0.95)


def test_adopts_first_step_only_looks():
    params = weights()
    found = run(ADOPT(params), params, [0])
    assert all(np.array_equal(f, p.data) for f, p in zip(found, weights()))


def test_adabounds_bounds_follow_a_schedule_of_lr():
    w, u = Parameter(np.array([1.0])), Parameter(np.array([1.0]))
    a, b = AdaBound([w], lr=1e-3, gamma=1e30), AdaBound([u], lr=1e-3, gamma=1e30)
    b.lr = 5e-4
    for p, optimizer in ((w, a), (u, b)):
        p.grad = Tensor(np.array([1.0]))
        optimizer.step()
    assert (1 - u.item()) / (1 - w.item()) == pytest.approx(0.5)
    again = AdaBound([u], lr=7e-2)
    again.load_state_dict(b.state_dict())
    assert again.param_groups[0]["base_lr"] == 1e-3


def test_optimism_ends_the_circling_of_two_players():
    def distance(make):
        x, y = Parameter(np.array([1.0])), Parameter(np.array([2.0]))
        optimizer = make([x, y])
        for _ in range(1024):  # x descends x y, y climbs it
            x.grad, y.grad = Tensor(y.data.copy()), Tensor(-x.data)
            optimizer.step()
        return math.hypot(x.item(), y.item())
    assert distance(lambda ps: Adam(ps, 0.01)) > 2
    assert distance(lambda ps: OptimisticAdam(ps, 0.01, beta=100.0, nesterov=True)) < 0.01


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
def test_zero_huge_and_nan_gradients(cls):
    w = Parameter(np.array([1.0, -2.0, 3.0]))
    optimizer = cls([w])
    for g in (np.zeros(3), np.zeros(3), np.full(3, 1e100), np.zeros(3)):
        w.grad = Tensor(g)
        with np.errstate(over="ignore", invalid="raise", divide="raise"):
            optimizer.step()
        assert np.isfinite(w.data).all()
    w.grad = Tensor(np.array([np.nan, 0, 0]))
    optimizer.step()
    if cls is not ADOPT:  # its bounds are np.clip's, which lets NaN through; and its denominator is old
        assert np.isnan(w.data[0])
    if cls is not Apollo:  # its curvature is the tensor's
        assert np.isfinite(w.data[1:]).all()


@every
def test_maximize_is_the_negated_gradient(cls):
    if cls is Yogi:  # whose m starts above zero
        pytest.skip("not odd in the gradient")
    up, down = weights(), weights()
    a = run(cls(up, maximize=True), up, range(3))
    b = run(cls(down), down, range(3), scale=-1.0)
    close(a, b)


@pytest.mark.parametrize("make, message", [
    (lambda ps: AMSGrad(ps, correction="both"), "AMSGrad: correction must be .* got 'both'"),
    (lambda ps: RAdam(ps, threshold=3), "RAdam: threshold must be at least 4, got 3"),
    (lambda ps: AdaBound(ps, gamma=0), "AdaBound: gamma must be positive, got 0"),
    (lambda ps: AdaBound(ps, lr=0), "AdaBound: the first lr must be positive, .* got 0"),
    (lambda ps: AMSBound(ps, gamma=-1), "AMSBound: gamma must be finite and at least 0, got -1"),
    (lambda ps: AdaMod(ps, beta3=1.0), r"AdaMod: beta3 must be in \[0, 1\), got 1.0"),
    (lambda ps: Apollo(ps, beta=1.0), r"Apollo: beta must be in \[0, 1\), got 1.0"),
    (lambda ps: Apollo(ps, eps=0.0), "Apollo: eps must be positive, got 0.0"),
    (lambda ps: QHAdam(ps, nus=(0.7, 1.5)), r"QHAdam: nus must be in \[0, 1\], got \(0.7, 1.5\)"),
    (lambda ps: Adan(ps, betas=(0.9, 0.9, 1.0)), r"Adan: betas must be in \[0, 1\)"),
])
def test_hyper_parameters_out_of_range(make, message):
    with pytest.raises(ValueError, match=message):
        make(weights())


@every
def test_unknown_arguments_are_refused(cls):
    with pytest.raises(TypeError):
        cls(weights(), learning_rate=0.1)


@pytest.mark.parametrize("kind", [Adam, RMSprop, RAdam, AdamW])
def test_an_overflow_stops_a_weight_and_makes_no_nan(kind):
    """g * g is infinite in float32: that weight has no step size left, as in PyTorch."""
    p = Parameter(np.ones(2, np.float32))
    optimizer = kind([p], lr=0.1)
    with np.errstate(over="ignore"):
        for g in ([1e30, 1.0], [1.0, 1.0], [1.0, 1.0]):
            p.grad = Tensor(np.array(g, np.float32))
            optimizer.step()
    assert np.isfinite(p.data).all()
