"""Re-ranking of a network's best outputs by linear rankers and the votes of neighbours."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from mongoose_nb.core.registry import Registered, register
from mongoose_nb.core.saving import Stateful
from mongoose_nb.core.validation import check_int, check_number
from mongoose_nb.nn.features import Features, make_features
from mongoose_nb.nn.ranking.linear import LinearRankers
from mongoose_nb.nn.ranking.lists import Lists, all_labels, union
from mongoose_nb.nn.ranking.mixture import Mixture, best_of_lists
from mongoose_nb.nn.ranking.neighbours import NeighbourVotes

if TYPE_CHECKING:
    import scipy.sparse as sp

# Pairs of a training row and a label up to which every label is a candidate of every row.
EVERY_PAIR = 1 << 22
# Held-out rows, at most, and neighbours that name candidates of a training row.
MOST_HELD, NAMING = 5000, 20


@register("ranking", "linear")
class Ranking(Registered, Stateful, kind="ranking"):
    """Scores a row's candidates by a linear ranker for each label and by the votes of the nearest training rows.

    ::

        network ──> best outputs ──┐                      ┌─> margins of the rankers ─┐
                                   ├─> candidates of a row┤                           ├─> score
        nearest training rows ─────┘                      └─> shares of the votes ────┘

    Training goes through `Network.fit_ranking`.

    Parameters
    ----------
    candidates : int, optional
        Best outputs of the network that are candidates of a row; half as many labels with the most votes join them. By default 100, or
        all labels where rows times labels are at most 4.2 million.
    C : float
        Weight of the rankers' losses beside their regularisation.
    features : str or Features
        The form in which rankers and neighbours see a row: ``"tfidf"``, ``"log"``, ``"unit"``, ``"none"``, or a step of your own.
    neighbours : int
        Training rows that vote.
    held_out : float
        Share of the rows, at most 5,000, on which the mixture is chosen. The rankers are trained on them too, afterwards.
    prune : float
        Weights of rankers up to this size are dropped.
    seed : int
        Of the held-out rows and of the order of training.
    """

    saved_state = ("step", "rankers", "voters", "mixture", "everything")

    def __init__(self, candidates: int | None = None, C: float = 0.5, features: str | dict | Features = "tfidf", neighbours: int = 100,
                 held_out: float = 0.1, prune: float = 0.05, seed: int = 0) -> None:
        self.candidates = None if candidates is None else check_int("candidates", candidates, low=1, high=2**31 - 2)
        self.C, self.prune, self.seed = C, prune, check_int("seed", seed, low=0, high=2**63 - 1)
        self.features = features
        self.neighbours = neighbours
        self.held_out = check_number("held_out", held_out, low=0.0, high=1.0, open_low=True, open_high=True)
        self.step = make_features(features)
        self.rankers = LinearRankers(C, prune=prune, seed=self.seed)
        self.voters = NeighbourVotes(neighbours)
        self.mixture = Mixture()
        self.everything = False

    @property
    def n_proposed(self) -> int:
        """Best outputs of the network that are candidates of a row; 0 where all labels are."""
        return 0 if self.everything else self.candidates or 100

    @property
    def nbytes(self) -> int:
        """Bytes of the rankers and of the rows that vote."""
        return self.rankers.nbytes + self.voters.nbytes

    def fit(self, X: sp.csr_matrix, Y: sp.csr_matrix, propose: Callable[[int], np.ndarray]) -> dict[str, Any]:
        """Train the rankers, keep the rows that vote, and choose the mixture.

        Parameters
        ----------
        X : (n, features) CSR float32
        Y : (n, labels) CSR indicator
        propose : callable
            ``propose(k)`` gives the k best outputs of the network for every row of X, (n, k) int, -1 for none.

        Returns
        -------
        dict
            ``pairs``, ``weights`` (kept), ``mixture`` (margin, votes and weight), ``held_out`` (P@1, P@3 and P@5 of ``rankers``,
            ``neighbours`` and ``mixture`` among the candidates), and ``seconds`` by part.
        """
        from scipy import sparse

        n, n_labels = Y.shape
        if n < 2:
            raise ValueError(f"X has {n} rows; the ranking needs at least 2, for some are held out")
        clock, start = {}, time.perf_counter()

        def lap(name):
            nonlocal start
            now = time.perf_counter()
            clock[name], start = now - start, now

        self.everything = self.candidates is None and n * n_labels <= EVERY_PAIR or (self.candidates or 0) >= n_labels
        rows = self.step.fit(X).transform(X)
        rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([self.seed, 3])))
        held = np.sort(rng.permutation(n)[:max(1, min(MOST_HELD, round(self.held_out * n), n - 1))])
        self.voters.fit(rows, Y)
        votes, nearest = self._votes(rows[held], leave_out=held)
        lap("neighbours of held-out rows")
        if self.everything:
            lists, of_held = all_labels(n, n_labels), all_labels(len(held), n_labels)
        else:
            proposed = propose(min(self.n_proposed, n_labels))
            lap("outputs of the network")
            rest = np.setdiff1d(np.arange(n), held)
            named = self.voters.votes(*self.voters.nearest(rows[rest], min(NAMING, self.neighbours), leave_out=rest))
            order = np.argsort(np.concatenate([rest, held]), kind="stable")
            lists = union(proposed, sparse.vstack([named, votes], format="csr")[order], self._voted)
            of_held = lists.take(held)
            del proposed, named
        lap("candidates")
        mask = np.zeros(n, bool)
        mask[held] = True
        margins = of_held.look_up(self.rankers.fit(rows, Y, lists, held=mask).held_margins[held])
        lap("rankers")
        positive = of_held.look_up(Y[held]) > 0
        scores = self.mixture.fit(margins, of_held.look_up(votes), of_held.look_up(nearest), of_held.indptr, positive)
        lap("mixture")
        return {"pairs": self.rankers.report["pairs"], "weights": self.rankers.report["weights"],
                "mixture": {name: getattr(self.mixture, name) for name in self.mixture.saved_state}, "held_out": scores, "seconds": clock}

    @property
    def _voted(self):
        return max(1, self.n_proposed // 2)

    def _votes(self, rows, leave_out=None):
        """Shares of the votes of all neighbours, and of the nearest fifth."""
        ids, products = self.voters.nearest(rows, leave_out=leave_out)
        fifth = max(1, self.neighbours // 5)
        return self.voters.votes(ids, products), self.voters.votes(ids[:, :fifth], products[:, :fifth])

    def topk(self, X: sp.csr_matrix, k: int, proposed: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """The best k labels of every row.

        Parameters
        ----------
        X : (n, features) CSR float32
        k : int
        proposed : (n, m) int, or None
            Best outputs of the network; None where all labels are candidates (`n_proposed` is 0).

        Returns
        -------
        ids : (n, k) int32
            Best first, the lower id first among equals; -1 where a row has fewer candidates.
        scores : (n, k) float32
            -inf where the id is -1.
        """
        rows = self.step.transform(X)
        votes, nearest = self._votes(rows)
        lists: Lists = all_labels(*votes.shape) if self.everything else union(proposed, votes, self._voted)
        scores = self.mixture.scores(self.rankers.scores(rows, lists), lists.look_up(votes), lists.look_up(nearest))
        entries, best = best_of_lists(scores, lists.indptr, k)
        ids = np.full(entries.shape, -1, np.int32)
        ids[entries >= 0] = lists.ids[entries[entries >= 0]]
        return ids, best
