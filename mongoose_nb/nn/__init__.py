"""Networks with wide layers: build, train, predict, save. NumPy arrays and SciPy CSR in, NumPy arrays out.

::

    Network (network.py)                        the facade: construction, prediction, saving; training.py has its steps and epochs
      SparseInput -> Dense / WideHidden ... -> WideOutput     layers: constructor, forward, backward (loss), update
                          |                       |
                          +----- samplers.py -----+            which units a step computes: Full, Uniform, LSH, Auto
      optimizers.py  lr.py  activations.py  callbacks.py  diagnostics.py      constants of a step; what happens around it

Every sparse layer trains through `row_update.RowUpdate`: pairs (row, sample) sorted by row, one owner per row.
"""

from mongoose_nb.nn.callbacks import Callback, Checkpoint, EarlyStopping, History, JSONLines, ProgressBar
from mongoose_nb.nn.diagnostics import Diagnostics
from mongoose_nb.nn.lr import Constant, Cosine, Linear, Step
from mongoose_nb.nn.network import Network
from mongoose_nb.nn.optimizers import SGD, AdaGrad, Adam, RowAdam
from mongoose_nb.nn.samplers import LSH, Auto, Full, Sampler, Uniform
from mongoose_nb.nn.wide_hidden import Wide

__all__ = ["LSH", "SGD", "AdaGrad", "Adam", "Auto", "Callback", "Checkpoint", "Constant", "Cosine", "Diagnostics", "EarlyStopping", "Full",
           "History", "JSONLines", "Linear", "Network", "ProgressBar", "RowAdam", "Sampler", "Step", "Uniform", "Wide"]
