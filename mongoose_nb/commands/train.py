"""`mongoose train`: train a network on files and write a run directory, from which it is used, compared and resumed."""

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib.util
import inspect
import os
import pathlib
import sys

from mongoose_nb.commands import runs
from mongoose_nb.commands.console import json_line, note, result
from mongoose_nb.commands.datasets import FORMATS, Known, data_files, read, split, table_in, widen, with_labels
from mongoose_nb.commands.options import OPTIONS, network_arguments, read_config
from mongoose_nb.commands.scores import show_scores
from mongoose_nb.commands.system import versions
from mongoose_nb.commands.warm import WIDTH, compiling, threads, warm_up
from mongoose_nb.core.outputs import check_directory, check_no_input
from mongoose_nb.core.registry import registered
from mongoose_nb.core.validation import check_choice
from mongoose_nb.data import Columns
from mongoose_nb.nn import Callback, Checkpoint, Diagnostics, EarlyStopping, JSONLines, Network, ProgressBar
from mongoose_nb.nn.auto import FEWEST, epochs_of, standardised
from mongoose_nb.nn.features import has_dense_columns
from mongoose_nb.nn.saving import model_settings
from mongoose_nb.nn.training.batches import default_epochs
from mongoose_nb.nn.training.lines import epoch_line

# Options that may be given with --resume. All others are fixed when the run begins.
RESUMABLE = ("epochs", "early_stopping", "save_every", "save_steps", "keep", "nonfinite", "test")
LOOP = ("epochs", "early_stopping", "save_every", "save_steps", "keep", "nonfinite")


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during training; the message says how to resume."""

# Lines about epochs that are written, at most.
LINES = 20


def run(args: argparse.Namespace) -> None:
    """Check everything, then train."""
    if args.scheduler is not None:
        from mongoose_nb.distributed.cluster import need_dask

        if not args.scheduler.strip():
            raise ValueError("--scheduler is empty; give the address of a Dask scheduler, such as tcp://host:8786")
        need_dask()
    with threads(args.threads), compiling() as clock:
        (_resume if args.resume is not None else _start)(args, clock)


# ------------------------------------------------------------------ settings


def _given(args):
    """Settings of the TOML file, overridden by the flags."""
    given = read_config(args.config, ("data", "out")) if args.config is not None else {}
    for name in (*OPTIONS, "data", "out"):
        if getattr(args, name) is not None:
            given[name] = getattr(args, name)
    for name, what in (("data", "the training data: mongoose train DATA --out RUN"),
                       ("out", "--out RUN, the directory to write")):
        if name not in given:
            raise ValueError(f"mongoose train needs {what}")
    return given


def _training_settings(given):
    """Settings of the loop, with the library's defaults."""
    defaults = inspect.signature(Network.fit).parameters
    out = {name: given.get(name, defaults[name].default) for name in ("epochs", "batch_size", "micro_batch_size")}
    out.update(early_stopping=given.get("early_stopping"), save_every=given.get("save_every", 1), save_steps=given.get("save_steps"),
               keep=given.get("keep", 1), nonfinite=given.get("nonfinite", "stop"), validation=given.get("validation"),
               batches=check_choice("--batches", given.get("batches", "uniform"), tuple(registered("batch sampler", "mongoose_nb."))),
               ranking=check_choice("--ranking", given.get("ranking", "auto"), ("auto", "none")))
    for name, low in (("epochs", 1), ("batch_size", 1), ("micro_batch_size", 1), ("early_stopping", 0), ("save_every", 0),
                      ("save_steps", 1), ("keep", 1)):
        if out[name] is not None and out[name] < low:
            raise ValueError(f"--{name.replace('_', '-')} must be at least {low}; got {out[name]}")
    if out["keep"] > 1000:
        raise ValueError(f"--keep must be at most 1000; got {out['keep']}")
    check_choice("--nonfinite", out["nonfinite"], ("stop", "skip"))
    if out["early_stopping"] is not None and out["validation"] is None:
        raise ValueError("--early-stopping needs --validation SHARE or --validation DATA: the test set must not choose the epoch")
    return out


# ------------------------------------------------------------------ data


class _Data:
    """Training, validation and test set of a run, and what settings.json says of them."""

    def __init__(self, given, seed):
        columns = Columns(given.get("text_column"), given.get("label_column"), given.get("label_separator"))
        common = {"format": given.get("format", "auto"), "columns": columns}
        train = read(given["data"], zero_based=given.get("zero_based"), **common)
        common.update(columns=train.columns, known=Known(train.names, train.text))
        sets = {"train": train}
        if isinstance(given.get("validation"), str):
            sets["validation"] = read(given["validation"], zero_based=train.zero_based, part="test", **common)
        if "test" in given:
            sets["test"] = read(given["test"], zero_based=train.zero_based, part="test", **common)
        elif train.format == "directory" and (train.text is None or table_in(given["data"], "test") is not None):
            sets["test"] = read(given["data"], part="test", **common)
        widen(list(sets.values()), given.get("n_features"), given.get("n_labels"))
        self.record = {name: dataset.describe() for name, dataset in sets.items()}
        self.X, self.Y, self.text, self.names = train.X, train.Y, train.text, train.names
        if given.get("label_names") is not None:
            self.names = read_names(given["label_names"])
        self.test = (sets["test"].X, sets["test"].Y) if "test" in sets else None
        self.validation = (sets["validation"].X, sets["validation"].Y) if "validation" in sets else None
        if isinstance(given.get("validation"), float):
            (self.X, self.Y), self.validation = split(train.X, train.Y, given["validation"], seed)
        for name in ("validation", "test"):
            if getattr(self, name) is not None:
                setattr(self, name, with_labels(*getattr(self, name), f"{name} set")[:2])

    def equip(self, network):
        """Give a network the names of its outputs, and what turns texts into rows."""
        if self.names is not None:
            network.label_names = self.names
        if self.text is not None:
            network.text = self.text
        return network

    def announce(self):
        """One line with the sizes."""
        held = "".join(f", {_rows(getattr(self, name)):,} {name} rows" for name in ("validation", "test") if getattr(self, name))
        note(f"{self.X.shape[0]:,} training rows{held}, {self.X.shape[1]:,} features, {self.Y.shape[1]:,} labels")


def read_names(path: str | os.PathLike) -> list[str]:
    """The lines of a file, which are the names of labels."""
    from mongoose_nb.data._files import read_lines

    return read_lines(path)


def _rows(pair):
    return 0 if pair is None else pair[0].shape[0]


# ------------------------------------------------------------------ start and resume


def _start(args, clock):
    given = _given(args)
    settings = _training_settings(given)
    arguments = network_arguments(given)
    out = runs.check_free(given["out"], args.overwrite)
    inputs = [file for name in ("data", "validation", "test") if isinstance(given.get(name), str) for file in data_files(given[name])]
    check_no_input("--out", runs.own_files(out), [*inputs, given.get("label_names"), args.config])
    seed = arguments.get("seed", inspect.signature(Network).parameters["seed"].default)
    data = _Data(given, seed)
    network = data.equip(Network(data.X.shape[1], data.Y.shape[1], **arguments))
    if args.scheduler is not None:
        if settings["nonfinite"] != "stop":
            raise ValueError("--nonfinite skip does not go with --scheduler: leave one of them out")
        if settings["batches"] != "uniform":
            raise ValueError("--batches does not go with --scheduler, which takes all rows in turn: leave one of them out")
    if "epochs" not in given:
        passes = epochs_of if _ranked(data, settings) else default_epochs
        settings["epochs"] = passes(data.X.shape[0], settings["batch_size"], has_dense_columns(data.X))
    data.announce()
    record = {"network": model_settings(network), "training": settings, "data": data.record, "versions": versions(),
              "threads": args.threads}
    if given.get("label_names") is not None:
        record["label_names"] = os.path.abspath(given["label_names"])
    with _reached(args.scheduler) as client, runs.beginning(out, record) as first_step:
        if client is None:
            _compile(network, arguments, data, clock)
        _train(network, data, settings, out, args, clock, client, more=[first_step])


def _resume(args, clock):
    path = pathlib.Path(args.resume)
    fixed = [f"--{name.replace('_', '-')}" for name in OPTIONS if getattr(args, name) is not None and name not in RESUMABLE]
    fixed += [f"--{name}" for name in ("config", "out", "overwrite") if getattr(args, name)]
    if fixed:
        allowed = ", ".join(f"--{name.replace('_', '-')}" for name in RESUMABLE)
        raise ValueError(f"{fixed[0]} does not go with --resume, which keeps the settings of {path}; it takes DATA, {allowed} "
                         "and --threads")
    record = runs.read_settings(path)
    check_directory("--resume", path)
    if runs.is_on_cluster(path) != (args.scheduler is not None):
        where = "on a cluster: give" if args.scheduler is None else "in one process: leave out"
        raise ValueError(f"{path} was trained {where} --scheduler")
    network, saved = runs.load_to_resume(path, record)
    progress = saved["progress"]
    try:
        recorded, training = record["data"], record["training"]
        zero_based = recorded["train"].get("zero_based")
        shares = isinstance(training["validation"], float)
        given = {"data": args.data or recorded["train"]["path"], "zero_based": zero_based,
                 "n_features": network.n_features, "n_labels": network.n_outputs}
        if recorded["train"]["format"] != "svmlight":
            del given["n_features"], given["n_labels"]
        if recorded["train"]["format"] in FORMATS:
            given["format"] = recorded["train"]["format"]
        columns = recorded["train"].get("columns") or {}
        given.update(text_column=columns.get("text"), label_column=columns.get("label"), label_separator=columns.get("separator"))
        if training["validation"] is not None:
            given["validation"] = training["validation"] if shares else recorded["validation"]["path"]
        test = args.test or recorded.get("test", {}).get("path")
        paths = (given["data"], test, None if shares else given.get("validation"))
        if not all(path is None or isinstance(path, str | os.PathLike) for path in paths):  # open() takes a number for an open file
            raise TypeError(paths)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path / runs.SETTINGS} is damaged: {error!r} is missing, or not what it should be") from error
    if test is not None:
        given["test"] = test
    if os.path.exists(str(record.get("label_names"))):  # the names are in the network, too
        given["label_names"] = record["label_names"]
    changed = {name: getattr(args, name) for name in LOOP if getattr(args, name) is not None}
    settings = _training_settings({**{k: v for k, v in training.items() if v is not None}, **changed})
    ended = progress is None or progress["done"] and runs.is_written(path, saved["epoch"])
    first = saved["epoch"] if progress is None else progress["first_epoch"]
    reached = saved["epoch"] if progress is None else max(saved["epoch"], first + progress["epochs"])
    if ended and settings["epochs"] <= reached:
        stopped = f" (it stopped after {saved['epoch']})" if saved["epoch"] < reached else ""
        raise ValueError(f"{path} has {reached} epochs already{stopped}; give --epochs with a number above to go on")
    taken = saved["epoch"] if ended else saved["epoch"] + (progress["batch"] > 0 or progress.get("part", 0) > 0)
    if settings["epochs"] < taken:
        raise ValueError(f"{path} has taken {saved['epoch']} epochs{'' if taken == saved['epoch'] else ' and a part of one'}; give "
                         f"--epochs {taken} or more")
    data = _Data(given, network.seed)
    for name in ("train", "validation"):
        if data.record.get(name, {}).get("sha256") != recorded.get(name, {}).get("sha256"):
            raise ValueError(f"{data.record[name]['path']} is not the {name} data that {path} began with; "
                             "start a new run for other data")
    data.equip(network)
    data.announce()
    arguments = {"sampler": network.sampler, "optimizer": network.optimizer, "hidden": network.hidden, "loss": network.loss,
                 "activation": network.activation, "clip_norm": network.clip_norm}
    record.pop("format_version")
    with _reached(args.scheduler) as client:
        note(f"going on after epoch {saved['epoch']}, step {saved['step']:,}")
        runs.trim_metrics(path, saved["epoch"])
        runs.write_settings(path, {**record, "network": model_settings(network), "training": settings, "data": data.record,
                                   "versions": versions(), "threads": args.threads})
        if client is None:
            _compile(network, arguments, data, clock)
        _train(network, data, settings, path, args, clock, client, first)


def _reached(address):
    """Context manager: a client of the scheduler, which answers; None without one."""
    if address is None:
        return contextlib.nullcontext()
    from mongoose_nb.distributed.cluster import connect

    return connect(address)


def _compile(network, arguments, data, clock):
    """Compile the kernels with a narrow copy of the network, so that the first epoch is timed without compilation."""
    hidden = tuple(min(w, WIDTH) if isinstance(w, int) else w for w in network.hidden)
    # a hash family that needs wider input, say, refuses: then the first epoch compiles
    with contextlib.suppress(ValueError):
        warm_up(lambda: Network(data.X.shape[1], data.Y.shape[1], **{**arguments, "hidden": hidden}), data.X, data.Y, hashed=False)
    clock.report()


# ------------------------------------------------------------------ the loop


class _Log(Callback):
    """A line for the first epoch, the last, and at most `LINES` in all; or a JSON object for every epoch."""

    def __init__(self, epochs, json, lines, first=0):
        self.epochs, self.json, self.lines = epochs, json, lines
        self.every = max(1, -(-(epochs - first) // (LINES - 1)))
        self._left = None  # an epoch without a line, if it should be the last

    def on_epoch_end(self, network, logs):
        """Write it."""
        if self.json:
            json_line({"event": "epoch", **logs})
        count = logs["epoch"]
        if self.lines and (count % self.every == 0 or count in (1, self.epochs)):
            note(epoch_line(logs, self.epochs))
            logs = None
        self._left = logs if self.lines else None

    def on_fit_end(self, network, logs):
        """Write the line of an epoch after which the training stopped."""
        if self._left is not None:
            note(epoch_line(self._left, self.epochs))


class _SaveEvery(Checkpoint):
    """Save every so many epochs, and every so many steps."""

    def __init__(self, path, settings):
        super().__init__(path, every=settings["save_steps"], keep=settings["keep"])
        self.epochs = settings["save_every"]

    def on_epoch_end(self, network, logs):
        """Save if it is time."""
        if self.epochs and logs["epoch"] % self.epochs == 0:
            super().on_epoch_end(network, logs)


def _ranked(data, settings):
    """Whether what ranks the outputs is trained, too."""
    return settings["ranking"] == "auto" and data.X.shape[0] >= FEWEST


@contextlib.contextmanager
def _on_cluster(network, settings, out, client):
    """`distributed.fit` and `distributed.fit_auto` with the files of a run; at the end the network is saved."""
    from mongoose_nb import distributed

    (out / runs.CLUSTER).mkdir(exist_ok=True)
    yield [functools.partial(fit, network, client=client, checkpoint=out / runs.CLUSTER, checkpoint_steps=settings["save_steps"] or 200)
           for fit in (distributed.fit, distributed.fit_auto)]
    network.save(out / runs.MODEL)


def _train(network, data, settings, out, args, clock, client, first=0, more=()):
    scored = data.validation or data.test
    bar = sys.stderr.isatty() and importlib.util.find_spec("tqdm") is not None
    stopping = None if settings["early_stopping"] is None else EarlyStopping(patience=settings["early_stopping"])
    callbacks = [JSONLines(out / runs.METRICS), _Log(settings["epochs"], args.json, not bar, first), *[ProgressBar()] * bar, *more]
    epochs = settings["epochs"] - first
    options = {"batch_size": settings["batch_size"], "micro_batch_size": settings["micro_batch_size"], "validation": scored,
               "early_stopping": stopping, "callbacks": callbacks}
    if args.scheduler is None:
        callbacks[:1] = Diagnostics(), callbacks[0], _SaveEvery(out / runs.MODEL, settings)
        options.update(nonfinite=settings["nonfinite"], batches=settings["batches"],
                       resume=None if network.epoch else out / runs.MODEL)
    choice, here = None, contextlib.nullcontext((network.fit, network.fit_auto))
    try:
        with here if client is None else _on_cluster(network, settings, out, client) as (fit, fit_auto):
            if not _ranked(data, settings):
                with standardised(network, data.X):
                    history = fit(data.X, data.Y, epochs=epochs, **options)
            else:
                report = fit_auto(data.X, data.Y, epochs=epochs, **options)
                history, choice = report["history"], report["choice"]
    except KeyboardInterrupt:
        if (out / runs.MODEL).exists() or args.scheduler is not None:
            on = "" if args.scheduler is None else f" --scheduler {args.scheduler}"
            raise Interrupted(f"interrupted; go on with: mongoose train --resume {out}{on}") from None
        raise Interrupted(f"interrupted before a network was saved in {out}; start again with: mongoose train --resume {out}") from None
    seconds = sum(entry["seconds"] for entry in history)
    final = {"event": "end", "run": str(out), "model": str(out / runs.MODEL), "epochs": network.epoch, "step": network.step,
             "loss": history[-1]["loss"], "seconds": seconds, "samples_per_s": len(history) * data.X.shape[0] / seconds,
             "compile_seconds": clock.seconds}
    if choice is not None:
        final["choice"] = choice
    if stopping is not None:
        final["best_epoch"] = stopping.best_epoch
    for name, pair in (("validation", data.validation), ("test", data.test)):
        if pair is not None:
            final[name] = network.evaluate(*pair)
    if args.json:
        json_line(final)
        return
    for name in ("validation", "test"):
        if name in final:
            show_scores(final[name], f"{name} set, {_rows(getattr(data, name)):,} rows")
    if choice is not None:
        result(choice)
    best = f", best epoch {stopping.best_epoch}" if stopping is not None else ""
    result(f"{network.epoch} epochs{best}, loss {final['loss']:.4f}, {seconds:.1f} s of training, "
           f"{final['samples_per_s']:,.0f} samples/s")
    result(f"written: {out}")
