"""Data files: finding, downloading and checking them, and reading the IDX format."""

from __future__ import annotations

import gzip
import hashlib
import importlib
import math
import os
import shutil
import zlib
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import BinaryIO
from urllib.parse import urlsplit

import numpy as np

from ..formats import DEFLATE_LIMIT, MAX_BYTES, MAX_DIMS, opened, take

__all__ = ["CorruptFileError", "DatasetNotAvailable", "fetch", "find", "import_extra", "read_idx"]


class CorruptFileError(ValueError):
    """A data file is not what it should be."""


class DatasetNotAvailable(OSError):
    """A dataset is neither on this machine nor reachable. ``reason`` says why in one line."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


_IDX_DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_idx(path: str | os.PathLike[str], max_bytes: int = MAX_BYTES) -> np.ndarray:
    """Read an IDX file, plain or gzip-compressed, as an array in native byte order.

    The header is two zero bytes, the dtype's code, the number of dimensions, and each dimension as a big-endian uint32.
    What it claims is compared with the file before anything is allocated, and never more than that plus one byte is
    decompressed.

    Raises FileNotFoundError, or CorruptFileError for a wrong header, missing or trailing bytes, broken gzip data, or
    over ``max_bytes``.
    """
    path = Path(path)
    try:
        with opened(path) as file:
            zipped = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            capacity = os.fstat(file.fileno()).st_size * (DEFLATE_LIMIT if zipped else 1)
            if not zipped:
                return _parse_idx(file, path, min(capacity, max_bytes))
            with gzip.GzipFile(fileobj=file) as unzipped:
                return _parse_idx(unzipped, path, min(capacity, max_bytes))
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise CorruptFileError(f"{path}: broken gzip data ({error}); replace the file") from error


def _parse_idx(file: BinaryIO | gzip.GzipFile, path: Path, capacity: int) -> np.ndarray:
    def corrupt(what: str) -> CorruptFileError:
        return CorruptFileError(f"{path}: {what}; replace the file")

    magic = file.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _IDX_DTYPES:
        raise corrupt(f"not an IDX file: it starts with {magic.hex(' ') or 'nothing'}, not 00 00 <dtype> <dimensions>")
    dtype, ndim = np.dtype(_IDX_DTYPES[magic[2]]), magic[3]
    if not 1 <= ndim <= MAX_DIMS:
        raise corrupt(f"the IDX header claims {ndim} dimensions, not 1..{MAX_DIMS}")
    sizes = file.read(4 * ndim)
    if len(sizes) < 4 * ndim:
        raise corrupt(f"truncated in the header: {ndim} dimensions claimed, {len(sizes)} bytes follow")
    shape = tuple(np.frombuffer(sizes, ">u4").tolist())
    expected = math.prod(shape) * dtype.itemsize
    claim = f"the IDX header claims shape {shape}, {expected:,} bytes of {dtype.name}"
    if expected == 0:
        raise corrupt(f"{claim}: an empty dimension")
    if expected > capacity:
        raise corrupt(f"{claim}, but there can be at most {capacity:,}")
    data = take(file, expected + 1)
    if len(data) < expected:
        raise corrupt(f"truncated: {claim}, but only {len(data):,} follow")
    if len(data) > expected:
        raise corrupt(f"trailing bytes: {claim}, but more follow")
    return np.frombuffer(data, dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)


def import_extra(module: str, purpose: str, instead: str = "") -> ModuleType:
    """Import a package of the extra ``data``, or raise an ImportError that says how to install it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = {"sklearn": "scikit-learn"}.get(module.partition(".")[0], module)
        raise ImportError(f'{purpose} needs {package}: pip install "minigrad[data]"{instead}') from error


def fetch(
    name: str, sha256: str, mirrors: Sequence[str], folder: str | os.PathLike[str], timeout: float = 10.0
) -> Path:
    """The path of ``folder/name``, downloaded unless it is there with this SHA-256.

    ``mirrors`` are folder URLs (http, https or file), tried in order until one delivers the file with this SHA-256;
    only then is it renamed into place. ``timeout`` is in seconds, to connect and between bytes. Progress goes to
    stderr, if that is a terminal. Needs pooch (extra ``data``). Raises DatasetNotAvailable if no mirror delivers.
    """
    pooch = import_extra("pooch", f"downloading {name}")

    def download(url: str, output_file: str, _: object) -> None:
        if urlsplit(url).scheme == "file":
            from urllib.request import url2pathname

            shutil.copyfile(url2pathname(urlsplit(url).path), output_file)
            return
        from tqdm import tqdm

        responses = []

        def keep(response: object, *_: object, **__: object) -> None:
            responses.append(response)

        # pooch sets the total, but asks for bool(bar) before: a bar without a total refuses
        with tqdm(total=1, desc=name, unit="B", unit_scale=True, disable=None) as bar:
            options = {"timeout": timeout, "hooks": {"response": keep}}
            try:
                pooch.HTTPDownloader(progressbar=bar, chunk_size=1 << 14, **options)(url, output_file, None)
            finally:
                for response in responses:  # pooch leaves the connection of a failed download open
                    response.close()

    failures = {}
    for mirror in mirrors:
        url = f"{mirror.rstrip('/')}/{name}"
        try:
            return Path(pooch.retrieve(url, f"sha256:{sha256}", name, folder, downloader=download))
        except (OSError, ValueError) as error:  # unreachable, refused, or another file than expected
            failures[url] = error
    details = [f"\n  {url}: {type(error).__name__}: {error}" for url, error in failures.items()]
    reasons = [f"{urlsplit(url).netloc or url}: {type(error).__name__}" for url, error in failures.items()]
    raise DatasetNotAvailable(
        f"{name} could not be downloaded" + "".join(details or [": no mirrors given"]),
        "; ".join(reasons) or "no mirrors given",
    )


def find(
    name: str,
    sha256: str,
    root: str | os.PathLike[str] | None,
    cache: str | os.PathLike[str] | None,
    mirrors: Sequence[str],
    download: bool = True,
    timeout: float = 10.0,
    subfolder: str = "",
) -> Path:
    """The path of file ``name``, from ``root``, ``$MINIGRAD_DATA``, ``cache`` or a mirror, with this SHA-256.

    ``cache=None`` is ``minigrad/<subfolder>`` in the user's cache folder, by default of mnist. ``subfolder`` is where
    the file lies in ``$MINIGRAD_DATA``, for names that several datasets share. A download goes into ``root`` if given,
    else into the cache. A corrupt file in the cache is downloaded again; elsewhere, or without ``download``, it raises
    CorruptFileError. Otherwise as :func:`fetch`.
    """
    environment = os.environ.get("MINIGRAD_DATA")
    for folder in filter(None, (root, environment and Path(environment) / subfolder)):
        path = Path(folder).expanduser() / name
        if path.is_file():
            _check_sha256(path, sha256, "replace it, or remove it to have another copy found or downloaded")
            return path

    advice = f"set MINIGRAD_DATA (or pass root=) to a folder that holds {name}"
    if subfolder:
        advice = f"pass root=, a folder that holds {name}, or set MINIGRAD_DATA to one with it in its {subfolder}"
    if cache is None:
        pooch = import_extra("pooch", f"finding or downloading {name}", f", or {advice}")
        cache = Path(pooch.os_cache("minigrad")) / (subfolder or "mnist")
    cached = Path(cache).expanduser() / name
    if cached.is_file():
        try:
            _check_sha256(cached, sha256, "remove it, or pass download=True to replace it")
            return cached
        except CorruptFileError:
            if not download:
                raise

    places = f"root={root}, MINIGRAD_DATA={environment or '(not set)'}, cache={cached.parent}"
    try:
        if not download:
            raise DatasetNotAvailable(f"{name} was not found, and download=False", "not found, and download=False")
        return fetch(name, sha256, mirrors, Path(root).expanduser() if root else cached.parent, timeout)
    except DatasetNotAvailable as error:
        raise DatasetNotAvailable(f"{error}\n  looked in {places}\n{advice}", error.reason) from error


def _check_sha256(path: Path, sha256: str, advice: str) -> None:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    if digest.hexdigest() != sha256:
        raise CorruptFileError(
            f"{path} is corrupt or another file\n"
            f"  expected SHA-256 {sha256}\n  found    SHA-256 {digest.hexdigest()}\n{advice}"
        )
