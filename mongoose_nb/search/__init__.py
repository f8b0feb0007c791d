"""Floor 3: nearest-neighbour and inner-product search.

::

    rows --check--> rows.*Rows (slots) <--- ids --- _ids.IdMap
      |                  |
      |   projection.Projection: main axes, coordinates, sketches
      |                  |
      +--> hash family --+--> tables.LSHTables
                               |
    queries --> index.LSHIndex.query --> _searcher.Searcher --> kernels.project, kernels.search

- `index.LSHIndex`: add, remove, update, query, candidates, radius
- `functions`: how an index learns projection and family from its rows, fills its tables, and hashes what comes
- `tune`: K, L, probes and rerank for a recall within a memory
- `dedup.find_duplicates`: all similar pairs of sets
- `storage`: the file of an index, mapped or read
- `neighbors.LSHNeighbors`: scikit-learn's neighbours transformer
- `faiss_like.FaissLike`, `hnswlib_like.HnswlibLike`: for code written for those
"""

from mongoose_nb.search.index import METRICS, LSHIndex

__all__ = ["METRICS", "LSHIndex"]
