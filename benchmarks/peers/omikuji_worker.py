"""omikuji, label trees in Rust: Parabel, its default, and the settings that its description gives for trees like Bonsai's."""

import omikuji
from protocol import System, pad, serve


class Parabel(System):
    """Three trees of balanced 2-means."""

    def read(self, path):
        """Only the name: omikuji reads the file while it trains."""
        return path

    def parameters(self):
        """The defaults."""
        return omikuji.Model.default_hyper_param()

    def fit(self, train):
        self.model = omikuji.Model.train_on_data(train, self.parameters(), n_threads=self.settings["threads"])
        self.model.init_prediction_thread_pool(self.settings["threads"])

    def save(self, folder):
        self.model.save(folder)

    def rows(self, X):
        return [list(zip(X.indices[a:b].tolist(), X.data[a:b].tolist())) for a, b in zip(X.indptr, X.indptr[1:])]

    def predict(self, rows, k):
        """One call a row; there is none for several."""
        return pad([[label for label, _ in self.model.predict(row, top_k=k)] for row in rows], k)


class Bonsai(Parabel):
    """Shallow trees of 100 branches, not balanced."""

    def parameters(self):
        parameters = super().parameters()
        parameters.cluster_balanced, parameters.cluster_k, parameters.max_depth = False, 100, 3
        return parameters


if __name__ == "__main__":
    serve({"omikuji (Parabel)": Parabel, "omikuji (Bonsai-like)": Bonsai})
