"""Checks of one answer of a search index, and of the ids that it has."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from mongoose_nb.testing.report import require, require_equal


def judge(ids: Any, distances: Any, Q: np.ndarray, k: int, rows: dict[int, np.ndarray], check: str | None = None, *,
          distance: Callable[[np.ndarray, np.ndarray], np.ndarray], rtol: float = 1e-4,
          atol: float = 1e-5) -> tuple[np.ndarray, np.ndarray]:
    """Check one answer: shapes, padding, ids, order and distances. `check` is the name of the failure instead of the usual ones."""
    ids, distances = np.asarray(ids), np.asarray(distances)
    for name, array in (("ids", ids), ("distances", distances)):
        require(array.shape == (len(Q), k), check or "shape", f"{name} of {len(Q)} queries with k={k}: observed {array.shape}, expected "
                f"({len(Q)}, {k})", observed=array.shape, expected=(len(Q), k))
    require(ids.dtype.kind in "iu", check or "shape", f"observed ids of dtype {ids.dtype}, expected integers", observed=ids.dtype)
    for i, (found, far) in enumerate(zip(ids.tolist(), distances)):
        real = [j for j in found if j != -1]
        require(found[: len(real)] == real and np.isposinf(far[len(real) :]).all() and np.isfinite(far[: len(real)]).all(),
                check or "padding", f"query {i}: observed ids {found} at {far.tolist()}, expected -1 and infinity together and only at the "
                "end", observed=found)
        unknown = [j for j in real if j not in rows]
        require(not unknown, check or "unknown id", f"query {i}: observed ids {unknown}, expected only ids that are in the index",
                observed=unknown)
        require(len(set(real)) == len(real), check or "duplicate id", f"query {i}: observed {found}, expected each id once",
                observed=found)
        far = far[: len(real)]
        require((np.diff(far) >= 0).all(), check or "sorted", f"query {i}: observed {far.tolist()}, expected ascending distances",
                observed=far.tolist())
        if real:
            exact = distance(np.asarray(Q[i], np.float64), np.array([rows[j] for j in real], np.float64))
            wrong = np.abs(far - exact) - (atol + rtol * np.abs(exact))
            worst = int(wrong.argmax())
            require(wrong[worst] <= 0, check or "distances", f"query {i}, id {real[worst]}: observed {far[worst]:.7g}, expected "
                    f"{exact[worst]:.7g}, bound {atol:g} + {rtol:g} of it", observed=float(far[worst]), expected=float(exact[worst]),
                    bound=(float(exact[worst] - atol - rtol * abs(exact[worst])), float(exact[worst] + atol + rtol * abs(exact[worst]))))
    return ids, distances


def members(index: Any, rows: dict[int, np.ndarray], check: str, outside: Iterable[int] = ()) -> None:
    """Check the length of an index, that it has the ids of `rows`, and that it has none of `outside`."""
    require(len(index) == len(rows), check, f"len: observed {len(index)}, expected {len(rows)}", observed=len(index), expected=len(rows))
    if not hasattr(type(index), "__contains__"):
        return
    for j in list(rows)[:50]:
        require(j in index, check, f"observed that id {j} is not in the index, expected that it is", observed=False, expected=True)
    for j in outside:
        require(j not in index, check, f"observed that id {j} is in the index, expected that it is not", observed=True, expected=False)


def same(check: str, got: Sequence[np.ndarray], wanted: Sequence[np.ndarray], what: str) -> None:
    """Check that two answers are equal to the last bit."""
    for name, one, two in zip(("ids", "distances"), got, wanted):
        require_equal(check, one, two, f"{name}, {what}")


def candidate_lists(given: Any, n_queries: int) -> list[list[int]]:
    """Candidates as a list of lists, from a pair (indptr, ids) or from one array per query."""
    if isinstance(given, tuple) and len(given) == 2 and len(given[0]) == n_queries + 1:
        indptr, ids = (np.asarray(part) for part in given)
        given = [ids[lo:hi] for lo, hi in zip(indptr[:-1], indptr[1:])]
    require(len(given) == n_queries, "candidates", f"observed {len(given)} lists of candidates, expected {n_queries}, one per query",
            observed=len(given), expected=n_queries)
    return [np.asarray(row).tolist() for row in given]
