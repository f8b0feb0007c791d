"""The npz beside the text: used when fresh, ignored when not, never in the way."""

import logging
import os

import numpy as np
import pytest

from mongoose_nb.data import _cache, read_xc
from mongoose_nb.data import xc as xc_module

TEXT = "2 4 3\n0,2 1:0.5 3:2\n 0:1\n"


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "set.txt"
    path.write_text(TEXT)
    return path


@pytest.fixture
def parses(monkeypatch):
    """Counts how often the text is parsed."""
    calls = []
    original = xc_module._parse_xc
    monkeypatch.setattr(xc_module, "_parse_xc", lambda *args: (calls.append(1), original(*args))[1])
    return calls


def same(a, b):
    return all((M.toarray() == N.toarray()).all() and M.indices.dtype == N.indices.dtype for M, N in zip(a, b))


def test_second_read_comes_from_the_cache(source, parses):
    first = read_xc(source, cache=True)
    second = read_xc(source, cache=True)
    assert len(parses) == 1 and same(first, second)
    assert sorted(p.name for p in source.parent.iterdir()) == ["set.txt", "set.txt.mongoose.npz"]
    read_xc(source)
    assert len(parses) == 2


def test_cache_dir_keeps_equal_names_apart(source, parses, tmp_path):
    other = tmp_path / "other" / "set.txt"
    other.parent.mkdir()
    other.write_text("1 1 1\n0 0:1\n")
    where = tmp_path / "new" / "cache"
    for _ in range(2):
        assert read_xc(source, cache_dir=where)[0].shape == (2, 4)
        assert read_xc(other, cache_dir=where)[0].shape == (1, 1)
    assert len(parses) == 2 and len(list(where.iterdir())) == 2


def test_stale_by_size_mtime_or_version(source, parses, monkeypatch):
    read_xc(source, cache=True)
    stat = os.stat(source)
    source.write_text(TEXT.replace("0.5", "1.5"))
    os.utime(source, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    assert read_xc(source, cache=True)[0][0, 1] == 1.5
    source.write_text(TEXT.replace("0.5", "0.75"))
    os.utime(source, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    assert read_xc(source, cache=True)[0][0, 1] == 0.75
    monkeypatch.setattr(_cache, "VERSION", _cache.VERSION + 1)
    read_xc(source, cache=True)
    read_xc(source, cache=True)
    assert len(parses) == 4


def test_broken_caches_are_rewritten(source, parses):
    right = read_xc(source, cache=True)
    file = _cache.cache_path(source)
    with open(file, "rb") as stored:
        good = stored.read()
    with np.load(file) as stored:
        arrays = dict(stored)
    bad = [b"", b"junk", good[: len(good) // 2], good[:200] + b"\xff\xff\xff" + good[203:]]
    for number, content in enumerate(bad, 2):
        with open(file, "wb") as out:
            out.write(content)
        assert same(read_xc(source, cache=True), right)
        assert len(parses) == number
        read_xc(source, cache=True)
        assert len(parses) == number
    changes = [("X_indices", np.array([1, 9, 0], np.int32)), ("X_indptr", np.array([0, 5, 3], np.int32)),
               ("Y_indices", np.array([2, 0], np.int32)), ("Y_data", np.array([1.0, 1.0])), ("shape", np.array([2, 4])),
               ("X_data", np.array([{}, 1, 2], object))]
    for key, value in changes:
        np.savez(file, **{**arrays, key: value})
        before = len(parses)
        assert same(read_xc(source, cache=True), right)
        assert len(parses) == before + 1


def test_unwritable_directory_only_warns(source, caplog):
    blocked = source.parent / "file"
    blocked.write_text("not a directory")
    with caplog.at_level(logging.WARNING, "mongoose_nb"):
        X, _ = read_xc(source, cache_dir=blocked)
    assert X.shape == (2, 4) and "cannot write the cache" in caplog.text
