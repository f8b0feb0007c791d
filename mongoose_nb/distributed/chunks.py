"""Dask arrays as chunks of rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


class DaskChunks:
    """The blocks of rows of Dask arrays, one after the other. While one is used, the next one is computed and fetched.

    Parameters
    ----------
    X : dask array of shape (n, n_features)
        Of dense blocks, or of blocks that are CSR matrices.
    Y : dask array of shape (n, n_outputs) or (n,), or what `Network.fit` takes
    client : distributed.Client

    Raises
    ------
    ValueError
        The number of rows of a block is not known, or not the same in X and Y.
    """

    def __init__(self, X: Any, Y: Any, client: Any) -> None:
        if any(size != size for size in X.chunks[0]):
            raise ValueError("the blocks of X have unknown numbers of rows: call X.compute_chunk_sizes() before")
        if Y is None:
            raise ValueError("Y is missing: give labels beside the Dask array X")
        sizes, self._client = X.chunks[0], client
        self._X = X.rechunk({axis: -1 for axis in range(1, X.ndim)})
        n = Y.shape[0] if hasattr(Y, "shape") else len(Y)
        if n != sum(sizes):
            raise ValueError(f"X has {sum(sizes)} rows and Y {n}: give one row of labels for each row")
        self._bounds = [sum(sizes[:i]) for i in range(len(sizes) + 1)]
        self._Y = Y.rechunk({0: sizes, **{axis: -1 for axis in range(1, Y.ndim)}}) if hasattr(Y, "dask") else Y

    def _start(self, i):
        parts = [self._X.blocks[i]]
        if hasattr(self._Y, "dask"):
            parts.append(self._Y.blocks[i])
        return self._client.compute(parts)

    def __iter__(self) -> Iterator[tuple]:
        n = len(self._bounds) - 1
        waiting = self._start(0) if n else []
        for i in range(n):
            found, waiting = self._client.gather(waiting), self._start(i + 1) if i + 1 < n else []
            yield found[0], found[1] if len(found) == 2 else self._Y[self._bounds[i]:self._bounds[i + 1]]
