"""Normalization layers and weights computed from others: what is not in the recorded cases of test_layers.py."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import minigrad.functional as F
from minigrad import Tensor, grad, nn, optim, vmap
from minigrad.testing import gradcheck


def normal(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


def float32(*shape):
    return Tensor(normal(*shape).astype(np.float32), requires_grad=True)


# ---- layers ----
LAYERS = {
    "BatchNorm3d": (lambda: nn.BatchNorm3d(2), (3, 2, 2, 2, 2)),
    "GroupNorm": (lambda: nn.GroupNorm(2, 4), (3, 4, 5)),
    "InstanceNorm1d": (lambda: nn.InstanceNorm1d(2, affine=True, track_running_stats=True), (3, 2, 4)),
    "InstanceNorm2d": (lambda: nn.InstanceNorm2d(2, affine=True), (3, 2, 4, 4)),
    "InstanceNorm3d": (lambda: nn.InstanceNorm3d(2, track_running_stats=True), (3, 2, 2, 2, 2)),
    "LocalResponseNorm": (lambda: nn.LocalResponseNorm(3), (2, 4, 5)),
    "RMSNorm": (lambda: nn.RMSNorm(4), (3, 4)),
    "UnitNorm": (lambda: nn.UnitNorm(), (3, 4)),
    "weight_norm": (lambda: nn.weight_norm(nn.Linear(4, 3)), (3, 4)),
    "weight_norm of all": (lambda: nn.weight_norm(nn.Linear(4, 3), dim=None), (3, 4)),
    "spectral_norm": (lambda: nn.spectral_norm(nn.Conv2d(2, 3, 2)), (3, 2, 4, 4)),
    "weight_standardization": (lambda: nn.weight_standardization(nn.Linear(4, 3)), (3, 4)),
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("training", [True, False])
def test_float32_stays_float32(name, training):
    make, shape = LAYERS[name]
    layer, x = make().train(training), float32(*shape)
    y = layer(x)
    y.sum().backward()
    assert y.dtype == x.grad.dtype == np.float32
    assert {p.grad.dtype for p in layer.parameters()} <= {np.dtype(np.float32)}
    assert {np.asarray(v).dtype for k, v in layer.state_dict().items() if "num_" not in k} <= {np.dtype(np.float32)}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("there, back", [(nn.Module.state_dict, nn.Module.load_state_dict),
                                         (nn.torch_state_dict, nn.load_torch_state_dict)])
def test_state_round_trip(name, there, back):
    make, shape = LAYERS[name]
    layer, other = make(), make()
    for k, v in layer.state_dict().items():
        layer.load_state_dict({k: v + np.abs(normal(*v.shape))} if v.dtype.kind == "f" else {k: v}, strict=False)
    layer(float32(*shape))
    back(other, there(layer))
    x = float32(*shape)
    assert_array_equal(other.eval()(x).data, layer.eval()(x).data)
    for k, v in layer.state_dict().items():
        assert_array_equal(other.state_dict()[k], v)


@pytest.mark.parametrize("layer, text", [
    (nn.BatchNorm3d(2), "BatchNorm3d(2, eps=1e-05, momentum=0.1)"),
    (nn.GroupNorm(2, 4), "GroupNorm(2, 4, eps=1e-05)"),
    (nn.InstanceNorm2d(3), "InstanceNorm2d(3, eps=1e-05, momentum=0.1)"),
    (nn.LocalResponseNorm(2), "LocalResponseNorm(2, alpha=0.0001, beta=0.75, k=1.0)"),
    (nn.RMSNorm((2, 3)), "RMSNorm((2, 3), eps=None)"),
    (nn.UnitNorm(1), "UnitNorm(axis=1)"),
    (nn.weight_norm(nn.Linear(2, 3)),
     "ParametrizedDense(2, 3\n  (parametrizations): {'weight': _WeightNorm(dim=0)}\n)"),
    (nn.spectral_norm(nn.Linear(2, 3)).parametrizations["weight"],
     "_SpectralNorm(dim=0, n_power_iterations=1\n  (0): _PowerIteration()\n)"),
    (nn.weight_standardization(nn.Linear(2, 3)),
     "ParametrizedDense(2, 3\n  (parametrizations): {'weight': _WeightStandardization(dim=0, eps=1e-05)}\n)"),
])
def test_repr(layer, text):
    assert repr(layer) == text


def test_group_norm_between_layer_norm_and_instance_norm():
    x = normal(3, 4, 5)
    assert_allclose(F.group_norm(x, 1), F.layer_norm(x, (4, 5)), 1e-12)
    assert_allclose(F.group_norm(x, 4), F.instance_norm(x), 1e-12)


def test_group_norm_does_not_look_at_the_batch():
    layer, x = nn.GroupNorm(2, 4, dtype=np.float64), normal(3, 4, 2)
    assert_allclose(layer(Tensor(x)).data[1], layer(Tensor(x[1:2])).data[0], 1e-14)
    assert_array_equal(layer.eval()(Tensor(x)).data, layer.train()(Tensor(x)).data)


def test_groups_have_mean_zero_and_variance_one():
    y = F.group_norm(3 + 2 * normal(2, 6, 50), 3).reshape(2, 3, -1)
    assert_allclose(y.mean(axis=-1), 0, atol=1e-12)
    assert_allclose(y.var(axis=-1), 1, 1e-4)


def test_instance_norm_of_one_sample_is_that_of_a_batch():
    layer, x = nn.InstanceNorm2d(3, dtype=np.float64), normal(3, 4, 4)
    assert_array_equal(layer(Tensor(x)).data, layer(Tensor(x[None])).data[0])


def test_instance_norm_uses_its_statistics_in_evaluation_only():
    layer, x = nn.InstanceNorm1d(2, momentum=1.0, track_running_stats=True, dtype=np.float64), normal(5, 2, 7)
    assert_allclose(layer(Tensor(x)).data.mean(axis=2), 0, atol=1e-12)
    assert_allclose(layer.running_mean, x.mean(axis=2).mean(axis=0), 1e-12)
    assert_allclose(layer.running_var, x.var(axis=2, ddof=1).mean(axis=0), 1e-12)
    before = layer.running_mean.copy()
    y = layer.eval()(Tensor(x)).data
    assert_array_equal(layer.running_mean, before)
    expected = (x - layer.running_mean[:, None]) / np.sqrt(layer.running_var + 1e-5)[:, None]
    assert_allclose(y, expected, 1e-12)


def test_instance_norm_without_statistics_is_the_same_in_evaluation():
    layer, x = nn.InstanceNorm1d(2, dtype=np.float64), Tensor(normal(5, 2, 7))
    assert_array_equal(layer(x).data, layer.eval()(x).data)


def test_rms_norm_has_root_mean_square_one_and_ignores_scale():
    x = normal(4, 6)
    y = F.rms_norm(x, 6)
    assert_allclose(np.sqrt((y ** 2).mean(axis=1)), 1, 1e-12)
    assert_allclose(F.rms_norm(1000 * x, 6), y, 1e-12)
    assert_array_equal(F.rms_norm(np.zeros((1, 3), np.float32), 3), 0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rms_norm_takes_eps_from_the_dtype(dtype):
    tiny = np.full((1, 2), np.sqrt(np.finfo(dtype).eps), dtype)
    assert_allclose(F.rms_norm(tiny, 2), np.sqrt(0.5), 1e-6)


def test_local_response_norm_by_hand():
    x = normal(1, 4, 2)
    y = F.local_response_norm(x, 3, alpha=0.6, beta=0.5, k=2.0)
    squares = x[0] ** 2
    assert_allclose(y[0, 0], x[0, 0] / np.sqrt(2 + 0.2 * (squares[0] + squares[1])), 1e-12)
    assert_allclose(y[0, 2], x[0, 2] / np.sqrt(2 + 0.2 * (squares[1] + squares[2] + squares[3])), 1e-12)


def test_unit_norm_of_zeros_is_zeros():
    x = Tensor(np.array([[3.0, 4.0], [0.0, 0.0]]), requires_grad=True)
    y = nn.UnitNorm()(x)
    y.sum().backward()
    assert_allclose(y.data, [[0.6, 0.8], [0, 0]])
    assert np.isfinite(x.grad.data).all()
    assert nn.UnitNormalization is nn.UnitNorm


@pytest.mark.parametrize("shape", [(0, 4, 3), (0, 4, 2, 2)])
@pytest.mark.parametrize("f", [lambda x: F.group_norm(x, 2), F.instance_norm, lambda x: F.local_response_norm(x, 3)])
def test_empty_batches(f, shape):
    assert f(Tensor(np.zeros(shape))).shape == shape


@pytest.mark.parametrize("f, shape", [
    (lambda x: F.group_norm(x, 2), (2, 4, 3)), (F.instance_norm, (2, 2, 4)), (lambda x: F.rms_norm(x, 3), (2, 3)),
    (lambda x: F.local_response_norm(x, 3, 0.5), (1, 4, 2))])
def test_gradients_to_the_second_order(f, shape):
    gradcheck(f, normal(*shape), order=2)


# ---- weights computed from others: mechanics ----
CHANGES = {"weight_norm": (nn.weight_norm, nn.remove_weight_norm),
           "spectral_norm": (nn.spectral_norm, nn.remove_spectral_norm),
           "weight_standardization": (nn.weight_standardization, nn.remove_parametrization)}


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("make, shape", [(lambda: nn.Linear(4, 3, dtype=np.float64), (5, 4)),
                                         (lambda: nn.Conv2d(2, 3, 2, dtype=np.float64), (2, 2, 3, 3))])
def test_change_and_remove(name, make, shape):
    change, remove = CHANGES[name]
    layer, x = make(), Tensor(normal(*shape))
    kind, names, transposed = type(layer), {n for n, _ in layer.named_parameters()}, layer.torch_transposed
    assert change(layer) is layer and isinstance(layer, kind)
    assert "weight" not in {n for n, _ in layer.named_parameters()}
    y = layer.eval()(x).data
    value = layer.weight.data
    assert remove(layer) is layer
    assert type(layer) is kind and {n for n, _ in layer.named_parameters()} == names
    assert layer.torch_transposed == transposed and isinstance(layer.weight, nn.Parameter)
    assert not hasattr(layer, "parametrizations")
    assert_array_equal(layer.weight.data, value)
    assert_allclose(layer(x).data, y, 1e-14)


@pytest.mark.parametrize("name", CHANGES)
def test_copies_are_independent(name):
    layer, x = CHANGES[name][0](nn.Linear(4, 3, dtype=np.float64)), Tensor(normal(5, 4))
    y = layer.eval()(x)
    other = copy.deepcopy(layer)
    assert type(other) is type(layer)
    assert_array_equal(other(x).data, y.data)
    for p in other.parameters():
        p.data = p.data + 1
    other.train()(x)
    assert_array_equal(layer(x).data, y.data)
    assert not np.allclose(other.eval()(x).data, y.data)


@pytest.mark.parametrize("name", CHANGES)
def test_they_can_be_pickled(name):
    model, x = nn.Sequential(CHANGES[name][0](nn.Linear(4, 3, dtype=np.float64)), nn.ReLU()), Tensor(normal(5, 4))
    model.eval()
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        other = pickle.loads(pickle.dumps(model, protocol))
        assert type(other[0]) is type(model[0]) and not other.training
        assert [*other.state_dict()] == [*model.state_dict()]
        assert_array_equal(other(x).data, model(x).data)
    assert type(CHANGES[name][1](other[0])) is nn.Linear


@pytest.mark.parametrize("name", CHANGES)
def test_it_trains(name):
    model = nn.Sequential(CHANGES[name][0](nn.Linear(4, 8, generator=np.random.default_rng(0))), nn.Tanh(),
                          nn.Linear(8, 1, generator=np.random.default_rng(1))).astype(np.float64)
    x = Tensor(normal(32, 4))
    target = np.sin(x.data.sum(axis=1, keepdims=True))
    optimizer = optim.Adam(model.parameters(), lr=0.02)
    losses = []
    for _ in range(60):
        loss = F.mse_loss(model(x), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.data)
    assert losses[-1] < 0.3 * losses[0]


@pytest.mark.parametrize("name", CHANGES)
def test_an_optimizer_from_before_keeps_the_weight(name):
    """The former weight itself is trained further, under another name."""
    layer = nn.Linear(4, 3, dtype=np.float64)
    weight = layer.weight
    CHANGES[name][0](layer)
    assert any(p is weight for p in layer.parameters())


def test_frozen_weights_stay_frozen():
    layer = nn.weight_norm(nn.Linear(2, 3).requires_grad_(False))
    assert not any(p.requires_grad for p in layer.parameters())
    assert not nn.remove_weight_norm(layer).weight.requires_grad


def test_two_weights_of_one_layer():
    layer = nn.spectral_norm(nn.weight_norm(nn.Linear(3, 2, dtype=np.float64), "bias"))
    assert [*layer.parametrizations] == ["bias", "weight"]
    assert {n for n, _ in layer.named_parameters()} == {
        "parametrizations.bias.original0", "parametrizations.bias.original1", "parametrizations.weight.original"}
    nn.remove_weight_norm(layer, "bias")
    assert type(layer) is type(nn.spectral_norm(nn.Linear(3, 2)))
    nn.remove_spectral_norm(layer)
    assert type(layer) is nn.Linear


@pytest.mark.parametrize("name", CHANGES)
def test_gradients_of_every_example(name):
    layer = CHANGES[name][0](nn.Linear(3, 2, dtype=np.float64)).eval()
    x = normal(4, 3)
    def loss(m, x):
        return np.square(m(x[None])).sum()
    each = vmap(grad(loss), (None, 0))(layer, x)
    for i in range(4):
        for key, g in grad(loss)(layer, Tensor(x[i])).items():
            assert_allclose(each[key].data[i], g.data, 1e-9)


def test_layers_in_two_places_and_hooks():
    layer, seen = nn.spectral_norm(nn.Linear(3, 3)), []
    layer.register_forward_hook(lambda module, args, y: seen.append(y.shape))
    nn.Sequential(layer, layer)(float32(2, 3))
    assert seen == [(2, 3), (2, 3)]


@pytest.mark.parametrize("name", ["weight_norm", "spectral_norm"])
def test_weights_of_recurrent_layers(name):
    """One power iteration a call, although every time step looks at the weight."""
    layer, x = nn.LSTM(3, 2, dtype=np.float64), Tensor(normal(4, 2, 3))
    y = layer(x)[0].data
    CHANGES[name][0](layer, "weight_hh_l0")
    assert "parametrizations.weight_hh_l0.original" in " ".join(layer.state_dict())
    found = layer(x)[0]
    found.sum().backward()
    assert all(p.grad is not None for p in layer.parameters())
    if name == "weight_norm":
        assert_allclose(found.data, y, 1e-12)


def test_a_lazy_layer_is_called_first():
    layer = nn.Linear(3)
    with pytest.raises(ValueError, match=r"weight of Dense has shape \(0, 3\).*call the layer once"):
        nn.weight_norm(layer)
    layer(float32(2, 4))
    assert nn.weight_norm(layer)(float32(2, 4)).shape == (2, 3)


def test_summary_counts_the_parameters():
    assert nn.summary(nn.weight_norm(nn.Linear(4, 3)), (4,)).parameters == 3 + 12 + 3


@pytest.mark.parametrize("name, keys", [
    ("weight_norm", {"bias": (2,), "parametrizations.weight.original0": (2, 1),
                     "parametrizations.weight.original1": (2, 3)}),
    ("spectral_norm", {"bias": (2,), "parametrizations.weight.original": (2, 3), "parametrizations.weight.0._u": (2,),
                       "parametrizations.weight.0._v": (3,)})])
def test_names_and_shapes_are_torchs(name, keys):
    layer = CHANGES[name][0](nn.Linear(3, 2))
    assert {k: v.shape for k, v in nn.torch_state_dict(layer).items()} == keys


# ---- weight normalization ----
@pytest.mark.parametrize("dim, axes", [(0, (1, 2, 3)), (1, (0, 2, 3)), (None, None)])
def test_weight_norm_starts_with_the_weight_and_then_has_length_g(dim, axes):
    layer = nn.Conv2d(2, 3, 2, dtype=np.float64)
    before = layer.weight.data.copy()
    nn.weight_norm(layer, dim=dim)
    assert_allclose(layer.weight.data, before, 1e-14)
    g = layer.parametrizations["weight"].original0
    g.data = g.data + 1
    assert_allclose(np.sqrt((layer.weight.data ** 2).sum(axis=axes, keepdims=axes is not None)), g.data, 1e-14)


def test_gradient_of_directions_is_orthogonal_to_them():
    """Salimans & Kingma 2016, section 2.1."""
    layer = nn.weight_norm(nn.Linear(4, 3, dtype=np.float64))
    np.square(layer(Tensor(normal(5, 4)))).sum().backward()
    v = layer.parametrizations["weight"].original1
    assert_allclose((v.data * v.grad.data).sum(axis=0), 0, atol=1e-12)


# ---- spectral normalization ----
def test_spectral_norm_finds_the_largest_singular_value():
    layer = nn.spectral_norm(nn.Conv2d(3, 4, 2, dtype=np.float64), generator=np.random.default_rng(0))
    x = Tensor(normal(1, 3, 4, 4))
    for _ in range(200):
        layer(x)
    w = layer.parametrizations["weight"].original.data.reshape(4, -1)
    assert_allclose(layer.weight.data.reshape(4, -1), w / np.linalg.norm(w, 2), 1e-9)
    assert_allclose(np.linalg.norm(layer.weight.data.reshape(4, -1), 2), 1, 1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_spectral_norm_is_near_from_the_start(seed):
    layer = nn.Linear(6, 4, dtype=np.float64)
    u, _, v = np.linalg.svd(normal(6, 4, seed=seed), full_matrices=False)
    layer.weight.data = w = u * [2, 1.4, 1.2, 1] @ v  # 0.7^(2 n) is left after n iterations
    nn.spectral_norm(layer, generator=np.random.default_rng(seed))
    assert_allclose(w / layer.weight.data, np.linalg.svd(w)[1][0], 1e-3)


def test_one_iteration_a_forward_pass_in_training_none_in_evaluation():
    layer, x = nn.spectral_norm(nn.Linear(4, 3, dtype=np.float64)), Tensor(normal(2, 4))
    w, power = layer.parametrizations["weight"].original.data.T, getattr(layer.parametrizations["weight"], "0")
    power._v[...] = np.eye(4)[0]
    layer(x)
    u = w[:, 0] / np.linalg.norm(w[:, 0])
    v = w.T @ u / np.linalg.norm(w.T @ u)
    assert_allclose(power._u, u, 1e-14)
    assert_allclose(power._v, v, 1e-14)
    assert_allclose(layer.weight.data.T, w / (u @ w @ v), 1e-14)
    assert_array_equal(layer.weight.data, layer.weight.data)  # looking changes nothing
    layer.eval()(x)
    assert_allclose(power._v, v, 1e-14)


def test_two_passes_before_one_backward():
    """As a critic: the second pass steps u and v on, the first keeps its own."""
    layer, x = nn.spectral_norm(nn.Linear(4, 3, dtype=np.float64)), Tensor(normal(2, 4))
    power, weight = getattr(layer.parametrizations["weight"], "0"), layer.parametrizations["weight"].original
    power._v[...] = np.eye(4)[0]
    first = layer(x).sum()
    alone = grad(lambda w: (x @ (w / (Tensor(power._u.copy()) @ w.T @ Tensor(power._v.copy())))).sum())(weight)
    layer(x)
    first.backward()
    assert_allclose(weight.grad.data, alone.data, 1e-12)


def test_spectral_norm_draws_from_the_generator():
    one, other, third = (nn.spectral_norm(nn.Linear(4, 3, generator=np.random.default_rng(0)), n_power_iterations=1,
                                          generator=np.random.default_rng(s)).state_dict() for s in (1, 1, 2))
    assert_array_equal(one["parametrizations.weight.0._u"], other["parametrizations.weight.0._u"])
    assert (one["parametrizations.weight.0._u"] != third["parametrizations.weight.0._u"]).any()


def test_spectral_norm_of_a_transposed_convolution_takes_its_outputs():
    layer = nn.spectral_norm(nn.ConvTranspose2d(2, 3, 2))
    assert layer.state_dict()["parametrizations.weight.0._u"].shape == (3,)


# ---- weight standardization ----
def test_standardized_weights_have_mean_zero_and_variance_one():
    layer = nn.weight_standardization(nn.Conv2d(4, 3, 3, dtype=np.float64), eps=0.0)
    assert_allclose(layer.weight.data.mean(axis=(1, 2, 3)), 0, atol=1e-12)
    assert_allclose(layer.weight.data.var(axis=(1, 2, 3)), 1, 1e-12)


# ---- errors ----
@pytest.mark.parametrize("call, message", [
    (lambda: nn.BatchNorm3d(3)(float32(2, 3, 2, 2)), r"BatchNorm3d: input \(2, 3, 2, 2\) must be \(N, 3, D, H, W\)"),
    (lambda: nn.InstanceNorm1d(3)(float32(2, 4, 5)), r"InstanceNorm1d: input \(2, 4, 5\) must be \(N, 3, L\) or"),
    (lambda: nn.InstanceNorm2d(3)(float32(2, 3)), r"must be \(N, 3, H, W\) or \(3, H, W\)"),
    (lambda: nn.InstanceNorm2d(3)(float32(2, 3, 1, 1)), r"more than one value per channel and sample"),
    (lambda: F.instance_norm(np.ones((2, 3))), r"instance_norm: input \(2, 3\) must be \(N, C, \.\.\.\)"),
    (lambda: F.instance_norm(np.ones((2, 3, 4)), use_input_stats=False), r"needs running_mean and running_var"),
    (lambda: nn.GroupNorm(3, 4), r"4 channels do not divide into 3 groups"),
    (lambda: nn.GroupNorm(0, 4), r"4 channels do not divide into 0 groups"),
    (lambda: nn.GroupNorm(2, 4)(float32(2, 6)), r"GroupNorm: input \(2, 6\) must be \(N, 4, \.\.\.\)"),
    (lambda: F.group_norm(np.ones((2, 5)), 2), r"group_norm: input \(2, 5\).*divide into 2 groups"),
    (lambda: nn.RMSNorm(4)(float32(2, 3)), r"rms_norm: input \(2, 3\) does not end in .*\(4,\)"),
    (lambda: nn.LocalResponseNorm(0), r"size must be at least 1, got 0"),
    (lambda: nn.LocalResponseNorm(2)(float32(2, 3)), r"local_response_norm: input \(2, 3\) must be \(N, C, L"),
    (lambda: nn.weight_norm(nn.ReLU()), r"ReLU has no parameter 'weight'"),
    (lambda: nn.weight_norm(nn.Linear(2, 2, bias=False), "bias"), r"Dense has no parameter 'bias'"),
    (lambda: nn.spectral_norm(nn.weight_norm(nn.Linear(2, 2))), r"weight of ParametrizedDense has a parametrization"),
    (lambda: nn.weight_norm(nn.Linear(2, 2), dim=2), r"dim 2 is not an axis of a weight of shape \(2, 2\)"),
    (lambda: nn.weight_norm(nn.Linear(2, 2), dim=-1), r"dim counts from 0, got -1"),
    (lambda: nn.spectral_norm(nn.Linear(2, 2), "bias"), r"a weight of shape \(2,\) is no matrix"),
    (lambda: nn.spectral_norm(nn.Linear(2, 2), n_power_iterations=0), r"n_power_iterations must be at least 1, got 0"),
    (lambda: nn.remove_weight_norm(nn.Linear(2, 2)), r"weight of Dense has no weight_norm to remove"),
    (lambda: nn.remove_weight_norm(nn.spectral_norm(nn.Linear(2, 2))), r"has no weight_norm to remove"),
    (lambda: nn.remove_spectral_norm(nn.weight_norm(nn.Linear(2, 2))), r"has no spectral_norm to remove"),
    (lambda: nn.remove_parametrization(nn.Linear(2, 2)), r"weight of Dense has no parametrization to remove"),
])
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("make", [nn.LayerNorm, nn.RMSNorm])
def test_normalized_shape_of_numpys_integers(make):
    for shape in (np.int64(3), [np.int32(3)], np.array([3])):
        assert repr(make(shape)) == repr(make(3))
    assert_array_equal(make(np.int64(3))(float32(2, 3)).data, make(3)(float32(2, 3)).data)
    assert F.layer_norm(float32(2, 3), np.int64(3)).shape == F.rms_norm(float32(2, 3), np.int64(3)).shape == (2, 3)


@pytest.mark.parametrize("eps", [None, 1e-6])
def test_rms_norm_wants_floating_point_numbers(eps):
    with pytest.raises(TypeError, match=r"rms_norm: input must be floating-point numbers, not int64"):
        nn.RMSNorm(3, eps)(Tensor(np.ones((2, 3), np.int64)))


def test_unit_norm_wants_one_axis():
    with pytest.raises(TypeError, match=r"axis is an int, not \(0, 1\)"):
        nn.UnitNorm((0, 1))


def test_a_refused_change_changes_nothing():
    layer = nn.Linear(2, 2)
    with pytest.raises(ValueError, match=r"is not an axis"):
        nn.weight_norm(layer, dim=5)
    assert type(layer) is nn.Linear and isinstance(layer.weight, nn.Parameter)
