"""Nothing is lost: whatever ends a training, at whatever moment, resume goes on to the same bits."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import minigrad
from minigrad import callbacks, checkpoint, data, nn, optim, train
from minigrad.optim import schedules

ROOT = Path(minigrad.__file__).parents[1]
rng = np.random.default_rng(0)
X = rng.standard_normal((80, 6)).astype(np.float32)
Y = rng.integers(0, 3, 80)


class Crash(Exception):
    """The end of a process, as far as one process can show it."""


class Crashing(data.DataLoader):
    """Draws in its transform, and crashes before it gives a batch: in all the one numbered ``at``."""

    at, given = None, 0

    def __iter__(self):
        for batch in super().__iter__():
            if self.given == self.at:
                raise Crash
            self.given += 1
            yield batch


class Dropping(nn.Module):
    def __init__(self):
        self.first, self.norm, self.last = nn.Dense(6, 8), nn.BatchNorm1d(8), nn.Dense(8, 3)
        self.drop = nn.Dropout(0.3)

    def forward(self, x):
        return self.last(self.drop(np.tanh(self.norm(self.first(x)))))


def run(folder=None, at=None, make=optim.Adam, epochs=3, seed=0, scheduler=None, progress=False, **options):
    minigrad.manual_seed(seed)
    model = Dropping()
    optimizer = make(model.parameters())
    noise = data.AddNoise(0.1, generator=np.random.default_rng(3))
    loader = Crashing((X, Y), 16, shuffle=True, transform=noise)
    loader.at = at
    if scheduler:
        options["schedule"] = scheduler(optimizer)
    history = train.fit(model, loader, optimizer, epochs=epochs, validation=(X, Y), checkpoint=folder,
                        progress=progress, **options)
    return model, optimizer, history


def bits(thing):
    """All that a state dict holds, comparable."""
    if isinstance(thing, dict):
        return {k: bits(v) for k, v in thing.items()}
    if isinstance(thing, (list, tuple)):
        return [bits(v) for v in thing]
    return (thing.dtype.str, thing.shape, thing.tobytes()) if isinstance(thing, np.ndarray) else thing


def outcome(model, optimizer, history):
    return (bits(model.state_dict()), bits(optimizer.state_dict()),
            [(r.loss, r.accuracy, r.val_loss, r.val_accuracy, r.lr) for r in history],
            bits(minigrad.default_generator().bit_generator.state))


def steps(folder):
    """How many a checkpoint has behind it, of 5 in an epoch."""
    training = checkpoint.load(folder / "last.safetensors").metadata["training"]
    return 5 * len(training["history"]) + training["step"]


def goes_on(folder, expected, **options):
    """What comes out of resuming is what would have come without the end."""
    assert outcome(*run(folder, resume=folder, **options)) == expected


# ---- at any moment ----
@pytest.mark.parametrize(("at", "every"), [(0, None), (3, None), (7, 2), (10, 5), (13, 1), (14, 3)])
@pytest.mark.parametrize("options", [
    {}, {"schedule": "onecycle"},
    {"scheduler": lambda o: schedules.CosineAnnealingLR(o, 15), "schedule_interval": "step"}],
    ids=["plain", "onecycle", "cosine"])
def test_a_training_that_crashed_goes_on_to_the_same_bits(tmp_path, at, every, options):
    expected = outcome(*run(**options))
    with pytest.raises(Crash):
        run(tmp_path, at, every=every, **options)
    assert steps(tmp_path) == max(at // 5 * 5, at // every * every if every else 0)
    with pytest.raises(Crash):  # and once more, soon after
        run(tmp_path, steps(tmp_path) % 5 + 1, every=1, resume=tmp_path, **options)
    goes_on(tmp_path, expected, **options)


class PowerCut(BaseException):
    """Nothing runs after it: no handler, no clean-up."""


def test_power_may_fail_before_and_after_every_call_that_touches_the_disk(tmp_path, monkeypatch):
    """Of each save either all is there or nothing: the training resumes from the one before or from this one."""
    expected = outcome(*run())
    places = {os: ("link", "replace", "fsync", "open", "unlink"), Path: ("write_bytes", "mkdir", "unlink")}
    originals = {(where, name): getattr(where, name) for where, names in places.items() for name in names}
    count = cut = 0

    def failing(original, after):
        def call(*args, **kwargs):
            nonlocal count
            if not cut:
                return original(*args, **kwargs)
            if count >= cut:
                raise PowerCut  # also for what would clean up
            if after:
                result = original(*args, **kwargs)
            count += 1
            if count == cut:
                raise PowerCut
            return result if after else original(*args, **kwargs)
        return call

    reached = set()
    for after in (False, True):
        for number in range(1, 100):
            folder = tmp_path / f"{after}{number}"
            with pytest.raises(Crash):
                run(folder, 4, every=2)
            with monkeypatch.context() as patched:
                for (where, name), original in originals.items():
                    patched.setattr(where, name, failing(original, after))
                count, cut = 0, number
                try:
                    run(folder, 7, resume=folder, every=1)
                except PowerCut:
                    done = False
                except Crash:
                    done = True
                cut = 0
            reached.add(steps(folder))
            goes_on(folder, expected)
            assert not list(folder.glob(".*.tmp")), "half-written files are swept out"
            if done:
                break
        assert number > 10, "calls were counted"
    assert reached == {4, 5, 6, 7}


def start(code, *arguments, **options):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, *code, *map(str, arguments)], env=environment, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)


def test_killed_processes_lose_nothing(tmp_path):
    """A few here; `python tests/crash/kills.py` kills whole trainings of MNIST, a hundred times."""
    code = f"""if True:
        import sys
        sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "tests")!r}]
        import test_resume
        resume = sys.argv[1] if (test_resume.Path(sys.argv[1]) / "last.safetensors").exists() else None
        test_resume.run(sys.argv[1], epochs=150, every=2, resume=resume)
        """
    chance, killed, folder = np.random.default_rng(0), 0, tmp_path / "run"
    while True:
        program = start(["-c", code], folder)
        if killed < 4:
            while not (folder / "last.safetensors").exists():
                program.poll()
                assert program.returncode is None, program.stderr.read()
            before = steps(folder)
            while steps(folder) < before + 20 and program.poll() is None:
                time.sleep(0.003)
            time.sleep(chance.uniform(0, 0.02))
            program.kill()
        error = program.communicate()[1]
        if program.returncode != -signal.SIGKILL:
            break
        killed += 1
    assert program.returncode == 0, error
    assert killed >= 3
    model, _, history = run(epochs=150)
    saved = checkpoint.load(folder / "last.safetensors")
    assert bits(saved.state) == bits(model.state_dict())
    assert [r["val_loss"] for r in saved.metadata["training"]["history"]] == history["val_loss"]


# ---- signals ----
FITTING = ["-c", """if True:
    import os, signal, sys
    import numpy as np
    from minigrad import nn, optim, train
    model = nn.Dense(2, 2)
    x, y = np.ones((64, 2), np.float32), np.zeros(64, int)
    def stop(model, history):
        if len(history) == 2:
            os.kill(os.getpid(), signal.SIGTERM)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    try:
        train.fit(model, (x, y), optimizer, epochs=9, callbacks=[stop], checkpoint=sys.argv[1])
    finally:
        print("cleaned up", signal.getsignal(signal.SIGTERM) == signal.SIG_DFL)
    """]


def test_sigterm_saves_says_where_and_ends(tmp_path):
    program = start(FITTING, tmp_path / "run")
    told, error = program.communicate(timeout=60)
    assert program.returncode == 143
    assert told == "cleaned up True\n"
    assert "terminated in epoch 3 after 0 of 1 steps; the model keeps what it learnt, and" in error
    assert f"{tmp_path / 'run'} holds all to go on" in error
    assert "Traceback" not in error
    assert len(checkpoint.load(tmp_path / "run/last.safetensors").metadata["training"]["history"]) == 2


def test_sigterm_on_the_command_line_says_how_to_go_on(tmp_path):
    pytest.importorskip("sklearn", reason="the digits are scikit-learn's")
    program = start(["-m", "minigrad"], "train", "--data", "digits", "--epochs", 100000, "--out", "r", "--every", 7,
                    cwd=tmp_path)
    while "epoch" not in program.stderr.readline():
        pass
    program.send_signal(signal.SIGTERM)
    told, error = program.communicate(timeout=60)
    assert program.returncode == 143
    assert "to go on where this stopped: minigrad train --resume r --every 7" in told
    assert "Traceback" not in error
    assert (tmp_path / "r/history.csv").exists()


# ---- what cannot be written ----
def test_two_trainings_do_not_share_a_folder(tmp_path):
    answers = []

    def second(model, history):
        before = (tmp_path / "last.safetensors").read_bytes()
        with pytest.raises(BlockingIOError, match=r"another training writes to this folder now: .* choose another"):
            run(tmp_path)

        def in_a_thread():
            with pytest.raises(BlockingIOError):
                run(tmp_path)
            answers.append("refused")
        thread = threading.Thread(target=in_a_thread)
        thread.start()
        thread.join()
        other = start(FITTING, tmp_path)
        answers.append(other.communicate()[1])
        assert other.returncode == 1
        assert (tmp_path / "last.safetensors").read_bytes() == before
        return True
    run(tmp_path, callbacks=[second])
    assert len(answers) == 2
    assert "BlockingIOError" in answers[1]
    run(tmp_path, epochs=1)  # it is free again


def test_a_full_disk_is_told_and_the_last_checkpoint_stays(tmp_path):
    """By the system's own limit of a file's size: it writes a part, as a full disk does."""
    expected = outcome(*run())
    with pytest.raises(Crash):
        run(tmp_path, 7)
    whole = (tmp_path / "last.safetensors").read_bytes()
    code = f"""if True:
        import resource, signal, sys
        sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "tests")!r}]
        import test_resume
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (3000, resource.RLIM_INFINITY))
        try:
            test_resume.run({str(tmp_path)!r}, resume={str(tmp_path)!r})
        except OSError as error:
            print(error)
        """
    told, error = start(["-c", code]).communicate(timeout=60)
    assert "this file cannot be written (File too large); what was there before is as it was" in told, error
    assert str(tmp_path / "last.safetensors") in told
    assert (tmp_path / "last.safetensors").read_bytes() == whole
    assert not list(tmp_path.glob(".*.tmp"))
    goes_on(tmp_path, expected)


def test_what_cannot_be_written_is_told_before_the_first_step(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"this folder cannot be written \(Not a directory\): choose another.*file/run"):
        run(tmp_path / "file/run")
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    if os.access(closed, os.W_OK):
        closed = Path("/proc/minigrad")  # root may write everywhere else
    with pytest.raises(OSError, match=r"this folder cannot be written \(.*\): choose another"):
        run(closed)


@pytest.mark.parametrize("every", [0, -1, 2.5, True, "3"])
def test_every_is_a_number_of_steps(tmp_path, every):
    with pytest.raises(ValueError, match="every is a number of steps"):
        run(tmp_path, every=every)
    with pytest.raises(ValueError, match="it needs checkpoint=, a folder"):
        run(every=every)


# ---- what cannot be resumed ----
def damage(path):
    content = bytearray(path.read_bytes())
    content[-20] ^= 1  # in a tensor: only the checksum can tell
    path.write_bytes(content)


def test_a_damaged_checkpoint_is_told_and_the_one_before_goes_on(tmp_path, capsys):
    expected = outcome(*run())
    with pytest.raises(Crash):
        run(tmp_path, 8, every=1)
    damage(tmp_path / "last.safetensors")
    with pytest.raises(checkpoint.ModelFileError, match="is damaged: what it holds does not fit its checksum"):
        checkpoint.load(tmp_path / "last.safetensors")
    with pytest.raises(Crash):
        run(tmp_path, 0, resume=tmp_path, progress=True)
    told = capsys.readouterr().err
    assert "does not fit its checksum; copy or train it again; this goes on from previous.safetensors" in told
    assert "resumed in epoch 2 after 2 of 5 steps" in told
    assert steps(tmp_path) == 7
    assert not (tmp_path / "previous.safetensors").exists(), "a damaged file is not kept for the worst"
    goes_on(tmp_path, expected)
    for name in ("last", "previous"):
        damage(tmp_path / f"{name}.safetensors")
    with pytest.raises(checkpoint.ModelFileError, match=r"last\.safetensors is damaged"):
        run(resume=tmp_path)


@pytest.mark.parametrize(("change", "message"), [
    (lambda m: m.update(minigrad_format=9, minigrad="7.1"), "written by minigrad 7.1 in format 9, this minigrad reads "
     "up to 1: install that version"),
    (lambda m: m.pop("training"), "holds a model, but no training to resume"),
    (lambda m: m["training"].pop("sums"), "no training that can be resumed"),
    (lambda m: m["training"].update(division=[80, 7, 12]), "on 80 rows in 7 batches of 12, these are 80 in 5 of 16"),
    (lambda m: m["training"].update(division=[79, 5, 16]), "on 79 rows in 5 batches of 16, these are 80"),
    (lambda m: m["training"].update(history=4 * m["training"]["history"]), "has 4 epochs already, more than epochs=3"),
    (lambda m: m["training"].update(chance=[]), "drew from 0 generators"),
    (lambda m: m["training"].update(history=[{"epoch": 1}]), "no training that can be resumed"),
    (lambda m: m["training"].update(lrs=3), "no training that can be resumed"),
    (lambda m: m.update(optimizer="SGD"), "state of SGD, the optimizer is Adam")])
def test_what_cannot_be_resumed_leaves_all_as_it_was(tmp_path, change, message):
    run(tmp_path, epochs=1)
    saved = checkpoint.load(tmp_path / "last.safetensors")
    whole = Dropping()
    optimizer = optim.Adam(whole.parameters())
    saved.restore(whole, optimizer)
    metadata = dict(saved.metadata)
    change(metadata)
    from_now_on = metadata.pop("minigrad_format", None)
    checkpoint.save(tmp_path / "changed.safetensors", whole, optimizer, metadata)
    rewrite(tmp_path / "changed.safetensors", metadata, from_now_on)
    minigrad.manual_seed(5)
    model = Dropping()
    optimizer = optim.Adam(model.parameters(), lr=0.5)
    early = callbacks.EarlyStopping(patience=3)
    noise = data.AddNoise(0.1, generator=np.random.default_rng(8))
    loader = data.DataLoader((X, Y), 16, shuffle=True, transform=noise)

    def state():
        return bits([model.state_dict(), optimizer.state_dict(), early.state_dict(),
                     minigrad.default_generator().bit_generator.state, noise.generator.bit_generator.state])
    before = state()
    with pytest.raises(ValueError, match=message):
        train.fit(model, loader, optimizer, epochs=3, resume=tmp_path / "changed.safetensors", progress=False,
                  callbacks=[early], validation=(X, Y))
    assert state() == before


def rewrite(path, metadata, form):
    """What another version may have written: with its own names, and the checksum that fits."""
    from safetensors import safe_open
    from safetensors.numpy import load_file, save_file
    arrays = load_file(path)
    with safe_open(path, "np") as file:
        text = {k: v for k, v in file.metadata().items() if k != checkpoint.CHECKSUM}
    for key in ("optimizer", "minigrad"):
        if key in metadata:
            text[key] = json.dumps(metadata[key])
    if form is not None:
        text["minigrad_format"] = json.dumps(form)
    text[checkpoint.CHECKSUM] = json.dumps(checkpoint._checksum(arrays, text))
    save_file(arrays, path, text)


def test_another_model_is_refused_and_left_as_it_was(tmp_path):
    run(tmp_path, epochs=1)
    model = nn.Sequential(nn.Dense(6, 4), nn.Dense(4, 3))
    before = bits(model.state_dict())
    with pytest.raises(checkpoint.ModelFileError, match=r"does not fit Sequential; missing: .*unexpected: "):
        train.fit(model, data.DataLoader((X, Y), 16), optim.Adam(model.parameters()), resume=tmp_path, progress=False)
    assert bits(model.state_dict()) == before


def test_more_epochs_stretch_a_schedule_and_that_is_said(tmp_path, capsys):
    run(tmp_path, epochs=1, schedule="linear")
    run(tmp_path, epochs=4, schedule="linear", resume=tmp_path, progress=True)
    assert ("the schedule now spans 4 epochs, not 1: the learning rate goes from 0 to 0.75 of its largest"
            in capsys.readouterr().err)


def test_another_training_begins_in_a_used_folder_without_the_others_leftovers(tmp_path):
    with pytest.raises(Crash):
        run(tmp_path, 7, every=1)
    (tmp_path / ".last.safetensors.1.2.tmp").write_text("half")
    with pytest.raises(Crash):
        run(tmp_path, 0, seed=1)
    assert {p.name for p in tmp_path.iterdir()} - {".lock"} == {"last.safetensors", "model.safetensors"}


# ---- nothing leaks ----
def test_fits_leave_no_files_threads_or_folders(tmp_path, monkeypatch):
    """A hundred here; `python tests/crash/leaks.py` makes a thousand and more of what fit can do."""
    from crash.leaks import fits, open_files
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    fits(3, tmp_path / "run")
    files, threads = open_files(), threading.active_count()
    fits(100, tmp_path / "run")
    assert open_files() == files
    assert threading.active_count() == threads
    assert not list((tmp_path / "temporary").iterdir())


# ---- all that draws ----
class Noisy:
    """A transform with a generator, by itself or inside of others."""

    def __init__(self, seed, inner=None):
        self.generator, self.transform = np.random.default_rng(seed), inner

    def __call__(self, x):
        x = x if self.transform is None else self.transform(x)
        return x + 0.1 * self.generator.standard_normal(x.shape).astype(np.float32)


class NoisyDataset:
    def __init__(self, dataset):
        self.dataset, self.generator = dataset, np.random.default_rng(7)

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, rows):
        x, y = self.dataset[rows]
        return x + 0.1 * self.generator.standard_normal(x.shape).astype(np.float32), y


def test_whatever_draws_goes_on_where_it_was(tmp_path):
    """Generators of datasets in datasets, of transforms in transforms, of a validation that is broken off."""
    def draws(folder=None, at=None, **options):
        minigrad.manual_seed(0)
        model, calls = Dropping(), []

        class Validation(data.DataLoader):
            def __iter__(self):
                for batch in super().__iter__():
                    calls.append(1)
                    if len(calls) == at:
                        os.kill(os.getpid(), signal.SIGINT)
                    yield batch
        inside = data.ArrayDataset(X, Y, transform=Noisy(1, Noisy(2)))
        loader = data.DataLoader(NoisyDataset(inside), 16, shuffle=True)
        validation = Validation((X, Y), 16, shuffle=True, transform=Noisy(3, data.AddNoise(0.1)))
        optimizer = optim.SGD(model.parameters(), lr=0.1)
        history = train.fit(model, loader, optimizer, epochs=3, validation=validation, checkpoint=folder,
                            progress=False, **options)
        return outcome(model, optimizer, history), history
    expected, _ = draws()
    assert draws(tmp_path, 8)[1].interrupted
    assert draws(tmp_path, resume=tmp_path)[0] == expected


def test_a_lazy_model_that_ended_before_its_first_step(tmp_path):
    def lazy(**options):
        minigrad.manual_seed(0)
        model = nn.Sequential(nn.LazyLinear(8), nn.Tanh(), nn.LazyLinear(3))
        optimizer = optim.SGD(model.parameters(), lr=0.1)
        return outcome(model, optimizer, train.fit(model, (X, Y), optimizer, epochs=2, batch_size=16, progress=False,
                                                   generator=np.random.default_rng(1), **options))

    def crash(x):
        raise Crash
    expected = lazy()
    with pytest.raises(Crash):
        lazy(checkpoint=tmp_path, transform=crash)
    assert lazy(checkpoint=tmp_path, resume=tmp_path) == expected


def test_half_a_step_is_not_saved_for_a_whole_one(tmp_path):
    """Ctrl-C that comes by the program's own handler: the last whole checkpoint stays."""
    def half(x):
        half.calls += 1
        if half.calls == 8:
            raise KeyboardInterrupt
        return x
    half.calls = 0
    expected = outcome(*run())
    whole = train.fit
    minigrad.manual_seed(0)
    model = Dropping()
    noise = data.AddNoise(0.1, generator=np.random.default_rng(3))
    loader = data.DataLoader((X, Y), 16, shuffle=True, transform=data.Compose([noise, half]))
    history = whole(model, loader, optim.Adam(model.parameters()), epochs=3, validation=(X, Y), checkpoint=tmp_path,
                    progress=False)
    assert history.interrupted
    assert steps(tmp_path) == 5
    goes_on(tmp_path, expected)


def test_the_best_model_so_far_comes_along_to_another_folder(tmp_path):
    run(tmp_path / "a", epochs=1)
    run(tmp_path / "b", epochs=1, resume=tmp_path / "a")
    assert checkpoint.load(tmp_path / "b/model.safetensors").metadata["epoch"] == 1


def test_what_is_replaced_is_said_and_files_of_others_stay(tmp_path, capsys):
    (tmp_path / ".notes.tmp").write_text("mine")
    run(tmp_path, epochs=1)
    run(tmp_path, epochs=1, progress=True)
    assert "holds another training, which this one replaces: resume= would go on with it" in capsys.readouterr().err
    assert (tmp_path / ".notes.tmp").read_text() == "mine"


def test_a_full_disk_at_ctrl_c_keeps_the_history(tmp_path, monkeypatch, capsys):
    def full(*_):
        raise OSError(28, "No space left on device")

    def interrupt(model, history):
        monkeypatch.setattr(checkpoint, "save", full)
        raise KeyboardInterrupt
    with pytest.raises(OSError, match="No space left"):  # by the save after the callback
        run(tmp_path, callbacks=[interrupt], progress=True)

    class Loader(data.DataLoader):
        def __iter__(self):
            for i, batch in enumerate(super().__iter__()):
                if i == 3:
                    os.kill(os.getpid(), signal.SIGINT)
                yield batch
    monkeypatch.undo()
    model = nn.Dense(6, 3)

    def later(model, history):
        monkeypatch.setattr(checkpoint, "save", full)
    history = train.fit(model, Loader((X, Y), 16), optim.SGD(model.parameters(), lr=0.1), epochs=2,
                        checkpoint=tmp_path / "b", callbacks=[Later(later)])
    assert history.interrupted
    assert "holds its last checkpoint: [Errno 28] No space left on device" in capsys.readouterr().err


class Later:
    def __init__(self, function):
        self.on_epoch_begin = function

    def __call__(self, model, history):
        pass
