"""Training with the output layer in shards on a Dask cluster."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from mongoose_nb.core.arrays import parameter_arrays, restore_parameters
from mongoose_nb.core.saving import remember, restore
from mongoose_nb.core.threads import compute_threads
from mongoose_nb.core.validation import check_int, check_pair
from mongoose_nb.distributed.checkpoints import Saver, find_checkpoint
from mongoose_nb.distributed.chunks import ArrayChunks, DelayedChunks
from mongoose_nb.distributed.cluster import client_of, need_dask, workers_of
from mongoose_nb.distributed.output import ShardedOutput
from mongoose_nb.distributed.sharded_network import ShardedNetwork
from mongoose_nb.nn import auto
from mongoose_nb.nn.labelled import check_labelled
from mongoose_nb.nn.layers.hashed_output import check_matrix
from mongoose_nb.nn.network import Network
from mongoose_nb.nn.saving import load_callbacks, model_settings
from mongoose_nb.nn.training import loop
from mongoose_nb.nn.training.batches import Chunks, Whole
from mongoose_nb.nn.training.callbacks import EarlyStopping
from mongoose_nb.nn.training.progress import Progress

if TYPE_CHECKING:
    from mongoose_nb.nn.training.callbacks import History

F = TypeVar("F", bound=Callable[..., Any])
# Who trains a network on a cluster now, by the id of the network.
_running: dict[int, object] = {}


def alone(function: F) -> F:
    """A function that holds a network while it runs, as its output weights are elsewhere; a second call for the network is refused."""
    @functools.wraps(function)
    def inner(network, *args, **kwargs):
        check_network(network)
        mine = object()
        if _running.setdefault(id(network), mine) is not mine:
            raise RuntimeError(f"{network!r} is being trained on a cluster by another call of distributed.fit: wait until it has ended, or "
                               "train a copy, copy.deepcopy(network), made before it began")
        try:
            with network.lock:
                return function(network, *args, **kwargs)
        finally:
            del _running[id(network)]
    return inner  # type: ignore[return-value]


def check_network(network: Any) -> None:
    """Refuse what is no network, and a program without Dask.

    Parameters
    ----------
    network : Network

    Raises
    ------
    ImportError, TypeError
        The message says what to do, or what was given.
    """
    need_dask()
    if not isinstance(network, Network):
        raise TypeError(f"network must be a Network, such as Network(n_features, n_outputs) or Network.load(path); got {network!r}")


@alone
def fit(network: Network, X: Any, Y: Any = None, *, client: Any = None, shards: int | None = None, epochs: int = 10,
        batch_size: int = 256, validation: tuple | None = None, early_stopping: int | EarlyStopping | None = None,
        checkpoint: str | os.PathLike | None = None, checkpoint_steps: int = 200, callbacks: Sequence = (),
        steps_per_epoch: int | None = None, micro_batch_size: int | None = None) -> History:
    """Train a network whose output rows are spread over the workers of a cluster.

    The client computes the hidden layers. Each shard has a range of output rows with their moments, and its tables; of a step,
    activations, normalisers and gradients of the activations cross the wire, and no weights. At the end the weights come back into
    `network`.

    Parameters
    ----------
    network : Network
        With ``sampler="full"``, `nn.Uniform`, `nn.LSH` or ``nn.Adaptive()``, which ``"auto"`` is for many outputs.
    X, Y
        As for `Network.fit`; chunks too, where Y is left out. Or Dask arrays, whose blocks of rows are chunks; or, where Y is left out, a
        list of ``dask.delayed`` pairs, such as files that workers read. One chunk is held, and the next one is on its way.
    client : distributed.Client or str, optional
        Or the address of a scheduler; by default the client that was made last.
    shards : int, optional
        By default the number of workers.
    epochs, batch_size : int
    validation : (X, Y), optional
        Scored exactly after every epoch, by the shards: P@1, P@3, P@5.
    early_stopping : int or EarlyStopping, optional
        As for `Network.fit`. Every shard keeps its part of the best weights.
    checkpoint : path-like, optional
        A directory that all workers and the client can read and write. A shard whose worker dies comes back from its last file and from
        what was sent since, which the client holds. If the client dies, the same call goes on from the directory. By default a worker
        that dies ends the training, and the network is as before.
    checkpoint_steps : int
        Steps between two checkpoints.
    callbacks : sequence
        See `nn.callbacks`; during the training the network that they get has no output weights.
    steps_per_epoch : int, optional
        With chunks, for a learning-rate schedule that has to know the length of the run.
    micro_batch_size : int, optional
        Gradient accumulation, as for `Network.fit`: a worker holds the logits of so many rows at a time, and takes one step for the batch.
        A message goes to and from each shard for every such part.

    Returns
    -------
    History
        With ``shards``, ``lost_shards``, ``bytes_sent`` and ``bytes_received``; ``time_split`` has the share of ``messages``, in which the
        client waits and no shard computes.

    Raises
    ------
    ValueError
        A sampler that needs all weights in one place.
    TypeError
        An output layer that is compressed. Hidden layers may be.
    RuntimeError
        Another call trains this network now.

    Notes
    -----
    The network is held until the call returns, since its output weights are on the workers: predictions, `Network.save` and steps of
    training in other threads wait until then. A callback must not wait for such a thread.

    With one shard the result has the same bits as `Network.fit`. With more, sums over outputs are made in another order, so results
    agree to the rounding of float32, which grows from step to step: tests allow 1e-3 in a weight after 15 steps. They depend on the number
    of shards, not on that of workers, and not on workers that die. Samplers with tables, or with candidates for each sample, draw other
    candidates then: each shard draws its part from its own rows, with tables of these, where there are tables, of the same K and L.
    """
    check = functools.partial(_check, network)
    check_matrix(network.output, "whose rows share cells and cannot be in shards: train it on one machine, with Network.fit")
    if network.regularizer is not None:
        raise ValueError(f"regularizer={network.regularizer!r} needs the output rows of a step in one place, and these are in shards: "
                         "leave it out, or train on one machine, with Network.fit")
    client = client_of(client)
    network.output.sampler.of_shard(0, 1)  # refuses what cannot be in shards
    epochs, batch_size = check_int("epochs", epochs, low=1), check_int("batch_size", batch_size, low=1)
    micro = 0 if micro_batch_size is None else check_int("micro_batch_size", micro_batch_size, low=1)
    every = check_int("checkpoint_steps", checkpoint_steps, low=1)
    workers = workers_of(client)
    shards = min(len(workers), network.n_outputs) if shards is None else check_int("shards", shards, low=1, high=network.n_outputs)
    if hasattr(X, "dask"):
        X, Y = ArrayChunks(X, Y, client), None
    elif Y is None and isinstance(X, list | tuple) and X and all(hasattr(pair, "dask") for pair in X):
        X = DelayedChunks(X, client)
    if Y is None:
        source: Whole | Chunks = Chunks(X, check, epochs, steps_per_epoch, network.lr_schedule)
    else:
        source = Whole(*check(X, Y))
        check_labelled(source.Y)
    if validation is not None:
        validation = check(*check_pair("validation", validation))[:2]
    listeners = loop.make_listeners(callbacks, early_stopping, validated=validation is not None)
    for callback in (*listeners.callbacks, *listeners.savers):
        if getattr(callback, "needs_weights", False):
            raise ValueError(f"{type(callback).__name__} takes the output weights, which are on the workers: leave it out, and give "
                             "checkpoint=DIRECTORY to save the training")
    progress = Progress(network.epoch, epochs, batch_size, source.samples or 0, 0 if checkpoint is None else source.mark(),
                        first_step=network.step, micro_batch_size=micro)
    found = None
    if checkpoint is not None:
        checkpoint = os.path.abspath(checkpoint)
        model_settings(network)  # refuses what a file cannot hold
        os.makedirs(checkpoint, exist_ok=True)
        found = find_checkpoint(checkpoint, network, progress)
    sampler = network.output.sampler
    before = {name: array.copy() for name, array in parameter_arrays(network.parameters()).items() if not name.startswith("output.")}
    place, sampler_back = (network.step, network.epoch), remember(sampler)
    names = None
    if found is not None:
        names = [os.path.join(str(checkpoint), name) for name in found.settings["files"]]
        progress = found.progress
        progress.epochs, progress.done = epochs, progress.done and epochs <= progress.epochs
        shards = len(names)
    output = ShardedOutput(network.output, client, shards, checkpoint is not None, names)
    model = ShardedNetwork(network, output)
    try:
        if found is not None:
            restore_parameters(model.parameters(), found.arrays)
            model.step, model.epoch = found.settings["step"], found.settings["epoch"]
            if found.sampler:
                restore(sampler, found.sampler, "sampler")
        listeners.notify("on_fit_begin", model, {"epochs": epochs, "batches": source.batches(batch_size), "batch_size": batch_size,
                                                 **source.logs()})
        if checkpoint is not None:
            saver = Saver(checkpoint, every, model, progress, listeners.callbacks)
            listeners = loop.Listeners(listeners.callbacks, (saver,))
            if found is None:
                saver.save()
            else:
                load_callbacks(listeners.callbacks, found.callbacks, saver.path)
        work = source.work(lambda X, n: work_of(network, X, n), batch_size)
        with compute_threads(int(min(work, 2**62))):
            history = loop.train(model, source, progress, listeners=listeners, lock=network.lock,
                                 validate=None if validation is None else lambda: model.evaluate(*validation))
        output.collect()
    except BaseException as error:
        try:
            if not isinstance(error, FloatingPointError | KeyboardInterrupt):
                raise error
            output.collect()  # as Network.fit: the state after the last whole step
        except BaseException:
            restore_parameters(model.parameters(), before)
            network.step, network.epoch = place
            sampler_back()
            raise
        raise
    finally:
        output.shards.close()
    if output.samplers[0] is not None:
        network.rehash()
    return history


def fit_auto(network: Network, X: Any, Y: Any, *, epochs: int | None = None, batch_size: int = 256, held_out: float = 0.1,
             callbacks: Sequence = (), **options: Any) -> dict[str, Any]:
    """As `Network.fit_auto`, where the workers of a cluster train the network.

    The client has all rows, and trains what ranks the outputs when the weights are back. So it takes as long for that as one machine does.

    Parameters
    ----------
    network : Network
    X, Y
        As for `Network.fit_auto`: rows at hand, not chunks.
    epochs, batch_size, held_out, callbacks
        As there.
    **options
        Of `mongoose_nb.distributed.fit`, such as ``client`` and ``checkpoint``.

    Returns
    -------
    dict
        As `Network.fit_auto`.
    """
    check_network(network)
    X, Y, _ = _check(network, X, Y)
    check_labelled(Y)
    return auto.fit_auto(network, X, Y, epochs=epochs, batch_size=batch_size, held_out=held_out, callbacks=callbacks,
                         fit=functools.partial(fit, network), **options)


def _check(network, X, Y, weight=None):
    """Rows, labels and weights in canonical form, without rows of weight 0."""
    from mongoose_nb.data.indicator import check_Y
    from mongoose_nb.data.validate import check_same_rows, check_weights

    X = network.rows(X)
    Y = check_Y(Y, n_outputs=network.n_outputs, n_rows=X.shape[0])
    check_same_rows(X, Y)
    if weight is None:
        return X, Y, None
    weight = check_weights(weight, X.shape[0])
    return X[weight > 0], Y[weight > 0], weight[weight > 0]


def work_of(network: Network, X: Any, n_rows: int) -> float:
    """Multiplications of the hidden layers for so many rows of X, about."""
    work, width = 0.0, X.nnz / max(1, X.shape[0])
    for layer in network.layers:
        work += width * layer.n_outputs
        width = layer.n_outputs
    return min(n_rows, X.shape[0]) * work
