"""Make an inner product with a bias look like a cosine to a hash family: centred vectors and one coordinate more."""

from typing import Any

import numpy as np

# Length of the query's extra coordinate, in mean lengths of a centred query. Measured on a trained output layer (EURLEX57K, 4,271
# outputs, SimHash K=6 L=50, 200 candidates by votes): of the softmax mass off the labels, the candidates hold 0.14 and 0.36 after 1
# and 5 epochs without the coordinate, 0.24 and 0.51 at 0.5, 0.32 and 0.45 at 1, 0.29 and 0.28 at 2.
_WEIGHT = 0.7
# Rows that are made on the fly are summed so many at a time.
BLOCK = 1 << 16


class CenteredInnerProduct:
    """Rows ``[w - mean(w), c / a]`` and queries ``[h - mean(h), a]`` with the same order of inner products as ``w . h + b``.

    With ``c = (w - mean(w)) . mean(h) + b - mean(b)``, the inner product of the two is ``w . h + b`` up to a term that is the same
    for all rows. Activations of ReLU layers share one orthant, and so do the rows that answer to them: hashed as they are, most
    bits of a SimHash say nothing; and a hash that ignores the bias misses the popular outputs.

    Parameters
    ----------
    W : (n, d) float32
        An array, or rows that slices and lists of ids make on the fly.
    bias : (n,) float32
    query_mean : (d,) float32
        Mean of the queries to come.
    query_length : float
        Mean Euclidean length of the queries less their mean.
    extra : float, optional
        The queries' extra coordinate, where it is settled already; by default it follows from `query_length`.

    Attributes
    ----------
    shape : (n, d + 1)
        Shape of the transformed rows, which slices ``self[lo:hi]`` make on the fly.
    row_mean : (d,) float32
    bias_mean : float32
    """

    def __init__(self, W: np.ndarray, bias: np.ndarray, query_mean: np.ndarray, query_length: float, *, extra: float | None = None) -> None:
        from mongoose_nb.kernels.hashing.center import CHUNKS, sum_chunks

        self._W, self._bias = W, bias
        self.query_mean = np.array(query_mean, np.float32)
        if extra is None:
            extra = _WEIGHT * query_length if query_length > 0 else 1.0
        self.extra = np.float32(extra)
        total = np.zeros(W.shape[1])
        for lo in range(0, len(W), BLOCK if not isinstance(W, np.ndarray) else len(W)):  # rows may be made on the fly
            sums = np.empty((CHUNKS, W.shape[1]))
            sum_chunks(W if isinstance(W, np.ndarray) else W[lo:lo + BLOCK], sums)
            total += sums.sum(axis=0)
        self.row_mean = (total / len(W)).astype(np.float32)
        self.bias_mean = bias.mean(dtype=np.float32)
        self.shape = (W.shape[0], W.shape[1] + 1)

    def __getitem__(self, rows: Any) -> np.ndarray:
        """Transformed rows of a slice or an array of ids."""
        from mongoose_nb.kernels.hashing.center import center_rows

        w = self._W[rows]
        out = np.empty((len(w), self.shape[1]), np.float32)
        center_rows(w, self._bias[rows], self.row_mean, self.bias_mean, self.query_mean, self.extra, out)
        return out


def center_queries(H: np.ndarray, query_mean: np.ndarray, extra: float | None) -> np.ndarray:
    """Queries (n, d + 1) for rows transformed by a `CenteredInnerProduct` with this `query_mean` and `extra`."""
    out = np.empty((len(H), H.shape[1] + 1), np.float32)
    np.subtract(H, query_mean, out=out[:, :-1])
    out[:, -1] = extra
    return out
