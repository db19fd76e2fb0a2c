"""Pictures of single digits, made to look like the data set's: ``like_mnist(read("seven.png"))``."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

__all__ = ["like_mnist", "read", "resize"]

WHITE = 1.0


def read(path: str | os.PathLike[str]) -> np.ndarray:
    """An image file as grey values (H, W), float32 in 0..1; what is transparent becomes white.

    .npy: (H, W), with a channel axis of 1, 3 or 4 first or last; bytes, or numbers in 0..1 or 0..255. Everything else
    goes through pillow (the extra ``image``). Raises FileNotFoundError, ValueError for what is not an image,
    ImportError without pillow.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no image {path}")
    try:
        pixels = np.load(path, allow_pickle=False) if path.suffix == ".npy" else _pillow(path)
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"{path} is not an image that can be read ({error})") from error
    if not isinstance(pixels, np.ndarray) or pixels.dtype.kind not in "buif":
        raise ValueError(f"{path} does not hold one array of numbers")
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
    try:
        with Image.open(path) as image:
            image = ImageOps.exif_transpose(image)
            if image.mode.startswith("I"):
                return np.asarray(image).astype(np.uint16)
            return np.asarray(image.convert("RGBA"))
    except Image.DecompressionBombError as error:
        raise ValueError(str(error)) from error


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
