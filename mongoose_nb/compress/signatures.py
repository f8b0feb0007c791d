"""MinHash signatures of rows by what they occur with, for LMA."""

from __future__ import annotations

from typing import Any

import numpy as np

from mongoose_nb.core.validation import check_choice, check_int


def minhash_signatures(sets: Any, n_hashes: int = 16, *, bits: int = 8, least: int = 1, seed: int = 0) -> np.ndarray:
    """MinHashes of the rows of a matrix, each cut to a few bits.

    Two rows agree in a hash with probability J, the Jaccard similarity of their sets; where they do not, with probability ``2 ** -bits`` by
    chance.

    Parameters
    ----------
    sets : (rows, columns) CSR matrix
        Row r has an entry for each member of its set: the samples or tags that it occurs with.
    n_hashes : int
    bits : {8, 16, 32}
        Of a hash.
    least : int
        Rows with fewer members have random hashes: they share with nobody, as in `compress.maps.Block`.
    seed : int

    Returns
    -------
    (rows, n_hashes) array of unsigned integers
    """
    from mongoose_nb.kernels.compress.signatures import minima

    n_hashes = check_int("n_hashes", n_hashes, low=1)
    bits = check_choice("bits", bits, (8, 16, 32))
    least = check_int("least", least, low=1)
    if not hasattr(sets, "tocsr"):
        raise TypeError(f"sets must be a SciPy CSR matrix, whose rows are sets; got {type(sets).__name__}")
    sets = sets.tocsr()
    key = np.random.SeedSequence([check_int("seed", seed, low=0), 0x516]).generate_state(1, np.uint64)[0]
    out = np.empty((sets.shape[0], n_hashes), np.uint32)
    minima(sets.indptr.astype(np.int64), sets.indices.astype(np.int64), key, least, out)
    return (out >> np.uint32(32 - bits)).astype(f"uint{bits}")


def cooccurrences(ids: np.ndarray, n_rows: int) -> Any:
    """What each row occurs with: row r has an entry for every other row that is in a sample with it.

    Parameters
    ----------
    ids : (samples, fields) array of int
        Ids of rows; negative ones are left out.
    n_rows : int

    Returns
    -------
    (n_rows, n_rows) scipy.sparse.csr_matrix of bool
    """
    import scipy.sparse as sp

    ids = np.asarray(ids)
    if ids.ndim != 2 or ids.dtype.kind not in "iu":
        raise TypeError(f"ids must be a matrix of integers, one row a sample; got {ids.dtype} {ids.shape}")
    if ids.size and ids.max() >= n_rows:
        raise ValueError(f"id {ids.max()} is out of range; n_rows={n_rows}")
    sample, field = np.nonzero(ids >= 0)
    there = sp.csr_matrix((np.ones(len(sample), np.int32), (sample, ids[sample, field])), shape=(len(ids), n_rows))
    together = (there.T @ there).tocsr()
    together.setdiag(0)
    together.eliminate_zeros()
    return together.astype(bool)
