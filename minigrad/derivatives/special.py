"""The derivative table, continued: special functions, with SciPy's names and values (imported on first use).

The derivative of one is written with others, of the next order or the next parameters, so that every order is right:
digamma leads to zeta(2, x), j0 to j1 to jv(2, x). Where the textbook divides 0 by 0 (exprel, boxcox, spence, np.sinc),
the rule is a hypergeometric function, whose derivative is hypergeometric again. An argument whose rule is None must be
a constant, like the order of a Bessel function: nobody knows a formula, so asking for its gradient raises.
"""

from __future__ import annotations

import functools
import inspect
import math

import numpy as np

from ..dispatch import primitive
from ..graph import composites

__all__ = [
    "beta", "betainc", "betaincc", "betainccinv", "betaincinv", "betaln", "binom", "boxcox", "boxcox1p", "dawsn",
    "digamma", "entr", "erf", "erfc", "erfcinv", "erfcx", "erfi", "erfinv", "exp1", "exp10", "expi", "expit", "expn",
    "exprel", "fresnel", "gamma", "gammainc", "gammaincc", "gammainccinv", "gammaincinv", "gammaln", "gammasgn",
    "huber", "hyp0f1", "hyp1f1", "hyp2f1", "i0", "i0e", "i1", "i1e", "inv_boxcox", "inv_boxcox1p", "iv", "ive", "j0",
    "j1", "jn", "jv", "k0", "k0e", "k1", "k1e", "kl_div", "kn", "kv", "kve", "lambertw", "log_expit", "log_ndtr",
    "loggamma", "logit", "multigammaln", "ndtr", "ndtri", "poch", "polygamma", "pseudo_huber", "psi", "rel_entr",
    "rgamma", "shichi", "sici", "sigmoid", "sinc", "spence", "xlog1py", "xlogy", "y0", "y1", "yn", "yv",
    "zeta"]


def _of_scipy(*rules):
    """Below it stand only the signature and the docstring: the values are those of SciPy's ufunc of the same name."""
    def enter(f):
        @functools.wraps(f)
        def forward(*args):
            from scipy import special
            y = getattr(special, f.__name__)(*args)
            typed = [a for a in args if hasattr(a, "dtype")]
            if typed and len(args) > 1:  # SciPy takes numbers and integers beside float32 for float64
                y = y.astype(np.result_type(*typed, np.float32), copy=False)
            return y
        arguments = inspect.signature(f).parameters
        op = primitive(*(r or _unknown(f.__name__, a) for r, a in zip(rules, arguments)), broadcasts=True)(forward)
        composites[f"scipy.special.{f.__name__}"] = op
        return op
    return enter


def _unknown(name, argument):
    def rule(g, y, *inputs):
        raise NotImplementedError(f"{name} has no known derivative with respect to {argument}: pass it as a constant, "
                                  f"{argument}.detach()")
    return rule


def _pair_of_scipy(*rules):
    """The same for a ufunc with two outputs: an op for each, so that one may be infinite where the other is not."""
    def enter(f):
        def output(i, rule):
            @primitive(rule, broadcasts=True)
            @functools.wraps(f)
            def one(x):
                from scipy import special
                return getattr(special, f.__name__)(x)[i]
            return one

        @functools.wraps(f)
        def pair(x):
            return tuple(one(x) for one in pair.outputs)
        pair.outputs = [output(i, rule) for i, rule in enumerate(rules)]
        composites[f"scipy.special.{f.__name__}"] = pair
        return pair
    return enter


# ---- the error function and the normal distribution ----
@_of_scipy(lambda g, y, x: g * np.exp(-x * x) * (2 / math.sqrt(math.pi)))
def erf(x):
    """The error function, 2 / sqrt(pi) * integral of exp(-t^2) from 0 to x."""


@_of_scipy(lambda g, y, x: g * np.exp(-x * x) * (-2 / math.sqrt(math.pi)))
def erfc(x):
    """1 - erf(x), accurate where that is small."""


@_of_scipy(lambda g, y, x: g * (2 * x * y - 2 / math.sqrt(math.pi)))  # of order n exact to eps x^(2 n) for large x
def erfcx(x):
    """exp(x^2) erfc(x), without overflow."""


@_of_scipy(lambda g, y, x: g * np.exp(x * x) * (2 / math.sqrt(math.pi)))
def erfi(x):
    """-i erf(i x) = 2 / sqrt(pi) * integral of exp(t^2) from 0 to x."""


@_of_scipy(lambda g, y, x: g * np.exp(y * y) * (math.sqrt(math.pi) / 2))  # infinite at -1 and 1
def erfinv(x):
    """The y with erf(y) = x, for -1 <= x <= 1."""


@_of_scipy(lambda g, y, x: g * np.exp(y * y) * (-math.sqrt(math.pi) / 2))  # infinite at 0 and 2
def erfcinv(x):
    """The y with erfc(y) = x, for 0 <= x <= 2."""


@_of_scipy(lambda g, y, x: g * (1 - 2 * x * y))  # of order n exact to eps x^(2 n) for large |x|
def dawsn(x):
    """Dawson's integral, exp(-x^2) * integral of exp(t^2) from 0 to x."""


@_of_scipy(lambda g, y, x: g * np.exp(-0.5 * x * x) * (1 / math.sqrt(2 * math.pi)))
def ndtr(x):
    """The normal distribution function, (1 + erf(x / sqrt(2))) / 2."""


@_of_scipy(lambda g, y, x: g * _hazard(x))
def log_ndtr(x):
    """log(ndtr(x)), without underflow."""


def _hazard(x):
    """exp(-x^2 / 2) / sqrt(2 pi) / ndtr(x), in two halves: neither of them can overflow in its own."""
    left, right = np.where(x < 0, x, 0), np.where(x < 0, 0, x)
    return np.where(x < 0, math.sqrt(2 / math.pi) / erfcx(left * -math.sqrt(0.5)),
                    np.exp(-0.5 * right * right) / ndtr(right) * (1 / math.sqrt(2 * math.pi)))


@_of_scipy(lambda g, y, p: g * np.exp(0.5 * y * y) * math.sqrt(2 * math.pi))  # infinite at 0 and 1
def ndtri(p):
    """The x with ndtr(x) = p: quantiles of the normal distribution."""


# ---- the logistic function, entropies, losses ----
@primitive(lambda g, y, x: g * y * (1 - y))
def sigmoid(x):
    """The logistic function 1 / (1 + exp(-x)), without overflow."""
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-x))


@_of_scipy(lambda g, y, x: g * sigmoid(-x))
def log_expit(x):
    """log(sigmoid(x)), without overflow."""


@_of_scipy(lambda g, y, x: g / (x * (1 - x) * np.where(np.isnan(y), y, 1)))  # infinite at 0 and 1
def logit(x):
    """log(x / (1 - x)), the inverse of sigmoid."""


@_of_scipy(lambda g, y, x, a: g * np.log(_off_edge(x, a)), lambda g, y, x, a: g * (x / _off_edge(x, a)))  # 0 at (0, 0)
def xlogy(x, a):
    """x log(a), and 0 where x = 0."""


@_of_scipy(lambda g, y, x, a: g * np.log1p(_off_edge(x, a, -1)),
           lambda g, y, x, a: g * (x / (1 + _off_edge(x, a, -1))))  # 0 at (0, -1)
def xlog1py(x, a):
    """x log(1 + a), and 0 where x = 0."""


def _off_edge(x, a, edge=0):
    """``a``, but a number beyond the edge of the logarithm where x = 0 makes it count for nothing."""
    return np.where((x == 0) & (a <= edge), edge + 1, a)


@_of_scipy(lambda g, y, x: -g * (np.log(x) + 1))  # infinite at 0
def entr(x):
    """-x log(x), and 0 at 0: a term of an entropy."""


@_of_scipy(lambda g, y, p, q: g * (_log_ratio(p, q) + 1),
           lambda g, y, p, q: -g * (p / _off_edge(p, q)))  # 1 and 0 at (0, 0)
def rel_entr(p, q):
    """p log(p / q), and 0 where p = 0: a term of a Kullback-Leibler divergence."""


@_of_scipy(lambda g, y, p, q: g * _log_ratio(p, q),
           lambda g, y, p, q: g * (1 - p / _off_edge(p, q)))  # 0 and 1 at (0, 0)
def kl_div(p, q):
    """p log(p / q) - p + q, convex in both."""


def _log_ratio(p, q):
    both = (p == 0) & (q == 0)
    return np.log(np.where(both, 1, p)) - np.log(np.where(both, 1, q))


@_of_scipy(lambda g, y, delta, r: g * np.where(np.absolute(r) > delta, np.absolute(r) - delta, 0),
           lambda g, y, delta, r: g * np.where(np.absolute(r) > delta, delta * np.sign(r), r))
def huber(delta, r):
    """r^2 / 2 where |r| <= delta, else delta (|r| - delta / 2). Huber 1964."""


@_of_scipy(lambda g, y, delta, r:
           g * np.square(r * r / (delta + not_zero(np.hypot(delta, r)))) / not_zero(np.hypot(delta, r)),
           lambda g, y, delta, r: g * r * (delta / not_zero(np.hypot(delta, r))))  # 0 at (0, 0)
def pseudo_huber(delta, r):
    """delta^2 (sqrt(1 + (r / delta)^2) - 1)."""


def not_zero(r):
    """A divisor: ``r``, but inf where it is 0, so that what it divides is 0 there at every order."""
    return np.where(r == 0, math.inf, r)


# ---- gamma, beta ----
@_of_scipy(lambda g, y, x: g * y * digamma(x))
def gamma(x):
    """The gamma function, integral of t^(x - 1) exp(-t) from 0 to infinity; gamma(n + 1) = n!."""


@_of_scipy(lambda g, y, x: g * digamma(x))
def gammaln(x):
    """log |gamma(x)|."""


@_of_scipy(lambda g, y, x: g * digamma(x))
def loggamma(x):
    """log(gamma(x)), of a complex number its principal branch; NaN for real x < 0, unlike gammaln."""


@_of_scipy(lambda g, y, x: np.zeros_like(g))
def gammasgn(x):
    """The sign of gamma(x)."""


@_of_scipy(lambda g, y, x: g * _rgamma_slope(x, y))
def rgamma(x):
    """1 / gamma(x), smooth everywhere, also at 0, -1, -2, ... where it is 0."""


def _rgamma_slope(x, y):
    """-y digamma(x); left of 1/2 the derivative of sin(pi x) gamma(1 - x) / pi instead, which has no poles there."""
    left = x < 0.5
    mirrored = np.where(left, 1 - x, 1)
    wave = np.cos(math.pi * x) - np.sin(math.pi * x) * digamma(mirrored) * (1 / math.pi)
    return np.where(left, gamma(mirrored) * wave, -y * digamma(np.where(left, 1, x)))


@_of_scipy(lambda g, y, x: g * zeta(2, x))
def digamma(x):
    """gamma'(x) / gamma(x), the derivative of gammaln."""


@_of_scipy(None, lambda g, y, x, q: -g * x * zeta(x + 1, q))
def zeta(x, q):
    """The Hurwitz zeta function, the sum of (k + q)^-x over k = 0, 1, ...; differentiable in q only."""


def polygamma(n, x):
    """The n-th derivative of digamma, (-1)^(n + 1) n! zeta(n + 1, x). Raises ValueError unless n is 0, 1, 2, ..."""
    if n < 0 or n != int(n):
        raise ValueError(f"polygamma: n is the order of a derivative, an integer of at least 0, not {n}")
    n = int(n)
    return zeta(n + 1, x) * ((-1) ** (n + 1) * math.gamma(n + 1)) if n else digamma(x)


def multigammaln(a, d):
    """The log of the multivariate gamma function: d (d - 1) / 4 log(pi) + the sum of gammaln(a - j / 2) over j < d.

    Raises ValueError unless a > (d - 1) / 2.
    """
    if not np.all(a > 0.5 * (d - 1)):
        raise ValueError(f"multigammaln with d={d} is defined for a > {0.5 * (d - 1)}, got {float(np.min(a))}")
    return sum(gammaln(a - 0.5 * j) for j in range(d)) + d * (d - 1) / 4 * math.log(math.pi)


@_of_scipy(lambda g, y, a, b: g * y * (digamma(a) - digamma(a + b)),
           lambda g, y, a, b: g * y * (digamma(b) - digamma(a + b)))
def beta(a, b):
    """gamma(a) gamma(b) / gamma(a + b)."""


@_of_scipy(lambda g, y, a, b: g * (digamma(a) - digamma(a + b)), lambda g, y, a, b: g * (digamma(b) - digamma(a + b)))
def betaln(a, b):
    """log |beta(a, b)|."""


@_of_scipy(lambda g, y, n, k: g * _choices_slope(y, k + 1, n - k + 1),
           lambda g, y, n, k: g * (_choices_slope(y, n - k + 1, k + 1) - _choices_slope(y, k + 1, n - k + 1)))
def binom(n, k):
    """The binomial coefficient of real numbers, gamma(n + 1) / (gamma(k + 1) gamma(n - k + 1))."""


def _choices_slope(y, a, b):
    """The derivative in b of y = gamma(a + b - 1) / (gamma(a) gamma(b)), also at b = 0, -1, -2, ... where y is 0.

    There 1 / gamma(b) is gamma(1 - b) sin(pi b) / pi, as in `_rgamma_slope`.
    """
    left, top = b < 0.5, a + b - 1
    mirrored = np.where(left, 1 - b, b)
    factor = digamma(top) - digamma(mirrored)
    wave = np.cos(math.pi * b) + np.sin(math.pi * b) * factor * (1 / math.pi)
    return np.where(left, beta(np.where(left, top, 1), np.where(left, mirrored, 1)) * wave, y * factor)


@_of_scipy(lambda g, y, z, m: g * _poch_slope(y, z, m), lambda g, y, z, m: g * y * digamma(z + m))
def poch(z, m):
    """The rising factorial gamma(z + m) / gamma(z)."""


def _poch_slope(y, z, m):
    """y (digamma(z + m) - digamma(z)), also at the poles z = 0, -1, -2, ..., of which z + m may be another one."""
    def is_pole(x): return (x <= 0) & (x == np.floor(x))
    both = is_pole(z) & is_pole(z + m)  # then m is whole and y a polynomial, up to its sign poch(1 - z - m, m)
    one = is_pole(z) > both  # 1 / gamma(z) is 0 and has a slope
    end, start = np.where(both, 1 - z - m, z + m), np.where(both, 1 - z, np.where(one, 1, z))
    at = np.where(one, z, 1)
    return y * digamma(end) + np.where(one, gamma(np.where(one, z + m, 1)) * _rgamma_slope(at, rgamma(at)),
                                       -y * digamma(start))


def _gamma_density(a, x):
    return np.exp(xlogy(a - 1, x) - x - gammaln(a + 0.0)).astype(x.dtype)  # in float64: of small integers SciPy is not


def _beta_density(a, b, x):
    whole = betaln(a + 0.0, b + 0.0)  # SciPy's is float32 for small integers
    return np.exp(xlogy(a - 1, x) + xlog1py(b - 1, -x) - whole).astype(x.dtype)


@_of_scipy(None, lambda g, y, a, x: g * _gamma_density(a, x))
def gammainc(a, x):
    """The regularized integral of t^(a - 1) exp(-t) from 0 to x, over gamma(a); differentiable in x only."""


@_of_scipy(None, lambda g, y, a, x: -g * _gamma_density(a, x))
def gammaincc(a, x):
    """1 - gammainc(a, x)."""


@_of_scipy(None, lambda g, x, a, p: g / _gamma_density(a, x))
def gammaincinv(a, p):
    """The x with gammainc(a, x) = p; differentiable in p only."""


@_of_scipy(None, lambda g, x, a, p: -g / _gamma_density(a, x))
def gammainccinv(a, p):
    """The x with gammaincc(a, x) = p; differentiable in p only."""


@_of_scipy(None, None, lambda g, y, a, b, x: g * _beta_density(a, b, x))
def betainc(a, b, x):
    """The regularized integral of t^(a - 1) (1 - t)^(b - 1) from 0 to x, over beta(a, b); differentiable in x only."""


@_of_scipy(None, None, lambda g, y, a, b, x: -g * _beta_density(a, b, x))
def betaincc(a, b, x):
    """1 - betainc(a, b, x)."""


@_of_scipy(None, None, lambda g, x, a, b, p: g / _beta_density(a, b, x))
def betaincinv(a, b, p):
    """The x with betainc(a, b, x) = p; differentiable in p only."""


@_of_scipy(None, None, lambda g, x, a, b, p: -g / _beta_density(a, b, x))
def betainccinv(a, b, p):
    """The x with betaincc(a, b, x) = p; differentiable in p only."""


# ---- Bessel functions: the order v is a constant, any real number ----
@_of_scipy(lambda g, y, x: -g * j1(x))
def j0(x):
    """jv(0, x)."""


@_of_scipy(lambda g, y, x: g * (j0(x) - jv(2, x)) * 0.5)
def j1(x):
    """jv(1, x)."""


@_of_scipy(None, lambda g, y, v, x: g * (jv(v - 1, x) - jv(v + 1, x)) * 0.5)
def jv(v, x):
    """The Bessel function of the first kind and order v: a solution of x^2 y'' + x y' + (x^2 - v^2) y = 0."""


@_of_scipy(lambda g, y, x: -g * y1(x))
def y0(x):
    """yv(0, x)."""


@_of_scipy(lambda g, y, x: g * (y0(x) - yv(2, x)) * 0.5)
def y1(x):
    """yv(1, x)."""


@_of_scipy(None, lambda g, y, v, x: g * (yv(v - 1, x) - yv(v + 1, x)) * 0.5)
def yv(v, x):
    """The Bessel function of the second kind and order v: a second solution, infinite at 0."""


@_of_scipy(lambda g, y, x: g * i1(x))
def i0(x):
    """iv(0, x)."""


@_of_scipy(lambda g, y, x: g * (i0(x) + iv(2, x)) * 0.5)
def i1(x):
    """iv(1, x)."""


@_of_scipy(None, lambda g, y, v, x: g * (iv(v - 1, x) + iv(v + 1, x)) * 0.5)
def iv(v, x):
    """The modified Bessel function of the first kind and order v, i^-v jv(v, i x)."""


@_of_scipy(lambda g, y, x: g * (i1e(x) - np.sign(x) * y))  # 0 at 0
def i0e(x):
    """exp(-|x|) i0(x)."""


@_of_scipy(lambda g, y, x: g * ((i0e(x) + _i2e(x)) * 0.5 - np.sign(x) * y))
def i1e(x):
    """exp(-|x|) i1(x)."""


def _i2e(x):
    """ive(2, x), of which SciPy makes NaN for |x| > 1e9, there by the recurrence, which cancels for small x only."""
    far = np.absolute(x) > 100
    return np.where(far, i0e(x) - 2 * i1e(x) / np.where(far, x, 1), ive(2, np.where(far, 0, x)))


@_of_scipy(None, lambda g, y, v, x:
           g * (ive(v - 1, x) + ive(v + 1, x)) * 0.5 - np.real(g * y) * np.sign(np.real(x)))
def ive(v, x):
    """exp(-|real part of x|) iv(v, x)."""


@_of_scipy(lambda g, y, x: -g * k1(x))
def k0(x):
    """kv(0, x)."""


@_of_scipy(lambda g, y, x: g * (k0(x) + kv(2, x)) * -0.5)
def k1(x):
    """kv(1, x)."""


@_of_scipy(None, lambda g, y, v, x: g * (kv(v - 1, x) + kv(v + 1, x)) * -0.5)
def kv(v, x):
    """The modified Bessel function of the second kind and order v, which falls to 0."""


@_of_scipy(lambda g, y, x: g * (y - k1e(x)))
def k0e(x):
    """exp(x) k0(x)."""


@_of_scipy(lambda g, y, x: g * (y - (k0e(x) + kve(2, x)) * 0.5))
def k1e(x):
    """exp(x) k1(x)."""


@_of_scipy(None, lambda g, y, v, x: g * (y - (kve(v - 1, x) + kve(v + 1, x)) * 0.5))
def kve(v, x):
    """exp(x) kv(v, x)."""


# ---- exponential, sine and cosine integrals ----
@_of_scipy(lambda g, y, x: g * np.exp(0.5 * x) * (np.exp(0.5 * x) / x))  # in halves, which overflow no sooner than y
def expi(x):
    """The principal value of the integral of exp(t) / t from -infinity to x."""


@_of_scipy(lambda g, y, x: -g * np.exp(-x) / x)
def exp1(x):
    """The integral of exp(-t) / t from x to infinity."""


@_of_scipy(None, lambda g, y, n, x: -g * (expn(n - 1, x) if np.all(n > 0) else (np.exp(-x) + (1 - n) * y) / x))
def expn(n, x):
    """The integral of exp(-x t) / t^n from 1 to infinity; n, a constant, is an integer of at least 0."""


@_pair_of_scipy(lambda g, y, x: np.where(np.isinf(x), 0, g) * np.sinc(_finite(x) * (1 / math.pi)),
                lambda g, y, x: np.where(np.isinf(x), 0, g) * np.cos(_finite(x)) / x)  # 0 at infinity
def sici(x):
    """The sine and cosine integrals: of sin(t) / t from 0 to x, and of -cos(t) / t from x to infinity."""


def _finite(x):
    return np.where(np.isinf(x), 1, x)


@_pair_of_scipy(lambda g, y, x: g * hyp0f1(1.5, 0.25 * x * x), lambda g, y, x: g * np.cosh(x) / x)
def shichi(x):
    """The hyperbolic integrals: of sinh(t) / t from 0 to x; Euler's constant + log(x) + of (cosh(t) - 1) / t."""


@_pair_of_scipy(lambda g, y, x: g * np.sin(x * x * (math.pi / 2)), lambda g, y, x: g * np.cos(x * x * (math.pi / 2)))
def fresnel(x):
    """The Fresnel integrals, of sin(pi t^2 / 2) and of cos(pi t^2 / 2) from 0 to x."""


@_of_scipy(lambda g, y, x: np.where(np.isinf(x), 0, g) * _spence_slope(_finite(x)))  # 0 at infinity
def spence(x):
    """The dilogarithm of 1 - x, integral of log(t) / (1 - t) from 1 to x."""


def _spence_slope(x):
    """log(x) / (1 - x), and around its removable singularity at 1 the same as a hypergeometric function."""
    near = np.absolute(x - 1) < 0.5
    far = np.where(near, 2, x)
    return np.where(near, -hyp2f1(1, 1, 2, np.where(near, 1 - x, 0)), np.log(far) / (1 - far))


# ---- hypergeometric functions: differentiable in x; the parameters are constants ----
@_of_scipy(None, lambda g, y, v, x: g * hyp0f1(v + 1, x) / v)
def hyp0f1(v, x):
    """The sum of x^k / ((v)_k k!), where (v)_k = v (v + 1) ... (v + k - 1)."""


@_of_scipy(None, None, lambda g, y, a, b, x: g * hyp1f1(a + 1, b + 1, x) * a / b)
def hyp1f1(a, b, x):
    """The sum of (a)_k / (b)_k x^k / k!."""


@_of_scipy(None, None, None, lambda g, y, a, b, c, x: g * hyp2f1(a + 1, b + 1, c + 1, x) * a * b / c)
def hyp2f1(a, b, c, x):
    """The sum of (a)_k (b)_k / (c)_k x^k / k!."""


# ---- powers and exponentials, exact where the textbook form is 0 / 0 ----
@_of_scipy(lambda g, y, x: g * 0.5 * hyp1f1(2, 3, x))
def exprel(x):
    """(exp(x) - 1) / x, and 1 at 0."""


@_of_scipy(lambda g, y, x: g * y * math.log(10))
def exp10(x):
    """10^x."""


@_of_scipy(lambda g, y, x, lmbda: g * x ** (lmbda - 1), lambda g, y, x, lmbda: g * _boxcox_slope(np.log, 0, x, lmbda))
def boxcox(x, lmbda):
    """(x^lmbda - 1) / lmbda, and log(x) at lmbda = 0. Box & Cox 1964."""


@_of_scipy(lambda g, y, x, lmbda: g * (1 + x) ** (lmbda - 1),
           lambda g, y, x, lmbda: g * _boxcox_slope(np.log1p, -1, x, lmbda))
def boxcox1p(x, lmbda):
    """boxcox(1 + x, lmbda)."""


def _boxcox_slope(log, edge, x, lmbda):
    """The derivative in lmbda; at the edge, where y is -1 / lmbda if that is positive, no 0 * inf."""
    edge = (x == edge) & (lmbda > 0)
    t = log(np.where(edge, 1, x))
    return np.where(edge, 1 / np.square(np.where(edge, lmbda, 1)), 0.5 * np.square(t) * hyp1f1(2, 3, lmbda * t))


@_of_scipy(lambda g, y, x, lmbda: g * y / (1 + lmbda * x),
           lambda g, y, x, lmbda: g * y * -0.5 * x * x * hyp2f1(2, 2, 3, -lmbda * x))
def inv_boxcox(x, lmbda):
    """(1 + lmbda x)^(1 / lmbda), and exp(x) at lmbda = 0: the inverse of boxcox."""


@_of_scipy(lambda g, y, x, lmbda: g * (1 + y) / (1 + lmbda * x),
           lambda g, y, x, lmbda: g * (1 + y) * -0.5 * x * x * hyp2f1(2, 2, 3, -lmbda * x))
def inv_boxcox1p(x, lmbda):
    """inv_boxcox(x, lmbda) - 1: the inverse of boxcox1p."""


@primitive(lambda g, y, z, k=0, tol=1e-8: g * np.exp(-y) / (1 + y))  # infinite at -1 / e
def lambertw(z, k=0, tol=1e-8):
    """The k-th branch of the w with w exp(w) = z, complex."""
    from scipy import special
    return special.lambertw(z, k, tol).astype(np.result_type(np.asarray(z), np.complex64))


# ---- of whole order, other names ----
def yn(n, x):
    """yv(n, x) for an integer order n. Raises ValueError for another one."""
    return yv(_whole("yn", n), x)


def kn(n, x):
    """kv(n, x) for an integer order n. Raises ValueError for another one."""
    return kv(_whole("kn", n), x)


def _whole(name, n):
    if np.any(n != np.floor(n)):
        raise ValueError(f"{name}: the order n must be an integer, not {n}: {name[0]}v takes any real number")
    return n


expit, psi, jn, sinc = sigmoid, digamma, jv, np.sinc
composites.update({f"scipy.special.{name}": function for name, function in {
    "expit": sigmoid, "psi": digamma, "yn": yn, "kn": kn, "cbrt": np.cbrt, "exp2": np.exp2, "expm1": np.expm1,
    "log1p": np.log1p, "round": np.rint, "_zeta": zeta, "_lambertw": lambertw}.items()})
