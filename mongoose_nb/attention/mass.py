"""What hashing costs: the share of the exact attention mass that falls on pairs the buckets let through."""

from __future__ import annotations

import copy
from typing import NamedTuple

import numpy as np

from mongoose_nb.attention._arrays import check_heads, check_mask
from mongoose_nb.attention.full import full_attention
from mongoose_nb.attention.lsh import LSHAttention


class Mass(NamedTuple):
    """Shares of the exact attention mass, means over queries.

    Parameters
    ----------
    rounds : (heads, n_hashes) float64 array
        By the pairs of one round alone.
    union : (heads, n_hashes) float64 array
        By the pairs of this round or of one before.
    """

    rounds: np.ndarray
    union: np.ndarray


def attention_mass(layer: LSHAttention, qk: np.ndarray, k: np.ndarray | None = None, mask: np.ndarray | None = None, step: int = 0,
                   buckets: np.ndarray | tuple | None = None) -> Mass:
    """Share of the exact attention mass that the buckets of `layer` recover, per head and round.

    A query's weights under exact attention sum to one; those of the keys that a round reaches sum to exp(z - z*), z and z* being the
    log-partitions over those keys and over all. A pair counts once, whatever the layer's variant, and its first chunks look back to
    nothing.

    Parameters
    ----------
    layer : LSHAttention
    qk, k, mask, step, buckets
        As in `LSHAttention.forward`.

    Returns
    -------
    Mass
        Means over the tokens that count; NaN where there are none.
    """
    valid, _ = check_mask(mask, check_heads("qk", qk).array.shape[0], np.shape(qk)[2])
    if buckets is None:
        buckets = layer.buckets(qk, step) if k is None else (layer.buckets(qk, step), layer.buckets(k, step))
    exact = full_attention(qk, qk, k, causal=layer.causal, mask=mask)[1].log_z
    counts = valid[:, None, :] & (exact > -np.inf)  # a query without any key has no mass to recover
    twin = copy.copy(layer)
    twin.kind, twin.exact_below = "lsh", 0
    twin.scheme = layer.scheme._replace(distinct=True, wrap=False)

    def share(first, last):
        twin.n_hashes = last - first
        some = [np.ascontiguousarray(c[:, :, first:last]) for c in ([buckets] if k is None else buckets)]
        z = twin.forward(qk, qk, k, mask, buckets=some[0] if k is None else tuple(some))[1].log_z
        recovered = np.exp(np.minimum(z - np.where(counts, exact, 0), 0))
        with np.errstate(invalid="ignore"):
            return (recovered * counts).sum(axis=(0, 2)) / counts.sum(axis=(0, 2))

    R = layer.n_hashes
    return Mass(np.stack([share(r, r + 1) for r in range(R)], axis=1), np.stack([share(0, r + 1) for r in range(R)], axis=1))
