"""The derivative table, continued: complex numbers.

Inside backward a complex gradient is dL/d(real z) - i dL/d(imag z). Then the rule of a holomorphic function is the one
of its real twin, g * f'(x) without a conjugate, and only what tells z from its conjugate needs care: the rules below.
Users see the conjugate of it, the direction in which L rises (PyTorch's convention); tensor.py converts at its doors.
"""

from __future__ import annotations

import numpy as np

from ..graph import rule
from .basics import zero

rule(np.conjugate, lambda g, y, x: g.conj())
rule(np.real, lambda g, y, x: g.astype(x.dtype))
rule(np.imag, lambda g, y, x: g * -1j)
rule(np.sign, lambda g, y, x: zero(g) if x.dtype.kind != "c" else  # 0 at 0
     1j * np.imag(g * y) / np.where(x == 0, 1, x))  # x / |x| turns with x
