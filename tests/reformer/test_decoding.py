"""Generation with a cache: the bits of the whole window without one, however tokens are read, and near those of training."""

import threading
import time

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reformer_problem import LENGTH, N_TOKENS, batch, model, perturb

from mongoose_nb.attention import KVCache
from mongoose_nb.nn.layers.base import Run
from mongoose_nb.reformer import CopyTask, TextTask
from mongoose_nb.reformer.decoding import read_together
from mongoose_nb.reformer.generation import GENERATION_STEP, draw
from mongoose_nb.reformer.head import cross_entropy, logits_by_rows

SETTINGS = [{"attention": "full"}, {"attention": "lsh", "strict": True}, {"attention": ["triplet", "full"], "strict": True},
            {"attention": ["scatterbrain", "performer"], "strict": True, "n_features": 8}, {"attention": "performer", "n_features": 8},
            {"attention": "full", "positions": "axial", "embedding_width": 5, "ff_chunks": 2, "dtype": "float64"},
            {"attention": "full", "ff": ("dense", "monarch"), "projections": "pixelfly", "width": 16}]


def made(settings):
    m = model(**settings)
    perturb(m.parameters(), 0.3)
    return m


@pytest.mark.parametrize("arguments", SETTINGS, ids=str)
class TestCached:
    """For exact and for strictly causal attention."""

    def test_logits_are_near_those_of_training(self, arguments):
        m, tokens = made(arguments), batch()[0][0, :LENGTH]
        h = m._body.forward(tokens[None], Run(GENERATION_STEP, train=False))[0][0]
        want = h @ m.parameters()["head.weights"].value.T + m.parameters()["head.bias"].value
        np.testing.assert_allclose(m.decoder().read(tokens), want, atol=2e-5)

    def test_bits_do_not_depend_on_what_is_cached(self, arguments):
        """Continuing a cache, reading the prefix again for every token, or `logits` of the window: the same bits."""
        m, tokens = made(arguments), batch()[0][0, :LENGTH]
        whole = m.decoder().read(tokens)
        for n in (1, 6, 13):
            assert m.decoder().read(tokens[:n]).tobytes() == whole[:n].tobytes()
            assert m.logits(tokens[None, :n])[0].tobytes() == whole[n - 1].tobytes()
            d = m.decoder()
            d.read(tokens[:n])
            assert d.read(tokens[n:]).tobytes() == whole[n:].tobytes()

    def test_tokens_are_those_without_a_cache(self, arguments):
        m, prompt = made(arguments), batch()[0][:, :5]
        for more in ({}, {"temperature": 0}, {"top_p": 0.7, "top_k": 4}):
            np.testing.assert_array_equal(m.generate(prompt, 8, cache=True, **more), m.generate(prompt, 8, **more))

    def test_evaluation_is_the_likelihood_of_generation(self, arguments):
        m, task = made(arguments), CopyTask(N_TOKENS, LENGTH)
        got = m.evaluate(task, batches=2, batch_size=2, as_generated=True)
        losses = []
        for index in range(2):
            tokens, weight = task.batch(index, 2, train=False)
            for row in tokens:
                losses.append(cross_entropy(m.decoder().read(row[:-1])[weight], row[1:][weight])[0])
        assert got["eval_loss"] == pytest.approx(np.mean(losses, dtype=np.float64), rel=1e-14)
        assert got["eval_loss"] == pytest.approx(m.evaluate(task, batches=2, batch_size=2)["eval_loss"], rel=0.3)  # other hashes


MODELS = [made(arguments) for arguments in SETTINGS[:2]]


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_bits_do_not_depend_on_batches_parts_or_threads(data):
    """Several sequences read together in parts, each of any length, on one thread or two: the bits of each read alone."""
    m = data.draw(st.sampled_from(MODELS))
    lengths = data.draw(st.lists(st.integers(1, LENGTH), min_size=1, max_size=5))
    rng = np.random.default_rng(data.draw(st.integers(0, 9)))
    sequences = [rng.integers(N_TOKENS, size=n).astype(np.int32) for n in lengths]
    cuts = [sorted(data.draw(st.lists(st.integers(0, n), min_size=2, max_size=2))) for n in lengths]
    want = [m.decoder().read(tokens) for tokens in sequences]
    decoders, threads = [m.decoder() for _ in sequences], numba.get_num_threads()
    try:
        numba.set_num_threads(data.draw(st.integers(1, threads)))
        parts = [read_together(decoders, [tokens[lo:hi] for tokens, (lo, hi) in zip(sequences, bounds)])
                 for bounds in zip(*[[(0, a), (a, b), (b, n)] for (a, b), n in zip(cuts, lengths)])]
        one = [m.logits(tokens[None])[0] for tokens in sequences]
    finally:
        numba.set_num_threads(threads)
    head = m.parameters()
    for i, rows in enumerate(zip(*parts)):
        got = logits_by_rows(np.concatenate(rows), head["head.weights"].value, head["head.bias"].value)
        assert got.tobytes() == want[i].tobytes() and one[i].tobytes() == want[i][-1].tobytes()


def test_windows_wider_than_a_part_and_a_batch_of_them(monkeypatch):
    """Parts of the rows, at which windows are cut, change no bit."""
    m, tokens = MODELS[1], batch(size=3)[0][:, :LENGTH]
    whole = m.logits(tokens)
    monkeypatch.setattr("mongoose_nb.reformer.decoding.ROWS", 8)
    assert m.logits(tokens).tobytes() == whole.tobytes() == m.logits(tokens[:1]).tobytes() + m.logits(tokens[1:]).tobytes()


def test_training_and_generation_choose_the_same_buckets_but_for_rounding():
    """What differs between `evaluate` and generation are bits, not functions: with the hashes of generation the losses are near."""
    m, text = MODELS[1], np.random.default_rng(3).integers(N_TOKENS, size=200)
    tokens = TextTask(text, N_TOKENS, LENGTH).batch(0, 4, train=False)[0][:, :-1]
    h = m._body.forward(tokens, Run(GENERATION_STEP, train=False))[0]
    got = np.stack(read_together([m.decoder() for _ in tokens], tokens))
    assert np.abs(got - h).max() < 2e-5


def test_prompts_of_different_lengths():
    m, prompt = made({"attention": "full"}), batch()[0][:, :6]
    mask = np.ones(prompt.shape, bool)
    mask[0, :2] = mask[1, 4:] = False
    for cache in (None, True):
        out = m.generate(prompt, 5, temperature=0, mask=mask, cache=cache)
        for b in range(len(prompt)):
            np.testing.assert_array_equal(out[b], m.generate(prompt[b][mask[b]], 5, temperature=0))


def test_end_token_and_callback():
    m, prompt = made({"attention": "full"}), batch()[0][:, :4]
    free = m.generate(prompt, 12, seed=1)
    end, seen = int(free[0, 3]), []
    out = m.generate(prompt, 12, seed=1, end=end, cache=True, callback=seen.append)
    for b in range(len(prompt)):
        stop = int(np.argmax(free[b] == end)) if (free[b] == end).any() else 12
        np.testing.assert_array_equal(out[b, :stop], free[b, :stop])
        assert (out[b, stop:] == end).all()
    np.testing.assert_array_equal(np.stack(seen, axis=1), out[:, :len(seen)])


def test_budgets_for_layers():
    m, prompt = made({"attention": "full"}), batch()[0][:, :10]
    out = m.generate(prompt, 8, cache=[KVCache("scissorhands", budget=6), KVCache("window", budget=9, bits=8)])
    assert out.shape == (3, 8) and (out < N_TOKENS).all()
    plenty = m.generate(prompt, 8, cache=KVCache("heavy_hitters", budget=LENGTH))
    np.testing.assert_array_equal(plenty, m.generate(prompt, 8, cache=True))


def test_top_p_draws_from_the_fewest_best_tokens():
    z = np.log(np.array([[0.1, 0.5, 0.15, 0.25]]))
    rng = np.random.default_rng(0)
    for top_p, allowed in ((0.4, {1}), (0.5, {1}), (0.7, {1, 3}), (0.8, {1, 2, 3}), (1.0, {0, 1, 2, 3})):
        assert {int(draw(z, 1.0, 4, rng, top_p)[0]) for _ in range(200)} == allowed


@pytest.mark.parametrize("temperature", [1e-3, 1e-300, 5e-324])
def test_a_temperature_near_0_takes_the_best_token(temperature):
    z = np.array([[0.1, 2.0, 3.0, -1.0], [0.5, 0.4, -2.0, 0.3], [-7.0, -6.0, -9.0, -8.0]])
    for seed in range(20):
        assert draw(z, temperature, 4, np.random.default_rng(seed), 0.9).tolist() == [2, 0, 1]
        assert draw(z, temperature, 2, np.random.default_rng(seed)).tolist() == [2, 0, 1]


@pytest.mark.parametrize("of_model, arguments, words", [
    ({"attention": "lsh"}, {"cache": True}, "strict=True"), ({"attention": "scatterbrain"}, {"cache": True}, "layer 0"),
    ({"attention": "full"}, {"cache": True, "n": LENGTH}, "max_length"), ({"attention": "full"}, {"cache": [True]}, "n_layers"),
    ({"attention": "full"}, {"cache": "window"}, "budget"), ({}, {"top_p": 0.0}, "top_p"), ({}, {"end": N_TOKENS}, "end"),
    ({}, {"mask": np.zeros((3, 5), bool)}, "mask"), ({}, {"prompt": [[1, 2], [3]]}, "different lengths.*mask"),
    ({}, {"prompt": []}, "one at least"), ({}, {"prompt": "abc"}, "prompt must be tokens.*<U3"),
    ({"attention": "full"}, {"prompt": np.zeros(LENGTH + 5, int), "cache": True}, "Shorten the prompt")], ids=str)
def test_errors_name_what_to_do(of_model, arguments, words):
    with pytest.raises(ValueError, match=words):
        model(**of_model).generate(**{"prompt": batch()[0][:, :5], "n": 3, **arguments})


def test_evaluation_as_generated_needs_causal_layers():
    m = model(attention=["full", "lsh"])
    with pytest.raises(ValueError, match="as_generated needs attention.*layer 1 has 'lsh'.*strict=True"):
        m.evaluate(CopyTask(N_TOKENS, LENGTH), batches=1, as_generated=True)
    assert np.isfinite(m.evaluate(CopyTask(N_TOKENS, LENGTH), batches=1, batch_size=2, attention="full", as_generated=True)["bits"])
    with pytest.raises(ValueError, match="layer 0 has 'lsh'"):
        m.evaluate(CopyTask(N_TOKENS, LENGTH), batches=1, attention="lsh", as_generated=True)


@pytest.mark.parametrize("tokens, words", [([[1, 2]], "one sequence"), ([0.5], "integers"), ([N_TOKENS], "from 0"),
                                           (np.zeros(LENGTH + 1, int), "max_length")])
def test_a_decoder_refuses_what_is_no_sequence_and_stays_as_it_was(tokens, words):
    d = made({"attention": "full"}).decoder()
    d.read(np.array([1, 2]))
    with pytest.raises(ValueError, match=words):
        d.read(tokens)
    assert d.position == 2 and len(d.caches[0]) == 2 and d.read(np.empty(0, int)).shape == (0, N_TOKENS)


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("tokens", [[1, 2], [], [[]], [[0.5]], np.zeros((1, LENGTH + 1), int), [[N_TOKENS]]])
def test_logits_refuse_what_is_no_batch_of_sequences(tokens, strict):
    with pytest.raises(ValueError, match="tokens must be"):
        model(strict=strict).logits(tokens)


def test_what_is_no_callback_is_refused_before_anything_is_computed():
    with pytest.raises(TypeError, match="callback must be a function.*got 5"):
        model().generate([1, 2], 0, callback=5)


def test_batches_of_nothing_are_not_evaluated():
    with pytest.raises(ValueError, match="batch_size must be an integer from 1"):
        model().evaluate(CopyTask(N_TOKENS, LENGTH), batch_size=0)


def test_a_prompt_longer_than_the_window_and_an_end_that_never_comes():
    m, prompt = MODELS[0], np.arange(LENGTH + 9) % N_TOKENS
    out = m.generate(prompt, 3, temperature=0)
    np.testing.assert_array_equal(out, m.generate(prompt[9:], 3, temperature=0))
    end = next(token for token in range(N_TOKENS) if token not in out)
    np.testing.assert_array_equal(m.generate(prompt, 3, temperature=0, end=end), out)


def test_a_budget_smaller_than_what_is_recent_keeps_the_last_tokens():
    m, prompt = MODELS[0], np.arange(6) % N_TOKENS
    cache = KVCache({"name": "scissorhands", "recent": 50}, budget=4)
    np.testing.assert_array_equal(m.generate(prompt, 9, cache=cache), m.generate(prompt, 9, cache=KVCache("window", budget=4)))


def test_a_decoder_that_failed_half_way_is_not_read_again():
    """The first layer has the token in its cache, the second has not."""
    m = made({"attention": "full"})
    d, bias = m.decoder(), m.parameters()["block1.attention.heads.out.bias"].value
    d.read(np.array([1, 2]))
    kept, bias[0] = bias[0].copy(), np.nan
    with pytest.raises(FloatingPointError, match="not finite"):
        d.read(np.array([3]))
    bias[0] = kept
    with pytest.raises(ValueError, match="failed half-way.*model.decoder"):
        d.read(np.array([3]))
    assert np.isfinite(m.decoder().read(np.array([1, 2, 3]))).all()


def test_threads_take_turns_with_a_decoder():
    decoder, alone = MODELS[0].decoder(), MODELS[0].decoder()
    reader, inside, out = decoder.readers[0], [], []
    read = reader.read

    def watched(q, v):
        inside.append(1)
        assert len(inside) == 1
        time.sleep(0.005)
        inside.pop()
        return read(q, v)

    reader.read = watched
    threads = [threading.Thread(target=lambda: out.extend(decoder.read(np.array([1, 2])).tobytes() for _ in range(3))) for _ in range(2)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert sorted(out) == sorted(alone.read(np.array([1, 2])).tobytes() for _ in range(6))
