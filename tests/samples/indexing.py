"""Samples of derivatives/indexing.py: taking, putting, selecting, interpolating."""

from __future__ import annotations

import numpy as np

import minigrad.derivatives.indexing as I

from .core import apart, calls, complex_normal, mask, sample

calls.update({
    np.choose: lambda a, *choices, **how: np.choose(a, choices, **how),
    np.select: lambda *xs, default=0: np.select(xs[:len(xs) // 2], xs[len(xs) // 2:], default),
    np.piecewise: lambda x, *masks: np.piecewise(x, masks, [lambda v: v * v, lambda v: -v, 3.0][:len(masks) + 1]),
    np.delete: lambda arr, **how: np.delete(arr, **how),
    np.insert: lambda arr, values, obj, axis=None: np.insert(arr, obj, values, axis),
    np.repeat: lambda a, **how: np.repeat(a, **how),
})

along = [  # x, index, axis: repeated ones, negative ones, broadcast against each other
    ((4,), [0, 0, 3, -1, 2, 2], 0), ((2, 3), [[0, 0], [2, 1]], 1), ((2, 3), [[1, 0, 1]], 0), ((2, 3), [[0, -1]], -1),
    ((1, 3), [[0], [2], [2]], -1), ((2, 3, 4), np.ones((2, 2, 4), int), -2), ((3,), np.zeros(0, int), 0),
    ((0, 3), np.zeros((0, 2), int), 1), ((2, 3), np.array([[0], [2]], np.uint8), 1)]
for shape, index, axis in along:
    index = np.asarray(index)
    sample(np.take_along_axis, shape, index, axis=axis)
    taken = np.take_along_axis(np.zeros(shape), index, axis).shape
    sample(I.add_along_axis, taken, index, axis=axis, n=shape[axis])
sample(np.take_along_axis, (complex_normal, (2, 3)), np.array([[0, 0], [2, 1]]), axis=1)
sample(I.add_along_axis, (complex_normal, (2, 3)), np.array([[0, 0, 2], [2, 1, 1]]), axis=1, n=4)

taken = [((4,), [0, 0, 3, -1], 0), ((4,), 2, 0), ((2, 3), 1, 1), ((2, 3), [[0, 2], [2, 2]], 1), ((4, 3), [1, 1], 0),
         ((2, 3, 2), [[0], [-1]], -2), ((3, 2), np.zeros((0,), int), 0), ((0, 3), [1, 1], 1), ((2, 3), [[[1]]], -1)]
for shape, index, axis in taken:
    index = np.asarray(index)
    sample(np.take, shape, index, axis=axis)
    sample(I.add_taken, np.take(np.zeros(shape), index, axis).shape, index, axis=axis % len(shape), n=shape[axis])
sample(np.take, (complex_normal, (3, 2)), np.array([2, 0, 2]), axis=0)

for condition, shape, axis in (([True, False, True], (3,), None), ([False, True], (2, 3), 0), ([1, 0, 1], (2, 3), -1),
                               ([True, False, True, True, False], (2, 3), None), ([False, False], (2, 3), 0)):
    sample(np.compress, np.array(condition), shape, axis=axis)
sample(np.extract, (mask, (2, 3)), (2, 3))
sample(np.extract, np.array([True, False, True]), (complex_normal, (3,)))
for obj, shape, axis in ((1, (4,), None), ([0, -1], (4, 2), 0), (slice(0, 3, 2), (2, 4), 1), (2, (2, 3), None),
                         ([True, False, True], (3, 2), 0)):
    sample(np.delete, shape, obj=obj, axis=axis)
for shape, values, obj, axis in (
        ((4,), (), 1, None), ((4,), (2,), [0, 3], None), ((4,), (3,), 1, 0), ((2, 3), (3,), 1, 0),
        ((2, 3), (2,), 0, 1), ((2, 3), (2, 1), [1], 1), ((2, 3), (2, 2), [3, 1], -1), ((2, 3), (), [0, 0, 2], 1),
        ((2, 3), (2,), [4, 0], None), ((2, 3), (3, 2), -1, 1), ((4,), (2,), slice(0, 4, 2), 0)):
    sample(np.insert, shape, values, obj=obj, axis=axis)
for shape, repeats, axis in (((3,), 2, None), ((2, 3), 2, 1), ((2, 3), [1, 0, 2], -1), ((2, 3), [2, 1], 0),
                             ((2, 2), 3, None), ((), 2, None), ((2, 3), 0, 0), ((2, 3), 1, 0),
                             ((2, 3, 2), 3, -2), ((0, 3), 2, 1)):
    sample(np.repeat, shape, repeats=repeats, axis=axis)
for shape, new in (((2, 3), (2, 2)), ((3,), (2, 4)), ((2, 2), 7), ((), (2,))):
    sample(np.resize, shape, new_shape=new)
sample(np.trim_zeros, np.array([1.0, 0.0, 2.0]))  # a zero at the end is a kink: test_indexing.py

sample(np.choose, np.array([0, 1, 2, 0]), (4,), (4,), (4,))
sample(np.choose, np.array([[0], [1]]), (3,), ())
sample(np.choose, (mask, (4,)), (4,), (4,))
sample(np.choose, np.array([-1, 5, 1]), (3,), (3,), mode="wrap")
sample(np.choose, np.array([-1, 5, 1]), (3,), (3,), mode="clip")
sample(np.select, (mask, (2, 3)), (mask, (2, 3)), (2, 3), (2, 3))
sample(np.select, (mask, (3,)), (mask, (2, 1)), (3,), (2, 3), default=4.0)
sample(np.select, (mask, (3,)), (complex_normal, (3,)))
sample(np.piecewise, (6,), np.array([True, False, True, True, False, False]))
sample(np.piecewise, (2, 3), (mask, (2, 3)), (mask, (2, 3)))

for shape, k in (((3, 3), 0), ((2, 4), 1), ((2, 4, 3), -1), ((3,), 0), ((0, 3), 0)):
    sample(np.tril, shape, k=k)
    sample(np.triu, shape, k=k)
sample(np.tril, (complex_normal, (2, 2)))
sample(np.triu, (complex_normal, (2, 2)))
for shape, k in (((3,), 0), ((2,), 2), ((2,), -1), ((3, 4), 1), ((3, 4), -2), ((0,), 1), ((0,), 3)):
    sample(np.diag, shape, k=k)
    sample(np.diagflat, shape, k=k)
sample(np.diagflat, (), k=1)
sample(np.diag, (complex_normal, (2,)), k=0)

points = np.array([0.0, 0.5, 2.0, 3.0])
for x in ((), (5,), (2, 3), (0,)):
    sample(np.interp, (lambda r, shape: r.uniform(-1, 4, shape), x), points, (4,))
sample(np.interp, np.array([-1.0, 0.2, 4.0]), points, (4,), left=7.0, right=-7.0)
sample(np.interp, np.array([-1.0, 0.2, 2.1]), points, (complex_normal, (4,)))
sample(np.interp, np.array([-1.0, 0.2]), (1,), (1,))
sample(np.interp, np.array([0.6, 0.8]), (lambda r, shape: np.sort(apart(r, shape)), (3,)), (3,))
