"""Sparse rows: what a product of matrices proposes."""

import numpy as np

from mongoose_nb.search.metrics import Jaccard
from mongoose_nb.search.rows.sparse import MOST_COUNTED, SparseRows


def test_counts_of_large_sets_propose_nothing():
    """They are summed in float32; a set that may have more common members than that counts is compared with all rows."""
    assert np.float32(MOST_COUNTED) + np.float32(1) == MOST_COUNTED
    errors = SparseRows(Jaccard(), 2**30)._errors(None, (np.cumsum([0, 5, MOST_COUNTED, MOST_COUNTED + 1]), None, None))
    assert (errors[:2] < 1e-6).all() and np.isinf(errors[2])
