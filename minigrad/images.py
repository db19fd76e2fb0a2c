"""Pictures of single digits, made to look like the data set's: ``like_mnist(read("seven.png"))``."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np

from . import formats

__all__ = ["like_mnist", "read", "resize"]

WHITE = 1.0
PIXELS = 2**30 // 12  # where Pillow begins to suspect a trap
KINDS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")  # not EPS, for one, which runs a program


def read(path: str | os.PathLike[str]) -> np.ndarray:
    """An image file as grey values (H, W), float32 in 0..1; what is transparent becomes white.

    .npy: (H, W), with a channel axis of 1, 3 or 4 first or last; bytes, or numbers in 0..1 or 0..255. PNG, JPEG, GIF,
    BMP, TIFF, WebP and PNM go through pillow (the extra ``image``). Raises FileNotFoundError, ValueError for what is
    not an image, or one of more than 89 million pixels, ImportError without pillow.
    """
    path = Path(path)
    if path.suffix != ".npy":
        return _pillow(path)
    pixels = formats.read_npy(path, 4 * PIXELS)
    if pixels.dtype.kind not in "buif":
        raise ValueError(f"{path} holds {pixels.dtype}, not grey values")
    if pixels.ndim == 3 and pixels.shape[0] in (1, 3, 4) and pixels.shape[2] not in (1, 3, 4):
        pixels = np.moveaxis(pixels, 0, -1)
    if not pixels.size or (pixels.ndim != 2 and not (pixels.ndim == 3 and pixels.shape[2] in (1, 3, 4))):
        raise ValueError(f"{path}: an array of shape {pixels.shape} is not one image (H, W)")
    top = float(pixels.max())
    if not np.isfinite(pixels).all() or pixels.min() < 0 or top > (65535 if pixels.dtype == np.uint16 else 255):
        raise ValueError(f"{path}: pixels must lie in 0..1 or 0..255, not {pixels.min()}..{top:g}")
    scale = np.iinfo(pixels.dtype).max if pixels.dtype in (np.uint8, np.uint16) else 255 if top > 1 else 1
    return _grey(pixels.astype(np.float32) / np.float32(scale))


def _pillow(path):
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise ImportError(f'reading {path} needs pillow: pip install "minigrad[image]", or save it as .npy') from error
    with formats.opened(path, "image") as file:
        try:
            with formats.warnings_as(("ignore",), ("error", Image.DecompressionBombWarning)), \
                    Image.open(file, formats=KINDS) as image:
                if math.prod(image.size) > PIXELS:
                    raise ValueError(f"{image.width} x {image.height} pixels are more than {PIXELS:,}")
                image = ImageOps.exif_transpose(image)
                return np.concatenate([*_strips(image)])
        except Exception as error:  # Pillow's decoders have many, for a damaged file
            raise ValueError(f"{path} is not an image that can be read "
                             f"({str(error) or type(error).__name__})") from error


def _strips(image):
    """The grey values of some rows at a time: of a large picture only those are ever in floats of four channels."""
    width, height = image.size
    for top in range(0, height, rows := max(2**20 // width, 1)):
        strip = image.crop((0, top, width, min(top + rows, height)))
        if image.mode.startswith("I"):  # 16 bits, in whatever Pillow holds them
            pixels = np.asarray(strip)
            if pixels.min() < 0 or pixels.max() > 65535:
                raise ValueError(f"pixels of 16 bits lie in 0..65535, not {pixels.min()}..{pixels.max()}")
            yield pixels.astype(np.float32) / np.float32(65535)
        else:
            yield _grey(np.asarray(strip.convert("RGBA")) / np.float32(255))


def _grey(pixels):
    if pixels.ndim == 2:
        return pixels
    if pixels.shape[2] == 4:
        alpha = pixels[..., 3:]
        pixels = pixels[..., :3] * alpha + WHITE * (1 - alpha)
    return pixels[..., 0] if pixels.shape[2] == 1 else pixels @ np.float32([0.299, 0.587, 0.114])  # ITU-R BT.601


def like_mnist(image: np.ndarray, size: int = 28) -> np.ndarray:
    """A grey image (H, W) of a digit as MNIST has it: (size, size), white on black, centred by its mass.

    A light background is inverted. As in MNIST, the ink is fitted into 20 of 28 pixels; below 16 pixels, as in
    scikit-learn's digits, into all. An image that has this size and a black border is left as it is. Raises
    ValueError for one without ink.
    """
    border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    if image.shape == (size, size) and (np.median(border) < 0.1 or (size < 16 and image.mean() < 0.5)):
        return image.astype(np.float32)
    if np.median(border) > 0.5:
        image, border = 1 - image, 1 - border
    floor = float(np.median(border) + 3 * border.std())
    if image.max() - floor < 0.1:
        raise ValueError("there is no digit in this image: nothing stands out from its border")
    ink = np.clip((image - floor) / (image.max() - floor), 0, 1)
    rows, columns = (np.flatnonzero((ink > 0.1).any(axis=axis)) for axis in (1, 0))
    ink = ink[rows[0]:rows[-1] + 1, columns[0]:columns[-1] + 1]
    box = round(size * 20 / 28) if size >= 16 else size
    scale = box / max(ink.shape)
    ink = resize(ink, *(max(round(n * scale), 1) for n in ink.shape))
    ink = ink / ink.max()
    place = []
    for axis, n in enumerate(ink.shape):
        mass = ink.sum(axis=1 - axis)
        centre = (mass @ (np.arange(n) + 0.5)) / mass.sum()
        place.append(int(np.clip(round(size / 2 - centre), 0, size - n)))
    digit = np.zeros((size, size), np.float32)
    digit[place[0]:place[0] + ink.shape[0], place[1]:place[1] + ink.shape[1]] = ink
    return digit


def resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """(H, W) -> (height, width): each new pixel is the mean of the area that it covers."""
    return _areas(image.shape[0], height) @ image @ _areas(image.shape[1], width).T


def _areas(old, new):
    edges = np.arange(new + 1) * (old / new)
    pixel = np.arange(old)
    covered = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    return np.maximum(covered, 0) * (new / old)
