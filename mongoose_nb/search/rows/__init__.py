"""Where an index keeps its rows: dense, in fewer bytes, sparse, or bits; one class and one file each.

::

    base.RowStore        rows that are given -> checked batches -> slots; and the kernels that search its arrays
      |- dense.DenseRows            float32
      |    `- compact.CompactRows   float16; int8 with a scale for each row
      |- sparse.SparseRows
      `- bits.BitRows

A *batch* is rows that have been checked and brought to the form in which they are kept. A *slot* is the place of a row. Arrays have room
for a quarter more than is needed when they are made, so adding costs O(1) copies a row. Room that was never written to takes no memory.
"""

from mongoose_nb.search.rows import bits, compact, dense, sparse  # noqa: F401  (registers the stores)
from mongoose_nb.search.rows.base import RowStore, store_of

__all__ = ["RowStore", "store_of"]
