"""Ask the processor for a row of a matrix before it is needed: random rows are the cost of every sparse layer.

Measured on rows of 512 bytes (670,091 rows, two threads): a random read takes 42 ns instead of 55, an Adam step on w, m and v
142 ns instead of 192.
"""

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from mongoose_nb.core.jit import inline

_LINE = 64


@intrinsic
def prefetch_line(typingctx, array, row, column):
    """Prefetch the cache line of ``array[row, column]`` (2-D array; no bounds check, nothing is read)."""

    def codegen(context, builder, signature, args):
        kind = signature.args[0]
        view = context.make_array(kind)(context, builder, args[0])
        strides = cgutils.unpack_tuple(builder, view.strides, kind.ndim)
        word, byte_pointer, flag = ir.IntType(64), ir.IntType(8).as_pointer(), ir.IntType(32)
        at = builder.ptrtoint(view.data, word)
        for index, stride in zip(args[1:], strides):
            at = builder.add(at, builder.mul(index, stride))
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(ir.VoidType(), [byte_pointer, flag, flag, flag]), "llvm.prefetch.p0")
        # for reading, to be kept in all caches, of data
        builder.call(function, [builder.inttoptr(at, byte_pointer), flag(0), flag(3), flag(1)])
        return context.get_dummy_value()

    return types.void(array, types.int64, types.int64), codegen


@inline
def prefetch_row(array, row):
    """Prefetch all cache lines of a float32 row."""
    for column in range(0, array.shape[1], _LINE // 4):
        prefetch_line(array, row, column)


@inline
def prefetch_state(row, w, m, v):
    """Prefetch what an optimiser step on a row reads: weights and moments, matrices or vectors."""
    if w.ndim == 2:
        prefetch_row(w, row)
        prefetch_row(m, row)
        prefetch_row(v, row)
    else:
        prefetch_line(w.reshape(1, -1), 0, row)
        prefetch_line(m.reshape(1, -1), 0, row)
        prefetch_line(v.reshape(1, -1), 0, row)
