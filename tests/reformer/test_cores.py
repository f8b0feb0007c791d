"""The attention of a layer: what it is exchanged for, and rotations that learn while the model trains."""

import numpy as np
import pytest
from reformer_problem import LENGTH, N_TOKENS, batch, model

from mongoose_nb.reformer import CopyTask

TASK = CopyTask(N_TOKENS, LENGTH)


@pytest.mark.parametrize("kind", ["triplet", "contrast"])
def test_rotations_learn_while_the_model_trains(kind):
    m = model(attention=["lsh", kind], thresh=0.0, lr=0.01)
    rotations = m.cores[1].rotations
    before = rotations.value.copy()
    history = m.fit(TASK, epochs=2, batches=10, batch_size=4)
    assert rotations.version >= 2 and (rotations.value != before).any() and m.cores[0].rotations is None
    assert history[1]["trainings"] == rotations.version and 0 <= history[1]["changed_share"] <= 1
    assert all(name.split(".")[0] != "rotations" for name in m.parameters())  # no gradient of the model, no share of the clipped norm


def test_the_schedule_spares_trainings():
    """At a rate at which nothing turns, the rotations learn once."""
    m = model(attention="triplet", lr=1e-9)
    m.fit(TASK, epochs=1, batches=30, batch_size=2)
    assert [core.rotations.version for core in m.cores] == [1, 1]


@pytest.mark.slow
def test_learning_is_the_same_with_activations_computed_again():
    models = [model(attention="triplet", thresh=0.0, reversible=r, dropout=0.1) for r in (False, True)]
    for m in models:
        m.fit(TASK, batches=12, batch_size=4)
    (a, b) = ([core.rotations.value.tobytes() for core in m.cores] for m in models)
    assert a == b and models[0].cores[0].rotations.version == models[1].cores[0].rotations.version == 2


def test_evaluation_does_not_learn():
    m = model(attention="triplet", thresh=0.0)
    m.evaluate(TASK, batches=1)
    m.logits(batch()[0][:, :4])
    m.loss_and_gradients(*batch())
    assert m.cores[0].rotations.version == 0


def test_learned_rotations_are_exchanged_for_random_ones_or_for_fewer():
    m = model(attention="contrast", n_hashes=3)
    own = m.evaluate(TASK, batches=1)
    values = {n: m.evaluate(TASK, batches=1, n_hashes=n)["eval_loss"] for n in (1, 2, 3)}
    assert values[3] == own["eval_loss"] and len(set(values.values())) == 3
    assert m.evaluate(TASK, batches=1, attention="lsh", n_hashes=8)["eval_loss"] > 0
    with pytest.raises(ValueError, match="attention 'contrast' with 4 rounds needs as many learned rotations; the layer has 3"):
        m.evaluate(TASK, n_hashes=4)
    with pytest.raises(ValueError, match="the layer has none"):
        model().evaluate(TASK, attention="triplet")
    assert m.evaluate(TASK, batches=1) == own


def test_random_rotations_are_new_at_every_step():
    m = model(n_hashes=1)
    x = np.random.default_rng(0).standard_normal((2, 2, 16, 4)).astype(np.float32)
    attention = m.cores[0].attention(16)
    codes = [attention.buckets(x, step).tobytes() for step in (0, 0, 1)]
    assert codes[0] == codes[1] != codes[2]


@pytest.mark.parametrize("kind", ["scatterbrain", "performer"])
def test_random_features_train_and_save(kind, tmp_path):
    m = model(attention=kind, n_features=8, strict=True, lr=0.01)
    losses = m.fit(TASK, epochs=3, batches=10, batch_size=4)
    assert losses[2]["loss"] < losses[0]["loss"]
    m.save(tmp_path / "model.npz")
    tokens = batch()[0][:, :-1]
    np.testing.assert_array_equal(type(m).load(tmp_path / "model.npz").logits(tokens), m.logits(tokens))
