"""The interface of all retrievers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mongoose_nb.core.registry import Registered, fresh
from mongoose_nb.core.saving import Stateful

if TYPE_CHECKING:
    from mongoose_nb.core.arrays import Parameter
    from mongoose_nb.nn.sampling.candidate_sets import ActiveSets
    from mongoose_nb.nn.training.timing import PhaseTimer


class Retriever(Registered, Stateful, kind="retriever"):
    """Gives the outputs that a prediction scores, without computing all of them.

    A retriever is a description until `bind` ties a copy of it to the output layer of a network. A retriever of your own stores its
    arguments under their names, overrides `bind_layer`, `fit`, `build` and `retrieve`, and names in `saved_state` what `fit` has
    changed.
    """

    #: outputs to retrieve for a row; a number once bound
    candidates: int | None = None

    def bind(self, weights: Parameter, bias: Parameter, seed: int) -> Retriever:
        """A working copy for one layer; arguments as of `bind_layer`."""
        bound = fresh(self)
        bound.bind_layer(weights, bias, seed)
        return bound

    def bind_layer(self, weights: Parameter, bias: Parameter, seed: int) -> None:
        """Prepare this copy for one layer: `weights` (outputs, width) and `bias` (outputs,), float32."""
        raise NotImplementedError  # abstract

    def fit(self, h: np.ndarray, labels: np.ndarray) -> dict[str, float]:
        """Learn from activations.

        Parameters
        ----------
        h : (m, width) float32
        labels : (m, p) int32
            True labels, -1 where there are fewer.

        Returns
        -------
        dict
            Figures of the training.
        """
        return {}

    def forget(self) -> None:
        """Have what `build` made built again when it is next needed."""

    def built(self, step: int) -> bool:
        """Whether what `retrieve` needs is there for the weights after `step` steps."""
        return True

    def build(self, step: int) -> None:
        """Prepare for the weights as they are, which are those after `step` steps."""

    def retrieve(self, h: np.ndarray, n: int, timer: PhaseTimer, step: int) -> ActiveSets:
        """Outputs to score.

        Parameters
        ----------
        h : (m, width) float32
        n : int
            Most outputs for a row.
        timer : PhaseTimer
        step : int
            Steps that the weights have taken.

        Returns
        -------
        ActiveSets
        """
        raise NotImplementedError  # abstract

    def multiply_adds(self, n: int) -> float:
        """Multiplications, each with an addition, by which `n` outputs of a row are found, before these are scored; about, on average.

        Parameters
        ----------
        n : int
        """
        return 0.0

    def listed(self, h: np.ndarray, n: int, step: int) -> np.ndarray:
        """What `retrieve` gives as one array.

        Parameters
        ----------
        h : (m, width) float32
        n : int
        step : int

        Returns
        -------
        (m, n) int32
            Different outputs of each row; -1 behind the last where there are fewer.
        """
        from mongoose_nb.nn.training.timing import PhaseTimer

        sets = self.retrieve(h, n, PhaseTimer(), step)
        out = np.full((len(h), n), -1, np.int32)
        there = np.arange(n) < sets.count[:, None]
        out[there] = sets.ids[(sets.start[:, None] + np.arange(n))[there]]
        return out


def padded_sets(ids: np.ndarray) -> ActiveSets:
    """The sets of rows of ids, of which -1 stand last where there are fewer."""
    from mongoose_nb.nn.sampling.candidate_sets import ActiveSets

    count, none = (ids >= 0).sum(axis=1).astype(np.int64), np.zeros(len(ids), np.int64)
    return ActiveSets(np.arange(len(ids), dtype=np.int64) * ids.shape[1], count, np.ascontiguousarray(ids, np.int32).ravel(), none, count,
                      none, np.zeros(len(ids), np.float32))


def with_bias(rows: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
    """Rows with a column more: the bias of an output, or 1 for an activation. Inner products are logits then."""
    last = np.ones(len(rows), np.float32) if bias is None else bias
    return np.ascontiguousarray(np.column_stack([rows, last]), np.float32)
