"""The index maps, one a file."""

from mongoose_nb.compress.maps.block import Block
from mongoose_nb.compress.maps.collapsible import Collapsible
from mongoose_nb.compress.maps.compositional import Compositional
from mongoose_nb.compress.maps.element import Element
from mongoose_nb.compress.maps.fold import Fold
from mongoose_nb.compress.maps.lsh_keyed import LSHKeyed
from mongoose_nb.compress.maps.row_hash import RowHash
from mongoose_nb.compress.maps.tile import Tile

__all__ = ["Block", "Collapsible", "Compositional", "Element", "Fold", "LSHKeyed", "RowHash", "Tile"]
