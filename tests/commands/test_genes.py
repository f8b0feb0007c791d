"""`mongoose genes`: index, add, query, stats; a killed run; damaged and odd files."""

import bz2
import gzip
import json
import lzma
import os
import pathlib

import numpy as np
import pytest

from mongoose_nb.commands.cli import main
from mongoose_nb.sketch.reading import document_name, read_document, read_records

pytest.importorskip("dnaio")


def bases(n, seed=0):
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), n))


@pytest.fixture
def folder(tmp_path):
    """Five genomes in different forms, and reads of them."""
    data = tmp_path / "genomes"
    data.mkdir()
    for i in range(5):
        text = bases(2000, i)
        fasta = "".join(f">chr{j} of {i}\n{text[lo:lo + 500]}\n{text[lo + 500:lo + 1000]}\n" for j, lo in enumerate((0, 1000)))
        if i == 1:
            fasta = fasta.lower().replace("chr", "chr")
        if i % 2:
            (data / f"g{i}.fna").write_text(fasta)
        else:
            with gzip.open(data / f"g{i}.fa.gz", "wt") as file:
                file.write(fasta)
    with gzip.open(tmp_path / "reads.fq.gz", "wt") as file:
        for i in range(5):
            file.write(f"@read{i} x\n{bases(2000, i)[100:200]}\n+\n{'I' * 100}\n")
        file.write(f"@strange\n{bases(100, 99)}\n+\n{'I' * 100}\n@short\nACGT\n+\nIIII\n")
    return tmp_path


def run(*arguments):
    return main(["genes", *map(str, arguments)])


def rows(capsys, folder, *more):
    capsys.readouterr()
    assert run("query", folder / "index", folder / "reads.fq.gz", *more) == 0
    return [line.split("\t") for line in capsys.readouterr().out.splitlines()]


WANTED = [["query", "document", "share", "rank"], *([f"read{i}", f"g{i}", "1.0000", "1"] for i in range(5))]


def test_index_query_and_stats(folder, capsys):
    assert run("index", folder / "genomes", "-o", folder / "index") == 0
    assert rows(capsys, folder) == WANTED
    assert run("stats", folder / "index", "--json") == 0
    stats = json.loads(capsys.readouterr().out)
    assert stats["documents"] == 5 and stats["parts"] == 1 and stats["false_positive_rate"] < 0.13
    assert run("stats", folder / "index") == 0 and "documents" in capsys.readouterr().out
    assert run("index", folder / "genomes", "-o", folder / "index") == 2 and "exists; mongoose genes add" in capsys.readouterr().err
    assert run("index", folder / "genomes" / "g1.fna", "-o", folder / "index", "--overwrite", "--random") == 0
    assert run("add", folder / "index", folder / "genomes") == 0
    assert rows(capsys, folder)[0] == WANTED[0] and sorted(rows(capsys, folder, "--best", "1")) == sorted(WANTED)
    assert run("query", folder / "index", folder / "reads.fq.gz", "--json") == 0
    assert json.loads(capsys.readouterr().out.splitlines()[0]) == {"query": "read0", "document": "g0", "share": 1.0, "rank": 1}


def test_a_run_that_was_killed_goes_on(folder, capsys, monkeypatch):
    from mongoose_nb.sketch import COBSIndex

    save, saved = COBSIndex.save, []

    def killed(self, path):
        if len(saved) == 2:
            raise KeyboardInterrupt
        saved.append(self.names)
        save(self, path)

    monkeypatch.setattr("mongoose_nb.commands.genes.PART", 1)
    monkeypatch.setattr(COBSIndex, "save", killed)
    command = ["index", folder / "genomes", folder / "more.fa", "-o", folder / "index", "--part", "1"]
    (folder / "more.fa").write_text(f">m\n{bases(999_000, 7)}\n")
    for i in (0, 1):
        (folder / "genomes" / f"long{i}.fa").write_text(f">l\n{bases(800_000, 20 + i)}\n")
    assert run(*command) == 130 and len(saved) == 2
    monkeypatch.setattr(COBSIndex, "save", save)
    (folder / "index" / "part-00003.mongoose.abc.part").write_text("left by a killed process")
    assert run("add", folder / "index", folder / "more.fa") == 2 and "unfinished" in capsys.readouterr().err
    assert run(*command[:-2], "--k", "21") == 2 and "other settings" in capsys.readouterr().err
    assert run(*command) == 0 and "documents are in the index" in capsys.readouterr().err
    names = [name for part in sorted((folder / "index").glob("part-*")) for name in COBSIndex.load(part).names]
    assert sorted(names) == ["g0", "g1", "g2", "g3", "g4", "long0", "long1", "more"]
    assert rows(capsys, folder) == WANTED and not list((folder / "index").glob("*.part"))


def test_records_as_documents(folder, capsys):
    (folder / "many.fa").write_text(f">one x\n{bases(300, 1)}\n>none\n>two\n{bases(300, 2)}\n>tiny\nACGT\n")
    assert run("index", folder / "many.fa", "-o", folder / "index", "--records") == 0
    told = capsys.readouterr().err
    assert "record none has no letters" in told and "tiny: no 31 of A, C, G, T and U in a row in 4 letters" in told
    with gzip.open(folder / "reads.fq.gz", "wt") as file:
        file.write(f"@q\n{bases(300, 2)[50:150]}\n+\n{'I' * 100}\n")
    assert rows(capsys, folder)[1:] == [["q", "two", "1.0000", "1"]]


@pytest.mark.parametrize("compress", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_stdin(compress, monkeypatch):
    """From a pipe, in which nobody can go back."""
    ends = os.pipe()
    with open(ends[1], "wb") as file:
        file.write(compress(f">a\n{bases(500)}\n>b\nACGT\n".encode()))
    with open(ends[0]) as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        assert list(read_records("-")) == [("a", bases(500)), ("b", "ACGT")]


def without_digests(index):
    """Make the parts of an index those of an earlier version, which kept no digests."""
    from mongoose_nb.core import files

    for part in index.glob("part-*"):
        settings, arrays = files.load(part, "cobs_index")
        assert all(group.pop("digests") for group in settings["groups"])
        files.save(part, "cobs_index", settings, arrays)


@pytest.mark.parametrize("records", [[], ["--records"]])
def test_changed_documents_are_no_known_ones(tmp_path, records, capsys):
    for i, name in enumerate("abc"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "g.fa").write_text(f">g\n{bases(300, i)}\n" if name != "c" else f">g\n{bases(300, 0)}\n>h\n{bases(300, 7)}\n")
    index, one, other = tmp_path / "index", tmp_path / "a" / "g.fa", tmp_path / "b" / "g.fa"
    assert run("index", tmp_path / "a", "-o", index, *records) == 0
    before = sorted((file.name, file.read_bytes()) for file in index.iterdir())
    for changed in ([other], [one, other]):
        assert run("add", index, *changed, *records) == 2
        told = capsys.readouterr().err
        assert f"{other}: document 'g' is in the index" in told and "other content; give it another name" in told
    capsys.readouterr()
    with gzip.open(tmp_path / "g.fa.gz", "wb") as file:  # the same letters
        file.write(one.read_bytes())
    for same in (one, tmp_path / "g.fa.gz"):
        assert run("add", index, same, *records, "--json") == 0
        told = capsys.readouterr()
        assert "1 unchanged, skipped: g" in told.err and json.loads(told.out)["skipped"] == 1
    assert sorted((file.name, file.read_bytes()) for file in index.iterdir()) == before
    if records:
        assert run("add", index, tmp_path / "c", *records) == 0 and "1 unchanged, skipped: g" in capsys.readouterr().err
    else:
        assert run("add", index, tmp_path / "c") == 2 and "other content" in capsys.readouterr().err
    without_digests(index)
    assert run("add", index, one, *records) == 2 and "document 'g' is in the index" in capsys.readouterr().err
    assert run("query", index, one) == 0 and "g\tg\t1.0000" in capsys.readouterr().out


def test_a_run_of_an_earlier_version_goes_on(folder, capsys):
    from mongoose_nb.commands.genes import PLAN

    save, plans = pathlib.Path.unlink, []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pathlib.Path, "unlink", lambda path, *a: plans.append(path) if path.name == PLAN else save(path, *a))
        assert run("index", folder / "genomes", "-o", folder / "index") == 0
    without_digests(folder / "index")
    assert plans == [folder / "index" / PLAN] and run("index", folder / "genomes", "-o", folder / "index") == 0
    assert "5 unchanged, skipped: g0, g1, g2 and 2 more" in capsys.readouterr().err and rows(capsys, folder) == WANTED


def broken(folder):
    whole = gzip.compress(f">a\n{bases(20_000)}\n".encode())
    (folder / "cut.fa.gz").write_bytes(whole[:-900])
    (folder / "noise.fa.gz").write_bytes(whole[:100] + b"\0" * 100 + whole[200:])
    (folder / "protein.fa").write_text(">p\nMKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQAPILSRVGDGTQDNLSGAEKAVQVKVKALPDAQFEVVHSLAKWKRQTLGQ\n")
    (folder / "empty.fa").write_text("")
    (folder / "headers.fa").write_text(">a\n>b\n")
    (folder / "text.fa").write_text("hello\nworld\n")
    (folder / "half.fq").write_text("@a\nACGTACGT\n+\nIII\n")
    (folder / "short.fa").write_text(">a\nACGT\n")


@pytest.mark.parametrize("name, error", [("cut.fa.gz", "truncated"), ("noise.fa.gz", "damaged"), ("protein.fa", "only proteins have"),
                                         ("empty.fa", "the file is empty"), ("headers.fa", "2 records, none of them with letters"),
                                         ("text.fa", "no FASTA or FASTQ"), ("half.fq", "no FASTA or FASTQ"),
                                         ("short.fa", "no sequence of k = 31"), ("missing.fa", "no such file"),
                                         (".", "no files of sequences")])
def test_odd_files(tmp_path, name, error, capsys):
    if name == ".":
        tmp_path = tmp_path / "nothing"
        tmp_path.mkdir()
    else:
        broken(tmp_path)
    assert run("index", tmp_path / name, "-o", tmp_path / "index") == 2
    told = capsys.readouterr().err
    assert error in told and "Traceback" not in told
    assert not list((tmp_path / "index").glob("part-*"))


@pytest.mark.parametrize("records", [[], ["--records"]])
def test_empty_files_among_others_are_left_out(tmp_path, records, capsys):
    (tmp_path / "good.fa").write_text(f">good\n{bases(100)}\n")
    (tmp_path / "empty.fa").write_text("")
    (tmp_path / "unknown.fa").write_text(f">unknown\n{'N' * 100}\n")
    assert run("index", tmp_path, "-o", tmp_path / "index", *records) == 0
    told = capsys.readouterr().err
    assert "empty.fa: the file is empty, left out" in told and "unknown: no 31 of A, C, G, T and U in a row" in told
    assert run("stats", tmp_path / "index", "--json") == 0 and '"documents": 1' in capsys.readouterr().out


def test_wrong_settings_make_no_folder(tmp_path, capsys):
    (tmp_path / "a.fa").write_text(f">a\n{bases(100)}\n")
    assert run("index", tmp_path / "a.fa", "-o", tmp_path / "index", "--k", "99") == 2 and "k must be" in capsys.readouterr().err
    assert run("query", tmp_path / "index", tmp_path / "a.fa") == 2 and "no index" in capsys.readouterr().err
    assert not (tmp_path / "index").exists()
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "thesis.txt").write_text("mine")
    assert run("index", tmp_path / "a.fa", "-o", tmp_path / "own", "--overwrite") == 2 and "other files" in capsys.readouterr().err
    assert (tmp_path / "own" / "thesis.txt").read_text() == "mine"


def test_names_and_records(tmp_path):
    assert [document_name(f"x/{n}") for n in ("a.fa.gz", "b.1.fastq", "c", "d.FNA", ".fa")] == ["a", "b.1", "c", "d", ".fa"]
    (tmp_path / "a.fa").write_text(">a\nACGT\nNN\n>b\nGG\n")
    text, records, empty = read_document(tmp_path / "a.fa")
    assert text.tobytes() == b"ACGTNN\nGG\n" and (records, empty) == (2, 0)


@pytest.mark.parametrize("content", [b"", b"\0\1\xff" * 50, b"plain text", f">unknown\n{'N' * 100}\n".encode(), None, "part", "twice"])
def test_what_is_refused_leaves_the_index_before_and_makes_none(tmp_path, content):
    good, bad, index = tmp_path / "good.fa", tmp_path / "bad.fa", tmp_path / "index"
    good.write_text(f">a\n{bases(100)}\n")
    assert run("index", good, "-o", index) == 0
    before = {file.name: file.read_bytes() for file in index.iterdir()}
    data = {"part": [good, "--part", "0"], "twice": [good, tmp_path / "more" / "good.fa"], None: ["/dev/null"]}.get(content, [bad])
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "good.fa").write_text(f">b\n{bases(100, 1)}\n")
    if isinstance(content, bytes):
        bad.write_bytes(content)
    assert run("index", *data, "-o", index, "--overwrite") != 0
    assert {file.name: file.read_bytes() for file in index.iterdir()} == before
    assert run("index", *data, "-o", tmp_path / "new") != 0 and not (tmp_path / "new").exists()
    assert run("index", good, "-o", index, "--overwrite") == 0 and [file.name for file in index.iterdir()] == list(before)
