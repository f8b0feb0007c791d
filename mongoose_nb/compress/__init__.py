"""Compressed parameters: one small learnable array, addressed by hashes, that stands for large matrices.

`HashedArray` is the array, `index_map` gives the maps that address it, and `nn` has layers on it: `nn.HashedDense`,
`nn.HashedEmbedding`, `nn.HashedInput` and `nn.HashedOutput`.
"""

from mongoose_nb.compress.array import HashedArray, View
from mongoose_nb.compress.base import IndexMap, index_map, names
from mongoose_nb.compress.compress import Compress, make_compression
from mongoose_nb.compress.gradient import CellGradient
from mongoose_nb.compress.maps import Block, Collapsible, Compositional, Element, Fold, LSHKeyed, RowHash, Tile
from mongoose_nb.compress.signatures import cooccurrences, minhash_signatures

__all__ = ["Block", "CellGradient", "Collapsible", "Compositional", "Compress", "Element", "Fold", "HashedArray", "IndexMap", "LSHKeyed",
           "RowHash", "Tile", "View", "cooccurrences", "index_map", "make_compression", "minhash_signatures", "names"]
