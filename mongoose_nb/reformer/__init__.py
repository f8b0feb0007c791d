"""Floor 4: language models with LSH attention and reversible layers (Kitaev et al., "Reformer", ICLR 2020), in NumPy and Numba.

::

    ReformerLM (model.py)     fit, evaluate, generate, save, load                        tasks.py: where batches come from
      Embedding -> Positions -> Dropout                     embedding.py, positions.py, dropout.py
      n x Reversible (reversible.py)                        y1 = x1 + f(x2), y2 = x2 + g(y1), in fixed point
            f: LayerNorm -> MultiHeadAttention -> Dropout   norm.py, attention.py, on the cores of mongoose_nb.attention
            g: LayerNorm -> FeedForward -> Dropout          feedforward.py
      LayerNorm -> SoftmaxHead | WideHead                   head.py; the wide one computes few outputs of many, as `nn` does

Every layer has the same four parts (layer.py): a constructor that draws the parameters, ``parameters()``, ``forward(x, run)`` that
returns the value and a cache, and ``backward(g, cache)`` that returns the gradient with respect to x and those of the parameters. A layer
keeps nothing between the two, so that a value may be computed again in between.
"""

from mongoose_nb.reformer.model import ReformerLM
from mongoose_nb.reformer.tasks import CopyTask, Task, TextTask

__all__ = ["CopyTask", "ReformerLM", "Task", "TextTask"]
