"""Feature steps that are fitted on training rows and saved: tf-idf, logarithms of counts, rows of length one, columns of
one scale.

::

    step = TfIdf().fit(X)           X: CSR, or dense
    rows = step.transform(X_new)    CSR float32 from CSR, dense from dense
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mongoose_nb.core.arrays import Rows
from mongoose_nb.core.registry import Registered, fresh, make, register
from mongoose_nb.core.saving import Stateful

if TYPE_CHECKING:
    import scipy.sparse as sp

    Matrix = np.ndarray | sp.csr_matrix


# Largest whole number that is taken for a count.
MOST_COUNTED = 1000


class Features(Registered, Stateful, kind="features"):
    """A step that turns rows into other rows of the same width.

    A step of your own overrides `apply`, and `learn` where it learns something; it names in `saved_state` what that is.
    """

    saved_state = ("n_features",)
    #: number of columns, 0 before `fit`
    n_features = 0

    def fit(self, X: Matrix) -> Features:
        """Learn from training rows.

        Parameters
        ----------
        X : (n, d) CSR or dense

        Returns
        -------
        Features
            self
        """
        from mongoose_nb.data.validate import check_X

        X = check_X(X)
        self.learn(X)
        self.n_features = X.shape[1]
        return self

    def transform(self, X: Matrix) -> Matrix:
        """Rows in the new form.

        Parameters
        ----------
        X : (n, d) CSR or dense

        Returns
        -------
        (n, d) float32
            CSR or dense, as `X`. The rows that were given stay as they are.

        Raises
        ------
        ValueError
            Before `fit`, or for another width, or for values that the step cannot take.
        """
        from scipy import sparse

        from mongoose_nb.data.validate import check_X

        if not self.n_features:
            raise ValueError(f"{self!r} is not fitted: call fit first")
        rows = check_X(X, n_features=self.n_features)
        out = self.apply(rows)
        return out if sparse.issparse(X) else out.toarray()

    def learn(self, X: sp.csr_matrix) -> None:
        """Learn from canonical CSR rows; nothing by default."""

    def apply(self, X: sp.csr_matrix) -> sp.csr_matrix:
        """The new form of canonical CSR rows, as a matrix of its own or `X` itself."""
        raise NotImplementedError  # abstract


def unit_rows(X: sp.csr_matrix) -> sp.csr_matrix:
    """CSR rows scaled to length one; rows of zeros stay.

    Parameters
    ----------
    X : (n, d) CSR

    Returns
    -------
    (n, d) CSR float32
    """
    counts = np.diff(X.indptr)
    row = np.repeat(np.arange(X.shape[0]), counts)
    length = np.sqrt(np.bincount(row, X.data.astype(np.float64) ** 2, X.shape[0]))
    length[length == 0] = 1
    return _with_values(X, X.data / np.repeat(length, counts))


def _with_values(X, values):
    from scipy import sparse

    return sparse.csr_matrix((values.astype(np.float32), X.indices, X.indptr), shape=X.shape)


def _logarithms(X, step):
    if X.nnz and X.data.min() < 0:
        raise ValueError(f"{step!r} takes counts, and X has negative values; use features='unit'")
    return np.log1p(X.data.astype(np.float64))


@register("features", "none")
class NoFeatures(Features):
    """The rows as they are."""

    def apply(self, X: sp.csr_matrix) -> sp.csr_matrix:
        """As `Features.apply`."""
        return X


@register("features", "unit")
class UnitRows(Features):
    """Rows of length one."""

    def apply(self, X: sp.csr_matrix) -> sp.csr_matrix:
        """As `Features.apply`."""
        return unit_rows(X)


@register("features", "log")
class LogCounts(Features):
    """log(1 + count), in rows of length one."""

    def apply(self, X: sp.csr_matrix) -> sp.csr_matrix:
        """As `Features.apply`."""
        return unit_rows(_with_values(X, _logarithms(X, self)))


@register("features", "tfidf")
class TfIdf(Features):
    """Counts times inverse document frequency, in rows of length one.

    The factor of a feature is ``log((1 + n) / (1 + rows that have it)) + 1``, as in scikit-learn.

    Parameters
    ----------
    sublinear : bool
        Take log(1 + count) in place of the count.

    Attributes
    ----------
    idf : (n_features,) float32
    """

    saved_state = ("n_features", "idf")
    resizable = ("idf",)

    def __init__(self, sublinear: bool = False) -> None:
        self.sublinear = bool(sublinear)
        self.idf = np.zeros(0, np.float32)

    def learn(self, X: sp.csr_matrix) -> None:
        """Count the rows that have each feature."""
        rows = np.bincount(X.indices[X.data != 0], minlength=X.shape[1])
        self.idf = (np.log((1 + X.shape[0]) / (1 + rows)) + 1).astype(np.float32)

    def state_restored(self) -> None:
        """Check that there is a factor for each feature."""
        if self.idf.shape != (self.n_features,) or not np.isfinite(self.idf).all():
            raise ValueError(f"the saved idf has shape {self.idf.shape} for {self.n_features} features, or is not finite")

    def apply(self, X: sp.csr_matrix) -> sp.csr_matrix:
        """As `Features.apply`."""
        values = _logarithms(X, self) if self.sublinear else X.data
        return unit_rows(_with_values(X, values * self.idf[X.indices]))


@register("features", "standard")
class StandardColumns(Features):
    """Columns of one scale, whatever their units: mean 0 and standard deviation 1 where most rows have the column.

    The other columns stay sparse: their values are divided by the root of the mean square of those that are not zero. A column of ones and
    zeros stays as it is.

    Attributes
    ----------
    mean, scale : (n_features,) float64
        What is subtracted, 0 for a sparse column, and what is divided by.
    dense : (n_features,) bool
        Columns that most training rows have.
    """

    saved_state = ("n_features", "mean", "scale", "dense")
    resizable = ("mean", "scale", "dense")

    def __init__(self) -> None:
        self.mean, self.scale, self.dense = np.zeros(0), np.zeros(0), np.zeros(0, bool)

    def learn(self, X: sp.csr_matrix) -> None:
        """Take means and scales."""
        n, values = X.shape[0], X.data.astype(np.float64)

        def totals(of):
            return np.bincount(X.indices, of, X.shape[1])

        count = totals(values != 0)
        self.dense = count > n / 2
        self.mean = np.where(self.dense, totals(values) / n, 0.0)
        apart = values - self.mean[X.indices]
        squares = totals(apart ** 2) + np.where(self.dense, n - totals(np.ones(len(values))), 0) * self.mean ** 2
        scale = np.sqrt(squares / np.where(self.dense, n, np.maximum(count, 1)))
        self.scale = np.where(scale > 1e-7 * np.abs(self.mean), scale, 1.0)  # a constant column becomes zeros
        self.scale[self.scale == 0] = 1.0

    def state_restored(self) -> None:
        """Check that there are numbers for each feature."""
        shapes = {self.mean.shape, self.scale.shape, self.dense.shape}
        if shapes != {(self.n_features,)} or not np.isfinite(self.mean).all() or not (np.isfinite(self.scale) & (self.scale > 0)).all():
            raise ValueError(f"the saved means and scales do not fit {self.n_features} features, or are not finite")

    def apply(self, X: sp.csr_matrix) -> sp.csr_matrix:
        """As `Features.apply`."""
        from scipy import sparse

        columns = np.flatnonzero(self.dense)
        place = np.cumsum(self.dense) - 1
        row, there = np.repeat(np.arange(X.shape[0]), np.diff(X.indptr)), self.dense[X.indices]
        block = np.zeros((X.shape[0], len(columns)))
        block[row[there], place[X.indices[there]]] = X.data[there]
        block = (block - self.mean[columns]) / self.scale[columns]
        row, ids = row[~there], X.indices[~there]
        values = X.data[~there] / self.scale[ids]
        count = np.bincount(row, minlength=X.shape[0]) + len(columns)
        row = np.concatenate([np.repeat(np.arange(X.shape[0]), len(columns)), row])
        ids = np.concatenate([np.tile(columns, X.shape[0]), ids]).astype(np.int32)
        values = np.concatenate([block.ravel(), values]).astype(np.float32)
        if len(row) > block.size:
            order = np.lexsort((ids, row))
            ids, values = ids[order], values[order]
        return sparse.csr_matrix((values, ids, np.concatenate([[0], np.cumsum(count)])), shape=X.shape)


def has_dense_columns(X: sp.csr_matrix) -> bool:
    """Whether columns that most rows have make up a table: most of the entries that are not zero, or measured numbers beside categories.

    Numbers are measured where some are negative, or where they are no counts (not whole, or above 1,000) and outweigh everything else:
    words that most texts have are counts, or light.

    Parameters
    ----------
    X : (n, d) CSR
    """
    there, n_columns = X.data != 0, X.shape[1]
    count = np.bincount(X.indices[there], minlength=n_columns)
    dense = count > X.shape[0] / 2
    if 2 * count[dense].sum() > count.sum():
        return True
    values = X.data.astype(np.float64)
    if (np.bincount(X.indices[values < 0], minlength=n_columns)[dense] > 0).any():
        return True
    other = np.bincount(X.indices[(values != np.floor(values)) | (values > MOST_COUNTED)], minlength=n_columns) > 0
    weight = np.bincount(X.indices, values ** 2, n_columns)
    return bool(2 * weight[dense & other].sum() > weight.sum() and not _equally_long(X))


def _equally_long(X):
    """Whether all rows that are not empty have one length: whoever made them so has weighted them."""
    lengths = np.sqrt(np.add.reduceat(np.append(X.data.astype(np.float64) ** 2, 0.0), X.indptr[:-1])[np.diff(X.indptr) > 0])
    return bool(len(lengths) and np.ptp(lengths) <= 1e-3 * lengths.max())


def transform_batch(step: Features, x: Rows) -> Rows:
    """The rows of a batch in the new form.

    Parameters
    ----------
    step : Features
        Fitted.
    x : Rows

    Returns
    -------
    Rows
    """
    from scipy import sparse

    _, place = x.places()
    indptr = np.concatenate([[0], np.cumsum(x.count)])
    return Rows.of(step.apply(sparse.csr_matrix((x.values[place], x.ids[place], indptr), shape=(len(x), step.n_features))))


def make_features(features: Any) -> Features:
    """A step that is not fitted yet.

    Parameters
    ----------
    features : str, dict or Features
        A registered name, such as ``"tfidf"``, a description, or a step, of which a new one is made.

    Returns
    -------
    Features
    """
    return fresh(make("features", features))
