"""Single keys and batches of k-mers: our filter beside rbloom and pybloomfiltermmap3, in turn; reads beside sourmash."""

import json
import pathlib
import resource
import statistics
import subprocess
import sys
import time

import numpy as np

from benchmarks.sketch.genomes import ONE, genomes, reads
from benchmarks.sketch.hashing import among
from mongoose_nb.sketch import BloomFilter, COBSIndex, IDLHash, RandomHash

KEYS = 1_000_000
SINGLE = 20_000
TRUE_GENOME = "NC_007779.1"
THRESHOLD = 0.5


def timed(function):
    """Seconds of a call, and what it returns."""
    start = time.perf_counter()
    value = function()
    return time.perf_counter() - start, value


def ours(text):
    """Rates of our filter, keys a second."""
    n = len(text) - 30
    bits = BloomFilter(n=n, fpr=0.01).bits
    kmers = RandomHash().kmers(text)[:KEYS]
    other = np.random.default_rng(0).integers(1 << 62, size=KEYS).astype(np.uint64)
    out = {}
    filter_ = BloomFilter(n=KEYS, fpr=0.01)
    seconds, _ = timed(lambda: filter_.insert(kmers))
    out["batch insert"] = KEYS / seconds
    seconds, found = timed(lambda: filter_.contains(kmers))
    assert found.all()
    out["batch query"] = KEYS / seconds
    out["false positives"] = float(filter_.contains(other).mean())
    strings = [text[i:i + 31].tobytes().decode() for i in range(KEYS)]
    filter_ = BloomFilter(n=KEYS, fpr=0.01)
    seconds, _ = timed(lambda: filter_.insert(strings))
    out["batch insert, strings"] = KEYS / seconds
    seconds, _ = timed(lambda: filter_.contains(strings))
    out["batch query, strings"] = KEYS / seconds
    seconds, _ = timed(lambda: [filter_.insert(key) for key in strings[:SINGLE]])
    out["single insert"] = SINGLE / seconds
    seconds, _ = timed(lambda: [key in filter_ for key in strings[:SINGLE]])
    out["single query"] = SINGLE / seconds
    filter_ = BloomFilter(IDLHash(n_hashes=7, bits=bits))
    seconds, _ = timed(lambda: filter_.insert(text))
    out["sequence insert"] = n / seconds
    seconds, _ = timed(lambda: filter_.contains(text))
    out["sequence query"] = n / seconds
    return out


def found_reads(args):
    """Recall and answers on foreign reads of a COBS index over all genomes, time and memory."""
    texts = genomes(args.data)
    true = true_reads(args)
    foreign = reads(args.data, "reads_SRR7885321_1.fq.gz") + reads(args.data, "reads_SRR7885321_2.fq.gz")
    index = COBSIndex(IDLHash())
    seconds, _ = timed(lambda: index.add_many(texts.items()))
    query_seconds, answers = timed(lambda: index.search_many(true, THRESHOLD))
    strange = index.search_many(foreign, THRESHOLD)
    member = np.unique(RandomHash().kmers(texts[TRUE_GENOME]))
    exact = sum(among(RandomHash().kmers(read), member).mean() >= THRESHOLD for read in true)
    given = [[match.name for match in one] for one in answers]
    return {"reads": len(true), "recall": sum(any(m.name == TRUE_GENOME for m in one) for one in answers) / len(true),
            "exact recall": exact / len(true), "precision": precision(args, given), "foreign reads": len(foreign),
            "foreign found": sum(map(bool, strange)) / len(foreign), "index seconds": seconds, "query seconds": query_seconds,
            "index bytes": index.nbytes, "peak bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}


def true_reads(args):
    """Reads of which the genome is known."""
    return reads(args.data, "reads_k12_sim_R1.fq.gz") + reads(args.data, "reads_k12_sim_R2.fq.gz")


def precision(args, answers):
    """Share of the answers that have the wanted share of the read's k-mers in truth."""
    hasher = RandomHash()
    members = {name: np.unique(hasher.kmers(text)) for name, text in genomes(args.data).items()}
    right = given = 0
    for read, names in zip(true_reads(args), answers):
        kmers = hasher.kmers(read)
        for name in names:
            given += 1
            right += among(kmers, members[name]).mean() >= THRESHOLD
    return right / max(1, given)


def measure(args, peers):
    """Ours and the peers' in turn."""
    text = genomes(args.data)[ONE]
    ours(text[:200_000 + KEYS])  # compiles
    runs = {"mongoose_nb": []}
    worker = pathlib.Path(__file__).parent / "peer_worker.py"
    for _ in range(3):
        runs["mongoose_nb"].append(ours(text))
        if "sketch" in peers:
            done = subprocess.run([peers["sketch"], str(worker), "keys", str(args.data)], capture_output=True, text=True)
            if done.returncode:
                sys.exit(done.stderr)
            for name, rates in json.loads(done.stdout).items():
                runs.setdefault(name, []).append(rates)
    out = {"rates": {name: {key: statistics.median(one[key] for one in some) for key in some[0]} for name, some in runs.items()},
           "reads": {"mongoose_nb": found_reads(args)}}
    if "sketch" in peers:
        for scaled in (1000, 100, 10):
            command = [peers["sketch"], str(worker), f"reads:{scaled}:{THRESHOLD}", str(args.data)]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                sys.exit(done.stderr)
            figures = json.loads(done.stdout)
            figures["precision"] = precision(args, figures.pop("answers"))
            out["reads"][f"sourmash, 1 k-mer in {scaled}"] = figures
    return out
