"""Near-duplicates in a stream of sets: each one is compared with all before it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from mongoose_nb.core import files
from mongoose_nb.core.validation import check_int, check_number
from mongoose_nb.search.duplicates import choose_bands, hash_bands, keys_of, s_curve
from mongoose_nb.search.names import pack_keys, unpack_keys
from mongoose_nb.search.sets import as_sets, member_column

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mongoose_nb.search.sets import Sets

# Version 2: sets have keys; without any, a file is of version 1.
KIND, VERSION = "duplicate_finder", 2
_FIRST_ROOM = 64


class DuplicateFinder:
    """Finds, for every set of a stream, the most similar set that came before it.

    Parameters
    ----------
    threshold : float
        Least Jaccard similarity, in (0, 1].
    recall : float
        Wanted probability of finding a set exactly at the threshold; more similar ones are found more surely.
    n_hashes : int
        Most hashes of a set.
    seed : int

    Attributes
    ----------
    K, L : int
        Hashes per band, and bands; see `find_duplicates`.
    expected_recall : float
    dim : int or None
        Columns of the sets, from the first ones on.

    Notes
    -----
    Sets get the numbers 0, 1, ... in the order in which they come. Of equal sets the first alone is kept, so copies take no memory. It does
    not matter whether sets come one by one or many at once. Members of lists are hashed to columns: they are strings, bytes or integers.
    One thread at a time may use an object.

    Examples
    --------
    >>> from mongoose_nb import DuplicateFinder, shingles
    >>> finder = DuplicateFinder(threshold=0.8)
    >>> texts = ["the cat sat on the mat today", "a dog barked at the moon", "The cat sat on the mat, today!"]
    >>> finder.add(shingles(texts))[0].tolist()
    [-1, -1, 0]
    """

    def __init__(self, threshold: float = 0.8, *, recall: float = 0.95, n_hashes: int = 128, seed: int = 0) -> None:
        self.K, self.L = choose_bands(threshold, n_hashes, recall)
        self.threshold, self.recall, self.n_hashes = float(threshold), float(recall), int(n_hashes)
        self.seed = check_int("seed", seed, low=0)
        self.expected_recall = float(s_curve(self.threshold, self.K, self.L))
        self.dim: int | None = None
        self._number = self._distinct = 0
        self._indptr, self._indices, self._ids = np.zeros(1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.int64)
        self._codes = np.zeros((self.L, 0), np.uint32)
        self._heads = self._before = np.zeros((self.L, 0), np.int32)
        self._keys: dict[int, str] | None = None  # of the sets that are kept, by number; None where sets have none
        self._known: set[str] = set()  # the same keys

    def __len__(self) -> int:
        return self._number

    @property
    def distinct(self) -> int:
        """Number of sets that are kept: those that came and are not empty, without copies."""
        return self._distinct

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(array.nbytes for array in self._stream())

    def _stream(self):
        return self._indptr, self._indices, self._ids, self._codes, self._heads, self._before

    def _sets(self, sets):
        indptr, indices, dim = as_sets(sets, member_column)
        if self.dim is not None and dim != self.dim:
            raise ValueError(f"sets have {dim} columns; those that came before have {self.dim} (lists of members have 2**31 - 1): "
                             "give all in one form, as shingles(texts, dim=...) does")
        return indptr, indices, dim

    def add(self, sets: Sets, *, keys: Sequence[str] | np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Compare sets with all before them, and keep those that are new.

        Parameters
        ----------
        sets
            As in `find_duplicates`.
        keys : sequence of n strings, optional
            What the sets are called, such as names of documents, in place of numbers. Either all sets of a stream have keys or none; none
            of those that are kept has the key of another.

        Returns
        -------
        ids : ndarray of shape (n,), int64
            Number of the most similar set before, of equally similar ones the first; -1 where none is as similar as the threshold. Empty
            sets are similar to nothing. With keys an object array: the key of that set, None where there is none.
        similarity : ndarray of shape (n,), float64
            Its Jaccard similarity, 0 where there is none.

        Raises
        ------
        TypeError, ValueError
            See `find_duplicates`; or other sets had another number of columns. Nothing is changed.
        """
        from mongoose_nb.kernels.search.duplicates import add_sets

        indptr, indices, dim = self._sets(sets)
        n = len(indptr) - 1
        named = self._checked_keys(keys, n)
        codes = hash_bands(indptr, indices, self.K, self.L, self.seed)
        self._make_room(self._distinct + n, int(self._indptr[self._distinct]) + len(indices))
        best, similarity = np.empty(n, np.int64), np.empty(n)
        self.dim, old = dim, self._distinct
        self._distinct = add_sets(self._stream(), self._distinct, indptr, indices, codes, self.threshold, self._number, best, similarity)
        if named is not None and n:
            new = self._ids[old:self._distinct]
            names = named[new - self._number].tolist()
            self._keys = {} if self._keys is None else self._keys
            self._keys.update(zip(new.tolist(), names))
            self._known.update(names)
        self._number += n
        return self._named(best), similarity

    def _checked_keys(self, keys, n):
        """Keys (n,) of sets that come, or None; an error where they do not go with those before."""
        named = keys_of(keys, n)
        if named is None and self._keys is not None and n:
            raise ValueError("sets of this stream have keys; give keys=, one string for each set")
        if named is not None and self._keys is None and self._number:
            raise ValueError(f"the {self._number} sets that came before have no keys; sets have keys in a stream whose first ones have "
                             "them")
        if named is not None:
            twice = next((key for key in named.tolist() if key in self._known), None)
            if twice is not None:
                raise ValueError(f"key {twice!r} is that of a set that is kept; give every set a key of its own")
        return named

    def _named(self, numbers):
        """Numbers, or keys in an array of the same shape."""
        if self._keys is None:
            return numbers
        out = np.empty(numbers.shape, object)
        out[:] = [self._keys.get(number) for number in numbers.tolist()]
        return out

    def query(self, sets: Sets) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """All sets so far that are similar to these, which are not added.

        Parameters
        ----------
        sets
            As in `add`.

        Returns
        -------
        indptr : ndarray of shape (n + 1,), int64
        ids : ndarray of shape (indptr[-1],), int64
            Of set i ``ids[indptr[i] : indptr[i + 1]]``, the most similar first; of equal sets that came, the first. Or keys.
        similarity : ndarray of shape (indptr[-1],), float64
        """
        from mongoose_nb.kernels.search.duplicates import similar_sets

        indptr, indices, _ = self._sets(sets)
        n = len(indptr) - 1
        codes = hash_bands(indptr, indices, self.K, self.L, self.seed)
        self._make_room(1, 0)
        room = n + 64
        while True:
            rows, ids, similarity = np.empty(room, np.int64), np.empty(room, np.int64), np.empty(room)
            found = similar_sets(self._stream(), indptr, indices, codes, self.threshold, rows, ids, similarity)
            if found <= room:
                break
            room = found
        rows, ids, similarity = rows[:found], ids[:found], similarity[:found]
        order = np.lexsort((ids, -similarity, rows))
        return np.searchsorted(rows[order], np.arange(n + 1)).astype(np.int64), self._named(ids[order]), similarity[order]

    def _make_room(self, sets, members):
        """Room for so many sets, and members, with as many buckets as sets."""
        from mongoose_nb.kernels.search.duplicates import link_sets

        if members > len(self._indices):
            self._indices = np.concatenate([self._indices, np.zeros(members + members // 4 - len(self._indices), np.int32)])
        if sets <= len(self._ids):
            return
        room = max(_FIRST_ROOM, 1 << (sets - 1).bit_length())
        more = room - len(self._ids)
        self._indptr = np.concatenate([self._indptr, np.zeros(more, np.int64)])
        self._ids = np.concatenate([self._ids, np.zeros(more, np.int64)])
        self._codes = np.concatenate([self._codes, np.zeros((self.L, more), np.uint32)], axis=1)
        self._heads, self._before = np.full((self.L, room), -1, np.int32), np.full((self.L, room), -1, np.int32)
        link_sets(self._stream(), self._distinct)

    # ------------------------------------------------------------------ saving

    def save(self, path: str | os.PathLike) -> None:
        """Write the sets that are kept to one file, replacing it as a whole; nothing is pickled."""
        m = self._distinct
        arguments = {"threshold": self.threshold, "recall": self.recall, "n_hashes": self.n_hashes, "seed": self.seed}
        settings = {"version": 1 if self._keys is None else VERSION, "arguments": arguments, "dim": self.dim, "number": self._number}
        arrays = {"indptr": self._indptr[:m + 1], "indices": self._indices[:self._indptr[m]], "ids": self._ids[:m]}
        if self._keys is not None:
            arrays["key_text"], arrays["key_ends"] = pack_keys([self._keys[number] for number in self._ids[:m].tolist()])
        files.save(path, KIND, settings, arrays)

    @classmethod
    def load(cls, path: str | os.PathLike) -> DuplicateFinder:
        """Read what `save` wrote; the stream goes on where it was.

        Raises
        ------
        FormatError
            Not such a file, another version, or damaged.
        """
        settings, arrays = files.load(path, KIND)
        if settings.get("version") not in (1, VERSION):
            raise files.FormatError(f"{os.fspath(path)!r} holds sets in version {settings.get('version')!r}; this program reads up to "
                                    f"{VERSION}: upgrade")
        try:
            arguments = dict(settings["arguments"])
            self = cls(check_number("threshold", arguments.pop("threshold")), **arguments)
            self._restore(settings["dim"], settings["number"], arrays["indptr"], arrays["indices"], arrays["ids"])
            if settings["version"] == VERSION:
                keys = keys_of(unpack_keys(arrays["key_text"], arrays["key_ends"]), len(arrays["ids"])).tolist()
                self._keys, self._known = dict(zip(arrays["ids"].tolist(), keys)), set(keys)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
            raise files.FormatError(f"{os.fspath(path)!r} does not hold a whole stream of sets: {error}") from error
        return self

    def _restore(self, dim, number, indptr, indices, ids):
        from mongoose_nb.kernels.search.duplicates import link_sets

        m = len(ids)
        if (indptr.shape != (m + 1,) or ids.shape != (m,) or indices.ndim != 1 or indptr.dtype != np.int64 or ids.dtype != np.int64
                or indices.dtype != np.int32 or indptr[0] != 0 or (np.diff(indptr) < 1).any() or indptr[-1] != len(indices)
                or (np.diff(ids) < 1).any() or m and not 0 <= ids[0] <= ids[-1] < number):
            raise ValueError("its sets and numbers do not fit each other")
        ascending = np.diff(indices.astype(np.int64)) > 0
        ascending[indptr[1:-1] - 1] = True  # between two sets
        if m and not (ascending.all() and 0 <= indices.min() <= indices.max() < check_int("dim", dim, low=1, high=2**31 - 1)):
            raise ValueError("its sets have members that are out of order or out of range")
        self.dim, self._number = None if dim is None else check_int("dim", dim, low=1), check_int("number", number, low=m)
        if m:
            self._make_room(m, len(indices))
            self._indptr[:m + 1], self._indices[:len(indices)], self._ids[:m] = indptr, indices, ids
            self._codes[:, :m] = hash_bands(indptr, indices, self.K, self.L, self.seed)
            self._distinct = m
            link_sets(self._stream(), m)

    def __repr__(self) -> str:
        return (f"DuplicateFinder(threshold={self.threshold:g}, recall={self.recall:g}, n_hashes={self.n_hashes}, seed={self.seed}, "
                f"sets={self._number})")
