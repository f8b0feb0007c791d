"""Gradients of rows that are touched sparsely."""

import numpy as np
import pytest

from mongoose_nb.core.arrays import Parameter
from mongoose_nb.nn.layers.gradients import RowGradient, RowStore, apply_gradients
from mongoose_nb.nn.training.optimizers import make_optimizer


def test_pairs_that_another_gradient_has_sorted():
    """The step is that of a gradient that sorts them itself, whichever is applied first."""
    rng, ids = np.random.default_rng(0), np.random.default_rng(1).integers(0, 40, 200).astype(np.int32)
    values, single = rng.standard_normal((200, 8)).astype(np.float32), rng.standard_normal((200, 1)).astype(np.float32)
    found = []
    for shared in (False, True):
        wide, narrow = (Parameter(np.ones((40, width), np.float32)) for width in (8, 1))
        optimizer = make_optimizer("adam", 0.1)
        for parameter in (wide, narrow):
            parameter.attach(optimizer)
        for step in range(2):
            first = RowGradient.of_rows(RowStore(wide), ids, values)
            second = RowGradient.of_rows(RowStore(narrow), ids, single)
            if shared:
                second.sort_with(first)
            apply_gradients({"narrow": narrow, "wide": wide}, {"narrow": second, "wide": first}, optimizer, step)
        found.append((wide.value, narrow.value, second.square_norm()))
    assert all(np.array_equal(a, b) for a, b in zip(*found))
    with pytest.raises(ValueError, match="200 pairs of 40 rows; needed are the same pairs, 100 of 40"):
        RowGradient.of_rows(RowStore(narrow), ids[:100], single[:100]).sort_with(first)
