"""Models on disk: settings, parameters, and the state of samplers and learned rotations."""

from mongoose_nb.core import files as io
from mongoose_nb.core.arrays import parameter_arrays, restore_parameters
from mongoose_nb.core.registry import Registered, describe, parameters
from mongoose_nb.core.saving import Stateful, join, restore, split, state_of

KIND = "reformer"


def model_settings(model):
    """Constructor arguments of a model, as JSON can hold them; a TypeError names what a file cannot hold."""
    sampler = model.sampler
    if sampler is not None:
        sampler = describe(sampler, "sampler") if isinstance(sampler, Registered) else sampler.settings()
    names = [name for name in parameters(type(model)) if name != "lr"]  # the optimiser has it
    return {**{name: describe(getattr(model, name), name) for name in names if name != "sampler"}, "sampler": sampler}


def _stateful(model):
    """What has a state beside its parameters, by name."""
    return {f"rotations{i}": core.rotations for i, core in enumerate(model.cores) if core.rotations is not None}


def save_model(model, path, optimizer, keep=1):
    """Write `model`; see `ReformerLM.save`."""
    state = {name: state_of(part, name) for name, part in _stateful(model).items()}
    sampler = model.bound_sampler
    if sampler is not None:
        state["sampler"] = state_of(sampler, "sampler") if isinstance(sampler, Stateful) else join(*sampler.state())
    settings, arrays = split(state)
    io.save(path, KIND, {"version": 2, "model": model_settings(model), "step": model.step, "epoch": model.epoch, "state": settings},
            {**arrays, **parameter_arrays(model.parameters(), optimizer)}, keep=keep)


def upgrade_v1(saved):
    """The settings of a file of content version 1 in the form of version 2: states of layers without one were empty."""
    saved = dict(saved)
    saved["state"] = {name: state for name, state in saved.pop("states").items() if state or name == "sampler"}
    if saved["model"]["sampler"] is None:
        saved["state"].pop("sampler", None)
    return saved


def load_model(cls, path):
    """A `cls` from a file; see `ReformerLM.load`."""
    saved, arrays = io.load(path, KIND)
    try:
        if saved.get("version", 1) == 1:
            saved = upgrade_v1(saved)
        settings = saved["model"]
        # what the model would take is compared with what the file holds before anything of that size is allocated
        stated = settings["n_tokens"] * (settings["width"] + settings["embedding_width"])
        if stated > sum(a.size for a in arrays.values()):
            raise io.FormatError(f"{path!r} is damaged: its settings describe a larger model than it holds")
        model = cls(**settings)
        parameters = model.parameters()
        restore_parameters(parameters, arrays)
        own = {name + moment for name in parameters for moment in ("", ".m", ".v")}
        state = join(saved["state"], {name: array for name, array in arrays.items() if name not in own})
        model.step, model.epoch = int(saved["step"]), int(saved["epoch"])
        for name, part in _stateful(model).items():
            restore(part, state[name], name)
        sampler = model.bound_sampler
        if sampler is not None:
            restore(sampler, state["sampler"], "sampler") if isinstance(sampler, Stateful) else sampler.load_state(*_flat(state["sampler"]))
    except io.FormatError:
        raise
    except (KeyError, TypeError, IndexError, AttributeError, ValueError) as error:
        raise io.FormatError(f"{path!r} is damaged: {error}") from error
    return model


def _flat(state):
    """(settings, arrays) for samplers that take their state so."""
    return split(state)
