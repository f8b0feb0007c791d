"""What the transforms of `mongoose_nb.hashing.transforms` share: the scale, the rows and the state."""

import abc
from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from mongoose_nb.core.registry import Registered, find, name_of
from mongoose_nb.core.validation import check_number
from mongoose_nb.hashing.arguments import as_count
from mongoose_nb.hashing.rows import check_csr, check_finite, dense_rows, is_sparse

_FORMAT = 1


class InnerProductTransform(Registered, abc.ABC, kind="inner-product transform"):
    """What the transforms share: fit, data, query, similarity and state. See the subclasses.

    Parameters
    ----------
    headroom : float, default 1.0
        Factor, at least 1, by which rows added later may be longer than the longest one that `fit` saw.
    """

    #: longest row after scaling
    bound = 1.0
    #: coordinates that are added
    extra: Any = 1

    def __init__(self, *, headroom: float = 1.0) -> None:
        self.headroom = check_number("headroom", headroom, low=1)
        self._input_dim: Any = None
        self._scale = None  # rows are divided by it

    @property
    def dim(self) -> int:
        """Number of coordinates of a transformed row, the `dim` of the hash family; known after `fit`."""
        self._check_fitted()
        return self._input_dim + self.extra

    @property
    def scale(self) -> Any:
        """What rows are divided by; known after `fit`."""
        self._check_fitted()
        return self._scale

    def fit(self, X: Any) -> Self:
        """Learn the scale from data rows.

        Parameters
        ----------
        X : array_like of shape (n, d), or CSR

        Returns
        -------
        self
        """
        X = _rows(X, None)
        if not X.shape[0]:
            raise ValueError("X has no rows to learn the scale from")
        self._input_dim = X.shape[1]
        self._fit(lengths(X))
        return self

    def data(self, X: Any) -> Any:
        """Transform data rows, to be stored.

        Parameters
        ----------
        X : array_like of shape (n, d) or (d,), or CSR

        Returns
        -------
        (n, dim) float32
            CSR if `X` was.

        Raises
        ------
        ValueError
            If a row is longer than the scale allows: fit again, or with headroom.
        """
        X = self._checked(X)
        norm = lengths(X)
        factor = self._factors(norm)
        return _extend(X, factor, self._data_tail(np.minimum(norm * factor, self.bound)))

    def query(self, Q: Any) -> Any:
        """Transform queries, to be looked up.

        Parameters
        ----------
        Q : array_like of shape (n, d) or (d,), or CSR

        Returns
        -------
        (n, dim) float32
            CSR if `Q` was. A query of zeros stays one, apart from what is added.
        """
        Q = self._checked(Q)
        norm = lengths(Q)
        return _extend(Q, 1 / np.where(norm == 0, 1.0, norm), np.tile(self._query_tail(), (Q.shape[0], 1)))

    @abc.abstractmethod
    def similarity(self, inner_product: Any, norm: Any = None) -> Any:
        """What the hash family sees, a cosine or a distance.

        Parameters
        ----------
        inner_product : float or array_like
            Of a data row and a query scaled to length 1.
        norm : float or array_like, optional
            Length of the data row; the longest there may be if not given.

        Returns
        -------
        float or ndarray
        """

    def collision_probability(self, inner_product: Any, family: Any, norm: Any = None) -> Any:
        """Probability that one hash of `family` agrees for a data row and a query of this inner product.

        Parameters
        ----------
        inner_product, norm
            As in `similarity`.
        family : HashFamily
            Of cosines or distances, as the transform needs.

        Returns
        -------
        float or ndarray
        """
        return family.collision_probability(self.similarity(inner_product, norm))

    # --- state --------------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Everything that makes this transform, as a dict of plain scalars, strings and arrays, for `from_state`."""
        self._check_fitted()
        return {"transform": name_of(type(self)), "format": _FORMAT, "input_dim": self._input_dim, "scale": self._scale, **self.config()}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """Build a transform from the dict that `state` gave; ``InnerProductTransform.from_state`` reads that of any.

        Parameters
        ----------
        state : mapping
            Values may be zero-dimensional arrays, as ``numpy.load`` returns them.

        Raises
        ------
        ValueError
            If the state is of another transform or format, or incomplete.
        """
        state = {key: value.item() if np.ndim(value) == 0 and hasattr(value, "item") else value for key, value in dict(state).items()}
        kind = find("inner-product transform", state.pop("transform", None))
        if not issubclass(kind, cls):
            raise ValueError(f"the state is of {kind.__name__}, not of {cls.__name__}")
        if state.pop("format", None) != _FORMAT:
            raise ValueError(f"the state has another format; this version reads {_FORMAT}")
        try:
            input_dim, scale = state.pop("input_dim"), state.pop("scale")
        except KeyError as missing:
            raise ValueError(f"the state of {kind.__name__} lacks {missing}") from None
        self = kind(**state)
        self._input_dim = as_count(input_dim, "input_dim")
        self._scale = self._check_scale(scale)
        return self

    # --- what a subclass may change -----------------------------------------------------------------------------------

    def _fit(self, norm):
        longest = norm.max()
        self._scale = float((longest if longest > 0 else 1.0) * self.headroom / self.bound)

    def _check_scale(self, scale):
        return check_number("scale", scale, low=0, open_low=True)

    def _factors(self, norm):
        """What each row is multiplied by."""
        self._check_norms(norm, self._scale * self.bound)
        return np.full(norm.shape, 1 / self._scale)

    def _scaled_norm(self, norm):
        return self.bound / self.headroom if norm is None else np.asarray(norm, np.float64) / self.scale

    @abc.abstractmethod
    def _data_tail(self, norm):
        """The coordinates added to data rows of these scaled norms (n,): (n, extra)."""

    @abc.abstractmethod
    def _query_tail(self):
        """The coordinates added to queries, (extra,)."""

    # --- checks -------------------------------------------------------------------------------------------------------

    def _check_fitted(self):
        if self._input_dim is None:
            raise ValueError(f"this {type(self).__name__} has no scale yet: call fit(X) with the data rows first")

    def _checked(self, X):
        self._check_fitted()
        return _rows(X, self._input_dim)

    def _check_norms(self, norm, longest):
        if norm.size and norm.max() > longest * (1 + 1e-6):
            raise ValueError(f"X has a row of length {norm.max():.6g}, but the scale was fitted for {longest:.6g} at most; fit again "
                             f"with this row, or with more headroom than {self.headroom:g}")


def _rows(X, dim):
    """`X` as float32 rows, dense (n, d) or CSR, of `dim` coordinates and without NaN or infinity."""
    if not is_sparse(X):
        return dense_rows(X, dim)
    check_csr(X, dim)
    X = X.astype(np.float32)
    check_finite(X.data, "X")
    return X


def lengths(X: Any) -> np.ndarray:
    """Euclidean lengths of the rows, (n,) float64."""
    if isinstance(X, np.ndarray):
        return np.sqrt(np.einsum("ij,ij->i", X, X, dtype=np.float64))
    squares = X.data.astype(np.float64) ** 2
    row = np.repeat(np.arange(X.shape[0]), np.diff(X.indptr))
    return np.sqrt(np.bincount(row, squares, minlength=X.shape[0]))


def _extend(X, factor, tail):
    """Rows times their factor, with the coordinates `tail` (n, extra) added."""
    if isinstance(X, np.ndarray):
        return np.concatenate([X * factor[:, None], tail], axis=1, dtype=np.float32, casting="same_kind")
    import scipy.sparse as sp

    scaled = X.copy()
    scaled.data = (X.data * np.repeat(factor, np.diff(X.indptr))).astype(np.float32)
    return sp.hstack([scaled, sp.csr_array(tail.astype(np.float32))], format="csr", dtype=np.float32)
