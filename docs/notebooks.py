"""Notebooks of the lessons: ``python docs/notebooks.py [NAME ...]`` writes and runs them. The build of the site refuses outdated ones.

A lesson is a script in docs/lessons whose cells begin with ``# %%``; it runs as it is, too.
"""

import pathlib
import sys

import jupytext
import nbformat

HERE = pathlib.Path(__file__).parent
LESSONS = HERE / "lessons"
TARGET = HERE / "notebooks"


def names():
    """Names of all lessons."""
    return sorted(path.stem for path in LESSONS.glob("*.py"))


def build(name):
    """The notebook of a lesson, without outputs."""
    notebook = jupytext.reads((LESSONS / f"{name}.py").read_text(encoding="utf-8"), fmt="py:percent")
    notebook.metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    for i, cell in enumerate(notebook.cells):
        cell["id"] = f"{name}-{i}"  # the same whenever it is written
    return notebook


def write(name):
    """Write the notebook of a lesson with the output of its cells."""
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
    """Raise ValueError if a notebook differs from its lesson, or has none."""
    found = sorted(path.stem for path in TARGET.glob("*.ipynb"))
    if found != names():
        raise ValueError(f"{TARGET} has {found}, {LESSONS} has {names()}")
    for name in names():
        if [c.source for c in nbformat.read(TARGET / f"{name}.ipynb", 4).cells] != [c.source for c in build(name).cells]:
            raise ValueError(f"{TARGET / name}.ipynb differs from its lesson; write it again: python docs/notebooks.py {name}")


if __name__ == "__main__":
    for chosen in sys.argv[1:] or names():
        write(chosen)
