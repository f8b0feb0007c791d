"""Estimators in files: the file of the network, with what the estimator knows beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mongoose_nb.core.files import FormatError
from mongoose_nb.core.registry import describe, rebuild

if TYPE_CHECKING:
    import os

    from mongoose_nb.nn import Network
    from mongoose_nb.sklearn.targets import Targets


def names_to_keep(classes: np.ndarray, targets: Targets) -> np.ndarray | None:
    """Classes that the network keeps as the names of its outputs; None where they are column numbers, or where a file cannot hold them."""
    columns = targets.multilabel and targets.form != "names" and np.array_equal(classes, np.arange(len(classes)))
    plain = all(isinstance(name, str | int | float | bool) for name in classes.tolist())
    return None if columns or not plain or classes.dtype.kind not in "biufUO" else classes


class SavedEstimator:
    """`save` and `load` of an estimator, whose state they ask for by `file_state` and give back by `from_file_state`."""

    def save(self, path: str | os.PathLike, *, optimizer: bool = True, half: bool = False) -> None:
        """Write the estimator to one file, replacing it as a whole; `Network.load` and ``mongoose predict`` read it, too.

        Parameters
        ----------
        path : path-like
        optimizer : bool
            With the optimiser's moments and the hash tables, so that `partial_fit` goes on exactly; without, a third of the size.
        half : bool
            With parameters at half precision, which halves such a file once more; only without the optimiser's moments. Scores differ
            in the fourth digit.

        Raises
        ------
        ValueError
            For ``half=True`` with ``optimizer=True``, or with parameters beyond 65,504.
        TypeError
            For parameters or classes that a file cannot hold.
        """
        from mongoose_nb.nn.saving import save_network

        network, state = self.file_state()
        with network.lock:
            save_network(network, path, optimizer, more={"estimator": state}, half=half)

    @classmethod
    def load(cls, path: str | os.PathLike) -> Any:
        """Read an estimator that `save` wrote, or a network, such as one of ``mongoose train``, as an estimator of labels.

        Parameters
        ----------
        path : path-like
            A file; nothing in it is run.

        Returns
        -------
        The estimator
        """
        from mongoose_nb.nn import Network
        from mongoose_nb.nn.saving import peek, reading

        network, state = Network.load(path), peek(path).get("estimator")
        with reading(path):
            return cls.from_file_state(network, state)

    def file_state(self) -> tuple[Network, dict]:
        """(the network, what JSON can hold of the estimator)."""
        raise NotImplementedError  # abstract

    @classmethod
    def from_file_state(cls, network: Network, state: dict | None) -> Any:
        """The estimator of a network and of what `file_state` gave; None for a network that was saved alone."""
        raise NotImplementedError  # abstract


def describe_parameters(parameters: dict[str, Any], seed: int) -> dict[str, Any]:
    """Arguments of an estimator as JSON can hold them; a generator of random numbers as the seed that was drawn from it."""
    if isinstance(parameters.get("random_state"), np.random.Generator | np.random.RandomState):
        parameters = {**parameters, "random_state": seed}
    out = {}
    for name, value in parameters.items():
        if isinstance(value, dict) and "name" not in value:  # weights of classes, which may be numbers
            keys = [key.item() if isinstance(key, np.generic) else key for key in value]
            out[name] = {"kind": "pairs", "pairs": describe([[key, float(weight)] for key, weight in zip(keys, value.values())], name)}
        else:
            out[name] = describe([value], name)[0]
    return out


def rebuild_parameters(described: dict[str, Any]) -> dict[str, Any]:
    """What `describe_parameters` described."""
    out = {}
    for name, value in described.items():
        if isinstance(value, dict) and value.get("kind") == "pairs":
            out[name] = dict(map(tuple, value["pairs"]))
        else:
            out[name] = rebuild([value])[0]
            out[name] = tuple(out[name]) if isinstance(out[name], list) else out[name]
    return out


def check_state(state: dict[str, Any], n_outputs: int) -> None:
    """Raise ValueError where a saved state cannot be that of an estimator."""
    numbers = [state["k"], *state["seen"]]
    if not all(type(number) is int and number >= 0 for number in numbers) or not 1 <= state["k"] <= n_outputs or len(numbers) != 3:
        raise ValueError(f"the estimator's counts are {numbers}")
    if state["form"] not in ("classes", "dense", "sparse", "ids", "names") or type(state["multilabel"]) is not bool:
        raise ValueError(f"the estimator was fitted with {state['form']!r}")
    try:
        np.dtype(state["dtype"])
    except TypeError:
        raise FormatError(f"the dtype {state['dtype']!r} is unknown") from None
