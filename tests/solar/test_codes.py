"""Random codes of labels: balance, near-orthogonality, lists."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from mongoose_nb.solar import LabelCodes


@given(st.lists(st.integers(0, 300), min_size=1, max_size=4), st.integers(1, 5), st.integers(2, 40), st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_buckets_are_equally_full(adds, chunks, buckets, seed):
    codes = LabelCodes(adds[0], chunks, buckets, seed)
    for n in adds[1:]:
        before = codes.codes.copy()
        codes.add(n)
        np.testing.assert_array_equal(codes.codes[:len(before)], before)
    assert len(codes) == sum(adds)
    for column in codes.codes.T:
        counts = np.bincount(column, minlength=buckets)
        assert counts.max() - counts.min() <= 1
    starts, members = codes.lists
    for c in range(chunks):
        for b in range(buckets):
            np.testing.assert_array_equal(members[c, starts[c, b]:starts[c, b + 1]], np.flatnonzero(codes.codes[:, c] == b))


def test_codes_are_nearly_orthogonal():
    """2,000 labels: the mean of 2 million pairs is within a tenth of K / B, some 30 standard errors."""
    codes = LabelCodes(2000, 8, 64, 3).codes
    share = np.mean([(codes[i] == codes[i + 1:]).sum(axis=1).mean() for i in range(1999)])
    assert abs(share / (8 / 64) - 1) < 0.1


def test_targets():
    codes = LabelCodes(5, 2, 3, 0)
    Y = sparse.csr_matrix(np.float32([[1, 1, 1, 1, 0], [0, 0, 0, 0, 1], [0, 0, 0, 0, 0]]))
    for chunk in range(2):
        got = codes.targets(Y, chunk).toarray()
        assert set(np.flatnonzero(got[0])) == set(codes.codes[:4, chunk]) and got.max() == 1
        assert np.flatnonzero(got[1]).tolist() == [codes.codes[4, chunk]] and not got[2].any()


def test_damaged_codes_are_refused():
    with pytest.raises(ValueError, match="below 3"):
        LabelCodes.of(np.full((4, 2), 3, np.int32), 3, 0)
