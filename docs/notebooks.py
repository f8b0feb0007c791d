"""Notebooks of the examples: ``python docs/notebooks.py [NAME ...]`` writes and runs them. The build of the site refuses outdated ones.

A notebook is its script, split at empty lines, after a cell that sets the command line.
"""

import ast
import pathlib
import re
import sys

import jupytext
import nbformat

HERE = pathlib.Path(__file__).parent
EXAMPLES = HERE.parent / "examples"
TARGET = HERE / "notebooks"

# Small enough to run in a minute, with data that are available everywhere.
COMMAND_LINES = {
    "slide_from_primitives": """import sys

sys.argv = ["slide_from_primitives.py", "--epochs", "2"]""",
    "eurlex": """import sys

sys.argv = ["eurlex.py", "demo", "--epochs", "5"]""",
    "next_word": """import pathlib
import sys
import tempfile
from pydoc_data.topics import topics

# the manual of Python, which comes with it
text = pathlib.Path(tempfile.mkdtemp()) / "manual.txt"
text.write_text("\\n".join(topics.values()))
sys.argv = ["next_word.py", str(text), "--epochs", "3"]""",
    "sessions": """import pathlib
import sys
import tempfile

import numpy as np

# made up: from an item a visitor goes on to one of the three that follow it, or, one time in ten, anywhere
rng = np.random.default_rng(0)
items, visits = 20_000, 10_000
follow = rng.integers(items, size=(items, 3))
lines = []
for item in rng.integers(items, size=visits):
    session = [item]
    for step in rng.integers(3, size=rng.integers(2, 10)):
        session.append(follow[session[-1], step] if rng.random() < 0.9 else rng.integers(items))
    lines.append(" ".join(map(str, session)))
file = pathlib.Path(tempfile.mkdtemp()) / "sessions.txt"
file.write_text("\\n".join(lines))
sys.argv = ["sessions.py", str(file), "--epochs", "3"]""",
    "genes": """import sys

sys.argv = ["genes.py"]""",
    "density": """import sys

sys.argv = ["density.py"]""",
    "reformer_copy": """import sys

sys.argv = ["reformer_copy.py", "--length", "64", "--epochs", "10"]""",
}


def build(name):
    """The notebook of a script, without outputs."""
    text = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8")
    told = ast.get_docstring(ast.parse(text), clean=False)
    title, rest = re.match(r"(.*?[?:]) (.*)", told, re.S).groups()
    body = text[text.index('"""', 3) + 3:].lstrip("\n")
    cells = [nbformat.v4.new_markdown_cell(f"# {title.rstrip(':')}\n\n{rest[0].upper()}{rest[1:].rstrip()}"),
             nbformat.v4.new_code_cell(f'{COMMAND_LINES[name]}\nsys.path.insert(0, "../../examples")'),
             *join_imports(jupytext.reads(body, fmt="py:light").cells)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    for i, cell in enumerate(cells):
        cell["id"] = f"{name}-{i}"  # the same whenever it is written
    return notebook


def join_imports(cells):
    """The cells, with all cells that only import joined into one."""
    def imports_only(cell):
        return cell.cell_type == "code" and all(isinstance(node, ast.Import | ast.ImportFrom) for node in ast.parse(cell.source).body)

    imports = [c for c in cells if imports_only(c)]
    return [nbformat.v4.new_code_cell("\n\n".join(c.source for c in imports)), *(c for c in cells if c not in imports)]


def write(name):
    """Write the notebook of a script with the output of its cells."""
    from nbclient import NotebookClient

    notebook = build(name)
    TARGET.mkdir(exist_ok=True)
    NotebookClient(notebook, timeout=900, resources={"metadata": {"path": str(TARGET)}}).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # times of day
        for output in cell.get("outputs", ()):
            if output.output_type == "stream" and output.name == "stderr":
                raise ValueError(f"{name}: a cell wrote to stderr: {output.text}")
        merge(cell)
    nbformat.write(notebook, TARGET / f"{name}.ipynb")


def merge(cell):
    """Join the outputs of a cell, and remove values that a script would not print."""
    outputs = []
    for output in cell.get("outputs", ()):
        if output.output_type == "execute_result":
            continue
        if outputs and output.output_type == outputs[-1].output_type == "stream":
            outputs[-1].text += output.text
        else:
            outputs.append(output)
    if cell.cell_type == "code":
        cell.outputs = outputs


def check():
    """Raise ValueError if a notebook differs from its script, or a script has no notebook."""
    scripts = {path.stem for path in EXAMPLES.glob("*.py")} - {"common"}
    if scripts != set(COMMAND_LINES):
        raise ValueError(f"examples/ has {sorted(scripts)}, docs/notebooks.py knows {sorted(COMMAND_LINES)}")
    for name in COMMAND_LINES:
        path = TARGET / f"{name}.ipynb"
        if not path.exists() or [c.source for c in nbformat.read(path, 4).cells] != [c.source for c in build(name).cells]:
            raise ValueError(f"{path} differs from examples/{name}.py; write it again: python docs/notebooks.py {name}")


if __name__ == "__main__":
    for chosen in sys.argv[1:] or COMMAND_LINES:
        write(chosen)
