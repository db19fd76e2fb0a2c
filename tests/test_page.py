"""minigrad.viz.page: what goes in comes out as text, in a real browser; and the browser harness itself."""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import browser
import numpy as np
import pytest
from nightly import part

from minigrad.viz import page

BODY = """<header class="top"><h1 id="title"></h1><div class="push" id="push"></div></header>
<main><p id="hello" data-text="hello"></p><button id="help" type="button" data-label="help">?</button><p id="out"></p>
</main>"""
SCRIPT = """texts({en: {hello: "Hello", help: "Help", named: "{name} is {what}"},
       ko: {hello: "안녕하세요", help: "도움말"}});
let drawn = 0;
fill($("title"), DATA.title);
fill($("out"), String(DATA.text));
switches($("push"), () => { drawn += 1; });"""
NASTY = ["</script><script>boom()</script>", "<!--<script>", "-->", "]]>", "\u2028\u2029", "\"'`\\", "&lt;&amp;",
         "\x00\x01\t\r\n", "{language}{0}", "%s", "한국어", "𝄞", "<img src=x onerror=boom()>", "constructor",
         "__proto__", "\ufeff"]


@pytest.fixture
def site(tmp_path, monkeypatch):
    """page.write of a small page of its own: site(data, title=..., language=...) -> path."""
    pages = tmp_path / "pages"
    shutil.copytree(page.PAGES, pages)
    (pages / "trial.html").write_text(BODY, encoding="utf-8")
    (pages / "trial.js").write_text(SCRIPT, encoding="utf-8")
    monkeypatch.setattr(page, "PAGES", pages)
    return lambda data=(), title="Trial", language="en", **more: page.write(
        tmp_path / "trial.html", "trial", dict(data), title, language, **more)


# ---- what is written ----
def test_nothing_breaks_out_of_the_page(site, browser_page):
    opened = browser_page(site({"texts": NASTY, "keys": {text: i for i, text in enumerate(NASTY)}}))
    assert opened.evaluate("DATA.texts") == NASTY
    assert opened.evaluate("DATA.texts.map(text => DATA.keys[text])") == list(range(len(NASTY)))
    assert opened.evaluate("DATA.texts.map(text => fill($('out'), text).textContent)") == NASTY
    assert opened.evaluate("[document.scripts.length, document.images.length]") == [2, 0]


@pytest.mark.parametrize("title", part(["</title><script>boom()</script>", "a & b < c > d \"e\" 'f'",
                                        "<!--<script>", "{language}{0}", "&lt;", "한국어"], 2))
def test_a_title_is_text(site, browser_page, title):
    opened = browser_page(site(title=title))
    assert opened.title() == opened.evaluate("DATA.title") == opened.text_content("h1") == title
    assert opened.evaluate("document.scripts.length") == 2


def test_the_title_and_the_language_are_the_page_s_own(site, browser_page):
    opened = browser_page(site({"title": "another", "language": "xx"}, title="its own", language="ko"))
    assert opened.evaluate("[DATA.title, DATA.language, document.documentElement.lang]") == ["its own", "ko", "ko"]


NUMBERS = {
    "nan": (float("nan"), "NaN"), "inf": (np.inf, "Infinity"), "-inf": (np.float32(-np.inf), "-Infinity"),
    "bool": (True, True), "bool_": (np.bool_(False), False), "none": (None, None),
    "int8": (np.int8(-7), -7), "uint64": (np.uint64(2 ** 53), 2 ** 53), "int": (10 ** 12, 10 ** 12),
    "float16": (np.float16(0.1), 0.0999755859), "float32": (np.float32(0.1), 0.100000001), "float64": (0.1, 0.1),
    "longdouble": (np.longdouble("0.25"), 0.25), "longdoubles": (np.array([0.5], np.longdouble), [0.5]),
    "str_": (np.str_("<b>"), "<b>"), "strs": (np.array(["<", "b"]), ["<", "b"]), "negative zero": (-0.0, 0),
    "0-d": (np.array(2.5), 2.5), "empty": (np.zeros((0, 3)), []),
    "2-d": (np.arange(4).reshape(2, 2), [[0, 1], [2, 3]]),
    "mixed": (np.array([1, np.nan, -np.inf]), [1, "NaN", "-Infinity"]),
    "bools": (np.array([True, False]), [True, False]),
    "nested": ({"a": (1, np.array([2.0]))}, {"a": [1, [2]]}), "object": (np.array([None, "x"], object), [None, "x"]),
    "key": ({1: "one", None: "none"}, {"1": "one", "None": "none"}),
    "big": (np.finfo(float).max, 1.79769313e308), "small": (5e-324, 5e-324), "third": (1 / 3, 0.333333333),
    "fortran": (np.asfortranarray([[1, 2], [3, 4]]), [[1, 2], [3, 4]]), "swapped": (np.array([1.5], ">f8"), [1.5]),
}


def same(a, b):
    return type(a) is type(b) and a == b and json.dumps(a) == json.dumps(b)


@pytest.mark.parametrize("name", NUMBERS)
def test_compact(name):
    given, expected = NUMBERS[name]
    assert same(page.compact(given), expected)


def test_numbers_reach_the_browser(site, browser_page):
    opened = browser_page(site({"numbers": {name: given for name, (given, _) in NUMBERS.items()}}))
    got = opened.evaluate("DATA.numbers")
    assert got == {name: expected for name, (_, expected) in NUMBERS.items()}
    assert opened.evaluate("[1.5, 'NaN', 'Infinity', '-Infinity', null, undefined, ''].map(number).map(String)") == [
        "1.5", "NaN", "Infinity", "-Infinity", "NaN", "NaN", "NaN"]


@pytest.mark.parametrize("value, digits, expected", [
    (1 / 3, 3, 0.333), (2 / 3, 1, 0.7), (123456.0, 2, 120000), (1.0, 9, 1), (0.1 + 0.2, 9, 0.3),
    (-1e-12 / 3, 2, -3.3e-13), (2.0 ** 53, 17, 2.0 ** 53), (1e300, 9, 1e300),
    (np.finfo(float).max, 3, np.finfo(float).max), (123456789, 2, 123456789)])
def test_compact_rounds_floats(value, digits, expected):
    short = page.compact(value, digits)
    assert short == expected and page.compact([{"x": np.array([value])}], digits) == [{"x": [expected]}]
    assert type(short) is (int if float(expected).is_integer() and abs(expected) < 2 ** 53 else float)


@pytest.mark.parametrize("value", [1j, np.complex64(1j), np.array([1j]), {1, 2}, b"x", object(), Path("x"),
                                   np.datetime64("2020-01-01")], ids=lambda v: type(v).__name__)
def test_what_json_cannot_say_is_refused(site, value, tmp_path):
    with pytest.raises(TypeError, match=r"a page's data are dicts, lists, .* not \w+: "):
        site({"value": value})
    assert not (tmp_path / "trial.html").exists()


def test_a_name_that_is_no_unicode(site):
    assert "a?b" in site({"text": "a\udcffb"}, title="a\udcffb").read_text(encoding="utf-8")


@pytest.mark.parametrize("language", ["de", "", None, "EN", "en-US", ["en"]])
def test_an_unknown_language_is_refused(site, language, tmp_path):
    with pytest.raises(ValueError, match=re.escape(f"language is one of en, ko, not {language!r}")):
        site(language=language)
    assert not (tmp_path / "trial.html").exists()


def test_an_unknown_page_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"there is no page 'nowhere' in "):
        page.write(tmp_path / "x.html", "nowhere", {}, "x")
    with pytest.raises(ValueError, match=r"there is no page 'part' in "):
        page.write(tmp_path / "x.html", "base", {}, "x", parts=("part",))


def test_parts_come_before_the_page_and_after_the_base(site):
    (page.PAGES / "part.js").write_text("const PART = 1;", encoding="utf-8")
    (page.PAGES / "part.css").write_text("p { top: 0; }", encoding="utf-8")
    text = site(parts=("part",)).read_text(encoding="utf-8")
    assert text.index("use strict") < text.index("const PART") < text.index("let drawn")
    assert text.index(":root {") < text.index("p { top: 0; }") < text.index("</style>")


def test_writing_is_all_or_nothing(site, tmp_path, monkeypatch):
    path = site({"text": "before"})
    before = path.read_bytes()
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match=r"cannot be written"):
        site({"text": "after"})
    assert path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["pages", "trial.html"]


def test_folders_are_made_and_the_path_returned(tmp_path):
    path = page.write(str(tmp_path / "a" / "b.html"), "base", {}, "x")
    assert path == tmp_path / "a" / "b.html" and path.is_file()


@pytest.mark.parametrize("path", sorted(page.PAGES.iterdir()), ids=lambda p: p.name)
def test_our_own_files_can_stand_inline(path):
    text = path.read_text(encoding="utf-8").lower()
    if path.suffix != ".html":
        assert "</script" not in text and "</style" not in text and "<!--" not in text
    assert not re.findall(r"(?:https?:)?//[\w.-]+\.\w+/[^\s\"']*", text.replace("http://www.w3.org/2000/svg", ""))
    assert "innerhtml" not in text and "document.write" not in text and "insertadjacenthtml" not in text


# ---- what all pages share ----
def test_switches_change_theme_and_language(site, browser_page):
    opened = browser_page(site())
    look = """[document.documentElement.dataset.theme, getComputedStyle(document.body).backgroundColor,
               $('theme').textContent]"""
    assert opened.evaluate(look) == ["light", "rgb(255, 255, 255)", "Dark"]
    opened.focus("#theme")
    opened.keyboard.press("Enter")
    assert opened.evaluate(look) == ["dark", "rgb(21, 24, 27)", "Light"]
    opened.keyboard.press("Space")
    assert opened.evaluate(look) == ["light", "rgb(255, 255, 255)", "Dark"]
    assert opened.evaluate("drawn") == 3

    said = """[document.documentElement.lang, $('hello').textContent, $('help').getAttribute('aria-label'),
               $('help').title, $('theme').textContent, $('theme').title,
               $('language').textContent, $('language').lang]"""
    english = ["en", "Hello", "Help", "Help", "Dark", "Change between light and dark", "한국어", "ko"]
    assert opened.evaluate(said) == english
    opened.click("#language")
    assert opened.evaluate(said) == ["ko", "안녕하세요", "도움말", "도움말", "어둡게",
                                     "밝은 화면과 어두운 화면 전환", "English", "en"]
    assert opened.evaluate("drawn") == 4
    opened.click("#language")
    assert opened.evaluate(said) == english
    assert opened.get_by_role("button", name="Dark").count() == 1


def test_the_system_s_theme_is_followed_until_one_is_chosen(site, browser_page):
    opened = browser_page(site(), dark=True)
    assert opened.evaluate("[dark(), remembered.get('theme')]") == [True, None]
    opened.emulate_media(color_scheme="light")
    browser.until(opened, "!dark()")
    opened.click("#theme")
    assert opened.evaluate("[dark(), remembered.get('theme')]") == [True, "dark"]
    opened.emulate_media(color_scheme="dark")
    opened.emulate_media(color_scheme="light")
    opened.wait_for_timeout(50)
    assert opened.evaluate("[dark(), remembered.get('theme')]") == [True, "dark"]
    again, found = opened.context.new_page(), None
    for _ in range(50):  # a page that begins now and then outruns Chromium's writing down
        again.goto(opened.url)
        found = again.evaluate("[dark(), remembered.get('theme')]")
        if found == [True, "dark"]:
            break
        again.wait_for_timeout(100)
    assert found == [True, "dark"]


def test_a_page_begins_in_the_language_it_was_written_in(site, browser_page):
    path = site(language="ko")
    assert browser_page(path).text_content("#hello") == "안녕하세요"
    assert browser_page(path, language="en").text_content("#hello") == "Hello"
    assert browser_page(path, language="ko").text_content("#hello") == "안녕하세요"


def test_say(site, browser_page):
    opened = browser_page(site())
    assert opened.evaluate("say('named', {name: '<b>', what: 3})") == "<b> is 3"
    assert opened.evaluate("say('named', {name: 'x'})") == "x is {what}"
    keys = ["unheard", "constructor", "toString"]
    assert opened.evaluate("keys => keys.map(key => say(key))", keys) == keys
    opened.click("#language")
    assert opened.evaluate("say('named', {name: 'x', what: 'y'})") == "x is y"  # English, where Korean is missing


SHOWN = [
    (0, "0"), (-0.0, "0"), (1, "1"), (-1, "−1"), (1.5, "1.5"), (0.1 + 0.2, "0.3"), (-0.0123, "−0.0123"),
    (12000, "12000"), (1.5e-7, "1.5e−7"), (-2.5e-10, "−2.5e−10"), (1 / 3, "0.3333"), (2 / 3, "0.6667"), (99999, "1e5"),
    (99994, "99990"), (100000, "1e5"), (123456, "1.235e5"), (101000, "1.01e5"), (1e10, "1e10"), (0.0001, "0.0001"),
    (0.00009999999, "0.0001"), (0.00009999, "9.999e−5"), (3.14159265, "3.142"), (1e100, "1e100"),
    (5e-324, "4.941e−324"), ("NaN", "NaN"), (None, "NaN"), ("Infinity", "∞"), ("-Infinity", "−∞"), ("0.5", "0.5"),
]


def test_shown(site, browser_page):
    opened = browser_page(site({"cases": [[given, expected] for given, expected in SHOWN]}))
    assert opened.evaluate("cases => cases.map(v => shown(v))", [given for given, _ in SHOWN]) == [e for _, e in SHOWN]
    digits = [(1 / 3, 1, "0.3"), (1 / 3, 2, "0.33"), (123456, 2, "1.2e5"), (987654, 1, "1e6"), (np.pi, 9, "3.14159265")]
    for value, n, expected in digits:
        assert opened.evaluate("([value, n]) => shown(value, n)", [value, n]) == expected


def test_elements(site, browser_page):
    opened = browser_page(site())
    opened.evaluate("""() => fill($('out'), el('button', {id: 'made', class: 'x', onclick: () => { drawn = 100; },
        disabled: false, hidden: null, title: undefined, 'aria-pressed': false, 'aria-busy': true, autofocus: true},
        '<i>', ['a', [0]], null, false))""")
    made = opened.evaluate("$('made').outerHTML")
    assert made == '<button id="made" class="x" aria-pressed="false" aria-busy="true" autofocus="">&lt;i&gt;a0</button>'
    opened.click("#made")
    assert opened.evaluate("drawn") == 100
    assert opened.evaluate("svg('circle', {r: 1}).namespaceURI") == "http://www.w3.org/2000/svg"
    assert opened.evaluate("fill($('out'), 'alone').childNodes.length") == 1


COLOURS = """names => names.map(name => { const p = $('out'); p.style.color = `var(--${name})`;
    return getComputedStyle(p).color.match(/[\\d.]+/g).slice(0, 3).map(Number); })"""


def contrast(a, b):
    """Of two sRGB colours, as WCAG 2.1 defines it."""
    def luminance(rgb):
        c = np.array(rgb) / 255
        return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]
    high, low = sorted([luminance(a), luminance(b)], reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("dark", [False, True])
def test_text_can_be_read_on_its_ground(site, browser_page, dark):
    texts = ["ink", "soft", "blue", "orange", "green", "pink", "yellow", "sky", "forward", "backward", "good", "bad"]
    grounds = ["paper", "panel", "raised"]
    opened = browser_page(site(), dark=dark)
    names = [*texts, *grounds, "mark"]
    colours = dict(zip(names, opened.evaluate(COLOURS, names)))
    got = {(t, g): contrast(colours[t], colours[g]) for t in texts for g in grounds}
    assert {pair: c for pair, c in got.items() if c < 4.5} == {} and contrast(colours["ink"], colours["mark"]) >= 4.5
    assert contrast([0, 0, 0], [255, 255, 255]) == pytest.approx(21)


@pytest.mark.parametrize("width", [390, 1280])
def test_the_header_fits(site, browser_page, width):
    path = site(title="A rather long title of a page, which has to wrap on a telephone")
    opened = browser_page(path, width=width, language="ko")
    assert opened.evaluate("document.documentElement.scrollWidth") == width


# ---- what a page may load: nothing ----
ASKS = {
    "fetch": "fetch('http://127.0.0.1:9/').catch(() => 0);",
    "image": "document.body.append(Object.assign(new Image(), {src: 'http://127.0.0.1:9/x.png'}));",
    "socket": "try { new WebSocket('ws://127.0.0.1:9/'); } catch {}",
    "style": "document.head.append(Object.assign(document.createElement('link'), "
             "{rel: 'stylesheet', href: 'http://127.0.0.1:9/x'}));",
    "script": "document.head.append(Object.assign(document.createElement('script'), {src: 'http://127.0.0.1:9/x'}));",
    "file": "document.body.append(Object.assign(new Image(), {src: 'beside.png'}));",
    "frame": "document.body.append(Object.assign(document.createElement('iframe'), {src: 'http://127.0.0.1:9/'}));",
}
DATA_IMAGE = "document.body.append(Object.assign(new Image(), {src: 'data:image/gif;base64,R0lGODlhAQABAAAAACw='}));"


def bare(tmp_path, script):
    path = tmp_path / "bare.html"
    path.write_text(f"<!DOCTYPE html><html lang='en'><title>x</title><body><script>{script}</script>", encoding="utf-8")
    return path


def seen(chromium, path):
    """The faults of a page that is expected to have some."""
    with pytest.raises(AssertionError, match=r"the page did what it never should"), browser.pages(chromium) as opened:
        opened(path).wait_for_timeout(50)
    return opened


@pytest.mark.parametrize("asks", part(ASKS, 3))
def test_the_policy_of_a_page_blocks_what_it_asks_for(site, chromium, asks):
    with (page.PAGES / "trial.js").open("a", encoding="utf-8") as file:
        file.write("\n" + ASKS[asks])
    assert any("Content Security Policy" in error for error in seen(chromium, site()).errors)


@pytest.mark.parametrize("asks", part(ASKS, 3))
def test_the_harness_notices_a_request(tmp_path, chromium, asks):
    opened = seen(chromium, bare(tmp_path, ASKS[asks]))
    beside = (tmp_path / "beside.png").as_uri()
    assert [url for url in opened.requests if url.startswith(("http://127.0.0.1:9/", "ws://127.0.0.1:9/", beside))]
    assert len(opened.requests) == 1


@pytest.mark.parametrize("script, told", [
    ("console.error('broken')", "error: broken"), ("throw new Error('thrown')", "error: uncaught: thrown"),
    ("Promise.reject(new Error('refused'))", "error: uncaught: refused"), ("nothing.at.all", "is not defined"),
    ("setTimeout(() => { throw new Error('late'); })", "error: uncaught: late")])
def test_the_harness_notices_an_error(tmp_path, chromium, script, told):
    assert any(told in fault for fault in seen(chromium, bare(tmp_path, script)).faults())


def test_the_harness_lets_a_good_page_be(tmp_path, chromium):
    with browser.pages(chromium) as opened:
        opened(bare(tmp_path, DATA_IMAGE + "console.warn('careful'); console.log('said'); location.hash = 'there';"))
    assert opened.warnings == ["careful"] and opened.requests == [] and opened.errors == []


def test_a_test_s_own_failure_is_not_hidden(tmp_path, chromium):
    with pytest.raises(ZeroDivisionError), browser.pages(chromium) as opened:
        opened(bare(tmp_path, "console.error('broken')"))
        1 / 0  # noqa: B018


def test_pages_share_nothing(site, browser_page):
    path = site()
    browser_page(path).click("#theme")
    assert browser_page(path).evaluate("dark()") is False


def test_a_loop_of_one_s_own_can_run_between_browser_tests(tmp_path, chromium):
    with browser.pages(chromium) as opened:
        opened(bare(tmp_path, ""))
    assert asyncio.run(asyncio.sleep(0, "ran")) == "ran"
    with browser.pages(chromium) as opened:
        assert opened(bare(tmp_path, "")).title() == "x"


def test_screenshots(site, browser_page, tmp_path):
    light = browser_page.screenshot(site(), width=400, height=300, save=tmp_path / "light.png")
    dark = browser_page.screenshot(site(), width=400, height=300, dark=True)
    assert light.shape == dark.shape == (300, 400, 3) and light.dtype == np.uint8
    assert light[-1, -1].tolist() == [255, 255, 255] and dark[-1, -1].tolist() == [21, 24, 27]
    assert (tmp_path / "light.png").read_bytes().startswith(b"\x89PNG")


# ---- the harness in a run of its own ----
TRIAL = """
def test_good(browser_page): browser_page({good!r})
def test_bad(browser_page): browser_page({bad!r})
"""


def run(tmp_path, **environment):
    good, bad = tmp_path / "good.html", tmp_path / "bad.html"
    good.write_text("<!DOCTYPE html><title>x</title>", encoding="utf-8")
    bad.write_text("<!DOCTYPE html><title>x</title><script>console.error('broken')</script>", encoding="utf-8")
    (tmp_path / "test_trial.py").write_text(TRIAL.format(good=str(good), bad=str(bad)), encoding="utf-8")
    here, root = Path(__file__).parent, Path(page.__file__).parents[2]
    path = os.pathsep.join(filter(None, [str(here), str(root), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "conftest", "-p", "no:cacheprovider", "-W", "error",
               "-c", os.devnull, "--rootdir", str(tmp_path), str(tmp_path / "test_trial.py")]
    done = subprocess.run(command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": path, **environment},
                          capture_output=True, text=True, timeout=300)
    return done.returncode, done.stdout


def test_a_page_with_an_error_fails_its_test(tmp_path, chromium):
    code, said = run(tmp_path)
    assert code == 1 and "2 passed, 1 error" in said
    assert "ERROR at teardown of test_bad" in said and "error: broken" in said


def test_without_a_browser_tests_are_skipped_aloud(tmp_path):
    pytest.importorskip("playwright")
    code, said = run(tmp_path, MINIGRAD_CHROMIUM=str(tmp_path / "nothing"))
    assert code == 0 and "2 skipped: browser tests need Chromium and playwright: apt install chromium" in said
    assert f"MINIGRAD_CHROMIUM={tmp_path / 'nothing'} is not a program" in said


def test_without_playwright_tests_are_skipped_aloud(monkeypatch):
    monkeypatch.setitem(sys.modules, "playwright.sync_api", None)
    with pytest.raises(browser.Missing, match=r"pip install playwright \(playwright is not installed"):
        with browser.chromium():
            pass


def test_which_program(monkeypatch, tmp_path):
    for name in ("google-chrome", "chromium-browser"):
        (tmp_path / name).write_text("#!/bin/sh\n", encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("MINIGRAD_CHROMIUM", raising=False)
    assert browser.program() == str(tmp_path / "chromium-browser")
    monkeypatch.setenv("MINIGRAD_CHROMIUM", str(tmp_path / "google-chrome"))
    assert browser.program() == str(tmp_path / "google-chrome")
    monkeypatch.setenv("MINIGRAD_CHROMIUM", str(tmp_path / "nothing"))
    assert browser.program() is None
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    monkeypatch.setenv("MINIGRAD_CHROMIUM", "")
    assert browser.program() is None
