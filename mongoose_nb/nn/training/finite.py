"""Where a number that is none came from, and what may become one."""

import numpy as np

from mongoose_nb.core.arrays import Rows
from mongoose_nb.nn.training.timing import PhaseTimer

# Gradients beyond this are not taken: Adam squares them, and float32 ends at 3.4e38.
LARGEST_GRADIENT = 1e18


def largest(x):
    """The largest absolute value of an array or of `Rows`; NaN where one is NaN."""
    if isinstance(x, Rows):
        x = _values(x)
    return max(float(x.max()), -float(x.min())) if x.size else 0.0


def find_not_finite(network, x):
    """The first place where a forward pass meets NaN or infinity.

    Parameters
    ----------
    network : Network
    x : Rows
        The batch.

    Returns
    -------
    layer : str
        ``"input"``, ``"hidden0"``, ..., or ``"output"``.
    what : str
        Of which array, at which place.
    blame : bool
        Whether it is the weights, not the batch.
    """
    for name, parameter in network.parameters().items():
        found = _first(parameter.value)
        if found:
            layer, _, part = name.partition(".")
            return layer, f"{part} hold {found}", True
    if not np.isfinite(_values(x)).all():
        return "input", "the data hold a value that is not finite", False
    timer = PhaseTimer()
    with np.errstate(over="ignore", invalid="ignore"):
        for i, layer in enumerate(network.layers):
            sampled = hasattr(layer, "sampler")
            try:
                x = layer.forward(x, False, network.step, timer) if sampled else layer.forward(x, False)
            except FloatingPointError as error:
                return f"hidden{i}", str(error).partition(";")[0], False
            found = _first(_values(x) if isinstance(x, Rows) else x)
            if found:
                return f"hidden{i}", f"activations overflow to {found} (sample, unit)", False
        largest = float(np.abs(x).max(initial=0))
    return "output", f"logits, or squares of activations up to {largest:.3g}, overflow float32", False


def _values(rows):
    """The values of `Rows`, one after the other."""
    place = np.arange(int(rows.count.sum())) - np.repeat(np.cumsum(rows.count) - rows.count, rows.count)
    return rows.values[np.repeat(rows.start, rows.count) + place]


def _first(array):
    """``"nan at (2, 3)"`` of the first entry that is not finite, or None."""
    finite = np.isfinite(array)
    if finite.all():
        return None
    at = tuple(int(i) for i in np.argwhere(~finite)[0])
    return f"{array[at]} at {at if len(at) > 1 else at[0]}"
