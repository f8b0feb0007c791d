"""Claims of the papers on sampling, SOLAR, serving and hardness."""

import functools
import statistics

from benchmarks.claims.command import Claim

LSS = "LSS, Liu et al. 2020 (arXiv 2007.01230)"
NEGATIVES = "Two negative sampling distributions, Daghaghi et al. 2021 (arXiv 2012.15843)"
LGD = "LGD, Chen et al. 2019 (arXiv 1910.14162)"
SOLAR = "SOLAR, Medini et al. 2021 (arXiv 2008.13225)"
HARDNESS = "Angular visual hardness, Chen et al. 2020 (arXiv 1912.02279)"
CENSUS = "Discrepancy in mailing addresses, Xu et al. 2021 (arXiv 2111.06562)"


def command(part):
    """What measures a part."""
    return f"python -m benchmarks family --parts {part}"


def verdict(*conditions):
    """Of what all, some or none of the conditions say."""
    return "holds" if all(conditions) else "holds in part" if any(conditions) else "does not hold here"


def claims(figures):
    """Rows of all papers."""
    solar = functools.partial(_solar, tower=figures.get("tower", ()))
    found = [("serving", _serving), ("retrievers", _retrievers), ("labels", _labels),
             ("lgd", _lgd), ("batches", _batches), ("solar", solar), ("wide", _wide),
             ("hardness", _hardness), ("registry", _registry)]
    out = [claim for part, rows in found if part in figures for claim in rows(figures[part])]
    return [*out, Claim(CENSUS, "Satellite images and registries together find households that a census misses", "-", "", "not measured",
                        "Images are outside this package.")]


def _serving(found):
    shares = {name: row["systems"]["learned functions"] for name, row in found.items()}
    yield Claim(LSS, "Inference as accurate as with all outputs at a fraction of them", command("serving"),
                "; ".join(f"{name}: {entry['share']:.2%} of the outputs, P@1 {entry['P@1']:.4f} beside {found[name]['exact']:.4f}"
                          for name, entry in shares.items()) + ".",
                verdict(*(entry["P@1"] >= found[name]["exact"] - 0.004 and entry["share"] < 0.25 for name, entry in shares.items())))
    yield Claim(LSS, "Learning the functions lowers the number of outputs to score", command("serving"),
                "; ".join(f"{name}: {row['systems']['random functions']['scored']:.0f} before, "
                          f"{row['systems']['learned functions']['scored']:.0f} after" for name, row in found.items()) + ".",
                verdict(*(row["systems"]["learned functions"]["scored"] < row["systems"]["random functions"]["scored"]
                          for row in found.values())))


def _retrievers(found):
    ours, rivals = "tables, learned (default)", ("faiss IVF", "faiss HNSW")
    best = {name: row["systems"][ours] for name, row in found.items()}
    yield Claim(LSS, "Inference as accurate as with all outputs at a fraction of them", command("retrievers"),
                "; ".join(f"{name}: {entry['scored'] / found[name]['labels']:.1%} of the outputs, P@1 {entry['P@1']:.4f} beside "
                          f"{found[name]['exact']:.4f}" for name, entry in best.items()) + ".",
                verdict(*(entry["P@1"] >= found[name]["exact"] - 0.004 and entry["scored"] < 0.25 * found[name]["labels"]
                          for name, entry in best.items())))
    for label, system in (("our contrast", ours), ("the paper's loss", "tables, the paper's loss")):
        gains = {f"{name}, {tables}": recall[system]["label_recall"] - recall["tables, random functions"]["label_recall"]
                 for name, row in found.items() for tables, recall in row["same"]["recall"].items()}
        yield Claim(LSS, f"Learning the functions raises the label recall at no larger sample ({label})", command("retrievers"),
                    "; ".join(f"{where}: {100 * gain:+.1f} points" for where, gain in gains.items()) + ".",
                    verdict(*(gain >= 0.03 for gain in gains.values())))
    seconds = {name: {system: row["systems"][system] for system in ("all outputs", ours, *rivals) if system in row["systems"]}
               for name, row in found.items()}
    yield Claim(LSS, "About 5 times faster than all outputs", command("retrievers"),
                "; ".join(f"{name}: {row['all outputs']['single'] / row[ours]['single']:.1f} times for single rows, "
                          f"{row['all outputs']['multiply_adds'] / row[ours]['multiply_adds']:.1f} times fewer multiply-adds"
                          for name, row in seconds.items()) + ".",
                verdict(*(row["all outputs"]["single"] >= 4 * row[ours]["single"] for row in seconds.values())))
    if all(system in row for row in seconds.values() for system in rivals):
        yield Claim(LSS, "Better than indexes for inner products at equal accuracy", command("retrievers"),
                    "; ".join(f"{name}: {row[ours]['multiply_adds']:,.0f} multiply-adds and {row[ours]['single']:.3f} ms, "
                              + ", ".join(f"{row[system]['multiply_adds']:,.0f} and {row[system]['single']:.3f} ms by {system}"
                                          for system in rivals) for name, row in seconds.items()) + ".",
                    verdict(*(row[ours][key] < row[system][key] for row in seconds.values() for system in rivals
                              for key in ("multiply_adds", "single"))))


def _labels(found):
    means = {name: {system: statistics.mean(scores) for system, scores in row["P@1"].items()} for name, row in found.items()}
    for claim in ("LSH Embedding", "LSH Label"):
        chosen = f"{claim}, settings chosen"
        system = chosen if all(chosen in row for row in means.values()) else claim
        yield Claim(NEGATIVES, f"{claim} beats uniform negatives", command("labels"),
                    "; ".join(f"{name}: {row[system] - row['uniform']:+.3f} P@1 to uniform, "
                              f"{row[system] - row['uniform, corrected']:+.3f} to corrected ones, "
                              f"{row[system] - row['frequency and uniform, corrected']:+.3f} to corrected negatives by frequency"
                              for name, row in means.items()) + ".",
                    verdict(*(row[system] >= row["uniform"] + 0.015 for row in means.values())),
                    "K, L and the mixture with uniform negatives are chosen on rows kept aside." if system == chosen else
                    "K and L were not tuned.")


def _lgd(found):
    real = ("blogfeedback", "protein", "millionsong")
    ratio = {name: row["ratio"]["mips, start"] for name, row in found.items()}
    yield Claim(LGD, "Drawn gradients have a lower variance than uniform ones", command("lgd"),
                "; ".join(f"{name}: {value:.2f} times at the start" for name, value in ratio.items()) + ".",
                verdict(*(ratio[name] < 0.9 for name in real)))
    yield Claim(LGD, "Drawn gradients are longer", command("lgd"),
                "; ".join(f"{name}: {row['norm']:.2f} times" for name, row in found.items()) + ".",
                verdict(*(row["norm"] >= 1.1 for row in found.values())))
    error = {name: {system: entry["error"] for system, entry in row["error"].items()} for name, row in found.items()}
    yield Claim(LGD, "Lower training error after the same epochs", command("lgd"),
                "; ".join(f"{name}: {error[name]['LGDRegressor lgd']:.4f} beside {error[name]['LGDRegressor uniform']:.4f}"
                          for name in real) + ".",
                verdict(*(error[name]["LGDRegressor lgd"] < error[name]["LGDRegressor uniform"] for name in real)))
    seconds = {name: {system: entry["seconds"] for system, entry in row["error"].items()} for name, row in found.items()}
    yield Claim(LGD, "Lower training error in the same time", command("lgd"),
                "An epoch takes " + "; ".join(
                    f"{seconds[name]['LGDRegressor lgd'] / seconds[name]['LGDRegressor uniform']:.1f} times as long on {name}"
                    for name in real) + ".",
                verdict(*(error[name]["LGDRegressor lgd"] < error[name]["LGDRegressor uniform"]
                          and seconds[name]["LGDRegressor lgd"] <= seconds[name]["LGDRegressor uniform"] for name in real)))


def _batches(found):
    systems, variance = found["systems"], found["variance"]["lgd"]
    yield Claim(LGD, "Drawing rows for the last layer of a network lowers the variance of its gradient", command("batches"),
                f"EURLEX57K: mean square {min(variance):.2f} to {max(variance):.2f} times that of uniform rows.",
                verdict(max(variance) < 1))
    yield Claim(LGD, "A network learns faster from drawn rows", command("batches"),
                "; ".join(f"{name}: loss {row['loss'][-1]:.4f}, P@1 {row['P@1'][-1]:.4f}, {sum(row['seconds']):.1f} s"
                          for name, row in systems.items()) + ".",
                verdict(systems["lgd"]["loss"][-1] < systems["uniform"]["loss"][-1]))


def _registry(found):
    share = statistics.median(found["registry"])
    yield Claim(CENSUS, "Disagreement of a model with a registry finds its wrong records within a budget", command("registry"),
                f"MNIST with a twentieth of the classes wrong: {share:.4f} of the reviewed records are wrong.", verdict(share >= 0.8))
    link = {key: statistics.median(row[key] for row in found["linkage"]) for key in ("precision", "recall")}
    yield Claim(CENSUS, "Addresses of two lists are linked by MinHash", command("registry"),
                f"Made-up addresses with typing errors: precision {link['precision']:.4f}, recall {link['recall']:.4f}.",
                verdict(link["precision"] >= 0.95, link["recall"] >= 0.9))


def _wide(found):
    systems = found["systems"]
    solar = systems["SOLAR, 8 chunks"]
    others = {name: row for name, row in systems.items() if not name.startswith("SOLAR") and name != "network, all outputs"}
    yield Claim(SOLAR, "More accurate than the state of the art at 40,981 labels (Gowalla)", command("wide"),
                f"P@1 {solar['P'][0]:.4f} with 8 chunks; " + "; ".join(f"{name} {row['P'][0]:.4f}" for name, row in others.items()) + ".",
                verdict(*(solar["P"][0] > row["P"][0] for row in others.values())))
    yield Claim(SOLAR, "Faster training and answers than the state of the art (Gowalla)", command("wide"),
                f"{solar['seconds']:.0f} s and {solar['asked']:,.0f} rows a second; " + "; ".join(
                    f"{name} {row['seconds']:.0f} s and {row['asked']:,.0f}" for name, row in others.items()) + ".",
                verdict(*(solar[key] * sign < row[key] * sign for row in others.values() for key, sign in (("seconds", 1), ("asked", -1)))))


def _solar(found, tower):
    systems = found["systems"]
    one, best = systems["one network"], systems["SOLAR, 8 chunks"]
    yield Claim(SOLAR, "Fixed random codes lose nothing against a row of weights for each label", command("solar"),
                f"P@1 {best['P'][0]:.4f} with 8 chunks, {one['P'][0]:.4f} by one network of the same loss and width with as many epochs"
                + "".join(f", {row['P'][0]:.4f} with {row['epochs']} at rate {row['lr']:g}" for row in tower) + ".",
                verdict(*(best["P"][0] >= row["P"][0] - 0.01 for row in (one, *tower))))
    yield Claim(SOLAR, "Look-ups leave few candidates", command("solar"),
                f"{best['candidates']:.1f} of {found['labels']:,} labels.", verdict(best["candidates"] <= 0.01 * found["labels"]))
    yield Claim(SOLAR, "Up to 10 times faster training, 2 times faster answers than the state of the art", command("solar"),
                f"Training {best['seconds'] / one['seconds']:.1f} times, answers {best['ask'] / one['ask']:.1f} times the time "
                "of one network.",
                verdict(best["seconds"] < one["seconds"], best["ask"] < one["ask"]))


def _hardness(found):
    first, middle, last = found["hardness"]
    yield Claim(HARDNESS, "The hardness stays while the loss falls", command("hardness"),
                f"From epoch 20 to 60 the loss falls {found['loss'][1] / found['loss'][2]:.0f} times, the hardness changes by "
                f"{abs(last / middle - 1):.1%}.", verdict(abs(last / middle - 1) < 0.02 and found["loss"][1] > 5 * found["loss"][2]))
    yield Claim(HARDNESS, "Wrong answers are harder", command("hardness"), f"{found['wrong']:.4f} beside {found['right']:.4f}.",
                verdict(found["wrong"] > found["right"]))
    after = found["after"]
    yield Claim(HARDNESS, "Self-training by angular confidence beats that by the softmax", command("hardness"),
                f"Shifted images: {found['before']:.4f} right before, {after['angular confidence']:.4f} after, by the softmax "
                f"{after['softmax confidence']:.4f}.", verdict(after["angular confidence"] > after["softmax confidence"]))
