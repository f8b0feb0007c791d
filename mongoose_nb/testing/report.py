"""The result of a check: a `Report` of what was observed, or `CheckFailed`, which names what failed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np


class CheckFailed(AssertionError):
    """A check did not hold.

    Attributes
    ----------
    check : str
        Name of the check, with which the message begins.
    observed, expected : object
        The two figures that should have agreed; None where there is no figure.
    bound : tuple of float or None
        Interval in which `expected` had to lie, given what was observed.
    """

    def __init__(self, check: str, message: str, *, observed: Any = None, expected: Any = None, bound: Any = None) -> None:
        super().__init__(f"{check}: {message}")
        self.check, self.observed, self.expected, self.bound = check, observed, expected, bound


@dataclasses.dataclass(frozen=True)
class Line:
    """One line of a report."""

    check: str
    note: str = ""
    observed: object = None
    expected: object = None
    bound: tuple | None = None
    skipped: bool = False

    def __str__(self) -> str:
        if self.skipped:
            return f"{self.check}: skipped, {self.note}"
        if self.expected is None:
            return f"{self.check}: {self.note or 'holds'}"
        return f"{self.check}: {self.note}observed {self.observed:.4g}, expected {self.expected:.4g}, bound {interval(self.bound)}"


class Report:
    """The checks that were made, in order; printing it gives one line for each.

    Attributes
    ----------
    lines : list of Line
        Each with `check`, `note`, `observed`, `expected`, `bound` and `skipped`.
    """

    def __init__(self) -> None:
        self.lines: list[Line] = []

    @property
    def skipped(self) -> list[str]:
        """Names of the checks that could not be made, such as that of CSR input for a family that takes none."""
        return [line.check for line in self.lines if line.skipped]

    def holds(self, check: str, note: str = "", **figures: Any) -> None:
        """Add a check that held."""
        self.lines.append(Line(check, note, **figures))

    def skip(self, check: str, reason: str) -> None:
        """Add a check that was not made, and why."""
        self.lines.append(Line(check, reason, skipped=True))

    def __iter__(self) -> Iterator[Line]:
        return iter(self.lines)

    def __len__(self) -> int:
        return len(self.lines)

    def __contains__(self, check: object) -> bool:
        return any(line.check == check and not line.skipped for line in self.lines)

    def __str__(self) -> str:
        return "\n".join(map(str, self.lines))


def interval(bound: Any) -> str:
    """An interval as text."""
    return "[" + ", ".join(f"{end:.4g}" for end in bound) + "]"


def require(condition: Any, check: str, message: str, **figures: Any) -> None:
    """Raise `CheckFailed` unless `condition` holds."""
    if not condition:
        raise CheckFailed(check, message, **figures)


def described(obj: Any, where: str) -> Any:
    """Description of an object for a file; raise `CheckFailed` if it has none."""
    from mongoose_nb.core.registry import describe

    try:
        return describe(obj, where)
    except TypeError as error:
        raise CheckFailed("description", str(error)) from error


def require_equal(check: str, got: np.ndarray, wanted: np.ndarray, what: str) -> None:
    """Raise `CheckFailed` unless two arrays of codes are equal; the message names the first place where they are not."""
    got, wanted = np.asarray(got), np.asarray(wanted)
    require(got.shape == wanted.shape, check, f"{what}: observed shape {got.shape}, expected {wanted.shape}",
            observed=got.shape, expected=wanted.shape)
    different = np.argwhere(got != wanted)
    if len(different):
        place = tuple(int(i) for i in different[0])
        raise CheckFailed(check, f"{what}: observed {len(different)} of {got.size} entries that differ, expected 0, bound [0, 0]; the "
                          f"first at {place}, {got[place]} instead of {wanted[place]}", observed=len(different), expected=0, bound=(0, 0))
