"""Density sketches: against an exact count of cells, known densities, merging, samples, files."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mongoose_nb.sketch import DensitySketch


def normal(n, d, seed=0):
    return np.random.default_rng(seed).standard_normal((n, d))


def equal(a, b):
    return a.n_rows == b.n_rows and all(np.array_equal(x, y) for x, y in zip(a.parts().values(), b.parts().values()))


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 4), st.integers(2, 150), st.integers(1, 400), st.integers(0, 3), st.booleans())
def test_parts_merge_into_the_whole_bit_for_bit(d, n, max_cells, seed, whiten):
    X = np.round(normal(n, d, seed), 1)  # with repeated rows
    whole = DensitySketch(0.4, n_repeats=2, levels=2, width=64, max_cells=max_cells, whiten=whiten, seed=seed).fit(X)
    order = np.random.default_rng(seed).permutation(n)
    parts = [whole.like() for _ in range(3)]
    for part, rows in zip(parts, np.array_split(order, 3)):
        for half in np.array_split(rows, 2):
            part.partial_fit(X[half])
    parts[1].merge(parts[2])
    assert equal(parts[0].merge(parts[1]), whole)


def test_counts_are_those_of_cells():
    """Without collisions in the tables, the density is the mean of exact counts in rotated grids."""
    X = normal(500, 2)
    sketch = DensitySketch(0.5, n_repeats=3, levels=1, width=1 << 16, depth=3).fit(X)
    mean, cov = X.mean(axis=0), np.cov(X.T, bias=True)
    cells = sketch.parts()["cells"]
    assert len(cells) == sketch.report()["cells"] < 500 and sketch.report()["dimensions"] == 2
    assert sketch.parts()["table"].sum() == 500 * 3 * 3
    # the density of a level integrates to one in whitened space
    side = 40 / 400
    grid = np.linspace(-20, 20, 400, endpoint=False) + side / 2
    plane = np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 2)
    inverse = np.linalg.cholesky(cov)
    log = sketch.score_samples(mean + plane @ inverse.T) + 0.5 * np.log(np.linalg.det(cov))
    density = np.exp(log)
    assert density.sum() * side**2 == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("d, n, error", [(1, 20_000, 0.12), (2, 20_000, 0.15), (4, 20_000, 0.4)])
def test_log_densities_of_normal_rows(d, n, error):
    scales = np.arange(1, d + 1) * 10.0
    X, Q = normal(n, d) * scales, normal(1000, d, 1) * scales
    want = -0.5 * ((Q / scales) ** 2).sum(axis=1) - np.log(scales).sum() - 0.5 * d * np.log(2 * np.pi)
    got = DensitySketch().fit(X).score_samples(Q)
    assert np.abs(got - want).mean() < error


def test_far_points_are_strange_and_finite():
    sketch = DensitySketch().fit(normal(2000, 3))
    scores = sketch.anomaly_scores([[0, 0, 0], [4, 4, 4], [40, 0, 0], [60, 0, 0], [-1e18, 1e18, 0], [1e300, 0, 0]])
    assert np.isfinite(scores).all() and (np.diff(scores) > 0).all()


def test_beyond_all_grids_the_density_is_that_of_a_cauchy_distribution():
    X = normal(2000, 3) * [1, 10, 100]
    far = normal(5, 3, 1) * [1, 10, 100] * 1000
    y = np.linalg.solve(np.linalg.cholesky(np.cov(X.T, bias=True)), (far - X.mean(axis=0)).T)
    want = -2 * np.log(np.pi) - 2 * np.log1p((y**2).sum(axis=0)) - np.log(np.linalg.cholesky(np.cov(X.T, bias=True)).diagonal()).sum()
    np.testing.assert_allclose(DensitySketch().fit(X).score_samples(far), want + np.log(0.001), rtol=1e-9)


def test_samples_are_like_the_rows():
    """Means, covariances and a gap between two clusters."""
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal([0, 0], [1, 0.2], (3000, 2)), rng.normal([6, 3], [0.3, 1], (1000, 2))])
    sketch = DensitySketch(0.2).fit(X)
    S = sketch.sample(4000, seed=3)
    np.testing.assert_allclose(S.mean(axis=0), X.mean(axis=0), atol=0.2)
    np.testing.assert_allclose(np.cov(S.T), np.cov(X.T), rtol=0.1, atol=0.2)
    assert abs((S[:, 0] > 4).mean() - 0.25) < 0.03 and ((S[:, 0] > 3.3) & (S[:, 0] < 4.2)).mean() < 0.03
    np.testing.assert_array_equal(S, sketch.sample(4000, seed=3))
    few = DensitySketch(0.2, max_cells=50).fit(X)  # a sample of the cells
    assert len(few.parts()["cells"]) == 50 and abs((few.sample(4000)[:, 0] > 4).mean() - 0.25) < 0.2
    assert sketch.sample(0).shape == (0, 2)


def test_constant_and_dependent_columns():
    X = normal(1000, 2)
    X = np.column_stack([X, np.full(1000, 7.0), X[:, 0] + X[:, 1]])
    sketch = DensitySketch().fit(X)
    S = sketch.sample(100)
    assert sketch.report()["dimensions"] == 2 and np.isfinite(sketch.score_samples(X)).all()
    np.testing.assert_allclose(S[:, 2], 7)
    np.testing.assert_allclose(S[:, 3], S[:, 0] + S[:, 1], atol=1e-6)


def test_many_dimensions_do_not_overflow():
    assert np.isfinite(DensitySketch(10.0, n_repeats=1, levels=2, width=64).fit(normal(350, 300)).score_samples(np.zeros((1, 300)))).all()


def test_files(tmp_path):
    sketch = DensitySketch(0.5).fit(normal(300, 2))
    sketch.save(tmp_path / "d")
    again = DensitySketch.load(tmp_path / "d")
    assert equal(again, sketch) and repr(again) == repr(sketch)
    np.testing.assert_array_equal(again.sample(20), sketch.sample(20))
    assert equal(again.merge(sketch.like().partial_fit(normal(10, 2, 1))), sketch.partial_fit(normal(10, 2, 1)))


def test_parameters_as_in_scikit_learn():
    clone = pytest.importorskip("sklearn.base").clone
    sketch = clone(DensitySketch(0.3, n_repeats=4)).set_params(width=128)
    assert sketch.get_params()["width"] == 128 and sketch.n_repeats == 4
    assert sketch.fit(normal(50, 2)).score(normal(5, 2)) == pytest.approx(sketch.score_samples(normal(5, 2)).sum())
    with pytest.raises(ValueError, match="unknown parameter"):
        sketch.set_params(nothing=1)


@pytest.mark.parametrize("X", [[[1.0, np.nan]] * 3, [[np.inf, 0]] * 3, [1, 2, 3], [["a"]], np.zeros((5, 2)), np.zeros((1, 2)),
                               np.zeros((0, 2)), np.zeros((3, 0))])
def test_what_is_refused(X):
    with pytest.raises(ValueError):
        DensitySketch().fit(X)


def test_refusals_change_nothing():
    sketch = DensitySketch().fit(normal(50, 2))
    before = {name: array.copy() for name, array in sketch.parts().items()}
    for wrong in (normal(5, 3), [[np.nan, 1]], "x"):
        with pytest.raises(ValueError):
            sketch.partial_fit(wrong)
    with pytest.raises(ValueError, match="first.like"):
        sketch.merge(DensitySketch().fit(normal(60, 2, 1)))
    with pytest.raises(TypeError):
        sketch.merge(None)
    assert all(np.array_equal(before[name], array) for name, array in sketch.parts().items())
    with pytest.raises(ValueError, match="empty"):
        DensitySketch().score_samples([[1, 2]])
    with pytest.raises(ValueError, match="empty"):
        DensitySketch().sample()
    for arguments in ({"bandwidth": 0}, {"bandwidth": -1.0}, {"n_repeats": 0}, {"max_cells": 0}):
        with pytest.raises(ValueError):
            DensitySketch(**arguments)


def test_in_searches_and_pipelines_of_scikit_learn():
    from sklearn.base import clone
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    X = np.random.default_rng(0).standard_normal((300, 2))
    search = GridSearchCV(DensitySketch(n_repeats=4), {"bandwidth": [0.5, 50]}, cv=2).fit(X)
    assert search.best_params_ == {"bandwidth": 0.5}
    assert np.isfinite(make_pipeline(StandardScaler(), clone(search.best_estimator_)).fit(X).score_samples(X)).all()
