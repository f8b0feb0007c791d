"""PyTorch: the network a user would write, with a softmax over the batch's labels and uniform negatives."""

import os
import pathlib
import sys

import numpy as np
import torch
from protocol import System, serve

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1]))
from torch_worker import Baseline, Data

BATCH, HIDDEN, NEGATIVES = 256, 128, 1000


class SampledSoftmax(System):
    """As many epochs as our network, at the same rate, which falls to zero."""

    def fit(self, train):
        torch.set_num_threads(self.settings["threads"])
        X, Y = train
        data = Data({"fptr": X.indptr, "feat": X.indices, "val": X.data, "lptr": Y.indptr, "lab": Y.indices,
                     "shape": (*X.shape, Y.shape[1])})
        lr = self.settings["lr"]
        self.net = Baseline(data, False, lr, NEGATIVES, HIDDEN, 0.01, self.settings["seed"])
        steps = self.settings["epochs"] * max(1, data.n // BATCH)
        for step in range(steps):
            for optimizer in self.net.optimizers:
                optimizer.param_groups[0]["lr"] = lr * (1 - step / steps)
            self.net.step(min(BATCH, data.n))

    def save(self, folder):
        net = self.net
        torch.save([net.emb.state_dict(), net.b_hid, net.w.state_dict(), net.b.state_dict()], os.path.join(folder, "net.pt"))

    def predict(self, rows, k):
        found = []
        torch.set_num_threads(self.settings["threads"] if rows.shape[0] > 1 else 1)  # waiting for a second one takes longer than a row
        with torch.no_grad():
            weight, bias = self.net.w.weight.t(), self.net.b.weight.view(-1)
            for lo in range(0, rows.shape[0], BATCH):
                X = rows[lo:lo + BATCH]
                parts = X.indices.astype(np.int64), X.indptr[:-1].astype(np.int64), X.data
                hidden = self.net.hidden([torch.from_numpy(part) for part in parts])
                found.append(torch.addmm(bias, hidden, weight).topk(min(k, weight.shape[1]), dim=1).indices.numpy())
        return np.concatenate(found)


if __name__ == "__main__":
    serve({"PyTorch, sampled softmax": SampledSoftmax})
