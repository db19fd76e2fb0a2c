"""Taking, putting and selecting: adjoints, PyTorch's functions against their definition, conventions and errors."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from samples.indexing import along, taken

from minigrad import Tensor, grad
from minigrad.derivatives.indexing import (
    add_along_axis,
    add_taken,
    diag_embed,
    gather,
    index_add,
    index_copy,
    index_select,
    masked_fill,
    masked_select,
    safe_where,
    scatter,
    scatter_add,
)
from minigrad.testing import check_adjoint, check_hessian_symmetry, check_rule_paths, gradcheck


def leaf(value, dtype=np.float64):
    return Tensor(np.array(value, dtype), requires_grad=True)


# ---- what is taken and what is added back ----
@pytest.mark.parametrize(("shape", "index", "axis"), along)
def test_taking_along_an_axis_and_its_adjoint(shape, index, axis, generator):
    index = np.asarray(index)
    g = generator.standard_normal(np.take_along_axis(np.zeros(shape), index, axis).shape)
    x = generator.standard_normal([shape[axis] if i == axis % len(shape) else n for i, n in enumerate(g.shape)])
    check_adjoint(lambda x: np.take_along_axis(x, index, axis), lambda g: add_along_axis(g, index, axis, shape[axis]),
                  x, g)


@pytest.mark.parametrize(("shape", "index", "axis"), taken)
def test_taking_and_its_adjoint(shape, index, axis, generator):
    x = generator.standard_normal(shape)
    g = generator.standard_normal(np.take(x, index, axis).shape)
    check_adjoint(lambda x: np.take(x, index, axis), lambda g: add_taken(g, index, axis % x.ndim, shape[axis]), x, g)


@given(st.data(), hnp.array_shapes(max_dims=4, max_side=4), st.integers(0, 2**32 - 1))
def test_taking_anywhere(data, shape, seed):
    r, axis = np.random.default_rng(seed), data.draw(st.integers(-len(shape), len(shape) - 1))
    n = shape[axis]
    index = data.draw(hnp.arrays(np.intp, hnp.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=3),
                                 elements=st.integers(-n, n - 1)))
    gradcheck(lambda t: np.square(np.take(t, index, axis)), r.standard_normal(shape))
    other = [k if i == axis % len(shape) else data.draw(st.integers(0, 4)) for i, k in enumerate(shape)]
    index = r.integers(-n, n, [m if i == axis % len(shape) else k for i, (k, m) in enumerate(zip(shape, other))])
    gradcheck(lambda t: np.square(np.take_along_axis(t, index, axis)), r.standard_normal(shape))


def test_indices_may_be_lists_numbers_and_tensors():
    x = leaf([1.0, 2.0, 3.0])
    for index in (2, np.int64(2), [2, 0], (0, 0), Tensor(np.array([1, 1])), np.array([[0], [-1]], np.int8)):
        y, g = np.take(x, index), np.zeros(3)
        plain = index.data if isinstance(index, Tensor) else index
        np.add.at(g, np.asarray(plain), 1.0)
        np.testing.assert_array_equal(y.data, np.take(x.data, plain))
        np.testing.assert_array_equal(grad(y.sum(), x).data, g)
    index = Tensor(np.array([2, 2]), name="index")
    assert grad(np.take_along_axis(x, index, 0).sum(), x).tolist() == [0, 0, 2]
    gradcheck(lambda x: np.square(np.take(x, index)), x)


def test_without_an_axis_the_array_is_flat():
    x = leaf([[1.0, 2.0], [3.0, 4.0]])
    assert np.take(x, [3, 0, 3]).tolist() == [4, 1, 4]
    assert grad(np.take(x, [3, 0, 3]).sum(), x).tolist() == [[1, 0], [0, 2]]
    y = np.take_along_axis(x, np.array([1, 1, 2]), None)
    assert y.tolist() == [2, 2, 3] and grad(y.sum(), x).tolist() == [[0, 2], [1, 0]]


@pytest.mark.parametrize("mode", ["wrap", "clip"])
def test_modes_of_take(mode):
    x, index = leaf([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), np.array([-7, 1, 5])
    for axis in (0, -1, None):
        y = np.take(x, index, axis=axis, mode=mode)
        np.testing.assert_array_equal(y.data, np.take(x.data, index, axis=axis, mode=mode))
        gradcheck(lambda x, axis=axis: np.square(np.take(x, index, axis=axis, mode=mode)), x)


def test_what_is_out_of_range_is_numpys_error():
    for f in (lambda x: np.take(x, 3), lambda x: np.take_along_axis(x, np.array([-4]), 0), lambda x: x.take([0, 5])):
        with pytest.raises(IndexError):
            f(leaf([1.0, 2.0, 3.0]))


def test_an_index_changed_after_it_was_used_is_noticed():
    x, i = leaf([1.0, 2.0, 3.0]), Tensor(np.array([0, 1]))
    for y in (np.take(x, i).sum(), np.take_along_axis(x, i, 0).sum()):
        i.fill_(2)
        with pytest.raises(RuntimeError, match="changed in place"):
            y.backward()


# ---- PyTorch's functions, by their definition ----
places = [((3,), (5,), 0), ((3, 4), (2, 4), 0), ((3, 4), (3, 6), 1), ((3, 4), (2, 2), -1), ((2, 3, 4), (1, 5, 2), 1),
          ((2, 3), (0, 3), 0), ((2, 3), (2, 0), 1)]


def at(index, i, dim):
    return tuple(index[i] if d == dim % index.ndim else k for d, k in enumerate(i))


@pytest.mark.parametrize(("shape", "size", "dim"), places)
def test_gather_scatter_and_scatter_add(shape, size, dim, generator):
    x, index = generator.standard_normal(shape), generator.integers(-shape[dim], shape[dim], size)
    src = generator.standard_normal([n + 1 for n in size])
    gathered, put, added, filled = np.empty(size), x.copy(), x.copy(), x.copy()
    for i in np.ndindex(*size):
        gathered[i] = x[at(index, i, dim)]
        put[at(index, i, dim)] = src[i]
        added[at(index, i, dim)] += src[i]
        filled[at(index, i, dim)] = 7.0
    for f, args, expected in ((gather, (), gathered), (scatter, (src,), put), (scatter_add, (src,), added)):
        def g(x, *args, f=f):
            return f(x, dim, index, *args)
        for wrap in (np.array, Tensor):
            np.testing.assert_allclose(np.asarray(g(wrap(x), *map(wrap, args))), expected, rtol=1e-12)
            np.testing.assert_allclose(np.asarray(f(wrap(x), dim, wrap(index), *map(wrap, args))), expected, rtol=1e-12)
        gradcheck(lambda *xs, g=g: np.square(g(*xs)), x, *args)
        check_rule_paths(lambda *xs, g=g: np.square(g(*xs)), x, *args)
        check_hessian_symmetry(lambda *xs, g=g: g(*xs) ** 3, x, *args)
    np.testing.assert_array_equal(scatter(leaf(x), dim, index, 7.0).data, filled)


def test_of_a_repeated_index_scatter_keeps_the_last_and_its_gradient():
    x, src = leaf([1.0, 2.0, 3.0]), leaf([10.0, 20.0, 30.0])
    y = scatter(x, 0, np.array([1, 1, 0]), src)
    assert y.tolist() == [30, 20, 3]
    assert [g.tolist() for g in grad(y.sum(), [x, src])] == [[0, 0, 1], [0, 1, 1]]


@pytest.mark.parametrize(("f", "error", "message"), [
    (lambda x: gather(x, 0, np.array([0])), ValueError, "gather: index has shape .* as many axes"),
    (lambda x: gather(x, 0, np.zeros((1, 4), int)), ValueError, r"gather: index \(1, 4\) is larger than x \(2, 3\)"),
    (lambda x: gather(x, 2, np.zeros((1, 1), int)), IndexError, "range"),
    (lambda x: gather(x, 0, np.array([[2]])), IndexError, "out of bounds"),
    (lambda x: scatter(x, 0, np.array([[2]]), 1.0), IndexError, "scatter: an index is out of range .* length 2"),
    (lambda x: scatter_add(x, 1, np.array([[-4]]), 1.0), IndexError, "scatter_add: an index is out of range"),
    (lambda x: scatter_add(x, 1, np.zeros((2, 2), int), np.ones((2, 1))), ValueError, r"src \(2, 1\) does not cover"),
    (lambda x: scatter(x, 1, np.zeros((2, 2), int), np.ones(2)), ValueError, "does not cover"),
    (lambda x: index_add(x, 1, [0, 1], np.ones((2, 3))), ValueError, r"want a source of shape \(2, 2\), not \(2, 3\)"),
    (lambda x: index_copy(x, 0, [5], np.ones((1, 3))), IndexError, "index_copy: an index is out of range"),
    (lambda x: index_add(x, 0, [[0]], np.ones((1, 3))), ValueError, "want a source"),
    (lambda x: masked_fill(x, np.ones((2, 2, 3), bool), 0.0), ValueError, "does not broadcast to"),
    (lambda x: np.choose(np.array([0, 2]), [x[0, :2], x[1, :2]]), ValueError, "not one of the 2 choices; see mode="),
    (lambda x: np.select([x > 0], [x, x]), ValueError, "1 conditions for 2 choices"),
    (lambda x: np.select([], [x]), ValueError, "0 conditions for 1 choices"),
    (lambda x: np.piecewise(x, [x > 0], [x, 1, 2]), ValueError, "3 functions for 1 conditions"),
    (lambda x: np.diag(x[None]), ValueError, "takes a vector or a matrix"),
    (lambda x: np.interp(0.5, x, x), ValueError, "must be of one axis, as long"),
    (lambda x: np.interp(0.5, x[0], x[0, :2]), ValueError, "must be of one axis, as long"),
    (lambda x: np.interp(x * 1j, [0.0, 1.0], [0.0, 1.0]), TypeError, "x and xp are real"),
    (lambda x: np.trim_zeros(x), ValueError, r"takes a vector, .* not shape \(2, 3\)"),
    (lambda x: np.trim_zeros(x[0], "fx"), ValueError, "not shape .* and 'fx'"),
    (lambda x: np.piecewise(x, [np.array([[True]])], [1.0]), ValueError, r"x has shape \(2, 3\), but the conditions"),
    (lambda x: np.interp(x, [0.0, 1.0], [0.0, 1.0], period=1.0), TypeError, "does not support period="),
])
def test_what_does_not_fit_is_told(f, error, message):
    with pytest.raises(error, match=message):
        f(leaf([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]))


@pytest.mark.parametrize("dim", [0, 1, -1])
def test_index_select_add_and_copy(dim, generator):
    x, index = generator.standard_normal((3, 4)), np.array([2, 0, 2])
    source = generator.standard_normal((3, 4) if dim == 0 else (3, 3))
    part = (slice(None),) * (dim % 2)
    added, put = x.copy(), x.copy()
    np.add.at(added, (*part, index), 0.5 * source)
    put[(*part, index)] = source
    np.testing.assert_array_equal(index_select(leaf(x), dim, index).data, np.take(x, index, dim))
    np.testing.assert_allclose(index_add(leaf(x), dim, index, source, alpha=0.5).data, added)
    np.testing.assert_array_equal(index_copy(leaf(x), dim, index, source).data, put)
    gradcheck(lambda x: np.square(index_select(x, dim, index)), x)
    gradcheck(lambda x, s: np.square(index_add(x, dim, index, s, alpha=0.5)), x, source)
    gradcheck(lambda x, s: np.square(index_copy(x, dim, index, s)), x, source)


def test_masks():
    x, mask = leaf([[1.0, 2.0], [3.0, 4.0]], np.float32), np.array([True, False])
    y = masked_fill(x, mask, -math.inf)
    assert y.dtype == np.float32 and y.tolist() == [[-math.inf, 2], [-math.inf, 4]]
    assert grad(y.sum(), x).tolist() == [[0, 1], [0, 1]]
    assert masked_select(x, mask).tolist() == [1, 3]
    assert masked_select(x[0], np.array([[True], [False]])).tolist() == [1, 2]
    assert grad((masked_select(x, mask) ** 2).sum(), x).tolist() == [[2, 0], [6, 0]]
    v = leaf(5.0)
    assert grad(masked_fill(x, mask, v).sum(), v).item() == 2


@pytest.mark.parametrize("offset", [-2, -1, 0, 1, 3])
def test_diag_embed_is_undone_by_diagonal(offset, generator):
    x = generator.standard_normal((2, 3))
    y = diag_embed(leaf(x), offset)
    assert y.shape == (2, 3 + abs(offset), 3 + abs(offset))
    np.testing.assert_array_equal(np.diagonal(y, offset, -2, -1).data, x)
    assert np.abs(y.data).sum() == pytest.approx(np.abs(x).sum())
    z = diag_embed(leaf(x), offset, dim1=0, dim2=2)
    np.testing.assert_array_equal(np.moveaxis(z.data, (0, 2), (-2, -1)), y.data)
    gradcheck(lambda x: np.square(diag_embed(x, offset, 0, 2)), x)


# ---- the branch that is not taken ----
@pytest.mark.parametrize(("f", "inside", "outside", "otherwise"), [
    (np.sqrt, 4.0, [0.0, -1.0, -math.inf, math.nan], 0), (np.log, 2.0, [0.0, -3.0], 0), (np.reciprocal, 2.0, [0.0], 0),
    (lambda x: x * np.log(x), 3.0, [0.0], 0), (np.exp, 1.0, [1000.0, math.inf], 5.0)])
def test_safe_where_lets_nothing_leak_from_the_branch_not_taken(f, inside, outside, otherwise):
    """Values, first and second derivatives: those of f inside, 0 outside."""
    x = leaf([inside, *outside])
    mask = np.array([True] + [False] * len(outside))
    y = safe_where(mask, f, x, otherwise)
    g = grad(y.sum(), x, create_graph=True)
    h = grad(g.sum(), x)
    alone = leaf(inside)
    first = grad(f(alone), alone, create_graph=True)
    second = grad(first, alone).item()
    assert y.tolist() == [f(alone).item()] + [otherwise] * len(outside)
    assert g.tolist() == [first.item()] + [0] * len(outside)
    assert h.tolist() == [second] + [0] * len(outside)


def test_safe_where_is_the_double_where_and_where_alone_is_not():
    x = leaf([0.0, 4.0])
    with np.errstate(divide="ignore", invalid="ignore"):
        assert math.isnan(grad(np.where(x > 0, np.sqrt(x), 0.0).sum(), x).data[0])
    assert grad(safe_where(x > 0, np.sqrt, x).sum(), x).tolist() == [0, 0.25]
    gradcheck(lambda x: safe_where(x > 0.5, np.sqrt, x, x * x), np.array([-1.0, 0.25, 1.0, 2.0]))
    y = safe_where(np.abs(x) < 1, np.arcsin, x, otherwise=x, safe=0.0)
    assert y.tolist() == [0, 4] and grad(y.sum(), x).tolist() == [1, 1]
    assert safe_where(np.array([True]), np.sqrt, leaf([4.0], np.float32)).dtype == np.float32


# ---- interpolation ----
def test_interp_at_the_points_takes_the_right_hand_side_and_is_flat_outside():
    x, xp, fp = leaf([-1.0, 0.0, 1.0, 3.0, 4.0, 5.0]), leaf([0.0, 1.0, 3.0, 4.0]), leaf([0.0, 2.0, 1.0, 5.0])
    y = np.interp(x, xp, fp)
    np.testing.assert_allclose(y.data, [0, 0, 2, 1, 5, 5])
    gx, gf = grad(y.sum(), [x, fp])
    np.testing.assert_allclose(gx.data, [0, 2, -0.5, 4, 4, 0])
    np.testing.assert_allclose(gf.data, [2, 1, 1, 2])


def test_interp_at_infinity_and_nan():
    x, xp, fp = leaf([-math.inf, math.inf, 0.5]), leaf([0.0, 1.0]), leaf([1.0, 3.0])
    y = np.interp(x, xp, fp)
    assert y.tolist() == [1, 3, 2] and math.isnan(np.interp(leaf(math.nan), xp, fp).item())
    gx, gp, gf = grad(y.sum(), [x, xp, fp])
    assert gx.tolist() == [0, 0, 2] and gp.tolist() == [-1, -1] and gf.tolist() == [1.5, 1.5]


def test_interp_with_differentiable_ends_and_one_point():
    low, high = leaf(-5.0), leaf(9.0)
    y = np.interp(np.array([-1.0, 0.5, 2.0]), leaf([0.0, 1.0]), [0.0, 1.0], left=low, right=high)
    assert y.tolist() == [-5, 0.5, 9] and [g.item() for g in grad(y.sum(), [low, high])] == [1, 1]
    fp = leaf([3.0])
    y = np.interp(leaf([-1.0, 0.0, 1.0]), [0.0], fp)
    assert y.tolist() == [3, 3, 3] and grad(y.sum(), fp).tolist() == [3]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_interp_at_a_point_beside_infinity_and_nan_is_the_value_there():
    xp, values = np.array([0.0, 1.0, 2.0, 3.0]), ([1.0, 2.0, math.inf, 4.0], [1.0, math.nan, 3.0, 4.0],
                                                  [math.nan, 2.0, 3.0, 4.0], [1.0, 2.0, math.inf, math.inf],
                                                  [0.0, 1.0, math.nan, 4.0])
    for fp in values:
        np.testing.assert_array_equal(np.interp(leaf(xp), xp, leaf(fp)).data, np.interp(xp, xp, fp))
        x, f = leaf(xp[fp.index(4.0)] if 4.0 in fp else 1.0), leaf(fp)
        y = np.interp(x, leaf(xp), f)
        assert y.item() == f.data[int(x.item())] and not np.isnan(grad(y, f).data).any()


# ---- the others ----
def test_lists_are_taken():
    x = [1.0, 2.0, 3.0]
    assert gather(x, 0, [2, 0]).tolist() == [3, 1]
    assert scatter(x, 0, [0], [7.0]).tolist() == [7, 2, 3] and scatter_add(x, 0, [0, 0], 1.0).tolist() == [3, 2, 3]
    assert index_add(x, 0, [1], [5.0]).tolist() == [1, 7, 3] and index_copy(x, 0, [1], [5.0]).tolist() == [1, 5, 3]
    assert masked_fill(x, [True, False, False], 9.0).tolist() == [9, 2, 3]
    t = leaf(x)
    assert grad(gather(t, 0, [2, 2]).sum(), t).tolist() == [0, 0, 2]


def test_what_is_repeated_once_is_a_copy():
    x = leaf([1.0, 2.0]).detach()
    y = np.repeat(x, 1)
    y[0] = 5.0
    assert x.tolist() == [1, 2]
    for bad, error in ((-1, ValueError), (1.5, TypeError)):
        with pytest.raises(error):
            np.repeat(leaf([1.0, 2.0]), bad)


def test_a_number_of_repeats_needs_no_index():
    """Broadcasting is several times faster than taking."""
    x = leaf([[1.0, 2.0]])
    y = np.repeat(x, 2, axis=1)
    assert y.node.op.name == "reshape" and y.tolist() == [[1, 1, 2, 2]]


def test_triangles_of_booleans_and_integers_keep_their_dtype():
    for dtype in (bool, np.int8, np.float32):
        x = np.ones((2, 2), dtype)
        for f in (np.tril, np.triu):
            assert f(Tensor(x)).dtype == dtype
            np.testing.assert_array_equal(f(Tensor(x)).data, f(x))


def test_trim_zeros():
    a = np.array([0.0, 0.0, 1.0, 0.0, 2.0, 0.0])
    for array, trim in itertools.product((a, np.zeros(3), a[1:3], a[2:4]), ("fb", "f", "b")):
        np.testing.assert_array_equal(np.trim_zeros(leaf(array), trim).data, np.trim_zeros(array, trim))
    x = leaf(a)
    assert grad(np.trim_zeros(x).sum(), x).tolist() == [0, 0, 1, 1, 1, 0]


def test_piecewise_is_evaluated_inside_only():
    """A later condition wins; f sees only the elements it is for, so nothing leaks."""
    x = leaf([-4.0, 0.0, 4.0])
    y = np.piecewise(x, [x >= 0, x > 0], [1.0, np.sqrt, lambda v: -v])
    assert y.tolist() == [4, 1, 2] and grad(y.sum(), x).tolist() == [-1, 0, 0.25]
    assert np.piecewise(x, x > 0, [lambda v, k: k * v], 3.0).tolist() == [0, 0, 12]
    assert np.piecewise(leaf(2.0), [True], [np.square]).item() == 4


def test_constants():
    x = leaf([[1.0, 2.0], [3.0, 4.0]])
    for f in (np.tril_indices_from, np.triu_indices_from, np.diag_indices_from, lambda x: np.ix_(x[0] > 1, [0, 1])):
        for ours, numpys in zip(f(x), f(x.data), strict=True):
            assert type(ours) is np.ndarray
            np.testing.assert_array_equal(ours, numpys)
    x = x * 1
    x[np.diag_indices_from(x)] = 0.0
    assert x.tolist() == [[0, 2], [3, 0]]
