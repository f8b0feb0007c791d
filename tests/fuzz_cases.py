"""Damaged files, texts and command lines, and what may come of them: a clean error or a correct load.

A target makes good examples once and then runs cases: `run(rng)` damages an example, hands it to the program, and returns ``"refused"``
or ``"loaded"``; anything else that happens is a `Finding`. Damage is of two kinds. *Bytes* are flipped, cut, doubled: what is read all the
same must equal the original. *Contents* are changed by one who makes all checksums good again: what is read then may be used, and
must not get out of bounds.
"""

import contextlib
import copy
import io as text_io
import json
import os
import pathlib
import zipfile

import numpy as np
import scipy.sparse as sp

from mongoose_nb import data, nn
from mongoose_nb.core import files as io
from mongoose_nb.data import _cache
from mongoose_nb.hashing.learned import LearnedHash
from mongoose_nb.rehash import Drift
from mongoose_nb.search import LSHIndex


class Finding(AssertionError):
    """A case that ended as none may end."""


# ------------------------------------------------------------------ damage

NUMBERS = [0, 1, -1, 2, 7, 255, 2**31 - 1, 2**31, -(2**31), 2**32, 2**63 - 1, 2**63, 2**64, 10**30, 0.0, -0.0, 0.5, 1e-45, 1e38, 1e39,
           1e308, float("inf"), float("-inf"), float("nan")]
VALUES = [*NUMBERS, None, True, False, "", "x", "lsh", "../../etc/passwd", "\0", [], [1], {}, {"name": "lsh"}, [[]], "9" * 400]


def damage_bytes(rng, raw):
    """One to four changes of a byte string."""
    raw = bytearray(raw)
    for _ in range(int(rng.integers(1, 5))):
        n = len(raw)
        at = int(rng.integers(0, n + 1))
        length = int(min(n - at, 2 ** rng.integers(0, 12)))
        kind = rng.integers(0, 7)
        if kind == 0 and n:
            raw[at % n] ^= 1 << int(rng.integers(0, 8))
        elif kind == 1 and n:
            raw[at % n] = int(rng.integers(0, 256))
        elif kind == 2:
            del raw[at:]
        elif kind == 3:
            del raw[at:at + length]
        elif kind == 4:
            raw[at:at] = raw[at:at + length]
        elif kind == 5:
            raw[at:at + length] = bytes([int(rng.choice([0, 255, 32, 48]))]) * length
        else:
            raw[at:at] = rng.bytes(int(rng.integers(1, 9)))
    return bytes(raw)


TOKENS = [b"0", b"1", b"-1", b",", b":", b" ", b"\n", b"\r\n", b"\t", b"#", b"nan", b"inf", b"1e999", b"1e-999", b"0x10", b"9" * 20,
          b"2147483648", b"4294967296", b"1:1", b"3,3", b"qid:1", b"+", b".", b"\0", b"\xff\xfe", b"\xc3\xa4", b"1_0", b" 5:5:5 "]


def damage_text(rng, raw):
    """Tokens put in, lines doubled or dropped, and sometimes bytes."""
    if rng.random() < 0.3:
        return damage_bytes(rng, raw)
    raw = bytearray(raw)
    for _ in range(int(rng.integers(1, 4))):
        at = int(rng.integers(0, len(raw) + 1))
        token = TOKENS[rng.integers(0, len(TOKENS))]
        if rng.random() < 0.5:
            raw[at:at] = token
        else:
            raw[at:at + len(token)] = token
    return bytes(raw)


def damage_json(rng, value):
    """A copy of nested settings with one value changed, dropped, added or moved."""
    value = copy.deepcopy(value)
    places = []

    def walk(node, depth=0):
        items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
        for key, inner in items:
            places.append((node, key))
            if depth < 12:
                walk(inner, depth + 1)

    walk(value)
    for _ in range(int(rng.integers(1, 3))):
        if not places:
            break
        node, key = places[rng.integers(0, len(places))]
        if key not in node if isinstance(node, dict) else key >= len(node):
            continue
        kind = rng.integers(0, 6)
        old = node[key]
        if kind == 0:
            del node[key]
        elif kind == 1 and isinstance(node, dict):
            node["more"] = VALUES[rng.integers(0, len(VALUES))]
        elif kind == 2 and type(old) in (int, float):
            with contextlib.suppress(OverflowError):
                node[key] = old + int(rng.choice([-1, 1, 2, 1000])) if rng.random() < 0.5 else old * int(rng.choice([2, 100, 10**6, -1]))
        else:
            node[key] = copy.deepcopy(VALUES[rng.integers(0, len(VALUES))])
    return value


def damage_array(rng, array):
    """Another array in its place: values, shape or dtype."""
    kind = rng.integers(0, 8)
    array = np.array(array)
    if kind == 0 and array.size:
        flat = array.reshape(-1)
        number = NUMBERS[rng.integers(0, len(NUMBERS))]
        with np.errstate(all="ignore"), contextlib.suppress(OverflowError, ValueError):
            flat[rng.integers(0, flat.size)] = number
    elif kind == 1 and array.size:
        flat = array.reshape(-1).view(np.uint8)
        flat[rng.integers(0, flat.size, 3)] = rng.integers(0, 256, 3)
        if array.dtype == bool:
            array = array.view(np.uint8) != 0
    elif kind == 2 and array.ndim:
        array = array[:-1]
    elif kind == 3 and array.ndim:
        array = np.concatenate([array, array[-1:]])
    elif kind == 4:
        array = array.reshape(-1) if array.ndim > 1 else array[None]
    elif kind == 5 and array.dtype.kind in "iufb":
        with np.errstate(all="ignore"):
            array = array.astype(rng.choice(["float32", "float64", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool"]))
    elif kind == 6 and array.ndim:
        array = array[:0]
    elif array.size and array.dtype.kind in "iu":
        with np.errstate(all="ignore"):
            array = array + array.dtype.type(1)
    return array


# ------------------------------------------------------------------ what may happen

#: how a use of what was loaded may end: what is stored may be unusable, and say so
CLEAN = (ValueError, TypeError, KeyError, FloatingPointError, OSError)


def attempt(function, allowed, what):
    """(True, result), or (False, None) where it was refused; `Finding` for any other end."""
    try:
        with np.errstate(all="ignore"):
            return True, function()
    except allowed as error:
        if not str(error):
            raise Finding(f"{what}: {type(error).__name__} without a message") from error
        return False, None
    except MemoryError as error:
        raise Finding(f"{what}: wanted too much memory: {error}") from error
    except Exception as error:
        raise Finding(f"{what}: {type(error).__name__}: {error}") from error


def same(a, b):
    """Two (settings, arrays) are equal."""
    return a[0] == b[0] and a[1].keys() == b[1].keys() and all(
        a[1][k].dtype == b[1][k].dtype and a[1][k].shape == b[1][k].shape and a[1][k].tobytes() == b[1][k].tobytes() for k in a[1])


class Stored:
    """Files of the package's own format: networks and indexes."""

    def __init__(self, folder, kind, paths):
        self.folder, self.kind = folder, kind
        self.raw = [pathlib.Path(p).read_bytes() for p in paths]
        self.good = [io.load(p, kind) for p in paths]
        self.path = folder / f"case-{kind}"

    def run(self, rng):
        """Bytes in three of ten cases, contents in the others."""
        i = int(rng.integers(0, len(self.raw)))
        mapped = bool(rng.random() < 0.3)
        if rng.random() < 0.3:
            self.path.write_bytes(damage_bytes(rng, self.raw[i]))
            done, found = attempt(lambda: io.load(self.path, self.kind, mmap=mapped), io.FormatError, "io.load")
            if done and not mapped and not same(found, self.good[i]):
                raise Finding("bytes were damaged, and something else was read")
        else:
            settings, arrays = self.good[i]
            arrays = dict(arrays)
            if rng.random() < 0.5:
                settings = damage_json(rng, settings)
            else:
                name = list(arrays)[rng.integers(0, len(arrays))]
                if rng.random() < 0.1:
                    del arrays[name]
                else:
                    arrays[name] = damage_array(rng, arrays[name])
            io.save(self.path, self.kind, settings, arrays)
        done, thing = attempt(lambda: self.load(mapped), io.FormatError, "load")
        if not done:
            return "refused"
        self.use(thing, rng, mapped)
        return "loaded"


class Networks(Stored):
    """Saved networks and checkpoints: loaded, asked, trained on, gone on with."""

    def __init__(self, folder):
        X = sp.random(20, 12, 0.4, format="csr", dtype=np.float32, random_state=0)
        self.X, self.Y = X, sp.csr_matrix((np.arange(20)[:, None] % 25 == np.arange(25)).astype(np.float32))
        paths = []
        for name, hidden, sampler, keep in (
            ("lsh", (4,), nn.LSH(9, tables=nn.Tables(K=2, L=2, rehash=2, capacity=4)), True),
            ("wide", (4, nn.Wide(10, nn.LSH(5, tables=nn.Tables(K=2, L=2))), 3), nn.Uniform(9, correction="logq"), True),
            ("drift", (4,), nn.LSH(9, tables=nn.Tables(K=2, L=3, rehash=Drift(0.01, check_every=1, rows=8, per_row=True))), True),
            ("learn", (4,), nn.LSH(9, tables=nn.Tables(K=2, L=3, rehash=2, learn=LearnedHash(first_steps=2, steps=1, queries=32))), True),
            ("dwta", (4,), nn.LSH(9, tables=nn.Tables(K=1, L=3, rehash=2, family="dwta")), False),
            ("importance", (4,), nn.LSH(9, correction="importance", tables=nn.Tables(K=2, L=3, rehash=2)), True),
        ):
            net = nn.Network(12, 25, hidden=hidden, sampler=sampler)
            paths.append(folder / name)
            if keep:
                net.fit(X, self.Y, epochs=2, batch_size=5, validation=(X, self.Y), early_stopping=3, callbacks=[
                    nn.Checkpoint(paths[-1]), nn.Diagnostics(every=1, rows=4)])
            if name == "lsh":
                net.fit_serving(X, self.Y, K=2, L=2, learn=LearnedHash(first_steps=2))
            if not keep or name == "lsh":
                net.partial_fit(X, self.Y)
                net.save(paths[-1], optimizer=keep)
        super().__init__(folder, "network", paths)

    def load(self, mapped):
        """A network knows no mapping."""
        return nn.Network.load(self.path)

    def use(self, net, rng, mapped):
        """Predict, take a step, save, resume."""
        X, Y = self.X, self.Y
        if (net.n_features, net.n_outputs) != (12, 25):
            return
        attempt(lambda: net.predict_topk(X, 3), CLEAN, "predict")
        if hasattr(net.output.sampler, "candidates_for") or net.retriever is not None:
            attempt(lambda: net.predict_topk(X, 3, exact=False), CLEAN, "predict exact=False")
        if rng.random() < 0.5:
            attempt(lambda: net.partial_fit(X, Y, batch_size=5), CLEAN, "partial_fit")
        else:
            given = json.loads(json.dumps(io.load(self.path, "network")[0]))["network"]
            from mongoose_nb.nn.saving import make_network

            other = make_network(nn.Network, given)
            attempt(lambda: other.fit(X, Y, epochs=3, batch_size=5, validation=(X, Y), early_stopping=3, resume=self.path,
                                      callbacks=[nn.Diagnostics(every=1, rows=4)]), CLEAN, "fit(resume=)")


class Indexes(Stored):
    """Saved indexes: read or mapped, asked and changed."""

    def __init__(self, folder):
        rng = np.random.default_rng(0)
        self.X = {"dense": rng.standard_normal((60, 8)).astype(np.float32), "bits": rng.integers(0, 2, (60, 8)).astype(bool)}
        self.X["sparse"] = sp.random(60, 8, 0.4, format="csr", dtype=np.float32, random_state=0)
        paths = []
        for name, kind, metric, more in (("l2", "dense", "l2", {}), ("ip", "dense", "ip", {"capacity": 4, "policy": "reservoir"}),
                                         ("cosine", "sparse", "cosine", {}), ("jaccard", "sparse", "jaccard", {}),
                                         ("hamming", "bits", "hamming", {})):
            index = LSHIndex(metric, 8, K=3, L=2, train_size=20, **more)
            index.add(self.X[kind])
            index.remove([3, 5])
            paths.append(folder / f"index-{name}")
            index.save(paths[-1])
        super().__init__(folder, "lsh_index", paths)

    def load(self, mapped):
        """Read, or map."""
        return LSHIndex.load(self.path, mmap=mapped)

    def use(self, index, rng, mapped):
        """Ask, and where it may be changed, change it."""
        kind = index.stats()["kind"] or {"hamming": "bits", "jaccard": "sparse"}.get(index.metric, "dense")
        X = self.X[kind]
        attempt(lambda: index.query(X[:3], 2), CLEAN, "query")
        attempt(lambda: index.query(X[:3], 2, exact=True), CLEAN, "query exact")
        attempt(index.stats, CLEAN, "stats")
        if not mapped:
            attempt(lambda: index.remove([7]), CLEAN, "remove")
            attempt(lambda: index.update([8], X[:1]), CLEAN, "update")
            attempt(lambda: index.add(X[:4], ids=[1000, 1001, 1002, 1003]), CLEAN, "add")
            attempt(lambda: index.query(X[:3], 2), CLEAN, "query")


class Datasets(Stored):
    """Data sets that are mapped, and trained on."""

    def __init__(self, folder):
        X = sp.random(20, 12, 0.4, format="csr", dtype=np.float32, random_state=0)
        data.save_arrays(folder / "set", X, np.arange(20) % 7)
        super().__init__(folder, "dataset", [folder / "set"])

    def load(self, mapped):
        """Always mapped."""
        return data.map_arrays(self.path)

    def use(self, pair, rng, mapped):
        """Canonical, finite, fit to train on."""
        for matrix in pair:
            matrix.check_format(full_check=True)
            if not np.isfinite(matrix.data).all():
                raise Finding("values that are not finite came through")
        X, Y = pair
        if max(X.shape[1], Y.shape[1]) < 10**5:
            net = nn.Network(X.shape[1], Y.shape[1], hidden=(2,), sampler=nn.Uniform(5))
            attempt(lambda: net.partial_fit(X, Y, batch_size=8), CLEAN, "partial_fit")


class Arrays:
    """npz: data sets, caches of parsed text, vectors; and .npy, .fvecs."""

    def __init__(self, folder):
        self.folder = folder
        self.X = sp.random(9, 7, 0.5, format="csr", dtype=np.float32, random_state=0)
        self.Y = sp.csr_matrix((np.arange(9)[:, None] % 5 == np.arange(5)).astype(np.float32))
        self.source = folder / "source.txt"
        data.write_xc(self.source, self.X, self.Y)
        X, Y = self.X, self.Y
        _cache.save(str(folder / "cache.npz"), os.stat(self.source), X, Y)
        np.savez(folder / "set.npz", fptr=X.indptr, feat=X.indices, val=X.data, lptr=Y.indptr, lab=Y.indices, shape=np.array([9, 7, 5]))
        np.savez_compressed(folder / "packed.npz", fptr=X.indptr, feat=X.indices, val=X.data, lptr=Y.indptr, lab=Y.indices,
                            shape=np.array([9, 7, 5]))
        sp.save_npz(folder / "rows.npz", X)
        np.save(folder / "rows.npy", X.toarray())
        np.concatenate([np.full((9, 1), 7, "<i4"), X.toarray().view("<i4")], axis=1).tofile(folder / "rows.fvecs")
        self.names = ["cache.npz", "set.npz", "packed.npz", "rows.npz", "rows.npy", "rows.fvecs"]
        self.raw = {name: (folder / name).read_bytes() for name in self.names}

    def _read(self, name, path):
        from mongoose_nb.commands.vectors import read_vectors

        if name == "cache.npz":
            return _cache.load(str(path), os.stat(self.source))
        if name in ("set.npz", "packed.npz"):
            return data.read_npz(path)
        X, _ = read_vectors(str(path))
        if X.shape[1] > 10**6:  # a search has a place for every column
            return X
        index = LSHIndex("cosine" if hasattr(X, "tocsr") else "l2", X.shape[1])
        index.add(X)
        return index.query(X[:2], 1)

    def run(self, rng):
        """Bytes, or arrays changed and stored again."""
        name = self.names[rng.integers(0, len(self.names))]
        path = self.folder / f"case{os.path.splitext(name)[1]}"
        if name.endswith("npz") and rng.random() < 0.6:
            with np.load(self.folder / name) as stored:
                arrays = dict(stored)
            key = list(arrays)[rng.integers(0, len(arrays))]
            if rng.random() < 0.1:
                del arrays[key]
            else:
                arrays[key] = damage_array(rng, arrays[key])
            (np.savez_compressed if rng.random() < 0.5 else np.savez)(path, **arrays)
            if rng.random() < 0.3:
                self._lie(rng, path)
        else:
            path.write_bytes(damage_bytes(rng, self.raw[name]))
        done, found = attempt(lambda: self._read(name, path), CLEAN[:-1] + (OSError, ImportError), f"reading {name}")
        if not done or found is None:
            return "refused"
        if name in ("cache.npz", "set.npz", "packed.npz"):
            for matrix in found:
                matrix.check_format(full_check=True)
                if not np.isfinite(matrix.data).all():
                    raise Finding("values that are not finite came through")
        return "loaded"

    def _lie(self, rng, path):
        """An array whose header promises far more than there is."""
        shape = str(tuple(int(v) for v in rng.choice([2**31, 2**40, 10**15, 5], int(rng.integers(1, 3)))))
        head = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape if shape.endswith(')') else shape + ','}}}".encode()
        raw = b"\x93NUMPY\x01\x00" + (len(head) + 1).to_bytes(2, "little") + head + b"\n" + bytes(32)
        with zipfile.ZipFile(path, "a") as archive:
            names = archive.namelist()
        with zipfile.ZipFile(path) as archive:
            parts = {name: archive.read(name) for name in names}
        parts[names[rng.integers(0, len(names))]] = raw
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, part in parts.items():
                archive.writestr(name, part)


class Texts:
    """The text formats, plain and gzip."""

    def __init__(self, folder):
        import gzip

        self.folder = folder
        self.xc = b"4 9 6\n0,3 0:1 4:0.5 8:-2e-3\n 1:1\n5 2:1.5 3:1 7:12345.678\n1,2,4 \n"
        self.svm = b"0 1:1 4:0.5\n1,2 2:1 3:1e5 # a comment\n\n3 qid:4 1:1\n"
        self.pair = b"3 5\n0:1 4:1\n\n2:1\n"
        self.cases = [(raw, packed, kind) for kind, raw in (("xc", self.xc), ("svm", self.svm), ("pair", self.pair)) for packed in (0, 1)]
        self.gzip = gzip

    def run(self, rng):
        """Read; what is read is canonical, finite and within the header's bounds."""
        raw, packed, kind = self.cases[rng.integers(0, len(self.cases))]
        raw = damage_text(rng, raw)
        if packed:
            raw = self.gzip.compress(raw, mtime=0)
            if rng.random() < 0.5:
                raw = damage_bytes(rng, raw)
        path = self.folder / "case.txt"
        path.write_bytes(raw)
        read = {"xc": lambda: data.read_xc(path), "svm": lambda: data.read_svmlight(path, multilabel=True),
                "pair": lambda: data.read_xc_pair(path, path)}[kind]
        done, found = attempt(read, (ValueError, OSError), f"reading {kind}")
        if not done:
            return "refused"
        for matrix in found:
            matrix.check_format(full_check=True)
            if not matrix.has_canonical_format or not np.isfinite(matrix.data).all():
                raise Finding("what was read is not canonical, or not finite")
        return "loaded"


class CommandLines:
    """Arguments drawn from the program's own words and from nonsense, and damaged files of a run."""

    def __init__(self, folder):
        from nn_problem import planted

        from mongoose_nb.commands.cli import main

        self.folder, self.main = folder, main
        X, label = planted(n=40, n_outputs=12)
        Y = sp.csr_matrix((np.ones(40, np.float32), label, np.arange(41)), shape=(40, 12))
        data.write_xc(folder / "train.txt", X, Y)
        self.call(["train", str(folder / "train.txt"), "--out", str(folder / "run"), "--epochs", "1", "--hidden", "4",
                   "--validation", "0.3", "--early-stopping", "2"])
        np.save(folder / "rows.npy", X.toarray())
        self.call(["index", "build", str(folder / "rows.npy"), "--out", str(folder / "index")])
        self.files = {name: (folder / "run" / name).read_bytes() for name in ("settings.json", "metrics.jsonl", "model.mongoose")}
        self.toml = b'epochs = 1\nhidden = [4]\nlr = 0.01\nsampler = "lsh"\nfill = false\nrehash = "20:0.5"\n'

    def call(self, argv):
        """(code, stdout, stderr) of one command."""
        out, err = text_io.StringIO(), text_io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = self.main(argv)
        return code, out.getvalue(), err.getvalue()

    def _value(self, rng):
        folder = str(self.folder)
        words = ["1", "2", "0", "-1", "0.5", "nan", "inf", "1e400", "", " ", "x", "none", "lsh", "full", "uniform", "batch", "sample",
                 "auto", "contrast", "drift", "3:0.1", ":", "1:", "wide:3", "4,wide:9,3", "4,4", "\0", "ä", "../..", "--", "-", "/dev/null",
                 folder + "/train.txt", folder + "/run", folder + "/run/model.mongoose", folder + "/index", folder + "/rows.npy",
                 folder, folder + "/none", folder + "/case.toml", "9" * 50, "\n", "%s%n", "{}", "'; rm x"]
        return words[rng.integers(0, len(words))]

    def _argv(self, rng):
        from mongoose_nb.commands.options import OPTIONS

        folder = str(self.folder)
        commands = ["train", "evaluate", "predict", "index", "report", "info", "nothing", ""]
        command = commands[rng.choice(8, p=[.4, .15, .15, .15, .1, .01, .02, .02])]
        argv = [command]
        if command == "index":
            argv.append(str(rng.choice(["build", "query", "stats", "tune", "no"])))
        for _ in range(int(rng.integers(0, 3))):
            argv.append(self._value(rng))
        flags = [f"--{o.name}" for o in OPTIONS.values()]
        flags += ["--out", "--resume", "--config", "--k", "--lsh", "--json", "--threads", "--train", "--A", "--overwrite", "--exact",
                  "--recall", "--metric", "-o"]
        for _ in range(int(rng.integers(0, 4))):
            argv.append(flags[rng.integers(0, len(flags))])
            if rng.random() < 0.85:
                argv.append(self._value(rng))
        if command == "train":
            if rng.random() < 0.8:
                argv[1:1] = [folder + "/train.txt", "--out", folder + "/new", "--overwrite"]
            argv += ["--epochs", "1"]
        if command == "report":
            argv += ["-o", folder + "/report.html"]
        return argv

    def run(self, rng):
        """One command; now and then the files of the run are damaged first."""
        folder = self.folder
        try:
            if rng.random() < 0.4:
                name = list(self.files)[rng.integers(0, 3)]
                raw = self.files[name]
                if name.endswith("json") and rng.random() < 0.6:
                    raw = json.dumps(damage_json(rng, json.loads(raw))).encode()
                else:
                    raw = damage_bytes(rng, raw)
                (folder / "run" / name).write_bytes(raw)
                at, train = f"{folder}/run", f"{folder}/train.txt"
                argv = [["train", "--resume", at, "--epochs", "2"], ["evaluate", at, train], ["predict", at, train, "--lsh"],
                        ["report", at, "-o", f"{folder}/report.html"]][rng.integers(0, 4)]
            elif rng.random() < 0.1:
                (folder / "case.toml").write_bytes(damage_text(rng, self.toml))
                argv = ["train", f"{folder}/train.txt", "--out", f"{folder}/new", "--overwrite", "--config", f"{folder}/case.toml"]
            else:
                argv = self._argv(rng)
            # what is not a write into the folder must not happen
            argv = [a for a in argv if a not in ("-o",) or argv[0] == "report"]
            done, answer = attempt(lambda: self._call_in(argv), (), f"mongoose {argv}")
            code, out, err = answer
            if code not in (0, 1, 2):
                raise Finding(f"mongoose {argv} ended with {code}")
            if "Traceback" in err or "--debug shows where" in err:
                raise Finding(f"mongoose {argv}: {err[-500:]}")
            if code and not err.strip():
                raise Finding(f"mongoose {argv} failed without a word")
            return "refused" if code else "loaded"
        finally:
            for name, raw in self.files.items():
                (folder / "run" / name).write_bytes(raw)

    def _call_in(self, argv):
        work = self.folder / "work"
        work.mkdir(exist_ok=True)
        before = os.getcwd()
        os.chdir(work)
        try:
            return self.call(argv)
        finally:
            os.chdir(before)


TARGETS = {"networks": Networks, "indexes": Indexes, "datasets": Datasets, "arrays": Arrays, "texts": Texts, "command line": CommandLines}
