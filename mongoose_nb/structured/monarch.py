"""Monarch matrices: two factors of blocks along the diagonal around a stride permutation, and the nearest one to any matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mongoose_nb.structured.layout import MonarchLayout, layout_of


class MonarchMatrix:
    """``M[l * J + j, k * C + i] = sum over r of L[j, l, r * K + k] * R[k, j * rank + r, i]``.

    Rows of the same j (strided) and columns of the same k (contiguous) form a part of rank `rank`. With n rows and columns in sqrt(n)
    groups, and rank 1, it has 2 n sqrt(n) parameters.

    Parameters
    ----------
    L : (J, rows, rank * K) array
    R : (K, J * rank, columns) array
    shape : (int, int), optional
        Rows and columns, where the matrix is cut from one of J * rows by K * columns.
    transposed : bool
        Whether the object stands for the transposed matrix, of columns by rows.

    Attributes
    ----------
    L, R : np.ndarray
    dtype : np.dtype
    n_params : int
        Numbers in L and R.

    References
    ----------
    Dao et al., "Monarch: Expressive structured matrices for efficient and accurate training", ICML 2022.

    Examples
    --------
    >>> import numpy as np
    >>> from mongoose_nb.structured import monarch_project
    >>> M, error = monarch_project(np.kron(np.eye(4), np.ones((4, 4))))
    >>> M.n_params, round(error, 6)
    (128, 0.0)
    """

    __array_ufunc__ = None  # an array on the left of @ asks __rmatmul__

    def __init__(self, L: Any, R: Any, shape: tuple[int, int] | None = None, transposed: bool = False) -> None:
        L, R = np.asarray(L), np.asarray(R)
        for name, factor in (("L", L), ("R", R)):
            if factor.ndim != 3 or factor.dtype.kind not in "fc":
                raise ValueError(f"{name} must be an array of real or complex numbers with three axes; got {factor.dtype} of shape "
                                 f"{factor.shape}")
        J, rows, inner = L.shape
        K, middle, columns = R.shape
        if min(*L.shape, *R.shape) < 1 or middle % J or inner % K or middle // J != inner // K:
            raise ValueError(f"L (J, rows, rank * K) and R (K, J * rank, columns) do not fit: got shapes {L.shape} and {R.shape}")
        whole = J * rows, K * columns
        self.L, self.R = L, R
        self._cut = whole if shape is None else (int(shape[0]), int(shape[1]))
        if not (0 < self._cut[0] <= whole[0] and 0 < self._cut[1] <= whole[1]):
            raise ValueError(f"shape must be at most {whole}, what the factors give; got {shape!r}")
        self.transposed = bool(transposed)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self._cut[::-1] if self.transposed else self._cut

    @property
    def layout(self) -> MonarchLayout:
        """The sizes of the factors."""
        K, middle, columns = self.R.shape
        return MonarchLayout(K, columns, self.L.shape[0], self.L.shape[1], middle // self.L.shape[0])

    @property
    def dtype(self) -> np.dtype:
        """That of products with it."""
        return np.result_type(self.L, self.R)

    @property
    def n_params(self) -> int:
        """Numbers in both factors."""
        return self.L.size + self.R.size

    @property
    def T(self) -> MonarchMatrix:
        """The transposed matrix, on the same factors."""
        return MonarchMatrix(self.L, self.R, self._cut, not self.transposed)

    def __matmul__(self, other: Any) -> np.ndarray:
        """Product with a vector or with the columns of a matrix."""
        other = np.asarray(other)
        if other.ndim not in (1, 2) or other.shape[0] != self.shape[1] or other.dtype.kind not in "biufc":
            raise ValueError(f"a matrix of shape {self.shape} needs a vector of {self.shape[1]} numbers, or a matrix of so many rows, on "
                             f"the right of @; got {other.dtype} of shape {other.shape}")
        columns = other if other.ndim == 2 else other[:, None]
        out = (self._multiply_transposed if self.transposed else self._multiply)(columns)[:self.shape[0]]
        return out if other.ndim == 2 else out[:, 0]

    def __rmatmul__(self, other: Any) -> np.ndarray:
        """Product with the rows of a matrix."""
        other = np.asarray(other)
        if other.ndim not in (1, 2) or other.shape[-1] != self.shape[0] or other.dtype.kind not in "biufc":
            raise ValueError(f"a matrix of shape {self.shape} needs rows of {self.shape[0]} numbers on the left of @; got {other.dtype} of "
                             f"shape {other.shape}")
        return (self.T @ other.T).T

    def _multiply(self, x):  # (columns, m) -> (rows, m)
        K, C, J, rows, rank = self.layout
        m = x.shape[1]
        u = np.matmul(self.R, _padded(x, K * C).reshape(K, C, m))
        u = u.reshape(K, J, rank, m).transpose(1, 2, 0, 3).reshape(J, rank * K, m)
        return np.matmul(self.L, u).transpose(1, 0, 2).reshape(rows * J, m)

    def _multiply_transposed(self, y):
        K, C, J, rows, rank = self.layout
        m = y.shape[1]
        u = np.matmul(self.L.transpose(0, 2, 1), _padded(y, rows * J).reshape(rows, J, m).transpose(1, 0, 2))
        u = u.reshape(J, rank, K, m).transpose(2, 0, 1, 3).reshape(K, J * rank, m)
        return np.matmul(self.R.transpose(0, 2, 1), u).reshape(K * C, m)

    def to_dense(self) -> np.ndarray:
        """The matrix as an array."""
        K, C, J, rows, rank = self.layout
        dense = np.einsum("jlrk,kjri->ljki", self.L.reshape(J, rows, rank, K), self.R.reshape(K, J, rank, C), optimize=True)
        dense = dense.reshape(rows * J, K * C)
        if self.transposed:
            dense = dense.T
        return np.ascontiguousarray(dense[:self.shape[0], :self.shape[1]])

    def __repr__(self) -> str:
        K, _, J, _, rank = self.layout
        return f"MonarchMatrix({self.shape[0]} x {self.shape[1]}, {J} x {K} groups, rank {rank}, {self.n_params:,} parameters)"


def _padded(x, n):
    return x if len(x) == n else np.concatenate([x, np.zeros((n - len(x), *x.shape[1:]), x.dtype)])


def monarch_project(A: Any, blocks: int | Sequence[int] | None = None, rank: int | None = 1) -> tuple[MonarchMatrix, float]:
    """The Monarch matrix that is nearest to a matrix in the Frobenius norm.

    The parts of a pair of groups do not overlap, so that each is approximated alone, by its leading singular vectors (Dao et al., 2022,
    section 3.3): no other Monarch matrix of this layout is nearer.

    Parameters
    ----------
    A : (n_outputs, n_inputs) array
        Real or complex; integers count as float64.
    blocks : int or (int, int), optional
        Groups of rows and of columns, which are the numbers of blocks of L and of R; by default near the square roots. Where they do not
        divide the shape the last groups are smaller. At a given rank, more blocks have more parameters, 2 n blocks rank of n rows and
        columns, and are nearer.
    rank : int or None
        Of the part of a pair of groups. None, as `nn.Monarch` has it and the paper's matrices of b blocks: as many values between the
        factors as the smaller of rows and columns. Then fewer blocks have more parameters, 2 n n / blocks.

    Returns
    -------
    M : MonarchMatrix
    error : float
        ``norm(A - M) / norm(A)`` in the Frobenius norm, from the singular values that were left out; 0 for a matrix of zeros.

    Raises
    ------
    ValueError
        For an array that is no matrix of finite numbers, or blocks and ranks that do not fit.
    """
    A = np.asarray(A)
    if A.ndim != 2 or 0 in A.shape or A.dtype.kind not in "biufc":
        raise ValueError(f"A must be a matrix of numbers with a row and a column at least; got {A.dtype} of shape {A.shape}")
    A = A.astype(np.result_type(A, np.float32) if A.dtype.kind in "fc" else np.float64, copy=False)
    if not np.isfinite(A).all():
        raise ValueError("A must be finite; it has NaN or infinite entries")
    layout = layout_of(A.shape[0], A.shape[1], blocks, rank)
    K, C, J, rows, rank = layout
    whole = np.zeros((rows * J, K * C), A.dtype)
    whole[:A.shape[0], :A.shape[1]] = A
    scale = float(np.abs(whole).max())
    if scale == 0.0:
        return MonarchMatrix(np.zeros(layout.left_shape, A.dtype), np.zeros(layout.right_shape, A.dtype), A.shape), 0.0
    parts = (whole / scale).reshape(rows, J, K, C).transpose(1, 2, 0, 3)  # (J, K, rows, columns); no square overflows
    u, s, vh = np.linalg.svd(parts, full_matrices=False)
    root = np.sqrt(s[..., :rank] * np.asarray(scale, s.dtype))
    left = (u[..., :rank] * root[..., None, :]).transpose(0, 2, 3, 1)  # (J, rows, rank, K)
    right = (root[..., None] * vh[..., :rank, :]).transpose(1, 0, 2, 3)  # (K, J, rank, columns)
    kept, lost = (float(np.square(part, dtype=np.float64).sum()) for part in (s[..., :rank], s[..., rank:]))
    L, R = (np.ascontiguousarray(factor, A.dtype).reshape(shape)
            for factor, shape in ((left, layout.left_shape), (right, layout.right_shape)))
    return MonarchMatrix(L, R, A.shape), float(np.sqrt(lost / (kept + lost)))
