"""Datasets as plain arrays: MNIST, Fashion-MNIST, scikit-learn's digits, CIFAR-10, and the characters of a text."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from minigrad.data.files import CorruptFileError, DatasetNotAvailable, find, import_extra, read_idx
from minigrad.data.transforms import Transform
from minigrad.random import default_generator

__all__ = ["CIFAR10", "MNIST", "ArrayDataset", "CharText", "FashionMNIST", "digits", "load", "random_split"]

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

FASHION_MNIST_MIRRORS = (
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
)
FASHION_MNIST_SHA256 = {
    "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
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
        x, *rest = (_at(array, index) for array in self.arrays)
        return (x if self.transform is None else self.transform(x), *rest)

    def subset(self, index: slice | Sequence[int] | np.ndarray) -> ArrayDataset:
        """The dataset of these rows, with the same transform and classes. A slice shares memory, the rest copies."""
        rows = [array[index] for array in self.arrays]
        return ArrayDataset(*rows, transform=self.transform, classes=self.classes, name=self.name)

    def __repr__(self) -> str:
        return f"{self.name}({', '.join(f'{array.dtype} {array.shape}' for array in self.arrays)})"


def _at(array, index):
    """``array[index]``. take copies row by row what lies in one piece; of anything else it would copy all first."""
    if isinstance(index, np.ndarray) and index.dtype.kind == "i" and array.flags.c_contiguous and array.flags.aligned:
        return array.take(index, 0)
    return array[index]


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

    class_names = tuple("0123456789")

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
        name = type(self).__name__
        if not isinstance(train, (bool, np.bool_)):
            raise TypeError(f"{name}: train must be True or False, got {train!r}; a folder is passed as root=")
        default_mirrors, sha256, subfolder = self._source()
        mirrors = default_mirrors if mirrors is None else mirrors
        part = "train" if train else "t10k"
        images, labels = (
            read_idx(find(file, sha256[file], root, cache, mirrors, download, timeout, subfolder))
            for file in (f"{part}-images-idx3-ubyte.gz", f"{part}-labels-idx1-ubyte.gz")
        )
        x = np.divide(images[:, None], np.float32(255), dtype=np.float32)
        super().__init__(x, labels.astype(np.int64), transform=transform, classes=self.class_names, name=name)
        self.train = bool(train)

    def _source(self):
        """Where the files come from, their SHA-256, and their folder in ``$MINIGRAD_DATA``."""
        return MNIST_MIRRORS, MNIST_SHA256, ""


class FashionMNIST(MNIST):
    """Ten kinds of clothes, in the format and size of MNIST, and harder. Xiao, Rasul & Vollgraf 2017.

    The files bear the names of MNIST's: in ``$MINIGRAD_DATA`` they are looked for in the folder fashion-mnist, and
    their cache is another. Otherwise as `MNIST`.
    """

    class_names = ("T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag",
                  "ankle boot")

    def _source(self):
        return FASHION_MNIST_MIRRORS, FASHION_MNIST_SHA256, "fashion-mnist"


class CIFAR10(ArrayDataset):
    """Small photographs: x float32 (N, 3, 32, 32) in [0, 1], y int64 (N,); 50,000 to train, 10,000 to test.

    Krizhevsky 2009. From the folder of the binary version, unpacked: data_batch_1.bin to data_batch_5.bin and
    test_batch.bin, in ``root``, in ``$MINIGRAD_DATA``, or in a folder cifar-10-batches-bin in one of them. Nothing is
    downloaded. Each record is a byte of label and 3072 of red, green and blue rows.

    Raises DatasetNotAvailable if there is no such folder or a file of it is missing, CorruptFileError for a file that
    is not whole records with labels 0..9.
    """

    URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"

    def __init__(self, train: bool = True, root: str | os.PathLike[str] | None = None,
                 transform: Transform | None = None) -> None:
        if not isinstance(train, (bool, np.bool_)):
            raise TypeError(f"CIFAR10: train must be True or False, got {train!r}; a folder is passed as root=")
        names = [f"data_batch_{i}.bin" for i in range(1, 6)] if train else ["test_batch.bin"]
        records = np.concatenate([_cifar_records(self._folder(root, names) / name) for name in names])
        x = np.divide(records[:, 1:].reshape(-1, 3, 32, 32), np.float32(255), dtype=np.float32)
        classes = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
        super().__init__(x, records[:, 0].astype(np.int64), transform=transform, classes=classes, name="CIFAR10")
        self.train = bool(train)

    def _folder(self, root, names):
        given = [Path(place).expanduser() for place in (root, os.environ.get("MINIGRAD_DATA")) if place]
        places = [folder for place in given for folder in (place, place / "cifar-10-batches-bin")]
        for folder in places:
            missing = [name for name in names if not (folder / name).is_file()]
            if not missing:
                return folder
            if len(missing) < len(names):
                raise DatasetNotAvailable(f"CIFAR10: {folder} lacks {', '.join(missing)}", f"{missing[0]} is missing")
        raise DatasetNotAvailable(
            f"CIFAR10: {names[0]} was not found; looked in {', '.join(map(str, places)) or 'nothing'}\n"
            f"unpack {self.URL} and pass its folder as root=, or set MINIGRAD_DATA", "not found")


def _cifar_records(path: Path) -> np.ndarray:
    size = path.stat().st_size
    if not size or size % 3073:
        raise CorruptFileError(f"{path}: {size:,} bytes are not whole records of 3,073; replace the file")
    records = np.fromfile(path, np.uint8).reshape(-1, 3073)
    if records[:, 0].max() > 9:
        raise CorruptFileError(f"{path}: a label of {records[:, 0].max()}, not 0..9; replace the file")
    return records


class CharText(ArrayDataset):
    """The windows of a text: x int64 (N, length), characters as numbers, and y, the same one character further on.

    What a character RNN learns from: y[i, t] is what follows x[i, t]. ``step`` is from one window's start to the
    next's; length leaves each character to one window only. ``vocabulary`` holds the characters, sorted, and a
    character's number is its place there; give the training text's to a text for validation. The windows are views.

    Raises ValueError for a text shorter than ``length`` + 1, and for characters that are not in ``vocabulary``.
    """

    def __init__(self, text: str, length: int = 64, step: int = 1, vocabulary: Iterable[str] | None = None,
                 transform: Transform | None = None) -> None:
        if length < 1 or step < 1:
            raise ValueError(f"CharText: length and step must be positive, got length={length}, step={step}")
        if len(text) <= length:
            raise ValueError(f"CharText: a text of {len(text)} characters is too short for windows of {length} and the "
                             "character after")
        self.vocabulary = tuple(sorted(set(text))) if vocabulary is None else tuple(vocabulary)
        if any(len(c) != 1 for c in self.vocabulary) or len(set(self.vocabulary)) != len(self.vocabulary):
            raise ValueError("CharText: vocabulary must be different single characters")
        self._numbers = {c: i for i, c in enumerate(self.vocabulary)}
        numbers = self.encode(text)
        windows = np.lib.stride_tricks.sliding_window_view(numbers, length + 1)[::step]
        super().__init__(windows[:, :-1], windows[:, 1:], transform=transform, classes=self.vocabulary, name="CharText")

    def encode(self, text: str) -> np.ndarray:
        """The numbers of these characters, int64 (n,). Raises ValueError for one that is not in the vocabulary."""
        unknown = sorted(set(text) - self._numbers.keys())
        if unknown:
            raise ValueError(f"CharText: not in the vocabulary: {', '.join(map(repr, unknown[:10]))}")
        return np.array([self._numbers[c] for c in text], np.int64)

    def decode(self, numbers: Iterable[int]) -> str:
        """The text of these numbers."""
        return "".join(self.vocabulary[i] for i in np.asarray(numbers).ravel().tolist())


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
    """A dataset by name: "mnist", "fashion-mnist", "cifar-10", "digits", or "auto".

    "auto" is MNIST where it is on this machine or can be downloaded, else scikit-learn's digits, which it announces on
    stderr. A corrupt MNIST file in ``$MINIGRAD_DATA`` is an error, not a reason to fall back.
    """
    known = ("auto", "mnist", "fashion-mnist", "cifar-10", "digits")
    if name not in known:
        raise ValueError(f"load: unknown dataset {name!r}; known are {', '.join(known)}")
    if name == "digits":
        return digits(train, transform=transform)
    if name != "auto":
        return {"mnist": MNIST, "fashion-mnist": FashionMNIST, "cifar-10": CIFAR10}[name](train, transform=transform)
    try:
        return MNIST(train, transform=transform, timeout=3.0)
    except (DatasetNotAvailable, ImportError) as error:
        reason = error.reason if isinstance(error, DatasetNotAvailable) else error
        print(f"MNIST is not reachable ({reason}), using scikit-learn's digits", file=sys.stderr)
        return digits(train, transform=transform)
