"""Chart of the page: time of a layer against its width."""

from benchmarks.structured.speed import threads_of

STYLES = {"sgemm": ("dense (sgemm)", {"color": "0.4", "marker": "o", "linestyle": "--"}),
          "Monarch": ("Monarch", {"color": "C0", "marker": "s"}),
          "Monarch, 4 blocks": ("Monarch, 4 blocks", {"color": "C2", "marker": "^"}),
          "Pixelfly 20 %": ("Pixelfly, 20 % of the weights", {"color": "C1", "marker": "D"})}


def draw(speed, path):
    """Draw the kept figures of the part "speed": a panel for each number of threads, fastest passes."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    plt.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "mongoose_nb", "font.family": "sans-serif", "font.size": 10,
                         "axes.spines.top": False, "axes.spines.right": False})
    figure, axes = plt.subplots(1, len(speed), figsize=(4.2 * len(speed), 3.4), sharey=True, squeeze=False)
    for ax, part in zip(axes[0], speed):
        for system, (name, style) in STYLES.items():
            points = sorted((entry["n"], entry["best"]) for entry in part["table"] if entry["system"] == system)
            ax.loglog(*zip(*points), label=name, fillstyle="none", **style)
        widths = sorted({entry["n"] for entry in part["table"]})
        ax.set(xlabel="inputs and units", title=f"{threads_of(part)}, batch {part['batch']}")
        ax.set_xticks(widths, [f"{n:,}" for n in widths], rotation=45)
        ax.minorticks_off()
    axes[0, 0].set(ylabel="ms, forward and backward")
    axes[0, -1].legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None, "Creator": None})
    plt.close(figure)
