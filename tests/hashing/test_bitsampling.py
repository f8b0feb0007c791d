"""BitSampling: an oracle, collision frequencies, packed rows. The contract of all families is in test_base."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.stats import binomtest

from mongoose_nb.hashing import BitSampling


@pytest.mark.parametrize("dim, K", [(1, 1), (13, 5), (64, 9), (200, 32)])
def test_codes_are_the_sampled_bits(dim, K):
    X = np.random.default_rng(dim).integers(0, 2, (20, dim))
    plain, packed = BitSampling(dim, K, L=6, seed=2), BitSampling(dim, K, L=6, seed=2, packed=True)
    index = plain.state()["index"]
    assert all(len(set(row)) == K for row in index)
    expected = X[:, index] @ (1 << np.arange(K)[::-1])
    rows = np.packbits(X, axis=1)
    for codes in (plain.hash(X), plain.hash(-3.5 * X), plain.hash(X.astype(bool)), plain.hash(sp.csr_array(X)), packed.hash(rows),
                  packed.hash(sp.csr_array(X)), pickle.loads(pickle.dumps(packed)).hash(rows)):
        np.testing.assert_array_equal(codes, expected)
    np.testing.assert_array_equal(packed.hash(rows[3]), expected[3:4])


def test_collision_frequency():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2, 40)
    y = x.copy()
    y[rng.choice(40, 12, replace=False)] ^= 1
    for K in (1, 5):
        family = BitSampling(40, K=K, L=20_000, seed=3)
        codes = family.hash(np.stack([x, y]))
        hits = codes[0] == codes[1]
        low, high = binomtest(int(hits.sum()), 20_000).proportion_ci(0.999, "exact")
        assert low <= BitSampling(40, K=K, L=1).retrieval_probability(12) <= high
    assert family.collision_probability_of(x, y) == family.collision_probability(12) == 0.7
    packed = BitSampling(40, K=1, L=1, packed=True)
    assert packed.collision_probability_of(np.packbits(x), np.packbits(y)) == 0.7


def test_retrieval_counts_places_drawn_without_repetition():
    from scipy.stats import hypergeom

    family = BitSampling(10, K=4, L=1)
    for distance in range(11):
        assert family.retrieval_probability(distance) == pytest.approx(hypergeom.pmf(0, 10, distance, 4), abs=1e-12)


def test_wrong_input():
    packed = BitSampling(20, K=2, L=2, packed=True)
    with pytest.raises(TypeError, match="uint8.*packbits"):
        packed.hash(np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"\(n, 3\) bytes"):
        packed.hash(np.zeros((2, 20), np.uint8))
    with pytest.raises(ValueError, match="dim=3"):
        BitSampling(3, K=4, L=1)
    with pytest.raises(ValueError, match="packed is 2"):
        BitSampling(3, K=1, L=1, packed=2)
    with pytest.raises(ValueError, match="21"):
        packed.collision_probability(21)
    state = packed.state()
    with pytest.raises(ValueError, match="index"):
        BitSampling.from_state({**state, "index": state["index"] + 20})
