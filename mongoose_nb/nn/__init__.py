"""Networks with wide layers: build, train, predict, save. NumPy arrays and SciPy CSR in, NumPy arrays out.

::

    Network (network.py)                        the facade: construction, prediction, saving; training.py has its steps and epochs
      SparseInput -> Dense / WideHidden ... -> WideOutput     layers: constructor, forward, backward (loss), update
                          |                       |
                          +----- samplers.py -----+            which units a step computes: Full, Uniform, LSH, Auto
      optimizers.py  lr.py  activations.py  callbacks.py  diagnostics.py      constants of a step; what happens around it

Every sparse layer trains through `row_update.RowUpdate`: pairs (row, sample) sorted by row, one owner per row.
"""

from mongoose_nb.nn.layers.wide_hidden import Wide
from mongoose_nb.nn.network import Network
from mongoose_nb.nn.sampling.samplers import LSH, Auto, Full, Sampler, Uniform
from mongoose_nb.nn.training.callbacks import Callback, Checkpoint, EarlyStopping, History, JSONLines, ProgressBar
from mongoose_nb.nn.training.diagnostics import Diagnostics
from mongoose_nb.nn.training.lr import Constant, Cosine, Linear, Step
from mongoose_nb.nn.training.optimizers import SGD, AdaGrad, Adam, RowAdam

__all__ = ["LSH", "SGD", "AdaGrad", "Adam", "Auto", "Callback", "Checkpoint", "Constant", "Cosine", "Diagnostics", "EarlyStopping", "Full",
           "History", "JSONLines", "Linear", "Network", "ProgressBar", "RowAdam", "Sampler", "Step", "Uniform", "Wide"]
