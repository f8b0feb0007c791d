"""The training loop, of networks and of language models.

::

    train          the epochs that are left: train_epoch, validation, history, callbacks
    train_epoch    the batches of one epoch: train_step, sums, callbacks
    train_step     loss and gradients, optimiser, hash tables

What is trained has ``step`` and ``epoch`` (counts), ``optimizer``, ``lr_schedule``, ``clip_norm``, ``n_outputs``, ``parameters()``, and

- ``loss_and_gradients(*data, run=run)``: the mean loss of a batch, and its gradients by name;
- ``weight_of(*data)``: how much the batch counts in the mean over an epoch; None for its number of samples;
- ``after_update(run, gradients)``: called after the step of the optimiser;
- ``counts()``: figures of the last step, such as ``active``, the outputs that it computed;
- ``report()``: figures for the entry of an epoch.

Where the batches come from is a source of `nn.training.batches`.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import numpy as np

from mongoose_nb.core.validation import check_list
from mongoose_nb.nn.layers.base import Run
from mongoose_nb.nn.layers.gradients import apply_gradients
from mongoose_nb.nn.training.batches import Batch, Source
from mongoose_nb.nn.training.callbacks import Checkpoint, EarlyStopping, History, ProgressBar, as_callback, notify
from mongoose_nb.nn.training.finite import NotFiniteError
from mongoose_nb.nn.training.lines import epoch_line
from mongoose_nb.nn.training.progress import Progress
from mongoose_nb.nn.training.timing import PhaseTimer

# Of every epoch it gets a line, at INFO.
LOGGER = logging.getLogger("mongoose_nb")


class Listeners(NamedTuple):
    """Callbacks, and those that save the model. Savers are called last, so that they save the state of the other callbacks."""

    callbacks: tuple = ()
    savers: tuple = ()

    def notify(self, event: str, model: Any, logs: Any) -> bool:
        """Call all; True if a callback requests a stop."""
        stop = bool(self.callbacks) and notify(self.callbacks, event, model, logs)
        return notify(self.savers, event, model, logs) or stop


def make_listeners(callbacks: Sequence, early_stopping: Any = None, verbose: int = 0, *, validated: bool = False,
                   monitor: str = "P@1") -> Listeners:
    """The listeners of a training, from the arguments of ``fit``.

    Parameters
    ----------
    callbacks : sequence
    early_stopping : int or EarlyStopping, optional
        Epochs to wait for a better `monitor`.
    verbose : int
    validated : bool
        Whether there are validation data.
    monitor : str
    """
    callbacks = [as_callback(callback) for callback in check_list("callbacks", callbacks, "callbacks, such as [nn.Checkpoint(path)]")]
    savers = [callback for callback in callbacks if isinstance(callback, Checkpoint)]
    callbacks = [callback for callback in callbacks if not isinstance(callback, Checkpoint)]
    if early_stopping is not None:
        if not validated:
            raise ValueError("early_stopping needs validation data: give validation=")
        given = isinstance(early_stopping, EarlyStopping)
        callbacks.append(early_stopping if given else EarlyStopping(monitor, early_stopping))
    if verbose:
        callbacks.append(ProgressBar())
    return Listeners(callbacks, savers)


def train(model: Any, source: Source, progress: Progress, *, listeners: Listeners, validate: Callable[[], dict] | None = None,
          lock: AbstractContextManager | None = None) -> History:
    """Run the epochs that are left.

    Parameters
    ----------
    model : Network, ReformerLM or the like
    source : Source
    progress : Progress
        The position of the training; updated.
    listeners : Listeners
    validate : callable, optional
        ``validate()`` gives scores for the entry of an epoch.
    lock : context manager, optional
        Held for a step at a time, so that predictions of other threads come in between; callbacks are called outside of it.

    Returns
    -------
    History
    """
    lock = contextlib.nullcontext() if lock is None else lock
    progress.history = history = History(progress.history)
    left = 0 if progress.stopped or progress.done else progress.first_epoch + progress.epochs - model.epoch
    total_steps = progress.first_step + progress.epochs * (source.batches(progress.batch_size) or 0)
    for _ in range(left):
        entry, progress.stopped = train_epoch(model, source, progress, total_steps, listeners, lock)
        if validate is not None:
            entry.update(validate())
        history.append(entry)
        LOGGER.info(epoch_line(entry, progress.first_epoch + progress.epochs))
        progress.stopped |= notify(listeners.callbacks, "on_epoch_end", model, entry)
        progress.stopped |= notify(listeners.savers, "on_epoch_end", model, entry)
        if progress.stopped:
            break
    notify(listeners.callbacks, "on_fit_end", model, history)
    progress.done = True
    notify(listeners.savers, "on_fit_end", model, history)
    return history


def train_epoch(model: Any, source: Source, progress: Progress, total_steps: int, listeners: Listeners,
                lock: AbstractContextManager) -> tuple[dict, bool]:
    """Train on the remaining batches of an epoch; returns the entry of the history, and whether a callback requested a stop."""
    timer, stop = PhaseTimer(), False
    timer.seconds.update(progress.phases)
    progress.phases = timer.seconds
    progress.start()
    for batch in source.epoch(model, progress):
        with lock:
            loss = train_step(model, batch, timer, total_steps, progress.skip, progress.micro_batch_size)
        progress.batch += 1
        progress.seen += batch.samples
        if loss is None:
            progress.skipped += batch.samples
            continue
        counts = model.counts()
        share = counts.get("active", model.n_outputs) / model.n_outputs
        weight = model.weight_of(*batch.data)
        weight = batch.samples if weight is None else weight
        progress.weight += weight
        progress.loss += loss * weight
        progress.active += share * batch.samples
        for name, value in counts.items():
            progress.counts[name] = progress.counts.get(name, 0.0) + float(value) * batch.samples
        logs = {"epoch": model.epoch + 1, "batch": progress.batch - 1, "loss": loss, "samples": batch.samples, "weight": weight,
                "active_share": share}
        if listeners.callbacks and notify(listeners.callbacks, "on_batch_end", model, logs):
            stop = True
            break
        notify(listeners.savers, "on_batch_end", model, logs)
    progress.tick()
    n = progress.seen - progress.skipped
    if n == 0:
        raise FloatingPointError(f"no batch of epoch {model.epoch + 1} has a finite loss, and all were left out (nonfinite='skip'): "
                                 "scale the data, or lower the learning rate")
    model.epoch += 1
    entry = {"epoch": model.epoch, "step": model.step, "loss": progress.loss / (progress.weight or 1.0), "seconds": progress.seconds,
             "samples_per_s": n / progress.seconds, **source.report(progress), "active_share": progress.active / n,
             **{name: value / n for name, value in progress.counts.items()}, **model.report(), "time_split": timer.shares()}
    if progress.skipped:
        entry["skipped"] = progress.skipped
    progress.begin_epoch()
    return entry, stop


def train_step(model: Any, batch: Batch, timer: PhaseTimer, total_steps: int, skip: bool = False,
               micro_batch_size: int = 0) -> float | None:
    """One step of the optimiser; the mean loss, or None with `skip` where the batch made it not finite, and nothing was changed."""
    rate = model.lr_schedule(model.step, total_steps)
    run = Run(model.step, timer=timer, clip=model.clip_norm is not None, rate=rate, micro_batch_size=micro_batch_size)
    try:
        with np.errstate(over="ignore", invalid="ignore"):  # the outcome is looked at
            loss, gradients = model.loss_and_gradients(*batch.data, run=run)
    except FloatingPointError as error:
        batch_is_to_blame = isinstance(error, NotFiniteError) and not error.blame
        if skip and batch_is_to_blame:
            return None
        other = ", or leave out such batches with nonfinite='skip'" if batch_is_to_blame else ""
        failed = "" if isinstance(error, NotFiniteError) else f"step {model.step} failed: "
        raise FloatingPointError(f"{failed}{error}; the weights are as before this step: lower the learning rate "
                                 f"(now {model.optimizer.lr:g}) or set clip_norm{other}") from error
    if model.weight_of(*batch.data) == 0:  # no sample counts: momentum must not move the weights
        model.step += 1
        return loss
    with timer("update"):
        apply_gradients(model.parameters(), gradients, model.optimizer, model.step, rate, model.clip_norm)
    model.after_update(run, gradients)
    model.step += 1
    return loss
