"""Output of the commands: results to stdout, progress and announcements to stderr."""

from __future__ import annotations

import json
import numbers
import sys
from typing import Any


def result(text: str) -> None:
    """Print one or several lines of results, flushed at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def note(text: str, end: str = "\n") -> None:
    """Print a line of progress."""
    sys.stderr.write(text + end)
    sys.stderr.flush()


def json_line(value: Any) -> None:
    """Print a JSON value on one line."""
    result(to_json(value))


def to_json(value: Any, **options: Any) -> str:
    """Convert a value to JSON text, NumPy numbers included."""
    return json.dumps(value, default=_plain, allow_nan=False, **options)


def _plain(value):
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def one_line(error: BaseException) -> str:
    """The message of an exception as one line."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__
