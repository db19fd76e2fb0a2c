"""Samples of derivatives/elementwise.py."""

from __future__ import annotations

import warnings

import numpy as np

from .core import (
    apart,
    between,
    calls,
    complex_normal,
    inside,
    nonzero,
    normal,
    ones_and_twos,
    positive,
    sample,
    sample_each,
)

SHAPES = ((), (3,), (2, 1, 3), (0, 2))
PAIRS = (((2, 3), (2, 3)), ((3, 1), (4,)), ((), (3,)), ((2, 1, 3), ()), ((0, 3), (3,)))


def above_one(r, shape):
    return r.uniform(1.2, 3, shape)


def _fix(x):
    with warnings.catch_warnings():  # NumPy 2.5 would rather have np.trunc
        warnings.simplefilter("ignore", DeprecationWarning)
        return np.fix(x)


calls[np.fix] = _fix
unary = {
    **dict.fromkeys((np.arcsinh, np.degrees, np.rad2deg, np.radians, np.deg2rad, np.sinc, np.i0, np.angle,
                     np.nan_to_num, np.real_if_close), normal),
    **dict.fromkeys((np.cbrt, np.fabs), nonzero),
    **dict.fromkeys((np.fix, np.round, np.around, np.modf), apart),
    np.arccosh: above_one, np.arctanh: inside,
}
binary = {
    **dict.fromkeys((np.hypot, np.arctan2, np.copysign, np.nextafter), (nonzero, nonzero)),
    **dict.fromkeys((np.fmod, np.divmod), (lambda r, shape: 2 * apart(r, shape), ones_and_twos)),
    **dict.fromkeys((np.fmax, np.fmin), (apart, between)),
    np.logaddexp2: (normal, normal), np.float_power: (positive, nonzero), np.heaviside: (nonzero, normal),
}
sample_each(unary, binary, SHAPES, PAIRS)
for key in (np.arcsinh, np.arccosh, np.arctanh, np.sinc, np.angle, np.nan_to_num, np.real_if_close):
    sample(key, (complex_normal, (2, 3)))
for x in (0.0, 1e-9, 1e-4, 0.1, -0.999, -1.0, 1.001, 7.3):
    sample(np.sinc, np.array([x]))
sample(np.angle, (complex_normal, (3,)), deg=True)
sample(np.real_if_close, (complex_normal, (3,)), tol=1e9)
sample(np.nan_to_num, np.array([1.0, np.nan, np.inf, -np.inf]), nan=2.0, posinf=3.0, neginf=-3.0)
sample(np.heaviside, np.zeros(2, np.int8), (2, 2))
sample(np.ldexp, (2, 3), np.array([-2, 0, 3], np.int8))
for key in (np.round, np.around):
    sample(key, (apart, (2, 3)), decimals=1)
