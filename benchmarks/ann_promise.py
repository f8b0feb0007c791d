"""What `tune` promises, and what other queries find then."""

import time

import numpy as np


def promise(args, X, Q):
    """Tune on 2,000 queries for each of several seeds and recalls, ask all others; the result and its table."""
    from mongoose_nb import LSHIndex
    from mongoose_nb.search.tune import recall_of

    plain = LSHIndex(args.metric, X.shape[1], train_size=X.shape[0] + 1)
    plain.add(X)
    far = plain.query(Q, args.k, exact=True)[1]
    result = []
    for seed in range(args.promise):
        order = np.random.default_rng(seed).permutation(Q.shape[0])
        mine, others = np.sort(order[:2000]), np.sort(order[2000:])
        for recall in (0.8, 0.9, 0.95):
            index = LSHIndex(args.metric, X.shape[1], seed=seed, n_threads=1)
            start = time.perf_counter()
            tuned = index.tune(X, queries=Q[mine], recall=recall, k=args.k, seed=seed)
            seconds = time.perf_counter() - start
            index.add(X)
            found = float(recall_of(index.query(Q[others], args.k)[1], far[others]).mean())
            result.append({"seed": seed, "wanted": recall, "promised": tuned.recall, "error": tuned.error, "found": found,
                           "tune_s": seconds, "K": tuned.K, "L": tuned.L, "probes": tuned.probes, "rerank": tuned.rerank})
    lines = [f"{X.shape[0]:,} x {X.shape[1]:,}, {args.metric}, recall@{args.k} of {Q.shape[0] - 2000:,} other queries",
             "seed  wanted  promised          found   K   L  probes  rerank  seconds"]
    lines += [f"{e['seed']:4}  {e['wanted']:6.2f}  {e['promised']:.3f} +- {e['error']:.3f}  {e['found']:6.3f}  {e['K']:2}  {e['L']:2}  "
              f"{e['probes']:6}  {e['rerank']!s:>6}  {e['tune_s']:7.1f}" for e in result]
    return result, "\n".join(lines)
