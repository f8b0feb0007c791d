"""What a check needs from the thing under test: new ones from a seed, and threads to try them on."""

from __future__ import annotations

import contextlib
import copy
import operator
from collections.abc import Callable, Iterator
from typing import Any


def as_factory(family: Any) -> Callable[[int], Any]:
    """``make(seed)`` from a factory, or from a family that can be copied and rebuilt."""
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
    """Coordinates of a row: what was given, or what the family says."""
    dim = getattr(family, "dim", None) if dim is None else dim
    if dim is None:
        raise TypeError(f"{type(family).__name__} has no attribute dim; pass dim=, the number of coordinates of a row")
    return operator.index(dim)


def thread_counts() -> list[int]:
    """Numbers of threads to compare, or a single one where Numba has but one."""
    import numba

    most = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
    return sorted({1, min(2, most), most})


@contextlib.contextmanager
def threads(number: int) -> Iterator[None]:
    """Hold the threads of Numba, and those of BLAS, at `number`."""
    import numba
    from threadpoolctl import threadpool_limits

    before = numba.get_num_threads()
    numba.set_num_threads(number)
    try:
        with threadpool_limits(number, user_api="blas"):
            yield
    finally:
        numba.set_num_threads(before)
