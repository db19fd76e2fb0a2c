"""minigrad.race: the same start and data for all, what is counted, rates, tables; and its pictures."""

import csv
import math

import numpy as np
import pytest
import scipy.optimize
from nightly import part

from minigrad import data, models, optim, race
from minigrad.optim.second_order import Iteration, Objective
from minigrad.random import default_generator
from minigrad.tensor import Tensor
from minigrad.viz import race as pictures

SMALL = ["sgd:0.5", "adam:0.05", "lbfgs", "newton", "trust-ncg", "cg", "conjugate-gradient"]


@pytest.fixture(scope="module")
def moons():
    return race.problem("moons", "mlp", 40, hidden=(6,))


@pytest.fixture(scope="module")
def convex():
    return race.problem("blobs", "logistic", 40, l2=0.1)


@pytest.fixture(scope="module")
def runs(moons):  # seven optimizers, three seeds each
    return race.race(moons, SMALL, 60, seeds=3)


def read(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


# ---- the problem ----
def test_a_problem_is_the_same_samples_and_the_same_start_each_time():
    a, b, other = (race.problem("spirals", samples=50, seed=seed) for seed in (1, 1, 2))
    assert (a.x == b.x).all() and (a.y == b.y).all() and (a.x != other.x).any() and (a.again(2).x == other.x).all()
    weights = [np.concatenate([p.data.ravel() for p in q.start().parameters()]) for q in (a, a, b, other)]
    assert (weights[0] == weights[1]).all() and (weights[0] == weights[2]).all() and (weights[0] != weights[3]).any()
    assert a.x.dtype == weights[0].dtype == np.float64 and len(a.held_out[0]) == 1000
    assert not set(map(tuple, a.x)) & set(map(tuple, a.held_out[0]))


def test_the_loss_is_cross_entropy_and_half_the_penalty_times_the_squares(convex):
    model = convex.start()
    squares = sum((p.data ** 2).sum() for p in model.parameters())
    plain = race.problem("blobs", "logistic", 40).loss(model).item()
    assert convex.loss(model).item() == pytest.approx(plain + 0.05 * squares, rel=1e-14)
    assert convex.weights == 9


def test_digits_and_their_models():
    pytest.importorskip("sklearn")
    for model, weights in (("logistic", 650), ("mlp", models.mlp(64)), ("cnn", models.cnn(1, 8))):
        problem = race.problem("Digits", model, 20, dtype="float32")
        count = weights if isinstance(weights, int) else sum(p.size for p in weights.parameters())
        assert problem.weights == count and problem.loss(problem.start()).dtype == np.float32
        assert problem.title == f"digits, 20 samples: {model}, {count:,} weights in float32"
    everything = race.problem("digits", samples=len(data.digits()))
    assert not len(everything.held_out[0])
    one = race.run(everything, "sgd", 1)
    assert math.isnan(one.held_out) and race.table([one]).splitlines()[1].split()[5] == "-"


@pytest.mark.parametrize(("arguments", "message"), [
    (("moon",), r"no data set called 'moon'; did you mean moons\?"),
    (("cifar",), "there are digits, mnist, moons, spirals, circles, blobs, xor"),
    (("moons", "mpl"), r"no model called 'mpl'; did you mean mlp\?"),
    (("moons", "cnn"), "a cnn is for images, digits or mnist, not for the two coordinates of moons"),
    (("moons", "mlp", 0), "samples must be at least 1, got 0")])
def test_problems_that_there_are_not(arguments, message):
    with pytest.raises(ValueError, match=message):
        race.problem(*arguments)


@pytest.mark.parametrize(("settings", "message"), [
    ({"l2": -1}, "l2 must be finite and at least 0, got -1"), ({"dtype": "float16"}, "float32 or float64, got float16"),
    ({"hidden": (0,)}, "at least 1 unit, got 0"),
    ({"model": "logistic", "hidden": (3,)}, "the mlp's to choose, not the logistic's: 3")])
def test_settings_that_do_not_fit(settings, message):
    with pytest.raises(ValueError, match=message):
        race.problem("xor", **settings)


def test_more_samples_than_there_are():
    pytest.importorskip("sklearn")
    with pytest.raises(ValueError, match="digits has 1,442 samples to train on, not 2,000"):
        race.problem("digits", samples=2000)


# ---- the runs ----
def test_all_start_at_the_same_loss_and_gradient(runs):
    for seed in range(3):
        firsts = [r.history[0] for r in runs if r.problem.seed == seed]
        assert len(firsts) == len(SMALL)
        assert len({i.loss for i in firsts}) == len({i.gradient_norm for i in firsts}) == 1
        assert all(i[:1] + i[3:5] == (0, 1, 0) for i in firsts)
    assert len({r.history[0].loss for r in runs}) == 3


def test_counts_add_up_and_stay_in_the_budget(runs, moons, monkeypatch):
    for r in runs:
        steps, spent = zip(*((i.iteration, i.gradient_equivalents) for i in r.history))
        assert list(spent) == sorted(spent) and steps[0] == 0 and spent[-1] <= 60 and list(steps) == sorted(steps)
        assert r.ended in ("budget", "converged", "stalled") and (r.ended != "budget" or spent[-1] >= 59)
        assert all(i.gradient_equivalents == i.evaluations + 2 * i.products for i in r.history)
    assert {r.name for r in runs if r.last.products} == {"Newton-CG", "trust-ncg"}
    assert {r.name for r in runs if r.second_order} == {"L-BFGS", "Newton-CG", "trust-ncg"}
    sgd = next(r for r in runs if r.name == "SGD")
    assert [i.evaluations for i in sgd.history] == list(range(1, 61)) == [i.iteration + 1 for i in sgd.history]
    calls = []
    monkeypatch.setattr(race.Problem, "loss", lambda self, model, loss=race.Problem.loss: calls.append(1) or loss(
        self, model))
    for name in ("adam", "conjugate-gradient", "lbfgs", "cg"):
        calls.clear()
        r = race.run(moons, name, 37)
        assert r.last.evaluations <= len(calls) <= r.last.evaluations + 1  # the gradient of the last point


def test_first_order_is_what_a_loop_does(moons):
    r = race.run(moons, "momentum", 8, lr=0.3)
    model = moons.start()
    optimizer = optim.Momentum(model.parameters(), lr=0.3)
    for i in r.history:
        optimizer.zero_grad()
        loss = moons.loss(model)
        loss.backward()
        assert (i.loss, i.gradient_norm) == (loss.item(), max(np.abs(p.grad.data).max() for p in model.parameters()))
        optimizer.step()
    assert len(r.history) == 8 and r.memory == 1 and r.lr == 0.3 and r.label == "Momentum 0.3"


def test_every_optimizer_stays_in_the_budget_or_says_what_it_needs(moons):
    kinds = {c for module in (optim, optim.classical) for c in vars(module).values() if isinstance(c, type)
             and issubclass(c, optim.Optimizer) and c is not optim.Optimizer and not c.__name__.startswith("_")}
    refused = set()
    for kind in kinds:
        try:
            r = race.run(moons, kind.__name__, 6)
        except ValueError as error:
            assert kind.__name__ in str(error)
            refused.add(kind.__name__)
        else:
            assert 5 <= r.last.gradient_equivalents <= 6 and r.ended == "budget", kind
    assert refused == {"FISTA", "FrankWolfe", "ISTA", "MirrorDescent", "Muon", "ProjectedGradient", "ProximalGradient",
                       "SAGA", "SVRG"}


@pytest.mark.parametrize("name", ["lbfgs", "newton-cg", "trust_krylov", "trust-exact", "exact", "BFGS", "cg",
                                  "barzilai-borwein", "steepest-descent"])
def test_a_convex_problem_ends_at_its_minimum(convex, name):
    r, = race.race(convex, [name], 1000)
    objective = Objective(lambda: convex.loss(model), (model := convex.start()).parameters())
    best = scipy.optimize.minimize(objective.fun, objective.x, jac=True, tol=1e-10).fun
    assert r.last.loss == pytest.approx(best, abs=1e-9) and r.ended in ("converged", "stalled")
    assert r.last.gradient_norm < 1e-6 and r.reached(best + 1e-9) <= r.last.gradient_equivalents
    assert r.memory > (convex.weights if name in ("trust-exact", "exact") else 1) or not r.second_order


def test_the_last_line_of_a_history_is_where_the_accuracy_is_of(moons):
    assert race.run(moons, "newton", 400).accuracy == 1
    one = race.run(moons, "lbfgs", 1)
    predicted = moons.start()(Tensor(moons.x)).data.argmax(axis=1)
    assert one.accuracy == (predicted == moons.y).mean() and len(one.history) == 1 and one.ended == "budget"


def test_exact_newton_ends_where_its_budget_or_the_hessian_does(convex):
    n = convex.weights
    r = race.run(convex, "exact", 2 * n + 2)
    assert [i[3:5] for i in r.history] == [(1, 0), (2, n)] and (r.ended, r.message) == ("budget", "")
    singular = race.run(race.problem("blobs", "mlp", 10, hidden=(4,)), "newton-exact", 3000)
    assert singular.ended == "stalled" and "the Hessian is singular" in singular.message
    assert singular.last.loss > singular.history[0].loss  # far from a minimum, plain Newton goes anywhere
    assert singular.last.evaluations == singular.last.iteration + 1


def test_hutchinson_s_products_are_counted(moons, monkeypatch):
    from minigrad.optim import hutchinson
    monkeypatch.setattr(optim, "AdaHessian", hutchinson.AdaHessian, raising=False)
    r = race.run(moons, "adahessian", 30, lr=0.1)
    assert [(i.evaluations, i.products) for i in r.history] == [(min(k + 1, 10), k) for k in range(11)]
    assert r.last.gradient_equivalents == 30 and r.last.loss < r.history[0].loss
    assert all(math.isfinite(i.gradient_norm) for i in r.history)


def test_divergence_is_said_and_shown(convex, tmp_path):
    problem = race.problem("moons", "mlp", 20, hidden=(5,), dtype="float32", l2=1.0)
    away, fine = race.race(problem, ["sgd:1e10", "lbfgs"], 60)
    assert away.ended == "diverged" and not math.isfinite(away.last.loss) and len(away.history) < 60
    assert any(note.startswith("SGD 1e+10 diverged after ") for note in race.notes([away, fine]))
    cells = race.table([away, fine]).splitlines()[1].split()
    assert cells[2] in ("nan", "inf") and cells[8] == "-"
    row, _ = read(race.to_csv([away, fine], tmp_path / "t.csv"))
    assert row["ended"] == "diverged" and row["to_target"] == "" and row["loss"] in ("nan", "inf")


def test_all_but_the_seconds_is_the_same_again(moons, runs):
    for r, again in zip(runs, race.race(moons, SMALL, 60, seeds=3), strict=True):
        assert [i[:5] for i in r.history] == [i[:5] for i in again.history]
        assert (r.accuracy, r.held_out, r.ended) == (again.accuracy, again.held_out, again.ended)
    chance = default_generator().bit_generator.state
    noisy = [race.run(moons, "noisysgd", 5) for _ in range(2)]
    assert noisy[0].last[:5] == noisy[1].last[:5] and chance == default_generator().bit_generator.state


# ---- rates ----
def test_the_tuned_rate_is_the_one_that_is_there_first(moons):
    target = 0.2
    tries = {rate: race.run(moons, "adam", 60, lr=rate).reached(target) for rate in race.RATES}
    rate, cost = race.tuned(moons, "adam", 60, target)
    least = min(took for took in tries.values() if took)
    assert tries[rate] == least and rate == next(lr for lr, took in tries.items() if took == least)
    assert least <= cost < 60 * len(race.RATES)  # no try goes on where another one was there already
    runs = race.race(moons, ["adam", "adam:0.1", "lbfgs"], 60, target=target)
    assert [(r.lr, r.tuning) for r in runs] == [(rate, cost), (0.1, 0), (None, 0)]
    notes = " ".join(race.notes(runs))
    assert "lr tuned, of 16 from 0.0001 to 10, each with the whole budget" in notes
    assert f"took {cost} gradients" in notes


def test_without_the_target_the_lowest_loss_counts_and_the_edge_is_told(convex):
    rate, cost = race.tuned(convex, "sgd", 10, 0.0, rates=(1e-4, 1e-3, 1e-2))
    assert (rate, cost) == (1e-2, 30)
    r, = race.race(convex, ["sgd"], 4, target=0.0, tuning=0.5)
    assert r.tuning == 2 * len(race.RATES) and " with 50% of the budget" in " ".join(race.notes([r], 0.5))


@pytest.mark.parametrize(("names", "message"), [
    ([], "no optimizer was named"), (["adm"], r"no optimizer called 'adm'; did you mean adam"),
    (["lbgfs"], "did you mean l?-?bfgs"), (["lbfgs:0.1"], "lbfgs:0.1: L-BFGS has no learning rate"),
    (["sgd:fast"], "sgd:fast: the rate is not a number"), (["cocob:1"], "COCOB has no learning rate"),
    (["sgd:-1"], "lr must be finite and at least 0"), (["newton", "newton-cg"], "newton-cg is there twice"),
    (["sgd:0.1", "SGD:0.10"], "SGD:0.10 is there twice"), (["fista"], "FISTA needs lr, prox, which a race"),
    (["muon"], "Muon is for matrices"),
    (["exact"], "Newton-exact takes a Hessian a step, 32 products with vectors, so a budget of 66 gradients at least")])
def test_names_that_do_not_fit_are_told_before_anything_runs(moons, names, message, monkeypatch):
    monkeypatch.setattr(race, "_first_order", None)
    with pytest.raises(ValueError, match=message):
        race.race(moons, ["sgd:0.3", *names] if names else [], 60)


def test_numbers_that_do_not_fit(moons):
    for arguments, message in (({"seeds": 0}, "seeds must be at least 1"), ({"tuning": 0}, "and 0"),
                               ({"budget": 0}, "the budget must be at least 1 gradient, got 0")):
        with pytest.raises(ValueError, match=message):
            race.race(moons, ["adam:1"], **arguments)
    with pytest.raises(ValueError, match=r"L-BFGS has no learning rate, .*: leave out 0.1"):
        race.run(moons, "lbfgs", lr=0.1)


@pytest.mark.parametrize("name", ["exact", "trust-exact", "trust-krylov", "bfgs"])
def test_what_needs_the_whole_hessian_says_how_large_it_is(name):
    large = race.problem("moons", samples=10)
    with pytest.raises(ValueError, match=r"at most 3,000 weights, and this model has 33,922: .* are 9.2 GB; use lbfgs"):
        race.run(large, name, 10 ** 6)


# ---- tables and pictures ----
def test_tables_read_back_to_the_last_digit(runs, tmp_path):
    rows = read(race.to_csv(runs, tmp_path / "t.csv", 0.1))
    assert [r["optimizer"] for r in rows[::3]] == ["SGD", "Adam", "L-BFGS", "Newton-CG", "trust-ncg", "CG",
                                                   "ConjugateGradient"]
    for row, r in zip(rows, runs, strict=True):
        assert (float(row["loss"]), float(row["gradient"]), int(row["gradient_equivalents"]), int(row["seed"])) == (
            r.last.loss, r.last.gradient_norm, r.last.gradient_equivalents, r.problem.seed)
        assert row["to_target"] == str(r.reached(0.1) or "") and float(row["held_out"]) == r.held_out
        assert row["lr"] == ("" if r.lr is None else str(r.lr)) and row["order"] == "21"[not r.second_order]
    rows = read(race.series_to_csv(runs, tmp_path / "s.csv"))
    assert len(rows) == sum(len(r.history) for r in runs)
    first = [r for r in rows if (r["optimizer"], r["seed"]) == ("Newton-CG", "2")]
    wanted = next(r for r in runs if r.name == "Newton-CG" and r.problem.seed == 2)
    assert [Iteration(int(r["iteration"]), float(r["loss"]), float(r["gradient_norm"]), int(r["evaluations"]),
                      int(r["products"]), float(r["seconds"])) for r in first] == wanted.history


def test_the_table_has_medians_in_80_columns(runs):
    lines = race.table(runs).splitlines()
    assert len(lines) == 1 + len(SMALL) and max(map(len, lines)) <= 80
    assert lines[0].split() == ["optimizer", "lr", "loss", "max|g|", "train", "unseen", "steps", "grads",
                                "≤0.001", "sec", "mem"]
    for line, name in zip(lines[1:], ["SGD", "Adam"]):
        cells, those = line.split(), [r for r in runs if r.name == name]
        assert cells[0] == name
        assert float(cells[2]) == pytest.approx(np.median([r.last.loss for r in those]), rel=0.05)
        assert cells[4] == f"{np.median([r.accuracy for r in those]):.1%}" and cells[6:8] == ["59", "60"]
    assert race.notes(runs)[0].startswith("medians of 3 seeds, each another start and other samples; grads: ")
    assert race.median([3, None, 5]) == 5 and race.median([3, None, None]) is None and race.median([1, 2]) == 1.5
    assert math.isnan(race.median([1, math.nan, 2]))


def test_a_band_is_where_the_seeds_are(runs):
    x, low, middle, high = pictures._band([np.array([0, 1, 2]), np.array([0, 2]), np.array([0.5, 1.5])],
                                          [np.array([9.0, 3, 1]), np.array([8.0, 4]), np.array([7.0, 0])])
    assert list(x) == [0.5, 1, 1.5, 2]
    assert (list(low), list(middle), list(high)) == ([7, 3, 0, 0], [8, 7, 3, 1], [9, 8, 8, 4])


@pytest.mark.parametrize("dark", part([False, True], 2))
def test_pictures_and_tables_are_written(runs, convex, tmp_path, dark):
    pytest.importorskip("matplotlib")
    written = pictures.write(runs if dark else runs[::3], tmp_path, dark)
    assert [p.name for p in written] == ["table.csv", "series.csv", "loss.png", "gradient.png"]
    assert all(p.stat().st_size > 500 for p in written)
    svg = pictures.losses(race.race(convex, ["adam:0.1", "exact", "sgd:1e200"], 60, seeds=2), tmp_path / "l2.svg", dark)
    assert svg.stat().st_size > 1000
