"""Reader of the libsvm / svmlight text format, by the same parser as `read_xc`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from mongoose_nb.data._files import read_bytes
from mongoose_nb.data._parse import MAX_ID, parse, to_csr

if TYPE_CHECKING:
    import scipy.sparse as sp

    from mongoose_nb.core.types import PathLike


def read_svmlight(path: PathLike, n_features: int | None = None, *, multilabel: bool = False, n_labels: int | None = None,
                  zero_based: bool | str = "auto") -> tuple[sp.csr_matrix, Any]:
    """Read a file of lines ``target f:v f:v ...``, or ``l1,l2 f:v f:v ...`` with ``multilabel=True``.

    Text behind ``#`` and ``qid:`` tokens are skipped, and so are lines with nothing else. Features of a row are sorted,
    the values of a feature that stands twice are summed.

    Parameters
    ----------
    path : str or path-like
        The file, plain or compressed (gzip, bzip2, xz, or a zip archive of one file).
    n_features : int, optional
        Number of columns; by default one more than the greatest id. Give it when training and test set are separate
        files.
    multilabel : bool, default False
        Every row starts with a list of label ids, from 0, or with none.
    n_labels : int, optional
        Number of labels of a multilabel file; by default one more than the greatest id.
    zero_based : bool or "auto", default "auto"
        Whether feature ids count from 0. ``"auto"`` takes them to count from 1 if no id is 0; say which where a file
        may lack feature 0.

    Returns
    -------
    X : scipy.sparse.csr_matrix of shape (n_rows, n_features), float32
        Features; canonical, with int32 indices.
    y : ndarray of shape (n_rows,), float64, or scipy.sparse.csr_matrix of shape (n_rows, n_labels), float32
        Targets, or the indicator of the labels.

    Raises
    ------
    ValueError
        If the file is empty or malformed (with file and line, counted from 1), or an id does not fit.
    """
    from mongoose_nb.kernels.data import text

    if not (isinstance(zero_based, bool) or zero_based == "auto"):
        raise ValueError(f"zero_based must be True, False or 'auto', got {zero_based!r}")
    for name, count in (("n_features", n_features), ("n_labels", n_labels)):
        if count is not None and not 0 <= count <= MAX_ID:
            raise ValueError(f"{name} must be between 0 and {MAX_ID}, got {count!r}")
    data, _ = read_bytes(path)
    path = os.fspath(path)
    if not data.strip():
        raise ValueError(f"{path}: the file is empty; expected lines of the form 'target id:value id:value'")
    mode = text.SVM | (text.LABELS if multilabel else text.TARGET)
    rows = parse(path, data, 0, mode, n_labels=MAX_ID if n_labels is None else n_labels, first_line=1)
    ids = rows["ids"]
    lowest = int(ids.min()) if len(ids) else None
    if zero_based == "auto":
        zero_based = lowest is None or lowest == 0
    if not zero_based:
        if lowest == 0:
            raise ValueError(f"{path}: zero_based=False, but feature id 0 occurs; pass zero_based=True")
        ids -= 1
    least = int(ids.max()) + 1 if len(ids) else 0
    if n_features is not None and least > n_features:
        raise ValueError(f"{path}: n_features={n_features}, but the ids of the file need {least} columns "
                         f"(ids counted from {0 if zero_based else 1})")
    n_features = least if n_features is None else n_features
    X = to_csr(path, rows["row_feats"], ids, rows["values"], n_features, rows["feats_sorted"], has_lines=False)
    if not multilabel:
        return X, rows["targets"]
    labels = rows["labels"]
    if n_labels is None:
        n_labels = int(np.max(labels, initial=-1)) + 1
    return X, to_csr(path, rows["row_labels"], labels, None, n_labels, rows["labels_sorted"])
