"""What the layers look for, and what they see: the first layer's filters, and the feature maps of an image.

    filters.first_layer(model, "filters.png")
    filters.feature_maps(model, image, "maps.png")
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .. import nn
from ..mode import no_grad
from ..nn import activations
from ..nn.conv import _Kernels, _SeparableConv
from ..nn.module import Module
from ..nn.normalization import _BatchNorm
from ..nn.pooling import _Pool
from ..tensor import Tensor
from . import style
from .style import DARK, LIGHT

__all__ = ["feature_maps", "first_layer"]

COLUMNS = 8  # of a gallery
ROWS, CHANNELS = 16, 16  # kernels and channels of each that are drawn, where there are others than one or three


def first_layer(model: Module, path: str | os.PathLike[str], dark: bool = False, shape: Sequence[int] | None = None,
                layer: str | None = None, count: int = 64) -> Path:
    """The weights of the first layer as images, all on one scale around 0. Returns the path; its suffix is the format.

    Of a Conv2d each kernel, in its own order: in colours of blue (negative) and orange where it has one channel; as a
    colour image, grey for 0, where it has three; else its channels side by side, at most 16, of at most 16 kernels. Of
    a Dense layer on images each unit's weights, those of the largest norm first; shape: of an image, (H, W), (1, H, W)
    or (3, H, W), by default a square of one channel or three. layer: another one, by its name. count: how many kernels
    or units at most.

    Raises ValueError where there is no such layer, one that is not built yet, a shape that does not fit or a count
    below 1; MissingExtra without matplotlib.
    """
    if count < 1:
        raise ValueError(f"first_layer: count must be at least 1, got {count}")
    name, module = _layer(model, layer)
    theme, dense = DARK if dark else LIGHT, isinstance(module, nn.Dense)
    weight = np.asarray(module.weight.data, np.float64)
    if weight.size == 0:
        raise ValueError(f"first_layer: {name} ({_type(module)}) takes its size from its first input: call the model "
                         "once")
    if dense:
        images = weight.T.reshape(weight.shape[1], *_image_shape(weight.shape[0], shape))
        order = np.argsort(-np.linalg.norm(weight, axis=0), kind="stable")
        what = "unit"
    else:
        images, order, what = weight, np.arange(len(weight)), "kernel"
    channels = images.shape[1]
    shown = order[:count if channels in (1, 3) else min(count, ROWS)]
    some = "" if len(shown) == len(order) else f", {len(shown)} of {len(order)}" + ", the largest first" * dense
    title = f"{name} ({_type(module)}): the weights of each {what}, {'×'.join(map(str, images.shape[1:]))}{some}"
    if channels in (1, 3):
        figure = _gallery(images, shown, theme)
        title += ", grey is 0" * (channels == 3)
    else:
        figure = _channels(images, shown, theme)
        title += f", {CHANNELS} of {channels} channels" if channels > CHANNELS else ", its channels side by side"
    figure.suptitle(title, fontsize=11, color=theme.ink)
    return style.write(figure, path)


def _type(module):
    return type(module).__name__.removeprefix("Parametrized")


def _layer(model, name):
    """(name, module): the first Conv2d or Dense, or that of the name."""
    if name is None:
        found = next(((n, m) for n, m in model.named_modules() if _drawable(m)), None)
        if found is None:
            kinds = dict.fromkeys(type(m).__name__ for m in model.modules())
            raise ValueError(f"first_layer: {type(model).__name__} has no Conv2d or Dense layer, it has "
                             f"{', '.join(kinds)}")
        return found[0] or "the model", found[1]
    named = dict(model.named_modules())
    if name not in named:
        raise ValueError(f"first_layer: no layer {name!r}, there are {', '.join(n for n in named if n) or 'none'}")
    module = named[name]
    if not _drawable(module):
        raise ValueError(f"first_layer: {name} is a {type(module).__name__}, not a Conv2d or Dense layer")
    return name, module


def _drawable(module):
    return isinstance(module, (nn.Dense, nn.Conv2d, nn.DepthwiseConv2d))


def _image_shape(features, shape):
    """(C, H, W) of images with so many numbers."""
    if shape is None:
        for channels in (1, 3):
            side = math.isqrt(features // channels)
            if channels * side * side == features and side > 1:
                return channels, side, side
        raise ValueError(f"first_layer: {features} inputs are no square image of one channel or three: say shape=(H, W)"
                         ", if they are an image")
    given, shape = tuple(shape), tuple(int(s) for s in shape)
    shape = (1, *shape) if len(shape) == 2 else shape
    if len(shape) != 3 or math.prod(shape) != features or shape[0] not in (1, 3):
        raise ValueError(f"first_layer: shape is (H, W), (1, H, W) or (3, H, W) of {features} numbers, not {given}")
    return shape


def _gallery(images, shown, theme):
    """Rows of images with their numbers above."""
    n = len(shown)
    columns = COLUMNS if n > 16 else 3 if n in (5, 6, 9) else min(n, 4)
    rows = math.ceil(len(shown) / columns)
    tall = images.shape[2] / images.shape[3]
    width = max(1.05 * columns, 5.5)
    figure = style.figure(width + 0.9, (width / columns * min(max(tall, 0.4), 2.5) + 0.1) * rows + 0.7, theme)
    reach = float(np.abs(images[shown]).max()) or 1.0
    axes = [figure.add_subplot(rows, columns, i + 1) for i in range(len(shown))]
    for place, number in zip(axes, shown):
        if images.shape[1] == 3:  # grey is 0
            place.imshow(np.moveaxis(images[number], 0, -1) / (2 * reach) + 0.5, interpolation="nearest")
        else:
            picture = place.imshow(images[number, 0], cmap=_diverging(theme), vmin=-reach, vmax=reach,
                                   interpolation="nearest")
        _framed(place, theme)
        place.set_title(str(number), fontsize=8, color=theme.ink, pad=3)
    if images.shape[1] != 3:
        _scale(figure, picture, axes, theme)
    return figure


def _channels(images, shown, theme):
    """A row for each kernel, a column for each of its channels."""
    channels = min(images.shape[1], CHANNELS)
    figure = style.figure(max(0.62 * channels + 1.6, 5.5), 0.66 * len(shown) + 0.9, theme)
    reach = float(np.abs(images[shown, :channels]).max()) or 1.0
    axes = []
    for row, number in enumerate(shown):
        for c in range(channels):
            place = figure.add_subplot(len(shown), channels, row * channels + c + 1)
            picture = place.imshow(images[number, c], cmap=_diverging(theme), vmin=-reach, vmax=reach,
                                   interpolation="nearest")
            _framed(place, theme)
            if row == 0:
                place.set_title(str(c), fontsize=8, color=theme.ink, pad=3)
            if c == 0:
                place.set_ylabel(str(number), fontsize=8, color=theme.ink, rotation=0, ha="right", va="center")
            axes.append(place)
    _scale(figure, picture, axes, theme)
    return figure


def _diverging(theme):
    """Blue for negative, the paper for 0, orange for positive: told apart by the colour-blind too."""
    from matplotlib.colors import LinearSegmentedColormap
    blue, orange = ("#0072B2", "#D55E00") if theme is LIGHT else ("#56B4E9", "#E69F00")
    return LinearSegmentedColormap.from_list("minigrad", [blue, theme.paper, orange])


def _framed(axes, theme):
    axes.set_facecolor(theme.paper)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_color(theme.faint)
    axes.spines[:].set_linewidth(0.6)


def _scale(figure, picture, axes, theme):
    bar = figure.colorbar(picture, ax=axes, fraction=0.03, pad=0.02, aspect=30)
    bar.ax.tick_params(colors=theme.ink, labelsize=8)
    bar.outline.set_edgecolor(theme.faint)


# ---- feature maps ----
def feature_maps(model: Module, image, path: str | os.PathLike[str], dark: bool = False, channels: int = 8,
                 layers: Sequence[str] | None = None) -> Path:
    """What each convolution, normalization, activation and pooling makes of an image: a row of maps for each.

    image: (H, W), (C, H, W) or (1, C, H, W), as the model takes it. channels: how many maps of each layer, the first;
    the same column is the same channel while layers keep them apart. A row's maps share a scale: from 0 up in grey
    where nothing is negative, else in blue and orange around 0. layers: the names of those to draw. The model runs once
    in evaluation mode, and is left as it was. Returns the path, whose suffix is the format.

    Raises ValueError for another image, channels below 1, unknown layers, and a model without a layer that puts out
    maps; MissingExtra without matplotlib.
    """
    if channels < 1:
        raise ValueError(f"feature_maps: channels must be at least 1, got {channels}")
    image = np.asarray(image.data if isinstance(image, Tensor) else image)
    x = image[None, None] if image.ndim == 2 else image[None] if image.ndim == 3 else image
    if x.ndim != 4 or len(x) != 1 or not x.size:
        raise ValueError(f"feature_maps: one image is (H, W), (C, H, W) or (1, C, H, W), got {image.shape}")
    maps = _maps(model, x, layers)
    theme = DARK if dark else LIGHT
    columns = max(min(channels, max(m.shape[0] for _, _, m in maps)), 2)
    figure = style.figure(0.95 * columns + 1.7, 1.0 * (len(maps) + 1) + 0.5, theme)
    grid = figure.add_gridspec(len(maps) + 1, columns)
    axes = figure.add_subplot(grid[0, 0])
    _image(axes, x[0], theme)
    _named(axes, f"input\n{_size(x[0])}", theme)
    for row, (name, kind, values) in enumerate(maps, 1):
        signed = bool(np.nanmin(values) < 0) if np.isfinite(values).any() else False
        shown = values[:columns]
        reach = float(np.nanmax(np.abs(np.where(np.isfinite(shown), shown, 0)))) or 1.0
        look = {"cmap": _diverging(theme), "vmin": -reach, "vmax": reach} if signed else {
            "cmap": "gray_r" if theme is LIGHT else "gray", "vmin": 0, "vmax": reach}
        for c, picture in enumerate(shown):
            axes = figure.add_subplot(grid[row, c])
            axes.imshow(picture, interpolation="nearest", **look)
            _framed(axes, theme)
            if row == 1:
                axes.set_title(str(c), fontsize=8, color=theme.ink, pad=3)
            if c == 0:
                _named(axes, f"{name}  {kind}\n{_size(values)}", theme)
    some = f", the first {columns} channels of each layer" if any(len(m) > columns for _, _, m in maps) else ""
    figure.suptitle(f"Feature maps{some}", fontsize=12, color=theme.ink)
    return style.write(figure, path)


def _maps(model, x, layers):
    """[(name, type, maps (C, H, W))] in the order of the calls."""
    named = {m: name for name, m in model.named_modules() if name}
    unknown = [n for n in layers or () if n not in named.values()]
    if unknown:
        raise ValueError(f"feature_maps: no layer {', '.join(unknown)}, there are {', '.join(named.values())}")
    wanted = {m: n for m, n in named.items() if (_makes_maps(m) if layers is None else n in layers)}
    seen = {}

    def note(module, args, output):
        if isinstance(output, Tensor) and output.ndim == 4 and wanted[module] not in seen:
            seen[wanted[module]] = module, np.array(output.data[0], np.float64)
    modes = [(m, m.training) for m in model.modules()]
    dtype = next((p.dtype for p in model.parameters()), np.dtype(np.float32))
    handles = [m.register_forward_hook(note) for m in wanted]
    try:
        model.eval()
        with no_grad():
            model(Tensor(x.astype(dtype)))
    finally:
        for handle in handles:
            handle.remove()
        for m, mode in modes:
            m.training = mode
    if not seen:
        kinds = dict.fromkeys(type(m).__name__ for m in model.modules())
        raise ValueError("feature_maps: no layer puts out maps (N, C, H, W), like Conv2d and MaxPool2d; there are "
                         f"{', '.join(kinds)}")
    return [(name, _type(module), values) for name, (module, values) in seen.items()]


def _makes_maps(module):
    activation = any(c.__module__ == activations.__name__ for c in type(module).__mro__)
    return activation or isinstance(module, (_Kernels, _SeparableConv, _BatchNorm, _Pool, nn.Lambda))


def _size(maps):
    return "×".join(map(str, maps.shape))


def _named(axes, text, theme):
    axes.set_ylabel(text, fontsize=8.5, color=theme.ink, rotation=0, ha="right", va="center", labelpad=8)


def _image(axes, image, theme):
    if len(image) == 3:
        axes.imshow(style.pixels(np.moveaxis(image, 0, -1)), interpolation="nearest")
    else:
        axes.imshow(image[0], cmap="gray_r" if theme is LIGHT else "gray", interpolation="nearest")
    _framed(axes, theme)
