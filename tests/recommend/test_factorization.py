"""Matrix factorisation, NeuMF, and federated averaging."""

import numpy as np
import pytest
import scipy.sparse as sp

from mongoose_nb.compress import Compress
from mongoose_nb.compress.fair import FairServer, Subspace, weighted_mean
from mongoose_nb.recommend import FederatedFactorization, MatrixFactorization


def problem(n_users=90, n_items=60):
    rng = np.random.default_rng(0)
    likes = (np.arange(n_users)[:, None] % 3 == np.arange(n_items) % 3) & (rng.random((n_users, n_items)) < 0.7)
    held = likes & (rng.random(likes.shape) < 0.3)
    return sp.csr_matrix(likes & ~held, dtype=np.float32), sp.csr_matrix(held, dtype=np.float32)


@pytest.mark.parametrize("given", [{}, {"hidden": (16,)}, {"compress": 2.0}, {"compress": 2.0, "compress_users": True}], ids=str)
def test_finds_held_out_items(given):
    seen, held = problem()
    users, items = seen.nonzero()
    one = MatrixFactorization(8, epochs=25, lr=1e-2, batch_size=256, random_state=1, **given).fit(users, items)
    scores = one.evaluate(held, exclude=seen, k=10)
    assert scores["NDCG@10"] > 0.33 and one.history_[-1] < 0.5
    ids, best = one.predict_topk([0, 1], 5, exclude=seen[:2])
    assert not any(seen[u, i] for u in (0, 1) for i in ids[u]) and (np.diff(best) <= 0).all()


def test_refusals_of_factorization():
    with pytest.raises(ValueError, match="one length"):
        MatrixFactorization().fit([0, 1], [0])
    with pytest.raises(TypeError, match="integer ids"):
        MatrixFactorization().fit([0.5], [0])
    with pytest.raises(ValueError, match="lie in 0"):
        MatrixFactorization().fit([-1], [0])
    with pytest.raises(Exception, match="call fit first"):
        MatrixFactorization().scores([0])
    with pytest.raises(Exception, match="call fit first"):
        MatrixFactorization().predict_topk([0])
    one = MatrixFactorization(4, epochs=1).fit([0, 1, 2], [0, 1, 3])
    for call, message in [
        (lambda: one.predict_topk([0, 1], exclude=sp.csr_matrix((1, 4))), r"\(2, 4\); got \(1, 4\)"),
        (lambda: one.predict_topk([0], exclude=sp.csr_matrix((1, 9))), r"\(1, 4\); got \(1, 9\)"),
        (lambda: one.evaluate(sp.csr_matrix((5, 4))), r"\(3, 4\); got \(5, 4\)"),
        (lambda: one.evaluate(sp.csr_matrix((3, 4))), "no entries"),
        (lambda: one.partial_fit([0, 1], [2]), "one length"),
        (lambda: MatrixFactorization().fit([0], [0], n_items=0), "n_items"),
        (lambda: MatrixFactorization(penalty=-1.0).fit([0], [0]), "penalty"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(TypeError, match="list of widths"):
        MatrixFactorization(hidden=8).fit([0], [0])
    seen = np.eye(1, 4)
    assert np.array_equal(one.predict_topk([0], 2, exclude=seen)[0], one.predict_topk([0], 2, exclude=sp.csr_matrix(seen))[0])


FAR = np.arange(100) + 10**9


@pytest.mark.parametrize(("settings", "users", "items", "words"), [
    ({}, FAR, FAR - 10**9, r"give n_users= where so many rows are meant$"), ({}, FAR - 10**9, FAR, "number items with np.unique"),
    ({"compress": 8}, FAR, FAR - 10**9, "users are 100 ids from 1000000000 to 1000000099, .* 0 to n - 1; .*compress_users=True"),
    ({"compress": 8}, FAR - 10**9, FAR, "items are 100 ids"), ({"compress": Compress(cells=500)}, FAR, FAR, "users are 100 ids"),
    ({"compress": 8, "compress_users": True}, FAR, FAR, r"users are 100 ids .* so many rows are meant$"),
], ids=str)
def test_ids_with_gaps_that_would_take_huge_tables(settings, users, items, words):
    one = MatrixFactorization(4, **settings)
    with pytest.raises(ValueError, match=words):
        one.fit(users, items)
    assert not hasattr(one, "users_")


def test_ids_with_gaps_in_a_small_array():
    one = MatrixFactorization(4, compress=Compress(cells=500), compress_users=True, epochs=1).fit(FAR, np.arange(100))
    assert one.scores(FAR[:2]).shape == (2, 100)
    with pytest.raises(ValueError, match="at ratio=8, .* give a larger ratio"):
        MatrixFactorization(100, compress=8).fit(FAR, [*range(100)], n_users=10**9 + 100, n_items=2**31)


def test_a_step_that_would_not_be_finite_changes_nothing():
    one = MatrixFactorization(4, epochs=1).fit([0, 1, 2], [0, 1, 3])
    one.items_.weights.value[:] = 3e38
    one.users_.weights.value[:] = [[3e38, -3e38, 1, 1]]
    before = one.users_.weights.value.copy()
    with np.errstate(all="ignore"), pytest.raises(FloatingPointError, match="lower the learning rate"):
        one.partial_fit([0, 1], [1, 2])
    assert np.array_equal(one.users_.weights.value, before)


def test_equal_devices_stay_in_their_subspace():
    """The mean of tables of one capacity is the table of the mean; large enough devices hold everything."""
    rng = np.random.default_rng(0)
    space = Subspace((30, 4), 32, 5)
    server = FairServer(rng.standard_normal((30, 4)), [32, 10_000], seed=5)
    a, b = rng.standard_normal((2, 32))
    server.receive([(0, a, 1.0), (0, b, 3.0)])
    assert np.abs(server.table - (space.lift(a) + 3 * space.lift(b)) / 4).max() <= 1e-12
    assert server.subspaces[1].full and np.array_equal(server.send(1), server.table.ravel())


def test_change_keeps_what_small_devices_cannot_hold():
    table = np.random.default_rng(0).standard_normal((30, 4))
    kept, lost = (FairServer(table, [16], update=update) for update in ("change", "average"))
    for server in (kept, lost):
        server.receive([(0, server.send(0), 1.0)])
    assert np.abs(kept.table - table).max() <= 1e-12 and np.abs(lost.table - table).max() > 0.1


def test_a_round_without_some_answers_and_bad_answers():
    server = FairServer(np.zeros((30, 4)), [16, 64])
    server.receive([])
    assert not server.table.any()
    for answer in ((0, np.zeros(3), 1.0), (0, np.full(16, np.nan), 1.0), (1, np.zeros(64), 0.0), (0, np.zeros(16), np.inf),
                   (2, np.zeros(64), 1.0), (-1, np.zeros(64), 1.0)):
        with pytest.raises(ValueError, match="an answer"):
            server.receive([answer])


def test_flower_is_an_extra(monkeypatch):
    from mongoose_nb.recommend import flower

    monkeypatch.setattr(flower, "Strategy", None)
    for call in (lambda: flower.FairStrategy(FairServer(np.zeros((3, 4)), [12])), lambda: flower.client_app(print)):
        with pytest.raises(ImportError, match="mongoose_nb.flower"):
            call()


def test_weighted_mean_of_dense_parameters():
    mean = weighted_mean([({"b": np.float32([1, 2])}, 1.0), ({"b": np.float32([5, 2])}, 3.0)])
    assert mean["b"].tolist() == [4, 2] and mean["b"].dtype == np.float32


def test_federated_training_learns_with_devices_of_three_capacities():
    seen, held = problem()
    likes = [row.indices for row in seen]
    kinds = np.arange(len(likes)) % 3 * 0 + np.arange(len(likes)) // 30
    one = FederatedFactorization(60, 8, [480, 128, 64], kinds, likes, lr=0.1, rate=5.0, update="change")
    again = FederatedFactorization(60, 8, [480, 128, 64], kinds, likes, lr=0.1, rate=5.0, update="change").fit(60, 30)
    one.fit(60, 30)
    assert np.array_equal(one.server.table, again.server.table)
    scores = one.scores(np.arange(90))
    scores[seen.nonzero()] = -np.inf
    best = np.argsort(-scores, axis=1)[:, :5]
    assert np.mean([held[u, i] for u in range(90) for i in best[u]]) > 0.3  # chance: 0.07


@pytest.mark.parametrize("users, shown", [([-1, 0], "-1"), ([2**62, 0], f"{2**62}"), (np.array([2**63, 0], np.uint64), f"{2**63}")])
def test_ids_out_of_range(users, shown):
    with pytest.raises(ValueError, match=f"users must lie in 0 to 2147483646; got {shown}: number users from 0 on"):
        MatrixFactorization().fit(users, [0, 1])
