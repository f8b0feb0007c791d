"""How layers of a language model attend: one class for each kind, found by its name.

- `base`: the abstraction `AttentionKind`, and the `LayerSettings` that it reads
- `full`: exact; `lsh`: hashing with random rotations; `learned`: with rotations that learn; `features`: random features
"""

from mongoose_nb.reformer.kinds.base import AttentionKind, LayerSettings
from mongoose_nb.reformer.kinds.features import Performer, Scatterbrain
from mongoose_nb.reformer.kinds.full import Full
from mongoose_nb.reformer.kinds.learned import Contrast, Learned, Triplet
from mongoose_nb.reformer.kinds.lsh import LSH

__all__ = ["LSH", "AttentionKind", "Contrast", "Full", "LayerSettings", "Learned", "Performer", "Scatterbrain", "Triplet"]
