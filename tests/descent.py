"""Weights, gradients and the paths that optimizers take from them: what the tests of the optimizers share."""

from __future__ import annotations

import numpy as np

from minigrad import Parameter, Tensor

SHAPES = ((), (3,), (4, 3), (2, 3, 2, 2))
STEPS = 12


def weights(shapes=SHAPES, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    return [Parameter(np.asarray(rng.standard_normal(s), dtype)) for s in shapes]


def gradients(step, shapes=SHAPES):
    """Of growing and shrinking size, with one exact zero in the matrix."""
    rng = np.random.default_rng(100 + step)
    grads = [np.asarray(rng.standard_normal(s)) * 10.0 ** (step % 4 - 2) for s in shapes]
    for g in grads:
        if g.shape == (4, 3):
            g[1, 1] = 0
    return grads


def run(optimizer, params, steps=range(STEPS), scale=1.0):
    for step in steps:
        for p, g in zip(params, gradients(step, [p.shape for p in params])):
            p.grad = Tensor(np.asarray(scale * g, p.dtype))
        optimizer.step()
    return [p.data.copy() for p in params]


def path(make, steps=STEPS, shapes=SHAPES, scale=1.0):
    params = weights(shapes)
    return run(make(params), params, range(steps), scale)


def close(found, expected, rtol=1e-12):
    for f, e in zip(found, expected, strict=True):
        np.testing.assert_allclose(f, e, rtol, 1e-14)
