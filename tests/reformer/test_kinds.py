"""The contract of kinds of attention, for every registered one and one of the user's own."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from own_attention import Local
from reformer_problem import LENGTH, N_TOKENS, batch, model, perturb

from mongoose_nb.attention import KVCache
from mongoose_nb.core.registry import make, registered
from mongoose_nb.nn.layers.base import Run
from mongoose_nb.reformer import AttentionKind, CopyTask, ReformerLM
from mongoose_nb.reformer.generation import GENERATION_STEP

KINDS = [*registered("attention", "mongoose_nb."), "own_attention:Local", Local(5)]
TASK = CopyTask(N_TOKENS, LENGTH)


def made(kind, **settings):
    m = model(attention=[kind, kind], n_features=8, **settings)
    perturb(m.parameters(), 0.3)
    return m


def can_cache(kind, **settings):
    m = made(kind, **settings)
    return all(core.is_strict(LENGTH) for core in m.cores)


STRICT = [kind for kind in KINDS if can_cache(kind, strict=True)]
LOOSE = [kind for kind in KINDS if not can_cache(kind)]


def test_there_is_a_case_of_each():
    assert len(STRICT) == len(KINDS) and "lsh" in LOOSE and "performer" not in LOOSE


@pytest.mark.parametrize("kind", KINDS, ids=str)
class TestAll:
    """Whatever the kind."""

    def test_it_trains_and_is_saved(self, kind, tmp_path):
        m = model(attention=kind, n_features=8, lr=0.01, thresh=0.0)
        history = m.fit(TASK, epochs=2, batches=6, batch_size=4)
        assert np.isfinite(history[1]["loss"])
        m.save(tmp_path / "m.npz")
        again, tokens = ReformerLM.load(tmp_path / "m.npz"), batch()[0][:, :-1]
        assert again.logits(tokens).tobytes() == m.logits(tokens).tobytes()
        assert [str(a) for a in again.attention] == [str(a) for a in m.attention]
        again.fit(TASK, batches=2, batch_size=4)
        m.fit(TASK, batches=2, batch_size=4)
        assert again.logits(tokens).tobytes() == m.logits(tokens).tobytes()

    def test_no_value_of_a_later_token_is_seen(self, kind):
        m, tokens = made(kind), batch()[0]
        core = m.cores[0]
        qk, v = np.random.default_rng(0).standard_normal((2, 1, 2, LENGTH, 4)).astype(np.float32)
        changed = v.copy()
        changed[:, :, 11:] += 1
        a, b = (core.forward(qk, x)[0] for x in (v, changed))
        assert a[:, :, :11].tobytes() == b[:, :, :11].tobytes() and np.isfinite(m.logits(tokens[:, :-1])).all()

    def test_it_takes_the_place_of_another_or_says_why_not(self, kind):
        m = model(attention="lsh", n_features=8)
        own = m.evaluate(TASK, batches=1)
        try:
            assert m.evaluate(TASK, batches=1, attention=kind)["eval_loss"] > 0
        except ValueError as error:
            assert "give attention=" in str(error)
        assert m.evaluate(TASK, batches=1) == own

    def test_one_class_one_description(self, kind):
        m = make("attention", kind)
        assert isinstance(m, AttentionKind) and repr(m) == repr(make("attention", kind))


@pytest.mark.parametrize("kind", STRICT, ids=str)
class TestCached:
    """Kinds that say that they depend on nothing later."""

    @pytest.mark.parametrize("dtype, tolerance", [("float32", 1e-3), ("float64", 1e-5)])
    def test_cached_is_uncached(self, kind, dtype, tolerance):
        """The residual streams are in steps of 2^-20, which bounds what float64 can agree in."""
        m, tokens = made(kind, strict=True, dtype=dtype), batch()[0][0, :LENGTH]
        whole, run = m.decoder().read(tokens), Run(GENERATION_STEP, train=False)
        weights, bias = (m.parameters()[f"head.{name}"].value for name in ("weights", "bias"))
        for n in (1, 2, 9, LENGTH):
            products = m._body.forward(tokens[None, :n], run)[0][0] @ weights.T + bias  # as training computes
            np.testing.assert_allclose(whole[n - 1], products[-1], atol=tolerance)
            assert whole[n - 1].tobytes() == m.logits(tokens[None, :n])[0].tobytes()
        d = m.decoder()
        assert d.read(tokens[:7]).tobytes() + d.read(tokens[7:]).tobytes() == whole.tobytes()

    def test_one_layer_agrees_to_rounding(self, kind):
        core = made(kind, strict=True).cores[0]
        qk, v = np.random.default_rng(1).standard_normal((2, 1, 2, LENGTH, 4))
        qk[0, 0, 3] = 0.0
        want = core.forward(qk, v, step=5)[0][0]
        reader = core.attention(LENGTH).reader(KVCache(), 5)
        q, v = (np.ascontiguousarray(x[0].transpose(1, 0, 2)) for x in (qk, v))
        got = np.concatenate([reader.read(q[lo:hi], v[lo:hi]) for lo, hi in ((0, 1), (1, 6), (6, 6), (6, LENGTH))])
        np.testing.assert_allclose(got.transpose(1, 0, 2), want, rtol=1e-9, atol=1e-9)

    def test_later_tokens_change_nothing(self, kind):
        m, tokens = made(kind, strict=True), batch()[0][0, :LENGTH]
        changed = tokens.copy()
        changed[12:] = (changed[12:] + 1) % N_TOKENS
        assert m.decoder().read(tokens)[:12].tobytes() == m.decoder().read(changed)[:12].tobytes()

    def test_generation(self, kind):
        m, prompt = made(kind, strict=True), batch()[0][:, :5]
        np.testing.assert_array_equal(m.generate(prompt, 8, cache=True), m.generate(prompt, 8))


@pytest.mark.parametrize("kind", LOOSE, ids=str)
def test_others_refuse_a_cache(kind):
    with pytest.raises(ValueError, match="strict=True"):
        made(kind).generate(batch()[0][:, :5], 3, cache=True)
    with pytest.raises(ValueError, match="later tokens"):
        made(kind).cores[0].attention(LENGTH).reader(KVCache())


def test_forgotten_tokens_stay_in_the_sums():
    """With a cache for two tokens of the support, features stand for all others: far nearer to no forgetting than to forgetting all."""
    m, tokens = made("scatterbrain", strict=True), batch()[0][0, :LENGTH]
    out = m.decoder(KVCache("window", budget=2)).read(tokens)
    assert np.isfinite(out).all() and len(m.decoder(KVCache("window", budget=2)).caches[0]) == 0
    np.testing.assert_allclose(out[:2], m.decoder().read(tokens)[:2])
    four = m.decoder(KVCache(bits=8)).read(tokens)
    np.testing.assert_allclose(four, m.decoder().read(tokens), atol=1.0)


def test_sums_alone_have_nothing_to_forget():
    with pytest.raises(ValueError, match="keep sums.*cache=True"):
        made("performer").decoder(KVCache("window", budget=8))


@pytest.mark.slow
def test_a_kind_of_ones_own_on_the_command_line(tmp_path):
    path = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    command = [sys.executable, "-m", "mongoose_nb", "reformer", "--seq_len", "16", "--nhid", "8", "--emsize", "8", "--nhead", "2",
               "--epochs", "1", "--train_batches", "2", "--eval_batches", "1", "--out", str(tmp_path / "run"), "--attn_type_list"]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([path, *sys.path])}
    done = subprocess.run([*command, "own_attention:Local"], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "run" / "settings.json").read_text())["settings"]["attn_type_list"] == ["own_attention:Local"]
    done = subprocess.run([sys.executable, "-m", "mongoose_nb", "reformer", "--resume", str(tmp_path / "run"), "--epochs", "2"], env=env,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    done = subprocess.run([*command[:-1], "--overwrite", "--attn_type_list", "nowhere:Local"], env=env, capture_output=True, text=True)
    assert done.returncode != 0 and "PYTHONPATH" in done.stderr
