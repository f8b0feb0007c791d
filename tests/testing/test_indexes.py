"""The contract of a search index: brute force passes under every metric, and every broken variant fails by name."""

import re

import numpy as np
import pytest
from naive_index import BruteForce

from mongoose_nb.testing import CheckFailed, Metric, check_index


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["cosine", "l2", "ip", "jaccard", "hamming"])
def test_brute_force_passes(metric):
    report = check_index(lambda: BruteForce(metric), metric=metric)
    checks = {line.check for line in report if not line.skipped} | {"threads"}
    assert checks == {
        "empty index", "shape", "padding", "unknown id", "duplicate id", "sorted", "distances", "membership", "input unchanged",
        "determinism", "batch equals single", "planted neighbours", "k too large", "candidates", "threads", "removed ids", "own ids",
        "save and load", "replaced rows", "operations", "drift", "shrink", *(["finds itself"] if metric != "ip" else [])}
    planted = next(line for line in report if line.check == "planted neighbours")
    assert planted.observed == 1


def test_the_least_that_an_index_must_offer():
    class Least:
        def __init__(self):
            self.index = BruteForce()

        def __len__(self):
            return len(self.index)

        def add(self, X, ids):
            self.index.add(X, ids)

        def query(self, Q, k):
            return self.index.query(Q, k)

    report = check_index(Least)
    assert set(report.skipped) - {"threads"} == {"candidates", "removed ids", "own ids", "save and load", "replaced rows", "drift",
                                                "shrink"}


class ReturnsRemoved(BruteForce):
    def remove(self, ids):
        self.gone = getattr(self, "gone", {}) | {id_: self.rows[id_] for id_ in np.asarray(ids).tolist()}
        super().remove(ids)

    def query(self, Q, k):
        kept, self.rows = self.rows, self.rows | getattr(self, "gone", {})
        answer = super().query(Q, k)
        self.rows = kept
        return answer


class ForgetsToRemove(BruteForce):
    def remove(self, ids):
        super().remove(np.asarray(ids)[1:])


class RemovedCandidates(BruteForce):
    def add(self, X, ids=None):
        self.ever = set(getattr(self, "ever", set())) | set(np.asarray(super().add(X, ids)).tolist())

    def candidates(self, Q):
        return [np.array(sorted(self.ever), np.int64) for _ in Q]


class WrongDistances(BruteForce):
    def query(self, Q, k):
        ids, distances = super().query(Q, k)
        return ids, distances + 0.01


class SquaredDistances(BruteForce):
    def query(self, Q, k):
        ids, distances = super().query(Q, k)
        return ids, distances**2


class Unsorted(BruteForce):
    def query(self, Q, k):
        ids, distances = super().query(Q, k)
        n = min(k, len(self.rows))
        ids[:, :n], distances[:, :n] = ids[:, :n][:, ::-1], distances[:, :n][:, ::-1]
        return ids, distances


class Repeats(BruteForce):
    def query(self, Q, k):
        ids, distances = super().query(Q, k)
        ids[:, 1:2], distances[:, 1:2] = ids[:, :1], distances[:, :1]
        return ids, distances


class PadsWithZero(BruteForce):
    def query(self, Q, k):
        ids, distances = super().query(Q, k)
        return np.where(ids < 0, 0, ids), distances


class ShortAnswers(BruteForce):
    def query(self, Q, k):
        ids, distances = super().query(Q, k)
        return ids[:, : len(self.rows)], distances[:, : len(self.rows)]


class FloatIds(BruteForce):
    def query(self, Q, k):
        ids, distances = super().query(Q, k)
        return ids.astype(np.float64), distances


class KeepsTheCallersArray(BruteForce):
    def add(self, X, ids=None):
        ids = super().add(X, ids)
        self.rows.update(zip(ids.tolist(), X))
        return ids


class WritesToQueries(BruteForce):
    def query(self, Q, k):
        answer = super().query(Q, k)
        Q *= 2
        return answer


class Random(BruteForce):
    def query(self, Q, k):
        kept = self.rows
        self.rows = {id_: row for id_, row in kept.items() if np.random.random() < 0.5}
        answer = super().query(Q, k)
        self.rows = kept
        return answer


class SeedsItself(BruteForce):
    """Two indexes of one factory are not alike."""

    def __init__(self, metric="cosine"):
        super().__init__(metric)
        self.seen = np.random.random(20_000) < 0.5

    def query(self, Q, k):
        kept = self.rows
        self.rows = {id_: row for id_, row in kept.items() if self.seen[id_]}
        answer = super().query(Q, k)
        self.rows = kept
        return answer


class BatchDependent(BruteForce):
    def query(self, Q, k):
        kept = self.rows
        if len(Q) > 1:
            self.rows = dict(list(kept.items())[1:])
        answer = super().query(Q, k)
        self.rows = kept
        return answer


class ThreadDependent(BruteForce):
    def query(self, Q, k):
        import numba

        kept = self.rows
        self.rows = dict(list(kept.items())[numba.get_num_threads() :])
        answer = super().query(Q, k)
        self.rows = kept
        return answer


class Blind(BruteForce):
    """Sees every second row."""

    def query(self, Q, k):
        kept = self.rows
        self.rows = {id_: row for id_, row in kept.items() if id_ % 2}
        answer = super().query(Q, k)
        self.rows = kept
        return answer


class MissesPlanted(BruteForce):
    """Finds only what is at the very place of the query."""

    def query(self, Q, k):
        ids, distances = super().query(Q, k)
        far = distances > 1e-9
        ids[far], distances[far] = -1, np.inf
        return ids, distances


class AnswersBeyondCandidates(BruteForce):
    def candidates(self, Q):
        return [row[:15] for row in super().candidates(Q)]


class BlindToOtherRows(BruteForce):
    """As if functions were learned from the first rows and never again: rows out of their range are not found."""

    first = None

    def add(self, X, ids=None):
        if self.first is None:
            self.first = 3 * np.abs(X).max()
        return super().add(X, ids)

    def query(self, Q, k):
        seen = BruteForce(self.metric)
        seen.rows = {id_: row for id_, row in self.rows.items() if np.abs(row).max() <= self.first}
        return seen.query(Q, k)


class BlindWhenFew(BruteForce):
    """As if its buckets were made for many rows: of few ones some are not met."""

    most = 0

    def query(self, Q, k):
        self.most = max(self.most, len(self))
        ids, distances = super().query(Q, k)
        if len(self) < self.most // 3:
            ids[:, -2:], distances[:, -2:] = -1, np.inf
        return ids, distances


class SameOwnIds(BruteForce):
    def add(self, X, ids=None):
        return super().add(X, np.arange(len(X)) if ids is None else ids)


class LosesOnLoad(BruteForce):
    @classmethod
    def load(cls, path):
        self = super().load(path)
        del self.rows[next(iter(self.rows))]
        return self


class UpdatesNothing(BruteForce):
    def update(self, ids, X):
        pass


class LosesUpdated(BruteForce):
    """A row that was replaced can only be found at its very place."""

    def update(self, ids, X):
        super().update(ids, X)
        self.hidden = getattr(self, "hidden", set()) | set(np.asarray(ids).tolist())

    def query(self, Q, k):
        ids, distances = super().query(Q, k)
        for i in range(len(ids)):
            keep = [j for j in range(k) if ids[i, j] not in getattr(self, "hidden", ()) or distances[i, j] < 1e-9]
            ids[i], distances[i] = (np.concatenate([part[i, keep], np.full(k - len(keep), fill)])
                                    for part, fill in ((ids, -1), (distances, np.inf)))
        return ids, distances


class BreaksWhenReused(BruteForce):
    """An id that was removed and comes back keeps its old row: seen by a sequence of operations alone."""

    def remove(self, ids):
        self.old = getattr(self, "old", {}) | {id_: self.rows[id_] for id_ in np.asarray(ids).tolist()}
        super().remove(ids)

    def add(self, X, ids=None):
        ids = super().add(X, ids)
        self.rows.update({id_: self.old[id_] for id_ in ids.tolist() if id_ in getattr(self, "old", {})})
        return ids

    def update(self, ids, X):
        for id_, row in zip(np.asarray(ids).tolist(), X):
            self.rows[id_] = np.array(row, np.float64)


class CountsWrong(BruteForce):
    def __len__(self):
        return len(self.rows) + (len(self.rows) > 0)


class ContainsAll(BruteForce):
    def __contains__(self, id_):
        return True


@pytest.mark.slow
@pytest.mark.parametrize("broken, check, text", [
    (ReturnsRemoved, "removed ids", "expected only ids that are in the index"),
    (ForgetsToRemove, "removed ids", "len: observed"),
    (RemovedCandidates, "removed ids", "candidates: observed the removed ids"),
    (WrongDistances, "distances", "bound 1e-05 + 0.0001 of it"),
    (SquaredDistances, "distances", "expected"),
    (Unsorted, "sorted", "expected ascending distances"),
    (Repeats, "duplicate id", "expected each id once"),
    (PadsWithZero, "empty index", "expected -1 and infinity together and only at the end"),
    (ShortAnswers, "empty index", "ids of 60 queries with k=10: observed (60, 0), expected (60, 10)"),
    (FloatIds, "empty index", "ids of dtype float64"),
    (KeepsTheCallersArray, "input unchanged", "after the arrays given to add were overwritten"),
    (WritesToQueries, "input unchanged", "queries"),
    (Random, "determinism", "the same index asked again"),
    (SeedsItself, "determinism", "another index with the same rows"),
    (BatchDependent, "batch equals single", "queries asked one by one"),
    (ThreadDependent, "threads", "2 threads instead of 1"),
    (Blind, "finds itself", "equal rows have equal codes"),
    (MissesPlanted, "planted neighbours", "observed 0.000 of 60 found, expected at least 0.9, bound [0.9, 1]"),
    (AnswersBeyondCandidates, "candidates", "that are no candidates"),
    (SameOwnIds, "own ids", "len: observed 395, expected 400"),
    (BlindToOtherRows, "drift", "of the 10 nearest rows found"),
    (BlindWhenFew, "shrink", "observed -1 in"),
    (LosesOnLoad, "save and load", "the loaded index"),
    (UpdatesNothing, "replaced rows", "expected"),
    (LosesUpdated, "replaced rows", "observed 0.000 of the planted neighbours found, expected 1.000 as in a new index, bound [0.950, 1]"),
    (BreaksWhenReused, "operations", "after add"),
    (CountsWrong, "membership", "len: observed 401, expected 400"),
    (ContainsAll, "membership", "id -1 is in the index, expected that it is not"),
])
def test_broken_indexes_fail_by_name(broken, check, text):
    if broken is ThreadDependent and pytest.importorskip("numba").config.NUMBA_NUM_THREADS < 2:
        pytest.skip("one thread only")
    with pytest.raises(CheckFailed, match=f"^{check}: .*{re.escape(text)}") as caught:
        check_index(broken, n=400)
    assert caught.value.check == check


def test_a_metric_of_the_user():
    class Manhattan(BruteForce):
        def query(self, Q, k):
            ids, distances = np.full((len(Q), k), -1, np.int64), np.full((len(Q), k), np.inf)
            for i, q in enumerate(Q):
                for j, (far, id_) in enumerate(sorted((np.abs(row - q).sum(), id_) for id_, row in self.rows.items())[:k]):
                    ids[i, j], distances[i, j] = id_, far
            return ids, distances

    def make(value, n, dim, nnz, rng):
        X = rng.standard_normal((n, dim))
        return X, X + value / dim * rng.choice([-1, 1], (n, dim))

    metric = Metric("l1", make, lambda X, Y: np.abs(X - Y).sum(axis=1), (1.0, 4.0, 16.0), 0.0, np.inf, closer=-1, near=0.5)
    options = {"metric": metric, "dim": 8, "n": 60, "n_queries": 20, "operations": 10}
    check_index(Manhattan, distance=lambda q, X: np.abs(X - q).sum(axis=1), **options)
    with pytest.raises(ValueError, match="no usual distance for 'l1'; pass distance="):
        check_index(Manhattan, **options)


def test_wrong_arguments():
    with pytest.raises(ValueError, match="0 < n_queries <= n"):
        check_index(BruteForce, n=10, n_queries=20)
    with pytest.raises(ValueError, match="metric is 'euclid'; it must be one of 'cosine', 'l2'"):
        check_index(BruteForce, metric="euclid")


def test_the_same_seed_makes_the_same_problem():
    seen = []

    class Records(BruteForce):
        def add(self, X, ids=None):
            seen.append((X.copy(), np.array(ids)))
            return super().add(X, ids)

    for seed in (1, 1, 2):
        check_index(Records, n=60, n_queries=20, operations=5, seed=seed)
    third = len(seen) // 3
    np.testing.assert_array_equal(seen[0][0], seen[third][0])
    assert (seen[0][0] != seen[2 * third][0]).any()
