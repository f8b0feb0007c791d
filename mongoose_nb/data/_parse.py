"""Parse the bytes of a sparse text file into arrays: chunks, allocation, and errors that name the line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import scipy.sparse as sp

CHUNK_BYTES = 1 << 20
MAX_ID = np.iinfo(np.int32).max


def read_header(path: str, data: bytes, names: Sequence[str]) -> tuple[list[int], int]:
    """The counts in the first line, one for each of `names`, and the offset of the second line."""
    if not data.strip():
        raise ValueError(f"{path}: the file is empty; expected a first line with {', '.join(names)}")
    end = data.find(b"\n")
    end = len(data) if end < 0 else end + 1
    fields = data[:end].split()
    if len(fields) != len(names) or not all(field.isdigit() for field in fields):
        shown = data[: min(end, 80)].decode("utf-8", "replace").rstrip("\r\n")
        raise ValueError(f"{path}, line 1: wrong header {shown!r}; expected {len(names)} whole numbers: "
                         f"{', '.join(names)}")
    counts = [int(field) for field in fields]
    for name, count in zip(names[1:], counts[1:]):
        if count > MAX_ID:
            raise ValueError(f"{path}, line 1: {count} {name}; ids are int32, so at most {MAX_ID} fit")
    return counts, end


def _cut(data, start, end, chunk_bytes):
    bounds = [start]
    while bounds[-1] < end:
        newline = data.find(b"\n", min(bounds[-1] + chunk_bytes, end) - 1, end)
        bounds.append(end if newline < 0 else newline + 1)
    return np.array(bounds, np.int64)


def _is_number(word):
    try:
        float(word.replace("_", "?"))
    except ValueError:
        return False
    return True


def _explain(path, data, at, code, line, n_features, n_labels):
    from mongoose_nb.kernels.data import text

    word = data[at : at + 200].split(None, 1)[0] if data[at : at + 200].strip() else b""
    word = word.decode("utf-8", "replace")
    shown = repr(word if len(word) <= 60 else word[:57] + "...")
    where = f"{path}, line {line}: "
    if code == text.BAD_LABEL:
        hint = " (a row without labels starts with a space)" if ":" in word else ""
        if _is_number(word):
            hint = " (a class or target for each row? Then read the file with multilabel=False)"
        return where + f"malformed labels {shown}; expected whole numbers with commas between them{hint}"
    if code == text.LABEL_RANGE:
        return where + f"label id out of range in {shown}; expected 0 to {n_labels - 1}"
    if code == text.FEATURE_RANGE:
        return where + f"feature id out of range in {shown}; expected 0 to {n_features - 1}"
    if code == text.BAD_FEATURE:
        return where + f"malformed feature {shown}; expected id:value"
    number = word.partition(":")[2] if code == text.BAD_VALUE else word
    if not _is_number(number):
        what = "feature, its value is no number" if code == text.BAD_VALUE else "target"
        return where + f"malformed {what}: {shown}"
    return where + f"value is NaN, infinite or too large: {shown}; clean the data first"


def parse(path: str, data: bytes, start: int, mode: int, *, n_rows: int | None = None, n_features: int = MAX_ID, n_labels: int = 0,
          first_line: int = 2, chunk_bytes: int | None = None) -> dict[str, Any]:
    """Parse the rows of `data` from byte `start` on.

    Parameters
    ----------
    path : str
        Name of the file, for errors.
    data : bytes
    start : int
        Offset of the first row.
    mode : int
        Flags of `kernels.data.text`: what precedes the features.
    n_rows : int, optional
        Number of rows that is expected; blank lines at the end of the file are then ignored.
    n_features, n_labels : int
        Ids are below these.
    first_line : int
        Number of the line that begins at `start`.
    chunk_bytes : int, optional
        Least size of a chunk; the result does not depend on it.

    Returns
    -------
    dict
        ``row_labels``, ``row_feats`` (int64, per row), ``labels``, ``ids`` (int32), ``values`` (float32), ``targets``
        (float64, per row), ``labels_sorted``, ``feats_sorted`` (bool: strictly increasing in every row).

    Raises
    ------
    ValueError
        At the first malformed token or wrong number of rows, with file name and line.
    """
    from mongoose_nb.kernels.data import text

    buf = np.frombuffer(data or b"\n", np.uint8)
    end = len(data)
    while True:
        bounds = _cut(data, start, end, chunk_bytes or CHUNK_BYTES)
        counts = np.zeros((len(bounds) - 1, 3), np.int64)
        text.count_chunks(buf, bounds, counts)
        lines = int(counts[:, 0].sum())
        if n_rows is None or lines <= n_rows:
            break
        # Blank lines behind the last row are forgiven; a blank line is a row only where the header counts it.
        behind = end
        for _ in range(lines - n_rows):
            behind = max(start, data.rfind(b"\n", start, behind - 1) + 1)
        if data[behind:end].strip():
            raise ValueError(f"{path}, line {first_line + n_rows}: more rows than the {n_rows} that the header says "
                             f"({lines} found)")
        end = behind
    if n_rows is not None and lines < n_rows:
        raise ValueError(f"{path}, line {first_line + lines}: the file ends after {lines} rows, the header says "
                         f"{n_rows}")

    room = np.zeros((len(bounds), 3), np.int64)
    np.cumsum(counts, axis=0, out=room[1:])
    chunk_lines = room[:, 0].copy()
    # A row spends a comma less than it has labels.
    room[:, 1] = room[:, 1] + room[:, 0] if mode & text.LABELS else 0
    rows, n_lab, n_feat = room[-1].tolist()
    row_labels, row_feats = np.zeros(rows, np.int64), np.zeros(rows, np.int64)
    labels, ids, values = np.empty(n_lab, np.int32), np.empty(n_feat, np.int32), np.empty(n_feat, np.float32)
    targets = np.empty(rows if mode & text.TARGET else 0, np.float64)
    used = np.zeros((len(counts), 5), np.int64)
    errors = np.zeros((len(counts), 3), np.int64)
    text.fill_chunks(buf, bounds, room, text.Layout(mode, n_features, n_labels),
                     text.Parsed(row_labels, row_feats, labels, ids, values, targets), used, errors)
    bad = np.flatnonzero(errors[:, 0])
    if bad.size:
        code, at, line = errors[bad[0]].tolist()
        line += first_line + int(chunk_lines[bad[0]])
        raise ValueError(_explain(path, data, at, code, line, n_features, n_labels))
    squeeze = _Squeeze(room, used)
    return {
        "row_labels": squeeze(row_labels, 0), "row_feats": squeeze(row_feats, 0), "labels": squeeze(labels, 1),
        "ids": squeeze(ids, 2), "values": squeeze(values, 2),
        "targets": squeeze(targets, 0) if targets.size else targets,
        "feats_sorted": not used[:, 3].any(), "labels_sorted": not used[:, 4].any(),
    }


class _Squeeze:
    """Remove the gaps that chunks left at the end of their part of an array."""

    def __init__(self, room, used):
        self.starts, self.used = room[:-1], used

    def __call__(self, array, column):
        starts, used = self.starts[:, column].tolist(), self.used[:, column].tolist()
        if sum(used) == len(array):
            return array
        return np.concatenate([array[s : s + u] for s, u in zip(starts, used)] or [array[:0]])


def to_csr(path: str, counts: np.ndarray, ids: np.ndarray, values: np.ndarray | None, n_columns: int, is_sorted: bool,
           has_lines: bool = True) -> sp.csr_matrix:
    """A canonical float32 CSR matrix of the parsed rows; `values` None makes an indicator matrix.

    `has_lines`: row r stands on line r + 2, and an error says so.
    """
    import scipy.sparse as sp

    indptr = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=indptr[1:])
    if indptr[-1] <= MAX_ID:
        indptr = indptr.astype(np.int32)
    indicator = values is None
    values = np.ones(len(ids), np.float32) if indicator else values
    matrix = sp.csr_matrix((values, ids, indptr), shape=(len(counts), n_columns))
    if is_sorted:
        matrix.has_sorted_indices = True
        matrix.has_canonical_format = True
        return matrix
    matrix.has_sorted_indices = False
    matrix.has_canonical_format = False
    matrix.sum_duplicates()
    if indicator:
        matrix.data[:] = 1
    elif not np.isfinite(matrix.data).all():
        at = int(np.flatnonzero(~np.isfinite(matrix.data))[0])
        row = int(np.searchsorted(matrix.indptr, at, side="right")) - 1
        where = f"line {row + 2}" if has_lines else f"row {row}"
        raise ValueError(f"{path}, {where}: the values of feature {matrix.indices[at]} add up to more than "
                         "float32 holds")
    return matrix
