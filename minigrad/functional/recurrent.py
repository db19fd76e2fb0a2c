"""Recurrent layers: one layer in one direction as a function of all time steps, and single steps ("cells").

Sequences are (T, N, features) in here. Weights and biases have PyTorch's shapes and orders of gates: weight_ih
(gates * H, features), weight_hh (gates * H, H), biases (gates * H,), both or None. An initial state of None is zeros.

lengths: (N,) integers, where each sequence ends, in place of PyTorch's packed sequences: later steps leave the
sequence's state as it is and give zeros. reverse: from the last step, or from each sequence's end, to the first.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..derivatives.special import sigmoid
from ..tensor import Tensor
from .activations import relu
from .dense import linear

ACTIVATIONS: dict[str, Callable] = {"tanh": np.tanh, "relu": relu, "identity": lambda x: x}



def _activation(name):
    if name not in ACTIVATIONS:
        raise ValueError(f"an activation is one of {', '.join(ACTIVATIONS)}, not {name!r}")
    return ACTIVATIONS[name]


# ---- what a step does: (x_t (N, features), state) -> the next state, whose first part is h ----
def _joint(w_ih, w_hh, b_ih, b_hh):
    """(x, h) -> W_ih x + b_ih + W_hh h + b_hh, as one product: less time and memory than two."""
    w, b = np.concatenate([w_ih, w_hh], axis=1).T, None if b_ih is None else b_ih + b_hh
    return lambda x, h: linear(np.concatenate([x, h], axis=1), w, b)


def _parts(a, n):
    """(..., k * n) -> k times (..., n)."""
    return [a[..., k:k + n] for k in range(0, a.shape[-1], n)]


def _rnn_step(w_ih, w_hh, b_ih, b_hh, nonlinearity):
    affine, f = _joint(w_ih, w_hh, b_ih, b_hh), _activation(nonlinearity)
    return lambda x, h: (f(affine(x, h)),)


def _lstm_step(w_ih, w_hh, b_ih, b_hh, w_hr=None):
    affine, n, project = _joint(w_ih, w_hh, b_ih, b_hh), w_hh.shape[0] // 4, None if w_hr is None else w_hr.T

    def step(x, h, c):
        i, f, g, o = _parts(affine(x, h), n)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        return (h if project is None else h @ project), c
    return step


def _gru_step(w_ih, w_hh, b_ih, b_hh, reset_after):
    n = w_hh.shape[1]
    if reset_after:
        w_x, w_h = w_ih.T, w_hh.T

        def step(x, h):
            (r_x, u_x, n_x), (r_h, u_h, n_h) = _parts(linear(x, w_x, b_ih), n), _parts(linear(h, w_h, b_hh), n)
            new = np.tanh(n_x + sigmoid(r_x + r_h) * n_h)
            return new + sigmoid(u_x + u_h) * (h - new),
    else:
        gates, candidate = (_joint(*(None if v is None else v[part] for v in (w_ih, w_hh, b_ih, b_hh)))
                            for part in (slice(2 * n), slice(2 * n, None)))

        def step(x, h):
            r, u = _parts(sigmoid(gates(x, h)), n)
            new = np.tanh(candidate(x, r * h))
            return new + u * (h - new),
    return step


def _fit(name, gates, x, w_ih, w_hh, one_step=False):
    """Raise ValueError if the shapes do not."""
    rows = gates * (w_hh.shape[0] // gates)
    right = x.ndim == 2 if one_step else x.ndim == 3 and x.shape[0] > 0
    if not right or w_hh.shape[0] != rows or w_ih.shape != (rows, x.shape[-1]):
        times, axes = f"{gates} * " * (gates > 1), "N" if one_step else "T, N"
        raise ValueError(f"{name}: input {x.shape}, w_ih {w_ih.shape} and w_hh {w_hh.shape} must be "
                         f"({axes}, features), ({times}H, features) and ({times}H, H)")


# ---- time ----
def _unbind(x):
    """x[0], x[1], ...: by halves, for the gradient of x[t] is as large as x, and so all of them would cost T^2."""
    n = x.shape[0]
    return [x[0]] if n == 1 else _unbind(x[:n // 2]) + _unbind(x[n // 2:])


def _ended(lengths, steps, batch):
    """(T, N, 1): whether the sequence has ended before this step. None if none has."""
    if lengths is None:
        return None
    lengths = np.asarray(Tensor.plain(lengths))
    if lengths.shape != (batch,) or lengths.dtype.kind not in "iu":
        raise ValueError(f"lengths must be {batch} integers, one for each sequence, not {lengths.dtype} of shape "
                         f"{lengths.shape}")
    if lengths.min(initial=steps) < 0 or lengths.max(initial=0) > steps:
        raise ValueError(f"lengths from {lengths.min()} to {lengths.max()}, but the sequences have {steps} steps")
    return None if np.all(lengths == steps) else (np.arange(steps)[:, None] >= lengths)[..., None]


def _order(steps, reverse):
    return range(steps)[::-1] if reverse else range(steps)


def _scan(step, x, state, sizes, lengths, reverse):
    """All h (T, N, H), and the last state. sizes: how many features each part of the state has."""
    steps, batch = x.shape[:2]
    ended, xs, outputs = _ended(lengths, steps, batch), _unbind(x), [None] * steps
    state = [np.zeros((batch, n), x.dtype) if s is None else s for s, n in zip(state, sizes)]
    for t in _order(steps, reverse):
        new = step(xs[t], *state)
        outputs[t] = new[0]
        if ended is not None and ended[t].any():
            outputs[t] = np.where(ended[t], 0, new[0])
            new = [np.where(ended[t], old, s) for old, s in zip(state, new)]
        state = new
    return np.stack(outputs), tuple(state)


# ---- layers ----
def rnn(x: Tensor, h0: Tensor | None, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None = None,
        b_hh: Tensor | None = None, nonlinearity: str = "tanh", *, lengths=None, reverse: bool = False):
    """h_t = tanh(W_ih x_t + b_ih + W_hh h_(t-1) + b_hh), or relu. Elman 1990.

    Gives (all h (T, N, H), the last (N, H)).
    """
    _fit("rnn", 1, x, w_ih, w_hh)
    step = _rnn_step(w_ih, w_hh, b_ih, b_hh, nonlinearity)
    y, (h,) = _scan(step, x, [h0], [w_hh.shape[1]], lengths, reverse)
    return y, h


def lstm(x: Tensor, h0: Tensor | None, c0: Tensor | None, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None = None,
         b_hh: Tensor | None = None, w_hr: Tensor | None = None, *, lengths=None, reverse: bool = False):
    """c_t = f c_(t-1) + i g, h_t = o tanh(c_t). Hochreiter & Schmidhuber 1997, Gers et al. 2000 (f).

    i, f, o = sigmoid and g = tanh of W_ih x_t + b_ih + W_hh h_(t-1) + b_hh, in the order i, f, g, o. w_hr: (P, H), a
    projection of h_t, which then has P features (Sak et al. 2014). Gives (all h (T, N, H), (the last h, the last c)).
    """
    _fit("lstm", 4, x, w_ih, w_hh)
    step = _lstm_step(w_ih, w_hh, b_ih, b_hh, w_hr)
    return _scan(step, x, [h0, c0], [w_hh.shape[1], w_hh.shape[0] // 4], lengths, reverse)


def gru(x: Tensor, h0: Tensor | None, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None = None,
        b_hh: Tensor | None = None, reset_after: bool = True, *, lengths=None, reverse: bool = False):
    """h_t = (1 - u) n + u h_(t-1), n = tanh(W x_t + b + r (W_hh h_(t-1) + b_hh)). Cho et al. 2014.

    r, u = sigmoid of W_ih x_t + b_ih + W_hh h_(t-1) + b_hh, in the order r, u, n (Keras': u, r, n). reset_after=False
    is the paper's own: n = tanh(W x_t + b + W_hh (r h_(t-1)) + b_hh). Gives (all h (T, N, H), the last (N, H)).
    """
    _fit("gru", 3, x, w_ih, w_hh)
    step = _gru_step(w_ih, w_hh, b_ih, b_hh, reset_after)
    y, (h,) = _scan(step, x, [h0], [w_hh.shape[1]], lengths, reverse)
    return y, h


def sru(x: Tensor, c0: Tensor | None, weight: Tensor, bias: Tensor | None = None, peephole: Tensor | None = None,
        highway: Tensor | None = None, alpha: float = 1.0, activation: str = "identity", *, lengths=None,
        reverse: bool = False):
    """The simple recurrent unit, whose products are all outside of time. Lei, Zhang, Wang, Dai & Artzi 2018.

    f_t = sigmoid(W_f x_t + v_f c_(t-1) + b_f),  c_t = f_t c_(t-1) + (1 - f_t) W x_t,
    r_t = sigmoid(W_r x_t + v_r c_(t-1) + b_r),  h_t = r_t activation(c_t) + (1 - r_t) alpha x_t.
    weight: W, W_f, W_r one below the other, (3 * H, features). bias: b_f, b_r (2 * H,). peephole: v_f, v_r (2 * H,).
    highway: (H, features), by which the last x_t is multiplied where features is not H. The paper's first version has
    no v, alpha = 1 and tanh. Only f and c are computed step by step. Gives (all h (T, N, H), the last c (N, H)).
    """
    n = weight.shape[0] // 3
    if x.ndim != 3 or not x.shape[0] or weight.shape != (3 * n, x.shape[-1]) or (
            x.shape[-1] != n if highway is None else highway.shape != (n, x.shape[-1])):
        raise ValueError(f"sru: input {x.shape}, weight {weight.shape} and highway {np.shape(highway)} must be "
                         "(T, N, features), (3 * H, features) and (H, features), or None if features is H")
    w = weight if highway is None else np.concatenate([weight, highway])
    u, forget, reset, *skip = _parts(linear(x, w.T), n)
    (v_f, v_r), (b_f, b_r) = ((None, None) if v is None else _parts(v, n) for v in (peephole, bias))
    forget = forget if bias is None else forget + b_f
    reset = reset if bias is None else reset + b_r
    steps, batch = x.shape[:2]
    c, ended = np.zeros((batch, n), u.dtype) if c0 is None else c0, _ended(lengths, steps, batch)
    us, forgets = _unbind(u), _unbind(sigmoid(forget) if peephole is None else forget)
    before, after = [None] * steps, [None] * steps
    for t in _order(steps, reverse):
        before[t] = c
        f = forgets[t] if peephole is None else sigmoid(forgets[t] + v_f * c)
        new = us[t] + f * (c - us[t])
        c = after[t] = new if ended is None else np.where(ended[t], c, new)
    r = sigmoid(reset if peephole is None else reset + v_r * np.stack(before))
    skip = alpha * (skip[0] if skip else x)
    h = skip + r * (_activation(activation)(np.stack(after)) - skip)
    return h if ended is None else np.where(ended, 0, h), c


# ---- single steps of (N, features) ----
def rnn_cell(x: Tensor, h: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None = None, b_hh: Tensor | None = None,
             nonlinearity: str = "tanh") -> Tensor:
    """One step of `rnn`: the next h (N, H)."""
    _fit("rnn_cell", 1, x, w_ih, w_hh, one_step=True)
    return _rnn_step(w_ih, w_hh, b_ih, b_hh, nonlinearity)(x, h)[0]


def lstm_cell(x: Tensor, h: Tensor, c: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None = None,
              b_hh: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """One step of `lstm`: the next (h, c), each (N, H)."""
    _fit("lstm_cell", 4, x, w_ih, w_hh, one_step=True)
    return _lstm_step(w_ih, w_hh, b_ih, b_hh)(x, h, c)


def gru_cell(x: Tensor, h: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None = None, b_hh: Tensor | None = None,
             reset_after: bool = True) -> Tensor:
    """One step of `gru`: the next h (N, H)."""
    _fit("gru_cell", 3, x, w_ih, w_hh, one_step=True)
    return _gru_step(w_ih, w_hh, b_ih, b_hh, reset_after)(x, h)[0]


def reverse_sequence(x: Tensor, lengths=None) -> Tensor:
    """(T, N, ...) backward in time, each sequence from its end; what comes after an end stays where it is."""
    steps, batch = x.shape[:2]
    if _ended(lengths, steps, batch) is None:
        return np.flip(x, 0)
    t, ends = np.arange(steps)[:, None], np.asarray(Tensor.plain(lengths))
    return x[np.where(t < ends, ends - 1 - t, t), np.arange(batch)]
