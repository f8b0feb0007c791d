"""Settings of `mongoose train`: one table for its flags and for the keys of a TOML file, and what they mean to the library.

This module is read by ``mongoose --help``: it imports nothing that takes time.
"""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from mongoose_nb.commands.values import expected, flag_type, number, real, switch, whole, word

if TYPE_CHECKING:
    from mongoose_nb.core.types import PathLike


def limit(value: Any) -> int | str:
    """An integer, or 'none'."""
    return value if value == "none" else whole(value)


def widths(value: Any) -> list[int | str]:
    """Widths such as 128 or 128,64; wide:N is a hidden layer of N units that hashing samples, NAME:N another layer."""
    parts = value.split(",") if isinstance(value, str) else value if isinstance(value, list) else [value]
    out: list[int | str] = []
    for part in parts:
        if isinstance(part, str) and ":" in part:
            name, *numbers = (piece.strip() for piece in part.split(":"))
            out.append(":".join([name, *(format(number(piece)) for piece in numbers)]))
        else:
            out.append(whole(part.strip() if isinstance(part, str) else part))
    return out


def rehash(value: Any) -> int | str:
    """Steps between rehashes, PERIOD:RATE for gaps that grow by exp(RATE) each time, or 'drift'."""
    if value in ("drift", "auto"):
        return value
    if isinstance(value, str) and ":" in value:
        period, rate = value.split(":")
        return f"{whole(period.strip())}:{real(rate.strip()):g}"
    return whole(value)


def share(value: Any) -> float | str:
    """A number, or auto."""
    return value if value == "auto" else real(value)


def share_or_path(value: Any) -> float | str:
    """A share of the training rows between 0 and 1, or a file."""
    try:
        share = real(value)
    except ValueError:
        return word(value)
    if not 0 < share < 1:
        raise ValueError
    return share


class Option(NamedTuple):
    """A flag, which is also a key of the TOML file (with ``_`` or ``-``)."""

    name: str
    kind: Callable[[Any], Any]
    metavar: str | None
    help: str
    default: str | None = None  # as the help shows it; None where `help` says it, or where there is none

    @property
    def dest(self) -> str:
        """Its name in Python."""
        return self.name.replace("-", "_")


GROUPS = {
    "data": (
        Option("test", word, "DATA", "scored at the end, and after every epoch where there is no --validation"),
        Option("validation", share_or_path, "SHARE|DATA",
               "a share of the training rows such as 0.1, or a file: scored after every epoch", "none"),
        Option("format", word, "FORMAT", "xc | svmlight | npz | csv | jsonl | auto: the form of all files; auto looks at the file", "auto"),
        Option("text-column", word, "NAME", "csv, jsonl: column of the text, or several with commas (default: text, document, body, ...)"),
        Option("label-column", word, "NAME", "csv, jsonl: column of the labels (default: label, labels, tags, category, ...)"),
        Option("label-separator", word, "TEXT", "csv, jsonl: what stands between the labels of a cell (default: a cell is one label)"),
        Option("label-names", word, "FILE", "names of the labels, one on each line, for formats that number them"),
        Option("zero-based", switch, None, "svmlight: features count from 0 (default: if an id of the training file is 0)"),
        Option("n-features", whole, "N", "svmlight: number of features (default: what training and test data need)"),
        Option("n-labels", whole, "N", "svmlight: number of labels (default: likewise)"),
    ),
    "network": (
        Option("hidden", widths, "WIDTHS", "hidden layers, such as 128 or 128,64 or 128,wide:100000,128 or 1024,monarch:1024", "128"),
        Option("activation", word, "NAME", "relu | leaky_relu | elu | gelu | tanh | sigmoid | identity", "relu"),
        Option("loss", word, "NAME", "softmax | logistic", "softmax"),
        Option("init-std", real, "STD", "initial weights of the input layer", "0.1"),
        Option("output-init-std", real, "STD", "initial weights of the output layer", "1 / sqrt(width)"),
        Option("regularizer", word, "NAME", "none | spread-out, or spread-out:0.1 with its strength: pushes output rows apart, so that a "
               "network generalises better", "none"),
        Option("compress", real, "RATIO", "keep the weights in one hashed array, so many times smaller", "full matrices"),
        Option("seed", whole, "N", "same seed, same network, for any number of threads", "0"),
    ),
    "sampler": (
        Option("sampler", word, "NAME", "full | uniform | lsh | adaptive | auto: which outputs a step computes",
               "auto, or lsh where one of its options is given"),
        Option("candidates", whole, "N", "outputs beside the labels", "1000"),
        Option("head", share, "SHARE", "lsh: share of the candidates that the hash tables retrieve, or auto; the rest is random", "0.5"),
        Option("shape", word, "NAME", "sample | batch: candidates for each sample, or shared by the batch",
               "sample for lsh, batch for uniform"),
        Option("correction", word, "NAME", "tail | logq | importance | none: what sampled outputs stand for", "tail, none for shape batch"),
        Option("proposal", word, "NAME", "uniform | frequency | mixture: what random outputs of a sample are drawn from", "uniform"),
        Option("fill", switch, None, "lsh: whether random outputs are added at all", "on"),
        Option("family", word, "NAME", "lsh: hash family, such as simhash, dwta or crosspolytope", "simhash"),
        Option("K", limit, "N", "lsh: hashes per table, or none for a number that fits the outputs", "none"),
        Option("L", whole, "N", "lsh: tables", "50, 16 for shape batch"),
        Option("strategy", word, "NAME", "lsh: topk | vanilla | threshold", "topk"),
        Option("min-votes", whole, "N", "lsh: buckets an output must be in, for --strategy threshold", "2"),
        Option("query", word, "NAME", "lsh: embedding | label: what a sample looks up in training", "embedding"),
        Option("capacity", limit, "N", "lsh: most outputs in a bucket, or none", "128"),
        Option("policy", word, "NAME", "lsh: reservoir | fifo: which outputs a full bucket keeps", "reservoir"),
        Option("center", switch, None, "lsh: whether activations and weights are centred before hashing", "on"),
        Option("rehash", rehash, "STEPS", "lsh: steps between rehashes, PERIOD:RATE for growing gaps, or drift: when weights have turned",
               "100:0.05, 300:0.05 for shape batch"),
        Option("rebuild", limit, "N", "lsh: rehashes between new hash functions, or none", "none"),
        Option("learn", word, "NAME", "lsh: none | contrast | triplet | logistic: whether hash functions are trained before a rehash",
               "none"),
    ),
    "optimiser": (
        Option("optimizer", word, "NAME", "adam | rowadam | adagrad | sgd", "adam"),
        Option("lr", real, "RATE", "learning rate", "0.002, 0.05 for adagrad, 0.1 for sgd"),
        Option("lr-schedule", word, "NAME", "constant | linear | cosine | step", "constant"),
        Option("warmup", whole, "STEPS", "steps of rising learning rate, for --lr-schedule linear or cosine", "0"),
        Option("momentum", real, "SHARE", "of --optimizer sgd", "0"),
        Option("weight-decay", real, "RATE", "decoupled, per unit of learning rate", "0"),
        Option("clip-norm", real, "NORM", "scale the gradient down to at most this norm", "none"),
    ),
    "run": (
        Option("epochs", whole, "N", "passes over the training data, in all (default 3 to 10 by the number of rows with a ranking, 10 "
               "without, and more where that is fewer than 200 steps)"),
        Option("ranking", word, "NAME", "auto | none: whether the best outputs are ranked again by linear rankers, neighbours and counts, "
               "weighed on rows kept from the network", "auto"),
        Option("batch-size", whole, "N", "rows of a step", "256"),
        Option("micro-batch-size", whole, "N", "rows of a step whose logits are held at once, to spare memory with a large --batch-size",
               "all"),
        Option("batches", word, "NAME", "uniform | lgd | hardness: how the rows of a step are chosen", "uniform"),
        Option("early-stopping", whole, "PATIENCE",
               "stop after so many epochs without a better P@1 on --validation; keep the best weights", "off"),
        Option("nonfinite", word, "NAME", "stop | skip: what to do where a batch has a loss that is not finite (default stop)"),
        Option("save-every", whole, "EPOCHS", "write the network every so many epochs (default 1; 0: at the end only)"),
        Option("save-steps", whole, "STEPS", "also every so many steps, to lose less of a long epoch when the process is killed", "off"),
        Option("keep", whole, "N", "versions of the network to keep, the older ones as model.mongoose.1 and so on (default 1)"),
    ),
}
OPTIONS = {option.dest: option for group in GROUPS.values() for option in group}
NETWORK = ("activation", "loss", "init_std", "output_init_std", "regularizer", "compress", "clip_norm", "seed")
TABLES = ("family", "K", "L", "capacity", "policy", "center", "rehash", "rebuild", "learn")
SAMPLER = tuple(option.dest for option in GROUPS["sampler"] if option.name != "sampler" and option.dest not in TABLES)
# options of the sampler for which "none" is None
NONE = ("K", "capacity", "rebuild", "learn")
OPTIMIZER = ("lr", "momentum", "weight_decay")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add every option to the parser of the command."""
    for title, options in GROUPS.items():
        group = parser.add_argument_group(title)
        for option in options:
            if option.kind is switch:
                group.add_argument(f"--{option.name}", action=argparse.BooleanOptionalAction, default=None, help=_help(option))
            else:
                group.add_argument(f"--{option.name}", type=flag_type(option.kind), metavar=option.metavar, help=_help(option))


def _help(option):
    return option.help if option.default is None else f"{option.help} (default {option.default})"


def read_config(path: PathLike, extra: Sequence[str]) -> dict[str, Any]:
    """Settings of a TOML file, checked: option name -> value.

    `extra` names keys beside the options, all of them words: the data and the directory of the run.
    """
    import tomllib

    with open(path, "rb") as file:
        try:
            given = tomllib.loads(file.read().decode("utf-8-sig"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"{path}: not a TOML file: {error}") from error
    kinds = {**{dest: option.kind for dest, option in OPTIONS.items()}, **dict.fromkeys(extra, word)}
    out = {}
    for key, value in given.items():
        dest = key.replace("-", "_")
        if dest not in kinds:
            close = difflib.get_close_matches(key.replace("_", "-"), [name.replace("_", "-") for name in kinds], 3)
            hint = f"did you mean {' or '.join(close)}?" if close else "keys are the flags of mongoose train without the dashes"
            raise ValueError(f"{path}: unknown key {key!r}; {hint}")
        if dest in out:
            raise ValueError(f"{path}: {key!r} is given twice, with - and with _")
        try:
            out[dest] = kinds[dest](value)
        except (ValueError, TypeError):
            raise ValueError(f"{path}: invalid value {key} = {value!r}: expected "
                             f"{expected(OPTIONS[dest].kind) if dest in OPTIONS else 'a word'}") from None
    return out


def network_arguments(given: dict[str, Any]) -> dict[str, Any]:
    """Keyword arguments of `nn.Network` from settings by option name; others keep the library's defaults.

    Names, numbers and which of them go together are checked here, the widths by the network itself.
    """
    from mongoose_nb.core.registry import make
    from mongoose_nb.nn.training.lr import make_schedule
    from mongoose_nb.nn.training.optimizers import make_optimizer

    out = {name: given[name] for name in NETWORK if name in given}
    if "hidden" in given:
        out["hidden"] = tuple(_layer(w) if isinstance(w, str) else w for w in given["hidden"])
    if "regularizer" in given:
        text = given["regularizer"]
        out["regularizer"] = None if text == "none" else make("regularizer", layer_settings("--regularizer", text, kind="regularizer"))
    if "sampler" not in given and any(name in given for name in (*SAMPLER, *TABLES) if name != "candidates"):
        given = {**given, "sampler": "lsh"}  # whose options they are
    out["sampler"] = make("sampler", _sampler(_described("sampler", "sampler", given, SAMPLER, TABLES)))
    out["optimizer"] = make_optimizer(_described("optimizer", "optimizer", given, OPTIMIZER))
    out["lr_schedule"] = make_schedule(_described("lr_schedule", "learning-rate schedule", given, ("warmup",)))
    return out


def layer_settings(flag: str, text: str, skip: int = 0, kind: str = "layer") -> dict[str, Any]:
    """The description of a layer, or of another `kind`, from ``NAME:NUMBER:NUMBER``: arguments of its constructor in order, behind
    the first `skip`."""
    from mongoose_nb.core.registry import find, parameters

    name, *numbers = text.split(":")
    known = list(parameters(find(kind, name)))[skip:]
    try:
        values = [number(value) for value in numbers]
    except ValueError:
        raise ValueError(f"{flag} {text}: after a colon there must be a number") from None
    if len(values) > len(known):
        raise ValueError(f"{flag} {text}: a {kind} {name!r} takes at most {len(known)} numbers ({', '.join(known)})")
    return {"name": name, **dict(zip(known, values))}


def _layer(text):
    from mongoose_nb.core.registry import make

    settings = layer_settings("--hidden", text)
    try:
        return make("layer", settings)
    except (ValueError, TypeError) as error:
        raise ValueError(f"--hidden {text}: {error}") from error


def _sampler(settings):
    """The description of a sampler from its settings by option name."""
    settings = {name: None if value == "none" and name in NONE else value for name, value in settings.items()}
    if ":" in str(settings.get("rehash")):
        period, rate = settings["rehash"].split(":")
        settings["rehash"] = {"name": "exponential decay", "period": int(period), "rate": float(rate)}
    min_votes = settings.pop("min_votes", None)
    if min_votes is not None:
        if settings.get("strategy") != "threshold":
            raise ValueError("--min-votes goes with --strategy threshold alone")
        settings["strategy"] = {"name": "threshold", "min_votes": min_votes}
    tables = {name: settings.pop(name) for name in TABLES if name in settings}
    return {**settings, "tables": {"name": "tables", **tables}} if tables else settings


def _described(what, kind, given, names, nested=()):
    """The settings {name: ..., argument: ...} of a sampler, optimiser or schedule, of arguments that it knows; those in `nested` go with
    one that has tables."""
    import inspect

    from mongoose_nb.core.registry import parameters, registered
    from mongoose_nb.nn import Network

    chosen = given.get(what, inspect.signature(Network).parameters[what].default)
    settings = {name: given[name] for name in (*names, *nested) if name in given}
    cls = registered(kind).get(chosen)
    if cls is not None:  # if not, the library says so
        known = list(parameters(cls))
        known += nested if "tables" in known else ()
        known += ["min_votes"] * ("strategy" in known)
        wrong = [name for name in settings if name not in known]
        if wrong:
            takes = ", ".join(_flag(name) for name in (*names, *nested) if name in known) or "nothing of the kind"
            raise ValueError(f"{_flag(wrong[0])} does not go with {_flag(what)} {chosen}, which takes {takes}")
    return {"name": chosen, **settings}


def _flag(dest):
    return f"--{dest.replace('_', '-')}"
