"""Caches of keys and values: full budgets give exact attention; every policy keeps its budget, order and original positions."""

import threading
import time

import numpy as np
import pytest

from mongoose_nb.attention import KVCache, full_attention
from mongoose_nb.attention.caches import Eviction, Scissorhands
from mongoose_nb.attention.caches.quantised import quantise, restore
from mongoose_nb.attention.caches.readers import FeatureReader, KeyReader
from mongoose_nb.core.registry import registered

H, T, D = 2, 40, 6
POLICIES = sorted(name for name in registered("eviction") if ":" not in name)


def run(cache, scale=1.0):
    """Outputs (T, H, D) of standard causal attention through the cache, with what was kept after every token."""
    q, k, v = scale * np.random.default_rng(0).standard_normal((3, H, T, D))
    outs, kept = [], []
    for t in range(T):
        cache.append(k[:, t], v[:, t])
        outs.append(cache.attend(q[:, t]))
        kept.append(cache.positions.copy())
    exact = full_attention(q[None], v[None], k[None], causal=True)[0][0].transpose(1, 0, 2)
    return np.array(outs), exact, kept


@pytest.mark.parametrize("policy", POLICIES)
class TestPolicies:
    """What every registered policy has to do."""

    def test_a_budget_for_all_is_exact_attention(self, policy):
        out, exact, _ = run(KVCache(policy, budget=T))
        np.testing.assert_allclose(out, exact, atol=1e-12)

    def test_the_budget_holds_and_positions_stay(self, policy):
        cache = KVCache(policy, budget=8)
        out, _, kept = run(cache)
        assert max(p.shape[1] for p in kept) == 8 and np.isfinite(out).all() and cache.stats()["seen"] == T
        for t, positions in enumerate(kept):
            assert (positions[:, -1] == t).all() and (np.diff(positions, axis=1) > 0).all()
        for before, after in zip(kept, kept[1:]):  # what is gone stays gone
            assert all(set(b) - {a[-1]} <= set(a) | set(b) and set(a[:-1]) <= set(b) for a, b in zip(after, before))
        again, _, same = run(cache.fresh())
        assert again.tobytes() == out.tobytes() and all((a == b).all() for a, b in zip(kept, same))

    def test_it_is_an_eviction(self, policy):
        assert issubclass(registered("eviction")[policy], Eviction)


def attended(cache, favourite, n):
    """Feed n tokens of which one gets nearly all attention; returns the positions that are left."""
    for t in range(n):
        cache.append(np.full((1, 2), 9.0 if t == favourite else 0.0), np.ones((1, 2)))
        cache.attend(np.ones((1, 2)))
    return set(cache.positions[0].tolist())


@pytest.mark.parametrize("policy, stays", [({"name": "scissorhands", "recent": 2}, True), ("heavy_hitters", True),
                                           ("window", False), ("none", False)])
def test_an_important_token_stays_where_importance_counts(policy, stays):
    assert (3 in attended(KVCache(policy, budget=12), 3, 60)) == stays


def test_recent_tokens_are_safe_however_many_go_at_a_time():
    left = attended(KVCache({"name": "scissorhands", "recent": 10, "drop": 0.9}, budget=12), 3, 61)
    assert set(range(51, 61)) <= left


def test_scissorhands_drops_by_the_book():
    """Budget 4, history 3, nothing recent: the two tokens with fewest marks go, the older first."""
    cache = KVCache({"name": "scissorhands", "history": 3, "recent": 1, "drop": 0.5}, budget=4)
    left = attended(cache, 1, 5)
    assert left == {1, 3, 4}


def test_low_scores_count_against_old_tokens():
    """The youngest was important to one query of two, the first to three of eight: high scores drop the former, low ones the latter."""
    marks, positions = np.zeros((1, 3, 8), np.uint8), np.array([[0, 4, 6]])
    marks[0, 0, :3], marks[0, 1, :2], marks[0, 2, :1] = 1, 1, 1
    high, low = (Scissorhands(history=8, recent=0, count=count).importance(marks, positions, 3, 8)[0] for count in ("high", "low"))
    assert high.tolist() == [3, 2, 1] and low.tolist() == [3 - 8, 2 - 4, 1 - 2]
    assert Scissorhands(history=5, recent=1, count="low").importance(marks, positions, 3, 8)[0].tolist() == [3 - 5, 2 - 4, np.inf]


@pytest.mark.parametrize("bits, share", [(8, 1 / 510), (4, 1 / 30)])
@pytest.mark.parametrize("width", [6, 7])
def test_quantised_rows_are_within_half_a_step(bits, share, width):
    x = np.random.default_rng(1).standard_normal((3, 5, width)).astype(np.float32)
    x[0, 0] = 2.5  # a constant row
    error = np.abs(restore(*quantise(x, bits), bits, width) - x)
    assert (error <= (np.ptp(x, axis=-1, keepdims=True) * share) * 1.001 + 1e-6).all()


@pytest.mark.parametrize("bits, tolerance", [(8, 0.02), (4, 0.4)])
def test_quantised_caches_come_near_and_are_smaller(bits, tolerance):
    cache, plain = KVCache(bits=bits), KVCache()
    out, exact, _ = run(cache)
    run(plain)
    assert 0 < np.abs(out - exact).max() < tolerance and cache.n_bytes < plain.n_bytes / 2


@pytest.mark.parametrize("last", [None, 0, 1, 3])
def test_reached_are_the_last_keys_of_a_bucket(last):
    """Against the definition, round by round."""
    rng = np.random.default_rng(2)
    cache, kept = KVCache("window", budget=20), rng.integers(3, size=(H, T, 2)).astype(np.int32)
    for t in range(T):
        cache.append(np.ones((H, D)), np.ones((H, D)), kept[:, t])
    own, want = rng.integers(4, size=(H, 2)).astype(np.int32), np.zeros((H, 20), bool)
    for h in range(H):
        for r in range(2):
            same = np.flatnonzero(kept[h, -20:, r] == own[h, r])
            want[h, same[max(0, len(same) - (20 if last is None else last)):]] = True
    np.testing.assert_array_equal(cache.reached(H, own, last), want)
    assert cache.reached(H).all()


def test_heads_that_reach_nothing_are_named():
    """A score that is not finite is no key that is missing."""
    cache, codes = KVCache(), np.array([[0], [1]], np.int32)
    assert cache.unreached.shape == (0,) and cache.codes.shape == (0, 0, 0)
    assert not cache.attend(np.ones((H, D)), codes=codes).any() and cache.unreached.all()
    cache.append(np.ones((H, D)), np.ones((H, D)), codes)
    for own, want in (codes, [False, False]), (1 - codes, [True, True]), (np.zeros((H, 1), np.int32), [False, True]):
        out = cache.attend(np.ones((H, D)), codes=own)
        assert cache.unreached.tolist() == want and not out[cache.unreached].any()
    cache.append(np.full((H, D), np.nan), np.ones((H, D)), codes)
    assert np.isnan(cache.attend(np.ones((H, D)), codes=codes)).all() and not cache.unreached.any()


@pytest.mark.parametrize("codes", [np.zeros((H, 3), np.int32), np.zeros((H + 1, 2), np.int32), np.zeros((H, 2)), None])
def test_codes_unlike_those_of_the_keys_are_refused(codes):
    cache = KVCache()
    cache.append(np.ones((H, D)), np.ones((H, D)), None if codes is None else np.zeros((H, 2), np.int32))
    with pytest.raises(ValueError, match="codes must be like"):
        cache.attend(np.ones((H, D)), codes=np.zeros((H, 2), np.int32) if codes is None else codes)


def test_persistence_is_that_of_the_definition():
    """Against all attention weights: importance above a uniform share, before and from the middle on."""
    q, k, v = 2 * np.random.default_rng(4).standard_normal((3, H, T, D))
    cache, important = KVCache(), np.zeros((H, T, T), bool)
    for t in range(T):
        cache.append(k[:, t], v[:, t])
        cache.attend(q[:, t])
        z = np.exp(np.einsum("hd,hsd->hs", q[:, t], k[:, :t + 1]) / np.sqrt(D))
        important[:, t, :t + 1] = z / z.sum(axis=1, keepdims=True) * (t + 1) > 1
    for at in (5, T // 2, 30):
        # the query of token t comes behind t + 1 tokens
        before, later = important[:, :at - 1, :at].any(axis=1), important[:, at - 1:, :at].any(axis=1)
        want = [(before & later)[h].sum() / later[h].sum() for h in range(H)]
        assert cache.persistence(at) == pytest.approx(np.mean(want), abs=1e-12)
    assert 0 < cache.stats()["persistence"] == cache.persistence(T // 2) <= 1 and np.isnan(KVCache().persistence())
    middle = important[:, :T // 2 - 1, :T // 2].any(axis=1)
    assert cache.stats()["important"] == pytest.approx(middle.mean(), abs=1e-12) and np.isnan(KVCache().stats()["important"])


def test_mass_kept():
    """The share that the last query gave to what stays: of twelve alike tokens one goes; then a favourite stays, or goes."""
    cache = KVCache("window", budget=12)
    attended(cache, None, 13)
    assert cache.stats()["mass_kept"] == pytest.approx(11 / 12)
    cache = KVCache({"name": "scissorhands", "recent": 2}, budget=12)
    attended(cache, 3, 30)
    assert cache.stats()["mass_kept"] > 0.999 and KVCache().stats()["mass_kept"] == 1.0
    other = KVCache("window", budget=12)
    attended(other, 3, 30)
    assert other.stats()["mass_kept"] < 0.95


@pytest.mark.parametrize("policy", POLICIES)
def test_figures_are_shares(policy):
    cache = KVCache(policy, budget=8)
    run(cache, 3.0)
    stats = cache.stats()
    assert 0 < stats["mass_kept"] <= 1
    for name in ("persistence", "important"):
        assert np.isnan(stats[name]) or 0 <= stats[name] <= 1  # nan where no token of the first half is left


@pytest.mark.parametrize("arguments, words", [({"policy": "window"}, "budget"), ({"bits": 3}, "bits must"), ({"budget": 0}, "budget"),
                                              ({"policy": "oldest"}, "oldest")])
def test_errors_name_the_argument(arguments, words):
    with pytest.raises(ValueError, match=words):
        KVCache(**arguments)


def test_wrong_arrays_change_nothing():
    cache = KVCache()
    cache.append(np.ones((2, 3)), np.ones((2, 3)))
    for k, v in ((np.ones((2, 4)), np.ones((2, 4))), (np.ones(3), np.ones(3)), (np.ones((2, 3), int), np.ones((2, 3), int)),
                 (np.ones((2, 3), np.float32), np.ones((2, 3), np.float32)), (np.ones((2, 0)), np.ones((2, 0)))):
        with pytest.raises(ValueError, match="k and v must be"):
            cache.append(k, v)
    assert len(cache) == 1


@pytest.mark.parametrize("rounds, last", [(0, None), (2, 3), (1, None)])
def test_tokens_read_at_once_are_those_read_one_by_one(rounds, last):
    """In parts of any size, or by `attend` and `append`: the same bits, weights and marks. A budget for all changes nothing."""
    rng = np.random.default_rng(5)
    q, v = rng.standard_normal((2, T, H, D)).astype(np.float32)
    q[4] = 0
    codes = rng.integers(3, size=(T, H, rounds)).astype(np.int32) if rounds else None
    caches, outs = [KVCache(), KVCache(), KVCache("heavy_hitters", budget=T)], []
    for cache, bounds in zip(caches, ((0, T), (0, 1, 2, 9, 9, T), range(T + 1))):
        parts = zip(bounds, bounds[1:])
        outs.append(np.concatenate([cache.read(q[lo:hi], v[lo:hi], None if codes is None else codes[lo:hi], last) for lo, hi in parts]))
    assert outs[0].tobytes() == outs[1].tobytes()
    np.testing.assert_allclose(outs[2], outs[0], atol=1e-6)
    alone = KVCache()
    for t in range(T):
        own = None if codes is None else codes[t]
        out = alone.attend(q[t], codes=own, last=last)
        out[alone.unreached] = v[t, alone.unreached]
        np.testing.assert_allclose(outs[0][t], out, atol=1e-6)
        length = np.linalg.norm(q[t], axis=1, keepdims=True)
        alone.append(q[t] / np.where(length > 0, length, 1), v[t], own)
    for cache in caches:
        assert cache.stats() == pytest.approx({**alone.stats(), "bytes": cache.n_bytes}, nan_ok=True)
        assert (cache.positions == alone.positions).all() and (cache.unreached == alone.unreached).all()


def test_parts_that_do_not_fit_change_nothing():
    cache, rows = KVCache(), np.ones((3, H, D), np.float32)
    cache.read(rows, rows)
    for arguments in ((rows[:, :1], rows[:, :1]), (rows, rows[:2]), (rows.astype(int), rows.astype(int)),
                      (rows, rows, np.zeros((3, H, 1), np.int32)), (rows[0], rows[0])):
        with pytest.raises(ValueError, match="must be"):
            cache.read(*arguments)
    with pytest.raises(ValueError, match="codes must be"):
        cache.append(rows[0], rows[0], np.zeros((H, 1), np.int32))
    assert len(cache) == 3 and cache.read(rows[:0], rows[:0]).shape == (0, H, D)


@pytest.mark.parametrize("q", [np.ones((H + 1, D), np.float32), np.ones((H, D + 1), np.float32), np.ones(D, np.float32),
                               np.ones((H, D), np.float64), np.ones((H, D), int)], ids=lambda q: f"{q.dtype} {q.shape}")
@pytest.mark.parametrize("bits", [None, 8])
def test_queries_unlike_the_keys_are_refused(q, bits):
    """A query of more heads than the keys have would read behind their memory."""
    cache = KVCache(bits=bits)
    cache.append(np.ones((H, D), np.float32), np.ones((H, D), np.float32))
    if bits and q.dtype == np.float64:
        assert cache.attend(q).dtype == np.float64
    else:
        with pytest.raises(ValueError, match=r"q must be float32.*\(2, 6\) like the keys"):
            cache.attend(q)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_few_bits_hold_finite_numbers_alone(value):
    cache, rows = KVCache(bits=8), np.ones((H, D))
    for k, v in ((rows, np.full((H, D), value)), (np.full((H, D), value), rows)):
        with pytest.raises(ValueError, match="cannot be stored in 8 bits"):
            cache.append(k, v)
        with pytest.raises(ValueError, match="cannot be stored in 8 bits"):
            cache.read(np.stack([rows, k]), np.stack([rows, v]))
    assert len(cache) == 0 and not np.isfinite(KVCache().append(np.full((H, D), value), rows)[0]).any()


def test_a_cache_does_not_change_while_a_query_attends():
    cache, row, lengths = KVCache(), np.ones((1, 2)), []
    cache.append(row, row)
    other = threading.Thread(target=lambda: cache.append(row, row))

    def kernel(keys, values, reached, n, weights):
        other.start()
        time.sleep(0.02)
        lengths.append(len(cache))
        weights[:] = 1.0

    cache.attend(row, kernel=kernel)
    other.join()
    assert lengths == [1] and len(cache) == 2


@pytest.mark.parametrize("made", [lambda: KeyReader(KVCache()), lambda: KeyReader(KVCache("window", budget=3)),
                                  lambda: FeatureReader(KVCache(), 4, 0, 0), lambda: FeatureReader(KVCache(), 0, 0, 0, last=2)])
def test_nan_in_a_query_is_nan_in_its_output(made):
    for place in (0, 4):
        q, v = np.random.default_rng(0).standard_normal((2, 6, H, D))
        wanted = made().read(q, v)
        q[place, :, 1] = np.nan
        out = made().read(q, v)
        assert np.isnan(out[place]).all() and np.array_equal(out[:place], wanted[:place])


@pytest.mark.parametrize("policy", ["scissorhands", "random"])
def test_small_budgets_are_no_windows(policy):
    for budget in (4, 10, 20):
        cache = KVCache(policy, budget=budget)
        run(cache)
        assert (cache.positions != np.arange(T - len(cache), T)).any()


def test_few_bits_hold_large_numbers_or_refuse_them():
    row = np.array([[-8e37, 8e37]])
    for dtype in ("float32", "float64"):
        for bits in (4, 8):
            cache = KVCache(bits=bits)
            assert np.isfinite(cache.append(row.astype(dtype), row.astype(dtype))[0]).all()
            with pytest.raises(ValueError, match="8e.37"):
                cache.append(row.astype(dtype) * 4, row.astype(dtype))
            assert len(cache) == 1
    with pytest.raises(ValueError, match="8e.37"):
        KVCache(bits=8).read(row[None], row[None] * 1e200)


def test_a_reach_beyond_all_integers_is_all_that_there_is():
    reader, other = (FeatureReader(KVCache(), 0, 0, 0, last=last) for last in (2**70, 100))
    q, v = np.random.default_rng(0).standard_normal((2, 6, H, D))
    np.testing.assert_array_equal(reader.read(q, v), other.read(q, v))
