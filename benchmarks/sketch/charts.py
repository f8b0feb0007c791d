"""Charts of the two pages: cache lines by window with rates by fill, and a density with samples."""

import numpy as np


def draw(kept, docs):
    """Write docs/images/genes.svg and docs/images/density.svg."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    plt.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "mongoose_nb", "font.family": "sans-serif", "font.size": 10,
                         "axes.spines.top": False, "axes.spines.right": False})
    options = {"bbox_inches": "tight", "metadata": {"Date": None, "Creator": None}}
    if "hashing" in kept:
        part = kept["hashing"]
        figure, (left, right) = plt.subplots(1, 2, figsize=(8.4, 3.2))
        names = list(part["hashes"])
        left.bar(names, [part["hashes"][name]["lines_per_probe"] for name in names], color=["0.6", *["C0"] * (len(names) - 1)])
        left.set(ylabel="cache lines per probe", title="Cache lines by hash and window")
        left.tick_params(axis="x", rotation=45)
        for name, style in (("random", "o--"), ("IDL 512", "s-")):
            rows = part["fill"][name]
            right.loglog([row["fill"] for row in rows], [row["rates"]["random"] for row in rows], style, label=name, fillstyle="none")
        right.set(xlabel="share of the bits that are set", ylabel="false-positive rate", title="Equal rates at equal fill")
        right.legend()
        figure.savefig(docs / "images" / "genes.svg", **options)
        plt.close(figure)
    from mongoose_nb.sketch import DensitySketch

    rng = np.random.default_rng(0)
    angle = rng.uniform(0, 2 * np.pi, 20_000)
    X = np.column_stack([np.cos(angle), np.sin(angle)]) * rng.choice([1.0, 2.2], (20_000, 1)) + 0.12 * rng.standard_normal((20_000, 2))
    sketch = DensitySketch(0.15).fit(X)
    figure, axes = plt.subplots(1, 3, figsize=(9.6, 3.2), sharex=True, sharey=True)
    S = sketch.sample(3000)
    grid = np.linspace(-3, 3, 100)
    plane = np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 2)
    for ax, title in zip(axes, ("rows", "density of the sketch", "samples of the sketch")):
        ax.set(title=title, aspect="equal", xlim=(-3, 3), ylim=(-3, 3))
    axes[0].plot(*X[:3000].T, ".", markersize=1, rasterized=True)
    axes[1].imshow(np.exp(sketch.score_samples(plane)).reshape(100, 100), origin="lower", extent=(-3, 3, -3, 3), cmap="Blues")
    axes[2].plot(*S.T, ".", markersize=1, rasterized=True)
    figure.savefig(docs / "images" / "density.svg", dpi=110, **options)
    plt.close(figure)
