"""Crops, flips, turns and sizes of images; scalers and whitening, by scikit-learn and by what they promise."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from minigrad import data
from minigrad.random import manual_seed


def rng(seed=0):
    return np.random.default_rng(seed)


def images(n=40, c=2, h=5, w=6, dtype=np.float32):
    return np.arange(1, 1 + n * c * h * w, dtype=dtype).reshape(n, c, h, w)


# ---- images ----
@pytest.mark.parametrize("size, padding", [(3, 0), ((4, 2), 0), (5, 1), ((5, 6), (2, 0)), ((9, 8), (2, 1))])
def test_random_crop_against_slices(size, padding):
    x = images()
    y = data.RandomCrop(size, padding, -1, rng())(x)
    h, w = (size, size) if np.ndim(size) == 0 else size
    a, b = (padding, padding) if np.ndim(padding) == 0 else padding
    assert y.shape == (40, 2, h, w) and y.dtype == np.float32
    padded = np.pad(x, ((0, 0), (0, 0), (a, a), (b, b)), constant_values=-1)
    places = [(i, j) for i in range(padded.shape[2] - h + 1) for j in range(padded.shape[3] - w + 1)]
    seen = set()
    for image, crop in zip(padded, y):
        found = [(i, j) for i, j in places if np.array_equal(image[:, i:i + h, j:j + w], crop)]
        assert found
        seen.update(found)
    assert seen == set(places)


def test_center_crop():
    x = images()
    assert_array_equal(data.CenterCrop(3)(x), x[:, :, 1:4, 1:4])
    assert_array_equal(data.CenterCrop((2, 6))(x), x[:, :, 1:3])
    assert not np.shares_memory(data.CenterCrop(3)(x), x)


@pytest.mark.parametrize("flip, axis", [(data.RandomHorizontalFlip, 3), (data.RandomVerticalFlip, 2)])
def test_flips(flip, axis):
    x = images(400)
    assert_array_equal(flip(1)(x), np.flip(x, axis))
    assert_array_equal(flip(0)(x), x)
    y = flip(0.25, rng())(x)
    flipped = np.array([np.array_equal(a, np.flip(b, axis - 1)) for a, b in zip(y, x)])
    kept = np.array([np.array_equal(a, b) for a, b in zip(y, x)])
    assert (flipped ^ kept).all() and abs(flipped.mean() - 0.25) < 0.09
    assert flip()(x.astype(np.uint8)).dtype == np.uint8


@pytest.mark.parametrize("quarters", [1, 2, 3])
@pytest.mark.parametrize("size", [4, 5])
@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
def test_quarter_turns_are_those_of_numpy(quarters, size, mode):
    x = images(3, 2, size, size, np.float64)
    turned = data.RandomRotate((90 * quarters, 90 * quarters), mode=mode)(x)
    assert_allclose(turned, np.rot90(x, quarters, axes=(2, 3)), rtol=1e-9)


def test_half_a_turn_of_what_is_not_square():
    x = images()
    assert_allclose(data.RandomRotate((180, 180))(x), x[:, :, ::-1, ::-1], rtol=1e-5)
    quarter = data.RandomRotate((90, 90), fill=-7)(images(1, 1, 3, 5, np.float64))[0, 0]
    assert_allclose(quarter[:, 1:4], np.rot90(images(1, 1, 3, 5)[0, 0])[1:4], rtol=1e-9)
    assert_allclose(quarter[:, [0, 4]], -7)


def test_rotation_keeps_shape_and_direction():
    """A line through the middle, turned by 30 degrees: its slope on paper, where up is up, is tan 30."""
    x = np.zeros((1, 1, 41, 61))
    x[0, 0, 20] = 1
    turned = data.RandomRotate((30, 30))(x)[0, 0]
    rows, columns = np.nonzero(turned > 0.5)
    assert_allclose(np.polyfit(columns - 30, 20 - rows, 1)[0], np.tan(np.pi / 6), atol=0.02)


def test_rotations_are_drawn_for_each_image():
    x = np.repeat(rng().random((1, 1, 9, 9)), 30, axis=0)
    y = data.RandomRotate(20, generator=rng(1))(x)
    assert len({image.tobytes() for image in y}) == 30
    assert_allclose(data.RandomRotate(0)(x), x, rtol=1e-9)
    assert data.RandomRotate(5)(np.ones((2, 1, 4, 4), np.uint8)).dtype == np.float32
    angles = rng(1).uniform(-20, 20, 30)
    for angle, image in zip(angles[:4], y):
        assert_allclose(image, data.RandomRotate((angle, angle))(x[:1])[0], rtol=1e-9)


def test_resize():
    x = images(2, 3, 4, 6)
    half = data.Resize((2, 3), "area")(x)
    assert_allclose(half, x.reshape(2, 3, 2, 2, 3, 2).mean(axis=(3, 5)), rtol=1e-6)
    assert half.dtype == np.float32
    assert_array_equal(data.Resize((8, 12), "nearest")(x), x.repeat(2, axis=2).repeat(2, axis=3))
    for mode in ("bilinear", "bicubic"):
        assert_allclose(data.Resize((4, 6), mode)(x), x, rtol=1e-6)
        assert data.Resize(7, mode)(x.astype(np.uint8)).shape == (2, 3, 7, 7)
    assert data.Resize(7)(x.astype(np.uint8)).dtype == np.float32


@pytest.mark.parametrize("mode", ["bilinear", "bicubic", "nearest", "area"])
def test_resize_against_torch(mode):
    torch = pytest.importorskip("torch")
    x = rng().random((2, 3, 5, 8))
    for size in ((3, 4), (9, 10)):
        expected = torch.nn.functional.interpolate(torch.tensor(x), size, mode=mode).numpy()
        assert_allclose(data.Resize(size, mode)(x), expected, rtol=1e-10)


def test_random_ones_draw_from_the_default_generator():
    x = images().astype(np.float64)
    for make in (lambda: data.RandomCrop(3), data.RandomHorizontalFlip, lambda: data.RandomRotate(30)):
        manual_seed(3)
        first, second = make()(x), make()(x)
        manual_seed(3)
        assert_array_equal(make()(x), first)
        assert (first != second).any()
        assert_array_equal(make()(x[:0]).shape[:2], (0, 2))


def test_transforms_leave_their_input_alone():
    x = images(4)
    before = x.copy()
    for make in (data.RandomCrop(3), data.RandomHorizontalFlip(), data.RandomRotate(30), data.Resize(3), data.MinMax(),
                 data.Normalizer(), data.CenterCrop(2)):
        y = make(x)
        y += 1
        assert_array_equal(x, before)


@pytest.mark.parametrize(("call", "message"), [
    (lambda: data.RandomCrop(0), r"RandomCrop: size must be an integer from 1 on.*got 0"),
    (lambda: data.RandomCrop(2, -1), "padding must be an integer from 0 on"),
    (lambda: data.RandomCrop((1, 2, 3)), r"got \(1, 2, 3\)"),
    (lambda: data.RandomCrop(6)(images()), r"a window of \(6, 6\) does not fit into images of \(5, 6\)"),
    (lambda: data.CenterCrop((2, 7))(images()), r"a window of \(2, 7\)"),
    (lambda: data.RandomCrop(2)(np.ones((3, 4))), r"\(N, C, H, W\), got shape \(3, 4\)"),
    (lambda: data.RandomVerticalFlip(1.5), "RandomVerticalFlip: p must be between 0 and 1, got 1.5"),
    (lambda: data.RandomHorizontalFlip()(np.ones(3)), "RandomHorizontalFlip: x must be"),
    (lambda: data.RandomRotate(-5), r"\(least, greatest\), got -5"),
    (lambda: data.RandomRotate(5, mode="cubic"), "not 'cubic'"),
    (lambda: data.Resize(2.5), "got 2.5"),
    (lambda: data.Resize(2, "lanczos"), "not 'lanczos'"),
    (lambda: data.MinMax(1, 1), "low must be less than high"),
    (lambda: data.Normalizer("l3"), "not 'l3'"),
])
def test_what_does_not_fit_is_said(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# ---- by sample ----
def test_min_max_of_each_sample():
    x = np.array([[1, 2, 5], [7, 7, 7], [0, -10, 10]])
    assert_allclose(data.MinMax()(x), [[0, 0.25, 1], [0, 0, 0], [0.5, 0, 1]])
    assert_allclose(data.MinMax(-1, 1)(x), [[-1, -0.5, 1], [-1, -1, -1], [0, -1, 1]])
    assert data.MinMax()(x).dtype == np.float32 and data.MinMax()(x.astype(np.float64)).dtype == np.float64
    y = data.MinMax(0, 1)(rng().random((50, 3, 4, 4)).astype(np.float32))
    assert_array_equal(y.min(axis=(1, 2, 3)), 0)
    assert_array_equal(y.max(axis=(1, 2, 3)), 1)


@pytest.mark.parametrize("norm", ["l2", "l1", "max"])
def test_normalizer_against_scikit_learn(norm):
    preprocessing = pytest.importorskip("sklearn.preprocessing")
    x = rng().standard_normal((9, 4))
    x[3] = 0
    assert_allclose(data.Normalizer(norm)(x), preprocessing.Normalizer(norm).fit_transform(x), rtol=1e-13)
    assert data.Normalizer()(np.array([[3, 4]])).dtype == np.float32
    assert_allclose(data.Normalizer()(np.array([[[3], [4]]])), [[[0.6], [0.8]]], rtol=1e-6)


# ---- scalers: scikit-learn's ----
DATA = rng(7).standard_normal((30, 5)) @ rng(8).standard_normal((5, 5)) * [1, 10, 0.1, 3, 1] + [0, 5, -3, 100, 1]
OUTLIERS = np.where(rng(9).random((30, 5)) < 0.05, 1e4, DATA)


@pytest.mark.parametrize("name, settings", [
    ("MinMaxScaler", {}), ("MinMaxScaler", {"feature_range": (-2, 3)}), ("StandardScaler", {}), ("MaxAbsScaler", {}),
    ("RobustScaler", {}), ("RobustScaler", {"quantile_range": (10, 80)}),
])
@pytest.mark.parametrize("x", [DATA, OUTLIERS, np.hstack([DATA, np.full((30, 1), 4.0)])],
                         ids=["", "outliers", "constant"])
def test_scalers_against_scikit_learn(name, settings, x):
    preprocessing = pytest.importorskip("sklearn.preprocessing")
    ours, theirs = getattr(data, name)(**settings), getattr(preprocessing, name)(**settings).fit(x)
    assert_allclose(ours.fit_transform(x), theirs.transform(x), rtol=1e-11, atol=1e-11)
    new = rng(1).standard_normal(x.shape)
    assert_allclose(ours(new), theirs.transform(new), rtol=1e-11, atol=1e-11)
    assert_allclose(ours.inverse_transform(new), theirs.inverse_transform(new), rtol=1e-11, atol=1e-11)
    assert_allclose(ours.inverse_transform(ours(new)), new, rtol=1e-9, atol=1e-9)


def test_standard_scaler_of_both_ddof():
    for ddof in (0, 1):
        z = data.StandardScaler(ddof).fit_transform(DATA)
        assert_allclose(z.mean(axis=0), 0, atol=1e-12)
        assert_allclose(z.std(axis=0, ddof=ddof), 1)
    assert_allclose(data.StandardScaler(0).fit_transform(DATA), data.StandardScaler(1).fit_transform(DATA)
                    * np.sqrt(30 / 29), rtol=1e-12)


def test_robust_scaler_is_not_moved_by_outliers():
    x = rng(2).standard_normal(1000)
    spoiled = np.where(np.arange(1000) < 10, 1e6, x)
    assert_allclose(data.RobustScaler().fit(spoiled).scale_, data.RobustScaler().fit(x).scale_, rtol=0.05)
    assert data.StandardScaler().fit(spoiled).scale_ > 1e4


@pytest.mark.parametrize("make", [data.MaxAbsScaler, data.RobustScaler, lambda: data.PCA(2), lambda: data.PCA(2, True),
                                  data.ZCA])
def test_fitted_ones_refuse_and_keep_dtypes(make):
    x = DATA.astype(np.float32)
    fitted = make().fit(x)
    assert fitted(x).dtype == np.float32 == fitted.inverse_transform(fitted(x)).dtype
    assert fitted(DATA).dtype == np.float64
    with pytest.raises(RuntimeError, match=r"call fit\(x\) first"):
        make().transform(x)
    with pytest.raises(RuntimeError, match=r"inverse_transform: call fit\(x\) first"):
        make().inverse_transform(x)
    with pytest.raises(ValueError, match=r"features of shape \(5,\), got \(4,\)"):
        fitted.transform(x[:, :4])
    with pytest.raises(ValueError, match="NaN or infinity"):
        make().fit(np.array([[1, np.nan], [0, 1]]))


# ---- whitening ----
@pytest.mark.parametrize("n_components", [None, 1, 3, 5, 0.6, 0.95])
@pytest.mark.parametrize("whiten", [False, True])
def test_pca_against_scikit_learn(n_components, whiten):
    decomposition = pytest.importorskip("sklearn.decomposition")
    theirs = decomposition.PCA(n_components, whiten=whiten, svd_solver="full").fit(DATA)
    ours = data.PCA(n_components, whiten).fit(DATA)
    signs = np.sign((ours.components_ * theirs.components_).sum(axis=1))  # which differ between its versions
    assert_allclose(ours.components_, theirs.components_ * signs[:, None], atol=1e-10)
    assert_allclose(ours.explained_variance_, theirs.explained_variance_, rtol=1e-9)
    assert_allclose(ours.explained_variance_ratio_, theirs.explained_variance_ratio_, rtol=1e-9)
    assert_allclose(ours(DATA), theirs.transform(DATA) * signs, rtol=1e-8, atol=1e-8)
    assert_allclose(ours.inverse_transform(ours(DATA)), theirs.inverse_transform(theirs.transform(DATA)), rtol=1e-8)


def test_pca_signs_do_not_hang_on_chance():
    pca = data.PCA().fit(DATA)
    assert (np.take_along_axis(pca.components_, np.abs(pca.components_).argmax(axis=1)[:, None], 1) > 0).all()
    assert_allclose(data.PCA().fit(DATA[::-1]).components_, pca.components_, atol=1e-10)


def test_whitening_makes_the_covariance_the_identity():
    for whitening in (data.PCA(whiten=True), data.PCA(3, whiten=True), data.ZCA()):
        z = whitening.fit_transform(DATA)
        assert_allclose(np.cov(z.T), np.eye(z.shape[1]), atol=1e-9)
        assert_allclose(z.mean(axis=0), 0, atol=1e-9)


def test_zca_changes_least():
    """By its formula, S^(-1/2); and of all whitenings it is the nearest to the data."""
    z = data.ZCA().fit_transform(DATA)
    values, vectors = np.linalg.eigh(np.cov(DATA.T))
    centred = DATA - DATA.mean(axis=0)
    assert_allclose(z, centred @ vectors / np.sqrt(values) @ vectors.T, rtol=1e-7, atol=1e-9)
    assert np.square(z - centred).sum() < np.square(data.PCA(whiten=True).fit_transform(DATA) - centred).sum()


@pytest.mark.parametrize("eps", [0.0, 0.1])
@pytest.mark.parametrize("shape", [(40, 6), (40, 2, 3, 2), (5, 3, 4)])  # the last has fewer rows than features
def test_whitening_goes_back(eps, shape):
    x, new = rng(3).standard_normal(shape) + 2, rng(4).standard_normal(shape)
    zca = data.ZCA(eps).fit(x)
    assert zca(x).shape == shape
    assert_allclose(zca.inverse_transform(zca(x)), x, rtol=1e-8, atol=1e-9)
    assert_allclose(zca.inverse_transform(zca(new)), new, rtol=1e-8, atol=1e-9)
    for whiten in (False, True):
        pca = data.PCA(whiten=whiten).fit(x)
        assert pca(x).shape == (shape[0], min(shape[0], int(np.prod(shape[1:]))))
        assert np.isfinite(pca(x)).all() and np.abs(pca(x)).max() < 50
        assert_allclose(pca.inverse_transform(pca(x)), x, rtol=1e-8, atol=1e-9)


def test_zca_eps_damps_what_is_small():
    x = rng(5).standard_normal((200, 2)) * [1, 1e-3]
    assert_allclose(data.ZCA(0.01).fit_transform(x).std(axis=0, ddof=1), [1, 0.01], rtol=0.15)
    assert_allclose(data.ZCA().fit_transform(x).std(axis=0, ddof=1), [1, 1], rtol=1e-6)


def test_whitening_of_many_rows_needs_no_square_of_them():
    x = rng(6).standard_normal((20_000, 3))  # 20,000^2 numbers would be 3 GB
    assert_allclose(np.cov(data.ZCA().fit_transform(x).T), np.eye(3), atol=1e-9)


@pytest.mark.parametrize(("call", "message"), [
    (lambda: data.RobustScaler((75, 25)), r"low < high <= 100, got \(75, 25\)"),
    (lambda: data.PCA(0), "a share between 0 and 1, got 0"),
    (lambda: data.PCA(1.5), "got 1.5"),
    (lambda: data.PCA(6).fit(DATA), r"n_components=6 of 5"),
    (lambda: data.PCA().fit(DATA[:1]), "at least two rows, got 1"),
    (lambda: data.ZCA(-1), "eps must not be negative, got -1"),
    (lambda: data.PCA(2).fit(DATA).inverse_transform(DATA), r"features of shape \(2,\), got \(5,\)"),
])
def test_whitening_says_what_does_not_fit(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_an_empty_batch_passes_and_bytes_do_not_wrap_around():
    x = np.random.default_rng(0).standard_normal((20, 6))
    for scaler in (data.PCA(), data.ZCA(), data.StandardScaler()):
        assert scaler.fit(x).transform(np.zeros((0, 6))).shape == (0, 6)
    assert data.Normalizer()(np.zeros((0, 1, 9, 9), np.float32)).shape == (0, 1, 9, 9)
    bytes_ = np.arange(64, dtype=np.uint8).reshape(1, 1, 8, 8)
    for fill in (5, 255):
        np.testing.assert_allclose(data.RandomRotate(0, fill=fill)(bytes_), bytes_.astype(np.float32), atol=1e-3)
    assert data.MinMax(np.float64(0), np.float64(2))(x.astype(np.float32)).dtype == np.float32
