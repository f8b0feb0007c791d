"""Insert and query by filter size: IDL against our own random addresses, in turn, in one process."""

import statistics
import time

import numba

from benchmarks.sketch.genomes import ONE, genomes
from mongoose_nb.sketch import BloomFilter, IDLHash, RandomHash

SIZES = (25, 28, 30, 32, 33)


def measure(args, peers):
    """Seconds of each, medians and quartiles over rounds."""
    text = genomes(args.data)[ONE]
    out = {"k_mers": len(text) - 30, "sizes": []}
    for size in SIZES:
        filters = {"random": BloomFilter(RandomHash(bits=2**size)), "idl": BloomFilter(IDLHash(bits=2**size))}
        for threads in (1, 2):
            numba.set_num_threads(threads)
            times = {(name, what): [] for name in filters for what in ("insert", "query")}
            for filter_ in filters.values():
                filter_.bytes_of()[...] = 0
                filter_.insert(text[:100_000])
                filter_.contains(text[:100_000])
            for _ in range(args.rounds):
                for name, filter_ in filters.items():
                    filter_.bytes_of()[...] = 0  # all pages are in memory
                    start = time.perf_counter()
                    filter_.insert(text)
                    between = time.perf_counter()
                    found = filter_.contains(text)
                    times[name, "insert"].append(between - start)
                    times[name, "query"].append(time.perf_counter() - between)
                    assert found.all()
            row = {"log2_bits": size, "threads": threads}
            for what in ("insert", "query"):
                ratios = [a / b for a, b in zip(times["random", what], times["idl", what])]
                row[what] = {"random": statistics.median(times["random", what]), "idl": statistics.median(times["idl", what]),
                             "ratio": statistics.median(ratios), "lowest": min(ratios), "highest": max(ratios)}
            out["sizes"].append(row)
            print(row, flush=True)
        del filters
    numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)
    return out
