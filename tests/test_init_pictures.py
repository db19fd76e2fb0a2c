"""minigrad.viz.activations: what its pictures of first weights and vanishing gradients show."""

from __future__ import annotations

import math

import numpy as np
import pytest
from nightly import part

import minigrad.functional as F
from minigrad import Parameter, Tensor
from minigrad.nn import init
from minigrad.viz import activations

SMALL = {"depth": 4, "width": 24, "samples": 16}


def sizes(arrays):
    return np.array([np.sqrt((a * a).mean()) for a in arrays])


def test_layers_by_hand():
    weights = []

    def fill(w, generator):
        weights.append(init.normal_(w, 0, 0.3, generator))
        return w
    run = activations.layers(fill, "tanh", 3, 6, 5, seed=2, name="mine")
    assert (run.name, run.activation) == ("mine", "tanh")
    chance = np.random.default_rng(2)
    x, target = chance.standard_normal((5, 6)), chance.integers(0, 10, 5)
    expected = [init.normal_(Parameter(np.empty((6, 6))), 0, 0.3, chance) for _ in range(3)]
    head = init.lecun_normal_(Parameter(np.empty((6, 10))), generator=chance).data
    h = x
    for w, mine, output in zip(expected, weights, run.outputs):
        np.testing.assert_array_equal(w.data, mine.data)
        h = np.tanh(h @ w.data)
        np.testing.assert_allclose(output, h, rtol=1e-12)
    p = np.exp(h @ head)
    signal = (p / p.sum(axis=1, keepdims=True) - np.eye(10)[target]) / 5 @ head.T
    for k in (2, 1, 0):
        np.testing.assert_allclose(run.signals[k], signal, rtol=1e-10)
        delta = signal * (1 - run.outputs[k] ** 2)
        np.testing.assert_allclose(run.gradients[k], (run.outputs[k - 1] if k else x).T @ delta, rtol=1e-10, atol=1e-16)
        signal = delta @ expected[k].data.T


def test_what_the_pictures_claim():
    """Zeros: nothing; too small: the signal dies both ways; too large: tanh saturates, ReLU explodes; He keeps it."""
    tanh = {run.name: run for run in activations.signals("tanh")}
    relu = {run.name: run for run in activations.signals("relu")}
    for runs in (tanh, relu):
        assert not any(a.any() for a in (*runs["zeros"].outputs, *runs["zeros"].gradients, *runs["zeros"].signals[:-1]))
        small = runs["normal 0.01"]
        assert sizes(small.outputs)[-1] < 1e-6 * sizes(small.outputs)[0]
        assert sizes(small.signals)[0] < 1e-6 * sizes(small.signals)[-1]
    assert (np.abs(tanh["normal 1"].outputs[-1]) > 0.99).mean() > 0.85
    assert sizes(relu["normal 1"].outputs)[-1] > 1e8 * sizes(relu["normal 1"].outputs)[0]
    for run in (tanh["Xavier"], tanh["LeCun"], tanh["orthogonal"], relu["He"]):
        assert 0.2 < sizes(run.outputs)[-1] / sizes(run.outputs)[0] < 2
        assert 0.2 < sizes(run.gradients)[0] / sizes(run.gradients)[-1] < 5
    assert sizes(relu["Xavier"].outputs)[-1] < 0.1 * sizes(relu["Xavier"].outputs)[0], "half of the variance a layer"


def test_the_gradient_of_sigmoids_vanishes_by_a_quarter_a_layer():
    def fall(activation, fill):
        norms = [np.linalg.norm(g) for g in activations.layers(fill, activation, 12).gradients]
        return (norms[1] / norms[-1]) ** (1 / 10)  # the first layer's input is of another size
    assert 0.2 < fall("sigmoid", init.xavier_normal_) < 0.26
    assert 0.85 < fall("tanh", init.xavier_normal_) < 1.15
    assert 0.8 < fall("relu", init.he_normal_) < 1.2


def test_deep_sigmoids_stay_on_the_plateau():
    losses = {name: activations.plateau(name, steps=200) for name in ("sigmoid", "tanh")}
    assert len(losses["tanh"]) == 200
    assert abs(losses["sigmoid"][-1] - math.log(2)) < 2e-3
    assert losses["tanh"][-1] < 0.4


@pytest.mark.parametrize(("name", "dark"), part([("tanh", False), ("tanh", True), ("relu", True), ("relu", False)], 2))
def test_histograms_are_drawn(tmp_path, name, dark):
    pytest.importorskip("matplotlib")
    path = tmp_path / "deep" / "init.png"
    assert activations.histograms(path, name, dark=dark, **SMALL) == path
    assert path.read_bytes().startswith(b"\x89PNG")


def test_histograms_of_own_initializers_and_some_rows(tmp_path):
    pytest.importorskip("matplotlib")
    mine = {"half": lambda w, generator=None: init.uniform_(w, -0.5, 0.5, generator), "none": lambda w, generator=None:
            init.zeros_(w)}
    path = activations.histograms(tmp_path / "mine.svg", "gelu", mine, rows=["gradients"], **SMALL)
    text = path.read_text(encoding="utf-8")
    assert "<svg" in text


def test_overflow_is_drawn_too(tmp_path):
    pytest.importorskip("matplotlib")
    huge = {"huge": lambda w, generator=None: init.constant_(w, 1e200)}
    assert activations.histograms(tmp_path / "huge.png", "relu", huge, **SMALL).exists()


def test_vanishing_is_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    for dark in (False, True):
        path = activations.vanishing(tmp_path / "vanishing.png", depth=3, steps=3, dark=dark, width=8, samples=8)
        assert path.read_bytes().startswith(b"\x89PNG")


def test_drawing_leaves_the_default_generator_alone(tmp_path):
    from minigrad.random import default_generator
    before = default_generator().bit_generator.state
    activations.signals(**SMALL)
    activations.plateau(steps=2)
    assert default_generator().bit_generator.state == before


@pytest.mark.parametrize(("call", "message"), [
    (lambda: activations.layers("Xaver"), r"no initializer 'Xaver' here; there are zeros, .*Xavier"),
    (lambda: activations.layers("Xavier", "softmax"), r"no activation 'softmax' here; there are tanh"),
    (lambda: activations.layers("Xavier", depth=0), "must be positive, got 0, 256 and 256"),
    (lambda: activations.histograms("x.png", rows=["inputs"]), r"rows are some of outputs, signals, gradients"),
])
def test_what_does_not_fit_is_said(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_zero_weights_keep_units_equal():
    """Why zeros are no start even where something comes through: with a constant, all units of a layer stay equal."""
    w = Parameter(np.full((3, 4), 0.5))
    head = init.normal_(Parameter(np.empty((4, 2))), generator=np.random.default_rng(0))
    head.data = np.broadcast_to(head.data[:1], (4, 2)).copy()
    x = Tensor(np.random.default_rng(1).standard_normal((5, 3)))
    F.cross_entropy(F.tanh(x @ w) @ head, np.array([0, 1, 1, 0, 1])).backward()
    assert np.abs(w.grad.data).min() > 0
    np.testing.assert_allclose(w.grad.data, w.grad.data[:, :1] * np.ones((1, 4)), rtol=1e-12)
