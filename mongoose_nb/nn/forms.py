"""Other forms of the linear maps of a model: structured ones made dense, dense ones projected."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mongoose_nb.core.registry import fresh, name_of
from mongoose_nb.nn.layers.base import Layer, named
from mongoose_nb.nn.layers.linear_map import LinearMap, find_map
from mongoose_nb.nn.layers.sequential import Sequential


def converted(layer: Layer, cls: type[LinearMap], options: dict) -> Layer:
    """A layer, and the layers of a `Sequential`, with linear maps of the form `cls`; the layer itself where it has none of another form."""
    if isinstance(layer, Sequential):
        parts = [converted(part, cls, options) for part in layer.layers]
        if all(new is old for new, old in zip(parts, layer.layers)):
            return layer
        out = Sequential(parts, layer.names)
        out.activation, out.n_outputs = layer.activation, layer.n_outputs
        return out
    if not isinstance(layer, LinearMap) or type(layer) is cls and not options:
        return layer
    return cls.of_map(layer, **options)


def change_network(network: Any, kind: str | dict) -> bool:
    """Give all linear maps among a network's hidden layers another form; whether there was one. A call that fails changes nothing.

    Raises
    ------
    ValueError
        If an option does not fit a layer, or if there is none to change but one behind the first that has no other form.
    """
    cls, options = find_map(kind)
    with network.lock:
        layers = []
        for i, layer in enumerate(network.layers):
            try:
                layers.append(converted(layer, cls, options))
            except (ValueError, TypeError) as error:
                raise type(error)(f"hidden[{i}]: {error}") from error
        changed = [new is not old for new, old in zip(layers, network.layers)]
        fixed = [f"hidden[{i}]: {layer.fixed_form}" for i, layer in enumerate(layers) if i and layer.fixed_form]
        if fixed and not any(changed):
            raise ValueError(f"cannot make layers {name_of(cls)}: {fixed[0]}")
        hidden = tuple(_description(new) if other else spec for new, spec, other in zip(layers, network.hidden, changed))
        network.take_layers(layers, hidden)
    return any(changed)


def _description(layer):
    """What `Network(hidden=...)` takes for a layer."""
    if isinstance(layer, Sequential):
        return Sequential([_description(part) for part in layer.layers], layer.names)
    return fresh(layer)


def converted_maps(holders: Iterable[Layer], kinds: dict[str, Any]) -> list[tuple[Layer, str, Layer]]:
    """(layer, attribute, its linear map in another form) of linear maps that are attributes of some layers, from forms by attribute."""
    forms = {name: find_map(kind) for name, kind in kinds.items()}
    return [(holder, name, converted(getattr(holder, name), *form)) for holder in holders for name, form in forms.items()]


def parameters_of(layers: dict[str, Layer], optimizer: Any) -> dict:
    """The parameters of named layers, with the moments that an optimiser keeps."""
    out = named((name, layer.parameters()) for name, layer in layers.items())
    for parameter in out.values():
        parameter.attach(optimizer)
    return out
