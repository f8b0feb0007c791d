"""The Python blocks of README.md and of docs/ are tests. A document is one program, run from top to bottom in an empty directory.

What a document takes for granted, such as a data set, stands in it as a comment that is run and not shown:
``<!--- invisible-code-block: python ... -->``.
"""

import functools
import os
import tempfile

import pytest
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser

# Read when the library of threads is loaded; see tests/conftest.py.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


@functools.cache
def small_demo():
    """Some rows of the demo data."""
    from mongoose_nb.data import demo_paths, read_xc

    (X, Y), (X_test, Y_test) = (read_xc(path) for path in demo_paths())
    return X[:400], Y[:400], X_test[:100], Y_test[:100]


def enter(namespace):
    """An empty directory for the document, and less to train than readers have."""
    from mongoose_nb import data
    from mongoose_nb.reformer import ReformerLM

    whole = ReformerLM.fit

    def fit(self, task, **settings):
        return whole(self, task, **{**settings, "epochs": 1, "batches": 2, "eval_batches": 2})

    patch, place = pytest.MonkeyPatch(), tempfile.TemporaryDirectory()
    patch.chdir(place.name)
    patch.setattr(data, "load_demo", small_demo)
    patch.setattr(ReformerLM, "fit", fit)
    namespace["_undo"] = [patch.undo, place.cleanup]


def leave(namespace):
    """Everything as it was."""
    for undo in namespace["_undo"]:
        undo()


pytest_collect_file = Sybil(parsers=[PythonCodeBlockParser()], patterns=["README.md", "docs/*.md", "docs/guide/*.md"],
                            setup=enter, teardown=leave).pytest()
