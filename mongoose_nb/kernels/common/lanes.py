"""Many bytes at once: a comparison of 64 of them as the bits of a word, which compilers do not make of a loop."""

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

#: bytes that are compared at once
LANES = 64


@intrinsic
def at_least(typingctx, array, start, level):
    """Which of the `LANES` bytes from ``array[start]`` on are `level` or more (C-contiguous uint8; no bounds check): bit b of a uint64
    for byte ``start + b``."""
    if not isinstance(array, types.Array) or array.dtype != types.uint8 or array.layout != "C" or array.ndim != 1:
        return None

    def codegen(context, builder, signature, args):
        view = context.make_array(signature.args[0])(context, builder, args[0])
        byte, lanes = ir.IntType(8), ir.VectorType(ir.IntType(8), LANES)
        place = builder.bitcast(builder.gep(view.data, [args[1]]), lanes.as_pointer())
        values = builder.load(place, align=1)
        one = builder.insert_element(ir.Constant(lanes, ir.Undefined), args[2], ir.Constant(ir.IntType(32), 0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
        levels = builder.shuffle_vector(one, ir.Constant(lanes, ir.Undefined), zeros)
        assert args[2].type == byte
        return builder.bitcast(builder.icmp_unsigned(">=", values, levels), ir.IntType(64))

    return types.uint64(array, types.int64, types.uint8), codegen


@intrinsic
def lowest_bit(typingctx, word):
    """Place of the lowest bit that is set in a uint64 other than zero."""

    def codegen(context, builder, signature, args):
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.uint64), codegen
