"""Transforms for inner products: identities, order, collision frequencies, state."""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.stats import binomtest

from mongoose_nb.hashing import L2ALSH, InnerProductTransform, NormRange, PStable, SignALSH, SimHash, SimpleLSH

MAKE = {"simple": SimpleLSH, "l2": L2ALSH, "sign": SignALSH, "range": lambda **o: NormRange(4, **o)}
RNG = np.random.default_rng(0)
X = RNG.standard_normal((200, 12)) * RNG.lognormal(0, 0.6, (200, 1)) * (RNG.random((200, 12)) < 0.7)
X[3] = 0
Q = RNG.standard_normal((7, 12))


@pytest.fixture(params=MAKE)
def transform(request):
    return MAKE[request.param]().fit(X)


class TestContract:
    def test_what_the_family_sees(self, transform):
        data, query = (a.astype(np.float64) for a in (transform.data(X), transform.query(Q)))
        assert data.shape == (200, transform.dim) and query.shape == (7, transform.dim)
        inner = (Q / np.linalg.norm(Q, axis=1, keepdims=True)) @ X.T
        norm = np.linalg.norm(X.astype(np.float32), axis=1)
        if isinstance(transform, L2ALSH):
            seen = np.linalg.norm(query[:, None] - data[None], axis=2)
        else:
            seen = query @ data.T / np.linalg.norm(query, axis=1)[:, None] / np.linalg.norm(data, axis=1)
        np.testing.assert_allclose(transform.similarity(inner, norm), seen, atol=1e-6)

    def test_sparse_equals_dense(self, transform):
        for method, rows in ((transform.data, X), (transform.query, Q)):
            sparse = method(sp.csr_array(rows))
            assert sparse.format == "csr" and sparse.dtype == np.float32 and method(rows).dtype == np.float32
            np.testing.assert_allclose(sparse.toarray(), method(rows), atol=1e-7)
            np.testing.assert_array_equal(method(rows[0]), method(rows)[:1])

    def test_length_of_a_query_does_not_count(self, transform):
        np.testing.assert_allclose(transform.query(1000 * Q), transform.query(Q), atol=1e-6)
        assert np.isfinite(transform.query(np.zeros(12))).all()

    def test_state(self, transform, tmp_path):
        np.savez(tmp_path / "state.npz", **transform.state())
        with np.load(tmp_path / "state.npz") as state:
            copy = InnerProductTransform.from_state(state)
        assert type(copy) is type(transform)
        np.testing.assert_array_equal(copy.data(X), transform.data(X))
        np.testing.assert_array_equal(copy.query(Q), transform.query(Q))
        other = SignALSH if not isinstance(transform, SignALSH) else L2ALSH
        with pytest.raises(ValueError, match="not of"):
            other.from_state(transform.state())
        with pytest.raises(ValueError, match="lacks 'scale'"):
            InnerProductTransform.from_state({k: v for k, v in transform.state().items() if k != "scale"})
        with pytest.raises(ValueError, match="format"):
            InnerProductTransform.from_state({**transform.state(), "format": 9})

    def test_longer_rows_need_headroom(self, transform):
        longest = X[np.linalg.norm(X, axis=1).argmax()]
        transform.data(longest)
        with pytest.raises(ValueError, match="fit again.*headroom"):
            transform.data(1.1 * longest)
        make = next(m for m in MAKE.values() if type(m()) is type(transform))
        assert np.isfinite(make(headroom=1.2).fit(X).data(1.1 * longest)).all()

    def test_wrong_input(self, transform):
        with pytest.raises(ValueError, match="call fit"):
            type(transform)().data(X)
        with pytest.raises(ValueError, match="dim=12"):
            transform.data(X[:, :5])
        with pytest.raises(ValueError, match="NaN"):
            transform.query(np.full(12, np.nan))
        with pytest.raises(TypeError, match="tocsr"):
            transform.data(sp.csc_array(X))
        with pytest.raises(ValueError, match="no rows"):
            transform.fit(X[:0])
        with pytest.raises(ValueError, match="headroom"):
            type(transform)(headroom=0.5)

    def test_rows_of_zeros_only(self, transform):
        assert np.isfinite(transform.fit(np.zeros((5, 12))).data(np.zeros((2, 12)))).all()


@pytest.mark.parametrize("name", MAKE)
@pytest.mark.parametrize("cosine", [0.2, 0.9])
def test_collision_frequency(name, cosine):
    q, _ = np.linalg.qr(np.random.default_rng(5).standard_normal((12, 2)))
    x = 0.6 * (cosine * q[:, 0] + np.sqrt(1 - cosine**2) * q[:, 1])
    transform = MAKE[name]().fit(np.stack([x, q[:, 1]]))
    Family = PStable if name == "l2" else SimHash
    family = Family(transform.dim, K=1, L=20_000, seed=6)
    hits = family.hash(transform.data(x))[0] == family.hash(transform.query(5 * q[:, 0]))[0]
    low, high = binomtest(int(hits.sum()), 20_000).proportion_ci(0.999, "exact")
    assert low <= transform.collision_probability(0.6 * cosine, family, norm=0.6) <= high


def test_norm_ranges_are_equal_parts_with_their_own_scale():
    transform = NormRange(5).fit(X)
    parts, norm = transform.parts(X), np.linalg.norm(X, axis=1)
    np.testing.assert_array_equal(np.bincount(parts), 40)
    for part in range(5):
        assert norm[parts == part].max() == pytest.approx(transform.scale[part], rel=1e-6)
        assert part == 0 or norm[parts == part].min() > transform.scale[part - 1]
    np.testing.assert_allclose(np.linalg.norm(transform.data(X), axis=1), 1, atol=1e-6)


def test_norm_ranges_make_short_rows_differ():
    # what they are for: among short rows, good and bad answers are farther apart than under one scale
    simple, ranged = SimpleLSH().fit(X), NormRange(8).fit(X)
    norm = np.median(np.linalg.norm(X, axis=1))
    gaps = [t.similarity(0.9 * norm, norm) - t.similarity(0.1 * norm, norm) for t in (simple, ranged)]
    assert gaps[1] > 2 * gaps[0]
