"""Structured matrices entry by entry, in loops."""

import numpy as np


def monarch(L, R):
    """The matrix of the factors (J, rows, rank * K) and (K, J * rank, columns)."""
    J, rows, inner = L.shape
    K, _, columns = R.shape
    rank = inner // K
    out = np.zeros((J * rows, K * columns), np.result_type(L, R))
    for j in range(J):
        for k in range(K):
            for row in range(rows):
                for i in range(columns):
                    for r in range(rank):
                        out[row * J + j, k * columns + i] += L[j, row, r * K + k] * R[k, j * rank + r, i]
    return out


def butterfly_blocks(n, size):
    """Places (i, j) of a flat butterfly of n by n blocks."""
    places = {(i, i) for i in range(n)}
    stride = 1
    while stride < size:
        places |= {(i, i ^ stride) for i in range(n)}
        stride *= 2
    return places


def blocks(values, mask, shape, block):
    """The matrix with these blocks, in order of rows, where the mask is set."""
    whole = np.zeros((mask.shape[0] * block, mask.shape[1] * block))
    for value, (i, j) in zip(values, np.argwhere(mask)):
        whole[i * block:(i + 1) * block, j * block:(j + 1) * block] = value
    return whole[:shape[0], :shape[1]]
