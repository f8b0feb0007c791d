"""All checks of a hash family in one call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from mongoose_nb.testing.collisions import check_collisions
from mongoose_nb.testing.hash_contract import check_hash_contract
from mongoose_nb.testing.report import Report

if TYPE_CHECKING:
    import numpy as np

    from mongoose_nb.testing.pairs import Metric


def check_hash_family(family: Any, *, metric: str | Metric = "cosine", dim: int | None = None, values: Sequence[float] | None = None,
                      probability: Callable[..., Any] | None = None, over: str = "functions", pairs: int = 2, nnz: int | None = None,
                      functions: int = 20_000, alpha: float = 1e-3, tolerance: float = 0.0, rows: np.ndarray | None = None,
                      sparse: bool | None = None, another_process: bool = False, seed: int = 0) -> Report:
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
    values : sequence of float, optional
        Similarities to try; those of the metric by default.
    probability : callable, optional
        From similarity to the probability that one *column* agrees, where that is not ``family.collision_probability(similarity) ** K``:
        hashes folded into a few bits, or drawn without repetition. ``collision_probability_of`` is left aside then.
    over : {"functions", "pairs"}, default "functions"
        What the closed form averages over. "functions": it holds for every pair of rows of that similarity, and is tried on fixed
        pairs. "pairs": it holds on average over random pairs as `pairs_at` makes them, as for families whose probability depends on
        more than one number. ``collision_probability_of`` is tried on fixed pairs in either case.
    pairs : int, default 2
        Fixed pairs at each similarity.
    nnz : int, optional
        Most nonzero coordinates of a pair, as in `pairs_at`: 2 or 3 make it hard for functions that mix coordinates badly.
    functions : int, default 20,000
        Columns to draw, at least. The interval in which a probability near a half is located has a half-width of about
        ``2 / sqrt(functions)``, so this many tell 0.50 from 0.52.
    alpha : float, default 1e-3
        Most probability with which a correct family fails, over all statements of the call together, if its columns are independent:
        the bounds are exact (Clopper-Pearson) and divided among the statements (Bonferroni).
    tolerance : float, default 0
        Relative error that the closed form admits, where it is an approximation.
    rows : array_like of shape (n, dim), optional
        Rows for the contract; see `check_hash_contract`.
    sparse : bool, optional
        Whether the family takes CSR rows. By default it is tried, and a refusal is noted in the report.
    another_process : bool, default False
        Hash in a new interpreter as well. Needs a factory that can be pickled.
    seed : int, default 0
        Of the pairs, and from which on families are drawn. The same seed gives the same outcome.

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
    for line in check_collisions(family, metric=metric, dim=dim, values=values, probability=probability, over=over, pairs=pairs, nnz=nnz,
                                 functions=functions, alpha=alpha, tolerance=tolerance, seed=seed):
        report.lines.append(line)
    return report
