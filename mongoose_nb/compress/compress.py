"""The description of a hashed array, before its size is known: how small, and by which map."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from mongoose_nb.compress.array import HashedArray
from mongoose_nb.compress.base import MOST_CELLS, IndexMap
from mongoose_nb.core.registry import Registered, find, make, register
from mongoose_nb.core.validation import check_int, check_number


class Compression(Registered, kind="compression"):
    """The base of descriptions of compressed parameters."""


@register("compression", "hashed")
class Compress(Compression):
    """Parameters live in a `HashedArray`.

    Parameters
    ----------
    map : str
        Name of an index map.
    ratio : float, optional
        Entries of the matrices over cells of the array; 10 by default.
    cells : int, optional
        Length of the array instead.
    grad_scale : bool
        See `HashedArray`.
    options : dict, optional
        Of the map, such as ``{"block": 16}``.
    only : sequence of str, optional
        Of a network: the layers that share the array, such as ``["output"]``; all by default.

    Examples
    --------
    >>> from mongoose_nb.compress import Compress
    >>> Compress("robe", 16).size([(1000, 16)])
    1000
    """

    def __init__(self, map: str = "robe", ratio: float | None = None, *, cells: int | None = None, grad_scale: bool = False,
                 options: dict | None = None, only: Sequence[str] | None = None) -> None:
        find("index map", map)
        self.map = map
        if ratio is not None and cells is not None:
            raise ValueError(f"give one of ratio and cells; got ratio={ratio!r} and cells={cells!r}: a number of cells needs no ratio")
        given = 10.0 if ratio is None and cells is None else ratio
        self.ratio = None if given is None else check_number("ratio", given, low=0.0, open_low=True)
        self.cells = None if cells is None else check_int("cells", cells, low=1)
        self.grad_scale = bool(grad_scale)
        self.options = dict(options or {})
        if isinstance(only, str):
            raise TypeError(f"only must be a list of layers, such as [{only!r}]; got the string {only!r}")
        self.only = None if only is None else list(only)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Compress:
        """As `Registered.from_config`; files of earlier versions have a ratio beside a number of cells, which it did not change."""
        return cls(**(config if config.get("cells") is None else {**config, "ratio": None}))

    @property
    def map_class(self) -> type[IndexMap]:
        """The class of the map."""
        return find("index map", self.map)

    def size(self, shapes: Sequence[Sequence[int]]) -> int:
        """Cells for matrices of these shapes; many are rounded to whole cache lines."""
        if self.cells is not None:
            return self.cells
        entries, ratio = sum(math.prod(shape) for shape in shapes), self.ratio or 1.0
        cells = max(1, round(entries / ratio))
        if cells > MOST_CELLS:
            raise ValueError(f"matrices of {entries:,} entries take {cells:,} cells at ratio={ratio:g}, and an array has at most "
                             f"{MOST_CELLS:,}: give a larger ratio, or smaller matrices")
        return cells if cells < 1024 else min(MOST_CELLS, -(-cells // 16) * 16)

    def array(self, shapes: Sequence[Sequence[int]], *, init_std: float, seed: int) -> HashedArray:
        """An array for matrices of these shapes.

        Parameters
        ----------
        shapes : sequence of (int, int)
        init_std : float
        seed : int

        Returns
        -------
        HashedArray
        """
        return HashedArray(self.size(shapes), init_std=init_std, seed=seed, grad_scale=self.grad_scale)


def make_compression(value: Any) -> Compress | None:
    """A `Compress` from a ratio, the name of a map, or itself; None for none.

    Parameters
    ----------
    value : None, float, str or Compress

    Returns
    -------
    Compress or None
    """
    if value is None or isinstance(value, Compress):
        return value
    if isinstance(value, str):
        return Compress(value)
    if isinstance(value, dict):
        return make("compression", value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Compress(ratio=value)
    raise TypeError(f"compress must be None, a ratio such as 10, the name of an index map, or a compress.Compress; got {value!r}")
