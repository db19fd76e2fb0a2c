"""Recurrent layers beyond their references: lengths, directions, cells, dropout, starting weights, wrappers, errors."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from minigrad import Tensor, grad, nn, optim, vmap
from minigrad import functional as F

T, N, D, H = 5, 3, 4, 2
KINDS = {"RNN": nn.RNN, "RNN relu": lambda *a, **k: nn.RNN(*a, nonlinearity="relu", **k), "LSTM": nn.LSTM,
         "projected LSTM": lambda *a, **k: nn.LSTM(*a, proj_size=1, **k), "GRU": nn.GRU,
         "GRU of the paper": lambda *a, **k: nn.GRU(*a, reset_after=False, **k), "SRU": nn.SRU,
         "first SRU": lambda *a, **k: nn.SRU(*a, activation="tanh", peephole=False, rescale=False, **k)}
each_kind = pytest.mark.parametrize("kind", KINDS)


def rng(seed=0):
    return np.random.default_rng(seed)


def normal(*shape, seed=0):
    return rng(seed).standard_normal(shape)


def make(kind, *args, **kwargs):
    """A layer in float64 with all parameters drawn, also those that start at 0."""
    kwargs = {"generator": rng(), "dtype": np.float64} | kwargs
    layer, r = KINDS[kind](*(args or (D, H)), **kwargs), rng(1)
    for p in layer.parameters():
        p.data = r.uniform(-0.8, 0.8, p.shape).astype(p.dtype)
    return layer


def parts(state):
    return state if isinstance(state, tuple) else (state,)


def initial(layer, n=N, seed=3):
    """Random initial states as the layer takes them."""
    _, last = layer(normal(T, n, D))
    state = tuple(normal(*s.shape, seed=seed + i) for i, s in enumerate(parts(last)))
    return state if len(state) > 1 else state[0]


# ---- lengths ----
@each_kind
@pytest.mark.parametrize("bidirectional", [False, True])
def test_with_lengths_each_sequence_is_as_it_would_be_alone(kind, bidirectional):
    layer = make(kind, num_layers=2, bidirectional=bidirectional)
    x, hx, lengths = normal(T, N, D), initial(layer), [2, T, 1]
    y, last = layer(x, hx, lengths=lengths)
    for j, n in enumerate(lengths):
        own = tuple(s[:, j] for s in parts(hx))
        y_j, last_j = layer(x[:n, j], own if len(own) > 1 else own[0])
        assert_allclose(y.data[:n, j], y_j.data, 1e-12, 1e-14)
        assert_array_equal(y.data[n:, j], 0)
        for s, s_j in zip(parts(last), parts(last_j), strict=True):
            assert_allclose(s.data[:, j], s_j.data, 1e-12, 1e-14)


@each_kind
def test_full_lengths_are_none(kind):
    layer, x = make(kind), normal(T, N, D)
    assert_array_equal(layer(x, lengths=[T] * N)[0].data, layer(x)[0].data)


@each_kind
def test_a_sequence_of_length_0_leaves_its_state(kind):
    layer, x = make(kind), normal(T, N, D)
    hx = initial(layer)
    y, last = layer(x, hx, lengths=Tensor(np.array([0, 2, 5])))
    assert_array_equal(y.data[:, 0], 0)
    for s, before in zip(parts(last), parts(hx), strict=True):
        assert_array_equal(s.data[:, 0], before[:, 0])


@each_kind
def test_what_comes_after_the_end_has_no_influence(kind):
    layer, lengths = make(kind, bidirectional=True), np.array([2, 5, 3])
    x = Tensor(normal(T, N, D), requires_grad=True)
    y, last = layer(x, lengths=lengths)
    g = grad(sum((v * v).sum() for v in (y, *parts(last))), x)
    beyond = np.arange(T)[:, None] >= lengths
    assert np.all(g.data[beyond] == 0)
    assert np.all(np.any(g.data[~beyond] != 0, axis=-1))


# ---- shapes ----
@each_kind
@pytest.mark.parametrize("bidirectional", [False, True])
def test_batch_first_and_one_sequence(kind, bidirectional):
    layer = make(kind, num_layers=2, bidirectional=bidirectional)
    first = make(kind, num_layers=2, bidirectional=bidirectional, batch_first=True)
    x, hx = normal(T, N, D), initial(layer)
    y, last = layer(x, hx)
    z, also = first(np.swapaxes(x, 0, 1), hx)
    assert_array_equal(z.data, np.swapaxes(y.data, 0, 1))
    own = tuple(s[:, 0] for s in parts(hx))
    for one in (layer, first):
        y0, last0 = one(x[:, 0], own if len(own) > 1 else own[0])
        assert_allclose(y0.data, y.data[:, 0], 1e-12, 1e-14)
        for s, t, s0 in zip(parts(last), parts(also), parts(last0), strict=True):
            assert_array_equal(s.data, t.data)
            assert_allclose(s0.data, s.data[:, 0], 1e-12, 1e-14)


@each_kind
def test_the_last_state_carries_on(kind):
    layer, x = make(kind, num_layers=2), normal(2 * T, N, D)
    y, last = layer(x)
    before, state = layer(x[:T])
    after, state = layer(x[T:], state)
    assert_allclose(np.concatenate([before.data, after.data]), y.data, 1e-12, 1e-14)
    for s, t in zip(parts(state), parts(last), strict=True):
        assert_allclose(s.data, t.data, 1e-12, 1e-14)


@each_kind
def test_float32_stays_float32(kind):
    layer = KINDS[kind](D, H, num_layers=2, bidirectional=True)
    x = Tensor(normal(T, N, D).astype(np.float32), requires_grad=True)
    y, last = layer(x, lengths=[2, 5, 3])
    assert {v.dtype for v in (y, *parts(last))} == {np.dtype(np.float32)}
    y.sum().backward()
    assert {p.grad.dtype for p in (x, *layer.parameters())} == {np.dtype(np.float32)}


# ---- cells ----
@pytest.mark.parametrize(("kind", "cell"), [
    ("RNN", nn.RNNCell), ("RNN relu", lambda *a, **k: nn.RNNCell(*a, nonlinearity="relu", **k)), ("LSTM", nn.LSTMCell),
    ("GRU", nn.GRUCell), ("GRU of the paper", lambda *a, **k: nn.GRUCell(*a, reset_after=False, **k))])
@pytest.mark.parametrize("bias", [True, False])
def test_a_layer_is_its_cell_step_by_step(kind, cell, bias):
    layer, cell = make(kind, bias=bias), cell(D, H, bias=bias, dtype=np.float64)
    cell.load_state_dict({k.removesuffix("_l0"): v for k, v in layer.state_dict().items()})
    x, state = normal(T, N, D), None
    y, last = layer(x)
    for t in range(T):
        state = cell(x[t], state)
        assert_allclose(parts(state)[0].data, y.data[t], 1e-12, 1e-14)
    for s, t in zip(parts(state), parts(last), strict=True):
        assert_allclose(s.data, t.data[0], 1e-12, 1e-14)


def test_cells_stay_float32_and_take_one_example():
    for cell in (nn.RNNCell(D, H), nn.LSTMCell(D, H), nn.GRUCell(D, H)):
        x = normal(N, D).astype(np.float32)
        many, one = parts(cell(x)), parts(cell(x[1]))
        for a, b in zip(many, one, strict=True):
            assert a.dtype == b.dtype == np.float32
            assert_allclose(a.data[1], b.data, 1e-5)


def test_vmap_of_a_cell_and_a_layer():
    cell, layer = nn.LSTMCell(D, H, dtype=np.float64), make("GRU", num_layers=2, bidirectional=True)
    x = normal(N, D)
    assert_allclose(vmap(lambda v: cell(v)[1])(x).data, cell(x)[1].data, 1e-12)
    x = normal(T, N, D)
    assert_allclose(vmap(lambda v: layer(v)[0], 1, 1)(x).data, layer(x)[0].data, 1e-12)


# ---- SRU ----
def test_closed_gates_of_sru_carry_its_input_and_its_memory():
    layer = make("SRU", D, D)
    layer.bias_l0.data[:] = [60] * D + [-60] * D
    x, c = normal(T, N, D), normal(1, N, D, seed=1)
    y, last = layer(x, c)
    assert_allclose(y.data, math.sqrt(3) * x, 1e-12)  # the highway
    assert_allclose(last.data, c, 1e-12)


@pytest.mark.parametrize("bias", [-2.0, 0.0, 1.0])
def test_sru_rescaled_keeps_the_variance(bias):
    """Of independent inputs, at the start. The paper's estimate: measured 0.94, 1.01, 1.03; without it 0.75 to 0.34."""
    x, variances = normal(40, 50, 64), {}
    for rescale in (True, False):
        layer = nn.SRU(64, 64, highway_bias=bias, rescale=rescale, dtype=np.float64, generator=rng())
        variances[rescale] = layer(x)[0].data.var()
    assert 0.9 < variances[True] < 1.1
    assert variances[False] < 0.8


# ---- starting weights, state ----
@each_kind
def test_starting_weights(kind):
    layer = KINDS[kind](30, 25, 2, bidirectional=True, generator=rng())
    again = KINDS[kind](30, 25, 2, bidirectional=True, generator=rng())
    for (name, p), (_, q) in zip(layer.named_parameters(), again.named_parameters(), strict=True):
        assert_array_equal(p.data, q.data)
        if "SRU" not in kind:
            assert 0.85 / 5 < np.abs(p.data).max() <= 1 / 5, name
        elif p.ndim == 2:
            assert_allclose(p.data.var(), 1 / p.shape[1], 0.1)
        else:
            assert np.all(p.data == 0)


def test_forget_biases():
    layer = nn.LSTM(D, 3, 2, bidirectional=True, unit_forget_bias=True)
    for suffix in ("_l0", "_l0_reverse", "_l1", "_l1_reverse"):
        bias = getattr(layer, "bias_ih" + suffix).data + getattr(layer, "bias_hh" + suffix).data
        assert_array_equal(bias[3:6], 1)
        assert np.all(np.abs(np.delete(bias, [3, 4, 5])) < 1.16)
    cell = nn.LSTMCell(D, 3, unit_forget_bias=True)
    assert_array_equal((cell.bias_ih + cell.bias_hh).data[3:6], 1)
    assert nn.LSTM(D, 3, bias=False, unit_forget_bias=True)(normal(T, N, D))[0].shape == (T, N, 3)
    assert_array_equal(nn.SRU(D, 3, highway_bias=-2).bias_l0.data, [0, 0, 0, -2, -2, -2])


@each_kind
def test_state_round_trips(kind):
    layer, other = make(kind, num_layers=2, bidirectional=True), KINDS[kind](D, H, 2, bidirectional=True)
    other.astype(np.float64).load_state_dict(layer.state_dict())
    x = normal(T, N, D)
    assert_array_equal(other(x)[0].data, layer(x)[0].data)
    torchs = nn.torch_state_dict(layer)
    assert {k: v.shape for k, v in torchs.items()} == {k: v.shape for k, v in layer.state_dict().items()}
    third = KINDS[kind](D, H, 2, bidirectional=True).astype(np.float64)
    nn.load_torch_state_dict(third, torchs)
    assert_array_equal(third(x)[0].data, layer(x)[0].data)


def test_names_are_pytorchs():
    assert list(nn.LSTM(D, H, 1, bidirectional=True, proj_size=1).state_dict()) == [
        f"{name}_l0{way}" for way in ("", "_reverse")
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")]


def test_repr():
    assert repr(nn.RNN(4, 2, 1, "relu")) == "RNN(4, 2, nonlinearity='relu')"
    assert repr(nn.LSTM(4, 2, 3, batch_first=True, generator=rng())) == "LSTM(4, 2, num_layers=3, batch_first=True)"
    assert repr(nn.GRUCell(4, 2, bias=False)) == "GRUCell(4, 2, bias=False)"
    assert repr(nn.SRU(4, 2, peephole=False)) == "SRU(4, 2, peephole=False)"


# ---- dropout between layers ----
@each_kind
def test_dropout_is_between_layers_and_in_training_only(kind):
    layer = make(kind, num_layers=2, dropout=0.5)
    without, x = make(kind, num_layers=2), normal(T, N, D)
    assert not np.array_equal(layer(x)[0].data, without(x)[0].data)
    assert_array_equal(parts(layer(x)[1])[0].data[0], parts(without(x)[1])[0].data[0])  # the first layer's
    assert_array_equal(layer.eval()(x)[0].data, without(x)[0].data)


def passing_on(**how):
    """Two layers that give 1 for 0, and then what they get."""
    layer = nn.RNN(1, 50, 2, "relu", dtype=np.float64, **how)
    for name, p in layer.named_parameters():
        p.data = np.eye(50) if name == "weight_ih_l1" else np.full(p.shape, float(name == "bias_ih_l0"))
    return layer(np.zeros((6, 40, 1)))[0].data


def test_dropout_of_each_step_or_of_the_sequence():
    y = passing_on(dropout=0.25, generator=rng())
    assert set(np.unique(y)) == {0, 1 / 0.75}
    assert abs(y.mean() - 1) < 4 * math.sqrt(1 / 3 / y.size)
    assert np.any(y != y[0])
    y = passing_on(dropout=0.25, generator=rng(), variational=True)
    assert_array_equal(y, np.broadcast_to(y[0], y.shape))
    assert abs(y.mean() - 1) < 4 * math.sqrt(1 / 3 / y[0].size)
    assert_array_equal(passing_on(dropout=0.25, generator=rng()), passing_on(dropout=0.25, generator=rng()))
    assert np.all(passing_on(dropout=1.0) == 0)


def test_dropout_of_a_single_layer_warns():
    with pytest.warns(UserWarning, match=r"GRU: dropout=0\.1 is applied between layers, and there is one"):
        nn.GRU(D, H, dropout=0.1)


# ---- wrappers ----
@pytest.mark.parametrize("lengths", [None, [2, 5, 3]])
@pytest.mark.parametrize("batch_first", [False, True])
def test_bidirectional_is_a_layer_in_both_directions(lengths, batch_first):
    both = make("LSTM", bidirectional=True, batch_first=batch_first)
    layer = nn.Bidirectional(nn.LSTM(D, H, batch_first=batch_first, dtype=np.float64))
    layer.load_state_dict({("backward_layer." if "reverse" in k else "forward_layer.") + k.removesuffix("_reverse"): v
                           for k, v in both.state_dict().items()})
    x = normal(N, T, D) if batch_first else normal(T, N, D)
    (y, last), (z, (there, back)) = both(x, lengths=lengths), layer(x, lengths=lengths)
    assert_allclose(z.data, y.data, 1e-12)
    for s, a, b in zip(last, there, back, strict=True):
        assert_allclose(s.data, np.concatenate([a.data, b.data]), 1e-12)


def test_bidirectional_merges():
    x, a, b = normal(T, D), make("GRU"), make("GRU")
    b.load_state_dict({k: -v for k, v in a.state_dict().items()})
    there, back = a(x)[0].data, b(x[::-1])[0].data[::-1]
    pair = nn.Bidirectional(a, None, b)(x)[0]
    for mode, expected in {"sum": there + back, "mul": there * back, "ave": (there + back) / 2,
                           "concat": np.concatenate([there, back], -1)}.items():
        assert_array_equal(nn.Bidirectional(a, mode, b)(x)[0].data, expected)
    assert_array_equal([p.data for p in pair], [there, back])
    only = nn.Bidirectional(nn.Lambda(lambda v: v * 2), "sum", nn.Lambda(lambda v: np.cumsum(v, 0)))(Tensor(x))
    assert_allclose(only.data, 2 * x + np.cumsum(x[::-1], 0)[::-1])


def test_the_backward_copy_starts_by_itself():
    layer = nn.Bidirectional(nn.GRU(D, H, 2, dropout=0.5, generator=rng()))
    a, b = layer.forward_layer, layer.backward_layer
    assert a.generator is b.generator
    assert all(np.all(p.data != q.data) for p, q in zip(a.parameters(), b.parameters(), strict=True))
    assert repr(layer).startswith("Bidirectional(merge_mode='concat'\n  (forward_layer): GRU(4, 2, num_layers=2")
    with pytest.raises(ValueError, match="merge_mode is one of 'concat', 'sum', 'mul', 'ave', None, not 'max'"):
        nn.Bidirectional(nn.GRU(D, H), "max")
    with pytest.raises(ValueError, match="Dense has no reset_parameters to start a copy with: pass a backward_layer"):
        nn.Bidirectional(nn.Dense(D, H))


def test_reverse_sequence():
    x = Tensor(normal(T, N, D), requires_grad=True)
    assert_array_equal(F.reverse_sequence(x).data, x.data[::-1])
    y = F.reverse_sequence(x, [2, 5, 0])
    assert_array_equal(y.data[:, 0], x.data[[1, 0, 2, 3, 4], 0])
    assert_array_equal(y.data[:, 1], x.data[::-1, 1])
    assert_array_equal(y.data[:, 2], x.data[:, 2])
    assert_array_equal(F.reverse_sequence(y, [2, 5, 0]).data, x.data)


def test_time_distributed():
    dense, x = nn.Dense(D, H, dtype=np.float64), Tensor(normal(N, T, D))
    y = nn.TimeDistributed(dense)(x)
    assert_allclose(y.data, np.stack([dense(x[:, t]).data for t in range(T)], 1), 1e-12)
    conv = nn.TimeDistributed(nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten()))
    assert conv(Tensor(np.zeros((N, T, 1, 5, 4), np.float32))).shape == (N, T, 2 * 3 * 2)
    with pytest.raises(ValueError, match=r"TimeDistributed: input \(3, 4\) must be \(N, T, \.\.\.\)"):
        nn.TimeDistributed(dense)(x[:, 0])
    with pytest.raises(TypeError, match=r"LSTM gives a tuple of 2, such as \(output, state\)"):
        nn.TimeDistributed(make("LSTM", D, H))(x)


# ---- they learn ----
@pytest.mark.parametrize(("kind", "lr"), [("LSTM", 0.03), ("GRU", 0.03), ("SRU", 0.1)])
def test_it_learns_to_remember_the_first_input(kind, lr):
    r = rng()
    layer, head = getattr(nn, kind)(1, 8, generator=r), nn.Dense(8, 1, generator=r)
    x = r.choice(np.float32([-1, 1]), (10, 64, 1))
    parameters = [*layer.parameters(), *head.parameters()]
    optimizer = optim.Adam(parameters, lr=lr)
    for _ in range(100):
        optimizer.zero_grad()
        loss = F.mse_loss(head(layer(x)[0][-1]), Tensor(x[0]))
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1


# ---- errors ----
@each_kind
def test_wrong_inputs(kind):
    layer = make(kind)
    name = type(layer).__name__
    with pytest.raises(ValueError, match=rf"{name}: input \(5, 3, 2\) must be \(T, N, 4\), or \(T, 4\) for one seq"):
        layer(normal(T, N, 2))
    with pytest.raises(ValueError, match=rf"{name}: input \(0, 3, 4\) must be .* of at least one step"):
        layer(normal(0, N, D))
    with pytest.raises(ValueError, match=rf"{name}: input \(1, 5, 3, 4\) must be \(N, T, 4\)"):
        make(kind, batch_first=True)(normal(1, T, N, D))
    with pytest.raises(TypeError, match=rf"{name}: input must be floating-point numbers, not int64"):
        layer(np.ones((T, N, D), np.int64))
    with pytest.raises(ValueError, match=rf"{name}: the initial .* must be of shape \(1, 3, .*, not .*\(2, 3, 7\)"):
        state = normal(2, N, 7)
        layer(normal(T, N, D), (state, state) if len(layer.states) > 1 else state)
    with pytest.raises(ValueError, match=rf"{name}: lengths belong to a batch \(T, N, 4\), but input is \(5, 4\)"):
        layer(normal(T, D), lengths=[3])
    for lengths in ([1, 2], [1.0, 2.0, 3.0]):
        with pytest.raises(ValueError, match="lengths must be 3 integers, one for each sequence, not"):
            layer(normal(T, N, D), lengths=lengths)
    with pytest.raises(ValueError, match="lengths from -1 to 6, but the sequences have 5 steps"):
        layer(normal(T, N, D), lengths=[-1, 6, 2])


def test_wrong_arguments():
    with pytest.raises(ValueError, match="GRU: input_size, hidden_size and num_layers must be at least 1, got 4, 0"):
        nn.GRU(4, 0)
    with pytest.raises(ValueError, match="GRUCell: input_size and hidden_size must be at least 1, got 0 and 2"):
        nn.GRUCell(0, 2)
    for wrong in (nn.RNN, nn.RNNCell):
        with pytest.raises(ValueError, match="nonlinearity is 'tanh' or 'relu', not 'sin'"):
            wrong(4, 2, nonlinearity="sin")
    with pytest.raises(ValueError, match="proj_size must be from 0 to hidden_size - 1 = 1, not 2"):
        nn.LSTM(4, 2, proj_size=2)
    with pytest.raises(ValueError, match="activation is one of tanh, relu, identity, not 'sin'"):
        nn.SRU(4, 2, activation="sin")
    with pytest.raises(ValueError, match="between 0 and 1"):
        nn.LSTM(4, 2, 2, dropout=1.5)


def test_wrong_inputs_of_cells():
    with pytest.raises(ValueError, match=r"LSTMCell: input \(3, 5\) must be \(N, 4\) or \(4,\)"):
        nn.LSTMCell(4, 2)(normal(3, 5))
    with pytest.raises(TypeError, match="GRUCell: input must be floating-point numbers, not int64"):
        nn.GRUCell(4, 2)(np.ones((3, 4), np.int64))
    with pytest.raises(ValueError, match=r"LSTMCell: 2 states of shape \(3, 2\) expected, not \(3, 2\), \(3, 1\)"):
        nn.LSTMCell(4, 2)(normal(3, 4), (normal(3, 2), normal(3, 1)))
    with pytest.raises(ValueError, match=r"RNNCell: 1 state of shape \(2,\) expected, not \(3, 2\)"):
        nn.RNNCell(4, 2)(normal(4), normal(3, 2))


def test_wrong_shapes_of_the_functions():
    x, w, v = normal(T, N, D), normal(4 * H, D), normal(4 * H, H)
    message = (r"lstm: input \(5, 3, 4\), w_ih \(8, 3\) and w_hh \(8, 2\) must be \(T, N, features\), "
               r"\(4 \* H, features\) and \(4 \* H, H\)")
    with pytest.raises(ValueError, match=message):
        F.lstm(x, None, None, w[:, :3], v)
    for wrong in (lambda: F.lstm(x[0], None, None, w, v), lambda: F.lstm(x[:0], None, None, w, v),
                  lambda: F.gru(x, None, w, v), lambda: F.rnn(x, None, w, v[:2]),
                  lambda: F.gru_cell(x[0], v[:3], w[:6, :2], v[:6]), lambda: F.rnn_cell(x, x, w, v)):
        with pytest.raises(ValueError, match=r"must be \((T, )?N, features\)"):
            wrong()
    for weight, highway in ((normal(6, 4), None), (normal(6, 3), None), (normal(6, 4), normal(3, 4))):
        with pytest.raises(ValueError, match=r"sru: input \(5, 3, 4\), weight .* and highway .* must be"):
            F.sru(x, None, weight, highway=highway)
    with pytest.raises(ValueError, match="an activation is one of tanh, relu, identity, not 'sin'"):
        F.rnn(x, None, w[:2], v[:2], nonlinearity="sin")


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_any_number_of_steps_and_no_sequence(steps):
    for kind in KINDS:
        assert make(kind)(normal(steps, N, D))[0].shape[:2] == (steps, N)
        assert make(kind)(normal(steps, 0, D))[0].shape[:2] == (steps, 0)
