"""Genomes and reads, as the parts of the benchmark use them."""

import numpy as np

from mongoose_nb.sketch.reading import document_name, read_document, read_records

#: E. coli K-12 MG1655
ONE = "GCF_000005845.2"
#: E. coli and Shigella, from the nearest to the farthest of MG1655 by name, not by measurement
STRAINS = ("GCF_000005845.2", "NC_007779.1", "NZ_CP016182.2", "GCF_000008865.2", "GCF_003697165.2", "GCF_002949675.1", "GCF_002950215.1")


def genomes(data):
    """Text by name, of the 21 genomes."""
    files = sorted([*(data / "genomes").glob("GC*.fa.gz"), *(data / "genomes").glob("N*_*.fa.gz")])
    return {document_name(file): read_document(file)[0] for file in files}


def reads(data, name):
    """Sequences of a file of reads."""
    return [record.sequence for record in read_records(data / "genomes" / name)]


def changed(text, count, length, seed):
    """Stretches of a text with one base changed."""
    rng = np.random.default_rng(seed)
    letters = np.frombuffer(b"ACGT", np.uint8)
    out = []
    for start in rng.integers(len(text) - length, size=count):
        part = text[start:start + length].copy()
        at = rng.integers(length)
        part[at] = rng.choice(letters[letters != part[at]])
        out.append(part.tobytes())
    return out


def random_text(length, seed):
    """Random bases."""
    return np.random.default_rng(seed).choice(np.frombuffer(b"ACGT", np.uint8), length)
