"""viz.stage: the page's own paths are minigrad's, and what can be done with it, in a browser."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace

import browser
import nightly
import numpy as np
import pytest
from nightly import NIGHTLY, part

from minigrad import Parameter, Tensor, optim
from minigrad.cli import main
from minigrad.optim import classical
from minigrad.optim.second_order import Objective
from minigrad.viz import functions, stage, theatre
from minigrad.viz.functions import FUNCTIONS, Function

STEPS, RATES = 45, (1e-3, 0.05, 0.5)
SEARCHES = {"ConjugateGradient", "SteepestDescent", "LBFGS"}  # whose trials at a path's end rounding decides
WORDS = {"": "", "left": theatre.LEFT, "fell": theatre.FELL, "nan": theatre.NAN}
BOWL = functions.by_name("bowl")
RUN = """jobs => jobs.map(([f, name, settings, start, steps]) => {
  const run = descend(FUNCTIONS[f], name, settings, start, steps);
  return {...run, points: run.points.map(p => p.map(String)), losses: run.losses.map(String)};
})"""


@pytest.fixture
def opened(browser_page, tmp_path):
    """Writes a page and opens it: opened("bowl", ["sgd"]) or opened(address="#function=saddle")."""
    def open_(function="bowl", optimizers=stage.DEFAULT, *, address="", written=None, width=1280, **options):
        path = stage.page(tmp_path / "theatre.html", function, optimizers, **(written or {}))
        page = browser_page(path, width=width, **options)
        if address:
            page.evaluate("address => { location.hash = address; }", address)
            page.wait_for_timeout(50)
        return page
    return open_


def python(job, start=None):
    f, name, settings, own, steps = job
    start = tuple(own if start is None else start)
    return theatre.descend(replace(functions.by_name(f), start=start), name, steps, **settings)


def kinds():
    return list(stage._translated()[0])


# ---- the paths ----
@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_path_is_minigrads(opened, name):
    """Every sixth optimizer, each at one of three rates from one of two starts; nightly all, at all from all.

    Within 1e-9 of the coordinate's size (1e-15 absolutely), plus, where a path hangs on rounding, ten times as far as
    minigrad's own path lies away when its start is another by one rounding; and 1e-7 for line searches, which compare
    losses, and around a minimum those are equal as far as the root of the rounding.
    """
    jobs = []
    f, i = functions.by_name(name), list(FUNCTIONS).index(name)
    starts = [list(f.start), [low + (high - low) * share for (low, high), share in zip(f.window, (0.72, 0.31))]]
    for k, kind in enumerate(kinds(), i):
        if k % 6 and not NIGHTLY:  # on the next function others
            continue
        rates = [{"lr": lr} for lr in RATES] if theatre._has_rate(theatre._kind(kind)) else [{}] * len(RATES)
        chosen = itertools.product(rates, starts) if NIGHTLY else [(rates[k // 6 % 3], starts[k // 6 % 2])]
        jobs += [(name, kind, rate, start, STEPS) for rate, start in chosen]
    page = opened()
    exact = 0
    for job, said in zip(jobs, page.evaluate(RUN, jobs), strict=True):
        run, points = python(job), np.array(said["points"], float)
        n = min(len(points), len(run.points))
        off = np.abs(points[:n] - run.points[:n])
        allowed = 1e-9 * np.abs(run.points[:n]) + 1e-15
        if len(points) == len(run.points) and (off <= allowed).all():
            exact += 1
            assert WORDS[said["ended"]] == run.ended, job
            if said["name"] not in SEARCHES:
                assert said["evaluations"] == run.evaluations.tolist() and said["gradients"] == run.gradients, job
            np.testing.assert_allclose(np.array(said["losses"], float), run.losses, rtol=1e-7, atol=1e-12)
            continue
        other = [python(job, np.nextafter(job[3], way)) for way in (np.inf, -np.inf)]
        n = min(n, *(len(o.points) for o in other))
        spread = np.max([np.abs(o.points[:n] - run.points[:n]).max(axis=1) for o in other], axis=0)
        spread = np.maximum.accumulate(spread)
        rounding = 1e-7 if said["name"] in SEARCHES else 0
        assert (off[:n] <= allowed[:n] + 10 * spread[:, None] + rounding).all(), job
    assert exact > (0.6 if name == "rastrigin" else 0.9) * len(jobs) - 1, exact


@pytest.mark.parametrize("name", part(["SGD", "Newton", "LBFGS", "Adam", "ConjugateGradient", "SteepestDescent"], 2))
def test_counts_of_gradients(opened, name):
    jobs = [(f, name, {"lr": 0.01} if name in ("SGD", "Adam") else {}, list(FUNCTIONS[f].start), 6)
            for f in ("rosenbrock", "himmelblau", "beale")]
    for job, said in zip(jobs, opened().evaluate(RUN, jobs)):
        assert said["evaluations"] == python(job).evaluations.tolist(), job


def test_derivatives_are_autodiffs(opened):
    page, rng = opened(), np.random.default_rng(0)
    for name, f in FUNCTIONS.items():
        for p in [*(rng.uniform(*zip(*f.window)) for _ in range(3)), (0.0, 0.0), (1.0, 0.0)]:
            said = page.evaluate("([f, p]) => look(FUNCTIONS[f], p)", [name, [float(v) for v in p]])
            value, gradient = f.value_and_grad(p)
            w = Parameter(np.array(p, np.float64))
            hessian = Objective(lambda f=f, w=w: f(w[0], w[1]), [w]).hess(np.array(p, np.float64))
            scale = 1 + np.abs(hessian).max()
            assert said["value"] == pytest.approx(value, rel=1e-12, abs=1e-12)
            np.testing.assert_allclose(said["gradient"], gradient, rtol=1e-11, atol=1e-13 * scale)
            np.testing.assert_allclose(said["hessian"], hessian, rtol=1e-11, atol=1e-13 * scale)


def test_states_are_the_optimizers(opened):
    page = opened()
    for name in ("Adam", "NAdam", "Rprop", "Yogi", "COCOB", "AdEMAMix", "PID", "AdaBound"):
        settings = {"lr": 1e-4 if name == "PID" else 0.05} if name != "COCOB" else {}
        said = page.evaluate(RUN, [("rosenbrock", name, settings, [-1.2, 1.0], 9)])[0]["states"][-1]
        w = Parameter(np.array([-1.2, 1.0]))
        optimizer = theatre._kind(name)([w], **settings)
        for _ in range(9):
            w.grad = Tensor(functions.by_name("rosenbrock").value_and_grad(w.data)[1])
            optimizer.step()
        state = optimizer.state[w]
        slots = [s for s in (*optimizer.slots, *optimizer.kept) if s in state]
        assert slots and said["t"] == state["step"] == 9
        for slot in slots:
            np.testing.assert_allclose(said[slot], state[slot], rtol=1e-10)


def test_rates_are_those_that_theatre_tunes(opened):
    page = opened()
    for function, name in (("bowl", "SGD"), ("bowl", "Adagrad"), ("bowl", "Lion"), ("saddle", "SGD"),
                           ("double-well", "Momentum"), ("ill-conditioned", "Newton")):
        said = page.evaluate("([f, name]) => tuned(FUNCTIONS[f], name)", [function, name])
        assert said == theatre.tuned(functions.by_name(function), name), (function, name)


def test_where_the_hessian_is_singular_newton_says_so(opened):
    said = opened().evaluate(RUN, [("monkey-saddle", "Newton", {}, [0.0, 0.0], 5)])[0]
    assert said["ended"] == "singular" and len(said["points"]) == 1
    assert python(("monkey-saddle", "Newton", {}, [0.0, 0.0], 5)).ended == theatre.SINGULAR


def test_whoever_is_elementwise_is_there_and_the_others_have_a_reason():
    assert set(kinds()) >= {"SGD", "SGDW", "Momentum", "NAG", "Adagrad", "RMSprop", "Adadelta", "Adam", "AdamW",
                            "AMSGrad", "NAdam", "RAdam", "Adamax", "AdaBelief", "Yogi", "Lion", "Rprop", "Adan",
                            "COCOB", "Newton", "LBFGS", "SteepestDescent", "ConjugateGradient", "BarzilaiBorwein"}
    why = stage.refused()
    everybody = {k.__name__ for k in theatre.optimizers().values()}
    assert set(kinds()) | set(why) == everybody and not set(kinds()) & set(why)
    assert "a whole tensor" in why["LAMB"] and "a shared of its own" in why["DoG"] and "Muon" not in kinds()


# ---- the page ----
def rows(page):
    """The standings: name -> its cells."""
    return dict(page.evaluate("[...document.querySelectorAll('#standings tbody tr')].map(row => "
                              "[row.cells[0].textContent, [...row.cells].slice(1).map(cell => cell.textContent)])"))


def read(text):
    return float(text.replace("−", "-"))


def heads(page):
    return page.evaluate("[...document.querySelectorAll('#paths .head')].map(e => e.getAttribute('d'))")


def test_the_numbers_on_the_page_are_minigrads(opened):
    page = opened(address="#function=bowl&race=sgd,momentum,adagrad,adam,newton,lbfgs&step=12")
    assert page.evaluate("race.step") == 12 and page.text_content("#step") == "step 12 of 30"
    runs = theatre.race(BOWL, stage.DEFAULT)
    shown = rows(page)
    assert list(shown) == [run.label for run in runs]
    for run in runs:
        loss, x, y, gradients, _ = shown[run.label]
        for text, value in ((x, run.points[12][0]), (y, run.points[12][1])):
            assert read(text) == pytest.approx(value, rel=1e-5, abs=1e-12)
        assert read(loss) == pytest.approx(run.losses[12], rel=1e-3, abs=1e-12)
        assert read(gradients) == run.evaluations[12]
    assert shown["Newton"][-1] == "at the minimum"
    adam = page.locator(".card[data-name=Adam]")
    next_step = runs[3].points[13] - runs[3].points[12]
    cells = adam.locator("tr", has_text="next step").locator("td").all_text_contents()
    assert [read(c) for c in cells] == pytest.approx(next_step, rel=5e-3)
    adam.locator("summary").first.click()
    m = adam.locator("[data-state=m] td").all_text_contents()
    t = theatre.descend(BOWL, "adam", 13, lr=0.3)
    g = np.array([BOWL.value_and_grad(p)[1] for p in t.points[:13]])
    expected = sum(0.1 * 0.9 ** (12 - k) * g[k] for k in range(13))
    assert [read(c) for c in m] == pytest.approx(expected, rel=1e-5), "momentum, as the next step uses it"
    python_text, javascript_text = adam.locator("pre").all_text_contents()
    assert "m += (1 - beta1) * (g - m)" in python_text and "m_ += number0 * (g_ - m_);" in javascript_text


def test_a_click_starts_there_and_all_paths_are_others(opened):
    page = opened("himmelblau", ["sgd", "adam", "newton", "lbfgs"])
    before = page.evaluate("race.racers.map(r => r.run.points)")
    box = page.locator("#stage").bounding_box()
    page.mouse.click(box["x"] + 0.75 * box["width"], box["y"] + 0.4 * box["height"])
    start = page.evaluate("race.start")
    assert start == pytest.approx([2.5, 1.0], abs=0.05)
    after = page.evaluate("race.racers.map(r => r.run.points)")
    assert all(a != b and a[0] == start for a, b in zip(after, before))
    assert [float(page.input_value(f"#start-{c}")) for c in "xy"] == start
    settings = page.evaluate("race.racers.map(r => [r.name, r.settings])")
    for (name, given), points in zip(settings, after):
        expected = python(("himmelblau", name, given, start, 60)).points
        np.testing.assert_allclose(points, expected, rtol=1e-9, atol=1e-12)
    page.fill("#start-x", "-4")
    page.keyboard.press("Tab")
    assert page.evaluate("race.start") == [-4, start[1]]
    page.focus("#stage")
    page.keyboard.press("ArrowUp")
    assert page.evaluate("race.start") == pytest.approx([-4, start[1] + 0.25])
    page.click("#reset")
    assert page.evaluate("race.start") == [0, -0.5]


def test_keys_scrubber_and_buttons_step(opened):
    page = opened()
    assert page.evaluate("race.step") == 30, "who wants no motion gets the whole race at once"
    page.keyboard.press("Home")
    first = heads(page)
    assert page.text_content("#step") == "step 0 of 30" and page.is_disabled("#back")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("race.step") == 2 and all(a != b for a, b in zip(heads(page), first))
    assert "Step 2 of 30" in page.text_content("#status") and "Newton" in page.text_content("#status")
    page.keyboard.press("ArrowLeft")
    page.click("#forward")
    page.locator("#scrubber").fill("17")
    assert page.evaluate("race.step") == 17 and page.input_value("#scrubber") == "17"
    page.focus("#scrubber")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("race.step") == 18
    page.keyboard.press("Space")
    browser.until(page, "race.step > 19 && race.timer !== null")
    page.keyboard.press("Space")
    assert page.evaluate("race.timer") is None and page.text_content("#play").endswith("Play")
    page.select_option("#speed", "50")
    page.locator("h1").click()
    page.keyboard.press("End")
    page.click("#play")
    browser.until(page, "race.step === 30 && race.timer === null")


def test_optimizers_come_and_go_and_rates_change(opened):
    page = opened("bowl", ["sgd:0.5", "adam"])
    assert list(rows(page)) == ["SGD 0.5", "Adam 0.3"]
    page.click("#choose summary")
    page.check("#families input[value=Rprop]")
    page.uncheck("#families input[value=Adam]")
    assert list(rows(page)) == ["SGD 0.5", "Rprop 0.1"] and page.locator(".card").count() == 2
    slider = page.locator(".card[data-name=SGD] input[type=range]")
    slider.focus()
    page.keyboard.press("ArrowLeft")
    assert next(iter(rows(page))) == "SGD 0.2" and slider.evaluate("e => e === document.activeElement")
    np.testing.assert_allclose(page.evaluate("race.racers[0].run.points"), theatre.descend(BOWL, "sgd", lr=0.2).points)
    exact = page.locator(".card[data-name=SGD] input[type=number]")
    exact.fill("1.5")
    exact.press("Enter")
    run = theatre.descend(BOWL, "sgd", lr=1.5)
    assert rows(page)["SGD 1.5"][-1] == f"over: left all bounds in step {len(run.points)}"
    exact.fill("-1")
    exact.press("Enter")
    assert exact.input_value() == "1.5"
    page.click(".card[data-name=SGD] .more")
    assert list(rows(page)) == ["SGD 1.5", "Rprop 0.1", "SGD 0.5"]
    looks = page.evaluate("[...document.querySelectorAll('#paths .path')].map(e => [e.getAttribute('stroke'), "
                          "e.getAttribute('stroke-dasharray')].join())")
    assert len(set(looks)) == 3
    for _ in range(3):
        page.locator(".remove").first.click()
    assert "Nobody races" in page.text_content("#standings")


def test_the_last_step_has_a_next_one_as_well(opened):
    """It is computed for the cards, and is no step of the race; nor does it end one."""
    page = opened("bowl", "momentum", written={"steps": 6})
    run = theatre.descend(BOWL, "momentum", 7, lr=0.1)
    assert page.text_content("#step") == "step 6 of 6" and read(rows(page)["Momentum 0.1"][-2]) == 6
    assert len(page.evaluate("race.racers[0].run.points")) == 7
    card = page.locator(".card")
    for words in ("next step", "momentum v"):
        cells = card.locator("tr", has_text=words).locator("td").all_text_contents()
        assert [read(c) for c in cells] == pytest.approx(run.points[7] - run.points[6], rel=5e-3), words
    over = theatre.descend(BOWL, "sgd", lr=1.5)
    last = len(over.points) - 1
    page = opened(address=f"#function=bowl&race=sgd:1.5&steps={last}&step={last}")
    assert over.ended == theatre.LEFT and not rows(page)["SGD 1.5"][-1].startswith("over")
    assert page.locator("tr", has_text="next step").locator("td").text_content() == "none"


def test_what_is_said_of_paths(opened):
    said = rows(opened(address="#function=saddle&race=sgd:0.1,newton,momentum:0.5&steps=200&step=200"))
    run = theatre.descend(functions.by_name("saddle"), "sgd", 200, lr=0.1)
    assert run.ended == theatre.FELL
    assert said["SGD 0.1"][-1] == f"over: fell out of all bounds in step {len(run.points)}"
    assert said["Newton"][-1] == "stands still at a saddle: the gradient is 0"
    said = rows(opened(address="#function=ill-conditioned&race=adam:1&step=40"))
    assert said["Adam 1"][-1] == "was outside the picture in step 1"


def test_the_address_keeps_the_race(opened, browser_page):
    page = opened("rosenbrock", ["adam:0.02", "lbfgs"], written={"start": (0.5, -0.25), "steps": 50})
    assert page.evaluate("[race.start, race.steps]") == [[0.5, -0.25], 50]
    page.keyboard.press("Home")
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    address = page.evaluate("location.hash")
    assert address == "#function=rosenbrock&start=0.5,-0.25&steps=50&race=Adam:0.02,LBFGS&step=3"
    other = opened("bowl", ["sgd"], address=address)
    assert heads(other) == heads(page) and list(rows(other)) == ["Adam 0.02", "LBFGS"]
    assert other.evaluate("race.step") == 3
    other.evaluate("() => { location.hash = '#function=hill&race=bogus,adam:x,NAG&start=1,q&steps=-2&step=zz'; }")
    other.wait_for_timeout(50)
    assert [name.split()[0] for name in rows(other)] == ["Adam", "NAG"], "what is no race is left out"
    assert other.evaluate("[race.f.name, race.start, race.steps, race.step]") == ["bowl", [-7, 2], 30, 0]
    other.select_option("#function", "beale")
    assert other.evaluate("[race.f.name, race.steps]") == ["beale", 200]
    for names in ("function=toString&race=sgd", "function=bowl&race=constructor,sgd"):
        odd = opened("bowl", address=f"#{names}")
        assert odd.evaluate("[race.f.name, ...race.racers.map(r => r.name)]") == ["bowl", "SGD"], "no name of ours"


NAMELESS = """[...document.querySelectorAll("button, input, select")].filter(e => e.getClientRects().length)
  .filter(e => !(e.textContent.trim() || e.getAttribute("aria-label") || e.closest("label"))).map(e => e.outerHTML)"""
SHADES = """(() => {
  const canvas = document.getElementById("shades");
  const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  return data.filter((_, i) => i % 4 === 0).reduce(([a, b], v) => [Math.min(a, v), Math.max(b, v)], [255, 0]);
})()"""


TABLE = """[...document.querySelectorAll("#standings :is(th, td)")].filter(e => e.getClientRects().length)
  .map(e => e.getBoundingClientRect()).every(r => r.left >= 0 && r.right <= innerWidth)"""


@nightly.only
@pytest.mark.parametrize("language", ["en", "ko"])
def test_the_standings_of_a_narrow_page_lack_nothing(opened, language):
    names = ["conjugate-gradient", "barzilai-borwein", "adam:10", "sgd:0.0001"]
    narrow, wide = (opened("double-well", names, width=width, language=language) for width in (390, 1280))
    assert narrow.evaluate(TABLE) and narrow.evaluate("document.documentElement.scrollWidth") == 390
    seen = "document.getElementById('standings').innerText.split(/\\s+/).filter(text => text !== '—').sort()"
    said = wide.text_content("#standings thead th:last-child").split()
    assert sorted([*narrow.evaluate(seen), *said]) == sorted(wide.evaluate(seen))
    bare = "document.querySelectorAll('#standings :is(thead, tbody, tr, th, td):not([role])').length"
    assert narrow.evaluate(bare) == 0, "what is laid out as a grid is a table by its roles"


@nightly.only
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("dark", [False, True])
def test_light_and_dark_wide_and_narrow_in_korean(opened, width, dark):
    page = opened("double-well", ["sgd", "adam", "newton"], width=width, dark=dark, language="ko")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.text_content("h1") == "최적화 극장" and "우물" in page.text_content("#why")
    assert page.evaluate(NAMELESS) == [], "every control has a name"
    darkest, lightest = page.evaluate(SHADES)
    assert lightest < 80 if dark else darkest > 190
    page.click("#language")
    assert page.text_content("h1") == "Optimizer theatre"


def test_korean_says_all_that_english_does(opened):
    page = opened()
    assert page.evaluate("Object.keys(TEXTS.en).filter(key => !(key in TEXTS.ko))") == []
    assert page.evaluate("Object.keys(FUNCTIONS).filter(name => !(`why ${name}` in TEXTS.ko))") == []
    families = page.evaluate("[...new Set(Object.values(OPTIMIZERS).map(kind => `family_${kind.family}`))]")
    assert page.evaluate("keys => keys.filter(key => !(key in TEXTS.en))", families) == []


def banana(x, y):
    return (x - y) ** 2 / (1 + RATIO * x ** 2) + np.exp(-y) + y


RATIO = 0.5


def test_a_function_of_ones_own(opened):
    own = Function("</script><b>mine", "f & g", "a <i>why</i>", banana, (), -math.inf, (0.5, 1.0),
                   ((-2, 2), (-2, 2)), 20)
    page = opened(own, ["adam:0.1", "newton"])
    assert page.text_content("#formula") == "f & g" and page.text_content("#why") == "a <i>why</i>"
    np.testing.assert_allclose(page.evaluate("race.racers.map(r => r.run.points)"),
                               [theatre.descend(own, "adam", lr=0.1).points, theatre.descend(own, "newton").points],
                               rtol=1e-9, atol=1e-12)
    assert page.evaluate("document.querySelector('b')") is None
    page.reload()
    assert page.evaluate("race.f.name") == own.name, "the address knows it by its name"
    with pytest.raises(ValueError, match="is no def"):
        stage.page("unwritten.html", replace(own, f=lambda x, y: x))


def data(text):
    return json.loads(text.split('id="data">')[1].split("</script>")[0])


def logarithm(x, y):
    return x - np.log(x) + y ** 2


def test_where_a_function_has_no_value(opened):
    """Left of 0 there is none: its picture is left open there, the rest has contours, and paths may end in it."""
    own = Function("half", "x − log x + y²", "", logarithm, ((1.0, 0.0),), 1.0, (3.0, 1.0),
                   ((np.int64(-1), 4), (-2, 2)), 20, log=True)
    page = opened(own, ["sgd:0.5", "newton"])
    assert page.evaluate("view.lines.length") > 1000
    assert page.evaluate("[...document.querySelectorAll('svg')].filter(e => e.outerHTML.includes('NaN')).length") == 0
    alpha = page.evaluate("""(() => { const c = document.getElementById("shades"), at = x =>
      c.getContext("2d").getImageData(x * c.width, 0.5 * c.height, 1, 1).data[3]; return [at(0.1), at(0.5)]; })()""")
    assert alpha == [0, 255]
    assert rows(page)["Newton"][0] == "NaN" and rows(page)["Newton"][-1].startswith("over: left all bounds")


def test_the_file_is_small_and_asks_for_nothing(tmp_path):
    text = stage.page(tmp_path / "a" / "t.html", language="ko").read_text(encoding="utf-8")
    assert len(text.encode()) < 250_000 and '<html lang="ko">' in text
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "").replace("http-equiv", "")
    assert data(text)["begin"] == "function=bowl&race=SGD,Momentum,Adagrad,Adam,Newton,LBFGS"


@pytest.mark.parametrize(("given", "why"), [
    ({"function": "hill"}, "no function called 'hill'"),
    ({"optimizers": ["adamm"]}, "no optimizer called 'adamm'"),
    ({"optimizers": []}, "no optimizer was named"),
    ({"optimizers": ["lamb"]}, "LAMB cannot run in a page: its formula"),
    ({"optimizers": ["newton:1"]}, "finds its steps itself"),
    ({"optimizers": ["sgd:fast"]}, "the rate is not a number"),
    ({"optimizers": ["sgd:-1"]}, "must be positive"), ({"optimizers": ["sgd"] * 29}, "29 optimizers .* at most 28"),
    ({"optimizers": [3]}, "name or name:rate, got 3"), ({"function": None}, "a name or a Function, got None"),
    *(({"steps": steps}, "a whole number from 1 to 2000, got") for steps in (0, 2001, 2.5, True, "3")),
    *(({"start": start}, "two numbers") for start in (3, (1, 2, 3), (math.nan, 0), (1j, 0), "12", (None, 1))),
    ({"language": "fr"}, "en, ko")])
def test_what_is_wrong_is_told(tmp_path, given, why):
    with pytest.raises((ValueError, TypeError), match=why):
        stage.page(tmp_path / "t.html", **given)
    assert not (tmp_path / "t.html").exists()


def test_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["theatre"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("wrote runs/theatre.html, 1") and "kB" in out
    assert main(["theatre", "--out", "k.html", "--language", "ko", "--function", "beale",
                 "--optimizers", "adam:0.1, nag", "--steps", "40"]) == 0
    given = data((tmp_path / "k.html").read_text(encoding="utf-8"))
    assert given["begin"] == "function=beale&race=Adam:0.1,NAG&steps=40" and given["language"] == "ko"
    assert main(["theatre", "--optimizers", "soap"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("minigrad: error: SOAP cannot run in a page") and err.count("\n") == 1


def test_twins_are_second_order_or_search():
    assert set(stage.TWINS) == {optim.Newton, optim.LBFGS, classical.SteepestDescent, classical.ConjugateGradient,
                                classical.BarzilaiBorwein}
