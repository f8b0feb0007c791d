"""`mongoose doctor`: check everything that makes the program fast and safe, with one line of advice for each problem."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import sysconfig
from typing import NamedTuple

from mongoose_nb.commands.console import json_line, result


class Check(NamedTuple):
    """One finding: `state` is "ok", "slow" (it works, slower than it could) or "broken"."""

    name: str
    state: str
    found: str
    advice: str = ""


def run(args: argparse.Namespace) -> int:
    """Print all checks; exit code 1 where something is broken."""
    checks = [check() for check in (versions, extension, compiler, kernels, cache, layer, threads, blas, huge_pages, progress)]
    broken = [check for check in checks if check.state == "broken"]
    if args.json:
        json_line({"checks": [check._asdict() for check in checks], "broken": len(broken)})
    else:
        for check in checks:
            result(f"{check.state:6} {check.name:16} {check.found}")
            if check.advice:
                result(f"{'':6} {'':16} -> {check.advice}")
        slow = sum(check.state == "slow" for check in checks)
        result(f"{len(broken)} broken, {slow} slow, {len(checks) - len(broken) - slow} ok")
    return 1 if broken else 0


def versions() -> Check:
    """Python and the packages that compute."""
    from mongoose_nb.commands.system import versions as read

    found = read()
    text = ", ".join(f"{name} {found[name.lower()]}" for name in ("Python", "NumPy", "SciPy", "Numba"))
    if found["numba"].startswith(("0.66.", "0.67.")) or found["numba"] == "0.68.0":
        return Check("versions", "slow", text, "this Numba sums arrays at half the speed: pip install -U numba")
    return Check("versions", "ok", f"mongoose_nb {found['version']}, {text}")


def extension() -> Check:
    """Whether the extension is compiled, or its Python implementation is in use."""
    from mongoose_nb._ext import COMPILED, SKETCH_COMPILED

    if COMPILED and SKETCH_COMPILED:
        return Check("extension", "ok", "compiled")
    pure = os.environ.get("MONGOOSE_NB_PURE", "0") not in ("", "0")
    advice = ("unset MONGOOSE_NB_PURE" if pure else
              "install a C compiler and run pip install --force-reinstall --no-binary mongoose_nb mongoose_nb, or install a wheel")
    return Check("extension", "slow", "fallback: single rows are inserted, removed and moved in Python", advice)


def compiler() -> Check:
    """The C compiler, which only the build of the extension needs."""
    name = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()[0]
    path = shutil.which(name) or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    return Check("C compiler", "ok", path or "none (needed only to build the extension)")


def kernels() -> Check:
    """Whether a compiled kernel computes what it should."""
    import numpy as np

    from mongoose_nb.kernels.layers.dense import matmul

    A, B = np.arange(12, dtype=np.float32).reshape(3, 4), np.ones((4, 5), np.float32)
    C = np.empty((3, 5), np.float32)
    try:
        matmul(A, B, C)
    except Exception as error:  # whatever Numba or LLVM say
        return Check("kernels", "broken", f"{type(error).__name__}: {' '.join(str(error).split())[:200]}", "pip install -U numba llvmlite")
    if not np.array_equal(C, A @ B):
        return Check("kernels", "broken", "a matrix product came out wrong", "pip install -U numba llvmlite, and report this")
    return Check("kernels", "ok", "compile and compute")


def cache() -> Check:
    """The directory of compiled kernels, and whether it can be written."""
    from mongoose_nb.commands.system import cached_bytes
    from mongoose_nb.core.jit import CACHE_DIR, cache_base

    if CACHE_DIR is None:
        return Check("kernel cache", "slow", f"{cache_base()} cannot be written: kernels are compiled in every process, up to a minute",
                     "set NUMBA_CACHE_DIR to a directory that can")
    size = cached_bytes()
    empty = "mongoose warmup compiles now what is otherwise compiled when first used" if size < 1e6 else ""
    return Check("kernel cache", "ok", f"{CACHE_DIR} ({size / 1e6:.1f} MB)", empty)


def layer() -> Check:
    """The threading layer of Numba."""
    from mongoose_nb.commands.system import threading_layer

    name = threading_layer()
    # pip puts the library where the dynamic linker does not look
    tbb = "pip install tbb" + (f" and set LD_LIBRARY_PATH={sys.prefix}/lib" if sys.platform == "linux" else "")
    if name == "workqueue":
        return Check("threading layer", "slow", "workqueue: Python threads that compute at once wait for each other",
                     f"install GNU OpenMP (libgomp), or {tbb}")
    if name == "omp":
        return Check("threading layer", "ok", "omp (start processes with 'spawn', not 'fork', once something was computed)")
    return Check("threading layer", "ok" if name == "tbb" else "broken", name, "" if name == "tbb" else tbb)


def threads() -> Check:
    """The number of threads, against that of the processors."""
    import numba

    from mongoose_nb.commands.system import cpus

    mine, there = numba.get_num_threads(), cpus()
    if mine < there:
        return Check("threads", "slow", f"{mine} of {there} processors", "unset NUMBA_NUM_THREADS, or set it higher")
    if mine > there:
        return Check("threads", "slow", f"{mine} threads on {there} processors", f"set NUMBA_NUM_THREADS={there}")
    return Check("threads", "ok", f"{mine} of {there} processors")


def blas() -> Check:
    """The BLAS library, and whether its number of threads can be set."""
    from mongoose_nb.commands.system import blas as read

    found = read()
    if found == "unknown":
        return Check("BLAS", "slow", "unknown to threadpoolctl: its threads compete with Numba's", "set OMP_NUM_THREADS=1")
    return Check("BLAS", "ok", found)


def huge_pages() -> Check:
    """Whether the system gives huge pages to large arrays."""
    from mongoose_nb.commands.system import huge_pages as read

    found = read()
    if found == "never":
        return Check("huge pages", "slow", "never: random rows of wide layers cost about 1.7 times as much",
                     "as root: echo madvise > /sys/kernel/mm/transparent_hugepage/enabled")
    return Check("huge pages", "ok", found)


def progress() -> Check:
    """The optional packages."""
    from importlib.util import find_spec

    missing = [extra for extra, module in (("progress", "tqdm"), ("sklearn", "sklearn")) if find_spec(module) is None]
    if missing:
        return Check("extras", "ok", f"not installed: {', '.join(missing)}",
                     f"where wanted: pip install 'mongoose_nb[{','.join(missing)}]'")
    return Check("extras", "ok", "progress, sklearn")
