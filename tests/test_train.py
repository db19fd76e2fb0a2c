"""minigrad.train: it learns, to the bit the same every time, also across pauses; and it stops when it should."""

import itertools
import os
import signal
import sys
import threading

import numpy as np
import pytest

import minigrad
from minigrad import checkpoint, data, functional, models, nn, optim, train
from minigrad.train import Epoch, History

X = np.random.default_rng(0).standard_normal((70, 6)).astype(np.float32)
Y = (X[:, :3].argmax(axis=1)).astype(np.int64)


def small():
    return nn.Sequential(nn.Dense(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Dense(8, 3))


def fitted(seed=0, epochs=4, optimizer=optim.Adam, **options):
    """A model that has seen shuffling, dropout, batch norm, a random transform, and generators of its own."""
    minigrad.manual_seed(seed)
    model = small()
    model.append(nn.Dropout(0.1, generator=np.random.default_rng(seed + 1)))
    options = {"batch_size": 16, "generator": np.random.default_rng(seed + 2), "progress": False, "validation": (X, Y),
               "transform": data.Compose([data.AddNoise(0.1), data.AddNoise(0.1, np.random.default_rng(seed + 3))]),
               **options}
    history = train.fit(model, (X, Y), optimizer(model.parameters(), lr=0.01), epochs=epochs, **options)
    return model, history


def bits(model):
    return {name: value.tobytes() for name, value in model.state_dict().items()}


def results(history):
    return [(r.epoch, r.loss, r.accuracy, r.val_loss, r.val_accuracy, r.lr) for r in history]


# ---- learning ----
def test_it_learns_real_digits():
    pytest.importorskip("sklearn")
    minigrad.manual_seed(0)
    model = models.mlp(64, (32,))
    history = train.fit(model, data.digits(), optim.Adam(model.parameters(), lr=5e-3), epochs=12, batch_size=32,
                        validation=data.digits(train=False), schedule="onecycle", progress=False)
    assert history[-1].val_accuracy > 0.93
    assert history["loss"] == sorted(history["loss"], reverse=True)
    assert [r.epoch for r in history] == list(range(1, 13))
    assert all(r.seconds > 0 and r.images_per_second > 0 for r in history)
    result = train.evaluate(model, data.digits(train=False), batch_size=100)
    assert (result.loss, result.accuracy) == pytest.approx((history[-1].val_loss, history[-1].val_accuracy), rel=1e-5)
    assert result.predictions.shape == (len(data.digits(train=False)), 10)
    np.testing.assert_allclose(result.predictions.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.skipif(not os.environ.get("MINIGRAD_DATA"), reason="MINIGRAD_DATA is not set: real MNIST not tested")
def test_an_mlp_learns_mnist_in_one_epoch():
    minigrad.manual_seed(0)
    model = models.mlp()
    train.fit(model, data.MNIST(), optim.Adam(model.parameters(), lr=5e-3), schedule="onecycle", progress=False)
    assert train.evaluate(model, data.MNIST(train=False)).accuracy > 0.96


def test_reported_loss_is_the_mean_over_rows_of_unequal_batches():
    minigrad.manual_seed(0)
    model = nn.Dense(6, 3)
    loader = data.DataLoader((X, Y), batch_size=32)  # batches of 32, 32 and 6
    history = train.fit(model, loader, optim.SGD(model.parameters(), lr=1e-30), progress=False)
    whole = functional.cross_entropy(model(minigrad.Tensor(X)), Y).item()
    assert history[0].loss == pytest.approx(whole, rel=1e-6)
    assert history[0].accuracy == (model(minigrad.Tensor(X)).argmax(axis=1) == Y).mean()
    assert train.evaluate(model, (X, Y), batch_size=32).loss == pytest.approx(whole, rel=1e-6)


def test_regression_has_a_loss_but_no_accuracy(tmp_path):
    model = nn.Dense(6, 1)
    history = train.fit(model, (X, X @ np.ones((6, 1), np.float32)), optim.Adam(model.parameters(), lr=0.1), epochs=30,
                        batch_size=16, loss=functional.mse_loss, progress=False, checkpoint=tmp_path / "best.npz")
    assert history[-1].loss < 0.01 < history[0].loss
    assert history[-1].accuracy is history[-1].val_loss is history[-1].val_accuracy is None
    assert history.best.loss == min(history["loss"])
    assert train.evaluate(model, (X, X[:, :1]), loss=functional.mse_loss).predictions.shape == (70, 1)


def test_an_optimizer_that_evaluates_several_times_a_step_is_served():
    class Twice(optim.SGD):
        def step(self, closure=None):
            super().step(closure)
            return super().step(closure)
    minigrad.manual_seed(0)
    model, steps = nn.Dense(6, 3), []
    history = train.fit(model, (X, Y), Twice(model.parameters(), lr=0.5), batch_size=None, epochs=40, progress=False,
                        callbacks=[lambda model, history: steps.append(len(history))])
    assert history[-1].accuracy > 0.9
    assert steps == list(range(1, 41))


# ---- the same bits ----
def test_the_same_seed_gives_the_same_bits_and_another_does_not():
    (a, ha), (b, hb), (c, _) = fitted(0), fitted(0), fitted(1)
    assert bits(a) == bits(b) != bits(c)
    assert results(ha) == results(hb)


def test_convolutions_too_are_reproducible():
    def run():
        minigrad.manual_seed(3)
        model = models.cnn(size=8, filters=(4, 4), hidden=8, classes=3)
        images = np.random.default_rng(0).random((40, 1, 8, 8), np.float32)
        train.fit(model, (images, Y[:40]), optim.Adam(model.parameters()), epochs=2, batch_size=16, progress=False)
        return bits(model)
    assert run() == run()


@pytest.mark.parametrize("optimizer", [optim.Adam, optim.NAG])
@pytest.mark.parametrize("schedule", [None, "onecycle"])
def test_two_epochs_and_two_more_are_four_to_the_bit(tmp_path, optimizer, schedule):
    whole, history = fitted(epochs=4, optimizer=optimizer, schedule=schedule)

    def stop(model, history):
        return len(history) == 2
    fitted(epochs=4, optimizer=optimizer, schedule=schedule, checkpoint=tmp_path, callbacks=[stop])
    again, its_history = fitted(seed=0, epochs=4, optimizer=optimizer, schedule=schedule, checkpoint=tmp_path,
                                resume=tmp_path)
    assert bits(again) == bits(whole)
    assert results(its_history) == results(history)
    assert checkpoint.load(tmp_path / "model.safetensors").metadata["epoch"] == history.best.epoch


@pytest.mark.parametrize("at", [1, 3, 5, 7, 10])
def test_ctrl_c_takes_whole_steps_and_the_rest_follows_to_the_bit(tmp_path, at, capsys):
    whole, history = fitted(epochs=3)
    calls = []

    class Interrupting(optim.Adam):
        def _update(self, *args):
            super()._update(*args)
            calls.append(1)
            if len(calls) == 6 * at - 3:  # in the middle of the parameters of a step
                os.kill(os.getpid(), signal.SIGINT)
    model, cut = fitted(epochs=3, optimizer=Interrupting, checkpoint=tmp_path, progress=True)
    assert cut.interrupted
    assert len(calls) == 6 * at, "the step was finished"
    assert len(cut) == (at - 1) // 5
    assert f"interrupted in epoch {(at - 1) // 5 + 1} after {(at - 1) % 5 + 1} of 5 steps" in capsys.readouterr().err
    assert bits(model) == {k: v.tobytes() for k, v in checkpoint.load(tmp_path / "last.safetensors").state.items()}
    Interrupting.__name__, calls[:] = "Interrupting", [1] * 1000
    again, its_history = fitted(epochs=3, optimizer=Interrupting, resume=tmp_path)
    assert bits(again) == bits(whole)
    assert results(its_history) == results(history)
    assert not its_history.interrupted
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_outside_a_step_and_without_a_folder_keeps_the_model():
    def interrupt(model, history):
        raise KeyboardInterrupt
    model, history = fitted(callbacks=[interrupt])
    assert history.interrupted
    assert len(history) == 1
    assert bits(model) == bits(fitted(callbacks=[lambda *_: True])[0])


def test_a_program_with_a_signal_handler_of_its_own_keeps_it():
    heard = []
    before = signal.signal(signal.SIGINT, lambda *_: heard.append(1))
    try:
        fitted(epochs=1, callbacks=[lambda *_: os.kill(os.getpid(), signal.SIGINT)])
    finally:
        signal.signal(signal.SIGINT, before)
    assert heard == [1]


def test_it_trains_outside_the_main_thread():
    found = []
    thread = threading.Thread(target=lambda: found.append(fitted(epochs=1)[1]))
    thread.start()
    thread.join()
    assert len(found[0]) == 1


def test_resuming_something_else_is_refused(tmp_path):
    fitted(epochs=1, checkpoint=tmp_path)
    with pytest.raises(ValueError, match="on 70 rows in 5 batches of 16, these are 70 in 7 of 10: use the same data"):
        fitted(epochs=2, batch_size=10, resume=tmp_path)
    with pytest.raises(checkpoint.ModelFileError, match="state of Adam, the optimizer is SGD"):
        fitted(epochs=2, optimizer=optim.SGD, resume=tmp_path)
    with pytest.raises(checkpoint.ModelFileError, match="no training to resume"):
        fitted(resume=tmp_path / "model.safetensors")
    with pytest.raises(FileNotFoundError, match="no model file"):
        fitted(resume=tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="drew from 4 generators, this one from 3"):
        fitted(epochs=2, transform=data.AddNoise(0.1), resume=tmp_path)


# ---- stopping, schedules, switches ----
def test_a_loss_that_is_not_finite_stops_with_advice():
    minigrad.manual_seed(0)
    model = small()
    with pytest.raises(train.Diverged, match=r"epoch \d, step \d of 5 \(lr 1e\+30\): try a smaller .* 1e\+29.*clip_norm"
                       ) as caught:
        train.fit(model, (X, Y), optim.SGD(model.parameters(), lr=1e30), batch_size=16, epochs=5, progress=False)
    assert isinstance(caught.value.history, History)


def test_nan_in_the_data_is_told_apart_and_no_step_is_taken():
    model = small()
    before = bits(model)
    bad = X.copy()
    bad[-1, 0] = np.nan
    with pytest.raises(train.Diverged, match=r"nan in epoch 1, step 1 of 1 .*the batch itself holds NaN"):
        train.fit(model, (bad, Y), optim.Adam(model.parameters()), batch_size=None, progress=False)
    assert {k: v for k, v in bits(model).items() if "running" not in k and "tracked" not in k} == {
        k: v for k, v in before.items() if "running" not in k and "tracked" not in k}


def test_schedules_have_the_right_ends_and_leave_the_learning_rate_as_it_was():
    ends = {name: (f(0.0), f(1.0)) for name, f in train.SCHEDULES.items()}
    assert ends["constant"] == (1, 1)
    assert ends["linear"] == (1, 0)
    assert ends["cosine"] == pytest.approx((1, 0))
    assert ends["onecycle"] == pytest.approx((0.04, 1e-4))
    assert max(train.SCHEDULES["onecycle"](t / 1000) for t in range(1001)) == pytest.approx(1)
    model, seen = nn.Dense(6, 3), []
    optimizer = optim.SGD([{"params": [model.weight]}, {"params": [model.bias], "lr": 0.5}], lr=0.25)

    def half(done):
        seen.append(done)
        return 0.5
    history = train.fit(model, (X, Y), optimizer, batch_size=35, epochs=2, schedule=half, progress=False)
    assert seen == [0, 0.25, 0.5, 0.75]
    assert history["lr"] == [0.125, 0.125]
    assert [group["lr"] for group in optimizer.param_groups] == [0.25, 0.5]
    with pytest.raises(ValueError, match="no schedule called 'sine'; there are constant"):
        train.fit(model, (X, Y), optimizer, schedule="sine")


def test_evaluate_and_fit_leave_every_mode_as_it_was():
    model = small()
    model[1].eval()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    seen = []
    model.append(nn.Lambda(lambda x: (seen.append((model.training, model[1].training, x.requires_grad)), x)[1]))
    train.evaluate(model, (X, Y))
    assert seen.pop() == (False, False, False)
    train.fit(model, (X, Y), optimizer, batch_size=None, progress=False)
    assert seen.pop() == (True, True, True)
    assert model.training
    assert not model[1].training
    with pytest.raises(ValueError, match="cross_entropy"):
        train.evaluate(model, (X, Y[:, None]))
    assert model.training


def test_the_best_epoch_is_kept_and_earlier_files_are_replaced_whole(tmp_path):
    def measure(model, history):
        kept.append(bits(model))
    kept = []
    _, history = fitted(epochs=6, checkpoint=tmp_path / "best.npz", callbacks=[measure])
    best = checkpoint.load(tmp_path / "best.npz")
    assert best.metadata["epoch"] == history.best.epoch
    assert {k: v.tobytes() for k, v in best.state.items()} == kept[history.best.epoch - 1]
    assert history.best.val_accuracy == max(history["val_accuracy"])
    assert [p.name for p in tmp_path.iterdir()] == ["best.npz"]


def test_best_prefers_accuracy_then_loss_then_the_earlier():
    def record(n, val_loss, val_accuracy):
        return Epoch(n, 1.0, 0.5, val_loss, val_accuracy, 0.1, 1.0, 1.0)
    assert History([record(1, 0.3, 0.8), record(2, 0.4, 0.9), record(3, 0.2, 0.9), record(4, 0.2, 0.9)]).best.epoch == 3
    assert History([record(1, 0.3, None), record(2, float("nan"), None), record(3, 0.2, None)]).best.epoch == 3


def test_history_comes_back_from_csv_exactly(tmp_path):
    history = History([Epoch(1, 1 / 3, 0.1, None, None, 1e-3, 0.2, 1e5), Epoch(2, 0.25, None, 0.5, 0.75, 1e-9, 0.1, 7)])
    history.to_csv(tmp_path / "h.csv")
    assert History.from_csv(tmp_path / "h.csv") == history
    assert (tmp_path / "h.csv").read_text().splitlines()[1] == "1,0.3333333333333333,0.1,,,0.001,0.2,100000.0"
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="is not a history"):
        History.from_csv(tmp_path / "other.csv")


def test_a_loaders_own_settings_are_not_overruled():
    model = small()
    loader = data.DataLoader((X, Y), batch_size=16)
    with pytest.raises(ValueError, match="a DataLoader has its own"):
        train.fit(model, loader, optim.SGD(model.parameters()), transform=data.AddNoise(1))
    with pytest.raises(ValueError, match=r"batches \(x, y\), this data gives 1"):
        train.fit(model, data.DataLoader(X, 16), optim.SGD(model.parameters()), progress=False)


# ---- what is shown ----
def test_without_a_terminal_there_is_one_line_an_epoch(capsys):
    fitted(epochs=3, progress=True)
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert not out
    assert lines[0].split() == ["epoch", "loss", "accuracy", "val", "loss", "accuracy", "seconds", "images/s"]
    assert [line.split()[0] for line in lines[1:]] == ["1/3", "2/3", "3/3"]
    assert len({len(line) for line in lines}) == 1
    assert len(lines[0]) <= 80
    fitted(epochs=1, progress=False)
    assert capsys.readouterr() == ("", "")


def test_on_a_terminal_a_bar_fits_the_line(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    fitted(epochs=2, progress=True)
    shown = capsys.readouterr().err.replace("\n", "\r").split("\r")
    bars = [line for line in shown if "%|" in line]
    assert any("epoch 2/2 100%" in bar and "loss" in bar and "acc" in bar and "/s" in bar for bar in bars)
    assert max(map(len, shown)) <= 80


def test_a_callback_may_change_the_learning_rate():
    model = nn.Dense(2, 2)
    optimizer = optim.SGD(model.parameters(), lr=0.8)

    def halve(model, history):
        optimizer.lr *= 0.5
    x, y = np.ones((4, 2), np.float32), np.zeros(4, np.int64)
    history = train.fit(model, (x, y), optimizer, epochs=3, callbacks=[halve], progress=False)
    assert history["lr"] == [0.8, 0.4, 0.2]
    assert optimizer.lr == 0.1


@pytest.mark.parametrize("schedule", [None, "cosine"])
def test_what_callbacks_change_and_remember_is_resumed(tmp_path, schedule):
    class Patient:
        """lr / 10 at every second call: a state of its own."""

        def __init__(self):
            self.calls = 0

        def __call__(self, model, history):
            self.calls += 1
            if self.calls % 2 == 0:
                self.optimizer.lr *= 0.1

        def state_dict(self):
            return {"calls": self.calls}

        def load_state_dict(self, state):
            self.calls = state["calls"]

    def run(epochs, stop=0, **options):
        callback = Patient()

        def make(params, lr):
            callback.optimizer = optim.Adam(params, lr=lr)
            return callback.optimizer
        model, history = fitted(epochs=epochs, optimizer=make, schedule=schedule, callbacks=[
            lambda *_: None, callback, lambda model, history: len(history) == stop], **options)
        return bits(model), results(history), callback.optimizer.lr
    whole = run(5)
    for stop in (1, 2, 3):
        run(5, stop, checkpoint=tmp_path)
        assert run(5, resume=tmp_path) == whole
    assert whole[2] == pytest.approx(1e-4)


def test_an_epoch_is_saved_before_a_callbacks_error(tmp_path):
    def fail(model, history):
        raise ZeroDivisionError
    with pytest.raises(ZeroDivisionError):
        fitted(epochs=3, checkpoint=tmp_path, callbacks=[fail])
    assert bits(fitted(epochs=3, resume=tmp_path)[0]) == bits(fitted(epochs=3)[0])


# ---- every optimizer, and wrappers ----
def trained(make, epochs=2, **options):
    minigrad.manual_seed(0)
    model = nn.Sequential(nn.Dense(6, 8), nn.Tanh(), nn.Dense(8, 3))
    optimizer = make(model.parameters())
    options = {"batch_size": 16, "generator": np.random.default_rng(2), "progress": False, **options}
    return model, train.fit(model, (X, Y), optimizer, epochs=epochs, **options), optimizer


def multi(params):
    matrices, vectors = [p for p in params if p.ndim == 2], [p for p in params if p.ndim < 2]
    return optim.MultiOptimizer(optim.Accumulate(optim.EMA(optim.Muon(matrices)), 3), optim.EMA(optim.COCOB(vectors)))


OPTIMIZERS = {name: cls for name in optim.__all__ if isinstance(cls := getattr(optim, name), type)
              and issubclass(cls, optim.Optimizer) and cls is not optim.Optimizer}
OPTIMIZERS["Muon"] = lambda params: optim.Muon([p for p in params if p.ndim == 2])
WRAPPERS = {
    "EMA(COCOB)": lambda p: optim.EMA(optim.COCOB(p)), "SkipNonFinite(COCOB)": lambda p: optim.SkipNonFinite(
        optim.COCOB(p)), "SAM": lambda p: optim.SAM(optim.SGD(p, lr=0.1)), "Ranger": optim.Ranger,
    "ScheduleFree": lambda p: optim.ScheduleFree(optim.SGD(p, lr=0.5)), "SWA": lambda p: optim.SWA(optim.SGD(p), 7),
    "MultiOptimizer": lambda p: multi(list(p)),
    "Accumulate": lambda p: optim.Accumulate(optim.EMA(optim.Adam(p)), 3), "GaLore": lambda p: optim.GaLore(
        optim.Adam(p), 2)}


@pytest.mark.parametrize("make", [*OPTIMIZERS.values(), *WRAPPERS.values()], ids=[*OPTIMIZERS, *WRAPPERS])
def test_every_optimizer_trains_and_resumes(make, tmp_path):
    whole, history, optimizer = trained(make, validation=(X, Y))
    rate = optimizer.param_groups[0].get("lr")
    assert history["lr"] == [rate, rate]

    def ends(model, history):
        return True
    trained(make, 2, validation=(X, Y), checkpoint=tmp_path / "whole", callbacks=[ends])
    with pytest.raises(MemoryError):
        trained(make, 2, validation=(X, Y), checkpoint=tmp_path / "part", every=1, transform=Breaking(4))
    for place in ("whole", "part"):
        again, its_history, _ = trained(make, validation=(X, Y), resume=tmp_path / place)
        assert bits(again) == bits(whole), place
        assert results(its_history) == results(history)


class Breaking:
    def __init__(self, batches):
        self.batches = batches

    def __call__(self, x):
        self.batches -= 1
        if self.batches < 0:
            raise MemoryError
        return x


def test_without_a_learning_rate_there_is_nothing_to_schedule(tmp_path):
    _, history, _ = trained(optim.COCOB, schedule="constant")
    history.to_csv(tmp_path / "h.csv")
    assert History.from_csv(tmp_path / "h.csv") == history
    with pytest.raises(ValueError, match="COCOB has no learning rate: leave schedule= out"):
        trained(optim.COCOB, schedule="cosine")
    with pytest.raises(train.Diverged, match=r"step 1 of 5: clip gradients"):
        trained(optim.COCOB, loss=lambda output, y: (output * np.inf).sum())


def test_a_line_search_may_try_points_that_overflow():
    values = []

    def loss(output, y):
        values.append(((output * 1e4) ** 4).mean())
        return values[-1]
    minigrad.manual_seed(0)
    model = nn.Dense(6, 1)
    history = train.fit(model, (X, Y), optim.classical.SteepestDescent(model.parameters(), lr=1.0), loss, epochs=3,
                        batch_size=None, progress=False)
    assert not all(np.isfinite(v.item()) for v in values)
    assert history["loss"] == sorted(history["loss"], reverse=True)
    assert np.isfinite(model.weight.data).all()


def test_what_is_accumulated_is_flushed_at_the_end_of_an_epoch():
    one, _, _ = trained(lambda p: optim.Accumulate(optim.SGD(p, lr=0.1), 8), 2)
    minigrad.manual_seed(0)
    model = nn.Sequential(nn.Dense(6, 8), nn.Tanh(), nn.Dense(8, 3))
    optimizer, generator = optim.SGD(model.parameters(), lr=0.1), np.random.default_rng(2)
    loader = data.DataLoader((X, Y), 16, shuffle=True, generator=generator)
    for _ in range(2):
        optimizer.zero_grad()
        (sum(functional.cross_entropy(model(x), y) for x, y in loader) / 5).backward()
        optimizer.step()
    for a, b in zip(one.parameters(), model.parameters()):
        np.testing.assert_allclose(a.data, b.data, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name, average", [
    ("EMA", lambda o: o.swap()), ("SWA", lambda o: o.swap()), ("ScheduleFree", lambda o: o.eval()),
    ("around", lambda o: o.optimizer.swap()), ("each", lambda o: [part.swap() for part in o.optimizers])])
def test_averages_are_what_is_validated_and_saved(name, average, tmp_path):
    make = {"EMA": lambda p: optim.EMA(optim.SGD(p, lr=0.5), 0.9), "SWA": lambda p: optim.SWA(optim.SGD(p, lr=0.5)),
            "ScheduleFree": lambda p: optim.ScheduleFree(optim.SGD(p, lr=0.5)),
            "around": lambda p: optim.Lookahead(optim.EMA(optim.SGD(p, lr=0.5), 0.9)),
            "each": lambda p: optim.MultiOptimizer(*(optim.EMA(optim.SGD([w], lr=0.5), 0.9) for w in p))}[name]
    plain, _, _ = trained(make, 1)
    model, history, optimizer = trained(make, 1, validation=(X, Y), checkpoint=tmp_path / "best.npz")
    assert bits(model) == bits(plain), "it trains on as it would have"
    assert train.evaluate(model, (X, Y)).loss != history[0].val_loss
    average(optimizer)
    assert train.evaluate(model, (X, Y)).loss == history[0].val_loss
    assert bits(model) == {k: v.tobytes() for k, v in checkpoint.load(tmp_path / "best.npz").state.items()}


def test_before_there_is_an_average_the_weights_are_validated():
    model, history, _ = trained(lambda p: optim.SWA(optim.SGD(p, lr=0.5), start=100), 1, validation=(X, Y))
    assert train.evaluate(model, (X, Y)).loss == history[0].val_loss


def test_averages_go_back_after_an_interrupted_validation(tmp_path):
    class Interrupted(data.DataLoader):
        def __iter__(self):
            yield from itertools.islice(super().__iter__(), 1)
            raise KeyboardInterrupt
    _, history, _ = trained(lambda p: optim.EMA(optim.SGD(p, lr=0.5)), 1, checkpoint=tmp_path,
                            validation=Interrupted((X, Y), 16))
    assert history.interrupted
    whole, its_history, _ = trained(lambda p: optim.EMA(optim.SGD(p, lr=0.5)), 2, validation=(X, Y))
    again, later, _ = trained(lambda p: optim.EMA(optim.SGD(p, lr=0.5)), 2, validation=(X, Y), resume=tmp_path)
    assert bits(again) == bits(whole)
    assert results(later) == results(its_history)


@pytest.mark.parametrize("at", [3, 8])
def test_ctrl_c_while_a_batch_is_fetched(tmp_path, at):
    """A transform draws: the batch that it made is a step that is taken, or it would be drawn again otherwise."""
    calls = []

    class Jitter:
        def __init__(self, interrupt):
            self.generator, self.interrupt = np.random.default_rng(5), interrupt

        def __call__(self, x):
            x = x + 0.1 * self.generator.standard_normal(x.shape).astype(np.float32)
            calls.append(1)
            if self.interrupt and len(calls) == at:
                os.kill(os.getpid(), signal.SIGINT)
            return x

    def run(interrupt=False, **options):
        calls.clear()
        minigrad.manual_seed(1)
        model = nn.Sequential(nn.Dense(6, 4), nn.Tanh(), nn.Dense(4, 3))
        loader = data.DataLoader((X, Y), 16, shuffle=True, transform=Jitter(interrupt),
                                 generator=np.random.default_rng(2))
        history = train.fit(model, loader, optim.Adam(model.parameters(), lr=0.01), epochs=3, progress=False, **options)
        return model, history
    whole, _ = run()
    _, cut = run(True, checkpoint=tmp_path)
    assert cut.interrupted
    again, _ = run(resume=tmp_path)
    assert bits(again) == bits(whole)
