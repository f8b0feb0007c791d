"""Projection of rows onto a few main axes: the coordinates that are hashed, and the sketches that choose among candidates.

The metrics of vectors become one. Under the cosine, rows have length one. Under the inner product, a row gets one more coordinate,
``sqrt(M^2 - |x|^2)``, and a query is brought to the length M of the longest row: the least distance is then the largest product
(Bachrach et al., "Speeding up the Xbox recommender system", RecSys 2014). Then the mean is subtracted, since rows such as pixels lie in
one orthant and look alike to a hash of angles.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mongoose_nb.core.arrays import read_only
from mongoose_nb.core.validation import check_number
from mongoose_nb.search.columns import NARROW, ColumnTable
from mongoose_nb.search.rows.base import Batch, kernels

if TYPE_CHECKING:
    from mongoose_nb.hashing import HashFamily
    from mongoose_nb.search.rows import RowStore

MOST_COLUMNS = 1 << 17  # of wide sparse rows, in which axes have a part; the others count as lost
_WIDE = 1 << 14  # columns from which they are not made orthogonal between the steps
SAMPLE = 16384  # rows that the axes are learned from
_EXACT = 1024  # so many columns have a covariance matrix that is worth its price
WIDTHS = (63, 127)  # coordinates; with the lost length they fill cache lines
# Of the variance, from which a width will do. Near rows lose alike, but the largest product is not that of a near row: of the best 10
# by 129 weights trained on Gowalla, 0.40 are among 40 rows chosen by sketches of 63 coordinates, 0.99 with 127.
_ENOUGH, _ENOUGH_OF_PRODUCTS = 0.6, 0.95
_SHARE = 0.85  # of the projected variance, what a hash sees
# Least range of a coordinate beside the widest: what had no spread at all still has bytes, in which another kind of rows shows.
_NARROW, _NARROWEST = np.float32(1e-3), np.float32(1e-36)
# A query expects a row like it to have lost the same part to this degree. On EURLEX57K, where much is lost, recall@10 with 80 exact
# distances is 0.52 at 0, 0.68 at 0.3, 0.74 at 0.6 and 0.65 at 1; on MNIST it makes no difference.
LOST_SHARE = np.float32(0.5)
# Weight of the direction in which the rows spread that have large products with a query, beside that of the query. Recall@10 at 0, 0.25,
# 0.33 and 0.5: MNIST 0.84, 0.88, 0.88, 0.89; word vectors (GloVe) 0.69, 0.71, 0.71, 0.70; rows of 10 axes in 64 0.78, 0.88, 0.90, 0.92. The
# candidates become 1.3 times as many on MNIST, 1.2 and 1.5 times as many on the others.
AIM_SHARE = 0.33
_MOST = np.float64(np.finfo(np.float32).max) / 2  # scale of a query


def row_squares(batch: Batch, sparse: bool) -> np.ndarray:
    """Sums of squares (n,) float64 of checked rows, dense or CSR; in float32 they would overflow or vanish beyond 1e19 and 1e-19."""
    if not sparse:
        out = np.empty(len(batch))
        kernels().squares(batch, out)
        return out
    indptr, _, values = batch
    n = len(indptr) - 1
    return np.bincount(np.repeat(np.arange(n), np.diff(indptr)), values.astype(np.float64) ** 2, n)


def _columns(batch):
    """The columns of CSR rows that are not empty, ascending; of more than `MOST_COLUMNS` those with the largest sums of squares."""
    _, indices, values = batch
    columns, place = np.unique(indices, return_inverse=True)
    if len(columns) > MOST_COLUMNS:
        weight = np.bincount(place, values.astype(np.float64) ** 2, len(columns))
        columns = columns[np.sort(np.argsort(-weight, kind="stable")[:MOST_COLUMNS])]
    return columns.astype(np.int32) if len(columns) else np.zeros(1, np.int32)


class Projection:
    """Main axes of a sample of rows, and the steps of a sketch's bytes.

    Parameters
    ----------
    rows : RowStore
        Dense or sparse rows.
    slots : (n,) int64
        The rows to learn from, at most `SAMPLE`.
    longest : float
        Length of the longest row of all, for inner products.
    seed : int

    Attributes
    ----------
    width : int
        Bytes of a sketch.
    hashed : int
        How many coordinates a hash sees.
    spread : ndarray of shape (m,), float32, or None
        Variance of rows on each axis, in units of the largest, by which the queries of inner products are aimed; None for other metrics,
        and in files that were written before queries were aimed.
    """

    def __init__(self, rows: RowStore, slots: np.ndarray, longest: float, seed: int) -> None:
        from mongoose_nb.core.threads import one_blas_thread

        self.sparse = rows.sparse
        self.augmented = rows.metric.augmented
        self.longest = np.float32(longest if longest > 0 else 1)
        batch = rows.take(slots)
        self.columns = _columns(batch) if self.sparse and rows.width > NARROW else None
        with one_blas_thread():  # sums in one order, whatever the number of threads
            self._learn(self._matrix(batch, rows.width), np.random.default_rng(seed))
        Y, rest = self.project(batch)
        self._set_spread(Y)
        high = np.append(np.abs(Y).max(axis=0), rest.max()).astype(np.float32) * np.float32(1.1)
        widest = high.max() or np.float32(np.sqrt(self.mean_square)) or np.float32(1)  # equal rows; zeros
        self._set_steps(np.maximum(high, max(widest * _NARROW, _NARROWEST)) / np.float32(127))

    def _matrix(self, batch, dim):
        """The transformed rows, dense or CSR."""
        from scipy import sparse

        if not self.sparse:
            return np.column_stack([batch, self._extra(batch, False)]) if self.augmented else batch
        indptr, indices, values = batch
        if self.columns is not None:
            known = np.searchsorted(self.columns, indices)
            known[known == len(self.columns)] = 0
            inside = self.columns[known] == indices
            indptr = np.concatenate([[0], np.cumsum(inside)])[indptr]
            indices, values, dim = known[inside], values[inside], len(self.columns)
        X = sparse.csr_matrix((values, indices, indptr), shape=(len(indptr) - 1, dim))
        return sparse.hstack([X, sparse.csr_matrix(self._extra(batch, False)[:, None])], "csr") if self.augmented else X

    def _learn(self, X, rng):
        n, D = X.shape
        largest = float(abs(X).max()) if n else 0.0
        unit = np.float32(2.0 ** -np.frexp(largest)[1]) if largest else np.float32(1)  # squares fit; a power of two rounds nothing
        X = X * unit
        self.mean = np.asarray(X.mean(axis=0), np.float32).ravel()
        if self.sparse:
            total = float((X.multiply(X)).sum()) / n - float(self.mean @ self.mean)
        else:
            X -= self.mean
            total = float(np.einsum("ij,ij->", X, X)) / n
        most, enough = min(D, n), _ENOUGH_OF_PRODUCTS if self.augmented else _ENOUGH
        if D <= _EXACT and not self.sparse:
            values, axes = np.linalg.eigh((X.T @ X).astype(np.float64) / n)
            values, axes = values[::-1], axes[:, ::-1]
        else:
            values, axes = self._sketched_axes(X, min(most, WIDTHS[-1]) + 10, rng)
        m = next(m for m in (*WIDTHS, D) if m >= D or m == WIDTHS[-1] or values[:m].sum() >= enough * total)
        m = min(m, D)
        if m > axes.shape[1]:  # fewer rows than axes: any will do
            axes, _ = np.linalg.qr(np.column_stack([axes, rng.standard_normal((D, m - axes.shape[1]))]))
        self.mean = self.mean / unit
        self.axes = np.ascontiguousarray(axes[:, :m], np.float32)
        held = np.cumsum(np.maximum(values[:m], 0))
        enough = int(np.searchsorted(held, _SHARE * held[-1])) + 1 if held[-1] > 0 else m
        self.hashed = min(m, max(16, -(-enough // 8) * 8))
        self._derive()

    def _sketched_axes(self, X, m, rng):
        """Leading axes by subspace iteration (Halko, Martinsson and Tropp 2011, algorithm 4.4)."""
        mean = self.mean if self.sparse else None

        def times(B):
            out = X @ B
            return out if mean is None else out - mean @ B

        def transposed(B):
            out = X.T @ B
            return out if mean is None else out - np.outer(mean, B.sum(axis=0))

        wide = X.shape[1] > _WIDE
        start = rng.standard_normal((X.shape[1], m), np.float32) if wide else rng.standard_normal((X.shape[1], m)).astype(np.float32)
        basis = np.linalg.qr(times(start))[0]
        del start
        for _ in range(4):
            other = transposed(basis)
            basis = np.linalg.qr(times(other if wide else np.linalg.qr(other)[0]))[0]
        if wide:  # by the small matrix of products; an SVD of all columns would take longer than all before
            other = transposed(basis)
            values, turn = np.linalg.eigh((other.T @ other).astype(np.float64))
            values, turn = np.maximum(values[::-1], 0), turn[:, ::-1]
            lengths = np.sqrt(values)
            kept = lengths > 1e-5 * lengths[0]
            axes = other @ (turn * np.where(kept, 1 / np.where(kept, lengths, 1), 0)).astype(np.float32)
            return values / X.shape[0], axes
        _, values, axes = np.linalg.svd(transposed(basis).T, full_matrices=False)
        return values.astype(np.float64) ** 2 / X.shape[0], axes.T

    def _derive(self):
        self.mean, self.axes = read_only(self.mean), read_only(self.axes)
        self.mean_square = np.float32(self.mean @ self.mean)
        self.mean_axes = read_only(self.mean @ self.axes)
        self.width = -(-(self.axes.shape[1] + 1) // 64) * 64
        self._table = ColumnTable(self.columns)

    def _set_steps(self, steps):
        weight = np.zeros(self.width, np.float32)
        weight[:len(steps)] = steps
        with np.errstate(divide="ignore"):
            self.inverse = read_only(np.where(weight > 0, 1 / weight, 0).astype(np.float32))
        unit = np.float32(2.0 ** -np.frexp(float(weight.max()))[1])  # weights compare coordinates; their squares have to fit
        self.steps, self.weight = steps.astype(np.float32), read_only((weight * unit) ** 2)

    def _set_spread(self, Y):
        self.spread = None
        if self.augmented:
            variance = Y.var(axis=0, dtype=np.float64)
            self.spread = read_only((variance / (variance.max() or 1.0)).astype(np.float32))

    def _extra(self, batch, queries):
        """What stands in the coordinate that an inner product gets in addition; rows beyond the longest have 0 there."""
        if queries:
            return np.zeros(len(batch[0]) - 1 if self.sparse else len(batch), np.float32)
        return np.sqrt(np.maximum(float(self.longest) ** 2 - row_squares(batch, self.sparse), 0)).astype(np.float32)

    def project(self, batch: Batch, queries: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Coordinates Y (n, m) and the lengths (n,) of what is lost."""
        n = len(batch[0]) - 1 if self.sparse else len(batch)
        Y, rest = np.empty((n, self.axes.shape[1]), np.float32), np.empty(n, np.float32)
        if self.augmented:
            scale, extra = np.ones(n, np.float32), self._extra(batch, queries)
            if queries:
                length = np.sqrt(row_squares(batch, self.sparse))
                scale = np.divide(self.longest, length, out=np.ones(n), where=length > 0)
                scale = np.minimum(scale, _MOST).astype(np.float32)
        else:
            scale, extra = np.ones(n, np.float32), np.zeros(n, np.float32)
        if self.sparse:
            kernels().project_csr(batch, scale, extra, self.mean, self.mean_square, self.mean_axes, self.axes, self._table.parts, Y, rest)
        else:
            kernels().project_dense(batch, scale, extra, self.mean, self.axes, Y, rest)
        return Y, rest

    def aim(self, Y: np.ndarray) -> np.ndarray:
        """What is hashed of queries with coordinates Y (n, m): for inner products, directions (n, m) towards the rows that answer them;
        for distances, Y."""
        if self.spread is None:
            return Y
        out = np.empty_like(Y)
        kernels().aim_queries(Y, self.mean_axes, self.spread, np.float64(self.longest), AIM_SHARE, out)
        return out

    def sketch(self, Y: np.ndarray, rest: np.ndarray) -> tuple[np.ndarray, int]:
        """Sketches (n, width) int8, and how many rows are far outside of their range."""
        out = np.zeros((len(Y), self.width), np.int8)
        return out, kernels().sketch_rows(Y, rest, self.inverse, out)

    def place(self, batch: Batch, slots: np.ndarray, sketches: np.ndarray, family: HashFamily, fold: int) -> tuple[np.ndarray, int]:
        """Write the sketches of a few dense rows into their slots.

        Returns
        -------
        codes : ndarray of shape (L, n), uint32
            Bucket numbers by the `sign_functions` of the family; `fold` bits of a product are dropped where it is not 0.
        strange : int
            How many rows the functions were not made for; see `strange`.
        """
        codes = np.empty((family.L, len(slots)), np.uint32)
        return codes, kernels().place_dense(batch, slots, self.longest, self.mean, self.axes, self.inverse, family.sign_functions,
                                            family.K, fold, sketches, codes)

    def strange(self, batch: Batch) -> tuple[int, int, float]:
        """How many rows of a batch are far outside of the range of sketches, how many are longer than `longest`, which inner products need
        to be a bound, and the square of the length of the longest in units of `longest`; for other metrics 0 and 0."""
        return self.sketch(*self.project(batch))[1], *self.lengths(batch)

    def lengths(self, batch: Batch) -> tuple[int, float]:
        """The last two numbers of `strange`."""
        if not self.augmented:
            return 0, 0.0
        squares = row_squares(batch, self.sparse) / np.float64(self.longest) ** 2
        return int((squares > kernels().LONGER).sum()), float(squares.max(initial=0))

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return self.mean.nbytes + self.axes.nbytes + self._table.nbytes

    def state(self) -> dict:
        """What `from_state` needs; nothing is copied."""
        return {"sparse": self.sparse, "augmented": self.augmented, "longest": float(self.longest), "hashed": self.hashed,
                "mean": self.mean, "axes": self.axes, "steps": self.steps, **({} if self.columns is None else {"columns": self.columns}),
                **({} if self.spread is None else {"spread": self.spread})}

    @classmethod
    def from_state(cls, state: dict) -> Projection:
        """The projection whose `state` this is; ValueError where its parts do not fit each other."""
        self = cls.__new__(cls)
        self.sparse, self.augmented = state["sparse"] is True, state["augmented"] is True
        self.columns = None if state.get("columns") is None else np.array(state["columns"])
        self.longest, self.hashed = np.float32(check_number("longest", state["longest"])), int(state["hashed"])
        self.mean, self.axes, steps = np.array(state["mean"]), np.array(state["axes"]), np.array(state["steps"])
        if (self.axes.ndim != 2 or self.mean.shape != self.axes.shape[:1] or steps.shape != (self.axes.shape[1] + 1,)
                or not 1 <= self.hashed <= self.axes.shape[1] or {self.mean.dtype, self.axes.dtype, steps.dtype} != {np.dtype("f4")}):
            raise ValueError("the saved projection's arrays do not fit each other")
        if self.columns is not None and (self.columns.dtype != np.int32 or self.columns.ndim != 1 or (np.diff(self.columns) <= 0).any()
                                         or len(self.columns) + self.augmented != len(self.mean)
                                         or (self.columns.size and self.columns[0] < 0)):
            raise ValueError("the saved columns do not fit the saved projection")
        self.spread = None if state.get("spread") is None else read_only(np.array(state["spread"]))
        if self.spread is not None and (self.spread.shape != steps[1:].shape or self.spread.dtype != np.float32
                                        or not ((self.spread >= 0) & (self.spread <= 1)).all()):
            raise ValueError("the saved spread of rows does not fit the saved projection")
        self._derive()
        self._set_steps(steps)
        return self
