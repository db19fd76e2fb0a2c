"""The derivative table: arithmetic, elementwise functions, reductions, shapes, products.

Each entry is a NumPy function and one rule per input, as an expression: ``g`` is the gradient with respect to the
output ``y``. The engine undoes broadcasting for ufuncs; every other rule returns exactly its input's shape.
At kinks the rules take PyTorch's sub-gradient, named beside them.
"""

from __future__ import annotations

import math
import operator

import numpy as np

from ..graph import cast, rule, unbroadcast


def zero(g, *_):
    """The rule of what is locally constant."""
    return np.zeros_like(g)


# ---- arithmetic ----
rule(np.add, lambda g, y, a, b: g, lambda g, y, a, b: g)
rule(np.subtract, lambda g, y, a, b: g, lambda g, y, a, b: -g)
rule(np.multiply, lambda g, y, a, b: g * b, lambda g, y, a, b: g * a)
rule(np.divide, lambda g, y, a, b: g / b, lambda g, y, a, b: -g * y / b)
rule(np.remainder, lambda g, y, a, b: g, lambda g, y, a, b: -g * (a // b))
rule(np.floor_divide, zero, zero)
rule(np.power,  # 0 * 0**-1 at a = b = 0 and log(0) at a = 0 would be NaN: both are 0 there
     lambda g, y, a, b: g * (b * (a if np.all(b != 0) else np.where((a == 0) & (b == 0), 1, a)) ** (b - 1)),
     lambda g, y, a, b: g * y * np.log(np.where(a == 0, 1, a).astype(y.dtype)), forward=operator.pow)
rule(np.negative, lambda g, y, x: -g)
rule(np.positive, lambda g, y, x: g)
rule(np.reciprocal, lambda g, y, x: -g * y * y)
rule(np.square, lambda g, y, x: g * (2 * x))
rule(np.sqrt, lambda g, y, x: g * 0.5 / y)  # infinite at 0
rule(np.absolute, lambda g, y, x: g * np.sign(x).conj())  # 0 at 0
for flat in (np.floor, np.ceil, np.trunc, np.rint):
    rule(flat, zero)

# ---- exponentials, logarithms, trigonometry ----
rule(np.exp, lambda g, y, x: g * y)
rule(np.exp2, lambda g, y, x: g * y * math.log(2))
rule(np.expm1, lambda g, y, x: g * (y + 1))
rule(np.log, lambda g, y, x: g / x)
rule(np.log2, lambda g, y, x: g / (x * math.log(2)))
rule(np.log10, lambda g, y, x: g / (x * math.log(10)))
rule(np.log1p, lambda g, y, x: g / (x + 1))
rule(np.logaddexp, lambda g, y, a, b: g * np.exp(a - y), lambda g, y, a, b: g * np.exp(b - y))
rule(np.sin, lambda g, y, x: g * np.cos(x))
rule(np.cos, lambda g, y, x: -g * np.sin(x))
rule(np.tan, lambda g, y, x: g * (1 + y * y))
rule(np.arcsin, lambda g, y, x: g / np.sqrt(1 - x * x))
rule(np.arccos, lambda g, y, x: -g / np.sqrt(1 - x * x))
rule(np.arctan, lambda g, y, x: g / (1 + x * x))
rule(np.sinh, lambda g, y, x: g * np.cosh(x))
rule(np.cosh, lambda g, y, x: g * np.sinh(x))
rule(np.tanh, lambda g, y, x: g * (1 - y * y))

# ---- choices: ties are split, the edges of clip belong to the inside ----
rule(np.maximum, lambda g, y, a, b: _share(g, a > b, a == b), lambda g, y, a, b: _share(g, b > a, a == b))
rule(np.minimum, lambda g, y, a, b: _share(g, a < b, a == b), lambda g, y, a, b: _share(g, b < a, a == b))
rule(np.where, None, lambda g, y, mask, a, b: np.where(mask, g, 0), lambda g, y, mask, a, b: np.where(mask, 0, g),
     broadcasts=True)
rule(np.clip, lambda g, y, x, a_min=None, a_max=None: np.where(y == x, g, 0),
     bind=lambda x, a_min=None, a_max=None, min=None, max=None: ((x,), {"a_min": a_min if min is None else min,
                                                                        "a_max": a_max if max is None else max}))


def _share(g, mine, tie):
    return np.where(mine, g, np.where(tie, 0.5 * g, 0))


# ---- reductions ----
def keep(r, x, axis):
    """A reduced ``r`` with the reduced axes of x back as axes of length 1."""
    axes = range(x.ndim) if axis is None else np.mod(axis, x.ndim or 1).reshape(-1).tolist()
    return r.reshape([1 if i in axes else n for i, n in enumerate(x.shape)])


def _count(y, x):
    return x.size / max(y.size, 1)  # how many elements each output was reduced from


rule(np.sum, lambda g, y, x, axis=None, keepdims=False: np.broadcast_to(keep(g, x, axis), x.shape),
     forward=np.ndarray.sum)
rule(np.mean, lambda g, y, x, axis=None, keepdims=False: np.broadcast_to(keep(g, x, axis) / _count(y, x), x.shape),
     forward=np.ndarray.mean)
rule(np.var, lambda g, y, x, axis=None, ddof=0, keepdims=False:
     keep(g, x, axis) * (x - x.mean(axis, keepdims=True)).conj() / ((_count(y, x) - ddof) / 2))
rule(np.std, lambda g, y, x, axis=None, ddof=0, keepdims=False:  # 0 where all are equal
     keep(g / np.where(y == 0, 1, y), x, axis) * (x - x.mean(axis, keepdims=True)).conj() / (_count(y, x) - ddof))


def _extremum(g, y, x, axis=None, keepdims=False):
    mask = x == keep(y, x, axis)
    return np.where(mask, keep(g, x, axis) / mask.sum(axis, x.dtype, keepdims=True), 0)


rule(np.max, _extremum, forward=np.ndarray.max)
rule(np.min, _extremum, forward=np.ndarray.min)


# ---- shape: each is undone by another ----
rule(np.reshape, lambda g, y, x, shape, order="C":
     g.reshape(x.shape, order="CF"[x.flags.fnc] if order == "A" else order),
     forward=lambda x, shape, order="C": x.reshape(shape, order=order))
rule(np.squeeze, lambda g, y, x, axis=None: g.reshape(x.shape))
rule(np.expand_dims, lambda g, y, x, axis: g.reshape(x.shape))
rule(np.transpose, lambda g, y, x, axes=None: g.transpose(None if axes is None else np.argsort(np.mod(axes, x.ndim))))
rule(np.swapaxes, lambda g, y, x, axis1, axis2: g.swapaxes(axis1, axis2))
rule(np.moveaxis, lambda g, y, x, source, destination: np.moveaxis(g, destination, source))
rule(np.flip, lambda g, y, x, axis=None: np.flip(g, axis))
rule(np.copy, lambda g, y, x, order="K": g)
rule(np.astype, lambda g, y, x, dtype: cast(g, x.dtype), forward=lambda x, dtype: x.astype(dtype),
     bind=lambda x, dtype, copy=True: ((x if np.dtype(dtype).kind in "fc" else x.detach(),), {"dtype": dtype}))
rule(np.broadcast_to, lambda g, y, x, shape: unbroadcast(g, x.shape))

# ---- products: a 1-D operand of matmul counts as a row (on the left) or a column (on the right) ----
rule(np.matmul,
     lambda g, y, a, b: _drop(_grow(g, a, b) @ _column(b).swapaxes(-1, -2), -2, a),
     lambda g, y, a, b: _drop(_row(a).swapaxes(-1, -2) @ _grow(g, a, b), -1, b))


def _row(a): return a if a.ndim > 1 else a.reshape(1, -1)
def _column(b): return b if b.ndim > 1 else b.reshape(-1, 1)
def _drop(d, axis, x): return d if x.ndim > 1 else d.squeeze(axis)


def _grow(g, a, b):
    g = g if b.ndim > 1 else np.expand_dims(g, -1)
    return g if a.ndim > 1 else np.expand_dims(g, -2)
