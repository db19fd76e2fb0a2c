"""Scans, order statistics and sorting: ties, zeros, NaN and infinities, what is refused, and what has two outputs."""

from __future__ import annotations

import math

import numpy as np
import pytest
from samples import apart

from minigrad import Tensor, grad
from minigrad.derivatives.ordering import cummax, cummin, kthvalue, topk
from minigrad.derivatives.scans import logcumsumexp, logsumexp
from minigrad.testing import check_hessian_symmetry, check_rule_paths, gradcheck

nan, inf = math.nan, math.inf


def leaf(x):
    return Tensor(np.array(x, np.float64), requires_grad=True)


def slopes(f, x, gradient=None):
    x = leaf(x)
    y = f(x)
    return grad(y, x, gradient=np.ones(y.shape) if gradient is None else np.array(gradient, float)).data.tolist()


# ---- running products: exact at zeros, to second order ----
@pytest.mark.parametrize("x", [[0.0, 2.0, 3.0], [2.0, 0.0, 3.0, 0.0, 1.5], [0.0, 0.0, 0.0], [1.0, 2.0, 0.0]])
def test_cumprod_is_exact_at_zeros(x):
    n, g = len(x), np.arange(1.0, len(x) + 1)
    others = [[math.prod(x[j] for j in range(k + 1) if j != i) if i <= k else 0 for i in range(n)] for k in range(n)]
    assert slopes(np.cumprod, x, g) == (g @ others).tolist()
    t = leaf(x)
    d = grad(np.cumprod(t), t, gradient=g, create_graph=True)
    hessian = [grad(d[i], t, retain_graph=True).data for i in range(n)]
    expected = [[sum(g[k] * math.prod(x[m] for m in range(k + 1) if m not in (i, j)) for k in range(max(i, j), n))
                 if i != j else 0 for j in range(n)] for i in range(n)]
    np.testing.assert_array_equal(hessian, expected)
    gradcheck(np.cumprod, np.array(x), order=3)


def test_cumprod_of_many_takes_few_steps():
    x = leaf(np.random.default_rng(0).uniform(0.9, 1.1, 1000))
    y = np.cumprod(x)
    d = grad(y, x, gradient=np.ones(1000), create_graph=True)
    np.testing.assert_allclose(d.data, np.cumsum(y.data[::-1])[::-1] / x.data, rtol=1e-10)
    assert grad(d.sum(), x).shape == (1000,)


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint8, np.int64, np.float16])
@pytest.mark.parametrize("f", [
    np.cumsum, np.cumprod, np.diff, np.sort, np.unique, np.amax, np.nansum, np.nanprod, np.nanmean, np.nanmax,
    np.nancumsum, lambda x: np.bincount(np.array([0, 1, 1]), x), lambda x: np.average(x, weights=[0.5, 0.25, 0.25])])
def test_integers_and_booleans_are_as_in_numpy(f, dtype):
    x = np.array([1, 0, 1], dtype)
    y, expected = f(Tensor(x)), f(x)
    assert y.dtype == expected.dtype
    np.testing.assert_array_equal(y, expected)


# ---- log of running sums ----
def test_logcumsumexp_at_infinities():
    assert slopes(logcumsumexp, [-inf, -inf]) == [0, 0]
    assert slopes(logcumsumexp, [-inf, 0.0, -inf, 0.0]) == [0, 2.5, 0, 0.5]
    x = leaf([-inf, -1e3, 1e4, 1e4, -inf])
    np.testing.assert_allclose(logcumsumexp(x).data, [-inf, -1e3, 1e4, 1e4 + math.log(2), 1e4 + math.log(2)])
    d = grad(logcumsumexp(x)[3], x, create_graph=True)
    np.testing.assert_allclose(d.data, [0, 0, 0.5, 0.5, 0], atol=1e-12)
    np.testing.assert_allclose(grad(d[2], x).data, [0, 0, 0.25, -0.25, 0], atol=1e-12)


def test_logcumsumexp_of_large_float32():
    x = Tensor(np.array([-1e4, 1e4, 0.0, 1e4], np.float32), requires_grad=True)
    d = grad(logcumsumexp(x).sum(), x)
    assert d.dtype == np.float32
    np.testing.assert_allclose(d.data, [1, 2.5, 0, 0.5], rtol=1e-3)  # y itself is rounded to 1e-3


# ---- what has two outputs: values, and their places as a plain array ----
pairs = [cummax, cummin, lambda x, axis: topk(x, 2, axis), lambda x, axis: topk(x, 1, axis, largest=False),
         lambda x, axis: kthvalue(x, 2, axis), lambda x, axis: kthvalue(x, 1, axis, keepdims=True)]


@pytest.mark.parametrize("f", pairs, ids=["cummax", "cummin", "topk", "topk-least", "kthvalue", "kthvalue-keepdims"])
@pytest.mark.parametrize(("shape", "axis"), [((5,), 0), ((2, 3, 4), 1), ((3, 4), -2), ((0, 3), 1), ((2, 6), -1)])
def test_values_and_indices(f, shape, axis):
    x = apart(np.random.default_rng(0), shape)
    values, index = f(Tensor(x, requires_grad=True), axis)
    assert type(index) is np.ndarray and index.dtype.kind == "i" and values.requires_grad
    on_arrays = f(x, axis)
    np.testing.assert_array_equal(on_arrays[0], values.data)
    np.testing.assert_array_equal(on_arrays[1], index)
    if index.ndim == x.ndim:
        np.testing.assert_array_equal(np.take_along_axis(x, index, axis), values.data)
    for check in (gradcheck, check_rule_paths, check_hessian_symmetry):
        check(lambda t: np.square(f(t, axis)[0]), x)
    assert f(x.astype(np.float32), axis)[0].dtype == np.float32


def test_running_extremes():
    x = [1.0, 3.0, 3.0, 2.0, 4.0, nan, 5.0, nan]
    values, index = cummax(leaf(x))
    np.testing.assert_array_equal(values.data, [1, 3, 3, 3, 4, nan, nan, nan])
    assert index.tolist() == [0, 1, 2, 2, 4, 5, 5, 7]
    values, index = cummin(leaf([3.0, 1.0, 1.0, 2.0, -1.0, nan, -5.0]))
    np.testing.assert_array_equal(values.data, [3, 1, 1, 1, -1, nan, nan])
    assert index.tolist() == [0, 1, 2, 2, 4, 5, 5]
    assert slopes(lambda t: cummax(t)[0], [1.0, 3.0, 3.0, 2.0]) == [1, 1, 2, 0]
    assert cummin(np.array([2, 0, 1], np.uint8))[0].tolist() == [2, 0, 0]
    a = np.random.default_rng(0).integers(0, 5, (6, 20))
    np.testing.assert_array_equal(cummax(a)[0], np.maximum.accumulate(a, -1))
    np.testing.assert_array_equal(cummin(a, 0)[0], np.minimum.accumulate(a, 0))


def test_topk():
    x = [2.0, 3.0, nan, 3.0, 1.0, 3.0]
    assert topk(np.array(x), 4)[1].tolist() == [2, 1, 3, 5]
    assert topk(np.array(x), 3, largest=False)[1].tolist() == [4, 0, 1]
    assert slopes(lambda t: topk(t, 2)[0], [1.0, 3.0, 3.0, 3.0]) == [0, 1, 1, 0]
    assert topk(np.ones((2, 3)), 0)[0].shape == (2, 0)
    for k in (-1, 4):
        with pytest.raises(ValueError, match=f"topk wants 0 <= k <= 3, the length of axis 0, got k={k}"):
            topk(leaf([1.0, 2.0, 3.0]), k, 0)


def test_kthvalue():
    assert slopes(lambda t: kthvalue(t, 2)[0], [3.0, 1.0, 1.0]) == [0, 0, 1]
    assert math.isnan(kthvalue(leaf([nan, 1.0]), 2)[0].item())
    for k in (0, 4):
        with pytest.raises(ValueError, match=f"kthvalue wants 1 <= k <= 3, the length of axis -1, got k={k}"):
            kthvalue(leaf([1.0, 2.0, 3.0]), k)


# ---- ties ----
@pytest.mark.parametrize(("f", "x", "g", "expected"), [
    (np.sort, [2.0, 1.0, 2.0, 1.0], [1, 2, 3, 4], [3, 1, 4, 2]),
    (np.median, [1.0, 2.0, 3.0, 4.0], 1, [0, 0.5, 0.5, 0]),
    (np.median, [2.0, 2.0, 2.0], 1, [0, 1, 0]),
    (np.median, [2.0, 2.0], 1, [0.5, 0.5]),
    (lambda x: np.quantile(x, [0.0, 1.0]), [2.0, 2.0, 2.0], [1, 5], [1, 0, 5]),
    (lambda x: np.quantile(x, 0.75, method="lower"), [4.0, 1.0, 3.0], 1, [0, 0, 1]),
    (lambda x: np.percentile(x, 60), [3.0, 1.0], 1, [0.6, 0.4]),
    (np.unique, [3.0, 1.0, 3.0, 1.0], [1, 2], [2, 1, 0, 0]),
    (np.ptp, [1.0, 1.0, 3.0, 3.0], 1, [-0.5, -0.5, 0.5, 0.5]),
    (np.nanmax, [nan, 2.0, 2.0, 1.0], 1, [0, 0.5, 0.5, 0]),
    (np.nanmin, [nan, -inf, 2.0], 1, [0, 1, 0]),
    (np.amax, [1.0, 2.0, 2.0], 1, [0, 0.5, 0.5]),
    (np.nanstd, [2.0, nan, 2.0], 1, [0, 0, 0]),
])
def test_ties(f, x, g, expected):
    assert slopes(f, x, g) == pytest.approx(expected)


# ---- NaN and infinities ----
def test_nan_is_skipped_with_gradient_zero():
    x = [[1.0, nan, 3.0], [nan, nan, 5.0]]
    assert slopes(np.nansum, x) == [[1, 0, 1], [0, 0, 1]]
    assert slopes(lambda t: np.nanmean(t, axis=1), x) == [[0.5, 0, 0.5], [0, 0, 1]]
    assert slopes(lambda t: np.nanprod(t, axis=1), x) == [[3, 0, 1], [0, 0, 1]]
    assert slopes(lambda t: np.nanvar(t, axis=1), x) == [[-1, 0, 1], [0, 0, 0]]
    assert slopes(lambda t: np.nanmedian(t, axis=1), x) == [[0.5, 0, 0.5], [0, 0, 1]]
    assert slopes(lambda t: np.nanquantile(t, 0.25, axis=1), x) == [[0.75, 0, 0.25], [0, 0, 1]]
    assert slopes(np.nancumsum, x) == [[6, 0, 4], [0, 0, 1]]
    assert slopes(lambda t: np.nancumprod(t, axis=1), x) == [[5, 0, 1], [0, 0, 1]]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_where_all_are_nan_so_is_the_result():
    x = [[nan, nan], [1.0, 2.0]]
    for f in (np.nanmean, np.nanvar, np.nanstd, np.nanmax, np.nanmin, np.nanmedian):
        y = f(leaf(x), axis=1).data
        np.testing.assert_allclose(y, f(np.array(x), axis=1))
        assert math.isnan(y[0])
    np.testing.assert_array_equal(np.nanvar(leaf(x), axis=1, ddof=2).data, [nan, nan])
    d = slopes(lambda t: np.nanvar(t, axis=1), x)
    assert d[1] == [-0.5, 0.5]


def test_nan_comes_out_of_order_statistics_and_last_in_a_sort():
    x = [[nan, 1.0, 2.0], [5.0, 3.0, 4.0]]
    np.testing.assert_array_equal(np.median(leaf(x), axis=1).data, [nan, 4])
    np.testing.assert_array_equal(np.quantile(leaf(x), [0.0, 1.0], axis=1).data, [[nan, 3], [nan, 5]])
    np.testing.assert_array_equal(np.sort(leaf(x)).data, [[1, 2, nan], [3, 4, 5]])
    assert slopes(lambda t: np.median(t, axis=1), x)[1] == [0, 0, 1]


def test_median_of_infinities():
    for x in ([1.0, inf, inf], [1.0, inf, inf, inf], [-inf, -inf, 2.0], [inf], [1.0, 2.0, inf]):
        assert np.median(leaf(x)).item() == np.median(x)
    assert slopes(np.median, [1.0, 2.0, inf]) == [0, 1, 0]
    np.testing.assert_array_equal(np.quantile(leaf([1.0, inf]), [0.0, 1.0]).data, [1, inf])


def test_logsumexp_at_infinities_and_nan_is_pytorchs():
    with np.errstate(invalid="ignore"):
        for x, expected in (([inf, 0.0], [nan, 0]), ([nan, 5.0], [nan, nan]), ([-inf, -inf], [0, 0]),
                            ([-inf, 1.0], [0, 1])):
            np.testing.assert_array_equal(slopes(logsumexp, x), expected)


def test_a_difference_does_not_look_at_what_is_between():
    for x in ([0.0, 1.0, nan, 5.0, 7.0], [0.0, inf, 1.0, 2.0]):
        for how in ({}, {"edge_order": 2}):
            np.testing.assert_array_equal(np.gradient(leaf(x), 0.5, **how).data, np.gradient(np.array(x), 0.5, **how))
    assert slopes(lambda t: np.gradient(t)[2], [0.0, 1.0, nan, 5.0, 7.0]) == [0, -0.5, 0, 0.5, 0]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_of_nothing_comes_nan_as_in_numpy():
    for f in (np.median, np.nanmedian, np.mean, lambda x, **how: np.nanquantile(x, 0.3, **how),
              lambda x, **how: np.nanpercentile(x, 20, **how)):
        for shape, how in (((0,), {}), ((2, 0), {"axis": 1}), ((2, 0), {"axis": -1, "keepdims": True}),
                           ((0, 3), {"axis": 1}), ((2, 0, 3), {"axis": (0, 1)})):
            for dtype in (np.float64, np.float32):
                x = Tensor(np.zeros(shape, dtype), requires_grad=True)
                y, expected = f(x, **how), f(x.data, **how)
                assert y.dtype == expected.dtype and y.requires_grad
                np.testing.assert_array_equal(y.data, expected)
                assert grad(y.sum(), x).shape == shape
    assert np.isnan(np.average(leaf([])).item())
    y, total = np.average(leaf(np.zeros((2, 0))), axis=1, returned=True)
    assert np.isnan(y.data).all() and total.tolist() == [0, 0]


def test_the_median_of_booleans():
    for x in (np.array([True, False, True]), np.array([True, False])):
        for f in (np.median, np.nanmedian):
            assert f(Tensor(x)).item() == f(x) and f(Tensor(x)).dtype == np.float64


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_covariance_with_too_few_observations():
    x = np.array([[1.0, 2.0], [0.0, 3.0]])
    for ddof in (2, 3, 5):
        np.testing.assert_array_equal(np.cov(leaf(x), ddof=ddof).data, np.cov(x, ddof=ddof))


def test_integers_beyond_float64_are_kept_apart():
    x = np.array([2**60 + 1, 2**60, 2**60 + 2])
    assert cummin(x)[1].tolist() == [0, 1, 1] and cummax(x)[1].tolist() == [0, 0, 2]
    x = np.array([3, 2**64 - 1, 2**64 - 2, 0], np.uint64)
    assert cummin(x)[1].tolist() == [0, 0, 0, 3] and topk(x, 2)[1].tolist() == [1, 2]
    assert cummin(np.array([True, False, True]))[1].tolist() == [0, 1, 1]


def test_lists_are_taken():
    x = [2.0, 1.0, 3.0]
    assert cummax(x)[0].tolist() == [2, 2, 3] and cummin(x)[0].tolist() == [2, 1, 1]
    assert topk(x, 1)[0].tolist() == [3] and kthvalue(x, 2)[0] == 2


# ---- inputs besides the first ----
def test_gradients_of_weights_and_coordinates():
    x, rng = np.array([0.0, 0.5, 2.0, 2.5]), np.random.default_rng(0)
    gradcheck(lambda f, x: np.gradient(f, x, edge_order=2), rng.standard_normal((3, 4))[0], x)
    gradcheck(np.trapezoid, rng.standard_normal((2, 4)), x)
    gradcheck(lambda m, w: np.cov(m, aweights=w), rng.standard_normal((2, 4)), x + 1)
    gradcheck(lambda w: np.average(x, weights=w), x + 1)
    gradcheck(lambda p: np.diff(x, prepend=p), np.array(0.5))
    gradcheck(lambda p: np.ediff1d(x, to_end=p), x)
    w = leaf([1.0, 2.0, 3.0])
    assert grad(np.bincount(np.array([1, 0, 1]), w)[1], w).data.tolist() == [1, 0, 1]


def test_bincount_without_weights_is_a_plain_array():
    x = Tensor(np.array([0, 2, 2]))
    for y, expected in ((np.bincount(x), [1, 0, 2]), (np.bincount(x, minlength=4), [1, 0, 2, 0])):
        assert type(y) is np.ndarray and y.tolist() == expected
    assert np.bincount(x, [0.5, 1.0, 2.0]).data.tolist() == [0.5, 0, 3]


def test_locally_constant_functions_give_plain_arrays():
    x = leaf([3.0, 1.0, 2.0])
    for y, expected in ((np.argpartition(x, 0)[0], 1), (np.lexsort((x,)), [1, 2, 0]), (np.isin(x, [1.0]), [0, 1, 0]),
                        (np.digitize(x, [1.5, 2.5]), [2, 0, 1]), (np.nanargmax(x), 0), (np.nanargmin(x), 1)):
        assert not isinstance(y, Tensor)
        np.testing.assert_array_equal(y, expected)


# ---- refused ----
@pytest.mark.parametrize(("f", "error", "message"), [
    (lambda x: np.cumsum(x, dtype=np.float32), TypeError, "cumsum of a Tensor does not support dtype="),
    (lambda x: np.nanmax(x, initial=3.0), TypeError, "nanmax of a Tensor does not support initial="),
    (lambda x: np.amax(x, where=np.array([True])), TypeError, "max of a Tensor does not support where="),
    (lambda x: np.nansum(x, where=np.array([True])), TypeError, r"nansum of a Tensor does not support where= \(it"),
    (lambda x: np.quantile(x, 0.5, method="inverted_cdf", weights=x.data), TypeError, "does not support weights="),
    (lambda x: np.quantile(x, 1.5), ValueError, "Quantiles must be in the range"),
    (lambda x: np.quantile(x, 0.5, method="middle"), ValueError, "middle"),
    (lambda x: np.quantile(x, leaf(0.5)), TypeError, r"t\.detach\(\)"),
    (lambda x: np.median(x, axis=2), np.exceptions.AxisError, "axis 2"),
    (lambda x: np.quantile(leaf([]), 0.5), IndexError, "size 0"),
    (lambda x: np.sort(x, axis=2), np.exceptions.AxisError, "axis 2"),
    (lambda x: np.diff(x, n=-1), ValueError, "n >= 0, got shape .* and n=-1"),
    (lambda x: np.diff(leaf(1.0)), ValueError, r"one axis at least .* got shape \(\)"),
    (lambda x: np.diff(x, axis=2), np.exceptions.AxisError, "axis 2"),
    (lambda x: np.gradient(x, edge_order=3), ValueError, "edge_order 1 or 2"),
    (lambda x: np.gradient(x[:2], edge_order=2), ValueError, "more elements than that, got 2 and 2"),
    (lambda x: np.gradient(x, np.arange(3.0)), ValueError, r"length 4 got coordinates of shape \(3,\)"),
    (lambda x: np.gradient(x, 1.0, 2.0), TypeError, "along 1 axes takes one spacing for all or one for each, got 2"),
    (lambda x: np.average(x, weights=np.ones(3)), ValueError, r"axis=None got weights of shape \(3,\)"),
    (lambda x: np.average(x, weights=[1.0, -1.0, 1.0, -1.0]), ZeroDivisionError, "weights sum to zero"),
    (lambda x: np.bincount(np.array([0, 1]), x), ValueError, r"\(2,\) numbers, but weights of shape \(4,\)"),
    (lambda x: np.bincount(np.array([0, 1]), x[:2] * 1j), TypeError, "takes real weights"),
    (lambda x: np.cov(x, ddof=0.5), ValueError, "ddof is a whole number, not 0.5"),
    (lambda x: np.cov(x, fweights=[1, 2, 0.5, 1]), TypeError, "whole numbers; others are aweights"),
    (lambda x: np.cov(x, fweights=[1, 2, -1, 1]), ValueError, "none negative"),
    (lambda x: np.cov(x, aweights=-x), ValueError, "4 observations takes as many aweights, none negative"),
    (lambda x: np.cov(x, aweights=[1.0]), ValueError, r"of shape \(4,\), not \(1,\)"),
    (lambda x: np.cov(x.reshape(2, 2, 1)), ValueError, r"a matrix of observations, not shape \(2, 2, 1\)"),
    (lambda x: np.bincount(x), TypeError, r"t\.detach\(\)"),
    (lambda x: np.histogram(x), TypeError, r"histogram has no derivative rule.*t\.detach\(\)"),
])
def test_refused(f, error, message):
    with pytest.raises(error, match=message):
        f(leaf([1.0, 2.0, 4.0, 3.0]))


@pytest.mark.skipif(not hasattr(np, "cumulative_sum"), reason="NumPy >= 2.1")
def test_cumulative_sum_of_several_axes_needs_one():
    with pytest.raises(ValueError, match="cumulative_sum of 2 axes needs axis="):
        np.cumulative_sum(leaf([[1.0, 2.0]]))
