"""Baselines of a few lines: counts, a vote of neighbours, and one linear model for each label."""

import os

import numpy as np
import scipy.sparse as sp
from protocol import System, best_of_csr, serve

from mongoose_nb import data, metrics
from mongoose_nb.core.threads import compute_threads
from mongoose_nb.nn.features import make_features
from mongoose_nb.nn.ranking import NeighbourVotes

CHUNK = 1024  # rows whose scores are held at a time
POSTINGS = 20_000  # that a query of neighbours reads, about


class Counts(System):
    """How often a label stands with a feature: the share of the feature's rows that have the label, summed over a row."""

    def read(self, path):
        return data.read_xc(path)

    def fit(self, train):
        X, Y = train
        total = np.asarray(X.sum(0)).ravel()
        self.shares = sp.csr_matrix(sp.diags(1 / np.where(total > 0, total, 1)) @ (X.T @ Y), dtype=np.float32)

    def save(self, folder):
        sp.save_npz(os.path.join(folder, "shares.npz"), self.shares, compressed=False)

    def predict(self, rows, k):
        return np.concatenate([best_of_csr(rows[lo:lo + CHUNK] @ self.shares, k) for lo in range(0, rows.shape[0], CHUNK)])


class Votes(Counts):
    """The labels of the 100 nearest rows by tf-idf."""

    def fit(self, train):
        X, Y = train
        self.n_labels = Y.shape[1]
        self.step = make_features("tfidf").fit(X)
        self.voters = NeighbourVotes(100).fit(self.step.transform(X), Y)
        self.voters.nearest(self.step.transform(X[:1]))

    def warm_up(self, train):
        """Compile the kernels, or load them, on a few rows."""
        self.fit((train[0][:512], train[1][:512]))
        self.predict(train[0][:8], 1)

    def save(self, folder):
        """The arrays that a network with neighbours saves."""
        for name in self.voters.resizable:
            np.save(os.path.join(folder, f"{name}.npy"), getattr(self.voters, name))

    def predict(self, rows, k):
        with compute_threads(POSTINGS * rows.shape[0]):
            shares = self.voters.votes(*self.voters.nearest(self.step.transform(rows)))
        return metrics.top_k(shares, k, self.n_labels)


class LinearSVMs(Counts):
    """LinearSVC with its defaults for each label, on tf-idf rows."""

    most_labels = 1000

    def model(self):
        """The model of one label."""
        from sklearn.svm import LinearSVC
        return LinearSVC(dual=True, tol=0.1)

    def fit(self, train):
        from sklearn.feature_extraction.text import TfidfTransformer
        X, Y = train
        self.step = TfidfTransformer().fit(X)
        A, columns = self.step.transform(X), Y.tocsc()
        weights, self.bias = [], np.full(Y.shape[1], -np.inf, np.float32)
        for label in range(Y.shape[1]):
            y = np.zeros(X.shape[0], bool)
            y[columns.indices[columns.indptr[label]:columns.indptr[label + 1]]] = True
            row = np.zeros((1, X.shape[1]), np.float32)
            if y.any() and not y.all():
                model = self.model().fit(A, y)
                row[:], self.bias[label] = model.coef_, model.intercept_[0]
            weights.append(sp.csr_matrix(row))
        self.weights = sp.csr_matrix(sp.vstack(weights).T)

    def save(self, folder):
        np.save(os.path.join(folder, "bias.npy"), self.bias)
        sp.save_npz(os.path.join(folder, "weights.npz"), self.weights, compressed=False)

    def predict(self, rows, k):
        A = self.step.transform(rows)
        return np.concatenate([np.argsort(-((A[lo:lo + CHUNK] @ self.weights).toarray() + self.bias), axis=1, kind="stable")[:, :k]
                               for lo in range(0, rows.shape[0], CHUNK)])


class LogisticRegressions(LinearSVMs):
    """The same with LogisticRegression, by the same solver."""

    def model(self):
        from sklearn.linear_model import LogisticRegression
        return LogisticRegression(solver="liblinear")


if __name__ == "__main__":
    serve({"co-occurrence counts": Counts, "vote of 100 neighbours": Votes, "linear SVM for each label": LinearSVMs,
           "logistic regression for each label": LogisticRegressions})
