"""`mongoose index`, called in process on small files."""

import json

import naive_search as naive
import numpy as np
import pytest
import scipy.sparse as sp

from mongoose_nb.commands.cli import main
from mongoose_nb.commands.vectors import read_vectors
from mongoose_nb.search import LSHIndex


@pytest.fixture
def call(capsys):
    """call(argument, ...) -> (exit code, stdout, stderr)."""
    def invoke(*argv):
        capsys.readouterr()
        code = main(["index", *[str(a) for a in argv]])
        return code, *capsys.readouterr()

    return invoke


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """rows.npy, queries.npy, and rows.npz in a directory."""
    folder = tmp_path_factory.mktemp("vectors")
    np.save(folder / "rows.npy", naive.data("l2", 1500, 12))
    np.save(folder / "queries.npy", naive.data("l2", 7, 12, seed=1))
    sp.save_npz(folder / "rows.npz", naive.data("cosine", 300, 20, sparse=True))
    return folder


def test_build_query_and_stats(files, call, tmp_path):
    out = tmp_path / "index"
    code, text, _ = call("build", files / "rows.npy", "--out", out, "--L", 6)
    assert code == 0 and text.startswith("1,500 rows")
    X, Q = np.load(files / "rows.npy"), np.load(files / "queries.npy")
    code, text, errors = call("query", out, files / "queries.npy", "--k", 3, "--exact", "--recall")
    assert code == 0 and "recall@3: 1.0000" in errors
    want = np.sort(naive.distances("l2", Q, X), axis=1)[:, :3]
    got = [[float(pair.split(":")[1]) for pair in line.split()] for line in text.splitlines()]
    np.testing.assert_allclose(got, want, rtol=1e-4)
    code, text, _ = call("query", out, files / "queries.npy", "--k", 2, "--json")
    ids, distances = LSHIndex.load(out).query(Q, 2)
    for i, line in enumerate(text.splitlines()):
        line = json.loads(line)
        assert line["row"] == i and line["ids"] == ids[i].tolist()
        np.testing.assert_allclose(line["distances"], distances[i], rtol=1e-6)
    code, text, _ = call("stats", out, "--json")
    assert code == 0 and json.loads(text)["L"] == 6 and json.loads(text)["rows"] == 1500
    assert "max_load" in call("stats", out)[1]
    code, _, errors = call("build", files / "rows.npy", "--out", out)
    assert code == 2 and "--overwrite" in errors
    code, _, _ = call("build", files / "rows.npy", "--out", tmp_path / "small", "--storage", "int8", "--entries", 500)
    assert code == 0 and LSHIndex.load(tmp_path / "small").stats()["kind"] == "int8" and LSHIndex.load(tmp_path / "small").entries == 500


def test_keys(files, call, tmp_path):
    names = tmp_path / "names.txt"
    names.write_text("".join(f"größe {i}\n" for i in range(1500)), "utf-8")
    code, _, _ = call("build", files / "rows.npy", "--out", tmp_path / "index", "--keys", names)
    assert code == 0 and LSHIndex.load(tmp_path / "index").keys[3] == "größe 3"
    code, text, _ = call("query", tmp_path / "index", files / "rows.npy", "--k", 1)
    assert code == 0 and text.splitlines()[3] == "größe 3:0"
    code, text, _ = call("query", tmp_path / "index", files / "rows.npy", "--k", 1501, "--json")
    assert code == 0 and len(json.loads(text.splitlines()[0])["ids"]) == 1500
    names.write_text("".join(f"a\u2028{i}\r\n" for i in range(1500)), "utf-8-sig")
    code, _, _ = call("build", files / "rows.npy", "--out", tmp_path / "windows", "--keys", names)
    assert code == 0 and LSHIndex.load(tmp_path / "windows").keys[:2].tolist() == ["a\u20280", "a\u20281"]
    names.write_text("only one\n", "utf-8")
    code, _, errors = call("build", files / "rows.npy", "--out", tmp_path / "other", "--keys", names)
    assert code == 2 and "1 keys came with 1500 rows" in errors
    for keys in (names, tmp_path / "missing"):  # told before the tuning
        code, _, errors = call("build", files / "rows.npy", "--out", tmp_path / "other", "--recall", ".9", "--keys", keys)
        assert code == 2 and "expect recall" not in errors and str(keys) in errors


def test_only_some_rows(files, call, tmp_path):
    """Answers are those of `query(allowed=)`, with ids and with keys; the recall is that among the allowed rows."""
    (tmp_path / "names.txt").write_text("".join(f"row {i}\n" for i in range(1500)))
    Q = np.load(files / "queries.npy")
    for keyed in (False, True):
        out, some = tmp_path / f"index{keyed}", tmp_path / f"some{keyed}.txt"
        assert call("build", files / "rows.npy", "--out", out, *(["--keys", tmp_path / "names.txt"] if keyed else []))[0] == 0
        names = [f"row {i}" if keyed else i for i in (*range(0, 1500, 50), 5, 5, 9999)]
        some.write_text("".join(f"{name}\n" for name in names))
        code, text, errors = call("query", out, files / "queries.npy", "--k", 40, "--allowed", some, "--json", "--recall")
        assert code == 0 and "recall@40: 1.0000" in errors and "1 of the 3" in errors
        found = LSHIndex.load(out).query(Q, 31, allowed=list(dict.fromkeys(names)))[0]
        assert [json.loads(line)["ids"] for line in text.splitlines()] == found.tolist()
    for line in ("row 3", "", "9" * 30, "1_0", " 3", "3.0"):
        some.write_text(f"3\n{line}\n4\n")
        code, _, errors = call("query", tmp_path / "indexFalse", files / "queries.npy", "--allowed", some)
        assert code == 2 and "line 2: rows of this index have ids" in errors
    some.write_text("")
    code, text, _ = call("query", tmp_path / "indexFalse", files / "queries.npy", "--allowed", some)
    assert code == 0 and text.split() == []


def test_tune_and_tuned_build(files, call, tmp_path):
    code, text, _ = call("tune", files / "rows.npy", "--recall", 0.8, "--k", 5, "--json")
    tuned = json.loads(text)
    assert code == 0 and tuned["reached"] and tuned["recall"] > 0.7
    code, text, _ = call("tune", files / "rows.npy", "--recall", 0.8, "--worst-tenth", 0.6, "--k", 5)
    assert code == 0 and "of the worst tenth" in text
    assert call("build", files / "rows.npy", "--out", tmp_path / "other", "--worst-tenth", 0.6)[0] == 2
    code, text, errors = call("build", files / "rows.npy", "--out", tmp_path / "index", "--recall", 0.8, "--k", 5, "--json")
    assert code == 0 and json.loads(text)["tuned"] == tuned and "expect recall" in errors
    assert LSHIndex.load(tmp_path / "index").L == tuned["L"]


def test_sparse_rows(files, call, tmp_path):
    assert call("build", files / "rows.npz", "--out", tmp_path / "index")[0] == 0
    index = LSHIndex.load(tmp_path / "index")
    assert index.metric == "cosine" and index.stats()["kind"] == "sparse" and len(index) == 300


def test_forms_of_files(tmp_path):
    X = naive.data("l2", 9, 5)
    np.concatenate([np.full((9, 1), 5, np.int32), X.view(np.int32)], axis=1).tofile(tmp_path / "x.fvecs")
    rows, metric = read_vectors(str(tmp_path / "x.fvecs"))
    assert metric is None and np.array_equal(rows, X)
    (tmp_path / "y.fvecs").write_bytes((tmp_path / "x.fvecs").read_bytes()[:-4])
    np.save(tmp_path / "flat.npy", X[0])
    for name, message in (("y.fvecs", "truncated"), ("flat.npy", "shape"), ("x.csv", "no such file")):
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            read_vectors(str(tmp_path / name))
    (tmp_path / "x.csv").write_text("1,2")
    with pytest.raises(ValueError, match="no reader"):
        read_vectors(str(tmp_path / "x.csv"))


def test_hdf5(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "x.hdf5", "w") as file:
        file.attrs["distance"], file.attrs["type"] = "angular", "dense"
        file["train"], file["test"] = np.eye(4, dtype=np.float32), np.ones((2, 4), np.float32)
    rows, metric = read_vectors(str(tmp_path / "x.hdf5"), "test")
    assert metric == "cosine" and rows.shape == (2, 4)


def test_errors(files, call, tmp_path):
    for arguments, message in ((("stats", tmp_path / "nothing"), "nothing"), (("stats", files / "rows.npy"), "mongoose_nb file"),
                               (("build", files / "none.npy", "--out", tmp_path / "x"), "no such file"),
                               (("build", files / "rows.npy", "--out", tmp_path / "x", "--family", "minhash"), "family")):
        code, _, errors = call(*arguments)
        assert code == 2 and message in errors and errors.count("\n") == 1
