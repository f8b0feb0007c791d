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
