"""The file of an index: settings, rows, sketches, functions and buckets; nothing is pickled.

Mapped (``mmap=True``), the large arrays - rows, sketches, bucket entries - stay in the file, shared by all processes that map it. Checksums
of arrays above 1 MB are then computed on request alone, which reads the file once; that bucket entries name rows of the index is checked
all the same.
"""

import os

import numpy as np

from mongoose_nb.core import files
from mongoose_nb.core.registry import name_of
from mongoose_nb.core.saving import join, split
from mongoose_nb.search.families import unnamed

KIND = "lsh_index"
#: of what a file holds: 1 had the arguments and counters of an index side by side, and its arrays by prefixes
VERSION = 2


def save(path: str | os.PathLike, state: dict) -> None:
    """Write the state of an index."""
    files.save(path, KIND, *split({"version": VERSION, **state}))


def load(path: str | os.PathLike, mmap: bool, verify: bool = False) -> dict:
    """Read the state of an index, or map it.

    Raises
    ------
    FormatError
        Not such a file, or another version.
    """
    if os.path.isdir(path):
        raise files.FormatError(f"{os.fspath(path)!r} is a directory, and the file of an index was wanted; an index that was saved on a "
                                "cluster is read by distributed.LSHIndex.load")
    settings, arrays = files.load(path, KIND, mmap=mmap, verify=verify)
    version = settings.get("version", 1)
    if version == 1:
        return upgrade_v1(settings, arrays)
    if version != VERSION:
        raise files.FormatError(f"{os.fspath(path)!r} holds an index of version {version!r}; this program reads up to {VERSION}: upgrade")
    return join(settings, arrays)


def upgrade_v1(settings: dict, arrays: dict[str, np.ndarray]) -> dict:
    """The state of an index from the settings and arrays of version 1."""
    def part(name):
        return {key[len(name) + 1:]: array for key, array in arrays.items() if key.startswith(name + ".")}

    other = ("kind", "next_id", "trained", "long", "tables", "projection", "stats")
    arguments = {name: value for name, value in settings.items() if name not in other}
    if arguments["family"] is None:  # a function, which was not named
        arguments["family"] = {"kind": "family maker", "name": name_of(type(unnamed))}
    state = {"arguments": arguments, "ids": {"next_id": settings["next_id"], **part("ids")}}
    builder = state["builder"] = {name: settings[name] for name in ("trained", "long", "stats")}
    builder["rows"] = None if settings["kind"] is None else {"store": settings["kind"], **part("rows")}
    builder["projection"] = builder["tables"] = None
    if settings["projection"] is not None:
        builder["projection"] = {**settings["projection"], **part("projection")}
        builder["sketches"] = arrays["sketches"].view(np.int8)
    if settings["tables"] is not None:
        builder["tables"] = join(settings["tables"], part("tables"))
    return state
