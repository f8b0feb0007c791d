"""The hash family of an index: from what the user gives to families of any K and L."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mongoose_nb.core.registry import Registered, describe, find, make, name_of, registered
from mongoose_nb.hashing import HashFamily
from mongoose_nb.hashing.capabilities import require

if TYPE_CHECKING:
    from mongoose_nb.search.metrics import Metric


class FamilyMaker(Registered, kind="family maker"):
    """A function that makes the hash families of an index, known by its import path; see `family_maker`."""

    function = None

    def __call__(self, dim: int, K: int, L: int, seed: int) -> HashFamily:
        """The family."""
        return type(self).function(dim, K, L, seed)

    def __reduce__(self):
        return make, ("family maker", name_of(type(self)))


def family_maker(function: Callable[[int, int, int, int], HashFamily]) -> FamilyMaker:
    """Decorator: let a function of (dim, K, L, seed) be the `family` of indexes that are saved.

    The file of an index names the function by its import path. A program that loads the index imports that module first.

    Parameters
    ----------
    function : callable
        ``function(dim, K, L, seed)`` returns a `HashFamily`. It is defined at the top level of a module.

    Returns
    -------
    FamilyMaker
        It is called as the function is.

    Examples
    --------
    >>> from mongoose_nb import LSHIndex, SimHash
    >>> from mongoose_nb.search import family_maker
    >>> @family_maker
    ... def sparse_signs(dim, K, L, seed):
    ...     return SimHash(dim, K, L, seed=seed, projection="sparse")
    >>> index = LSHIndex("cosine", dim=64, family=sparse_signs)
    """
    names = {"function": staticmethod(function), "__module__": function.__module__, "__qualname__": function.__qualname__,
             "__doc__": function.__doc__}
    return type(function.__name__, (FamilyMaker,), names)()


@family_maker
def unnamed(dim: int, K: int, L: int, seed: int) -> HashFamily:
    """In the place of a function that a file of version 1 does not name."""
    raise ValueError("this index was made with a function as its family, which files of format version 1 do not name; make an index with "
                     "that family and add the rows again")


class FamilyChoice:
    """What an index was given as its `family`.

    Parameters
    ----------
    value : str, type, dict or callable
        The name of a registered family, a subclass of `HashFamily`, a description with its ``"name"`` and arguments of its constructor,
        or a function of (dim, K, L, seed).
    metric : Metric

    Attributes
    ----------
    cls : type or None
        The class of the families; None where a function makes them.

    Raises
    ------
    ValueError, TypeError
        The value is none of these, or the family does not fit the metric.
    """

    def __init__(self, value: str | type | dict | Callable, metric: Metric) -> None:
        self.value, self.cls, self._options, self._function = value, None, {}, None
        if isinstance(value, dict) and value.get("kind") == "family maker":
            self.value = value = make("family maker", {"name": value.get("name")})
        if isinstance(value, type) and issubclass(value, HashFamily):
            self.cls = value
        elif isinstance(value, str | dict):
            self._options = {} if isinstance(value, str) else {name: v for name, v in value.items() if name != "name"}
            self.cls = find("hash family", value if isinstance(value, str) else value.get("name"))
        elif callable(value) and not isinstance(value, HashFamily):
            self._function = value
        else:
            raise TypeError(f"family must be one of {sorted(registered('hash family'))}, a HashFamily class, a description, or a function "
                            f"of (dim, K, L, seed); got {value!r}")
        self._metric = metric
        if self.cls is not None:
            self._check(self.cls)

    def _check(self, cls):
        if cls.similarity is not None:
            require(cls, ("similarity", self._metric.similarities), f"metric {self._metric.name!r}")

    @property
    def can_make(self) -> bool:
        """Whether `make` works: not for the function of an index from a file of version 1."""
        return not isinstance(self._function, type(unnamed))

    @property
    def one_bit(self) -> bool:
        """Whether a hash is known to be one bit."""
        return self.cls is not None and self.cls.bits_per_hash == 1

    @property
    def trainable(self) -> bool:
        """Whether `LearnedHash` can train the families."""
        return self.cls is not None and self.cls.trainable

    def require(self, capability: str, what: str) -> None:
        """Refuse a family that lacks what a feature needs; see `mongoose_nb.hashing.base.require`."""
        if self.cls is None:
            raise ValueError(f"{what} needs a hash family with {capability}; family={self.value!r} is a function: give a name or a class")
        require(self.cls, capability, what)

    def hashes_for(self, n: int, dim: int) -> int:
        """Hashes per table for n rows."""
        return (self.cls or HashFamily).hashes_for(n, dim)

    def make(self, dim: int, K: int, L: int, seed: int) -> HashFamily:
        """A family."""
        if self._function is None:
            return self.cls.for_index(dim, K, L, seed=seed, **self._options)
        family = self._function(dim, K, L, seed)
        if not isinstance(family, HashFamily) or (family.dim, family.L) != (dim, L):
            raise ValueError(f"family={self.value!r} returned {family!r}; needed is a HashFamily, dim={dim}, L={L}")
        self._check(type(family))
        return family

    def describe(self) -> str | dict:
        """What a file holds, from which another choice is made.

        Raises
        ------
        TypeError
            For a function that has no name in a file.
        """
        if self._function is None:
            name = name_of(self.cls)
            return {"name": name, **describe(self._options, "family")} if self._options else name
        if not isinstance(self._function, FamilyMaker):
            raise TypeError(f"an index with family={self.value!r} cannot be saved: a file cannot hold a function; decorate the function "
                            "with mongoose_nb.search.family_maker, or give a subclass of HashFamily")
        return {**describe(self._function), "kind": "family maker"}
