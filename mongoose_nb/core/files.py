"""The file format of the package: named arrays and settings, versioned, checksummed, never unpickled, replaced atomically.

The layout is that of safetensors, so other tools can read it: 8 bytes with the length of the header (little endian), a JSON
header ``{name: {dtype, shape, data_offsets}, "__metadata__": {...}}`` padded with blanks, then the raw arrays, each at a multiple
of 64 bytes (they can be memory-mapped). The metadata hold the format's name and version, what kind of thing it is, its settings as
JSON, and a CRC-32 of every array and of the header itself, so that a damaged setting is not read as another value.
"""

from __future__ import annotations

import contextlib
import glob
import json
import math
import os
import shutil
import tempfile
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from mongoose_nb._version import __version__
from mongoose_nb.core.types import PathLike

FORMAT_VERSION = 2
_ALIGN = 64
_MAX_HEADER = 64 << 20
_READ = 1 << 20  # bytes of an array whose checksum is always computed
_TO_NAME = {"float16": "F16", "float32": "F32", "float64": "F64", "int32": "I32", "int64": "I64", "int8": "I8", "uint8": "U8",
            "uint16": "U16", "uint32": "U32", "uint64": "U64", "bool": "BOOL"}
_TO_DTYPE = {v: k for k, v in _TO_NAME.items()}


class FormatError(ValueError):
    """A file of another kind or version, or a damaged one; the message says which."""


def header_checksum(header: dict[str, Any]) -> int:
    """CRC-32 of a header, independent of the order of its keys, without the checksum that it may hold."""
    meta = {k: v for k, v in header["__metadata__"].items() if k != "header_crc32"}
    return zlib.crc32(json.dumps({**header, "__metadata__": meta}, sort_keys=True).encode())


def older(path: str, i: int) -> str:
    """The path of the i-th older version of `path`."""
    return path if i == 0 else f"{path}.{i}"


def remove_leftovers(path: PathLike) -> None:
    """Remove temporary files that killed processes left while they wrote `path`. No other process may be writing it."""
    path = os.path.abspath(os.fspath(path))
    for file in glob.glob(glob.escape(path) + ".*.part"):
        with contextlib.suppress(OSError):
            os.unlink(file)


def _keep_older(path, keep):
    """Rename older versions of `path`, of which `keep` remain. A complete file is at `path` at every moment."""
    for i in range(keep - 1, 0, -1):
        newer = older(path, i - 1)
        if not os.path.exists(newer):
            continue
        if i > 1:
            os.replace(newer, older(path, i))
            continue
        second = f"{path}.older.part"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(second)
        try:
            os.link(newer, second)
        except OSError:  # a file system without links
            shutil.copyfile(newer, second)
        os.replace(second, older(path, i))


def _sync_directory(directory):
    """Flush the names in a directory to disk, where the system offers it."""
    with contextlib.suppress(OSError):
        handle = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextlib.contextmanager
def _said(path):
    """Context manager: an OSError names the file itself, not the temporary one, and says what became of it."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        left = "the file that was there is as it was" if os.path.exists(path) else "nothing was written"
        raise OSError(error.errno, f"cannot be saved: {error.strerror}; {left}", path) from error


def save(path: PathLike, kind: str, settings: dict[str, Any], arrays: Mapping[str, np.ndarray], *, keep: int = 1) -> None:
    """Write arrays and settings to `path`. An existing file is replaced only when all data are on disk.

    Parameters
    ----------
    path : path-like
    kind : str
        What is stored, for example ``"network"``; `load` compares it.
    settings : dict
        Anything that JSON can hold.
    arrays : dict of str to array
    keep : int
        Number of versions to keep: the previous one as ``path.1``, and so on.

    Raises
    ------
    OSError
        If there is no space or no permission. The file at `path` is then unchanged. A process that is killed leaves at most a
        temporary file ``path.*.part``.
    """
    header, blocks, offset = {}, [], 0
    checksums = {}
    for name, array in arrays.items():
        array = np.asarray(array)
        if array.dtype.name not in _TO_NAME:
            raise TypeError(f"array {name!r} has dtype {array.dtype}, which the format does not know")
        array = np.asarray(array, array.dtype.newbyteorder("<"), order="C")
        offset = -(-offset // _ALIGN) * _ALIGN
        header[name] = {"dtype": _TO_NAME[array.dtype.name], "shape": list(array.shape),
                        "data_offsets": [offset, offset + array.nbytes]}
        raw = array.reshape(-1).view(np.uint8)
        checksums[name] = zlib.crc32(raw)
        blocks.append((offset, raw))
        offset += array.nbytes
    header["__metadata__"] = {"format": "mongoose_nb", "format_version": str(FORMAT_VERSION), "kind": kind,
                              "written_by": __version__, "settings": json.dumps(settings), "crc32": json.dumps(checksums)}
    header["__metadata__"]["header_crc32"] = str(header_checksum(header))
    text = json.dumps(header).encode()
    text += b" " * (-(len(text) + 8) % _ALIGN)
    path = os.fspath(path)
    directory = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(directory):
        raise FileNotFoundError(f"cannot save to {path!r}: the directory {directory!r} does not exist")
    with _said(path):
        _write(path, directory, text, blocks, keep)


def _write(path, directory, text, blocks, keep):
    handle, temporary = tempfile.mkstemp(prefix=os.path.basename(path) + ".", suffix=".part", dir=directory)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(len(text).to_bytes(8, "little"))
            file.write(text)
            for offset, raw in blocks:
                file.write(b"\0" * (8 + len(text) + offset - file.tell()))
                file.write(memoryview(raw))
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        _keep_older(path, keep)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    _sync_directory(directory)


def _check_entry(name, entry, room, path):
    """dtype, shape, first and last byte of one array; FormatError if they do not fit the file."""
    try:
        dtype = np.dtype(_TO_DTYPE[entry["dtype"]]).newbyteorder("<")
        shape = entry["shape"]
        first, last = entry["data_offsets"]
        fits = (all(type(n) is int and n >= 0 for n in (*shape, first, last))
                and first <= last <= room and last - first == math.prod(shape) * dtype.itemsize)
    except (KeyError, TypeError, ValueError):
        fits = False
    if not fits:
        raise FormatError(f"{path!r} is damaged: the description of array {name!r} does not fit the file")
    return dtype, tuple(shape), first, last


def load(path: PathLike, kind: str, *, mmap: bool = False, verify: bool = False) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read what `save` wrote.

    Parameters
    ----------
    path : path-like
    kind : str
        Kind that the file must have.
    mmap : bool
        Map the arrays read-only instead of reading them. Checksums of arrays above 1 MB are not computed, because that would read them.
    verify : bool
        Compute them all the same.

    Returns
    -------
    settings : dict
    arrays : dict of str to array

    Raises
    ------
    FormatError
        If the file is of another format, kind or version, damaged or truncated. Sizes are checked before anything is allocated.
    """
    path = os.fspath(path)
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, _MAX_HEADER):
            raise FormatError(f"{path!r} is not a mongoose_nb file, or it is truncated")
        try:
            header = json.loads(file.read(length))
            meta = header["__metadata__"]
            named, version, found = meta["format"], int(meta["format_version"]), meta["kind"]
            intact = meta.get("header_crc32") == str(header_checksum(header))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise FormatError(f"{path!r} is not a mongoose_nb file, or its header is damaged") from None
        if named != "mongoose_nb" or found != kind:
            raise FormatError(f"{path!r} holds a {found!r} of {named!r}; a {kind!r} of 'mongoose_nb' was asked for")
        if version > FORMAT_VERSION:
            raise FormatError(f"{path!r} has format version {version}; this program reads up to {FORMAT_VERSION}: upgrade it")
        if not intact:
            raise FormatError(f"{path!r} is damaged: its header does not match its checksum")
        del header["__metadata__"]
        try:
            settings, checksums = json.loads(meta["settings"]), dict(json.loads(meta["crc32"]))
        except (ValueError, KeyError, TypeError, RecursionError):
            raise FormatError(f"{path!r} is damaged: its settings cannot be read") from None
        arrays = {}
        room = size - 8 - length
        entries = {name: _check_entry(name, entry, room, path) for name, entry in header.items()}
        if sum(last - first for _, _, first, last in entries.values()) > room:
            raise FormatError(f"{path!r} is damaged: its arrays overlap")
        for name, (dtype, shape, first, last) in entries.items():
            if mmap and last - first > _READ and not verify:
                arrays[name] = np.memmap(path, dtype, "r", 8 + length + first, shape).view(np.ndarray)
                continue
            file.seek(8 + length + first)
            raw = np.fromfile(file, np.uint8, last - first)
            if len(raw) != last - first or zlib.crc32(raw) != checksums.get(name):
                raise FormatError(f"{path!r} is damaged: array {name!r} does not match its checksum")
            if mmap and last > first:
                arrays[name] = np.memmap(path, dtype, "r", 8 + length + first, shape).view(np.ndarray)
                continue
            arrays[name] = raw.view(dtype).reshape(shape)
    return settings, arrays
