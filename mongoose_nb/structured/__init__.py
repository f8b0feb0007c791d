"""Structured matrices: Monarch (blocks along two diagonals and a stride permutation) and Pixelated Butterfly (sparse blocks, low rank).

::

    MonarchMatrix(L, R)         @, .T, to_dense(), n_params
    monarch_project(A)          the nearest one, and how far away it is
    pixelfly_mask(...)          which blocks of a matrix are stored
    pixelfly_budget(...)        a budget of parameters, shared among the layers of a model

`nn.Monarch` and `nn.Pixelfly` are layers of them, with kernels of their own; what is here computes in NumPy.
"""

from mongoose_nb.structured.butterfly import butterfly_factor, pixelfly_budget, pixelfly_mask
from mongoose_nb.structured.layout import MonarchLayout
from mongoose_nb.structured.monarch import MonarchMatrix, monarch_project

__all__ = ["MonarchLayout", "MonarchMatrix", "butterfly_factor", "monarch_project", "pixelfly_budget", "pixelfly_mask"]
