"""Densities: SciPy's values, and gradients of any order in every argument."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

import minigrad
import minigrad.functional as F
from minigrad import Tensor, vmap
from minigrad.testing import gradcheck

G = np.random.default_rng(0)
A = G.standard_normal((3, 3))
COV = A @ A.T + 0.5 * np.eye(3)
X, LOC = G.standard_normal((4, 3)), G.standard_normal(3)


def test_normal_against_scipy():
    x, loc, scale = G.standard_normal((4, 1)), G.standard_normal(3), np.exp(G.standard_normal(3))
    assert_allclose(F.normal_log_prob(Tensor(x), loc, scale).data, stats.norm(loc, scale).logpdf(x), rtol=1e-13)
    assert_allclose(F.normal_pdf(Tensor(x), loc, scale).data, stats.norm(loc, scale).pdf(x), rtol=1e-13)
    assert_allclose(F.normal_pdf(Tensor(x), 0.1, 0.3).data, stats.norm(0.1, 0.3).pdf(x), rtol=1e-13)
    assert_allclose(F.normal_pdf(0.0).data, 1 / math.sqrt(2 * math.pi), rtol=1e-6)
    gradcheck(F.normal_log_prob, x, loc, scale)
    gradcheck(F.normal_pdf, x, loc, scale)


def test_multivariate_normal_against_scipy():
    expected = stats.multivariate_normal(LOC, COV)
    for kind, matrix in (("covariance_matrix", COV), ("scale_tril", np.linalg.cholesky(COV))):
        assert_allclose(F.multivariate_normal_log_prob(Tensor(X), LOC, **{kind: matrix}).data, expected.logpdf(X),
                        rtol=1e-12)
        assert_allclose(F.multivariate_normal_pdf(Tensor(X), LOC, **{kind: matrix}).data, expected.pdf(X), rtol=1e-12)
    assert F.multivariate_normal_log_prob(Tensor(X[0]), LOC, COV).shape == ()


def test_multivariate_normal_of_independent_ones_is_the_product():
    scale = np.array([0.5, 1.0, 2.0])
    assert_allclose(F.multivariate_normal_log_prob(Tensor(X), LOC, np.diag(scale ** 2)).data,
                    F.normal_log_prob(Tensor(X), LOC, scale).data.sum(axis=-1), rtol=1e-13)


@pytest.mark.parametrize("shapes", [((5, 3), (3,), (3, 3)), ((3,), (5, 3), (3, 3)), ((5, 3), (5, 3), (5, 3, 3)),
                                    ((2, 1, 3), (4, 3), (2, 4, 3, 3)), ((3,), (3,), (5, 3, 3))])
def test_multivariate_normal_broadcasts(shapes):
    x, loc = G.standard_normal(shapes[0]), G.standard_normal(shapes[1])
    half = G.standard_normal(shapes[2])
    cov = half @ half.swapaxes(-1, -2) + np.eye(3)
    found = F.multivariate_normal_log_prob(Tensor(x), loc, cov).data
    lead = np.broadcast_shapes(*(s[:-1] for s in shapes[:2]), shapes[2][:-2])
    assert found.shape == lead
    x, loc = np.broadcast_to(x, (*lead, 3)), np.broadcast_to(loc, (*lead, 3))
    cov = np.broadcast_to(cov, (*lead, 3, 3))
    for at in np.ndindex(lead):
        assert_allclose(found[at], stats.multivariate_normal(loc[at], cov[at]).logpdf(x[at]), rtol=1e-12)


@pytest.mark.parametrize("f", [F.multivariate_normal_log_prob, F.multivariate_normal_pdf])
def test_multivariate_normal_has_derivatives_of_two_orders(f):
    gradcheck(lambda x, m, a: f(x, m, a @ a.mT + 0.5 * np.eye(3)), X, LOC, A)
    gradcheck(lambda x, m, a: f(x, m, scale_tril=np.tril(a)), X, LOC, np.linalg.cholesky(COV) + np.triu(A, 1))


def test_gradients_by_their_formulas():
    """By x: -S^-1 (x - m), then -S^-1. By S: (S^-1 d d^T S^-1 - S^-1) / 2."""
    inverse = np.linalg.inv(COV)
    d = X[0] - LOC
    log = lambda x, m, s: F.multivariate_normal_log_prob(x, m, s)
    by_x, by_m, by_s = minigrad.grad(log, (0, 1, 2))(X[0], LOC, COV)
    assert_allclose(by_x.data, -inverse @ d, rtol=1e-10)
    assert_allclose(by_m.data, inverse @ d, rtol=1e-10)
    assert_allclose(by_s.data, (np.outer(inverse @ d, inverse @ d) - inverse) / 2, rtol=1e-9)
    assert_allclose(minigrad.hessian(log, 0)(X[0], LOC, COV).data, -inverse, rtol=1e-9)


def test_the_density_integrates_to_one():
    x = np.linspace(-9, 9, 121)
    grid = np.stack(np.meshgrid(x, x), -1)
    cov = np.array([[1.0, 0.6], [0.6, 1.5]])
    total = F.multivariate_normal_pdf(Tensor(grid), np.array([0.3, -0.2]), cov).data.sum() * (x[1] - x[0]) ** 2
    assert_allclose(total, 1, rtol=1e-6)


def test_maximum_likelihood_is_where_the_gradient_is_zero():
    data = G.standard_normal((50, 2)) @ np.array([[1.0, 0.4], [0, 0.7]]) + [1, 2]
    centred = data - data.mean(axis=0)
    gradients = minigrad.grad(lambda m, s: F.multivariate_normal_log_prob(Tensor(data), m, s).sum(), (0, 1))(
        data.mean(axis=0), centred.T @ centred / 50)
    for g in gradients:
        assert_allclose(g.data, 0, atol=1e-9)


def test_dtypes():
    small = [Tensor(a.astype(np.float32)) for a in (X, LOC, COV)]
    assert F.multivariate_normal_log_prob(*small).dtype == np.float32
    assert F.normal_log_prob(small[0], 0.5, 2).dtype == np.float32
    assert F.normal_log_prob(Tensor(X), 0.5, 2).dtype == np.float64
    assert_allclose(F.multivariate_normal_log_prob(Tensor(X), LOC.tolist(), COV.tolist()).data,
                    F.multivariate_normal_log_prob(Tensor(X), LOC, COV).data, rtol=1e-14)


def test_numbers_take_the_dtype_of_any_other_argument():
    loc, scale = np.array(0.3), np.array(0.7)
    expected = stats.norm(loc, scale).logpdf(0.1)
    for value, m, s in ((0.1, Tensor(loc), Tensor(scale)), (0.1, 0.3, scale), (0.1, loc, 0.7), (loc - 0.2, 0.3, 0.7)):
        assert_allclose(F.normal_log_prob(value, m, s).data, expected, rtol=1e-14)
    assert F.normal_log_prob(1, 0.5, 2).dtype == np.float32
    assert F.normal_log_prob(np.arange(3), np.float32([0.5]), 2).dtype == np.float32
    assert_allclose(F.multivariate_normal_log_prob(X.tolist(), LOC.tolist(), COV).data,
                    F.multivariate_normal_log_prob(X, LOC, COV).data, rtol=1e-14)


def test_inside_vmap():
    found = vmap(lambda x: F.multivariate_normal_log_prob(x, LOC, COV))(Tensor(X))
    assert_allclose(found.data, F.multivariate_normal_log_prob(Tensor(X), LOC, COV).data, rtol=1e-12)
    found = vmap(lambda x, s: F.normal_log_prob(x, 0.0, s))(Tensor(X), Tensor(np.exp(X)))
    assert_allclose(found.data, F.normal_log_prob(Tensor(X), 0.0, np.exp(X)).data, rtol=1e-12)


def test_what_does_not_fit_is_said():
    with pytest.raises(ValueError, match=r"value \(4, 3\) and loc \(2,\) must be \(\.\.\., d\), the matrix \(3, 3\)"):
        F.multivariate_normal_log_prob(Tensor(X), np.zeros(2), COV)
    with pytest.raises(ValueError, match=r"the matrix \(3,\)"):
        F.multivariate_normal_log_prob(Tensor(X), LOC, np.ones(3))
    with pytest.raises(ValueError, match="one of covariance_matrix and scale_tril"):
        F.multivariate_normal_log_prob(Tensor(X), LOC)
    with pytest.raises(ValueError, match=r"scale must be positive, got -1\.0"):
        F.normal_log_prob(Tensor(X), 0.0, -1.0)
    for tril, least in ((np.diag([1.0, -2, 3]), r"-2\.0"), (np.zeros((3, 3)), r"0\.0")):
        with pytest.raises(ValueError, match=rf"the diagonal of scale_tril must be positive, got {least}"):
            F.multivariate_normal_log_prob(Tensor(X), LOC, scale_tril=tril)
    with pytest.raises(np.linalg.LinAlgError):
        F.multivariate_normal_log_prob(Tensor(X), LOC, -COV)
