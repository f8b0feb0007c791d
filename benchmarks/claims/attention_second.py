"""Claims of the papers on Scatterbrain, Scissorhands and SESDI."""

import numpy as np

from benchmarks.attention_second.caches import OTHERS, POLICIES, SHARES, differences
from benchmarks.attention_second.trained import against_parents
from benchmarks.claims.command import Claim
from benchmarks.claims.structured import verdict

SCATTERBRAIN, SCISSORHANDS, SESDI = "Scatterbrain, arXiv 2110.15343", "Scissorhands, arXiv 2305.17118", "SESDI, arXiv 2102.13631"


def command(part):
    """What measures a part."""
    return f"python -m benchmarks attention-second --parts {part}"


def claims(figures):
    """Rows of the papers."""
    return [*_scatterbrain(figures["errors"], figures["trained"], figures["models"]), *_scissorhands(figures["caches"]),
            *_sesdi(figures["inversion"])]


def _scatterbrain(errors, trained, models):
    at = {row["beta"]: row for row in errors["table"]}
    ratio = at[4]["Scatterbrain"] / min(at[4]["sparse"], at[4]["low rank"])
    worst = max(row["Scatterbrain"] / min(row["sparse"], row["low rank"]) for row in errors["table"] if row["beta"] >= 2)
    yield Claim(SCATTERBRAIN, "Lower error than either parent at equal memory, up to 2.1 times", command("errors"),
                f"Clustered points: {ratio:.2f} times the better parent's error at beta = 4, at most {worst:.2f} times the best "
                "from 2 on.", verdict(ratio <= 0.8, worst <= 1.25, False),
                "The support has to find the large entries, and the clusters have to be tight: with one round of hashing as the "
                "support, or with wider clusters, the better parent is level or ahead.")
    ratios = against_parents(trained)
    n = len(next(iter(ratios.values())))
    below = {name: sum(ratio < 1 for ratio in values) for name, values in ratios.items()}
    best = [head["32 + best"] / min(head["sparse"], head["low rank"]) for entry in trained for head in entry["heads"]]
    said = [f"support by {name}: less than both parents in {below[name]}, {min(values):.2f} to {max(values):.2f} times the better one's"
            for name, values in ratios.items()]
    yield Claim(SCATTERBRAIN, "The same on attention of trained models", command("trained"),
                f"Language models of characters, {n} heads. {'; '.join(said)}.",
                verdict(max(below.values()) == n, max(below.values()) > n / 2),
                f"A round of hashing misses the large entries: with the best keys as the support {min(best):.2f} to {max(best):.2f} times. "
                "Where attention is spread, features alone are ahead.")
    yield _language(models)
    for claim in ("98 % less memory of attention in T2T-ViT at 1 point of accuracy", "Up to 5 points of Long Range Arena better"):
        yield Claim(SCATTERBRAIN, claim, "-", "", "not measured")


def _language(models):
    """Of language models: the sum beside both parts, each with about 64 keys and features of a query."""
    names = ("Scatterbrain, 8 rounds", "hashing, 8 rounds", "hashing, 1 round", "Performer")
    bits = [[np.mean(entry["table"][name]["bits"]) for name in names] for entry in models]
    said = [f"{entry['text']}: {ours:.3f} bits a character, " + ", ".join(f"{name} {value:.3f}" for name, value in zip(names[1:], others))
            for entry, (ours, *others) in zip(models, bits)]
    return Claim(SCATTERBRAIN, "Up to 4 points of perplexity better than either part alone", command("models"),
                 f"With 8 rounds of small buckets, {'; '.join(said)}.", verdict(all(ours < min(others) for ours, *others in bits), False),
                 f"Small models of characters, {models[0]['steps']:,} steps; the paper's points are of words.")


def _scissorhands(texts):
    for entry in texts:
        found = differences(entry)
        loss = {name: 2 ** gap - 1 for name, (gap, _) in found.items()}
        trained = f"Characters, {entry['trained']:.2f} bits, length {entry['length']:,}."
        yield Claim(SCISSORHANDS, f"Up to 5 times smaller caches without loss of quality ({entry['text']})", command("caches"),
                    f"Perplexity {loss['scissorhands, half']:+.1%} at half the cache, {loss['scissorhands, fifth']:+.1%} at a fifth.",
                    verdict(loss["scissorhands, half"] <= 0.03, loss["scissorhands, fifth"] <= 0.03), trained)
        best = {share: min((found[f"{policy}, {share}"][0], policy) for policy in POLICIES if policy != "scissorhands")[1]
                for share in SHARES}
        gains = {share: differences(entry, f"{best[share]}, {share}")[f"scissorhands, {share}"] for share in SHARES}
        beside = [f"{gain:+.3f} bits a token (standard error {error:.3f}) beside {best[share].replace('_', ' ')} at a {share}"
                  for share, (gain, error) in gains.items()]
        others = {name: " and ".join(f"{differences(entry, f'{best[share]}, {share}')[f'{name}, {share}'][0]:+.3f}" for share in SHARES)
                  for name in OTHERS}
        yield Claim(SCISSORHANDS, f"Better than forgetting by other rules ({entry['text']})", command("caches"),
                    f"{'; '.join(beside)}, the best other rule there.", verdict(*(gain < -2 * error for gain, error in gains.values())),
                    "Other settings of it: " + "; ".join(f"{name.partition(', ')[2]} {others[name]}" for name in OTHERS) + ".")
        whole = entry["scores"]["all"]
        yield Claim(SCISSORHANDS, f"Importance persists: 95 % of the important tokens were so before ({entry['text']})", command("caches"),
                    f"{', '.join(f'{value:.3f}' for value in whole['persistence'])} by layer, where "
                    f"{', '.join(f'{value:.3f}' for value in whole['important'])} of all tokens are important.",
                    verdict(min(whole["persistence"]) >= 0.95, max(whole["important"]) < 0.95),
                    "Where nearly all are, persistence says nothing.")
        four, alone = found["scissorhands, half, 4 bits"][0] - found["scissorhands, half"][0], found["all, 4 bits"][0]
        yield Claim(SCISSORHANDS, f"Goes together with 4 bits ({entry['text']})", command("caches"),
                    f"{four:+.3f} bits a token on top of half the cache, {alone:+.3f} with all tokens.",
                    verdict(four <= 0.02, four <= alone + 0.005))


def _sesdi(inversion):
    systems = inversion["systems"]
    ours, grid = (systems[name]["similarity"] for name in ("set of traces", "padded grid"))
    yield Claim(SESDI, "Velocity models from sets of traces, structural similarity above 0.8", command("inversion"),
                f"{ours:.3f} on synthetic flat layers, mean profile {systems['mean profile']['similarity']:.3f}.", verdict(ours > 0.8))
    yield Claim(SESDI, "Better than a network on a regular grid", command("inversion"), f"{ours:.3f} beside {grid:.3f}.",
                verdict(ours > grid), "The paper's is a U-Net, ours a plain network.")
