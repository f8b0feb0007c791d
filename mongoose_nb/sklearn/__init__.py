"""Estimators in the manner of scikit-learn.

- `classifier.MongooseClassifier`: multiclass and multilabel classification by a `Network`; works without scikit-learn too
- `sets.SetClassifier`, `sets.SetRegressor`: prediction from sets of records (`ragged`)
- `neighbors.LSHNeighbors`: a transformer to a graph of nearest neighbours by an `LSHIndex`
"""

import importlib

_LAZY = {"LSHNeighbors": "mongoose_nb.sklearn.neighbors", "MongooseClassifier": "mongoose_nb.sklearn.classifier",
         "SetClassifier": "mongoose_nb.sklearn.sets", "SetRegressor": "mongoose_nb.sklearn.sets"}

__all__ = ["LSHNeighbors", "MongooseClassifier", "SetClassifier", "SetRegressor"]


def __getattr__(name):
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'mongoose_nb.sklearn' has no attribute {name!r}")
