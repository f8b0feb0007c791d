"""A network as a ranking asks it: what to rank, and what the network makes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mongoose_nb.nn.ranking.lists import logits_of_lists

if TYPE_CHECKING:
    import scipy.sparse

    from mongoose_nb.nn.ranking import Lists


class NetworkProposer:
    """What a ranking asks of a network (`ranking.Proposer`).

    Parameters
    ----------
    network : Network
    exact, candidates, exclude
        As for `Network.predict_topk`.
    """

    def __init__(self, network: Any, exact: bool = True, candidates: int | None = None, exclude: Any = None) -> None:
        self.n_outputs, self.network = network.n_outputs, network
        self.how = {"exact": exact, "candidates": candidates, "ranked": False, "exclude": exclude}

    def best(self, X: scipy.sparse.csr_matrix, k: int) -> np.ndarray:
        """Best outputs of every row."""
        return self.network.predict_topk(X, k, **self.how)[0]

    def log_probabilities(self, X: scipy.sparse.csr_matrix, lists: Lists) -> np.ndarray:
        """Logarithms of the probabilities; under the softmax, they sum to one over what is listed for a row."""
        output = self.network.output
        out = logits_of_lists(self.network.hidden_activations(X), output.weights.value, output.bias.value, lists.indptr, lists.ids)
        return output.loss_kind.log_probabilities(out, lists.indptr)
