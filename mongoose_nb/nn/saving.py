"""Networks on disk: what of a network is settings, what is arrays."""

import contextlib
import json
import os

from mongoose_nb.core import files as io
from mongoose_nb.core.arrays import parameter_arrays, restore_parameters
from mongoose_nb.core.registry import Registered, describe, make
from mongoose_nb.core.validation import check_int
from mongoose_nb.nn.layers.wide_hidden import Wide

KIND = "network"
# Numbers in hash functions that are drawn on the word of a file: a quarter of a gigabyte. Defaults take a hundred thousand.
MAX_FUNCTIONS = 1 << 26


def network_settings(network):
    """Constructor arguments of a network, as JSON can hold them; ValueError where one cannot be saved."""
    from mongoose_nb.nn.sampling.samplers import make_sampler

    settings = {
        "n_features": network.n_features, "n_outputs": network.n_outputs, "activation": describe(network.activation, "activation"),
        "loss": describe(network.loss, "loss"), "hidden": [_hidden(h, f"hidden[{i}]") for i, h in enumerate(network.hidden)],
        "sampler": network.sampler.settings(), "optimizer": describe(network.optimizer, "optimizer"),
        "lr_schedule": describe(network.lr_schedule, "lr_schedule"),
        "clip_norm": network.clip_norm, "init_std": network.init_std, "output_init_std": network.output_init_std,
        "seed": network.seed,
    }
    make_sampler(settings["sampler"])  # refuses now, not at loading, a rehash schedule of the user's own
    return settings


def save_network(network, path, optimizer, progress=None, keep=1):
    """Write `network`; see `Network.save`. `progress`, of a training that runs, is (Progress, callbacks)."""
    settings = network_settings(network)
    arrays = parameter_arrays(network.parameters(), optimizer)
    samplers = {}
    if optimizer:
        for name, sampler in network._samplers().items():
            samplers[name], extra = sampler.state()
            arrays.update({f"sampler.{name}.{k}": v for k, v in extra.items()})
    saved = {"network": settings, "step": network.step, "epoch": network.epoch, "samplers": samplers}
    if network.served is not None:
        saved["served"], extra = network.served.state()
        arrays.update({f"served.{k}": v for k, v in extra.items()})
    if progress is not None:
        saved["progress"], saved["callbacks"] = progress[0].settings(), {}
        for name, callback in _named(progress[1]):
            saved["callbacks"][name], extra = callback.state()
            arrays.update({f"callback.{name}.{k}": v for k, v in extra.items()})
    io.save(path, KIND, saved, arrays, keep=keep)


def _named(callbacks):
    """(name, callback) of those that have a state: the name of the class, numbered where it is not the first."""
    seen = {}
    for callback in callbacks:
        if hasattr(callback, "state") and hasattr(callback, "load_state"):
            name = type(callback).__name__
            seen[name] = seen.get(name, 0) + 1
            yield (name if seen[name] == 1 else f"{name} {seen[name]}"), callback


def _hidden(layer, where):
    if isinstance(layer, Wide):
        return {"units": layer.units, "sampler": _settings(layer.sampler)}
    return describe(layer, where) if isinstance(layer, Registered) else int(layer)


def _settings(sampler):
    from mongoose_nb.nn.sampling.samplers import make_sampler

    return make_sampler(sampler).settings()


def make_network(cls, settings):
    """An untrained `cls` from what `network_settings` gave."""
    hidden = tuple((make("layer", h) if "name" in h else Wide(h["units"], h["sampler"])) if isinstance(h, dict) else h
                   for h in settings["hidden"])
    return cls(**{**settings, "hidden": hidden})


def _sizes(settings):
    """(numbers in the weights, numbers in the hash functions of the largest sampler) of a network with these settings."""
    width, weights, functions = settings["n_features"], 0, 0
    layers = [*settings["hidden"], {"units": settings["n_outputs"], "sampler": settings["sampler"]}]
    for layer in layers:
        if isinstance(layer, dict) and "name" in layer:
            continue  # built from its description; what it needs is compared with the file when its arrays are restored
        units = layer["units"] if isinstance(layer, dict) else layer
        if isinstance(layer, dict) and isinstance(layer["sampler"], dict):
            functions = max(functions, (width + 1) * (layer["sampler"].get("K") or 32) * (layer["sampler"].get("L") or 1))
        weights += width * units
        width = units
    return weights, functions


def load_network(cls, path):
    """A `cls` from a file; see `Network.load`."""
    saved, arrays = io.load(path, KIND)
    with _reading(path):
        settings = saved["network"]
        # what the network would take is compared with what the file holds before anything of that size is allocated
        weights, functions = _sizes(settings)
        if weights > sum(a.size for a in arrays.values()) or functions > MAX_FUNCTIONS:
            raise io.FormatError(f"{path!r} is damaged: its settings describe a larger network than it holds")
        network = make_network(cls, settings)
        _restore(network, saved, arrays, path)
    return network


@contextlib.contextmanager
def _reading(path):
    """What goes wrong with the contents of a file is a FormatError."""
    try:
        yield
    except io.FormatError:
        raise
    except (KeyError, TypeError, IndexError, AttributeError, ValueError, OverflowError) as error:
        raise io.FormatError(f"{path!r} is damaged: {error}") from error


def _part(arrays, prefix):
    return {k[len(prefix):]: v for k, v in arrays.items() if k.startswith(prefix)}


def _restore(network, saved, arrays, path):
    """Fill a network of the right settings."""
    from mongoose_nb.nn.retrieval.serving import Served

    restore_parameters(network.parameters(), arrays)
    network.step, network.epoch = (check_int(name, saved[name], low=0, high=2**62) for name in ("step", "epoch"))
    for name, sampler in network._samplers().items():
        if name in saved["samplers"]:
            sampler.load_state(saved["samplers"][name], _part(arrays, f"sampler.{name}."))
    if "served" in saved:
        output, extra = network.output, {k: arrays[f"served.{k}"] for k in ("functions", "query_mean")}
        network.served = Served.from_state(output.weights, output.bias, saved["served"], extra)


def peek(path):
    """The settings of a file that `save_network` wrote, its arrays unread: ``network``, ``step``, ``epoch``, ``progress`` (or None)."""
    saved, _ = io.load(path, KIND, mmap=True)
    with _reading(path):
        if type(saved["network"]) is not dict or type(saved["epoch"]) is not int or type(saved["step"]) is not int:
            raise ValueError("its settings are not those of a network")
        return {"progress": None, **saved}


def resume_network(network, path):
    """Bring `network` to where the checkpoint at `path` stands.

    Returns
    -------
    Progress or None
        None where there is no such file: the network is as it was.
    dict
        States of callbacks by name, for `load_callbacks`.
    """
    from mongoose_nb.nn.training.progress import Progress

    path = os.fspath(path)
    try:
        saved, arrays = io.load(path, KIND)
    except FileNotFoundError:
        return None, {}
    except io.FormatError as error:
        older = f"; an older one is {path}.1" if os.path.exists(f"{path}.1") else ""
        raise io.FormatError(f"{error}{older}") from error
    if "progress" not in saved:
        raise ValueError(f"{path!r} is a network and no checkpoint of a training: go on from it with Network.load(...).fit(...)")
    own = json.loads(json.dumps(network_settings(network)))
    with _reading(path):
        progress = Progress.from_settings(saved["progress"])
        names = saved["callbacks"]
        states = {name: (names[name], _part(arrays, f"callback.{name}.")) for name in names}
        differ = [name for name in own if saved["network"][name] != own[name]]
    if differ:
        name = differ[0]
        raise ValueError(f"{path!r} was written by a network with {name}={saved['network'][name]!r}, this one has {name}={own[name]!r}: "
                         "give the same settings to go on, or remove the file to begin anew")
    with _reading(path):
        _restore(network, saved, arrays, path)
    return progress, states


def load_callbacks(network, callbacks, states, path):
    """Give callbacks their states back; those that were not there begin anew."""
    with _reading(path):
        for name, callback in _named(callbacks):
            if name in states:
                callback.load_state(network, *states[name])
