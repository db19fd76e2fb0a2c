"""Samples of derivatives/complex.py."""

from __future__ import annotations

import numpy as np

from .core import complex_normal, sample

for shape in ((), (3,), (2, 0), (2, 1, 3)):
    for key in (np.conjugate, np.real, np.imag):
        sample(key, (complex_normal, shape))
sample(np.conjugate, (2, 3))
sample(np.real, (2, 3))
