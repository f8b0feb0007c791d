"""tf-idf of texts against scikit-learn and by hand; saved vocabularies."""

import numpy as np
import pytest

from mongoose_nb import Network, nn
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
])
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_what_texts_are():
    for texts in (["a"], ("a", "b"), np.array(["a", "b"]), np.array(["a", "b"], object), "a"):
        assert is_texts(texts) and check_texts(texts)[0] == "a"
    for others in ([1.0], [["a"]], np.array([["a"]]), np.array([1, 2]), [], ["a", 1], np.eye(2), None, {"a": 1}):
        assert not is_texts(others)
