"""A classifier by look-ups, beside a naive search."""

import concurrent.futures

import numpy as np
import pytest
from scipy import sparse
from sklearn.utils.estimator_checks import parametrize_with_checks

from mongoose_nb import SolarClassifier
from mongoose_nb.core.files import FormatError
from mongoose_nb.nn import Network
from mongoose_nb.solar.classifier import MOST_BUCKETS
from mongoose_nb.testing.factories import threads

rng = np.random.default_rng(0)
N_LABELS = 60
CENTRES = rng.standard_normal((N_LABELS, 40))
LABEL = rng.integers(0, N_LABELS, 900)
X = (CENTRES[LABEL] + 0.3 * rng.standard_normal((900, 40))).astype(np.float32)
Y = sparse.csr_matrix((np.ones(900, np.float32), (np.arange(900), LABEL)), shape=(900, N_LABELS))
NAMES = np.array([f"label {i}" for i in range(N_LABELS)])


def model(**settings):
    return SolarClassifier(**{"chunks": 4, "buckets": 16, "hidden": 32, "epochs": 25, "lr": 0.01, "best": 4, "random_state": 0, **settings})


@pytest.mark.slow
@parametrize_with_checks([SolarClassifier(chunks=3, epochs=20, lr=0.02)])
def test_scikit_learn(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def fitted():
    return model().fit(X, NAMES[LABEL])


def naive(fitted, rows, k):
    """By every label's buckets, one row at a time."""
    out = []
    for i in range(rows.shape[0]):
        p = []
        for network in fitted.networks_:
            z = (network.hidden_activations(rows[i:i + 1]) @ network.output.weights.value.T + network.output.bias.value)[0]
            p.append(-np.logaddexp(0, -z.astype(float)))
        codes = fitted.codes_.codes
        best = [set(np.argsort(-row)[:fitted.best]) for row in p]
        count = np.array([sum(code in b for code, b in zip(row, best, strict=True)) for row in codes])
        score = np.mean([row[codes[:, c]] for c, row in enumerate(p)], axis=0)
        least = fitted.least or -(-len(p) // 2)
        allowed = count >= (least if (count >= least).sum() >= k else 1)
        order = [j for j in np.argsort(-score, kind="stable") if allowed[j]][:k]
        out.append(([*order, *[-1] * (k - len(order))], allowed.sum()))
    return [ids for ids, _ in out], float(np.mean([n for _, n in out]))


@pytest.mark.parametrize("settings", [{}, {"least": 4}, {"best": 1}, {"best": 1, "least": 4}])
def test_look_ups(fitted, settings):
    fitted.set_params(**{"best": 4, "least": None, **settings})
    for k in (1, 5, 60):
        ids, scores = fitted.predict_topk(X[:25], k)
        wanted, candidates = naive(fitted, X[:25], k)
        np.testing.assert_array_equal(ids, wanted)
        assert fitted.candidates_ == pytest.approx(candidates)
        assert (np.isneginf(scores) == (ids == -1)).all()
    fitted.set_params(best=4, least=None)


def test_it_learns(fitted):
    assert fitted.score(X, NAMES[LABEL]) > 0.95
    assert fitted.classes_.tolist() == np.unique(NAMES).tolist()
    fitted.predict_topk(X, 1)
    assert fitted.candidates_ < 40


def test_several_labels():
    two = Y + sparse.csr_matrix((np.ones(900, np.float32), (np.arange(900), (LABEL + 1) % N_LABELS)), shape=Y.shape)
    got = model().fit(X, two).predict(X)
    assert sparse.issparse(got) and got.shape == two.shape
    both = got.multiply(two).sum()
    assert both / two.sum() > 0.85 and both / got.sum() > 0.85


def test_threads_and_processes_give_the_same_bits(fitted):
    wanted = fitted.predict_topk(X, 3)
    with threads(1):
        one = fitted.predict_topk(X, 3)
    with concurrent.futures.ThreadPoolExecutor(2) as executor:
        pooled = model().fit(X, NAMES[LABEL], executor=executor).predict_topk(X, 3)
    for got in (one, pooled):
        np.testing.assert_array_equal(got[0], wanted[0])
        np.testing.assert_array_equal(got[1], wanted[1])


def test_classes_that_come_later_may_be_stated():
    some = LABEL < 30
    later = model(epochs=2).partial_fit(X[some], NAMES[LABEL[some]], classes=NAMES)
    assert sorted(later.classes_.tolist()) == sorted(NAMES) and len(later.codes_) == N_LABELS
    assert later.partial_fit(X, NAMES[LABEL]).classes_.tolist() == later.classes_.tolist()
    more = later.partial_fit(X[:3], NAMES[LABEL[:3]], classes=["new"])
    assert more.classes_[-1] == "new" and len(more.codes_) == N_LABELS + 1


def test_labels_are_added():
    first = LABEL < 40
    grown = model().fit(X[first], LABEL[first])
    codes = grown.codes_.codes.copy()
    grown.partial_fit(X, LABEL)
    np.testing.assert_array_equal(grown.codes_.codes[:40], codes)
    assert grown.classes_.tolist() == list(range(60)) and grown.score(X, LABEL) > 0.9
    wide = model(epochs=1).fit(X[first], Y[first][:, :40])
    assert wide.partial_fit(X, Y).predict_topk(X[:2], 60)[0].max() == 59


def test_saved(fitted, tmp_path):
    for mmap in (False, True):
        fitted.save(tmp_path / "model")
        again = SolarClassifier.load(tmp_path / "model", mmap=mmap)
        for a, b in zip(again.predict_topk(X, 3), fitted.predict_topk(X, 3), strict=True):
            np.testing.assert_array_equal(a, b)
        assert again.predict(X[:5]).tolist() == fitted.predict(X[:5]).tolist()
        assert again.get_params() == fitted.get_params()
    data = bytearray((tmp_path / "model").read_bytes())
    (tmp_path / "short").write_bytes(data[:len(data) // 2])
    with pytest.raises(FormatError):
        SolarClassifier.load(tmp_path / "short")


def test_a_mapped_model_reads_its_file_and_leaves_it(fitted, tmp_path):
    fitted.save(tmp_path / "model")
    before = (tmp_path / "model").read_bytes()
    mapped = SolarClassifier.load(tmp_path / "model", mmap=True)
    weights = mapped.networks_[0].parameters()["hidden0.weights"].value
    assert not weights.flags.writeable and isinstance(weights.base, np.memmap)
    copy = SolarClassifier.load(tmp_path / "model")
    for one in (mapped, copy):
        one.partial_fit(X, NAMES[LABEL])
    for a, b in zip(mapped.predict_topk(X, 3), copy.predict_topk(X, 3), strict=True):
        np.testing.assert_array_equal(a, b)
    assert (tmp_path / "model").read_bytes() == before


@pytest.mark.parametrize("change, message", [
    (dict(chunks=0), "chunks"), (dict(buckets=1), "buckets"), (dict(least=9), "least"), (dict(best=0), "best"), (dict(lr=0), "lr")])
def test_bad_settings(change, message):
    with pytest.raises(ValueError, match=message):
        model(**change).fit(X, LABEL)


def test_buckets_that_no_label_can_fill_are_refused():
    """A row is trained on all of them, so a million took minutes on 900 rows."""
    for buckets in (MOST_BUCKETS + 1, 10**6):
        with pytest.raises(ValueError, match=r"more than the 60 labels can fill.*leave buckets out \(128 then\), or give 32,768 or less"):
            model(buckets=buckets).fit(X, LABEL)
        with pytest.raises(ValueError, match="can fill"):
            model(buckets=buckets).partial_fit(X[:9], LABEL[:9])


def test_few_rows_are_passed_over_more_often_by_default(monkeypatch):
    passes = []
    monkeypatch.setattr("mongoose_nb.solar.classifier.train_chunk", lambda task: passes.append(task[4]) or {})
    monkeypatch.setattr("mongoose_nb.solar.classifier.network_of", lambda settings, weights, mapped=False: Network(**settings))
    for n, batch, epochs, wanted in ((900, 100, None, 23), (900, 4, None, 5), (900, 100, 7, 7)):
        one = model(epochs=epochs, batch_size=batch, chunks=1).fit(X[:n], LABEL[:n])
        assert passes.pop() == wanted
        one.partial_fit(X[:10], LABEL[:10])
        assert passes.pop() == (epochs or 5)


def test_predictions_in_small_blocks_are_the_same(fitted, monkeypatch):
    wanted = fitted.predict_topk(X, 3)[0]
    monkeypatch.setattr("mongoose_nb.solar.classifier.HELD", 64 * 40)
    np.testing.assert_array_equal(fitted.predict_topk(X, 3)[0], wanted)


class Client:
    """As that of Dask: its map gives futures, and an executor whose map gives results."""

    map = get_executor = None


def test_bad_calls(fitted):
    for call in (model().fit, model().partial_fit):
        with pytest.raises(TypeError, match="executor must have a method map, .*; got 3"):
            call(X, LABEL, executor=3)
        with pytest.raises(TypeError, match="client.get_executor"):
            call(X, LABEL, executor=Client())
    with pytest.raises(Exception, match="fit first"):
        model().predict(X)
    for odd in (np.full(900, np.nan), X[:, 0]):
        with pytest.raises(ValueError, match="classes"):
            model().fit(X, odd)
    with pytest.raises(ValueError, match="900"):
        model().fit(X, LABEL[:5])
    with pytest.raises(ValueError, match="features"):
        fitted.predict(X[:, :3])
    with pytest.raises(ValueError, match="other form"):
        fitted.partial_fit(X, Y)
    with pytest.raises(ValueError, match="k"):
        fitted.predict_topk(X, 0)


def test_rows_without_candidates_get_the_best_of_all_labels():
    """Three labels are in few of 64 buckets, and the best bucket of a row is often none of theirs."""
    names = np.array(["a", "b", "c"])
    fitted = SolarClassifier(chunks=2, buckets=64, hidden=4, best=1, epochs=1, random_state=0).fit(X[:90], names[LABEL[:90] % 3])
    none = fitted.predict_topk(X, 1)[0][:, 0] < 0
    assert none.sum() > 10
    codes, scores = fitted.codes_.codes, 0
    for chunk, network in enumerate(fitted.networks_):
        z = network.hidden_activations(X) @ network.output.weights.value.T + network.output.bias.value
        scores = scores - np.logaddexp(0, -z.astype(float))[:, codes[:, chunk]]
    best = np.sort(scores, axis=1)
    clear = none & (best[:, -1] - best[:, -2] > 1e-4)
    np.testing.assert_array_equal(fitted.predict(X)[clear], names[scores.argmax(axis=1)][clear])
    with pytest.raises(TypeError, match="classes so far mixes"):
        fitted.partial_fit(X[:4], [1, 2, 3, 4])


def test_logarithms_of_probabilities_keep_their_digits_at_both_ends():
    from types import SimpleNamespace as Of

    from mongoose_nb.solar.chunks import log_probabilities

    logits = np.array([[-200.0, -90, -20, -1e-3, 0, 1e-3, 20, 90, 200]], np.float32)
    layer = Of(weights=Of(value=logits.T.copy()), bias=Of(value=np.zeros(9, np.float32)))
    got = log_probabilities(Of(hidden_activations=lambda X: np.ones((1, 1), np.float32), output=layer), None)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, -np.logaddexp(0, -logits.astype(float)), rtol=3e-7, atol=1e-37)
