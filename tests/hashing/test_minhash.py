"""MinHash: an oracle, collision frequencies, densification, and empty sets. The contract of all families is in test_base."""

import numpy as np
import pytest
import scipy.sparse as sp

from mongoose_nb.hashing import MinHash

_WORD = 2**64 - 1


def mix64(x):
    x = (x + 0x9E3779B97F4A7C15) & _WORD
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _WORD
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _WORD
    return x ^ (x >> 31)


def key2(a, b):
    return mix64(mix64(a) ^ b)


def naive_minhash(members, family):
    """Codes of one set, bin by bin."""
    key, bins = int(family.state()["functions"]), family.K * family.L
    minima = {}
    for i in members:
        mixed = mix64(key ^ int(i))
        b = ((mixed >> 32) * bins) >> 32
        minima[b] = min(minima.get(b, _WORD), mixed & 0x7FFFFFFF)
    values = []
    for b in range(bins):
        donor, attempt = b, 0
        while minima and donor not in minima:
            bits = key2(key2(key2(key, bins), b), min(attempt, 128))
            donor = (((bits >> 32) * bins >> 32) + max(0, attempt - 128)) % bins
            attempt += 1
        values.append(minima.get(donor, 0))
    codes = []
    for start in range(0, bins, family.K):
        code = 0
        for b in range(start, start + family.K):
            digit = mix64((b << 32) | values[b]) % 2**family.bits_per_hash if values[b] else 0
            code = (code << family.bits_per_hash) | digit
        codes.append(code)
    return codes


@pytest.mark.slow
@pytest.mark.parametrize("K, L, bits", [(2, 10, 8), (1, 5, 32), (3, 7, 1), (2, 6, 16), (1, 400, 4)])
def test_codes_are_those_of_the_oracle(K, L, bits):
    rng = np.random.default_rng(K)
    family = MinHash(1000, K, L, seed=4, bits=bits)
    X = (rng.random((12, 1000)) < np.array([0, 0.001, 0.001, 0.003, 0.01, 0.1] * 2)[:, None]).astype(np.float32)
    X[:2] = 0
    X[1, 7] = -1  # of 400 bins one is full: hashed attempts often fail, and a scan finds it
    expected = [naive_minhash(np.flatnonzero(row), family) for row in X]
    np.testing.assert_array_equal(family.hash(X), expected)
    np.testing.assert_array_equal(family.hash(sp.csr_array(X)), expected)


def pair(jaccard, size, rng, universe=100_000):
    """Two sets with a union of `size` members as CSR."""
    ids = rng.choice(universe, size, replace=False)
    both = round(jaccard * size)
    half = both + (size - both) // 2
    dense = np.zeros((2, universe), np.float32)
    dense[0, ids[:half]] = 1
    dense[1, np.r_[ids[:both], ids[half:]]] = 1
    return sp.csr_array(dense)


@pytest.mark.parametrize("jaccard", [0.0, 0.2, 0.5, 0.9])
@pytest.mark.parametrize("bits", [2, 8])
@pytest.mark.parametrize("members", [20, 400])
def test_agreement_is_the_jaccard_similarity(jaccard, bits, members):
    # Hashes of one family share members and are not independent; the means over 150 families are.
    X = pair(jaccard, members, np.random.default_rng(2))
    hashes, tables = [], []
    for seed in range(150):
        family = MinHash(100_000, K=3, L=40, seed=seed, bits=bits)
        codes = family.hash(X)
        tables.append((codes[0] == codes[1]).mean())
        digits = [codes >> shift & (1 << bits) - 1 for shift in (0, bits, 2 * bits)]
        hashes.append(np.mean([d[0] == d[1] for d in digits]))
    p = family.collision_probability(jaccard)
    for means, expected in ((hashes, p), (tables, p**3)):
        assert abs(np.mean(means) - expected) <= 3.4 * np.std(means, ddof=1) / np.sqrt(150) + 1e-6
    dense = X.toarray()
    assert family.collision_probability_of(dense[0], dense[1]) == pytest.approx(p)
    if 0 < jaccard < 1:  # optimal densification: hardly more variance than independent hashes have (Shrivastava 2017)
        assert np.var(hashes, ddof=1) <= 1.6 * p * (1 - p) / 120


def test_consecutive_members_are_no_trap():
    # where linear hash functions are off by 0.07: two runs of ids that overlap by half of their union
    X = sp.csr_array((np.ones(150), (np.repeat([0, 1], 75), np.r_[0:75, 25:100])), shape=(2, 1000))
    means = [np.equal(*MinHash(1000, K=1, L=64, seed=seed).hash(X)).mean() for seed in range(300)]
    assert abs(np.mean(means) - (0.5 + 0.5 / 256)) <= 3.4 * np.std(means, ddof=1) / np.sqrt(300)


def test_empty_sets_agree_with_each_other():
    family = MinHash(50, K=2, L=200, seed=1)
    X = np.zeros((3, 50))
    X[2, 4] = 1
    codes = family.hash(X)
    np.testing.assert_array_equal(codes[:2], 0)
    assert (codes[2] == 0).sum() <= 3  # one in 65,536 by chance
    assert family.collision_probability_of(X[0], X[1]) == 1
    assert family.collision_probability_of(X[0], X[2]) == 2.0**-8


def test_values_play_no_part():
    X = np.random.default_rng(0).standard_normal((5, 40)) * (np.random.default_rng(1).random((5, 40)) < 0.3)
    family = MinHash(40, K=2, L=10)
    np.testing.assert_array_equal(family.hash(X), family.hash(X != 0))


def test_wrong_options():
    with pytest.raises(ValueError, match="bits is 33"):
        MinHash(8, 1, 1, bits=33)
    with pytest.raises(ValueError, match="-0.2"):
        MinHash(8, 1, 1).collision_probability(-0.2)
