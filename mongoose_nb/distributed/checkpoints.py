"""The checkpoint directory of a training with shards: a file for each shard, and one that names them."""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import tempfile
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mongoose_nb.core import files
from mongoose_nb.core.arrays import parameter_arrays
from mongoose_nb.core.registry import describe, make, parameters
from mongoose_nb.core.saving import join, split, state_of
from mongoose_nb.nn.saving import callback_states, model_settings, reading
from mongoose_nb.nn.training.progress import Progress

if TYPE_CHECKING:
    from mongoose_nb.distributed.sharded_network import ShardedNetwork
    from mongoose_nb.nn.network import Network

KIND = "distributed training"


class Saver:
    """Writes a directory from which shards come back, and from which a training can go on."""

    def __init__(self, directory: str, every: int, model: ShardedNetwork, progress: Progress, callbacks: Sequence) -> None:
        self.directory, self.every, self.model, self.progress, self.callbacks = directory, every, model, progress, callbacks
        self.path = training_file(directory)

    def on_batch_end(self, model: Any, logs: Any) -> None:
        """Save after every so many steps."""
        if self.model.step % self.every == 0:
            self.save()

    def on_epoch_end(self, model: Any, logs: Any) -> None:
        """Save what ends with an epoch."""
        self.save()

    def on_fit_end(self, model: Any, logs: Any) -> None:
        """Save that the training has ended."""
        self.save()

    def save(self) -> None:
        """Write the files of all shards, and then the one that names them."""
        before = files.load(self.path, KIND)[0]["files"] if os.path.exists(self.path) else []
        tag = os.path.basename(tempfile.mktemp(prefix="", dir=self.directory))
        names = [f"shard{i}-{tag}.mongoose" for i in range(self.model.output.shards.n)]
        paths = [os.path.join(self.directory, name) for name in names]
        self.model.output.save(paths)
        missing = [path for path in paths if not os.path.exists(path)]
        if missing:
            raise FileNotFoundError(f"a worker wrote {missing[0]!r}, which is not there for the client: give a directory that all share")
        self.progress.tick()
        states = {"progress": state_of(self.progress), "sampler": state_of(self.model.network.output.sampler),
                  "callbacks": callback_states(self.callbacks)}
        plain, arrays = split(states)
        files.save(self.path, KIND, {"version": 1, "files": names, "step": self.model.step, "epoch": self.model.epoch,
                                     "network": brief(self.model.network), "settings": model_settings(self.model.network), **plain},
                   {**parameter_arrays(self.model.parameters()), **arrays})
        self.model.output.saved(paths)
        for name in set(before) - set(names):
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(self.directory, name))


def training_file(directory: str | os.PathLike) -> str:
    """The file in a checkpoint directory that names the others."""
    return os.path.join(directory, "training.mongoose")


def progress_of(directory: str | os.PathLike) -> dict[str, Any]:
    """``progress`` (a dict, or None where nothing was written yet), ``step`` and ``epoch`` of a checkpoint directory."""
    path = training_file(directory)
    saved = files.load(path, KIND)[0] if os.path.exists(path) else {"progress": None, "step": 0, "epoch": 0}
    return {name: saved[name] for name in ("progress", "step", "epoch")}


def brief(network: Network) -> str:
    """What a message calls a network."""
    return repr(network).rpartition(", step=")[0]


def check_settings(saved: dict[str, Any], network: Network, path: str) -> None:
    """Refuse to go on with other settings than those of a file; of an earlier version, it holds the description of `brief` only.

    Parameters
    ----------
    saved : dict
    network : Network
    path : str
        Of the file.

    Raises
    ------
    ValueError
        It names the first setting that differs.
    """
    if saved.get("version") != 1 or ("settings" not in saved and saved["network"] != brief(network)):
        raise ValueError(f"{path!r} was written by a training of {saved.get('network')}, this network is {brief(network)}: give another "
                         "directory")
    if "settings" not in saved:
        return
    own = json.loads(json.dumps(model_settings(network)))
    with reading(path):
        # arguments that did not exist yet when the file was written have their defaults
        hidden = describe([make("layer", h) if isinstance(h, dict) else h for h in saved["settings"]["hidden"]])
        sampler = describe(make("sampler", saved["settings"]["sampler"]), "sampler")
        defaults = {name: value for name, value in parameters(type(network)).items() if value is not inspect.Parameter.empty}
        written = {**defaults, **saved["settings"], **json.loads(json.dumps({"hidden": hidden, "sampler": sampler}))}
        differ = [name for name in own if written[name] != own[name]]
    if differ:
        name = differ[0]
        raise ValueError(f"{path!r} was written by a network with {name}={written[name]!r}, this one has {name}={own[name]!r}: "
                         "give the same settings to go on, or another directory to start from the beginning")


class Found(NamedTuple):
    """A checkpoint that a training goes on from.

    Parameters
    ----------
    settings : dict
    arrays : dict of str to array
    progress : Progress
    sampler, callbacks : dict
        States; empty where the file was written before there were any.
    """

    settings: dict[str, Any]
    arrays: dict[str, np.ndarray]
    progress: Progress
    sampler: dict
    callbacks: dict


def find_checkpoint(directory: str, network: Network, progress: Progress) -> Found | None:
    """The checkpoint in a directory, None where there is none.

    Raises
    ------
    ValueError
        It was written by a training of another network or of other data.
    """
    path = training_file(directory)
    if not os.path.exists(path):
        return None
    saved, arrays = files.load(path, KIND)
    check_settings(saved, network, path)
    def state(name):
        own = {key.removeprefix(f"{name}."): array for key, array in arrays.items() if key.startswith(f"{name}.")}
        return join(saved.get(name, {}), own)

    reached = Progress.from_state(state("progress"))
    reached.agree(progress, path)
    callbacks = {part["name"]: part["state"] for part in state("callbacks").values()}
    return Found(saved, arrays, reached, state("sampler"), callbacks)
