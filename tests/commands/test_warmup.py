"""What `mongoose warmup` compiles is all that README.md, its commands and the pages on attention and search use."""

import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]

SCRIPT = """
import importlib, os, pathlib, pkgutil, re, sys, tempfile
sys.path[:0] = [{root!r}, {root!r} + "/tests"]
import mongoose_nb.kernels
from mongoose_nb import data
from mongoose_nb.commands import cli, warmup
from mongoose_nb.reformer import ReformerLM
from test_documents import DOCUMENTS, shell_lines, small_demo
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser

kernels = {{}}
for found in pkgutil.walk_packages(mongoose_nb.kernels.__path__, "mongoose_nb.kernels."):
    for name, value in vars(importlib.import_module(found.name)).items():
        if hasattr(value, "signatures") and hasattr(value, "py_func"):
            kernels[f"{{value.py_func.__module__}}.{{name}}"] = value


def compiled():
    return {{(name, str(signature)) for name, kernel in kernels.items() for signature in kernel.signatures}}


for step in warmup.STEPS.values():
    step()
before = compiled()
assert len(before) > 50, len(before)
small = small_demo()
data.load_demo = lambda: small
fit = ReformerLM.fit
ReformerLM.fit = lambda self, task, **given: fit(self, task, **{{**given, "epochs": 1, "batches": 2, "eval_batches": 2}})
with tempfile.TemporaryDirectory() as folder:
    os.chdir(folder)
    for name in {names!r}:
        for example in Sybil(parsers=[PythonCodeBlockParser()], path={root!r}).parse(DOCUMENTS[name]).examples():
            example.evaluate()
    for line in shell_lines(DOCUMENTS["README.md"]):
        if line.startswith("mongoose ") and not line.startswith("mongoose warmup") and pathlib.Path("train.txt").exists():
            cli.main(line.split()[1:])
    os.chdir({root!r})
print("NEW", sorted(compiled() - before))
"""


@pytest.mark.slow
@pytest.mark.parametrize("names", [["README.md"], ["docs/attention.md", "docs/search.md"]])
def test_it_covers_the_documents(names):
    done = subprocess.run([sys.executable, "-c", SCRIPT.format(root=str(ROOT), names=names)], capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines()[-1] == "NEW []"
