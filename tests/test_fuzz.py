"""A few thousand cases of `fuzz_cases`; ``python -m benchmarks.reliability fuzz`` runs a hundred thousand in processes of their own."""

import io as text_io
import json
import zipfile

import numpy as np
import pytest
from fuzz_cases import TARGETS, Networks, damage_array, damage_bytes, damage_json

from mongoose_nb import data, nn
from mongoose_nb.core import files as io

CASES = {"networks": 400, "indexes": 700, "datasets": 300, "arrays": 600, "texts": 800, "command line": 100}


@pytest.mark.slow
@pytest.mark.parametrize("target", CASES)
def test_damage_is_refused_or_harmless(tmp_path, target):
    cases, answers = TARGETS[target](tmp_path), set()
    for number in range(CASES[target]):
        try:
            answers.add(cases.run(np.random.default_rng([7, sorted(CASES).index(target), number])))
        except AssertionError as error:
            raise AssertionError(f"case {number}: {error}") from error
    assert answers == {"refused", "loaded"}  # else the cases would be too wild, or too tame


def test_damage_does_damage():
    rng = np.random.default_rng(0)
    assert sum(damage_bytes(rng, b"abcdefgh" * 9) == b"abcdefgh" * 9 for _ in range(100)) < 20
    value = {"a": [1, {"b": 2.5}], "c": "x"}
    assert sum(damage_json(rng, value) == value for _ in range(100)) < 20 and value == {"a": [1, {"b": 2.5}], "c": "x"}
    array = np.arange(12, dtype=np.int32).reshape(3, 4)
    assert sum(np.array_equal(damage_array(rng, array), array) for _ in range(200)) < 60 and array.sum() == 66


@pytest.mark.slow
def test_a_reader_that_trusts_is_caught(tmp_path, monkeypatch):
    """The harness finds what it is there to find: without checksums, damaged bytes come through."""
    monkeypatch.setattr(io.zlib, "crc32", lambda *args: 0)
    cases = Networks(tmp_path)
    with pytest.raises(AssertionError, match="something else was read|IndexError|TypeError|Error"):
        for number in range(300):
            cases.run(np.random.default_rng(number))


class TestPathTricks:
    NAMES = ["../evil", "/tmp/evil", "a/../../evil", "..\\evil", "con", "a\0b", "", " ", "x" * 300]

    def test_names_of_arrays_are_no_paths(self, tmp_path):
        inner = tmp_path / "inner"
        inner.mkdir()
        io.save(inner / "f", "thing", {}, {name: np.arange(3) for name in self.NAMES})
        for mapped in (False, True):
            assert set(io.load(inner / "f", "thing", mmap=mapped)[1]) == set(self.NAMES)
        assert [p.name for p in inner.iterdir()] == ["f"] and [p.name for p in tmp_path.iterdir()] == ["inner"]

    def test_members_of_an_archive_are_not_unpacked(self, tmp_path):
        inner = tmp_path / "inner"
        inner.mkdir()
        raw = text_io.BytesIO()
        np.save(raw, np.arange(3))
        with zipfile.ZipFile(inner / "f.npz", "w") as archive:
            for name in ("../evil.npy", "/evil.npy", "fptr.npy"):
                archive.writestr(name, raw.getvalue())
        with pytest.raises(ValueError, match="it lacks feat"):
            data.read_npz(inner / "f.npz")
        assert [p.name for p in inner.iterdir()] == ["f.npz"] and [p.name for p in tmp_path.iterdir()] == ["inner"]

    def test_a_link_is_replaced_not_followed(self, tmp_path):
        (tmp_path / "precious").write_text("mine")
        (tmp_path / "link").symlink_to(tmp_path / "precious")
        nn.Network(3, 4, hidden=(2,), sampler="full").save(tmp_path / "link")
        assert (tmp_path / "precious").read_text() == "mine" and not (tmp_path / "link").is_symlink()

    def test_names_in_a_report_are_text(self, tmp_path):
        from mongoose_nb.commands.cli import main

        run = tmp_path / "<script>alert(1)<"
        run.mkdir()
        entry = {"epoch": 1, "loss": 1.0, "seconds": 1.0, "samples_per_s": 1.0, "active_share": 0.1, "time_split": {"<img src=x>": 1.0}}
        (run / "metrics.jsonl").write_text(json.dumps(entry) + "\n")
        (run / "settings.json").write_text(json.dumps({"format_version": 1, "network": {"<b onload=x>": "<script>2</script>"}}))
        assert main(["report", str(run), "-o", str(tmp_path / "r.html")]) == 0
        page = (tmp_path / "r.html").read_text()
        assert "<script>alert" not in page and "<script>2" not in page and "<img src=x" not in page and "<b onload" not in page


def test_an_archive_that_promises_much_allocates_nothing(tmp_path):
    for shape in ((2**40,), (2**20, 2**20), (10**15,)):
        head = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}".encode()
        raw = b"\x93NUMPY\x01\x00" + (len(head) + 1).to_bytes(2, "little") + head + b"\n" + bytes(64)
        with zipfile.ZipFile(tmp_path / "f.npz", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("fptr.npy", raw)
        with pytest.raises(ValueError, match="promises float32"):
            data.read_npz(tmp_path / "f.npz")


def test_arrays_that_overlap_are_refused(tmp_path):
    """A thousand names for one megabyte would be a gigabyte in memory."""
    path = tmp_path / "f"
    io.save(path, "thing", {}, {"a": np.zeros(1000), "b": np.zeros(1000)})
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:8 + length])
    header["b"] = header["a"] = {**header["a"], "shape": [1600], "data_offsets": [0, 12800]}
    header["__metadata__"].pop("header_crc32")
    header["__metadata__"]["header_crc32"] = str(io.header_checksum(header))
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + raw[8 + length:])
    with pytest.raises(io.FormatError, match="overlap"):
        io.load(path, "thing")
