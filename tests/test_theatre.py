"""viz.functions and viz.theatre: golden end points, what the tables and pictures say. (How they look was looked at.)"""

from __future__ import annotations

import csv
import dataclasses
import itertools
import math
import re
import sys
from dataclasses import replace
from pathlib import Path

import nightly
import numpy as np
import pytest
from nightly import part

from minigrad import default_generator, manual_seed, optim, viz
from minigrad.optim import classical
from minigrad.testing import gradcheck
from minigrad.viz import functions, style, theatre

SEVEN = ["sgd", "momentum", "nag", "adagrad", "rmsprop", "adadelta", "adam"]
BOWL = functions.by_name("bowl")
GOLDEN = {  # of 30 updates of the lecture's picture, to all digits that were printed
    "sgd": ("-0.350393", "0.08478232"), "momentum": ("0.89641386", "0.0880856"),
    "nag": ("0.689614902", "-0.000679906"), "adagrad": ("-0.120162322", "2.486e-17"),
    "rmsprop": ("-0.697420310", "1.483e-08"), "adadelta": ("-6.85896095", "1.86176787"),
    "adam": ("0.13601462", "0.31824539"), "nadam": ("-1.0732", "-.0274"), "radam": ("-5.4338", "-.4780"),
    "adamax": ("-1.0407", "-.1372"), "rprop": ("-.0543", ".00366"), "amsgrad": (".13543", ".31816"),
    "adamw": (".26320", ".30532")}


def printed(value, text):
    """Whether value, rounded to the digits of text, is text."""
    mantissa, _, power = text.partition("e")
    unit = 10.0 ** (int(power or 0) - len(mantissa.partition(".")[2]))
    return abs(value - float(text)) <= 0.5 * unit * (1 + 1e-6)


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_end_points_of_the_bowl(name):
    try:
        optim.by_name(name)
    except ValueError:
        pytest.skip(f"{name} is not there")
    run = theatre.race(BOWL, [name])[0]
    assert len(run.points) == 31 and tuple(run.points[0]) == (-7.0, 2.0)
    assert all(printed(*pair) for pair in zip(run.points[-1], GOLDEN[name])), run.points[-1]


def test_a_singular_hessian_ends_newtons_way_in_words():
    flat = dataclasses.replace(functions.by_name("bowl"), f=lambda x, y: x ** 4 + y ** 4, start=(0.0, 0.0))
    run = theatre.descend(flat, "newton", 5)
    assert run.ended == theatre.SINGULAR and len(run.points) == 1 and "singular" in theatre.table([run])


def test_golden_end_points_with_settings():
    run = theatre.descend(BOWL, "sgd", 30, lr=0.95)
    np.testing.assert_allclose(run.points[-1], [-7 * 0.905 ** 30, 2 * 0.9 ** 30], rtol=1e-12)
    run = theatre.descend(BOWL, "adam", 30, lr=0.3, amsgrad=True)
    assert printed(run.points[-1][0], ".13543") and printed(run.points[-1][1], ".31816")
    run = theatre.descend(BOWL, "nag", 30, lr=0.1, lookahead=True)
    assert printed(run.points[-1][0], "0.61307365") and printed(run.points[-1][1], "0.00589895")
    run = theatre.descend(BOWL, "conjugate-gradient", 2, search="exact")
    np.testing.assert_allclose(run.points[-1], 0, atol=1e-12)


# ---- functions ----
@pytest.mark.parametrize("name", functions.FUNCTIONS)
def test_functions_are_what_they_say(name):
    f = functions.by_name(name.upper().replace("-", " "))
    assert f.name == name and f is functions.by_name(name.replace("-", "_"))
    gradcheck(f, 0.7, -1.3)
    value, gradient = f.value_and_grad(f.start)
    assert value == pytest.approx(float(f(*f.start))) and np.abs(gradient).max() > 1e-4, "not where nothing moves"
    (left, right), (bottom, top) = f.window
    x, y = np.meshgrid(np.linspace(left, right, 81), np.linspace(bottom, top, 81))
    for at in (f.start, *f.minima):
        assert left <= at[0] <= right and bottom <= at[1] <= top
    for at in f.minima:
        value, gradient = f.value_and_grad(at)
        assert value == pytest.approx(f.lowest, abs=1e-25) and np.abs(gradient).max() < 1e-12
    assert f.minima or math.isinf(f.lowest)
    assert f(x, y).min() >= f.lowest
    assert set(f.settings) >= {"sgd"} or not f.settings


def test_unknown_names_are_told():
    with pytest.raises(ValueError, match=r"no function called 'hill'; there are bowl, saddle, monkey-saddle, "):
        functions.by_name("hill")
    with pytest.raises(ValueError, match=r"no optimizer called 'adamm'; did you mean adam or .*\?$"):
        theatre.race(BOWL, ["adamm"])
    with pytest.raises(ValueError, match=r"called 'steepest-decent'; did you mean steepestdescent\?"):
        theatre.race(BOWL, ["steepest-decent"])
    with pytest.raises(ValueError, match=r"no optimizer called 'qqq'; minigrad compare --help lists them"):
        theatre.race(BOWL, ["qqq"])
    with pytest.raises(ValueError, match=r"no function called 'saddel'; did you mean saddle\?"):
        functions.by_name("saddel")
    with pytest.raises(ValueError, match="ISTA needs lr, weight, which bowl does not have"):
        theatre.descend(BOWL, "ista")
    with pytest.raises(ValueError, match="the rate is not a number"):
        theatre.race(BOWL, ["sgd:fast"])
    with pytest.raises(ValueError, match="frank-wolfe has no learning rate"):
        theatre.race(BOWL, ["frank-wolfe:1"])
    with pytest.raises(ValueError, match="lr"):
        theatre.race(BOWL, ["sgd:-1"])
    with pytest.raises(ValueError, match="no optimizer was named"):
        theatre.race(BOWL, [])


# ---- runs ----
def test_gradients_are_counted_and_losses_are_the_points():
    run = theatre.descend(BOWL, "steepest-descent", 5, search="exact")
    np.testing.assert_allclose(run.losses, BOWL(*run.points.T))
    assert run.evaluations.tolist() == [0, 3, 6, 9, 12, 15], "at the point, one for the secant, one to see it is exact"
    assert theatre.descend(BOWL, "adam", 5).evaluations.tolist() == [0, 1, 2, 3, 4, 5]
    assert run.label == "SteepestDescent" and theatre.descend(BOWL, "nag", 1, lr=0.1).label == "NAG 0.1"


def test_a_path_that_leaves_all_bounds_is_over():
    run = theatre.descend(BOWL, "sgd", 300, lr=1.5)
    assert 2 < len(run.points) < 100 and np.isfinite(run.losses).all()
    assert theatre.sensitivity(run, [0.1, 1.5])[1] == math.inf > theatre.sensitivity(run, [0.1])[0]
    assert len(theatre.descend(functions.by_name("saddle"), "steepest-descent", 9, search="exact").points) < 10


@pytest.mark.parametrize("name", part(functions.FUNCTIONS, 2))
def test_rates_are_sensible_everywhere(name):
    f = functions.by_name(name)
    for optimizer in SEVEN if f.steps < 200 else ("sgd", "nag", "adam"):
        settings = theatre.tuned(f, optimizer)
        run = theatre.descend(f, optimizer, **settings)
        assert settings["lr"] > 0 and run.losses[-1] < run.losses[0]
        if f.minima:
            assert len(run.points) == f.steps + 1
        else:
            assert run.losses.min() < f(*theatre._grid(f)).min()
    assert theatre.tuned(f, "conjugate-gradient") == {}


def test_where_speed_carries_over_the_hill_and_where_gradient_descent_stands_still():
    well = functions.by_name("double-well")
    slow, fast = (theatre.descend(well, name, 200, lr=0.02) for name in ("sgd", "momentum"))
    assert slow.points[-1][0] > 0.9 and fast.points[-1][0] < -0.9
    plateau = functions.by_name("plateau")
    still, moving = (theatre.descend(plateau, name, 100, lr=0.1) for name in ("sgd", "adam"))
    assert still.losses[-1] > 0.99 and moving.losses[-1] < 0.01
    saddle = functions.by_name("saddle")
    assert abs(theatre.descend(saddle, "sgd", 20, lr=0.1).points[-1]).max() < 0.2, "20 steps on, still at the saddle"


def test_noise_is_the_seeds():
    manual_seed(5)
    before = default_generator().random()
    manual_seed(5)
    first, second, other = (theatre.race(BOWL, ["sgld:0.01"], 5, seed)[0].points for seed in (0, 0, 1))
    assert np.array_equal(first, second) and not np.array_equal(first, other)
    assert default_generator().random() == before, "nobody else's numbers are used up"


@pytest.mark.parametrize("name", ["adagrad", "rmsprop", "shampoo", "adam"])
def test_a_rate_is_not_refused_for_leaving_the_window_on_the_way(name):
    run = theatre.race(functions.by_name("ill-conditioned"), [name])[0]
    assert run.losses[-1] < 1e-3 and np.abs(run.points[:, 1]).max() > 0.25, "that window is only half a unit high"


def test_a_rate_that_does_not_arrive_is_not_taken_for_its_early_progress():
    assert theatre.race(functions.by_name("plateau"), ["sgd"])[0].losses[-1] < 0.1


def test_why_a_run_ended_is_said(tmp_path):
    saddle, monkey = functions.by_name("saddle"), functions.by_name("monkey-saddle")
    left, over = theatre.race(BOWL, ["sgd:100", "adam:1e30"])
    assert left.ended == over.ended == theatre.LEFT and left.gradients == 3 and over.gradients == 1
    assert left.steps == over.steps == 30 and left.last == math.inf and not left.fell
    endless = theatre.descend(saddle, "steepest-descent", 9, search="exact")
    assert endless.ended == theatre.BOTTOMLESS and endless.fell and endless.gradients > endless.evaluations[-1]
    fell = theatre.race(monkey, ["conjugate-gradient"])[0]
    assert fell.ended == theatre.FELL and fell.last == -math.inf and fell.gradients > 1 == len(fell.points)
    assert theatre.descend(BOWL, "adam", 9, lr=0.1).ended == ""

    def broken(x, y):
        return np.sqrt(x + 7) + y
    hole = functions.Function("hole", "", "", broken, (), -math.inf, (-8.0, 2.0), ((-9, 8), (-4, 4)), 5)
    assert theatre.descend(hole, "sgd", lr=0.1).ended == theatre.NAN
    lines = theatre.table([left, theatre.race(BOWL, ["adam"])[0]]).splitlines()
    assert lines[0].split()[-1] == "ended" and lines[1].endswith("  left bounds") and lines[2].endswith(" 30")
    row = theatre.to_csv([left], tmp_path / "t.csv").read_text().splitlines()[1]
    assert row.endswith(",2,3,left bounds,False")
    with pytest.raises(ValueError, match=r"MirrorDescent needs a start with x, y >= 0 and x \+ y = 1, bowl's is \(-7"):
        theatre.race(BOWL, ["mirror-descent"])
    inside = functions.Function("inside", "", "", lambda x, y: x * x + y, (), -math.inf, (0.5, 0.5), ((0, 1), (0, 1)))
    assert not theatre.descend(inside, "mirror-descent", 9, lr=0.1).ended


def test_tuned_rates_are_named():
    runs = theatre.race(BOWL, ["sgd", "adam:0.1", "lion", "SIGNUM", "steepest-descent"], 9)
    assert [run.tuned for run in runs] == [False, False, True, True, False]
    note, = theatre.notes(runs)
    assert "of 16 from 0.0001 to 10 by the smallest mean plus last loss of 9 steps" in note
    assert ": Lion, Signum; " in note
    note, = theatre.notes(theatre.race(functions.by_name("saddle"), ["sgd"], 9))
    assert "the smallest that leads out of the pictures downhill in 9 steps" in note
    assert theatre.notes(runs[:2]) == [] and "29 runs: beyond 28 " in theatre.notes(runs[:1] * 29)[0]


@pytest.mark.parametrize(("name", "steps", "seed"), [("adam", 5, 0), ("noisysgd", None, 5), ("sgld:0.01", 5, 5)])
def test_the_ring_is_the_run(name, steps, seed):
    run = theatre.race(BOWL, [name], steps, seed)[0]
    assert theatre.sensitivity(run, [run.settings["lr"]]) == [run.gaps[-1]]


def test_the_best_rate_of_the_grid_is_taken():
    beale = functions.by_name("beale")
    best = theatre.tuned(beale, "adam", 50)["lr"]
    tries = {rate: theatre.descend(beale, "adam", 50, lr=rate).losses for rate in theatre.RATES}
    mean = {rate: losses.mean() + losses[-1] for rate, losses in tries.items()}
    inside = [rate for rate in theatre.RATES if theatre.descend(beale, "adam", 50, lr=rate).points[:, 0].min() > -1]
    assert best in theatre.RATES and mean[best] == min(mean[rate] for rate in inside)
    assert theatre.RATES[0] == 1e-4 and theatre.RATES[-1] == 10 and len(theatre.RATES) == 16


def test_tables(tmp_path):
    runs = theatre.race(BOWL, ["sgd", "adam:0.1", "steepest-descent"], 10)
    lines = theatre.table(runs).splitlines()
    assert lines[0].split() == ["optimizer", "lr", "x", "y", "loss", "steps", "gradients"]
    assert lines[1].split()[:2] == ["SGD", "0.95"] and lines[2].split()[1] == "0.1" and lines[3].split()[1] == "-"
    assert len({len(line) for line in lines}) == 1
    with open(theatre.to_csv(runs, tmp_path / "new/t.csv"), newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["optimizer"] for row in rows] == ["SGD", "Adam", "SteepestDescent"]
    assert all(float(row["x"]) == run.points[-1][0] and float(row["loss"]) == run.losses[-1]
               and int(row["gradients"]) == run.evaluations[-1] for row, run in zip(rows, runs))


# ---- pictures ----
@pytest.mark.parametrize(("name", "dark"), part([("saddle", True), ("bowl", False), ("ill-conditioned", False)], 3))
def test_everything_is_drawn(tmp_path, name, dark):
    pytest.importorskip("matplotlib")
    image = pytest.importorskip("PIL.Image")
    runs = theatre.race(functions.by_name(name), ["sgd", "adam", "steepest-descent"], 12)
    written = theatre.write(runs, tmp_path / "out", dark)
    assert [p.name for p in written] == ["table.csv", "paths.png", "side-by-side.png", "loss.png", "rates.png",
                                         "paths.gif"]
    theme = theatre.DARK if dark else theatre.LIGHT
    for path in written[1:]:
        with image.open(path) as picture:
            paper = [int(theme.paper[i:i + 2], 16) for i in (1, 3, 5)]
            np.testing.assert_allclose(picture.convert("RGB").getpixel((1, 1)), paper, atol=4)
            assert getattr(picture, "n_frames", 1) == (13 if path.suffix == ".gif" else 1)


def drawn(monkeypatch, draw, *arguments):
    """The figure that would have been written."""
    kept = []
    monkeypatch.setattr(style, "write", lambda figure, path: kept.append(figure))
    draw(*arguments)
    return kept[0]


def test_pictures_say_what_they_show(monkeypatch):
    pytest.importorskip("matplotlib")
    runs = theatre.race(BOWL, ["sgd", "adam", "steepest-descent"], 12)
    axes = drawn(monkeypatch, theatre.paths, runs, "p.png").axes[0]
    lines = {line.get_label(): line for line in axes.lines}
    np.testing.assert_array_equal(lines["SGD 0.95"].get_xydata(), runs[0].points)
    assert axes.get_title(loc="left").startswith("bowl: x²/20 + y²\n")
    titles = [a.get_title(loc="left") for a in drawn(monkeypatch, theatre.gallery, runs, "g.png").axes]
    assert [t.partition(":")[0] for t in titles] == ["SGD 0.95", "Adam 0.3", "SteepestDescent"]
    steps, gradients = drawn(monkeypatch, theatre.losses, runs, "l.png").axes
    assert steps.get_yscale() == "log" and gradients.get_xlabel() == "gradient evaluations"
    np.testing.assert_array_equal(gradients.lines[2].get_xdata(), runs[2].evaluations)
    rates = drawn(monkeypatch, theatre.rates, runs, "r.png").axes[0]
    curve = rates.lines[0].get_xydata()
    assert set(curve[:, 0]) == {*theatre.RATES, 0.95} and np.isnan(curve[-1, 1]), "at 10 it leaves all bounds"
    assert min(curve[:, 0], key=dict(curve).get) == 0.95
    level = rates.lines[2]
    assert level.get_marker() != "None" and set(level.get_ydata()) == {runs[2].gaps[-1]}


@pytest.mark.parametrize("name", part(functions.FUNCTIONS, 3))
def test_rates_of_all_kinds_are_drawn_on_every_function(monkeypatch, name):
    pytest.importorskip("matplotlib")
    agg = pytest.importorskip("matplotlib.backends.backend_agg")
    f = functions.by_name(name)
    monkeypatch.setattr(theatre, "RATES", (0.01, 0.1, 10.0))
    free, own = ["barzilai-borwein", "polyaksgd"], ["sgd:1e30", "nag"]
    for names in (free, ["conjugate-gradient", "cocob"], own, free + own):
        runs = theatre.race(f, names, 12)
        figure = drawn(monkeypatch, theatre.rates, runs, "r.png", False, theatre.RATES)
        agg.FigureCanvasAgg(figure).draw()
        axes = figure.axes[0]
        rings = [line for line in axes.lines if line.get_markersize() == 12]
        assert len(rings) == sum("lr" in run.settings for run in runs)
        low, high = axes.get_ylim()
        assert all(low <= line.get_ydata()[0] <= high for line in rings)
        for run, line in zip(runs, (line for line in axes.lines if line not in rings)):
            assert not run.fell or run.name != "ConjugateGradient" or line.get_ydata()[0] <= f(*theatre._grid(f)).min()


def test_the_start_is_on_the_axis_of_costs_and_steps_are_never_bent(monkeypatch):
    pytest.importorskip("matplotlib")
    runs = theatre.race(functions.by_name("plateau"), ["sgd:1e-300", "adam:1e30", "conjugate-gradient"])
    steps, gradients = drawn(monkeypatch, theatre.losses, runs, "l.png").axes
    assert steps.get_xscale() == "linear" and gradients.get_xscale() == "symlog"
    assert -1 < gradients.get_xlim()[0] < 0
    assert np.isfinite(gradients.transData.transform([0, 1])).all()


@nightly.only
def test_28_runs_are_told_apart_and_the_legend_fits(monkeypatch, tmp_path):
    pytest.importorskip("matplotlib")
    looks = [theatre._look(i, theatre.LIGHT) for i in range(28)]
    assert len({(k["color"], k["linestyle"]) for k in looks}) == 28
    agg = pytest.importorskip("matplotlib.backends.backend_agg")
    runs = theatre.race(BOWL, [*SEVEN, "steepest-descent", "barzilai-borwein:0.001", "conjugate-gradient"], 5)
    for draw in (theatre.paths, theatre.losses, theatre.rates):
        many = [replace(runs[0], name=f"Optimizer{i}") for i in range(67)]
        monkeypatch.setattr(theatre, "sensitivity", lambda run, xs: np.full(len(xs), run.last))
        figure = drawn(monkeypatch, draw, many, "p.png")
        agg.FigureCanvasAgg(figure).draw()
        assert all(a.get_window_extent().height > 2.5 * figure.dpi for a in figure.axes), "the legend eats the plot"
    for draw in (theatre.paths, theatre.gallery, theatre.losses, theatre.rates):
        figure = drawn(monkeypatch, draw, runs, "p.png")
        agg.FigureCanvasAgg(figure).draw()
        for legend in figure.legends:
            box = legend.get_window_extent()
            assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.width
            texts = [t.get_window_extent() for t in legend.get_texts()]
            assert not any(a.overlaps(b) for a, b in itertools.combinations(texts, 2))
            assert not any(box.overlaps(a.get_tightbbox()) for a in figure.axes)
        for a, b in itertools.combinations(figure.axes, 2):
            assert not a.get_tightbbox().overlaps(b.get_tightbbox())


def test_palettes_can_be_told_apart_on_their_paper():
    """Contrast after WCAG: 2 at least for lines and markers this thick, on the lightest and on the darkest grey."""
    def luminance(colour):
        c = np.array([int(colour[i:i + 2], 16) for i in (1, 3, 5)]) / 255
        return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]
    for theme in (theatre.LIGHT, theatre.DARK):
        assert len(set(theme.colours)) == 7
        for colour, ground in itertools.product((*theme.colours, theme.ink), (theme.low, theme.paper)):
            light, dark = sorted((luminance(colour), luminance(ground)), reverse=True)
            assert (light + 0.05) / (dark + 0.05) > 2, (colour, ground)
        assert len(theatre._palette(theme)) <= 768


@pytest.mark.parametrize(("module", "message", "left"), [
    ("matplotlib.figure", r'matplotlib is needed for pictures: pip install "minigrad\[plot\]"', {"table.csv"}),
    ("PIL.Image", r'pillow is needed for the animation: pip install "minigrad\[image\]"',
     {"table.csv", "paths.png", "side-by-side.png", "loss.png", "rates.png"})])
def test_a_missing_extra_is_named_and_the_rest_is_there(tmp_path, monkeypatch, module, message, left):
    pytest.importorskip("matplotlib")
    runs = theatre.race(BOWL, ["sgd"], 3)
    import matplotlib.backends.backend_agg  # which wants Pillow itself
    assert matplotlib.backends.backend_agg
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(viz.MissingExtra, match=message):
        theatre.write(runs, tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == left


def test_the_code_on_the_page_of_optimizers_runs(capsys):
    page = (Path(__file__).parent.parent / "docs" / "optimizers.md").read_text(encoding="utf-8")
    blocks, names = re.findall(r"```python\n(.*?)```", page, re.S), {}
    before = default_generator().bit_generator.state
    try:
        for block in blocks:
            exec(block, names)
    finally:
        default_generator().bit_generator.state = before
    loss, found, *table = capsys.readouterr().out.splitlines()
    assert float(loss) < float(re.search(r"# below ([\d.]+),", page).group(1))
    assert 1e-4 < float(found.split()[0]) < 10 and table[1].startswith("SGD")


def test_classical_names_that_compare_can_use():
    usable = {"SteepestDescent", "ConjugateGradient", "BarzilaiBorwein", "SGLD"}
    for name in usable:
        assert len(theatre.descend(BOWL, name, 2).points) == 3
    assert usable < set(classical.__all__)


def test_newton_and_lbfgs_take_one_iteration_a_step():
    newton = theatre.descend(functions.by_name("bowl"), "newton", steps=2)
    np.testing.assert_allclose(newton.points[1], 0, atol=1e-12)
    assert list(newton.evaluations) == [0, 5, 10], "a loss with its gradient, and the Hessian's two columns, two each"
    saddle = theatre.descend(functions.by_name("saddle"), "newton", steps=1)
    np.testing.assert_allclose(saddle.points[1], 0, atol=1e-12)
    lbfgs = theatre.descend(functions.by_name("rosenbrock"), "lbfgs", steps=60)
    assert lbfgs.gaps[-1] < 1e-8 and lbfgs.settings == {"line_search_fn": "strong_wolfe", "max_iter": 1}
