"""Array code for what NumPy has no fast expression for. `reference` is plain NumPy and always there."""

from . import memory
from .compiled import chosen, elementwise, using
from .images import conv_input_grad, max_pool, pool_put, window_spread, window_sum
from .reference import conv, conv_weight_grad, pool_take

__all__ = ["chosen", "conv", "conv_input_grad", "conv_weight_grad", "elementwise", "max_pool", "pool_put", "pool_take",
           "using", "window_spread", "window_sum"]

memory.keep()
