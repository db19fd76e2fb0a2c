"""NumPy's functions on Tensors: recorded if there is a rule, plain where constant, loud where the graph is cut."""

from __future__ import annotations

import numpy as np
import pytest
from samples import call, samples

from minigrad import Tensor, grad, primitive, scatter
from minigrad import functional as F


def leaf(value):
    return Tensor(np.array(value, np.float64), requires_grad=True)


NO_ARRAY = r"does not turn into an array.*use t\.detach\(\)\.numpy\(\), or np\.stack"
WRITES = r"np\.add would write into an array, and an array cannot hold a graph: use a new value, a = a \+ t"
NO_RULE = r"has no derivative rule, so a Tensor that requires grad cannot go through it: use t\.detach\(\)"

of_numpy = [pytest.param(s, id=f"{key.__name__}-{i}") for key, points in samples.items() for i, s in enumerate(points)
            if isinstance(key, np.ufunc) or key.__module__.startswith("numpy")]


@pytest.mark.parametrize("sample", of_numpy)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_values_dtypes_and_shapes_are_numpys(sample, dtype):
    arrays = sample.inputs(dtype)
    expected = call(sample.key, *arrays, **sample.static)
    for requires_grad in (False, True):
        y = call(sample.key, *(Tensor(x, requires_grad and x.dtype.kind in "fc") for x in arrays), **sample.static)
        for ours, numpys in zip(*(v if isinstance(v, (list, tuple)) else [v] for v in (y, expected)), strict=True):
            if numpys.dtype.kind not in "fc":  # locally constant, like the indices of a sorted array
                assert not isinstance(ours, Tensor)
                np.testing.assert_array_equal(ours, numpys)
                continue
            assert isinstance(ours, Tensor) and ours.requires_grad == requires_grad
            assert ours.dtype == numpys.dtype and ours.shape == numpys.shape
            np.testing.assert_allclose(ours.data, numpys, rtol=1e-12 if dtype == np.float64 else 1e-5, atol=1e-6)


def test_arrays_and_tensors_mix():
    x, a = leaf([[1.0, 2.0], [3.0, 4.0]]), np.array([[1.0, 10.0], [100.0, 1000.0]])
    for y, expected in ((a * x, a), (x * a, a), (a + x, np.ones((2, 2))), (a - x, -np.ones((2, 2))),
                        (a @ x, a.sum(0)[:, None] * np.ones((2, 2))), (x @ a, np.ones((2, 2)) * a.sum(1)),
                        (np.float64(3) * x, 3 * np.ones((2, 2))), (np.maximum(a, x), [[0.5, 0], [0, 0]]),
                        (np.stack([a[0], x[0]]), [[1, 1], [0, 0]]), (np.where(a > 5, x, a), a > 5)):
        assert isinstance(y, Tensor)
        np.testing.assert_array_equal(grad(y.sum(), x).data, expected)


def test_float64_scalars_promote_as_in_numpy():
    x = Tensor([1.0, 2.0], requires_grad=True)
    assert (x * 2.0).dtype == (x * np.float32(2)).dtype == np.float32
    assert (x * np.float64(2)).dtype == (np.float64(2) * x).dtype == np.float64
    assert grad((np.float64(2) * x).sum(), x).dtype == np.float32


def test_positional_arguments_of_reductions():
    x = leaf([[1.0, 2.0], [3.0, 4.0]])
    for y, expected in ((np.sum(x, 0), [4, 6]), (np.sum(x, 0, None, None, True), [[4, 6]]),
                        (np.sum(a=x, axis=1), [3, 7]), (np.mean(x, 1), [1.5, 3.5]),
                        (np.max(x, 1, None, True), [[2], [4]]), (np.reshape(x, -1), [1, 2, 3, 4]),
                        (np.clip(x, 2, 3), [[2, 2], [3, 3]]), (np.clip(x, None, 3), [[1, 2], [3, 3]]),
                        (np.swapaxes(x, 0, 1), [[1, 3], [2, 4]]), (np.transpose(x, (1, 0)), [[1, 3], [2, 4]]),
                        (np.concatenate([x, x], 1), [[1, 2, 1, 2], [3, 4, 3, 4]]),
                        (np.concatenate((x, x), axis=None), [1, 2, 3, 4, 1, 2, 3, 4]),
                        (np.concatenate(x), [1, 2, 3, 4]), (np.stack([x[0], x[1]], -1), [[1, 3], [2, 4]]),
                        (np.astype(x, np.float32), [[1, 2], [3, 4]]), (np.std(x, 0, ddof=1), [2 ** 0.5] * 2),
                        (np.einsum("ij->i", x, optimize=True), [3, 7])):
        assert y.requires_grad
        np.testing.assert_allclose(y.data, expected)


# ---- constants ----
def test_locally_constant_functions_give_plain_arrays():
    x = leaf([3.0, 1.0, 2.0])
    for y, expected in ((np.argmax(x), 0), (np.argsort(x), [1, 2, 0]), (x > 1.5, [True, False, True]),
                        (np.greater(x, 1.5), [True, False, True]), (np.isnan(x), [False] * 3),
                        (np.zeros_like(x), [0] * 3), (np.shape(x), (3,)), (np.ndim(x), 1), (np.size(x), 3),
                        (np.flatnonzero(x > 1.5), [0, 2]),
                        (np.any(x > 2), True), (np.isfinite(x), [True] * 3), (np.full_like(x, 7), [7] * 3)):
        assert not isinstance(y, Tensor)
        np.testing.assert_array_equal(y, expected)
    assert np.allclose(x, [3, 1, 2]) and np.array_equal(x, x.data)


def test_functions_without_a_rule_take_constants_and_give_arrays():
    t = Tensor(np.array([[4.0, 1.0], [1.0, 3.0]]))
    for f in (np.unwrap, np.sort_complex, lambda a: np.apply_along_axis(np.sum, 0, a), lambda a: np.roots(a[0])):
        ours, numpys = f(t), f(t.data)
        assert type(ours) is type(numpys)
        np.testing.assert_array_equal(ours, numpys)
    for ours, numpys in zip(np.frexp(t), np.frexp(t.data)):
        assert type(ours) is type(numpys)
        np.testing.assert_array_equal(ours, numpys)
    np.testing.assert_array_equal(np.asarray(t), t.data)
    np.testing.assert_array_equal(np.array([t, t]), [t.data, t.data])
    assert np.asarray(t, np.float32).dtype == np.float32 and np.asarray(t) is t.data
    assert not np.shares_memory(np.array(t), t.data)


# ---- loud ----
@pytest.mark.parametrize("f", [
    np.asarray, np.array, lambda t: np.asarray(t, np.float32), lambda t: np.array([t, t]),
    lambda t: np.array([t[0], 1.0]), lambda t: np.zeros(2).__setitem__(slice(None), t),
    lambda t: np.zeros(2).__iadd__(t), lambda t: np.zeros(2).dot(t), lambda t: np.add(np.ones(2), t, out=np.zeros(2)),
    lambda t: np.add(np.ones(2), np.ones(2), out=t), lambda t: np.frompyfunc(float, 1, 1)(t),
    lambda t: np.random.default_rng(0).permutation(t), lambda t: Tensor([t[0], t[1]]),
    lambda t: np.clip(np.ones(2), t, 2.0), lambda t: np.clip(Tensor(np.ones(2)), 0.0, t),
], ids=range(15))
def test_nothing_becomes_an_array_silently(f):
    for t in (leaf([1.0, 2.0]), leaf([1.0, 2.0]) * 2):
        with pytest.raises(TypeError, match=f"{NO_ARRAY}|{NO_RULE}|{WRITES}"):
            f(t)


@pytest.mark.parametrize("f", [np.unwrap, np.sort_complex, np.frexp, np.histogram, lambda x: np.polyfit(x[0], x[1], 1),
                               lambda x: np.apply_along_axis(np.sum, 0, x), lambda x: np.roots(x[0])])
def test_what_has_no_rule_names_itself_and_the_way_out(f):
    x = leaf([[4.0, 1.0], [1.0, 3.0]])
    with pytest.raises(TypeError, match=NO_RULE) as error:
        f(x)
    assert "<lambda>" not in str(error.value)


def test_ufunc_methods_and_keywords():
    x, a = leaf([1.0, 2.0]), np.ones(2)
    for f in (lambda: np.add.reduce(x), lambda: np.multiply.outer(x, x), lambda: np.add.accumulate(x),
              lambda: np.add.at(a, [0], x[:1]), lambda: np.add.reduceat(x, [0])):
        with pytest.raises(TypeError, match=r"np\.(add|multiply)\.\w+ has no derivative rule: use np\.sum"):
            f()
    np.testing.assert_array_equal(a, 1)
    with pytest.raises(TypeError, match=r"np\.exp of a Tensor does not support where=: use np\.where"):
        np.exp(x, where=np.array([True, False]))
    with pytest.raises(TypeError, match=r"does not support dtype=.*t\.astype\(dtype\)"):
        np.exp(x, dtype=np.float32)


@pytest.mark.parametrize(("f", "message"), [
    (lambda x: np.sum(x, dtype=np.float32), r"sum of a Tensor does not support dtype=.*axis, keepdims"),
    (lambda x: np.sum(x, where=[True, False]), "does not support where="),
    (lambda x: np.sum(x, initial=3.0), "does not support initial="),
    (lambda x: np.max(x, initial=3.0), "max of a Tensor does not support initial="),
    (lambda x: np.mean(x, out=np.zeros(())), "does not support out="),
    (lambda x: np.std(x, correction=1), "does not support correction="),
    (lambda x: np.reshape(x, (1, 2), copy=True), "does not support copy=|unexpected keyword argument 'copy'"),
    (lambda x: np.take(x, [0], out=np.zeros(1)), r"take of a Tensor does not support out= \(it takes a, indices|'out'"),
    (lambda x: np.interp(0.5, x, x, period=2.0), "does not support period=: extend xp and fp"),
    (lambda x: np.concatenate([x, x], out=np.zeros(4)), "concatenate of a Tensor.* 'out'|does not support out="),
    (lambda x: np.median(x, out=np.zeros(())), r"np\.median of a Tensor does not support out= \(it takes a, axis"),
    (lambda x: np.median(x, overwrite_input=True), "does not support overwrite_input="),
    (lambda x: np.median(x, 0, np.zeros(())), "does not support out="),
    (lambda x: np.hstack([x, x], casting="unsafe"), "does not support casting="),
    (lambda x: np.pad(x, 1, end_values=3), "does not support end_values="),
    (lambda x: np.trace(np.diag(x), dtype=np.float32), "does not support dtype="),
    (lambda x: np.full_like(x, 0, order="F"), "does not support order="),
    (lambda x: np.einsum("i->", x, dtype=np.float32), "unexpected keyword argument 'dtype'"),
    (lambda x: np.einsum(x, [0], []), "takes its subscripts as a string"),
    (lambda x: np.where(x), "where of a Tensor takes 3 arrays, got 1"),
    (lambda x: np.pad(x, 1, mode="mean"), "not mode='mean'"),
])
def test_unsupported_arguments_are_named(f, message):
    with pytest.raises(TypeError, match=message):
        f(leaf([1.0, 2.0]))


def test_the_default_of_an_unsupported_keyword_is_fine():
    x = leaf([1.0, 2.0])
    assert np.sum(x, axis=None, dtype=None, out=None).item() == 3
    m = leaf([[3.0, 1.0, 2.0], [4.0, 6.0, 5.0]])
    for f in (lambda t: np.median(t, 0, None, False, True), lambda t: np.median(t, 1, out=None, overwrite_input=False),
              lambda t: np.median(t, keepdims=np._NoValue), lambda t: np.ptp(t, 0, None, np._NoValue),
              lambda t: np.quantile(t, 0.5, 0, None, False, "linear", True), lambda t: np.nansum(a=t, axis=0),
              lambda t: np.nanvar(t, 0, None, None, 1), lambda t: np.nanmean(t, where=np._NoValue),
              lambda t: np.cov(t, dtype=None), lambda t: np.dot(t[0], t[1], out=None),
              lambda t: np.outer(t, 3, out=None),
              lambda t: np.trace(t, 0, 0, 1, None, None), lambda t: np.average(t, 1, keepdims=np._NoValue),
              lambda t: np.hstack([t, t], dtype=None, casting="same_kind"), lambda t: np.fft.fft2(t, out=None),
              lambda t: np.stack([t, t], out=None, casting="same_kind"), lambda t: np.sort(t, -1, None, order=None),
              lambda t: np.take(t, [0, 7], 0, None, "clip"), lambda t: np.unique(t, equal_nan=True),
              lambda t: np.pad(array=t, pad_width=1),
              lambda t: np.piecewise(t, [t > 2], [lambda v, k: v * k, 0.0], k=2),
              lambda t: np.astype(t, np.float32, copy=False), lambda t: np.copy(t, order="F")):
        y = f(m)
        assert isinstance(y, Tensor)
        np.testing.assert_allclose(y.data, f(m.data))


def test_what_is_told_instead_of_writing_works():
    t, i, v = leaf([[1.0, 2.0], [3.0, 4.0]]) * 1, np.array([3, 0]), leaf([7.0, 8.0])
    with pytest.raises(TypeError, match=r"use t\[np\.unravel_index\(i, t\.shape\)\] = v"):
        np.put(t, i, v)
    with pytest.raises(TypeError, match=r"use minigrad\.scatter\(t, axis, indices, v\)"):
        np.put_along_axis(t, np.array([[1], [0]]), 5.0, 1)
    assert scatter(t, 1, np.array([[1], [0]]), 5.0).tolist() == [[1, 5], [5, 4]]
    t[np.unravel_index(i, t.shape)] = v
    assert t.tolist() == [[8, 2], [3, 7]] and grad(t.sum(), v).tolist() == [1, 1]


def test_what_is_made_of_others_shows_no_private_name():
    x = leaf([1.0, 2.0])
    for f in (lambda: np.outer(x), lambda: np.outer(x, x, x, x), lambda: np.median(x, how=1), lambda: np.dot(x),
              lambda: np.median(x, out=np.zeros(())), lambda: np.fft.fft2(x, 1, 2, 3, 4, 5)):
        with pytest.raises(TypeError) as error:
            f()
        assert not any(name in str(error.value) for name in ("_outer", "_median()", "_dot", "made"))


def test_full_like_keeps_the_graph_of_its_value():
    x, v = leaf([[1.0, 2.0], [3.0, 4.0]]), leaf(5.0)
    y = np.full_like(x, v * 2)
    assert y.tolist() == [[10, 10], [10, 10]] and [g.tolist() for g in grad(y.sum(), [x, v])] == [[[0, 0], [0, 0]], 8]
    assert np.full_like(x, v, dtype=np.float32, shape=(3,)).dtype == np.float32
    assert type(np.full_like(x, 7)) is np.ndarray and np.full_like(x, 7).dtype == np.float64
    constant = np.full_like(x, Tensor(np.array([1.0, 2.0])))
    assert not constant.requires_grad and constant.tolist() == [[1, 2], [1, 2]]
    constant[0, 0] = 3.0
    assert constant.tolist() == [[3, 2], [1, 2]]
    with pytest.raises(TypeError, match="an array cannot hold a graph"):
        np.full_like(np.ones(2), v)


def test_numpys_own_errors_come_through():
    x = leaf([1.0, 2.0])
    for error, f in ((ValueError, lambda: x + np.ones(3)), (ValueError, lambda: x.reshape(3)),
                     (ValueError, lambda: x @ np.ones(3)), (np.exceptions.AxisError, lambda: np.sum(x, axis=1)),
                     (IndexError, lambda: x[5])):
        with pytest.raises(error):
            f()


def test_in_place_on_an_array_by_a_constant_is_numpys():
    a, before = np.ones(2), np.ones(2)
    same = a
    a += Tensor(before)
    assert a is same and type(a) is np.ndarray
    np.testing.assert_array_equal(a, 2)


def test_a_number_may_be_taken_out_explicitly():
    """float(t) and t.item() are asked for, so they are not refused: losses[i] = loss fills a log."""
    losses = np.zeros(2)
    losses[0] = (leaf(3.0) * 2)
    assert losses[0] == 6 and float(leaf(3.0)) == 3 and np.float64(leaf(3.0).item()) == 3


def test_a_primitive_takes_its_inputs_by_position_and_the_rest_either_way():
    x = Tensor(np.array([[0.0, 1.0]]), requires_grad=True)
    with pytest.raises(TypeError, match="relu: x must be passed by position"):
        F.relu(x=x)
    with pytest.raises(TypeError, match="by position"):
        F.softmax(np.ones(2), axis=Tensor(1))
    assert np.array_equal(F.softmax(x, 0).data, F.softmax(x, axis=0).data)


def test_a_primitive_without_rules_is_refused_where_it_is_made():
    with pytest.raises(TypeError, match="wants a rule for each input"):
        primitive()(np.exp)
    with pytest.raises(TypeError, match="wants a rule for each input"):
        primitive(lambda x: x)(np.ones(2))
    with pytest.raises(TypeError, match="wants a rule for each input"):
        primitive(lambda g, y, a: g, lambda g, y, a: g)(lambda a: a)
