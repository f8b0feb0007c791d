"""All checks of a hash family in one call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mongoose_nb.testing.collisions import check_collisions
from mongoose_nb.testing.hash_contract import check_hash_contract
from mongoose_nb.testing.report import Report

if TYPE_CHECKING:
    import numpy as np

    from mongoose_nb.testing.pairs import Metric


def check_hash_family(family: Any, *, metric: str | Metric = "cosine", dim: int | None = None, rows: np.ndarray | None = None,
                      sparse: bool | None = None, another_process: bool = False, seed: int = 0, **collisions: Any) -> Report:
    """Check a hash family: `check_hash_contract`, then `check_collisions`.

    A family of your own needs no base class. It must provide:

    - ``make(seed)``, passed as `family`: a function or class that returns a family with functions drawn from that seed;
    - ``hash(X)`` of it: (n, dim) rows to (n, L) integer codes, one column for each of L independently drawn functions (or concatenated
      groups of functions);
    - ``collision_probability(similarity)``, or `probability` in its place.

    Other attributes are checked if they exist: ``dim``, ``K`` (hashes concatenated in one column, 1 if absent), ``L``, ``n_buckets``,
    ``collision_probability_of(x, y)``, ``rebuild()`` and ``version``, ``state()`` and ``from_state``, pickling, rows as CSR.

    Parameters
    ----------
    family : callable or object
        ``make(seed)``, or a family with ``rebuild(seed)``, of which copies are rebuilt. For the statistics, a draw of a hundred columns
        of one hash each is best: one column takes long, and many hashes in one hardly ever agree.
    metric : str or Metric, default "cosine"
        What the similarity of the family is; see `pairs_at`. A distance counts as a similarity that is larger where it is smaller.
    dim : int, optional
        Coordinates of a row; ``family.dim`` by default.
    rows : array_like of shape (n, dim), optional
        Rows for the contract; see `check_hash_contract`.
    sparse : bool, optional
        Whether the family takes CSR rows. By default it is tried, and a refusal is noted in the report.
    another_process : bool, default False
        Hash in a new interpreter as well. Needs a factory that can be pickled.
    seed : int, default 0
        Of the pairs, and from which on families are drawn. The same seed gives the same outcome.
    **collisions
        Further arguments of `check_collisions`: ``values``, ``probability``, ``over``, ``pairs``, ``nnz``, ``functions``, ``alpha``,
        ``tolerance``.

    Returns
    -------
    Report
        What was observed and expected, line by line; ``report.skipped`` names what the family does not offer.

    Raises
    ------
    CheckFailed
        An AssertionError that names the check, the observed and the expected figure and the bound.

    Examples
    --------
    >>> from mongoose_nb import SimHash
    >>> from mongoose_nb.testing import check_hash_family
    >>> report = check_hash_family(lambda seed: SimHash(24, K=1, L=200, seed=seed), functions=2000)
    >>> report.skipped
    []
    """
    report = check_hash_contract(family, metric=metric, dim=dim, rows=rows, sparse=sparse, another_process=another_process, seed=seed)
    report.lines += check_collisions(family, metric=metric, dim=dim, seed=seed, **collisions)
    return report
