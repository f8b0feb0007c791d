"""Make the golden files of the present content versions: ``python tests/golden/make.py``. Files of a version that has been released are
never made again; a new version gets files of its own."""

import json
import os
import pathlib
import shutil

import numpy as np
import scipy.sparse as sp

from mongoose_nb import data, nn
from mongoose_nb.data import _cache
from mongoose_nb.hashing import LearnedHash
from mongoose_nb.nn.saving import VERSION
from mongoose_nb.rehash import Drift
from mongoose_nb.search import LSHIndex

HERE = pathlib.Path(__file__).parent


def problem():
    """Rows and labels of the golden networks; drawn from integers, so that they are the same everywhere."""
    i, j = np.arange(30)[:, None], np.arange(16)[None, :]
    X = sp.csr_matrix(np.where((i * 7 + j * 5) % 11 < 4, ((i * 3 + j) % 5 - 2) / 2, 0).astype(np.float32))
    return X, (np.arange(30) * 7) % 20


def networks():
    """Name -> untrained network."""
    return {"lsh": nn.Network(16, 20, hidden=(4,), sampler=nn.LSH(6, tables=nn.Tables(K=2, L=3, rehash=3))),
            "wide-drift": nn.Network(16, 20, hidden=(4, nn.Wide(9, nn.LSH(4, tables=nn.Tables(K=2, L=2))), 3), optimizer="rowadam",
                                     sampler=nn.LSH(6, tables=nn.Tables(K=2, L=3, rehash=Drift(0.01, check_every=2, rows=8)))),
            "uniform-served": nn.Network(16, 20, hidden=(4,), sampler=nn.Uniform(5, correction="logq"), optimizer="sgd"),
            "learn": nn.Network(16, 20, hidden=(4,), sampler=nn.LSH(6, shape="batch", tables=nn.Tables(
                K=2, L=3, rehash=3, learn=LearnedHash("triplet", steps=3, queries=16, batch=4)))),
            "head": nn.Network(16, 20, hidden=(4,), sampler=nn.LSH(8, head="auto", strategy=nn.Threshold(1), tables=nn.Tables(
                {"name": "simhash", "projection": "sparse"}, K=2, L=3, rehash=2, rebuild=2))),
            "importance": nn.Network(16, 20, hidden=(4,), sampler=nn.LSH(6, correction="importance", tables=nn.Tables(K=2, L=3, rehash=3))),
            "adaptive": nn.Network(16, 20, hidden=(4,), sampler=nn.Adaptive(6, threshold=0.0))}


def rows():
    """Rows of the golden indexes by kind."""
    i, j = np.arange(40)[:, None], np.arange(6)[None, :]
    dense = (((i * 13 + j * 7) % 17) / 4 - 2 + i / 100).astype(np.float32)
    return {"dense": dense, "sparse": sp.csr_matrix(np.where((i + j) % 3, dense, 0).astype(np.float32)), "bits": dense > 0}


INDEXES = {"l2": "dense", "ip": "dense", "cosine": "sparse", "jaccard": "sparse", "hamming": "bits"}


def callbacks(folder, name):
    """Callbacks with a state of the training of a golden network."""
    return [nn.EarlyStopping("loss", 9), nn.JSONLines(folder / f"{name}.jsonl"), nn.Diagnostics(rows=5, topk=3)] if name == "learn" else []


def make_networks(folder):
    """Write the networks; what is to be read from them."""
    X, Y = problem()
    expected = {}
    for name, net in networks().items():
        path = folder / f"{name}.mongoose"
        net.fit(X, Y, epochs=3, batch_size=8, callbacks=[*callbacks(folder, name), nn.Checkpoint(path)])
        if name == "uniform-served":
            net.fit_serving(X, Y, K=2, L=2)
            net.save(path, optimizer=False)
        ids, scores = net.predict_topk(X[:5], 3)
        expected[name] = {"ids": ids.tolist(), "scores": scores.tolist(), "step": net.step, "epoch": net.epoch}
    return expected


def make_indexes(folder):
    """Write the indexes and a data set with its cache; what is to be read from them."""
    expected = {}
    for metric, kind in INDEXES.items():
        index = LSHIndex(metric, 6, K=3, L=2, train_size=20)
        index.add(rows()[kind])
        index.remove([3])
        index.save(folder / f"{metric}.index")
        ids, distances = index.query(rows()[kind][:5], 3)
        expected[metric] = {"ids": ids.tolist(), "distances": distances.tolist()}
    X, Y = problem()
    Y = sp.csr_matrix((np.ones(30, np.float32), Y, np.arange(31)), shape=(30, 20))
    data.write_xc(folder / "set.txt", X, Y)
    os.utime(folder / "set.txt", ns=(10**18, 10**18))
    _cache.save(str(folder / "set.txt.npz"), os.stat(folder / "set.txt"), X, Y)
    return expected


def main():
    """Write all files of the present versions."""
    folder = HERE / f"v{VERSION}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "expected.json").write_text(json.dumps({**make_networks(folder), **make_indexes(folder)}) + "\n")


if __name__ == "__main__":
    main()
