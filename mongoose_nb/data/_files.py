"""Open plain and compressed files, and write files atomically."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import os
import secrets
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO

from mongoose_nb.core.types import PathLike

# How files begin that are read, and those that are not.
_OTHERS = {b"\x28\xb5\x2f\xfd": "zstd", b"7z\xbc\xaf\x27\x1c": "7z", b"Rar!": "rar", b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
_BOM = b"\xef\xbb\xbf"


def _open_zip(path):
    archive = zipfile.ZipFile(path)
    names = [name for name in archive.namelist() if not name.endswith("/") and not name.startswith("__MACOSX")]
    if len(names) != 1:
        archive.close()
        shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
        raise ValueError(f"{path} is a zip archive of {len(names)} files ({shown}); unpack it, and give one of them")
    return archive.open(names[0])


_PACKED: dict[str, tuple[bytes, Any]] = {"gzip": (b"\x1f\x8b", gzip.open), "bzip2": (b"BZh", bz2.open),
                                         "xz": (b"\xfd7zXZ\x00", lzma.open), "zip": (b"PK\x03\x04", _open_zip)}


@contextlib.contextmanager
def open_data(path: PathLike) -> Iterator[BinaryIO]:
    """Context manager: a binary file to read, unpacked where it is gzip, bzip2, xz or a zip archive of one file, which its first bytes
    say. A byte order mark of UTF-8 is skipped.

    Raises
    ------
    ValueError
        If the file is packed in another way, in UTF-16, or damaged; inside the block too.
    """
    path = os.fspath(path)
    with open(path, "rb") as file:
        start = file.read(8)
    for magic, name in _OTHERS.items():
        if start.startswith(magic):
            what = f"is text in {name}: save it as UTF-8" if name == "UTF-16" else f"is packed with {name}: unpack it first"
            raise ValueError(f"{path} {what}; plain text, gzip, bzip2, xz, and zip archives of one file are read")
    kind = next((kind for kind, (magic, _) in _PACKED.items() if start.startswith(magic)), None)
    broken = () if kind is None else (EOFError, OSError, zlib.error, lzma.LZMAError, zipfile.BadZipFile)
    try:
        stream: Any = open(path, "rb") if kind is None else _PACKED[kind][1](path)
        with stream:
            if stream.read(3) != _BOM:
                stream.seek(0)
            yield stream
    except broken as error:
        raise ValueError(f"{path}: the {kind} stream is broken or cut short ({error}); fetch the file again") from error


def read_bytes(path: PathLike) -> tuple[bytes, os.stat_result]:
    """The content of a file, as `open_data` gives it, and its ``os.stat_result``."""
    stat = os.stat(path)
    with open_data(path) as file:
        return file.read(), stat


def split_lines(text: str) -> list[str]:
    """The lines of a text, which end with a line feed, or a carriage return before it. ``str.splitlines`` also ends lines at characters
    that texts hold, such as the line separator U+2028 and the form feed, and then rows are no longer those of another file."""
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").split("\n")
    return lines if lines[-1] else lines[:-1]


def as_text(data: bytes, name: str) -> str:
    """The text of bytes in UTF-8; a ValueError names the line of those that are in another encoding."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"{name}, line {data[:error.start].count(10) + 1}: not UTF-8 ({error.reason}); save it as UTF-8") from error


def read_lines(path: PathLike) -> list[str]:
    """The lines of a file in UTF-8, packed or not, without what ends them; ValueError if it is in another encoding."""
    data, _ = read_bytes(path)
    return split_lines(as_text(data, os.fspath(path)))


@contextlib.contextmanager
def replacing(path: PathLike) -> Iterator[BinaryIO]:
    """Context manager: a binary file that replaces `path` if the block ends without an exception, and is removed otherwise."""
    path = os.fspath(path)
    temporary = f"{path}.{secrets.token_hex(6)}.tmp"
    try:
        # not `tempfile`: its files are private to the user, and the umask should decide
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
