"""Sets: order and size do not matter, parts add up, gradients match finite differences."""

import numpy as np
import pytest

from mongoose_nb.hashing import SimHash
from mongoose_nb.nn import SetEmbedding
from mongoose_nb.nn.layers.base import Run

START = np.array([0, 4, 4, 9, 10])
RUN = Run(0)


def made(pool="mean", dtype="float64", **more):
    layer = SetEmbedding([6, 5], [7, 3], pool, dtype=dtype, **more).build(3, np.random.default_rng(0))
    return layer, np.random.default_rng(1).standard_normal((10, 3)).astype(dtype)


BINS = {"bins": SimHash(3, K=2, L=1, seed=1), "n_bins": 4}
CASES = [("mean", {}), ("sum", {}), ("max", {}), ("mean", BINS), ("max", BINS)]


@pytest.mark.parametrize("pool, more", CASES, ids=str)
class TestSets:
    def test_order_and_neighbours_do_not_matter(self, pool, more):
        layer, x = made(pool, "float32", **more)
        out = layer.forward((x, START), RUN)[0]
        assert out.shape == (4, 3)
        order = np.concatenate([lo + np.random.default_rng(2).permutation(hi - lo) for lo, hi in zip(START, START[1:])])
        np.testing.assert_allclose(layer.forward((x[order], START), RUN)[0], out, atol=1e-6)
        for s in range(4):
            alone = layer.forward((x[START[s]:START[s + 1]], np.array([0, START[s + 1] - START[s]])), RUN)[0]
            np.testing.assert_allclose(alone[0], out[s], atol=1e-6)

    def test_gradients(self, pool, more):
        layer, x = made(pool, **more)
        parameters = layer.parameters()
        for parameter in parameters.values():  # an empty set would lie on the kink of the activation, with biases of zero
            parameter.value += 0.1 * np.random.default_rng(5).standard_normal(parameter.value.shape)
        out, cache = layer.forward((x, START), RUN)
        g = np.random.default_rng(3).standard_normal(out.shape)
        dx, gradients = layer.backward(g, cache)
        assert set(gradients) == set(parameters)
        for array, gradient in [(x, dx)] + [(parameters[name].value, gradients[name]) for name in parameters]:
            direction = np.random.default_rng(4).standard_normal(array.shape)
            kept, values = array.copy(), []
            for side in (1e-6, -1e-6):
                array[...] = kept + side * direction
                values.append(np.vdot(g, layer.forward((x, START), RUN)[0]))
            array[...] = kept
            want = (values[0] - values[1]) / 2e-6
            assert abs(want - np.vdot(direction, gradient)) < 1e-6 * max(1, abs(want))


def test_the_sum_of_a_union_is_the_sum_of_its_parts():
    layer, x = made("sum")
    whole = layer.pooled(x, np.zeros(10, int), 1)
    np.testing.assert_allclose(whole[0], layer.pooled(x, np.repeat([0, 1], [3, 7]), 2).sum(axis=0), atol=1e-12)


@pytest.mark.parametrize("x, words", [((np.ones((3, 2)), [0, 3]), "records must"), ((np.ones((3, 3)), [0, 2]), "start must"),
                                      ((np.ones((3, 3)), [0, 4, 3]), "start must"), ((np.ones((3, 3)), [0.0, 3.0]), "start must"),
                                      ((np.ones((3, 3)), np.array([0, 2, 1, 3], np.uint64)), "start must"),
                                      (np.ones((3, 3)), "pair")])
def test_wrong_sets(x, words):
    with pytest.raises(ValueError, match=words):
        made()[0].forward(x, RUN)


@pytest.mark.parametrize("arguments", [{"phi": [], "rho": [1]}, {"phi": [2], "rho": [2], "n_bins": 3},
                                       {"phi": [2], "rho": [2], "pool": "min"}])
def test_wrong_settings(arguments):
    with pytest.raises(ValueError, match="phi|bins|pool"):
        SetEmbedding(**arguments)
