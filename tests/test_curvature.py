"""optim.curvature and viz.curvature: known spectra, saddles, a network's whole Hessian, and what the picture says."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse.linalg

from minigrad import Parameter, Tensor, manual_seed, nn, viz
from minigrad import functional as F
from minigrad.optim import curvature
from minigrad.optim.curvature import extreme_eigenvalues, hessian_operator, negative_curvature, spectral_density
from minigrad.optim.second_order import Objective
from minigrad.viz import curvature as pictures
from minigrad.viz import functions, style, theatre

DTYPES = pytest.mark.parametrize("dtype", [np.float64, np.float32])
SPECTRA = {
    "spread": np.linspace(-1, 2, 150),
    "crowded at zero": np.linspace(0, 1, 150) ** 2,
    "negative": -np.linspace(0, 1, 150) ** 2,
    "singular": np.r_[np.zeros(100), np.linspace(1, 9, 50)],
    "outliers": np.r_[-3.0, np.zeros(100), np.linspace(1, 9, 48), 1000],
    "multiple": np.r_[np.full(80, -2.0), np.full(20, 1.0)],
    "one": np.full(100, 2.0),
    "zero": np.zeros(100),
    "small": np.array([-4.0, 0, 0, 1, 7]),
}


def quadratic(eigenvalues, dtype=np.float64):
    """(loss, parameter, H), H with these eigenvalues."""
    eigenvalues = np.asarray(eigenvalues)
    n = len(eigenvalues)
    q = np.linalg.qr(np.random.default_rng(1).standard_normal((n, n)))[0]
    a = (q * eigenvalues) @ q.T
    a = ((a + a.T) / 2).astype(dtype)
    p = Parameter(np.random.default_rng(2).standard_normal(n).astype(dtype))
    return lambda: (p * (Tensor(a) @ p)).sum() / 2, p, a


def network(hidden=6, dtype=np.float64):
    manual_seed(0)
    rng = np.random.default_rng(0)
    model = nn.Sequential(nn.Linear(2, hidden), nn.Tanh(), nn.Linear(hidden, 3))
    for p in model.parameters():
        p.data = p.data.astype(dtype)
    x, y = rng.standard_normal((40, 2)).astype(dtype), rng.integers(0, 3, 40)
    return model, lambda: F.cross_entropy(model(Tensor(x)), y)


@pytest.fixture
def lanczos(monkeypatch):
    """No dense Hessians, however small."""
    monkeypatch.setattr(curvature, "DENSE", 0)
    monkeypatch.setattr(curvature, "EXACT", 0)


# ---- the ends ----
@DTYPES
@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("k", [1, 3])
def test_extreme_eigenvalues_of_known_spectra(name, k, dtype):
    loss, p, a = quadratic(SPECTRA[name], dtype)
    if k > len(a) // 2:
        pytest.skip("both ends overlap")
    expected, size = np.sort(SPECTRA[name]), np.abs(SPECTRA[name]).max() or 1.0
    largest, smallest = extreme_eigenvalues(loss, [p], k)
    close = {"rtol": 0, "atol": size * (1e-12 if dtype == np.float64 else 1e-5)}
    np.testing.assert_allclose(largest.values, expected[::-1][:k], **close)
    np.testing.assert_allclose(smallest.values, expected[:k], **close)
    for values, vectors in (largest, smallest):
        assert vectors.shape == (len(a), k) and values.shape == (k,)
        np.testing.assert_allclose(vectors.T @ vectors, np.eye(k), atol=1e-5 if dtype == np.float32 else 1e-8)
        np.testing.assert_allclose(a @ vectors, vectors * values, atol=size * (1e-5 if dtype == np.float32 else 3e-7))
    again = extreme_eigenvalues(loss, [p], k)
    assert all(np.array_equal(x, y) for one, two in zip((largest, smallest), again) for x, y in zip(one, two))


def test_any_k_up_to_n(lanczos):
    for n in (1, 2, 3, 7):
        loss, p, _ = quadratic(np.arange(n) - 1.5)
        for k in range(1, n + 1):
            largest, smallest = extreme_eigenvalues(loss, [p], k)
            np.testing.assert_allclose(smallest.values, np.arange(k) - 1.5, atol=1e-12)
            np.testing.assert_allclose(largest.values, n - 2.5 - np.arange(k), atol=1e-12)
        for k in (0, n + 1, 1.5):
            with pytest.raises(ValueError, match=rf"k must be a whole number from 1 to {n}, the number of parameters"):
                extreme_eigenvalues(loss, [p], k)


@DTYPES
def test_a_networks_ends_are_its_whole_hessians(dtype, lanczos):
    model, loss = network(8, dtype)
    objective = Objective(loss, model.parameters())
    x = objective.x
    expected = np.linalg.eigvalsh(objective.hess(x))
    objective.place(x)
    largest, smallest = extreme_eigenvalues(loss, model.parameters(), 4)
    tol = 1e-9 if dtype == np.float64 else 1e-6
    np.testing.assert_allclose(largest.values, expected[::-1][:4], atol=tol)
    np.testing.assert_allclose(smallest.values, expected[:4], atol=tol)
    value, _ = negative_curvature(loss, model.parameters())
    assert value == pytest.approx(expected[0], abs=tol)


def test_no_convergence_is_an_error_with_a_way_out():
    loss, p, _ = quadratic(np.linspace(0, 1, 300) ** 4)
    before = p.data.copy()
    with pytest.raises(np.linalg.LinAlgError, match=r"Lanczos found \d of 3 eigenvalues in \d+ products with "
                                                    r"tol=1e-07: give a larger tol or maxiter"):
        extreme_eigenvalues(loss, [p], 3, maxiter=1)
    assert np.array_equal(p.data, before)
    _, smallest = extreme_eigenvalues(loss, [p], 3, tol=1e-2)
    np.testing.assert_allclose(smallest.values, 0, atol=0.03)


# ---- saddles ----
@pytest.mark.parametrize("at", [(0.0, 0.0), (0.5, -1e-3), (0.5, 1e-3)])
def test_the_saddles_negative_curvature_is_along_y_and_downhill(at):
    saddle, w = functions.by_name("saddle"), Parameter(np.array(at))
    value, direction = negative_curvature(lambda: saddle(w[0], w[1]), w)
    assert value == pytest.approx(-2)
    np.testing.assert_allclose(direction[0], [0, -1 if at[1] < 0 else 1], atol=1e-12)
    w.data += 0.1 * direction[0]
    assert saddle(*w.data) < saddle(*at)


def test_the_monkey_saddle_has_no_curvature_at_0():
    monkey, w = functions.by_name("monkey-saddle"), Parameter(np.zeros(2))
    assert negative_curvature(lambda: monkey(w[0], w[1]), [w])[0] == 0
    w.data[0] = 0.5  # there H is diag(6 x, -6 x)
    assert negative_curvature(lambda: monkey(w[0], w[1]), [w])[0] == pytest.approx(-3)


def test_the_direction_is_like_the_parameters_and_zero_for_frozen_ones(lanczos):
    model, loss = network()
    model[0].bias.requires_grad = False
    params = list(model.parameters())
    value, direction = negative_curvature(loss, model.named_parameters())
    assert [d.shape for d in direction] == [p.shape for p in params] and not direction[1].any()
    assert sum((d ** 2).sum() for d in direction) == pytest.approx(1)
    before = loss().item()
    for p, d in zip(params, direction):
        p.data += 0.01 * d
    assert value < 0 and loss().item() < before


# ---- the operator ----
def test_the_operator_is_the_hessian_where_the_parameters_were():
    loss, p, a = quadratic(SPECTRA["small"])
    operator = hessian_operator(loss, [p])
    assert operator.shape == (5, 5) and operator.dtype == np.float64
    np.testing.assert_allclose(operator @ np.eye(5), a, atol=1e-12)
    np.testing.assert_allclose(operator.T @ np.ones(5), a @ np.ones(5), atol=1e-12)
    q = Parameter(np.array([1.0, 2.0]))
    operator = hessian_operator(lambda: (q ** 3).sum(), q)
    q.data[...] = 7
    array = q.data
    np.testing.assert_allclose(operator @ np.ones(2), [6, 12])
    q.data = np.full(2, 9.0)
    np.testing.assert_allclose(operator @ np.ones(2), [6, 12])
    assert q.data.tolist() == [9, 9] and array.tolist() == [7, 7]


def test_the_operator_is_what_scipy_works_with():
    loss, p, _ = quadratic(SPECTRA["spread"])
    values = scipy.sparse.linalg.eigsh(hessian_operator(loss, [p]), 2, which="LA", return_eigenvectors=False)
    np.testing.assert_allclose(np.sort(values), np.sort(SPECTRA["spread"])[-2:])


# ---- density ----
@DTYPES
@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("name", SPECTRA)
def test_the_density_integrates_to_one_and_its_mean_is_the_mean_eigenvalue(name, exact, dtype):
    loss, p, a = quadratic(SPECTRA[name], dtype)
    found = spectral_density(loss, [p], exact=exact, samples=12, generator=np.random.default_rng(0))
    assert found.exact is exact and np.trapezoid(found.density, found.grid) == pytest.approx(1, abs=1e-6)
    assert found.weights.sum() == pytest.approx(1) and (found.weights >= 0).all()
    assert np.trapezoid(found.density * found.grid, found.grid) == pytest.approx(found.mean, abs=1e-4 * (
        1 + np.abs(SPECTRA[name]).max()))
    n = len(a)
    off = 2 * ((a ** 2).sum() - (a.diagonal() ** 2).sum()) / 12
    error = 1e-5 * (1 + np.abs(a).max()) if exact else 4 * np.sqrt(off) / n + 1e-5
    assert abs(found.mean - np.trace(a) / n) < error


def test_a_diagonal_hessian_needs_one_sample():
    d = np.linspace(-1, 3, 200)
    p = Parameter(np.ones(200))
    found = spectral_density(lambda: (Tensor(d) * p * p).sum() / 2, p, exact=False, samples=1, width=0.1)
    exact = spectral_density(lambda: (Tensor(d) * p * p).sum() / 2, p, width=0.1, grid=found.grid)
    assert found.mean == pytest.approx(1) and exact.exact
    np.testing.assert_allclose(found.density, exact.density, atol=1e-3)


def test_lanczos_density_of_a_network_is_near_the_exact():
    model, loss = network(10)
    before = [p.data for p in model.parameters()]
    exact = spectral_density(loss, model.parameters(), width=0.02)
    found = spectral_density(loss, model.parameters(), width=0.02, exact=False, samples=100, grid=exact.grid,
                             generator=np.random.default_rng(0))
    assert np.trapezoid(np.abs(found.density - exact.density), exact.grid) < 0.15
    objective = Objective(loss, model.parameters())
    np.testing.assert_allclose(exact.eigenvalues, np.linalg.eigvalsh(objective.hess(objective.x)), atol=1e-12)
    objective.place(objective.x)
    assert all(p.data is array for p, array in zip(model.parameters(), before))


def test_many_parameters_are_not_made_a_matrix(monkeypatch):
    p = Parameter(np.ones(600))
    monkeypatch.setattr(Objective, "hess", None)
    manual_seed(0)
    found = spectral_density(lambda: (p ** 4).sum(), p, samples=1, steps=3)
    assert not found.exact and found.eigenvalues.tolist() == pytest.approx([12])


def test_density_refuses_what_makes_no_sense():
    loss, p, _ = quadratic(SPECTRA["small"])
    with pytest.raises(ValueError, match=r"samples must be a whole number, at least 1, got 0"):
        spectral_density(loss, [p], samples=0)
    with pytest.raises(ValueError, match=r"steps must be a whole number, at least 1, got 1.5"):
        spectral_density(loss, [p], steps=1.5)
    with pytest.raises(ValueError, match=r"width must be positive, got 0"):
        spectral_density(loss, [p], width=0)
    with pytest.raises(ValueError, match=r"width=1e-07 is too small for a grid from -4 to 7: give both"):
        spectral_density(loss, [p], width=1e-7)


# ---- what goes wrong ----
@pytest.mark.parametrize("ask", [extreme_eigenvalues, negative_curvature, spectral_density])
@pytest.mark.parametrize("n", [3, 1000])
def test_a_hessian_that_is_not_finite_is_an_error_and_the_parameters_stay(ask, n):
    p = Parameter(np.zeros(n))
    array = p.data
    with pytest.raises(ValueError, match=r"the Hessian is not finite where the parameters are; the loss there is 0"):
        ask(lambda: (p ** 1.5).sum(), [p])
    assert p.data is array and not p.data.any()


@pytest.mark.parametrize("ask", [extreme_eigenvalues, negative_curvature, spectral_density])
def test_parameters_are_left_as_they_were_with_their_gradients(ask):
    model, loss = network()
    loss().backward()
    before = [(p.data, p.data.copy(), p.grad) for p in model.parameters()]
    ask(loss, model.parameters())
    for p, (array, values, gradient) in zip(model.parameters(), before):
        assert p.data is array and np.array_equal(array, values) and p.grad is gradient


def test_errors_of_the_loss_come_through():
    p = Parameter(np.ones(2))
    with pytest.raises(RuntimeError, match=r"the loss does not depend on the parameters"):
        negative_curvature(lambda: Tensor(1.0), [p])
    with pytest.raises(TypeError, match=r"the loss must be a Tensor with a single number"):
        extreme_eigenvalues(lambda: p * 2, [p])
    assert p.data.tolist() == [1, 1]


def test_a_linear_loss_has_no_curvature():
    p = Parameter(np.ones(100))
    assert negative_curvature(lambda: p.sum(), [p])[0] == 0
    assert spectral_density(lambda: p.sum(), [p]).mean == 0


def test_importing_costs_no_sparse_linear_algebra():
    code = "import sys, minigrad.optim.curvature; assert 'scipy.sparse.linalg' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


# ---- the picture ----
def drawn(monkeypatch, *args, **options):
    figures = []
    monkeypatch.setattr(style, "write", lambda figure, path: figures.append(figure) or path)
    pictures.spectrum(*args, **options)
    return figures[0]


def test_the_slices_are_the_loss_and_its_taylor_polynomial():
    loss, p, a = quadratic(np.array([-4.0, 1.0, 3.0]))
    array, before = p.data, p.data.copy()
    _, smallest = extreme_eigenvalues(loss, [p])
    found = pictures.slice_along(loss, [p], smallest.vectors[:, 0], float(smallest.values[0]), radius=2.0, points=5)
    assert found.distances.tolist() == [-2, -1, 0, 1, 2]
    np.testing.assert_allclose(found.losses, found.model, atol=1e-12)
    w = before + 2 * smallest.vectors[:, 0]
    assert found.losses[-1] == pytest.approx(w @ a @ w / 2)
    assert p.data is array and np.array_equal(array, before)


def test_a_slice_is_as_wide_as_the_curvature_is_seen():
    p = Parameter(np.zeros(1))
    v, far = np.ones(1), Parameter(np.full(1, 100.0))
    assert pictures.slice_along(lambda: 2 + (p ** 2).sum(), p, v, 2.0).distances[-1] == 1  # the norm is 0
    assert pictures.slice_along(lambda: 2 + ((far - 100) ** 2).sum(), far, v, 2.0).distances[-1] == np.sqrt(2)
    for quartic in (1.0, 100.0, 1e4):
        found = pictures.slice_along(lambda c=quartic: (c * p ** 4 - p ** 2).sum(), p, v, -2.0)
        assert found.losses.min() < 0 and found.losses[-1] <= 3 * found.distances[-1] ** 2
    narrow = pictures.slice_along(lambda: (np.log(p + 0.1)).sum(), p, v, -100.0)  # NaN below -0.1
    assert narrow.distances[-1] < 0.1 and np.isfinite(narrow.losses).all()


def test_a_slice_where_the_loss_breaks_leaves_the_parameters():
    p = Parameter(np.ones(2))

    def loss():
        if (p.data < 0).any():
            raise OverflowError("out of its domain")
        return (p ** 2).sum()
    with pytest.raises(OverflowError):
        pictures.slice_along(loss, p, np.array([1.0, 0]), 2.0, radius=3)
    assert p.data.tolist() == [1, 1]


@pytest.mark.parametrize("dark", [False, True])
def test_the_picture_says_what_is_there(tmp_path, monkeypatch, dark):
    agg = pytest.importorskip("matplotlib.backends.backend_agg")
    model, loss = network()
    before = [p.data.copy() for p in model.parameters()]
    path = pictures.spectrum(loss, model.parameters(), tmp_path / "spectrum.png", "tanh", dark=dark)
    assert path.read_bytes()[:4] == b"\x89PNG"
    assert all(np.array_equal(p.data, w) for p, w in zip(model.parameters(), before))
    figure = drawn(monkeypatch, loss, model.parameters(), "s.png", "tanh", dark=dark)
    largest, smallest = extreme_eigenvalues(loss, model.parameters())
    density, low, high = figure.axes
    assert density.get_yscale() == "log" and figure.get_suptitle().startswith("tanh: spectrum of the Hessian, 39 param")
    labels = [t.get_text() for t in density.texts]
    assert labels == [f"{name}\n{pictures._number(float(end.values[0]))}"
                      for name, end in (("smallest", smallest), ("largest", largest))]
    assert low.get_title("left").startswith("loss along the most negative curvature, −")
    assert high.get_title("left").startswith("loss along the largest curvature, ")
    paper = (theatre.DARK if dark else theatre.LIGHT).paper
    assert figure.get_facecolor()[:3] == pytest.approx([int(paper[i:i + 2], 16) / 255 for i in (1, 3, 5)])
    agg.FigureCanvasAgg(figure).draw()
    boxes = [t.get_window_extent() for t in density.texts]
    assert not boxes[0].overlaps(boxes[1])
    curve = density.lines[0]
    top = density.transData.transform(np.column_stack(curve.get_data()))[:, 1].max()
    assert all(box.y0 > top for box in boxes), "labels are above the density"


@pytest.mark.parametrize("eigenvalues", [np.full(3, 2.0), np.zeros(3), np.array([1.0, 5.0]), np.array([3.0])])
def test_the_picture_of_a_degenerate_spectrum(monkeypatch, eigenvalues):
    agg = pytest.importorskip("matplotlib.backends.backend_agg")
    loss, p, _ = quadratic(eigenvalues)
    figure = drawn(monkeypatch, loss, [p], "s.png")
    agg.FigureCanvasAgg(figure).draw()
    assert "0 % of it below zero" in figure.get_suptitle()
    assert figure.axes[1].get_title("left").startswith("loss along the smallest curvature, ")
    boxes = [t.get_window_extent() for t in figure.axes[0].texts]
    assert not boxes[0].overlaps(boxes[1])


def test_the_missing_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    loss, p, _ = quadratic(SPECTRA["small"])
    with pytest.raises(viz.MissingExtra, match=r'matplotlib is needed for pictures: pip install "minigrad\[plot\]"'):
        pictures.spectrum(loss, [p], tmp_path / "s.png")
    with pytest.raises(ValueError, match=r"a picture's name ends in .png, .svg or .pdf"):
        monkeypatch.undo()
        pytest.importorskip("matplotlib")
        pictures.spectrum(loss, [p], tmp_path / "s.doc")
    assert not list(tmp_path.iterdir())
