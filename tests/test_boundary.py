"""viz.boundary: boundaries lie where they are known to, every kind of scores, frames over training, and refusals."""

from __future__ import annotations

import copy
import sys

import numpy as np
import pytest

from minigrad import Tensor, data, default_generator, manual_seed, nn, optim, train, viz
from minigrad import functional as F
from minigrad.viz import boundary

pytest.importorskip("matplotlib")
SQUARE = ((-2.0, 2.0), (-2.0, 2.0))
X = np.array([[-1.0, -1], [-1, 1], [1, -1], [1, 1]])


def linear(weight, bias):
    """A Dense layer with these weights, (2, classes)."""
    layer = nn.Dense(2, len(bias))
    layer.weight.data, layer.bias.data = np.array(weight, np.float32), np.array(bias, np.float32)
    return layer


def lines(axes):
    """The vertices of the decision lines that were drawn, (M, 2)."""
    solid = [c for c in axes.collections if getattr(c, "levels", None) is not None and list(c.levels) == [0]]
    return np.concatenate([p.vertices for c in solid for p in c.get_paths()])


# ---- where the boundary is ----
def test_the_line_of_a_linear_classifier(drawn):
    boundary.draw(linear([[2.0], [1.0]], [-0.5]), X, [0, 0, 1, 1], "a.png", window=SQUARE)
    at = lines(drawn[0].axes[0])
    np.testing.assert_allclose(2 * at[:, 0] + at[:, 1], 0.5, atol=1e-5)
    assert np.ptp(at[:, 1]) > 3.9


def test_two_logits_and_one_are_the_same():
    one = boundary.field(linear([[2.0], [1.0]], [-0.5]), SQUARE, 21)
    two = boundary.field(linear([[1.0, 3.0], [0, 1.0]], [0.25, -0.25]), SQUARE, 21)
    np.testing.assert_allclose(one.probabilities, two.probabilities, atol=1e-6)
    x, y = np.meshgrid(one.x, one.y)
    np.testing.assert_allclose(one.probabilities[..., 1], 1 / (1 + np.exp(-(2 * x + y - 0.5))), atol=1e-6)


def test_the_lines_of_three_classes(drawn):
    """Scores x, -x and y: they change places at x = 0 for y < 0, and at y = |x|."""
    boundary.draw(linear([[1.0, -1, 0], [0, 0, 1]], [0, 0, 0]), X, [1, 1, 0, 0], "a.png", window=SQUARE, points=401)
    x, y = lines(drawn[0].axes[0]).T
    assert np.minimum(np.where(y <= 0.02, np.abs(x), 9), np.abs(y - np.abs(x))).max() < 0.01
    assert (y > 1.9).any() and (y < -1.9).any()


def test_regions_have_the_colours_of_their_classes(drawn):
    from matplotlib.colors import to_rgb

    from minigrad.viz.style import LIGHT
    boundary.draw(linear([[50.0], [0.0]], [0.0]), X, [0, 0, 1, 1], "a.png", window=SQUARE, points=4)
    colours = drawn[0].axes[0].collections[0].get_array()
    for column, i in ((0, 0), (3, 1)):
        np.testing.assert_allclose(colours[0, column], 0.54 + 0.46 * np.array(to_rgb(LIGHT.colours[i])), atol=1e-3)


def test_what_is_misclassified_is_ringed_and_counted(drawn, said):
    boundary.draw(linear([[3.0], [0.0]], [0.0]), X, [0, 1, 1, 1], "a.png", validation=(X + 0.1, [0, 0, 1, 0]))
    text = said(drawn[0])
    assert "training: 3 of 4 right (75.0%)" in text and "validation: 3 of 4 right (75.0%)" in text
    rings = [line for line in drawn[0].axes[0].lines if line.get_markersize() == 11 and len(line.get_xdata())]
    np.testing.assert_allclose([r.get_xydata() for r in rings], [[[-1, 1]], [[1.1, 1.1]]])
    for name in ("class 0", "class 1", "hollow: validation", "misclassified", "90% sure"):
        assert name in text


def test_points_have_the_looks_of_their_classes(drawn):
    from minigrad.viz.style import LIGHT
    boundary.draw(linear([[1.0], [0.0]], [0.0]), X, [0, 1, 1, 1], "a.png", validation=(X[:2] * 0.5, [1, 0]))
    filled, hollow = ({line.get_markeredgecolor(): line.get_xydata().tolist() for line in drawn[0].axes[0].lines
                       if line.get_markersize() == 5.5 and (line.get_markerfacecolor() == LIGHT.paper) == is_hollow
                       and len(line.get_xdata())} for is_hollow in (False, True))
    assert [*filled.values()] == [X[1:].tolist()]  # the last of those with an edge of paper
    assert hollow == {LIGHT.colours[1]: [[-0.5, -0.5]], LIGHT.colours[0]: [[-0.5, 0.5]]}


def test_classes_have_markers_of_their_own(drawn):
    points = np.random.default_rng(0).standard_normal((9, 2))
    boundary.draw(lambda p: np.zeros(len(p), int), points, np.arange(9), "a.png")
    looks = {(line.get_marker(), line.get_markerfacecolor()) for line in drawn[0].axes[0].lines
             if line.get_label().startswith("class")}
    assert len(looks) == 9


# ---- what a model gives ----
@pytest.mark.parametrize(("scores", "output", "expected"), [
    (lambda p: p[:, 0], "auto", lambda x, y: 1 / (1 + np.exp(-x))),
    (lambda p: Tensor(p[:, :1]), "logits", lambda x, y: 1 / (1 + np.exp(-x))),
    (lambda p: (p[:, 0] > 0) * 0.75, "probabilities", lambda x, y: (x > 0) * 0.75),
    (lambda p: np.stack([p[:, 0] > 1, p[:, 0] <= 1], 1) * 1.0, "probabilities", lambda x, y: (x <= 1) * 1.0),
    (lambda p: (p[:, 1] > 0).astype(int), "auto", lambda x, y: y > 0),
    (lambda p: np.sign(p[:, 1]), "labels", lambda x, y: y > 0),
    (lambda p: p[:, 1] > 0, "auto", lambda x, y: y > 0)])
def test_kinds_of_scores(scores, output, expected):
    found = boundary.field(scores, SQUARE, 20, output)
    np.testing.assert_allclose(found.probabilities[..., 1], expected(*np.meshgrid(found.x, found.y)), atol=1e-6)
    np.testing.assert_allclose(found.probabilities.sum(axis=-1), 1, atol=1e-6)


def test_infinite_scores_are_very_sure():
    found = boundary.field(lambda p: np.where(p[:, 0] > 0, np.inf, -np.inf), np.array(SQUARE), 4)
    np.testing.assert_array_equal(found.probabilities[..., 1], np.tile([0, 0, 1, 1], (4, 1)))


def test_scores_that_are_no_numbers_are_never_right(drawn, said):
    boundary.draw(lambda p: np.where(p[:, 0] > 0, np.nan, -1.0), X, [0, 0, 0, 0], "a.png", points=9)
    assert "2 of 4 right" in said(drawn[0])


def test_a_single_point_has_room(drawn):
    for points, low, high in (([[1.0, 2.0]], (0.88, 1.88), (1.12, 2.12)),
                              ([[0.0, 3.0], [10.0, 3.0]], (-1.2, 1.8), (11.2, 4.2))):
        boundary.draw(lambda p: p[:, 0], points, [0] * len(points), "a.png", points=5)
        axes = drawn[-1].axes[0]
        np.testing.assert_allclose([axes.get_xlim(), axes.get_ylim()], np.transpose([low, high]))


def test_a_window_may_be_an_array(drawn):
    boundary.draw(linear([[1.0], [0.0]], [0.0]), X, [0, 0, 1, 1], "a.png", window=np.array(SQUARE), points=5)
    recorder = boundary.Recorder(X, [0, 0, 1, 1], points=3, window=np.array(SQUARE))
    recorder.record(linear([[1.0], [0.0]], [0.0]))
    assert drawn[0].axes[0].get_xlim() == (-2, 2) and recorder.frames[0][1].x.tolist() == [-2, 0, 2]


def test_many_points_go_through_in_parts():
    sizes = []
    boundary.field(lambda p: sizes.append(len(p)) or p[:, 0], SQUARE, 200)
    assert sum(sizes) == 200 ** 2 and max(sizes) <= boundary.BATCH


def test_regressions(drawn, said):
    found = boundary.field(lambda p: p[:, :1] * p[:, 1:], SQUARE, 11, "values")
    x, y = np.meshgrid(found.x, found.y)
    np.testing.assert_allclose(found.values, x * y, atol=1e-12)
    boundary.draw(lambda p: p[:, 0], X, X[:, 0] + 0.5, "a.png", output="values", validation=(X, X[:, 0]))
    assert "training: mean squared error 0.25" in said(drawn[0]) and "validation" in said(drawn[0])


@pytest.mark.parametrize("y", [[0, 0, 1, 1], [[0], [0], [1], [1]], [-1, -1, 1, 1], [False, False, True, True],
                               [0.0, 0.0, 1.0, 1.0], np.eye(2)[[0, 0, 1, 1]], Tensor([0, 0, 1, 1])])
def test_kinds_of_labels(y, drawn, said):
    boundary.draw(linear([[1.0], [0.0]], [0.0]), Tensor(X), y, "a.png")
    assert "4 of 4 right" in said(drawn[0])


def test_modes_buffers_and_chance_are_left():
    model = nn.Sequential(nn.Dense(2, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Dense(8, 2))
    model[2].eval()
    state, modes = copy.deepcopy(model.state_dict()), [m.training for m in model.modules()]
    chance = default_generator().bit_generator.state
    first = boundary.field(model, SQUARE, 5)
    frozen = copy.deepcopy(model).eval()
    plain = boundary.field(lambda p: frozen(Tensor(p.astype(np.float32))), SQUARE, 5)
    np.testing.assert_allclose(first.probabilities, plain.probabilities)
    model[1].forward = None
    with pytest.raises(TypeError):
        boundary.field(model, SQUARE, 5)
    assert [m.training for m in model.modules()] == modes and default_generator().bit_generator.state == chance
    assert all(np.array_equal(state[k], v) for k, v in model.state_dict().items())


# ---- over training ----
def trained(epochs, **options):
    manual_seed(0)
    moons = data.moons(60, seed=0)
    recorder = boundary.Recorder(moons.x, moons.y, points=9, **options)
    model = nn.Sequential(nn.Dense(2, 8), nn.Tanh(), nn.Dense(8, 2))
    history = train.fit(model, moons, optim.Adam(model.parameters(), 0.05), epochs=epochs, progress=False,
                        validation=moons, callbacks=[recorder])
    return recorder, model, history


def test_a_recorder_is_a_callback():
    recorder, model, history = trained(5)
    assert recorder.unit == "epoch" and [step for step, _, _ in recorder.frames] == [0, 1, 2, 3, 4, 5]
    assert [loss for _, loss in recorder.losses] == history["loss"] and recorder.losses[0][0] == 1
    assert [loss for _, loss in recorder.val_losses] == history["val_loss"]
    last = boundary.field(model, recorder.window, 9)
    np.testing.assert_allclose(recorder.frames[-1][1].probabilities, last.probabilities, atol=1e-6)
    assert not np.allclose(recorder.frames[0][1].probabilities, last.probabilities, atol=0.1)


def test_a_resumed_recorder_knows_the_epoch():
    recorder = boundary.Recorder(X, [0, 0, 1, 1], points=3)
    history = train.History([train.Epoch(i, 0.5, None, None, None, 0.1, 1.0, 1.0) for i in (1, 2, 3)])
    recorder(linear([[1.0], [0.0]], [0.0]), history)
    assert [step for step, _, _ in recorder.frames] == [3] and recorder.losses == [(3, 0.5)]


def test_frames_are_thinned_and_keep_their_ends():
    recorder = boundary.Recorder(X, [0, 0, 1, 1], points=3, most=4)
    for i in range(30):
        recorder.record(linear([[i], [0.0]], [0.0]), i / 2)
    steps = [step for step, _, _ in recorder.frames]
    assert len(steps) <= 5 and steps[0] == 0 and steps[-1] == 29 and len(recorder.losses) == 30


def test_frames_and_animation(tmp_path):
    image = pytest.importorskip("PIL.Image")
    recorder = trained(3)[0]
    for dark in (False, True):
        boundary.frames(recorder, tmp_path / f"frames{dark}.png", dark, "moons", count=3)
        path = boundary.animation(recorder, tmp_path / f"moons{dark}.gif", dark)
        with image.open(path) as gif:
            assert gif.n_frames == 4 and gif.size[0] > gif.size[1]
            gif.seek(0)
            first = np.asarray(gif.convert("RGB")).astype(int)
            gif.seek(3)
            assert np.abs(np.asarray(gif.convert("RGB")) - first).max() > 50
    assert len([*tmp_path.iterdir()]) == 4


def test_captions(drawn, said):
    recorder, _, history = trained(4)
    boundary.frames(recorder, "a.png", count=2)
    text = said(drawn[0])
    assert "epoch 0, " in text and f"epoch 4, loss {history[-1].loss:.3g}, " in text and "epoch 2" not in text


def test_files_are_written(tmp_path):
    moons = data.moons(40, seed=0)
    for dark in (False, True):
        for suffix in ("png", "svg", "pdf"):
            path = tmp_path / f"{dark}.{suffix}"
            assert boundary.draw(linear([[1.0], [0.0]], [0.0]), moons.x, moons.y, path, dark, points=20) == path
            assert path.stat().st_size > 1000
    before = (tmp_path / "False.svg").read_text(encoding="utf-8")
    boundary.draw(lambda p: F.relu(Tensor(p[:, 0])), moons.x, moons.y, tmp_path / "False.svg", classes=["<a>", "b"],
                  points=20)
    after = (tmp_path / "False.svg").read_text(encoding="utf-8")
    assert after != before


# ---- what is refused ----
def test_refused(tmp_path):
    model, y = linear([[1.0], [0.0]], [0.0]), [0, 0, 1, 1]

    def draw(x=X, y=y, model=model, **options):
        return lambda: boundary.draw(model, x, y, tmp_path / "a.png", points=5, **options)
    cases = [
        (ValueError, r"x must be points \(N, 2\), got shape \(4, 3\)", draw(np.ones((4, 3)))),
        (ValueError, r"x must be points \(N, 2\), got shape \(4, 2, 1\)", draw(X[:, :, None])),
        (ValueError, r"x must be points \(N, 2\), got shape \(0, 2\)", draw(X[:0], [])),
        (ValueError, r"x must be finite real numbers", draw(X * np.nan)),
        (ValueError, r"x must be finite real numbers, got complex128", draw(X + 1j)),
        (ValueError, r"class labels 0, 1, ..., below 100, got int", draw(y=[0, 10 ** 6, 1, 1])),
        (ValueError, r"scores must be real numbers .*got complex128", draw(model=lambda p: p[:, 0] + 1j)),
        (ValueError, r"labels must be whole numbers .*below 100.* to 1000000", draw(
            model=lambda p: np.full(len(p), 10 ** 6))),
        (ValueError, r"one label for each of 4 points, got shape \(3,\)", draw(y=[0, 1, 1])),
        (ValueError, r"class labels 0, 1, .*for a regression", draw(y=[0.5, 1, 1, 0])),
        (ValueError, r"-1 and 1, got \[-1, 0, 1\]", draw(y=[-1, 0, 1, 1])),
        (ValueError, r"validation must be a pair", draw(validation=3)),
        (ValueError, r"validation's x must be points", draw(validation=(np.ones((2, 3)), [0, 1]))),
        (ValueError, r"output is one of auto, logits", draw(output="softmax")),
        (ValueError, r"2 names are wanted, got 1", draw(classes=["a"])),
        (ValueError, r"probabilities must be from 0 to 1, got -", draw(output="probabilities")),
        (ValueError, r"scores must be real numbers \(N,\), \(N, 1\) or \(N, classes\), got float64 \(25, 2, 1\)",
         draw(model=lambda p: p[:, :, None])),
        (ValueError, r"values must be \(N,\) or \(N, 1\), got \(25, 2\)", draw(model=lambda p: p, output="values")),
        (ValueError, r"labels must be whole numbers", draw(model=lambda p: p[:, 0] + 0.3, output="labels")),
        (ValueError, r"window must be", draw(window=((1, 0), (0, 1)))),
        (ValueError, r"points must be at least 2", lambda: boundary.field(model, SQUARE, 1)),
        (TypeError, r"a model is a Module or a function", draw(model=3)),
        (ValueError, r"in Dense", draw(model=nn.Dense(3, 2))),
        (ValueError, r"every must be at least 1", lambda: boundary.Recorder(X, y, every=0)),
        (ValueError, r"the recorder is empty", lambda: boundary.frames(boundary.Recorder(X, y), tmp_path / "a.png")),
        (ValueError, r"the recorder is empty", lambda: boundary.animation(boundary.Recorder(X, y), tmp_path / "a.gif")),
    ]
    for kind, message, go in cases:
        with pytest.raises(kind, match=message):
            go()
    assert not [*tmp_path.iterdir()]


def test_without_matplotlib_or_pillow(monkeypatch, tmp_path):
    recorder = boundary.Recorder(X, [0, 0, 1, 1], points=3)
    recorder.record(linear([[1.0], [0.0]], [0.0]))
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(viz.MissingExtra, match=r"minigrad\[image\]"):
        boundary.animation(recorder, tmp_path / "a.gif")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(viz.MissingExtra, match=r"minigrad\[plot\]"):
        boundary.frames(recorder, tmp_path / "a.png")
