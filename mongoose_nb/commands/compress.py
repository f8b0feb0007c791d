"""`mongoose compress`: what each index map would make of the tables of a trained model: size, error, speed."""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np

from mongoose_nb.commands.console import json_line, result
from mongoose_nb.commands.values import INTEGER, ratio
from mongoose_nb.commands.warm import compiling, threads
from mongoose_nb.compress import HashedArray, names
from mongoose_nb.core.files import load
from mongoose_nb.core.registry import find
from mongoose_nb.core.validation import check_int

#: rows that are looked up to measure the speed, and entries that are compared
ROWS, MOST = 20_000, 1 << 24


def add_arguments(sub: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    sub.add_argument("model", metavar="MODEL", help="file of Network.save or ClickClassifier.save")
    sub.add_argument("--to", default="10x", metavar="RATIO", help="how many times smaller, such as 10x (default)")
    sub.add_argument("--maps", nargs="+", choices=[name for name in names() if name != "lma"], metavar="MAP",
                     help="index maps to compare; all by default, but lma, which needs data")
    sub.add_argument("--seed", type=INTEGER, default=0, help="seed of the maps (default 0)")


def run(args: argparse.Namespace) -> None:
    """Print a line for every table and map."""
    times, seed = ratio(args.to, "--to"), check_int("--seed", args.seed, low=0, high=2**63 - 1)
    arrays = load_tables(args.model)
    lines: list[dict[str, Any]] = []
    with threads(args.threads), compiling():
        for name, table in arrays.items():
            for map_name in args.maps or [one for one in names() if one != "lma"]:
                if table.shape[1] >= find("index map", map_name).least_width:
                    lines.append({"table": name, "shape": list(table.shape), **measure(table, map_name, times, seed)})
    if args.json:
        json_line({"model": args.model, "ratio": times, "tables": lines})
        return
    for line in lines:
        if "refused" in line:
            result(f"{line['table']:24} {line['map']:14} {line['refused']}")
            continue
        result(f"{line['table']:24} {line['map']:14} {line['bytes'] / 2**20:9.3f} MB of {line['full_bytes'] / 2**20:9.3f}   error "
               f"{line['error']:.3f}   {line['rows_per_s']:12,.0f} rows/s (full table {line['full_rows_per_s']:,.0f})")


def load_tables(path: str) -> dict[str, np.ndarray]:
    """The trained matrices of a file by name."""
    for kind in ("network", "click classifier"):
        try:
            arrays = load(path, kind)[1]
            break
        except ValueError as error:
            failed = error
    else:
        raise failed
    tables = {name: np.ascontiguousarray(array, np.float32) for name, array in arrays.items()
              if array.ndim == 2 and name.rpartition(".")[2] in ("weights",) and not name.startswith("state.") and array.size > 1}
    if not tables:
        raise ValueError(f"{path} has no full tables: its parameters are compressed already")
    return tables


def measure(table: np.ndarray, name: str, ratio: float, seed: int) -> dict[str, Any]:
    """Size, relative error of the best cells (least squares), and rows a second.

    Parameters
    ----------
    table : (rows, width) float32
        At most 2^24 entries of it are compared.
    name : str
        Of the map.
    ratio : float
    seed : int
    """
    part = table[:max(1, MOST // table.shape[1])]
    array = HashedArray(max(1, round(part.size / ratio)), seed=seed)
    try:
        view = array.view(name, part.shape)
    except ValueError as error:
        return {"map": name, "refused": str(error)}
    cells = view.lower(part)
    norm = float(np.linalg.norm(part)) or 1.0
    array.values[:] = cells
    ids = np.random.default_rng(seed).integers(0, len(part), ROWS)
    out = np.empty((ROWS, part.shape[1]), np.float32)
    return {"map": name, "bytes": round(table.nbytes / ratio), "full_bytes": table.nbytes,
            "error": float(np.linalg.norm(view.gather() - part)) / norm,
            "rows_per_s": _speed(lambda: view.gather(ids, out=out)), "full_rows_per_s": _speed(lambda: np.take(part, ids, axis=0, out=out))}


def _speed(call):
    call()
    best = np.inf
    for _ in range(3):
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return ROWS / best
