"""viz.landscape: directions against hand computation, known surfaces and paths, and that nothing is changed."""

from __future__ import annotations

import copy
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from minigrad import Parameter, Tensor, default_generator, manual_seed, nn, optim, train, viz
from minigrad import functional as F
from minigrad.viz import landscape
from minigrad.viz.landscape import Line, Surface

pytest.importorskip("matplotlib")
rng = np.random.default_rng(0)


def bowl(n=4, seed=0):
    """(loss, w, A, b) of w.A w / 2 + b.w."""
    chance = np.random.default_rng(seed)
    a = chance.standard_normal((n, n))
    a, b = a @ a.T, chance.standard_normal(n)
    w = Parameter(chance.standard_normal(n))
    return lambda: (w * (Tensor(a) @ w)).sum() / 2 + (Tensor(b) * w).sum(), w, a, b


def value(a, b, w):
    return w @ a @ w / 2 + b @ w


def classifier():
    """A network with batch norm and dropout, its loss, and where its weights are in a vector."""
    manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Dropout(0.5),
                          nn.Dense(3 * 4 * 4, 5))
    x, y = np.random.default_rng(1).standard_normal((20, 1, 6, 6)).astype(np.float32), np.arange(20) % 5
    return model, lambda: F.cross_entropy(model(Tensor(x)), y)


def parts(model, vector):
    """A vector as {name: array}."""
    ends = np.cumsum([p.size for p in model.parameters()])
    return {name: vector[end - p.size:end].reshape(p.shape) for (name, p), end in zip(model.named_parameters(), ends)}


def walk(points, w=None, name=""):
    """A path through these points."""
    w = Parameter(np.zeros(len(points[0]))) if w is None else w
    path = landscape.Path([w], name)
    for point in points:
        w.data = np.array(point, float)
        path.record()
    return path


# ---- directions ----
def test_filters_are_scaled_to_the_trained_ones():
    model = classifier()[0]
    drawn = parts(model, landscape.random_direction(model, None, seed=3))
    scaled = parts(model, landscape.random_direction(model, "filter", seed=3))
    for o in range(3):  # (out, in, kh, kw): by output channel
        w, d = model[0].weight.data[o].astype(float), drawn["0.weight"][o]
        np.testing.assert_allclose(scaled["0.weight"][o], d * np.sqrt((w ** 2).sum()) / np.sqrt((d ** 2).sum()))
    for o in range(5):  # (in, out): by column
        w, d = model[5].weight.data[:, o].astype(float), drawn["5.weight"][:, o]
        np.testing.assert_allclose(scaled["5.weight"][:, o], d * np.sqrt((w ** 2).sum()) / np.sqrt((d ** 2).sum()))
    for name in ("0.bias", "1.weight", "1.bias", "5.bias"):
        assert not scaled[name].any() and drawn[name].all()


def test_layers_are_scaled_to_the_trained_ones():
    model = classifier()[0]
    drawn = parts(model, landscape.random_direction(model, None, seed=3))
    scaled = parts(model, landscape.random_direction(model, "layer", seed=3))
    w, d = model[5].weight.data.astype(float), drawn["5.weight"]
    np.testing.assert_allclose(scaled["5.weight"], d * np.linalg.norm(w) / np.linalg.norm(d))
    assert not scaled["1.weight"].any()


UNITS = {  # a layer, its weight's name, and the axes of the weight that one unit sums over
    "lstm": (lambda: nn.LSTM(3, 4), "weight_ih_l0", (1,)),
    "gru hidden": (lambda: nn.GRU(3, 4), "weight_hh_l0", (1,)),
    "rnn cell": (lambda: nn.RNNCell(3, 4), "weight_ih", (1,)),
    "embedding": (lambda: nn.Embedding(7, 3), "weight", (1,)),
    "attention": (lambda: nn.MultiheadAttention(4, 2), "in_proj_weight", (1,)),
    "maxout": (lambda: nn.Maxout(3, 4, 2), "weight", (0,)),
    "bilinear": (lambda: nn.Bilinear(3, 4, 5), "weight", (1, 2)),
    "transposed": (lambda: nn.ConvTranspose2d(3, 4, 2), "weight", (0, 2, 3)),
    "local": (lambda: nn.LocallyConnected1d(2, 3, 6, 3), "weight", (1, 2)),
    "einsum": (lambda: nn.EinsumDense("abc,cde->abde", 3, (4, 5)), "weight", (0,)),
}


@pytest.mark.parametrize("name", UNITS)
def test_what_a_filter_is(name):
    make, weight, axes = UNITS[name]
    model = make()
    found = parts(model, landscape.random_direction(model))[weight]
    w = getattr(model, weight).data.astype(float)
    np.testing.assert_allclose((found ** 2).sum(axis=axes), (w ** 2).sum(axis=axes), rtol=1e-6)
    if w.ndim > len(axes):  # and no coarser: each unit's, not their sum's
        other = tuple(i for i in range(w.ndim) if i not in axes)
        assert not np.allclose((found ** 2).sum(axis=other), (w ** 2).sum(axis=other))


def test_groups_of_a_transposed_convolution():
    model = nn.ConvTranspose1d(4, 6, 3, groups=2, bias=False)
    found = landscape.random_direction(model).reshape(2, 2, 3, 3)
    np.testing.assert_allclose((found ** 2).sum((1, 3)), (model.weight.data.reshape(2, 2, 3, 3) ** 2).sum((1, 3)),
                               rtol=1e-6)


def test_layer_norm_of_images_and_frozen_weights_have_no_part():
    model = nn.Sequential(nn.LayerNorm((2, 3)), nn.Flatten(), nn.Dense(6, 2), nn.Dense(2, 2))
    model[2].requires_grad_(False)
    found = landscape.random_direction(model)
    assert found.shape == (6 + 6 + 4 + 2,) and not found[:12].any() and found[12:16].all()


def test_directions_repeat():
    model = classifier()[0]
    assert np.array_equal(landscape.random_direction(model, seed=1), landscape.random_direction(model, seed=1))
    assert not np.array_equal(landscape.random_direction(model, seed=1), landscape.random_direction(model, seed=2))


# ---- surfaces ----
def test_the_surface_of_a_quadratic_is_the_quadratic():
    loss, w, a, b = bowl()
    ds = rng.standard_normal((2, 4))
    found = landscape.surface(loss, [w], ds, points=(5, 7), radius=((-1, 2), (-3, 1)))
    assert found.losses.shape == (7, 5) and found.kind == "given"
    assert np.array_equal(found.x, np.linspace(-1, 2, 5)) and np.array_equal(found.y, np.linspace(-3, 1, 7))
    for j, y in enumerate(found.y):
        for i, x in enumerate(found.x):
            assert found.losses[j, i] == pytest.approx(value(a, b, w.data + x * ds[0] + y * ds[1]), rel=1e-12)


def test_random_surfaces():
    model, loss = classifier()
    model.eval()
    found = landscape.surface(loss, model, points=3, radius=0.5, seed=4)
    assert found.kind == "random" and found.normalize == "filter"
    assert found.losses[1, 1] == pytest.approx(loss().item(), rel=1e-6)
    moved = copy.deepcopy(model)
    for name, d in parts(model, found.directions[0]).items():
        p = dict(moved.named_parameters())[name]
        p.data = p.data + (0.5 * d).astype(np.float32)
    state, here = model.state_dict(), found.losses[1, 2]
    model.load_state_dict(moved.state_dict())
    assert here == pytest.approx(loss().item(), rel=1e-5)
    model.load_state_dict(state)
    assert not np.allclose(*found.directions)
    assert np.array_equal(found.losses, landscape.surface(loss, model, points=3, radius=0.5, seed=4).losses)


def test_lines():
    loss, w, a, b = bowl()
    d = rng.standard_normal(4)
    found = landscape.line(loss, [w], d, points=9, radius=(-1, 3))
    np.testing.assert_allclose(found.losses, [value(a, b, w.data + x * d) for x in np.linspace(-1, 3, 9)])
    model, loss = classifier()
    model.eval()
    assert landscape.line(loss, model, points=3).losses[1] == pytest.approx(loss().item(), rel=1e-6)
    listed = [np.ones(p.shape) for p in model.parameters()]
    assert np.array_equal(landscape.line(loss, model, listed, points=2).direction,
                          np.ones(sum(p.size for p in model.parameters())))


def test_interpolation_from_one_to_another():
    loss, w, a, b = bowl()
    start, end = w.data.copy(), rng.standard_normal(4)
    found = landscape.interpolate(loss, [w], end, points=7, beyond=0.5)
    np.testing.assert_allclose(found.x, np.linspace(-0.5, 1.5, 7))
    np.testing.assert_allclose(found.losses, [value(a, b, start + x * (end - start)) for x in found.x])


def test_interpolation_of_models_takes_their_buffers_along():
    model, loss = classifier()
    first = copy.deepcopy(model)
    train.fit(model, (np.ones((20, 1, 6, 6), np.float32) * np.arange(20).reshape(-1, 1, 1, 1) / 9, np.arange(20) % 5),
              optim.SGD(model.parameters(), 0.1), epochs=2, progress=False)
    model.eval()
    there = loss().item()
    last = model.state_dict()
    model.load_state_dict(first.state_dict())
    here = loss().item()
    for end in (last, SimpleNamespace):
        if end is SimpleNamespace:
            end = copy.deepcopy(model)
            end.load_state_dict(last)
        found = landscape.interpolate(loss, model, end, start=first, points=5, beyond=0.0)
        assert found.losses[0] == pytest.approx(here, rel=1e-5) and found.losses[-1] == pytest.approx(there, rel=1e-5)
    assert abs(there - here) > 1e-3


def test_dropout_is_the_same_at_every_point():
    model, loss = classifier()
    model[1].eval()
    d = np.zeros(sum(p.size for p in model.parameters()))
    d[0] = 1e-30  # nowhere to go: what differs would be chance
    found = landscape.line(loss, model, d, points=6)
    assert np.ptp(found.losses) == 0


# ---- nothing is changed ----
def everything(model):
    return [[(p.data, p.data.copy(), p.grad) for p in model.parameters()], [b.copy() for b in model.buffers()],
            [m.training for m in model.modules()], copy.deepcopy(default_generator().bit_generator.state)]


def same(model, before):
    arrays, buffers, modes, chance = before
    for p, (array, values, grad) in zip(model.parameters(), arrays):
        assert p.data is array and np.array_equal(array, values) and p.grad is grad
    assert all(map(np.array_equal, model.buffers(), buffers))
    assert [m.training for m in model.modules()] == modes and default_generator().bit_generator.state == chance


@pytest.mark.parametrize("what", ["surface", "line", "interpolate", "pca"])
@pytest.mark.parametrize("fails", [False, True])
def test_nothing_is_changed(what, fails):
    model, loss = classifier()
    loss().backward()
    calls = []

    def sometimes():
        calls.append(0)
        model[0].eval()
        if fails and len(calls) == 4:
            raise KeyboardInterrupt
        return loss()
    path = landscape.Path(model)
    state = model.state_dict()
    for i in range(4):
        model[0].weight.data = model[0].weight.data + rng.standard_normal((3, 1, 3, 3)).astype(np.float32)
        model[1].running_mean[...] = i
        path.record()
    model.load_state_dict(state)
    before = everything(model)
    go = {"surface": lambda: landscape.surface(sometimes, model, points=3),
          "line": lambda: landscape.line(sometimes, model, points=5),
          "interpolate": lambda: landscape.interpolate(sometimes, model, copy.deepcopy(model), points=5),
          "pca": lambda: landscape.surface(sometimes, model, points=3, paths=path)}[what]
    if fails:
        with pytest.raises(KeyboardInterrupt):
            go()
    else:
        go()
    assert len(calls) >= 4
    same(model, before)


# ---- paths ----
def test_pca_of_one_path_is_that_of_the_paper():
    points = rng.standard_normal((9, 6)).cumsum(axis=0)
    found = landscape.principal(walk(points))
    _, s, vt = np.linalg.svd(points - points[-1])
    assert np.array_equal(found.centre, points[-1])
    np.testing.assert_allclose(np.abs(found.directions @ vt[:2].T), np.eye(2), atol=1e-9)
    np.testing.assert_allclose(found.explained, (s ** 2 / (s ** 2).sum())[:2], rtol=1e-9)


def test_a_random_walk_looks_simple_too():
    points = np.random.default_rng(0).standard_normal((100, 20000)).cumsum(axis=0)
    found = landscape.principal(walk(points))
    np.testing.assert_allclose(found.explained, [8 / np.pi ** 2, 8 / (9 * np.pi ** 2)], atol=0.01)


def test_pca_of_several_paths_from_one_start():
    start = rng.standard_normal(6)
    several = [start + np.vstack([np.zeros(6), rng.standard_normal((n, 6))]) for n in (3, 11)]
    found = landscape.principal([walk(points) for points in several])
    rows = np.concatenate([(p - start) / np.sqrt(len(p)) for p in several])
    s, vt = np.linalg.svd(rows)[1:]
    assert np.array_equal(found.centre, start)
    np.testing.assert_allclose(np.abs(found.directions @ vt[:2].T), np.eye(2), atol=1e-9)
    np.testing.assert_allclose(found.explained, (s ** 2 / (s ** 2).sum())[:2], rtol=1e-9)


def test_a_path_in_a_plane_is_wholly_in_its_plane():
    loss, w, a, b = bowl(5)
    plane, flat = np.linalg.qr(rng.standard_normal((5, 2)))[0].T, rng.standard_normal((8, 2))
    points = w.data + flat @ plane
    path = walk(points, name="flat")
    found = landscape.surface(loss, [w], paths=path, points=5)
    trail, = found.trails
    assert found.kind == "pca" and sum(found.explained) == pytest.approx(1)
    assert trail.shown == pytest.approx(1) and np.abs(trail.distance).max() < 1e-9
    np.testing.assert_allclose(trail.plane, [value(a, b, p) for p in points], rtol=1e-9)
    np.testing.assert_allclose(trail.true, trail.plane, rtol=1e-9)
    np.testing.assert_allclose(found.centre + trail.points @ found.directions, points)
    assert np.all(np.abs(trail.points) <= np.abs([found.x, found.y]).max())


def test_what_a_plane_does_not_show_is_said():
    loss, w, a, b = bowl(3)
    start = w.data.copy()
    points = start + np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [3, 4, 12.0]])
    found = landscape.surface(loss, [w], [np.eye(3)[0], 2 * np.eye(3)[1]], paths=walk(points), points=3)
    trail, = found.trails
    np.testing.assert_allclose(trail.points, [[0, 0], [1, 0], [1, 0.5], [3, 2]], atol=1e-12)
    np.testing.assert_allclose(trail.distance, [0, 0, 0, 12], atol=1e-12)
    assert trail.shown == pytest.approx(25 / 169)
    assert trail.true[-1] == pytest.approx(value(a, b, points[-1]))
    assert trail.plane[-1] == pytest.approx(value(a, b, start + [3, 4, 0]))


def test_oblique_directions():
    found = Surface(*[np.zeros(2)] * 2, np.zeros((2, 2)), np.array([1.0, 0, 0]), np.array([[1.0, 0, 0], [1, 1, 0]]),
                    "given")
    at, distance = found.project(np.array([4.0, 2, 5]))
    np.testing.assert_allclose(at, [[1, 2]])
    assert distance == pytest.approx(5)


def test_the_true_loss_has_the_buffers_of_its_time():
    model, loss = classifier()
    model.eval()
    path, true = landscape.Path(model), []
    for i in range(4):
        model[5].weight.data = model[5].weight.data + rng.standard_normal((48, 5)).astype(np.float32)
        model[1].running_mean[...] = i
        path.record()
        true.append(loss().item())
    np.testing.assert_allclose(landscape.surface(loss, model, paths=path, points=2).trails[0].true, true, rtol=1e-5)


def test_a_path_is_a_callback_and_is_resumed(tmp_path):
    x, y = rng.standard_normal((30, 3)).astype(np.float32), np.arange(30) % 2

    def go(epochs, **kwargs):
        manual_seed(0)
        model = nn.Dense(3, 2)
        path = landscape.Path(model, "sgd")
        train.fit(model, (x, y), optim.SGD(model.parameters(), 0.1), epochs=epochs, batch_size=10, progress=False,
                  callbacks=[path], **kwargs)
        return path, model
    whole, model = go(4)
    assert whole.unit == "epoch" and whole.steps.tolist() == [0, 1, 2, 3, 4]
    manual_seed(0)
    fresh = nn.Dense(3, 2)
    assert np.array_equal(whole.weights[0], np.concatenate([p.data.ravel() for p in fresh.parameters()]))
    assert np.array_equal(whole.weights[-1], np.concatenate([p.data.ravel() for p in model.parameters()]))
    go(2, checkpoint=tmp_path / "run")
    resumed, _ = go(4, checkpoint=tmp_path / "run", resume=tmp_path / "run")
    assert np.array_equal(resumed.weights, whole.weights) and np.array_equal(resumed.steps, whole.steps)


def test_every_step_is_watched():
    w = Parameter(np.array([3.0, 4.0]))
    sgd, path = optim.SGD([w], 0.25), landscape.Path([w])
    with path.watch(sgd):
        for _ in range(3):
            sgd.zero_grad()
            (w * w).sum().backward()
            sgd.step()
    sgd.step()
    np.testing.assert_allclose(path.weights, [[3, 4], [1.5, 2], [0.75, 1], [0.375, 0.5]])
    assert "step" not in vars(sgd)


def test_long_paths_are_thinned_and_keep_their_ends():
    path = landscape.Path([w := Parameter(np.zeros(2))], most=5)
    for i in range(101):
        w.data = np.array([float(i), 0])
        path.record()
    assert len(path) <= 6 and path.steps[0] == 0 and path.steps[-1] == 100
    assert np.array_equal(path.weights[:, 0], path.steps)
    assert len(set(np.diff(path.steps[:-1]))) == 1


def test_a_lazy_model_is_refused_when_it_has_grown():
    model = nn.Sequential(nn.Dense(3), nn.Dense(3, 2))
    path = landscape.Path(model)
    path.record()
    model(Tensor(np.ones((1, 4), np.float32)))
    with pytest.raises(ValueError, match=r"another size than before"):
        path.record()


# ---- what is refused ----
def test_refused():
    loss, w, _, _ = bowl()
    model = nn.Dense(3, 2)
    cases = [
        (ValueError, r"no parameter requires grad", lambda: landscape.surface(loss, [])),
        (ValueError, r"path '' is empty", lambda: landscape.surface(loss, [w], paths=landscape.Path([w]))),
        (ValueError, r"no path was given", lambda: landscape.principal([])),
        (TypeError, r"a path is a landscape.Path", lambda: landscape.principal(["adam"])),
        (ValueError, r"a plane needs three", lambda: landscape.principal(walk([[0, 0, 1], [1, 0, 1], [2, 0, 1.0]]))),
        (ValueError, r"points are one", lambda: landscape.principal(walk([[0, 0, 1.0]]))),
        (ValueError, r"not finite: its training diverged",
         lambda: landscape.principal(walk([[0, 0.0], [1, np.nan], [2, 2]]))),
        (ValueError, r"different models: 2, 3 weights",
         lambda: landscape.principal([walk([[0, 0.0]]), walk([[0, 0, 0.0]])])),
        (ValueError, r"is of 2 weights, the model has 4", lambda: landscape.surface(loss, [w], paths=walk([[0.0, 0]]))),
        (ValueError, r'"random", "pca" or two vectors, not .up.', lambda: landscape.surface(loss, [w], "up")),
        (ValueError, r"no path was given", lambda: landscape.surface(loss, [w], "pca")),
        (ValueError, r"nothing is left of a normalized direction", lambda: landscape.surface(loss, [w])),
        (ValueError, r"two directions, got 3", lambda: landscape.surface(loss, [w], np.eye(4)[:3])),
        (ValueError, r"parallel", lambda: landscape.surface(loss, [w], [np.ones(4), 2 * np.ones(4)])),
        (ValueError, r"vector of 4 numbers, got shape \(3,\)", lambda: landscape.line(loss, [w], np.ones(3))),
        (ValueError, r"shapes of the parameters", lambda: landscape.line(loss, model, [np.ones((2, 3)), np.ones(2)])),
        (ValueError, r"the end lacks bias",
         lambda: landscape.interpolate(loss, model, {"weight": np.ones((3, 2))})),
        (TypeError, r"whose names only a Module knows", lambda: landscape.interpolate(loss, [w], {})),
        (ValueError, r'normalize is "filter"', lambda: landscape.random_direction(model, "unit")),
        (ValueError, r"points must be a whole number", lambda: landscape.line(loss, [w], np.ones(4), points=1)),
        (ValueError, r"radius must be positive", lambda: landscape.line(loss, [w], np.ones(4), radius=0)),
        (ValueError, r"beyond must not be negative", lambda: landscape.interpolate(loss, [w], np.ones(4), beyond=-1)),
        (ValueError, r"call the model once", lambda: landscape.surface(loss, nn.Dense(3))),
        (TypeError, r"the loss must be one real number", lambda: landscape.line(lambda: w * 2, [w], np.ones(4))),
        (TypeError, r"the loss must be one real number", lambda: landscape.line(lambda: None, [w], np.ones(4))),
        (TypeError, r"wanted as a function that computes it", lambda: landscape.line(loss(), [w], np.ones(4))),
        (ValueError, r"every must be at least 1", lambda: landscape.Path([w], every=0)),
    ]
    for kind, message, go in cases:
        with pytest.raises(kind, match=message):
            go()


# ---- pictures ----


def surface(losses, **more):
    losses = np.asarray(losses, float)
    n = losses.shape[0]
    return Surface(np.linspace(-1, 1, n), np.linspace(-1, 1, n), losses, np.zeros(7), np.eye(7)[:2], "random", "filter",
                   **more)


def test_files_are_written(tmp_path):
    loss, w, _, _ = bowl()
    paths = [walk(w.data + rng.standard_normal((5, 4)), name=name) for name in ("sgd", "adam")]
    found = landscape.surface(loss, [w], paths=paths, points=5)
    assert found.losses.shape == (5, 5)
    for dark in (False, True):
        path = landscape.draw(found, tmp_path / f"plane{dark}.png", dark)
        assert path.read_bytes()[:4] == b"\x89PNG"
        landscape.relief(found, tmp_path / f"relief{dark}.svg", dark)
        landscape.draw(landscape.line(loss, [w], np.ones(4)), tmp_path / f"line{dark}.pdf", dark)
    assert len([*tmp_path.iterdir()]) == 6
    with pytest.raises(ValueError, match=r"picture's name ends in"):
        landscape.draw(found, tmp_path / "plane.txt")


def test_the_picture_says_what_it_shows(drawn, said):
    loss, w, _, _ = bowl(3)
    start = w.data.copy()
    path = walk(start + np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [3, 4, 12.0]]), name="adam")
    landscape.draw(landscape.surface(loss, [w], [np.eye(3)[0], 2 * np.eye(3)[1]], paths=path, points=3), "a.png")
    text = said(drawn[0])
    assert "adam: 14.8 % of its way in this plane" in text and "start" in text and "3 weights" in text
    assert "dotted: at the nearest point of the plane" in text
    found = landscape.surface(loss, [w], paths=path, points=3)
    landscape.draw(found, "b.png")
    assert f"PCA direction 1 ({landscape.share(found.explained[0])} of the variation)" in said(drawn[1])


def test_a_long_name_leaves_room_for_the_picture(drawn, said):
    loss, w, _, _ = bowl(3)
    path = walk(w.data + rng.standard_normal((5, 3)), name="n" * 80)
    landscape.draw(landscape.surface(loss, [w], paths=path, points=3), "a.png")
    drawn[0].draw_without_rendering()
    assert drawn[0].axes[0].get_position().width > 0.3 and "n" * 80 + ": " in said(drawn[0])


def test_paths_differ_by_more_than_colour(drawn):
    loss, w, _, _ = bowl(3)
    paths = [walk(w.data + rng.standard_normal((5, 3)), name=str(i)) for i in range(4)]
    landscape.draw(landscape.surface(loss, [w], paths=paths, points=3), "a.png")
    lines = [line for line in drawn[0].axes[0].lines if line.get_label().endswith("plane")]
    assert len({line.get_marker() for line in lines}) == len({str(line._unscaled_dash_pattern) for line in lines}) == 4


def test_scales(drawn, said):
    grid = np.linspace(0, 1, 6)
    steep, flat = 10.0 ** (5 * grid)[:, None] * np.ones(6), 1 + grid[:, None] + grid
    assert landscape._Scale(surface(steep)).log and not landscape._Scale(surface(flat)).log
    np.testing.assert_allclose(landscape._Scale(surface(steep)).levels(5), np.linspace(0, 5, 6), atol=1e-9)
    assert landscape._Scale(surface(flat)).levels(2).tolist() == [1, 1.5, 3]
    hole = flat.copy()
    hole[0, :2], hole[1, 1] = np.nan, np.inf
    landscape.draw(surface(hole), "a.png")
    assert "hatched: 3 points where the loss is not finite" in said(drawn[0])
    tower = flat.copy()
    tower[5, 5] = 1e9
    landscape.draw(surface(tower), "a.png")
    landscape.relief(surface(tower), "a.png")
    assert all("cut off: 1 points above" in said(figure) for figure in drawn[1:])
    landscape.draw(surface(np.ones((3, 3))), "a.png")
    landscape.draw(surface(np.zeros((3, 3))), "a.png")
    with pytest.raises(ValueError, match=r"nowhere finite on this surface"):
        landscape.draw(surface(np.full((3, 3), np.nan)), "a.png")


def test_pictures_of_lines(drawn, said):
    x = np.linspace(-1, 1, 5)
    one = Line(x, np.array([1, 2, 3, np.inf, 1e9]), np.zeros(2), np.ones(2), "one", "filter")
    landscape.draw([one, Line(x, x ** 2 + 1, np.zeros(2), np.ones(2), "two", "filter")], "a.png")
    text = said(drawn[0])
    assert "1 points where the loss is not finite are left out" in text and "cut off above" in text
    assert "one" in text and "two" in text and "filter-normalised" in text
    landscape.draw(Line(x, x + 2, np.zeros(2), np.ones(2), ends=("SGD", "Adam")), "a.png")
    assert "0: SGD,  1: Adam" in said(drawn[1])
    for wrong in ([], "line", [1]):
        with pytest.raises(TypeError, match=r"a Surface, a Line or several Lines"):
            landscape.draw(wrong, "a.png")
    with pytest.raises(ValueError, match=r"nowhere finite on this line"):
        landscape.draw(Line(x, x * np.nan, np.zeros(2), np.ones(2)), "a.png")


@pytest.mark.parametrize(("part", "text"), [(1.0, "100 %"), (0.99999, ">99.9 %"), (0.951, "95.1 %"), (0.0312, "3.1 %"),
                                            (0.0, "0 %")])
def test_shares(part, text):
    assert landscape.share(part) == text


@pytest.mark.parametrize(("value", "text"), [(0.0123456, "0.012"), (512.3, "510"), (1.234e-7, "1.2e−7"), (-3, "−3")])
def test_numbers(value, text):
    assert landscape._number(value, 2) == text


def test_without_matplotlib(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    for draw in (landscape.draw, landscape.relief):
        with pytest.raises(viz.MissingExtra, match=r"minigrad\[plot\]"):
            draw(surface(np.eye(3) + 1), tmp_path / "a.png")
    assert not [*tmp_path.iterdir()]
