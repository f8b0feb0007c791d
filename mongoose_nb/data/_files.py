"""Read plain and gzip files, and write files atomically."""

from __future__ import annotations

import contextlib
import gzip
import os
import secrets
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from mongoose_nb.core.types import PathLike


def read_bytes(path: PathLike) -> tuple[bytes, os.stat_result]:
    """The content of a plain or gzip file (told apart by its first two bytes) and its ``os.stat_result``."""
    path = os.fspath(path)
    with open(path, "rb") as file:
        stat = os.fstat(file.fileno())
        data = file.read()
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (EOFError, OSError, zlib.error) as error:
            raise ValueError(f"{path}: the gzip stream is broken or cut short ({error}); fetch the "
                             "file again") from error
    return data, stat


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
