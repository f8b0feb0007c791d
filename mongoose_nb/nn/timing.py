"""Where the time of training goes, by phase."""

import contextlib
import time

PHASES = ("hash", "retrieve", "forward", "backward", "update", "check", "mine", "learn", "rehash")


class PhaseTimer:
    """Sums wall time by phase: ``with timer("hash"): ...``. Phases do not nest."""

    def __init__(self):
        self.seconds = dict.fromkeys(PHASES, 0.0)

    @contextlib.contextmanager
    def __call__(self, phase):
        """Count the time of the block for `phase`."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[phase] += time.perf_counter() - start

    def shares(self):
        """Share of each phase in their sum."""
        total = sum(self.seconds.values()) or 1.0
        return {phase: s / total for phase, s in self.seconds.items()}
