"""What README.md and docs/ tell readers to type. Their Python blocks are run by conftest.py beside them."""

import pathlib
import re
import shlex

import pytest

from mongoose_nb.cli import parse

ROOT = pathlib.Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md")), *sorted(ROOT.glob("docs/guide/*.md"))]


def shell_lines(document):
    """Every command of the document's bash blocks and of single lines in backquotes."""
    text = document.read_text(encoding="utf-8")
    for block in re.findall(r"^```bash\n(.*?)^```", text, re.M | re.S):
        yield from (part.strip() for line in block.replace("\\\n", " ").splitlines() for part in line.split("&&"))
    yield from re.findall(r"`(mongoose [^`\n]+)`", text)


COMMANDS = [pytest.param(line, id=f"{document.name}: {line}") for document in DOCUMENTS for line in shell_lines(document)]


def test_documents_are_found():
    assert len(DOCUMENTS) > 1 and len(COMMANDS) > 10 or not (ROOT / "README.md").exists()


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
