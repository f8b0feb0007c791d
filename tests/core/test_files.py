"""The file format: round trips, refusals, and replacing a file as a whole."""

import json
import os
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mongoose_nb.core import files as io

DTYPES = ["float32", "float64", "int32", "int64", "int8", "uint8", "uint16", "uint32", "uint64", "bool"]
SETTINGS = {"name": "ä", "list": [1, 2.5, None, True], "deep": {"er": {}}}


def write(path, **arrays):
    io.save(path, "thing", SETTINGS, arrays)
    return path


def header_of(path):
    """(length of the header, parsed header)."""
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    return length, json.loads(raw[8:8 + length])


def with_header(path, change):
    """Rewrite the header of a file with its checksum made good, as a writer of bad files would."""
    raw = path.read_bytes()
    length, header = header_of(path)
    change(header)
    header["__metadata__"].pop("header_crc32", None)
    header["__metadata__"]["header_crc32"] = str(io.header_checksum(header))
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + raw[8 + length:])


class TestRoundTrip:
    @pytest.mark.parametrize("shape", [(), (0,), (5,), (3, 0, 2), (2, 3), (1, 1, 1, 1)], ids=str)
    @pytest.mark.parametrize("dtype", DTYPES)
    def test_dtypes_and_shapes(self, tmp_path, dtype, shape):
        array = (np.random.default_rng(0).random(shape) * 2).astype(dtype)
        saved, arrays = io.load(write(tmp_path / "f", a=array), "thing")
        assert saved == SETTINGS
        assert arrays["a"].dtype == array.dtype and arrays["a"].dtype.isnative and arrays["a"].shape == shape
        np.testing.assert_array_equal(arrays["a"], array)
        arrays["a"][...] = 0  # what is loaded may be trained on

    @settings(deadline=None, max_examples=30)
    @given(st.lists(hnp.arrays(st.sampled_from(list(map(np.dtype, DTYPES))), hnp.array_shapes(min_dims=0, max_dims=3, min_side=0)),
                    max_size=4))
    def test_several_arrays(self, tmp_path_factory, arrays):
        path = tmp_path_factory.mktemp("io") / "f"
        arrays = {f"array {i}": a for i, a in enumerate(arrays)}
        got = io.load(write(path, **arrays), "thing")[1]
        assert list(got) == list(arrays)
        for name, array in arrays.items():
            assert got[name].dtype == array.dtype and got[name].shape == array.shape
            assert got[name].tobytes() == array.tobytes()  # NaN and all

    @pytest.mark.parametrize("array", [
        np.arange(12.0).reshape(3, 4).T, np.arange(20)[::3], np.arange(5, dtype=">i8"), np.linspace(0, 1, 4, dtype=">f4"),
        np.broadcast_to(np.float32(2), (3, 2)),
    ], ids=["transposed", "strided", "big-endian int", "big-endian float", "broadcast"])
    def test_any_layout_and_byte_order(self, tmp_path, array):
        got = io.load(write(tmp_path / "f", a=array), "thing")[1]["a"]
        np.testing.assert_array_equal(got, array)
        assert got.dtype.isnative

    def test_read_only_and_memory_mapped(self, tmp_path):
        np.save(tmp_path / "m.npy", np.arange(6.0))
        fixed = np.arange(3)
        fixed.setflags(write=False)
        got = io.load(write(tmp_path / "f", a=np.load(tmp_path / "m.npy", mmap_mode="r"), b=fixed), "thing")[1]
        np.testing.assert_array_equal(got["a"], np.arange(6.0))
        np.testing.assert_array_equal(got["b"], fixed)

    def test_layout_is_aligned_and_that_of_safetensors(self, tmp_path):
        path = write(tmp_path / "f", a=np.arange(3, dtype=np.uint8), b=np.arange(5.0))
        length, header = header_of(path)
        assert (8 + length) % 64 == 0
        assert header["a"] == {"dtype": "U8", "shape": [3], "data_offsets": [0, 3]}
        assert header["b"] == {"dtype": "F64", "shape": [5], "data_offsets": [64, 104]}
        assert all(isinstance(v, str) for v in header["__metadata__"].values())  # other readers insist
        at = 8 + length + 64
        np.testing.assert_array_equal(np.memmap(path, np.float64, "r", at, (5,)), np.arange(5.0))


class TestRefusals:
    def test_dtypes_it_does_not_know(self, tmp_path):
        for array in (np.zeros(2, complex), np.array(["a"]), np.array([None]), np.zeros(1, np.longdouble), np.zeros(2, "M8[s]")):
            with pytest.raises(TypeError, match=f"array 'x' has dtype {array.dtype.str[:2]}|array 'x' has dtype"):
                write(tmp_path / "f", x=array)
        assert not list(tmp_path.iterdir())

    def test_directory_that_is_not_there(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="the directory .*absent' does not exist"):
            write(tmp_path / "absent" / "f")
        with pytest.raises(FileNotFoundError):
            io.load(tmp_path / "absent", "thing")

    def test_settings_that_json_cannot_hold(self, tmp_path):
        with pytest.raises(TypeError):
            io.save(tmp_path / "f", "thing", {"a": object()}, {})
        assert not list(tmp_path.iterdir())

    def test_another_kind(self, tmp_path):
        with pytest.raises(io.FormatError, match="holds a 'thing' of 'mongoose_nb'; a 'network'"):
            io.load(write(tmp_path / "f"), "network")

    @pytest.mark.parametrize("content", [b"", b"abc", b"\0" * 8, b"\xff" * 200, b"{}" * 100, (1 << 40).to_bytes(8, "little") * 20,
                                         (2).to_bytes(8, "little") + b"[]", (2).to_bytes(8, "little") + b"{}",
                                         (50_000).to_bytes(8, "little") + b"[" * 50_000], ids=range(9))
    def test_other_files(self, tmp_path, content):
        (tmp_path / "f").write_bytes(content)
        with pytest.raises(io.FormatError, match="not a mongoose_nb file"):
            io.load(tmp_path / "f", "thing")

    def test_later_versions(self, tmp_path):
        path = write(tmp_path / "f")
        with_header(path, lambda h: h["__metadata__"].update(format_version="3"))
        with pytest.raises(io.FormatError, match="format version 3; this program reads up to 2"):
            io.load(path, "thing")

    @pytest.mark.parametrize("change", [
        {"dtype": "BF16"}, {"dtype": None}, {"shape": [4]}, {"shape": [-5]}, {"shape": [5.0]}, {"shape": 5}, {"shape": None},
        {"shape": [True, 5]}, {"shape": [2**70]}, {"data_offsets": [0, 39]}, {"data_offsets": [40, 0]}, {"data_offsets": [64, 104]},
        {"data_offsets": [0]}, {"data_offsets": [-8, 32]}, {"data_offsets": "ab"},
    ], ids=str)
    def test_descriptions_that_do_not_fit(self, tmp_path, change):
        path = write(tmp_path / "f", a=np.arange(5.0))
        with_header(path, lambda h: h["a"].update(change))
        with pytest.raises(io.FormatError, match="damaged"):
            io.load(path, "thing")

    @pytest.mark.parametrize("change", [
        lambda h: h.update(a=[1]), lambda h: h["__metadata__"].update(settings="{"), lambda h: h["__metadata__"].update(settings=1),
        lambda h: h["__metadata__"].update(crc32="{}"), lambda h: h["__metadata__"].update(crc32="[]"),
        lambda h: h["__metadata__"].pop("crc32"), lambda h: h["__metadata__"].pop("settings"),
    ], ids=range(7))
    def test_other_damage_to_the_header(self, tmp_path, change):
        path = write(tmp_path / "f", a=np.arange(5.0))
        with_header(path, change)
        with pytest.raises(io.FormatError, match="damaged"):
            io.load(path, "thing")

    def test_a_flipped_bit_in_any_byte_is_found(self, tmp_path):
        path = write(tmp_path / "f", a=np.arange(5, dtype=np.int32), b=np.arange(3, dtype=np.uint8))
        good = path.read_bytes()
        data = 8 + int.from_bytes(good[:8], "little")
        for at in range(len(good)):
            if data + 20 <= at < data + 64:
                continue  # unused bytes between two arrays
            path.write_bytes(good[:at] + bytes([good[at] ^ 1 << at % 8]) + good[at + 1:])
            with pytest.raises(io.FormatError):
                io.load(path, "thing")

    def test_a_cut_anywhere_is_found(self, tmp_path):
        path = write(tmp_path / "f", a=np.arange(5, dtype=np.int32), b=np.arange(3, dtype=np.uint8))
        good = path.read_bytes()
        for length in range(0, len(good), 3):
            path.write_bytes(good[:length])
            with pytest.raises(io.FormatError):
                io.load(path, "thing")

    def test_a_header_that_promises_much_allocates_nothing(self, tmp_path):
        path = write(tmp_path / "f", a=np.arange(5.0))
        with_header(path, lambda h: h["a"].update(shape=[1 << 50], data_offsets=[0, 8 << 50]))
        with pytest.raises(io.FormatError):
            io.load(path, "thing")

    def test_checksums_are_those_of_the_arrays(self, tmp_path):
        a = np.arange(5.0)
        _, header = header_of(write(tmp_path / "f", a=a))
        assert json.loads(header["__metadata__"]["crc32"]) == {"a": zlib.crc32(a.tobytes())}


class TestReplacing:
    @pytest.mark.parametrize("function", ["replace", "fsync", "chmod"])
    def test_a_failing_write_leaves_the_old_file(self, tmp_path, monkeypatch, function):
        path = write(tmp_path / "f", a=np.arange(3.0))
        old = path.read_bytes()

        def fail(*args, **kwargs):
            raise OSError("no room")

        monkeypatch.setattr(os, function, fail)
        with pytest.raises(OSError, match="no room"):
            write(path, a=np.zeros(100))
        monkeypatch.undo()
        assert path.read_bytes() == old
        assert [p.name for p in tmp_path.iterdir()] == ["f"]

    def test_an_interrupt_leaves_the_old_file(self, tmp_path, monkeypatch):
        path = write(tmp_path / "f", a=np.arange(3.0))
        old = path.read_bytes()

        def interrupt(*args):
            raise KeyboardInterrupt

        monkeypatch.setattr(os, "fsync", interrupt)
        with pytest.raises(KeyboardInterrupt):
            write(path, a=np.zeros(100))
        monkeypatch.undo()
        assert path.read_bytes() == old and len(list(tmp_path.iterdir())) == 1

    def test_all_is_on_disk_before_the_old_file_goes(self, tmp_path, monkeypatch):
        calls = []
        fsync, replace = os.fsync, os.replace
        monkeypatch.setattr(os, "fsync", lambda handle: calls.append(("fsync", os.fstat(handle).st_size)) or fsync(handle))
        monkeypatch.setattr(os, "replace", lambda a, b: calls.append(("replace", os.path.getsize(a))) or replace(a, b))
        path = write(tmp_path / "f", a=np.arange(30.0))
        size = path.stat().st_size
        assert calls[:2] == [("fsync", size), ("replace", size)]
        assert [name for name, _ in calls[2:]] == ["fsync"]  # of the directory, which holds the name

    def test_replaces_a_file_and_keeps_to_the_umask(self, tmp_path):
        path = write(tmp_path / "f", a=np.arange(3.0))
        write(path, a=np.arange(4.0))
        assert len(io.load(str(path), "thing")[1]["a"]) == 4
        umask = os.umask(0)
        os.umask(umask)
        assert path.stat().st_mode & 0o777 == 0o666 & ~umask
