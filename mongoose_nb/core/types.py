"""Names for the types of arguments that many functions take. Import them under ``TYPE_CHECKING``: SciPy is loaded for them."""

import os
from typing import TypeAlias

import numpy as np
import scipy.sparse as sp

#: a dense array or a sparse matrix, one row per sample
Matrix: TypeAlias = np.ndarray | sp.csr_matrix | sp.csr_array
#: the name of a file or directory
PathLike: TypeAlias = str | os.PathLike[str]
