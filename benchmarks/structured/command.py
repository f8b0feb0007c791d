"""Structured layers: what a projection loses, how fast the layers are, and how well networks and language models train with them."""

import json
import pathlib

from benchmarks.document import write_block
from benchmarks.structured import chart, mnist, projection, speed, trials

HELP = "projection errors, speed, MNIST and language models of Monarch and Pixelfly layers"
PARTS = ("projection", "speed", "mnist", "language")


def add_arguments(parser):
    """Arguments of ``python -m benchmarks structured``."""
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=PARTS, help="what to measure; none writes what was kept")
    parser.add_argument("--keep", type=pathlib.Path, help="JSON file to which the figures are added, those of the same part replaced")
    parser.add_argument("--docs", type=pathlib.Path, help="folder of the documents, whose tables are written from all that is kept")
    parser.add_argument("--chart", action="store_true", help="with --docs: also draw images/structured.svg (needs matplotlib)")
    parser.add_argument("--widths", type=int, nargs="+", default=[128, 256, 512, 1024, 2048, 4096], help="speed: squares of widths")
    parser.add_argument("--batch", type=int, default=256, help="speed: rows")
    parser.add_argument("--rounds", type=int, default=15, help="speed: turns of all systems")
    parser.add_argument("--threads", type=int, nargs="+", help="speed: numbers of threads; all and one by default")
    parser.add_argument("--mnist", type=pathlib.Path, help="folder with the four idx files")
    parser.add_argument("--epochs", type=int, default=5, help="MNIST: of every network")
    parser.add_argument("--seeds", type=int, default=3, help="MNIST: networks of each kind")
    parser.add_argument("--mnist-lr", type=float, default=1e-3)
    parser.add_argument("--words", type=pathlib.Path, help="language: folder of WikiText-2 with test.txt.gz and valid.txt.gz")
    parser.add_argument("--characters", type=pathlib.Path, help="language: folder of EUR-Lex, or a text file")
    parser.add_argument("--sets", nargs="+", default=["eurlex characters", "wikitext-2 words"], help="language: which of the two")
    parser.add_argument("--eval-batches", type=int, default=8)
    parser.add_argument("--reverse", type=float, default=0.6, help="language: share of the steps after which layers are made dense")
    parser.add_argument("--trials", nargs="+", help="language: names; all by default. 'reverse: NAME' makes layers dense on the way")
    parser.add_argument("--trial-lrs", type=float, nargs="+", default=[1e-3, 2e-3], help="language: learning rates")
    parser.add_argument("--trial-width", type=int, default=256, help="language: of the model; 4 times as many in the middle")
    parser.add_argument("--trial-steps", type=int, default=300)
    parser.add_argument("--trial-every", type=int, default=50, help="language: steps between scores")
    parser.add_argument("--seed", type=int, default=0)


MEASURE = {"projection": projection.measure, "speed": speed.run_both, "mnist": mnist.measure}
# Parts whose entries are measured and kept one at a time: what an entry is known by, and (arguments, kept entries) to new ones
ENTRIES = {"language": (trials.key, trials.measure)}
TEXT = {"projection": projection.text, "speed": lambda found: "\n\n".join(speed.text(part) for part in found), "mnist": mnist.text,
        "language": trials.text}


def kept(path):
    """Figures of a file, by part."""
    return {} if path is None or not path.exists() else json.loads(path.read_text(encoding="utf-8"))


def _percent(part, whole):
    return f"{part / whole:.0%}".replace("%", " %")


def summary(found):
    """Conclusions as a list in Markdown, with the figures of all parts that were measured."""
    lines = []
    for part in found.get("speed", []):
        widths = sorted({entry["n"] for entry in part["table"]})
        of = {name: ", ".join(f"{speed.faster(part, n, name):.1f} at {n:,}" for n in widths if n >= 1024)
              for name in ("Monarch", "Pixelfly 20 %")}
        peak = max(entry["gflops"] for entry in part["table"] if entry["system"] == "Monarch")
        lines.append(f"- Forward and backward at batch {part['batch']} on {speed.threads_of(part)}, times as fast as dense products "
                     f"(sgemm): Monarch {of['Monarch']}; Pixelfly with 20 % of the weights {of['Pixelfly 20 %']}. Monarch is faster from "
                     f"n = {speed.crossover(part, 'Monarch')} on, Pixelfly from {speed.crossover(part, 'Pixelfly 20 %')}. "
                     f"Small blocks reach {_percent(peak, part['gflops'])} of the machine's {part['gflops']:.0f} GFLOP/s.")
    if "mnist" in found:
        means = {name: mnist.mean(found["mnist"], name) for name in found["mnist"]["systems"]}
        count = {name: entry["parameters"] for name, entry in found["mnist"]["systems"].items()}
        lines.append(f"- MNIST, a layer of {mnist.WIDTH:,} units in the middle, means of the seeds: dense {means['dense']:.2f} %, Monarch "
                     f"{means['monarch']:.2f} % with {_percent(count['monarch'], count['dense'])} of the weights, Pixelfly "
                     f"{means['pixelfly']:.2f} % with {_percent(count['pixelfly'], count['dense'])}, random blocks "
                     f"{means['random blocks']:.2f} %. Narrow dense layers of as many weights: {means['narrow dense, as monarch']:.2f} % "
                     f"and {means['narrow dense, as pixelfly']:.2f} %.")
    lines += trials.conclusions(found.get("language", []))
    exact = found.get("projection")
    if exact:
        wins = [name for name, entry in exact["table"].items() if entry["monarch"] < entry["svd"] - 1e-3]
        lines.append(f"- A Monarch matrix is nearer than an SVD of as many parameters to: {', '.join(wins)}.")
    return "\n".join(lines)


def run(args):
    """Measure, keep, write."""
    found = kept(args.keep)

    def keep(part, new):
        found[part] = json.loads(json.dumps(new))
        if args.keep is not None:
            args.keep.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")

    for part in args.parts:
        if part in MEASURE:
            keep(part, MEASURE[part](args))
            continue
        key, measure = ENTRIES[part]
        for entry in measure(args, found.get(part, [])):
            keep(part, [other for other in found.get(part, []) if key(other) != key(entry)] + [entry])
    texts = {part: TEXT[part](found[part]) for part in PARTS if part in found}
    if args.docs is not None:
        for part, text in texts.items():
            write_block(args.docs / "development" / "structured.md", part, text)
        write_block(args.docs / "structured.md", "summary", summary(found), markdown=True)
        if args.chart:
            chart.draw(found["speed"], args.docs / "images" / "structured.svg")
    return found, "\n\n".join(texts.values())
