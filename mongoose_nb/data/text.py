"""Read texts with named labels: CSV, JSON Lines, and plain lines."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

from mongoose_nb.core.types import PathLike
from mongoose_nb.data._files import as_text, read_bytes, split_lines

#: endings of the names of files that hold a table of texts, less those of compression
ENDINGS = {".csv": "csv", ".tsv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl"}
_COMPRESSED = (".gz", ".bz2", ".xz", ".zip")
#: names of columns that are taken where none is given, the first that is there
TEXT_COLUMNS = ("text", "texts", "document", "content", "body", "sentence", "review", "description", "title")
LABEL_COLUMNS = ("label", "labels", "tags", "tag", "category", "categories", "class", "classes", "target", "topic", "topics")


class Columns(NamedTuple):
    """Which columns of a table hold what.

    Parameters
    ----------
    text, label : str, optional
        Names of columns; by default the usual names are looked for.
    separator : str, optional
        What stands between the labels of a cell.
    """

    text: str | None = None
    label: str | None = None
    separator: str | None = None


class Texts(NamedTuple):
    """What a table of texts holds.

    Parameters
    ----------
    texts : list of str
    labels : list of lists of str, or None
        Names of the labels of each text; None where they were not wanted.
    columns : Columns
        Where they were found.
    """

    texts: list[str]
    labels: list[list[str]] | None
    columns: Columns


def table_format(path: PathLike) -> str | None:
    """``"csv"`` or ``"jsonl"`` by the ending of a file's name; None for others."""
    name = os.fspath(path).lower()
    for ending in _COMPRESSED:
        name = name.removesuffix(ending)
    return ENDINGS.get(os.path.splitext(name)[1])


class Table(NamedTuple):
    """Texts, and how their labels were written.

    Parameters
    ----------
    texts : Texts
    cells : list of str
        Labels that are a whole cell or string each, and not parts of a list.
    """

    texts: Texts
    cells: list[str]


def read_texts(path: PathLike, columns: Columns | None = None, *, format: str | None = None, labels: bool = True) -> Texts:
    """Read a table of texts and their labels.

    Parameters
    ----------
    path : path-like
        CSV or TSV, whose first line names the columns; or JSON Lines, one object a line (or a JSON list of objects). Plain or compressed,
        in UTF-8.
    columns : Columns, optional
        ``text`` names the column of the text; several, with commas between them, are joined by a blank. ``label`` names that of the labels.
        By default they are found by usual names: text, document, content, ...; label, labels, tags, category, class, ... ``separator``
        stands between the labels of a cell; without one a cell holds one label, or a JSON list of them. An empty cell has none.
    format : {"csv", "jsonl", "lines"}, optional
        By default what the name of the file says. ``"lines"``: each line is a text.
    labels : bool
        Whether labels are read.

    Returns
    -------
    Texts

    Raises
    ------
    ValueError
        If the file is not as described; the message names the line, or the columns that there are.
    """
    return read_table(path, columns, format=format, labels=labels).texts


def read_table(path: PathLike, columns: Columns | None = None, *, format: str | None = None, labels: bool = True) -> Table:
    """As `read_texts`, and which labels may be several that a separator joins."""
    name, columns = os.fspath(path), columns or Columns()
    format = format or table_format(path)
    if format not in ("csv", "jsonl", "lines"):
        raise ValueError(f"{name}: give the format: 'csv', 'jsonl' or 'lines'; got {format!r}")
    data, _ = read_bytes(path)
    content = as_text(data, name)
    if format == "lines":
        if labels:
            raise ValueError(f"{name}: lines of text have no labels; give a CSV or JSON Lines file with a column of labels")
        lines = split_lines(content)
        if not lines:
            raise ValueError(f"{name}: the file is empty; expected a text on each line")
        return Table(Texts(lines, None, columns), [])
    rows = _read_csv(name, content) if format == "csv" else _read_json(name, content)
    if not rows:
        raise ValueError(f"{name}: the file has no rows")
    return _take(name, rows, columns, labels)


def _read_csv(name, content):
    """(line, {column: cell}) of every row."""
    first = content.split("\n", 1)[0]
    delimiter = max(",;\t", key=first.count)  # the first of them where none is there
    limit = csv.field_size_limit(2**31 - 1)
    try:
        reader = csv.reader(io.StringIO(content, newline=""), delimiter=delimiter, strict=True)
        header = next(reader, None)
        if not header:
            raise ValueError(f"{name}: the file is empty; expected a first line with the names of the columns")
        header = [column.strip() for column in header]
        twice = next((column for column in header if column and header.count(column) > 1), None)
        if twice is not None:
            raise ValueError(f"{name}, line 1: there are {header.count(twice)} columns {twice!r}; give each a name of its own")
        out = []
        for cells in reader:
            if not cells:  # a blank line
                continue
            if len(cells) != len(header):
                raise ValueError(f"{name}, line {reader.line_num}: {len(cells)} cells, but the first line names {len(header)} columns; put "
                                 f"texts with {delimiter!r} in double quotes")
            out.append((reader.line_num, dict(zip(header, cells))))
        return out
    except csv.Error as error:
        raise ValueError(f"{name}, line {reader.line_num}: {error}") from error
    finally:
        csv.field_size_limit(limit)


def _read_json(name, content):
    """(line, object) of every row."""
    number = 0
    try:
        if content.lstrip().startswith("["):
            rows = list(enumerate(json.loads(content), 1))
        else:
            rows = []
            for number, line in enumerate(content.split("\n"), 1):
                if line.strip():
                    rows.append((number, json.loads(line)))
    except (ValueError, RecursionError) as error:
        where = f", line {number}" if number else ""
        raise ValueError(f"{name}{where}: not JSON ({error}); expected an object such as {{\"text\": ..., \"label\": ...}} on each "
                         "line") from error
    for number, row in rows:
        if not isinstance(row, dict):
            raise ValueError(f"{name}, line {number}: expected an object such as {{\"text\": ..., \"label\": ...}}; got a "
                             f"{type(row).__name__}")
    return rows


def _take(name, rows, columns, labels):
    there = list(dict.fromkeys(column for _, row in rows for column in row))
    text = _find(name, "text", columns.text, TEXT_COLUMNS, there)
    label = _find(name, "label", columns.label, LABEL_COLUMNS, there) if labels else columns.label
    texts = [" ".join(_text(name, line, row, column) for column in text.split(",")) if text not in there else _text(name, line, row, text)
             for line, row in rows]
    values = [_listed(row.get(label), columns.separator) for _, row in rows] if labels else []
    found = [_labels(name, line, value) for (line, _), value in zip(rows, values)] if labels else None
    cells = [value.strip() for value in values if isinstance(value, str) and value.strip()]
    return Table(Texts(texts, found, Columns(text, label, columns.separator)), cells)


def _find(name, what, given, usual, there):
    """The column that is meant."""
    if given is not None:
        missing = [] if given in there else [part for part in given.split(",") if part not in there] if what == "text" else [given]
        if missing:
            raise ValueError(f"{name} has no column {missing[0]!r}; there are {', '.join(map(repr, there))}")
        return given
    lower = {str(column).lower(): column for column in reversed(there)}
    for column in usual:
        if column in lower:
            return lower[column]
    raise ValueError(f"{name}: which column holds the {what}? There are {', '.join(map(repr, there))}; name it with --{what}-column (in "
                     f"Python: data.Columns({what}=...))")


def _text(name, line, row, column):
    value = row.get(column)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError(f"{name}, line {line}: {column!r} is {str(value)[:40]!r}, a {type(value).__name__}; expected a string")
    return value


def _listed(value, separator):
    """The content of a cell: a list where it is one, or where there is a separator."""
    if isinstance(value, str) and separator is not None:
        return value.split(separator)
    if isinstance(value, str) and value.startswith("[") and value.endswith("]"):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _labels(name, line, value):
    """Names in the content of a cell; each once."""
    if value is None:
        return []
    out = {}
    for part in value if isinstance(value, list) else [value]:
        if part is None or isinstance(part, float) and part != part:  # missing, as NumPy and pandas write it
            continue
        if isinstance(part, bool | int | float):
            part = str(int(part) if float(part).is_integer() and not isinstance(part, bool) else part)
        if not isinstance(part, str):
            raise ValueError(f"{name}, line {line}: the label {str(part)[:40]!r} is a {type(part).__name__}; expected strings or numbers")
        if part.strip():
            out[part.strip()] = None
    return list(out)


def label_matrix(labels: Sequence[Sequence[Any]], names: Any) -> tuple[Any, list]:
    """Named labels as an indicator.

    Parameters
    ----------
    labels : sequence of sequences
        The names of the labels of each row.
    names : sequence
        Those of the columns.

    Returns
    -------
    Y : (n, n_names) CSR float32
        Canonical.
    unknown : list
        Labels that are none of `names`, each once; they have no column.
    """
    import numpy as np

    from mongoose_nb.data.indicator import check_Y

    place = {name: i for i, name in enumerate(np.asarray(names).tolist())}
    unknown = list(dict.fromkeys(name for row in labels for name in row if name not in place))
    return check_Y([[place[name] for name in row if name in place] for row in labels], n_outputs=len(place)), unknown
