"""Token sequences as sparse classification: next item of a session, next word of a text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp

from mongoose_nb.data.csr import MAX_ID
from mongoose_nb.data.indicator import check_Y
from mongoose_nb.data.vocabulary import Vocabulary


def _flatten(sequences, what):
    """(tokens, start of every sequence and the end) from a list of id sequences, or one 1-D array."""
    if isinstance(sequences, np.ndarray) and sequences.ndim == 1 and sequences.dtype != object:
        sequences = [sequences]
    try:
        parts = [np.asarray(part) for part in sequences]
    except (TypeError, ValueError) as error:
        raise TypeError(f"{what}: expected a list of sequences of ids ({error})") from error
    for s, part in enumerate(parts):
        if part.ndim != 1 or (part.size and part.dtype.kind not in "iu"):
            raise ValueError(f"{what}: sequence {s} has shape {part.shape} and dtype {part.dtype}; expected a 1-D "
                             "sequence of whole numbers")
    bounds = np.zeros(len(parts) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, parts), np.int64, len(parts)), out=bounds[1:])
    tokens = np.concatenate([part.astype(np.int64) for part in parts]) if parts else np.empty(0, np.int64)
    return tokens, bounds


def _check_range(tokens, bounds, n, what):
    bad = np.flatnonzero((tokens < 0) | (tokens >= n))
    if bad.size:
        s = int(np.searchsorted(bounds, bad[0], side="right")) - 1
        raise ValueError(f"{what}: sequence {s} has the id {tokens[bad[0]]}; expected 0 to {n - 1}")


def _check_decay(decay):
    if not 0 < decay <= 1:
        raise ValueError(f"decay must be above 0 and at most 1, got {decay!r}")


def _csr(rows, columns, values, shape):
    X = sp.coo_matrix((values, (rows, columns)), shape=shape).tocsr()
    X.sort_indices()
    X.sum_duplicates()
    return X


def sessions_to_xc(sequences: Iterable[Sequence[int]], n_items: int | None = None, decay: float = 0.8, *, window: int | None = None,
                   last_only: bool = False) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """Turn sessions (clicks, baskets, playlists) into next-item prediction.

    Each prefix of a session is a row: the value of an item is ``decay ** s`` where s is the number of steps since its
    last click (0 for the latest), and the label is the item that came next. A session of m clicks gives m - 1 rows.

    Parameters
    ----------
    sequences : list of 1-D integer sequences
        Item ids, oldest first.
    n_items : int, optional
        Number of items; by default one more than the greatest id.
    decay : float, default 0.8
        In (0, 1]; 1 makes a plain set of items.
    window : int, optional
        Look at the latest `window` clicks of a prefix only. The matrix grows with the square of a session's length
        without.
    last_only : bool, default False
        Keep the longest prefix of each session only, as tests often do.

    Returns
    -------
    X : scipy.sparse.csr_matrix of shape (n_rows, n_items), float32
        Rows in the order of the sessions, short prefixes first.
    Y : scipy.sparse.csr_matrix of shape (n_rows, n_items), float32
        One label in each row.

    Raises
    ------
    ValueError
        If an id is negative or not below `n_items`, a parameter is out of range, or no session has two clicks.
    """
    _check_decay(decay)
    if window is not None and window < 1:
        raise ValueError(f"window must be at least 1, got {window!r}")
    tokens, bounds = _flatten(sequences, "sessions_to_xc")
    if n_items is None:
        n_items = int(tokens.max(initial=-1)) + 1
    _check_range(tokens, bounds, n_items, "sessions_to_xc")
    sizes = np.diff(bounds)
    session = np.repeat(np.arange(len(sizes)), sizes)
    place = np.arange(len(tokens))
    last_row = np.repeat(bounds[1:], sizes) - 2  # the place where the longest prefix ends
    is_row = place <= last_row
    if last_only:
        is_row = place == last_row
    row_of = np.cumsum(is_row) - 1
    n_rows = int(is_row.sum())
    if n_rows == 0:
        raise ValueError("sessions_to_xc: no session has two clicks, so nothing can be predicted")
    # A click is seen by the prefixes that end at it or later, up to the item's next click.
    order = np.lexsort((place, tokens, session))
    until = last_row.copy()
    again = (session[order][1:] == session[order][:-1]) & (tokens[order][1:] == tokens[order][:-1])
    until[order[:-1][again]] = np.minimum(until[order[:-1][again]], order[1:][again] - 1)
    if window is not None:
        until = np.minimum(until, place + window - 1)
    since = np.maximum(place, last_row) if last_only else place
    seen = np.maximum(until - since + 1, 0)
    click = np.repeat(place, seen)
    end = np.arange(len(click)) - np.repeat(np.cumsum(seen) - seen, seen) + since[click]
    values = (float(decay) ** (end - click)).astype(np.float32)
    X = _csr(row_of[end], tokens[click], values, (n_rows, n_items))
    return X, check_Y(tokens[np.flatnonzero(is_row) + 1], n_items)


def next_word(tokens: Any, window: int, vocab: int, *, mode: str = "position", decay: float = 0.8,
              skip_labels: Sequence[int] = ()) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """Turn token ids into next-word prediction.

    Each token but the first of its document is a label; its row describes the up to `window` tokens before it.

    Parameters
    ----------
    tokens : 1-D integer array, or list of 1-D integer sequences
        Token ids; with a list, windows do not reach from one document into another.
    window : int
        How many tokens a row looks back.
    vocab : Vocabulary or int
        The vocabulary, or its size V.
    mode : {"position", "bag"}, default "position"
        - ``"position"``: the token d steps before the label (d = 1 is the nearest) is feature ``(d - 1) * V + token``
          with the value 1; ``window * V`` features.
        - ``"bag"``: V features; a token has the sum of ``decay ** (d - 1)`` over the places where it stands.
    decay : float, default 0.8
        In (0, 1], for ``"bag"``.
    skip_labels : sequence of int
        Rows with these labels are left out; for example ``[vocab.unknown_id]``.

    Returns
    -------
    X : scipy.sparse.csr_matrix of shape (n_rows, window * V or V), float32
        Rows in the order of the text.
    Y : scipy.sparse.csr_matrix of shape (n_rows, V), float32
        One label in each row.

    Raises
    ------
    ValueError
        If an id is out of range, a parameter is not allowed, or no row is left.
    """
    size = len(vocab) if isinstance(vocab, Vocabulary) else int(vocab)
    if window < 1:
        raise ValueError(f"window must be at least 1, got {window!r}")
    if mode not in ("position", "bag"):
        raise ValueError(f"mode must be 'position' or 'bag', got {mode!r}")
    if mode == "position" and window * size > MAX_ID:
        raise ValueError(f"window * vocabulary = {window * size} features; ids are int32, so at most {MAX_ID} fit. "
                         "Use a smaller vocabulary, a smaller window, or mode='bag'")
    _check_decay(decay)
    if isinstance(tokens, list | tuple) and tokens and not any(hasattr(part, "__len__") for part in tokens):
        tokens = np.asarray(tokens)
    tokens, bounds = _flatten(tokens, "next_word")
    _check_range(tokens, bounds, size, "next_word")
    sizes = np.diff(bounds)
    first = np.repeat(bounds[:-1], sizes)
    place = np.arange(len(tokens))
    labels = np.flatnonzero((place > first) & ~np.isin(tokens, np.asarray(skip_labels)))
    if not len(labels):
        raise ValueError("next_word: no document has two tokens and a label that is not skipped")
    rows, columns, values = [], [], []
    for d in range(1, window + 1):
        row = np.flatnonzero(labels - d >= first[labels])
        word = tokens[labels[row] - d]
        rows.append(row)
        columns.append(word + (d - 1) * size if mode == "position" else word)
        values.append(np.full(len(row), 1.0 if mode == "position" else float(decay) ** (d - 1)))
    n_features = window * size if mode == "position" else size
    # summed in float64, from near to far
    X = _csr(np.concatenate(rows), np.concatenate(columns), np.concatenate(values), (len(labels), n_features))
    return X.astype(np.float32), check_Y(tokens[labels], size)
