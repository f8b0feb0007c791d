"""`mongoose report`: a self-contained HTML page that shows and compares runs."""

from __future__ import annotations

import argparse
import json
import pathlib
from collections import Counter

from mongoose_nb.commands import runs
from mongoose_nb.commands.console import json_line, result
from mongoose_nb.commands.page import render
from mongoose_nb.core.outputs import check_file
from mongoose_nb.core.types import PathLike
from mongoose_nb.data._files import replacing


def run(args: argparse.Namespace) -> None:
    """Read all runs, then write the page."""
    out = check_file("-o", args.out, [file for path in args.runs for file in runs.model_files(path)])
    if out.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"-o {out} does not end in .html, and what is written is an HTML page: -o {out.with_suffix('.html')}")
    try:
        loaded = name_runs([Run(path) for path in args.runs])
        page = render(loaded)
    except (KeyError, TypeError, AttributeError, IndexError, ZeroDivisionError, OverflowError) as error:
        raise ValueError(f"{', '.join(args.runs)}: the {runs.SETTINGS} or {runs.METRICS} of a run is damaged: {error!r}") from error
    with replacing(out) as file:
        file.write(page.encode())
    if args.json:
        json_line({"event": "report", "written": str(out), "runs": [str(r.path) for r in loaded]})
    else:
        result(f"written: {out}")


class Run:
    """What a directory of `mongoose train` says of its run.

    Attributes
    ----------
    path : Path
    name : str
        Name of the directory; see `name_runs`.
    epochs : list of dict
        Entries of the history, at least one.
    seconds : list of float
        Training time until the end of every epoch.
    settings : dict
        Every setting as text, by its path in settings.json.
    """

    def __init__(self, path: PathLike) -> None:
        self.path = pathlib.Path(path)
        if not self.path.is_dir():
            raise ValueError(f"{path} is {'a file' if self.path.exists() else 'not there'}; give directories that mongoose train wrote")
        record = runs.read_settings(self.path)
        self.name = self.path.resolve().name
        self.epochs = self._epochs()
        self.seconds, total = [], 0.0
        for entry in self.epochs:
            total += entry["seconds"]
            self.seconds.append(total)
        self.settings = dict(_flat({k: v for k, v in record.items() if k not in ("format_version", "versions")}))
        self.settings.update(_flat(record.get("versions", {}), "versions."))
        sampler = record.get("network", {}).get("sampler", {})
        self.sampler = " ".join(str(sampler[key]) for key in ("name", "shape", "candidates") if key in sampler)
        self.samples = sum(entry["samples_per_s"] * entry["seconds"] for entry in self.epochs)

    def _epochs(self):
        file, out = self.path / runs.METRICS, []
        for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
            try:
                entry = json.loads(line)
            except ValueError:
                continue  # half a line, of a run that was killed
            if not isinstance(entry, dict) or not {"epoch", "loss", "seconds", "samples_per_s", "active_share", "time_split"} <= set(entry):
                raise ValueError(f"{file} is damaged: {line[:60]!r} is no entry of a history")
            if "filler" in entry:  # as runs of before called them
                entry["uniform"] = entry.pop("filler")
            out.append(entry)
        if not out:
            raise ValueError(f"{self.path} has no finished epoch to show; is the run in its first one?")
        return out

    @property
    def measures_drift(self) -> bool:
        """Whether the schedule of the tables measures how far rows have turned."""
        return any(entry.get("changed_share") is not None for entry in self.epochs)

    @property
    def time_split(self) -> dict[str, float]:
        """Share of every phase over all epochs."""
        total: Counter[str] = Counter()
        for entry in self.epochs:
            for name, share in entry["time_split"].items():
                total[name] += share * entry["seconds"]
        whole = sum(total.values()) or 1.0
        return {name: seconds / whole for name, seconds in total.items()}


def name_runs(loaded: list[Run]) -> list[Run]:
    """Make the names of runs unique: directories of the same name are called by their paths."""
    often = Counter(r.name for r in loaded)
    for r in loaded:
        if often[r.name] > 1:
            r.name = str(r.path)
    return loaded


def _flat(value, prefix=""):
    """(path, text) of every leaf of nested dicts."""
    for key, inner in value.items():
        if isinstance(inner, dict):
            yield from _flat(inner, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", json.dumps(inner) if isinstance(inner, list) else str(inner)
