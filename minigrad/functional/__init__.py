"""Activations, losses, normalization, convolution as functions of Tensors, with the names of torch.nn.functional.

Most are made of functions in the table; a few that training spends its time in are primitives with rules of their own,
and those rules are differentiable again like all others.
"""
# ruff: noqa: F401 (the private ones are ops of the table and helpers of the layers)

from __future__ import annotations

from ..derivatives.scans import logsumexp
from ..derivatives.special import erf, sigmoid
from . import batched
from .activations import (
    _gelu,
    _leaky_relu,
    gelu,
    gumbel_softmax,
    leaky_relu,
    log_softmax,
    logsigmoid,
    relu,
    softmax,
    softplus,
    tanh,
)
from .attention import bilinear, embedding_bag, positional_encoding, scaled_dot_product_attention
from .conv import (
    _conv_bias,
    conv1d,
    conv2d,
    conv3d,
    conv_transpose1d,
    conv_transpose2d,
    conv_transpose3d,
    fold,
    locally_connected,
    unfold,
)
from .dense import _affine, cosine_similarity, embedding, flatten, linear, normalize, one_hot, pairwise_distance
from .images import affine_grid, grid_sample, interpolate, pad, pixel_shuffle, pixel_unshuffle
from .losses import _index_cross_entropy, binary_cross_entropy_with_logits, cross_entropy, mse_loss
from .normalization import batch_norm, layer_norm
from .pooling import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    adaptive_max_pool3d,
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    fractional_max_pool2d,
    fractional_max_pool3d,
    lp_pool1d,
    lp_pool2d,
    lp_pool3d,
    max_pool1d,
    max_pool2d,
    max_pool3d,
    max_unpool1d,
    max_unpool2d,
    max_unpool3d,
)
from .regularization import check_probability, drop_connect, dropout, keep_mask

__all__ = ["adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool1d",
           "adaptive_max_pool2d", "adaptive_max_pool3d", "affine_grid", "avg_pool1d", "avg_pool2d", "avg_pool3d",
           "batch_norm", "bilinear", "binary_cross_entropy_with_logits", "conv1d", "conv2d", "conv3d",
           "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "cosine_similarity", "cross_entropy",
           "drop_connect", "dropout", "embedding", "embedding_bag", "erf", "flatten", "fold", "gelu", "grid_sample",
           "gumbel_softmax", "interpolate", "layer_norm", "leaky_relu", "linear", "log_softmax", "logsigmoid",
           "logsumexp", "max_pool1d", "max_pool2d", "max_pool3d", "mse_loss", "normalize", "one_hot", "pad",
           "pairwise_distance", "pixel_shuffle", "pixel_unshuffle", "positional_encoding", "relu",
           "scaled_dot_product_attention", "sigmoid", "softmax", "softplus", "tanh", "unfold"]
