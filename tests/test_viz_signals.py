"""minigrad.viz.signals: what it notes against what NumPy says, that training stays the same, and its pictures."""

import contextlib
import math
import signal
import sys

import numpy as np
import pytest

import minigrad
from minigrad import Tensor, callbacks, models, nn, optim, train
from minigrad import functional as F
from minigrad.mode import mode
from minigrad.viz import signals, style
from minigrad.viz.training import MissingExtra

X = np.random.default_rng(0).standard_normal((48, 6)).astype(np.float32)
Y = (X[:, :3].argmax(axis=1)).astype(np.int64)


@pytest.fixture(autouse=True)
def seeded():
    minigrad.manual_seed(0)


def small():
    return nn.Sequential(nn.Dense(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Dense(8, 3))


def fitted(make=lambda model: [], optimizer=optim.Adam, epochs=2, **options):
    minigrad.manual_seed(0)
    model = small()
    opt = optimizer(model.parameters())
    made = make(model)
    options = {"batch_size": 16, "progress": False, **options}
    history = train.fit(model, (X, Y), opt, epochs=epochs, callbacks=made, **options)
    return model, history, made


def recorded(model, steps=6, every=1, lr=0.1, x=X, y=Y, **settings):
    seen, opt = signals.Recorder(model, every=every, **settings), optim.SGD(model.parameters(), lr=lr)
    for _ in range(steps):
        with seen.step():
            opt.zero_grad()
            F.cross_entropy(model(Tensor(x)), y).backward()
            opt.step()
    return seen


def bits(model):
    return {name: value.tobytes() for name, value in model.state_dict().items()}


def the_same(a, b):
    assert a.count == b.count and a.steps == b.steps
    for mine, others in ((a.layers, b.layers), (a.parameters, b.parameters)):
        assert list(mine) == list(others)
        for name, series in mine.items():
            other = others[name]
            assert (series.type, series.kind, series.shape, series.steps) == (
                other.type, other.kind, other.shape, other.steps)
            assert series.columns.keys() == other.columns.keys()
            for column in series.columns:
                np.testing.assert_array_equal(series[column], other[column])


def one_layer():
    return recorded(nn.Dense(6, 3), 1)


def one_step(**settings):
    return recorded(small(), 1, **settings)


# ---- training stays as it is ----
@pytest.mark.parametrize("optimizer", [
    optim.Adam, lambda p: optim.SGD(p, lr=0.1, momentum=0.9), lambda p: optim.EMA(optim.Adam(p)),
    lambda p: optim.SAM(optim.SGD(p, lr=0.1)), optim.LBFGS, lambda p: optim.Accumulate(optim.Adam(p), 2)])
def test_training_is_the_same_to_the_bit(optimizer):
    plain, its_history, _ = fitted(optimizer=optimizer)
    watched, history, (seen,) = fitted(lambda m: [signals.Recorder(m, every=2)], optimizer)
    assert seen.steps == [1, 2, 4, 6]
    assert bits(plain) == bits(watched)
    assert [r.loss for r in history] == [r.loss for r in its_history]


def test_nothing_is_left_on_the_model():
    model = small()
    seen = signals.Recorder(model, every=2)
    for number in range(1, 5):
        with seen.step():
            assert any(m._post_hooks for m in model.modules()) == (number in (1, 2, 4))
            model(Tensor(X))
        assert not any(m._post_hooks for m in model.modules())


def test_a_step_that_fails_is_not_kept():
    model = small()
    seen = recorded(model, 2)
    with pytest.raises(RuntimeError, match="by hand"), seen.step():
        model(Tensor(X))
        raise RuntimeError("by hand")
    assert seen.steps == [1, 2] and seen.count == 2
    assert not any(m._post_hooks for m in model.modules())


# ---- what is noted ----
def test_numbers_are_those_of_numpy():
    model = nn.Sequential(nn.Dense(6, 8), nn.ReLU(), nn.Dense(8, 3))
    seen, opt = signals.Recorder(model, every=1), optim.Adam(model.parameters(), lr=0.01)
    expected = []
    for i in range(3):
        x = X[16 * i:16 * i + 16]
        before = {name: p.data.copy() for name, p in model.named_parameters()}
        with seen.step():
            opt.zero_grad()
            F.cross_entropy(model(Tensor(x)), Y[16 * i:16 * i + 16]).backward()
            opt.step()
        z = x @ before["0.weight"] + before["0.bias"]
        expected.append((z, {name: (p.grad.data, before[name], p.data.copy()) for name, p in model.named_parameters()}))
    assert list(seen.layers) == ["0", "1", "2"]
    assert [s.type for s in seen.layers.values()] == ["Dense", "ReLU", "Dense"]
    for i, (z, parameters) in enumerate(expected):
        for layer, values in (("0", z), ("1", np.maximum(z, 0))):
            np.testing.assert_allclose(seen.layers[layer]["mean"][i], values.mean(), rtol=1e-4, atol=1e-6)
            np.testing.assert_allclose(seen.layers[layer]["std"][i], values.std(), rtol=1e-4)
        assert seen.layers["1"]["zeros"][i] == pytest.approx((z <= 0).mean())
        np.testing.assert_allclose(seen.layers["1"]["stuck"][i], (z <= 0).mean(axis=0), rtol=1e-6)
        for name, (g, w, after) in parameters.items():
            one = seen.parameters[name]
            norms = [np.linalg.norm(g), np.linalg.norm(w), np.linalg.norm(after - w) / np.linalg.norm(w)]
            found = [one[c][i] for c in ("gradient_norm", "weight_norm", "update")]
            np.testing.assert_allclose(found, norms, rtol=1e-4)


@pytest.mark.parametrize(("every", "steps"), [(1, [1, 2, 3, 4, 5, 6, 7]), (3, [1, 3, 6]), (10, [1])])
def test_which_steps(every, steps):
    seen = recorded(small(), 7, every)
    assert seen.steps == steps == seen.layers["2"].steps
    assert len(seen.layers["2"]["mean"]) == len(steps)


def test_histograms_are_those_of_numpy(generator):
    values = generator.standard_normal((40, 30))
    values[:, :10] = 0
    values[0, 0], values[1, 0] = np.nan, np.inf
    counts, (low, high) = signals._histogram(values, 20)
    kept = np.sort(values[np.isfinite(values) & (values != 0)])
    assert (low, high) == (kept[1], kept[-2])  # 0.2% of 800 at either end
    np.testing.assert_array_equal(counts, np.histogram(kept, 20, (low, high))[0])
    assert counts.sum() == 798


@pytest.mark.parametrize("values", [np.zeros((4, 4)), np.full(9, np.nan), np.zeros(0)])
def test_histograms_of_nothing(values):
    counts, span = signals._histogram(values, 5)
    assert counts.tolist() == [0] * 5 and span.tolist() == [0, 0]


@pytest.mark.parametrize("value", [3.0, -2.5, 1e-308])
def test_histograms_of_one_value(value):
    counts, (low, high) = signals._histogram(np.full(7, value), 5)
    assert counts.sum() == 7 and low < value < high


def test_histograms_pass_over_no_channel():
    """The stride has no factor of the width: each of the 8 columns is seen."""
    values = np.tile(np.arange(1.0, 9.0), 40_000)
    counts, _ = signals._histogram(values, 8)
    assert counts.sum() <= signals.SAMPLE and (np.abs(counts / counts.sum() - 1 / 8) < 0.001).all()


def test_units_are_channels_after_convolutions_and_features_after_dense():
    conv = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU())
    sequence = nn.Sequential(nn.Conv1d(2, 5, 3), nn.ReLU())
    dense = nn.Sequential(nn.Dense(4, 7), nn.ReLU())
    for model, shape, units in ((conv, (2, 1, 8, 8), 3), (sequence, (2, 2, 9), 5), (dense, (2, 9, 4), 7),
                                (dense, (2, 3, 9, 4), 7)):
        seen = signals.Recorder(model)
        with seen.step():
            model(Tensor(np.random.default_rng(0).standard_normal(shape).astype(np.float32)))
        assert seen.layers["1"]["stuck"].shape == (1, units)
        assert seen.layers["0"].kind == "" and "stuck" not in seen.layers["0"].columns


def test_recurrent_layers_and_modules_that_are_called_twice():
    class Twice(nn.Module):
        def __init__(self):
            self.rnn, self.shared = nn.RNN(3, 4, batch_first=True), nn.Dense(4, 4)

        def forward(self, x):
            return self.shared(self.shared(self.rnn(x)[0]))
    model, x = Twice(), X[:12].reshape(6, 4, 3)
    seen = signals.Recorder(model)
    with seen.step():
        h = model.rnn(Tensor(x))[0]
        first = model.shared(h)
        model.shared(first)
    assert seen.layers["rnn"].kind == "bounded" and seen.layers["rnn"]["stuck"].shape == (1, 4)
    assert seen.layers["shared"]["mean"][0] == pytest.approx(first.data.mean(), rel=1e-4)


def test_where():
    assert list(recorded(small(), 1, where="2").layers) == ["2"]
    assert list(recorded(small(), 1, where=lambda name, m: isinstance(m, nn.Dense)).layers) == ["0", "4"]
    block = models.BasicBlock(2, 2)
    seen = signals.Recorder(nn.Sequential(block), where="0")
    with seen.step():
        seen.model(Tensor(np.random.default_rng(0).standard_normal((2, 2, 6, 6)).astype(np.float32)))
    assert seen.layers["0"].kind == "rectified"  # by its looks: it ends in F.relu


class Plain(nn.Module):
    """Activations as functions: in a line of their own, two in one, of a branch, in a loop, in a helper."""

    def __init__(self):
        self.first, self.second, self.third = nn.Dense(6, 5), nn.Dense(5, 5), nn.Dense(5, 5)
        self.cell, self.branch = nn.RNN(5, 4, batch_first=True), True

    def forward(self, x):
        x = np.maximum(self.first(x), 0)
        if self.branch:
            x = F.sigmoid(self.second(x))
        self.seen = []
        for _ in range(3):
            x = self.squashed(x)
            self.seen.append(x.data)
        x = F.relu(self.third(F.relu(self.second(x))))
        return self.cell(x[:, None])[0][:, 0]

    def squashed(self, x):
        return np.tanh(self.third(x))


def test_activations_that_are_functions_are_layers():
    model = Plain()
    model.first.bias.data[3] = -100
    seen = recorded(model, 2)
    assert list(seen.layers) == ["first", "maximum", "second", "sigmoid", "third", "tanh", "relu", "relu_2", "cell"]
    assert seen.stuck_units("maximum")[-1].tolist() == [False, False, False, True, False]
    assert [seen.layers[n].kind for n in ("maximum", "sigmoid", "tanh", "relu")] == [
        "rectified", "bounded", "bounded", "rectified"]
    assert seen.layers["tanh"]["mean"][-1] == pytest.approx(model.seen[0].mean(), rel=1e-4)  # the first of the loop
    assert list(recorded(Plain(), 1, where="*l*").layers) == ["relu", "relu_2", "cell"]
    assert list(recorded(Plain(), 1, where=lambda name, m: name == "first").layers) == ["first"]


def test_the_blocks_of_a_resnet_have_their_relus():
    model = models.resnet(1, 8, 3, width=2)
    x, y = np.random.default_rng(0).standard_normal((4, 1, 8, 8)).astype(np.float32), np.array([0, 1, 2, 0])
    seen, kept = signals.Recorder(model), []
    handle = model.layer2[0].register_forward_hook(lambda m, args, out: kept.append(out.data))
    with seen.step():
        F.cross_entropy(model(Tensor(x)), y).backward()
    handle()
    assert [n for n in seen.layers if "relu" in n] == ["relu", *(
        f"layer{i}.0.{name}" for i in (1, 2, 3) for name in ("relu", "relu_2"))]
    np.testing.assert_allclose(seen.layers["layer2.0.relu_2"]["stuck"][0], (kept[0] == 0).mean(axis=(0, 2, 3)))


def test_a_function_keeps_its_name_where_a_branch_is_left_out():
    class Branch(nn.Module):
        def __init__(self):
            self.dense, self.branch = nn.Dense(6, 6), False

        def forward(self, x):
            return F.relu(self.dense(F.relu(x) if self.branch else x))
    model = Branch()
    seen = recorded(model, 1)
    model.branch = True
    other = signals.Recorder(model, every=1)
    other.load_state_dict(seen.state_dict())
    for one in (seen, other):
        with one.step():
            model(Tensor(X))
        with one.step():
            model(Tensor(X))
        assert one.layers["relu"].steps == [1, 2, 3] if one is seen else one.layers["relu"].steps[0] == 1
        assert "relu_2" in one.layers and one.layers["relu_2"].steps[0] > 1


def test_it_looks_on_beside_detect_anomaly():
    model = Plain()
    with minigrad.detect_anomaly():
        seen = signals.Recorder(model)
        with pytest.raises(FloatingPointError, match="NaN"), seen.step():
            model(Tensor(np.full_like(X, np.nan)))
        with seen.step():
            model(Tensor(X)).sum().backward()
        assert "relu_2" in seen.layers
        with pytest.raises(FloatingPointError, match="NaN"):
            model(Tensor(np.full_like(X, np.nan)))


def test_float16_and_an_empty_batch():
    model = nn.Sequential(nn.Dense(6, 5), nn.ReLU())
    for p in model.parameters():
        p.data = p.data.astype(np.float16)
    seen = signals.Recorder(model, every=1)
    with seen.step():
        y = model(Tensor(200 * X.astype(np.float16))).data
    assert y.dtype == np.float16 and seen.layers["1"]["std"][0] == pytest.approx(y.astype(np.float64).std(), rel=1e-2)
    with seen.step():
        model(Tensor(X[:0].astype(np.float16)))
    assert math.isnan(seen.layers["1"]["mean"][1]) and seen.table()


def test_names_are_text_in_pictures(tmp_path):
    layers = {"$x_$ <script>": nn.Dense(6, 4), "a very long name of a layer that nobody can read": nn.Dense(4, 3)}

    class Named(nn.Module):
        def __init__(self):
            vars(self).update(layers)

        def forward(self, x):
            for layer in layers.values():
                x = layer(x)
            return F.relu(x)
    seen = recorded(Named(), 2)
    for draw in (signals.histograms, signals.ratios, signals.gradient_norms, signals.dead_units):
        text = draw(seen, tmp_path / "x.svg").read_text(encoding="utf-8")
        assert "$x_$ &lt;script&gt;" in text or draw is signals.dead_units


def test_parametrized_and_lazy_layers():
    model = nn.Sequential(nn.weight_norm(nn.Dense(6, 4)), nn.Tanh(), nn.Dense(3))
    seen = recorded(model, 2)
    assert list(seen.layers) == ["0", "1", "2"] and seen.layers["0"].type == "Dense"
    assert math.isnan(seen.parameters["2.weight"]["update"][0])  # it was drawn inside this step
    assert seen.parameters["2.weight"]["update"][1] > 0
    assert [r.layer for r in seen.rows()] == ["0", "1", "2"]


# ---- dead and saturated ----
def test_dead_units_are_those_that_are_zero_for_all_samples_of_the_window():
    model = nn.Sequential(nn.Dense(6, 5), nn.ReLU())
    seen = signals.Recorder(model, every=1, window=3)
    dead = [{1, 4}, {1}, {1, 2}, {1, 2}, {1, 2}]
    for units in dead:
        model[0].bias.data[:] = 0
        model[0].bias.data[list(units)] = -100
        with seen.step():
            model(Tensor(X))
    found = [set(np.flatnonzero(row)) for row in seen.stuck_units("1")]
    assert found == [{1, 4}, {1}, {1}, {1}, {1, 2}]
    row = seen.rows()[1]
    assert row.stuck == pytest.approx(0.4) and row.notes == ("dead",)
    assert "dead: over 10% of the units were 0 for every sample of the last 3 records" in seen.table()


@pytest.mark.parametrize(("activation", "low"), [(nn.Tanh(), -1), (nn.Sigmoid(), 0), (nn.Lambda(F.tanh), -1)])
def test_saturated_units(activation, low):
    model = nn.Sequential(nn.Dense(6, 4), activation)
    model[0].bias.data[:] = [0, 20, -20, 0]
    seen = signals.Recorder(model)
    with seen.step():
        y = model(Tensor(X)).data
    near = 0.015 * (1 - low)
    expected = ((y <= low + near) | (y >= 1 - near)).mean(axis=0)
    np.testing.assert_allclose(seen.layers["1"]["stuck"][0], expected, rtol=1e-6)
    assert seen.stuck_units("1")[0].tolist() == [False, True, True, False]
    assert "saturated" in seen.rows()[1].notes


# ---- the table ----
def test_table_says_that_a_gradient_vanishes():
    layers = [f for _ in range(8) for f in (nn.Dense(6, 6), nn.Sigmoid())]
    seen = recorded(nn.Sequential(*layers, nn.Dense(6, 3)), 3)
    rows = {r.layer: r for r in seen.rows()}
    assert "vanishing" in rows["0"].notes and "vanishing" not in rows["14"].notes and rows["16"].notes == ()
    assert rows["0"].gradient == pytest.approx(np.median(np.hypot(
        seen.parameters["0.weight"]["gradient_norm"], seen.parameters["0.bias"]["gradient_norm"])))
    assert rows["0"].update == pytest.approx(np.median(seen.parameters["0.weight"]["update"]))
    assert "vanishing: the weights' gradient is below 0.001 of the largest layer's" in seen.table()


def test_table_says_that_it_explodes_and_that_nothing_is_wrong():
    model = nn.Sequential(nn.Dense(6, 8), nn.Tanh(), nn.Dense(8, 3))
    text = recorded(model, 2).table()
    assert text.endswith("medians of the last 2 of 2 records, to step 2\nnothing looks wrong")
    loud = recorded(nn.Sequential(nn.Dense(6, 8), nn.Dense(8, 3)), 1, lr=1e3, x=1e4 * X)
    assert loud.rows()[0].notes == ("exploding", "fast")
    assert "exploding: a gradient's norm over 100" in loud.table()
    assert "updates over 0.1 of the weights" in loud.table()
    broken = recorded(model, 1, x=np.full_like(X, np.nan))
    assert "not finite" in broken.rows()[0].notes and "NaN or infinity" in broken.table()


def test_table_of_frozen_layers():
    model = nn.Sequential(nn.Dense(6, 8), nn.ReLU(), nn.Dense(8, 3))
    model[0].requires_grad_(False)
    seen = recorded(model, 2)
    first, _, last = seen.rows()
    assert first.gradient is None and first.update == 0 and last.gradient > 0
    line = seen.table().splitlines()[2].split()
    assert line[:2] == ["0", "Dense"] and line[-2:] == ["-", "0.0e+00"]


# ---- as a callback ----
def test_a_resumed_training_goes_on_with_its_records(tmp_path):
    make = lambda model: [signals.Recorder(model, every=2)]
    whole, _, (expected,) = fitted(make, epochs=4)
    fitted(make, epochs=2, checkpoint=tmp_path / "run")
    again, _, (seen,) = fitted(make, epochs=4, resume=tmp_path / "run")
    assert bits(again) == bits(whole)
    the_same(seen, expected)
    assert seen.steps == [1, 2, 4, 6, 8, 10, 12]
    copy = signals.Recorder(whole)
    copy.load_state_dict(expected.state_dict())
    the_same(copy, expected)
    assert copy.table() == expected.table()


class CtrlC:
    """Presses it in the fourth step."""

    count = 0

    @contextlib.contextmanager
    def around_step(self, model, history):
        yield
        self.count += 1
        if self.count == 4:
            signal.raise_signal(signal.SIGINT)

    def __call__(self, model, history): pass


def test_a_pause_inside_an_epoch_changes_no_record(tmp_path):
    whole, _, (expected,) = fitted(lambda m: [signals.Recorder(m, every=2)])
    _, history, _ = fitted(lambda m: [signals.Recorder(m, every=2), CtrlC()], checkpoint=tmp_path / "run")
    assert history.interrupted and len(history) == 1
    again, _, (seen,) = fitted(lambda m: [signals.Recorder(m, every=2)], resume=tmp_path / "run")
    assert bits(again) == bits(whole)
    the_same(seen, expected)


def test_another_training_forgets_and_another_model_is_refused():
    model, _, (seen,) = fitted(lambda m: [signals.Recorder(m, every=1)])
    train.fit(model, (X, Y), optim.Adam(model.parameters()), epochs=1, batch_size=24, progress=False, callbacks=[seen])
    assert seen.steps == [1, 2]
    with pytest.raises(ValueError, match=r"it watches another Sequential"):
        fitted(lambda m: [seen])


def test_a_callback_that_raises_leaves_nothing_of_those_before_it():
    model = small()
    with pytest.raises(ValueError, match="watches another"):
        train.around_step([signals.Recorder(model), signals.Recorder(small())], model, train.History())
    assert not any(m._post_hooks for m in model.modules()) and mode.watch is None


def test_every_step_is_taken_inside_around_step():
    class Around:
        def __init__(self):
            self.log = []

        @contextlib.contextmanager
        def around_step(self, model, history):
            before = bits(model)
            yield
            self.log.append((len(history), before != bits(model)))

        def __call__(self, model, history): pass
    _, _, (around,) = fitted(lambda m: [Around()])
    assert around.log == [(0, True)] * 3 + [(1, True)] * 3


# ---- pictures ----
@pytest.fixture(scope="module")
def seen():
    minigrad.manual_seed(0)
    return recorded(models.cnn(1, 12, 3, filters=(4, 5), hidden=9), 4, 1, x=np.random.default_rng(0).standard_normal(
        (24, 1, 12, 12)).astype(np.float32), y=Y[:24])


def drawn(monkeypatch, function, *args, **kwargs):
    """The figure that would be written."""
    kept = []
    monkeypatch.setattr(style, "write", lambda figure, path: kept.append(figure))
    function(*args, **kwargs)
    return kept[0]


def written(axes):
    return [t.get_text() for t in axes.texts] + [axes.get_title(loc="left")]


@pytest.mark.parametrize(("suffix", "dark"), [(".png", False), (".svg", True)])
def test_pictures_are_written(tmp_path, suffix, dark):
    seen = recorded(nn.Sequential(nn.Dense(6, 8), nn.ReLU(), nn.Dense(8, 3)), 2)
    for function in (signals.histograms, signals.ratios, signals.gradient_norms, signals.dead_units):
        path = tmp_path / f"{function.__name__}{suffix}"
        assert function(seen, path, dark=dark) == path
        assert path.read_bytes().startswith(b"\x89PNG" if suffix == ".png" else b"<?xml")


@pytest.mark.parametrize(("what", "titles"), [
    ("activations", ["0", "1", "3", "4", "7", "8", "9"]),
    ("gradients", ["0.weight", "3.weight", "7.weight", "9.weight"]),
    ("weights", ["0.weight", "3.weight", "7.weight", "9.weight"])])
def test_a_panel_for_each_layer(seen, monkeypatch, what, titles):
    figure = drawn(monkeypatch, signals.histograms, seen, "x.png", what=what)
    assert [axes.get_title(loc="left").split()[0] for axes in figure.axes] == titles
    for axes in figure.axes:
        assert [label.get_text() for label in axes.get_yticklabels()] == ["1", "2", "3", "4"]
        assert axes.yaxis_inverted() and len(axes.patches) == 8  # filled, and an outline
    if what == "activations":
        share = seen.layers["1"]["zeros"]
        assert f"{share[0]:.0%} zeros" in figure.axes[1].get_title(loc="left")
    chosen = drawn(monkeypatch, signals.histograms, seen, "x.png", what=what, names=titles[1:2])
    assert len(chosen.axes) == 1


def test_ratios_and_norms_are_drawn_as_recorded(seen, monkeypatch):
    axes = drawn(monkeypatch, signals.ratios, seen, "x.png").axes[0]
    np.testing.assert_allclose(axes.lines[0].get_ydata(), seen.parameters["0.weight"]["update"])
    assert any((np.asarray(line.get_ydata()) == 1e-3).all() for line in axes.lines)
    assert {"0.weight", "3.weight", "7.weight", "9.weight", "10⁻³, the rule of thumb"} <= set(written(axes))
    axes = drawn(monkeypatch, signals.gradient_norms, seen, "x.png").axes[0]
    both = np.hypot(seen.parameters["0.weight"]["gradient_norm"], seen.parameters["0.bias"]["gradient_norm"])
    np.testing.assert_allclose(axes.lines[0].get_ydata(), both)
    assert {"0", "3", "7", "9"} <= set(written(axes))


def test_dead_units_are_shown_in_their_strip(monkeypatch):
    model = nn.Sequential(nn.Dense(6, 10), nn.ReLU(), nn.Dense(10, 3))
    model[0].bias.data[[2, 7]] = -100
    seen = recorded(model, 3)
    above, strip = drawn(monkeypatch, signals.dead_units, seen, "x.png").axes
    assert above.lines[0].get_ydata().tolist() == [0.2] * 3 and "1  20%" in written(above)
    assert strip.get_title(loc="left") == "1  ReLU: 2 of 10 dead: 2, 7"
    image = np.asarray(strip.images[0].get_array())
    assert image.shape == (3, 10, 3)
    orange = np.array([0xD5, 0x5E, 0x00]) / 255
    assert np.flatnonzero(np.isclose(image, orange).all(axis=(0, 2))).tolist() == [2, 7]


@pytest.mark.parametrize("places", [[0.5, 0.5, 0.5], [0.1, 0.9], [0.0, 0.01, 0.02, 0.5], [0.3, 0.1, 0.31, 0.11]])
def test_names_are_moved_apart_and_keep_their_order(places):
    new = signals._apart(places, 0.05)
    assert (np.diff(np.sort(new)) >= 0.05 - 1e-12).all() and new.min() >= 0
    assert (new[np.argsort(places, kind="stable")] == np.sort(new)).all()
    if places == [0.1, 0.9]:
        assert new.tolist() == places


def test_other_bins_hold_the_same():
    counts = np.array([1, 5, 2, 4])
    np.testing.assert_allclose(signals._rebinned(counts, [0, 4], np.linspace(-1, 5, 13)).sum(), 12)
    np.testing.assert_allclose(signals._rebinned(counts, [0, 4], np.array([0, 0.5, 1, 3, 4])), [0.5, 0.5, 7, 4])


def test_many_layers_are_chosen_evenly(monkeypatch):
    layers = [nn.Dense(6, 6) for _ in range(40)]
    for layer in layers:
        layer.weight.data[:] = np.eye(6)
    seen = recorded(nn.Sequential(*layers, nn.Dense(6, 3)), 2)
    figure = drawn(monkeypatch, signals.histograms, seen, "x.png")
    titles = [axes.get_title(loc="left").split()[0] for axes in figure.axes]
    assert len(titles) == 24 and titles[0] == "0" and titles[-1] == "40" and "24 of 41" in figure.get_suptitle()
    assert "36 of 41" in drawn(monkeypatch, signals.ratios, seen, "x.png").get_suptitle()


# ---- what is refused ----
@pytest.mark.parametrize(("make", "error", "message"), [
    (lambda: signals.Recorder(optim), TypeError, r"watches a Module, got module"),
    (lambda: signals.Recorder(small(), every=0), ValueError, r"at least 1, got 0, 5 and 64"),
    (lambda: signals.Recorder(small(), where="features.*"), ValueError, r"'features\.\*' selects no module.* 0, 1"),
    (lambda: signals.Recorder(nn.Sequential(nn.Flatten())), ValueError, r"no layer to watch"),
    (lambda: signals.Recorder(small()).table(), ValueError, r"no step was recorded yet"),
    (lambda: signals.histograms(signals.Recorder(small()), "x.png"), ValueError, r"no step was recorded yet"),
    (lambda: signals.histograms(one_step(), "x.png", what="losses"), ValueError, r"not 'losses'"),
    (lambda: signals.histograms(one_step(), "x.png", names=["9"]), ValueError, r"recorded of 9, but of 0"),
    (lambda: signals.histograms(one_step(), "x.txt"), ValueError, r"\.png, \.svg or \.pdf"),
    (lambda: signals.dead_units(one_layer(), "x.png"), ValueError, r"nothing that was recorded is rectified"),
    (lambda: signals.ratios(one_step(lr=1e-30), "x.png"), ValueError, r"no weight was changed"),
    (lambda: one_step().layers["0"]["median"], KeyError, r"no column 'median', there are mean, std"),
])
def test_bad_input(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_without_gradients():
    model = small()
    seen = signals.Recorder(model)
    with seen.step():
        model(Tensor(X))
    with pytest.raises(ValueError, match=r"no gradient was left in \.grad"):
        signals.gradient_norms(seen, "x.png")
    with pytest.raises(ValueError, match=r"no gradients of the parameters but zeros"):
        signals.histograms(seen, "x.png", what="gradients")


def test_without_matplotlib(monkeypatch, seen):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtra, match=r"minigrad\[plot\]"):
        signals.histograms(seen, "x.png")


def test_inside_swap_ema_it_sees_every_step():
    model = models.mlp(4, (3,), 2)
    x, y = np.random.default_rng(0).standard_normal((32, 4)).astype(np.float32), np.arange(32) % 2
    optimizer = optim.EMA(optim.SGD(model.parameters(), lr=0.1))
    recorder = signals.Recorder(model, every=1)
    train.fit(model, (x, y), optimizer, epochs=1, batch_size=8, callbacks=[callbacks.SwapEMA(optimizer, recorder)])
    assert len(recorder.steps) == 4
