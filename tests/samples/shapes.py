"""Samples of derivatives/composed.py: joining, splitting, turning, repeating, sliding."""

from __future__ import annotations

import numpy as np

from minigrad.derivatives.composed import _full, _valid

from .core import calls, complex_normal, sample

for f in (np.hstack, np.vstack, np.dstack, np.column_stack):
    calls[f] = lambda *xs, f=f: f(xs)
calls[np.block] = lambda *xs: np.block([[xs[0], xs[1]], [xs[2], xs[3]]] if len(xs) == 4 else list(xs))
calls[np.full_like] = lambda x, shape=None: np.full_like(x, x, shape=shape)
calls[np.tile] = lambda A, reps: np.tile(A, reps)
calls[np.reshape] = lambda x, shape, order="C": np.reshape(x, shape, order)

# ---- joining ----
for f, *shapes in ((np.hstack, (3,), (2,)), (np.hstack, (2, 3), (2, 1)), (np.hstack, (), ()), (np.hstack, (2, 3)),
                   (np.vstack, (3,), (3,)), (np.vstack, (2, 3), (3,)), (np.vstack, (), ()),
                   (np.vstack, (2, 1, 2), (1, 1, 2)), (np.dstack, (3,), (3,)), (np.dstack, (2, 3), (2, 3)),
                   (np.dstack, (), ()), (np.dstack, (2, 3, 2), (2, 3)),
                   (np.column_stack, (3,), (3,)), (np.column_stack, (3,), (3, 2)), (np.column_stack, (0,), (0, 2)),
                   (np.block, (2, 2), (2, 1), (1, 2), (1, 1)), (np.block, (1, 2), (), (2,), ()), (np.block, (2,), (3,)),
                   (np.block, (2, 1, 2), (2, 1, 1)), (np.block, (), (2,))):
    sample(f, *shapes)
sample(np.append, (3,), (2,))
sample(np.append, (2, 3), (2,))
sample(np.append, (2, 3), ())
sample(np.append, (2, 3), (1, 3), axis=0)
for shape in ((), (3,), (2, 3), (2, 3, 4), (0,)):
    for f in (np.atleast_1d, np.atleast_2d, np.atleast_3d):
        sample(f, shape)
sample(np.atleast_2d, (), (2,))

# ---- splitting ----
sample(np.hsplit, (4,), indices_or_sections=2)
sample(np.hsplit, (2, 4), indices_or_sections=[1])
sample(np.vsplit, (4, 2), indices_or_sections=2)
sample(np.dsplit, (2, 1, 4), indices_or_sections=[1, 3])
if hasattr(np, "unstack"):
    sample(np.unstack, (2, 3))
    sample(np.unstack, (2, 3), axis=-1)

# ---- orders of reading ----
for order in "CF":
    sample(np.reshape, (2, 3), shape=(3, 2), order=order)
    sample(np.reshape, (2, 3, 2), shape=(4, -1), order=order)
    sample(np.ravel, (2, 3), order=order)

# ---- turning ----
for shape, shift, axis in (((4,), 1, None), ((2, 3), -2, None), ((2, 3), 4, 1), ((2, 3), (1, -1), (0, 1)), ((3,), 0, 0),
                           ((2, 3), (1, 1), -1), ((0, 3), 1, 0), ((), 1, None), ((2, 3), 1, (0, 1))):
    sample(np.roll, shape, shift=shift, axis=axis)
sample(np.roll, (complex_normal, (3,)), shift=1)
sample(np.flipud, (2, 3))
sample(np.flipud, (3,))
sample(np.fliplr, (2, 3))
for k in range(-1, 4):
    sample(np.rot90, (2, 3), k=k)
    sample(np.rot90, (2, 3, 4), k=k, axes=(-1, 0))
for axis, start in ((0, 3), (2, 0), (-1, 1), (1, -1), (1, 1)):
    sample(np.rollaxis, (2, 3, 4), axis=axis, start=start)

# ---- repeating ----
for shape, reps in (((3,), 2), ((2, 3), (2, 1)), ((2, 3), 2), ((3,), (2, 2)), ((2, 1, 2), (2, 3)), ((), (2, 3)),
                    ((2,), 0), ((), 3), ((2, 3), ())):
    sample(np.tile, shape, reps=reps)
sample(np.broadcast_arrays, (3, 1), (2,))
sample(np.broadcast_arrays, (), (0, 2), (2,))
for how in ({}, {"indexing": "ij"}, {"sparse": True}, {"sparse": True, "indexing": "ij"}):
    sample(np.meshgrid, (2,), (3,), **how)
    sample(np.meshgrid, (2,), (3,), (4,), **how)
    sample(np.meshgrid, (2,), **how)
    sample(np.meshgrid, (), (3,), **how)

for shape, how in (((), {"shape": (2, 3)}), ((2, 1), {"shape": (2, 2)}), ((3,), {})):
    sample(np.full_like, shape, **how)

# ---- sliding and polynomials ----
for a, v in (((5,), (3,)), ((2,), (4,)), ((1,), (1,))):
    sample(_full, a, v)
    sample(_valid, (a[0] + v[0] - 1,), v)
sample(_full, (complex_normal, (3,)), (complex_normal, (2,)))
sample(_valid, (complex_normal, (3,)), (complex_normal, (2,)))
for a, v in (((5,), (3,)), ((3,), (5,)), ((4,), (4,)), ((6,), (2,)), ((2,), (5,)), ((1,), (1,)), ((), (3,))):
    for mode in ("full", "same", "valid"):
        sample(np.convolve, a, v, mode=mode)
        if a:
            sample(np.correlate, a, v, mode=mode)
for a, v in ((4, 2), (2, 5)):
    sample(np.convolve, (complex_normal, (a,)), (complex_normal, (v,)))
    sample(np.correlate, (complex_normal, (a,)), (complex_normal, (v,)), mode="full")
for p, x in (((3,), ()), ((4,), (2, 3)), ((1,), (2,))):
    sample(np.polyval, p, x)
sample(np.polyval, (complex_normal, (3,)), (2,))
sample(np.vander, (3,))
sample(np.vander, (3,), N=2, increasing=True)
sample(np.vander, np.array([0.0, 1.0, -2.0]), N=4)
