"""What indexes of documents have in common: names, queries in batches, thresholds, ranks."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np

from mongoose_nb.core.arrays import read_only
from mongoose_nb.core.validation import check_number
from mongoose_nb.sketch.kmer_hash import KmerHash, as_hasher
from mongoose_nb.sketch.sequences import as_text, as_texts

#: k-mers of a query that are one piece of work
PIECE = 1 << 15
#: counters that a batch of queries may have at once
MOST_COUNTERS = 1 << 24


class Match(NamedTuple):
    """A document that has enough k-mers of a query.

    Parameters
    ----------
    name : str
        Of the document.
    share : float
        Share of the query's k-mers that the document may have.
    rank : int
        1 for the largest share; equal shares have equal ranks.
    """

    name: str
    share: float
    rank: int


def name_word(name: str) -> int:
    """A word of 64 bits from a name, the same on all machines.

    Parameters
    ----------
    name : str

    Returns
    -------
    int
    """
    return int.from_bytes(hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=8).digest(), "little")


def text_digest(text: np.ndarray) -> str:
    """A digest of the letters of a document, by which a changed one is told from the one in the index.

    Parameters
    ----------
    text : (n,) uint8 array

    Returns
    -------
    str
        Of 32 hexadecimal digits.
    """
    return hashlib.blake2b(np.ascontiguousarray(text), digest_size=16).hexdigest()


def count_kmers(text: np.ndarray, k: int) -> int:
    """Number of k-mers of a text, repeated ones included: of places with k letters of A, C, G, T and U in a row.

    Parameters
    ----------
    text : (n,) uint8 array
    k : int

    Returns
    -------
    int
    """
    from mongoose_nb.kernels.sketch.kmers import CODES, OTHER

    stops = np.flatnonzero(CODES[text] == OTHER)
    lengths = np.diff(np.concatenate(([-1], stops, [len(text)]))) - 1
    return int(np.maximum(lengths - k + 1, 0).sum())


class DocumentIndex:
    """Base of indexes that say which documents have the k-mers of a query. A document that has them is always found.

    Parameters
    ----------
    hasher : KmerHash
    """

    def __init__(self, hasher: KmerHash) -> None:
        self.hasher = as_hasher(hasher)
        self._mapped = False

    # --- what subclasses define -----------------------------------------------------------------------------------------

    @property
    def names(self) -> list[str]:
        """Names of the documents, in the order of the columns of `shares`."""
        raise NotImplementedError

    def _insert(self, documents):
        """Insert (name, text, number of k-mers) of new documents."""
        raise NotImplementedError

    def _count(self, text, first, last):
        """(pieces, documents) int32 counts and (pieces,) int64 numbers of k-mers."""
        raise NotImplementedError

    # --- documents ------------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.names)

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def add(self, name: str, sequence: Any) -> Self:
        """Add a document.

        Parameters
        ----------
        name : str
            New.
        sequence : str, bytes, array of uint8, or list of these
            Its records.

        Returns
        -------
        DocumentIndex
            self

        Raises
        ------
        ValueError
            If the name is taken, the sequence has no k-mer, or the index is mapped. The index is then as it was.
        """
        return self.add_many([(name, sequence)])

    def add_many(self, documents: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> Self:
        """Add documents, all or none.

        Parameters
        ----------
        documents : dict of name to sequence, or iterable of (name, sequence)
            See `add`.

        Returns
        -------
        DocumentIndex
            self
        """
        if self._mapped:
            raise ValueError("this index is mapped and cannot be changed; load it with mmap=False")
        taken, checked = set(self.names), []
        for name, sequence in documents.items() if isinstance(documents, Mapping) else documents:
            if not isinstance(name, str) or not name:
                raise TypeError(f"the name of a document must be a string of at least one letter; got {name!r}")
            if name in taken:
                raise ValueError(f"document {name!r} is in the index already; give another name")
            text = as_text(sequence)
            n = count_kmers(text, self.hasher.k)
            if n == 0:
                raise ValueError(f"document {name!r} has no {self.hasher.k}-mer: {len(text):,} letters, none of them with "
                                 f"{self.hasher.k} of A, C, G, T and U in a row")
            taken.add(name)
            checked.append((name, text, n))
        self._insert(checked)
        return self

    @property
    def mapped(self) -> bool:
        """Whether rows are mapped from a file, so that the index cannot be changed."""
        return self._mapped

    def _check_apart(self, other):
        """Refuse documents that both indexes have."""
        twice = set(self.names) & set(other.names)
        if twice:
            raise ValueError(f"document {min(twice)!r} is in both indexes; give each document once")

    # --- queries --------------------------------------------------------------------------------------------------------

    def shares(self, sequences: Sequence[Any]) -> np.ndarray:
        """Share of the k-mers of each query that each document may have.

        Parameters
        ----------
        sequences : list of sequences
            Queries.

        Returns
        -------
        (queries, documents) float64
            At least the true share. NaN in the row of a query without k-mers.
        """
        out = np.empty((len(sequences), len(self)))
        step = max(1, MOST_COUNTERS // max(1, len(self)))
        for lo in range(0, len(sequences), step):
            out[lo:lo + step] = self._shares(sequences[lo:lo + step])
        return out

    def _shares(self, sequences):
        text, starts = as_texts(sequences)
        firsts, lasts, owners = [], [], []
        for q in range(len(sequences)):
            last = int(starts[q + 1]) - self.hasher.k  # a separator follows each query
            for first in range(int(starts[q]), max(last, int(starts[q])), PIECE):
                firsts.append(first)
                lasts.append(min(last, first + PIECE))
                owners.append(q)
        first, last = read_only(np.array(firsts, np.int64)), read_only(np.array(lasts, np.int64))
        counts, totals = self._count(text, first, last)
        if owners != list(range(len(sequences))):
            owner = np.array(owners, np.int64)
            joined, sums = np.zeros((len(sequences), len(self)), np.int64), np.zeros(len(sequences), np.int64)
            np.add.at(joined, owner, counts)
            np.add.at(sums, owner, totals)
            counts, totals = joined, sums
        with np.errstate(invalid="ignore"):
            return counts / totals[:, None]

    def search(self, sequence: Any, threshold: float = 0.8) -> list[str]:
        """Names of the documents that may have at least `threshold` of the k-mers of a sequence, the largest share first.

        Parameters
        ----------
        sequence : str, bytes, array of uint8, or list of these
        threshold : float
            In (0, 1].

        Returns
        -------
        list of str
            Never without a document that has so many; documents of equal shares in order of their names. Empty for a sequence without
            k-mers.
        """
        return [match.name for match in self.search_many([sequence], threshold)[0]]

    def search_many(self, sequences: Sequence[Any], threshold: float = 0.8) -> list[list[Match]]:
        """As `search` for several queries, with shares and ranks.

        Parameters
        ----------
        sequences : list of sequences
        threshold : float

        Returns
        -------
        list of lists of Match
        """
        threshold = check_number("threshold", threshold, low=0, high=1, open_low=True)
        names = self.names
        out = []
        for row in self.shares(sequences):
            enough = np.flatnonzero(row >= threshold - 1e-12)
            ranked: list[Match] = []
            for i, d in enumerate(sorted(enough.tolist(), key=lambda d: (-row[d], names[d]))):
                same = bool(ranked) and ranked[-1].share == row[d]
                ranked.append(Match(names[d], float(row[d]), ranked[-1].rank if same else i + 1))
            out.append(ranked)
        return out
