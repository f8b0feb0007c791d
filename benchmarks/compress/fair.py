"""FAIR on MovieLens-1M: devices of three capacities, beside training only on those that hold the whole table."""

import sys

import numpy as np
import scipy.sparse as sp

from benchmarks.compress.sets import movielens
from benchmarks.rows import wanted
from mongoose_nb.metrics import ndcg_at_k
from mongoose_nb.recommend.federated import FederatedFactorization

WIDTH, ROUNDS, PARTICIPANTS, TESTED = 16, 2000, 10, 1500
RATIOS = (1, 4, 16)


def measure(args):
    """NDCG@20 over all devices by system, mean over the seeds."""
    users, items, level, test = movielens(args.data)
    liked = level == 3
    n_users, n_items = users.max() + 1, items.max() + 1
    train, held = liked & ~test, liked & test
    likes = [items[train][lo:hi] for lo, hi in _parts(users[train], n_users)]
    likes = [np.array(one) for one in likes]
    truth = sp.csr_matrix((np.ones(held.sum()), (users[held], items[held])), (n_users, n_items))
    seen = sp.csr_matrix((np.ones((~test).sum()), (users[~test], items[~test])), (n_users, n_items))
    out = {}
    for seed in range(args.seeds):
        rng = np.random.default_rng(seed)
        kinds = rng.permutation(n_users) % 3
        tested = rng.choice(np.flatnonzero(np.diff(truth.indptr)), TESTED, replace=False)
        size = n_items * WIDTH
        # power-of-two numbers of cells are nested
        small = [size] + [2 ** int(np.log2(size / ratio)) for ratio in RATIOS[1:]]
        systems = {"only devices that hold 1x": (True, "average", np.flatnonzero(kinds == 0)), "all, change": (True, "change", None),
                   "all, change, inconsistent": (False, "change", None), "all, average": (True, "average", None),
                   "all, average, inconsistent": (False, "average", None)}
        for name, (consistent, update, among) in wanted(systems, args.only).items():
            model = FederatedFactorization(n_items, WIDTH, small, kinds, likes, seed=seed, consistent=consistent, update=update,
                                           lr=0.1, local_epochs=5)
            model.fit(ROUNDS, PARTICIPANTS, among)
            scores = model.scores(tested)
            rows = seen[tested].tocoo()
            scores[rows.row, rows.col] = -np.inf
            best = np.argsort(-scores, axis=1)[:, :20]
            by_kind = [float(ndcg_at_k(truth[tested[kinds[tested] == k]], best[kinds[tested] == k], 20)[-1]) for k in range(3)]
            found = {"ndcg": float(ndcg_at_k(truth[tested], best, 20)[-1]), "by_capacity": by_kind}
            out.setdefault(name, []).append(found)
            print(seed, name, found, file=sys.stderr, flush=True)
    return {name: {"ndcg": float(np.mean([one["ndcg"] for one in found])), "each": [one["ndcg"] for one in found],
                   "spread": float(np.ptp([one["ndcg"] for one in found])), "seeds": args.seeds,
                   "by_capacity": np.mean([one["by_capacity"] for one in found], axis=0).tolist()} for name, found in out.items()}


def _parts(users, n):
    ends = np.searchsorted(users, np.arange(n + 1))
    return list(zip(ends[:-1], ends[1:]))
