"""Numbers that are not finite: where the first one came from, and what may become one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mongoose_nb.core.arrays import Parameter, Rows
from mongoose_nb.nn.layers.base import Layer, Run

# Gradients beyond this are not taken: Adam squares them, and float32 ends at 3.4e38.
LARGEST_GRADIENT = 1e18


class NotFiniteError(FloatingPointError):
    """The loss or the gradient of a batch is not finite.

    Parameters
    ----------
    quantity : {"loss", "gradient"}
    step : int
    losses : (n,) array
        Of the samples.
    layer, what : str
        Where the first such number is, and what it is.
    blame : bool
        Whether the weights are to blame, not the batch.
    """

    def __init__(self, quantity: str, step: int, losses: np.ndarray, layer: str, what: str, blame: bool = False) -> None:
        bad = np.flatnonzero(~np.isfinite(losses))
        where = f" ({len(bad)} of {len(losses)} samples of the batch, first at place {bad[0]})" if len(bad) else ""
        super().__init__(f"the {quantity} is not finite at step {step}{where}: {what}, in layer {layer}")
        self.blame = blame


def largest(x: np.ndarray | Rows) -> float:
    """The largest absolute value of an array or of `Rows`; NaN where one is NaN."""
    if isinstance(x, Rows):
        x = x.values[x.places()[1]]
    return max(float(x.max()), -float(x.min())) if x.size else 0.0


def find_not_finite(parameters: dict[str, Parameter], layers: Sequence[Layer], x: Rows, run: Run) -> tuple[str, str, bool]:
    """The first place where a forward pass meets NaN or infinity.

    Parameters
    ----------
    parameters : dict of str to Parameter
        Of the network.
    layers : list of Layer
        Hidden layers.
    x : Rows
        The batch.
    run : Run
        Not of training.

    Returns
    -------
    layer : str
        ``"input"``, ``"hidden0"``, ..., or ``"output"``.
    what : str
        Of which array, at which place.
    blame : bool
        Whether it is the weights, not the batch.
    """
    for name, parameter in parameters.items():
        found = _first(parameter.value)
        if found:
            layer, _, part = name.partition(".")
            return layer, f"{part} hold {found}", True
    if not np.isfinite(x.values[x.places()[1]]).all():
        return "input", "the data hold a value that is not finite", False
    value: Any = x
    with np.errstate(over="ignore", invalid="ignore"):
        for i, layer in enumerate(layers):
            try:
                value, _ = layer.forward(value, run)
            except FloatingPointError as error:
                return f"hidden{i}", str(error).partition(";")[0], False
            found = _first(value.values[value.places()[1]] if isinstance(value, Rows) else value)
            if found:
                return f"hidden{i}", f"activations overflow to {found} (sample, unit)", False
    return "output", f"logits, or squares of activations up to {np.abs(value).max(initial=0):.3g}, overflow float32", False


def _first(array):
    """``"nan at (2, 3)"`` of the first entry that is not finite, or None."""
    finite = np.isfinite(array)
    if finite.all():
        return None
    at = tuple(int(i) for i in np.argwhere(~finite)[0])
    return f"{array[at]} at {at if len(at) > 1 else at[0]}"
