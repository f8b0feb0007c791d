"""Networks on disk: what of a network is settings, what is arrays."""

from mongoose_nb import io
from mongoose_nb.nn.lr import schedule_settings

KIND = "network"


def save_network(network, path, optimizer):
    """Write `network`; see `Network.save`."""
    from mongoose_nb.nn.network import Wide
    from mongoose_nb.nn.samplers import make_sampler

    schedule = schedule_settings(network.lr_schedule)
    if schedule is None:
        raise ValueError("a learning-rate schedule of your own cannot be saved; set network.lr_schedule to one of nn.lr first")
    settings = {
        "n_features": network.n_features, "n_outputs": network.n_outputs, "activation": network.activation, "loss": network.loss,
        "hidden": [{"units": h.units, "sampler": _settings(h.sampler)} if isinstance(h, Wide) else int(h) for h in network.hidden],
        "sampler": network.sampler.settings(), "optimizer": network.optimizer.settings(), "lr_schedule": schedule,
        "clip_norm": network.clip_norm, "init_std": network.init_std, "output_init_std": network.output_init_std,
        "seed": network.seed,
    }
    make_sampler(settings["sampler"])  # refuses now, not at loading, a rehash schedule of the user's own
    arrays = {}
    for name, parameter in network.parameters().items():
        arrays.update(parameter.arrays(name) if optimizer else {name: parameter.value})
    samplers = {}
    if optimizer:
        for name, sampler in network._samplers().items():
            samplers[name], extra = sampler.state()
            arrays.update({f"sampler.{name}.{k}": v for k, v in extra.items()})
    saved = {"network": settings, "step": network.step, "epoch": network.epoch, "samplers": samplers}
    if network.served is not None:
        saved["served"], extra = network.served.state()
        arrays.update({f"served.{k}": v for k, v in extra.items()})
    io.save(path, KIND, saved, arrays)


def _settings(sampler):
    from mongoose_nb.nn.samplers import make_sampler

    return make_sampler(sampler).settings()


def load_network(cls, path):
    """A `cls` from a file; see `Network.load`."""
    from mongoose_nb.nn.network import Wide
    from mongoose_nb.nn.serving import Served

    saved, arrays = io.load(path, KIND)
    try:
        settings = dict(saved["network"])
        settings["hidden"] = tuple(Wide(h["units"], h["sampler"]) if isinstance(h, dict) else h for h in settings["hidden"])
        # what the network would take is compared with what the file holds before anything of that size is allocated
        stated = settings["n_features"] * settings["hidden"][0] + settings["n_outputs"]
        if stated > sum(a.size for a in arrays.values()):
            raise io.FormatError(f"{path!r} is damaged: its settings describe a larger network than it holds")
        network = cls(**settings)
        for name, parameter in network.parameters().items():
            for part, own in ((name, parameter.value), (f"{name}.m", parameter.m), (f"{name}.v", parameter.v)):
                if part in arrays and arrays[part].shape != own.shape:
                    raise io.FormatError(f"{path!r} is damaged: {part!r} has shape {arrays[part].shape}, the network needs {own.shape}")
            parameter.restore(name, arrays)
        network.step, network.epoch = int(saved["step"]), int(saved["epoch"])
        for name, sampler in network._samplers().items():
            if name in saved["samplers"]:
                prefix = f"sampler.{name}."
                sampler.load_state(saved["samplers"][name], {k[len(prefix):]: v for k, v in arrays.items() if k.startswith(prefix)})
        if "served" in saved:
            output, extra = network.output, {k: arrays[f"served.{k}"] for k in ("functions", "query_mean")}
            network.served = Served.from_state(output.weights, output.bias, saved["served"], extra)
    except io.FormatError:
        raise
    except (KeyError, TypeError, IndexError, AttributeError, ValueError) as error:
        raise io.FormatError(f"{path!r} is damaged: {error}") from error
    return network
