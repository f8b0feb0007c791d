"""The same click model in PyTorch, in an environment of its own: reads arrays, trains, writes seconds and probabilities."""

import json
import sys
import time

import numpy as np
import torch


def main(path, width, hidden, epochs, batch, lr, threads):
    """Train DeepFM with a sparse EmbeddingBag or Embedding and SparseAdam, dense layers with Adam."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    data = np.load(path)
    ids, y, test = (torch.from_numpy(data[name]) for name in ("ids", "y", "test"))
    y = y.float()
    n_ids, fields = int(data["n_ids"]), ids.shape[1]
    table = torch.nn.Embedding(n_ids, width, sparse=True)
    first = torch.nn.EmbeddingBag(n_ids, 1, sparse=True, mode="sum")
    torch.nn.init.normal_(table.weight, std=0.05)
    torch.nn.init.zeros_(first.weight)
    layers, inputs = [], fields * width
    for units in hidden:
        layers += [torch.nn.Linear(inputs, units), torch.nn.ReLU()]
        inputs = units
    net = torch.nn.Sequential(*layers, torch.nn.Linear(inputs, 1))
    sparse = torch.optim.SparseAdam([*table.parameters(), *first.parameters()], lr=lr)
    dense = torch.optim.Adam(net.parameters(), lr=lr)
    loss_of = torch.nn.BCEWithLogitsLoss()

    def logits(x):
        E = table(x)
        s = E.sum(1)
        return 0.5 * (s * s - (E * E).sum(1)).sum(1) + first(x)[:, 0] + net(E.flatten(1))[:, 0]

    def step(rows):
        sparse.zero_grad()
        dense.zero_grad()
        loss_of(logits(ids[rows]), y[rows]).backward()
        sparse.step()
        dense.step()

    seconds = []
    for epoch in range(epochs):
        order = torch.randperm(len(ids), generator=torch.Generator().manual_seed(epoch))
        start = time.perf_counter()
        for lo in range(0, len(ids), batch):
            step(order[lo:lo + batch])
        seconds.append(time.perf_counter() - start)
        if epoch == 1:  # as the others
            with torch.no_grad():
                np.save(path + ".out.npy", logits(test).numpy())
    print(json.dumps(seconds))


if __name__ == "__main__":
    given = json.loads(sys.argv[2])
    main(sys.argv[1], **given)
