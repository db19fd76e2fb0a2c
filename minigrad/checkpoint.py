"""Models in files: ``save("model.safetensors", model)``, ``load("model.safetensors").build()``.

A file is named tensors and strings of JSON, in the format of its suffix: ``.safetensors``, which PyTorch and others
read too, or ``.npz``. Nothing is pickled, so loading runs no code. It is written beside its place and renamed into it.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from . import models
from .nn import Module
from .optim import Optimizer

__all__ = ["Checkpoint", "ModelFileError", "load", "replacing", "save"]

SUFFIXES = (".safetensors", ".npz")
OPTIMIZER = "optimizer/"  # what the optimizer's arrays are called in a file; no attribute has a slash in its name
JSON_IN_NPZ = "metadata.json"

_count = itertools.count()


class ModelFileError(ValueError):
    """A file is not a model, or not all of one."""


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
        if not isinstance(recipe, dict) or recipe.get("name") not in list(models.MODELS):
            raise ModelFileError(f"{self.path} does not say which of minigrad.models it is: make the model yourself, "
                                 "then model.load_state_dict(checkpoint.load(path).state)")
        try:
            model = models.build(recipe["name"], **recipe.get("arguments", {}))
        except Exception as error:  # a damaged file can ask for anything
            raise ModelFileError(f"{self.path} describes a model that cannot be built: {error}") from error
        self.restore(model)
        return model.eval()

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


def save(path: str | os.PathLike[str], model: Module | dict, optimizer: Optimizer | None = None,
         metadata: dict | None = None) -> Path:
    """Write a model (or a state dict) to ``path``, whose suffix is .safetensors or .npz; returns the path.

    optimizer: its state goes into the same file. metadata: anything that JSON can hold, and arrays; "model" (what
    `Checkpoint.build` needs), "optimizer" and "minigrad", the version, are added. Folders are made.
    Raises ValueError for another suffix, TypeError for metadata that JSON cannot hold, OSError if it cannot be written.
    """
    from . import __version__
    path = _checked(path)
    state = model.state_dict() if isinstance(model, Module) else model
    arrays = {name: _plain(value) for name, value in state.items()}
    clash = [name for name in arrays if name.startswith(OPTIMIZER) or name == JSON_IN_NPZ]
    if clash:
        raise ValueError(f"{', '.join(clash)}: these names are minigrad's own, call your tensors something else")
    extra = {**(metadata or {}), "minigrad": __version__}
    if isinstance(model, Module):
        extra.setdefault("model", getattr(model, "recipe", {"name": type(model).__name__}))
    extra = {key: _pack(value, f"{OPTIMIZER}metadata/{key}", arrays) for key, value in extra.items()}
    if optimizer is not None:
        extra["optimizer"] = type(optimizer).__name__
        extra["optimizer_state"] = _pack(optimizer.state_dict(), OPTIMIZER.rstrip("/"), arrays)
    text = {str(key): json.dumps(value) for key, value in extra.items()}
    with replacing(path) as beside:
        if path.suffix == ".npz":
            with open(beside, "wb") as file:
                np.savez(file, **arrays, **{JSON_IN_NPZ: np.array(json.dumps(text))})
        else:
            from safetensors.numpy import save as to_bytes
            beside.write_bytes(to_bytes(arrays, text))
    return path


def load(path: str | os.PathLike[str]) -> Checkpoint:
    """What `save` wrote, or any .safetensors or .npz file of named arrays.

    Raises FileNotFoundError, or ModelFileError for a file that is damaged or something else.
    """
    path = _checked(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no model file {path}")
    arrays, text = (_read_npz if path.suffix == ".npz" else _read_safetensors)(path)
    try:
        extra = {key: _unpack(_parsed(value), arrays) for key, value in text.items()}
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise ModelFileError(f"{path} is not a model of minigrad's: its metadata is damaged ({error!r})") from error
    optimizer = extra.pop("optimizer_state", None)
    state = {name: value for name, value in arrays.items() if not name.startswith(OPTIMIZER)}
    return Checkpoint(path, state, extra, optimizer)


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Write to the path it gives; at the end of the ``with`` block that becomes ``path``, all at once or not at all.

    Folders are made. Raises OSError naming ``path`` if it cannot be written.
    """
    path = Path(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}.{next(_count)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield beside
        with open(beside, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(beside, path)
    except OSError as error:
        raise OSError(error.errno, f"this file cannot be written ({error.strerror or error})", str(path)) from error
    finally:
        with contextlib.suppress(OSError):
            beside.unlink()


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
        return json.loads(text)
    except json.JSONDecodeError:
        return text  # other programs' metadata are strings of any kind


# ---- the two formats ----
def _read_safetensors(path):
    from safetensors import SafetensorError, safe_open
    try:
        with safe_open(path, framework="numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}
    except (SafetensorError, TypeError, KeyError, AttributeError, ValueError, MemoryError) as error:
        raise ModelFileError(_diagnosis(path, error)) from error


def _diagnosis(path, error):
    with open(path, "rb") as file:
        size, begin = os.fstat(file.fileno()).st_size, file.read(9)
        header = int.from_bytes(begin[:8], "little")
        if begin[8:] == b"{" and header < 100_000_000:
            try:
                entries = json.loads(begin[8:] + file.read(header - 1))
                whole = 8 + header + max((v["data_offsets"][1] for k, v in entries.items() if k != "__metadata__"),
                                         default=0)
            except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
                whole = 8 + header
            if size < whole:
                return f"{path} is truncated: {size:,} bytes are there of {whole:,} or more; copy or train it again"
    return f"{path} is not a safetensors file, or damaged ({error})"


def _read_npz(path):
    try:
        with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        text = json.loads(str(arrays.pop(JSON_IN_NPZ, "{}")))
        if not isinstance(text, dict):
            raise TypeError(f"its metadata is {text!r:.40}")
    except Exception as error:  # zipfile, zlib and NumPy each raise their own for a damaged file
        with open(path, "rb") as file:
            cut = file.read(2) == b"PK"
        raise ModelFileError(f"{path} is {'truncated or damaged' if cut else 'not an npz file'} ({error})") from error
    return arrays, text
