"""minigrad.cli, called as a function, once as a program; and the images that `minigrad predict` reads."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import minigrad
from minigrad import checkpoint, cli, data, images, models, race, train
from minigrad.cli import main
from minigrad.viz import functions, theatre

pytest.importorskip("sklearn")
QUICK = ["train", "--data", "digits", "--epochs", "2"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A trained model's folder."""
    folder = tmp_path_factory.mktemp("runs") / "mlp"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cli, "_pictures", lambda *_: None)
        assert main(["train", "--data", "digits", "--epochs", "8", "--out", str(folder)]) == 0
    return folder


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder to be in; no pictures are made, which takes longer than training does."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli, "_pictures", lambda *_: None)
    return tmp_path


def one_line_error(capsys):
    err = capsys.readouterr().err
    assert err.startswith("minigrad: error: ")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    return err


# ---- train ----
def test_train_writes_everything_it_promises(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([*QUICK, "--model", "cnn", "--optimizer", "NAG"]) == 0
    out, err = capsys.readouterr()
    folder = tmp_path / "runs/cnn-digits"
    names = {p.name for p in folder.iterdir()}
    expected = {"config.json", "history.csv", "model.safetensors", "last.safetensors", "previous.safetensors",
                "graph.dot"}
    assert expected <= names - {".lock"} <= expected | {"graph.svg", "curves.png", "confusion.png", "wrong.png"}
    assert "data: digits, 1,298 images to train, 144 to validate, 355 to test" in out
    assert "Conv2d" in out
    assert "NAG, lr 0.1 (onecycle), batches of 32, seed 0" in out
    assert "test accuracy " in out
    assert "written to runs/cnn-digits" in out
    assert max(len(line) for line in (out + err).splitlines()) <= 80
    config = json.loads((folder / "config.json").read_text())
    assert {key: config[key] for key in ("model", "data", "optimizer", "lr", "epochs", "batch_size", "seed")} == {
        "model": "cnn", "data": "digits", "optimizer": "nag", "lr": 0.1, "epochs": 2, "batch_size": 32, "seed": 0}
    history = train.History.from_csv(folder / "history.csv")
    assert len(history) == 2
    saved = checkpoint.load(folder / "model.safetensors")
    assert saved.metadata["epoch"] == history.best.epoch
    told = float(out.split("test accuracy ")[1].split("%")[0])
    assert told == pytest.approx(100 * train.evaluate(saved.build(), data.digits(train=False)).accuracy, abs=0.005)


def test_the_same_command_gives_the_same_bits_and_a_new_folder(here):
    for _ in range(2):
        assert main(QUICK) == 0
    assert main([*QUICK, "--seed", "1"]) == 0
    states = [checkpoint.load(here / f"runs/mlp-digits{n}/model.safetensors").state for n in ("", "-2", "-3")]
    assert all((states[0][name] == states[1][name]).all() for name in states[0])
    assert any((states[0][name] != states[2][name]).any() for name in states[0])


def test_resume_goes_on_to_the_bit(here):
    options = ["train", "--data", "digits", "--schedule", "constant", "--augment", "1", "--batch-size", "64"]
    assert main([*options, "--epochs", "4", "--out", "whole"]) == 0
    assert main([*options, "--epochs", "2", "--out", "parts"]) == 0
    assert main(["train", "--resume", "parts", "--epochs", "4"]) == 0
    whole, parts = (checkpoint.load(here / name / "last.safetensors") for name in ("whole", "parts"))
    assert all((whole.state[name] == parts.state[name]).all() for name in whole.state)
    assert [len(train.History.from_csv(here / name / "history.csv")) for name in ("whole", "parts")] == [4, 4]
    assert json.loads((here / "parts/config.json").read_text())["epochs"] == 4


def test_without_validation_and_in_one_batch(here, capsys):
    assert main([*QUICK, "--validation", "0", "--batch-size", "all", "--optimizer", "sgd"]) == 0
    assert "1,442 images to train, 0 to validate" in capsys.readouterr().out
    assert json.loads((here / "runs/mlp-digits/config.json").read_text())["batch_size"] == "all"
    assert main(["train", "--resume", "runs/mlp-digits", "--epochs", "3"]) == 0


def test_where_mnist_is_out_of_reach_digits_are_used_and_that_is_said(here, capsys, monkeypatch):
    def out_of_reach(*_, **__):
        raise data.DatasetNotAvailable("no network", "no network")
    monkeypatch.setattr(data.datasets, "MNIST", out_of_reach)
    assert main(["train", "--epochs", "1"]) == 0
    out, err = capsys.readouterr()
    assert "MNIST is not reachable (no network), using scikit-learn's digits" in err
    assert "data: digits" in out
    assert (here / "runs/mlp-digits").is_dir()
    assert main(["train", "--data", "mnist"]) == 1
    assert "no network" in one_line_error(capsys)


@pytest.mark.skipif(not os.environ.get("MINIGRAD_DATA"), reason="MINIGRAD_DATA is not set: real MNIST not tested")
def test_auto_is_mnist_where_it_is(here, capsys):
    assert main(["train", "--epochs", "1", "--batch-size", "1000"]) == 0
    assert "data: MNIST, 54,000 images" in capsys.readouterr().out
    assert (here / "runs/mlp-mnist/model.safetensors").is_file()


def test_without_matplotlib_the_rest_still_works(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main(QUICK) == 0
    assert 'matplotlib is needed for pictures: pip install "minigrad[plot]"' in capsys.readouterr().out
    names = {p.name for p in (tmp_path / "runs/mlp-digits").iterdir()}
    assert "graph.dot" in names
    assert "curves.png" not in names


def test_ctrl_c_saves_and_the_run_can_be_resumed(here, capsys, monkeypatch):
    steps = []
    step = minigrad.optim.Adam.step

    def interrupted(self, closure=None):
        steps.append(1)
        if len(steps) == 60:
            os.kill(os.getpid(), signal.SIGINT)
        return step(self, closure)
    monkeypatch.setattr(minigrad.optim.Adam, "step", interrupted)
    assert main([*QUICK, "--out", "cut"]) == 130
    out, err = capsys.readouterr()
    assert "interrupted in epoch 2 after 19 of 41 steps; the model keeps what it learnt" in err
    assert "minigrad train --resume cut" in out
    assert main(["train", "--resume", "cut"]) == 0
    assert "resumed in epoch 2 after 19 of 41 steps" in capsys.readouterr().err
    assert main(["train", "--resume", "cut"]) == 0
    assert "2 of 2 epochs are done" in capsys.readouterr().err
    assert main([*QUICK, "--out", "whole"]) == 0
    cut, whole = (checkpoint.load(here / name / "last.safetensors").state for name in ("cut", "whole"))
    assert all((cut[name] == whole[name]).all() for name in whole)


def test_a_loss_that_explodes_is_an_error_of_one_line(here, capsys):
    assert main([*QUICK, "--optimizer", "sgd", "--lr", "1e30"]) == 1
    err = capsys.readouterr().err.splitlines()[-1]
    assert err.startswith("minigrad: error: the loss became ")
    assert "try a smaller learning rate" in err


@pytest.mark.parametrize(("arguments", "message"), [
    (["train", "--resume", "nowhere"], "nowhere is not the folder of a run"),
    (["train", "--resume", "x", "--lr", "1", "--out", "y"], "not --lr, --out"),
    (["train", "--data", "digits", "--out", "file/x"], "file/x'"),
    (["predict", "none.safetensors", "test:0"], "there is no model file none.safetensors"),
    (["predict", "file", "test:0"], "ends in .safetensors or .npz"),
    (["graph", "--out", "g.gif"], "ends in .svg, .png, .pdf or .dot"),
    (["graph", "--model", "vgg"], "no model called 'vgg'; there are mlp, cnn, lenet5, resnet"),
    (["compare", "--function", "hill"], "no function called 'hill'; there are bowl, saddle"),
    (["compare", "--optimizers", "sgd,nope"], "no optimizer called 'nope'; minigrad compare --help lists them"),
    (["compare", "--optimizers", "mirror-descent"], "MirrorDescent needs a start with x, y >= 0"),
    (["compare", "--optimizers", ","], "no optimizer was named"),
    (["compare", "--optimizers", "sgd:-1"], "lr must be finite and at least 0, got -1"),
    (["compare", "--optimizers", "fista"], "FISTA needs prox, which bowl does not have"),
    (["compare", "--steps", "1", "--out", "file/x"], "file/x/table.csv"),
    (["compare", "--data", "digits", "--function", "bowl"], "--data digits and --function bowl: give one"),
    (["compare", "--data", "digits", "--steps", "9"], "on --data all have the same --budget"),
    (["compare", "--model", "cnn", "--seeds", "3"], "--model, --seeds: for a race on data, so name it: --data digits"),
    (["compare", "--data", "digit"], "no data set called 'digit'; did you mean digits?"),
    (["compare", "--data", "moons", "--model", "cnn"], "a cnn is for images, digits or mnist"),
    (["compare", "--data", "moons", "--optimizers", "adamm"], "no optimizer called 'adamm'; did you mean adam"),
    (["compare", "--data", "moons", "--optimizers", "exact"], "at most 3,000 weights, and this model has 33,922"),
    (["compare", "--data", "moons", "--optimizers", "lbfgs", "--out", "file/x"], "file/x/table.csv"),
])
def test_errors_are_one_line(here, capsys, arguments, message):
    (here / "file").write_text("in the way")
    assert main(arguments) == 1
    assert message in one_line_error(capsys)


def test_a_damaged_run_is_told(here, capsys, run):
    (here / "a").mkdir()
    (here / "a/config.json").write_text("{")
    assert main(["train", "--resume", "a"]) == 1
    assert "damaged" in one_line_error(capsys)
    (here / "a/config.json").write_bytes((run / "config.json").read_bytes())
    assert main(["train", "--resume", "a"]) == 0  # as after an end before the first checkpoint
    assert "a has no checkpoint yet: this begins at the beginning" in capsys.readouterr().err
    states = [checkpoint.load(folder / "model.safetensors").state for folder in (here / "a", run)]
    assert all((states[0][name] == states[1][name]).all() for name in states[0])


@pytest.mark.parametrize("arguments", [["fly"], ["train", "--lr", "-1"], ["train", "--lr", "nan"],
                                       ["train", "--epochs", "0"], ["train", "--optimizer", "nope"],
                                       ["train", "--batch-size", "many"], ["train", "--validation", "1"], ["predict"],
                                       ["compare", "--steps", "0"], ["compare", "--seed", "x"],
                                       ["compare", "--hidden", "8,x"], ["compare", "--tuning", "0"],
                                       ["compare", "--l2", "-1"]])
def test_wrong_usage_exits_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: minigrad" in capsys.readouterr().err


def test_help_shows_examples_and_version_the_version(capsys):
    for arguments, text in ((["--help"], "minigrad train --model cnn"), (["train", "--help"], "--resume DIR"),
                            (["--version"], f"minigrad {minigrad.__version__} (NumPy {np.__version__}")):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 0
        assert text in capsys.readouterr().out
    assert main([]) == 0
    assert "usage: minigrad" in capsys.readouterr().out


def test_every_optimizer_that_help_names_is_accepted(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    named = re.search(r"one of (.*?), in any case", " ".join(capsys.readouterr().out.split())).group(1).split(", ")
    assert set(minigrad.optim.__all__) > {"Adam", "EMA", "StepLR"} and "adam" in named and "ema" not in named
    for name in named:
        model = models.mlp(4, (3,), 2)
        optimizer = minigrad.optim.by_name(cli._optimizer(name))(model.parameters(), lr=0.01)

        def closure(model=model, optimizer=optimizer):
            optimizer.zero_grad()
            loss = minigrad.functional.cross_entropy(model(minigrad.Tensor(np.ones((2, 4), np.float32))),
                                                     np.array([0, 1]))
            if not optimizer.needs_graph:
                loss.backward()
            return loss
        optimizer.step(closure)
    with pytest.raises(SystemExit):
        main(["train", "--optimizer", "adamm"])
    assert "no optimizer called 'adamm'; did you mean adam or " in capsys.readouterr().err


def test_every_default_learning_rate_is_of_an_optimizer():
    for name in cli.LEARNING_RATES:
        minigrad.optim.by_name(name)
    assert set(cli.SCHEDULES) == set(train.SCHEDULES)


# ---- predict ----
def test_predict_knows_test_images_and_says_the_truth(run, capsys):
    assert main(["predict", str(run / "model.safetensors"), "test:0", "test:17"]) == 0
    lines = capsys.readouterr().out.splitlines()
    test = data.digits(train=False)
    assert [line.split()[0] for line in lines] == ["test:0", "test:17"]
    assert [int(line.split("(truth ")[1][0]) for line in lines] == [test.y[0], test.y[17]]
    assert lines[0].count("%") == 3
    assert main(["predict", str(run / "model.safetensors"), "test:355"]) == 1
    assert "test:0 to test:354" in one_line_error(capsys)


def test_predict_reads_pictures_dark_or_light_large_or_off_centre(run, here, capsys):
    image = pytest.importorskip("PIL.Image")
    test = data.digits(train=False)
    model = checkpoint.load(run / "model.safetensors").build()
    shares = train.evaluate(model, test).predictions
    sure = [int(np.flatnonzero((test.y == c) & (shares.argmax(1) == c))[np.argmax(
        shares[(test.y == c) & (shares.argmax(1) == c), c])]) for c in range(10)]
    names = []
    for c, row in enumerate(sure):
        digit = np.kron(test.x[row, 0], np.ones((12, 12), np.float32))
        paper = np.zeros((170, 200), np.float32)
        paper[20:116, 70:166] = digit
        paper = paper if c % 2 else 1 - paper
        picture = image.fromarray(np.uint8(paper * 255))
        names.append(f"{c}.{'png' if c % 3 else 'jpg'}")
        picture.convert("RGB" if c % 4 else "L").save(names[-1])
    np.save("raw.npy", test.x[sure[3]])
    assert main(["predict", str(run / "model.safetensors"), *names, "raw.npy"]) == 0
    said = [line.split()[1] for line in capsys.readouterr().out.splitlines()]
    assert sum(s == t for s, t in zip(said, "0123456789")) >= 8
    assert said[-1] == "3"


def test_predict_works_with_the_last_state_too_but_not_with_other_models(run, here, capsys):
    assert main(["predict", str(run / "last.safetensors"), "test:1"]) == 0
    capsys.readouterr()
    checkpoint.save("bare.npz", models.mlp(4, (2,), 3))
    assert main(["predict", "bare.npz", "test:1"]) == 1
    assert "does not say that it takes square grey images" in one_line_error(capsys)
    assert main(["predict", str(run / "model.safetensors"), "gone.png"]) == 1
    assert "there is no image gone.png" in one_line_error(capsys)
    np.save("blank.npy", np.ones((28, 28)))
    assert main(["predict", str(run / "model.safetensors"), "blank.npy"]) == 1
    assert "blank.npy: there is no digit in this image" in one_line_error(capsys)


# ---- compare ----
def test_compare_draws_and_tells_what_three_lines_of_python_do(here, capsys):
    pytest.importorskip("matplotlib")
    pytest.importorskip("PIL")
    assert main(["compare", "--function", "double_well", "--optimizers", "sgd, Adam:0.5,steepest-descent", "--steps",
                 "8", "--dark"]) == 0
    out = capsys.readouterr().out
    runs = theatre.race(functions.by_name("double-well"), ["sgd", "adam:0.5", "steepest-descent"], 8)
    assert out.startswith("double-well: (x² − 1)² + 0.3x + y² from (1.8, 1.0), least at (-1.03558, 0)\n\n")
    assert theatre.table(runs) in out
    assert "written to runs/compare-double-well: loss.png paths.gif paths.png" in out
    names = {p.name for p in (here / "runs/compare-double-well").iterdir()}
    assert names == {"table.csv", "paths.png", "side-by-side.png", "loss.png", "rates.png", "paths.gif"}
    theatre.to_csv(runs, "again.csv")
    assert (here / "again.csv").read_bytes() == (here / "runs/compare-double-well/table.csv").read_bytes()


def test_compare_is_the_lecture_by_default_and_works_without_matplotlib(here, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main(["compare", "--out", "c"]) == 0
    out = capsys.readouterr().out
    rows = [line.split() for line in out.splitlines() if line.endswith("30         30")]
    assert [row[0].lower() for row in rows] == cli.COMPARED.split(",")
    assert rows[0][1:4] == ["0.95", "-0.350393", "0.084782317"]
    assert 'matplotlib is needed for pictures: pip install "minigrad[plot]"' in out
    assert "written to c: table.csv" in out
    assert main(["compare", "--function", "saddle", "--optimizers", "sgd", "--out", "s"]) == 0
    assert "saddle: x² − y² from (-1.5, 0.001), without a lower bound" in capsys.readouterr().out
    names = "sgd:100,lion,cocob,steepest-descent,conjugate-gradient,barzilai-borwein,sgld"  # all that help names
    assert main(["compare", "--function", "himmelblau", "--optimizers", names, "--out", "h"]) == 0
    out = capsys.readouterr().out
    assert "  left bounds\n" in out and "lr tuned, of 16 from 0.0001 to 10 by " in out
    assert max(map(len, out.splitlines())) <= 100 and len(out.splitlines()[0]) < 80


def test_compare_on_data_is_a_full_batch_race(here, capsys):
    pytest.importorskip("matplotlib")
    given = {"data": "moons", "hidden": "8,4", "samples": 30, "optimizers": "adam, SGD:1,Newton", "budget": 20,
             "tuning": 0.5, "seeds": 2, "seed": 3, "target": 0.5, "l2": 1e-3}
    assert main(["compare", *(f"--{key}={value}" for key, value in given.items())]) == 0
    out = capsys.readouterr().out
    problem = race.problem("moons", "mlp", 30, hidden=(8, 4), l2=1e-3, seed=3)
    assert out.startswith(problem.title.partition(" weights")[0])
    runs = race.race(problem, ["adam", "sgd:1", "newton-cg"], 20, seeds=2, tuning=0.5, target=0.5)
    rows = [[cells[0], *cells[2:9]] for cells in map(str.split, race.table(runs, 0.5).splitlines())]  # but the seconds
    assert [[cells[0], *cells[2:9]] for cells in map(str.split, out.split("\n\n")[1].splitlines())] == rows
    assert max(map(len, out.splitlines())) <= 80 and "lr tuned, of 16" in out and "SGD" in out
    names = {p.name for p in (here / "runs/compare-mlp-moons").iterdir()}
    assert names == {"table.csv", "series.csv", "loss.png", "gradient.png"}


def test_compare_on_data_works_without_matplotlib(here, capsys, monkeypatch):
    pytest.importorskip("sklearn")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main(["compare", "--data", "digits", "--model", "logistic", "--optimizers", "lbfgs", "--l2", "0.01",
                 "--samples", "50", "--out", "c"]) == 0
    out = capsys.readouterr().out
    assert "digits, 50 samples: logistic, 650 weights in float64, L2 0.01, full batch; budget 400" in out.replace(
        "\n ", "")
    assert 'pip install "minigrad[plot]"' in out and "written to c: series.csv table.csv" in out
    assert "L-BFGS converged after " in out


# ---- graph, and the program itself ----
def test_graph_draws_models_and_files(run, here, capsys):
    for arguments, name in ((["--model", "cnn", "--out", "c.dot"], "c.dot"), (["--out", "new/m.svg"], "new/m.dot"),
                            (["--model", str(run / "model.safetensors"), "--out", "f.dot"], "f.dot")):
        assert main(["graph", *arguments]) == 0
        assert "wrote " in capsys.readouterr().out
        assert (here / name).read_text().startswith("digraph minigrad {")
    assert "(64, 256)" in (here / "f.dot").read_text()
    assert sorted(p.name for p in here.iterdir()) == ["c.dot", "f.dot", "new"]


def test_as_a_program(tmp_path):
    root = Path(minigrad.__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONWARNINGS": "error", "OPENBLAS_NUM_THREADS": "1"}
    program = [sys.executable, "-m", "minigrad"]
    done = subprocess.run([*program, *QUICK], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    epochs = [line for line in done.stderr.splitlines() if "%" in line]
    assert len(epochs) == 2 and done.stderr.startswith("   epoch "), "a heading and a line an epoch"
    assert sum(line.startswith("Adam") for line in done.stdout.splitlines()) == 1
    failed = subprocess.run([*program, "predict", "x.npz", "y"], cwd=tmp_path, env=environment, capture_output=True)
    assert failed.returncode == 1
    assert failed.stderr == b"minigrad: error: there is no model file x.npz\n"


def test_ctrl_c_on_the_program(tmp_path):
    root = Path(minigrad.__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": str(root), "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "minigrad", "train", "--data", "digits", "--epochs", "100000", "--out", "r"]
    program = subprocess.Popen(command, cwd=tmp_path, env=environment, text=True, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE)
    deadline = time.monotonic() + 30
    while not (tmp_path / "r/model.safetensors").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    program.send_signal(signal.SIGINT)
    out, err = program.communicate(timeout=30)
    assert program.returncode == 130
    assert "Traceback" not in err
    assert "interrupted in epoch" in err
    assert "minigrad train --resume r" in out
    assert len(train.History.from_csv(tmp_path / "r/history.csv")) >= 1


# ---- images ----
def test_an_image_that_is_already_like_mnists_is_left_alone():
    digit = np.zeros((28, 28), np.float32)
    digit[5:20, 10:14] = 0.7
    np.testing.assert_array_equal(images.like_mnist(digit), digit)


def test_ink_is_fitted_into_twenty_pixels_and_centred_by_its_mass():
    paper = np.ones((300, 200), np.float32)
    paper[20:120, 140:190] = 0.1
    digit = images.like_mnist(paper)
    rows, columns = np.flatnonzero(digit.any(axis=1)), np.flatnonzero(digit.any(axis=0))
    assert (len(rows), len(columns)) == (20, 10)
    assert digit.max() == pytest.approx(1)
    assert (rows.mean(), columns.mean()) == pytest.approx((13.5, 13.5), abs=0.5)
    np.testing.assert_allclose(images.like_mnist(1 - paper), digit, atol=1e-5)
    assert images.like_mnist(paper, 8).any(axis=1).all(), "as tall as the image, like scikit-learn's digits"


def test_resize_keeps_means_and_is_exact_for_whole_blocks():
    image = np.random.default_rng(0).random((12, 10))
    np.testing.assert_allclose(images.resize(image, 6, 5), image.reshape(6, 2, 5, 2).mean(axis=(1, 3)))
    assert images.resize(image, 7, 3).mean() == pytest.approx(image.mean())
    np.testing.assert_allclose(images.resize(image, 24, 20), np.kron(image, np.ones((2, 2))))


def test_all_kinds_of_arrays_and_pictures_become_grey(tmp_path):
    grey = np.array([[0, 51], [102, 255]], np.uint8)
    wanted = grey / np.float32(255)
    kinds = {"bytes": grey, "floats": wanted, "floats255": grey.astype(np.float64), "ints": grey.astype(np.int32),
             "u16": grey.astype(np.uint16) * 257, "chw": grey[None], "hwc": np.repeat(grey[..., None], 3, 2),
             "rgba": np.dstack([grey, grey, grey, np.full((2, 2), 255, np.uint8)])}
    for name, array in kinds.items():
        np.save(tmp_path / f"{name}.npy", array)
        np.testing.assert_allclose(images.read(tmp_path / f"{name}.npy"), wanted, atol=1e-6, err_msg=name)
    image = pytest.importorskip("PIL.Image")
    for mode in ("L", "RGB", "RGBA", "LA", "P", "I;16"):
        deep = image.fromarray(grey.astype(np.uint16) * 257)
        picture = deep if mode == "I;16" else image.fromarray(grey).convert(mode)
        picture.save(tmp_path / "p.png")
        np.testing.assert_allclose(images.read(tmp_path / "p.png"), wanted, atol=0.01, err_msg=mode)
    clear = image.new("RGBA", (3, 3), (0, 0, 0, 0))
    clear.save(tmp_path / "clear.png")
    assert (images.read(tmp_path / "clear.png") == 1).all(), "what is transparent is white paper"


@pytest.mark.parametrize(("name", "content"), [
    ("a.png", b"not a picture"), ("b.npy", b""), ("c.npy", np.zeros(3)), ("d.npy", np.full((4, 4), np.nan)),
    ("e.npy", np.full((4, 4), -1.0)), ("f.npy", np.array([{}], object)), ("g.npy", np.full((4, 4), 300.0)),
    ("h.npy", np.zeros((0, 4))), ("i.npy", np.zeros((2, 5, 5)))])
def test_what_is_not_an_image_is_said(tmp_path, name, content):
    if name.endswith("png"):
        pytest.importorskip("PIL.Image")
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.save(path, content, allow_pickle=True)
    with pytest.raises(ValueError, match=name):
        images.read(path)


def test_without_pillow_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    (tmp_path / "p.png").write_bytes(b"x")
    with pytest.raises(ImportError, match=r'needs pillow: pip install "minigrad\[image\]"'):
        images.read(tmp_path / "p.png")


def test_an_optimizer_without_a_learning_rate(capsys, tmp_path):
    assert main(["train", "--data", "digits", "--optimizer", "cocob", "--out", str(tmp_path / "run")]) != 0
    assert "cocob has no learning rate" in capsys.readouterr().err
