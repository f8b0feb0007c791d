"""What a search metric declares."""

import abc

import numpy as np

from mongoose_nb.core.registry import Registered, name_of, registered


class Metric(Registered, abc.ABC, kind="search metric"):
    """Base of the search metrics: which rows are kept, how they are hashed, and what their distance is.

    A subclass gives `distances`, and `transform` where rows are kept in another form than they are given in. A subclass that gives
    `distances` is `rescored` and `signed`, unless it says otherwise. Constructor arguments are stored as attributes of the same names, so
    that an index can be saved.

    Examples
    --------
    >>> import numpy as np
    >>> from mongoose_nb.search import LSHIndex, Metric
    >>> class Chebyshev(Metric):
    ...     def distances(self, q, X):
    ...         return np.abs(X - q).max(axis=1)
    >>> index = LSHIndex(Chebyshev(), dim=2)
    >>> ids = index.add([[0, 0], [3, 1], [2, 2]])
    >>> index.query([0, 0], k=2)[1].tolist()
    [[0.0, 2.0]]
    """

    #: how rows may be kept: "dense", "sparse" or "bits"; the first for dense input. Several: input of the first rows decides
    stores = ("dense",)
    #: name of the default hash family
    family = "simhash"
    #: `HashFamily.similarity` of the families that fit
    similarities = ("cosine", "rank", "euclidean", "manhattan")
    #: default number of tables
    L = 8
    #: whether rows are vectors: families hash their coordinates on main axes, and sketches choose among candidates
    projected = True
    #: whether rows are scaled to length one
    unit = False
    #: whether rows are sets: of sparse rows the columns alone are kept
    sets = False
    #: whether a larger product is nearer: rows get a coordinate that makes all equally long
    augmented = False
    #: whether kernels compare dense rows by squared Euclidean distances; else by products
    euclidean = True
    #: whether candidates are compared by `distances`; else by kernels
    rescored = True
    #: whether distances may be negative
    signed = True
    #: rows of which similarity (`mongoose_nb.testing.METRICS`) test an index of this metric
    tested_as = "l2"

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if "distances" in vars(cls):
            cls.rescored = vars(cls).get("rescored", True)
            cls.signed = vars(cls).get("signed", True)  # nothing is known of them
        if cls.transform is not Metric.transform and "dense" not in cls.stores:
            raise TypeError(f"{cls.__name__} has a transform, which takes dense rows, but keeps its rows as {cls.stores}")

    @property
    def name(self) -> str:
        """The registered name, or the import path of the class."""
        return name_of(type(self))

    @abc.abstractmethod
    def distances(self, q: np.ndarray, X: np.ndarray) -> np.ndarray:
        """Exact distances of rows as they are kept, smaller is closer.

        Parameters
        ----------
        q : ndarray of shape (width,)
            A query, transformed as rows are.
        X : ndarray of shape (m, width)
            Rows.

        Returns
        -------
        ndarray of shape (m,)
        """

    def exact(self, q: np.ndarray, X: np.ndarray) -> np.ndarray:
        """Exact distances (m,) of a query (dim,) and rows (m, dim) as they are given: what an index is tested against."""
        return self.distances(self.transform(q[None])[0], self.transform(X))

    def transform(self, X: np.ndarray) -> np.ndarray:
        """Rows as they are kept and compared; applied to rows and to queries.

        Parameters
        ----------
        X : ndarray of shape (n, dim), float32
            Not to be changed.

        Returns
        -------
        ndarray of shape (n, `width`)
        """
        return X

    def width(self, dim: int) -> int:
        """Columns of transformed rows."""
        return dim

    def outward(self, values: np.ndarray) -> np.ndarray:
        """Distances from what kernels compute, which may be overwritten."""
        return values

    @property
    def transforms(self) -> bool:
        """Whether the class has a `transform` of its own."""
        return type(self).transform is not Metric.transform

    def store(self, sparse: bool) -> str:
        """Name of the store of rows that come dense or sparse.

        Raises
        ------
        TypeError
            If the metric does not take sparse rows.
        """
        if not sparse or self.stores[0] != "dense":
            return self.stores[0]
        if "sparse" in self.stores and not self.transforms:
            return "sparse"
        able = [name for name, cls in registered("search metric").items() if "sparse" in cls.stores]
        raise TypeError(f"metric {self.name!r} takes dense rows; pass X.toarray(), or use one of {able} for sparse rows")
