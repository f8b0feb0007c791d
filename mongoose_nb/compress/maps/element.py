"""HashedNet: every entry has a cell of its own, drawn at random."""

from __future__ import annotations

import numpy as np

from mongoose_nb.compress.base import IndexMap
from mongoose_nb.core.registry import register


@register("index map", "element")
class Element(IndexMap):
    """Every entry is hashed by itself.

    Parameters
    ----------
    shape, cells, seed, offset, signed
        See `IndexMap`.

    References
    ----------
    Chen, Wilson, Tyree, Weinberger and Chen, "Compressing neural networks with the hashing trick", ICML 2015.
    """

    def bases(self, rows: np.ndarray) -> np.ndarray:
        """See `IndexMap.bases`."""
        return self.hashed(rows, self.width, self.cells)
