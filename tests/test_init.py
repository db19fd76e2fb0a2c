"""Starting weights: fans, gains, bounds and variances, orthogonality."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from minigrad import Parameter, Tensor, manual_seed
from minigrad.nn import init

SHAPES = [(60, 50), (40, 8, 3, 3)]
FANS = {(60, 50): (60, 50), (40, 8, 3, 3): (72, 360)}


def rng(seed=0):
    return np.random.default_rng(seed)


def empty(*shape, dtype=np.float64):
    return Parameter(np.full(shape, np.nan, dtype))


@pytest.mark.parametrize("shape, expected", [
    ((3, 5), (3, 5)),  # a dense weight is (in, out)
    ((8, 4, 3, 2), (24, 48)),  # a convolution's (out, in / groups, *kernel)
    ((8, 1, 5, 5), (25, 200)),
    ((6, 2, 7), (14, 42)),
    *FANS.items(),
])
def test_fans(shape, expected):
    assert init.fans(shape) == expected


@pytest.mark.parametrize("shape", [(), (3,)])
def test_a_bias_has_no_fans(shape):
    with pytest.raises(ValueError, match=r"at least two axes, got shape \(.*zeros_"):
        init.xavier_uniform_(empty(*shape))


@pytest.mark.parametrize("name, param, gain", [
    ("linear", None, 1), ("identity", None, 1), ("conv2d", None, 1), ("sigmoid", None, 1), ("tanh", None, 5 / 3),
    ("relu", None, math.sqrt(2)), ("selu", None, 0.75), ("leaky_relu", None, math.sqrt(2 / 1.0001)),
    ("leaky_relu", 0.2, math.sqrt(2 / 1.04)), ("leaky_relu", 0, math.sqrt(2)),
])
def test_gains(name, param, gain):
    assert_allclose(init.calculate_gain(name, param), gain, 1e-15)


def test_an_unknown_gain_names_the_known_ones():
    with pytest.raises(ValueError, match=r"no gain for 'swish'; known: linear.*relu.*leaky_relu"):
        init.calculate_gain("swish")
    with pytest.raises(ValueError, match="no gain for 'swish'"):
        init.kaiming_normal_(empty(2, 3), nonlinearity="swish")


@pytest.mark.parametrize("name, gain", [("relu", math.sqrt(2)), ("tanh", 5 / 3)])
def test_a_gain_keeps_the_scale_of_a_signal(name, gain):
    """relu: the second moment is kept exactly; tanh: a deep net's signal neither dies nor saturates."""
    x = rng(1).standard_normal((500, 400))
    for i in range(10):
        y = x @ init.kaiming_normal_(empty(400, 400), nonlinearity=name, generator=rng(i)).data
        x = np.maximum(y, 0) if name == "relu" else np.tanh(y)
    kept = (x * x).mean() / (1 if name == "relu" else 0.42)
    assert 0.6 < kept < 1.6


# each: how it is called, and the standard deviation it promises for (fan_in, fan_out)
NORMAL = {
    "normal": (lambda w, g: init.normal_(w, 0, 0.3, g), lambda i, o: 0.3),
    "xavier": (lambda w, g: init.xavier_normal_(w, 2.0, g), lambda i, o: 2 * math.sqrt(2 / (i + o))),
    "kaiming": (lambda w, g: init.kaiming_normal_(w, generator=g), lambda i, o: math.sqrt(2 / i)),
    "kaiming, fan_out": (lambda w, g: init.kaiming_normal_(w, 0, "fan_out", generator=g),
                         lambda i, o: math.sqrt(2 / o)),
    "kaiming, sloped": (lambda w, g: init.kaiming_normal_(w, 0.5, generator=g), lambda i, o: math.sqrt(1.6 / i)),
    "kaiming, tanh": (lambda w, g: init.kaiming_normal_(w, nonlinearity="tanh", generator=g),
                      lambda i, o: 5 / 3 / math.sqrt(i)),
    "lecun": (lambda w, g: init.lecun_normal_(w, g), lambda i, o: 1 / math.sqrt(i)),
}
UNIFORM = {
    "uniform": (lambda w, g: init.uniform_(w, -0.3, 0.3, g), lambda i, o: 0.3 / math.sqrt(3)),
    "xavier": (lambda w, g: init.xavier_uniform_(w, 2.0, g), lambda i, o: 2 * math.sqrt(2 / (i + o))),
    "kaiming": (lambda w, g: init.kaiming_uniform_(w, generator=g), lambda i, o: math.sqrt(2 / i)),
    "kaiming, fan_out": (
        lambda w, g: init.kaiming_uniform_(w, 0, "fan_out", generator=g), lambda i, o: math.sqrt(2 / o)),
    "kaiming, torch's a": (lambda w, g: init.kaiming_uniform_(w, math.sqrt(5), generator=g),
                           lambda i, o: 1 / math.sqrt(3 * i)),
    "kaiming, relu": (lambda w, g: init.kaiming_uniform_(w, nonlinearity="relu", generator=g),
                      lambda i, o: math.sqrt(2 / i)),
    "lecun": (lambda w, g: init.lecun_uniform_(w, g), lambda i, o: 1 / math.sqrt(i)),
    "torch's default": (lambda w, g: init.torch_default_(w, None, g) or w, lambda i, o: 1 / math.sqrt(3 * i)),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", NORMAL)
def test_normal(name, shape):
    fill, std = NORMAL[name]
    w, std = fill(empty(*shape), rng()), std(*FANS[shape])
    z = w.data.ravel() / std
    assert abs(z.mean()) < 4 / math.sqrt(z.size)
    assert abs(z.var() - 1) < 4 * math.sqrt(2 / z.size)
    assert abs((np.abs(z) < 1).mean() - 0.6827) < 4 * math.sqrt(0.6827 * 0.3173 / z.size)  # and normal it is
    assert_allclose(w.data, std * init.normal_(empty(*shape), generator=rng()).data, 1e-12)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", UNIFORM)
def test_uniform(name, shape):
    fill, std = UNIFORM[name]
    w, bound = fill(empty(*shape), rng()), math.sqrt(3) * std(*FANS[shape])
    u = w.data.ravel() / bound
    assert 0.99 < np.abs(u).max() <= 1 and u.min() < -0.99 and u.max() > 0.99
    assert abs(u.mean()) < 4 / math.sqrt(3 * u.size)
    assert abs((np.abs(u) < 0.5).mean() - 0.5) < 4 * 0.5 / math.sqrt(u.size)
    assert_allclose(w.data, bound * init.uniform_(empty(*shape), -1, 1, rng()).data, 1e-9)


def test_normal_has_the_mean_it_is_given():
    assert abs(init.normal_(empty(100, 100), 5.0, 2.0, rng()).data.mean() - 5) < 4 * 2 / 100


@pytest.mark.parametrize("shape", [(5, 5), (8, 3), (3, 8), (4, 2, 3, 3), (20, 2, 2, 2)])
@pytest.mark.parametrize("gain", [1.0, 0.5])
def test_orthogonal(shape, gain):
    w = init.orthogonal_(empty(*shape), gain, rng()).data.reshape(shape[0], -1) / gain
    small = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
    assert_allclose(small, np.eye(len(small)), atol=1e-12)


def test_orthogonal_matrices_are_drawn_uniformly():
    """Without its sign correction QR favours some: the trace of a uniform one has mean 0 and variance 1."""
    traces = [np.trace(init.orthogonal_(empty(4, 4), generator=g).data) for g in [rng()] for _ in range(2000)]
    assert abs(np.mean(traces)) < 4 / math.sqrt(2000)
    assert abs(np.var(traces) - 1) < 0.2


def test_constants():
    assert_array_equal(init.zeros_(empty(2, 3)).data, np.zeros((2, 3)))
    assert_array_equal(init.ones_(empty(3)).data, np.ones(3))
    assert_array_equal(init.constant_(empty(2), 0.25).data, [0.25, 0.25])


def test_aliases():
    assert init.he_normal_ is init.kaiming_normal_ and init.he_uniform_ is init.kaiming_uniform_
    assert init.glorot_normal_ is init.xavier_normal_ and init.glorot_uniform_ is init.xavier_uniform_


DRAWING = [init.uniform_, init.normal_, init.xavier_uniform_, init.xavier_normal_, init.kaiming_uniform_,
           init.kaiming_normal_, init.lecun_uniform_, init.lecun_normal_, init.orthogonal_]


@pytest.mark.parametrize("fill", DRAWING)
def test_a_generator_decides_all(fill):
    given = fill(empty(4, 3), generator=rng(5)).data
    assert_array_equal(fill(empty(4, 3), generator=rng(5)).data, given)
    manual_seed(5)
    first = fill(empty(4, 3)).data
    assert_array_equal(first, given)
    assert (fill(empty(4, 3)).data != first).any()  # and the default generator went on


@pytest.mark.parametrize("fill", [*DRAWING, init.zeros_, init.ones_, lambda w: init.constant_(w, 3)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_filling_keeps_the_tensor_and_its_dtype(fill, dtype):
    w = empty(4, 3, dtype=dtype)
    assert fill(w) is w
    assert w.dtype == dtype and w.shape == (4, 3) and w.requires_grad and w.is_leaf
    assert np.isfinite(w.data).all() and w.data.flags.c_contiguous and w.data.flags.writeable


def test_filling_is_not_recorded_and_leaves_the_old_array_alone():
    old = np.zeros((2, 2))
    w = Tensor(old, requires_grad=True)
    loss = (w * w).sum()
    init.ones_(w)
    loss.backward()
    assert_array_equal(old, np.zeros((2, 2)))
    assert_array_equal(w.grad.data, np.zeros((2, 2)))


def test_torchs_default_bounds_the_bias_by_the_weights_fan_in():
    w, b = empty(2, 400, 5, 5), empty(5000)
    init.torch_default_(w, b, rng())
    for p in (w, b):
        assert 0.0099 < np.abs(p.data).max() <= 0.01


@pytest.mark.parametrize("call, message", [
    (lambda: init.kaiming_normal_(empty(2, 2), mode="fan_avg"), r"mode is 'fan_in' or 'fan_out', not 'fan_avg'"),
    (lambda: init.orthogonal_(empty(4)), r"at least two axes, got shape \(4,\)"),
])
def test_errors_say_what_was_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call()
