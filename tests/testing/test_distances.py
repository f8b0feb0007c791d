"""Distances and similarities say the same."""

import numpy as np
import pytest

from mongoose_nb.testing import similarity_of
from mongoose_nb.testing.distances import DISTANCES


@pytest.mark.parametrize("metric, of_similarity", [
    ("cosine", lambda s: 1 - s), ("l2", lambda s: s), ("ip", lambda s: -s), ("jaccard", lambda s: 1 - s), ("hamming", lambda s: s)])
def test_distances_are_those_of_the_similarity(metric, of_similarity):
    X = np.random.default_rng(0).integers(-1, 2, (30, 7)).astype(np.float64)
    X[:, 0] = 1  # no row of zeros, which has no cosine
    for q in X[:5]:
        np.testing.assert_allclose(DISTANCES[metric](q, X), of_similarity(similarity_of(np.tile(q, (30, 1)), X, metric)), atol=1e-12)
