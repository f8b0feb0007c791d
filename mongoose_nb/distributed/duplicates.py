"""Near-duplicates on a Dask cluster: parts of the sets are hashed, and sets that meet are compared, on the workers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mongoose_nb.core.arrays import Rows
from mongoose_nb.core.validation import check_int, check_number
from mongoose_nb.distributed.cluster import client_of
from mongoose_nb.distributed.tasks import in_turn
from mongoose_nb.search.duplicates import Duplicates, as_duplicates, band_links, choose_bands, first_equal_sets, hash_bands, keys_of
from mongoose_nb.search.sets import as_sets

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mongoose_nb.search.sets import Sets

# Members of the sets that one task hashes or compares.
BLOCK = 1 << 21


def find_duplicates(sets: Sets, threshold: float = 0.8, *, recall: float = 0.95, n_hashes: int = 128, seed: int = 0,
                    keys: Sequence[str] | np.ndarray | None = None, client: Any = None) -> Duplicates:
    """Find pairs of sets that are at least `threshold` similar, on a cluster: the same result as `mongoose_nb.find_duplicates`.

    Parameters
    ----------
    sets : CSR matrix or two-dimensional array of shape (n, dim), or sequence of iterables
    threshold, recall : float
    n_hashes, seed : int
    keys : sequence of n strings, optional
        As there, for the Jaccard similarity.
    client : distributed.Client or str, optional
        Or the address of a scheduler; by default the client that was made last.

    Returns
    -------
    Duplicates

    Notes
    -----
    The client holds all sets (4 bytes a member) and their codes (4 bytes a set and band), and sorts these. A task has about 2 million
    members at once: a part of the sets, which it hashes, or sets of a band that meet, which it compares. So a worker's memory does not
    grow with the sets, unless more than these meet in one bucket.
    """
    client = client_of(client)
    threshold = check_number("threshold", threshold, low=0, high=1, open_low=True)
    K, L = choose_bands(threshold, n_hashes, recall)
    seed = check_int("seed", seed, low=0)
    indptr, indices, _ = as_sets(sets)
    n = len(indptr) - 1
    named = keys_of(keys, n)
    first = first_equal_sets(indptr, indices)
    distinct = np.flatnonzero((first == np.arange(n)) & (np.diff(indptr) > 0))
    codes, done = np.empty((L, len(distinct)), np.uint32), 0
    for part in in_turn(client, hash_bands, ((*take(indptr, indices, distinct[rows]), K, L, seed) for rows in blocks(indptr, distinct))):
        codes[:, done:done + part.shape[1]] = part
        done += part.shape[1]
    found = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))]
    found += in_turn(client, links_of, ((distinct[rows], *take(indptr, indices, distinct[rows]), threshold, codes[:t + 1, rows])
                                        for t in range(L) for rows in meeting(indptr, distinct, codes, t)))
    left, right, similarity = (np.concatenate(column) for column in zip(*found, strict=True))
    return as_duplicates(first, left, right, similarity, K, L, threshold, named)


def take(indptr: np.ndarray, indices: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Some of the sets, as CSR parts; `rows` are ascending."""
    if len(rows) and rows[-1] - rows[0] == len(rows) - 1:  # sets without copies are most often one block
        part = indptr[rows[0]:rows[-1] + 2]
        return part - part[0], indices[part[0]:part[-1]]
    count = np.diff(indptr)[rows]
    return np.concatenate([[0], np.cumsum(count)]), indices[Rows(indptr[rows], count, indices, np.zeros(0, np.float32)).places()[1]]


def blocks(indptr: np.ndarray, distinct: np.ndarray) -> Iterator[slice]:
    """Slices of the sets `distinct`, of about `BLOCK` members each."""
    yield from cut(np.cumsum(np.diff(indptr)[distinct]), np.arange(1, len(distinct) + 1))


def cut(members: np.ndarray, ends: np.ndarray) -> Iterator[slice]:
    """Slices of sets that end at some of `ends`, of at most `BLOCK` members, or up to the next end where that has more.

    Parameters
    ----------
    members : (n,) int
        Of each set and all before it.
    ends : (m,) int
        Ascending; the last one is n.
    """
    size, lo, at = members[ends - 1], 0, 0
    while at < len(ends):
        taken = members[lo - 1] if lo else 0
        at = max(at + 1, int(np.searchsorted(size, taken + BLOCK, side="right")))
        yield slice(lo, ends[at - 1])
        lo = int(ends[at - 1])


def meeting(indptr: np.ndarray, distinct: np.ndarray, codes: np.ndarray, t: int) -> Iterator[np.ndarray]:
    """Sets that meet others in band t: places in `distinct`, ascending; those that meet are in the same part.

    Parameters
    ----------
    indptr : array
        Of all sets.
    distinct : (n,) int64
        Numbers of the sets that are compared.
    codes : (L, n) uint32
        Of these.
    t : int
    """
    order = np.argsort(codes[t], kind="stable")
    ends = np.append(np.flatnonzero(np.diff(codes[t, order])) + 1, len(order))
    size = np.diff(ends, prepend=0)
    pairs = np.flatnonzero(size == 2)
    a, b = order[ends[pairs] - 2], order[ends[pairs] - 1]
    met = np.zeros(len(pairs), bool)
    for before in range(t):  # most meet in several bands, and are compared in the first one
        met |= codes[before, a] == codes[before, b]
    kept = size > 1
    kept[pairs[met]] = False
    order, ends = order[np.repeat(kept, size)], np.cumsum(size[kept])
    for part in cut(np.cumsum(np.diff(indptr)[distinct[order]]), ends):
        yield np.sort(order[part])


def links_of(rows: np.ndarray, indptr: np.ndarray, indices: np.ndarray, threshold: float, codes: np.ndarray) -> list[np.ndarray]:
    """Similar pairs of sets that meet in the last band of `codes` and in none before: left, right and similarity; runs on a worker.

    Parameters
    ----------
    rows : (n,) int64
        Numbers of the sets, ascending.
    indptr, indices : array
        The sets as CSR parts.
    threshold : float
    codes : (bands, n) uint32
    """
    left, right, similarity = band_links(indptr, indices, np.arange(len(rows)), threshold, codes, len(codes) - 1)
    return [rows[left], rows[right], similarity]
