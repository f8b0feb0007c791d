"""COBS and RAMBO: one contract, shares against exact ones, groups, independent partitions, merging, files."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mongoose_nb.core.files import FormatError
from mongoose_nb.sketch import COBSIndex, IDLHash, RAMBOIndex, RandomHash
from mongoose_nb.sketch.documents import text_digest
from mongoose_nb.sketch.sequences import as_text

HASHERS = [RandomHash(k=15, bits=2**16), IDLHash(k=15, t=9, bits=2**16)]
MAKERS = {"cobs": lambda hasher: COBSIndex(hasher, fpr=0.05), "rambo": lambda hasher: RAMBOIndex(hasher, n_buckets=11, n_reps=3)}


def bases(n, seed=0):
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), n))


def documents(n=20, seed=0):
    rng = np.random.default_rng(seed)
    return {f"d{i}": bases(rng.integers(50, 3000), 100 * seed + i) for i in range(n)}


@pytest.fixture(params=[(kind, i) for kind in MAKERS for i in range(2)], ids=lambda p: f"{p[0]}-{type(HASHERS[p[1]]).__name__}")
def empty(request):
    kind, i = request.param
    return lambda: MAKERS[kind](HASHERS[i])


def exact(hasher, query, text):
    mine = hasher.kmers(query)
    return np.isin(mine, hasher.kmers(text)).mean() if len(mine) else np.nan


def test_shares_are_at_least_the_true_ones(empty):
    """And not much larger: the rate of k-mers is 0.05, or (p + 1/11)^3."""
    index, texts = empty(), documents()
    index.add_many(texts.items())
    queries = [texts["d3"], texts["d4"][:100], bases(500, 77), texts["d5"][:60] + bases(60, 78), "", "ACGT", texts["d6"][::-1]]
    shares = index.shares(queries)
    want = np.array([[exact(index.hasher, query, texts[name]) for name in index.names] for query in queries])
    assert (np.isnan(shares) == np.isnan(want)).all()
    assert (shares >= want - 1e-12)[~np.isnan(want)].all() and np.nanmean(shares - want) < 0.08
    assert index.search(texts["d4"][:100], 1.0)[0] == "d4" and index.search("ACGT") == [] and index.search(bases(500, 79)) == []
    assert len(index) == 20 and "d3" in index and "e" not in index


def test_one_by_one_is_like_all_at_once(empty):
    """The answers hold the same true documents; both strands, records, and parts of long queries."""
    index, texts = empty(), documents()
    for name, text in texts.items():
        index.add(name, [text[:40], text[20:]])
    for name, text in texts.items():
        assert name in index.search(text[:45])
    long = "N".join([texts["d1"]] * 40)  # several pieces of work
    names = index.names
    np.testing.assert_allclose(index.shares([long, texts["d1"]])[0], index.shares([texts["d1"]])[0])
    assert {m.name for m in index.search_many(["", long], 0.99)[1]} >= {"d1"} and names == index.names


@settings(max_examples=20, deadline=None)
@given(st.lists(st.text("ACGTN", min_size=20, max_size=120), min_size=1, max_size=12), st.sampled_from(sorted(MAKERS)), st.integers(0, 1))
def test_no_document_is_lost(texts, kind, which):
    index = MAKERS[kind](HASHERS[which])
    kept = {f"d{i}": text for i, text in enumerate(texts) if len(index.hasher.kmers(text))}
    index.add_many(kept.items())
    for name, text in kept.items():
        assert name in index.search(text, 1.0)


def test_ranks(empty):
    index, text = empty(), bases(400)
    index.add_many([("b", text), ("a", text), ("half", text[:200])])
    matches = index.search_many([text], 0.3)[0]
    assert [(m.name, m.rank) for m in matches] == [("a", 1), ("b", 1), ("half", 3)] and matches[0].share == 1.0


def test_what_is_refused_changes_nothing(empty):
    index = empty()
    index.add("one", bases(100))
    for name, text, error in (("one", bases(50), "already"), ("two", "ACGT", "no 15-mer"), ("two", "N" * 50, "no 15-mer"),
                              ("", bases(50), "name")):
        with pytest.raises((ValueError, TypeError), match=error):
            index.add_many([("three", bases(60)), (name, text)])
    assert index.names == ["one"] and index.search(bases(100)) == ["one"]
    with pytest.raises(ValueError, match="threshold"):
        index.search(bases(50), 1.5)
    with pytest.raises(TypeError, match="list of sequences"):
        index.shares("ACGT")
    assert empty().search(bases(100)) == [] and empty().shares([bases(100)]).shape == (1, 0)


def test_files(empty, tmp_path):
    index, texts = empty(), documents(12)
    index.add_many(texts.items())
    index.save(tmp_path / "i")
    queries = [texts["d1"][:99], bases(300, 5)]
    for mmap in (True, False):
        again = type(index).load(tmp_path / "i", mmap=mmap)
        np.testing.assert_array_equal(again.shares(queries), index.shares(queries))
        assert again.names == index.names
        if mmap:
            with pytest.raises(ValueError, match="mapped"):
                again.add("new", bases(100, 9))
    again.add("new", bases(100, 9))
    assert "new" in again.search(bases(100, 9))
    if isinstance(index, COBSIndex):
        assert again.digests == {**index.digests, "new": text_digest(as_text(bases(100, 9)))} and len(set(again.digests.values())) == 13
    (tmp_path / "cut").write_bytes((tmp_path / "i").read_bytes()[:-10])
    with pytest.raises(FormatError):
        type(index).load(tmp_path / "cut")


def test_groups_have_documents_of_similar_sizes():
    index = COBSIndex(IDLHash(k=15, t=9), fpr=0.1)
    index.add_many([(f"{n}-{i}", bases(n, n + i)) for n in (400, 4000, 20_000) for i in range(9)])
    assert [(g["documents"], g["capacity"]) for g in index.groups()] == [(9, 19_986), (9, 3986), (9, 386)]
    assert all(0.1 < g["fill"] ** 4 / 0.1 < 1.3 for g in index.groups())
    before = index.nbytes
    index.add("like the others", bases(3990))
    assert len(index.groups()) == 3 and index.nbytes == before  # there is a free column


def test_merged_cobs(tmp_path):
    texts = documents(16)
    parts = []
    for i in range(2):
        part = COBSIndex(HASHERS[1])
        part.add_many(list(texts.items())[8 * i:8 * i + 8])
        part.save(tmp_path / f"{i}")
        parts.append(COBSIndex.load(tmp_path / f"{i}", mmap=True))
    merged = COBSIndex.load(tmp_path / "0", mmap=True)
    assert merged.merge(parts[1]) is merged
    for name, text in texts.items():
        assert name in merged.search(text)
    merged.save(tmp_path / "both")
    assert COBSIndex.load(tmp_path / "both").names == merged.names
    with pytest.raises(ValueError, match="both indexes"):
        merged.merge(parts[0])
    with pytest.raises(ValueError, match="different functions"):
        merged.merge(COBSIndex(HASHERS[0]))
    with pytest.raises(TypeError, match="of its kind"):
        merged.merge([parts[0]])
    assert sorted(merged.names) == sorted(texts)


def test_merged_cobs_copies_rows_that_may_change():
    first, second = COBSIndex(HASHERS[1]), COBSIndex(HASHERS[1])
    texts = documents(4)
    names = list(texts)
    first.add_many({name: texts[name] for name in names[:2]})
    second.add_many({names[2]: texts[names[2]]})
    before = [group.rows.copy() for group in second.group_list()]
    first.merge(second).add(names[3], texts[names[3]])
    assert first.names[:3] == names[:3] and len(first) == 4 and second.names == [names[2]]
    for group, rows in zip(second.group_list(), before, strict=True):
        np.testing.assert_array_equal(group.rows, rows)
    assert all(name in first.search(texts[name]) for name in names)


def test_merged_rambo_equals_the_whole():
    texts = list(documents(16).items())
    whole, first, second = (MAKERS["rambo"](HASHERS[1]) for _ in range(3))
    whole.add_many(texts)
    first.add_many(texts[:7])
    second.add_many(texts[7:])
    assert first.merge(second) is first
    np.testing.assert_array_equal(first.rows(), whole.rows())
    assert first.names == whole.names
    with pytest.raises(ValueError, match="both indexes"):
        first.merge(second)


def test_repetitions_of_rambo_are_independent():
    """Pairs of 1,000 names that share a bucket in one, and in both, of two repetitions: 1/8 and 1/64, within 5 standard errors."""
    index = RAMBOIndex(HASHERS[0], 8, 2)
    buckets = np.array([index.buckets_of(f"name {i}") for i in range(1000)])
    same = buckets[:, None, :] == buckets[None, :, :]
    pairs = np.triu_indices(1000, 1)
    for shares, want in ((same[..., 0], 1 / 8), (same[..., 1], 1 / 8), (same.all(axis=-1), 1 / 64)):
        assert abs(shares[pairs].mean() - want) < 5 * np.sqrt(want / len(pairs[0])) + 0.002


def test_rambo_follows_its_formula():
    """A k-mer of one document is reported for others with probability (p + (1 - p) / B)^R, here within 30 %."""
    index = RAMBOIndex(IDLHash(k=15, t=9, bits=2**15), n_buckets=7, n_reps=2)
    texts = {f"d{i}": bases(3000, i) for i in range(40)}
    index.add_many(texts.items())
    p = (index.fills() ** 4).mean()
    shares = index.shares([text for text in texts.values()])
    others = shares[~np.eye(40, dtype=bool)].mean()
    assert others == pytest.approx((p + (1 - p) / 7) ** 2, rel=0.3)
