"""How candidates are taken from the buckets of a query (Chen et al., "SLIDE", MLSys 2020, section 3.1)."""

from mongoose_nb.core.registry import Registered, register
from mongoose_nb.core.validation import check_int

# Votes are counted in 7 bits, up to this many.
MAX_VOTES = 126


class Strategy(Registered, kind="selection strategy"):
    """How candidates are taken from the buckets of a query: constants for the kernels."""

    #: whether whole buckets are taken, of tables in random order; else those outputs that are in most buckets
    whole_buckets = False
    #: least number of buckets that an output has to be in
    min_votes = 1


@register("selection strategy", "topk")
class TopK(Strategy):
    """The outputs that are in most buckets."""


@register("selection strategy", "vanilla")
class Vanilla(Strategy):
    """Whole buckets of tables in random order, until there are enough."""

    whole_buckets = True


@register("selection strategy", "threshold")
class Threshold(Strategy):
    """The outputs that are in at least `min_votes` buckets, those in most first.

    Parameters
    ----------
    min_votes : int
        At most 126, and at most the number of tables.
    """

    def __init__(self, min_votes: int = 2) -> None:
        self.min_votes = check_int("min_votes", min_votes, low=1, high=MAX_VOTES)
