"""Networks with wide layers: build, train, predict, save. NumPy arrays and SciPy CSR in, NumPy arrays out.

::

    Network (network.py)                        the facade: construction, prediction, saving; training.py has its steps and epochs
      SparseInput -> Dense / Wide / ... -> WideOutput         layers: constructor, build, forward or loss, backward
                          |                       |
                          +----- samplers.py -----+            which units a step computes: Full, Uniform, LSH, Auto
      optimizers.py  lr.py  activations.py  callbacks.py  diagnostics.py      constants of a step; what happens around it

Gradients are values (`layers.gradients`). Where a batch touches few rows they are pairs (row, sample), sorted by row, one owner per row.
"""

from mongoose_nb.nn.layers.activations import Activation
from mongoose_nb.nn.layers.base import Layer, Run, named
from mongoose_nb.nn.layers.dense import Dense
from mongoose_nb.nn.layers.dropout import Dropout
from mongoose_nb.nn.layers.layer_norm import LayerNorm
from mongoose_nb.nn.layers.losses import Loss
from mongoose_nb.nn.layers.sequential import Sequential
from mongoose_nb.nn.layers.sparse_input import SparseInput
from mongoose_nb.nn.layers.wide_hidden import Wide
from mongoose_nb.nn.network import Network
from mongoose_nb.nn.sampling.samplers import LSH, Auto, Full, Sampler, Uniform
from mongoose_nb.nn.training.callbacks import Callback, Checkpoint, EarlyStopping, History, JSONLines, ProgressBar
from mongoose_nb.nn.training.diagnostics import Diagnostics
from mongoose_nb.nn.training.lr import Constant, Cosine, Linear, LRSchedule, Step
from mongoose_nb.nn.training.optimizers import SGD, AdaGrad, Adam, RowAdam

__all__ = ["Activation", "AdaGrad", "Adam", "Auto", "Callback", "Checkpoint", "Constant", "Cosine", "Dense", "Diagnostics", "Dropout",
           "EarlyStopping", "Full", "History", "JSONLines", "LRSchedule", "LSH", "Layer", "LayerNorm", "Linear", "Loss", "Network",
           "ProgressBar", "RowAdam", "Run", "SGD", "Sampler", "Sequential", "SparseInput", "Step", "Uniform", "Wide", "named"]
