"""minigrad: reverse-mode automatic differentiation on NumPy that can be read in an evening.

Where to read first: graph.py (the chain rule), derivatives/basics.py (the rules), then tensor.py.
"""

from . import checkpoint, data, derivatives, functional, metrics, models, nn, optim, primitives, train
from .derivatives.scans import logsumexp
from .dispatch import primitive
from .graph import rule
from .mode import enable_grad, is_grad_enabled, no_grad
from .random import default_generator, manual_seed
from .tensor import Parameter, Tensor, grad

__version__ = "0.1.0"
__all__ = ["Parameter", "Tensor", "checkpoint", "data", "default_generator", "derivatives", "enable_grad", "functional",
           "grad", "is_grad_enabled", "logsumexp", "manual_seed", "metrics", "models", "nn", "no_grad", "optim",
           "primitive", "primitives", "rule", "train"]
