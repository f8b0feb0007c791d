"""Near-duplicate sets: MinHash, bands, and the exact similarity of sets that meet in a band.

Two sets of Jaccard similarity J meet in one of L bands of K hashes with probability ``1 - (1 - J^K)^L``, an S-shaped curve. K and L are
chosen so that it rises just before the threshold. Sets that meet are compared exactly, so no pair below the threshold is reported; the
curve tells which share of the others is missed. Sets that are equal are found first, and of each group one is compared with others: the
work is linear in the number of copies.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING

import numpy as np

from mongoose_nb.core.streams import stream
from mongoose_nb.core.validation import check_choice, check_int, check_number
from mongoose_nb.search.names import as_keys
from mongoose_nb.search.parallel import default_threads, pool_of
from mongoose_nb.search.sets import as_sets

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mongoose_nb.search.sets import Sets


@dataclasses.dataclass(frozen=True)
class Duplicates:
    """Similar pairs of sets.

    Attributes
    ----------
    first : ndarray of shape (n,), int64
        For every set the number of the first set that equals it: its own where there is none before, or where it is empty.
    links : ndarray of shape (m, 2), int64
        Similar pairs of sets that differ, the smaller number first; ascending. Of equal sets the first one stands for all.
    link_similarity : ndarray of shape (m,), float64
        Similarities of the links.
    n : int
        Number of sets.
    K, L : int
        Hashes per band, and bands; 0 where none were needed.
    expected_recall : float
        Probability of finding a pair exactly at the threshold; that of any other pair is larger.
    keys : ndarray of shape (n,), object, or None
        What the sets are called, which `pairs`, `groups` and `kept` then name; all else holds their numbers.
    """

    first: np.ndarray
    links: np.ndarray
    link_similarity: np.ndarray
    n: int
    K: int
    L: int
    expected_recall: float
    keys: np.ndarray | None = None

    def _named(self, numbers):
        return numbers if self.keys is None else self.keys[numbers]

    @functools.cached_property
    def _copies(self):
        """Sets by group of equal ones, where groups begin, and their sizes: both by the number of the first set."""
        sizes = np.bincount(self.first, minlength=self.n)
        return np.argsort(self.first, kind="stable"), np.cumsum(sizes) - sizes, sizes

    @property
    def n_pairs(self) -> int:
        """Number of `pairs`, without listing them."""
        sizes = self._copies[2].astype(object)  # the number of pairs may not fit int64
        return int((sizes * (sizes - 1) // 2).sum() + (sizes[self.links[:, 0]] * sizes[self.links[:, 1]]).sum())

    @functools.cached_property
    def _expanded(self):
        order, starts, sizes = self._copies
        several = np.flatnonzero(sizes > 1)
        left, right = np.concatenate([self.links, np.stack([several, several], axis=1)]).T
        similarity = np.concatenate([self.link_similarity, np.ones(len(several))])
        counts = sizes[left] * sizes[right]
        which = np.repeat(np.arange(len(counts)), counts)
        place = np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts)
        a = order[starts[left[which]] + place // sizes[right[which]]]
        b = order[starts[right[which]] + place % sizes[right[which]]]
        once = (left[which] != right[which]) | (a < b)
        pairs, similarity = np.stack([np.minimum(a, b), np.maximum(a, b)], axis=1)[once], similarity[which[once]]
        ascending = np.lexsort((pairs[:, 1], pairs[:, 0]))
        return pairs[ascending], similarity[ascending]

    @property
    def pairs(self) -> np.ndarray:
        """All similar pairs (m, 2), equal sets included: numbers of two sets, int64, the smaller first; ascending. Or keys, in that order.

        A group of g equal sets has ``g * (g - 1) / 2`` of them. They are listed when they are asked for.
        """
        return self._named(self._expanded[0])

    @property
    def similarity(self) -> np.ndarray:
        """Similarities (m,) float64 of the `pairs`."""
        return self._expanded[1]

    def groups(self) -> np.ndarray:
        """Group numbers of the sets, (n,) int64: sets that pairs link have the number of the first of them, or its key."""
        return self._named(self._groups)

    @functools.cached_property
    def _groups(self):
        from scipy.sparse import coo_matrix
        from scipy.sparse.csgraph import connected_components

        left, right = np.concatenate([self.links, np.stack([np.arange(self.n), self.first], axis=1)]).T
        links = coo_matrix((np.ones(len(left), np.int8), (left, right)), shape=(self.n, self.n))
        _, label = connected_components(links, directed=False)
        _, first, inverse = np.unique(label, return_index=True, return_inverse=True)
        return first[inverse].astype(np.int64)

    def keep(self) -> np.ndarray:
        """Mask (n,) of the first set of every group."""
        return self._groups == np.arange(self.n)

    def kept(self) -> np.ndarray:
        """Numbers of the first set of every group, or their keys."""
        return self._named(np.flatnonzero(self.keep()))


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


def find_duplicates(sets: Sets, threshold: float = 0.8, *, measure: str = "jaccard", recall: float = 0.95, n_hashes: int = 128,
                    n_threads: int | None = None, seed: int = 0, keys: Sequence[str] | np.ndarray | None = None) -> Duplicates:
    """Find pairs of sets that are at least `threshold` similar.

    Parameters
    ----------
    sets : CSR matrix or two-dimensional array of shape (n, dim), or sequence of iterables
        Of a matrix or array, members are the columns that are not zero, as in ``LSHIndex("jaccard")``. Of an iterable, they are any
        hashable objects, such as words or numbers. `mongoose_nb.shingles` makes sets of texts.
    threshold : float
        Least similarity, in (0, 1].
    measure : {"jaccard", "containment"}
        Jaccard similarity: common members as a share of all. Containment: as a share of those of the smaller set, which is 1 where that is
        a part of the other one. Pairs of the latter are all found.
    recall : float
        Wanted probability of finding a pair at the threshold; more similar pairs are found more surely.
    n_hashes : int
        Most hashes of a set.
    n_threads : int, optional
        Threads; by default Numba's number. The result does not depend on it.
    seed : int
    keys : sequence of n strings, optional
        What the sets are called, such as names of documents: the result names them in place of numbers. None comes twice.

    Returns
    -------
    Duplicates
        Similarities are exact, so there are no false pairs. Empty sets are similar to nothing.

    Raises
    ------
    TypeError, ValueError
        The sets are text, hold NaN, or are something else that is not a set.

    Notes
    -----
    The work grows with the square of the largest group of similar sets that differ; equal ones are found first, in linear time. That of
    containment grows with the number of sets that share their rarest members.
    """
    check_choice("measure", measure, ("jaccard", "containment"))
    threshold = check_number("threshold", threshold, low=0, high=1, open_low=True)
    K, L = choose_bands(threshold, n_hashes, recall) if measure == "jaccard" else (0, 0)
    threads = default_threads() if n_threads is None else check_int("n_threads", n_threads, low=1)
    indptr, indices, dim = as_sets(sets)
    n = len(indptr) - 1
    named = keys_of(keys, n)
    first = first_equal_sets(indptr, indices)
    distinct = np.flatnonzero((first == np.arange(n)) & (np.diff(indptr) > 0))
    if measure == "jaccard":
        left, right, similarity = _meeting(indptr, indices, distinct, threshold, K, L, threads, check_int("seed", seed, low=0))
    else:
        left, right, similarity = _containing(indptr, indices, distinct, threshold, threads)
    return as_duplicates(first, left, right, similarity, K, L, threshold, named)


def keys_of(keys: Sequence[str] | np.ndarray | None, n: int) -> np.ndarray | None:
    """Keys of n sets as an object array, or an error; None for none."""
    if keys is None:
        return None
    out = np.array(as_keys(keys), object)
    if len(out) != n:
        raise ValueError(f"{len(out)} keys came with {n} sets; give one key for each set")
    return out


def as_duplicates(first: np.ndarray, left: np.ndarray, right: np.ndarray, similarity: np.ndarray, K: int, L: int,
                  threshold: float, keys: np.ndarray | None = None) -> Duplicates:
    """`Duplicates` from what `first_equal_sets` gave and similar pairs in any order."""
    left, right = np.minimum(left, right), np.maximum(left, right)
    order = np.lexsort((right, left))
    return Duplicates(first, np.stack([left[order], right[order]], axis=1), similarity[order], len(first), K, L,
                      float(s_curve(threshold, K, L)) if L else 1.0, keys)


def hash_bands(indptr: np.ndarray, indices: np.ndarray, K: int, L: int, seed: int, n_threads: int = 1) -> np.ndarray:
    """Codes (L, n) uint32 of L bands of K hashes of sets, as CSR parts."""
    from mongoose_nb.kernels.search.duplicates import band_codes

    factors = stream(seed, "bands").integers(0, 2**31, K * L, np.uint32) * np.uint32(2) + np.uint32(1)
    n = len(indptr) - 1
    codes = np.empty((L, n), np.uint32)
    parts = min(n_threads, n // 32 + 1)
    bounds = [n * part // parts for part in range(parts + 1)]
    _mapped(parts, lambda part: band_codes(indptr, indices, factors, K, bounds[part], bounds[part + 1], codes), parts)
    return codes


def _mapped(threads, work, n):
    """``[work(0), ..., work(n - 1)]``."""
    return list(pool_of(threads).map(work, range(n)) if threads > 1 and n > 1 else map(work, range(n)))


def first_equal_sets(indptr: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """For every set, as CSR parts, the number of the first set that equals it, (n,) int64."""
    from mongoose_nb.kernels.search.duplicates import first_equal, row_keys

    keys, first = np.empty(len(indptr) - 1, np.uint64), np.empty(len(indptr) - 1, np.int64)
    row_keys(indptr, indices, keys)
    first_equal(np.argsort(keys, kind="stable"), keys, indptr, indices, first)
    return first


def _with_room(search: Callable, room: int):
    """What ``search(left, right, similarity)`` writes, with as much room as it needs."""
    while True:
        out = np.empty(room, np.int64), np.empty(room, np.int64), np.empty(room)
        found = search(*out)
        if found <= room:
            return [part[:found] for part in out]
        room = found


def _meeting(indptr, indices, distinct, threshold, K, L, threads, seed):
    """Pairs of sets that meet in a band."""
    codes = hash_bands(indptr, indices, K, L, seed, threads)
    bands = _mapped(threads, lambda t: band_links(indptr, indices, distinct, threshold, codes, t), L)
    return [np.concatenate(column) for column in zip(*bands)]


def band_links(indptr: np.ndarray, indices: np.ndarray, distinct: np.ndarray, threshold: float, codes: np.ndarray,
               t: int) -> list[np.ndarray]:
    """Similar pairs of sets that meet in band t and in none before: left, right and similarity.

    Parameters
    ----------
    indptr, indices : array
        The sets as CSR parts.
    distinct : array
        Numbers of the sets that are compared.
    threshold : float
    codes : (L, n) uint32
        Of `hash_bands`.
    t : int
    """
    from mongoose_nb.kernels.search.duplicates import band_pairs

    order = distinct[np.argsort(codes[t, distinct], kind="stable")]
    return _with_room(lambda *out: band_pairs(codes, t, order, indptr, indices, threshold, *out), max(64, len(distinct) // 8))


def _containing(indptr, indices, distinct, threshold, threads):
    """Pairs of which the larger set has enough members of the smaller one; all of them."""
    from scipy.sparse import csr_matrix

    from mongoose_nb.kernels.search.duplicates import contained_pairs

    sizes = np.diff(indptr)
    distinct = distinct[np.argsort(sizes[distinct], kind="stable")]
    columns, inverse, counts = np.unique(indices, return_inverse=True, return_counts=True)
    rank = np.empty(len(columns), np.int64)
    rank[np.argsort(counts, kind="stable")] = np.arange(len(columns))
    shape = len(indptr) - 1, max(len(columns), 1)
    rows = csr_matrix((np.ones(len(indices), bool), rank[inverse.ravel()], indptr), shape=shape)[distinct]
    rows.sort_indices()
    lists = rows.tocsc()
    parts = [np.ascontiguousarray(part, dtype) for part, dtype in ((rows.indptr, np.int64), (rows.indices, np.int32),
                                                                   (lists.indptr, np.int64), (lists.indices, np.int32))]
    n, tasks = len(distinct), max(1, min(len(distinct) // 256, 64))

    def part(task):
        lo, hi = task * n // tasks, (task + 1) * n // tasks
        return _with_room(lambda *out: contained_pairs(lo, hi, *parts, threshold, *out), max(64, n // 8))

    left, right, similarity = (np.concatenate(column) for column in zip(*_mapped(threads, part, tasks)))
    return distinct[left], distinct[right], similarity
