"""Projections: what is hashed of the query of an inner product."""

import numpy as np
import pytest

from mongoose_nb.search import LSHIndex
from mongoose_nb.search.projection import AIM_SHARE, Projection
from mongoose_nb.testing import check_shapes


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def index():
    rng = np.random.default_rng(0)
    index = LSHIndex("ip", dim=24, train_size=100)
    index.add(rng.standard_normal((600, 6)) @ rng.standard_normal((6, 24)) + 2)
    return index


@pytest.mark.parametrize("metric", ["cosine", "l2", "ip"])
def test_recall_on_shapes(metric):
    """With queries hashed as they are, inner products find 0.27 of the neighbours on the axes of low rank and 0.20 on shifted ones."""
    check_shapes(lambda: LSHIndex(metric, dim=64), metric=metric)


def test_aim_is_the_sum_of_two_directions(index):
    projection, Q = index.builder.projection, np.random.default_rng(1).standard_normal((20, 24)).astype(np.float32)
    Y, _ = projection.project(index.builder.check(Q)[1], queries=True)
    centred = np.where(projection.spread > 1e-6, Y.astype(np.float64) + projection.mean_axes, 0)
    near = unit(centred) * projection.longest - projection.mean_axes
    expected = AIM_SHARE * unit(centred * projection.spread) + (1 - AIM_SHARE) * unit(near)
    np.testing.assert_allclose(projection.aim(Y), expected, atol=1e-5)
    rows = index.builder.rows.take(np.arange(600))
    variance = projection.project(rows)[0].astype(np.float64).var(axis=0)
    np.testing.assert_allclose(projection.spread, variance / variance.max(), atol=1e-4)


def test_aim_does_not_depend_on_the_length_of_a_query(index):
    """Nor on its part off the axes of the rows, with which all products are 0."""
    projection, q = index.builder.projection, np.random.default_rng(1).standard_normal((1, 24)).astype(np.float32)
    X = index.builder.rows.take(np.arange(600)).astype(np.float64)
    basis = np.linalg.qr(np.column_stack([(X - X.mean(axis=0)).T[:, :6], X.mean(axis=0)]))[0]
    off = np.ones((1, 24)) @ np.diag(np.arange(24)) @ (np.eye(24) - basis @ basis.T)

    def aimed(q):
        return unit(projection.aim(projection.project(index.builder.check(q)[1], queries=True)[0]))

    np.testing.assert_allclose(aimed(q * 1e6), aimed(q), atol=1e-4)
    np.testing.assert_allclose(aimed(q + off), aimed(q), atol=2e-3)
    assert np.isfinite(projection.aim(projection.project(index.builder.check(q * 0)[1], queries=True)[0])).all()


def test_aim_is_saved_and_older_projections_hash_queries_as_they_are(index):
    projection = index.builder.projection
    Y = np.random.default_rng(1).standard_normal((5, projection.axes.shape[1])).astype(np.float32)
    state = projection.state()
    np.testing.assert_array_equal(Projection.from_state(state).aim(Y), projection.aim(Y))
    del state["spread"]  # as files were before
    assert Projection.from_state(state).aim(Y) is Y
    for wrong in (np.ones(3, np.float32), np.full_like(projection.spread, np.nan), -projection.spread):
        with pytest.raises(ValueError, match="saved spread"):
            Projection.from_state({**state, "spread": wrong})


@pytest.mark.parametrize("metric", ["cosine", "l2"])
def test_distances_hash_queries_as_rows(metric):
    index = LSHIndex(metric, dim=8, train_size=50)
    index.add(np.random.default_rng(0).standard_normal((100, 8)))
    Y = np.ones((2, 8), np.float32)
    assert index.builder.projection.aim(Y) is Y
