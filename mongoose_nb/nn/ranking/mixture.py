"""What several sources know of candidates in one score, weighed on rows that none of them knows.

A. *Precision itself decides.* A form and a weight of one source are changed at a time, and kept where the mean of P@1, P@3 and P@5 grows.
   A multinomial logistic regression over the candidates of each row fits the likelihood instead, and its best weights had a lower P@1 than
   one of the sources alone (delicious 0.675 to 0.693, by margins 0.694; Gowalla 0.172 to 0.202, 0.205 by choice).
B. The search begins with each source alone, so that the choice is never worse than any of them on the held-out rows.
C. A source stays only for a gain of `GAIN`, or of one hit where rows are few: each costs memory, and time of every answer.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mongoose_nb.core.saving import Stateful
from mongoose_nb.nn.ranking.lists import best_of_lists

#: weights that are tried, beside 1 for the source that the search begins with
WEIGHTS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.6, 1.0, 2.0, 4.0, 8.0, 16.0)
#: precision that a source has to add, or held-out rows with one more hit
GAIN, HITS = 0.0005, 1.0
#: times that all sources are gone through
SWEEPS = 2
#: candidates of a row that are looked at: those among the best by any column
NEAR_THE_TOP = 20
#: places at which precision is measured; the mean decides
PLACES = (1, 3, 5)

#: by source: columns by name; forms by name
Columns = dict[str, tuple[dict[str, np.ndarray], dict[str, Callable[[np.ndarray], np.ndarray]]]]


def precision(scores: np.ndarray, indptr: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """Precision at `PLACES`.

    Parameters
    ----------
    scores : (entries,) float array
    indptr : (n + 1,) int64
        Candidates of row i are entries ``indptr[i]`` to ``indptr[i + 1]``; equal scores are ranked in their order.
    positive : (entries,) bool or float
        Whether a candidate is a label of the row, or how much it counts.

    Returns
    -------
    (3,) float64
    """
    ids, _ = best_of_lists(scores, indptr, PLACES[-1])
    hits = np.where(ids >= 0, positive[np.maximum(ids, 0)], 0) if len(positive) else np.zeros(ids.shape)
    return np.array([hits[:, :k].mean() if len(hits) else 0.0 for k in PLACES])


class Mixture(Stateful):
    """A score of a candidate: the sum of a form of a column of each source, times a weight.

    Attributes
    ----------
    terms : list of (source, column, form, weight)
    scale, offset : float
        The probability that a candidate is a label of the row is the logistic function of ``scale * score + offset``.
    """

    saved_state = ("terms", "scale", "offset")

    def __init__(self) -> None:
        self.terms: list[list] = []
        self.scale, self.offset = 1.0, 0.0

    def state_restored(self) -> None:
        """Check the terms."""
        for term in self.terms:
            if len(term) != 4 or not all(isinstance(name, str) for name in term[:3]) or not np.isfinite(term[3]):
                raise ValueError(f"the saved mixture has the term {term!r}; needed are the names of source, column and form, and a weight")

    @property
    def sources(self) -> list[str]:
        """Names of the sources that are taken."""
        return [source for source, *_ in self.terms]

    def fit(self, columns: Columns, indptr: np.ndarray, positive: np.ndarray,
            worth: np.ndarray | None = None) -> dict[str, dict[str, float]]:
        """Choose by held-out rows.

        Parameters
        ----------
        columns : dict
            By source: its columns by name, each (entries,) float32, and its forms by name.
        indptr : (n + 1,) int64
            Candidates of row i are entries ``indptr[i]`` to ``indptr[i + 1]``.
        positive : (entries,) bool
        worth : (entries,) float64, optional
            How much a hit counts; 1 by default.

        Returns
        -------
        dict
            P@1, P@3 and P@5 by source, each alone, and of the ``"mixture"``.
        """
        search = _Search(columns, indptr, positive if worth is None else positive * worth)
        alone = {source: search.best([{source: (column, form, 1.0)} for column, form in search.options(source)]) for source in columns}
        found = [search.by_turns(start) for start in alone.values()]
        best = search.best(found)
        self.terms = [[source, *term] for source, term in best.items()]
        scores = self.scores(columns)
        self.scale, self.offset = logistic_fit(scores, positive)
        plain = _Search(columns, indptr, positive)
        report = {source: plain.look(start) for source, start in alone.items()} | {"mixture": precision(scores, indptr, positive)}
        return {source: {f"P@{k}": float(value) for k, value in zip(PLACES, values)} for source, values in report.items()}

    def scores(self, columns: Columns) -> np.ndarray:
        """The score of each entry, float32.

        Parameters
        ----------
        columns : dict
            As in `fit`; of the sources that are taken.
        """
        out = np.float32(0)
        for source, column, form, weight in self.terms:
            values, forms = columns[source]
            out = out + np.float32(weight) * forms[form](values[column])
        return np.asarray(out, np.float32)

    def probabilities(self, scores: np.ndarray) -> np.ndarray:
        """Probability that a candidate with such a score is a label of its row.

        Parameters
        ----------
        scores : float array
            -inf gives 0.

        Returns
        -------
        array of the type of `scores`
        """
        z = self._logits(scores)
        small = np.exp(-np.abs(z))
        return (np.where(z >= 0, 1.0, small) / (1.0 + small)).astype(scores.dtype)

    def log_probabilities(self, scores: np.ndarray) -> np.ndarray:
        """Logarithms of `probabilities`, float64, also of those that are too small for a float.

        Parameters
        ----------
        scores : float array
            -inf gives -inf.
        """
        return -np.logaddexp(0.0, -self._logits(scores))

    def _logits(self, scores):
        return np.where(np.isneginf(scores), -np.inf, self.scale * scores.astype(np.float64) + self.offset)


class _Search:
    """Mixtures, {source: (column, form, weight)}, that were tried, with their precision."""

    def __init__(self, columns, indptr, positive):
        near = np.zeros(len(positive), bool)
        for values, _ in columns.values():
            for column in values.values():
                entries, _ = best_of_lists(column, indptr, NEAR_THE_TOP)
                near[entries[entries >= 0]] = True
        self.indptr, self.positive = np.concatenate([[0], np.cumsum(near)])[indptr], positive[near]
        self.parts = {(source, column, form): f(values[column][near]) for source, (values, forms) in columns.items()
                      for column in values for form, f in forms.items()}
        scale = positive.sum() / np.count_nonzero(positive) if positive.any() else 1.0  # of a hit
        self.tried, self.gain = {}, scale * max(GAIN, HITS / max(1, len(indptr) - 1))

    def options(self, source):
        return [key[1:] for key in self.parts if key[0] == source]

    def look(self, terms):
        """P@1, P@3 and P@5 of a mixture."""
        key = tuple(sorted(terms.items()))
        if key not in self.tried:
            scores = sum(np.float32(weight) * self.parts[source, column, form] for source, (column, form, weight) in terms.items())
            self.tried[key] = precision(scores, self.indptr, self.positive)
        return self.tried[key]

    def best(self, mixtures):
        """The one with the highest mean precision, the first of equal ones."""
        return max(mixtures, key=lambda terms: self.look(terms).mean())

    def by_turns(self, terms):
        """From a mixture on, change one source at a time for the better."""
        for _ in range(SWEEPS):
            before = terms
            for source in sorted({source for source, _, _ in self.parts}):
                others = {name: term for name, term in terms.items() if name != source}
                best = self.best([{**others, source: (*option, weight)} for option in self.options(source) for weight in WEIGHTS])
                best = self.best([terms, best]) if source in terms else best
                adds = not others or self.look(best).mean() >= self.look(others).mean() + self.gain
                terms = best if adds else others
            if terms == before:
                break
        return terms


def logistic_fit(scores: np.ndarray, positive: np.ndarray, rounds: int = 100) -> tuple[float, float]:
    """Scale and offset of the logistic function that gives the highest likelihood (Platt's method), by Newton's steps.

    Parameters
    ----------
    scores : (entries,) float32
    positive : (entries,) bool
    rounds : int

    Returns
    -------
    scale, offset : float

    References
    ----------
    Platt, "Probabilistic outputs for support vector machines", 1999: targets are (n+ + 1) / (n+ + 2) and 1 / (n- + 2), so that classes
    that can be told apart do not lead to infinite weights.
    """
    there = np.isfinite(scores)
    s, y = scores[there].astype(np.float64), positive[there]
    n = int(y.sum())
    target = np.where(y, (n + 1) / (n + 2), 1 / (len(y) - n + 2))
    middle, spread = (s.mean(), max(s.std(), 1e-12)) if len(s) else (0.0, 1.0)
    s = (s - middle) / spread
    a, b = 0.0, float(np.log((n + 1) / (len(y) - n + 1)))

    def loss(a, b):
        z = a * s + b
        return float((np.logaddexp(0, z) - target * z).sum())

    now = loss(a, b)
    for _ in range(rounds):
        p = 1 / (1 + np.exp(-np.clip(a * s + b, -500, 500)))
        g, h = p - target, p * (1 - p) + 1e-12
        gradient = np.array([g @ s, g.sum()])
        hessian = np.array([[h @ (s * s) + 1e-9, h @ s], [h @ s, h.sum() + 1e-9]])
        step, length = np.linalg.solve(hessian, gradient), 1.0
        while length > 1e-6 and (new := loss(a - length * step[0], b - length * step[1])) > now:
            length /= 2
        if length <= 1e-6:
            break
        a, b = a - length * step[0], b - length * step[1]
        if now - new < 1e-9 * max(1.0, now):
            break
        now = new
    a = max(a, 1e-9)  # a higher score is never less likely
    return float(a / spread), float(b - a * middle / spread)
