"""What a ranking is weighed for: how much a label counts that is among the first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mongoose_nb.core.registry import Registered, register
from mongoose_nb.core.validation import check_number
from mongoose_nb.nn.ranking.propensity import Propensity
from mongoose_nb.nn.ranking.source import Source

if TYPE_CHECKING:
    import scipy.sparse as sp


class Objective(Registered, kind="ranking objective"):
    """Base of what a ranking is weighed for. The mean over the first 1, 3 and 5 of what `worth` gives to true labels decides."""

    def worth(self, Y: sp.csr_matrix) -> np.ndarray:
        """How much each label counts, (labels,) float64.

        Parameters
        ----------
        Y : (n, labels) CSR
            Labels of the training rows.
        """
        raise NotImplementedError  # abstract

    def sources(self) -> list[Source]:
        """Sources that it adds to the default ones."""
        return []


@register("ranking objective", "precision")
class Precision(Objective):
    """Every label counts the same: P@k."""

    def worth(self, Y: sp.csr_matrix) -> np.ndarray:
        """As `Objective.worth`."""
        return np.ones(Y.shape[1])


@register("ranking objective", "propensity")
class PropensityScored(Objective):
    """Rare labels count more: PSP@k, up to the scale of a row.

    Parameters
    ----------
    A, B : float
        Constants of `metrics.inverse_propensity`.
    """

    def __init__(self, A: float = 0.55, B: float = 1.5) -> None:
        self.A, self.B = check_number("A", A, low=0.0), check_number("B", B, low=0.0, open_low=True)

    def worth(self, Y: sp.csr_matrix) -> np.ndarray:
        """As `Objective.worth`."""
        from mongoose_nb.metrics import inverse_propensity

        return inverse_propensity(Y, A=self.A, B=self.B)

    def sources(self) -> list[Source]:
        """The inverse propensities themselves."""
        return [Propensity(self.A, self.B)]
