"""Tables trained for serving: what they find, that they follow the weights, and that they are saved."""

import numba
import numpy as np
import pytest
from mongoose_nb.nn.retrieval.label_sensitive import LabelSensitiveRetriever
from nn_problem import planted
from scipy import stats

from mongoose_nb.hashing.learned import LearnedHash
from mongoose_nb.nn import LSH, Full, Network, Tables, Uniform
from mongoose_nb.nn.training.timing import PhaseTimer

X, LABEL = planted(n=1500, n_outputs=400)
N = 400


def trained(sampler=None, epochs=2):
    net = Network(X.shape[1], N, hidden=(12,), sampler=sampler or Full(), lr=0.02, seed=4)
    net.fit(X, LABEL, epochs=epochs, batch_size=100)
    return net


QUICK = {"candidates": 20, "K": 4, "L": 10, "rows": 600, "learn": LearnedHash(steps=30, labels=True)}


@pytest.fixture(scope="module")
def net():
    out = trained()
    out.report = out.fit_serving(X, LABEL, **QUICK)
    return out


def found(served, h, best):
    """Share of the best outputs of every row among its candidates."""
    sets = served.retrieve(h, 20, PhaseTimer(), 0)
    assert (sets.count <= 20).all()
    return np.array([np.isin(best[i], sets.ids[sets.start[i]:sets.start[i] + sets.count[i]]).mean() for i in range(len(h))])


def test_finds_more_than_random_functions(net):
    h = net.hidden_activations(X[600:])
    best, _ = net.output.topk(h, 5)
    drawn = Served(net.output.weights, net.output.bias, K=4, L=10, seed=net.seed)
    drawn._query = net.retriever._query
    gain = found(net.retriever, h, best) - found(drawn, h, best)
    assert gain.mean() > stats.norm.ppf(0.999) * gain.std(ddof=1) / np.sqrt(len(gain))
    assert net.report["trainings"] == 1 and net.report["seconds"] > 0


def test_prediction_scores_the_candidates(net):
    ids, scores = net.predict_topk(X[:50], 3, exact=False)
    h = net.hidden_activations(X[:50])
    sets = net.retriever.retrieve(h, 20, PhaseTimer(), net.step)
    logits = h @ net.output.weights.value.T + net.output.bias.value
    for i in range(50):
        own = sets.ids[sets.start[i]:sets.start[i] + sets.count[i]]
        want = own[np.argsort(-logits[i, own])][:3]
        np.testing.assert_array_equal(ids[i, :len(want)], want)
        np.testing.assert_allclose(scores[i, :len(want)], logits[i, want], rtol=1e-4, atol=1e-4)
    few = net.predict_topk(X[:50], 3, exact=False, candidates=1)[0]
    assert (few[:, 1:] == -1).all()


@pytest.mark.parametrize("sampler", [Uniform(50), LSH(50, tables=Tables(K=3, L=5))], ids=repr)
def test_whatever_it_was_trained_with(sampler):
    net = trained(sampler, epochs=1)
    net.fit_serving(X, LABEL, **QUICK)
    assert net.evaluate(X[:200], LABEL[:200], exact=False)["P@1"] <= 1
    assert net.retriever.candidates == 20


@pytest.mark.parametrize("optimizer", [True, False])
def test_saved_with_the_network(net, optimizer, tmp_path):
    net.save(tmp_path / "net", optimizer=optimizer)
    again = Network.load(tmp_path / "net")
    for a, b in zip(net.predict_topk(X, 4, exact=False), again.predict_topk(X, 4, exact=False), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_same_again_for_any_number_of_threads(net):
    threads = numba.get_num_threads()
    other = trained()
    try:
        numba.set_num_threads(1)
        other.fit_serving(X, LABEL, **QUICK)
    finally:
        numba.set_num_threads(threads)
    np.testing.assert_array_equal(other.retriever.family.functions, net.retriever.family.functions)


def test_tables_follow_the_weights():
    net = trained(epochs=1)
    net.fit_serving(X, LABEL, **QUICK)
    net.predict_topk(X, 2, exact=False)
    before, functions = net.retriever._tables._codes.copy(), net.retriever.family.functions
    net.partial_fit(X, LABEL, batch_size=100)
    net.predict_topk(X, 2, exact=False)
    assert not np.array_equal(net.retriever._tables._codes, before)
    np.testing.assert_array_equal(net.retriever.family.functions, functions)
    net.output.weights.value[:], net.output.bias.value[:] = 0, 0
    net.rehash()
    net.predict_topk(X, 2, exact=False)
    assert (net.retriever._tables._codes == net.retriever._tables._codes[:, :1]).all()


def test_labels_are_learned_first():
    """With one positive a query and labels first, what is learned is the label, also where it scores lowest."""
    net = trained(epochs=1)
    h = net.hidden_activations(X[:300])
    worst = np.argmin(h @ net.output.weights.value.T, axis=1).astype(np.int32)
    labels = np.full((300, 16), -1, np.int32)
    labels[:, 0] = worst
    learner = LearnedHash(positives=1, labels=True)
    served = Served(net.output.weights, net.output.bias, K=4, L=10)
    report = served.fit(h, labels, learner)
    assert report["collision_positive"] > report["collision_random"]


@pytest.mark.parametrize("options, error, message", [
    ({"candidates": 0}, ValueError, "candidates"), ({"K": 0}, ValueError, "K must be"), ({"L": 0}, ValueError, "L must be"),
    ({"rows": 0}, ValueError, "rows"), ({"learn": "most"}, ValueError, "learn='most' is unknown")])
def test_refusals(options, error, message):
    net = Network(X.shape[1], N, hidden=(4,), sampler="full")
    with pytest.raises(error, match=message):
        net.fit_serving(X, LABEL, **options)
    assert net.retriever is None
    with pytest.raises(ValueError, match="call fit_serving first"):
        net.predict_topk(X, 1, exact=False)


def test_a_damaged_state_is_refused(net):
    settings, arrays = net.retriever.state()
    with pytest.raises(ValueError, match="functions have shape"):
        Served.from_state(net.output.weights, net.output.bias, {**settings, "L": 10**12}, arrays)
    with pytest.raises(ValueError, match="query_mean has shape"):
        Served.from_state(net.output.weights, net.output.bias, settings, {**arrays, "query_mean": np.zeros(3, np.float32)})
    with pytest.raises((TypeError, ValueError), match="extra"):
        Served.from_state(net.output.weights, net.output.bias, {**settings, "extra": [[1.0]]}, arrays)


@pytest.mark.parametrize("exact", [True, False])
def test_threads_of_a_single_row(monkeypatch, exact):
    """All outputs are work for all threads though training scores few; a dense layer holds BLAS at one thread, tables leave it alone."""
    from mongoose_nb.core.threads import THREADS_FROM, _blas
    from mongoose_nb.kernels.layers import dense

    n = THREADS_FROM // 128 + 1
    net = Network(X.shape[1], n, hidden=(12, 128), sampler=Uniform(10), seed=0)
    net.retriever = Served(net.output.weights, net.output.bias, K=3, L=2, candidates=20)
    threads, built, build = numba.get_num_threads(), [], net.retriever.build
    monkeypatch.setattr(net.retriever, "build", lambda step: (built.append((numba.get_num_threads(), net.retriever.built(step))), build(step)))
    net.predict_topk(X[:1], 1, exact=False)
    assert built[0] == (threads, False) and all(done for _, done in built[1:])  # tables of all outputs are work for all threads too
    seen, before = [], [library.num_threads for library in _blas()]

    def look(name, function):
        def looked(*args):
            seen.append((name, numba.get_num_threads(), {library.num_threads for library in _blas()}))
            return function(*args)

        return looked

    monkeypatch.setattr(dense, "matmul", look("dense", dense.matmul))
    for name in ("topk", "topk_of"):
        monkeypatch.setattr(net.output, name, look(name, getattr(net.output, name)))
    net.predict_topk(X[:1], 1, exact=exact)
    assert seen == ([("dense", threads, {1}), ("topk", threads, {1})] if exact else [("dense", 1, {1}), ("topk_of", 1, set(before))])
    assert numba.get_num_threads() == threads and [library.num_threads for library in _blas()] == before
