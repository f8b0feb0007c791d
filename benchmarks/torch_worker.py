"""The PyTorch side of a comparison, run by the Python of a virtual environment that has PyTorch.

Two networks a user would write: embedding bag, ReLU, and either the full softmax (dense Adam on the output layer) or candidates
shared by the batch, its labels and uniform negatives (lazy SparseAdam). It reads commands, one JSON object a line, from standard
input and answers each with one: ``{"train": batches}`` times steps over the data, ``{"score": rows}`` gives P@1, ``{"quit":
true}`` ends.
"""

import json
import resource
import sys
import time

import numpy as np
import torch


class Data:
    """A split as CSR arrays, cut into batches."""

    def __init__(self, arrays):
        self.fptr, self.feat, self.val = arrays["fptr"], arrays["feat"].astype(np.int64), arrays["val"].astype(np.float32)
        self.lptr, self.lab = arrays["lptr"], arrays["lab"].astype(np.int64)
        self.n, self.d, self.l = (int(v) for v in arrays["shape"])
        self.n = len(self.fptr) - 1

    @staticmethod
    def _entries(ptr, rows):
        count = ptr[rows + 1] - ptr[rows]
        place = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        return count, np.repeat(ptr[rows], count) + place

    def batch(self, rows):
        """(features, offsets, values, labels, labels a row) as tensors."""
        n_feat, at = self._entries(self.fptr, rows)
        n_lab, lat = self._entries(self.lptr, rows)
        offsets = np.cumsum(n_feat) - n_feat
        return tuple(torch.from_numpy(a) for a in (self.feat[at], offsets, self.val[at], self.lab[lat], n_lab))


class Baseline:
    """One of the two networks with its optimisers."""

    def __init__(self, data, full, lr, negatives, hidden, input_std, seed):
        torch.manual_seed(seed)
        self.data, self.full, self.negatives = data, full, negatives
        self.rng = np.random.default_rng(seed)
        self.emb = torch.nn.EmbeddingBag(data.d, hidden, mode="sum", sparse=True)
        torch.nn.init.normal_(self.emb.weight, std=input_std)
        self.b_hid = torch.nn.Parameter(torch.zeros(hidden))
        std = 0.01
        if full:
            self.w = torch.nn.Parameter(torch.randn(data.l, hidden) * std)
            self.b = torch.nn.Parameter(torch.zeros(data.l))
            self.optimizers = [torch.optim.SparseAdam(self.emb.parameters(), lr=lr),
                               torch.optim.Adam([self.b_hid, self.w, self.b], lr=lr, fused=True)]
        else:
            self.w = torch.nn.Embedding(data.l, hidden, sparse=True)
            torch.nn.init.normal_(self.w.weight, std=std)
            self.b = torch.nn.Embedding(data.l, 1, sparse=True)
            torch.nn.init.zeros_(self.b.weight)
            self.optimizers = [torch.optim.SparseAdam([self.emb.weight, self.w.weight, self.b.weight], lr=lr),
                               torch.optim.Adam([self.b_hid], lr=lr)]
        self.order, self.at = self.rng.permutation(data.n), 0

    def hidden(self, batch):
        """Activations of a batch."""
        return torch.relu(self.emb(batch[0], batch[1], per_sample_weights=batch[2]) + self.b_hid)

    def step(self, size):
        """One optimiser step; returns the number of active outputs."""
        if self.at + size > len(self.order):
            self.order, self.at = self.rng.permutation(self.data.n), 0
        batch = self.data.batch(self.order[self.at:self.at + size])
        self.at += size
        labels, counts = batch[3], batch[4]
        rows = torch.repeat_interleave(torch.arange(size), counts)
        share = (1.0 / counts.float())[rows]
        h = self.hidden(batch)
        if self.full:
            z, column, active = torch.addmm(self.b, h, self.w.t()), labels, self.data.l
        else:
            negative = torch.from_numpy(self.rng.integers(0, self.data.l, self.negatives))
            ids, inverse = torch.unique(torch.cat([labels, negative]), return_inverse=True)
            z, column, active = torch.addmm(self.b(ids).view(-1), h, self.w(ids).t()), inverse[:len(labels)], len(ids)
        loss = (torch.logsumexp(z, 1).sum() - (z[rows, column] * share).sum()) / size
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss.backward()
        for optimizer in self.optimizers:
            optimizer.step()
        return active

    def precision(self, test, n):
        """P@1 on the first n rows of `test`."""
        hits = 0
        w, b = (self.w, self.b) if self.full else (self.w.weight, self.b.weight.view(-1))
        with torch.no_grad():
            for lo in range(0, n, 256):
                rows = np.arange(lo, min(lo + 256, n))
                best = torch.addmm(b, self.hidden(test.batch(rows)), w.t()).argmax(1).numpy()
                hits += sum(int(y in test.lab[test.lptr[i]:test.lptr[i + 1]]) for y, i in zip(best, rows))
        return hits / n


def main():
    """Serve commands until told to quit."""
    settings = json.loads(sys.argv[1])
    torch.set_num_threads(settings["threads"])
    train, test = (Data(np.load(f"{settings['set']}/{split}.npz")) for split in ("train", "test"))
    net = Baseline(train, settings["full"], settings["lr"], settings["negatives"], settings["hidden"], settings["input_std"],
                   settings["seed"])
    for line in sys.stdin:
        command = json.loads(line)
        if "quit" in command:
            break
        if "train" in command:
            start = time.perf_counter()
            active = [net.step(settings["batch_size"]) for _ in range(command["train"])]
            answer = {"seconds": time.perf_counter() - start, "active": float(np.mean(active))}
        else:
            answer = {"P@1": net.precision(test, min(command["score"], test.n))}
        answer["peak_MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
