"""Names for the types of arguments that many functions take. Importing them does not load SciPy."""

import os
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    import scipy.sparse as sp

#: a dense array or a sparse matrix, one row per sample
Matrix: TypeAlias = "np.ndarray | sp.csr_matrix | sp.csr_array"
#: the name of a file or directory
PathLike: TypeAlias = str | os.PathLike[str]
