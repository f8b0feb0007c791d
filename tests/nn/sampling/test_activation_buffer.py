"""The ring of recent activations."""

import numpy as np
import pytest

from mongoose_nb.core.arrays import Rows
from mongoose_nb.core.saving import restore, state_of
from mongoose_nb.nn.sampling.activation_buffer import MAX_LABELS, ActivationBuffer, padded


def labels(rows):
    count = np.array([len(r) for r in rows], np.int64)
    return Rows(np.cumsum(count) - count, count, np.array([i for r in rows for i in r], np.int32), None)


def test_padded():
    rows = [[], [3, 5], list(range(30)), [1]]
    out = padded(labels(rows))
    assert out.shape == (4, MAX_LABELS) and out.dtype == np.int32
    for got, want in zip(out, rows, strict=True):
        assert [i for i in got.tolist() if i >= 0] == want[:MAX_LABELS]


@pytest.mark.parametrize("sizes", [[3], [4, 4], [7, 7, 7], [25], [10, 3, 25, 1], [0, 2]])
def test_the_last_ones_are_kept(sizes):
    recent, n = ActivationBuffer(10, 2), 0
    for size in sizes:
        ids = np.arange(n, n + size)
        recent.add(np.stack([ids, -ids], 1).astype(np.float32), labels([[i, i + 1] for i in ids]))
        n += size
    assert len(recent) == min(n, 10)
    order = np.argsort(recent.h[:, 0])
    np.testing.assert_array_equal(recent.h[order, 0], np.arange(max(0, n - 10), n))
    np.testing.assert_array_equal(recent.labels[:, :2], recent.h[:, :1].astype(int) + [0, 1])
    again = ActivationBuffer(10, 2)
    restore(again, state_of(recent))
    for ring in (recent, again):
        ring.add(np.full((3, 2), 99, np.float32), None)
    np.testing.assert_array_equal(again.h, recent.h)
    np.testing.assert_array_equal(again.labels, recent.labels)


def test_refuses_another_width():
    recent = ActivationBuffer(10, 2)
    recent.add(np.zeros((3, 2), np.float32))
    with pytest.raises(ValueError, match=r"h have shape \(3, 2\); needed is \(3, 5\)"):
        restore(ActivationBuffer(10, 5), state_of(recent))


@pytest.mark.parametrize("seen", [2**63, -1])
def test_refuses_a_number_that_cannot_be(seen):
    recent = ActivationBuffer(10, 2)
    recent.add(np.zeros((10, 2), np.float32))
    with pytest.raises(ValueError):
        restore(ActivationBuffer(10, 2), {**state_of(recent), "seen": seen})
