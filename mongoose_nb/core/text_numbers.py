"""Numbers that users write, in flags and in files: digits as they look, and nothing else that Python takes for a number.

``int`` and ``float`` also take ``1_0`` for 10, blanks around a number, and digits of other scripts: what is a slip would be another value.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_WHOLE = re.compile(r"[+-]?[0-9]+")


def to_int(text: str) -> int:
    """The integer that a text is.

    Parameters
    ----------
    text : str
        Digits, with a sign or without.

    Returns
    -------
    int

    Raises
    ------
    ValueError
        For anything else, also for ``1_0``, ``" 1"`` and ``1.0``.
    """
    if not _WHOLE.fullmatch(text):
        raise ValueError(f"{text[:40]!r} is no whole number: expected digits alone, with or without a sign")
    return int(text)


def to_float(text: str) -> float:
    """The number that a text is; NaN and infinity by their names, which the caller may refuse.

    Parameters
    ----------
    text : str
        Blanks may stand around it, as in cells of tables.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        For anything else, also for ``1_0``.
    """
    if "_" in text or not text.isascii():
        raise ValueError(f"{text[:40]!r} is no number: expected digits, with or without a sign, a point and an exponent")
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{text[:40]!r} is no number") from None


def are_plain(texts: Iterable[str]) -> bool:
    """Whether ``float`` of each of these texts is `to_float` of it."""
    joined = "".join(texts)
    return "_" not in joined and joined.isascii()
