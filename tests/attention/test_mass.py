"""The share of attention mass that buckets recover, against counting pair by pair."""

import numpy as np
import pytest
from naive_attention import all_pairs, reached, weights_of

from mongoose_nb.attention import LSHAttention, attention_mass


@pytest.mark.parametrize("variant, causal", [("paper", True), ("paper", False), ("released", True)])
def test_against_counting(variant, causal):
    rng = np.random.default_rng(1)
    B, H, T, d, R = 2, 2, 60, 8, 3
    qk = 3 * rng.standard_normal((B, H, T, d))
    mask = rng.random((B, T)) > 0.2
    layer = LSHAttention(R, 8, causal, variant=variant)
    buckets = layer.buckets(qk)
    shares, union = np.zeros((H, R)), np.zeros((H, R))
    chunk = layer.scheme.chunk * 8
    for b in range(B):
        for h in range(H):
            weights = weights_of(qk[b, h], qk[b, h], all_pairs(mask[b], causal), True)[0]
            # without the first chunk's look at the round before: each round as if it were the only one, and its wrapped keys removed
            seen = np.zeros((T, T), bool)
            for r in range(R):
                one = reached(buckets[b, h, r:r + 1], mask[b], chunk, causal, variant)[0] > 0
                if variant == "released":
                    order = sorted(np.flatnonzero(mask[b]), key=lambda t: (buckets[b, h, r, t], t))
                    last = order[(len(order) - 1) // chunk * chunk:]
                    one[np.ix_(order[:chunk], last)] = False
                seen |= one
                shares[h, r] += (weights * one).sum() / mask.sum()
                union[h, r] += (weights * seen).sum() / mask.sum()
    mass = attention_mass(layer, qk, mask=mask)
    np.testing.assert_allclose(mass.rounds, shares, rtol=1e-9)
    np.testing.assert_allclose(mass.union, union, rtol=1e-9)
    assert (np.diff(mass.union, axis=1) >= 0).all() and (mass.union[:, 0] == mass.rounds[:, 0]).all()


def test_separate_keys_and_one_bucket():
    rng = np.random.default_rng(2)
    q, k = rng.standard_normal((2, 1, 2, 50, 8))
    np.testing.assert_allclose(attention_mass(LSHAttention(2, 64), q, k).rounds, 1)
    some = attention_mass(LSHAttention(2, 8, exact_below=0), q, k)
    assert (some.rounds < 0.9).all() and (some.rounds > 0).all()
