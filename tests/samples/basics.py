"""Samples of the table's first rooms: basics, products, joining, primitives, functional."""

from __future__ import annotations

import math
import operator

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

import minigrad.functional as F
import minigrad.primitives as P
from minigrad.derivatives.scans import logsumexp
from minigrad.derivatives.special import erf, sigmoid
from minigrad.inplace import assign

from .core import apart, between, inside, mask, nonzero, normal, ones_and_twos, positive, sample, sample_each

# ---- ufuncs: what each of their inputs is drawn by ----
unary = {
    **dict.fromkeys((np.negative, np.positive, np.square, np.exp, np.exp2, np.expm1, np.sin, np.cos, np.sinh, np.cosh,
                     np.tanh, np.arctan), normal),
    **dict.fromkeys((np.sqrt, np.log, np.log2, np.log10, np.log1p), positive),
    **dict.fromkeys((np.tan, np.arcsin, np.arccos), inside),
    **dict.fromkeys((np.reciprocal, np.absolute, np.sign), nonzero),
    **dict.fromkeys((np.floor, np.ceil, np.trunc, np.rint), apart),
}
binary = {
    **dict.fromkeys((np.add, np.subtract, np.multiply, np.logaddexp), (normal, normal)),
    **dict.fromkeys((np.remainder, np.floor_divide), (lambda r, shape: 2 * apart(r, shape), ones_and_twos)),
    **dict.fromkeys((np.maximum, np.minimum), (apart, between)),
    np.divide: (normal, nonzero),
    np.power: (positive, nonzero),
}
elementwise = {**unary, erf: normal, sigmoid: normal, F.relu: nonzero, F._leaky_relu: nonzero, F._gelu: normal}

sample_each(elementwise, binary, ((), (3,), (2, 1, 3), (0, 2)), (
    ((2, 3), (2, 3)), ((3, 1), (4,)), ((), (3,)), ((3,), ()), ((3,), (2, 2, 3)), ((2, 1, 3), (1, 3)), ((0, 3), (3,)),
    ((1,), (0,))))
sample(np.power, (nonzero, (3,)), np.array([2, 1, 3], np.int8))  # a negative base
sample(F._leaky_relu, (nonzero, (3,)), slope=0.3)

for shapes in (((2, 3), (2, 3), (2, 3)), ((3,), (2, 1), (1, 3)), ((2, 2), (), (2,)), ((), (3,), ()),
               ((0,), (0,), (1,))):
    sample(np.where, (mask, shapes[0]), *shapes[1:])
sample(np.clip, (apart, (2, 3)), a_min=-0.5, a_max=0.5)
sample(np.clip, (apart, (2, 3)), a_min=None, a_max=np.array([0.0, 0.5, -0.5], np.float32))
sample(np.clip, (apart, ()), a_min=-0.5, a_max=0.0)

# ---- reductions ----
reductions = {np.sum: normal, np.mean: normal, np.prod: normal, np.var: normal, np.max: apart, np.min: apart,
              np.std: apart, logsumexp: normal}
for key, by in reductions.items():
    some = () if key is np.std else ((3,),)  # of a single number std is 0, a kink
    for shape in ((2, 3, 4), (5,), (1, 4), *some):
        sample(key, (by, shape))
    sample(key, (by, (2, 3, 4)), axis=0, keepdims=True)
    sample(key, (by, (2, 3, 4)), axis=-1)
    sample(key, (by, (2, 3, 4)), axis=(0, 2))
    sample(key, (by, (2, 3, 4)), axis=(-1, 0), keepdims=True)
    sample(key, (by, (3, 2)), axis=None, keepdims=True)
    sample(key, (by, (2, 0, 3)), axis=2)
for key in (np.sum, np.mean, np.prod, np.max, np.min, logsumexp):
    sample(key, (reductions[key], ()))
    sample(key, (reductions[key], (2, 3)), axis=())
for key in (np.sum, np.prod):
    sample(key, (0, 3))
    sample(key, (2, 0), axis=1)
for key in (np.var, np.std):
    sample(key, (apart, (2, 3, 4)), ddof=1, axis=1)
    sample(key, (apart, (5,)), ddof=1.5)
sample(np.prod, np.array([[2.0, 0.0, 3.0], [0.0, 0.0, 2.0]]), axis=1)
sample(np.prod, (7,), axis=0)

# ---- shape ----
sample(np.reshape, (2, 3), shape=(3, 2))
sample(np.reshape, (2, 3), shape=-1)
sample(np.reshape, (), shape=(1, 1))
sample(np.reshape, (0, 3), shape=(3, 0, 2))
sample(np.squeeze, (1, 3, 1))
sample(np.squeeze, (1, 3, 1), axis=-1)
sample(np.squeeze, (1, 0, 1), axis=(0, 2))
sample(np.expand_dims, (2, 3), axis=1)
sample(np.expand_dims, (2, 0), axis=(0, -1))
for shape, axes in (((2, 3, 4), None), ((2, 3, 4), (1, 2, 0)), ((2, 3, 4), (-1, 0, 1)), ((2, 2, 2), (-1, 0, 1)),
                    ((), ()), ((0, 2), (1, 0))):
    sample(np.transpose, shape, axes=axes)
sample(np.swapaxes, (2, 3, 4), axis1=0, axis2=-1)
sample(np.swapaxes, (2, 2, 2), axis1=-2, axis2=-1)
sample(np.moveaxis, (2, 3, 4), source=0, destination=-1)
sample(np.moveaxis, (2, 2, 2), source=(0, 1), destination=(-1, 0))
for shape, axis in (((2, 3), None), ((2, 3), 0), ((2, 3, 2), (0, -1)), ((0, 2), 1)):
    sample(np.flip, shape, axis=axis)
sample(np.copy, (2, 3))
sample(np.copy, ())
sample(np.astype, (2, 3), dtype=np.float64)
sample(np.broadcast_to, (3, 1), shape=(2, 3, 4))
sample(np.broadcast_to, (), shape=(2, 3))
sample(np.broadcast_to, (1, 2), shape=(0, 2))
sample(np.broadcast_to, (1, 1), shape=(1, 3))

# ---- products ----
for a, b in (((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((2, 3), (3, 4)), ((5, 2, 3), (3, 4)), ((2, 3), (5, 3, 4)),
             ((4, 1, 2, 3), (5, 3, 2)), ((3,), (5, 3, 2)), ((5, 2, 3), (3,)), ((3,), (2, 1, 3, 2)), ((0, 3), (3, 2)),
             ((2, 0), (0, 3)), ((1, 1), (1, 1)), ((1,), (1, 2))):
    sample(np.matmul, a, b)
for subscripts, *shapes in (
        ("ij,jk->ik", (2, 3), (3, 4)), ("ij,jk", (2, 3), (3, 4)), ("i,i", (3,), (3,)), ("i,j->ij", (2,), (3,)),
        ("ij->ji", (2, 3)), ("ij->", (2, 3)), ("ij->i", (2, 3)), ("ii->", (3, 3)), ("ii->i", (3, 3)),
        ("iij->j", (2, 2, 3)),
        ("iii->i", (2, 2, 2)), ("ba", (2, 3)), ("...ij,...jk->...ik", (5, 2, 3), (5, 3, 4)),
        ("...i,i->...", (2, 4, 3), (3,)), ("i...->...", (2, 3)), ("...i,...i->...", (4, 1, 3), (2, 3)),
        ("bij,bjk,bk->bi", (2, 3, 2), (2, 2, 3), (2, 3)), ("ij,ij,ij->ij", (2, 2), (2, 2), (2, 2)),
        ("ij, jk -> k", (2, 3), (3, 2)), ("i,jj->i", (2,), (3, 3)), ("ij,jk->ik", (0, 3), (3, 2)),
        (",i->i", (), (3,)), ("ij,kl->", (2, 2), (3, 2))):
    sample(np.einsum, *shapes, subscripts=subscripts)
sample(F._affine, (4, 3), (3, 2), (2,))
sample(F._affine, (0, 3), (3, 2), (2,))

# ---- joining ----
sample(np.concatenate, (2, 3), (1, 3), (4, 3), axis=0)
sample(np.concatenate, (2, 3), (2, 1), axis=-1)
sample(np.concatenate, (2, 3), (2, 0), axis=1)
sample(np.stack, (2, 3), (2, 3), axis=0)
sample(np.stack, (2, 3), (2, 3), (2, 3), axis=-1)
sample(np.stack, (), ())

# ---- indexing: numbers, slices, masks, arrays, mixtures; repeated ones add up ----
indices = [
    ((4,), 1), ((4,), -1), ((4,), slice(None, None, -2)), ((4, 3), slice(1, 3)), ((4, 3), (slice(None), 0)),
    ((4, 3), (..., None, slice(0, 2))), ((4, 3), None), ((4, 3), ()), ((4, 3), ...), ((), ()), ((), (None, ...)),
    ((4,), [0, 0, 3, 0]), ((4,), np.array([[0, 1], [1, -1]])), ((4, 3), ([0, 0, 2], [1, 1, -1])),
    ((4, 3), ((0, 0), (1, 1))), ((2, 3, 4), (slice(None), [0, 0], slice(1, 3))), ((2, 3, 4), (0, slice(None), [1, 1])),
    ((2, 3, 4), (np.array([1, 1]), None, slice(None, None, -1), np.array([0, 0]))), ((4,), np.int64(2)),
    ((4,), np.array([True, False, True, True])), ((2, 2), np.array([[True, False], [True, True]])),
    ((4, 3), (np.array([True, False, True, True]), 1)), ((4, 3), (np.array([True, False, False, True]), [0, 0])),
    ((4,), [True, False, False, True]), ((4,), slice(0, 0)), ((4,), np.array([], np.intp)), ((0, 3), slice(None)),
    ((3,), np.array([False, False, False])), ((4,), range(3)), ((3,), np.array(1)),
]
for shape, index in indices:
    sample(operator.getitem, shape, index=index)
    sample(P.scatter_add, np.zeros(shape)[index].shape, index=index, shape=shape)
for shape, v, index in (((4, 3), (3,), 1), ((4, 3), (), (slice(None), 0)), ((4, 3), (4, 1), ...), ((), (), ()),
                        ((4,), (4,), [0, 0, 1, 0]), ((4, 3), (1, 1, 3), slice(1, 3)), ((3,), (0,), slice(0, 0)),
                        ((3,), (2,), np.array([True, False, True])), ((2, 3), (2, 1), (slice(None), [0, 2]))):
    sample(assign, shape, v, index=index)
for shape, width, value in (((3,), 1, 0), ((2, 3), (1, 2), 5.0), ((2, 3), ((0, 1), (2, 0)), 0), ((0, 2), 1, 0),
                            ((2, 3), ((1,), (2,)), 1), ((), 1, 0)):
    sample(P.pad, shape, pad_width=width, constant_values=value)

# ---- windows, convolution, pooling ----
windowed = [  # shape, size, stride, dilation, windows
    ((7,), (3,), (1,), (1,), (5,)), ((2, 8), (2,), (3,), (1,), (2, 3)), ((2, 9), (3,), (2,), (2,), (2, 3)),
    ((2, 5, 6), (2, 3), (2, 1), (1, 2), (2, 2, 2)), ((3, 3), (3, 3), (1, 1), (1, 1), (1, 1)),
    ((2, 3), (1,), (1,), (1,), (2, 3))]
for shape, size, stride, dilation, out in windowed:
    sample(P.windows, shape, size=size, stride=stride, dilation=dilation)
    sample(P.fold, (*out, *size), shape=shape[-len(size):], stride=stride, dilation=dilation)

convolutions = [  # x, w, y, and the keywords
    ((2, 3, 7), (4, 3, 3), (2, 4, 7), dict(stride=(1,), padding=((1, 1),), dilation=(1,), groups=1)),
    ((2, 4, 8), (2, 2, 3), (2, 2, 3), dict(stride=(2,), padding=((0, 1),), dilation=(2,), groups=2)),
    ((2, 3, 5, 6), (2, 3, 3, 2), (2, 2, 3, 5), dict(stride=(1, 1), padding=((0, 0),) * 2, dilation=(1, 1), groups=1)),
    ((2, 2, 6, 5), (4, 1, 2, 3), (2, 4, 4, 2),
     dict(stride=(2, 3), padding=((1, 2), (0, 1)), dilation=(2, 1), groups=2)),
    ((1, 3, 4, 4), (3, 1, 1, 1), (1, 3, 2, 2), dict(stride=(2, 2), padding=((0, 0),) * 2, dilation=(1, 1), groups=3)),
    ((2, 3, 3, 4), (2, 3, 1, 1), (2, 2, 3, 4), dict(stride=(1, 1), padding=((0, 0),) * 2, dilation=(1, 1), groups=1)),
    ((1, 2, 3, 4, 3), (2, 1, 2, 2, 2), (1, 2, 2, 3, 1),
     dict(stride=(2, 1, 2), padding=((1, 0), (0, 0), (0, 0)), dilation=(1, 1, 1), groups=2)),
    ((0, 2, 4), (3, 2, 2), (0, 3, 3), dict(stride=(1,), padding=((0, 0),), dilation=(1,), groups=1)),
]
for x, w, y, how in convolutions:
    sample(P.conv, x, w, **how)
    sample(P.conv_input_grad, y, w, shape=x, **how)
    sample(P.conv_weight_grad, x, y, shape=w, **how)
    if len(x) == 4:
        sample(F._conv_bias, x, w, w[:1], **how)

pools = [  # x, y, and the keywords
    ((2, 3, 7), (2, 3, 3), dict(kernel=(2,), stride=(2,), padding=((0, 0),), dilation=(1,))),
    ((2, 2, 5, 6), (2, 2, 2, 4), dict(kernel=(3, 3), stride=(2, 1), padding=((0, 0),) * 2, dilation=(1, 1))),
    ((1, 2, 4, 5), (1, 2, 3, 2), dict(kernel=(2, 3), stride=(2, 2), padding=((1, 1), (0, 2)), dilation=(1, 2))),
    ((1, 1, 3, 4, 3), (1, 1, 1, 2, 2),
     dict(kernel=(2, 2, 2), stride=(2, 2, 1), padding=((0, 0),) * 3, dilation=(1,) * 3)),
    ((0, 2, 4), (0, 2, 2), dict(kernel=(2,), stride=(2,), padding=((0, 0),), dilation=(1,))),
]
for x, y, how in pools:
    sample(P.max_pool, (apart, x), **how)
    sample(P.window_sum, x, **how)
    sample(P.window_spread, y, shape=x, **how)
    places = np.random.default_rng(0).permutation(math.prod(x)).reshape(x)  # integers, for they are constants here
    sample(P.pool_take, x, places, P.max_pool(places, **how), **how)
    sample(P.pool_put, y, places, P.max_pool(places, **how), **how)

# ---- softmax and its kin ----
for key in (F.softmax, F.log_softmax):
    sample(key, (2, 3))
    sample(key, (2, 3, 4), axis=1)
    sample(key, (5,), axis=0)
    sample(key, (0, 3))
sample(F._index_cross_entropy, (4, 3), np.array([0, 2, 2, 1]), mean=False)
sample(F._index_cross_entropy, (4, 3), np.array([0, 2, 2, 1]), mean=True)

# ---- composites: made of the functions above ----
for a, b in (((3,), (3,)), ((2, 3), (3,)), ((2, 3), (3, 4)), ((), (3,)), ((2, 3), ()), ((3,), (3, 2)),
             ((2, 3), (4, 3, 2))):
    sample(np.dot, a, b)
sample(np.ravel, (2, 3))
sample(np.outer, (2,), (3,))
sample(np.outer, (2, 2), (3,))
for shape, how in (((3, 4), {}), ((4, 3), {"offset": -1}), ((2, 3, 4), {"axis1": 2, "axis2": 0, "offset": 1})):
    sample(np.diagonal, shape, **how)
    sample(np.trace, shape, **how)
sample(sliding_window_view, (7,), window_shape=3)
sample(sliding_window_view, (4, 5), window_shape=(2, 3))
sample(sliding_window_view, (4, 5, 2), window_shape=2, axis=1)
sample(sliding_window_view, (4, 5, 2), window_shape=(2, 3), axis=(1, 0))
for how in ({"mode": "constant"}, {"mode": "edge"}, {"mode": "reflect"}, {"mode": "symmetric"}, {"mode": "wrap"}):
    sample(np.pad, (4, 3), pad_width=((2, 1), (0, 2)), **how)
sample(np.pad, (3,), pad_width=1, constant_values=2.0)
sample(np.split, (6, 2), indices_or_sections=3)
sample(np.split, (2, 6), indices_or_sections=[1, 4], axis=-1)
sample(np.array_split, (5,), indices_or_sections=2)
sample(np.split, (5, 2), indices_or_sections=[3, 1])
