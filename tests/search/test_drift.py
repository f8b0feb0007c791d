"""Rows that drift: the index notices, learns its functions again by itself, and finds what a new index finds."""

import numpy as np
import pytest

from mongoose_nb.search import LSHIndex
from mongoose_nb.search.drift import Drift, Profile
from mongoose_nb.testing.drifts import drifts

DIM, N = 32, 6000
C = np.random.default_rng(7).standard_normal((50, DIM))


def rows(n, seed=0):
    rng = np.random.default_rng(seed)
    return (C[rng.integers(0, 50, n)] + 0.3 * rng.standard_normal((n, DIM))).astype(np.float32)


def recall(index, Q, k=10):
    """Share of the k nearest, by distance, so that ties count; every place has to be filled."""
    ids, far = index.query(Q, k)
    assert (ids[:, :len(index)] >= 0).all()
    best = index.query(Q, k, exact=True)[1]
    return (far <= best[:, -1:] + 1e-5 * np.abs(best[:, -1:]) + 1e-6).mean()


def fresh(metric, X):
    index = LSHIndex(metric, DIM)
    index.add(X)
    return index


DRIFTS = drifts(rows(100), np.random.default_rng(0))


@pytest.mark.parametrize("step", [N, 250])
@pytest.mark.parametrize("name", DRIFTS)
@pytest.mark.parametrize("metric", ["ip", "l2", "cosine"])
def test_all_rows_replaced(metric, name, step):
    X, change = rows(N), DRIFTS[name]
    Y, Q = change(X), change(rows(100, 1))
    index = fresh(metric, X)
    for lo in range(0, N, step):
        index.update(np.arange(lo, min(N, lo + step)), Y[lo:lo + step])
    assert recall(index, Q) >= recall(fresh(metric, Y), Q) - 0.1


def test_a_first_kind_and_then_another():
    index = LSHIndex("l2", DIM)
    index.add(rows(1024))
    other = rows(3000, 1) + 100
    index.add(other)
    assert recall(index, other[:200]) > 0.9
    assert index.stats()["drift"]["retrained"] == 1


@pytest.mark.parametrize("one_by_one", [False, True])
def test_a_small_part_of_another_kind(one_by_one):
    """A twentieth of the rows is of another kind: they are found too."""
    index = fresh("l2", rows(N))
    other = rows(N // 20, 1) + 100
    for part in np.split(other, len(other)) if one_by_one else [other]:
        index.add(part)
    assert recall(index, other[:100]) > 0.9


def test_a_few_rows_that_are_much_longer():
    """Under an inner product ten long rows are the answer to most queries."""
    X, Q = rows(N), rows(100, 2)
    index, long = fresh("ip", X), rows(10, 1) * 100
    index.add(long)
    assert index.stats()["drift"]["reason"] == "longer"
    assert recall(index, Q) >= recall(fresh("ip", np.concatenate([X, long])), Q) - 0.05


def test_a_stream_whose_kind_changes():
    """A window: old rows go, new ones of a kind of their own come, five times."""
    index, at = fresh("l2", rows(4000)), 0
    for kind in range(1, 6):
        new = rows(4000, kind) + 20 * kind
        for part in np.split(new, 8):
            index.remove(index.ids[:500])
            index.add(part)
        at += index.stats()["drift"]["retrained"]
        assert recall(index, new[:100]) > 0.9, kind


@pytest.mark.parametrize("metric", ["ip", "l2", "cosine", "jaccard", "hamming"])
def test_rows_of_zeros(metric):
    index = LSHIndex(metric, DIM)
    index.add(np.zeros((2000, DIM)))
    ids, far = index.query(np.ones((3, DIM)), 10)
    assert (ids >= 0).all() and np.isfinite(far).all()
    index.add(np.eye(DIM)[np.arange(3000) % DIM])
    assert (index.query(np.eye(DIM), 10)[0] >= 0).all()


@pytest.mark.parametrize("metric", ["ip", "l2", "cosine", "jaccard", "hamming"])
def test_no_place_is_empty_while_there_are_rows(metric):
    """Equal rows, one row, and queries that share no bucket with any row."""
    rng = np.random.default_rng(0)
    X = (rng.random((3000, DIM)) < 0.2).astype(np.float32)
    far = np.zeros((4, DIM), np.float32)
    far[:, :3] = 1
    for data in (np.repeat(X[:1], 2000, axis=0), X, X[:1]):
        index = LSHIndex(metric, DIM, K=20, L=2, probes=1)
        index.add(data)
        for k in (1, 10, 100):
            ids = index.query(far, k)[0]
            assert ((ids >= 0).sum(axis=1) == min(k, len(data))).all()


def test_most_rows_removed():
    """Tables made for many rows: of few, all are found."""
    for left in (3000, 1500, 700, 100, 1):
        index = fresh("l2", rows(20000))
        index.remove(np.arange(20000 - left))
        assert recall(index, rows(50, 1)) > 0.9


def test_rows_that_stay_of_a_kind_cost_no_learning():
    index = fresh("l2", rows(N))
    for seed in range(1, 6):
        index.update(np.arange(N), rows(N, seed))
    state = index.stats()["drift"]
    assert (state["retrained"], state["changed"], state["reason"]) == (0, 5 * N, None)


def test_the_last_of_many_blocks_is_found():
    """Blocks whose mean moves far; each is a small part of the rows that are there."""
    index = LSHIndex("ip", DIM)
    for block in range(18):
        new = rows(300, block) + 10 * block
        index.add(new)
    assert recall(index, new[:100]) > 0.9


@pytest.mark.parametrize("share, step", [(64, 1.0), (64, 10.0), (128, 2.0)])
def test_blocks_that_move_on(share, step):
    """Each block is farther away along one axis; queries like it find it, whether functions were learned since or not. By sketches alone
    it was 0.79, 0.88 and 0.87 at the least."""
    axes = np.random.default_rng(7).standard_normal((10, DIM)) / np.sqrt(10)
    n, along = 4000, axes[0] / np.linalg.norm(axes[0]) * step * np.sqrt(DIM)

    def block(m, seed, far):
        rng = np.random.default_rng(seed)
        return (rng.standard_normal((m, 10)) @ axes + 0.1 * rng.standard_normal((m, DIM)) + far * along).astype(np.float32)

    index = fresh("l2", block(n, 0, 0))
    for i in range(8):
        ids = np.arange(n // share) + i * (n // share)
        index.update(ids, block(len(ids), 100 + i, i + 1))
        assert recall(index, block(100, 200 + i, i + 1)) > 0.95, i


def test_learning_is_bounded_whatever_rows_do():
    """Not more than one learning for a 32nd of the rows that changed, after one in advance."""
    index = fresh("l2", rows(4000))
    for step in range(80):
        index.update(np.arange(100) + 100 * (step % 40), rows(100, step) * 3.0 ** (step % 20))
    assert 1 <= index.stats()["drift"]["retrained"] <= 1 + 8000 // (4000 // 32)


def test_the_state_is_saved(tmp_path):
    index = fresh("ip", rows(N))
    index.update(np.arange(400), rows(400, 3))
    index.save(tmp_path / "index")
    other = LSHIndex.load(tmp_path / "index")
    assert other.stats()["drift"] == index.stats()["drift"] and index.stats()["drift"]["changed"] == 400
    for each in (index, other):
        each.update(np.arange(N), rows(N, 4) / 5)
    assert other.stats()["drift"] == index.stats()["drift"] and other.stats()["drift"]["retrained"] == 1
    np.testing.assert_array_equal(other.query(rows(20, 5), 5)[0], index.query(rows(20, 5), 5)[0])


def test_tuned_functions_are_dropped_when_rows_are_others():
    X = rows(4000)
    index = LSHIndex("l2", DIM)
    index.tune(X, n_queries=100)
    index.add(X[:2000] + 50)
    assert recall(index, X[:100] + 50) > 0.8 and index.stats()["drift"]["reason"] == "moved"


def test_profiles_tell_what_changed():
    rng = np.random.default_rng(0)
    sketches = np.rint(20 * rng.standard_normal((500, 64))).clip(-127, 127).astype(np.int8)
    sketches[:, -1] = 10
    steps, codes = np.ones(64, np.float32), rng.integers(0, 200, (4, 500)).astype(np.uint16)
    lengths = np.full(500, 4.0)
    then = Profile.of(sketches, steps, 32, lengths, codes)
    assert then.change(Profile.of(sketches[::-1], steps, 32, lengths, codes), 500) is None
    turned = np.concatenate([sketches[:, 32:63], sketches[:, :32] // 8, sketches[:, 63:]], axis=1)
    for name, changed in (("moved", (np.clip(sketches, -80, 80) + 20).astype(np.int8)), ("spread", sketches // 4)):
        assert then.change(Profile.of(changed, steps, 32, lengths, codes), 500) == name
    assert then.change(Profile.of(sketches, steps, 32, lengths * 0.5, codes), 500) == "length"
    assert then.change(Profile.of(sketches, steps, 32, lengths, codes // 20), 500) == "crowded"
    wide = Profile.of(turned, steps, 8, lengths, codes)
    assert Profile.of(turned[:, ::1], steps, 40, lengths, codes).change(wide, 500) == "turned"


def test_credit_is_paid_by_changes():
    drift = Drift(1000, 32)
    assert drift.changes(1, 1000, 500, 0, 0.0) == "outside"
    after = Drift(1000, 32)
    drift.learned(after, 1000, "outside")
    assert after.retrained == 1 and after.changes(1, 1000, 500, 0, 0.0) is None
    assert after.changes(1000 // 8 + 40, 1000, 0, 0, 0.0) == "outside"
