"""Layers, activations and losses beside PyTorch's (or Keras'): cases, their recording, and the comparison.

    python tests/references/layers.py                 record all areas (needs torch 2.13, for some cases keras)
    python tests/references/layers.py recurrent       one: layer_cases_recurrent.py -> layers_recurrent.npz

Inputs and weights are functions of the case's name (`record.uniform`), so only what comes out is stored: outputs,
gradients of all inputs and parameters of sum(weight * output), and the Hessian of that sum times a vector.
"""

from __future__ import annotations

import importlib
import json
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent.parent)]

from references.record import uniform  # noqa: E402

import minigrad  # noqa: E402
from minigrad import Tensor, nn  # noqa: E402

AREAS = tuple(sorted(p.stem.removeprefix("layer_cases_") for p in HERE.glob("layer_cases_*.py")))


@dataclass(frozen=True)
class Case:
    """One layer or function in one configuration.

    ours: () -> a Module, or a function of the inputs. theirs: (torch) -> a torch module or function; its own imports.
    inputs: a shape gives floats in [-1, 1], an array itself (floats are differentiated, integers and booleans not).
    state: parameters that are not to be drawn, by PyTorch's name. order: 2, or 1 for what PyTorch or we cannot
    differentiate twice. buffers: compare running statistics after the call. why: for every looseness, the reason.
    """

    name: str
    ours: Callable
    theirs: Callable
    inputs: tuple
    state: dict | None = None
    training: bool = True
    order: int = 2
    tolerance: float = 1e-10
    buffers: bool = False
    why: str = ""


def cases(area: str) -> list[Case]:
    found = list(importlib.import_module(f"references.layer_cases_{area}").CASES)
    names = [c.name for c in found]
    assert len(set(names)) == len(names), sorted(n for n in names if names.count(n) > 1)
    return found


def inputs_of(case) -> list[np.ndarray]:
    return [uniform(f"{case.name} input {i}", *x) if isinstance(x, tuple) else np.asarray(x)
            for i, x in enumerate(case.inputs)]


def drawn(case, name, like) -> np.ndarray:
    """The parameter or buffer ``name``, of PyTorch's shape."""
    if case.state and name in case.state:
        return np.asarray(case.state[name])
    like = np.asarray(like)
    if like.dtype.kind != "f":
        return like
    low, high = (0.5, 1.5) if name.endswith("running_var") else (-0.6, 0.6)
    return uniform(f"{case.name} {name}", *like.shape, low=low, high=high)


def flat(outputs) -> list:
    """The floating-point outputs, out of nested tuples and lists."""
    if isinstance(outputs, (tuple, list)):
        return [y for x in outputs for y in flat(x)]
    return [outputs] if outputs is not None and "float" in str(outputs.dtype) else []


def weight(case, i, shape) -> np.ndarray:
    return uniform(f"{case.name} weight {i}", *shape)


def direction(case, name, shape) -> np.ndarray:
    return uniform(f"{case.name} direction {name}", *shape)


# ---- PyTorch's side ----
def record_case(case) -> dict[str, np.ndarray]:
    import torch
    module = case.theirs(torch)
    found, params = {}, {}
    if isinstance(module, torch.nn.Module):
        module = module.double().train(case.training)
        state = {k: torch.tensor(drawn(case, k, v.numpy())) for k, v in module.state_dict().items()}
        module.load_state_dict(state)
        params = dict(module.named_parameters())
    xs = [torch.tensor(x) for x in inputs_of(case)]
    for x in xs:
        x.requires_grad_(x.is_floating_point())
    leaves = {f"input {i}": x for i, x in enumerate(xs) if x.requires_grad} | params
    ys = flat(module(*xs))
    for i, y in enumerate(ys):
        found[f"output {i}"] = y.detach().numpy()
    total = sum((y * torch.tensor(weight(case, i, y.shape))).sum() for i, y in enumerate(ys))
    grads = torch.autograd.grad(total, list(leaves.values()), create_graph=case.order > 1, allow_unused=True)
    for name, x, g in zip(leaves, leaves.values(), grads):
        found[f"gradient {name}"] = np.zeros(x.shape) if g is None else g.detach().numpy()
    if case.order > 1:
        slope = sum((g * torch.tensor(direction(case, n, g.shape))).sum()
                    for n, g in zip(leaves, grads) if g is not None and g.requires_grad)
        seconds = (torch.autograd.grad(slope, list(leaves.values()), allow_unused=True)
                   if hasattr(slope, "requires_grad") and slope.requires_grad else [None] * len(leaves))
        for name, x, g in zip(leaves, leaves.values(), seconds):
            found[f"second {name}"] = np.zeros(x.shape) if g is None else g.detach().numpy()
    if case.buffers:
        found |= {f"buffer {n}": b.detach().double().numpy() for n, b in module.named_buffers()}
    return found


# ---- ours ----
def run_case(case) -> dict[str, np.ndarray]:
    module = case.ours()
    params = {}
    if isinstance(module, nn.Module):
        module = module.astype(np.float64).train(case.training)
        nn.load_torch_state_dict(module, {k: drawn(case, k, v) for k, v in nn.torch_state_dict(module).items()})
        params = dict(module.named_parameters())
    xs = [Tensor(x, requires_grad=x.dtype.kind == "f") for x in inputs_of(case)]
    leaves = {f"input {i}": x for i, x in enumerate(xs) if x.requires_grad} | params
    turned = {n for n in params if n in _turned(module)}
    def out(name, g):
        return g.data.T if name in turned else g.data
    def into(name, shape):
        return direction(case, name, shape[::-1]).T if name in turned else direction(case, name, shape)
    ys = flat(module(*[x if x.requires_grad else x.data for x in xs]))
    found = {f"output {i}": y.data for i, y in enumerate(ys)}
    total = sum((y * weight(case, i, y.shape)).sum() for i, y in enumerate(ys))
    grads = minigrad.grad(total, list(leaves.values()), create_graph=case.order > 1)
    found |= {f"gradient {n}": out(n, g) for n, g in zip(leaves, grads)}
    if case.order > 1:
        curved = [(n, g) for n, g in zip(leaves, grads) if g.requires_grad]
        slope = sum((g * into(n, g.shape)).sum() for n, g in curved)
        seconds = minigrad.grad(slope, list(leaves.values())) if curved else [
            Tensor(np.zeros(x.shape)) for x in leaves.values()]
        found |= {f"second {n}": out(n, g) for n, g in zip(leaves, seconds)}
    if case.buffers:
        found |= {f"buffer {n}": np.asarray(b, np.float64) for n, b in module.named_buffers()}
    return found


def _turned(module):
    from minigrad.nn.interop import _transposed
    return _transposed(module) if isinstance(module, nn.Module) else []


def compare(case, recorded: dict[str, np.ndarray]) -> None:
    found = run_case(case)
    assert found.keys() == recorded.keys(), found.keys() ^ recorded.keys()
    for key, expected in recorded.items():
        assert found[key].shape == expected.shape, f"{key}: {found[key].shape} for {expected.shape}"
        np.testing.assert_allclose(found[key], expected, case.tolerance, case.tolerance, err_msg=key)


def file_of(area) -> Path:
    return HERE / f"layers_{area}.npz"


def write(area, recorded: dict[str, dict[str, np.ndarray]], versions: str) -> None:
    """One vector for all, and what lies where in it: an entry for every array takes more room than the numbers."""
    index = {case: {key: value.shape for key, value in found.items()} for case, found in recorded.items()}
    numbers = [np.ravel(value) for found in recorded.values() for value in found.values()]
    np.savez_compressed(file_of(area), versions=np.array(versions), index=np.array(json.dumps(index)),
                        numbers=np.concatenate(numbers))


def read(area) -> dict[str, dict[str, np.ndarray]]:
    """{case: {what: array}}, as recorded."""
    with np.load(file_of(area), allow_pickle=False) as file:
        index, numbers = json.loads(str(file["index"])), iter(file["numbers"])
    return {case: {key: np.array([next(numbers) for _ in range(math.prod(shape))]).reshape(shape)
                   for key, shape in found.items()} for case, found in index.items()}


def main():
    for area in sys.argv[1:] or AREAS:
        import torch
        write(area, {case.name: record_case(case) for case in cases(area)}, f"torch {torch.__version__}")
        print(f"{area}: {len(cases(area))} cases, {file_of(area).stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
