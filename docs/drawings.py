"""Plots and diagrams of the site: ``python docs/drawings.py`` writes docs/images/*.svg.

The plots show closed forms (collision probabilities of `mongoose_nb.hashing` and the theory of `mongoose_nb.rehash`), and the tables and
figures that the benchmarks wrote into docs/development.
"""

import json
import pathlib
import re
import textwrap

import matplotlib
import numpy as np

from mongoose_nb.hashing import CrossPolytope, MinHash, PStable, SimHash
from mongoose_nb.rehash import theory

matplotlib.use("Agg")
from matplotlib import pyplot as plt

IMAGES = pathlib.Path(__file__).parent / "images"
# Text stays text, and the same drawing is the same file.
plt.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "mongoose_nb", "font.family": "sans-serif", "font.size": 10,
                     "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.3})
COSINES = np.linspace(0, 1, 51)


def save(figure, name):
    """Write one drawing."""
    figure.savefig(IMAGES / f"{name}.svg", bbox_inches="tight", metadata={"Date": None, "Creator": None})
    plt.close(figure)


# ------------------------------------------------------------------ plots


def retrieval():
    """What K and L find, by cosine."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(8.4, 3.2), sharey=True)
    for K in (4, 8, 12, 16):
        left.plot(COSINES, SimHash(64, K, 50).retrieval_probability(COSINES), label=f"K = {K}")
    for L in (1, 5, 20, 50, 200):
        right.plot(COSINES, SimHash(64, 10, L).retrieval_probability(COSINES), label=f"L = {L}")
    left.set(xlabel="cosine", ylabel="probability to be retrieved", title="L = 50 tables of K signs")
    right.set(xlabel="cosine", title="L tables of K = 10 signs")
    left.legend()
    right.legend()
    save(figure, "retrieval")


def families():
    """One hash of each family against what it measures."""
    figure, axes = plt.subplots(1, 3, figsize=(9.6, 3.0))
    axes[0].plot(COSINES, SimHash(64, 1, 1).collision_probability(COSINES), label="SimHash")
    for size in (16, 64):
        axes[0].plot(COSINES, CrossPolytope(size, 1, 1).collision_probability(COSINES), label=f"CrossPolytope, {size}")
    axes[0].set(xlabel="cosine", ylabel="probability to agree")
    distance = np.linspace(0, 12, 51)
    for width in (2.0, 4.0, 8.0):
        axes[1].plot(distance, PStable(64, 1, 1, width=width).collision_probability(distance), label=f"PStable, width {width:g}")
    axes[1].set(xlabel="Euclidean distance")
    for bits in (1, 2, 8):
        axes[2].plot(COSINES, MinHash(64, 1, 1, bits=bits).collision_probability(COSINES), label=f"MinHash, {bits} bit{'s' * (bits > 1)}")
    axes[2].set(xlabel="Jaccard similarity")
    for ax in axes:
        ax.set(ylim=(0, 1.02))
        ax.legend(fontsize=8)
    save(figure, "families")


def drift():
    """What turned rows cost, and where the automatic threshold lies."""
    figure, ax = plt.subplots(figsize=(5.6, 3.4))
    share = np.linspace(0, theory.MOST, 51)
    for K, L in ((6, 20), (9, 50), (12, 100), (16, 100)):
        similarity = max(0.3, theory.similarity_at(0.9, K, L))
        fresh = theory.retrieval(similarity, K, L)
        line, = ax.plot(share, [theory.retrieval(similarity, K, L, s) / fresh for s in share],
                        label=f"K = {K}, L = {L}, cosine {similarity:.2f}")
        at = theory.threshold(K, L)
        ax.plot(at, theory.retrieval(similarity, K, L, at) / fresh, "o", color=line.get_color())
    ax.set(xlabel="share of the rows' bits that changed since the rehash", ylabel="recall, of that of fresh tables")
    ax.legend(fontsize=8)
    save(figure, "drift")


def duplicates():
    """The curve behind `find_duplicates`."""
    figure, ax = plt.subplots(figsize=(5.6, 3.0))
    for K, L in ((2, 24), (4, 32), (8, 32)):
        ax.plot(COSINES, MinHash(64, K, L, bits=4).retrieval_probability(COSINES), label=f"K = {K}, L = {L}")
    ax.set(xlabel="Jaccard similarity of two sets", ylabel="probability to meet")
    ax.legend()
    save(figure, "bands")


def measured(page, name):
    """Lines of a block that a benchmark wrote into a page of docs/development."""
    text = (IMAGES.parent / "development" / f"{page}.md").read_text(encoding="utf-8")
    return text.split(f"<!-- begin: {name} -->")[1].split(f"<!-- end: {name} -->")[0].splitlines()


def serving_speed():
    """Median time of a single query by number of outputs: all outputs, and a hundredth of them by the tables."""
    outputs, times = [], {"all outputs, NumPy": [], "tables, a hundredth of the outputs scored": []}
    for name in ("gowalla", "xc_diginetica", "words", "medium", "amazon"):
        lines = measured("serving", f"serving {name}")
        n = int(re.search(r"([\d,]+) outputs", lines[2]).group(1).replace(",", ""))
        outputs.append(n)
        for label, row in zip(times, ("all outputs, NumPy", " 1.00% ")):
            line = next(line for line in lines if row in line)
            times[label].append(float(re.search(r"([\d.]+) ms", line).group(1)))
    figure, ax = plt.subplots(figsize=(5.6, 3.2))
    for label, values in times.items():
        ax.loglog(outputs, values, "o-", label=label)
    ticks = (40_000, 100_000, 670_000)
    ax.set(xlabel="outputs", ylabel="milliseconds per query", xticks=ticks, xticklabels=[f"{n:,}" for n in ticks])
    ax.minorticks_off()
    ax.legend(fontsize=8)
    save(figure, "serving-speed")


def attention_speed():
    """Milliseconds of a forward and backward pass by length."""
    lines = measured("attention", "attention")
    tokens = [int(value.replace(",", "")) for value in lines[5].split()[1:]]
    figure, ax = plt.subplots(figsize=(5.6, 3.4))
    for name in ("mongoose_nb, 1 round", "mongoose_nb, 4 rounds", "reformer-pytorch, 4 rounds", "PyTorch exact"):
        line = next(line for line in lines if line.startswith(f"{name}  "))
        ax.loglog(tokens, [float(value.replace(",", "")) for value in line[len(name):].split()], "o-", label=name)
    ax.set(xlabel="tokens", ylabel="milliseconds", xticks=tokens, xticklabels=[f"{n:,}" for n in tokens])
    ax.minorticks_off()
    ax.legend(fontsize=8)
    save(figure, "attention-speed")


def inversion():
    """Velocity profiles that were predicted from traces, beside the true ones."""
    shown = json.loads((IMAGES.parent / "development" / "attention_second.json").read_text(encoding="utf-8"))["inversion"]["shown"]
    figure, axes = plt.subplots(1, len(shown["true"]), figsize=(8.4, 3.6), sharey=True)
    for i, ax in enumerate(axes):
        for name, profiles in shown.items():
            depth = 0.025 * np.arange(len(profiles[i]))  # kilometres, as the benchmark's SPACING
            ax.plot(profiles[i], depth, label=name, **({"color": "black", "drawstyle": "steps-pre"} if name == "true" else {}))
        ax.set(xlabel="velocity, km/s")
    axes[0].set(ylabel="depth, km")
    axes[0].invert_yaxis()
    axes[-1].legend(fontsize=8)
    save(figure, "sets")


# ------------------------------------------------------------------ diagrams

BLUE, ORANGE, GREEN, GREY = "#cfe3f5", "#fbdcc4", "#d0ecdf", "#e8eaed"


def diagram(name, boxes, arrows, size):
    """Boxes {key: (column, row, text, colour)} and arrows (from, to, words) with rows downward."""
    figure, ax = plt.subplots(figsize=size)
    half = (0.47, 0.36)
    for column, row, text, colour in boxes.values():
        ax.add_patch(plt.Rectangle((column - half[0], -row - half[1]), 2 * half[0], 2 * half[1], facecolor=colour, edgecolor="#555"))
        ax.text(column, -row, textwrap.fill(text, 19), ha="center", va="center", fontsize=9)
    for start, end, words in arrows:
        (x0, y0), (x1, y1) = boxes[start][:2], boxes[end][:2]
        if y0 == y1:  # beside
            step = half[0] if x1 > x0 else -half[0]
            a, b = (x0 + step, -y0), (x1 - step, -y1)
        else:
            step = half[1] if y1 > y0 else -half[1]
            a, b = (x0, -y0 - step), (x1, -y1 + step)
        ax.annotate("", xy=b, xytext=a, arrowprops={"arrowstyle": "->", "color": "#333", "shrinkA": 0, "shrinkB": 0})
        beside = y0 == y1
        ax.text((a[0] + b[0]) / 2 + (0 if beside else 0.04), (a[1] + b[1]) / 2 + (0.09 if beside else 0), words, fontsize=8, color="#333",
                ha="center" if beside else "left", va="bottom" if beside else "center")
    columns, rows = zip(*(box[:2] for box in boxes.values()))
    ax.set(xlim=(min(columns) - 0.5, max(columns) + 0.5), ylim=(-max(rows) - 0.45, -min(rows) + 0.45))
    ax.axis("off")
    save(figure, name)


DIAGRAMS = {
    "step": ({
        "x": (0, 0, "rows of X, CSR", GREY), "h": (1.35, 0, "hidden activation h", BLUE), "hash": (2.7, 0, "hash codes of h", ORANGE),
        "tables": (4.05, 0, "buckets of L tables", ORANGE), "active": (4.05, 1.15, "active outputs: labels, retrieved, uniform", GREEN),
        "softmax": (2.7, 1.15, "logits and softmax of these alone", BLUE), "update": (1.35, 1.15, "update of the touched rows", BLUE),
        "schedule": (1.35, 2.3, "schedule: time to rehash?", ORANGE), "rehash": (4.05, 2.3, "rehash: all rows into fresh tables", ORANGE)},
        [("x", "h", ""), ("h", "hash", ""), ("hash", "tables", ""), ("tables", "active", "votes"), ("active", "softmax", ""),
         ("softmax", "update", ""), ("update", "schedule", "rows that moved"), ("schedule", "rehash", "when they have turned")],
        (9.6, 4.2)),
    "tables": ({
        "row": (0, 0, "row, d coordinates", GREY), "q": (0, 1.15, "query, d coordinates", GREY),
        "f": (1.35, 0, "K hashes for each of L tables", ORANGE),
        "g": (1.35, 1.15, "the same functions, same version", ORANGE), "b": (2.7, 0, "id into one bucket a table", GREEN),
        "v": (2.7, 1.15, "ids of L buckets, votes counted", GREEN), "c": (4.05, 1.15, "the most voted: candidates", BLUE)},
        [("row", "f", ""), ("f", "b", "code"), ("q", "g", ""), ("g", "v", "code"), ("b", "v", "look up"), ("v", "c", "")], (9.6, 2.7)),
    "drift-loop": ({
        "now": (0, 0, "sign bits of the rows now", BLUE), "share": (1.35, 0, "share that changed = angle / pi", GREEN),
        "thr": (2.7, 0, "above what K and L can bear?", ORANGE), "yes": (4.05, 0, "rehash, and take a new snapshot", ORANGE),
        "snap": (1.35, 1.15, "sign bits at the last rehash", GREY), "no": (2.7, 1.15, "look again after 20 steps", GREY)},
        [("now", "share", ""), ("snap", "share", ""), ("share", "thr", ""), ("thr", "yes", "yes"), ("thr", "no", "no")], (9.6, 2.7)),
    "learning": ({
        "recent": (0, 0, "recent activations h", BLUE), "exact": (1.35, 0, "their exact best outputs, among some hundred", BLUE),
        "loss": (2.7, 0, "loss: the best agree with h in most bits", ORANGE), "f": (4.05, 0, "directions of SimHash, trained", ORANGE),
        "rehash": (4.05, 1.15, "rebuild: all rows, new functions, new version", GREEN),
        "sched": (0, 1.15, "schedule orders a rehash", GREY)},
        [("recent", "exact", ""), ("exact", "loss", ""), ("loss", "f", "Adam"), ("f", "rehash", ""), ("sched", "recent", "")], (9.6, 2.7)),
    "serving": ({
        "w": (0, 0, "trained weights, not changed", BLUE), "fit": (1.35, 0, "fit_serving: train hash functions", ORANGE),
        "t": (2.7, 0, "250 tables, about 300 outputs a bucket", ORANGE), "q": (0, 1.15, "row of X, activation h", GREY),
        "c": (2.7, 1.15, "candidates: a hundredth of all outputs", GREEN), "s": (4.05, 1.15, "their exact scores, best k", BLUE)},
        [("w", "fit", ""), ("fit", "t", ""), ("t", "c", "look up"), ("q", "c", "hash"), ("c", "s", "")], (9.6, 2.7)),
    "attention": ({
        "qk": (0, 0, "tokens: queries = keys, values", GREY), "hash": (1.35, 0, "hash: argmax of [xR, -xR]", ORANGE),
        "sort": (2.7, 0, "sort by (bucket, position)", GREEN), "chunk": (4.05, 0, "chunks: own and the one before", GREEN),
        "soft": (4.05, 1.15, "one softmax over all pairs of all rounds", BLUE),
        "out": (2.7, 1.15, "output, in the order of the tokens", BLUE)},
        [("qk", "hash", ""), ("hash", "sort", ""), ("sort", "chunk", ""), ("chunk", "soft", "n_hashes rounds"), ("soft", "out", "")],
        (9.6, 2.7)),
    # Direct imports that do not follow from others; tests/test_package.py has all of them.
    "architecture": ({
        "commands": (2.1, 0, "commands", GREY), "solar": (0.7, 0, "solar", BLUE), "linear": (-0.7, 0, "linear", BLUE),
        "recommend": (3.5, 0, "recommend", BLUE), "compress": (4.9, 3.45, "compress", BLUE), "sketch": (-0.7, 2.3, "sketch", GREEN),
        "sklearn": (1.4, 1.15, "sklearn", GREY), "reformer": (2.8, 1.15, "reformer", BLUE),
        "search": (0.7, 2.3, "search", BLUE), "nn": (2.1, 2.3, "nn", BLUE), "attention": (3.5, 2.3, "attention", BLUE),
        "testing": (-0.7, 3.45, "testing", GREY), "tables": (0.7, 3.45, "tables", ORANGE), "metrics": (2.1, 3.45, "metrics", GREY),
        "structured": (4.9, 4.6, "structured", BLUE),
        "rehash": (3.5, 3.45, "rehash", ORANGE), "hashing": (0.7, 4.6, "hashing", ORANGE), "data": (2.1, 4.6, "data", GREY),
        "_ext": (3.5, 4.6, "_ext (Cython)", GREEN), "kernels": (2.1, 5.75, "kernels (Numba)", GREEN), "core": (2.1, 6.9, "core", GREEN)},
        [(start, end, "") for start, ends in {
            "commands": ("sklearn", "reformer"), "solar": ("sklearn",), "linear": ("sklearn",),
            "recommend": ("sklearn",), "sketch": ("hashing",), "compress": ("core",),
            "sklearn": ("search", "nn"), "reformer": ("nn", "attention"), "search": ("tables",),
            "nn": ("tables", "metrics", "rehash", "structured", "compress"),
            "structured": ("core",), "attention": ("rehash",), "testing": ("hashing",), "tables": ("hashing", "_ext"),
            "metrics": ("data",), "rehash": ("hashing", "_ext"), "hashing": ("kernels",), "data": ("kernels",), "_ext": ("kernels",),
            "kernels": ("core",)}.items() for end in ends],
        (8.0, 8.4)),
}


if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    for draw in (retrieval, families, drift, duplicates, serving_speed, attention_speed, inversion):
        draw()
    for name, (boxes, arrows, size) in DIAGRAMS.items():
        diagram(name, boxes, arrows, size)
