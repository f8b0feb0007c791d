"""SOLAR as a retriever: candidates of an output layer by look-ups, without its weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mongoose_nb.core.registry import register
from mongoose_nb.core.validation import check_int, check_number
from mongoose_nb.nn.retrieval.base import Retriever, padded_sets
from mongoose_nb.nn.training.batches import default_epochs
from mongoose_nb.solar.classifier import SolarClassifier

if TYPE_CHECKING:
    from mongoose_nb.core.arrays import Parameter
    from mongoose_nb.nn.sampling.candidate_sets import ActiveSets
    from mongoose_nb.nn.training.timing import PhaseTimer


@register("retriever", "solar")
class SolarRetriever(Retriever):
    """The labels of the buckets that small networks name, see `SolarClassifier`.

    The networks learn from activations which buckets the labels of a row are in. They know nothing of the weights: when these move on,
    call `Network.fit_serving` again.

    Parameters
    ----------
    candidates : int, optional
        Outputs to score for a row: by default a hundredth of all, at least 100.
    chunks, buckets, hidden, best, lr
        See `SolarClassifier`.
    epochs : int, optional
        Passes of each network over the rows: 10 by default, and more where these are fewer than 200 steps.

    Notes
    -----
    A row takes ``chunks * hidden * (width + buckets)`` multiplications, of which there are 1.1 million by default for 10,000 outputs of
    width 128: of fewer outputs, all are found in less time, and exactly.
    """

    saved_state = ("_model",)

    def __init__(self, candidates: int | None = None, chunks: int = 4, buckets: int | None = None, hidden: int = 128, best: int = 20,
                 epochs: int | None = None, lr: float = 5e-3) -> None:
        self.candidates = None if candidates is None else check_int("candidates", candidates, low=1, high=2**31 - 2)
        self.chunks, self.hidden = check_int("chunks", chunks, low=1, high=255), check_int("hidden", hidden, low=1)
        self.best, self.epochs = check_int("best", best, low=1), None if epochs is None else check_int("epochs", epochs, low=1)
        self.lr = check_number("lr", lr, low=0.0, open_low=True)
        self.buckets = None if buckets is None else check_int("buckets", buckets, low=2, high=2**24)

    def bind_layer(self, weights: Parameter, bias: Parameter, seed: int) -> None:
        """As `Retriever.bind_layer`."""
        n, self._width = weights.value.shape
        self._n = n
        self.candidates = min(n, max(100, n // 100) if self.candidates is None else self.candidates)
        self._model = SolarClassifier(self.chunks, self.buckets, hidden=self.hidden, best=self.best, least=1, epochs=self.epochs or 10,
                                      lr=self.lr, random_state=seed % (1 << 40))

    def fit(self, h: np.ndarray, labels: np.ndarray) -> dict[str, float]:
        """Train the networks; see `Retriever.fit`. Returns their number of weights."""
        from scipy import sparse

        row, place = np.nonzero(labels >= 0)
        indptr = np.concatenate([[0], np.cumsum((labels >= 0).sum(axis=1))])
        Y = sparse.csr_matrix((np.ones(len(row), np.float32), labels[row, place], indptr), shape=(len(h), self._n))
        Y.sum_duplicates()
        if self.epochs is None:
            self._model.epochs = default_epochs(len(h), self._model.batch_size)
        self._model.fit(sparse.csr_matrix(h), Y)
        return {"weights": sum(parameter.value.size for network in self._model.networks_ for parameter in network.parameters().values())}

    def retrieve(self, h: np.ndarray, n: int, timer: PhaseTimer, step: int) -> ActiveSets:
        """As `Retriever.retrieve`: the labels with the highest sums over their buckets."""
        if not hasattr(self._model, "networks_"):
            raise ValueError("retriever 'solar' is not trained: call fit_serving(X, Y, retriever='solar')")
        with timer("retrieve"):
            return padded_sets(self._model.predict_topk(h, min(n, self._n))[0])

    def multiply_adds(self, n: int) -> float:
        """As `Retriever.multiply_adds`: the networks; candidates take additions alone."""
        return float(self.chunks * self.hidden * (self._width + self._model.codes_.buckets))
