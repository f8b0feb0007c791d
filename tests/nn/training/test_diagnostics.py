"""Diagnostics: right figures, for every sampler, and no trace of them in the training."""

import json
from collections import Counter

import numpy as np
import pytest
from nn_problem import FEATURES, OUTPUTS, digest, problem

from mongoose_nb.hashing import SimHash
from mongoose_nb.hashing.inner_product import center_queries
from mongoose_nb.nn import LSH, Diagnostics, Full, JSONLines, Network, Tables, Uniform
from mongoose_nb.nn.training.diagnostics import bucket_figures, listed, recall_figures
from mongoose_nb.tables import LSHTables

SAMPLERS = {
    "full": Full(), "uniform-sample": Uniform(40, shape="sample"), "uniform-batch": Uniform(40), "logq": Uniform(40, correction="logq"),
    "lsh-sample": LSH(40, tables=Tables(L=4, K=3, rehash=2)), "lsh-batch": LSH(40, shape="batch", tables=Tables(L=4, K=3, rehash=2)),
    "drift": LSH(40, tables=Tables(L=4, K=3, rehash="drift")), "importance": LSH(40, correction="importance", tables=Tables(L=4, K=3)),
}
SHARES = ("topk_recall", "labels_found")


def fit(sampler, callbacks=(), epochs=2, **settings):
    X, Y = problem(n=50)
    net = Network(FEATURES, OUTPUTS, hidden=(7,), sampler=sampler, seed=2)
    return net, net.fit(X, Y, epochs=epochs, batch_size=8, callbacks=callbacks, **settings)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_training_is_the_same_with_and_without(sampler, tmp_path):
    plain, _ = fit(SAMPLERS[sampler])
    measured, history = fit(SAMPLERS[sampler], [Diagnostics(every=1), JSONLines(tmp_path / "log")])
    assert digest(measured) == digest(plain)
    assert [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()] == json.loads(json.dumps(history))
    for entry in history:
        assert all(0 <= entry[name] <= 1 for name in SHARES) and entry["topk"] == 10
        assert ("bucket_mean" in entry) == hasattr(measured.output.sampler, "tables")
        if sampler == "full":
            assert [entry[name] for name in SHARES] == [1, 1]
        assert any(x is not None for x in entry["trace"]["changed_share"]) == (sampler == "drift")


class TestTrace:
    @pytest.mark.parametrize("every, steps", [(1, [1, 2, 3, 4, 5, 6, 7]), (3, [3, 6, 7]), (100, [7]), (None, [1, 2, 3, 4, 5, 6, 7])])
    def test_points(self, every, steps):
        _, history = fit(Uniform(40), [Diagnostics(every=every)])
        first, second = (entry["trace"] for entry in history)
        assert first["step"] == steps
        assert second["step"] == sorted({*(s for s in range(8, 15) if s % (every or 1) == 0), 14})
        for entry in history:
            trace = entry["trace"]
            assert len({len(trace[name]) for name in ("step", "seconds", "loss", "changed_share")}) == 1
            assert trace["seconds"] == sorted(trace["seconds"]) and trace["seconds"][0] >= 0
            assert trace["seconds"][-1] == pytest.approx(entry["seconds"], abs=1e-3)

    def test_losses_are_means_since_the_last_point(self):
        seen = []

        class Watch:
            def on_batch_end(self, network, logs):
                seen.append((logs["loss"], logs["samples"]))

        _, history = fit(Uniform(40), [Watch(), Diagnostics(every=4)], epochs=1)
        parts = [seen[:4], seen[4:]]
        want = [sum(x * n for x, n in part) / sum(n for _, n in part) for part in parts]
        np.testing.assert_allclose(history[0]["trace"]["loss"], want, atol=1e-5)

    @pytest.mark.parametrize("rehash, firings", [(2, [3, 4]), (7, [1, 1]), (100, [0, 0]), (1, [7, 7])])
    def test_firings(self, rehash, firings):
        """Steps 0 to 6 and 7 to 13; the first build is none."""
        _, history = fit(LSH(40, tables=Tables(L=4, K=3, rehash=rehash)), [Diagnostics()])
        assert [entry["firings"] for entry in history] == firings
        for entry in history:
            assert len(entry["trace"]["firings"]) == entry["firings"]
            assert all(0 <= t <= entry["seconds"] + 1e-3 for t in entry["trace"]["firings"])

    def test_many_firings_are_thinned(self, monkeypatch):
        monkeypatch.setattr("mongoose_nb.nn.training.diagnostics.FIRINGS", 3)
        _, history = fit(LSH(40, tables=Tables(L=4, K=3, rehash=1)), [Diagnostics()])
        assert history[0]["firings"] == 7 and len(history[0]["trace"]["firings"]) == 3


class TestRecall:
    def test_against_the_tables(self):
        """With unbounded buckets, room for all and no filler, a list is what shares a bucket with the query."""
        net, _ = fit(LSH(OUTPUTS, head=1.0, fill=False, tables=Tables(L=3, K=3, capacity=None, rehash=5)))
        X, Y = problem(n=50)
        got = recall_figures(net, X, Y, 6)
        h = net.hidden_activations(X)
        logits = h @ net.output.weights.value.T + net.output.bias.value
        indptr, ids = net.output.sampler.hash_tables.candidates(center_queries(h, *net.output.sampler.manager.query))
        lists = [set(ids[indptr[i]:indptr[i + 1]].tolist()) for i in range(50)]
        best = np.argsort(-logits, axis=1, kind="stable")[:, :6]
        want = np.mean([[j in lists[i] for j in row] for i, row in enumerate(best.tolist())])
        labels = [j in lists[i] for i in range(50) for j in Y[i].indices.tolist()]
        assert got == {"topk": 6, "topk_recall": pytest.approx(want), "labels_found": pytest.approx(np.mean(labels))}
        assert 0 < want < 1

    @pytest.mark.parametrize("shape", ["sample", "batch"])
    def test_uniform_lists(self, shape):
        net, _ = fit(Uniform(60, shape=shape))
        sets = net.output.sampler.peek(np.zeros((20, 7), np.float32))
        lists = [sets.ids[s:s + n].tolist() for s, n in zip(sets.start, sets.count)]
        assert all(len(set(row)) == 60 for row in lists)
        assert (len({tuple(row) for row in lists}) == 1) == (shape == "batch")

    def test_peeking_at_a_list_of_the_batch(self):
        net, _ = fit(LSH(60, shape="batch", head=0.5, tables=Tables(L=4, K=3)))
        sets = net.output.sampler.peek(net.hidden_activations(problem(n=50)[0])[:10])
        assert len(sets.ids) == 60 and sets.n_label == 0 and 0 < sets.n_exact <= 30

    def test_listed(self):
        rng = np.random.default_rng(0)
        net, _ = fit(Uniform(60, shape="sample"))
        sets = net.output.sampler.peek(np.zeros((9, 7), np.float32))
        sample, ids = rng.integers(0, 9, 300), rng.integers(0, OUTPUTS, 300).astype(np.int32)
        want = [j in sets.ids[sets.start[i]:sets.start[i] + sets.count[i]] for i, j in zip(sample, ids)]
        assert listed(sets, sample, ids).tolist() == want and any(want)

    def test_few_outputs_rows_and_labels(self):
        X, _ = problem()
        net = Network(FEATURES, 4, hidden=(7,), sampler="full")
        history = net.fit(X, [[2], *([] for _ in range(23))], epochs=1, callbacks=[Diagnostics(rows=1000)])
        assert history[0]["topk"] == 4 and history[0]["topk_recall"] == 1 and history[0]["labels_found"] == 1


class TestBuckets:
    @pytest.mark.parametrize("capacity", [None, 5])
    def test_against_counting(self, capacity):
        X = np.random.default_rng(0).standard_normal((300, 6)).astype(np.float32)
        tables = LSHTables(SimHash(6, K=4, L=3), capacity=capacity).build(X)
        got = bucket_figures(tables)
        loads = [Counter(row.tolist()) for row in tables.codes(X)]
        sizes = [[min(n, capacity or n) for n in table.values()] for table in loads]
        everything = [n for table in sizes for n in table]
        assert got["bucket_mean"] == pytest.approx(np.mean(everything)) and got["bucket_max"] == max(everything)
        share = [np.array(table) / sum(table) for table in sizes]
        assert got["bucket_entropy"] == pytest.approx(np.mean([-(p * np.log2(p)).sum() for p in share]))
        assert got["bucket_entropy"] <= got["bucket_bits"]
        assert sum(got["bucket_histogram"]) == 3 * tables.views()[1].shape[1]

    def test_even_buckets_have_all_the_entropy_there_is(self):
        class Even(SimHash):
            def hash_tables(self, X, out=None):
                return np.tile(np.arange(len(X), dtype=self.code_dtype) % 4, (self.L, 1))

        got = bucket_figures(LSHTables(Even(6, K=2, L=3)).build(np.zeros((64, 6), np.float32)))
        assert got["bucket_entropy"] == pytest.approx(2) and got["bucket_mean"] == got["bucket_max"] == 16


@pytest.mark.parametrize("wrong", [{"every": 0}, {"topk": 0}, {"rows": 0}, {"topk": 1.5}])
def test_refusals(wrong):
    with pytest.raises((ValueError, TypeError), match=next(iter(wrong))):
        Diagnostics(**wrong)
