"""Duplicates of a million documents, beside the local function."""

import time

import numpy as np

from benchmarks.distributed.cluster import alone, peaks, workers

WORDS, LENGTH = 200_000, 40


def data(n):
    """Sets of 40 words, of which a tenth are near copies of others."""
    import scipy.sparse as sp

    rng = np.random.default_rng(0)
    words = rng.integers(0, WORDS, (n, LENGTH), dtype=np.int32)
    copies = n // 10
    words[:copies] = words[rng.integers(copies, n, copies)]
    words[:copies, :2] = rng.integers(0, WORDS, (copies, 2))
    found = sp.csr_matrix((np.ones(words.size, np.uint8), words.ravel(), np.arange(n + 1) * LENGTH), shape=(n, WORDS))
    found.sum_duplicates()
    return found


def digest(found):
    """A hash of the groups, and how many there are."""
    import hashlib

    groups = np.ascontiguousarray(found.groups(), np.int64)
    return hashlib.sha256(groups.tobytes()).hexdigest(), len(np.unique(groups))


def local(n):
    """Hash of the groups, and seconds."""
    from mongoose_nb import find_duplicates

    begun = time.perf_counter()
    found = find_duplicates(data(n), 0.8)
    return {"seconds": time.perf_counter() - begun, "groups": digest(found)}


def sharded(n):
    """The same, on 4 workers."""
    from mongoose_nb.distributed import find_duplicates

    with workers(4) as client:
        begun = time.perf_counter()
        found = find_duplicates(data(n), 0.8, client=client)
        return {"seconds": time.perf_counter() - begun, "groups": digest(found), "workers": peaks(client)}


def measure(args):
    """Both, one after the other."""
    (one, own), (four, client) = alone(local, args.documents), alone(sharded, args.documents)
    return {"documents": args.documents, "local": {**one, "memory": own}, "4 workers": {**four, "memory": client}}


def text(found):
    """A few lines."""
    one, four = found["local"], found["4 workers"]
    same = "the same" if one["groups"] == four["groups"] else "NOT the same"
    return (f"{found['documents']:,} documents of {LENGTH} words, similarity 0.8 or more: {one['groups'][1]:,} groups, {same} in one "
            f"process and on 4 workers\none process (2 threads): {one['seconds']:.1f} s, {one['memory'] / 1e6:,.0f} MB\n"
            f"4 workers (one thread each, 2 cores): {four['seconds']:.1f} s, at most {max(four['workers']) / 1e6:,.0f} MB a worker, "
            f"{four['memory'] / 1e6:,.0f} MB the client")
