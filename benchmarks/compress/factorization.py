"""Matrix factorisation on MovieLens-1M, the items in full tables and in hashed arrays."""

import sys

import numpy as np
import scipy.sparse as sp

from benchmarks.compress.sets import movielens
from benchmarks.rows import wanted
from mongoose_nb.compress import Compress
from mongoose_nb.recommend import MatrixFactorization

#: of the tables of items, all but "full" have a quarter of the bytes; with "dimension / 4" those of users are smaller, too
TABLES = {"full": {}, "dimension / 4": {"embedding_dim": 8}, "ROBE 4x": {"compress": Compress("robe", 4)},
          "row hashing 4x": {"compress": Compress("row", 4)}, "quotient-remainder 4x": {"compress": Compress("compositional", 4)}}
SYSTEMS = {**TABLES, **{f"NeuMF, {name}": {"hidden": (32, 16), **given} for name, given in TABLES.items()}}


def measure(args):
    """NDCG@20 and recall@20 of held-out items that users like, those seen in training left out."""
    users, items, level, test = movielens(args.data)
    shape = users.max() + 1, items.max() + 1
    liked = level == 3
    train, held = liked & ~test, liked & test
    truth = sp.csr_matrix((np.ones(held.sum()), (users[held], items[held])), shape)
    seen = sp.csr_matrix((np.ones((~test).sum()), (users[~test], items[~test])), shape)
    out = {}
    for name, given in wanted(SYSTEMS, args.only).items():
        found = []
        for seed in range(args.seeds):
            model = MatrixFactorization(**{"embedding_dim": 32, "epochs": 10, "lr": 2e-3, **given}, random_state=seed)
            model.fit(users[train], items[train], n_users=shape[0], n_items=shape[1])
            found.append(model.evaluate(truth, exclude=seen, k=20))
        out[name] = {key: float(np.mean([one[key] for one in found])) for key in found[0]}
        out[name].update(seeds=args.seeds, spread=float(np.ptp([one["NDCG@20"] for one in found])))
        print(name, out[name], file=sys.stderr, flush=True)
    for name, given in SYSTEMS.items():  # also of rows that were measured before
        model = MatrixFactorization(**{"embedding_dim": 32, **given}).build(*map(int, shape))
        out.setdefault(name, {})["bytes"] = [table.weights.value.nbytes for table in (model.users_, model.items_)]
    return out
