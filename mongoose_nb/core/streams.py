"""Random streams: every use of randomness has a purpose, and a purpose is part of the key.

A stream is a function of the seed, the purpose, and further counters such as the epoch or the step. Nothing is drawn from a stream that
another purpose draws from, and resuming needs no saved state: the counters are known.
"""

import numpy as np

#: what randomness is used for -> number in the key
PURPOSES = {
    "order of rows": 1,
    "rows for serving": 2,
    "generated tokens": 3,
    "watched rows": 4,  # of nn.Diagnostics
    "validation split": 5,
    "rows drawn": 6,  # of a batch
    "functions of rows": 7,
    "rows of the variance": 8,
    "outputs of the hardness": 9,
    "learned hash functions": 0x1EA2,
    "learned rotations": 0x207A7E,
    "rotations": 0xA77E,
    "features": 0xFEA7,  # random ones, of attention
    "eviction": 0xE71C7,  # of attention.KVCache
    "drift": 0x5C37C8,
    "bands": 0xBA2D5,
    "set layers": 0x5E75,  # weights of sklearn.SetClassifier and SetRegressor
    "grids": 0x621D5,  # of sketch.DensitySketch
    "samples of a density": 0xDE4517,
}


def sequence(seed: int, purpose: str, *counters: int) -> np.random.SeedSequence:
    """The seed sequence of a purpose.

    Parameters
    ----------
    seed : int
        0 or more.
    purpose : str
        One of `PURPOSES`.
    *counters : int
        Whatever else the stream depends on, such as the epoch.

    Returns
    -------
    numpy.random.SeedSequence
    """
    return np.random.SeedSequence([seed, PURPOSES[purpose], *counters])


def stream(seed: int, purpose: str, *counters: int) -> np.random.Generator:
    """A generator for one purpose; arguments as of `sequence`."""
    return np.random.Generator(np.random.Philox(sequence(seed, purpose, *counters)))
