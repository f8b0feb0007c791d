"""Two instructions that Numba does not offer: the high half of a product, and a bit set by several threads at once."""

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic


@intrinsic
def high_product(typingctx, a, b):
    """The upper 64 bits of the product of two uint64: maps a random word `a` to [0, b)."""

    def codegen(context, builder, signature, args):
        wide = ir.IntType(128)
        product = builder.mul(builder.zext(args[0], wide), builder.zext(args[1], wide))
        return builder.trunc(builder.lshr(product, ir.Constant(wide, 64)), ir.IntType(64))

    return types.uint64(types.uint64, types.uint64), codegen


@intrinsic
def set_bits(typingctx, array, at, mask):
    """``array[at] |= mask`` of a C-contiguous 1-D uint8 array, atomic (no bounds check). The order of the threads plays no part."""
    if not isinstance(array, types.Array) or array.dtype != types.uint8 or array.layout != "C" or array.ndim != 1:
        return None

    def codegen(context, builder, signature, args):
        view = context.make_array(signature.args[0])(context, builder, args[0])
        builder.atomic_rmw("or", builder.gep(view.data, [args[1]]), args[2], "monotonic")
        return context.get_dummy_value()

    return types.void(array, types.int64, types.uint8), codegen
