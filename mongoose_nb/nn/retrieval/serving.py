"""What `Network.fit_serving` does: train a retriever on activations, choose the number of candidates, measure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mongoose_nb.core.arrays import Rows
from mongoose_nb.core.registry import make
from mongoose_nb.core.streams import stream
from mongoose_nb.core.threads import compute_threads
from mongoose_nb.core.validation import check_int, check_number
from mongoose_nb.nn.labelled import check_labelled
from mongoose_nb.nn.retrieval.label_sensitive import LabelSensitiveRetriever
from mongoose_nb.nn.retrieval.target import fewest_candidates, figures
from mongoose_nb.nn.sampling.activation_buffer import padded

if TYPE_CHECKING:
    import scipy.sparse as sp

    from mongoose_nb.nn.retrieval.base import Retriever

# Rows on which a retriever is measured where none are kept aside.
MEASURED = 1024


def retriever_of(retriever: str | dict | Retriever | None, own: dict[str, Any], target: float | None) -> Retriever:
    """The retriever of the arguments of `Network.fit_serving`; `own` are those of the default one."""
    if target is not None:
        check_number("target", target, low=0.0, high=1.0)
        if own["candidates"] is not None:
            raise ValueError("target chooses the number of candidates: give one of the two")
    if retriever is None:
        return LabelSensitiveRetriever(**own)
    if any(value is not None for value in own.values()):
        raise ValueError("give candidates, K, L and learn to the retriever, or no retriever")
    return make("retriever", retriever)


def train(network: Any, retriever: Retriever, X: sp.csr_matrix, Y: sp.csr_matrix, rows: int,
          target: float | None, validation: tuple | None = None) -> tuple[Retriever, dict[str, Any]]:
    """A copy of a retriever, bound to the output layer of a network and trained, and what `Network.fit_serving` returns of it.

    Parameters
    ----------
    network : Network
    retriever : Retriever
    X, Y : CSR matrix
        Canonical.
    rows : int
        Most rows to learn from.
    target : float or None
    validation : (CSR matrix, CSR matrix), optional
        Rows for the target, in place of some of X that are kept aside.
    """
    if validation is not None and (target is None or not validation[0].shape[0]):
        raise ValueError("validation is for the target: give both, and rows" if target is None else "validation has no rows")
    chosen = np.sort(stream(network.seed, "rows for serving").permutation(X.shape[0])[:check_int("rows", rows, low=1)])
    aside = 0 if target is None or validation is not None else len(chosen) // 4
    if target is not None and validation is None and aside == 0:
        raise ValueError(f"target needs rows to keep aside, at least 4 in all; got {len(chosen)}")
    output = network.output
    bound = retriever.bind(output.weights, output.bias, network.seed)
    labels = Y[chosen]
    check_labelled(labels)
    h = network.hidden_activations(X[chosen])
    kept = np.zeros(len(chosen), bool)
    kept[stream(network.seed, "rows for serving", 1).permutation(len(chosen))[:aside]] = True
    with compute_threads(len(h) * network.n_outputs * output.n_inputs), network.lock:
        report = bound.fit(h[~kept], padded(Rows.of(labels[~kept])))
        if target is not None:
            held = (h[kept], labels[kept]) if validation is None else (network.hidden_activations(validation[0]), validation[1])
            report = {**report, **fewest_candidates(bound, output, *held, target, network.step)}
            bound.candidates = int(report["candidates"])
        else:
            report = {**report, **figures(bound, output, h[:MEASURED], labels[:MEASURED], bound.candidates, network.step)}
    return bound, report
