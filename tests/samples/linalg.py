"""Samples of derivatives/linalg.py and of the products made of einsum and matmul."""

from __future__ import annotations

import math

import numpy as np

import minigrad.derivatives.linalg as L

from .core import apart, calls, complex_normal, nonzero, normal, sample


# ---- how matrices are drawn ----
def unitary(r, n, draw=normal):
    return np.linalg.qr(draw(r, n))[0]


def with_singular_values(s, draw=normal):
    """A function that draws matrices with these singular values (as many of them as there are)."""
    def by(r, shape):
        *lead, m, n = shape
        k = min(m, n)
        u, v = (np.linalg.qr(draw(r, (*lead, i, k)))[0] if i and k and math.prod(lead) else np.zeros((*lead, i, k))
                for i in (m, n))
        return u * np.array(s[:k]) @ v.mT
    return by


def hermitian(draw=normal, low=-1.0):
    """Well separated eigenvalues, from ``low`` upwards."""
    def by(r, shape):
        q = np.linalg.qr(draw(r, shape))[0] if math.prod(shape) else np.zeros(shape)
        x = q * (low + np.arange(shape[-1])) @ q.mT.conj()
        return (x + x.mT.conj()) / 2
    return by


def with_real_eigenvalues(r, shape):
    v = np.linalg.qr(normal(r, shape))[0] + 0.2 * normal(r, shape) if math.prod(shape) else np.zeros(shape)
    return v * (1.0 + np.arange(shape[-1])) @ np.linalg.inv(v)


def rotations(r, shape):
    """2 x 2, with complex eigenvalues."""
    a, b = 1 + r.random((2, *shape[:-2]))
    return np.stack([a, -b, 1.5 * b, a], -1).reshape(shape)


regular = with_singular_values((2.0, 1.2, 0.7, 0.4))
regular_complex = with_singular_values((2.0, 1.2, 0.7, 0.4), complex_normal)
of_rank_2 = with_singular_values((2.0, 1.2, 0.0, 0.0))
positive_definite, positive_definite_complex = hermitian(low=0.7), hermitian(complex_normal, 0.7)

stacks = ((3, 3), (2, 2, 2), (1, 1), (2, 1, 2, 2), (0, 0), (0, 2, 2), (2, 0, 0))


# ---- how they are called, where the function is of Hermitian matrices, or its vectors have a phase ----
def of_hermitian(f):
    return lambda a, **static: f((a + a.mT.conj()) / 2, **static)


def phased(f):
    """Vectors whose first component is 1 if they are complex: so they have no phase."""
    def call(a, **static):
        w, v = f(a, **static)
        return w, v / v[..., :1, :] if v.dtype.kind == "c" else v
    return call


def real_if_it_can_be(f):
    """Of a real array NumPy 2.5 gives complex eigenvalues even where all are real; a Tensor's are real there."""
    def call(a):
        parts = f(a)
        real = isinstance(a, np.ndarray) and a.dtype.kind == "f" and not np.any(np.imag(np.linalg.eigvals(a)))
        if isinstance(parts, tuple):
            return tuple(np.real(p) if real else p for p in parts)
        return np.real(parts) if real else parts
    return call


def _svd(a, **static):
    if not static.get("compute_uv", True):
        return np.linalg.svd(a, **static)
    u, s, vh = np.linalg.svd(a, **static)
    return (u / u[..., :1, :], s, vh * u[..., :1, :].mT) if u.dtype.kind == "c" else (u, s, vh)


calls.update({
    np.linalg.cholesky: of_hermitian(np.linalg.cholesky), np.linalg.eigvalsh: of_hermitian(np.linalg.eigvalsh),
    np.linalg.eigh: of_hermitian(phased(np.linalg.eigh)), L._eigh: of_hermitian(L._eigh),
    np.linalg.eig: phased(real_if_it_can_be(np.linalg.eig)), np.linalg.svd: _svd,
    np.linalg.eigvals: real_if_it_can_be(np.linalg.eigvals),
    np.linalg.multi_dot: lambda *xs: np.linalg.multi_dot(xs)})

# ---- inverse, solve, determinant ----
for shape in stacks:
    for by in (regular, regular_complex):
        for key in (np.linalg.inv, np.linalg.det, np.linalg.slogdet, L._slogdet):
            sample(key, (by, shape))
sample(np.linalg.det, (of_rank_2, (3, 3)))
sample(np.linalg.det, (of_rank_2, (2, 4, 4)))
sample(np.linalg.det, np.zeros((2, 2)))
sample(np.linalg.det, np.array([np.eye(2), np.zeros((2, 2)), [[1.0, 2.0], [2.0, 4.0]]]))
sample(np.linalg.det, (with_singular_values((2.0, 1.0, 0.0), complex_normal), (3, 3)))
sample(L._completion, (regular, (3, 3)))
for a, b in (((3, 3), (3, 2)), ((2, 3, 3), (2, 3, 1)), ((2, 3, 3), (3, 2)), ((3, 3), (2, 3, 2)), ((0, 0), (0, 2)),
             ((2, 2), (2, 0)), ((2, 1, 2, 2), (3, 2, 1)), ((0, 2, 2), (2, 2))):
    for key in (np.linalg.solve, L._solve):
        sample(key, (regular, a), b)
    sample(L.solve_sylvester, (positive_definite, a), (positive_definite, (b[-1], b[-1])), b)
    sample(np.linalg.solve, (regular_complex, a), (complex_normal, b))
for a, b in (((3, 3), (3,)), ((2, 3, 3), (3,)), ((1, 1), (1,))):
    sample(np.linalg.solve, (regular, a), b)
sample(np.linalg.solve, (regular, (2, 2)), (complex_normal, (2, 2)))
sample(L.solve_sylvester, (regular_complex, (2, 2)), (positive_definite_complex, (3, 3)), (complex_normal, (2, 3)))

# ---- factors ----
for shape in stacks:
    for by in (positive_definite, positive_definite_complex):
        sample(np.linalg.cholesky, (by, shape))
for by in (positive_definite, positive_definite_complex):
    sample(np.linalg.cholesky, (by, (2, 3, 3)), upper=True)
for shape in (*stacks, (4, 2), (2, 3, 2), (3, 0)):
    sample(L._qr, (regular, shape))
for shape in (*stacks, (4, 2), (2, 4), (2, 3, 2), (2, 2, 3), (3, 0), (0, 3)):
    for by in (regular, regular_complex):
        sample(np.linalg.qr, (by, shape))
        sample(np.linalg.qr, (by, shape), mode="r")
sample(np.linalg.qr, (regular, (2, 3)), mode="complete")
for shape in stacks:
    sample(L._lu, (positive_definite, shape))
    sample(L._pivots, (regular, shape))

# ---- eigenvalues and singular values ----
sample(L._apart, (3, 2), np.array([[1.0, 2.0]]), what="vectors")
sample(L._apart, (2, 2), np.array([[1.0, 2.0]]), what="vectors", zero=True)
for shape in stacks:
    sample(L._eigh, (hermitian(), shape))
    for by in (hermitian(), hermitian(complex_normal)):
        sample(np.linalg.eigh, (by, shape))
        sample(np.linalg.eigvalsh, (by, shape))
    for key in (L._eig, np.linalg.eig, np.linalg.eigvals):
        sample(key, (with_real_eigenvalues, shape))
    for by in (regular, regular_complex):
        sample(np.linalg.svd, (by, shape))
sample(np.linalg.eigh, (positive_definite, (3, 3)), UPLO="U")
sample(np.linalg.eigvalsh, (hermitian(complex_normal), (3, 3)), UPLO="U")
sample(L._eigh, (positive_definite, (3, 3)), UPLO="U")
for key in (np.linalg.eig, np.linalg.eigvals):
    sample(key, (rotations, (2, 2)))
    sample(key, (rotations, (3, 2, 2)))
    sample(key, np.array([[1 + 1j, 0.3, 0.1j], [0.2j, -1 + 0.5j, 0.4], [0.1, 0.2 - 0.1j, 3]]))
for shape in (*stacks, (3, 2), (2, 3), (2, 4, 2), (2, 2, 3), (3, 0), (0, 3)):
    sample(L._svd, (regular, shape))
    for by in (regular, regular_complex):
        sample(np.linalg.svd, (by, shape), full_matrices=False)
        sample(np.linalg.svd, (by, shape), compute_uv=False)
        sample(np.linalg.svdvals, (by, shape))

# ---- least squares, tensors ----
for shape in ((3, 3), (4, 2), (2, 4), (2, 3, 2), (2, 2, 3), (1, 1), (2, 0), (0, 2), (0, 2, 3)):
    for by in (regular, regular_complex):
        sample(np.linalg.pinv, (by, shape))
sample(np.linalg.pinv, (regular, (4, 2)), rcond=1e-3)
for a, b in (((4, 2), (4,)), ((4, 2), (4, 3)), ((2, 4), (2,)), ((3, 3), (3, 2))):
    sample(np.linalg.lstsq, (regular, a), b)
    sample(np.linalg.lstsq, (regular_complex, a), (complex_normal, b), rcond=1e-6)
sample(np.linalg.tensorsolve, (2, 3, 3, 2), (2, 3))
sample(np.linalg.tensorsolve, (3, 2, 6), (3, 2))
sample(np.linalg.tensorsolve, (2, 6, 3), (2, 3), axes=(1,))
sample(np.linalg.tensorinv, (2, 3, 3, 2))
sample(np.linalg.tensorinv, (6, 2, 3), ind=1)

# ---- norms ----
for by in (nonzero, complex_normal):
    for shape in ((), (3,), (2, 3), (2, 2, 3), (0, 2)):
        sample(np.linalg.norm, (by, shape))
        sample(np.linalg.vector_norm, (by, shape))
    sample(np.linalg.norm, (by, (2, 3)), keepdims=True)
    sample(np.linalg.norm, (by, (2, 2, 3)), axis=-1)
    sample(np.linalg.norm, (by, (2, 2, 3)), axis=(0, -1), keepdims=True)
    for ord in (0, 1, 2, 3, 0.5, 2.5, -1, -2.5):
        sample(np.linalg.norm, (by, (4,)), ord=ord)
        sample(np.linalg.norm, (by, (3, 4)), ord=ord, axis=0, keepdims=True)
        sample(np.linalg.vector_norm, (by, (2, 3, 2)), ord=ord, axis=(0, -1))
for ord in (math.inf, -math.inf):
    sample(np.linalg.norm, (apart, (4,)), ord=ord)
    sample(np.linalg.norm, (complex_normal, (3, 4)), ord=ord, axis=-1)
    sample(np.linalg.vector_norm, (apart, (2, 3)), ord=ord, keepdims=True)
for ord in (1, -1, 2, -2, math.inf, -math.inf, "fro", "nuc"):
    for by in (regular, regular_complex):
        sample(np.linalg.norm, (by, (3, 2)), ord=ord)
        sample(np.linalg.norm, (by, (2, 3, 3)), ord=ord, axis=(2, 1), keepdims=True)
        sample(np.linalg.norm, (by, (2, 3, 3)), ord=ord, axis=(-1, 0))
        sample(np.linalg.matrix_norm, (by, (2, 2, 3)), ord=ord)
        sample(np.linalg.matrix_norm, (by, (2, 3)), ord=ord, keepdims=True)
    sample(np.linalg.cond, (regular, (3, 3)), p=ord)
for by in (regular, regular_complex):
    sample(np.linalg.matrix_norm, (by, (3, 2)))
    sample(np.linalg.cond, (by, (3, 2)))
    sample(np.linalg.cond, (by, (2, 2, 2)))

# ---- functions of matrices ----
for shape in stacks:
    sample(L.expm, (normal, shape))
    sample(L.logm, (positive_definite, shape))
    sample(L.sqrtm, (positive_definite, shape))
for key, by in ((L.expm, complex_normal), (L.logm, positive_definite_complex), (L.sqrtm, positive_definite_complex)):
    sample(key, (by, (2, 2)))
for n in (-3, -1, 0, 1, 2, 5):
    sample(np.linalg.matrix_power, (regular, (3, 3)), n=n)
sample(np.linalg.matrix_power, (regular_complex, (2, 2, 2)), n=3)

# ---- products ----
for by in (normal, complex_normal):
    for a, b, axes in (((2, 3, 4), (3, 4, 2), 2), ((2, 3), (3, 4), 1), ((2,), (3, 2), 0), ((), (), 0),
                       ((2, 3, 4), (4, 2), ((0, -1), (1, 0))), ((2, 3), (4, 3), (1, -1)), ((0, 3), (3, 2), 1)):
        sample(np.tensordot, (by, a), (by, b), axes=axes)
    sample(np.linalg.tensordot, (by, (2, 3)), (by, (3, 4)), axes=1)
    for a, b in (((3,), (3,)), ((2, 3), (4, 3)), ((), (2, 3)), ((2,), ()), ((2, 3), (3,)), ((0,), (0,))):
        sample(np.inner, (by, a), (by, b))
    for a, b in (((3,), (3,)), ((2, 3), (3, 2)), ((0,), (0,))):
        sample(np.vdot, (by, a), (by, b))
    for a, b in (((3,), (3,)), ((2, 3), (3,)), ((2, 1, 3), (4, 3)), ((2, 0), (2, 0))):
        sample(np.vecdot, (by, a), (by, b))
        sample(np.linalg.vecdot, (by, a), (by, b))
    sample(np.linalg.vecdot, (by, (3, 2)), (by, (3, 1)), axis=0)
    for a, b in (((3,), (3,)), ((2, 3), (3,)), ((2, 1, 3), (4, 3)), ((0, 3), (3,))):
        sample(np.cross, (by, a), (by, b))
        sample(np.linalg.cross, (by, a), (by, b))
    sample(np.cross, (by, (3, 2)), (by, (2, 3)), axisa=0, axisc=0)
    sample(np.linalg.cross, (by, (3, 2)), (by, (3, 2)), axis=0)
    for a, b in (((2,), (3,)), ((2, 3), (2, 2)), ((2,), (2, 3)), ((), (2,)), ((2, 1, 3), (2, 2)), ((0, 2), (2, 2))):
        sample(np.kron, (by, a), (by, b))
    for shapes in (((2, 3), (3, 4), (4, 2)), ((3,), (3, 2), (2, 4), (4,)), ((2, 3), (3,)), ((3,), (3, 2)),
                   ((3,), (3,))):
        sample(np.linalg.multi_dot, *((by, shape) for shape in shapes))
    sample(np.linalg.outer, (by, (2,)), (by, (3,)))
    sample(np.linalg.matmul, (by, (2, 2, 3)), (by, (3, 2)))
    for key in (np.matrix_transpose, np.linalg.matrix_transpose, np.linalg.diagonal, np.linalg.trace):
        sample(key, (by, (2, 3, 4)))
        sample(key, (by, (0, 2)))
    for key in (np.linalg.diagonal, np.linalg.trace):
        sample(key, (by, (2, 3, 3)), offset=-1)
    if hasattr(np, "matvec"):
        for a, b in (((2, 3), (3,)), ((4, 2, 3), (1, 3)), ((2, 0), (0,))):
            sample(np.matvec, (by, a), (by, b))
            sample(np.vecmat, (by, b), (by, (*a[:-2], a[-1], a[-2])))
