"""The derivative table, continued: linear algebra on stacks of matrices (..., m, n), and what NumPy lacks of it.

The rules follow Giles, "Collected matrix derivative results for forward and reverse mode algorithmic differentiation"
(2008), written for complex matrices too. Three conventions:

- Of a Hermitian matrix (cholesky, eigh, eigvalsh) NumPy reads one triangle; the gradient is the Hermitian one.
- Eigenvectors and singular vectors are unique up to a sign, or a phase if complex. A sign is locally constant. A loss
  that depends on the phase has no derivative: its gradient raises LinAlgError.
- The derivative of these vectors contains 1 / (difference of two values). Where values coincide (to 64 roundings of
  the norm), the gradient of the values is one of the sub-gradients; one that needs the vectors of these values, and a
  second derivative of anything, raises LinAlgError.
"""

from __future__ import annotations

import math

import numpy as np

from ..dispatch import primitive
from ..graph import constants, rule
from .basics import keep
from .composed import composite

__all__ = ["cdist", "cho_solve", "expm", "logm", "lu", "solve_sylvester", "solve_triangular", "sqrtm"]

EighResult, EigResult, SVDResult, SlogdetResult, QRResult = (type(f(np.ones((1, 1)))) for f in (
    np.linalg.eigh, np.linalg.eig, np.linalg.svd, np.linalg.slogdet, np.linalg.qr))


# ---- what the rules share: x^T is x.mT, x^H is _h(x) ----
def _h(x): return x.mT.conj()
def _hermitian(x): return (x + _h(x)) / 2
def _real(x): return np.real(x) if x.dtype.kind == "c" else x
def _eye(x): return np.eye(x.shape[-1], dtype=bool)
def _eps(x): return float(np.finfo(x.dtype).eps)


def _rows(y, *heights):
    """The parts of an output packed as rows: (..., sum(heights), k) to (..., height, k) each."""
    ends = np.cumsum(heights).tolist()
    return [y[..., end - n:end, :] for n, end in zip(heights, ends)]


def _isclose(x, scale):
    return np.isclose(x, 0, rtol=0, atol=scale)


def _divisor(gap, a, b, size, what, noise, *numerators):
    """``gap``, with inf where a = b to rounding: there x / gap is 0. ``size``: that of the matrix, for comparison.

    Raises LinAlgError if a numerator is more than ``noise`` there: the derivative does not exist.
    """
    closed = _isclose(a - b, 64 * _eps(a) * size)
    for x in numerators:
        bad = closed & ~_isclose(x, noise)
        if np.any(bad):
            at = tuple(np.argwhere(bad)[0].tolist())
            a, b = (np.broadcast_to(v, bad.shape)[at].item() for v in (a, b))
            raise np.linalg.LinAlgError(
                f"the gradient of {what} does not exist where two values coincide, here {a:.10g} and {b:.10g}: use the "
                "values alone and once, or a function of the matrix that needs no vectors")
    return np.where(closed, math.inf, gap)


def _differences(w, what, noise, *numerators):
    """The divisor w_j - w_i of x_ij, for a row ``w``."""
    return _divisor(w - w.mT, w.mT, w, np.linalg.vector_norm(w, axis=-1, keepdims=True), what, noise,
                    *(np.where(_eye(x), 0, x) for x in numerators))


def _unequal(g, vectors):
    """The differences of ``g``, the row of gradients of the values, if there are any of the ``vectors``, else 0."""
    return (g - g.mT) * np.any(vectors != 0, axis=(-2, -1), keepdims=True)


def _refuse_coinciding(g, y, v, w, what, zero=False):
    if w.shape[-1]:
        _differences(w, what, 0.5, np.ones_like(w) + np.zeros_like(w.mT))
        if zero:
            _divisor(w, w, 0.0, np.linalg.vector_norm(w, axis=-1, keepdims=True), what, 0.5, np.ones_like(w))
    return g


@primitive(_refuse_coinciding, None)
def _apart(v, w, what, zero=False):
    """``v``, vectors whose derivatives exist if no two of the values ``w`` coincide (and, if ``zero``, none is 0).

    In a rule: there a gradient that is zero by chance would hide a missing second derivative.
    """
    return v


def _noise(g):
    """What counts as 0 beside ``g``, and beside 1: a gradient that is 0 in theory is rounding of larger numbers."""
    return _eps(g) ** 0.5 * np.maximum(np.linalg.matrix_norm(g, keepdims=True), 1)


def _refuse_phase(x, noise):
    """The diagonal of ``x`` is the derivative with respect to the phases of vectors."""
    if x.dtype.kind == "c" and not np.all(_isclose(np.where(_eye(x), x - x.conj(), 0), noise)):
        raise np.linalg.LinAlgError(
            "this loss depends on the phase of complex eigenvectors or singular vectors, which is arbitrary: make "
            "it a function of what is not, such as abs(v), v / v[0] or the projectors v v^H")


# ---- inverse, solve, determinant ----
rule(np.linalg.inv, lambda g, y, a: -y.mT @ g @ y.mT)


@primitive(lambda g, y, a, b: -_solve(a.mT, g) @ y.mT,
           lambda g, y, a, b: _solve(a.mT, g), broadcasts=True)
def _solve(a, b):
    """a^-1 b, of matrices."""
    return np.linalg.solve(a, b)


@composite(np.linalg.solve)
def _solve_any(a, b):
    return _solve(a, np.expand_dims(b, -1))[..., 0] if np.ndim(b) == 1 else _solve(a, b)


rule(np.linalg.det, lambda g, y, a: np.expand_dims(g, (-2, -1)) * _adjugate(a, y).mT)  # exact where singular


def _adjugate(a, det):
    """det(a) a^-1, also where a is singular or nearly so, and at every order.

    With constants u, v^H that make b = a + u v^H regular, det(a) = det(b) det(c), c = 1 - v^H b^-1 u,
    which is v^H b^-1 a v, for v^H v = 1. The small matrix c is zero where a is singular; its adjugate is a polynomial
    (Faddeev and LeVerrier).
    """
    n, uv = a.shape[-1], _completion(a)
    if uv.shape[-1] == 0:
        return np.expand_dims(det, (-2, -1)) * np.linalg.inv(a)
    u, v = _rows(uv, n, n)
    b = a + u @ _h(v)
    inverse = np.linalg.inv(b)
    k = np.eye(uv.shape[-1], dtype=np.float32)
    c = _h(v) @ inverse @ a @ v
    m = k + 0 * c
    for i in range(1, len(k)):
        m = c @ m
        m = m - k * ((m * k).sum((-2, -1), keepdims=True) / i)
    m = -m if len(k) % 2 == 0 else m
    det = (c @ m * k).sum((-2, -1), keepdims=True) / len(k)
    return np.expand_dims(np.linalg.det(b), (-2, -1)) * (det * inverse + inverse @ u @ m @ _h(v) @ inverse)


@primitive(lambda g, y, a: np.zeros_like(a))
def _completion(a):
    """Vectors u and v, packed as rows, for which a + u v^H has no small singular values. Locally constant."""
    u, s, vh = np.linalg.svd(a)
    top = s.max(-1, initial=0, keepdims=True)
    small = s <= 1e-3 * top
    first = s.shape[-1] - small.sum(-1).max(initial=0)
    u = u * np.where(small, np.where(top == 0, 1, top), 0)[..., None, :]
    return np.concatenate([u, _h(vh)], -2)[..., first:]


def _slogdet_rule(g, y, a):
    turn, grow = g[..., 0] * y[..., 0], g[..., 1]  # the imaginary part of the first, the real part of the second
    return np.expand_dims((turn - turn.conj() + grow + grow.conj()) / 2, (-2, -1)) * np.linalg.inv(a).mT


@primitive(_slogdet_rule)
def _slogdet(a):
    """The sign and the logarithm, stacked along a last axis."""
    return np.stack(np.linalg.slogdet(a), -1)


@composite(np.linalg.slogdet)
def _slogdet_parts(a):
    y = _slogdet(a)
    return SlogdetResult(y[..., 0], _real(y[..., 1]))


# ---- cholesky, qr, lu ----
def _cholesky_rule(g, y, a, upper=False):
    l, g = (_h(y), _h(g)) if upper else (y, g)
    k = l.shape[-1]
    inverse = np.linalg.inv(l)
    lower = np.tri(k, dtype=np.float32) - np.eye(k, dtype=np.float32) / 2
    return _hermitian(inverse.mT @ (lower * (l.mT @ g)) @ inverse.conj())


rule(np.linalg.cholesky, _cholesky_rule)  # the Hermitian gradient


def _qr_rule(g, y, a):
    m, n = a.shape[-2:]
    (q, r), (gq, gr) = _rows(y, m, n), _rows(g, m, n)
    upper = np.tri(n, dtype=np.float32).T - np.eye(n, dtype=np.float32) / 2
    p = upper * (gr.mT @ r - q.mT @ gq)
    return _solve(r.mT, (gq + q.conj() @ (p + _h(p))).mT).mT


@primitive(_qr_rule)
def _qr(a):
    """q and r^T as rows; a is square or tall, of full rank."""
    q, r = np.linalg.qr(a)
    return np.concatenate([q, r.mT], -2)


@composite(np.linalg.qr)
def _qr_parts(a, mode="reduced"):
    m, n = a.shape[-2:]
    if mode not in ("reduced", "r") and not (mode == "complete" and m <= n):
        raise TypeError(f"qr of a Tensor knows mode='reduced' and 'r', not mode={mode!r}")
    q, r = _rows(_qr(a[..., :min(m, n)]), m, min(m, n))
    r = np.concatenate([r.mT, _h(q) @ a[..., m:]], -1) if n > m else r.mT
    return r if mode == "r" else QRResult(q, r)


def _lu_rule(g, y, a):
    below = np.tri(y.shape[-1], k=-1, dtype=bool)
    l, u = np.where(below, y, np.eye(y.shape[-1], dtype=np.float32)), np.where(below, 0, y)
    x = np.where(below, l.mT @ np.where(below, g, 0), np.where(below, 0, g) @ u.mT)
    return _solve(l.mT, _solve(u, x.mT).mT)


@primitive(_lu_rule)
def _lu(a):
    """l below the diagonal and u above, of square a whose rows are in order: without pivoting."""
    y = a.copy()
    for j in range(y.shape[-1]):
        pivot = y[..., j:j + 1, j]
        y[..., j + 1:, j] /= np.where(pivot == 0, 1, pivot)
        y[..., j + 1:, j + 1:] -= y[..., j + 1:, j, None] * y[..., j, None, j + 1:]
    return y


@primitive(lambda g, y, a: np.zeros_like(a))
def _pivots(a):
    from scipy import linalg
    p = linalg.lu(a)[0].real if a.size else np.eye(a.shape[-2])
    return np.broadcast_to(p, (*a.shape[:-1], a.shape[-2])).astype(a.real.dtype)


def lu(a):
    """p, l, u with a = p @ l @ u, of (..., m, n), as scipy.linalg.lu: p is a permutation, locally constant."""
    p, k = _pivots(a), min(a.shape[-2:])
    a = p.mT @ a
    y = _lu(a[..., :k, :k])
    below = np.tri(k, k=-1, dtype=bool)
    l, u = np.where(below, y, np.eye(k, dtype=np.float32)), np.where(below, 0, y)
    if a.shape[-1] > k:
        u = np.concatenate([u, _solve(l, a[..., k:])], -1)
    elif a.shape[-2] > k:
        l = np.concatenate([l, _solve(u.mT, a[..., k:, :].mT).mT], -2)
    return p, l, u


def solve_triangular(a, b, trans=0, lower=False, unit_diagonal=False):
    """a^-1 b from one triangle of ``a`` (..., n, n), as scipy.linalg.solve_triangular; b: (n,) or (..., n, k).

    trans: 0 or "N"; 1 or "T" for a^T; 2 or "C" for a^H. Raises LinAlgError if a is singular.
    """
    if trans not in (0, 1, 2, "N", "T", "C"):
        raise ValueError(f"trans must be 0, 1, 2, 'N', 'T' or 'C', not {trans!r}")
    n = a.shape[-1]
    used = np.tri(n, k=-int(unit_diagonal), dtype=bool)
    a = np.where(used if lower else used.T, a, np.eye(n, dtype=np.float32))
    return np.linalg.solve(a if trans in (0, "N") else a.mT if trans in (1, "T") else _h(a), b)


def cho_solve(c_and_lower, b):
    """a^-1 b from ``(c, lower)``, a Cholesky factor of a and whether it is the lower one, as scipy.linalg.cho_solve."""
    c, lower = c_and_lower
    first = solve_triangular(c, b, 0 if lower else 2, lower)
    return solve_triangular(c, first, 2 if lower else 0, lower)


# ---- eigenvalues and singular values ----
def _eigh_rule(g, y, a, UPLO="L"):
    n = a.shape[-1]
    (w, v), (gw, gv) = _rows(y, 1, n), _rows(g, 1, n)
    v, noise = _apart(v, w, "eigenvectors"), _noise(g)
    m = v.mT @ gv
    _refuse_phase(m, noise)
    x = np.where(_eye(m), gw, m / _differences(w, "eigenvectors", noise, m, _unequal(gw, gv)))
    return _hermitian(v.conj() @ x @ v.mT)


@primitive(_eigh_rule)
def _eigh(a, UPLO="L"):
    """The eigenvalues and, below them, the eigenvectors."""
    w, v = np.linalg.eigh(a, UPLO)
    return np.concatenate([w[..., None, :], v], -2)


@composite(np.linalg.eigh)
def _eigh_parts(a, UPLO="L"):
    w, v = _rows(_eigh(a, UPLO=UPLO), 1, a.shape[-1])
    return EighResult(_real(w[..., 0, :]), v)


@composite(np.linalg.eigvalsh)
def _eigvalsh(a, UPLO="L"):
    return np.linalg.eigh(a, UPLO)[0]


def _eig_rule(g, y, a):
    n = a.shape[-1]
    (w, v), (gw, gv) = _rows(y, 1, n), _rows(g, 1, n)
    v, noise = _apart(v, w, "eigenvectors"), _noise(g)
    if np.any(np.linalg.svdvals(v)[..., -1:] < 64 * _eps(v)):
        raise np.linalg.LinAlgError("the eigenvalues of a defective matrix, whose eigenvectors do not span the space, "
                                    "have no derivative")
    m = v.mT @ gv
    _refuse_phase(m, noise)
    m = m - v.mT @ v.conj() @ np.where(_eye(m), (m + m.conj()) / 2, 0)  # v keeps its length
    x = np.where(_eye(m), gw, m / _differences(w, "eigenvectors", noise, m, _unequal(gw, gv)))
    return _solve(v.mT, x @ v.mT)


@primitive(_eig_rule)
def _eig(a):
    """The eigenvalues and, below them, the eigenvectors: complex only where they have to be, in every NumPy (2.5)."""
    w, v = np.linalg.eig(a)
    if a.dtype.kind != "c" and not np.any(np.imag(w)):
        w, v = np.real(w), np.real(v)
    return np.concatenate([w[..., None, :], v], -2)


@composite(np.linalg.eig)
def _eig_parts(a):
    w, v = _rows(_eig(a), 1, a.shape[-1])
    return EigResult(w[..., 0, :], v)


@composite(np.linalg.eigvals)
def _eigvals(a):
    return np.linalg.eig(a)[0]


def _svd_rule(g, y, a):
    m, n = a.shape[-2:]
    (u, s, v), (gu, gs, gv) = _rows(y, m, 1, n), _rows(g.conj(), m, 1, n)
    what, noise, is_complex = "singular vectors", _noise(g), a.dtype.kind == "c"
    u, v = (_apart(x, s, what, zero=is_complex or m != n) for x in (u, v))
    mu, mv = _h(u) @ gu, _h(v) @ gv
    _refuse_phase(mu + mv, noise)
    gap = _differences(s, what, noise, mu, mv, _unequal(gs, g[..., :m, :]), _unequal(gs, g[..., m + 1:, :]))
    turn = ((mu - _h(mu)) * s + s.mT * (mv - _h(mv))) / gap / (s + s.mT + np.isinf(gap))
    outer_u, outer_v, phase = gu - u @ mu, gv - v @ mv, np.where(_eye(mu), (mu - mu.conj()) / 2, 0)
    stretch = (gs + gs.conj()) / 2
    needs = [outer_u] * (m > n) + [outer_v] * (n > m) + [phase] * is_complex
    if needs:
        s = _divisor(s, s, 0.0, np.linalg.vector_norm(s, axis=-1, keepdims=True), what, noise, *needs)
        stretch = stretch + phase / s
    d = u @ np.where(_eye(mu), stretch, turn) @ _h(v)
    if m > n:
        d = d + outer_u / s @ _h(v)
    if n > m:
        d = d + u @ _h(outer_v / s)
    return d.conj()


@primitive(_svd_rule)
def _svd(a):
    """u, the singular values and v, one below the other."""
    u, s, vh = np.linalg.svd(a, full_matrices=False)
    return np.concatenate([u, s[..., None, :], _h(vh)], -2)


@composite(np.linalg.svd)
def _svd_parts(a, full_matrices=True, compute_uv=True):
    m, n = a.shape[-2:]
    if full_matrices and compute_uv and m != n:
        raise TypeError(f"svd of a Tensor of shape {a.shape} does not support full_matrices=True, for what it adds is "
                        "arbitrary: use full_matrices=False")
    u, s, v = _rows(_svd(a), m, 1, n)
    s = _real(s[..., 0, :])
    return SVDResult(u, s, _h(v)) if compute_uv else s


@composite(np.linalg.svdvals)
def _svdvals(x):
    return np.linalg.svd(x, compute_uv=False)


# ---- least squares ----
def _pinv_rule(g, y, a, rcond=None, rtol=None):
    """Golub and Pereyra 1973. Its products are as large as ``a``, or as the smaller of the two squares."""
    if a.shape[-2] < a.shape[-1]:
        return _pinv_rule(g.mT, y.mT, a.mT).mT
    left, right = g.mT @ (y @ _h(y)), _h(y) @ (y @ g.mT)
    return (left - a @ (y @ left) + right - right @ (y @ a)).conj() - y.mT @ (g @ y.mT)


rule(np.linalg.pinv, _pinv_rule)  # of constant rank
constants.add(np.linalg.matrix_rank)


@composite(np.linalg.lstsq)
def _lstsq(a, b, rcond=None):
    """Through the pseudo-inverse, so the derivative is that of constant rank."""
    m, n = a.shape
    if rcond is None or rcond < 0:
        rcond = float(np.finfo(a.dtype).eps) * (1 if rcond else max(m, n))
    x, s = np.linalg.pinv(a, rcond) @ b, np.linalg.svdvals(a)
    rank = np.sum(s > rcond * s[:1])
    e = b - a @ x
    residuals = np.reshape(np.sum(_real(e * e.conj()), axis=0), -1)
    return x, residuals if rank == n < m else residuals[:0], rank, s


@composite(np.linalg.tensorsolve)
def _tensorsolve(a, b, axes=None):
    if axes is not None:
        a = np.moveaxis(a, axes, range(a.ndim - len(axes), a.ndim))
    return np.reshape(np.linalg.solve(np.reshape(a, (b.size, -1)), np.ravel(b)), a.shape[np.ndim(b):])


@composite(np.linalg.tensorinv)
def _tensorinv(a, ind=2):
    return np.reshape(np.linalg.inv(np.reshape(a, (math.prod(a.shape[:ind]), -1))), a.shape[ind:] + a.shape[:ind])


# ---- norms ----
def _extreme(x, ord, **how):
    """The largest or, for a negative ``ord``, the smallest; of nothing the largest is 0, as NumPy."""
    return (np.min if ord < 0 else np.max if x.size else np.sum)(x, **how)


@composite(np.linalg.vector_norm)  # 0 at 0, and so is every higher derivative
def _vector_norm(x, axis=None, keepdims=False, ord=2):
    if isinstance(ord, str):
        raise ValueError(f"Invalid norm order {ord!r} for vectors")
    how = {"axis": axis, "keepdims": keepdims}
    x = x if x.dtype.kind in "fc" else x.astype(np.float64)
    if ord == 2:
        total = np.sum(_real(x * x.conj()), **how)
        flat = total == 0
        return np.where(flat, 0, np.sqrt(np.where(flat, 1, total)))
    x = np.abs(x)
    if math.isinf(ord):
        return _extreme(x, ord, **how)
    if ord in (0, 1):
        return np.sum(x if ord else np.where(np.isnan(x), 1, np.sign(x)), **how)
    zero = x == 0
    total = np.sum(np.where(zero, 0, np.where(zero, 1, x) ** ord), **how)
    flat = total == 0 if ord > 0 else np.any(zero, **how)
    return np.where(flat, 0, np.where(flat, 1, total) ** (1 / ord))


@composite(np.linalg.matrix_norm)  # 0 at 0
def _matrix_norm(x, keepdims=False, ord="fro"):
    if ord in (None, "fro"):
        return np.linalg.vector_norm(x, axis=(-2, -1), keepdims=keepdims)
    if ord in (2, -2, "nuc"):
        s = np.abs(np.linalg.svdvals(x))  # abs: the gradient at 0 is 0
        y = np.sum(s, axis=-1) if ord == "nuc" else _extreme(s, ord, axis=-1)
    elif ord in (1, -1, math.inf, -math.inf):
        sums = np.linalg.vector_norm(x, axis=-2 if abs(ord) == 1 else -1, ord=1)
        y = _extreme(sums, ord, axis=-1)
    else:
        raise ValueError(f"Invalid norm order {ord!r} for matrices")
    return np.expand_dims(y, (-2, -1)) if keepdims else y


@composite(np.linalg.norm)  # 0 at 0
def _norm(x, ord=None, axis=None, keepdims=False):
    axes = tuple(range(x.ndim) if axis is None else np.atleast_1d(axis).tolist())
    if ord is None and (axis is None or len(axes) < 3):
        return np.linalg.vector_norm(x, axis=axes, keepdims=keepdims)
    if len(axes) == 1:
        return np.linalg.vector_norm(x, axis=axes, keepdims=keepdims, ord=ord)
    if len(axes) != 2:
        raise ValueError(f"np.linalg.norm is over one axis or two, not {len(axes)}")
    y = np.linalg.matrix_norm(np.moveaxis(x, axes, (-2, -1)), ord=ord)
    return keep(y, x, axes) if keepdims else y


@composite(np.linalg.cond)
def _cond(x, p=None):
    if p in (None, 2, -2):
        s = np.linalg.svdvals(x)
        return s[..., 0] / s[..., -1] if p != -2 else s[..., -1] / s[..., 0]
    return np.linalg.matrix_norm(x, ord=p) * np.linalg.matrix_norm(np.linalg.inv(x), ord=p)


def cdist(x, y, p=2):
    """The p-distances between the rows of x (..., m, d) and of y (..., n, d): (..., m, n). Gradient 0 where equal."""
    return np.linalg.vector_norm(np.expand_dims(x, -2) - np.expand_dims(y, -3), axis=-1, ord=p)


# ---- functions of matrices ----
def _one_by_one(f, *stacks):
    """SciPy's f of single matrices over stacks, in double precision; the result has the shape of the last one."""
    lead = np.broadcast_shapes(*(x.shape[:-2] for x in stacks))
    flat = [np.broadcast_to(x, lead + x.shape[-2:]).reshape(math.prod(lead), *x.shape[-2:]) * np.float64(1)
            for x in stacks]
    y = np.array([f(*xs) for xs in zip(*flat)] if flat[-1].size else flat[-1])
    dtype = np.result_type(*stacks, np.complex64 if y.dtype.kind == "c" else np.float32)
    return y.reshape(lead + stacks[-1].shape[-2:]).astype(dtype)


def _frechet(f, a, e):
    """The derivative of the matrix function f at a in direction e: f([[a, e], [0, a]]) is [[f(a), it], [0, f(a)]]."""
    n = a.shape[-1]
    return f(np.concatenate([np.concatenate([a, e], -1), np.concatenate([np.zeros_like(a), a], -1)], -2))[..., :n, n:]


@primitive(lambda g, y, a: _frechet(expm, a.mT, g))
def expm(a):
    """The matrix exponential 1 + a + a a / 2 + ... of (..., n, n), by SciPy. Gradients of every order are exact."""
    from scipy import linalg
    return linalg.expm(a)


@primitive(lambda g, y, a: _frechet(logm, a.mT, g))
def logm(a):
    """The principal logarithm of (..., n, n), the inverse of `expm`, by SciPy; complex where it has to be."""
    from scipy import linalg
    return _one_by_one(linalg.logm, a)


@primitive(lambda g, y, a, b, q: -solve_sylvester(a.mT, b.mT, g) @ y.mT,
           lambda g, y, a, b, q: -y.mT @ solve_sylvester(a.mT, b.mT, g),
           lambda g, y, a, b, q: solve_sylvester(a.mT, b.mT, g), broadcasts=True)
def solve_sylvester(a, b, q):
    """The x with a x + x b = q, of (..., m, m), (..., n, n) and (..., m, n), as scipy.linalg.solve_sylvester."""
    from scipy import linalg
    return _one_by_one(linalg.solve_sylvester, a, b, q)


@primitive(lambda g, y, a: solve_sylvester(y.mT, y.mT, g))
def sqrtm(a):
    """The principal square root of (..., n, n), by SciPy; complex where it has to be."""
    from scipy import linalg
    return _one_by_one(linalg.sqrtm, a)
