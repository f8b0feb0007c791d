"""Models on disk: settings, parameters, and the state of samplers and learned rotations."""

from __future__ import annotations

import os
from typing import Any

from mongoose_nb.core import files as io
from mongoose_nb.core.saving import join, restore, split, state_of
from mongoose_nb.nn.saving import VERSION, model_settings, read_model, reading, restore_model, write_model
from mongoose_nb.nn.saving_v1 import sampler_state_v1, sampler_v1

KIND = "reformer"


def _stateful(model):
    """What has a state beside its parameters, by name."""
    rotations = {f"rotations{i}": core.rotations for i, core in enumerate(model.cores) if core.rotations is not None}
    return rotations if model.bound_sampler is None else {**rotations, "sampler": model.bound_sampler}


def save_model(model: Any, path: str | os.PathLike, optimizer: bool, keep: int = 1, half: bool = False) -> None:
    """Write `model`; see `ReformerLM.save`."""
    state = {name: state_of(part, name) for name, part in _stateful(model).items()}
    write_model(model, path, KIND, {"model": model_settings(model)}, state, optimizer=optimizer, keep=keep, half=half)


def upgrade_v1(saved: dict, arrays: dict) -> tuple[dict, dict]:
    """What a file of content version 1 held, in the form of this version."""
    model = dict(saved["model"])
    if model["sampler"] is not None:
        model["sampler"] = sampler_v1(model["sampler"])
    state, more = {}, {}
    for name, own in saved["states"].items():
        prefix = f"{name}."
        part = join(own, {key[len(prefix):]: array for key, array in arrays.items() if key.startswith(prefix)})
        if name == "sampler" and model["sampler"] is not None:
            state[name] = sampler_state_v1(part)
        elif own:  # layers without a state had an empty one
            state[name] = part
    state, more = split(state, "state.")
    kept = {name: array for name, array in arrays.items() if not name.startswith(tuple(f"{name}." for name in saved["states"]))}
    return {"version": VERSION, "model": model, "step": saved["step"], "epoch": saved["epoch"], "state": state}, {**kept, **more}


def load_model(cls: type, path: str | os.PathLike) -> Any:
    """A `cls` from a file; see `ReformerLM.load`."""
    saved, arrays = read_model(path, KIND, upgrade_v1)
    with reading(path):
        settings = saved["model"]
        # what the model would take is compared with what the file holds before anything of that size is allocated
        stated = settings["n_tokens"] * (settings["width"] + settings["embedding_width"])
        if stated > sum(a.size for a in arrays.values()):
            raise io.FormatError(f"{path!r} is damaged: its settings describe a larger model than it holds")
        model = cls(**settings)
        state = restore_model(model, saved, arrays)
        for name, part in _stateful(model).items():
            restore(part, state[name], name)
    return model
