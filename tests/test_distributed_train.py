"""fit and the command line on several ranks: the losses of one rank, and nothing lost when one ends."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from nightly import NIGHTLY, part
from test_distributed import ROOT, mpiexec, run

import minigrad
from minigrad import Tensor, checkpoint, models, nn, optim, train
from minigrad.distributed import World

world = None  # of the programs
ranks = pytest.mark.parametrize("n", [3] if not NIGHTLY else [2, 3, 4, 5])


# ---- equal to one rank ----
def network():
    g = np.random.default_rng(1)
    model = nn.Sequential(nn.Conv2d(1, 4, 3, bias=False, generator=g), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(),
                          nn.Dense(144, 3, generator=g))  # a bias before a norm has a gradient of rounding alone
    return model.astype(np.float64)


def fitted(distributed, make, x, y, schedule=None, **options):
    minigrad.manual_seed(0)
    model = network()
    optimizer = make(model.parameters())
    history = train.fit(model, (x, y), optimizer, epochs=3, validation=(x[:31], y[:31]), schedule=schedule,
                        progress=False, distributed=distributed, **options)
    return model, history


def ranks_fit():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((83, 1, 8, 8))  # the last of the batches has 3 rows, in the second case 2
    y = np.abs(x).mean(axis=(2, 3)).argsort(axis=0).argsort(axis=0)[:, 0] // 28
    ways = {"SGD": (lambda p: optim.SGD(p, lr=0.1, momentum=0.9), {"batch_size": 16, "schedule": "onecycle"}),
            "Adam": (lambda p: optim.Adam(p, lr=0.01), {"batch_size": 27}),
            "EMA": (lambda p: optim.EMA(optim.Accumulate(optim.SGD(p, lr=0.1), 2)), {"batch_size": 16}),
            "LBFGS": (lambda p: optim.LBFGS(p, max_iter=6, line_search_fn="strong_wolfe"), {"batch_size": None})}
    for name, (make, options) in ways.items():
        (one, alone), (many, shared) = (fitted(w, make, x, y, **options) for w in (None, world))
        for column in ("loss", "val_loss"):
            np.testing.assert_allclose(shared[column], alone[column], 1e-12, err_msg=f"{name} {column}")
        assert shared["accuracy"] == alone["accuracy"] and shared["val_accuracy"] == alone["val_accuracy"], name
        assert shared["lr"] == alone["lr"], name
        for a, b in zip([*one.parameters(), *one.buffers()], [*many.parameters(), *many.buffers()]):
            np.testing.assert_allclose(np.asarray(Tensor.plain(b)), np.asarray(Tensor.plain(a)), 1e-8, 1e-11,
                                       err_msg=name)
    everywhere = world.gather([shared["loss"], shared["val_loss"], shared["seconds"]])
    assert all(h == everywhere[0] for h in everywhere)


@ranks
def test_fit_on_several_ranks_is_fit_on_one(tmp_path, n):
    run(tmp_path, n, ranks_fit, network, fitted)


def ranks_drop_branches():
    """Each rank drops other branches; the batch norms in them wait for all ranks."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((40, 1, 8, 8)).astype(np.float32), rng.integers(0, 3, 40)
    minigrad.manual_seed(0)
    model = models.resnet(width=4, size=8, classes=3, survival=0.5, mode="batch")
    train.fit(model, (x, y), optim.SGD(model.parameters(), lr=0.1), epochs=3, batch_size=8, progress=False,
              distributed=world)
    assert not any(getattr(m, "computed", False) for m in model.modules())


def test_branches_may_be_dropped_on_some_ranks(tmp_path):
    run(tmp_path, 2, ranks_drop_branches)


def ranks_misuse(folder):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((40, 1, 8, 8)), rng.integers(0, 3, 40)
    with raises(ValueError, 'has a part: use distributed.minimize(loss, params, "newton-cg")'):
        fitted(world, optim.Newton, x, y)
    bad = x.copy()
    bad[-1 if world.rank else 0] = np.nan
    with raises(train.Diverged, "the loss became nan in epoch 1, step 1 of 1"):
        fitted(world, optim.SGD, bad, y, batch_size=None)
    with raises((OSError, RuntimeError), "this folder cannot be written"):
        fitted(world, optim.SGD, x, y, checkpoint="/dev/null/x")
    with raises(ValueError, "shard: on rank 1"):
        fitted(world, optim.SGD, x[:40 - world.rank], y[:40 - world.rank])
    with raises(ValueError, "every rank is given the whole data, and takes its rows"):
        fitted(world, optim.SGD, x, y, batch_size=8 - world.rank)
    for draws in (optim.NoisySGD, lambda p: optim.GradientNoise(optim.SGD(p, lr=0.1)), optim.classical.SGLD):
        fitted(world, draws, x, y)  # which looks whether the ranks' weights are the same
    calls = []

    def one_rank_wants_to_stop(model, history):
        calls.append(len(history))
        return world.rank == 1 and len(history) == 2
    assert len(fitted(world, optim.SGD, x, y, callbacks=[one_rank_wants_to_stop])[1]) == 2
    with open(f"{folder}/{world.rank}", "w") as file:
        file.write(str(calls))


def raises(kind, text):
    return pytest.raises(kind, match=re.escape(text))


def test_what_goes_wrong_goes_wrong_on_all_ranks(tmp_path):
    run(tmp_path, 2, ranks_misuse, raises, network, fitted, arguments=(str(tmp_path),))
    assert [(tmp_path / f"{r}").read_text() for r in range(2)] == ["[1, 2]", "[1, 2]"]


# ---- an end at any moment ----
class Ending:
    """Noise that ends the rank 1 in the middle of a training, in one of several ways."""

    def __init__(self, how, rank):
        self.how, self.calls, self.generator = how if rank == 1 else None, 0, np.random.default_rng(4)

    def __call__(self, x):
        self.calls += 1
        if self.calls == 20 and self.how == "error":
            raise ArithmeticError("this is rank 1's end")
        if self.calls == 20 and self.how:
            os.kill(os.getpid(), getattr(signal, self.how))
        return x + 0.1 * self.generator.standard_normal(x.shape).astype(np.float32)


def ranks_end(folder, how=None, resume=False):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((400, 6)).astype(np.float32), rng.integers(0, 3, 400)
    minigrad.manual_seed(0)
    model = nn.Sequential(nn.Dense(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2), nn.Dense(16, 3))
    history = train.fit(model, (x, y), optim.Adam(model.parameters(), lr=0.01), epochs=4, batch_size=32,
                        transform=Ending(how, world.rank), validation=(x, y), distributed=world, checkpoint=folder,
                        every=3, resume=folder if resume else None)
    if world.first:
        print(f"losses {history['loss']} {history['val_loss']} interrupted {history.interrupted}")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """(what a training that nothing ends prints, its last checkpoint)."""
    folder = tmp_path_factory.mktemp("whole")
    out = run(folder, 2, ranks_end, Ending, arguments=(str(folder),))
    return out, checkpoint.load(folder / "last.safetensors")


@pytest.mark.parametrize(("how", "code", "told"), part([
    ("SIGTERM", 143, "terminated in epoch 2 after 7 of 13 steps"),
    ("SIGINT", 0, "interrupted in epoch 2 after 7 of 13 steps"),
    ("SIGKILL", 9, "EXIT CODE: 9"),
    ("error", 1, "failed and ends all ranks")], 2))
def test_a_rank_that_ends_ends_all_and_the_training_goes_on(tmp_path, whole, how, code, told):
    begun = time.monotonic()
    out = run(tmp_path, 2, ranks_end, Ending, arguments=(str(tmp_path / "run"), how), code=code)
    assert time.monotonic() - begun < 30
    assert told in out, out
    if code in (1, 9):
        process = re.search(r"1 \(process (\d+)\) of 2", out)[1]
        assert re.search(rf"rank 1 of 2 on .*, process {process} (failed|died)", out)
    again = run(tmp_path, 2, ranks_end, Ending, arguments=(str(tmp_path / "run"), None, True))
    assert "resumed in epoch 2 after" in again
    out, unbroken = whole
    assert losses(again) == losses(out)
    state = checkpoint.load(tmp_path / "run/last.safetensors").state
    assert all(state[k].tobytes() == v.tobytes() for k, v in unbroken.state.items())


def losses(text):
    return re.search(r"losses .* interrupted False", text)[0]


@pytest.mark.parametrize(("before", "after"), part([(3, 1), (2, 3)], 2))
def test_a_checkpoint_goes_on_with_another_number_of_ranks(tmp_path, before, after):
    run(tmp_path, before, ranks_end, Ending, arguments=(str(tmp_path / "run"), "SIGINT"))
    told = run(tmp_path, after, ranks_end, Ending, arguments=(str(tmp_path / "run"), None, True))
    assert "resumed in epoch 2 after 7 of 13 steps" in told
    assert len(checkpoint.load(tmp_path / "run/last.safetensors").metadata["training"]["history"]) == 4
    assert losses(told)


# ---- the command line ----
def program(n, *arguments, **options):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1", "MINIGRAD_NUM_THREADS": "1"}
    return subprocess.run([mpiexec(), "-n", str(n), sys.executable, "-m", "minigrad", "train", "--distributed",
                           *map(str, arguments)], env=environment, capture_output=True, text=True, timeout=120,
                          check=False, **options)


def test_the_command_trains_on_all_ranks(tmp_path):
    pytest.importorskip("sklearn", reason="the digits are scikit-learn's")
    settings = ("--data", "digits", "--epochs", 1, "--augment", 0)
    many = program(2, *settings, "--out", "two", cwd=tmp_path)
    assert many.returncode == 0, many.stderr
    assert many.stdout.count("data: digits") == 1
    assert "test accuracy" in many.stdout
    history = train.History.from_csv(tmp_path / "two/history.csv")
    assert len(history) == 1 and history[0].val_accuracy > 0.8
    assert checkpoint.load(tmp_path / "two/last.safetensors").metadata["training"]["division"] == (1298, 41, 32)


def test_one_rank_needs_no_mpi():
    assert World.alone().size == 1
    model = nn.Dense(2, 2)
    x, y = np.ones((8, 2), np.float32), np.zeros(8, int)
    train.fit(model, (x, y), optim.SGD(model.parameters(), lr=0.1), progress=False, distributed=World.alone())
    with pytest.raises(TypeError, match="distributed is what"):
        train.fit(model, (x, y), optim.SGD(model.parameters(), lr=0.1), progress=False, distributed=2)
