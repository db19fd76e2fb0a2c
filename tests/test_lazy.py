"""Layers whose input size is that of their first input; and errors that say in which layer they happened."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad
from minigrad import Tensor, nn, no_grad, optim
from minigrad import functional as F


def network():
    return nn.Sequential(nn.LazyConv2d(4, 3, groups=2), nn.LazyBatchNorm2d(), nn.ReLU(), nn.Flatten(), nn.Dense(8),
                         nn.LazyBatchNorm1d(), nn.LazyLinear(3))


X = np.random.default_rng(0).standard_normal((6, 2, 5, 5)).astype(np.float32)


def test_sizes_come_from_the_first_input():
    model = network()
    assert model(Tensor(X)).shape == (6, 3)
    assert {n: p.shape for n, p in model.named_parameters()} == {
        "0.weight": (4, 1, 3, 3), "0.bias": (4,), "1.weight": (4,), "1.bias": (4,), "4.weight": (36, 8), "4.bias": (8,),
        "5.weight": (8,), "5.bias": (8,), "6.weight": (8, 3), "6.bias": (3,)}
    assert (model[0].in_channels, model[4].in_features, model[5].num_features) == (2, 36, 8)
    assert "Dense(36, 8)" in repr(model)


def test_it_starts_as_the_layer_of_that_size_does():
    lazy, known = nn.Dense(5, generator=np.random.default_rng(3)), nn.Dense(4, 5, generator=np.random.default_rng(3))
    lazy(Tensor(np.ones((1, 4), np.float32)))
    np.testing.assert_array_equal(lazy.weight.data, known.weight.data)
    bound = 1 / 36 ** 0.5
    model = network()
    model(Tensor(X))
    assert 0.8 * bound < np.abs(model[4].weight.data).max() <= bound


def test_an_optimizer_made_before_trains_it():
    model = network()
    optimizer = optim.Adam(model.parameters(), lr=0.05)
    labels, losses = np.arange(6) % 3, []
    for _ in range(30):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(Tensor(X)), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 < losses[0]


def test_sizes_come_from_a_state():
    trained, fresh = network(), network()
    trained(Tensor(X))
    fresh.load_state_dict(trained.state_dict())
    with no_grad():
        np.testing.assert_array_equal(fresh.eval()(Tensor(X)).data, trained.eval()(Tensor(X)).data)
    again = network()
    nn.load_torch_state_dict(again, nn.torch_state_dict(trained))
    np.testing.assert_array_equal(again[4].weight.data, trained[4].weight.data)


def test_a_lazy_layer_keeps_its_dtype():
    model = network().astype(np.float64)
    assert model(Tensor(X.astype(np.float64))).dtype == np.float64
    assert {p.dtype for p in model.parameters()} == {np.dtype(np.float64)}


def test_channels_that_do_not_divide():
    with pytest.raises(ValueError, match=r"in LazyConv2d: LazyConv2d: 3 input channels must divide into 2 groups"):
        nn.LazyConv2d(4, 3, groups=2)(Tensor(np.ones((1, 3, 5, 5), np.float32)))


class Block(nn.Module):
    def __init__(self):
        self.inner = nn.Sequential(nn.Dense(4, 4), nn.ReLU(), nn.Dense(5, 2))

    def forward(self, x):
        return self.inner(x)


@pytest.mark.parametrize("model, x, message", [
    (nn.Dense(3, 2), np.ones((4, 5), np.float32),
     r"^in Dense: linear: input \(4, 5\).*\[its input: float32 \(4, 5\)\]$"),
    (nn.Sequential(nn.Flatten(), Block()), np.ones((4, 2, 2), np.float32),
     r"^in 1\.inner\.2 \(Dense\): linear: input \(4, 4\) .* 5 features .*\[its input: float32 \(4, 4\)\]$"),
    (nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), np.ones((2, 1, 8, 8), np.float32),
     r"^in 0 \(Conv2d\): .*\(2, 1, 8, 8\)"),
    (nn.Sequential(nn.LSTM(3, 4), nn.Dense(4, 2)), np.ones((5, 2, 3), np.float32),
     r"^in 1 \(Dense\): a Tensor .* \[its input: a tuple of 2: output and state of a recurrent layer"),
    (nn.Sequential(nn.Softmax(dim=5)), np.ones((5, 2), np.float32), r"^in 0 \(Softmax\): axis 5 is out of bounds"),
    (nn.Sequential(nn.Embedding(5, 2)), np.array([7]), r"^in 0 \(Embedding\): embedding: indices from 7 to 7"),
])
def test_errors_name_the_layer(model, x, message):
    with pytest.raises((ValueError, TypeError, AttributeError), match=message):
        model(Tensor(x) if x.dtype.kind == "f" else x)


def test_errors_of_ones_own_layers_keep_their_kind():
    class Odd(nn.Module):
        def forward(self, x):
            raise KeyError("nothing")
    with pytest.raises(KeyError, match="'nothing'"):
        nn.Sequential(Odd())(X)
    error = ValueError("two", "arguments")

    class Two(nn.Module):
        def forward(self, x):
            raise error
    with pytest.raises(ValueError) as caught:
        nn.Sequential(Two())(X)
    assert caught.value is error and error.args == ("two", "arguments")


def test_lbfgs_of_a_lazy_model():
    model = nn.Sequential(nn.Dense(4), nn.Tanh(), nn.Dense(1)).astype(np.float64)
    x = np.random.default_rng(0).standard_normal((8, 2))
    lbfgs = optim.LBFGS(model.parameters(), line_search_fn="strong_wolfe")

    def closure():
        return ((model(x) - x[:, :1]) ** 2).mean()
    with pytest.raises(RuntimeError, match="call the model once"):
        lbfgs.step(closure)
    first = lbfgs.step(closure).item()
    assert lbfgs.step(closure).item() < first / 2


@pytest.mark.parametrize("make, bad", [
    (lambda **k: nn.Dense(3, **k), {"weight": np.zeros((4, 3)), "bias": np.zeros(9)}),
    (lambda **k: nn.LazyConv2d(3, 2, **k), {"weight": np.zeros((3, 4, 2, 2)), "bias": np.zeros(9)}),
    (lambda **k: nn.ConvTranspose2d(None, 3, 2, **k), {"weight": np.zeros((4, 3, 2, 2))}),
    (lambda **k: nn.Sequential(nn.LazyConv1d(4, 1, groups=2), nn.Dense(3, **k)), {"1.weight": np.zeros((4, 3))}),
])
def test_a_state_that_does_not_fit_changes_nothing(make, bad):
    layer, generator = make(), np.random.default_rng(5)
    own = make(generator=generator)
    chance = minigrad.default_generator().bit_generator.state, generator.bit_generator.state
    for m in (layer, own):
        before, shapes = [dict(vars(part)) for part in m.modules()], [p.shape for p in m.parameters()]
        with pytest.raises(ValueError, match=r"does not fit"):
            m.load_state_dict(bad)
        assert [dict(vars(part)) for part in m.modules()] == before
        assert [p.shape for p in m.parameters()] == shapes
    assert (minigrad.default_generator().bit_generator.state, generator.bit_generator.state) == chance


def test_running_statistics_of_a_refused_state():
    norm = nn.LazyBatchNorm1d()
    with pytest.raises(ValueError, match=r"missing"):
        norm.load_state_dict({"weight": np.ones(4)})
    assert norm.num_features is None and norm.running_mean.shape == (0,)
    assert norm(Tensor(np.ones((2, 3), np.float32))).shape == (2, 3)


def test_summary_builds_and_keeps_the_numbers_it_drew():
    a, b = nn.Dense(3), nn.Dense(3)
    for layer in (a, b):
        assert nn.summary(layer, 4).parameters == 15
    assert a.in_features == 4 and not (a.weight.data == b.weight.data).any()
    assert nn.summary(a, 4).input_shape == (1, 4)


def test_summary_counts_nested_outputs():
    rows = nn.summary(nn.LSTM(3, 4, batch_first=True), (5, 3), batch_size=2).rows
    assert rows[0].output_shape == (2, 5, 4)
    assert rows[0].activation_bytes >= 4 * (2 * 5 * 4 + 2 * 4)  # output and c_n; h_n may be a view of the output
    named = nn.Lambda(lambda x: {"a": x * 2, "b": [x + 1, x]})
    named.scale = nn.Parameter(np.ones(1, np.float32))
    row = nn.summary(named, (3,)).rows[0]
    assert row.output_shape == (1, 3) and row.activation_bytes == 24


def test_transposed_convolutions_wait_for_their_input_too():
    layer = nn.ConvTranspose2d(None, 4, 3, groups=2)
    assert layer(Tensor(X)).shape == (6, 4, 7, 7) and layer.weight.shape == (2, 2, 3, 3)


def test_a_lazy_convolution_draws_when_it_is_built():
    lazy, known = (nn.Conv2d(n, 4, 3, generator=np.random.default_rng(3)) for n in (None, 2))
    np.testing.assert_array_equal(lazy(Tensor(X)).data, known(Tensor(X)).data)


@pytest.mark.parametrize("call, message", [
    (lambda: nn.LazyConv2d(4, 3)(Tensor(X[0, 0])), r"LazyConv2d: input \(5, 5\) must have 4 axes, \(N, C, H, W\)"),
    (lambda: nn.ConvTranspose1d(None, 4, 3)(Tensor(X)), r"input \(6, 2, 5, 5\) must have 3 axes, \(N, C, L\)"),
    (lambda: nn.DepthwiseConv2d(None, 3), r"DepthwiseConv2d: in_channels must be given"),
    (lambda: nn.SeparableConv1d(None, 3, 3), r"SeparableConv1d: in_channels must be given"),
    (lambda: nn.LocallyConnected2d(None, 3, 5, 3), r"LocallyConnected2d: in_channels must be given"),
])
def test_what_cannot_wait_says_so(call, message):
    with pytest.raises(ValueError, match=message):
        call()
