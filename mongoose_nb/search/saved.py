"""An index in a file, and in a pickle."""

from __future__ import annotations

import os
from typing import Any, Self

import numpy as np

from mongoose_nb.core.files import FormatError
from mongoose_nb.core.registry import describe
from mongoose_nb.core.saving import join, split
from mongoose_nb.search import storage
from mongoose_nb.search.ids import IdMap
from mongoose_nb.search.names import names_from_state
from mongoose_nb.search.searching import SearchedIndex


class SavedIndex(SearchedIndex):
    """The part of `LSHIndex` that writes and reads files."""

    _read_only: bool
    _mapped: str | None

    def _arguments(self) -> dict[str, Any]:
        """Arguments that make an equal index without rows."""
        raise NotImplementedError

    def _start(self, arguments: dict[str, Any]) -> None:
        """Become an index without rows that these arguments make."""
        raise NotImplementedError

    def _state(self):
        if self._read_only:
            raise ValueError("this index is mapped from a file: copy that file, or load it with mmap=False")
        arguments = self._arguments()
        arguments |= {"metric": describe(self._builder.metric, "metric"), "family": self._builder.family.describe()}
        return {"arguments": arguments, "ids": self._ids.state(), "names": self._names.state(),
                "builder": self._builder.state()}

    def save(self, path: str | os.PathLike) -> None:
        """Write the index to one file, replacing it as a whole; nothing is pickled.

        Raises
        ------
        TypeError
            The file cannot hold the metric or the family; the message says what to do.
        """
        with self._lock.reading():
            storage.save(path, self._state())

    @classmethod
    def load(cls, path: str | os.PathLike, *, mmap: bool = False, verify: bool = False) -> Self:
        """Read what `save` wrote. A module with a metric or a family of your own is to be imported before.

        Parameters
        ----------
        path : path-like
        mmap : bool
            Map rows, sketches and buckets instead of reading them: the index is there at once, read-only, and shares its memory with
            other processes. It can be pickled while the file is there: a pickle holds the path.
        verify : bool
            With mmap, whether to compute the checksums of arrays above 1 MB, which reads the file once. Without mmap they always are.

        Raises
        ------
        FormatError
            Not such a file, or damaged.
        """
        self = cls.__new__(cls)
        try:
            self._restore(storage.load(path, mmap, verify), os.path.abspath(path) if mmap else None)
        except FormatError:
            raise
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
            raise FormatError(f"{os.fspath(path)!r} does not hold a whole index: {error}") from error
        return self

    def _restore(self, state, mapped=None):
        """Take a state; `mapped` is the path of the file whose arrays it shares."""
        frozen = mapped is not None
        self._start(state["arguments"])
        self._ids = self._builder.ids = IdMap.from_state(state["ids"], frozen)
        self._names = names_from_state(state.get("names"), self._ids)
        self._builder.restore(state["builder"], frozen)
        self._read_only, self._mapped = frozen, mapped

    def __getstate__(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        if self._mapped is not None:
            return {"mapped": self._mapped}, {}
        with self._lock.reading():
            settings, arrays = split(self._state())
            return settings, {name: np.array(array) for name, array in arrays.items()}

    def __setstate__(self, state: tuple[dict[str, Any], dict[str, np.ndarray]]) -> None:
        path = state[0].get("mapped")
        if path is None:
            self._restore(join(*state))
        else:
            self._restore(storage.load(path, True), path)
