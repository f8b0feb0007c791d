"""Damaged files, texts and command lines (`tests/fuzz_cases.py`), each case keyed by (seed, target, number) so that it can be run again.

Cases run in processes of their own with a limit on memory; a case that ends its process, or takes longer than ten seconds, is a finding,
and another process goes on behind it.
"""

import argparse
import collections
import faulthandler
import os
import pathlib
import resource
import signal
import subprocess
import sys
import tempfile
import time

import numpy as np

ROOT = pathlib.Path(__file__).parents[2]
#: how cases are shared out
SHARES = {"networks": 0.22, "indexes": 0.28, "datasets": 0.1, "arrays": 0.17, "texts": 0.18, "command line": 0.05}
SECONDS, MEMORY = 10, 1 << 30


def add_arguments(parser):
    """Flags of this trial."""
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--target", choices=sorted(SHARES), help="this one alone")
    parser.add_argument("--first", type=int, default=0, help="number of the first case of a target")
    parser.add_argument("--child", nargs=3, metavar=("TARGET", "FIRST", "LAST"), help=argparse.SUPPRESS)


def _late(*args):
    raise TimeoutError(f"no end within {SECONDS} seconds")


def child(target, first, last, seed):
    """Run cases, and tell of each before it begins."""
    sys.path.insert(0, str(ROOT / "tests"))
    from fuzz_cases import TARGETS

    names = sorted(TARGETS)
    with tempfile.TemporaryDirectory() as folder:
        cases = TARGETS[target](pathlib.Path(folder))
        for warm in range(30):  # compiles what is compiled late
            try:
                cases.run(np.random.default_rng([seed, 99, warm]))
            except AssertionError:
                pass
        size = int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, size + MEMORY))
        signal.signal(signal.SIGALRM, _late)
        for number in range(first, last):
            print("case", number, flush=True)
            signal.alarm(SECONDS)
            faulthandler.dump_traceback_later(2 * SECONDS, exit=True)  # inside a kernel no signal is heard
            try:
                answer = cases.run(np.random.default_rng([seed, names.index(target), number]))
            except (AssertionError, TimeoutError) as error:
                answer = "finding " + " ".join(str(error).split())[:400]
            signal.alarm(0)
            faulthandler.cancel_dump_traceback_later()
            print(answer, flush=True)


def _processes(target, first, last, seed):
    """(number, answer) of all cases, over as many processes as it takes."""
    while first < last:
        command = [sys.executable, "-m", "benchmarks.reliability", "fuzz", "--seed", str(seed), "--child", target, str(first), str(last)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
            number = None
            for line in process.stdout:
                word, _, rest = line.strip().partition(" ")
                if word == "case":
                    number = int(rest)
                elif number is not None and word in ("refused", "loaded", "finding"):
                    yield number, line.strip()
                    first, number = number + 1, None
            error = process.stderr.read()[-600:]
        if first < last:
            if number is None:
                raise RuntimeError(f"the cases of {target} could not be made: {error}")
            yield number, f"finding the process ended with code {process.returncode}: {' '.join(error.split())[-300:]}"
            first = number + 1


def run(args):
    """The trial."""
    if args.child:
        child(args.child[0], int(args.child[1]), int(args.child[2]), args.seed)
        sys.exit(0)
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("NUMBA_NUM_THREADS", "1")  # thousands of tiny problems
    shares = SHARES if args.target is None else {args.target: 1.0}
    start = time.perf_counter()
    counts, failures = {}, []
    for target, share in shares.items():
        count = counts[target] = collections.Counter()
        for number, answer in _processes(target, args.first, args.first + round(share * args.cases), args.seed):
            word, _, what = answer.partition(" ")
            count[word] += 1
            if word == "finding":
                failures.append(f"{target} {number}: {what}")
    seconds = time.perf_counter() - start
    total = sum(sum(count.values()) for count in counts.values())
    lines = [f"{total:,} cases in {seconds:.0f} s: {len(failures)} crashes, hangs, huge allocations, unclear errors or wrong answers"]
    for target, count in counts.items():
        lines.append(f"{target:14} {sum(count.values()):7,} cases  {count['refused']:7,} refused  {count['loaded']:7,} read  "
                     f"{count['finding']:3,} findings")
    return {"cases": total, "seconds": round(seconds, 1), "targets": {k: dict(v) for k, v in counts.items()}}, "\n".join(lines), failures
