"""How matplotlib's pictures look: light and dark, colours that the colour-blind tell apart, and the parts of a figure.

Figures are objects: pyplot's state stays alone.
"""

from __future__ import annotations

import importlib
import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..checkpoint import replacing

__all__ = ["DARK", "LIGHT", "LINES", "MARKERS", "MissingExtra", "Theme", "axes", "bare", "figure", "legend", "pixels",
           "short", "write"]


class MissingExtra(ImportError):
    """A package that minigrad needs for this alone is not installed; the message says how to install it."""


@dataclass(frozen=True)
class Theme:
    """Colours of a picture: lines in those of Okabe & Ito that stand out from the paper, surfaces in grey."""

    paper: str
    ink: str
    faint: str
    low: str
    high: str
    colours: tuple[str, ...]


LIGHT = Theme("#FFFFFF", "#222222", "#999999", "#FFFFFF", "#CFCFCF",
              ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"))
DARK = Theme("#15181B", "#E8E8E8", "#7C838A", "#15181B", "#454B51",
             ("#56B4E9", "#E69F00", "#20C997", "#CC79A7", "#F0E442", "#FF7F50", "#FFFFFF"))
FONTS = ("Noto Sans CJK KR", "Noto Sans CJK JP", "Noto Sans KR", "NanumGothic", "Malgun Gothic", "Apple SD Gothic Neo",
         "AppleGothic")  # of which those that are installed draw what matplotlib's own has not
NO_XML = re.compile(b"[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f]|\xef\xbf[\xbe\xbf]")  # control characters, in UTF-8
MARKERS, LINES = "osD^vPX", ("-", "--", ":", "-.")


def figure(width: float, height: float, theme: Theme = LIGHT, labels: Sequence[str] = ()):
    """A matplotlib Figure of so many inches, higher by the rows of a `legend` of these labels."""
    try:
        module = importlib.import_module("matplotlib.figure")
    except ImportError as error:
        raise MissingExtra('matplotlib is needed for pictures: pip install "minigrad[plot]"') from error
    rows = math.ceil(len(labels) / _columns(width, labels))
    return module.Figure((width, height + 0.19 * rows), layout="constrained", facecolor=theme.paper)


def bare(axes, theme: Theme) -> None:
    """The theme's colours for paper, ticks and frame."""
    axes.set_facecolor(theme.paper)
    axes.tick_params(colors=theme.ink, which="both", labelsize=8)
    axes.spines[:].set_color(theme.faint)


def axes(axes, theme: Theme, title: str) -> None:
    """The look of a diagram, with ``title`` below its x axis."""
    bare(axes, theme)
    axes.set_xlabel(title, color=theme.ink)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color=theme.high, linewidth=0.6, alpha=0.6)
    axes.set_axisbelow(True)


def legend(figure, axes, theme: Theme) -> None:
    """What the axes' lines are called, below all of the figure's axes."""
    handles, labels = axes.get_legend_handles_labels()
    made = figure.legend(handles, labels, loc="outside lower center", ncols=_columns(figure.get_figwidth(), labels),
                         fontsize=9, frameon=False, handlelength=2.4, columnspacing=1.5)
    for text in made.get_texts():
        text.set_color(theme.ink)


def _columns(width, labels):
    """How many of the legend fit into so many inches, in its font."""
    return max(1, min(len(labels), 4, int(width / (0.6 + 0.068 * max(map(len, labels), default=0)))))


def short(text: object, length: int = 24) -> str:
    """A name that is longer than so many characters, with its middle left out."""
    text = str(text)
    if len(text) <= length:
        return text
    tail = (length - 1) // 2
    return f"{text[:length - 1 - tail]}…{text[-tail:]}"


def pixels(image: np.ndarray) -> np.ndarray:
    """A colour image (H, W, 3) from 0 to 1: as it is, or of other numbers from the least to the greatest; NaN is 0."""
    image = np.nan_to_num(np.asarray(image, np.float64), posinf=0, neginf=0)
    low, high = image.min(), image.max()
    return image if 0 <= low and high <= 1 else (image - low) / (high - low or 1)


def write(figure, path: str | os.PathLike[str]) -> Path:
    """Save a figure in the format of the path's suffix. Raises ValueError for one that matplotlib does not write.

    Texts are shown as they are: a $ begins no formula.
    """
    path = Path(path)
    kinds = figure.canvas.get_supported_filetypes()
    if path.suffix[1:].lower() not in kinds:
        raise ValueError(f"{path}: a picture's name ends in .png, .svg or .pdf")
    _as_written(figure)
    with replacing(path) as beside:
        figure.savefig(beside, format=path.suffix[1:].lower(), dpi=150)
        if path.suffix.lower() == ".svg":
            beside.write_bytes(NO_XML.sub(b" ", beside.read_bytes()))
    return path


def shown(text: str) -> str:
    """What can be drawn of a text: a file's name may be no Unicode, and hold characters that no font and no XML has."""
    return NO_XML.sub(b" ", text.encode(errors="replace")).decode()


def _as_written(figure):
    """No formulas in texts (the numbers on axes, which matplotlib writes later, are some), and Korean by a font."""
    from matplotlib import font_manager
    from matplotlib.text import Text
    texts = [t for t in figure.findobj(Text) if t.get_text()]
    for text in texts:
        text.set_text(shown(text.get_text()))
        if "\\mathdefault" not in text.get_text():
            text.set_parse_math(False)
    foreign = [t for t in texts if any(c >= "\u1100" for c in t.get_text())]
    if foreign:
        installed = {font.name for font in font_manager.fontManager.ttflist}
        for text in foreign:
            text.set_fontfamily([*text.get_fontfamily(), *(name for name in FONTS if name in installed)])
