"""Gradients of the losses of learned rotations, and what they reward."""

import numpy as np
import pytest

from mongoose_nb.attention.rotation_losses import LOSSES, Examples, contrast, soft_buckets, triplet


def examples(seed, H=2, d=6, n=7, m=9):
    rng = np.random.default_rng(seed)
    return Examples(rng.standard_normal((H, n, d)), rng.standard_normal((H, m, d)), rng.dirichlet(np.ones(m), (H, n)),
                    rng.integers(-1, m, (H, n, 2)), rng.integers(-1, m, (H, n)))


@pytest.mark.parametrize("name", sorted(LOSSES))
@pytest.mark.parametrize("balance", [0.0, 0.7])
def test_gradients(name, balance):
    rng = np.random.default_rng(1)
    some, x, along = examples(2), *rng.standard_normal((2, 2, 3, 6, 4))
    gradient = LOSSES[name](x, some, 2.0, balance, 0.5)[1]
    ends = [LOSSES[name](x + e * along, some, 2.0, balance, 0.5)[0] for e in (1e-6, -1e-6)]
    assert abs((gradient * along).sum() - (ends[0] - ends[1]) / 2e-6) < 1e-6 * np.abs(gradient * along).sum()


def test_soft_buckets_tend_to_the_deployed_ones():
    z = np.random.default_rng(3).standard_normal((50, 4))
    np.testing.assert_array_equal(soft_buckets(z, 1e6).argmax(-1), np.concatenate([z, -z], -1).argmax(-1))
    assert soft_buckets(z, 1e6).max(-1).min() > 0.99


def test_contrast_prefers_what_brings_pairs_together_at_equal_load():
    axes = np.eye(4)[None]
    weights = np.zeros((1, 4, 4))
    weights[0, [0, 1, 2, 3], [1, 0, 3, 2]] = 1  # tokens 0 and 1 want each other, 2 and 3 too
    some = Examples(axes, axes, weights, None, None)
    good = np.array([[1, 1, -1, -1.0]]).reshape(1, 1, 4, 1)
    bad = np.array([[1, -1, 1, -1.0]]).reshape(1, 1, 4, 1)
    assert contrast(good, some, 3.0, 1.0)[0] < contrast(bad, some, 3.0, 1.0)[0] - 1


def test_triplet_without_any_triplet_leaves_the_guard():
    some = examples(4)._replace(negatives=np.full((2, 7), -1))
    loss, gradient = triplet(np.random.default_rng(5).standard_normal((2, 1, 6, 4)), some, 2.0, 0.0)
    assert loss == 0 and (gradient == 0).all()
