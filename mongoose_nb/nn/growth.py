"""A network with more outputs than before: what is learned stays, and the new outputs start as in a new network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mongoose_nb.core.labels import as_labels
from mongoose_nb.core.registry import parameters
from mongoose_nb.core.saving import restore, state_of
from mongoose_nb.core.validation import check_int
from mongoose_nb.nn.layers.hashed_output import check_matrix


def grown(network: Any, more: int, names: Sequence | None = None) -> Any:
    """A copy of a network with more outputs; see `Network.grown`."""
    more = check_int("more", more, low=1)
    check_matrix(network.output, "where the place of every weight depends on the number of outputs, so that one with more outputs would "
                                 "keep nothing of what was learned: train a new network with all outputs")
    if (names is None) != (network.label_names is None):
        raise ValueError("this network has names of labels: give those of the new ones, too" if names is None else
                         "this network has no names of labels: set network.label_names before, or leave out names")
    if names is not None and (isinstance(names, str) or len(names) != more):
        raise ValueError(f"names must be a list of {more} names, one for each new output; got {names!r}")
    arguments = {name: getattr(network, name) for name in parameters(type(network)) if name != "lr"}
    with network.lock:
        out = type(network)(**{**arguments, "n_outputs": network.n_outputs + more})
        _copy(network, out)
    out.text, out.features = network.text, network.features
    if names is not None:
        out.label_names = as_labels([*network.label_names.tolist(), *np.asarray(names).tolist()], "the names of old and new outputs")
    return out


def _copy(old: Any, new: Any) -> None:
    """Parameters with their moments, counts, and the state of hidden samplers."""
    for name, parameter in old.parameters().items():
        other = new.parameters()[name]
        for part in ("value", "m", "v"):
            have: Any = getattr(parameter, part)
            if part == "value" or have is not parameter.value:
                getattr(other, part)[:len(have)] = have
    new.step, new.epoch = old.step, old.epoch
    for name, sampler in old.samplers().items():
        if name != "output":
            restore(new.samplers()[name], state_of(sampler), f"sampler of {name}")
    new.rehash()
