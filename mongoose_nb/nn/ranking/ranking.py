"""Re-ranking of a network's best outputs by several sources of knowledge about them."""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mongoose_nb.core.registry import Registered, fresh, make, name_of, register
from mongoose_nb.core.saving import Stateful
from mongoose_nb.core.validation import check_int, check_list, check_number
from mongoose_nb.nn.features import Features, make_features
from mongoose_nb.nn.labelled import rows_with_labels
from mongoose_nb.nn.ranking.cooccurrence import Cooccurrence
from mongoose_nb.nn.ranking.features import choose_features
from mongoose_nb.nn.ranking.linear import LinearRankers
from mongoose_nb.nn.ranking.lists import Lists, all_labels, best_of_lists, joined, no_labels, union, with_more, with_random
from mongoose_nb.nn.ranking.mixture import Mixture
from mongoose_nb.nn.ranking.neighbours import NeighbourVotes
from mongoose_nb.nn.ranking.network_source import NetworkSource
from mongoose_nb.nn.ranking.objective import Objective
from mongoose_nb.nn.ranking.source import Proposer, Query, Source, Training

if TYPE_CHECKING:
    import scipy.sparse as sp

# Pairs of a training row and a label up to which every label is a candidate of every row.
EVERY_PAIR = 1 << 22
# Rows whose candidates are found at once: a source may name some thousand for each, of which few are kept.
BLOCK = 1 << 12
# Labels, drawn at random, of which a training row is a counterexample too: else the scores of labels that are seldom candidates, and of
# those that often are, cannot be compared.
RANDOM = 100
# Candidates that are listed for training rows, about, at most: 16.8 million. They take about 20 bytes each while rankers are trained.
MOST_LISTED = 1 << 24
# Share of the labels among the candidates that may be lost with a source whose values are of no use.
RECALL = 0.002
# A row with fewer candidates is given those of the network, also where sources name labels well without it.
FEW = 10
# Held-out rows, at most: each takes as long as a prediction, and three times as many chose no better on 719,470 sessions.
MOST_HELD = 5000


@register("ranking", "mixture")
class Ranking(Registered, Stateful, kind="ranking"):
    """Scores a row's candidates by what several sources know of them.

    ::

        network ──> best outputs ─────────────┐
        nearest training rows ──> their labels├─> candidates of a row ─> values of each source ─> weighed sum
        counts of labels by feature ──> likely┘

    Training goes through `Network.fit_ranking`. Sources that add nothing on the held-out rows are dropped.

    Parameters
    ----------
    candidates : int, optional
        Best outputs of the network that are candidates of a row; half as many labels that sources name join them. By default 100, or
        all labels where rows times labels are at most 4.2 million, or, where sources name the same labels without the network, none but
        for rows of which they name fewer than ten.
    sources : sequence of str or Source, optional
        By default a linear ranker for each label, votes of the nearest training rows, counts of labels by feature, and the network's
        probabilities.
    features : str or Features
        The form in which sources see a row: ``"auto"``, ``"tfidf"``, ``"log"``, ``"unit"``, ``"none"``, or a step of your own.
    held_out : float
        Share of the rows, at most 5,000, on which sources are weighed. They learn from them too, afterwards.
    seed : int
        Of the held-out rows and of what is drawn.
    objective : str or Objective
        What sources are weighed for: ``"precision"``, or ``"propensity"``, under which rare labels count more.
    """

    saved_state = ("step", "members", "mixture", "everything", "proposing")
    optional = ("proposing",)

    def __init__(self, candidates: int | None = None, sources: Sequence[str | dict | Source] | None = None,
                 features: str | dict | Features = "auto", held_out: float = 0.1, seed: int = 0,
                 objective: str | dict | Objective = "precision") -> None:
        self.candidates = None if candidates is None else check_int("candidates", candidates, low=1, high=2**31 - 2)
        self.seed = check_int("seed", seed, low=0, high=2**63 - 1)
        self.objective = make("ranking objective", objective)
        self.sources = ([NetworkSource(), LinearRankers(seed=self.seed), NeighbourVotes(), Cooccurrence(), *self.objective.sources()]
                        if sources is None else
                        [make("ranking source", source) for source in check_list("sources", sources, "names and sources")])
        self.features, self.held_out = features, check_number("held_out", held_out, low=0.0, high=1.0, open_low=True, open_high=True)
        self.step = make_features("none" if features == "auto" else features)
        self.members = _Members(self.sources)
        self.mixture = Mixture()
        self.everything = False
        self.proposing = True

    @property
    def n_proposed(self) -> int:
        """Best outputs of the network that are candidates of a row; 0 where all labels are, or where sources name the same ones."""
        return 0 if self.everything or not self.proposing else self.candidates or 100

    @property
    def nbytes(self) -> int:
        """Bytes of what sources have learned."""
        return sum(member.nbytes for member in self.members.by_name.values())

    def fit(self, X: sp.csr_matrix, Y: sp.csr_matrix, network: Proposer, held: np.ndarray | None = None) -> dict[str, Any]:
        """Train the sources, weigh them, and drop those that add nothing.

        Parameters
        ----------
        X : (n, features) CSR float32
        Y : (n, labels) CSR indicator
        network : Proposer
        held : (m,) int, optional
            Rows that the network was not trained on: then its probabilities are weighed too. By default a share of `held_out`, drawn at
            random.

        Returns
        -------
        dict
            ``features`` (the form), ``mixture`` (its terms), ``held_out`` (P@1, P@3 and P@5 of each source and of the ``mixture`` among
            the candidates), and ``seconds`` by part.
        """
        n, n_labels = Y.shape
        if n < 2:
            raise ValueError(f"X has {n} rows; the ranking needs at least 2, for some are held out")
        clock = _Clock()
        self.proposing = True
        self.everything = self.candidates is None and n * n_labels <= EVERY_PAIR or (self.candidates or 0) >= n_labels
        usable, unseen = rows_with_labels(Y), held is not None
        if len(usable) < 2:
            raise ValueError(f"{len(usable)} of the {n} rows have a label; the ranking needs at least 2 of them, for some are held out")
        held = held_rows(n, self.held_out, self.seed, usable) if held is None else np.intersect1d(held, usable)
        if not len(held):
            raise ValueError("none of the rows that are held out has a label; name others")
        if self.features == "auto":
            self.features = choose_features(X, Y, held)
            self.step = make_features(self.features)
            clock.lap("features")
        training = Training(X, self.step.fit(X).transform(X), network, Y, held, unseen)
        for name, member in self.members.by_name.items():
            member.learn(training)
            clock.lap(name)
        lists, of_held, counterweight, needed = self._candidates(training)
        clock.lap("candidates")
        columns = {}
        for name, member in self.members.by_name.items():
            member.train(training, lists, counterweight)
            values = member.held_values(training, of_held)
            if values is not None:
                columns[name] = dict(zip(member.columns, values, strict=True)), member.forms
            clock.lap(name)
        scores = self.mixture.fit(columns, of_held.indptr, of_held.look_up(Y[held]) > 0, self.objective.worth(Y)[of_held.ids])
        self._keep({*self.mixture.sources, *needed})
        clock.lap("mixture")
        return {"features": str(self.step), "mixture": self.mixture.terms, "held_out": scores, "seconds": clock.seconds}

    def updated(self, X: sp.csr_matrix, Y: sp.csr_matrix) -> Ranking:
        """The ranking with more training rows; this one stays as it is.

        Sources that can take rows have them afterwards: neighbours vote for the labels of the new rows. Linear rankers, counts, the form
        of the rows and the weights of the sources stay.

        Parameters
        ----------
        X : (m, features) CSR float32
        Y : (m, labels) CSR indicator

        Returns
        -------
        Ranking
        """
        out, rows = copy.copy(self), self.step.transform(X)
        out.members = _Members([member.updated(rows, Y) for member in self.members.by_name.values()], copy=False)
        return out

    def _keep(self, names):
        """Drop the other sources."""
        kept = [(source, member) for source, (name, member) in zip(self.sources, self.members.by_name.items()) if name in names]
        self.sources = [source for source, _ in kept]
        self.members = _Members([member for _, member in kept], copy=False)

    def _candidates(self, training):
        """(candidates of all rows, of the held-out rows, rows for which one with candidates stands, sources that candidates need).

        Candidates are looked up for a sample of the rows where they would be too many.
        """
        n, n_labels = training.Y.shape
        held = training.held
        if self.everything:
            return all_labels(n, n_labels), all_labels(len(held), n_labels), 1.0, []
        of_held, needed = self._held_candidates(training)
        rest = training.rest
        listed = max(1, min(len(rest), MOST_LISTED // (self.n_proposed + self._voted + RANDOM)))
        order = shuffled(len(rest), self.seed, 4)
        chosen, others = np.sort(rest[order[:listed]]), np.sort(rest[order[listed:]])
        rng = stream_of(self.seed, 5)
        parts = [chosen[lo:lo + BLOCK] for lo in range(0, listed, BLOCK)]
        blocks = [with_random(self._union(*self._named(training, part, needed), n_labels), n_labels, RANDOM, rng) for part in parts]
        lists = joined([*blocks, of_held, no_labels(len(others))])
        order = np.argsort(np.concatenate([chosen, held, others]), kind="stable")
        return lists.take(order), of_held, n / (listed + len(held)), needed

    def _named(self, training, chosen, names):
        """What the network and some sources propose for training rows."""
        return (self._proposed(training.X[chosen], training.network),
                [self.members.by_name[name].named_for(training, chosen) for name in names])

    def _proposed(self, X, network):
        """Best outputs of the network, of which there may be none."""
        n = min(self.n_proposed, network.n_outputs)
        return network.best(X, n) if n else np.empty((X.shape[0], 0), np.int32)

    def _held_candidates(self, training):
        """Candidates of the held-out rows, and names of the sources without which fewer of their labels are candidates."""
        held, n_labels = training.held, training.Y.shape[1]
        proposed, named = self._named(training, held, self.members.by_name)
        labels = training.Y[held]
        lists, needed = self._union(proposed, named, n_labels), []
        found = lists.look_up(labels).sum()
        for i, name in enumerate(self.members.by_name):
            others = [part for j, part in enumerate(named) if j != i]
            if named[i] is not None and self._union(proposed, others, n_labels).look_up(labels).sum() < (1 - RECALL) * found:
                needed.append(name)
            elif named[i] is not None:
                named[i] = None
        if self.candidates is None:
            alone = self._union(proposed[:, :0], named, n_labels)
            if alone.look_up(labels).sum() >= (1 - RECALL) * found:
                self.proposing, lists = False, alone
        return lists, needed

    def _union(self, proposed, named, n_labels):
        from scipy import sparse

        votes = sum((part for part in named if part is not None), sparse.csr_matrix((len(proposed), n_labels), dtype=np.float32)).tocsr()
        votes.sort_indices()
        return union(proposed, votes, self._voted)

    @property
    def _voted(self):
        return max(1, (self.candidates or 100) // 2)

    def topk(self, X: sp.csr_matrix, k: int, network: Proposer) -> tuple[np.ndarray, np.ndarray]:
        """The best k labels of every row.

        Parameters
        ----------
        X : (n, features) CSR float32
        k : int
        network : Proposer

        Returns
        -------
        ids : (n, k) int32
            Best first, the lower id first among equals; -1 where a row has fewer candidates.
        scores : (n, k) float32
            -inf where the id is -1. `Mixture.probabilities` turns them into probabilities.
        """
        lists, scores = self.scores(X, network)
        entries, best = best_of_lists(scores, lists.indptr, k)
        ids = np.full(entries.shape, -1, np.int32)
        ids[entries >= 0] = lists.ids[entries[entries >= 0]]
        return ids, best

    def scores(self, X: sp.csr_matrix, network: Proposer) -> tuple[Lists, np.ndarray]:
        """The candidates of every row, and the score of each.

        Parameters
        ----------
        X : (n, features) CSR float32
        network : Proposer

        Returns
        -------
        Lists
        scores : (entries,) float32
        """
        query, n_labels = Query(X, self.step.transform(X), network), network.n_outputs
        answers = {name: member.ask(query) for name, member in self.members.by_name.items()}
        if self.everything:
            lists = all_labels(X.shape[0], n_labels)
        else:
            named = [member.named(answers[name]) for name, member in self.members.by_name.items()]
            lists = self._union(self._proposed(X, network), named, n_labels)
            few = np.diff(lists.indptr) < FEW
            if not self.proposing and few.any():
                lists = with_more(lists, few, network.best(X[few], min(self.candidates or 100, n_labels)), n_labels)
        columns = {name: (dict(zip(member.columns, member.values_of(query, lists, answers[name]), strict=True)), member.forms)
                   for name, member in self.members.by_name.items() if name in self.mixture.sources}
        return lists, self.mixture.scores(columns) if columns else np.zeros(len(lists.ids), np.float32)


class _Members(Stateful):
    """Sources that learn, by name."""

    def __init__(self, sources, copy=True):
        self.by_name = {}
        for source in sources:
            name = name_of(type(source))
            if name in self.by_name:
                raise ValueError(f"there are two sources {name!r}; give one of each class")
            self.by_name[name] = fresh(source) if copy else source
        self.saved_state = tuple(f"source{i}" for i in range(len(self.by_name)))
        for i, member in enumerate(self.by_name.values()):
            setattr(self, f"source{i}", member)


class _Clock:
    """Seconds by part."""

    def __init__(self):
        self.seconds, self._start = {}, time.perf_counter()

    def lap(self, name):
        """Since the last lap, for this part."""
        now = time.perf_counter()
        self.seconds[name] = self.seconds.get(name, 0.0) + now - self._start
        self._start = now


def held_rows(n: int, share: float, seed: int, usable: np.ndarray | None = None) -> np.ndarray:
    """Rows to hold out, drawn at random: a share of n, at most 5,000 and at least one.

    Parameters
    ----------
    n : int
        Rows, at least 2.
    share : float
    seed : int
    usable : (u,) int, optional
        Those that may be held out, ascending; all by default. The share is then of these.

    Returns
    -------
    (m,) int64
        Ascending.
    """
    order, most = shuffled(n, seed, 3), n
    if usable is not None and len(usable) < n:
        may = np.zeros(n, bool)
        may[usable] = True
        order, most = order[may[order]], len(usable)
    return np.sort(order[:max(1, min(MOST_HELD, round(share * most), most - 1))])


def shuffled(n: int, seed: int, stream: int) -> np.ndarray:
    """The numbers 0 to n - 1 in random order.

    Parameters
    ----------
    n : int
    seed, stream : int
    """
    return stream_of(seed, stream).permutation(n)


def stream_of(seed: int, stream: int) -> np.random.Generator:
    """A stream of random numbers of its own.

    Parameters
    ----------
    seed, stream : int
    """
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, stream])))
