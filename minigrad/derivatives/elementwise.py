"""The derivative table, continued: NumPy's elementwise functions beyond the basics."""

from __future__ import annotations

import math

import numpy as np

from ..graph import constants, rule
from .basics import _share, zero
from .composed import composite
from .special import hyp0f1, i1, not_zero, sigmoid

__all__ = ["cot", "csc", "lerp", "rsqrt", "sec"]


# ---- arithmetic ----
rule(np.cbrt, lambda g, y, x: g / (3 * y * y))  # infinite at 0
rule(np.fabs, lambda g, y, x: g * np.sign(x))  # 0 at 0
rule(np.fmod, lambda g, y, a, b: g, lambda g, y, a, b: -g * np.trunc(a / b))
rule(np.logaddexp2, lambda g, y, a, b: g * sigmoid((a - b) * math.log(2)),
     lambda g, y, a, b: g * sigmoid((b - a) * math.log(2)))
rule(np.ldexp, lambda g, y, x, i: np.ldexp(g, i), None)
rule(np.copysign, lambda g, y, a, b: g * np.sign(a) * np.copysign(1, b), zero)  # 0 at a = 0
rule(np.heaviside, zero, lambda g, y, x, h: np.where(x == 0, g, 0))
rule(np.nextafter, lambda g, y, a, b: g, zero)
for rounded in (np.round, np.around):
    rule(rounded, lambda g, y, x, decimals=0: zero(g))


@composite(np.float_power)
def _float_power(a, b):
    return np.power(np.float64(1) * a, b)  # in float64 whatever comes in, as NumPy


@composite(np.divmod)
def _divmod(a, b):
    return np.floor_divide(a, b), np.remainder(a, b)


@composite(np.fix)
def _fix(x):
    return np.trunc(x)


@composite(np.modf)
def _modf(x):
    x = x if x.dtype.kind == "f" else np.astype(x, np.float64)
    return np.where(np.isinf(x), 0, np.fmod(x, 1)), np.trunc(x)


# ---- trigonometry ----
rule(np.arcsinh, lambda g, y, x: g / np.sqrt(1 + x * x))
rule(np.arccosh, lambda g, y, x: g / (np.sqrt(x - 1) * np.sqrt(x + 1)))  # infinite at 1
rule(np.arctanh, lambda g, y, x: g / ((1 - x) * (1 + x)))  # infinite at -1 and 1
rule(np.hypot, lambda g, y, a, b: g * (a / not_zero(y)), lambda g, y, a, b: g * (b / not_zero(y)))  # 0 at (0, 0)
rule(np.arctan2, lambda g, y, a, b: _turn(g, b, a, b), lambda g, y, a, b: _turn(-g, a, a, b))  # 0 at (0, 0)
for degrees in (np.degrees, np.rad2deg):
    rule(degrees, lambda g, y, x: g * (180 / math.pi))
for radians in (np.radians, np.deg2rad):
    rule(radians, lambda g, y, x: g * (math.pi / 180))
rule(np.sinc, lambda g, y, x: g * _sinc_slope(x))  # 0 at 0
rule(np.i0, lambda g, y, x: g * i1(x))


def _turn(g, c, a, b):
    r = not_zero(np.hypot(a, b))
    return g * (c / r) / r


def _sinc_slope(x):
    """(cos(pi x) - sinc(x)) / x; where that cancels, near 0, as a hypergeometric function."""
    far = np.absolute(x) > 1
    near, x = np.where(far, 0, x), np.where(far, x, 1)
    return np.where(far, (np.cos(math.pi * x) - np.sinc(x)) / x,
                    near * hyp0f1(2.5, -np.square(near * (math.pi / 2))) * (-math.pi ** 2 / 3))


# ---- choices: ties are split; a NaN is passed over ----
rule(np.fmax, lambda g, y, a, b: _share(g, (a > b) | np.isnan(b), a == b),
     lambda g, y, a, b: _share(g, (b > a) | np.isnan(a), a == b))
rule(np.fmin, lambda g, y, a, b: _share(g, (a < b) | np.isnan(b), a == b),
     lambda g, y, a, b: _share(g, (b < a) | np.isnan(a), a == b))
rule(np.nan_to_num, lambda g, y, x, copy=True, nan=0.0, posinf=None, neginf=None: _where_finite(g, x),  # 0 elsewhere
     forward=lambda x, copy=True, **fill: np.nan_to_num(x, **fill))


def _where_finite(g, x):
    if np.iscomplexobj(x):  # its two parts are replaced one by one
        return np.where(np.isfinite(x.real), g.real, 0) + 1j * np.where(np.isfinite(x.imag), g.imag, 0)
    return np.where(np.isfinite(x), g, 0)


# ---- complex numbers ----
@composite(np.angle)
def _angle(z, deg=False):
    y = np.arctan2(np.imag(z), np.real(z))
    return np.degrees(y) if deg else y


@composite(np.real_if_close)
def _real_if_close(a, tol=100):
    if np.iscomplexobj(a) and np.all(np.absolute(a.imag) < (tol * np.finfo(a.dtype).eps if tol > 1 else tol)):
        return a.real
    return a


# ---- functions without a name in NumPy ----
def rsqrt(x):
    """1 / sqrt(x); infinite at 0."""
    return 1 / np.sqrt(x)


def lerp(start, end, weight):
    """start + weight * (end - start), broadcasting."""
    return start + weight * (end - start)


def sec(x):
    """1 / cos(x)."""
    return 1 / np.cos(x)


def csc(x):
    """1 / sin(x)."""
    return 1 / np.sin(x)


def cot(x):
    """1 / tan(x)."""
    return 1 / np.tan(x)


constants.update({np.spacing, np.isposinf, np.isneginf, np.isreal, np.iscomplex})
