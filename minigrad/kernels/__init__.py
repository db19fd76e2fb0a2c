"""Array code for what NumPy has no fast expression for. `reference` is plain NumPy and always there."""

from . import memory, normalize
from .compiled import chosen, elementwise, using
from .images import conv, conv_input_grad, conv_weight_grad, max_pool, pool_put, window_spread, window_sum
from .reference import pool_take
from .rules import LARGE, by_hand, rules_of, shared
from .threads import get_num_threads, set_num_threads, settle

__all__ = ["LARGE", "by_hand", "chosen", "conv", "conv_input_grad", "conv_weight_grad", "elementwise",
           "get_num_threads", "max_pool", "normalize", "pool_put", "pool_take", "rules_of", "set_num_threads", "settle",
           "shared", "using", "window_spread", "window_sum"]

memory.keep()
