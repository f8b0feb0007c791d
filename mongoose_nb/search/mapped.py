"""Tables over the arrays of a mapped file."""

from __future__ import annotations

import numpy as np

from mongoose_nb.core.arrays import read_only
from mongoose_nb.core.validation import check_int
from mongoose_nb.hashing import HashFamily, family_from_state
from mongoose_nb.tables.lsh_tables import fold_codes


class MappedTables:
    """Hash tables that can be searched and cannot change.

    Bucket entries stay in the file; the start of each bucket is computed, 8 bytes a bucket.

    Parameters
    ----------
    family : HashFamily
    bits : int
        Of a bucket number.
    ids : ndarray, int32
        Bucket entries, table after table, and in a table bucket after bucket.
    sizes : ndarray of shape (L, 2^bits)
        Of the buckets.
    stats : dict
        `LSHTables.stats` when they were saved.
    """

    def __init__(self, family: HashFamily, bits: int, ids: np.ndarray, sizes: np.ndarray, stats: dict) -> None:
        self.family, self.bits, self._ids, self._stats = family, bits, ids, stats
        ends = np.cumsum(sizes.ravel(), dtype=np.int64)
        if len(ids) != (ends[-1] if len(ends) else 0) or len(ids) >= 2**31:
            raise ValueError("the saved buckets do not fit their entries, or there are 2^31 or more; load with mmap=False")
        self._spans = np.stack([(ends - sizes.ravel()).reshape(sizes.shape), sizes], axis=2).astype(np.int32)
        self.folds = bits != family.code_bits

    @classmethod
    def from_state(cls, state: dict, stats: dict) -> MappedTables:
        """From the state of `LSHTables`; nothing large is copied."""
        bits, ids, sizes = check_int("bits", state["bits"], low=1, high=26), state["store"]["ids"], state["store"]["sizes"]
        family = family_from_state(state["family"])
        if (ids.dtype != np.int32 or ids.ndim != 1 or sizes.dtype.kind not in "iu" or sizes.shape != (family.L, 1 << bits)
                or sizes.min() < 0):
            raise ValueError("the saved buckets do not fit the saved hash family")
        return cls(family, bits, read_only(ids), sizes, stats)

    @property
    def nbytes(self) -> int:
        """Bytes of what is not in the file."""
        return self._spans.nbytes

    def fold(self, codes: np.ndarray) -> np.ndarray:
        """As `LSHTables.fold`."""
        return fold_codes(codes, self.bits) if self.folds else codes

    def flat_views(self) -> tuple[np.ndarray, int, np.ndarray]:
        """As `LSHTables.flat_views`; starts count from the first entry of all."""
        return self._ids[None, :] if len(self._ids) else np.zeros((1, 1), np.int32), 0, self._spans

    def stats(self) -> dict:
        """As they were when the index was saved."""
        return self._stats
