"""One BLAS product of parts of arrays, on the thread that calls it.

A. `np.dot` in a kernel takes contiguous arrays only, and copies others. These kernels work on blocks of columns and on rows at a stride,
   which BLAS takes as leading dimensions. The function called here is the one that Numba's own `np.dot` calls.
B. Arrays are flat. A part of one is given by its first element and the distance between its rows. Nothing is checked.
C. BLAS takes `scale` and `keep` (its alpha and beta) as pointers: they are arrays of one number.
"""

from numba import types
from numba.extending import overload

from mongoose_nb.core.jit import inline

_N, _T = ord("n"), ord("t")


def _external(dtype):
    pointer, char, size = types.CPointer(dtype), types.char, types.intp
    return types.ExternalFunction("numba_xxgemm", types.intc(char, char, char, size, size, size, pointer, pointer, size, pointer, size,
                                                             pointer, pointer, size))


_SINGLE, _DOUBLE = (_external(types.float32), ord("s")), (_external(types.float64), ord("d"))


def _gemm(tb, ta, n, m, k, scale, B, ldb, A, lda, keep, out, ldc):
    raise NotImplementedError  # in kernels only


@overload(_gemm, inline="never")
def _gemm_of(tb, ta, n, m, k, scale, B, ldb, A, lda, keep, out, ldc):
    function, letter = _SINGLE if out.dtype == types.float32 else _DOUBLE

    def call(tb, ta, n, m, k, scale, B, ldb, A, lda, keep, out, ldc):
        function(letter, tb, ta, n, m, k, scale.ctypes, B.ctypes, ldb, A.ctypes, lda, keep.ctypes, out.ctypes, ldc)

    return call


@inline
def gemm(shape, A, a, lda, turn_a, B, b, ldb, turn_b, scale, keep, out, c, ldc):
    """out = scale * A @ B + keep * out, (m, k) @ (k, n) -> (m, n) with ``shape = (m, n, k)``.

    A begins at element `a` of its flat array, and its rows are `lda` apart; with `turn_a` it is stored as (k, m). Likewise B and out.
    BLAS counts by columns: it is asked for the transposed product.
    """
    m, n, k = shape
    _gemm(_T if turn_b else _N, _T if turn_a else _N, n, m, k, scale, B[b:], ldb, A[a:], lda, keep, out[c:], ldc)


@inline
def multiply(A, B, turn, scale, keep, out):
    """out = scale * A @ B + keep * out, or with `turn` A @ B.T; whole arrays of two axes without gaps."""
    gemm((out.shape[0], out.shape[1], A.shape[1]), A.reshape(-1), 0, A.shape[1], False, B.reshape(-1), 0, B.shape[1], turn, scale, keep,
         out.reshape(-1), 0, out.shape[1])
