"""Nearest-neighbour libraries behind one interface: `build(X)`, a list of `settings`, `query(Q, k, setting)` -> ids; one thread each."""

import importlib.util

import numpy as np


def _unit(X):
    length = np.linalg.norm(X, axis=1, keepdims=True)
    return X / np.where(length == 0, 1, length)


class Ours:
    """LSHIndex, tuned for each recall on queries that are not measured; batches."""

    name = "mongoose_nb"
    single = False
    more = (0.25, 0.5, 2, 4)  # of a curve: times as many probes as tuned, and exact distances in the same measure

    def __init__(self, metric, recall, tune_queries):
        self.metric, self.recall, self.tune_queries = metric, recall, tune_queries
        self.settings = [None]

    def build(self, X):
        """Without the time of tuning, which `tune_s` holds."""
        import time

        from mongoose_nb import LSHIndex

        self.index = LSHIndex(self.metric, X.shape[1], n_threads=1)
        self.index.add(X[:2000])
        self.index.query(X[:2], 10)  # compiles
        self.index = LSHIndex(self.metric, X.shape[1], n_threads=1)
        start = time.perf_counter()
        self.tuned = self.index.tune(X, queries=self.tune_queries, recall=self.recall)
        self.tune_s = time.perf_counter() - start
        start = time.perf_counter()
        self.index.add(X)
        self.build_s = time.perf_counter() - start
        self.settings = [f"K={self.tuned.K} L={self.tuned.L} probes={self.tuned.probes} rerank={self.tuned.rerank}"
                         f"{' learned' if self.tuned.learned else ''}, promised {self.tuned.recall:.3f}"]

    def query(self, Q, k, setting):
        """Ids."""
        factor = setting if isinstance(setting, (int, float)) else 1
        options = {"probes": max(1, round(self.tuned.probes * factor)), "rerank": max(1, round(self.tuned.rerank * factor))}
        if self.single:
            return np.concatenate([self.index.query(q, k, **options)[0] for q in Q])
        return self.index.query(Q, k, **options)[0]


class OursSingle(Ours):
    """The same index, one query a call."""

    name = "mongoose_nb, single queries"
    single = True

    def __init__(self, other):
        self.other = other

    def build(self, X):
        """Nothing: the other was built just before."""
        self.index, self.tuned = self.other.index, self.other.tuned
        self.settings, self.build_s = self.other.settings, self.other.build_s


class Blas:
    """Brute force: a matrix product and a partial sort."""

    name = "BLAS brute force"
    settings = [None]

    def __init__(self, metric):
        self.metric = metric

    def build(self, X):
        """Norms."""
        self.X = _unit(X) if self.metric == "cosine" else X
        self.half = 0.5 * np.einsum("ij,ij->i", X, X) if self.metric == "l2" else np.float32(0)

    def query(self, Q, k, setting):
        """Ids."""
        out = []
        for lo in range(0, len(Q), 256):
            score = self.half - Q[lo:lo + 256] @ self.X.T
            near = np.argpartition(score, k - 1, axis=1)[:, :k]
            out.append(np.take_along_axis(near, np.argsort(np.take_along_axis(score, near, axis=1), axis=1), axis=1))
        return np.concatenate(out)


class FaissLSH:
    """IndexLSH, which scans all codes, and exact distances of the best; `augmented`: inner products as distances."""

    settings = [50, 100, 200, 500, 1000, 2000, 4000]

    def __init__(self, metric, bits, augmented=False):
        self.metric, self.bits, self.augmented = metric, bits, augmented
        self.name = f"faiss IndexLSH {bits} bits{', augmented' if augmented else ''}, reranked"

    def build(self, X):
        """Codes."""
        import faiss

        faiss.omp_set_num_threads(1)
        X = _unit(X) if self.metric == "cosine" else X
        self.X = np.ascontiguousarray(X, np.float32)
        hashed = X
        if self.augmented:
            square = np.einsum("ij,ij->i", X, X)
            hashed = np.column_stack([X, np.sqrt(np.maximum(square.max() - square, 0))])
        self.mean = hashed.mean(axis=0)
        self.length = float(np.sqrt(np.einsum("ij,ij->i", X, X).max()))
        self.index = faiss.IndexLSH(hashed.shape[1], self.bits, True, False)
        self.index.add(np.ascontiguousarray(hashed - self.mean, np.float32))

    def query(self, Q, k, setting):
        """Ids."""
        Q = _unit(Q) if self.metric == "cosine" else Q
        hashed = np.column_stack([_unit(Q) * self.length, np.zeros(len(Q))]) if self.augmented else Q
        near = self.index.search(np.ascontiguousarray(hashed - self.mean, np.float32), setting)[1]
        out = np.empty((len(Q), k), np.int64)
        for i, ids in enumerate(near):
            rows = self.X[ids]
            score = ((rows - Q[i]) ** 2).sum(axis=1) if self.metric == "l2" else -rows @ Q[i]
            best = np.argpartition(score, k - 1)[:k]
            out[i] = ids[best[np.argsort(score[best])]]
        return out


class FaissFlat:
    """Exact, in C++."""

    name = "faiss IndexFlat"
    settings = [None]

    def __init__(self, metric):
        self.metric = metric

    def build(self, X):
        """A copy."""
        import faiss

        faiss.omp_set_num_threads(1)
        self.index = (faiss.IndexFlatL2 if self.metric == "l2" else faiss.IndexFlatIP)(X.shape[1])
        self.index.add(np.ascontiguousarray(_unit(X) if self.metric == "cosine" else X, np.float32))

    def query(self, Q, k, setting):
        """Ids."""
        return self.index.search(np.ascontiguousarray(Q, np.float32), k)[1]


class Hnswlib:
    """A graph; M=16, ef_construction=200."""

    name = "hnswlib"
    settings = [10, 15, 20, 30, 40, 80, 160, 320, 640]
    reuse = False  # whether rows may take the places of deleted ones

    def __init__(self, metric):
        self.metric = metric

    def build(self, X):
        """One thread."""
        import hnswlib

        self.index = hnswlib.Index(space=self.metric, dim=X.shape[1])
        self.index.init_index(max_elements=len(X) + 10000, M=16, ef_construction=200, allow_replace_deleted=self.reuse)
        self.index.set_num_threads(1)
        self.index.add_items(X, num_threads=1)

    def query(self, Q, k, setting):
        """Ids."""
        self.index.set_ef(max(setting, k))
        return self.index.knn_query(Q, k, num_threads=1)[0].astype(np.int64)


class Annoy:
    """Trees, 50 of them."""

    name = "annoy"
    settings = [500, 1000, 2000, 4000, 8000, 16000]

    def __init__(self, metric):
        self.metric = {"l2": "euclidean", "cosine": "angular", "ip": "dot"}[metric]

    def build(self, X):
        """One thread."""
        import annoy

        self.index = annoy.AnnoyIndex(X.shape[1], self.metric)
        for i, x in enumerate(X):
            self.index.add_item(i, x)
        self.index.set_seed(0)
        self.index.build(50, n_jobs=1)

    def query(self, Q, k, setting):
        """Ids."""
        out = np.full((len(Q), k), -1, np.int64)
        for i, q in enumerate(Q):
            ids = self.index.get_nns_by_vector(q, k, setting)
            out[i, :len(ids)] = ids
        return out


class PyNNDescent:
    """A graph by nearest-neighbour descent."""

    name = "pynndescent"
    settings = [0.0, 0.05, 0.1, 0.2, 0.3]

    def __init__(self, metric):
        self.metric = {"l2": "euclidean", "cosine": "cosine"}[metric]

    def build(self, X):
        """One thread; compiled before on a part."""
        import time

        import pynndescent

        for rows in (X[:1000], X):
            start = time.perf_counter()
            self.index = pynndescent.NNDescent(rows, metric=self.metric, n_neighbors=30, n_jobs=1, random_state=0)
            self.index.prepare()
            self.build_s = time.perf_counter() - start
            self.index.query(rows[:50], k=10)

    def query(self, Q, k, setting):
        """Ids."""
        return self.index.query(Q, k=k, epsilon=setting)[0].astype(np.int64)


class Falconn:
    """FALCONN 1.3.1, cross-polytope hashes with its default parameters, on centred rows as its authors advise; more probes for more
    recall. It is measured where it can be imported: its wheel-less release needs newer pybind11 headers to compile."""

    name = "FALCONN"
    settings = [10, 15, 20, 30, 40, 60, 80, 120, 160, 240, 320, 480, 640]

    def __init__(self, metric):
        self.metric = metric

    def build(self, X):
        """One thread."""
        import falconn

        X = _unit(X) if self.metric == "cosine" else X
        self.mean = X.mean(axis=0)
        self.X = np.ascontiguousarray(X - self.mean, np.float32)
        parameters = falconn.get_default_parameters(*X.shape, falconn.DistanceFunction.EuclideanSquared)
        parameters.num_setup_threads = 1
        self.index = falconn.LSHIndex(parameters)
        self.index.setup(self.X)
        self.asked = self.index.construct_query_object()

    def query(self, Q, k, setting):
        """Ids."""
        Q = np.ascontiguousarray((_unit(Q) if self.metric == "cosine" else Q) - self.mean, np.float32)
        self.asked.set_num_probes(setting)
        out = np.full((len(Q), k), -1, np.int64)
        for i, q in enumerate(Q):
            ids = self.asked.find_k_nearest_neighbors(q, k)
            out[i, :len(ids)] = ids
        return out


class SklearnBrute:
    """NearestNeighbors(algorithm="brute"), dense or CSR."""

    name = "scikit-learn brute force"
    settings = [None]

    def __init__(self, metric):
        self.metric = {"l2": "euclidean"}.get(metric, metric)

    def build(self, X):
        """Nothing to build."""
        from sklearn.neighbors import NearestNeighbors

        self.index = NearestNeighbors(metric=self.metric, algorithm="brute", n_jobs=1).fit(X)

    def query(self, Q, k, setting):
        """Ids."""
        return self.index.kneighbors(Q, k, return_distance=False)


def systems(metric, recall, tune_queries, sparse):
    """All that serve this metric."""
    first = Ours(metric, recall, tune_queries)
    ours = [first, OursSingle(first)]
    if sparse:
        return [*ours, SklearnBrute(metric)]
    lsh = [FaissLSH(metric, bits, augmented) for bits in (256, 1024) for augmented in ((False, True) if metric == "ip" else (False,))]
    others = [Blas(metric), FaissFlat(metric), *lsh, Hnswlib(metric), Annoy(metric)]
    if metric != "ip":
        others += [PyNNDescent(metric), SklearnBrute(metric), *([Falconn(metric)] if importlib.util.find_spec("falconn") else [])]
    return [*ours, *others]
