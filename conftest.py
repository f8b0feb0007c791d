"""The Python blocks of README.md and docs/*.md are tests. A document is one program, run from top to bottom in an empty directory.

What a document takes for granted, such as a data set, stands in it as a comment that is run and not shown:
``<!--- invisible-code-block: python ... -->``.
"""

import os
import tempfile

from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser

# Read when the library of threads is loaded; see tests/conftest.py.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def enter(namespace):
    """An empty directory for the document."""
    namespace["_before"], namespace["_place"] = os.getcwd(), tempfile.TemporaryDirectory()
    os.chdir(namespace["_place"].name)


def leave(namespace):
    """Back to where the tests run."""
    os.chdir(namespace["_before"])
    namespace["_place"].cleanup()


pytest_collect_file = Sybil(parsers=[PythonCodeBlockParser()], patterns=["README.md", "docs/*.md", "docs/guide/*.md"],
                            setup=enter, teardown=leave).pytest()
