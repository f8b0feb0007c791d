"""The best of all outputs against sorting all scores."""

import numpy as np
import pytest

from mongoose_nb.nn.retrieval.exact import best_outputs


@pytest.mark.parametrize("n", [1, 5, 2048, 2049], ids=["one row", "few", "the most in ranges", "one range"])
def test_against_sorting(n):
    rng = np.random.default_rng(n)
    # whole numbers: scores are exact in any order of summing, and many are equal
    h, weights = (rng.integers(-3, 4, (m, 6)).astype(np.float32) for m in (n, 70))
    bias = rng.integers(-3, 4, 70).astype(np.float32)
    ids, scores = best_outputs(h, weights, bias, 4)
    all_scores = h @ weights.T + bias
    expected = np.argsort(-all_scores, axis=1, kind="stable")[:, :4]
    np.testing.assert_array_equal(ids, expected)
    np.testing.assert_array_equal(scores, np.take_along_axis(all_scores, expected, 1))
    assert ids.dtype == np.int32 and scores.dtype == np.float32
