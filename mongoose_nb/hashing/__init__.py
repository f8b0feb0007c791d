"""Floor 2: hash families. Similar rows get equal codes more often than others.

::

    rows X (n, d), dense or CSR          family: K hashes per table, L tables, seed, centre, version
            |                                              |
            +----------> base.HashFamily.hash <------------+
                         checks, picks dtypes, allocates
                                   |
                         kernels.hashing (Numba)
                                   |
                         codes, (L, n) unsigned: one number per table and row

- `base`: what all families share - input checks, code widths, versions, centre, state
- `simhash`: signs of random projections; similarity is the cosine
- `dwta`: position of the largest of a few random coordinates; similarity is the order of coordinates
"""

from mongoose_nb.hashing.base import HashFamily, family_from_state
from mongoose_nb.hashing.dwta import DWTA
from mongoose_nb.hashing.simhash import SimHash

__all__ = ["DWTA", "HashFamily", "SimHash", "family_from_state"]
