"""Training with the output layer in shards on a Dask cluster."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mongoose_nb.core import files
from mongoose_nb.core.arrays import Rows, parameter_arrays, restore_parameters
from mongoose_nb.core.saving import join, split, state_of
from mongoose_nb.core.validation import check_int
from mongoose_nb.distributed.cluster import client_of, workers_of
from mongoose_nb.distributed.output import ShardedOutput
from mongoose_nb.nn.layers.base import Run
from mongoose_nb.nn.sampling.full import Full
from mongoose_nb.nn.sampling.uniform import Uniform
from mongoose_nb.nn.training import backprop, loop
from mongoose_nb.nn.training.batches import Whole
from mongoose_nb.nn.training.progress import Progress

if TYPE_CHECKING:
    from mongoose_nb.nn.network import Network
    from mongoose_nb.nn.training.callbacks import History

KIND = "distributed training"


class ShardedNetwork:
    """What the training loop sees: hidden layers of a network, and an output layer in shards.

    Parameters
    ----------
    network : Network
    output : ShardedOutput
    """

    def __init__(self, network: Network, output: ShardedOutput) -> None:
        self.network, self.output = network, output
        self.seed, self.n_outputs = network.seed, network.n_outputs
        self.optimizer, self.lr_schedule, self.clip_norm = network.optimizer, network.lr_schedule, network.clip_norm

    @property
    def step(self) -> int:
        """Steps that were taken."""
        return self.network.step

    @step.setter
    def step(self, step: int) -> None:
        self.network.step = step

    @property
    def epoch(self) -> int:
        """Epochs that were taken."""
        return self.network.epoch

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        self.network.epoch = epoch

    def parameters(self) -> dict:
        """Those of the hidden layers."""
        return {name: parameter for name, parameter in self.network.parameters().items() if not name.startswith("output.")}

    def loss_and_gradients(self, x: Rows, labels: Rows, peak: float = np.inf, weight: np.ndarray | None = None, *,
                           run: Run) -> tuple[float, dict]:
        """As `Network.loss_and_gradients`."""
        return backprop.loss_and_gradients(self.network.layers, self.output, x, labels, run, peak, weight)  # type: ignore[arg-type]

    def weight_of(self, *data: Any) -> float:
        """As `Network.weight_of`."""
        return self.network.weight_of(*data)

    def after_update(self, run: Run, gradients: dict[str, Any]) -> None:
        """As `Network.after_update`, of the hidden layers."""
        for i, layer in enumerate(self.network.layers):
            prefix = f"hidden{i}."
            layer.after_update(run, {name[len(prefix):]: value for name, value in gradients.items() if name.startswith(prefix)})

    def counts(self) -> dict[str, float]:
        """As `Network.counts`."""
        return self.network.counts()

    def report(self) -> dict[str, Any]:
        """Shards, how many came back from a lost worker, and bytes of all steps so far."""
        return {"shards": self.output.shards.n, "lost_shards": self.output.shards.lost, "bytes_sent": self.output.sent,
                "bytes_received": self.output.received}


class Saver:
    """Writes a directory from which shards come back, and from which a training can go on."""

    def __init__(self, directory: str, every: int, model: ShardedNetwork, progress: Progress) -> None:
        self.directory, self.every, self.model, self.progress = directory, every, model, progress
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
        plain, arrays = split(state_of(self.progress), "progress.")
        files.save(self.path, KIND, {"version": 1, "files": names, "step": self.model.step, "epoch": self.model.epoch, "progress": plain,
                                     "network": repr(self.model.network).rpartition(", step=")[0]},
                   {**parameter_arrays(self.model.parameters()), **arrays})
        self.model.output.saved(paths)
        for name in set(before) - set(names):
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(self.directory, name))


def training_file(directory: str | os.PathLike) -> str:
    """The file in a checkpoint directory that names the others."""
    return os.path.join(directory, "training.mongoose")


def _read(directory, network, progress):
    """(settings, arrays, progress) of the checkpoint that a training with these arguments goes on from, or None."""
    path = training_file(directory)
    if not os.path.exists(path):
        return None
    saved, arrays = files.load(path, KIND)
    mine = repr(network).rpartition(", step=")[0]
    if saved.get("version") != 1 or saved["network"] != mine:
        raise ValueError(f"{path!r} was written by a training of {saved.get('network')}, this network is {mine}: give another directory")
    prefix = "progress."
    own = {name[len(prefix):]: array for name, array in arrays.items() if name.startswith(prefix)}
    reached = Progress.from_state(join(saved["progress"], own))
    reached.agree(progress, path)
    return saved, arrays, reached


def fit(network: Network, X: Any, Y: Any, *, client: Any = None, shards: int | None = None, epochs: int = 10, batch_size: int = 256,
        checkpoint: str | os.PathLike | None = None, checkpoint_steps: int = 200, callbacks: Sequence = ()) -> History:
    """Train a network whose output rows are spread over the workers of a cluster.

    The client computes the hidden layers. Each shard has a range of output rows with their moments; of a step, activations, normalisers
    and gradients of the activations cross the wire, and no weights. At the end the weights come back into `network`.

    Parameters
    ----------
    network : Network
        With ``sampler="full"`` or ``nn.Uniform(shape="batch")``.
    X, Y
        As for `Network.fit`.
    client : distributed.Client or str, optional
        Or the address of a scheduler; by default the client that was made last.
    shards : int, optional
        By default the number of workers.
    epochs, batch_size : int
    checkpoint : path-like, optional
        A directory that all workers and the client can read and write. A shard whose worker dies comes back from its last file and from
        what was sent since, which the client holds. If the client dies, the same call goes on from the directory. By default a worker
        that dies ends the training, and the network is as before.
    checkpoint_steps : int
        Steps between two checkpoints.
    callbacks : sequence
        See `nn.callbacks`; during the training the network that they get has no output weights.

    Returns
    -------
    History
        With ``shards``, ``lost_shards``, ``bytes_sent`` and ``bytes_received``.

    Raises
    ------
    ValueError
        A sampler that needs tables of all rows, or candidates for each sample.

    Notes
    -----
    With one shard the result has the same bits as `Network.fit`. With more, sums over outputs are made in another order, so results
    agree to the rounding of float32, which grows from step to step: tests allow 1e-3 in a weight after 15 steps. They depend on the number
    of shards, not on that of workers, and not on workers that die.
    """
    from mongoose_nb.data.validate import check_same_rows, check_Y

    client = client_of(client)
    sampler = network.output.sampler
    if not isinstance(sampler, Full | Uniform) or isinstance(sampler, Uniform) and sampler.shape != "batch":
        raise ValueError(f"distributed.fit takes networks with sampler='full' or nn.Uniform(shape='batch'); this one has {sampler!r}, "
                         "whose candidates need all output weights in one place")
    epochs, batch_size = check_int("epochs", epochs, low=1), check_int("batch_size", batch_size, low=1)
    every = check_int("checkpoint_steps", checkpoint_steps, low=1)
    workers = workers_of(client)
    shards = min(len(workers), network.n_outputs) if shards is None else check_int("shards", shards, low=1, high=network.n_outputs)
    X = network.rows(X)
    Y = check_Y(Y, n_outputs=network.n_outputs, n_rows=X.shape[0])
    check_same_rows(X, Y)
    source = Whole(X, Y)
    progress = Progress(network.epoch, epochs, batch_size, X.shape[0], 0 if checkpoint is None else source.mark(), first_step=network.step)
    found = None
    if checkpoint is not None:
        checkpoint = os.path.abspath(checkpoint)
        os.makedirs(checkpoint, exist_ok=True)
        found = _read(checkpoint, network, progress)
    before = {name: array.copy() for name, array in parameter_arrays(network.parameters()).items() if not name.startswith("output.")}
    place = network.step, network.epoch
    names = None
    if found is not None:
        saved, arrays, reached = found
        names = [os.path.join(str(checkpoint), name) for name in saved["files"]]
        reached.epochs, reached.done = epochs, reached.done and epochs <= reached.epochs
        progress, shards = reached, len(names)
    output = ShardedOutput(network.output, client, shards, checkpoint is not None, names)
    model = ShardedNetwork(network, output)
    try:
        if found is not None:
            restore_parameters(model.parameters(), arrays)
            model.step, model.epoch = saved["step"], saved["epoch"]
        savers: tuple = ()
        if checkpoint is not None:
            saver = Saver(str(checkpoint), every, model, progress)
            savers = (saver,)
            if found is None:
                saver.save()
        callbacks = loop.make_listeners(callbacks).callbacks
        listeners = loop.Listeners(tuple(callbacks), savers)
        listeners.notify("on_fit_begin", network, {"epochs": epochs, "batches": source.batches(batch_size), "batch_size": batch_size,
                                                   **source.logs()})
        history = loop.train(model, source, progress, listeners=listeners, lock=network.lock)
        output.collect()
        return history
    except BaseException as error:
        try:
            if not isinstance(error, FloatingPointError | KeyboardInterrupt):
                raise error
            output.collect()  # as Network.fit: the state after the last whole step
        except BaseException:
            restore_parameters(model.parameters(), before)
            network.step, network.epoch = place
            raise
        raise
    finally:
        output.shards.close()
