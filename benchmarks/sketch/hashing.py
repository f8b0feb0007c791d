"""IDL against random addresses at equal bits: neighbours, cache lines, false positives, largest loads, and no false negatives."""

import numpy as np

from benchmarks.sketch.genomes import ONE, changed, genomes, random_text, reads
from mongoose_nb.sketch import BloomFilter, IDLHash, RandomHash

WINDOWS = (512, 2048)
STRETCH = 256  # k-mers in which lines are counted once


def lines_per_probe(addresses):
    """Distinct lines of 64 bytes of a stretch of k-mers, as a share of its probes."""
    n = len(addresses) // STRETCH * STRETCH
    lines = np.sort((addresses[:n] >> np.uint64(9)).reshape(-1, STRETCH * addresses.shape[1]), axis=1)
    return float((1 + (lines[:, 1:] != lines[:, :-1]).sum(axis=1)).mean() / lines.shape[1])


def among(kmers, members):
    """Whether each is among the sorted members."""
    return members[np.minimum(np.searchsorted(members, kmers), len(members) - 1)] == kmers


def rate(filter_, sequences, members):
    """False-positive rate over the k-mers that are no members, its standard error, and their number."""
    hits = trials = 0
    for lo in range(0, len(sequences), 50_000):
        part = list(sequences[lo:lo + 50_000])
        strange = ~among(filter_.hasher.kmers(part), members)
        found = filter_.contains(part)[strange]
        hits, trials = hits + int(found.sum()), trials + len(found)
    p = hits / trials
    return {"rate": p, "error": (max(p, 1 / trials) * (1 - p) / trials) ** 0.5, "k_mers": trials}


def measure(args, peers):
    """All of it, on one genome; false negatives on all."""
    all_texts = genomes(args.data)
    text = all_texts[ONE]
    members = np.unique(RandomHash().kmers(text))
    queries = {"random": [random_text(300_000, 1).tobytes()], "one base changed": changed(text, 4_000, 61, 2),
               "foreign reads": reads(args.data, "reads_SRR7885321_1.fq.gz") + reads(args.data, "reads_SRR7885321_2.fq.gz")}
    kinds = {"random": lambda bits: RandomHash(bits=bits), **{f"IDL {w}": lambda bits, w=w: IDLHash(bits=bits, window=w) for w in WINDOWS}}
    out = {"genome": ONE, "k_mers": len(members), "hashes": {}, "false_negatives": 0, "k_mers_checked": 0, "fill": {}}
    for name, make in kinds.items():
        hasher = make(2**25)
        addresses = hasher.addresses(text)
        lines = addresses >> np.uint64(min(hasher.window, 512).bit_length() - 1 if hasattr(hasher, "window") else 9)
        window = getattr(hasher, "window", 512)
        near = np.abs(addresses[1:].astype(np.int64) - addresses[:-1].astype(np.int64)) < window
        same = float((lines[1:] == lines[:-1]).mean()) if window <= 512 else float(near.mean())
        filter_ = BloomFilter(hasher)
        filter_.insert(text)
        out["hashes"][name] = {"lines_per_probe": lines_per_probe(addresses), "same_base": same, "fill": filter_.fill(),
                               "largest_load": filter_.largest_load(),
                               "rates": {query: rate(filter_, sequences, members) for query, sequences in queries.items()}}
    out["expected_same_base"] = IDLHash().same_base_rate
    for bits in (2**24, 2**25):
        for name in ("random", "IDL 512"):
            filter_ = BloomFilter(kinds[name](bits))
            filter_.insert(text)
            out["fill"].setdefault(name, []).append({"bits": bits, "fill": filter_.fill(), "rates": {
                query: rate(filter_, queries[query], members)["rate"] for query in ("random", "one base changed")}})
    repeats = {"A x 100,000": b"A" * 100_000, "AT x 50,000": b"AT" * 50_000, "ACGTTGCA x 12,500": b"ACGTTGCA" * 12_500,
               "40 bases x 2,500": random_text(40, 3).tobytes() * 2_500}
    out["repeats"] = {}
    for name, repeat in repeats.items():
        filter_ = BloomFilter(IDLHash(bits=2**24))
        filter_.insert(repeat)
        out["repeats"][name] = {"k_mers": len(np.unique(filter_.hasher.kmers(repeat))), "largest_load": filter_.largest_load()}
    for one in all_texts.values():
        for hasher in (RandomHash(bits=2**26), IDLHash(bits=2**26)):
            filter_ = BloomFilter(hasher)
            filter_.insert(one)
            found = filter_.contains(one)
            out["false_negatives"] += int((~found).sum())
            out["k_mers_checked"] += len(found)
    return out
