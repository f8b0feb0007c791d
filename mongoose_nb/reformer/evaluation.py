"""Figures of evaluation, and the draw of the next token."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np


def summary(batches: Iterable[tuple]) -> dict[str, float]:
    """Scores over all predictions.

    Parameters
    ----------
    batches : list of (losses, best, targets)
        Loss, best token and true token of every prediction.

    Returns
    -------
    dict
        ``eval_loss`` (nats a token), ``bits`` a token, ``accuracy`` and ``perplexity``.
    """
    losses, right, count = 0.0, 0, 0
    for loss, best, targets in batches:
        losses += float(loss.sum(dtype=np.float64))
        right += int((best == targets).sum())
        count += len(targets)
    mean = losses / count
    return {"eval_loss": mean, "bits": mean / math.log(2), "accuracy": right / count, "perplexity": math.exp(min(mean, 700.0))}


def draw(logits: np.ndarray, temperature: float, top_k: int, rng: np.random.Generator, top_p: float = 1.0) -> np.ndarray:
    """A token for every row of logits (n, n_tokens): the best one at temperature 0, else a draw from the softmax over the best `top_k`, or
    over the fewest of these whose share is `top_p` or more."""
    z = logits.astype(np.float64)
    if temperature > 0:
        z = z / temperature
        z[z < -np.partition(-z, top_k - 1, axis=1)[:, top_k - 1:top_k]] = -np.inf
        if top_p < 1:
            order = np.argsort(-z, axis=1, kind="stable")
            best = np.take_along_axis(z, order, axis=1)
            p = np.exp(best - best[:, :1])
            before = np.cumsum(p, axis=1) - p
            np.put_along_axis(z, order, np.where(before < top_p * p.sum(axis=1, keepdims=True), best, -np.inf), axis=1)
        z -= np.log(-np.log(rng.random(z.shape)))  # the largest of logits with Gumbel noise is a draw from the softmax
    return z.argmax(axis=1)
