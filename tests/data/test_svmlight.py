"""libsvm files, beside scikit-learn's reader."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mongoose_nb.data import read_svmlight

NUMBER = st.floats(-1e6, 1e6)
TEXT = """# a comment
+1 qid:3 1:0.5 4:2 # trailing 7:8

-1.5e0 2:1
  3 1:1\t3:-2
"""


def test_targets_comments_and_one_based_ids(tmp_path):
    path = tmp_path / "a.svm"
    path.write_text(TEXT)
    X, y = read_svmlight(path)
    assert y.dtype == np.float64 and y.tolist() == [1, -1.5, 3]
    assert X.toarray().tolist() == [[0.5, 0, 0, 2], [0, 1, 0, 0], [1, 0, -2, 0]]
    assert X.dtype == np.float32 and X.indices.dtype == np.int32
    X, _ = read_svmlight(path, zero_based=True)
    assert X.shape == (3, 5) and X[0, 1] == 0.5
    assert read_svmlight(path, 9)[0].shape == (3, 9)


def test_multilabel(tmp_path):
    path = tmp_path / "a.svm"
    path.write_text("2,0 0:1\n 3:1\n1:5 0:1 1:2\n\n1\n")
    X, Y = read_svmlight(path, multilabel=True)
    assert X.toarray().tolist() == [[1, 0, 0, 0], [0, 0, 0, 1], [1, 7, 0, 0], [0, 0, 0, 0]]
    assert Y.toarray().tolist() == [[1, 0, 1], [0, 0, 0], [0, 0, 0], [0, 1, 0]]
    assert read_svmlight(path, multilabel=True, n_labels=7)[1].shape == (4, 7)
    with pytest.raises(ValueError, match="line 1: label id out of range"):
        read_svmlight(path, multilabel=True, n_labels=2)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(NUMBER, st.dictionaries(st.integers(0, 30), NUMBER, min_size=1, max_size=5)),
                min_size=1, max_size=6), st.sampled_from([0, 1]))
def test_same_as_scikit_learn(tmp_path_factory, rows, base):
    datasets = pytest.importorskip("sklearn.datasets")
    path = tmp_path_factory.mktemp("svm") / "a.svm"
    path.write_text("".join(f"{t!r} " + " ".join(f"{i + base}:{v!r}" for i, v in sorted(f.items())) + "\n" for t,
                            f in rows))
    X, y = read_svmlight(path, 31, zero_based=base == 0)
    X2, y2 = datasets.load_svmlight_file(str(path), n_features=31, zero_based=base == 0)
    np.testing.assert_allclose(y, y2, rtol=1e-14)
    np.testing.assert_allclose(X.toarray(), X2.toarray(), rtol=2e-7, atol=1e-38)
    assert read_svmlight(path)[0].shape == datasets.load_svmlight_file(str(path))[0].shape


@pytest.mark.parametrize(("content", "options", "words"), [
    ("", {}, "empty"),
    ("1 1:1\nx 1:1\n", {}, "line 2: malformed target: 'x'"),
    ("# c\n\n1 1:1\nnan 1:1\n", {}, "line 4: value is NaN"),
    ("1 1:1\n1 1:a\n", {}, "line 2: malformed feature"),
    ("1 1:1 7\n", {}, "line 1: malformed feature '7'"),
    ("1 0:1\n", {"zero_based": False}, "zero_based=True"),
    ("1 5:1\n", {"n_features": 4}, "need 5 columns"),
    ("1 5:1\n", {"n_features": -1}, "n_features"),
    ("1 5:1\n", {"zero_based": "yes"}, "zero_based"),
    ("1 9999999999:1\n", {}, "line 1: feature id out of range"),
    ("1 1:3e38 1:3e38\n", {}, "row 0"),
])
def test_errors(tmp_path, content, options, words):
    path = tmp_path / "a.svm"
    path.write_text(content)
    with pytest.raises(ValueError, match=words):
        read_svmlight(path, **options)


@settings(deadline=None, max_examples=200)
@given(st.text("01 :,.#q\nid-", max_size=40), st.booleans())
def test_noise_is_read_or_refused(tmp_path_factory, noise, multilabel):
    path = tmp_path_factory.mktemp("svm") / "a.svm"
    path.write_text(noise)
    try:
        X, y = read_svmlight(path, multilabel=multilabel)
    except ValueError as error:
        assert "a.svm" in str(error)
    else:
        assert X.shape[0] == y.shape[0]
        X.check_format(full_check=True)
