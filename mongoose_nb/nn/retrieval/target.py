"""The fewest candidates with which answers are as good as wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mongoose_nb.core.arrays import Rows
from mongoose_nb.nn.labelled import rows_with_labels
from mongoose_nb.nn.layers.wide_output import WideOutput
from mongoose_nb.nn.retrieval.base import Retriever
from mongoose_nb.nn.training.timing import PhaseTimer

if TYPE_CHECKING:
    import scipy.sparse as sp

# Candidates that are tried first, and rows that are answered at once.
SMALLEST, BLOCK = 16, 256


def fewest_candidates(retriever: Retriever, output: WideOutput, h: np.ndarray, labels: sp.csr_matrix, target: float,
                      step: int) -> dict[str, Any]:
    """Search the number of candidates, by doubling and then by halving.

    Parameters
    ----------
    retriever : Retriever
        Bound and trained.
    output : WideOutput
    h : (n, width) float32
        Activations of rows that the retriever was not trained on.
    labels : (n, outputs) CSR
    target : float
        How much lower than that of all outputs P@1 may be.
    step : int
        Steps that the weights have taken.

    Returns
    -------
    dict
        See `Network.fit_serving`.
    """
    from mongoose_nb.nn.retrieval.exact import best_outputs

    rows = rows_with_labels(labels)
    if not len(rows):
        raise ValueError(f"none of the {len(h):,} rows for the target has a label: give validation=(X, Y) with labels, or more rows=")
    h, labels = h[rows], labels[rows]
    n_outputs, right = len(output.bias.value), 0
    for some in _blocks(len(h)):
        right += _hits(labels[some], best_outputs(h[some], output.weights.value, output.bias.value, 1)[0][:, 0])
    exact = right / len(h)

    def answer(n):
        return figures(retriever, output, h, labels, n, step)

    def enough(tried):
        return right - tried["P@1"] * len(h) <= target * len(h) + 1e-6  # numbers of rows: shares are rounded

    low, tried = 1, answer(min(n_outputs, SMALLEST))
    while not enough(tried) and tried["candidates"] < n_outputs:
        low, last = tried["candidates"] + 1, tried
        tried = answer(min(n_outputs, 2 * tried["candidates"]))
        if tried["scored"] == last["scored"]:  # there are no more in the buckets
            break
    best, high = tried, tried["candidates"]
    while enough(best) and high - low > high // 16:
        middle = (low + high) // 2
        tried = answer(middle)
        if enough(tried):
            best, high = tried, middle
        else:
            low = middle + 1
    return {**best, "exact P@1": exact, "reached": enough(best)}


def figures(retriever: Retriever, output: WideOutput, h: np.ndarray, labels: sp.csr_matrix, n: int, step: int) -> dict[str, Any]:
    """What a retriever finds with `n` candidates, and what that costs; arguments as of `fewest_candidates`.

    Returns
    -------
    dict
        ``candidates``, ``scored``, ``share``, ``label_recall``, ``P@1``, ``multiply_adds`` and ``exact_multiply_adds``, see
        `Network.fit_serving`.
    """
    n_outputs, width = output.weights.value.shape
    hits, scored, found = 0, 0.0, 0.0
    for some in _blocks(len(h)):
        sets = retriever.retrieve(h[some], n, PhaseTimer(), step)
        row, id_ = Rows(sets.start, sets.count, sets.ids, None).flat()
        hits += _hits(labels[some], output.topk_of(h[some], 1, sets)[0][:, 0])
        scored, found = scored + len(id_), found + float(np.asarray(labels[some][row, id_]).sum())
    scored /= len(h)
    return {"candidates": n, "scored": scored, "share": scored / n_outputs, "label_recall": found / max(1, labels.nnz),
            "P@1": hits / len(h), "multiply_adds": retriever.multiply_adds(n) + scored * width,
            "exact_multiply_adds": float(n_outputs * width)}


def _blocks(n):
    return (slice(lo, lo + BLOCK) for lo in range(0, n, BLOCK))


def _hits(labels, best):
    """Rows whose best output is a label."""
    return int((np.asarray(labels[np.arange(len(best)), np.maximum(best, 0)]).ravel() * (best >= 0)).sum())
