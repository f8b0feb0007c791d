"""Labels stay what they were given as, everywhere labels are taken."""

import numpy as np
import pytest

from mongoose_nb import ClickClassifier, LGDClassifier, MongooseClassifier, Network, SetClassifier, SolarClassifier
from mongoose_nb.core.labels import as_labels

X = np.eye(4)


def test_labels_as_arrays():
    for given in ([1, 2], ["a", "b"], [True, False], [1.0, 2], (b"a", b"b"), [np.int8(1), 2], [np.str_("a"), "b"], [[1], [2, 3]][:1], []):
        assert as_labels(given).tolist() == list(given)
    given = np.array(["a", "bb"], object)
    assert as_labels(given) is given
    assert as_labels([2**70, 2**70 + 1]).tolist() == [2**70, 2**70 + 1]


@pytest.mark.parametrize("given, words", [
    ([1, "x"], "1 .int. in row 0 and 'x' .str. in row 1"), (["x", "y", 2.5], "'x' .str. in row 0 and 2.5 .float. in row 2"),
    ([b"a", "a"], "b'a' .bytes. in row 0"), (["x", None], "None .NoneType. in row 1"), (["x", float("nan")], "nan .float. in row 1"),
    (np.array([1, "x"], object), "1 .int."), ([True, "x"], "True .bool."), ([None, 1], "None"),
])
def test_mixed_labels_are_refused(given, words):
    with pytest.raises(TypeError, match=f"labels mixes .*{words}|labels mixes {words}"):
        as_labels(given, "labels")


def test_scores_of_other_labels_are_refused():
    """All comparisons of strings with numbers are false, which looked like an accuracy of 0."""
    model = MongooseClassifier(epochs=1).fit(X, [0, 1, 0, 1])
    with pytest.raises(TypeError, match="y together with the classes mixes 0 .int. in row 0 and '0' .str."):
        model.score(X, ["0", "1", "0", "1"])
    assert model.score(X, [0.0, 1.0, 0.0, 1.0]) == model.score(X, [0, 1, 0, 1])


def test_whole_numbers_that_would_become_floats():
    with pytest.raises(ValueError, match="-1 to 9223372036854775808; give them as strings"):
        as_labels([2**63, -1])


@pytest.mark.parametrize("fit", [
    lambda y: MongooseClassifier(epochs=1).fit(X, y), lambda y: MongooseClassifier().partial_fit(X, [1, 2, 1, 2], classes=y),
    lambda y: SolarClassifier().fit(X, y), lambda y: LGDClassifier().fit(X, y), lambda y: ClickClassifier().fit(X, y),
    lambda y: SetClassifier().fit(list(X[:, None]), y), lambda y: setattr(Network(4, 4), "label_names", list(y)),
], ids=["classifier", "partial_fit", "solar", "lgd", "click", "sets", "label_names"])
@pytest.mark.parametrize("y", [[1, "x", 1, "y"], np.array(["x", 2, "x", 3], object)], ids=["list", "array"])
def test_everywhere(fit, y):
    with pytest.raises(TypeError, match="mixes"):
        fit(y)
