"""Our networks. Another one is a class of a few lines and an entry at the end."""

import os

from protocol import System, serve

from mongoose_nb import Network as Net
from mongoose_nb import data, nn

WARM_ROWS = 8


class Network(System):
    """A hidden layer of 128 units and the sampler that suits the number of outputs."""

    def read(self, path):
        return data.read_xc(path)

    def train(self, X, Y, epochs):
        """A trained network."""
        net = Net(X.shape[1], Y.shape[1], sampler="auto", optimizer=nn.Adam(self.settings["lr"]), lr_schedule="linear",
                  seed=self.settings["seed"])
        net.fit(X, Y, epochs=epochs)
        return net

    def warm_up(self, train):
        """Compile the kernels, or load them, on a few rows."""
        few = slice(0, 512)
        self.train(train[0][few], train[1][few], 1).predict_topk(train[0][:WARM_ROWS], 1)

    def fit(self, train):
        self.net = self.train(*train, self.settings["epochs"])

    def save(self, folder):
        path = os.path.join(folder, "net")
        self.net.save(path, optimizer=False, half=True)
        self.net = Net.load(path)  # what is scored is what was kept

    def predict(self, rows, k):
        return self.net.predict_topk(rows, k)[0]


class Auto(Network):
    """`Network.fit_auto`, as the classifier and `mongoose train` call it by default."""

    def train(self, X, Y, epochs):
        net = Net(X.shape[1], Y.shape[1], seed=self.settings["seed"])
        net.fit_auto(X, Y)
        return net


if __name__ == "__main__":
    serve({"network": Network, "auto": Auto})
