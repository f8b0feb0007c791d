"""Ids of the user and slots of the rows. Ids are any int64; slots are small numbers, which are used again after a removal."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from mongoose_nb.search.rows.base import own


def as_ids(ids: np.ndarray | list[int]) -> np.ndarray:
    """`ids` as (m,) int64, or an error; they must not repeat."""
    array = np.asarray(ids)
    array = array if array.ndim else array[None]
    if array.size == 0 and array.dtype.kind == "f":
        array = array.astype(np.int64)
    if array.dtype.kind not in "iu" or array.ndim != 1:
        raise TypeError(f"ids must be integers, one axis; got dtype {array.dtype} and shape {array.shape}; strings are for rows that "
                        "were added with keys=")
    if array.dtype.kind == "u" and array.size and int(array.max()) > np.iinfo(np.int64).max:
        raise ValueError(f"ids must fit int64; got {array.max()}")
    array = array.astype(np.int64)
    if array.size > 1 and len(np.unique(array)) != len(array):
        raise ValueError("ids must not repeat")
    return array


def check_one_each(ids: np.ndarray, m: int) -> None:
    """ValueError unless there are as many ids as rows that are to replace theirs."""
    if len(ids) != m:
        raise ValueError(f"{len(ids)} ids came with {m} rows; give one row for each id")


def absent(id: int) -> KeyError:
    """The error for an id that no row has."""
    return KeyError(f"id {id} is not in the index")


class KnownIds:
    """Which ids the rows of an index have, and which come next."""

    next_id: int

    def __contains__(self, id: object) -> bool:
        raise NotImplementedError

    @property
    def present(self) -> np.ndarray:
        """All ids, (n,) int64, ascending."""
        raise NotImplementedError

    def among(self, ids: np.ndarray) -> Iterable[bool]:
        """Whether each of some ids is one of them."""
        raise NotImplementedError

    def check_present(self, ids: np.ndarray) -> None:
        """KeyError where an id is not there."""
        for id, there in zip(ids.tolist(), self.among(ids), strict=True):
            if not there:
                raise absent(id)

    def check_new(self, ids: np.ndarray, any_id: bool = False) -> None:
        """ValueError where an id is there already or, unless any will do, means no row."""
        listed = ids.tolist()
        if not any_id and -1 in listed:
            raise ValueError("id -1 stands for no row in the answers of a query; give other ids")
        for id, there in zip(listed, self.among(ids), strict=True):
            if there:
                raise ValueError(f"id {id} is in the index already; use update to change its row")

    def fresh(self, m: int) -> np.ndarray:
        """The m ids that follow the largest that ever was there."""
        if self.next_id + m > np.iinfo(np.int64).max:
            raise ValueError(f"after id {self.next_id - 1} there are no {m} more int64; give ids")
        return np.arange(self.next_id, self.next_id + m, dtype=np.int64)


class IdMap(KnownIds):
    """Ids to slots and back.

    The dict from ids to slots is made when it is first needed: adding and searching do without.
    """

    def __init__(self) -> None:
        self.ids = np.full(0, -1, np.int64)  # by slot; those of free slots mean nothing
        self.live = np.zeros(0, np.uint8)  # by slot
        self.free = []
        self.used = 0  # slots that were ever taken
        self.next_id = 0
        self._slots = {}

    def __len__(self) -> int:
        return self.used - len(self.free)

    def _dict(self):
        if self._slots is None:
            live = np.flatnonzero(self.live[:self.used])
            self._slots = dict(zip(self.ids[live].tolist(), live.tolist()))
        return self._slots

    def __contains__(self, id: object) -> bool:
        return id in self._dict()

    @property
    def present(self) -> np.ndarray:
        return np.sort(self.ids[:self.used][self.live[:self.used] == 1])

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        return self.ids.nbytes + self.live.nbytes

    def slots(self, ids: np.ndarray) -> np.ndarray:
        """Slots (m,) int64 of ids; KeyError for one that is not there."""
        known = self._dict()
        try:
            return np.array([known[id] for id in ids.tolist()], np.int64)
        except KeyError as missing:
            raise absent(missing.args[0]) from None

    def among(self, ids: np.ndarray) -> list[bool]:
        known = self._dict()
        return [id in known for id in ids.tolist()]

    def add(self, ids: np.ndarray) -> np.ndarray:
        """Slots for new ids."""
        m = len(ids)
        if m == 1:
            return self._add_one(int(ids[0]))
        again = min(m, len(self.free))
        slots = np.empty(m, np.int64)
        if again:
            slots[:again] = self.free[len(self.free) - again:][::-1]
        slots[again:] = np.arange(self.used, self.used + m - again)
        self._make_room(self.used + m - again)  # nothing has changed yet where memory runs out here
        if again:
            del self.free[len(self.free) - again:]
        self.used += m - again
        self.ids[slots] = ids
        self.live[slots] = 1
        if m:
            self.next_id = max(self.next_id, int(ids.max()) + 1)
        if m > 4096 and m > 4 * len(self):  # it is cheaper to make it again, if ever
            self._slots = None
        elif self._slots is not None:
            if m > 4096:
                self._slots = None
            else:
                self._slots.update(zip(ids.tolist(), slots.tolist()))
        return slots

    def mark(self) -> tuple[int, int]:
        """What `undo_add` needs, taken before `add`."""
        return self.used, self.next_id

    def undo_add(self, ids: np.ndarray, slots: np.ndarray | None, mark: tuple[int, int]) -> None:
        """Take back an `add`, which may have failed half way (slots None)."""
        used, self.next_id = mark
        if slots is not None:
            self.free.extend(slots[slots < used][::-1].tolist())
        self.live[used:] = 0
        self.used = used
        if slots is not None:
            self.live[slots[slots < used]] = 0
        self._slots = None  # made again when it is needed

    def _add_one(self, id):
        if self.free:
            slot = self.free.pop()
        else:
            slot = self.used
            self._make_room(slot + 1)
            self.used += 1
        self.ids[slot], self.live[slot] = id, 1
        self.next_id = max(self.next_id, id + 1)
        if self._slots is not None:
            self._slots[id] = slot
        return np.array([slot])

    def _make_room(self, need):
        if need > len(self.ids):
            room = need * 5 // 4 + 16 - len(self.ids)
            ids, live = np.concatenate([self.ids, np.full(room, -1, np.int64)]), np.concatenate([self.live, np.zeros(room, np.uint8)])
            self.ids, self.live = ids, live

    def remove(self, slots: np.ndarray) -> np.ndarray:
        """Free slots; returns their ids."""
        ids = self.ids[slots]
        known = self._dict()
        for id in ids.tolist():
            del known[id]
        self.live[slots] = 0
        self.free.extend(slots.tolist())
        return ids

    def undo_remove(self, ids: np.ndarray, slots: np.ndarray) -> None:
        """Take back the last `remove`."""
        del self.free[len(self.free) - len(slots):]
        self.live[slots] = 1
        if self._slots is not None:
            self._slots.update(zip(ids.tolist(), slots.tolist()))

    def compact(self) -> np.ndarray:
        """Number the live slots 0, 1, ... in their order; returns the old numbers."""
        live = np.flatnonzero(self.live[:self.used])
        ids = self.ids[live]
        self.ids, self.live = ids, np.ones(len(live), np.uint8)
        self.free, self.used, self._slots = [], len(live), None
        return live

    def state(self) -> dict:
        """What `from_state` needs; nothing is copied."""
        return {"next_id": self.next_id, "ids": self.ids[:self.used], "live": self.live[:self.used], "free": np.array(self.free, np.int64)}

    @classmethod
    def from_state(cls, state: dict, frozen: bool = False) -> IdMap:
        """The map whose `state` this is; arrays of a map that is frozen may be read-only."""
        self = cls()
        ids, live = state["ids"], state["live"]
        self.free, self.used, self.next_id, self._slots = state["free"].tolist(), len(ids), int(state["next_id"]), None
        if (ids.ndim != 1 or live.shape != ids.shape or ids.dtype != np.int64 or live.dtype != np.uint8 or (live > 1).any()
                or sorted(self.free) != np.flatnonzero(live == 0).tolist()):
            raise ValueError("the saved ids do not fit their slots")
        self.ids, self.live = (ids, live) if frozen else (own(ids), own(live))
        return self
