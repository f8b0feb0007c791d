"""What README.md and docs/ tell readers to type. Their Python blocks are run by conftest.py beside them."""

import pathlib
import re
import shlex

import pytest

from mongoose_nb.cli import parse

ROOT = pathlib.Path(__file__).parent.parent
DOCUMENTS = [path for pattern in ("README.md", "docs/*.md", "docs/guide/*.md") for path in sorted(ROOT.glob(pattern))]


def shell_lines(document):
    """Every command of the document's bash blocks and of single lines in backquotes."""
    text = document.read_text(encoding="utf-8")
    for block in re.findall(r"^```bash\n(.*?)^```", text, re.M | re.S):
        yield from (part.strip() for line in block.replace("\\\n", " ").splitlines() for part in line.split("&&"))
    yield from re.findall(r"`(mongoose [^`\n]+)`", text)


COMMANDS = [pytest.param(line, id=f"{document.name}: {line}") for document in DOCUMENTS for line in shell_lines(document)]


@pytest.mark.skipif(not DOCUMENTS, reason="the tests stand alone, without the documents")
def test_documents_are_found():
    assert {"README.md", "search.md", "quickstart.md"} <= {path.name for path in DOCUMENTS} and len(COMMANDS) > 10


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_are_ones_that_exist(line):
    program, *given = shlex.split(line, comments=True) or [""]
    if program == "mongoose":
        try:
            parse(given if len(given) > 1 else [*given, "--help"])  # leaves with an error for unknown flags and missing arguments
        except SystemExit as stop:
            assert not stop.code
    elif program == "python" and given[0] != "-m":
        assert (ROOT / given[0]).exists()
