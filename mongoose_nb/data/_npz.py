"""Safe reading of npz and npy files of unknown origin: sizes in the headers are checked before anything is allocated.

NumPy allocates what the header of an array says before it reads, and raises many kinds of errors for a damaged header. So headers
are read here first, and every size in them is compared with that of the archive and of the file.
"""

from __future__ import annotations

import io
import math
import os
import zipfile
import zlib

import numpy as np

from mongoose_nb.core.types import PathLike

# Deflate cannot do better than 1032 bytes out of one.
_MOST_PACKED = 1032
_READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def _header(file, room):
    """shape, dtype and length of the header of the array in `file`; ValueError unless `room` bytes hold exactly this array."""
    start = file.tell()
    version = np.lib.format.read_magic(file)
    if version not in _READERS:
        raise ValueError(f"version {version} of the npy format is not read here")
    try:
        shape, _, dtype = _READERS[version](file)
    except Exception as error:  # SyntaxError, TokenError, ...
        raise ValueError(f"its header cannot be read ({type(error).__name__})") from error
    length = file.tell() - start
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which are not read")
    if any(n < 0 for n in shape) or math.prod(shape) * dtype.itemsize != room - length:
        raise ValueError(f"its header promises {dtype} {shape}, which is not what follows")
    return shape, dtype, length


def _check_archive(archive, size):
    """Check that the members of a zip archive are arrays and can be as large as their headers say."""
    entries = archive.infolist()
    if sum(entry.compress_size for entry in entries) > size:
        raise ValueError("its parts are larger than the file")
    for entry in entries:
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or entry.flag_bits & 1:
            raise ValueError(f"{entry.filename!r} is packed in a way that is not read here")
        if entry.file_size > _MOST_PACKED * entry.compress_size + 64:
            raise ValueError(f"{entry.filename!r} cannot be as large as it says")
        with archive.open(entry) as file:
            try:
                _header(io.BufferedReader(file), entry.file_size)
            except ValueError as error:
                raise ValueError(f"{entry.filename!r}: {error}") from error


def check_npz(path: PathLike) -> None:
    """Raise ValueError unless `path` is an npz file whose arrays can be as large as they say; nothing of that size is allocated."""
    try:
        with zipfile.ZipFile(path) as archive:
            _check_archive(archive, os.path.getsize(path))
    except ValueError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OverflowError, IndexError, KeyError,
            AttributeError) as error:
        raise ValueError(f"it is no whole npz file ({error})") from error


def read_npz_arrays(path: PathLike) -> dict[str, np.ndarray]:
    """All arrays of an npz file by name.

    Raises
    ------
    ValueError
        If it is no such file, is damaged, or holds Python objects.
    OSError
        If it cannot be opened.
    """
    check_npz(path)
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except ValueError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OverflowError, KeyError) as error:
        raise ValueError(f"it is no whole npz file ({error})") from error


def map_npy(path: PathLike) -> np.ndarray:
    """The array of an npy file, mapped read-only; ValueError if the file is none, or is truncated."""
    with open(path, "rb") as file:
        _header(file, os.fstat(file.fileno()).st_size)
    return np.load(path, mmap_mode="r", allow_pickle=False)
