"""Published claims about hashed parameters: ROBE, ROAST, STABLE-RPS, PSS, LMA, FAIR."""

from benchmarks.claims.command import Claim

COMMAND = "python -m benchmarks compress --parts {}"
ROBE, LMA = "ROBE (2108.02191)", "LMA (2103.06124)"
RPS, ROAST, PSS, FAIR = "STABLE-RPS (2310.11611)", "ROAST (2207.10702)", "PSS (2207.10731)", "FAIR (2311.01722)"


def _verdict(flags):
    flags = list(flags)
    return "holds" if all(flags) else "holds in part" if any(flags) else "does not hold here"


def claims(figures):
    """The claims, from the kept figures; parts that were not measured say so."""
    out = []
    frappe = figures.get("frappe", {})
    if frappe:
        out += _frappe(frappe)
    out += _speed(figures.get("speed"))
    out += _mnist(figures.get("mnist"))
    out += _fair(figures.get("fair"))
    if "wide" in figures:
        full, small = figures["wide"]["full"], figures["wide"]["robe 10x"]
        out.append(Claim(PSS, "A model trains in a small fraction of its memory at the same quality", COMMAND.format("wide --set SET"),
                         f"670,091 outputs: output layer with moments {full['output_with_moments_mb']:.0f} MB -> "
                         f"{small['output_with_moments_mb']:.0f} MB, P@1 {full['p1']:.3f} -> {small['p1']:.3f}, samples/s "
                         f"{full['samples_s']:.0f} -> {small['samples_s']:.0f}.",
                         "holds" if small["p1"] >= full["p1"] - 0.01 else "does not hold here", "Synthetic data, 10x."))
    order = (ROBE, LMA, PSS, ROAST, RPS, FAIR)
    return sorted(out, key=lambda claim: order.index(claim.paper))


def _frappe(frappe):
    at = {name: {system: one["auc"] for system, one in systems.items()} for name, systems in frappe.items()}
    gaps = {name: [auc[f"robe {r}x"][2] - auc[f"row hashing {r}x"][2] for r in (4, 16)] for name, auc in at.items()}
    same = {name: next((epoch + 1 for epoch, value in enumerate(auc["robe 4x"]) if value >= auc["full"][2]), None)
            for name, auc in at.items()}
    lma = {name: auc["lma 4x"][2] - auc["robe 4x"][2] for name, auc in at.items()}
    rare = {name: systems["lma 4x"]["rare"] - systems["robe 4x"]["rare"] for name, systems in frappe.items()}
    small = {name: [auc[f"robe {r}x"][2] - auc[f"{other}"][2] for r, other in
                    ((4, "quotient-remainder 4x"), (16, "quotient-remainder 16x"), (4, "dimension / 4"))] for name, auc in at.items()}
    each = "; ".join
    return [
        Claim(ROBE, "ROBE keeps more quality than row hashing at equal memory", COMMAND.format("frappe"),
              each(f"{name}: AUC +{gap[0]:.3f} at 4x, +{gap[1]:.3f} at 16x" for name, gap in gaps.items()) + ".",
              _verdict(value > 0 for gap in gaps.values() for value in gap), "The gap shrinks with more training data."),
        Claim(ROBE, "1000x compression without loss of quality", COMMAND.format("frappe"),
              each(f"{name}: AUC {auc['full'][2]:.3f} full, {auc['robe 4x'][2]:.3f} at 4x, {auc['robe 16x'][2]:.3f} at 16x, "
                   f"{auc['robe 64x'][2]:.3f} at 64x" for name, auc in at.items()) + ".", "does not hold here",
              "Frappe has 5,382 ids; the paper's table has hundreds of millions, most of them rare."),
        Claim(ROBE, "A hashed array beats simpler ways to save memory", COMMAND.format("frappe"),
              each(f"{name}: against quotient-remainder {gap[0]:+.3f} at 4x and {gap[1]:+.3f} at 16x, against a quarter of the dimension "
                   f"{gap[2]:+.3f}" for name, gap in small.items()) + ".", _verdict(value >= 0 for gap in small.values() for value in gap),
              "A quarter of the dimension takes more than a quarter of the memory, as weights of ids are not smaller."),
        Claim(PSS, "The quality of the full table is reached with more iterations (4.5x at 10,000x)", COMMAND.format("frappe"),
              each(f"{name}: 4x reaches the full table's AUC of 3 epochs in {epochs or 'more than 9'} epochs"
                   for name, epochs in same.items()) + ".", _verdict(epochs is not None for epochs in same.values())),
        Claim(LMA, "Memory shared by similarity: better AUC than hashing at equal memory (+0.003)", COMMAND.format("frappe"),
              each(f"{name}: {lma[name]:+.4f} at 4x with signatures counted, {rare[name]:+.4f} for rare items" for name in lma) + ".",
              _verdict(value >= 0.003 for value in lma.values()), "Tables of 16x are smaller than the signatures."),
    ]


def _speed(speed):
    if speed is None:
        return [Claim(ROBE, "Lookups are faster than those of the full table", COMMAND.format("speed"), "", "not measured"),
                Claim(ROAST, "Much faster than HashedNet (25x training, 50x inference)", COMMAND.format("speed"), "", "not measured")]
    size, lookups = list(speed["lookups"].items())[-1]
    ratio = lookups["full table"]["seconds"] / lookups["ROBE-64"]["seconds"]
    unsigned = lookups["full table"]["seconds"] / lookups["ROBE-64 without signs"]["seconds"]
    tiles = {n: t["HashedNet"]["seconds"] / t["ROAST"]["seconds"] for n, t in speed["products"].items()}
    train = speed["training"]
    faster = train["PyTorch"]["epoch_s"] / train["ours, full table"]["epoch_s"]
    return [Claim(ROBE, "A model trains as fast with hashed embeddings as with full tables", COMMAND.format("speed"),
                  f"DeepFM on Frappe, an epoch: {train['ours, full table']['epoch_s']:.2f} s full, "
                  f"{train['ours, ROBE 4x']['epoch_s']:.2f} s ROBE 4x; PyTorch, full and with sparse Adam, "
                  f"{train['PyTorch']['epoch_s']:.2f} s ({faster:.1f}x of ours).",
                  _verdict((train["ours, ROBE 4x"]["epoch_s"] <= train["ours, full table"]["epoch_s"],)),
                  "The full table of 360 KB fits the cache."),
            Claim(ROBE, "Lookups are faster than those of the full table (3.1x inference)", COMMAND.format("speed"),
                  f"{ratio:.2f}x of a table of {size}, {unsigned:.2f}x without signs.", _verdict(value > 1 for value in (ratio, unsigned)),
                  "The array fits the cache, the table does not."),
            Claim(ROAST, "Much faster than HashedNet (25x training, 50x inference)", COMMAND.format("speed"),
                  ", ".join(f"{ratio:.1f}x for {n}" for n, ratio in tiles.items()) + ".", "holds in part" if min(tiles.values()) > 1 else
                  "does not hold here", "4,096 x 4,096 in 2^18 cells, on a CPU whose cache holds the array.")]


def _mnist(mnist):
    if mnist is None:
        return [Claim(RPS, "Matches pruning at equal memory, and the dense model at 1x", COMMAND.format("mnist"), "", "not measured")]
    acc = {name: one["accuracy"] for name, one in mnist.items()}
    out = [Claim(RPS, "At no compression the dense model is recovered, and 4x costs little", COMMAND.format("mnist"),
                 f"dense {acc['dense']:.4f}, 1x {acc['STABLE-RPS 1x']:.4f}, 4x {acc['STABLE-RPS 4x']:.4f}.",
                 _verdict((acc["STABLE-RPS 1x"] >= acc["dense"] - 0.003, acc["STABLE-RPS 4x"] >= acc["dense"] - 0.01)))]
    for ratio in (4, 10):
        rps, small, prune = (acc[f"{name} {ratio}x"] for name in ("STABLE-RPS", "smaller dense", "magnitude pruning"))
        out.append(Claim(RPS, f"Better than small dense nets and than pruning at {ratio}x", COMMAND.format("mnist"),
                         f"STABLE-RPS {rps:.4f}, smaller dense net {small:.4f}, magnitude pruning {prune:.4f}.",
                         _verdict((rps >= small, rps >= prune)), "Pruning trains the dense net first, and needs its memory."))
    scaled = [acc[f"STABLE-RPS 4x, init_std={std}"] for std in ("0.001", "1") if f"STABLE-RPS 4x, init_std={std}" in acc]
    plain = [acc[name] for name in acc if name.startswith("fold 4x without")]
    if scaled and plain:
        out.append(Claim(RPS, "Gradient scaling makes training independent of how the array is initialised", COMMAND.format("mnist"),
                         f"accuracy with it {', '.join(f'{a:.4f}' for a in scaled)}; without {', '.join(f'{a:.4f}' for a in plain)}, for "
                         "standard deviations 0.001 and 1.", _verdict((max(scaled) - min(scaled) <= 0.005,))))
    out.append(Claim(ROAST, "10x compression without loss of quality", COMMAND.format("mnist"),
                     f"dense {acc['dense']:.4f}, ROAST 10x {acc['ROAST 10x']:.4f}.",
                     "holds" if acc["ROAST 10x"] >= acc["dense"] - 0.015 else "does not hold here", "Within 1.5 points counts."))
    return out


def _fair(fair):
    if fair is None:
        return [Claim(FAIR, "Devices of any memory take part, to the gain of all", COMMAND.format("fair"), "", "not measured"),
                Claim(FAIR, "Consistent hashing is needed", COMMAND.format("fair"), "", "not measured")]
    alone = fair["only devices that hold 1x"]
    only, both = alone["ndcg"], {name: fair[name]["ndcg"] for name in ("all, average", "all, change")}
    apart = {name: fair[f"{name}, inconsistent"]["ndcg"] for name in both}
    return [Claim(FAIR, "Devices of any memory take part, to the gain of all", COMMAND.format("fair"),
                  f"NDCG@20 {only:.4f} trained by devices that hold the table, {both['all, average']:.4f} by all (average of tables), "
                  f"{both['all, change']:.4f} by all (average of changes); means of {alone.get('seeds', 1)} seeds, which differ by up to "
                  f"{max(fair[name]['spread'] for name in ('only devices that hold 1x', *both)):.4f}.",
                  _verdict(value >= only + 0.01 for value in both.values()),
                  "A third of the devices each at 1x, 4x and 16x; a gain of 0.01 counts."),
            Claim(FAIR, "Consistent hashing is needed", COMMAND.format("fair"),
                  "; ".join(f"{name}: {both[name]:.4f} with the same hashes on all devices, {apart[name]:.4f} with others for each "
                            "capacity" for name in both) + ".",
                  _verdict(both[name] > apart[name] for name in both))]
