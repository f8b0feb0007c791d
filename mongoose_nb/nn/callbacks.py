"""Callbacks of training, and what a run leaves behind.

A callback is an object with any of ``on_fit_begin(network, logs)``, ``on_batch_end(network, logs)``, ``on_epoch_end(network,
logs)`` and ``on_fit_end(network, logs)``, or a function, which is called as ``on_epoch_end``. One that returns True ends the
training.
"""

import json
import os

from mongoose_nb.errors import check_int, check_number


class Callback:
    """Does nothing; a base for callbacks."""

    def on_fit_begin(self, network, logs):
        """Before the first batch; `logs` has epochs, batches and samples (per epoch), batch_size, and the training data X, Y (CSR)."""

    def on_batch_end(self, network, logs):
        """After every step; `logs` has epoch (from 1), batch (from 0), loss, samples and active_share."""

    def on_epoch_end(self, network, logs):
        """After every epoch; `logs` is the new entry of the history."""

    def on_fit_end(self, network, logs):
        """After the last epoch; `logs` is the whole history."""


class FunctionCallback(Callback):
    """A plain function as ``on_epoch_end``."""

    def __init__(self, function):
        self.on_epoch_end = function


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

    def __init__(self, monitor="P@1", patience=3, *, min_delta=0.0, restore_best=True):
        self.monitor = monitor
        self.patience = check_int("patience", patience, low=0)
        self.min_delta = check_number("min_delta", min_delta, low=0.0)
        self.restore_best = restore_best

    def on_fit_begin(self, network, logs):
        """Forget earlier runs."""
        self.best, self.best_epoch, self._waited, self._weights = None, None, 0, None

    def on_epoch_end(self, network, logs):
        """Compare, remember, or stop."""
        if self.monitor not in logs:
            raise ValueError(f"EarlyStopping watches {self.monitor!r}, but the log has {sorted(logs)}; "
                             "give fit a validation set, or watch another entry")
        value = -logs[self.monitor] if self.monitor == "loss" else logs[self.monitor]
        if self.best is None or value > self.best + self.min_delta:
            self.best, self.best_epoch, self._waited = value, logs["epoch"], 0
            if self.restore_best:
                self._weights = {name: p.value.copy() for name, p in network.parameters().items()}
            return False
        self._waited += 1
        return self._waited > self.patience

    def on_fit_end(self, network, logs):
        """Bring the best weights back."""
        if self._weights is not None:
            for name, parameter in network.parameters().items():
                parameter.value[...] = self._weights[name]
            self._weights = None
            network.rehash()


class JSONLines(Callback):
    """Append every epoch's log to a file, one JSON object a line."""

    def __init__(self, path):
        self.path = os.fspath(path)

    def on_epoch_end(self, network, logs):
        """Write one line."""
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(logs) + "\n")


class Checkpoint(Callback):
    """Save the network after every epoch."""

    def __init__(self, path):
        self.path = os.fspath(path)

    def on_epoch_end(self, network, logs):
        """Save, replacing the file as a whole."""
        network.save(self.path)


class ProgressBar(Callback):
    """A bar per epoch with loss, active outputs, samples/s and the time split. Needs tqdm, the extra ``progress``."""

    def on_fit_begin(self, network, logs):
        """Note the size of the run."""
        try:
            from tqdm.auto import tqdm
        except ImportError:
            raise ImportError("the progress bar needs tqdm: pip install 'mongoose_nb[progress]'") from None
        self._tqdm, self._run, self._bar = tqdm, logs, None

    def on_batch_end(self, network, logs):
        """Move the bar."""
        if self._bar is None:
            self._bar = self._tqdm(total=self._run["samples"], unit="sample", leave=True,
                                   desc=f"epoch {logs['epoch']}", mininterval=0.5)
        self._bar.update(logs["samples"])
        self._bar.set_postfix(loss=f"{logs['loss']:.3f}", active=f"{logs['active_share']:.1%}", refresh=False)

    def on_epoch_end(self, network, logs):
        """Finish the bar with the epoch's scores."""
        if self._bar is not None:
            split = " ".join(f"{k} {v:.0%}" for k, v in logs["time_split"].items() if v >= 0.005)
            score = {"P@1": f"{logs['P@1']:.4f}"} if "P@1" in logs else {}
            self._bar.set_postfix(loss=f"{logs['loss']:.3f}", **score, active=f"{logs['active_share']:.1%}", time=split)
            self._bar.close()
            self._bar = None


class History(list):
    """One dict per epoch: epoch, loss, seconds, samples_per_s, active counts, time_split, and scores of the validation set."""

    def column(self, name):
        """The values of one entry over the epochs."""
        return [entry[name] for entry in self]


def as_callback(callback):
    """A callback object from an object or a function."""
    if isinstance(callback, type) or not (callable(callback) or any(hasattr(callback, f"on_{e}") for e in
                                          ("fit_begin", "batch_end", "epoch_end", "fit_end"))):
        raise TypeError(f"callbacks must be functions or Callback objects; got {callback!r}")
    if any(hasattr(callback, f"on_{e}") for e in ("fit_begin", "batch_end", "epoch_end", "fit_end")):
        return callback
    return FunctionCallback(callback)


def notify(callbacks, event, network, logs):
    """Tell all callbacks; True if one asks to stop."""
    stop = False
    for callback in callbacks:
        stop = bool(getattr(callback, event, lambda network, logs: False)(network, logs)) or stop
    return stop
