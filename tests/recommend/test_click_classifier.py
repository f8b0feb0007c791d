"""The click classifier: learns, saves, meets unseen values, refuses what cannot be right."""

import numba
import numpy as np
import pytest
import scipy.sparse as sp

import mongoose_nb
from mongoose_nb import ClickClassifier
from mongoose_nb.compress import Compress
from mongoose_nb.core.registry import registered
from mongoose_nb.metrics import auc, log_loss
from mongoose_nb.nn.layers.gradients import as_dense
from mongoose_nb.recommend.interactions import Interaction

COMPRESSIONS = [None, 4.0, "row", Compress("compositional", 2), Compress("fold", 4), Compress("roast", 4, grad_scale=True),
                Compress("lma", 4), Compress("element", 4), Compress("collapsible", 4)]


def problem(n=1500, seed=0):
    """Clicks by group of the user and of the item; 30 users, 20 items, a column of strings and one of numbers."""
    rng = np.random.default_rng(seed)
    users, items, number = rng.integers(0, 30, n), rng.integers(0, 20, n), rng.standard_normal(n)
    y = (users % 3 + items % 2 >= 2) ^ (rng.random(n) < 0.05)
    X = np.empty((n, 4), object)
    X[:, 0], X[:, 1], X[:, 2], X[:, 3] = users, items, [f"c{u % 3}" for u in users], number
    return X, y.astype(int)


def make(**given):
    return ClickClassifier(8, **{"hidden": (16,), "numeric": [3], "epochs": 8, "batch_size": 64, "lr": 1e-2, "random_state": 0, **given})


@pytest.mark.parametrize("compress", COMPRESSIONS, ids=str)
def test_learns_saves_and_is_the_same_for_any_number_of_threads(compress, tmp_path):
    X, y = problem()
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        one = make(compress=compress).fit(X[:1200], y[:1200])
    finally:
        numba.set_num_threads(before)
    p = one.predict_proba(X[1200:])
    assert p.shape == (300, 2) and np.allclose(p.sum(axis=1), 1) and auc(y[1200:], p[:, 1]) > 0.7
    assert np.array_equal(make(compress=compress).fit(X[:1200], y[:1200]).predict_proba(X[1200:]), p)
    one.save(tmp_path / "model")
    again = ClickClassifier.load(tmp_path / "model")
    assert np.array_equal(again.predict_proba(X[1200:]), p)
    assert np.array_equal(again.partial_fit(X, y).decision_function(X), one.partial_fit(X, y).decision_function(X))


@pytest.mark.parametrize("interaction", registered("interaction", "mongoose_nb."))
@pytest.mark.parametrize("compress", [None, "robe"])
def test_gradients_are_those_of_the_loss(interaction, compress):
    """Slopes of the loss along random directions, by finite differences."""
    X, y = problem(200)
    one = make(interaction=interaction, compress=compress, epochs=1, init_std=0.3).fit(X, y)
    ids, numbers = one.encoder_.transform(X)
    model, rng, target = one.model_, np.random.default_rng(0), y.astype(np.float32)
    gradients = {name: np.array(as_dense(g)) for name, g in model.loss_and_gradients(ids, numbers, target)[1].items()}
    for name, parameter in model.parameters().items():
        direction = rng.standard_normal(parameter.value.shape).astype(np.float32)
        direction /= np.linalg.norm(direction)
        start, losses = parameter.value.copy(), []
        for step in (0.02, -0.02):
            parameter.value[...] = start + np.float32(step) * direction
            losses.append(model.loss_and_gradients(ids, numbers, target)[0])
        parameter.value[...] = start
        slope = (losses[0] - losses[1]) / 0.04
        assert abs(slope - (gradients[name] * direction).sum()) < 0.05 * np.linalg.norm(gradients[name]) + 1e-5, name


def test_unseen_values():
    """Hashed: an embedding of their own, without a vocabulary. Full table: one for all unseen values of a column."""
    X, y = problem()
    new = X[:2].copy()
    new[:, 0] = [10_001, 10_002]
    new[1] = [10_002, *new[0, 1:]]
    hashed, full = make(compress="robe").fit(X, y), make().fit(X, y)
    assert not hashed.encoder_.vocabulary and np.diff(hashed.decision_function(new))[0] != 0
    assert np.diff(full.decision_function(new))[0] == 0
    hashed.partial_fit(new, [0, 1])
    new[:, 2] = "never seen"
    assert np.isfinite(full.decision_function(new)).all()


class Frame:
    """What the encoder takes of a data frame."""

    def __init__(self, columns):
        self._columns, self.columns = columns, list(columns)

    def __getitem__(self, name):
        return self._columns[name]

    def __len__(self):
        return len(next(iter(self._columns.values())))


def test_a_data_frame_has_numeric_columns_where_they_are_floats():
    X, y = problem()
    frame = Frame({"user": X[:, 0].astype(int), "price": X[:, 3].astype(float), "tag": X[:, 2].astype(str)})
    one = make(numeric=None).fit(frame, y)
    assert one.encoder_.is_numeric == [False, True, False] and one.predict(frame).shape == (len(y),)
    for columns, message in [({"user": [1, 2], "price": [0.5], "tag": ["a", "b"]}, r"'user' has the shape \(2,\), and column 'price'"),
                             ({"user": [[1], [2]], "price": [0.5, 1.0], "tag": ["a", "b"]}, "vectors of one length")]:
        for call in (one.predict, lambda X: make(numeric=None).fit(X, [0, 1])):
            with pytest.raises(ValueError, match=message):
                call(Frame(columns))
    with pytest.raises(ValueError, match="trained with"):
        one.predict(Frame({"user": [1], "cost": [0.5], "tag": ["c1"]}))


@pytest.mark.parametrize("change, message", [
    ({"X": np.zeros((0, 2), int), "y": []}, "two classes|no rows"), ({"y": [0] * 9}, "two classes"), ({"y": [0, 1]}, "9 rows and y 2"),
    ({"X": np.full((9, 2), 0.5)}, "whole numbers or texts"), ({"numeric": [7]}, "numeric names 7"), ({"numeric": [0, 1]}, "all columns"),
    ({"interaction": "dot", "hidden": ()}, "give hidden="), ({"epochs": 0}, "epochs"), ({"compress": "nothing"}, "unknown"),
    ({"X": np.zeros(9)}, "rows and columns"), ({"y": [np.nan] * 9}, "NaN"), ({"X": sp.csr_matrix(np.eye(9))}, "sparse matrix"),
    ({"y": np.array([None, 1, 0] * 3, object)}, "one type"), ({"X": np.full((9, 2), 1e20)}, "tell whole numbers apart"),
    ({"X": np.stack([np.arange(9.0), np.full(9, 1e300)], 1), "numeric": [1]}, r"1e\+300"), ({"hidden": 8}, "list of widths"),
    ({"numeric": "price"}, "numeric must be a list of columns"), ({"numeric": 3}, "numeric must be a list"),
    ({"y": [0.5, 1.5] * 4 + [0.5]}, "continuous"),
])
def test_refusals(change, message):
    X, y = np.arange(18).reshape(9, 2), [0, 1, 0, 1, 0, 1, 0, 1, 1]
    given = {"X": X, "y": y, **change}
    X, y = given.pop("X"), given.pop("y")
    with pytest.raises((ValueError, TypeError), match=message):
        make(**{"numeric": None, **given}).fit(X, y)


def test_columns_with_one_name():
    frame = Frame({"a": np.arange(9)})
    frame.columns = ["a", "a"]
    with pytest.raises(ValueError, match="more than one column 'a'"):
        make(numeric=None).fit(frame, [0, 1] * 4 + [1])


@pytest.mark.parametrize("rows, message", [((np.zeros((0, 2), int), []), "it has 0 rows"), (([[1, 2]], [1]), "both classes"),
                                           (([[1, 2]], [5]), "y holds 5"), (([[1, 2]], [0, 1]), "1 rows and 2")])
def test_rows_to_validate_with_are_checked_before_training(rows, message):
    one = make(numeric=None)
    one._epoch = None  # a call would fail
    with pytest.raises(ValueError, match=message):
        one.fit(np.arange(18).reshape(9, 2), [0, 1] * 4 + [1], validation=rows)
    with pytest.raises(TypeError, match="validation must be a pair"):
        one.fit(np.arange(18).reshape(9, 2), [0, 1] * 4 + [1], validation=rows[0])


@pytest.mark.parametrize("compress", [None, "robe", "fold"])
def test_integers_and_their_texts_are_the_same_category(compress):
    """A file read as text meets a model trained on integers, and the other way round."""
    X = np.array([[1, 12], [-3, 5], [1, 5], [7, 12]])
    for first, second in ((X, X.astype(str)), (X.astype(str), X)):
        one = make(numeric=None, compress=compress).fit(first, [0, 1, 0, 1])
        assert np.array_equal(one.decision_function(first), one.decision_function(second))
    words = one.decision_function([["x", "007"], ["x", "-"]])
    assert np.isfinite(words).all()


def test_not_fitted_and_names():
    assert mongoose_nb.ClickClassifier is ClickClassifier
    with pytest.raises(Exception, match="call fit first"):
        ClickClassifier().predict([[1, 2]])
    assert set(registered("interaction")) >= {"fm", "dot", "none"} and issubclass(registered("interaction")["fm"], Interaction)


def test_scores_of_probabilities():
    rng = np.random.default_rng(0)
    y, s = rng.integers(0, 2, 200), np.round(rng.random(200), 1)
    pairs = s[y == 1][:, None] - s[y == 0]
    assert abs(auc(y, s) - ((pairs > 0) + 0.5 * (pairs == 0)).mean()) < 1e-12
    assert abs(log_loss([1, 0], [0.5, 0.25]) + (np.log(0.5) + np.log(0.75)) / 2) < 1e-12
    for call, message in [(lambda: auc([1, 1], [0, 1]), "both classes"), (lambda: auc([2, 1], [0, 1]), "0 and 1"),
                          (lambda: auc([0, 1], [0, np.nan]), "NaN"), (lambda: log_loss([0, 1], [0, 2]), r"\[0, 1\]")]:
        with pytest.raises(ValueError, match=message):
            call()


@pytest.mark.parametrize("interaction", ["fm", "dot", "none"])
def test_numbers_as_far_off_as_allowed_have_probabilities(interaction):
    X = np.c_[np.arange(40) % 9, np.linspace(0, 3, 40)]
    model = ClickClassifier(numeric=[1], interaction=interaction, epochs=1, random_state=0).fit(X, np.arange(40) % 2)
    far = [[1, sign * 0.999e12 * float(model.encoder_.scale[0])] for sign in (1, -1)]
    p = model.predict_proba(far)
    assert np.isfinite(p).all() and np.allclose(p.sum(axis=1), 1)
    with pytest.raises(ValueError, match="standard deviations"):
        model.predict_proba([[1, 2e19]])
