"""Runs in the environment of rbloom, pybloomfiltermmap3 and sourmash, without this package. Prints JSON."""

import gzip
import json
import pathlib
import resource
import sys
import tempfile
import time

KEYS = 1_000_000
SINGLE = 20_000
TRUE_GENOME = "NC_007779.1"


def fasta(path):
    """Sequences of a FASTA file."""
    parts, out = [], []
    with gzip.open(path, "rt") as file:
        for line in file:
            if line[0] == ">":
                if parts:
                    out.append("".join(parts))
                parts = []
            else:
                parts.append(line.strip())
    return [*out, "".join(parts)]


def fastq(path):
    """Sequences of a FASTQ file."""
    with gzip.open(path, "rt") as file:
        return [line.strip() for i, line in enumerate(file) if i % 4 == 1]


def rate(n, function):
    """Calls of n keys a second."""
    start = time.perf_counter()
    function()
    return n / (time.perf_counter() - start)


def rates(filter_, other, strings):
    """Rates of a batch, and of single keys."""
    return {"batch insert, strings": rate(KEYS, lambda: filter_.update(strings)),
            "batch query, strings": rate(KEYS, lambda: [key in filter_ for key in strings]),
            "single insert": rate(SINGLE, lambda: [other.add(key) for key in strings[:SINGLE]]),
            "single query": rate(SINGLE, lambda: [key in other for key in strings[:SINGLE]])}


def keys(data):
    """Rates of both filters."""
    import rbloom
    from pybloomfilter import BloomFilter

    text = fasta(data / "genomes" / "GCF_000005845.2.fa.gz")[0]
    strings = [text[i:i + 31] for i in range(KEYS)]
    out = {}
    for name, make in (("rbloom", lambda: rbloom.Bloom(KEYS, 0.01)),
                       ("pybloomfiltermmap3", lambda: BloomFilter(KEYS, 0.01, tempfile.mktemp()))):
        out[name] = rates(make(), make(), strings)
    return out


def found_reads(data, scaled, threshold):
    """Reads found by containment of their sampled k-mers."""
    from sourmash import MinHash

    files = sorted([*(data / "genomes").glob("GC*.fa.gz"), *(data / "genomes").glob("N*_*.fa.gz")])
    start = time.perf_counter()
    sketches = {}
    for file in files:
        sketch = MinHash(n=0, ksize=31, scaled=scaled)
        for sequence in fasta(file):
            sketch.add_sequence(sequence, force=True)
        sketches[file.name.replace(".fa.gz", "")] = set(sketch.hashes)
    seconds = time.perf_counter() - start

    def search(sequences):
        answers, empty = [], 0
        for sequence in sequences:
            sketch = MinHash(n=0, ksize=31, scaled=scaled)
            sketch.add_sequence(sequence, force=True)
            some = list(sketch.hashes)
            empty += not some
            answers.append([name for name, all_ in sketches.items() if some and sum(h in all_ for h in some) >= threshold * len(some)])
        return answers, empty

    true = fastq(data / "genomes" / "reads_k12_sim_R1.fq.gz") + fastq(data / "genomes" / "reads_k12_sim_R2.fq.gz")
    foreign = fastq(data / "genomes" / "reads_SRR7885321_1.fq.gz") + fastq(data / "genomes" / "reads_SRR7885321_2.fq.gz")
    start = time.perf_counter()
    answers, empty = search(true)
    query_seconds = time.perf_counter() - start
    right = sum(TRUE_GENOME in one for one in answers)
    return {"reads": len(true), "recall": right / len(true), "without k-mers": empty / len(true), "foreign reads": len(foreign),
            "foreign found": sum(map(bool, search(foreign)[0])) / len(foreign), "index seconds": seconds, "query seconds": query_seconds,
            "index bytes": 8 * sum(map(len, sketches.values())), "peak bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            "answers": answers}


if __name__ == "__main__":
    folder = pathlib.Path(sys.argv[2])
    what = sys.argv[1].split(":")
    print(json.dumps(keys(folder) if what[0] == "keys" else found_reads(folder, int(what[1]), float(what[2]))))
