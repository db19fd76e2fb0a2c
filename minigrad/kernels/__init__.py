"""Array code for what NumPy has no fast expression for. `reference` is plain NumPy and always there."""

from .reference import (
    conv,
    conv_input_grad,
    conv_weight_grad,
    max_pool,
    pool_put,
    pool_take,
    window_spread,
    window_sum,
)

__all__ = ["conv", "conv_input_grad", "conv_weight_grad", "max_pool", "pool_put", "pool_take",
           "window_spread", "window_sum"]
