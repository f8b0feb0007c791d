"""Fixed random codes of labels, and the lists of labels by bucket."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mongoose_nb.core.validation import check_int

if TYPE_CHECKING:
    import scipy.sparse as sp


class LabelCodes:
    """One bucket of each chunk for every label, drawn at random; buckets of a chunk have equally many labels, up to one.

    Two labels share ``chunks / buckets`` buckets on average, so that codes are nearly orthogonal.

    Parameters
    ----------
    n_labels : int
    chunks, buckets : int
    seed : int

    Attributes
    ----------
    codes : (n_labels, chunks) int32

    References
    ----------
    Medini, Chen and Shrivastava, "SOLAR: Sparse orthogonal learned and random embeddings", ICLR 2021.

    Examples
    --------
    >>> from mongoose_nb.solar import LabelCodes
    >>> import numpy as np
    >>> codes = LabelCodes(10, chunks=3, buckets=4, seed=0)
    >>> bool(np.ptp(np.bincount(codes.codes[:, 0])) <= 1)
    True
    """

    def __init__(self, n_labels: int, chunks: int, buckets: int, seed: int = 0) -> None:
        self.chunks, self.buckets = check_int("chunks", chunks, low=1, high=255), check_int("buckets", buckets, low=2)
        self.seed = check_int("seed", seed, low=0)
        self.codes = np.zeros((0, self.chunks), np.int32)
        self.add(n_labels)

    def __len__(self) -> int:
        return len(self.codes)

    def add(self, n: int) -> None:
        """Give codes to `n` more labels, whose ids follow; those of the others stay, and buckets stay equally full.

        Parameters
        ----------
        n : int
        """
        n = check_int("n", n, low=0, high=2**31 - 2 - len(self))
        rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([self.seed, 0x501A, len(self)])))
        new = np.empty((n, self.chunks), np.int32)
        for chunk in range(self.chunks):
            new[:, chunk] = rng.permutation(_emptiest(np.bincount(self.codes[:, chunk], minlength=self.buckets), n, rng))
        self.codes = np.concatenate([self.codes, new])
        self._lists: tuple[np.ndarray, np.ndarray] | None = None

    @classmethod
    def of(cls, codes: np.ndarray, buckets: int, seed: int) -> LabelCodes:
        """Codes that were saved."""
        out = cls(0, codes.shape[1], buckets, seed)
        if codes.dtype != np.int32 or (codes.size and not 0 <= codes.min() <= codes.max() < buckets):
            raise ValueError(f"codes must be int32 below {buckets} buckets")
        out.codes = codes
        return out

    @property
    def lists(self) -> tuple[np.ndarray, np.ndarray]:
        """Labels by bucket: starts (chunks, buckets + 1) int64 and members (chunks, labels) int32, ascending in a bucket."""
        if self._lists is None:
            starts = np.zeros((self.chunks, self.buckets + 1), np.int64)
            for chunk, column in enumerate(self.codes.T):
                starts[chunk, 1:] = np.cumsum(np.bincount(column, minlength=self.buckets))
            self._lists = starts, np.argsort(self.codes.T, axis=1, kind="stable").astype(np.int32)
        return self._lists

    def targets(self, Y: sp.csr_matrix, chunk: int) -> sp.csr_matrix:
        """Buckets of a chunk that a row's labels are in, (n, buckets) CSR of ones.

        Parameters
        ----------
        Y : (n, labels) CSR
        chunk : int
        """
        from scipy import sparse

        places = self.codes[Y.indices, chunk], Y.indptr.copy()  # a copy: duplicates are summed in place
        out = sparse.csr_matrix((np.ones(Y.nnz, np.float32), *places), shape=(Y.shape[0], self.buckets))
        out.sum_duplicates()
        out.data[:] = 1
        return out


def _emptiest(counts, n, rng):
    """The buckets of n labels that leave the counts as equal as can be."""
    counts, out = counts.copy(), []
    while n > 0:
        least = counts.min()
        level = np.flatnonzero(counts == least)
        higher = counts[counts > least]
        times = (n // len(level)) if not len(higher) else min(n // len(level), higher.min() - least)
        if times == 0:  # not enough for a whole round
            out.append(rng.permutation(level)[:n])
            break
        out.append(np.tile(level, times))
        counts[level] += times
        n -= times * len(level)
    return np.concatenate(out).astype(np.int32) if out else np.zeros(0, np.int32)
