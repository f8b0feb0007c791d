"""The gradient of a hashed array: contributions of the views that share it, added cell by cell."""

from __future__ import annotations

from typing import Any

import numpy as np

from mongoose_nb.core.threads import kernel_threads

# Ranges of cells with one owner each: enough to balance threads.
RANGES = 64


class CellGradient:
    """The gradient of the cells, from gradients of rows of the matrices that the array stands for.

    It has what gradients of `nn` have: ``square_norm()``, ``apply(...)``, ``dense()``.

    Parameters
    ----------
    array : HashedArray
    """

    def __init__(self, array: Any) -> None:
        self.array = array
        self._parts: list[tuple[Any, np.ndarray, np.ndarray, np.ndarray]] = []
        self._total: np.ndarray | None = None

    def add(self, view: Any, rows: np.ndarray, values: np.ndarray, bases: np.ndarray | None = None) -> CellGradient:
        """Add d loss / d rows of a view.

        Parameters
        ----------
        view : View
            Of the same array.
        rows : (n,) int64
            A row may come several times. They are not checked where `bases` are given.
        values : (n, width) float32
        bases : (n, blocks) int64, optional
            Of the rows, where they are known.

        Returns
        -------
        CellGradient
            Itself.
        """
        if bases is None:
            rows = view.map.check_rows(rows)
            bases = view.map.bases(rows)
        self._parts.append((view, rows, values, bases))
        self._total = None
        return self

    def join(self, other: CellGradient) -> CellGradient:
        """Add all of another gradient of the same array; returns itself."""
        for part in other.parts():
            self.add(*part)
        return self

    def parts(self) -> list:
        """What was added: (view, rows, values, bases)."""
        return self._parts

    def _sum(self, G):
        """G (cells + room for the longest block) becomes the sum; the part that holds the cells."""
        from mongoose_nb.kernels.compress import cells as kernel

        get, m = self.array.buffers.get, self.array.cells
        shift = max(0, int(len(G) - 1).bit_length() - RANGES.bit_length() + 1)
        ranges = ((len(G) - 1) >> shift) + 1
        for view, rows, values, bases in self._parts:
            if not len(rows):
                continue
            layout = view.layout
            signed = values
            with kernel_threads(8 * values.size):
                if layout.signed or layout.scale != 1.0:
                    signed = get("signed", values.shape)
                    kernel.flip_rows(values, rows, layout, signed)
                hist = get("hist", (kernel.CHUNKS, ranges), np.int64)
                kernel.count_runs(bases, layout.block, view.map.width, shift, hist)
                runs = kernel.Runs(get("ptr", ranges + 1, np.int64), get("order", int(hist.sum()), np.int64))
                kernel.group_runs(bases, layout.block, view.map.width, shift, hist, runs)
                kernel.accumulate(signed, bases, layout.block, shift, runs, G)
        kernel.fold_end(G, m)
        return G[:m]

    def dense(self) -> np.ndarray:
        """The whole gradient, (cells,) float32."""
        return self._sum(np.zeros(self.array.room, np.float32)) if self._total is None else self._total.copy()

    def _summed(self):
        if self._total is None:
            self._total = self._sum(self.array.gradient_room())
        return self._total

    def square_norm(self) -> float:
        """Squared Euclidean norm."""
        return float(np.square(self._summed(), dtype=np.float64).sum())

    def apply(self, method: int, constants: np.ndarray, bias_constants: np.ndarray) -> None:
        """Optimiser step on the cells that have a gradient; cells are not decayed."""
        from mongoose_nb.kernels.compress.cells import step_cells
        from mongoose_nb.kernels.layers.rows import State

        G, cells = self._summed(), self.array.parameter
        metric = self.array.metric()
        with kernel_threads(16 * len(G)):
            step_cells(G, method, bias_constants, State(cells.value, cells.m, cells.v), metric)
        self._total = None
        self._parts = []
