"""Count-min, count sketch, top keys and RACE: bounds, bias, variance, merging, files."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mongoose_nb import PStable, SimHash
from mongoose_nb import sketch as sketches
from mongoose_nb.core.files import FormatError
from mongoose_nb.sketch import RACE, BloomFilter, CountMinSketch, CountSketch, TopKeys

BOTH = [CountMinSketch, CountSketch]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(-5, 40), max_size=80), st.integers(1, 50), st.integers(1, 4), st.integers(0, 5))
def test_count_min_is_never_below(keys, width, depth, seed):
    sketch = CountMinSketch(width, depth, seed)
    sketch.add(keys)
    some, counts = np.unique(np.array(keys, np.int64), return_counts=True)
    assert (sketch.estimate(some) >= counts).all() and sketch.total == len(keys)
    assert sketch.table.sum() == depth * len(keys)


def test_count_min_keeps_its_bound():
    """Of 10,000 keys, at most exp(-depth) of them, and 5 standard errors, are farther than the bound."""
    rng = np.random.default_rng(0)
    keys = rng.zipf(1.2, 50_000).astype(np.uint64) % np.uint64(10_000)
    sketch = CountMinSketch(width=500, depth=3, seed=1)
    sketch.add(keys)
    error, probability = sketch.error_bound()
    over = sketch.estimate(np.arange(10_000)) - np.bincount(keys.astype(int), minlength=10_000)
    assert (over >= 0).all() and (over > error).mean() <= probability + 5 * math.sqrt(probability / 10_000)


def test_count_sketch_has_no_bias_and_its_variance():
    """Of one row over 4,000 seeds: mean within 5 standard errors, variance (F2 - f^2) / width within 12 %."""
    counts = np.array([50, 30, 20, 10, 10, 5, 5])
    keys = np.repeat(np.arange(7), counts)
    said = []
    for seed in range(4000):
        sketch = CountSketch(width=10, depth=1, seed=seed)
        sketch.add(keys)
        said.append(sketch.estimate([1])[0])
    want = ((counts**2).sum() - 900) / 10
    assert np.mean(said) == pytest.approx(30, abs=5 * math.sqrt(want / 4000)) and np.var(said) == pytest.approx(want, rel=0.12)


def test_count_sketch_finds_the_second_moment():
    sketch = CountSketch(width=2000, depth=7)
    sketch.add(np.repeat(np.arange(100), 10))
    assert sketch.second_moment() == pytest.approx(10_000, rel=0.2)
    sketch.add(np.arange(100), -10)
    assert not sketch.table.any() and (sketch.estimate(np.arange(100)) == 0).all()


@pytest.mark.parametrize("kind", BOTH)
class TestContract:
    """What every sketch of counts has to do."""

    def test_merging(self, kind, tmp_path):
        rng = np.random.default_rng(0)
        keys, amounts = rng.integers(100, size=500), rng.integers(1, 9, 500)
        whole, a, b = kind(64), kind(64), kind(64)
        whole.add(keys, amounts)
        a.add(keys[:100], amounts[:100])
        for key, amount in zip(keys[100:], amounts[100:]):
            b.add(int(key), int(amount))
        a.merge(b)
        np.testing.assert_array_equal(a.table, whole.table)
        assert a.total == whole.total
        a.save(tmp_path / "s")
        again = kind.load(tmp_path / "s")
        np.testing.assert_array_equal(again.table, whole.table)
        assert repr(again) == repr(whole) and again.total == whole.total
        other = BOTH[BOTH.index(kind) - 1]
        with pytest.raises(FormatError):
            other.load(tmp_path / "s")
        for wrong in (kind(65), kind(64, seed=1), kind(64, 4), other(64), None):
            with pytest.raises(ValueError, match="cannot be merged"):
                a.merge(wrong)

    def test_what_is_refused_changes_nothing(self, kind):
        sketch = kind(16)
        for keys, amounts in (([1, 2], [1]), ([1], 1.5), ([1], [[1]]), ([1.5], 1), ([1], 2**62 + 1)):
            with pytest.raises((ValueError, TypeError)):
                sketch.add(keys, amounts)
        assert not sketch.table.any() and sketch.total == 0
        with pytest.raises(ValueError, match="width"):
            kind(0)
        assert sketch.estimate([]).shape == (0,) and sketch.add([]) is sketch


def test_every_sketch_merges():
    """What docs/genes.md says: what can be saved can be merged, in place."""
    saved = [kind for name in sketches.__all__ if hasattr(kind := getattr(sketches, name), "save")]
    assert len(saved) >= 8 and not [kind.__name__ for kind in saved if not hasattr(kind, "merge")]


@pytest.mark.parametrize("sketch, arguments", [(CountMinSketch(8), ["a"]), (CountMinSketch(8), [["a", "b"], [1, 2]]),
                                               (CountSketch(8), [3, -1]), (TopKeys(2), [["a"]]),
                                               (RACE(SimHash(4, 1, 2)), [np.ones((2, 4), np.float32)]),
                                               (sketches.COBSIndex(sketches.IDLHash(k=5, t=3)), ["a", "ACGTACGT"]),
                                               (sketches.RAMBOIndex(sketches.IDLHash(k=5, t=3, bits=4096), 2, 2), ["a", "ACGTACGT"])],
                         ids=lambda x: type(x).__name__ if not isinstance(x, list) else "")
def test_add_returns_the_sketch(sketch, arguments):
    assert sketch.add(*arguments) is sketch
    assert not hasattr(sketch, "add_many") or sketch.add_many({"b": "ACGTA"}) is sketch


def test_every_add_is_in_the_test_above():
    adding = {kind.__name__ for name in sketches.__all__ if hasattr(kind := getattr(sketches, name), "add")}
    assert adding == {"CountMinSketch", "CountSketch", "TopKeys", "RACE", "COBSIndex", "RAMBOIndex"}


def test_top_keys_by_amounts():
    """As adding each key so many times."""
    keys, amounts = ["a", "b", "a", "c", "none", "c"], [2, 9, 0, 3, 0, 1]
    top, singly = TopKeys(3).add(keys, amounts), TopKeys(3).add([key for key, n in zip(keys, amounts) for _ in range(n)])
    assert top.items() == singly.items() == [("b", 9), ("c", 4), ("a", 2)] and top.kept() == singly.kept()
    assert TopKeys(3).add(["none"], 0).items() == [] and TopKeys(2).add("x", 5).items() == [("x", 5)]
    for wrong in (-1, [1, 2], 1.5):
        with pytest.raises(ValueError, match="amounts"):
            top.add("a", wrong)
    assert top.items() == singly.items()


def test_count_min_takes_no_negative_amounts():
    with pytest.raises(ValueError, match="CountSketch does"):
        CountMinSketch().add([1], -1)


def test_top_keys():
    rng = np.random.default_rng(0)
    stream = np.concatenate([np.repeat(np.arange(10), 100 * np.arange(1, 11)), rng.integers(1000, 10**6, 3000)])
    rng.shuffle(stream)
    top = TopKeys(5)
    for part in np.array_split(stream, 7):
        top.add(part)
    assert [key for key, _ in top.items()] == [9, 8, 7, 6, 5] and dict(top.items())[9] >= 1000
    first, second = TopKeys(5), TopKeys(5)
    first.add(stream[:3000])
    second.add(stream[3000:])
    assert first.merge(second) is first
    assert first.items() == top.items()
    words = TopKeys(1)
    words.add(["a", b"b", "a"])
    assert words.items() == [("a", 2)] and TopKeys(3).items() == []
    with pytest.raises(ValueError, match="same k"):
        first.merge(TopKeys(4))


def test_top_keys_in_files(tmp_path):
    top = TopKeys(4, CountMinSketch(width=64, depth=3, seed=7))
    top.add(["a", "b", "a", b"raw", "ä", "ä", "ä"])
    top.save(tmp_path / "top")
    again = TopKeys.load(tmp_path / "top")
    assert again.items() == top.items() == [("ä", 3), ("a", 2), *again.items()[2:]] and repr(again) == repr(top)
    assert {type(key) for key, _ in again.items()} == {str, bytes}
    for one in (top, again):
        one.add(["c", "c"])
    assert again.items() == top.items()
    numbers = TopKeys(2)
    numbers.add(np.array([5, 5, 2**63], np.uint64))
    numbers.save(tmp_path / "top")
    assert TopKeys.load(tmp_path / "top").items() == numbers.items() == [(5, 2), (2**63, 1)]
    with pytest.raises(FormatError, match="holds a 'top_keys'"):
        CountMinSketch.load(tmp_path / "top")


@pytest.mark.parametrize("n", [1, 3, 63, 64, 200])
def test_few_keys_as_many(n):
    """Few keys take another path than many."""
    keys = [f"key {i}" for i in range(n)]
    whole, parts = CountMinSketch(128, 3), CountMinSketch(128, 3)
    signed, singly = CountSketch(128, 3), CountSketch(128, 3)
    filled, filters = BloomFilter(bits=4096), BloomFilter(bits=4096)
    for one in (whole, signed):
        one.add(keys)
    filled.insert(keys)
    for key in keys:
        parts.add(key)
        singly.add(key)
        filters.insert(key)
    np.testing.assert_array_equal(whole.table, parts.table)
    np.testing.assert_array_equal(signed.table, singly.table)
    np.testing.assert_array_equal(filled.bytes_of(), filters.bytes_of())
    np.testing.assert_array_equal(whole.estimate(keys), np.concatenate([whole.estimate(key) for key in keys]))
    others = keys + [f"other {i}" for i in range(300)]
    np.testing.assert_array_equal(filled.contains(others), [other in filled for other in others])


def test_race_estimates_the_sum_of_collision_probabilities(tmp_path):
    """Within 4 standard errors over tables, which 0.02 covers at L = 400."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((300, 4)).astype(np.float32)
    family = PStable(4, K=1, L=400, width=4.0)
    sketch = RACE(family, width=1024).add(rows)
    queries = np.array([[0, 0, 0, 0], [3, 0, 0, 0], [9, 9, 9, 9]], np.float32)
    want = [family.collision_probability(np.linalg.norm(rows - q, axis=1)).mean() for q in queries]
    np.testing.assert_allclose(sketch.estimate(queries), want, atol=0.02)
    first, second = (RACE(family, width=1024).add(part) for part in (rows[:100], rows[100:]))
    first.merge(second)
    np.testing.assert_array_equal(first.counts, sketch.counts)
    first.save(tmp_path / "race")
    np.testing.assert_array_equal(RACE.load(tmp_path / "race").estimate(queries), sketch.estimate(queries))
    assert RACE(family).estimate(queries).tolist() == [0, 0, 0]
    with pytest.raises(ValueError, match="cannot be merged"):
        first.merge(RACE(SimHash(4, 1, 400)))
    with pytest.raises(TypeError, match="hash family"):
        RACE("pstable")
