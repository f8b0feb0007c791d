"""Claims of the papers on sampling, SOLAR, serving and hardness."""

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
    found = [("serving", _serving), ("labels", _labels), ("lgd", _lgd), ("solar", _solar), ("hardness", _hardness)]
    out = [claim for part, rows in found if part in figures for claim in rows(figures[part])]
    return [*out, Claim(CENSUS, "Satellite images and registries together find households that a census misses", "-", "", "not measured",
                        "Images are outside this package.")]


def _serving(found):
    shares = {name: row["systems"]["learned functions"] for name, row in found.items()}
    yield Claim(LSS, "Inference as accurate as with all outputs at a fraction of them", command("serving"),
                "; ".join(f"{name}: {entry['share']:.1%} of the outputs, P@1 {entry['P@1']:.4f} beside {found[name]['exact']:.4f}"
                          for name, entry in shares.items()) + ".",
                verdict(*(entry["P@1"] >= found[name]["exact"] - 0.004 and entry["share"] < 0.25 for name, entry in shares.items())))
    yield Claim(LSS, "Learning the functions lowers the number of outputs to score", command("serving"),
                "; ".join(f"{name}: {row['systems']['random functions']['scored']:.0f} before, "
                          f"{row['systems']['learned functions']['scored']:.0f} after" for name, row in found.items()) + ".",
                verdict(*(row["systems"]["learned functions"]["scored"] < row["systems"]["random functions"]["scored"]
                          for row in found.values())))


def _labels(found):
    means = {name: {system: statistics.mean(scores) for system, scores in row["P@1"].items()} for name, row in found.items()}
    for system in ("LSH Embedding", "LSH Label"):
        yield Claim(NEGATIVES, f"{system} beats uniform negatives", command("labels"),
                    "; ".join(f"{name}: {row[system] - row['uniform']:+.3f} P@1 to uniform, "
                              f"{row[system] - row['frequency and uniform, corrected']:+.3f} to corrected negatives by frequency"
                              for name, row in means.items()) + ".",
                    verdict(*(row[system] >= row["uniform"] + 0.015 for row in means.values())))


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


def _solar(found):
    systems = found["systems"]
    one, best = systems["one network"], systems["SOLAR, 8 chunks"]
    yield Claim(SOLAR, "Fixed random codes lose nothing against a row of weights for each label", command("solar"),
                f"P@1 {best['P'][0]:.4f} with 8 chunks, {one['P'][0]:.4f} by one network of the same loss and width.",
                verdict(best["P"][0] >= one["P"][0] - 0.01))
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
