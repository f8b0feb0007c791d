"""Sketches: small summaries of large sets and streams, which can be merged and queried.

::

    sequences        texts of bases as bytes; files of them: reading
      |
    kmer_hash.KmerHash        addresses of k-mers: random_hash.RandomHash, idl.IDLHash
      |
      ├── bloom.BloomFilter   which k-mers (or keys) are in a set
      ├── cobs.COBSIndex      which documents have the k-mers: a filter for each document, bit by bit side by side
      └── rambo.RAMBOIndex    the same with filters that documents share

    keys             integers and strings as words of 64 bits
      |
      ├── count_min.CountMinSketch, count_sketch.CountSketch      how often
      └── top_keys.TopKeys    which are frequent

    race.RACE                 sums of collision kernels over an LSH family
    density.DensitySketch     log densities, samples and anomaly scores from counts of cells
"""

from mongoose_nb.sketch.bloom import BloomFilter
from mongoose_nb.sketch.cobs import COBSIndex
from mongoose_nb.sketch.count_min import CountMinSketch
from mongoose_nb.sketch.count_sketch import CountSketch
from mongoose_nb.sketch.density import DensitySketch
from mongoose_nb.sketch.idl import IDLHash
from mongoose_nb.sketch.kmer_hash import KmerHash
from mongoose_nb.sketch.race import RACE
from mongoose_nb.sketch.rambo import RAMBOIndex
from mongoose_nb.sketch.random_hash import RandomHash
from mongoose_nb.sketch.top_keys import TopKeys

__all__ = ["RACE", "BloomFilter", "COBSIndex", "CountMinSketch", "CountSketch", "DensitySketch", "IDLHash", "KmerHash", "RAMBOIndex",
           "RandomHash", "TopKeys"]
