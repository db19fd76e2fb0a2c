"""Resizing, warping and rearranging images: derivatives to the second order, PyTorch's numbers, edges, errors."""

from __future__ import annotations

import itertools
import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from minigrad import Tensor, grad
from minigrad import functional as F
from minigrad.testing import check_hessian_symmetry, check_rule_paths, gradcheck


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def resized(mode, shape, align_corners=None, **how):
    return lambda x: F.interpolate(x, mode=mode, align_corners=align_corners, **how), (normal(2, 2, *shape),)


def sampled(*how, shape=(4, 3), places=(2, 5)):
    return (lambda x, grid: F.grid_sample(x, grid, *how),
            (normal(2, 2, *shape), 0.9 * normal(2, *places, len(shape), seed=1)))


CASES = {
    "nearest": resized("nearest", (3, 4), size=(5, 2)),
    "nearest of sequences": resized("nearest", (4,), scale_factor=2),
    "nearest-exact of volumes": resized("nearest-exact", (2, 3, 2), size=(3, 2, 4)),
    "linear": resized("linear", (4,), size=7),
    "bilinear": resized("bilinear", (3, 4), scale_factor=(1.5, 0.7)),
    "bilinear, corners aligned": resized("bilinear", (3, 4), True, size=(5, 3)),
    "trilinear": resized("trilinear", (2, 3, 2), size=3),
    "bicubic": resized("bicubic", (3, 4), size=(5, 3)),
    "bicubic, corners aligned": resized("bicubic", (3, 4), True, size=(1, 6)),
    "area": resized("area", (3, 4), size=2),
    **{f"grid_sample {mode} {pad} {align}": sampled(mode, pad, align) for mode, pad, align in itertools.product(
        ("bilinear", "nearest"), ("zeros", "border", "reflection"), (False, True))},
    "grid_sample of volumes": sampled(shape=(3, 2, 4), places=(2, 2, 2)),
    "grid_sample of volumes, reflected": sampled("bilinear", "reflection", shape=(3, 2, 4), places=(1, 2, 2)),
    "affine_grid": (lambda t: F.affine_grid(t, (2, 1, 2, 3)), (normal(2, 2, 3),)),
    "affine_grid of volumes": (lambda t: F.affine_grid(t, (1, 1, 2, 1, 3), True), (normal(1, 3, 4),)),
    "affine_grid and grid_sample": (lambda x, t: F.grid_sample(x, F.affine_grid(t, (2, 2, 3, 3))),
                                    (normal(2, 2, 4, 3), 0.5 * normal(2, 2, 3))),
    "pixel_shuffle": (lambda x: F.pixel_shuffle(x, 2), (normal(2, 8, 2, 3),)),
    "pixel_unshuffle": (lambda x: F.pixel_unshuffle(x, 2), (normal(2, 2, 4, 6),)),
    **{f"pad {mode}": (lambda x, mode=mode: F.pad(x, (1, 2, 2, 1), mode), (normal(2, 3, 4),))
       for mode in ("constant", "reflect", "replicate", "circular")},
    "pad less": (lambda x: F.pad(x, (1, -2, -1, 0), value=3.0), (normal(2, 3, 4),)),
}


@pytest.mark.parametrize("name", CASES)
def test_derivatives(name):
    f, inputs = CASES[name]
    gradcheck(f, *inputs, order=2)
    check_hessian_symmetry(f, *inputs)


@pytest.mark.parametrize("name", CASES)
def test_float32_stays_float32(name):
    f, inputs = CASES[name]
    inputs = [x.astype(np.float32) for x in inputs]
    assert f(*map(Tensor, inputs)).dtype == np.float32
    check_rule_paths(f, *inputs)


@pytest.mark.parametrize("name", CASES)
def test_arrays_and_other_memory_give_the_same_values(name):
    f, inputs = CASES[name]
    expected = f(*map(Tensor, inputs)).data
    for arrange in (np.ascontiguousarray, np.asfortranarray, lambda x: np.repeat(x, 2, axis=-1)[..., ::2]):
        y = f(*map(arrange, inputs))
        assert_allclose(y.data if isinstance(y, Tensor) else y, expected, 1e-13, 1e-15)


# ---- PyTorch's numbers ----
@pytest.mark.parametrize("how, expected", [
    ({"size": 7, "mode": "linear"}, [1, 19 / 14, 27 / 14, 3, 30 / 7, 46 / 7, 8]),
    ({"size": 7, "mode": "linear", "align_corners": True}, [1, 1.5, 2, 3, 4, 6, 8]),
    ({"size": 3, "mode": "linear"}, [7 / 6, 3, 22 / 3]),
    ({"size": 1, "mode": "linear", "align_corners": True}, [1]),
    ({"scale_factor": 1.6, "mode": "linear"}, [1, 1.4375, 2.125, 3.375, 5.25, 7.75]),  # not 6 / 4, the sizes' ratio
    ({"size": 7, "mode": "nearest"}, [1, 1, 2, 2, 4, 4, 8]),
    ({"size": 3, "mode": "nearest"}, [1, 2, 4]),
    ({"size": 3, "mode": "nearest-exact"}, [1, 4, 8]),
    ({"scale_factor": 1.6, "mode": "nearest"}, [1, 1, 2, 2, 4, 8]),
    ({"size": 3, "mode": "area"}, [1.5, 3, 6]),
])
def test_interpolated_sequences(how, expected):
    assert_allclose(F.interpolate(np.array([[[1.0, 2.0, 4.0, 8.0]]]), **how), [[expected]], 1e-14)


SMALL = np.array([[[[1.0, 2.0], [4.0, 8.0]]]])


@pytest.mark.parametrize("how, expected", [
    ({"mode": "bilinear"}, [[1, 1.5, 2], [2.5, 3.75, 5], [4, 6, 8]]),
    ({"mode": "bicubic", "align_corners": True}, [[1, 1.5, 2], [2.5, 3.75, 5], [4, 6, 8]]),
    ({"mode": "bicubic"}, [[0.6753833912, 1.109375, 1.5433666088], [2.2829861111, 3.75, 5.2170138889],
                           [3.890588831, 6.390625, 8.890661169]]),
])
def test_interpolated_images(how, expected):
    assert_allclose(F.interpolate(SMALL, size=3, **how), [[expected]], 1e-9)


PLACES = np.array([[[[-1.5, 0.0], [0.25, -0.5], [1.2, 1.4], [0.9, -0.9]]]])
SLOPES = {  # of the sum, to each place
    ("bilinear", "zeros", False): [[2.5, 0], [1, 5.25], [-0.8, -2.4], [-1.2, 1.2]],
    ("bilinear", "zeros", True): [[1.25, 1.125], [0.875, 2.4375], [-3.2, -3.6], [0.575, 2.925]],
    ("bilinear", "border", False): [[0, 3], [1, 0], [0, 0], [0, 0]],
    ("bilinear", "border", True): [[0, 1.5], [0.875, 2.4375], [0, 0], [0.575, 2.925]],
    ("bilinear", "reflection", False): [[0, 3], [1, 0], [0, 0], [0, 0]],
    ("bilinear", "reflection", True): [[-1.25, 1.875], [0.875, 2.4375], [-1.7, -2.85], [0.575, 2.925]],
}


@pytest.mark.parametrize("mode, padding_mode, align_corners, expected", [
    ("bilinear", "zeros", False, [0, 1.75, 0.24, 0.72]),
    ("bilinear", "zeros", True, [1.875, 2.84375, 5.76, 2.2425]),
    ("bilinear", "border", False, [2.5, 1.75, 8, 2]),  # the second place is on an edge: 0 there
    ("bilinear", "border", True, [2.5, 2.84375, 8, 2.2425]),
    ("bilinear", "reflection", False, [2.5, 1.75, 8, 2]),
    ("bilinear", "reflection", True, [3.125, 2.84375, 6.46, 2.2425]),
    ("nearest", "zeros", False, [0, 2, 0, 2]),
    ("nearest", "zeros", True, [1, 2, 8, 2]),
    ("nearest", "border", False, [1, 2, 8, 2]),
    ("nearest", "reflection", True, [1, 2, 8, 2]),
])
def test_sampled_places(mode, padding_mode, align_corners, expected):
    grid = Tensor(PLACES, requires_grad=True)
    y = F.grid_sample(Tensor(SMALL, requires_grad=True), grid, mode, padding_mode, align_corners)
    assert_allclose(y.data, [[[expected]]], 1e-12)
    slopes = SLOPES.get((mode, padding_mode, align_corners), np.zeros((4, 2)))
    assert_allclose(grad(y.sum(), grid).data, [[slopes]], 1e-12, 1e-14)


def test_affine_grids():
    theta = np.array([[[0.5, 0.1, 0.2], [-0.3, 2.0, 0.0]]])
    assert_allclose(F.affine_grid(theta, (1, 1, 2, 3)), [[[[-11 / 60, -0.8], [0.15, -1], [29 / 60, -1.2]],
                                                          [[-1 / 12, 1.2], [0.25, 1], [7 / 12, 0.8]]]], 1e-13)
    assert_allclose(F.affine_grid(theta, (1, 1, 2, 3), True), [[[[-0.4, -1.7], [0.1, -2], [0.6, -2.3]],
                                                                [[-0.2, 2.3], [0.3, 2], [0.8, 1.7]]]], 1e-13)


# ---- what they are ----
@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("padding_mode", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
def test_the_identity_changes_nothing(mode, padding_mode, align_corners):
    for x in (normal(2, 3, 4, 5), normal(1, 2, 3, 2, 4), normal(1, 1, 1, 3)):
        n = x.ndim - 2
        grid = F.affine_grid(np.broadcast_to(np.eye(n, n + 1), (len(x), n, n + 1)), x.shape, align_corners)
        assert_allclose(F.grid_sample(x, grid, mode, padding_mode, align_corners), x, 1e-12, 1e-12)


@pytest.mark.parametrize("mode", ["nearest", "nearest-exact", "area", "bilinear", "bicubic"])
def test_the_same_size_changes_nothing(mode):
    x = normal(2, 3, 4, 5)
    for how in ({"size": (4, 5)}, {"scale_factor": 1.0}):
        assert_allclose(F.interpolate(x, mode=mode, **how), x, 1e-14)


@pytest.mark.parametrize("how", [{"size": 5, "mode": "linear"}, {"size": 5, "mode": "area"},
                                 {"size": 4, "mode": "linear", "align_corners": True}])
def test_nan_spreads_to_neighbours_only(how):
    x = np.arange(14.0).reshape(1, 1, 14)
    clean = F.interpolate(x, **how)
    for bad in (np.nan, np.inf):
        x[0, 0, 1] = bad
        with np.errstate(invalid="ignore"):  # 0 * inf, beside it
            assert_array_equal(F.interpolate(x, **how)[0, 0, 2:], clean[0, 0, 2:])


def test_a_long_line_needs_memory_for_a_line_only():
    x = Tensor(normal(1, 1, 5000), requires_grad=True)
    for how in ({"size": 3000, "mode": "linear"}, {"size": 3000, "mode": "area"}):
        tracemalloc.start()
        grad(F.interpolate(x, **how).sum(), x)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 30 * x.data.nbytes  # a matrix is 3000 times as large


def test_nearest_looks_under_the_left_edge_and_nearest_exact_under_the_centre():
    x = np.arange(5.0).reshape(1, 1, 5)
    assert_array_equal(F.interpolate(x, size=2), [[[0, 2]]])
    assert_array_equal(F.interpolate(x, size=2, mode="nearest-exact"), [[[1, 3]]])


def test_nearest_keeps_infinities_apart():
    x = np.array([[[1.0, -np.inf, np.nan, 2.0]]])
    assert_array_equal(F.interpolate(x, scale_factor=2), np.repeat(x, 2, axis=-1))


def test_a_place_far_outside_is_reflected_as_often_as_it_takes():
    x = np.arange(4.0).reshape(1, 1, 1, 4)
    u = np.array([-9, -6.5, -1, 0.5, 3, 4, 7, 12.5])  # pixels, of which -1 is 1 when centres are reflected
    grid = np.stack([u / 1.5 - 1, np.zeros(8)], -1).reshape(1, 1, 8, 2)
    assert_allclose(F.grid_sample(x, grid, "bilinear", "reflection", True).reshape(-1), [3, 0.5, 1, 0.5, 3, 2, 1, 0.5],
                    1e-12, 1e-12)
    grid = np.stack([(u + 0.5) / 2 - 1, np.zeros(8)], -1).reshape(1, 1, 8, 2)  # -1 is 0 when edges are
    assert_allclose(F.grid_sample(x, grid, "bilinear", "reflection").reshape(-1), [0, 1.5, 0, 0.5, 3, 3, 0, 2.5],
                    1e-12, 1e-12)


def test_pixel_shuffle_fills_blocks_and_unshuffle_takes_them_apart():
    x = np.arange(8.0).reshape(4, 1, 2)
    y = F.pixel_shuffle(x, 2)
    assert_array_equal(y, [[[0, 2, 1, 3], [4, 6, 5, 7]]])
    assert_array_equal(F.pixel_unshuffle(y, 2), x)
    x = normal(2, 3, 12, 2, 3)
    assert F.pixel_shuffle(x, 2).shape == (2, 3, 3, 4, 6)
    assert_array_equal(F.pixel_unshuffle(F.pixel_shuffle(x, 2), 2), x)


def test_padding_starts_at_the_last_axis():
    x = np.array([[1.0, 2.0], [3.0, 4.0]])
    assert_array_equal(F.pad(x, (1, 0)), [[0, 1, 2], [0, 3, 4]])
    assert_array_equal(F.pad(x, (0, 0, 0, 1), value=5.0), [[1, 2], [3, 4], [5, 5]])
    assert_array_equal(F.pad(x, (-1, 0, 1, -1), "replicate"), [[2], [2]])
    assert_array_equal(F.pad(x, ()), x)


def test_empty_batches():
    for f in (lambda x: F.interpolate(x, size=3), lambda x: F.interpolate(x, size=3, mode="bilinear"),
              lambda x: F.grid_sample(x, np.zeros((0, 2, 3, 2))), lambda x: F.pixel_shuffle(x, 2)):
        x = Tensor(np.zeros((0, 4, 2, 2)), requires_grad=True)
        y = f(x)
        y.sum().backward()
        assert y.shape[0] == 0 and x.grad.shape == x.shape
    x = Tensor(normal(1, 2, 3, 3), requires_grad=True)
    assert F.grid_sample(x, np.zeros((1, 0, 3, 2))).shape == (1, 2, 0, 3)


# ---- errors ----
IMAGE = np.ones((2, 3, 4, 4))


@pytest.mark.parametrize("call, message", [
    (lambda: F.interpolate(IMAGE), r"give one of size and scale_factor"),
    (lambda: F.interpolate(IMAGE, 3, 2.0), r"give one of size and scale_factor"),
    (lambda: F.interpolate(IMAGE, 3, mode="linear"), r"mode 'linear' is not one for input \(2, 3, 4, 4\): nearest"),
    (lambda: F.interpolate(IMAGE[0], 3, mode="cubic"), r"mode 'cubic' is not one"),
    (lambda: F.interpolate(IMAGE, 3, align_corners=True), r"align_corners is for .* not 'nearest'"),
    (lambda: F.interpolate(IMAGE[0, 0], 3), r"input \(4, 4\) must be \(N, C, L\)"),
    (lambda: F.interpolate(IMAGE, (3, 3, 3)), r"size is an int or a pair of ints, not \(3, 3, 3\)"),
    (lambda: F.interpolate(IMAGE, scale_factor=(2, 2, 2)), r"one for each of 2 axes, not \(2, 2, 2\)"),
    (lambda: F.interpolate(IMAGE, scale_factor=-1.0), r"positive number .* not -1.0"),
    (lambda: F.interpolate(IMAGE, scale_factor=0.1), r"the size must be at least 1, got \[0, 0\]"),
    (lambda: F.grid_sample(IMAGE, np.ones((1, 2, 2, 2))), r"grid \(1, 2, 2, 2\) \(N, H', W', 2\)"),
    (lambda: F.grid_sample(IMAGE, np.ones((2, 2, 2, 3))), r"grid \(2, 2, 2, 3\)"),
    (lambda: F.grid_sample(IMAGE, np.ones((2, 2, 2, 2)), "bicubic"), r"'bilinear' or 'nearest', not 'bicubic'"),
    (lambda: F.grid_sample(IMAGE, np.ones((2, 2, 2, 2)), padding_mode="wrap"), r"padding_mode is .* not 'wrap'"),
    (lambda: F.affine_grid(np.ones((1, 2, 3)), (2, 1, 4, 4)), r"theta \(1, 2, 3\) .* must be \(2, 2, 3\)"),
    (lambda: F.pixel_shuffle(IMAGE, 2), r"3 channels .* blocks of 2 x 2"),
    (lambda: F.pixel_unshuffle(IMAGE, 3), r"blocks of 3 x 3"),
    (lambda: F.pad(IMAGE, (1, 2, 3)), r"pad=\(1, 2, 3\).*takes pairs"),
    (lambda: F.pad(IMAGE, (1, 2), "wrap"), r"mode='wrap'.*constant, reflect, replicate, circular"),
])
def test_errors_say_what_was_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call()
