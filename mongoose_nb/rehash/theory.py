"""What a rotation of the stored rows costs a look-up, in closed form.

Where it holds. The sketch's bits, and the hashes of a SimHash family, are signs of independent Gaussian projections, for which the
law ``changed share = angle / pi`` is exact (Charikar 2002); sparse signs follow it closely. A retrieval probability is over the draw
of the functions, for buckets without bound and candidates without limit. A rotation is taken to lead away from the query in no
special direction: then the cosine to the query falls from ``c`` to ``c * cos(angle)``, but for a random part of standard deviation
``sin(angle) * sqrt((1 - c^2) / (d - 1))``, small where the d coordinates are many. For other families than SimHash pass their
`collision_probability`; the sketch still measures angles.
"""

import math
from typing import Any

import numpy as np

from mongoose_nb.core.validation import check_int, check_number

# The mean changed share when half of the rows are replaced by unrelated ones is 1/4: no threshold may let that pass.
MOST = 0.2


def angle_of(share: Any) -> Any:
    """Rotation in radians that changes a share of the bits: ``pi * share``."""
    return math.pi * np.asarray(share, np.float64)


def share_of(angle: Any) -> Any:
    """Share of bits that a rotation by `angle` radians changes, in the mean: ``angle / pi``."""
    return np.asarray(angle, np.float64) / math.pi


def survival(share: Any, K: int) -> Any:
    """Probability that a row whose rotation changes `share` of its bits still stands in its true bucket of one table.

    Its K hashes have to agree as they were and as they are: ``(1 - share)^K``.

    Parameters
    ----------
    share : float or array_like
        In [0, 1].
    K : int

    Returns
    -------
    float or ndarray
    """
    return (1 - np.asarray(share, np.float64)) ** K


def simhash_collision(similarity: Any) -> Any:
    """Probability that one hash of a SimHash family agrees at this cosine: ``1 - arccos(similarity) / pi``."""
    return 1 - np.arccos(np.clip(similarity, -1, 1)) / math.pi


def retrieval(similarity: Any, K: int, L: int, share: Any = 0.0, collision: Any = simhash_collision) -> Any:
    """Probability that at least one of L tables retrieves a row that has rotated since it was stored.

    ``1 - (1 - p^K)^L`` with p the collision probability at ``similarity * cos(pi * share)``: the query meets the row where it was,
    not where it is.

    Parameters
    ----------
    similarity : float
        Cosine between the query and the row as it is now.
    K, L : int
    share : float
        Changed share of the row's bits.
    collision : callable
        ``collision(similarity)`` is the probability that one hash agrees.

    Returns
    -------
    float
    """
    p = float(collision(similarity * math.cos(math.pi * share)))
    return -math.expm1(L * math.log1p(-min(p**K, 1 - 1e-16)))


def similarity_at(probability: Any, K: int, L: int, collision: Any = simhash_collision) -> Any:
    """Cosine at which fresh tables retrieve a row with this probability: what K and L were chosen to find."""
    return _bisect(lambda s: retrieval(s, K, L, collision=collision) < probability, -1.0, 1.0)


def threshold(K: int, L: int, keep: float = 0.98, similarity: Any = None, collision: Any = simhash_collision) -> float:
    """Largest changed share at which tables still retrieve `keep` times what fresh ones would.

    Parameters
    ----------
    K, L : int
        Hashes per table and tables.
    keep : float
        Wanted share of the recall of fresh tables, in (0, 1).
    similarity : float, optional
        Cosine between queries and the rows they are to find, in (0, 1]. By default that at which fresh tables retrieve nine in ten,
        but at least 0.3: tables that find nine in ten of less similar rows return nearly everything, stale or not.
    collision : callable
        As for `retrieval`.

    Returns
    -------
    float
        In [0, 0.2]. Above, the mean says too little: it is 0.25 where half of the rows were replaced.
    """
    check_int("K", K, low=1)
    check_int("L", L, low=1)
    check_number("keep", keep, low=0.0, high=1.0, open_low=True, open_high=True)
    if similarity is None:
        similarity = max(0.3, similarity_at(0.9, K, L, collision))
    check_number("similarity", similarity, low=0.0, high=1.0, open_low=True)
    wanted = keep * retrieval(similarity, K, L, collision=collision)
    return _bisect(lambda share: retrieval(similarity, K, L, share, collision) >= wanted, 0.0, MOST)


def _bisect(below, low, high):
    """Largest x in [low, high] with below(x), for `below` true up to some x."""
    if below(high):
        return high
    for _ in range(20):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if below(middle) else (low, middle)
    return low
