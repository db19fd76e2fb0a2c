"""Samples of derivatives/ordering.py. What is sorted is drawn apart: a tie is a kink."""

from __future__ import annotations

import numpy as np

from .core import apart, sample

nan = np.nan
holes = np.array([[nan, 2.0, 3.5, -1.25], [0.5, nan, nan, -2.0], [1.0, -3.0, 0.25, 4.5]])

# ---- extremes ----
for key in (np.amax, np.amin, np.ptp, np.nanmax, np.nanmin):
    for shape, how in (((5,), {}), ((), {}), ((2, 3, 4), {"axis": (0, -1)}), ((2, 3), {"axis": -2, "keepdims": True}),
                       ((0, 3), {"axis": 1})):
        sample(key, (apart, shape), **how)
for key in (np.nanmax, np.nanmin):
    for how in ({}, {"axis": 0}, {"axis": -1, "keepdims": True}, {"axis": (0, 1)}):
        sample(key, holes, **how)

# ---- sorting ----
for shape, how in (((6,), {}), ((2, 3, 4), {"axis": 1}), ((2, 3), {"axis": None}), ((2, 4), {"kind": "mergesort"}),
                   ((3, 2), {"axis": -2, "stable": True}), ((1,), {}), ((0,), {}), ((2, 0), {}), ((0, 2), {"axis": 1})):
    sample(np.sort, (apart, shape), **how)
for shape, how in (((3,), {"kth": 1}), ((4, 2), {"kth": (1, 2), "axis": 0}), ((2, 2), {"kth": (1, 2), "axis": None}),
                   ((2, 3), {"kth": -2}), ((0, 3), {"kth": 1})):  # that leave no other order
    sample(np.partition, (apart, shape), **how)

# ---- order statistics ----
methods = ("linear", "lower", "higher", "midpoint", "nearest", "inverted_cdf", "averaged_inverted_cdf",
           "closest_observation", "interpolated_inverted_cdf", "hazen", "weibull", "median_unbiased", "normal_unbiased")
for key in (np.median, np.nanmedian):
    for shape, how in (((5,), {}), ((6,), {}), ((), {}), ((2, 3), {}), ((2, 3, 4), {"axis": 1}), ((0, 3), {"axis": 1}),
                       ((2, 3, 4), {"axis": (0, -1), "keepdims": True}), ((3, 4), {"axis": -2, "keepdims": True})):
        sample(key, (apart, shape), **how)
for how in ({}, {"axis": 0}, {"axis": 1, "keepdims": True}):
    sample(np.nanmedian, holes, **how)
for key in (np.quantile, np.nanquantile):
    for shape, how in (((6,), {"q": 0.3}), ((5,), {"q": 1}), ((5,), {"q": 0.0}), ((1,), {"q": 0.7}), ((), {"q": 0.2}),
                       ((2, 3), {"q": [0.1, 0.5, 0.95]}), ((2, 3, 4), {"q": np.array([[0.1, 0.35]]), "axis": 1}),
                       ((2, 3, 4), {"q": 0.8, "axis": (0, 2), "keepdims": True}), ((2, 3), {"q": [], "axis": 0}),
                       ((4, 3), {"q": [0.2, 0.6], "axis": -2, "keepdims": True})):
        sample(key, (apart, shape), **how)
    for method in methods:
        sample(key, (apart, (7,)), q=[0.17, 0.45, 0.5, 0.83], method=method)
        sample(key, (apart, (6, 2)), q=0.37, axis=0, method=method)
sample(np.quantile, (0, 3), q=[0.2], axis=-1)
for how in ({"q": 0.3}, {"q": [0.2, 0.9], "axis": 1}, {"q": 0.6, "axis": 0, "keepdims": True, "method": "hazen"}):
    sample(np.nanquantile, holes, **how)
for key in (np.percentile, np.nanpercentile):
    sample(key, (apart, (6,)), q=30.5)
    sample(key, (apart, (2, 5)), q=[5, 50], axis=1, method="midpoint", keepdims=True)

# ---- counting ----
sample(np.unique, np.array([2.5, 0.5, 1.25, -1.5]))
sample(np.unique, (apart, (2, 3)), return_index=True, return_inverse=True, return_counts=True)
sample(np.unique, (apart, (3, 2)), axis=0)
sample(np.bincount, np.array([0, 3, 3, 1, 0]), (5,))
sample(np.bincount, np.array([2, 0]), (2,), minlength=5)
