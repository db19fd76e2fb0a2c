"""Samples of functional/: normalization; convolution with a bias, of sequences and volumes; others are in basics.py."""

from __future__ import annotations

import minigrad.functional as F

from .core import sample

sample(F._conv_bias, (2, 4, 8), (6, 2, 3), (6,), stride=(2,), padding=((0, 1),), dilation=(2,), groups=2)
sample(F._conv_bias, (0, 3, 4), (2, 3, 2), (2,), stride=(1,), padding=((0, 0),), dilation=(1,), groups=1)
sample(F._conv_bias, (2, 2, 2, 3, 3), (2, 2, 2, 2, 1), (2,),
       stride=(1, 2, 1), padding=((1, 0), (0, 0), (0, 1)), dilation=(1, 1, 1), groups=1)

for axes, weight in (((-3, -1), (1, 3, 1)), ((-1,), (4,)), ((-1,), (1, 1, 1)), ((-2, -1), (3, 4))):
    sample(F._standardize, (2, 3, 4), weight, weight, axes=axes, eps=1e-5)
sample(F._standardize, (0, 3, 4), (4,), (4,), axes=(-1,), eps=1e-5)
