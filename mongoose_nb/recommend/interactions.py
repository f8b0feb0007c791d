"""How the embeddings of a sample's fields meet: what they add to the logit, and what the layers above them see."""

from __future__ import annotations

import numpy as np

from mongoose_nb.core.registry import Registered, register
from mongoose_nb.core.threads import kernel_threads


class Interaction(Registered, kind="interaction"):
    """Base of interactions of embeddings ``E`` (n, fields, d).

    Attributes
    ----------
    first_order : bool
        Whether the model has a weight for each id besides.
    """

    first_order = False

    def deep_width(self, fields: int, width: int) -> int:
        """Width of the input of the layers above."""
        return fields * width

    def forward(self, E: np.ndarray, deep: bool) -> tuple[np.ndarray | None, np.ndarray | None]:
        """What is added to the logits (n,), and with `deep` the input of the layers above (n, deep_width); None for nothing."""
        return None, E.reshape(len(E), -1) if deep else None

    def backward(self, E: np.ndarray, g: np.ndarray, g_deep: np.ndarray | None) -> np.ndarray:
        """d loss / d E, from that of the logits and of the input of the layers above."""
        return np.zeros_like(E) if g_deep is None else g_deep.reshape(E.shape)


@register("interaction", "none")
class Concatenation(Interaction):
    """The layers above see the embeddings side by side."""


@register("interaction", "fm")
class FactorizationMachine(Interaction):
    """Inner products of all pairs of fields are added to the logit, with a weight for each id; the layers above see the embeddings.

    Without layers above it is a factorisation machine (Rendle, ICDM 2010), with them DeepFM (Guo et al., IJCAI 2017).
    """

    first_order = True

    def forward(self, E: np.ndarray, deep: bool) -> tuple[np.ndarray | None, np.ndarray | None]:
        """See `Interaction.forward`."""
        from mongoose_nb.kernels.recommend.interactions import fm_forward

        out = np.empty(len(E), np.float32)
        with kernel_threads(2 * E.size):
            fm_forward(E, out)
        return out, super().forward(E, deep)[1]

    def backward(self, E: np.ndarray, g: np.ndarray, g_deep: np.ndarray | None) -> np.ndarray:
        """See `Interaction.backward`."""
        from mongoose_nb.kernels.recommend.interactions import fm_backward

        G = super().backward(E, g, g_deep)
        with kernel_threads(2 * E.size):
            fm_backward(E, g, G)
        return G


@register("interaction", "dot")
class PairwiseDots(Interaction):
    """The layers above see the inner products of all pairs of fields, and the last field: DLRM (Naumov et al., 2019)."""

    def deep_width(self, fields: int, width: int) -> int:
        """See `Interaction.deep_width`."""
        return fields * (fields - 1) // 2 + width

    def forward(self, E: np.ndarray, deep: bool) -> tuple[np.ndarray | None, np.ndarray | None]:
        """See `Interaction.forward`."""
        from mongoose_nb.kernels.recommend.interactions import dot_forward

        if not deep:
            raise ValueError("interaction 'dot' gives its products to layers above: give hidden= one width or more")
        n, fields, width = E.shape
        dots = np.empty((n, fields * (fields - 1) // 2), np.float32)
        with kernel_threads(dots.size * width):
            dot_forward(E, dots)
        return None, np.concatenate([dots, E[:, -1]], axis=1)

    def backward(self, E: np.ndarray, g: np.ndarray, g_deep: np.ndarray | None) -> np.ndarray:
        """See `Interaction.backward`."""
        from mongoose_nb.kernels.recommend.interactions import dot_backward

        G = np.zeros_like(E)
        width = E.shape[2]
        G[:, -1] = g_deep[:, -width:]
        with kernel_threads(g_deep.size * width):
            dot_backward(E, np.ascontiguousarray(g_deep[:, :-width]), G)
        return G
