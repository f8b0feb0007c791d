"""Inputs and networks of the golden files in ``v1/more``. Files of a version that has been released are never made again.

Everything whose arguments have names stands here, so that the tests beside load files and little else.
"""

import contextlib

import numpy as np
import scipy.sparse as sp

from mongoose_nb import LSHIndex, Network, ReformerLM, nn
from mongoose_nb.hashing import LearnedHash
from mongoose_nb.rehash import Drift, ExponentialDecay, FixedPeriod

EPOCHS, BATCH = 5, 8


# ---------------------------------------------------------------------- inputs


def problem():
    """Rows and labels of the networks; drawn from integers, so that they are the same everywhere. No, one or two labels a row."""
    i, j = np.arange(30)[:, None], np.arange(16)[None, :]
    X = sp.csr_matrix(np.where((i * 7 + j * 5) % 11 < 4, ((i * 3 + j) % 5 - 2) / 2, 0).astype(np.float32))
    Y = np.zeros((30, 20), np.float32)
    Y[np.arange(30), (np.arange(30) * 7) % 20] = 1
    Y[np.arange(0, 30, 3), (np.arange(0, 30, 3) * 5 + 1) % 20] = 1
    Y[4] = 0
    return X, sp.csr_matrix(Y)


def classes():
    """A label for each row of `problem`, that follows from one of six features."""
    i = np.arange(30)
    X = np.zeros((30, 16), np.float32)
    X[i, i % 6] = 2
    X[i, 6 + i % 5] = 0.5
    return sp.csr_matrix(X), (i % 6 * 3) % 20


def text():
    """Tokens for language models."""
    i = np.arange(150)
    return (i * i // 3 + i * 5) % 7


def prompts():
    """Two sequences to be continued."""
    i = np.arange(24).reshape(2, 12)
    return (i * 3 + i * i // 5) % 7


def rows():
    """Rows of the indexes by kind."""
    i, j = np.arange(60)[:, None], np.arange(6)[None, :]
    dense = (((i * 13 + j * j * 7) % 17) / 4 - 2 + (i * i * (j + 2) % 101) / 150).astype(np.float32)
    sparse = sp.csr_matrix(np.where((i + j * (1 + i % 2)) % 3, dense, 0).astype(np.float32))
    return {"dense": dense, "sparse": sparse, "bits": dense > 0}


# ---------------------------------------------------------------------- untrained objects


def learned(loss="contrast", **settings):
    """Small trainings of hash functions."""
    return LearnedHash(loss, steps=4, first_steps=6, queries=16, batch=4, rows=16, positives=3, **settings)


def network(sampler, hidden=(4,), **settings):
    """A network for `problem`."""
    return Network(16, 20, hidden=hidden, sampler=sampler, **settings)


@contextlib.contextmanager
def later_for_few_outputs(candidates=6):
    """Within the block, ``sampler="auto"`` takes for few outputs what it takes for many, with few candidates."""
    later = type(Network(1, nn.Auto.ALL_UP_TO + 1, hidden=(1,), sampler="auto").output.sampler)
    kept = nn.Auto.choose
    nn.Auto.choose = lambda self, n_outputs: later(candidates)
    try:
        yield
    finally:
        nn.Auto.choose = kept


def lsh(candidates=6, **settings):
    """Small tables that are brought up to date every third step."""
    names = ("family", "K", "L", "capacity", "policy", "center", "rehash", "rebuild", "learn")
    settings = {"K": 2, "L": 3, "rehash": 3, **settings}
    return nn.LSH(candidates, **{k: v for k, v in settings.items() if k not in names},
                  tables=nn.Tables(**{k: v for k, v in settings.items() if k in names}))


def networks():
    """Name -> untrained network. Those whose name begins with "later" have to be made within `later_for_few_outputs`."""
    out = {
        # lists of the batch and of a sample, families, corrections, strategies
        "lsh-batch": network(lsh(shape="batch")),
        "lsh-batch-tail": network(lsh(shape="batch", correction="tail")),
        "lsh-batch-nofill": network(lsh(shape="batch", fill=False, head=1.0)),
        "lsh-dwta": network(lsh(family="dwta", K=1)),
        "lsh-dwta-batch": network(lsh(family="dwta", K=1, shape="batch")),
        "lsh-learn": network(lsh(learn=learned())),
        "lsh-learn-name": network(lsh(learn="contrast")),
        "lsh-learn-batch": network(lsh(shape="batch", learn=learned())),
        "lsh-learn-batch-name": network(lsh(shape="batch", learn="contrast")),
        "lsh-learn-triplet": network(lsh(learn=learned("triplet", margin=0.5))),
        "lsh-learn-logistic": network(lsh(learn=learned("logistic", negative_weight=0.5))),
        "lsh-learn-labels-drift": network(lsh(learn=learned(labels=True), rehash=Drift(0.3, check_every=2, rows=8, longest=4)),
                                          optimizer=nn.Adam(0.05)),
        "lsh-head-auto": network(lsh(8, head="auto")),
        "lsh-head-all": network(lsh(head=1.0)),
        "lsh-importance": network(lsh(correction="importance")),
        "lsh-importance-uncentred": network(lsh(correction="importance", center=False, capacity=None)),
        "lsh-nocorrection": network(lsh(correction="none", fill=False)),
        "lsh-uncentred": network(lsh(center=False)),
        "lsh-uncentred-dwta": network(lsh(center=False, family="dwta", K=1)),
        "lsh-threshold": network(lsh(strategy=nn.Threshold(2))),
        "lsh-vanilla": network(lsh(strategy="vanilla")),
        "lsh-fifo": network(lsh(capacity=2, policy="fifo")),
        "lsh-reservoir": network(lsh(capacity=2, policy="reservoir")),
        "lsh-unbounded": network(lsh(capacity=None)),
        "lsh-seed": network(lsh(), seed=12345678901, init_std=0.3, output_init_std=0.2),
        # when tables are brought up to date
        "rebuild": network(lsh(rehash=2, rebuild=2)),
        "rebuild-dwta": network(lsh(rehash=2, rebuild=2, family="dwta", K=1)),
        "fixed": network(lsh(rehash=FixedPeriod(2))),
        "decay": network(lsh(rehash=ExponentialDecay(2, 0.3))),
        "decay-default": network(lsh(rehash=None)),
        "drift-name": network(lsh(rehash="drift")),
        "drift-auto": network(lsh(rehash=Drift("auto", check_every=2, rows=8, keep=0.9)), optimizer=nn.Adam(0.15)),
        "drift-rows": network(lsh(rehash=Drift(0.02, check_every=2, rows=8, bits=128)), optimizer=nn.Adam(0.05)),
        "drift-touch": network(lsh(rehash=Drift(0.02, check_every=2, rows=8, weight="touch")), optimizer=nn.Adam(0.05)),
        "drift-per-row": network(lsh(rehash=Drift(0.05, check_every=2, rows=8, per_row=True, list_size=3)), optimizer=nn.Adam(0.05)),
        "drift-per-row-default": network(lsh(12, rehash=Drift(0.02, check_every=2, per_row=True)), optimizer=nn.Adam(0.05)),
        "drift-per-row-list": network(lsh(rehash=Drift(0.07, check_every=2, rows=20, per_row=True, list_size=12)), optimizer=nn.Adam(0.05)),
        "drift-longest": network(lsh(rehash=Drift(0.9, check_every=2, rows=8, longest=5)), optimizer=nn.Adam(0.05)),
        "drift-uncentred": network(lsh(rehash=Drift(0.02, check_every=2, rows=8), center=False), optimizer=nn.Adam(0.05)),
        # other samplers
        "uniform-sample": network(nn.Uniform(5, shape="sample")),
        "uniform-sample-none": network(nn.Uniform(5, shape="sample", correction="none")),
        "uniform-batch": network(nn.Uniform(5, shape="batch")),
        "uniform-batch-tail": network(nn.Uniform(5, shape="batch", correction="tail")),
        "uniform-batch-logq": network(nn.Uniform(5, shape="batch", correction="logq")),
        "full": network(nn.Full()),
        "auto": network("auto"),
        "later-asking": network("auto", optimizer=nn.Adam(0.05)),
        "later-looking": network("auto", optimizer=nn.Adam(0.05)),
        "later-before": network("auto", optimizer=nn.Adam(0.05)),
        # optimisers and rates
        "sgd": network(lsh(), optimizer=nn.SGD(0.1)),
        "sgd-momentum": network(lsh(), optimizer=nn.SGD(0.05, momentum=0.9, weight_decay=0.01)),
        "adagrad": network(lsh(), optimizer=nn.AdaGrad(0.05, eps=1e-6)),
        "adam": network(lsh(), optimizer=nn.Adam(0.01, beta1=0.8, beta2=0.99, eps=1e-6, weight_decay=0.1)),
        "rowadam": network(lsh(), optimizer=nn.RowAdam(0.01, weight_decay=0.1)),
        "rowadam-name": network(nn.Uniform(5), optimizer="rowadam", lr=0.01),
        "rate-constant": network(lsh(), lr_schedule=nn.Constant()),
        "rate-linear": network(lsh(), lr_schedule=nn.Linear(0.1, warmup=3)),
        "rate-cosine": network(lsh(), lr_schedule=nn.Cosine(0.05, warmup=2)),
        "rate-step": network(lsh(), lr_schedule=nn.Step(0.2, 0.7)),
        "clipped": network(lsh(), clip_norm=0.5),
        # losses, activations, layers
        "logistic": network(lsh(), loss="logistic"),
        "logistic-full": network(nn.Full(), loss="logistic"),
        "logistic-uniform": network(nn.Uniform(5, shape="sample"), loss="logistic"),
        "logistic-batch": network(nn.Uniform(5, shape="batch"), loss="logistic"),
        **{name: network(lsh(), activation=name) for name in ("leaky_relu", "elu", "gelu", "tanh", "sigmoid", "identity")},
        "two-hidden": network(lsh(), hidden=(5, 3)),
        "three-hidden-full": network("full", hidden=(5, 4, 3), activation="tanh"),
        "wide": network(lsh(), hidden=(4, nn.Wide(9, lsh(4, L=2)), 3)),
        "wide-uniform": network(nn.Uniform(5), hidden=(4, nn.Wide(9, nn.Uniform(5, shape="sample")), 3), activation="gelu"),
        "wide-drift": network(lsh(shape="batch"), optimizer=nn.SGD(0.05, momentum=0.5),
                              hidden=(4, nn.Wide(9, lsh(4, L=2, rehash=Drift(0.02, check_every=2, rows=8))), 3)),
        "chunks": network(lsh()),
        # with callbacks that have a state, see `callbacks`
        "callbacks": network(lsh(rehash=Drift(0.02, check_every=2, rows=8)), optimizer=nn.Adam(0.05)),
        "callbacks-early": network(lsh(), optimizer=nn.Adam(0.2)),
    }
    return out


def callbacks(name, folder):
    """Callbacks of the checkpoint of this name, anew; files they write are in `folder`."""
    if name == "callbacks":
        return [nn.EarlyStopping("loss", 3), nn.Diagnostics(every=2, topk=3, rows=10), nn.JSONLines(folder / f"{name}.jsonl")]
    if name == "callbacks-early":
        return [nn.EarlyStopping("P@1", 0, min_delta=0.01), nn.JSONLines(folder / f"{name}.jsonl")]
    return []


def training(name):
    """(X, Y, other arguments of fit) of the network of this name."""
    X, Y = classes() if name.startswith("later") else problem()
    settings = {"epochs": EPOCHS, "batch_size": BATCH}
    if name.startswith("later"):
        settings["epochs"] = 40
    if name.startswith("callbacks"):
        settings["validation"] = (X[:12], Y[:12])
    return X, Y, settings


def given(name):
    """What `fit` is given: the data whole, or in chunks."""
    X, Y, _ = training(name)
    return ([(X[:17], Y[:17]), (X[17:], Y[17:])],) if name == "chunks" else (X, Y)


def resume(name, path, folder):
    """Go on from a checkpoint with a network like the one that wrote it: (network, history)."""
    with later_for_few_outputs() if name.startswith("later") else contextlib.nullcontext():
        net = networks()[name]
    _, _, settings = training(name)
    return net, net.fit(*given(name), **settings, callbacks=callbacks(name, folder), resume=path)





def reformer(**settings):
    """A small language model."""
    return ReformerLM(7, **{"max_length": 12, "width": 8, "n_heads": 2, "bucket_size": 4, "n_hashes": 2, "seed": 3, **settings})


def reformers():
    """Name -> untrained language model."""
    return {
        "lsh": reformer(),
        "lsh-stored": reformer(reversible=False),
        "triplet": reformer(attention="triplet", thresh=0.001, margin=0.5),
        "contrast": reformer(attention="contrast", thresh=0.001, lr_rotations=0.02, scheduler_hashes=100),
        "contrast-stored": reformer(attention="contrast", thresh=0.001, reversible=False),
        "full": reformer(attention="full"),
        "full-stored": reformer(attention="full", reversible=False, clip_norm=None),
        "mixed": reformer(attention=["full", "lsh"], n_hashes=[1, 2], bucket_size=[4, 6], embedding_width=5, activation="gelu"),
        "short-full": reformer(full_attention_up_to=6),
        "axial": reformer(positions="axial", attention="full"),
        "axial-shape": reformer(positions=(3, 5)),
        "dropout": reformer(dropout=0.1, lr_schedule=nn.Step(0.5), ff_chunks=2, ff_width=6),
        "wide-lsh": reformer(sampler=lsh(4, rehash=2)),
        "wide-lsh-batch": reformer(sampler=lsh(4, rehash=2, shape="batch"), attention="full"),
        "wide-lsh-drift": reformer(sampler=lsh(4, rehash=Drift(0.01, check_every=2, rows=5)), clip_norm=None),
        "wide-uniform": reformer(sampler=nn.Uniform(3)),
        "wide-uniform-logq": reformer(sampler=nn.Uniform(3, correction="logq")),
        "rowadam": reformer(optimizer=nn.RowAdam(1e-2), attention="full"),
        "sgd": reformer(optimizer=nn.SGD(0.1, momentum=0.5), attention="full", n_layers=1),
        "adagrad": reformer(optimizer="adagrad", lr=0.02, lr_schedule="cosine", attention="full", n_layers=1),
    }


def read_on(model):
    """Train a language model a little further; the history."""
    return model.fit(text(), epochs=2, batches=6, batch_size=3)


def index(metric, **settings):
    """An index for `rows`, that makes tables from 20 rows on."""
    return LSHIndex(metric, 6, **{"K": 3, "L": 2, "train_size": 20, **settings})


def indexes():
    """Name -> (empty index, kind of rows)."""
    out = {}
    for metric in ("l2", "ip", "cosine"):
        for family, K in (("simhash", 3), ("crosspolytope", 1), ("pstable", 2), ("dwta", 1)):
            out[f"{metric}-{family}"] = index(metric, family=family, K=K), "dense"
    out |= {
        "ip-simhash-csr": (index("ip", family="simhash"), "sparse"),
        "cosine-simhash-csr": (index("cosine", family="simhash"), "sparse"),
        "cosine-crosspolytope-csr": (index("cosine", family="crosspolytope", K=1), "sparse"),
        "cosine-pstable-csr": (index("cosine", family="pstable", K=2), "sparse"),
        "ip-dwta-csr": (index("ip", family="dwta", K=1), "sparse"),
        "jaccard-minhash": (index("jaccard", family="minhash", K=1), "dense"),
        "jaccard-minhash-csr": (index("jaccard", family="minhash", K=1, L=4), "sparse"),
        "hamming-bitsampling": (index("hamming", family="bitsampling"), "bits"),
        **{f"{metric}-default": (LSHIndex(metric, 6, L=3, train_size=20), kind)
           for metric, kind in (("l2", "dense"), ("ip", "dense"), ("cosine", "sparse"), ("jaccard", "sparse"), ("hamming", "bits"))},
        **{f"{metric}-{policy}": (index(metric, capacity=8, policy=policy), kind) for policy in ("fifo", "reservoir")
           for metric, kind in (("l2", "dense"), ("cosine", "sparse"), ("jaccard", "sparse"), ("hamming", "bits"))},
        **{f"{metric}-exact": (index(metric, train_size=1000), kind)
           for metric, kind in (("l2", "dense"), ("ip", "sparse"), ("cosine", "dense"), ("jaccard", "sparse"), ("hamming", "bits"))},
        **{f"{metric}-tuned": (index(metric, K=None, L=None, max_candidates=50), kind)
           for metric, kind in (("l2", "dense"), ("ip", "dense"), ("cosine", "sparse"), ("jaccard", "sparse"), ("hamming", "bits"))},
        "ip-tuned-learned": (index("ip", K=None, L=None), "dense"),
        "l2-settings": (index("l2", probes=3, rerank=None, max_candidates=12, exact_fallback=True, n_threads=1, seed=5), "dense"),
        "cosine-own-ids": (index("cosine", probes=2, rerank=2), "dense"),
        "l2-empty": (index("l2"), None),
    }
    return out


def queries(kind):
    """Rows that are asked for: some are in the index, some have changed."""
    every = rows()[kind]
    return every[:8] if kind != "dense" else np.ascontiguousarray(every[:8] * np.float32(0.9) + np.float32(0.05))


def plain(array):
    """Numbers as JSON holds them, to nine digits."""
    array = np.asarray(array)
    return array.tolist() if array.dtype.kind in "iu" else [plain(a) for a in array] if array.ndim else float(f"{array:.9g}")


def answers(found, kind):
    """What an index answers."""
    if kind is None:
        ids, distances = found.query(rows()["dense"][:2], 3)
        return {"length": 0, "ids": plain(ids), "distances": plain(distances)}
    Q = queries(kind)
    ids, distances = found.query(Q, 3)
    exact_ids, exact_distances = found.query(Q, 3, exact=True)
    indptr, candidates = found.candidates(Q)
    return {"length": len(found), "all_ids": plain(found.ids), "ids": plain(ids), "distances": plain(distances),
            "exact_ids": plain(exact_ids), "exact_distances": plain(exact_distances),
            "indptr": plain(indptr), "candidates": plain(candidates)}
