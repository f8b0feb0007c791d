"""What a sample looks up in the hash tables of an output layer: its activation, or the weights of a label of its own.

References
----------
Daghaghi et al., "A Tale of Two Efficient and Informative Negative Sampling Distributions", ICML 2021: LSH Embedding and LSH Label.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mongoose_nb.core.registry import Registered, register

if TYPE_CHECKING:
    from mongoose_nb.core.arrays import Rows
    from mongoose_nb.kernels.tables.bundles import Views
    from mongoose_nb.nn.sampling.table_manager import TableManager
    from mongoose_nb.nn.training.timing import PhaseTimer


class TableQuery(Registered, kind="table query"):
    """Base of what samples look up in training. Predictions always look up the activation."""

    def views(self, manager: TableManager, h: np.ndarray, labels: Rows, step: int, timer: PhaseTimer) -> Views:
        """`Views` of the tables for every sample.

        Parameters
        ----------
        manager : TableManager
        h : (n, width) float32
            Activations.
        labels : Rows
            True labels of each sample.
        step : int
            Keys what is drawn.
        timer : PhaseTimer
        """
        raise NotImplementedError  # abstract


@register("table query", "embedding")
class Embedding(TableQuery):
    """The activation (LSH Embedding): candidates are the outputs that the network takes for the labels of this sample."""

    def views(self, manager: TableManager, h: np.ndarray, labels: Rows, step: int, timer: PhaseTimer) -> Views:
        """As `TableQuery.views`."""
        return manager.views(h, timer)


@register("table query", "label")
class Label(TableQuery):
    """The weights of one true label (LSH Label), in turns if there are several: candidates are the outputs whose weights are similar.

    The tables know the buckets of every output, so nothing is hashed for it. A sample without labels looks up its activation.
    """

    def views(self, manager: TableManager, h: np.ndarray, labels: Rows, step: int, timer: PhaseTimer) -> Views:
        """As `TableQuery.views`."""
        has, without = np.flatnonzero(labels.count), np.flatnonzero(labels.count == 0)
        views = manager.views(h[without], timer)
        codes = np.empty((len(views.codes), len(h)), views.codes.dtype)
        codes[:, has] = manager.tables.codes_of(labels.ids[labels.start[has] + step % labels.count[has]])
        codes[:, without] = views.codes
        return views._replace(codes=codes)
