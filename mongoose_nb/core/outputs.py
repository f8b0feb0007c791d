"""Where something is going to be written: looked at before the work, by writing there for a moment."""

from __future__ import annotations

import os
import pathlib
import tempfile

from mongoose_nb.core.types import PathLike


def check_file(flag: str, path: PathLike) -> pathlib.Path:
    """The path of a file that is to be written or replaced.

    Parameters
    ----------
    flag : str
        What gave the path, for the error.
    path : path-like

    Returns
    -------
    pathlib.Path

    Raises
    ------
    OSError, ValueError
        If nothing can be written there. Nothing has changed.
    """
    path = pathlib.Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{flag} {path} is a directory; give the file to write, in it or elsewhere")
    if path.exists() and not path.is_file():
        raise ValueError(f"{flag} {path} is no regular file, and what is there would be replaced; give another file")
    if not path.parent.exists():
        raise FileNotFoundError(f"{flag} {path}: the directory {path.parent} does not exist; make it first, or give another file")
    _try(flag, path, path.parent)
    return path


def check_directory(flag: str, path: PathLike) -> pathlib.Path:
    """The path of a directory to write in, which need not exist; otherwise as `check_file`."""
    path = pathlib.Path(path)
    there = next(parent for parent in (path, *path.absolute().parents) if parent.exists())
    if path.exists() and not path.is_dir():
        raise ValueError(f"{flag} {path} is a file; give a directory")
    _try(flag, path, there)
    return path


def _try(flag, path, directory):
    if not directory.is_dir():
        raise NotADirectoryError(f"{flag} {path}: {directory} is a file and not a directory; give another path")
    try:
        with tempfile.TemporaryFile(dir=os.fspath(directory)):
            pass
    except OSError as error:
        raise PermissionError(f"{flag} {path}: nothing can be written in {directory} ({error.strerror}); give another path") from error
