"""Samples of derivatives/scans.py."""

from __future__ import annotations

import numpy as np

from minigrad.derivatives.scans import logcumsumexp

from .core import apart, calls, complex_normal, nonzero, normal, positive, sample

nan = np.nan

# ---- running sums and products ----
for key, by in ((np.cumsum, normal), (np.cumprod, nonzero)):
    for shape, axis in (((5,), None), ((5,), 0), ((2, 3, 4), None), ((2, 3, 4), 1), ((2, 3, 4), -1), ((2, 3, 4), -3),
                        ((), None), ((), 0), ((1,), -1), ((0,), 0), ((2, 0), 0), ((0, 3), None), ((7, 2), 0)):
        sample(key, (by, shape), axis=axis)
    sample(key, (complex_normal, (2, 5)), axis=1)
sample(np.cumprod, np.array([[2.0, 0.0, 3.0, -1.5, 0.5], [0.0, 0.0, 2.0, 0.0, 3.0]]), axis=1)
sample(np.cumprod, np.array([0.0]))
if hasattr(np, "cumulative_sum"):
    for key in (np.cumulative_sum, np.cumulative_prod):
        for shape, how in (((4,), {}), ((2, 3), {"axis": -1}), ((2, 3), {"axis": 0, "include_initial": True}),
                           ((3,), {"include_initial": True}), ((), {}), ((2, 0), {"axis": 1, "include_initial": True})):
            sample(key, shape, **how)
for shape, axis in (((5,), 0), ((2, 3, 4), 1), ((2, 7), -1), ((1,), 0), ((0, 2), 0), ((3, 1), 1)):
    sample(logcumsumexp, shape, axis=axis)

# ---- differences and integrals ----
for shape, how in (((5,), {}), ((2, 3, 4), {"axis": 1}), ((4, 2), {"axis": -2, "n": 2}), ((4,), {"n": 0}),
                   ((2,), {"n": 2}), ((0, 3), {"axis": 1}), ((2, 3), {"append": 1.5, "prepend": np.zeros((2, 2))}),
                   ((2, 3), {"append": np.ones((1, 3)), "axis": 0})):
    sample(np.diff, shape, **how)
sample(np.ediff1d, (2, 3))
sample(np.ediff1d, (4,), to_begin=0.5, to_end=[1.0, 2.0])
points = np.array([0.0, 0.5, 1.75, 2.0, 3.5])
for shape, how in (((5,), {}), ((2,), {}), ((3, 4), {}), ((3, 4), {"axis": -1}), ((4, 3, 3), {"axis": (0, 2)}),
                   ((5,), {"edge_order": 2}), ((3, 4), {"edge_order": 2, "axis": 1})):
    sample(np.gradient, shape, **how)
sample(np.gradient, (complex_normal, (4,)))
sample(np.gradient, (5,), points)
sample(np.gradient, (5,), points, edge_order=2)
sample(np.gradient, (2, 5), points, axis=1)
sample(np.gradient, (3, 5), np.array(2), points, edge_order=2)
sample(np.gradient, (3, 4), (positive, ()))
for shape, how in (((5,), {}), ((2, 5), {"dx": 0.5}), ((5, 2), {"axis": 0}), ((1,), {}), ((0,), {})):
    sample(np.trapezoid, shape, **how)
sample(np.trapezoid, (2, 5), points)
sample(np.trapezoid, (5, 2), points, axis=0)
sample(np.trapezoid, (2, 3), (2, 3), axis=0)
sample(np.trapezoid, (2, 5, 3), points, axis=1)
sample(np.trapezoid, (4, 2, 3), axis=-3, dx=0.5)
sample(np.trapezoid, (4, 2, 3), (4, 1, 1), axis=0)
sample(np.trapezoid, (5, 2), points[:, None], axis=0)

# ---- means ----
calls[np.average] = lambda a, weights=None, **static: np.average(a, weights=weights, **static)
for shape, how in (((4,), {}), ((2, 3), {"axis": 0, "keepdims": True}), ((2, 3, 2), {"axis": (0, -1)})):
    sample(np.average, shape, **how)
for shape, weights, how in (((4,), (4,), {}), ((2, 3), (2, 3), {}), ((2, 3), (2, 3), {"axis": 1, "returned": True}),
                            ((2, 3), (3,), {"axis": -1, "keepdims": True}), ((2, 3), (2,), {"axis": 0}),
                            ((2, 3, 2), (2, 3), {"axis": (2, 1)}), ((), (), {})):
    sample(np.average, shape, (positive, weights), **how)
for key in (np.cov, np.corrcoef):
    sample(key, (3, 5))
    sample(key, (5, 3), rowvar=False)
    sample(key, (3, 5), dtype=np.float64)
    sample(key, (5,))
    sample(key, (2, 4), (1, 4))
    sample(key, (4,), (4,))
    sample(key, (4, 2), (4, 1), rowvar=False)
sample(np.cov, (complex_normal, (2, 4)))
sample(np.cov, (2, 4), bias=True)
sample(np.cov, (2, 4), ddof=0, fweights=np.array([1, 2, 0, 3]), aweights=np.array([0.5, 1.0, 2.0, 1.0]))
sample(np.cov, (2, 4), aweights=np.array([0.5, 1.0, 2.0, 1.0]))

# ---- without NaN ----
holes = np.array([[nan, 2.0, 3.5, -1.25], [0.5, nan, nan, -2.0], [1.0, -3.0, 0.25, 4.5]])
for key in (np.nansum, np.nanprod, np.nanmean, np.nanvar, np.nanstd):
    for how in ({}, {"axis": 0}, {"axis": -1, "keepdims": True}, {"axis": (0, 1)}):
        sample(key, holes, **how)
    sample(key, (apart, (2, 3)), axis=1)
for key in (np.nansum, np.nanprod, np.nanmean):
    sample(key, (2, 0, 3), axis=0)
    sample(key, ())
    sample(key, (complex_normal, (2, 3)), axis=0)
for key in (np.nanvar, np.nanstd):
    sample(key, holes, axis=1, ddof=1)
    sample(key, (complex_normal, (2, 3)), axis=1)
for key in (np.nancumsum, np.nancumprod):
    for axis in (None, 0, -1):
        sample(key, holes, axis=axis)
