"""Files of content version 1, which had flat settings and prefixes, in the form of version 2; see `mongoose_nb.nn.saving`."""

from __future__ import annotations

from mongoose_nb.core.registry import describe, make
from mongoose_nb.core.saving import join, split
from mongoose_nb.nn.layers.wide_hidden import Wide

_CALLBACKS = {"EarlyStopping": "early stopping", "JSONLines": "json lines", "Diagnostics": "diagnostics"}
_TABLES = ("family", "K", "L", "capacity", "policy", "center", "rehash", "rebuild", "learn")


def upgrade_v1(saved: dict, arrays: dict) -> tuple[dict, dict]:
    """What a file of content version 1 held, in the form of this version.

    Parameters
    ----------
    saved : dict
    arrays : dict of str to array

    Returns
    -------
    saved : dict
    arrays : dict of str to array
    """
    def part(prefix):
        return {name[len(prefix):]: array for name, array in arrays.items() if name.startswith(prefix)}

    state = {"samplers": {name: sampler_state_v1(join(own, part(f"sampler.{name}."))) for name, own in saved["samplers"].items()},
             "callbacks": {}}
    retriever = None
    if "served" in saved:
        served = dict(saved["served"])
        state["retriever"] = {"query_extra": served.pop("extra"), **part("served.")}
        # the seed was that of the network
        retriever = {"name": "label sensitive", **{name: served[name] for name in ("K", "L", "candidates")}}
    if "progress" in saved:
        progress = saved["progress"]
        for entry in [progress["counts"], *progress["history"]]:
            if "filler" in entry:
                entry["uniform"] = entry.pop("filler")
        state["progress"] = progress
        for i, (name, own) in enumerate(saved["callbacks"].items()):
            cls, *number = name.split(" ")
            state["callbacks"][str(i)] = {"name": " ".join([_CALLBACKS.get(cls, cls), *number]),
                                          "state": _callback_state(own, part(f"callback.{name}."))}
    out = {"version": 2, "network": settings_v1(saved["network"]), "retriever": retriever, "step": saved["step"],
           "epoch": saved["epoch"]}
    out["state"], more = split(state, "state.")
    kept = {name: array for name, array in arrays.items() if not name.startswith(("sampler.", "served.", "callback."))}
    return out, {**kept, **more}


def settings_v1(settings: dict) -> dict:
    """The description of a network from its settings of content version 1."""
    hidden = describe([Wide(h["units"], sampler_v1(h["sampler"])) if isinstance(h, dict) else h for h in settings["hidden"]])
    return {**settings, "sampler": sampler_v1(settings["sampler"]), "hidden": hidden,
            "optimizer": describe(make("optimizer", settings["optimizer"])),
            "lr_schedule": describe(make("learning-rate schedule", settings["lr_schedule"]))}


def sampler_v1(settings: dict) -> dict:
    """The description of a sampler from its flat settings of content version 1."""
    settings = dict(settings)
    if settings["name"] == "lsh":
        settings["tables"] = {"name": "tables", **{name: settings.pop(name) for name in _TABLES if name in settings}}
        min_votes = settings.pop("min_votes", 2)
        if settings.get("strategy") == "threshold":
            settings["strategy"] = {"name": "threshold", "min_votes": min_votes}
    return describe(make("sampler", settings), "sampler")


def sampler_state_v1(state: dict) -> dict:
    """The state of a sampler from the nested one of content version 1."""
    if "label_counts" in state:
        return {"corrector": {"frequency": {"counts": state["label_counts"], "samples": state["samples"]}}}
    if "observed" not in state:
        return state
    manager = {name: value for name, value in state.items() if name not in ("extra", "split", "hashed_means", "began", "hits", "seen")}
    manager["query_extra"] = state["extra"]
    if manager["tables"] is None:
        del manager["tables"]
    if "recent" in manager:
        manager["recent"]["seen"] = int(manager["recent"]["seen"][0])
    # tables that say nothing of looks were used from the first step on
    out = {"manager": manager, "began": state.get("began", 0), "hits": state.get("hits", 0), "seen": state.get("seen", 0)}
    if "split" in state:
        out["split"] = state["split"]
    if "hashed_means" in state:
        out["corrector"] = {"means": state["hashed_means"]}
    return out


def _callback_state(state, weights):
    """The state of a callback of content version 1; arrays were the best weights of `EarlyStopping`."""
    if "monitor" not in state:
        return state if "points" not in state else {"trace": state}
    state = {**state, "watched": state["monitor"], "weights": None}
    # biases of layers were matrices of one row
    weights = {name: array[0] if name.endswith(".bias") and array.ndim == 2 else array for name, array in weights.items()}
    return {**state, "weights": join({}, weights)} if weights else state
