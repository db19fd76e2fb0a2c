"""minigrad.viz.filters: the images are the weights and the maps as NumPy cuts them out; the model stays as it is."""

import sys

import numpy as np
import pytest

import minigrad
from minigrad import Tensor, models, nn
from minigrad.viz import filters, style
from minigrad.viz.training import MissingExtra

IMAGE = np.random.default_rng(0).random((12, 12)).astype(np.float32)


@pytest.fixture(autouse=True)
def seeded():
    minigrad.manual_seed(0)


@pytest.fixture
def drawn(monkeypatch):
    """The figure that a function would write."""
    def call(function, *args, **kwargs):
        kept = []
        monkeypatch.setattr(style, "write", lambda figure, path: kept.append(figure))
        function(*args, **kwargs)
        return kept[0]
    return call


def images(figure):
    """(number above, the array, its limits) of each image that has a number."""
    return [(axes.get_title(), np.asarray(axes.images[0].get_array()), axes.images[0].get_clim())
            for axes in figure.axes if axes.images and not axes.get_label().startswith("<colorbar")]


def cnn(**options):
    return models.cnn(1, 12, 3, filters=(4, 5), hidden=9, **options)


# ---- filters ----
def test_kernels_of_the_first_convolution(drawn):
    model = cnn()
    found = images(drawn(filters.first_layer, model, "x.png"))
    weight = model[0].weight.data
    assert [number for number, _, _ in found] == ["0", "1", "2", "3"]
    reach = np.abs(weight).max()
    for k, (_, image, limits) in enumerate(found):
        np.testing.assert_array_equal(image, weight[k, 0])
        assert limits == pytest.approx((-reach, reach))


def test_kernels_of_colour_images(drawn):
    model = nn.Sequential(nn.Conv2d(3, 6, 5))
    found = images(drawn(filters.first_layer, model, "x.png"))
    weight = model[0].weight.data
    assert len(found) == 6
    for k, (_, image, _) in enumerate(found):
        np.testing.assert_allclose(image, np.moveaxis(weight[k], 0, 2) / (2 * np.abs(weight).max()) + 0.5, atol=1e-6)
        assert image.shape == (5, 5, 3) and 0 <= image.min() and image.max() <= 1


def test_kernels_of_more_channels_are_side_by_side(drawn, monkeypatch):
    model = cnn()
    figure = drawn(filters.first_layer, model, "x.png", layer="3")
    found = images(figure)
    assert len(found) == 5 * 4
    for i, (_, image, _) in enumerate(found):
        np.testing.assert_array_equal(image, model[3].weight.data[i // 4, i % 4])
    monkeypatch.setattr(filters, "ROWS", 3)
    monkeypatch.setattr(filters, "CHANNELS", 2)
    wide = drawn(filters.first_layer, nn.Conv2d(4, 5, 3), "x.png")
    assert len(images(wide)) == 3 * 2
    assert "3 of 5" in wide.get_suptitle() and "2 of 4 channels" in wide.get_suptitle()


def test_units_of_a_dense_layer_the_largest_first(drawn):
    model = models.mlp(36, (5,), 3)
    model[1].weight.data *= np.array([1, 5, 2, 4, 3], np.float32) / np.linalg.norm(model[1].weight.data, axis=0)
    found = images(drawn(filters.first_layer, model, "x.png"))
    assert [number for number, _, _ in found] == ["1", "3", "4", "2", "0"]
    np.testing.assert_array_equal(found[0][1], model[1].weight.data[:, 1].reshape(6, 6))
    some = drawn(filters.first_layer, model, "x.png", count=2)
    assert [number for number, _, _ in images(some)] == ["1", "3"]
    assert "2 of 5, the largest first" in some.get_suptitle()


@pytest.mark.parametrize(("features", "shape", "expected"), [
    (36, None, (6, 6)), (48, None, (4, 4, 3)), (12, (3, 4), (3, 4)), (12, (1, 4, 3), (4, 3)),
    (24, (3, 2, 4), (2, 4, 3))])
def test_shapes_of_a_dense_layer(drawn, features, shape, expected):
    found = images(drawn(filters.first_layer, nn.Dense(features, 2), "x.png", shape=shape))
    assert found[0][1].shape == expected


@pytest.mark.parametrize("image", [IMAGE, 255 * IMAGE, IMAGE - 0.5])
def test_colour_images_are_shown_from_the_least_to_the_greatest(drawn, image):
    image = np.stack([image, image.T, 1 - image])
    figure = drawn(filters.feature_maps, nn.Sequential(nn.Conv2d(3, 2, 3)), image, "x.png")
    shown, low, high = images(figure)[0][1], image.min(), image.max()
    low, high = (low, high) if low < 0 or high > 1 else (0, 1)
    np.testing.assert_allclose(shown, (np.moveaxis(image, 0, -1) - low) / (high - low), atol=1e-6)


def test_weights_that_are_computed(drawn):
    layer = nn.weight_norm(nn.Conv2d(1, 2, 3))
    figure = drawn(filters.first_layer, layer, "x.png")
    np.testing.assert_allclose(images(figure)[1][1], layer.weight.data[1, 0])
    assert figure.get_suptitle().startswith("the model (Conv2d)")


# ---- feature maps ----
def test_maps_are_what_the_layers_put_out(drawn):
    model = cnn(batch_norm=True, dropout=0.5)
    model.train()
    figure = drawn(filters.feature_maps, model, IMAGE, "x.png", channels=3)
    labels = [axes.get_ylabel() for axes in figure.axes if axes.get_ylabel()]
    names = ["0  Conv2d\n4×12×12", "1  BatchNorm2d\n4×12×12", "2  ReLU\n4×12×12", "3  MaxPool2d\n4×6×6",
             "4  Conv2d\n5×6×6", "5  BatchNorm2d\n5×6×6", "6  ReLU\n5×6×6", "7  MaxPool2d\n5×3×3"]
    assert labels == ["input\n1×12×12", *names]
    found = images(figure)
    assert len(found) == 1 + 3 * 8
    np.testing.assert_array_equal(found[0][1], IMAGE)
    assert all(m.training for m in model.modules())
    model.eval()
    x = Tensor(IMAGE[None, None])
    for i in range(8):
        x = model[i](x)
        for c in range(3):
            _, image, (low, high) = found[1 + 3 * i + c]
            np.testing.assert_array_equal(image, x.data[0, c])
            reach = np.abs(x.data[0, :3]).max()
            assert (low, high) == pytest.approx((-reach if x.data.min() < 0 else 0, reach))


def test_the_model_stays_as_it_is(drawn):
    model = cnn(batch_norm=True, dropout=0.5)
    model[1].training = False
    before = {name: value.copy() for name, value in model.state_dict().items()}
    modes, chance = [m.training for m in model.modules()], minigrad.default_generator().bit_generator.state
    drawn(filters.feature_maps, model, Tensor(IMAGE[None]), "x.png", channels=2)
    assert [m.training for m in model.modules()] == modes
    assert minigrad.default_generator().bit_generator.state == chance
    assert not any(m._post_hooks for m in model.modules())
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    with pytest.raises(ValueError, match=r"channels"):
        filters.feature_maps(model, np.zeros((2, 12, 12)), "x.png")  # the model takes one
    assert [m.training for m in model.modules()] == modes and not any(m._post_hooks for m in model.modules())


def test_maps_of_chosen_layers(drawn):
    labels = [axes.get_ylabel() for axes in drawn(filters.feature_maps, cnn(), IMAGE, "x.png", layers=["2", "3"]).axes]
    assert [label.split()[0] for label in labels if label] == ["input", "2", "3"]


# ---- files, and what is refused ----
@pytest.mark.parametrize("dark", [False, True])
def test_pictures_are_written(tmp_path, dark):
    for suffix, start in ((".png", b"\x89PNG"), (".pdf", b"%PDF") if dark else (".svg", b"<?xml")):
        path = tmp_path / f"maps{suffix}"
        assert filters.feature_maps(cnn(), IMAGE, path, dark, channels=2, layers=["0", "1"]) == path
        assert path.read_bytes().startswith(start)
        path.unlink()
        assert filters.first_layer(cnn(), path, dark) == path and path.read_bytes().startswith(start)


@pytest.mark.parametrize(("make", "message"), [
    (lambda: filters.first_layer(nn.Sequential(nn.ReLU()), "x.png"), r"Sequential has no Conv2d or Dense layer.*ReLU"),
    (lambda: filters.first_layer(nn.Dense(10, 3), "x.png"), r"10 inputs are no square image of one channel or three"),
    (lambda: filters.first_layer(nn.Dense(36, 3), "x.png", shape=(5, 7)), r"of 36 numbers, not \(5, 7\)"),
    (lambda: filters.first_layer(nn.Dense(36, 3), "x.png", shape=(2, 3, 6)), r"\(3, H, W\) of 36 numbers"),
    (lambda: filters.first_layer(nn.Sequential(nn.Dense(3)), "x.png"), r"0 \(Dense\) takes its size from its first"),
    (lambda: filters.first_layer(cnn(), "x.png", layer="1"), r"1 is a ReLU, not a Conv2d or Dense layer"),
    (lambda: filters.first_layer(cnn(), "x.png", layer="conv"), r"no layer 'conv', there are 0, 1"),
    (lambda: filters.first_layer(cnn(), "x.png", count=0), r"count must be at least 1, got 0"),
    (lambda: filters.first_layer(cnn(), "x.txt"), r"\.png, \.svg or \.pdf"),
    (lambda: filters.feature_maps(cnn(), np.zeros(144), "x.png"), r"one image is .*got \(144,\)"),
    (lambda: filters.feature_maps(cnn(), np.zeros((2, 1, 12, 12)), "x.png"), r"got \(2, 1, 12, 12\)"),
    (lambda: filters.feature_maps(cnn(), IMAGE, "x.png", channels=0), r"channels must be at least 1, got 0"),
    (lambda: filters.feature_maps(cnn(), IMAGE, "x.png", layers=["conv"]), r"no layer conv, there are 0, 1"),
    (lambda: filters.feature_maps(models.mlp(144, (5,), 3), IMAGE, "x.png"), r"no layer puts out maps.*Flatten, Dense"),
])
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtra, match=r"minigrad\[plot\]"):
        filters.first_layer(cnn(), "x.png")
