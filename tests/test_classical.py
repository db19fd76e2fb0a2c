"""optim.classical on problems whose solution is known: quadratics, lasso, simplex problems, finite sums."""

from __future__ import annotations

import itertools
import math
import warnings

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit

from minigrad import Parameter, Tensor, checkpoint, manual_seed, nn, train
from minigrad import functional as F
from minigrad.optim import SGD, GaLore, SkipNonFinite, WeightDecay, classical, clip_norm, freeze, unfreeze
from minigrad.optim.classical import (
    FISTA,
    ISTA,
    SAGA,
    SGLD,
    SVRG,
    BarzilaiBorwein,
    ConjugateGradient,
    FrankWolfe,
    MirrorDescent,
    ProjectedGradient,
    ProximalGradient,
    SteepestDescent,
)


def quadratic(n=6, condition=50.0, seed=0, dtype=np.float64):
    """f = w.A w / 2 - b.w as (A, b, the solution, a parameter, a closure)."""
    rng = np.random.default_rng(seed)
    q = np.linalg.qr(rng.standard_normal((n, n)))[0]
    a = q @ np.diag(np.geomspace(1, condition, n)) @ q.T
    a, b = ((a + a.T) / 2).astype(dtype), rng.standard_normal(n).astype(dtype)
    w = Parameter(rng.standard_normal(n).astype(dtype))
    return a, b, np.linalg.solve(a, b), w, lambda: (w @ (Tensor(a) @ w)) / 2 - Tensor(b) @ w


def rosenbrock(w):
    return (1 - w[0]) ** 2 + 100 * (w[1] - w[0] ** 2) ** 2


def with_backward(closure, optimizer):
    """The closure in the manner of other optimizers."""
    def run():
        optimizer.zero_grad()
        loss = closure()
        loss.backward()
        return loss
    return run


# ---- steepest descent ----
def test_exact_search_on_a_quadratic_is_cauchys_step():
    a, b, _, w, closure = quadratic()
    optimizer, x = SteepestDescent([w], search="exact"), w.data.copy()
    for _ in range(5):
        before = a @ x - b
        x = x - (before @ before) / (before @ a @ before) * before
        loss = optimizer.step(closure)
        assert isinstance(loss, Tensor)
        np.testing.assert_allclose(w.data, x, rtol=1e-11)
        assert abs((a @ x - b) @ before) < 1e-10, "the next gradient is perpendicular to this one"


def test_exact_search_zigzags_at_kantorovichs_rate():
    k = 20.0
    w = Parameter(np.array([k, 1.0]))
    f = lambda: (w[0] ** 2 + k * w[1] ** 2) / 2
    optimizer, losses = SteepestDescent([w], search="exact"), []
    for _ in range(10):
        losses.append(optimizer.step(f).item())
    np.testing.assert_allclose(np.divide(losses[1:], losses[:-1]), ((k - 1) / (k + 1)) ** 2, rtol=1e-9)


@pytest.mark.parametrize("search", classical.SEARCHES)
def test_every_search_fulfils_its_conditions_on_rosenbrock(search):
    w = Parameter(np.array([-1.2, 1.0]))
    def at(x):
        p = Tensor(x, requires_grad=True)
        f = rosenbrock(p)
        f.backward()
        return f.item(), p.grad.numpy()
    optimizer, first = SteepestDescent([w], search=search), None
    for _ in range(30):
        x = w.data.copy()
        optimizer.step(lambda: rosenbrock(w))
        (f, g), (f_new, g_new) = at(x), at(w.data)
        step = w.data - x
        assert f_new <= f + 1e-4 * (g @ step) + 1e-15, "enough decrease"
        np.testing.assert_allclose(np.cross(np.append(step, 0), np.append(g, 0))[2], 0, atol=1e-9 * (g @ g))
        if search == "wolfe":
            assert abs(g_new @ g) <= 0.9 * (g @ g) * (1 + 1e-9), "and flat enough"
        if search == "exact":
            assert abs(g_new @ g) <= 1e-4 * (g @ g)
        first = f if first is None else first
    assert f_new < 0.25 * first


def test_armijo_halves_from_lr_until_the_loss_falls_enough():
    w = Parameter(np.array([1.0]))
    optimizer = SteepestDescent([w], lr=1.0)
    optimizer.step(lambda: 4 * (w * w).sum())  # steps 1, 1/2, 1/4 go to -7, -3, -1: only 1/8 lowers the loss
    assert w.data[0] == 0
    assert optimizer.evaluations == 5
    assert classical.armijo(lambda a: (math.nan if a > 0.2 else -a, 0), 0.0, -1.0) == 0.125, "NaN goes on halving"
    assert classical.armijo(lambda a: (1.0, 0), 0.0, -1.0) == 0.0, "no decrease at all: stay"


def test_no_gradient_is_no_move_and_no_bound_is_told():
    for make in (SteepestDescent, ConjugateGradient):
        w = Parameter(np.zeros(3))
        make([w]).step(lambda w=w: (w * w).sum())
        assert (w.data == 0).all()
    w = Parameter(np.ones(1))
    with pytest.raises(ArithmeticError, match="falls without end"):
        SteepestDescent([w], search="exact").step(lambda: -(w * w).sum())


# ---- conjugate gradients ----
@pytest.mark.parametrize("beta", ["FR", "PR+"])
@pytest.mark.parametrize("n", [2, 5, 9])
def test_conjugate_gradients_end_after_n_steps_on_a_quadratic(beta, n):
    a, _, solution, w, closure = quadratic(n, condition=30.0)
    optimizer, directions = ConjugateGradient([w], beta=beta, search="exact"), []
    for _ in range(n):
        assert np.abs(w.data - solution).max() > 1e-6
        optimizer.step(closure)
        directions.append(optimizer.common["d"])
    np.testing.assert_allclose(w.data, solution, rtol=1e-8, atol=1e-10)
    d = np.array(directions) / np.linalg.norm(directions, axis=1, keepdims=True)
    conjugate = d @ a @ d.T
    assert np.abs(conjugate - np.diag(np.diag(conjugate))).max() < 1e-6


@pytest.mark.parametrize("beta", ["FR", "PR+"])
def test_conjugate_gradients_solve_rosenbrock_and_take_several_parameters(beta):
    x, y = Parameter(np.float64(-1.2)), Parameter(np.array([[1.0]]))
    optimizer = ConjugateGradient([x, y], beta=beta)
    closure = with_backward(lambda: ((1 - x) ** 2 + 100 * (y - x ** 2) ** 2).sum(), optimizer)
    for _ in range(60 if beta == "PR+" else 200):
        optimizer.step(closure)
    np.testing.assert_allclose([x.item(), y.item()], 1, atol=1e-5)


# ---- Barzilai and Borwein ----
@pytest.mark.parametrize("length", ["long", "short"])
def test_the_length_of_barzilai_and_borwein_is_the_secants(length):
    a, b, solution, w, closure = quadratic()
    optimizer, path = BarzilaiBorwein([w], lr=0.01, length=length), [w.data.copy()]
    for _ in range(4):
        optimizer.step(closure)
        path.append(w.data.copy())
    g = [a @ x - b for x in path]
    for t in range(1, 4):
        s, y = path[t] - path[t - 1], g[t] - g[t - 1]
        best = s @ s / (s @ y) if length == "long" else s @ y / (y @ y)
        np.testing.assert_allclose(path[t + 1], path[t] - best * g[t], rtol=1e-10)
        assert 1 / 50 * (1 - 1e-9) <= best <= 1 + 1e-9, "the inverse of a mean of the curvatures"
    for _ in range(150):
        optimizer.step(closure)
    np.testing.assert_allclose(w.data, solution, rtol=1e-8)
    assert optimizer.evaluations == 154, "one gradient a step"


def test_in_one_dimension_the_second_step_is_newtons():
    w = Parameter(np.array([3.0]))
    optimizer = BarzilaiBorwein([w], lr=0.01)
    for _ in range(2):
        optimizer.step(lambda: 5 * ((w - 1) ** 2).sum())
    np.testing.assert_allclose(w.data, 1, rtol=1e-12)


def test_barzilai_and_borwein_without_a_closure_and_against_negative_curvature():
    w = Parameter(np.array([1.0, 1.0]))
    optimizer, path = BarzilaiBorwein([w], lr=0.1), [w.data.copy()]
    for _ in range(2):
        optimizer.zero_grad()
        (w[0] ** 2 - 3 * w[1] ** 2).backward()
        assert optimizer.step() is None
        path.append(w.data.copy())
    s, h = path[1] - path[0], np.array([2.0, -6.0])
    assert optimizer.common["a"] == pytest.approx(np.linalg.norm(s) / np.linalg.norm(h * s)), "s.y < 0"
    assert np.allclose(path[2], path[1] - optimizer.common["a"] * h * path[1])
    w.grad = Tensor(np.zeros(2))
    for _ in range(3):
        optimizer.step()
    assert np.array_equal(w.data, path[2]), "no 0 / 0 where nothing changes"


def test_barzilai_and_borwein_find_rosenbrocks_minimum():
    for length, memory in (("long", 10), ("short", 0), ("short", 10)):
        w = Parameter(np.array([-1.2, 1.0]))
        optimizer, seen = BarzilaiBorwein([w], length=length, memory=memory), []
        for _ in range(200):
            seen.append(optimizer.step(lambda w=w: rosenbrock(w)).item())
            assert not memory or seen[-1] <= max(seen[-11:-1], default=np.inf)
        np.testing.assert_allclose(w.data, 1, atol=1e-6)
        assert any(b > a for a, b in itertools.pairwise(seen)), "the loss need not fall in every step"
    with pytest.raises(TypeError, match="needs a closure"):
        optimizer.step()


# ---- proximal gradient ----
def lasso(seed=0, m=30, n=12):
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((m, n))
    b = a[:, :3] @ np.array([2.0, -3.0, 1.0]) + 0.1 * rng.standard_normal(m)
    return a, b, Parameter(np.zeros(n)), float(np.linalg.eigvalsh(a.T @ a)[-1])


def kkt(a, b, w, weight):
    """How far from optimal: the gradient is -weight sign(w) where w != 0, and inside [-weight, weight] elsewhere."""
    g = a.T @ (a @ w - b)
    return np.where(w != 0, np.abs(g + weight * np.sign(w)), np.maximum(np.abs(g) - weight, 0)).max()


@pytest.mark.parametrize("make", [ISTA, lambda p, lr, weight: FISTA(p, lr, classical.prox_l1(weight))])
def test_lasso_fulfils_its_optimality_conditions_with_exact_zeros(make):
    a, b, w, curvature = lasso()
    optimizer = make([w], 1 / curvature, 5.0)
    closure = with_backward(lambda: ((Tensor(a) @ w - Tensor(b)) ** 2).sum() / 2, optimizer)
    for _ in range(600):
        optimizer.step(closure)
    assert kkt(a, b, w.data, 5.0) < 1e-7
    assert 3 <= np.count_nonzero(w.data) <= 7 and (w.data == 0).any()


def test_lasso_with_orthonormal_columns_is_one_soft_threshold():
    a = np.linalg.qr(np.random.default_rng(0).standard_normal((8, 4)))[0]
    b, w = np.arange(8.0), Parameter(np.zeros(4))
    optimizer = ISTA([w], lr=1.0, weight=0.7)
    optimizer.step(with_backward(lambda: ((Tensor(a) @ w - Tensor(b)) ** 2).sum() / 2, optimizer))
    c = a.T @ b
    np.testing.assert_allclose(w.data, np.sign(c) * np.maximum(np.abs(c) - 0.7, 0), rtol=1e-12)


def test_fista_is_its_paper_and_faster_than_ista():
    a, b, w, curvature = lasso(1, 40, 40)
    prox, lr, f = classical.prox_l1(0.1), 1 / curvature, lambda w: ((a @ w - b) ** 2).sum() / 2 + 0.1 * abs(w).sum()
    optimizer = FISTA([w], lr, prox)
    closure = with_backward(lambda: ((Tensor(a) @ w - Tensor(b)) ** 2).sum() / 2, optimizer)
    x = y = slow = np.zeros(40)
    t = 1.0
    for k in range(100):
        new = prox(y - lr * a.T @ (a @ y - b), lr)
        t_new = (1 + math.sqrt(1 + 4 * t * t)) / 2
        y, x, t = new + (t - 1) / t_new * (new - x), new, t_new
        slow = prox(slow - lr * a.T @ (a @ slow - b), lr)
        optimizer.step(closure)
        np.testing.assert_allclose(w.data, x, rtol=1e-9, atol=1e-12, err_msg=f"step {k}")
    for _ in range(30000):
        y = prox(y - lr * a.T @ (a @ y - b), lr)
    best = f(y)
    assert f(w.data) - best < 0.2 * (f(slow) - best)


@pytest.mark.parametrize(("project", "inside"), [
    (classical.project_box(-0.5, 0.2), lambda p: np.clip(p, -0.5, 0.2)),
    (classical.project_ball(1.5), lambda p: p * min(1, 1.5 / np.linalg.norm(p))),
    (classical.project_simplex(2.0), lambda p: np.abs(p) / np.abs(p).sum() * 2)])
def test_projections_are_the_nearest_points(project, inside):
    rng = np.random.default_rng(0)
    for _ in range(20):
        v = 2 * rng.standard_normal(5)
        p = project(v)
        np.testing.assert_allclose(inside(p), p, atol=1e-12)
        np.testing.assert_allclose(project(p), p, atol=1e-12)
        for _ in range(20):  # the angle to every other point of a convex set is obtuse
            assert (v - p) @ (inside(rng.standard_normal(5)) - p) <= 1e-12
    assert (project(np.zeros(5, np.float32)) >= 0).all()


def test_the_soft_threshold_minimizes_what_it_should():
    v = np.linspace(-2, 2, 41)
    w, grid = classical.prox_l1(0.5)(v, 0.8), np.linspace(-2, 2, 4001)
    best = grid[np.argmin((grid - v[:, None]) ** 2 / 2 + 0.4 * np.abs(grid), axis=1)]
    np.testing.assert_allclose(w, best, atol=1.1e-3)


def test_projected_gradient_solves_a_box_and_is_proximal_gradient():
    a, b, _, w, closure = quadratic()
    u = Parameter(w.data.copy())
    box = classical.project_box(-0.1, 0.1)
    optimizer = ProjectedGradient([w], 1 / 50, box)
    twin = ProximalGradient([u], 1 / 50, box)
    for _ in range(800):
        optimizer.step(with_backward(closure, optimizer))
        u.grad = Tensor(a @ u.data - b)
        twin.step()
        np.testing.assert_allclose(u.data, w.data, rtol=1e-10)
    g = a @ w.data - b
    free = np.abs(w.data) < 0.1
    assert np.abs(g[free]).max(initial=0) < 1e-8 and (g[~free] * w.data[~free] < 0).all() and 0 < free.sum() < 6


# ---- the simplex ----
def test_exponentiated_gradient_is_multiplicative_weights():
    p = np.array([0.2, 0.5, 0.3, 0.0])
    g = np.array([1.0, -2.0, 0.5, -9.0])
    w = Parameter(p.copy())
    w.grad = Tensor(g)
    MirrorDescent([w], lr=0.1).step()
    expected = [p[i] * math.exp(-0.1 * g[i]) for i in range(4)]
    np.testing.assert_allclose(w.data, np.array(expected) / sum(expected), rtol=1e-14)
    assert w.data[3] == 0
    w.grad = Tensor(np.array([1e6, 0, -1e6, 0]))
    MirrorDescent([w], lr=1.0).step()
    np.testing.assert_array_equal(w.data, [0, 0, 1, 0], "a huge gradient is no NaN")


def test_mirror_descent_with_the_identity_is_gradient_descent():
    a, b, _, w, closure = quadratic()
    u = Parameter(w.data.copy())
    first, second = MirrorDescent([w], 0.01, lambda w: w, lambda d: d), SGD([u], lr=0.01)
    for _ in range(5):
        first.step(with_backward(closure, first))
        u.grad = Tensor(a @ u.data - b)
        second.step()
    np.testing.assert_allclose(w.data, u.data, rtol=1e-12)


@pytest.mark.parametrize(("make", "steps", "near"), [
    (lambda p: MirrorDescent(p, 0.3), 3000, 1e-6), (lambda p: FrankWolfe(p, classical.oracle_simplex()), 3000, 2e-3),
    (lambda p: ProjectedGradient(p, 0.3, classical.project_simplex()), 300, 1e-10)])
def test_methods_of_the_simplex_find_the_nearest_point_in_it(make, steps, near):
    target = np.array([0.9, 0.4, -0.3, 0.1])
    w = Parameter(np.full(4, 0.25))
    optimizer = make([w])
    for _ in range(steps):
        w.grad = Tensor(w.data - target)
        optimizer.step()
        assert abs(w.data.sum() - 1) < 1e-9 and (w.data >= 0).all()
    solution = classical.project_simplex()(target)
    np.testing.assert_allclose(solution, [0.75, 0.25, 0, 0], atol=1e-15)
    assert ((w.data - target) ** 2).sum() / 2 - ((solution - target) ** 2).sum() / 2 < near


def test_frank_wolfe_mixes_corners_and_keeps_its_bound():
    a, b, _, w, _ = quadratic(8, 10.0)
    w.data[...] = 0
    oracle, f = classical.oracle_l1(0.5), lambda w: w @ a @ w / 2 - b @ w
    optimizer = FrankWolfe([w], oracle)
    for t in range(1, 400):
        g = a @ w.data - b
        s = oracle(g)
        assert np.count_nonzero(s) == 1 and abs(s).sum() == 0.5
        assert g @ s <= min(-0.5 * abs(g)) + 1e-12
        gap = g @ (w.data - s)
        w.grad = Tensor(g)
        optimizer.step()
        assert abs(w.data).sum() <= 0.5 + 1e-12
        if t <= 3:
            assert np.count_nonzero(w.data) <= t
    positive = minimize(lambda z: f(z[:8] - z[8:]), np.full(16, 0.01), bounds=[(0, None)] * 16, method="SLSQP",
                        constraints={"type": "ineq", "fun": lambda z: 0.5 - z.sum()}, options={"ftol": 1e-14})
    assert -1e-9 < f(w.data) - positive.fun < 2 * 10 * 1.0 / 400
    assert gap >= f(w.data) - positive.fun - 1e-9


def test_zero_gradients_stay():
    s = classical.oracle_l1()(np.zeros(3))
    assert (s == 0).all(), "every point is as good: the middle"
    assert classical.oracle_simplex(2.0)(np.zeros((2, 2))).sum() == 2


# ---- finite sums ----
def logistic(n=40, d=3, decay=0.1, seed=0):
    """A strongly convex finite sum: (n, parameter, closure(i), gradients of all at w, the solution)."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, d))
    y = np.where(x @ np.arange(1.0, d + 1) + rng.standard_normal(n) > 0, 1.0, -1.0)
    w = Parameter(np.zeros(d))
    def one(i):
        return F.softplus(-(Tensor(x[i]) @ w) * y[i]) + decay / 2 * (w * w).sum()
    def gradients(w):
        return -(y * expit(-y * (x @ w)))[:, None] * x + decay * w
    def loss(w):
        return np.logaddexp(0, -y * (x @ w)).mean() + decay / 2 * w @ w
    solution = minimize(loss, np.zeros(d), jac=lambda w: gradients(w).mean(0), options={"gtol": 1e-12}).x
    return n, w, one, gradients, solution


@pytest.mark.parametrize("make", [SVRG, SAGA])
def test_variance_reduction_converges_at_a_constant_rate_where_sgd_does_not(make):
    n, w, one, gradients, solution = logistic()
    optimizer = make([w], 0.1, n, generator=np.random.default_rng(0))
    optimizer.step(one)
    def spread():
        """The mean squared error of the direction over all choices of an example, and its bias."""
        x = w.data.copy()
        d = np.array([optimizer.direction(one, x, i)[1] for i in range(n)])
        optimizer._place(x)
        mean = gradients(x).mean(0)
        return np.square(d - mean).sum(1).mean(), np.abs(d.mean(0) - mean).max()
    plain, rng, variances = np.zeros(3), np.random.default_rng(0), []
    for k in range(2500):
        if k % 800 == 30:
            variance, bias = spread()
            assert bias < 1e-12, "no bias"
            variances.append(variance)
        optimizer.step(one)
        plain = plain - 0.1 * gradients(plain)[rng.integers(n)]
    assert spread()[0] < 1e-20 and variances[2] < 1e-4 * variances[1] < 1e-8 * variances[0]
    np.testing.assert_allclose(w.data, solution, atol=1e-6)
    assert np.abs(plain - solution).max() > 1e-3


@pytest.mark.parametrize("make", [SVRG, SAGA])
def test_finite_sums_against_their_papers(make):
    n, w, one, gradients, _ = logistic(6)
    optimizer = make([w], 0.2, n, generator=np.random.default_rng(7))
    rng, x = np.random.default_rng(7), np.zeros(3)
    table = gradients(x)
    anchor = x
    for k in range(30):
        if k % 12 == 0:
            anchor = x
        i = rng.integers(n)
        g = gradients(x)[i]
        if make is SVRG:
            x = x - 0.2 * (g - gradients(anchor)[i] + gradients(anchor).mean(0))
        else:
            x = x - 0.2 * (g - table[i] + table.mean(0))
            table[i] = g
        optimizer.step(one)
        np.testing.assert_allclose(w.data, x, rtol=1e-10, atol=1e-13)
    assert optimizer.evaluations == (30 + 6 if make is SAGA else 60 + 3 * 6)


def test_saga_with_a_prox_solves_l1_logistic_regression():
    n, w, one, gradients, _ = logistic(40, 6, seed=1)
    optimizer = SAGA([w], 0.1, n, classical.prox_l1(0.08), generator=np.random.default_rng(0))
    for _ in range(3000):
        optimizer.step(one)
    g = gradients(w.data).mean(0)
    assert np.where(w.data != 0, abs(g + 0.08 * np.sign(w.data)), np.maximum(abs(g) - 0.08, 0)).max() < 1e-6
    assert (w.data == 0).any() and (w.data != 0).any()


# ---- sampling ----
def test_sgld_is_its_formula_and_samples_a_gaussian():
    manual_seed(3)
    w = Parameter(np.array([1.0, 2.0]))
    w.grad = Tensor(np.array([0.5, -0.5]))
    SGLD([w], lr=0.01).step()
    noise = np.random.default_rng(3).standard_normal(2)
    np.testing.assert_allclose(w.data, np.array([1.0, 2.0]) - 0.005 * np.array([0.5, -0.5]) + 0.1 * noise, rtol=1e-14)
    chains = Parameter(np.zeros(4000))  # -log p = (w - 3)^2 / (2 0.5^2)
    optimizer = SGLD([chains], lr=0.02, generator=np.random.default_rng(0))
    for _ in range(150):
        chains.grad = Tensor((chains.data - 3) / 0.25)
        optimizer.step()
    exact = 0.02 / (1 - (1 - 0.02 / 0.5) ** 2)  # the variance of this linear recursion, 0.25 for small lr
    assert abs(chains.data.mean() - 3) < 4 * math.sqrt(exact / 4000)
    assert abs(chains.data.var() / exact - 1) < 4 * math.sqrt(2 / 4000)


# ---- the house rules ----
MAKERS = {
    "steepest": lambda p: SteepestDescent(p), "exact": lambda p: SteepestDescent(p, search="exact"),
    "cg": lambda p: ConjugateGradient(p), "bb": lambda p: BarzilaiBorwein(p, 0.01),
    "ista": lambda p: ISTA(p, 0.01, 0.1), "fista": lambda p: FISTA(p, 0.01, classical.prox_l1(0.1)),
    "projected": lambda p: ProjectedGradient(p, 0.01, classical.project_ball()),
    "mirror": lambda p: MirrorDescent(p, 0.01), "fw": lambda p: FrankWolfe(p, classical.oracle_l1()),
    "svrg": lambda p: SVRG(p, 0.01, 5, generator=np.random.default_rng(0)),
    "saga": lambda p: SAGA(p, 0.01, 5, generator=np.random.default_rng(0)),
    "sgld": lambda p: SGLD(p, generator=np.random.default_rng(0)),
}
every = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


def problem(dtype=np.float64):
    *_, w, closure = quadratic(4, 10.0, dtype=dtype)
    w.data[...] = [0.1, 0.2, 0.3, 0.4]
    return w, closure


def go(optimizer, closure, steps):
    for _ in range(steps):
        run = with_backward(closure, optimizer)
        optimizer.step((lambda i, run=run: run()) if isinstance(optimizer, (SVRG, SAGA)) else run)


@every
@pytest.mark.parametrize("suffix", [None, ".safetensors", ".npz"])
def test_a_run_resumed_from_its_state_is_the_run_itself_to_the_bit(make, suffix, tmp_path):
    whole, closure = problem()
    go(make([whole]), closure, 7)
    first, closure = problem()
    optimizer = make([first])
    go(optimizer, closure, 4)
    state, at = optimizer.state_dict(), first.data.copy()
    if suffix:
        state = checkpoint.load(checkpoint.save(tmp_path / f"a{suffix}", {"w": at}, optimizer)).optimizer
    go(optimizer, closure, 2)  # what was saved does not change with it
    second, closure = problem()
    second.data[...] = at
    resumed = make([second])
    resumed.load_state_dict(state)
    go(resumed, closure, 3)
    np.testing.assert_array_equal(second.data, whole.data)


@pytest.mark.parametrize("make", [lambda p, rng: SGLD(p, generator=rng), lambda p, rng: SVRG(p, 0.1, 3, generator=rng),
                                  lambda p, rng: SAGA(p, 0.1, 3, generator=rng)])
def test_the_generators_state_is_saved_and_not_the_generator(make):
    rng = np.random.default_rng(5)
    w, closure = problem()
    optimizer = make([w], rng)
    go(optimizer, closure, 2)
    state = optimizer.state_dict()
    assert state["generator"] == rng.bit_generator.state
    assert not any(isinstance(v, np.random.Generator) for v in state["param_groups"][0].values())
    other = make([w], None)
    other.load_state_dict(state)
    assert other.generator.bit_generator.state == state["generator"] and other.generator is not rng
    with pytest.raises(ValueError, match=r"generator is a PCG64, \w+'s is a Philox: give it one of that kind"):
        make([w], np.random.Generator(np.random.Philox(0))).load_state_dict(state)
    default = make([w], None).state_dict()
    assert default["generator"] is None
    other.load_state_dict(default)
    assert other.generator.bit_generator.state == state["generator"], "as it was"


@pytest.mark.parametrize("name", ["ista", "fista", "projected", "steepest", "cg", "bb", "sgld"])
def test_fit_with_a_checkpoint_folder_resumes_to_the_bit(name, tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((20, 2)).astype(np.float32), np.arange(20) % 2
    def run(epochs, **where):
        manual_seed(1)
        model = nn.Dense(2, 2)
        train.fit(model, (x, y), MAKERS[name](model.parameters()), epochs=epochs, batch_size=10, progress=False,
                  **where)
        return model.weight.data
    expected = run(2)
    run(1, checkpoint=tmp_path)
    np.testing.assert_array_equal(run(2, resume=tmp_path), expected)


@every
def test_float32_stays_and_the_loss_is_returned(make):
    w, closure = problem(np.float32)
    optimizer = make([w])
    go(optimizer, closure, 3)
    assert w.dtype == np.float32 and np.isfinite(w.data).all()
    arrays = [v for s in (*optimizer.state.values(), optimizer.common) for v in s.values() if isinstance(v, np.ndarray)]
    assert all(a.dtype == np.float32 for a in arrays)


@every
def test_maximize_is_the_negated_loss(make):
    up, closure_up = problem()
    down, closure_down = problem()
    first, second = make([up]), make([down])
    for group in second.param_groups:
        group["maximize"] = True
    go(first, closure_up, 3)
    go(second, lambda: -closure_down(), 3)
    np.testing.assert_array_equal(up.data, down.data)


@pytest.mark.parametrize(("make", "message"), [
    (lambda p: SteepestDescent(p, search="golden"), "golden"), (lambda p: SteepestDescent(p, lr=0), "lr 0"),
    (lambda p: SteepestDescent(p, c1=0.95), "c1 0.95"), (lambda p: ConjugateGradient(p, beta="HS"), "HS"),
    (lambda p: BarzilaiBorwein(p, length="middle"), "middle"), (lambda p: SVRG(p, 0.1, 0), "got 0"),
    (lambda p: SAGA(p, 0.1, 0), "got 0"), (lambda p: ISTA(p, -1.0, 0.1), "lr"),
    (lambda p: SteepestDescent([{"params": p}, {"params": [Parameter(np.ones(1))]}]), "one group"),
    (lambda p: SAGA([{"params": p, "weight_decay": 0.1}], 0.1, 3), "no weight_decay"),
    (lambda p: ISTA(p, 0.1, -1.0), "weight"), (lambda p: classical.project_simplex(0), "radius must be .*, got 0"),
    (lambda p: classical.project_ball(math.nan), "radius must be .*, got nan")])
def test_bad_hyper_parameters_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make([Parameter(np.ones(2))])


@pytest.mark.parametrize("name", ["steepest", "cg", "fista", "svrg", "saga"])
def test_a_missing_closure_is_told(name):
    w, _ = problem()
    with pytest.raises(TypeError, match=r"step needs a closure, which returns the loss"):
        MAKERS[name]([w]).step(None)


# ---- hooks and wrappers ----
def record(optimizer):
    seen = []
    optimizer.gradient_hooks.append(lambda params, grads: seen.append([g.copy() for g in grads]) or grads)
    return seen


@every
def test_hooks_see_the_gradient_once_a_step(make):
    w, closure = problem()
    u, other = problem()
    optimizer, twin = make([w]), make([u])
    seen = record(optimizer)
    go(optimizer, closure, 3)
    go(twin, other, 3)
    assert len(seen) == 3 and all(g.shape == w.shape for (g,) in seen)
    np.testing.assert_array_equal(w.data, u.data, "to look changes nothing")


def test_clipping_reaches_the_methods_without_a_line_search():
    w = Parameter(np.array([3.0]))
    optimizer = BarzilaiBorwein([w], lr=1.0)
    optimizer.gradient_hooks.append(clip_norm(0.1))
    optimizer.step(lambda: 5 * (w * w).sum())
    np.testing.assert_allclose(w.data, 2.9)
    for make in (SVRG, SAGA):
        for maximize in (False, True):
            w = Parameter(np.array([3.0]))
            optimizer = make([w], 1.0, 2, maximize=maximize)
            optimizer.gradient_hooks.append(clip_norm(0.1))
            seen = record(optimizer)
            optimizer.step(lambda i, w=w: 5 * (w * w).sum())
            np.testing.assert_allclose(w.data, 3.1 if maximize else 2.9)
            np.testing.assert_allclose(seen, [[[0.1]]], err_msg="the gradient of what the closure gives")


@pytest.mark.parametrize("decoupled", [True, False])
@pytest.mark.parametrize("make", [lambda p: BarzilaiBorwein(p, 0.1), lambda p: SVRG(p, 0.1, 2),
                                  lambda p: SAGA(p, 0.1, 2)])
def test_weight_decay_reaches_the_methods_without_a_line_search(make, decoupled):
    w = Parameter(np.array([3.0]))
    WeightDecay(make([w]), 0.5, decoupled=decoupled).step(lambda *i: 2 * w.sum())
    np.testing.assert_allclose(w.data, 3 * (1 - 0.1 * 0.5) - 0.1 * 2)


@pytest.mark.parametrize("make", [lambda p: SteepestDescent(p), lambda p: ConjugateGradient(p),
                                  lambda p: BarzilaiBorwein(p, memory=3)])
@pytest.mark.parametrize("wrap", [lambda o: WeightDecay(o, 0.5), lambda o: WeightDecay(o, 0.5, decoupled=False),
                                  lambda o: o.gradient_hooks.append(clip_norm(0.1)) or o])
def test_a_line_search_refuses_what_changes_its_gradient(make, wrap):
    w, closure = problem()
    optimizer = wrap(make([w]))
    with pytest.raises(ValueError, match=r"changed the gradient or the weights, but this method follows the loss"):
        optimizer.step(closure)
    np.testing.assert_array_equal(w.data, [0.1, 0.2, 0.3, 0.4])


def test_galore_refuses_methods_of_whole_vectors():
    with pytest.raises(TypeError, match="treats each weight by itself"):
        GaLore(ConjugateGradient([Parameter(np.ones((4, 4)))]), 1)


def contents(optimizer):
    """The state, its arrays as lists."""
    def plain(v):
        if isinstance(v, dict):
            return {k: plain(x) for k, x in v.items() if k not in ("generator", "trained")}
        return v.tolist() if isinstance(v, np.ndarray) else [plain(x) for x in v] if isinstance(v, list) else v
    state = plain(optimizer.state_dict())
    return {**state, "common": state.get("common", {})}


@pytest.mark.parametrize("steps", [0, 3])
@every
def test_a_skipped_step_is_as_if_it_had_not_been_called(make, steps):
    w, closure = problem()
    optimizer = make([w])
    wrapped = SkipNonFinite(optimizer)
    go(optimizer, closure, steps)
    before, state = w.data.copy(), contents(optimizer)
    def bad():
        optimizer.zero_grad()
        loss = closure() * np.nan
        loss.backward()
        return loss
    wrapped.step((lambda i: bad()) if isinstance(optimizer, (SVRG, SAGA)) else bad)
    assert wrapped.skipped == 1
    np.testing.assert_array_equal(w.data, before)
    assert contents(optimizer) == state


# ---- frozen parameters ----
@every
def test_frozen_parameters_do_not_move(make):
    class Two(nn.Module):
        def __init__(self):
            self.a = Parameter(np.array([0.1, 0.2, 0.3, 0.4]))
            self.b = Parameter(np.array([0.4, 0.3, 0.2, 0.1]))
    model = Two()
    optimizer = make(model.parameters())
    closure = lambda: ((model.a + model.b - 1) ** 2 * Tensor(np.arange(1.0, 5))).sum()
    go(optimizer, closure, 2)
    freeze(model, "a")
    a, b = model.a.data.copy(), model.b.data.copy()
    go(optimizer, closure, 2)
    np.testing.assert_array_equal(model.a.data, a)
    assert (model.b.data != b).any()
    alone = Parameter(b.copy())
    if isinstance(optimizer, (ConjugateGradient, BarzilaiBorwein)):  # what it remembers begins anew
        go(make([alone]), lambda: ((Tensor(a) + alone - 1) ** 2 * Tensor(np.arange(1.0, 5))).sum(), 2)
        np.testing.assert_array_equal(model.b.data, alone.data)
    unfreeze(model)
    go(optimizer, closure, 2)
    assert (model.a.data != a).any()
    freeze(model)
    everything = [p.data.copy() for p in model.parameters()]
    optimizer.step((lambda i: closure()) if isinstance(optimizer, (SVRG, SAGA)) else closure)
    for p, w in zip(model.parameters(), everything, strict=True):
        np.testing.assert_array_equal(p.data, w)


def test_fista_does_not_extrapolate_what_has_no_gradient():
    a, b = Parameter(np.ones(2)), Parameter(np.ones(2))
    optimizer = FISTA([a, b], 0.1, classical.prox_l1(0.1))
    go(optimizer, lambda: (a * a + b * b).sum(), 3)
    at, theta = b.data.copy(), optimizer.state[b]["theta"]
    go(optimizer, lambda: (a * a).sum(), 3)
    np.testing.assert_array_equal(b.data, at)
    assert optimizer.state[b]["theta"] == theta < optimizer.state[a]["theta"]


# ---- what goes wrong ----
@pytest.mark.parametrize("call", [1, 2, 3])
@pytest.mark.parametrize("steps", [0, 3])
@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
@pytest.mark.parametrize("name", ["steepest", "exact", "cg", "bb", "fista", "svrg", "saga"])
def test_an_interrupted_step_leaves_no_trace(name, error, steps, call):
    w, closure = problem()
    optimizer = MAKERS[name]([w])
    go(optimizer, closure, steps)
    before, state, calls = w.data.copy(), contents(optimizer), 0
    def broken():
        nonlocal calls
        calls += 1
        if calls == call:
            raise error
        return closure()
    try:
        go(optimizer, broken, 1)
    except error:
        np.testing.assert_array_equal(w.data, before)
        assert contents(optimizer) == state
    else:
        assert calls < call


def test_fista_whose_prox_raises_leaves_no_trace():
    a, b = Parameter(np.ones(2)), Parameter(np.ones(3))
    def prox(v, lr):
        if v.size == 3:
            raise ValueError("no")
        return v
    for steps in (0, 2):
        optimizer = FISTA([a, b], 0.1, classical.prox_l1(0.1))
        go(optimizer, lambda: (a * a).sum() + (b * b).sum(), steps)
        before, state, good, optimizer.prox = (a.data.copy(), b.data.copy()), contents(optimizer), optimizer.prox, prox
        with pytest.raises(ValueError, match="no"):
            go(optimizer, lambda: (a * a).sum() + (b * b).sum(), 1)
        np.testing.assert_array_equal((*a.data, *b.data), np.concatenate(before))
        assert contents(optimizer) == state
        optimizer.prox = good
        go(optimizer, lambda: (a * a).sum() + (b * b).sum(), 1)


@pytest.mark.parametrize("search", classical.SEARCHES)
def test_a_trial_whose_loss_is_refused_was_too_far(search):
    def run(refuse):
        w = Parameter(np.array([2.0, 3.0]))
        optimizer = SteepestDescent([w], lr=1e3, search=search)
        def closure():
            loss = np.exp(w * w).sum()
            if refuse and not math.isfinite(loss.item()):
                raise FloatingPointError("the loss is inf")
            return loss
        with np.errstate(over="ignore", invalid="ignore"):
            losses = [optimizer.step(closure).item() for _ in range(4)]
        assert losses == sorted(losses, reverse=True) and losses[3] < losses[0]
        return w.data
    np.testing.assert_array_equal(run(True), run(False))


def test_fit_halves_a_first_step_that_overflows():
    rng = np.random.default_rng(0)
    x = (1e8 * rng.standard_normal((20, 3))).astype(np.float32)
    y, model = rng.standard_normal((20, 1)).astype(np.float32), nn.Dense(3, 1)
    before = float(((model(Tensor(x)) - Tensor(y)) ** 2).mean().item())
    optimizer = SteepestDescent(model.parameters())
    train.fit(model, (x, y), optimizer, lambda a, b: ((a - b) ** 2).mean(), batch_size=None, progress=False)
    assert float(((model(Tensor(x)) - Tensor(y)) ** 2).mean().item()) < before


def test_an_unbounded_loss_leaves_the_weights():
    for make in (SteepestDescent, ConjugateGradient):
        w = Parameter(np.array([1.0, 2.0]))
        with pytest.raises(ArithmeticError, match="falls without end"):
            make([w], search="exact").step(lambda w=w: w.sum())
        np.testing.assert_array_equal(w.data, [1, 2])


@pytest.mark.parametrize("make", [SteepestDescent, ConjugateGradient, lambda p: BarzilaiBorwein(p, memory=3),
                                  lambda p: SteepestDescent(p, search="exact"),
                                  lambda p: SteepestDescent(p, search="wolfe")])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_gradient_that_is_not_finite_is_no_step_and_forgotten(make, bad):
    w, closure = problem()
    optimizer = make([w])
    go(optimizer, closure, 2)
    before = w.data.copy()
    def broken():
        closure().backward()
        w.grad = Tensor(np.array([1.0, bad, 0.0, 1.0]))
        return Tensor(1.0)
    with np.errstate(invalid="ignore"):
        optimizer.step(broken)
        np.testing.assert_array_equal(w.data, before)
        optimizer.step(closure)
    assert np.isfinite(w.data).all() and (w.data != before).all()
    optimizer.step(closure)
    assert np.isfinite(w.data).all()


def test_a_root_at_zero_stays():
    w = Parameter(np.array([0.0, 1.0]))
    with np.errstate(divide="ignore"):
        SteepestDescent([w]).step(lambda: np.sqrt(w).sum())
    np.testing.assert_array_equal(w.data, [0, 1])


def test_sagas_prox_sees_each_parameter_by_itself():
    a, b = Parameter(np.zeros(3)), Parameter(np.zeros((2, 2)))
    shapes, project = [], classical.project_simplex()
    optimizer = SAGA([a, b], 0.1, 2, lambda v, lr: shapes.append(v.shape) or project(v))
    optimizer.step(lambda i: (a + i).sum() - (b * b).sum())
    np.testing.assert_allclose([a.data.sum(), b.data.sum()], 1)
    assert shapes == [(3,), (2, 2)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_projections_of_large_small_and_broken_points(dtype):
    ball, simplex = classical.project_ball(np.float64(1)), classical.project_simplex(np.float64(1))
    huge = np.finfo(dtype).max / 2
    for v in ([huge, huge], [huge, 0], [1e-30, 0], [0, 0], [3, 4]):
        v = np.array(v, dtype)
        norm = np.linalg.norm(ball(v).astype(np.float64))
        np.testing.assert_allclose(norm, 1 if v[0] >= 3 else v[0], rtol=1e-6)
        np.testing.assert_allclose(simplex(v).sum(), 1, rtol=1e-6)
        assert ball(v).dtype == simplex(v).dtype == dtype and ball(v) is not v
    np.testing.assert_allclose(ball(np.array([huge, huge], dtype)), math.sqrt(0.5), rtol=1e-6)
    np.testing.assert_array_equal(simplex(np.array([huge, 0], dtype)), [1, 0], "1 is not lost in rounding")
    for project in (ball, simplex):
        assert np.isnan(project(np.array([1, np.nan, 2], dtype))).all(), "as any arithmetic"


@pytest.mark.parametrize(("bad", "message"), [
    ([0.5, -0.1, 0.6], r"parameter 1 is -0.1 at \(1,\), but weights have a logarithm if they are positive"),
    ([0.5, math.nan, 0.6], r"parameter 1 is nan at \(1,\)"), ([0.0, 0, 0], r"parameter 1 is 0.0 at \(0,\)")])
def test_mirror_descent_outside_its_domain_is_told_before_anything_changes(bad, message):
    a, b = Parameter(np.full(3, 1 / 3)), Parameter(np.array(bad))
    a.grad, b.grad = Tensor(np.arange(3.0)), Tensor(np.arange(3.0))
    optimizer = MirrorDescent([a, b], 0.1)
    with pytest.raises(ValueError, match=message):
        optimizer.step()
    np.testing.assert_array_equal(a.data, 1 / 3)
    assert not optimizer.state
    MirrorDescent([b], 0.1, lambda w: w, lambda d: d).step()  # another map, another domain


def test_by_name():
    assert classical.by_name("Barzilai-Borwein") is BarzilaiBorwein
    assert classical.by_name("fista") is FISTA
    with pytest.raises(ValueError, match=r"no classical optimizer called 'newton'; there are barz.*, conjug"):
        classical.by_name("newton")


def test_no_warning_of_scipys_is_seen():
    w = Parameter(np.array([1.0, 1.0]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SteepestDescent([w], search="wolfe").step(lambda: -(w * w).sum())
    assert (w.data > 1).all(), "where nothing fulfils Wolfe's conditions, Armijo's still"
