"""tf-idf of texts against scikit-learn and by hand; saved vocabularies."""

import numpy as np
import pytest
from scipy import sparse

from mongoose_nb import MongooseClassifier, Network, nn
from mongoose_nb.core.saving import join, restore, split, state_of
from mongoose_nb.nn.text_features import check_texts, is_texts

TEXTS = ["The red Apple is red", "a blue car!", "", "green apple tree; the car", "Über_straße 日本 42"]


@pytest.mark.parametrize("ngrams", [1, 2, 3])
def test_as_scikit_learn(ngrams):
    text = pytest.importorskip("sklearn.feature_extraction.text")
    other = text.CountVectorizer(token_pattern=r"\w+", ngram_range=(1, ngrams)).fit(TEXTS)
    step = nn.TextFeatures(ngrams).fit(TEXTS)
    counts = other.transform(TEXTS).toarray()
    idf = np.log((1 + len(TEXTS)) / (1 + (counts > 0).sum(axis=0))) + 1
    want = np.log1p(counts) * idf
    want /= np.maximum(np.linalg.norm(want, axis=1, keepdims=True), 1e-30)
    assert sorted(step.words) == sorted(other.vocabulary_)
    order = [step.words.index(word) for word in sorted(other.vocabulary_)]
    np.testing.assert_allclose(step.transform(TEXTS).toarray()[:, order], want, rtol=1e-5)


@pytest.mark.parametrize("step", [nn.TextFeatures(), nn.TextFeatures(2, most=4), nn.TextFeatures(hashed=7)], ids=["words", "4", "hashed"])
def test_saved_and_restored(step):
    rows = step.fit(TEXTS).transform(TEXTS)
    settings, arrays = split(state_of(step))
    again = type(step)(**step.config())
    restore(again, join(settings, arrays))
    assert (again.transform(TEXTS) != rows).nnz == 0 and again.words == step.words
    assert rows.shape[1] == step.n_features == {None: len(step.words), 7: 7}[step.hashed]


def test_what_is_kept():
    assert nn.TextFeatures(most=2).fit(["b a", "b c", "a"]).words == ["a", "b"]  # of most texts first, then by the alphabet
    assert nn.TextFeatures(min_rows=2).fit(["b a", "b c c c"]).words == ["b"]
    unknown = nn.TextFeatures().fit(["b a"]).transform(["zzz", "B"]).toarray()
    assert unknown.tolist() == [[0, 0], [0, 1]]


@pytest.mark.parametrize("call, error, message", [
    (lambda: nn.TextFeatures().transform(["a"]), ValueError, "not fitted"),
    (lambda: nn.TextFeatures().fit(["a", None]), TypeError, "text 1 is None"),
    (lambda: nn.TextFeatures().fit(["a", float("nan")]), TypeError, "text 1 is nan"),
    (lambda: nn.TextFeatures().fit([]), ValueError, "no texts"),
    (lambda: nn.TextFeatures().fit(["!", ""]), ValueError, "no word"),
    (lambda: nn.TextFeatures(min_rows=2).fit(["a b", "c"]), ValueError, "lower min_rows"),
    (lambda: nn.TextFeatures(0), ValueError, "ngrams"),
    (lambda: Network(3, 2).predict(["a text"]), TypeError, "trained on numbers"),
    (lambda: Network(3, 2).predict(["a text", None]), TypeError, "trained on numbers"),
    (lambda: nn.TextFeatures().fit([b"a"]), TypeError, "text 0 is b'a', of type bytes; .*decode it"),
    (lambda: nn.TextFeatures().fit(b"a"), TypeError, "text 0 is b'a', of type bytes"),
])
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_what_texts_are():
    for texts in (["a"], ("a", "b"), np.array(["a", "b"]), np.array(["a", "b"], object), "a"):
        assert is_texts(texts) and is_texts(texts, expected=True) and check_texts(texts)[0] == "a"
    for others in ([1.0], [["a"]], np.array([["a"]]), np.array([1, 2]), [], np.eye(2), None, {"a": 1}):
        assert not is_texts(others)
    for rows in ([[1.0]], np.eye(2), None, sparse.csr_matrix(np.eye(2)), np.array(1.0)):
        assert not is_texts(rows, expected=True)


@pytest.fixture(scope="module")
def models():
    texts, labels = ["a red apple", "a blue car", "green apple", "old car"] * 5, ["fruit", "traffic"] * 10
    classifier = MongooseClassifier((8,), epochs=1, ranking=None).fit(texts, labels)
    return {"predict": classifier.predict, "predict_proba": classifier.predict_proba, "predict_topk": classifier.predict_topk,
            "decision_function": classifier.decision_function, "score": lambda X: classifier.score(X, ["fruit"] * len(X)),
            "partial_fit": lambda X: classifier.partial_fit(X, ["fruit"] * len(X)), "network": classifier.network_.predict,
            "top": classifier.network_.predict_topk, "activations": classifier.network_.hidden_activations,
            "fit": lambda X: MongooseClassifier(text="words").fit(X, ["fruit"] * len(X)),
            "mixed fit": lambda X: MongooseClassifier().fit(["a", *X], ["fruit"] * (1 + len(X)))}


@pytest.mark.parametrize("given, error, message", [
    ([], ValueError, "there are no texts"), ([None], TypeError, r"text \d is None, of type NoneType; expected a string"),
    ((), ValueError, "there are no texts"), (np.array([]), ValueError, "there are no texts"),
    (["a car", 3], TypeError, r"text \d is 3, of type int"), (["a car", float("nan")], TypeError, "is nan, of type float"),
    ([b"a car"], TypeError, "decode it"), (np.array(["a", None], object), TypeError, r"text \d is None"),
])
def test_what_is_no_text_is_named_wherever_texts_are_taken(models, given, error, message):
    for name, call in models.items():
        if name != "mixed fit" or len(given):
            with pytest.raises(error, match=message):
                call(given)


def test_numbers_in_place_of_texts(models):
    for call in models.values():
        with pytest.raises(TypeError, match=r"text \d is 1, of type int; expected a string"):
            call([1, 2, 3])
