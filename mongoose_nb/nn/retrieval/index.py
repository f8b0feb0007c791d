"""The rows of the output layer in an index for inner products."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mongoose_nb.core.registry import register
from mongoose_nb.core.saving import join, split
from mongoose_nb.core.validation import check_int, check_number
from mongoose_nb.nn.retrieval.base import Retriever, padded_sets, with_bias

if TYPE_CHECKING:
    from mongoose_nb.core.arrays import Parameter
    from mongoose_nb.nn.sampling.candidate_sets import ActiveSets
    from mongoose_nb.nn.training.timing import PhaseTimer

# Queries and neighbours that the index is tuned for, and fewest rows and queries that can tune it.
QUERIES, NEIGHBOURS, FEWEST = 2000, 10, 20


@register("retriever", "index")
class IndexRetriever(Retriever):
    """The outputs with the largest inner products, found by `LSHIndex`: it looks for the best scores, and knows nothing of labels.

    `fit` tunes the index on activations. Its functions stay when the weights move on, and rows are put in again.

    Parameters
    ----------
    candidates : int, optional
        Outputs to score for a row: by default a hundredth of all, at least 100.
    recall : float
        Share of the ten best outputs that the index is tuned for.
    """

    saved_state = ("tuned",)

    def __init__(self, candidates: int | None = None, recall: float = 0.9) -> None:
        self.candidates = None if candidates is None else check_int("candidates", candidates, low=1, high=2**31 - 2)
        self.recall = check_number("recall", recall, low=0.0, high=1.0, open_low=True)

    def bind_layer(self, weights: Parameter, bias: Parameter, seed: int) -> None:
        """As `Retriever.bind_layer`."""
        from mongoose_nb.search import LSHIndex

        n, width = weights.value.shape
        self.candidates = min(n, max(100, n // 100) if self.candidates is None else self.candidates)
        self._weights, self._bias = weights, bias
        self._empty, self._index, self._built = LSHIndex("ip", width + 1, seed=seed), None, None

    @property
    def tuned(self) -> dict[str, Any]:
        """The settings and functions of the index, without rows."""
        return join(*self._empty.__getstate__())

    @tuned.setter
    def tuned(self, value: dict[str, Any]) -> None:
        index = _index_of(*split(value))
        if index.dim != self._weights.value.shape[1] + 1:
            raise ValueError(f"the saved index has {index.dim} columns; the layer needs {self._weights.value.shape[1] + 1}")
        self._empty = index
        self.forget()

    def fit(self, h: np.ndarray, labels: np.ndarray) -> dict[str, float]:
        """Tune the index on activations; see `Retriever.fit`. Returns the recall that it expects."""
        rows = with_bias(self._weights.value, self._bias.value)
        if len(rows) < self._empty.train_size or len(h) < FEWEST:  # so few rows are searched exactly
            return {"recall": 1.0}
        tuned = self._empty.tune(rows, queries=with_bias(h[:QUERIES]), recall=self.recall, k=min(NEIGHBOURS, len(rows)))
        self.forget()
        return {"recall": float(tuned.recall)}

    def forget(self) -> None:
        """As `Retriever.forget`."""
        self._index = None

    def built(self, step: int) -> bool:
        """As `Retriever.built`."""
        return self._index is not None and self._built == step

    def build(self, step: int) -> None:
        """Put the rows of the weights, after `step` steps, into an index of the tuned settings."""
        if self.built(step):
            return
        self._index, self._built = _index_of(*self._empty.__getstate__()), step
        self._index.add(with_bias(self._weights.value, self._bias.value))

    def retrieve(self, h: np.ndarray, n: int, timer: PhaseTimer, step: int) -> ActiveSets:
        """As `Retriever.retrieve`: the nearest by the index's sketches."""
        with timer("rehash"):
            self.build(step)
        with timer("retrieve"):
            return padded_sets(self._index.query(with_bias(h), min(n, len(self._bias.value)), rerank=1)[0])

    def multiply_adds(self, n: int) -> float:
        """As `Retriever.multiply_adds`: the hashes, and the inner products by which the index orders what it found."""
        width, functions = self._weights.value.shape[1] + 1, self._index.builder.functions
        return float(width * (len(self._bias.value) if functions is None else functions.family.K * functions.family.L + n))


def _index_of(settings, arrays):
    from mongoose_nb.search import LSHIndex

    index = LSHIndex.__new__(LSHIndex)
    index.__setstate__((settings, arrays))
    return index
