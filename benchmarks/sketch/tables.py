"""Tables of what was measured, in Markdown, one for each block of docs/development/sketch.md."""


def table(head, rows):
    """A table in Markdown."""
    return "\n".join([f"| {' | '.join(head)} |", "|" + "---|" * len(head), *(f"| {' | '.join(map(str, row))} |" for row in rows)])


def size(n):
    """Bytes, for people."""
    return f"{n / 1e9:.2f} GB" if n >= 1e9 else f"{n / 1e6:.1f} MB" if n >= 1e6 else f"{n / 1e3:.0f} kB"


def hashing(part):
    """Lines, neighbours and rates by hash; rates by fill; repeats."""
    queries = part["hashes"]["random"]["rates"]
    first = table(["hash", "lines per probe", "same base as the k-mer before", "fill", "fullest 512 bits", *queries],
                  [[name, f"{row['lines_per_probe']:.3f}", f"{row['same_base']:.3f}", f"{row['fill']:.3f}", f"{row['largest_load']:.2f}",
                    *(f"{rate['rate']:.5f} ± {rate['error']:.5f}" for rate in row["rates"].values())]
                   for name, row in part["hashes"].items()])
    second = table(["bits", "fill, random", "fill, IDL 512", "random k-mers: random", "IDL 512", "one base changed: random", "IDL 512"],
                   [[f"2^{a['bits'].bit_length() - 1}", f"{a['fill']:.3f}", f"{b['fill']:.3f}", f"{a['rates']['random']:.5f}",
                     f"{b['rates']['random']:.5f}", f"{a['rates']['one base changed']:.5f}", f"{b['rates']['one base changed']:.5f}"]
                    for a, b in zip(part["fill"]["random"], part["fill"]["IDL 512"])])
    third = table(["repeat", "different k-mers", "fullest 512 bits of 2^24"],
                  [[name, f"{row['k_mers']:,}", f"{row['largest_load']:.2f}"] for name, row in part["repeats"].items()])
    return (f"{part['k_mers']:,} different 31-mers of {part['genome']}, 4 hashes, 2^25 bits; sub-k-mers of 16 letters, so neighbours share "
            f"a base with probability {part['expected_same_base']:.3f}. False-positive rates with standard errors.\n\n{first}\n\n"
            f"By size of the filter:\n\n{second}\n\nRepeats with few letters fill few windows:\n\n{third}\n\n"
            f"Of {part['k_mers_checked']:,} k-mers of 21 genomes that were inserted, {part['false_negatives']:,} were not found.")


def speed(part):
    """Seconds by size."""
    return f"{part['k_mers']:,} k-mers, 4 hashes. Median of the ratios of each round, with the lowest and highest.\n\n" + table(
        ["bits", "threads", "insert: random", "IDL", "ratio", "query: random", "IDL", "ratio"],
        [[f"2^{row['log2_bits']}", row["threads"], *(cell for what in ("insert", "query") for cell in (
            f"{row[what]['random']:.3f} s", f"{row[what]['idl']:.3f} s",
            f"{row[what]['ratio']:.2f} ({row[what]['lowest']:.2f} to {row[what]['highest']:.2f})"))] for row in part["sizes"]])


def keys(part):
    """Rates, and reads."""
    kinds = sorted({kind for rates in part["rates"].values() for kind in rates} - {"false positives"})
    first = table(["keys a second", *part["rates"]],
                  [[kind, *(f"{rates[kind]:,.0f}" if kind in rates else "" for rates in part["rates"].values())] for kind in kinds])
    names = ("recall", "exact recall", "precision", "foreign found", "index seconds", "query seconds", "index bytes", "peak bytes")
    second = table(["reads", *part["reads"]], [[name, *(
        "" if name not in row else size(row[name]) if "bytes" in name else f"{row[name]:.{2 if 'seconds' in name else 4}f}"
        for row in part["reads"].values())] for name in names])
    return f"{first}\n\n{second}"


def search(part):
    """COBS and RAMBO."""
    names = ("recall", "rate", "formula", "rate of k-mers that no genome has", "order of strains is right", "reads that find their strain",
             "reads found", "bytes")

    def show(name, value):
        return size(value) if name == "bytes" else ("yes" if value else "no") if isinstance(value, bool) else f"{value:.5f}"

    first = table(["", *part["kinds"]], [[name, *(show(name, row[name]) for row in part["kinds"].values())] for name in names])
    independent = part["independence"]
    return (f"{first}\n\nRAMBO with B = {part['B']} and R = {part['R']}. Of {independent['pairs']:,} pairs of names, those that share a "
            f"bucket, as a multiple of what independence gives: in one repetition {independent['in one']:.4f}, in two "
            f"{independent['in two']:.4f}, in three {independent['in three']:.4f}.")


def density(part):
    """Mixtures, anomalies, classifiers, bounds."""
    mixtures = [row for row in part["mixtures"].values() if isinstance(row, dict)]
    first = table(["dimensions", "rows", "DensitySketch", "KernelDensity", "bytes"],
                  [[row["dim"], f"{row['n']:,}", f"{row['sketch']:.3f}", f"{row['KernelDensity']:.3f}" if "KernelDensity" in row else "",
                    size(row["bytes"])] for row in mixtures])
    second = table(["set", "system", "AUC", "fit", "score", "bytes"],
                   [[name, system, f"{row['auc']:.4f}", f"{row['fit seconds']:.2f} s", f"{row['score seconds']:.2f} s", size(row["bytes"])]
                    for name, one in part["anomalies"].items() for system, row in one["systems"].items()])
    widths = next(iter(part["classifiers"].values()))["bandwidths"]
    third = table(["set", "rows", "real rows", *(f"samples, bandwidth {b} (cells)" for b in widths)],
                  [[name, f"{one['rows']:,}", f"{one['real']:.4f}", *(f"{row['accuracy']:.4f} ({row['cells']:,})"
                                                                    for row in one["bandwidths"].values())]
                   for name, one in part["classifiers"].items()])
    bound = part["count-min"]
    return (f"Mean absolute error of the log density of mixtures, at new points:\n\n{first}\n\n"
            f"The density of the two-dimensional mixture sums to {part['mixtures']['mass']:.3f}.\n\n"
            f"Anomalies, fitted on one half of the rows and scored on the other:\n\n{second}\n\n"
            f"Accuracy of 5 nearest neighbours trained on real rows, and on as many samples:\n\n{third}\n\n"
            f"Count-min: in {bound['trials']:,} trials "
            f"{bound['below']} estimates were below the count, and {bound['beyond']} beyond the bound, which allows "
            f"{bound['allowed beyond'] * bound['trials']:,.0f}. Merged parts equal the whole bit for bit: "
            f"{'yes' if part['merged equals whole'] else 'no'}.")


def large(part):
    """One run."""
    return (f"{part['documents']:,} random genomes, {part['letters'] / 1e9:.1f} billion letters, killed after "
            f"{part['parts when killed']} parts and resumed: {part['seconds']:.0f} s in all, at most {size(part['peak bytes'])} of memory, "
            f"index {size(part['index bytes'])}. "
            f"{part['queries found']} of {part['queries']} queries of 300 letters found their genome, in {part['query seconds']:.1f} s.")


WRITERS = {"hashing": hashing, "speed": speed, "keys": keys, "search": search, "density": density, "large": large}


def tables(kept):
    """The text of every block."""
    return {name: WRITERS[name](kept[name]) if name in kept else "Not measured." for name in WRITERS}
