"""Claims of the papers on Scatterbrain and Scissorhands."""

from benchmarks.claims.command import Claim
from benchmarks.claims.structured import verdict

SCATTERBRAIN, SCISSORHANDS, SESDI = "Scatterbrain, arXiv 2110.15343", "Scissorhands, arXiv 2305.17118", "SESDI, arXiv 2102.13631"


def command(part):
    """What measures a part."""
    return f"python -m benchmarks attention-second --parts {part}"


def claims(figures):
    """Rows of the papers."""
    return [*_scatterbrain(figures["errors"]), *_scissorhands(figures.get("caches", [])), *_sesdi()]


def _scatterbrain(errors):
    at = {row["beta"]: row for row in errors["table"]}
    ratio = at[4]["Scatterbrain"] / min(at[4]["sparse"], at[4]["low rank"])
    worst = max(row["Scatterbrain"] / min(row["sparse"], row["low rank"]) for row in errors["table"] if row["beta"] >= 2)
    yield Claim(SCATTERBRAIN, "Lower error than either parent at equal memory, up to 2.1 times", command("errors"),
                f"Clustered points: {ratio:.2f} times the better parent's error at beta = 4, at most {worst:.2f} times the best "
                "from 2 on.", verdict(ratio <= 0.8, worst <= 1.25, False),
                "The support has to find the large entries, and the clusters have to be tight: with one round of hashing as the "
                "support, or with wider clusters, the better parent is level or ahead.")
    for claim in ("98 % less memory of attention in T2T-ViT at 1 point of accuracy",
                  "Up to 4 points of perplexity and 5 points of Long Range Arena better"):
        yield Claim(SCATTERBRAIN, claim, "-", "", "not measured")


def _scissorhands(texts):
    if not texts:
        for claim in ("Up to 5 times smaller caches without loss of quality", "Better than forgetting by other rules",
                      "Goes together with 4 bits"):
            yield Claim(SCISSORHANDS, claim, command("caches"), "", "not measured")
    for entry in texts:
        bits = entry["bits"]
        loss = {name: 2 ** (value - bits["all"]) - 1 for name, value in bits.items()}
        half = loss["scissorhands, half"]
        yield Claim(SCISSORHANDS, f"Up to 5 times smaller caches without loss of quality ({entry['text']})", command("caches"),
                    f"Perplexity {half:+.1%} at half the cache, {loss['scissorhands, fifth']:+.1%} at a fifth.",
                    verdict(half <= 0.03, loss["scissorhands, fifth"] <= 0.03), "A small model of characters.")
        best = {share: min(bits[f"{policy}, {share}"] for policy in ("window", "random", "heavy_hitters")) for share in ("half", "fifth")}
        yield Claim(SCISSORHANDS, f"Better than forgetting by other rules ({entry['text']})", command("caches"),
                    "; ".join(f"{bits[f'scissorhands, {share}'] - best[share]:+.3f} bits a token beside the best other rule at a {share}"
                              for share in best) + ".", verdict(*(bits[f"scissorhands, {share}"] < best[share] for share in best)))
        four = bits["scissorhands, half, 4 bits"] - bits["scissorhands, half"]
        yield Claim(SCISSORHANDS, f"Goes together with 4 bits ({entry['text']})", command("caches"), f"{four:+.3f} bits a token on top.",
                    verdict(four <= 0.02))


def _sesdi():
    yield Claim(SESDI, "Velocity models from sets of traces, structural similarity above 0.8", "-", "", "not measured")
