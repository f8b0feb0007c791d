"""Pairs of rows stand at the similarity that was asked for."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mongoose_nb.testing import METRICS, Metric, pairs_at, similarity_of

EXACT = ["cosine", "l2", "ip"]
VALUES = {"cosine": [-1, -0.7, 0, 0.3, 0.999, 1], "l2": [0, 0.01, 3, 500], "ip": [-3, 0, 0.4, 20], "jaccard": [0, 0.25, 0.5, 0.9, 1],
          "hamming": [0, 2, 8, 20], "correlation": [-1, 0, 0.6, 1]}


def naive_similarity(x, y, metric):
    """One pair, in plain Python."""
    if metric == "jaccard":
        a, b = ({i for i, value in enumerate(row) if value} for row in (x, y))
        return len(a & b) / len(a | b) if a | b else 1.0
    if metric == "hamming":
        return sum(a != b for a, b in zip(x, y))
    if metric == "l2":
        return sum((a - b) ** 2 for a, b in zip(x, y)) ** 0.5
    if metric == "correlation":
        x, y = [a - sum(x) / len(x) for a in x], [b - sum(y) / len(y) for b in y]
    dot = sum(a * b for a, b in zip(x, y))
    return dot if metric == "ip" else dot / (sum(a * a for a in x) * sum(b * b for b in y)) ** 0.5


@pytest.mark.parametrize("metric", METRICS)
def test_similarity_of_is_the_definition(metric):
    X, Y = (np.random.default_rng(seed).integers(-2, 3, (20, 9)) for seed in (1, 2))
    want = [naive_similarity(x, y, metric) for x, y in zip(X.tolist(), Y.tolist())]
    np.testing.assert_allclose(similarity_of(X, Y, metric), want, atol=1e-12)


@pytest.mark.parametrize("metric", EXACT)
@pytest.mark.parametrize("nnz", [None, 2])
def test_pairs_have_the_value(metric, nnz):
    for value in VALUES[metric]:
        X, Y = pairs_at(value, metric, 50, 17, 3, nnz=nnz)
        assert X.shape == Y.shape == (50, 17) and X.dtype == Y.dtype == np.float32
        np.testing.assert_allclose(similarity_of(X, Y, metric), value, atol=2e-6 * max(1, abs(value)))
        assert ((X != 0) | (Y != 0)).sum(axis=1).max() <= (nnz or 17)
    if metric != "l2":
        np.testing.assert_allclose(np.linalg.norm(X, axis=1), 1, atol=1e-6)


@settings(deadline=None, max_examples=60)
@given(value=st.floats(0, 1), dim=st.integers(2, 60), seed=st.integers(0, 99), data=st.data())
def test_sets_have_the_nearest_fraction(value, dim, seed, data):
    nnz = data.draw(st.integers(2, dim))
    X, Y = pairs_at(value, "jaccard", 20, dim, seed, nnz=nnz)
    union = ((X + Y) > 0).sum(axis=1)
    assert set(np.unique([X, Y])) <= {0.0, 1.0} and X.any(axis=1).all() and Y.any(axis=1).all() and union.max() <= nnz
    assert (union == union[0]).all() and union[0] >= nnz // 2
    assert (np.abs(similarity_of(X, Y, "jaccard") - value) <= 0.5 / union[0] + 1e-12).all()
    assert 0 < union[0] <= dim


@pytest.mark.parametrize("value", VALUES["hamming"])
def test_bits_differ_in_so_many_places(value):
    X, Y = pairs_at(value, "hamming", 400, 40, 0)
    np.testing.assert_array_equal((X != Y).sum(axis=1), value)
    assert set(np.unique([X, Y])) == {0.0, 1.0} and 0.4 < X.mean() < 0.6
    if value:
        assert (X != Y).any(axis=0).all()  # everywhere in some pair


def test_correlation_is_that_of_the_distribution():
    from scipy.stats import kstest

    X, Y = pairs_at(0.6, "correlation", 500, 40, 0)
    assert abs(np.corrcoef(X.ravel(), Y.ravel())[0, 1] - 0.6) < 5 * (1 - 0.36) / np.sqrt(X.size)
    assert kstest(Y.ravel(), "norm").pvalue > 0.001
    spread = similarity_of(X, Y, "correlation").std()
    assert 0.6 * 0.64 / np.sqrt(40) < spread < 1.6 * 0.64 / np.sqrt(40)


def test_directions_are_uniform():
    X, Y = pairs_at(0.3, "cosine", 4000, 3, 0)
    for part in (X, Y, Y - np.float32(0.3) * X):
        assert np.abs(part.mean(axis=0)).max() < 5 / np.sqrt(3 * 4000)
        np.testing.assert_allclose(part.T @ part / (part**2).sum() * 3, np.eye(3), atol=5 / np.sqrt(4000))


def test_equal_and_opposite_rows_are_so_to_the_last_bit():
    X, Y = pairs_at(1, "cosine", 20, 30, 0)
    np.testing.assert_array_equal(X, Y)
    X, Y = pairs_at(-1, "cosine", 20, 30, 0)
    np.testing.assert_array_equal(X, -Y)
    for metric, value in (("l2", 0), ("jaccard", 1), ("hamming", 0)):
        X, Y = pairs_at(value, metric, 20, 30, 0)
        np.testing.assert_array_equal(X, Y)


@pytest.mark.parametrize("metric", METRICS)
def test_the_same_seed_gives_the_same_pairs(metric):
    value = VALUES[metric][2]
    one, two, other = (pairs_at(value, metric, 5, 20, rng) for rng in (7, np.random.default_rng(7), 8))
    np.testing.assert_array_equal(one, two)
    assert (one[0] != other[0]).any()
    assert pairs_at(value, metric, 0, 20, 0)[0].shape == (0, 20)


def test_wrong_arguments():
    for arguments, text in (((1.5, "cosine", 1, 5, 0), r"1.5 is no value of cosine, which lies in \[-1, 1\]"),
                            ((-1, "l2", 1, 5, 0), r"\[0, inf\]"), ((0.5, "cosine", 1, 1, 0), "dim=1 need 2 to 1"),
                            ((0.5, "manhattan", 1, 5, 0), "'manhattan'; it must be one of 'cosine'"), ((np.nan, "ip", 1, 5, 0), "nan")):
        with pytest.raises(ValueError, match=text):
            pairs_at(*arguments)
    with pytest.raises(ValueError, match="nnz has no meaning for 'hamming'"):
        pairs_at(0.5, "hamming", 1, 5, 0, nnz=2)
    for value in (6, 1.5):
        with pytest.raises(ValueError, match=f"0 to 5 coordinates, a whole number; not in {value}"):
            pairs_at(value, "hamming", 1, 5, 0)
    with pytest.raises(ValueError, match="nnz is 9"):
        pairs_at(0.5, "jaccard", 1, 5, 0, nnz=9)
    with pytest.raises(ValueError, match="closer is 2"):
        Metric("mine", None, None, (), 0, 1, closer=2)
