"""Claims of the papers on structured matrices: Monarch and Pixelated Butterfly."""

from benchmarks.claims.command import Claim
from benchmarks.structured import trials
from benchmarks.structured.mnist import mean
from benchmarks.structured.speed import faster, threads_of

MONARCH, PIXELFLY = "Monarch, arXiv 2204.00595", "Pixelated Butterfly, arXiv 2112.00029"


def command(part):
    """What measures a part."""
    return f"python -m benchmarks structured --parts {part}"


def verdict(*conditions):
    """Of what all, some or none of the conditions say."""
    return "holds" if all(conditions) else "holds in part" if any(conditions) else "does not hold here"


def claims(figures):
    """Rows of both papers."""
    return [*_monarch(figures), *_pixelfly(figures)]


def _monarch(figures):
    projection, mnist = figures["projection"], figures.get("mnist")
    exact = max(entry[name] for entry in projection["exact"].values() for name in ("permuted DFT", "Hadamard"))
    yield Claim(MONARCH, "Monarch matrices contain the Fourier and Hadamard transforms", command("projection"),
                f"Relative error of the projection {exact:.0e} for n = 16 to 1,024, after the stride permutation.", verdict(exact < 1e-12))
    least, error = min(projection["alternating"]), projection["error"]
    yield Claim(MONARCH, "The nearest Monarch matrix has a closed form", command("projection"),
                f"Error {error:.6f}, alternating least squares from three starts {least:.6f} at best; error and matrix agree to "
                f"{abs(error - projection['direct']):.0e}.", verdict(error <= least + 1e-9))
    wins = [name for name, entry in projection["table"].items() if entry["monarch"] < entry["svd"] - 1e-3]
    yield Claim(MONARCH, "Expressive at few parameters: structured matrices beyond low rank", command("projection"),
                f"Nearer than an SVD of as many parameters on {len(wins)} of {len(projection['table'])} kinds of matrices "
                f"({', '.join(wins)}).", verdict(len(wins) > 1, len(wins) == len(projection["table"])),
                "Low-rank matrices are the other way round.")
    if mnist is not None:
        dense, ours = (mnist["systems"][name] for name in ("dense", "monarch"))
        gap, share = mean(mnist, "dense") - mean(mnist, "monarch"), ours["parameters"] / dense["parameters"]
        yield Claim(MONARCH, "Trained from the start, equal quality with a fraction of the parameters", command("mnist"),
                    f"MNIST: {mean(mnist, 'monarch'):.2f} % beside {mean(mnist, 'dense'):.2f} % dense, with {share:.0%} of the weights of "
                    "the middle layer.", verdict(gap <= 1.0, share <= 0.1))
    yield from _language(figures.get("language", []), MONARCH, lambda trial: "Pixelfly" not in trial)
    for name, width, trial, more, share in _reverse(figures.get("language", [])):
        yield Claim(MONARCH, f"Reverse sparsification reaches dense quality in less time ({name}, width {width})", command("language"),
                    f"{more:+.3f} bits a token beside dense training of the same time"
                    + ("; it does not reach the dense model's bits." if share is None else
                       f"; it reaches the dense model's bits after {share:.0%} of the time."),
                    verdict(share is not None and share < 1.0), f"{trial}.")
    for claim in ("PDE solving and MRI reconstruction with 40 % less error", "BERT pre-training 23 % faster than an optimised baseline",
                  "GLUE fine-tuning 1.7 times faster after projection"):
        yield Claim(MONARCH, claim, "-", "", "not measured", "Needs data and models that are not at hand.")


def _language(entries, paper, chosen):
    """Rows on language models: the form that came nearest to dense layers."""
    for of in dict.fromkeys(trials.group(entry) for entry in entries):
        dense = trials.dense_of(entries, of)
        entry = trials.best(entries, of, lambda trial: chosen(trial) and "ense" not in trial and not trial.startswith(trials.REVERSE))
        if entry is None:
            continue
        (gap, later), share = trials.scores(entry, dense), entry["weights"] / dense["weights"]
        of_dense, of_entry = (each["way"][-1][1] / each["way"][-1][0] for each in (dense, entry))
        yield Claim(paper, f"Language models train faster at equal quality ({of[0]}, width {of[1]})", command("language"),
                    f"The best form, {entry['trial']}, with {share:.0%} of the dense layers' weights: {of_dense / of_entry:.1f} times the "
                    f"steps a second; {gap:+.3f} bits a token at equal steps"
                    + ("." if later is None else f", {later:+.3f} at equal time."),
                    verdict(gap <= 0.02, later is not None and later < 0))


def _reverse(entries):
    """(set, width, trial, bits beside dense training of the same time, share of it after which its bits are reached or None)."""
    for of in dict.fromkeys(trials.group(entry) for entry in entries):
        entry, dense = trials.best(entries, of, lambda trial: trial.startswith(trials.REVERSE), by=1), trials.dense_of(entries, of)
        if entry is not None:
            yield *of, entry["trial"], trials.scores(entry, dense)[1], trials.reaches(entry, dense)


def _pixelfly(figures):
    projection, speed, mnist = figures["projection"], figures.get("speed"), figures.get("mnist")
    counts = projection["counts"]
    yield Claim(PIXELFLY, "A flat block butterfly stores nb (1 + log2 k) blocks", command("projection"),
                f"{sum(entry['stored'] == entry['expected'] for entry in counts)} of {len(counts)} settings exactly.",
                verdict(all(entry["stored"] == entry["expected"] for entry in counts)))
    ratios = [large / small for large, small in zip(projection["flattening"], projection["flattening"][1:])]
    yield Claim(PIXELFLY, "Flattening the product of factors to their sum is right to the second order", command("projection"),
                f"The error falls {min(ratios):.2f} to {max(ratios):.2f} times where the entries halve.",
                verdict(all(abs(ratio - 4) < 0.4 for ratio in ratios)))
    if speed is not None:
        widest = max(entry["n"] for entry in speed[0]["table"])
        ratios = [faster(part, widest, "Pixelfly 20 %") for part in speed]
        shown = " and ".join(f"{ratio:.1f} times ({threads_of(part)})" for ratio, part in zip(ratios, speed))
        yield Claim(PIXELFLY, "Training up to 2.5 times faster", command("speed"),
                    f"One layer of {widest:,} units at 20 % of the weights, forward and backward: {shown} as fast as dense products.",
                    verdict(min(ratios) >= 2.5, max(ratios) >= 2.5), "A layer by itself; whole trainings were not compared.")
    if mnist is not None:
        gap = mean(mnist, "dense") - mean(mnist, "pixelfly")
        over = mean(mnist, "pixelfly") - mean(mnist, "random blocks")
        yield Claim(PIXELFLY, "No loss of accuracy", command("mnist"), f"MNIST: {mean(mnist, 'pixelfly'):.2f} % beside "
                    f"{mean(mnist, 'dense'):.2f} % dense.", verdict(gap <= 1.0))
        yield Claim(PIXELFLY, "The butterfly is a better pattern than random blocks", command("mnist"),
                    f"MNIST: {over:+.2f} points on the mean of the seeds, with low rank beside both.", verdict(over >= 0))
    yield from _language(figures.get("language", []), PIXELFLY, lambda trial: "Pixelfly" in trial)
    for claim in ("3 times faster than butterfly matrices that are not flattened", "Attention of Long Range Arena up to 5.2 times faster"):
        yield Claim(PIXELFLY, claim, "-", "", "not measured", "Needs the baselines of the paper.")
