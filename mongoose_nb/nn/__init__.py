"""Networks with wide layers: build, train, predict, save. NumPy arrays and SciPy CSR in, NumPy arrays out.

::

    Network (network.py)                        the facade: construction, prediction, saving; training.py has its steps and epochs
      SparseInput -> Dense / Wide / ... -> WideOutput         layers: constructor, build, forward or loss, backward
                          |                       |
                          +----- sampling/ -------+            which units a step computes: Full, Uniform, LSH, Auto
      optimizers.py  lr.py  activations.py  callbacks.py  diagnostics.py      constants of a step; what happens around it
      retrieval/  ranking/  features.py       outputs that a prediction scores; their second ranking by rankers and neighbours

Gradients are values (`layers.gradients`). Where a batch touches few rows they are pairs (row, sample), sorted by row, one owner per row.
"""

from mongoose_nb.core.arrays import Rows
from mongoose_nb.nn.features import Features, StandardColumns
from mongoose_nb.nn.layers.activations import Activation
from mongoose_nb.nn.layers.base import Layer, Run, named
from mongoose_nb.nn.layers.dense import Dense
from mongoose_nb.nn.layers.dropout import Dropout
from mongoose_nb.nn.layers.embedding import Embedding
from mongoose_nb.nn.layers.hashed_dense import HashedDense
from mongoose_nb.nn.layers.hashed_input import HashedInput
from mongoose_nb.nn.layers.hashed_map import HashedMap
from mongoose_nb.nn.layers.hashed_output import HashedOutput
from mongoose_nb.nn.layers.input_dropout import InputDropout
from mongoose_nb.nn.layers.layer_norm import LayerNorm
from mongoose_nb.nn.layers.losses import Loss
from mongoose_nb.nn.layers.monarch import Monarch
from mongoose_nb.nn.layers.pixelfly import Pixelfly
from mongoose_nb.nn.layers.regularizers import Regularizer, SpreadOut
from mongoose_nb.nn.layers.sequential import Sequential
from mongoose_nb.nn.layers.set_embedding import SetEmbedding
from mongoose_nb.nn.layers.sparse_input import SparseInput
from mongoose_nb.nn.layers.wide_hidden import Wide
from mongoose_nb.nn.network import Network
from mongoose_nb.nn.retrieval.base import Retriever
from mongoose_nb.nn.retrieval.exact import ExactRetriever
from mongoose_nb.nn.retrieval.index import IndexRetriever
from mongoose_nb.nn.retrieval.ivf import IVFRetriever
from mongoose_nb.nn.retrieval.label_sensitive import LabelSensitiveRetriever
from mongoose_nb.nn.sampling.adaptive import Adaptive
from mongoose_nb.nn.sampling.auto import Auto
from mongoose_nb.nn.sampling.base import Sampler
from mongoose_nb.nn.sampling.candidate_sets import ActiveSets, SharedSet
from mongoose_nb.nn.sampling.corrections import Correction
from mongoose_nb.nn.sampling.full import Full
from mongoose_nb.nn.sampling.lsh import LSH
from mongoose_nb.nn.sampling.proposals import Frequency, Mixture, Proposal
from mongoose_nb.nn.sampling.strategies import Threshold
from mongoose_nb.nn.sampling.table_settings import Tables
from mongoose_nb.nn.sampling.uniform import Uniform
from mongoose_nb.nn.text_features import TextFeatures, TextFeatureStep
from mongoose_nb.nn.training.callbacks import Callback, Checkpoint, EarlyStopping, History, JSONLines, ProgressBar
from mongoose_nb.nn.training.diagnostics import Diagnostics
from mongoose_nb.nn.training.gradient_rows import LGDBatches, row_variance
from mongoose_nb.nn.training.hardness import HardnessTracker, hardness
from mongoose_nb.nn.training.lr import Constant, Cosine, Linear, LRSchedule, Step
from mongoose_nb.nn.training.optimizers import SGD, AdaGrad, Adam, RowAdam
from mongoose_nb.nn.training.row_sampling import BatchSampler, DrawnBatches, HardnessBatches, UniformBatches
from mongoose_nb.nn.training.trackers import MLflow, TensorBoard

__all__ = [
    "Activation", "ActiveSets", "AdaGrad", "Adam", "Adaptive", "Auto", "BatchSampler", "Callback", "Checkpoint", "Constant", "Correction",
    "Cosine", "Dense", "Diagnostics", "DrawnBatches", "Dropout", "EarlyStopping", "Embedding", "ExactRetriever", "Features", "Frequency",
    "Full", "HardnessBatches", "HardnessTracker", "HashedDense", "HashedInput", "HashedMap", "HashedOutput", "History", "IVFRetriever",
    "IndexRetriever", "InputDropout", "JSONLines", "LGDBatches", "LRSchedule", "LSH", "LabelSensitiveRetriever", "Layer", "LayerNorm",
    "Linear", "Loss", "MLflow", "Mixture", "Monarch", "Network", "Pixelfly", "ProgressBar", "Proposal", "Regularizer", "Retriever",
    "RowAdam", "Rows", "Run", "SGD", "Sampler", "Sequential", "SetEmbedding", "SharedSet", "SparseInput", "SpreadOut", "StandardColumns",
    "Step", "Tables", "TensorBoard", "TextFeatureStep", "TextFeatures", "Threshold", "Uniform", "UniformBatches", "Wide", "hardness",
    "named", "row_variance",
]
