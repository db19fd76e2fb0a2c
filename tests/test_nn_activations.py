"""Activations: slopes at their kinks, huge inputs, dtypes, identities, chance; see also test_layers.py."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from minigrad import Tensor, grad, nn, vmap
from minigrad import functional as F
from minigrad.testing import check_hessian_symmetry, check_rule_paths, gradcheck


def rng(seed=0):
    return np.random.default_rng(seed)


def apart(*shape, seed=0):
    """Multiples of 1/4 + 1/8, all different: away from every kink."""
    n = math.prod(shape)
    return ((rng(seed).permutation(n) - n // 2 + 0.5) / 4).reshape(shape)


def weight(x):
    return np.array([0.1, -0.4, 0.7], x.dtype)


FUNCTIONS = {
    "relu": F.relu, "leaky_relu": F.leaky_relu, "prelu": lambda x: F.prelu(x, weight(x)),
    "rrelu": F.rrelu, "rrelu training": lambda x: F.rrelu(x, training=True, generator=rng()),
    "relu6": F.relu6, "hardtanh": F.hardtanh, "hardtanh of other edges": lambda x: F.hardtanh(x, -0.6, 2.0),
    "hardsigmoid": F.hardsigmoid, "hardswish": F.hardswish, "softshrink": F.softshrink, "hardshrink": F.hardshrink,
    "threshold": lambda x: F.threshold(x, 0.5, -3.0), "sigmoid": F.sigmoid, "logsigmoid": F.logsigmoid,
    "tanh": F.tanh, "tanhshrink": F.tanhshrink, "softsign": F.softsign, "softplus": F.softplus,
    "softplus, steep": lambda x: F.softplus(x, 3.0, 4.0), "squareplus": F.squareplus,
    "squareplus, b = 0": lambda x: F.squareplus(x, 0.0), "elu": F.elu, "elu of alpha": lambda x: F.elu(x, 2.0),
    "celu": lambda x: F.celu(x, 2.0), "selu": F.selu, "gelu": F.gelu, "gelu by tanh": lambda x: F.gelu(x, "tanh"),
    "quick_gelu": F.quick_gelu, "silu": F.silu, "mish": F.mish,
}
ALONG = {
    "softmax": F.softmax, "log_softmax": F.log_softmax, "softmin": F.softmin, "sparsemax": F.sparsemax,
    "sparsemax of rows": lambda x: F.sparsemax(0.7 * x, axis=0), "glu": lambda x: F.glu(x, axis=0),
    "maxout": lambda x: F.maxout(x, 3), "maxout of rows": lambda x: F.maxout(x, 2, 0),
}


@pytest.mark.parametrize("name", FUNCTIONS | ALONG)
def test_derivatives(name):
    f = (FUNCTIONS | ALONG)[name]
    gradcheck(f, apart(4, 3), order=2)
    check_hessian_symmetry(f, apart(4, 3))


@pytest.mark.parametrize("name", FUNCTIONS | ALONG)
def test_float32_stays_float32(name):
    f, x = (FUNCTIONS | ALONG)[name], Tensor(apart(4, 3).astype(np.float32), requires_grad=True)
    y = f(x)
    first = grad(y.sum(), x, create_graph=True)
    assert y.dtype == first.dtype == np.float32
    if first.requires_grad:
        assert grad((first * first).sum(), x).dtype == np.float32
    check_rule_paths(f, x.data)
    array = f(x.data)
    assert array.dtype == np.float32
    assert_array_equal(array, y.data)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", FUNCTIONS | ALONG)
def test_huge_inputs(name, dtype):
    """Values and slopes are finite, also of the second order; warnings are errors, so nothing overflows on the way."""
    huge = np.array([[-1e4, -100, -89], [0.0, -0.0, 1e4], [100, 89, 1e-30], [1e4, 1e4, -1e4]], dtype)
    x = Tensor(huge, requires_grad=True)
    y = (FUNCTIONS | ALONG)[name](x)
    first = grad(y.sum(), x, create_graph=True)
    assert np.isfinite(y.data).all() and np.isfinite(first.data).all()
    if first.requires_grad:
        assert np.isfinite(grad((first * x.data).sum(), x).data).all()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_nan_stays_nan(name):
    assert np.isnan((FUNCTIONS[name])(np.full((1, 3), np.nan))).all()


# ---- kinks, as PyTorch has them ----
@pytest.mark.parametrize("f, at, value, slope", [
    (F.relu, 0, 0, 0), (F.leaky_relu, 0, 0, 0.01), (lambda x: F.prelu(x, np.array([0.25])), 0, 0, 0.25),
    (F.rrelu, 0, 0, 11 / 48), (F.relu6, 0, 0, 0), (F.relu6, 6, 6, 0), (F.hardtanh, -1, -1, 0), (F.hardtanh, 1, 1, 0),
    (F.hardsigmoid, -3, 0, 0), (F.hardsigmoid, 3, 1, 0), (F.hardswish, -3, 0, 0), (F.hardswish, 3, 3, 1),
    (F.softshrink, 0.5, 0, 0), (F.softshrink, -0.5, 0, 0), (F.hardshrink, 0.5, 0, 0), (F.hardshrink, -0.5, 0, 0),
    (lambda x: F.threshold(x, 1.0, 5.0), 1, 5, 0), (F.elu, 0, 0, 1), (lambda x: F.elu(x, 2.0), 0, 0, 2),
    (lambda x: F.celu(x, 2.0), 0, 0, 1), (F.selu, 0, 0, F.activations.SELU_ALPHA * F.activations.SELU_SCALE),
    (F.softsign, 0, 0, 1), (F.softplus, 20, math.log1p(math.exp(20)), 1 / (1 + math.exp(-20))),
    (lambda x: F.squareplus(x, 0.0), 0, 0, 0.5), (F.step, 0, 0, 1), (lambda x: F.step(x, F.hardtanh), 1, 1, 0),
])
def test_kinks(f, at, value, slope):
    x = Tensor(np.array([float(at), -0.0 if at == 0 else at]), requires_grad=True)
    y = f(x)
    y.sum().backward()
    assert_allclose(y.data, value, 1e-15)
    assert_allclose(x.grad.data, slope, 1e-15)


def test_equal_pieces_share_the_gradient():
    x = Tensor(np.array([1.0, 1.0, 0.0, 3.0]), requires_grad=True)
    F.maxout(x, 2).sum().backward()
    assert_array_equal(x.grad.data, [0.5, 0.5, 0, 1])


# ---- identities ----
def test_identities():
    x = rng().standard_normal((50, 4)) * 3
    assert F.swish is F.silu and nn.Swish is nn.SiLU
    assert_allclose(F.softsign(-x), -F.softsign(x))
    assert_allclose(F.silu(x) - F.silu(-x), x, atol=1e-14)
    assert_allclose(F.gelu(x) - F.gelu(-x), x, atol=1e-14)
    assert_allclose(F.squareplus(x) - F.squareplus(-x), x, atol=1e-14)
    assert_allclose(F.squareplus(x, 0.0), F.relu(x), atol=1e-14)
    assert_allclose(F.celu(x, 1.0), F.elu(x))
    assert_allclose(F.relu6(x), F.relu(x) - F.relu(x - 6), atol=1e-14)
    assert_allclose(F.softshrink(x, 1.0), x - F.hardtanh(x), atol=1e-14)
    assert_allclose(F.hardswish(x), x * np.clip(x + 3, 0, 6) / 6, atol=1e-14)
    assert_allclose(F.glu(np.concatenate([x, x], -1)), F.silu(x))
    assert_allclose(F.softmin(x), F.softmax(-x))
    assert_allclose(F.maxout(np.stack([x, 0 * x], -1).reshape(50, 8), 2), F.relu(x))


def test_squareplus_keeps_its_digits_far_below_zero():
    assert_allclose(F.squareplus(np.float32([-1e4, -1e6])), [1e-4, 1e-6], 1e-6)


def test_selu_keeps_mean_0_and_variance_1():
    y = F.selu(rng().standard_normal(400_000))
    assert abs(y.mean()) < 0.01 and abs(y.var() - 1) < 0.01


def test_sparsemax_is_the_projection_onto_the_simplex():
    """The optimality conditions of min |p - x|^2: p >= 0, sum 1, and x - p is the same on the support, less off it."""
    x = 2 * rng().standard_normal((200, 7))
    p = F.sparsemax(x)
    assert (p >= 0).all() and 0.2 < (p == 0).mean() < 0.9
    assert_allclose(p.sum(-1), 1)
    tau = (x - p).max(-1, keepdims=True)
    assert_allclose(np.where(p > 0, x - p, tau), np.broadcast_to(tau, x.shape), atol=1e-14)
    assert_allclose(F.sparsemax(x + 100), p, atol=1e-12)
    assert_allclose(F.sparsemax(np.array([0.3, -0.1])), [0.7, 0.3])  # two classes: a hard sigmoid of the difference
    assert_allclose(F.sparsemax(np.array([1.0, 1.0, 1.0, -9.0])), [1 / 3, 1 / 3, 1 / 3, 0])
    assert_array_equal(F.sparsemax(np.float32([1e4, -1e4, 0])), [1, 0, 0])


# ---- chance ----
def test_rrelu_draws_a_slope_for_each_element_in_training_only():
    layer = nn.RReLU(0.2, 0.6, generator=rng())
    x = Tensor(-np.ones(100_000))
    slopes = -layer(x).data
    assert slopes.min() >= 0.2 and slopes.max() <= 0.6
    assert_allclose([slopes.mean(), slopes.var()], [0.4, 0.4**2 / 12], 5e-3)
    assert not np.array_equal(-layer(x).data, slopes)
    assert_array_equal(layer(-x).data, 1)
    assert_array_equal(layer.eval()(x).data, -0.4)
    assert_array_equal(nn.RReLU(0.2, 0.6, rng())(x).data, -slopes)


# ---- straight through ----
def test_a_step_learns_through_its_surrogate():
    x = Tensor(np.array([-2.0, -0.5, 0.5, 2.0]), requires_grad=True)
    for surrogate, slope in [(None, np.ones(4)), (F.hardtanh, [0, 1, 1, 0]),
                             (F.sigmoid, np.exp(-x.data) / (1 + np.exp(-x.data)) ** 2)]:
        y = F.step(x, surrogate)
        assert_array_equal(y.data, [0, 0, 1, 1])
        assert_allclose(grad(y.sum(), x).data, slope)
    assert F.step(np.float32([-1, 0, 1e-9])).tolist() == [0, 0, 1]


# ---- modules ----
MODULES = [nn.ReLU(), nn.LeakyReLU(0.2), nn.PReLU(3), nn.RReLU(), nn.ReLU6(), nn.Hardtanh(-2.0, 2.0), nn.Hardsigmoid(),
           nn.Hardswish(), nn.Softshrink(), nn.Hardshrink(), nn.Threshold(0.1, 20.0), nn.Step(F.hardtanh),
           nn.Sigmoid(), nn.LogSigmoid(), nn.Tanh(), nn.Tanhshrink(), nn.Softsign(), nn.Softplus(2.0),
           nn.Squareplus(), nn.ELU(), nn.CELU(), nn.SELU(), nn.GELU(), nn.GELU("tanh"), nn.QuickGELU(), nn.SiLU(),
           nn.Mish(), nn.Softmax(), nn.LogSoftmax(), nn.Softmin(), nn.Sparsemax(), nn.GLU(0)]


@pytest.mark.parametrize("layer", MODULES, ids=repr)
def test_modules(layer):
    """float32 stays float32, eval() and train() agree (but for chance), and the state survives a round trip."""
    x = Tensor(apart(4, 3).astype(np.float32), requires_grad=True)
    y = layer.eval()(x)
    assert y.dtype == np.float32
    if not isinstance(layer, nn.RReLU):
        assert_array_equal(layer.train()(x).data, y.data)
    state = layer.state_dict()
    layer.load_state_dict(state)
    nn.load_torch_state_dict(layer, nn.torch_state_dict(layer))
    assert list(state) == (["weight"] if isinstance(layer, nn.PReLU) else [])
    assert_array_equal(layer.eval()(x).data, y.data)


@pytest.mark.parametrize("layer, text", [
    (nn.LeakyReLU(0.2), "LeakyReLU(0.2)"), (nn.ELU(), "ELU(alpha=1.0)"), (nn.PReLU(3), "PReLU(num_parameters=3)"),
    (nn.Softplus(2.0), "Softplus(beta=2.0, threshold=20.0)"), (nn.RReLU(0.1, 0.3), "RReLU(lower=0.1, upper=0.3)"),
    (nn.Threshold(0.1, 20), "Threshold(threshold=0.1, value=20)"), (nn.GELU("tanh"), "GELU(approximate='tanh')"),
    (nn.Step(), "Step()"), (nn.Step(F.hardtanh), "Step(surrogate=hardtanh)"), (nn.GLU(1), "GLU(dim=1)"),
    (nn.Mish(), "Mish()"), (nn.Sparsemax(), "Sparsemax(dim=-1)"),
])
def test_they_show_their_settings(layer, text):
    assert repr(layer) == text


def test_prelu_starts_like_pytorch_and_learns():
    layer = nn.PReLU(2)
    assert layer.weight.dtype == np.float32 and layer.weight.data.tolist() == [0.25, 0.25]
    layer(Tensor(np.float32([[-1, -2], [3, -4]]))).sum().backward()
    assert layer.weight.grad.data.tolist() == [-1, -6]
    assert nn.PReLU(init=0.5, dtype=np.float64).weight.dtype == np.float64


# ---- what is refused ----
@pytest.mark.parametrize("call, message", [
    (lambda: F.prelu(np.ones((2, 3)), np.ones(2)), r"prelu: weight \(2,\) for input \(2, 3\)"),
    (lambda: F.prelu(np.ones(3), np.ones(3)), r"prelu: weight \(3,\) for input \(3,\)"),
    (lambda: F.prelu(np.ones((2, 3)), np.ones((1, 3))), r"prelu: weight \(1, 3\)"),
    (lambda: F.rrelu(np.ones(3), 0.5, 0.2), r"lower must be <= upper, got 0\.5 and 0\.2"),
    (lambda: nn.RReLU(0.5, 0.2), r"RReLU: lower must be <= upper, got 0\.5 and 0\.2"),
    (lambda: F.celu(np.ones(3), 0.0), r"celu: alpha must be positive, got 0\.0"),
    (lambda: F.squareplus(np.ones(3), -1.0), r"squareplus: b must not be negative, got -1\.0"),
    (lambda: F.hardtanh(np.ones(3), 1.0, -1.0), r"min_val must be less than max_val, got 1\.0 and -1\.0"),
    (lambda: F.softshrink(np.ones(3), -0.1), r"softshrink: lambd must not be negative, got -0\.1"),
    (lambda: F.gelu(np.ones(3), "erf"), r"approximate is 'none' or 'tanh', not 'erf'"),
    (lambda: F.glu(np.ones((2, 3))), r"glu: axis -1 of input \(2, 3\) must divide by 2"),
    (lambda: F.glu(np.ones((2, 4)), 2), r"glu: axis 2 of input \(2, 4\)"),
    (lambda: F.maxout(np.ones((2, 4)), 3), r"maxout: axis -1 of input \(2, 4\) must divide by 3"),
    (lambda: F.maxout(np.ones((2, 4)), 0), r"maxout: axis -1 of input \(2, 4\) must divide by 0"),
])
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("name", sorted(set(FUNCTIONS | ALONG) - {"rrelu training"}))
def test_inside_vmap(name):
    f, x = (FUNCTIONS | ALONG)[name], np.stack([apart(4, 3), apart(4, 3, seed=1)])
    assert_allclose(vmap(f)(Tensor(x)).data, [f(v) for v in x], 1e-14)
