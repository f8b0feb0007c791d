"""Names of outputs: what a label is called by those who gave it, kept with the network and given back by predictions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from mongoose_nb.core.labels import as_labels


def check_names(names: Any, n_outputs: int, where: str = "label_names") -> np.ndarray:
    """Names as an array.

    Parameters
    ----------
    names : sequence of str, or array of strings, numbers or booleans
        One for each output; none twice.
    n_outputs : int
    where : str
        What errors call them.

    Returns
    -------
    (n_outputs,) array

    Raises
    ------
    ValueError, TypeError
        If they are not as described.
    """
    if isinstance(names, str | bytes) or not hasattr(names, "__len__"):
        raise TypeError(f"{where} must be a list or array with a name for each of the {n_outputs} outputs; got {type(names).__name__}")
    names = as_labels(names, where) if isinstance(names, list | tuple) else names  # an array keeps what it was given
    names = np.array(names, dtype=getattr(names, "dtype", None))
    if names.ndim != 1 or len(names) != n_outputs:
        raise ValueError(f"{where} has shape {names.shape}; expected one name for each of the {n_outputs} outputs")
    if names.dtype.kind not in "biufUO":
        raise TypeError(f"{where} has dtype {names.dtype}; names are strings, numbers or booleans")
    seen: set = set()
    for name in names.tolist():
        if name in seen:
            raise ValueError(f"{where} has {name!r} twice; every output needs a name of its own")
        seen.add(name)
    names.flags.writeable = False
    return names


def names_of(names: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Names of ids, an object array of their shape; None where an id is -1."""
    out = np.full(np.shape(ids), None, object)
    found = np.asarray(ids) >= 0
    out[found] = names[np.asarray(ids)[found]].tolist()
    return out


def pack_strings(strings: Sequence) -> np.ndarray:
    """Strings, or other values that JSON can hold, as bytes that a file of arrays can hold.

    Raises
    ------
    TypeError
        For a value that JSON cannot hold.
    """
    return np.frombuffer(json.dumps(list(strings), ensure_ascii=False).encode("utf-8", "surrogatepass"), np.uint8)


def unpack_strings(packed: np.ndarray) -> list:
    """What `pack_strings` packed."""
    try:
        values = json.loads(np.asarray(packed, np.uint8).tobytes().decode("utf-8", "surrogatepass"))
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise ValueError(f"packed strings cannot be read: {error}") from error
    if not isinstance(values, list):
        raise ValueError(f"packed strings are a {type(values).__name__} instead of a list")
    return values


def state_of_names(names: np.ndarray) -> dict:
    """Names as a file holds them.

    Raises
    ------
    TypeError
        For names that a file cannot hold.
    """
    wrong = [name for name in names.tolist() if not isinstance(name, str | int | float | bool)]
    if wrong:
        raise TypeError(f"the label {wrong[0]!r} is a {type(wrong[0]).__qualname__}, which a file cannot hold; names are strings, numbers "
                        "or booleans")
    return {"dtype": names.dtype.str, "packed": pack_strings(names.tolist())}


def names_from_state(state: dict, n_outputs: int) -> np.ndarray:
    """The names that `state_of_names` described, for so many outputs."""
    dtype, values = np.dtype(state["dtype"]), unpack_strings(state["packed"])
    if dtype.kind not in "biufUO":
        raise ValueError(f"the saved names have dtype {dtype}")
    if dtype.kind == "U":
        dtype = np.dtype(str)  # as wide as they are
    out = np.empty(len(values), object)
    out[:] = values
    return check_names(out if dtype.kind == "O" else np.array(values, dtype), n_outputs)
