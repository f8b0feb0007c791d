"""Regularizers of the output rows: each registered one, and the values of `SpreadOut`."""

import numpy as np
import pytest
from scipy import sparse

from mongoose_nb import nn
from mongoose_nb.core.registry import make, registered

NAMES = sorted(registered("regularizer", "mongoose_nb."))


class Halved(nn.Regularizer):
    """Of a user: halves the rows, as a new array."""

    def __init__(self, share=0.5):
        self.share = share

    def apply(self, rows, rate):
        return np.float32(self.share) * rows


def some_rows(m=40, width=8, seed=0):
    return np.random.default_rng(seed).standard_normal((m, width)).astype(np.float32)


def network(regularizer, **settings):
    return nn.Network(30, 50, **{"hidden": (8,), "lr": 0.05, "regularizer": regularizer, "seed": 3, **settings})


def some_data(n=64, seed=1):
    rng = np.random.default_rng(seed)
    X = sparse.random(n, 30, 0.3, format="csr", dtype=np.float32, random_state=rng)
    return X, rng.integers(0, 20, n)


def spread(rows, strength, rate):
    """`SpreadOut` by loops over pairs of rows."""
    V = rows.astype(np.float64)
    square = V.T @ V
    out = V.copy()
    mean = np.mean([row @ row for row in V])
    for i, row in enumerate(V):
        gap = sum((row @ other) * other for other in V) - mean * row
        out[i] -= strength * rate / np.sqrt((square**2).sum()) * gap
    return out


def test_all_are_registered():
    assert "spread-out" in NAMES


@pytest.mark.parametrize("name", NAMES)
class TestContract:
    def test_rows_stay_rows(self, name):
        for rows in (some_rows(), some_rows(1), some_rows(300, 3), np.zeros((5, 4), np.float32)):
            out = make("regularizer", name).apply(rows.copy(), 0.5)
            assert out.shape == rows.shape and out.dtype == np.float32 and np.isfinite(out).all()

    def test_a_rate_of_zero_changes_nothing(self, name):
        rows = some_rows()
        np.testing.assert_array_equal(make("regularizer", name).apply(rows.copy(), 0.0), rows)

    @pytest.mark.parametrize("sampler", ["full", nn.Uniform(10), nn.Uniform(10, shape="sample"), nn.LSH(10, tables=nn.Tables(K=2, L=4))],
                             ids=repr)
    def test_a_network_goes_on_where_it_was_saved(self, name, sampler, tmp_path):
        X, Y = some_data()
        whole = network(name, sampler=sampler, lr_schedule="linear")
        whole.fit(X, Y, epochs=2, batch_size=16)
        path = tmp_path / "checkpoint"
        part = network(name, sampler=sampler, lr_schedule="linear")
        part.fit(X, Y, epochs=2, batch_size=16, callbacks=[nn.Checkpoint(path, every=3), lambda net, entry: True])
        again = network(name, sampler=sampler, lr_schedule="linear")
        again.fit(X, Y, epochs=2, batch_size=16, resume=path)
        loaded = (whole.save(tmp_path / "network"), nn.Network.load(tmp_path / "network"))[1]
        assert repr(loaded.regularizer) == repr(whole.regularizer)
        np.testing.assert_array_equal(loaded.output.weights.value, whole.output.weights.value)
        assert np.abs(whole.output.weights.value - network(None, sampler=sampler).output.weights.value).max() > 0

    def test_threads_do_not_change_bits(self, name):
        import numba

        rows, found = some_rows(500, 16), []
        for threads in (1, numba.config.NUMBA_NUM_THREADS):
            before = numba.get_num_threads()
            numba.set_num_threads(threads)
            try:
                found.append(make("regularizer", name).apply(rows.copy(), 1.0))
            finally:
                numba.set_num_threads(before)
        np.testing.assert_array_equal(*found)


class TestSpreadOut:
    @pytest.mark.parametrize(("m", "width"), [(40, 8), (5, 8), (1, 4), (2000, 16)])
    def test_naive_oracle(self, m, width):
        rows = some_rows(m, width)
        np.testing.assert_allclose(nn.SpreadOut(0.3).apply(rows.copy(), 0.5), spread(rows, 0.3, 0.5), atol=2e-6)

    def test_orthogonal_rows_of_equal_length_stay(self):
        rows = np.linalg.qr(some_rows(16, 16))[0].astype(np.float32)
        np.testing.assert_allclose(nn.SpreadOut(1.0).apply(rows.copy(), 1.0), rows, atol=1e-6)

    def test_it_goes_down_the_squared_inner_products(self):
        rows = some_rows(50, 8) + 1
        def together(V):
            V = V / np.linalg.norm(V, axis=1, keepdims=True)
            return np.square(V @ V.T).sum()
        before = together(rows)
        for _ in range(100):
            rows = nn.SpreadOut(0.1).apply(rows, 1.0)
        assert together(rows) < 0.5 * before

    def test_the_length_of_all_rows_does_not_matter(self):
        rows = some_rows()
        np.testing.assert_allclose(nn.SpreadOut().apply(1024 * rows, 1.0), 1024 * nn.SpreadOut().apply(rows.copy(), 1.0), rtol=1e-6)

    @pytest.mark.parametrize("scale", [1e-25, 1e-12, 1e9, 1e25])
    def test_very_small_and_large_rows(self, scale):
        rows, scale = some_rows(), np.float32(scale)
        np.testing.assert_allclose(nn.SpreadOut().apply(scale * rows, 1.0) / scale, nn.SpreadOut().apply(rows.copy(), 1.0), rtol=1e-5)

    def test_a_step_is_never_longer_than_one(self):
        rows = some_rows()
        np.testing.assert_array_equal(nn.SpreadOut(0.5).apply(rows.copy(), 1000.0), nn.SpreadOut(1.0).apply(rows.copy(), 1.0))

    @pytest.mark.parametrize("strength", [-0.1, 1.5, np.nan, "0.1"])
    def test_wrong_strengths_are_refused(self, strength):
        with pytest.raises((ValueError, TypeError), match="strength"):
            nn.SpreadOut(strength)


class TestInANetwork:
    def test_only_rows_of_the_step_change(self):
        X, Y = some_data()
        net = network(Halved(), sampler=nn.Uniform(5), optimizer="sgd", lr=1e-12)
        before = net.output.weights.value.copy()
        net.partial_fit(X[:4], Y[:4], batch_size=4)
        changed = np.flatnonzero((net.output.weights.value != before).any(axis=1))
        assert set(Y[:4]) <= set(changed) and len(changed) <= 9
        np.testing.assert_allclose(net.output.weights.value[changed], before[changed] / 2, rtol=1e-5)

    def test_a_regularizer_of_a_user_is_saved(self, tmp_path):
        net = network(Halved(0.25))
        net.save(tmp_path / "network")
        assert nn.Network.load(tmp_path / "network").regularizer.share == 0.25
        assert network(None).grown(3).regularizer is None and net.grown(3).regularizer.share == 0.25

    def test_compressed_outputs_are_refused(self):
        with pytest.raises(TypeError, match="share cells"):
            network("spread-out", compress=2.0)
        net = network(None, compress=2.0)
        with pytest.raises(TypeError, match="share cells"):
            net.regularizer = "spread-out"
        assert net.regularizer is None
        assert network("spread-out", compress=compressed(["hidden0"])).regularizer is not None

    @pytest.mark.parametrize("sampler", ["full", nn.Uniform(5)], ids=repr)
    @pytest.mark.parametrize(("value", "says"), [(lambda rows: None, "must return"), (lambda rows: 0.0, "must return"),
                                                 (lambda rows: rows.mean(axis=0), "shape"), (lambda rows: rows[None], "shape"),
                                                 (lambda rows: rows.astype(int), "must return"), (lambda rows: rows + np.nan, "finite")])
    def test_what_a_regularizer_returns_is_checked(self, sampler, value, says):
        class Wrong(nn.Regularizer):
            def apply(self, rows, rate):
                return value(rows)

        X, Y = some_data()
        net = network(Wrong(), sampler=sampler)
        with pytest.raises((ValueError, TypeError), match=f"Wrong.apply .*{says}"):
            net.fit(X, Y, epochs=1)
        assert np.isfinite(net.output.weights.value).all()

    def test_it_may_be_set_between_trainings(self):
        X, Y = some_data()
        first, second = network("spread-out"), network(None)
        first.regularizer, second.regularizer = None, nn.SpreadOut()
        for net, as_if in ((first, network(None)), (second, network("spread-out"))):
            np.testing.assert_array_equal(net.partial_fit(X, Y).output.weights.value, as_if.partial_fit(X, Y).output.weights.value)

    def test_unknown_names_are_refused(self):
        with pytest.raises(ValueError, match="spread-out"):
            network("spread")


def compressed(only):
    from mongoose_nb.compress import Compress

    return Compress(ratio=2.0, only=only)
