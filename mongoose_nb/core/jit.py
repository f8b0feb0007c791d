"""The decorators of all kernels, and the cache of compiled code.

A. Numba's own cache notices a change in the file of a function but not in the functions it calls, it is keyed by the *path* of the
   sources, and it writes into site-packages, where an upgrade leaves stale files behind. Here the key is the *content* of the kernel's
   file and of every kernel file that it imports, directly or not. All checkouts and virtual environments of a user share one
   directory, and a changed kernel compiles again without the others.
B. Numba raises at import where no cache directory can be written. Kernels are then compiled without a cache: slower to start, but right.
C. Two processes that compile one kernel for different types at the same moment would take the same number for their files of code, and
   an index could point to the code for the other types. The files here are named by a hash of the types instead.
D. The loops of a parallel kernel are compiled by themselves and then, as a part of the kernel, optimised once more, which may change the
   order of sums. The process that compiles would run the first code, and one that reads the cache the second. Here both run the second.
E. fastmath without ``nnan`` and ``ninf``: a NaN must stay visible.
"""

from __future__ import annotations

import functools
import hashlib
import os
import pathlib
import re
import sys
import tempfile
from typing import Any

import numba
from llvmlite.binding import Linkage
from numba.core.caching import IndexDataCacheFile
from numba.core.compiler import Compiler
from numba.core.event import register

from mongoose_nb.core.compiling import Announcer
from mongoose_nb.core.guard import guard

FASTMATH = {"reassoc", "nsz", "contract", "arcp", "afn"}

_PACKAGE = pathlib.Path(__file__).parent.parent
_KERNELS = _PACKAGE / "kernels"
_IMPORT = re.compile(r"^\s*from mongoose_nb\.(kernels[\w.]*) import (\([^)]*\)|[^\n]*)", re.M)


def cache_base() -> str:
    """The directory below which compiled code is kept, whether or not it can be written."""
    return os.environ.get("NUMBA_CACHE_DIR") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache"), "mongoose_nb")


def _cache_dir():
    path = os.path.join(cache_base(), f"kernels-numba{numba.__version__}")
    try:
        os.makedirs(path, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError:
        return None
    return path


CACHE_DIR = _cache_dir()
#: tells once that kernels are compiled
ANNOUNCER = Announcer(CACHE_DIR is not None)
register("numba:compile", ANNOUNCER)


@functools.cache
def _read(path):
    """Content of a kernel file, and the kernel files that it imports."""
    text = path.read_text(encoding="utf-8")
    imported = set()
    for module, names in _IMPORT.findall(text):
        target = _PACKAGE.joinpath(*module.split("."))
        if target.is_dir():
            imported |= {target / f"{name}.py" for name in re.findall(r"\w+", names)}
        else:
            imported.add(target.with_suffix(".py"))
    return text, frozenset(file for file in imported if file.is_file())


@functools.cache
def source_digest(path: str) -> str:
    """A hash of all sources that a kernel defined in the file `path` may be compiled from.

    Parameters
    ----------
    path : str
        A file of ``mongoose_nb.kernels``, or any other Python file, which is taken to import all of them.

    Returns
    -------
    str
        16 hexadecimal digits.
    """
    file = pathlib.Path(path).resolve()
    digest = hashlib.sha256(pathlib.Path(__file__).read_bytes())
    if _KERNELS in file.parents:
        waiting = {file}
    else:
        digest.update(file.read_bytes())
        waiting = set(_KERNELS.rglob("*.py"))
    found = set()
    while waiting:
        file = waiting.pop()
        found.add(file)
        waiting |= _read(file)[1] - found
    for file in sorted(found):
        digest.update(f"{file.relative_to(_KERNELS)}\n{_read(file)[0]}".encode())
    return digest.hexdigest()[:16]


class FilesByKey(IndexDataCacheFile):
    """An index of compiled code and its files. An entry that another process overwrites is compiled again, and none is mistaken."""

    def save(self, key: Any, data: Any) -> None:
        """Keep the code of `key` (types, processor, source)."""
        name = self._data_name(int(hashlib.sha256(repr(key).encode()).hexdigest()[:15], 16))
        self._save_data(name, data)  # before the index points to it
        self._save_index({**self._load_index(), key: name})


def _keep(compiled):
    """Have the code of a kernel cached under the content of its sources."""
    function = compiled.py_func
    digest = source_digest(function.__code__.co_filename)
    # The locator reads this setting once, while it is made, and keeps the path; the user's setting is put back at once.
    saved, numba.config.CACHE_DIR = numba.config.CACHE_DIR, CACHE_DIR
    try:
        compiled.enable_caching()
    finally:
        numba.config.CACHE_DIR = saved
    name = f"{function.__module__}.{function.__qualname__}".replace("<", "").replace(">", "").removeprefix("mongoose_nb.")
    base = f"{name}-{digest}.py{sys.version_info[0]}{sys.version_info[1]}{getattr(sys, 'abiflags', '')}"
    compiled._cache._cache_path = compiled._cache._impl.locator._cache_path = CACHE_DIR
    compiled._cache._cache_file = FilesByKey(CACHE_DIR, base, digest)


class _Compiler(Compiler):
    """Numba's compiler. A kernel calls the functions that were linked into it, not others of the same name that the process has."""

    def _compile_core(self):
        self.state.library = library = self.state.targetctx.codegen().create_library(self.state.func_id.func_qualname)
        library.enable_object_caching()
        finalize = library._finalize_final_module

        def with_own_functions():
            for function in library._final_module.functions:
                if not function.is_declaration and function.linkage in (Linkage.linkonce_odr, Linkage.weak_odr):
                    function.linkage = Linkage.internal
            finalize()

        library._finalize_final_module = with_own_functions
        return super()._compile_core()


def _njit(**options):
    options = {"pipeline_class": _Compiler, "nogil": True, "error_model": "numpy", "fastmath": FASTMATH, **options}

    def decorate(function):
        compiled = numba.njit(**options)(function)
        if options.get("parallel"):
            guard(compiled)
        if CACHE_DIR is not None and os.path.isfile(function.__code__.co_filename):
            _keep(compiled)
        return compiled

    return decorate


#: a kernel whose ``prange`` loops run on all threads
parallel = _njit(parallel=True)
#: a kernel on one thread
serial = _njit()
#: a kernel whose arithmetic must not be re-ordered
strict = _njit(fastmath=False)
#: the same on all threads
strict_parallel = _njit(parallel=True, fastmath=False)
#: a helper that is compiled into its callers
inline = numba.njit(inline="never", nogil=True, error_model="numpy", fastmath=FASTMATH)
#: a helper whose arithmetic must not be re-ordered
strict_inline = numba.njit(inline="never", nogil=True, error_model="numpy")
