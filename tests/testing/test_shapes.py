"""The check of recall on shapes of data: brute force passes, and an index that misses rows fails."""

import numpy as np
import pytest
from naive_index import BruteForce

from mongoose_nb.testing import CheckFailed, check_shapes
from mongoose_nb.testing.shapes import SHAPES, draw_shape

SMALL = {"dim": 24, "n": 200, "n_queries": 20}


@pytest.mark.parametrize("metric", ["cosine", "l2", "ip"])
def test_brute_force_passes(metric):
    report = check_shapes(lambda: BruteForce(metric), metric=metric, recall=1.0, unlike=1.0, **SMALL)
    assert len(report) == len(SHAPES) * (1 + (metric == "ip"))


def test_an_index_that_misses_rows_fails():
    class Half(BruteForce):
        def query(self, Q, k):
            ids, distances = super().query(Q, k)
            return np.where(np.arange(k) < k // 2, ids, -1), distances

    with pytest.raises(CheckFailed, match="recall: low rank: observed 0.500"):
        check_shapes(lambda: Half("l2"), metric="l2", **SMALL)


def test_shapes_are_what_they_are_called():
    rng = np.random.default_rng(0)
    drawn = {shape: draw_shape(shape, 500, 24, rng).astype(np.float64) for shape in SHAPES}
    assert all(np.linalg.matrix_rank(X - X.mean(axis=0), tol=1e-3) == 10 for shape, X in drawn.items() if shape != "orthant")
    assert (drawn["orthant"] >= 0).all() and (np.abs(drawn["shifted"].mean(axis=0) - 10) < 1).all()
    values = np.linalg.svd(drawn["dominant direction"], compute_uv=False) ** 2
    assert values[0] > 0.8 * values.sum()


def test_refusals():
    with pytest.raises(ValueError, match="shapes some of"):
        check_shapes(BruteForce, shapes=["round"])
    with pytest.raises(ValueError, match="metric must be"):
        check_shapes(BruteForce, metric="jaccard")
