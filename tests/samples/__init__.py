"""Points at which every op of the table is tested: inputs away from kinks and ties, and static arguments.

One module for each room of the table. test_derivatives.py fails for an op without a sample here.
"""

from __future__ import annotations

import importlib
import pkgutil

from .basics import binary, elementwise, reductions
from .core import Sample, apart, call, calls, sample, samples

for room in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{room.name}")

__all__ = ["Sample", "apart", "binary", "call", "calls", "elementwise", "reductions", "sample", "samples"]
