"""Texts of bases as bytes. Bases in either case count; every other letter, and the end of a record, ends a k-mer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mongoose_nb.core.arrays import read_only

#: what separates records of one text
SEPARATOR = b"\n"


def as_bytes(record: Any, name: str = "sequence") -> bytes:
    """One record as bytes.

    Parameters
    ----------
    record : str, bytes, bytearray, or array of uint8
    name : str
        What the error calls it.

    Returns
    -------
    bytes
    """
    if isinstance(record, str):
        return record.encode("ascii", "replace")  # what is not ASCII is no base
    if isinstance(record, bytes | bytearray | memoryview):
        return bytes(record)
    if isinstance(record, np.ndarray) and record.dtype == np.uint8 and record.ndim == 1:
        return record.tobytes()
    given = f"{type(record).__name__}" + (f" of dtype {record.dtype}, shape {record.shape}" if isinstance(record, np.ndarray) else "")
    raise TypeError(f"{name} is a {given}; give a str, bytes or 1-D array of uint8 with the letters of a sequence, or a list of them")


def as_text(sequence: Any) -> np.ndarray:
    """One sequence, or the records of a list, as one read-only array of letters. Records are separated.

    Parameters
    ----------
    sequence : str, bytes, array of uint8, or list of these

    Returns
    -------
    (n,) uint8 array
    """
    if isinstance(sequence, np.ndarray) and sequence.dtype == np.uint8 and sequence.ndim == 1:
        return read_only(np.ascontiguousarray(sequence))
    if isinstance(sequence, list | tuple):
        sequence = SEPARATOR.join(as_bytes(record, f"sequence[{i}]") for i, record in enumerate(sequence))
    return read_only(np.frombuffer(as_bytes(sequence), np.uint8))


def as_texts(sequences: Sequence[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Several queries as one text, and where each begins; the last number is the end.

    Parameters
    ----------
    sequences : list of sequences, each as of `as_text`

    Returns
    -------
    text : (n,) uint8 array
    starts : (len(sequences) + 1,) int64 array
    """
    if isinstance(sequences, str | bytes | bytearray) or not isinstance(sequences, Sequence):
        raise TypeError(f"sequences is a {type(sequences).__name__}; give a list of sequences")
    parts = [as_text(sequence).tobytes() for sequence in sequences]
    starts = np.zeros(len(parts) + 1, np.int64)
    np.cumsum([len(part) + len(SEPARATOR) for part in parts], out=starts[1:])
    return read_only(np.frombuffer(SEPARATOR.join(parts) + SEPARATOR * bool(parts), np.uint8)), read_only(starts)
