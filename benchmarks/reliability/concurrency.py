"""Threads, forked and spawned processes under every threading layer: the tests of it, again and again.

Numba does not find the library of ``pip install tbb`` in a virtual environment by itself: set ``LD_LIBRARY_PATH=$VIRTUAL_ENV/lib``.
"""

import os
import pathlib
import re
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).parents[2]
TESTS = ("tests/search/test_concurrency.py", "tests/core/test_guard.py")


def add_arguments(parser):
    """Flags of this trial."""
    parser.add_argument("--rounds", type=int, default=10)


def run(args):
    """The trial."""
    sys.path.insert(0, str(ROOT / "tests" / "kernels"))
    from test_guard import layers

    found, failures = {}, []
    for layer in layers():
        start, passed = time.perf_counter(), 0
        for number in range(args.rounds):
            tests = TESTS if number == 0 else TESTS[:1]  # the second tries all layers itself
            environment = {**os.environ, "NUMBA_THREADING_LAYER": layer, "OMP_WAIT_POLICY": "passive", "NUMBA_NUM_THREADS": "2"}
            try:
                done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests], cwd=ROOT, env=environment,
                                      capture_output=True, text=True, timeout=300)
            except subprocess.TimeoutExpired:
                failures.append(f"{layer}, round {number}: no end within 300 seconds")
                continue
            passed += sum(line.count(".") for line in done.stdout.splitlines() if re.fullmatch(r"[.sxFE]+( +\[ *\d+%\])?", line))
            if done.returncode:
                failures.append(f"{layer}, round {number}: exit code {done.returncode}: {(done.stdout + done.stderr)[-1500:]}")
        found[layer] = {"passed": passed, "seconds": round(time.perf_counter() - start)}
    lines = [f"{layer:10} {figures['passed']:4} tests passed in {args.rounds} rounds, {figures['seconds']} s"
             for layer, figures in found.items()]
    lines += [f"{layer:10} is not installed here" for layer in ("omp", "tbb") if layer not in found]
    lines.append(f"deadlocks, aborts, wrong answers: {len(failures)}")
    return found, "\n".join(lines), failures
