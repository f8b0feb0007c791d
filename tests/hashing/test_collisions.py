"""Collision frequencies of every family against its closed form, to the last column of a table."""

import numpy as np
import pytest

from mongoose_nb.hashing import WTA, BitSampling, CrossPolytope, MinHash, PStable, SimHash
from mongoose_nb.testing import Metric, check_collisions


def manhattan(value, n, dim, nnz, rng):
    X, D = rng.standard_normal((2, n, dim))
    return X, X + value * D / np.abs(D).sum(axis=1, keepdims=True)


L1 = Metric("l1", manhattan, lambda X, Y: np.abs(X - Y).sum(axis=1), (0.0, 0.5, 1.0, 2.0, 8.0), 0.0, np.inf, closer=-1)
NEAR = (0.3, 0.6, 0.9, 1.0)  # where the formula of the cross-polytope is within 8 %
CASES = {
    "simhash": (lambda seed: SimHash(24, 3, 200, seed=seed), {}),
    "pstable": (lambda seed: PStable(24, 3, 200, seed=seed, width=4.0), {"metric": "l2"}),
    "pstable-few-coordinates": (lambda seed: PStable(24, 1, 200, seed=seed, width=2.0), {"metric": "l2", "nnz": 2}),
    "pstable-folded": (lambda seed: PStable(24, 2, 200, seed=seed, width=2.0, code_bits=4), {"metric": "l2"}),
    "pstable-cauchy": (lambda seed: PStable(24, 2, 200, seed=seed, p=1), {"metric": L1}),
    "bitsampling": (lambda seed: BitSampling(40, 4, 200, seed=seed), {"metric": "hamming"}),
    "minhash": (lambda seed: MinHash(200, 1, 1, seed=seed, bits=2), {"metric": "jaccard", "functions": 4000}),
    "minhash-columns": (lambda seed: MinHash(200, 4, 1, seed=seed), {"metric": "jaccard", "functions": 4000}),
    "crosspolytope": (lambda seed: CrossPolytope(60, 1, 100, seed=seed), {"values": NEAR, "tolerance": 0.08}),
    "crosspolytope-last": (lambda seed: CrossPolytope(60, 2, 100, seed=seed, last_dim=8), {"values": NEAR, "tolerance": 0.08}),
    "crosspolytope-features": (lambda seed: CrossPolytope(500, 1, 100, seed=seed, feature_dim=64), {"values": NEAR, "tolerance": 0.1}),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_collision_frequency(name):
    make, options = CASES[name]
    check_collisions(make, probability=make(0).table_probability, **options)


def test_wta_on_average_over_pairs():
    class Columns:  # without the probability of two rows, which bins of one permutation share
        def __init__(self, seed):
            family = WTA(64, 1, 100, seed=seed)
            self.dim, self.hash, self.collision_probability = family.dim, family.hash, family.collision_probability

    check_collisions(Columns, metric="correlation", over="pairs")
