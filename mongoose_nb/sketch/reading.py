"""Files of sequences: FASTA and FASTQ, plain or compressed, by dnaio."""

from __future__ import annotations

import os
import pathlib
import sys
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from mongoose_nb.core.types import PathLike
from mongoose_nb.sketch.sequences import SEPARATOR

#: endings of the names of files of sequences, before that of a compression
ENDINGS = (".fa", ".fasta", ".fna", ".ffn", ".fas", ".fq", ".fastq")
COMPRESSED = (".gz", ".bz2", ".xz", ".zst")
#: modules whose errors mean a damaged file
DECOMPRESSORS = {"isal", "igzip_lib", "zlib_ng", "zlib", "lzma", "_lzma", "zstandard", "compression", "backports"}
#: share of letters of a text that only proteins have, from which it is taken for one
PROTEIN = 0.05


class EmptyFileError(ValueError):
    """A file without letters."""


class Record(NamedTuple):
    """A record of a file.

    Parameters
    ----------
    name : str
        The first word of its header.
    sequence : str
    """

    name: str
    sequence: str


def document_name(path: PathLike) -> str:
    """The name of a file without folder and endings.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    str
    """
    name = pathlib.Path(path).name
    for endings in (COMPRESSED, ENDINGS):
        for ending in endings:
            if name.lower().endswith(ending) and len(name) > len(ending):
                name = name[:-len(ending)]
                break
    return name


def sequence_files(path: PathLike) -> list[pathlib.Path]:
    """A file, or all files of sequences below a folder, sorted.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    list of Path
    """
    path = pathlib.Path(path)
    if not path.is_dir():
        if not path.exists():
            raise FileNotFoundError(f"{path}: no such file or folder")
        return [path]
    wanted = tuple(ending + more for ending in ENDINGS for more in ("", *COMPRESSED))
    found = sorted(file for file in path.rglob("*") if file.is_file() and file.name.lower().endswith(wanted))
    if not found:
        raise FileNotFoundError(f"{path}: no files of sequences; their names end in {', '.join(ENDINGS)}, compressed or not")
    return found


def read_records(path: PathLike) -> Iterator[Record]:
    """Records of a FASTA or FASTQ file, plain or compressed (gzip, bzip2, xz, zstandard).

    Parameters
    ----------
    path : path-like
        ``-`` for stdin.

    Yields
    ------
    Record

    Raises
    ------
    ValueError
        For a file that is damaged, truncated, or of another format; the message names it and says where.
    """
    try:
        import dnaio
        import xopen
    except ImportError:
        raise ImportError("files of sequences are read by dnaio and xopen: pip install 'mongoose_nb[genes]'") from None
    name = "stdin" if str(path) == "-" else os.fspath(path)
    if name != "stdin" and os.path.isfile(path) and os.path.getsize(path) == 0:
        raise EmptyFileError(f"{name}: the file is empty")
    count = 0
    try:
        # a stream has no name, so its first bytes say how it is compressed
        source = xopen.xopen(sys.stdin.buffer, "rb", threads=0) if name == "stdin" else os.fspath(path)
        with dnaio.open(source, open_threads=0) as file:
            for record in file:
                count += 1
                yield Record(record.name.split()[0] if record.name.strip() else f"record{count}", record.sequence)
    except EOFError:
        raise ValueError(f"{name}: the compressed file is truncated, after record {count:,}; copy or download it again") from None
    except (dnaio.UnknownFileFormat, dnaio.FastaFormatError, dnaio.FastqFormatError) as error:
        raise ValueError(f"{name}: no FASTA or FASTQ, after record {count:,}: {' '.join(str(error).split())}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{name}: a sequence has letters that are not ASCII, after record {count:,}; is it FASTA or FASTQ?") from None
    except Exception as error:  # each library of decompression has errors of its own
        if isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError | MemoryError):
            raise
        if not isinstance(error, OSError) and type(error).__module__.split(".")[0] not in DECOMPRESSORS:
            raise
        raise ValueError(f"{name}: the file is damaged or truncated, after record {count:,}: {' '.join(str(error).split())}") from None


def read_document(path: PathLike) -> tuple[np.ndarray, int, int]:
    """All records of a file as one text.

    Parameters
    ----------
    path : path-like
        ``-`` for stdin.

    Returns
    -------
    text : (n,) uint8 array
        Records are separated.
    records : int
    empty : int
        How many of them have no letters.

    Raises
    ------
    ValueError
        Also if it has no letters, or seems to be a protein.
    """
    text, records, empty = bytearray(), 0, 0
    for record in read_records(path):
        records += 1
        empty += not record.sequence
        text += record.sequence.encode("ascii", "replace")
        text += SEPARATOR
    if records == empty:
        raise EmptyFileError(f"{path}: {records} records, none of them with letters" if records else f"{path}: no records")
    out = np.frombuffer(bytes(text), np.uint8)
    check_bases(out, str(path))
    return out, records, empty


def check_bases(text: np.ndarray, name: str) -> None:
    """Refuse a text of amino acids.

    Parameters
    ----------
    text : (n,) uint8 array
    name : str
        What the error calls it.
    """
    counts = np.bincount(text[:1 << 24], minlength=256)
    only = sum(int(counts[ord(letter)] + counts[ord(letter.lower())]) for letter in "EFILPQZ*")
    letters = int(counts.sum() - counts[ord("\n")])
    if only > PROTEIN * letters:
        raise ValueError(f"{name}: {only / letters:.0%} of the letters are ones that only proteins have (E, F, I, L, P, Q, Z, *); give "
                         "nucleotide sequences")
