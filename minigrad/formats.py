"""Files of others, read with limits: arrays from .safetensors, .npz and .npy, and text as JSON.

What a file says of itself is held against its size before anything is allocated; nothing is unpickled, nothing is
unpacked to the disk, and what is no regular file is not opened: a FIFO would wait for a writer for ever.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

__all__ = ["MAX_BYTES", "ModelFileError", "leaves", "opened", "parse_json", "read", "read_json", "read_npy",
           "read_text", "take", "warnings_as"]

MAX_BYTES = 2**31  # of what is unpacked or read at once; a larger file may hold as much as itself
MAX_TEXT = 2**20  # of a configuration
DEFLATE_LIMIT = 1032  # no deflate stream expands further
MAX_DIMS, MAX_SIZE = 64, 2**60  # NumPy's axes; an axis beyond any memory
JSON_IN_NPZ = "metadata.json"
SAFETENSORS = {"F64", "F32", "F16", "I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8", "BOOL", "C64"}
KINDS = "biufc"
_BLOCK = 2**20
_one_thread = threading.Lock()  # catch_warnings changes what all threads share


class ModelFileError(ValueError):
    """A file is not a model, or not all of one."""


def opened(path: str | os.PathLike[str], what: str = "file") -> BinaryIO:
    """The file, open to read bytes. Raises FileNotFoundError, also for a folder, FIFO or device."""
    path = Path(path)
    if not path.is_file():
        other = ": it is a folder" if path.is_dir() else ": this is no regular file" if path.exists() else ""
        raise FileNotFoundError(f"there is no {what} {path}{other}")
    return open(path, "rb")


def take(file: BinaryIO, count: int) -> bytearray:
    """The next ``count`` bytes, or as many as there are: memory follows what comes, not what was announced."""
    data = bytearray()
    while len(data) < count and (block := file.read(min(count - len(data), _BLOCK))):
        data += block
    return data


@contextlib.contextmanager
def warnings_as(*rules: tuple) -> Iterator[None]:
    """A with block in which these rules of warnings.simplefilter hold, the last of them first."""
    with _one_thread, warnings.catch_warnings():
        for rule in rules:
            warnings.simplefilter(*rule)
        yield


# ---- text ----
def read_text(path: str | os.PathLike[str], max_bytes: int = MAX_TEXT, what: str = "file") -> str:
    """A file of UTF-8. Raises FileNotFoundError, or ValueError for other bytes and for more than ``max_bytes``."""
    with opened(path, what) as file:
        data = take(file, max_bytes + 1)
    if len(data) > max_bytes:
        raise ValueError(f"{path} is damaged: more than {max_bytes:,} bytes are no {what}")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is damaged: {error}") from error


def read_json(path: str | os.PathLike[str], what: str = "file") -> dict:
    """An object of JSON without NaN and infinities, up to 1 MiB. Raises as `read_text`, and ValueError for others."""
    text = read_text(path, what=what)
    try:
        found = parse_json(text, finite=True)
        if not isinstance(found, dict):
            raise ValueError(f"it holds {type(found).__name__}, not an object")
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    return found


def parse_json(text: str, finite: bool = False) -> object:
    """What json.loads gives. Raises ValueError for all that is wrong, a key that comes twice, and nesting too deep."""
    def refused(name):
        raise ValueError(f"{name} is no number here")

    def number(digits):
        value = float(digits)
        return value if math.isfinite(value) else refused(digits)

    def unique(pairs):
        found = dict(pairs)
        if len(found) < len(pairs):
            raise ValueError("a key comes twice")
        return found
    try:
        strict = {"parse_constant": refused, "parse_float": number} if finite else {}
        return json.loads(text, object_pairs_hook=unique, **strict)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error


# ---- arrays ----
def read(path: str | os.PathLike[str], max_bytes: int = MAX_BYTES) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays of a .safetensors or .npz file in native byte order, and its texts, each by name.

    Arrays of bfloat16 become float32. ``max_bytes``: an .npz may unpack to so many, or to its own size.
    Raises FileNotFoundError, or ModelFileError for a file that is damaged, something else or too large.
    """
    path = Path(path)
    with opened(path, "model file") as file:
        try:
            arrays, text = (_npz if path.suffix == ".npz" else _safetensors)(path, file, max_bytes)
        except ModelFileError as error:
            raise ModelFileError(f"{path} {error}") from error
    return arrays, text


def _safetensors(path, file, max_bytes):
    from safetensors import SafetensorError, safe_open
    try:
        with safe_open(path, framework="numpy") as whole:  # checks all offsets, shapes and sizes against the file
            length = int.from_bytes(file.read(8), "little")
            header = parse_json(take(file, length).decode())
            arrays = {}
            for name in whole.keys():
                kind, shape, (begin, end) = (header[name][key] for key in ("dtype", "shape", "data_offsets"))
                if kind == "BF16":  # the upper half of a float32
                    file.seek(8 + length + begin)
                    upper = np.frombuffer(take(file, end - begin), "<u2") if end > begin else np.empty(0, "<u2")
                    arrays[name] = (upper.astype(np.uint32) << 16).view(np.float32).reshape(shape)
                elif kind in SAFETENSORS:
                    arrays[name] = _truths(whole.get_tensor(name))
                else:
                    raise ValueError(f"{name} is of {kind}, which NumPy has not: convert it to float32")
            return arrays, whole.metadata() or {}
    except (SafetensorError, OSError, TypeError, LookupError, AttributeError, ValueError, MemoryError) as error:
        raise ModelFileError(_diagnosis(file, error)) from error


def _diagnosis(file, error):
    """What is wrong with a safetensors file, in the words of who has only copied half of it if that is so."""
    file.seek(0)
    size, begin = os.fstat(file.fileno()).st_size, file.read(9)
    length = int.from_bytes(begin[:8], "little")
    if begin[8:] == b"{" and length < 100_000_000:
        whole = 8 + length
        try:
            entries = parse_json((begin[8:] + take(file, length - 1)).decode())
            whole += max((e["data_offsets"][1] for k, e in entries.items() if k != "__metadata__"), default=0)
        except (ValueError, TypeError, LookupError, AttributeError):
            pass
        if isinstance(whole, int) and size < whole < 2**63:
            return f"is truncated: {size:,} bytes are there of {whole:,} or more; copy or train it again"
    return f"is not a safetensors file, or damaged ({error})"


def _npz(path, file, max_bytes):
    import zipfile
    size = os.fstat(file.fileno()).st_size
    is_zip = file.read(4) in (b"PK\3\4", b"PK\5\6")
    try:
        if not is_zip:
            raise ValueError("it does not begin as a zip archive")
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            _check_members(members, size, max(size, max_bytes))
            arrays = {}
            for member in members:
                with archive.open(member) as content:
                    arrays[member.filename.removesuffix(".npy")] = _npy(content, member.file_size, KINDS + "US")
        text = parse_json(str(arrays.pop(JSON_IN_NPZ, "{}")))
        if not isinstance(text, dict) or not all(isinstance(value, str) for value in text.values()):
            raise ValueError(f"its metadata is {text!r:.40}, not strings by name")
        return arrays, text
    except Exception as error:  # zipfile, zlib and NumPy each raise their own for a damaged file
        raise ModelFileError(f"is {'truncated or damaged' if is_zip else 'not an npz file'} "
                             f"({str(error) or type(error).__name__})") from error


def _check_members(members, size, max_bytes):
    """Raise ValueError for an archive that is a trap, before any of it is unpacked."""
    from zipfile import ZIP_DEFLATED, ZIP_STORED
    names = {member.filename for member in members}
    if len(names) < len(members):
        raise ValueError("two members have one name")
    if sum(member.compress_size for member in members) > size:
        raise ValueError("its members overlap")
    if (total := sum(member.file_size for member in members)) > max_bytes:
        raise ValueError(f"it unpacks to {total:,} bytes, more than max_bytes={max_bytes:,}")
    for member in members:
        name, packed = member.filename, member.compress_size
        if not name.endswith(".npy") or leaves(name):
            raise ValueError(f"{name!r:.80} is not the name of an array")
        if member.flag_bits & 1:
            raise ValueError(f"{name} is encrypted")
        if member.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
            raise ValueError(f"{name} is packed in another way than stored or deflated")
        if member.file_size > packed * (DEFLATE_LIMIT if member.compress_type else 1):
            raise ValueError(f"{name} says that {packed:,} bytes unpack to {member.file_size:,}")
        if name == f"{JSON_IN_NPZ}.npy" and member.file_size > max(size, MAX_TEXT):
            raise ValueError(f"{name} unpacks to {member.file_size:,} bytes")


def leaves(name: str) -> bool:
    """Whether the name of an array, taken for that of a file, would be outside its folder, or none at all."""
    return name.startswith(("/", "\\")) or "\0" in name or ".." in name.replace("\\", "/").split("/")


def read_npy(path: str | os.PathLike[str], max_bytes: int = MAX_BYTES) -> np.ndarray:
    """The array of numbers in a .npy file, in native byte order.

    Raises FileNotFoundError, or ValueError for a file that is damaged, holds something else, or over ``max_bytes``.
    """
    with opened(path) as file:
        try:
            return _npy(file, min(os.fstat(file.fileno()).st_size, max_bytes))
        except Exception as error:  # NumPy has many, for a damaged header
            raise ValueError(f"{path} is not an array of numbers that can be read "
                             f"({str(error) or type(error).__name__})") from error


def _npy(file, size, kinds=KINDS):
    """An array from the format of .npy, of which there are ``size`` bytes at most."""
    headers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    version = np.lib.format.read_magic(file)
    if version not in headers:
        raise ValueError(f"version {version} of the format is for records, not for numbers")
    with warnings_as(("error",)):  # Python's parser and NumPy warn of what a damaged header says
        shape, transposed, dtype = headers[version](file)
    if dtype.hasobject:
        raise ValueError("it holds Python objects, a pickle, which is never loaded")
    if dtype.kind not in kinds or not dtype.itemsize:
        raise ValueError(f"it holds {dtype}, not numbers")
    if len(shape) > MAX_DIMS or not all(type(n) is int and 0 <= n < MAX_SIZE for n in shape):
        raise ValueError(f"its header claims shape {shape!s:.80}")
    expected = math.prod(shape) * dtype.itemsize
    claim = f"its header claims shape {shape} of {dtype}, {expected:,} bytes"
    if expected > size:
        raise ValueError(f"{claim}, but there are at most {size:,}")
    data = take(file, expected + 1)
    if len(data) != expected:
        raise ValueError(f"{claim}, but {'more follow' if len(data) > expected else f'{len(data):,} follow'}")
    array = np.frombuffer(data, dtype) if expected else np.empty(0, dtype)
    array = array.reshape(shape[::-1]).T if transposed else array.reshape(shape)
    return _truths(array.astype(dtype.newbyteorder("="), copy=False))


def _truths(array):
    if array.dtype == bool and array.size and array.view(np.uint8).max() > 1:
        raise ValueError("a truth value is neither 0 nor 1")
    return array
