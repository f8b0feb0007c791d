"""Sets: duplicates among documents beside datasketch, and nearest sets beside a product of sparse matrices."""

import statistics
import time

import numpy as np


def documents(n, seed=0, size=100, words=50_000):
    """Sets of words; a fifth are copies of an earlier one with some words replaced."""
    rng = np.random.default_rng(seed)
    out = []
    for i in range(n):
        if i and rng.random() < 0.2:
            one = out[rng.integers(0, i)].copy()
            change = rng.integers(0, size // 3)
            one[rng.choice(len(one), change, replace=False)] = rng.integers(0, words, change)
        else:
            one = rng.integers(0, words, size)
        out.append(one)
    return [np.unique(one) for one in out]


def _csr(sets, words=50_000):
    from scipy.sparse import csr_matrix

    indptr = np.cumsum([0] + [len(s) for s in sets])
    return csr_matrix((np.ones(indptr[-1], np.float32), np.concatenate(sets), indptr), shape=(len(sets), words))


def neighbours(args):
    """The jaccard index, and all similarities by a product of sparse matrices; queries are documents with up to a third changed."""
    from mongoose_nb import LSHIndex
    from mongoose_nb.search.tune import recall_of

    sets = documents(args.documents)
    rng = np.random.default_rng(1)
    asked = []
    for i in rng.integers(0, len(sets), 2 * args.n_queries):
        one = sets[i].copy()
        change = rng.integers(0, len(one) // 3)
        one[rng.choice(len(one), change, replace=False)] = rng.integers(0, 50_000, change)
        asked.append(np.unique(one))
    X, tune_queries, Q = _csr(sets), _csr(asked[:args.n_queries]), _csr(asked[args.n_queries:])
    index = LSHIndex("jaccard", X.shape[1], n_threads=1)
    tuned = index.tune(X, queries=tune_queries, recall=args.recall, k=1)
    start = time.perf_counter()
    index.add(X)
    build_s = time.perf_counter() - start
    index.query(Q[:2], 1)
    ours, brute = [], []
    sizes, part = np.diff(X.indptr), min(200, Q.shape[0])
    transposed = X.T.tocsr()
    for _ in range(args.rounds):
        start = time.perf_counter()
        far = index.query(Q, 1)[1]
        ours.append(Q.shape[0] / (time.perf_counter() - start))
        start = time.perf_counter()
        both = (Q[:part] @ transposed).toarray()
        union = np.diff(Q.indptr)[:part, None] + sizes[None, :] - both
        least = ((union - both) / union).min(axis=1)
        brute.append(part / (time.perf_counter() - start))
    found = float(recall_of(far[:part], least[:, None]).mean())
    result = {"documents": args.documents, "found": found, "qps": statistics.median(ours), "brute": statistics.median(brute),
              "build_s": build_s, "tuned": str(tuned)}
    text = "\n".join([f"{args.documents:,} documents of about 100 words, the nearest by Jaccard distance; one thread",
                      f"mongoose_nb             {result['qps']:10,.0f} queries/s  recall {found:.3f}  {tuned}",
                      f"sparse matrix product   {result['brute']:10,.0f} queries/s",
                      f"ratio {result['qps'] / result['brute']:.1f}; build {build_s:.1f} s"])
    return result, text


def duplicates(args, threshold=0.7):
    """find_duplicates and datasketch's MinHashLSH, on the first of the same sets, 128 hashes each."""
    from datasketch import MinHash, MinHashLSH

    from mongoose_nb.search.duplicates import find_duplicates

    sets = documents(args.documents)
    X, few = _csr(sets), min(args.others_documents or args.documents, args.documents)
    find_duplicates(X[:1000], threshold, n_threads=1)  # compiles
    start = time.perf_counter()
    ours = find_duplicates(X, threshold, n_threads=1)
    ours_s = time.perf_counter() - start
    exact = find_duplicates(X, threshold, recall=0.99999, n_hashes=1024, n_threads=1)
    true = set(map(tuple, exact.pairs.tolist()))
    start = time.perf_counter()
    lsh = MinHashLSH(threshold=threshold, num_perm=128)
    found = set()
    for i, one in enumerate(sets[:few]):
        sketch = MinHash(num_perm=128)
        sketch.update_batch([b"%d" % word for word in one.tolist()])
        found.update((int(j), i) for j in lsh.query(sketch))
        lsh.insert(str(i), sketch)
    theirs_s = time.perf_counter() - start
    mine = set(map(tuple, ours.pairs.tolist()))
    result = {"documents": args.documents, "threshold": threshold, "pairs": len(true)}
    for name, pairs, seconds, n in (("mongoose_nb", mine, ours_s, len(sets)), ("datasketch", found, theirs_s, few)):
        there = {pair for pair in true if pair[1] < n}
        both = len(pairs & there)
        result[name] = {"documents": n, "seconds": seconds, "rate": n / seconds, "recall": both / max(len(there), 1),
                        "precision": both / max(len(pairs), 1)}
    text = "\n".join([f"{args.documents:,} documents of about 100 words, {len(true):,} pairs of similarity >= {threshold}; one thread"]
                     + [f"{name:12} {e['documents']:9,} documents in {e['seconds']:7.2f} s: {e['rate']:9,.0f} a second  recall "
                        f"{e['recall']:.4f}  precision {e['precision']:.4f}"
                        for name, e in ((n, result[n]) for n in ("mongoose_nb", "datasketch"))]
                     + [f"ratio of rates {result['mongoose_nb']['rate'] / result['datasketch']['rate']:.1f}"])
    return result, text
