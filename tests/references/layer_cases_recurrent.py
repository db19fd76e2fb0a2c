"""Recurrent layers: PyTorch's, with its packed sequences for our lengths; Keras' GRU and wrappers; SRU by hand.

All are wrapped, so that states can be inputs: the parameters are called "m....".
"""

from __future__ import annotations

import functools
import math
import os
from collections import OrderedDict

from references.layers import Case

from minigrad import nn

T, N, D, H = 4, 3, 2, 2
LENGTHS = [2, 4, 1]


class Ours(nn.Module):
    """call(layer, *inputs)"""

    def __init__(self, layer, call):
        self.m, self.call = layer, call

    def forward(self, *inputs):
        return self.call(self.m, *inputs)


def hx(state):
    return state[0] if len(state) == 1 else state or None


def plain(layer, x, *state):
    return layer(x, hx(state))


def with_lengths(layer, x, *state):
    return layer(x, hx(state), lengths=LENGTHS)


def packed(layer, x, *state):
    """PyTorch's layer on sequences of LENGTHS."""
    from torch.nn.utils import rnn
    y, last = layer(rnn.pack_padded_sequence(x, LENGTHS, layer.batch_first, enforce_sorted=False), hx(state))
    return rnn.pad_packed_sequence(y, layer.batch_first, total_length=T)[0], last


def theirs_of(torch, layer, call):
    class Theirs(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.m = layer

        def forward(self, *inputs):
            return call(self.m, *inputs)
    return Theirs()


def function(torch, ours, call):
    """call(parameters by our names, *inputs) as a layer with our parameters."""
    class Function(torch.nn.Module):
        def __init__(self):
            super().__init__()
            for name, p in nn.torch_state_dict(ours).items():
                *path, last = name.split(".")
                module = self
                for part in path:
                    if not hasattr(module, part):
                        module.add_module(part, torch.nn.Module())
                    module = getattr(module, part)
                module.register_parameter(last, torch.nn.Parameter(torch.tensor(p)))

        def forward(self, *inputs):
            return call(dict(self.named_parameters()), *inputs)
    return Function()


def case(name, kind, *shapes, call=plain, their_call=None, **arguments):
    return Case(name, lambda: Ours(getattr(nn, kind)(D, H, **arguments), call),
                lambda t: theirs_of(t, getattr(t.nn, kind)(D, H, **arguments), their_call or call),
                shapes or ((T, N, D),))


def of_paper(name, kind, oracle, *shapes, call=plain, **arguments):
    """Beside a function (torch, parameters, x, state), written from the paper."""
    shapes = shapes or ((T, N, D),)

    def make(): return getattr(nn, kind)(shapes[0][-1], H, **arguments)
    return Case(name, lambda: Ours(make(), call), lambda t: theirs_of(t, function(t, make(), functools.partial(
        oracle, t)), plain), shapes)


# ---- written from the papers ----
def cho_gru(torch, p, x, h):
    """Cho et al. 2014: the reset gate inside the product."""
    (ir, iu, in_), (hr, hu, hn) = p["weight_ih_l0"].split(H), p["weight_hh_l0"].split(H)
    br, bu, bn = (p["bias_ih_l0"] + p["bias_hh_l0"]).split(H)
    h, ys = h[0], []
    for x_t in x:
        r = torch.sigmoid(x_t @ ir.T + h @ hr.T + br)
        u = torch.sigmoid(x_t @ iu.T + h @ hu.T + bu)
        n = torch.tanh(x_t @ in_.T + (r * h) @ hn.T + bn)
        h = (1 - u) * n + u * h
        ys.append(h)
    return torch.stack(ys), h[None]


def lei_sru(alpha=math.sqrt(3), activation=lambda c: c, lengths=None, reverse=False):
    """Lei et al. 2018, equations 1 to 4."""
    def oracle(torch, p, x, c=None):
        suffix = "_l0_reverse" if reverse else "_l0"
        w, w_f, w_r = p["weight" + suffix].split(H)
        b_f, b_r = p["bias" + suffix].split(H) if "bias" + suffix in p else (0, 0)
        v_f, v_r = p["weight_c" + suffix].split(H) if "weight_c" + suffix in p else (0, 0)
        into = p.get("weight_highway" + suffix, torch.eye(H, dtype=x.dtype))
        ys, lasts = torch.zeros(*x.shape[:2], H, dtype=x.dtype), []
        for j in range(x.shape[1]):
            c_j = torch.zeros(H, dtype=x.dtype) if c is None else c[int(reverse), j]
            steps = range(x.shape[0] if lengths is None else lengths[j])
            for t in reversed(steps) if reverse else steps:
                x_t = x[t, j]
                f = torch.sigmoid(w_f @ x_t + v_f * c_j + b_f)
                r = torch.sigmoid(w_r @ x_t + v_r * c_j + b_r)
                c_j = f * c_j + (1 - f) * (w @ x_t)
                h = r * activation(c_j) + (1 - r) * alpha * (into @ x_t)
                ys = ys.index_put((torch.tensor(t), torch.tensor(j)), h)
            lasts.append(c_j)
        return ys, torch.stack(lasts)[None]
    return oracle


def both_ways(**how):
    there, back = lei_sru(**how), lei_sru(reverse=True, **how)

    def oracle(torch, p, *inputs):
        (y, c), (z, d) = there(torch, p, *inputs), back(torch, p, *inputs)
        return torch.cat([y, z], -1), torch.cat([c, d])
    return oracle


# ---- Keras ----
def of_keras(name, make, layer_of, weights):
    """layer_of: of keras. weights: (torch, parameters by our names) -> Keras' list of them."""
    def theirs(torch):
        os.environ["KERAS_BACKEND"] = "torch"
        import keras
        layer = layer_of(keras)
        layer.build((N, T, D))
        constants = [v.value for v in layer.non_trainable_variables]
        return theirs_of(torch, function(torch, make(), lambda p, x: layer.stateless_call(
            weights(torch, p), constants, x)[0]), lambda layer, x: layer(x))
    return Case(name, lambda: Ours(make(), lambda layer, x: layer(x)[0]), theirs, ((N, T, D),))


def keras_gru():
    def weights(torch, p):
        """Keras has the gates u, r, n."""
        ih, hh, b_ih, b_hh = (torch.cat([v[H:2 * H], v[:H], v[2 * H:]]) for v in p.values())
        return [ih.T, hh.T, torch.stack([b_ih, b_hh])]
    return of_keras("GRU: Keras'", lambda: nn.GRU(D, H, batch_first=True),
                    lambda keras: keras.layers.GRU(H, return_sequences=True, dtype="float64"), weights)


def keras_both(merge_mode):
    def weights(torch, p):
        return [v for way in ("forward", "backward") for v in (
            p[f"{way}_layer.weight_ih_l0"].T, p[f"{way}_layer.weight_hh_l0"].T,
            p[f"{way}_layer.bias_ih_l0"] + p[f"{way}_layer.bias_hh_l0"])]
    return of_keras(f"Bidirectional: {merge_mode}",
                    lambda: nn.Bidirectional(nn.LSTM(D, H, batch_first=True), merge_mode),
                    lambda keras: keras.layers.Bidirectional(
                        keras.layers.LSTM(H, return_sequences=True, dtype="float64"), merge_mode, dtype="float64"),
                    weights)


def states(kind, *lead, proj_size=H, **_):
    return ((*lead, proj_size), (*lead, H))[:2 if kind == "LSTM" else 1]


CASES = [
    *[case(kind, kind) for kind in ("RNN", "LSTM", "GRU")],
    case("RNN: relu, lengths, both ways", "RNN", nonlinearity="relu", bidirectional=True, call=with_lengths,
         their_call=packed),
    *[case(f"{kind}: no bias, batch first", kind, (N, T, D), *states(kind, 1, N), bias=False, batch_first=True)
      for kind in ("RNN", "LSTM", "GRU")],
    *[case(f"{kind}: 2 layers, lengths, both ways", kind, (T, N, D), *states(kind, 4, N), num_layers=2,
           bidirectional=True, call=with_lengths, their_call=packed) for kind in ("RNN", "LSTM", "GRU")],
    case("LSTM: projected, 2 layers, lengths, both ways", "LSTM", (T, N, D), *states("LSTM", 4, N, proj_size=1),
         proj_size=1, num_layers=2, bidirectional=True, call=with_lengths, their_call=packed),
    case("LSTM: projected, no bias", "LSTM", proj_size=1, bias=False),
    case("RNN: 3 layers, no bias", "RNN", num_layers=3, bias=False),
    *[case(f"{kind}: one sequence, a state", kind, (T, D), *states(kind, 1)) for kind in ("RNN", "LSTM", "GRU")],
    *[case(f"{kind}: one sequence, both ways", kind, (T, D), bidirectional=True) for kind in ("RNN", "LSTM", "GRU")],
    case("GRU: lengths, batch first", "GRU", (N, T, D), call=with_lengths, their_call=packed, batch_first=True),
    *[case(f"{kind}: {name}", kind, *shapes, **arguments)
      for kind, parts in (("RNNCell", 1), ("LSTMCell", 2), ("GRUCell", 1)) for name, shapes, arguments in (
        ("a batch", ((N, D),), {}),
        ("a state", ((N, D), *[(N, H)] * parts), {}),
        ("one, no bias", ((D,), *[(H,)] * parts), {"bias": False}))],
    case("RNNCell: relu", "RNNCell", (N, D), nonlinearity="relu"),
    of_paper("GRU of the paper", "GRU", cho_gru, (T, N, D), (1, N, H), reset_after=False),
    keras_gru(),
    of_paper("SRU", "SRU", lei_sru()),
    of_paper("SRU: a projection, a state", "SRU", lei_sru(), (T, N, 3), (1, N, H)),
    of_paper("SRU: no bias, scaled by the bias", "SRU", lei_sru(alpha=math.sqrt(1 + 2 * math.exp(-1))), bias=False,
             highway_bias=-1.0),
    of_paper("SRU: the first version", "SRU", lei_sru(alpha=1, activation=lambda c: c.tanh()), peephole=False,
             rescale=False, activation="tanh"),
    of_paper("SRU: lengths", "SRU", lei_sru(lengths=LENGTHS), (T, N, D), (1, N, H), call=with_lengths),
    of_paper("SRU: the first version, lengths", "SRU", lei_sru(lengths=LENGTHS, alpha=1), (T, N, 3),
             call=with_lengths, peephole=False, rescale=False),
    of_paper("SRU: both ways, lengths", "SRU", both_ways(lengths=LENGTHS), (T, N, D), (2, N, H), call=with_lengths,
             bidirectional=True),
    *[keras_both(mode) for mode in ("concat", "sum", "mul", "ave")],
    Case("TimeDistributed", lambda: nn.TimeDistributed(nn.Linear(D, H)),
         lambda t: t.nn.Sequential(OrderedDict(module=t.nn.Linear(D, H))), ((N, T, D),)),
]
