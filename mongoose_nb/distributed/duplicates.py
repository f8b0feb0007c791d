"""Near-duplicates on a Dask cluster: blocks of rows are hashed, and bands compared, on the workers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mongoose_nb.core.validation import check_int, check_number
from mongoose_nb.distributed.cluster import client_of
from mongoose_nb.search.duplicates import Duplicates, as_duplicates, band_links, choose_bands, first_equal_sets, hash_bands, keys_of
from mongoose_nb.search.sets import as_sets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mongoose_nb.search.sets import Sets

# Sets that one task hashes.
BLOCK = 1 << 16


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
    Every worker holds all sets (4 bytes a member) and their codes (4 bytes a set and band), and compares the bands that it is given.
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
    hashed = []
    for lo in range(0, n, BLOCK):
        part = indptr[lo:min(n, lo + BLOCK) + 1]
        hashed.append(client.submit(hash_bands, part - part[0], indices[part[0]:part[-1]], K, L, seed, pure=False))
    codes = np.concatenate([np.zeros((L, 0), np.uint32), *client.gather(hashed)], axis=1)
    shared = [client.scatter(array, broadcast=True, hash=False) for array in (indptr, indices, distinct, codes)]
    bands = client.gather([client.submit(band_links, *shared[:3], threshold, shared[3], t, pure=False) for t in range(L)])
    left, right, similarity = (np.concatenate(column) for column in zip(*bands, strict=True))
    return as_duplicates(first, left, right, similarity, K, L, threshold, named)
