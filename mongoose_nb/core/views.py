"""Arrays as kernels are given them."""

import numpy as np


def read_only(array):
    """A read-only view. To Numba, arrays that may be written are another type: a kernel that only reads is always given this one, and
    compiled once."""
    view = array.view(np.ndarray)
    view.flags.writeable = False
    return view
