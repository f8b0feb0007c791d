"""`mongoose info`: versions, and the machine that the program runs on."""

from __future__ import annotations

import argparse

from mongoose_nb.commands.console import json_line, result

_LABELS = {"version": "mongoose_nb", "python": "Python", "numpy": "NumPy", "scipy": "SciPy", "numba": "Numba",
           "extension": "bucket store", "sketch": "drift sketch",
           "cpu": "CPU", "cpus": "CPUs to use", "blas": "BLAS", "huge_pages": "huge pages",
           "threading_layer": "threading layer"}


def run(args: argparse.Namespace) -> None:
    """Print the report."""
    from mongoose_nb.commands.system import report

    found = report()
    if args.json:
        json_line(found)
        return
    writable, size = found.pop("cache_writable"), found.pop("cache_bytes")
    directory = found.pop("cache_dir")
    found["kernel cache"] = (f"{directory} (writable, {size / 1e6:.1f} MB)" if writable else
                             f"{directory} (not writable: kernels are compiled again in every run)")
    for name, value in found.items():
        result(f"{_LABELS.get(name, name):16} {value}")
