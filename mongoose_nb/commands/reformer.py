"""`mongoose reformer`: language models with LSH attention, on the copy task or on the characters of a text file."""

from __future__ import annotations

import argparse
import hashlib
import importlib
import importlib.util
import pathlib
import sys

from mongoose_nb.commands import runs
from mongoose_nb.commands.console import json_line, note, result
from mongoose_nb.commands.options import layer_settings
from mongoose_nb.commands.reformer_options import DEFAULTS, RESUMABLE, SWITCHES
from mongoose_nb.commands.warm import compiling, threads
from mongoose_nb.core.outputs import check_directory, check_no_input


def run(args: argparse.Namespace) -> None:
    """Train and score a model, and write a directory like that of `mongoose train`."""
    if args.sample is not None and args.sample < 0:
        raise ValueError(f"--sample must be at least 0; got {args.sample}")
    with threads(args.threads), compiling() as clock:
        (_resume if args.resume is not None else _start)(args, clock)


# ------------------------------------------------------------------ settings


def _start(args, clock):
    from mongoose_nb.commands.system import versions
    from mongoose_nb.nn.saving import model_settings

    if args.out is None:
        raise ValueError("mongoose reformer needs --out RUN, the directory to write")
    settings = {name: default if getattr(args, name) is None else getattr(args, name) for name, default in DEFAULTS.items()}
    settings.update({name: bool(getattr(args, name)) for name in SWITCHES}, text=args.text)
    _check(settings)
    _import_own(settings)
    out = runs.check_free(args.out, args.overwrite)
    check_no_input("--out", runs.own_files(out), (settings["text"], settings["test"]))
    work = _Work(settings)
    model = _model(settings, work)
    record = {"model": model_settings(model), "settings": settings, "data": work.record, "versions": versions(), "threads": args.threads}
    with runs.beginning(out, record) as first_step:
        _train(model, work, settings, out, args, clock, [first_step])


def _resume(args, clock):
    from mongoose_nb.reformer import ReformerLM

    path = pathlib.Path(args.resume)
    fixed = [f"--{name}" for name in (*DEFAULTS, *SWITCHES) if getattr(args, name) is not None and name not in RESUMABLE]
    fixed += [f"--{name}" for name in ("out", "overwrite") if getattr(args, name)]
    if fixed:
        allowed = ", ".join(f"--{name}" for name in RESUMABLE)
        raise ValueError(f"{fixed[0]} does not go with --resume, which keeps the settings of {path}; it takes TEXT, {allowed}, --sample "
                         "and --threads")
    record = runs.read_settings(path)
    check_directory("--resume", path)
    try:
        settings, recorded = dict(record["settings"]), record["data"]
        settings.update({name: getattr(args, name) for name in RESUMABLE if getattr(args, name) is not None})
        settings["text"] = args.text or settings["text"]
        _check(settings)
        work = _Work(settings)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path / runs.SETTINGS} is damaged: {error!r} is missing") from error
    if not (path / runs.MODEL).exists():
        raise ValueError(f"{path} has no {runs.MODEL}; did an epoch end there?")
    _import_own(settings)
    model = ReformerLM.load(path / runs.MODEL)
    if {name: part["sha256"] for name, part in work.record.items()} != {name: part["sha256"] for name, part in recorded.items()}:
        raise ValueError(f"the text is not the one that {path} began with; start a new run for another")
    if settings["epochs"] <= model.epoch:
        raise ValueError(f"{path} has {model.epoch} epochs already; give --epochs with a number above to go on")
    note(f"going on after epoch {model.epoch}, step {model.step:,}")
    runs.trim_metrics(path, model.epoch)
    runs.write_settings(path, {**{k: v for k, v in record.items() if k != "format_version"}, "settings": settings})
    _train(model, work, settings, path, args, clock)


def _check(settings):
    for name in ("epochs", "train_batches", "eval_batches", "batch_size", "print_loss", "seq_len", "ff_mult"):
        if settings[name] < 1:
            raise ValueError(f"--{name} must be at least 1; got {settings[name]}")
    if settings["text"] is None and settings["test"] is not None:
        raise ValueError("--test FILE goes with TEXT: the copy task draws its own sequences")
    if settings["text"] is not None and settings["min_seq_len"] is not None:
        raise ValueError("--min_seq_len is of the copy task; windows of TEXT all have --seq_len characters")


def _import_own(settings):
    """Import the modules of kinds of attention that are given as ``module:Class``."""
    for name in settings["attn_type_list"]:
        module, colon, _ = name.partition(":")
        if colon:
            try:
                importlib.import_module(module)
            except ImportError as error:
                raise ValueError(f"--attn_type_list {name}: the module {module!r} cannot be imported ({error}); its folder has to be in "
                                 "PYTHONPATH") from error


def _model(settings, work):
    from mongoose_nb.reformer import ReformerLM

    def each(name):
        values = settings[name]
        if len(values) not in (1, settings["nlayers"]):
            raise ValueError(f"--{name} takes one value, or one for each of --nlayers {settings['nlayers']}; got {len(values)}")
        return values * settings["nlayers"] if len(values) == 1 else values

    return ReformerLM(
        work.train.n_tokens, max_length=settings["seq_len"], width=settings["nhid"], embedding_width=settings["emsize"],
        n_layers=settings["nlayers"], n_heads=settings["nhead"], ff_width=settings["ff_mult"] * settings["nhid"],
        ff_chunks=settings["ff_chunks"], ff=[layer_settings("--ff", form, 1) for form in settings["ff"].split(",")],
        projections=layer_settings("--projections", settings["projections"], 1),
        attention=["full"] * settings["nlayers"] if settings["use_full_attn"] else each("attn_type_list"),
        n_hashes=each("n_hashes_list"), bucket_size=each("bucket_size_list"), n_features=settings["n_features"],
        full_attention_up_to=settings["full_attn_thres"],
        strict=settings["strict"], thresh=settings["thresh"], scheduler_hashes=settings["scheduler_hashes"], margin=settings["tri_alpha"],
        lr_rotations=settings["lr_tri"], positions=settings["positions"], dropout=settings["dropout"],
        reversible=not settings["store_activations"], sampler=settings["sampler"], optimizer=settings["optimizer"],
        lr=settings["lr_main"], lr_schedule=settings["lr_schedule"], clip_norm=settings["clip_norm"], seed=settings["seed"])


class _Work:
    """Tasks for training and for scoring, the alphabet of a text, and what settings.json says of the files."""

    def __init__(self, settings):
        from mongoose_nb.reformer import CopyTask, TextTask
        from mongoose_nb.reformer.text import Characters

        self.record, self.characters = {}, None
        length, n_tokens, seed = settings["seq_len"], settings["ntokens"], settings["seed"]
        if settings["text"] is None:
            self.train = self.test = CopyTask(16 if n_tokens is None else n_tokens, length, min_length=settings["min_seq_len"], seed=seed)
            self.name = "copy task"
            return
        train = self._read("train", settings["text"])
        if settings["test"] is None:
            cut = len(train) * 9 // 10
            train, test = train[:cut], train[cut:]
        else:
            test = self._read("test", settings["test"])
        self.characters = Characters.of(train, n_tokens)
        for name, text in (("training", train), ("test", test)):
            if len(text) <= length:
                raise ValueError(f"the {name} text has {len(text)} characters; --seq_len {length} needs more")
        self.train, self.test = (TextTask(self.characters.encode(text), len(self.characters), length, seed=seed) for text in (train, test))
        self.name = f"{len(train):,} characters of text, {len(test):,} to score, {len(self.characters)} tokens"

    def _read(self, name, path):
        data = pathlib.Path(path).read_bytes()
        self.record[name] = {"path": str(pathlib.Path(path).resolve()), "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"{path} is not a UTF-8 text file: {error}") from error

    def show(self, tokens):
        """Tokens for people: the text, or numbers."""
        return " ".join(map(str, tokens)) if self.characters is None else self.characters.decode(tokens)


# ------------------------------------------------------------------ the loop


def _line(logs, epochs):
    """One epoch."""
    split = " ".join(f"{name} {share:.0%}" for name, share in logs["time_split"].items() if share >= 0.005)
    return (f"epoch {logs['epoch']}/{epochs}  loss {logs['loss']:.4f}  test loss {logs['eval_loss']:.4f} bits {logs['bits']:.4f} "
            f"accuracy {logs['accuracy']:.4f}  {logs['tokens_per_s']:,.0f} tokens/s  {split}")


def _log(settings, args, lines):
    from mongoose_nb.nn import Callback

    class Log(Callback):
        def __init__(self):
            self.total, self.count = 0.0, 0

        def on_batch_end(self, model, logs):
            self.total, self.count = self.total + logs["loss"], self.count + 1
            if self.count == settings["print_loss"]:
                if lines:
                    note(f"step {model.step:,}  loss {self.total / self.count:.4f}")
                self.total, self.count = 0.0, 0

        def on_epoch_end(self, model, logs):
            self.total, self.count = 0.0, 0
            if args.json:
                json_line({"event": "epoch", **logs})
            if lines:
                note(_line(logs, settings["epochs"]))

    return Log()


def _train(model, work, settings, out, args, clock, more=()):
    from mongoose_nb.commands.train import Interrupted
    from mongoose_nb.nn import Checkpoint, JSONLines, ProgressBar

    note(f"{work.name}; {sum(p.value.size for p in model.parameters().values()):,} parameters")
    bar = sys.stderr.isatty() and importlib.util.find_spec("tqdm") is not None
    callbacks = [Checkpoint(out / runs.MODEL), JSONLines(out / runs.METRICS), _log(settings, args, not bar), *[ProgressBar()] * bar, *more]
    try:
        history = model.fit(work.train, epochs=settings["epochs"] - model.epoch, batches=settings["train_batches"],
                            batch_size=settings["batch_size"], validation=work.test, eval_batches=settings["eval_batches"],
                            callbacks=callbacks)
    except KeyboardInterrupt:
        saved = f"go on with: mongoose reformer --resume {out}" if (out / runs.MODEL).exists() else f"before a model was saved in {out}"
        raise Interrupted(f"interrupted; {saved}") from None
    last = history[-1]
    final = {"event": "end", "run": str(out), "model": str(out / runs.MODEL), "compile_seconds": clock.seconds,
             "seconds": sum(history.column("seconds")),
             **{name: last[name] for name in ("epoch", "step", "loss", "eval_loss", "bits", "accuracy", "perplexity")}}
    if args.sample:
        tokens, _ = work.test.batch(0, 1, train=False)
        prompt = tokens[0, : tokens.shape[1] // 2 + 1]
        final["prompt"], final["sample"] = work.show(prompt), work.show(model.generate(prompt, args.sample))
    if args.json:
        json_line(final)
        return
    if args.sample:
        result(f"{final['prompt']}\n...\n{final['sample']}")
    result(f"{last['epoch']} epochs, loss {last['loss']:.4f}, test loss {last['eval_loss']:.4f}, {last['bits']:.4f} bits a token, accuracy "
           f"{last['accuracy']:.4f}, {final['seconds']:.1f} s of training")
    result(f"written: {out}")
