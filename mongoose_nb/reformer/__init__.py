"""Language models with LSH attention and reversible layers (Kitaev et al., "Reformer", ICLR 2020), in NumPy and Numba.

::

    ReformerLM (model.py)     fit, evaluate, generate, save, load                        tasks.py: where batches come from
      Embedding -> Positions -> Dropout                     embedding.py, positions.py
      n x Reversible (reversible.py)                        y1 = x1 + f(x2), y2 = x2 + g(y1), in fixed point
            f: LayerNorm -> MultiHeadAttention -> Dropout   attention.py, by the kinds in kinds/, which cores.py holds
            g: LayerNorm -> FeedForward -> Dropout          feedforward.py
      LayerNorm
    SoftmaxHead (head.py) or nn.layers.wide_output.WideOutput, which computes few tokens of many

All below the head is one layer, `body.Body`. Layers have the interface of `nn.Layer`; LayerNorm, Dropout, Dense and Sequential are those of
`nn`, and so is the training loop, `nn.training.loop`. A layer keeps nothing of a pass, so that a value may be computed again before the
backward pass. `generation` and `decoding` continue sequences. A kind of attention of your own derives from `AttentionKind`.
"""

from mongoose_nb.reformer.kinds import AttentionKind
from mongoose_nb.reformer.model import ReformerLM
from mongoose_nb.reformer.tasks import CopyTask, Task, TextTask

__all__ = ["AttentionKind", "CopyTask", "ReformerLM", "Task", "TextTask"]
