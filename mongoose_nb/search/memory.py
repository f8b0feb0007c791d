"""How much memory an index takes, before it is made."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mongoose_nb.search.columns import NARROW
from mongoose_nb.search.projection import MOST_COLUMNS, SAMPLE, WIDTHS

if TYPE_CHECKING:
    from mongoose_nb.search.learner import Learner


def most_bytes(learner: Learner, n: int, stored: float | None = None) -> int:
    """Most bytes of an index with n rows; see `LSHIndex.memory_usage`."""
    row = learner.store(stored is not None).row_bytes(stored)
    slots = n + n // 4 + 32
    total = math.ceil(slots * (row + 9))
    if n < learner.train_size:
        return total
    width = 0
    dim = learner.metric.width(learner.dim)
    if learner.metric.projected:
        d = dim + learner.metric.augmented
        m = min(WIDTHS[-1], d)
        if stored is not None and dim > NARROW:
            d = min(d, MOST_COLUMNS + 1, math.ceil(stored * min(n, SAMPLE)) + 1)
            total += 32 * d + 128  # table of columns
        width = -(-(m + 1) // 64) * 64
        total += 4 * d * (m + 1) + 4 * m * 32 * learner.L
    K = learner.family.hashes_for(n, dim) if learner.K is None else learner.K
    code = min(32, K) if learner.family.one_bit else 32
    bits = min(code, max(8, max(1, n - 1).bit_length() + 1), 26)
    item = 1 if code <= 8 else 2 if code <= 16 else 4
    per_bucket = 16 if learner.policy == "reservoir" and learner.capacity is not None else 12
    held = n if learner.capacity is None else min(n, learner.capacity << bits)
    table = 4 * (held * 3 // 2 + 64 + (1 << bits) // 16) + (per_bucket << bits) + item * slots + 24
    return total + width * slots + learner.L * table + slots
