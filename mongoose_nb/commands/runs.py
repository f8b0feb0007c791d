"""The directory of a training run.

    RUN/settings.json     every setting in force, versions, where the data came from and its fingerprint
    RUN/metrics.jsonl     one JSON object per epoch: the history with `nn.Diagnostics`, from which mongoose report draws
    RUN/cluster/          with --scheduler, files from which lost workers and an interrupted run come back
    RUN/model.mongoose    the network with optimiser and hash tables and all that going on takes, replaced as a whole after an epoch
"""

from __future__ import annotations

import contextlib
import json
import pathlib
from collections.abc import Iterator
from typing import Any

from mongoose_nb.commands.console import to_json
from mongoose_nb.core.outputs import Replacement, check_directory, replacement
from mongoose_nb.core.types import PathLike
from mongoose_nb.data._files import replacing

SETTINGS, METRICS, MODEL, CLUSTER = "settings.json", "metrics.jsonl", "model.mongoose", "cluster"
FORMAT_VERSION = 2


def check_free(path: PathLike, overwrite: bool) -> pathlib.Path:
    """The path of a new run; ValueError if there is something already, OSError if nothing can be written there. Nothing has changed."""
    if not str(path):
        raise ValueError("--out is empty; give a path")
    path = pathlib.Path(path)
    if path.exists() and not path.is_dir():
        raise ValueError(f"--out {path} is a file; give a directory for the run")
    if path.is_dir() and any(path.iterdir()) and not overwrite:
        raise ValueError(f"--out {path} is not empty; give another directory, --overwrite to replace the run in it, "
                         f"or --resume {path} to go on with it")
    return check_directory("--out", path)


def own_files(path: PathLike) -> list[pathlib.Path]:
    """What is in the directory of a run and belongs to it, with older versions of the network and what a killed process left."""
    path = pathlib.Path(path)
    more = [file for file in path.glob(f"{MODEL}.*") if file.suffix == ".part" or file.suffix[1:].isdigit()]
    return [file for file in (*(path / name for name in (MODEL, METRICS, SETTINGS, CLUSTER)), *more) if file.exists()]


def model_files(path: PathLike) -> list[pathlib.Path]:
    """The files that `load_network` may open for a path: itself, or those of the directory of a run."""
    path = pathlib.Path(path)
    return own_files(path) if path.is_dir() else [path]


class FirstStep:
    """A callback: after the first step of the training, the run before is removed for good."""

    def __init__(self, state: Replacement) -> None:
        self.state = state

    def on_batch_end(self, network: Any, logs: Any) -> None:
        """Remove the run before."""
        self.state.begun()


@contextlib.contextmanager
def beginning(path: pathlib.Path, record: dict[str, Any]) -> Iterator[FirstStep]:
    """Context manager of a new run: make the directory, put an older run aside (nothing else), and write the settings.

    An error before the first step, of which the `FirstStep` that it gives has to be told, leaves everything as it was.
    """
    with replacement(path, lambda: own_files(path)) as state:
        write_settings(path, record)
        yield FirstStep(state)


def write_settings(path: pathlib.Path, record: dict[str, Any]) -> None:
    """Write settings.json atomically."""
    with replacing(path / SETTINGS) as file:
        file.write(to_json({"format_version": FORMAT_VERSION, **record}, indent=2).encode() + b"\n")


def read_settings(path: PathLike) -> dict[str, Any]:
    """Read settings.json."""
    file = pathlib.Path(path) / SETTINGS
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        version = record["format_version"]
    except FileNotFoundError:
        raise ValueError(f"{path} has no {SETTINGS}; is it a directory that mongoose train wrote?") from None
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{file} is damaged: {error}") from error
    if version not in (1, FORMAT_VERSION):
        raise ValueError(f"{file} has format version {version}; this program reads up to {FORMAT_VERSION}")
    return record


def trim_metrics(path: pathlib.Path, epoch: int) -> None:
    """Remove the lines of epochs after `epoch`, whose network was not saved, and an incomplete line."""
    file = path / METRICS
    kept = []
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if entry["epoch"] <= epoch:
            kept.append(line + "\n")
    with replacing(file) as out:
        out.write("".join(kept).encode())


def load_network(path: PathLike) -> tuple[Any, bool | None]:
    """(network, how its svmlight files count features or None) of a run's directory or of a file that `Network.save` wrote."""
    from mongoose_nb.nn import Network

    path = pathlib.Path(path)
    if not path.is_dir():
        return Network.load(path), None
    if not (path / MODEL).exists():
        raise ValueError(f"{path} has no {MODEL}; is it a directory that mongoose train wrote, and did an epoch end there?")
    record = read_settings(path) if (path / SETTINGS).exists() else {}
    try:
        zero_based = record.get("data", {}).get("train", {}).get("zero_based")
    except AttributeError as error:
        raise ValueError(f"{path / SETTINGS} is damaged: {error}") from error
    return Network.load(path / MODEL), zero_based


def text_columns(path: PathLike, text: str | None = None, label: str | None = None, separator: str | None = None) -> Any:
    """The `data.Columns` of a table of texts: those that are given, others as the run at `path` was trained with."""
    from mongoose_nb.data import Columns

    path = pathlib.Path(path)
    recorded: dict[str, Any] = {}
    if path.is_dir() and (path / SETTINGS).exists():
        recorded = read_settings(path).get("data", {}).get("train", {}).get("columns") or {}
    try:
        own = Columns(**recorded)
    except TypeError as error:
        raise ValueError(f"{path / SETTINGS} is damaged: {error}") from error
    return Columns(text or own.text, label or own.label, own.separator if separator is None else separator)


def is_on_cluster(path: PathLike) -> bool:
    """Whether a run was trained with --scheduler."""
    return (pathlib.Path(path) / CLUSTER).is_dir()


def is_written(path: PathLike, epoch: int) -> bool:
    """Whether the network of a run that has taken so many epochs is in its file. On a cluster it is written at the very end, after what
    ranks the outputs was trained."""
    from mongoose_nb.nn.saving import peek

    file = pathlib.Path(path) / MODEL
    return not is_on_cluster(path) or file.exists() and peek(file)["epoch"] == epoch


def load_to_resume(path: PathLike, record: dict[str, Any]) -> Any:
    """(network, settings of its file) of a run to resume. If there is a checkpoint of the training, `Network.fit` fills the network
    later. If no checkpoint was written yet, the run starts again."""
    from mongoose_nb.nn import Network
    from mongoose_nb.nn.saving import make_network, peek
    from mongoose_nb.nn.saving_v1 import settings_v1

    file = pathlib.Path(path) / MODEL
    saved: dict[str, Any] = {"progress": None, "epoch": 0, "step": 0}
    if is_on_cluster(path):
        from mongoose_nb.distributed.checkpoints import progress_of

        saved = progress_of(pathlib.Path(path) / CLUSTER)
    elif file.exists():
        saved = peek(file)
    if saved["progress"] is None and file.exists():
        return Network.load(file), saved
    try:
        settings: Any = saved.get("network") or (settings_v1 if record["format_version"] == 1 else dict)(record["network"])
        return make_network(Network, settings), saved
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise ValueError(f"{pathlib.Path(path) / SETTINGS} is damaged: its network cannot be made: {error}") from error
