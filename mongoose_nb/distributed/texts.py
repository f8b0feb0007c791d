"""Shingles of texts that lie on a Dask cluster: they are made where the texts are, and the texts stay there."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mongoose_nb.core.validation import check_int
from mongoose_nb.distributed.cluster import client_of
from mongoose_nb.search.shingles import shingles as local_shingles

if TYPE_CHECKING:
    import scipy.sparse

# Texts of a task, where they are a list.
BLOCK = 1 << 12


def shingles(texts: Sequence[str | os.PathLike] | Any, size: int | None = None, *, block: int = BLOCK, client: Any = None,
             **options: Any) -> scipy.sparse.csr_matrix:
    """Sets of the sequences of words or characters that occur in texts, made on a cluster: the same as `mongoose_nb.shingles`.

    Parameters
    ----------
    texts : Dask collection, or list of str or path
        A text column of a Dask data frame, or a Dask bag: each partition becomes sets where it lies. Or a list, whose parts are sent to
        workers, which read the files of paths.
    size : int, optional
        As there.
    block : int
        Texts of a task, where they are a list.
    client : distributed.Client or str, optional
        Or the address of a scheduler; by default the client that was made last.
    **options
        Of `mongoose_nb.shingles`, such as ``unit``.

    Returns
    -------
    CSR matrix of shape (n, dim), float32
        For `find_duplicates` and ``LSHIndex("jaccard", dim)``.
    """
    from scipy.sparse import vstack

    client, block = client_of(client), check_int("block", block, low=1)
    if hasattr(texts, "to_delayed"):
        from dask import delayed

        made = [delayed(local_shingles, pure=False)(part, size, **options) for part in texts.to_delayed()]
        parts = client.gather(client.compute(made))
    elif isinstance(texts, list | tuple):
        parts = client.gather([client.submit(local_shingles, list(texts[lo:lo + block]), size, **options, pure=False)
                               for lo in range(0, max(1, len(texts)), block)])
    else:
        raise TypeError(f"texts is a {type(texts).__name__}; give a text column of a Dask data frame, a Dask bag, or a list of strings or "
                        "paths")
    return vstack(parts, format="csr")
