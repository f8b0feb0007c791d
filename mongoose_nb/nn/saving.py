"""Networks on disk: a description, the trained arrays, and the state of everything that changes while training.

::

    network      constructor arguments of the network (`describe`)
    retriever    of the one that `fit_serving` made, or null
    ranking      of the one that `fit_ranking` made; files without one may lack the name
    features     of the step that rows go through first; likewise
    text         of the step that turns texts into rows; likewise
    batches      of what chooses the rows of a step; of a checkpoint, unless all rows come in turn
    step, epoch
    state        samplers by layer; the retriever; the ranking; the features; the text features; label names; of a checkpoint also the
                 progress, the callbacks and what chooses rows

    arrays       parameters as "output.weights", with moments "output.weights.m" and "output.weights.v"; those of the state as
                 "state.samplers.output.manager.mean"

Files of content version 1 had flat settings and prefixes; `upgrade_v1` brings them into this form.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import os
from typing import TYPE_CHECKING, Any

from mongoose_nb.core import files as io
from mongoose_nb.core.arrays import at_half_precision, parameter_arrays, restore_parameters
from mongoose_nb.core.registry import describe, make, name_of, parameters
from mongoose_nb.core.saving import Stateful, join, restore, split, state_of
from mongoose_nb.core.validation import check_int
from mongoose_nb.nn import ranking as _ranking  # noqa: F401  (registers it)
from mongoose_nb.nn import text_features as _text_features  # noqa: F401
from mongoose_nb.nn.label_names import names_from_state, state_of_names
from mongoose_nb.nn.saving_v1 import upgrade_v1
from mongoose_nb.nn.training.row_sampling import UniformBatches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mongoose_nb.nn.training.progress import Progress
    from mongoose_nb.nn.training.row_sampling import BatchSampler

KIND = "network"
VERSION = 2
# Numbers in hash functions that are drawn on the word of a file: a quarter of a gigabyte. Defaults take a hundred thousand.
MAX_FUNCTIONS = 1 << 26


# ------------------------------------------------------------------ descriptions


def model_settings(model: Any) -> dict:
    """Constructor arguments of a network or a language model, as JSON can hold them.

    Raises
    ------
    TypeError
        For one that a file cannot hold.
    """
    names = [name for name in parameters(type(model)) if name != "lr"]  # the optimiser has it
    return {name: describe(getattr(model, name), name) for name in names}


def make_network(cls: type, settings: dict) -> Any:
    """An untrained `cls` from what `model_settings` gave."""
    hidden = tuple(make("layer", h) if isinstance(h, dict) else h for h in settings["hidden"])
    return cls(**{**settings, "hidden": hidden})


def check_saveable(network: Any, callbacks: Sequence = (), batches: BatchSampler | None = None) -> None:
    """Raise a TypeError, which names the part, where `save_network` would."""
    model_settings(network)
    describe(batches, "batches")
    split({**_state(network, True, callbacks), **({} if batches is None else {"batches": state_of(batches, "batches")})})


# ------------------------------------------------------------------ writing


def _state(network, optimizer, callbacks=()):
    """The states of samplers, retriever and callbacks, nested."""
    out = {"samplers": {name: state_of(sampler, f"sampler of {name}") for name, sampler in network.samplers().items()} if optimizer else {},
           "callbacks": callback_states(callbacks)}
    if network.retriever is not None:
        out["retriever"] = state_of(network.retriever, "retriever")
    if network.ranking is not None:
        out["ranking"] = state_of(network.ranking, "ranking")
    if network.features is not None:
        out["features"] = state_of(network.features, "features")
    if network.text is not None:
        out["text"] = state_of(network.text, "text")
    if network.label_names is not None:
        out["label_names"] = state_of_names(network.label_names)
    return out


def save_network(network: Any, path: str | os.PathLike, optimizer: bool, progress: tuple | None = None, keep: int = 1,
                 more: dict | None = None, half: bool = False) -> None:
    """Write `network`; see `Network.save`. `progress`, of a training that runs, is (Progress, callbacks, batch sampler); `more` are
    settings of whoever wraps the network, which its file holds beside its own."""
    state = _state(network, optimizer, () if progress is None else progress[1])
    if progress is not None:
        progress[0].tick()
        state["progress"] = state_of(progress[0])
    batches = None if progress is None or len(progress) < 3 else progress[2]
    retriever = None if network.retriever is None else describe(network.retriever, "retriever")
    settings = {"network": model_settings(network), "retriever": retriever}
    if network.ranking is not None:
        settings["ranking"] = describe(network.ranking, "ranking")
    if network.features is not None:
        settings["features"] = describe(network.features, "features")
    if network.text is not None:
        settings["text"] = describe(network.text, "text")
    if batches is not None and not isinstance(batches, UniformBatches):
        settings["batches"], state["batches"] = describe(batches, "batches"), state_of(batches, "batches")
    settings.update(more or {})
    write_model(network, path, KIND, settings, state, optimizer=optimizer, keep=keep, half=half)


def write_model(model: Any, path: str | os.PathLike, kind: str, settings: dict, state: dict, *, optimizer: bool, keep: int = 1,
                half: bool = False) -> None:
    """Write a model of any kind.

    Parameters
    ----------
    model : Model
    path : path-like
    kind : str
        Of the file.
    settings : dict
        What describes the model.
    state : dict
        Nested, as `core.saving.state_of` gives it.
    optimizer : bool
        Whether to save the optimiser's moments.
    keep : int
        Versions that stay.
    half : bool
        Whether to round parameters to half precision.

    Raises
    ------
    ValueError
        For half precision with the optimiser's moments, or of a parameter that it cannot hold.
    """
    if half and optimizer:
        raise ValueError("half=True rounds the parameters, with which training does not go on exactly; give optimizer=False, too")
    plain, arrays = split(state, "state.")
    values = parameter_arrays(model.parameters(), moments=False)
    moments = {} if not optimizer else parameter_arrays(model.parameters())
    # those that are zero, of a training that has ended, take no room
    parameters = values | {name: array for name, array in moments.items() if name not in values and array.any()}
    io.save(path, kind, {"version": VERSION, **settings, "step": model.step, "epoch": model.epoch, "state": plain},
            {**(at_half_precision(parameters) if half else parameters), **arrays}, keep=keep)


def _named(callbacks):
    """(name, callback) of those that have a state, the second of a class as "name 2"."""
    seen = {}
    for callback in callbacks:
        if isinstance(callback, Stateful) and callback.saved_state:
            name = name_of(type(callback))
            seen[name] = seen.get(name, 0) + 1
            yield (name if seen[name] == 1 else f"{name} {seen[name]}"), callback


# ------------------------------------------------------------------ reading


@contextlib.contextmanager
def reading(path: str | os.PathLike) -> Iterator[None]:
    """What goes wrong with the contents of a file is a FormatError."""
    try:
        yield
    except io.FormatError:
        raise
    except (KeyError, TypeError, IndexError, AttributeError, ValueError, OverflowError) as error:
        what = "cannot be read" if isinstance(error, ValueError) and "before loading" in str(error) else "is damaged"
        raise io.FormatError(f"{path!r} {what}: {error}") from error


def read_model(path: str | os.PathLike, kind: str, upgrade: Callable[[dict, dict], tuple[dict, dict]], mmap: bool = False) -> tuple:
    """(settings, arrays) of the file at `path`, in the form of this version; `upgrade` brings those of version 1 into it."""
    saved, arrays = io.load(path, kind, mmap=mmap)
    with reading(path):
        version = saved.get("version", 1)
        if version == 1:
            return upgrade(saved, arrays)
        if version != VERSION or not isinstance(saved["state"], dict):
            raise io.FormatError(f"{path!r} has content version {version!r}; this program reads up to {VERSION}: upgrade it")
    return saved, arrays


def restore_model(model: Any, saved: dict, arrays: dict) -> dict:
    """Fill the parameters and counts of a model of the right settings; returns the nested state of the file."""
    restore_parameters(model.parameters(), arrays)
    model.step, model.epoch = (check_int(name, saved[name], low=0, high=2**62) for name in ("step", "epoch"))
    prefix = "state."
    return join(saved["state"], {name[len(prefix):]: array for name, array in arrays.items() if name.startswith(prefix)})


def _sizes(saved):
    """(numbers in the weights, numbers in the hash functions of the largest sampler or retriever) of the network that is described."""
    settings = saved["network"]
    width, weights, functions = settings["n_features"], 0, 0
    layers = [*settings["hidden"], {"units": settings["n_outputs"], "sampler": settings["sampler"]}]
    for layer in layers:
        units = layer.get("units", width) if isinstance(layer, dict) else layer
        if isinstance(layer, dict) and isinstance(layer.get("sampler"), dict):
            functions = max(functions, _functions(layer["sampler"].get("tables"), width))
        weights += width * units if not isinstance(layer, dict) or "sampler" in layer else 0  # of a user's own layer it is not known
        last, width = width, units
    return weights, max(functions, _functions(saved["retriever"], last))


def _functions(tables, width):
    """Numbers in the hash functions of described tables."""
    if not isinstance(tables, dict):
        return 0
    own = tables.get("family")
    K, L = ((own if isinstance(own, dict) and own.get(name) else tables).get(name) for name in ("K", "L"))
    return (width + 1) * (K or 32) * (L or 1)


def load_network(cls: type, path: str | os.PathLike) -> Any:
    """A `cls` from a file; see `Network.load`."""
    saved, arrays = read_model(path, KIND, upgrade_v1)
    with reading(path):
        # what the network would take is compared with what the file holds before anything of that size is allocated
        weights, functions = _sizes(saved)
        compress = saved["network"].get("compress")
        if compress is not None:  # n weights take n / ratio cells at least, or as many as it says
            weights = compress["cells"] or weights / max(1.0, compress["ratio"])
        if weights > sum(a.size for a in arrays.values()) or functions > MAX_FUNCTIONS:
            raise io.FormatError(f"{path!r} is damaged: its settings describe a larger network than it holds")
        network = make_network(cls, saved["network"])
        _restore(network, saved, arrays)
    return network


def _restore(network, saved, arrays):
    """Fill a network of the right settings; returns the state of the file."""
    state = restore_model(network, saved, arrays)
    for name, sampler in network.samplers().items():
        if name in state["samplers"]:
            restore(sampler, state["samplers"][name], f"sampler of {name}")
    if saved["retriever"] is not None:
        retriever = make("retriever", saved["retriever"])
        network.use_retriever(retriever)
        restore(network.retriever, state["retriever"], "retriever")
    if saved.get("ranking") is not None:
        ranking = make("ranking", saved["ranking"])
        restore(ranking, state["ranking"], "ranking")
        network.ranking = ranking
    if saved.get("features") is not None:
        features = make("features", saved["features"])
        restore(features, state["features"], "features")
        network.features = features
    if saved.get("text") is not None:
        text = make("text features", saved["text"])
        restore(text, state["text"], "text")
        network.text = text
    if "label_names" in state:
        network.label_names = names_from_state(state["label_names"], network.n_outputs)
    return state


def peek(path: str | os.PathLike) -> dict:
    """What a file says of its network, its arrays unread: ``network``, ``step``, ``epoch``, ``progress`` (a dict, or None)."""
    saved, _ = read_model(path, KIND, upgrade_v1, mmap=True)
    with reading(path):
        if type(saved["network"]) is not dict or type(saved["epoch"]) is not int or type(saved["step"]) is not int:
            raise ValueError("its settings are not those of a network")
        return {**saved, "progress": saved["state"].get("progress")}


def resume_network(network: Any, path: str | os.PathLike, accept: Callable[[Progress], None],
                   batches: BatchSampler | None = None) -> tuple:
    """Bring `network` to the state of the checkpoint at `path`.

    Parameters
    ----------
    network : Network
    path : path-like
    accept : callable
        Called with the progress of the checkpoint before the network is changed; raises an error where it cannot be gone on from.
    batches : BatchSampler, optional
        Gets its state back, too.

    Returns
    -------
    Progress or None
        None where there is no such file: the network is as it was.
    dict
        States of callbacks, for `load_callbacks`.
    """
    from mongoose_nb.nn.training.progress import Progress

    path = os.fspath(path)
    try:
        saved, arrays = read_model(path, KIND, upgrade_v1)
    except FileNotFoundError:
        return None, {}
    except io.FormatError as error:
        older = f"; an older one is {path}.1" if os.path.exists(f"{path}.1") else ""
        raise io.FormatError(f"{error}{older}") from error
    if "progress" not in saved["state"]:
        raise ValueError(f"{path!r} is a network and no checkpoint of a training: go on from it with Network.load(...).fit(...)")
    own = json.loads(json.dumps(model_settings(network)))
    with reading(path):
        progress = Progress.from_state(saved["state"]["progress"])
        # arguments that did not exist yet when the file was written have their defaults
        hidden = describe([make("layer", h) if isinstance(h, dict) else h for h in saved["network"]["hidden"]])
        sampler = describe(make("sampler", saved["network"]["sampler"]), "sampler")
        defaults = {name: value for name, value in parameters(type(network)).items() if value is not inspect.Parameter.empty}
        written = {**defaults, **saved["network"], **json.loads(json.dumps({"hidden": hidden, "sampler": sampler}))}
        differ = [name for name in own if written[name] != own[name]]
    if differ:
        name = differ[0]
        raise ValueError(f"{path!r} was written by a network with {name}={written[name]!r}, this one has {name}={own[name]!r}: "
                         "give the same settings to go on, or remove the file to start from the beginning")
    chosen = describe(UniformBatches() if batches is None else batches, "batches")
    if (saved.get("batches") or describe(UniformBatches())) != json.loads(json.dumps(chosen)):
        raise ValueError(f"{path!r} was written by a training with batches={saved.get('batches', 'uniform')!r}, this one has {chosen!r}: "
                         "give the same to go on, or remove the file to start from the beginning")
    accept(progress)
    with reading(path):
        state = _restore(network, saved, arrays)
        if "batches" in state:
            restore(batches, state["batches"], "batches")
        return progress, {part["name"]: part["state"] for part in state["callbacks"].values()}


def callback_states(callbacks: Sequence) -> dict:
    """The states of callbacks: ``name`` and ``state`` of those that have one, by number."""
    return {str(i): {"name": name, "state": state_of(callback, name)} for i, (name, callback) in enumerate(_named(callbacks))}


def load_callbacks(callbacks: Sequence, states: dict, path: str | os.PathLike) -> None:
    """Give callbacks their states back; those that the file does not know start from the beginning."""
    with reading(path):
        for name, callback in _named(callbacks):
            if name in states:
                restore(callback, states[name], name)
