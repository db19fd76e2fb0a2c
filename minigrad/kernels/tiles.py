"""The two innermost loops of convolution, as vector instructions: their sums stay in registers, which Numba's own
vectorization does not manage (a third of the speed). Everything around them is in `loops`.

Written in LLVM's own language, because Python has no word for a vector: `llvmlite` is what Numba is made of.
"""

from __future__ import annotations

import llvmlite.binding
from llvmlite import ir
from numba import types
from numba.core.cgutils import get_or_insert_function
from numba.core.typing import signature
from numba.extending import intrinsic

ROWS = 4  # of outputs, or of weights each way, at a time
WIDEST = 64 if llvmlite.binding.get_host_cpu_features().get("avx512f") else 16  # lanes whose sums fit into registers
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
