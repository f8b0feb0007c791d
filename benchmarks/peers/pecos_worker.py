"""PECOS XR-Linear with its defaults, on rows of length one, which it does not make by itself."""

from pecos.xmc import Indexer, LabelEmbeddingFactory
from pecos.xmc.xlinear.model import XLinearModel
from protocol import System, best_of_csr, serve, unit_rows


class XRLinear(System):
    """A tree of clusters of labels, a linear ranker for each node."""

    def fit(self, train):
        X, Y = train
        X, threads = unit_rows(X), self.settings["threads"]
        X.sort_indices()
        clusters = Indexer.gen(LabelEmbeddingFactory.create(Y, X, method="pifa", threads=threads), threads=threads)
        self.model = XLinearModel.train(X, Y, C=clusters, threads=threads)

    def save(self, folder):
        """Write it, and load it again in the form meant for serving."""
        self.model.save(folder)
        self.model = XLinearModel.load(folder, is_predict_only=True)

    def predict(self, rows, k):
        X = unit_rows(rows)
        X.sort_indices()
        threads = self.settings["threads"] if X.shape[0] > 1 else 1  # waiting for a second one takes longer than a row
        return best_of_csr(self.model.predict(X, only_topk=k, threads=threads), k)


if __name__ == "__main__":
    serve({"PECOS XR-Linear": XRLinear})
