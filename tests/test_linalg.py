"""Linear algebra: our own functions, singular and degenerate matrices, conventions, errors."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest
from samples import linalg as draw
from samples.core import complex_normal, normal
from scipy import linalg as scipy_linalg
from scipy.spatial import distance

from minigrad import Tensor, grad
from minigrad.derivatives import linalg as L
from minigrad.testing import check_hessian_symmetry, check_rule_paths, gradcheck

LinAlgError = np.linalg.LinAlgError


def leaf(x):
    return Tensor(np.array(x, np.result_type(np.asarray(x), np.float64)), requires_grad=True)


def slope(f, x):
    """d(sum f)/dx."""
    return grad(f(x := leaf(x)).sum(), x).data


def check(f, *inputs, order=2):
    gradcheck(f, *inputs, order=order)
    check_rule_paths(f, *inputs)
    check_rule_paths(f, *(x.astype(np.result_type(np.float32, np.complex64) if x.dtype.kind == "c" else np.float32)
                          for x in inputs))
    check_hessian_symmetry(f, *inputs)


def drawn(by, *shape, seed=0):
    return by(np.random.default_rng(seed), shape)


# ---- our own functions ----
@pytest.mark.parametrize("by", [normal, complex_normal])
@pytest.mark.parametrize("lower", [False, True])
@pytest.mark.parametrize("unit_diagonal", [False, True])
@pytest.mark.parametrize("trans", [0, 1, 2, "N", "T", "C"])
def test_solve_triangular(by, lower, unit_diagonal, trans):
    a, b = drawn(by, 3, 3) + 3 * np.eye(3), drawn(by, 3, 2, seed=1)
    how = {"trans": trans, "lower": lower, "unit_diagonal": unit_diagonal}
    expected = scipy_linalg.solve_triangular(a, b, **how)
    np.testing.assert_allclose(L.solve_triangular(a, b, **how), expected, rtol=1e-12)
    np.testing.assert_allclose(L.solve_triangular(Tensor(a), b, **how).data, expected, rtol=1e-12)
    check(lambda a, b: L.solve_triangular(a, b, **how), a, b)
    check(lambda a, b: L.solve_triangular(a, b, **how), np.stack([a, 2 * a]), b[:, 0])
    other = a + (np.triu(np.ones((3, 3)), 1) if lower else np.tril(np.ones((3, 3)), -1))
    np.testing.assert_array_equal(L.solve_triangular(other, b, **how), L.solve_triangular(a, b, **how))


def test_solve_triangular_refuses_what_it_does_not_know():
    with pytest.raises(ValueError, match="trans must be 0, 1, 2, 'N', 'T' or 'C', not 'H'"):
        L.solve_triangular(np.eye(2), np.ones(2), trans="H")
    with pytest.raises(LinAlgError, match="Singular"):
        L.solve_triangular(leaf(np.diag([1.0, 0.0])), np.ones(2))


@pytest.mark.parametrize("by", [draw.positive_definite, draw.positive_definite_complex])
@pytest.mark.parametrize("lower", [False, True])
def test_cho_solve(by, lower):
    a, b = drawn(by, 2, 3, 3), drawn(normal, 3, 2, seed=1)
    def solve(a, b):
        return L.cho_solve((np.linalg.cholesky((a + a.mT.conj()) / 2, upper=not lower), lower), b)
    np.testing.assert_allclose(solve(a, b), np.linalg.solve(a, b), rtol=1e-10)
    check(solve, a, b)


@pytest.mark.parametrize("shape", [(3, 3), (4, 2), (2, 4), (2, 3, 3), (1, 1), (0, 0), (2, 0, 0), (0, 2, 2)])
@pytest.mark.parametrize("by", [normal, complex_normal])
def test_lu(shape, by):
    a = drawn(by, *shape)
    p, l, u = L.lu(Tensor(a))
    np.testing.assert_allclose((p @ l @ u).data, a, atol=1e-14)
    if 0 not in shape:
        for ours, scipys in zip((p, l, u), scipy_linalg.lu(a)):
            np.testing.assert_allclose(ours.data, scipys, atol=1e-14)
        assert not grad(L.lu(x := leaf(a))[0].sum(), x).data.any()
    small = np.dtype(np.complex64 if by is complex_normal else np.float32)
    assert {y.dtype for y in L.lu(Tensor(a.astype(small)))} == {np.dtype(np.float32), small}
    check(lambda a: L.lu(a), a)


def test_lu_of_a_singular_matrix():
    for a in (np.array([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [1.0, 1.0, 1.0]]), np.zeros((3, 3))):
        p, l, u = L.lu(Tensor(a))
        np.testing.assert_allclose((p @ l @ u).data, a, atol=1e-15)


@pytest.mark.parametrize("p", [0, 0.5, 1, 1.5, 2, 3, math.inf])
def test_cdist(p):
    x, y = drawn(normal, 4, 3), drawn(normal, 2, 3, seed=1)
    name = {0: "hamming", math.inf: "chebyshev"}.get(p, "minkowski")
    expected = distance.cdist(x, y, name, **({"p": p} if name == "minkowski" else {})) * (3 if p == 0 else 1)
    for ours in (L.cdist(x, y, p), L.cdist(Tensor(x), Tensor(y), p).data):
        np.testing.assert_allclose(ours, expected, rtol=1e-12)
    check(lambda x, y: L.cdist(x, y, p), x, y)
    check(lambda x, y: L.cdist(x, y, p), np.stack([x, x + 1]), y)


@pytest.mark.parametrize("p", [0, 0.5, 1, 1.5, 2, 3, math.inf])
def test_cdist_of_equal_points_has_gradient_0(p):
    x = leaf([[1.0, 2.0], [1.0, 2.0]])
    first = grad(L.cdist(x, x, p).sum(), x, create_graph=True)
    assert not first.data.any()
    assert not first.requires_grad or not grad(first.sum(), x).data.any()


@pytest.mark.parametrize(("f", "by"), [
    (L.expm, normal), (L.expm, complex_normal), (L.logm, draw.positive_definite), (L.sqrtm, draw.positive_definite),
    (np.linalg.inv, draw.regular), (np.linalg.det, draw.regular), (lambda a: np.linalg.qr(a), draw.regular),
    (lambda a: np.linalg.svd(a), draw.regular), (lambda a: np.linalg.eig(a), draw.with_real_eigenvalues),
    (lambda a: np.linalg.slogdet(a), draw.regular_complex),
    (draw.calls[np.linalg.cholesky], draw.positive_definite), (draw.calls[np.linalg.eigh], draw.positive_definite),
])
def test_third_order(f, by):
    gradcheck(f, drawn(by, 2, 2), order=3)


def test_functions_of_matrices_are_scipys():
    a = drawn(draw.positive_definite, 3, 3)
    for ours, scipys in ((L.expm, scipy_linalg.expm), (L.logm, scipy_linalg.logm), (L.sqrtm, scipy_linalg.sqrtm)):
        np.testing.assert_allclose(ours(Tensor(np.stack([a, 2 * a]))).data, [scipys(a), scipys(2 * a)], atol=1e-14)
        assert ours(a.astype(np.float32)).dtype == np.float32
    assert L.sqrtm(-a).dtype == L.logm(-a).dtype == np.complex128
    gradcheck(lambda a: L.expm(L.logm(a)) + L.sqrtm(-a) @ L.sqrtm(-a), a)
    np.testing.assert_allclose(slope(lambda a: L.expm(L.logm(a)), a), np.ones((3, 3)), atol=1e-13)


def test_expm_of_a_defective_matrix():
    gradcheck(L.expm, np.array([[1.0, 1.0], [0.0, 1.0]]), order=3)
    gradcheck(L.expm, np.zeros((2, 2)), order=3)


def test_solve_sylvester():
    a, b, q = drawn(normal, 2, 2), drawn(normal, 3, 3), drawn(normal, 2, 3)
    x = L.solve_sylvester(Tensor(a), b, q).data
    np.testing.assert_allclose(a @ x + x @ b, q, atol=1e-13)


# ---- the determinant of singular matrices ----
def cofactors(a):
    n = len(a)
    return np.array([[(-1) ** (i + j) * np.linalg.det(np.delete(np.delete(a, i, 0), j, 1)) for j in range(n)]
                     for i in range(n)])


@pytest.mark.parametrize("a", [
    [[0.0]], [[1.0, 2.0], [2.0, 4.0]], np.zeros((2, 2)), np.zeros((4, 4)), np.ones((3, 3)), np.diag([1.0, 2.0, 0.0]),
    np.arange(16.0).reshape(4, 4), np.diag([3.0, 1e-200, 2.0]),
    [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]]])
def test_det_where_singular(a):
    a = np.array(a)
    np.testing.assert_allclose(slope(np.linalg.det, a), cofactors(a), atol=1e-14 * np.linalg.norm(a) ** (len(a) - 1))
    gradcheck(np.linalg.det, a, order=3)


def test_det_of_a_graded_matrix():
    np.testing.assert_allclose(slope(np.linalg.det, np.diag([1.0, 1e-9, 1e-12])), np.diag([1e-21, 1e-12, 1e-9]), 1e-12)


def test_det_of_a_batch_of_ranks_0_to_3():
    a = np.array([np.diag(np.arange(3) < k) for k in range(4)], np.float64)
    np.testing.assert_allclose(slope(np.linalg.det, a), [cofactors(m) for m in a], atol=1e-15)
    gradcheck(np.linalg.det, a)
    gradcheck(np.linalg.det, a * (1 + 2j))


def test_second_derivatives_of_det_nearly_singular():
    """They are cofactors of cofactors, of size 1, although det(a) a^-1 a^-1 would cancel 1e7 times as much."""
    a = leaf(draw.with_singular_values((1.0, 0.7, 1e-7))(np.random.default_rng(0), (3, 3)))
    first = grad(np.linalg.det(a), a, create_graph=True)
    second = np.array([grad(first[0, 0], a, retain_graph=True).data[i, j] for i, j in ((1, 1), (1, 2))])
    np.testing.assert_allclose(second, [a.data[2, 2], -a.data[2, 1]], atol=1e-12)


def test_logdet_of_a_singular_matrix_has_no_gradient():
    y = np.linalg.slogdet(x := leaf([[1.0, 2.0], [2.0, 4.0]]))
    assert (y.sign.data, y.logabsdet.data) == (0, -math.inf)
    with pytest.raises(LinAlgError, match="Singular"):
        grad(y.logabsdet, x)


# ---- coinciding eigenvalues and singular values ----
def symmetric(f):
    return lambda a: f((a + a.mT.conj()) / 2)


@pytest.mark.parametrize("f", [np.linalg.eigvalsh, np.linalg.eigvals, np.linalg.svdvals])
def test_gradients_of_values_that_coincide(f):
    eye = np.eye(3)
    np.testing.assert_allclose(slope(f, eye), eye, atol=1e-15)
    np.testing.assert_allclose(slope(lambda a: f(a) ** 3, 2 * eye), 12 * eye, atol=1e-14)
    x = leaf(eye)
    for g in ((lambda w: w ** 2), (lambda w: (w - 1) ** 2)):  # of the second the first derivative is 0
        first = grad(g(f(x)).sum(), x, create_graph=True)
        with pytest.raises(LinAlgError, match="where two values coincide, here 1 and 1: use the values alone and once"):
            grad(first, x, gradient=np.arange(9.0).reshape(3, 3))


@pytest.mark.parametrize(("f", "name"), [
    (lambda a: np.linalg.eigh(a)[1], "eigenvectors"), (lambda a: np.linalg.eig(a)[1], "eigenvectors"),
    (lambda a: np.linalg.svd(a)[0], "singular vectors"), (lambda a: np.linalg.svd(a)[2], "singular vectors"),
    (symmetric(lambda a: (e := np.linalg.eigh(a))[1] * np.sqrt(e[0])[..., None, :] @ e[1].mT), "eigenvectors"),
])
def test_vectors_of_coinciding_values_have_no_gradient(f, name):
    a = np.diag([1.0, 2.0, 2.0])
    a[0, 0] += 1e-3
    weights = np.arange(9.0).reshape(3, 3) ** 2
    with pytest.raises(LinAlgError, match=f"the gradient of {name} does not exist where two values coincide, here 2 "):
        slope(lambda a: f(a) * weights, a)
    with pytest.raises(LinAlgError, match=f"the gradient of {name} does not exist"):
        slope(lambda a: f(a) * weights, np.stack([np.diag([3.0, 2.0, 1.0]), a]))


def test_a_vector_whose_value_is_apart_from_the_others_has_a_gradient():
    a, weights = np.diag([3.0, 1.0, 1.0]), np.array([1.0, 2.0, 3.0])
    a[0, 1] = a[1, 0] = 0.5
    gradcheck(symmetric(lambda a: (np.linalg.eigh(a)[1][:, 2] @ weights) ** 2), a, order=1)
    gradcheck(lambda a: (weights @ np.linalg.svd(a)[0][:, 0]) ** 2, a, order=1)
    gradcheck(lambda a: (np.linalg.svd(a)[2][0] @ weights) ** 2, a, order=1)


def test_a_trace_of_coinciding_eigenvalues_through_their_vectors():
    def through(a):
        w, v = np.linalg.eigh(a)
        return np.trace(v * w ** 2 @ v.mT)
    q = np.linalg.qr(drawn(normal, 3, 3))[0]
    np.testing.assert_allclose(slope(through, q @ np.diag([1.0, 1.0, 2.0]) @ q.T),
                               2 * q @ np.diag([1.0, 1.0, 2.0]) @ q.T, atol=1e-13)


def test_singular_vectors_of_a_singular_value_0():
    a = np.outer([1.0, 2.0, 3.0], [1.0, 1.0])
    np.testing.assert_allclose(slope(np.linalg.svdvals, a)[:, 0] @ [1.0, 2.0, 3.0], 14 / math.sqrt(28), rtol=0.9)
    with pytest.raises(LinAlgError, match=r"the gradient of singular vectors .* and 0: use the values alone"):
        slope(lambda a: np.linalg.svd(a, full_matrices=False)[0] * np.arange(6.0).reshape(3, 2), a)


def test_a_defective_matrix_is_refused():
    with pytest.raises(LinAlgError, match="defective"):
        slope(np.linalg.eigvals, [[1.0, 1.0], [0.0, 1.0]])


# ---- gauges ----
@pytest.mark.parametrize("f", [lambda a: np.linalg.eigh(a)[1], lambda a: np.linalg.eig(a)[1],
                               lambda a: np.linalg.svd(a)[0], lambda a: np.linalg.svd(a)[2]])
def test_a_loss_that_depends_on_the_phase_is_refused(f):
    a = drawn(draw.hermitian(complex_normal, 0.7), 3, 3)
    with pytest.raises(LinAlgError, match="depends on the phase of complex"):
        slope(lambda a: np.real(f(a)) ** 2, a)


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_a_gradient_of_nothing_but_rounding_is_not_refused(dtype):
    for seed in range(20):
        a = Tensor(drawn(complex_normal, 4, 4, seed=seed).astype(dtype), requires_grad=True)
        for f in (lambda a: np.linalg.eig(a)[1], lambda a: np.linalg.eigh(a @ a.mT.conj())[1],
                  lambda a: np.linalg.svd(a)[0]):
            v = f(a)
            d = grad(np.sum(np.abs(v / np.linalg.norm(v, axis=0)) ** 2 * np.arange(1, 5, dtype=v.real.dtype)), a)
            np.testing.assert_allclose(d.data, 0, atol=1e3 * np.finfo(dtype).eps)


def test_projectors_have_no_phase():
    a, general = drawn(draw.hermitian(complex_normal), 3, 3), drawn(complex_normal, 3, 3)
    def projector(v): return v[..., :1] @ v[..., :1].mT.conj()
    gradcheck(symmetric(lambda a: projector(np.linalg.eigh(a)[1])), a)
    gradcheck(lambda a: projector(np.linalg.eig(a)[1]), general)
    gradcheck(lambda a: projector(np.linalg.svd(a)[0]), general)
    gradcheck(lambda a: projector(np.linalg.svd(a, full_matrices=False)[2].mT), general[:2])


def test_gradients_of_functions_of_hermitian_matrices_are_hermitian():
    a = drawn(draw.positive_definite_complex, 3, 3)
    for f in (np.linalg.cholesky, np.linalg.eigvalsh, lambda a: np.linalg.cholesky(a, upper=True),
              lambda a: abs(np.linalg.eigh(a, "U")[1][0])):
        d = slope(lambda a, f=f: np.real(f(a)) ** 3, a)
        np.testing.assert_allclose(d, d.mT.conj(), atol=1e-15)


def test_only_one_triangle_is_read():
    a = np.array([[2.0, math.nan], [0.5, 2.0]])
    np.testing.assert_allclose(np.linalg.cholesky(leaf(a)).data, np.linalg.cholesky(a))
    np.testing.assert_allclose(np.linalg.cholesky(leaf(a.T), upper=True).data, np.linalg.cholesky(a.T, upper=True))
    np.testing.assert_allclose(np.linalg.eigvalsh(leaf(a)).data, [1.5, 2.5])
    np.testing.assert_allclose(np.linalg.eigvalsh(leaf(a.T), "U").data, [1.5, 2.5])


# ---- least squares ----
@pytest.mark.parametrize("by", [normal, complex_normal])
def test_pinv_of_constant_rank(by):
    b, c = drawn(by, 4, 2), drawn(by, 2, 3, seed=1)
    check(lambda b, c: np.linalg.pinv(b @ c), b, c)
    check(lambda b, c: np.linalg.lstsq(b @ c, np.arange(4.0))[0], b, c)


@pytest.mark.parametrize("shape", [(3000, 4), (4, 3000)])
def test_pinv_and_lstsq_of_long_matrices_need_little_memory(shape):
    a, b = Tensor(drawn(normal, *shape), requires_grad=True), drawn(normal, shape[0])
    tracemalloc.start()
    grad(np.sum(np.linalg.pinv(a) ** 2), a)
    grad(np.sum(np.linalg.lstsq(a, b, None)[0] ** 2), a)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50 * a.data.nbytes  # 3000 x 3000 is 750 times as large


def test_lstsq_of_deficient_rank():
    a, b = np.outer([1.0, 2.0, 3.0], [1.0, 1.0]), np.array([1.0, 0.0, 1.0])
    for rcond in (None, -1, 1e-3):
        ours, numpys = np.linalg.lstsq(leaf(a), b, rcond), np.linalg.lstsq(a, b, rcond)
        assert ours[2] == numpys[2] or rcond == -1
        if ours[2] == 1:
            for x, y in zip(ours, numpys):
                np.testing.assert_allclose(getattr(x, "data", x), y, atol=1e-14)


def test_lstsq_takes_an_array_and_a_tensor():
    a, b = drawn(normal, 4, 2), drawn(normal, 4)
    gradcheck(lambda b: np.linalg.lstsq(a, b)[:2], b)
    gradcheck(lambda a: np.linalg.lstsq(a, b)[:2], a)


# ---- norms ----
@pytest.mark.parametrize("ord", [None, 0, 0.5, 1, 1.5, 2, 3, math.inf, -math.inf])
def test_norm_at_0(ord):
    assert np.array_equal(slope(lambda x: np.linalg.norm(x, ord), np.zeros(3)), np.zeros(3))
    assert np.array_equal(slope(lambda x: np.linalg.norm(x, ord), np.zeros(3, np.complex128)), np.zeros(3))
    first = grad(np.linalg.norm(x := leaf(np.zeros(2)), ord), x, create_graph=True)
    assert not first.requires_grad or np.array_equal(grad(first.sum(), x).data, np.zeros(2))


@pytest.mark.parametrize("ord", [None, "fro", "nuc", 1, -1, 2, -2, math.inf, -math.inf])
def test_matrix_norm_at_0(ord):
    assert np.array_equal(slope(lambda x: np.linalg.norm(x, ord), np.zeros((2, 3))), np.zeros((2, 3)))


@pytest.mark.parametrize(("f", "x", "expected"), [
    (lambda x: np.linalg.norm(x, axis=1), [[0.0, 0.0], [3.0, 4.0]], [[0, 0], [0.6, 0.8]]),
    (lambda x: np.linalg.norm(x, math.inf), [1.0, -2.0, 2.0], [0, -0.5, 0.5]),
    (lambda x: np.linalg.norm(x, 1), [1.0, 0.0, -2.0], [1, 0, -1]),
    (lambda x: np.linalg.norm(x, 0), [1.0, 0.0, -2.0], [0, 0, 0]),
    (lambda x: np.linalg.norm(x, 0.5), [1.0, 0.0, 1.0], [2, 0, 2]),
    (lambda x: np.linalg.norm(x, -1), [1.0, 0.0, 1.0], [0, 0, 0]),
    (lambda x: np.linalg.norm(x, 3), [0.0, 2.0], [0, 1]),
    (lambda x: np.linalg.norm(x, "nuc"), np.eye(2), np.eye(2)),
    (lambda x: np.linalg.norm(x, 2), np.eye(2), np.eye(2) / 2),
])
def test_norm_at_kinks(f, x, expected):
    np.testing.assert_allclose(slope(f, x), expected, atol=1e-15)
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(f(leaf(x)).data, f(np.array(x)))


@pytest.mark.parametrize(("ord", "size", "slope_of_first"), [(1, 5, 0.6 + 0.8j), (math.inf, 5, 0.6 + 0.8j),
                                                             (-math.inf, 5, 0.6 + 0.8j)])
@pytest.mark.parametrize("scale", [1e200, 1e-200])
def test_norms_of_complex_numbers_beyond_their_squares(ord, size, slope_of_first, scale):
    x = np.array([3 + 4j, 0 if ord == 1 else 3 + 4.5j if ord < 0 else 1]) * scale
    np.testing.assert_allclose(np.linalg.norm(leaf(x), ord).data, size * scale, rtol=1e-14)
    np.testing.assert_allclose(slope(lambda x: np.linalg.norm(x, ord), x), [slope_of_first, 0], rtol=1e-14)


def test_norm_0_counts_nan():
    for x in (np.array([math.nan, 0.0, 2.0]), np.array([complex(0, math.nan), 0, 2])):
        assert np.linalg.norm(leaf(x), 0).item() == np.linalg.norm(x, 0) == 2


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0)])
def test_norms_of_nothing(shape):
    """As NumPy from 2.2 on."""
    for ord in (None, "fro", "nuc", 1, 2, math.inf):
        for f in (np.linalg.norm, np.linalg.matrix_norm):
            y = f(leaf(np.zeros(shape)), ord="fro" if ord is None else ord)
            assert (y.shape, y.item()) == ((), 0)
    assert np.linalg.norm(leaf(np.zeros(0)), math.inf).item() == 0
    assert slope(lambda x: np.linalg.norm(x, 2), np.zeros(shape)).shape == shape
    with pytest.raises(ValueError, match="zero-size"):
        np.linalg.norm(leaf(np.zeros(0)), -math.inf)


def test_cross_keeps_nan_to_itself_and_the_dtype():
    a, b = np.array([math.nan, 1.0, 2.0]), np.array([1.0, 2.0, 3.0])
    np.testing.assert_array_equal(np.cross(leaf(a), b).data, np.cross(a, b))
    assert not np.isnan(np.cross(a, b)[0])
    for dtype in (np.int8, np.int64, np.float16, np.float32):
        assert np.cross(Tensor(b.astype(dtype)), b.astype(dtype)).dtype == np.cross(*[b.astype(dtype)] * 2).dtype


def test_second_derivative_of_norm_2_where_an_element_is_0():
    gradcheck(np.linalg.norm, np.array([0.0, 1.0, 2.0]))
    gradcheck(np.linalg.norm, np.array([0.0, 1.0 + 1j, 2.0]))


@pytest.mark.parametrize("ord", [1, -1, 2, math.inf, "fro", "nuc"])
def test_condition_of_a_complex_matrix_is_real(ord):
    a = drawn(draw.regular_complex, 3, 3)
    assert np.linalg.cond(leaf(a), ord).dtype == np.float64
    gradcheck(lambda a: np.linalg.cond(a, ord), a)


def test_norms_of_integers():
    x = np.array([[3, -4], [2, 1]])
    for ord in (None, 1, 2, "nuc", -math.inf):
        np.testing.assert_allclose(np.linalg.norm(Tensor(x), ord).data, np.linalg.norm(x, ord))
    np.testing.assert_allclose(np.linalg.norm(Tensor(x), -2, axis=0).data, np.linalg.norm(x, -2, axis=0))


# ---- what comes back ----
def test_results_are_numpys_tuples():
    a = np.diag([1.0, 2.0])
    for f, names in ((np.linalg.eigh, "eigenvalues eigenvectors"), (np.linalg.eig, "eigenvalues eigenvectors"),
                     (np.linalg.svd, "U S Vh"), (np.linalg.slogdet, "sign logabsdet"), (np.linalg.qr, "Q R")):
        assert type(f(leaf(a))) is type(f(a))
        assert all(isinstance(getattr(f(leaf(a)), name), Tensor) for name in names.split())
    assert np.linalg.matrix_rank(leaf(a)) == 2


def test_eig_is_complex_only_where_it_has_to_be():
    assert np.linalg.eig(leaf([[2.0, 1.0], [0.0, 1.0]]))[1].dtype == np.float64
    assert np.linalg.eigvals(leaf([[0.0, 1.0], [-1.0, 0.0]])).dtype == np.complex128


def test_lists_beside_tensors():
    a = Tensor([[2.0, 0.0], [1.0, 2.0]], requires_grad=True)
    for y, expected in ((np.linalg.solve(a, [2.0, 3.0]), [1, 1]), (np.inner([1.0, 2.0], a), [2, 5]),
                        (np.vdot([1.0, 2.0], a[0]), 2), (np.kron([1.0, 2.0], a[1]), [1, 2, 2, 4]),
                        (np.tensordot([1.0, 2.0], a, 1), [4, 4]),
                        (np.cross([1.0, 0, 0], Tensor([0.0, 1, 0])), [0, 0, 1]),
                        (np.linalg.multi_dot([[1.0, 2.0], a, [1.0, 0.0]]), 4), (np.vecdot([1.0, 2.0], a), [2, 5])):
        np.testing.assert_array_equal(y.data, expected)


def test_powers_of_a_matrix():
    a = drawn(draw.regular, 3, 3)
    assert np.array_equal(np.linalg.matrix_power(leaf(a), 0).data, np.eye(3))
    with pytest.raises(TypeError):
        np.linalg.matrix_power(leaf(a), 1.5)


# ---- errors ----
@pytest.mark.parametrize(("f", "error", "message"), [
    (lambda a: np.linalg.svd(a[:1]), TypeError, r"shape \(1, 2\) does not support full_matrices=True.*=False"),
    (lambda a: np.linalg.svd(a, hermitian=True), TypeError, "hermitian"),
    (lambda a: np.linalg.pinv(a, hermitian=True), TypeError, "does not support hermitian="),
    (lambda a: np.linalg.qr(a, "raw"), TypeError, "not mode='raw'"),
    (lambda a: np.linalg.qr(a[:, :1], "complete"), TypeError, "not mode='complete'"),
    (lambda a: np.linalg.inv(a[:1]), LinAlgError, "must be square"),
    (lambda a: np.linalg.inv(0 * a), LinAlgError, "Singular"),
    (lambda a: np.linalg.solve(0 * a, a), LinAlgError, "Singular"),
    (lambda a: np.linalg.cholesky(-a), LinAlgError, "not positive definite"),
    (lambda a: np.linalg.norm(a, 3), ValueError, "norm order 3 for matrices"),
    (lambda a: np.linalg.norm(a[0], "fro"), ValueError, "norm order 'fro' for vectors"),
    (lambda a: np.linalg.norm(a[None], 2), ValueError, "over one axis or two, not 3"),
    (lambda a: np.cross(a[0], a[1]), ValueError, "with 3 elements, not 2 and 2"),
    (lambda a: np.tensordot(a, a[:1], 1), ValueError, r"axis 1 of shape \(2, 2\) and axis 0 of shape \(1, 2\) differ"),
    (lambda a: np.tensordot(a, a, ((0, 1), (0,))), ValueError, "shorter"),
    (lambda a: np.linalg.outer(a, a), ValueError, r"two vectors, not shapes \(2, 2\) and \(2, 2\)"),
    (lambda a: np.linalg.multi_dot([a, a], out=np.ones((2, 2))), TypeError, "out"),
    (lambda a: np.vecdot(a, a, axis=0), TypeError, "does not support axis="),
    (lambda a: np.linalg.multi_dot([a]), ValueError, "at least two arrays, not 1"),
    (lambda a: np.linalg.multi_dot([a[:, :1], a]), ValueError, r"shapes \(2, 1\), \(2, 2\) do not fit together"),
    (lambda a: np.linalg.multi_dot([a[:1], a[:, :1], a[0]]), ValueError, r"\(1, 2\), \(2, 1\), \(2,\) do not fit"),
    (lambda a: np.linalg.matrix_power(a[:1], 0), LinAlgError, r"square matrices, not shape \(1, 2\)"),
    (lambda a: np.linalg.matrix_power(a[0], 2), LinAlgError, r"square matrices, not shape \(2,\)"),
])
def test_errors(f, error, message):
    with pytest.raises(error, match=message):
        f(leaf([[2.0, 1.0], [1.0, 2.0]]))
