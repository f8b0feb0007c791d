"""Losses of learned hash functions: gradients against finite differences, values against plain loops."""

import types

import numpy as np
import pytest

from mongoose_nb.core.registry import registered
from mongoose_nb.hashing.learned_losses import Examples

OPTIONS = types.SimpleNamespace(batch=6, rows=14, sharpness=7.0, margin=0.8, negative_weight=0.3)
K, F, N = 3, 12, 40


def examples(rng):
    positives = np.sort(rng.permuted(np.tile(np.arange(N, dtype=np.int32), (5, 1)), axis=1)[:, :4], axis=1)
    positives[2, 1:] = -1
    pairs = [(rng.integers(0, 5, 20), rng.integers(0, N, 20)) for _ in range(2)]
    return Examples(positives, *pairs)


LOSSES = registered("hash loss", "mongoose_nb.")


def step(name, seed=0):
    rng = np.random.default_rng(seed)
    loss = LOSSES[name](OPTIONS, K)
    found = examples(rng)
    queries, rows, target = loss.draw(rng, found, N)
    Zq, Zu = rng.standard_normal((5, F)), rng.standard_normal((N, F))
    return loss, found, queries, rows, target, Zq[queries], Zu[rows]


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("seed", range(3))
def test_gradient(name, seed):
    loss, _, _, _, target, zq, zu = step(name, seed)
    _, dq, du = loss.gradient(zq, zu, target)
    assert dq.shape == zq.shape and du.shape == zu.shape
    for z, grad in ((zq, dq), (zu, du)):
        expected = np.zeros(z.shape)
        for at in np.ndindex(z.shape):
            kept, eps = z[at], 1e-5
            z[at] = kept + eps
            high = loss.gradient(zq, zu, target)[0]
            z[at] = kept - eps
            low = loss.gradient(zq, zu, target)[0]
            z[at] = kept
            expected[at] = (high - low) / (2 * eps)
        np.testing.assert_allclose(grad, expected, rtol=2e-4, atol=2e-6)


def test_contrast_draws_positives_and_targets_them():
    loss, found, queries, rows, target, zq, zu = step("contrast")
    assert len(set(rows.tolist())) == len(rows) <= OPTIONS.rows
    total, n = 0.0, 0
    for i, query in enumerate(queries):
        own = np.isin(rows, found.positives[query])
        np.testing.assert_allclose(target[i], own / max(1, own.sum()), rtol=1e-6)
        logits = np.array([OPTIONS.sharpness * np.mean(np.tanh(zq[i]) * np.tanh(z)) for z in zu])
        if own.any():
            total += np.log(np.exp(logits).sum()) - logits[own].mean()
            n += 1
    assert loss.gradient(zq, zu, target)[0] == pytest.approx(total / n, rel=1e-5)


def test_triplet_value():
    loss, found, queries, rows, _, zq, zu = step("triplet")
    n = len(queries)
    returned = set(zip(*(a.tolist() for a in found.returned), strict=True))
    missed = set(zip(*(a.tolist() for a in found.missed), strict=True))
    cos = [[float(a @ b / np.linalg.norm(a) / np.linalg.norm(b)) for b in (zu[i], zu[n + i])] for i, a in enumerate(zq)]
    want = np.mean([max(0, OPTIONS.margin - p + OPTIONS.negative_weight * q) for p, q in cos])
    assert loss.gradient(zq, zu, None)[0] == pytest.approx(want)
    for i, query in enumerate(queries):
        assert (query, rows[i]) in missed
        own = {r for q, r in returned if q == query}
        assert rows[n + i] in (own or {r for _, r in returned})


def test_logistic_value():
    loss, found, queries, rows, target, zq, zu = step("logistic")
    assert target.sum() == len(target) / 2
    pairs = [set(zip(*(a.tolist() for a in kind), strict=True)) for kind in (found.returned, found.missed)]
    total = 0.0
    for i, query in enumerate(queries):
        assert (query, rows[i]) in pairs[int(target[i])]
        for t in range(F // K):
            s = sum(np.tanh(zq[i, t * K + k]) * np.tanh(zu[i, t * K + k]) for k in range(K))
            p = 1 / (1 + np.exp(-s))
            total -= np.log(p) if target[i] else OPTIONS.negative_weight * np.log(1 - p)
    assert loss.gradient(zq, zu, target)[0] == pytest.approx(total / len(queries) / (F // K), rel=1e-5)


def test_nothing_to_learn_from():
    none = (np.zeros(0, int),) * 2
    for name, cls in LOSSES.items():
        assert not cls(OPTIONS, K).ready(Examples(np.full((3, 2), -1, np.int32), none, none))
        assert cls(OPTIONS, K).ready(examples(np.random.default_rng(0))), name
