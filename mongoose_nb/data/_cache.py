"""Caches of parsed text files as npz, next to the text or in another directory.

A cache that is missing, out of date, damaged or of another version is ignored and written again. If the directory cannot be
written, a warning is logged.
"""

from __future__ import annotations

import hashlib
import logging
import os
import zipfile
import zlib
from typing import TYPE_CHECKING

import numpy as np

from mongoose_nb.data._files import replacing
from mongoose_nb.data._npz import check_npz

if TYPE_CHECKING:
    import scipy.sparse as sp

    from mongoose_nb.core.types import Matrix, PathLike

VERSION = 1
_logger = logging.getLogger("mongoose_nb")


def cache_path(path: PathLike, cache_dir: PathLike | None = None) -> str:
    """The path of the cache of the text file `path`."""
    path = os.path.abspath(os.fspath(path))
    if cache_dir is None:
        return path + ".mongoose.npz"
    digest = hashlib.sha256(path.encode("utf-8", "surrogateescape")).hexdigest()[:12]
    return os.path.join(os.fspath(cache_dir), f"{os.path.basename(path)}.{digest}.mongoose.npz")


def _key(stat):
    return np.array([VERSION, stat.st_size, stat.st_mtime_ns], np.int64)


def _matrix(arrays, name, shape):
    import scipy.sparse as sp

    indptr, indices, data = (arrays[f"{name}_{part}"] for part in ("indptr", "indices", "data"))
    right = (indptr.ndim == indices.ndim == data.ndim == 1
             and indices.dtype == indptr.dtype and indptr.dtype.kind == "i" and data.dtype == np.float32
             and len(indptr) == shape[0] + 1 and len(indices) == len(data) == indptr[-1]
             and indptr[0] == 0 and (np.diff(indptr) >= 0).all()
             and (len(indices) == 0 or 0 <= indices.min() <= indices.max() < shape[1]))
    if not right:
        raise ValueError(f"{name} is not a CSR matrix")
    if not np.isfinite(data).all() or (name == "Y" and (data != 1).any()):
        raise ValueError(f"{name} holds values that it cannot have")
    matrix = sp.csr_matrix((data, indices, indptr), shape=shape)
    if not matrix.has_canonical_format:
        raise ValueError(f"{name} is not sorted")
    return matrix


def load(file: PathLike, stat: os.stat_result) -> tuple[sp.csr_matrix, sp.csr_matrix] | None:
    """The (X, Y) in the cache `file` if it belongs to the source with this `stat`, else None."""
    try:
        check_npz(file)
        with np.load(file, allow_pickle=False) as arrays:
            if not np.array_equal(arrays["key"], _key(stat)):
                return None
            n, d, n_labels = (int(v) for v in arrays["shape"])
            return _matrix(arrays, "X", (n, d)), _matrix(arrays, "Y", (n, n_labels))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, IndexError, TypeError, EOFError, OverflowError, zipfile.BadZipFile, zlib.error) as error:
        _logger.warning("ignoring the unreadable cache %s (%s)", file, error)
        return None


def save(file: PathLike, stat: os.stat_result, X: Matrix, Y: Matrix) -> None:
    """Write the cache through a temporary file in the same directory, so that readers never see an incomplete one."""
    try:
        os.makedirs(os.path.dirname(file), exist_ok=True)
        with replacing(file) as out:
            np.savez(out, key=_key(stat), shape=np.array([*X.shape, Y.shape[1]], np.int64),
                     X_indptr=X.indptr, X_indices=X.indices, X_data=X.data,
                     Y_indptr=Y.indptr, Y_indices=Y.indices, Y_data=Y.data)
    except OSError as error:
        _logger.warning("cannot write the cache %s (%s); the text is parsed again next time", file, error)
