"""FAIR: federated averaging of one table among devices of different memory.

::

    server   W (rows, width)  --lower-->  cells of each capacity  --> devices train them --> lift --> weighted mean --> W

A device of m cells trains the table that `Collapsible` makes of them. With one seed for all, the small tables are contained in the large
ones. The arithmetic is here; `recommend.federated` trains in one process, and `recommend.flower` over a network.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from mongoose_nb.compress.base import index_map
from mongoose_nb.core.validation import check_choice, check_int


class Subspace:
    """What a device of one capacity can hold of the table.

    Parameters
    ----------
    shape : (int, int)
    cells : int
        Memory of the device; `shape` entries or more are the whole table.
    seed : int
    """

    def __init__(self, shape: Sequence[int], cells: int, seed: int = 0) -> None:
        self.shape = tuple(shape)
        self.cells = min(check_int("cells", cells, low=1), int(np.prod(self.shape)))
        self.seed = check_int("seed", seed, low=0)
        self.full = self.cells == int(np.prod(self.shape))
        if self.full:
            self.index, self.sign = np.arange(self.cells).reshape(self.shape), np.ones(self.shape, np.int8)
        else:
            map = index_map("collapsible", self.shape, self.cells, seed)
            self.index, self.sign = map.index(), map.sign()
            self._count = np.maximum(np.bincount(self.index.ravel(), minlength=self.cells), 1)

    def lift(self, cells: np.ndarray) -> np.ndarray:
        """The table of some cells."""
        return cells.reshape(self.shape) if self.full else cells[self.index] * self.sign

    def lower(self, table: np.ndarray) -> np.ndarray:
        """The cells that stand for a table best, in the sense of least squares."""
        if self.full:
            return table.reshape(-1).copy()
        return np.bincount(self.index.ravel(), (table * self.sign).ravel(), minlength=self.cells) / self._count


def weighted_mean(parts: Sequence[tuple[dict[str, np.ndarray], float]]) -> dict[str, np.ndarray]:
    """Plain federated averaging of parameters that all devices hold whole, such as dense layers.

    Parameters
    ----------
    parts : sequence of (dict of str to array, weight)
        Of the devices, with equal names and shapes.

    Returns
    -------
    dict of str to array
        In the dtype of the first device's arrays.
    """
    total = sum(weight for _, weight in parts)
    return {name: sum(np.asarray(one[name], np.float64) * (weight / total) for one, weight in parts).astype(array.dtype)
            for name, array in parts[0][0].items()}


class FairServer:
    """The table, what devices get of it, and how their answers are averaged.

    Parameters
    ----------
    table : (rows, width) array
        To begin with.
    capacities : sequence of int
        Cells that the kinds of devices hold.
    seed : int
    consistent : bool
        Whether all capacities hash with one seed, so that small tables are contained in large ones.
    update : {"average", "change"}
        ``"average"``: the new table is the weighted mean of the devices' tables (the paper). ``"change"``: the weighted mean of how the
        devices changed their tables is added, so that what small devices cannot hold is kept.

    References
    ----------
    Desai, Chou and Shrivastava, "FAIR: Federated averaging in random subspaces", arXiv 2311.01722.
    """

    def __init__(self, table: np.ndarray, capacities: Sequence[int], *, seed: int = 0, consistent: bool = True,
                 update: str = "average") -> None:
        self.table = np.array(table, np.float64)
        if self.table.ndim != 2:
            raise ValueError(f"table must be a matrix; got shape {self.table.shape}")
        self.update = check_choice("update", update, ("average", "change"))
        self.subspaces = [Subspace(self.table.shape, cells, seed if consistent else seed + 1000 * (i + 1)) for i, cells in
                          enumerate(capacities)]

    def send(self, kind: int) -> np.ndarray:
        """The cells for a device of this kind (the number of its capacity)."""
        return self.subspaces[kind].lower(self.table)

    def check_answer(self, kind: int, cells: np.ndarray, weight: float) -> None:
        """Refuse an answer that cannot be averaged.

        Raises
        ------
        ValueError
        """
        if not 0 <= kind < len(self.subspaces):
            raise ValueError(f"an answer must be of a kind from 0 to {len(self.subspaces) - 1}; got {kind}")
        most = self.subspaces[kind].cells
        if not 0 < weight < np.inf or np.shape(cells) != (most,) or not np.isfinite(cells).all():
            raise ValueError(f"an answer of kind {kind} must be {most} finite cells with a positive weight; got shape {np.shape(cells)} "
                             f"and weight {weight}")

    def receive(self, answers: Iterable[tuple[int, np.ndarray, float]], rate: float = 1.0) -> None:
        """Average the answers of a round; devices that did not answer are left out.

        Parameters
        ----------
        answers : iterable of (kind, cells, weight)
            Weights are sizes of data.
        rate : float
            Factor on the change of the table.
        """
        sums: dict[int, Any] = {}
        weights: dict[int, float] = {}
        for kind, cells, weight in answers:
            self.check_answer(kind, cells, weight)
            sums[kind] = sums.get(kind, 0) + weight * cells
            weights[kind] = weights.get(kind, 0.0) + weight
        total = sum(weights.values())
        if not total:
            return
        change = np.zeros_like(self.table)
        for kind, cells in sums.items():  # devices of one kind are averaged as cells: the mean of tables is the table of the mean
            space, mean = self.subspaces[kind], cells / weights[kind]
            before = self.table if self.update == "average" else space.lift(space.lower(self.table))
            change += weights[kind] / total * (space.lift(mean) - before)
        self.table += rate * change
