"""A rehash schedule of one's own: every so many steps, twice as many after every rehash."""

from mongoose_nb.core.registry import register
from mongoose_nb.rehash import Schedule


@register("rehash schedule", "doubling")
class Doubling(Schedule):
    """Rehash after `first` steps, then after twice as many, and so on.

    Parameters
    ----------
    first : int
        Steps before the first rehash.
    most : int
        Longest gap in steps.
    """

    saved_state = ("_gap", "_next")

    def __init__(self, first=10, most=1000):
        self.first, self.most = first, most
        self._gap, self._next = first, first

    def due(self, step):
        """Whether to rehash after step `step` (from 0)."""
        if step + 1 < self._next:
            return False
        self._gap = min(2 * self._gap, self.most)
        self._next = step + 1 + self._gap
        return True
