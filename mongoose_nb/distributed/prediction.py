"""Bulk prediction with a saved network, block by block on the workers of a Dask cluster."""

from __future__ import annotations

import functools
import os
from typing import Any

import numpy as np

from mongoose_nb.core.validation import check_int
from mongoose_nb.distributed.cluster import client_of
from mongoose_nb.distributed.tasks import in_turn


@functools.lru_cache(maxsize=2)
def _network(path, changed):
    """The network in a file that was changed at this time; a process reads it once."""
    from mongoose_nb.nn import Network

    return Network.load(path)


def predict_block(path: str, X: Any, k: int | None, options: dict) -> tuple[np.ndarray, np.ndarray]:
    """Best k outputs of a block of rows; runs on a worker."""
    try:
        changed = os.stat(path).st_mtime_ns
    except FileNotFoundError as error:
        raise FileNotFoundError(f"a worker cannot see {path!r}: save the network where all workers can read it") from error
    network = _network(path, changed)
    if not X.shape[0]:
        k = min(5, network.n_outputs) if k is None else k
        return np.empty((0, k), np.int32), np.empty((0, k), np.float32)
    return network.predict_topk(X, k, **options)


def predict(network_path: str | os.PathLike, X: Any, k: int | None = None, *, client: Any = None, block: int = 8192,
            **options: Any) -> tuple[np.ndarray, np.ndarray]:
    """Best k outputs of every row, by a network in a file: the same as ``Network.load(network_path).predict_topk(X, k)``.

    Parameters
    ----------
    network_path : path-like
        A file of `Network.save` that all workers can read.
    X : (n, n_features) CSR matrix, array, or Dask array
        The blocks of a Dask array are computed where they lie, and never all in one place.
    k : int, optional
    client : distributed.Client or str, optional
        Or the address of a scheduler; by default the client that was made last.
    block : int
        Rows of a task, where X is not a Dask array.
    **options
        Of `Network.predict_topk`, such as ``exact`` and ``probabilities``; none that has a value for each row.

    Returns
    -------
    ids : (n, k) int32
    scores : (n, k) float32
    """
    if not isinstance(network_path, str | os.PathLike):
        raise TypeError(f"network_path must be the file of a network that all workers can read; got a {type(network_path).__name__}: save "
                        "it, and give the path")
    client, path = client_of(client), os.path.abspath(network_path)
    block = check_int("block", block, low=1)
    if "exclude" in options:
        raise ValueError("predict takes no exclude=, which has a part for each row; leave those outputs out of the answer, or predict "
                         "with Network.predict_topk")
    if hasattr(X, "dask"):
        from dask import delayed

        run = delayed(predict_block, pure=False)
        blocks = X.rechunk({1: -1}).to_delayed().ravel()
        done = client.gather(client.compute([run(path, part, k, options) for part in blocks]))
    else:
        X = X.tocsr() if hasattr(X, "tocsr") else np.asarray(X)
        if X.ndim != 2:
            raise ValueError(f"X must have two dimensions, rows and features; got shape {X.shape}")
        starts = range(0, max(1, X.shape[0]), block)
        done = list(in_turn(client, predict_block, ((path, X[lo:lo + block], k, options) for lo in starts)))
    ids, scores = zip(*done, strict=True)
    return np.concatenate(ids), np.concatenate(scores)
