"""LMA: rows share cells in proportion to the similarity of what they occur with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mongoose_nb.compress.base import IndexMap
from mongoose_nb.core.registry import register
from mongoose_nb.core.validation import check_int

# Odd multipliers that mix the keys of a block into one, as in SplitMix64.
_M1 = np.uint64(0xBF58476D1CE4E5B9)
_M2 = np.uint64(0x94D049BB133111EB)


@register("index map", "lma")
class LSHKeyed(IndexMap):
    """The place of a block is a hash of some of the row's MinHashes, so that rows with equal ones share the block.

    Two rows of Jaccard similarity J share a block with probability ``J^K (1 - 1/m) + 1/m``, K being `keys`.

    Parameters
    ----------
    shape, cells, seed, offset
        See `IndexMap`.
    signatures : (rows, hashes) array of unsigned integers, optional
        MinHashes of the rows (`compress.minhash_signatures`); a file of a model restores them. Without, nothing is known of any row, and
        rows share by chance alone, as those with little data do.
    keys : int
        MinHashes that give a block its place. Few: many rows share; many: as `Block`.
    block : int
        Entries that are placed together.
    signed : bool
        By default entries have no signs: rows in one place are to agree.

    References
    ----------
    Desai, Pan, Sun, Chou and Shrivastava, "Semantically constrained memory allocation (SCMA) for embedding in efficient recommendation
    systems", arXiv 2103.06124.
    """

    open_rows = False
    saved_state = ("signatures",)
    resizable = ("signatures",)

    def __init__(self, shape: int | Sequence[int], cells: int, seed: int = 0, *, offset: int = 0, signed: bool = False,
                 signatures: np.ndarray | None = None, keys: int = 4, block: int = 1) -> None:
        super().__init__(shape, cells, seed, offset=offset, signed=signed)
        self.keys = check_int("keys", keys, low=1)
        self.block = min(check_int("block", block, low=1, high=self.cells), self.width)
        self.signatures = np.zeros((0, 0), np.uint32) if signatures is None else np.asarray(signatures)
        if signatures is not None:
            self.state_restored()

    def config(self) -> dict:
        """See `Registered.config`; the signatures are state."""
        return {"shape": self.shape, "cells": self.cells, "seed": self.seed, "offset": self.offset, "signed": self.signed,
                "keys": self.keys, "block": self.block}

    def state_restored(self) -> None:
        """Refuse signatures that do not fit."""
        given = self.signatures
        if given.shape == (0, 0):
            return
        if given.ndim != 2 or given.dtype.kind != "u" or len(given) != self.rows or given.shape[1] < 1:
            raise ValueError(f"signatures must be unsigned integers of shape ({self.rows}, hashes), one row for each of the matrix; got "
                             f"{given.dtype} {given.shape}: make them with compress.minhash_signatures")

    def kept(self) -> list[np.ndarray]:
        """The signatures."""
        return [self.signatures]

    def bases(self, rows: np.ndarray) -> np.ndarray:
        """See `IndexMap.bases`."""
        own = self.signatures[rows] if len(self.signatures) else np.asarray(rows)[:, None]
        hashes = own.shape[1]
        rng = np.random.default_rng([self.seed, self.offset, 0x1A])
        chosen = np.stack([rng.permutation(hashes)[:self.keys] for _ in range(self.blocks)])  # (blocks, keys)
        key = np.broadcast_to(np.arange(self.blocks, dtype=np.uint64), (len(rows), self.blocks)).copy()
        for k in range(chosen.shape[1]):
            key = (key ^ (key >> np.uint64(31))) * _M1 + own[:, chosen[:, k]].astype(np.uint64)
            key = (key ^ (key >> np.uint64(27))) * _M2
        return self.hashed(key.ravel(), 1, self.cells).reshape(len(rows), self.blocks)
