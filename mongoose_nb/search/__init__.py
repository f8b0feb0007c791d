"""Nearest-neighbour and inner-product search.

::

    index.LSHIndex ── arguments, locks, changes; searching.SearchedIndex answers, saved.SavedIndex writes files
      |
      ├── names                        ids as they are, or keys <-> ids
      ├── ids.IdMap                    id <-> slot
      ├── builder.Builder              takes rows in; learner.Learner learns projection and functions, fills tables and sketches
      |     ├── rows/                  where rows are kept: dense, sparse, bits
      |     ├── projection.Projection  main axes, coordinates, sketches
      |     ├── drift.Drift            whether rows are still like those that functions were learned from
      |     ├── families.FamilyChoice  which hash family
      |     └── tables.LSHTables       (of a mapped file: mapped.MappedTables)
      ├── snapshot.Snapshot            what a search reads; kernels.search
      └── storage                      the file, mapped or read

    metrics/      what a distance needs: one class in one file
    tune          K, L, probes and rerank for a recall within a memory
    duplicates    all similar pairs of sets
    stream        similar sets in a stream
    sets          what is taken as sets
    shingles      texts as sets
    compat/       the interfaces of faiss and hnswlib
"""

from mongoose_nb.search.families import family_maker
from mongoose_nb.search.index import LSHIndex
from mongoose_nb.search.metrics import Metric

__all__ = ["LSHIndex", "Metric", "family_maker"]
