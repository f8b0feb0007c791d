"""`MongooseClassifier`: scikit-learn's own checks, problems with a known answer, and the promises of the package."""

import copy
import pickle
import subprocess
import sys
import textwrap
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from mongoose_nb import MongooseClassifier, nn
from mongoose_nb.core import threads as _threads
from mongoose_nb.nn.training.batches import MIN_STEPS
from mongoose_nb.sklearn import outputs
from mongoose_nb.sklearn.targets import Targets

sklearn = pytest.importorskip("sklearn")
from sklearn.base import clone, is_classifier  # noqa: E402
from sklearn.exceptions import DataConversionWarning, NotFittedError  # noqa: E402
from sklearn.utils.estimator_checks import parametrize_with_checks  # noqa: E402

FAST = {"hidden": (16,), "sampler": nn.LSH(candidates=8, tables=nn.Tables(L=4))}


@pytest.mark.slow
@parametrize_with_checks([MongooseClassifier()], expected_failed_checks=lambda estimator: dict.fromkeys(
    ("check_sample_weight_equivalence_on_dense_data", "check_sample_weight_equivalence_on_sparse_data"),
    "wants 1e-7; float32 sums in another order differ by 1e-4 after 200 steps: see test_weights_are_copies"))
def test_scikit_learn(estimator, check):
    check(estimator)


# ---------------------------------------------------------------------- problems with a known answer


def planted_classes(n_classes=12, copies=6, seed=0):
    """Every class has two features of its own: (X, ids)."""
    rng = np.random.default_rng(seed)
    ids = rng.permutation(np.repeat(np.arange(n_classes), copies))
    X = np.zeros((len(ids), 2 * n_classes), np.float32)
    X[np.arange(len(ids)), 2 * ids] = rng.uniform(1, 2, len(ids))
    X[np.arange(len(ids)), 2 * ids + 1] = rng.uniform(1, 2, len(ids))
    return X, ids


def planted_labels(n=96, n_labels=12, each=2, seed=0):
    """A row has `each` labels and their features: (X, Y) both CSR."""
    rng = np.random.default_rng(seed)
    ids = np.argsort(rng.random((n, n_labels)), axis=1)[:, :each]
    Y = np.zeros((n, n_labels), np.float32)
    np.put_along_axis(Y, ids, 1, axis=1)
    return sp.csr_matrix(Y), sp.csr_matrix(Y)


@pytest.fixture(scope="module")
def class_model():
    X, ids = planted_classes()
    return MongooseClassifier(hidden=(32,), lr=0.01).fit(sp.csr_matrix(X), ids), X, ids


@pytest.fixture(scope="module")
def label_model():
    X, Y = planted_labels()
    return MongooseClassifier(hidden=(32,), lr=0.01).fit(X, Y), X, Y


def test_planted_classes(class_model):
    model, X, ids = class_model
    assert model.score(X, ids) == 1.0
    assert not model.multilabel_
    np.testing.assert_array_equal(model.classes_, np.arange(12))
    assert model.predict(sp.csr_matrix(X)).tolist() == ids.tolist()


def test_planted_labels(label_model):
    model, X, Y = label_model
    assert model.multilabel_ and model.k_ == 2
    assert model.score(X, Y) == 1.0
    predicted = model.predict(X)
    assert sp.issparse(predicted) and predicted.has_canonical_format and predicted.dtype == Y.dtype
    assert (predicted != Y).nnz == 0


@pytest.mark.parametrize("classes", [
    ["ant", "bee", "cow"], [-7, 3, 10**12], [False, True], [2.0, 5.0], np.array(["x", "yy"], object), [4],
], ids=str)
def test_classes_of_any_type(classes):
    X, ids = planted_classes(len(classes))
    classes = np.asarray(classes)
    y = classes[ids]
    for given_y in (y, y.tolist()):
        model = MongooseClassifier(**FAST, lr=0.02).fit(X, given_y)
        np.testing.assert_array_equal(model.classes_, classes)
        np.testing.assert_array_equal(model.predict(X), y)
        np.testing.assert_allclose(model.predict_proba(X).sum(axis=1), 1)
        assert model.score(X, given_y) == 1.0
    assert model.decision_function(X).shape == ((len(X),) if len(classes) == 2 else (len(X), len(classes)))


def test_forms_of_labels_agree():
    X, Y = planted_labels(40)
    dense = Y.toarray().astype(np.int64)
    lists = [row.nonzero()[0].tolist() for row in dense]
    forms = [Y, sp.coo_array(Y), sp.csc_matrix(Y), dense, dense.tolist(), list(dense), lists,
             [np.array(row) for row in lists]]
    models = [MongooseClassifier(**FAST, epochs=2).fit(X, form) for form in forms]
    expected = models[0].predict_topk(X, 3)
    for model, form in zip(models, forms):
        for a, b in zip(model.predict_topk(X, 3), expected):
            np.testing.assert_array_equal(a, b)
        # predictions come in the form of y
        is_dense = form is dense or (isinstance(form, list) and len(form[0]) == 12)
        assert isinstance(model.predict(X), np.ndarray) == is_dense
        assert model.score(X, form) == models[0].score(X, Y)


def test_short_nested_lists_are_ids():
    """[[0, 1], [1, 0]] could be either, and is ids; three of 0 and 1 repeat one and are not."""
    assert Targets([[0, 1], [1, 0]]).form == "ids"
    assert Targets([[0, 1, 1], [1, 0, 0]]).form == "dense"
    assert Targets([[0, 1, 2], [1, 0, 0]]).form == "ids"
    assert Targets([[], [0]]).form == "ids"


# NumPy's strings do not end in NUL
WORDS = st.text(st.characters(min_codepoint=1), max_size=3)


@given(st.lists(st.integers(-5, 5), min_size=1) | st.lists(WORDS, min_size=1))
@settings(deadline=None, max_examples=60)
def test_encode_classes(y):
    classes, Y = Targets(y).encode(len(y))
    assert classes.tolist() == sorted(set(y))
    assert Y.shape == (len(y), len(classes)) and Y.dtype == np.float32
    assert [classes[i] for i in Y.indices] == y and (np.diff(Y.indptr) == 1).all()


@given(st.lists(st.sets(st.integers(0, 6)), min_size=1, max_size=8))
@settings(deadline=None, max_examples=60)
def test_encode_labels(rows):
    naive = np.array([[j in row for j in range(7)] for row in rows], int)
    _, Y = Targets([list(row) for row in rows]).encode(len(rows), np.arange(7))
    np.testing.assert_array_equal(Y.toarray(), naive)
    for form in (naive, sp.csr_array(naive)):
        np.testing.assert_array_equal(Targets(form).encode(len(rows))[1].toarray(), naive)


# ---------------------------------------------------------------------- prediction


@pytest.mark.parametrize("loss", ["softmax", "logistic"])
@pytest.mark.parametrize("multilabel", [False, True])
def test_scores_agree(loss, multilabel):
    """Logits, probabilities and ranks are views of one thing."""
    if multilabel:
        X, y = planted_labels(30, 7)
    else:
        X, y = planted_classes(7, 4)
    model = MongooseClassifier(**FAST, loss=loss, epochs=3).fit(X, y)
    logits, p = model.decision_function(X), model.predict_proba(X)
    ids, scores = model.predict_topk(X, 7)
    np.testing.assert_allclose(np.take_along_axis(logits, ids, 1), scores, rtol=1e-4, atol=1e-5)
    assert (np.diff(scores, axis=1) <= 0).all()
    expected = np.exp(logits) if loss == "softmax" else 1 / (1 + np.exp(-logits))
    if not (multilabel and loss == "logistic"):
        expected = expected / expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(p, expected)


def test_probabilities_of_large_logits_are_finite(class_model):
    model, X, _ = class_model
    for loss in ("softmax", "logistic"):
        model = copy.deepcopy(model)
        model.network_.loss = loss
        p = model.predict_proba(X * 1e6)
        assert np.isfinite(p).all()
        np.testing.assert_allclose(p.sum(axis=1), 1)


def test_probability_stays_positive_far_down():
    """exp(-40) is not rounded away: 1 / (1 + exp(40)) rather than 1 - 1 / (1 + exp(-40))."""
    X, y = planted_labels(8, 3)
    model = MongooseClassifier(**FAST, loss="logistic", epochs=1).fit(X, y)
    model.network_.output.bias.value[:] = [-40, 0, 40]
    model.network_.output.weights.value[:] = 0
    np.testing.assert_allclose(model.predict_proba(X)[0], [np.exp(-40.0), 0.5, 1.0])


def test_topk_through_the_tables(label_model):
    _, X, Y = label_model
    model = MongooseClassifier(sampler="lsh", epochs=2).fit(X, Y)
    ids, scores = model.predict_topk(X, 3, exact=False, candidates=6)
    exact = model.decision_function(X)
    kept = ids >= 0
    rows = np.nonzero(kept)[0]
    np.testing.assert_allclose(scores[kept], exact[rows, ids[kept]], rtol=1e-4, atol=1e-5)
    assert (scores[~kept] == -np.inf).all()


def test_dense_scores_have_a_limit(class_model, monkeypatch):
    model, X, _ = class_model
    monkeypatch.setattr(outputs, "DENSE_LIMIT", X.shape[0] * 12)
    model.decision_function(X)
    monkeypatch.setattr(outputs, "DENSE_LIMIT", X.shape[0] * 12 - 1)
    for method in (model.decision_function, model.predict_proba):
        with pytest.raises(ValueError, match=r"72 rows by 12 outputs.*predict_topk"):
            method(X)
    assert model.score(X, model.predict(X)) == 1.0  # prediction has none


@pytest.mark.parametrize("each", [1, 3])
def test_number_of_predicted_labels(each):
    X, Y = planted_labels(30, 9, each)
    model = MongooseClassifier(**FAST, epochs=1).fit(X, Y.toarray().astype(np.int8))
    predicted = model.predict(X)
    assert model.k_ == each and predicted.dtype == np.int8
    assert (predicted.sum(axis=1) == each).all()
    ids, _ = model.predict_topk(X, each)
    assert np.take_along_axis(predicted, ids, 1).all()


def test_rows_without_labels_count():
    X, Y = planted_labels(20, 6, 2)
    Y = Y.toarray()
    Y[5:] = 0
    assert MongooseClassifier(**FAST, epochs=1).fit(X, Y).k_ == 1  # 10 labels in 20 rows


# ---------------------------------------------------------------------- training


def same_model(a, b, X):
    """Bit by bit."""
    for x, y in zip(a.predict_topk(X, 3), b.predict_topk(X, 3)):
        np.testing.assert_array_equal(x, y)
    for name, parameter in a.network_.parameters().items():
        np.testing.assert_array_equal(parameter.value, b.network_.parameters()[name].value)


def test_second_fit_is_a_fresh_one(class_model):
    _, X, ids = class_model
    settings = {"hidden": (16,), "sampler": nn.LSH(8, tables=nn.Tables(L=4, rehash=3)), "epochs": 5, "batch_size": 16}
    model = MongooseClassifier(**settings)
    model.fit(X[:, :10], ids % 2)
    assert model.n_features_in_ == 10
    model.fit(X, ids)
    assert model.n_features_in_ == X.shape[1] and len(model.classes_) == 12 and len(model.history_) == 5
    same_model(model, MongooseClassifier(**settings).fit(X, ids), X)


def test_epochs(class_model):
    _, X, ids = class_model
    steps = MongooseClassifier(**FAST, ranking=None).fit(X, ids).network_.step
    assert steps == MIN_STEPS  # one batch an epoch
    model = MongooseClassifier(**FAST, ranking=None, batch_size=2).fit(X, ids)
    assert len(model.history_) == 10 and model.network_.step == 10 * 36
    assert len(MongooseClassifier(**FAST, epochs=2).fit(X, ids).history_) == 2


@pytest.mark.parametrize("labels", [False, True])
def test_partial_fit_goes_on(labels):
    if labels:
        X, y = planted_labels()
        first = {"n_labels": 12}
    else:
        X, y = planted_classes()
        first = {"classes": np.arange(12)}
    whole = MongooseClassifier(**FAST, ranking=None, epochs=4, batch_size=16).fit(X, y)
    model = MongooseClassifier(**FAST, ranking=None, batch_size=16).partial_fit(X, y, **first)
    for _ in range(3):
        assert model.partial_fit(X, y) is model
    same_model(model, whole, X)
    assert len(model.history_) == 4 and model.k_ == whole.k_
    model.fit(X, y).partial_fit(X, y, **first)  # after fit, too


def test_partial_fit_of_some_classes():
    X, ids = planted_classes()
    names = np.array([f"class {i:02}" for i in range(12)])
    model = MongooseClassifier(hidden=(32,), lr=0.02)
    for _ in range(60):
        for part in (ids < 6, ids >= 6):
            model.partial_fit(X[part], names[ids[part]], classes=names[::-1])
    assert model.classes_.tolist() == names.tolist()
    assert model.score(X, names[ids]) == 1.0


def test_partial_fit_counts_labels():
    X, Y = planted_labels(20, 9, 1)
    X3, Y3 = planted_labels(60, 9, 3)
    model = MongooseClassifier(**FAST).partial_fit(X, Y)  # an indicator says how many labels there are
    assert model.k_ == 1
    assert model.partial_fit(X3, Y3).k_ == 2  # 200 labels in 80 rows: 2.5, rounded to even


def test_partial_fit_errors():
    X, ids = planted_classes()
    _, Y = planted_labels(len(X))
    new = MongooseClassifier(**FAST)
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        new.partial_fit(X, ids)
    with pytest.raises(ValueError, match="n_labels must be passed on the first call"):
        new.partial_fit(X, [[0]] * len(X))
    with pytest.raises(ValueError, match="otherwise give classes"):
        new.partial_fit(X, ids, classes=range(12), n_labels=12)
    with pytest.raises(ValueError, match="has a name twice"):
        new.partial_fit(X, Y, classes=["a"] * 12)
    with pytest.raises(ValueError, match="balanced"):
        MongooseClassifier(class_weight="balanced").partial_fit(X, ids, classes=range(12))
    with pytest.raises(ValueError, match="class 11 at row|class np.int64.11. at row"):
        new.partial_fit(X, np.full(len(X), 11), classes=range(11))
    with pytest.raises(ValueError, match="12 outputs, expected 11"):
        new.partial_fit(X, Y, n_labels=11)
    with pytest.raises(NotFittedError):
        new.predict(X)  # nothing of that left a trace
    model = new.partial_fit(X, ids, classes=range(12))
    with pytest.raises(ValueError, match="must hold the 12 of earlier calls, and may hold more; 11 is missing"):
        model.partial_fit(X, ids, classes=range(11))
    with pytest.raises(ValueError, match="fitted with a class vector"):
        model.partial_fit(X, Y)
    with pytest.raises(ValueError, match="fitted with a class vector"):
        model.score(X, Y)
    with pytest.raises(ValueError, match="has 23 features, but MongooseClassifier is expecting 24 features"):
        model.partial_fit(X[:, 1:], ids)


def test_early_stopping():
    X, ids = planted_classes(6, 20)
    model = MongooseClassifier(**FAST, lr=0.02, epochs=300, early_stopping=2, validation_fraction=0.25).fit(X, ids)
    scores = model.history_.column("P@1")
    # it waits for two epochs after the best, and the best weights come back
    assert len(scores) == scores.index(max(scores)) + 1 + 3 < 300
    held, kept = model._split(sp.csr_matrix(X), sp.csr_matrix(np.eye(6, dtype=np.float32)[ids]), 0)
    assert held[0].shape[0] == 30 and len(kept) == 90
    assert model.score(held[0], held[1].indices) == max(scores)
    with pytest.raises(ValueError, match="at least 2; got n_samples=1"):
        MongooseClassifier(early_stopping=1).fit(X[:1], ids[:1])
    with pytest.raises(ValueError, match="validation_fraction"):
        MongooseClassifier(early_stopping=1, validation_fraction=1.0).fit(X, ids)


def test_random_state():
    X, ids = planted_classes(4, 3)

    def weights(random_state):
        model = MongooseClassifier(**FAST, epochs=1, random_state=random_state).fit(X, ids)
        return model.network_.output.weights.value

    np.testing.assert_array_equal(weights(None), weights(0))
    np.testing.assert_array_equal(weights(np.random.default_rng(3)), weights(np.random.default_rng(3)))
    np.testing.assert_array_equal(weights(np.random.RandomState(3)), weights(np.random.RandomState(3)))
    assert (weights(1) != weights(0)).any()
    rng = np.random.default_rng(3)
    assert (weights(rng) != weights(rng)).any()


def test_number_of_threads_changes_nothing(monkeypatch):
    import numba

    monkeypatch.setattr(_threads, "THREADS_FROM", 0)
    before = numba.get_num_threads()
    X, Y = planted_labels(60)
    models = [MongooseClassifier(**FAST, epochs=2, batch_size=32, n_jobs=n).fit(X, Y) for n in (1, 2, -1, -99, 99)]
    assert numba.get_num_threads() == before
    for model in models[1:]:
        same_model(models[0], model, X)
        np.testing.assert_array_equal(models[0].decision_function(X), model.decision_function(X))
    with pytest.raises(ValueError, match="n_jobs must be"):
        MongooseClassifier(n_jobs=0).fit(X, Y)


def test_inputs_stay_as_they_are(tmp_path):
    X, ids = planted_classes()
    np.save(tmp_path / "X.npy", X.astype(np.float64))
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    y = ids.astype(np.int64)
    y.flags.writeable = False
    sparse = sp.csr_matrix(X)
    for part in (sparse.data, sparse.indices, sparse.indptr):
        part.flags.writeable = False
    unsorted = sp.csr_matrix((X[:, ::-1][X[:, ::-1] != 0], np.nonzero(X[:, ::-1])[1], sparse.indptr), X.shape)
    unsorted.indices[:] = X.shape[1] - 1 - unsorted.indices
    kept = unsorted.copy()
    a, b, c = (MongooseClassifier(**FAST, epochs=1).fit(rows, y) for rows in (mapped, sparse, unsorted))
    same_model(a, b, X)
    same_model(a, c, unsorted)
    np.testing.assert_array_equal(unsorted.indices, kept.indices)
    np.testing.assert_array_equal(unsorted.data, kept.data)


# ---------------------------------------------------------------------- parameters and copies


def test_sampler_and_candidates():
    X, ids = planted_classes(4, 3)
    assert MongooseClassifier(candidates=7, epochs=1).fit(X, ids).network_.sampler.candidates == 7
    assert isinstance(MongooseClassifier(sampler="full", epochs=1).fit(X, ids).network_.sampler, nn.Full)
    for sampler in ("full", nn.LSH(3)):
        with pytest.raises(ValueError, match="where candidates is given"):
            MongooseClassifier(sampler=sampler, candidates=7).fit(X, ids)


def test_parameters():
    sampler = nn.Uniform(5)
    model = MongooseClassifier((8, 4), sampler=sampler, lr=0.5)
    assert model.get_params()["sampler"] is sampler
    assert model.set_params(lr=0.25, epochs=1) is model and model.lr == 0.25
    with pytest.raises(ValueError, match="(?s)Invalid parameter 'rate'.*'lr'"):
        model.set_params(rate=1)
    copied = clone(model)
    assert copied.hidden == (8, 4) and copied.sampler is not sampler and copied.sampler.candidates == 5
    assert is_classifier(model)


@pytest.mark.parametrize("params", [
    {"hidden": ()}, {"hidden": (0,)}, {"activation": "cube"}, {"sampler": "all"}, {"candidates": 0}, {"loss": "hinge"},
    {"optimizer": "lbfgs"}, {"lr": -1.0}, {"epochs": 0}, {"batch_size": 0}, {"random_state": -1},
    {"early_stopping": -1},
], ids=str)
def test_bad_parameters_are_refused_by_fit(params):
    X, ids = planted_classes(3, 2)
    model = MongooseClassifier(**params)
    with pytest.raises(ValueError, match=next(iter(params))):
        model.fit(X, ids)
    assert not hasattr(model, "network_")


@pytest.mark.parametrize(("y", "error", "message"), [
    (None, ValueError, "target y is None"),
    (3, ValueError, "single value"),
    ("abc", ValueError, "single value"),
    ([0, 1], ValueError, "y has 2 rows, X has 3"),
    (np.eye(2), ValueError, "rows"),
    (np.zeros((3, 2, 2)), ValueError, r"shape \(3, 2, 2\)"),
    ([0.5, 1, 2], ValueError, "continuous"),
    ([np.nan, 1, 2], ValueError, "NaN"),
    ([[0.0, np.inf]] * 3, ValueError, "inf"),
    ([1j, 0, 0], ValueError, "Complex"),
    ([[0], 1, [2]], ValueError, "all are classes, or all lists"),
    ([["a"], [1], ["c"]], TypeError, "names .* or ids"),
    ([["a"], "b", ["c"]], ValueError, "all are classes, or all lists"),
    ([[-1], [0], [0]], ValueError, "row 0 has the label -1"),
    ([[], [], []], ValueError, "no row has a label"),
    (np.array([None, 1, "a"], object), TypeError, "one type"),
    (np.full((3, 2), 2), ValueError, "holds 0 and 1"),
])
def test_bad_targets(y, error, message):
    with pytest.raises(error, match=message):
        MongooseClassifier(**FAST).fit(np.eye(3), y)


def test_column_vector():
    X, ids = planted_classes(3, 2)
    with pytest.warns(DataConversionWarning, match="column-vector"):
        model = MongooseClassifier(**FAST, epochs=1).fit(X, ids[:, None])
    assert not model.multilabel_
    one = sp.csr_matrix((ids[:, None] == 0).astype(int))
    assert MongooseClassifier(**FAST, epochs=1).fit(X, one).multilabel_  # an indicator of one label


@pytest.mark.parametrize("copy_of", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))],
                         ids=["deepcopy", "pickle"])
def test_copies_are_exact(copy_of):
    X, Y = planted_labels()
    hidden = (16, nn.Wide(32, nn.LSH(8, tables=nn.Tables(L=4))), 8)
    model = MongooseClassifier(hidden=hidden, sampler=nn.LSH(8, tables=nn.Tables(L=4, rehash=2)), epochs=3, batch_size=32).fit(X, Y)
    copied = copy_of(model)
    same_model(model, copied, X)
    assert list(copied.history_) == list(model.history_) and copied.k_ == model.k_
    # training goes on as if there were no copy, and each on its own
    model.partial_fit(X, Y)
    assert (copied.network_.output.weights.value != model.network_.output.weights.value).any()
    same_model(model, copied.partial_fit(X, Y), X)
    unfitted = copy_of(MongooseClassifier(lr=0.5))
    assert unfitted.lr == 0.5 and not hasattr(unfitted, "network_")


# ---------------------------------------------------------------------- beside scikit-learn


def test_feature_names():
    pandas = pytest.importorskip("pandas")
    X, ids = planted_classes(3, 2)
    names = list("abcdef")
    frame = pandas.DataFrame(X, columns=names)
    model = MongooseClassifier(**FAST, epochs=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(frame, ids)
        model.score(frame, ids)
        model.partial_fit(frame, pandas.Series(ids))
    assert model.feature_names_in_.tolist() == names
    with pytest.warns(UserWarning, match="X does not have valid feature names, but MongooseClassifier was fitted with"):
        model.predict(X)
    with pytest.raises(ValueError, match="same order"):
        model.predict(frame[names[::-1]])
    with pytest.raises(TypeError, match="only supported if all input features have string names"):
        model.fit(frame.rename(columns={"a": 1}), ids)
    assert model.feature_names_in_.tolist() == names  # a fit that fails leaves the old model
    model.fit(pandas.DataFrame(X), ids)
    assert not hasattr(model, "feature_names_in_")


def test_in_a_pipeline_and_a_search():
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.utils import estimator_html_repr

    texts = ["red apple", "green apple", "red car", "fast car"] * 4
    y = ["fruit", "fruit", "machine", "machine"] * 4
    pipeline = make_pipeline(TfidfVectorizer(), MongooseClassifier(hidden=(8,), sampler="full"))
    search = GridSearchCV(pipeline, {"mongooseclassifier__lr": [1e-6, 0.05]}, cv=2, scoring="accuracy").fit(texts, y)
    assert search.best_params_ == {"mongooseclassifier__lr": 0.05} and search.best_score_ == 1.0
    assert search.predict(["apple", "car"]).tolist() == ["fruit", "machine"]
    assert "MongooseClassifier" in estimator_html_repr(search)


@pytest.mark.slow
def test_without_scikit_learn():
    """The module loads nothing heavy, and the estimator works where scikit-learn cannot be imported."""
    code = """
        import sys

        class Refuse:
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] == "sklearn":
                    raise ImportError(name)

        sys.meta_path.insert(0, Refuse())
        from mongoose_nb.sklearn.classifier import MongooseClassifier
        assert not {"numba", "scipy", "sklearn"} & set(sys.modules), "heavy imports"
        model = MongooseClassifier(sampler="full")
        try:
            model.predict([[1.0]])
        except AttributeError as error:
            assert "not fitted" in str(error)
        else:
            raise AssertionError
        X = [[0.0, 1.0], [1.0, 0.0]]
        assert model.set_params(epochs=50).fit(X, ["up", "right"]).predict(X).tolist() == ["up", "right"]
        assert model.score(X, ["up", "right"]) == 1.0 and model.get_params()["epochs"] == 50
        assert repr(model) == "MongooseClassifier(epochs=50, sampler='full')"
        try:
            model.set_params(rate=1)
        except ValueError as error:
            assert "Invalid parameter 'rate'" in str(error)
        else:
            raise AssertionError
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, timeout=300)


# ------------------------------------------------------------------ the ranking


def _planted_classes(n=600, n_classes=30, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, n_classes, n)
    X = (rng.random((n, 90)) < 0.03).astype(np.float32)
    for j in range(3):
        X[np.arange(n), 3 * y + j] = rng.random(n) < 0.7
    return X, y


@pytest.mark.parametrize("multilabel", [False, True])
def test_by_default_the_outputs_are_ranked(multilabel, tmp_path):
    X, y = _planted_classes()
    target = sp.csr_matrix((np.ones(len(y)), y, np.arange(len(y) + 1))) if multilabel else np.array([f"c{i:02}" for i in range(30)])[y]
    model = MongooseClassifier(early_stopping=5).fit(X[:450], target[:450])
    alone = MongooseClassifier(ranking=None).fit(X[:450], target[:450])
    assert "rows kept aside" in model.choice_ and alone.choice_ == "" and alone.network_.ranking is None
    assert model.score(X[450:], target[450:]) >= alone.score(X[450:], target[450:]) - 0.03 and model.score(X[450:], target[450:]) > 0.75
    ids, scores = model.predict_topk(X[450:], 3)
    z, p = model.decision_function(X[450:]), model.predict_proba(X[450:])
    np.testing.assert_array_equal(ids[:, 0], z.argmax(axis=1))
    np.testing.assert_allclose(np.take_along_axis(z, ids, 1), scores, rtol=1e-6)
    np.testing.assert_array_equal(np.take_along_axis(p, ids[:, :1], 1)[:, 0], p.max(axis=1))
    assert (p >= 0).all() and (p <= 1).all() and (multilabel or np.allclose(p.sum(axis=1), 1))
    best = model.predict_topk(X[450:], 3, proba=True)[1]
    assert (np.diff(best, axis=1) <= 0).all() and 0.5 < best[:, 0].mean() <= 1
    np.testing.assert_allclose(best, np.take_along_axis(p, ids, 1), rtol=1e-5)
    model.save(tmp_path / "model")
    again = MongooseClassifier.load(tmp_path / "model")
    assert again.choice_ == model.choice_
    np.testing.assert_array_equal(again.predict_topk(X, 3)[1], model.predict_topk(X, 3)[1])


@pytest.mark.filterwarnings("error")
def test_partial_fit_keeps_the_ranking_and_new_rows_vote(tmp_path):
    X, y = _planted_classes()
    model = MongooseClassifier().fit(X[:400], y[:400])
    choice, mixture, before = model.choice_, model.network_.ranking.mixture.terms, model.score(X[400:], y[400:])
    model.partial_fit(X[400:], y[400:])
    ranking = model.network_.ranking
    assert model.choice_ == choice and ranking.mixture.terms == mixture
    votes = ranking.members.by_name["neighbours"]
    assert votes.rows.shape[0] == 600 and (votes.labels.toarray().argmax(axis=1) == y).all()
    assert model.score(X[400:], y[400:]) > before  # of rows that vote now
    model.save(tmp_path / "model")
    np.testing.assert_array_equal(MongooseClassifier.load(tmp_path / "model").predict_topk(X, 3)[1], model.predict_topk(X, 3)[1])


def test_new_classes_end_the_ranking_and_one_is_told():
    X, y = _planted_classes()
    model = MongooseClassifier().fit(X, y)
    with pytest.warns(UserWarning, match="trains the network alone"):
        model.partial_fit(X, y, classes=np.arange(31))
    assert model.network_.ranking is None and model.choice_ == "" and len(model.classes_) == 31
    with pytest.raises(ValueError, match="ranking must be one of"):
        MongooseClassifier(ranking="most").fit(X, y)


def test_weights_count_though_outputs_are_ranked_by_default():
    """A class whose rows weigh nothing is not predicted."""
    X, y = _planted_classes(n_classes=3)
    model = MongooseClassifier().fit(X, y, sample_weight=(y != 1).astype(float))
    assert 1 not in model.predict(X) and model.network_.ranking is None
    assert MongooseClassifier(class_weight="balanced").fit(X, y).network_.ranking is None


def test_the_default_k_fits_few_classes():
    model = MongooseClassifier().fit(["a b", "c d"] * 50, ["x", "y"] * 50)
    ids, _ = model.predict_topk(["a"], names=True)
    assert ids.tolist() == [["x", "y"]]
    with pytest.raises(ValueError, match="k must be"):
        model.predict_topk(["a"], 3)


def test_probabilities_of_classes_sum_to_one_however_small_they_are(monkeypatch):
    """Far from all training rows, each class alone is improbable beyond what a float holds."""
    X, y = _planted_classes()
    model = MongooseClassifier(epochs=2).fit(X, y)
    assert model.network_.ranking is not None
    near = model.predict_proba(X[:50])
    monkeypatch.setattr(model.network_.ranking.mixture, "offset", -2000.0)
    far = model.predict_proba(X[:50])
    for p in (near, far):
        np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_array_equal(far.argmax(axis=1), near.argmax(axis=1))
    ids, best = model.predict_topk(X[:50], 3, proba=True)
    np.testing.assert_allclose(best, np.take_along_axis(far, ids, 1), rtol=1e-5)


@pytest.mark.slow
def test_what_scikit_learn_makes_of_probabilities():
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.metrics import log_loss
    from sklearn.model_selection import cross_val_score

    X, y = _planted_classes()
    model = MongooseClassifier(epochs=2).fit(X, y)
    assert 0 < log_loss(y, model.predict_proba(X), labels=model.classes_) < np.log(30)
    assert np.isfinite(cross_val_score(MongooseClassifier(epochs=2), X, y, cv=2, scoring="neg_log_loss")).all()
    p = CalibratedClassifierCV(MongooseClassifier(epochs=2), cv=2).fit(X, y).predict_proba(X)
    np.testing.assert_allclose(p.sum(axis=1), 1)
