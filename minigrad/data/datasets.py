"""Datasets of digits as plain arrays: MNIST and the ones inside scikit-learn."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Sequence

import numpy as np

from minigrad.data.files import DatasetNotAvailable, find, import_extra, read_idx
from minigrad.data.transforms import Transform
from minigrad.random import default_generator

__all__ = ["MNIST", "ArrayDataset", "digits", "load", "random_split"]

MNIST_MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
MNIST_SHA256 = {
    "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}


class ArrayDataset:
    """Arrays with one row per sample: ``ArrayDataset(x, y)``.

    ``dataset[i]`` is the tuple of the arrays' rows: one sample for an integer, a batch for a slice, a list or array of
    integers, or a boolean mask. ``transform`` is a function of a batch of x, the first array; it is applied on indexing
    (to a single sample as a batch of one), while ``.arrays``, ``.x`` and ``.y`` are the arrays as they were given.

    ``classes`` names the labels, ``name`` the dataset. Raises ValueError if the arrays differ in length.
    """

    def __init__(
        self,
        *arrays: np.ndarray,
        transform: Transform | None = None,
        classes: Sequence[str] | None = None,
        name: str | None = None,
    ) -> None:
        if not arrays:
            raise ValueError("ArrayDataset: at least one array is needed")
        self.arrays = tuple(np.asarray(array) for array in arrays)
        shapes = [array.shape for array in self.arrays]
        if () in shapes or len({shape[0] for shape in shapes}) != 1:
            raise ValueError(f"ArrayDataset: all arrays need the same first dimension, got shapes {shapes}")
        self.transform = transform
        self.classes = None if classes is None else tuple(classes)
        self.name = name or type(self).__name__

    @property
    def x(self) -> np.ndarray:
        """The first array, untransformed."""
        return self.arrays[0]

    @property
    def y(self) -> np.ndarray:
        """The second array."""
        if len(self.arrays) < 2:
            raise AttributeError(f"{self.name} holds x only, there is no y")
        return self.arrays[1]

    def __len__(self) -> int:
        return len(self.arrays[0])

    def __getitem__(self, index: int | slice | Sequence[int] | np.ndarray) -> tuple[np.ndarray, ...]:
        if isinstance(index, (int, np.integer)) and not isinstance(index, bool):
            if not -len(self) <= index < len(self):
                raise IndexError(f"{self.name}: index {index} is out of range for {len(self)} samples")
            row = index % len(self)
            return tuple(array[0] for array in self[row : row + 1])
        if not isinstance(index, (slice, list, np.ndarray)) or np.ndim(index) > 1:
            raise TypeError(f"{self.name}: index with an integer, a slice, a list or a 1-d array, got {index!r}")
        x, *rest = (array[index] for array in self.arrays)
        return (x if self.transform is None else self.transform(x), *rest)

    def subset(self, index: slice | Sequence[int] | np.ndarray) -> ArrayDataset:
        """The dataset of these rows, with the same transform and classes. A slice shares memory, the rest copies."""
        rows = [array[index] for array in self.arrays]
        return ArrayDataset(*rows, transform=self.transform, classes=self.classes, name=self.name)

    def __repr__(self) -> str:
        return f"{self.name}({', '.join(f'{array.dtype} {array.shape}' for array in self.arrays)})"


def random_split(
    dataset: ArrayDataset, lengths: Sequence[float], generator: np.random.Generator | None = None
) -> list[ArrayDataset]:
    """Split into disjoint datasets in a random order: ``train, valid = random_split(data, [0.9, 0.1])``.

    ``lengths`` are row counts that add up to ``len(dataset)``, or fractions that add up to 1 (rounded down; what
    remains goes to the first parts, one row each). Draws from ``generator``, else from minigrad's default generator.
    """
    n, counts = len(dataset), list(lengths)
    if math.isclose(sum(counts), 1) and n != 1 and min(counts) >= 0:
        counts = [math.floor(n * fraction + 1e-9) for fraction in counts]
        for part in range(n - sum(counts)):
            counts[part] += 1
    if sum(counts) != n or any(count < 0 or count != int(count) for count in counts):
        raise ValueError(f"random_split: lengths must be counts adding up to {n} or fractions, to 1; got {lengths}")
    order = (generator or default_generator()).permutation(n)
    ends = np.cumsum(counts, dtype=int)
    return [dataset.subset(rows) for rows in np.split(order, ends[:-1])]


class MNIST(ArrayDataset):
    """Handwritten digits: x float32 (N, 1, 28, 28) in [0, 1], y int64 (N,); 60,000 to train, 10,000 to test.

    The gzip-compressed IDX files are looked for in ``root``, in the folder ``$MINIGRAD_DATA`` and in the cache
    (``cache``, else the user's cache folder), then downloaded from ``mirrors``, into ``root`` if given, else into the
    cache (extra ``data``). Each is checked by its SHA-256. A corrupt file in the cache is downloaded again; elsewhere
    it is an error.

    ``timeout`` is in seconds, to connect and between bytes. Raises CorruptFileError for a file that is not the
    original, DatasetNotAvailable if there is none to be had, ImportError if a package for the download is missing.
    """

    def __init__(
        self,
        train: bool = True,
        root: str | os.PathLike[str] | None = None,
        download: bool = True,
        transform: Transform | None = None,
        *,
        cache: str | os.PathLike[str] | None = None,
        mirrors: Sequence[str] | None = None,
        timeout: float = 10.0,
    ) -> None:
        if not isinstance(train, (bool, np.bool_)):
            raise TypeError(f"MNIST: train must be True or False, got {train!r}; a folder is passed as root=")
        mirrors = MNIST_MIRRORS if mirrors is None else mirrors
        part = "train" if train else "t10k"
        images, labels = (
            read_idx(find(name, MNIST_SHA256[name], root, cache, mirrors, download, timeout))
            for name in (f"{part}-images-idx3-ubyte.gz", f"{part}-labels-idx1-ubyte.gz")
        )
        x = np.divide(images[:, None], np.float32(255), dtype=np.float32)
        super().__init__(x, labels.astype(np.int64), transform=transform, classes="0123456789", name="MNIST")
        self.train = bool(train)


def digits(train: bool = True, test_size: float = 0.2, transform: Transform | None = None) -> ArrayDataset:
    """The 1,797 scanned digits inside scikit-learn (extra ``data``): x float32 (N, 1, 8, 8) in [0, 1], y int64 (N,).

    The split is fixed and stratified: in each class, evenly spaced samples (every fifth, by default) are the test set.
    """
    if not 0 < test_size < 1:
        raise ValueError(f"digits: test_size must be a fraction between 0 and 1, got {test_size}")
    bunch = import_extra("sklearn.datasets", "the digits dataset").load_digits()
    y = bunch.target.astype(np.int64)
    test = np.zeros(len(y), bool)
    for label in range(10):
        rows = np.flatnonzero(y == label)
        quota = np.floor(np.arange(len(rows) + 1) * test_size + 1e-9)
        test[rows] = np.diff(quota) > 0
    rows = ~test if train else test
    x = (bunch.images[rows, None] / 16).astype(np.float32)
    return ArrayDataset(x, y[rows], transform=transform, classes="0123456789", name="digits")


def load(name: str = "auto", train: bool = True, transform: Transform | None = None) -> ArrayDataset:
    """A dataset of digits by name: "mnist", "digits", or "auto".

    "auto" is MNIST where it is on this machine or can be downloaded, else scikit-learn's digits, which it announces on
    stderr. A corrupt MNIST file in ``$MINIGRAD_DATA`` is an error, not a reason to fall back.
    """
    known = ("auto", "mnist", "digits")
    if name not in known:
        raise ValueError(f"load: unknown dataset {name!r}; known are {', '.join(known)}")
    if name == "digits":
        return digits(train, transform=transform)
    if name == "mnist":
        return MNIST(train, transform=transform)
    try:
        return MNIST(train, transform=transform, timeout=3.0)
    except (DatasetNotAvailable, ImportError) as error:
        reason = error.reason if isinstance(error, DatasetNotAvailable) else error
        print(f"MNIST is not reachable ({reason}), using scikit-learn's digits", file=sys.stderr)
        return digits(train, transform=transform)
