"""Tables of what was kept, and the chart."""


def tables(kept):
    """All tables, in Markdown."""
    makers = {"frappe": _frappe, "mnist": _mnist, "wide": _wide, "speed": _speed, "fair": _fair, "factorization": _factorization,
              "amazon": _amazon}
    return "\n\n".join(makers[part](kept[part]) for part in makers if part in kept)


def _table(title, head, rows):
    lines = [f"## {title}\n", "| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows])


def _frappe(kept):
    parts = []
    for protocol, systems in kept.items():
        rows = [(name, f"{one['bytes'] / 1024:.0f} KB", f"{one['auc'][2]:.4f}", f"{one['auc'][8]:.4f}" if len(one["auc"]) > 8 else "",
                 f"{one['rare']:.4f}") for name, one in sorted(systems.items(), key=lambda item: -item[1]["auc"][2])]
        parts.append(_table(f"Frappe, factorisation machine of dimension 16, trained on {protocol}",
                            ("embeddings", "memory", "AUC, 3 epochs", "AUC, 9 epochs", "AUC of items with 5 clicks or fewer"), rows))
    return "\n\n".join(parts)


def _factorization(kept):
    rows = []
    for name, one in sorted(kept.items(), key=lambda item: ("NeuMF" in item[0], item[0])):
        if "NDCG@20" not in one:
            continue
        users, items = (f"{part / 1024:.0f} KB" for part in one["bytes"])
        rows.append((name, items, users, f"{one['NDCG@20']:.4f}", f"{one['recall@20']:.4f}", f"{one['spread']:.4f}", one["seeds"]))
    return _table("MovieLens-1M, matrix factorisation of dimension 32, 10 epochs; held-out items, without those seen",
                  ("embeddings of items", "items", "users", "NDCG@20", "recall@20", "largest - smallest NDCG@20", "seeds"), rows)


def _amazon(kept):
    rows = [(name, f"{one['auc']:.4f}", f"{one['spread']:.4f}", f"{one['seconds']:.1f} s")
            for name, one in sorted(kept.items(), key=lambda item: -item[1]["auc"])]
    return _table("Amazon employee access, AUC on a fifth of the 32,769 rows", ("model", "AUC", "largest - smallest", "training"), rows)


def _mnist(kept):
    rows = [(name, f"{one['accuracy']:.4f}", one["seeds"]) for name, one in kept.items()]
    return _table("MNIST, perceptron 784-256-256-10, 4 epochs of Adam", ("model", "accuracy", "seeds"), rows)


def _wide(kept):
    rows = [(name, f"{one['output_mb']:.0f} MB", f"{one['output_with_moments_mb']:.0f} MB", f"{one['peak_mb']:.0f} MB", f"{one['p1']:.3f}",
             f"{one['samples_s']:.0f}") for name, one in kept.items()]
    return _table(f"{next(iter(kept.values()))['outputs']:,} outputs, one epoch of 120,000 samples, LSH candidates",
                  ("output layer", "weights", "with Adam's moments", "peak memory of the process", "P@1", "samples/s"), rows)


def _speed(kept):
    parts = []
    for name, systems in kept["lookups"].items():
        rows = [(one, f"{200_000 / t['seconds'] / 1e6:.2f} M", f"{t['fastest'] * 1e3:.1f} to {t['slowest'] * 1e3:.1f} ms")
                for one, t in systems.items()]
        parts.append(_table(f"Lookups of 200,000 random rows of 64 floats; the full table has {name}, the array 4 MB",
                            ("parameters", "rows/s", "range"), rows))
    rows = [(n, one, f"{t['seconds'] * 1e3:.1f} ms") for n, systems in kept["products"].items() for one, t in systems.items()]
    parts.append(_table("Product with a 4,096 x 4,096 matrix in 2^18 cells", ("input", "map", "time"), rows))
    rows = [(name, f"{one['epoch_s']:.2f} s", f"{one['auc']:.4f}") for name, one in kept["training"].items()]
    parts.append(_table("DeepFM on Frappe, 202,027 rows, batch 1,024, Adam", ("system", "an epoch", "AUC after 2 epochs"), rows))
    return "\n\n".join(parts)


def _fair(kept):
    rows = [(name, f"{one['ndcg']:.4f}", f"{one['spread']:.4f}", one.get("seeds", 1), *(f"{score:.4f}" for score in one["by_capacity"]))
            for name, one in kept.items()]
    return _table("MovieLens-1M, a device a user; NDCG@20",
                  ("trained by", "all devices", "largest - smallest", "seeds", "those that hold 1x", "4x", "16x"), rows)


def draw(kept, path):
    """The chart: AUC on Frappe against memory."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    plt.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "mongoose_nb", "font.family": "sans-serif", "font.size": 10,
                         "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.3})
    systems = kept["frappe"]["202,027 rows"]
    figure, axes = plt.subplots(figsize=(7, 3.6))
    groups = {"ROBE": ("full", "robe 4x", "robe 16x"), "row hashing": ("full", "row hashing 4x", "row hashing 16x"),
              "smaller dimension": ("full", "dimension / 4", "dimension / 16"), "LMA, with signatures": ("full", "lma 4x"),
              "quotient-remainder": ("full", "quotient-remainder 4x", "quotient-remainder 16x")}
    for name, members in groups.items():
        axes.plot([systems[one]["bytes"] / 1024 for one in members], [systems[one]["auc"][2] for one in members], "o-", label=name)
    axes.set_xscale("log")
    axes.set_xlabel("memory of the embeddings, KB")
    axes.set_ylabel("AUC on Frappe after 3 epochs")
    axes.legend(frameon=False, fontsize=9)
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None, "Creator": None})
    plt.close(figure)
