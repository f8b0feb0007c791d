"""LSH Label and LSH Embedding beside uniform and frequent negatives: P@1 after the same steps with as many negatives."""

import itertools
import math
import statistics
import sys

from benchmarks.rows import wanted

NEGATIVES, EPOCHS, ROWS, LR = 100, 2, 20_000, 2e-3
#: settings are chosen on so many rows behind those of training, by a seed of their own
CHOOSING, CHOOSING_SEED = 4000, 100
#: folders; those that are not there are left out
SETS = ("eurlex57k", "xc_gowalla", "xc_diginetica", "next-word")
#: outputs that the tables are to give, in numbers of negatives: few leave no choice, many are noise
UNION = 3


def samplers():
    """Samplers with fixed settings, by name."""
    from mongoose_nb import nn

    tables = dict(K=8, L=50)
    return {
        "uniform": nn.Uniform(NEGATIVES, shape="sample", correction="none"),
        "uniform, corrected": nn.Uniform(NEGATIVES, shape="sample"),
        "frequency and uniform, corrected": nn.Uniform(NEGATIVES, shape="sample", proposal="mixture"),
        "LSH Embedding": nn.LSH(NEGATIVES, correction="none", head=1.0, tables=nn.Tables(**tables)),
        "LSH Label": nn.LSH(NEGATIVES, query="label", correction="none", head=1.0, tables=nn.Tables(**tables)),
        "LSH Label, half uniform": nn.LSH(NEGATIVES, query="label", correction="none", tables=nn.Tables(**tables)),
        "LSH Label, half uniform, corrected": nn.LSH(NEGATIVES, query="label", tables=nn.Tables(**tables)),
    }


#: what is looked up, of samplers whose settings are chosen
CHOSEN = {"LSH Label, settings chosen": "label", "LSH Embedding, settings chosen": "embedding"}
MIXTURES = {"alone": {"head": 1.0, "correction": "none"}, "half uniform": {"correction": "none"}, "half uniform, corrected": {}}


def grid(n_outputs):
    """Settings to choose from: the tables give about `UNION` times the negatives, or four times as many."""
    for L in (16, 50):
        K = round(math.log2(n_outputs * L / (UNION * NEGATIVES)))
        for bits, strategy, mixture in itertools.product((K - 2, K), ("topk", "vanilla"), MIXTURES):
            yield {"K": bits, "L": L, "strategy": strategy, "mixture": mixture}


def _chosen(entry, query):
    from mongoose_nb import nn

    return nn.LSH(NEGATIVES, query=query, strategy=entry["strategy"], tables=nn.Tables(K=entry["K"], L=entry["L"]),
                  **MIXTURES[entry["mixture"]])


def _score(sampler, seed, train, test):
    from mongoose_nb import Network

    net = Network(train[0].shape[1], train[1].shape[1], sampler=sampler, lr=LR, lr_schedule="linear", seed=seed)
    net.fit(*train, epochs=EPOCHS)
    return net.evaluate(*test, k=1)["P@1"]


def measure(args):
    """The first rows of the training data of every set."""
    from mongoose_nb import data

    out = {}
    for name in (name for name in SETS if (args.data / name).exists()):
        X, Y, X_test, Y_test = data.load_dataset(args.data / name)
        train, test = (X[:ROWS], Y[:ROWS]), (X_test[:4000], Y_test[:4000])
        held = X[ROWS:ROWS + CHOOSING], Y[ROWS:ROWS + CHOOSING]
        found = out[name] = {"labels": Y.shape[1], "P@1": {}, "chosen": {}}
        systems = wanted(samplers(), args.only)
        for system, query in wanted(CHOSEN, args.only).items():
            tried = [{**entry, "P@1": _score(_chosen(entry, query), CHOOSING_SEED, train, held)} for entry in grid(Y.shape[1])]
            best = max(tried, key=lambda entry: entry["P@1"])
            found["chosen"][system] = {"best": best, "tried": tried}
            systems[system] = _chosen(best, query)
            print(name, system, tried, file=sys.stderr, flush=True)
        for system, sampler in systems.items():
            found["P@1"][system] = [_score(sampler, seed, train, test) for seed in range(args.seeds)]
            print(name, system, found["P@1"][system], file=sys.stderr, flush=True)
    return out


def text(found):
    """P@1 of every sampler, and the settings that were chosen."""
    lines = [f"P@1 with {NEGATIVES} negatives a sample, {EPOCHS} epochs of {ROWS:,} rows, rate {LR:g} falling to zero; mean (range) of the "
             "seeds", f"K and L are 8 and 50, or chosen with the selection by a seed of its own on {CHOOSING:,} training rows left out"]
    for name, row in found.items():
        lines += ["", f"{name}, {row['labels']:,} labels"]
        for system, scores in row["P@1"].items():
            best = row.get("chosen", {}).get(system, {}).get("best")
            more = "" if best is None else f"  K={best['K']}, L={best['L']}, {best['strategy']}, {best['mixture']}"
            lines.append(f"  {system:36} {statistics.mean(scores):.4f} ({min(scores):.4f} to {max(scores):.4f}){more}")
    return "\n".join(lines)
