"""Native code with its checks switched on: the extensions under AddressSanitizer and UBSan and with Cython's bounds checks, Numba's
kernels with bounds checks.

Copies of the package are built in a scratch folder; the installed one stays as it is. A sanitiser ends the process at its first finding,
and an index out of bounds is an exception, so the suite tells.

Numba drops exceptions that are raised inside a ``prange`` loop of a kernel with ``parallel=True``
(https://github.com/numba/numba/issues/9380), so the copy's kernels are compiled without it: the same source with plain loops. A kernel
that is wrong on purpose says first whether errors are heard.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).parents[2]
EXTENSIONS = ("tests/_ext", "tests/tables", "tests/rehash/test_drift.py")
#: not about indices: threading layers need parallel kernels, and what is installed is not what is checked
KERNELS = ("tests", "--ignore=tests/core/test_guard.py", "--ignore=tests/test_package.py")
WRONG = """
import numpy as np
from numba import prange
from mongoose_nb.core import jit as _jit

@_jit.inline
def put(x, i):
    x[i] = 1

@_jit.parallel
def beyond(x):
    for i in prange(len(x) + 1):
        put(x, i)

try:
    beyond(np.zeros(5))
except IndexError:
    print("heard")
"""
PARTS = ("sanitizers", "bounds of extensions", "bounds of kernels")


def add_arguments(parser):
    """Flags of this trial."""
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--tests", nargs="+", help="other tests than those that the part is about")


def _copy(folder):
    for name in ("mongoose_nb", "tests", "benchmarks", "docs", "examples", "pyproject.toml", "setup.cfg", "README.md", "LICENSE"):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("*.so", "*.c", "__pycache__", "build"))
        elif source.exists():
            shutil.copy(source, folder / name)


def _build(folder, **environment):
    done = subprocess.run([sys.executable, "-c", "from setuptools import setup; setup()", "build_ext", "--inplace", "--force"], cwd=folder,
                          env={**os.environ, "MONGOOSE_NB_REQUIRE_EXT": "1", **environment}, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"the extensions cannot be built: {done.stderr[-1500:]}")


def _suite(folder, tests, *options, **environment):
    """(passed, failed, seconds, end of the output) of a run of the tests."""
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, *tests], cwd=folder,
                          env={**os.environ, "OMP_WAIT_POLICY": "passive", **environment}, capture_output=True, text=True)
    counts = {name: int(number) for number, name in re.findall(r"(\d+) (passed|failed|error)", done.stdout)}
    bad = counts.get("failed", 0) + counts.get("error", 0)
    if done.returncode and not bad:
        bad = 1  # the process died
    dots = sum(line.split(" ")[0].count(".") for line in done.stdout.splitlines() if re.fullmatch(r"[.sxFE]+( +\[ *\d+%\])?", line))
    return counts.get("passed", dots), bad, time.perf_counter() - start, (done.stdout + done.stderr)[-3000:]


def _library(name):
    return subprocess.run([os.environ.get("CC", "gcc"), f"-print-file-name={name}"], capture_output=True, text=True).stdout.strip()


def _sanitizers(folder, tests):
    flags = "-fsanitize=address,undefined -fno-omit-frame-pointer -fno-sanitize-recover=undefined -g -O1"
    _build(folder, CFLAGS=flags, LDFLAGS="-fsanitize=address,undefined")
    # memory of NumPy and Python from malloc, which the sanitiser watches; leaks of the interpreter at its end are not ours
    return _suite(folder, tests or EXTENSIONS, "-p", "no:faulthandler", LD_PRELOAD=f"{_library('libasan.so')} {_library('libubsan.so')}",
                  ASAN_OPTIONS="detect_leaks=0:halt_on_error=1:allocator_may_return_null=1",
                  UBSAN_OPTIONS="halt_on_error=1:print_stacktrace=1", PYTHONMALLOC="malloc")


def _bounds_of_extensions(folder, tests):
    for source in (folder / "mongoose_nb" / "_ext").glob("*.pyx"):
        text = source.read_text()
        source.write_text(text.replace("boundscheck=False", "boundscheck=True").replace("wraparound=False", "wraparound=True")
                          .replace("initializedcheck=False", "initializedcheck=True"))
    _build(folder)
    return _suite(folder, tests or EXTENSIONS, "-W", "error::pytest.PytestUnraisableExceptionWarning")


def _bounds_of_kernels(folder, tests):
    _build(folder)
    source = folder / "mongoose_nb" / "core" / "jit.py"
    source.write_text(source.read_text().replace("(parallel=True", "(parallel=False"))
    checks = {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(folder / "cache")}
    (folder / "wrong.py").write_text(WRONG)
    heard = subprocess.run([sys.executable, "wrong.py"], cwd=folder, env={**os.environ, **checks}, capture_output=True, text=True)
    if heard.stdout != "heard\n":
        raise RuntimeError(f"an index out of bounds in a parallel loop was not heard: {heard.stdout}{heard.stderr[-1500:]}")
    return _suite(folder, tests or KERNELS, "-n", "2", "--dist", "loadfile", **checks)


def _earlier():
    """Lines of the document's block by part: a part that is not run keeps its own, with its date."""
    document = (ROOT / "docs" / "development" / "reliability.md").read_text(encoding="utf-8")
    block = document.split("<!-- begin: native -->")[1].split("<!-- end: native -->")[0]
    return {part: line for line in block.splitlines() for part in PARTS if line.startswith(f"{part:22} ")}


def run(args):
    """The trial."""
    found, lines, failures = {}, _earlier() if args.write else {}, []
    for part in args.parts:
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            _copy(folder)
            passed, bad, seconds, tail = globals()["_" + part.replace(" ", "_")](folder, args.tests)
        found[part] = {"passed": passed, "failed": bad, "seconds": round(seconds)}
        lines[part] = f"{part:22} {passed:6,} tests passed, {bad} findings, {seconds:.0f} s ({time.strftime('%Y-%m-%d')})"
        if bad:
            failures.append(f"{part}: {tail}")
    return found, "\n".join(lines[part] for part in PARTS if part in lines), failures
