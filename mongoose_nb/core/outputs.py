"""Where something is going to be written: looked at before the work, by writing there for a moment."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator

from mongoose_nb.core.types import PathLike


def check_file(flag: str, path: PathLike, inputs: Iterable[PathLike | None] = ()) -> pathlib.Path:
    """The path of a file that is to be written or replaced.

    Parameters
    ----------
    flag : str
        What gave the path, for the error.
    path : path-like
    inputs : iterable of path-like
        What the work reads, none of which may be replaced. Those that are None, or no files, count for nothing.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    OSError, ValueError
        If nothing can be written there. Nothing has changed.
    """
    path = _given(flag, path)
    if path.is_dir():
        raise IsADirectoryError(f"{flag} {path} is a directory; give the file to write, in it or elsewhere")
    if path.exists() and not path.is_file():
        raise ValueError(f"{flag} {path} is no regular file, and what is there would be replaced; give another file")
    if not path.parent.exists():
        raise FileNotFoundError(f"{flag} {path}: the directory {path.parent} does not exist; make it first, or give another file")
    check_no_input(flag, [path], inputs)
    _try(flag, path, path.parent)
    return path


def check_no_input(flag: str, written: Iterable[PathLike], inputs: Iterable[PathLike | None]) -> None:
    """Refuse files to be written or removed of which one is an input, by whatever name; arguments as of `check_file`."""
    read = [path for path in inputs if path is not None and os.path.isfile(path)]
    for path in written:
        if os.path.exists(path) and any(os.path.samefile(path, other) for other in read):
            raise ValueError(f"{flag} {os.fspath(path)} is an input of this command, and would be replaced; give another path")


def _given(flag: str, path: PathLike) -> pathlib.Path:
    if not os.fspath(path):
        raise ValueError(f"{flag} is empty; give a path")
    return pathlib.Path(path)


def check_directory(flag: str, path: PathLike) -> pathlib.Path:
    """The path of a directory to write in, which need not exist; otherwise as `check_file`."""
    path = _given(flag, path)
    there = next(parent for parent in (path, *path.absolute().parents) if parent.exists())
    if path.exists() and not path.is_dir():
        raise ValueError(f"{flag} {path} is a file; give a directory")
    _try(flag, path, there)
    return path


# Where files are kept until what replaces them has begun.
REPLACED = "replaced"


class Replacement:
    """Files that are put aside until the work that replaces them has `begun`."""

    def __init__(self, aside: pathlib.Path) -> None:
        self._aside, self.has_begun = aside, False

    def begun(self) -> None:
        """Remove them for good."""
        if not self.has_begun:
            self.has_begun = True
            shutil.rmtree(self._aside, ignore_errors=True)


@contextlib.contextmanager
def replacement(folder: pathlib.Path, own: Callable[[], list[pathlib.Path]],
                undo: type[BaseException] = Exception) -> Iterator[Replacement]:
    """Context manager: make a folder, and put aside what is in it already.

    Parameters
    ----------
    folder : Path
    own : callable
        The files and folders in it that the work replaces and writes.
    undo : type
        An error of this type, before the work has `Replacement.begun`, leaves the folder as it was.

    Yields
    ------
    Replacement
    """
    made = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    aside = folder / REPLACED
    shutil.rmtree(aside, ignore_errors=True)  # of a process that was killed
    aside.mkdir()
    for file in own():
        file.replace(aside / file.name)
    state = Replacement(aside)
    try:
        yield state
    except undo:
        if not state.has_begun:
            for file in own():
                shutil.rmtree(file) if file.is_dir() else file.unlink()
            for file in aside.iterdir():
                file.replace(folder / file.name)
            aside.rmdir()
            for parent in made:
                parent.rmdir()
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _try(flag, path, directory):
    if not directory.is_dir():
        raise NotADirectoryError(f"{flag} {path}: {directory} is a file and not a directory; give another path")
    try:
        with tempfile.TemporaryFile(dir=os.fspath(directory)):
            pass
    except OSError as error:
        raise PermissionError(f"{flag} {path}: nothing can be written in {directory} ({error.strerror}); give another path") from error
