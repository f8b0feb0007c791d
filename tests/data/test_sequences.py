"""Next item and next word, against loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mongoose_nb.data import Vocabulary, next_word, sessions_to_xc

SESSIONS = st.lists(st.lists(st.integers(0, 5), max_size=9), min_size=1, max_size=6)


def naive_sessions(sessions, n, decay, window, last_only):
    X, y = [], []
    for session in sessions:
        ends = range(1, len(session))
        for end in list(ends)[-1:] if last_only else ends:
            row = np.zeros(n)
            prefix = session[:end]
            for back, item in enumerate(reversed(prefix[-window:] if window else prefix)):
                row[item] = max(row[item], decay**back)
            X.append(row)
            y.append(session[end])
    return np.array(X).reshape(len(y), n), y


@settings(deadline=None, max_examples=100)
@given(SESSIONS, st.sampled_from([0.5, 0.8, 1.0]), st.sampled_from([None, 1, 2, 4]), st.booleans())
def test_sessions(sessions, decay, window, last_only):
    right, labels = naive_sessions(sessions, 6, decay, window, last_only)
    if not labels:
        with pytest.raises(ValueError, match="two clicks"):
            sessions_to_xc(sessions, 6)
        return
    X, Y = sessions_to_xc(sessions, 6, decay, window=window, last_only=last_only)
    np.testing.assert_allclose(X.toarray(), right, rtol=1e-6)
    assert Y.shape == (len(labels), 6) and Y.indices.tolist() == labels and (np.diff(Y.indptr) == 1).all()
    assert X.dtype == np.float32 and X.indices.dtype == np.int32 and X.has_canonical_format


def test_sessions_by_hand():
    X, Y = sessions_to_xc([[1, 2, 1, 3], [0]])
    np.testing.assert_allclose(X.toarray(), [[0, 1, 0, 0], [0, 0.8, 1, 0], [0, 1, 0.8, 0]], rtol=1e-6)
    assert Y.indices.tolist() == [2, 1, 3]


def naive_words(documents, window, size, mode, decay, skip):
    X, y = [], []
    for tokens in documents:
        for t in range(1, len(tokens)):
            if tokens[t] in skip:
                continue
            row = np.zeros(window * size if mode == "position" else size)
            for d in range(1, min(window, t) + 1):
                word = tokens[t - d]
                if mode == "position":
                    row[(d - 1) * size + word] = 1
                else:
                    row[word] += decay ** (d - 1)
            X.append(row)
            y.append(tokens[t])
    return X, y


@settings(deadline=None, max_examples=100)
@given(SESSIONS, st.integers(1, 4), st.sampled_from(["position", "bag"]), st.sampled_from([(), (0,), (1, 2)]))
def test_next_word(documents, window, mode, skip):
    right, labels = naive_words(documents, window, 6, mode, 0.7, skip)
    if not labels:
        with pytest.raises(ValueError, match="two tokens"):
            next_word(documents, window, 6, skip_labels=skip)
        return
    X, Y = next_word(documents, window, 6, mode=mode, decay=0.7, skip_labels=skip)
    np.testing.assert_allclose(X.toarray(), right, rtol=1e-6)
    assert Y.indices.tolist() == labels and Y.shape[1] == 6
    assert X.dtype == np.float32 and X.has_canonical_format


def test_one_text_and_a_vocabulary():
    vocab = Vocabulary.build("a b a c")
    tokens = vocab.encode("a b a c")
    tokens.flags.writeable = False
    X, Y = next_word(tokens, 2, vocab)
    assert X.shape == (3, 2 * len(vocab)) and vocab.decode(Y.indices) == ["b", "a", "c"]
    X2, _ = next_word(tokens.tolist(), 2, len(vocab))
    assert (X != X2).nnz == 0


@pytest.mark.parametrize(("call", "words"), [
    (lambda: sessions_to_xc([[0, 1], [2, -1]]), "sequence 1 has the id -1"),
    (lambda: sessions_to_xc([[0, 1], [2, 5]], 5), "sequence 1 has the id 5; expected 0 to 4"),
    (lambda: sessions_to_xc([[0, 1.5]]), "sequence 0"),
    (lambda: sessions_to_xc([[[0], [1]]]), "sequence 0"),
    (lambda: sessions_to_xc([]), "two clicks"),
    (lambda: sessions_to_xc([[0, 1]], decay=0), "decay"),
    (lambda: sessions_to_xc([[0, 1]], decay=float("nan")), "decay"),
    (lambda: sessions_to_xc([[0, 1]], window=0), "window"),
    (lambda: next_word([0, 1], 0, 3), "window"),
    (lambda: next_word([0, 1], 1, 3, mode="set"), "mode"),
    (lambda: next_word([0, 3], 1, 3), "has the id 3"),
    (lambda: next_word([0, 1], 10, 10**9), "smaller"),
    (lambda: next_word([0], 1, 3), "two tokens"),
])
def test_errors(call, words):
    with pytest.raises(ValueError, match=words):
        call()
