"""Which ids the rows of an index on a cluster have; the shards know."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mongoose_nb.distributed.index_shard import parts_of
from mongoose_nb.search.ids import KnownIds


class SpreadIds(KnownIds):
    """Ids of the rows of all shards.

    Parameters
    ----------
    ask : callable
        ``ask(method, arguments)`` calls a method of every shard.
    shards : int
    """

    def __init__(self, ask: Callable[[str, list[Any]], list[Any]], shards: int) -> None:
        self._ask, self._shards, self.next_id = ask, shards, 0

    def __contains__(self, id: object) -> bool:
        whole = isinstance(id, int | np.integer) and -2**63 <= id < 2**63
        return bool(whole and self.among(np.array([id], np.int64))[0])

    @property
    def present(self) -> np.ndarray:
        return np.sort(np.concatenate(self._ask("ids", [()] * self._shards)))

    def among(self, ids: np.ndarray) -> np.ndarray:
        out, parts = np.zeros(len(ids), bool), parts_of(ids, self._shards)
        found = self._ask("among", [(ids[at],) if len(at) else None for at in parts])
        for at, there in zip(parts, found, strict=True):
            if len(at):
                out[at] = there
        return out
