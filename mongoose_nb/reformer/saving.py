"""Models on disk: what of a model is settings, what is arrays."""

from mongoose_nb.core import files as io
from mongoose_nb.core.registry import describe
from mongoose_nb.nn.saving import sampler_v1

KIND = "reformer"
PLAIN = ("n_tokens", "max_length", "width", "embedding_width", "n_layers", "n_heads", "ff_width", "activation", "ff_chunks", "attention",
         "n_hashes", "bucket_size", "full_attention_up_to", "thresh", "scheduler_hashes", "lr_rotations", "margin", "positions", "dropout",
         "reversible", "clip_norm", "seed", "dtype")


def model_settings(model):
    """Constructor arguments of a model, as JSON can hold them."""
    settings = {name: list(value) if isinstance(value := getattr(model, name), tuple) else value for name in PLAIN}
    return {**settings, "optimizer": describe(model.optimizer, "optimizer"), "lr_schedule": describe(model.lr_schedule, "lr_schedule"),
            "sampler": None if model.sampler is None else describe(model.sampler, "sampler")}


def saved_settings(model):
    """The settings that a file holds."""
    settings = model_settings(model)
    if settings["lr_schedule"] is None:
        raise ValueError("a learning-rate schedule of your own cannot be saved; set model.lr_schedule to one of nn.lr first")
    return settings


def save_model(model, path, optimizer, keep=1):
    """Write `model`; see `ReformerLM.save`."""
    settings = saved_settings(model)
    arrays = {}
    for name, parameter in model.parameters().items():
        arrays.update(parameter.arrays(name) if optimizer else {name: parameter.value})
    states = {}
    for name, part in model._stateful().items():
        states[name], extra = part.state()
        arrays.update({f"{name}.{key}": value for key, value in extra.items()})
    io.save(path, KIND, {"model": settings, "step": model.step, "epoch": model.epoch, "states": states}, arrays, keep=keep)


def load_model(cls, path):
    """A `cls` from a file; see `ReformerLM.load`."""
    saved, arrays = io.load(path, KIND)
    try:
        settings = dict(saved["model"])
        if settings["sampler"] is not None and "strategy" in settings["sampler"] and "tables" not in settings["sampler"]:
            settings["sampler"] = sampler_v1(settings["sampler"])
        # what the model would take is compared with what the file holds before anything of that size is allocated
        stated = settings["n_tokens"] * (settings["width"] + settings["embedding_width"])
        if stated > sum(a.size for a in arrays.values()):
            raise io.FormatError(f"{path!r} is damaged: its settings describe a larger model than it holds")
        model = cls(**settings)
        for name, parameter in model.parameters().items():
            for part, own in ((name, parameter.value), (f"{name}.m", parameter.m), (f"{name}.v", parameter.v)):
                if part in arrays and arrays[part].shape != own.shape:
                    raise io.FormatError(f"{path!r} is damaged: {part!r} has shape {arrays[part].shape}, the model needs {own.shape}")
            parameter.restore(name, arrays)
        model.step, model.epoch = int(saved["step"]), int(saved["epoch"])
        for name, part in model._stateful().items():
            prefix = f"{name}."
            part.load_state(saved["states"][name], {k[len(prefix):]: v for k, v in arrays.items() if k.startswith(prefix)})
    except io.FormatError:
        raise
    except (KeyError, TypeError, IndexError, AttributeError, ValueError) as error:
        raise io.FormatError(f"{path!r} is damaged: {error}") from error
    return model
