"""Values of flags and of keys of a TOML file: integers, numbers, words and switches.

This module is read by ``mongoose --help``: it imports nothing that takes time.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import Any

from mongoose_nb.core.text_numbers import to_float, to_int


def whole(value: Any) -> int:
    """An integer."""
    if isinstance(value, str):
        return to_int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError
    return value


def real(value: Any) -> float:
    """A finite number."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError
    number = to_float(value) if isinstance(value, str) else float(value)
    if not math.isfinite(number):
        raise ValueError
    return number


def word(value: Any) -> str:
    """A word."""
    if not isinstance(value, str):
        raise ValueError
    return value


def switch(value: Any) -> bool:
    """true or false."""
    if not isinstance(value, bool):
        raise ValueError
    return value


def number(text: str) -> int | float:
    """An integer where it is one, or another finite number."""
    try:
        return whole(text)
    except ValueError:
        return real(text)


def ratio(text: str, flag: str) -> float:
    """How many times smaller an array is to be, such as 10x; the error names the flag."""
    try:
        value = real(text.lower().removesuffix("x"))
    except ValueError:
        value = 0.0
    if not 1 <= value < 1e9:
        raise ValueError(f"{flag} must be a ratio of 1 or more, such as 16x; got {text!r}")
    return value


def expected(kind: Callable[[Any], Any]) -> str:
    """What a kind of value is, for errors: the docstring of its function."""
    text = (kind.__doc__ or "").rstrip(".")
    return text[0].lower() + text[1:]


def flag_type(kind: Callable[[Any], Any]) -> Callable[[str], Any]:
    """A kind of value as ``type`` of `argparse`."""
    def parse(text):
        try:
            return kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"invalid value {text!r}: expected {expected(kind)}") from None

    return parse


#: integers and numbers as ``type`` of `argparse`
INTEGER, NUMBER = flag_type(whole), flag_type(real)
