"""What this machine can do at best, measured now: the denominators of every share of the limit.

Probes, on all threads: reading memory in a stream, reading random rows of a matrix, a step of Adam and one of RowAdam on random rows
of weights and moments, and a float32 matrix product. Rows are prefetched, as in the library: the probes are to be hard
to beat.
"""

import ctypes
import mmap
import time

import numba
import numpy as np
from numba import prange

from mongoose_nb.core.jit import parallel
from mongoose_nb.core.threads import one_blas_thread
from mongoose_nb.kernels.common.prefetch import prefetch_row, prefetch_state
from mongoose_nb.kernels.layers.dense import matmul
from mongoose_nb.kernels.layers.rows import ADAM, ROWADAM, step_row

AHEAD = 8


@parallel
def _read_rows(W, rows, out):
    n = rows.shape[0]
    T = out.shape[0]
    for t in prange(T):
        total = np.zeros(W.shape[1], np.float32)
        last = (t + 1) * n // T
        for q in range(t * n // T, last):
            if q + AHEAD < last:
                prefetch_row(W, rows[q + AHEAD])
            row = W[rows[q]]
            for d in range(W.shape[1]):
                total[d] += row[d]
        out[t] = total.sum()


@parallel
def _step_rows(kind, W, M, S, rows, g, hyper, T):
    n = rows.shape[0]
    for t in prange(T):
        last = (t + 1) * n // T
        for q in range(t * n // T, last):
            if q + AHEAD < last:
                prefetch_state(rows[q + AHEAD], W, M, S)
            row = rows[q]
            step_row(kind, hyper, W[row], M[row], S[row], g)


def _matrix(shape, huge):
    """Zeros on pages of 2 MB where `huge` and the kernel allow, on small pages otherwise."""
    size = int(np.prod(shape)) * 4
    area = mmap.mmap(-1, size + (2 << 20))
    if hasattr(mmap, "MADV_HUGEPAGE"):
        area.madvise(mmap.MADV_HUGEPAGE if huge else mmap.MADV_NOHUGEPAGE)
    offset = -ctypes.addressof(ctypes.c_char.from_buffer(area)) % (2 << 20)
    return np.frombuffer(area, np.float32, size // 4, offset).reshape(shape)


def _best(call, repeat=3):
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def measure(n_rows, width, huge=True, batch=256):
    """Limits for a layer of this shape.

    Returns
    -------
    dict
        ``stream_GB_s``; ``row_ns``, ``adam_row_ns`` and ``rowadam_row_ns``, time per row with all threads at work; ``gemm_GFLOP_s``.
    """
    threads = numba.get_num_threads()
    rng = np.random.default_rng(0)
    W, M, S = (_matrix((n_rows, width), huge) for _ in range(3))
    for array in (W, M, S):
        array += np.float32(0.1)
    row = np.full((n_rows, 1), 0.1, np.float32)
    rows = rng.integers(0, n_rows, 400_000).astype(np.int32)
    distinct = rng.permutation(n_rows)[:200_000].astype(np.int32)
    ordered = np.arange(n_rows, dtype=np.int32)
    out, g = np.zeros(threads, np.float32), np.ones(width, np.float32)
    hyper = np.array([1e-3, 0.9, 0.999, 1e-8, 1.0, 1.0, 1.0, 1.0], np.float32)
    A = rng.random((4096, width), np.float32)
    B = rng.random((width, 2048), np.float32)
    C = np.empty((4096, 2048), np.float32)
    with one_blas_thread():
        _read_rows(W, rows[:10], out)
        _step_rows(ADAM, W, M, S, distinct[:10], g, hyper, threads)
        matmul(A, B, C)
        return {
            "stream_GB_s": W.nbytes / _best(lambda: _read_rows(W, ordered, out)) / 1e9,
            "row_ns": _best(lambda: _read_rows(W, rows, out)) / len(rows) * 1e9,
            "adam_row_ns": _best(lambda: _step_rows(ADAM, W, M, S, distinct, g, hyper, threads)) / len(distinct) * 1e9,
            "rowadam_row_ns": _best(lambda: _step_rows(ROWADAM, W, M, row, distinct, g, hyper, threads)) / len(distinct) * 1e9,
            "gemm_GFLOP_s": 2 * A.shape[0] * width * B.shape[1] / _best(lambda: matmul(A, B, C)) / 1e9,
        }
