"""What a trainable projection learns: three losses on projections, with their gradients.

Each has the same two parts. ``draw`` chooses the queries and rows of a step, ``gradient`` takes their projections z (before the
sign) and gives the loss and its gradient with respect to them. A bit is relaxed to tanh(z), which is in (-1, 1).

A. *Contrast* compares whole votes: in a softmax over rows, whose logits are the agreement of all bits, the rows that score best are to
   have the mass. Retrieval by votes ranks by that very agreement, every row of the step is a negative of every query, and the softmax
   bounds what negatives weigh: pushing them apart pays only as far as it moves mass to the positives, so no collapse was ever seen.
B. *Triplet* is the hinge on cosines of Chen et al. ("MONGOOSE", ICLR 2021, section 3.3), *logistic* what was released with it: per
   table, the agreement of its K bits against "same bucket or not". Their negatives only say "apart", which empty buckets satisfy
   best: `negative_weight` caps them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mongoose_nb.core.registry import Registered, register


class Examples:
    """What was mined for m queries.

    Parameters
    ----------
    positives : (m, k) int32
        Rows that the query is to find, best first; -1 where there are fewer.
    missed, returned : tuple of two int arrays
        (query, row) of the pairs that retrieval missed and should not, and of those that it returned and should not.
    """

    def __init__(self, positives: np.ndarray, missed: tuple[np.ndarray, np.ndarray], returned: tuple[np.ndarray, np.ndarray]) -> None:
        self.positives, self.missed, self.returned = positives, missed, returned


def soft_bits(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """tanh(z) and its derivative."""
    h = np.tanh(z)
    return h, 1 - h * h


class HashLoss(Registered, kind="hash loss"):
    """Base of the losses.

    Parameters
    ----------
    options : LearnedHash
        Its settings.
    K : int
        Hashes per table.
    """

    #: whether pairs are mined that retrieval missed, and that it returned and should not
    needs_pairs = False

    def ready(self, examples: Examples) -> bool:
        """Whether there is anything to learn from."""
        raise NotImplementedError  # abstract

    def draw(self, rng: np.random.Generator, examples: Examples, n_rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """(queries, rows, target) of a step: ids of both, and what `gradient` needs."""
        raise NotImplementedError  # abstract

    def gradient(self, zq: np.ndarray, zu: np.ndarray, target: np.ndarray | None) -> tuple[float, np.ndarray, np.ndarray]:
        """(loss, d / d zq, d / d zu) from the projections of the queries and rows."""
        raise NotImplementedError  # abstract


@register("hash loss", "contrast")
class Contrast(HashLoss):
    """Softmax over the rows of a step; logits are `sharpness` times the mean agreement of all bits."""

    def __init__(self, options: Any, K: int) -> None:
        self.batch, self.rows, self.sharpness = options.batch, options.rows, options.sharpness

    def ready(self, examples: Examples) -> bool:
        """Whether there is anything to learn from."""
        return bool((examples.positives >= 0).any())

    def draw(self, rng: np.random.Generator, examples: Examples, n_rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Queries, rows (half of them positives of these queries, half uniform), and the target distribution (queries, rows)."""
        queries = rng.integers(0, len(examples.positives), min(self.batch, len(examples.positives)))
        positives = examples.positives[queries]
        known = rng.permutation(positives[positives >= 0])[:self.rows // 2]
        rows = np.unique(np.concatenate([known, rng.integers(0, n_rows, self.rows - self.rows // 2)]))
        place = np.minimum(np.searchsorted(rows, positives), len(rows) - 1)
        target = np.zeros((len(queries), len(rows)), np.float32)
        here = rows[place] == positives
        target[np.nonzero(here)[0], place[here]] = 1
        return queries, rows, target / np.maximum(target.sum(axis=1, keepdims=True), 1)

    def gradient(self, zq: np.ndarray, zu: np.ndarray, target: np.ndarray | None) -> tuple[float, np.ndarray, np.ndarray]:
        """Mean cross-entropy over the queries with a positive among the rows, and d / d zq, d / d zu."""
        (hq, slope_q), (hu, slope_u) = soft_bits(zq), soft_bits(zu)
        scale = np.float32(self.sharpness / zq.shape[1])
        Z = hq @ hu.T
        Z *= scale
        Z -= Z.max(axis=1, keepdims=True)
        E = np.exp(Z)
        total = E.sum(axis=1, keepdims=True)
        mass = target.sum(axis=1, keepdims=True)
        n = max(1.0, float(mass.sum()))
        loss = float((mass * np.log(total) - (target * Z).sum(axis=1, keepdims=True)).sum(dtype=np.float64)) / n
        G = (mass * E / total - target) * np.float32(scale / n)
        return loss, (G @ hu) * slope_q, (G.T @ hq) * slope_u


class _Pairs(HashLoss):
    needs_pairs = True

    def __init__(self, options: Any, K: int):
        self.batch, self.K = options.batch, K
        self.margin, self.negative_weight = options.margin, options.negative_weight

    def ready(self, examples: Examples) -> bool:
        """Whether there is anything to learn from."""
        return len(examples.missed[0]) > 0 and len(examples.returned[0]) > 0


@register("hash loss", "triplet")
class Triplet(_Pairs):
    """max(0, margin - cos(Hx, Hp) + negative_weight cos(Hx, Hn)), one cosine over the projections of all tables."""

    def draw(self, rng: np.random.Generator, examples: Examples, n_rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Queries of missed pairs; as rows their positives, negatives (the query's own where it has any), and uniform ones."""
        queries, positives = examples.missed
        order = np.argsort(examples.returned[0], kind="stable")
        owner, negatives = examples.returned[0][order], examples.returned[1][order]
        chosen = rng.integers(0, len(queries), self.batch)
        query = queries[chosen]
        first, last = np.searchsorted(owner, query), np.searchsorted(owner, query, side="right")
        own = first < last
        low, high = np.where(own, first, 0), np.where(own, last, len(owner))
        negative = negatives[low + (rng.random(self.batch) * (high - low)).astype(np.int64)]
        rows = np.concatenate([positives[chosen], negative, rng.integers(0, n_rows, self.batch)])
        return query, rows, None

    def gradient(self, zq: np.ndarray, zu: np.ndarray, target: np.ndarray | None) -> tuple[float, np.ndarray, np.ndarray]:
        """Mean hinge, and d / d zq, d / d zu."""
        n = len(zq)
        dq, du = np.zeros_like(zq), np.zeros_like(zu)
        cos_p, to_q, to_p = _cosine(zq, zu[:n])
        cos_n, away_q, away_n = _cosine(zq, zu[n:2 * n])
        hinge = self.margin - cos_p + self.negative_weight * cos_n
        on = ((hinge > 0) / np.float32(n)).astype(np.float32)[:, None]
        dq += on * (np.float32(self.negative_weight) * away_q - to_q)
        du[:n], du[n:2 * n] = -on * to_p, on * np.float32(self.negative_weight) * away_n
        return float(np.maximum(hinge, 0).mean(dtype=np.float64)), dq, du


@register("hash loss", "logistic")
class Logistic(_Pairs):
    """Per table, cross-entropy of sigmoid(sum of the K products of soft bits) against missed (1) or wrongly returned (0)."""

    def draw(self, rng: np.random.Generator, examples: Examples, n_rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """As many missed as returned pairs; as rows theirs and uniform ones."""
        half = self.batch // 2
        (mq, mr), (rq, rr) = examples.missed, examples.returned
        m, r = rng.integers(0, len(mq), half), rng.integers(0, len(rq), half)
        rows = np.concatenate([mr[m], rr[r], rng.integers(0, n_rows, self.batch)])
        return np.concatenate([mq[m], rq[r]]), rows, np.repeat(np.float32([1, 0]), half)

    def gradient(self, zq: np.ndarray, zu: np.ndarray, target: np.ndarray | None) -> tuple[float, np.ndarray, np.ndarray]:
        """Mean over pairs and tables, and d / d zq, d / d zu."""
        n = len(zq)
        (hq, slope_q), (hu, slope_u) = soft_bits(zq), soft_bits(zu[:n])
        s = (hq * hu).reshape(n, -1, self.K).sum(axis=2)  # (n, L)
        weight = np.where(target > 0, 1, self.negative_weight).astype(np.float32)[:, None] / s.size
        loss = float((weight * (np.logaddexp(0, s) - target[:, None] * s)).sum(dtype=np.float64))
        g = np.repeat(weight * (1 / (1 + np.exp(-s)) - target[:, None]), self.K, axis=1).astype(np.float32)
        du = np.zeros_like(zu)
        du[:n] = g * hq * slope_u
        return loss, g * hu * slope_q, du


def _cosine(a, b):
    """Cosines of the rows of a and b, and their gradients."""
    na = np.maximum(np.sqrt(np.square(a).sum(axis=1, keepdims=True)), 1e-6)
    nb = np.maximum(np.sqrt(np.square(b).sum(axis=1, keepdims=True)), 1e-6)
    cosine = (a * b).sum(axis=1, keepdims=True) / (na * nb)
    return cosine[:, 0], b / (na * nb) - cosine * a / (na * na), a / (na * nb) - cosine * b / (nb * nb)
