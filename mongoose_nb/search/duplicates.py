"""Near-duplicate sets: MinHash, bands, and the exact similarity of sets that meet in a band.

Two sets of Jaccard similarity J meet in one of L bands of K hashes with probability ``1 - (1 - J^K)^L``, an S-shaped curve. K and L are
chosen so that it rises just before the threshold. Sets that meet are compared exactly, so no pair below the threshold is reported; the
curve tells which share of the others is missed.
"""

import dataclasses
from collections.abc import Hashable, Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mongoose_nb.core.validation import check_int, check_number
from mongoose_nb.hashing.rows import is_sparse
from mongoose_nb.search.metrics import Jaccard
from mongoose_nb.search.parallel import default_threads, pool_of
from mongoose_nb.search.rows.sparse import SparseRows

if TYPE_CHECKING:
    import scipy.sparse


@dataclasses.dataclass(frozen=True)
class Duplicates:
    """Similar pairs of sets.

    Attributes
    ----------
    pairs : ndarray of shape (m, 2), int64
        Numbers of two sets, the smaller first; ascending.
    similarity : ndarray of shape (m,), float64
        Their Jaccard similarities.
    n : int
        Number of sets.
    K, L : int
        Hashes per band, and bands.
    expected_recall : float
        Probability of finding a pair exactly at the threshold; that of any other pair is larger.
    """

    pairs: np.ndarray
    similarity: np.ndarray
    n: int
    K: int
    L: int
    expected_recall: float

    def groups(self) -> np.ndarray:
        """Group numbers of the sets, (n,) int64: sets that pairs link have the number of the first of them."""
        from scipy.sparse import coo_matrix
        from scipy.sparse.csgraph import connected_components

        links = coo_matrix((np.ones(len(self.pairs), np.int8), (self.pairs[:, 0], self.pairs[:, 1])), shape=(self.n, self.n))
        _, label = connected_components(links, directed=False)
        _, first, inverse = np.unique(label, return_index=True, return_inverse=True)
        return first[inverse].astype(np.int64)

    def keep(self) -> np.ndarray:
        """Mask (n,) of the first set of every group."""
        return self.groups() == np.arange(self.n)


def s_curve(similarity: float | np.ndarray, K: int, L: int) -> np.ndarray:
    """Probability that two sets of this Jaccard similarity meet in one of L bands of K hashes."""
    return 1 - (1 - np.asarray(similarity, np.float64) ** K) ** L


def choose_bands(threshold: float, n_hashes: int = 128, recall: float = 0.95) -> tuple[int, int]:
    """Hashes per band and bands (K, L) of the steepest curve that finds a pair at the threshold with at least this probability.

    Parameters
    ----------
    threshold : float
        Jaccard similarity, in (0, 1].
    n_hashes : int
        K * L is at most this.
    recall : float

    Returns
    -------
    K, L : int

    Raises
    ------
    ValueError
        Even K = 1 needs more hashes.
    """
    threshold = check_number("threshold", threshold, low=0, high=1, open_low=True)
    n_hashes = check_int("n_hashes", n_hashes, low=1)
    recall = check_number("recall", recall, low=0, high=1, open_high=True)
    for K in range(min(n_hashes, 32), 0, -1):
        if s_curve(threshold, K, n_hashes // K) >= recall:
            L = next(L for L in range(1, n_hashes // K + 1) if s_curve(threshold, K, L) >= recall)
            return K, L
    raise ValueError(f"{n_hashes} hashes find pairs at threshold={threshold:g} with probability "
                     f"{float(s_curve(threshold, 1, n_hashes)):.3g}, less than recall={recall:g}; give more hashes or ask for less")


def _as_csr(sets):
    """Sets as CSR parts with ascending members: CSR already, or a sequence of iterables of hashable things."""
    if is_sparse(sets):
        return SparseRows(Jaccard(), sets.shape[1]).check(sets)[:2], sets.shape
    numbers, indptr, members = {}, [0], []
    for one in sets:
        members.extend(numbers.setdefault(member, len(numbers)) for member in one)
        indptr.append(len(members))
    from scipy.sparse import csr_matrix

    shape = len(indptr) - 1, max(len(numbers), 1)
    X = csr_matrix((np.ones(len(members), np.float32), np.array(members, np.int32), np.array(indptr, np.int64)), shape=shape)
    return SparseRows(Jaccard(), shape[1]).check(X)[:2], shape


def find_duplicates(sets: "scipy.sparse.csr_matrix | Sequence[Iterable[Hashable]]", threshold: float = 0.8, *, recall: float = 0.95,
                    n_hashes: int = 128, n_threads: int | None = None, seed: int = 0) -> Duplicates:
    """Find pairs of sets that are at least `threshold` similar.

    Parameters
    ----------
    sets : CSR matrix of shape (n, dim), or sequence of iterables
        Members are the columns that are not zero, or any hashable objects, such as words.
    threshold : float
        Least Jaccard similarity, in (0, 1].
    recall : float
        Wanted probability of finding a pair at the threshold; more similar pairs are found more surely.
    n_hashes : int
        Most hashes of a set.
    n_threads : int, optional
        Threads; by default Numba's number. The result does not depend on it.
    seed : int

    Returns
    -------
    Duplicates
        Similarities are exact, so there are no false pairs. Empty sets are similar to nothing.

    Notes
    -----
    The work grows with the square of the largest group of similar sets, as does the number of its pairs.
    """
    K, L = choose_bands(threshold, n_hashes, recall)
    (indptr, indices), shape = _as_csr(sets)
    codes = _band_codes(indptr, indices, shape, K, L, seed)
    there = np.flatnonzero(np.diff(indptr)).astype(np.int64)

    def band(t):
        from mongoose_nb.kernels.search.duplicates import band_pairs

        order = there[np.argsort(codes[t, there], kind="stable")]
        room = max(64, len(there) // 8)
        while True:
            left, right, similarity = np.empty(room, np.int64), np.empty(room, np.int64), np.empty(room)
            found = band_pairs(codes, t, order, indptr, indices, float(threshold), left, right, similarity)
            if found <= room:
                return left[:found], right[:found], similarity[:found]
            room = found

    threads = n_threads or default_threads()
    parts = list(pool_of(threads).map(band, range(L)) if threads > 1 else map(band, range(L)))
    left, right, similarity = (np.concatenate(column) for column in zip(*parts))
    order = np.lexsort((right, left))
    return Duplicates(np.stack([left[order], right[order]], axis=1), similarity[order], shape[0], K, L,
                      float(s_curve(threshold, K, L)))


def _band_codes(indptr, indices, shape, K, L, seed):
    """Codes (L, n) uint32 of bands; of more than four hashes, codes of four and fewer are mixed to one."""
    from scipy.sparse import csr_matrix

    from mongoose_nb.hashing import MinHash

    X = csr_matrix((np.ones(len(indices), np.float32), indices, indptr), shape=shape)
    widths = [4] * (K // 4) + ([K % 4] if K % 4 else [])
    # A pass over a set fills as many bins as it has members. With more bins most are copies of others, and bands meet together or not
    # at all. So small sets are read several times, for a part of the bands each time.
    members = max(1, len(indices) // max(1, shape[0]))
    step = max(1, -(-L // 16), min(L, members // widths[0]))
    out = np.zeros((L, shape[0]), np.uint64)
    for number, width in enumerate(widths):
        for lo in range(0, L, step):
            key = (seed + 7919 * number + 104729 * lo) % 2**64
            family = MinHash(shape[1], width, min(step, L - lo), seed=key, bits=32 // width if width > 2 else 16)
            part = (out[lo:lo + step] ^ family.hash_tables(X)) * np.uint64(0x9E3779B97F4A7C15)
            out[lo:lo + step] = part ^ (part >> np.uint64(29))
    return (out >> np.uint64(32)).astype(np.uint32) ^ out.astype(np.uint32)
