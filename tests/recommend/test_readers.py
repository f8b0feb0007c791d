"""Readers of rows with clicks: numbers are what they look like."""

import numpy as np
import pytest

from mongoose_nb.recommend import ClickClassifier
from mongoose_nb.recommend.readers import read_clicks


@pytest.mark.parametrize("line, words", [
    ("1 1_0:1", "'1_0' is no whole number"), ("1_0 1:1", "'1_0' is no number"), ("nan 1:1", "the label is nan"),
    ("-inf 1:1", "the label is -inf"), ("1 2:1_0", "'1_0' is no number"), ("1 2:nan", "a value other than 1"), ("1 1.0:1", "no whole"),
    (f"1 {2**63}:1", "an id beyond 64 bits")])
def test_libfm_refuses_slips(line, words, tmp_path):
    """A label nan was the class 0, and an id 1_0 was 10."""
    path = tmp_path / "t.libfm"
    path.write_text(f"1 3:1\n-1 4\n{line}\n")
    with pytest.raises(ValueError, match="libfm:3: not 'label id:1 id:1 ...': ") as refused:
        read_clicks(path)
    assert words in str(refused.value)


def test_libfm(tmp_path):
    (tmp_path / "t.libfm").write_text("+1 3:1 7:1.0\n\n0 4 8\n-1.5 3 8:1\n")
    X, y = read_clicks(tmp_path / "t.libfm")
    assert X.tolist() == [[3, 7], [4, 8], [3, 8]] and y.tolist() == [1, 0, 0]


@pytest.mark.parametrize("cell", ["1_0", "١", "1,5", ""])
def test_numeric_columns_refuse_slips(cell, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(f'y,price\n1, 2.5\n0,"{cell}"\n', encoding="utf-8")
    with pytest.raises(ValueError, match=r"column 'price' is not of numbers: row 2 holds"):
        read_clicks(path, numeric=["price"])
    path.write_text("y,price\n1, 2.5\n0,3e1\n")
    np.testing.assert_array_equal(read_clicks(path, numeric=["price"])[0]["price"], [2.5, 30])


def test_a_model_refuses_them_as_well():
    X = np.array([[str(i % 2), str(i)] for i in range(20)], object)
    model = ClickClassifier(4, hidden=(), numeric=[1], epochs=1).fit(X, np.arange(20) % 2)
    with pytest.raises(ValueError, match="holds '1_0' in row 0: give numbers"):
        model.predict(np.array([["0", "1_0"]], object))
