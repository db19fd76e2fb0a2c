"""Linear maps and their adjoints; convolution and pooling against loops that can be read off the definition."""

from __future__ import annotations

import itertools
import operator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples.basics import convolutions, indices, pools, windowed

import minigrad.primitives as P
from minigrad import Tensor, grad
from minigrad.kernels import reference
from minigrad.testing import check_adjoint, gradcheck


# ---- adjoint pairs ----
@pytest.mark.parametrize(("shape", "index"), indices)
def test_getitem_and_scatter_add(shape, index, generator):
    x, g = generator.standard_normal(shape), generator.standard_normal(np.zeros(shape)[index].shape)
    check_adjoint(lambda x: x[index], lambda g: P.scatter_add(g, index=index, shape=shape), x, g)


def test_scatter_add_adds_what_is_indexed_twice():
    np.testing.assert_array_equal(P.scatter_add(np.ones(3), index=[1, 1, 2], shape=(4,)), [0, 2, 1, 0])
    np.testing.assert_array_equal(P.scatter_add(np.ones(2), index=((0, 0), (1, 1)), shape=(2, 2)), [[0, 2], [0, 0]])


@pytest.mark.parametrize(("shape", "size", "stride", "dilation", "out"), windowed)
def test_windows_and_fold(shape, size, stride, dilation, out, generator):
    x, g = generator.standard_normal(shape), generator.standard_normal((*out, *size))
    how = dict(stride=stride, dilation=dilation)
    check_adjoint(lambda x: P.windows(x, size=size, **how), lambda g: P.fold(g, shape=shape[-len(size):], **how), x, g)
    for at in np.ndindex(*out[-len(size):]):
        for k in np.ndindex(*size):
            place = tuple(i * s + j * d for i, s, j, d in zip(at, stride, k, dilation))
            np.testing.assert_array_equal(P.windows(x, size=size, **how)[(..., *at, *k)], x[(..., *place)])


@pytest.mark.parametrize(("x", "y", "how"), pools)
def test_pooling_pairs(x, y, how, generator):
    x, u, g, shape = generator.integers(0, 3, x), generator.standard_normal(x), generator.standard_normal(y), x
    top = P.max_pool(x, **how)
    np.testing.assert_array_equal(P.pool_take(x, x, top, **how), top)
    check_adjoint(lambda u: P.pool_take(u, x, top, **how), lambda g: P.pool_put(g, x, top, **how), u, g)
    check_adjoint(lambda u: P.window_sum(u, **how), lambda g: P.window_spread(g, shape=shape, **how), u, g)


def test_reductions_and_shapes_are_adjoint_to_their_rules(generator):
    """For a linear f the gradient is the adjoint, whatever the point."""
    for f in (lambda x: np.sum(x, axis=1), np.mean, lambda x: np.broadcast_to(x, (4, 2, 3)), np.transpose,
              lambda x: np.flip(x, 0), lambda x: np.pad(x, ((1, 2), (0, 1))), lambda x: np.pad(x, 1, mode="reflect"),
              lambda x: np.einsum("ij->j", x), np.trace, lambda x: np.concatenate([x, 2 * x], axis=1)):
        x = generator.standard_normal((2, 3))
        y = generator.standard_normal(f(x).shape)
        leaf = Tensor(np.zeros((2, 3)), requires_grad=True)
        check_adjoint(f, lambda g, f=f, leaf=leaf: grad(f(leaf), leaf, gradient=g), x, y)


# ---- convolution ----
def naive_conv(x, w, stride, padding, dilation, groups):
    x = np.pad(x, ((0, 0), (0, 0), *padding))
    size, kernel = x.shape[2:], w.shape[2:]
    out = [(n - d * (k - 1) - 1) // s + 1 for n, k, s, d in zip(size, kernel, stride, dilation)]
    y = np.zeros((x.shape[0], w.shape[0], *out))
    for n, o, *at in np.ndindex(*y.shape):
        first = o // (w.shape[0] // groups) * w.shape[1]
        for c, *k in np.ndindex(*w.shape[1:]):
            place = tuple(i * s + j * d for i, s, j, d in zip(at, stride, k, dilation))
            y[(n, o, *at)] += w[(o, c, *k)] * x[(n, first + c, *place)]
    return y


def check_conv(x, w, y, how, generator):
    x, w, g = (generator.standard_normal(shape) for shape in (x, w, y))
    expected = naive_conv(x, w, **how)
    assert expected.shape == y
    np.testing.assert_allclose(P.conv(x, w, **how), expected, rtol=1e-12, atol=1e-12)
    forward = lambda x: P.conv(x, w, **how)
    check_adjoint(forward, lambda g: P.conv_input_grad(g, w, shape=x.shape, **how), x, g)
    check_adjoint(lambda w: P.conv(x, w, **how), lambda g: P.conv_weight_grad(x, g, shape=w.shape, **how), w, g)


@pytest.mark.parametrize(("x", "w", "y", "how"), convolutions)
def test_convolution_is_the_sum_it_is_defined_as(x, w, y, how, generator):
    check_conv(x, w, y, how, generator)


@given(st.data(), st.integers(1, 2), st.integers(0, 2**32 - 1))
def test_convolution_anywhere(data, dimensions, seed):
    few = lambda a, b: tuple(data.draw(st.lists(st.integers(a, b), min_size=dimensions, max_size=dimensions)))
    kernel, stride, dilation, before, after = few(1, 3), few(1, 3), few(1, 2), few(0, 2), few(0, 2)
    size = tuple(max(d * (k - 1) + 1 - p - q, 1) + more
                 for d, k, p, q, more in zip(dilation, kernel, before, after, few(0, 3)))
    groups = data.draw(st.integers(1, 2))
    how = dict(stride=stride, padding=tuple(zip(before, after)), dilation=dilation, groups=groups)
    out = reference.output_size(size, kernel, stride, how["padding"], dilation)
    check_conv((2, 2 * groups, *size), (groups, 2, *kernel), (2, groups, *out), how, np.random.default_rng(seed))


@pytest.mark.parametrize(("x", "w", "y", "how"), convolutions[1:4:2])
def test_convolution_to_third_order(x, w, y, how, generator):
    x, w, g = (generator.standard_normal(shape) for shape in (x, w, y))
    gradcheck(lambda x, w: P.conv(x, w, **how) ** 2, x, w, order=3)
    gradcheck(lambda g, w: P.conv_input_grad(g, w, shape=x.shape, **how) ** 2, g, w, order=3)
    gradcheck(lambda x, g: P.conv_weight_grad(x, g, shape=w.shape, **how) ** 2, x, g, order=3)


def test_convolution_keeps_float32_and_takes_any_memory_order(generator):
    x, w = (generator.standard_normal(s).astype(np.float32) for s in ((3, 2, 5, 4), (4, 2, 3, 3)))
    how = dict(stride=(1, 1), padding=((1, 1), (1, 1)), dilation=(1, 1), groups=1)
    y = P.conv(x, w, **how)
    assert y.dtype == np.float32
    for other in (x.copy("F"), np.moveaxis(np.moveaxis(x, 1, -1).copy(), -1, 1), x[::-1].copy()[::-1]):
        np.testing.assert_allclose(P.conv(other, w.copy("F"), **how), y, rtol=1e-6)


# ---- pooling ----
def naive_max_pool(x, kernel, stride, padding, dilation):
    """Values, and for each the place in x of the first largest."""
    padded = np.pad(x, ((0, 0), (0, 0), *padding), constant_values=-np.inf)
    out = reference.output_size(x.shape[2:], kernel, stride, padding, dilation)
    y, places = np.empty((*x.shape[:2], *out)), {}
    for at in np.ndindex(*y.shape):
        window = [(*at[:2], *(i * s + j * d for i, s, j, d in zip(at[2:], stride, k, dilation)))
                  for k in np.ndindex(*kernel)]
        values = [padded[p] for p in window]
        first = int(np.argmax(values))
        y[at] = values[first]
        places[at] = (*at[:2], *(i - p[0] for i, p in zip(window[first][2:], padding)))
    return y, places


@pytest.mark.parametrize("levels", [2, 1000])
@pytest.mark.parametrize(("x", "y", "how"), pools)
def test_max_pool_takes_the_first_largest(x, y, how, levels, generator):
    """With 2 levels nearly every window has ties."""
    x = Tensor(generator.integers(0, levels, x).astype(np.float64), requires_grad=True)
    out = P.max_pool(x, **how)
    expected, places = naive_max_pool(x.data, **how)
    np.testing.assert_array_equal(out.data, expected)
    g = generator.standard_normal(y)
    dx = np.zeros(x.shape)
    for at, place in places.items():
        dx[place] += g[at]
    np.testing.assert_allclose(grad(out, x, gradient=g).data, dx, rtol=1e-12, atol=1e-12)


one_row = dict(kernel=(2,), stride=(2,), padding=((0, 0),), dilation=(1,))


def test_max_pool_of_equals_sends_the_gradient_to_the_first():
    x = Tensor(np.zeros((1, 1, 4)), requires_grad=True)
    P.max_pool(x, **one_row).sum().backward()
    np.testing.assert_array_equal(x.grad.data, [[[1, 0, 1, 0]]])


def test_max_pool_passes_nan_on():
    x = Tensor(np.array([[[1.0, np.nan, 5.0, 2.0]]]), requires_grad=True)
    y = P.max_pool(x, **one_row)
    np.testing.assert_array_equal(y.data, [[[np.nan, 5]]])
    y.backward(np.ones((1, 1, 2)))
    np.testing.assert_array_equal(x.grad.data[..., 2:], [[[1, 0]]])


def test_max_pool_padding_loses_to_everything():
    x = Tensor(np.full((1, 1, 2), -7.0), requires_grad=True)
    y = P.max_pool(x, **(one_row | dict(padding=((1, 1),))))
    np.testing.assert_array_equal(y.data, [[[-7, -7]]])
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.data, [[[1, 1]]])
    integers = P.max_pool(np.full((1, 1, 2), -7), **(one_row | dict(padding=((1, 1),))))
    np.testing.assert_array_equal(integers, [[[-7, -7]]])


def test_window_sum_pads_with_zeros():
    y = P.window_sum(np.ones((1, 1, 3)), kernel=(2,), stride=(1,), padding=((1, 1),), dilation=(1,))
    np.testing.assert_array_equal(y, [[[1, 2, 2, 1]]])


def test_max_pool_of_large_windows():
    x = np.zeros((1, 1, 17, 17))
    x[0, 0, 16, 16] = 1
    how = dict(kernel=(17, 17), stride=(1, 1), padding=((0, 0), (0, 0)), dilation=(1, 1))
    leaf = Tensor(x, requires_grad=True)
    np.testing.assert_array_equal(grad(P.max_pool(leaf, **how).sum(), leaf).data, x)


# ---- np.pad, sliding windows: as NumPy's ----
@pytest.mark.parametrize("mode", ["edge", "reflect", "symmetric", "wrap"])
def test_pad_modes(mode, generator):
    x = generator.standard_normal((4, 3))
    np.testing.assert_array_equal(np.pad(Tensor(x), (2, 1), mode=mode).data, np.pad(x, (2, 1), mode=mode))
    for i, j in itertools.product(range(4), range(3)):
        leaf = Tensor(x, requires_grad=True)
        count = np.pad(np.arange(12).reshape(4, 3), (2, 1), mode=mode) == 3 * i + j
        assert operator.getitem(grad(np.pad(leaf, (2, 1), mode=mode).sum(), leaf), (i, j)).item() == count.sum()


def test_pad_modes_that_are_not_there_say_so():
    x = Tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(TypeError, match="not mode='linear_ramp'"):
        np.pad(x, 1, mode="linear_ramp")
