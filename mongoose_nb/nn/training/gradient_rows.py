"""Rows by the gradients of the output layer (LGD): those of a label whose activations point away from its weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mongoose_nb.core.registry import make, register
from mongoose_nb.core.streams import stream
from mongoose_nb.core.validation import check_int
from mongoose_nb.nn.training.row_sampling import DrawnBatches

if TYPE_CHECKING:
    import scipy.sparse as sp


class _Found(NamedTuple):
    """Buckets of labels."""

    label: np.ndarray  # (u,) ascending
    code: np.ndarray  # (L, u) of the query
    low: np.ndarray  # (L, u) where its bucket begins
    size: np.ndarray  # (L, u)


# Labels of rows that are hashed at once.
BLOCK = 1 << 16


@register("batch sampler", "lgd")
class LGDBatches(DrawnBatches):
    """Rows with large gradients of the output layer, about, found by hash tables that are asked with its present weights.

    A row of label c has a large gradient where its logit of c is small. Tables hold the activations of all rows, as they were when these
    were last looked at, by label and SimHash code; of each label its mean activation is subtracted, which leaves the order of its rows. A
    draw takes a label in proportion to its rows, and a row in proportion to the number of tables in which it is in the bucket of the
    opposite of the label's present weights. This is the paper's query ``-theta`` for rows ``[h for label c]``, without vectors as long as
    all weights. Probabilities are exact for the tables at hand, whatever these hold, so that weighted losses have no bias.

    It takes 14 bytes for a label of a row and table. It pays where few rows have most of the gradient; `row_variance` measures that.

    Parameters
    ----------
    K, L : int
        Bits of a code, at most 16, and tables.
    uniform : float
        Share of the draws that are uniform, in (0, 1].
    refresh : int
        Epochs after which all rows are hashed again.

    References
    ----------
    Chen, Xu and Shrivastava, "Fast and accurate stochastic gradient estimation", NeurIPS 2019.
    """

    saved_state = ("_begun", "_looked", "_rows", "_codes")
    resizable = ("_codes",)

    def __init__(self, K: int = 2, L: int = 24, uniform: float = 0.3, refresh: int = 1) -> None:
        super().__init__(uniform, refresh)
        self.K, self.L = check_int("K", K, low=1, high=16), check_int("L", L, low=1)
        self._rows, self._codes = 0, np.zeros((0, self.L), np.uint16)

    def looked_at(self) -> int:
        """As `DrawnBatches.looked_at`."""
        return self._rows

    def _projected(self, vectors):
        """Rows of the width of the output layer under all functions, (n, L * K) float32."""
        functions = stream(self.seed, "functions of rows").standard_normal((vectors.shape[1], self.L * self.K)).astype(np.float32)
        return vectors @ functions

    def _codes_of(self, bits):
        return (bits.reshape(-1, self.L, self.K) @ (1 << np.arange(self.K)[::-1])).astype(np.uint16)

    def look(self, network: Any, X: sp.csr_matrix, Y: sp.csr_matrix) -> None:
        """As `DrawnBatches.look`: the codes of every label of every row."""
        from scipy import sparse

        z = self._projected(network.hidden_activations(X))
        ones = sparse.csr_matrix((np.ones(Y.nnz, np.float32), Y.indices, Y.indptr), shape=Y.shape)
        means = (ones.T @ z) / np.maximum(np.bincount(Y.indices, minlength=Y.shape[1]), 1)[:, None].astype(np.float32)
        row, self._codes, self._rows = np.repeat(np.arange(X.shape[0]), np.diff(Y.indptr)), np.empty((Y.nnz, self.L), np.uint16), X.shape[0]
        for lo in range(0, Y.nnz, BLOCK):
            some = slice(lo, lo + BLOCK)
            self._codes[some] = self._codes_of(z[row[some]] > means[Y.indices[some]])

    def prepare(self, X: sp.csr_matrix, Y: sp.csr_matrix) -> None:
        """As `DrawnBatches.prepare`: sort the rows of each label by code, for each table."""
        self._owner = np.repeat(np.arange(self.n), np.diff(Y.indptr))
        self._pointers, self._labels = Y.indptr, Y.indices.astype(np.int64)
        self._rows_of = np.bincount(self._labels, minlength=Y.shape[1])
        keys = (self._labels << self.K)[None, :] | self._codes.T.astype(np.int64)
        order = np.argsort(keys, axis=1, kind="stable")
        self._keys, self._order = np.take_along_axis(keys, order, axis=1), self._owner[order].astype(np.int32)

    def _look_up(self, network, labels):
        """Buckets of the opposite of the present weights of some labels."""
        label = np.unique(labels)
        code = self._codes_of(self._projected(-network.output.weights.value[label]) > 0).T.astype(np.int64)
        keys = (label << self.K)[None, :] | code
        low, high = (np.stack([np.searchsorted(own, key, side=side) for own, key in zip(self._keys, keys)]) for side in ("left", "right"))
        return _Found(label, code, low, high - low)

    def pick(self, network: Any, rng: np.random.Generator, size: int) -> np.ndarray:
        """As `DrawnBatches.pick`."""
        if not len(self._labels):
            return rng.integers(0, self.n, size)
        entry = rng.integers(0, len(self._labels), size)
        out = self._owner[entry]  # a row of its label, drawn uniformly: where no table has a bucket
        found = self._look_up(network, self._labels[entry])
        place = np.searchsorted(found.label, self._labels[entry])
        sums = np.cumsum(found.size, axis=0)[:, place]
        chosen = (rng.random(size) * sums[-1]).astype(np.int64)
        table = np.minimum((sums <= chosen).sum(axis=0), self.L - 1)
        chosen -= (sums - found.size[:, place])[table, np.arange(size)]
        some = sums[-1] > 0
        out[some] = self._order[table[some], found.low[table[some], place[some]] + chosen[some]]
        return out

    def picked(self, network: Any, rows: np.ndarray) -> np.ndarray:
        """As `DrawnBatches.picked`."""
        entries = len(self._labels)
        if not entries:
            return np.full(len(rows), 1.0 / self.n)
        count = self._pointers[rows + 1] - self._pointers[rows]
        owner = np.repeat(np.arange(len(rows)), count)
        entry = np.repeat(self._pointers[rows] - np.cumsum(count) + count, count) + np.arange(len(owner))
        label = self._labels[entry]
        found = self._look_up(network, label)
        place = np.searchsorted(found.label, label)
        votes, total = (self._codes[entry].T == found.code[:, place]).sum(axis=0), found.size.sum(axis=0)[place]
        own = np.where(total > 0, votes / np.maximum(total, 1), 1.0 / np.maximum(self._rows_of[label], 1))
        return np.bincount(owner, own * self._rows_of[label] / entries, len(rows))


def row_variance(network: Any, X: Any, Y: Any, batches: Any = "lgd", *, rows: int = 2048) -> float:
    """Mean square of a drawn row's weighted gradient in the output layer, beside that of a uniform row; below one, drawing pays.

    Parameters
    ----------
    network : Network
    X, Y
        As for `Network.fit`.
    batches : str or BatchSampler
        A sampler that draws, such as ``"lgd"`` or ``"hardness"``.
    rows : int
        Most rows on which it is measured; all outputs of these are computed.

    Returns
    -------
    float
    """
    from mongoose_nb.data.indicator import check_Y

    X = network.rows(X)
    Y = check_Y(Y, n_outputs=network.n_outputs, n_rows=X.shape[0])
    sampler = make("batch sampler", batches).bind(network.seed)
    if not isinstance(sampler, DrawnBatches):
        raise TypeError(f"batches must be a sampler that draws rows, such as 'lgd' or 'hardness'; got {batches!r}")
    sampler.begin(network, X, Y, (network.epoch, 0), False)
    chosen = stream(network.seed, "rows of the variance").permutation(X.shape[0])[:check_int("rows", rows, low=1)]
    h = network.hidden_activations(X[chosen]).astype(np.float64)
    logits = h @ network.output.weights.value[:].T.astype(np.float64) + network.output.bias.value
    labels = Y[chosen].toarray() > 0
    if network.output.loss_kind.logistic:
        slopes = 1 / (1 + np.exp(-logits)) - labels
    else:
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        slopes = np.where(labels.any(axis=1, keepdims=True), p / p.sum(axis=1, keepdims=True)
                          - labels / np.maximum(labels.sum(axis=1, keepdims=True), 1), 0.0)
    squares = np.square(slopes).sum(axis=1) * (1 + np.square(h).sum(axis=1))
    return float((squares / (X.shape[0] * sampler.probabilities(network, chosen))).mean() / max(squares.mean(), np.finfo(float).tiny))
