"""Densification: bins without a value take that of a bin that has one (Shrivastava 2017; Chen and Shrivastava 2018)."""

from mongoose_nb.core.jit import inline
from mongoose_nb.kernels.common.random import below, key2

ATTEMPTS = 128  # hashed looks for a donor before a linear scan


@inline
def fill_empty(codes, r, key):
    """Give every empty bin (-1) of column r the code of a bin that has one of its own, stored as -2 - code.

    The sign keeps a filled bin from becoming a donor itself. Donors depend on (bin, attempt) alone, so that two rows
    whose filled bins coincide ask the same donors (Chen and Shrivastava 2018, section 4).
    """
    bins = codes.shape[0]
    for b in range(bins):
        if codes[b, r] != -1:
            continue
        bin_key = key2(key, b)
        found = -1
        for attempt in range(ATTEMPTS):
            donor = below(key2(bin_key, attempt), bins)
            if codes[donor, r] >= 0:
                found = donor
                break
        if found < 0:
            start = below(key2(bin_key, ATTEMPTS), bins)
            for step in range(bins):
                donor = start + step
                if donor >= bins:
                    donor -= bins
                if codes[donor, r] >= 0:
                    found = donor
                    break
        if found < 0:  # the row has no candidate at all
            for other in range(bins):
                codes[other, r] = -2
            return
        codes[b, r] = -2 - codes[found, r]
