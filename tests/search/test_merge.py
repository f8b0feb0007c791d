"""Indexes that are merged, mapped, pickled and verified."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp

from mongoose_nb.core.files import FormatError
from mongoose_nb.search import LSHIndex
from mongoose_nb.testing import METRICS
from mongoose_nb.testing.pairs import rows_of

DIM = 24


@pytest.mark.parametrize("kind", ["l2", "ip", "cosine", "jaccard", "hamming", "cosine-csr"])
def test_a_merged_index_is_that_of_all_rows(kind, tmp_path):
    metric, _, form = kind.partition("-")
    X = rows_of(METRICS[metric], 600, DIM, np.random.default_rng(0)).astype(np.float32)
    X = sp.csr_matrix(X) if form else X
    one, two, both = (LSHIndex(metric, DIM, train_size=100) for _ in range(3))
    one.add(X[:350])
    two.add(X[350:], np.arange(350, 600))
    both.add(X)
    two.save(tmp_path / "two")
    assert one.merge(LSHIndex.load(tmp_path / "two", mmap=True)).tolist() == list(range(350, 600))
    for a, b in zip(one.query(X[:50], 7, exact=True), both.query(X[:50], 7, exact=True)):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(ValueError, match="in the index already"):
        one.merge(two)
    assert len(one) == 600 and one.merge(two, renumber=True).tolist() == list(range(600, 850))
    empty = LSHIndex(metric, DIM)
    empty.merge(two)
    np.testing.assert_array_equal(empty.ids, two.ids)
    assert one.merge(LSHIndex(metric, DIM)).tolist() == []


def test_what_cannot_be_merged():
    index, X = LSHIndex("cosine", 3), np.eye(3)
    index.add(X)
    other, sparse = LSHIndex("l2", 3), LSHIndex("cosine", 3)
    other.add(X)
    sparse.add(sp.csr_matrix(X))
    for bad in (other, sparse, index, "index"):
        with pytest.raises((TypeError, ValueError), match="merge|rows"):
            index.merge(bad, renumber=True)
    assert len(index) == 3


def test_a_mapped_index_is_pickled_by_its_path(tmp_path):
    X = np.random.default_rng(0).standard_normal((3000, DIM)).astype(np.float32)
    index = LSHIndex("l2", DIM)
    index.add(X)
    index.save(tmp_path / "index")
    mapped = LSHIndex.load(tmp_path / "index", mmap=True)
    raw = pickle.dumps(mapped)
    again = pickle.loads(raw)
    assert len(raw) < 1000
    np.testing.assert_array_equal(again.query(X[:20], 5)[0], index.query(X[:20], 5)[0])
    with pytest.raises(ValueError, match="read-only"):
        again.add(X[:1])


def test_a_mapped_file_is_verified_on_request(tmp_path):
    X = np.random.default_rng(0).standard_normal((20000, DIM)).astype(np.float32)
    index = LSHIndex("l2", DIM)
    index.add(X)
    index.save(tmp_path / "index")
    LSHIndex.load(tmp_path / "index", mmap=True, verify=True)
    raw = bytearray((tmp_path / "index").read_bytes())
    at = raw.find(X[5].tobytes())
    raw[at] ^= 1
    (tmp_path / "index").write_bytes(raw)
    LSHIndex.load(tmp_path / "index", mmap=True)
    with pytest.raises(FormatError, match="checksum"):
        LSHIndex.load(tmp_path / "index", mmap=True, verify=True)
