"""Hash tables: a hash family and a bucket store joined under one version, and the active sets drawn from them.

::

    hashing.HashFamily --codes--> LSHTables --views--> ActiveSetBuilder --> nn layers
                                     |
                              _ext.BucketStore

- `lsh_tables.LSHTables`: build, look up, insert, remove and move rows; refuses codes of another version
- `active.ActiveSetBuilder`: labels, retrieved candidates, uniform filler; per sample or shared by a batch
"""

from mongoose_nb.tables.active import ActiveSetBuilder, ActiveSets, SharedSet
from mongoose_nb.tables.lsh_tables import LSHTables, StaleTablesError

__all__ = ["ActiveSetBuilder", "ActiveSets", "LSHTables", "SharedSet", "StaleTablesError"]
