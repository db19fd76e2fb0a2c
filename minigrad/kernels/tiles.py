"""Convolution. Its two innermost loops are vector instructions, that their sums stay in registers, which Numba's own
vectorization does not manage (a third of the speed); everything around them is Numba's Python.

They are written in LLVM's own language, because Python has no word for a vector: `llvmlite` is what Numba is made of.
Arrays are (C, H, W, N), C-contiguous.
"""

from __future__ import annotations

import llvmlite.binding
import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core.cgutils import get_or_insert_function
from numba.core.typing import signature
from numba.extending import intrinsic

ROWS = 4  # of outputs, or of weights each way, at a time
WIDEST = 64 if llvmlite.binding.get_host_cpu_features().get("avx512f") else 16  # float32 whose sums fit into registers
NARROWEST = 16
I64, I32 = ir.IntType(64), ir.IntType(32)


class _Vectors:
    """Vectors of so many numbers of dtype in a function that is being built."""

    def __init__(self, context, builder, dtype, lanes):
        self.builder, self.lanes, self.bytes = builder, lanes, dtype.bitwidth // 8
        self.type = ir.VectorType(context.get_value_type(dtype), lanes)
        self.suffix = f"v{lanes}f{dtype.bitwidth}"
        self.fma = get_or_insert_function(builder.module, ir.FunctionType(self.type, [self.type] * 3),
                                          f"llvm.fma.{self.suffix}")

    def at(self, pointer):
        return self.builder.bitcast(pointer, self.type.as_pointer())

    def load(self, pointer):
        return self.builder.load(self.at(pointer), align=self.bytes)

    def store(self, vector, pointer):
        self.builder.store(vector, self.at(pointer), align=self.bytes)

    def all_of(self, number):
        """A vector of one number."""
        none = ir.Constant(self.type, ir.Undefined)
        one = self.builder.insert_element(none, number, ir.Constant(I32, 0))
        return self.builder.shuffle_vector(one, none, ir.Constant(ir.VectorType(I32, self.lanes), None))

    def total(self, vector):
        """The sum of its numbers, in whatever order."""
        add = get_or_insert_function(self.builder.module, ir.FunctionType(self.type.element, [self.type.element,
                                     self.type]), f"llvm.vector.reduce.fadd.{self.suffix}")
        return self.builder.call(add, [ir.Constant(self.type.element, 0.0), vector], fastmath=("reassoc",))


def _data(context, builder, sig, args, *which):
    """Pointers to the numbers of arrays."""
    return [context.make_array(sig.args[i])(context, builder, args[i]).data for i in which]


def _loop(builder, count, step, sums):
    """for i in range(count): sums = step(i, sums). count is at least 1. Gives the sums."""
    before, body, after = builder.block, builder.append_basic_block("loop"), builder.append_basic_block("after")
    builder.branch(body)
    builder.position_at_end(body)
    i, now = builder.phi(I64), [builder.phi(s.type) for s in sums]
    new = step(i, now)
    following = builder.add(i, ir.Constant(I64, 1))
    for phi, first, then in zip([i, *now], [ir.Constant(I64, 0), *sums], [following, *new]):
        phi.add_incoming(first, before)
        phi.add_incoming(then, body)
    builder.cbranch(builder.icmp_signed("<", following, count), body, after)
    builder.position_at_end(after)
    return new


def products(lanes):
    """An intrinsic ``(y, stride, start, x, x_at, w, w_at, count)``: y[r * stride + n] becomes
    start[r] + sum over k < count of w[w_at[k] + r] * x[x_at[k] + n], for r < ROWS and n < lanes."""
    @intrinsic
    def tile(typing, y, stride, start, x, x_at, w, w_at, count):
        def build(context, builder, sig, args):
            to, first, of, of_at, by, by_at = _data(context, builder, sig, args, 0, 2, 3, 4, 5, 6)
            vectors = _Vectors(context, builder, x.dtype, lanes)
            rows = [ir.Constant(I64, r) for r in range(ROWS)]

            def step(k, sums):
                row = vectors.load(builder.gep(of, [builder.load(builder.gep(of_at, [k]))]))
                weights = builder.gep(by, [builder.load(builder.gep(by_at, [k]))])
                return [builder.call(vectors.fma, [vectors.all_of(builder.load(builder.gep(weights, [r]))), row, s])
                        for r, s in zip(rows, sums)]
            sums = [vectors.all_of(builder.load(builder.gep(first, [r]))) for r in rows]
            for r, s in zip(rows, _loop(builder, args[7], step, sums)):
                vectors.store(s, builder.gep(to, [builder.mul(r, args[1])]))
            return context.get_dummy_value()
        return signature(types.void, y, types.intp, start, x, x_at, w, w_at, types.intp), build
    return tile


@intrinsic
def dots(typing, total, g, stride, x, x_at, count):
    """total[r * ROWS + q] += sum over n < count * NARROWEST of g[r * stride + n] * x[x_at[q] + n], for r, q < ROWS."""
    def build(context, builder, sig, args):
        to, up, of, of_at = _data(context, builder, sig, args, 0, 1, 3, 4)
        vectors = _Vectors(context, builder, x.dtype, NARROWEST)
        rows = [ir.Constant(I64, r) for r in range(ROWS)]
        ups = [builder.gep(up, [builder.mul(r, args[2])]) for r in rows]
        ofs = [builder.gep(of, [builder.load(builder.gep(of_at, [q]))]) for q in rows]

        def step(i, sums):
            n = builder.mul(i, ir.Constant(I64, NARROWEST))
            left, right = ([vectors.load(builder.gep(p, [n])) for p in side] for side in (ups, ofs))
            return [builder.call(vectors.fma, [a, b, s]) for (a, b), s in
                    zip(((a, b) for a in left for b in right), sums)]
        none = [ir.Constant(vectors.type, None)] * ROWS**2
        for i, s in enumerate(_loop(builder, args[5], step, none)):
            place = builder.gep(to, [ir.Constant(I64, i)])
            builder.store(builder.fadd(builder.load(place), vectors.total(s)), place)
        return context.get_dummy_value()
    return signature(types.void, total, g, types.intp, x, x_at, types.intp), build


# ---- convolution, a tile of ROWS outputs at one place in up to WIDEST images at a time ----
compiled = numba.njit(cache=True, nogil=True, error_model="numpy")  # kept on disk until this file changes
_widest, _half, _narrowest = products(WIDEST), products(32), products(NARROWEST)
LONGEST = 2048  # numbers of a row of g that are multiplied at a time: four stay in the nearest cache


@compiled
def _place(y, at, stride, images, start, x, x_at, w, w_at, count):
    """A tile after the other, of the images at one place; the last may meet the one before."""
    n = 0
    while n < images:
        if images - n >= WIDEST and (WIDEST == NARROWEST or x.itemsize == 4):
            _widest(y[at + n:], stride, start, x[n:], x_at, w, w_at, count)
            n += WIDEST
        elif images - n >= 32 and WIDEST > 32:
            _half(y[at + n:], stride, start, x[n:], x_at, w, w_at, count)
            n += 32
        else:
            n = min(n, images - NARROWEST)
            _narrowest(y[at + n:], stride, start, x[n:], x_at, w, w_at, count)
            n += NARROWEST


@compiled
def _taps(channels, height, width, images, kernel, dilation):
    """Where the values of a window stand in x (C, H, W, N), from its first."""
    at = np.empty(channels * kernel[0] * kernel[1], np.int64)
    k = 0
    for c in range(channels):
        for i in range(kernel[0]):
            for j in range(kernel[1]):
                at[k] = ((c * height + i * dilation[0]) * width + j * dilation[1]) * images
                k += 1
    return at


@compiled
def conv(x, w, bias, y, kernel, stride, dilation, p0, p1):
    """y (O, H', W', N) at the windows [p0, p1) becomes w (O, C * kH * kW) times their values, plus bias (O)."""
    (outputs, rows), (channels, height, width, images) = w.shape, x.shape
    across, windows = y.shape[2], y.shape[1] * y.shape[2]
    x_at, w_at = _taps(channels, height, width, images, kernel, dilation), np.arange(rows) * ROWS
    x, y, blocks = x.reshape(-1), y.reshape(-1), -(-outputs // ROWS)
    packed = np.empty((blocks, rows * ROWS), w.dtype)
    for b in range(blocks):
        o = min(b * ROWS, outputs - ROWS)
        for k in range(rows):
            for r in range(ROWS):
                packed[b, k * ROWS + r] = w[o + r, k]
    for p in range(p0, p1):
        i, j = divmod(p, across)
        window = x[(i * stride[0] * width + j * stride[1]) * images:]
        for b in range(blocks):
            o = min(b * ROWS, outputs - ROWS)
            at = (o * windows + p) * images
            _place(y, at, windows * images, images, bias[o:], window, x_at, packed[b], w_at, rows)


@compiled
def conv_input_grad(g, w, x, stride, padding, dilation, p0, p1):
    """x (C, H, W, N) at its places [p0, p1) becomes the sum of w (O, C, kH, kW) times g (O, H', W', N) over windows."""
    (outputs, channels, down, across), (_, height, width, images) = w.shape, x.shape
    rows, columns, places, blocks = g.shape[1], g.shape[2], height * width, -(-channels // ROWS)
    taps = down * across * outputs
    packed = np.empty((blocks, taps * ROWS), w.dtype)
    for b in range(blocks):
        c, k = min(b * ROWS, channels - ROWS), 0
        for i in range(down):
            for j in range(across):
                for o in range(outputs):
                    for r in range(ROWS):
                        packed[b, k] = w[o, c + r, i, j]
                        k += 1
    g_at, w_at, zeros = np.empty(taps, np.int64), np.empty(taps, np.int64), np.zeros(ROWS, w.dtype)
    g, x = g.reshape(-1), x.reshape(-1)
    for p in range(p0, p1):
        y, z = divmod(p, width)
        count = 0
        for i in range(down):
            r, rest = divmod(y + padding[0] - i * dilation[0], stride[0])
            if rest or not 0 <= r < rows:
                continue
            for j in range(across):
                s, rest = divmod(z + padding[1] - j * dilation[1], stride[1])
                if rest or not 0 <= s < columns:
                    continue
                for o in range(outputs):
                    g_at[count] = ((o * rows + r) * columns + s) * images
                    w_at[count] = ((i * across + j) * outputs + o) * ROWS
                    count += 1
        for b in range(blocks):
            c = min(b * ROWS, channels - ROWS)
            at = (c * places + p) * images
            if count:
                _place(x, at, places * images, images, zeros, g, g_at, packed[b], w_at, count)
            else:
                for r in range(ROWS):
                    x[at + r * places * images:at + r * places * images + images] = 0


@compiled
def conv_weight_grad(x, g, total, kernel, stride, dilation, r0, r1):
    """The products of g (O, H', W', N) with the values of its windows in rows [r0, r1), for each of x, are added to
    total (O, C * kH * kW)."""
    (outputs, rows), (channels, height, width, images) = total.shape, x.shape
    across, windows = g.shape[2], g.shape[1] * g.shape[2]
    x_at, part = _taps(channels, height, width, images, kernel, dilation), np.empty(ROWS**2, g.dtype)
    x, g = x.reshape(-1), g.reshape(-1)
    pieces, length = (1, across * images) if stride[1] == 1 else (across, images)  # runs that lie together in both
    for r in range(r0, r1):
        for s in range(pieces):
            for n in range(0, length, LONGEST):
                long = min(LONGEST, length - n)
                row = x[(r * stride[0] * width + s * stride[1]) * images + n:]
                up = g[(r * across + s) * images + n:]
                for b in range(0, outputs, ROWS):
                    o = min(b, outputs - ROWS)
                    for k in range(0, rows, ROWS):
                        q = min(k, rows - ROWS)
                        part[:] = 0
                        at = up[o * windows * images:]
                        if long >= NARROWEST:
                            dots(part, at, windows * images, row, x_at[q:], long // NARROWEST)
                        for m in range(long - long % NARROWEST, long):
                            for i in range(ROWS):
                                for j in range(ROWS):
                                    part[i * ROWS + j] += at[i * windows * images + m] * row[x_at[q + j] + m]
                        for i in range(b - o, ROWS):
                            for j in range(k - q, ROWS):
                                total[o + i, q + j] += part[i * ROWS + j]
