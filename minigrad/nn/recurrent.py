"""Recurrent layers, their cells, and the wrappers that run a layer both ways or at every time step."""

from __future__ import annotations

import copy
import inspect
import math
import warnings

import numpy as np

from .. import functional as F
from ..functional.recurrent import ACTIVATIONS, reverse_sequence
from ..tensor import Parameter
from . import init
from .module import Module, check_sizes


class _Recurrent(Module):
    """Layers on top of each other, in one or both directions. What a layer is: `_shapes`, `_run`.

    Input (T, N, input_size), or (N, T, input_size) with batch_first, or (T, input_size) for one sequence. Output: all h
    of the last layer, (T, N, D * H) with D = 2 directions if bidirectional, and the last states of all layers and
    directions, (num_layers * D, N, H); the initial ones, hx, are of that shape, zeros by default.
    """

    states: tuple[str, ...] = ("h",)
    weights: tuple[str, ...] = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")

    def __init__(self, input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, variational,
                 dtype, generator):
        if min(input_size, hidden_size, num_layers) < 1:
            raise ValueError(f"{type(self).__name__}: input_size, hidden_size and num_layers must be at least 1, got "
                             f"{input_size}, {hidden_size} and {num_layers}")
        self.input_size, self.hidden_size, self.num_layers, self.bias = input_size, hidden_size, num_layers, bias
        self.batch_first, self.dropout, self.bidirectional = batch_first, F.check_probability(dropout), bidirectional
        self.variational, self.generator = variational, generator
        if dropout and num_layers == 1:
            warnings.warn(f"{type(self).__name__}: dropout={dropout} is applied between layers, and there is one",
                          stacklevel=3)
        self._suffixes = [f"_l{i}{way}" for i in range(num_layers) for way in ("", "_reverse")[:1 + bidirectional]]
        for k, suffix in enumerate(self._suffixes):
            below = self._features("h") * (1 + bidirectional)
            for name, shape in self._shapes(input_size if k <= bidirectional else below).items():
                setattr(self, name + suffix, Parameter(np.empty(shape, dtype)))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all parameters anew, uniform in +-1 / sqrt(hidden_size)."""
        bound = 1 / math.sqrt(self.hidden_size)
        for p in self.parameters():
            init.uniform_(p, -bound, bound, self.generator)

    def _shapes(self, features):
        rows = self.gates * self.hidden_size
        shapes = {"weight_ih": (rows, features), "weight_hh": (rows, self._features("h"))}
        return shapes | ({"bias_ih": (rows,), "bias_hh": (rows,)} if self.bias else {})

    def _features(self, state):
        return self.hidden_size

    def _weights(self, suffix):
        return [getattr(self, name + suffix, None) for name in self.weights]

    def forward(self, input, hx=None, *, lengths=None):
        x, one = self._time_first(input, lengths)
        initial = self._initial(hx, x.shape[1], one)
        finals, ways = [], 1 + self.bidirectional
        for k in range(0, len(self._suffixes), ways):
            if k and self.dropout and self.training:
                shape = (1, *x.shape[1:]) if self.variational else x.shape
                x = F.dropout(x, self.dropout, mask=F.keep_mask(shape, self.dropout, x.dtype, self.generator))
            both = [self._run(x, [s[k + way] for s in initial] or [None] * len(self.states), self._suffixes[k + way],
                              {"lengths": lengths, "reverse": way == 1}) for way in range(ways)]
            x = np.concatenate([y for y, _ in both], axis=-1) if ways == 2 else both[0][0]
            finals += [state for _, state in both]
        finals = [np.stack(parts) for parts in zip(*finals)]
        if one:
            x, finals = x[:, 0], [s[:, 0] for s in finals]
        elif self.batch_first:
            x = np.swapaxes(x, 0, 1)
        return x, finals[0] if len(finals) == 1 else tuple(finals)

    def _time_first(self, x, lengths):
        """The input as (T, N, input_size), and whether it was one sequence."""
        name, axes = type(self).__name__, "N, T" if self.batch_first else "T, N"
        if x.ndim not in (2, 3) or x.shape[-1] != self.input_size or not x.shape[self.batch_first and x.ndim == 3]:
            raise ValueError(f"{name}: input {x.shape} must be ({axes}, {self.input_size}), or (T, {self.input_size}) "
                             "for one sequence, of at least one step")
        if x.dtype.kind != "f":
            raise TypeError(f"{name}: input must be floating-point numbers, not {x.dtype}")
        if x.ndim == 3:
            return np.swapaxes(x, 0, 1) if self.batch_first else x, False
        if lengths is not None:
            raise ValueError(f"{name}: lengths belong to a batch ({axes}, {self.input_size}), but input is {x.shape}")
        return x[:, None], True

    def _initial(self, hx, batch, one):
        """Each part of the initial state as (num_layers * D, N, H); none if there is no hx."""
        if hx is None:
            return []
        parts = (hx,) if len(self.states) == 1 else tuple(hx)
        found = [np.shape(s) for s in parts]
        expected = [(len(self._suffixes), *(() if one else (batch,)), self._features(s)) for s in self.states]
        if found != expected:
            raise ValueError(f"{type(self).__name__}: the initial {', '.join(self.states)} must be of shape "
                             f"{', '.join(map(str, expected))}, not {', '.join(map(str, found))}")
        return [s[:, None] for s in parts] if one else parts

    def extra_repr(self):
        return _arguments(self)


def _arguments(module):
    """The sizes, and what differs from the defaults."""
    shown = [p for p in inspect.signature(type(module)).parameters.values() if hasattr(module, p.name)]
    return ", ".join([f"{module.input_size}, {module.hidden_size}"] + [
        f"{p.name}={getattr(module, p.name)!r}" for p in shown
        if p.default is not p.empty and p.name != "generator" and getattr(module, p.name) != p.default])


class RNN(_Recurrent):
    """h_t = tanh(W_ih x_t + b_ih + W_hh h_(t-1) + b_hh), or relu: ``nonlinearity``. Elman 1990. Keras' SimpleRNN.

    forward(input, hx=None, *, lengths=None) gives (output, h_n); lengths (N,): where each sequence ends, in place of
    packed sequences. dropout: of what one layer hands to the next; variational: with one mask for all time steps (Gal &
    Ghahramani 2016).
    """

    gates = 1

    def __init__(self, input_size: int, hidden_size: int, num_layers: int = 1, nonlinearity: str = "tanh",
                 bias: bool = True, batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False, *,
                 variational: bool = False, dtype=np.float32, generator=None):
        self.nonlinearity = _tanh_or_relu(nonlinearity)
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, variational,
                         dtype, generator)

    def _run(self, x, state, suffix, how):
        y, h = F.rnn(x, *state, *self._weights(suffix), self.nonlinearity, **how)
        return y, [h]


def _tanh_or_relu(nonlinearity):
    if nonlinearity not in ("tanh", "relu"):
        raise ValueError(f"nonlinearity is 'tanh' or 'relu', not {nonlinearity!r}")
    return nonlinearity


class LSTM(_Recurrent):
    """c_t = f c_(t-1) + i g, h_t = o tanh(c_t), gates in the order i, f, g, o: see `minigrad.functional.lstm`.

    forward(input, hx=None, *, lengths=None) gives (output, (h_n, c_n)), and hx is such a pair; otherwise as `RNN`.
    proj_size: project h to that many features (Sak et al. 2014). unit_forget_bias: b_f starts at 1 (Jozefowicz et al.
    2015), Keras' default; Keras has one bias, PyTorch two that are added. Keras' gates, i, f, c, o, are in this order
    too (its c is g), and its recurrent weight starts orthogonal.
    """

    gates, states, weights = 4, ("h", "c"), (*_Recurrent.weights, "weight_hr")

    def __init__(self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True,
                 batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False, proj_size: int = 0, *,
                 unit_forget_bias: bool = False, variational: bool = False, dtype=np.float32, generator=None):
        check_sizes(self, input_size=input_size, hidden_size=hidden_size)
        if not 0 <= proj_size < hidden_size:
            raise ValueError(f"proj_size must be from 0 to hidden_size - 1 = {hidden_size - 1}, not {proj_size}")
        self.proj_size, self.unit_forget_bias = proj_size, unit_forget_bias
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, variational,
                         dtype, generator)

    def reset_parameters(self) -> None:
        super().reset_parameters()
        forget = slice(self.hidden_size, 2 * self.hidden_size)
        for suffix in self._suffixes if self.unit_forget_bias and self.bias else ():
            getattr(self, "bias_ih" + suffix).data[forget] = 1
            getattr(self, "bias_hh" + suffix).data[forget] = 0

    def _features(self, state):
        return self.proj_size if state == "h" and self.proj_size else self.hidden_size

    def _shapes(self, features):
        return super()._shapes(features) | (
            {"weight_hr": (self.proj_size, self.hidden_size)} if self.proj_size else {})

    def _run(self, x, state, suffix, how):
        return F.lstm(x, *state, *self._weights(suffix), **how)


class GRU(_Recurrent):
    """h_t = (1 - u) n + u h_(t-1), gates in the order r, u, n: see `minigrad.functional.gru`. Cho et al. 2014.

    forward(input, hx=None, *, lengths=None) gives (output, h_n); otherwise as `RNN`. reset_after: the reset gate is
    multiplied after the product with W_hh, as PyTorch and Keras do; False: before it, as the paper does.
    """

    gates = 3

    def __init__(self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True,
                 batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False, *,
                 reset_after: bool = True, variational: bool = False, dtype=np.float32, generator=None):
        self.reset_after = reset_after
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, variational,
                         dtype, generator)

    def _run(self, x, state, suffix, how):
        y, h = F.gru(x, *state, *self._weights(suffix), self.reset_after, **how)
        return y, [h]


class SRU(_Recurrent):
    """The simple recurrent unit with highway connections: see `minigrad.functional.sru`. Lei et al. 2018.

    c_t = f c_(t-1) + (1 - f) W x_t, h_t = r activation(c_t) + (1 - r) alpha x_t. forward(input, hx=None, *,
    lengths=None) gives (output, c_n), and hx is the initial c; otherwise as `RNN`.
    peephole: f and r see c_(t-1). rescale: alpha = sqrt(1 + 2 exp(highway_bias)), with which the variance of h is about
    that of x; otherwise 1. highway_bias: where the bias of r starts. The paper's first version is peephole=False,
    rescale=False, activation="tanh". Weights start uniform with variance 1 / features, weight_c (v) and biases at 0.
    """

    states, weights = ("c",), ("weight", "bias", "weight_c", "weight_highway")

    def __init__(self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True,
                 batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False, *,
                 activation: str = "identity", peephole: bool = True, rescale: bool = True, highway_bias: float = 0.0,
                 variational: bool = False, dtype=np.float32, generator=None):
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation is one of {', '.join(ACTIVATIONS)}, not {activation!r}")
        self.activation, self.peephole, self.rescale, self.highway_bias = activation, peephole, rescale, highway_bias
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, variational,
                         dtype, generator)

    def reset_parameters(self) -> None:
        """Draw the weights anew, U(-a, a) with a = sqrt(3 / features); everything else starts at its constant."""
        n = self.hidden_size
        for name, p in self.named_parameters():
            a = math.sqrt(3 / p.shape[1]) if p.ndim == 2 else 0
            init.uniform_(p, -a, a, self.generator)
            if name.startswith("bias"):
                p.data[n:] = self.highway_bias

    def _shapes(self, features):
        n = self.hidden_size
        return ({"weight": (3 * n, features)} | ({"weight_highway": (n, features)} if features != n else {})
                | ({"weight_c": (2 * n,)} if self.peephole else {}) | ({"bias": (2 * n,)} if self.bias else {}))

    def _run(self, x, state, suffix, how):
        alpha = math.sqrt(1 + 2 * math.exp(self.highway_bias)) if self.rescale else 1.0
        y, c = F.sru(x, *state, *self._weights(suffix), alpha, self.activation, **how)
        return y, [c]


# ---- cells ----
class _Cell(Module):
    """One step: (N, input_size), or (input_size,), and states of the same kind, zeros by default."""

    def __init__(self, input_size, hidden_size, bias, dtype, generator):
        if min(input_size, hidden_size) < 1:
            raise ValueError(f"{type(self).__name__}: input_size and hidden_size must be at least 1, got {input_size} "
                             f"and {hidden_size}")
        self.input_size, self.hidden_size, self.bias, bound = input_size, hidden_size, bias, 1 / math.sqrt(hidden_size)
        rows = self.gates * hidden_size
        self.weight_ih, self.weight_hh = (Parameter(np.empty((rows, n), dtype)) for n in (input_size, hidden_size))
        self.bias_ih, self.bias_hh = (Parameter(np.empty(rows, dtype)) if bias else None for _ in range(2))
        for p in self.parameters():
            init.uniform_(p, -bound, bound, generator)

    def _weights(self):
        return self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh

    def forward(self, input, hx=None):
        name, n = type(self).__name__, self.hidden_size
        if input.ndim not in (1, 2) or input.shape[-1] != self.input_size:
            raise ValueError(f"{name}: input {input.shape} must be (N, {self.input_size}) or ({self.input_size},)")
        if input.dtype.kind != "f":
            raise TypeError(f"{name}: input must be floating-point numbers, not {input.dtype}")
        shape, parts = (*input.shape[:-1], n), 2 if self.gates == 4 else 1
        state = [np.zeros(shape, input.dtype)] * parts if hx is None else [hx] if parts == 1 else [*hx]
        if [np.shape(s) for s in state] != [shape] * parts:
            raise ValueError(f"{name}: {parts} state{'s' * (parts > 1)} of shape {shape} expected, not "
                             f"{', '.join(str(np.shape(s)) for s in state)}")
        if input.ndim == 2:
            return self._step(input, *state)
        new = self._step(input[None], *(s[None] for s in state))
        return tuple(s[0] for s in new) if parts > 1 else new[0]

    def extra_repr(self):
        return _arguments(self)


class RNNCell(_Cell):
    """One step of `RNN`: forward(input, h=None) gives the next h, (N, hidden_size)."""

    gates = 1

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, nonlinearity: str = "tanh", *,
                 dtype=np.float32, generator=None):
        self.nonlinearity = _tanh_or_relu(nonlinearity)
        super().__init__(input_size, hidden_size, bias, dtype, generator)

    def _step(self, x, h):
        return F.rnn_cell(x, h, *self._weights(), self.nonlinearity)


class LSTMCell(_Cell):
    """One step of `LSTM`: forward(input, (h, c)=None) gives the next (h, c), each (N, hidden_size)."""

    gates = 4

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, *, unit_forget_bias: bool = False,
                 dtype=np.float32, generator=None):
        super().__init__(input_size, hidden_size, bias, dtype, generator)
        if unit_forget_bias and bias:
            self.bias_ih.data[hidden_size:2 * hidden_size] = 1
            self.bias_hh.data[hidden_size:2 * hidden_size] = 0

    def _step(self, x, h, c):
        return F.lstm_cell(x, h, c, *self._weights())


class GRUCell(_Cell):
    """One step of `GRU`: forward(input, h=None) gives the next h, (N, hidden_size)."""

    gates = 3

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, *, reset_after: bool = True,
                 dtype=np.float32, generator=None):
        self.reset_after = reset_after
        super().__init__(input_size, hidden_size, bias, dtype, generator)

    def _step(self, x, h):
        return F.gru_cell(x, h, *self._weights(), self.reset_after)


# ---- wrappers ----
MERGE = {"concat": lambda a, b: np.concatenate([a, b], axis=-1), "sum": lambda a, b: a + b, "mul": lambda a, b: a * b,
         "ave": lambda a, b: (a + b) / 2, None: lambda a, b: (a, b)}


class Bidirectional(Module):
    """``layer`` on the sequences, and ``backward_layer`` on the same backward in time, merged. Keras' wrapper.

    merge_mode: "concat", "sum", "mul", "ave" (the mean), or None for the pair. backward_layer: by default a copy of
    layer with parameters of its own. Of layers that give (output, state) it gives (merged, (state, backward state)).
    Time is the first axis, or the second if the layer says batch_first. lengths: as for `RNN`, handed to both.
    """

    def __init__(self, layer: Module, merge_mode: str | None = "concat", backward_layer: Module | None = None):
        if merge_mode not in MERGE:
            raise ValueError(f"merge_mode is one of {', '.join(map(repr, MERGE))}, not {merge_mode!r}")
        if backward_layer is None:
            if not hasattr(layer, "reset_parameters"):
                raise ValueError(f"Bidirectional: {type(layer).__name__} has no reset_parameters to start a copy with: "
                                 "pass a backward_layer")
            generator = getattr(layer, "generator", None)
            backward_layer = copy.deepcopy(layer, {id(generator): generator})  # chance is shared, not repeated
            backward_layer.reset_parameters()
        self.forward_layer, self.backward_layer, self.merge_mode = layer, backward_layer, merge_mode

    def forward(self, input, *, lengths=None):
        given = {} if lengths is None else {"lengths": lengths}
        there = self.forward_layer(input, **given)
        back = self.backward_layer(self._reverse(input, lengths), **given)
        merge, stateful = MERGE[self.merge_mode], isinstance(there, tuple)
        (a, *state_a), (b, *state_b) = (there, back) if stateful else ([there], [back])
        y = merge(a, self._reverse(b, lengths))
        return (y, (*state_a, *state_b)) if stateful else y

    def _reverse(self, x, lengths):
        if getattr(self.forward_layer, "batch_first", False) and x.ndim > 2:
            return np.swapaxes(reverse_sequence(np.swapaxes(x, 0, 1), lengths), 0, 1)
        return reverse_sequence(x, lengths)

    def extra_repr(self):
        return f"merge_mode={self.merge_mode!r}"


class TimeDistributed(Module):
    """``module`` at every time step: (N, T, ...) or (T, N, ...), merged to (N * T, ...) and parted again. Keras'."""

    def __init__(self, module: Module):
        self.module = module

    def forward(self, input):
        if input.ndim < 3:
            raise ValueError(f"TimeDistributed: input {input.shape} must be (N, T, ...)")
        y = self.module(input.reshape(input.shape[0] * input.shape[1], *input.shape[2:]))
        if isinstance(y, tuple):
            raise TypeError(f"TimeDistributed: {type(self.module).__name__} gives a tuple of {len(y)}, such as "
                            "(output, state), not one array to part into time steps")
        return y.reshape(*input.shape[:2], *y.shape[1:])
