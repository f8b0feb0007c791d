"""The functions of an index: a projection or none, and a hash family."""

from __future__ import annotations

from typing import Any

import numpy as np

from mongoose_nb.core.locks import FairLock
from mongoose_nb.hashing import HashFamily
from mongoose_nb.search.projection import Projection
from mongoose_nb.search.rows.base import Batch, RowStore

# More flips are not put in order.
_MOST_PROBES = 1 << 20
#: families whose kernels run on all threads are called by one thread at a time
one_at_a_time = FairLock()


class Functions:
    """From batches of rows or queries to coordinates and codes. It does not change.

    Parameters
    ----------
    projection : Projection or None
    family : HashFamily

    Attributes
    ----------
    signs : bool
        Whether codes are signs of float32 sums of coordinates, which need no lock; see `HashFamily.sign_functions`.
    most_probes : int
        Most buckets of a table that a query can look into.
    """

    def __init__(self, projection: Projection | None, family: HashFamily) -> None:
        self.projection, self.family = projection, family
        self.signs = projection is not None and family.sign_functions is not None
        self.most_probes = min(family.max_probes, _MOST_PROBES)

    def project(self, batch: Batch, queries: bool = False) -> tuple[np.ndarray, np.ndarray] | tuple[None, None]:
        """Coordinates (n, m) of a batch and the lengths (n,) of what is lost; None and None without a projection."""
        return (None, None) if self.projection is None else self.projection.project(batch, queries)

    def aim(self, Y: np.ndarray | None) -> np.ndarray | None:
        """What is hashed of queries with these coordinates; see `Projection.aim`."""
        return None if Y is None else self.projection.aim(Y)

    def hashed(self, rows: RowStore, batch: Batch, Y: np.ndarray | None) -> Any:
        """What the family hashes."""
        return rows.matrix(batch) if Y is None else np.ascontiguousarray(Y[:, :self.projection.hashed])

    def codes(self, rows: RowStore, batch: Batch, Y: np.ndarray | None, probes: int) -> np.ndarray:
        """Codes (n, L, probes) uint32, the most promising first."""
        if self.signs:
            return self.family.probe_signs(Y, probes)
        with one_at_a_time:
            given = self.hashed(rows, batch, Y)
            if probes == 1:
                out = self.family.hash_tables(given)[:, :, None]
            else:
                out = self.family.probe_tables(given, probes)
        return np.ascontiguousarray(out.transpose(1, 0, 2), np.uint32)
