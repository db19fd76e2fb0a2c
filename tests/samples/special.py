"""Samples of derivatives/special.py."""

from __future__ import annotations

import numpy as np

from minigrad.derivatives import special as S

from .core import complex_normal, inside, nonzero, normal, positive, sample, sample_each

SHAPES = ((), (3,), (2, 1, 3), (0, 2))
PAIRS = (((2, 3), (2, 3)), ((3, 1), (4,)), ((), (3,)), ((2, 1, 3), ()), ((0, 3), (3,)))
ORDERS = np.array([0, 1, 3], np.int8)  # integers are constants


def probability(r, shape):
    return r.uniform(0.1, 0.9, shape)


def away(r, shape):
    """Between the integers, on both sides of 0."""
    return r.integers(-3, 3, shape) + r.uniform(0.25, 0.75, shape)


def over_two(r, shape):
    return r.uniform(2.1, 4, shape)


unary = {
    **dict.fromkeys((S.erfc, S.erfcx, S.erfi, S.dawsn, S.ndtr, S.log_ndtr, S.log_expit, S.rgamma, S.j0, S.j1, S.i0,
                     S.i1, S.i1e, S.exprel, S.exp10, S.fresnel, *S.fresnel.outputs), normal),
    **dict.fromkeys((S.entr, S.loggamma, S.y0, S.y1, S.k0, S.k1, S.k0e, S.k1e, S.exp1, S.spence, S.sici,
                     *S.sici.outputs, S.shichi, *S.shichi.outputs, S.lambertw), positive),
    **dict.fromkeys((S.gamma, S.gammaln, S.digamma, S.gammasgn), away),
    **dict.fromkeys((S.ndtri, S.logit), probability),
    **dict.fromkeys((S.i0e, S.expi), nonzero),
    S.erfinv: inside, S.erfcinv: lambda r, shape: 1 + inside(r, shape),
}
binary = {
    **dict.fromkeys((S.rel_entr, S.kl_div, S.beta, S.betaln, S.poch, S.pseudo_huber), (positive, positive)),
    **dict.fromkeys((S.boxcox, S.boxcox1p), (positive, normal)),
    S.xlogy: (normal, positive), S.xlog1py: (normal, inside), S.binom: (over_two, positive),
    S.huber: (lambda r, shape: 0.3 + 0.1 * positive(r, shape), nonzero),
    **dict.fromkeys((S.inv_boxcox, S.inv_boxcox1p), (positive, lambda r, shape: 0.4 * inside(r, shape))),
}
by_order = {**dict.fromkeys((S.jv, S.iv), normal),  # the order first
            **dict.fromkeys((S.yv, S.yn, S.kv, S.kn, S.kve, S.ive, S.expn), positive)}

sample_each(unary, binary, SHAPES, PAIRS)
for key, by in by_order.items():
    for shape in ((3,), (2, 1, 3), (0, 3), (2, 1)):
        sample(key, ORDERS, (by, shape))
    sample(key, np.array(2, np.int8), (by, ()))
for key in (S.erf, S.erfc, S.erfcx, S.erfi, S.dawsn, S.ndtr, S.log_ndtr, S.spence, S.exp1, S.expi, S.sici,
            S.shichi, S.fresnel, S.lambertw):
    sample(key, (complex_normal, (2, 3)))
for key in (S.jv, S.yv, S.iv, S.ive, S.kv, S.kve, S.hyp0f1):
    sample(key, ORDERS + np.int8(key is S.hyp0f1), (complex_normal, (2, 3)))

# ---- near removable singularities, and far out ----
for x in (0.0, 1e-9, -1e-4, 0.3, 5.0, -20.0):
    sample(S.exprel, np.array([x]))
    sample(S.rgamma, np.array([x]))
    sample(S.spence, np.array([1 + 0.1 * x if x > -1 else 1.5 - 1e-5]))
    sample(S.inv_boxcox, np.array([0.5]), np.array([x if x > -1 else -1.5]))
    sample(S.boxcox, np.array([0.5]), np.array([x]))
    sample(S.log_ndtr, np.array([x]))
sample(S.binom, np.array([2.0, 3.0, 5.0, 2.5]), np.array([3.0, 6.0, -1.0, 4.75]))
sample(S.poch, np.zeros(2), np.array([2.0, 4.5]))
sample(S.i1e, np.array([0.0, 99.0, -101.0]))
for x in (0.0, 0.5, -30.0, 30.0):
    sample(S.log_expit, np.array([x]))

# ---- parameters that are constants ----
for shape in ((), (3,), (2, 3), (0, 3)):
    a, b = (np.array(2, np.int8), np.array(3, np.int8)) if shape == () else (ORDERS + np.int8(1), ORDERS + np.int8(2))
    for key in (S.gammainc, S.gammaincc):
        sample(key, a, (positive, shape))
    for key in (S.gammaincinv, S.gammainccinv):
        sample(key, a, (probability, shape))
    for key in (S.betainc, S.betaincc, S.betaincinv, S.betainccinv):
        sample(key, a, b, (probability, shape))
    sample(S.zeta, b, (positive, shape))
    sample(S.hyp0f1, a, shape)
    sample(S.hyp1f1, a, b, shape)
    sample(S.hyp2f1, a, b, a, (inside, shape))
sample(S.lambertw, (positive, (3,)), k=-1)
