"""Statistical checks of a hash family: frequencies of collisions over random hash functions.

A. *What is random.* One draw of a family is one set of functions: hashing more rows with it tells nothing new. So pairs are few and
   fixed, and functions many: new seeds, and every other time a rebuild, whose functions have to be as good.
B. *Columns count as independent draws*, as they must for L tables to be worth more than one. Frequencies over groups of columns check
   that, and columns that sort all pairs alike are an error of their own. Where columns are known to depend on each other (bins of
   one permutation), a factory of one column per draw keeps the trials independent.
C. *A probability that holds on average over pairs alone* (``over="pairs"``) is tried with a new pair for every column: several
   columns on one pair would all share that pair's luck, and the binomial bound would be too narrow.
D. *Exact bounds and a union bound.* Clopper-Pearson at alpha divided by the number of statements: the confidence of a call is that
   of all its statements together, for every size. It is on the safe side, never on the other.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mongoose_nb.testing.factories import as_factory, dim_of
from mongoose_nb.testing.pairs import Metric, find_metric, pairs_at, similarity_of
from mongoose_nb.testing.report import Report, interval, require
from mongoose_nb.testing.statistics import clopper_pearson

_ROUNDING = 1e-6  # of a closed form, where the two rows are known in float32
_TELLING = 8  # agreements, and disagreements, that a column needs to be compared with others


def check_collisions(family: Any, *, metric: str | Metric = "cosine", dim: int | None = None, values: Sequence[float] | None = None,
                     probability: Callable[..., Any] | None = None, over: str = "functions", pairs: int = 2, nnz: int | None = None,
                     functions: int = 20_000, alpha: float = 1e-3, tolerance: float = 0.0, seed: int = 0) -> Report:
    """Check the frequency of collisions: the part of `check_hash_family` that is statistical.

    Parameters
    ----------
    family, metric, dim, seed
        As in `check_hash_family`.
    values : sequence of float, optional
        Similarities to try; those of the metric by default.
    probability : callable, optional
        From similarity to the probability that one *column* agrees, where that is not ``family.collision_probability(similarity) ** K``:
        hashes folded into a few bits, or drawn without repetition. ``collision_probability_of`` is left aside then.
    over : {"functions", "pairs"}, default "functions"
        What the closed form averages over. "functions": it holds for every pair of rows of that similarity, and is tried on fixed
        pairs. "pairs": it holds on average over random pairs as `pairs_at` makes them, as for families whose probability depends on
        more than one number. ``collision_probability_of`` is tried on fixed pairs in either case.
    pairs : int, default 2
        Fixed pairs at each similarity.
    nnz : int, optional
        Most nonzero coordinates of a pair, as in `pairs_at`: 2 or 3 make it hard for functions that mix coordinates badly.
    functions : int, default 20,000
        Columns to draw, at least. The interval in which a probability near a half is located has a half-width of about
        ``2 / sqrt(functions)``, so this many tell 0.50 from 0.52.
    alpha : float, default 1e-3
        Most probability with which a correct family fails, over all statements of the call together, if its columns are independent:
        the bounds are exact (Clopper-Pearson) and divided among the statements (Bonferroni).
    tolerance : float, default 0
        Relative error that the closed form admits, where it is an approximation.

    Returns
    -------
    Report
        One line per statement, with the interval that the data leave for the probability.

    Raises
    ------
    CheckFailed
        Named ``monotone probability``, ``collision frequency``, ``independent columns`` or ``columns differ``.
    """
    if over not in ("functions", "pairs"):
        raise ValueError(f"over is {over!r}; it must be 'functions' or 'pairs'")
    if not 0 < alpha < 1:
        raise ValueError(f"alpha is {alpha!r}; it must lie in (0, 1)")
    make, metric, report = as_factory(family), find_metric(metric), Report()
    first = make(seed)
    dim, K = dim_of(first, dim), int(getattr(first, "K", 1))
    values = tuple(metric.check(value) for value in (metric.values if values is None else values))
    of_value = _of_value(first, probability, K)
    of_pair = getattr(first, "collision_probability_of", None) if probability is None else None  # one hash; what a column is, they know
    if of_value is None and of_pair is None:
        raise TypeError(f"{type(first).__name__} has neither collision_probability nor collision_probability_of; pass probability=, a "
                        "function from similarity to the probability that one column of hash(X) agrees")
    if of_value is not None:
        _monotone(report, metric, of_value)
    _columns_differ(report, make, metric, dim, values, of_value, nnz, seed)  # first: equal columns make the other bounds too narrow

    X, Y, value_of, which = _fixed_pairs(metric, dim, values, pairs, nnz, np.random.default_rng([seed, 1]))
    statements = []  # (what, expected, row of `agree`)
    for i in range(len(X)):
        what = f"{metric.name} {which[i]:.6g}, pair {i}"
        closed = float(of_value(value_of[i])) if of_value is not None and over == "functions" else None
        of_both = float(of_pair(X[i], Y[i])) ** K if of_pair is not None else None
        if closed is not None:
            statements.append((what, closed, i))
        if of_both is not None and (closed is None or abs(of_both - closed) > _ROUNDING):
            statements.append((f"{what}, collision_probability_of", of_both, i))
    group = [_group_size(p) for _, p, _ in statements]
    agree = _agreements(make, X, Y, functions, seed)
    trials = [_trials(agree, row, size) for (_, _, row), size in zip(statements, group)]
    random_pairs = of_value is not None and over == "pairs"
    number = len(statements) + sum(trial is not None for trial in trials) + (len(values) if random_pairs else 0)
    judge: Callable[..., None] = functools.partial(_frequency, report, level=alpha / number, tolerance=tolerance,
                              confidence=f"at confidence {1 - alpha:g} over {number} statements")
    for what, p, row in statements:
        hits = np.concatenate([part[row] for part in agree])
        judge("collision frequency", what, int(hits.sum()), hits.size, lambda q: q, p)
    for (what, p, _), size, trial in zip(statements, group, trials):
        if trial is not None:
            judge("independent columns", f"{what}, in at least one of {size} columns", *trial,
                  lambda q, size=size: 1 - (1 - q) ** size, p)
    if random_pairs:
        hits, n = _diagonal(make, metric, values, dim, nnz, functions, seed)
        had = value_of[::pairs] if metric.of_pair else values  # sets and bits cannot have every value
        for value, count in zip(had, hits):
            judge("collision frequency", f"{metric.name} {value:.6g}, random pairs", int(count), n, lambda q: q, float(of_value(value)))
    return report


def check_sensitivity(family: Any, S0: float, c: float, p1: float, p2: float, *, metric: str | Metric = "cosine", dim: int | None = None,
                      pairs: int = 3, nnz: int | None = None, functions: int = 20_000, alpha: float = 1e-3, seed: int = 0) -> Report:
    """Check that no pair contradicts that a family is (S0, c S0, p1, p2)-sensitive.

    Rows at least as similar as `S0` have to agree with probability `p1` or more, rows no more similar than ``c * S0`` with
    probability `p2` or less. Tried are pairs at the two limits and pairs half way from there to equal rows, and to the least similar.

    Parameters
    ----------
    family, metric, dim, nnz, seed
        As in `check_collisions`; no closed form is needed.
    S0, c : float
        Limits in units of `metric`. Below one is `c` for a similarity (`S0` positive), above one for a distance.
    p1, p2 : float
        Probabilities that one column of ``hash(X)`` agrees, 0 <= p2 < p1 <= 1: with K hashes in a column, those of all K together.
    pairs : int, default 3
        Fixed pairs at each of the four values.
    functions : int, default 20,000
    alpha : float, default 1e-3
        Most probability with which a sensitive family fails.

    Returns
    -------
    Report
        ``bound`` of a line is the interval that the data leave for the probability. A pair may violate the claim by less than its width
        unseen.

    Raises
    ------
    CheckFailed
        Named ``sensitivity``.
    ValueError
        If the figures contradict each other.
    """
    make, metric, report = as_factory(family), find_metric(metric), Report()
    near, far = metric.check(S0), metric.check(c * S0)
    if not 0 <= p2 < p1 <= 1:
        raise ValueError(f"p1 is {p1} and p2 is {p2}; they must satisfy 0 <= p2 < p1 <= 1")
    if metric.closer * near <= metric.closer * far:
        raise ValueError(f"at S0={S0} and c={c} the near limit is {near:g} and the far one {far:g}; for {metric.name!r} "
                         f"c must be {'below' if metric.closer > 0 else 'above'} 1 (and S0 positive)")
    best, worst = (metric.high, metric.low) if metric.closer > 0 else (metric.low, metric.high)
    inside = (near + best) / 2 if np.isfinite(best) else 2 * near
    outside = (far + worst) / 2 if np.isfinite(worst) else (2 * far if metric.closer < 0 else -abs(far))
    X, Y, _, which = _fixed_pairs(metric, dim_of(make(seed), dim), (near, inside, far, outside), pairs, nnz,
                                  np.random.default_rng([seed, 1]))
    measured = similarity_of(X, Y, metric)
    agree = np.concatenate(_agreements(make, X, Y, functions, seed), axis=1)
    n, level = agree.shape[1], alpha / len(X)
    for i in range(len(X)):
        count = int(agree[i].sum())
        low, high = (float(end) for end in clopper_pearson(count, n, 2 * level))  # one side alone can fail
        is_near = i < 2 * pairs
        claim, text = (p1, "at least p1") if is_near else (p2, "at most p2")
        figures = {"observed": count / n, "expected": claim, "bound": (low, high)}
        where = f"{metric.name} {measured[i]:.6g} ({'near' if is_near else 'far'} side, asked for {which[i]:.6g})"
        require(high >= p1 if is_near else low <= p2, "sensitivity",
                f"{where}: observed {count / n:.5f} ({count} of {n} functions), expected {text} = {claim:g}; at confidence "
                f"{1 - alpha:g} the probability lies in bound {interval((low, high))}", **figures)
        report.holds("sensitivity", f"{where}, {text}: ", **figures)
    return report


# --- the parts --------------------------------------------------------------------------------------------------------------------------


def _of_value(family, probability, K):
    """Probability that one column agrees as a function of the similarity, or None."""
    if probability is not None:
        return probability
    if not hasattr(family, "collision_probability"):
        return None
    return lambda value: np.asarray(family.collision_probability(value), np.float64) ** K


def _monotone(report, metric, of_value):
    check = "monotone probability"
    low = metric.low if np.isfinite(metric.low) else min(metric.values)
    high = metric.high if np.isfinite(metric.high) else max(metric.values)
    grid = np.linspace(low, high, 17)[:: metric.closer]  # from far to near
    p = np.array([float(of_value(value)) for value in grid])
    at = int(np.argmax(~((p >= 0) & (p <= 1))))
    require(((p >= 0) & (p <= 1)).all(), check, f"observed probability {p[at]} at {metric.name} {grid[at]:.4g}, expected bound [0, 1]",
            observed=p[at], bound=(0, 1))
    falls = int(np.argmin(np.diff(p)))
    require(np.diff(p)[falls] >= -1e-12, check,
            f"the closed form falls from {p[falls]:.6g} to {p[falls + 1]:.6g} where {metric.name} goes from {grid[falls]:.4g} to "
            f"{grid[falls + 1]:.4g}: observed {p[falls + 1]:.6g}, expected at least {p[falls]:.6g}",
            observed=p[falls + 1], expected=p[falls])
    report.holds(check, f"from {p[0]:.4g} at {grid[0]:.4g} to {p[-1]:.4g} at {grid[-1]:.4g}")


def _fixed_pairs(metric, dim, values, pairs, nnz, rng):
    """Rows X, Y of `pairs` pairs at each value, the values they have, and those asked for."""
    made = [pairs_at(value, metric, pairs, dim, rng, nnz=nnz) for value in values]
    X, Y = (np.concatenate(side) for side in zip(*made))
    return X, Y, similarity_of(X, Y, metric), np.repeat(values, pairs)


def _draws(make, seed):
    """Endless sequence of families: new seeds, with a rebuild in between if the family has one."""
    start = int(np.random.SeedSequence([seed, 2]).generate_state(1)[0])
    while True:
        family = make(start)
        yield family
        if hasattr(family, "rebuild"):
            family.rebuild()
            yield family
        start += 1


def _agreements(make, X, Y, functions, seed):
    """For each draw, which columns agree on which pair: a list of (pairs, L) bool."""
    both, agree, total = np.concatenate([X, Y]), [], 0
    for family in _draws(make, seed):
        codes = np.asarray(family.hash(both))
        agree.append(codes[: len(X)] == codes[len(X) :])
        total += codes.shape[1]
        if total >= functions:
            return agree


def _diagonal(make, metric, values, dim, nnz, functions, seed):
    """Agreements of column j on the j-th of L new pairs, for each value; and how many there were."""
    rng, hits, total = np.random.default_rng([seed, 3]), np.zeros(len(values), np.int64), 0
    L = np.asarray(make(seed).hash(pairs_at(values[0], metric, 1, dim, rng, nnz=nnz)[0])).shape[1]
    for family in _draws(make, seed):
        X, Y, _, _ = _fixed_pairs(metric, dim, values, L, nnz, rng)
        agree = np.asarray(family.hash(X)) == np.asarray(family.hash(Y))
        hits += np.einsum("vll->v", agree.reshape(len(values), L, L).astype(np.int64))
        total += L
        if total >= functions:
            return hits, total


def _group_size(p):
    """Columns of which at least one agrees about half the time, at least two."""
    return 2 if p >= 0.5 else int(min(64, np.ceil(np.log(0.5) / np.log1p(-max(p, 0.01)))))


def _trials(agree, row, size):
    """In how many groups of `size` neighbouring columns at least one agrees, and of how many; None where there are no groups."""
    groups = agree[0].shape[1] // size
    if groups == 0:
        return None
    hits = [part[row, : groups * size].reshape(groups, size).any(axis=1) for part in agree]
    return int(sum(hit.sum() for hit in hits)), groups * len(hits)


def _frequency(report, check, what, count, n, of_p, p, *, level, tolerance, confidence):
    """Judge `count` of `n` trials, each of probability ``of_p(p)``; p is known to within its tolerance."""
    low, high = (float(end) for end in clopper_pearson(count, n, level))
    slack = p * tolerance + _ROUNDING * (0 < p < 1)
    least, expected, most = of_p(max(p - slack, 0.0)), of_p(p), of_p(min(p + slack, 1.0))
    figures = {"observed": count / n, "expected": expected, "bound": (low, high)}
    require(low <= most and least <= high, check,
            f"{what}: observed {count / n:.5f} ({count} of {n}), expected {expected:.5f}; {confidence} the probability lies in bound "
            f"{interval((low, high))}", **figures)
    report.holds(check, f"{what}: ", **figures)


def _columns_differ(report, make, metric, dim, values, of_value, nnz, seed):
    """No half of the pairs of columns may agree on exactly the same of many pairs of rows: such columns are one table."""
    check = "columns differ"
    each = max(1, 256 // len(values))
    X, Y, _, _ = _fixed_pairs(metric, dim, values, each, nnz, np.random.default_rng([seed, 4]))
    open_ = (X != Y).any(axis=1)  # pairs on which columns may differ
    if of_value is not None:
        p = np.repeat([float(of_value(value)) for value in values], each)
        open_ &= (p > 0.02) & (p < 0.98)
    family = make(seed)
    agree = (np.asarray(family.hash(X)) == np.asarray(family.hash(Y)))[open_]
    telling = (agree.sum(axis=0) >= _TELLING) & ((~agree).sum(axis=0) >= _TELLING)
    L = int(telling.sum())
    if L < 2:
        report.skip(check, "fewer than two columns that agree on some pairs and not on others")
        return
    _, sizes = np.unique(agree[:, telling], axis=1, return_counts=True)
    share = float((sizes * (sizes - 1)).sum() / (L * (L - 1)))
    require(share < 0.5, check,
            f"observed {share:.3f} of all pairs of {L} columns that agree on exactly the same of {len(agree)} pairs of rows, expected "
            "less than 0.5: tables that are alike are worth no more than one", observed=share, expected=0.5, bound=(0, 0.5))
    report.holds(check, f"{share:.3g} of the pairs of columns are alike")
