"""napkinXC: a probabilistic label tree with its defaults."""

import shutil
import tempfile

from napkinxc.models import PLT
from protocol import System, pad, serve


class Tree(System):
    """One tree of logistic regressions, which predicts by exact search."""

    def fit(self, train):
        self.folder = tempfile.TemporaryDirectory()
        self.model = PLT(self.folder.name, threads=self.settings["threads"], seed=self.settings["seed"])
        self.model.fit(*train)
        self.model.load()

    def save(self, folder):
        shutil.copytree(self.folder.name, folder, dirs_exist_ok=True)

    def predict(self, rows, k):
        return pad(self.model.predict(rows, top_k=k), k)


if __name__ == "__main__":
    serve({"napkinXC PLT": Tree})
