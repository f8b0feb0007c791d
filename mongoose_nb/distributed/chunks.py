"""Rows that Dask reads or computes, as chunks for training: Dask arrays, or delayed pairs (X, Y)."""

from __future__ import annotations

import abc
from collections.abc import Iterator, Sequence
from typing import Any


class Fetched(abc.ABC):
    """Chunks that workers make, one after the other. While one is used, the next one is made and fetched.

    Parameters
    ----------
    client : distributed.Client
    """

    def __init__(self, client: Any) -> None:
        self.client = client

    @abc.abstractmethod
    def __len__(self) -> int:
        """Number of chunks."""

    @abc.abstractmethod
    def parts(self, i: int) -> list:
        """What has to be computed for chunk i."""

    def chunk(self, i: int, found: list) -> tuple:
        """Chunk i from what was computed."""
        return tuple(found)

    def __iter__(self) -> Iterator[tuple]:
        waiting = self.client.compute(self.parts(0)) if len(self) else []
        for i in range(len(self)):
            found = self.client.gather(waiting)
            waiting = self.client.compute(self.parts(i + 1)) if i + 1 < len(self) else []
            yield self.chunk(i, found)


class ArrayChunks(Fetched):
    """The blocks of rows of Dask arrays.

    Parameters
    ----------
    X : dask array of shape (n, n_features)
        Of dense blocks, or of blocks that are CSR matrices.
    Y : dask array of shape (n, n_outputs) or (n,), or what `Network.fit` takes
    client : distributed.Client

    Raises
    ------
    ValueError
        The number of rows of a block is not known, or X and Y have not the same number of rows.
    """

    def __init__(self, X: Any, Y: Any, client: Any) -> None:
        super().__init__(client)
        if Y is None:
            raise ValueError("Y is missing: give labels beside the Dask array X")
        for name, array in (("X", X), ("Y", Y)):
            if hasattr(array, "dask") and any(size != size for size in array.chunks[0]):
                raise ValueError(f"the blocks of {name} have unknown numbers of rows: call {name}.compute_chunk_sizes() before")
        sizes = X.chunks[0]
        n = Y.shape[0] if hasattr(Y, "shape") else len(Y)
        if n != sum(sizes):
            raise ValueError(f"X has {sum(sizes)} rows and Y {n}: give one row of labels for each row")
        self._bounds = [sum(sizes[:i]) for i in range(len(sizes) + 1)]
        self._X = X.rechunk({axis: -1 for axis in range(1, X.ndim)})
        self._Y = Y.rechunk({0: sizes, **{axis: -1 for axis in range(1, Y.ndim)}}) if hasattr(Y, "dask") else Y

    def __len__(self) -> int:
        return len(self._bounds) - 1

    def parts(self, i: int) -> list:
        """As `Fetched.parts`."""
        return [array.blocks[i] for array in (self._X, self._Y) if hasattr(array, "dask")]

    def chunk(self, i: int, found: list) -> tuple:
        """As `Fetched.chunk`."""
        return found[0], found[1] if len(found) == 2 else self._Y[self._bounds[i]:self._bounds[i + 1]]


class DelayedChunks(Fetched):
    """Delayed pairs (X, Y), or triples with weights, such as those of files that workers read.

    Parameters
    ----------
    pairs : sequence of dask.delayed.Delayed
    client : distributed.Client
    """

    def __init__(self, pairs: Sequence, client: Any) -> None:
        super().__init__(client)
        self._pairs = pairs

    def __len__(self) -> int:
        return len(self._pairs)

    def parts(self, i: int) -> list:
        """As `Fetched.parts`."""
        return [self._pairs[i]]

    def chunk(self, i: int, found: list) -> tuple:
        """As `Fetched.chunk`."""
        return found[0]
