"""What keeps weights and outputs in bounds: penalties to add to the loss, constraints to apply after the step.

    loss = cross_entropy(model(x), y) + l1_penalty(model, 1e-5, where=weights)
    loss.backward(); optimizer.step(); max_norm_(model, 3)

Both take a Module, a Tensor, Tensors, or (name, Tensor) pairs. where: which of them; a pattern of names, as in
"*.weight", or a function of name and Tensor, like `weights`; None for all. Without a Module or pairs a Tensor's name
is its own, or "".
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase

import numpy as np

from .. import graph, tree
from ..nn.module import Module
from ..random import default_generator
from ..tensor import Tensor, grad

__all__ = ["ActivityPenalty", "elastic_net", "gradient_penalty", "l1_penalty", "l2_penalty", "max_norm_",
           "non_negative_", "orthogonal_penalty", "selected", "unit_norm_", "weight_noise", "weights"]

Where = str | Callable[[str, Tensor], bool] | None


# ---- which parameters ----
def weights(name: str, p: Tensor) -> bool:
    """For ``where=``: matrices and kernels, no biases, no scales of a normalization."""
    return p.ndim > 1


def selected(params, where: Where = None) -> list[Tensor]:
    """The Tensors among ``params`` that ``where`` wants. Raises ValueError if it wants none."""
    if isinstance(params, Tensor):
        params = [params]
    elif hasattr(params, "named_parameters"):
        params = params.named_parameters()
    pairs = [p if isinstance(p, tuple) else (p.name or "", p) for p in params]
    if isinstance(where, str):
        pattern = where
        found = [p for name, p in pairs if fnmatchcase(name, pattern)]
    else:
        found = [p for name, p in pairs if where is None or where(name, p)]
    if not found:
        names = ", ".join(name or "a Tensor without a name" for name, _ in pairs) or "none (are they used up?)"
        raise ValueError(f"where={where!r} selects none of the parameters: {names}")
    return found


def _sum(terms):
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


def _check(name, value):
    if not (value >= 0 and math.isfinite(value)):
        raise ValueError(f"{name} must be finite and at least 0, got {value}")


# ---- penalties ----
def l1_penalty(params, strength: float, where: Where = None) -> Tensor:
    """strength * sum |w|: many weights become exactly small; its derivative at 0 is 0. The lasso, Tibshirani 1996."""
    _check("strength", strength)
    return strength * _sum([abs(w).sum() for w in selected(params, where)])


def l2_penalty(params, strength: float, where: Where = None) -> Tensor:
    """strength / 2 * sum w^2: its gradient is strength * w, what weight_decay=strength adds. Keras's has no half.

    Under an adaptive optimizer that is not what decoupled weight decay does (Loshchilov & Hutter 2017).
    """
    _check("strength", strength)
    return 0.5 * strength * _sum([(w * w).sum() for w in selected(params, where)])


def elastic_net(params, strength: float, l1_ratio: float = 0.5, where: Where = None) -> Tensor:
    """strength * (l1_ratio * sum |w| + (1 - l1_ratio) / 2 * sum w^2). Zou & Hastie 2005, as scikit-learn's."""
    if not 0 <= l1_ratio <= 1:
        raise ValueError(f"l1_ratio must be in [0, 1], got {l1_ratio}")
    params = selected(params, where)
    return l1_penalty(params, strength * l1_ratio) + l2_penalty(params, strength * (1 - l1_ratio))


def orthogonal_penalty(params, strength: float, where: Where = weights, *, cosine: bool = False) -> Tensor:
    """strength * sum |G - I|^2, G = W W^T or W^T W, the smaller: orthonormal rows, or columns. Brock et al. 2017.

    A kernel of more axes counts as a matrix, its first axis by all others. cosine: instead the mean |cos| of the
    angles between rows, whatever their length: Keras's.
    """
    _check("strength", strength)
    return strength * _sum([_similarity(w) if cosine else _far_from_orthonormal(w) for w in selected(params, where)])


def _matrix(w):
    if w.ndim < 2:
        raise ValueError(f"orthogonality is about matrices, got shape {w.shape}: use where=weights")
    return w.reshape(w.shape[0], -1)


def _far_from_orthonormal(w):
    w = _matrix(w)
    gram = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
    off = gram - np.eye(len(gram), dtype=w.dtype)
    return (off * off).sum()


def _similarity(w):
    w = _matrix(w)
    squares = (w * w).sum(axis=1, keepdims=True)
    rows = w / np.sqrt(np.where(squares.data == 0, 1, squares))  # a row of zeros is at a right angle to all
    n = len(rows)
    off = np.abs(rows @ rows.T) * (1 - np.eye(n, dtype=w.dtype))
    return off.sum() / max(n * (n - 1), 1)


def gradient_penalty(f: Callable[[Tensor], Tensor], x, strength: float = 10.0, target: float = 1.0) -> Tensor:
    """strength * mean over rows of (|df/dx| - target)^2, itself differentiable: for f that must not be steep.

    WGAN-GP (Gulrajani et al. 2017), which takes x between real and generated rows. target 0: the R1 penalty, mean
    |df/dx|^2 (Mescheder et al. 2018, with strength gamma / 2; there is no root in it then). f: of rows, each on its
    own, so no batch normalization.
    """
    _check("strength", strength)
    _check("target", target)
    if not (isinstance(x, Tensor) and x.requires_grad):
        x = Tensor(x.data if isinstance(x, Tensor) else x, requires_grad=True)
    slope = grad(f(x).sum(), x, create_graph=True)
    squares = (slope * slope).reshape(len(x), -1).sum(axis=1)
    if target == 0:
        return strength * squares.mean()
    flat = squares.data == 0  # where the root has no derivative: as a norm's, it is 0
    norms = np.where(flat, 0, np.sqrt(np.where(flat, 1, squares)))
    return strength * ((norms - target) ** 2).mean()


class ActivityPenalty:
    """(l1 sum |a| + l2 sum a^2) / N over the outputs a of layers, of N rows. Keras' activity_regularizer.

        penalty = ActivityPenalty(model, l1=1e-4, where=nn.ReLU)
        train.fit(model, data, optimizer, loss=lambda output, y: F.cross_entropy(output, y) + penalty())

    where: the layers; a class, or several in a tuple, a pattern of names as "hidden.*", or a function of name and
    module. Calling it gives the sum of what the layers put out since the model was last called. l1 makes outputs
    sparse (Glorot et al. 2011). ``remove()`` takes its hooks away. Raises ValueError if where selects no layer.
    """

    def __init__(self, model: Module, l1: float = 0.0, l2: float = 0.0, *,
                 where: type | tuple[type, ...] | str | Callable[[str, Module], bool]):
        _check("l1", l1)
        _check("l2", l2)
        self.l1, self.l2, self.terms = l1, l2, []
        found = [m for name, m in model.named_modules() if self._wanted(where, name, m)]
        if not found:
            layers = [f"{name or 'itself'} ({type(m).__name__})" for name, m in model.named_modules()]
            raise ValueError(f"where={where!r} selects none of the model's layers: {', '.join(layers)}")
        self.handles = [model.register_forward_pre_hook(self._begin),
                        *(m.register_forward_hook(self._take) for m in found)]

    @staticmethod
    def _wanted(where, name, module):
        if isinstance(where, str):
            return fnmatchcase(name, where)
        return isinstance(module, where) if isinstance(where, (type, tuple)) else where(name, module)

    def _begin(self, module, args):
        self.terms = []

    def _take(self, module, args, output):
        for _, a in tree.leaves(output):
            if getattr(a, "dtype", np.dtype(object)).kind == "f" and a.ndim:
                if self.l1:
                    self.terms.append(abs(a).sum() * (self.l1 / max(len(a), 1)))
                if self.l2:
                    self.terms.append((a * a).sum() * (self.l2 / max(len(a), 1)))

    def __call__(self) -> Tensor:
        return _sum(self.terms) if self.terms else Tensor(np.float32(0))

    def remove(self) -> None:
        """Take the hooks away from the model."""
        for handle in self.handles:
            handle.remove()
        self.terms = []


# ---- constraints, in place: after the optimizer's step ----
def max_norm_(params, max_norm: float, where: Where = weights, *, axis: int | tuple[int, ...] | None = None) -> None:
    """Scale down what is longer than ``max_norm``: the weights into each unit, w <- w min(1, max_norm / |w|).

    Srebro & Shraibman 2005; with dropout Hinton et al. 2012. axis: along which the norm is taken; by default that of
    a unit's inputs: the first of a matrix (in, out), all but the first of a kernel (out, in, ...), all of a vector; of
    a Module's transposed, recurrent, attention and embedding weights, what it is there.
    """
    if not max_norm > 0:
        raise ValueError(f"max_norm must be positive, got {max_norm}")
    axes = _input_axes(params) if axis is None else {}
    for p in selected(params, where):
        norms = _norms(p.data, axes.get(p, axis))
        _scale(p, np.where(norms > max_norm, max_norm / np.where(norms > max_norm, norms, 1), 1))


def unit_norm_(params, where: Where = weights, *, axis: int | tuple[int, ...] | None = None) -> None:
    """w <- w / |w|, the weights into each unit, as in `max_norm_`. Zeros stay zeros."""
    axes = _input_axes(params) if axis is None else {}
    for p in selected(params, where):
        norms = _norms(p.data, axes.get(p, axis))
        _scale(p, 1 / np.where(norms == 0, 1, norms))


def non_negative_(params, where: Where = None) -> None:
    """w <- max(w, 0)."""
    for p in selected(params, where):
        p.data[p.data < 0] = 0
        graph.changed(p.data)


def _input_axes(params):
    """{weight: the axes of a unit's inputs}, of a Module's weights that are not (in, out) or (out, in, ...)."""
    found = {}
    for _, module in params.named_modules() if hasattr(params, "named_modules") else ():
        for name, p in vars(module).items():
            if isinstance(p, Tensor) and getattr(module, "transposed", False) and p.ndim > 2:
                found[p] = (0, *range(2, p.ndim))
            elif isinstance(p, Tensor) and p.ndim == 2 and name not in module.torch_transposed:
                found[p] = 1
    return found


def _norms(w, axis):
    if axis is None:
        axis = {0: (), 1: 0, 2: 0}.get(w.ndim, tuple(range(1, w.ndim)))
    largest = np.abs(w).max(axis=axis, keepdims=True, initial=0)  # divided out: squares may overflow
    largest = np.where((largest > 0) & np.isfinite(largest), largest, 1)
    return largest * np.sqrt(np.square(w / largest).sum(axis=axis, keepdims=True))


def _scale(p, factor):
    p.data[...] *= factor.astype(p.dtype)
    graph.changed(p.data)


@contextlib.contextmanager
def weight_noise(params, std: float, where: Where = None,
                 generator: np.random.Generator | None = None) -> Iterator[None]:
    """Inside the block the weights are w + std * e, e normal; afterwards w, to the bit. Graves 2011.

        with weight_noise(model, 0.01):
            loss(model(x), y).backward()
        optimizer.step()
    """
    _check("std", std)
    generator = generator or default_generator()
    kept = [(p, p.data, p.data.copy()) for p in selected(params, where)]
    try:
        for p, array, _ in kept:
            array += (std * generator.standard_normal(p.shape)).astype(p.dtype)
            graph.changed(array)
        yield
    finally:
        for _, array, before in kept:
            np.copyto(array, before)
            graph.changed(array)
