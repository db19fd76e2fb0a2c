"""Datasets, batches, and the transforms between them. Only NumPy is imported here; the extra ``data`` on first use."""

from minigrad.data.datasets import MNIST, ArrayDataset, digits, load, random_split
from minigrad.data.files import CorruptFileError, DatasetNotAvailable, fetch, read_idx
from minigrad.data.loader import DataLoader
from minigrad.data.toys import blobs, circles, moons, spiral, xor
from minigrad.data.transforms import (
    AddNoise,
    Compose,
    Flatten,
    MinMaxScaler,
    Normalize,
    OneHot,
    RandomTranslate,
    StandardScaler,
    ToFloat,
)

__all__ = [
    "MNIST",
    "AddNoise",
    "ArrayDataset",
    "Compose",
    "CorruptFileError",
    "DataLoader",
    "DatasetNotAvailable",
    "Flatten",
    "MinMaxScaler",
    "Normalize",
    "OneHot",
    "RandomTranslate",
    "StandardScaler",
    "ToFloat",
    "blobs",
    "circles",
    "digits",
    "fetch",
    "load",
    "moons",
    "random_split",
    "read_idx",
    "spiral",
    "xor",
]
