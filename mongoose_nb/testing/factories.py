"""Helpers of the checks: new objects from a seed, and numbers of threads to compare."""

from __future__ import annotations

import contextlib
import copy
import operator
from collections.abc import Callable, Iterator
from typing import Any

from mongoose_nb.testing.report import Report


def as_factory(family: Any) -> Callable[[int], Any]:
    """A function ``make(seed)``, from a factory or from a family that can be copied and rebuilt."""
    if not hasattr(family, "hash") or isinstance(family, type):
        if callable(family):
            return family
        raise TypeError(f"family is {family!r}; give a factory make(seed) that returns a family, or a family with hash(X)")
    if not hasattr(family, "rebuild"):
        raise TypeError(f"{type(family).__name__} has no rebuild(seed), so one object gives one draw of functions alone; give a factory "
                        "make(seed) that returns a new family, such as lambda seed: MyFamily(seed=seed)")

    def make(seed):
        other = copy.deepcopy(family)
        other.rebuild(seed)
        return other

    return make


def dim_of(family: Any, dim: int | None) -> int:
    """The number of coordinates of a row: `dim`, or that of the family."""
    dim = getattr(family, "dim", None) if dim is None else dim
    if dim is None:
        raise TypeError(f"{type(family).__name__} has no attribute dim; pass dim=, the number of coordinates of a row")
    return operator.index(dim)


def thread_counts() -> list[int]:
    """Numbers of threads to compare; a single one if Numba has one thread."""
    import numba

    most = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
    return sorted({1, min(2, most), most})


def over_threads(report: Report, run: Callable[[], Any], compare: Callable[[Any, Any, str], None]) -> None:
    """Check that ``run()`` gives the same for all numbers of threads: ``compare(got, wanted, what)`` raises where it does not."""
    first, *others = thread_counts()
    if not others:
        report.skip("threads", "Numba has one thread here")
        return
    with threads(first):
        wanted = run()
    for number in others:
        with threads(number):
            compare(run(), wanted, f"with {number} threads instead of {first}")
    report.holds("threads", f"{[first, *others]}")


@contextlib.contextmanager
def threads(number: int) -> Iterator[None]:
    """Context manager: set the threads of Numba and of BLAS to `number`."""
    import numba
    from threadpoolctl import threadpool_limits

    before = numba.get_num_threads()
    numba.set_num_threads(number)
    try:
        with threadpool_limits(number, user_api="blas"):
            yield
    finally:
        numba.set_num_threads(before)
