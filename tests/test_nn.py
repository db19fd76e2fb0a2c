"""Modules: what the walk over attributes finds, state, modes, how they look; and what single layers promise."""

from __future__ import annotations

import copy
import math
import pickle
from collections import OrderedDict

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from minigrad import Parameter, Tensor, grad, manual_seed, nn, no_grad
from minigrad import functional as F


def rng(seed=0):
    return np.random.default_rng(seed)


def normal(*shape, seed=0):
    return rng(seed).standard_normal(shape)


class Block(nn.Module):
    def __init__(self, n):
        self.scale = Parameter(np.ones(n))
        self.fc = nn.Dense(n, n, dtype=np.float64)

    def forward(self, x):
        return self.fc(x) * self.scale


class Model(nn.Module):
    """One attribute of every kind that can hold parameters, and some that do not."""

    def __init__(self):
        self.size = 3
        self.first = Parameter(np.zeros(2))
        self.blocks = [Block(2), Block(3)]
        self.heads = {"a": nn.Dense(2, 1, bias=False), "b": (Parameter(np.ones(1)), "text", [nn.BatchNorm1d(2)])}
        self.constant = Tensor(np.ones(5))
        self.register_buffer("count", np.array(7))
        self.missing = None
        self.act = nn.ReLU()
        self.last = Parameter(np.zeros(4))

    def forward(self, x):
        return x


NAMES = ["first", "blocks.0.scale", "blocks.0.fc.weight", "blocks.0.fc.bias", "blocks.1.scale", "blocks.1.fc.weight",
         "blocks.1.fc.bias", "heads.a.weight", "heads.b.0", "heads.b.2.0.weight", "heads.b.2.0.bias", "last"]
BUFFERS = ["heads.b.2.0.running_mean", "heads.b.2.0.running_var", "heads.b.2.0.num_batches_tracked", "count"]
MODULES = ["", "blocks.0", "blocks.0.fc", "blocks.1", "blocks.1.fc", "heads.a", "heads.b.2.0", "act"]


# ---- the walk ----
def test_the_walk_finds_everything_in_the_order_of_definition():
    model = Model()
    assert [n for n, _ in model.named_parameters()] == NAMES
    assert [n for n, _ in model.named_buffers()] == BUFFERS
    assert [n for n, _ in model.named_modules()] == MODULES
    assert list(model.parameters()) == [p for _, p in model.named_parameters()]
    assert list(model.modules()) == [m for _, m in model.named_modules()]
    assert list(model.state_dict()) == NAMES[:-1] + BUFFERS + NAMES[-1:]


def test_sequential_names_by_position():
    model = nn.Sequential(nn.Dense(4, 3), nn.ReLU(), nn.Sequential(nn.Dense(3, 2, bias=False)))
    assert list(model.state_dict()) == ["0.weight", "0.bias", "2.0.weight"]


def test_shared_weights_are_counted_once_and_saved_under_every_name():
    shared = nn.Dense(3, 3, dtype=np.float64)  # the same sum in another order: in float32 it may cancel
    model = nn.Sequential(shared, nn.ReLU(), shared)
    tied = nn.Dense(3, 3, bias=False, dtype=np.float64)
    tied.weight = shared.weight
    model.append(tied)
    assert [n for n, _ in model.named_parameters()] == ["0.weight", "0.bias"]
    assert [n for n, _ in model.named_modules()] == ["", "0", "1", "3"]
    assert list(model.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias", "3.weight"]
    x = Tensor(normal(2, 3))
    model(x).sum().backward()
    total = shared.weight.grad.data.copy()
    parts = nn.Sequential(nn.Dense(3, 3), nn.ReLU(), nn.Dense(3, 3), nn.Dense(3, 3, bias=False))
    parts.astype(np.float64).load_state_dict(model.state_dict())
    parts(x).sum().backward()
    assert_allclose(total, sum(parts[i].weight.grad.data for i in (0, 2, 3)), rtol=1e-5)


def test_what_a_sequential_is_given_besides_its_list_is_found_too():
    class Scaled(nn.Sequential):
        def __init__(self, *modules):
            super().__init__(*modules)
            self.scale = Parameter(np.ones(2))
            self.register_buffer("calls", np.zeros(()))

    model = Scaled(nn.Dense(2, 2), nn.ReLU())
    model.head = nn.Dense(2, 1)
    assert [n for n, _ in model.named_parameters()] == ["0.weight", "0.bias", "scale", "head.weight", "head.bias"]
    assert [n for n, _ in model.named_buffers()] == ["calls"]


def test_an_attribute_that_is_set_again_replaces_the_old_one():
    model = Model()
    model.act, model.first = nn.Dense(1, 1), Parameter(np.ones(9))
    assert dict(model.named_modules())["act"] is model.act
    assert dict(model.named_parameters())["first"] is model.first
    assert [n for n, _ in model.named_parameters()][-3:] == ["act.weight", "act.bias", "last"]


def test_buffers_belong_to_one_module_not_to_its_class():
    one, other = Block(2), Block(2)
    one.register_buffer("mean", np.zeros(2))
    assert [n for n, _ in one.named_buffers()] == ["mean"]
    assert list(other.named_buffers()) == []


# ---- state ----
def test_state_dict_copies():
    model = nn.Sequential(nn.Dense(2, 2), nn.BatchNorm1d(2))
    state = model.state_dict()
    before = {k: v.copy() for k, v in state.items()}
    for p in model.parameters():
        p.data += 1
    model(Tensor(normal(4, 2).astype(np.float32)))
    for k, v in before.items():
        assert type(state[k]) is np.ndarray
        assert_array_equal(state[k], v)
        assert not np.array_equal(model.state_dict()[k], v)


def test_a_loaded_state_gives_the_same_outputs():
    x = Tensor(normal(5, 3).astype(np.float32))
    make = lambda: nn.Sequential(nn.Dense(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Dense(4, 2))
    one, other = make(), make()
    one(x)
    state = one.state_dict()
    other.load_state_dict(state)
    assert_array_equal(one.eval()(x).data, other.eval()(x).data)
    state["0.weight"] += 1  # what was loaded is a copy
    assert_array_equal(one(x).data, other(x).data)
    assert int(other[1].num_batches_tracked) == 1


def test_loading_keeps_dtype_parameters_and_buffers_in_place():
    model = nn.Sequential(nn.Dense(2, 1), nn.BatchNorm1d(1))
    params, mean = list(model.parameters()), model[1].running_mean
    state = {k: v.astype(np.float64) + 1 for k, v in model.state_dict().items()}
    state["0.weight"] = Tensor(state["0.weight"])
    model.load_state_dict(state)
    assert all(a is b for a, b in zip(params, model.parameters())) and model[1].running_mean is mean
    assert [v.dtype for v in model.state_dict().values()] == [np.float32] * 6 + [np.int64]
    assert_array_equal(mean, [1])


@pytest.mark.parametrize("change, message", [
    ({"0.weight": None}, r"does not fit Sequential; missing: 0\.weight$"),
    ({"extra": np.ones(1)}, r"unexpected: extra$"),
    ({"0.bias": np.ones(3)}, r"other shapes: 0\.bias: \(3,\) for \(2,\)$"),
    ({"1.running_mean": np.ones((1, 2))}, r"other shapes: 1\.running_mean: \(1, 2\) for \(2,\)"),
    ({"1.num_batches_tracked": None, "a": 1, "b": 2, "0.weight": np.ones((2, 3))},
     r"missing: 1\.num_batches_tracked; unexpected: a, b; other shapes: 0\.weight: \(2, 3\) for \(3, 2\)"),
])
def test_a_state_that_does_not_fit_is_refused_whole(change, message):
    model = nn.Sequential(nn.Dense(3, 2), nn.BatchNorm1d(2))
    before = model.state_dict()
    state = {k: v for k, v in ({k: v + 1 for k, v in before.items()} | change).items() if v is not None}
    with pytest.raises(ValueError, match=message):
        model.load_state_dict(state)
    for k, v in model.state_dict().items():
        assert_array_equal(v, before[k])


def test_loading_what_fits():
    model = nn.Sequential(nn.Dense(3, 2), nn.Dense(2, 1))
    bias = model[1].bias.data.copy()
    model.load_state_dict({"0.weight": np.full((3, 2), 5.0), "other": np.ones(1)}, strict=False)
    assert_array_equal(model[0].weight.data, np.full((3, 2), 5))
    assert_array_equal(model[1].bias.data, bias)
    with pytest.raises(ValueError, match=r"other shapes: 0\.weight"):
        model.load_state_dict({"0.weight": np.ones((2, 3))}, strict=False)


def test_deepcopy_is_independent():
    shared = nn.Dense(2, 2)
    model = nn.Sequential(shared, nn.BatchNorm1d(2), shared, nn.Dropout(0.5, generator=rng()))
    model[0].weight.requires_grad = False
    twin = copy.deepcopy(model)
    assert twin[0] is twin[2] and twin[0].weight is not shared.weight
    assert isinstance(twin[0].weight, Parameter) and not twin[0].weight.requires_grad and twin[0].bias.requires_grad
    before = {k: v.copy() for k, v in twin.state_dict().items()}
    x = Tensor(normal(4, 2).astype(np.float32))
    model(x)
    shared.weight.data += 1
    for k, v in twin.state_dict().items():
        assert_array_equal(v, before[k])
    twin.load_state_dict(model.state_dict())
    twin[3].generator, model[3].generator = rng(3), rng(3)
    assert_array_equal(twin(x).data, model(x).data)


# ---- switches ----
def test_train_and_eval_reach_every_module():
    model = Model()
    assert all(m.training for m in model.modules())
    assert model.eval() is model and not any(m.training for m in model.modules())
    model.blocks[0].train()
    assert [n for n, m in model.named_modules() if m.training] == ["blocks.0", "blocks.0.fc"]
    assert model.train() is model and all(m.training for m in model.modules())
    assert nn.ReLU().training


def test_freezing_and_zero_grad():
    model = nn.Sequential(nn.Dense(2, 3), nn.Dense(3, 1))
    x = Tensor(normal(4, 2).astype(np.float32))
    assert model[0].requires_grad_(False) is model[0]
    model(x).sum().backward()
    assert [p.grad is None for p in model.parameters()] == [True, True, False, False]
    model.zero_grad()
    assert all(p.grad is None for p in model.parameters())
    model.requires_grad_()
    model(x).sum().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_apply_visits_children_first():
    model, seen = nn.Sequential(nn.Dense(2, 2), nn.Sequential(nn.Dense(2, 2), nn.ReLU())), []
    assert model.apply(seen.append) is model
    assert seen[-1] is model and set(map(id, seen)) == set(map(id, model.modules()))
    assert all(seen.index(child) < seen.index(m) for m in model.modules() for child in m.modules() if child is not m)
    model.apply(lambda m: nn.init.ones_(m.weight) if isinstance(m, nn.Dense) else None)
    assert_array_equal(model[1][0].weight.data, np.ones((2, 2)))


def test_astype_casts_parameters_and_floating_buffers():
    model = nn.Sequential(nn.Dense(2, 2), nn.BatchNorm1d(2), nn.Dense(2, 1)).requires_grad_(False)
    model[0].requires_grad_()
    before, params = model.state_dict(), list(model.parameters())
    model.register_buffer("index", np.arange(3))
    model(Tensor(normal(4, 2).astype(np.float32))).sum().backward()
    assert model.astype(np.float64) is model
    assert all(a is b for a, b in zip(params, model.parameters()))
    assert [p.requires_grad for p in model.parameters()] == [True] * 2 + [False] * 4
    assert all(p.dtype == np.float64 and p.grad is None for p in model.parameters())
    assert model[1].running_mean.dtype == model[1].running_var.dtype == np.float64
    assert model[1].num_batches_tracked.dtype == model.index.dtype == np.int64
    assert_array_equal(model.state_dict()["0.weight"], before["0.weight"])
    assert model(Tensor(normal(4, 2))).dtype == np.float64
    assert "1.running_mean" in dict(model.named_buffers())


def test_a_module_without_forward_says_so():
    with pytest.raises(NotImplementedError, match="ModuleList has no forward"):
        nn.ModuleList([nn.ReLU()])(1)


# ---- containers ----
def test_sequential_is_a_composition():
    a, b = nn.Dense(3, 2), nn.Tanh()
    x = Tensor(normal(4, 3).astype(np.float32))
    for model in (nn.Sequential(a, b), nn.Sequential([a, b]), nn.Sequential((a, b)), nn.Sequential(a).append(b)):
        assert_array_equal(model(x).data, b(a(x)).data)
    assert nn.Sequential()(x) is x


def test_sequential_index_slice_append():
    layers = [nn.Dense(3, 4), nn.ReLU(), nn.Dense(4, 2)]
    model = nn.Sequential(*layers)
    assert len(model) == 3 and list(model) == layers
    assert model[0] is layers[0] and model[-1] is layers[2]
    part = model[1:]
    assert type(part) is nn.Sequential and list(part) == layers[1:]
    assert list(part.state_dict()) == ["1.weight", "1.bias"]
    assert model.append(nn.Tanh()) is model and len(model) == 4 and len(part) == 2
    with pytest.raises(IndexError):
        model[4]


def test_module_list():
    layers = nn.ModuleList([nn.Dense(2, 2) for _ in range(12)])
    assert len(layers) == 12 and [n for n, _ in layers.named_modules()] == ["", *map(str, range(12))]
    assert type(layers[:3]) is nn.ModuleList and layers[:3][2] is layers[2]


@pytest.mark.parametrize("thing", [np.tanh, "relu", Parameter(np.ones(2)), {"a": nn.ReLU()}])
def test_containers_hold_modules_only(thing):
    with pytest.raises(TypeError, match=r"holds modules, not .*nn\.Lambda"):
        nn.Sequential(nn.ReLU(), thing)


def test_lambda_identity_flatten():
    x = Tensor(normal(2, 3, 4))
    assert_array_equal(nn.Lambda(lambda v: v * 2)(x).data, x.data * 2)
    assert nn.Lambda(lambda a, b: a - b)(3, 1) == 2
    assert nn.Identity()(x) is x
    assert nn.Flatten()(x).shape == (2, 12) and nn.Flatten(2)(x).shape == (2, 3, 4) and nn.Flatten(0)(x).shape == (24,)


# ---- how they look ----
def test_repr():
    class Net(nn.Module):
        def __init__(self):
            self.body = nn.Sequential(nn.Conv2d(1, 8, 3, stride=2, padding="same", bias=False), nn.BatchNorm2d(8),
                                      nn.LeakyReLU(0.2), nn.MaxPool2d(2, stride=1), nn.Flatten())
            self.heads = [nn.Dense(8, 2)]
            self.size = 3

    assert repr(Net()) == """\
Net(
  (body): Sequential(
    (0): Conv2d(1, 8, kernel_size=(3, 3), stride=2, padding='same', bias=False)
    (1): BatchNorm2d(8, eps=1e-05, momentum=0.1)
    (2): LeakyReLU(0.2)
    (3): MaxPool2d(2, stride=1)
    (4): Flatten()
  )
  (heads): [Dense(8, 2)]
)"""


@pytest.mark.parametrize("module, text", [
    (nn.Linear(2, 3), "Dense(2, 3)"),
    (nn.Dense(2, 3, bias=False), "Dense(2, 3, bias=False)"),
    (nn.DropConnect(2, 3, p=0.3, inference="gaussian"), "DropConnect(2, 3, p=0.3, inference='gaussian')"),
    (nn.Conv2d(4, 4, (3, 1), dilation=2, groups=2), "Conv2d(4, 4, kernel_size=(3, 1), dilation=2, groups=2)"),
    (nn.AvgPool2d(3), "AvgPool2d(3)"),
    (nn.LayerNorm(4, eps=0.1), "LayerNorm((4,), eps=0.1)"),
    (nn.Dropout(0.1), "Dropout(p=0.1)"),
    (nn.GELU("tanh"), "GELU(approximate='tanh')"),
    (nn.LogSoftmax(dim=1), "LogSoftmax(dim=1)"),
    (nn.Lambda(np.tanh), "Lambda(tanh)"),
    (nn.CrossEntropyLoss(), "CrossEntropyLoss()"),
    (nn.Sequential(), "Sequential()"),
])
def test_repr_of_one(module, text):
    assert repr(module) == text


# ---- starting weights ----
def model_of_everything(**kwargs):
    return nn.Sequential(nn.Conv2d(1, 4, 3, **kwargs), nn.Dense(4, 3, **kwargs), nn.DropConnect(3, 2, **kwargs))


def test_the_same_seed_gives_the_same_weights():
    manual_seed(7)
    one = model_of_everything()
    manual_seed(7)
    other = model_of_everything()
    given = model_of_everything(generator=rng(7))
    for a, b, c in zip(one.parameters(), other.parameters(), given.parameters()):
        assert_array_equal(a.data, b.data)
        assert_array_equal(a.data, c.data)
    third = model_of_everything()
    assert all((a.data != b.data).all() for a, b in zip(one.parameters(), third.parameters()))


def test_the_dtype_of_a_layer():
    single, double = (model_of_everything(dtype=d, generator=rng()) for d in (np.float32, np.float64))
    for a, b in zip(single.parameters(), double.parameters()):
        assert a.dtype == np.float32 and b.dtype == np.float64 and a.requires_grad
        assert_array_equal(a.data, b.data.astype(np.float32))
    assert nn.Dense(2, 2)(Tensor(np.ones((1, 2), np.float32))).dtype == np.float32


@pytest.mark.parametrize("layer, bound", [
    (lambda g: nn.Dense(400, 300, generator=g), 1 / 20),
    (lambda g: nn.Conv2d(8, 200, 5, groups=2, generator=g), 1 / 10),
    (lambda g: nn.DropConnect(400, 300, generator=g), 1 / 20),
])
def test_default_weights_are_uniform_within_torchs_bounds(layer, bound):
    layer = layer(rng())
    for p in (layer.weight.data, layer.bias.data):
        assert np.abs(p).max() <= bound and np.abs(p).max() > 0.97 * bound
        assert abs(p.mean()) < 4 * bound / math.sqrt(3 * p.size)
    assert_allclose(layer.weight.data.std(), bound / math.sqrt(3), rtol=0.01)


# ---- layers ----
def test_convolution_of_one_by_one_is_a_dense_layer_at_every_pixel():
    conv, dense = nn.Conv2d(3, 5, 1, dtype=np.float64), nn.Dense(3, 5, dtype=np.float64)
    dense.load_state_dict({"weight": conv.weight.data[:, :, 0, 0].T, "bias": conv.bias.data})
    x = Tensor(normal(2, 3, 4, 6), requires_grad=True)
    pixels = Tensor(np.moveaxis(x.data, 1, -1).reshape(-1, 3), requires_grad=True)
    y, rows = conv(x), dense(pixels)
    assert_allclose(np.moveaxis(y.data, 1, -1).reshape(-1, 5), rows.data, 1e-13, 1e-14)
    c = normal(*rows.shape)
    (rows * c).sum().backward()
    (y * np.moveaxis(c.reshape(2, 4, 6, 5), -1, 1)).sum().backward()
    assert_allclose(np.moveaxis(x.grad.data, 1, -1).reshape(-1, 3), pixels.grad.data, 1e-13, 1e-14)
    assert_allclose(conv.weight.grad.data[:, :, 0, 0].T, dense.weight.grad.data, 1e-12)
    assert_allclose(conv.bias.grad.data, dense.bias.grad.data, 1e-12)


def test_batch_norm_measures_in_training_and_uses_it_in_evaluation():
    bn, x = nn.BatchNorm1d(3), Tensor((5 + 2 * normal(1000, 3)).astype(np.float32))
    y = bn(x).data
    assert_allclose(y.mean(axis=0), 0, atol=1e-5)
    assert_allclose(y.std(axis=0), 1, atol=1e-4)
    for _ in range(60):
        bn(x)
    assert int(bn.num_batches_tracked) == 61
    state = bn.state_dict()
    assert_allclose(bn.eval()(x).data, y, atol=0.02)
    assert_allclose(bn(x[:1]).data, y[:1], atol=0.02)  # one value per channel is no problem here
    for k, v in bn.state_dict().items():
        assert_array_equal(v, state[k])


def test_batch_norm_with_momentum_none_averages_the_batches():
    bn, batches = nn.BatchNorm2d(2, momentum=None, dtype=np.float64), normal(5, 4, 2, 3, 3)
    for x in batches:
        bn(Tensor(x))
    assert_allclose(bn.running_mean, batches.mean(axis=(0, 1, 3, 4)), 1e-12)
    assert_allclose(bn.running_var, batches.var(axis=(1, 3, 4), ddof=1).mean(axis=0), 1e-12)


def test_statistics_that_are_updated_later_do_not_change_a_gradient():
    bn, x = nn.BatchNorm1d(2, dtype=np.float64), Tensor(normal(4, 2), requires_grad=True)
    y = (bn.eval()(x) ** 2).sum()
    bn.train()(Tensor(normal(4, 2, seed=1)))
    y.backward()
    assert_allclose(x.grad.data, 2 * x.data / (1 + 1e-5), 1e-12)


@pytest.mark.parametrize("call, message", [
    (lambda: nn.Dense(3, 2)(Tensor(np.ones((2, 4)))), r"linear: input \(2, 4\).*weight \(3, 2\)"),
    (lambda: nn.DropConnect(3, 2)(Tensor(np.ones((2, 4)))), r"linear: input \(2, 4\).*weight \(3, 2\)"),
    (lambda: nn.DropConnect(3, 2).eval()(Tensor(np.ones((2, 4)))), r"linear: input \(2, 4\)"),
    (lambda: nn.Conv2d(3, 2, 3)(Tensor(np.ones((2, 1, 5, 5)))), r"conv2d: input has 1 channels"),
    (lambda: nn.Conv2d(3, 2, 3)(Tensor(np.ones((3, 5, 5)))), r"conv2d: input \(3, 5, 5\) must be"),
    (lambda: nn.Conv2d(3, 2, 6)(Tensor(np.ones((1, 3, 5, 5)))), r"window of 6 pixels does not fit"),
    (lambda: nn.Conv2d(3, 4, 3, groups=2), r"3 input and 4 output channels must both divide into 2 groups"),
    (lambda: nn.MaxPool2d(2)(Tensor(np.ones((3, 5)))), r"max_pool2d: input \(3, 5\)"),
    (lambda: nn.AvgPool2d(7)(Tensor(np.ones((1, 3, 5, 5)))), r"avg_pool2d: a window of 7 pixels"),
    (lambda: nn.BatchNorm1d(3)(Tensor(np.ones((2, 4)))), r"input \(2, 4\) must be \(N, 3\) or \(N, 3, L\)"),
    (lambda: nn.BatchNorm1d(3)(Tensor(np.ones((2, 3, 4, 4)))), r"BatchNorm1d: input \(2, 3, 4, 4\)"),
    (lambda: nn.BatchNorm2d(3)(Tensor(np.ones((2, 3)))), r"BatchNorm2d: input \(2, 3\) must be \(N, 3, H, W\)"),
    (lambda: nn.BatchNorm1d(3)(Tensor(np.ones((1, 3)))), r"more than one value per channel.*model\.eval\(\)"),
    (lambda: nn.LayerNorm((2, 3))(Tensor(np.ones((2, 3, 2)))), r"layer_norm: input \(2, 3, 2\).*\(2, 3\)"),
    (lambda: nn.CrossEntropyLoss()(Tensor(np.ones((2, 3))), np.array([0, 3])), r"from 0 to 3.*3 classes"),
    (lambda: nn.CrossEntropyLoss()(Tensor(np.ones((2, 3))), np.array([0.0, 1.0])), r"must be integers"),
    (lambda: nn.CrossEntropyLoss(label_smoothing=1.5), r"between 0 and 1, got 1.5"),
    (lambda: nn.MSELoss()(Tensor(np.ones((2, 1))), np.ones(2)), r"they must be equal"),
    (lambda: nn.Dropout(1.1), r"between 0 and 1, got 1.1"),
    (lambda: nn.DropConnect(2, 2, p=-1), r"between 0 and 1, got -1"),
    (lambda: nn.DropConnect(2, 2, inference="max"), r"inference is 'mean' or 'gaussian', not 'max'"),
])
def test_errors_say_what_was_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_batch_that_batch_norm_refuses_leaves_the_statistics_alone():
    bn = nn.BatchNorm1d(3)
    with pytest.raises(ValueError, match="more than one value"):
        bn(Tensor(np.ones((1, 3))))
    assert_array_equal(bn.running_mean, np.zeros(3))
    assert_array_equal(bn.running_var, np.ones(3))


# ---- layers that drop ----
def test_dropout_in_training_and_in_evaluation():
    layer, x = nn.Dropout(0.4, generator=rng(1)), Tensor(np.ones((300, 300), np.float32))
    y = layer(x)
    assert y.dtype == np.float32
    assert abs((y.data == 0).mean() - 0.4) < 4 * math.sqrt(0.4 * 0.6 / x.size)
    assert_allclose(y.data[y.data != 0], 1 / 0.6, 1e-6)
    assert_array_equal(nn.Dropout(0.4, generator=rng(1))(x).data, y.data)
    assert (layer(x).data != y.data).any()
    assert layer.eval()(x) is x


@pytest.mark.parametrize("p", [0, 1])
def test_dropout_of_nothing_and_everything(p):
    assert_array_equal(nn.Dropout(p)(Tensor(np.full((3, 4), 2.0))).data, np.full((3, 4), 2.0 * (1 - p)))


def test_dropout_draws_from_the_default_generator():
    x, layer = Tensor(np.ones((20, 20))), nn.Dropout(0.5)
    manual_seed(3)
    y = layer(x)
    manual_seed(3)
    assert_array_equal(layer(x).data, y.data)


def dense_with(layer):
    dense = nn.Dense(layer.in_features, layer.out_features, dtype=np.float64)
    dense.load_state_dict(layer.state_dict())
    return dense


@pytest.mark.parametrize("per_example", [False, True])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("inference", ["mean", "gaussian"])
def test_drop_connect_that_drops_nothing_is_dense(per_example, training, inference):
    layer = nn.DropConnect(4, 3, p=0, inference=inference, per_example=per_example, dtype=np.float64, samples=3)
    x = Tensor(normal(5, 4))
    assert_allclose(layer.train(training)(x).data, dense_with(layer)(x).data, 1e-13)


def test_drop_connect_that_drops_everything_leaves_the_bias():
    layer = nn.DropConnect(4, 3, p=1.0, dtype=np.float64)
    for mode in (True, False):
        assert_array_equal(layer.train(mode)(Tensor(normal(5, 4))).data, np.tile(layer.bias.data, (5, 1)))


def test_drop_connect_uses_the_mean_weights_in_evaluation():
    layer, x = nn.DropConnect(4, 3, p=0.3, activation=np.tanh, dtype=np.float64).eval(), Tensor(normal(5, 4))
    assert_allclose(layer(x).data, np.tanh(0.7 * x.data @ layer.weight.data + layer.bias.data), 1e-14)
    layer.activation = None
    assert_allclose(layer(x).data, 0.7 * x.data @ layer.weight.data + layer.bias.data, 1e-14)


def test_drop_connect_masks_the_batch_alike_or_every_row_for_itself():
    x = Tensor(np.ones((20, 6)))
    alike = nn.DropConnect(6, 4, dtype=np.float64, generator=rng())(x).data
    each = nn.DropConnect(6, 4, dtype=np.float64, generator=rng(), per_example=True)(x).data
    assert (alike == alike[0]).all()
    assert len({row.tobytes() for row in each}) > 15
    layer = nn.DropConnect(6, 4, dtype=np.float64, generator=rng(1))
    assert_array_equal(layer(x).data, nn.DropConnect(6, 4, dtype=np.float64, generator=rng(1))(x).data)


def moments(samples, mean, variance):
    """Fail unless the samples (n, ...) have this mean and variance, within four standard errors (of a normal's)."""
    n = len(samples)
    assert (np.abs(samples.mean(axis=0) - mean) < 4 * np.sqrt(variance / n)).all()
    assert (np.abs(samples.var(axis=0, ddof=1) - variance) < 5 * variance * np.sqrt(2 / n)).all()


def pre_activation(layer, x):
    """Wan et al. 2013, section 4: mean and variance of the pre-activation over the masks."""
    keep = 1 - layer.p
    return (keep * x @ layer.weight.data + layer.bias.data,
            keep * layer.p * (x * x) @ (layer.weight.data * layer.weight.data))


def test_the_mean_over_masks_is_the_mean_inference():
    layer, x = nn.DropConnect(6, 3, p=0.3, per_example=True, dtype=np.float64, generator=rng()), normal(6)
    samples = layer(Tensor(np.tile(x, (20000, 1)))).data
    mean, variance = pre_activation(layer, x)
    moments(samples, mean, variance)
    assert_allclose(layer.eval()(Tensor(x[None])).data[0], mean)


def test_gaussian_inference_draws_with_the_moments_of_the_masks():
    layer = nn.DropConnect(6, 3, p=0.3, inference="gaussian", samples=1, dtype=np.float64, generator=rng()).eval()
    x = normal(6)
    moments(layer(Tensor(np.tile(x, (20000, 1)))).data, *pre_activation(layer, x))


def test_gaussian_inference_averages_after_the_activation():
    square = lambda u: u * u
    layer = nn.DropConnect(6, 3, p=0.3, inference="gaussian", activation=square, samples=20000, dtype=np.float64,
                           generator=rng()).eval()
    x = normal(1, 6)
    mean, variance = pre_activation(layer, x)
    error = np.sqrt((2 * variance ** 2 + 4 * variance * mean ** 2) / layer.samples)  # of the average of u^2
    found = layer(Tensor(x))
    assert (np.abs(found.data - (mean ** 2 + variance)) < 4 * error).all()
    assert not found.requires_grad and found.dtype == np.float64


def test_gaussian_inference_keeps_float32():
    layer = nn.DropConnect(6, 3, inference="gaussian", samples=2).eval()
    assert layer(Tensor(np.ones((2, 6), np.float32))).dtype == np.float32


def test_gaussian_inference_has_no_gradient_and_says_so():
    layer = nn.DropConnect(2, 2, inference="gaussian", samples=2).eval()
    x = Tensor(np.ones((1, 2), np.float32), requires_grad=True)
    with pytest.raises(RuntimeError, match="has no gradient: use no_grad"):
        layer(x)
    with no_grad():
        assert layer(x).shape == (1, 2)


@pytest.mark.parametrize("per_example", [False, True])
def test_gradients_of_drop_connect_reach_the_weights_that_were_kept(per_example):
    layer = nn.DropConnect(4, 3, p=0.5, per_example=per_example, dtype=np.float64, generator=rng())
    x = Tensor(normal(2, 4), requires_grad=True)
    layer(x).sum().backward()
    masks = F.keep_mask((2, 4, 3) if per_example else (4, 3), 0.5, np.float64, replay(layer))
    assert_allclose(layer.weight.grad.data, (x.data[:, :, None] * masks).sum(axis=0), 1e-14)
    assert_allclose(x.grad.data, (layer.weight.data * masks).sum(axis=-1) + np.zeros((2, 4)), 1e-14)
    assert_array_equal(layer.bias.grad.data, [2, 2, 2])


def replay(layer):
    """The generator as it was when the layer drew its mask: after the weights and the bias."""
    generator = rng()
    nn.DropConnect(layer.in_features, layer.out_features, generator=generator)
    return generator


# ---- losses ----
@pytest.mark.parametrize("loss, function, kwargs", [
    (nn.CrossEntropyLoss, F.cross_entropy,
     {"weight": np.array([1.0, 2, 3, 4]), "ignore_index": 2, "reduction": "sum", "label_smoothing": 0.1}),
    (nn.MSELoss, F.mse_loss, {"reduction": "none"}),
    (nn.BCEWithLogitsLoss, F.binary_cross_entropy_with_logits,
     {"weight": np.array([1.0, 2, 3, 4]), "reduction": "sum", "pos_weight": np.array([4.0, 3, 2, 1])}),
])
def test_losses_hand_their_settings_on(loss, function, kwargs):
    x = Tensor(normal(3, 4))
    target = np.array([0, 2, 3]) if loss is nn.CrossEntropyLoss else rng(1).random((3, 4))
    assert_array_equal(loss(**kwargs)(x, target).data, function(x, target, **kwargs).data)
    assert not np.array_equal(loss()(x, target).data, function(x, target, **kwargs).data)


def test_a_second_derivative_through_a_whole_model():
    """The gradient of a squared gradient norm, against a central difference."""
    manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.BatchNorm2d(2), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten(),
                          nn.Dense(8, 3)).astype(np.float64)
    x, labels, params = normal(3, 1, 4, 4), np.array([0, 2, 1]), list(model.parameters())

    def penalty():
        gs = grad(F.cross_entropy(model(Tensor(x)), labels), params, create_graph=True)
        return sum((g * g).sum() for g in gs)
    found = grad(penalty(), params)
    directions, h = [normal(*p.shape, seed=i) for i, p in enumerate(params)], 1e-5
    values = []
    for sign in (1, -2):
        for p, d in zip(params, directions):
            p.data = p.data + sign * h * d
        values.append(penalty().item())
    slope = sum((g.data * d).sum() for g, d in zip(found, directions))
    assert_allclose(slope, (values[0] - values[1]) / (2 * h), 1e-6)


# ---- containers as PyTorch's ----
def test_sequential_of_names():
    a, b = nn.Dense(2, 2), nn.Dense(2, 3)
    for names in (OrderedDict(a=a, b=b), {"a": a, "b": b}):
        model = nn.Sequential(names)
        assert list(model.state_dict()) == ["a.weight", "a.bias", "b.weight", "b.bias"]
        assert model.a is a and model[1] is b and model(Tensor(normal(4, 2))).shape == (4, 3)
        assert "(a): Dense(2, 2)" in repr(model)
        assert [n for n, _ in model[1:].named_children()] == ["b"]
    model.append(nn.ReLU()).insert(1, nn.Tanh())
    assert [n for n, _ in model.named_children()] == ["a", "1", "b", "3"]
    del model[0]
    assert [n for n, _ in model.named_children()] == ["0", "b", "2"]
    model.b = new = nn.Dense(2, 5)
    assert model[1] is new and [n for n, _ in model.named_children()] == ["0", "b", "2"]
    other = copy.deepcopy(model)
    assert other.b is other[1] is not new and pickle.loads(pickle.dumps(model)).b.out_features == 5
    with pytest.raises(AttributeError, match=r"'Sequential' object has no attribute 'a'"):
        model.a  # noqa: B018


def test_names_by_position_stay():
    model = nn.Sequential({"0": nn.ReLU(), "1": nn.Dense(2, 2)}).append(nn.Tanh())
    assert [n for n, _ in model.named_children()] == ["0", "1", "2"]
    for name in ("", "a.b", "7", "forward"):
        with pytest.raises(ValueError, match=r"a name is a string without dots"):
            nn.Sequential({name: nn.ReLU()})


@pytest.mark.parametrize("make", [nn.Sequential, lambda *m: nn.ModuleList(m)])
def test_lists_of_modules_change(make):
    a, b, c, d = (nn.Dense(i + 1, 2) for i in range(4))
    layers = make(a, b)
    layers[1] = c
    assert list(layers) == [a, c]
    assert layers.extend([b, d]) is layers and list(layers) == [a, c, b, d]
    assert layers.insert(1, d) is layers and list(layers) == [a, d, c, b, d]
    del layers[0]
    assert list(layers) == [d, c, b, d]
    del layers[1:3]
    assert list(layers) == [d, d] and list(layers.state_dict()) == ["0.weight", "0.bias", "1.weight", "1.bias"]
    with pytest.raises(IndexError):
        layers[5] = a
    for change in (lambda: layers.insert(0, np.tanh), lambda: layers.__setitem__(0, np.tanh)):
        with pytest.raises(TypeError, match=r"holds modules, not"):
            change()


def test_children_buffers_and_submodules():
    norm, dense, other = nn.BatchNorm1d(3), nn.Dense(3, 2), nn.ReLU()

    class Net(nn.Module):
        def __init__(self):
            self.body = nn.Sequential(norm, dense)
            self.heads = {"a": [other], "b": dense}

    net = Net()
    assert list(net.children()) == [net.body, other, dense] and list(dense.children()) == []
    assert [n for n, _ in net.named_children()] == ["body", "heads.a.0", "heads.b"]
    assert [b is n for b, (_, n) in zip(net.buffers(), net.named_buffers(), strict=True)] == [True] * 3
    assert net.get_submodule("body.1") is net.get_submodule("heads.b") is dense and net.get_submodule("") is net
    with pytest.raises(AttributeError, match=r"Net has no module named 'body\.2'; it has body, body\.0"):
        net.get_submodule("body.2")


def test_flatten_to_an_axis():
    x = Tensor(normal(2, 3, 4, 5))
    assert nn.Flatten(1, 2)(x).shape == (2, 12, 5) and nn.Flatten(0, -2)(x).shape == (24, 5)
    assert nn.Flatten(-2)(x).shape == (2, 3, 20) and nn.Flatten(2, 2)(x).shape == x.shape
    with pytest.raises(ValueError, match=r"Flatten: there are no axes from 2 to 1 in input \(2, 3, 4, 5\)"):
        nn.Flatten(2, 1)(x)
