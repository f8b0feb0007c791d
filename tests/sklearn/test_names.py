"""`MongooseClassifier` on texts and named labels: weights, new labels, files, answers."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from nn_problem import assert_same_arrays, planted

from mongoose_nb import MongooseClassifier, Network, nn

FAST = {"hidden": (16,), "sampler": "full", "lr": 0.02}
WORDS = {"sport": "ball goal team", "food": "bread soup salt", "tech": "code chip disk"}


def news(n=60, seed=0):
    rng = np.random.default_rng(seed)
    labels = [rng.choice(list(WORDS), rng.choice([1, 1, 2]), replace=False).tolist() for _ in range(n)]
    return [" ".join(rng.choice(WORDS[name].split()) for name in row for _ in range(5)) for row in labels], labels


@pytest.fixture(scope="module")
def fitted():
    return MongooseClassifier(**FAST).fit(*news())


class TestNames:
    def test_names_come_back(self, fitted):
        texts, labels = news(30, 1)
        assert fitted.classes_.tolist() == ["food", "sport", "tech"] and fitted.multilabel_
        assert fitted.predict(["soup and bread", "a goal"]) == [["food"], ["sport"]]
        assert fitted.score(texts, labels) == 1.0
        assert fitted.score(["a goal"], [["sport", "unknown"]]) == 1.0
        names, p = fitted.predict_topk(texts, 3, names=True, proba=True)
        assert names.shape == p.shape == (30, 3) and all(row[0] in want for row, want in zip(names.tolist(), labels))
        assert (p[:, 0] > 0.5).all() and (p <= 1).all()  # of each label alone
        name, p = fitted.predict_topk("a goal", 1, names=True, proba=True)
        assert name.tolist() == ["sport"] and 0.5 < p[0] <= 1

    @pytest.mark.parametrize("form", [list, tuple, set, np.array])
    def test_forms_of_rows(self, form, fitted):
        texts, labels = news()
        assert_same_arrays(MongooseClassifier(**FAST).fit(np.array(texts, object), [form(row) for row in labels]).network_, fitted.network_)

    def test_numbers_and_names(self):
        """Rows of numbers with named labels; the same network as with their numbers."""
        X, label = planted(200, 6)
        names = np.array(list("fedcba"))
        named = MongooseClassifier(**FAST).fit(X, [[names[i]] for i in label])
        one = MongooseClassifier(**FAST).fit(X, names[label])
        assert named.predict(X) == [[name] for name in one.predict(X)]
        with pytest.raises(TypeError, match="trained on numbers"):
            named.predict(["a text"])

    def test_columns_of_an_indicator_may_have_names(self):
        X, label = planted(100, 4)
        Y = np.eye(4, dtype=int)[label]
        model = MongooseClassifier(**FAST, batch_size=10).partial_fit(X, Y, classes=["z", "y", "x", "w"])
        for _ in range(20):
            model.partial_fit(X, Y)
        np.testing.assert_array_equal(model.predict(X), Y)
        assert model.predict_topk(X, 1, names=True)[0][:, 0].tolist() == np.array(list("zyxw"))[label].tolist()

    @pytest.mark.parametrize("y, error, message", [
        ([["a"], [1]], TypeError, "strings and rows with other labels"), ([["a"]], ValueError, "1 rows, X has 2"),
        ([["a"], "b"], ValueError, "all are classes, or all lists")])
    def test_refused(self, y, error, message):
        with pytest.raises(error, match=message):
            MongooseClassifier(**FAST).fit(np.eye(2), y)


class TestWeights:
    def test_weights_are_copies(self):
        X, label = planted(40, 4)
        copies = np.arange(40) % 3
        weighted = MongooseClassifier(**FAST).fit(X, label, sample_weight=copies)
        repeated = MongooseClassifier(**FAST).fit(sp.vstack([X[i] for i in np.repeat(np.arange(40), copies)]), np.repeat(label, copies))
        np.testing.assert_allclose(weighted.predict_proba(X), repeated.predict_proba(X), rtol=0.02, atol=1e-4)

    def test_class_weight(self):
        """Two classes on the same rows: the heavier one wins; balanced ones are equal."""
        X, y = np.ones((40, 1)), np.repeat(["a", "b"], [30, 10])
        def share(**settings):
            return MongooseClassifier(**FAST, **settings).fit(X, y).predict_proba([[1.0]])[0, 1]

        assert share() == pytest.approx(0.25, abs=0.02) and share(class_weight="balanced") == pytest.approx(0.5, abs=0.02)
        assert share(class_weight={"b": 9}) == pytest.approx(0.75, abs=0.02)
        assert share(class_weight={"b": 0}) < 0.05

    def test_class_weight_of_labels(self):
        X, Y = np.ones((40, 1)), [["a", "b"]] * 20 + [["c"]] * 20
        p = MongooseClassifier(**FAST, class_weight={"a": 2, "b": 4}).fit(X, Y).predict_proba([[1.0]])[0]
        np.testing.assert_allclose(p, [0.375, 0.375, 0.25], atol=0.02)  # a row of a and b counts 3

    @pytest.mark.parametrize("class_weight, error, message", [
        ({"z": 1}, ValueError, "'z', which is none of the 2"), ("balance", ValueError, "'balanced', None or a dict"),
        ({"a": -1}, ValueError, "at least 0"), ({"a": "1"}, TypeError, "must be a number")])
    def test_refused(self, class_weight, error, message):
        with pytest.raises(error, match=message):
            MongooseClassifier(**FAST, class_weight=class_weight).fit(np.eye(2), ["a", "b"])


class TestGoingOn:
    def test_new_labels(self, fitted):
        """The output layer grows; what was known stays, and a call that fails changes nothing."""
        model = pickle.loads(pickle.dumps(fitted))
        before = model.predict_topk(["soup", "goal"], 3)
        for classes in (["sport", "food"], ["sport", "food", "law"]):
            with pytest.raises(ValueError, match="'tech' is missing"):
                model.partial_fit(["soup"], [["food"]], classes=classes)
        with pytest.raises(ValueError, match="label 'law', which is none of the 3"):
            model.partial_fit(["soup"], [["law"]])
        with pytest.raises(ValueError, match="label 'art', which is none of the 4"):
            model.partial_fit(["soup"], [["art"]], classes=["sport", "food", "tech", "law"])
        assert model.classes_.tolist() == ["food", "sport", "tech"] and model.network_.n_outputs == 3
        np.testing.assert_array_equal(model.predict_topk(["soup", "goal"], 3)[1], before[1])
        for _ in range(60):
            model.partial_fit(["salt ball", "soup", "chip disk"], [["law"], ["food"], ["tech"]], classes=["law", "sport", "food", "tech"])
        assert model.classes_.tolist() == ["food", "sport", "tech", "law"] == model.network_.label_names.tolist()
        assert model.predict(["salt ball", "code chip disk"]) == [["law"], ["tech"]]

    def test_new_classes_and_columns(self):
        X, label = planted(90, 3)
        model = MongooseClassifier(**FAST, batch_size=10).fit(X[label < 2], np.array(["b", "d"])[label[label < 2]])
        for _ in range(30):
            model.partial_fit(X, np.array(["b", "d", "c"])[label], classes=["b", "c", "d"])
        assert model.classes_.tolist() == ["b", "d", "c"] and model.score(X, np.array(["b", "d", "c"])[label]) > 0.95
        Y = sp.csr_matrix(np.eye(3)[label])
        columns = MongooseClassifier(**FAST).fit(X, Y[:, :2])
        with pytest.raises(ValueError, match="3 outputs, expected 2"):
            columns.partial_fit(X, Y)
        assert columns.partial_fit(X, Y, n_labels=3).predict(X).shape == (90, 3)

    def test_the_rate_of_today(self):
        X, label = planted(90, 3)
        model = MongooseClassifier(**FAST).fit(X, label)
        before = model.network_.output.weights.value.copy()
        model.set_params(lr=1e-9).partial_fit(X, label)
        np.testing.assert_allclose(model.network_.output.weights.value, before, atol=1e-7)
        model.set_params(lr=0.5).partial_fit(X, label)
        assert np.abs(model.network_.output.weights.value - before).max() > 1e-3

    @pytest.mark.parametrize("value, waits", [(True, 3), (2, 2)])
    def test_early_stopping(self, value, waits):
        X, label = planted(200, 6)
        scores = MongooseClassifier(**FAST, epochs=100, early_stopping=value).fit(X, label).history_.column("P@1")
        assert len(scores) == min(100, scores.index(max(scores)) + waits + 2) < 100
        assert "P@1" not in MongooseClassifier(**FAST, epochs=2, early_stopping=False).fit(X, label).history_[0]


Y_FORMS = {"classes": np.array(["ä", "b", "c"]), "integers": np.array([7, -2, 3]), "floats": np.array([1.0, 2.0, 5.0]),
           "booleans": np.array([True, False, True]), "objects": np.array(["x", "y", "z"], object)}


class TestFiles:
    @pytest.mark.parametrize("form", [*Y_FORMS, "dense", "sparse", "ids", "names"])
    def test_saved_and_loaded(self, tmp_path, form):
        X, label = planted(60, 3)
        y = {"dense": np.eye(3)[label], "sparse": sp.csr_matrix(np.eye(3)[label]), "ids": [[i] for i in label.tolist()],
             "names": [[f"n{i}"] for i in label]}.get(form)
        y = Y_FORMS[form][label] if y is None else y
        model = MongooseClassifier(hidden=(8, nn.Wide(20), 6), sampler=nn.Uniform(2), epochs=2, random_state=np.random.default_rng(0))
        model.fit(X, y)
        model.save(tmp_path / "m")
        again = MongooseClassifier.load(tmp_path / "m")
        assert {**again.get_params(), "random_state": None}.keys() == model.get_params().keys() and again.epochs == 2
        assert repr(again.hidden) == repr(model.hidden) and repr(again.sampler) == repr(model.sampler)
        assert again.classes_.dtype == model.classes_.dtype and again.classes_.tolist() == model.classes_.tolist()
        want, found = model.predict(X), again.predict(X)
        if sp.issparse(want):
            assert want.dtype == found.dtype and (want != found).nnz == 0
        else:
            assert type(want) is type(found) and np.array_equal(want, found) and getattr(want, "dtype", 0) == getattr(found, "dtype", 0)
        np.testing.assert_array_equal(model.decision_function(X), again.decision_function(X))
        assert_same_arrays(model.partial_fit(X, y).network_, again.partial_fit(X, y).network_)
        assert again.history_[0]["loss"] == model.history_[0]["loss"]

    def test_a_network_is_read_as_an_estimator_and_the_other_way(self, tmp_path, fitted):
        fitted.save(tmp_path / "m", optimizer=False)
        net = Network.load(tmp_path / "m")
        assert net.label_names[net.predict("a goal")] == "sport"
        net.save(tmp_path / "n")
        assert MongooseClassifier.load(tmp_path / "n").predict(["a goal"]) == [["sport"]]

    def test_what_cannot_be_saved(self, tmp_path):
        with pytest.raises(Exception, match="not fitted"):
            MongooseClassifier().save(tmp_path / "m")
        model = MongooseClassifier(**FAST).fit(np.eye(2), np.array(["2020-01-01", "2020-01-02"], "M8[D]"))
        with pytest.raises(TypeError, match="cannot be saved; give strings or numbers"):
            model.save(tmp_path / "m")
        assert pickle.loads(pickle.dumps(model)).predict(np.eye(2)).dtype.kind == "M" and not list(tmp_path.iterdir())

    @pytest.mark.parametrize("change", [
        {"k": 0}, {"k": 99}, {"seen": [1]}, {"form": "x"}, {"dtype": "zz"}, {"parameters": {"hiden": 3}}, {"history": 3}])
    def test_damaged_files(self, tmp_path, fitted, change):
        from mongoose_nb.core.files import FormatError
        from mongoose_nb.nn.saving import save_network

        network, state = fitted.file_state()
        save_network(network, tmp_path / "m", False, more={"estimator": {**state, **change}})
        with pytest.raises(FormatError, match="damaged|unknown"):
            MongooseClassifier.load(tmp_path / "m")


class TestAnswers:
    def test_a_single_row_and_what_is_left_out(self):
        X, label = planted(60, 4)
        model = MongooseClassifier(**FAST).fit(X, np.array(list("dcba"))[label])
        ids, scores = model.predict_topk(X, 4)
        one = model.predict_topk(X[3].toarray()[0], 4)
        assert one[0].tolist() == ids[3].tolist() and one[0].shape == (4,)
        assert model.predict_topk(X, 3, exclude=[row[:1].tolist() for row in ids])[0].tolist() == ids[:, 1:].tolist()
        assert model.predict_topk(X, 4, exclude=[0], names=True)[0][:, 3].tolist() == [None] * 60

    @pytest.mark.parametrize("loss", ["softmax", "logistic"])
    @pytest.mark.parametrize("multilabel", [False, True])
    def test_probabilities_are_those_of_predict_proba(self, loss, multilabel):
        X, label = planted(60, 4)
        model = MongooseClassifier(**FAST, loss=loss).fit(X, [[i] for i in label.tolist()] if multilabel else label)
        ids, p = model.predict_topk(X, 2, proba=True)
        np.testing.assert_allclose(p, np.take_along_axis(model.predict_proba(X), ids, 1), rtol=1e-5)
