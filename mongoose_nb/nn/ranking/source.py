"""What a ranking knows of a candidate: a source, with one or more columns of values.

::

    learn(training)                     from training rows, before there are candidates
    named_for(training, chosen)         labels that it names for training rows, which are candidates then; None for none
    train(training, lists, weight)      where it learns from candidates
    held_values(training, lists)        columns for the held-out rows, from what it learned without them; None: it stands aside
    ask(query), named, values_of         the same for new rows: something computed once, labels, columns
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

import numpy as np

from mongoose_nb.core.registry import Registered
from mongoose_nb.core.saving import Stateful
from mongoose_nb.nn.ranking.lists import Lists

if TYPE_CHECKING:
    import scipy.sparse as sp


class Proposer(Protocol):
    """What a ranking asks of a network."""

    n_outputs: int

    def best(self, X: sp.csr_matrix, k: int) -> np.ndarray:
        """The k best outputs of every row, (n, k) int, -1 for none."""

    def log_probabilities(self, X: sp.csr_matrix, lists: Lists) -> np.ndarray:
        """The logarithm of the probability of each listed output of each row, (entries,) float32."""


class Query(NamedTuple):
    """Rows that are ranked.

    Parameters
    ----------
    X : (m, features) CSR
        As the network takes them.
    rows : (m, features) CSR
        As `Features.transform` gives them.
    network : Proposer
    """

    X: sp.csr_matrix
    rows: sp.csr_matrix
    network: Proposer


class Training(NamedTuple):
    """Rows that a ranking is trained on.

    Parameters
    ----------
    X, rows, network
        As in `Query`.
    Y : (n, labels) CSR
    held : (m,) int64
        Rows on which sources are weighed.
    unseen : bool
        Whether the network was not trained on the held-out rows.
    """

    X: sp.csr_matrix
    rows: sp.csr_matrix
    network: Proposer
    Y: sp.csr_matrix
    held: np.ndarray
    unseen: bool

    @property
    def held_query(self) -> Query:
        """The held-out rows."""
        return Query(self.X[self.held], self.rows[self.held], self.network)

    @property
    def rest(self) -> np.ndarray:
        """The other rows, (n - m,) int64."""
        return np.setdiff1d(np.arange(self.X.shape[0]), self.held)


def as_it_is(values: np.ndarray) -> np.ndarray:
    """The form of a value that is added as it is.

    Parameters
    ----------
    values : float32 array
    """
    return values


class Source(Registered, Stateful, kind="ranking source"):
    """Base of what a ranking knows of candidates.

    A source of your own overrides `learn` or `train`, `held_values` and `values_of`; it names in `saved_state` what it has learned.
    """

    #: names of the columns of values
    columns: tuple[str, ...] = ("",)
    #: how a value can enter the score, by name
    forms: ClassVar[dict[str, Callable[[np.ndarray], np.ndarray]]] = {"value": as_it_is}

    @property
    def nbytes(self) -> int:
        """Bytes of what was learned."""
        return sum(value.nbytes for value in map(self.__getattribute__, self.saved_state) if isinstance(value, np.ndarray))

    def learn(self, training: Training) -> None:
        """Learn what needs no candidates; nothing by default."""

    def updated(self, rows: sp.csr_matrix, Y: sp.csr_matrix) -> Source:
        """The source with more training rows, where it can take them; this one stays as it is. By default itself.

        Parameters
        ----------
        rows : (m, features) CSR
            As `Features.transform` gives them.
        Y : (m, labels) CSR
        """
        return self

    def named_for(self, training: Training, chosen: np.ndarray) -> sp.csr_matrix | None:
        """Labels for training rows, found without these rows' own: shares, (len(chosen), labels) CSR; None by default."""
        return None

    def train(self, training: Training, lists: Lists, counterweight: float) -> None:
        """Learn from the candidates of all training rows; nothing by default.

        Parameters
        ----------
        training : Training
        lists : Lists
            Empty for rows whose candidates were not looked up.
        counterweight : float
            Rows for which a row with candidates stands.
        """

    def held_values(self, training: Training, lists: Lists) -> tuple[np.ndarray, ...] | None:
        """Values for candidates of the held-out rows, from what was learned without these rows.

        Parameters
        ----------
        training : Training
        lists : Lists
            Of the held-out rows.

        Returns
        -------
        tuple of (entries,) float32, or None
            One for each of `columns`; None if nothing of that kind is known.
        """
        raise NotImplementedError  # abstract

    def ask(self, query: Query) -> Any:
        """What `named` and `values_of` both need of rows; None by default."""
        return None

    def named(self, answer: Any) -> sp.csr_matrix | None:
        """Labels that become candidates: shares, (rows, labels) CSR; None by default.

        Parameters
        ----------
        answer
            What `ask` gave.
        """
        return None

    def values_of(self, query: Query, lists: Lists, answer: Any) -> tuple[np.ndarray, ...]:
        """Values for candidates.

        Parameters
        ----------
        query : Query
        lists : Lists
        answer
            What `ask` gave.

        Returns
        -------
        tuple of (entries,) float32
            One for each of `columns`.
        """
        raise NotImplementedError  # abstract
