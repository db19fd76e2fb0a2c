"""Starting weights: fans, gains, bounds and variances, orthogonality."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import minigrad.functional as F
from minigrad import Parameter, Tensor, manual_seed, nn
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
    ("conv1d", None, 1), ("conv_transpose3d", None, 1),
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
    "variance scaling": (lambda w, g: init.variance_scaling_(w, 3.0, "fan_avg", "untruncated_normal", g),
                         lambda i, o: math.sqrt(6 / (i + o))),
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
    "variance scaling": (lambda w, g: init.variance_scaling_(w, 2.0, "fan_out", "uniform", g),
                         lambda i, o: math.sqrt(2 / o)),
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


def truncated(low, high):
    """Mean and standard deviation of a standard normal between low and high, by summing over a grid."""
    x = np.linspace(low, high, 200_001)
    p = np.exp(-x * x / 2)
    mean = (p * x).sum() / p.sum()
    return mean, math.sqrt((p * (x - mean) ** 2).sum() / p.sum())


@pytest.mark.parametrize("mean, std, a, b", [
    (0, 1, -2, 2), (0.5, 0.1, 0.4, 0.8), (0, 1, 1, 4), (1, 2, -8, 0), (0, 1, 6, 7), (0, 1, -7, -6), (0, 0.02, -2, 2)])
def test_truncated_normal(mean, std, a, b):
    """Between its cut-offs, and with the moments of PyTorch's definition, also far out in a tail."""
    w = init.trunc_normal_(empty(200, 200), mean, std, a, b, rng()).data
    assert a <= w.min() and w.max() <= b
    expected, spread = truncated(max((a - mean) / std, -9), min((b - mean) / std, 9))
    assert abs(w.mean() - (mean + std * expected)) < 4 * std * spread / 200
    assert_allclose(w.std(), std * spread, rtol=0.03)


def test_truncated_normal_has_the_distribution_of_scipy():
    stats = pytest.importorskip("scipy.stats")
    w = init.trunc_normal_(empty(50, 50), 1.0, 2.0, 0.0, 2.5, rng()).data.ravel()
    assert stats.kstest(w, stats.truncnorm((0 - 1) / 2, (2.5 - 1) / 2, 1, 2).cdf).pvalue > 0.01


def test_truncated_normal_rescaled_has_the_deviation_it_is_given():
    w = init.trunc_normal_(empty(300, 300), 1.0, 0.5, generator=rng(), rescale=True).data
    assert_allclose(w.std(), 0.5, rtol=0.02)
    assert_allclose(np.abs(w - 1).max(), 2 * 0.5 / 0.87962566103423978, rtol=1e-3)  # Keras' constant
    one_sided = init.trunc_normal_(empty(300, 300), 0.0, 0.5, 0.0, math.inf, rng(), rescale=True).data
    assert one_sided.min() >= 0
    assert_allclose(one_sided.std(), 0.5, rtol=0.02)


def test_truncated_normal_stays_within_in_float32():
    w = init.trunc_normal_(empty(100, 100, dtype=np.float32), 0, 1, -0.1, 0.1, rng())
    assert np.abs(w.data).max() <= np.float32(0.1)


@pytest.mark.parametrize("mode, n", [("fan_in", 60), ("fan_out", 50), ("fan_avg", 55)])
def test_variance_scaling_is_truncated_by_default(mode, n):
    w = init.variance_scaling_(empty(60, 50), 2.0, mode, generator=rng()).data
    std = math.sqrt(2 / n)
    assert_allclose(w.std(), std, rtol=0.05)
    assert 1.9 * std / 0.87962566 < np.abs(w).max() <= 2.0001 * std / 0.87962566


def test_variance_scaling_has_the_others_as_cases():
    for scale, mode, other in ((1, "fan_in", init.lecun_uniform_), (1, "fan_avg", init.xavier_uniform_),
                               (2, "fan_in", init.he_uniform_)):
        w = init.variance_scaling_(empty(6, 4), scale, mode, "uniform", rng())
        assert_allclose(w.data, other(empty(6, 4), generator=rng()).data, 1e-12)


@pytest.mark.parametrize("shape", [(4, 4), (5, 3), (3, 5)])
def test_eye_passes_the_inputs_on(shape):
    w = init.eye_(empty(*shape))
    x = rng().standard_normal((2, shape[0]))
    kept = min(shape)
    assert_array_equal((x @ w.data)[:, :kept], x[:, :kept])
    assert not (x @ w.data)[:, kept:].any()


@pytest.mark.parametrize("shape, groups", [
    ((4, 4, 3), 1), ((4, 4, 3, 3), 1), ((2, 3, 3, 5), 1), ((6, 2, 3, 3), 3), ((4, 4, 1, 3, 3), 1), ((6, 4, 3), 2)])
def test_dirac_passes_the_channels_on(shape, groups):
    w = init.dirac_(empty(*shape), groups)
    x = rng().standard_normal((2, shape[1] * groups, *(6,) * (len(shape) - 2)))
    conv = {3: F.conv1d, 4: F.conv2d, 5: F.conv3d}[len(shape)]
    y = conv(Tensor(x), w, padding=tuple(k // 2 for k in shape[2:]), groups=groups).data
    per, kept = shape[0] // groups, min(shape[0] // groups, shape[1])
    for g in range(groups):
        assert_array_equal(y[:, g * per:g * per + kept], x[:, g * shape[1]:g * shape[1] + kept])
        assert not y[:, g * per + kept:(g + 1) * per].any()


def test_delta_orthogonal_keeps_the_norm_of_each_pixel():
    w = init.delta_orthogonal_(empty(8, 5, 3, 3), 2.0, rng())
    x = rng().standard_normal((2, 5, 6, 6))
    y = F.conv2d(Tensor(x), w, padding=1).data
    assert_allclose((y * y).sum(axis=1), 4 * (x * x).sum(axis=1), rtol=1e-12)


@pytest.mark.parametrize("sparsity, zeros", [(0, 0), (0.1, 2), (0.5, 10), (0.925, 19), (1, 20)])
def test_sparse_leaves_every_unit_the_same_number_of_inputs(sparsity, zeros):
    w = init.sparse_(empty(20, 300), sparsity, 0.5, rng()).data
    assert ((w == 0).sum(axis=0) == zeros).all()
    if zeros < 20:
        assert abs(w[w != 0].std() - 0.5) < 0.05
    if zeros in (2, 10):
        assert np.ptp((w == 0).sum(axis=1)) > 0 and ((w == 0).sum(axis=1) > 0).all(), "which ones is drawn anew"


@pytest.mark.parametrize("name, shape, args", [
    ("eye_", (5, 3), ()), ("eye_", (3, 5), ()), ("dirac_", (4, 3, 3), ()), ("dirac_", (4, 6, 2, 3), (2,)),
    ("dirac_", (6, 2, 3, 4, 1), (3,))])
def test_equal_to_torch(name, shape, args):
    torch = pytest.importorskip("torch")
    expected = getattr(torch.nn.init, name)(torch.empty(*shape, dtype=torch.float64), *args)
    assert_array_equal(getattr(init, name)(empty(*shape), *args).data, expected.numpy())


DISTRIBUTIONS = {
    "xavier_uniform_": {"gain": 1.5}, "xavier_normal_": {"gain": 1.5},
    "kaiming_uniform_": {"a": 0.3, "mode": "fan_out"}, "kaiming_normal_": {"a": 0.3, "mode": "fan_out"},
    "trunc_normal_": {"mean": 0.1, "std": 0.5, "a": -0.4, "b": 0.5}, "sparse_": {"sparsity": 0.3, "std": 0.2},
    "orthogonal_": {"gain": 2.0}, "normal_": {"mean": 1, "std": 3}, "uniform_": {"a": -1, "b": 3},
}


@pytest.mark.parametrize("name, shape", [(name, shape) for name in DISTRIBUTIONS for shape in SHAPES
                                         if name != "sparse_" or len(shape) == 2])
def test_distributed_as_torch(name, shape):
    """The quantiles of PyTorch's draw, whose dense weight is the transpose; sparse_ is each column of what it gets."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    theirs = torch.empty(20, *(shape if len(shape) > 2 or name == "sparse_" else shape[::-1]), dtype=torch.float64)
    for w in theirs:
        getattr(torch.nn.init, name)(w, **DISTRIBUTIONS[name])
    ours = [getattr(init, name)(empty(*shape), generator=g, **DISTRIBUTIONS[name]).data for g in [rng()]
            for _ in range(20)]
    quantiles = [0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95]
    spread = theirs.std().item()
    assert_allclose(np.quantile(ours, quantiles), np.quantile(theirs.numpy(), quantiles), atol=0.1 * spread)


def test_lsuv_brings_every_layer_to_unit_variance():
    g = rng()
    model = nn.Sequential(nn.Conv2d(2, 6, 3, dtype=np.float64, generator=g), nn.ReLU(), nn.Flatten(),
                          *(m for i in range(4) for m in (nn.Dense(96 if i == 0 else 40, 40, dtype=np.float64,
                                                                   generator=g), nn.Tanh())))
    x = Tensor(5 + 3 * g.standard_normal((64, 2, 6, 6)))
    biases = [p.data.copy() for n, p in model.named_parameters() if n.endswith("bias")]
    assert init.lsuv_(model, x, tol=0.01, generator=g) is model
    for layer in model:
        x = layer(x)
        if hasattr(layer, "weight"):
            assert abs(x.data.var() - 1) < 0.01
            assert not layer._post_hooks
    w = model[3].weight.data
    assert_allclose(w.T @ w / (w.T @ w)[0, 0], np.eye(40), atol=1e-10)
    for before, p in zip(biases, (p for n, p in model.named_parameters() if n.endswith("bias"))):
        assert_array_equal(before, p.data)


def test_lsuv_refuses_a_layer_that_says_nothing():
    with pytest.raises(ValueError, match=r"output of Dense\(3, 2.*variance 0\.0"):
        init.lsuv_(nn.Sequential(nn.Dense(3, 2, bias=False)), Tensor(np.zeros((4, 3), np.float32)))


def test_by_name():
    assert init.by_name("he_normal") is init.kaiming_normal_ and init.by_name("zeros_") is init.zeros_
    for name in ("zeros", "ones", "constant", "normal", "uniform", "trunc_normal", "truncated_normal", "glorot_uniform",
                 "xavier_normal", "he_uniform", "kaiming_normal", "lecun_normal", "lecun_uniform", "orthogonal", "eye",
                 "identity", "dirac", "variance_scaling", "sparse", "delta_orthogonal"):
        assert callable(init.by_name(name))
    with pytest.raises(ValueError, match=r"no initializer called 'he'; there are constant, .*zeros"):
        init.by_name("he")


def test_constants():
    assert_array_equal(init.zeros_(empty(2, 3)).data, np.zeros((2, 3)))
    assert_array_equal(init.ones_(empty(3)).data, np.ones(3))
    assert_array_equal(init.constant_(empty(2), 0.25).data, [0.25, 0.25])


def test_aliases():
    assert init.he_normal_ is init.kaiming_normal_ and init.he_uniform_ is init.kaiming_uniform_
    assert init.glorot_normal_ is init.xavier_normal_ and init.glorot_uniform_ is init.xavier_uniform_


DRAWING = [init.uniform_, init.normal_, init.xavier_uniform_, init.xavier_normal_, init.kaiming_uniform_,
           init.kaiming_normal_, init.lecun_uniform_, init.lecun_normal_, init.orthogonal_, init.trunc_normal_,
           init.variance_scaling_, lambda w, generator=None: init.sparse_(w, 0.5, generator=generator)]


@pytest.mark.parametrize("fill", DRAWING)
def test_a_generator_decides_all(fill):
    given = fill(empty(4, 3), generator=rng(5)).data
    assert_array_equal(fill(empty(4, 3), generator=rng(5)).data, given)
    manual_seed(5)
    first = fill(empty(4, 3)).data
    assert_array_equal(first, given)
    assert (fill(empty(4, 3)).data != first).any()  # and the default generator went on


@pytest.mark.parametrize("fill", [*DRAWING, init.zeros_, init.ones_, init.eye_, lambda w: init.constant_(w, 3)])
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
    (lambda: init.eye_(empty(4, 3, 3)), r"two axes, got shape \(4, 3, 3\); dirac_"),
    (lambda: init.dirac_(empty(4, 3)), r"dirac_: a convolution's weight is .*got shape \(4, 3\)"),
    (lambda: init.dirac_(empty(4, 3, 3), 3), r"the 4 outputs of a weight \(4, 3, 3\) do not divide into groups=3"),
    (lambda: init.delta_orthogonal_(empty(3, 4, 3, 3)), "from 4 channels to fewer, 3"),
    (lambda: init.sparse_(empty(4, 3, 3), 0.1), r"two axes, got shape \(4, 3, 3\)"),
    (lambda: init.sparse_(empty(4, 3), 1.5), r"between 0 and 1, got 1\.5"),
    (lambda: init.trunc_normal_(empty(4), std=0), "std must be positive, got 0"),
    (lambda: init.trunc_normal_(empty(4), a=1, b=1), "a < b, got a=1, b=1"),
    (lambda: init.trunc_normal_(empty(4), a=50, b=60), "no probability between a=50 and b=60"),
    (lambda: init.variance_scaling_(empty(4, 3), 0), "scale must be positive, got 0"),
    (lambda: init.variance_scaling_(empty(4, 3), mode="fan"), "fan_in, fan_out, fan_avg, not 'fan'"),
    (lambda: init.variance_scaling_(empty(4, 3), distribution="normal"), "uniform, not 'normal'"),
])
def test_errors_say_what_was_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_slice_of_a_parameter_is_filled_in_place():
    """As for a forget gate; what was computed otherwise is nobody's."""
    lstm = nn.LSTM(3, 4)
    init.ones_(lstm.bias_ih_l0[4:8])
    assert (lstm.bias_ih_l0.data[4:8] == 1).all() and (lstm.bias_ih_l0.data[:4] != 1).all()
    init.orthogonal_(lstm.weight_hh_l0[:4])
    w = lstm.weight_hh_l0.data[:4]
    np.testing.assert_allclose(w @ w.T, np.eye(4), atol=1e-6)
    with pytest.raises(ValueError, match="that was computed is nobody's weight"):
        init.zeros_(lstm.bias_ih_l0 * 2)
