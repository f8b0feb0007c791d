"""Versions, and the properties of the machine that decide the speed."""

from __future__ import annotations

import os
import pathlib
import platform
import sys
from typing import Any


def versions() -> dict[str, str]:
    """Versions of the program and of what it computes with, and which bucket store and drift sketch are in use."""
    import numba
    import numpy
    import scipy

    from mongoose_nb import __version__

    return {"version": __version__, "python": platform.python_version(), "numpy": numpy.__version__, "scipy": scipy.__version__,
            "numba": numba.__version__, "extension": extension(), "sketch": sketch()}


def extension() -> str:
    """``"compiled"`` or ``"fallback"``."""
    from mongoose_nb._ext import COMPILED

    return "compiled" if COMPILED else "fallback"


def sketch() -> str:
    """``"compiled"`` or ``"fallback"``."""
    from mongoose_nb._ext import SKETCH_COMPILED

    return "compiled" if SKETCH_COMPILED else "fallback"


def threading_layer() -> str:
    """The layer that Numba's parallel loops run on; starts it."""
    import numba
    from numba.np.ufunc import parallel

    try:
        parallel._launch_threads()
        return numba.threading_layer()
    except (ValueError, AttributeError):  # none works here, or Numba starts it another way by now
        return f"unknown (asked for: {numba.config.THREADING_LAYER})"  # type: ignore[attr-defined]


def cpu_name() -> str:
    """The processor's name and the name under which LLVM compiles for it."""
    import llvmlite.binding

    name = platform.processor() or platform.machine()
    try:
        for line in pathlib.Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
            if line.lower().startswith(("model name", "hardware")):
                name = line.partition(":")[2].strip()
                break
    except OSError:
        pass
    return f"{name} ({llvmlite.binding.get_host_cpu_name()})"


def blas() -> str:
    """Name, version and threads of every BLAS in use."""
    import numpy.linalg  # noqa: F401
    import scipy.linalg.cython_blas  # noqa: F401  (Numba binds matrix products to SciPy's)
    from threadpoolctl import threadpool_info

    found = {f"{lib['internal_api']} {lib['version']} ({lib.get('architecture', '?')}, {lib['num_threads']} threads)": None
             for lib in threadpool_info() if lib["user_api"] == "blas"}
    return ", ".join(found) or "unknown"


def huge_pages() -> str:
    """The setting of transparent huge pages: ``always``, ``madvise``, ``never``, or ``unknown``."""
    try:
        text = pathlib.Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text()
        return text[text.index("[") + 1:text.index("]")]
    except (OSError, ValueError):
        return "unknown"


def cpus() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cached_bytes() -> int:
    """Size of the kernel cache in bytes."""
    from mongoose_nb.core.jit import CACHE_DIR

    return sum(f.stat().st_size for f in pathlib.Path(CACHE_DIR).rglob("*.nb?")) if CACHE_DIR else 0


def report() -> dict[str, Any]:
    """All of the above, by name."""
    import numba

    from mongoose_nb.core.jit import CACHE_DIR, cache_base

    return {**versions(), "platform": platform.platform(), "executable": sys.executable, "cpu": cpu_name(), "cpus": cpus(),
            "threads": numba.get_num_threads(), "threading_layer": threading_layer(), "blas": blas(),
            "huge_pages": huge_pages(), "cache_dir": CACHE_DIR or cache_base(), "cache_writable": CACHE_DIR is not None,
            "cache_bytes": cached_bytes()}
