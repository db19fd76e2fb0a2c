"""Samples of complex numbers: of derivatives/complex.py, and of every other op of the basics that takes them."""

from __future__ import annotations

import operator

import numpy as np

import minigrad.functional as F
import minigrad.primitives as P
from minigrad.derivatives.special import erf, sigmoid
from minigrad.inplace import assign

from .basics import convolutions
from .core import complex_normal, mask, normal, positive, sample

for shape in ((), (3,), (2, 0), (2, 1, 3)):
    for key in (np.conjugate, np.real, np.imag):
        sample(key, (complex_normal, shape))
sample(np.conjugate, (2, 3))
sample(np.real, (2, 3))

z = complex_normal, (2, 3)
for key in (np.negative, np.positive, np.reciprocal, np.square, np.sqrt, np.absolute, np.sign, np.rint, np.exp, np.exp2,
            np.expm1, np.log, np.log2, np.log10, np.log1p, np.sin, np.cos, np.tan, np.arcsin, np.arccos, np.arctan,
            np.sinh, np.cosh, np.tanh, np.copy, np.ravel, np.trace, np.diagonal, erf, sigmoid):
    sample(key, z)
for key in (np.add, np.subtract, np.multiply, np.divide, np.power):
    sample(key, z, (complex_normal, (3,)))
    sample(key, z, (positive, (2, 1)))
    sample(key, (positive, (3,)), z)
for key in (np.sum, np.mean, np.prod, np.var, np.std):
    sample(key, z)
    sample(key, (complex_normal, (2, 3, 2)), axis=(0, -1), keepdims=True)
sample(np.prod, np.array([[1 + 2j, 0, 3j], [0, 0, 2 - 1j]]), axis=1)
sample(np.std, z, axis=0, ddof=1)

sample(np.where, (mask, (2, 3)), z, (normal, (3,)))
sample(np.reshape, z, shape=-1)
sample(np.transpose, z, axes=None)
sample(np.flip, z, axis=0)
sample(np.broadcast_to, z, shape=(2, 2, 3))
sample(np.concatenate, z, (normal, (2, 1)), axis=1)
sample(np.stack, (normal, (2, 3)), z, axis=0)
sample(np.astype, z, dtype=np.complex128)
sample(np.astype, (2, 3), dtype=np.complex128)
sample(operator.getitem, z, index=[0, 0, 1])
sample(P.scatter_add, z, index=[1, 1], shape=(3, 3))
sample(assign, z, (normal, (3,)), index=1)
sample(np.pad, z, pad_width=1)
sample(P.windows, z, size=(2,), stride=(1,), dilation=(1,))
sample(P.fold, (complex_normal, (2, 2, 2)), shape=(3,), stride=(1,), dilation=(1,))

for left, right in ((complex_normal, complex_normal), (normal, complex_normal), (complex_normal, normal)):
    sample(np.matmul, (left, (2, 3)), (right, (3, 2)))
    sample(np.matmul, (left, (3,)), (right, (2, 3, 1)))
    sample(np.einsum, (left, (2, 3)), (right, (3, 3)), subscripts="ij,jj->i")
    for x, w, y, how in convolutions[:4]:
        sample(P.conv, (left, x), (right, w), **how)
        sample(P.conv_input_grad, (left, y), (right, w), shape=x, **how)
        sample(P.conv_weight_grad, (left, x), (right, y), shape=w, **how)
sample(np.einsum, (complex_normal, (3, 3)), subscripts="ii->")
sample(F._affine, (complex_normal, (4, 3)), (complex_normal, (3, 2)), (complex_normal, (2,)))
