"""The sparse gradient and its optimiser step: grouping against sorting, steps against formulas in float64."""

import naive_nn
import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mongoose_nb.core.arrays import Parameter
from mongoose_nb.kernels.layers import rows
from mongoose_nb.nn import SGD, AdaGrad, Adam, RowAdam
from mongoose_nb.nn.layers.gradients import RowGradient, RowStore

D = 5
METHODS = [SGD(0.1), SGD(0.1, momentum=0.9, weight_decay=0.3), AdaGrad(0.1, weight_decay=0.2), Adam(0.1, weight_decay=0.4),
           RowAdam(0.1, weight_decay=0.4)]


@st.composite
def batches(draw):
    """Lists of distinct ids per sample, some empty, over few or many rows."""
    n_rows = draw(st.sampled_from([1, 2, 3, 255, 256, 257, 600, 5000]))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    counts = draw(st.lists(st.integers(0, 12), min_size=1, max_size=40))
    count = np.minimum(np.array(counts, np.int64), n_rows)
    spare = draw(st.integers(0, 2))
    start = np.cumsum(count + spare) - count
    ids = np.full(int(start[-1] + count[-1]), -5, np.int32)
    for s, n in zip(start, count):
        ids[s:s + n] = rng.choice(min(n_rows, draw(st.sampled_from([20, 5000]))), n, replace=False) if n_rows > 20 else rng.permutation(
            n_rows)[:n]
    coef = rng.standard_normal(len(ids)).astype(np.float32)
    V = rng.standard_normal((len(count), D)).astype(np.float32)
    return n_rows, start, count, ids, coef, V


def naive_gradient(n_rows, start, count, ids, coef, V):
    """(gradient, gradient of the bias, touched) of all rows."""
    G, b, touched = np.zeros((n_rows, D)), np.zeros(n_rows), np.zeros(n_rows, bool)
    for i, (s, n) in enumerate(zip(start, count)):
        for j in range(s, s + n):
            G[ids[j]] += float(coef[j]) * V[i]
            b[ids[j]] += float(coef[j])
            touched[ids[j]] = True
    return G, b, touched


def parameters(n_rows, method):
    rng = np.random.default_rng(1)
    out = [Parameter(rng.standard_normal(shape).astype(np.float32)) for shape in ((n_rows, D), n_rows)]
    for p in out:
        p.attach(method)
        for moment in (p.m, p.v):
            if moment is not p.value:
                moment[...] = 0.1 + rng.random(moment.shape)
    return out


class TestGrouping:
    @settings(deadline=None, max_examples=60)
    @given(batch=batches())
    def test_against_sorting(self, batch):
        n_rows, start, count, ids, coef, V = batch
        store = RowStore(parameters(n_rows, METHODS[0])[0])
        for _ in range(2):  # the scratch is as it was
            gradient = RowGradient(store, start, count, ids, coef, V)
            sample, value, touched_rows, ends, part_ptr, part_rows = gradient.groups()
            assert not store.cursor.any()
            got, at = {}, 0
            for p in range(len(part_ptr) - 1):
                assert at == part_ptr[p]
                for k in range(part_ptr[p], part_ptr[p] + part_rows[p]):
                    row = int(touched_rows[k])
                    assert row not in got and row >> store.shift == p
                    got[row] = list(zip(sample[at:ends[k]].tolist(), value[at:ends[k]].tolist()))
                    at = int(ends[k])
            assert at == count.sum() == part_ptr[-1]
            want = {}
            for i, (s, n) in enumerate(zip(start, count)):
                for j in range(s, s + n):
                    want.setdefault(int(ids[j]), []).append((i, float(coef[j])))  # in sample order
            assert got == want
            assert sorted(gradient.touched().tolist()) == sorted(want)

    def test_ranges_cover_all_rows(self):
        for n_rows in (1, 2, 255, 256, 257, 511, 512, 513, 10**6, 2**20 + 1):
            store = RowStore(Parameter(np.zeros((n_rows, 1), np.float32)))
            assert (n_rows - 1) >> store.shift == store.ranges - 1 and store.ranges <= 256


class TestStep:
    @pytest.mark.parametrize("method", METHODS, ids=repr)
    @settings(deadline=None, max_examples=25)
    @given(batch=batches(), has_bias=st.booleans(), scale=st.sampled_from([1.0, 0.25]))
    def test_against_float64(self, method, batch, has_bias, scale):
        n_rows, start, count, ids, coef, V = batch
        W, b = parameters(n_rows, method)
        before = {name: {k: v.copy() for k, v in p.arrays(name).items()} for name, p in (("weights", W), ("bias", b))}
        naive = {name: p.value.astype(float) for name, p in (("weights", W), ("bias", b))}
        reference = naive_nn.NaiveOptimizer(method, naive)
        for name, p in (("weights", W), ("bias", b)):
            for kept, moment in ((reference.m, p.m), (reference.v, p.v)):
                if moment is not p.value:
                    kept[name][...] = moment
        G, db, touched = naive_gradient(n_rows, start, count, ids, coef, V)
        update = RowGradient(RowStore(W, b if has_bias else None), start, count, ids, coef, V)
        np.testing.assert_allclose(update.dense(), G, atol=1e-5)
        if has_bias:
            np.testing.assert_allclose(update.bias.dense(), db, atol=1e-5)
        norm = (G**2).sum() + (has_bias and (db**2).sum())
        assert update.square_norm() == pytest.approx(norm, rel=1e-5)
        update.apply(method.method, method.constants(3, scale=scale), method.constants(3, scale=scale, decay=False))
        reference.update(naive, {"weights": scale * G, "bias": scale * db}, {"weights": touched, "bias": touched & has_bias}, 3)
        for name, p in (("weights", W), ("bias", b)):
            np.testing.assert_allclose(p.value, naive[name], rtol=2e-5, atol=2e-6)
            for moment, kept in ((p.m, reference.m), (p.v, reference.v)):
                if moment is not p.value:
                    np.testing.assert_allclose(moment, kept[name], rtol=1e-4, atol=1e-5)
            rows_used = touched & (has_bias or name == "weights")
            for part, array in p.arrays(name).items():
                np.testing.assert_array_equal(array[~rows_used], before[name][part][~rows_used])

    @pytest.mark.parametrize("method", METHODS, ids=repr)
    @pytest.mark.parametrize("n", [1, 7])
    def test_dense(self, method, n):
        W, _ = parameters(n, method)
        G = np.random.default_rng(2).standard_normal((n, D)).astype(np.float32)
        naive = {"weights": W.value.astype(float)}
        reference = naive_nn.NaiveOptimizer(method, naive)
        reference.m["weights"][...], reference.v["weights"][...] = W.m, W.v
        rows.apply_dense(G, method.method, method.constants(2), rows.State(W.value, W.m, W.v))
        reference.update(naive, {"weights": G.astype(float)}, {"weights": True}, 2)
        np.testing.assert_allclose(W.value, naive["weights"], rtol=1e-5, atol=1e-6)

    def test_a_batch_that_touches_nothing(self):
        W, b = parameters(300, METHODS[3])
        before = W.value.copy()
        none = np.zeros(4, np.int64)
        update = RowGradient(RowStore(W, b), none, none, np.zeros(0, np.int32), np.zeros(0, np.float32), np.zeros((4, D), np.float32))
        assert update.square_norm() == 0 and len(update.touched()) == 0
        update.apply(2, METHODS[3].constants(1), METHODS[3].constants(1))
        np.testing.assert_array_equal(W.value, before)

    @pytest.mark.parametrize("method", METHODS, ids=repr)
    def test_same_bits_for_any_number_of_threads(self, method):
        rng = np.random.default_rng(0)
        count = np.full(100, 30)
        ids = np.concatenate([rng.choice(700, 30, replace=False) for _ in range(100)]).astype(np.int32)
        coef, V = rng.standard_normal(3000).astype(np.float32), rng.standard_normal((100, D)).astype(np.float32)
        threads, results = numba.get_num_threads(), []
        for t in {1, threads}:
            numba.set_num_threads(t)
            W, b = parameters(700, method)
            update = RowGradient(RowStore(W, b), np.cumsum(count) - count, count, ids, coef, V)
            norm = update.square_norm()
            update.apply(method.method, method.constants(1), method.constants(1))
            results.append((norm, W.value.tobytes(), W.m.tobytes(), W.v.tobytes(), b.value.tobytes()))
        numba.set_num_threads(threads)
        assert len(set(results)) == 1


def test_facade_and_kernel_agree_on_the_constants():
    assert (SGD.method, AdaGrad.method, Adam.method, RowAdam.method) == (rows.SGD, rows.ADAGRAD, rows.ADAM, rows.ROWADAM)
    c = Adam(0.1, beta1=0.8, beta2=0.9, eps=1e-3, weight_decay=0.5).constants(1, scale=0.25)
    places = [rows.LR, rows.BETA1, rows.BETA2, rows.EPS, rows.DECAY, rows.CORR1, rows.CORR2, rows.SCALE]
    np.testing.assert_allclose(c[places], [0.1, 0.8, 0.9, 1e-3, 0.95, 5, np.sqrt(10), 0.25], rtol=1e-6)
    assert SGD(0.1, momentum=0.9).constants(1)[rows.BETA1] == np.float32(0.9)
