"""Margins of rankers and votes of neighbours in one score, chosen on rows that neither of them knows.

A. *Precision itself decides.* The candidates are few: three forms of the margin, four of the votes, ten weights. A multinomial logistic
   regression over the candidates of each row fits the likelihood instead, and its best weights had a lower P@1 than one of the sources
   alone (delicious 0.675 to 0.693, by margins 0.694; Gowalla 0.172 to 0.202, 0.205 by choice).
B. The margins alone and the votes alone are among the candidates, so the choice is never worse than either on the held-out rows.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mongoose_nb.core.saving import Stateful


def _margin(m):
    return m


def _log_sigmoid(m):
    return -np.logaddexp(np.float32(0), -3 * m)


def _squared_hinge(m):
    return -np.square(np.maximum(0, 1 - m))


def _share(v):
    return v


def _log_share(v):
    return np.log(v + np.float32(1e-3))


#: how a margin enters the score
MARGINS: dict[str, Callable] = {"margin": _margin, "log sigmoid": _log_sigmoid, "squared hinge": _squared_hinge}
#: how a share of the votes enters it
VOTES: dict[str, Callable] = {"share": _share, "log share": _log_share}
#: weights of the votes that are tried
WEIGHTS = (0.1, 0.2, 0.3, 0.6, 1.0, 2.0, 4.0, 8.0)
#: places at which precision is measured; the mean decides
PLACES = (1, 3, 5)


def precision(scores: np.ndarray, indptr: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """Precision at `PLACES`.

    Parameters
    ----------
    scores : (entries,) float array
    indptr : (n + 1,) int64
        Candidates of row i are entries ``indptr[i]`` to ``indptr[i + 1]``; equal scores are ranked in their order.
    positive : (entries,) bool
        Whether a candidate is a label of the row.

    Returns
    -------
    (3,) float64
    """
    ids, _ = best_of_lists(scores, indptr, PLACES[-1])
    hits = np.where(ids >= 0, positive[np.maximum(ids, 0)], False) if len(positive) else np.zeros(ids.shape, bool)
    return np.array([hits[:, :k].mean() if len(hits) else 0.0 for k in PLACES])


def best_of_lists(scores: np.ndarray, indptr: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The best entries of each list.

    Parameters
    ----------
    scores : (entries,) float32
    indptr : (n + 1,) int64
    k : int

    Returns
    -------
    entries : (n, k) int64
        Best first, of equal ones the first; -1 where the list is shorter.
    scores : (n, k) float32
        -inf where the entry is -1.
    """
    from mongoose_nb.kernels.ranking.lists import best_entries

    n = len(indptr) - 1
    entries, best = np.empty((n, k), np.int64), np.empty((n, k), np.float32)
    best_entries(np.ascontiguousarray(scores, np.float32), np.ascontiguousarray(indptr, np.int64), entries, best)
    return entries, best


class Mixture(Stateful):
    """A score from the margin of a label's ranker and the label's votes: ``margin form + weight * votes form``.

    Attributes
    ----------
    margin : str
        A key of `MARGINS`, or "" to leave the margins out.
    votes : str
        A key of `VOTES`, with " of the nearest" for the nearest fifth of the neighbours; "" to leave the votes out.
    weight : float
        Of the votes.
    """

    saved_state = ("margin", "votes", "weight")

    def __init__(self) -> None:
        self.margin, self.votes, self.weight = "margin", "", 0.0

    def state_restored(self) -> None:
        """Check the names."""
        if self.margin not in ("", *MARGINS) or self._form() not in ("", *VOTES):
            raise ValueError(f"the saved mixture takes {self.margin!r} and {self.votes!r}, which are not known")

    def _form(self):
        return self.votes.removesuffix(" of the nearest")

    def fit(self, margins: np.ndarray, shares: np.ndarray, nearest: np.ndarray, indptr: np.ndarray, positive: np.ndarray) -> dict:
        """Choose by held-out rows.

        Parameters
        ----------
        margins : (entries,) float32
        shares, nearest : (entries,) float32
            Shares of the votes, of all neighbours and of the nearest fifth.
        indptr : (n + 1,) int64
            Candidates of row i are entries ``indptr[i]`` to ``indptr[i + 1]``.
        positive : (entries,) bool

        Returns
        -------
        dict
            P@1, P@3 and P@5 by source: ``"rankers"``, ``"neighbours"``, ``"mixture"``.
        """
        tried = {}

        def look(margin, votes, weight, scores):
            tried[margin, votes, weight] = precision(scores, indptr, positive)

        look("margin", "", 0.0, margins)
        for suffix, votes in (("", shares), (" of the nearest", nearest)):
            look("", f"share{suffix}", 1.0, votes)
            for form, of_votes in VOTES.items():
                column = of_votes(votes)
                for name, of_margin in MARGINS.items():
                    left = of_margin(margins)
                    for weight in WEIGHTS:
                        look(name, form + suffix, weight, left + np.float32(weight) * column)
        best = max(tried, key=lambda key: tried[key].mean())  # the first of equal ones: margins alone, then votes alone
        self.margin, self.votes, self.weight = best
        neighbours = max((key for key in tried if not key[0]), key=lambda key: tried[key].mean())
        return {name: {f"P@{k}": float(value) for k, value in zip(PLACES, tried[key])}
                for name, key in (("rankers", ("margin", "", 0.0)), ("neighbours", neighbours), ("mixture", best))}

    def scores(self, margins: np.ndarray, shares: np.ndarray, nearest: np.ndarray) -> np.ndarray:
        """The score of each entry, float32.

        Parameters
        ----------
        margins, shares, nearest : (entries,) float32
            As in `fit`.
        """
        out = MARGINS[self.margin](margins) if self.margin else np.zeros(len(margins), np.float32)
        if self.votes:
            votes = nearest if self.votes != self._form() else shares
            out = out + np.float32(self.weight) * VOTES[self._form()](votes)
        return out.astype(np.float32, copy=False)
