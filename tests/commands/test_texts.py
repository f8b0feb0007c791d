"""From texts with named labels to a model that answers by name, on the command line; classes of libsvm files."""

import io
import json
import sys

import numpy as np
import pytest

from mongoose_nb import MongooseClassifier, Network
from mongoose_nb.commands.cli import main

WORDS = {"sport": "ball goal team", "food": "bread soup salt", "tech & co": "code chip disk"}
QUICK = ["--hidden", "16", "--lr", "0.02", "--sampler", "full"]


def news(n, seed=0):
    rng = np.random.default_rng(seed)
    labels = [rng.choice(list(WORDS), rng.choice([1, 1, 2]), replace=False).tolist() for _ in range(n)]
    return [(" ".join(rng.choice(WORDS[name].split()) for name in row for _ in range(5)), row) for row in labels]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("texts")
    for name, n, seed in (("train", 80, 0), ("test", 20, 1)):
        rows = news(n, seed)
        (path / f"{name}.csv").write_text("text,label\n" + "".join(f"{text},{'|'.join(row)}\n" for text, row in rows), encoding="utf-8-sig")
        (path / f"{name}.jsonl").write_text("".join(json.dumps({"body": text, "tags": row}) + "\n" for text, row in rows))
        (path / f"{name}.txt").write_text("".join(text + "\n" for text, _ in rows))
    return path


@pytest.fixture(scope="module")
def run(folder):
    out = folder / "run"
    assert main(["train", str(folder / "train.csv"), "--label-separator", "|", "--test", str(folder / "test.csv"), "--out", str(out),
                 *QUICK]) == 0
    return out


@pytest.fixture
def call(capsys):
    def call(*args):
        code = main([str(arg) for arg in args])
        return code, *capsys.readouterr()

    return call


def test_a_text(call, run):
    code, out, _ = call("predict", run, "soup and bread", "--k", "2")
    lines = out.splitlines()
    assert code == 0 and len(lines) == 2 and lines[0].split(maxsplit=1)[1] == "food"
    code, out, _ = call("predict", run, "code, chip!", "--probabilities", "--json")
    answer = json.loads(out)
    assert answer["names"][0] == "tech & co" and 0.5 < answer["scores"][0] <= 1 and code == 0
    code, out, err = call("predict", run, "zzz")
    assert code == 0 and "no word of the text" in err and len(out.splitlines()) == 3


def test_files_and_stdin(call, run, folder, monkeypatch):
    want = [row for _, row in news(20, 1)]
    for data, flags in (("test.csv", ()), ("test.txt", ()), ("test.jsonl", ("--text-column", "body"))):
        code, out, err = call("predict", run, folder / data, "--k", "1", *flags)
        assert code == 0, err
        assert all(line.split("\t")[0] in row for line, row in zip(out.splitlines(), want, strict=True))
    monkeypatch.setattr(sys, "stdin", io.StringIO("a goal\nsalt\n"))
    code, out, _ = call("predict", run, "-", "--k", "1")
    assert [line.split("\t")[0] for line in out.splitlines()] == ["sport", "food"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"salt\n\xe9\n"), "latin-1"))
    code, out, err = call("predict", run, "-", "--k", "1")
    assert code == 2 and "stdin, line 2: not UTF-8" in err and not out
    code, out, _ = call("evaluate", run, folder / "test.csv", "--k", "1", "--json")
    assert json.loads(out)["P@1"] == 1.0
    code, out, err = call("fit-serving", run, folder / "train.csv", "--out", folder / "served")
    assert code == 0 and "outputs: here predict without --lsh is cheaper" in out, err


def test_the_model_in_python(run):
    net = Network.load(run / "model.mongoose")
    assert net.label_names[net.predict("soup")] == "food"
    assert MongooseClassifier.load(run / "model.mongoose").predict(["soup"]) == [["food"]]


def test_json_lines_and_going_on(call, folder, tmp_path):
    out = tmp_path / "r"
    code, _, err = call("train", folder / "train.jsonl", "--text-column", "body", "--out", out, "--epochs", "2", "--validation", "0.2",
                        *QUICK)
    assert code == 0, err
    record = json.loads((out / "settings.json").read_text())["data"]["train"]
    assert record["columns"] == {"text": "body", "label": "tags", "separator": None} and record["format"] == "jsonl"
    code, _, err = call("train", "--resume", out, "--epochs", "60")
    assert code == 0, err
    assert call("predict", out, "soup", "--k", "1")[1].split()[1] == "food"


def test_a_directory(call, folder, tmp_path):
    for name in ("train", "test"):
        (tmp_path / f"{name}.csv").write_text((folder / f"{name}.csv").read_text(encoding="utf-8-sig"))
    code, out, err = call("train", tmp_path, "--label-separator", "|", "--out", tmp_path / "r", *QUICK)
    assert code == 0 and "test set, 20 rows" in out, err
    code, _, err = call("train", "--resume", tmp_path / "r", "--epochs", "201")
    assert code == 0, err


def test_hints(call, folder, tmp_path):
    code, _, err = call("train", folder / "train.csv", "--out", tmp_path / "r", "--epochs", "1", *QUICK)
    assert code == 0 and "give --label-separator '|'" in err
    (tmp_path / "other.csv").write_text("text,label\nsoup,law\ngoal,sport\n")
    code, _, err = call("evaluate", folder / "run", tmp_path / "other.csv", "--k", "1")
    assert code == 0 and "left out a label that the network does not know: 'law'" in err


@pytest.mark.parametrize("label, told", [("{}, {}", True), (["{}, {}"], False), ('["{}, {}"]', False)])
def test_the_hint_about_separators_is_for_cells_alone(call, tmp_path, label, told):
    import json

    def filled(names):
        return [label[0].format(*names)] if isinstance(label, list) else label.replace("{}, {}", ", ".join(names))

    rows = [{"text": f"{a} {b} soup", "label": filled((a, b))} for a, b in (("one", "two"), ("three", "four")) * 8]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, rows)))
    code, _, err = call("train", tmp_path / "t.jsonl", "--out", tmp_path / "r", "--epochs", "1", *QUICK)
    assert code == 0 and ("--label-separator" in err) == told, err


def test_names_of_numbered_labels(call, tmp_path):
    (tmp_path / "t.txt").write_text("4 3 2\n" + "0 0:1\n1 1:1\n" * 2)
    (tmp_path / "names.txt").write_text("up\nto the right\n")
    code, _, err = call("train", tmp_path / "t.txt", "--label-names", tmp_path / "names.txt", "--out", tmp_path / "r", *QUICK)
    assert code == 0, err
    code, out, _ = call("predict", tmp_path / "r", tmp_path / "t.txt", "--k", "1")
    assert [line.split("\t")[0] for line in out.splitlines()] == ["up", "to the right"] * 2
    (tmp_path / "names.txt").write_text("up\n")
    code, _, err = call("train", tmp_path / "t.txt", "--label-names", tmp_path / "names.txt", "--out", tmp_path / "s", *QUICK)
    assert code == 2 and "label_names has shape (1,)" in err and not (tmp_path / "s").exists()


@pytest.mark.parametrize("args, words", [
    (("missing.csv",), ("missing.csv",)), (("some/dir/file",), ("some/dir/file",)), (("soup", "--k", "0"), ("k",))])
def test_what_is_refused(call, run, args, words):
    code, out, err = call("predict", run, *args)
    assert code == 2 and out == "" and all(word in err for word in words)


def test_a_network_of_numbers_takes_no_texts(call, folder, tmp_path):
    (tmp_path / "t.txt").write_text("2 3 2\n0 0:1\n1 1:1\n")
    assert call("train", tmp_path / "t.txt", "--out", tmp_path / "r", "--epochs", "1", *QUICK)[0] == 0
    for data, word in (("some text", "cannot be a text"), ("x.txt", "x.txt"), (folder / "train.csv", "on numbers"), ("-", "on numbers")):
        code, _, err = call("predict", tmp_path / "r", data)
        assert code == 2 and word in err, err


@pytest.mark.parametrize("labels, names", [(("+1", "-1"), [-1, 1]), (("1.0", "0.0"), None), (("-1", "3"), [-1, 3]), (("1", "0"), None)])
def test_classes_of_libsvm(call, tmp_path, labels, names):
    """+1 and -1, or 1.0: classes, which keep their names; other files are read alike, also where they hold one class alone."""
    (tmp_path / "train").write_text(f"{labels[0]} 1:1 3:1\n{labels[1]} 2:1\n" * 10)
    (tmp_path / "one").write_text(f"{labels[0]} 1:1 3:1\n" * 3)
    code, _, err = call("train", tmp_path / "train", "--test", tmp_path / "one", "--out", tmp_path / "r", *QUICK)
    assert code == 0, err
    found = Network.load(tmp_path / "r" / "model.mongoose").label_names
    assert found is None if names is None else found.tolist() == names
    code, out, err = call("evaluate", tmp_path / "r", tmp_path / "one", "--k", "1", "--json")
    assert code == 0 and json.loads(out)["P@1"] == 1.0, err
    first = call("predict", tmp_path / "r", tmp_path / "one", "--k", "1")[1].splitlines()[0]
    assert first.replace(":", "\t").split("\t")[0] == str(int(float(labels[0])))


def test_targets_of_a_regression_are_refused(call, tmp_path):
    (tmp_path / "train").write_text("0.5 1:1 3:1\n1 2:1\n")
    code, _, err = call("train", tmp_path / "train", "--out", tmp_path / "r")
    assert code == 2 and "is no class" in err
