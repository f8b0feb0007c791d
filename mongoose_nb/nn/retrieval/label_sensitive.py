"""Hash tables for prediction whose functions are trained after the network (Liu et al., "Climbing the WOL", 2020)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mongoose_nb.core.registry import fresh, register
from mongoose_nb.core.validation import check_int
from mongoose_nb.hashing import LearnedHash, make_learned
from mongoose_nb.hashing.inner_product import CenteredInnerProduct, center_queries
from mongoose_nb.kernels.tables.bundles import Views
from mongoose_nb.nn.retrieval.base import Retriever
from mongoose_nb.nn.retrieval.exact import best_outputs
from mongoose_nb.nn.sampling.base import default_bits
from mongoose_nb.nn.sampling.candidate_sets import ActiveSetBuilder, ActiveSets
from mongoose_nb.nn.sampling.table_manager import hashable

if TYPE_CHECKING:
    from mongoose_nb.core.arrays import Parameter
    from mongoose_nb.nn.training.timing import PhaseTimer
    from mongoose_nb.tables import LSHTables

# Only outputs in a query's buckets are found: larger buckets and more tables find more. With these, 1,000 outputs
# scored of 100,000 give the P@1 of all outputs.
BUCKET_LOAD, TABLES = 300, 250
# The thresholds of the paper, as shares of the logits of labels and of all logits.
MISSED_ABOVE, RETURNED_BELOW = 0.25, 0.99
# Rows on which functions are compared: a fifth, which they do not learn from, where these are enough to tell.
MEASURED, FEWEST = 1024, 100
# Standard errors by which fewer of those that all outputs answer right may be answered right after learning: a small difference may be
# chance, and trained functions need fewer candidates.
WORSE = 2.0
# Answers are compared with a sixteenth of the candidates, and at least 16: with few of them functions differ most.
FEW = 16


@register("retriever", "label sensitive")
class LabelSensitiveRetriever(Retriever):
    """Hash tables over the rows of an output layer, with functions that learn true labels first and the best-scoring outputs next.

    The weights stay as they are, and any network can have such tables, whatever it was trained with. They are built when they are first
    needed. A fifth of the rows, at most 1,024, is kept from learning. Where fewer of those that all outputs answer right are
    answered right after it, the functions stay random: that happens with very many outputs and few rows.

    Parameters
    ----------
    candidates : int, optional
        Outputs to score for a row: by default a hundredth of all, at least 100.
    K, L : int, optional
        Hashes per table and tables: by default buckets of about 300 outputs, and 250.
    learn : hashing.LearnedHash, optional
        How the functions are trained: by default the contrast with ``labels=True`` in 200 steps. ``"logistic"`` is the loss of the paper,
        on labels that the tables missed and on harmful outputs that they returned, by its two thresholds.
    rounds : int
        Trainings under a loss on such pairs, with tables built anew for each; the functions that find most labels are kept.

    Attributes
    ----------
    family : hashing.SimHash
        Of a bound retriever.
    """

    saved_state = ("functions", "_query_mean", "_query_extra")

    def __init__(self, candidates: int | None = None, K: int | None = None, L: int | None = None,
                 learn: None | str | dict | LearnedHash = None, rounds: int = 4) -> None:
        self.candidates = candidates if candidates is None else check_int("candidates", candidates, low=1, high=2**31 - 2)
        self.K = K if K is None else check_int("K", K, low=1)
        self.L = check_int("L", TABLES if L is None else L, low=1)
        self.learn = make_learned(LearnedHash(first_steps=200, labels=True) if learn is None else learn, steps=50, first_steps=50,
                                  lr=0.02, labels=True, missed_above=MISSED_ABOVE, returned_below=RETURNED_BELOW)
        self.rounds = check_int("rounds", rounds, low=1)

    def bind_layer(self, weights: Parameter, bias: Parameter, seed: int) -> None:
        """Draw functions that are not trained yet; see `Retriever.bind_layer`."""
        from mongoose_nb.hashing import SimHash

        n, width = weights.value.shape
        self.candidates = min(n, max(100, n // 100) if self.candidates is None else self.candidates)
        self.K = round(default_bits(n, BUCKET_LOAD)) if self.K is None else self.K
        self._weights, self._bias, self._seed = weights, bias, seed
        self.family = SimHash(width + 1, self.K, self.L, seed=seed)
        self._query_mean, self._query_extra = np.zeros(width, np.float32), np.float32(1.0)
        self._builder = ActiveSetBuilder(n, seed=seed)
        self._tables = self._built = None

    @property
    def functions(self) -> np.ndarray:
        """The trained functions, (width + 1, K * L) float32."""
        return self.family.functions

    @functions.setter
    def functions(self, value: np.ndarray) -> None:
        self.family.set_functions(value)
        self.forget()

    @property
    def query(self) -> tuple[np.ndarray, np.float32]:
        """(mean, extra coordinate) by which queries are centred."""
        return self._query_mean, self._query_extra

    @property
    def hash_tables(self) -> LSHTables | None:
        """The hash tables (`tables.LSHTables`), None before they are first needed."""
        return self._tables

    def fit(self, h: np.ndarray, labels: np.ndarray) -> dict[str, float]:
        """Train the functions; see `Retriever.fit`. Returns what `hashing.LearnedHash.report` gives."""
        weights, bias = self._weights.value, self._bias.value
        mean = h.mean(axis=0, dtype=np.float64).astype(np.float32)
        length = float(np.sqrt(np.square(h - mean).sum(axis=1)).mean())
        rows = CenteredInnerProduct(weights, bias, mean, length)
        self._query_mean, self._query_extra = rows.query_mean, rows.extra
        self.forget()
        learner = fresh(self.learn).bind(self.family, self._seed)
        aside = min(MEASURED, len(h) // 5)
        known, measured = (slice(aside, None), slice(aside)) if aside >= FEWEST else (slice(None), slice(MEASURED))
        seen = h[measured], labels[measured]
        drawn, before = self.functions, self._right(*seen)
        self._learn(learner, h[known], labels[known], rows, seen)
        if self._worse(before, self._right(*seen), *seen):
            self.functions = drawn
        self.forget()  # they are of no step of the network
        return {**learner.report(), "functions_changed": not np.array_equal(self.functions, drawn)}

    def _learn(self, learner, h, labels, rows, seen):
        """Learn once; or, from pairs, some times from what the present candidates miss and hold, to keep what finds most labels."""
        if not learner.needs_pairs:
            self._learn_once(learner, h, labels, rows)
            return
        best, kept = self._recall(*seen), self.functions
        for _ in range(self.rounds):
            if not self._learn_once(learner, h, labels, rows, self._found):
                break
            recall = self._recall(*seen)
            if recall > best:
                best, kept = recall, self.functions
        if not np.array_equal(self.functions, kept):
            self.functions = kept

    def _learn_once(self, learner, h, labels, rows, found=None):
        with hashable():
            examples = learner.mine(h, self._weights.value, self._bias.value, labels, found)
            learned = learner.learn(center_queries(h, *self.query), rows, examples)
        if learned:
            self.forget()
        return learned

    def _worse(self, before, after, h, labels):
        """Whether fewer rows are answered right by few candidates, of those that all outputs answer right."""
        exact, _ = best_outputs(h, self._weights.value, self._bias.value, 1)
        answered = (labels == exact).any(axis=1)
        lost, gained = np.count_nonzero(answered & before & ~after), np.count_nonzero(answered & after & ~before)
        return lost - gained > WORSE * np.sqrt(lost + gained)

    def _found(self, h, n=None):
        """The candidates of some rows, by default as many as are usual, ascending: where those of each begin, and their ids."""
        ids = np.sort(self.listed(h, self.candidates if n is None else n, 0), axis=1)
        return np.concatenate([[0], np.cumsum((ids >= 0).sum(axis=1))]), ids[ids >= 0].astype(np.int64)

    def _recall(self, h, labels):
        """Share of the labels of some rows that are candidates."""
        found = self.listed(h, self.candidates, 0)
        return float(sum(np.isin(row, own).sum() for row, own in zip(labels, found)) / max(1, (labels >= 0).sum()))

    def _right(self, h, labels):
        """For which rows the best of few candidates is a label."""
        from mongoose_nb.nn.ranking.lists import best_of_lists, logits_of_lists

        self.forget()
        start, ids = self._found(h, min(self.candidates, max(FEW, self.candidates // FEW)))
        scores = logits_of_lists(h, self._weights.value, self._bias.value, start, ids.astype(np.int32))
        entries, _ = best_of_lists(scores, start, 1)
        best = np.where(entries[:, 0] >= 0, ids[np.maximum(entries[:, 0], 0)] if len(ids) else -2, -2)
        return (labels == best[:, None]).any(axis=1)

    def multiply_adds(self, n: int) -> float:
        """As `Retriever.multiply_adds`: the hashes."""
        return float(self.family.functions.size)

    def forget(self) -> None:
        """Build the tables again when they are next needed."""
        self._tables = None

    def built(self, step: int) -> bool:
        """Whether there are tables of the weights after `step` steps."""
        return self._tables is not None and self._built == step

    def build(self, step: int) -> None:
        """Build tables of the weights, which are those after `step` steps, unless they are there."""
        from mongoose_nb.tables import LSHTables

        if self.built(step):
            return
        rows = CenteredInnerProduct(self._weights.value, self._bias.value, self._query_mean, 0.0, extra=self._query_extra)
        with hashable():
            self._tables = LSHTables(self.family, seed=self._seed).build(rows)
        self._built = step

    def retrieve(self, h: np.ndarray, n: int, timer: PhaseTimer, step: int) -> ActiveSets:
        """As `Retriever.retrieve`: the outputs that are in most buckets."""
        with timer("rehash"):
            self.build(step)
        with timer("hash"):
            pool, spans = self._tables.views()
            codes = self._tables.codes(center_queries(h, *self.query)).astype(np.uint32, copy=False)
        with timer("retrieve"):
            return self._builder.retrieve(Views(pool, spans, codes), n)
