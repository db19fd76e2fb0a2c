"""What docs/second-order.md says of Newton, L-BFGS and least squares, as far as it can be said without a clock."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest

from minigrad import Parameter, no_grad, optim
from minigrad import functional as F

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "second-order.md").read_text(encoding="utf-8")
spec = importlib.util.spec_from_file_location("figures", ROOT / "docs" / "figures.py")
figures = importlib.util.module_from_spec(spec)
spec.loader.exec_module(figures)


@pytest.fixture(scope="module")
def digits():
    pytest.importorskip("sklearn")
    return figures.digits(200)


# ---- the page ----
@pytest.mark.parametrize("draw", [figures.second_order_newton, figures.second_order_safeguards],
                         ids=lambda f: f.__name__)
def test_the_page_quotes_what_the_figures_print(draw):
    assert f"```\n{chr(10).join(draw())}\n```" in PAGE, "run python docs/figures.py second_order"


def test_the_page_says_how_minimize_ends():
    quoted = re.search(r"```\n(NaN beyond.*?)\n```", PAGE, re.S).group(1).splitlines()
    found = figures.second_order_misbehaving()  # numbers after the first two columns are SciPy's of some version
    assert [line[:36] for line in quoted] == [line[:36] for line in found]


def test_the_code_of_the_page(capsys):
    names = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.S):
        exec(block, names)
    promised = [p.strip() for p in re.findall(r"^print\(.*\)\s+# (.*)$", PAGE, re.M)]
    assert len(promised) == 5
    assert capsys.readouterr().out.splitlines() == promised


def test_the_figures_draw(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(figures, "IMAGES", tmp_path)
    draws = [figures.second_order_newton, figures.second_order_safeguards, figures.second_order_fit]
    figures.pictures(draws)
    assert {p.stem for p in tmp_path.glob("*.png")} == {f.__name__ for f in draws}


# ---- Newton ----
def test_newton_reaches_any_quadratics_minimum_in_one_step_without_a_rate():
    rng = np.random.default_rng(0)
    a = rng.standard_normal((6, 6))
    h, least = a @ a.T + np.eye(6), rng.standard_normal(6)
    x = Parameter(1e3 * rng.standard_normal(6))
    optim.Newton([x], solver="exact").step(lambda: (x - least) @ h @ (x - least) / 2)
    np.testing.assert_allclose(x.data, least, 1e-9, 1e-9)


def test_newton_goes_to_the_saddle_and_its_remedies_do_not():
    for start in ((1.0, 1e-3), (-2.0, 3.0)):
        assert not figures.newton_path(figures.saddle, start, solver="exact")[-1].any()
        damped = figures.newton_path(figures.saddle, start, 5, solver="exact", damping=4.0)
        krylov = figures.newton_path(figures.saddle, start, 5, solver="trust-krylov", max_iter=1)
        for path in (damped, krylov):
            assert (np.diff([figures.saddle(*p) for p in path]) < 0).all()


def test_steps_get_fewer_as_they_get_dearer(digits):
    x, y = digits
    w = Parameter(np.zeros((64, 10)))

    def loss():
        return F.cross_entropy(x @ w, y) + 1e-3 * (w * w).sum()

    def to(level, steps_of):
        w.data = np.zeros((64, 10))
        return next(cost for cost in steps_of if cost[2] < level)

    def first_order():
        optimizer = optim.SGD([w], lr=3.0)
        for step in range(2000):
            optimizer.zero_grad()
            value = loss()
            yield step, step + 1, value.item()
            value.backward()
            optimizer.step()

    def scipys(method):
        for h in optim.minimize(loss, [w], method, tol=1e-8, options={"maxiter": 300}).history:
            yield h.iteration, h.gradient_equivalents, h.loss
    level = optim.minimize(loss, [w], "L-BFGS-B", tol=1e-10).fun + 1e-5
    descent, lbfgs, newton = to(level, first_order()), to(level, scipys("L-BFGS-B")), to(level, scipys("newton-cg"))
    assert newton[0] < lbfgs[0] / 2 < descent[0] / 4
    assert lbfgs[1] < newton[1] < descent[1]


# ---- memory ----
def test_memory_of_first_order_grows_as_n_and_of_the_hessian_as_n_squared(digits):
    small, large = 4, 16  # hidden units: 310 and 1,210 weights

    def growth(make, steps=3, closure=True):
        (a, n), (b, m) = (figures.memory_of_steps(h, make, steps, closure) for h in (small, large))
        assert (n, m) == (310, 1210)
        return np.log(b / a) / np.log(m / n), b / 8 / m
    first, numbers = growth(lambda w: optim.Adam(w), closure=False)
    assert first < 1.2 and numbers < 15
    exact, numbers = growth(lambda w: optim.Newton(w, solver="exact", damping=10.0), steps=1)
    assert exact > 1.5 and numbers > 1210
    cg, numbers = growth(lambda w: optim.Newton(w, max_iter=2))
    assert cg < 1.2 and numbers < 100


@pytest.mark.parametrize("m", [3, 8])
def test_lbfgs_keeps_two_m_vectors(digits, m):
    x, y = digits
    model = figures.network(4)
    optimizer = optim.LBFGS(model.parameters(), history_size=m, line_search_fn="strong_wolfe", max_iter=15)
    optimizer.step(lambda: F.cross_entropy(model(x), y))
    kept = sum(np.size(v) for v in optimizer.state_dict()["common"].values())
    assert 2 * m * 310 <= kept <= (2 * m + 3) * 310


# ---- full batches and mini-batches ----
def test_lbfgs_works_on_the_full_batch_and_not_on_mini_batches(digits):
    x, y = digits
    kinds = {"full": ({"max_iter": 5, "line_search_fn": "strong_wolfe"}, len(x)),
             "search": ({"max_iter": 1, "line_search_fn": "strong_wolfe"}, 32),
             "default": ({"max_iter": 1}, 32)}
    curves = {name: figures.train(lambda w, given=given: optim.LBFGS(w, history_size=10, **given), size, 50,
                                  figures.network(), x, y)[:, 1] for name, (given, size) in kinds.items()}
    assert (np.diff(curves["full"]) <= 0).all() and curves["full"][-1] < 1e-3
    assert curves["search"].min() > 10 * curves["full"][-1]
    assert not curves["default"][-1] < curves["default"][0]  # it blew up


def test_on_mini_batches_y_is_mostly_the_change_of_the_batch(digits):
    slope, batch = figures.change_of_gradient(*digits, steps=30)
    assert np.median(batch / slope) > 3


# ---- least squares ----
@pytest.mark.parametrize("damping", [0.0, 2.0])
def test_gauss_newton_is_newton_for_a_linear_model(damping):
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((20, 4)), rng.standard_normal(20)
    x, z = Parameter(np.ones(4)), Parameter(np.ones(4))
    optim.least_squares(lambda: a @ x - b, [x], "gauss-newton", damping=damping, max_iter=1)
    optim.Newton([z], solver="exact", damping=damping).step(lambda: ((a @ z - b) ** 2).sum() / 2)
    np.testing.assert_allclose(x.data, z.data, 1e-12)
    if not damping:
        np.testing.assert_allclose(x.data, np.linalg.lstsq(a, b, rcond=None)[0], 1e-12)


def test_levenberg_marquardt_fits_from_where_gauss_newton_runs_away():
    near_gn, near_lm, far_gn, far_lm = (float(re.search(r"cost ([\d.]+)", line).group(1))
                                        for line in figures.second_order_fit())
    assert near_gn == near_lm == far_lm == pytest.approx(0.209, abs=1e-4)
    assert far_gn > 10 * far_lm


# ---- scikit-learn ----
@pytest.mark.parametrize("c", [0.1, 10.0])
def test_the_loss_is_scikit_learns_at_equal_regularisation(digits, c):
    linear_model = pytest.importorskip("sklearn.linear_model")
    x, y = digits
    theirs = linear_model.LogisticRegression(C=c, max_iter=1000, tol=1e-6).fit(x, y)
    w, b = Parameter(np.zeros((10, 64))), Parameter(np.zeros(10))

    def loss():  # scikit-learn's C counts against the sum over examples; the bias is free
        return F.cross_entropy(x @ w.T + b, y) + 0.5 / (c * len(x)) * (w * w).sum()
    result = optim.minimize(loss, [w, b], "L-BFGS-B", tol=1e-10, options={"maxiter": 1000})
    found = w.data.copy()
    w.data, b.data = theirs.coef_.copy(), theirs.intercept_.copy()
    with no_grad():
        assert loss().item() == pytest.approx(result.fun, abs=1e-6)
    np.testing.assert_allclose(found, theirs.coef_, atol=2e-2 * np.abs(theirs.coef_).max())
