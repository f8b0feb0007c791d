"""Checks that users may import: for hash families, samplers, layers and search indexes of the package or of their own.

::

    pairs         rows that stand at a chosen similarity: NumPy alone
      |   |
      |   +--> strategies         the same for hypothesis, which only that module needs
      v
    hash_contract                 what must hold always: determinism, batch = single, dense = CSR, threads, state
    collisions                    what must hold in probability: frequency = closed form, sensitivity, columns differ
      |        (families          both in one call)
    indexes                       add, remove, update, query against brute force and a dict
    shapes                        recall on data of few axes, off the origin, stretched, skewed, in clusters
    layers                        gradients against finite differences, threads, pickles, descriptions
    samplers                      candidates of a layer, step by step: labels first, none twice, the state goes on exactly
      |
      v
    report                        a `Report` where all held, `CheckFailed` (an AssertionError) where not

Nothing here imports pytest, and nothing but `layers` more of the package than `core`: a check calls methods, and needs no base class.
Three lines test a family::

    from mongoose_nb.testing import check_hash_family
    def test_my_family():
        check_hash_family(lambda seed: MyFamily(dim=24, K=1, L=100, seed=seed), metric="cosine", dim=24)
"""

from mongoose_nb.testing.collisions import check_collisions, check_sensitivity
from mongoose_nb.testing.families import check_hash_family
from mongoose_nb.testing.hash_contract import check_hash_contract
from mongoose_nb.testing.indexes import check_index
from mongoose_nb.testing.layers import check_layer
from mongoose_nb.testing.pairs import METRICS, Metric, pairs_at, similarity_of
from mongoose_nb.testing.report import CheckFailed, Report
from mongoose_nb.testing.samplers import check_sampler
from mongoose_nb.testing.shapes import check_shapes

__all__ = ["METRICS", "CheckFailed", "Metric", "Report", "check_collisions", "check_hash_contract", "check_hash_family", "check_index",
           "check_layer", "check_sampler", "check_sensitivity", "check_shapes", "pairs_at", "similarity_of"]
