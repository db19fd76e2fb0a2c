"""Models in files: ``save("model.safetensors", model)``, ``load("model.safetensors").build()``.

A file is named tensors and strings of JSON, in the format of its suffix: ``.safetensors``, which PyTorch and others
read too, or ``.npz``. Nothing is pickled, so loading runs no code. It is written beside its place, on the disk for
certain, and renamed into it; a checksum inside tells a damaged one.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import itertools
import json
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from . import formats, models, random
from .formats import JSON_IN_NPZ, ModelFileError
from .nn import Module
from .optim import Optimizer

__all__ = ["Checkpoint", "ModelFileError", "load", "locked", "replacing", "save"]

SUFFIXES = (".safetensors", ".npz")
OPTIMIZER = "optimizer/"  # what the optimizer's arrays are called in a file; no attribute has a slash in its name
FORMAT = 1  # of the names and metadata in a file; a newer one is refused
CHECKSUM = "sha256"
SMALL = 4096  # sizes that no array of a file must have: pixels, for one

_count = itertools.count()


@dataclass
class Checkpoint:
    """What a file holds. state: arrays by name, for ``model.load_state_dict``. optimizer: for its load_state_dict."""

    path: Path
    state: dict[str, np.ndarray]
    metadata: dict = field(default_factory=dict)
    optimizer: dict | None = None

    def build(self) -> Module:
        """The model itself, if it is one of `minigrad.models`, in evaluation mode; ModelFileError if it is not."""
        recipe = self.metadata.get("model")
        name = recipe.get("name") if isinstance(recipe, dict) else None
        if not isinstance(name, str) or name not in models.MODELS:
            raise ModelFileError(f"{self.path} does not say which of minigrad.models it is: make the model yourself, "
                                 "then model.load_state_dict(checkpoint.load(path).state)")
        held = sum(value.size for value in self.state.values())
        try:
            arguments = recipe.get("arguments", {})
            self._check_sizes(arguments)
            with random.drawing_from(_Frugal(4 * held + 10_000)):  # layers draw, and then the model draws again
                model = models.build(name, **arguments)
        except Exception as error:  # a damaged file can ask for anything
            raise ModelFileError(f"{self.path} describes a model that cannot be built: {error}") from error
        self.restore(model)
        return model.eval()

    def _check_sizes(self, arguments):
        """Raise ValueError if the recipe asks for layers that this file has no weights for, before they are made."""
        sizes = {n for value in self.state.values() for n in value.shape}
        for name, value in arguments.items():
            values = value if isinstance(value, (list, tuple)) else [value]
            numbers = [v for v in values if isinstance(v, (int, float))]
            most = len(self.state) if name in ("layers", "blocks") else SMALL
            if wrong := [n for n in numbers if not n <= most and n not in sizes]:
                raise ValueError(f"{name} {wrong[0]!r:.20} is the size of nothing in this file")

    def restore(self, model: Module, optimizer: Optimizer | None = None) -> None:
        """Load the weights into ``model``, and the state into ``optimizer``. Raises ModelFileError if they differ."""
        try:
            model.load_state_dict(self.state)
            if optimizer is not None:
                self._restore_optimizer(optimizer)
        except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
            raise ModelFileError(f"{self.path}: {error}") from error

    def _restore_optimizer(self, optimizer):
        if self.optimizer is None:
            raise ValueError("this file holds no optimizer's state")
        kind = self.metadata.get("optimizer")
        if kind != type(optimizer).__name__:
            raise ValueError(f"this is the state of {kind}, the optimizer is {type(optimizer).__name__}")
        optimizer.load_state_dict(self.optimizer)


class _Frugal(np.random.Generator):
    """Draws so many numbers and no more: a recipe shall not ask for more weights than its file holds."""

    def __init__(self, left: int):
        super().__init__(np.random.PCG64(0))
        self.left = left

    def _spend(self, shape):
        self.left -= max(math.prod(shape), 1)
        if self.left < 0:
            raise ValueError("it would have more weights than this file holds")

    def uniform(self, low=0.0, high=1.0, size=()):
        self._spend(size)
        return super().uniform(low, high, size)

    def normal(self, loc=0.0, scale=1.0, size=()):
        self._spend(size)
        return super().normal(loc, scale, size)


def save(path: str | os.PathLike[str], model: Module | dict, optimizer: Optimizer | None = None,
         metadata: dict | None = None, previous: str | os.PathLike[str] | None = None) -> Path:
    """Write a model (or a state dict) to ``path``, whose suffix is .safetensors or .npz; returns the path.

    optimizer: its state goes into the same file. metadata: anything that JSON can hold, and arrays; "model" (what
    `Checkpoint.build` needs), "optimizer", "minigrad", the version, "minigrad_format" and a checksum are added.
    previous: where the file that is replaced is kept. Folders are made.
    Raises ValueError for another suffix, TypeError for metadata that JSON cannot hold, OSError if it cannot be written.
    """
    from . import __version__
    path = _checked(path)
    state = model.state_dict() if isinstance(model, Module) else model
    arrays = {name: _plain(value) for name, value in state.items()}
    clash = [name for name in arrays if name.startswith(OPTIMIZER) or name == JSON_IN_NPZ]
    if clash:
        raise ValueError(f"{', '.join(clash)}: these names are minigrad's own, call your tensors something else")
    if outside := [name for name in arrays if formats.leaves(name)]:
        raise ValueError(f"{outside[0]!r}: a tensor is called by a name, not by a path that leaves its folder")
    extra = {**(metadata or {}), "minigrad": __version__, "minigrad_format": FORMAT}
    if isinstance(model, Module):
        extra.setdefault("model", getattr(model, "recipe", {"name": type(model).__name__}))
    extra = {key: _pack(value, f"{OPTIMIZER}metadata/{key}", arrays) for key, value in extra.items()}
    if optimizer is not None:
        extra["optimizer"] = type(optimizer).__name__
        extra["optimizer_state"] = _pack(optimizer.state_dict(), OPTIMIZER.rstrip("/"), arrays)
    text = {str(key): json.dumps(value) for key, value in extra.items()}
    text[CHECKSUM] = json.dumps(_checksum(arrays, text))
    with replacing(path, previous) as beside:
        if path.suffix == ".npz":
            with open(beside, "wb") as file:
                np.savez(file, **arrays, **{JSON_IN_NPZ: np.array(json.dumps(text))})
        else:
            from safetensors.numpy import save as to_bytes
            beside.write_bytes(to_bytes(arrays, text))
    return path


def load(path: str | os.PathLike[str], max_bytes: int = formats.MAX_BYTES) -> Checkpoint:
    """What `save` wrote, or any .safetensors or .npz file of named arrays; bfloat16 becomes float32.

    max_bytes: what a deflated .npz may unpack to.
    Raises FileNotFoundError, or ModelFileError for a file that is damaged or something else.
    """
    path = _checked(path)
    arrays, text = formats.read(path, max_bytes)
    checksum = text.pop(CHECKSUM, None)
    if checksum is not None and _parsed(checksum) != _checksum(arrays, text):
        raise ModelFileError(f"{path} is damaged: what it holds does not fit its checksum; copy or train it again")
    try:
        extra = {key: _unpack(_parsed(value), arrays) for key, value in text.items()}
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise ModelFileError(f"{path} is not a model of minigrad's: its metadata is damaged ({error!r})") from error
    if isinstance(form := extra.pop("minigrad_format", None), (int, float)) and form > FORMAT:
        raise ModelFileError(f"{path} was written by minigrad {extra.get('minigrad')} in format {form}, this minigrad "
                             f"reads up to {FORMAT}: install that version")
    optimizer = extra.pop("optimizer_state", None)
    state = {name: value for name, value in arrays.items() if not name.startswith(OPTIMIZER)}
    return Checkpoint(path, state, extra, optimizer)


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str], previous: str | os.PathLike[str] | None = None) -> Iterator[Path]:
    """Write to the path it gives; at the end of the ``with`` block that becomes ``path``, all at once or not at all.

    previous: what the file that was there is called from then on. Folders are made. Raises OSError naming ``path`` if
    it cannot be written; what was there stays.
    """
    path = Path(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}.{next(_count)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield beside
        with open(beside, "rb+") as file:
            os.fsync(file.fileno())
        if previous is not None and path.exists():
            _keep(path, Path(previous))
        os.replace(beside, path)
        _sync_names(path.parent)
    except OSError as error:
        raise OSError(error.errno, f"this file cannot be written ({error.strerror or error}); what was there before is "
                      "as it was", str(path)) from error
    finally:
        with contextlib.suppress(OSError):
            beside.unlink()


def _keep(path, previous):
    second = previous.with_name(f".{previous.name}.{os.getpid()}.{next(_count)}.tmp")
    try:
        os.link(path, second)  # a second name: there is no moment without a file of the first
    except OSError:  # a file system without
        os.replace(path, previous)
    else:
        os.replace(second, previous)
        second.unlink(missing_ok=True)  # still there if both were names of one file already


def _sync_names(folder):
    """A file's new name too shall outlast a loss of power, where the system can promise that."""
    with contextlib.suppress(OSError):
        names = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(names)
        finally:
            os.close(names)


@contextlib.contextmanager
def locked(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Inside, this folder is no one else's who asks so, in this process or another; half-written files are swept out.

    The lock ends with the process, however that ends. Raises OSError naming the folder: BlockingIOError if it is
    another's, or what hinders writing there.
    """
    from filelock import FileLock, Timeout
    folder = Path(folder)
    lock = FileLock(folder / ".lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise BlockingIOError(errno.EAGAIN, "another training writes to this folder now: wait for its end, or choose "
                              "another folder", str(folder)) from None
    except (OSError, NotImplementedError) as error:
        raise OSError(getattr(error, "errno", errno.ENOLCK), "this folder cannot be written "
                      f"({getattr(error, 'strerror', None) or error}): choose another", str(folder)) from error
    try:
        for left in folder.glob(".*.[0-9]*.[0-9]*.tmp"):
            with contextlib.suppress(OSError):
                left.unlink()
        yield
    finally:
        lock.release()


def _checksum(arrays, text):
    """SHA-256 of all names, dtypes, shapes, values and strings."""
    digest = hashlib.sha256()
    for name, a in sorted(arrays.items()):
        digest.update(f"{name}\0{a.dtype.str}{a.shape}\0".encode(errors="surrogatepass"))
        digest.update(a.tobytes())
    for key, value in sorted(text.items()):
        digest.update(f"{key}\0{value}\0".encode(errors="surrogatepass"))
    return digest.hexdigest()


def _checked(path):
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{path}: a model file's name ends in {' or '.join(SUFFIXES)}")
    return path


def _plain(value):
    array = np.asarray(value.detach().numpy() if hasattr(value, "detach") else value, order="C")
    return array.astype(array.dtype.newbyteorder("="), copy=False)


# ---- nested state as JSON: an array becomes its name, and what JSON would change is marked ----
def _pack(value, name, arrays):
    if isinstance(value, (np.ndarray, np.generic)):
        arrays[name] = _plain(value)
        return {"$array": name}
    if isinstance(value, dict):
        if all(isinstance(k, str) and not k.startswith("$") for k in value):
            return {k: _pack(v, f"{name}/{k}", arrays) for k, v in value.items()}
        return {"$items": [[k, _pack(v, f"{name}/{k}", arrays)] for k, v in value.items()]}
    if isinstance(value, (list, tuple)):
        items = [_pack(v, f"{name}/{i}", arrays) for i, v in enumerate(value)]
        return {"$tuple": items} if isinstance(value, tuple) else items
    if value is None or isinstance(value, (str, int, float)):
        return value
    raise TypeError(f"{name.removeprefix(OPTIMIZER)} cannot be stored: {type(value).__name__} is neither JSON nor an "
                    "array")


def _unpack(value, arrays):
    if isinstance(value, list):
        return [_unpack(v, arrays) for v in value]
    if not isinstance(value, dict):
        return value
    if "$array" in value:
        return arrays[value["$array"]]
    if "$tuple" in value:
        return tuple(_unpack(v, arrays) for v in value["$tuple"])
    if "$items" in value:
        return {k: _unpack(v, arrays) for k, v in value["$items"]}
    return {k: _unpack(v, arrays) for k, v in value.items()}


def _parsed(text):
    try:
        return formats.parse_json(text)
    except ValueError:
        return text  # other programs' metadata are strings of any kind
