"""The whole model: gradients, training, scores, generation, and what it refuses."""

import numba
import numpy as np
import pytest
from reformer_problem import LENGTH, N_TOKENS, assert_slope, batch, model, perturb

from mongoose_nb.nn import LSH, Adam, Callback, Linear, Tables
from mongoose_nb.nn.layers.base import Run
from mongoose_nb.reformer import CopyTask, ReformerLM, TextTask
from mongoose_nb.reformer.generation import GENERATION_STEP

SETTINGS = {
    "full": {"attention": "full"},
    "lsh": {"attention": "lsh", "dropout": 0.2},
    "everything": {"attention": ["lsh", "full"], "embedding_width": 5, "ff_width": 11, "ff_chunks": 3, "activation": "gelu",
                   "positions": "axial", "reversible": False},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_gradients(name):
    m = model(dtype="float64", **SETTINGS[name])
    perturb(m.parameters())
    tokens, weight = batch()
    loss, grads = m.loss_and_gradients(tokens, weight)
    assert loss > 0 and grads.keys() == m.parameters().keys()
    for key, parameter in m.parameters().items():
        assert_slope(lambda: m.loss_and_gradients(tokens, weight)[0], parameter.value, grads[key], key, directions=1)


def test_only_what_counts_has_a_loss():
    m = model(dtype="float64")
    tokens, weight = batch()
    changed = tokens.copy()
    changed[:, 1:3] = 1 + changed[:, 1:3] % (N_TOKENS - 1)
    weight[:] = False
    weight[0] = True  # the first token predicts the second, and sees no other
    changed[:, 1] = tokens[:, 1]
    assert m.loss_and_gradients(tokens, weight)[0] == pytest.approx(m.loss_and_gradients(changed, weight)[0], rel=1e-12)


@pytest.mark.parametrize("attention", ["full", "lsh"])
def test_no_token_sees_the_future(attention):
    """Changing a token changes no prediction before it, hashing or not: buckets are those of single tokens."""
    m = model(attention=attention)
    tokens, _ = batch()
    for t in (3, 10, LENGTH - 2):
        changed = tokens[:, :t + 1].copy()
        changed[:, t] = (changed[:, t] + 1) % N_TOKENS
        first, second = (np.stack([m.logits(x[:, :n]) for n in range(1, t + 1)]) for x in (tokens, changed))
        assert first.tobytes() == second.tobytes()


class TestFit:
    @pytest.mark.slow
    def test_learns_the_copy_task(self):
        """Six tokens at chance are right in 17 of 100 cases."""
        m = ReformerLM(N_TOKENS, max_length=16, width=32, n_heads=2, attention="lsh", bucket_size=4, n_hashes=2, clip_norm=1.0, lr=5e-3)
        task = CopyTask(N_TOKENS, 16)
        history = m.fit(task, epochs=2, batches=150, batch_size=32, validation=task, eval_batches=5)
        assert history[1]["loss"] < history[0]["loss"]
        assert history[1]["accuracy"] > 0.5
        assert {"epoch", "step", "loss", "seconds", "samples_per_s", "tokens_per_s", "time_split", "accuracy", "bits"} <= set(history[1])
        assert m.step == 300 and m.epoch == 2

    def test_same_bits_for_any_number_of_threads_and_any_memory(self):
        threads, results = numba.get_num_threads(), []
        for t, reversible in {(1, True), (threads, True), (threads, False)}:
            numba.set_num_threads(t)
            m = model(max_length=64, width=32, n_heads=4, bucket_size=16, dropout=0.1, reversible=reversible)
            m.fit(CopyTask(N_TOKENS, 64), batches=3, batch_size=16)
            results.append(b"".join(p.value.tobytes() for p in m.parameters().values()))
        numba.set_num_threads(threads)
        assert len(set(results)) == 1

    def test_a_callback_ends_training(self):
        class Stop(Callback):
            def on_batch_end(self, network, logs):
                return logs["batch"] == 2

        m = model()
        history = m.fit(CopyTask(N_TOKENS, LENGTH), epochs=5, batches=10, callbacks=[Stop()])
        assert len(history) == 1 and m.step == 3

    def test_early_stopping_restores_the_best_weights(self):
        m = model(lr=0.3)
        task = CopyTask(N_TOKENS, LENGTH)
        seen = []
        m.fit(task, epochs=6, batches=3, batch_size=4, validation=task, early_stopping=1,
              callbacks=[lambda n, logs: seen.append((logs["accuracy"], n.parameters()["head.weights"].value.copy()))])
        best = max(range(len(seen)), key=lambda i: seen[i][0])
        np.testing.assert_array_equal(m.parameters()["head.weights"].value, seen[best][1])

    @pytest.mark.slow
    def test_a_wide_head_computes_few_tokens(self):
        m = ReformerLM(500, max_length=16, width=16, n_heads=2, bucket_size=8, sampler=LSH(60, tables=Tables(K=3, L=6)), clip_norm=1.0)
        text = np.arange(2000) % 40
        history = m.fit(TextTask(text, 500, 16), epochs=3, batches=40, batch_size=8, validation=text)
        assert history[0]["active_share"] < 0.3
        assert history[2]["accuracy"] > 0.25  # one of 40 by chance
        assert history[2]["loss"] < history[0]["loss"]

    def test_a_loss_that_is_not_finite_leaves_the_weights(self):
        m = model()
        m.parameters()["embedding.tokens.weights"].value[2, 1] = np.nan
        before = {name: p.value.tobytes() for name, p in m.parameters().items()}
        with pytest.raises(FloatingPointError, match="step 0 failed: .*residual stream.*; the weights are as before"):
            m.fit(CopyTask(N_TOKENS, LENGTH), batches=1)
        assert {name: p.value.tobytes() for name, p in m.parameters().items()} == before and m.step == 0

    def test_schedules_and_optimisers_are_those_of_networks(self):
        m = model(optimizer=Adam(1e-3, weight_decay=0.1), lr_schedule=Linear(warmup=5), clip_norm=None)
        assert m.fit(CopyTask(N_TOKENS, LENGTH), batches=5)[0]["loss"] > 0


class TestEvaluate:
    def test_scores(self):
        m = model(attention="full")
        task = CopyTask(N_TOKENS, LENGTH)
        got = m.evaluate(task, batches=2, batch_size=3)
        losses, right = [], []
        for index in range(2):
            tokens, weight = task.batch(index, 3, train=False)
            for t in np.flatnonzero(weight):
                z = m.logits(tokens[:, :t + 1]).astype(float)
                losses += list(np.log(np.exp(z).sum(axis=1)) - z[np.arange(3), tokens[:, t + 1]])
                right += list(z.argmax(axis=1) == tokens[:, t + 1])
        assert got["eval_loss"] == pytest.approx(np.mean(losses), rel=1e-5)
        assert got["bits"] == pytest.approx(np.mean(losses) / np.log(2), rel=1e-5)
        assert got["perplexity"] == pytest.approx(np.exp(np.mean(losses)), rel=1e-5)
        assert got["accuracy"] == np.mean(right)
        assert m.evaluate(task, batches=2, batch_size=3) == got

    def test_other_attention_for_a_while(self):
        m, full = model(attention="lsh", n_hashes=1), model(attention="full")
        task = CopyTask(N_TOKENS, LENGTH)
        own = m.evaluate(task, batches=1)
        assert m.evaluate(task, batches=1, attention="full") == full.evaluate(task, batches=1)
        assert m.evaluate(task, batches=1, n_hashes=4) != own
        with pytest.raises(ValueError, match="attention 'some' is unknown; give one of"):
            m.evaluate(task, attention="some")
        assert m.evaluate(task, batches=1) == own

    def test_short_sequences_exactly(self):
        task = CopyTask(N_TOKENS, LENGTH)
        short, full = model(full_attention_up_to=LENGTH), model(attention="full")
        assert short.evaluate(task, batches=1) == full.evaluate(task, batches=1) != model().evaluate(task, batches=1)


class TestStrict:
    """A prefix alone has the logits that it has in a longer text."""

    @pytest.mark.parametrize("attention", ["lsh", "triplet", "full", "scatterbrain", "performer"])
    @pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-4), ("float32", 1e-3)])
    def test_prefixes(self, attention, dtype, tolerance):
        m = model(attention=attention, strict=True, dtype=dtype)
        perturb(m.parameters(), 0.3)
        tokens = batch()[0]
        later = tokens.copy()
        later[:, 12:] = (later[:, 12:] + 1) % N_TOKENS
        run = Run(7, train=False)
        whole = m._body.forward(tokens, run)[0]
        for n in (1, 5, 12, LENGTH):
            np.testing.assert_allclose(m._body.forward(tokens[:, :n], run)[0], whole[:, :n], atol=tolerance)
        np.testing.assert_allclose(m._body.forward(later, run)[0][:, :12], whole[:, :12], atol=tolerance)
        if attention == "lsh":
            loose = model(attention=attention, dtype=dtype)
            perturb(loose.parameters(), 0.3)
            assert np.abs(loose._body.forward(tokens[:, :12], run)[0] - loose._body.forward(tokens, run)[0][:, :12]).max() > 100 * tolerance

    def test_scores_are_those_of_one_token_after_the_other(self):
        """The loss of `evaluate` is the mean negative log-probability under `logits` of all prefixes: a likelihood."""
        m = model(strict=True)
        perturb(m.parameters(), 0.3)
        tokens = batch()[0][:, :12]
        whole = m._body.forward(tokens, Run(GENERATION_STEP, train=False))[0]
        rows = np.stack([m.logits(tokens[:, :n]) for n in range(1, 13)], axis=1)
        np.testing.assert_allclose(rows, whole @ m.parameters()["head.weights"].value.T + m.parameters()["head.bias"].value, atol=1e-3)

    def test_it_trains_and_is_saved(self, tmp_path):
        m = model(strict=True)
        m.fit(CopyTask(N_TOKENS, LENGTH), batches=3, batch_size=4)
        m.save(tmp_path / "model")
        again = ReformerLM.load(tmp_path / "model")
        assert again.strict and not model().strict
        prompt = batch()[0][:, :5]
        np.testing.assert_array_equal(again.generate(prompt, 5), m.generate(prompt, 5))
        with pytest.raises(ValueError, match="full_attention_up_to=0"):
            model(strict=True, full_attention_up_to=8)


class TestGenerate:
    def test_the_best_token(self):
        m = model()
        prompt = batch()[0][:, :5]
        out = m.generate(prompt, 4, temperature=0)
        assert out.shape == (3, 4) and out.dtype == np.int32
        tokens = prompt
        for t in range(4):
            best = m.logits(tokens).argmax(axis=1)
            np.testing.assert_array_equal(out[:, t], best)
            tokens = np.concatenate([tokens, best[:, None]], axis=1)
        np.testing.assert_array_equal(m.generate(prompt[0], 4, temperature=0), out[0])
        assert m.generate(prompt[0], 0).shape == (0,)
        assert m.generate(prompt, LENGTH + 5, temperature=0).shape == (3, LENGTH + 5)  # longer than max_length

    @pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int16, np.uint16, np.int32, np.int64, np.uint64])
    def test_the_dtype_of_the_prompt_does_not_matter(self, dtype):
        """A vocabulary larger than the dtype: new tokens are neither cut off nor fed back wrongly."""
        m = ReformerLM(70_000, max_length=LENGTH, width=8, n_heads=2, bucket_size=4, n_hashes=2, seed=3)
        prompt = batch()[0][:, :5]
        want = m.generate(prompt, 6, seed=1)
        assert want.max() > 65_536 and (want > 255).sum() > 10
        np.testing.assert_array_equal(m.generate(prompt.astype(dtype), 6, seed=1), want)
        np.testing.assert_array_equal(m.generate(prompt[0].astype(dtype), 6, temperature=0), m.generate(prompt[0], 6, temperature=0))
        np.testing.assert_array_equal(m.logits(prompt.astype(dtype)), m.logits(prompt))
        ours, same = (TextTask(text, N_TOKENS, 4).batch(0, 2)[0] for text in (prompt.ravel().astype(dtype), prompt.ravel()))
        np.testing.assert_array_equal(ours, same)

    @pytest.mark.parametrize("prompt", [[0.0, 1.0], [[True]], [0, N_TOKENS], [-1], [2**32], np.array([2**64 - 1], np.uint64)])
    def test_prompts_that_are_no_tokens(self, prompt):
        for n in (0, 1):
            with pytest.raises(ValueError, match="prompt must be"):
                model().generate(prompt, n)

    def test_draws_follow_the_softmax(self):
        """Counts of 3,000 draws of one token within 4.5 standard deviations of what the softmax says: 99.9 % for all of them."""
        m = model()
        perturb(m.parameters(), 1.0)
        z = m.logits([[0]])[0].astype(float) / 2.0
        p = np.exp(z) / np.exp(z).sum()
        counts = np.bincount(m.generate(np.zeros((3000, 1), int), 1, temperature=2.0)[:, 0], minlength=N_TOKENS)
        assert (np.abs(counts - 3000 * p) <= 4.5 * np.sqrt(3000 * p * (1 - p))).all()
        top = set(np.argsort(-p)[:2])
        assert set(m.generate(np.zeros((200, 1), int), 1, top_k=2)[:, 0]) == top


@pytest.mark.parametrize("settings, message", [
    ({"n_heads": 3}, "n_heads must divide width=8; got 3"),
    ({"attention": "some"}, "attention 'some' is unknown; give one of"),
    ({"attention": ["lsh"]}, "attention must be one value, or one for each of n_layers=2 layers"),
    ({"n_hashes": [1, 2, 3]}, "n_hashes must be one value, or one for each of n_layers=2 layers"),
    ({"bucket_size": 0}, "bucket_size must be an integer from 1"),
    ({"positions": "rotary"}, "positions='rotary' is unknown; give 'sinusoidal', 'axial' or"),
    ({"positions": (2, 3)}, r"positions=\(2, 3\) gives 6 places; max_length=20 needs as many"),
    ({"dropout": 1.0}, "dropout must be a finite number of at least 0 and below 1"),
    ({"dtype": "float16"}, "dtype must be one of 'float32', 'float64'"),
    ({"dtype": "float64", "sampler": "lsh"}, "a sampler computes in float32"),
    ({"optimizer": "lion"}, "optimizer 'lion' is unknown"),
])
def test_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        model(**settings)


def test_refused_data():
    m = model()
    with pytest.raises(ValueError, match=r"tokens must be integers \(batch, 2 to max_length \+ 1 = 21\); got int64 of shape \(1, 30\)"):
        m.loss_and_gradients(np.zeros((1, 30), int))
    with pytest.raises(ValueError, match="tokens must be from 0 to 6; got 0 to 7"):
        m.loss_and_gradients([[0, 7]])
    with pytest.raises(ValueError, match="no prediction of the batch counts"):
        m.loss_and_gradients([[0, 1]], [False])
    with pytest.raises(ValueError, match="the task has 16 tokens and sequences of 128; the model was made for 7 and 20"):
        m.fit(CopyTask(16, 128))
    with pytest.raises(ValueError, match="training computes in float32"):
        model(dtype="float64").fit(CopyTask(N_TOKENS, LENGTH))
    with pytest.raises(ValueError, match="early_stopping needs validation"):
        m.fit(CopyTask(N_TOKENS, LENGTH), early_stopping=1)
    with pytest.raises(ValueError, match="prompt must be tokens"):
        m.generate([], 1)
