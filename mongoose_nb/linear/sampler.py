"""Rows drawn from hash tables in proportion to their gradients, about."""

from __future__ import annotations

import numpy as np

from mongoose_nb.core.registry import Registered, make, register
from mongoose_nb.core.validation import check_int, check_number

# Multiplications of a block of rows that are hashed at once.
_BLOCK = 1 << 22


class Lift(Registered, kind="lift"):
    """Base of what is done to rows before they are hashed, and of which buckets a query looks up."""

    #: whether rows that point away from the query are looked up like those that point at it
    both = False

    def rows(self, vectors: np.ndarray) -> np.ndarray:
        """The rows to hash: (n, d) or wider, whose last columns a query has zeros in.

        Parameters
        ----------
        vectors : (n, d) float64
        """
        return vectors


@register("lift", "none")
class Plain(Lift):
    """Signs of projections (SimHash): rows at a small angle to the query are likely. It suits the logistic loss, whose gradient is large
    where the margin is small."""


@register("lift", "absolute")
class Absolute(Lift):
    """Signs of projections, and the bucket of the opposite code besides: rows with a large absolute cosine are likely, whatever its
    sign. It suits squared errors.

    It does for the absolute value what the quadratic form of Chen et al. does, at the price of one projection a bit in place of one of
    all products.
    """

    both = True


@register("lift", "mips")
class MIPS(Lift):
    """As ``"absolute"`` or ``"none"``, but of the inner product: a column more makes all rows equally long, so that short rows are less
    likely. The length of a gradient is that inner product, so that this is the best of the three.

    With a few very long rows all others become alike: lengths count up to `quantile` of them.

    Parameters
    ----------
    quantile : float
        In (0, 1].
    both : bool
        Whether rows with large negative inner products are likely, too: for squared errors.
    """

    def __init__(self, quantile: float = 0.99, both: bool = True) -> None:
        self.both = bool(both)
        self.quantile = check_number("quantile", quantile, low=0.0, high=1.0, open_low=True)

    def rows(self, vectors: np.ndarray) -> np.ndarray:
        """As `Lift.rows`."""
        length = np.sqrt(np.square(vectors).sum(axis=1))
        most = max(float(np.quantile(length, self.quantile)), np.finfo(float).tiny)
        vectors = vectors / np.maximum(length / most, 1.0)[:, None]
        return np.column_stack([vectors, np.sqrt(np.maximum(most**2 - np.square(vectors).sum(axis=1), 0.0))])


class RowSampler:
    """Hash tables over rows, built once, from which rows are drawn for a query that moves.

    The probability of each draw is exact for the tables at hand, so that a gradient weighted by ``1 / (n * probability)`` has no bias.

    Parameters
    ----------
    vectors : (n, d) array
        For squared errors the rows ``[x, y]``, for the logistic loss ``y * x`` with y in {-1, 1}.
    K, L : int
        Bits of a code, at most 16, and tables. Few bits and many tables: a row should be in ten buckets of a query, or its probability
        is mostly chance.
    lift : str or Lift
        ``"mips"``, ``"absolute"`` or ``"none"``; ``MIPS(both=False)`` for the logistic loss.
    uniform : float
        Share of the draws that are uniform over all rows, in (0, 1]: no weight exceeds one over it.
    seed : int

    References
    ----------
    Chen, Xu and Shrivastava, "Fast and accurate stochastic gradient estimation", NeurIPS 2019. There the probability is that over all
    random tables, which is not that of a draw from the tables at hand.

    Examples
    --------
    >>> import numpy as np
    >>> from mongoose_nb.linear import RowSampler
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((1000, 5)); y = X @ np.ones(5) + rng.standard_t(2, 1000)
    >>> sampler = RowSampler(np.column_stack([X, y]))
    >>> ids, probability = sampler.draw(np.r_[np.ones(5), -1.0], 500)
    >>> residual = abs(X @ np.ones(5) - y)
    >>> bool(residual[ids].mean() > 1.3 * residual.mean())
    True
    """

    def __init__(self, vectors: np.ndarray, K: int = 3, L: int = 100, *, lift: str | dict | Lift = "mips", uniform: float = 0.2,
                 seed: int = 0) -> None:
        from mongoose_nb.kernels.linear.lgd import Buckets, Query

        vectors = np.asarray(vectors, np.float64)
        if vectors.ndim != 2 or not len(vectors) or not np.isfinite(vectors).all():
            raise ValueError(f"vectors must be finite rows, (n, d), at least one; got shape {vectors.shape}"
                             + (" with NaN or infinity" if vectors.ndim == 2 and len(vectors) else ""))
        self.K, self.L = check_int("K", K, low=1, high=16), check_int("L", L, low=1)
        self.lift = make("lift", lift)
        self.uniform = check_number("uniform", uniform, low=0.0, high=1.0, open_low=True)
        self.seed = check_int("seed", seed, low=0, high=2**63 - 1)
        self.dim = vectors.shape[1]
        rows = self.lift.rows(vectors)
        rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([self.seed, 0x16D])))
        functions = rng.standard_normal((self.K * self.L, rows.shape[1]))
        codes = np.empty((len(rows), self.L), np.uint16)
        step = max(1, _BLOCK // functions.size)
        for lo in range(0, len(rows), step):
            bits = (rows[lo:lo + step] @ functions.T > 0).reshape(-1, self.L, self.K)
            codes[lo:lo + step] = bits @ (1 << np.arange(self.K)[::-1]).astype(np.int64)
        order = np.argsort(codes.T, axis=1, kind="stable").astype(np.int32)
        starts = np.stack([np.concatenate([[0], np.cumsum(np.bincount(column, minlength=1 << self.K))]) for column in codes.T])
        self.buckets = Buckets(codes, order, starts, functions, self.K, self.lift.both)
        self.query = Query(np.zeros(self.L, np.int64), np.zeros(self.L, np.int64), np.zeros(1, np.int64))
        self._drawn = 0

    def __len__(self) -> int:
        return len(self.buckets.codes)

    def vector(self, query: np.ndarray) -> np.ndarray:
        """A query as the tables hash it, with zeros in the columns that the lift has added."""
        query = np.asarray(query, np.float64)
        if query.shape != (self.dim,) or not np.isfinite(query).all():
            raise ValueError(f"query must be {self.dim} finite numbers, such as [theta, -1]; got shape {query.shape}")
        return np.concatenate([query, np.zeros(self.buckets.functions.shape[1] - self.dim)])

    def draw(self, query: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw rows, each time others.

        Parameters
        ----------
        query : (d,) array
            ``[theta, -1]`` for squared errors, ``-theta`` for the logistic loss.
        size : int

        Returns
        -------
        ids : (size,) int64
        probability : (size,) float64
            Of that draw.
        """
        from mongoose_nb.kernels.linear import lgd as kernels

        size = check_int("size", size, low=0)
        ids, probability = np.empty(size, np.int64), np.empty(size)
        seed = np.random.SeedSequence([self.seed, 0xD7A3, self._drawn]).generate_state(1, np.uint64)[0]
        kernels.draw(self.buckets, self.query, self.vector(query), self.uniform, seed, ids, probability)
        self._drawn += 1
        return ids, probability

    def probabilities(self, query: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        """The probability of every row, (n,) float64, which add up to one, or of some rows.

        Parameters
        ----------
        query : (d,) array
        rows : (m,) array of int, optional
        """
        from mongoose_nb.kernels.linear import lgd as kernels

        rows = np.arange(len(self)) if rows is None else np.asarray(rows, np.int64)
        if rows.ndim != 1 or (rows.size and not 0 <= rows.min() <= rows.max() < len(self)):
            raise ValueError(f"rows must be numbers of rows, 0 to {len(self) - 1}; got {rows!r}")
        out = np.empty(len(rows))
        kernels.probabilities_of(self.buckets, self.query, self.vector(query), self.uniform, np.ascontiguousarray(rows), out)
        return out

    def variance_ratio(self, query: np.ndarray, gradient_norms: np.ndarray, mean_gradient_norm: float,
                       rows: np.ndarray | None = None) -> float:
        """Variance of the gradient of one drawn row, beside that of a row drawn uniformly; below one, drawing pays.

        Parameters
        ----------
        query : (d,) array
        gradient_norms : (n,) array
            Length of each row's gradient.
        mean_gradient_norm : float
            Length of the mean gradient.
        rows : (m,) array of int, optional
            The rows of these gradients: a uniform sample of all.
        """
        squares = np.square(gradient_norms)
        whole = mean_gradient_norm**2
        drawn = float((squares / (len(self) * self.probabilities(query, rows))).mean()) - whole
        return drawn / max(float(squares.mean()) - whole, np.finfo(float).tiny)
