"""Which rows the steps of a training take: all in turn, or drawn by what is hard, weighted so that the mean loss has no bias."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mongoose_nb.core.registry import Registered, fresh, register
from mongoose_nb.core.saving import Stateful
from mongoose_nb.core.streams import stream
from mongoose_nb.core.validation import check_int, check_number

if TYPE_CHECKING:
    import scipy.sparse as sp

# Outputs, drawn at random, whose angles stand for those of all in the hardness of rows.
SAMPLED = 1024


class BatchSampler(Registered, Stateful, kind="batch sampler"):
    """Base of the ways to choose the rows of a step.

    `begin` is called when a pass over rows begins or is gone on with, `draw` for each of its steps. What a step draws has to follow from
    the arguments, the network as it is, and `saved_state`: then a training that is resumed takes the same rows.
    """

    def bind(self, seed: int) -> BatchSampler:
        """A working copy for one training.

        Parameters
        ----------
        seed : int
            Keys the draws.
        """
        bound = fresh(self)
        bound.seed = seed
        return bound

    def begin(self, network: Any, X: sp.csr_matrix, Y: sp.csr_matrix, where: tuple[int, int], resumed: bool) -> None:
        """Prepare for a pass.

        Parameters
        ----------
        network : Network
        X, Y : (n, n_features) and (n, n_outputs) CSR
        where : tuple of int
            Epoch and part: they key the draws, too.
        resumed : bool
            Whether steps of the pass were taken already, so that what `saved_state` holds is to be kept.
        """
        raise NotImplementedError  # abstract

    def draw(self, network: Any, step: int, first: int, size: int) -> tuple[np.ndarray, np.ndarray | None]:
        """The rows of a step.

        Parameters
        ----------
        network : Network
            With the parameters that the step starts from.
        step : int
            Of the pass.
        first : int
            Rows that the steps before have taken.
        size : int

        Returns
        -------
        rows : (size,) int64
        weights : (size,) float64 or None
            One over (n times the probability of the row); None where all rows come in turn.
        """
        raise NotImplementedError  # abstract


@register("batch sampler", "uniform")
class UniformBatches(BatchSampler):
    """All rows in turn, in a new random order for each pass."""

    def begin(self, network: Any, X: sp.csr_matrix, Y: sp.csr_matrix, where: tuple[int, int], resumed: bool) -> None:
        """As `BatchSampler.begin`."""
        epoch, part = where
        self._order = stream(network.seed, "order of rows", epoch, *[part] * (part > 0)).permutation(X.shape[0])

    def draw(self, network: Any, step: int, first: int, size: int) -> tuple[np.ndarray, np.ndarray | None]:
        """As `BatchSampler.draw`."""
        return self._order[first:first + size], None


class DrawnBatches(BatchSampler):
    """Base of those that draw with replacement: some uniformly, the others by what `refresh_rows` has looked at.

    Parameters
    ----------
    uniform : float
        Share of the draws that are uniform, in (0, 1]: no weight exceeds one over it.
    refresh : int
        Epochs after which all rows are looked at again.
    """

    def __init__(self, uniform: float = 0.3, refresh: int = 1) -> None:
        self.uniform = check_number("uniform", uniform, low=0.0, high=1.0, open_low=True)
        self.refresh = check_int("refresh", refresh, low=1)
        self._begun, self._looked = (-1, -1), -1

    def begin(self, network: Any, X: sp.csr_matrix, Y: sp.csr_matrix, where: tuple[int, int], resumed: bool) -> None:
        """As `BatchSampler.begin`."""
        epoch, part = where
        self.n = X.shape[0]
        again = part != self._begun[1] or epoch - self._looked >= self.refresh or self.looked_at() != self.n
        self._begun = (epoch, part)
        if not resumed and again:
            self.look(network, X, Y)
            self._looked = epoch
        self.prepare(X, Y)

    def looked_at(self) -> int:
        """Rows that were looked at."""
        raise NotImplementedError  # abstract

    def look(self, network: Any, X: sp.csr_matrix, Y: sp.csr_matrix) -> None:
        """Look at all rows with the network as it is."""
        raise NotImplementedError  # abstract

    def prepare(self, X: sp.csr_matrix, Y: sp.csr_matrix) -> None:
        """Derive from what was looked at whatever `pick` needs."""

    def pick(self, network: Any, rng: np.random.Generator, size: int) -> np.ndarray:
        """Rows that are not drawn uniformly."""
        raise NotImplementedError  # abstract

    def picked(self, network: Any, rows: np.ndarray) -> np.ndarray:
        """The probability with which `pick` gives each of some rows."""
        raise NotImplementedError  # abstract

    def draw(self, network: Any, step: int, first: int, size: int) -> tuple[np.ndarray, np.ndarray | None]:
        """As `BatchSampler.draw`."""
        rng = stream(self.seed, "rows drawn", *self._begun, step)
        rows = rng.integers(0, self.n, size)
        chosen = np.flatnonzero(rng.random(size) >= self.uniform)
        rows[chosen] = self.pick(network, rng, len(chosen))
        return rows, 1.0 / (self.n * self.probabilities(network, rows))

    def probabilities(self, network: Any, rows: np.ndarray | None = None) -> np.ndarray:
        """The probability of each draw of some rows, by default of all, for the network as it is.

        Parameters
        ----------
        network : Network
        rows : (m,) array of int, optional
        """
        rows = np.arange(self.n) if rows is None else np.asarray(rows)
        return self.uniform / self.n + (1.0 - self.uniform) * self.picked(network, rows)


@register("batch sampler", "hardness")
class HardnessBatches(DrawnBatches):
    """Rows by their angular hardness, as it was when all rows were last looked at; see `nn.hardness`.

    Parameters
    ----------
    power : float
        The probability of a row grows with this power of its hardness: hardnesses differ little.
    uniform, refresh
        Share of uniform draws, and epochs after which all rows are looked at again.
    """

    saved_state = ("_begun", "_looked", "_chance")
    resizable = ("_chance",)

    def __init__(self, power: float = 4.0, uniform: float = 0.3, refresh: int = 1) -> None:
        super().__init__(uniform, refresh)
        self.power = check_number("power", power, low=0.0)
        self._chance = np.zeros(0)

    def looked_at(self) -> int:
        """As `DrawnBatches.looked_at`."""
        return len(self._chance)

    def look(self, network: Any, X: sp.csr_matrix, Y: sp.csr_matrix) -> None:
        """As `DrawnBatches.look`."""
        from mongoose_nb.nn.training.hardness import hardness

        hard = hardness(network, X, Y, sample=SAMPLED)
        known = hard[~np.isnan(hard)]
        mean = known.mean() if len(known) else 1.0
        chance = (np.where(np.isnan(hard), mean, hard) / (mean or 1.0)) ** self.power
        self._chance = chance / chance.sum() if chance.sum() > 0 else np.full(len(hard), 1.0 / len(hard))

    def prepare(self, X: sp.csr_matrix, Y: sp.csr_matrix) -> None:
        """As `DrawnBatches.prepare`."""
        self._sums = np.cumsum(self._chance)

    def pick(self, network: Any, rng: np.random.Generator, size: int) -> np.ndarray:
        """As `DrawnBatches.pick`."""
        return np.minimum(np.searchsorted(self._sums, rng.random(size) * self._sums[-1], side="right"), self.n - 1)

    def picked(self, network: Any, rows: np.ndarray) -> np.ndarray:
        """As `DrawnBatches.picked`."""
        return self._chance[rows]
