"""Documents: every Python block of README.md and docs/ is run, and every command is parsed.

A document is one program, run from top to bottom in an empty directory. What it needs but does not show, such as a data set, is in a
comment that is run and not shown: ``<!--- invisible-code-block: python ... -->``.
"""

import functools
import pathlib
import re
import shlex

import pytest

from mongoose_nb import data
from mongoose_nb.commands.cli import parse
from mongoose_nb.reformer import ReformerLM

ROOT = pathlib.Path(__file__).parent.parent
DOCUMENTS = {str(path.relative_to(ROOT)): path
             for pattern in ("*.md", "docs/*.md", "docs/guide/*.md", "docs/development/*.md") for path in sorted(ROOT.glob(pattern))}


def shell_lines(document):
    """Every command of the document's bash blocks, and those in backquotes."""
    text = document.read_text(encoding="utf-8")
    for block in re.findall(r"^```bash\n(.*?)^```", text, re.M | re.S):
        yield from (part.strip() for line in block.replace("\\\n", " ").splitlines() for part in line.split("&&"))
    yield from re.findall(r"`(mongoose [^`\n]+)`", text)


COMMANDS = [pytest.param(line, id=f"{name}: {line}") for name, document in DOCUMENTS.items() for line in shell_lines(document)]


@functools.cache
def small_demo():
    """Some rows of the demo data."""
    (X, Y), (X_test, Y_test) = (data.read_xc(path) for path in data.demo_paths())
    return X[:400], Y[:400], X_test[:100], Y_test[:100]


@pytest.mark.skipif(not DOCUMENTS, reason="there are no documents beside the tests")
def test_documents_are_found():
    assert {"README.md", "docs/search.md", "docs/guide/recipes.md"} <= set(DOCUMENTS) and len(COMMANDS) > 10


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, path in DOCUMENTS.items() if "```python\n" in path.read_text(encoding="utf-8")])
def test_python_blocks(name, tmp_path, monkeypatch):
    """The blocks run, on less data than the reader's."""
    from sybil import Sybil
    from sybil.parsers.markdown import PythonCodeBlockParser

    if "mongoose_nb.distributed" in DOCUMENTS[name].read_text(encoding="utf-8"):
        pytest.importorskip("dask.distributed", reason="needs the extra dask")
    fit = ReformerLM.fit
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(data, "load_demo", small_demo)
    less = {"epochs": 1, "batches": 2, "eval_batches": 2}
    monkeypatch.setattr(ReformerLM, "fit", lambda self, task, **given: fit(self, task, **{**given, **less}))
    document = Sybil(parsers=[PythonCodeBlockParser()], path=str(ROOT)).parse(DOCUMENTS[name])
    blocks = list(document.examples())
    assert len(blocks) >= DOCUMENTS[name].read_text(encoding="utf-8").count("```python\n")
    for block in blocks:
        block.evaluate()


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
