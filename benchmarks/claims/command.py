"""Write docs/claims.md: each published claim, our command, our figure and a verdict, from the figures that benchmarks kept."""

import importlib
import itertools
import json
import pathlib
import pkgutil
from typing import NamedTuple

from benchmarks.document import write_block

HELP = "write the table of published claims from the figures that were kept"
VERDICTS = ("holds", "holds in part", "does not hold here", "not measured")


class Claim(NamedTuple):
    """One published claim and what we found.

    `paper` is the paper's short name and arXiv number, `command` is what measures it here. `figure` is made from measured
    numbers, and `verdict` is one of `VERDICTS`. `why` is one sentence.
    """

    paper: str
    claim: str
    command: str
    figure: str
    verdict: str
    why: str = ""


def add_arguments(parser):
    """Arguments of ``python -m benchmarks claims``."""
    parser.add_argument("--docs", type=pathlib.Path, required=True, help="folder of the documents: reads development/TOPIC.json, writes "
                        "claims.md")


def topics():
    """Names of the topics: the modules beside this one that have claims, each with figures of the same name."""
    folder = pathlib.Path(__file__).parent
    return sorted(module.name for module in pkgutil.iter_modules([str(folder)]) if module.name != "command")


def table(claims):
    """A table in Markdown for each paper."""
    lines = []
    for paper, group in itertools.groupby(claims, key=lambda claim: claim.paper):
        lines += [f"## {paper}\n", "| claim | verdict | our figure | command |", "|---|---|---|---|"]
        for claim in group:
            if claim.verdict not in VERDICTS:
                raise ValueError(f"verdict {claim.verdict!r} of {claim.claim!r} is not one of {VERDICTS}")
            lines.append(f"| {claim.claim} | **{claim.verdict}** | {f'{claim.figure} {claim.why}'.strip()} | `{claim.command}` |")
        lines.append("")
    return "\n".join(lines)


def run(args):
    """Write the page, and return all claims with the page's text."""
    found = []
    for topic in topics():
        figures = json.loads((args.docs / "development" / f"{topic}.json").read_text(encoding="utf-8"))
        found += importlib.import_module(f"benchmarks.claims.{topic}").claims(figures)
    text = table(found)
    write_block(args.docs / "claims.md", "claims", text, markdown=True)
    return [claim._asdict() for claim in found], text
