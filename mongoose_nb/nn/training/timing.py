"""Where the time of training goes, by phase."""

from __future__ import annotations

import time

PHASES = ("hash", "retrieve", "forward", "backward", "update", "check", "mine", "learn", "rehash")


class PhaseTimer:
    """Sums wall time by phase: ``with timer("hash"): ...``. Phases do not nest."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(PHASES, 0.0)

    def __call__(self, phase: str) -> _Phase:
        """Count the time of the block for `phase`."""
        return _Phase(self.seconds, phase)

    def move(self, seconds: float, phase: str, other: str) -> None:
        """Count a part of the time of a phase for another one, which may be new."""
        self.seconds[phase] -= seconds
        self.seconds[other] = self.seconds.get(other, 0.0) + seconds

    def shares(self) -> dict:
        """Share of each phase in their sum."""
        total = sum(self.seconds.values()) or 1.0
        return {phase: s / total for phase, s in self.seconds.items()}


class _Phase:
    """A block that is timed. A class takes a third of the time of a generator."""

    __slots__ = ("_seconds", "_phase", "_start")

    def __init__(self, seconds, phase):
        self._seconds, self._phase = seconds, phase

    def __enter__(self):
        self._start = time.perf_counter()

    def __exit__(self, *error):
        self._seconds[self._phase] += time.perf_counter() - self._start
