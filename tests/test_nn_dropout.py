"""The dropout family: given masks are in the recorded cases of test_layers.py; here are chance, modes and errors."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import minigrad.functional as F
from minigrad import Tensor, manual_seed, nn
from minigrad.testing import gradcheck


def rng(seed=0):
    return np.random.default_rng(seed)


def normal(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


def ones(*shape):
    return Tensor(np.ones(shape, np.float32))


def moments(samples, mean, variance, tails=3.0):
    """Fail unless samples (n, ...) have this mean and variance, within 4.5 standard errors. tails: kurtosis - 1."""
    n = len(samples)
    assert np.all(np.abs(samples.mean(axis=0) - mean) <= 4.5 * np.sqrt(variance / n))
    assert np.all(np.abs(samples.var(axis=0) - variance) <= 4.5 * variance * np.sqrt(tails / n))


# ---- all of them ----
LAYERS = {
    "Dropout": (lambda **k: nn.Dropout(0.3, **k), (4, 6)),
    "Dropout1d": (lambda **k: nn.Dropout1d(0.3, **k), (4, 6, 3)),
    "Dropout2d": (lambda **k: nn.Dropout2d(0.3, **k), (4, 6, 3, 2)),
    "Dropout3d": (lambda **k: nn.Dropout3d(0.3, **k), (4, 6, 3, 2, 2)),
    "AlphaDropout": (lambda **k: nn.AlphaDropout(0.3, **k), (4, 6)),
    "FeatureAlphaDropout": (lambda **k: nn.FeatureAlphaDropout(0.3, **k), (4, 6, 3)),
    "GaussianDropout": (lambda **k: nn.GaussianDropout(0.3, **k), (4, 6)),
    "GaussianNoise": (lambda **k: nn.GaussianNoise(0.3, **k), (4, 6)),
    "StochasticDepth": (lambda **k: nn.StochasticDepth(0.5, **k), (12, 2)),
    "StochasticDepth, batch": (lambda **k: nn.StochasticDepth(0.5, "batch", **k), (3, 2)),
    "DropBlock2d": (lambda **k: nn.DropBlock2d(0.4, 2, **k), (3, 2, 5, 4)),
    "Cutout": (lambda **k: nn.Cutout(3, **k), (3, 2, 6, 6)),
}
each = pytest.mark.parametrize("name", LAYERS)


@each
def test_evaluation_is_the_identity(name):
    make, shape = LAYERS[name]
    x = Tensor(normal(*shape))
    assert_array_equal(make().eval()(x).data, x.data)


@each
def test_generators_reproduce(name):
    make, shape = LAYERS[name]
    x = Tensor(normal(*shape))
    layer, again = make(generator=rng()), make(generator=rng())
    draws = [layer(x).data for _ in range(12)]
    assert len({y.tobytes() for y in draws}) > 1
    for y in draws:
        assert_array_equal(again(x).data, y)
    layer = make()
    manual_seed(7)
    y = layer(x).data
    manual_seed(7)
    assert_array_equal(layer(x).data, y)


@each
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtypes_are_kept(name, dtype):
    make, shape = LAYERS[name]
    x = Tensor(normal(*shape).astype(dtype), requires_grad=True)
    y = make(generator=rng(5))(x)
    y.sum().backward()
    assert y.dtype == x.grad.dtype == dtype


@each
def test_the_gradient_meets_the_same_chance(name):
    make, shape = LAYERS[name]
    gradcheck(lambda x: make(generator=rng(3))(x), normal(*shape), order=2 if name != "GaussianNoise" else 1)


@each
def test_nothing_is_kept_in_the_state(name):
    layer = LAYERS[name][0]()
    assert layer.state_dict() == nn.torch_state_dict(layer) == {}


@pytest.mark.parametrize("layer, text", [
    (nn.Dropout(0.2, scaling="classic"), "Dropout(p=0.2, scaling='classic')"), (nn.Dropout2d(), "Dropout2d(p=0.5)"),
    (nn.AlphaDropout(0.1), "AlphaDropout(p=0.1)"), (nn.GaussianDropout(0.2), "GaussianDropout(rate=0.2)"),
    (nn.GaussianNoise(0.2), "GaussianNoise(stddev=0.2)"),
    (nn.StochasticDepth(0.2), "StochasticDepth(p=0.2, mode='row')"),
    (nn.DropBlock2d(0.1, 3), "DropBlock2d(p=0.1, block_size=3)"), (nn.Cutout(4), "Cutout(size=4, holes=1)")])
def test_repr(layer, text):
    assert repr(layer) == text


# ---- means and variances ----
X = np.array([1.5, -0.4, 2.0])
N = 40000
MANY = np.tile(X, (N, 1))


def tails(p):
    """Of a mask of ones and zeros: kurtosis - 1 = (1 - 4 p q) / (p q)."""
    return max((1 - 4 * p * (1 - p)) / (p * (1 - p)), 0.05)


@pytest.mark.parametrize("p", [0.2, 0.7])
def test_dropout_keeps_the_mean(p):
    moments(F.dropout(MANY, p, generator=rng()), X, X ** 2 * p / (1 - p), tails(p))


@pytest.mark.parametrize("p", [0.2, 0.7])
def test_classic_dropout_has_its_mean_in_evaluation(p):
    """Srivastava et al. 2014: training does not divide, so the test multiplies by what is kept."""
    layer = nn.Dropout(p, rng(), scaling="classic")
    y = layer(Tensor(MANY)).data
    assert set(np.unique(y)) == {0.0, *X}
    moments(y, layer.eval()(Tensor(X)).data, X ** 2 * p * (1 - p), tails(p))
    assert_allclose(layer(Tensor(X)).data, X * (1 - p))


def test_both_scalings_drop_the_same_and_differ_by_a_factor():
    x = Tensor(normal(5, 4))
    inverted, classic = nn.Dropout(0.3, rng()), nn.Dropout(0.3, rng(), scaling="classic")
    assert_allclose(inverted(x).data * 0.7, classic(x).data, 1e-14)


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_classic_dropout_of_nothing_and_everything(p):
    layer = nn.Dropout(p, scaling="classic")
    for mode in (True, False):
        assert_array_equal(layer.train(mode)(ones(3, 4)).data, 1 - p)


@pytest.mark.parametrize("layer, shape", [
    (nn.Dropout1d, (200, 50, 3)), (nn.Dropout2d, (200, 50, 2, 2)), (nn.Dropout3d, (200, 50, 2, 1, 2)),
    (nn.Dropout1d, (5000, 3)), (nn.Dropout3d, (5000, 2, 2, 2))])
def test_whole_channels_are_dropped(layer, shape):
    p, y = 0.3, layer(0.3, rng())(ones(*shape)).data
    spatial = 3 if layer is nn.Dropout3d else 2 if layer is nn.Dropout2d else 1
    flat = y.reshape(*shape[:-spatial], -1)
    assert (flat == flat[..., :1]).all()
    moments(flat[..., 0].reshape(-1), 1, p / (1 - p), tails(p))
    assert set(np.unique(flat)) == {0, np.float32(1 / 0.7)}


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_alpha_dropout_keeps_mean_zero_and_variance_one(p):
    """Klambauer et al. 2017, and with them the moments of SELU's outputs."""
    y = F.alpha_dropout(rng(1).standard_normal(10 ** 6), p, True, rng())
    assert abs(y.mean()) < 0.006 and abs(y.var() - 1) < 0.012


def test_feature_alpha_dropout_takes_whole_channels():
    x = normal(300, 20, 4)
    y = F.feature_alpha_dropout(x, 0.4, True, rng())
    dropped = y.std(axis=2) < 1e-12
    assert abs(dropped.mean() - 0.4) < 0.03
    assert np.ptp(y[dropped]) < 1e-12
    slope = np.diff(y, axis=2)[~dropped] / np.diff(x, axis=2)[~dropped]
    assert_allclose(slope, slope[0, 0], 1e-6)


def test_alpha_dropout_of_everything_is_zero():
    assert_array_equal(F.alpha_dropout(normal(3, 2), 1.0, True), 0)


@pytest.mark.parametrize("rate", [0.2, 0.5])
def test_gaussian_dropout_has_the_moments_of_dropout(rate):
    moments(F.gaussian_dropout(MANY, rate, generator=rng()), X, X ** 2 * rate / (1 - rate))


def test_gaussian_noise_has_its_deviation():
    moments(F.gaussian_noise(MANY, 0.3, generator=rng()), X, 0.09)


# ---- stochastic depth ----
def test_row_mode_drops_whole_samples():
    y = nn.StochasticDepth(0.2, generator=rng())(ones(4000, 3, 2)).data
    rows = y.reshape(4000, -1)
    assert set(np.unique(rows)) == {0, np.float32(1.25)} and (rows == rows[:, :1]).all()
    moments(rows[:, 0], 1, 0.25, tails(0.2))


def test_batch_mode_drops_all_or_nothing():
    layer, x = nn.StochasticDepth(0.2, "batch", rng()), ones(5, 2)
    draws = np.stack([layer(x).data for _ in range(2000)])
    assert (draws == draws[:, :1, :1]).all()
    moments(draws[:, 0, 0], 1, 0.25, tails(0.2))


def test_residual_block_in_expectation_is_the_papers_at_test_time():
    """Huang et al. 2016, equation 5: p_l f(x) + x; the survivors here are divided in training instead."""
    x, layer = normal(1, 3), nn.StochasticDepth(0.4, generator=rng())
    branch = np.tanh(x)
    blocks = x + layer(Tensor(np.tile(branch, (N, 1)))).data
    moments(blocks, (x + branch)[0], (branch ** 2)[0] * 0.4 / 0.6, tails(0.4))
    assert_allclose(x + layer.eval()(Tensor(branch)).data, x + branch)


@pytest.mark.parametrize("p", [0.0, 1.0])
@pytest.mark.parametrize("mode", ["row", "batch"])
def test_stochastic_depth_of_nothing_and_everything(p, mode):
    assert_array_equal(nn.StochasticDepth(p, mode)(ones(3, 2)).data, 1 - p)


def test_linear_decay():
    found = [F.survival_probability(layer, 4) for layer in range(5)]
    assert_allclose(found, [1, 0.875, 0.75, 0.625, 0.5])
    assert F.survival_probability(3, 3, 0.8) == 0.8
    # the expected depth of Huang et al. 2016, section 3: (3 L - 1) / 4
    assert_allclose(sum(F.survival_probability(layer, 54) for layer in range(1, 55)), (3 * 54 - 1) / 4)


# ---- regions ----
def test_drop_block_drops_squares_and_about_p():
    x = ones(400, 3, 8, 8)
    y = nn.DropBlock2d(0.1, 3, generator=rng())(x).data
    dropped = y == 0
    assert 0.07 < dropped.mean() < 0.1  # squares overlap: somewhat less than p
    assert_allclose(y.mean(), 1, 1e-5)
    windows = np.lib.stride_tricks.sliding_window_view(dropped, (3, 3), axis=(2, 3)).all(axis=(4, 5))
    covered = np.zeros_like(dropped)
    for i in range(3):
        for j in range(3):
            covered[:, :, i:i + 6, j:j + 6] |= windows
    assert_array_equal(covered, dropped)


@pytest.mark.parametrize("block_size", [1, 2, 3, 4, 9])
def test_drop_block_sizes(block_size):
    y = F.drop_block2d(ones(50, 2, 4, 5), 0.3, block_size, generator=rng()).data
    assert 0.1 < (y == 0).mean() < 0.4


def test_drop_block_of_one_pixel_is_dropout():
    y = F.drop_block2d(ones(100, 4, 5, 5), 0.3, 1, generator=rng()).data
    assert abs((y == 0).mean() - 0.3) < 0.02


def test_drop_block_of_everything_is_zero():
    assert_array_equal(F.drop_block2d(ones(1, 1, 2, 2), 1.0, 2).data, 0)


def test_cutout_hides_a_square_alike_in_all_channels():
    y = nn.Cutout(3, generator=rng())(ones(500, 2, 8, 9)).data
    hidden = y == 0
    assert_array_equal(hidden[:, 0], hidden[:, 1])
    heights, widths = (hidden[:, 0].any(axis=a).sum(axis=1) for a in (2, 1))
    assert_array_equal(hidden[:, 0].sum(axis=(1, 2)), heights * widths)
    assert set(heights) == set(widths) == {2, 3}  # at the edges less
    assert_array_equal(np.unique(y), [0, 1])


def test_cutout_of_one_pixel_is_uniform():
    hidden = (F.cutout(ones(20000, 1, 2, 3), 1, generator=rng()).data == 0).mean(axis=0)
    assert_allclose(hidden, 1 / 6, atol=0.012)


def test_cutout_of_several_holes():
    y = F.cutout(ones(1, 1, 4, 4), 2, 2, centers=[[[1, 1], [3, 3]]]).data[0, 0]
    assert_array_equal(y, [[0, 0, 1, 1], [0, 0, 1, 1], [1, 1, 0, 0], [1, 1, 0, 0]])


# ---- DropConnect, Wan et al. 2013 ----
def pre_activation(layer, x):
    """Section 3.2: mean and variance of u over the masks, with a bias that is dropped as all weights."""
    keep = 1 - layer.p
    w, b = layer.weight.data, layer.bias.data
    return keep * (x @ w + b), keep * layer.p * ((x * x) @ (w * w) + b * b)


def test_biases_are_masked_too():
    x = normal(6)
    layer = nn.DropConnect(6, 3, p=0.3, per_example=True, mask_bias=True, dtype=np.float64, generator=rng())
    mean, variance = pre_activation(layer, x)
    moments(layer(Tensor(np.tile(x, (N, 1)))).data, mean, variance)
    assert_allclose(layer.eval()(Tensor(x[None])).data[0], mean)
    layer.inference, layer.samples = "gaussian", 1
    moments(layer(Tensor(np.tile(x, (N, 1)))).data, mean, variance)


def test_with_masked_biases_nothing_is_left_of_everything():
    layer = nn.DropConnect(4, 3, p=1.0, mask_bias=True)
    for mode in (True, False):
        assert_array_equal(layer.train(mode)(ones(5, 4)).data, 0)
    assert nn.DropConnect(4, 3, bias=False, mask_bias=True)(ones(5, 4)).shape == (5, 3)


def test_lazy_size():
    layer = nn.DropConnect(None, 3)
    assert layer(ones(5, 4)).shape == (5, 3) and layer.weight.shape == (4, 3)


def test_given_masks():
    x, w, b = normal(2, 3), normal(3, 2), normal(2)
    mask, rows = rng().random((3, 2)) < 0.5, rng().random((2, 3, 2)) < 0.5
    assert_allclose(F.drop_connect(Tensor(x), Tensor(w), Tensor(b), mask=mask).data, x @ (w * mask) + b, 1e-14)
    y = F.drop_connect(Tensor(x), Tensor(w), None, mask=rows).data
    assert_allclose(y, [x[i] @ (w * rows[i]) for i in range(2)], 1e-14)


# ---- errors ----
@pytest.mark.parametrize("call, message", [
    (lambda: nn.Dropout(0.5, scaling="none"), r"scaling is 'inverted' or 'classic', not 'none'"),
    (lambda: F.dropout(ones(2), scaling=1), r"scaling is 'inverted' or 'classic', not 1"),
    (lambda: nn.Dropout1d(-1), r"between 0 and 1, got -1"),
    (lambda: nn.AlphaDropout(2), r"between 0 and 1, got 2"),
    (lambda: nn.Dropout1d()(ones(2, 3, 4, 5)), r"dropout1d: input \(2, 3, 4, 5\) must be \(N, C, L\) or \(C, L\)"),
    (lambda: nn.Dropout2d()(ones(2, 3, 4)), r"dropout2d: input \(2, 3, 4\) must be \(N, C, H, W\)"),
    (lambda: nn.Dropout3d()(ones(2, 3, 4)), r"dropout3d: input \(2, 3, 4\) must be \(N, C, D, H, W\) or \(C, D"),
    (lambda: nn.FeatureAlphaDropout()(ones(3)), r"feature_alpha_dropout: input \(3,\) must be \(N, C, \.\.\.\)"),
    (lambda: nn.GaussianDropout(1.0), r"rate must be from 0 to less than 1, got 1\.0"),
    (lambda: F.gaussian_dropout(ones(2), -0.1), r"rate must be from 0 to less than 1, got -0\.1"),
    (lambda: nn.GaussianNoise(-1), r"stddev must not be negative, got -1"),
    (lambda: F.gaussian_noise(ones(2), float("nan")), r"stddev must not be negative, got nan"),
    (lambda: nn.StochasticDepth(0.1, "column"), r"mode is 'row' or 'batch', not 'column'"),
    (lambda: nn.StochasticDepth(1.1), r"between 0 and 1, got 1\.1"),
    (lambda: F.stochastic_depth(ones(2), 0.1, "all"), r"mode is 'row' or 'batch', not 'all'"),
    (lambda: F.stochastic_depth(ones(), 0.1), r"has no rows"),
    (lambda: F.survival_probability(5, 4), r"no layer 5 of 4"),
    (lambda: F.survival_probability(1, 4, 1.5), r"between 0 and 1, got 1\.5"),
    (lambda: nn.DropBlock2d(0.1, 0), r"block_size must be at least 1, got 0"),
    (lambda: F.drop_block2d(ones(2, 2, 2), 0.1, 1), r"drop_block2d: input \(2, 2, 2\) must be \(N, C, H, W\)"),
    (lambda: nn.Cutout(0), r"size and holes must be at least 1, got 0 and 1"),
    (lambda: F.cutout(ones(2, 2), 1), r"cutout: input \(2, 2\) must be \(N, C, H, W\)"),
    (lambda: F.cutout(ones(2, 1, 3, 3), 1, centers=[[1, 2]]), r"centers \(1, 2\) must be \(2, 1, 2\)"),
    (lambda: F.drop_connect(ones(2, 3, 4), ones(4, 2), per_example=True), r"input \(2, 3, 4\) must be \(N, 4\)"),
    (lambda: F.drop_connect(ones(2, 3), ones(4, 2), per_example=True), r"input \(2, 3\) must be \(2, 4\)"),
    (lambda: F.drop_connect(ones(2, 4), ones(4, 2), mask=np.ones((3, 4, 2))), r"input \(2, 4\) must be \(3, 4\)"),
])
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("mode", ["batch", "row"])
@pytest.mark.parametrize("training", [True, False])
def test_a_branch_added_is_the_branch_dropped_and_added(mode, training):
    x, calls = Tensor(np.ones((3, 2))), []

    def branch():
        calls.append(1)
        return x * 5
    for seed in range(6):
        layers = [nn.StochasticDepth(0.5, mode, np.random.default_rng(seed)).train(training) for _ in range(2)]
        calls.clear()
        added, plain = layers[0].added(x, branch), x + layers[1](x * 5)
        np.testing.assert_array_equal(added.data, plain.data)
        assert len(calls) == (not training or mode == "row" or bool((plain.data != 1).any()))


@pytest.mark.parametrize("make", [
    lambda g: nn.Dropout(0.5, g), lambda g: nn.Dropout2d(0.5, g), lambda g: nn.AlphaDropout(0.5, g),
    lambda g: nn.GaussianDropout(0.5, g), lambda g: nn.GaussianNoise(0.5, g),
    lambda g: nn.StochasticDepth(0.5, "row", g), lambda g: nn.RReLU(0.1, 0.3, g)])
def test_the_second_argument_is_not_inplace(make):
    with pytest.raises(TypeError, match=r"generator is a np\.random\.Generator or None, not True; there is no inplace"):
        make(True)
    assert make(rng()).generator is not None and make(None).generator is None
