"""Learned rotations: what is mined, what is gained, and when they are trained."""

import numpy as np
import pytest

from mongoose_nb.attention import LearnedRotations, LSHAttention, attention_mass
from mongoose_nb.attention.rotations import count_buckets
from mongoose_nb.core.saving import restore, state_of
from mongoose_nb.rehash import FixedPeriod

T, D, SIZE = 256, 16, 16


def tokens(seed, B=2, H=2):
    """Queries in planted topics, most of whose length lies on few axes: random directions waste themselves on the others."""
    fixed = np.random.default_rng(7)
    axes = fixed.standard_normal((H, D, D)) * (np.arange(1, D + 1) ** -0.7)[None, None]
    topics = fixed.standard_normal((24, D))
    rng = np.random.default_rng(seed)
    x = topics[rng.integers(0, 24, (B, T))] + 0.3 * rng.standard_normal((B, T, D))
    q = np.einsum("btd,hde->bhte", x, axes)
    return (q * 12 / np.linalg.norm(q, axis=-1).mean()).astype(np.float32)


def layer_of(rotations, causal=True):
    return LSHAttention(rotations.n_hashes, SIZE, causal, rotations=rotations, exact_below=0)


def new(rounds=1, **options):
    return LearnedRotations(2, rounds, D, count_buckets(T, SIZE), **options)


@pytest.mark.slow
@pytest.mark.parametrize("rounds", [1, 2])
def test_learned_rotations_recover_more_than_random_ones(rounds):
    rotations = new(rounds)
    layer, fresh = layer_of(rotations), tokens(2)
    before = attention_mass(layer, fresh).union[:, -1]
    assert rotations.learn(layer, tokens(1)) and rotations.version == 1
    after = attention_mass(layer, fresh).union[:, -1]
    assert (after > before + 0.05).all()


@pytest.mark.slow
def test_the_trained_directions_are_reproducible():
    values = []
    for _ in range(2):
        rotations = new()
        rotations.learn(layer_of(rotations), tokens(1))
        values.append(rotations.value)
    np.testing.assert_array_equal(*values)


@pytest.mark.parametrize("causal", [False, True])
def test_mining_masks_first(causal):
    rotations = new(queries=64, sequences=1)
    layer, qk = layer_of(rotations, causal), tokens(3, B=1)
    mask = np.random.default_rng(4).random((1, T)) > 0.3
    (some,) = rotations.mine(layer, qk, mask=mask)
    reach, slots = layer.reach(qk, mask=mask)
    kept = np.flatnonzero(mask[0])
    unit = qk / np.linalg.norm(qk, axis=-1, keepdims=True)
    assert some.keys.shape[1] == len(kept) and some.queries.shape[1] == 64
    for h in range(2):
        np.testing.assert_allclose(some.keys[h], unit[0, h, kept], rtol=1e-5)
        for i in range(64):
            t = kept[np.square(unit[0, h, kept] - some.queries[h, i]).sum(axis=1).argmin()]
            allowed = (kept != t) & ((kept < t) | (not causal))
            scores = np.where(allowed, unit[0, h, kept] @ qk[0, h, t], -np.inf)
            at = slots[0, h, 0, kept] - reach[0, h, 0, t, 0]
            found = (at >= 0) & (at < reach[0, h, 0, t, 1]) & allowed
            best, missed = some.positives[h, i]
            for place, where, pick in ((best, found, np.max), (missed, allowed & ~found, np.max), (some.negatives[h, i], found, np.min)):
                assert (place == -1) == (not where.any())
                if place >= 0:
                    assert where[place] and scores[place] == pick(scores[where])
            exact = np.exp(scores / np.sqrt(D) - (scores / np.sqrt(D)).max())
            np.testing.assert_allclose(some.weights[h, i], exact / exact.sum(), rtol=1e-3, atol=1e-6)


def test_keys_are_sampled_where_there_are_many():
    rotations = new(keys=40, queries=32)
    some = rotations.mine(layer_of(rotations), tokens(5))[0]
    assert some.keys.shape == (2, 40, D) and some.weights.shape == (2, 32, 40)
    np.testing.assert_allclose(some.weights.sum(axis=2), 1, rtol=1e-4)
    assert some.positives.max() < 40 and rotations.learn(layer_of(rotations), tokens(5))


def test_nothing_to_learn_from():
    rotations = new()
    before = rotations.value
    assert not rotations.learn(layer_of(rotations), tokens(1), mask=np.zeros((2, T), bool))
    assert rotations.value is before and rotations.version == 0


def test_it_trains_when_the_projection_has_turned():
    rng = np.random.default_rng(6)
    weights = rng.standard_normal((2 * D, 24)).astype(np.float32)
    rotations = new(first_steps=2, steps=2)
    layer, qk = layer_of(rotations), tokens(1)
    fired = [rotations.after_step(step, weights, layer, qk) for step in range(40)]
    assert fired == [True] + 39 * [False]  # nothing turns
    turned = weights + 0.5 * rng.standard_normal(weights.shape).astype(np.float32)
    fired = [rotations.after_step(step, turned, layer, qk) for step in range(40, 80)]
    assert sum(fired) == 1 and rotations.version == 2
    assert rotations.report()["trainings"] == 2
    fixed = new(schedule=5, first_steps=1, steps=1)
    assert isinstance(fixed.schedule, FixedPeriod)
    assert [step for step in range(12) if fixed.after_step(step, weights, layer_of(fixed), qk)] == [0, 4, 9]


def test_saved_and_resumed_is_the_same():
    rng = np.random.default_rng(8)
    weights = rng.standard_normal((2 * D, 24)).astype(np.float32)
    one = new(first_steps=3, steps=3)
    one.after_step(0, weights, layer_of(one), tokens(1))
    two = new(first_steps=3, steps=3)
    two.bind(*weights.shape)
    restore(two, state_of(one))
    for step in range(1, 30):
        weights = weights + np.float32(0.2) * rng.standard_normal(weights.shape).astype(np.float32)
        assert one.after_step(step, weights, layer_of(one), tokens(1)) == two.after_step(step, weights, layer_of(two), tokens(1))
    assert one.version > 1
    np.testing.assert_array_equal(one.value, two.value)
    with pytest.raises(ValueError, match=r"call bind\(heads \* width, inputs\)"):
        restore(new(), state_of(one))
    with pytest.raises(ValueError, match="the saved rotations.value is float32"):
        restore(new(2), state_of(one), "rotations")


def test_before_any_training():
    one, two = new(), new()
    restore(two, state_of(one))
    np.testing.assert_array_equal(one.value, two.value)
    assert two.due(0, np.ones((2 * D, 24), np.float32))


def test_errors():
    with pytest.raises(ValueError, match="n_buckets must be even"):
        LearnedRotations(2, 1, D, 7)
    with pytest.raises(ValueError, match="loss must be one of 'contrast', 'triplet'"):
        new(loss="hinge")
