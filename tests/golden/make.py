"""Make the golden files of the present format version: ``python tests/golden/make.py``. Files of a version that has been released are
never made again; a new version gets files of its own."""

import json
import os
import pathlib
import shutil

import numpy as np
import scipy.sparse as sp

from mongoose_nb import data, nn
from mongoose_nb.core import files as io
from mongoose_nb.data import _cache
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
            "uniform-served": nn.Network(16, 20, hidden=(4,), sampler=nn.Uniform(5, correction="logq"), optimizer="sgd")}


def rows():
    """Rows of the golden indexes by kind."""
    i, j = np.arange(40)[:, None], np.arange(6)[None, :]
    dense = (((i * 13 + j * 7) % 17) / 4 - 2 + i / 100).astype(np.float32)
    return {"dense": dense, "sparse": sp.csr_matrix(np.where((i + j) % 3, dense, 0).astype(np.float32)), "bits": dense > 0}


INDEXES = {"l2": "dense", "ip": "dense", "cosine": "sparse", "jaccard": "sparse", "hamming": "bits"}


def main(version=io.FORMAT_VERSION):
    """Write all files, and what is to be read from them."""
    folder = HERE / f"v{version}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    X, Y = problem()
    expected = {}
    for name, net in networks().items():
        path = folder / f"{name}.mongoose"
        net.fit(X, Y, epochs=3, batch_size=8, callbacks=[nn.Checkpoint(path)])
        if name == "uniform-served":
            net.fit_serving(X, Y, K=2, L=2)
            net.save(path, optimizer=False)
        ids, scores = net.predict_topk(X[:5], 3)
        expected[name] = {"ids": ids.tolist(), "scores": scores.tolist(), "step": net.step, "epoch": net.epoch}
    for metric, kind in INDEXES.items():
        index = LSHIndex(metric, 6, K=3, L=2, train_size=20)
        index.add(rows()[kind])
        index.remove([3])
        index.save(folder / f"{metric}.index")
        ids, distances = index.query(rows()[kind][:5], 3)
        expected[metric] = {"ids": ids.tolist(), "distances": distances.tolist()}
    Y = sp.csr_matrix((np.ones(30, np.float32), Y, np.arange(31)), shape=(30, 20))
    data.write_xc(folder / "set.txt", X, Y)
    os.utime(folder / "set.txt", ns=(10**18, 10**18))
    _cache.save(str(folder / "set.txt.npz"), os.stat(folder / "set.txt"), X, Y)
    (folder / "expected.json").write_text(json.dumps(expected) + "\n")


if __name__ == "__main__":
    main()
