"""minigrad: reverse-mode automatic differentiation on NumPy that can be read in an evening.

Where to read first: graph.py (the chain rule), derivatives/basics.py (the rules), then tensor.py.
"""

import importlib

from . import calculus, checkpoint, data, functional, metrics, models, nn, optim, primitives, random, train, tree
from .anomaly import detect_anomaly
from .batching import vmap
from .calculus import (
    elementwise_grad,
    gauss_newton_vp,
    grad,
    hessian,
    hvp,
    jacfwd,
    jacobian,
    jacrev,
    jvp,
    value_and_grad,
    vhp,
    vjp,
)
from .derivatives import linalg, special
from .derivatives.elementwise import cot, csc, lerp, rsqrt, sec
from .derivatives.indexing import (
    diag_embed,
    gather,
    index_add,
    index_copy,
    index_select,
    masked_fill,
    masked_select,
    safe_where,
    scatter,
    scatter_add,
)
from .derivatives.ordering import cummax, cummin, kthvalue, topk
from .derivatives.scans import logcumsumexp, logsumexp
from .dispatch import primitive
from .graph import rule
from .kernels import get_num_threads, set_num_threads
from .mode import enable_grad, is_grad_enabled, no_grad
from .random import default_generator, manual_seed
from .tensor import Parameter, Tensor


def _shown(how):  # what notebooks call; only then are the pictures imported
    return lambda self: getattr(importlib.import_module("minigrad.viz.notebook"), how)(self)


Tensor._repr_html_, Tensor._repr_svg_, nn.Module._repr_html_ = map(_shown, ("tensor_html", "tensor_svg", "module_html"))
__version__ = "0.1.0"
__all__ = [
    "Parameter", "Tensor", "calculus", "checkpoint", "cot", "csc", "cummax", "cummin", "data",
    "default_generator", "detect_anomaly", "diag_embed", "elementwise_grad", "enable_grad", "functional",
    "gather", "gauss_newton_vp", "get_num_threads", "grad", "hessian", "hvp", "index_add", "index_copy", "index_select",
    "is_grad_enabled", "jacfwd", "jacobian", "jacrev", "jvp", "kthvalue", "lerp", "linalg", "logcumsumexp",
    "logsumexp", "manual_seed", "masked_fill", "masked_select", "metrics", "models", "nn", "no_grad", "optim",
    "primitive", "primitives", "random", "rsqrt", "rule", "safe_where", "scatter", "scatter_add", "sec",
    "set_num_threads", "special", "topk", "train", "tree", "value_and_grad", "vhp", "vjp", "vmap"]
