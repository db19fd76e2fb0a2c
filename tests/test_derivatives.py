"""Every rule of the table, at every sample: right to second order, on arrays as on Tensors, in whatever memory.

The tests are generated from the table: an op without a sample in samples.py fails.
"""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from nightly import part
from samples import Sample, apart, binary, call, elementwise, reductions, samples

from minigrad import Tensor, grad, logsumexp
from minigrad.functional import relu
from minigrad.graph import composites, table, unbroadcast
from minigrad.testing import check_hessian_symmetry, check_rule_paths, gradcheck

everything = [pytest.param(sample, id=f"{key.__name__.strip('_')}-{i}")
              for key, points in samples.items() for i, sample in enumerate(points)]
rules = [p for p in everything if p.values[0].key in table]


def function(sample):
    def op(*xs):
        return call(sample.key, *xs, **sample.static)
    op.__name__ = sample.key.__name__
    return op


def applied(sample, inputs):
    """y, and for each differentiable input (i, rule)."""
    op = table[sample.key]
    static = op.bind(sample.static["subscripts"], *inputs)[1] if sample.key is np.einsum else sample.static
    y = np.asarray(op.forward(*inputs, **static))
    given = [(i, rule) for i, rule, x in zip(range(len(inputs)), op.rules, inputs)
             if rule is not None and getattr(x, "dtype", y.dtype).kind in "fc"]
    return y, [(i, lambda g, y, *xs, rule=rule: rule(g, y, *xs, **static)) for i, rule in given]


# ---- the table and the samples ----
def test_every_op_has_a_sample():
    ours = {key for key in [*table, *composites] if not getattr(key, "__module__", "numpy").startswith("test")}
    ours = {composites[key] if isinstance(key, str) else key for key in ours}  # SciPy's ufuncs are there by name
    assert {key.__name__ for key in ours - samples.keys()} == set(), "give them samples in tests/samples.py"


def test_every_sample_is_of_an_op():
    known = table.keys() | composites.keys() | set(composites.values())
    assert {key.__name__ for key in samples.keys() - known} == set()


# ---- right ----
@pytest.mark.parametrize("sample", everything)
def test_first_and_second_order(sample):
    gradcheck(function(sample), *sample.inputs(), order=2)


@pytest.mark.parametrize("sample", everything)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_array_path_is_tensor_path(sample, dtype):
    check_rule_paths(function(sample), *sample.inputs(dtype))


@pytest.mark.parametrize("sample", part(everything, 3))  # the second order is checked above, on all
def test_hessian_is_symmetric(sample):
    check_hessian_symmetry(function(sample), *sample.inputs())


# ---- called directly ----
@pytest.mark.parametrize("sample", rules)
def test_rules_write_nothing_and_fit(sample):
    """The gradient has the input's shape, up to broadcasting where the engine undoes that; all memory is read-only."""
    inputs = sample.inputs()
    for x in inputs:
        x.flags.writeable = False
    y, given = applied(sample, inputs)
    g = np.random.default_rng(1).standard_normal(y.shape)
    y.flags.writeable = g.flags.writeable = False
    for i, rule in given:
        d = rule(g, y, *inputs)
        if table[sample.key].broadcasts:
            assert np.broadcast_shapes(d.shape, inputs[i].shape) == d.shape or inputs[i].size == 1
        else:
            assert d.shape == inputs[i].shape


@pytest.mark.parametrize("sample", rules)
def test_float32_stays_float32(sample):
    inputs = sample.inputs(np.float32)
    y, given = applied(sample, inputs)
    g = np.ones_like(y)
    assert y.dtype in (np.float32, np.complex64) or sample.key is np.astype
    for i, rule in given:
        fitting = {inputs[i].dtype, np.result_type(inputs[i], y)}  # of a complex one the engine takes the real part
        assert fitting <= {np.dtype(np.float32), np.dtype(np.complex64)} or sample.key is np.astype
        assert rule(g, y, *inputs).dtype in fitting, f"on arrays, input {i}"
        assert rule(Tensor(g), Tensor(y), *map(Tensor, inputs)).dtype in fitting, f"on Tensors, input {i}"


@pytest.mark.parametrize("key", [*binary, np.where], ids=lambda key: key.__name__)
@pytest.mark.parametrize("scalar", [2.0, 2])
def test_float32_stays_float32_beside_python_numbers(key, scalar):
    for i in range(2):
        for shape in ((3,), ()):
            inputs = [np.full(shape, 1.5, np.float32) if j == i else scalar for j in range(2)]
            inputs = [np.ones(shape, bool), *inputs] if key is np.where else inputs
            position = i + (key is np.where)
            y, _ = applied(Sample(key, (), {}), inputs)
            assert y.dtype == np.float32
            d = table[key].rules[position](np.ones_like(y), y, *inputs)
            assert d.dtype == np.float32
            x = Tensor(inputs[position], requires_grad=True)
            assert grad(call(key, *inputs[:position], x, *inputs[position + 1:]).sum(), x).dtype == np.float32


def reordered(x):
    """The same numbers in other memory: column-major, every other element, back to front, first axis innermost."""
    yield x.copy("F")
    every_other = np.zeros([2 * n for n in x.shape], x.dtype)[(..., *(slice(None, None, 2),) * x.ndim)]
    every_other[...] = x
    yield every_other
    yield np.flip(np.flip(x).copy()) if x.ndim else x.copy()
    yield np.moveaxis(np.moveaxis(x, 0, -1).copy(), -1, 0) if x.ndim else x.copy()


@pytest.mark.parametrize("sample", rules)
def test_memory_layout_does_not_matter(sample):
    inputs = sample.inputs()
    y, given = applied(sample, inputs)
    g = np.random.default_rng(1).standard_normal(y.shape)
    expected = [rule(g, y, *inputs) for _, rule in given]
    for variant in zip(reordered(g), *map(reordered, inputs)):
        y2, given2 = applied(sample, variant[1:])
        np.testing.assert_allclose(y2, y, rtol=1e-12, atol=1e-14)
        for d, (_, rule) in zip(expected, given2):
            np.testing.assert_allclose(rule(variant[0], y2, *variant[1:]), d, rtol=1e-12, atol=1e-14)


# ---- drawn shapes, layouts, dtypes ----
shapes = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
layouts = st.sampled_from([lambda x, i=i: list(reordered(x))[i] for i in range(4)])
seeds = st.integers(0, 2**32 - 1)


@given(st.sampled_from(list(elementwise)), shapes, layouts, seeds)
def test_elementwise_anywhere(key, shape, layout, seed):
    x = layout(np.asarray(elementwise[key](np.random.default_rng(seed), shape)))
    gradcheck(key, x)
    assert grad(key(t := Tensor(x.astype(np.float32), requires_grad=True)).sum(), t).dtype == np.float32


pairs_of_shapes = hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, min_side=0)


@given(st.sampled_from(list(binary)), pairs_of_shapes, layouts, seeds)
def test_broadcasting_anywhere(key, shapes, layout, seed):
    r = np.random.default_rng(seed)
    inputs = [layout(np.asarray(by(r, shape))) for by, shape in zip(binary[key], shapes.input_shapes)]
    y = key(*inputs)
    for i, rule in enumerate(table[key].rules):
        d = unbroadcast(np.broadcast_to(rule(np.ones(y.shape), np.asarray(y), *inputs), y.shape), inputs[i].shape)
        assert d.shape == inputs[i].shape
    gradcheck(key, *inputs)


@given(st.data(), st.sampled_from(list(reductions)), hnp.array_shapes(max_dims=4, max_side=4), layouts, seeds)
def test_reductions_anywhere(data, key, shape, layout, seed):
    n, keepdims = len(shape), data.draw(st.booleans())
    axis = data.draw(st.none() | hnp.valid_tuple_axes(n, min_size=1) | st.integers(-n, n - 1))
    x = layout(reductions[key](np.random.default_rng(seed), shape))
    if key is np.std and key(x, axis=axis, keepdims=True).min() == 0:
        return  # a kink
    gradcheck(lambda t: key(t, axis=axis, keepdims=keepdims), x)


@given(st.data(), hnp.array_shapes(max_dims=3, max_side=4), layouts, seeds)
def test_indexing_anywhere(data, shape, layout, seed):
    index = data.draw(hnp.basic_indices(shape, allow_newaxis=True) | hnp.integer_array_indices(shape)
                      | hnp.arrays(bool, shape))
    x = Tensor(layout(apart(np.random.default_rng(seed), shape)), requires_grad=True)
    y = x[index]
    g = np.random.default_rng(seed).standard_normal(y.shape)
    expected = np.zeros(shape)
    np.add.at(expected, index, g)
    np.testing.assert_array_equal(y.data, x.data[index])
    np.testing.assert_allclose(grad(y, x, gradient=g).data, expected, atol=1e-12)
    gradcheck(lambda t: np.square(t[index]), x)


@given(st.data(), hnp.array_shapes(max_dims=4, max_side=4, min_side=0), seeds)
def test_shapes_anywhere(data, shape, seed):
    n = len(shape)
    x = np.random.default_rng(seed).standard_normal(shape)
    order = data.draw(st.permutations(range(n)))
    axes = [i - n * data.draw(st.booleans()) for i in order]
    gradcheck(lambda t: np.square(np.transpose(t, axes)), x)
    gradcheck(lambda t: np.square(np.moveaxis(t, axes[0], axes[-1])), x)
    gradcheck(lambda t: np.square(np.concatenate([t, t * 2], axis=axes[0])), x)
    gradcheck(lambda t: np.square(np.flip(np.stack([t, t * 2], axis=axes[0]), axes[-1])), x)


# ---- kinks and edges: where there is no derivative, the value PyTorch gives ----
def slopes(f, *xs):
    """d(sum f)/dx for each x."""
    leaves = [Tensor(np.array(x, np.float64), requires_grad=True) for x in xs]
    gs = [g.data.tolist() for g in grad(f(*leaves).sum(), leaves)]
    return gs if len(gs) > 1 else gs[0]


@pytest.mark.parametrize(("f", "x", "expected"), [
    (np.max, [1.0, 2.0, 2.0], [0, 0.5, 0.5]),
    (np.min, [3.0, 1.0, 1.0, 1.0], [0, 1 / 3, 1 / 3, 1 / 3]),
    (lambda x: np.max(x, axis=1), [[1.0, 1.0], [2.0, 3.0]], [[0.5, 0.5], [0, 1]]),
    (lambda x: np.maximum(x, x), [1.5], [1]),
    (lambda x: np.maximum(x, 1.0), [0.0, 1.0, 2.0], [0, 0.5, 1]),
    (lambda x: np.minimum(x, 1.0), [0.0, 1.0, 2.0], [1, 0.5, 0]),
    (np.absolute, [-2.0, 0.0, -0.0, 3.0], [-1, 0, 0, 1]),
    (relu, [-1.0, 0.0, 1.0], [0, 0, 1]),
    (lambda x: np.clip(x, -1, 1), [-2.0, -1.0, 0.0, 1.0, 2.0], [0, 1, 1, 1, 0]),
    (lambda x: x ** 0, [0.0, 2.0], [0, 0]),
    (lambda x: x ** 1, [0.0, 2.0], [1, 1]),
    (lambda x: x ** 2, [0.0, -2.0], [0, -4]),
    (lambda x: 0.0 ** x, [1.0, 2.0], [0, 0]),
    (np.prod, [0.0, 2.0, 3.0], [6, 0, 0]),
    (np.prod, [0.0, 2.0, 0.0], [0, 0, 0]),
    (lambda x: np.prod(x, axis=0), [[0.0, 2.0], [4.0, 5.0]], [[4, 5], [0, 2]]),
    (np.std, [2.0, 2.0, 2.0], [0, 0, 0]),
    (np.var, [2.0, 2.0, 2.0], [0, 0, 0]),
    (np.sign, [-1.0, 0.0, 2.0], [0, 0, 0]),
    (np.rint, [0.4, 0.5, 0.6], [0, 0, 0]),
    (lambda x: np.where(x > 0, x, 2 * x), [-1.0, 0.0, 1.0], [2, 2, 1]),
    (lambda x: np.logaddexp(x, 0.0), [-800.0, 0.0, 800.0], [0, 0.5, 1]),
])
def test_kinks(f, x, expected):
    assert slopes(f, x) == expected


def test_maximum_of_equals_is_split_between_them():
    assert slopes(np.maximum, [1.0, 2.0], [1.0, 0.0]) == [[0.5, 1], [0.5, 0]]
    assert slopes(np.minimum, [1.0, 2.0], [1.0, 0.0]) == [[0.5, 0], [0.5, 1]]


def test_power_at_zero():
    assert slopes(np.power, [0.0, 2.0], [0.0, 0.0]) == [[0, 0], [0, math.log(2)]]
    a, b = (Tensor(v, requires_grad=True, dtype=np.float64) for v in (2.0, 0.0))
    mixed = grad(grad(a ** b, a, create_graph=True), b), grad(grad(a ** b, b, create_graph=True), a)
    assert [m.item() for m in mixed] == [0.5, 0.5]  # a**(b - 1) (1 + b log a)


def test_sqrt_at_zero_is_infinite():
    with np.errstate(divide="ignore"):
        assert slopes(np.sqrt, [0.0, 4.0]) == [math.inf, 0.25]


def test_masked_infinity_is_nan_and_the_double_where_is_not():
    """0 * inf: the branch that is not taken must be kept from being evaluated at its singularity."""
    x = [0.0, 4.0]
    with np.errstate(divide="ignore", invalid="ignore"):
        naive = slopes(lambda x: np.where(x > 0, np.sqrt(x), 0.0), x)
    assert math.isnan(naive[0]) and naive[1] == 0.25
    assert slopes(lambda x: np.where(x > 0, np.sqrt(np.where(x > 0, x, 1.0)), 0.0), x) == [0, 0.25]


@pytest.mark.parametrize("x", [[0.0, 2.0, 3.0], [0.0, 0.0, 3.0], [0.0, 0.0, 0.0], [[0.0, 2.0], [0.0, 0.0]]])
def test_second_derivative_of_prod_with_zeros(x):
    x = np.array(x)
    gradcheck(np.prod, x)
    if x.ndim == 1:
        t = Tensor(x, requires_grad=True)
        g = grad(np.prod(t), t, create_graph=True)
        hessian = [grad(g[i], t, retain_graph=True).data for i in range(3)]
        a, b, c = x
        np.testing.assert_array_equal(hessian, [[0, c, b], [c, 0, a], [b, a, 0]])


def test_variance_of_one_number_with_ddof_1_is_nan():
    with warnings.catch_warnings(), np.errstate(invalid="ignore", divide="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)
        for f in (np.var, np.std):
            assert np.isnan(slopes(lambda x, f=f: f(x, ddof=1), [1.0])).all()


def test_logsumexp_at_infinities():
    assert slopes(logsumexp, [-math.inf, -math.inf]) == [0, 0]
    assert slopes(logsumexp, [0.0, -math.inf]) == [1, 0]
    assert slopes(logsumexp, [1e4, 1e4]) == pytest.approx([0.5, 0.5], abs=1e-11)


def test_remainder_is_that_of_the_floor():
    assert slopes(np.remainder, [5.5, -5.5], [2.0, 2.0]) == [[1, 1], [-2, 3]]
    assert slopes(np.floor_divide, [5.5], [2.0]) == [[0], [0]]


def test_nan_propagates():
    with np.errstate(invalid="ignore"):
        for f in (np.exp, np.sin, lambda x: x * x, lambda x: x / 2, np.sum, np.tanh):
            assert np.isnan(slopes(lambda x, f=f: f(x) * x, [math.nan])).all()


def test_float64_gradients_of_float32_are_float32():
    x = Tensor(np.ones(3, np.float32), requires_grad=True)
    y = x * np.array([1.0, 2.0, 3.0])
    assert (y.dtype, grad(y.sum(), x).dtype) == (np.float64, np.float32)
    wide = x.astype(np.float64)
    (wide * wide).sum().backward()
    assert (wide.dtype, x.grad.dtype) == (np.float64, np.float32)
    np.testing.assert_array_equal(x.grad.data, 2)


def test_an_integer_cast_is_a_constant():
    x = Tensor([1.5, 2.5], requires_grad=True)
    assert not x.astype(np.int64).requires_grad
    np.testing.assert_array_equal(grad((x * x.astype(np.int64)).sum(), x).data, [1, 2])
