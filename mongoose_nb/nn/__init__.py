"""Networks with wide layers: build, train, predict, save. NumPy arrays and SciPy CSR in, NumPy arrays out.

::

    Network (network.py)                        the facade: construction, prediction, saving; training.py has its steps and epochs
      SparseInput -> Dense / WideHidden ... -> WideOutput     layers: constructor, forward, backward (loss), update
                          |                       |
                          +----- sampling/ -------+            which units a step computes: Full, Uniform, LSH, Auto
      optimizers.py  lr.py  activations.py  callbacks.py  diagnostics.py      constants of a step; what happens around it

Every sparse layer trains through `row_update.RowUpdate`: pairs (row, sample) sorted by row, one owner per row.
"""

from mongoose_nb.core.arrays import Rows
from mongoose_nb.nn.layers.wide_hidden import Wide
from mongoose_nb.nn.network import Network
from mongoose_nb.nn.retrieval.base import Retriever
from mongoose_nb.nn.retrieval.exact import ExactRetriever
from mongoose_nb.nn.retrieval.label_sensitive import LabelSensitiveRetriever
from mongoose_nb.nn.sampling.adaptive import Adaptive
from mongoose_nb.nn.sampling.auto import Auto
from mongoose_nb.nn.sampling.base import Sampler
from mongoose_nb.nn.sampling.candidate_sets import ActiveSets, SharedSet
from mongoose_nb.nn.sampling.corrections import Correction
from mongoose_nb.nn.sampling.full import Full
from mongoose_nb.nn.sampling.lsh import LSH
from mongoose_nb.nn.sampling.strategies import Threshold
from mongoose_nb.nn.sampling.table_settings import Tables
from mongoose_nb.nn.sampling.uniform import Uniform
from mongoose_nb.nn.training.callbacks import Callback, Checkpoint, EarlyStopping, History, JSONLines, ProgressBar
from mongoose_nb.nn.training.diagnostics import Diagnostics
from mongoose_nb.nn.training.lr import Constant, Cosine, Linear, Step
from mongoose_nb.nn.training.optimizers import SGD, AdaGrad, Adam, RowAdam

__all__ = ["LSH", "SGD", "ActiveSets", "AdaGrad", "Adam", "Adaptive", "Auto", "Callback", "Checkpoint", "Constant", "Correction", "Cosine",
           "Diagnostics", "EarlyStopping", "ExactRetriever", "Full", "History", "JSONLines", "LabelSensitiveRetriever", "Linear", "Network",
           "ProgressBar", "Retriever", "RowAdam", "Rows", "Sampler", "SharedSet", "Step", "Tables", "Threshold", "Uniform", "Wide"]
