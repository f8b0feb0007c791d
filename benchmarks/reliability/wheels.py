"""Wheel and sdist as a user gets them: built in isolation, installed into empty environments where the sources are gone, and the suite
run there; once with the newest dependencies, once with the oldest that pyproject.toml allows.

The wheel is built from the sdist. What the sdist installs must be the wheel's files, byte by byte but for the compiled ones, so a part of
the suite is enough there: all that runs compiled code, files and command line once.
"""

import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib

ROOT = pathlib.Path(__file__).parents[2]
PART = ("tests/_ext", "tests/tables", "tests/search", "tests/nn/test_network.py", "tests/nn/training/test_checkpoint.py",
        "tests/attention/test_mass.py", "tests/data", "tests/core/test_files.py", "tests/test_golden.py", "tests/test_package.py",
        "tests/sklearn/test_classifier.py", "tests/commands/test_cli.py")
CASES = ("wheel", "sdist", "oldest")


def add_arguments(parser):
    """Flags of this trial."""
    parser.add_argument("--cases", nargs="+", choices=CASES, default=CASES)
    parser.add_argument("--quick", action="store_true", help="in all cases only the part of the suite that the sdist is given")
    parser.add_argument("--tests", nargs="+", help="in all cases these tests")


def _call(*command, **options):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command[:6]))} ... ended with {done.returncode}: {(done.stdout + done.stderr)[-1500:]}")
    return done.stdout


def _oldest():
    """Requirements with every lower bound made exact; what only tests need stays as new as it comes."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [re.sub(r">=([\d.]+).*", r"==\1.*", line) for line in project["dependencies"]]


def _content(package):
    """Digest of every installed file that is not compiled, by its place in the package."""
    return {str(f.relative_to(package)): hashlib.sha256(f.read_bytes()).hexdigest() for f in package.rglob("*")
            if f.is_file() and "__pycache__" not in f.parts and f.suffix != ".so"}


def _try(folder, package, requirements, tests):
    """Install and run the suite in an environment of its own; figures, the end of its output, and what was installed."""
    venv = folder / f"venv-{package.name}-{len(requirements)}"
    _call(sys.executable, "-m", "venv", venv)
    python = venv / "bin" / "python"
    _call(python, "-m", "pip", "install", "-q", "--disable-pip-version-check", f"{package}[test]", *requirements)
    work = folder / f"work-{venv.name}"
    work.mkdir()
    for name in ("tests", "benchmarks"):  # a test reads a file of the benchmarks
        shutil.copytree(ROOT / name, work / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", work)  # pytest's settings
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "MONGOOSE_NB_PURE")}
    environment.update(OMP_WAIT_POLICY="passive", XDG_CACHE_HOME=str(folder / f"cache-{venv.name}"))
    where = _call(python, "-c", "import mongoose_nb, mongoose_nb._ext as e; print(mongoose_nb.__file__, e.COMPILED and e.SKETCH_COMPILED)",
                  cwd=work, env=environment).split()
    if not where[0].startswith(str(venv)) or where[1] != "True":
        raise RuntimeError(f"not the installed package, or not compiled: {where}")
    versions = _call(python, "-c", "import numpy, scipy, numba; print(numpy.__version__, scipy.__version__, numba.__version__)").split()
    installed = sum(f.stat().st_size for f in pathlib.Path(where[0]).parent.rglob("*") if f.is_file() and "__pycache__" not in f.parts)
    imported = min(float(_call(python, "-c", "import time; t = time.perf_counter(); import mongoose_nb; print(time.perf_counter() - t)",
                               cwd=work, env=environment)) for _ in range(5))
    start = time.perf_counter()
    done = subprocess.run([python, "-m", "pytest", "-q", "-n", "2", "--dist", "loadfile", *tests], cwd=work, env=environment,
                          capture_output=True, text=True)
    dots = sum(line.split(" ")[0].count(".") for line in done.stdout.splitlines() if re.fullmatch(r"[.sxFE]+( +\[ *\d+%\])?", line))
    return {"versions": versions, "installed_MB": round(installed / 1e6, 2), "import_ms": round(imported * 1e3, 1),
            "passed": dots, "code": done.returncode, "seconds": round(time.perf_counter() - start)}, done.stdout[-3000:], _content(
                pathlib.Path(where[0]).parent)


def run(args):
    """The trial."""
    found, lines, failures = {}, [], []
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        source = folder / "source"
        _call("git", "clone", "-q", ROOT, source)
        _call(sys.executable, "-m", "build", "--outdir", folder / "dist", source,
              env={**os.environ, "MONGOOSE_NB_REQUIRE_EXT": "1"})
        shutil.rmtree(source)
        wheel, sdist = next((folder / "dist").glob("*.whl")), next((folder / "dist").glob("*.tar.gz"))
        with tarfile.open(sdist) as archive:
            names = archive.getnames()
        if not any(n.endswith("_buckets.pyx") for n in names) or not any(n.endswith(".txt.gz") for n in names):
            failures.append("the sdist lacks sources or data")
        found.update(wheel_kB=round(wheel.stat().st_size / 1e3), sdist_kB=round(sdist.stat().st_size / 1e3))
        lines.append(f"{wheel.name}: {found['wheel_kB']:,} kB; sdist: {found['sdist_kB']:,} kB")
        contents = {}
        for case, package, requirements in (("wheel", wheel, []), ("sdist", sdist, []), ("oldest", wheel, _oldest())):
            if case not in args.cases:
                continue
            tests = args.tests or (PART if args.quick or case == "sdist" else ["tests"])
            figures, tail, contents[case] = _try(folder, package, requirements, tests)
            found[case] = {**figures, "tests": list(tests)}
            numpy, scipy, numba = figures["versions"]
            some = "" if list(tests) == ["tests"] else " (part of the suite)"
            lines.append(f"{case:7} NumPy {numpy}, SciPy {scipy}, Numba {numba}: {figures['passed']:,} tests passed in "
                         f"{figures['seconds']} s{some}, installed {figures['installed_MB']} MB, import {figures['import_ms']} ms")
            if figures["code"]:
                failures.append(f"{case}: {tail}")
        if "wheel" in contents and "sdist" in contents:
            same = contents["wheel"] == contents["sdist"]
            lines.append(f"files installed from the sdist are those of the wheel: {'yes' if same else 'NO'} ({len(contents['sdist'])})")
            if not same:
                failures.append("the sdist installs other files than the wheel: "
                                f"{sorted(dict(contents['wheel'].items() ^ contents['sdist'].items()))[:20]}")
    return found, "\n".join(lines), failures
