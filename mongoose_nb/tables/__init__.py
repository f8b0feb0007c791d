"""Hash tables: a hash family and a bucket store joined under one version.

::

    hashing.HashFamily --codes--> LSHTables --views--> nn.sampling, search
                                     |
                              _ext.BucketStore

`LSHTables` builds, looks up, inserts, removes and moves rows; it refuses codes of another version.
"""

from mongoose_nb.tables.lsh_tables import LSHTables, StaleTablesError

__all__ = ["LSHTables", "StaleTablesError"]
