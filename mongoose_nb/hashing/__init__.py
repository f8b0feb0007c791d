"""Hash families: similar rows get equal codes more often than others.

::

    rows X (n, d), dense or CSR          family: K hashes per table, L tables, seed, centre, version
            |                                              |
            +----------> base.HashFamily.hash <------------+
                         checks, picks dtypes, allocates
                                   |
                         kernels.hashing (Numba)
                                   |
                         codes, (L, n) unsigned: one number per table and row

- `arguments`: numbers and arrays as families accept them
- `base`: what all families share - input checks, code widths, versions, centre, state
- `simhash`: signs of random projections; similarity is the cosine
- `flips`: the order in which multi-probe flips signs
- `dwta`, `wta`: position of the largest of a few random coordinates; similarity is the order of coordinates
- `crosspolytope`: largest coordinate of a random rotation; similarity is the cosine
- `pstable`: slot of a random projection; Euclidean or Manhattan distance
- `minhash`: smallest member of a set in a random order; Jaccard similarity
- `bitsampling`: bits at random places; Hamming distance
- `transforms`: rows and queries whose inner product becomes a cosine or a distance
- `inner_product`: the same for the weights and biases of an output layer
"""

from mongoose_nb.hashing.base import HashFamily, family_from_state
from mongoose_nb.hashing.bitsampling import BitSampling
from mongoose_nb.hashing.crosspolytope import CrossPolytope
from mongoose_nb.hashing.dwta import DWTA
from mongoose_nb.hashing.learned import LearnedHash, make_learned
from mongoose_nb.hashing.minhash import MinHash
from mongoose_nb.hashing.pstable import PStable
from mongoose_nb.hashing.simhash import SimHash
from mongoose_nb.hashing.transforms import L2ALSH, InnerProductTransform, NormRange, SignALSH, SimpleLSH
from mongoose_nb.hashing.wta import WTA

__all__ = [
    "DWTA",
    "L2ALSH",
    "WTA",
    "BitSampling",
    "CrossPolytope",
    "HashFamily",
    "InnerProductTransform",
    "LearnedHash",
    "MinHash",
    "NormRange",
    "PStable",
    "SignALSH",
    "SimHash",
    "SimpleLSH",
    "family_from_state",
    "make_learned",
]
