"""minigrad.callbacks: when they stop and what they write; and that a pause changes nothing of it."""

import itertools
import math
import os
import signal

import numpy as np
import pytest

import minigrad
from minigrad import callbacks, checkpoint, nn, optim, train
from minigrad.train import Epoch, History

X = np.random.default_rng(0).standard_normal((40, 6)).astype(np.float32)
Y = (X[:, :3].argmax(axis=1)).astype(np.int64)


def small():
    return nn.Sequential(nn.Dense(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Dense(8, 3))


def fitted(make=lambda optimizer: [], epochs=4, lr=0.05, optimizer=optim.Adam, ema=False, **options):
    """make: the callbacks, of the optimizer."""
    minigrad.manual_seed(0)
    model = small()
    opt = optimizer(model.parameters(), lr=lr)
    opt = optim.EMA(opt, 0.8) if ema else opt
    made = make(opt)
    options = {"batch_size": 16, "progress": False, "validation": (X[:20], Y[:20]), **options}
    history = train.fit(model, (X, Y), opt, epochs=epochs, callbacks=made, **options)
    return model, history, made, opt


def bits(model):
    return {name: value.tobytes() for name, value in model.state_dict().items()}


def results(history):
    return [(r.epoch, r.loss, r.accuracy, r.val_loss, r.val_accuracy, r.lr) for r in history]


def replayed(callback, values, column="val_loss", model=None):
    """After which epoch the callback stops, given a column of the history; None if it does not."""
    history = History()
    for n, value in enumerate(values, 1):
        history.records.append(Epoch(**{**dict.fromkeys(("loss", "accuracy", "val_loss", "val_accuracy"), 0.0),
                                        column: value}, epoch=n, lr=0.1, seconds=1.0, images_per_second=1.0))
        if model is not None:
            model.weight.data[...] = n
        if callback(model, history) is True:
            return n
    return None


# ---- a pause changes nothing ----
KINDS = {
    "EarlyStopping": lambda opt: [callbacks.EarlyStopping("loss", patience=5, restore_best_weights=True)],
    "ModelCheckpoint": lambda opt: [callbacks.ModelCheckpoint("best.npz", "val_loss", True, optimizer=opt)],
    "CSVLogger": lambda opt: [callbacks.CSVLogger("log.csv")],
    "TerminateOnNaN": lambda opt: [callbacks.TerminateOnNaN()],
    "LearningRateScheduler": lambda opt: [callbacks.LearningRateScheduler(opt, lambda n, lr: lr * 0.7 if n else lr)],
    "ReduceLROnPlateau": lambda opt: [callbacks.ReduceLROnPlateau(opt, "val_accuracy", 0.3, 1, min_delta=0.05)],
    "GradNormMonitor": lambda opt: [callbacks.GradNormMonitor(opt)],
    "WeightHistogram": lambda opt: [callbacks.WeightHistogram("*weight", 5)],
    "GradientHistogram": lambda opt: [callbacks.GradientHistogram(opt, bins=5)],
    "two of a kind": lambda opt: [callbacks.EarlyStopping("loss", patience=9),
                                  callbacks.EarlyStopping(patience=3, start_from_epoch=1)],
}


def states(made):
    flat = []

    def walk(value):
        if isinstance(value, dict):
            for key in value:
                flat.append(key)
                walk(value[key])
        elif isinstance(value, (list, tuple)):
            for item in value:
                walk(item)
        else:
            flat.append(value.tobytes() if isinstance(value, np.ndarray) else repr(value))
    for c in made:
        walk(c.state_dict() if hasattr(c, "state_dict") else {})
    return flat


def files(folder):
    """The models that are there; of a table only that it is: it holds seconds."""
    return {p.name: repr(checkpoint.load(p).state) if p.suffix == ".npz" else None for p in folder.iterdir()
            if p.is_file()}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("schedule", [None, "cosine"])
def test_two_epochs_and_two_more_are_four_to_the_bit(tmp_path, monkeypatch, kind, schedule):
    monkeypatch.chdir(tmp_path)
    make = KINDS[kind]
    whole, history, made, opt = fitted(make, schedule=schedule)
    seen = files(tmp_path)
    fitted(lambda o: [*make(o), lambda model, history: len(history) == 2], schedule=schedule, checkpoint="run")
    again, its, its_made, its_opt = fitted(make, schedule=schedule, resume="run")
    assert bits(again) == bits(whole)
    assert results(its) == results(history)
    assert states(its_made) == states(made)
    assert its_opt.lr == opt.lr
    assert files(tmp_path) == seen


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ema", [False, True])
@pytest.mark.parametrize("at", [2, 3, 7])
def test_ctrl_c_inside_an_epoch_changes_nothing(tmp_path, monkeypatch, kind, ema, at):
    monkeypatch.chdir(tmp_path)
    plain = KINDS[kind]
    make = (lambda opt: [callbacks.SwapEMA(opt, *plain(opt))]) if ema else plain
    whole, history, made, _ = fitted(make, epochs=3, ema=ema, schedule="cosine")

    def interrupting(opt):
        steps = itertools.count(1)

        def hook(params, grads):
            if next(steps) == at:
                os.kill(os.getpid(), signal.SIGINT)
            return grads
        opt.gradient_hooks.append(hook)
        return make(opt)
    _, cut, _, _ = fitted(interrupting, epochs=3, ema=ema, schedule="cosine", checkpoint="run")
    assert cut.interrupted
    again, its, its_made, _ = fitted(make, epochs=3, ema=ema, schedule="cosine", resume="run")
    assert bits(again) == bits(whole)
    assert results(its) == results(history)
    assert states(its_made) == states(made)


# ---- early stopping ----
@pytest.mark.parametrize(("settings", "values", "stop"), [  # the stops are those of Keras 3
    ({"patience": 0}, [3, 2, 2, 1], 3), ({"patience": 2}, [3, 2, 2, 2, 1], 4), ({"patience": 2}, [3, 2, 2, 1, 1], None),
    ({"patience": 1, "min_delta": 0.5}, [3, 2.6, 2.4, 2.2], 2), ({"patience": 1}, [1, math.nan, 0.5], 2),
    ({"patience": 2, "baseline": 1.0}, [5, 4, 3, 2], None), ({"patience": 2, "baseline": 1.0}, [5, 4, 4, 3], 3),
    ({"patience": 1, "start_from_epoch": 3}, [1, 2, 3, 4, 5], 5), ({"patience": 1}, [math.nan, math.nan], 2),
    ({"patience": 1, "mode": "max"}, [1, 2, 3, 3], 4), ({"patience": 0}, [1], None)])
def test_early_stopping_stops_in_time(settings, values, stop):
    callback = callbacks.EarlyStopping(**settings)
    assert replayed(callback, values) == stop
    assert callback.stopped_epoch == (stop or 0)
    assert callback.stopped == (stop is not None)
    assert replayed(callback, values) == stop, "another training begins anew"


def test_the_mode_follows_the_name():
    assert [callbacks.EarlyStopping(m).mode for m in callbacks.COLUMNS] == ["min", "max", "min", "max"]
    assert replayed(callbacks.EarlyStopping("val_accuracy", patience=1), [0.1, 0.2, 0.2], "val_accuracy") == 3
    seen = iter([3.0, 2.0, 2.5])
    assert replayed(callbacks.EarlyStopping(lambda model, history: next(seen), patience=1), [0, 0, 0]) == 3


@pytest.mark.parametrize("epochs", [4, 9])
def test_the_best_weights_come_back_whether_it_stopped_or_not(epochs):
    model = nn.Dense(1, 1)
    callback = callbacks.EarlyStopping(patience=3, restore_best_weights=True)
    values = [5, 3, 4, 4, 4, 4, 4, 4, 4][:epochs]
    replayed(callback, values, model=model)
    callback.on_train_end(model, None)
    assert callback.best_epoch == 2
    assert model.weight.item() == 2


def test_fit_ends_with_the_best_weights_and_resumes_with_the_last(tmp_path):
    def make(opt):
        return [callbacks.EarlyStopping("loss", patience=1, mode="max", restore_best_weights=True)]  # stops soon
    model, history, (stop,), _ = fitted(make, epochs=9, checkpoint=tmp_path)
    assert len(history) == stop.stopped_epoch < 9
    first = fitted(epochs=stop.best_epoch)[0]
    assert bits(model) == bits(first)
    last = fitted(epochs=stop.stopped_epoch)[0]
    state = checkpoint.load(tmp_path / "last.safetensors").state
    assert {k: v.tobytes() for k, v in state.items()} == bits(last)
    again, its, (its_stop,), _ = fitted(make, epochs=9, resume=tmp_path)
    assert its_stop.stopped
    assert len(its) == len(history), "what had stopped goes no further"
    assert bits(again) == bits(model)
    more = fitted(epochs=stop.stopped_epoch + 1, resume=tmp_path)[1]
    assert len(more) == stop.stopped_epoch + 1, "without the callback it does"


def test_without_validation_it_says_what_there_is():
    with pytest.raises(ValueError, match=r"no val_loss, but loss, accuracy; val_... needs fit\(validation"):
        fitted(lambda opt: [callbacks.EarlyStopping()], validation=None)


# ---- not a number ----
def test_what_is_not_a_number_ends_the_training():
    nan = callbacks.TerminateOnNaN()
    model = nn.Dense(1, 1)
    assert replayed(nan, [1, 2, math.nan, 1], model=model) == 3
    assert replayed(nan, [1, 2, math.inf, 1], "loss", model=model) == 3
    history = History([Epoch(1, 1.0, None, None, None, 0.1, 1.0, 1.0)])
    assert nan(model, history) is False
    model.weight.data[...] = np.nan
    assert nan(model, history) is True
    bad = X.copy()
    bad[0, 0] = np.nan
    _, history, _, _ = fitted(lambda opt: [nan], validation=(bad, Y))
    assert len(history) == 1


# ---- files ----
def test_every_kth_model_is_saved_with_its_numbers_in_the_name(tmp_path):
    path = tmp_path / "{epoch:02d}-{val_loss:.3f}.npz"
    kept = {}
    _, history, _, _ = fitted(lambda opt: [callbacks.ModelCheckpoint(path, save_freq=2, optimizer=opt,
                                                                     metadata={"why": "a test"}),
                                           lambda model, history: kept.setdefault(len(history), bits(model)) and None],
                              epochs=5)
    names = [f"{r.epoch:02d}-{r.val_loss:.3f}.npz" for r in history if r.epoch % 2 == 0]
    assert sorted(p.name for p in tmp_path.iterdir()) == names
    saved = checkpoint.load(tmp_path / names[0])
    assert {k: v.tobytes() for k, v in saved.state.items()} == kept[2]
    assert saved.metadata["why"] == "a test"
    assert saved.metadata["val_loss"] == history[1].val_loss
    saved.restore(small(), optim.Adam(small().parameters()))


@pytest.mark.parametrize("suffix", checkpoint.SUFFIXES)
def test_the_best_model_is_kept(tmp_path, suffix):
    model, path = nn.Dense(1, 1), tmp_path / f"best{suffix}"
    best = callbacks.ModelCheckpoint(path, "val_accuracy", save_best_only=True)
    for values, epoch in (([0.5, 0.7, 0.6, 0.7], 2), ([0.1, 0.2], 2), ([math.nan, 0.2, 0.1], 2)):
        replayed(best, values, "val_accuracy", model)
        assert checkpoint.load(path).state["weight"].item() == checkpoint.load(path).metadata["epoch"] == epoch
    path.unlink()
    replayed(callbacks.ModelCheckpoint(path, save_best_only=True, initial_value_threshold=0.5), [0.9, 0.6], model=model)
    assert not path.exists()


def test_the_log_is_the_history(tmp_path):
    _, history, _, _ = fitted(lambda opt: [callbacks.CSVLogger(tmp_path / "log.csv")], checkpoint=tmp_path, epochs=2)
    assert History.from_csv(tmp_path / "log.csv") == history
    _, history, _, _ = fitted(lambda opt: [callbacks.CSVLogger(tmp_path / "log.csv")], resume=tmp_path, epochs=3)
    assert History.from_csv(tmp_path / "log.csv") == history


# ---- averages ----
def test_callbacks_and_the_model_get_the_averages(tmp_path):
    seen = []

    def make(opt):
        return [lambda model, history: seen.append(bits(model)),
                callbacks.SwapEMA(opt, lambda model, history: seen.append(bits(model)),
                                  callbacks.ModelCheckpoint(tmp_path / "{epoch}.npz"))]
    model, _, _, ema = fitted(make, epochs=2, ema=True)
    assert len(seen) == 4
    assert seen[2] != seen[3] == bits(model)
    assert {k: v.tobytes() for k, v in checkpoint.load(tmp_path / "2.npz").state.items()} == seen[3]
    assert ema.swapped
    ema.swap()
    assert bits(model) == seen[2] == bits(fitted(epochs=2, ema=True)[0])


def test_the_best_averages_come_back():
    stop = callbacks.EarlyStopping("loss", patience=1, mode="max", restore_best_weights=True)
    model, _, _, _ = fitted(lambda opt: [callbacks.SwapEMA(opt, stop)], epochs=6, ema=True)
    best, _, _, _ = fitted(lambda opt: [callbacks.SwapEMA(opt)], epochs=stop.best_epoch, ema=True)
    assert bits(model) == bits(best)


def test_averages_that_have_not_begun_are_left_alone():
    def swa(params, lr):
        return optim.SWA(optim.SGD(params, lr), start=1000)
    model, _, _, opt = fitted(lambda opt: [callbacks.SwapEMA(opt)], optimizer=swa)
    assert not opt.swapped
    assert bits(model) == bits(fitted(optimizer=optim.SGD)[0])


# ---- learning rates ----
def test_the_schedule_gets_the_epoch_and_the_lr():
    seen = []

    def schedule(epoch, lr):
        seen.append((epoch, lr))
        return lr if epoch < 2 else lr * math.exp(-0.1)
    _, history, _, _ = fitted(lambda opt: [callbacks.LearningRateScheduler(opt, schedule)], lr=0.3)
    assert history["lr"] == [0.3, 0.3, 0.3 * math.exp(-0.1), 0.3 * math.exp(-0.1) * math.exp(-0.1)]
    assert [n for n, _ in seen] == [0, 1, 2, 3]
    lrs = [0.3, 0.1, 0, 0.7]
    model, history, _, opt = fitted(lambda opt: [callbacks.LearningRateScheduler(opt, lambda n, lr: lrs[n])])
    assert history["lr"] == [0.3, 0.1, 0, 0.7], "exactly, and also up from 0"
    again = train.fit(model, (X, Y), opt, epochs=2, progress=False,
                      callbacks=[callbacks.LearningRateScheduler(opt, lambda n, lr: lrs[n])])
    assert again["lr"] == [0.3, 0.1], "a new training begins at schedule(0)"


@pytest.mark.parametrize(("settings", "values", "lrs"), [  # those of Keras 3
    ({"patience": 1}, [3, 3, 3, 2, 2], [1, 0.5, 0.25, 0.25, 0.125]),
    ({"patience": 2, "cooldown": 2}, [3, 3, 3, 3, 3, 3, 3, 3], [1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25]),
    ({"patience": 0}, [3, 2, 2, 1], [1, 1, 0.5, 0.5]), ({"patience": 1, "min_lr": 0.4}, [3, 3, 3], [1, 0.5, 0.4]),
    ({"patience": 1, "min_delta": 0.5}, [3, 2.6, 2.2], [1, 0.5, 0.5]),
    ({"patience": 1, "mode": "max"}, [1, 2, 2], [1, 1, 0.5]),
    ({"patience": 1}, [math.nan, 1, 1], [0.5, 0.5, 0.25])])  # but this: there NaN is the best if it comes first
def test_the_lr_falls_on_a_plateau_when_keras_does(settings, values, lrs):
    optimizer = optim.SGD([minigrad.Parameter(np.zeros(1))], lr=7.0)
    callback = callbacks.ReduceLROnPlateau(optimizer, factor=0.5, **settings)
    for _ in range(2):
        optimizer.lr, seen, history = 1.0, [], History()
        for n, value in enumerate(values, 1):
            history.records.append(Epoch(n, 0.0, 0.0, value, 0.0, 0.1, 1.0, 1.0))
            callback(None, history)
            seen.append(optimizer.lr)
        assert seen == lrs


# ---- gradients and weights ----
def test_gradient_norms_are_those_of_the_steps():
    expected = []

    def make(opt):
        opt.gradient_hooks.append(lambda ps, gs: expected.append(
            np.linalg.norm(np.concatenate([g.ravel() for g in gs]).astype(float))) or gs)
        raw = callbacks.GradNormMonitor(opt)
        opt.gradient_hooks.append(optim.clip_norm(0.1))
        return [raw, callbacks.GradNormMonitor(opt)]
    _, _, (raw, clipped), _ = fitted(make)
    rows = np.reshape(expected, (4, 3))
    np.testing.assert_allclose(raw.norms, rows[3], rtol=1e-5)
    np.testing.assert_allclose(raw.mean, rows.mean(axis=1), rtol=1e-5)
    np.testing.assert_allclose(raw.largest, rows.max(axis=1), rtol=1e-5)
    assert max(clipped.largest) <= 0.1 + 1e-6


def test_gradients_that_explode_or_vanish_end_the_training():
    assert len(fitted(lambda opt: [callbacks.GradNormMonitor(opt, limit=1e-6)])[1]) == 1
    assert len(fitted(lambda opt: [callbacks.GradNormMonitor(opt, least=1e6)])[1]) == 1
    assert len(fitted(lambda opt: [callbacks.GradNormMonitor(opt, 1e6, 1e-6)])[1]) == 4


def test_histograms_count_the_weights_and_the_last_gradients():
    last = {}

    def make(opt):
        opt.gradient_hooks.append(lambda ps, gs: last.update({id(p): g.copy() for p, g in zip(ps, gs)}) or gs)
        return [callbacks.WeightHistogram("*.weight", 7, every=2), callbacks.GradientHistogram(opt, bins=6)]
    model, _, (weights, grads), _ = fitted(make)
    assert list(weights.records) == ["0.weight", "1.weight", "4.weight"]
    assert weights.epochs == [2, 4]
    assert grads.epochs == [1, 2, 3, 4]
    r = weights.records["0.weight"][-1]
    counts, edges = np.histogram(model[0].weight.data.astype(float), 7)
    np.testing.assert_array_equal(r["counts"], counts)
    np.testing.assert_array_equal(r["edges"], edges)
    assert (r["mean"], r["std"]) == pytest.approx((model[0].weight.data.mean(), model[0].weight.data.std()), rel=1e-4)
    g = last[id(model[4].bias)].astype(float)
    np.testing.assert_array_equal(grads.records["4.bias"][-1]["counts"], np.histogram(g, 6)[0])
    for records in itertools.chain(weights.records.values(), grads.records.values()):
        assert all(r["counts"].sum() > 0 for r in records)


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_histograms_are_drawn(tmp_path, suffix):
    pytest.importorskip("matplotlib")
    _, _, made, _ = fitted(lambda opt: [callbacks.WeightHistogram(), callbacks.GradientHistogram(opt)])
    for i, callback in enumerate(made):
        assert callback.picture(tmp_path / f"{i}{suffix}").stat().st_size > 5000
    made[0].picture(tmp_path / "one.png", ["4.bias"])


def test_constant_and_infinite_weights_have_histograms():
    model = nn.Dense(2, 2)
    model.weight.data[...], model.bias.data[...] = 3, np.nan
    callback = callbacks.WeightHistogram(bins=4)
    callback(model, [None])
    assert callback.records["weight"][0]["counts"].sum() == 4
    assert callback.records["bias"][0]["counts"].sum() == 0


# ---- what cannot be ----
@pytest.mark.parametrize(("call", "error", "text"), [
    (lambda o: callbacks.EarlyStopping("val_f1"), ValueError, r"monitor is one of loss, accuracy, .*not 'val_f1'"),
    (lambda o: callbacks.EarlyStopping(mode="best"), ValueError, r'mode is "auto", "min" or "max", not \'best\''),
    (lambda o: callbacks.EarlyStopping(patience=-1), ValueError, r"patience must be at least 0 .*got -1"),
    (lambda o: callbacks.ModelCheckpoint("m.pt"), ValueError, r"m\.pt must end in \.safetensors or \.npz"),
    (lambda o: callbacks.ModelCheckpoint("m.npz", save_freq=0), ValueError, r"save_freq must be at least 1, got 0"),
    (lambda o: callbacks.SwapEMA(o), TypeError, r"SGD keeps no averages"),
    (lambda o: callbacks.WeightHistogram(bins=0), ValueError, r"bins and every must be at least 1, got 0 and 1"),
    (lambda o: callbacks.WeightHistogram().picture("x.png"), ValueError, r"none: no epoch was finished"),
    (lambda o: callbacks.WeightHistogram("*.kernel")(small(), [0]), ValueError, r"selects none of the model's"),
    (lambda o: callbacks.ReduceLROnPlateau(o, factor=2), ValueError, r"factor must be in \(0, 1\), got 2"),
    (lambda o: callbacks.LearningRateScheduler(o, lambda n, lr: -1).on_epoch_begin(None, History()), ValueError, r"lr"),
    (lambda o: fitted(lambda o: [callbacks.ModelCheckpoint("{val_los}.npz")]), ValueError,
     r"has a field 'val_los', this training has epoch, loss")])
def test_what_cannot_be_is_said(call, error, text):
    with pytest.raises(error, match=text):
        call(optim.SGD(nn.Dense(2, 2).parameters(), lr=0.1))


# ---- what fit does for them ----
def test_the_end_is_told_once_but_not_after_ctrl_c_or_an_error(tmp_path):
    class Ending:
        def __init__(self, what=None):
            self.what, self.ends = what, []

        def __call__(self, model, history):
            if self.what:
                raise self.what
            return len(history) == 2

        def on_train_end(self, model, history):
            self.ends.append((len(history), model.training))
    for epochs, end in ((1, 1), (4, 2)):
        _, _, (ending,), _ = fitted(lambda opt: [Ending()], epochs=epochs, checkpoint=tmp_path)
        assert ending.ends == [(end, True)]
    _, _, (ending,), _ = fitted(lambda opt: [Ending()], epochs=2, resume=tmp_path)
    assert ending.ends == [(2, True)], "also where nothing was left to do"
    _, history, (ending,), _ = fitted(lambda opt: [Ending(KeyboardInterrupt())])
    assert history.interrupted
    assert ending.ends == []
    ending = Ending(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        fitted(lambda opt: [ending])
    assert ending.ends == []


def test_callbacks_can_be_used_again():
    made = [callbacks.EarlyStopping("loss", patience=1, mode="max", restore_best_weights=True),
            callbacks.WeightHistogram()]
    model, history, _, _ = fitted(lambda opt: made, epochs=9)
    state = states(made)
    again, its, _, _ = fitted(lambda opt: made, epochs=9)
    assert results(its) == results(history)
    assert bits(again) == bits(model)
    assert states(made) == state
