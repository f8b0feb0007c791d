"""What a user calls rows: ids, which are integers, or keys, which are strings.

`Names` passes ids through. `KeyTable` has the same methods and turns keys into ids, which the
index counts up, and back; the first ``add(X, keys=...)`` of an index without rows brings it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mongoose_nb.search.ids import KnownIds, as_ids


def as_keys(keys: Any) -> list[str]:
    """Keys as a list of strings, or an error; they must not repeat."""
    listed = [keys] if isinstance(keys, str) else list(keys)
    for key in listed:
        if not isinstance(key, str):
            raise TypeError(f"keys must be strings; got {key!r} of type {type(key).__name__}: give str(key), or integers as ids")
    if len(set(listed)) < len(listed):
        seen: set[str] = set()
        twice = next(key for key in listed if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"keys must not repeat; {twice!r} comes more than once")
    return [str(key) for key in listed]


class Names:
    """Rows are called by their ids."""

    #: whether rows have keys
    keyed = False
    #: bytes of the keys
    nbytes = 0

    def holds(self, known: KnownIds, name: Any) -> bool:
        """Whether a row has this name."""
        return name in known

    def new(self, known: KnownIds, m: int, ids: Any, keys: Any, any_id: bool) -> np.ndarray:
        """Ids (m,) for new rows, or an error."""
        if ids is None:
            return known.fresh(m)
        ids = as_ids(ids)
        if len(ids) != m:
            raise ValueError(f"{len(ids)} ids came with {m} rows; give one id for each row")
        known.check_new(ids, any_id)
        return ids

    def keep(self, ids: np.ndarray, keys: Any) -> None:
        """Take in the names of rows that were added."""

    def forget(self, ids: np.ndarray) -> None:
        """Drop the names of rows that were removed."""

    def take(self, ids: np.ndarray, keys: Any, add: Callable[[], Any]) -> np.ndarray:
        """Take in the names of rows that `add` adds, unless it fails; returns the names."""
        self.keep(ids, keys)
        try:
            add()
        except BaseException:
            self.forget(ids)
            raise
        return self.outward(ids)

    def inward(self, names: Any) -> np.ndarray:
        """Ids (m,) int64 of names; they may be unknown to the index."""
        return as_ids(names)

    def present(self, names: np.ndarray) -> np.ndarray:
        """Ids of those names that are known, for a filter."""
        if names.size and (names.dtype.kind not in "iu" or names.ndim != 1):
            raise TypeError(f"allowed must be ids, a mask of booleans, or a function of ids that returns one; got dtype {names.dtype}, "
                            f"shape {names.shape}")
        return names

    def outward(self, ids: np.ndarray) -> np.ndarray:
        """Names of ids, in an array of the same shape."""
        return ids

    def of(self, keys: np.ndarray | None) -> np.ndarray | None:
        """Keys of the rows of another index that is merged, or an error where they do not go with these."""
        return keys

    def state(self) -> dict | None:
        """What `names_from_state` needs."""
        return None


class KeyTable(Names):
    """Rows are called by strings, one for each."""

    keyed = True

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}
        self._keys: dict[int, str] = {}

    @property
    def nbytes(self) -> int:  # type: ignore[override]
        """Bytes of the keys, about: a key is in two dicts, with its id."""
        return sum(map(len, self._ids)) + 250 * len(self._ids)

    def holds(self, known: KnownIds, name: Any) -> bool:
        return isinstance(name, str) and name in self._ids

    def new(self, known: KnownIds, m: int, ids: Any, keys: Any, any_id: bool) -> np.ndarray:
        if keys is None:
            raise ValueError("rows of this index have keys; give keys=, one string for each row" + ("" if ids is None else ", and no ids"))
        if ids is not None:
            raise ValueError("both ids and keys were given; rows have one or the other")
        keys = as_keys(keys)
        if len(keys) != m:
            raise ValueError(f"{len(keys)} keys came with {m} rows; give one key for each row")
        for key in keys:
            if key in self._ids:
                raise ValueError(f"key {key!r} is in the index already; use update to change its row")
        return known.fresh(m)

    def keep(self, ids: np.ndarray, keys: Any) -> None:
        keys, ids = as_keys(keys), ids.tolist()
        self._ids.update(zip(keys, ids))
        self._keys.update(zip(ids, keys))

    def forget(self, ids: np.ndarray) -> None:
        for id in ids.tolist():
            self._ids.pop(self._keys.pop(id, ""), None)

    def inward(self, names: Any) -> np.ndarray:
        keys = as_keys(names)
        try:
            return np.array([self._ids[key] for key in keys], np.int64)
        except KeyError as missing:
            raise KeyError(f"key {missing.args[0]!r} is not in the index") from None

    def present(self, names: np.ndarray) -> np.ndarray:
        return np.array([self._ids[key] for key in as_keys(names.tolist()) if key in self._ids], np.int64)

    def outward(self, ids: np.ndarray) -> np.ndarray:
        out = np.empty(ids.shape, object)
        out.ravel()[:] = [self._keys.get(id) for id in ids.ravel().tolist()]
        return out

    def of(self, keys: np.ndarray | None) -> np.ndarray | None:
        if keys is None:
            raise ValueError("the rows of this index have keys, those of the other one have ids; add them with keys=")
        return keys

    def state(self) -> dict | None:
        text, ends = pack_keys(list(self._ids))
        return {"text": text, "ends": ends, "ids": np.fromiter(self._ids.values(), np.int64, len(self._ids))}


def keyed_names(names: Names, n: int) -> Names:
    """The names of an index of n rows that is given rows with keys; ValueError where its rows have ids."""
    if names.keyed or not n:
        return names if names.keyed else KeyTable()
    raise ValueError(f"the {n} rows of this index have ids, which new rows need too; rows have keys in an index whose first rows have them")


def merged_names(names: Names, known: KnownIds, n: int, ids: np.ndarray, keys: np.ndarray | None,
                 renumber: bool) -> tuple[Names, np.ndarray, np.ndarray | None]:
    """Names, new ids and keys of the rows of another index in one of n rows; see `LSHIndex.merge`."""
    if keys is not None:
        names = keyed_names(names, n)
    keys = names.of(keys)
    if renumber or keys is not None:
        return names, names.new(known, len(ids), None, keys, False), keys
    known.check_new(ids, any_id=True)
    return names, ids, keys


def names_from_state(state: dict | None, known: KnownIds) -> Names:
    """The names whose `state` this is; ValueError where they do not fit the ids of the index."""
    if state is None:
        return Names()
    keys, numbers, table = unpack_keys(state["text"], state["ends"]), state["ids"], KeyTable()
    if numbers.dtype != np.int64 or numbers.shape != (len(keys),) or not np.array_equal(np.sort(numbers), known.present):
        raise ValueError("the saved keys do not fit the saved ids")
    table.keep(numbers, keys)
    return table


def pack_keys(keys: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Keys as a file holds them: their text in UTF-8, uint8, and where each ends, int64."""
    encoded = [key.encode("utf-8", "surrogatepass") for key in keys]
    return np.frombuffer(b"".join(encoded), np.uint8), np.cumsum([len(key) for key in encoded], dtype=np.int64)


def unpack_keys(text: np.ndarray, ends: np.ndarray) -> list[str]:
    """The keys that `pack_keys` packed; ValueError where these are none."""
    if (text.dtype != np.uint8 or ends.dtype != np.int64 or ends.ndim != 1 or (np.diff(ends, prepend=0) < 0).any()
            or (ends[-1] if len(ends) else 0) != len(text)):
        raise ValueError("the saved keys are damaged")
    whole, cuts = text.tobytes(), [0, *ends.tolist()]
    return [whole[lo:hi].decode("utf-8", "surrogatepass") for lo, hi in zip(cuts, cuts[1:])]
