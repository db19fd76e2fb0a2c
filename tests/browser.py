"""A real browser, headless Chromium by playwright, for the pages: the fixture ``browser_page`` of conftest.py.

    def test_theme(browser_page, tmp_path):
        page = browser_page(tmp_path / "player.html", width=390, dark=True)
        page.click("#theme")

A test fails at its end if a page logged an error, threw one, or asked for anything but itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import shutil
import time
import urllib.parse
from pathlib import Path

import numpy as np

NEEDED = "browser tests need Chromium and playwright: apt install chromium; pip install playwright"
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
             "--disable-component-update", "--disable-sync"]
LOCALES = {"en": "en-US", "ko": "ko-KR"}


class Missing(Exception):
    """There is no browser to test with."""


def program() -> str | None:
    """Chromium: what MINIGRAD_CHROMIUM names and nothing else, or what lies on PATH."""
    named = os.environ.get("MINIGRAD_CHROMIUM")
    return shutil.which(named) if named else next(filter(None, map(shutil.which, PROGRAMS)), None)


@contextlib.contextmanager
def chromium():
    """A browser, and the event loop of playwright. Raises Missing without playwright or Chromium.

    The Chromium of ``playwright install chromium`` will do as well.
    """
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise Missing(f"{NEEDED} (playwright is not installed)") from None
    found, named = program(), os.environ.get("MINIGRAD_CHROMIUM")
    if named and not found:
        raise Missing(f"{NEEDED} (MINIGRAD_CHROMIUM={named} is not a program)")
    with sync_playwright() as playwright:
        if not found and not Path(playwright.chromium.executable_path).exists():
            raise Missing(f"{NEEDED} (none of {', '.join(PROGRAMS)} is on PATH)")
        with playwright.chromium.launch(executable_path=found, args=ARGUMENTS, timeout=120_000) as browser:
            loop = asyncio.get_running_loop()
            with _running(None):
                yield browser, loop


@contextlib.contextmanager
def _running(loop):
    """Between its calls playwright leaves its event loop marked as running, and asyncio.run of others would refuse: so
    the mark is taken off while nobody uses the browser."""
    before = asyncio._get_running_loop()
    asyncio._set_running_loop(loop)
    try:
        yield
    finally:
        asyncio._set_running_loop(before)


class Pages:
    """Opens pages in a context of its own, and keeps what they logged, threw and asked for.

    errors and warnings: texts from the console, and of uncaught exceptions. requests: the URLs asked for, without
    the pages' own; nothing reaches the network.
    """

    def __init__(self, browser):
        self.browser, self.contexts, self.own = browser, [], set()
        self.errors, self.warnings, self.requests = [], [], []

    def __call__(self, path: str | os.PathLike[str], width: int = 1280, height: int = 800, dark: bool = False,
                 language: str | None = None):
        """Open a file and return playwright's Page. language: "en" or "ko"; None leaves it as it was written."""
        context = self.browser.new_context(
            viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light",
            locale=LOCALES[language or "en"], reduced_motion="reduce", offline=True)
        self.contexts.append(context)
        context.on("console", self._console)
        context.on("weberror", lambda error: self.errors.append(f"uncaught: {error.error}"))
        context.on("request", lambda request: self._request(request.url))
        context.on("page", lambda page: page.on("websocket", lambda socket: self._request(socket.url)))
        page = context.new_page()
        address = Path(path).resolve().as_uri()
        self.own.add(address)
        page.goto(address)
        if language and page.evaluate("document.documentElement.lang") != language:
            page.click("#language")
        return page

    def screenshot(self, path: str | os.PathLike[str], width: int = 1280, height: int = 800, dark: bool = False,
                   language: str | None = None, save: str | os.PathLike[str] | None = None) -> np.ndarray:
        """Open a file and return its whole length as (rows, columns, 3) uint8; save: a PNG to write as well."""
        return picture(self(path, width, height, dark, language), save)

    def _console(self, message):
        kept = {"error": self.errors, "warning": self.warnings}.get(message.type)
        if kept is not None:
            kept.append(message.text)

    def _request(self, url):
        if not url.startswith("data:") and urllib.parse.urldefrag(url).url not in self.own:
            self.requests.append(url)

    def faults(self) -> list[str]:
        """What a page of ours never does, as far as it has been told."""
        return [f"error: {text}" for text in self.errors] + [f"request: {url}" for url in self.requests]


def picture(page, save: str | os.PathLike[str] | None = None) -> np.ndarray:
    """A page's whole length as (rows, columns, 3) uint8; save: a PNG to write as well."""
    from PIL import Image

    data = page.screenshot(full_page=True)
    if save:
        Path(save).write_bytes(data)
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def until(page, condition: str, seconds: float = 10):
    """Wait until a JavaScript expression is true: page.wait_for_function needs eval, which our pages forbid."""
    end = time.monotonic() + seconds
    while not page.evaluate(condition):
        assert time.monotonic() < end, f"not true within {seconds} s: {condition}"
        page.wait_for_timeout(20)


@contextlib.contextmanager
def pages(started):
    """Pages in what chromium() gives, closed at the end; AssertionError if one of them did what it never should."""
    browser, loop = started
    opened = Pages(browser)
    with _running(loop):
        try:
            yield opened
            for page in (page for context in opened.contexts for page in context.pages):
                page.evaluate("0")  # what happened before is told before the answer
            assert not opened.faults(), "the page did what it never should:\n" + "\n".join(opened.faults())
        finally:
            for context in opened.contexts:
                context.close()
