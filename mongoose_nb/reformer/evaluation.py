"""Scores of a language model."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from mongoose_nb.core.threads import compute_threads
from mongoose_nb.core.validation import check_int
from mongoose_nb.nn.layers.base import Run
from mongoose_nb.reformer.cores import attending
from mongoose_nb.reformer.decoding import check_causal, read_together
from mongoose_nb.reformer.generation import Generating
from mongoose_nb.reformer.head import logits, logits_by_rows, scores
from mongoose_nb.reformer.kinds import AttentionKind
from mongoose_nb.reformer.tasks import Task, check_batch, check_task

# Hashes of evaluation come from steps that training does not reach.
EVALUATION_STEP = 1 << 40


class Evaluating(Generating):
    """The part of `ReformerLM` that scores."""

    def evaluate(self, task: Task | np.ndarray, *, batches: int = 20, batch_size: int = 16,
                 attention: str | AttentionKind | None = None, n_hashes: int | None = None, as_generated: bool = False) -> dict:
        """Scores on evaluation batches, over all tokens, with hashes that training has not used.

        Parameters
        ----------
        task : Task or (n,) integer array
        batches, batch_size : int
        attention : str or reformer.AttentionKind, optional
            Attend so in all layers instead. A model that was trained with hashing relies on it: exact attention may serve it worse
            (Kitaev et al., 2020, Table 2).
        n_hashes : int, optional
            Rounds in all layers instead; of learned rotations no more than there are.
        as_generated : bool
            Score with the hashes and the bits of `generate` and `decoder`, instead of other hashes for every batch and the faster products
            of training: the perplexity is then that of what `generate` draws from, to the bit. Needs layers that do not depend on later
            tokens: ``attention="full"``, or ``strict=True``.

        Returns
        -------
        dict
            ``loss`` (nats a token) as ``eval_loss``, ``bits`` a token, ``accuracy`` and ``perplexity``. With hashing, and without
            ``strict=True``, which earlier tokens a token attends to depends on later ones: the perplexity is then no likelihood.
        """
        task, batch_size = check_task(self, task), check_int("batch_size", batch_size, low=1)
        found, product = [], logits_by_rows if as_generated else logits
        with attending(self.cores, attention, n_hashes), compute_threads(self._work(batch_size, task.length)):
            if as_generated:
                check_causal(self, "as_generated")
            for index in range(check_int("batches", batches, low=1)):
                tokens, weight = task.batch(index, batch_size, train=False)
                tokens, counted = check_batch(self, tokens, weight)
                if as_generated:
                    h = np.stack(read_together([self.decoder() for _ in tokens], tokens[:, :-1]))
                else:
                    h, _ = self._body.forward(tokens[:, :-1], Run(EVALUATION_STEP + index, train=False))
                targets = tokens[:, 1:].reshape(-1)[counted]
                rows = np.ascontiguousarray(h.reshape(-1, self.width)[counted])
                found.append((*scores(rows, self._head.weights.value, self._head.bias.value, targets, product), targets))
        return summary(found)


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
