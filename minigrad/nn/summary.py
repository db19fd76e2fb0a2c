"""What a model is made of, as a table: ``print(summary(model, (1, 28, 28)))``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..mode import no_grad
from ..random import default_generator
from ..tensor import Parameter, Tensor
from ..tree import leaves
from .module import Module

__all__ = ["Row", "Summary", "summary"]


@dataclass
class Row:
    """One call of one layer. Sizes in bytes; a layer's later calls, and parameters shown above, count 0."""

    name: str
    type: str
    output_shape: tuple[int, ...] | None
    parameters: int
    parameter_bytes: int
    activation_bytes: int


@dataclass
class Summary:
    """The rows of `summary`, and their totals; ``str()`` of it is the table."""

    model: str
    input_shape: tuple[int, ...]
    rows: list[Row] = field(default_factory=list)
    trainable: int = 0

    parameters = property(lambda self: sum(r.parameters for r in self.rows))
    parameter_bytes = property(lambda self: sum(r.parameter_bytes for r in self.rows))
    activation_bytes = property(lambda self: sum(r.activation_bytes for r in self.rows))

    def __str__(self) -> str:
        head = ("layer", "type", "output shape", "parameters", "weights", "activations")
        table = [head, ("", "input", str(self.input_shape), "", "", "")]
        table += [(r.name, r.type, "-" if r.output_shape is None else str(r.output_shape), f"{r.parameters:,}",
                   _size(r.parameter_bytes), _size(r.activation_bytes)) for r in self.rows]
        total = ("total", "", "", f"{self.parameters:,}", _size(self.parameter_bytes), _size(self.activation_bytes))
        widths = [max(map(len, column)) for column in zip(*table, total)]
        lines = ["  ".join(cell.ljust(w) if i < 3 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths)))
                 .rstrip() for row in [*table, total]]
        rule = "-" * max(map(len, lines))
        frozen = self.parameters - self.trainable
        note = [f"{self.trainable:,} parameters are trained, {frozen:,} frozen"] if frozen else []
        return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1], *note])


def summary(model: Module, input_shape: int | Sequence[int], dtype=np.float32, batch_size: int = 1) -> Summary:
    """Layers in the order of their calls, with output shapes, parameters and memory.

    input_shape: of one sample, like (1, 28, 28); the model runs once on ``batch_size`` samples of zeros, in evaluation
    mode, without recording. activations: the new arrays that the layers put out in that run; views count 0. Lazy layers
    are built by it, as by a first call: their weights are drawn then. Otherwise nothing about the model or the random
    generators is changed.
    """
    shape = (batch_size, *([input_shape] if isinstance(input_shape, (int, np.integer)) else input_shape))
    table = Summary(type(model).__name__, shape)
    modules = {m: name for name, m in model.named_modules()}
    state = _State(modules)
    seen: set[int] = set()

    def watched(module, forward):
        def call(*args, **kwargs):
            if not _own(module) and any(c is not module for c in module.modules()):
                return forward(*args, **kwargs)  # a mere container: its layers get the rows
            row = Row(modules[module] or "(model)", type(module).__name__, None, 0, 0, 0)
            table.rows.append(row)
            y = forward(*args, **kwargs)
            row.output_shape = getattr(next((v for _, v in leaves(y)), None), "shape", None)
            row.activation_bytes = _new_bytes(y, (args, kwargs))
            _count(row, module, seen)
            return y
        return call
    try:
        for module in modules:
            module.training = False
            module.forward = watched(module, module.forward)
        with no_grad():
            model(Tensor(np.zeros(shape, dtype)))
    finally:
        state.restore()
    for name, module in model.named_modules():  # what the forward pass did not call
        row = Row(name or "(model)", type(module).__name__, None, 0, 0, 0)
        _count(row, module, seen)
        if row.parameters:
            table.rows.append(row)
    table.trainable = sum(p.size for p in model.parameters() if p.requires_grad)
    return table


def _own(module):
    """The parameters of the module itself, not of the modules inside it."""
    inside = {id(p) for m in module.modules() if m is not module for p in m.parameters()}
    return [p for p in module.parameters() if id(p) not in inside and isinstance(p, Parameter)]


def _count(row, module, seen):
    for p in _own(module):
        if id(p) not in seen:
            seen.add(id(p))
            row.parameters += p.size
            row.parameter_bytes += p.data.nbytes


def _new_bytes(y, args):
    old, total = [a.data for _, a in leaves(args) if isinstance(a, Tensor)], 0
    for _, v in leaves(y):
        if isinstance(v, Tensor) and not any(np.may_share_memory(v.data, a) for a in old):
            total += v.data.nbytes
            old.append(v.data)
    return total


class _State:
    """Everything that running the model could change, to be put back; but the generators keep on if it drew weights."""

    def __init__(self, modules):
        self.sizes = [(p, p.shape) for m in modules for p in vars(m).values() if isinstance(p, Parameter)]
        self.modules = [(m, m.training, "training" in vars(m), vars(m).get("forward")) for m in modules]
        self.buffers = [(b, b.copy()) for m in modules for b in (getattr(m, name) for name in m._buffers)]
        held = [default_generator(), *(g for m in modules for g in vars(m).values())]
        self.generators = [(g, g.bit_generator.state) for g in held if isinstance(g, np.random.Generator)]

    def restore(self):
        for module, training, set_here, forward in self.modules:
            if forward is None:
                vars(module).pop("forward", None)
            else:
                module.forward = forward
            if set_here:
                module.training = training
            else:
                vars(module).pop("training", None)
        for buffer, value in self.buffers:
            buffer[...] = value
        built = any(p.shape != shape for p, shape in self.sizes)
        for generator, state in [] if built else self.generators:
            generator.bit_generator.state = state


def _size(n):
    for unit in ("B", "KiB", "MiB"):
        if n < 1024:
            return f"{n:.1f} {unit}" if unit != "B" else f"{n} B"
        n /= 1024
    return f"{n:.1f} GiB"
