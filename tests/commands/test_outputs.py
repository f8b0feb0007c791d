"""What a command cannot write is refused before it works: the data of these commands are not there, and the error is about the output."""

import argparse
import functools
import types

import pytest

from mongoose_nb.commands.cli import build_parser, main
from mongoose_nb.core.outputs import check_directory, check_file

FILES = {
    "index build": ["index", "build", "no.npy", "--overwrite", "--out"], "predict": ["predict", "no", "no.txt", "--out"],
    "fit-serving": ["fit-serving", "no", "no.txt", "--out"], "clicks": ["clicks", "no.csv", "--out"], "report": ["report", "no", "-o"]}
FOLDERS = {"train": ["train", "no.txt", "--overwrite", "--out"], "reformer": ["reformer", "no.txt", "--overwrite", "--out"],
           "genes index": ["genes", "index", "no.fa", "--overwrite", "-o"]}


def commands_with(flag, parser, path=()):
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, sub in action.choices.items():
                yield from commands_with(flag, sub, (*path, name))
        elif flag in action.option_strings:
            yield " ".join(path)


def test_every_command_with_an_output_is_here():
    assert set(commands_with("--out", build_parser())) == {*FILES, *FOLDERS}


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("mine")
    return tmp_path


def unwritable(monkeypatch):
    def refuse(**settings):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("mongoose_nb.core.outputs.tempfile", types.SimpleNamespace(TemporaryFile=refuse))


@pytest.mark.parametrize("command", FILES)
def test_files(command, place, capsys, monkeypatch):
    for path, words in ((".", "is a directory; give the file"), ("folder/", "is a directory; give the file"),
                        ("no/x.html", "the directory no does not exist"), ("file/x.html", "file is a file and not a directory"),
                        ("/dev/null", "is no regular file")):
        assert main([*FILES[command], path]) == 2
        err = capsys.readouterr().err
        assert words in err and len(err.splitlines()) == 1, err
    unwritable(monkeypatch)
    assert main([*FILES[command], "x.html"]) == 2 and "nothing can be written in . (Permission denied)" in capsys.readouterr().err
    assert sorted(path.name for path in place.iterdir()) == ["file", "folder"] and (place / "file").read_text() == "mine"


@pytest.mark.parametrize("command", FOLDERS)
def test_folders(command, place, capsys, monkeypatch):
    for path, words in (("file", "is a file; give a directory"), ("file/x/y", "file is a file and not a directory")):
        assert main([*FOLDERS[command], path]) == 2
        err = capsys.readouterr().err
        assert words in err and len(err.splitlines()) == 1, err
    unwritable(monkeypatch)
    for path in ("folder", "new/run"):
        assert main([*FOLDERS[command], path]) == 2 and "nothing can be written in" in capsys.readouterr().err
    assert sorted(path.name for path in place.iterdir()) == ["file", "folder"] and not any((place / "folder").iterdir())


def test_what_can_be_written_is_not_touched(place):
    assert check_file("--out", "file").read_text() == "mine" and not check_file("--out", "new").exists()
    assert not check_directory("--out", "a/b/c").exists() and check_directory("--out", "folder").is_dir()
    assert sorted(path.name for path in place.iterdir()) == ["file", "folder"] and not any((place / "folder").iterdir())


def test_genes_remove_no_index_for_data_that_are_not_there(place, capsys):
    (place / "folder" / "part-00001.mongoose").write_text("an index")
    assert main(["genes", "index", "no.fa", "--overwrite", "-o", "folder"]) == 2
    assert "no.fa: no such file or folder" in capsys.readouterr().err
    assert (place / "folder" / "part-00001.mongoose").exists()


DATA = "60 50 40\n" + "".join(f"{i % 40} {i % 50}:1\n" for i in range(60))
REFUSED = {"no scheduler": ["--scheduler", "tcp://127.0.0.1:1"], "empty address": ["--scheduler", ""],
           "no address": ["--scheduler", "foo:xx"], "versions": ["--keep", "1001"], "not finite": ["--init-std", "1e23"]}


def everything(folder):
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


@pytest.mark.parametrize("name", REFUSED)
def test_a_training_that_is_refused_leaves_the_run_before_and_makes_none(name, tmp_path, capsys, monkeypatch):
    """Whatever refuses it, before the first step."""
    if "--scheduler" in REFUSED[name]:
        dask = pytest.importorskip("distributed")
        monkeypatch.setattr(dask, "Client", functools.partial(dask.Client, timeout=0.2))
    data, old, new = tmp_path / "data.txt", tmp_path / "old", tmp_path / "a" / "new"
    data.write_text(DATA)
    (old / "cluster").mkdir(parents=True)
    for file in ("settings.json", "metrics.jsonl", "model.mongoose", "model.mongoose.1", "cluster/part", "own.txt"):
        (old / file).write_text(file)
    before = everything(tmp_path)
    common = ["train", str(data), "--hidden", "8", "--sampler", "full", "--epochs", "1", *REFUSED[name]]
    for out in ([str(old), "--overwrite"], [str(new)]):
        assert main([*common, "--out", *out]) != 0
        assert "error" in capsys.readouterr().err and everything(tmp_path) == before


def test_a_training_that_begins_replaces_the_run_before(tmp_path):
    data, old = tmp_path / "data.txt", tmp_path / "old"
    data.write_text(DATA)
    old.mkdir()
    for file in ("settings.json", "metrics.jsonl", "model.mongoose", "model.mongoose.1", "own.txt"):
        (old / file).write_text(file)
    assert main(["train", str(data), "--hidden", "8", "--sampler", "full", "--epochs", "1", "--out", str(old), "--overwrite"]) == 0
    assert sorted(path.name for path in old.iterdir()) == ["metrics.jsonl", "model.mongoose", "own.txt", "settings.json"]
    assert (old / "own.txt").read_text() == "own.txt" and (old / "model.mongoose").stat().st_size > 100


INPUTS = {"clicks": "clicks c.csv --out c.csv", "clicks --test": "clicks c.csv --test t.csv --out t.csv",
          "build": "index build r.npy --out r.npy --overwrite", "build --keys": "index build r.npy --keys k --out k --overwrite",
          "fit-serving": "fit-serving run d.txt --target .01 --validation v.txt --out v.txt", "settings": "fit-serving run d.txt --out "
          "run/settings.json", "predict": "predict run t.txt --out run/model.mongoose", "run": "predict run t.txt --out run/settings.json",
          "folder": "predict run data --out data/test.txt", "train": "train run/metrics.jsonl --out run --overwrite",
          "reformer": "reformer run/metrics.jsonl --out run --overwrite", "link": "clicks c.csv --out link"}


@pytest.mark.parametrize("name", INPUTS)
def test_no_input_is_replaced(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for folder in ("run", "data"):
        (tmp_path / folder).mkdir()
    for file in ("c.csv", "t.csv", "r.npy", "k", "d.txt", "v.txt", "t.txt", "run/settings.json", "run/model.mongoose", "run/metrics.jsonl",
                 "data/test.txt", "data/train.txt"):
        (tmp_path / file).write_text(file)
    (tmp_path / "link").symlink_to("c.csv")
    before = everything(tmp_path)
    assert main(INPUTS[name].split()) == 2
    assert "is an input of this command" in capsys.readouterr().err and everything(tmp_path) == before


@pytest.mark.parametrize("command", [*FILES.values(), *FOLDERS.values()], ids=" ".join)
def test_an_empty_path_is_refused(command, capsys):
    assert main([*command, ""]) == 2 and "is empty; give a path" in capsys.readouterr().err


@pytest.mark.parametrize("command, error", [
    ("reformer --out no --sample=-1", "--sample must be at least 0; got -1"), ("fit-serving no no --rows 0", "--rows must be at least 1"),
    ("fit-serving no no --rows=-1", "--rows must be at least 1"), ("cluster-check foo --timeout=-1", "--timeout must be above 0 seconds")])
def test_numbers_are_checked_before_the_work(command, error, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(command.split()) == 2 and error in capsys.readouterr().err
