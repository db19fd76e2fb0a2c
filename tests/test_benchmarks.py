"""The benchmarks run, compare the same computation, and say the truth about it; how fast is not tested."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parent / "benchmarks"
sys.path.append(str(BENCHMARKS))

import frameworks  # noqa: E402
import tables  # noqa: E402
from peers import jobs, ours  # noqa: E402
from peers.problem import Problem  # noqa: E402
from turns import Worker, ratio, take_turns  # noqa: E402

SLEEPER = '''
import sys
sys.path.append({path!r})
from turns import serve

def prepare():
    print("noise")
    if sys.argv[2] == "broken":
        raise ValueError("it cannot")
    def answer(x):
        if x == 3 and sys.argv[2] == "dies":
            raise ZeroDivisionError("at three")
        return [sys.argv[2], x]
    return {{"name": sys.argv[2]}}, answer
serve(prepare)
'''


def command(*arguments):
    done = subprocess.run([sys.executable, BENCHMARKS / "frameworks.py", *map(str, arguments)], capture_output=True,
                          text=True)
    assert not done.returncode, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    out = command("mlp", "engine", "--quick", "--turns", 2, "--threads", 1, "--kinds", "numpy,hand,products",
                  "--json", folder / "run.json", "--markdown", folder / "run.md")
    return json.loads((folder / "run.json").read_text("utf-8")), out, (folder / "run.md").read_text("utf-8")


def test_workers_take_turns_and_their_noise_and_death_harm_nobody(tmp_path):
    file = tmp_path / "sleeper.py"
    file.write_text(SLEEPER.format(path=str(BENCHMARKS)))
    workers = {name: Worker(file, [name]) for name in ("well", "dies", "broken")}
    assert [w.ready for w in workers.values()] == [True, True, False]
    assert workers["broken"].end() == "ValueError: it cannot"
    asked = iter((1, 2, 3, 3, 5))
    answers = take_turns({k: workers[k] for k in ("well", "dies")}, lambda name: next(asked), 3)
    assert answers == {"well": [["well", 1], ["well", 3], ["well", 5]], "dies": [["dies", 2]]}
    assert workers["dies"].end() == "ZeroDivisionError: at three"
    with pytest.raises(RuntimeError, match="at three"):
        workers["dies"].ask(1)
    assert workers["well"].end() == "" and workers["well"].process.returncode == 0


def test_a_run_with_numpy_alone(result):
    found, out, page = result
    step = found["rows"][0]
    assert step["name"] == "MLP, batch 32" and step["absent"] == {} and not step["disagree"]
    losses = [step["kinds"][k]["losses"] for k in ("numpy", "hand")]
    np.testing.assert_allclose(*losses, rtol=1e-3)
    assert len(set(losses[0])) == 3, "each step takes another batch"
    assert set(step["kinds"]["numpy"]["turns"]) == {"step", "forward", "backward", "update"}
    assert set(step["kinds"]["hand"]["turns"]) == {"step"}
    assert [row["name"] for row in found["rows"][1:]] == ["a * b"]
    assert [(t["row"], t["beside"], t["limit"]) for t in found["targets"]] == [("MLP, batch 32", "hand", 1.05)]
    assert found["machine"]["threads"] == 1 and found["machine"]["GFLOP/s"] > 0
    assert "MLP, batch 32, step / NumPy by hand" in out
    assert "MLP, batch 32, step: minigrad, NumPy / NumPy by hand" in page
    assert all(found["machine"]["processor"] in text for text in (out, page))


def test_peers_compute_the_same(tmp_path):
    """JAX and tinygrad would too, but compile for longer than all this runs."""
    there = [peer for peer in ("torch", "mygrad", "autograd") if find_spec(peer)]
    if not there:
        pytest.skip("no other framework is installed")
    command("norm", "--quick", "--turns", 2, "--threads", 1, "--kinds", ",".join(["numpy", *there]),
            "--json", tmp_path / "run.json")
    (row,) = json.loads((tmp_path / "run.json").read_text("utf-8"))["rows"]
    assert set(row["kinds"]) == {"numpy", *there}, row["absent"]


@pytest.mark.parametrize("model", ["mlp", "cnn", "lenet", "norm", "lstm"])
def test_every_model_learns_from_the_weights_of_its_problem(model):
    """Three steps on one batch: the weights are those of the problem in the model's own order, and Adam moves them."""
    problem = Problem(model, 4)
    training = ours.Training(problem)
    x, y = training.place(*problem.batches(1)[0])
    losses = []
    for _ in range(3):
        jobs.one_step(training, x, y)
        losses.append(training.loss())
    assert losses[0] > losses[1] > losses[2]


def test_another_computation_is_not_timed():
    """Losses off by 0.2 %; and one without Adam is compared with SGD, of which only the first loss is known here."""
    benchmark = frameworks.Benchmark([], 2, 1, {}, True)
    first = {"torch": {"optimizer": "Adam", "losses": [2.0, 1.0]}, "jax": {"optimizer": "Adam", "losses": [2.0, 1.002]},
             "hand": {"optimizer": "Adam", "losses": [2.0, 1.0005]}, "products": {"optimizer": None, "losses": [None]}}
    found = {"absent": {}, "disagree": []}
    benchmark.disagree(None, first, found)
    assert found["disagree"] == ["jax"] and "1.002" in found["absent"]["jax"]


def test_the_products_of_a_step():
    """Two passes over every layer, and a third but for the first; convolutions over all places of the kernel."""
    products = Problem("mlp", 32).products()
    work = {part: sum(2 * m * k * n for m, k, n in shapes) for part, shapes in products.items()}
    assert work["forward"] == 2 * 32 * (784 * 256 + 256 * 128 + 128 * 10)
    assert work["backward"] == 2 * work["forward"] - 2 * 32 * 784 * 256
    assert Problem("cnn", 2).products()["forward"] == [(2 * 24 * 24, 25, 16), (2 * 8 * 8, 400, 32), (2, 512, 128),
                                                       (2, 128, 10)]
    for model in ("mlp", "cnn", "lenet", "lstm"):
        problem = Problem(model, 3)
        weights = {k * n for m, k, n in problem.products()["forward"]}
        assert weights == {np.prod(s) for s in problem.shapes() if len(s) > 1}


def row(**kinds):
    return {"part": "mlp", "name": "MLP, batch 32", "unit": "ms", "absent": {}, "disagree": [],
            "kinds": {k: {"optimizer": "Adam", "turns": {"step": v}} for k, v in kinds.items()}}


def test_ratios_are_taken_turn_by_turn_and_targets_judged():
    """A machine that slows down threefold on the way changes no ratio."""
    drift = np.array([1.0, 2.0, 3.0])
    assert ratio(0.5 * drift, drift) == (0.5, 0.5, 0.5)
    found = frameworks.targets([row(compiled=list(0.5e-3 * drift), numpy=list(2e-3 * drift), torch=list(1e-3 * drift))])
    assert [(t["kind"], t["ratio"][1], tables.verdict(t)) for t in found] == [
        ("compiled", pytest.approx(0.5), "met"), ("numpy", pytest.approx(2), "missed")]
    never = row(compiled=[None, 1.0], torch=[1.0, 1.0])
    (target,) = frameworks.targets([never])
    assert target["ratio"] is None and tables.verdict(target) == "?"
    titles = {k: kind.title for k, kind in frameworks.KINDS.items()}
    assert "not reached" in tables.terminal(never, titles)


def test_pages_are_written_anew_between_the_marks_only(result, tmp_path):
    found, _, page = result
    path = tmp_path / "performance.md"
    path.write_text("before\n" + page + "after\n")
    tables.markdown(found, path)
    assert path.read_text("utf-8") == "before\n" + page + "after\n"
    assert page.count("### ") == 2 and "1.05" in page


def test_a_picture_of_the_steps(tmp_path):
    pytest.importorskip("matplotlib")
    titles = {k: kind.title for k, kind in frameworks.KINDS.items()}
    tables.picture({"titles": titles, "rows": [row(numpy=[2e-3, 3e-3], torch=[1e-3, 1e-3])]}, tmp_path / "p.png")
    assert (tmp_path / "p.png").stat().st_size > 5000
    tables.picture({"titles": titles, "rows": []}, tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()


@pytest.mark.parametrize("arguments, complaint", [(["cnnn"], "unknown: cnnn"), (["--kinds", "torhc"], "unknown: torhc"),
                                                  (["--python", "torch"], "NAME=PATH")])
def test_mistyped_names(arguments, complaint, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["frameworks.py", *arguments])
    with pytest.raises(SystemExit):
        frameworks.arguments()
    assert complaint in capsys.readouterr().err
