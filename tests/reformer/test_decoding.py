"""Generation with a cache: the same bits however tokens are read, near the full forward pass, and tokens as without a cache."""

import numpy as np
import pytest
from reformer_problem import LENGTH, N_TOKENS, batch, model, perturb

from mongoose_nb.attention import KVCache
from mongoose_nb.reformer.evaluation import draw

SETTINGS = [{"attention": "full"}, {"attention": "lsh", "strict": True}, {"attention": ["triplet", "full"], "strict": True},
            {"attention": ["scatterbrain", "performer"], "strict": True, "n_features": 8}, {"attention": "performer", "n_features": 8},
            {"attention": "full", "positions": "axial", "embedding_width": 5, "ff_chunks": 2, "dtype": "float64"}]


def made(settings):
    m = model(**settings)
    perturb(m.parameters(), 0.3)
    return m


def decoder(m, cache=True):
    return m.decoder(cache)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
class TestCached:
    """For exact and for strictly causal attention."""

    def test_logits_are_those_of_the_full_pass(self, settings):
        m, tokens = made(settings), batch()[0][0, :LENGTH]
        read = decoder(m).read(tokens)
        for n in (1, 2, 7, LENGTH):
            np.testing.assert_allclose(read[n - 1], m.logits(tokens[None, :n])[0], atol=1e-3)

    def test_bits_do_not_depend_on_what_is_cached(self, settings):
        """Continuing a cache, or reading the whole prefix again for every token: the same bits."""
        m, tokens = made(settings), batch()[0][0, :LENGTH]
        whole = decoder(m).read(tokens)
        for n in (1, 6, 13):
            assert decoder(m).read(tokens[:n]).tobytes() == whole[:n].tobytes()
            d = decoder(m)
            d.read(tokens[:n])
            assert d.read(tokens[n:]).tobytes() == whole[n:].tobytes()

    def test_tokens_are_those_without_a_cache(self, settings):
        m, prompt = made(settings), batch()[0][:, :5]
        for more in ({}, {"temperature": 0}, {"top_p": 0.7, "top_k": 4}):
            np.testing.assert_array_equal(m.generate(prompt, 8, cache=True, **more), m.generate(prompt, 8, **more))


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


@pytest.mark.parametrize("settings, arguments, words", [
    ({"attention": "lsh"}, {"cache": True}, "strict=True"), ({"attention": "scatterbrain"}, {"cache": True}, "layer 0"),
    ({"attention": "full"}, {"cache": True, "n": LENGTH}, "max_length"), ({"attention": "full"}, {"cache": [True]}, "n_layers"),
    ({"attention": "full"}, {"cache": "window"}, "budget"), ({}, {"top_p": 0.0}, "top_p"), ({}, {"end": N_TOKENS}, "end"),
    ({}, {"mask": np.zeros((3, 5), bool)}, "mask")], ids=str)
def test_errors_name_what_to_do(settings, arguments, words):
    with pytest.raises(ValueError, match=words):
        model(**settings).generate(batch()[0][:, :5], arguments.pop("n", 3), **arguments)
