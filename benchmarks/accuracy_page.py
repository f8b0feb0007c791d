"""What the accuracy comparison writes: the table and the chart of docs/accuracy.md, and the long tables of docs/development/accuracy.md."""

import math
import pathlib
import textwrap

from benchmarks.document import write_block

TITLES = {"bibtex": "bibtex", "delicious": "delicious", "eurlex57k": "EURLEX57K", "xc_gowalla": "Gowalla", "xc_diginetica": "Diginetica",
          "next-word": "next word"}
OURS = ("auto", "network")  # the first that was measured is what we recommend
# Mark and colour in the chart, in the order of the tables. Marks differ as well as colours.
MARKS = {
    "auto": ("*", "#c0392b"),
    "network": ("v", "#e8a598"),
    "vote of 100 neighbours": ("s", "#b8b8b8"),
    "co-occurrence counts": ("P", "#b8b8b8"),
    "linear SVM for each label": ("^", "#8a8a8a"),
    "logistic regression for each label": ("<", "#8a8a8a"),
    "omikuji (Parabel)": ("D", "#1f6fb4"),
    "omikuji (Bonsai-like)": ("d", "#1f6fb4"),
    "PECOS XR-Linear": ("X", "#2a9d6e"),
    "napkinXC PLT": ("h", "#7b5ea7"),
    "PyTorch, sampled softmax": ("p", "#d68910"),
}


def title(name):
    """A set's name as the pages write it."""
    return TITLES.get(name, name)


def measured(entry):
    """Rows with scores, by system."""
    return {system: row for system, row in entry["systems"].items() if "P" in row}


def in_order(systems):
    """Names in the order of `MARKS`, then those without a mark."""
    return sorted(systems, key=lambda system: (list(MARKS).index(system) if system in MARKS else len(MARKS), system))


def brief(row):
    """One row in a few words, for whom waits."""
    if "P" not in row:
        return next(f"{kind}: {row[kind]}" for kind in ("skipped", "failed") if kind in row)
    return f"P@1 {row['P'][0]:.4f}, P@5 {row['P'][2]:.4f}, {row['cpu']:.1f} s of the processor, {row['bytes'] / 1e6:.1f} MB"


def of_runs(row):
    """What is known of further runs, in a few words; nothing of a single run."""
    runs = row.get("runs", [])
    return f"median of {len(runs)} runs, {runs[0]:.4f} to {runs[-1]:.4f}" if runs else ""


def table(name, entry):
    """All figures of a set as text."""
    lines = [f"{title(name)}: {entry['rows']:,} rows to train on, {entry['test_rows']:,} to test on, {entry['features']:,} features, "
             f"{entry['labels']:,} labels",
             f"{entry['threads']} threads; networks of {entry['epochs']} epochs, learning rate {entry['lr']:g} falling to zero; "
             f"seed {entry['seed']}",
             f"{'':35} {'P@1':>6} {'P@3':>6} {'P@5':>6} {'nDCG@5':>6} {'PSP@1':>6} {'PSP@5':>6} {'s':>7} {'cpu s':>7} {'peak':>6} "
             f"{'model':>7} {'ms':>7} {'ms':>7}",
             f"{'':93} {'MB':>6} {'MB':>7} {'single':>7} {'batch':>7}  measured"]
    for system, row in measured(entry).items():
        scores = " ".join(f"{score:6.4f}" for score in (*row["P"], row["nDCG"], *row["PSP"]))
        lines.append(f"{system:35} {scores} {row['seconds']:7.1f} {row['cpu']:7.1f} {row['peak_MB']:6.0f} {row['bytes'] / 1e6:7.1f} "
                     f"{row['ms_single']:7.2f} {row['ms']:7.3f}  {row['date']}")
        if of_runs(row):
            lines.append(f"{'':35} {of_runs(row)}")
    lines += [f"{system:35} {brief(row)}" for system, row in entry["systems"].items() if "P" not in row]
    return "\n".join(lines)


def overview(kept):
    """P@1 and P@5 of every system on every set, in Markdown; the best of each in bold."""
    systems = in_order({system for entry in kept.values() for system in measured(entry)})
    lines = [f"| | {' | '.join(title(name) for name in kept)} |", "|---" * (len(kept) + 1) + "|"]
    for system in systems:
        cells = []
        for entry in kept.values():
            rows = measured(entry)
            best = [max((row["P"][i] for row in rows.values()), default=0) for i in (0, 2)]
            if system in rows:
                values = [(rows[system]["P"][i], top) for i, top in zip((0, 2), best)]
                cells.append(" / ".join(f"**{value:.3f}**" if value == top else f"{value:.3f}" for value, top in values))
            else:
                cells.append("")
        lines.append(f"| {system} | {' | '.join(cells)} |")
    return "\n".join(lines)


def ours_and_best(entry):
    """Names of what we recommend and of the other system with the best P@1, or None where one of them is missing."""
    rows = measured(entry)
    ours = next((system for system in OURS if system in rows), None)
    others = [system for system in rows if system not in OURS]
    return (ours, max(others, key=lambda system: rows[system]["P"][0])) if ours and others else None


def conclusions(kept):
    """A sentence a set: what we recommend beside the best of the others."""
    lines = []
    for name, entry in kept.items():
        pair = ours_and_best(entry)
        if pair is None:
            continue
        ours, best = (measured(entry)[system] for system in pair)
        points = 100 * (ours["P"][0] - best["P"][0])
        error = 100 * math.sqrt(best["P"][0] * (1 - best["P"][0]) / entry["test_rows"])
        place = "level with" if abs(points) < 0.05 else f"{abs(points):.1f} points {'ahead of' if points > 0 else 'behind'}"
        scores = [" / ".join(f"{value:.3f}" for value in row["P"]) for row in (ours, best)]
        runs = f"; {pair[1]}: {of_runs(best)}" if of_runs(best) else ""
        text = (f"- **{title(name)}**: {pair[0]} is {place} {pair[1]} at P@1 (standard error {error:.1f} points{runs}). P@1 / P@3 / P@5 "
                f"are {scores[0]} ({scores[1]}). Training takes {ours['cpu']:.0f} s of the processor ({best['cpu']:.0f} s), the model "
                f"{ours['bytes'] / 1e6:.0f} MB ({best['bytes'] / 1e6:.0f} MB), a single row {ours['ms_single']:.1f} ms "
                f"({best['ms_single']:.1f} ms).")
        lines += textwrap.wrap(text, 140, subsequent_indent="  ", break_on_hyphens=False)
    return "\n".join(lines)


def plot(kept, path):
    """P@1 against the processor time of training, a panel for every set."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    # Text stays text, and the same drawing is the same file.
    plt.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "mongoose_nb", "font.family": "sans-serif", "font.size": 10,
                         "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.3})
    columns = min(3, len(kept))
    rows = math.ceil(len(kept) / columns)
    figure, axes = plt.subplots(rows, columns, figsize=(3.6 * columns, 3.0 * rows + 1.0), squeeze=False)
    handles = {}
    for ax in axes.ravel()[len(kept):]:
        ax.axis("off")
    for ax, (name, entry) in zip(axes.ravel(), kept.items()):
        for system, row in measured(entry).items():
            mark, colour = MARKS.get(system, (".", "black"))
            handles[system] = ax.scatter(max(row["cpu"], 0.01), row["P"][0], marker=mark, color=colour, s=60, zorder=3)
        ax.set(xscale="log", title=f"{title(name)}, {entry['labels']:,} labels", xlabel="processor seconds of training", ylabel="P@1")
        ax.margins(0.12)
    known = in_order(handles)
    figure.tight_layout(rect=(0, 1.0 / figure.get_figheight(), 1, 1))
    figure.legend([handles[system] for system in known], known, loc="lower center", ncols=3, fontsize=9, frameon=False)
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None, "Creator": None})
    plt.close(figure)


def write(kept, docs):
    """Put everything between the markers of the two pages, and draw the chart. Sets stand in the order of `TITLES`."""
    docs = pathlib.Path(docs)
    kept = {name: kept[name] for name in [*(n for n in TITLES if n in kept), *(n for n in kept if n not in TITLES)]}
    shown = {name: entry for name, entry in kept.items() if measured(entry)}
    write_block(docs / "accuracy.md", "overview", overview(shown), markdown=True)
    write_block(docs / "accuracy.md", "conclusions", conclusions(shown), markdown=True)
    long = "\n\n".join(f"```text\n{table(name, entry)}\n```" for name, entry in kept.items())
    write_block(docs / "development" / "accuracy.md", "accuracy", long, markdown=True)
    plot(shown, docs / "images" / "accuracy.svg")
