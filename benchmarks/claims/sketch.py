"""Claims of IDL, RAMBO, count-min and density sketches."""

from benchmarks.claims.command import Claim

IDL = "IDL, Desai et al. 2024 (arXiv 2406.14901)"
RAMBO = "RAMBO, Gupta et al. 2021 (arXiv 1910.04358)"
DENSITY = "Density sketches, Desai, Coleman and Shrivastava"
COMMAND = "python -m benchmarks sketch"


def verdict(good, partly=False):
    """Of a figure that is as claimed, or in part."""
    return "holds" if good else "holds in part" if partly else "does not hold here"


def idl(figures):
    """Cache lines, false positives, speed."""
    if "hashing" in figures:
        random, ours = (figures["hashing"]["hashes"][name] for name in ("random", "IDL 512"))
        ratio = random["lines_per_probe"] / ours["lines_per_probe"]
        yield Claim(IDL, "about 5 times fewer cache misses", f"{COMMAND} --parts hashing", f"{ratio:.1f} times fewer distinct cache lines "
                    "per probe with a window of 512 bits.", verdict(ratio >= 5, ratio >= 3), "Lines are counted, misses are not.")
        within = all(ours["rates"][name]["rate"] <= 1.15 * rate["rate"] + 3 * rate["error"] for name, rate in random["rates"].items())
        said = ", ".join(f"{name} {ours['rates'][name]['rate']:.4f} against {rate['rate']:.4f}" for name, rate in random["rates"].items())
        yield Claim(IDL, "the false-positive rate of random addresses", f"{COMMAND} --parts hashing", f"{said}.", verdict(within))
    if "speed" in figures:
        large = [row for row in figures["speed"]["sizes"] if row["log2_bits"] >= 30]
        low, high = (pick(row[what]["ratio"] for row in large for what in ("insert", "query")) for pick in (min, max))
        yield Claim(IDL, "up to twice as fast to index and query", f"{COMMAND} --parts speed", f"{low:.1f} to {high:.1f} times as fast in "
                    "Bloom filters of 2^30 bits and more.", verdict(low >= 2, high > 1.2), "Both ask for memory ahead.")


def claims(figures):
    """All claims of which there are figures."""
    found = list(idl(figures))
    if "search" in figures:
        part = figures["search"]
        rows = [row for name, row in part["kinds"].items() if name.startswith("RAMBO")]
        worst = max(row["rate"] / row["formula"] for row in rows)
        found.append(Claim(RAMBO, "no document with the k-mers is lost; others are reported with probability (p + (1 - p) / B)^R",
                           f"{COMMAND} --parts search", f"Recall {min(row['recall'] for row in rows):.4f}; at most {worst:.2f} times the "
                           "formula.", verdict(worst <= 1.3 and min(row["recall"] for row in rows) == 1)))
    if "density" in figures:
        part = figures["density"]
        drops = [max(one["real"] - row["accuracy"] for row in [max(one["bandwidths"].values(), key=lambda row: row["accuracy"])])
                 for one in part["classifiers"].values()]
        found.append(Claim(DENSITY, "classifiers trained on samples are as accurate as on real rows", f"{COMMAND} --parts density",
                           f"At most {100 * max(drops):.1f} points less on {len(drops)} sets, with the best of three bandwidths.",
                           verdict(max(drops) <= 0.02), "On the small sets nearly every row has a cell of its own."))
        found.append(Claim(DENSITY, "sketches merge", f"{COMMAND} --parts density", "Ten merged parts equal the whole "
                           + ("bit for bit." if part["merged equals whole"] else "not."), verdict(part["merged equals whole"])))
        bound = part["count-min"]
        found.append(Claim("Count-min, Cormode and Muthukrishnan 2005", "never below the count, seldom beyond e N / width",
                           f"{COMMAND} --parts density",
                           f"{bound['below']} below and {bound['beyond']} beyond in {bound['trials']:,} trials.",
                           verdict(bound["below"] == 0 and bound["beyond"] <= bound["allowed beyond"] * bound["trials"])))
    return found
