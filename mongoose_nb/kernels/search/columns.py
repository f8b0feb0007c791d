"""A table of columns: where a column of very wide sparse rows stands among the few that matter.

Open addressing in a power of two of places, at least twice the columns. A table without places means that columns stand where their
numbers say.
"""

import numpy as np

from mongoose_nb.core.jit import inline, serial

_ODD = np.uint32(2654435769)


@inline
def slot_of(column, keys):
    """The place of a column in keys, or the free one (-1) where it would be put."""
    mask = np.int64(keys.shape[0] - 1)
    mixed = np.uint32(column) * _ODD
    at = np.int64(np.uint32(mixed ^ (mixed >> np.uint32(15)))) & mask
    while keys[at] != column and keys[at] != -1:
        at = (at + 1) & mask
    return at


@serial
def fill_columns(columns, keys, places):
    """Write columns (c,) int32 into a table of -1; ``places[slot]`` is the number of the column in that slot."""
    for i in range(columns.shape[0]):
        at = slot_of(columns[i], keys)
        keys[at] = columns[i]
        places[at] = i


@inline
def column_place(column, keys, places):
    """The number of a column, -1 for one that is not in the table."""
    if keys.shape[0] == 0:
        return np.int64(column)
    at = slot_of(column, keys)
    return np.int64(places[at]) if keys[at] == column else np.int64(-1)
