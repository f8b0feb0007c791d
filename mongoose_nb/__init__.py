"""mongoose_nb: train and serve very wide layers on CPUs by locality-sensitive hashing (LSH).

::

    input row -> hidden activation h -> hash h -> look up buckets -> candidate outputs -> sparse softmax -> gradient
                                            ^                                                     |
                                            |        rows that moved                              v
                                       hash tables  <- scheduler (is it time?)        <-  updated weight rows

Public names are imported lazily (PEP 562): importing this module loads NumPy and nothing heavier.
"""

import importlib
import logging

import numpy as np  # noqa: F401  (the one import every part needs)

from mongoose_nb._version import __version__
from mongoose_nb.core.registry import register_later

# Public name -> module that defines it.
_LAZY = {
    "SimHash": "mongoose_nb.hashing",
    "CrossPolytope": "mongoose_nb.hashing",
    "DWTA": "mongoose_nb.hashing",
    "WTA": "mongoose_nb.hashing",
    "MinHash": "mongoose_nb.hashing",
    "PStable": "mongoose_nb.hashing",
    "BitSampling": "mongoose_nb.hashing",
    "SimpleLSH": "mongoose_nb.hashing",
    "NormRange": "mongoose_nb.hashing",
    "L2ALSH": "mongoose_nb.hashing",
    "SignALSH": "mongoose_nb.hashing",
    "LSHTables": "mongoose_nb.tables",
    "SetClassifier": "mongoose_nb.sklearn.sets",
    "SetRegressor": "mongoose_nb.sklearn.sets",
    "LSHIndex": "mongoose_nb.search",
    "find_duplicates": "mongoose_nb.search.duplicates",
    "DuplicateFinder": "mongoose_nb.search.stream",
    "shingles": "mongoose_nb.search.shingles",
    "Network": "mongoose_nb.nn",
    "MongooseClassifier": "mongoose_nb.sklearn",
    "LSHNeighbors": "mongoose_nb.sklearn",
    "LGDClassifier": "mongoose_nb.linear",
    "SolarClassifier": "mongoose_nb.solar",
    "LGDRegressor": "mongoose_nb.linear",
    "ReformerLM": "mongoose_nb.reformer",
    "IDLHash": "mongoose_nb.sketch",
    "BloomFilter": "mongoose_nb.sketch",
    "COBSIndex": "mongoose_nb.sketch",
    "RAMBOIndex": "mongoose_nb.sketch",
    "DensitySketch": "mongoose_nb.sketch",
    "ClickClassifier": "mongoose_nb.recommend",
}
_MODULES = ("attention", "compress", "data", "distributed", "hashing", "metrics", "nn", "recommend", "reformer", "rehash", "search",
            "sketch", "sklearn", "tables", "testing")

__all__ = ["__version__", *_LAZY, *_MODULES]

# what is registered by a package that nobody has imported yet
register_later("retriever", "solar", "mongoose_nb.solar.retriever")

logging.getLogger("mongoose_nb").addHandler(logging.NullHandler())


def __getattr__(name):
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    if name in _MODULES:
        return importlib.import_module(f"mongoose_nb.{name}")
    raise AttributeError(f"module 'mongoose_nb' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
