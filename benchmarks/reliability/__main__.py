"""Entry point of the trials."""

import argparse
import importlib
import json
import pathlib
import sys

from benchmarks.document import write_block

TRIALS = {
    "kills": "kill a training at random moments, among them inside a save, and compare what comes out with a run that was not killed",
    "fuzz": "read damaged files and command lines: a clean error or a correct load, nothing else",
    "native": "the suite of the extensions under AddressSanitizer and UBSan with bounds checks, the kernels with bounds checks",
    "concurrency": "threads and processes that search, predict and train at once, under every threading layer",
    "soak": "train, change an index and save for a time, watching memory and answers",
    "limits": "train on a data set larger than the memory that the process may have",
    "wheels": "build wheel and sdist, install them where the sources are gone, with oldest and newest dependencies, and run the suite",
}


def main():
    """Run one trial; exit code 1 where it found something."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reliability", description=__doc__)
    commands = parser.add_subparsers(dest="trial", required=True)
    subs = {name: commands.add_parser(name, help=text, description=text) for name, text in TRIALS.items()}
    for name, sub in subs.items():
        sub.add_argument("--json", action="store_true")
        sub.add_argument("--write", action="store_true", help="also put the figures into docs/development/reliability.md")
        sub.add_argument("--seed", type=int, default=0)
        importlib.import_module(f"benchmarks.reliability.{name}").add_arguments(sub)
    args = parser.parse_args()
    found, text, failures = importlib.import_module(f"benchmarks.reliability.{args.trial}").run(args)
    if args.write:
        write_block(pathlib.Path(__file__).parents[2] / "docs" / "development" / "reliability.md", args.trial, text)
    print(json.dumps(found) if args.json else text)
    for failure in failures:
        print(f"FAILED: {failure}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
