"""What a sample is: an op, what its inputs are drawn by, and its static arguments."""

from __future__ import annotations

import math
import operator

import numpy as np


# ---- how numbers are drawn: functions of a Generator and a shape ----
def normal(r, shape):
    return r.standard_normal(shape)


def positive(r, shape):
    return r.uniform(0.5, 2, shape)


def inside(r, shape):
    return r.uniform(-0.9, 0.9, shape)


def nonzero(r, shape):
    return positive(r, shape) * r.choice([-1.0, 1.0], shape)


def apart(r, shape, start=0.25):
    """All different by 0.3 at least, and start + 0.5 k +- 0.1: neither on an integer nor on a half."""
    n = math.prod(shape)
    return (start + 0.5 * (r.permutation(n) - n // 2) + r.uniform(-0.1, 0.1, n)).reshape(shape)


def between(r, shape):
    return apart(r, shape, 0.0)


def ones_and_twos(r, shape):
    return r.choice([-2.0, -1.0, 1.0, 2.0], shape)


def mask(r, shape):
    return r.random(shape) < 0.5


def complex_normal(r, shape):
    return r.standard_normal(shape) + 1j * r.standard_normal(shape)


samples: dict = {}  # key of the table, or of the composites -> [Sample]


class Sample:
    """An op at a point. draws, for each input: (drawn by, shape), or a shape alone (normal), or an array."""

    def __init__(self, key, draws, static):
        self.key, self.draws, self.static = key, draws, static

    def inputs(self, dtype=np.float64):
        """Fresh inputs, the floating-point ones of this dtype, complex ones of as many digits."""
        r, drawn = np.random.default_rng(0), []
        for d in self.draws:
            if not isinstance(d, np.ndarray):
                by, shape = d if d and callable(d[0]) else (normal, d)
                d = np.asarray(by(r, shape))
            wanted = {"f": dtype, "c": np.result_type(dtype, np.complex64)}
            drawn.append(d.astype(wanted.get(d.dtype.kind, d.dtype)))
        return drawn


def sample(key, *draws, **static):
    samples.setdefault(key, []).append(Sample(key, draws, static))


def sample_each(unary, binary, shapes, pairs):
    """Samples of elementwise ops, from {op: what draws each of its inputs}, at these shapes and pairs of shapes."""
    for key, by in unary.items():
        for shape in shapes:
            sample(key, (by, shape))
    for key, (by_a, by_b) in binary.items():
        for a, b in pairs:
            sample(key, (by_a, a), (by_b, b))


calls: dict = {  # key -> how a user calls it, where that is not key(*inputs, **static)
    np.concatenate: lambda *xs, **static: np.concatenate(list(xs), **static),
    np.stack: lambda *xs, **static: np.stack(list(xs), **static),
    np.einsum: lambda *xs, subscripts: np.einsum(subscripts, *xs),
    np.astype: lambda x, dtype: np.astype(x, dtype),
    np.reshape: lambda x, shape: np.reshape(x, shape),
    operator.getitem: lambda x, index: x[index],
}


def call(key, *inputs, **static):
    """The op as a user calls it, on arrays or Tensors."""
    return calls.get(key, key)(*inputs, **static)
