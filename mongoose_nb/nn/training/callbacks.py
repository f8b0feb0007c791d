"""Callbacks of training, and what a run leaves behind.

A callback is an object with any of ``on_fit_begin(network, logs)``, ``on_batch_end(network, logs)``, ``on_epoch_end(network,
logs)`` and ``on_fit_end(network, logs)``, or a function, which is called as ``on_epoch_end``. One that returns True ends the
training. One that derives from `Callback` and names its `saved_state` goes on where it stood when a training is resumed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from typing import Any

from mongoose_nb.core.registry import Registered, register
from mongoose_nb.core.saving import Stateful, join, split
from mongoose_nb.core.validation import check_int, check_number


class Callback(Registered, Stateful, kind="callback"):
    """Does nothing; a base for callbacks.

    What `saved_state` names (see `mongoose_nb.core.saving.Stateful`) is saved in checkpoints, and put back after ``on_fit_begin`` of the
    training that goes on.
    """

    #: whether it takes the output weights, which are not in one place while a network is trained on a cluster
    needs_weights = False

    def on_fit_begin(self, network: Any, logs: Any) -> None:
        """Before the first batch; `logs` has epochs, batches and samples (per epoch), batch_size, and the training data X, Y (CSR)."""

    def on_batch_end(self, network: Any, logs: Any) -> bool | None:
        """After every step; `logs` has epoch (from 1), batch (from 0), loss, samples, active_share, and the weight of the samples
        in the loss, which is their number where each has a label and none has a weight."""

    def on_epoch_end(self, network: Any, logs: Any) -> bool | None:
        """After every epoch; `logs` is the new entry of the history."""

    def on_fit_end(self, network: Any, logs: Any) -> None:
        """After the last epoch; `logs` is the whole history."""


class FunctionCallback(Callback):
    """A plain function as ``on_epoch_end``."""

    def __init__(self, function: Callable) -> None:
        self.function = function

    def on_epoch_end(self, network: Any, logs: Any) -> bool | None:
        """Call the function."""
        return self.function(network, logs)


@register("callback", "early stopping")
class EarlyStopping(Callback):
    """Stop when a score of the validation set has not improved for a while.

    Parameters
    ----------
    monitor : str
        Name in the epoch's log, larger is better (``"loss"``: smaller is better).
    patience : int
        Epochs without improvement to wait.
    min_delta : float
        Least change that counts.
    restore_best : bool
        Put the best weights back at the end; takes a second copy of the weights.
    """

    saved_state = ("best", "best_epoch", "_waited", "_weights", "_watched")

    def __init__(self, monitor: str = "P@1", patience: int = 3, *, min_delta: float = 0.0, restore_best: bool = True) -> None:
        self.monitor = monitor
        self.patience = check_int("patience", patience, low=0)
        self.min_delta = check_number("min_delta", min_delta, low=0.0)
        self.restore_best = restore_best

    def on_fit_begin(self, network: Any, logs: Any) -> None:
        """Forget earlier runs."""
        self._network = network
        self._forget()

    def _forget(self):
        self.best, self.best_epoch, self._waited, self._weights, self._watched = None, None, 0, None, self.monitor

    def on_epoch_end(self, network: Any, logs: Any) -> bool | None:
        """Compare, remember, or stop."""
        if self.monitor not in logs:
            raise ValueError(f"EarlyStopping watches {self.monitor!r}, but the log has {sorted(logs)}; "
                             "give fit a validation set, or watch another entry")
        value = -logs[self.monitor] if self.monitor == "loss" else logs[self.monitor]
        if self.best is None or value > self.best + self.min_delta:
            self.best, self.best_epoch, self._waited = value, logs["epoch"], 0
            if self.restore_best:
                self._weights = join({}, network.copy_weights())
            return False
        self._waited += 1
        return self._waited > self.patience

    def on_fit_end(self, network: Any, logs: Any) -> None:
        """Bring the best weights back."""
        if self._weights is not None:
            network.put_back(split(self._weights)[1])
            self._weights = None
        self._network = None

    def state_restored(self) -> None:
        """Go on counting, unless another score was watched."""
        if self._watched != self.monitor or self.best is None:
            self._forget()
            return
        self.best = check_number("best", self.best)
        self.best_epoch = check_int("best_epoch", self.best_epoch, low=0)
        self._waited = check_int("waited", self._waited, low=0)
        own = None
        if self.restore_best:  # the arrays that there are; a model may keep others elsewhere
            own = join({}, {name: parameter.value.copy() for name, parameter in self._network.parameters().items()})
        if self._weights is not None and own is not None:  # else a call that ended has put the best weights back
            arrays, saved = split(own)[1], split(self._weights)[1]
            for name, array in arrays.items():
                if saved[name].squeeze().shape != array.squeeze().shape:
                    raise ValueError(f"the best weights saved for {name!r} have shape {saved[name].shape}; needed is {array.shape}")
                array[...] = saved[name].reshape(array.shape)
        self._weights = own


@register("callback", "json lines")
class JSONLines(Callback):
    """Append every epoch's log to a file, one JSON object per line.

    Parameters
    ----------
    path : path-like
    """

    saved_state = ("size",)

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = os.fspath(path)

    def on_fit_begin(self, network: Any, logs: Any) -> None:
        """Refuse now a file that cannot be written later."""
        with open(self.path, "a", encoding="utf-8"):
            pass

    def on_epoch_end(self, network: Any, logs: Any) -> None:
        """Write one line."""
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(logs) + "\n")

    @property
    def size(self) -> int:
        """How long the file is, in bytes."""
        return os.path.getsize(self.path) if os.path.exists(self.path) else 0

    @size.setter
    def size(self, value: Any) -> None:
        """Remove what was written after the checkpoint: it will be written again."""
        if 0 <= value < self.size:
            os.truncate(self.path, value)


@register("callback", "checkpoint")
class Checkpoint(Callback):
    """Save the network after every epoch, with all that ``fit(..., resume=path)`` takes to go on as if nothing had happened.

    A file is complete or not there, and replaces the one before only when it is on disk, so the process may be killed at any moment.

    Parameters
    ----------
    path : path-like
    every : int, optional
        Also every so many steps.
    keep : int
        Versions to keep: the one before as ``path.1``, and so on.

    Notes
    -----
    The file holds the weights, the optimiser's moments, hash functions and tables, the state of the rehash schedule, the position in the
    data, the history, and the states of the other callbacks: `EarlyStopping` goes on counting, and `JSONLines` removes the lines that
    were written after the checkpoint. Randomness needs no state: it is keyed by seed and step. Checkpoints are called last, wherever
    they are in the list.

    Examples
    --------
    ::

        net = Network(n_features, n_labels, seed=0)
        net.fit(X, Y, epochs=10, callbacks=[nn.Checkpoint("run.ckpt", every=500)], resume="run.ckpt")

    may be killed and run again any number of times.
    """

    needs_weights = True

    def __init__(self, path: str | os.PathLike, *, every: int | None = None, keep: int = 1) -> None:
        self.path = os.fspath(path)
        self.every = None if every is None else check_int("every", every, low=1)
        self.keep = check_int("keep", keep, low=1, high=1000)

    def save(self, network: Any) -> None:
        """Write the file."""
        network.checkpoint(self.path, self.keep)

    def on_fit_begin(self, network: Any, logs: Any) -> None:
        """Refuse now what cannot be saved later, and remove what a killed process left of a file."""
        from mongoose_nb.core.files import remove_leftovers
        from mongoose_nb.core.outputs import check_file

        check_file("Checkpoint: path", self.path)
        network.check_saveable()
        remove_leftovers(self.path)

    def on_batch_end(self, network: Any, logs: Any) -> None:
        """Save when it is time to."""
        if self.every is not None and network.step % self.every == 0:
            self.save(network)

    def on_epoch_end(self, network: Any, logs: Any) -> None:
        """Save."""
        self.save(network)

    def on_fit_end(self, network: Any, logs: Any) -> None:
        """Save what the other callbacks left, such as the best weights."""
        self.save(network)


@register("callback", "progress bar")
class ProgressBar(Callback):
    """A bar per epoch with loss, active outputs, samples/s and the time split. Needs tqdm, the extra ``progress``."""

    def on_fit_begin(self, network: Any, logs: Any) -> None:
        """Note the size of the run."""
        try:
            from tqdm.auto import tqdm
        except ImportError:
            raise ImportError("the progress bar needs tqdm: pip install 'mongoose_nb[progress]'") from None
        self._tqdm, self._run, self._bar = tqdm, logs, None

    def on_batch_end(self, network: Any, logs: Any) -> None:
        """Move the bar."""
        if self._bar is None:
            self._bar = self._tqdm(total=self._run["samples"], unit="sample", leave=True,
                                   desc=f"epoch {logs['epoch']}", mininterval=0.5, initial=logs["batch"] * self._run["batch_size"])
        self._bar.update(logs["samples"])
        self._bar.set_postfix(loss=f"{logs['loss']:.3f}", active=f"{logs['active_share']:.1%}", refresh=False)

    def on_epoch_end(self, network: Any, logs: Any) -> None:
        """Finish the bar with the epoch's scores."""
        if self._bar is not None:
            split = " ".join(f"{k} {v:.0%}" for k, v in logs["time_split"].items() if v >= 0.005)
            score = {"P@1": f"{logs['P@1']:.4f}"} if "P@1" in logs else {}
            self._bar.set_postfix(loss=f"{logs['loss']:.3f}", **score, active=f"{logs['active_share']:.1%}", time=split)
            self._bar.close()
            self._bar = None


class History(list):
    """One dict per epoch: epoch, loss, seconds, samples_per_s, active counts, time_split, and scores of the validation set.

    Parameters
    ----------
    iterable : iterable of dict, optional
        The first entries.
    """

    def column(self, name: str) -> list:
        """The values of one entry over the epochs."""
        return [entry[name] for entry in self]


def as_callback(callback: Any) -> Any:
    """A callback object from an object or a function."""
    if isinstance(callback, type) or not (callable(callback) or any(hasattr(callback, f"on_{e}") for e in
                                          ("fit_begin", "batch_end", "epoch_end", "fit_end"))):
        raise TypeError(f"callbacks must be functions or Callback objects; got {callback!r}")
    if any(hasattr(callback, f"on_{e}") for e in ("fit_begin", "batch_end", "epoch_end", "fit_end")):
        return callback
    return FunctionCallback(callback)


def notify(callbacks: Sequence, event: str, network: Any, logs: Any) -> bool:
    """Call all callbacks; True if one of them stops the training."""
    stop = False
    for callback in callbacks:
        stop = bool(getattr(callback, event, lambda network, logs: False)(network, logs)) or stop
    return stop
