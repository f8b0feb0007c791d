"""A search index short enough to be obviously right: all rows in a dict, all distances."""

import numpy as np

from mongoose_nb.testing.distances import DISTANCES


class BruteForce:
    def __init__(self, metric="cosine"):
        self.metric, self.rows = metric, {}

    def __len__(self):
        return len(self.rows)

    def __contains__(self, id_):
        return id_ in self.rows

    def add(self, X, ids=None):
        if ids is None:
            start = max(self.rows, default=-1) + 1
            ids = np.arange(start, start + len(X))
        self.rows.update(zip(np.asarray(ids).tolist(), np.array(X, np.float64)))
        return np.asarray(ids)

    def remove(self, ids):
        for id_ in np.asarray(ids).tolist():
            del self.rows[id_]

    def update(self, ids, X):
        self.remove(ids)
        self.add(X, ids)

    def candidates(self, Q):
        return [np.array(list(self.rows), np.int64) for _ in Q]

    def query(self, Q, k):
        ids, distances = np.full((len(Q), k), -1, np.int64), np.full((len(Q), k), np.inf)
        everything = np.array(list(self.rows), np.int64)
        X = np.array(list(self.rows.values()))
        for i, q in enumerate(Q):
            if len(X):
                far = DISTANCES[self.metric](np.asarray(q, np.float64), X)
                order = np.lexsort((everything, far))[:k]
                ids[i, : len(order)], distances[i, : len(order)] = everything[order], far[order]
        return ids, distances

    def save(self, path):
        np.savez(path, metric=self.metric, ids=np.array(list(self.rows), np.int64), X=np.array(list(self.rows.values())))

    @classmethod
    def load(cls, path):
        with np.load(path) as stored:
            self = cls(str(stored["metric"]))
            self.add(stored["X"], stored["ids"])
        return self
