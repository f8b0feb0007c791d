"""The contract of a search index, checked against brute force and a dict."""

import functools
import os
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np

from mongoose_nb.core.registry import find, registered
from mongoose_nb.testing.answers import candidate_lists, judge, members, same
from mongoose_nb.testing.distances import DISTANCES
from mongoose_nb.testing.drifts import drifts
from mongoose_nb.testing.factories import over_threads
from mongoose_nb.testing.pairs import METRICS, Metric, find_metric, pairs_at
from mongoose_nb.testing.report import CheckFailed, Report, require, require_equal


def check_index(make: Callable[[], Any], *, metric: "str | Metric" = "cosine", dim: int = 64, n: int = 400, n_queries: int = 60,
                k: int = 10, recall: float = 0.9, slack: float = 0.05,
                distance: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None, operations: int = 40, seed: int = 0,
                **tolerance: Any) -> Report:
    """Check a search index against brute force and a dict.

    An index must offer ``add(X, ids)``, ``query(Q, k) -> (ids, distances)``, both (len(Q), k), nearest first and padded with -1 and
    infinity, and ``len``. The following is checked where an index has it: ``add(X)`` that names the rows itself, ``remove(ids)``,
    ``update(ids, X)``, ``id in index``, ``candidates(Q)`` (one array of ids per query, or a pair ``(indptr, ids)``), ``save(path)`` and
    ``load(path)`` of the class.

    Parameters
    ----------
    make : callable
        ``make()`` returns an empty index; two of them with the same functions.
    metric : str, Metric or mongoose_nb.search.Metric, default "cosine"
        For which rows are made; see `pairs_at`. A search metric, or the name of a registered one, says so itself (`tested_as`) and gives
        the distances.
    dim, n, n_queries : int
        Coordinates, rows and queries. Each query has one planted neighbour, at the value ``near`` of the metric (cosine 0.95, Jaccard
        0.9, two bits changed); the other rows are unrelated to it.
    k : int, default 10
        Neighbours to ask for.
    recall : float, default 0.9
        Share of the planted neighbours that must be found. Rows that are in the index must find themselves always, except under an inner
        product: equal rows have equal codes.
    slack : float, default 0.05
        Share of the planted neighbours that an index may lose when every row is replaced once, compared with a new index. Of the nearest
        rows it may lose three times as many when rows drift (shrink, grow, move, turn, become equal) or most of them are removed.
    distance : callable, optional
        ``distance(q, X)`` gives the distances from q (dim,) to X (n, dim). By default 1 - cosine, the Euclidean distance, minus the inner
        product, 1 - Jaccard, and the number of different coordinates.
    operations : int, default 40
        Length of the random sequence of operations that is compared with a dict.
    seed : int, default 0
        Of the rows and of the operations.
    **tolerance
        ``rtol`` and ``atol``: by how much returned distances may differ from exact ones, 1e-4 of them and 1e-5 by default.

    Returns
    -------
    Report

    Raises
    ------
    CheckFailed
        Named ``empty index``, ``shape``, ``padding``, ``unknown id``, ``duplicate id``, ``sorted``, ``distances``, ``membership``,
        ``determinism``, ``input unchanged``, ``threads``, ``batch equals single``, ``finds itself``, ``planted neighbours``,
        ``k too large``, ``candidates``, ``removed ids``, ``own ids``, ``save and load``, ``replaced rows``, ``operations``, ``drift`` or
        ``shrink``.
    """
    metric, distance = _metric(metric, distance)
    if not 0 < n_queries <= n or k < 1:
        raise ValueError(f"n={n}, n_queries={n_queries}, k={k}: needed are 0 < n_queries <= n and k >= 1")
    trial = _Trial(make, metric, dim, k, functools.partial(judge, distance=distance, **tolerance), distance, np.random.default_rng(seed))
    trial.draw(n, n_queries)
    trial.ids = trial.rng.permutation(10 * n)[:n].astype(np.int64)
    report = Report()
    for part in (_empty, _first_answers, _threads, _batch):
        part(report, trial)
    _planted(report, trial, recall)
    for part in (_k_too_large, _candidates, _removed, _own_ids, _save_and_load):
        part(report, trial)
    _replaced(report, trial, slack)
    _operations(report, trial, operations)
    _drift(report, trial, 3 * slack)
    _shrink(report, trial, 3 * slack)
    return report


def _metric(metric, distance):
    """How rows are made, and their exact distances."""
    if isinstance(metric, str) and metric not in METRICS and (":" in metric or metric in registered("search metric")):
        metric = find("search metric", metric)()
    if hasattr(metric, "tested_as"):  # a search metric: it has its own distances
        return find_metric(metric.tested_as), metric.exact if distance is None else distance
    metric = find_metric(metric)
    if distance is None and metric.name not in DISTANCES:
        raise ValueError(f"there is no usual distance for {metric.name!r}; pass distance=, a function of q (dim,) and X (n, dim)")
    return metric, DISTANCES[metric.name] if distance is None else distance


class _Trial:
    """What all parts need: rows, queries and their planted neighbours, and a judge of answers."""

    def __init__(self, make, metric, dim, k, judge, distance, rng):
        self.make, self.metric, self.dim, self.k, self.judge, self.distance, self.rng = make, metric, dim, k, judge, distance, rng
        self.Q = self.X = self.ids = np.zeros(0)

    def draw(self, n, n_queries):
        """Other queries and rows."""
        self.Q, self.X = self.problem(n, n_queries)

    def problem(self, n, n_queries):
        """Queries, and rows of which the first are near them, one for each."""
        Q, near = pairs_at(self.metric.near, self.metric, n_queries, self.dim, self.rng)
        value = self.metric.values[len(self.metric.values) // 2]
        return Q, np.concatenate([near, pairs_at(value, self.metric, n - n_queries, self.dim, self.rng)[1]])

    def filled(self, X=None):
        index = self.make()
        index.add((self.X if X is None else X).copy(), self.ids.copy())
        return index

    def ask(self, index, Q, rows, k=None, check=None):
        """Answers, judged; `rows` maps the ids in the index to their rows."""
        k = self.k if k is None else k
        return self.judge(*index.query(Q.copy(), k), Q, k, rows, check)

    def nearest(self, index, Q, rows, check, what):
        """Share of the k nearest of `rows` that an index finds; it must name as many as there are."""
        ids, far = self.ask(index, Q, rows, check=check)
        most = min(self.k, len(rows))
        short = int((ids[:, :most] == -1).sum())
        require(not short, check, f"{what}: observed -1 in {short} places, expected rows, of which there are {len(rows)}", observed=short,
                expected=0)
        X = np.array(list(rows.values()), np.float64)
        bound = np.array([np.sort(self.distance(q.astype(np.float64), X))[most - 1] for q in Q])
        return float((far[:, :most] <= (bound + 1e-5 + 1e-4 * np.abs(bound))[:, None]).mean())

    def as_good_as_new(self, index, Q, rows, slack, check, what, new=None):
        """Check that an index finds as much as a new one with the same rows."""
        if new is None:
            new = self.make()
            new.add(np.array(list(rows.values())), np.array(list(rows), np.int64))
        found, fresh = self.nearest(index, Q, rows, check, what), self.nearest(new, Q, rows, check, "a new index")
        require(found >= fresh - slack, check, f"{what}: observed {found:.3f} of the {self.k} nearest rows found, expected {fresh:.3f} as "
                f"in a new index, bound [{fresh - slack:.3f}, 1]", observed=found, expected=fresh, bound=(fresh - slack, 1.0))

    @property
    def rows(self):
        return dict(zip(self.ids.tolist(), self.X))


# --- the parts, each on an index of its own ---------------------------------------------------------------------------------------------


def _empty(report, trial):
    index = trial.make()
    require(len(index) == 0, "empty index", f"len: observed {len(index)}, expected 0", observed=len(index), expected=0)
    trial.ask(index, trial.Q, {}, check="empty index")
    trial.ask(trial.filled(), trial.Q[:0], trial.rows, check="empty index")
    report.holds("empty index")


def _first_answers(report, trial):
    index, X, Q, ids = trial.make(), trial.X.copy(), trial.Q.copy(), trial.ids.copy()
    index.add(X, ids)
    first = trial.ask(index, Q, trial.rows)
    for name in ("shape", "padding", "unknown id", "duplicate id", "sorted", "distances"):
        report.holds(name)
    members(index, trial.rows, "membership", outside=[-1, *range(int(trial.ids.max()) + 1, int(trial.ids.max()) + 4)])
    report.holds("membership")
    same("determinism", index.query(trial.Q.copy(), trial.k), first, "the same index asked again")
    same("determinism", trial.filled().query(trial.Q.copy(), trial.k), first, "another index with the same rows")
    report.holds("determinism")
    index.query(Q, trial.k)
    for array, kept, what in ((X, trial.X, "rows"), (Q, trial.Q, "queries"), (ids, trial.ids, "ids")):
        require_equal("input unchanged", array, kept, what)
        array[:] = array[::-1].copy()
    same("input unchanged", index.query(trial.Q.copy(), trial.k), first, "after the arrays given to add were overwritten")
    report.holds("input unchanged")


def _batch(report, trial):
    check, index = "batch equals single", trial.filled()
    together = index.query(trial.Q.copy(), trial.k)
    alone = [index.query(trial.Q[i : i + 1].copy(), trial.k) for i in range(len(trial.Q))]
    same(check, [np.concatenate(side) for side in zip(*alone)], together, "queries asked one by one")
    same(check, [side[::-1] for side in index.query(trial.Q[::-1].copy(), trial.k)], together, "queries in reverse order")
    report.holds(check)


def _planted(report, trial, recall):
    index = trial.filled()
    if trial.metric.reflexive:
        _find_themselves(trial, index, trial.rows, "finds itself")
        report.holds("finds itself")
    share = _found(trial, index)
    figures = {"observed": share, "expected": recall, "bound": (recall, 1.0)}
    require(share >= recall, "planted neighbours", f"observed {share:.3f} of {len(trial.Q)} found, expected at least {recall:g}, bound "
            f"[{recall:g}, 1]", **figures)
    report.holds("planted neighbours", "", **figures)


def _k_too_large(report, trial):
    trial.ask(trial.filled(), trial.Q, trial.rows, k=len(trial.X) + 7, check="k too large")
    few = trial.make()
    few.add(trial.X[:2].copy(), trial.ids[:2].copy())
    trial.ask(few, trial.Q, dict(list(trial.rows.items())[:2]), k=5, check="k too large")
    report.holds("k too large")


def _candidates(report, trial):
    check, index = "candidates", trial.filled()
    if not hasattr(index, "candidates"):
        report.skip(check, "no candidates")
        return
    sets = candidate_lists(index.candidates(trial.Q.copy()), len(trial.Q))
    ids, _ = index.query(trial.Q.copy(), trial.k)
    for i, (answer, row) in enumerate(zip(np.asarray(ids).tolist(), sets)):
        require(len(set(row)) == len(row), check, f"query {i}: observed an id more than once, expected each once", observed=row)
        unknown = sorted(set(row) - set(trial.rows))
        require(not unknown, check, f"query {i}: observed {unknown[:5]}, expected only ids that are in the index", observed=unknown)
        beyond = sorted(set(answer) - {-1} - set(row)) if len(row) >= trial.k else []  # fewer may be filled up
        require(not beyond, check, f"query {i}: observed answers {beyond[:5]} that are no candidates, expected none", observed=beyond)
    report.holds(check, f"{np.mean([len(row) for row in sets]):.1f} of {len(trial.X)} rows on average")


def _threads(report, trial):
    over_threads(report, lambda: trial.filled().query(trial.Q.copy(), trial.k), functools.partial(same, "threads"))


def _removed(report, trial):
    check, index, rows = "removed ids", trial.filled(), trial.rows
    if not hasattr(index, "remove"):
        report.skip(check, "no remove")
        return
    gone = trial.ids[: len(trial.Q) // 2].tolist() + trial.ids[len(trial.Q) :: 3].tolist()  # half of the planted ones and many others
    index.remove(np.array(gone, np.int64))
    for j in gone:
        del rows[j]
    members(index, rows, check, outside=gone)
    trial.ask(index, trial.Q, rows, check=check)
    trial.ask(index, trial.Q, rows, k=len(trial.X), check=check)
    if hasattr(index, "candidates"):
        for row in candidate_lists(index.candidates(trial.Q.copy()), len(trial.Q)):
            back = sorted(set(row) & set(gone))
            require(not back, check, f"candidates: observed the removed ids {back[:5]}, expected none", observed=back)
    if trial.metric.reflexive:
        _find_themselves(trial, index, rows, check)
    index.add(trial.X[:1].copy(), trial.ids[:1].copy())  # the first planted one again, under its old id
    rows[gone[0]] = trial.X[0]
    members(index, rows, check)
    trial.ask(index, trial.Q, rows, check=check)
    index.remove(np.array(list(rows), np.int64))
    members(index, {}, check)
    trial.ask(index, trial.Q, {}, check=check)
    report.holds(check)


def _own_ids(report, trial):
    check, index = "own ids", trial.make()
    try:
        given = [index.add(part.copy()) for part in (trial.X[:5], trial.X[5:])]
    except TypeError:
        report.skip(check, "add needs ids")
        return
    require(len(index) == len(trial.X), check, f"len: observed {len(index)}, expected {len(trial.X)}", observed=len(index),
            expected=len(trial.X))
    if given[0] is None:
        report.skip(check, "add returns no ids")
        return
    ids = np.concatenate([np.asarray(part) for part in given])
    require(ids.shape == (len(trial.X),) and ids.dtype.kind in "iu" and len(np.unique(ids)) == len(ids) and ids.min() >= 0, check,
            f"add returned ids {ids[:8].tolist()}..., expected {len(trial.X)} different integers from 0 on", observed=ids)
    trial.ask(index, trial.Q, dict(zip(ids.tolist(), trial.X)), check=check)
    report.holds(check)


def _save_and_load(report, trial):
    check, index = "save and load", trial.filled()
    if not (hasattr(index, "save") and hasattr(index, "load")):
        report.skip(check, "no save and load")
        return
    answer = index.query(trial.Q.copy(), trial.k)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "index.npz")
        index.save(path)
        again = type(index).load(path)
        same(check, again.query(trial.Q.copy(), trial.k), answer, "the loaded index")
        members(again, trial.rows, check)
        if hasattr(again, "remove"):
            again.remove(trial.ids[:3].copy())
            rows = trial.rows
            for j in trial.ids[:3].tolist():
                del rows[j]
            trial.ask(again, trial.Q, rows, check=check)
        same(check, index.query(trial.Q.copy(), trial.k), answer, "the saved index, after the loaded one was changed")
        del again  # which may have the file open
    report.holds(check)


def _replaced(report, trial, slack):
    check, index = "replaced rows", trial.filled()
    if not hasattr(index, "update"):
        report.skip(check, "no update")
        return
    trial.draw(len(trial.X), len(trial.Q))
    for part in np.array_split(trial.rng.permutation(len(trial.X)), 7):
        index.update(trial.ids[part].copy(), trial.X[part].copy())
    members(index, trial.rows, check)
    trial.ask(index, trial.Q, trial.rows, check=check)
    if trial.metric.reflexive:
        _find_themselves(trial, index, trial.rows, check)
    after, fresh = _found(trial, index), _found(trial, trial.filled())
    figures = {"observed": after, "expected": fresh, "bound": (fresh - slack, 1.0)}
    require(after >= fresh - slack, check, f"after every row was replaced once: observed {after:.3f} of the planted neighbours found, "
            f"expected {fresh:.3f} as in a new index, bound [{fresh - slack:.3f}, 1]", **figures)
    report.holds(check, "", **figures)


def _drift(report, trial, slack):
    """Rows that are replaced by rows of another kind: the index has to notice."""
    check, ids, order = "drift", trial.ids, trial.rng.permutation(len(trial.X))
    if not hasattr(trial.make(), "update"):
        report.skip(check, "no update")
        return
    for name, change in drifts(trial.X, trial.rng).items():
        Q, X = change(trial.Q), change(trial.X)
        with np.errstate(all="ignore"):
            far = [trial.distance(q.astype(np.float64), X.astype(np.float64)) for q in Q[:3]]
        if not np.isfinite(far).all():
            continue  # the distance of such rows is not defined
        index = trial.filled()
        for part in np.array_split(order, 3):
            index.update(ids[part].copy(), X[part].copy())
        trial.as_good_as_new(index, Q, dict(zip(ids.tolist(), X)), slack, check, f"after all rows were replaced ({name})")
        other = trial.make()  # first rows of the one kind, then many of the other
        few = len(X) // 4
        other.add(trial.X[:few].copy(), ids[:few].copy())
        other.add(X[few:].copy(), ids[few:].copy())
        rows = dict(zip(ids.tolist(), np.concatenate([trial.X[:few], X[few:]])))
        trial.as_good_as_new(other, Q, rows, slack, check, f"after other rows were added ({name})")
        if hasattr(other, "remove"):
            new = trial.filled(X)
            for each in (other, new):
                each.remove(ids[:few].copy())
            left = {j: rows[j] for j in ids[few:].tolist()}
            trial.as_good_as_new(other, Q, left, slack, check, f"after the old ones were removed ({name})", new)
    report.holds(check)


def _shrink(report, trial, slack):
    """Most rows are removed, a part at a time."""
    check, index, rows = "shrink", trial.filled(), trial.rows
    if not hasattr(index, "remove"):
        report.skip(check, "no remove")
        return
    for part in np.array_split(trial.ids, 8)[:7]:
        index.remove(part.copy())
        for j in part.tolist():
            del rows[j]
        trial.as_good_as_new(index, trial.Q, rows, slack, check, f"with {len(rows)} of {len(trial.X)} rows left")
    report.holds(check)


def _operations(report, trial, operations):
    """A random sequence of operations on the index and on a dict."""
    index, rows, done, rng = trial.make(), {}, [], trial.rng
    kinds = ["add", "add", "query", *(kind for kind in ("remove", "update") if hasattr(index, kind))]
    for _ in range(operations):
        kind = "add" if not rows else kinds[rng.integers(len(kinds))]
        count = int(rng.integers(1, 12))
        picked = rng.choice(sorted(rows), min(count, len(rows)), replace=False).astype(np.int64) if rows else np.empty(0, np.int64)
        new = trial.problem(2 * count, count)[1][rng.permutation(2 * count)]
        done.append(f"{kind} {len(picked) if kind in ('remove', 'update') else count}")
        try:
            if kind == "add":
                ids = np.setdiff1d(rng.permutation(20 * operations + 40)[: 2 * count], list(rows))[:count].astype(np.int64)
                new = new[: len(ids)]
                index.add(new.copy(), ids.copy())
                rows.update(zip(ids.tolist(), new))
            elif kind == "remove":
                index.remove(picked.copy())
                for j in picked.tolist():
                    del rows[j]
            elif kind == "update":
                index.update(picked.copy(), new[: len(picked)].copy())
                rows.update(zip(picked.tolist(), new))
            members(index, rows, "operations")
            trial.ask(index, new, rows, k=int(rng.integers(1, 15)), check="operations")
            if rows and trial.metric.reflexive:
                _find_themselves(trial, index, {j: rows[j] for j in rng.choice(sorted(rows), min(5, len(rows)), replace=False).tolist()},
                                 "operations", everything=rows)
        except CheckFailed as error:
            message = str(error).removeprefix("operations: ")
            raise CheckFailed("operations", f"after {', '.join(done)}: {message}", observed=error.observed, expected=error.expected,
                              bound=error.bound) from None
    report.holds("operations", f"{operations} steps, {len(rows)} rows at the end")


# --- finding what must be found -------------------------------------------------------------------------------------------------------


def _find_themselves(trial, index, rows, check, everything=None):
    """Every row of `rows` is found when asked for, unless all answers are copies of it."""
    Q = np.array(list(rows.values()))
    ids, distances = trial.ask(index, Q, rows if everything is None else everything, k=3, check=check)
    for i, j in enumerate(rows):
        require(j in ids[i] or (distances[i] <= 1e-5).all(), check, f"observed {ids[i].tolist()} at {distances[i].tolist()} for the row of "
                f"id {j} itself, expected {j}: equal rows have equal codes", observed=ids[i].tolist(), expected=j)


def _found(trial, index):
    """Share of the queries whose planted neighbour is among the answers."""
    ids = np.asarray(trial.ask(index, trial.Q, trial.rows)[0])
    return float((ids == trial.ids[: len(trial.Q), None]).any(axis=1).mean())
