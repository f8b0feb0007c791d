"""Beyond one machine: training, search, duplicates and prediction on a Dask cluster.

Needs the extra ``dask``: ``pip install 'mongoose_nb[dask]'``. Nothing else in the package imports this one. Every function takes
``client=``, a `distributed.Client` or the address of a scheduler; by default the client that was made last.
"""

from mongoose_nb.distributed.duplicates import find_duplicates
from mongoose_nb.distributed.index import LSHIndex
from mongoose_nb.distributed.prediction import predict
from mongoose_nb.distributed.texts import shingles
from mongoose_nb.distributed.training import fit, fit_auto

__all__ = ["LSHIndex", "find_duplicates", "fit", "fit_auto", "predict", "shingles"]
