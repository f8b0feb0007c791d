"""Outputs that are left out, single rows, and probabilities, against loops over all logits."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from nn_problem import FEATURES, OUTPUTS, problem

from mongoose_nb import nn
from mongoose_nb.nn import answers

X, Y = problem()


def trained(**settings):
    net = nn.Network(FEATURES, OUTPUTS, **{"hidden": (7,), "seed": 3, "sampler": "full", **settings})
    net.fit(X, Y, epochs=2)
    return net


@pytest.fixture(scope="module")
def net():
    return trained()


def logits(net):
    return net.hidden_activations(X) @ net.output.weights.value.T + net.output.bias.value


@pytest.mark.parametrize("widest", [0, 64, 1024])
@settings(deadline=None, max_examples=30)
@given(k=st.sampled_from([1, 5, 40, OUTPUTS]), seed=st.integers(0, 99),
       counts=st.lists(st.sampled_from([0, 1, 3, 60, OUTPUTS - 2, OUTPUTS]), min_size=24, max_size=24))
def test_what_is_left_out_does_not_come(net, widest, k, counts, seed):
    """The best of the others, whatever the numbers; a row does not depend on what others leave out."""
    rng, before = np.random.default_rng(seed), answers.WIDEST
    exclude = [rng.choice(OUTPUTS, n, replace=False).tolist() for n in counts]
    answers.WIDEST = widest
    try:
        ids, scores = net.predict_topk(X, k, exclude=exclude)
    finally:
        answers.WIDEST = before
    for i, z in enumerate(logits(net)):
        allowed = np.setdiff1d(np.arange(OUTPUTS), exclude[i])
        n = min(k, len(allowed))
        np.testing.assert_allclose(scores[i, :n], np.sort(z[allowed])[::-1][:n], atol=1e-5)
        np.testing.assert_allclose(z[ids[i, :n]], scores[i, :n], atol=1e-5)
        assert set(ids[i, :n].tolist()) <= set(allowed.tolist()) and len(set(ids[i, :n].tolist())) == n
        assert (ids[i, n:] == -1).all() and (scores[i, n:] == -np.inf).all()


def test_forms_of_exclude(net):
    want = net.predict_topk(X, 3, exclude=[[7, 9]] * 24)
    mask = np.isin(np.arange(OUTPUTS), [7, 9])
    values = sp.csr_matrix(np.tile(mask * 3.0, (24, 1)))  # ratings, not only ones
    by_row = (np.tile(mask, (24, 1)), np.tile(mask * 1, (24, 1)), values, values.tocoo(), sp.csr_array(values))
    for exclude in (np.array([7, 9]), [7, 9], mask, *by_row):
        for found, value in zip(net.predict_topk(X, 3, exclude=exclude), want):
            np.testing.assert_array_equal(found, value)
    for nothing in ([], sp.csr_matrix((24, OUTPUTS)), [[]] * 24):
        np.testing.assert_array_equal(net.predict_topk(X, 3, exclude=nothing)[0], net.predict_topk(X, 3)[0])


@pytest.mark.parametrize("exclude, message", [
    (sp.csr_matrix((24, OUTPUTS + 1)), r"exclude has shape \(24, 601\)"), ([OUTPUTS], "label 600"), ([[0]] * 23, "23 rows"),
    (np.zeros(5, bool), "5 booleans"), ([-1], "label -1")])
def test_exclude_that_is_refused(net, exclude, message):
    with pytest.raises(ValueError, match=message):
        net.predict_topk(X, 3, exclude=exclude)


def test_left_out_by_tables_and_by_a_ranking():
    """Where fewer are proposed than wanted, what there is; never what is excluded."""
    net = trained(sampler=nn.LSH(50, tables=nn.Tables(K=2, L=8)))
    best = net.predict_topk(X, 3, exact=False)[0]
    exclude = [row[row >= 0].tolist() for row in best]
    ids, scores = net.predict_topk(X, 3, exact=False, exclude=exclude)
    assert not (ids[:, :, None] == best[:, None])[ids >= 0].any() and ((ids >= 0) == np.isfinite(scores)).all()
    net.fit_ranking(X, Y, features="unit")
    best = net.predict_topk(X, 3)[0]
    ids = net.predict_topk(X, 3, exclude=[row.tolist() for row in best])[0]
    assert (ids >= 0).all() and not (ids[:, :, None] == best[:, None]).any()
    np.testing.assert_array_equal(ids, net.predict_topk(X, 6)[0][:, 3:])


def test_single_rows(net):
    ids, scores = net.predict_topk(X, 4)
    dense = X.toarray()
    for row in (dense[3], dense[3].tolist(), sp.csr_array(X)[3], dense[3].astype(int) * 0 + dense[3]):
        one = net.predict_topk(row, 4)
        assert one[0].shape == one[1].shape == (4,)
        np.testing.assert_array_equal(one[0], ids[3])
        np.testing.assert_allclose(one[1], scores[3], atol=1e-6)
    assert net.predict(dense[3]) == net.predict(X)[3] and net.predict(dense[3]).shape == ()
    assert net.predict_topk(X[3], 4)[0].shape == (1, 4)
    assert net.predict_topk(dense[3], 1, exclude=[ids[3, 0]])[0] == [ids[3, 1]]


@pytest.mark.parametrize("loss", ["softmax", "logistic"])
def test_probabilities(loss):
    net = trained(loss=loss)
    ids, p = net.predict_topk(X, OUTPUTS, probabilities=True)
    z = logits(net).astype(np.float64)
    want = 1 / (1 + np.exp(-z)) if loss == "logistic" else np.exp(z - z.max(1, keepdims=True))
    want = want if loss == "logistic" else want / want.sum(1, keepdims=True)
    np.testing.assert_allclose(p, np.take_along_axis(want, ids, 1), rtol=1e-4)
    np.testing.assert_array_equal(net.predict_topk(X, 3, probabilities=True)[0], net.predict_topk(X, 3)[0])
    few = net.predict_topk(X, 2, probabilities=True, exclude=list(range(OUTPUTS - 1)))
    assert (few[1][:, 1] == 0).all() and (few[0][:, 1] == -1).all()
    if loss == "softmax":
        with pytest.raises(ValueError, match="exact=True"):
            trained(sampler="lsh").predict_topk(X, 3, exact=False, probabilities=True)
