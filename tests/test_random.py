"""Draws: derivatives through the noise, moments, determinism, shapes and dtypes, errors."""

from __future__ import annotations

import math
import threading

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import minigrad
from minigrad import Tensor, grad, random
from minigrad.testing import check_hessian_symmetry, check_rule_paths, gradcheck


def rng(seed=0):
    return np.random.default_rng(seed)


LOC, SCALE = np.array([0.3, -1.0, 2.0]), np.array([[0.5], [2.0]])
LOC_SCALE = ("normal", "laplace", "logistic", "gumbel", "cauchy", "lognormal")
CASES = {  # name -> parameters
    **{name: (LOC, SCALE) for name in LOC_SCALE},
    "uniform": (LOC - 3, SCALE),
    "exponential": (SCALE,),
    "weibull": (SCALE,),
    "multivariate_normal": (LOC, np.array([[2.0, 0.3, 0.1], [0.3, 1.0, -0.2], [0.1, -0.2, 0.5]])),
}


def test_every_draw_has_a_case():
    others = {"manual_seed", "default_generator", "drawing_from", "generators_of", "rand", "randn", "randint",
              "randperm", "bernoulli", "seeded"}
    assert set(CASES) == set(random.__all__) - others


def drawn(name, size=None):
    def f(*parameters):
        if name == "multivariate_normal":  # stay on symmetric matrices
            parameters = parameters[0], (parameters[1] + parameters[1].swapaxes(-1, -2)) / 2
        return getattr(random, name)(*parameters, size=size, generator=rng())
    f.__name__ = name
    return f


@pytest.mark.parametrize("name", CASES)
def test_derivatives_with_respect_to_the_parameters(name):
    for size in (None, (4, 2, 3)):
        gradcheck(drawn(name, size), *CASES[name], order=2)
        check_hessian_symmetry(drawn(name, size), *CASES[name])


@pytest.mark.parametrize("name", CASES)
def test_shapes_and_dtypes(name):
    parameters = CASES[name]
    event = parameters[0].shape if name == "multivariate_normal" else ()
    shape = () if event else np.broadcast_shapes(*(p.shape for p in parameters))
    f = drawn(name)
    for dtype in (np.float16, np.float32, np.float64) if not event else (np.float32, np.float64):
        y = f(*(Tensor(p.astype(dtype), requires_grad=True) for p in parameters))
        assert isinstance(y, Tensor) and y.requires_grad
        assert (y.shape, y.dtype) == (shape + event, dtype)
    y = f(*(p.astype(dtype) for p in parameters))
    assert isinstance(y, Tensor) and not y.requires_grad and y.dtype == np.float64
    assert getattr(random, name)(*(p.tolist() for p in parameters)).dtype == np.float32
    assert drawn(name, (5, 2, 3))(*parameters).shape == (5, 2, 3, *event)
    check_rule_paths(f, *(p.astype(np.float32) for p in parameters))


@pytest.mark.parametrize("name", CASES)
def test_the_same_seed_draws_the_same(name):
    parameters, f = CASES[name], getattr(random, name)
    before = random.default_generator()
    try:
        minigrad.manual_seed(3)
        first, second = f(*parameters), f(*parameters)
        assert (first.data != second.data).any()
        minigrad.manual_seed(3)
        assert_array_equal(f(*parameters).data, first.data)
        assert_array_equal(f(*parameters, generator=rng(3)).data, first.data)
    finally:
        random._default = before


# name -> parameters, mean, standard deviation
MOMENTS = {
    "normal": ((1.0, 2.0), 1, 2),
    "laplace": ((1.0, 2.0), 1, 2 * math.sqrt(2)),
    "logistic": ((1.0, 2.0), 1, 2 * math.pi / math.sqrt(3)),
    "gumbel": ((1.0, 2.0), 1 + 2 * 0.5772156649, 2 * math.pi / math.sqrt(6)),
    "lognormal": ((0.2, 0.5), math.exp(0.325), math.exp(0.325) * math.sqrt(math.exp(0.25) - 1)),
    "uniform": ((-1.0, 2.0), 0.5, 3 / math.sqrt(12)),
    "exponential": ((2.0,), 2, 2),
    "weibull": ((2.0,), math.gamma(1.5), math.sqrt(1 - math.gamma(1.5) ** 2)),
    "bernoulli": ((0.3,), 0.3, math.sqrt(0.21)),
}


@pytest.mark.parametrize("name", MOMENTS)
def test_moments(name):
    parameters, mean, std = MOMENTS[name]
    y = getattr(random, name)(*parameters, size=40000, generator=rng()).data
    assert y.dtype == np.float32
    assert abs(y.mean() - mean) < 5 * std / 200
    assert abs(y.std() / std - 1) < 0.05


def test_half_of_cauchy_is_within_its_scale():
    y = random.cauchy(1.0, 2.0, 40000, rng()).data
    assert abs((np.abs(y - 1) < 2).mean() - 0.5) < 0.02


def test_multivariate_normal_has_its_covariance():
    mean, cov = CASES["multivariate_normal"]
    y = random.multivariate_normal(mean, cov, 40000, rng()).data
    assert_allclose(y.mean(axis=0), mean, atol=0.04)
    assert_allclose(np.cov(y.T), cov, atol=0.05)
    assert random.multivariate_normal(np.zeros((4, 3)), cov).shape == (4, 3)
    assert random.multivariate_normal(mean, np.stack([cov, cov]), (5, 2)).shape == (5, 2, 3)


def test_the_gradient_moves_the_mean():
    """d E[y^2] / d loc = 2 loc and d E[y^2] / d scale = 2 scale."""
    loc, scale = (Tensor(v, requires_grad=True) for v in (0.5, 2.0))
    y = random.normal(loc, scale, 40000, rng())
    g = grad(np.mean(y * y), [loc, scale])
    assert_allclose([v.item() for v in g], [1, 4], atol=0.1)


def test_a_scale_of_zero_is_no_noise():
    scale = Tensor([0.0, 0.0], requires_grad=True)
    y = random.normal(3.0, scale, generator=rng())
    assert_array_equal(y.data, 3)
    assert_array_equal(grad(y.sum(), scale).data, rng().standard_normal(2).astype(np.float32))


# ---- without parameters ----
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_uniform_never_returns_high(dtype):
    class Last:
        """A generator whose number is the last one below 1."""

        def random(self, size):
            return np.full(size, np.nextafter(1.0, 0.0))
    low, high = (Tensor(np.array(v, dtype), requires_grad=True) for v in (1, 2))
    y = random.uniform(low, high, 3, Last())
    assert y.dtype == dtype and (y.data >= 1).all() and (y.data < 2).all()
    assert all(np.isfinite(g.item()) for g in grad(y.sum(), [low, high]))
    assert random.uniform(1.0, 1.0).item() == 1


def test_rand_and_randn():
    for f, numpys in ((random.rand, rng().random), (random.randn, rng().standard_normal)):
        y = f(2, 3, generator=rng())
        assert isinstance(y, Tensor) and y.dtype == np.float32
        assert_array_equal(y.data, numpys((2, 3), np.float32))
        assert f((2, 3)).shape == f([2, 3]).shape == (2, 3)
        assert f().shape == () and f(0, 2).shape == (0, 2)
        assert f(4, dtype=np.float64).dtype == np.float64


def test_randint_and_randperm():
    y = random.randint(2, 5, 1000, generator=rng())
    assert y.dtype == np.int64 and set(y.tolist()) == {2, 3, 4}
    assert set(random.randint(2, size=(50, 4), generator=rng()).data.ravel()) == {0, 1}
    assert random.randint(5).shape == ()
    assert sorted(random.randperm(6, rng()).tolist()) == list(range(6))
    x = Tensor(np.arange(6.0), requires_grad=True)
    assert_array_equal(grad((x[random.randperm(6, rng())] * 2).sum(), x).data, 2)


def test_bernoulli_has_no_gradient():
    p = Tensor([0.0, 0.25, 1.0], requires_grad=True)
    y = random.bernoulli(p, (1000, 3), rng())
    assert not y.requires_grad and y.dtype == np.float32
    assert_array_equal(y.data.mean(axis=0)[[0, 2]], [0, 1])
    assert set(np.unique(y.data)) == {0, 1}
    assert random.bernoulli(np.float64(0.5)).dtype == np.float64


# ---- errors ----
@pytest.mark.parametrize("call, message", [
    *((lambda name=name: getattr(random, name)(0.0, -1.5), rf"{name}: \w+ must not be negative, got -1\.5")
      for name in LOC_SCALE),
    (lambda: random.normal(0.0, Tensor([1.0, -2.0], requires_grad=True)), r"normal: scale .* got -2"),
    (lambda: random.exponential(np.array([[1.0, -3.0]])), r"exponential: scale must not be negative, got -3"),
    (lambda: random.uniform(1.0, 0.5), r"uniform: high - low must not be negative, got -0\.5"),
    (lambda: random.weibull(0.0), r"weibull: a must be positive, got 0"),
    (lambda: random.bernoulli([0.5, 1.5]), r"bernoulli: p must be between 0 and 1, got 1\.5"),
    (lambda: random.bernoulli(-0.5), r"got -0\.5"),
    (lambda: random.bernoulli([0.5, math.nan]), r"bernoulli: p must be between 0 and 1, got nan"),
    (lambda: random.normal(0.0, math.nan), r"normal: scale must not be negative, got nan"),
    (lambda: random.uniform(0.0, math.nan), r"uniform: high - low must not be negative, got nan"),
    (lambda: random.weibull(math.nan), r"weibull: a must be positive, got nan"),
    (lambda: random.normal(1j, 1.0), r"parameters of a distribution are real numbers, not complex128"),
    (lambda: random.normal(Tensor(np.array(1j)), 1.0), r"are real numbers, not complex128"),
    (lambda: random.normal([1, 2, 3], size=2), r"parameters of shape \(3,\) do not broadcast to size \(2,\)"),
    (lambda: random.normal([1, 2, 3], size=(3, 1)), r"do not broadcast to size \(3, 1\)"),
    (lambda: random.multivariate_normal([0, 1], np.eye(3)), r"mean \(2,\) must be \(\.\.\., d\) and cov \(3, 3\)"),
    (lambda: random.multivariate_normal(0, 1), r"mean \(\) must be"),
    (lambda: random.multivariate_normal(np.zeros((2, 2)), np.eye(2), 3), r"shape \(2,\) do not broadcast to size"),
    (lambda: random.multivariate_normal([0, 0], -np.eye(2)), r"positive definite"),
    (lambda: random.randint(3, 2), r"low >= high"),
])
def test_errors_say_what_was_wrong(call, message):
    with pytest.raises((ValueError, TypeError, np.linalg.LinAlgError), match=message):
        call()


def test_drawing_from_is_of_its_own_thread_and_ends_with_the_block():
    before, own, seen = random.default_generator(), np.random.default_rng(1), []
    with random.drawing_from(own):
        thread = threading.Thread(target=lambda: seen.append(random.default_generator()))
        thread.start()
        thread.join()
        assert random.default_generator() is own and seen == [before]
        np.testing.assert_array_equal(random.randn(3).data, np.random.default_rng(1).standard_normal(3, np.float32))
    assert random.default_generator() is before


def test_seeded_leaves_the_default_generator_as_it_was():
    random.manual_seed(3)
    before = random.rand(2).data
    random.manual_seed(3)
    with random.seeded(7):
        inside = random.rand(2).data
    np.testing.assert_array_equal(random.rand(2).data, before)
    np.testing.assert_array_equal(inside, np.random.default_rng(7).random(2, np.float32))
