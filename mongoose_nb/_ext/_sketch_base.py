"""The drift sketch: what its compiled and its Python implementation share, which is everything but the inner loops.

A. *A row is one machine word.* 64 bits tell a row's rotation to 5 degrees at 10 and 10 at 45 (one standard error,
   pi * sqrt(s (1 - s) / 64) at a changed share s), enough to tell rows that moved from rows that did not, and the mean
   over thousands of rows to a fraction of a degree. Half the bits would save 8 bytes of 16 per row and no time worth
   having: fetching the row from memory costs as much as projecting it on 64 directions. Twice as many sharpen single
   rows only by 1.4.
B. *Marks count.* A row touched by a step gains one in 16 bits, saturating. That is the flag "look again", tells which
   rows to look at first where not all can be, and adds up to the weight of a row. A list of touched ids would need
   sorting out before each look, and would grow between them.
C. *Codes and snapshot are both kept*, 8 bytes a row each: counts are then read off whenever they are wanted, and a part
   of the snapshot can be replaced. Counts kept instead of codes would be smaller, but lost with the first such part.
"""

from __future__ import annotations

import functools
from typing import Any, Self

import numpy as np

from mongoose_nb._ext._checks import as_ids, integer, integer_array, outside, within

STATE_VERSION = 1
MOST = 65535  # marks saturate
_ARRAYS = ("marks", "codes", "snapshot", "touches")


class SketchBase:
    """Bit codes of rows now and at a snapshot: how many bits have changed, and which rows were touched meanwhile.

    The codes come from outside, signs of frozen random projections: then a row that has rotated by theta since its snapshot
    has changed a share theta / pi of its bits in the mean.

    Parameters
    ----------
    n_rows : int
        Rows that may be touched.
    bits : int
        Bits of a code, a multiple of 64.
    rows : array (m,) of integers, optional
        The rows that are watched, ascending; all by default. A watched row is addressed by its place in this list.

    Notes
    -----
    Memory: 2 bytes per row, and ``4 + bits / 4`` per watched row. Codes and snapshot are zero at first.

    Calls from several Python threads wait for each other. All values are checked before anything is changed.
    """

    __slots__ = ()
    compiled = False

    def __init__(self, n_rows: int, *, bits: int = 64, rows: np.ndarray | None = None) -> None:
        n_rows = integer("n_rows", n_rows, 1, 2**31 - 1)
        bits = integer("bits", bits, 64, 4096)
        if bits % 64:
            raise ValueError(f"bits must be a multiple of 64, got {bits}")
        if rows is not None:
            rows = np.array(as_ids(rows))
            if not rows.size or rows[0] < 0 or rows[-1] >= n_rows or (np.diff(rows) <= 0).any():
                raise ValueError(f"rows must be ascending ids between 0 and {n_rows - 1}, at least one")
            rows.setflags(write=False)
        m = n_rows if rows is None else rows.size
        self._attach(n_rows, bits, rows, np.zeros(n_rows, np.uint16), np.zeros((m, bits // 64), np.uint64),
                     np.zeros((m, bits // 64), np.uint64), np.zeros(m, np.uint32))

    def __repr__(self) -> str:
        return f"DriftSketch(n_rows={self.n_rows}, bits={self.bits}, watched={len(self)})"

    def __len__(self) -> int:
        return len(self._codes)

    def __reduce__(self) -> tuple:
        return type(self).from_state, (self.state(),)

    @property
    def rows(self) -> np.ndarray | None:
        """array (m,) int32 : ids of the watched rows, read-only; None where all are watched."""
        return self._rows

    @property
    def touches(self) -> np.ndarray:
        """array (m,) uint32 : how often each watched row was touched between its snapshot and its present code."""
        return self._touches.copy()

    @property
    def nbytes(self) -> int:
        """int : bytes of all arrays."""
        own = sum(a.nbytes for a in (self._marks, self._codes, self._snapshot, self._touches))
        return own + (0 if self._rows is None else self._rows.nbytes)

    # ---------------------------------------------------------------- per step

    def touch(self, ids: np.ndarray | None = None) -> None:
        """Note that rows were touched, once for each time they are listed.

        Parameters
        ----------
        ids : array (k,) of integers, optional
            0 <= id < n_rows, watched or not. None: all rows, once.

        Raises
        ------
        ValueError, TypeError
            A wrong shape, type or value.
        """
        if ids is None:
            self._touch_all()
        else:
            self._touch(as_ids(ids))

    # ---------------------------------------------------------------- per look

    def pending(self, limit: int | None = None) -> np.ndarray:
        """Places of the watched rows that were touched since they were last recorded.

        Parameters
        ----------
        limit : int, optional
            Give no more than so many: those touched most, the lower place first among equals.

        Returns
        -------
        array (k,) int32
            Ascending.
        """
        return self._pending(2**31 - 1 if limit is None else integer("limit", limit, 0, 2**31 - 1))

    def record(self, places: np.ndarray, codes: np.ndarray) -> None:
        """Set the codes of watched rows as they are now; their marks become part of `touches`.

        Parameters
        ----------
        places : array (k,) of integers
            0 <= place < m.
        codes : array (k, bits / 64) uint64

        Raises
        ------
        ValueError, TypeError
            A wrong shape, type or value.
        """
        places, codes = as_ids(places), np.asarray(codes)
        if codes.dtype != np.uint64 or codes.shape != (len(places), self.bits // 64):
            raise ValueError(f"codes must be uint64 of shape (rows, words) = ({len(places)}, {self.bits // 64}), got {codes.dtype} "
                             f"{codes.shape}")
        self._record(places, np.ascontiguousarray(codes))

    def changed(self) -> np.ndarray:
        """Bits in which each watched row differs from its snapshot.

        Returns
        -------
        array (m,) uint16
        """
        out = np.empty(len(self), np.uint16)
        self._changed(out)
        return out

    @property
    def total(self) -> int:
        """int : bits in which all watched rows together differ from their snapshot."""
        return int(self.changed().sum(dtype=np.int64))

    def take_snapshot(self, places: np.ndarray | None = None) -> None:
        """Make the present codes the snapshot, and count touches from zero.

        Parameters
        ----------
        places : array (k,) of integers, optional
            Of these watched rows only.

        Raises
        ------
        ValueError, TypeError
            A wrong shape, type or value.
        """
        self._take_snapshot(np.arange(len(self), dtype=np.int32) if places is None else as_ids(places))

    # ---------------------------------------------------------------- whole contents

    def state(self) -> dict[str, Any]:
        """Everything needed to make an equal sketch.

        Returns
        -------
        dict
            ``version``, ``n_rows``, ``bits``, and the arrays ``marks`` (n_rows,) uint16, ``codes`` and ``snapshot``
            (m, bits / 64) uint64, ``touches`` (m,) uint32, and where not all rows are watched ``rows`` (m,) int32.
        """
        out = {"version": STATE_VERSION, "n_rows": self.n_rows, "bits": self.bits, "marks": self._marks.copy(),
               "codes": self._codes.copy(), "snapshot": self._snapshot.copy(), "touches": self._touches.copy()}
        return out if self._rows is None else {**out, "rows": self._rows.copy()}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """Make a sketch from what `state` gave.

        Raises
        ------
        ValueError
            Anything that `state` would not have given: the message names it.
        """
        if not isinstance(state, dict):
            raise ValueError(f"the state of a drift sketch must be a dict, got {type(state).__name__}")
        for name in ("version", "n_rows", "bits", *_ARRAYS):
            if name not in state:
                raise ValueError(f"the state of a drift sketch lacks {name!r}")
        version = state["version"]
        if isinstance(version, (np.ndarray, bool)) or version != STATE_VERSION:
            raise ValueError(f"the state of a drift sketch has version {version!r}, this program reads version {STATE_VERSION}")
        try:
            # the sizes of the arrays are looked at before anything of the stated size is allocated
            if np.shape(state["marks"]) != (integer("n_rows", state["n_rows"], 1, 2**31 - 1),):
                raise ValueError(f"marks have shape {np.shape(state['marks'])}, expected ({state['n_rows']},)")
            sketch = cls(state["n_rows"], bits=state["bits"], rows=state.get("rows"))
            for name in _ARRAYS:
                array, own = integer_array(name, state[name]), getattr(sketch, "_" + name)
                if array.shape != own.shape:
                    raise ValueError(f"{name} has shape {array.shape}, expected {own.shape}")
                high = int(np.iinfo(own.dtype).max)
                within(array, 0, high, functools.partial(outside, name, size=high + 1))
                own[...] = array
        except (TypeError, ValueError) as error:
            raise ValueError(f"the state of a drift sketch is damaged: {error}") from None
        return sketch
