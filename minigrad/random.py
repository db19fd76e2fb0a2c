"""Where chance comes from: one NumPy Generator for everything that is not handed a generator of its own."""

from __future__ import annotations

import numpy as np

_default = np.random.default_rng()


def manual_seed(seed: int) -> np.random.Generator:
    """Seed minigrad's default generator and return it. The same seed gives bit-identical training.

    Weight initialization, dropout masks and shuffling draw from this generator unless they are given
    ``generator=``. NumPy's own global state is neither read nor changed.
    """
    global _default
    _default = np.random.default_rng(seed)
    return _default


def default_generator() -> np.random.Generator:
    """The generator that is used where none is given."""
    return _default
