"""`mongoose clicks` and `mongoose compress` on small files."""

import gzip
import json

import numpy as np
import pytest

from mongoose_nb import ClickClassifier, nn
from mongoose_nb.commands.cli import main
from mongoose_nb.recommend.readers import read_clicks


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path, rng = tmp_path_factory.mktemp("clicks"), np.random.default_rng(0)
    users, items, price = rng.integers(0, 30, 600), rng.integers(0, 20, 600), rng.random(600)
    y = (users % 3 + items % 2 >= 2).astype(int)
    lines = [f"{c},u{u},{i},{p:.3f}" for c, u, i, p in zip(y, users, items, price)]
    (path / "train.csv").write_text("click,user,item,price\n" + "\n".join(lines) + "\n", encoding="utf-8")
    (path / "train.libfm").write_text("\n".join(f"{2 * c - 1} {u}:1 {30 + i}:1" for c, u, i in zip(y, users, items)), encoding="utf-8")
    return path


def test_clicks(folder, capsys):
    out = folder / "model"
    assert main(["clicks", str(folder / "train.csv"), "--numeric", "price", "--compress", "4x", "--test", str(folder / "train.csv"),
                 "--epochs", "8", "--batch-size", "64", "--lr", "0.01", "--out", str(out), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["auc"] > 0.8 and report["rows"] == 600
    X, _ = read_clicks(folder / "train.csv", numeric=["price"])
    assert ClickClassifier.load(out).predict(X).shape == (600,)
    assert main(["clicks", str(folder / "train.libfm"), "--hidden", "--epochs", "1", "--test", str(folder / "train.libfm")]) == 0
    assert "AUC" in capsys.readouterr().out


def test_compress(folder, capsys):
    nn.Network(300, 40, hidden=(8,)).save(folder / "net")
    assert main(["compress", str(folder / "net"), "--to", "4x", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    by_map = {line["map"]: line for line in report["tables"] if line["table"] == "hidden0.weights"}
    assert set(by_map) == {"element", "row", "compositional", "robe", "roast", "fold", "collapsible"}
    for line in by_map.values():  # random weights: the projection keeps a share of about one part in the ratio of their squared norm
        assert 0.5 < line["error"] < 1.0 and line["bytes"] * 4 == line["full_bytes"]
    assert main(["compress", str(folder / "net"), "--maps", "robe", "--to", "1.5"]) == 0
    assert "rows/s" in capsys.readouterr().out


@pytest.mark.parametrize("argv, message", [
    (["compress", "net", "--seed", "-1", "--maps", "robe"], "error: --seed must be an integer from 0"),
    (["compress", "net", "--to", "0.5"], "--to must be a ratio of 1 or more"), (["compress", "nothing"], "nothing"),
    (["clicks", "train.csv", "--label", "none"], "has no column 'none'"),
    (["clicks", "train.csv", "--compress", "zero"], "--compress must be a ratio of 1 or more, such as 16x; got 'zero'"),
        (["clicks", "train.csv", "--test", "one.csv"], "must have the same two classes as train.csv"),
        (["clicks", "no.csv.gz"], "no.csv.gz: the gzip stream is broken or cut short"),
    (["clicks", "train.csv", "--numeric", "user"], "column 'user' is not of numbers: row 1 holds"),
    (["clicks", "train.csv", "--compress", "4", "--map", "x"], "unknown"),
])
def test_refusals(folder, argv, message, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    header = (folder / "train.csv").read_text().splitlines()
    (folder / "one.csv").write_text("\n".join(header[:2]) + "\n")
    (folder / "no.csv.gz").write_bytes(gzip.compress(b"click,user\n")[:12])
    nn.Network(30, 10, hidden=(8,)).save("net")
    assert main(argv) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("text, message", [("", "no rows"), ("1 3:1\n0 3:1 4:1\n", ":2: 2 entries"), ("1 3:0.5\n", "other than 1"),
                                           ("x 3:1\n", ":1: not 'label")])
def test_broken_libfm(text, message, tmp_path):
    (tmp_path / "a").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_clicks(tmp_path / "a")


@pytest.mark.parametrize("text, message", [("", "column names"), ("a,a\n1,2\n", "each once"), ("a,b\n1\n", ":2: 1 cells"),
                                           ("a,b\n", "no rows")])
def test_broken_csv(text, message, tmp_path):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_clicks(tmp_path / "a.csv")
