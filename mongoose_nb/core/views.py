"""Arrays as kernels are given them."""

from __future__ import annotations

import numpy as np


def read_only(array: np.ndarray) -> np.ndarray:
    """A read-only view. To Numba, arrays that may be written are another type: a kernel that only reads is always given this one, and
    compiled once."""
    view = array.view(np.ndarray)
    view.flags.writeable = False
    return view
