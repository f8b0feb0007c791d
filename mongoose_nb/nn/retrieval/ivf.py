"""The rows of the output layer in an inverted file of faiss."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import numpy as np

from mongoose_nb.core.registry import register
from mongoose_nb.core.validation import check_int
from mongoose_nb.nn.retrieval.base import Retriever, padded_sets, with_bias

if TYPE_CHECKING:
    from mongoose_nb.core.arrays import Parameter
    from mongoose_nb.nn.sampling.candidate_sets import ActiveSets
    from mongoose_nb.nn.training.timing import PhaseTimer


def load_faiss() -> Any:
    """The module faiss.

    Raises
    ------
    ImportError
        If it is not installed; the message says what to do.
    """
    try:
        return importlib.import_module("faiss")
    except ImportError:
        raise ImportError("retriever 'ivf' needs faiss, which is not installed: pip install faiss-cpu (the extra 'faiss'), or take "
                          "another retriever, such as 'label sensitive'") from None


@register("retriever", "ivf")
class IVFRetriever(Retriever):
    """The outputs with the largest inner products of some clusters of outputs, by faiss (extra ``faiss``).

    The rows of the weights are clustered; all rows of the clusters that are nearest to an activation are scored, and the best are
    candidates.

    Parameters
    ----------
    candidates : int, optional
        Outputs to score for a row: by default a hundredth of all, at least 100.
    lists : int, optional
        Clusters; by default four times the square root of the number of outputs.
    probes : int
        Clusters that a query looks into.
    """

    def __init__(self, candidates: int | None = None, lists: int | None = None, probes: int = 16) -> None:
        self.candidates = None if candidates is None else check_int("candidates", candidates, low=1, high=2**31 - 2)
        self.lists = None if lists is None else check_int("lists", lists, low=1)
        self.probes = check_int("probes", probes, low=1)

    def bind_layer(self, weights: Parameter, bias: Parameter, seed: int) -> None:
        """As `Retriever.bind_layer`."""
        self._faiss, n = load_faiss(), len(bias.value)
        self.candidates = min(n, max(100, n // 100) if self.candidates is None else self.candidates)
        self.lists = min(n, int(4 * np.sqrt(n)) if self.lists is None else self.lists)
        self._weights, self._bias, self._seed = weights, bias, seed
        self._index = self._built = None

    def forget(self) -> None:
        """As `Retriever.forget`."""
        self._index = None

    def built(self, step: int) -> bool:
        """As `Retriever.built`."""
        return self._index is not None and self._built == step

    def build(self, step: int) -> None:
        """Cluster the rows of the weights, after `step` steps."""
        if self.built(step):
            return
        faiss, rows = self._faiss, with_bias(self._weights.value, self._bias.value)
        threads = faiss.omp_get_max_threads()
        faiss.omp_set_num_threads(1)  # the same clusters for any number of threads
        try:
            index = faiss.index_factory(rows.shape[1], f"IVF{self.lists},Flat", faiss.METRIC_INNER_PRODUCT)
            index.cp.seed = self._seed % (1 << 31)
            index.train(rows)
            index.add(rows)
        finally:
            faiss.omp_set_num_threads(threads)
        index.nprobe = min(self.probes, self.lists)
        self._index, self._built = index, step

    def retrieve(self, h: np.ndarray, n: int, timer: PhaseTimer, step: int) -> ActiveSets:
        """As `Retriever.retrieve`."""
        with timer("rehash"):
            self.build(step)
        with timer("retrieve"):
            return padded_sets(self._index.search(with_bias(h), min(n, len(self._bias.value)))[1])

    def multiply_adds(self, n: int) -> float:
        """As `Retriever.multiply_adds`: the centres of the clusters, and the mean number of rows in those that are looked into."""
        lists = self._index.nlist
        return float((self._weights.value.shape[1] + 1) * (lists + self._index.nprobe * len(self._bias.value) / lists))
