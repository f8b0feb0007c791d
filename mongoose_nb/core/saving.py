"""State that changes while an object is used, saved and restored by walking what its class declares.

::

    class Popularity(Sampler):
        saved_state = ("counts", "_seen")       attributes: numbers, strings, None, lists, dicts, arrays, objects with a state

    state = state_of(sampler)                   nested dicts of plain values and arrays
    settings, arrays = split(state)             what JSON can hold; arrays by dotted name: what `core.files` writes
    restore(sampler, join(settings, arrays))    into an object that was made with the same arguments

The description of an object (`mongoose_nb.core.registry.describe`) says how to make it; the state says what has happened to it since.
An attribute is saved without the underscore that its name may begin with.

A. *State is put into an object that exists.* A number keeps its type and an array its dtype and shape (`resizable` names those whose
   shape may differ), so a damaged file is refused here and not found later by a kernel. Integers of a resizable array are saved in the
   fewest bytes that hold them.
B. *Containers with an invariant of their own* (hash families, tables, the bucket store, the drift sketch) are values instead: they have
   ``state()``, which gives such a dict, and a class method ``from_state(dict)``, which checks it and makes another one.
C. *Everything of an object is read and checked before its first attribute is set.* `state_restored` is called last, for what has to
   be derived, and for checks of several values together.
"""

from __future__ import annotations

import copy
import math
import numbers
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np


class Stateful:
    """Base of objects with a state: names in `saved_state` what has to be saved of them."""

    #: attributes that change while the object is used
    saved_state: tuple[str, ...] = ()
    #: those of them that are arrays whose shape may differ from that of a new object
    resizable: tuple[str, ...] = ()
    #: those of them that may be missing in files of earlier versions, and then stay as they are
    optional: tuple[str, ...] = ()

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        for name in ("saved_state", "resizable", "optional"):
            if isinstance(getattr(cls, name), str):
                raise TypeError(f"{cls.__qualname__}.{name} must be a tuple of attribute names; got {getattr(cls, name)!r}")

    def state_restored(self) -> None:
        """Called when all of `saved_state` has been restored. Raise a ValueError where it does not fit together."""


def _saved_name(attribute):
    return attribute.lstrip("_")


def _is_value(value):
    return hasattr(value, "state") and hasattr(type(value), "from_state")


def state_of(obj: Any, where: str | None = None) -> dict[str, Any]:
    """The state of an object.

    Parameters
    ----------
    obj : Stateful
    where : str, optional
        What errors call it.

    Returns
    -------
    dict
        By name; nested objects are dicts too.

    Raises
    ------
    TypeError
        For a value that a file cannot hold; the message names it.
    """
    where = type(obj).__name__ if where is None else where
    missing = [name for name in obj.saved_state if not hasattr(obj, name)]
    if missing:
        raise TypeError(f"saved_state of {type(obj).__qualname__} names {missing[0]!r}, which {where} does not have; set it in the "
                        "constructor or when the object is bound")
    out = {_saved_name(name): _plain(getattr(obj, name), f"{where}.{_saved_name(name)}") for name in obj.saved_state}
    return out | {_saved_name(name): _narrow(out[_saved_name(name)]) for name in obj.resizable}


def _narrow(array):
    """Integers in the fewest bytes that hold them; other arrays as they are."""
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "iu" or not array.size or array.min() < 0:
        return array
    fewest = np.min_scalar_type(array.max())
    return array.astype(fewest) if fewest.itemsize < array.dtype.itemsize else array


def _plain(value, where):
    """A value as a state holds it."""
    if value is None or isinstance(value, bool | int | float | str | np.ndarray):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Stateful):
        return state_of(value, where)
    if _is_value(value):
        return value.state()
    if isinstance(value, list | tuple):
        return [_plain(item, f"{where}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: _plain(item, f"{where}[{key!r}]") for key, item in value.items()}
    raise TypeError(f"{where} is a {type(value).__module__}.{type(value).__qualname__}, which a file cannot hold; keep it as numbers, "
                    "strings or arrays, or derive its class from mongoose_nb.core.saving.Stateful and name its saved_state")


def split(state: dict[str, Any], prefix: str = "") -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """A state as what JSON can hold, and its arrays.

    Returns
    -------
    settings : dict
    arrays : dict of str to array
        Under the names of the dicts that they are in, joined by dots.
    """
    settings, arrays = {}, {}
    for name, value in state.items():
        if isinstance(value, np.ndarray):
            arrays[prefix + name] = value
        elif isinstance(value, dict):
            settings[name], more = split(value, f"{prefix}{name}.")
            arrays.update(more)
        else:
            settings[name] = value
    return settings, arrays


def join(settings: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The state that `split` has split."""
    state = {name: join(value, {}) if isinstance(value, dict) else value for name, value in settings.items()}
    for dotted, array in arrays.items():
        *path, name = dotted.split(".")
        place = state
        for step in path:
            place = place.setdefault(step, {})
            if not isinstance(place, dict):
                raise ValueError(f"array {dotted!r} belongs to {step!r}, which is {place!r}")
        place[name] = array
    return state


def restore(obj: Any, state: dict[str, Any], where: str | None = None) -> None:
    """Put back what `state_of` gave, into an object that was made with the same arguments.

    Parameters
    ----------
    obj : Stateful
    state : dict
    where : str, optional
        What errors call it.

    Raises
    ------
    ValueError
        If something is missing, or of another type or shape than the object needs.
    """
    where = type(obj).__name__ if where is None else where
    if not isinstance(state, dict):
        raise ValueError(f"the saved state of {where} is {state!r} instead of names and values")
    values, nested = {}, []
    for attribute in obj.saved_state:
        name, own = _saved_name(attribute), getattr(obj, attribute)
        here = f"{where}.{name}"
        if name not in state and attribute not in state:
            if attribute in obj.optional:
                continue
            raise ValueError(f"the saved state lacks {here}")
        saved = state[name] if name in state else state[attribute]
        if isinstance(own, Stateful):
            nested.append((own, saved, here))
        elif own is not None and _is_value(own):
            values[attribute] = type(own).from_state(saved)
        elif isinstance(saved, np.ndarray):
            values[attribute] = _array(own, saved, attribute in obj.resizable, here)
        else:
            values[attribute] = _scalar(own, saved, here)
    for own, saved, here in nested:
        restore(own, saved, here)
    for attribute, value in values.items():
        setattr(obj, attribute, value)
    obj.state_restored()


def _array(own, saved, resizable, where):
    if isinstance(own, np.ndarray):
        if resizable and {saved.dtype.kind, own.dtype.kind} <= set("iu") and np.can_cast(saved.dtype, own.dtype):
            saved = saved.astype(own.dtype)
        if saved.dtype != own.dtype or saved.ndim != own.ndim or not (resizable or saved.shape == own.shape):
            raise ValueError(f"the saved {where} is {saved.dtype} {saved.shape}; needed is {own.dtype} {own.shape} (a class names "
                             "attributes whose shape may change in `resizable`)")
    elif own is not None:
        raise ValueError(f"the saved {where} is an array; needed is a value like {own!r}")
    return np.array(saved)  # what comes from a file may be read-only


def _scalar(own, saved, where):
    if isinstance(own, bool | np.bool_):
        fits = isinstance(saved, bool)
    elif isinstance(own, numbers.Integral):
        fits = isinstance(saved, int) and not isinstance(saved, bool)
    elif isinstance(own, numbers.Real):
        fits = isinstance(saved, int | float) and not isinstance(saved, bool) and math.isfinite(saved)
    elif isinstance(own, str | list | tuple | dict):
        fits = isinstance(saved, list if isinstance(own, tuple) else type(own))
    else:
        fits = not isinstance(own, np.ndarray)
    if not fits:
        raise ValueError(f"the saved {where} is {saved!r}; needed is a value like {own!r} (an attribute keeps the type of its first "
                         "value)")
    if isinstance(own, np.generic):
        return own.dtype.type(saved)
    if isinstance(own, float):
        return float(saved)
    return tuple(saved) if isinstance(own, tuple) else saved


def remember(obj: Stateful) -> Callable[[], None]:
    """What puts an object back into its present state, within the process, after work that has failed.

    Parameters
    ----------
    obj : Stateful
        Containers with an invariant of their own (note B) are taken as they are: they are replaced, or not changed.

    Returns
    -------
    callable
    """
    values = {name: getattr(obj, name) for name in obj.saved_state if hasattr(obj, name)}
    inner = [remember(value) for value in values.values() if isinstance(value, Stateful)]
    copies = {name: copy.deepcopy(value) for name, value in values.items() if isinstance(value, np.ndarray | list | dict)}

    def put_back():
        for name, value in values.items():
            if isinstance(value, np.ndarray):
                value[...] = copies[name]
            setattr(obj, name, copies[name] if isinstance(value, list | dict) else value)
        for one in inner:
            one()

    return put_back
