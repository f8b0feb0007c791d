"""Language models with LSH attention and reversible layers (Kitaev et al., "Reformer", ICLR 2020), in NumPy and Numba.

::

    ReformerLM (model.py)     fit, evaluate, generate, save, load                        tasks.py: where batches come from
      Embedding -> Positions -> Dropout                     embedding.py, positions.py
      n x Reversible (reversible.py)                        y1 = x1 + f(x2), y2 = x2 + g(y1), in fixed point
            f: LayerNorm -> MultiHeadAttention -> Dropout   attention.py, on the cores of mongoose_nb.attention (cores.py)
            g: LayerNorm -> FeedForward -> Dropout          feedforward.py
      LayerNorm
    SoftmaxHead (head.py) or nn.layers.wide_output.WideOutput, which computes few tokens of many

All below the head is one layer, `body.Body`. Layers have the interface of `nn.Layer`, and LayerNorm, Dropout, Dense and Sequential are those
of `nn`; the loop is `nn.training.loop`. A layer keeps nothing of a pass, so that a value may be computed again before the backward pass.
"""

from mongoose_nb.reformer.model import ReformerLM
from mongoose_nb.reformer.tasks import CopyTask, Task, TextTask

__all__ = ["CopyTask", "ReformerLM", "Task", "TextTask"]
