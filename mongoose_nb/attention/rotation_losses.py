"""Losses of learned rotations on mined examples: value and gradient of the directions.

A. *Contrast* maximises what hashing is used for: per query, the logarithm of the attention mass that falls into a common bucket in any
   round, less the logarithm of how full its buckets are. Buckets are softened: a row belongs to bucket c with the softmax over
   [z, -z] at some sharpness, of which the deployed argmax is the limit. The second term is a balance guard: buckets that all
   tokens share recover everything and say nothing.
B. *Triplet* is the literature's: a hinge on the cosines of a query's projections with those of a positive and of a negative key
   (MONGOOSE, section 4.2), with the same softened buckets' mean square as a guard, since the hinge has none.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Examples(NamedTuple):
    """Queries and keys of one sequence, for all heads; rows have length one."""

    queries: np.ndarray  # (H, n, d)
    keys: np.ndarray  # (H, m, d)
    weights: np.ndarray  # (H, n, m), exact attention over these keys, rows sum to one
    positives: np.ndarray  # (H, n, 2) int, places of keys: the best one reached and the best one missed; -1: none
    negatives: np.ndarray  # (H, n) int, the worst key that was reached; -1: none


def soft_buckets(z: np.ndarray, sharpness: float) -> np.ndarray:
    """Memberships (..., 2C) of projections z (..., C)."""
    a = np.concatenate([z, -z], axis=-1) * np.float32(sharpness)
    a -= a.max(axis=-1, keepdims=True)
    np.exp(a, out=a)
    a /= a.sum(axis=-1, keepdims=True)
    return a


def _to_projections(p, dp, sharpness):
    """Gradient of the projections from that of the memberships."""
    da = p * (dp - (p * dp).sum(axis=-1, keepdims=True)) * np.float32(sharpness)
    C = da.shape[-1] // 2
    return da[..., :C] - da[..., C:]


def contrast(rotations: np.ndarray, examples: Examples, sharpness: float, balance: float,
             margin: float | None = None) -> tuple[float, np.ndarray]:
    """Loss and gradient like `rotations` (H, R, d, C); see A."""
    q, k = examples.queries[:, None], examples.keys[:, None]
    pq, pk = soft_buckets(q @ rotations, sharpness), soft_buckets(k @ rotations, sharpness)
    meet = pq @ pk.swapaxes(-1, -2)  # (H, R, n, m)
    apart = 1 - meet
    missed = apart.prod(axis=1)  # in no round
    mass = (examples.weights * (1 - missed)).sum(axis=-1) + np.float32(1e-4)  # (H, n)
    load = meet.mean(axis=-1) + np.float32(1e-6)  # (H, R, n)
    n = mass.size
    R = meet.shape[1]
    loss = float(-np.log(mass).mean() + balance * np.log(load).mean())
    slope = (-examples.weights / (mass[..., None] * np.float32(n)))[:, None]  # of 1 - missed
    others = np.ones_like(meet)
    for r in range(R):
        for p in range(R):
            if p != r:
                others[:, r] *= apart[:, p]
    dmeet = slope * others + np.float32(balance / (n * R * meet.shape[-1])) / load[..., None]
    dzq = _to_projections(pq, dmeet @ pk, sharpness)
    dzk = _to_projections(pk, dmeet.swapaxes(-1, -2) @ pq, sharpness)
    return loss, q.swapaxes(-1, -2) @ dzq + k.swapaxes(-1, -2) @ dzk


def triplet(rotations: np.ndarray, examples: Examples, sharpness: float, balance: float, margin: float = 1.0) -> tuple[float, np.ndarray]:
    """Loss and gradient like `rotations` (H, R, d, C); see B. All rounds' projections are one vector."""
    H, R, d, C = rotations.shape
    whole = rotations.transpose(0, 2, 1, 3).reshape(H, d, R * C)
    gradient = np.zeros_like(whole)
    loss, total = 0.0, 0
    for h in range(H):
        q, k = examples.queries[h], examples.keys[h]
        zq, zk = q @ whole[h], k @ whole[h]
        dq, dk = np.zeros_like(zq), np.zeros_like(zk)
        for side in range(examples.positives.shape[2]):
            who = np.flatnonzero((examples.positives[h, :, side] >= 0) & (examples.negatives[h] >= 0))
            who = who[examples.positives[h, who, side] != examples.negatives[h, who]]
            pos, neg = examples.positives[h, who, side], examples.negatives[h, who]
            cp, pa, pb = _cosine(zq[who], zk[pos])
            cn, na, nb = _cosine(zq[who], zk[neg])
            hinge = margin + cn - cp
            on = (hinge > 0).astype(zq.dtype)[:, None]
            loss += float(np.maximum(hinge, 0).sum())
            total += len(who)
            dq[who] += on * (na - pa)
            np.add.at(dk, neg, on * nb)
            np.add.at(dk, pos, -on * pb)
        gradient[h] = q.T @ dq + k.T @ dk
    gradient = gradient.reshape(H, d, R, C).transpose(0, 2, 1, 3) / np.float32(max(total, 1))
    p = soft_buckets(examples.keys[:, None] @ rotations, sharpness)  # (H, R, m, 2C)
    mean = p.mean(axis=2, keepdims=True)
    weight = np.float32(balance * 2 * C / (H * R))  # one for even buckets
    guard = float(weight * np.square(mean).sum())
    dp = np.broadcast_to(2 * weight / p.shape[2] * mean, p.shape)
    gradient = gradient + examples.keys[:, None].swapaxes(-1, -2) @ _to_projections(p, dp, sharpness)
    return loss / max(total, 1) + guard, gradient


def _cosine(a, b):
    """Cosines of rows, and their gradients to either side."""
    na = np.linalg.norm(a, axis=1, keepdims=True) + np.float32(1e-12)
    nb = np.linalg.norm(b, axis=1, keepdims=True) + np.float32(1e-12)
    cosine = (a * b).sum(axis=1, keepdims=True) / (na * nb)
    return cosine[:, 0], b / (na * nb) - cosine * a / (na * na), a / (na * nb) - cosine * b / (nb * nb)


LOSSES = {"contrast": contrast, "triplet": triplet}
