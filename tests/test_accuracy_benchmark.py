"""The accuracy comparison: workers keep to the protocol, memory is their own, and a partial run changes only its own figures."""

import json
import pathlib
import sys

import numpy as np
import pytest

from mongoose_nb import data

ROOT = pathlib.Path(__file__).parents[1]
FOLDER = ROOT / "benchmarks" / "peers"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the benchmarks are not part of an installed package")

TOY = """
import sys
sys.path.insert(0, {folder!r})
from protocol import System, best_of_csr, serve


class Popular(System):
    def fit(self, train):
        self.counts = train[1].sum(0)

    def save(self, folder):
        with open(folder + "/counts", "wb") as file:
            file.write(bytes(100))

    def predict(self, rows, k):
        order = (-self.counts).argsort(axis=1).tolist()[0]
        return [order[:k]] * rows.shape[0]


class Broken(Popular):
    def fit(self, train):
        sys.exit("no memory for this")


class Small(Popular):
    most_labels = 2


serve({{"popular": Popular, "broken": Broken, "small": Small}})
"""


@pytest.fixture
def modules(monkeypatch):
    """The benchmark, its page and its protocol."""
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.syspath_prepend(str(FOLDER))
    import protocol

    from benchmarks import accuracy, accuracy_page
    return accuracy, accuracy_page, protocol


@pytest.fixture
def settings(tmp_path):
    """Settings of a worker, with the rows in files and a worker of three systems."""
    X = np.array([[1.5, 0, 0], [0, 0, 0], [0, 2, 1], [1, 0, 0]], np.float32)
    Y = np.array([[1, 0, 1], [0, 0, 1], [0, 0, 0], [0, 1, 1]], np.float32)
    data.write_xc(tmp_path / "train.txt", X, Y)
    (tmp_path / "worker.py").write_text(TOY.format(folder=str(FOLDER)))
    rows = str(tmp_path / "train.txt")
    return {"system": "popular", "train": rows, "test": rows, "threads": 1, "k": 2, "n_labels": 3}


def test_the_readers_agree(modules, settings):
    for ours, theirs in zip(data.read_xc(settings["train"]), modules[2].read_xc(settings["train"])):
        assert ours.shape == theirs.shape and (ours != theirs).nnz == 0


def test_an_answer_of_a_worker(modules, settings, tmp_path):
    held = np.ones(400 << 20, np.uint8)  # getrusage's peak of a process starts at that of the one that started it
    answer = modules[0].run_worker(sys.executable, tmp_path / "worker.py", settings)
    assert held.any() and answer["peak_MB"] < 300
    assert answer["ids"] == [[2, 0]] * 4 and answer["bytes"] == 100
    assert {"seconds", "cpu", "ms", "ms_single"} < set(answer)


def test_systems_that_do_not_end_or_are_too_large(modules, settings, tmp_path):
    accuracy = modules[0]
    with pytest.raises(accuracy.Failure, match="status 1: no memory for this"):
        accuracy.run_worker(sys.executable, tmp_path / "worker.py", {**settings, "system": "broken"})
    with pytest.raises(accuracy.Failure, match="No such file"):
        accuracy.run_worker(str(tmp_path / "python"), tmp_path / "worker.py", settings)
    assert accuracy.run_worker(sys.executable, tmp_path / "worker.py", {**settings, "system": "small"}) == {"skipped": "more than 2 labels"}


def test_environments_are_checked(modules):
    accuracy = modules[0]
    assert accuracy.parse_peers(["omikuji=/a", "pecos=/b=c"]) == {"omikuji": "/a", "pecos": "/b=c"}
    for wrong in ("omikuji", "omikuji=", "fasttext=/a"):
        with pytest.raises(ValueError, match="napkinxc, omikuji, pecos, torch"):
            accuracy.parse_peers([wrong])
    assert not {"omikuji (Parabel)", "PECOS XR-Linear"} & set(accuracy.choose(None, {}))
    assert accuracy.choose(["PECOS XR-Linear", "network"], {"pecos": "/b"}) == ["network", "PECOS XR-Linear"]
    with pytest.raises(ValueError, match="add --peer pecos=PYTHON"):
        accuracy.choose(["PECOS XR-Linear"], {})
    with pytest.raises(ValueError, match="unknown systems none"):
        accuracy.choose(["none"], {})


def test_a_partial_run_changes_its_own_figures(modules, tmp_path):
    accuracy, page, _ = modules
    size = {"rows": 10, "test_rows": 4, "features": 3, "labels": 5, "threads": 2, "epochs": 1, "lr": 0.1, "seed": 0}
    row = {"P": [0.5, 0.4, 0.3], "nDCG": 0.4, "PSP": [0.1, 0.2], "seconds": 1.0, "cpu": 2.0, "peak_MB": 50.0, "bytes": 3e6,
           "ms_single": 1.0, "ms": 0.5, "date": "2026-01-01"}
    better, keep = {**row, "P": [0.625, 0.4, 0.2]}, tmp_path / "kept.json"
    accuracy.keep_row(keep, "bibtex", size, "omikuji (Parabel)", row)
    accuracy.keep_row(keep, "bibtex", size, "network", row)
    accuracy.keep_row(keep, "toy", size, "network", row)
    accuracy.keep_row(keep, "bibtex", size, "network", better)
    accuracy.keep_row(keep, "bibtex", size, "omikuji (Parabel)", {"failed": "more than 1 minutes"})  # what was measured stays
    kept = accuracy.keep_row(keep, "bibtex", size, "PECOS XR-Linear", {"failed": "no memory"})
    assert kept == json.loads(keep.read_text())
    assert list(kept["bibtex"]["systems"]) == ["network", "omikuji (Parabel)", "PECOS XR-Linear"]
    assert kept["bibtex"]["systems"]["network"] == better and kept["toy"]["systems"]["network"] == row
    assert page.overview(kept).splitlines()[2:] == ["| network | **0.625** / 0.200 | **0.500** / **0.300** |",
                                                    "| omikuji (Parabel) | 0.500 / **0.300** |  |"]
    told = " ".join(page.conclusions(kept).split())
    assert "network is 12.5 points ahead of omikuji (Parabel)" in told and "toy" not in told
    assert "failed: no memory" in page.table("bibtex", kept["bibtex"])
    accuracy.check_conditions(keep, ["bibtex", "another"], {"epochs": 1, "lr": 0.1})
    with pytest.raises(ValueError, match="figures of bibtex with epochs 1, now 2: use the same"):
        accuracy.check_conditions(keep, ["bibtex"], {"epochs": 2, "lr": 0.1})


def test_blocks_of_a_page(modules, tmp_path):
    from benchmarks.document import write_block

    page = tmp_path / "page.md"
    page.write_text("a\n<!-- begin: x -->\nold\n<!-- end: x -->\nb\n")
    write_block(page, "x", "| new |", markdown=True)
    assert page.read_text() == "a\n<!-- begin: x -->\n| new |\n<!-- end: x -->\nb\n"


def test_every_system_has_a_worker(modules):
    accuracy, page, _ = modules
    for name, entry in accuracy.SYSTEMS.items():
        assert f'"{name}": ' in (FOLDER / f"{entry.worker}_worker.py").read_text() and name in page.MARKS


def test_the_median_of_several_runs(modules):
    accuracy, page, _ = modules
    rows = [{"P": [p, 0.1, 0.1], "cpu": cpu} for p, cpu in ((0.3, 1.0), (0.1, 2.0), (0.2, 3.0))]
    median = accuracy.median_run(rows)
    assert median == {"P": [0.2, 0.1, 0.1], "cpu": 3.0, "runs": [0.1, 0.2, 0.3]}
    assert page.of_runs(median) == "median of 3 runs, 0.1000 to 0.3000"
    assert accuracy.median_run(rows[:1]) == rows[0] and page.of_runs(rows[0]) == ""
    assert accuracy.median_run([rows[0], {"failed": "no memory"}]) == {"failed": "no memory"}
