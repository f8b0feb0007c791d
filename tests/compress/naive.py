"""Oracles for hashed arrays, in float64 and one entry at a time."""

import numpy as np

from mongoose_nb.compress import index_map, minhash_signatures


def signatures(rows, seed=0, hashes=8):
    import scipy.sparse as sp

    return minhash_signatures(sp.random(rows, 300, 0.1, format="csr", random_state=seed), hashes)


def make_map(name, shape, cells, seed=0, **options):
    """A map of any name, with signatures where it needs them."""
    more = {"signatures": signatures(shape[0])} if name == "lma" and "signatures" not in options else {}
    return index_map(name, shape, cells, seed, **more, **options)


def gather(cells, index, sign, scale):
    return cells.astype(np.float64)[index] * sign * scale


def gradient(n_cells, index, sign, scale, values):
    out = np.zeros(n_cells)
    for cell, s, v in zip(index.ravel(), sign.ravel(), values.ravel()):
        out[cell] += float(v) * s * scale
    return out
