"""How a `Network` is trained: steps, parts, epochs. Each function takes the network and moves it on.

    train_epochs -> train_epoch -> _train_part -> train_batch

The network is held by its lock for a step at a time, so that predictions come in between; callbacks are told outside of it.
"""

import math

import numpy as np

from mongoose_nb.core.arrays import Rows
from mongoose_nb.nn.training.callbacks import History, notify
from mongoose_nb.nn.training.finite import LARGEST_GRADIENT, find_not_finite, largest
from mongoose_nb.nn.training.timing import PhaseTimer


def train_batch(network, x, labels, timer, total_steps, skip=False, peak=0.0):
    """One optimiser step; returns the mean loss. With `skip`, None and no step where the batch makes it not finite. No value of the
    data is beyond `peak`."""
    reason, losses, inputs = None, np.zeros(len(labels), np.float32), []
    try:
        with np.errstate(over="ignore", invalid="ignore"):  # the outcome is looked at below
            h = network._forward(x, True, timer, inputs)
            losses, grad = network.output.loss(h, labels, network.step, timer, network.clip_norm is not None)
            loss = float(losses.mean(dtype=np.float64))
    except FloatingPointError as error:  # what cannot be hashed
        reason, loss = error, math.nan
    if not math.isfinite(loss):
        return _not_finite(network, "loss", losses, find_not_finite(network, x), skip, reason)
    # a loss may be finite where the gradient is not, or is not any more when the optimiser squares it
    if not largest(h) < LARGEST_GRADIENT:
        return _not_finite(network, "gradient", losses, ("output", f"activations of up to {largest(h):.3g}", False), skip)
    with timer("backward"):
        for i in range(len(network.layers) - 1, -1, -1):
            bound = len(losses) * largest(grad)
            if not (bound * (peak if i == 0 else largest(inputs[i])) < LARGEST_GRADIENT
                    or i == 0 and bound * largest(inputs[0]) < LARGEST_GRADIENT):  # few rows may hold the peak
                what = f"values of up to {largest(inputs[i]):.3g} meet gradients of up to {largest(grad):.3g}"
                return _not_finite(network, "gradient", losses, (f"hidden{i}", what, False), skip)
            grad = network.layers[i].backward(grad, need_input=i > 0)
    with timer("update"):
        stack = [*network.layers, network.output]
        scale = 1.0
        if network.clip_norm is not None:
            norm = float(np.sqrt(sum(layer.square_norm() for layer in stack)))
            scale = min(1.0, network.clip_norm / max(norm, 1e-30))
        rate = network.lr_schedule(network.step, total_steps)
        constants = network.optimizer.constants(network.step + 1, rate, scale)
        bias_constants = network.optimizer.constants(network.step + 1, rate, scale, decay=False)
        for layer in stack:
            layer.update(network.optimizer.method, constants, bias_constants)
    for name, layer in network._sampled_layers().items():
        try:
            layer.sampler.after_update(network.step, timer, layer.touched)
        except FloatingPointError as error:
            raise FloatingPointError(f"{error} (layer {name}, at step {network.step})") from error
    network.step += 1
    return loss


def _not_finite(network, quantity, losses, found, skip, reason=None):
    """Say which layer made the loss or the gradient something else than a number, and why; None where that may be skipped."""
    layer, what, blame = found
    if skip and not blame:
        return None
    bad = np.flatnonzero(~np.isfinite(losses))
    where = f" ({len(bad)} of {len(losses)} samples of the batch, first at place {bad[0]})" if len(bad) else ""
    other = "" if blame else ", or leave out such batches with nonfinite='skip'"
    raise FloatingPointError(f"the {quantity} is not finite at step {network.step}{where}: {what}, in layer {layer}; the weights are as "
                             f"before this step: lower the learning rate (now {network.optimizer.lr:g}) or set clip_norm{other}"
                             ) from reason


def train_epoch(network, parts, progress, total_steps, callbacks=(), savers=()):
    """The batches of one epoch from where `progress` stands; the entry of the history, and whether a callback asked to stop."""
    timer = PhaseTimer()
    timer.seconds.update(progress.phases)
    progress.phases, stop = timer.seconds, False
    progress.start()
    for part, (X, Y) in enumerate(parts):
        if part < progress.part:
            continue
        stop = _train_part(network, X, Y, part, progress, timer, total_steps, callbacks, savers)
        if stop:
            break
    progress.tick()
    skipped, n, counts = progress.skipped, progress.seen - progress.skipped, progress.counts
    if n == 0:
        raise FloatingPointError(f"no batch of epoch {network.epoch + 1} has a finite loss, and all were left out (nonfinite='skip'): "
                                 "scale the data, or lower the learning rate")
    network.epoch += 1
    entry = {"epoch": network.epoch, "step": network.step, "loss": progress.loss / n, "seconds": progress.seconds,
             "samples_per_s": n / progress.seconds, "active_share": progress.active / n, **{k: v / n for k, v in counts.items()},
             **network.output.sampler.report(), "time_split": timer.shares()}
    if skipped:
        entry["skipped"] = skipped
    progress.begin_epoch()
    return entry, stop


def _train_part(network, X, Y, part, progress, timer, total_steps, callbacks, savers):
    """The batches of rows that are at hand together, in an order of their own; whether a callback asked to stop."""
    n, batch_size, counts, peak = X.shape[0], progress.batch_size, progress.counts, largest(X.data)
    key = [network.seed, 1, network.epoch] + [part] * (part > 0)
    order = np.random.Generator(np.random.Philox(np.random.SeedSequence(key))).permutation(n)
    for lo in range(progress.batch * batch_size, n, batch_size):
        rows = order[lo:lo + batch_size]
        with network._lock:
            loss = train_batch(network, Rows.of(X, rows), Rows.of(Y, rows), timer, total_steps, progress.skip, peak)
        progress.batch += 1
        progress.seen += len(rows)
        if loss is None:
            progress.skipped += len(rows)
            continue
        progress.loss += loss * len(rows)
        seen = network.output.sampler.counts()
        share = seen.get("active", network.n_outputs) / network.n_outputs
        progress.active += share * len(rows)
        for name, value in seen.items():
            counts[name] = counts.get(name, 0.0) + float(value) * len(rows)
        logs = {"epoch": network.epoch + 1, "batch": progress.batch - 1, "loss": loss, "samples": len(rows), "active_share": share}
        if callbacks and notify(callbacks, "on_batch_end", network, logs):
            return True
        notify(savers, "on_batch_end", network, logs)
    progress.part, progress.batch = part + 1, 0
    return False


def train_epochs(network, parts, validation, progress, callbacks, savers):
    """The epochs that are left; the history of all. Savers are told last, so that they know what the others have made of it."""
    progress.history = history = History(progress.history)
    left = 0 if progress.stopped or progress.done else progress.first_epoch + progress.epochs - network.epoch
    total_steps = progress.first_step + progress.epochs * (parts.batches(progress.batch_size) or 0)
    for _ in range(left):
        entry, progress.stopped = train_epoch(network, parts, progress, total_steps, callbacks, savers)
        if validation is not None:
            entry.update(network.evaluate(*validation))
        history.append(entry)
        progress.stopped |= notify(callbacks, "on_epoch_end", network, entry)
        progress.stopped |= notify(savers, "on_epoch_end", network, entry)
        if progress.stopped:
            break
    return history
