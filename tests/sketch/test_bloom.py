"""Bloom filters: no false negatives, rates, joins, keys of all kinds, files."""

import math

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mongoose_nb.core.files import FormatError
from mongoose_nb.sketch import BloomFilter, CountMinSketch, IDLHash, RandomHash

KEYS = st.one_of(st.lists(st.integers(-(2**63), 2**64 - 1)), st.lists(st.text()), st.lists(st.binary()))


def bases(n, seed=0):
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), n))


@settings(max_examples=50, deadline=None)
@given(KEYS)
def test_no_key_is_lost(keys):
    f = BloomFilter(n=100, seed=3)
    assert f.insert(keys) == len(keys)
    assert f.contains(keys).all() and all(key in f for key in keys[:3])


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text("ACGTN", max_size=90), max_size=4), st.sampled_from([RandomHash(k=9, bits=4096), IDLHash(k=9, t=5, bits=4096)]))
def test_no_k_mer_is_lost(records, hasher):
    f = BloomFilter(hasher)
    n = f.insert(records)
    found = f.contains(records)
    assert found.all() and len(found) == n == len(hasher.addresses(records))


@pytest.mark.parametrize("hasher", [RandomHash(bits=2**19), IDLHash(bits=2**19)])
def test_bits_are_those_of_the_addresses(hasher):
    """Also for one thread, which sets bits without atomic instructions."""
    text = bases(70_000)
    want = np.zeros(2**19, bool)
    want[hasher.addresses(text).reshape(-1).astype(np.int64)] = True
    before = numba.get_num_threads()
    for threads in (1, before):
        numba.set_num_threads(threads)
        try:
            f = BloomFilter(hasher)
            f.insert(text)
        finally:
            numba.set_num_threads(before)
        np.testing.assert_array_equal(np.unpackbits(f.bytes_of(), bitorder="little"), want)
    assert f.fill() == want.mean() and f.largest_load() == want.reshape(-1, 512).mean(axis=1).max()


def test_rates():
    """The rate of 200,000 strange keys is what was asked for and what the fill says, within 5 standard errors; the number of keys too."""
    for fpr in (0.1, 0.01, 0.001):
        f = BloomFilter(n=20_000, fpr=fpr)
        f.insert(np.arange(20_000))
        measured = f.contains(np.arange(10**6, 10**6 + 200_000)).mean()
        error = 5 * math.sqrt(fpr / 200_000)
        assert abs(measured - f.false_positive_rate()) < error and measured < 1.1 * fpr + error
        assert f.estimate() == pytest.approx(20_000, rel=0.02)


def test_idl_has_the_rate_of_random_addresses():
    """At equal bits, within 15 % and 3 standard errors."""
    text, strange = bases(100_000), bases(200_000, 1)
    rates = []
    for hasher in (RandomHash(bits=2**20), IDLHash(bits=2**20)):
        f = BloomFilter(hasher)
        f.insert(text)
        rates.append(f.contains(strange).mean())
    assert rates[1] <= 1.15 * rates[0] + 3 * math.sqrt(rates[0] / 200_000)


def test_joins():
    a, b, both = (BloomFilter(n=500) for _ in range(3))
    a.insert(["x", "y"])
    b.insert(["y", "z"])
    both.insert(["x", "y", "z"])
    np.testing.assert_array_equal((a | b).bytes_of(), both.bytes_of())
    np.testing.assert_array_equal(a.union(b).bytes_of(), both.bytes_of())
    merged = BloomFilter(n=500).merge(a)
    assert merged.merge(b) is merged and "z" not in a
    np.testing.assert_array_equal(merged.bytes_of(), both.bytes_of())
    for wrong, error in ((BloomFilter(n=500, seed=1), ValueError), (BloomFilter(n=5000), ValueError), (5, TypeError)):
        with pytest.raises(error, match="filters have different functions|another filter"):
            merged.merge(wrong)
    np.testing.assert_array_equal(merged.bytes_of(), both.bytes_of())
    assert a.intersection(b).contains(["y", "x"]).tolist() == [True, False]
    with pytest.raises(ValueError, match="different functions or sizes"):
        a | BloomFilter(n=500, seed=1)
    with pytest.raises(TypeError, match="another filter"):
        a.union(5)
    with pytest.raises(ValueError, match="different"):
        BloomFilter(IDLHash()) | BloomFilter(RandomHash())


def test_queries_of_sequences():
    f, text = BloomFilter(IDLHash(bits=2**18)), bases(500)
    f.insert(text[:300])
    assert f.query(text[100:200]) and text[:50] in f and not f.query(text) and f.query(text, 0.5)
    assert f.share(text) == pytest.approx(270 / 470, abs=0.01)
    assert math.isnan(f.share("ACG")) and not f.query("ACG") and f.contains("").shape == (0,)
    with pytest.raises(ValueError, match="threshold"):
        f.query(text, 0)
    with pytest.raises(ValueError, match="single keys"):
        BloomFilter(n=10).share("ACGT")


@pytest.mark.parametrize("hasher", [None, IDLHash(k=15, t=9, bits=2**16)])
def test_files(tmp_path, hasher):
    f = BloomFilter(n=1000) if hasher is None else BloomFilter(hasher)
    keys = ["a", "b"] if hasher is None else bases(200)
    f.insert(keys)
    f.save(tmp_path / "f")
    for mmap in (False, True):
        again = BloomFilter.load(tmp_path / "f", mmap=mmap)
        assert again.contains(keys).all() and repr(again) == repr(f)
        np.testing.assert_array_equal(again.bytes_of(), f.bytes_of())
    for change in (lambda: again.insert(keys), lambda: again.merge(f)):
        with pytest.raises(ValueError, match="mapped"):
            change()
    BloomFilter.load(tmp_path / "f").insert(keys)
    data = (tmp_path / "f").read_bytes()
    (tmp_path / "cut").write_bytes(data[:-100])
    with pytest.raises(FormatError, match="damaged"):
        BloomFilter.load(tmp_path / "cut")
    CountMinSketch(8).save(tmp_path / "other")
    with pytest.raises(FormatError, match="count_min_sketch"):
        BloomFilter.load(tmp_path / "other")


@pytest.mark.parametrize("keys", [1.5, [1.5], np.zeros(3), [1, "a"], None, [True], {1: 2}, np.zeros((2, 2), int), [None]])
def test_what_is_no_key(keys):
    f = BloomFilter(n=10)
    with pytest.raises((TypeError, ValueError), match="keys"):
        f.insert(keys)
    assert f.fill() == 0


@pytest.mark.parametrize("arguments, error", [({}, "either n"), ({"n": 5, "bits": 2048}, "either n"), ({"n": 0}, "n must"),
                                              ({"n": 5, "fpr": 1.0}, "fpr"), ({"hasher": IDLHash(), "n": 5}, "hasher's bits"),
                                              ({"n": 10**15}, "bits must")])
def test_wrong_arguments(arguments, error):
    with pytest.raises(ValueError, match=error):
        BloomFilter(**arguments)
    with pytest.raises(TypeError, match="n=1000"):
        BloomFilter(1000)


@pytest.mark.parametrize("key", [2**64, 2**70, -(2**63) - 1])
def test_integers_beyond_64_bits_are_refused(key):
    with pytest.raises(ValueError, match="64 bits"):
        BloomFilter(n=10).insert([key])


def test_equal_keys_of_different_kinds():
    f = BloomFilter(n=10)
    f.insert([-1])
    assert 2**64 - 1 in f and np.int8(-1) in f and np.array([-1])[0] in f
    f.insert("ä")
    assert "ä".encode() in f and np.array(["ä"])[0] in f
