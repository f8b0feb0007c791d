"""Counter-based randomness: the published mixer, keys without accidents, uniform integers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_buckets import key, mix
from scipy import stats

from mongoose_nb.kernels.common.random import below, key2, mix64

word = st.integers(0, 2**64 - 1)


def test_known_values():
    """First outputs of SplitMix64 from the states 0 and 1234567."""
    assert int(mix64(np.uint64(0))) == 0xE220A8397B1DCDAF
    assert int(mix64(np.uint64(1234567))) == 6457827717110365317


@pytest.mark.slow
@settings(deadline=None, max_examples=200)
@given(a=word, b=word)
def test_against_python_integers(a, b):
    assert int(mix64(np.uint64(a))) == mix(a)
    assert int(key2(np.uint64(a), np.uint64(b))) == key(a, b)


@settings(deadline=None, max_examples=200)
@given(bits=word, n=st.integers(1, 2**32 - 1))
def test_below_is_the_top_of_a_product(bits, n):
    got = int(below(np.uint64(bits), n))
    assert got == ((bits >> 32) * n) >> 32 and 0 <= got < n


def test_keys_differ():
    keys = {key(a, b) for a in range(200) for b in range(200)}
    assert len(keys) == 40_000  # neither symmetric nor equal along a diagonal


def test_every_bit_flips_half_the_bits():
    rng = np.random.default_rng(0)
    words = rng.integers(0, 2**64, 300, dtype=np.uint64).tolist()
    flips = np.array([[bin(mix(w) ^ mix(w ^ 1 << b)).count("1") for b in range(64)] for w in words])
    # 300 x 64 sums of 64 fair bits
    assert abs(flips.mean() - 32) < 3.29 * 4 / np.sqrt(flips.size)
    assert (abs(flips.mean(0) - 32) < 4.2 * 4 / np.sqrt(300)).all()  # 99.9 % over 64 bits at once


def test_draws_are_uniform():
    counts = np.bincount([(mix(i) >> 32) * 37 >> 32 for i in range(37_000)], minlength=37)
    assert ((counts - 1000.0) ** 2 / 1000).sum() < stats.chi2.ppf(0.999, 36)
