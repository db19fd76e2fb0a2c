"""How notebooks show Tensors and models: HTML that is readable on light and on dark paper, and a Tensor's graph.

A notebook sets the colour of text and paper: here are only transparent colours. Everything named or printed is escaped.
"""

from __future__ import annotations

import functools
import html
import math
import re
import sys

import numpy as np

from ..nn import Module
from ..source import line
from ..tensor import Tensor
from . import graph

__all__ = ["module_html", "tensor_html", "tensor_svg"]

ROWS, COLUMNS = 16, 12  # a larger matrix is a heat map
CELLS = 48  # of a heat map along a side; beyond, each is the mean of several
TILES = 12  # matrices of a larger array that are shown
LAYERS = 150  # rows of a model's table
OPERATIONS, BOXES = 2000, 60  # a larger graph is not drawn; a drawn one has at most so many boxes
BLUE, ORANGE, PINK = "0,114,178", "213,94,0", "204,121,167"  # negative, positive, not finite
LEVELS = 16
FRAME = ('<div style="font-family:system-ui,sans-serif;font-size:13px;line-height:1.45;max-width:100%;overflow-x:auto">'
         "{}</div>")
TABLE = ('<table style="border-collapse:collapse;width:auto;margin:4px 0;font-size:12px;color:inherit;'
         'font-variant-numeric:tabular-nums">{}</table>')
CELL = "padding:2px 7px;border:1px solid rgba(128,128,128,.3);background:{};text-align:{}"
PAPER = '<div style="background:#fff;padding:4px;border-radius:6px;overflow:auto">{}</div>'
SOFT = '<span style="opacity:.7">{}</span>'


def tensor_html(t: Tensor) -> str:
    """Shape, dtype, name and origin; the values as a coloured table or heat map; the gradient; the graph, folded up."""
    parts = [_tensor_head(t), _values(t.data)]
    if t.grad is not None:
        parts.append(_fold("gradient", _values(t.grad.data), t.size <= 64))
    elif t.requires_grad and t.is_leaf:
        parts.append(SOFT.format("no gradient yet"))
    svg = tensor_svg(t)
    if svg is not None:
        svg = re.sub(r' id="[^"]*"', "", svg[svg.index("<svg"):])  # several pictures on one page
        svg = svg.replace("<svg", '<svg style="max-width:none"', 1)  # a notebook would shrink it beyond reading
        parts.append(_fold("graph", PAPER.format(svg)))
    return FRAME.format("".join(f"<div>{part}</div>" for part in parts))


def tensor_svg(t: Tensor) -> str | None:
    """The graph that computed it, in at most 60 boxes; None for a leaf, a huge graph, or where nothing can lay it out.

    Names are those of the program's main variables, as in `viz.draw`.
    """
    if t.is_leaf or _operations(t) > OPERATIONS:
        return None
    variables = vars(sys.modules["__main__"]) if "__main__" in sys.modules else {}
    return _svg(graph._draw(t, variables=variables, limit=BOXES))


def module_html(model: Module) -> str:
    """The modules inside each other, with their settings and parameters, and the number of all parameters."""
    modules = dict(model.named_modules())
    own: dict[str, list] = {path: [] for path in modules}
    for name, p in model.named_parameters():
        path = name
        while path not in own:
            path = path.rpartition(".")[0]
        own[path].append((name[len(path):].lstrip("."), p))
    head = "".join(f'<th style="{CELL.format("rgba(128,128,128,.15)", "left")}">{text}</th>'
                   for text in ("name", "layer", "parameters", "numbers"))
    rows = [f"<tr>{head}</tr>"]
    for path, module in list(modules.items())[:LAYERS]:
        rows.append(_layer_row(path, module, own[path]))
    if len(modules) > LAYERS:
        rows.append(_row([f"… and {len(modules) - LAYERS:,} more", "", "", ""]))
    total = sum(p.size for _, p in model.named_parameters())
    trained = sum(p.size for _, p in model.named_parameters() if p.requires_grad)
    size = sum(p.data.nbytes for _, p in model.named_parameters())
    frozen = f"{trained:,} are trained, {total - trained:,} frozen" if trained < total else ""
    rows.append(_row(["<b>total</b>", "", frozen, f"<b>{total:,}</b>"]))
    mode = "training" if model.training else "evaluation"
    head = f"<b>{_e(type(model).__name__)}</b> " + SOFT.format(f"{_bytes(size)} of parameters, in {mode} mode")
    return FRAME.format(head + TABLE.format("".join(rows)))


# ---- a Tensor ----
def _tensor_head(t):
    parts = [f"<b>{_e(t.name)}</b>"] * bool(t.name)
    parts += [f"{type(t).__name__.lower()} of shape {t.shape}", str(t.dtype)]
    parts += ["requires grad"] * (t.requires_grad and t.is_leaf)
    head = ", ".join(parts)
    if not t.is_leaf:
        head += f", by <b>{_e(t.node.op.name)}</b>"
        if (where := line(t.node.where)) is not None:
            head += " " + SOFT.format(f"<code>{_e(graph._line(where))}</code>")
    return head


def _operations(t):
    """How many operations are behind it, counted until they are too many."""
    seen, stack = {t.node}, [t.node]
    while stack and len(seen) <= OPERATIONS:
        for parent in stack.pop().parents:
            if parent is not None and parent.op is not None and parent not in seen:
                seen.add(parent)
                stack.append(parent)
    return len(seen)


def _svg(picture):
    return _laid_out(picture.source)


@functools.lru_cache(maxsize=8)  # HTML and SVG are asked for one after the other
def _laid_out(source):
    import graphviz
    content = graph._laid_out(graphviz.Source(source), "svg")
    return None if content is None else content.decode()


def _fold(title, inside, unfolded=False):
    return f'<details{" open" * unfolded}><summary style="cursor:pointer">{title}</summary>{inside}</details>'


# ---- values ----
def _values(array):
    if array.size == 0:
        return SOFT.format("no elements")
    if array.ndim == 0:
        return f'<span style="font-size:15px">{_e(_number(array[()]))}</span>'
    if array.ndim <= 2 and (array.shape[-1] <= COLUMNS or (array.ndim == 1 and array.size <= 2 * COLUMNS)) and (
            array.ndim == 1 or len(array) <= ROWS):
        return _table(np.atleast_2d(array), array.ndim == 1)
    return f"<div>{_statistics(array)}</div>{_pictures(array)}"


def _table(matrix, is_row):
    shade = _shade(matrix)
    lines = []
    for i, row in enumerate(matrix):
        cells = "".join(f'<td style="{CELL.format(shade(v), "right")}">{_e(_number(v))}</td>' for v in row)
        lines.append(f"<tr>{cells}</tr>" if is_row else
                     f'<tr><th style="padding:2px 6px;opacity:.6;font-weight:normal">{i}</th>{cells}</tr>')
    heads = "".join(f'<th style="padding:0 6px;opacity:.6;font-weight:normal;text-align:right">{j}</th>'
                    for j in range(matrix.shape[1]))
    corner = "" if is_row else "<th></th>"
    return TABLE.format(f"<tr>{corner}{heads}</tr>{''.join(lines)}")


def _shade(values):
    """A function from a value to its background: blue below 0, orange above, the stronger the larger."""
    size = np.abs(values.astype(np.complex128 if values.dtype.kind == "c" else np.float64))
    top = size[np.isfinite(size)].max(initial=0)

    def of(v):
        size = abs(complex(v))
        if not math.isfinite(size):
            return f"rgba({PINK},.6)"
        sign = BLUE if np.real(v) < 0 else ORANGE
        return f"rgba({sign},{0.5 * size / top if top else 0:.2f})"
    return of


def _statistics(array):
    numbers = np.abs(array) if array.dtype.kind == "c" else array.astype(np.float64)
    finite = numbers[np.isfinite(numbers)]
    told = [("least", finite.min()), ("mean", finite.mean()), ("largest", finite.max()),
            ("standard deviation", finite.std())] if finite.size else []
    text = ", ".join(f"{what} {_number(v)}" for what, v in told)
    text = ("of the absolute values: " if array.dtype.kind == "c" else "") + text
    for what, count in (("NaN", np.isnan(numbers).sum()), ("infinite", np.isinf(numbers).sum()),
                        ("zero", (numbers == 0).sum())):
        if count:
            share = f" ({count / numbers.size:.0%})" if what == "zero" else ""
            text += ", " * bool(text) + f"{count:,} {what}{share}"
    return text


def _pictures(array):
    """Heat maps of the last two axes; for an image of three colours, the image."""
    if array.ndim == 3 and len(array) == 3 and min(array.shape[1:]) >= 8 and _is_image(array):
        return _image(array)
    matrices = array.reshape(1, 1, -1) if array.ndim == 1 else array.reshape(-1, *array.shape[-2:])
    finite = np.abs(matrices)[np.isfinite(matrices)]
    top = float(finite.max(initial=0))
    negative = array.dtype.kind in "fi" and bool((matrices < 0).any())
    maps = "".join(_heat_map(m, top, negative) for m in matrices[:TILES])
    more = f"the first {TILES} of {len(matrices):,} matrices" if len(matrices) > TILES else ""
    key = "blue: below 0, orange: above; " if negative else ""
    return f"{maps}<div>{SOFT.format(key + f'strongest: {_number(top)}' + (', ' + more if more else ''))}</div>"


def _is_image(array):
    return array.dtype == np.uint8 or (array.dtype.kind == "f" and array.min() >= 0 and array.max() <= 1
                                       and array.max() > 0)


def _heat_map(matrix, top, negative):
    """One path for each shade: small, and sharp at any size."""
    m = _shrunk(np.abs(matrix) if matrix.dtype.kind == "c" else matrix.astype(np.float64))
    height, width = m.shape
    share = np.divide(m, top, out=np.zeros_like(m), where=np.isfinite(m)) if top else np.zeros_like(m)
    level = np.rint(np.clip(share, -1, 1) * LEVELS).astype(int)
    level[~np.isfinite(m)] = LEVELS + 1
    paths = []
    for k in np.unique(level[level != 0]):
        cells = "".join(f"M{x} {y}h1v1h-1z" for y, x in np.argwhere(level == k))
        fill = (f"rgb({PINK})" if k > LEVELS else f"rgb({BLUE if k < 0 else ORANGE})" if negative else "currentColor")
        paths.append(f'<path fill="{fill}" fill-opacity="{min(abs(k), LEVELS) / LEVELS:.2f}" d="{cells}"/>')
    return _canvas(width, height, "".join(paths))


def _image(array):
    a = np.stack([_shrunk(channel.astype(np.float64)) for channel in array])
    a = np.rint(a if array.dtype == np.uint8 else a * 255).astype(int)
    cells = "".join(f'<rect x="{x}" y="{y}" width="1.02" height="1.02" fill="#{r:02x}{g:02x}{b:02x}"/>'
                    for y in range(a.shape[1]) for x, (r, g, b) in enumerate(a[:, y].T))
    return _canvas(a.shape[2], a.shape[1], cells)


def _canvas(width, height, inside):
    scale = max(2, min(8, 240 // max(width, height)))
    return (f'<svg viewBox="0 0 {width} {height}" width="{width * scale}" height="{max(height * scale, 6)}" '
            'preserveAspectRatio="none" shape-rendering="crispEdges" role="img" aria-label="heat map" '
            'style="margin:3px;outline:1px solid rgba(128,128,128,.4);max-width:100%">' + inside + "</svg>")


def _shrunk(m):
    """The matrix, or means of its blocks, with at most so many rows and columns."""
    for axis in (0, 1):
        n = m.shape[axis]
        if n > CELLS:
            starts = np.arange(CELLS) * n // CELLS
            counts = np.diff([*starts, n])
            m = np.add.reduceat(m, starts, axis) / (counts[:, None] if axis == 0 else counts)
    return m


# ---- a model ----
def _layer_row(path, module, own):
    depth = path.count(".") + 1 if path else 0
    name = path.rpartition(".")[2] if path else "(model)"
    settings = _e(graph._short(module.extra_repr(), 80))
    held = ", ".join(f"{_e(name)} {p.shape}" + ("" if p.requires_grad else " frozen") for name, p in own)
    count = sum(p.size for _, p in own)
    indented = f'<span style="padding-left:{depth * 1.2:.1f}em" title="{_e(path)}">{_e(name)}</span>'
    layer = _e(type(module).__name__) + (f"({settings})" if settings else "")
    return _row([indented, layer, held, f"{count:,}" if count else ""])


def _row(cells):
    return "<tr>" + "".join(f'<td style="{CELL.format("transparent", "right" if i == 3 else "left")}">{cell}</td>'
                            for i, cell in enumerate(cells)) + "</tr>"


def _bytes(n):
    for unit in ("B", "KiB", "MiB"):
        if n < 1024:
            return f"{n:.1f} {unit}" if unit != "B" else f"{n} B"
        n /= 1024
    return f"{n:.1f} GiB"


def _number(v):
    return f"{v:.4g}" if np.asarray(v).dtype.kind in "fc" else str(v)


def _e(text):
    return html.escape(graph._clean(text))
